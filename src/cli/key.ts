import { Command } from 'commander'
import type { ApiKey, ApiKeys } from '../credentials/api-keys.ts'
import { type CommonOptions, collect, type ExitCode, examplesText, newCommand, run } from './command.ts'
import { durationOf, isoOf, timeOf } from './moments.ts'
import { print, printJson, say, table } from './output.ts'

interface CreateOptions extends CommonOptions {
  readonly scope?: readonly string[]
  readonly role?: readonly string[]
  readonly cidr?: readonly string[]
  readonly origin?: readonly string[]
  readonly operation?: readonly string[]
  readonly plan?: string
  readonly expires?: string
  readonly notBefore?: string
  readonly owner?: string
  readonly note?: string
}

/** `portcullis key …`. */
export function command(): Command {
  const key = new Command('key')
    .summary('make, list, rotate and revoke API keys')
    .description('make, list, rotate and revoke API keys; a running gate honours each at once')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis key create partner --scope orders:read --expires 90d', 'prints the key, this once'],
        ['portcullis key create ci --role editor --cidr 203.0.113.0/24', 'works from these addresses only'],
        ['portcullis key create shop --origin https://shop.example --operation op:listOrders', 'for one web site only'],
        ['portcullis key list', ''],
        ['portcullis key show <id>', 'all that it may, and where'],
        ['portcullis key rotate <id> --grace 1h', 'a new key; the old one works one hour more'],
        ['portcullis key revoke <id>', 'refused from now on'],
      ]),
    )
  key.addCommand(
    newCommand('create', 'make a key and print it, this once')
      .argument('<name>', 'who or what it is for; shown in lists and logs')
      .option('--scope <scope>', 'a scope of the document; may be repeated', collect)
      .option('--role <role>', 'a role of the rules; may be repeated', collect)
      .option('--cidr <range>', 'addresses it works from; may be repeated (default: everywhere)', collect)
      .option('--origin <origin>', 'web sites whose pages may use it: https://shop.example; may be repeated', collect)
      .option(
        '--operation <selector>',
        'operations it is for: op:ID, tag:NAME, "GET /orders/*"; may be repeated',
        collect,
      )
      .option('--plan <plan>', 'the plan whose limits it has')
      .option('--expires <duration>', 'how long it works: 12h, 90d (default: until revoked)')
      .option('--not-before <time>', 'when it begins to work: a duration from now, or a time such as 2026-12-01T00:00Z')
      .option('--owner <who>', 'who answers for it')
      .option('--note <text>', 'what is to be remembered of it')
      .action(run((name: string, options: CreateOptions) => create(name, options))),
  )
  key.addCommand(newCommand('list', 'list the keys, never their secrets').action(run(list)))
  key.addCommand(
    newCommand('show', 'show a key with all that bounds it, never its secret')
      .argument('<id>', 'from `portcullis key list`')
      .action(run(show)),
  )
  key.addCommand(
    newCommand('rotate', 'give a key a new secret; its id, scopes and limits stay')
      .argument('<id>', 'from `portcullis key list`')
      .option('--grace <duration>', 'how long the old secret still works', '0s')
      .action(run((id: string, options: CommonOptions & { grace: string }) => rotate(id, options))),
  )
  key.addCommand(
    newCommand('revoke', 'end a key for good').argument('<id...>', 'from `portcullis key list`').action(run(revoke)),
  )
  return key
}

async function create(name: string, options: CreateOptions): Promise<ExitCode> {
  const {
    scope = [],
    role = [],
    cidr = [],
    origin = [],
    operation = [],
    plan,
    expires,
    notBefore,
    owner,
    note,
  } = options
  const begins = notBefore === undefined ? undefined : timeOf(notBefore, '--not-before')
  const expiresAt =
    expires === undefined ? undefined : Math.max(Date.now(), begins ?? 0) + durationOf(expires, '--expires')
  return withKeys(options, async (keys) => {
    const { key, record } = await keys.create({
      name,
      scopes: scope,
      roles: role,
      cidrs: cidr,
      origins: origin,
      operations: operation,
      ...(plan === undefined ? {} : { plan }),
      ...(owner === undefined ? {} : { owner }),
      ...(note === undefined ? {} : { note }),
      ...(begins === undefined ? {} : { notBefore: begins }),
      ...(expiresAt === undefined ? {} : { expiresAt }),
    })
    if (options.json === true) printJson({ key, ...dated(record) })
    else {
      print(key)
      say(
        `\nThe key of ${name} (id ${record.id}). It is shown this once; send it as X-API-Key, or as the document says.`,
      )
    }
    return 0
  })
}

function list(options: CommonOptions): Promise<ExitCode> {
  return withKeys(options, async (keys) => {
    const all: ApiKey[] = []
    for (;;) {
      const page = await keys.list(all.length === 0 ? {} : { after: all.at(-1)!.id })
      all.push(...page)
      if (page.length < 1_000) break
    }
    const newest = all.sort((a, b) => b.createdAt - a.createdAt)
    if (options.json === true) printJson(newest.map(dated))
    else if (newest.length === 0) say('There are no keys. Make one: portcullis key create NAME --scope SCOPE')
    else {
      const rows = newest.map((key) => [
        key.id,
        key.name,
        stateOf(key),
        [...key.scopes, ...key.roles.map((role) => `role:${role}`)].join(' ') || '-',
        [...key.cidrs, ...key.origins].join(' ') || '-',
        isoOf(key.createdAt)!,
      ])
      print(table(['ID', 'NAME', 'STATE', 'SCOPES AND ROLES', 'FROM', 'CREATED'], rows))
    }
    return 0
  })
}

function show(id: string, options: CommonOptions): Promise<ExitCode> {
  return withKeys(options, async (keys) => {
    const key = await keys.get(id)
    if (key === undefined) return noSuchKey([id], options)
    if (options.json === true) printJson(dated(key))
    else {
      const rows = [
        ['ID', key.id],
        ['NAME', key.name],
        ['STATE', stateOf(key)],
        ['SCOPES', key.scopes.join(' ')],
        ['ROLES', key.roles.join(' ')],
        ['ADDRESSES', key.cidrs.join(' ') || 'from everywhere'],
        ['WEB SITES', key.origins.join(' ') || 'any, and programs'],
        ['OPERATIONS', key.operations.join(', ') || 'all that scopes and roles allow'],
        ['PLAN', key.plan],
        ['OWNER', key.owner],
        ['NOTE', key.note],
        ['CREATED', isoOf(key.createdAt)],
        ['ROTATED', isoOf(key.rotatedAt)],
        ['WORKS FROM', isoOf(key.notBefore)],
        ['WORKS UNTIL', isoOf(key.expiresAt)],
        ['REVOKED', isoOf(key.revokedAt)],
      ].map(([name, value]) => `${name!.padEnd(12)} ${value || '-'}`)
      print(rows.join('\n'))
    }
    return 0
  })
}

async function rotate(id: string, options: CommonOptions & { readonly grace: string }): Promise<ExitCode> {
  const graceMs = durationOf(options.grace, '--grace')
  return withKeys(options, async (keys) => {
    const issued = await keys.rotate(id, { graceMs })
    if (issued === undefined) return noSuchKey([id], options)
    if (options.json === true) printJson({ key: issued.key, ...dated(issued.record) })
    else {
      print(issued.key)
      const until = isoOf(issued.record.previousUntil)
      say(
        `\nThe new key of ${issued.record.name} (id ${id}). The old one works ${until === undefined ? 'no more' : `until ${until}`}.`,
      )
    }
    return 0
  })
}

/** `portcullis key revoke` and `portcullis revoke`. */
export function revoke(ids: readonly string[], options: CommonOptions): Promise<ExitCode> {
  return withKeys(options, async (keys) => {
    const revoked: ApiKey[] = []
    const missing: string[] = []
    for (const id of ids) {
      const record = await keys.revoke(id)
      if (record === undefined) missing.push(id)
      else revoked.push(record)
    }
    if (missing.length > 0) return noSuchKey(missing, options)
    if (options.json === true) printJson(revoked.map(dated))
    else for (const { id, name } of revoked) say(`The key ${id} of ${name} is revoked.`)
    return 0
  })
}

function noSuchKey(ids: readonly string[], options: CommonOptions): ExitCode {
  if (options.json === true) printJson({ errors: ids.map((id) => ({ message: `no such key: ${id}` })) })
  say(`There is no key that could be changed with the id ${ids.join(', ')}. \`portcullis key list\` shows them.`)
  return 1
}

async function withKeys(options: CommonOptions, use: (keys: ApiKeys) => Promise<ExitCode>): Promise<ExitCode> {
  const [{ readStoreUrl }, { openStore }, { createApiKeys }, { createLogger }] = await Promise.all([
    import('./read-config.ts'),
    import('../store/open.ts'),
    import('../credentials/api-keys.ts'),
    import('./logger.ts'),
  ])
  const { url } = await readStoreUrl(options)
  const store = await openStore(url, { log: await createLogger({ level: 'warn' }) })
  try {
    return await use(createApiKeys({ store }))
  } finally {
    await store.close()
  }
}

/** A key as `--json` shows it: times in RFC 3339. */
function dated({ createdAt, notBefore, expiresAt, revokedAt, rotatedAt, previousUntil, ...key }: ApiKey): object {
  return {
    ...key,
    createdAt: isoOf(createdAt),
    notBefore: isoOf(notBefore),
    expiresAt: isoOf(expiresAt) ?? null,
    revokedAt: isoOf(revokedAt),
    rotatedAt: isoOf(rotatedAt),
    previousUntil: isoOf(previousUntil),
  }
}

function stateOf({ revokedAt, notBefore, expiresAt }: ApiKey): string {
  if (revokedAt !== undefined) return 'revoked'
  if (notBefore !== undefined && notBefore > Date.now()) return `from ${isoOf(notBefore)}`
  if (expiresAt === undefined) return 'works'
  return expiresAt <= Date.now() ? 'expired' : `until ${isoOf(expiresAt)}`
}

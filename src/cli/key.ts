import { Command } from 'commander'
import { parseDuration } from '../base/units.ts'
import type { ApiKey, ApiKeys } from '../credentials/api-keys.ts'
import { type CommonOptions, collect, type ExitCode, examplesText, newCommand, run, UsageError } from './command.ts'
import { print, printJson, say, table } from './output.ts'

interface CreateOptions extends CommonOptions {
  readonly scope?: readonly string[]
  readonly role?: readonly string[]
  readonly cidr?: readonly string[]
  readonly expires?: string
  readonly owner?: string
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
        ['portcullis key list', ''],
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
      .option('--expires <duration>', 'how long it works: 12h, 90d (default: until revoked)')
      .option('--owner <who>', 'who answers for it')
      .action(run((name: string, options: CreateOptions) => create(name, options))),
  )
  key.addCommand(newCommand('list', 'list the keys, never their secrets').action(run(list)))
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
  const { scope = [], role = [], cidr = [], expires, owner } = options
  const expiresAt = expires === undefined ? undefined : Date.now() + durationOf(expires, '--expires')
  return withKeys(options, async (keys) => {
    const { key, record } = await keys.create({
      name,
      scopes: scope,
      roles: role,
      cidrs: cidr,
      ...(owner === undefined ? {} : { owner }),
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
        key.cidrs.join(' ') || '-',
        isoOf(key.createdAt)!,
      ])
      print(table(['ID', 'NAME', 'STATE', 'SCOPES AND ROLES', 'FROM', 'CREATED'], rows))
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
function dated({ createdAt, expiresAt, revokedAt, rotatedAt, previousUntil, ...key }: ApiKey): object {
  return {
    ...key,
    createdAt: isoOf(createdAt),
    expiresAt: isoOf(expiresAt) ?? null,
    revokedAt: isoOf(revokedAt),
    rotatedAt: isoOf(rotatedAt),
    previousUntil: isoOf(previousUntil),
  }
}

function isoOf(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString()
}

function stateOf({ revokedAt, expiresAt }: ApiKey): string {
  if (revokedAt !== undefined) return 'revoked'
  if (expiresAt === undefined) return 'works'
  return expiresAt <= Date.now() ? 'expired' : `until ${isoOf(expiresAt)}`
}

function durationOf(text: string, flag: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    throw new UsageError(`${flag}: ${(error as Error).message}`)
  }
}

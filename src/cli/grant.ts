import { userInfo } from 'node:os'
import { Command } from 'commander'
import { type Grant, type Grants, grantState } from '../credentials/grants.ts'
import type { Store } from '../store/store.ts'
import { type CommonOptions, collect, type ExitCode, examplesText, newCommand, run, UsageError } from './command.ts'
import { durationOf, isoOf, timeOf } from './moments.ts'
import { print, printJson, say, table } from './output.ts'
import type { Vouchers } from './vouchers.ts'

interface AddOptions extends CommonOptions {
  readonly via?: string
  readonly role?: readonly string[]
  readonly scope?: readonly string[]
  readonly operation?: readonly string[]
  readonly cidr?: readonly string[]
  readonly for?: string
  readonly from?: string
  readonly reason?: string
}

/** `portcullis grant …`. */
export function command(): Command {
  const grant = new Command('grant')
    .summary('give somebody roles or scopes for a while')
    .description('give somebody roles or scopes for a while; they end by themselves, on every gate')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis grant add anna --role editor --for 1h --reason "ticket 4711"', 'a user of this gate'],
        [
          'portcullis grant add 4f1c… --via main --scope orders:write --for 8h',
          'the subject of a token of `issuers.main`',
        ],
        ['portcullis grant add <key id> --role editor --operation op:refund --for 30m', 'for one operation only'],
        ['portcullis grant list', 'those in force and to come; --all: those that are over, too'],
        ['portcullis grant revoke <id>', 'gone at once'],
      ]),
    )
  grant.addCommand(
    newCommand('add', 'give somebody roles or scopes for a while')
      .argument('<subject>', 'the name of a user, the id of a key, the `sub` of a token')
      .option(
        '--via <method>',
        'who vouches for the subject: basic, apiKey, session, mtls, tokenService, or a name of `issuers` (default: by the configuration)',
      )
      .option('--role <role>', 'a role of the rules; may be repeated', collect)
      .option('--scope <scope>', 'a scope of the document; may be repeated', collect)
      .option('--operation <selector>', 'operations it counts for: op:ID, tag:NAME, "GET /orders/*"', collect)
      .option('--cidr <range>', 'addresses it counts from; may be repeated', collect)
      .requiredOption('--for <duration>', 'how long: 30m, 8h, 7d; a year at most')
      .option(
        '--from <time>',
        'when it begins (default: now): a duration from now, or a time such as 2026-12-01T08:00Z',
      )
      .option('--reason <text>', 'why; shown in lists')
      .action(run((subject: string, options: AddOptions) => add(subject, options))),
  )
  grant.addCommand(
    newCommand('list', 'list the grants in force and to come')
      .option('--all', 'those that are over, too (kept for 90 days)')
      .action(run(list)),
  )
  grant.addCommand(
    newCommand('revoke', 'end grants before their time')
      .argument('<id...>', 'from `portcullis grant list`')
      .action(run(revoke)),
  )
  return grant
}

async function add(subject: string, options: AddOptions): Promise<ExitCode> {
  const { role = [], scope = [], operation = [], cidr = [], reason } = options
  const from = options.from === undefined ? Date.now() : timeOf(options.from, '--from')
  const until = from + durationOf(options.for!, '--for')
  const vouchers = await readVouchers(options)
  return withGrants(options, async (grants, store) => {
    const via = options.via ?? (await voucherOf(subject, store, vouchers?.people ?? ['basic']))
    const grant = await grants.create({
      subject,
      via,
      roles: role,
      scopes: scope,
      operations: operation,
      cidrs: cidr,
      ...(reason === undefined ? {} : { reason }),
      grantedBy: `cli:${userInfo().username}`,
      from,
      until,
    })
    if (options.json === true) printJson(dated(grant))
    else say(`${subject} (${grant.via}) has ${rightsOf(grant)} until ${isoOf(until)} (grant ${grant.id}).`)
    if (vouchers?.isAccepted(via) === false) {
      const { unacceptedVoucher } = await import('./vouchers.ts')
      say(`warning: ${unacceptedVoucher(via)}.`)
    }
    return 0
  })
}

/** The same name can be a user here and the subject of somebody's tokens; where it is one thing only, nobody need say so. */
async function voucherOf(subject: string, store: Store, people: readonly string[]): Promise<string> {
  const { vouchersFor } = await import('./vouchers.ts')
  const [one, ...more] = await vouchersFor(subject, store, people)
  if (one === undefined) {
    throw new UsageError(
      `${subject} is neither a key nor a user of this gate. Say who vouches for it: --via NAME, one of \`issuers\`, or session or mtls.`,
    )
  }
  if (more.length === 0) return one
  throw new UsageError(
    `${subject} may come in by ${[one, ...more].join(' or ')}, and a grant is for one of them. Say which: ${[one, ...more].map((via) => `--via ${via}`).join(', ')}.`,
  )
}

/** What the configuration says of callers; beside a `dev` without a file there is none. */
async function readVouchers(options: CommonOptions): Promise<Vouchers | undefined> {
  const [{ readConfig }, { vouchersOf }] = await Promise.all([import('./read-config.ts'), import('./vouchers.ts')])
  try {
    return vouchersOf(await readConfig(options, { withoutUpstreams: true }))
  } catch (error) {
    if (error instanceof UsageError) return undefined
    throw error
  }
}

function list(options: CommonOptions & { readonly all?: boolean }): Promise<ExitCode> {
  return withGrants(options, async (grants) => {
    const all: Grant[] = []
    for (;;) {
      const page = await grants.list(all.length === 0 ? {} : { after: all.at(-1)!.id })
      all.push(...page)
      if (page.length < 1_000) break
    }
    const at = Date.now()
    const isOver = (grant: Grant) => ['ended', 'revoked'].includes(grantState(grant, at))
    const wanted = all.filter((grant) => options.all === true || !isOver(grant)).sort((a, b) => a.until - b.until)
    if (options.json === true) printJson(wanted.map(dated))
    else if (wanted.length === 0) say('There are no grants. Give one: portcullis grant add WHO --role ROLE --for 1h')
    else {
      const rows = wanted.map((grant) => [
        grant.id,
        `${grant.subject} (${grant.via})`,
        grantState(grant, at),
        rightsOf(grant),
        [...grant.operations, ...grant.cidrs].join(' ') || '-',
        isoOf(grant.until)!,
        grant.reason ?? '-',
      ])
      print(table(['ID', 'WHO', 'STATE', 'RIGHTS', 'BOUNDS', 'UNTIL', 'REASON'], rows))
    }
    return 0
  })
}

function revoke(ids: readonly string[], options: CommonOptions): Promise<ExitCode> {
  return withGrants(options, async (grants) => {
    const revoked: Grant[] = []
    const missing: string[] = []
    for (const id of ids) {
      const grant = await grants.revoke(id, `cli:${userInfo().username}`)
      if (grant === undefined) missing.push(id)
      else revoked.push(grant)
    }
    if (options.json === true) {
      printJson(
        missing.length > 0
          ? { errors: missing.map((id) => ({ message: `no such grant: ${id}` })) }
          : revoked.map(dated),
      )
    }
    for (const { id, subject } of revoked) say(`The grant ${id} of ${subject} is over.`)
    if (missing.length > 0) say(`There is no grant ${missing.join(', ')}. \`portcullis grant list\` shows them.`)
    return missing.length > 0 ? 1 : 0
  })
}

async function withGrants(
  options: CommonOptions,
  use: (grants: Grants, store: Store) => Promise<ExitCode>,
): Promise<ExitCode> {
  const [{ readStoreUrl }, { openStore }, { createGrants }, { createLogger }] = await Promise.all([
    import('./read-config.ts'),
    import('../store/open.ts'),
    import('../credentials/grants.ts'),
    import('./logger.ts'),
  ])
  const { url } = await readStoreUrl(options)
  const store = await openStore(url, { log: await createLogger({ level: 'warn' }) })
  try {
    return await use(createGrants({ store }), store)
  } finally {
    await store.close()
  }
}

function rightsOf({ roles, scopes }: Grant): string {
  return [...scopes, ...roles.map((role) => `role:${role}`)].join(' ')
}

/** A grant as `--json` shows it: times in RFC 3339. */
function dated(grant: Grant): object {
  const { createdAt, from, until, revokedAt } = grant
  return {
    ...grant,
    state: grantState(grant, Date.now()),
    createdAt: isoOf(createdAt),
    from: isoOf(from),
    until: isoOf(until),
    revokedAt: isoOf(revokedAt),
  }
}

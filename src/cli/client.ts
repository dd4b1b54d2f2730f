import { Command } from 'commander'
import type { clientAuthNames, GrantName } from '../config/token-service.ts'
import type { Client, Clients } from '../identity/clients.ts'
import { type CommonOptions, collect, type ExitCode, examplesText, newCommand, run, UsageError } from './command.ts'
import { durationOf, isoOf } from './moments.ts'
import { print, printJson, say, table } from './output.ts'

interface CreateOptions extends CommonOptions {
  readonly grant?: readonly string[]
  readonly redirect?: readonly string[]
  readonly scope?: readonly string[]
  readonly role?: readonly string[]
  readonly resource?: readonly string[]
  readonly auth?: string
  readonly jwks?: string
  readonly subject?: string
  readonly bound?: string
  readonly plan?: string
  readonly cidr?: readonly string[]
  readonly origin?: readonly string[]
  readonly operation?: readonly string[]
  readonly title?: string
  readonly native?: boolean
  readonly trusted?: boolean
}

/** `portcullis client …`. */
export function command(): Command {
  const client = new Command('client')
    .summary('make, list, rotate and revoke clients of the token service')
    .description('make, list, rotate and revoke clients of the token service; a running gate honours each at once')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis client create batch --scope orders:read', 'prints the secret, this once'],
        [
          'portcullis client create app --grant authorization_code --grant refresh_token --redirect https://app.example.com/callback --scope orders:read',
          'people sign in',
        ],
        ['portcullis client create phone --auth none --native --grant device_code --scope orders:read', 'no secret'],
        ['portcullis client list', ''],
        ['portcullis client rotate batch --grace 1h', 'a new secret; the old one works one hour more'],
        ['portcullis client revoke batch', 'refused from now on, with every token it has'],
      ]),
    )
  client.addCommand(
    newCommand('create', 'make a client and print its secret, this once')
      .argument('<name>', 'its id, as it stands in tokens and logs')
      .option('--grant <grant>', 'what it asks with; may be repeated (default: client_credentials)', collect)
      .option('--redirect <url>', 'where codes may be sent, to the letter; may be repeated', collect)
      .option('--scope <scope>', 'a scope it may ask for; may be repeated', collect)
      .option('--role <role>', 'a role of the client itself; may be repeated', collect)
      .option('--resource <api>', 'an API it may get tokens for; may be repeated (default: all)', collect)
      .option('--auth <how>', 'secret, private_key_jwt, mtls or none', 'secret')
      .option('--jwks <file>', 'its public keys, for private_key_jwt')
      .option('--subject <name>', 'the distinguished name of its certificate, for mtls')
      .option('--bound <how>', 'bind its tokens: dpop or mtls')
      .option('--plan <plan>', 'its plan, for limits')
      .option('--cidr <range>', 'addresses its tokens work from; may be repeated (default: everywhere)', collect)
      .option('--origin <origin>', 'web origins whose pages may use them; may be repeated', collect)
      .option('--operation <selector>', 'what they work for: op:listOrders, tag:orders; may be repeated', collect)
      .option('--title <text>', 'what people read on the consent page')
      .option('--native', 'an app on a device (RFC 8252)')
      .option('--trusted', 'one of your own: people are not asked whether they agree')
      .action(run((name: string, options: CreateOptions) => create(name, options))),
  )
  client.addCommand(newCommand('list', 'list the clients, never their secrets').action(run(list)))
  client.addCommand(
    newCommand('rotate', 'give a client a new secret')
      .argument('<name>', 'from `portcullis client list`')
      .option('--grace <duration>', 'how long the old secret still works', '0s')
      .action(run((name: string, options: CommonOptions & { grace: string }) => rotate(name, options))),
  )
  client.addCommand(
    newCommand('revoke', 'end a client for good, and every token it has')
      .argument('<name...>', 'from `portcullis client list`')
      .action(run(revoke)),
  )
  return client
}

async function create(name: string, options: CreateOptions): Promise<ExitCode> {
  const { grant, redirect = [], scope = [], role = [], resource, auth, jwks, subject, bound, plan, title } = options
  const { cidr = [], origin = [], operation = [] } = options
  const bounds = { cidrs: [...cidr], origins: [...origin], operations: [...operation] }
  const isBounded = Object.values(bounds).some((list) => list.length > 0)
  return withClients(options, async (clients) => {
    const { client, secret } = await clients.create(name, {
      ...(grant === undefined ? {} : { grants: grant as GrantName[] }),
      auth: auth as (typeof clientAuthNames)[number],
      redirects: [...redirect],
      scopes: [...scope],
      roles: [...role],
      native: options.native === true,
      trusted: options.trusted === true,
      ...(resource === undefined ? {} : { resources: [...resource] }),
      ...(jwks === undefined ? {} : { jwks: await readJwks(jwks) }),
      ...(subject === undefined ? {} : { certificate: { subject } }),
      ...(bound === undefined ? {} : { bound: bound as 'dpop' | 'mtls' }),
      ...(isBounded ? { bounds } : {}),
      ...(plan === undefined ? {} : { plan }),
      ...(title === undefined ? {} : { name: title }),
    })
    if (options.json === true) printJson({ ...shown(client), secret: secret ?? null })
    else if (secret === undefined) say(`The client ${name} is there.`)
    else {
      print(secret)
      say(`\nThe secret of the client ${name}. It is shown this once.`)
    }
    return 0
  })
}

async function readJwks(path: string) {
  const { readFile } = await import('node:fs/promises')
  try {
    return JSON.parse(await readFile(path, 'utf8')) as { keys: { kty: string }[] }
  } catch (error) {
    throw new UsageError(`--jwks: ${(error as Error).message}`)
  }
}

function list(options: CommonOptions): Promise<ExitCode> {
  return withClients(options, async (clients) => {
    const all = await clients.list()
    if (options.json === true) printJson(all.map(shown))
    else if (all.length === 0) say('There are no clients. Make one: portcullis client create NAME --scope SCOPE')
    else {
      const rows = all.map((client) => [
        client.id,
        client.revokedAt === undefined ? 'works' : 'revoked',
        client.auth,
        client.grants.join(' '),
        client.scopes.join(' ') || '-',
        client.from,
      ])
      print(table(['CLIENT', 'STATE', 'PROVES ITSELF BY', 'GRANTS', 'SCOPES', 'FROM'], rows))
    }
    return 0
  })
}

function rotate(name: string, options: CommonOptions & { readonly grace: string }): Promise<ExitCode> {
  const graceMs = durationOf(options.grace, '--grace')
  return withClients(options, async (clients) => {
    const issued = await clients.rotate(name, { graceMs })
    if (issued === undefined) return noSuchClient([name], options)
    if (options.json === true) printJson({ ...shown(issued.client), secret: issued.secret })
    else {
      print(issued.secret!)
      const until = graceMs === 0 ? 'no more' : `for ${options.grace} more`
      say(`\nThe new secret of ${name}. The old one works ${until}.`)
    }
    return 0
  })
}

function revoke(names: readonly string[], options: CommonOptions): Promise<ExitCode> {
  return withClients(options, async (clients) => {
    const revoked: Client[] = []
    const missing: string[] = []
    for (const name of names) {
      const client = await clients.revoke(name)
      if (client === undefined) missing.push(name)
      else revoked.push(client)
    }
    if (missing.length > 0) return noSuchClient(missing, options)
    if (options.json === true) printJson(revoked.map(shown))
    else for (const { id } of revoked) say(`The client ${id} is revoked, with every token it had.`)
    return 0
  })
}

function noSuchClient(names: readonly string[], options: CommonOptions): ExitCode {
  if (options.json === true) printJson({ errors: names.map((name) => ({ message: `no such client: ${name}` })) })
  say(
    `There is no client that could be changed called ${names.join(', ')}. Those of the configuration are changed there; \`portcullis client list\` shows all.`,
  )
  return 1
}

async function withClients(options: CommonOptions, use: (clients: Clients) => Promise<ExitCode>): Promise<ExitCode> {
  const [{ readConfig }, { openStore }, { createClients }, { withIssuer }, { endFamily, forGood }, { createLogger }] =
    await Promise.all([
      import('./read-config.ts'),
      import('../store/open.ts'),
      import('../identity/clients.ts'),
      import('../identity/issuer.ts'),
      import('../credentials/revoked-tokens.ts'),
      import('./logger.ts'),
    ])
  const { settings } = await readConfig(options)
  if (settings.tokenService === undefined) {
    throw new UsageError('The token service is off. Switch it on in the configuration: tokenService: true')
  }
  const service = withIssuer(settings.tokenService, settings.listen)
  const store = await openStore(settings.store.url, { log: await createLogger({ level: 'warn' }) })
  try {
    const now = Date.now
    const endTokens = (client: string) =>
      endFamily(store, service.issuer, `client:${client}`, forGood, service.accessTtl + 60_000)
    const { clients: configured, profile } = service
    return await use(createClients({ store, configured, profile, now, endTokens }))
  } finally {
    await store.close()
  }
}

/** A client as `--json` shows it: times in RFC 3339. */
function shown({ createdAt, rotatedAt, revokedAt, ...client }: Client): object {
  return {
    ...client,
    createdAt: isoOf(createdAt) ?? null,
    rotatedAt: isoOf(rotatedAt) ?? null,
    revokedAt: isoOf(revokedAt) ?? null,
  }
}

import { Command } from 'commander'
import type { Config } from '../config/load.ts'
import type { User } from '../credentials/users.ts'
import type { Accounts } from '../identity/accounts.ts'
import type { ServiceSettings } from '../identity/issuer.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import { type CommonOptions, collect, type ExitCode, examplesText, newCommand, run, UsageError } from './command.ts'
import { print, printJson, say, table } from './output.ts'
import { askPassword, readPassword } from './password.ts'
import { withUsers } from './with-users.ts'

interface AddOptions extends CommonOptions {
  readonly scope?: readonly string[]
  readonly role?: readonly string[]
  readonly passwordStdin?: boolean
}

interface PasswordOptions extends CommonOptions {
  readonly passwordStdin?: boolean
}

interface RemoveFactorOptions extends CommonOptions {
  readonly remove?: boolean
}

interface PasskeyOptions extends CommonOptions {
  readonly remove?: string
}

/** `portcullis user …`. */
export function command(): Command {
  const user = new Command('user')
    .summary('keep the people who sign in, and the users of HTTP Basic')
    .description('keep users: of the sign-in pages of the token service, and of HTTP Basic (`basic` under `auth`)')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis user add anna --role editor', 'asks for the password'],
        ['pass show api | portcullis user add ci --password-stdin', 'reads it from another program'],
        ['portcullis user passwd anna', 'a new password; what she signed in to ends'],
        ['portcullis user totp anna', 'sets up an authenticator app for her, and shows its key once'],
        ['portcullis user totp anna --remove', 'her telephone is lost'],
        ['portcullis user recovery anna', 'new recovery codes, shown once'],
        ['portcullis user unlock anna', 'somebody guessed at her; she may try again'],
        ['portcullis user list', ''],
        ['portcullis user remove anna', 'refused from now on'],
      ]),
    )
  user.addCommand(
    newCommand('add', 'make a user, or give one a new password and rights')
      .argument('<name>', 'without a colon')
      .option('--scope <scope>', 'a scope of the document; may be repeated', collect)
      .option('--role <role>', 'a role of the rules; may be repeated', collect)
      // No `--password`: the command line of a process is read by every user of the machine.
      .option('--password-stdin', 'read the password from standard input')
      .action(run((name: string, options: AddOptions) => add(name, options))),
  )
  user.addCommand(
    newCommand('passwd', 'give a user a new password and leave the rights; sessions and tokens from before end')
      .argument('<name>')
      .option('--password-stdin', 'read the password from standard input')
      .action(run((name: string, options: PasswordOptions) => passwd(name, options))),
  )
  user.addCommand(newCommand('list', 'list the users, never their passwords').action(run(list)))
  user.addCommand(
    newCommand('totp', 'set up an authenticator app for a user: shows the key once; or remove it')
      .argument('<name>')
      .option('--remove', 'take the app away')
      .action(run((name: string, options: RemoveFactorOptions) => totp(name, options))),
  )
  user.addCommand(
    newCommand('passkeys', 'list the passkeys of a user, or remove one; they are added on the account page')
      .argument('<name>')
      .option('--remove <id>', 'the passkey to take away')
      .action(run((name: string, options: PasskeyOptions) => passkeys(name, options))),
  )
  user.addCommand(
    newCommand('recovery', 'make new recovery codes for a user, shown once; earlier ones end')
      .argument('<name>')
      .action(run((name: string, options: CommonOptions) => recovery(name, options))),
  )
  user.addCommand(
    newCommand('unlock', 'let a user try again at once whom somebody guessed at')
      .argument('<name>')
      .action(run((name: string, options: CommonOptions) => unlock(name, options))),
  )
  user.addCommand(
    newCommand('remove', 'remove a user with all second factors; sessions and tokens end')
      .argument('<name>')
      .action(run((name: string, options: CommonOptions) => remove(name, options))),
  )
  return user
}

async function add(name: string, options: AddOptions): Promise<ExitCode> {
  const password = options.passwordStdin === true ? await readPassword() : await askPassword(name)
  return withUsers(options, async (users) => {
    const { scope: scopes = [], role: roles = [] } = options
    const user = await users.set(name, password, { scopes, roles })
    if (options.json === true) printJson(dated(user))
    else say(`The user ${name} may come in with this password.`)
    return 0
  })
}

function list(options: CommonOptions): Promise<ExitCode> {
  return withUsers(options, async (users) => {
    const all: User[] = []
    for (;;) {
      const page = await users.list(all.length === 0 ? {} : { after: all.at(-1)!.name })
      all.push(...page)
      if (page.length < 1_000) break
    }
    if (options.json === true) printJson(all.map(dated))
    else if (all.length === 0) say('There are no users. Add one: portcullis user add NAME')
    else {
      const rows = all.map(({ name, scopes, roles, createdAt }) => [
        name,
        [...scopes, ...roles.map((role) => `role:${role}`)].join(' ') || '-',
        new Date(createdAt).toISOString(),
      ])
      print(table(['NAME', 'SCOPES AND ROLES', 'CREATED'], rows))
    }
    return 0
  })
}

async function passwd(typed: string, options: PasswordOptions): Promise<ExitCode> {
  const password = options.passwordStdin === true ? await readPassword() : await askPassword(typed)
  return withAccount(typed, options, async (accounts, name) => {
    const fault = await accounts.changePassword(name, password)
    if (fault !== undefined) throw new UsageError(`Not changed: ${fault}.`)
    if (options.json === true) printJson({ name, changed: true })
    say(`The password of ${name} is changed. Sessions and tokens from before are over.`)
    return 0
  })
}

function totp(typed: string, options: RemoveFactorOptions): Promise<ExitCode> {
  return withAccount(typed, options, async (accounts, name) => {
    if (options.remove === true) {
      const removed = await accounts.factors.removeTotp(name)
      if (options.json === true) printJson({ name, removed })
      say(removed ? `The authenticator app of ${name} is taken away.` : `${name} has no authenticator app.`)
      return removed ? 0 : 1
    }
    const { secret, uri } = await accounts.factors.setTotp(name)
    if (options.json === true) printJson({ name, secret, uri })
    else {
      print(`key  ${secret}`)
      print(`uri  ${uri}`)
    }
    say('Shown this once. Hand it over in person: who has it makes the codes.')
    return 0
  })
}

function passkeys(typed: string, options: PasskeyOptions): Promise<ExitCode> {
  return withAccount(typed, options, async (accounts, name) => {
    if (options.remove !== undefined) {
      const removed = await accounts.factors.removePasskey(name, options.remove)
      if (options.json === true) printJson({ name, id: options.remove, removed })
      say(removed ? 'The passkey is taken away.' : `${name} has no such passkey.`)
      return removed ? 0 : 1
    }
    const found = (await accounts.factors.list(name)).passkeys
    const date = (at: number | undefined) => (at === undefined ? undefined : new Date(at).toISOString())
    if (options.json === true) {
      printJson(
        found.map(({ id, label, createdAt, usedAt }) => ({
          id,
          label,
          createdAt: date(createdAt),
          usedAt: date(usedAt),
        })),
      )
    } else if (found.length === 0) say(`${name} has no passkey. One is added on the page <issuer>/interaction/account.`)
    else {
      const rows = found.map(({ id, label, createdAt, usedAt }) => [id, label, date(createdAt)!, date(usedAt) ?? '-'])
      print(table(['ID', 'NAME', 'CREATED', 'LAST USED'], rows))
    }
    return 0
  })
}

function recovery(typed: string, options: CommonOptions): Promise<ExitCode> {
  return withAccount(typed, options, async (accounts, name) => {
    const codes = await accounts.factors.newRecoveryCodes(name)
    if (options.json === true) printJson({ name, codes })
    else for (const code of codes) print(code)
    say('Shown this once. Each works once, in place of the second factor; earlier ones are over.')
    return 0
  })
}

function unlock(typed: string, options: CommonOptions): Promise<ExitCode> {
  return withAccount(typed, options, async (accounts, name) => {
    await accounts.unlock(name)
    if (options.json === true) printJson({ name, unlocked: true })
    say(`${name} may try again.`)
    return 0
  })
}

function remove(name: string, options: CommonOptions): Promise<ExitCode> {
  return withAccounts(options, async (accounts) => {
    const removed = await accounts.remove(name)
    if (options.json === true) printJson({ name, removed })
    say(removed ? `The user ${name} is removed.` : `There is no user ${name}.`)
    return removed ? 0 : 1
  })
}

function withAccount(
  name: string,
  options: CommonOptions,
  use: (accounts: Accounts, name: string) => Promise<ExitCode>,
): Promise<ExitCode> {
  return withAccounts(options, async (accounts) => {
    const user = await accounts.find(name)
    // Under the name as it is stored: what is typed may be another form of it (RFC 8265).
    if (user !== undefined) return use(accounts, user.name)
    say(`There is no user ${name}.`)
    return 1
  })
}

/** The accounts of the store, as the token service of the configuration has them, if there is one. */
async function withAccounts(options: CommonOptions, use: (accounts: Accounts) => Promise<ExitCode>): Promise<ExitCode> {
  const [{ readStoreUrl, readConfig }, { openStore }, { createAccounts }, { createLogger }, { createMemoryCounters }] =
    await Promise.all([
      import('./read-config.ts'),
      import('../store/open.ts'),
      import('../identity/accounts.ts'),
      import('./logger.ts'),
      import('../store/counters-memory.ts'),
    ])
  const { url } = await readStoreUrl(options)
  const log = await createLogger({ level: 'warn' })
  // Beside a `dev` without a file there is a store and no configuration: then nothing is sealed, either.
  const config = await readConfig(options, { withoutUpstreams: true }).catch((error: unknown) => {
    if (error instanceof UsageError) return undefined
    throw error
  })
  const service = await serviceOf(config)
  const store = await openStore(url, { log })
  let ring: Promise<KeyRing> | undefined
  const vault = () => {
    ring ??= openRing(config, store)
    return ring
  }
  const accounts = createAccounts({
    store,
    // Only sign-ins count.
    counters: createMemoryCounters(),
    vault,
    now: Date.now,
    tell: () => {},
    settings: service ?? { issuer: 'https://localhost/', mfa: [], theme: {} },
  })
  const endings: Promise<void>[] = []
  if (service !== undefined) {
    const { endFamily } = await import('../credentials/revoked-tokens.ts')
    const tokenMs = service.accessTtl + 60_000
    accounts.onEnd((name) => {
      endings.push(endFamily(store, service.issuer, `subject:${name}`, Date.now(), tokenMs))
    })
  }
  try {
    const code = await use(accounts)
    await Promise.all(endings)
    return code
  } finally {
    accounts.close()
    ;(await ring?.catch(() => undefined))?.close()
    await store.close()
  }
}

async function serviceOf(config: Config | undefined): Promise<ServiceSettings | undefined> {
  if (config?.settings.tokenService === undefined) return undefined
  const { withIssuer } = await import('../identity/issuer.ts')
  return withIssuer(config.settings.tokenService, config.settings.listen)
}

async function openRing(config: Config | undefined, store: Store): Promise<KeyRing> {
  if (config === undefined) {
    throw new UsageError(
      'Second factors are sealed with the master key of a configuration: name it with --config FILE.',
    )
  }
  const [{ masterKeyOf }, { stateDirOf }, { openKeyRing }, { createLogger }] = await Promise.all([
    import('./vault.ts'),
    import('./load.ts'),
    import('../vault/index.ts'),
    import('./logger.ts'),
  ])
  const master = await masterKeyOf(config, stateDirOf(config))
  return openKeyRing({ store, master, now: Date.now, log: await createLogger({ level: 'warn' }) })
}

function dated({ createdAt, changedAt, ...user }: User): object {
  return { ...user, createdAt: new Date(createdAt).toISOString(), changedAt: new Date(changedAt).toISOString() }
}

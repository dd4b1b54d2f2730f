import { Command } from 'commander'
import type { User, Users } from '../credentials/users.ts'
import { type CommonOptions, collect, type ExitCode, examplesText, newCommand, run } from './command.ts'
import { print, printJson, say, table } from './output.ts'
import { askPassword, readPassword } from './password.ts'

interface AddOptions extends CommonOptions {
  readonly scope?: readonly string[]
  readonly role?: readonly string[]
  readonly passwordStdin?: boolean
}

/** `portcullis user …`. */
export function command(): Command {
  const user = new Command('user')
    .summary('keep the users of HTTP Basic')
    .description('keep the users of HTTP Basic; list `basic` under `auth` to let them in')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis user add anna --role editor', 'asks for the password'],
        ['pass show api | portcullis user add ci --password-stdin', 'reads it from another program'],
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
  user.addCommand(newCommand('list', 'list the users, never their passwords').action(run(list)))
  user.addCommand(
    newCommand('remove', 'remove a user')
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

function remove(name: string, options: CommonOptions): Promise<ExitCode> {
  return withUsers(options, async (users) => {
    const removed = await users.remove(name)
    if (options.json === true) printJson({ name, removed })
    say(removed ? `The user ${name} is removed.` : `There is no user ${name}.`)
    return removed ? 0 : 1
  })
}

async function withUsers(options: CommonOptions, use: (users: Users) => Promise<ExitCode>): Promise<ExitCode> {
  const [{ readStoreUrl }, { openStore }, { createUsers }, { createLogger }] = await Promise.all([
    import('./read-config.ts'),
    import('../store/open.ts'),
    import('../credentials/users.ts'),
    import('./logger.ts'),
  ])
  const { url } = await readStoreUrl(options)
  const store = await openStore(url, { log: await createLogger({ level: 'warn' }) })
  const users = createUsers({ store })
  try {
    return await use(users)
  } finally {
    users.close()
    await store.close()
  }
}

function dated({ createdAt, changedAt, ...user }: User): object {
  return { ...user, createdAt: new Date(createdAt).toISOString(), changedAt: new Date(changedAt).toISOString() }
}

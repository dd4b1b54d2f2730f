import { Command } from 'commander'
import { isOwnRole, type Level, roleOf } from '../admin/contract.ts'
import { everything } from '../credentials/unused.ts'
import type { User } from '../credentials/users.ts'
import { type CommonOptions, type ExitCode, examplesText, newCommand, run, UsageError } from './command.ts'
import { print, printJson, say, table } from './output.ts'
import { askPassword, readPassword } from './password.ts'
import { withUsers } from './with-users.ts'

interface CreateOptions extends CommonOptions {
  readonly level: string
  readonly passwordStdin?: boolean
  readonly force?: boolean
}

const levels: readonly Level[] = ['viewer', 'operator', 'admin']

/** `portcullis admin …`. */
export function command(): Command {
  const admin = new Command('admin')
    .summary('make the first administrator of the HTTP administration')
    .description(
      'make and list those who may administer over HTTP; switch it on with `admin: { listen: 127.0.0.1:9443 }`',
    )
    .addHelpText(
      'after',
      examplesText([
        ['portcullis admin create anna', 'asks for the password; only where there is no administrator yet'],
        ['pass show gate | portcullis admin create anna --password-stdin', 'reads it from another program'],
        ['portcullis admin create bo --level viewer --force', 'one more, who may only look'],
        ['portcullis admin list', ''],
      ]),
    )
  admin.addCommand(
    newCommand('create', 'make the first administrator')
      .argument('<name>', 'without a colon')
      .option('--level <level>', 'viewer, operator or admin', 'admin')
      // No `--password`: the command line of a process is read by every user of the machine.
      .option('--password-stdin', 'read the password from standard input')
      .option('--force', 'although there is an administrator, or a user of this name')
      .action(run((name: string, options: CreateOptions) => create(name, options))),
  )
  admin.addCommand(newCommand('list', 'list the users who may administer').action(run(list)))
  return admin
}

async function create(name: string, options: CreateOptions): Promise<ExitCode> {
  const level = levels.find((one) => one === options.level)
  if (level === undefined) throw new UsageError(`--level is one of ${levels.join(', ')}.`)
  return withUsers(options, async (users) => {
    const all = await everything(users.list, (user) => user.name)
    if (options.force !== true) {
      const first = all.find(isAdministrator)
      if (first !== undefined) {
        return refuse(
          `There is an administrator already: ${first.name}. Make others over HTTP, or say --force.`,
          options,
        )
      }
      if (all.some((user) => user.name === name.normalize('NFC'))) {
        return refuse(
          `There is a user ${name}. It would get a new password and lose its other roles: say --force if that is meant.`,
          options,
        )
      }
    }
    const password = options.passwordStdin === true ? await readPassword() : await askPassword(name)
    const user = await users.set(name, password, { roles: [roleOf(level)] })
    if (options.json === true) printJson({ name: user.name, roles: user.roles })
    else say(`${user.name} may administer this gate (${level}).`)
    return 0
  })
}

function list(options: CommonOptions): Promise<ExitCode> {
  return withUsers(options, async (users) => {
    const own = (await everything(users.list, (user) => user.name)).filter(({ roles }) => roles.some(isOwnRole))
    if (options.json === true) printJson(own.map(({ name, roles }) => ({ name, roles })))
    else if (own.length === 0) say('Nobody may administer yet. Make the first one: portcullis admin create NAME')
    else
      print(
        table(
          ['NAME', 'ROLES'],
          own.map(({ name, roles }) => [name, roles.filter(isOwnRole).join(' ')]),
        ),
      )
    return 0
  })
}

function isAdministrator({ roles }: User): boolean {
  return roles.includes(roleOf('admin'))
}

function refuse(message: string, options: CommonOptions): ExitCode {
  if (options.json === true) printJson({ errors: [{ message }] })
  say(message)
  return 1
}

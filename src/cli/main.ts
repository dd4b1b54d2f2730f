import { Command, CommanderError } from 'commander'
import { ConfigError, ConfigErrors } from '../base/errors.ts'
import { examplesText, UsageError } from './command.ts'
import { printError, printJson, say } from './output.ts'
import { packageVersion } from './version.ts'

interface Entry {
  readonly name: string
  readonly summary: string
  /** Only the command that is asked for is loaded: `--help` must not wait for a database driver. */
  readonly load: () => Promise<{ readonly command: () => Command }>
}

const entries: readonly Entry[] = [
  { name: 'dev', summary: 'try it: one document, one upstream, no file needed', load: () => import('./dev.ts') },
  { name: 'init', summary: 'write a portcullis.yaml', load: () => import('./init.ts') },
  { name: 'check', summary: 'check the configuration, documents and headers', load: () => import('./check.ts') },
  { name: 'start', summary: 'run the gate', load: () => import('./start.ts') },
  { name: 'key', summary: 'make, list, rotate and revoke API keys', load: () => import('./key.ts') },
  { name: 'keys', summary: "keep the gate's own keys: rotate, destroy, seal anew", load: () => import('./keys.ts') },
  { name: 'revoke', summary: 'end API keys for good: `key revoke`, in one word', load: () => import('./revoke.ts') },
  { name: 'grant', summary: 'give somebody roles or scopes for a while', load: () => import('./grant.ts') },
  {
    name: 'admin',
    summary: 'make the first administrator of the HTTP administration',
    load: () => import('./admin.ts'),
  },
  { name: 'report', summary: 'rights that nobody uses', load: () => import('./report.ts') },
  {
    name: 'client',
    summary: 'make, list, rotate and revoke clients of the token service',
    load: () => import('./client.ts'),
  },
  { name: 'user', summary: 'keep the users of HTTP Basic', load: () => import('./user.ts') },
  {
    name: 'explain',
    summary: 'why a request was refused; what guards an operation',
    load: () => import('./explain.ts'),
  },
  { name: 'waf', summary: 'install, update, test and explain firewall rules', load: () => import('./waf.ts') },
  { name: 'doctor', summary: 'look for what is broken around the gate', load: () => import('./doctor.ts') },
  { name: 'schema', summary: 'print the JSON Schema of the configuration', load: () => import('./schema.ts') },
]

/** Words of the whole product that this version does not know yet: whoever read about them is told so. */
const planned: Readonly<Record<string, string>> = {
  audit: 'proof that the audit log is whole',
  console: 'the console in the browser',
  drift: 'where traffic and document part',
  learn: 'a document made from traffic',
  replay: 'recorded traffic against another configuration',
  scan: 'the scanner',
  spec: 'a document made from traffic',
}

const examples = [
  ['portcullis dev ./openapi.yaml --upstream http://localhost:3000', 'protect an API now, on https://localhost:8443'],
  ['portcullis init', 'keep it: write portcullis.yaml'],
  ['portcullis check', 'is everything right? (for CI: exit code 1 if not)'],
  ['portcullis start', 'run it; a changed file is taken over without a dropped request'],
  ['portcullis key create partner --scope orders:read --expires 90d', 'let somebody in'],
  ['portcullis explain GET /orders/{id}', 'what stands before this operation'],
] as const

/** Every command, loaded: for the manual. */
export async function everyCommand(): Promise<Command[]> {
  const modules = await Promise.all(entries.map(({ load }) => load()))
  const program = new Command('portcullis')
  for (const { command } of modules) program.addCommand(command())
  return [...program.commands]
}

/** Runs one command line to its end and returns the exit code: 0 done, 1 the answer is no, 2 usage or configuration. */
export async function main(words: readonly string[]): Promise<number> {
  process.exitCode = 0
  const json = words.includes('--json')
  try {
    const program = await programFor(words)
    await program.parseAsync([...words], { from: 'user' })
    return Number(process.exitCode ?? 0)
  } catch (error) {
    if (error instanceof CommanderError) {
      // Help and version are no errors; everything else commander has already said, on standard error.
      if (error.exitCode === 0) return 0
      if (json) printJson({ errors: [{ message: error.message.replace(/^error: /, '') }] })
      return 2
    }
    printError(error, json)
    if (typeof (error as NodeJS.ErrnoException)?.path === 'string') return 2
    if (error instanceof UsageError || error instanceof ConfigError || error instanceof ConfigErrors) return 2
    if (process.env.PORTCULLIS_DEBUG !== undefined && error instanceof Error) say(error.stack ?? '')
    return 1
  }
}

async function programFor(words: readonly string[]): Promise<Command> {
  const program = new Command('portcullis')
    .description('An OpenAPI document in, a protected API out.')
    .version(packageVersion(), '-v, --version')
    .addHelpText('after', examplesText(examples))
    .addHelpText(
      'after',
      '\nEvery command takes --help. Exit codes: 0 done, 1 the answer is no, 2 usage or configuration.',
    )
  const asked = words[0] === 'help' ? words[1] : words.find((word) => !word.startsWith('-'))
  if (asked !== undefined && Object.hasOwn(planned, asked)) {
    throw new UsageError(
      `\`portcullis ${asked}\` is not in this version (${packageVersion()}): ${planned[asked]}. \`portcullis --help\` shows what is.`,
    )
  }
  for (const { name, summary, load } of entries) {
    program.addCommand(
      name === asked ? (await load()).command() : new Command(name).summary(summary).description(summary),
    )
  }
  strict(program, 'portcullis')
  // `chekc --help` would teach everything but that there is no such command.
  if (asked !== undefined && words[0] === asked && !entries.some(({ name }) => name === asked)) {
    await program.parseAsync([asked], { from: 'user' })
  }
  if (words.length === 0) {
    say(program.helpInformation())
    say(examplesText(examples))
    throw new CommanderError(2, 'portcullis.noCommand', 'name a command')
  }
  return program
}

/** Errors come to `main` in place of ending the process, at every depth. */
function strict(command: Command, path: string): void {
  command.exitOverride()
  command.showHelpAfterError(`Run \`${path} --help\` to see what there is.`)
  command.configureOutput({ outputError: (text, write) => write(text) })
  for (const child of command.commands) {
    child.copyInheritedSettings(command)
    strict(child, `${path} ${child.name()}`)
  }
}

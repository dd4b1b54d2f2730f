import { Command, Option } from 'commander'
import { type CommonOptions, collect, examplesText, newCommand, run } from './command.ts'

/** Options of the commands that keep rules. */
export interface SupplyOptions extends CommonOptions {
  readonly to?: string
  readonly from?: string
  readonly signature?: string
  readonly key?: string
  readonly mirror?: string
}

export interface TestOptions extends CommonOptions {
  readonly rules?: string
  readonly http?: boolean
  readonly paranoia: string
  readonly overrides?: string
  readonly only?: readonly string[]
  readonly plain?: boolean
}

export interface ExplainOptions extends CommonOptions {
  readonly rules?: string
  readonly paranoia: string
  readonly all?: boolean
}

/** `portcullis waf …`. */
export function command(): Command {
  const waf = new Command('waf')
    .summary('install, update, test and explain the rules of the web application firewall')
    .description('the rules of the web application firewall: install, update, test, explain')
    .addHelpText(
      'after',
      examplesText([
        ['portcullis waf install', 'the OWASP Core Rule Set that this version was tested with, verified'],
        ['portcullis waf install 4.25', 'the newest of the long-term line 4.25; `waf update` stays with it'],
        ['portcullis waf install --from crs.tar.gz --key crs.asc', 'from a file with its crs.tar.gz.asc, offline'],
        ['portcullis waf status', 'what is in force, and whether every file is as it was verified'],
        ['portcullis waf rollback', 'the version before, at once'],
        ['portcullis waf test ./tests --rules ./crs', 'go-ftw tests against the rules'],
        ['portcullis waf explain ./request.http', 'which rules looked at a request, and what matched'],
      ]),
    )
  waf.addCommand(
    supplied(newCommand('install', 'fetch, verify and put in force a release of the OWASP Core Rule Set'))
      .argument('[version]', '4.28.0, or a line such as 4.25 or 4 (default: the version this gate was tested with)')
      .action(
        run(async (version: string | undefined, options: SupplyOptions) => (await keeping()).install(version, options)),
      ),
  )
  waf.addCommand(
    supplied(newCommand('update', 'go to the newest release of the line that is followed; never back'))
      .argument('[line]', 'follow this line from now on: 4.25, 4')
      .action(run(async (line: string | undefined, options: SupplyOptions) => (await keeping()).update(line, options))),
  )
  waf.addCommand(
    placed(newCommand('rollback', 'put the version before in force again')).action(
      run(async (options: SupplyOptions) => (await keeping()).rollback(options)),
    ),
  )
  waf.addCommand(
    placed(newCommand('status', 'what is in force, and whether every file is as it was verified')).action(
      run(async (options: SupplyOptions) => (await keeping()).status(options)),
    ),
  )
  waf.addCommand(
    ruled(newCommand('test', 'run go-ftw tests; ends with `N passed, N failed`'), '4')
      .argument('<dir>', 'a folder of tests, as the CRS keeps them in tests/regression/tests')
      .option('--http', 'through a listening gate, over sockets, in place of the engine alone')
      .option('--overrides <file>', 'other expectations for some tests, each with its reason (as of go-ftw)')
      .option('--only <id>', 'a test (942100-3) or all of a rule (942100); may be repeated', collect)
      .option('--plain', 'with the evaluator that skips nothing')
      .action(
        run(async (dir: string, options: TestOptions) => (await import('./waf-test.ts')).testRules(dir, options)),
      ),
  )
  waf.addCommand(
    ruled(newCommand('explain', 'which rules looked at a request, what matched, what it cost'), '1')
      .argument('<file>', 'a request as it is sent: head, empty line, body')
      .option('--all', 'every test that was made, not only what matched')
      .action(
        run(async (file: string, options: ExplainOptions) =>
          (await import('./waf-explain.ts')).explainRequest(file, options),
        ),
      ),
  )
  return waf
}

function keeping() {
  return import('./waf-install.ts')
}

function placed(command: Command): Command {
  return command.option('--to <dir>', 'where the rules are kept (default: `crs` in the state directory)')
}

function supplied(command: Command): Command {
  return placed(command)
    .option('--from <file>', 'a release tarball on disk, in place of the network')
    .option('--signature <file>', 'its detached signature (default: the file with .asc behind its name)')
    .option('--key <file>', "the public key that must have signed (default: the CRS project's, by its fingerprint)")
    .option('--mirror <url>', 'a site laid out like GitHub: <url>/releases.json, <url>/v4.28.0/…')
}

function ruled(command: Command, paranoia: string): Command {
  return command
    .option('--rules <dir>', 'an unpacked CRS, or `own` (default: what `waf install` installed, else `own`)')
    .addOption(new Option('--paranoia <level>', 'the paranoia level').choices(['1', '2', '3', '4']).default(paranoia))
}

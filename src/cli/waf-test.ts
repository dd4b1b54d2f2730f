import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { messageOf } from '../base/errors.ts'
import { ftwSetup, runInProcess } from '../crs/ftw/in-process.ts'
import { applyOverrides, type FtwOverride, parseOverrides, readTests } from '../crs/ftw/read.ts'
import { idleOverrides, runTests, type Send, selectTests, type TestResult } from '../crs/ftw/run.ts'
import { compileRules } from '../crs/load.ts'
import type { RuleChoice } from '../crs/rules.ts'
import type { ExitCode } from './command.ts'
import { UsageError } from './command.ts'
import { print, printJson, say } from './output.ts'
import type { TestOptions } from './waf.ts'
import { paranoiaVariables, ruleChoice, shownRules } from './waf-rules.ts'

/** `portcullis waf test`: 0 where every test passed. Closes with `N passed, N failed`. */
export async function testRules(directory: string, options: TestOptions): Promise<ExitCode> {
  const overrides = options.overrides === undefined ? [] : readOverrides(options.overrides)
  const all = read(() => readTests(directory), directory)
  const tests = read(() => selectTests(applyOverrides(all, overrides), options.only ?? []), directory)
  if (tests.length === 0) throw new UsageError(`There are no tests in ${directory}.`)
  for (const { ruleId, testIds, reason } of idleOverrides(all, overrides)) {
    say(`The override of ${ruleId} ${testIds.join(', ')} names a test that there is not: ${reason}`)
  }
  const runner = await startRunner(options)
  const tell = progress(tests.length, options)
  let results: TestResult[]
  try {
    results = await runTests(tests, runner.send, tell.result)
  } finally {
    tell.end()
    await runner.stop()
  }
  const failed = results.filter(({ failures }) => failures.length > 0)
  const passed = results.length - failed.length
  if (options.json === true) {
    printJson({
      ...runner.facts,
      passed,
      failed: failed.length,
      overrides: overrides.length,
      failures: failed.map(({ test, failures }) => ({
        test: test.name,
        description: test.description.trim(),
        file: test.file,
        stages: failures.map(({ stage, problems, seen: { status, ids } }) => ({ stage, problems, status, ids })),
      })),
    })
  } else {
    for (const result of failed) print(failureText(result))
    print(`${passed} passed, ${failed.length} failed`)
  }
  return failed.length === 0 ? 0 : 1
}

interface Runner {
  readonly send: Send
  /** What was tested, for `--json`. */
  readonly facts: Readonly<Record<string, unknown>>
  stop(): Promise<void>
}

/** Loads the rules with the CRS project's test settings among them. */
async function startRunner(options: TestOptions): Promise<Runner> {
  const directory = mkdtempSync(join(tmpdir(), 'portcullis-waf-'))
  const removed = () => rmSync(directory, { recursive: true, force: true })
  try {
    const setup = join(directory, 'ftw-setup.conf')
    writeFileSync(setup, setupText(options))
    const choice = { ...(await ruleChoice(options)), before: [setup] }
    const runner =
      options.http === true ? await throughGate(choice, directory, options) : await inProcess(choice, options)
    return {
      ...runner,
      async stop() {
        await runner.stop()
        removed()
      },
    }
  } catch (error) {
    removed()
    throw error
  }
}

async function inProcess(choice: RuleChoice, options: TestOptions): Promise<Runner> {
  const evaluator = options.plain === true ? 'plain' : 'fast'
  const { program, loaded, blind } = await compileRules(choice, {
    evaluator,
    variables: paranoiaVariables(options.paranoia),
  })
  if (blind !== undefined) say(blind)
  return {
    facts: { rules: shownRules(loaded), through: 'engine' },
    send: (stage) => runInProcess(program, stage).seen,
    stop: async () => {},
  }
}

async function throughGate(choice: RuleChoice, directory: string, options: TestOptions): Promise<Runner> {
  const { startTestGate } = await import('./waf-gate.ts')
  const { rules, send, stop } = await startTestGate({ ...options, choice, directory })
  return { facts: { rules, through: 'gate' }, send, stop }
}

/** The settings that the CRS project tests with, at the paranoia level that was asked for. */
function setupText({ paranoia }: TestOptions): string {
  return ftwSetup.replace(/(blocking_paranoia_level=)\d/, `$1${paranoia}`)
}

function readOverrides(file: string): FtwOverride[] {
  if (!existsSync(file)) throw new UsageError(`There is no file ${file}.`)
  return read(() => parseOverrides(readFileSync(file, 'utf8'), file), file)
}

/** What is wrong with files that a command line names is a matter of usage. */
function read<T>(work: () => T, where: string): T {
  try {
    return work()
  } catch (error) {
    const message = messageOf(error)
    throw new UsageError(message.includes(where) ? message : `${where}: ${message}`)
  }
}

function failureText({ test, failures }: TestResult): string {
  const description = test.description.trim().split('\n')[0] ?? ''
  const title = `${test.name}${description === '' ? '' : `  ${description.slice(0, 100)}`}  (${test.file})`
  const lines = failures.flatMap(({ stage, problems }) => {
    const where = test.stages.length > 1 ? `stage ${stage}: ` : ''
    return problems.map((problem) => `    ${where}${problem.length > 300 ? `${problem.slice(0, 300)}…` : problem}`)
  })
  return [title, ...lines].join('\n')
}

/** A line that counts, on a terminal; nothing elsewhere. */
function progress(total: number, { json }: TestOptions) {
  const { stderr } = process
  const shows = stderr.isTTY && json !== true
  let done = 0
  let failed = 0
  let last = 0
  return {
    result({ failures }: TestResult): void {
      done++
      if (failures.length > 0) failed++
      if (!shows || (Date.now() - last < 100 && done < total)) return
      last = Date.now()
      stderr.write(`\r${done} of ${total}, ${failed} failed `)
    },
    end(): void {
      if (shows) stderr.write('\r\u001b[K')
    },
  }
}

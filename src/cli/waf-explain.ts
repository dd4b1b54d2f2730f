import { readFileSync, statSync } from 'node:fs'
import { messageOf } from '../base/errors.ts'
import { readRequest } from '../crs/ftw/in-process.ts'
import { compileRules } from '../crs/load.ts'
import type { Interruption, Match, Program, RequestHead, Transaction } from '../waf/engine/index.ts'
import type { Rule } from '../waf/seclang/index.ts'
import type { ExitCode } from './command.ts'
import { UsageError } from './command.ts'
import { print, printJson, say, table } from './output.ts'
import type { ExplainOptions } from './waf.ts'
import { paranoiaVariables, ruleChoice, shownRules } from './waf-rules.ts'

const fileBytesMax = 16 * 1024 * 1024
const valueCharsMax = 120
/** The first runs of a program are slower than any that a gate in use would see. */
const runsMax = 200
const runMsMax = 500

/** `portcullis waf explain`: what the rules make of one request. 1 where they would refuse it. */
export async function explainRequest(file: string, options: ExplainOptions): Promise<ExitCode> {
  const { head, body } = requestIn(file)
  const variables = paranoiaVariables(options.paranoia)
  const { program, loaded, ruleSet, blind } = await compileRules(await ruleChoice(options), { variables })
  if (blind !== undefined) say(blind)
  const tests: Test[] = []
  const transaction = program.begin(head, {
    trace: (rule, _condition, variable, value, matched) => tests.push({ rule, variable, value, matched }),
  })
  run(transaction, body)
  const evaluated = evaluatedRules(program, head, body)
  const costs = costsOf(program, head, body)
  const phases = ([1, 2, 5] as const).map((phase) => {
    const reached = new Set(tests.filter(({ rule }) => rule.phase === phase).map(({ rule }) => rule))
    return {
      phase,
      rules: program.phases[phase].length,
      reached: reached.size,
      impossible: [...reached].filter((rule) => !evaluated.has(rule)).length,
      tests: tests.filter(({ rule }) => rule.phase === phase).length,
      matched: new Set(transaction.matches.filter(({ rule }) => rule.phase === phase).map(({ rule }) => rule)).size,
      microseconds: Math.round((costs[phase] ?? 0) * 10) / 10,
    }
  })
  const verdict = transaction.interruption ?? transaction.detected
  const found = {
    rules: shownRules(loaded),
    ruleCount: program.rules.length,
    paranoia: Number(options.paranoia),
    request: { method: head.method, uri: shown(head.uri), bytes: body?.length ?? 0 },
    phases,
    matches: transaction.matches.map((match) => matchFacts(match, transaction)),
    scores: scoresOf(transaction),
    events: transaction.events.map(({ kind, detail }) => ({ kind, detail: shown(detail) })),
    verdict: verdict === undefined ? null : { ...verdict },
    enforced: ruleSet.settings.engine === 'On',
    ...(options.all === true ? { tests: tests.map((test) => testFacts(test, evaluated)) } : {}),
  }
  if (options.json === true) printJson(found)
  else print(explanation(found, verdict))
  return verdict === undefined ? 0 : 1
}

interface Test {
  readonly rule: Rule
  readonly variable: string
  readonly value: string
  readonly matched: boolean
}

function requestIn(file: string): { head: RequestHead; body: Buffer | undefined } {
  let bytes: Buffer
  try {
    const found = statSync(file)
    if (found.isDirectory()) throw new Error(`${file} is a folder; one request in a file is needed`)
    if (found.size > fileBytesMax) throw new Error(`${file} is larger than ${fileBytesMax} bytes`)
    bytes = readFileSync(file)
  } catch (error) {
    throw new UsageError(messageOf(error))
  }
  const request = readRequest(withLineEnds(bytes), 'explain')
  if (request === undefined || request.head.protocol === '') {
    throw new UsageError(
      `${file} is no HTTP request: expected \`GET /path HTTP/1.1\`, header lines, an empty line, the body`,
    )
  }
  return request
}

/** Editors write LF; a body without Content-Length is meant to be sent whole. */
function withLineEnds(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const end = /\r?\n\r?\n/.exec(text)
  const head = (end === null ? text.trimEnd() : text.slice(0, end.index)).replace(/\r?\n/g, '\r\n')
  const body = end === null ? '' : text.slice(end.index + end[0].length)
  const framed = /^(content-length|transfer-encoding):/im.test(head) || body === ''
  const length = framed ? '' : `\r\nContent-Length: ${body.length}`
  return Buffer.from(`${head}${length}\r\n\r\n${body}`, 'latin1')
}

/** The request's phases and the logging phase; there is no response. */
function run(transaction: Transaction, body: Buffer | undefined): void {
  if (transaction.requestHead() === undefined) transaction.requestBody(body)
  transaction.end()
}

/** The rules that the fast evaluator could not prove away. */
function evaluatedRules(program: Program, head: RequestHead, body: Buffer | undefined): ReadonlySet<Rule> {
  const evaluated = new Set<Rule>()
  run(program.begin(head, { evaluated: (rule) => evaluated.add(rule) }), body)
  return evaluated
}

/** Microseconds by phase: the least of many runs, which is what a warm gate pays. */
function costsOf(program: Program, head: RequestHead, body: Buffer | undefined): Partial<Record<number, number>> {
  const least: Partial<Record<number, number>> = {}
  const measure = (phase: number, work: () => void) => {
    const begin = performance.now()
    work()
    least[phase] = Math.min(least[phase] ?? Number.POSITIVE_INFINITY, (performance.now() - begin) * 1_000)
  }
  const end = performance.now() + runMsMax
  for (let count = 0; count < runsMax && (count < 3 || performance.now() < end); count++) {
    const transaction = program.begin(head)
    let stopped: Interruption | undefined
    measure(1, () => {
      stopped = transaction.requestHead()
    })
    if (stopped === undefined) measure(2, () => void transaction.requestBody(body))
    measure(5, () => transaction.end())
  }
  return least
}

const severities = ['emergency', 'alert', 'critical', 'error', 'warning', 'notice', 'info', 'debug']

function matchFacts(match: Match, transaction: Transaction) {
  const { rule, severity, tags } = match
  return {
    id: rule.id,
    phase: rule.phase,
    message: shown(match.message),
    variable: shown(match.variable),
    data: shown(match.data === '' ? (match.captured ?? match.value) : match.data),
    severity: severity === undefined ? null : severities[severity],
    score: scoreOf(rule, transaction),
    tags,
    file: rule.place.file,
    line: rule.place.line,
  }
}

/** What a rule adds to the anomaly score each time it matches. */
function scoreOf({ conditions }: Rule, transaction: Transaction): number {
  let score = 0
  for (const { setVariables } of conditions) {
    for (const { name, operation, value } of setVariables) {
      if (operation !== 'add' || !/(anomaly|inbound|outbound)_score/i.test(name)) continue
      const macro = /^%\{tx\.([^}]+)\}$/i.exec(value)
      score += Number(macro === null ? value : (transaction.variable(macro[1]!.toLowerCase()) ?? 0)) || 0
    }
  }
  return score
}

/** The sum, and from where on it refuses: in the words of the CRS, or of our own rules. */
const scoreNames = [
  ['blocking_inbound_anomaly_score', 'inbound_anomaly_score_threshold'],
  ['portcullis_inbound_score', 'portcullis_inbound_threshold'],
] as const

function scoresOf(transaction: Transaction) {
  for (const names of scoreNames) {
    const [inbound, threshold] = names.map((name) => Number(transaction.variable(name) ?? Number.NaN))
    if (!Number.isNaN(inbound) && !Number.isNaN(threshold)) return { inbound: inbound!, threshold: threshold! }
  }
  return null
}

function testFacts({ rule, variable, value, matched }: Test, evaluated: ReadonlySet<Rule>) {
  return {
    id: rule.id,
    phase: rule.phase,
    variable: shown(variable),
    value: shown(value),
    matched,
    impossible: !evaluated.has(rule),
  }
}

/** Bytes as text that neither steers a terminal nor fills it. */
function shown(bytes: string): string {
  const text = Buffer.from(bytes, 'latin1')
    .toString('utf8')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is replaced.
    .replace(/[\x00-\x1f\x7f-\x9f]/g, '·')
  return text.length > valueCharsMax ? `${text.slice(0, valueCharsMax)}…` : text
}

interface Found {
  readonly rules: string
  readonly ruleCount: number
  readonly paranoia: number
  readonly request: { readonly method: string; readonly uri: string; readonly bytes: number }
  readonly phases: readonly {
    readonly phase: number
    readonly rules: number
    readonly reached: number
    readonly impossible: number
    readonly tests: number
    readonly matched: number
    readonly microseconds: number
  }[]
  readonly matches: readonly ReturnType<typeof matchFacts>[]
  readonly scores: ReturnType<typeof scoresOf>
  readonly events: readonly { readonly kind: string; readonly detail: string }[]
  readonly enforced: boolean
  readonly tests?: readonly ReturnType<typeof testFacts>[]
}

const phaseNames: Readonly<Record<number, string>> = { 1: '1 head', 2: '2 body', 5: '5 logging' }

function explanation(found: Found, verdict: Interruption | undefined): string {
  const { request, phases, matches, scores, events, tests } = found
  const body = request.bytes === 0 ? '' : `, ${request.bytes} bytes of body`
  const rows = phases.map(({ phase, rules, reached, impossible, tests: made, matched, microseconds }) => {
    return [phaseNames[phase]!, ...[rules, reached, impossible, made, matched].map(String), microseconds.toFixed(1)]
  })
  const total = phases.reduce((sum, { microseconds }) => sum + microseconds, 0)
  const parts = [
    `${request.method} ${request.uri}${body}\n${found.rules}, ${found.ruleCount} rules, paranoia level ${found.paranoia}`,
    `${table(['PHASE', 'RULES', 'REACHED', 'IMPOSSIBLE', 'TESTS', 'MATCHED', 'µs'], rows)}\n${total.toFixed(1)} µs in all`,
    matches.length === 0 ? 'Nothing matched.' : `Matched:\n${matches.map(matchText).join('\n')}`,
  ]
  if (events.length > 0) parts.push(events.map(({ kind, detail }) => `${kind}: ${detail}`).join('\n'))
  if (tests !== undefined) {
    parts.push(
      `Tests:\n${table(
        ['', 'PHASE', 'RULE', 'VARIABLE', 'VALUE'],
        tests.map(({ id, phase, variable, value, matched, impossible }) => {
          return [matched ? '*' : impossible ? '-' : '', String(phase), String(id), variable, value]
        }),
      )}\n* matched   - proved impossible: the fast evaluator does not make this test`,
    )
  }
  const score = scores === null ? '' : `Score ${scores.inbound}, refused from ${scores.threshold} on. `
  parts.push(`${score}${verdictText(verdict, found.enforced)}`)
  return parts.join('\n\n')
}

function matchText({ id, message, variable, data, severity, score }: Found['matches'][number]): string {
  const points = score === 0 ? '' : `, score +${score}`
  const what = variable === '' ? '' : `\n          ${variable}: ${data}`
  return `  ${id}  ${message}${severity === null ? '' : ` (${severity}${points})`}${what}`
}

function verdictText(verdict: Interruption | undefined, enforced: boolean): string {
  if (verdict === undefined) return 'The request would pass.'
  const { action, status, ruleId } = verdict
  const what = action === 'deny' ? `refused with ${status}` : action === 'drop' ? 'dropped' : `redirected (${status})`
  return `The request would be ${what}${ruleId === 0 ? '' : ` by rule ${ruleId}`}${enforced ? '' : ', if the rules were enforced'}.`
}

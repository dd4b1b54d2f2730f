/*
 * What one value of 8 KB can cost at worst: `node bench/waf-hard.ts JSON`. Killers of backtracking engines, and values
 * made from each pattern so that they nearly match, match, or lead its automaton through ever new states. Prints one JSON
 * object. `npm run bench:waf` runs it pinned to one core, once for each paranoia level.
 */
import type { Program } from '../src/waf/index.ts'
import { compilePattern, type Node } from '../src/waf/regex/index.ts'
import { generator, writeMatch } from '../test/kit/patterns.ts'
import { headMaker, inspect, loadProgram, type Wanted } from './waf-program.ts'
import { type BenchRequest, prosePost, requests } from './waf-requests.ts'

export interface HardQuestion extends Wanted {
  /** Values made from each pattern. */
  readonly variants: number
}

export interface HardAnswer {
  /** How many requests were tried. */
  readonly tried: number
  /** CPU ms of the worst request, with automata that have seen no value yet. */
  readonly fresh: Worst
  /** With automata whose memory is full of what other such values made them build. */
  readonly pressed: Worst
  /** With automata that know the value. */
  readonly warm: Worst
  /** The most states that one of them made automata build. */
  readonly states: number
  /** What exceeded the budget of a request. */
  readonly exceeded: readonly string[]
}

export interface Worst {
  readonly ms: number
  readonly what: string
}

const bytes = 8_192

/** Of waf.md, section 2, and what transformations and libinjection have most work with. */
const killers = [
  ...['\n', ' ', "'====", '----', '*/*,', '<<<<', '"', '(a', '${', '; ', 'a=', '../', '<a ', '1 ', "' or ", '[[', '\0'],
  ...[
    '%u0061',
    '%25',
    '&#x41;',
    '&lt;',
    '\\x41',
    '\\u0041',
    '\\61 ',
    '/*',
    '/**/',
    '*/',
    '<!--',
    '`',
    "'\\'",
    '0x',
    '=&',
  ],
  ...[
    'a',
    'A9_',
    'YWJj',
    '/a/../',
    '\xc3\xa9',
    '\xff',
    '{{',
    '$(',
    '|a',
    '&&a',
    ' -a',
    'select ',
    'union(',
    '<x on',
    ')(',
  ],
  ...[
    '()',
    '@@',
    '\r\n',
    '\t',
    ',1',
    'a.b',
    ':/',
    '#a\n',
    'javascript:',
    '<![CDATA[',
    "a'b",
    '"+"',
    '~!',
    '^',
    '?x',
    '\xa0',
  ],
]

interface Case {
  readonly what: string
  readonly value: string
  /** Whether it is tried in every place; else where most rules look. */
  readonly everywhere: boolean
}

/** A request that carries the value, and little else. */
type Place = (value: string) => BenchRequest

const [get] = requests
const encoded = (value: string) =>
  value.replace(/[^A-Za-z0-9]/g, (byte) => `%${byte.charCodeAt(0).toString(16).padStart(2, '0')}`)
const post = (what: string, type: string, body: string): BenchRequest => ({
  name: what,
  method: 'POST',
  uri: '/v1/orders',
  headers: [...get!.headers, 'Content-Type', type, 'Content-Length', String(body.length)],
  body,
})
const places: Readonly<Record<string, Place>> = {
  // Not UTF-8 is not JSON: its bytes are taken for letters then.
  'in JSON': (value) =>
    post('json', 'application/json', Buffer.from(JSON.stringify({ text: value }), 'utf8').toString('latin1')),
  'in a form': (value) => post('form', 'application/x-www-form-urlencoded', `text=${encoded(value)}`),
  'in the query': (value) => ({ ...get!, uri: `/v1/orders?text=${encoded(value)}` }),
  'as a name': (value) => post('name', 'application/x-www-form-urlencoded', `${encoded(value)}=1`),
  'in a header': (value) => ({ ...get!, headers: get!.headers.with(3, value.replace(/[\r\n\0]/g, ' ')) }),
}

const fill = (piece: () => string) => {
  let text = ''
  while (text.length < bytes) text += piece() || 'x'
  return text.slice(0, bytes)
}

/** The patterns of a program's rules for requests. */
function patternsOf(program: Program): readonly { readonly id: number; readonly ast: Node }[] {
  const known = new Map<string, number>()
  for (const { rule } of program.rules) {
    if (rule.phase > 2) continue
    for (const { operator } of rule.conditions) {
      if (operator.name === 'rx' && !operator.argument.includes('%{')) known.set(operator.argument, rule.id)
    }
  }
  return [...known].map(([source, id]) => ({ id, ast: compilePattern(source).ast }))
}

function casesFor(program: Program, variants: number): readonly Case[] {
  const random = generator(41)
  const patterns = patternsOf(program)
  const made: Case[] = []
  const add = (what: string, everywhere: boolean, piece: () => string) => {
    made.push({ what, everywhere, value: fill(piece) })
  }
  const near = (ast: Node, variant: number): string => {
    const match = writeMatch(ast, random)
    const at = random(match.length + 1)
    const without = match.slice(0, at) + match.slice(at + 1)
    return [match.slice(0, at), without, match.slice(at), match, match.slice(0, 3)][variant % 5]!
  }
  const pick = <T>(list: readonly T[]) => list[random(list.length)]!
  for (const killer of killers) add(JSON.stringify(killer), true, () => killer)
  for (const { id, ast } of patterns) {
    for (let variant = 0; variant < variants; variant++) add(`near ${id}`, false, () => near(ast, variant))
    // One near match, over and over: where a pattern repeats something, it goes on and on.
    const once = near(ast, 0)
    add(`${JSON.stringify(once.slice(0, 40))} of ${id}`, false, () => once)
  }
  for (let n = 0; n < 10 * variants; n++) {
    add(`all patterns mixed ${n}`, true, () => near(pick(patterns).ast, random(5)))
    add(`killers mixed ${n}`, true, () => pick(killers))
    add(`any bytes ${n}`, true, () => String.fromCharCode(random(n % 2 === 0 ? 256 : 127)))
  }
  return made
}

const cpuMs = (since: NodeJS.CpuUsage) => {
  const { user, system } = process.cpuUsage(since)
  return (user + system) / 1000
}

interface Seen {
  readonly ms: number
  readonly states: number
  readonly budgets: readonly string[]
}

function ask(program: Program, request: BenchRequest): Seen {
  const head = headMaker(request)()
  const body = request.body === undefined ? undefined : Buffer.from(request.body, 'latin1')
  const since = process.cpuUsage()
  const transaction = inspect(program, head, body)
  const ms = cpuMs(since)
  const budgets = transaction.events.filter(({ kind }) => kind === 'budget').map(({ detail }) => detail)
  return { ms, states: program.budget.statesMax - program.matching.statesLeft, budgets }
}

async function warmedUp(wanted: Wanted, name: string): Promise<Program> {
  const program = await loadProgram(wanted, name)
  for (let i = 0; i < 300; i++) for (const request of [...requests, prosePost]) ask(program, request)
  return program
}

interface Try {
  readonly what: string
  readonly request: BenchRequest
  readonly first: Seen
}

async function hard({ variants, ...wanted }: HardQuestion): Promise<HardAnswer> {
  const program = await warmedUp(wanted, 'first')
  const cases = casesFor(program, variants)
  const exceeded = new Set<string>()
  const tries: Try[] = []
  let warm: Worst = { ms: 0, what: '' }
  for (const [where, place] of Object.entries(places)) {
    for (const { what: value, value: text, everywhere } of cases) {
      if (!everywhere && place !== places['in JSON']) continue
      const request = place(text)
      const what = `${value} ${where}`
      const first = ask(program, request)
      tries.push({ what, request, first })
      for (const detail of first.budgets) exceeded.add(`${what}: ${detail}`)
      if (first.ms <= warm.ms) continue
      const known = Math.min(...Array.from({ length: 3 }, () => ask(program, request).ms))
      if (known > warm.ms) warm = { ms: known, what }
    }
  }
  const byTime = tries.toSorted((a, b) => b.first.ms - a.first.ms)
  const byStates = tries.toSorted((a, b) => b.first.states - a.first.states)
  const least = (times: readonly Seen[]) => Math.min(...times.map(({ ms }) => ms))
  let fresh: Worst = { ms: 0, what: '' }
  let pressed: Worst = { ms: 0, what: '' }
  let states = 0
  for (const { what, request } of new Set([...byTime.slice(0, 4), ...byStates.slice(0, 4)])) {
    const ofNew: Seen[] = []
    for (const name of ['second', 'third']) ofNew.push(ask(await loadProgram(wanted, `${name} ${what}`), request))
    if (least(ofNew) > fresh.ms) fresh = { ms: least(ofNew), what }
    // Whatever their memory holds is of use to other values.
    const ofFull = Array.from({ length: 3 }, () => {
      for (const other of byStates.slice(0, 24)) if (other.request !== request) ask(program, other.request)
      return ask(program, request)
    })
    if (least(ofFull) > pressed.ms) pressed = { ms: least(ofFull), what }
    for (const seen of [...ofNew, ...ofFull]) {
      states = Math.max(states, seen.states)
      for (const detail of seen.budgets) exceeded.add(`${what}: ${detail}`)
    }
  }
  if (process.env.BENCH_VERBOSE !== undefined) {
    for (const { what, first } of byTime.slice(0, 30)) console.error(first.ms.toFixed(1), first.states, what)
  }
  return { tried: tries.length, fresh, pressed, warm, states, exceeded: [...exceeded] }
}

process.stdout.write(JSON.stringify(await hard(JSON.parse(process.argv[2]!))))

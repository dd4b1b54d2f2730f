/*
 * `npm run bench:waf`: what the web application firewall costs, by itself and in the gate, beside ModSecurity with the same
 * rules. Prints a Markdown table of what must be, what is aimed at and what was seen. The rules are an unpacked OWASP CRS:
 * `npm run bench:waf -- --crs DIR`, or `crs` in PORTCULLIS_SHARED or ../shared. BENCH_ONLY=inside,hard,load,peers runs a
 * part; BENCH_CORE says on which core.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { sharedPath } from '../test/kit/shared.ts'
import { core } from './contenders.ts'
import { median } from './measure.ts'
import type { HardAnswer, HardQuestion } from './waf-hard.ts'
import type { CostAnswer, CostQuestion, LoadAnswer } from './waf-inside.ts'
import { comparePeers, peer, timesThatOf, withDocument, withFirewall } from './waf-peers.ts'
import { requests } from './waf-requests.ts'

const say = (text: string) => process.stderr.write(`${text}\n`)
const { values: asked } = parseArgs({ options: { crs: { type: 'string' } } })
const crs = asked.crs === undefined ? sharedPath('crs') : resolve(asked.crs)
const loadBefore = loadavg()[0]!

interface Row {
  readonly what: string
  readonly must: string
  readonly target: string
  readonly seen: string
  readonly holds: boolean | undefined
}

const table: Row[] = []
const details: string[] = []

/** `bounds`: what must be, and what is aimed at. */
function row(what: string, seen: string, bounds?: { must: string; target: string; holds: boolean }): void {
  table.push({ what, seen, must: bounds?.must ?? '', target: bounds?.target ?? '', holds: bounds?.holds })
  say(`  ${what}: ${seen}`)
}

/** Runs a file of the bench in a process of its own on the measured core, with the memory settings of a gate. */
function pinned<T>(file: string, ...args: readonly string[]): T {
  const made = execFileSync(
    'taskset',
    ['-c', core, process.execPath, '--expose-gc', '--max-semi-space-size=16', join(import.meta.dirname, file), ...args],
    { stdio: ['ignore', 'pipe', 'inherit'] },
  )
  return JSON.parse(made.toString()) as T
}

const us = (value: number) => (value < 100 ? value.toFixed(1) : value.toFixed(0))
const names = [...requests.map(({ name }) => name), 'POST 10 KB, one value of prose']

function inside(): void {
  const musts = [
    [70, 30],
    [200, 100],
    [1_500, 700],
    [8_000, 3_000],
  ]
  // One process may be compiled, or placed in memory, twice as well as the next.
  const cost = (question: CostQuestion): CostAnswer => {
    const runs = Array.from({ length: 3 }, () => pinned<CostAnswer>('waf-inside.ts', 'cost', JSON.stringify(question)))
    return { least: Math.min(...runs.map(({ least }) => least)), median: median(runs.map((run) => run.median)) }
  }
  const shown = ({ least, median: middle }: CostAnswer) => `${us(middle)} µs (least ${us(least)})`
  names.forEach((name, request) => {
    const [must, target] = musts[request]!
    if (crs !== undefined) {
      const fast = cost({ crs, request, specAware: false })
      row(`CRS PL1, ${name}`, shown(fast), { must: `${must} µs`, target: `${target} µs`, holds: fast.median <= must! })
      if (request < 3) row(`the same, spec-aware`, shown(cost({ crs, request, specAware: true })))
      if (request < 3)
        row(`the same, plain evaluator`, shown(cost({ crs, request, specAware: false, evaluator: 'plain' })))
    }
    row(`Own rules, ${name}`, shown(cost({ request, specAware: false })))
  })
}

function hard(): void {
  const variants = Number(process.env.BENCH_VARIANTS ?? 1)
  for (const paranoia of [1, 4]) {
    const question: HardQuestion = { crs, paranoia, variants }
    const { tried, fresh, pressed, warm, states, exceeded } = pinned<HardAnswer>(
      'waf-hard.ts',
      JSON.stringify(question),
    )
    const worst = Math.max(fresh.ms, pressed.ms, warm.ms)
    row(
      `Any value of 8 KB, PL${paranoia}: worst of ${tried} requests`,
      `${worst.toFixed(1)} ms (new automata ${fresh.ms.toFixed(1)}, full ones ${pressed.ms.toFixed(1)}, warm ${warm.ms.toFixed(1)})`,
      { must: '100 ms', target: '20 ms', holds: worst <= 100 },
    )
    details.push(`PL${paranoia}: new automata: ${fresh.what}; full ones: ${pressed.what}; warm: ${warm.what}.`)
    row(
      `Their budgets, PL${paranoia}`,
      `${exceeded.length === 0 ? 'none exceeded' : `exceeded: ${exceeded.slice(0, 3).join('; ')}`}; ${states} new states at most`,
      { must: 'none needed', target: '', holds: exceeded.length === 0 },
    )
  }
}

function load(): void {
  const runs = Array.from({ length: 5 }, () => pinned<LoadAnswer>('waf-inside.ts', 'load', JSON.stringify({ crs })))
  const of = (figure: (run: LoadAnswer) => number) => median(runs.map(figure))
  const ms = of((run) => run.ms)
  row(
    'Reading and compiling CRS, to the first verdict',
    `${ms.toFixed(0)} ms (${of((run) => run.cpuMs).toFixed(0)} ms of CPU)`,
    { must: '2 s', target: '1 s', holds: ms <= 2_000 },
  )
  const heap = of((run) => run.usedHeapMb)
  row(
    'Memory of CRS, after 4,000 requests',
    `${heap.toFixed(0)} MB of heap (${of((run) => run.heapMb).toFixed(0)} before them); the process grew by ${of((run) => run.rssMb).toFixed(0)} MB, then ${of((run) => run.usedRssMb).toFixed(0)}`,
    { must: '60 MB', target: '30 MB', holds: heap <= 60 },
  )
}

async function peers(): Promise<void> {
  const missing = ['wrk', 'nginx'].filter((tool) => spawnSync('which', [tool]).status !== 0)
  if (missing.length > 0) {
    say(`  skipped: ${missing.join(', ')} not installed (apt-get install wrk nginx)`)
    return
  }
  const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-waf-'))
  mkdirSync(join(dir, 'tmp'), { recursive: true })
  try {
    const lines = await comparePeers(dir, Number(process.env.BENCH_PORT ?? 18_700), crs!, say)
    const of = (name: string, request: string) =>
      lines.find((line) => line.contender === name && line.request === request)
    if (of(peer, names[0]!) === undefined)
      say('  ModSecurity is not installed: apt-get install libnginx-mod-http-modsecurity')
    const musts = [
      [10, 20],
      [25, 50],
      [40, 80],
    ]
    requests.forEach(({ name }, at) => {
      const other = of(peer, name)
      if (other === undefined) return
      const [must, target] = musts[at]!
      const times = timesThatOf(of(withFirewall, name)!, other)
      const aware = timesThatOf(of(withDocument, name)!, other)
      row(`Against nginx + ModSecurity, ${name}`, `${times.toFixed(1)} × (spec-aware ${aware.toFixed(1)} ×)`, {
        must: `${must} ×`,
        target: `${target} ×`,
        holds: times >= must!,
      })
    })
    details.push('', '| requests per second, one core for all | GET | POST 1 KB | POST 10 KB |', '|---|---|---|---|')
    for (const name of new Set(lines.map(({ contender }) => contender))) {
      const cells = requests.map((request) => median(of(name, request.name)!.perSecond))
      details.push(`| ${name} | ${cells.map((cell) => (cell < 100 ? cell.toFixed(1) : cell.toFixed(0))).join(' | ')} |`)
    }
  } finally {
    // What ends still writes into its folder.
    await new Promise((done) => setTimeout(done, 1_000))
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
  }
}

if (spawnSync('which', ['taskset']).status !== 0) {
  say('The bench needs taskset: apt-get install util-linux')
  process.exit(2)
}
if (crs !== undefined && !existsSync(join(crs, 'rules'))) {
  say(`${crs} holds no rules/: expected an unpacked OWASP CRS`)
  process.exit(2)
}
const only = process.env.BENCH_ONLY?.split(',')
for (const [name, run] of Object.entries({ inside, hard, load, peers })) {
  if (only !== undefined && !only.includes(name)) continue
  say(`${name} …`)
  if (crs === undefined && name !== 'inside') say('  skipped: there is no OWASP CRS here; name one by --crs DIR')
  else await run()
}
const note = `Node ${process.version}, ${availableParallelism()} cores, load ${loadBefore.toFixed(1)} before and ${loadavg()[0]!.toFixed(1)} at the end.`
const cells = ({ what, must, target, seen, holds }: Row) =>
  [what, must, target, seen, holds === undefined ? '' : holds ? 'holds' : '**missed**'].join(' | ')
process.stdout.write(
  [
    '| | must | target | seen | |',
    '|---|---|---|---|---|',
    ...table.map((one) => `| ${cells(one)} |`),
    '',
    ...details,
    '',
    note,
  ]
    .join('\n')
    .concat('\n'),
)

/*
 * What the firewall costs by itself: `node --expose-gc bench/waf-inside.ts cost|load JSON`, one measurement in each
 * process. Prints one JSON object. `npm run bench:waf` runs them pinned to one core.
 */
import { performance } from 'node:perf_hooks'
import type { Program } from '../src/waf/index.ts'
import { median } from './measure.ts'
import { headMaker, inspect, loadProgram, refineFor, type Wanted } from './waf-program.ts'
import { type BenchRequest, prosePost, requests } from './waf-requests.ts'

/** What `cost` measures. */
export interface CostQuestion extends Wanted {
  /** Of `requests`; the one after them is the prose. */
  readonly request: number
  readonly specAware: boolean
}

/** CPU time of the process for one request, in µs. */
export interface CostAnswer {
  readonly least: number
  readonly median: number
}

export interface LoadAnswer {
  /** From nothing to the first request's verdict. */
  readonly ms: number
  readonly cpuMs: number
  /** After a collection: heap and buffers, and all of the process. */
  readonly heapMb: number
  readonly rssMb: number
  /** The same after a thousand requests of each kind, with what automata they had built. */
  readonly usedHeapMb: number
  readonly usedRssMb: number
}

const all: readonly BenchRequest[] = [...requests, prosePost]
const batches = Number(process.env.BENCH_BATCHES ?? 15)
const batchUs = 60_000
const warmUpUs = Number(process.env.BENCH_WARM_MS ?? 1_200) * 1_000

const cpuUs = (since?: NodeJS.CpuUsage) => {
  const { user, system } = process.cpuUsage(since)
  return user + system
}

/** A number of one request, made beforehand; gives the CPU time that their inspection took. */
function runnerOf(program: Program, request: BenchRequest): (count: number) => number {
  const makeHead = headMaker(request)
  const body = request.body === undefined ? undefined : Buffer.from(request.body, 'latin1')
  const { interruption, matches } = inspect(program, makeHead(), body)
  if (interruption !== undefined || matches.length > 0) {
    throw new Error(`${request.name} is no harmless request: ${matches.map(({ rule }) => rule.id).join(', ')}`)
  }
  return (count) => {
    const heads = Array.from({ length: count }, makeHead)
    const since = process.cpuUsage()
    for (const head of heads) inspect(program, head, body)
    return cpuUs(since)
  }
}

async function cost({ request, specAware, ...wanted }: CostQuestion): Promise<CostAnswer> {
  const base = await loadProgram(wanted)
  const program = async (one: BenchRequest) => (specAware ? await refineFor(one, base) : base)
  // No gate is asked the same thing all day: what V8 learns, it learns from several kinds.
  const others = await Promise.all(all.map(async (one) => runnerOf(await program(one), one)))
  for (let spent = 0; spent < warmUpUs / 2; ) for (const run of others) spent += run(20)
  const run = others[request]!
  let count = 20
  for (let spent = 0; spent < warmUpUs / 2; ) {
    const us = run(count)
    spent += us
    count = Math.max(10, Math.min(2_000, Math.round((count * batchUs) / Math.max(us, 1))))
  }
  const seen = Array.from({ length: batches }, () => run(count) / count)
  return { least: Math.min(...seen), median: median(seen) }
}

async function load(wanted: Wanted): Promise<LoadAnswer> {
  const megabytes = () => {
    globalThis.gc?.()
    globalThis.gc?.()
    const { heapUsed, external, rss } = process.memoryUsage()
    return { heap: (heapUsed + external) / 1_048_576, rss: rss / 1_048_576 }
  }
  const runs = all.map((request) => ({ head: headMaker(request), body: request.body && Buffer.from(request.body) }))
  const before = megabytes()
  const since = performance.now()
  const sinceCpu = process.cpuUsage()
  const program = await loadProgram(wanted)
  const [first] = runs
  inspect(program, first!.head(), first!.body || undefined)
  const ms = performance.now() - since
  const cpuMs = cpuUs(sinceCpu) / 1000
  const loaded = megabytes()
  for (let i = 0; i < 1_000; i++) for (const { head, body } of runs) inspect(program, head(), body || undefined)
  const used = megabytes()
  return {
    ms,
    cpuMs,
    heapMb: loaded.heap - before.heap,
    rssMb: loaded.rss - before.rss,
    usedHeapMb: used.heap - before.heap,
    usedRssMb: used.rss - before.rss,
  }
}

const [, , what, question] = process.argv
const answer = what === 'load' ? await load(JSON.parse(question!)) : await cost(JSON.parse(question!))
process.stdout.write(JSON.stringify(answer))

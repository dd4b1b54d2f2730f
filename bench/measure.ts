import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Contender, core, orderBody } from './contenders.ts'

/** One request, sent over and over. */
export interface Scenario {
  readonly name: string
  readonly method: 'GET' | 'POST'
  readonly path: string
}

export const scenarios: readonly Scenario[] = [
  { name: 'GET 200 B', method: 'GET', path: '/orders/7' },
  { name: 'POST 1 KB', method: 'POST', path: '/orders' },
  { name: 'GET 100 KB', method: 'GET', path: '/large' },
]

/** What one run of the load generator told. */
export interface Sample {
  readonly requests: number
  readonly perSecond: number
  /** Time of the measured process on the core, in µs, for one request. */
  readonly cpuUs: number
  readonly p50Us: number
  readonly p99Us: number
  readonly maxUs: number
  readonly rssMb: number
  readonly errors: number
}

/** Runs wrk once against a contender and reads its processor time on both sides. */
export async function measure(
  contender: Contender,
  scenario: Scenario,
  options: {
    readonly seconds: number
    readonly connections: number
    readonly dir: string
    readonly tokens?: readonly string[]
    /** What wrk is told, in place of the scenario. */
    readonly lua?: string
    /** Where wrk runs. Default: on the measured core. */
    readonly loadCore?: string
  },
): Promise<Sample> {
  const script = join(options.dir, 'wrk.lua')
  writeFileSync(script, options.lua ?? wrkScript(contender, scenario, options.tokens))
  const before = cpuUsOf(contender.pid)
  const text = await run('taskset', [
    '-c',
    options.loadCore ?? core,
    'wrk',
    '-t1',
    `-c${options.connections}`,
    `-d${options.seconds}s`,
    // A slow contender is slow, not wrong.
    '--timeout',
    '30s',
    '--latency',
    '-s',
    script,
    `http://127.0.0.1:${contender.port}${scenario.path}`,
  ])
  const cpu = cpuUsOf(contender.pid) - before
  const requests = Number(/(\d+) requests in/.exec(text)?.[1] ?? 0)
  // Every reply must be of the kind that is measured: a fast error is no result.
  const refused = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0)
  const wrong = contender.status < 400 ? refused : requests - refused
  const socketErrors = /Socket errors: .*/.test(text) ? 1 : 0
  return {
    requests,
    perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? 0),
    cpuUs: cpu / Math.max(1, requests),
    p50Us: latency(text, '50%'),
    p99Us: latency(text, '99%'),
    // wrk prints mean, deviation, maximum.
    maxUs: latency(text, 'Latency\\s+\\S+\\s+\\S+'),
    rssMb: Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${contender.pid}/status`, 'utf8'))?.[1] ?? 0) / 1024,
    errors: wrong + socketErrors,
  }
}

function wrkScript(contender: Contender, scenario: Scenario, tokens: readonly string[] | undefined): string {
  const headers = {
    ...contender.headers,
    ...(scenario.method === 'POST' ? { 'Content-Type': 'application/json' } : {}),
  }
  const lines = [
    `wrk.method = "${scenario.method}"`,
    ...Object.entries(headers).map(([name, value]) => `wrk.headers["${name}"] = "${value}"`),
    ...(scenario.method === 'POST' ? [`wrk.body = [==[${orderBody}]==]`] : []),
  ]
  if (tokens !== undefined) {
    lines.push(`local tokens = {${tokens.map((token) => `"${token}"`).join(',')}}`, 'local n = 0')
    lines.push(
      'request = function() n = n + 1; wrk.headers["Authorization"] = "Bearer " .. tokens[(n - 1) % #tokens + 1]; return wrk.format() end',
    )
  }
  return lines.join('\n')
}

function latency(text: string, label: string): number {
  const match = new RegExp(`${label}\\s+([\\d.]+)(us|ms|s)`).exec(text)
  return Number(match?.[1] ?? Number.NaN) * ({ us: 1, ms: 1000, s: 1_000_000 }[match?.[2] ?? 'us'] ?? 1)
}

/** Time on the core of all threads of a process so far, in µs. */
export function cpuUsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10_000
}

function run(command: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    child.once('error', reject)
    child.once('close', (code) => (code === 0 ? resolve(text) : reject(new Error(`${command} ended with ${code}`))))
  })
}

/** The middle one. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN
}

/** Half the distance between the quartiles, as a share of the median. */
export function spread(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return (at(0.75) - at(0.25)) / 2 / median(values)
}

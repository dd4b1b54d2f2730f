// `npm run bench`: the gate beside its peers, interleaved on one pinned core. See docs/performance.md for what it told.
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  bare,
  type Contender,
  debianRules,
  documentOf,
  type GateConfiguration,
  makeKey,
  plenty,
  startCaddy,
  startFloor,
  startGate,
  startIssuer,
  startNginx,
  startUpstream,
} from './contenders.ts'
import { measure, median, type Sample, type Scenario, scenarios, spread } from './measure.ts'

const rounds = Number(process.env.BENCH_ROUNDS ?? 5)
const seconds = Number(process.env.BENCH_SECONDS ?? 2)
const only = process.env.BENCH_ONLY?.split(',')
const say = (text: string) => process.stderr.write(`${text}\n`)

function requireTools(): void {
  const missing = ['wrk', 'nginx', 'caddy', 'taskset'].filter((tool) => spawnSync('which', [tool]).status !== 0)
  if (missing.length === 0) return
  say(
    `The bench needs ${missing.join(', ')}: apt-get install wrk nginx caddy util-linux libnginx-mod-http-modsecurity modsecurity-crs`,
  )
  process.exit(2)
}

const off = { mode: 'off' }
const rights = {
  limits: plenty,
  auth: ['apiKey'],
  waf: off,
  validate: { request: 'off', response: 'off' },
  errors: off,
  trace: off,
}

function configurations(issuer: string): Record<string, GateConfiguration> {
  const secured = documentOf([{ key: ['orders'] }])
  const withToken = documentOf([{ token: ['orders'] }])
  const issuers = { issuers: { main: { issuer, audience: 'bench', jwks: `${issuer}/jwks` } } }
  return {
    bare: { name: 'gate: routing, id, log, metrics, limit', api: bare },
    key: { name: 'gate: + API key, rights, headers', api: rights, document: secured },
    token: {
      name: 'gate: + cached RS256 token, rights, headers',
      api: { ...rights, auth: ['main'] },
      root: issuers,
      document: withToken,
    },
    fresh: {
      name: 'gate: the same, tokens never seen',
      api: { ...rights, auth: ['main'] },
      root: issuers,
      document: withToken,
    },
    validated: {
      name: 'gate: + validation of requests',
      api: { ...rights, validate: { request: 'enforce', response: 'off' } },
      document: secured,
    },
    whole: {
      name: 'gate: + validation of responses, trace context',
      api: { ...rights, validate: { request: 'enforce', response: 'enforce' }, trace: {} },
      document: secured,
    },
    refuse401: { name: 'gate: 401', api: rights, document: secured, status: 401 },
    refuse403: { name: 'gate: 403', api: rights, document: secured, status: 403 },
    refuse404: { name: 'gate: 404', api: rights, document: secured, status: 404 },
    refuse429: {
      name: 'gate: 429',
      api: { ...bare, limits: { anonymous: { rate: '1/day', key: 'ip' } } },
      status: 429,
    },
  }
}

/**
 * What is measured is the steady state: V8 optimises the gate's code over its first fifty thousand requests or so, and one
 * that has served fewer costs up to twice as much. R, with its sixty lines, is there at once, but gets the same.
 */
function warmUpSeconds({ name }: Contender): number {
  return name === 'R' || name.startsWith('gate') ? 5 : 1
}

interface Line {
  readonly contender: Contender
  readonly scenario: Scenario
  readonly tokens?: readonly string[]
  readonly samples: Sample[]
}

requireTools()
const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
mkdirSync(join(dir, 'tmp'), { recursive: true })
const started: Contender[] = []
const keep = (contender: Contender) => {
  started.push(contender)
  return contender
}
const issuer = await startIssuer()
try {
  const port = Number(process.env.BENCH_PORT ?? 18_100)
  const upstream = keep(await startUpstream(dir, port))
  const behind = `http://127.0.0.1:${upstream.port}`
  const wanted = (name: string) => only === undefined || only.includes(name)
  const peers: Contender[] = [keep(await startFloor(dir, port + 1, behind))]
  if (wanted('nginx')) peers.push(keep(await startNginx(dir, port + 2, behind)))
  if (wanted('caddy')) peers.push(keep(await startCaddy(dir, port + 3, behind)))
  if (wanted('modsecurity') && existsSync('/usr/lib/nginx/modules/ngx_http_modsecurity_module.so')) {
    peers.push(keep(await startNginx(dir, port + 4, behind, debianRules)))
  }
  const lines: Line[] = peers.flatMap((contender) =>
    scenarios.map((scenario) => ({ contender, scenario, samples: [] })),
  )
  let next = port + 10
  for (const [name, configuration] of Object.entries(configurations(issuer.url))) {
    if (!wanted(name)) continue
    const own = next++
    say(`starting ${configuration.name}`)
    let gate = keep(await startGate(dir, own, behind, configuration))
    if (name === 'key' || name === 'validated' || name === 'whole') {
      gate = { ...gate, headers: { 'X-API-Key': makeKey(dir, own, ['orders']) } }
    }
    if (name === 'refuse403') gate = { ...gate, headers: { 'X-API-Key': makeKey(dir, own, ['other']) } }
    if (name === 'token') gate = { ...gate, headers: { Authorization: `Bearer ${issuer.token(0)}` } }
    if (name.startsWith('refuse')) {
      const path = name === 'refuse404' ? '/nothing' : '/orders/7'
      lines.push({ contender: gate, scenario: { name: 'GET 200 B', method: 'GET', path }, samples: [] })
    } else if (name === 'fresh') {
      // More tokens than the cache holds, each seen once a lap: every request verifies a signature.
      const tokens = Array.from({ length: 25_000 }, (_, n) => issuer.token(n))
      lines.push({ contender: gate, scenario: scenarios[0]!, tokens, samples: [] })
    } else lines.push(...scenarios.map((scenario) => ({ contender: gate, scenario, samples: [] })))
  }

  for (let round = -1; round < rounds; round++) {
    for (const line of lines) {
      const options = {
        seconds: round < 0 ? warmUpSeconds(line.contender) : seconds,
        connections: 64,
        dir,
        ...(line.tokens && { tokens: line.tokens }),
      }
      const sample = await measure(line.contender, line.scenario, options)
      if (sample.errors > 0) say(`  ${line.contender.name}, ${line.scenario.name}: ${sample.errors} wrong replies`)
      if (round >= 0) line.samples.push(sample)
    }
    say(round < 0 ? 'warmed up' : `round ${round + 1} of ${rounds}`)
  }

  const single = new Map<string, number[]>()
  const alone = [
    upstream,
    ...started.filter(({ name }) => name === 'R' || name === 'nginx' || name.includes('API key')),
  ]
  const keyOfGate = lines.find(({ contender }) => contender.name.includes('API key'))?.contender.headers ?? {}
  for (let round = 0; round < rounds; round++) {
    for (const contender of alone) {
      const given = { ...contender, headers: contender.name.includes('API key') ? keyOfGate : {} }
      const sample = await measure(given, scenarios[0]!, { seconds, connections: 1, dir })
      single.set(contender.name, [...(single.get(contender.name) ?? []), sample.p50Us])
    }
  }
  const text = report(lines, single)
  process.stdout.write(`${text}\n`)
  say('What grows with documents, lists and time, and how fast the gate starts: npm run bench:growth')
  if (process.env.BENCH_OUT !== undefined) writeFileSync(process.env.BENCH_OUT, text)
} finally {
  for (const { stop } of started) stop()
  issuer.stop()
  rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
}

function report(lines: readonly Line[], single: ReadonlyMap<string, readonly number[]>): string {
  const out: string[] = []
  for (const scenario of scenarios) {
    const own = lines.filter((line) => line.scenario.name === scenario.name)
    const floor = own.find(({ contender }) => contender.name === 'R')!
    const caddy = own.find(({ contender }) => contender.name === 'Caddy')
    out.push(
      `### ${scenario.name}, 64 connections\n`,
      '| | requests per CPU-second | CPU µs per request | ± | p50 ms | p99 ms | MB | × R | × Caddy |',
      '|---|---|---|---|---|---|---|---|---|',
    )
    for (const { contender, samples } of own) {
      const cpu = samples.map(({ cpuUs }) => cpuUs)
      const ratio = (to: Line | undefined) =>
        to === undefined ? '' : median(samples.map((sample, i) => to.samples[i]!.cpuUs / sample.cpuUs)).toFixed(2)
      out.push(
        `| ${contender.name} | ${Math.round(1e6 / median(cpu))} | ${median(cpu).toFixed(1)} | ${Math.round(spread(cpu) * 100)} % | ${[
          (median(samples.map(({ p50Us }) => p50Us)) / 1000).toFixed(2),
          (median(samples.map(({ p99Us }) => p99Us)) / 1000).toFixed(2),
          median(samples.map(({ rssMb }) => rssMb)).toFixed(0),
          ratio(floor),
          ratio(caddy),
        ].join(' | ')} |`,
      )
    }
    out.push('')
  }
  const direct = median(single.get('upstream') ?? [])
  out.push('### One connection, GET 200 B\n', '| | p50 µs | added µs |', '|---|---|---|')
  for (const [name, p50] of single) {
    out.push(`| ${name} | ${median(p50).toFixed(0)} | ${(median(p50) - direct).toFixed(0)} |`)
  }
  return out.join('\n')
}

/*
 * `npm run bench:growth`: what grows with the document, the lists and the time, and how fast the gate starts. Prints a
 * Markdown table of what must be and what was seen. One row alone: `npm run bench:growth -- start`. The rows:
 * tokens, ranges, router, keys, operations, start, reload, soak. SOAK_REQUESTS says how long the soak is.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { request as httpsRequest } from 'node:https'
import { connect } from 'node:net'
import { availableParallelism, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { type Contender, core, makeKey, startGate, startUpstream } from './contenders.ts'
import { documentWith, pathAt, recordBody } from './documents.ts'
import { measure, median } from './measure.ts'

const here = new URL('.', import.meta.url).pathname
const bin = join(here, '../bin/portcullis.js')
const say = (text: string) => process.stderr.write(`${text}\n`)
const port = Number(process.env.BENCH_PORT ?? 18_400)
const soakRequests = Number(process.env.SOAK_REQUESTS ?? 1_000_000)
/** Where the load comes from when the measured process has a core of its own. */
const otherCore = String((Number(core) + 1) % availableParallelism())
const dir = mkdtempSync(join(tmpdir(), 'portcullis-growth-'))
const stops: (() => void)[] = []

interface Row {
  readonly what: string
  readonly must: string
  readonly seen: string
  readonly holds: boolean | undefined
}
const rows: Row[] = []

function row(what: string, must: string, seen: string, holds?: boolean): void {
  rows.push({ what, must, seen, holds })
  say(`  ${what}: ${seen}`)
}

/** Runs a row of inside.ts in fresh processes on the measured core and gives the median of each figure. */
function inside(name: string, processes = 3): Record<string, number> {
  const runs = Array.from({ length: processes }, () => {
    const made = execFileSync('taskset', ['-c', core, process.execPath, join(here, 'inside.ts'), name])
    return JSON.parse(made.toString()) as Record<string, number>
  })
  return Object.fromEntries(Object.keys(runs[0]!).map((key) => [key, median(runs.map((run) => run[key]!))]))
}

function tokens(): void {
  const { seen, unseen } = inside('tokens')
  const us = (ns: number) => (ns / 1000).toFixed(2)
  row('RS256 token seen before, in the guards auth and security', '3 µs', `${us(seen!)} µs`, seen! <= 3000)
  row('RS256 token never seen', '', `${us(unseen!)} µs of CPU`)
}

function ranges(): void {
  const { loadMs, separate, ...figures } = inside('ranges')
  for (const [name, ns] of Object.entries(figures)) {
    row(`Address among ${separate} ranges, ${name}`, '0.5 µs', `${(ns / 1000).toFixed(3)} µs`, ns <= 500)
  }
  row(`Reading ${separate} ranges`, '', `${loadMs!.toFixed(0)} ms`)
}

function router(): void {
  const figures = inside('router')
  for (const [name, ns] of Object.entries(figures)) row(`Route alone, ${name}`, '', `${ns.toFixed(0)} ns`)
}

function keys(): void {
  const text = execFileSync('taskset', ['-c', core, process.execPath, join(here, 'state.ts'), '1000000']).toString()
  const figure = (name: string) => Number(new RegExp(`^${name}.* ([\\d.]+) (?:µs|MB)`, 'm').exec(text)?.[1])
  const lately = figure('key, seen lately')
  row('API key among a million, from the cache', '10 µs', `${lately} µs`, lately <= 10)
  row('API key among a million, from SQLite', '', `${figure('key, not in memory')} µs`)
  row('Memory that the full caches take', 'bounded', `${figure('memory grown by')} MB`)
}

/** A gate before a document of so many operations, or before many APIs. */
function gateBefore(name: string, own: number, behind: string, apis: Readonly<Record<string, object>>) {
  const home = join(dir, `gate-${own}`)
  mkdirSync(home, { recursive: true })
  const entries = Object.entries(apis).map(([api, { document, ...settings }]: [string, { document?: object }]) => {
    writeFileSync(join(home, `${api}.json`), JSON.stringify(document))
    return [api, { openapi: `./${api}.json`, upstream: behind, auth: ['apiKey'], limits: plenty, ...settings }]
  })
  return startGate(dir, own, behind, { name, api: {}, apis: Object.fromEntries(entries) }).then((gate) => {
    stops.push(gate.stop)
    return { ...gate, headers: { 'X-API-Key': makeKey(dir, own, ['orders']) } }
  })
}

const plenty = { default: { rate: '1000000000/min', key: 'principal' }, anonymous: { rate: '1000000000/min' } }

async function operations(behind: string): Promise<void> {
  const secured = [{ key: ['orders'] }]
  const small = documentWith(10, secured)
  const gates: [string, Contender, string?][] = [
    ['10 operations', await gateBefore('10', port + 10, behind, { one: { document: small } })],
    [
      '1,000 operations',
      await gateBefore('1000', port + 11, behind, { one: { document: documentWith(1000, secured) } }),
    ],
  ]
  const hundred = Object.fromEntries(
    Array.from({ length: 100 }, (_, n) => [`api${n}`, { document: small, basePath: `/api-${n}` }]),
  )
  gates.push(['100 APIs of 10', await gateBefore('100', port + 12, behind, hundred), '/api-37'])
  for (const [what, method] of [
    ['GET', 'GET'],
    ['POST 1 KB', 'POST'],
  ] as const) {
    const seen = new Map<string, number[]>()
    for (let round = -1; round < 7; round++) {
      const order = round % 2 === 0 ? gates : gates.toReversed()
      for (const [name, gate, prefix] of order) {
        const lua = requestsLua(gate.headers, 1, [method], prefix)
        const scenario = { name: what, method: 'GET', path: '/' } as const
        const sample = await measure(gate, scenario, { seconds: 2, connections: 64, dir, lua })
        if (sample.errors > 0) throw new Error(`${name}, ${what}: ${sample.errors} wrong replies`)
        if (round >= 0) seen.set(name, [...(seen.get(name) ?? []), sample.cpuUs])
      }
    }
    const base = seen.get('10 operations')!
    for (const [name, cpu] of seen) {
      const ratio = median(cpu.map((us, i) => us / base[i]!))
      const first = name === '10 operations'
      const shown = `${median(cpu).toFixed(1)} µs${first ? '' : `, ${signed((ratio - 1) * 100)} %`}`
      row(`${what} through the gate, ${name}`, first ? '' : 'within 5 %', shown, first ? undefined : ratio <= 1.05)
    }
  }
  for (const [, gate] of gates) gate.stop()
}

function signed(value: number): string {
  return `${value < 0 ? '−' : '+'}${Math.abs(value).toFixed(1)}`
}

/** wrk's program: the given methods of the first so many paths, in turn. */
function requestsLua(
  headers: Readonly<Record<string, string>>,
  paths: number,
  methods: readonly string[],
  prefix = '',
): string {
  return [
    'local requests = {}',
    `local body = [==[${recordBody}]==]`,
    `local headers = { ${Object.entries(headers)
      .map(([name, value]) => `["${name}"] = "${value}"`)
      .join(', ')} }`,
    `local typed = { ["Content-Type"] = "application/json" }`,
    'for name, value in pairs(headers) do typed[name] = value end',
    'init = function()',
    ...Array.from({ length: paths }, (_, n) =>
      methods.map((method) =>
        method === 'GET'
          ? `  table.insert(requests, wrk.format("GET", "${prefix}${pathAt(n)}${n % 3 === 0 ? '' : `?page=${n}`}", headers))`
          : `  table.insert(requests, wrk.format("POST", "${prefix}${pathAt(n)}", typed, body))`,
      ),
    ).flat(),
    'end',
    'local n = 0',
    'request = function() n = n % #requests + 1; return requests[n] end',
  ].join('\n')
}

/** Milliseconds from the start of a process to its first answer, and the time it took on the core. */
interface Start {
  readonly ms: number
  readonly cpuMs: number
  readonly rssMb: number
}

async function startOnce(home: string, cache: string, ask: () => Promise<boolean>): Promise<Start> {
  if (await ask()) throw new Error('something answers on the port of the measured gate already')
  const since = performance.now()
  const env = { ...process.env, XDG_CACHE_HOME: cache, NODE_COMPILE_CACHE: '' }
  const child = spawn('taskset', ['-c', core, process.execPath, bin, 'start'], {
    cwd: home,
    env,
    stdio: 'ignore',
  })
  const ended = new Promise((resolve) => child.once('exit', resolve))
  try {
    while (!(await ask())) {
      if (child.exitCode !== null) throw new Error(`the gate of ${home} ended with ${child.exitCode}`)
      if (performance.now() - since > 30_000) throw new Error(`the gate of ${home} does not answer`)
      await new Promise((resolve) => setTimeout(resolve, 3))
    }
    const ms = performance.now() - since
    return { ms, cpuMs: cpuMsOf(child.pid!), rssMb: rssMbOf(child.pid!) }
  } finally {
    child.kill('SIGTERM')
    await ended
  }
}

function cpuMsOf(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ')
  return (Number(fields[11]) + Number(fields[12])) * 10
}

function rssMbOf(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024
}

/** Whether anything but a refused connection comes back. */
function asks(own: number, path: string, encrypted: boolean): () => Promise<boolean> {
  if (encrypted) {
    return () =>
      new Promise((resolve, reject) => {
        httpsRequest({ host: '127.0.0.1', port: own, path, rejectUnauthorized: false, agent: false }, (reply) => {
          reply.resume()
          if (reply.statusCode === 200) resolve(true)
          else reject(new Error(`${path} answered ${reply.statusCode}`))
        })
          .on('error', () => resolve(false))
          .end()
      })
  }
  return () =>
    new Promise((resolve, reject) => {
      const socket = connect(own, '127.0.0.1', () => socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`))
      socket.once('data', (data) => {
        socket.destroy()
        if (data.toString('latin1', 9, 12) === '200') resolve(true)
        else reject(new Error(`${path}: ${data.toString('latin1', 0, 300)}`))
      })
      socket.on('error', () => resolve(false))
    })
}

async function start(behind: string): Promise<void> {
  const shop = join(dir, 'shop')
  cpSync(join(here, '../examples/shop'), shop, { recursive: true })
  const shopPort = port + 20
  const upstream = createServer((_, reply) =>
    reply.writeHead(200, { 'content-type': 'application/json' }).end('{"status":"up"}'),
  )
  await new Promise<void>((resolve) => upstream.listen(port + 21, '127.0.0.1', resolve))
  const config = readFileSync(join(shop, 'portcullis.yaml'), 'utf8')
  writeFileSync(
    join(shop, 'portcullis.yaml'),
    config
      .replace('port: 8443', `port: ${shopPort}`)
      .replace(/upstream: .*/, `upstream: http://127.0.0.1:${port + 21}`),
  )
  const document = documentWith(1000)
  const large = (name: string, text: string) => {
    const home = join(dir, name)
    mkdirSync(home, { recursive: true })
    writeFileSync(join(home, `openapi.${name}`), text)
    writeFileSync(
      join(home, 'portcullis.yaml'),
      JSON.stringify({
        version: 1,
        listen: [{ port: port + 22, host: '127.0.0.1', tls: 'off' }],
        apis: { large: { openapi: `./openapi.${name}`, upstream: behind, unsecured: 'public', auth: [] } },
      }),
    )
    return home
  }
  const cases = [
    ['The shop, with TLS', 1000, shop, asks(shopPort, '/health', true)],
    ['1,000 operations, JSON', 2000, large('json', JSON.stringify(document)), asks(port + 22, pathAt(0), false)],
    ['1,000 operations, YAML', 2000, large('yaml', stringify(document)), asks(port + 22, pathAt(0), false)],
  ] as const
  try {
    for (const [what, must, home, ask] of cases) {
      const kinds: ['first ever' | 'later', Start[]][] = [
        ['first ever', []],
        ['later', []],
      ]
      const kept = join(dir, 'cache-kept')
      await startOnce(home, kept, ask)
      for (let round = 0; round < 5; round++) {
        for (const [kind, starts] of kinds) {
          if (kind === 'first ever') rmSync(join(home, '.portcullis'), { recursive: true, force: true })
          const cache = kind === 'later' ? kept : join(dir, `cache-${round}`)
          starts.push(await startOnce(home, cache, ask))
          if (kind === 'first ever') rmSync(cache, { recursive: true, force: true })
        }
      }
      for (const [kind, starts] of kinds) {
        const ms = median(starts.map((one) => one.ms))
        const cpu = median(starts.map((one) => one.cpuMs))
        const rss = median(starts.map((one) => one.rssMb))
        const shown = `${ms.toFixed(0)} ms (${cpu.toFixed(0)} ms of CPU, ${rss.toFixed(0)} MB)`
        row(`First answer: ${what}, ${kind} start`, `${must / 1000} s`, shown, ms <= must)
      }
    }
  } finally {
    upstream.close()
  }
}

async function reload(behind: string): Promise<void> {
  const gate = await gateBefore('reload', port + 30, behind, { one: { document: documentWith(1000, [{ key: [] }]) } })
  const file = join(dir, `gate-${port + 30}`, 'one.json')
  const lua = requestsLua(gate.headers, 20, ['GET', 'POST'])
  const scenario = { name: 'reload', method: 'GET', path: '/' } as const
  const load = { connections: 16, dir, lua, loadCore: otherCore }
  await measure(gate, scenario, { ...load, seconds: 3 })
  // The worst delay stays visible for a minute: what start and warm-up made must not be taken for the reload's.
  const calm = await measure(gate, scenario, { ...load, seconds: 2 })
  const before = await reloadCount(port + 30)
  const holds: number[] = []
  for (let round = 0; round < 3; round++) {
    const running = measure(gate, scenario, { ...load, seconds: 5 })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    writeFileSync(file, JSON.stringify({ ...documentWith(1000, [{ key: [] }]), 'x-round': round }))
    const sample = await running
    if (sample.errors > 0) throw new Error(`${sample.errors} wrong replies during a reload`)
    holds.push(sample.maxUs / 1000)
  }
  if ((await reloadCount(port + 30)) < before + 3) throw new Error('the gate did not reload')
  const worst = median(holds)
  row(
    'Longest wait of a request while 1,000 operations are reloaded under load',
    'no request lost',
    `${worst.toFixed(0)} ms (${(calm.maxUs / 1000).toFixed(0)} ms without a reload), none lost`,
    true,
  )
  gate.stop()
}

async function reloadCount(own: number): Promise<number> {
  const text = await (await fetch(`http://127.0.0.1:${own + 1000}/metrics`)).text()
  return Number(/^portcullis_config_reloads_total\{result="succeeded"\} (\d+)/m.exec(text)?.[1] ?? 0)
}

async function soak(behind: string): Promise<void> {
  const document = documentWith(800, [{ key: ['orders'] }])
  const gate = await gateBefore('soak', port + 40, behind, {
    one: { document, validate: { request: 'enforce', response: 'enforce' } },
  })
  const lua = requestsLua(gate.headers, 400, ['GET', 'POST'])
  const scenario = { name: 'soak', method: 'GET', path: '/' } as const
  const quarters: string[] = [`${rssMbOf(gate.pid).toFixed(0)} at the start`]
  const samples: { readonly requests: number; readonly rssMb: number }[] = []
  let done = 0
  let wrong = 0
  const since = performance.now()
  for (let quarter = 1; quarter <= 4; quarter++) {
    while (done < (soakRequests * quarter) / 4) {
      const sample = await measure(gate, scenario, { seconds: 3, connections: 64, dir, lua, loadCore: otherCore })
      wrong += sample.errors
      done += sample.requests
      samples.push({ requests: done, rssMb: sample.rssMb })
    }
    quarters.push(`${rssMbOf(gate.pid).toFixed(0)} at ${quarter * 25} %`)
  }
  const half = samples.filter(({ requests }) => requests > soakRequests / 2)
  const highest = Math.max(...samples.map(({ rssMb }) => rssMb))
  const slope = slopeOf(half) * 1e6
  const seconds = ((performance.now() - since) / 1000).toFixed(0)
  row(
    `Memory over ${done} requests in ${seconds} s, 400 paths, every body checked`,
    '150 MB',
    `${highest.toFixed(0)} MB at most: ${quarters.join(', ')}${wrong > 0 ? `; ${wrong} replies were wrong` : ''}`,
    highest <= 150 && wrong === 0,
  )
  row('Growth over the last half', 'none', `${signed(slope)} MB per million requests`, slope < 5)
  gate.stop()
}

/** Least squares: MB for each request. */
function slopeOf(samples: readonly { readonly requests: number; readonly rssMb: number }[]): number {
  const meanX = samples.reduce((sum, { requests }) => sum + requests, 0) / samples.length
  const meanY = samples.reduce((sum, { rssMb }) => sum + rssMb, 0) / samples.length
  let over = 0
  let under = 0
  for (const { requests, rssMb } of samples) {
    over += (requests - meanX) * (rssMb - meanY)
    under += (requests - meanX) ** 2
  }
  return under === 0 ? 0 : over / under
}

function requireTools(): void {
  const missing = ['wrk', 'nginx', 'taskset'].filter((tool) => spawnSync('which', [tool]).status !== 0)
  if (missing.length === 0) return
  say(`The bench needs ${missing.join(', ')}: apt-get install wrk nginx util-linux`)
  process.exit(2)
}

requireTools()
const asked = process.argv.slice(2)
const upstream = await startUpstream(dir, port)
stops.push(upstream.stop)
const behind = `http://127.0.0.1:${port}`
try {
  for (const [name, run] of Object.entries({ tokens, ranges, router, keys, operations, start, reload, soak })) {
    if (asked.length > 0 && !asked.includes(name)) continue
    say(`${name} …`)
    await run(behind)
  }
} finally {
  for (const stop of stops) stop()
  // What drains still writes into its folder.
  await new Promise((resolve) => setTimeout(resolve, 2000))
  if (process.env.BENCH_KEEP === undefined)
    rmSync(dir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 })
}
const note = `Node ${process.version}, ${availableParallelism()} cores, load ${loadavg()[0]!.toFixed(1)} at the end.`
process.stdout.write(
  ['| | must | seen | |', '|---|---|---|---|']
    .concat(
      rows.map(
        ({ what, must, seen, holds }) =>
          `| ${what} | ${must} | ${seen} | ${holds === undefined ? '' : holds ? 'holds' : '**missed**'} |`,
      ),
    )
    .concat('', note)
    .join('\n')
    .concat('\n'),
)

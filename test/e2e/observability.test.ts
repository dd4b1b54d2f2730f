import { mkdtemp, readdir, readFile, rm, symlink, unlink, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { explainRequest } from '../../src/watch/index.ts'
import { freePort, type SpawnedGate, smallDocument, spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream((request, reply) => {
    if (request.url === '/orders/500') return json(reply, { message: 'broken' }, 500)
    json(reply, [], 200, { 'set-cookie': 'session=upstream-canary' })
  })
})
afterAll(() => upstream.stop())

let gate: TestGate | undefined
let spawned: SpawnedGate | undefined
afterEach(async () => {
  await gate?.stop()
  gate = undefined
  await spawned?.stop()
  await spawned?.remove()
  spawned = undefined
  upstream.hits.length = 0
})

/** Limits would refuse what these tests send in numbers. */
const noLimits = { limits: { default: { rate: '1000000/s' }, anonymous: { rate: '1000000/s' } } }

/** Sends bytes and waits for the connection's end. */
function sendRaw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text))
    let answer = ''
    socket.on('data', (part) => {
      answer += part
    })
    socket.on('close', () => resolve(answer))
    socket.on('error', () => resolve(answer))
  })
}

describe('O1: activity log: who, what, when, from where; level and sampling chosen', () => {
  test('one line for every request, with all that is asked for and no secret', async () => {
    gate = await startGate({ upstream: upstream.url })
    const key = await gate.key({ name: 'partner' })
    const before = Date.now()
    const reply = await gate.fetch('/orders?limit=5', {
      headers: { 'x-api-key': key, 'user-agent': 'shop-app/1.0', accept: 'application/json' },
    })
    expect(reply.status).toBe(200)
    await reply.text()
    const [line, ...more] = await gate.lines(1)
    expect(more).toEqual([])
    expect(line).toMatchObject({
      v: 1,
      id: reply.headers.get('portcullis-request-id'),
      api: 'test',
      operation: 'listOrders',
      method: 'GET',
      route: '/orders',
      path: '/orders',
      query: 'limit=***',
      protocol: 'HTTP/1.1',
      status: 200,
      client: '127.0.0.1',
      application: 'partner',
      credential: 'apiKey',
      responseBytes: 2,
    })
    expect(line!.user).toMatch(/./)
    expect(line!.requestHeaders).toMatchObject({ 'user-agent': 'shop-app/1.0', 'x-api-key': '***' })
    expect(line!.responseHeaders).toMatchObject({ 'content-type': 'application/json', 'set-cookie': '***' })
    expect(Date.parse(line!.time)).toBeGreaterThanOrEqual(before)
    expect(Date.parse(line!.time)).toBeLessThanOrEqual(Date.now())
    expect(line!.durationMs).toBeGreaterThan(0)
    expect(line!.upstreamMs).toBeGreaterThan(0)
    expect(JSON.stringify(line)).not.toContain(key)
    expect(JSON.stringify(line)).not.toContain('upstream-canary')
  })

  test('refusals of every kind leave one line each, with their code', async () => {
    gate = await startGate({ upstream: upstream.url })
    await gate.fetch('/orders')
    await gate.fetch('/nowhere')
    await gate.fetch('/orders', { method: 'DELETE' })
    await sendRaw(gate.port, 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n')
    await sendRaw(gate.port, 'GARBAGE\r\n\r\n')
    const lines = await gate.lines(5)
    expect(lines.map(({ status }) => status)).toEqual([401, 404, 405, 400, 400])
    for (const line of lines) {
      expect(line.denial.code).toMatch(/^[a-z-]+\.[a-z-]+$/)
      expect(line.client).toBe('127.0.0.1')
    }
  })

  test('what cannot be read or belongs nowhere has an id of its own, in the answer and in its line', async () => {
    gate = await startGate({ upstream: upstream.url, api: { host: ['api.test'] } })
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n'
    const sent = [
      'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n',
      'GET / HTTP/1.1\r\nHost: elsewhere.test\r\n\r\n',
      `GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n${upgrade}`,
      `GET / HTTP/1.1\r\nHost: elsewhere.test\r\n${upgrade}`,
    ]
    const told: (string | undefined)[] = []
    for (const bytes of sent) {
      const answer = await sendRaw(gate.port, bytes)
      told.push(/"instance":"([^"]+)"/.exec(answer)?.[1])
    }
    expect(new Set(told).size).toBe(4)
    const lines = await gate.lines(4)
    expect(lines.map(({ id }) => id)).toEqual(told)
    expect(lines.map(({ status, operation }) => [status, operation])).toEqual(
      [400, 404, 400, 404].map((status) => [status, 'unroutable']),
    )
  })

  test('level, sample and lists change by a reload, without a restart', async () => {
    gate = await startGate({ upstream: upstream.url })
    const file = join(gate.dir, 'activity.ndjson')
    const visit = async (query: string) => {
      await (await gate!.fetch(`/health`, { headers: { 'user-agent': query } })).text()
      await (await gate!.fetch('/nowhere', { headers: { 'user-agent': query } })).text()
    }
    await visit('one')
    await gate.reload({ root: { telemetry: { logs: { file, level: 'denied' } } } })
    await visit('two')
    await gate.reload({ root: { telemetry: { logs: { file, sample: 0 } } } })
    await visit('three')
    await gate.reload({ root: { telemetry: { logs: { file, level: 'none' } } } })
    await visit('four')
    await gate.reload({ root: { telemetry: { logs: { file, requestHeaders: [] } } } })
    await visit('five')
    const lines = await gate.lines(6)
    expect(lines.map(({ status, requestHeaders }) => [status, requestHeaders['user-agent']])).toEqual([
      [200, 'one'],
      [404, 'one'],
      [404, 'two'],
      [404, 'three'],
      [200, '***'],
      [404, '***'],
    ])
  })

  test('the lines are standard output, messages are not, and a stop loses none', async () => {
    const port = await freePort()
    spawned = await spawnGate({
      upstream: upstream.url,
      root: { listen: [{ port, host: '127.0.0.1', tls: 'off' }], telemetry: {} },
    })
    for (let i = 0; i < 20; i++)
      await (await fetch(`${spawned.url}/health`, { headers: { 'user-agent': 'probe' } })).text()
    await spawned.stop()
    const lines = spawned
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(lines.filter(({ requestHeaders }) => requestHeaders['user-agent'] === 'probe')).toHaveLength(20)
  })

  test('a full disk stops nothing, is counted, and is over when it is over', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'portcullis-full-'))
    const file = join(dir, 'activity.ndjson')
    await symlink('/dev/full', file)
    const metrics = `127.0.0.1:${await freePort()}`
    gate = await startGate({ upstream: upstream.url, root: { telemetry: { metrics, logs: { file } } } })
    expect((await gate.fetch('/health')).status).toBe(200)
    const failed = await until(
      async () => /portcullis_log_write_errors_total\{code="ENOSPC"\} \d+/.exec(await scrape(metrics))?.[0],
      'a failed write in the metrics',
    )
    expect(failed).toBeDefined()
    expect((await gate.fetch('/health')).status).toBe(200)
    await unlink(file)
    const text = await until(async () => {
      const written = await readFile(file, 'utf8').catch(() => '')
      return written.trim().split('\n').length >= 2 ? written : undefined
    }, 'the lines that had waited')
    expect(
      text
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line).status),
    ).toEqual([200, 200])
    await rm(dir, { recursive: true })
  })
})

const scrape = async (address: string, path = '/metrics') => (await fetch(`http://${address}${path}`)).text()

describe('O2: logs masked', () => {
  test('secrets sent in header, cookie, body, path, query and user agent are nowhere afterwards', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    spawned = await spawnGate({ upstream: upstream.url, root: { telemetry: { metrics } } as never })
    const key = JSON.parse((await spawned.command('key', 'create', 'canary', '--json')).stdout).key as string
    // Words for places where nothing is shown, forms of secrets for places where harmless values are.
    const word = 'hunter2canaryword'
    const shaped = 'sk_live_canaryShaped4Secret8'
    const jwt = 'eyJhbGciOiJIUzI1NiJ9.eyJjYW5hcnkiOiJqd3QifQ.c2lnbmF0dXJlY2FuYXJ5and0'
    const headers = {
      'x-api-key': key,
      authorization: `Bearer ${jwt}`,
      cookie: `session=${word}; other=${shaped}`,
      'user-agent': `Tool/1.0 ${shaped}`,
      referer: `https://shop.example/${shaped}/page?session=${word}`,
      'x-secret': word,
    }
    const send = async (path: string, init: RequestInit = {}) =>
      (await fetch(spawned!.url + path, { ...init, headers: { ...headers, ...init.headers } })).text()
    await send(`/orders?limit=${word}`)
    await send(`/orders?access_token=${word}`)
    await send(`/orders?${shaped}`)
    await send(`/orders?${shaped}=1`)
    await send(`/orders/${shaped}`)
    await send(`/orders/${jwt}`)
    await send(`/nowhere/${shaped}/${jwt}`)
    await send('/orders', { headers: { 'x-api-key': word } })
    await send('/orders', {
      method: 'POST',
      body: JSON.stringify({ item: word, quantity: shaped, [word]: 1 }),
      headers: { 'content-type': 'application/json' },
    })
    await send('/orders', { method: 'POST', body: word, headers: { 'content-type': 'application/json' } })
    await sendRaw(spawned.port, `GET /${word} HTTP/1.1\r\nHost: a\r\nX: ${word}\r\nX : ${word}\r\n\r\n`)
    const shown = await Promise.all(['/metrics', '/errors'].map((path) => scrape(metrics, path)))
    await spawned.stop()

    const { dir } = spawned
    const files = await readdir(dir, { recursive: true, withFileTypes: true })
    const written = await Promise.all(
      files
        .filter((file) => file.isFile())
        .map(async (file) => [file.name, await readFile(join(file.parentPath, file.name), 'latin1')] as const),
    )
    const everything = [['stdout', spawned.stdout()], ['stderr', spawned.stderr()], ['shown', shown.join()], ...written]
    expect(spawned.stdout().split('\n').length).toBeGreaterThan(10)
    expect(written.map(([name]) => name).join()).toContain('recent-')
    for (const canary of [key, word, shaped, jwt, 'eyJjYW5hcnkiOiJqd3QifQ']) {
      for (const [name, text] of everything) expect(text!.includes(canary), `${canary} in ${name}`).toBe(false)
    }
  })
})

describe('O3: metrics and recurring errors', () => {
  test('/metrics has rate, errors, duration and process series, and stays bounded under 10,000 random paths', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    gate = await startGate({
      upstream: upstream.url,
      api: noLimits,
      root: { telemetry: { metrics, logs: { level: 'none' } } },
    })
    await (await gate.fetch('/health')).text()
    await (await gate.fetch('/nowhere')).text()
    const seriesOf = (text: string) => text.split('\n').filter((line) => line.startsWith('portcullis_')).length
    const before = seriesOf(await scrape(metrics))
    let sent = 0
    await Promise.all(
      Array.from({ length: 32 }, async () => {
        while (sent < 10_000) {
          const n = sent++
          await (await gate!.fetch(`/x${n}/${Math.random().toString(36).slice(2)}?q${n}=1`)).text()
        }
      }),
    )
    const text = await scrape(metrics)
    expect(seriesOf(text)).toBeLessThan(before + 20)
    expect(text).toMatch(
      /portcullis_http_request_duration_seconds_count\{api="test",operation="health",route="\/health",method="GET",status="2xx"\} 1\n/,
    )
    const unlisted = [...text.matchAll(/^portcullis_http_request_duration_seconds_count\{.*status="4xx"\} (\d+)$/gm)]
    expect(unlisted.reduce((sum, [, count]) => sum + Number(count), 0)).toBe(10_001)
    for (const name of ['process_cpu_seconds_total', 'process_resident_memory_bytes', 'process_uptime_seconds']) {
      expect(text).toMatch(new RegExp(`^${name} [0-9.]+$`, 'm'))
    }
    expect(text).toMatch(/^portcullis_http_requests_in_flight 0$/m)
  })

  test('exchanges under way and readiness show while they last', async () => {
    let release: () => void = () => {}
    const slow = await startUpstream((_, reply) => {
      release = () => json(reply, {})
    })
    const metrics = `127.0.0.1:${await freePort()}`
    gate = await startGate({ upstream: slow.url, root: { telemetry: { metrics, logs: { level: 'none' } } } })
    expect(await scrape(metrics, '/readyz')).toBe('ready\n')
    const asked = gate.fetch('/health')
    await until(() => slow.hits.length === 1, 'the upstream to be asked')
    expect(await scrape(metrics)).toMatch(/^portcullis_http_requests_in_flight 1$/m)
    release()
    await (await asked).text()
    expect(await scrape(metrics)).toMatch(/^portcullis_http_requests_in_flight 0$/m)
    await slow.stop()
  })

  test('several workers count as one, write whole lines to one output, and all can be asked', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    const port = await freePort()
    const root = { listen: [{ port, host: '127.0.0.1', tls: 'off' }], workers: 2, telemetry: { metrics } }
    spawned = await spawnGate({ upstream: upstream.url, api: noLimits, root })
    const reported: string[] = []
    // A connection each, so that both workers get some.
    for (let i = 0; i < 200; i += 20) {
      await Promise.all(
        Array.from({ length: 20 }, async () => {
          const headers = { connection: 'close', 'user-agent': `probe ${'x'.repeat(600)}` }
          const reply = await fetch(`${spawned!.url}/orders`, { headers })
          reported.push(((await reply.json()) as { instance: string }).instance)
        }),
      )
    }
    const all = /^portcullis_denials_total\{api="test",code="[a-z.-]+"\} 200$/m
    await until(async () => all.test(await scrape(metrics)), 'all refusals in the metrics')
    expect(JSON.parse(await scrape(metrics, '/errors'))[0]).toMatchObject({ operation: 'listOrders', count: 200 })
    for (const id of [reported[0], reported[99], reported[199]]) {
      expect((await explainRequest(id!, { stateDir: join(spawned.dir, '.portcullis') }))?.record.id).toBe(id)
    }
    await spawned.stop()
    const lines = spawned
      .stdout()
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    expect(new Set(lines.map(({ id }) => id))).toEqual(new Set([...lines.map(({ id }) => id), ...reported]))
  })

  test('a configuration that was refused shows until one is taken', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    spawned = await spawnGate({ upstream: upstream.url, root: { telemetry: { metrics } } as never })
    const file = join(spawned.dir, 'portcullis.yaml')
    const good = await readFile(file, 'utf8')
    const shows = (value: number) => async () =>
      new RegExp(`^portcullis_config_last_reload_successful ${value}$`, 'm').test(await scrape(metrics))
    expect(await shows(1)()).toBe(true)
    await writeFile(file, good.replace('"apis"', '"apsi"'))
    spawned.child.kill('SIGHUP')
    await until(shows(0), 'the refused reload in the metrics')
    await writeFile(file, good)
    spawned.child.kill('SIGHUP')
    await until(shows(1), 'the reload that was taken in the metrics')
  })

  test('the same failure 50 times is one group with count, first and last seen, and an example to explain', async () => {
    const metrics = `127.0.0.1:${await freePort()}`
    gate = await startGate({
      upstream: upstream.url,
      api: noLimits,
      root: { telemetry: { metrics, logs: { level: 'none' } } },
    })
    const key = await gate.key()
    let last = ''
    for (let i = 0; i < 50; i++) {
      const reply = await gate.fetch('/orders/500', { headers: { 'x-api-key': key } })
      expect(reply.status).toBeGreaterThanOrEqual(500)
      await reply.text()
      last = reply.headers.get('portcullis-request-id')!
    }
    const groups = JSON.parse(await scrape(metrics, '/errors'))
    expect(groups).toHaveLength(1)
    expect(groups[0]).toMatchObject({ api: 'test', operation: 'getOrder', count: 50, example: last })
    expect(Date.parse(groups[0].firstSeen)).toBeLessThanOrEqual(Date.parse(groups[0].lastSeen))
    expect(gate.messages.filter(({ message }) => message === 'recurring error')).toHaveLength(1)
  })
})

describe('explain <request-id>', () => {
  test('tells the operator why, while the gate runs and after it has stopped', async () => {
    spawned = await spawnGate({ upstream: upstream.url })
    const reply = await fetch(`${spawned.url}/orders`)
    expect(reply.status).toBe(401)
    const { instance, code } = (await reply.json()) as { instance: string; code: string }
    const running = await spawned.command('explain', instance, '--json')
    expect(running.code).toBe(0)
    expect(JSON.parse(running.stdout)).toMatchObject({
      source: 'running',
      record: { id: instance, path: '/orders', status: 401, denial: { code } },
    })
    expect((await spawned.command('explain', 'req_never')).code).toBe(1)
    await spawned.stop()
    const stopped = await spawned.command('explain', instance, '--json')
    expect(JSON.parse(stopped.stdout)).toMatchObject({ source: 'saved', record: { id: instance } })
  })

  test('finds allowed requests in the log file', async () => {
    gate = await startGate({ upstream: upstream.url })
    const reply = await gate.fetch('/health')
    const id = reply.headers.get('portcullis-request-id')!
    await gate.lines(1)
    const logFile = join(gate.dir, 'activity.ndjson')
    const found = await explainRequest(id, { stateDir: join(gate.dir, '.portcullis'), logFile })
    expect(found).toMatchObject({ source: 'log', record: { id, status: 200 } })
  })
})

describe('trace context', () => {
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'
  const visit = async (trustedProxies: readonly string[]) => {
    gate = await startGate({ upstream: upstream.url, document: smallDocument, root: { trustedProxies } })
    await (await gate.fetch('/health', { headers: { traceparent, tracestate: 'vendor=1' } })).text()
    const [line] = await gate.lines(1)
    return { line: line!, seen: upstream.hits.at(-1)!.headers }
  }

  test('a trusted proxy’s trace goes on to the upstream and into the log', async () => {
    const { line, seen } = await visit(['127.0.0.1/32'])
    expect(line.traceId).toBe('0af7651916cd43dd8448eb211c80319c')
    expect(seen.traceparent).toMatch(/^00-0af7651916cd43dd8448eb211c80319c-[0-9a-f]{16}-01$/)
    expect(seen.traceparent).not.toBe(traceparent)
    expect(seen.tracestate).toBe('vendor=1')
  })

  test('anybody else gets a trace of his own', async () => {
    const { line, seen } = await visit([])
    expect(line.traceId).toMatch(/^[0-9a-f]{32}$/)
    expect(line.traceId).not.toBe('0af7651916cd43dd8448eb211c80319c')
    expect(seen.traceparent).toContain(line.traceId)
    expect(seen.tracestate).toBeUndefined()
  })
})

import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { type AddressInfo, createServer as createTcp, type Socket } from 'node:net'
import { fetch as undiciFetch } from 'undici'
import { afterEach, describe, expect, test } from 'vitest'
import { type GateInput, type SpawnedGate, spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { type RawClient, rawClient } from '../kit/raw.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { type Service, services } from '../services.ts'

/* Issue 2, "How safe": the world breaks, and the gate's answer is the stated one. */

const answers = { 200: { description: 'Done.' }, default: { description: 'Anything else.' } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Faults', version: '1' },
  security: [{ key: [] }],
  components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } },
  paths: {
    '/open': { get: { security: [], responses: answers } },
    '/held': {
      get: {
        security: [],
        responses: { 200: { description: 'Done.', content: { 'application/json': { schema: { type: 'object' } } } } },
      },
    },
    '/closed': { get: { responses: answers } },
  },
}
const noLimits = { limits: { mode: 'off' } }

let gate: TestGate | undefined
const closers: (() => unknown)[] = []
afterEach(async () => {
  await gate?.stop()
  gate = undefined
  for (const close of closers.splice(0).reverse()) await close()
})

async function start(input: GateInput): Promise<TestGate> {
  gate = await startGate({ document, ...input, api: { ...noLimits, ...input.api } })
  return gate
}

async function plain(...given: Parameters<typeof startUpstream>): Promise<TestUpstream> {
  const upstream = await startUpstream(...given)
  closers.push(() => upstream.stop())
  return upstream
}

/** An upstream of bare sockets: says `bytes` to whatever it is asked, then does what it is told. */
async function saying(bytes: string | Buffer, then: (socket: Socket) => void = () => {}): Promise<string> {
  const sockets = new Set<Socket>()
  const server = createTcp((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.once('close', () => sockets.delete(socket))
    socket.once('data', () => socket.write(bytes, () => then(socket)))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

async function raw(): Promise<RawClient> {
  const client = await rawClient(gate!.port)
  closers.push(() => client.destroy())
  return client
}

const idle = () => until(() => gate!.running.inFlight() === 0, 'nothing to be under way')
const get = (path: string, version = '1.1') => `GET ${path} HTTP/${version}\r\nHost: shop.test\r\n\r\n`

/** The gate serves a whole request after whatever came before. */
async function isWell(): Promise<void> {
  await idle()
  const upstream = await plain()
  await gate!.reload({ upstream: upstream.url })
  expect((await gate!.fetch('/open')).status).toBe(200)
}

const destroy = (socket: Socket) => void socket.destroy()
const reset = (socket: Socket) => void socket.resetAndDestroy()

describe('issue 2, faults: the upstream dies in the middle of its answer', () => {
  const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n'
  const counted = 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello'

  test.each([
    ['chunked', 'closes', chunked, destroy],
    ['chunked', 'resets', chunked, reset],
    ['counted', 'closes', counted, destroy],
    ['counted', 'resets', counted, reset],
  ])('a %s answer (upstream %s) is never complete over HTTP/1.1', async (_kind, _how, bytes, then) => {
    await start({ upstream: await saying(bytes, (socket) => setTimeout(then, 50, socket)) })
    const client = await raw()
    client.send(get('/open'))
    const text = await client.whole()
    expect(text).toMatch(/^HTTP\/1\.1 200 .*hello/s)
    if (bytes === chunked) expect(text).not.toMatch(/0\r\n\r\n$/)
    else expect(text).toMatch(/content-length: 100\r\n.*hello$/is)
    await idle()
    expect((await gate!.lines(1))[0]).toMatchObject({ status: 200, fault: 'upstream.reset' })
    await isWell()
  })

  test.each([
    ['chunked', chunked],
    ['counted', counted],
  ])('a %s answer is never complete over HTTP/2', async (_kind, bytes) => {
    const upstream = await saying(bytes, (socket) => setTimeout(destroy, 50, socket))
    await start({ upstream, root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }] } })
    const session = connectHttp2(gate!.url, { rejectUnauthorized: false })
    session.on('error', () => {})
    closers.push(() => session.destroy())
    for (let i = 0; i < 3; i++) {
      const stream = session.request({ ':path': '/open' })
      stream.on('error', () => {})
      stream.resume()
      await new Promise((resolve) => stream.once('close', resolve))
      expect(stream.rstCode).toBe(2)
    }
    await isWell()
  })

  test('an answer without a length is reset towards HTTP/1.0, where the end of the connection ends the body', async () => {
    await start({ upstream: await saying(chunked, (socket) => setTimeout(destroy, 50, socket)) })
    const client = await raw()
    const failed = new Promise<string>((resolve) => client.socket.once('error', (error) => resolve(String(error))))
    client.send(get('/open', '1.0'))
    expect(await failed).toContain('ECONNRESET')
  })

  test('an answer that is held is refused as a whole', async () => {
    const bytes = 'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{"a":1'
    await start({ upstream: await saying(bytes, destroy), api: { validate: { response: 'enforce' } } })
    const reply = await gate!.fetch('/held')
    expect([reply.status, ((await reply.json()) as { code: string }).code]).toEqual([502, 'upstream.reset'])
    await isWell()
  })
})

describe('issue 2, faults: an upstream that is no good', () => {
  test.each([
    ['closes before the head', '', destroy, 'upstream.reset'],
    ['resets before the head', '', reset, 'upstream.reset'],
    ['closes within the head', 'HTTP/1.1 200 OK\r\nContent-', destroy, 'upstream.reset'],
    ['says what is not HTTP', 'SSH-2.0-OpenSSH_9.2\r\n', destroy, 'upstream.malformed'],
    ['says noise', Buffer.from([0, 255, 1, 254, 13, 10, 13, 10]), destroy, 'upstream.malformed'],
    [
      'states its length in two ways',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n',
      destroy,
      'upstream.malformed',
    ],
    [
      'states two lengths',
      'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
      destroy,
      'upstream.malformed',
    ],
    [
      'sends a megabyte of headers',
      `HTTP/1.1 200 OK\r\nX-A: ${'a'.repeat(1_000_000)}\r\n\r\n`,
      destroy,
      'upstream.malformed',
    ],
    ['sends a status that is none', 'HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok', () => {}, 'upstream.malformed'],
    [
      'switches protocols unasked',
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
      () => {},
      'upstream.reset',
    ],
  ])('that %s gives 502 %s', async (_name, bytes, then, code) => {
    await start({ upstream: { targets: [{ url: await saying(bytes, then) }], retries: { count: 0 } } })
    const reply = await gate!.fetch('/open')
    const body = (await reply.json()) as { code: string }
    expect([reply.status, body.code]).toEqual([502, code])
    await isWell()
  })

  test('that says more than it announced does not reach the next caller', async () => {
    const url = await saying(
      'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison',
    )
    await start({ upstream: url })
    for (let i = 0; i < 5; i++) {
      const reply = await gate!.fetch('/open')
      expect(await reply.text()).toBe('ok')
    }
  })

  test('that never answers is left after the timeout, and the caller told', async () => {
    await start({ upstream: { targets: [{ url: await saying('') }], timeouts: { head: '150ms' } } })
    const reply = await gate!.fetch('/open')
    expect([reply.status, ((await reply.json()) as { code: string }).code]).toEqual([504, 'upstream.timeout'])
    await isWell()
  })
})

describe('issue 2, faults: SIGTERM under load', () => {
  test('every accepted request is answered, keep-alive callers included, and the exit code is 0', async () => {
    const upstream = await plain((_request, reply) => setTimeout(() => json(reply, { ok: true }), 20))
    const spawned = await spawnGate({ document, upstream: upstream.url, api: noLimits })
    closers.push(() => spawned.remove())
    const broken: string[] = []
    let answered = 0
    let stopping = false
    /** Asks again and again on one connection; nothing may be sent and not answered. */
    const caller = async () => {
      for (;;) {
        const client = await rawClient(spawned.port).catch(() => undefined)
        if (client === undefined) {
          if (stopping) return
          broken.push('no connection')
          return
        }
        for (let sent = 0; !client.closed(); ) {
          client.send(get('/open'))
          sent++
          await until(() => client.statuses().length === sent || client.closed(), 'an answer')
          const statuses = client.statuses()
          answered += statuses.length === sent ? 1 : 0
          if (statuses.length < sent) {
            // Sent into a connection that the gate had said it would close, or was just closing while it was idle: a
            // request it never read. Anything of an answer would be one that broke off.
            if (!stopping || statuses.length !== sent - 1) broken.push(client.text())
            break
          }
          if (/connection: close/i.test(client.text())) break
        }
        client.destroy()
        if (stopping) return
      }
    }
    const callers = Array.from({ length: 20 }, caller)
    await until(() => answered > 200, 'load')
    // Accepted before the signal: each of these has reached the upstream.
    const hitsBefore = upstream.hits.length
    stopping = true
    const code = await spawned.stop('SIGTERM')
    await Promise.all(callers)
    expect(code).toBe(0)
    expect(broken).toEqual([])
    expect(hitsBefore).toBeGreaterThan(200)
    // What reached the upstream was answered to its caller.
    expect(answered).toBe(upstream.hits.length)
    const lines = (await import('node:fs')).readFileSync(`${spawned.dir}/activity.ndjson`, 'utf8').trim().split('\n')
    expect(lines.filter((line) => JSON.parse(line).path === '/open')).toHaveLength(upstream.hits.length)
  })
})

describe('issue 2, faults: kill -9 under load, then start', () => {
  test('no key that was acknowledged is lost, none that was revoked comes back', async () => {
    const upstream = await plain()
    let spawned: SpawnedGate = await spawnGate({ document, upstream: upstream.url, api: noLimits })
    closers.push(() => spawned.remove())
    closers.push(() => spawned.stop('SIGKILL'))
    const kept: string[] = []
    const revoked: string[] = []
    let going = true
    const load = (async () => {
      while (going)
        await undiciFetch(`${spawned.url}/open`).then(
          (reply) => reply.text(),
          () => {},
        )
    })()
    for (let round = 0; round < 2; round++) {
      const creating = Array.from({ length: 3 }, async (_, i) => {
        const { code, stdout } = await spawned.command('key', 'create', `k${round}${i}`, '--json')
        if (code !== 0) return
        const made = JSON.parse(stdout) as { id: string; key: string }
        if (i > 0) kept.push(made.key)
        else if ((await spawned.command('key', 'revoke', made.id)).code === 0) revoked.push(made.key)
      })
      await until(() => kept.length > round * 2, 'a key to be acknowledged', 25_000)
      await spawned.stop('SIGKILL')
      await Promise.all(creating)
      spawned = await spawned.again()
    }
    going = false
    await load
    expect(kept.length).toBeGreaterThan(1)
    const status = async (key: string) =>
      (await undiciFetch(`${spawned.url}/closed`, { headers: { 'x-api-key': key } })).status
    for (const key of kept) expect(await status(key)).toBe(200)
    for (const key of revoked) expect(await status(key)).toBe(401)
    expect((await spawned.command('key', 'list')).code).toBe(0)
  }, 90_000)
})

describe('issue 2, faults: the disk is full for the activity log', () => {
  test('requests are served, the loss is told and counted, and the gate stops in order', async () => {
    const upstream = await plain()
    const spawned = await spawnGate({
      document,
      upstream: upstream.url,
      api: noLimits,
      root: { telemetry: { logs: { file: '/dev/full' } } },
    })
    closers.push(() => spawned.remove())
    for (let i = 0; i < 200; i++) expect((await undiciFetch(`${spawned.url}/open`)).status).toBe(200)
    await until(() => /ENOSPC|no space/i.test(spawned.stderr()), 'the loss to be told')
    expect(spawned.stderr().split('\n').length).toBeLessThan(50)
    expect((await undiciFetch(`${spawned.url}/open`)).status).toBe(200)
    expect(await spawned.stop()).toBe(0)
  })
})

describe('issue 2, faults: an error that nobody caught', () => {
  test('is told; what was accepted is answered, and the exit code says that it was no orderly end', async () => {
    let answer: (() => void) | undefined
    const upstream = await plain((_request, reply) => (answer = () => json(reply, { ok: true })))
    const planted = "process.on('SIGUSR2', () => { throw new Error('planted') })"
    const spawned = await spawnGate({
      document,
      upstream: upstream.url,
      api: noLimits,
      env: { NODE_OPTIONS: `--import data:text/javascript,${encodeURIComponent(planted)}` },
    })
    closers.push(() => spawned.remove())
    closers.push(() => spawned.stop('SIGKILL'))
    const asked = undiciFetch(`${spawned.url}/open`)
    await until(() => answer !== undefined, 'the request to reach the upstream')
    const ended = spawned.stop('SIGUSR2')
    await until(() => spawned.stderr().includes('planted'), 'the error to be told')
    answer!()
    expect((await asked).status).toBe(200)
    expect(await ended).toBe(1)
  })
})

const noRedis = await services.missing('redis')
describe.skipIf(noRedis)('issue 2, faults: Redis disappears and returns', () => {
  let redis: Service | undefined
  afterEach(async () => {
    await redis?.close()
    redis = undefined
  })

  test('each limit keeps to its stated answer, and counts together again afterwards', async () => {
    redis = await services.redis()
    const upstream = await plain()
    const limit = (onFailure: string) => ({ rate: '5/min', key: 'ip', callers: 'all', onFailure })
    await start({
      upstream: upstream.url,
      root: { counters: { url: redis.url } },
      api: { limits: { default: limit('local'), anonymous: { mode: 'off' } } },
    })
    expect((await gate!.fetch('/open')).status).toBe(200)
    await redis.kill()
    const statuses: number[] = []
    for (let i = 0; i < 8; i++) statuses.push((await gate!.fetch('/open')).status)
    // `local`: this process goes on by itself, and still limits.
    expect(statuses).toContain(200)
    expect(statuses.at(-1)).toBe(429)
    await redis.start()
    await gate!.reload({
      api: { limits: { default: { ...limit('local'), rate: '500/min' }, anonymous: { mode: 'off' } } },
    })
    await until(async () => (await gate!.fetch('/open')).status === 200, 'the gate to count in Redis again')
  })
})

const noPostgres = await services.missing('postgres')
describe.skipIf(noPostgres)('issue 2, faults: PostgreSQL disappears and returns', () => {
  let postgres: Service | undefined
  afterEach(async () => {
    await gate?.stop()
    gate = undefined
    await postgres?.close()
    postgres = undefined
  })

  test('keys seen before go on, others are refused with 503 and not with 401, and all is well afterwards', async () => {
    postgres = await services.postgres()
    const upstream = await plain()
    await start({ upstream: upstream.url, root: { store: { url: postgres.url } } })
    const known = await gate!.key()
    const unseen = await gate!.key()
    const status = async (key: string) => (await gate!.fetch('/closed', { headers: { 'x-api-key': key } })).status
    expect(await status(known)).toBe(200)
    await postgres.kill()
    const during = [await status(known), await status(unseen)]
    expect([200, 503]).toContain(during[0])
    expect(during[1]).toBe(503)
    expect((await gate!.fetch('/open')).status).toBe(200)
    await postgres.start()
    await until(async () => (await status(unseen)) === 200, 'keys to be read again', 20_000)
    expect(await status(known)).toBe(200)
  })
})

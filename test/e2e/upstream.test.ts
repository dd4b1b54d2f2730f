import { once } from 'node:events'
import {
  createServer as createHttp2,
  createSecureServer,
  type Http2Server,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2'
import { createServer as createHttps } from 'node:https'
import { type AddressInfo, createServer as createTcp, type Server, type Socket } from 'node:net'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type GateInput, startGate, type TestGate, until } from '../kit/gate.ts'
import { type TestCertificate, testAuthority, testCertificate } from '../kit/pki.ts'
import { rawClient } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

const answers = { 200: { description: 'Done.' }, default: { description: 'Anything else.' } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Upstream', version: '1' },
  security: [],
  paths: {
    '/items': {
      get: { responses: answers },
      post: { requestBody: { content: { 'application/octet-stream': {} } }, responses: answers },
      put: { requestBody: { content: { 'application/octet-stream': {} } }, responses: answers },
      delete: { responses: answers },
    },
  },
}

let gate: TestGate | undefined
const closers: (() => unknown)[] = []
afterEach(async () => {
  await gate?.stop()
  gate = undefined
  for (const close of closers.splice(0).reverse()) await close()
})

async function start(upstream: GateInput['upstream'], input: Partial<GateInput> = {}): Promise<TestGate> {
  // Limits have a test of their own; here they would only count the tests.
  gate = await startGate({ document, upstream, ...input, api: { limits: { mode: 'off' }, ...input.api } })
  return gate
}

async function plain(...given: Parameters<typeof startUpstream>): Promise<TestUpstream> {
  const upstream = await startUpstream(...given)
  closers.push(() => upstream.stop())
  return upstream
}

/** A server of bare sockets. */
async function tcp(onSocket: (socket: Socket) => void): Promise<{ readonly url: string; readonly server: Server }> {
  const server = createTcp((socket) => {
    socket.on('error', () => {})
    onSocket(socket)
  })
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closers.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

async function ask(
  method = 'GET',
  path = '/items',
): Promise<{ status: number; code: string; retryAfter: string | null; text: string }> {
  const body = method === 'POST' || method === 'PUT' ? { body: Buffer.from('x'), headers: octets } : {}
  const reply = await gate!.fetch(path, { method, ...body })
  const text = await reply.text()
  let code = ''
  try {
    code = JSON.parse(text).code ?? ''
  } catch {
    // Not a refusal.
  }
  return { status: reply.status, code, retryAfter: reply.headers.get('retry-after'), text }
}
const octets = { 'content-type': 'application/octet-stream' }

/** node:http2 offers no RST_STREAM without DATA that ends the stream; its handle does. */
type Resettable = Record<symbol, { rstStream(code: number): void } | undefined>
function handleOf(stream: object): symbol {
  return Object.getOwnPropertySymbols(stream).find(({ description }) => description === 'kHandle')!
}

const idle = () => until(() => gate!.running.inFlight() === 0, 'nothing to be under way')

describe('T2: the upstream proves who it is', () => {
  let authority: Awaited<ReturnType<typeof testAuthority>>
  let good: TestCertificate
  let otherName: TestCertificate
  let expired: TestCertificate
  let client: TestCertificate
  beforeAll(async () => {
    authority = await testAuthority()
    good = await testCertificate(authority)
    otherName = await testCertificate(authority, { names: ['elsewhere.test'] })
    expired = await testCertificate(authority, { from: Date.now() - 9 * 86_400_000, to: Date.now() - 86_400_000 })
    client = await testCertificate(authority, { names: ['gate'] })
  })

  async function secure({ certificate, key }: TestCertificate, options: object = {}): Promise<TestUpstream> {
    return plain(undefined, {
      server: (listener) => createHttps({ cert: certificate, key, ...options }, listener) as never,
    })
  }
  const target = ({ port }: TestUpstream, tls?: object) => ({
    targets: [{ url: `https://localhost:${port}` }],
    ...(tls && { tls }),
  })

  test('an unknown authority gives 502 upstream.tls, adding it gives 200, without a restart', async () => {
    const upstream = await secure(good)
    await start(target(upstream))
    expect(await ask()).toMatchObject({ status: 502, code: 'upstream.tls' })
    expect(upstream.hits).toEqual([])
    await gate!.reload({ upstream: target(upstream, { ca: './ca.pem' }), files: { 'ca.pem': authority.pem } })
    expect(await ask()).toMatchObject({ status: 200 })
    expect(upstream.hits).toHaveLength(1)
  })

  test('another name, another authority or a date gone by is not believed', async () => {
    const files = { 'ca.pem': authority.pem, 'other.pem': (await testAuthority('Another')).pem }
    await start(target(await secure(otherName), { ca: './ca.pem' }), { files })
    expect(await ask()).toMatchObject({ status: 502, code: 'upstream.tls' })
    await gate!.reload({ upstream: target(await secure(otherName), { ca: './ca.pem', serverName: 'elsewhere.test' }) })
    expect(await ask()).toMatchObject({ status: 200 })
    await gate!.reload({ upstream: target(await secure(expired), { ca: './ca.pem' }) })
    expect(await ask()).toMatchObject({ status: 502, code: 'upstream.tls' })
    await gate!.reload({ upstream: target(await secure(good), { ca: './other.pem' }) })
    expect(await ask()).toMatchObject({ status: 502, code: 'upstream.tls' })
    expect(JSON.stringify(await gate!.lines(4))).toContain('CERT_HAS_EXPIRED')
  })

  test('the gate shows its own certificate where one is asked for', async () => {
    const upstream = await secure(good, { ca: authority.pem, requestCert: true, rejectUnauthorized: true })
    const files = { 'ca.pem': authority.pem, 'gate.pem': client.certificate, 'gate.key': client.key }
    await start(target(upstream, { ca: './ca.pem' }), { files })
    expect((await ask()).status).toBe(502)
    await gate!.reload({ upstream: target(upstream, { ca: './ca.pem', certificate: './gate.pem', key: './gate.key' }) })
    expect(await ask()).toMatchObject({ status: 200 })
  })

  test('plain HTTP where TLS is expected, and TLS where HTTP is, are told apart from an answer', async () => {
    const upstream = await plain()
    await start(target(upstream))
    expect(await ask()).toMatchObject({ status: 502, code: 'upstream.tls' })
    await gate!.reload({ upstream: `http://localhost:${(await secure(good)).port}` })
    expect((await ask()).status).toBe(502)
  })
})

describe('issue 2.5: HTTP/2 to upstreams', () => {
  let authority: Awaited<ReturnType<typeof testAuthority>>
  let certificate: TestCertificate
  const sessions = new Set<ServerHttp2Session>()
  beforeAll(async () => {
    authority = await testAuthority()
    certificate = await testCertificate(authority)
  })

  async function http2(server: Http2Server): Promise<number> {
    sessions.clear()
    server.on('session', (session: ServerHttp2Session) => {
      sessions.add(session)
      session.on('error', () => {})
    })
    server.on('stream', (stream) => stream.on('error', () => {}))
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closers.push(() => {
      for (const session of sessions) session.destroy()
      server.close()
    })
    return (server.address() as AddressInfo).port
  }
  const secure = () => createSecureServer({ cert: certificate.certificate, key: certificate.key })
  const overTls = (port: number) => ({
    upstream: { targets: [{ url: `https://localhost:${port}` }], protocol: 'h2', tls: { ca: './ca.pem' } },
    files: { 'ca.pem': authority.pem },
  })

  test.each(['h2', 'h2c with prior knowledge'])(
    '%s: many requests share a connection, bodies pass both ways',
    async (kind) => {
      const server = kind === 'h2' ? secure() : createHttp2()
      const versions = new Set<string>()
      server.on('request', (request, reply) => {
        versions.add(request.httpVersion)
        const chunks: Buffer[] = []
        request.on('data', (chunk: Buffer) => chunks.push(chunk))
        request.on('end', () => {
          reply.writeHead(200, { 'x-method': request.method, 'set-cookie': ['a=1', 'b=2'] } as never)
          reply.end(Buffer.concat(chunks))
        })
      })
      const port = await http2(server)
      if (kind === 'h2') {
        const { upstream, files } = overTls(port)
        await start(upstream, { files })
      } else await start({ targets: [{ url: `http://127.0.0.1:${port}` }], protocol: 'h2' })
      expect((await ask()).status).toBe(200)
      const bodies = Array.from({ length: 40 }, (_, i) => Buffer.alloc(i * 9_001, i))
      await Promise.all(
        bodies.map(async (body) => {
          const reply = await gate!.fetch('/items', { method: 'POST', body, headers: octets })
          expect(reply.status).toBe(200)
          expect(reply.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
          expect(Buffer.from(await reply.arrayBuffer()).equals(body)).toBe(true)
        }),
      )
      expect([...versions]).toEqual(['2.0'])
      expect(sessions.size).toBeLessThan(10)
    },
  )

  test.each([
    ['with an error', (stream: ServerHttp2Stream) => stream.destroy(new Error('broken'))],
    ['with CANCEL', (stream: ServerHttp2Stream) => (stream as unknown as Resettable)[handleOf(stream)]!.rstStream(8)],
    ['by the end of the session', (stream: ServerHttp2Stream) => stream.session!.destroy()],
    ['by the end of the connection', (stream: ServerHttp2Stream) => stream.session!.socket.destroy()],
  ])('an answer that breaks off %s is never complete to the caller', async (_name, breakOff) => {
    const server = secure()
    let streaming: ServerHttp2Stream | undefined
    server.on('stream', (stream) => {
      streaming = stream
      stream.respond({ ':status': 200 })
      stream.write('part of it')
    })
    const { upstream, files } = overTls(await http2(server))
    await start(upstream, { files })
    const client = await rawClient(gate!.port)
    client.send('GET /items HTTP/1.1\r\nHost: a\r\n\r\n')
    await until(() => client.text().includes('part of it'), 'the first part')
    breakOff(streaming!)
    const text = await client.whole()
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
    await idle()
    expect((await gate!.lines(1))[0]).toMatchObject({ fault: 'upstream.reset' })
  })

  test('callers who leave in the middle of uploads leave the gate and the session well', async () => {
    const server = secure()
    let cut = 0
    let whole = 0
    server.on('request', (request, reply) => {
      request.on('aborted', () => cut++)
      request.on('error', () => {})
      request.resume()
      request.on('end', () => {
        if (!request.aborted) whole++
        reply.end('ok')
      })
    })
    const { upstream, files } = overTls(await http2(server))
    await start(upstream, { files })
    for (let round = 1; round <= 5; round++) {
      const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(gate!.port)))
      for (const client of clients) {
        client.send('POST /items HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n')
        client.send(`Content-Length: 900000\r\n\r\n`).send(Buffer.alloc(300_000))
      }
      await until(() => gate!.running.inFlight() === 20, 'the uploads to be under way')
      for (const client of clients) client.destroy()
      await idle()
    }
    await until(() => cut > 0, 'the upstream to hear of it')
    expect(whole).toBe(0)
    expect((await ask()).text).toBe('ok')
    expect(sessions.size).toBeLessThan(10)
  })

  test('a session that ends while it works gives 502, and the next request a new session', async () => {
    const server = secure()
    let break_ = true
    server.on('stream', (stream, headers) => {
      if (break_) {
        stream.session!.destroy()
      } else {
        stream.respond({ ':status': 200 })
        stream.end(headers[':method'])
      }
    })
    const { upstream, files } = overTls(await http2(server))
    await start(upstream, { files })
    expect((await ask('POST')).status).toBe(502)
    break_ = false
    expect((await ask('POST')).text).toBe('POST')
    await idle()
  })

  test('a server without HTTP/2 is spoken to in HTTP/1.1', async () => {
    const upstream = await plain(undefined, {
      server: (listener) => createHttps({ cert: certificate.certificate, key: certificate.key }, listener) as never,
    })
    const { upstream: settings, files } = overTls(upstream.port)
    await start(settings, { files })
    expect((await ask()).status).toBe(200)
  })
})

describe('issue 2.5: several targets', () => {
  test('share the requests by their weights', async () => {
    const first = await plain()
    const second = await plain()
    await start({ targets: [{ url: first.url, weight: 3 }, { url: second.url }] })
    for (let i = 0; i < 40; i++) expect((await ask()).status).toBe(200)
    expect([first.hits.length, second.hits.length]).toEqual([30, 10])
  })

  test('one that is not well gets none until it is well again', async () => {
    let well = true
    const first = await plain((request, reply) => {
      reply.statusCode = request.url === '/ready' && !well ? 503 : 200
      reply.end()
    })
    const second = await plain()
    const health = { path: '/ready', interval: '30ms', healthyAfter: 2, unhealthyAfter: 2 }
    await start({ targets: [{ url: first.url }, { url: second.url }], health })
    const served = async () => {
      const count = (of: TestUpstream) => of.hits.filter(({ url }) => url === '/items').length
      const before = [count(first), count(second)]
      for (let i = 0; i < 6; i++) expect((await ask()).status).toBe(200)
      return [count(first) - before[0]!, count(second) - before[1]!]
    }
    expect(await served()).toEqual([3, 3])
    well = false
    await until(async () => (await served())[0] === 0, 'the first to be left out')
    expect(gate!.messages.some(({ message }) => message.includes('not well'))).toBe(true)
    for (let i = 0; i < 20; i++) expect((await ask()).status).toBe(200)
    well = true
    await until(() => gate!.messages.some(({ message }) => message.includes('well again')), 'the first to be back')
    // Its share and no more: what it missed is not made up for.
    expect(await served()).toEqual([3, 3])
  })

  test('when none is well the caller is told at once', async () => {
    const upstream = await plain((_request, reply) => {
      reply.statusCode = 503
      reply.end()
    })
    await start({ targets: [{ url: upstream.url }], health: { path: '/ready', interval: '20ms', unhealthyAfter: 1 } })
    await until(async () => (await ask()).code === 'upstream.unhealthy', 'the refusal')
  })

  test('one that cannot be reached costs an idempotent call nothing but a try', async () => {
    const well = await plain()
    const gone = await plain()
    await gone.stop()
    await start({ targets: [{ url: gone.url }, { url: well.url }] })
    for (let i = 0; i < 10; i++) expect((await ask()).status).toBe(200)
    expect(well.hits).toHaveLength(10)
  })

  test("a target's path is put before every request's", async () => {
    const upstream = await plain()
    await start(`${upstream.url}/base/`)
    await ask('GET', '/items')
    expect(upstream.hits[0]!.url).toBe('/base/items')
  })
})

describe('issue 2.5: retries', () => {
  /** Takes the request and closes without a word. */
  async function closing(): Promise<{ url: string; requests: string[] }> {
    const requests: string[] = []
    const { url } = await tcp((socket) => {
      socket.once('data', (data) => {
        requests.push(String(data).split(' ')[0]!)
        socket.destroy()
      })
    })
    return { url, requests }
  }

  test.each([
    ['GET', 3],
    ['PUT', 3],
    ['DELETE', 3],
    ['POST', 1],
  ])('%s reaches an upstream that breaks off %i times with `count: 2`', async (method, hits) => {
    const { url, requests } = await closing()
    await start({ targets: [{ url }], retries: { count: 2 } })
    expect(await ask(method)).toMatchObject({ status: 502, code: 'upstream.reset' })
    expect(requests).toEqual(Array.from({ length: hits }, () => method))
  })

  test('end with the budget, so that a failing upstream is not buried', async () => {
    const { url, requests } = await closing()
    await start({ targets: [{ url }], retries: { count: 5, budget: 0.1 }, breaker: { minimum: 100_000 } })
    for (let i = 0; i < 60; i++) expect((await ask()).status).toBe(502)
    // What was saved up, and a tenth of what came.
    expect(requests.length).toBeGreaterThan(60)
    expect(requests.length).toBeLessThanOrEqual(60 + 20 + 10)
  })

  test('no budget means no retry', async () => {
    const { url, requests } = await closing()
    await start({ targets: [{ url }], retries: { budget: 0 } })
    await ask()
    expect(requests).toEqual(['GET'])
  })

  test('an answer is an answer: 503 is not tried again', async () => {
    const upstream = await plain((_request, reply) => {
      reply.statusCode = 503
      reply.end()
    })
    await start(upstream.url)
    expect((await ask()).status).toBe(503)
    expect(upstream.hits).toHaveLength(1)
  })
})

describe('issue 2.5: timeouts', () => {
  test('until the connection stands', async () => {
    // A full backlog takes no more connections, and nothing says so.
    const { server } = await tcp(() => {})
    const { port } = server.address() as AddressInfo
    const silent = createTcp()
    silent.listen({ port: 0, host: '127.0.0.1', backlog: 1 })
    await once(silent, 'listening')
    closers.push(() => silent.close())
    expect(port).toBeGreaterThan(0)
    // TEST-NET-1 (RFC 5737): nobody answers there; where a firewall refuses at once, that is another answer.
    await start({ targets: [{ url: 'http://192.0.2.1:81' }], timeouts: { connect: '200ms' }, retries: { count: 0 } })
    const { status, code } = await ask()
    expect([
      [504, 'upstream.timeout'],
      [502, 'upstream.unreachable'],
    ]).toContainEqual([status, code])
  })

  test('until the head of the answer', async () => {
    const { url } = await tcp(() => {})
    await start({ targets: [{ url }], timeouts: { head: '200ms' } })
    expect(await ask()).toMatchObject({ status: 504, code: 'upstream.timeout' })
    await idle()
  })

  test.each([
    ['between two pieces', { idle: '200ms' }, 0],
    ['for the whole answer', { total: '400ms' }, 50],
  ])('%s', async (_name, timeouts, everyMs) => {
    let gone = 0
    const upstream = await plain(
      (_request, reply) => {
        reply.writeHead(200, { 'content-length': '1000000' })
        reply.write('some')
        const timer = everyMs > 0 ? setInterval(() => reply.write('more'), everyMs) : undefined
        reply.once('close', () => {
          clearInterval(timer)
          gone++
        })
      },
      { streaming: true },
    )
    await start({ targets: [{ url: upstream.url }], timeouts })
    const client = await rawClient(gate!.port)
    client.send('GET /items HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await client.whole()).toMatch(/^HTTP\/1\.1 200 .*some/s)
    await until(() => gone === 1, 'the upstream to be given up')
    await idle()
    expect((await gate!.lines(1))[0]).toMatchObject({ fault: 'upstream.timeout' })
  })
})

describe('L8: shed and break', () => {
  test('a slow upstream opens the breaker: 503 with Retry-After, and it recovers by itself', async () => {
    let slowMs = 150
    const upstream = await plain((_request, reply) => setTimeout(() => reply.end('ok'), slowMs))
    await start({
      targets: [{ url: upstream.url }],
      breaker: { slow: '100ms', minimum: 5, failures: 0.5, window: '5s', open: '1s' },
    })
    for (let i = 0; i < 5; i++) expect((await ask()).status).toBe(200)
    const refused = await ask()
    expect(refused).toMatchObject({ status: 503, code: 'upstream.breaker-open' })
    expect(Number(refused.retryAfter)).toBeGreaterThanOrEqual(1)
    expect(upstream.hits).toHaveLength(5)
    slowMs = 0
    // One request at a time may try, and the first that goes well opens the door.
    await until(async () => (await ask()).status === 200, 'the recovery')
    for (let i = 0; i < 5; i++) expect((await ask()).status).toBe(200)
    expect(gate!.messages.map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringContaining('breaker is open'),
        expect.stringContaining('breaker is closed'),
      ]),
    )
  })

  test('an upstream that fails opens it too; one whose callers make it say 500 does not', async () => {
    let status = 500
    const upstream = await plain((_request, reply) => {
      reply.statusCode = status
      reply.end()
    })
    await start({ targets: [{ url: upstream.url }], breaker: { minimum: 5, open: '60s' } })
    for (let i = 0; i < 10; i++) expect((await ask()).code).not.toBe('upstream.breaker-open')
    status = 504
    await until(async () => (await ask()).code === 'upstream.breaker-open', 'the breaker to open')
  })

  test('a caller who leaves during the trial does not hold the door', async () => {
    let answer = false
    const upstream = await plain((_request, reply) => {
      if (answer) reply.end('ok')
    })
    await start({
      targets: [{ url: upstream.url }],
      timeouts: { head: '100ms' },
      retries: { count: 0 },
      breaker: { minimum: 2, open: '300ms' },
    })
    await ask()
    await ask()
    expect((await ask()).code).toBe('upstream.breaker-open')
    const seen = upstream.hits.length
    const client = await until(async () => {
      const trial = await rawClient(gate!.port)
      trial.send('GET /items HTTP/1.1\r\nHost: a\r\n\r\n')
      const reached = await until(() => upstream.hits.length > seen || trial.statuses().length > 0, 'the trial')
      if (reached && upstream.hits.length > seen) return trial
      trial.destroy()
      return undefined
    }, 'a trial to reach the upstream')
    client.destroy()
    answer = true
    await until(async () => (await ask()).status === 200, 'the recovery')
  })

  test('more than connections and queue take is refused at once with Retry-After', async () => {
    const open: (() => void)[] = []
    const upstream = await plain((_request, reply) => open.push(() => reply.end('ok')))
    await start({ targets: [{ url: upstream.url }], connections: 2, queue: 3 })
    const first = Array.from({ length: 5 }, () => ask())
    await until(() => gate!.running.inFlight() === 5, 'five to be under way')
    const refused = await Promise.all(Array.from({ length: 4 }, () => ask()))
    for (const one of refused) expect(one).toMatchObject({ status: 503, code: 'upstream.busy', retryAfter: '1' })
    expect(upstream.hits.length).toBeLessThanOrEqual(2)
    const release = setInterval(() => {
      for (const end of open.splice(0)) end()
    }, 10)
    for (const one of await Promise.all(first)) expect(one.status).toBe(200)
    clearInterval(release)
    expect((await Promise.all([ask(), waitAndRelease(open)]))[0].status).toBe(200)
  })

  async function waitAndRelease(open: (() => void)[]): Promise<void> {
    await until(() => open.length > 0, 'a request')
    for (const end of open.splice(0)) end()
  }

  test('a gate that falls behind turns some away, and takes them again when it has caught up', async () => {
    const upstream = await plain()
    await start(upstream.url, { api: { concurrency: { overload: { delay: '30ms' } } } })
    const block = setInterval(() => {
      const end = performance.now() + 120
      while (performance.now() < end);
    }, 130)
    try {
      await until(async () => (await ask()).code === 'concurrency.overload', 'a refusal', 20_000)
      const refused = await until(async () => {
        const one = await ask()
        return one.code === 'concurrency.overload' && one
      }, 'another refusal')
      expect(refused).toMatchObject({ status: 503, retryAfter: '2' })
    } finally {
      clearInterval(block)
    }
    await until(
      async () => (await Promise.all(Array.from({ length: 20 }, () => ask()))).every(({ status }) => status === 200),
      'all to pass again',
      20_000,
    )
  })
})

import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp } from 'node:net'
import { brotliCompressSync, deflateSync, gunzipSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { afterEach, describe, expect, test } from 'vitest'
import { type GateInput, startGate, type TestGate, until } from '../kit/gate.ts'
import { type RawClient, rawClient } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * Issue 2, point 5: the web as it is, on the listening gate. The document is open, so that each test is about one thing.
 */

const order = {
  type: 'object',
  required: ['item'],
  properties: { item: { type: 'string' } },
  additionalProperties: false,
}
const jsonOf = (schema: object) => ({ 'application/json': { schema } })
const bytes = { 'application/octet-stream': {} }
const answers = { 200: { description: 'Done.' }, default: { description: 'Anything else.' } }

const document = {
  openapi: '3.1.0',
  info: { title: 'Web', version: '1' },
  security: [],
  paths: {
    '/plain': { get: { responses: answers }, head: { responses: answers }, delete: { responses: answers } },
    '/files': { post: { requestBody: { content: bytes }, responses: answers } },
    '/orders': {
      get: { responses: { 200: { description: 'Orders.', content: jsonOf(order) } } },
      post: { requestBody: { required: true, content: jsonOf(order) }, responses: answers },
    },
    '/events': {
      get: {
        responses: {
          200: {
            description: 'Events.',
            content: { 'text/event-stream': { schema: { type: 'string' } }, ...jsonOf(order) },
          },
        },
      },
    },
  },
}

type Handler = (request: IncomingMessage, reply: ServerResponse) => void

let gate: TestGate | undefined
let upstream: TestUpstream | undefined
const closers: (() => void)[] = []
afterEach(async () => {
  for (const close of closers.splice(0)) close()
  await gate?.stop()
  await upstream?.stop()
  gate = upstream = undefined
})

async function start(handler: Handler, input: Partial<GateInput> = {}): Promise<TestGate> {
  upstream = await startUpstream(handler, { streaming: true })
  gate = await startGate({
    document,
    upstream: upstream.url,
    ...input,
    api: { limits: { mode: 'off' }, ...input.api },
  })
  return gate
}

/** A handler that reads the body first. */
function afterBody(handler: (request: IncomingMessage, reply: ServerResponse, body: Buffer) => void): Handler {
  return (request, reply) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => handler(request, reply, Buffer.concat(chunks)))
    request.on('error', () => {})
  }
}

const tls = { root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }] } }

async function http2Client(port: number): Promise<ClientHttp2Session> {
  const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false })
  session.on('error', () => {})
  closers.push(() => session.destroy())
  await once(session, 'connect')
  return session
}

interface Http2Answer {
  readonly status: number
  readonly headers: Record<string, string | string[] | undefined>
  readonly body: Buffer
  readonly trailers: object
}

function http2Call(session: ClientHttp2Session, headers: object, body?: Buffer): Promise<Http2Answer> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers as never, { endStream: body === undefined })
    if (body !== undefined) stream.end(body)
    let head: Record<string, never> = {}
    let trailers: object = {}
    const chunks: Buffer[] = []
    stream.on('response', (given) => (head = given as never))
    stream.on('trailers', (given) => (trailers = given))
    stream.on('data', (chunk: Buffer) => chunks.push(chunk))
    stream.on('error', reject)
    stream.on('end', () => {
      resolve({ status: Number(head[':status']), headers: head, body: Buffer.concat(chunks), trailers })
    })
  })
}

async function raw(): Promise<RawClient> {
  const client = await rawClient(gate!.port)
  closers.push(() => client.destroy())
  return client
}

const get = (path: string, ...headers: string[]) =>
  `GET ${path} HTTP/1.1\r\n${['Host: shop.test', ...headers].join('\r\n')}\r\n\r\n`

const idle = (of: TestGate) => until(() => of.running.inFlight() === 0, 'nothing to be under way')

describe('issue 2.5: HTTP/2 from clients', () => {
  test('bodies pass both ways on one connection, side by side', async () => {
    const { port } = await start(
      afterBody((_request, reply, body) => reply.end(body)),
      tls,
    )
    const session = await http2Client(port)
    const bodies = Array.from({ length: 20 }, (_, i) => Buffer.alloc(i * 10_007, i))
    const replies = await Promise.all(
      bodies.map((body) =>
        http2Call(
          session,
          { ':method': 'POST', ':path': '/files', 'content-type': 'application/octet-stream' },
          Buffer.from(body),
        ),
      ),
    )
    for (const [i, reply] of replies.entries()) {
      expect(reply.status).toBe(200)
      expect(reply.body.equals(bodies[i]!)).toBe(true)
    }
  })

  test('an answer that node:http2 would not take as it came is sent as well as it can be', async () => {
    const { port } = await start((request, reply) => {
      if (request.url === '/plain') {
        // Two of what HTTP/2 may have once; connection headers, which it must not have.
        reply.writeHead(200, [
          ['ETag', '"a"'],
          ['ETag', '"b"'],
          ['Set-Cookie', 'a=1'],
          ['Set-Cookie', 'b=2'],
          ['Connection', 'X-Hop'],
          ['X-Hop', 'gone'],
          ['Keep-Alive', 'timeout=5'],
        ] as never)
        reply.end('ok')
      } else {
        reply.writeHead(777, { 'content-type': 'text/plain' })
        reply.end('odd')
      }
    }, tls)
    const session = await http2Client(port)
    const twice = await http2Call(session, { ':path': '/plain' })
    expect([twice.status, twice.headers.etag, twice.headers['set-cookie'], twice.body.toString()]).toEqual([
      200,
      '"a"',
      ['a=1', 'b=2'],
      'ok',
    ])
    expect(twice.headers).not.toHaveProperty('x-hop')
    expect(twice.headers).not.toHaveProperty('keep-alive')
    const odd = await http2Call(session, { ':path': '/events' })
    expect([odd.status, JSON.parse(odd.body.toString()).code]).toEqual([502, 'upstream.malformed'])
    expect((await http2Call(session, { ':path': '/plain' })).status).toBe(200)
  })

  test('trailers, HEAD and 204 come through', async () => {
    const { port } = await start((request, reply) => {
      if (request.method === 'DELETE') {
        reply.writeHead(204)
        reply.end()
      } else if (request.method === 'HEAD') {
        reply.writeHead(200, { 'content-length': '12345' })
        reply.end()
      } else {
        reply.writeHead(200, { trailer: 'X-Sum' })
        reply.write('body')
        reply.addTrailers({ 'X-Sum': '42', 'Content-Type': 'text/html' })
        reply.end()
      }
    }, tls)
    const session = await http2Client(port)
    const whole = await http2Call(session, { ':path': '/plain' })
    expect([whole.body.toString(), whole.trailers]).toEqual(['body', expect.objectContaining({ 'x-sum': '42' })])
    expect(whole.trailers).not.toHaveProperty('content-type')
    const head = await http2Call(session, { ':method': 'HEAD', ':path': '/plain' })
    expect([head.status, head.headers['content-length'], head.body.length]).toEqual([200, '12345', 0])
    expect((await http2Call(session, { ':method': 'DELETE', ':path': '/plain' })).status).toBe(204)
  })

  test('a stream given up in the middle gives up the upstream too', async () => {
    let gone = 0
    const { port } = await start((_request, reply) => {
      reply.once('close', () => gone++)
      reply.write('first')
    }, tls)
    const session = await http2Client(port)
    const stream = session.request({ ':path': '/plain' })
    stream.on('error', () => {})
    await once(stream, 'data')
    stream.close(8)
    await until(() => gone === 1, 'the upstream to be given up')
    await idle(gate!)
    expect((await gate!.lines(1))[0]).toMatchObject({ fault: 'client.gone' })
  })

  test('streams by the dozen, reset or broken off with data still to be sent, leave the gate well', async () => {
    const upstreamsOpen = new Set<ServerResponse>()
    const { port } = await start((request, reply) => {
      request.resume()
      if (request.url === '/orders') return void reply.end('{}')
      upstreamsOpen.add(reply)
      reply.once('close', () => upstreamsOpen.delete(reply))
      reply.write(Buffer.alloc(1_000_000))
    }, tls)
    const session = await http2Client(port)
    session.on('goaway', () => {})
    for (const leave of ['reset', 'destroy', 'upstream'] as const) {
      const streams = Array.from({ length: 30 }, () => {
        const stream = session.request({ ':path': '/plain' })
        stream.on('error', () => {})
        return stream
      })
      // Heads came, nobody reads on: each stream has data that waits for its window.
      await Promise.all(streams.map((stream) => once(stream, 'response')))
      if (leave === 'reset') for (const stream of streams) stream.close(8)
      if (leave === 'destroy') for (const stream of streams) stream.destroy()
      if (leave === 'upstream') for (const reply of upstreamsOpen) reply.destroy()
      for (const stream of streams) stream.resume()
      await idle(gate!)
      await until(() => upstreamsOpen.size === 0, 'the upstream to be given up')
    }
    expect((await http2Call(session, { ':path': '/orders' })).status).toBe(200)
  })

  test('a refused upload can be read about, and the connection goes on', async () => {
    const { port } = await start((_request, reply) => reply.end('{}'), tls)
    const session = await http2Client(port)
    for (let i = 0; i < 3; i++) {
      const reply = await http2Call(
        session,
        { ':method': 'POST', ':path': '/orders', 'content-type': 'application/json' },
        Buffer.alloc(3_000_000, 0x20),
      )
      expect([reply.status, JSON.parse(reply.body.toString()).code]).toEqual([413, 'gate.body-too-large'])
    }
    expect((await http2Call(session, { ':path': '/orders' })).status).toBe(200)
    await idle(gate!)
  })
})

describe('issue 2.5: streaming with backpressure', () => {
  const chunk = Buffer.alloc(65_536, 0x61)

  test.each(['HTTP/1.1', 'HTTP/2'])(
    'a slow reader over %s pauses the upstream, and gets all in the end',
    async (protocol) => {
      const total = 64 * 1024 * 1024
      let sent = 0
      let stopped = 0
      const handler: Handler = (_request, reply) => {
        const more = () => {
          while (sent < total) {
            sent += chunk.length
            if (!reply.write(chunk)) {
              stopped = sent
              reply.once('drain', more)
              return
            }
          }
          reply.end()
        }
        more()
      }
      await start(handler, protocol === 'HTTP/2' ? tls : {})
      let received = 0
      let ended = false
      let resume: () => void
      const take = (piece: Buffer) => (received += piece.length)
      if (protocol === 'HTTP/2') {
        const stream = (await http2Client(gate!.port)).request({ ':path': '/plain' })
        await once(stream, 'response')
        resume = () => stream.on('data', take).on('end', () => (ended = true))
      } else {
        const socket = connectTcp(gate!.port, '127.0.0.1')
        closers.push(() => socket.destroy())
        socket.write(get('/plain', 'Connection: close'))
        resume = () => socket.on('data', take).on('end', () => (ended = true))
      }
      // Nobody reads: what is under way settles at what sockets and buffers hold.
      let before = -1
      await until(async () => {
        const same = sent > 0 && sent === before
        before = sent
        await new Promise((resolve) => setTimeout(resolve, 200))
        return same
      }, 'the upstream to pause')
      // Kernel buffers on loopback take a few megabytes on each of two connections. What the upstream has not written,
      // nobody holds, so this bounds the gate's memory too.
      expect(stopped).toBeLessThan(24 * 1024 * 1024)
      resume()
      await until(() => ended, 'the whole answer', 25_000)
      expect(received).toBeGreaterThanOrEqual(total)
    },
  )

  test('a slow upstream pauses the caller, and gets all in the end', async () => {
    let read: (() => void) | undefined
    let received = 0
    await start((request, reply) => {
      // Not read before the test says so.
      read = () => {
        request.on('data', (piece: Buffer) => (received += piece.length))
        request.on('end', () => reply.end('thanks'))
      }
    })
    const total = 9 * 1024 * 1024
    const socket = connectTcp(gate!.port, '127.0.0.1')
    closers.push(() => socket.destroy())
    let answer = ''
    socket.on('data', (piece) => (answer += piece))
    socket.write(
      `POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: ${total}\r\n\r\n`,
    )
    socket.write(Buffer.alloc(total))
    let before = -1
    await until(async () => {
      const same = read !== undefined && socket.bytesWritten - socket.writableLength === before
      before = socket.bytesWritten - socket.writableLength
      await new Promise((resolve) => setTimeout(resolve, 200))
      return same
    }, 'the caller to be paused')
    expect(received).toBe(0)
    expect(socket.writableLength).toBeGreaterThan(0)
    read!()
    await until(() => answer.includes('thanks'), 'the answer', 20_000)
    expect(received).toBe(total)
  })

  test('a body larger than the limit is cut where it is, also without a length, and the process lives on', async () => {
    let ended = 0
    let aborted = 0
    await start((request, reply) => {
      request.resume()
      request.on('end', () => ended++)
      request.on('error', () => aborted++)
      request.on('end', () => reply.end('whole'))
    })
    const client = await raw()
    client.send(
      'POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n',
    )
    const piece = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(1_048_576), Buffer.from('\r\n')])
    for (let i = 0; i < 12; i++) client.send(piece)
    expect(await client.status()).toBe(413)
    await until(() => aborted === 1, 'the upstream to be given up')
    expect(ended).toBe(0)
    client.destroy()
    await idle(gate!)
    expect((await gate!.fetch('/plain')).status).toBe(200)
  })

  test('an upstream that answers before it has read the body ends the exchange, however much follows', async () => {
    await start((_request, reply) => {
      reply.writeHead(409, { 'content-length': '2' })
      reply.end('no')
    })
    const client = await raw()
    client.send(
      `POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nContent-Length: ${9_000_000}\r\n\r\n`,
    )
    client.send(Buffer.alloc(100_000))
    expect(await client.status()).toBe(409)
    await idle(gate!)
    client.send(Buffer.alloc(8_900_000))
    client.send(get('/plain'))
    await until(() => client.statuses().length === 2 || client.closed(), 'the rest to be taken or cut')
    expect((await gate!.fetch('/plain')).status).toBe(409)
  })
})

describe('issue 2.5: server-sent events', () => {
  test.each([
    ['listed in the document', '/events', []],
    ['asked for by the client', '/plain', ['Accept: text/event-stream, */*;q=0.1']],
  ])('%s, come one by one and stay open past the idle and total timeout', async (_name, path, headers) => {
    let say: (text: string) => void = () => {}
    upstream = await startUpstream(
      (_request, reply) => {
        reply.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
        say = (text) => reply.write(`data: ${text}\n\n`)
        say('one')
      },
      { streaming: true },
    )
    gate = await startGate({
      document,
      upstream: { targets: [{ url: upstream.url }], timeouts: { idle: '200ms', total: '300ms' } },
      api: { validate: { response: 'enforce' } },
    })
    const client = await raw()
    client.send(get(path, ...headers))
    await until(() => client.text().includes('data: one'), 'the first event')
    const until600 = performance.now() + 600
    await until(() => performance.now() > until600, 'the timeouts to pass')
    expect(client.closed()).toBe(false)
    say('two')
    await until(() => client.text().includes('data: two'), 'the second event')
    client.destroy()
    await idle(gate)
  })

  test('an answer that is no stream of events keeps its timeouts, whatever the client asked for', async () => {
    upstream = await startUpstream(
      (_request, reply) => {
        reply.writeHead(200, { 'content-type': 'application/json' })
        reply.write('{')
      },
      { streaming: true },
    )
    gate = await startGate({
      document,
      upstream: { targets: [{ url: upstream.url }], timeouts: { idle: '100ms', total: '300ms' } },
      api: { validate: { response: 'off' } },
    })
    const client = await raw()
    client.send(get('/plain', 'Accept: text/event-stream'))
    const text = await client.whole(5_000)
    expect(text).toContain('HTTP/1.1 200')
    expect(text).not.toMatch(/\r\n0\r\n\r\n$/)
    await idle(gate)
    expect((await gate.lines(1))[0]).toMatchObject({ fault: 'upstream.timeout' })
  })
})

describe('issue 2.5: 100-continue', () => {
  const upload = (path: string, length: number, type: string) =>
    `POST ${path} HTTP/1.1\r\nHost: a\r\nContent-Type: ${type}\r\nContent-Length: ${length}\r\nExpect: 100-continue\r\n\r\n`

  test('is said when a guard wants the body, and when the upstream does', async () => {
    await start(afterBody((_request, reply, body) => reply.end(String(body.length))))
    const checked = await raw()
    checked.send(upload('/orders', 14, 'application/json'))
    await until(() => checked.statuses()[0] === 100, '100')
    checked.send('{"item":"tea"}')
    expect(await checked.status()).toBe(200)
    const streamed = await raw()
    streamed.send(upload('/files', 1_000_000, 'application/octet-stream'))
    await until(() => streamed.statuses()[0] === 100, '100')
    streamed.send(Buffer.alloc(1_000_000))
    expect(await streamed.status()).toBe(200)
    expect(streamed.text()).toContain('1000000')
    expect(upstream!.hits.every(({ headers }) => headers.expect === undefined)).toBe(true)
  })

  test.each([
    ['a path that is not listed', '/nowhere', 10, 'application/json', 404],
    ['a media type that is not listed', '/orders', 10, 'text/plain', 415],
    ['a length beyond the limit', '/orders', 2_000_000, 'application/json', 413],
  ])('is never said to what is refused: %s', async (_name, path, length, type, status) => {
    await start((_request, reply) => reply.end())
    const client = await raw()
    client.send(upload(path, length, type))
    const text = await client.whole()
    expect(client.statuses()).toEqual([status])
    expect(text).toMatch(/connection: close/i)
    expect(upstream!.hits).toEqual([])
  })

  test('is not said while the upstream cannot be had, and not to HTTP/1.0', async () => {
    await start((_request, reply) => reply.end())
    await upstream!.stop()
    const client = await raw()
    client.send(upload('/files', 1_000_000, 'application/octet-stream'))
    expect(await client.status()).toBe(502)
    expect(client.statuses()).toEqual([502])
    const old = await raw()
    old.send(upload('/orders', 14, 'application/json').replace('HTTP/1.1', 'HTTP/1.0'))
    old.send('{"item":"tea"}')
    expect(await old.status()).toBe(502)
    expect(old.statuses()).toEqual([502])
  })
})

describe('issue 2.5: a refusal can be read', () => {
  test('although megabytes of body are on their way', async () => {
    await start((_request, reply) => reply.end())
    const client = await raw()
    client.send('POST /orders HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 8000000\r\n\r\n')
    client.socket.pause()
    client.send(Buffer.alloc(8_000_000))
    await until(() => client.socket.writableLength === 0, 'the whole body to be taken')
    client.socket.resume()
    const text = await client.whole()
    expect(text).toMatch(/^HTTP\/1\.1 413 .*"code":"gate\.body-too-large"/s)
    await idle(gate!)
  })

  test('also where nothing is served under the host', async () => {
    const upstream = await startUpstream()
    gate = await startGate({ upstream: upstream.url, api: { host: ['shop.test'] } })
    const client = await rawClient(gate.port)
    client.send('POST /orders HTTP/1.1\r\nHost: elsewhere.test\r\nContent-Length: 8000000\r\n\r\n')
    client.socket.pause()
    client.send(Buffer.alloc(8_000_000))
    await until(() => client.socket.writableLength === 0, 'the whole body to be taken')
    client.socket.resume()
    expect(await client.whole()).toMatch(/^HTTP\/1\.1 404 .*"code":"gate\.unroutable"/s)
    await upstream.stop()
  })

  test('and a small refused body costs no connection', async () => {
    await start(afterBody((_request, reply) => reply.end('ok')))
    const client = await raw()
    client.send('POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n')
    client.send(`hello${get('/plain')}`)
    await until(() => client.statuses().length === 2, 'both answers')
    expect(client.statuses()).toEqual([404, 200])
  })
})

describe('issue 2.5: headers and framing', () => {
  test('what belongs to one connection stays there, and what the gate says of itself cannot be said by others', async () => {
    await start(
      (_request, reply) => {
        reply.writeHead(200, [
          ['Connection', 'close, X-Upstream-Hop'],
          ['X-Upstream-Hop', 'secret'],
          ['Keep-Alive', 'timeout=9'],
          ['Proxy-Authenticate', 'Basic'],
          ['Set-Cookie', 'a=1'],
          ['Set-Cookie', 'b=2'],
          ['X-End', 'kept'],
        ] as never)
        reply.end('ok')
      },
      { api: { headers: { request: { allow: 'all' } } } },
    )
    const client = await raw()
    client.send(
      get(
        '/plain',
        'Connection: keep-alive, X-Client-Hop',
        'X-Client-Hop: secret',
        'TE: trailers',
        'Proxy-Authorization: Basic eDp5',
        'X-CaSe: Kept',
        'X-Forwarded-For: 6.6.6.6',
        'X-Forwarded-Host: evil.test',
        'X-Forwarded-Proto: gopher',
        'X-Real-IP: 6.6.6.6',
        'Forwarded: for=6.6.6.6',
        'Via: 1.0 evil',
        'Portcullis-Subject: root',
        'Portcullis-Request-Id: req_forged',
      ),
    )
    expect(await client.status()).toBe(200)
    const { rawHeaders, headers } = upstream!.hits[0]!
    expect(rawHeaders).toContain('X-CaSe')
    expect(headers).toMatchObject({
      'x-case': 'Kept',
      'x-forwarded-for': '127.0.0.1',
      'x-forwarded-host': 'shop.test',
      'x-forwarded-proto': 'http',
      via: '1.1 portcullis',
    })
    for (const name of ['x-client-hop', 'te', 'proxy-authorization', 'x-real-ip', 'forwarded', 'portcullis-subject']) {
      expect(headers).not.toHaveProperty(name)
    }
    expect(headers['portcullis-request-id']).not.toBe('req_forged')
    await until(() => client.text().includes('ok'), 'the body')
    const text = client.text()
    expect(text).not.toMatch(/x-upstream-hop|timeout=9|proxy-authenticate/i)
    expect(text).toMatch(/set-cookie: a=1\r\n.*set-cookie: b=2\r\n/is)
    expect(text).toMatch(/x-end: kept/i)
    expect(text).toMatch(/portcullis-request-id: req_(?!forged)/i)
  })

  test('trailers of an answer pass; those of a request end at the gate', async () => {
    let trailers: object | undefined
    await start(
      afterBody((request, reply) => {
        trailers = request.trailers
        reply.writeHead(200, { trailer: 'X-Sum' })
        reply.write('body')
        reply.addTrailers({ 'X-Sum': '42', 'Set-Cookie': 'late=1' })
        reply.end()
      }),
    )
    const client = await raw()
    client.send(
      'POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n' +
        'Trailer: X-Mine\r\n\r\n4\r\nbody\r\n0\r\nX-Mine: 1\r\n\r\n',
    )
    await until(() => client.text().endsWith('\r\n\r\n') && client.text().includes('\r\n0\r\n'), 'the whole answer')
    expect(client.text()).toMatch(/\r\n0\r\nx-sum: 42\r\n\r\n$/i)
    expect(trailers).toEqual({})
  })

  test('HEAD keeps the length and has no body; interim answers stay behind', async () => {
    await start((request, reply) => {
      reply.writeEarlyHints({ link: '</style.css>; rel=preload' })
      reply.writeHead(200, { 'content-length': '12345' })
      reply.end(request.method === 'HEAD' ? undefined : Buffer.alloc(12_345))
    })
    const client = await raw()
    client.send('HEAD /plain HTTP/1.1\r\nHost: a\r\n\r\n')
    expect(await client.status()).toBe(200)
    expect(client.statuses()).toEqual([200])
    expect(client.text()).toMatch(/content-length: 12345\r\n/i)
    client.send(get('/plain'))
    await until(() => client.statuses().length === 2, 'the next answer on the same connection')
    expect(client.statuses()).toEqual([200, 200])
  })

  test('bytes beyond ASCII in a header come through as they were', async () => {
    await start((_request, reply) => {
      reply.socket!.write(
        Buffer.from(
          'HTTP/1.1 200 OK\r\nContent-Disposition: attachment; filename="naïve–€.txt"\r\nContent-Length: 2\r\n\r\nok',
        ),
      )
    })
    const client = await raw()
    client.send(get('/plain'))
    await until(() => client.text().endsWith('ok'), 'the answer')
    expect(client.bytes().includes(Buffer.from('naïve–€.txt'))).toBe(true)
  })

  test('h2c is not spoken and not passed on', async () => {
    await start((_request, reply) => reply.end('ok'))
    const client = await raw()
    client.send(get('/plain', 'Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c', 'HTTP2-Settings: AAMAAABk'))
    expect(await client.status()).toBe(200)
    for (const name of ['upgrade', 'http2-settings']) expect(upstream!.hits[0]!.headers).not.toHaveProperty(name)
  })
})

describe('issue 2.5: ranges', () => {
  const whole = JSON.stringify({ item: 'tea' })
  const ranged: Handler = (request, reply) => {
    const { range } = request.headers
    if (range === undefined) {
      reply.writeHead(200, { 'content-type': 'application/json', 'content-length': whole.length })
      reply.end(whole)
    } else {
      reply.writeHead(206, { 'content-type': 'application/json', 'content-range': `bytes 0-3/${whole.length}` })
      reply.end(whole.slice(0, 4))
    }
  }

  test.each(['off', 'observe'])('a part passes where nobody must see the whole (response: %s)', async (response) => {
    await start(ranged, { api: { validate: { response } } })
    const reply = await gate!.fetch('/orders', { headers: { range: 'bytes=0-3' } })
    expect([reply.status, await reply.text()]).toEqual([206, whole.slice(0, 4)])
  })

  test('the whole is asked for where a guard must see it', async () => {
    await start(ranged, { api: { validate: { response: 'enforce' } } })
    const reply = await gate!.fetch('/orders', { headers: { range: 'bytes=0-3', 'if-range': '"x"' } })
    expect([reply.status, await reply.text()]).toEqual([200, whole])
    expect(upstream!.hits[0]!.headers).not.toHaveProperty('range')
    expect(upstream!.hits[0]!.headers).not.toHaveProperty('if-range')
  })
})

describe('issue 2.5: content codings of answers', () => {
  const coders = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync, zstd: zstdCompressSync }
  const coded =
    (coding: keyof typeof coders, value: unknown): Handler =>
    (_request, reply) => {
      const body = coders[coding](Buffer.from(JSON.stringify(value)))
      reply.writeHead(200, { 'content-type': 'application/json', 'content-encoding': coding })
      reply.end(body)
    }
  const ask = async () => {
    const client = await raw()
    client.send(get('/orders', 'Accept-Encoding: gzip, br, deflate, zstd', 'Connection: close'))
    const text = await client.whole()
    return { text, head: text.slice(0, text.indexOf('\r\n\r\n')) }
  }

  test.each(['off', 'observe'])('pass untouched while nobody insists on reading (response: %s)', async (response) => {
    await start(coded('gzip', { item: 'tea', secret: 1 }), { api: { validate: { response } } })
    const reply = await gate!.fetch('/orders', { headers: { 'accept-encoding': 'gzip' } })
    expect(reply.headers.get('content-encoding')).toBe('gzip')
    expect(await reply.json()).toEqual({ item: 'tea', secret: 1 })
    if (response === 'observe') {
      expect((await gate!.lines(1))[0]!.observed).toEqual(['validate.overshared'])
    }
  })

  test.each(['gzip', 'br', 'deflate', 'zstd'] as const)('%s is decoded where a guard must read', async (coding) => {
    await start(coded(coding, { item: 'tea' }), { api: { validate: { response: 'enforce' } } })
    const { head, text } = await ask()
    expect(head).toMatch(/^HTTP\/1\.1 200 /)
    expect(head).not.toMatch(/content-encoding/i)
    expect(text.endsWith('{"item":"tea"}')).toBe(true)
    await upstream!.stop()
    await gate!.stop()
    await start(coded(coding, { item: 'tea', secret: 1 }), { api: { validate: { response: 'enforce' } } })
    const refused = await ask()
    expect(refused.head).toMatch(/^HTTP\/1\.1 502 /)
    expect(refused.text).toContain('validate.overshared')
    expect(refused.text).not.toContain('secret')
  })

  test.each([
    ['a bomb', 'gzip', gzipSync(Buffer.alloc(3_000_000, 0x20))],
    ['a coding nobody knows', 'compress', Buffer.from('x')],
    ['what is not of its coding', 'gzip', Buffer.from('{"item":"tea"}')],
  ])('%s is refused where a guard must read, and passes where one only looks', async (_name, coding, body) => {
    const handler: Handler = (_request, reply) => {
      reply.writeHead(200, { 'content-type': 'application/json', 'content-encoding': coding })
      reply.end(body)
    }
    await start(handler, { api: { validate: { response: 'enforce' } } })
    const refused = await ask()
    expect(refused.head).toMatch(/^HTTP\/1\.1 502 /)
    expect(refused.text).toContain('upstream.content-coding')
    await upstream!.stop()
    await gate!.stop()
    await start(handler, { api: { validate: { response: 'observe' } } })
    const passed = await ask()
    expect(passed.head).toMatch(/^HTTP\/1\.1 200 /)
    expect(Buffer.from(passed.text.slice(passed.head.length + 4), 'latin1').equals(body)).toBe(true)
    expect((await gate!.lines(1))[0]!.observed).toEqual(['upstream.content-coding'])
  })
})

describe('issue 2.5: content codings of requests', () => {
  const post = async (body: Buffer, coding: string) => {
    const reply = await gate!.fetch('/orders', {
      method: 'POST',
      headers: { 'content-type': 'application/json', 'content-encoding': coding },
      body,
    })
    return [reply.status, ((await reply.json()) as { code?: string }).code] as const
  }

  test('are decoded to be checked, and go on decoded', async () => {
    let seen: { headers: object; body: string } | undefined
    await start(
      afterBody((request, reply, body) => {
        seen = { headers: request.headers, body: body.toString() }
        reply.end('{}')
      }),
    )
    expect(await post(gzipSync('{"item":"tea"}'), 'gzip')).toEqual([200, undefined])
    expect(seen!.body).toBe('{"item":"tea"}')
    expect(seen!.headers).toMatchObject({ 'content-length': '14' })
    expect(seen!.headers).not.toHaveProperty('content-encoding')
    expect(await post(gzipSync('{"item":7}'), 'gzip')).toEqual([400, 'validate.body'])
  })

  test.each([
    ['a bomb', gzipSync(Buffer.alloc(50_000_000, 0x20)), 'gzip', [413, 'gate.body-too-large']],
    ['a coding nobody knows', Buffer.from('{}'), 'snappy', [415, 'gate.content-coding']],
    ['two codings', gzipSync(gzipSync('{"item":"tea"}')), 'gzip, gzip', [415, 'gate.content-coding']],
    ['what is not of its coding', Buffer.from('{"item":"tea"}'), 'br', [400, 'gate.content-coding-broken']],
  ])('%s is refused and does not reach the upstream', async (_name, body, coding, expected) => {
    await start(afterBody((_request, reply) => reply.end('{}')))
    expect(await post(body, coding)).toEqual(expected)
    expect(upstream!.hits).toEqual([])
  })

  test('stay where no guard reads', async () => {
    let seen: Buffer | undefined
    await start(
      afterBody((request, reply, body) => {
        expect(request.headers['content-encoding']).toBe('gzip')
        seen = body
        reply.end('ok')
      }),
    )
    const reply = await gate!.fetch('/files', {
      method: 'POST',
      headers: { 'content-type': 'application/octet-stream', 'content-encoding': 'gzip' },
      body: gzipSync('plain'),
    })
    expect(reply.status).toBe(200)
    expect(gunzipSync(seen!).toString()).toBe('plain')
  })
})

describe('issue 2.5: a caller who leaves', () => {
  test.each([
    ['closes politely', (client: RawClient) => client.end()],
    ['resets', (client: RawClient) => client.socket.resetAndDestroy()],
  ])('while the upstream works (%s) frees its place, and the upstream stops', async (_name, leave) => {
    let gone = 0
    await start((_request, reply) => reply.once('close', () => gone++), { api: { concurrency: { total: 1 } } })
    const client = await raw()
    client.send(get('/plain'))
    await until(() => upstream!.hits.length === 1, 'the request to reach the upstream')
    expect((await gate!.fetch('/plain')).status).toBe(503)
    leave(client)
    await until(() => gone === 1, 'the upstream to be given up')
    await idle(gate!)
    const next = await raw()
    next.send(get('/plain'))
    await until(() => upstream!.hits.length === 2, 'the place to be free')
    expect((await gate!.lines(2)).map(({ status }) => status).sort()).toEqual([499, 503])
  })

  test('in the middle of an upload takes the upload away from the upstream', async () => {
    let aborted = 0
    let ended = 0
    await start((request) => {
      request.on('data', () => {})
      request.on('error', () => aborted++)
      request.on('end', () => ended++)
    })
    const client = await raw()
    client.send(
      'POST /files HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n',
    )
    await until(() => upstream!.hits.length === 1, 'the request to reach the upstream')
    client.destroy()
    await until(() => aborted === 1, 'the upload to be cut')
    expect(ended).toBe(0)
    await idle(gate!)
  })

  test('in the middle of a download takes the download off the upstream', async () => {
    let gone = 0
    await start((_request, reply) => {
      reply.once('close', () => gone++)
      reply.write(Buffer.alloc(1_000_000))
    })
    const client = await raw()
    client.send(get('/plain'))
    await client.status()
    client.destroy()
    await until(() => gone === 1, 'the upstream to be given up')
    await idle(gate!)
  })
})

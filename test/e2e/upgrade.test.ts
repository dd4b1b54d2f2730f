import { once } from 'node:events'
import type { IncomingMessage, Server } from 'node:http'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { type GateInput, startGate, type TestGate, until } from '../kit/gate.ts'
import { type RawClient, rawClient } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

const document = {
  openapi: '3.1.0',
  info: { title: 'Chat', version: '1' },
  security: [{ key: [] }],
  components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } },
  paths: {
    '/chat': {
      get: {
        parameters: [{ name: 'room', in: 'query', schema: { type: 'integer' } }],
        responses: { 101: { description: 'Switched.' } },
      },
      post: {
        requestBody: { required: true, content: { 'application/json': { schema: { type: 'object' } } } },
        responses: { 200: { description: 'Said.' } },
      },
    },
    '/open': { get: { security: [], responses: { 101: { description: 'Switched.' } } } },
  },
}

let upstream: TestUpstream
let sockets: WebSocketServer
let gate: TestGate
let clients: (WebSocket | RawClient)[] = []
/** Handshakes as the upstream saw them. */
let seen: IncomingMessage[] = []

async function start(input: Partial<GateInput> = {}): Promise<TestGate> {
  gate = await startGate({ document, upstream: upstream.url, ...input })
  return gate
}

beforeEach(async () => {
  seen = []
  clients = []
  upstream = await startUpstream((_request, reply) => reply.end('plain'))
  sockets = new WebSocketServer({ server: upstream.server as Server, perMessageDeflate: true, maxPayload: 2 ** 26 })
  sockets.on('connection', (socket, request) => {
    seen.push(request)
    socket.on('message', (data, binary) => socket.send(data, { binary }))
    socket.on('error', () => {})
  })
})
afterEach(async () => {
  for (const client of clients) {
    if (client instanceof WebSocket) client.terminate()
    else client.destroy()
  }
  await gate.stop()
  for (const socket of sockets.clients) socket.terminate()
  sockets.close()
  await upstream.stop()
})

function open(path: string, headers: Record<string, string> = {}, protocols: string[] = []): WebSocket {
  const socket = new WebSocket(gate.url.replace('http', 'ws') + path, protocols, {
    headers,
    rejectUnauthorized: false,
    perMessageDeflate: true,
  })
  socket.on('error', () => {})
  clients.push(socket)
  return socket
}

async function opened(path: string, headers?: Record<string, string>): Promise<WebSocket> {
  const socket = open(path, headers)
  await once(socket, 'open')
  return socket
}

async function raw(): Promise<RawClient> {
  const client = await rawClient(gate.port)
  clients.push(client)
  return client
}

const handshake = (path: string, ...headers: string[]) =>
  [
    `GET ${path} HTTP/1.1`,
    'Host: shop.test',
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    ...headers,
    '',
    '',
  ].join('\r\n')

const idle = () => until(() => gate.running.inFlight() === 0, 'nothing to be under way')

describe('N10: upgrades go through the same program as any request', () => {
  test.each([
    ['without a credential', '/chat', [], 401],
    ['with a wrong credential', '/chat', ['X-API-Key: pc_wrong'], 401],
    ['with an Origin and no credential', '/chat', ['Origin: https://shop.test'], 401],
    ['to a path that is not listed', '/nowhere', [], 404],
    ['with a parameter that does not fit', '/open?room=x', [], 400],
    ['with a credential in the query', '/open?access_token=x', [], 400],
  ])('a raw upgrade %s is refused and does not reach the upstream', async (_name, path, headers, status) => {
    await start()
    const client = await raw()
    client.send(handshake(path, ...headers))
    const text = await client.whole()
    expect(text).toMatch(new RegExp(`^HTTP/1\\.1 ${status} .*application/problem\\+json`, 's'))
    expect([seen, upstream.hits]).toEqual([[], []])
    await idle()
    expect((await gate.lines(1))[0]).toMatchObject({ status, protocol: 'websocket' })
  })

  test('an upgrade by another method does not pass by the guards of the body', async () => {
    await start()
    const key = await gate.key()
    const client = await raw()
    client.send(handshake('/chat', `X-API-Key: ${key}`).replace('GET', 'POST'))
    expect(await client.status()).toBe(400)
    expect([seen, upstream.hits]).toEqual([[], []])
  })

  test('a refused caller who never closes is closed on', async () => {
    await start()
    const client = await raw()
    client.send(handshake('/chat'))
    expect(await client.status()).toBe(401)
    // The other half stays open on purpose: only what is sent into a closed socket tells that it is closed.
    const talk = setInterval(() => client.socket.write('x'), 100)
    await until(() => client.socket.destroyed, 'the socket to be gone').finally(() => clearInterval(talk))
  })

  test('with a credential it is open, and the credential stays at the gate', async () => {
    await start()
    const key = await gate.key({ name: 'partner' })
    const socket = await opened('/chat?room=1', { 'x-api-key': key, 'portcullis-subject': 'root' })
    socket.send('hello')
    expect(String((await once(socket, 'message'))[0])).toBe('hello')
    expect(seen[0]!.url).toBe('/chat?room=1')
    expect(seen[0]!.headers).not.toHaveProperty('x-api-key')
    expect(seen[0]!.headers['portcullis-subject']).not.toBe('root')
    expect(seen[0]!.headers).toMatchObject({ upgrade: 'websocket', 'x-forwarded-for': '127.0.0.1' })
  })

  test('the same over TLS', async () => {
    await start({ root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }] } })
    const socket = await opened('/chat', { 'x-api-key': await gate.key() })
    socket.send('hello')
    expect(String((await once(socket, 'message'))[0])).toBe('hello')
    expect(seen[0]!.headers['x-forwarded-proto']).toBe('https')
  })
})

describe('issue 2.5: WebSocket', () => {
  test('messages of any size pass both ways, with extensions and subprotocols', async () => {
    await start()
    const socket = open('/open', {}, ['chat.v2'])
    await once(socket, 'open')
    expect([socket.protocol, socket.extensions]).toEqual(['chat.v2', 'permessage-deflate'])
    for (const length of [0, 1, 125, 126, 65_535, 65_536, 10_000_000]) {
      const message = Buffer.alloc(length, length % 251)
      socket.send(message)
      const [back] = (await once(socket, 'message')) as [Buffer]
      expect(back.equals(message)).toBe(true)
    }
  })

  test('a close from the caller reaches the upstream, with its code', async () => {
    await start()
    const socket = await opened('/open')
    const server = [...sockets.clients][0]!
    const closed = once(server, 'close')
    socket.close(4001, 'done')
    const [code, reason] = (await closed) as [number, Buffer]
    expect([code, reason.toString()]).toEqual([4001, 'done'])
    await idle()
    expect((await gate.lines(1))[0]).toMatchObject({ status: 101, protocol: 'websocket' })
  })

  test('a close from the upstream reaches the caller, with its code', async () => {
    await start()
    const socket = await opened('/open')
    const closed = once(socket, 'close')
    ;[...sockets.clients][0]!.close(1013, 'later')
    const [code, reason] = (await closed) as [number, Buffer]
    expect([code, reason.toString()]).toEqual([1013, 'later'])
    await idle()
  })

  test('either side that breaks off takes the other with it', async () => {
    await start()
    const first = await opened('/open')
    const firstGone = once(first, 'close')
    ;[...sockets.clients][0]!.terminate()
    expect((await firstGone)[0]).toBe(1006)
    const second = await opened('/open')
    const secondGone = once([...sockets.clients].at(-1)!, 'close')
    second.terminate()
    expect((await secondGone)[0]).toBe(1006)
    await idle()
  })

  test('a slow reader pauses the upstream', async () => {
    await start()
    const socket = await opened('/open')
    const server = [...sockets.clients][0]!
    socket.pause()
    const piece = Buffer.alloc(1_048_576)
    for (let i = 0; i < 48; i++) server.send(piece, { compress: false })
    let before = -1
    await until(async () => {
      const same = server.bufferedAmount === before
      before = server.bufferedAmount
      await new Promise((resolve) => setTimeout(resolve, 200))
      return same
    }, 'the upstream to be paused')
    expect(server.bufferedAmount).toBeGreaterThan(20_000_000)
    let received = 0
    socket.on('message', (data: Buffer) => (received += data.length))
    socket.resume()
    await until(() => received === 48 * piece.length, 'the rest', 20_000)
  })

  test('outlives the idle timeout of answers', async () => {
    await start({ upstream: { targets: [{ url: upstream.url }], timeouts: { idle: '100ms', total: '200ms' } } })
    const socket = await opened('/open')
    const later = performance.now() + 500
    await until(() => performance.now() > later, 'the timeouts to pass')
    socket.send('still here')
    expect(String((await once(socket, 'message'))[0])).toBe('still here')
  })

  test('a service that refuses the handshake is told by its status, without its words', async () => {
    await start()
    sockets.options.verifyClient = (_info: unknown, done: (ok: boolean, code: number, message: string) => void) =>
      done(false, 403, 'secret reason')
    const client = await raw()
    client.send(handshake('/open'))
    const text = await client.whole()
    expect(text).toMatch(/^HTTP\/1\.1 403 .*upstream\.not-upgraded/s)
    expect(text).not.toContain('secret reason')
    await idle()
  })

  test('a service that knows nothing of upgrades gives 502, one that cannot be reached too', async () => {
    await start()
    sockets.close()
    upstream.server.removeAllListeners('upgrade')
    const client = await raw()
    client.send(handshake('/open'))
    expect(await client.whole()).toMatch(/^HTTP\/1\.1 502 .*upstream\.not-upgraded/s)
    await upstream.stop()
    const other = await raw()
    other.send(handshake('/open'))
    expect(await other.whole()).toMatch(/^HTTP\/1\.1 502 .*upstream\.unreachable/s)
    await idle()
  })

  test('a stop lets it go on until the time to drain is over, then cuts it', async () => {
    await start({ root: { drain: '400ms' } })
    const socket = await opened('/open')
    const closed = once(socket, 'close')
    const since = performance.now()
    const stopping = gate.running.stop()
    socket.send('last words')
    expect(String((await once(socket, 'message'))[0])).toBe('last words')
    expect((await closed)[0]).toBe(1006)
    await stopping
    expect(performance.now() - since).toBeGreaterThanOrEqual(390)
    expect(gate.running.inFlight()).toBe(0)
  })

  test('a stop ends at once when the socket closes by itself', async () => {
    await start({ root: { drain: '20s' } })
    const socket = await opened('/open')
    const stopping = gate.running.stop()
    const since = performance.now()
    socket.close()
    await stopping
    expect(performance.now() - since).toBeLessThan(10_000)
  })
})

import { mkdtemp, rm } from 'node:fs/promises'
import { connect as connectHttp2 } from 'node:http2'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fields, frame, framesOf, frameType, preface, type RawClient, rawClient, until } from '../../test/kit/raw.ts'
import { startWire, type TestWire, type TestWireInput } from '../../test/kit/wire.ts'
import { parseIpRange, RangeSet } from '../base/ip.ts'
import { rootShape } from '../config/settings.ts'

let stateDir: string
beforeAll(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'portcullis-listener-'))
})
afterAll(() => rm(stateDir, { recursive: true, force: true }))

let wire: TestWire | undefined
const clients: RawClient[] = []
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy()
  await wire?.stop()
  wire = undefined
})

async function start(input: TestWireInput = {}): Promise<TestWire> {
  wire = await startWire(input)
  return wire
}

async function client(tls?: Parameters<typeof rawClient>[1]): Promise<RawClient> {
  const one = await rawClient(wire!.port, tls)
  clients.push(one)
  return one
}

const get = (path = '/a', more = '') => `GET ${path} HTTP/1.1\r\nHost: shop.test\r\n${more}\r\n`
const codes = () => wire!.refused.map(({ code }) => code)

async function isAnswered(): Promise<void> {
  expect(await (await client()).send(get('/after')).status()).toBe(200)
}

describe('L7: limits of an HTTP/1.1 connection', () => {
  test('a head that comes too slowly is answered 408 and cut', async () => {
    await start({ limits: { headTimeout: 200 } })
    const slow = await client()
    slow.send('GET /a HTTP/1.1\r\nHost: shop.test\r\nX-Slow: ')
    const drip = setInterval(() => slow.send('a'), 40)
    expect(await slow.whole(3_000)).toMatch(/^HTTP\/1\.1 408 .*"code":"protocol\.head-timeout"/s)
    clearInterval(drip)
    expect(wire!.refused).toMatchObject([{ status: 408, code: 'protocol.head-timeout', address: '127.0.0.1' }])
    await isAnswered()
  })

  test('a connection that never says anything is closed without a word', async () => {
    await start({ limits: { headTimeout: 100 } })
    expect(await (await client()).whole(3_000)).toBe('')
    expect(codes()).toEqual([])
  })

  test('a body below the rate is answered 408, one above it is not', async () => {
    await start({ limits: { bodyRate: 500, headTimeout: 200 }, bodyWindowMs: 400 })
    const head = 'POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 2000\r\n\r\n'
    const [slow, fast] = [(await client()).send(head), (await client()).send(head)]
    const drip = setInterval(() => {
      slow.send('a')
      fast.send('a'.repeat(50))
    }, 25)
    expect(await slow.status(5_000)).toBe(408)
    expect(await fast.status(5_000)).toBe(200)
    clearInterval(drip)
    expect(codes()).toEqual(['protocol.slow-body'])
    expect(wire!.arrivals).toHaveLength(1)
  })

  test('a request that takes too long in all is answered 408', async () => {
    await start({ limits: { requestTimeout: 300, headTimeout: 300, bodyRate: 1 } })
    const slow = (await client()).send('POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 100000\r\n\r\n')
    const drip = setInterval(() => slow.send('aaaaaaaaaa'), 30)
    expect(await slow.status(5_000)).toBe(408)
    clearInterval(drip)
    expect(codes()).toEqual(['protocol.request-timeout'])
  })

  test('a connection without requests is closed after the idle time', async () => {
    await start({ limits: { idleTimeout: 100 } })
    const idle = (await client()).send(get())
    expect(await idle.status()).toBe(200)
    await until(() => idle.closed(), 'the idle connection to close', 4_000)
    expect(codes()).toEqual([])
  })

  test('a client that takes nothing of its answer is cut', async () => {
    await start({
      limits: { idleTimeout: 300 },
      answer: (_arrival, reply) => reply.end(Buffer.alloc(50_000_000)),
    })
    const reader = await client()
    reader.socket.pause()
    reader.send(get())
    await until(() => codes().includes('protocol.slow-reader'), 'the slow reader to be cut', 5_000)
  })

  test('one connection more than allowed in all is closed, and told', async () => {
    await start({ limits: { connections: 2 } })
    await client()
    const second = await client()
    const third = await client().catch(() => undefined)
    await until(() => third === undefined || third.closed(), 'the third to close')
    await until(() => codes().includes('protocol.connections'), 'the refusal to be told')
    expect(await second.send(get()).status()).toBe(200)
  })

  test('one connection more than allowed from one address is closed; a place left is free again', async () => {
    await start({ limits: { connectionsPerAddress: 2 } })
    const first = await client()
    const second = await client()
    const third = await client().catch(() => undefined)
    await until(() => third === undefined || third.closed(), 'the third to close')
    expect(codes()).toEqual(['protocol.connections-per-address'])
    first.destroy()
    expect(await second.send(get()).status()).toBe(200)
    await until(() => wire!.arrivals.length === 1, 'the answer')
    const fourth = await until(() => true, 'a turn').then(() => client())
    expect(await fourth.send(get()).status()).toBe(200)
  })

  test('the last request a connection may bring is answered with Connection: close', async () => {
    await start({ limits: { requestsPerConnection: 2 } })
    const one = (await client()).send(get())
    await one.status()
    expect(one.text()).toMatch(/connection: keep-alive/i)
    one.send(get())
    expect(await one.whole()).toMatch(/connection: close/i)
    expect(one.statuses()).toEqual([200, 200])
  })

  test('100 headers pass, 101 are answered 431', async () => {
    await start()
    const headers = (count: number) => Array.from({ length: count }, (_, i) => `X-${i}: a\r\n`).join('')
    expect(await (await client()).send(get('/a', headers(99))).status()).toBe(200)
    expect(await (await client()).send(get('/a', headers(100))).whole()).toMatch(/^HTTP\/1\.1 431 .*header-count/s)
    expect(wire!.arrivals).toHaveLength(1)
  })

  test('a client that keeps sending after a refusal still reads it', async () => {
    await start()
    const loud = (await client()).send(`GET /a HTTP/1.1\r\nHost: shop.test\r\nX: ${'a'.repeat(4_000_000)}`)
    expect(await loud.whole()).toMatch(/^HTTP\/1\.1 431 .*"code":"protocol\.header-bytes"/s)
    await isAnswered()
  })
})

describe('issue 5: HTTP/1.1 as it is', () => {
  test('pipelined requests are answered in their order', async () => {
    await start({
      answer: (arrival, reply) =>
        setTimeout(() => reply.end(arrival.target.path), arrival.target.path === '/1' ? 60 : 0),
    })
    const piped = (await client()).send(get('/1') + get('/2') + get('/3', 'Connection: close\r\n'))
    expect((await piped.whole()).match(/^\/\d/gm)).toEqual(['/1', '/2', '/3'])
  })

  test('what is broken behind a whole request is refused after the answer to it', async () => {
    await start({ answer: (_arrival, reply) => setTimeout(() => reply.end('first'), 60) })
    const piped = (await client()).send(`${get()}\x00\x01\x02\r\n\r\n`)
    expect(await piped.whole()).toMatch(/^HTTP\/1\.1 200 .*first.*HTTP\/1\.1 400 /s)
  })

  test('more waiting requests than a connection may pipeline are refused', async () => {
    await start({ answer: () => {} })
    const piped = (await client()).send(get().repeat(150))
    await until(() => codes().includes('protocol.pipelining'), 'the refusal')
    expect(wire!.arrivals.length).toBeLessThanOrEqual(101)
    piped.destroy()
    wire!.arrivals.length = 0
  })

  test('a client that closes its half while it waits is gone', async () => {
    let gone = false
    await start({ answer: (_arrival, reply) => reply.once('close', () => (gone = !reply.writableFinished)) })
    const left = (await client()).send(get())
    await until(() => wire!.arrivals.length === 1, 'the request')
    expect(await left.end().whole()).toBe('')
    await until(() => gone, 'the reply to close')
  })

  test.each([
    ['the first line', 'GET /a HT'],
    ['the headers', 'GET /a HTTP/1.1\r\nHost: shop.test\r\nX'],
    ['a body', 'POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Length: 10\r\n\r\nabc'],
    ['a chunk', 'POST /a HTTP/1.1\r\nHost: shop.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab'],
  ])('a client that closes its half within %s is answered 400', async (_where, bytes) => {
    await start()
    expect(await (await client()).send(bytes).end().whole()).toMatch(/^HTTP\/1\.1 400 .*"code":"protocol\.incomplete"/s)
    expect(wire!.arrivals).toEqual([])
    await isAnswered()
  })

  test('100-continue is said when the body is wanted, and the connection goes on', async () => {
    await start()
    const expecting = (await client()).send(
      'POST /a HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n',
    )
    await until(() => expecting.statuses().includes(100), '100')
    expect(await expecting.send('{}').status()).toBe(200)
    expecting.send(get())
    await until(() => expecting.statuses().length === 3, 'the second answer')
  })

  test('a refusal before the body was asked for closes the connection', async () => {
    await start()
    const expecting = (await client()).send(
      'POST /../a HTTP/1.1\r\nHost: shop.test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n',
    )
    expect(await expecting.whole()).toMatch(/^HTTP\/1\.1 400 .*connection: close/is)
  })

  test('a WebSocket upgrade is handed on, with what was sent ahead; h2c is served as if not asked for', async () => {
    await start()
    const socket = (await client()).send(`${get('/ws', 'Connection: Upgrade\r\nUpgrade: websocket\r\n')}ahead`)
    await until(() => socket.text().endsWith('ahead'), 'the echo')
    expect(wire!.arrivals).toMatchObject([{ upgrade: 'websocket', target: { path: '/ws' } }])
    const h2c = get('/h2c', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n')
    expect(await (await client()).send(h2c).status()).toBe(200)
    expect(wire!.arrivals).toMatchObject([{}, { upgrade: undefined, target: { path: '/h2c' } }])
  })

  test('an upgrade with too many headers is refused', async () => {
    await start()
    const many = Array.from({ length: 100 }, (_, i) => `X-${i}: a\r\n`).join('')
    const upgrade = (await client()).send(get('/ws', `Connection: Upgrade\r\nUpgrade: websocket\r\n${many}`))
    expect(await upgrade.whole()).toMatch(/^HTTP\/1\.1 431 /)
    expect(wire!.arrivals).toEqual([])
  })
})

describe('drain: no accepted request is lost', () => {
  test('idle connections close at once, requests in flight are answered, new ones find no listener', async () => {
    let finish = () => {}
    await start({
      answer: (arrival, reply) => {
        if (arrival.target.path === '/slow') finish = () => reply.end('done')
        else reply.end()
      },
    })
    const idle = (await client()).send(get())
    await idle.status()
    const busy = (await client()).send(get('/slow'))
    await until(() => wire!.arrivals.length === 2, 'the slow request')
    const drained = wire!.listener.drain(5_000)
    await until(() => idle.closed(), 'the idle connection to close')
    expect(busy.closed()).toBe(false)
    await expect(rawClient(wire!.port)).rejects.toThrow()
    finish()
    expect(await busy.whole()).toMatch(/^HTTP\/1\.1 200 .*connection: close.*done$/is)
    await drained
  })

  test('what is not done at the deadline is cut', async () => {
    await start({ answer: () => {} })
    const stuck = (await client()).send(get())
    await until(() => wire!.arrivals.length === 1, 'the request')
    const before = performance.now()
    await wire!.listener.drain(150)
    expect(performance.now() - before).toBeLessThan(2_000)
    await until(() => stuck.closed(), 'the stuck connection to close')
  })

  test('HTTP/2 clients get GOAWAY and the answers to their open streams', async () => {
    let finish = () => {}
    await start({
      entry: { tls: 'development' },
      stateDir,
      answer: (_arrival, reply) => {
        finish = () => reply.end('done')
      },
    })
    const session = connectHttp2(`https://localhost:${wire!.port}`, { rejectUnauthorized: false })
    const goaway = new Promise<number>((resolve) => session.once('goaway', resolve))
    const stream = session.request({ ':path': '/slow' })
    let body = ''
    stream.setEncoding('utf8').on('data', (chunk) => (body += chunk))
    await until(() => wire!.arrivals.length === 1, 'the request')
    const drained = wire!.listener.drain(5_000)
    expect(await goaway).toBe(0)
    finish()
    await drained
    expect(body).toBe('done')
    session.destroy()
  })
})

describe('L7: HTTP/2 connections', () => {
  const head = (path = '/a', ...more: [string, string][]) =>
    fields([':method', 'GET'], [':path', path], [':scheme', 'https'], [':authority', 'shop.test'], ...more)
  const headers = (stream: number, block: Buffer, flags = 0x5) => frame(frameType.headers, flags, stream, block)
  const opened = async () => (await client({ ALPNProtocols: ['h2'] })).send(preface)
  const errorOf = (bytes: Buffer, type: number) => {
    const found = framesOf(bytes).find((one) => one.type === type)
    return found?.payload.readUInt32BE(type === frameType.goaway ? 4 : 0)
  }
  const startTls = (input: TestWireInput = {}) => start({ entry: { tls: 'development' }, stateDir, ...input })
  const isAnsweredOverHttp2 = async () => {
    const normal = (await opened()).send(headers(1, head('/after')))
    await until(() => framesOf(normal.bytes()).some(({ type }) => type === frameType.headers), 'an answer')
    expect(wire!.arrivals.at(-1)?.target.path).toBe('/after')
  }
  const enhanceYourCalm = 0xb
  const protocolError = 0x1

  test('rapid reset (CVE-2023-44487) ends the connection', async () => {
    await startTls()
    const rapid = await opened()
    for (let stream = 1; stream < 2_000; stream += 2) {
      rapid.send(Buffer.concat([headers(stream, head()), frame(frameType.rst, 0, stream, Buffer.from([0, 0, 0, 8]))]))
    }
    await rapid.whole()
    expect(errorOf(rapid.bytes(), frameType.goaway)).toBe(enhanceYourCalm)
    expect(codes()).toEqual(['protocol.h2-flood'])
    await isAnsweredOverHttp2()
  })

  test.each([
    ['settings', frame(frameType.settings, 0, 0)],
    ['pings', frame(frameType.ping, 0, 0, Buffer.alloc(8))],
  ])('a flood of %s ends the connection', async (_what, one) => {
    await startTls()
    const flood = (await opened()).send(Buffer.concat(Array.from({ length: 1_000 }, () => one)))
    await flood.whole()
    expect(errorOf(flood.bytes(), frameType.goaway)).toBe(enhanceYourCalm)
    await isAnsweredOverHttp2()
  })

  test('a flood of window updates without a single request ends the connection', async () => {
    await startTls({ limits: { idleTimeout: 200 } })
    const flood = await opened()
    const update = frame(frameType.windowUpdate, 0, 0, Buffer.from([0, 0, 0, 1]))
    const drip = setInterval(() => flood.send(Buffer.concat(Array.from({ length: 2_000 }, () => update))), 20)
    await flood.whole()
    clearInterval(drip)
    expect(codes()).toEqual(['protocol.h2-flood'])
    await isAnsweredOverHttp2()
  })

  test('a header block without end (CVE-2024-27983) ends the connection', async () => {
    await startTls()
    const flood = (await opened()).send(headers(1, head(), 0))
    for (let i = 0; i < 200; i++) {
      flood.send(frame(frameType.continuation, 0, 1, fields([`x-${i}`, 'a'.repeat(1_000)])))
    }
    await flood.whole()
    expect(wire!.arrivals).toEqual([])
    await isAnsweredOverHttp2()
  })

  test('streams beyond the limit are refused, the others answered', async () => {
    const replies: (() => void)[] = []
    await startTls({ limits: { streams: 3 }, answer: (_arrival, reply) => replies.push(() => reply.end()) })
    const greedy = await opened()
    greedy.send(Buffer.concat([1, 3, 5, 7].map((stream) => headers(stream, head()))))
    await until(() => errorOf(greedy.bytes(), frameType.rst) !== undefined, 'the refusal of the fourth')
    expect(errorOf(greedy.bytes(), frameType.rst)).toBe(0x7)
    await until(() => replies.length === 3, 'the three others')
    for (const reply of replies) reply()
    const answered = () => framesOf(greedy.bytes()).filter(({ type }) => type === frameType.headers).length
    await until(() => answered() === 3, 'three answers')
  })

  test('too many header fields are answered 431', async () => {
    await startTls()
    const session = connectHttp2(`https://localhost:${wire!.port}`, { rejectUnauthorized: false })
    const ask = (count: number) =>
      new Promise<number>((resolve, reject) => {
        const more = Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, 'a']))
        session
          .request({ ':path': '/a', ...more })
          .once('response', (answer) => resolve(answer[':status']!))
          .once('error', reject)
          .resume()
      })
    expect(await ask(100)).toBe(200)
    expect(await ask(101)).toBe(431)
    session.destroy()
    expect(codes()).toEqual(['protocol.header-count'])
  })

  test('a head beyond the limit in bytes is answered 431', async () => {
    await startTls({ limits: { headerBytes: 4_096 } })
    const session = connectHttp2(`https://localhost:${wire!.port}`, { rejectUnauthorized: false })
    const answers: number[] = []
    for (const length of [3_900, 4_100]) {
      const stream = session.request({ ':path': '/a', 'x-a': 'a'.repeat(length) })
      stream.once('response', (answer) => answers.push(answer[':status']!)).resume()
    }
    await until(() => answers.length === 2, 'two answers')
    expect(answers).toEqual([200, 431])
    expect(wire!.arrivals).toHaveLength(1)
    session.destroy()
  })

  test.each<[string, Buffer]>([
    ['a connection-specific header', head('/a', ['connection', 'close'])],
    ['transfer-encoding', head('/a', ['transfer-encoding', 'chunked'])],
    ['te other than trailers', head('/a', ['te', 'gzip'])],
    ['an upper-case name', head('/a', ['X-A', 'b'])],
    ['a pseudo-header after a header', head('/a', ['x-a', 'b'], [':path', '/b'])],
    ['a pseudo-header twice', head('/a', [':path', '/b'])],
    ['an unknown pseudo-header', head('/a', [':x', 'b'])],
    ['no path', fields([':method', 'GET'], [':scheme', 'https'], [':authority', 'a'])],
    ['an empty path', head('')],
    ['a length and no body', head('/a', ['content-length', '5'])],
    ['two lengths', head('/a', ['content-length', '0'], ['content-length', '0'])],
  ])('%s is malformed and reset', async (_what, block) => {
    await startTls()
    const odd = (await opened()).send(headers(1, block))
    await until(
      () =>
        errorOf(odd.bytes(), frameType.rst) === protocolError ||
        errorOf(odd.bytes(), frameType.goaway) === protocolError,
      'the reset',
    )
    expect(wire!.arrivals).toEqual([])
    await isAnsweredOverHttp2()
  })

  // The parser drops what no field may hold, and lets the rest of the request pass (RFC 9113, 8.2.1).
  test.each<[string, [string, string]]>([
    ['a space in its name', ['x a', 'b']],
    ['CRLF', ['x-a', 'b\r\nx-injected: c']],
    ['NUL', ['x-a', 'b\x00c']],
    ['LF', ['x-a', 'b\nc']],
  ])('a field with %s never arrives', async (_what, pair) => {
    await startTls()
    const odd = (await opened()).send(headers(1, head('/a', pair)))
    await until(
      () => framesOf(odd.bytes()).some(({ type, stream }) => stream === 1 && type !== frameType.windowUpdate),
      'a word',
    )
    for (const arrival of wire!.arrivals) expect(arrival.rawHeaders).toEqual([])
    await isAnsweredOverHttp2()
  })

  test('a body longer or shorter than its length is reset', async () => {
    await startTls()
    const post = fields(
      [':method', 'POST'],
      [':path', '/a'],
      [':scheme', 'https'],
      [':authority', 'a'],
      ['content-length', '2'],
    )
    for (const body of ['a', 'abc']) {
      const odd = (await opened()).send(headers(1, post, 0x4)).send(frame(frameType.data, 0x1, 1, Buffer.from(body)))
      await until(
        () => (errorOf(odd.bytes(), frameType.rst) ?? errorOf(odd.bytes(), frameType.goaway)) !== undefined,
        'the reset',
      )
    }
    expect(wire!.arrivals).toEqual([])
    await isAnsweredOverHttp2()
  })

  test.each([0, 8])('a body given up with code %i is not taken for whole', async (code) => {
    await startTls()
    const post = fields([':method', 'POST'], [':path', '/a'], [':scheme', 'https'], [':authority', 'a'])
    const odd = await opened()
    odd.send(headers(1, post, 0x4)).send(frame(frameType.data, 0, 1, Buffer.from('abc')))
    odd.send(frame(frameType.rst, 0, 1, Buffer.from([0, 0, 0, code])))
    await isAnsweredOverHttp2()
    expect(wire!.arrivals).toHaveLength(1)
  })

  test('CONNECT is refused', async () => {
    await startTls()
    const tunnel = await opened()
    tunnel.send(headers(1, fields([':method', 'CONNECT'], [':authority', 'shop.test:443']), 0x4))
    await until(() => codes().includes('protocol.method'), 'the refusal')
  })

  test('a body that comes too slowly ends the connection', async () => {
    await startTls({ limits: { bodyRate: 500, headTimeout: 200 }, bodyWindowMs: 300 })
    const post = fields([':method', 'POST'], [':path', '/a'], [':scheme', 'https'], [':authority', 'a'])
    const slow = (await opened()).send(headers(1, post, 0x4))
    const drip = setInterval(() => slow.send(frame(frameType.data, 0, 1, Buffer.from('a'))), 50)
    await slow.whole()
    clearInterval(drip)
    expect(codes()).toEqual(['protocol.slow-body'])
    await isAnsweredOverHttp2()
  })

  test('a connection without streams is closed after the idle time', async () => {
    await startTls({ limits: { idleTimeout: 150 } })
    const idle = await opened()
    await idle.whole(4_000)
    expect(errorOf(idle.bytes(), frameType.goaway)).toBe(0)
  })
})

describe('a reload', () => {
  const entry = { port: 0, host: '127.0.0.1', tls: 'off', behindTlsTerminator: false, http2: true } as const

  test('brings new limits to new connections', async () => {
    await start()
    const limits = { ...rootShape.connection.parse(undefined), headTimeout: 150, headerBytes: 4_096, headerCount: 10 }
    await wire!.listener.update(entry, { limits })
    const large = (await client()).send(get('/a', `X: ${'a'.repeat(5_000)}\r\n`))
    expect(await large.whole()).toMatch(/^HTTP\/1\.1 431 /)
    const many = (await client()).send(get('/a', 'X: a\r\n'.repeat(10)))
    expect(await many.whole()).toMatch(/^HTTP\/1\.1 431 /)
    const slow = (await client()).send('GET /a HT')
    expect(await slow.whole()).toMatch(/^HTTP\/1\.1 408 /)
    await isAnswered()
  })

  test('changes whose word on the client counts, for open connections too', async () => {
    await start()
    const open = (await client()).send(get('/1', 'X-Forwarded-For: 203.0.113.9\r\n'))
    await open.status()
    await wire!.listener.update(entry, { trusted: new RangeSet([parseIpRange('127.0.0.0/8')]) })
    open.send(get('/2', 'X-Forwarded-For: 203.0.113.9\r\n'))
    await until(() => wire!.arrivals.length === 2, 'the second request')
    expect(wire!.arrivals.map(({ address }) => address)).toEqual(['127.0.0.1', '203.0.113.9'])
  })

  test('cannot turn http into https', async () => {
    await start()
    await expect(wire!.listener.update({ ...entry, tls: 'development' })).rejects.toMatchObject({ code: 'P1086' })
    await isAnswered()
  })
})

import { connect as connectHttp2 } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { startGate, type TestGate } from '../kit/gate.ts'
import { fields, frame, framesOf, frameType, preface, type RawClient, rawClient, until } from '../kit/raw.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * Raw bytes against the real gate: whatever is written here, the upstream sees nothing of it, the client gets a reason,
 * and the next request is answered.
 */

const document = {
  openapi: '3.1.0',
  info: { title: 'Wire', version: '1' },
  paths: {
    '/a': {
      get: { operationId: 'read', security: [], responses: { 200: { description: 'Read.' } } },
      post: {
        operationId: 'write',
        security: [],
        requestBody: { content: { 'application/json': { schema: { type: 'object' } } } },
        responses: { 200: { description: 'Written.' } },
      },
    },
    '/files/{name}': {
      parameters: [{ name: 'name', in: 'path', required: true, schema: { type: 'string' } }],
      get: { operationId: 'file', security: [], responses: { 200: { description: 'Read.' } } },
    },
    '/stream': {
      post: {
        operationId: 'stream',
        security: [],
        requestBody: { content: { 'application/octet-stream': {} } },
        responses: { 200: { description: 'Taken.' } },
      },
    },
  },
}

const unlimited = { limits: { mode: 'off' }, concurrency: { overload: { mode: 'off' } } }

let upstream: TestUpstream
let gate: TestGate
let tlsPort: number
const clients: RawClient[] = []

beforeAll(async () => {
  upstream = await startUpstream((_request, reply) => json(reply, { ok: true }))
  gate = await startGate({
    document,
    upstream: upstream.url,
    // One address sends all this, and the machine may be busy with other tests.
    api: unlimited,
    root: {
      listen: [
        { port: 0, host: '127.0.0.1', tls: 'off' },
        { port: 0, host: 'localhost', tls: 'development' },
      ],
      connection: { headTimeout: '1s', bodyRate: '500' },
    },
  })
  tlsPort = gate.running.addresses[1]!.port
})
afterAll(async () => {
  await gate.stop()
  await upstream.stop()
})
afterEach(() => {
  for (const client of clients.splice(0)) client.destroy()
})

async function client(port = gate.port, tls?: Parameters<typeof rawClient>[1]): Promise<RawClient> {
  const one = await rawClient(port, tls)
  clients.push(one)
  return one
}

/** Nothing reached the upstream since `before`, and a normal request still does. */
async function isUnharmed(before: number): Promise<void> {
  expect(upstream.hits.slice(before)).toEqual([])
  const normal = (await client()).send(get('/a'))
  await normal.status()
  expect(normal.text()).toMatch(/^HTTP\/1\.1 200 /)
  expect(upstream.hits).toHaveLength(before + 1)
}

const get = (target: string, headers = 'Host: shop.test\r\n') => `GET ${target} HTTP/1.1\r\n${headers}\r\n`
const post = (headers: string, body = '{}') =>
  `POST /a HTTP/1.1\r\nHost: shop.test\r\nContent-Type: application/json\r\n${headers}\r\n${body}`
const chunked = (body: string) => post('Transfer-Encoding: chunked\r\n', body)
const last = '0\r\n\r\n'
/** A second request, hidden in what the first one's other reading takes for its body. */
const hidden = 'GET /files/hidden HTTP/1.1\r\nHost: shop.test\r\n\r\n'

type Row = readonly [what: string, bytes: string, status: number, code: string]

async function refuses([, bytes, status, code]: Row): Promise<void> {
  const before = upstream.hits.length
  const one = (await client()).send(bytes)
  const text = await one.whole()
  expect({ statuses: one.statuses(), code: /"code":"([^"]*)"/.exec(text)?.[1] }).toEqual({ statuses: [status], code })
  expect(text).toMatch(/content-type: application\/problem\+json/i)
  expect(text).toMatch(/connection: close/i)
  await isUnharmed(before)
}

const malformed = [400, 'protocol.malformed'] as const

describe('N10: smuggling', () => {
  test.each<Row>([
    ['CL.TE', post('Content-Length: 4\r\nTransfer-Encoding: chunked\r\n', last + hidden), ...malformed],
    ['TE.CL', post('Transfer-Encoding: chunked\r\nContent-Length: 4\r\n', last + hidden), ...malformed],
    ['an unknown transfer coding', post('Transfer-Encoding: xchunked\r\n', last), 501, 'protocol.transfer-coding'],
    ['a space before the colon', post('Transfer-Encoding : chunked\r\n', last), ...malformed],
    ['chunked, identity', post('Transfer-Encoding: chunked, identity\r\n', last), ...malformed],
    ['identity, chunked', post('Transfer-Encoding: identity, chunked\r\n', last), 501, 'protocol.transfer-coding'],
    ['gzip, chunked', post('Transfer-Encoding: gzip, chunked\r\n', last), 501, 'protocol.transfer-coding'],
    ['identity', post('Transfer-Encoding: identity\r\n', last), 501, 'protocol.transfer-coding'],
    ['a quoted coding', post('Transfer-Encoding: "chunked"\r\n', last), 501, 'protocol.transfer-coding'],
    ['an empty coding', post('Transfer-Encoding:\r\n', last), ...malformed],
    ['a vertical tab after the coding', post('Transfer-Encoding: chunked\x0b\r\n', last), ...malformed],
    ['a form feed before the coding', post('Transfer-Encoding: \x0cchunked\r\n', last), ...malformed],
    ['a folded coding', post('Transfer-Encoding:\r\n chunked\r\n', last), ...malformed],
    ['two codings', post('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n', last), ...malformed],
    ['two different codings', post('Transfer-Encoding: chunked\r\nTransfer-encoding: x\r\n', last), ...malformed],
    [
      'chunks in HTTP/1.0',
      `POST /a HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${last}`,
      501,
      'protocol.transfer-coding',
    ],
    [
      'Transfer_Encoding',
      post('Transfer_Encoding: chunked\r\nContent-Length: 2\r\n'),
      400,
      'protocol.duplicate-header',
    ],
    ['two lengths', post('Content-Length: 2\r\nContent-Length: 3\r\n'), ...malformed],
    ['the same length twice', post('Content-Length: 2\r\nContent-Length: 2\r\n'), ...malformed],
    ['a list of lengths', post('Content-Length: 2, 2\r\n'), ...malformed],
    ['a signed length', post('Content-Length: +2\r\n'), ...malformed],
    ['a negative length', post('Content-Length: -2\r\n'), ...malformed],
    ['a length with a space in it', post('Content-Length: 2 2\r\n'), ...malformed],
    ['a space before the colon of the length', post('Content-Length : 2\r\n'), ...malformed],
    ['a hexadecimal length', post('Content-Length: 0x2\r\n'), ...malformed],
    ['a length past 2^64', post('Content-Length: 99999999999999999999\r\n'), ...malformed],
    ['a length past 2^53', post('Content-Length: 9999999999999999\r\n'), 400, 'protocol.content-length'],
    ['bare LF throughout', 'GET /a HTTP/1.1\nHost: a\n\n', ...malformed],
    ['a bare LF after a header', 'GET /a HTTP/1.1\r\nHost: a\nX: b\r\n\r\n', ...malformed],
    ['a bare LF at the end of the head', 'GET /a HTTP/1.1\r\nHost: a\r\n\n', ...malformed],
    ['a bare CR in a value', get('/a', 'Host: a\r\nX: a\rb\r\n'), ...malformed],
    ['bare CR throughout', 'GET /a HTTP/1.1\rHost: a\r\r', ...malformed],
    ['obs-fold', get('/a', 'Host: a\r\nX: a\r\n b\r\n'), ...malformed],
    ['a space before the first header', get('/a', ' Host: a\r\n'), ...malformed],
    ['two hosts', get('/a', 'Host: a\r\nHost: b\r\n'), 400, 'protocol.duplicate-header'],
    [
      'two Authorization headers',
      get('/a', 'Host: a\r\nAuthorization: a\r\nauthorization: b\r\n'),
      400,
      'protocol.duplicate-header',
    ],
    ['two Cookie headers', get('/a', 'Host: a\r\nCookie: a=b\r\nCookie: a=c\r\n'), 400, 'protocol.duplicate-header'],
  ])('%s is refused', async (...row) => refuses(row))

  test.each<Row>([
    ['a size that is no number', chunked(`zz\r\n{}\r\n${last}`), ...malformed],
    ['a size with 0x', chunked(`0x2\r\n{}\r\n${last}`), ...malformed],
    ['a signed size', chunked(`+2\r\n{}\r\n${last}`), ...malformed],
    ['a negative size', chunked(`-2\r\n{}\r\n${last}`), ...malformed],
    ['a size past 2^64', chunked(`10000000000000002\r\n{}\r\n${last}`), ...malformed],
    ['a space after the size', chunked(`2 \r\n{}\r\n${last}`), ...malformed],
    ['more data than its size', chunked(`2\r\n{}{}\r\n${last}`), ...malformed],
    ['no CRLF after the data', chunked(`2\r\n{}${last}`), ...malformed],
    ['bare LF', chunked('2\n{}\n0\n\n'), ...malformed],
    ['a bare LF after the data', chunked(`2\r\n{}\n${last}`), ...malformed],
    ['a bare LF within an extension', chunked(`2;a\n{}\r\n${last}`), ...malformed],
    ['a bare CR within an extension', chunked(`2;a\rb\r\n{}\r\n${last}`), ...malformed],
    ['a long extension', chunked(`2;${'a'.repeat(20_000)}\r\n{}\r\n${last}`), 413, 'protocol.chunk-extensions'],
    ['a broken trailer', chunked('2\r\n{}\r\n0\r\nX Y: 1\r\n\r\n'), ...malformed],
    ['a huge trailer', chunked(`2\r\n{}\r\n0\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`), 431, 'protocol.header-bytes'],
  ])('a chunk with %s is refused', async (...row) => refuses(row))

  test.each([
    ['a tab before the coding', post('Transfer-Encoding:\tchunked\r\n', `2\r\n{}\r\n${last}`)],
    ['a coding in capitals', post('Transfer-Encoding: CHUNKED\r\n', `2\r\n{}\r\n${last}`)],
    ['a short chunk extension', chunked(`2;a=b\r\n{}\r\n${last}`)],
    ['a trailer', chunked('2\r\n{}\r\n0\r\nX-Sum: 1\r\n\r\n')],
    ['leading zeros of a size', chunked(`0002\r\n{}\r\n000\r\n\r\n`)],
    ['an empty line before the request', `\r\n${get('/a')}`],
    ['a pipelined second request', get('/a') + get('/a')],
  ])('%s is what RFC 9112 allows, and is answered', async (_what, bytes) => {
    const before = upstream.hits.length
    expect(await (await client()).send(bytes).status()).toBe(200)
    for (const hit of upstream.hits.slice(before)) expect(hit.headers['transfer-encoding']).toBeUndefined()
  })

  test('a second request in a body stays in the body', async () => {
    const before = upstream.hits.length
    const one = (await client()).send(`${post(`Content-Length: ${hidden.length}\r\n`, hidden)}${get('/a')}`)
    await until(() => one.statuses().length === 2, 'two answers')
    expect(one.statuses()).toEqual([400, 200])
    expect(upstream.hits.slice(before).map(({ url }) => url)).toEqual(['/a'])
  })
})

describe('N10, V1: targets and hosts', () => {
  test.each<Row>([
    ['another host in absolute-form', get('http://evil.test/a'), 400, 'protocol.host-mismatch'],
    ['a user in absolute-form', get('http://shop.test@evil.test/a'), 400, 'protocol.host-mismatch'],
    ['another user in absolute-form', get('http://evil.test@shop.test/a'), 400, 'protocol.host-mismatch'],
    ['another scheme in absolute-form', get('https://shop.test/a'), 400, 'protocol.scheme'],
    ['an unknown scheme', get('ftp://shop.test/a'), 400, 'protocol.target'],
    ['authority-form', get('shop.test:80'), ...malformed],
    ['asterisk-form', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'protocol.target'],
    ['no host', 'GET /a HTTP/1.1\r\n\r\n', 400, 'protocol.host'],
    ['an empty host', get('/a', 'Host:\r\n'), 400, 'protocol.host'],
    ['a host with a path', get('/a', 'Host: a/b\r\n'), 400, 'protocol.host'],
    ['a host with a user', get('/a', 'Host: a@b\r\n'), 400, 'protocol.host'],
    ['a list of hosts', get('/a', 'Host: a, b\r\n'), 400, 'protocol.host'],
    ['an encoded slash', get('/files%2fa'), 400, 'protocol.encoded-slash'],
    ['an encoded backslash', get('/files/a%5cb'), 400, 'protocol.encoded-slash'],
    ['a backslash', get('/files\\a'), 400, 'protocol.encoded-slash'],
    ['dot segments', get('/files/../a'), 400, 'protocol.dot-segment'],
    ['encoded dot segments', get('/files/%2e%2e/a'), 400, 'protocol.dot-segment'],
    ['dot segments with a parameter', get('/files/..;/a'), 400, 'protocol.dot-segment'],
    ['an empty segment', get('//a'), 400, 'protocol.empty-segment'],
    ['overlong UTF-8', get('/files/%c0%ae%c0%ae'), 400, 'protocol.target-encoding'],
    ['an overlong slash', get('/files/a%c0%afb'), 400, 'protocol.target-encoding'],
    ['a surrogate', get('/files/%ed%a0%80'), 400, 'protocol.target-encoding'],
    ['half an escape', get('/files/%4'), 400, 'protocol.target-encoding'],
    ['an encoded NUL', get('/files/a%00'), 400, 'protocol.target-character'],
    ['an encoded CRLF', get('/files/a%0d%0ab'), 400, 'protocol.target-character'],
    ['a NUL', get('/files/a\x00'), ...malformed],
    ['raw UTF-8', get('/files/caf\xc3\xa9'), ...malformed],
    ['a fragment', get('/a#b'), 400, 'protocol.target-character'],
    ['an encoded NUL in the query', get('/a?b=%00'), 400, 'protocol.target-character'],
    ['overlong UTF-8 in the query', get('/a?b=%c0%af'), 400, 'protocol.target-encoding'],
    ['10,000 bytes of target', get(`/${'a'.repeat(10_000)}`), 414, 'protocol.target-too-long'],
    ['a space in the target', get('/a b'), ...malformed],
    ['CONNECT', 'CONNECT shop.test:443 HTTP/1.1\r\nHost: shop.test\r\n\r\n', 501, 'protocol.method'],
    ['CONNECT without a port', 'CONNECT shop.test HTTP/1.1\r\nHost: shop.test\r\n\r\n', ...malformed],
    ['HTTP/0.9 that says so', 'GET /a HTTP/0.9\r\nHost: a\r\n\r\n', ...malformed],
    ['TRACE', 'TRACE /a HTTP/1.1\r\nHost: shop.test\r\n\r\n', 501, 'protocol.method'],
    ['a method that nobody knows', 'FOO /a HTTP/1.1\r\nHost: shop.test\r\n\r\n', 501, 'protocol.method'],
    ['a method in small letters', 'get /a HTTP/1.1\r\nHost: shop.test\r\n\r\n', ...malformed],
    ['noise', '\x01\x02\x03\x04\r\n\r\n', ...malformed],
    ['HTTP/1.2', 'GET /a HTTP/1.2\r\nHost: a\r\n\r\n', ...malformed],
    ['HTTP/2.0 in text', 'GET /a HTTP/2.0\r\nHost: a\r\n\r\n', 505, 'protocol.version'],
    ['tabs between the words', 'GET\t/a\tHTTP/1.1\r\nHost: a\r\n\r\n', ...malformed],
    ['NUL in a header', get('/a', 'Host: a\r\nX: a\x00b\r\n'), ...malformed],
    ['a control character in a header', get('/a', 'Host: a\r\nX: a\x01b\r\n'), ...malformed],
    ['NUL in a name', get('/a', 'Host: a\r\nX\x00: b\r\n'), ...malformed],
    ['no name', get('/a', 'Host: a\r\n: b\r\n'), ...malformed],
    ['a name that is not ASCII', get('/a', 'Host: a\r\nX\xe9: b\r\n'), ...malformed],
    ['an unknown expectation', post('Expect: 200-ok\r\nContent-Length: 2\r\n'), 417, 'protocol.expectation'],
  ])('%s is refused', async (...row) => refuses(row))

  test('a request line without a version gets no answer, which its sender could not read', async () => {
    const before = upstream.hits.length
    const one = (await client()).send('GET /a \r\nHost: shop.test\r\n\r\n')
    expect(await one.whole()).toBe('')
    expect(upstream.hits).toHaveLength(before)
    await vi.waitFor(async () => {
      const told = (await gate.lines()).find(({ denial }) => denial?.code === 'protocol.http-0.9')
      expect(told).toMatchObject({ status: 0 })
    })
  })

  test.each([
    ['/files/a%2eb', '/files/a.b'],
    ['/files/%41%7E', '/files/A~'],
    ['/files/caf%c3%a9', '/files/caf%C3%A9'],
    ['http://shop.test/files/a', '/files/a'],
    ['/files/a%3bv=1', '/files/a%3Bv=1'],
  ])('%s is forwarded in its one canonical form', async (sent, seen) => {
    expect(await (await client()).send(get(sent)).status()).toBe(200)
    expect(upstream.hits.at(-1)!.url).toBe(seen)
  })
})

describe('L7: size, count and time', () => {
  test.each<Row>([
    ['a header of 1 MB', get('/a', `Host: a\r\nX: ${'a'.repeat(1_000_000)}\r\n`), 431, 'protocol.header-bytes'],
    ['a target of 1 MB', get(`/${'a'.repeat(1_000_000)}`), 431, 'protocol.header-bytes'],
    ['10,000 headers', get('/a', `Host: a\r\n${'X: a\r\n'.repeat(10_000)}`), 431, 'protocol.header-bytes'],
    ['101 headers', get('/a', `Host: a\r\n${'X: a\r\n'.repeat(100)}`), 431, 'protocol.header-count'],
  ])('%s is refused', async (...row) => refuses(row))

  test('slow headers are cut with 408 while others are answered', async () => {
    const before = upstream.hits.length
    const slow = (await client()).send('GET /a HTTP/1.1\r\nHost: shop.test\r\nX: ')
    const drip = setInterval(() => slow.send('a'), 100)
    expect(await slow.whole(8_000)).toMatch(/^HTTP\/1\.1 408 .*"code":"protocol\.head-timeout"/s)
    clearInterval(drip)
    await isUnharmed(before)
  })

  test('a slow body is cut with 408', { timeout: 40_000 }, async () => {
    const before = upstream.hits.length
    const slow = (await client()).send(post('Content-Length: 100000\r\n', ''))
    const drip = setInterval(() => slow.send(' '), 100)
    expect(await slow.whole(30_000)).toMatch(/^HTTP\/1\.1 408 .*"code":"protocol\.slow-body"/s)
    clearInterval(drip)
    await isUnharmed(before)
  })

  test.each([
    ['its first line', 'GET /a HT'],
    ['its headers', 'GET /a HTTP/1.1\r\nHost: a\r\nX'],
    ['its body', post('Content-Length: 10\r\n')],
    ['a chunk', chunked('5\r\n{}')],
    ['its last chunk', chunked('2\r\n{}\r\n0\r\n')],
  ])('a request whose sender closes its half within %s is refused', async (_where, bytes) => {
    const before = upstream.hits.length
    expect(await (await client()).send(bytes).end().whole()).toMatch(/^HTTP\/1\.1 400 .*"code":"protocol\.incomplete"/s)
    await isUnharmed(before)
  })

  test('a sender that closes its half while it waits is gone, and holds nothing up', async () => {
    const one = (await client()).send(get('/a')).end()
    await one.whole()
    expect(await (await client()).send(get('/a')).status()).toBe(200)
  })

  test('an oversize body is refused before it is read, and unasked for under 100-continue', async () => {
    const before = upstream.hits.length
    const one = (await client()).send(post('Expect: 100-continue\r\nContent-Length: 100000000\r\n', ''))
    expect(await one.whole()).toMatch(/^HTTP\/1\.1 413 /)
    expect(one.statuses()).toEqual([413])
    await isUnharmed(before)
  })

  test('a body that is wanted is asked for under 100-continue', async () => {
    const one = (await client()).send(post('Expect: 100-continue\r\nContent-Length: 2\r\n', ''))
    await until(() => one.statuses().includes(100), '100')
    expect(await one.send('{}').status()).toBe(200)
  })

  // Both ends live in this process: half of its file descriptors, less some room; 10,000 where that is enough.
  const idleCount = Math.min(10_000, Math.floor((fileLimit() - 1_000) / 2))
  test(`${idleCount} idle sockets do not hold up a normal call`, { timeout: 60_000 }, async () => {
    const crowded = await startGate({
      document,
      upstream: upstream.url,
      api: unlimited,
      root: { connection: { connectionsPerAddress: 20_000, headTimeout: '50s' } },
    })
    const idle: Socket[] = []
    try {
      while (idle.length < idleCount) {
        for (let i = 0; i < 500; i++) idle.push(connectTcp(crowded.port, '127.0.0.1').on('error', () => {}))
        await until(() => idle.every(({ connecting }) => !connecting), 'the idle sockets to connect', 30_000)
      }
      const times: number[] = []
      for (let i = 0; i < 21; i++) {
        const before = performance.now()
        expect((await crowded.fetch('/a')).status).toBe(200)
        times.push(performance.now() - before)
      }
      expect(idle.filter(({ destroyed }) => destroyed)).toEqual([])
      expect(times.sort((a, b) => a - b)[10]).toBeLessThan(100)
    } finally {
      for (const socket of idle) socket.destroy()
      await crowded.stop()
    }
  })
})

function fileLimit(): number {
  const { soft } = (process.report!.getReport() as { userLimits: { open_files: { soft: number | 'unlimited' } } })
    .userLimits.open_files
  return soft === 'unlimited' ? 1_000_000 : soft
}

describe('L7, issue 5: HTTP/2', () => {
  const head = (...more: [string, string][]) =>
    fields([':method', 'GET'], [':path', '/a'], [':scheme', 'https'], [':authority', 'shop.test'], ...more)
  const headers = (stream: number, block: Buffer, flags = 0x5) => frame(frameType.headers, flags, stream, block)
  const opened = async () => (await client(tlsPort, { ALPNProtocols: ['h2'] })).send(preface)
  const goawayOf = (one: RawClient) =>
    framesOf(one.bytes())
      .find(({ type }) => type === frameType.goaway)
      ?.payload.readUInt32BE(4)

  test.each<[string, (one: RawClient) => void]>([
    [
      'rapid reset (CVE-2023-44487)',
      (one) => {
        for (let stream = 1; stream < 4_000; stream += 2) {
          one.send(Buffer.concat([headers(stream, head()), frame(frameType.rst, 0, stream, Buffer.from([0, 0, 0, 8]))]))
        }
      },
    ],
    ['a flood of settings', (one) => one.send(Buffer.concat(Array(2_000).fill(frame(frameType.settings, 0, 0))))],
    [
      'a flood of pings',
      (one) => one.send(Buffer.concat(Array(2_000).fill(frame(frameType.ping, 0, 0, Buffer.alloc(8))))),
    ],
  ])('%s ends that connection and no other', async (_what, flood) => {
    const other = connectHttp2(`https://localhost:${tlsPort}`, { rejectUnauthorized: false })
    const one = await opened()
    flood(one)
    await one.whole()
    expect(goawayOf(one)).toBe(0xb)
    const status = await new Promise((resolve, reject) => {
      other
        .request({ ':path': '/a' })
        .once('response', (reply) => resolve(reply[':status']))
        .once('error', reject)
        .resume()
    })
    expect(status).toBe(200)
    other.destroy()
  })

  test.each<[string, Buffer, Buffer?]>([
    ['a connection-specific header', head(['connection', 'keep-alive'])],
    ['transfer-encoding', head(['transfer-encoding', 'chunked'])],
    ['an upper-case name', head(['X-A', 'b'])],
    ['a second path', head([':path', '/b'])],
    ['a pseudo-header after a header', head(['x-a', 'b'], [':authority', 'evil.test'])],
    ['a length without a body', head(['content-length', '5'])],
    ['a body shorter than its length', head(['content-length', '5']), Buffer.from('abc')],
    ['a body longer than its length', head(['content-length', '1']), Buffer.from('abc')],
    [
      'CR and LF in its path',
      fields([':method', 'GET'], [':path', '/a\r\nX: y'], [':scheme', 'https'], [':authority', 'a']),
    ],
  ])('a request with %s is reset', async (_what, block, body) => {
    const before = upstream.hits.length
    const one = (await opened()).send(headers(1, block, body === undefined ? 0x5 : 0x4))
    if (body !== undefined) one.send(frame(frameType.data, 0x1, 1, body))
    await until(
      () => framesOf(one.bytes()).some(({ type }) => type === frameType.rst || type === frameType.goaway),
      'the reset',
    )
    await isUnharmed(before)
  })

  test.each([
    ['another host than its authority', [['host', 'evil.test']]],
    [
      'two Authorization headers',
      [
        ['authorization', 'a'],
        ['authorization', 'b'],
      ],
    ],
  ] as [string, [string, string][]][])('a request with %s is answered 400', async (_what, more) => {
    const before = upstream.hits.length
    const one = (await opened()).send(headers(1, head(...more)))
    await until(() => framesOf(one.bytes()).some(({ type }) => type === frameType.data), 'the answer')
    const body = Buffer.concat(
      framesOf(one.bytes())
        .filter(({ type }) => type === frameType.data)
        .map(({ payload }) => payload),
    )
    expect(JSON.parse(body.toString())).toMatchObject({ status: 400, code: expect.stringMatching(/^protocol\./) })
    await isUnharmed(before)
  })

  test('a field with CR and LF in its value does not travel', async () => {
    const one = (await opened()).send(headers(1, head(['x-a', 'b\r\nx-injected: c'])))
    await until(() => framesOf(one.bytes()).some(({ stream }) => stream === 1), 'an answer')
    expect(upstream.hits.at(-1)!.rawHeaders.join()).not.toMatch(/x-injected/i)
  })

  test.each([0, 8])('a body given up with code %i does not reach the upstream as if it were whole', async (code) => {
    const before = upstream.hits.length
    const block = fields(
      [':method', 'POST'],
      [':path', '/a'],
      [':scheme', 'https'],
      [':authority', 'a'],
      ['content-type', 'application/json'],
    )
    const one = (await opened()).send(headers(1, block, 0x4)).send(frame(frameType.data, 0, 1, Buffer.from('{}')))
    one.send(frame(frameType.rst, 0, 1, Buffer.from([0, 0, 0, code])))
    await isUnharmed(before)
  })
})

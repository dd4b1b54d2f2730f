import type { IncomingMessage } from 'node:http'
import { describe, expect, test } from 'vitest'
import { parseIpRange, RangeSet } from '../base/ip.ts'
import { readArrival } from './arrival.ts'
import type { Peer } from './peer.ts'

const peer: Peer = { address: '192.0.2.1', encrypted: false, certificate: undefined, trusted: false }

interface Line {
  readonly method?: string
  readonly url?: string
  readonly version?: readonly [number, number]
  readonly upgrade?: boolean
}

/** A request as node:http would hand it over: headers folded, singletons kept once. */
function http1(rawHeaders: string[], line: Line = {}): IncomingMessage {
  const headers: Record<string, string> = {}
  for (let i = 0; i < rawHeaders.length; i += 2) headers[rawHeaders[i]!.toLowerCase()] ??= rawHeaders[i + 1]!
  const [httpVersionMajor, httpVersionMinor] = line.version ?? [1, 1]
  const { method = 'GET', url = '/a', upgrade = false } = line
  return { method, url, headers, rawHeaders, httpVersionMajor, httpVersionMinor, upgrade } as never
}

/** A request as node:http2's compatibility layer would. */
function http2(pairs: [string, string][], path = '/a'): Parameters<typeof readArrival>[0] {
  const headers = Object.fromEntries(pairs)
  return { stream: {}, method: headers[':method'], url: path, headers, rawHeaders: pairs.flat() } as never
}

function codeOf(request: Parameters<typeof readArrival>[0], from: Peer = peer): string {
  const arrival = readArrival(request, from, 0)
  return 'kind' in arrival ? arrival.code : 'arrived'
}

const host = ['Host', 'shop.test']

describe('the head of an HTTP/1.1 request', () => {
  test('becomes an arrival with one target, one host and an id', () => {
    const arrival = readArrival(http1([...host, 'X-A', 'b'], { url: '/a%41?q=1' }), peer, 1_469_918_176_385)
    expect(arrival).toMatchObject({
      method: 'GET',
      target: { path: '/aA', query: 'q=1', authority: 'shop.test' },
      headers: { 'x-a': 'b' },
      rawHeaders: ['Host', 'shop.test', 'X-A', 'b'],
      address: '192.0.2.1',
      receivedAt: 1_469_918_176_385,
      upgrade: undefined,
    })
    expect((arrival as { id: string }).id).toMatch(/^req_01ARYZ6S41/)
  })

  test.each([
    'Host',
    'Content-Length',
    'Content-Type',
    'Transfer-Encoding',
    'Authorization',
    'Cookie',
    'Expect',
    'Origin',
    'Referer',
    'User-Agent',
    'DPoP',
    'If-Modified-Since',
  ])('is refused when %s stands twice, in whatever case', (name) => {
    const value = name === 'Host' ? 'shop.test' : '1'
    const once = http1([...(name === 'Host' ? [] : host), name, value])
    expect(codeOf(once)).not.toBe('protocol.duplicate-header')
    const twice = http1([...(name === 'Host' ? [] : host), name, value, name.toUpperCase(), value])
    expect(codeOf(twice)).toBe('protocol.duplicate-header')
  })

  test('may repeat headers that are lists', () => {
    expect(codeOf(http1([...host, 'Accept', 'a', 'Accept', 'b', 'X-Any', '1', 'X-Any', '2']))).toBe('arrived')
  })

  test.each(['Transfer_Encoding', 'content_length'])(
    'is refused with %s, which some upstreams take for framing',
    (name) => {
      expect(codeOf(http1([...host, name, '5']))).toBe('protocol.duplicate-header')
    },
  )

  test.each<[string, string[], Line, string]>([
    ['no host', [], {}, 'protocol.host'],
    ['a broken host', ['Host', 'a b'], {}, 'protocol.host'],
    ['CONNECT', host, { method: 'CONNECT', url: 'shop.test:443' }, 'protocol.method'],
    ['TRACE', host, { method: 'TRACE' }, 'protocol.method'],
    ['HTTP/2.0 in its first line', host, { version: [2, 0] }, 'protocol.version'],
    ['HTTP/0.9', host, { version: [0, 9] }, 'protocol.malformed'],
    ['two lengths', [...host, 'Content-Length', '1', 'Transfer-Encoding', 'chunked'], {}, 'protocol.framing'],
    ['an unknown coding', [...host, 'Transfer-Encoding', 'gzip, chunked'], {}, 'protocol.transfer-coding'],
    ['chunks in HTTP/1.0', [...host, 'Transfer-Encoding', 'chunked'], { version: [1, 0] }, 'protocol.transfer-coding'],
    ['a signed length', [...host, 'Content-Length', '+1'], {}, 'protocol.content-length'],
    ['a length of 16 digits', [...host, 'Content-Length', '1000000000000000'], {}, 'protocol.content-length'],
    ['another host in its target', host, { url: 'http://evil.test/a' }, 'protocol.host-mismatch'],
    ['another port in its target', host, { url: 'http://shop.test:81/a' }, 'protocol.host-mismatch'],
    ['another scheme in its target', host, { url: 'https://shop.test/a' }, 'protocol.scheme'],
    ['authority-form', host, { url: 'shop.test:80' }, 'protocol.target'],
    ['asterisk-form', host, { method: 'OPTIONS', url: '*' }, 'protocol.target'],
    [
      'a body and an upgrade',
      [...host, 'Upgrade', 'websocket', 'Content-Length', '1'],
      { upgrade: true },
      'protocol.upgrade-body',
    ],
  ])('is refused with %s', (_what, rawHeaders, line, code) => {
    expect(codeOf(http1(rawHeaders, line))).toBe(code)
  })

  test.each<[string, string[], Line]>([
    ['chunked in any case', [...host, 'Transfer-Encoding', 'Chunked'], {}],
    ['a length of 15 digits', [...host, 'Content-Length', '999999999999999'], {}],
    ['the same host in its target', ['Host', 'Shop.Test'], { url: 'http://shop.test/a' }],
    ['HTTP/1.0', host, { version: [1, 0] }],
    ['an empty body and an upgrade', [...host, 'Upgrade', 'WebSocket', 'Content-Length', '0'], { upgrade: true }],
  ])('arrives with %s', (_what, rawHeaders, line) => {
    expect(codeOf(http1(rawHeaders, line))).toBe('arrived')
  })

  test('names the protocol it upgrades to only when the parser has agreed to upgrade', () => {
    const headers = [...host, 'Connection', 'Upgrade', 'Upgrade', 'WebSocket']
    expect(readArrival(http1(headers, { upgrade: true }), peer, 0)).toMatchObject({ upgrade: 'websocket' })
    expect(readArrival(http1(headers), peer, 0)).toMatchObject({ upgrade: undefined })
  })
})

describe('the honest client address (H3)', () => {
  const proxies = new RangeSet([parseIpRange('192.0.2.0/24')])
  const trusted: Peer = { ...peer, trusted: true, proxies }
  const forwarded = (...more: string[]) => http1([...host, ...more])

  test('is the peer when nobody is trusted, whatever the headers say', () => {
    expect(readArrival(forwarded('X-Forwarded-For', '203.0.113.9'), peer, 0)).toMatchObject({ address: '192.0.2.1' })
  })

  test('is what a trusted peer says', () => {
    expect(readArrival(forwarded('X-Forwarded-For', '203.0.113.9'), trusted, 0)).toMatchObject({
      address: '203.0.113.9',
    })
  })

  test('is nobody when two headers of a trusted peer tell different stories', () => {
    const request = forwarded('X-Forwarded-For', '203.0.113.9', 'Forwarded', 'for=198.51.100.1')
    expect(codeOf(request, trusted)).toBe('protocol.forwarded')
  })
})

describe('the head of an HTTP/2 request', () => {
  const encrypted: Peer = { ...peer, encrypted: true }
  const pseudo: [string, string][] = [
    [':method', 'GET'],
    [':path', '/a'],
    [':scheme', 'https'],
    [':authority', 'Shop.test'],
  ]

  test('loses its pseudo-headers and gains a host', () => {
    const arrival = readArrival(http2([...pseudo, ['x-a', 'b']]), encrypted, 0)
    expect(arrival).toMatchObject({ target: { authority: 'shop.test' }, rawHeaders: ['x-a', 'b'] })
    expect((arrival as { headers: object }).headers).toEqual({ host: 'shop.test', 'x-a': 'b' })
  })

  test.each<[string, [string, string][], string]>([
    ['a host that is the authority', [...pseudo, ['host', 'shop.test']], 'arrived'],
    ['a host that is another', [...pseudo, ['host', 'evil.test']], 'protocol.host-mismatch'],
    ['a host only', [...pseudo.slice(0, 3), ['host', 'shop.test']], 'arrived'],
    ['neither', pseudo.slice(0, 3), 'protocol.host'],
    [
      'a plain scheme on an encrypted connection',
      [...pseudo.slice(0, 2), [':scheme', 'http'], pseudo[3]!],
      'protocol.scheme',
    ],
    ['another scheme', [...pseudo.slice(0, 2), [':scheme', 'ftp'], pseudo[3]!], 'protocol.scheme'],
    ['TRACE', [[':method', 'TRACE'], ...pseudo.slice(1)], 'protocol.method'],
    ['cookies in pieces', [...pseudo, ['cookie', 'a=b'], ['cookie', 'c=d']], 'arrived'],
    ['authorization twice', [...pseudo, ['authorization', 'a'], ['authorization', 'b']], 'protocol.duplicate-header'],
    ['a broken length', [...pseudo, ['content-length', '1,1']], 'protocol.content-length'],
  ])('with %s', (_what, pairs, code) => {
    expect(codeOf(http2(pairs), encrypted)).toBe(code)
  })
})

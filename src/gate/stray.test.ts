import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { createStrayBudget, isSimpleRequest, readStray } from './stray.ts'

const read = (text: string) => {
  const { body, ...head } = readStray(Buffer.from(text, 'latin1'))
  return { ...head, body: body?.toString('latin1') }
}

describe('reading a request that no strict parser takes', () => {
  test.each([
    ['GET /a HTTP/1.1\r\n\r\n', 'GET', '/a', 'HTTP/1.1'],
    ['\r\n\r\nGET /a HTTP/1.1\r\n\r\n', 'GET', '/a', 'HTTP/1.1'],
    ['GET /a\r\n', 'GET', '/a', 'HTTP/0.9'],
    ['GET /a \r\n', 'GET', '/a', 'HTTP/0.9'],
    ['GET /a b  c HTTP/1.1\r\n\r\n', 'GET', '/a b  c', 'HTTP/1.1'],
    ['FOO\tBAR / HTTP/9.9\n\n', 'FOO\tBAR', '/', 'HTTP/9.9'],
    ['GET   HTTP/1.1\r\n\r\n', 'GET', ' ', 'HTTP/1.1'],
    ['get / http/1.1\r\n\r\n', 'get', '/', 'http/1.1'],
    ['noise', 'noise', '', 'HTTP/0.9'],
    ['', '', '', 'HTTP/0.9'],
    ['GET /\xff\x00 HTTP/1.1\r\n\r\n', 'GET', '/\xff\x00', 'HTTP/1.1'],
  ])('%j', (text, method, rawTarget, protocol) => {
    expect(read(text)).toMatchObject({ method, rawTarget, protocol })
  })

  test.each<[string, string[]]>([
    ['Host: a\r\nX-A:b\r\n', ['Host', 'a', 'X-A', 'b']],
    ['Host: a\nHost: b\n', ['Host', 'a', 'Host', 'b']],
    ['X: a\r\n b\r\n\tc\r\n', ['X', 'a b c']],
    ['no colon\r\n', ['no colon', '']],
    ['Content-Length : 3\r\n', ['Content-Length ', '3']],
    ['X: a\rb\r\nY: c\r\n', ['Y', 'c']],
    [' first: folded\r\n', [' first', 'folded']],
    ['X: \t a \t\r\n', ['X', 'a']],
  ])('headers %j', (lines, rawHeaders) => {
    expect(read(`GET / HTTP/1.1\r\n${lines}\r\n`).rawHeaders).toEqual(rawHeaders)
  })

  test.each([
    ['Content-Length: 3', 'abcdef', 'abc'],
    ['Content-Length: 3, 5', 'abcdef', 'abcdef'],
    ['Content-Length: -1', 'abcdef', 'abcdef'],
    ['Content-Length: 9', 'abc', 'abc'],
    ['X: y', 'abc', undefined],
    ['Transfer-Encoding: chunked', '3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n', 'abcde'],
    ['Transfer-Encoding: xchunked\r\nContent-Length: 1', '3\r\nabc\r\nnot a size\r\n', 'abcnot a size\r\n'],
    ['Transfer-Encoding: chunked', '0\r\n\r\n', undefined],
  ])('the body after %s', (header, rest, body) => {
    expect(read(`POST / HTTP/1.1\r\n${header}\r\n\r\n${rest}`).body).toBe(body)
  })

  test('a head of thousands of lines is read no further than it is kept', () => {
    const lines = 'X: y\r\n'.repeat(5_000)
    expect(read(`GET / HTTP/1.1\r\n${lines}\r\n`).rawHeaders).toHaveLength(400)
  })

  test('any bytes are read, in bounded time', () => {
    const pieces = fc.constantFrom(
      'GET ',
      '/',
      ' HTTP/1.1',
      '\r\n',
      '\n',
      '\r',
      ':',
      ' ',
      'a',
      'Transfer-Encoding: chunked',
      'ffffffff',
      '0',
      '\xff',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 200 }), (parts) => {
        const packet = Buffer.from(parts.join(''), 'latin1')
        const { rawHeaders, body } = readStray(packet)
        expect(rawHeaders.length % 2).toBe(0)
        expect(body?.length ?? 0).toBeLessThanOrEqual(packet.length)
      }),
    )
  })
})

describe('a request line without a version', () => {
  test.each([
    ['GET /\r\n', true],
    ['GET /a?b \r\nHost: x\r\n\r\n', true],
    ['GET / HTTP/1.1\r\n', false],
    ['GET / HTTP/1.1\rHost: x\r\r', false],
    ['GET /a', false],
    ['noise\r\n', false],
    ['\x16\x03\x01\n', false],
    [`GET /${'a'.repeat(9_000)}\n`, false],
  ])('%j: %s', (packet, simple) => {
    expect(isSimpleRequest(Buffer.from(packet, 'latin1'))).toBe(simple)
  })
})

describe('the time that strays may cost', () => {
  test('is spent, and earned back at its share', () => {
    let now = 0
    const budget = createStrayBudget(0.05, () => now)
    const look = () => {
      now += 100
      return [now]
    }
    const looks = Array.from({ length: 20 }, () => budget.spend(look).length).filter((found) => found > 0).length
    expect(looks).toBe(6)
    expect(budget.spend(look)).toEqual([])
    now += 4_000
    expect(budget.spend(look)).toHaveLength(1)
    now += 1_000_000
    expect(Array.from({ length: 20 }, () => budget.spend(look)).filter((found) => found.length > 0)).toHaveLength(6)
  })

  test('counts a look that fails', () => {
    let now = 0
    const budget = createStrayBudget(0.01, () => now)
    const fail = () => {
      now += 600
      throw new Error('no')
    }
    expect(() => budget.spend(fail)).toThrow('no')
    expect(budget.spend(() => [1])).toEqual([])
  })
})

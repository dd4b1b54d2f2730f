import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { growth } from './steps.fixture.ts'
import { parseUrlEncoded, percentDecode } from './urlencoded.ts'
import { bodyLimits } from './values.ts'

function pairs(text: string, limits = bodyLimits): [string, string][] {
  return parseUrlEncoded(text, limits).arguments.map(({ name, value }) => [name, value])
}

describe('arguments of a query string', () => {
  test.each<[string, [string, string][]]>([
    ['', []],
    [
      'a=1&b=2',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    [
      'a=1&a=2',
      [
        ['a', '1'],
        ['a', '2'],
      ],
    ],
    ['a', [['a', '']]],
    ['a=', [['a', '']]],
    ['=1', [['', '1']]],
    ['=', [['', '']]],
    ['&&a=1&&', [['a', '1']]],
    ['a=b=c', [['a', 'b=c']]],
    ['a+b=c+d', [['a b', 'c d']]],
    ['%61=%62', [['a', 'b']]],
    ['a=%', [['a', '%']]],
    ['a=%4', [['a', '%4']]],
    ['a=%4g', [['a', '%4g']]],
    ['a=%%41', [['a', '%A']]],
    ['a=%u0041', [['a', '%u0041']]],
    ['a=%00', [['a', '\0']]],
    ['a=%e2%82%ac', [['a', '\xe2\x82\xac']]],
    ['a=\xff%FF', [['a', '\xff\xff']]],
    ['a;b=1', [['a;b', '1']]],
    ['a%26b=1', [['a&b', '1']]],
    ['a%3Db=1', [['a=b', '1']]],
  ])('%j gives %j', (text, expected) => {
    expect(pairs(text)).toEqual(expected)
  })

  test('another separator takes the place of the ampersand', () => {
    expect(pairs('a=1;b=2&c', { ...bodyLimits, argumentSeparator: ';' })).toEqual([
      ['a', '1'],
      ['b', '2&c'],
    ])
  })

  test.each([
    ['a=%2', true],
    ['a%=1', true],
    ['a=%2g', true],
    ['a=%2f&b=%', true],
    ['a=%2f%41+', false],
  ])('%j: a percent sign without its digits is told: %j', (text, expected) => {
    expect(parseUrlEncoded(text).invalidEncoding).toBe(expected)
  })

  test('what lies beyond the limit is one more argument, decoded, and an error', () => {
    const read = parseUrlEncoded('a=1&b=2&c=%3Cscript%3E&d=4%', { ...bodyLimits, argumentsMax: 2 })
    expect(read.arguments.map(({ name, value }) => [name, value])).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['', 'c=<script>&d=4%'],
    ])
    expect(read.error).toBe('more than 2 arguments')
    expect(read.invalidEncoding).toBe(true)
  })

  test('exactly as many as the limit are no error', () => {
    expect(parseUrlEncoded('a&b&', { ...bodyLimits, argumentsMax: 2 }).error).toBeUndefined()
  })

  test('agrees with URLSearchParams on whatever that can write', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }))), (entries) => {
        const text = new URLSearchParams(entries).toString()
        const expected = [...new URLSearchParams(text)].map(([name, value]) => [bytes(name), bytes(value)])
        expect(pairs(text)).toEqual(expected)
      }),
    )
  })

  test('never throws, and keeps every byte that is not encoded', () => {
    fc.assert(
      fc.property(arbitraryBytes, (text) => {
        const read = parseUrlEncoded(text, { ...bodyLimits, argumentsMax: 5 })
        const kept = read.arguments.reduce((sum, { name, value }) => sum + name.length + value.length, 0)
        const dropped = text.length - kept
        const signs = text.split(/[%&=]/).length - 1
        expect(dropped).toBeLessThanOrEqual(2 * signs)
      }),
    )
  })

  test.each(['&', '=', '%', '+', 'a=%41&', '%zz', '&='])(
    'the work for %j, over and over, grows with its length',
    (piece) => {
      const read = (text: string) => void parseUrlEncoded(text, { ...bodyLimits, argumentsMax: 100_000 })
      expect(growth(read, (count) => piece.repeat(count), 2_000)).toBeLessThan(2.2)
    },
  )
})

describe('percent decoding', () => {
  test('returns the very string when there is nothing to decode', () => {
    const text = 'plain+text'.repeat(3)
    expect(Object.is(percentDecode(text, false), text)).toBe(true)
  })

  test('decodes long values too', () => {
    expect(percentDecode('%41'.repeat(100_000), true)).toBe('A'.repeat(100_000))
  })
})

const arbitraryBytes = fc
  .array(fc.oneof(fc.integer({ min: 0, max: 255 }), fc.constantFrom(...[...'%&=+;aF4'].map((c) => c.charCodeAt(0)))))
  .map((codes) => String.fromCharCode(...codes))

function bytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

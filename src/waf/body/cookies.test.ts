import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseCookies } from './cookies.ts'
import { growth } from './steps.fixture.ts'

function pairs(...headers: string[]): [string, string][] {
  return parseCookies(headers).map(({ name, value }) => [name, value])
}

describe('cookies', () => {
  test.each<[string, [string, string][]]>([
    ['', []],
    ['a=b', [['a', 'b']]],
    [
      'a=b; c=d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'a=b;c=d',
      [
        ['a', 'b'],
        ['c', 'd'],
      ],
    ],
    [
      'a=1; a=2',
      [
        ['a', '1'],
        ['a', '2'],
      ],
    ],
    ['  a=b  ', [['a', 'b']]],
    ['a =b', [['a', 'b']]],
    ['a= b', [['a', ' b']]],
    ['a', [['a', '']]],
    ['a=', [['a', '']]],
    ['a=b=c', [['a', 'b=c']]],
    [
      'a="b; c"',
      [
        ['a', '"b'],
        ['c"', ''],
      ],
    ],
    ['a=%41+', [['a', '%41+']]],
    ['a=1,b=2', [['a', '1,b=2']]],
    [
      '$Version=1; a=b',
      [
        ['$Version', '1'],
        ['a', 'b'],
      ],
    ],
    [';;; ;', []],
    ['=', []],
    ['=payload', [['', 'payload']]],
    ['\ta=\xe2\x82\xac\t', [['a', '\xe2\x82\xac']]],
  ])('%j gives %j', (header, expected) => {
    expect(pairs(header)).toEqual(expected)
  })

  test('those of several headers follow one another', () => {
    expect(pairs('a=1; b=2', 'a=3')).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['a', '3'],
    ])
  })

  test('what a browser may send comes back as it was set', () => {
    const name = fc.stringMatching(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,10}$/)
    const value = fc.stringMatching(/^[!#-+./0-9:<-[\]-~=-]{0,20}$/)
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (cookies) => {
        expect(pairs(cookies.map(([n, v]) => `${n}=${v}`).join('; '))).toEqual(cookies)
      }),
    )
  })

  test.each([';', '=', ' ', 'a=b;', '; '])('the work for %j, over and over, grows with its length', (piece) => {
    const read = (text: string) => void parseCookies([text])
    expect(growth(read, (count) => piece.repeat(count), 2_000)).toBeLessThan(2.2)
  })
})

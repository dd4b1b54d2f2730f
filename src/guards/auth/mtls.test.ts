import fc from 'fast-check'
import { expect, test } from 'vitest'
import { alternativeNames } from './mtls.ts'

test.each([
  [undefined, []],
  ['', []],
  ['DNS:a.example.test', [['DNS', 'a.example.test']]],
  [
    'DNS:a.example.test, DNS:b.example.test',
    [
      ['DNS', 'a.example.test'],
      ['DNS', 'b.example.test'],
    ],
  ],
  [
    'IP Address:192.0.2.1, URI:spiffe://acme/a',
    [
      ['IP Address', '192.0.2.1'],
      ['URI', 'spiffe://acme/a'],
    ],
  ],
  // One name that tries to pose as two (CVE-2021-44532).
  ['DNS:"evil.example.test, DNS:good.example.test"', [['DNS', 'evil.example.test, DNS:good.example.test']]],
  [
    'URI:"http://a/\\"b", DNS:c',
    [
      ['URI', 'http://a/"b'],
      ['DNS', 'c'],
    ],
  ],
  // What cannot be read ends the list rather than yielding half a name.
  ['DNS:"unclosed, DNS:good.example.test', []],
])('T4: reads alternative names %j', (text, names) => {
  expect(alternativeNames(text)).toEqual(names)
})

test('T4: reads back any names as node writes them', () => {
  const name = fc.string({ unit: 'grapheme-ascii', minLength: 1, maxLength: 20 })
  const written = (text: string) => (/[",\\\s']|^"/.test(text) ? JSON.stringify(text) : text)
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.constantFrom('DNS', 'URI', 'email'), name), { maxLength: 5 }), (names) => {
      const text = names.map(([kind, one]) => `${kind}:${written(one)}`).join(', ')
      expect(alternativeNames(text)).toEqual(names)
    }),
  )
})

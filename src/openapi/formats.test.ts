import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cpuMs } from '../../test/kit/cpu.ts'
import { formatOf, numberFormatOf } from './formats.ts'

/** Both sides of every border; the official suite's 760 cases run in the conformance test. */
const strings: Record<string, { readonly good: readonly string[]; readonly bad: readonly string[] }> = {
  'date-time': {
    good: [
      '2026-11-22T12:00:00Z',
      '2026-11-22t12:00:00.123456+05:30',
      '2016-12-31T23:59:60Z',
      '2017-01-01T00:59:60+01:00',
    ],
    bad: [
      '2026-11-22 12:00:00Z',
      '2026-11-22T12:00:00',
      '2026-11-31T12:00:00Z',
      '2026-11-22T24:00:00Z',
      '2026-11-22T12:00:60Z',
      '2026-11-22T12:00:00+24:00',
      '২০26-11-22T12:00:00Z',
    ],
  },
  date: {
    good: ['2024-02-29', '2000-02-29'],
    bad: ['2023-02-29', '1900-02-29', '2024-13-01', '2024-00-01', '2024-1-01', '2024-01-01 '],
  },
  time: { good: ['00:00:00Z', '23:59:59.9-00:01'], bad: ['00:00Z', '00:00:00', '23:60:00Z'] },
  duration: { good: ['P1Y2M3DT4H5M6S', 'PT1S', 'P2W', 'P1D'], bad: ['P', 'PT', 'P1', '1D', 'P1W1D', 'P1DT', 'P1S'] },
  email: {
    good: ['a@b', 'first.last+tag@example.com', '"a b"@example.com', 'a@[127.0.0.1]', 'a@[IPv6:::1]'],
    bad: ['a', '@b', 'a@', '.a@b', 'a..b@c', 'a@b@c', 'a@-b', 'ä@b.de', `${'a'.repeat(65)}@b`, 'a@[127.0.0.256]'],
  },
  'idn-email': { good: ['ä@bücher.de'], bad: ['ä', 'ä@'] },
  hostname: {
    good: ['a', 'a.b-c.de', 'xn--bcher-kva.de', '1a'],
    bad: ['', '-a', 'a-', 'a..b', 'a_b', `${'a'.repeat(64)}`, 'ab--c', 'a.'],
  },
  'idn-hostname': { good: ['bücher.de', '例え.jp'], bad: ['-ü', 'ü-', '〮a', ''] },
  ipv4: { good: ['127.0.0.1'], bad: ['127.0.0', '127.0.0.256', '127.1', '0x7f.0.0.1', '01.2.3.4'] },
  ipv6: {
    good: ['::', '::1', '1:2::3', '::ffff:1.2.3.4'],
    bad: [':', '1::2::3', '12345::', '::1%eth0', '1:2:3:4:5:6:7'],
  },
  uri: {
    good: ['http://a/b?c#d', 'urn:isbn:1', 'http://[::1]:80/', 'mailto:a@b', 'http://u:p@h/%20'],
    bad: ['/a', 'http://a b', 'http://a/%zz', 'http://[::1', 'http://a:b/', 'http://ä', '1a:b', 'http://a/<b>'],
  },
  'uri-reference': { good: ['', '/a', '?b', '#c', '//h', 'a/b:c'], bad: ['\\a', 'a b', '%', '1:b'] },
  iri: { good: ['http://ä/ö?ü'], bad: ['/ä', 'http://a b'] },
  'iri-reference': { good: ['/ä', ''], bad: ['\\ä'] },
  'uri-template': { good: ['/a/{b}', '{?c,d*,e:3}', '{+a.b}'], bad: ['{', '{}', '}', '{a', '{a:0}', 'a b'] },
  uuid: {
    good: ['2EB8AA08-aa98-11ea-b4aa-73b441d16380'],
    bad: ['2eb8aa08aa9811eab4aa73b441d16380', '2eb8aa08-aa98-11ea-b4aa-73b441d1638g'],
  },
  'json-pointer': { good: ['', '/a/~0~1', '/'], bad: ['a', '/~2', '/~'] },
  'relative-json-pointer': { good: ['0', '1/a', '0#'], bad: ['/a', '01', '-1', '0##'] },
  regex: { good: ['^a+$', '\\p{L}'], bad: ['(', '[a'] },
  byte: { good: ['', 'YQ==', 'YWI=', 'YWJj'], bad: ['Y', 'YQ=', 'YQ', 'Y===', 'YWJj-', 'YW Jj'] },
  int64: {
    good: ['9223372036854775807', '-9223372036854775808', '0'],
    bad: ['9223372036854775808', '1.0', '', 'a', '1'.repeat(30)],
  },
}

describe.each(Object.entries(strings))('%s', (name, { good, bad }) => {
  const format = formatOf(name)!
  test.each(good)('takes %j', (value) => expect(format.is(value as never)).toBe(true))
  test.each(bad)('refuses %j', (value) => expect(format.is(value as never)).toBe(false))
})

test.each<[string, number, boolean]>([
  ['int32', 2147483647, true],
  ['int32', 2147483648, false],
  ['int32', -2147483649, false],
  ['int32', 1.5, false],
  ['int64', 9007199254740991, true],
  ['int64', 0.5, false],
  ['float', 3.4e38, true],
  ['float', 3.5e38, false],
  ['double', 1e308, true],
])('%s takes %d: %s', (name, value, expected) => {
  expect(numberFormatOf(name)!.is(value as never)).toBe(expected)
})

test('a format that is not known asserts nothing', () => {
  expect(formatOf('password')).toBeUndefined()
  expect(formatOf('toString')).toBeUndefined()
  expect(formatOf(7)).toBeUndefined()
})

test('every check takes time in proportion to the value: 1 MB in less than 50 ms', () => {
  const hostile = [
    'a',
    '1',
    '.',
    '-',
    '@',
    '/',
    '%41',
    '~0',
    '{a}',
    '{',
    'a.',
    '1:',
    '::',
    '=',
    '\u00e4',
    'P1',
    ' ',
    '(',
    'a@',
    '"\\',
  ].map((text) => text.repeat(Math.floor(1_000_000 / text.length)))
  for (const name of Object.keys(strings))
    for (const value of hostile) expect(cpuMs(() => formatOf(name)!.is(value as never), 2)).toBeLessThan(50)
}, 60_000)

test('no text makes a check throw', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 40 }), (value) => {
      for (const name of Object.keys(strings)) expect(typeof formatOf(name)!.is(value as never)).toBe('boolean')
    }),
    { numRuns: 500 },
  )
})

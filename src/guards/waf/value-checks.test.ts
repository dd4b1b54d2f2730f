import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { TextFact, ValueForm } from '../../openapi/operation.ts'
import { isLiteral, isOfWords, textCheck } from './value-checks.ts'

const form = (...texts: TextFact[][]): ValueForm => ({
  texts,
  hasLiterals: false,
  hasLists: false,
  properties: new Map(),
  items: undefined,
})
const format = (name: string): TextFact => ({ kind: 'format', format: name })
const values = (...some: string[]): TextFact => ({ kind: 'values', values: new Set(some) })
const length = (max: number): TextFact => ({ kind: 'length', max })
const pattern = (source: string): TextFact => ({ kind: 'pattern', source })

const attacks = [
  "' or 1=1 --",
  '<script>alert(1)</script>',
  '; cat /etc/passwd',
  '${jndi:ldap://x}',
  '../../etc/passwd',
  "1' AND sleep(5)#",
  '|id',
  '`id`',
  'a\nb',
  '\u0000',
  "'",
  '"',
  '<',
  '(',
  'http://169.254.169.254/',
]

describe('a value that the document binds', () => {
  test.each<[string, TextFact[], string[], string[]]>([
    [
      'a UUID',
      [format('uuid')],
      ['3f2504e0-4f89-41d3-9a0c-0305e82c3301'],
      ['3f2504e0-4f89-41d3-9a0c-0305e82c3301x', 'xyz'],
    ],
    ['a date', [format('date')], ['2026-11-22'], ['2026-11-22; drop']],
    ['a time', [format('date-time')], ['2026-11-22T16:00:00.000+01:00'], ['2026-11-22 or 1']],
    ['an enumeration', [values('asc', "it's; drop table")], ['asc', "it's; drop table"], ['ASC', 'asc ', '']],
    ['an identifier', [pattern('^[A-Za-z0-9_-]{1,64}$')], ['ord_42-b'], ['ord 42', 'ord.42', 'a'.repeat(129)]],
    [
      'a word that is an attack',
      [pattern('^\\w+$')],
      ['proto', 'rO0'],
      ['__proto__', 'a__proto__b', 'rO0ABXNyABFqYXZh'],
    ],
    ['a code', [length(3)], ['EUR'], ["E'R", 'EURO']],
  ])('%s is harmless where it is one, and suspect where not', (_, facts, harmless, suspect) => {
    const check = textCheck(form(facts))!
    for (const value of harmless) expect(check(value), value).toBe(true)
    for (const value of [...suspect, ...attacks]) expect(check(value), value).toBe(false)
  })

  test.each<[string, TextFact[][]]>([
    ['says nothing', [[]]],
    ['says only how long it may be', [[length(1_000)]]],
    ['names a format in which anything may stand', [[format('email')]]],
    ['names an address, which may be where nobody should go', [[format('ipv4')]]],
    ['has an alternative that is free', [[format('date')], []]],
    ['has a pattern that takes more than words', [[pattern('^.*$')]]],
  ])('is not, where the schema %s', (_, texts) => {
    expect(textCheck(form(...texts))).toBeUndefined()
  })

  test('may be any of its alternatives', () => {
    const check = textCheck(form([format('date')], [values('today')]))!
    expect([check('2026-01-01'), check('today'), check('tomorrow')]).toEqual([true, true, false])
  })

  test('is compared as the bytes it is sent as', () => {
    const check = textCheck(form([values('Zürich')]))!
    expect(check(Buffer.from('Zürich').toString('latin1'))).toBe(true)
    expect(check('Zürich')).toBe(false)
  })
})

describe('a number, a truth value, null', () => {
  test.each(['0', '-1.5e+10', 'true', 'false', 'null', ''])('%j is harmless', (value) => {
    expect(isLiteral(value)).toBe(true)
  })

  test.each([...attacks, 'True', '1 or 1', '1'.repeat(41), '0x41', 'NaN'])('%j is suspect', (value) => {
    expect(isLiteral(value)).toBe(false)
  })
})

describe('a pattern', () => {
  test.each(['^[A-Za-z0-9_-]{1,64}$', '^[a-z]+$', '^(?:ab|cd)-\\d{4}$', '^ord_[0-9a-f]+$', '^\\w+$'])(
    '%s takes words',
    (source) => {
      expect(isOfWords(source)).toBe(true)
    },
  )

  test.each([
    '[a-z]+',
    '^[a-z]+',
    '[a-z]+$',
    '^a|b$',
    '^.+$',
    '^[^<>]+$',
    '^\\S+$',
    '^[a-z.]+$',
    '^\\p{L}+$',
    '^(?=.*x)[a-z]+$',
    '^(a)\\1$',
    '^$',
    '(',
  ])('%s takes more, or cannot be told', (source) => {
    expect(isOfWords(source)).toBe(false)
  })

  test('that takes words takes nothing else', () => {
    const piece = fc.constantFrom(
      '[a-z]',
      '\\d',
      '_',
      '-',
      'x',
      '(?:ab|c)',
      '[0-9A-F]',
      '.',
      "'",
      '[^a]',
      '\\W',
      '\\s',
      '<',
    )
    const times = fc.constantFrom('', '+', '*', '{1,3}', '?')
    fc.assert(
      fc.property(
        fc.array(fc.tuple(piece, times), { minLength: 1, maxLength: 5 }),
        fc.string({ maxLength: 8 }),
        (parts, value) => {
          const source = `^${parts.map(([one, how]) => one + how).join('')}$`
          if (!isOfWords(source) || !new RegExp(source, 'u').test(value)) return
          expect(value).toMatch(/^[\w-]*$/)
        },
      ),
      { numRuns: 2_000 },
    )
  })
})

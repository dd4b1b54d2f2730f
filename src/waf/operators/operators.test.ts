import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteStrings } from '../../../test/kit/byte-strings.ts'
import type { InjectionDetector } from '../injection/index.ts'
import { createBudget } from '../regex/budget.ts'
import { buildPhraseAutomaton, compileOperator, findPhrase, hasPhrase, knownOperators, OperatorError } from './index.ts'

const place = { file: 'rules/own.conf', line: 14, column: 12 }

/** Finds what says so. */
const injection: InjectionDetector = {
  sqli: (values) => values.map((value) => (value.includes('sqli') ? 's&1' : undefined)),
  xss: (values) => values.map((value) => value.includes('xss')),
  both: (sqli, xss) => ({ sqli: injection.sqli(sqli), xss: injection.xss(xss) }),
}

function compile(name: string, argument = '', lines?: readonly string[]) {
  return compileOperator(name, argument, lines, place, injection)
}

describe('a value is tested', () => {
  test.each([
    // What atoi reads, and no more.
    ['eq', '5', ' 5abc', true],
    ['eq', '0', '', true],
    ['eq', '-0', '0', true],
    ['eq', '10', '1e1', false],
    ['gt', '9007199254740993', '9007199254740995', true],
    ['lt', '0', '-1', true],
    ['le', '3', '+3', true],
    ['ge', '3', '2.9', false],
    ['streq', 'a', 'A', false],
    ['within', 'GET POST', '', true],
    ['within', 'GET POST', 'POST', true],
    ['containsWord', 'or', 'for or', true],
    ['containsWord', 'or', 'for', false],
    ['containsWord', 'or', '1or2', true],
    ['strmatch', 'b', 'abc', true],
    ['pm', 'sleep BENCH', 'xbenchmark', true],
    ['pm', '"a b"', 'B', true],
    ['pm', 'a|0D0a|b |20|', 'A\r\nB', true],
    ['pm', 'a|0D0a|b |20|', ' ', true],
    // What is not well formed is taken as it is.
    ['pm', 'a|zz|', 'a|zz|', true],
    ['pm', 'a\\;b\\|', 'a\\;b\\|', true],
    ['pm', 'a\\;b', 'xa;bx', true],
    ['pm', '', 'anything', false],
    ['ipMatch', '10.0.0.0/8, 2001:db8::/32', '10.1.2.3', true],
    ['ipMatch', '10.0.0.0/8, 2001:db8::/32', '2001:DB8::1', true],
    ['ipMatch', '10.0.0.0/8', '::ffff:10.1.2.3', true],
    ['ipMatch', '10.0.0.0/8', '010.1.2.3', false],
    ['ipMatch', '::/0', '::ffff:10.1.2.3', true],
    ['ipMatch', '::/0', '10.1.2.3', false],
    ['validateByteRange', '9,10,13, 32-126', 'a\tb', false],
    ['validateByteRange', '9,10,13, 32-126', 'a\0b', true],
    ['validateByteRange', '1-255', '\xff', false],
    ['validateUtf8Encoding', '', '\xc3\xa9', false],
    ['validateUtf8Encoding', '', '\xc0\xaf', true],
    ['validateUtf8Encoding', '', '\xed\xa0\x80', true],
    ['validateUtf8Encoding', '', '\xf4\x90\x80\x80', true],
    ['validateUrlEncoding', '', '%41%4', true],
    ['verifyCC', '\\d{13,16}', '54846050891582160', true],
    ['verifyCC', '\\d{13,16}', '1111111111111111', false],
    ['verifyCPF', '[\\d.-]+', '010.817.514-60', true],
    ['verifyCPF', '[\\d.-]+', '111.111.111-11', false],
    ['verifySSN', '\\d{9}', '666123456', false],
    ['detectSQLi', '', 'a sqli', true],
    ['detectXSS', '', 'a sqli', false],
    ['geoLookup', '', '192.0.2.1', false],
    ['unconditionalMatch', '', '', true],
    ['noMatch', '', '', false],
    ['rx', '^a.c$', 'a\nc', true],
  ] as const)('%s %j: %j is %s', (name, argument, value, matches) => {
    expect(compile(name, argument).test(value)).toBe(matches)
  })

  test('against the lines of a file', () => {
    const phrases = compile('pmFromFile', 'x.data', ['union select\r', 'sleep'])
    expect(phrases.test('1 UNION SELECT 2')).toBe(true)
    expect(phrases.test('union  select')).toBe(false)
    const ranges = compile('ipMatchFromFile', 'x.data', ['192.0.2.0/24 # office', '2001:db8::1'])
    expect(ranges.test('192.0.2.9')).toBe(true)
    expect(ranges.test('192.0.3.9')).toBe(false)
  })
})

describe('a match captures', () => {
  test.each([
    ['rx', '(a)(x)?(b)', 'ab', ['ab', 'a', undefined, 'b']],
    ['rx', '(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)(.)', 'abcdefghijk', ['abcdefghijk', ...'abcdefghi']],
    ['rxGlobal', '([a-z])([0-9])', 'a1b2', ['a1', 'a', '1', 'b2', 'b', '2']],
    ['rxGlobal', '[a-z]*', '0', ['']],
    ['pm', 'union sel', 'x SELECT', ['SEL']],
    ['detectSQLi', '', 'sqli', ['s&1']],
    ['detectXSS', '', 'xss', ['xss']],
    ['verifyCC', '\\d+', 'no 5484605089158216', ['5484605089158216']],
  ] as const)('%s %j in %j', (name, argument, value, captures) => {
    const operator = compile(name, argument)
    expect(operator.test(value)).toBe(true)
    expect(operator.captures?.(value)).toEqual(captures)
  })
})

describe('a rule is refused, with its place, for', () => {
  test.each([
    ['rx', '(a', /^rules\/own\.conf:14:12 {2}.*\(a/],
    ['verifyCC', '[', /^rules\/own\.conf:14:12 /],
    ['ipMatch', '10.0.0.0/33', /expected an IP range .*10\.0\.0\.0\/33/],
    ['validateByteRange', '0-256', /bytes from 0 to 255, found 0-256/],
    ['validateByteRange', '9-1', /bytes from 0 to 255, found 9-1/],
    ['inspectFile', '/bin/x', /@inspectFile runs a program/],
    ['rbl', 'x.example', /@rbl asks a name server/],
    ['fuzzyHash', '', /ssdeep/],
    ['validateSchema', 'x.xsd', /XML Schema/],
    ['nonsense', '', /no operator @nonsense/],
  ] as const)('@%s %s', (name, argument, message) => {
    expect(() => compile(name, argument)).toThrow(OperatorError)
    expect(() => compile(name, argument)).toThrow(message)
  })
})

test('names are known in any case, with the short forms of the manual', () => {
  expect(['rx', 'pmf', 'ipmatchf', 'detectsqli', 'verifysvnr'].every((name) => knownOperators.has(name))).toBe(true)
  expect(compile('PmF', '', ['a']).test('xA')).toBe(true)
})

test('a pattern is matched within the budget', () => {
  const operator = compileOperator(
    'rx',
    '(a|b)*c',
    undefined,
    place,
    injection,
    createBudget({ steps: 100, states: 10 }),
  )
  expect(operator.test('abc')).toBe(true)
  expect(() => operator.test('ab'.repeat(10_000))).toThrow('steps')
})

test('libinjection is asked once for a match and its fingerprint', () => {
  let asked = 0
  const counting: InjectionDetector = {
    ...injection,
    sqli(values) {
      asked++
      return injection.sqli(values)
    },
  }
  const operator = compileOperator('detectSQLi', '', undefined, place, counting)
  expect(operator.test('sqli')).toBe(true)
  expect(operator.captures?.('sqli')).toEqual(['s&1'])
  expect(asked).toBe(1)
})

describe('phrases', () => {
  const letters = fc.constantFrom('a', 'b', 'A', 'c', '\xe9', '\0')
  const words = fc.array(letters, { maxLength: 6 }).map((all) => all.join(''))

  test('are found as a search for each would find them', () => {
    fc.assert(
      fc.property(fc.array(words, { maxLength: 12 }), fc.array(words, { maxLength: 8 }), (phrases, parts) => {
        const text = parts.join('')
        const lower = (all: string) => all.replaceAll('A', 'a')
        const expected = phrases.filter((phrase) => phrase !== '').some((phrase) => lower(text).includes(lower(phrase)))
        const automaton = buildPhraseAutomaton(phrases)
        expect(hasPhrase(automaton, text)).toBe(expected)
        const found = findPhrase(automaton, text)
        expect(found !== undefined).toBe(expected)
        if (found === undefined) return
        expect(text).toContain(found)
        expect(phrases.map(lower)).toContain(lower(found))
      }),
      { numRuns: 5_000 },
    )
  })

  test('of any bytes are found in any text', () => {
    fc.assert(
      fc.property(byteStrings([], 20), byteStrings([], 10), byteStrings([], 20), (before, phrase, after) => {
        expect(hasPhrase(buildPhraseAutomaton([phrase, 'never here']), before + phrase + after)).toBe(phrase !== '')
      }),
    )
  })

  test('cost two steps a byte, whatever they and the text are', () => {
    // The states of a repeated letter each fail to the one before: a text that leaves the longest path goes back all of it, but once.
    const automaton = buildPhraseAutomaton([`${'a'.repeat(2_000)}b`, `${'a'.repeat(1_000)}c`])
    const timeOf = (text: string) => {
      const start = process.cpuUsage()
      hasPhrase(automaton, text)
      const { user, system } = process.cpuUsage(start)
      return user + system
    }
    timeOf('ad'.repeat(1_000))
    expect(timeOf(`${'a'.repeat(1_999)}d`.repeat(100))).toBeLessThan(timeOf('x'.repeat(200_000)) * 20 + 20_000)
  })
})

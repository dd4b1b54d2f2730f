import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { patternTrees, printPattern } from '../../../test/kit/patterns.ts'
import { PatternError } from './error.ts'
import { compilePattern } from './index.ts'
import { parsePattern } from './parse.ts'

const everyByte = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte))

/** The bytes that a pattern for one byte matches, all others out of the way. */
function bytesMatching(source: string): string {
  const pattern = compilePattern(`^(?:${source})$`)
  return everyByte.filter((byte) => pattern.test(byte)).join('')
}

function from(low: number, high: number): string {
  return everyByte.slice(low, high + 1).join('')
}

const spaces = '\t\n\v\f\r '

describe('a pattern for one byte', () => {
  test.each([
    ['a', 'a'],
    ['(?i)a', 'Aa'],
    ['(?i)\\x41', 'Aa'],
    ['(?i)[a-c]', 'ABCabc'],
    ['(?i)[^a]', everyByte.filter((byte) => byte !== 'a' && byte !== 'A').join('')],
    // Only ASCII has cases: these are no characters.
    ['(?i)\\xe0', '\xe0'],
    ['(?i)[\\xc0-\\xc1]', '\xc0\xc1'],
    ['.', everyByte.join('')],
    ['(?-s).', everyByte.filter((byte) => byte !== '\n').join('')],
    ['\\N', everyByte.filter((byte) => byte !== '\n').join('')],
    ['\\C', everyByte.join('')],
    ['\\d', '0123456789'],
    ['\\D', everyByte.filter((byte) => byte < '0' || byte > '9').join('')],
    ['\\w', `0123456789${from(0x41, 0x5a)}_${from(0x61, 0x7a)}`],
    ['\\W', everyByte.filter((byte) => !/\w/.test(byte)).join('')],
    ['\\s', spaces],
    ['\\S', everyByte.filter((byte) => !spaces.includes(byte)).join('')],
    ['\\h', '\t \xa0'],
    ['\\v', '\n\v\f\r\x85'],
    ['[\\H]', everyByte.filter((byte) => !'\t \xa0'.includes(byte)).join('')],
    ['[\\V]', everyByte.filter((byte) => !'\n\v\f\r\x85'.includes(byte)).join('')],
    ['\\R', '\n\v\f\r\x85'],
    ['[[:alpha:]]', from(0x41, 0x5a) + from(0x61, 0x7a)],
    ['[[:^alpha:]]', everyByte.filter((byte) => !/[A-Za-z]/.test(byte)).join('')],
    ['[[:xdigit:]]', '0123456789ABCDEFabcdef'],
    ['[[:punct:]]', from(0x21, 0x2f) + from(0x3a, 0x40) + from(0x5b, 0x60) + from(0x7b, 0x7e)],
    ['[[:space:]]', spaces],
    ['[[:word:]]', `0123456789${from(0x41, 0x5a)}_${from(0x61, 0x7a)}`],
    ['[[:alpha]', ':[ahlp'],
    ['[]a]', ']a'],
    ['[^]a]', everyByte.filter((byte) => byte !== ']' && byte !== 'a').join('')],
    ['[a-]', '-a'],
    ['[-a]', '-a'],
    ['[a\\-c]', '-ac'],
    ['[a-\\d]', '-0123456789a'],
    ['[\\d-a]', '-0123456789a'],
    ['[\\x41-\\x43]', 'ABC'],
    ['[\\x{7f}-\\x{ff}]', from(0x7f, 0xff)],
    ['[\\b]', '\b'],
    ['[\\Qa-c]\\E]', '-]ac'],
    ['[a^]', '^a'],
    ['[.]', '.'],
    ['\\x7', '\x07'],
    ['\\x', '\0'],
    ['\\x{e9}', '\xe9'],
    ['\\o{351}', '\xe9'],
    ['\\0', '\0'],
    ['\\012', '\n'],
    ['\\12', '\n'],
    ['[\\1]', '\x01'],
    ['\\a', '\x07'],
    ['\\e', '\x1b'],
    ['\\f', '\f'],
    ['\\t', '\t'],
    ['\\cA', '\x01'],
    ['\\ca', '\x01'],
    ['\\c[', '\x1b'],
    ['\\.', '.'],
    ['\\_', '_'],
    ['\\xe9', '\xe9'],
    ['\xe9', '\xe9'],
    ['\\Q.\\E', '.'],
    ['(?x) a # the letter\n', 'a'],
    ['(?x)[ a]', ' a'],
    ['(?xx)[ a]', 'a'],
    ['(?x)\\ ', ' '],
    ['a(?#letter)', 'a'],
    ['{', '{'],
    ['}', '}'],
    [']', ']'],
  ])('%s matches the bytes that PCRE says', (source, expected) => {
    expect(bytesMatching(source)).toBe([...expected].sort().join(''))
  })
})

describe('a longer pattern', () => {
  test.each([
    ['a{2}', 'xaax', 'aa'],
    ['a{2,}', 'aaaa', 'aaaa'],
    ['a{1,2}', 'aaaa', 'aa'],
    ['a{,2}', 'a{,2}', 'a{,2}'],
    ['a{x}', 'a{x}', 'a{x}'],
    ['x{2', 'x{2', 'x{2'],
    ['a+?', 'aaa', 'a'],
    ['(?U)a+', 'aaa', 'a'],
    ['(?U)a+?', 'aaa', 'aaa'],
    ['\\Qa.b\\E+', 'a.bbb', 'a.bbb'],
    ['\\Qa.b', 'a.b', 'a.b'],
    ['a\\Q\\E+', 'aaa', 'aaa'],
    ['a(?#x)+', 'aaa', 'aaa'],
    ['(?x) a  b +', 'abbb', 'abbb'],
    ['a(?i)b|c', 'C', 'C'],
    ['(a(?i)b)c', 'aBC', undefined],
    ['(?i:a)b', 'Ab', 'Ab'],
    ['(?i:a)b', 'AB', undefined],
    ['(?i)a(?-i)b', 'AB', undefined],
    ['(?i)a(?^)b.', 'Ab\n', undefined],
    ['a$', 'a\n', undefined],
    ['a\\z', 'a\n', undefined],
    ['a\\Z', 'a\n', 'a'],
    ['a\\Z', 'a\n\n', undefined],
    ['(?m)a$', 'a\nb', 'a'],
    ['(?m)^b', 'a\nb', 'b'],
    ['(?m)^', '', ''],
    ['\\n(?m:^)', 'a\n', undefined],
    ['^b', 'a\nb', undefined],
    ['\\bfoo\\b', 'a foo.', 'foo'],
    ['\\bfoo\\b', 'afoo', undefined],
    ['\\Boo\\B', 'foot', 'oo'],
    ['\\b', '', undefined],
    ['\\B', '', ''],
    ['\\R', 'a\r\nb', '\r\n'],
    ['\\R+x', '\r\n\nx', '\r\n\nx'],
    ['a++b', 'aaab', 'aaab'],
    ['[a-z]*+=', 'abc=', 'abc='],
    ['(?>ab)c', 'abc', 'abc'],
    ['(?>a|b)+c', 'abac', 'abac'],
    ['"[^"]*+"', '"x"', '"x"'],
    ['\\N{2}', 'ab', 'ab'],
    ['', 'x', ''],
    ['|a', 'a', ''],
    ['()', 'a', ''],
  ])('%s on %j finds %j', (source, text, expected) => {
    const pattern = compilePattern(source)
    expect(pattern.exec(text)?.[0]).toBe(expected)
    expect(pattern.test(text)).toBe(expected !== undefined)
  })

  test('groups count from the left, with names, without where they do not capture, anew in each branch of a reset', () => {
    expect(compilePattern('(a)(?:b)(?<n>c)(?P<m>d)').exec('abcd')).toEqual(['abcd', 'a', 'c', 'd'])
    expect(compilePattern("(?'q'a)(?n)(b)").exec('ab')).toEqual(['ab', 'a'])
    expect(compilePattern('(?|(a)x|(b)(c)|d)(e)').exec('bce')).toEqual(['bce', 'b', 'c', 'e'])
    expect(compilePattern('(?|(a)x|(b)(c)|d)(e)').exec('axe')).toEqual(['axe', 'a', undefined, 'e'])
    expect([...parsePattern('(?<n>c)(?P<m>d)').names]).toEqual([
      ['n', 1],
      ['m', 2],
    ])
  })

  test('ignores case from outside too', () => {
    expect(compilePattern('^[a]b$', { ignoreCase: true }).test('AB')).toBe(true)
    expect(compilePattern('^a(?-i)b$', { ignoreCase: true }).test('AB')).toBe(false)
  })
})

describe('what is no regular expression, or none at all', () => {
  test.each([
    ['a(?=b)', 1, 'look-ahead'],
    ['a(?!b)', 1, 'look-ahead'],
    ['(?<=b)a', 0, 'look-behind'],
    ['(?<!b)a', 0, 'look-behind'],
    ['(a)\\1', 3, 'a back-reference'],
    ['(a)\\g{1}', 3, 'a back-reference'],
    ['(?<n>a)\\k<n>', 7, 'a back-reference'],
    ['(?P<n>a)(?P=n)', 8, 'a back-reference'],
    ['a(?R)', 1, 'recursion'],
    ['(a)(?1)', 3, 'recursion'],
    ['(a)(?-1)', 3, 'recursion'],
    ['(?<n>a)(?&n)', 7, 'recursion'],
    ['(?(1)a|b)', 0, 'a conditional group'],
    ['(?C1)a', 0, 'a callout'],
    ['(*UTF8)a', 0, 'a verb'],
    ['a\\Kb', 1, '\\K'],
    ['\\Ga', 0, '\\G'],
    ['\\X', 0, '\\X'],
    ['\\p{L}', 0, 'a Unicode property'],
    ['[\\pL]', 1, 'a Unicode property'],
    ['\\N{U+41}', 0, 'a named or Unicode character'],
    ['\\x{100}', 0, 'a code point above FF'],
    ['\\o{400}', 0, 'a code point above FF'],
    ['[\\400]', 1, 'an octal number above 377'],
    ['a\u0100', 1, 'a character that is no byte'],
    ['a*+a', 0, 'a possessive quantifier that changes what can match'],
    ['x(?>a|ab)c', 1, 'an atomic group that changes what can match'],
    ['(?>a*)b|(?>a*)a', 8, 'an atomic group that changes what can match'],
    ['(?:[a-z]++=?)*x', 3, 'a possessive quantifier that changes what can match'],
    ['a++\\b', 0, 'a possessive quantifier that changes what can match'],
    ['\\R\\n', 0, '\\R that changes what can match'],
    ['\\R{2}', 0, '\\R that changes what can match'],
    ['a(b', 1, 'a parenthesis that is not closed'],
    ['a)b', 1, 'unmatched closing parenthesis'],
    ['a[b', 1, 'a class that is not closed'],
    ['[]', 0, 'a class that is not closed'],
    ['[z-a]', 1, 'a range whose ends are in the wrong order'],
    ['[[:alpa:]]', 1, 'an unknown POSIX class'],
    ['[[.a.]]', 1, 'a collating element'],
    ['a{3,2}', 1, 'a repeat whose least is above its most'],
    ['a{65536}', 1, 'a repeat above 65,535'],
    ['(?:a{1000}){1000}', 0, 'counted repeats that unfold to more than 100,000 places'],
    ['*a', 0, 'a quantifier with nothing to repeat'],
    ['a|+', 2, 'a quantifier with nothing to repeat'],
    ['a**', 2, 'a quantifier with nothing to repeat'],
    ['(?i)+', 4, 'a quantifier with nothing to repeat'],
    ['{2}', 0, 'a quantifier with nothing to repeat'],
    ['a\\', 1, 'a backslash at the end'],
    ['[\\', 1, 'a backslash at the end'],
    ['\\y', 0, 'an unknown escape \\y'],
    ['\\o7', 0, 'expected { after \\o'],
    ['\\x{4g}', 0, 'expected digits in braces'],
    ['\\x{}', 0, 'expected digits in braces'],
    ['\\c\x01', 0, 'expected a printable ASCII character after \\c'],
    ['(?<1a>b)', 3, 'expected the name of a group'],
    ['(?<a>b)(?<a>c)', 10, 'a second group of the same name'],
    ['(?i', 0, 'an unknown kind of group'],
    ['(?Q)', 0, 'an unknown kind of group'],
    ['(?#a', 0, 'a comment without an end'],
    ['('.repeat(300), 250, 'parentheses nested more than 250 deep'],
    ['(?|'.repeat(300), 750, 'parentheses nested more than 250 deep'],
    ['a'.repeat(65_537), 0, 'a pattern of more than 65,536 bytes'],
  ])('%s is refused at %i: %s', (source, offset, reason) => {
    let error: unknown
    try {
      compilePattern(source)
    } catch (caught) {
      error = caught
    }
    expect(error).toBeInstanceOf(PatternError)
    expect(error).toMatchObject({ offset, pattern: source })
    expect((error as PatternError).reason).toContain(reason)
    expect((error as PatternError).message.length).toBeLessThan(250)
  })

  test('any text is read or refused, and nothing else happens', () => {
    const pieces = fc.constantFrom(
      '(',
      ')',
      '[',
      ']',
      '{',
      '}',
      '\\',
      '?',
      '*',
      '+',
      '|',
      '^',
      '$',
      'a',
      '1',
      '-',
      ':',
      '<',
      'x',
      'Q',
      'E',
      '#',
      '>',
      ',',
      ' ',
      '=',
      'i',
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (list) => {
        try {
          const pattern = compilePattern(list.join(''))
          pattern.test('a1-\n')
          pattern.exec('a1-\n')
        } catch (error) {
          expect(error).toBeInstanceOf(PatternError)
        }
      }),
      { numRuns: 3_000 },
    )
  })
})

test('a tree that is written as a pattern is read as the same language', () => {
  fc.assert(
    fc.property(patternTrees(), (tree) => {
      // Printing settles: the tree that is read prints as the tree that was written, but for parentheses without need.
      const once = printPattern(parsePattern(printPattern(tree)).node)
      expect(printPattern(parsePattern(once).node)).toBe(once)
    }),
  )
})

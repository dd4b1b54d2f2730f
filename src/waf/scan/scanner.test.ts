import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteStrings } from '../../../test/kit/byte-strings.ts'
import { compilePattern } from '../regex/index.ts'
import { transformations } from '../transform/index.ts'
import { alphabetOf, alphabets, classesOf } from './classes.ts'
import { byteLanguage, patternLanguage, phraseLanguage } from './language.ts'
import { buildLiteralAutomaton } from './literal-automaton.ts'
import { Scanner } from './scanner.ts'

/** Patterns of the kinds that rules are made of: words, evasions, anchors, counted repeats, alternatives, classes. */
const patterns = [
  '(?i)union[\\s\\x0b]+(?:all[\\s\\x0b]+)?select',
  '(?i)(?:s[\\\\\'"]*e[\\\\\'"]*l[\\\\\'"]*e[\\\\\'"]*c[\\\\\'"]*t)\\b',
  '^(?:[a-z]{2,4}|\\d+)=',
  '(?:\\.\\./){2,}',
  '<[^>]*script',
  '(?i)\\b(?:or|and)\\b[^a-z]+[\'"]?\\d',
  '[\\x00\\x80-\\xff]',
  '\\$\\{(?:jndi|env):',
  'a?b?c?$',
  '(?:x|y)z{3}',
  '%[0-9a-f]{2}',
  '[^\\w.]',
]
const tokens = [
  'union',
  ' ',
  'select',
  "'",
  'sel\\ect',
  '../',
  '<script',
  'or',
  ' 1',
  '\x00',
  '\xc3\xa9',
  '${jndi:',
  'xzzz',
  '%2e',
  'a=',
  '.',
  'ABC',
  '&lt;',
  '\\u0041',
  '\t',
]

describe('the scanner', () => {
  const names = [
    [],
    ['urldecodeuni'],
    ['lowercase'],
    ['urldecodeuni', 'htmlentitydecode', 'lowercase'],
    ['removenulls'],
    ['base64decode'],
    ['cmdline'],
    ['sha1'],
    ['length'],
  ]
  const tests = patterns.flatMap((source) =>
    names.flatMap((pipeline) =>
      [false, true].map((multiMatch) => {
        const pattern = compilePattern(source)
        return {
          pattern,
          pipeline: pipeline.map((name) => transformations.get(name)!),
          multiMatch,
          language: patternLanguage(pattern.ast),
        }
      }),
    ),
  )
  const scanner = new Scanner(
    tests.map(({ pattern, language, pipeline, multiMatch }) => ({
      language,
      operator: pattern,
      transformations: pipeline,
      multiMatch,
    })),
  )
  const profile = scanner.profile(tests.map((_, index) => index))
  const found = () => new Set(scanner.found.subarray(0, scanner.count))

  function expectNoneMissed(value: string): void {
    const told = found()
    tests.forEach(({ pattern, pipeline, multiMatch }, index) => {
      let text = value
      let matches = multiMatch && pattern.test(text)
      for (const transformation of pipeline) {
        text = transformation.apply(text)
        matches ||= multiMatch && pattern.test(text)
      }
      if (matches || pattern.test(text)) expect(told, `${pattern.source} on ${JSON.stringify(value)}`).toContain(index)
    })
  }

  test('leaves out no test that matches', () => {
    fc.assert(
      fc.property(byteStrings(tokens), (value) => {
        scanner.novelLeft = 1_000
        scanner.scan(profile, value)
        expectNoneMissed(value)
      }),
      { numRuns: Number(process.env.FUZZ_RUNS ?? 1_500) },
    )
  })

  test('leaves out none either where it may not work out class sets that it has not met', () => {
    fc.assert(
      fc.property(byteStrings(tokens), (value) => {
        scanner.novelLeft = 0
        scanner.scan(profile, value)
        expectNoneMissed(value)
      }),
      { numRuns: 500 },
    )
  })

  test('reads on behind a beginning as if it had read the whole', () => {
    fc.assert(
      fc.property(byteStrings(tokens), byteStrings(tokens), (head, rest) => {
        scanner.novelLeft = 1_000
        scanner.scan(profile, head + rest)
        const whole = found()
        scanner.scanOn(profile, scanner.begin(head), rest, { value: head + rest })
        expect(found()).toEqual(whole)
      }),
      { numRuns: 500 },
    )
  })

  test('proves most tests idle on what ordinary values are made of', () => {
    scanner.novelLeft = 1_000
    scanner.scan(
      scanner.profile(
        tests.flatMap(({ pattern, pipeline }, index) =>
          pipeline.length === 0 && pattern.source !== 'a?b?c?$' ? [index] : [],
        ),
      ),
      '0193a2e477c1',
    )
    expect(scanner.count).toBe(0)
  })
})

describe('a language', () => {
  test('names a literal that each match holds, for every alphabet', () => {
    fc.assert(
      fc.property(fc.constantFrom(...patterns), byteStrings(tokens), (source, value) => {
        const pattern = compilePattern(source)
        if (!pattern.test(value)) return
        const language = patternLanguage(pattern.ast)
        for (const classes of [classesOf(value), ...alphabets.slice(alphabetOf(classesOf(value)))]) {
          expect(language.possible(classes)).toBe(true)
          const literals = language.literals(classes)
          if (literals !== undefined)
            expect(literals.some((literal) => value.toLowerCase().includes(literal))).toBe(true)
        }
      }),
      { numRuns: 3_000 },
    )
  })

  test.each([
    ['(?i)union[\\s]+select', 'plain words', false],
    ['(?i)union[\\s]+select', 'plain words and spaces', true],
    ['<[^>]*script', "it's 3 > 2", false],
    ['^$', '', true],
  ])('%s is possible over the classes of %j: %s', (source, value, possible) => {
    const { ast } = compilePattern(source)
    const need = source.startsWith('(?i)') ? classesOf(value) & ~(possible ? 0 : classesOf(' ')) : classesOf(value)
    expect(patternLanguage(ast).possible(need)).toBe(possible)
  })

  test('of phrases needs all classes of one of them', () => {
    const language = phraseLanguage(['/etc/passwd', 'boot.ini'])
    expect(language.possible(classesOf('abc.'))).toBe(true)
    expect(language.possible(classesOf('abc'))).toBe(false)
  })

  test('of bytes needs one of their classes', () => {
    const flags = new Uint8Array(256)
    flags[0] = 1
    expect(byteLanguage(flags).possible(classesOf('abc'))).toBe(false)
    expect(byteLanguage(flags).possible(classesOf('a\x00'))).toBe(true)
  })
})

describe('the literal automaton', () => {
  test('finds the literals that a text holds, and no others', () => {
    const literal = fc.string({ unit: fc.constantFrom('a', 'b', 'c', '/', '\xff'), minLength: 1, maxLength: 4 })
    const text = fc.string({ unit: fc.constantFrom('a', 'B', 'c', '/', '\xff', 'x'), maxLength: 30 })
    fc.assert(
      fc.property(fc.uniqueArray(literal, { minLength: 1, maxLength: 12 }), text, (literals, value) => {
        const { next, symbols, shift, firstFinal, ends } = buildLiteralAutomaton(literals)
        const found = new Set<number>()
        let state = 0
        for (let i = 0; i < value.length; i++) {
          state = next[(state << shift) | symbols[value.charCodeAt(i)]!]!
          if (state >= firstFinal) for (const literal of ends[state - firstFinal]!) found.add(literal)
        }
        const expected = literals.flatMap((one, index) => (value.toLowerCase().includes(one) ? [index] : []))
        expect([...found].sort((a, b) => a - b)).toEqual(expected)
      }),
    )
  })
})

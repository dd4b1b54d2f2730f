import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { compilePattern, type Pattern, patternStepsMax } from './patterns.ts'

const fresh = () => ({ left: patternStepsMax })

function runMs(pattern: Pattern, value: string): number {
  const start = performance.now()
  pattern.test(value, fresh())
  return performance.now() - start
}

describe('patterns of documents', () => {
  test.each([
    '^[a-z0-9]+(?:-[a-z0-9]+)*$',
    '^\\d{4}-\\d{2}-\\d{2}$',
    '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}$',
    '^[^\\s@]+@[^\\s@]+$',
    '^.{1,5000}$',
    '^\\+[1-9]\\d{1,14}$',
  ])('%s is linear as it stands', (source) => {
    expect(compilePattern(source).kind).toBe('linear')
  })

  test.each(['^(?:GET|POST|PUT)$', '^#(?:[0-9a-fA-F]{3}){1,2}$', 'needle'])(
    '%s is decided natively at every length, because its work is bounded',
    (source) => {
      expect(compilePattern(source).test('P'.repeat(1_000_000), fresh())).toBe(false)
    },
  )

  test.each([
    '(a*)*b',
    '^(a+)+$',
    '^(a|a)*$',
    '^(a?)*b$',
    '^((a*|b*)c)*$',
    '^((a?)?b)*$',
    '^(a?){40}b$',
    '^a*a*b$',
    '[a-z]+x',
    '^(.*)(.*)z$',
    '^(?=a+)a+$',
    '^(\\w+\\s?)*$',
  ])('%s is guarded', (source) => {
    expect(compilePattern(source).kind).toBe('guarded')
  })

  // Each with the letters that make it explode, and an end that makes it fail.
  test.each([
    ['^(a+)+$', 'a', '!'],
    ['^(a|a)*$', 'a', '!'],
    ['^(a|aa)+$', 'a', '!'],
    ['(a*)*b', 'a', ''],
    ['(x+x+)+y', 'x', ''],
    ['^(\\w+\\s?)*$', 'a ', '!'],
    [
      '^([a-zA-Z0-9])(([\\-.]|[_]+)?([a-zA-Z0-9]+))*(@){1}[a-z0-9]+[.]{1}(([a-z]{2,3})|([a-z]{2,3}[.]{1}[a-z]{2,3}))$',
      'a',
      '',
    ],
    ['[a-z]+x', 'a', ''],
    ['\\s+$', ' ', 'x'],
    ['^.*.*.*=.*$', 'a', ''],
    ['^(?:a?){100}a{100}$', 'a', '!'],
    ['(?:a|[bc])*a(?:a|[bc]){500}[de]', 'abc', ''],
    ['^(?=.*[A-Z])(?=.*\\d)(?:a+)+$', 'a', '!'],
    ['^(a+)+\\1$', 'a', '!'],
    ['(?<=(a+)+)b', 'a', ''],
    ['^(?i:(a+)+)$', 'a', '!'],
    ['^(\\p{L}+)+$', 'a', '!'],
  ])(
    '%s holds the event loop for less than 50 ms on 1 MB, and on every shorter value',
    (source, letter, end) => {
      const pattern = compilePattern(source)
      for (const length of [10, 20, 30, 50, 100, 1_000, 10_000, 100_000, 1_000_000]) {
        const value = letter.repeat(Math.ceil(length / letter.length)) + end
        // Two runs: what is bounded is the work, not a pause of this machine.
        expect(Math.min(runMs(pattern, value), runMs(pattern, value), runMs(pattern, value))).toBeLessThan(50)
      }
    },
    60_000,
  )

  test('many short values together stay within the budget of one message', () => {
    const pattern = compilePattern('^(?=.*[A-Z])(?=.*\\d)(?:\\w+)+$')
    const budget = fresh()
    const start = performance.now()
    for (let i = 0; i < 50_000; i++) pattern.test('aaaaaaaaaaaaaaaaaaa!', budget)
    expect(performance.now() - start).toBeLessThan(200)
  })

  test('a value too long for look-around is undecided, not accepted', () => {
    const pattern = compilePattern('^(?=(a+)+$)a*$')
    expect(pattern.test('a'.repeat(5), fresh())).toBe(true)
    expect(pattern.test('a'.repeat(100_000), fresh())).toBeUndefined()
  })

  test('a spent budget is undecided', () => {
    expect(compilePattern('a.*b').test('a-b', { left: 0 })).toBeUndefined()
  })

  test.each([
    ['^\\S+$', '\u00a0', false],
    ['^\\s$', '\ufeff', true],
    ['^.$', '\u2028', false],
    ['^.$', '😀', true],
    ['^\\p{L}+$', 'Ünï', true],
    ['^\\p{Letter}+$', 'Ünï', true],
    ['^[\\p{Lu}_]+$', 'AÜ_', true],
    ['^[^\\p{Lu}_]+$', 'aü', true],
    ['[]', 'a', false],
    ['^[^]$', '\n', true],
    ['^a\\-b$', 'a-b', true],
    ['^\\u{1F600}$', '😀', true],
    ['^\\uD83D\\uDE00$', '😀', true],
    ['^{a}$', '{a}', true],
    ['^[\\w-.]+$', 'a-.', true],
    ['x$', 'x\n', false],
  ])('%s on %j says %s, as ECMA-262 has it', (source, value, expected) => {
    expect(compilePattern(source).test(value, fresh())).toBe(expected)
    // The same through RE2, which takes over for long values.
    const long = compilePattern(`(?:${source.startsWith('^') ? '' : '.*'}${source})|^(?:q+q+)+!`)
    expect(long.test(value, fresh())).toBe(new RegExp(long.source, flagsFor(long.source)).test(value))
  })

  test('throws on what is no pattern', () => {
    expect(() => compilePattern('(')).toThrow(SyntaxError)
  })

  const atom = fc.constantFrom('a', 'b', '[ab]', '[^a]', '.', '\\w', '\\d', 'ab', '-')
  const generated = fc.letrec<{ expression: string }>((tie) => ({
    expression: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      atom,
      fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `${a}${b}`),
      fc.tuple(tie('expression'), tie('expression')).map(([a, b]) => `(?:${a}|${b})`),
      fc
        .tuple(tie('expression'), fc.constantFrom('*', '+', '?', '{2,3}', '{0,9}', '{5}', '*?', '+?'))
        .map(([a, q]) => `(?:${a})${q}`),
    ),
  })).expression
  const framed = fc
    .tuple(generated, fc.boolean(), fc.boolean())
    .map(([source, head, tail]) => `${head ? '^' : ''}${source}${tail ? '$' : ''}`)

  test('whatever the pattern and the value, the answer is that of RegExp or none', () => {
    fc.assert(
      fc.property(framed, fc.string({ unit: fc.constantFrom('a', 'b', '-', '1'), maxLength: 12 }), (source, value) => {
        const said = compilePattern(source).test(value, fresh())
        if (said !== undefined) expect(said).toBe(new RegExp(source, 'u').test(value))
      }),
      { numRuns: 3000 },
    )
  })

  test('RE2 gives the same answers as RegExp', () => {
    fc.assert(
      fc.property(framed, fc.string({ unit: fc.constantFrom('a', 'b', '-', '1'), maxLength: 10 }), (source, value) => {
        // The branch that never matches makes the native bound infinite, so RE2 decides.
        const forced = `(?:${source})|(?:(?:q+q*)+q*)+!`
        const said = compilePattern(forced).test(value, fresh())
        if (said !== undefined) expect(said).toBe(new RegExp(source, 'u').test(value))
      }),
      { numRuns: 1500 },
    )
  })

  test('no generated pattern holds the event loop on a long value of its own letters', () => {
    fc.assert(
      fc.property(framed, fc.constantFrom('a', 'ab', 'b', '1', '-'), (source, letters) => {
        const pattern = compilePattern(source)
        for (const length of [30, 3_000, 200_000]) {
          const value = `${letters.repeat(Math.ceil(length / letters.length))}!`
          let best = runMs(pattern, value)
          if (best >= 50) best = Math.min(runMs(pattern, value), runMs(pattern, value))
          expect(best).toBeLessThan(50)
        }
      }),
      { numRuns: 150 },
    )
  }, 60_000)
})

function flagsFor(source: string): string {
  try {
    new RegExp(source, 'u')
    return 'u'
  } catch {
    return ''
  }
}

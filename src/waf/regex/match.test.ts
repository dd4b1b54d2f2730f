import fc from 'fast-check'
import { RE2JS } from 're2js'
import { describe, expect, test } from 'vitest'
import {
  backtrack,
  crsPatterns,
  generator,
  loopsOverNothing,
  patternTrees,
  printPattern,
  shortTexts,
  textsNear,
  writeMatch,
} from '../../../test/kit/patterns.ts'
import type { Node } from './ast.ts'
import { groupPatterns } from './group.ts'
import { BudgetExceeded, compilePattern, createBudget, createCacheMemory, type Pattern } from './index.ts'
import { compileSet } from './set.ts'

/** A tree with its pattern, and texts of which many nearly match. */
function cases(
  options: Parameters<typeof patternTrees>[0] = {},
): fc.Arbitrary<{ tree: Node; source: string; texts: string[] }> {
  return patternTrees(options).chain((tree) =>
    fc
      .array(fc.oneof(shortTexts, textsNear(tree)), { minLength: 1, maxLength: 6 })
      .map((texts) => ({ tree, source: printPattern(tree), texts })),
  )
}

function found(pattern: Pattern, text: string): (string | undefined)[] | undefined {
  const groups = pattern.exec(text)
  return groups === undefined ? undefined : [...groups]
}

function textsOf(slots: number[], text: string, groupCount: number): (string | undefined)[] {
  return Array.from({ length: groupCount + 1 }, (_, i) =>
    slots[i * 2] === undefined ? undefined : text.slice(slots[i * 2], slots[i * 2 + 1]),
  )
}

describe('a pattern', () => {
  test('finds what backtracking finds first, its groups too', () => {
    fc.assert(
      fc.property(cases(), ({ tree, source, texts }) => {
        const pattern = compilePattern(source)
        for (const text of texts) {
          const expected = backtrack(tree, text)
          if (expected === 'too long') continue
          expect(pattern.test(text)).toBe(expected !== undefined)
          expect(found(pattern, text)).toEqual(expected && textsOf(expected, text, pattern.captureCount))
        }
      }),
      { numRuns: 4_000 },
    )
  })

  test('finds what V8 finds', () => {
    fc.assert(
      fc.property(cases({ places: 'simple' }), ({ tree, source, texts }) => {
        const pattern = compilePattern(source)
        const judge = new RegExp(printPattern(tree, 'javascript'), 's')
        for (const text of texts) {
          // V8 would take as long.
          if (backtrack(tree, text) === 'too long') continue
          const expected = judge.exec(text)
          expect(pattern.test(text)).toBe(expected !== null)
          // ECMAScript undoes an iteration of nothing, and forgets groups between iterations.
          if (!loopsOverNothing(tree)) expect(pattern.exec(text)?.[0]).toBe(expected?.[0])
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('finds what RE2 finds, its groups too', () => {
    fc.assert(
      fc.property(cases({ places: 'simple' }), ({ tree, source, texts }) => {
        const pattern = compilePattern(source)
        const judge = RE2JS.compile(source, RE2JS.DOTALL)
        for (const text of texts) {
          const matcher = judge.matcher(text)
          const hit = matcher.find()
          expect(pattern.test(text)).toBe(hit)
          if (!hit || loopsOverNothing(tree)) continue
          const expected = Array.from({ length: matcher.groupCount() + 1 }, (_, i) => matcher.group(i) ?? undefined)
          expect(found(pattern, text)).toEqual(expected)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('finds matches from a place on, with the text before it in sight', () => {
    fc.assert(
      fc.property(cases(), fc.nat(5), ({ tree, source, texts }, skip) => {
        const pattern = compilePattern(source)
        for (const text of texts) {
          const from = Math.min(skip, text.length)
          const expected = backtrack(tree, text, 20_000, from)
          if (expected === 'too long') continue
          expect(pattern.find(text, from)).toEqual(expected && { start: expected[0], end: expected[1] })
          expect(pattern.exec(text, undefined, from)?.[0]).toBe(expected && text.slice(expected[0], expected[1]))
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('answers the same on texts of more bytes than it reads one by one', () => {
    fc.assert(
      fc.property(
        cases({ places: 'simple' }),
        fc.constantFrom('-', 'z', '\n', 'a '),
        ({ tree, source, texts }, filler) => {
          const pattern = compilePattern(source)
          const judge = new RegExp(printPattern(tree, 'javascript'), 's')
          for (const text of texts) {
            const long = filler.repeat(90) + text + filler.repeat(10)
            // Patterns that backtrack for long are another test's matter.
            if (backtrack(tree, long, 5_000) === 'too long') continue
            expect(pattern.test(long)).toBe(judge.test(long))
          }
        },
      ),
      { numRuns: 500 },
    )
  })
})

describe('vectors', () => {
  test.each<[string, string, (string | undefined)[] | undefined]>([
    ['(a*)+', 'aa', ['aa', '']],
    ['(|a)+', 'aa', ['', '']],
    ['(|a)*', 'aa', ['', '']],
    ['(a|ab)(c|bcd)(d*)', 'abcd', ['abcd', 'a', 'bcd', '']],
    ['(?:(a)|(b))*', 'ab', ['ab', 'a', 'b']],
    ['(?:(a)|b)*', 'ab', ['ab', 'a']],
    ['(a+?)(a*)', 'aaa', ['aaa', 'a', 'aa']],
    ['(?:ab)*c', 'ababc', ['ababc']],
    ['x*(?:ab)*c', 'xababc', ['xababc']],
    ['(?:a|(|b)){2}c', 'bc', ['bc', 'b']],
    ['(\\w+)\\s*=\\s*(?:"([^"]*)"|(\\d+))', 'size = 42', ['size = 42', 'size', undefined, '42']],
    ['a.*b|a', 'xaxx', ['a']],
    ['b|ab', 'cab', ['ab']],
  ])('%s on %j finds %j', (source, text, expected) => {
    expect(found(compilePattern(source), text)).toEqual(expected)
  })
})

describe('memory', () => {
  test('is bounded, and what is dropped for it changes no answer', () => {
    fc.assert(
      fc.property(
        fc.array(cases(), { minLength: 2, maxLength: 4 }),
        fc.constantFrom(0, 500, 3_000),
        (list, bytesMax) => {
          const memory = createCacheMemory({ bytesMax })
          const tight = list.map(({ source }) => compilePattern(source, { memory }))
          const texts = list.flatMap((one) => one.texts)
          for (const text of texts) {
            tight.forEach((pattern, i) => {
              const free = compilePattern(list[i]!.source)
              expect(pattern.test(text)).toBe(free.test(text))
              expect(pattern.exec(text)).toEqual(free.exec(text))
            })
          }
        },
      ),
      { numRuns: 300 },
    )
  })

  test('of many patterns together stays below the bound, but for the one in use', () => {
    const bytesMax = 200_000
    const memory = createCacheMemory({ bytesMax })
    const patterns = Array.from({ length: 60 }, (_, i) => compilePattern(`a[^${i % 7}]{1,40}b${i}`, { memory }))
    const random = generator(5)
    let most = 0
    for (let round = 0; round < 6; round++) {
      for (const pattern of patterns) {
        const text = Array.from({ length: 300 }, () => 'abx0123456789'[random(13)]!).join('')
        pattern.test(text)
        most = Math.max(most, memory.bytes)
      }
    }
    expect(most).toBeGreaterThan(bytesMax / 2)
    expect(most).toBeLessThan(bytesMax * 1.5)
  })

  test('is given back by what is dropped, to the last byte', () => {
    const memory = createCacheMemory({ bytesMax: 1_000_000 })
    for (let i = 0; i < 5; i++) compilePattern(`\\b(?:x|y{${i},9})z`, { memory }).test('xyzzy yyz')
    expect(memory.bytes).toBeGreaterThan(0)
    for (const holder of [...memory.holders]) holder.drop()
    expect(memory.bytes).toBe(0)
    expect(memory.holders.size).toBe(0)
  })
})

describe('a budget', () => {
  test('without states changes no answer', () => {
    fc.assert(
      fc.property(cases(), fc.nat(6), ({ source, texts }, states) => {
        const memory = createCacheMemory({ bytesMax: 10_000_000 })
        const poor = compilePattern(source, { memory })
        const free = compilePattern(source)
        for (const text of texts) {
          const long = text.repeat(3)
          const budget = createBudget({ steps: 1e9, states })
          expect(poor.test(long, budget)).toBe(free.test(long))
          expect(poor.exec(long, createBudget({ steps: 1e9, states }))).toEqual(free.exec(long))
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test('of steps is spent byte by byte, by every call, and then refused', () => {
    const pattern = compilePattern('needle')
    const text = 'hay '.repeat(1_000)
    const budget = createBudget({ steps: 10_000, states: 1_000 })
    pattern.test(text, budget)
    const first = budget.stepsMax - budget.stepsLeft
    expect(first).toBeGreaterThanOrEqual(text.length)
    expect(first).toBeLessThan(text.length * 1.2)
    pattern.test(text, budget)
    expect(() => pattern.test(text, budget)).toThrow(BudgetExceeded)
    expect(() => pattern.exec(text, budget)).toThrow(BudgetExceeded)
  })

  test('stops a search in the middle where each byte costs much', () => {
    const pattern = compilePattern('(?:a|b|[^x]{1,60}y|.{50}z){3}!')
    const text = 'ab'.repeat(50_000)
    const budget = createBudget({ steps: 200_000, states: 0 })
    expect(() => pattern.test(text, budget)).toThrow(BudgetExceeded)
    // Some work is done before it is counted, but no multiple of the budget.
    expect(budget.stepsLeft).toBeGreaterThan(-100_000)
  })
})

describe('grouping', () => {
  test('puts every pattern into one group, apart where their states multiply', () => {
    // Each of the first kind stays under way from its letter on: every combination of them is another state.
    const sticky = [...'abcdefgh'].map((letter) => `${letter}[^\\n]*;${letter}`)
    const local = ['foo', 'bar', 'quux', 'xyz', 'zork', '\\bgrue\\b']
    const patterns = [...sticky, ...local].map((source) => compilePattern(source))
    const random = generator(3)
    const lines = Array.from({ length: 400 }, () =>
      Array.from({ length: 20 }, () => 'abcdefgh   xyzufor'[random(18)]!).join(''),
    )
    const groups = groupPatterns(patterns, lines.join('\n'))
    expect(groups.flat().sort((a, b) => a - b)).toEqual(patterns.map((_, i) => i))
    expect(groups.length).toBeLessThan(6)
    expect(Math.max(...groups.map((group) => group.filter((index) => index < sticky.length).length))).toBeLessThan(6)
  })
})

describe('a set of patterns', () => {
  test('finds those that each finds alone', () => {
    fc.assert(
      fc.property(
        fc.array(cases(), { minLength: 1, maxLength: 8 }),
        fc.constantFrom(0, 2_000, 1_000_000),
        fc.constantFrom(0, 3, 1_000),
        (list, bytesMax, states) => {
          const patterns = list.map(({ source }) => compilePattern(source))
          const set = compileSet(patterns, { memory: createCacheMemory({ bytesMax }) })
          for (const text of list.flatMap(({ texts }) => texts).flatMap((text) => [text, text.repeat(12)])) {
            const into = new Uint8Array(patterns.length)
            set.matches(text, into, createBudget({ steps: 1e9, states }))
            expect([...into]).toEqual(patterns.map((pattern) => (pattern.test(text) ? 1 : 0)))
          }
        },
      ),
      { numRuns: 1_000 },
    )
  })

  test('reads no more once all are found', () => {
    const set = compileSet(['a', 'b', '^c'].map((source) => compilePattern(source)))
    const budget = createBudget({ steps: 1e9, states: 1_000 })
    const into = new Uint8Array(3)
    set.matches(`cab${'-'.repeat(100_000)}`, into, budget)
    expect([...into]).toEqual([1, 1, 1])
    expect(budget.stepsMax - budget.stepsLeft).toBeLessThan(500)
  })

  test('reads no more once none can be found', () => {
    const set = compileSet(['^a+b', '^c'].map((source) => compilePattern(source)))
    const budget = createBudget({ steps: 1e9, states: 1_000 })
    const into = new Uint8Array(2)
    set.matches(`aax${'-'.repeat(100_000)}`, into, budget)
    expect([...into]).toEqual([0, 0])
    expect(budget.stepsMax - budget.stepsLeft).toBeLessThan(500)
  })
})

const crs = crsPatterns()

describe.skipIf(crs === undefined)(
  'the patterns of the Core Rule Set (skipped where ../shared/crs is not there)',
  () => {
    const patterns = (crs ?? []).map(({ id, source }) => ({ id, source, pattern: compilePattern(source) }))

    test('are compiled, all of them', () => {
      expect(patterns.length).toBeGreaterThan(280)
    })

    test('find what V8 finds in texts that nearly match them', () => {
      const random = generator(20_240_417)
      let hits = 0
      for (const { pattern } of patterns) {
        const judge = new RegExp(printPattern(pattern.ast, 'javascript'), 's')
        for (let i = 0; i < 60; i++) {
          // Short: V8 needs seconds for some of these patterns on 300 bytes.
          let text = writeMatch(pattern.ast, random).slice(0, 60)
          if (i % 3 > 0) {
            const at = random(text.length + 1)
            const other = writeMatch(patterns[random(patterns.length)]!.pattern.ast, random).slice(0, random(6))
            text = text.slice(0, at) + other + text.slice(at + random(3))
          }
          const expected = judge.exec(text)
          if (expected !== null) hits++
          expect(pattern.test(text)).toBe(expected !== null)
          expect(pattern.exec(text)?.[0]).toBe(expected?.[0])
        }
      }
      // Otherwise nothing was shown.
      expect(hits).toBeGreaterThan(patterns.length * 10)
    })

    test('find in one pass what each finds alone', () => {
      const random = generator(7)
      for (let round = 0; round < 12; round++) {
        const some = Array.from({ length: 25 }, () => patterns[random(patterns.length)]!.pattern)
        const set = compileSet(some)
        for (let i = 0; i < 20; i++) {
          const text = Array.from({ length: 4 }, () => writeMatch(some[random(25)]!.ast, random).slice(0, 50)).join(' ')
          const into = new Uint8Array(25)
          set.matches(text, into)
          expect([...into]).toEqual(some.map((pattern) => (pattern.test(text) ? 1 : 0)))
        }
      }
    })

    // Measured on V8: most of these take seconds at 2 KB. Steps, not time, so that a busy machine does not decide.
    const killers = [
      '\n',
      ' ',
      "'====",
      '----',
      '*/*,',
      '<<<<',
      '"',
      '(a',
      '${',
      '; ',
      'a=',
      '../',
      '<a ',
      '1 ',
      "' or ",
      '[[',
    ]
    test.each(killers)('are done with 8 KB and 64 KB of %j in steps that are linear', (piece) => {
      for (const size of [8_192, 65_536]) {
        const text = piece.repeat(size / piece.length + 1).slice(0, size)
        for (const { id, source } of patterns) {
          const pattern = compilePattern(source, { memory: createCacheMemory({ bytesMax: 64_000_000 }) })
          const budget = createBudget({ steps: size * 4 + 20_000, states: 1_100 })
          expect(() => pattern.test(text, budget), `rule ${id}`).not.toThrow()
          const captures = createBudget({ steps: size * 60 + 20_000, states: 1_100 })
          expect(() => pattern.exec(text, captures), `rule ${id}`).not.toThrow()
        }
      }
    })

    test('are done with 8 KB that nearly match in steps that are linear, building a thousand states at most', () => {
      const random = generator(99)
      const size = 8_192
      for (const [index, { id, source, pattern }] of patterns.entries()) {
        let text = ''
        while (text.length < size) {
          const match = writeMatch(pattern.ast, random)
          const at = random(match.length + 1)
          const cuts = [
            match.slice(0, at),
            match.slice(at),
            match.slice(0, at) + match.slice(at + 1),
            match.slice(0, 3),
          ]
          text += cuts[index % 4] || 'x'
        }
        const fresh = compilePattern(source, { memory: createCacheMemory({ bytesMax: 64_000_000 }) })
        const budget = createBudget({ steps: size * 16, states: 5_000 })
        expect(() => fresh.test(text.slice(0, size), budget), `rule ${id}`).not.toThrow()
        expect(budget.statesMax - budget.statesLeft).toBeLessThanOrEqual(1_000)
      }
    })
  },
)

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { backtrack, patternTrees, printPattern, shortTexts, textsNear } from '../../../test/kit/patterns.ts'
import { assertion, concat, isNever, type Node } from './ast.ts'
import { byteSet, complementOf, hasByte } from './bytes.ts'
import { parsePattern } from './parse.ts'
import { intersect, simplify, trim } from './simplify.ts'

/** Whether a tree is found in a text; undefined where that takes too long to say. */
function isFound(tree: Node, text: string): boolean | undefined {
  const found = backtrack(tree, text)
  return found === 'too long' ? undefined : found !== undefined
}

const cases = patternTrees().chain((tree) =>
  fc.array(fc.oneof(shortTexts, textsNear(tree, 20)), { minLength: 1, maxLength: 5 }).map((texts) => ({ tree, texts })),
)

describe('a tree', () => {
  test('simplified matches the same texts as a whole', () => {
    fc.assert(
      fc.property(cases, ({ tree, texts }) => {
        const whole = (node: Node) => concat([assertion('start'), node, assertion('end')])
        for (const text of texts) {
          const expected = isFound(whole(tree), text)
          const got = isFound(whole(simplify(tree)), text)
          if (expected !== undefined && got !== undefined) expect(got).toBe(expected)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('trimmed is found in the same texts', () => {
    fc.assert(
      fc.property(cases, ({ tree, texts }) => {
        for (const text of texts) {
          const expected = isFound(tree, text)
          const got = isFound(trim(tree), text)
          if (expected !== undefined && got !== undefined) expect(got).toBe(expected)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  test('cut to an alphabet is found in the same texts over it', () => {
    const alphabets = ['', 'a', 'ab_', 'abcA_ ', 'z\n\xe9'].map(byteSet)
    alphabets.push(complementOf(byteSet('a')), complementOf(byteSet('')))
    fc.assert(
      fc.property(cases, fc.constantFrom(...alphabets), ({ tree, texts }, alphabet) => {
        const cut = intersect(tree, alphabet)
        for (const text of texts) {
          const inside = [...text].filter((byte) => hasByte(alphabet, byte.charCodeAt(0))).join('')
          const expected = isFound(tree, inside)
          const got = cut === 'impossible' ? false : isFound(cut, inside)
          if (expected !== undefined && got !== undefined) expect(got).toBe(expected)
        }
      }),
      { numRuns: 2_000 },
    )
  })
})

test.each([
  ['(a|b|[c-e])', '[\\x61-\\x65]'],
  ['(?:(?:a*)*)+', '(?:\\x61)*'],
  ['(?:a+)?', '(?:\\x61)*'],
  ['(?:a|)', '(?:\\x61){0,1}'],
  ['a(?:b|[^\\x00-\\xff])c', '\\x61\\x62\\x63'],
])('%s is simply %s', (source, expected) => {
  expect(printPattern(simplify(parsePattern(source).node))).toBe(expected)
})

test.each([
  ['\\s*fo+', '\\x66\\x6f'],
  ['(?:x|y)?a{2,5}b(?:c|d*)', '(?:\\x61){2,2}\\x62'],
  ['^\\s*foo.*$', '\\A(?:[\\x09-\\x0d\\x20])*\\x66\\x6f\\x6f'],
  ['.*(?:a|b*)', '(?:)'],
  ['(?:a?b|c)d(?:e|f+)', '[\\x62-\\x63]\\x64[\\x65-\\x66]'],
  ['^.*?fo', '\\x66\\x6f'],
  ['^.+fo', '\\A(?:[\\x00-\\xff])+\\x66\\x6f'],
])('%s is found where %s is', (source, expected) => {
  expect(printPattern(trim(parsePattern(source).node))).toBe(expected)
})

test('over an alphabet that lacks what it needs a pattern is impossible', () => {
  const ast = parsePattern('(?i)(?:union\\s+select|;\\s*drop)').node
  expect(intersect(ast, byteSet('abcdefghijklmnopqrstuvwxyz0123456789'))).toBe('impossible')
  const cut = intersect(ast, byteSet('unioselct '))
  expect(cut).not.toBe('impossible')
  expect(isNever(cut as Node)).toBe(false)
  expect(printPattern(cut as Node)).toBe('\\x75\\x6e\\x69\\x6f\\x6e(?:\\x20)+\\x73\\x65\\x6c\\x65\\x63\\x74')
})

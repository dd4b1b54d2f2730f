import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { editDistance, nearest } from './suggest.ts'

const words = ['burst', 'rate', 'key', 'match', 'upstream', 'overlays', 'behindTlsTerminator']

describe('nearest', () => {
  test.each([
    ['bursts', 'burst'],
    ['brust', 'burst'],
    ['upstraem', 'upstream'],
    ['Upstream', 'upstream'],
    ['behindTLSTerminator', 'behindTlsTerminator'],
    ['overlay', 'overlays'],
    ['kye', 'key'],
    ['quota', undefined],
    ['x', undefined],
    ['', undefined],
    ['u'.repeat(65), undefined],
  ])('of %j is %j', (written, meant) => {
    expect(nearest(written, words)).toBe(meant)
  })

  test('is the nearer of two that are near', () => {
    expect(nearest('limits', ['limit', 'limitsx', 'limits2x'])).toMatch(/^limit(sx)?$/)
    expect(nearest('abcdef', ['abcxyf', 'abcdex'])).toBe('abcdex')
  })
})

describe('editDistance', () => {
  const text = fc.string({ maxLength: 12 })

  test('is zero only for the same text, and the same in both directions', () => {
    fc.assert(
      fc.property(text, text, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a))
        expect(editDistance(a, b) === 0).toBe(a === b)
      }),
    )
  })

  test('is one for one letter more, less, other or swapped with its neighbour', () => {
    expect(editDistance('burst', 'bursts')).toBe(1)
    expect(editDistance('burst', 'brst')).toBe(1)
    expect(editDistance('burst', 'bxrst')).toBe(1)
    expect(editDistance('burst', 'busrt')).toBe(1)
    expect(editDistance('burst', 'subtr')).toBeGreaterThan(1)
  })
})

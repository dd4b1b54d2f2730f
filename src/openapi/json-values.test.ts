import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { firstDuplicate, isMultipleOf, oneOf, sameJson } from './json-values.ts'

describe('multiples', () => {
  test.each([
    [0.3, 0.1, true],
    [1.1, 0.1, true],
    [19.99, 0.01, true],
    [19.995, 0.01, false],
    [1, 0.01, true],
    [0, 0.01, true],
    [-0, 0.01, true],
    [-4.5, 1.5, true],
    [-4.6, 1.5, false],
    [4.5, 1.5, true],
    [7.5, 2, false],
    [1e-7, 1e-7, true],
    [1.5e-7, 1e-7, false],
    [1e-300, 0.01, false],
    [1e300, 0.01, true],
    [1e300, 7, false],
    [7e300, 7, true],
    [1e22, 1e21, true],
    [1e21, 1e22, false],
    [123456789012.34, 0.01, true],
    [123456789012.345, 0.01, false],
    [2 ** 60, 1, true],
    [0.1, 3, false],
    [Number.MAX_VALUE, 0.5, true],
    [5e-324, 5e-324, true],
    [Number.POSITIVE_INFINITY, 1, false],
  ])('%d of %d: %s', (value, divisor, expected) => {
    expect(isMultipleOf(value, divisor, { left: 10_000 })).toBe(expected)
  })

  test('are undecided when the work for them is spent, and decided without work where few digits are enough', () => {
    const budget = { left: 3_000 }
    expect(isMultipleOf(1e300, 7, budget)).toBe(false)
    expect(isMultipleOf(7e300, 7, budget)).toBe(true)
    expect(isMultipleOf(7e300, 7, budget)).toBeUndefined()
    expect(isMultipleOf(1.23, 0.01, budget)).toBe(true)
  })

  test('agree with whole numbers of units, whatever the unit', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -1e9, max: 1e9 }),
        fc.integer({ min: 1, max: 99_999 }),
        fc.integer({ min: 0, max: 5 }),
        fc.integer({ min: 0, max: 5 }),
        (digits, unit, places, unitPlaces) => {
          const value = Number(`${digits}e-${places}`)
          const divisor = Number(`${unit}e-${unitPlaces}`)
          const common = Math.max(places, unitPlaces)
          const expected =
            (BigInt(digits) * 10n ** BigInt(common - places)) % (BigInt(unit) * 10n ** BigInt(common - unitPlaces)) ===
            0n
          expect(isMultipleOf(value, divisor, { left: 10_000 })).toBe(expected)
        },
      ),
      { numRuns: 2_000 },
    )
  })
})

test('a value is one of a list exactly when it equals one of them', () => {
  fc.assert(
    fc.property(
      fc.array(fc.jsonValue({ maxDepth: 2 }), { maxLength: 6 }),
      fc.jsonValue({ maxDepth: 2 }),
      (list, other) => {
        const isOne = oneOf(list)
        for (const value of [...list.map((one) => JSON.parse(JSON.stringify(one))), other])
          expect(isOne(value)).toBe(list.some((one) => sameJson(one, value)))
      },
    ),
  )
})

test('the first item that an earlier one equals is found, whatever the numbers', () => {
  const numbers = fc.oneof(fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.constant(-0))
  fc.assert(
    fc.property(fc.array(fc.oneof(numbers, fc.tuple(numbers)), { maxLength: 20 }), (items) => {
      const expected = items.findIndex((item, i) => items.slice(0, i).some((before) => sameJson(before, item)))
      expect(firstDuplicate(items)).toBe(expected)
    }),
  )
  const many = Array.from({ length: 5_000 }, (_, i) => [i])
  expect(firstDuplicate(many)).toBe(-1)
  expect(firstDuplicate([...many, [4_999]])).toBe(5_000)
  expect(firstDuplicate([[0], [-0]])).toBe(1)
  expect(firstDuplicate([[0], [2 ** 32]])).toBe(-1)
})

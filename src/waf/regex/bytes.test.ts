import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  addByte,
  type ByteSet,
  byteRanges,
  bytesOf,
  complementOf,
  countBytes,
  foldSet,
  hasByte,
  intersectionOf,
  isDisjoint,
  isEmptySet,
  isSubset,
  sameSet,
  setKey,
  unionOf,
} from './bytes.ts'

const lists = fc.uniqueArray(fc.nat(255), { maxLength: 40 })

function setOf(bytes: Iterable<number>): ByteSet {
  const set = new Uint32Array(8)
  for (const byte of bytes) addByte(set, byte)
  return set
}

const sorted = (bytes: Iterable<number>) => [...bytes].sort((a, b) => a - b)

test('sets of bytes are sets', () => {
  fc.assert(
    fc.property(lists, lists, (left, right) => {
      const [a, b] = [new Set(left), new Set(right)]
      const [as, bs] = [setOf(a), setOf(b)]
      expect(bytesOf(as)).toEqual(sorted(a))
      expect(bytesOf(unionOf(as, bs))).toEqual(sorted(new Set([...a, ...b])))
      expect(bytesOf(intersectionOf(as, bs))).toEqual(sorted(left.filter((byte) => b.has(byte))))
      expect(bytesOf(complementOf(as))).toHaveLength(256 - a.size)
      expect(isDisjoint(as, complementOf(as))).toBe(true)
      expect(countBytes(as)).toBe(a.size)
      expect(isEmptySet(as)).toBe(a.size === 0)
      expect(isSubset(as, bs)).toBe(left.every((byte) => b.has(byte)))
      expect(isDisjoint(as, bs)).toBe(!left.some((byte) => b.has(byte)))
      expect(sameSet(as, bs)).toBe(a.size === b.size && left.every((byte) => b.has(byte)))
      expect(setKey(as) === setKey(bs)).toBe(sameSet(as, bs))
    }),
  )
})

test('ranges hold both ends', () => {
  expect(bytesOf(byteRanges([0, 1], [31, 33], [255, 255]))).toEqual([0, 1, 31, 32, 33, 255])
})

test('letters of ASCII fold, nothing else does', () => {
  fc.assert(
    fc.property(lists, (bytes) => {
      const folded = foldSet(setOf(bytes))
      for (let byte = 0; byte < 256; byte++) {
        const char = String.fromCharCode(byte)
        const cases = byte < 128 ? [char.toLowerCase(), char.toUpperCase()] : [char]
        expect(hasByte(folded, byte)).toBe(cases.some((one) => bytes.includes(one.charCodeAt(0))))
      }
    }),
  )
})

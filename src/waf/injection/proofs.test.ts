import { expect, test } from 'vitest'
import { createInjectionDetector } from './index.ts'
import { compose, createRandom, valuesCount } from './native.fixture.ts'
import { cannotBeSqli, cannotBeXss, sqliBytes, xssBytes } from './proofs.ts'
import { vocabulary } from './sql-vocabulary.ts'

const detector = createInjectionDetector()

function bytesWithout(flags: Uint8Array): readonly string[] {
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte)).filter((_, byte) => flags[byte] === 0)
}

test('a value without the bytes of SQL is none', () => {
  const bytes = bytesWithout(sqliBytes)
  const words = vocabulary.filter((word) => cannotBeSqli(word))
  expect(words.length).toBeGreaterThan(1_000)
  const pieces = [...bytes, ...words, ...words.map((word) => word.toUpperCase()), '0x', '0x1f', '0b', '1e', '1f', '1d']
  for (const values of compose(pieces, '', valuesCount)) {
    const joined = values.map((value) => value.replaceAll(' ', ''))
    expect(joined.every(cannotBeSqli)).toBe(true)
    expect(detector.sqli(joined).filter((found) => found !== undefined)).toEqual([])
  }
}, 3_600_000)

test('a value without the bytes of HTML is no script', () => {
  const pieces = [
    ...bytesWithout(xssBytes),
    'script',
    'onclick',
    'javascript:',
    'style',
    '--',
    '-->',
    '![CDATA[',
    '!DOCTYPE',
  ]
  for (const values of compose(pieces, '', valuesCount)) {
    expect(values.every(cannotBeXss)).toBe(true)
    expect(detector.xss(values)).not.toContain(true)
  }
}, 3_600_000)

test('a proof says the same as its bytes', () => {
  const random = createRandom(3)
  for (let i = 0; i < 20_000; i++) {
    const codes = Array.from({ length: Math.floor(random() * 12) }, () => Math.floor(random() * 256))
    const value = String.fromCharCode(...codes)
    expect(cannotBeSqli(value)).toBe(codes.every((code) => sqliBytes[code] === 0))
    expect(cannotBeXss(value)).toBe(codes.every((code) => xssBytes[code] === 0))
  }
})

import { hexPair, isHexPair, isOctal } from './digits.ts'
import { bytesOf, stringOf } from './scratch.ts'
import { type Transformation, transformation } from './transformation.ts'
import { lowByte } from './unicode-map.ts'

/** What a letter behind a backslash means in JavaScript and C; others stand for themselves. */
export const letterEscapes: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => byte)
for (const [letter, byte] of [
  ['a', 0x07],
  ['b', 0x08],
  ['f', 0x0c],
  ['n', 0x0a],
  ['r', 0x0d],
  ['t', 0x09],
  ['v', 0x0b],
] as const) {
  letterEscapes[letter.charCodeAt(0)] = byte
}

/** `\uXXXX` (its low byte), `\xXX`, `\ooo`, `\n` and the like; before anything else the backslash is dropped. */
export const jsDecode: Transformation = transformation('jsDecode', '\\', (value) => {
  let i = value.indexOf('\\')
  const length = value.length
  // A backslash that ends the value stays.
  if (i === -1 || i === length - 1) return value
  const bytes = bytesOf(value)
  let end = i
  while (i < length) {
    const byte = bytes[i]!
    if (byte !== 0x5c || i + 1 === length) {
      bytes[end++] = byte
      i++
      continue
    }
    const kind = bytes[i + 1]!
    if (kind === 0x75 && i + 5 < length && isHexPair(bytes, i + 2) && isHexPair(bytes, i + 4)) {
      bytes[end++] = lowByte((hexPair(bytes, i + 2) << 8) | hexPair(bytes, i + 4))
      i += 6
    } else if (kind === 0x78 && i + 3 < length && isHexPair(bytes, i + 2)) {
      bytes[end++] = hexPair(bytes, i + 2)
      i += 4
    } else if (isOctal(kind)) {
      // Three digits only where they fit in a byte: \377, but \400 is \40 and a 0.
      const digitsMax = kind <= 0x33 ? 3 : 2
      let octal = 0
      let digits = 0
      while (digits < digitsMax && i + 1 + digits < length && isOctal(bytes[i + 1 + digits])) {
        octal = octal * 8 + bytes[i + 1 + digits]! - 0x30
        digits++
      }
      bytes[end++] = octal
      i += 1 + digits
    } else {
      bytes[end++] = letterEscapes[kind]!
      i += 2
    }
  }
  return stringOf(bytes, end)
})

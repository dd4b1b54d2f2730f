import { hexDigit, hexPair, noDigit } from './digits.ts'
import { bytesOf, stringOf } from './scratch.ts'
import { flagsOf, type Transformation, transformation, whiteBytes } from './transformation.ts'
import { lowByte } from './unicode-map.ts'

const isWhite = flagsOf(whiteBytes)

/**
 * `\41`, `\000041 ` and the like (CSS 2, section 4.1.3), of which the low byte counts as in ModSecurity; a backslash before a line feed is
 * dropped with it, before anything else alone.
 */
export const cssDecode: Transformation = transformation('cssDecode', '\\', (value) => {
  let i = value.indexOf('\\')
  if (i === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = i
  while (i < length) {
    const byte = bytes[i++]!
    if (byte !== 0x5c) {
      bytes[end++] = byte
      continue
    }
    let digits = 0
    while (digits < 6 && i + digits < length && hexDigit[bytes[i + digits]!] !== noDigit) digits++
    if (digits > 0) {
      bytes[end++] = decodeEscape(bytes, i, digits)
      i += digits
      // One white space ends an escape and belongs to it.
      if (i < length && isWhite[bytes[i]!] === 1) i++
    } else if (i < length) {
      if (bytes[i] !== 0x0a) bytes[end++] = bytes[i]!
      i++
    }
  }
  return stringOf(bytes, end)
})

function decodeEscape(bytes: Uint8Array, at: number, digits: number): number {
  if (digits === 1) return hexDigit[bytes[at]!]!
  const low = hexPair(bytes, at + digits - 2)
  if (digits < 4) return low
  // Full-width forms lie below U+10000: of five and six digits the leading ones must be zeros.
  const isWide = (digits > 4 && bytes[at] !== 0x30) || (digits > 5 && bytes[at + 1] !== 0x30)
  return isWide ? low : lowByte((hexPair(bytes, at + digits - 4) << 8) | low)
}

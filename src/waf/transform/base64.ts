import { bytesOf, stringOf } from './scratch.ts'
import { anyByte, type Transformation, transformation } from './transformation.ts'

/** In a table of digits: the byte is no digit and is passed over, or nothing behind it counts. */
export const skipped = 64
export const ends = 65

function digitsOf(others: Readonly<Record<string, number>>, fallback: number): Uint8Array {
  const digits = new Uint8Array(256).fill(fallback)
  const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/'
  for (let i = 0; i < alphabet.length; i++) digits[alphabet.charCodeAt(i)] = i
  for (const [byte, digit] of Object.entries(others)) digits[byte.charCodeAt(0)] = digit
  return digits
}

/** What each byte counts as digit of base64; or that it is skipped, or ends the text. */
export const strictDigits: Uint8Array = digitsOf({ '\r': skipped, '\n': skipped }, ends)
/** The alphabet for URLs counts too (RFC 4648, section 5), as with `Buffer.from` and in Coraza. */
const forgivingDigits = digitsOf({ '-': 62, _: 63 }, skipped)

/**
 * Decodes up to the first byte that is not of the alphabet; line ends are skipped. ModSecurity gives nothing for a value with a wrong byte: what
 * comes before it is worth seeing.
 */
export const base64Decode: Transformation = transformation('base64Decode', anyByte, (value) =>
  decode(value, strictDigits),
)

/** Decodes and skips all that is not of the alphabet, as PHP does, in the middle also `=`. */
export const base64DecodeExt: Transformation = transformation('base64DecodeExt', anyByte, (value) =>
  decode(value, forgivingDigits),
)

function decode(value: string, digitOf: Uint8Array): string {
  const bytes = bytesOf(value)
  const length = value.length
  let end = 0
  let bits = 0
  let digits = 0
  for (let i = 0; i < length; i++) {
    const digit = digitOf[bytes[i]!]!
    if (digit === skipped) continue
    if (digit === ends) break
    bits = (bits << 6) | digit
    if (++digits < 4) continue
    bytes[end++] = bits >> 16
    bytes[end++] = bits >> 8
    bytes[end++] = bits
    bits = 0
    digits = 0
  }
  if (digits === 2) {
    bytes[end++] = bits >> 4
  } else if (digits === 3) {
    bytes[end++] = bits >> 10
    bytes[end++] = bits >> 2
  }
  return stringOf(bytes, end)
}

/** RFC 4648, section 4, with padding. */
export const base64Encode: Transformation = transformation('base64Encode', anyByte, (value) =>
  bytesOf(value).toString('base64', 0, value.length),
)

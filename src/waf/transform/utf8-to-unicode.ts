import { lowerHex } from './digits.ts'
import { bytesOf, roomOf, stringOf } from './scratch.ts'
import { firstOf, flagsWhere, type Transformation, transformation } from './transformation.ts'

const isHigh = flagsWhere((byte) => byte >= 0x80)

/**
 * `%uXXXX` for each character of UTF-8 above 127. As in ModSecurity an overlong form and a surrogate are written as what they would stand for with
 * their first byte behind, which keeps `C0 BC` visible as `<`; a first byte without what must follow is dropped; other bytes stay.
 */
export const utf8toUnicode: Transformation = transformation('utf8toUnicode', isHigh, (value) => {
  const first = firstOf(value, isHigh)
  if (first === -1) return value
  const input = bytesOf(value)
  const length = value.length
  const output = roomOf(first + (length - first) * 4)
  input.copy(output, 0, 0, first)
  let end = first
  for (let i = first; i < length; ) {
    const lead = input[i]!
    if (lead < 0xc0 || lead >= 0xf8) {
      output[end++] = lead
      i++
      continue
    }
    // F5 and above lead to nothing (RFC 3629, section 4).
    if (lead >= 0xf5) output[end++] = lead
    const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
    const code = codeAt(input, i, size, length)
    if (code === -1) {
      i++
      continue
    }
    end = writeEscape(output, end, code)
    if (code < smallest[size]! || (code >= 0xd800 && code <= 0xdfff)) output[end++] = lead
    i += size
  }
  return stringOf(output, end)
})

/** The smallest code point that needs so many bytes. */
const smallest: readonly number[] = [0, 0, 0x80, 0x800, 0x1_0000]

function codeAt(bytes: Uint8Array, at: number, size: number, length: number): number {
  if (at + size > length) return -1
  let code = bytes[at]! & (0x7f >> size)
  for (let i = 1; i < size; i++) {
    const byte = bytes[at + i]!
    if ((byte & 0xc0) !== 0x80) return -1
    code = (code << 6) | (byte & 0x3f)
  }
  return code
}

/** `%u` and at least four digits. */
function writeEscape(output: Uint8Array, at: number, code: number): number {
  let end = at
  output[end++] = 0x25
  output[end++] = 0x75
  if (code > 0xf_ffff) output[end++] = lowerHex[code >> 20]!
  if (code > 0xffff) output[end++] = lowerHex[(code >> 16) & 15]!
  output[end++] = lowerHex[(code >> 12) & 15]!
  output[end++] = lowerHex[(code >> 8) & 15]!
  output[end++] = lowerHex[(code >> 4) & 15]!
  output[end++] = lowerHex[code & 15]!
  return end
}

import { hexPair, isHexPair } from './digits.ts'
import { bytesOf, stringOf } from './scratch.ts'
import { anyByte, type Transformation, transformation } from './transformation.ts'

/** Two small hexadecimal digits for each byte. */
export const hexEncode: Transformation = transformation('hexEncode', anyByte, (value) =>
  bytesOf(value).toString('hex', 0, value.length),
)

/**
 * One byte for each two hexadecimal digits; a last single one is dropped. What is no digit counts as ModSecurity reckons it, so that rules see the
 * same bytes.
 */
export const hexDecode: Transformation = transformation('hexDecode', anyByte, (value) => {
  const bytes = bytesOf(value)
  const count = value.length >> 1
  for (let i = 0; i < count; i++) bytes[i] = worthOf(bytes[2 * i]!) * 16 + worthOf(bytes[2 * i + 1]!)
  return stringOf(bytes, count)
})

function worthOf(byte: number): number {
  return byte >= 0x41 ? (byte & 0xdf) - 0x41 + 10 : byte - 0x30
}

/** `0x414243`, as MySQL has it, becomes `ABC`. */
export const sqlHexDecode: Transformation = transformation('sqlHexDecode', 'xX', (value) => {
  const length = value.length
  const bytes = bytesOf(value)
  let end = 0
  let i = 0
  while (i < length) {
    const isNumber = bytes[i] === 0x30 && i + 3 < length && (bytes[i + 1]! | 0x20) === 0x78 && isHexPair(bytes, i + 2)
    if (!isNumber) {
      bytes[end++] = bytes[i++]!
      continue
    }
    i += 2
    while (i + 1 < length && isHexPair(bytes, i)) {
      bytes[end++] = hexPair(bytes, i)
      i += 2
    }
  }
  return end === length ? value : stringOf(bytes, end)
})

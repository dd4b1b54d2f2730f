import { hexPair, isHexPair, isOctal } from './digits.ts'
import { letterEscapes } from './js-decode.ts'
import { bytesOf, stringOf } from './scratch.ts'
import { type Transformation, transformation } from './transformation.ts'

/** The escapes of ANSI C: `\a \b \f \n \r \t \v \\ \? \' \"`, `\xHH`, `\ooo`; before anything else the backslash is dropped. */
export const escapeSeqDecode: Transformation = transformation('escapeSeqDecode', '\\', (value) => {
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
    if ((kind | 0x20) === 0x78 && i + 3 < length && isHexPair(bytes, i + 2)) {
      bytes[end++] = hexPair(bytes, i + 2)
      i += 4
    } else if (isOctal(kind)) {
      let octal = 0
      let digits = 0
      while (digits < 3 && i + 1 + digits < length && isOctal(bytes[i + 1 + digits])) {
        octal = octal * 8 + bytes[i + 1 + digits]! - 0x30
        digits++
      }
      bytes[end++] = octal & 0xff
      i += 1 + digits
    } else {
      bytes[end++] = letterEscapes[kind]!
      i += 2
    }
  }
  return stringOf(bytes, end)
})

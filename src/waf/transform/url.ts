import { hexPair, isHexPair, lowerHex } from './digits.ts'
import { bytesOf, roomOf, stringOf } from './scratch.ts'
import { anyByte, flagsWhere, type Transformation, transformation } from './transformation.ts'
import { unicodeBytes } from './unicode-map.ts'

const percent = 0x25
const plus = 0x2b

/** `%XX` and `+`; what is no valid escape stays as it is. */
export const urlDecode: Transformation = transformation('urlDecode', '%+', (value) => {
  let i = firstEscape(value)
  if (i === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = i
  let changed = false
  while (i < length) {
    const byte = bytes[i]!
    if (byte === plus) {
      bytes[end++] = 0x20
      i++
      changed = true
    } else if (byte === percent && i + 2 < length && isHexPair(bytes, i + 1)) {
      bytes[end++] = hexPair(bytes, i + 1)
      i += 3
      changed = true
    } else {
      bytes[end++] = byte
      i++
    }
  }
  return changed ? stringOf(bytes, end) : value
})

/** As `urlDecode`, and `%uXXXX` as IIS has it: the byte that the map gives for the code point, otherwise its low byte. */
export function urlDecodeUni(map: ReadonlyMap<number, number>): Transformation {
  const byteOf = unicodeBytes(map)
  return transformation('urlDecodeUni', '%+', (value) => {
    let i = firstEscape(value)
    if (i === -1) return value
    const bytes = bytesOf(value)
    const length = value.length
    let end = i
    let changed = false
    while (i < length) {
      const byte = bytes[i]!
      if (byte === plus) {
        bytes[end++] = 0x20
        i++
        changed = true
        continue
      }
      if (byte === percent && i + 2 < length) {
        if (isHexPair(bytes, i + 1)) {
          bytes[end++] = hexPair(bytes, i + 1)
          i += 3
          changed = true
          continue
        }
        if ((bytes[i + 1]! | 0x20) === 0x75 && i + 5 < length && isHexPair(bytes, i + 2) && isHexPair(bytes, i + 4)) {
          bytes[end++] = byteOf[(hexPair(bytes, i + 2) << 8) | hexPair(bytes, i + 4)]!
          i += 6
          changed = true
          continue
        }
      }
      bytes[end++] = byte
      i++
    }
    return changed ? stringOf(bytes, end) : value
  })
}

const plainInUrl = flagsWhere((byte) => /[*0-9A-Za-z]/.test(String.fromCharCode(byte)))

/** Everything but letters, digits and `*` as `%xx`, a space as `+`. */
export const urlEncode: Transformation = transformation(
  'urlEncode',
  anyByte.map((_, byte) => 1 - plainInUrl[byte]!),
  (value) => {
    const length = value.length
    const bytes = roomOf(length * 3)
    let end = 0
    for (let i = 0; i < length; i++) {
      const byte = value.charCodeAt(i)
      if (plainInUrl[byte] === 1) {
        bytes[end++] = byte
      } else if (byte === 0x20) {
        bytes[end++] = plus
      } else {
        bytes[end++] = percent
        bytes[end++] = lowerHex[byte >> 4]!
        bytes[end++] = lowerHex[byte & 15]!
      }
    }
    // A space becomes one byte too, so the length alone does not tell.
    return end === length && !value.includes(' ') ? value : stringOf(bytes, end)
  },
)

function firstEscape(value: string): number {
  const atPercent = value.indexOf('%')
  const atPlus = value.indexOf('+')
  if (atPercent === -1) return atPlus
  return atPlus === -1 ? atPercent : Math.min(atPercent, atPlus)
}

import { bytesOf, stringOf } from './scratch.ts'
import { firstOf, flagsOf, type Transformation, transformation } from './transformation.ts'

const upper = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'
const dropped = flagsOf('"\'\\^')
const blanks = flagsOf(' ,;\t\r\n')
const alters = flagsOf(`"'\\^ ,;\t\r\n${upper}`)

/**
 * What shells make no difference of: drops quotes, backslashes and carets, makes one space of commas, semicolons and white space, none before
 * `/` and `(`, and letters small.
 */
export const cmdLine: Transformation = transformation('cmdLine', alters, (value) => {
  const first = firstOf(value, alters)
  if (first === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = first
  let afterBlank = false
  let changed = false
  for (let i = first; i < length; i++) {
    const byte = bytes[i]!
    if (dropped[byte] === 1) {
      changed = true
    } else if (blanks[byte] === 1) {
      if (byte !== 0x20 || afterBlank) changed = true
      if (!afterBlank) bytes[end++] = 0x20
      afterBlank = true
    } else {
      if (afterBlank && (byte === 0x2f || byte === 0x28)) {
        end--
        changed = true
      }
      if (byte >= 0x41 && byte <= 0x5a) {
        bytes[end++] = byte | 0x20
        changed = true
      } else {
        bytes[end++] = byte
      }
      afterBlank = false
    }
  }
  return changed ? stringOf(bytes, end) : value
})

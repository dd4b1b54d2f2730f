import { bytesOf, stringOf } from './scratch.ts'
import { firstOf, flagsOf, type Transformation, transformation, whiteBytes } from './transformation.ts'

const isWhite = flagsOf(whiteBytes)
/** The no-break space is A0 in Latin-1 and C2 A0 in UTF-8; ModSecurity takes out both bytes wherever they stand. */
const isRemoved = flagsOf(`${whiteBytes}\xa0\xc2`)
const mayBeWhite = flagsOf(`${whiteBytes}\x85\xa0`)

/** Takes out all white space. */
export const removeWhitespace: Transformation = transformation('removeWhitespace', isRemoved, (value) => {
  const first = firstOf(value, isRemoved)
  if (first === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = first
  for (let i = first; i < length; i++) if (isRemoved[bytes[i]!] === 0) bytes[end++] = bytes[i]!
  return stringOf(bytes, end)
})

/**
 * Makes one space of any run of white space. The no-break space counts, as A0 alone and as C2 A0, and the next line C2 85; an A0 within
 * another character (`à` is C3 A0) does not, as in Coraza.
 */
export const compressWhitespace: Transformation = transformation('compressWhitespace', mayBeWhite, (value) => {
  const first = firstOf(value, mayBeWhite)
  if (first === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  // The first of them may be the last of the up to four bytes of a character.
  let start = first
  while (start > 0 && start > first - 3 && bytes[start - 1]! >= 0x80) start--
  let end = start
  let afterWhite = false
  let changed = false
  for (let i = start; i < length; ) {
    const byte = bytes[i]!
    const size = byte < 0x80 ? 1 : characterSize(bytes, i, length)
    if (isWhite[byte] === 1 || byte === 0xa0 || (byte === 0xc2 && size === 2 && isNoBreak(bytes[i + 1]!))) {
      if (afterWhite || byte !== 0x20) changed = true
      if (!afterWhite) bytes[end++] = 0x20
      afterWhite = true
    } else {
      for (let k = 0; k < size; k++) bytes[end++] = bytes[i + k]!
      afterWhite = false
    }
    i += size
  }
  return changed ? stringOf(bytes, end) : value
})

/** How many bytes belong together there: those of one character of UTF-8, otherwise one. */
function characterSize(bytes: Uint8Array, at: number, length: number): number {
  const lead = bytes[at]!
  if (lead < 0xc2 || lead > 0xf4) return 1
  const size = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4
  if (at + size > length) return 1
  for (let i = 1; i < size; i++) if ((bytes[at + i]! & 0xc0) !== 0x80) return 1
  return size
}

/** U+00A0 and U+0085, the next line. */
function isNoBreak(byte: number): boolean {
  return byte === 0xa0 || byte === 0x85
}

/** Takes white space off both ends. */
export const trim: Transformation = transformation('trim', isWhite, (value) =>
  value.slice(firstSolid(value), lastSolid(value)),
)

/** Takes white space off the front. */
export const trimLeft: Transformation = transformation('trimLeft', isWhite, (value) => value.slice(firstSolid(value)))

/** Takes white space off the end. */
export const trimRight: Transformation = transformation('trimRight', isWhite, (value) =>
  value.slice(0, lastSolid(value)),
)

function firstSolid(value: string): number {
  let i = 0
  while (i < value.length && isWhite[value.charCodeAt(i)] === 1) i++
  return i
}

function lastSolid(value: string): number {
  let end = value.length
  while (end > 0 && isWhite[value.charCodeAt(end - 1)] === 1) end--
  return end
}

import { isUtf8 } from 'node:buffer'

/** What a hexadecimal digit is worth, by its byte; -1 for any other byte. */
export const hexValues: Int8Array = new Int8Array(256).fill(-1)
for (let digit = 0; digit < 10; digit++) hexValues[0x30 + digit] = digit
for (let digit = 10; digit < 16; digit++) hexValues[0x61 + digit - 10] = hexValues[0x41 + digit - 10] = digit

const scratchBytesMax = 65_536
let kept = Buffer.allocUnsafe(4_096)

/** A buffer of at least so many bytes, good until the next call. */
export function scratch(bytes: number): Buffer {
  if (bytes <= kept.length) return kept
  if (bytes > scratchBytesMax) return Buffer.allocUnsafeSlow(bytes)
  kept = Buffer.allocUnsafeSlow(Math.min(scratchBytesMax, bytes * 2))
  return kept
}

/** Writes a code point as UTF-8 and tells where the next byte goes. A surrogate becomes U+FFFD. */
export function writeUtf8(into: Uint8Array, at: number, codePoint: number): number {
  if (codePoint < 0x80) {
    into[at] = codePoint
    return at + 1
  }
  if (codePoint < 0x800) {
    into[at] = 0xc0 | (codePoint >> 6)
    into[at + 1] = 0x80 | (codePoint & 0x3f)
    return at + 2
  }
  if (codePoint < 0x10000) {
    const scalar = codePoint >= 0xd800 && codePoint < 0xe000 ? 0xfffd : codePoint
    into[at] = 0xe0 | (scalar >> 12)
    into[at + 1] = 0x80 | ((scalar >> 6) & 0x3f)
    into[at + 2] = 0x80 | (scalar & 0x3f)
    return at + 3
  }
  into[at] = 0xf0 | (codePoint >> 18)
  into[at + 1] = 0x80 | ((codePoint >> 12) & 0x3f)
  into[at + 2] = 0x80 | ((codePoint >> 6) & 0x3f)
  into[at + 3] = 0x80 | (codePoint & 0x3f)
  return at + 4
}

/** Whether bytes are whole, shortest-form UTF-8. */
export function isValidUtf8(text: string): boolean {
  return isUtf8(Buffer.from(text, 'latin1'))
}

/** Whether a byte is a blank as C has it: space, tab, line feed, vertical tab, form feed, carriage return. */
export function isBlank(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}

/** Cuts blanks off. `String.trim` would take 0xA0 for one; a pattern would look at a run of blanks once for each of them. */
export function trimBlanks(text: string, atStart = true, atEnd = true): string {
  let from = 0
  let to = text.length
  if (atStart) while (from < to && isBlank(text.charCodeAt(from))) from++
  if (atEnd) while (to > from && isBlank(text.charCodeAt(to - 1))) to--
  return to - from === text.length ? text : text.slice(from, to)
}

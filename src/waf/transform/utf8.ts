/** What stands for what is no code point. */
const replacement = 0xfffd

/** Writes a code point above 127 as UTF-8 (RFC 3629, section 3), surrogates and what is too large as U+FFFD. Gives how many bytes were written. */
export function writeUtf8(bytes: Uint8Array, at: number, code: number): number {
  if (code > 0x10_ffff || (code >= 0xd800 && code <= 0xdfff)) return writeUtf8(bytes, at, replacement)
  if (code < 0x800) {
    bytes[at] = 0xc0 | (code >> 6)
    bytes[at + 1] = 0x80 | (code & 0x3f)
    return 2
  }
  if (code < 0x1_0000) {
    bytes[at] = 0xe0 | (code >> 12)
    bytes[at + 1] = 0x80 | ((code >> 6) & 0x3f)
    bytes[at + 2] = 0x80 | (code & 0x3f)
    return 3
  }
  bytes[at] = 0xf0 | (code >> 18)
  bytes[at + 1] = 0x80 | ((code >> 12) & 0x3f)
  bytes[at + 2] = 0x80 | ((code >> 6) & 0x3f)
  bytes[at + 3] = 0x80 | (code & 0x3f)
  return 4
}

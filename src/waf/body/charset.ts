import { scratch, writeUtf8 } from './bytes.ts'

/** A body as UTF-8 bytes, and what is wrong with its encoding. */
export interface Decoded {
  readonly text: string
  readonly error: string | undefined
  /** Whether bytes beyond ASCII are to be UTF-8: not so in ISO-8859-1 and its like. */
  readonly utf8: boolean
  /** The bytes were UTF-16 or UTF-32. */
  readonly wide: boolean
}

type Wide = 'utf-16le' | 'utf-16be' | 'utf-32le' | 'utf-32be'

/** Charsets in which every ASCII byte means itself and no other sequence means an ASCII character. */
const transparent = /^(?:us-ascii|ascii|iso-?8859-\d{1,2}|latin1|(?:windows-|cp)125\d|koi8-[ru])$/
const utf8Names = /^utf-?8$/
const wideNames = /^(?:utf-?(?:16|32)(?:[bl]e)?|ucs-?[24]|iso-10646-ucs-[24])$/

/**
 * Brings JSON or XML to UTF-8. The bytes decide, not the label: both formats begin with an ASCII character, so zero bytes
 * or a byte order mark give UTF-16 and UTF-32 away (RFC 4627, section 3; XML 1.0, appendix F), and a label that says otherwise is
 * an error, because the upstream may believe it. Charsets that hide ASCII (UTF-7, EBCDIC, ISO-2022, UTF-16 by name only)
 * are an error, and the bytes are handed on as they are.
 */
export function decodeCharset(bytes: string, declared: string | undefined): Decoded {
  const wide = sniff(bytes)
  const label = declared?.toLowerCase()
  if (wide !== undefined) {
    const decoded = decodeWide(bytes, wide)
    const agrees = label === undefined || wideNames.test(label)
    const error = agrees ? decoded.error : `the body is ${wide}, not ${label}`
    return { text: decoded.text, error, utf8: true, wide: true }
  }
  const text = bytes.startsWith('\xef\xbb\xbf') ? bytes.slice(3) : bytes
  if (label === undefined || utf8Names.test(label)) return { text, error: undefined, utf8: true, wide: false }
  if (transparent.test(label)) return { text, error: undefined, utf8: false, wide: false }
  return { text, error: `the charset ${label.slice(0, 40)} cannot be read`, utf8: false, wide: false }
}

/** The value of a part in UTF-16 or UTF-32, as UTF-8. */
export function decodePart(bytes: string, charset: string): string {
  const label = charset.toLowerCase()
  if (!wideNames.test(label)) return bytes
  const wide =
    sniff(bytes) ?? (`${/32|ucs-?4/.test(label) ? 'utf-32' : 'utf-16'}${label.endsWith('le') ? 'le' : 'be'}` as Wide)
  return decodeWide(bytes, wide).text
}

/** The charset that a Content-Type names, in lower case. */
export function charsetOf(contentType: string): string | undefined {
  const found = /;[\t ]*charset[\t ]*=[\t ]*["']?([^\s"';,]+)/i.exec(contentType)
  return found?.[1]?.toLowerCase()
}

function sniff(bytes: string): Wide | undefined {
  if (bytes.length < 2) return undefined
  const first = bytes.charCodeAt(0)
  const second = bytes.charCodeAt(1)
  // Text in one byte a character begins with two bytes that are neither zero nor part of a mark: nearly every body.
  if (first !== 0 && second !== 0 && first < 0xfe) return undefined
  const third = bytes.length > 2 ? bytes.charCodeAt(2) : 1
  const fourth = bytes.length > 3 ? bytes.charCodeAt(3) : 1
  if (first === 0xff && second === 0xfe) return third === 0 && fourth === 0 ? 'utf-32le' : 'utf-16le'
  if (first === 0xfe && second === 0xff) return 'utf-16be'
  if (first === 0 && second === 0) return third === 0xfe || third === 0 ? 'utf-32be' : undefined
  if (first === 0) return 'utf-16be'
  if (second === 0) return third === 0 && fourth === 0 ? 'utf-32le' : 'utf-16le'
  return undefined
}

function decodeWide(bytes: string, wide: Wide): { readonly text: string; readonly error: string | undefined } {
  const width = wide.startsWith('utf-16') ? 2 : 4
  const little = wide.endsWith('le')
  const end = bytes.length - (bytes.length % width)
  // Two bytes become three at most, four become four.
  const into = scratch((bytes.length * 3) / 2 + 8)
  let error = end === bytes.length ? undefined : `the body is ${wide}, and its last character is not whole`
  let length = 0
  for (let at = 0; at < end; at += width) {
    let unit = readUnit(bytes, at, width, little)
    if (width === 2 && unit >= 0xd800 && unit < 0xdc00 && at + 2 < end) {
      const next = readUnit(bytes, at + 2, 2, little)
      if (next >= 0xdc00 && next < 0xe000) {
        unit = 0x10000 + ((unit - 0xd800) << 10) + (next - 0xdc00)
        at += 2
      }
    }
    if (at === 0 && unit === 0xfeff) continue
    if (unit > 0x10ffff || (unit >= 0xd800 && unit < 0xe000)) {
      error ??= `the body is ${wide}, and holds what is no character`
      unit = 0xfffd
    }
    length = writeUtf8(into, length, unit)
  }
  return { text: into.toString('latin1', 0, length), error }
}

function readUnit(bytes: string, at: number, width: 2 | 4, little: boolean): number {
  let unit = 0
  for (let i = 0; i < width; i++) unit = unit * 256 + bytes.charCodeAt(at + (little ? width - 1 - i : i))
  return unit
}

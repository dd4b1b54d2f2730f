import { hexDigit, noDigit } from './digits.ts'
import { bytesOf, stringOf } from './scratch.ts'
import { type Transformation, transformation } from './transformation.ts'
import { writeUtf8 } from './utf8.ts'

/** Read with or without `;`, in any case, as browsers and ModSecurity do. A no-break space becomes the one byte that it is in Latin-1. */
const oldNames: readonly (readonly [name: string, byte: number])[] = [
  ['quot', 0x22],
  ['amp', 0x26],
  ['lt', 0x3c],
  ['gt', 0x3e],
  ['nbsp', 0xa0],
]

/**
 * The names of HTML (13.5) that stand for ASCII; they count only as they are written here and with `;`. ModSecurity does not know them, Coraza
 * and browsers do: `javascript&colon;alert(1)`.
 */
const names: ReadonlyMap<string, string> = new Map(
  Object.entries({
    '\t': 'Tab',
    '\n': 'NewLine',
    '!': 'excl',
    '"': 'QUOT',
    '#': 'num',
    $: 'dollar',
    '%': 'percnt',
    "'": 'apos',
    '(': 'lpar',
    ')': 'rpar',
    '*': 'ast midast',
    '+': 'plus',
    ',': 'comma',
    '.': 'period',
    '/': 'sol',
    ':': 'colon',
    ';': 'semi',
    '<': 'nvlt',
    '=': 'equals bne',
    '>': 'nvgt',
    '?': 'quest',
    '@': 'commat',
    '[': 'lsqb lbrack',
    '\\': 'bsol',
    ']': 'rsqb rbrack',
    '^': 'Hat',
    _: 'lowbar UnderBar',
    '`': 'grave DiacriticalGrave',
    '{': 'lcub lbrace',
    '|': 'verbar vert VerticalLine',
    '}': 'rcub rbrace',
    fj: 'fjlig',
  }).flatMap(([text, all]) => all.split(' ').map((name): [string, string] => [name, text])),
)
const nameCharsMax = Math.max(...[...names.keys()].map((name) => name.length))

/** `&lt;`, `&#60;`, `&#x3c;` and the like, also without `;`. Numbers up to 255 become one byte, larger ones UTF-8. */
export const htmlEntityDecode: Transformation = transformation('htmlEntityDecode', '&', (value) => {
  let i = value.indexOf('&')
  if (i === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = i
  let changed = false
  while (i < length) {
    const byte = bytes[i]!
    if (byte === 0x26 && i + 1 < length) {
      // What an entity stands for is never longer than itself, so writing cannot overtake reading.
      const after = bytes[i + 1] === 0x23 ? readNumber(bytes, i + 2, length) : readName(bytes, i + 1, length)
      if (after !== 0) {
        for (let k = 0; k < decodedLength; k++) bytes[end++] = decoded[k]!
        i = bytes[after] === 0x3b && after < length ? after + 1 : after
        changed = true
        continue
      }
    }
    bytes[end++] = byte
    i++
  }
  return changed ? stringOf(bytes, end) : value
})

/** What the last entity stands for. */
const decoded = new Uint8Array(4)
let decodedLength = 0

/** Reads behind `&#`; gives where the digits end, or 0 if there are none. */
function readNumber(bytes: Uint8Array, start: number, length: number): number {
  const isHex = start < length && (bytes[start]! | 0x20) === 0x78
  const base = isHex ? 16 : 10
  const first = isHex ? start + 1 : start
  let i = first
  let code = 0
  for (; i < length; i++) {
    const digit = hexDigit[bytes[i]!]!
    if (digit === noDigit || digit >= base) break
    code = Math.min(code * base + digit, 0x11_0000)
  }
  if (i === first) return 0
  if (code <= 0xff) {
    decoded[0] = code
    decodedLength = 1
  } else {
    decodedLength = writeUtf8(decoded, 0, code)
  }
  return i
}

/** Reads behind `&`; gives where the name ends, or 0 if it is none that we know. */
function readName(bytes: Uint8Array, start: number, length: number): number {
  for (const [name, byte] of oldNames) {
    if (start + name.length > length) continue
    let i = 0
    while (i < name.length && (bytes[start + i]! | 0x20) === name.charCodeAt(i)) i++
    if (i < name.length) continue
    decoded[0] = byte
    decodedLength = 1
    return start + i
  }
  let i = start
  let name = ''
  while (i < length && name.length <= nameCharsMax && isLetter(bytes[i]!)) name += String.fromCharCode(bytes[i++]!)
  if (name.length < 3 || i >= length || bytes[i] !== 0x3b) return 0
  const text = names.get(name)
  if (text === undefined) return 0
  decodedLength = text.length
  for (let k = 0; k < text.length; k++) decoded[k] = text.charCodeAt(k)
  return i
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x7a
}

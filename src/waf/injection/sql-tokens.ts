/*
 * SQL as libinjection reads it: without a grammar, byte by byte, into tokens of one letter each. What a database would refuse it takes as well as it
 * goes, since what is injected is only a part of a statement. Written after the reference implementation (libinjection 4, `libinjection_sqli.c`);
 * where that relies on C (a signed char, `strchr` finding the NUL that ends its set) the consequence is kept and named, as verdicts depend on it.
 */

/** The letters of tokens, which make up fingerprints. */
export const kinds = {
  none: 0,
  keyword: 0x6b, // k
  union: 0x55, // U
  group: 0x42, // B
  expression: 0x45, // E
  type: 0x74, // t
  function: 0x66, // f
  bareword: 0x6e, // n
  number: 0x31, // 1
  variable: 0x76, // v
  string: 0x73, // s
  operator: 0x6f, // o
  logic: 0x26, // &
  comment: 0x63, // c
  collate: 0x41, // A
  leftParenthesis: 0x28,
  rightParenthesis: 0x29,
  leftBrace: 0x7b,
  rightBrace: 0x7d,
  dot: 0x2e,
  comma: 0x2c,
  colon: 0x3a,
  semicolon: 0x3b,
  transact: 0x54, // T
  unknown: 0x3f, // ?
  evil: 0x58, // X
  backslash: 0x5c,
} as const

/** What words are to libinjection. */
export interface SqlWords {
  /** The letter of a word or phrase in any case; 0 for one that SQL does not know. */
  kindOf(text: string): number
  /** By hash of a text: 0 if it is no word of SQL. Most words of most values are none, and need not be cut out to be looked up. */
  readonly mayBeWord: Uint8Array
  /** By hash of a text: 0 if no phrase begins with it. */
  readonly mayBegin: Uint8Array
}

export const hashesMax: number = 1 << 14

/** Goes on with the hash of a text, the case of letters aside; the hash of an empty one is 0. */
export function hashOn(hash: number, byte: number): number {
  return (hash * 31 + (byte | 0x20)) & (hashesMax - 1)
}

/** One token. Seven of them are made for a reading and written over again and again. */
export interface SqlToken {
  kind: number
  /** Where its text begins; text that was put together stands in `merged`. */
  start: number
  /** At most 31: what is longer is cut, and is no word any more. */
  length: number
  merged: string | undefined
  /** The hash of a word's text, or -1. */
  hash: number
  /** The byte that opened and closed a string; 0 where the value began or ended within it. */
  open: number
  close: number
}

/** A reading of one value. */
export interface SqlReading {
  readonly words: SqlWords
  text: string
  at: number
  /** MySQL's comments: `#` begins one, `--` only before white space. */
  mysql: boolean
  /** The quote the value is taken to begin in, or 0. */
  quote: number
  tokenCount: number
  /** Whether there was a comment that the dialects disagree on: then the value is read once more, as MySQL. */
  ambiguous: boolean
}

export const tokenTextMax = 31

export function createToken(): SqlToken {
  return { kind: 0, start: 0, length: 0, merged: undefined, hash: -1, open: 0, close: 0 }
}

export function clearToken(token: SqlToken): void {
  token.kind = 0
  token.start = 0
  token.length = 0
  token.merged = undefined
  token.hash = -1
  token.open = 0
  token.close = 0
}

export function copyToken(to: SqlToken, from: SqlToken): void {
  to.kind = from.kind
  to.start = from.start
  to.length = from.length
  to.merged = from.merged
  to.hash = from.hash
  to.open = from.open
  to.close = from.close
}

export function textOf(reading: SqlReading, token: SqlToken): string {
  return token.merged ?? reading.text.slice(token.start, token.start + token.length)
}

/** Byte `index` of a token's text, or 0. */
export function byteOf(reading: SqlReading, token: SqlToken, index: number): number {
  if (index >= token.length) return 0
  return token.merged === undefined ? reading.text.charCodeAt(token.start + index) : token.merged.charCodeAt(index)
}

/** Reads the next token. False at the end of the value. */
export function nextToken(reading: SqlReading, token: SqlToken): boolean {
  const { text } = reading
  const length = text.length
  clearToken(token)
  if (length === 0) return false
  if (reading.at === 0 && reading.quote !== 0) {
    reading.at = readString(reading, token, 0, reading.quote, 0)
    reading.tokenCount++
    return true
  }
  while (reading.at < length) {
    reading.at = readToken(reading, token, reading.at)
    if (token.kind !== kinds.none) {
      reading.tokenCount++
      return true
    }
  }
  return false
}

function assign(token: SqlToken, kind: number, start: number, length: number): void {
  token.kind = kind
  token.start = start
  token.length = Math.min(length, tokenTextMax)
}

const readerOf = {
  white: 1,
  letter: 2,
  number: 3,
  single: 4,
  pair: 5,
  itself: 6,
  quote: 7,
  dash: 8,
  slash: 9,
  hash: 10,
  backslash: 11,
  dollar: 12,
  at: 13,
  tick: 14,
  bracket: 15,
  other: 16,
  b: 17,
  e: 18,
  n: 19,
  q: 20,
  u: 21,
  x: 22,
} as const

const readers: Uint8Array = new Uint8Array(256).fill(readerOf.letter)
readers.fill(readerOf.white, 0, 33)
for (const [bytes, reader] of [
  ['\x7f\xa0', readerOf.white],
  ['.0123456789', readerOf.number],
  ['%+^~', readerOf.single],
  ['!&*:<=>|', readerOf.pair],
  ['(),;{}', readerOf.itself],
  ['\'"', readerOf.quote],
  ['-', readerOf.dash],
  ['/', readerOf.slash],
  ['#', readerOf.hash],
  ['\\', readerOf.backslash],
  ['$', readerOf.dollar],
  ['@', readerOf.at],
  ['`', readerOf.tick],
  ['[', readerOf.bracket],
  ['?]', readerOf.other],
  ['bB', readerOf.b],
  ['eE', readerOf.e],
  ['nN', readerOf.n],
  ['qQ', readerOf.q],
  ['uU', readerOf.u],
  ['xX', readerOf.x],
] as const) {
  for (let i = 0; i < bytes.length; i++) readers[bytes.charCodeAt(i)] = reader
}

/** Reads what begins at `at`, and gives where it ends. */
function readToken(reading: SqlReading, token: SqlToken, at: number): number {
  const { text } = reading
  const byte = text.charCodeAt(at)
  switch (readers[byte]) {
    case readerOf.white:
      return at + 1
    case readerOf.letter:
      return readWord(reading, token, at)
    case readerOf.number:
      return readNumber(text, token, at)
    case readerOf.single:
      assign(token, kinds.operator, at, 1)
      return at + 1
    case readerOf.pair:
      return readOperator(text, token, at)
    case readerOf.itself:
      assign(token, byte, at, 1)
      return at + 1
    case readerOf.quote:
      return readString(reading, token, at, byte, 1)
    case readerOf.dash:
      return readDash(reading, token, at)
    case readerOf.slash:
      return readSlash(text, token, at)
    case readerOf.hash:
      reading.ambiguous = true
      if (reading.mysql) return readLineComment(text, token, at)
      assign(token, kinds.operator, at, 1)
      return at + 1
    case readerOf.backslash:
      // `\N` is NULL in MySQL, and only with a capital letter.
      if (text.charCodeAt(at + 1) === 0x4e) {
        assign(token, kinds.number, at, 2)
        return at + 2
      }
      assign(token, kinds.backslash, at, 1)
      return at + 1
    case readerOf.dollar:
      return readDollar(reading, token, at)
    case readerOf.at:
      return readVariable(reading, token, at)
    case readerOf.tick:
      return readTicked(reading, token, at)
    case readerOf.bracket:
      return readBracketed(text, token, at)
    case readerOf.b:
      return readDigitString(reading, token, at, isBinaryDigit)
    case readerOf.x:
      return readDigitString(reading, token, at, isHexDigit)
    case readerOf.e:
      return readPrefixedString(reading, token, at)
    case readerOf.n:
      if (at + 2 < text.length && text.charCodeAt(at + 1) === 0x27) return readPrefixedString(reading, token, at)
      return readOracleString(reading, token, at, 1)
    case readerOf.q:
      return readOracleString(reading, token, at, 0)
    case readerOf.u:
      return readUnicodeString(reading, token, at)
    default:
      assign(token, kinds.unknown, at, 1)
      return at + 1
  }
}

function setOf(bytes: string): Uint8Array {
  const set = new Uint8Array(256)
  for (let i = 0; i < bytes.length; i++) set[bytes.charCodeAt(i)] = 1
  return set
}

/* In C the NUL that ends a set of bytes is found in it too: it ends words and goes on with digits. */
const endsWord = setOf(' []{}<>:\\?=@!#~+-*/&|^%(),\';\t\n\v\f\r"\xa0\0')
const endsVariable = setOf(' <>:\\?=@!#~+-*/&|^%(),\';\t\n\v\f\r`"\0')
const isHexDigit = setOf('0123456789abcdefABCDEF\0')
const isBinaryDigit = setOf('01\0')
const isAmount = setOf('0123456789.,\0')
const isTagLetter = setOf('abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ\0')
const isWhite = setOf(' \t\n\v\f\r\xa0\0')

/** Where the run of such bytes ends. */
function runEnd(text: string, from: number, set: Uint8Array): number {
  let at = from
  while (at < text.length && set[text.charCodeAt(at)] === 1) at++
  return at
}

/** A word, which ends before a dot or a backtick if what stands there is one of SQL: ``SELECT`a` ``. */
function readWord(reading: SqlReading, token: SqlToken, at: number): number {
  const { text, words } = reading
  let hash = 0
  let end = at
  for (; end < text.length; end++) {
    const byte = text.charCodeAt(end)
    if (endsWord[byte] === 1) break
    if ((byte === 0x2e || byte === 0x60) && end - at < tokenTextMax && words.mayBeWord[hash] === 1) {
      const kind = words.kindOf(text.slice(at, end))
      if (kind !== kinds.none && kind !== kinds.bareword) {
        assign(token, kind, at, end - at)
        token.hash = hash
        return end
      }
    }
    hash = hashOn(hash, byte)
  }
  assign(token, kinds.bareword, at, end - at)
  if (end - at <= tokenTextMax) {
    token.hash = hash
    if (words.mayBeWord[hash] === 1) token.kind = words.kindOf(text.slice(at, end)) || kinds.bareword
  }
  return end
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function readNumber(text: string, token: SqlToken, start: number): number {
  const length = text.length
  if (text.charCodeAt(start) === 0x30 && start + 1 < length) {
    const base = text.charCodeAt(start + 1) | 0x20
    const digits = base === 0x78 ? isHexDigit : base === 0x62 ? isBinaryDigit : undefined
    if (digits !== undefined) {
      const end = runEnd(text, start + 2, digits)
      assign(token, end === start + 2 ? kinds.bareword : kinds.number, start, end - start)
      return end
    }
  }
  let at = start
  while (isDigit(text.charCodeAt(at))) at++
  if (text.charCodeAt(at) === 0x2e) {
    at++
    while (isDigit(text.charCodeAt(at))) at++
    if (at - start === 1) {
      assign(token, kinds.dot, start, 1)
      return at
    }
  }
  let isWord = false
  if ((text.charCodeAt(at) | 0x20) === 0x65) {
    at++
    const sign = text.charCodeAt(at)
    if (sign === 0x2b || sign === 0x2d) at++
    isWord = !isDigit(text.charCodeAt(at))
    while (isDigit(text.charCodeAt(at))) at++
  }
  // Oracle's `1.5f` and `1.5d`; `1fUNION` is `1f UNION`, but `1from` is `1 from`.
  const suffix = text.charCodeAt(at) | 0x20
  if (suffix === 0x64 || suffix === 0x66) {
    const next = text.charCodeAt(at + 1)
    if (at + 1 === length || isWhite[next] === 1 || next === 0x3b || (next | 0x20) === 0x75) at++
  }
  assign(token, isWord ? kinds.bareword : kinds.number, start, at - start)
  return at
}

/** Operators of two bytes that begin with one of `! & * : < = > |`; `&&` and `||` are logic. */
const pairs: ReadonlySet<string> = new Set('!! != !< !> &= *= :: := << <= <> <@ >= >> |= |/'.split(' '))

/** Bytes that stand second in a pair. */
const secondOfPair = setOf('!<>=&*|:@/')

function readOperator(text: string, token: SqlToken, at: number): number {
  if (at + 1 < text.length && secondOfPair[text.charCodeAt(at + 1)] === 0) {
    assign(token, text.charCodeAt(at) === 0x3a ? kinds.colon : kinds.operator, at, 1)
    return at + 1
  }
  if (text.startsWith('<=>', at)) {
    assign(token, kinds.operator, at, 3)
    return at + 3
  }
  const pair = text.slice(at, at + 2)
  if (pair === '&&' || pair === '||') {
    assign(token, kinds.logic, at, 2)
    return at + 2
  }
  if (pairs.has(pair)) {
    assign(token, kinds.operator, at, 2)
    return at + 2
  }
  // The last byte of a value is an operator even if it is a colon.
  const isColon = text.charCodeAt(at) === 0x3a && pair.length === 2
  assign(token, isColon ? kinds.colon : kinds.operator, at, 1)
  return at + 1
}

function readLineComment(text: string, token: SqlToken, at: number): number {
  const end = text.indexOf('\n', at)
  assign(token, kinds.comment, at, (end === -1 ? text.length : end) - at)
  return end === -1 ? text.length : end + 1
}

/** `--` before white space or the end is a comment for all, elsewhere for all but MySQL, which reads two minus signs. */
function readDash(reading: SqlReading, token: SqlToken, at: number): number {
  const { text } = reading
  if (text.charCodeAt(at + 1) === 0x2d) {
    if (at + 2 === text.length || isWhite[text.charCodeAt(at + 2)] === 1) return readLineComment(text, token, at)
    if (!reading.mysql) {
      reading.ambiguous = true
      return readLineComment(text, token, at)
    }
  }
  assign(token, kinds.operator, at, 1)
  return at + 1
}

/** Comments of C. Nested ones and MySQL's conditional ones are read differently by each database: that alone is suspect. */
function readSlash(text: string, token: SqlToken, at: number): number {
  if (text.charCodeAt(at + 1) !== 0x2a) {
    assign(token, kinds.operator, at, 1)
    return at + 1
  }
  const close = text.indexOf('*/', at + 2)
  const end = close === -1 ? text.length : close + 2
  const nested = close === -1 ? -1 : text.indexOf('/*', at + 2)
  const isEvil = (nested !== -1 && nested < close) || text.charCodeAt(at + 2) === 0x21
  assign(token, isEvil ? kinds.evil : kinds.comment, at, end - at)
  return end
}

/** A string up to the quote that neither a backslash nor its own like escapes. `skip`: how many bytes stand before its text. */
function readString(reading: SqlReading, token: SqlToken, at: number, quote: number, skip: number): number {
  const { text } = reading
  const start = at + skip
  const mark = String.fromCharCode(quote)
  token.open = skip > 0 ? quote : 0
  let end = text.indexOf(mark, start)
  for (;;) {
    if (end === -1) {
      assign(token, kinds.string, start, text.length - start)
      token.close = 0
      return text.length
    }
    if (isEscaped(text, end, start)) {
      end = text.indexOf(mark, end + 1)
    } else if (text.charCodeAt(end + 1) === quote) {
      end = text.indexOf(mark, end + 2)
    } else {
      assign(token, kinds.string, start, end - start)
      token.close = quote
      return end + 1
    }
  }
}

/** Whether an odd number of backslashes stands before it. */
function isEscaped(text: string, at: number, start: number): boolean {
  let first = at
  while (first > start && text.charCodeAt(first - 1) === 0x5c) first--
  return ((at - first) & 1) === 1
}

/** `E'…'` of PostgreSQL and `N'…'` of MySQL. */
function readPrefixedString(reading: SqlReading, token: SqlToken, at: number): number {
  if (at + 2 >= reading.text.length || reading.text.charCodeAt(at + 1) !== 0x27) return readWord(reading, token, at)
  return readString(reading, token, at, 0x27, 2)
}

/** `U&'…'`. */
function readUnicodeString(reading: SqlReading, token: SqlToken, at: number): number {
  if (!reading.text.startsWith("&'", at + 1)) return readWord(reading, token, at)
  const end = readString(reading, token, at + 2, 0x27, 1)
  token.open = 0x75
  if (token.close === 0x27) token.close = 0x75
  return end
}

const closers: ReadonlyMap<number, number> = new Map([
  [0x28, 0x29],
  [0x5b, 0x5d],
  [0x7b, 0x7d],
  [0x3c, 0x3e],
])

/** Oracle's `q'[…]'`, and with `skip` `nq'[…]'`. */
function readOracleString(reading: SqlReading, token: SqlToken, at: number, skip: number): number {
  const { text } = reading
  const from = at + skip
  const opener = text.charCodeAt(from + 2)
  // A char of C is signed: bytes above 127 lie below the space.
  const isString =
    (text.charCodeAt(from) | 0x20) === 0x71 && text.charCodeAt(from + 1) === 0x27 && opener >= 33 && opener < 128
  if (!isString) return readWord(reading, token, at)
  const closer = `${String.fromCharCode(closers.get(opener) ?? opener)}'`
  const end = text.indexOf(closer, from + 3)
  assign(token, kinds.string, from + 3, (end === -1 ? text.length : end) - from - 3)
  token.open = 0x71
  token.close = end === -1 ? 0 : 0x71
  return end === -1 ? text.length : end + 2
}

/** `b'01'` and `x'ff'` are numbers. */
function readDigitString(reading: SqlReading, token: SqlToken, at: number, digits: Uint8Array): number {
  const { text } = reading
  if (at + 2 >= text.length || text.charCodeAt(at + 1) !== 0x27) return readWord(reading, token, at)
  const end = runEnd(text, at + 2, digits)
  if (text.charCodeAt(end) !== 0x27) return readWord(reading, token, at)
  assign(token, kinds.number, at, end - at + 1)
  return end + 1
}

/** `[name]` of SQL Server. */
function readBracketed(text: string, token: SqlToken, at: number): number {
  const close = text.indexOf(']', at)
  const end = close === -1 ? text.length : close + 1
  assign(token, kinds.bareword, at, end - at)
  return end
}

/** `` `name` `` of MySQL: a bare word, unless it names a function. */
function readTicked(reading: SqlReading, token: SqlToken, at: number): number {
  const end = readString(reading, token, at, 0x60, 1)
  token.kind = reading.words.kindOf(textOf(reading, token)) === kinds.function ? kinds.function : kinds.bareword
  return end
}

/** `@name`, `@@name`, and either with a quoted name. */
function readVariable(reading: SqlReading, token: SqlToken, at: number): number {
  const { text } = reading
  const start = text.charCodeAt(at + 1) === 0x40 ? at + 2 : at + 1
  const byte = text.charCodeAt(start)
  if (byte === 0x60 || byte === 0x27 || byte === 0x22) {
    const end = readString(reading, token, start, byte, 1)
    token.kind = kinds.variable
    return end
  }
  let end = start
  while (end < text.length && endsVariable[text.charCodeAt(end)] === 0) end++
  assign(token, kinds.variable, start, end - start)
  return end
}

/** `$1,000.00`, and the strings of PostgreSQL: `$$…$$`, `$tag$…$tag$`. */
function readDollar(reading: SqlReading, token: SqlToken, at: number): number {
  const { text } = reading
  if (at + 1 === text.length) {
    assign(token, kinds.bareword, at, 1)
    return at + 1
  }
  const amountEnd = runEnd(text, at + 1, isAmount)
  if (amountEnd === at + 2 && text.charCodeAt(at + 1) === 0x2e) return readWord(reading, token, at)
  if (amountEnd > at + 1) {
    assign(token, kinds.number, at, amountEnd - at)
    return amountEnd
  }
  const tagEnd = runEnd(text, at + 1, isTagLetter)
  if (text.charCodeAt(tagEnd) !== 0x24) {
    assign(token, kinds.bareword, at, 1)
    return at + 1
  }
  const start = tagEnd + 1
  const close = text.indexOf(text.slice(at, start), start)
  assign(token, kinds.string, start, (close === -1 ? text.length : close) - start)
  token.open = 0x24
  token.close = close === -1 ? 0 : 0x24
  return close === -1 ? text.length : close + start - at
}

import { isUtf8 } from 'node:buffer'

/** Why a JSON text was refused; stable, fit for a label. */
export type JsonReason =
  | 'empty'
  | 'encoding'
  | 'byte-order-mark'
  | 'syntax'
  | 'depth'
  | 'size'
  | 'duplicate-key'
  | 'forbidden-key'
  | 'number'
  | 'surrogate'

const sentences: Readonly<Record<JsonReason, string>> = {
  empty: 'expected a JSON text, found nothing',
  encoding: 'expected UTF-8',
  'byte-order-mark': 'expected JSON without a byte order mark',
  syntax: 'expected JSON',
  depth: 'nested too deep',
  size: 'more lists, objects, different keys or extreme numbers than can be handled',
  'duplicate-key': 'a key stands twice in one object',
  'forbidden-key': 'the key "__proto__" is not allowed',
  number: 'a number that does not survive as a double',
  surrogate: 'half of a surrogate pair',
}

/** A JSON text that cannot be read, or that two readers could read differently. Tells the place, never the content. */
export class JsonError extends Error {
  override readonly name = 'JsonError'
  readonly reason: JsonReason
  /** Offset of the first byte that is wrong; `undefined` where finding it would take too long. */
  readonly position: number | undefined

  constructor(reason: JsonReason, position: number | undefined) {
    super(position === undefined ? sentences[reason] : `${sentences[reason]} (at byte ${position})`)
    this.reason = reason
    this.position = position
  }
}

/** Levels of arrays and objects, unless the caller says otherwise. */
export const jsonDepthMax = 64

/**
 * Lists and objects, or keys, in a text of up to 1.6 MB; a larger one may have one in eight bytes. Real data has one in
 * twenty or more. Texts of nothing but brackets cost fifty times their size in memory, and time to look through.
 */
const membersMax = 200_000

/** Numbers of more than fifteen whole digits, or of exponents beyond two; each is read on its own. */
const extremesMax = 20_000

/** In a longer text it is told what is wrong, but not where: looking through 1 MB once more takes 50 ms. */
const placeBytesMax = 262_144

/**
 * Different keys in a text of up to 1 MB, beyond the first `keysUnhashed` keys of any kind; a larger text may have one
 * in 64 bytes. The parser keeps every new key as a name of its own, at 1 µs each, and objects of many keys are slow to
 * walk: 95,000 keys in 1 MB held the event loop for 150 ms (test/e2e/hostile.test.ts).
 */
const keysDistinctMax = 16_384
/** Real requests end here, and pay nothing for the counting. */
const keysUnhashed = 8_192

/** Marks of the keys seen, by hash. One scan at a time: it never waits. */
const marks = new Uint8Array(65_536)
const markBits = marks.length * 8
/** So that nobody can prepare keys of one hash. */
const markSeed = (Math.random() * 2 ** 32) | 0

/** Whether a key was most likely not seen since the marks were cleared. */
function isNewKey(bytes: Uint8Array, start: number, end: number): boolean {
  let hash = markSeed
  for (let i = start; i < end; i++) {
    hash = Math.imul(hash ^ bytes[i]!, 0x5bd1e995)
    hash ^= hash >>> 15
  }
  const bit = (hash >>> 0) % markBits
  const mask = 1 << (bit & 7)
  if ((marks[bit >> 3]! & mask) !== 0) return false
  marks[bit >> 3]! |= mask
  return true
}

/**
 * Parses JSON that every reader reads alike (I-JSON, RFC 7493): UTF-8 without a byte order mark, no key twice, no
 * number that a double cannot hold, no lone surrogate; and no `__proto__`, which is a trap for whoever copies the
 * value. Throws `JsonError`.
 *
 * One pass over the bytes bounds the depth before the parser sees the text and counts the keys; a second, over the
 * parsed value, counts the keys that are left. When they differ, one stood twice. That is cheaper than a set per
 * object: about 2 µs for 1 KB with 48 values, over JSON.parse alone.
 */
export function parseStrictJson(bytes: Uint8Array, depthMax: number = jsonDepthMax): unknown {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const found = scan(buffer, depthMax)
  if (!found.ascii && !isUtf8(bytes)) throw new JsonError('encoding', firstInvalidUtf8(bytes))
  let value: unknown
  try {
    value = JSON.parse(found.ascii ? buffer.toString('latin1') : buffer.toString('utf8'))
  } catch {
    throw found.suspect ?? placed('syntax', buffer, depthMax)
  }
  if (found.suspect !== undefined) throw found.suspect
  if (found.keys > 0 && countKeys(value) !== found.keys) throw placed('duplicate-key', buffer, depthMax)
  return value
}

interface Scan {
  readonly ascii: boolean
  /** Colons outside strings: in a text that parses, one for each key. */
  readonly keys: number
  /** What is wrong, should the text be JSON at all. */
  readonly suspect: JsonError | undefined
}

const quote = 0x22
const backslash = 0x5c

function scan(bytes: Buffer, depthMax: number): Scan {
  const length = bytes.length
  if (length === 0) throw new JsonError('empty', 0)
  if (length >= 3 && bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf)
    throw new JsonError('byte-order-mark', 0)
  const most = Math.max(membersMax, length >> 3)
  let depth = 0
  let containers = 0
  let keys = 0
  let distinct = 0
  let extremes = 0
  let seen = 0
  let suspect: JsonError | undefined
  // Where the last string began and whether it holds an escape: to look at it again should it turn out to be a key.
  let stringAt = 0
  let stringEnd = 0
  let escaped = false
  let i = 0
  while (i < length) {
    const byte = bytes[i]!
    if (byte === quote) {
      stringAt = i++
      escaped = false
      for (;;) {
        if (i >= length) throw new JsonError('syntax', length)
        const inner = bytes[i]!
        if (inner === quote) break
        seen |= inner
        if (inner === backslash) {
          escaped = true
          if (bytes[i + 1] === 0x75) {
            const width = surrogateEscape(bytes, i)
            if (width === 0) suspect ??= new JsonError('surrogate', i)
            i += width === 12 ? 12 : 2
          } else i += 2
        } else i++
      }
      stringEnd = i++
    } else if (byte === 0x3a) {
      if (++keys > keysUnhashed) {
        if (keys > most) throw new JsonError('size', i)
        if (keys === keysUnhashed + 1) marks.fill(0)
        if (isNewKey(bytes, stringAt, stringEnd) && ++distinct > Math.max(keysDistinctMax, length >> 6))
          throw new JsonError('size', i)
      }
      i++
      if (mayBeProto(bytes, stringAt, stringEnd, escaped) && isProto(bytes, stringAt, stringEnd + 1))
        suspect ??= new JsonError('forbidden-key', stringAt)
    } else if (byte === 0x7b || byte === 0x5b) {
      if (++depth > depthMax) throw new JsonError('depth', i)
      if (++containers > most) throw new JsonError('size', i)
      i++
    } else if (byte === 0x7d || byte === 0x5d) {
      depth--
      i++
    } else if (byte >= 0x30 && byte <= 0x39) {
      const start = i
      let dotAt = 0
      let exponentAt = 0
      i++
      while (i < length) {
        const next = bytes[i]!
        if (next >= 0x30 && next <= 0x39) i++
        else if (next === 0x2e) dotAt = i++
        else if (next === 0x2b || next === 0x2d) i++
        else if (next === 0x65 || next === 0x45) exponentAt = i++
        else break
      }
      // Fifteen digits before the point always fit a double; three hundred behind it are too many to be sure.
      const mantissaEnd = exponentAt === 0 ? i : exponentAt
      const wholeDigits = (dotAt === 0 ? mantissaEnd : dotAt) - start
      const exponentDigits = i - mantissaEnd - (exponentAt !== 0 && bytes[exponentAt + 1]! < 0x30 ? 2 : 1)
      if (wholeDigits > 15 || i - start >= 300 || exponentDigits > 2) {
        if (++extremes > extremesMax) throw new JsonError('size', start)
        if (losesValue(bytes, start, i)) suspect ??= new JsonError('number', start)
      }
    } else {
      seen |= byte
      i++
    }
  }
  return { ascii: seen < 0x80, keys, suspect }
}

/** For a `\u` escape at `at`: 6 when it is no surrogate, 12 when it begins a whole pair, 0 when half is missing. */
function surrogateEscape(bytes: Uint8Array, at: number): 0 | 6 | 12 {
  // The second hexadecimal digit decides: D8–DB leads, DC–DF follows (RFC 8259, 7).
  if ((bytes[at + 2]! | 0x20) !== 0x64) return 6
  const second = bytes[at + 3]! | 0x20
  const leads = second === 0x38 || second === 0x39 || second === 0x61 || second === 0x62
  const follows = second >= 0x63 && second <= 0x66
  if (!leads && !follows) return 6
  if (!leads || bytes[at + 6] !== backslash || bytes[at + 7] !== 0x75 || (bytes[at + 8]! | 0x20) !== 0x64) return 0
  const partner = bytes[at + 9]! | 0x20
  return partner >= 0x63 && partner <= 0x66 ? 12 : 0
}

/** Tells nearly every key from `__proto__` without reading it: by its length and its first character. */
function mayBeProto(bytes: Buffer, start: number, end: number, escaped: boolean): boolean {
  const first = bytes[start + 1]
  if (!escaped) return end - start === 10 && first === 0x5f
  return end - start > 10 && (first === 0x5f || (first === backslash && bytes[start + 2] === 0x75))
}

function isProto(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > 80) return false // `__proto__` with every character escaped has 54 bytes.
  try {
    return JSON.parse(bytes.toString('latin1', start, end)) === '__proto__'
  } catch {
    return false
  }
}

function losesValue(bytes: Buffer, start: number, end: number): boolean {
  const text = bytes.toString('latin1', start, end)
  const value = Number(text)
  if (Number.isNaN(value)) return false // No number at all; the parser says so.
  if (!Number.isFinite(value)) return true
  if (value === 0) return /^[0.]*[1-9]/.test(text)
  return value > Number.MAX_SAFE_INTEGER && !/[eE]/.test(text)
}

/** Keys of all objects in a parsed value. Depth is bounded by the scan. */
function countKeys(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  let count = 0
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) {
      const item: unknown = value[i]
      if (typeof item === 'object' && item !== null) count += countKeys(item)
    }
    return count
  }
  for (const key in value) {
    count++
    const item = (value as Record<string, unknown>)[key]
    if (typeof item === 'object' && item !== null) count += countKeys(item)
  }
  return count
}

function firstInvalidUtf8(bytes: Uint8Array): number {
  let low = 0
  let high = bytes.length
  // The longest valid prefix, by halving; a cut inside a character is not an error of the part before it.
  while (low < high) {
    const middle = (low + high + 1) >> 1
    let whole = middle
    while (whole > 0 && middle - whole < 3 && whole < bytes.length && (bytes[whole]! & 0xc0) === 0x80) whole--
    if (isUtf8(bytes.subarray(0, whole))) low = middle
    else high = middle - 1
  }
  return low
}

/** Whether a byte may stand in a number or in `true`, `false`, `null`. */
function isOfToken(byte: number): boolean {
  return (
    (byte >= 0x30 && byte <= 0x39) ||
    (byte >= 0x61 && byte <= 0x7a) ||
    byte === 0x2e ||
    byte === 0x2b ||
    byte === 0x2d ||
    byte === 0x45
  )
}

function placed(reason: JsonReason, bytes: Buffer, depthMax: number): JsonError {
  return bytes.length > placeBytesMax ? new JsonError(reason, undefined) : firstFault(bytes, depthMax)
}

/** Reads a text that is known to be refused once more, slowly and exactly, to say where and why. */
function firstFault(bytes: Buffer, depthMax: number): JsonError {
  let i = 0
  let depth = 0
  const fail = (reason: JsonReason, position = i): never => {
    throw new JsonError(reason, position)
  }
  const space = () => {
    while (bytes[i] === 0x20 || bytes[i] === 0x0a || bytes[i] === 0x0d || bytes[i] === 0x09) i++
  }
  /** Skips a string; tells whether it holds an escape. */
  const string = (): boolean => {
    let escaped = false
    i++
    while (bytes[i] !== quote) {
      if (i >= bytes.length || bytes[i]! < 0x20) fail('syntax')
      if (bytes[i] === backslash) {
        escaped = true
        i++
        if (bytes[i] === 0x75) {
          if (!/^[0-9a-fA-F]{4}$/.test(bytes.toString('latin1', i + 1, i + 5))) fail('syntax')
          i += 5
        } else if (i < bytes.length && '"\\/bfnrt'.includes(String.fromCharCode(bytes[i]!))) i++
        else fail('syntax')
      } else i++
    }
    i++
    return escaped
  }
  /** A key's UTF-8, a character a byte: equal for equal keys, and cheap for those without escapes. */
  const key = (): string => {
    const start = i
    if (!string()) return bytes.toString('latin1', start + 1, i - 1)
    return Buffer.from(JSON.parse(bytes.toString('utf8', start, i)) as string).toString('latin1')
  }
  const value = (): void => {
    space()
    const byte = bytes[i]
    if (byte === quote) string()
    else if (byte === 0x7b) object()
    else if (byte === 0x5b) array()
    else {
      // Digits alone are most of what there is, and cheap to tell.
      let end = i
      if (byte !== 0x30) while (bytes[end]! >= 0x30 && bytes[end]! <= 0x39) end++
      if (end > i && !isOfToken(bytes[end] ?? 0)) {
        i = end
        return space()
      }
      // Letters, digits and signs; the window is wide enough for any number worth reading.
      while (end < bytes.length && end < i + 2_048 && isOfToken(bytes[end]!)) end++
      const token = /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)/.exec(
        bytes.toString('latin1', i, end),
      )
      if (token === null) fail('syntax')
      i += token![0].length
    }
    space()
  }
  const array = (): void => {
    if (++depth > depthMax) fail('depth')
    i++
    space()
    if (bytes[i] !== 0x5d) {
      value()
      while (bytes[i] === 0x2c) {
        i++
        value()
      }
      if (bytes[i] !== 0x5d) fail('syntax')
    }
    i++
    depth--
  }
  const object = (): void => {
    if (++depth > depthMax) fail('depth')
    i++
    let first: string | undefined
    let others: Set<string> | undefined
    space()
    if (bytes[i] !== 0x7d) {
      for (;;) {
        space()
        if (bytes[i] !== quote) fail('syntax')
        const at = i
        const name = key()
        if (first === undefined) first = name
        else {
          others ??= new Set()
          if (name === first || others.has(name)) fail('duplicate-key', at)
          others.add(name)
        }
        space()
        if (bytes[i] !== 0x3a) fail('syntax')
        i++
        value()
        if (bytes[i] !== 0x2c) break
        i++
      }
      if (bytes[i] !== 0x7d) fail('syntax')
    }
    i++
    depth--
  }
  try {
    value()
    if (i < bytes.length) fail('syntax')
  } catch (error) {
    if (error instanceof JsonError) return error
    throw error
  }
  return new JsonError('syntax', bytes.length)
}

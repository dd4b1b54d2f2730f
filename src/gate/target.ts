import { type Denial, denial } from './verdict.ts'

/** One canonical request target: what is matched is what is forwarded. */
export interface Target {
  /** Begins with `/`; percent-encoding normalised (RFC 3986, 6.2.2), no dot segments, no encoded slashes. */
  readonly path: string
  /** Without the `?`; empty when there is none. */
  readonly query: string
  /** Host and optional port in lower case, from the authority or the Host header. */
  readonly authority: string
}

/** The two parts of a target in origin-form. */
export interface PathAndQuery {
  readonly path: string
  readonly query: string
}

/** Longer targets are refused, however much room the headers may take: every regular expression below meets one. */
export const targetLengthMax = 8_192

export const targetDenials = {
  form: denial(400, 'protocol.target', 'The request target must be a path that begins with "/" (RFC 9112, 3.2.1).'),
  long: denial(414, 'protocol.target-too-long', 'The request target is too long.'),
  character: denial(
    400,
    'protocol.target-character',
    'The request target holds a character that must be percent-encoded.',
  ),
  encoding: denial(400, 'protocol.target-encoding', 'The request target is not percent-encoded UTF-8.'),
  encodedSlash: denial(400, 'protocol.encoded-slash', 'Encoded slashes and backslashes are not accepted in the path.'),
  dotSegment: denial(400, 'protocol.dot-segment', 'Dot segments are not accepted in the path.'),
  emptySegment: denial(400, 'protocol.empty-segment', 'Empty segments are not accepted in the path.'),
  host: denial(400, 'protocol.host', 'The request must name exactly one valid host.'),
  hostMismatch: denial(400, 'protocol.host-mismatch', 'The request target and the Host header name different hosts.'),
} as const satisfies Record<string, Denial>

// What a character is, in a path and in a query. `plain` goes through as it is.
const plain = 0
const slash = 1
const dot = 2
const percent = 3
const question = 4
/** Browsers leave these as they are (WHATWG URL, path percent-encode set), RFC 3986 wants them encoded. */
const encode = 5
const backslash = 6
const bad = 7

const pathClass = new Uint8Array(128).fill(bad)
const queryClass = new Uint8Array(128).fill(bad)
// pchar (RFC 3986, 3.3). `;` parameters are part of their segment and stay as they are.
for (const char of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_~!$&'()*+,;=:@") {
  pathClass[char.charCodeAt(0)] = plain
}
pathClass[0x2f] = slash
pathClass[0x2e] = dot
pathClass[0x25] = percent
pathClass[0x3f] = question
pathClass[0x5c] = backslash
for (const char of '[]|') pathClass[char.charCodeAt(0)] = encode
// Every printable ASCII character but `#`: `filter[name]=x` is what browsers and client libraries send.
for (let code = 0x21; code < 0x7f; code++) queryClass[code] = plain
queryClass[0x23] = bad
queryClass[0x25] = percent

/** Splits and normalises a target in origin-form, or says why there is more than one way to read it. */
export function readOriginForm(text: string): PathAndQuery | Denial {
  const length = text.length
  if (length === 0 || text.charCodeAt(0) !== 0x2f) return targetDenials.form
  if (length > targetLengthMax) return targetDenials.long
  // Hot path: one scan by character codes, no allocation but for the parts. Anything unusual leaves it.
  let before = slash
  let i = 1
  for (; i < length; i++) {
    const code = text.charCodeAt(i)
    const kind = code < 128 ? pathClass[code]! : bad
    if (kind === plain) {
      before = plain
      continue
    }
    if (kind === question) break
    if (kind === slash) {
      if (before === slash) return targetDenials.emptySegment
      before = slash
      continue
    }
    if (kind !== dot || before === slash) return readUnusual(text)
    before = dot
  }
  if (i === length) return { path: text, query: '' }
  const refusal = checkQuery(text, i + 1)
  return refusal ?? { path: text.slice(0, i), query: text.slice(i + 1) }
}

function readUnusual(text: string): PathAndQuery | Denial {
  const mark = text.indexOf('?')
  const end = mark === -1 ? text.length : mark
  const path = normalisePath(text, end)
  if (typeof path !== 'string') return path
  if (mark === -1) return { path, query: '' }
  return checkQuery(text, mark + 1) ?? { path, query: text.slice(mark + 1) }
}

/** The bytes of a run of escapes, to be read as UTF-8 when the run ends. */
const utf8 = new TextDecoder('utf-8', { fatal: true })

function normalisePath(text: string, end: number): string | Denial {
  let out = ''
  let bytes: number[] | undefined
  for (let i = 0; i < end; ) {
    const code = text.charCodeAt(i)
    const kind = code < 128 ? pathClass[code]! : bad
    if (kind === bad) return targetDenials.character
    if (kind === backslash) return targetDenials.encodedSlash
    if (kind !== percent) {
      if (bytes !== undefined) {
        if (!isUtf8(bytes)) return targetDenials.encoding
        bytes = undefined
      }
      out += kind === encode ? escapeOf(code) : text[i]!
      i++
      continue
    }
    const byte = byteAt(text, i, end)
    if (byte === -1) return targetDenials.encoding
    // An upstream that decodes before it routes would see another path than the one that was matched.
    if (byte === 0x2f || byte === 0x5c) return targetDenials.encodedSlash
    if (byte < 0x20 || byte === 0x7f) return targetDenials.character
    if (byte >= 0x80) {
      bytes ??= []
      bytes.push(byte)
    } else if (bytes !== undefined) {
      if (!isUtf8(bytes)) return targetDenials.encoding
      bytes = undefined
    }
    out += isUnreserved(byte) ? String.fromCharCode(byte) : escapeOf(byte)
    i += 3
  }
  if (bytes !== undefined && !isUtf8(bytes)) return targetDenials.encoding
  return checkSegments(out)
}

/** Looks at the segments after decoding: `%2e%2e` is `..` to whoever normalises (RFC 3986, 6.2.2.3). */
function checkSegments(path: string): string | Denial {
  let start = 1
  while (start <= path.length) {
    let end = path.indexOf('/', start)
    if (end === -1) end = path.length
    if (end === start && end < path.length) return targetDenials.emptySegment
    if (path.charCodeAt(start) === 0x2e && isDotSegment(path.slice(start, end))) return targetDenials.dotSegment
    start = end + 1
  }
  return path
}

/** `.`, `..`, and with a path parameter: servlet containers drop `;…` before they resolve `..;/`. */
function isDotSegment(segment: string): boolean {
  return /^\.\.?(?:$|;|%3B)/.test(segment)
}

function checkQuery(text: string, start: number): Denial | undefined {
  let bytes: number[] | undefined
  for (let i = start; i < text.length; i++) {
    const code = text.charCodeAt(i)
    const kind = code < 128 ? queryClass[code]! : bad
    if (kind === bad) return targetDenials.character
    if (kind === percent) {
      const byte = byteAt(text, i, text.length)
      if (byte === -1) return targetDenials.encoding
      if (byte === 0) return targetDenials.character
      i += 2
      if (byte >= 0x80) {
        bytes ??= []
        bytes.push(byte)
        continue
      }
    }
    if (bytes !== undefined) {
      if (!isUtf8(bytes)) return targetDenials.encoding
      bytes = undefined
    }
  }
  return bytes === undefined || isUtf8(bytes) ? undefined : targetDenials.encoding
}

/** Refuses overlong forms, surrogates and everything else that two decoders read differently (RFC 3629, 10). */
function isUtf8(bytes: readonly number[]): boolean {
  try {
    utf8.decode(Uint8Array.from(bytes))
    return true
  } catch {
    return false
  }
}

function byteAt(text: string, at: number, end: number): number {
  if (at + 2 >= end) return -1
  const high = hexDigit(text.charCodeAt(at + 1))
  const low = hexDigit(text.charCodeAt(at + 2))
  return high === -1 || low === -1 ? -1 : high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

function isUnreserved(byte: number): boolean {
  const lower = byte | 0x20
  if (lower >= 0x61 && lower <= 0x7a) return byte >= 0x41
  return (byte >= 0x30 && byte <= 0x39) || byte === 0x2d || byte === 0x2e || byte === 0x5f || byte === 0x7e
}

function escapeOf(byte: number): string {
  return `%${byte < 16 ? '0' : ''}${byte.toString(16).toUpperCase()}`
}

const hostName =
  /^(?=.{1,253}\.?(?::|$))[a-z0-9_](?:[a-z0-9_-]{0,62})(?:\.[a-z0-9_][a-z0-9_-]{0,62})*\.?(?::(\d{1,5}))?$/
const hostLiteral = /^\[([0-9a-f:.]{2,45})\](?::(\d{1,5}))?$/

/** Authorities seen before. A gate answers to few names; when it is full, somebody plays, and it starts again. */
const authorities = new Map<string, string>()
const authoritiesMax = 1_024

/** Host and port in lower case, without the root's dot; `undefined` for what is no host (RFC 9110, 7.2). */
export function readAuthority(text: string): string | undefined {
  const known = authorities.get(text)
  if (known !== undefined) return known
  const lower = text.length > 270 ? '' : text.toLowerCase()
  const match = hostName.exec(lower)
  const port = match === null ? hostLiteral.exec(lower)?.[2] : match[1]
  if (match === null && !isLiteral(lower)) return undefined
  if (port !== undefined && (Number(port) > 65_535 || Number(port) === 0)) return undefined
  const authority = match === null ? lower : lower.replace(/\.(?=:|$)/, '')
  if (authorities.size >= authoritiesMax) authorities.clear()
  authorities.set(text, authority)
  return authority
}

function isLiteral(text: string): boolean {
  const match = hostLiteral.exec(text)
  return match !== null && URL.canParse(`http://[${match[1]}]/`)
}

/** A target in absolute-form (RFC 9112, 3.2.2), cut into its authority and the rest. */
export function splitAbsoluteForm(
  text: string,
): { readonly scheme: 'http' | 'https'; readonly authority: string; readonly rest: string } | undefined {
  const match = /^(https?):\/\/([^/?#]+)(.*)$/is.exec(text)
  if (match === null) return undefined
  const rest = match[3]!
  return {
    scheme: match[1]!.toLowerCase() as 'http' | 'https',
    authority: match[2]!,
    rest: rest === '' || rest.startsWith('?') ? `/${rest}` : rest,
  }
}

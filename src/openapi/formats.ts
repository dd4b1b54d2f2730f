import { isIPv4, isIPv6 } from 'node:net'
import { domainToASCII, domainToUnicode } from 'node:url'

/*
 * The formats of JSON Schema 2020-12 and of OpenAPI. Every check is linear in the value's length: either a walk over
 * the characters, or an anchored expression that never has two ways to go on.
 */

/** What a value of a format must be: for strings or for numbers; values of the other type are none of its business. */
export type Format =
  | { readonly of: 'string'; readonly is: (value: string) => boolean; readonly name: string }
  | { readonly of: 'number'; readonly is: (value: number) => boolean; readonly name: string }

/** The check of a format; `undefined` for one that is not known, which asserts nothing (JSON Schema 2020-12, 7.2.3). */
export function formatOf(name: unknown): Format | undefined {
  return typeof name === 'string' ? formats.get(name) : undefined
}

const formats: ReadonlyMap<string, Format> = new Map<string, Format>([
  ...entries('string', {
    'date-time': [isDateTime, 'a date and time (RFC 3339)'],
    date: [isDate, 'a date (YYYY-MM-DD)'],
    time: [isTime, 'a time of day with offset (RFC 3339)'],
    duration: [isDuration, 'a duration (ISO 8601)'],
    email: [(value) => isEmail(value, false), 'an e-mail address'],
    'idn-email': [(value) => isEmail(value, true), 'an e-mail address'],
    hostname: [isHostname, 'a host name'],
    'idn-hostname': [isIdnHostname, 'a host name'],
    ipv4: [isIPv4, 'an IPv4 address'],
    ipv6: [(value: string) => isIPv6(value) && !value.includes('%'), 'an IPv6 address'],
    uri: [(value) => isUri(value, false, true), 'a URI'],
    'uri-reference': [(value) => isUri(value, false, false), 'a URI reference'],
    iri: [(value) => isUri(value, true, true), 'an IRI'],
    'iri-reference': [(value) => isUri(value, true, false), 'an IRI reference'],
    'uri-template': [isUriTemplate, 'a URI template (RFC 6570)'],
    uuid: [matches(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i), 'a UUID'],
    'json-pointer': [isJsonPointer, 'a JSON Pointer'],
    'relative-json-pointer': [isRelativeJsonPointer, 'a relative JSON Pointer'],
    regex: [isRegex, 'a regular expression (ECMA-262)'],
    byte: [isBase64, 'base64'],
    base64url: [matches(/^[A-Za-z0-9_-]*={0,2}$/), 'base64url'],
    int64: [isInt64, 'a 64-bit integer'],
  }),
])

const numberFormats: ReadonlyMap<string, Format> = new Map<string, Format>(
  entries('number', {
    int32: [(value) => Number.isInteger(value) && value >= -2147483648 && value <= 2147483647, 'a 32-bit integer'],
    // What a double cannot hold exactly never gets here: strict JSON refuses it.
    int64: [(value) => Number.isInteger(value) && value >= -(2 ** 63) && value < 2 ** 63, 'a 64-bit integer'],
    float: [(value) => Math.abs(value) <= 3.4028234663852886e38, 'a 32-bit float'],
    double: [Number.isFinite, 'a 64-bit float'],
  }),
)

/** Like `formatOf`, for numbers: `int64` means one thing for a number and another for a string. */
export function numberFormatOf(name: unknown): Format | undefined {
  return typeof name === 'string' ? numberFormats.get(name) : undefined
}

function entries<T extends 'string' | 'number'>(
  of: T,
  table: Readonly<Record<string, readonly [(value: T extends 'string' ? string : number) => boolean, string]>>,
): [string, Format][] {
  return Object.entries(table).map(([key, [is, name]]) => [key, { of, is, name } as Format])
}

function matches(pattern: RegExp): (value: string) => boolean {
  return (value) => pattern.test(value)
}

const daysOfMonth = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]

/** The number that two digits write, or -1. Formats are checked by the million, so without expressions. */
function twoDigits(value: string, at: number): number {
  const tens = value.charCodeAt(at) - 0x30
  const ones = value.charCodeAt(at + 1) - 0x30
  return tens >= 0 && tens <= 9 && ones >= 0 && ones <= 9 ? tens * 10 + ones : -1
}

function isDate(value: string): boolean {
  return value.length === 10 && beginsWithDate(value)
}

function beginsWithDate(value: string): boolean {
  const century = twoDigits(value, 0)
  const years = twoDigits(value, 2)
  const month = twoDigits(value, 5)
  const day = twoDigits(value, 8)
  if (century < 0 || years < 0 || value[4] !== '-' || value[7] !== '-') return false
  const year = century * 100 + years
  const leap = month === 2 && year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
  return month >= 1 && month <= 12 && day >= 1 && day <= daysOfMonth[month - 1]! + (leap ? 1 : 0)
}

function isTime(value: string): boolean {
  return isTimeAt(value, 0)
}

function isTimeAt(value: string, start: number): boolean {
  const hour = twoDigits(value, start)
  const minute = twoDigits(value, start + 3)
  const second = twoDigits(value, start + 6)
  if (hour < 0 || minute < 0 || second < 0 || value[start + 2] !== ':' || value[start + 5] !== ':') return false
  let at = start + 8
  if (value[at] === '.') {
    const fraction = ++at
    while (value.charCodeAt(at) >= 0x30 && value.charCodeAt(at) <= 0x39) at++
    if (at === fraction) return false
  }
  let offset = 0
  if ((value.charCodeAt(at) | 0x20) === 0x7a) at++
  else {
    const sign = value[at]
    const hours = twoDigits(value, at + 1)
    const minutes = twoDigits(value, at + 4)
    if ((sign !== '+' && sign !== '-') || value[at + 3] !== ':') return false
    if (hours < 0 || hours > 23 || minutes < 0 || minutes > 59) return false
    offset = (hours * 60 + minutes) * (sign === '-' ? -1 : 1)
    at += 6
  }
  if (at !== value.length || hour > 23 || minute > 59) return false
  // A leap second stands at 23:59:60 UTC (RFC 3339, 5.7).
  return second < 60 || (second === 60 && (hour * 60 + minute - offset + 2880) % 1440 === 1439)
}

function isDateTime(value: string): boolean {
  return (value.charCodeAt(10) | 0x20) === 0x74 && beginsWithDate(value) && isTimeAt(value, 11)
}

function isDuration(value: string): boolean {
  // RFC 3339, appendix A: units without gaps, weeks alone.
  return /^P(?:\d+W|(?:\d+D|\d+M(?:\d+D)?|\d+Y(?:\d+M(?:\d+D)?)?)(?:T(?:\d+S|\d+M(?:\d+S)?|\d+H(?:\d+M(?:\d+S)?)?))?|T(?:\d+S|\d+M(?:\d+S)?|\d+H(?:\d+M(?:\d+S)?)?))$/.test(
    // Sixteen digits in one unit are no duration that anybody can mean, and bound the work.
    value.length > 100 ? '' : value,
  )
}

/** What nearly every address is, in one look; anything else is taken apart. */
const plainEmail = /^[a-z0-9_+-]{1,30}(?:\.[a-z0-9_+-]{1,30}){0,1}@[a-z0-9]{1,63}(?:\.[a-z0-9]{1,63}){1,3}$/i

function isEmail(value: string, international: boolean): boolean {
  if (plainEmail.test(value)) return true
  if (value.length > 320 || (!international && !isAscii(value))) return false
  const at = value.lastIndexOf('@')
  if (at < 1) return false
  const local = value.slice(0, at)
  const domain = value.slice(at + 1)
  // A dot-string or a quoted string (RFC 5321, 4.1.2; RFC 6531, 3.3 for characters beyond ASCII).
  const fits = local.startsWith('"')
    ? /^"(?:[ !#-[\]-~\u0080-\u{10ffff}]|\\[ -~])*"$/u.test(local)
    : /^[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}-]+(?:\.[\w!#$%&'*+/=?^`{|}~\u0080-\u{10ffff}-]+)*$/u.test(local)
  if (!fits || local.length > 64) return false
  if (domain.startsWith('[') && domain.endsWith(']')) {
    const literal = domain.slice(1, -1)
    return /^ipv6:/i.test(literal) ? isIPv6(literal.slice(5)) : isIPv4(literal)
  }
  return international ? isIdnHostname(domain) : isHostname(domain)
}

function isAscii(value: string): boolean {
  for (let i = 0; i < value.length; i++) if (value.charCodeAt(i) > 0x7f) return false
  return true
}

function isHostname(value: string): boolean {
  return value.length > 0 && value.length <= 253 && value.split('.').every(isAsciiLabel)
}

function isAsciiLabel(label: string): boolean {
  if (label.length > 63 || !/^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/i.test(label)) return false
  if (label.slice(2, 4) !== '--') return true
  // Of the labels with hyphens in third and fourth place only A-labels are in use (RFC 5890, 2.3.1).
  if (!/^xn--/i.test(label)) return false
  const unicode = domainToUnicode(label)
  return unicode !== '' && !isAscii(unicode) && isUnicodeLabel(unicode)
}

function isIdnHostname(value: string): boolean {
  if (value.length === 0 || value.length > 253) return false
  // IDNA2008 knows one separator; UTS 46 maps three more onto it, as every client does.
  const labels = value.split(/[.\u3002\uff0e\uff61]/)
  let length = labels.length - 1
  for (const label of labels) {
    if (isAscii(label)) {
      if (!isAsciiLabel(label)) return false
      length += label.length
    } else {
      if (!isUnicodeLabel(label)) return false
      const encoded = domainToASCII(label)
      if (encoded === '' || encoded.length > 63) return false
      length += encoded.length
    }
  }
  return length <= 253
}

/** RFC 5892: what an internationalised label may hold, the rules about context among them. */
function isUnicodeLabel(label: string): boolean {
  if (label.startsWith('-') || label.endsWith('-') || label.slice(2, 4) === '--') return false
  if (label !== label.normalize('NFC') || /^\p{M}/u.test(label)) return false
  let arabicIndic = false
  let extendedArabicIndic = false
  const points = Array.from(label)
  for (const [i, character] of points.entries()) {
    const before = points[i - 1]
    const after = points[i + 1]
    switch (character) {
      case '\u00b7': // Between two l, for Catalan (A.3).
        if (before !== 'l' || after !== 'l') return false
        break
      case '\u0375': // Greek keraia before Greek (A.4).
        if (after === undefined || !/\p{Script=Greek}/u.test(after)) return false
        break
      case '\u05f3': // Hebrew geresh and gershayim after Hebrew (A.5, A.6).
      case '\u05f4':
        if (before === undefined || !/\p{Script=Hebrew}/u.test(before)) return false
        break
      case '\u30fb': // Katakana middle dot in Japanese (A.7).
        if (!/[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Han}]/u.test(label)) return false
        break
      case '\u200c': // Zero width (non-)joiner after a virama (A.1, A.2).
      case '\u200d':
        if (before === undefined || !viramas.test(before)) return false
        break
      default:
        if (character >= '\u0660' && character <= '\u0669') arabicIndic = true
        else if (character >= '\u06f0' && character <= '\u06f9') extendedArabicIndic = true
        else if (exceptionallyAllowed.has(character)) break
        // `m` is what is lost when a letter is folded: capitals and compatibility forms are mapped, not allowed.
        if (
          !/^[\p{Ll}\p{Lo}\p{Lm}\p{Mn}\p{Mc}\p{Nd}-]$/u.test(character) ||
          character.normalize('NFKC').toLowerCase().normalize('NFKC') !== character ||
          exceptionallyDisallowed.has(character)
        )
          return false
    }
  }
  return !(arabicIndic && extendedArabicIndic)
}

const viramas =
  /[\u094d\u09cd\u0a4d\u0acd\u0b4d\u0bcd\u0c4d\u0ccd\u0d3b\u0d3c\u0d4d\u0dca\u0e3a\u0eba\u0f84\u1039\u103a\u1714\u1734\u17d2\u1a60\u1b44\u1baa\u1bab\u1bf2\u1bf3\u2d7f\ua806\ua8c4\ua953\ua9c0\uaaf6\uabed]/
const exceptionallyAllowed = new Set(['\u00df', '\u03c2', '\u06fd', '\u06fe', '\u0f0b', '\u3007'])
const exceptionallyDisallowed = new Set(Array.from('\u0640\u07fa\u302e\u302f\u3031\u3032\u3033\u3034\u3035\u303b'))

/** RFC 3986 (RFC 3987 with `international`), read from left to right. */
function isUri(value: string, international: boolean, absolute: boolean): boolean {
  let rest = value
  const scheme = /^[a-z][a-z0-9+.-]*:/i.exec(rest)
  if (scheme === null) {
    if (absolute) return false
    // A colon in the first segment would make it a scheme (4.2).
    if (/^[^/?#]*:/.test(rest)) return false
  } else rest = rest.slice(scheme[0].length)
  const hash = rest.indexOf('#')
  if (hash >= 0) {
    if (!hasOnly(rest, hash + 1, rest.length, "-._~!$&'()*+,;=:@/?", international, false)) return false
    rest = rest.slice(0, hash)
  }
  const question = rest.indexOf('?')
  if (question >= 0) {
    if (!hasOnly(rest, question + 1, rest.length, "-._~!$&'()*+,;=:@/?", international, true)) return false
    rest = rest.slice(0, question)
  }
  if (rest.startsWith('//')) {
    const slash = rest.indexOf('/', 2)
    const authority = slash < 0 ? rest.slice(2) : rest.slice(2, slash)
    if (!isAuthority(authority, international)) return false
    rest = slash < 0 ? '' : rest.slice(slash)
  }
  return hasOnly(rest, 0, rest.length, "-._~!$&'()*+,;=:@/", international, false)
}

function isAuthority(authority: string, international: boolean): boolean {
  const at = authority.lastIndexOf('@')
  if (at >= 0 && !hasOnly(authority, 0, at, "-._~!$&'()*+,;=:", international, false)) return false
  const host = authority.slice(at + 1)
  if (host.startsWith('[')) {
    const literal = /^\[([^\]]*)\](?::\d*)?$/.exec(host)
    if (literal === null) return false
    const address = literal[1]!
    return (isIPv6(address) && !address.includes('%')) || /^v[0-9a-f]+\.[\w.~!$&'()*+,;=:-]+$/i.test(address)
  }
  const colon = host.indexOf(':')
  if (colon >= 0 && !/^\d*$/.test(host.slice(colon + 1))) return false
  return hasOnly(host, 0, colon < 0 ? host.length : colon, "-._~!$&'()*+,;=", international, false)
}

/** Whether a stretch has nothing but letters, digits, `allowed` and percent-encoded bytes. */
function hasOnly(
  value: string,
  from: number,
  to: number,
  allowed: string,
  international: boolean,
  privateUse: boolean,
): boolean {
  for (let i = from; i < to; i++) {
    const code = value.charCodeAt(i)
    if ((code >= 0x61 && code <= 0x7a) || (code >= 0x40 && code <= 0x5a) || (code >= 0x30 && code <= 0x39)) {
      if (code !== 0x40 || allowed.includes('@')) continue
      return false
    }
    if (code === 0x25) {
      if (i + 2 >= to || !isHex(value.charCodeAt(i + 1)) || !isHex(value.charCodeAt(i + 2))) return false
      i += 2
    } else if (code < 0x80) {
      if (!allowed.includes(value[i]!)) return false
    } else {
      if (!international) return false
      const point = value.codePointAt(i)!
      if (point > 0xffff) i++
      if (!isUcs(point) && !(privateUse && isPrivateUse(point))) return false
    }
  }
  return true
}

/** `ucschar` of RFC 3987, 2.2. */
function isUcs(point: number): boolean {
  return (
    (point >= 0xa0 && point <= 0xd7ff) ||
    (point >= 0xf900 && point <= 0xfdcf) ||
    (point >= 0xfdf0 && point <= 0xffef) ||
    (point >= 0x10000 && point <= 0xefffd && (point & 0xffff) <= 0xfffd && !(point >= 0xe0000 && point < 0xe1000))
  )
}

/** `iprivate` of RFC 3987, 2.2: only in a query. */
function isPrivateUse(point: number): boolean {
  return (point >= 0xe000 && point <= 0xf8ff) || (point >= 0xf0000 && (point & 0xffff) <= 0xfffd)
}

function isHex(code: number): boolean {
  return (code >= 0x30 && code <= 0x39) || ((code | 0x20) >= 0x61 && (code | 0x20) <= 0x66)
}

const templateVariable = String.raw`(?:\w|%[0-9a-fA-F]{2})+(?:\.(?:\w|%[0-9a-fA-F]{2})+)*(?::[1-9]\d{0,3}|\*)?`
const templateExpression = new RegExp(`^[+#./;?&=,!@|]?${templateVariable}(?:,${templateVariable})*$`)

function isUriTemplate(value: string): boolean {
  let i = 0
  while (i < value.length) {
    const open = value.indexOf('{', i)
    const literal = open < 0 ? value.length : open
    for (let j = i; j < literal; j++) {
      const code = value.charCodeAt(j)
      // RFC 6570, 2.1: everything but controls, space and a few delimiters.
      if (code <= 0x20 || code === 0x7f || '"<>\\^`|}'.includes(value[j]!)) return false
      if (code === 0x25 && !(isHex(value.charCodeAt(j + 1)) && isHex(value.charCodeAt(j + 2)))) return false
    }
    if (open < 0) return true
    const close = value.indexOf('}', open)
    if (close < 0 || !templateExpression.test(value.slice(open + 1, close))) return false
    i = close + 1
  }
  return true
}

function isJsonPointer(value: string): boolean {
  return /^(?:\/(?:[^~/]|~[01])*)*$/.test(value)
}

function isRelativeJsonPointer(value: string): boolean {
  const head = /^(?:0|[1-9]\d*)/.exec(value)
  if (head === null) return false
  const rest = value.slice(head[0].length)
  return rest === '#' || isJsonPointer(rest)
}

function isRegex(value: string): boolean {
  // Compiling is linear, but not free: nobody sends a pattern of 10,000 characters in earnest.
  if (value.length > 10_000) return false
  try {
    new RegExp(value, 'u')
    return true
  } catch {
    return false
  }
}

function isBase64(value: string): boolean {
  // RFC 4648, 4. Walked from the end, because the padding decides which lengths are whole.
  const padding = value.endsWith('==') ? 2 : value.endsWith('=') ? 1 : 0
  const length = value.length - padding
  if (padding > 0 ? value.length % 4 !== 0 : length % 4 !== 0) return false
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i)
    if (
      !(
        (code >= 0x61 && code <= 0x7a) ||
        (code >= 0x41 && code <= 0x5a) ||
        (code >= 0x2f && code <= 0x39) ||
        code === 0x2b
      )
    )
      return false
  }
  return true
}

function isInt64(value: string): boolean {
  if (!/^-?\d{1,19}$/.test(value)) return false
  return BigInt.asIntN(64, BigInt(value)) === BigInt(value)
}

/** Stands where a value was left out. */
export const masked = '***'

/**
 * Forms that secrets are known to take. Every quantifier is bounded or walks forward only, so that no value can make
 * the search slow; values are cut to `valueCharsMax` before they come here.
 */
const secretForms: readonly (readonly [RegExp, string])[] = [
  // Credentials of an Authorization header that strayed elsewhere (RFC 9110, 11.4).
  [/\b(bearer|basic|dpop|digest|negotiate)[ :]+[\w.~+/=-]{6,}/gi, `$1 ${masked}`],
  // JWS and JWE in compact form: the header is JSON, so it begins with {" in base64url.
  [/eyJ[\w-]{5,}(?:\.[\w-]*){0,4}/g, masked],
  // Keys that carry a prefix so that people recognise them: ours, and the widespread ones.
  [
    /\b(?:pk|sk|rk|ak|pat|ghp|gho|ghu|ghs|ghr|github_pat|glpat|xox[a-z]|whsec|npm|key|tok|shpat)[_-][\w-]{8,}/gi,
    masked,
  ],
  [/\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bAIza[\w-]{20,}/g, masked],
  [/-----BEGIN[\s\S]*/g, masked],
  // User and password in an address.
  [/\/\/[^/@\s]{1,256}@/g, `//${masked}@`],
  // What calls itself a secret, and what it is set to.
  [
    /[\w.~+-]{0,64}(?:secret|passw|credential|canary|api[-_]?key|token[-_=:])[\w.~+-]{0,256}(?:\s?[=:]\s?[^\s&;,]{0,512})?/gi,
    masked,
  ],
  [/[^\s@<>"'()/=:;,]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}/g, masked],
]
const digitRuns = /\b\d(?:[ -]?\d){12,18}\b/g
const longPieces = /[A-Za-z0-9_-]{20,}/g
const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i
/** ULID and MongoDB's ObjectId: random-looking, but made to be names, and they begin with the time. */
const timedId = /^(?:[a-z]{1,8}_)?(?:[0-7][0-9a-hjkmnp-tv-z]{25}|[4-7][0-9a-f]{23})$/i
const keyPrefix =
  /^(?:pk|sk|rk|ak|pat|gh[a-z]|github_pat|glpat|xox[a-z]|whsec|npm|key|tok|shpat)[_-]|^eyJ|^(?:AKIA|ASIA|AIza)|secret|passw|credential|canary|api[-_]?key|token[-_]/i

/** Longer values are cut before they are searched and written. */
export const valueCharsMax = 1_024

/** A value that may be shown, with everything in it that looks like a secret or like personal data masked. */
export function scrub(value: string): string {
  // Searched a little further than written, so that a secret is not cut in two and its first half overlooked.
  let text = value.length > valueCharsMax * 2 ? value.slice(0, valueCharsMax * 2) : value
  for (const [form, replacement] of secretForms) text = text.replace(form, replacement)
  text = text
    .replace(digitRuns, (digits) => (passesLuhn(digits) ? masked : digits))
    .replace(longPieces, (piece) => (looksRandom(piece) ? masked : piece))
  return text.length > valueCharsMax ? `${text.slice(0, valueCharsMax)}…` : text
}

/** A value that holds addresses (Referer, Location, Link): scrubbed, and without their queries and fragments. */
export function scrubAddress(value: string): string {
  return scrub(
    value
      .slice(0, valueCharsMax * 2)
      .replace(/[?#][^\s>"]*/g, `?${masked}`)
      .replace(/(\/?)\/([^/?#\s>"]+)/g, (whole, before: string, segment: string) =>
        // After two slashes stands the host.
        before === '/' || isHarmless(segment) ? whole : `/${masked}`,
      ),
  )
}

/**
 * Whether a piece of a path or a listed query value may be shown: short numbers, words, UUIDs and time-ordered ids
 * may; what looks like a key, a token, a card number or an e-mail address may not. Errs on the side of masking.
 */
export function isHarmless(value: string): boolean {
  const length = value.length
  if (length > 64) return false
  let letters = 0
  let digits = 0
  let pieceLength = 0
  let changes = 0
  let suspicious = false
  let last = 0
  for (let i = 0; i < length; i++) {
    const c = value.charCodeAt(i)
    const kind = c >= 48 && c <= 57 ? 1 : c >= 97 && c <= 122 ? 2 : c >= 65 && c <= 90 ? 3 : 0
    if (kind === 0) {
      // `@`, `=`, and an encoded `@`.
      if (c === 64 || c === 61 || (c === 37 && value.startsWith('%40', i))) return false
      if (isRandom(pieceLength, changes)) suspicious = true
      pieceLength = 0
      changes = 0
    } else {
      if (kind === 1) digits++
      else letters++
      if (pieceLength > 0 && kind !== last && (kind === 1 || last === 1 || last === 2)) changes++
      pieceLength++
    }
    last = kind
  }
  if (isRandom(pieceLength, changes)) suspicious = true
  if (letters === 0) return digits < 13 || !passesLuhn(value)
  if (length >= 6 && keyPrefix.test(value)) return false
  return !suspicious || uuid.test(value) || timedId.test(value)
}

/** Changes between digits, small letters and capitals: frequent in what a generator made, rare in words. */
function isRandom(length: number, changes: number): boolean {
  return length >= 8 && changes >= 3 && (length < 20 ? changes * 4 >= length : changes * 3 >= length || changes >= 8)
}

function looksRandom(piece: string): boolean {
  if (uuid.test(piece) || timedId.test(piece)) return false
  let changes = 0
  let digits = 0
  let last = 0
  for (let i = 0; i < piece.length; i++) {
    const c = piece.charCodeAt(i)
    const kind = c >= 48 && c <= 57 ? 1 : c >= 97 && c <= 122 ? 2 : c >= 65 && c <= 90 ? 3 : 0
    if (kind === 1) digits++
    if (kind !== 0 && last !== 0 && kind !== last) changes++
    last = kind
  }
  return digits === 0 ? changes * 3 >= piece.length : changes >= 4
}

/** The check digit of card numbers (ISO/IEC 7812-1). */
function passesLuhn(text: string): boolean {
  let sum = 0
  let count = 0
  for (let i = text.length - 1; i >= 0; i--) {
    const digit = text.charCodeAt(i) - 48
    if (digit < 0 || digit > 9) continue
    const doubled = count++ % 2 === 1 ? digit * 2 : digit
    sum += doubled > 9 ? doubled - 9 : doubled
  }
  return count >= 13 && count <= 19 && sum % 10 === 0
}

const sensitiveName =
  /token|secret|passw|pwd|otp|code|key|jwt|sig|session|auth|mail|phone|iban|card|pan$|ssn|tax|birth|credential/i

/** What a rule's match shows of a value. */
const matchCharsMax = 100
const credentialHeader = /^(?:proxy-)?authorization$|cookie/i
const plainPiece = /^[\w[\]$~-]{1,64}$/
/** Words that the masks watch for in values, but that are honest in a name: `password`, `api_key`. */
export const sensitiveWords = /secret|passw|credential|canary|api[-_]?key|token[-_]/gi

/**
 * What fitted a rule, as it may be shown; `undefined` where credentials or personal data are kept. An attack may be shown, and
 * is what the operator must see; a secret that it stands in may not.
 */
export function matchedData(variable: string, data: string): string | undefined {
  const colon = variable.indexOf(':')
  const collection = colon === -1 ? variable : variable.slice(0, colon)
  const name = colon === -1 ? '' : variable.slice(colon + 1)
  if (collection.endsWith('COOKIES') || credentialHeader.test(name) || sensitiveName.test(name)) return undefined
  // The file that attacks ask for most is no password.
  const pieces = data.slice(0, matchCharsMax * 2).split(/(\betc\/passwd\b)/i)
  const text = pieces.map((piece, index) => (index % 2 === 1 ? piece : scrub(piece))).join('')
  return text.length > matchCharsMax ? `${text.slice(0, matchCharsMax)}…` : text
}

/** `ARGS:order.note`, a name in it masked where it looks like anything but a name: callers choose names. */
export function matchedVariable(variable: string): string {
  const colon = variable.indexOf(':')
  if (colon === -1) return variable.slice(0, 64)
  const pieces = variable.slice(colon + 1, colon + 257).split('.')
  const shown = pieces.map((piece) =>
    (plainPiece.test(piece) && isHarmless(piece.replace(sensitiveWords, ''))) || piece === '' ? piece : masked,
  )
  return `${variable.slice(0, colon)}:${shown.join('.')}`
}

/** What of a path may be shown, for one route: the template's own words always, values where they are harmless. */
export function pathMask(route: string): (path: string) => string {
  const parts = route.split('/').map((part) => {
    const parameter = /\{([^}]*)\}/.exec(part)
    if (parameter === null) return { literal: part, sensitive: false }
    return { literal: undefined, sensitive: sensitiveName.test(parameter[1]!) }
  })
  return (path) => {
    if (path === route) return path
    let shown = ''
    let from = 0
    for (let index = 0; ; index++) {
      const slash = path.indexOf('/', from)
      const segment = slash < 0 ? path.slice(from) : path.slice(from, slash)
      const part = parts[index]
      shown += segment === part?.literal || (part?.sensitive !== true && isHarmless(segment)) ? segment : masked
      if (slash < 0) return shown
      if (shown.length > valueCharsMax) return `${shown}…`
      shown += '/'
      from = slash + 1
    }
  }
}

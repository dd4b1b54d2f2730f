import { beginHtml, createHtmlReading, type HtmlContext, nextHtmlToken } from './html-tokens.ts'

/** Whether script is injected, wherever in a page the value ends up. Judges as libinjection 4 does, and knows some more events. */
export function isXss(value: string): boolean {
  if (value.includes('<') && isXssWithin(value, 'text')) return true
  // Without one of them nothing but a tag's name, an attribute without value, or text comes of it.
  if (!value.includes('<') && !value.includes('=')) return false
  return contexts.some((context) => isXssWithin(value, context))
}

const contexts: readonly HtmlContext[] = ['tag', 'singleQuoted', 'doubleQuoted', 'backQuoted']
const reading = createHtmlReading()

/** What an attribute's value can do. */
type Danger = 'none' | 'script' | 'url' | 'style' | 'attribute'

function isXssWithin(value: string, context: HtmlContext): boolean {
  beginHtml(reading, value, context)
  let danger: Danger = 'none'
  while (nextHtmlToken(reading)) {
    const { kind, start, end } = reading
    if (kind === 'doctype') return true
    if (kind === 'tagOpen' && isDangerousTag(value.slice(start, end))) return true
    if (kind === 'comment' && isDangerousComment(value.slice(start, end))) return true
    if (kind === 'attributeValue' && isDangerousValue(danger, value, start, end)) return true
    danger = kind === 'attributeName' ? dangerOf(value.slice(start, end)) : 'none'
  }
  return false
}

const tags: ReadonlySet<string> = new Set([
  'applet',
  'base',
  'comment',
  'embed',
  'frame',
  'frameset',
  'handler',
  'iframe',
  'import',
  'isindex',
  'link',
  'listener',
  'meta',
  'noscript',
  'object',
  'script',
  'style',
  'vmlframe',
  'xml',
  'xss',
])

function isDangerousTag(name: string): boolean {
  if (name.length < 3) return false
  const lower = name.toLowerCase()
  return lower.startsWith('svg') || lower.startsWith('xsl') || tags.has(withoutNulls(lower))
}

const attributes: ReadonlyMap<string, Danger> = new Map<string, Danger>([
  ['action', 'url'],
  // SVG names the attribute to animate in a value.
  ['attributename', 'attribute'],
  ['background', 'url'],
  ['by', 'url'],
  ['dataformatas', 'script'],
  ['datasrc', 'script'],
  ['dynsrc', 'url'],
  ['filter', 'style'],
  ['folder', 'url'],
  ['formaction', 'url'],
  ['from', 'url'],
  ['handler', 'url'],
  ['href', 'url'],
  ['lowsrc', 'url'],
  ['poster', 'url'],
  ['src', 'url'],
  ['style', 'style'],
  ['to', 'url'],
  ['values', 'url'],
  ['xlink:href', 'url'],
])

/**
 * What names of event handlers begin with behind `on`: those of the HTML standard, of SVG, and of browsers past and present. Not any word that begins
 * with `on`: `ongoing=` and `onset=` are none.
 */
const events = new RegExp(
  `^(?:${`
abort absolute activ addsource addstream addtrack after animation appinstalled audio autocomplete auxclick before begin blocked blur bounce boundary
bufferedamountlow cached cancel canplay cellchange change charging checking click close command complete composition connect contentvisibility context
controller controlselect copy cuechange cut data dblclick deactivate device discharging disconnect dom download drag drain drop duration emptied
encrypted end enter error exit fetch filterchange finish focus foo form fullscreen gamepad gesture gotpointer hashchange help ice inactive input install
invalid key languagechange layoutcomplete leavepicture levelchange load losecapture lostpointer mark media merchantvalidation message mouse move moz ms
mute navigate negotiation nexttrack nomatch notification noupdate obsolete offline online open orientation outofsync overconstrained overflow page paste
pause payerdetail payment photo play pointer popstate previoustrack processorerror progress property push ratechange readystate rejectionhandled remove
repeat requestprogress reset resize resourcetiming responseprogress result resume reverse rowdelete rowenter rowexit rowsdelete rowsenter rowsinserted scroll search
security seek select shipping show signaling slotchange something sound source speech squeeze stalled start state stop storage submit success suspend syncrestored
terminate textinput timeerror timeout timeupdate toggle tonechange touch track transition typechange uncaptured unhandled unload unmute update upgradeneeded
urlflip userproximity validatemerchant version visibility voiceschanged volume vrdisplay waiting warning webgl webkit wheel write zoom
`
    .trim()
    .split(/\s+/)
    .join('|')})`,
)

function dangerOf(name: string): Danger {
  if (name.length < 2) return 'none'
  const lower = name.toLowerCase()
  if (name.length >= 5) {
    if (lower.startsWith('on') && events.test(lower.slice(2))) return 'script'
    // A namespace can make tags of any name.
    const prefix = withoutNulls(lower.slice(0, 5))
    if (prefix === 'xmlns' || prefix === 'xlink') return 'script'
  }
  return attributes.get(withoutNulls(lower)) ?? 'none'
}

function isDangerousValue(danger: Danger, value: string, start: number, end: number): boolean {
  switch (danger) {
    case 'none':
      return false
    case 'url':
      return isDangerousUrl(value, start, end)
    case 'attribute':
      return dangerOf(value.slice(start, end)) !== 'none'
    default:
      return true
  }
}

/** A backtick ended tags in Internet Explorer; the others are its conditional comments and pseudo-tags, and XML's entities. */
function isDangerousComment(text: string): boolean {
  if (text.includes('`')) return true
  if (text.length > 3) {
    const start = text.slice(0, 3).toLowerCase()
    if (start === '[if' || start === 'xml') return true
  }
  if (text.length <= 5) return false
  const start = text.slice(0, 6).toLowerCase()
  return start === 'import' || start === 'entity'
}

const schemes: readonly string[] = ['DATA', 'VIEW-SOURCE', 'JAVA', 'VBSCRIPT']

/** Whether a URL begins with a scheme that runs script, however it is written. What is not ASCII in front is white space to some. */
function isDangerousUrl(value: string, start: number, end: number): boolean {
  let at = start
  while (at < end && (value.charCodeAt(at) <= 0x20 || value.charCodeAt(at) >= 0x7f)) at++
  return schemes.some((scheme) => beginsWith(scheme, value, at, end))
}

/** Compares with character references read, NUL and line feed left out everywhere, and all up to the space in front. */
function beginsWith(scheme: string, value: string, from: number, end: number): boolean {
  let matched = 0
  let isFirst = true
  for (let at = from; at < end; at = characterEnd) {
    if (matched === scheme.length) return true
    const code = characterAt(value, at, end)
    if (isFirst && code <= 0x20) continue
    isFirst = false
    if (code === 0 || code === 0x0a) continue
    // In C the rest of what is larger than a byte is lost, after small letters were made large.
    const byte = code >= 0x61 && code <= 0x7a ? code - 0x20 : code & 0xff
    if (byte !== scheme.charCodeAt(matched)) return false
    matched++
  }
  return matched === scheme.length
}

/** Where the character ends that was read last. */
let characterEnd = 0
const codeMax = 0x10_00ff

/** A byte, or what `&#106;` or `&#x6a;` stand for, with or without the semicolon. */
function characterAt(value: string, at: number, end: number): number {
  characterEnd = at + 1
  const byte = value.charCodeAt(at)
  if (byte !== 0x26 || value.charCodeAt(at + 1) !== 0x23) return byte
  const isHex = (value.charCodeAt(at + 2) | 0x20) === 0x78
  const base = isHex ? 16 : 10
  const first = at + (isHex ? 3 : 2)
  let code = 0
  let i = first
  for (; i < end; i++) {
    const digit = digitOf(value.charCodeAt(i))
    if (digit >= base) break
    code = code * base + digit
    if (code > codeMax) return byte
  }
  if (i === first) return byte
  characterEnd = i < end && value.charCodeAt(i) === 0x3b ? i + 1 : i
  return code
}

function digitOf(byte: number): number {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : 99
}

function withoutNulls(text: string): string {
  return text.includes('\0') ? text.replaceAll('\0', '') : text
}

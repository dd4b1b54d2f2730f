/*
 * HTML as libinjection reads it (libinjection 4, `libinjection_html5.c`, after the tokenizer of the HTML standard, 13.2.5, with what old browsers did
 * besides): from the middle of a document, so that reading can begin in text, in a tag, or within an attribute's value.
 */

/** Where a value is taken to begin. */
export type HtmlContext = 'text' | 'tag' | 'singleQuoted' | 'doubleQuoted' | 'backQuoted'

export type HtmlKind =
  | 'text'
  | 'tagOpen'
  | 'tagEnd'
  | 'tagClose'
  | 'attributeName'
  | 'attributeValue'
  | 'comment'
  | 'doctype'

/** A reading of one value, and the token it is at. */
export interface HtmlReading {
  text: string
  at: number
  state: State
  /** The last tag name was that of a closing tag. */
  isClosing: boolean
  kind: HtmlKind
  start: number
  end: number
}

/** Finds the next token, writes it down, and says whether there was one. */
type State = (reading: HtmlReading) => boolean

export function createHtmlReading(): HtmlReading {
  return { text: '', at: 0, state: atEnd, isClosing: false, kind: 'text', start: 0, end: 0 }
}

/** Begins to read a value. */
export function beginHtml(reading: HtmlReading, text: string, context: HtmlContext): void {
  reading.text = text
  reading.at = 0
  reading.isClosing = false
  reading.state = beginnings[context]
}

/** Goes to the next token. False at the end. */
export function nextHtmlToken(reading: HtmlReading): boolean {
  return reading.state(reading)
}

function token(reading: HtmlReading, kind: HtmlKind, start: number, end: number, at: number, state: State): true {
  reading.kind = kind
  reading.start = start
  reading.end = end
  reading.at = at
  reading.state = state
  return true
}

/** NUL counts: in C it is found in every set of bytes. */
function isWhite(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d) || byte === 0
}

function isLetter(byte: number): boolean {
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x7a
}

/** The byte that follows white space, or NaN at the end. */
function skipWhite(reading: HtmlReading): number {
  while (reading.at < reading.text.length && isWhite(reading.text.charCodeAt(reading.at))) reading.at++
  return reading.text.charCodeAt(reading.at)
}

function atEnd(): boolean {
  return false
}

function inText(reading: HtmlReading): boolean {
  const { text, at } = reading
  const tag = text.indexOf('<', at)
  if (tag === -1) return text.length > at && token(reading, 'text', at, text.length, text.length, atEnd)
  if (tag > at) return token(reading, 'text', at, tag, tag + 1, afterLess)
  reading.at = tag + 1
  return afterLess(reading)
}

function afterLess(reading: HtmlReading): boolean {
  const { text, at } = reading
  if (at >= text.length) return false
  const byte = text.charCodeAt(at)
  if (byte === 0x21) return markup(reading, at + 1)
  if (byte === 0x2f) {
    reading.isClosing = true
    return afterLessSlash(reading, at + 1)
  }
  if (byte === 0x3f) return comment(reading, at + 1, '>', 1)
  // `<% … %>` was a comment to Internet Explorer and Safari.
  if (byte === 0x25) return comment(reading, at + 1, '%>', 2)
  // Internet Explorer left out NUL bytes.
  if (isLetter(byte) || byte === 0) return tagName(reading)
  return token(reading, 'text', at - 1, at, at, inText)
}

function afterLessSlash(reading: HtmlReading, at: number): boolean {
  const { text } = reading
  reading.at = at
  if (at >= text.length) return false
  const byte = text.charCodeAt(at)
  if (byte === 0x3e) return inText(reading)
  if (isLetter(byte)) return tagName(reading)
  reading.isClosing = false
  return comment(reading, at, '>', 1)
}

function tagName(reading: HtmlReading): boolean {
  const { text, at } = reading
  for (let i = at; i < text.length; i++) {
    const byte = text.charCodeAt(i)
    if (byte === 0) continue
    if (isWhite(byte)) return token(reading, 'tagOpen', at, i, i + 1, beforeAttributeName)
    if (byte === 0x2f) return token(reading, 'tagOpen', at, i, i + 1, afterSlash)
    if (byte !== 0x3e) continue
    if (!reading.isClosing) return token(reading, 'tagOpen', at, i, i, tagEnd)
    reading.isClosing = false
    return token(reading, 'tagClose', at, i, i + 1, inText)
  }
  return token(reading, 'tagOpen', at, text.length, text.length, atEnd)
}

function tagEnd(reading: HtmlReading): boolean {
  reading.isClosing = false
  const next = reading.at + 1
  return token(reading, 'tagEnd', reading.at, next, next, next < reading.text.length ? inText : atEnd)
}

function afterSlash(reading: HtmlReading): boolean {
  const { text, at } = reading
  if (at >= text.length) return false
  if (text.charCodeAt(at) !== 0x3e) return beforeAttributeName(reading)
  return token(reading, 'tagEnd', at - 1, at + 1, at + 1, inText)
}

function beforeAttributeName(reading: HtmlReading): boolean {
  for (;;) {
    const byte = skipWhite(reading)
    if (Number.isNaN(byte)) return false
    if (byte === 0x3e) return token(reading, 'tagEnd', reading.at, reading.at + 1, reading.at + 1, inText)
    if (byte !== 0x2f) return attributeName(reading)
    reading.at++
    if (reading.at >= reading.text.length) return false
    if (reading.text.charCodeAt(reading.at) === 0x3e) return afterSlash(reading)
  }
}

function attributeName(reading: HtmlReading): boolean {
  const { text, at } = reading
  for (let i = at + 1; i < text.length; i++) {
    const byte = text.charCodeAt(i)
    if (isWhite(byte)) return token(reading, 'attributeName', at, i, i + 1, afterAttributeName)
    if (byte === 0x2f) return token(reading, 'attributeName', at, i, i + 1, afterSlash)
    if (byte === 0x3d) return token(reading, 'attributeName', at, i, i + 1, beforeAttributeValue)
    if (byte === 0x3e) return token(reading, 'attributeName', at, i, i, tagEnd)
  }
  return token(reading, 'attributeName', at, text.length, text.length, atEnd)
}

function afterAttributeName(reading: HtmlReading): boolean {
  const byte = skipWhite(reading)
  if (Number.isNaN(byte)) return false
  if (byte === 0x2f) {
    reading.at++
    return afterSlash(reading)
  }
  if (byte === 0x3d) {
    reading.at++
    return beforeAttributeValue(reading)
  }
  return byte === 0x3e ? tagEnd(reading) : attributeName(reading)
}

function beforeAttributeValue(reading: HtmlReading): boolean {
  const byte = skipWhite(reading)
  if (Number.isNaN(byte)) return false
  if (byte === 0x22) return quoted(reading, reading.at + 1, '"')
  if (byte === 0x27) return quoted(reading, reading.at + 1, "'")
  // Internet Explorer had these.
  if (byte === 0x60) return quoted(reading, reading.at + 1, '`')
  return unquoted(reading)
}

function quoted(reading: HtmlReading, start: number, quote: string): boolean {
  const { text } = reading
  const end = text.indexOf(quote, start)
  if (end === -1) return token(reading, 'attributeValue', start, text.length, text.length, atEnd)
  return token(reading, 'attributeValue', start, end, end + 1, afterQuotedValue)
}

function unquoted(reading: HtmlReading): boolean {
  const { text, at } = reading
  for (let i = at; i < text.length; i++) {
    const byte = text.charCodeAt(i)
    if (isWhite(byte)) return token(reading, 'attributeValue', at, i, i + 1, beforeAttributeName)
    if (byte === 0x3e) return token(reading, 'attributeValue', at, i, i, tagEnd)
  }
  return token(reading, 'attributeValue', at, text.length, text.length, atEnd)
}

function afterQuotedValue(reading: HtmlReading): boolean {
  const { text, at } = reading
  if (at >= text.length) return false
  const byte = text.charCodeAt(at)
  if (byte === 0x3e) return token(reading, 'tagEnd', at, at + 1, at + 1, inText)
  if (byte === 0x2f) {
    reading.at++
    return afterSlash(reading)
  }
  return beforeAttributeName(reading)
}

/** Behind `<!`. */
function markup(reading: HtmlReading, at: number): boolean {
  const { text } = reading
  if (text.slice(at, at + 7).toLowerCase() === 'doctype') {
    const end = text.indexOf('>', at)
    return token(reading, 'doctype', at, end === -1 ? text.length : end, end + 1, end === -1 ? atEnd : inText)
  }
  if (text.startsWith('[CDATA[', at)) {
    const end = text.indexOf(']]>', at + 7)
    if (end === -1) return token(reading, 'text', at + 7, text.length, text.length, atEnd)
    return token(reading, 'text', at + 7, end, end + 3, inText)
  }
  return text.startsWith('--', at) ? dashedComment(reading, at + 2) : comment(reading, at, '>', 1)
}

/** Up to `-->` or `--!>`, NUL bytes among the dashes left out. */
function dashedComment(reading: HtmlReading, start: number): boolean {
  const { text } = reading
  for (
    let dash = text.indexOf('-', start);
    dash !== -1 && dash <= text.length - 3;
    dash = text.indexOf('-', dash + 1)
  ) {
    let i = dash + 1
    while (text.charCodeAt(i) === 0) i++
    const byte = text.charCodeAt(i)
    if (Number.isNaN(byte)) break
    if (byte !== 0x2d && byte !== 0x21) continue
    if (i + 1 === text.length) break
    if (text.charCodeAt(i + 1) === 0x3e) return token(reading, 'comment', start, dash, i + 2, inText)
  }
  return token(reading, 'comment', start, text.length, text.length, atEnd)
}

function comment(reading: HtmlReading, start: number, closer: string, size: number): boolean {
  const { text } = reading
  const end = text.indexOf(closer, start)
  if (end === -1) return token(reading, 'comment', start, text.length, text.length, atEnd)
  return token(reading, 'comment', start, end, end + size, inText)
}

const beginnings: Readonly<Record<HtmlContext, State>> = {
  text: inText,
  tag: beforeAttributeName,
  singleQuoted: (reading) => quoted(reading, 0, "'"),
  doubleQuoted: (reading) => quoted(reading, 0, '"'),
  backQuoted: (reading) => quoted(reading, 0, '`'),
}

import { isValidUtf8, scratch, trimBlanks, writeUtf8 } from './bytes.ts'
import { decodeCharset } from './charset.ts'
import { type BodyLimits, bodyLimits, type XmlValues } from './values.ts'

/** An XML text as rules see it. */
export interface Xml extends XmlValues {
  /** The text declares entities or attribute defaults, or names what lies outside it: an upstream that follows them reads more. */
  readonly declares: boolean
  readonly error: string | undefined
}

const encodingPattern = /^<\?xml[\t\n\r ][^>]{0,200}?encoding[\t\n\r ]{0,20}=[\t\n\r ]{0,20}["']([^"']{1,40})["']/
const blankPattern = /^[\t\n\r ]*$/

/**
 * Reads XML in one pass and without building a tree. ModSecurity gives `XML:/*` as one value, the text of the whole document; Coraza
 * gives each run of text. Both count: rules anchored to the start of a value see only runs, and an attack that is cut up by
 * tags (`un<b/>ion`), which most libraries put together again, shows only in the whole.
 *
 * A comment, a processing instruction or a CDATA section does not end a run: no reader sees it there. What a processing instruction says is
 * a text of its own. Declarations of namespaces are attributes only where their value is no plain name of one: XPath does not count
 * them, but some readers do.
 *
 * No entity is followed but the five of XML and character numbers. Any other reference, and any declaration of entities or attribute
 * defaults, is an error: what the upstream reads is not what stands here. After a mistake reading goes on as in HTML.
 */
export function parseXml(
  bytes: string,
  limits: Pick<BodyLimits, 'xmlDepthMax' | 'xmlValuesMax'> = bodyLimits,
  charset?: string,
): Xml {
  const decoded = decodeCharset(bytes, charset)
  const { text } = decoded
  const reading: Reading = {
    text,
    texts: [],
    attributes: [],
    run: '',
    runs: 0,
    whole: '',
    doctype: undefined,
    declares: false,
    error: decoded.error,
  }
  const declared = encodingPattern.exec(text)?.[1]
  const inner = declared === undefined || decoded.wide ? decoded : decodeCharset(text, declared)
  reading.error ??= inner.error
  read(reading, limits)
  endRun(reading)
  reading.error ??= faultyBytes(text, decoded.utf8 && inner.utf8)
  return {
    texts: reading.texts,
    whole: reading.runs > 1 ? reading.whole : undefined,
    attributes: reading.attributes,
    doctype: reading.doctype,
    declares: reading.declares,
    error: reading.error,
  }
}

/** What is read of one text. */
interface Reading {
  readonly text: string
  readonly texts: string[]
  readonly attributes: string[]
  /** Character data since the last tag. */
  run: string
  /** How many of `texts` are character data. */
  runs: number
  whole: string
  doctype: string | undefined
  declares: boolean
  error: string | undefined
}

function read(reading: Reading, limits: Pick<BodyLimits, 'xmlDepthMax' | 'xmlValuesMax'>): void {
  const { text, texts, attributes } = reading
  const { length } = text
  /** The names of the elements that are open. */
  const open: string[] = []
  let hasRoot = false
  let at = 0
  while (at < length) {
    if (texts.length + attributes.length >= limits.xmlValuesMax) {
      reading.error ??= `more than ${limits.xmlValuesMax} texts and attributes`
      reading.run += text.slice(at)
      return
    }
    const tagAt = text.indexOf('<', at)
    const end = tagAt < 0 ? length : tagAt
    if (end > at) {
      const data = decodeReferences(reading, text.slice(at, end))
      // Blanks around the root element belong to nobody.
      if (open.length > 0) reading.run += data
      else if (!blankPattern.test(data)) {
        reading.error ??= 'text outside the root element'
        reading.run += data
      }
    }
    if (tagAt < 0) break
    const kind = text.charCodeAt(tagAt + 1)
    if (kind === 0x2f) {
      at = readEndTag(reading, tagAt, open)
    } else if (kind === 0x21) {
      at = readMarkup(reading, tagAt, hasRoot, open.length > 0)
    } else if (kind === 0x3f) {
      const close = text.indexOf('?>', tagAt + 2)
      if (close < 0) return giveUp(reading, tagAt, 'a processing instruction without an end')
      const instruction = text.slice(tagAt + 2, close)
      if (!/^xml[\t\n\r ]/i.test(instruction)) texts.push(instruction)
      else if (tagAt > 0) reading.error ??= 'an XML declaration that is not at the start'
      at = close + 2
    } else if (isNameByte(kind)) {
      if (open.length === 0) {
        if (hasRoot) reading.error ??= 'a second root element'
        hasRoot = true
      }
      if (open.length === limits.xmlDepthMax) return giveUp(reading, tagAt, `nested deeper than ${limits.xmlDepthMax}`)
      endRun(reading)
      at = readStartTag(reading, tagAt, open, limits.xmlValuesMax)
    } else {
      reading.error ??= `a bare "<" at byte ${tagAt}`
      reading.run += '<'
      at = tagAt + 1
    }
  }
  if (open.length > 0) reading.error ??= 'an element without an end'
  if (!hasRoot) reading.error ??= 'no root element'
}

/** What is wrong with the bytes as such. */
function faultyBytes(text: string, utf8: boolean): string | undefined {
  let bits = 0
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 && !isTagBlank(code)) return `a control character at byte ${i}`
    bits |= code
  }
  return bits >= 0x80 && utf8 && !isValidUtf8(text) ? 'the XML text is not UTF-8' : undefined
}

/** Takes the rest as text. */
function giveUp(reading: Reading, from: number, error: string): void {
  reading.error ??= error
  reading.run += reading.text.slice(from)
}

function endRun(reading: Reading): void {
  if (reading.run === '') return
  reading.whole += reading.run
  const trimmed = trimBlanks(reading.run)
  if (trimmed !== '') {
    reading.texts.push(trimmed)
    reading.runs++
  }
  reading.run = ''
}

function readEndTag(reading: Reading, tagAt: number, open: string[]): number {
  const { text } = reading
  const close = text.indexOf('>', tagAt)
  if (close < 0) {
    giveUp(reading, tagAt, 'an end tag without an end')
    return text.length
  }
  endRun(reading)
  const name = trimBlanks(text.slice(tagAt + 2, close), false, true)
  if (name === open.at(-1)) open.pop()
  else {
    reading.error ??= open.length > 0 ? 'an end tag of another element' : 'an end tag without an element'
    open.pop()
  }
  return close + 1
}

/** Comments, CDATA sections and the document type declaration. */
function readMarkup(reading: Reading, tagAt: number, hasRoot: boolean, inside: boolean): number {
  const { text } = reading
  if (text.startsWith('<!--', tagAt)) {
    const close = text.indexOf('-->', tagAt + 4)
    if (close < 0) {
      giveUp(reading, tagAt, 'a comment without an end')
      return text.length
    }
    // Where two dashes stand in a comment, readers differ on where it ends.
    const dashes = text.indexOf('--', tagAt + 4)
    if (dashes < close) {
      reading.error ??= 'two dashes in a comment'
      reading.texts.push(text.slice(tagAt + 4, close))
    }
    return close + 3
  }
  if (text.startsWith('<![CDATA[', tagAt)) {
    const close = text.indexOf(']]>', tagAt + 9)
    if (!inside) reading.error ??= 'a CDATA section outside the root element'
    reading.run += text.slice(tagAt + 9, close < 0 ? text.length : close)
    if (close >= 0) return close + 3
    reading.error ??= 'a CDATA section without an end'
    return text.length
  }
  if (text.startsWith('<!DOCTYPE', tagAt)) {
    if (hasRoot || reading.doctype !== undefined) reading.error ??= 'a document type declaration in the wrong place'
    return readDoctype(reading, tagAt)
  }
  reading.error ??= `markup that is not known at byte ${tagAt}`
  reading.run += '<!'
  return tagAt + 2
}

const outsidePattern = /<!(?:ENTITY|ATTLIST)|%|\b(?:SYSTEM|PUBLIC)\b/
const changingPattern = /<!(?:ENTITY|ATTLIST)|%/

function readDoctype(reading: Reading, tagAt: number): number {
  const { text } = reading
  let brackets = 0
  let at = tagAt + 9
  for (; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x22 || code === 0x27) {
      const close = text.indexOf(code === 0x22 ? '"' : "'", at + 1)
      if (close < 0) at = text.length
      else at = close
    } else if (code === 0x3c && text.startsWith('<!--', at)) {
      const close = text.indexOf('-->', at + 4)
      if (close < 0) at = text.length
      else at = close + 2
    } else if (code === 0x5b) brackets++
    else if (code === 0x5d) brackets--
    else if (code === 0x3e && brackets <= 0) break
  }
  if (at >= text.length) reading.error ??= 'a document type declaration without an end'
  const end = Math.min(text.length, at + 1)
  const doctype = text.slice(tagAt, end)
  reading.doctype = (reading.doctype ?? '') + doctype
  if (outsidePattern.test(doctype)) reading.declares = true
  if (changingPattern.test(doctype)) reading.error ??= 'a document type that declares entities or attributes'
  return end
}

/** Reads a start tag and its attributes; tells where it ends. */
function readStartTag(reading: Reading, tagAt: number, open: string[], valuesMax: number): number {
  const { text, attributes } = reading
  const { length } = text
  let at = skipName(text, tagAt + 1)
  const name = text.slice(tagAt + 1, at)
  for (;;) {
    const before = at
    at = skipBlanks(text, at)
    if (at >= length) {
      reading.error ??= 'a tag without an end'
      return length
    }
    const code = text.charCodeAt(at)
    if (code === 0x3e) {
      open.push(name)
      return at + 1
    }
    if (code === 0x2f) {
      if (text.charCodeAt(at + 1) === 0x3e) return at + 2
      reading.error ??= `a bare "/" at byte ${at}`
      at++
      continue
    }
    if (code === 0x3c) {
      // The tag was never closed; another one begins.
      reading.error ??= 'a tag without an end'
      open.push(name)
      return at
    }
    if (at === before) reading.error ??= `expected a blank at byte ${at}`
    const nameAt = at
    at = skipName(text, at)
    if (at === nameAt) {
      reading.error ??= `expected an attribute at byte ${at}`
      at++
      continue
    }
    if (attributes.length >= valuesMax) {
      reading.error ??= `more than ${valuesMax} texts and attributes`
      attributes.push(text.slice(nameAt))
      return length
    }
    const attribute = text.slice(nameAt, at)
    const equalsAt = skipBlanks(text, at)
    if (text.charCodeAt(equalsAt) !== 0x3d) {
      reading.error ??= `expected "=" at byte ${equalsAt}`
      continue
    }
    at = skipBlanks(text, equalsAt + 1)
    const mark = text.charCodeAt(at)
    let value: string
    if (mark === 0x22 || mark === 0x27) {
      const close = text.indexOf(mark === 0x22 ? '"' : "'", at + 1)
      if (close < 0) {
        reading.error ??= 'an attribute without an end'
        attributes.push(text.slice(at + 1))
        return length
      }
      value = text.slice(at + 1, close)
      if (value.includes('<')) reading.error ??= 'a "<" in an attribute'
      at = close + 1
    } else {
      reading.error ??= `expected a quote at byte ${at}`
      const valueAt = at
      while (at < length && !isTagBlank(text.charCodeAt(at)) && text.charCodeAt(at) !== 0x3e) at++
      value = text.slice(valueAt, at)
    }
    value = decodeReferences(reading, value)
    if (isNamespace(attribute) && plainNamespace.test(value)) continue
    attributes.push(value)
  }
}

function isNamespace(attribute: string): boolean {
  return attribute.startsWith('xmlns') && (attribute.length === 5 || attribute[5] === ':')
}

/** Names of namespaces as they are: nothing in them can be anything else. */
const plainNamespace = /^(?:https?:\/\/|urn:)(?:[\w:/#-]|\.(?!\.))*$/

function skipBlanks(text: string, from: number): number {
  let at = from
  while (isTagBlank(text.charCodeAt(at))) at++
  return at
}

function isTagBlank(code: number): boolean {
  return code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09
}

/** Where a name ends: names are taken for what they are not in no text, so that all but delimiters may stand in them. */
function skipName(text: string, from: number): number {
  let at = from
  while (isNameByte(text.charCodeAt(at))) at++
  return at
}

/** Not blank, none of `< > / = " ' ! ?`, and not beyond the end. */
function isNameByte(code: number): boolean {
  return code > 0x20 && code !== 0x22 && code !== 0x27 && code !== 0x2f && (code < 0x3c || code > 0x3f) && code !== 0x21
}

/** Puts in what `&lt;` and `&#60;` stand for. Any other reference stays, and is an error. */
function decodeReferences(reading: Reading, text: string): string {
  let from = text.indexOf('&')
  if (from < 0) return text
  // No reference is shorter than what it stands for in UTF-8.
  const into = scratch(text.length)
  let filled = 0
  let copied = 0
  while (from >= 0) {
    const end = endOfReference(text, from)
    const code = end < 0 ? -1 : referenced(text, from, end)
    if (code < 0) {
      reading.error ??= end < 0 ? 'a bare "&"' : 'a reference to what is not known'
    } else {
      for (let i = copied; i < from; i++) into[filled++] = text.charCodeAt(i)
      filled = writeUtf8(into, filled, code)
      copied = end + 1
    }
    from = text.indexOf('&', from + 1)
  }
  for (let i = copied; i < text.length; i++) into[filled++] = text.charCodeAt(i)
  return into.toString('latin1', 0, filled)
}

/** Where the semicolon stands of the reference whose ampersand stands at `from`; -1 if something else comes first. */
function endOfReference(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at++) {
    const code = text.charCodeAt(at)
    if (code === 0x3b) return at
    if (code === 0x26 || isTagBlank(code)) return -1
  }
  return -1
}

const named: ReadonlyMap<string, number> = new Map([
  ['lt', 0x3c],
  ['gt', 0x3e],
  ['amp', 0x26],
  ['quot', 0x22],
  ['apos', 0x27],
])

/** The code point that a reference stands for; -1 for none. */
function referenced(text: string, from: number, end: number): number {
  if (text.charCodeAt(from + 1) !== 0x23) return named.get(text.slice(from + 1, end)) ?? -1
  const digits = text.slice(from + 2, end)
  let code = -1
  if (/^\d+$/.test(digits)) code = Number(digits)
  else if (/^x[\da-f]+$/i.test(digits)) code = Number.parseInt(digits.slice(1), 16)
  return code > 0 && code <= 0x10ffff && (code < 0xd800 || code >= 0xe000) ? code : -1
}

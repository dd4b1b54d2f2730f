import { trimBlanks } from './bytes.ts'
import { charsetOf, decodePart } from './charset.ts'
import { readDisposition } from './disposition.ts'
import {
  type Argument,
  argument,
  type BodyLimits,
  bodyLimits,
  type MultipartFlags,
  type UploadedFile,
} from './values.ts'

/** A multipart/form-data body, taken apart. */
export interface Multipart {
  readonly arguments: readonly Argument[]
  readonly files: readonly UploadedFile[]
  readonly partHeaders: readonly Argument[]
  readonly flags: MultipartFlags
  readonly noFilesBytes: number
  readonly error: string | undefined
}

/** The boundary that a Content-Type names, and what is odd about how it does so. */
export interface Boundary {
  readonly boundary: string | undefined
  readonly quoted: boolean
  readonly whitespace: boolean
  readonly missingSemicolon: boolean
  readonly error: string | undefined
}

const lineFeed = 0x0a
const carriageReturn = 0x0d

const contentTypeBytesMax = 1_024
/** Names of one part that become arguments: its value is looked at once for each. */
const namesMax = 4
/** RFC 2046, section 5.1.1, but for the length: seventy characters there, more in clients. */
const boundaryPattern = /^[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]$/

/**
 * Takes a body apart as RFC 7578 says, and tells all that another reader might see otherwise, as ModSecurity does with its
 * strict flags. After a mistake it reads on as well as it can: a part that may be a field or a file is both, a part with two
 * names is two arguments, and where no boundary is found the whole body is one argument.
 */
export function parseMultipart(
  text: string,
  contentType: string,
  limits: Pick<
    BodyLimits,
    'argumentsMax' | 'partsMax' | 'filesMax' | 'partHeaderBytesMax' | 'partHeadersMax'
  > = bodyLimits,
): Multipart {
  const { boundary, quoted, whitespace, missingSemicolon, error } = readBoundary(contentType)
  const reading: Reading = {
    text,
    boundary: boundary ?? '',
    marker: `--${boundary}`,
    limits,
    arguments: [],
    files: [],
    partHeaders: [],
    flags: {
      boundaryQuoted: quoted,
      boundaryWhitespace: whitespace,
      dataBefore: false,
      dataAfter: false,
      headerFolding: false,
      lfLine: false,
      crlfLfLines: false,
      missingSemicolon,
      invalidQuoting: false,
      invalidPart: false,
      invalidHeaderFolding: false,
      fileLimitExceeded: false,
      unmatchedBoundary: 0,
      strictError: false,
    },
    crlfLine: false,
    filesBytes: 0,
    incomplete: false,
    error,
  }
  const first = boundary === undefined ? -1 : nextDelimiter(reading, 0)
  if (first < 0) {
    reading.error ??= 'no boundary in the body'
    reading.incomplete = true
    if (text !== '') reading.arguments.push(argument('', text))
  } else {
    if (first > 0) reading.flags.dataBefore = true
    readParts(reading, first)
  }
  const { flags } = reading
  // Without a whole frame of boundaries, a line with dashes may be one of it.
  if (reading.incomplete && flags.unmatchedBoundary === 2) flags.unmatchedBoundary = 1
  flags.crlfLfLines = flags.lfLine && reading.crlfLine
  flags.strictError =
    reading.error !== undefined ||
    flags.boundaryQuoted ||
    flags.boundaryWhitespace ||
    flags.dataBefore ||
    flags.dataAfter ||
    flags.headerFolding ||
    flags.lfLine ||
    flags.missingSemicolon ||
    flags.invalidQuoting ||
    flags.invalidPart ||
    flags.invalidHeaderFolding ||
    flags.fileLimitExceeded
  return {
    arguments: reading.arguments,
    files: reading.files,
    partHeaders: reading.partHeaders,
    flags,
    noFilesBytes: text.length - reading.filesBytes,
    error: reading.error,
  }
}

/** Finds the boundary in a Content-Type, also where the header is wrong, if there is something to find. */
export function readBoundary(contentType: string): Boundary {
  let error: string | undefined
  if (contentType.length > contentTypeBytesMax) error = 'a Content-Type that is too long'
  const header = contentType.slice(0, contentTypeBytesMax)
  const lower = header.toLowerCase()
  if (!lower.startsWith('multipart/form-data')) error ??= 'a Content-Type that is not multipart/form-data'
  const nameAt = lower.indexOf('boundary')
  const equalsAt = nameAt < 0 ? -1 : lower.indexOf('=', nameAt)
  if (equalsAt < 0) {
    return {
      boundary: undefined,
      quoted: false,
      whitespace: false,
      missingSemicolon: false,
      error: error ?? 'no boundary in the Content-Type',
    }
  }
  if (header.slice(nameAt, nameAt + 8) !== 'boundary') error ??= 'a boundary parameter in capitals'
  const between = header.slice(nameAt + 8, equalsAt)
  let whitespace = false
  if (between !== '') {
    if (/^\s+$/.test(between)) whitespace = true
    else error ??= 'a boundary parameter with another name'
  }
  // A charset before the boundary is of no consequence, and some clients send it. Anything else is there to mislead.
  const before = header.slice(19, nameAt)
  if (!/^\s*;?\s*$/.test(before) && !/^\s*;\s*charset=[\w-]+\s*;\s*$/i.test(before)) {
    error ??= 'a Content-Type in which the boundary is not alone'
  }
  const missingSemicolon = !before.includes(';')

  let value = header.slice(equalsAt + 1)
  if (/^\s/.test(value)) whitespace = true
  // Firefox's boundary holds the word itself: only a parameter counts.
  if (/[\s;,"']boundary\s*=/i.test(value)) error ??= 'more than one boundary in the Content-Type'
  value = trimBlanks(value, true, false)
  let quoted = false
  if (value.startsWith('"')) {
    const end = value.indexOf('"', 1)
    if (end < 0) {
      error ??= 'a boundary without an end'
      value = value.slice(1)
    } else {
      quoted = true
      if (!/^\s*(?:;.*)?$/.test(value.slice(end + 1))) error ??= 'text after the boundary'
      value = value.slice(1, end)
    }
  } else {
    const end = value.indexOf(';')
    if (end >= 0) value = value.slice(0, end)
    const trimmed = trimBlanks(value, false, true)
    if (trimmed !== value) whitespace = true
    value = trimmed
    if (value.includes('"')) error ??= 'a boundary that is quoted in part'
  }
  if (!boundaryPattern.test(value)) error ??= 'a boundary of characters that are not allowed'
  return { boundary: value === '' ? undefined : value, quoted, whitespace, missingSemicolon, error }
}

/** What is read of one body. */
interface Reading {
  readonly text: string
  readonly boundary: string
  /** The two dashes and the boundary: what a delimiter begins with. */
  readonly marker: string
  readonly limits: Pick<BodyLimits, 'argumentsMax' | 'partsMax' | 'filesMax' | 'partHeaderBytesMax' | 'partHeadersMax'>
  readonly arguments: Argument[]
  readonly files: UploadedFile[]
  readonly partHeaders: Argument[]
  readonly flags: MultipartFlags
  crlfLine: boolean
  filesBytes: number
  /** The first or the final boundary is missing. */
  incomplete: boolean
  error: string | undefined
}

/** Where the next line that is a delimiter begins; -1 if there is none. Tells of all that resembles one on the way. */
function nextDelimiter(reading: Reading, from: number): number {
  const { text, marker, flags } = reading
  // Native searches only: a file of megabytes must cost no more than reading it. Each ends at the delimiter at the latest.
  let at = from === 0 && text.startsWith(marker) ? 0 : afterFeed(text, `\n${marker}`, from)
  while (at >= 0 && !endsDelimiter(reading, at + marker.length)) {
    reading.error ??= 'a boundary with text behind it'
    flags.unmatchedBoundary = 1
    at = afterFeed(text, `\n${marker}`, at + 1)
  }
  const end = at < 0 ? text.length : at
  if (flags.unmatchedBoundary !== 1) {
    const inside = text.indexOf(marker, from)
    if (inside >= 0 && inside < end) flags.unmatchedBoundary = 1
  }
  if (reading.error === undefined || flags.unmatchedBoundary === 0) noteDashedLines(reading, from, end)
  return at
}

/** Lines that begin with two dashes without being delimiters. */
function noteDashedLines(reading: Reading, from: number, end: number): void {
  const { text, boundary, flags } = reading
  let at = from === 0 && text.startsWith('--') ? 0 : afterFeed(text, '\n--', from)
  for (; at >= 0 && at < end; at = afterFeed(text, '\n--', at + 1)) {
    flags.unmatchedBoundary ||= 2
    const inner = skipSpaces(text, at + 2)
    const isSpaced = inner > at + 2 && text.startsWith(boundary, inner)
    const isQuoted = text.charCodeAt(at + 2) === 0x22 && text.startsWith(boundary, at + 3)
    if (!isSpaced && !isQuoted) continue
    reading.error ??= isSpaced ? 'a boundary with blanks before it' : 'a boundary in quotes'
    flags.unmatchedBoundary = 1
    return
  }
}

/** Where the text after a line feed begins that is as `needle`, at `from` or behind it; -1 if there is none. */
function afterFeed(text: string, needle: string, from: number): number {
  const at = text.indexOf(needle, Math.max(0, from - 1))
  return at < 0 ? -1 : at + 1
}

/** Whether a delimiter ends here: after two dashes or none, and blanks, which are an error, comes the end of the line. */
function endsDelimiter(reading: Reading, after: number): boolean {
  const { text } = reading
  const dashed = text.startsWith('--', after) ? after + 2 : after
  const end = skipSpaces(text, dashed)
  if (end < text.length && text.charCodeAt(end) !== lineFeed) return false
  // A carriage return before the line feed is part of the line's end, and any other blank is not.
  const blanks = end > dashed && text.charCodeAt(end - 1) === carriageReturn ? end - 1 - dashed : end - dashed
  if (blanks > 0) reading.error ??= 'a boundary with blanks behind it'
  return true
}

function skipSpaces(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === 0x20 || code === 0x09 || (code >= 0x0b && code <= 0x0d)) at++
    else return at
  }
}

/** Notes how the line ends whose line feed stands at `at`. */
function noteLineEnd(reading: Reading, at: number): void {
  if (at > 0 && reading.text.charCodeAt(at - 1) === carriageReturn) reading.crlfLine = true
  else reading.flags.lfLine = true
}

function readParts(reading: Reading, first: number): void {
  const { text, marker, flags, limits } = reading
  let delimiter = first
  for (let parts = 0; ; parts++) {
    if (delimiter > 0) noteLineEnd(reading, delimiter - 1)
    const after = delimiter + marker.length
    const lineEnd = text.indexOf('\n', after)
    if (lineEnd >= 0) noteLineEnd(reading, lineEnd)
    if (text.startsWith('--', after)) {
      if (lineEnd < 0 || lineEnd + 1 === text.length) return
      flags.dataAfter = true
      // PHP takes the final boundary for any other one.
      const more = nextDelimiter(reading, lineEnd + 1)
      if (more < 0) return
      delimiter = more
      continue
    }
    if (lineEnd < 0) {
      reading.error ??= 'the final boundary is missing'
      reading.incomplete = true
      return
    }
    if (parts >= limits.partsMax || reading.arguments.length >= limits.argumentsMax) {
      reading.error ??=
        parts >= limits.partsMax ? `more than ${limits.partsMax} parts` : `more than ${limits.argumentsMax} arguments`
      reading.arguments.push(argument('', text.slice(lineEnd + 1)))
      return
    }
    const next = readPart(reading, lineEnd + 1)
    if (next < 0) {
      reading.error ??= 'the final boundary is missing'
      reading.incomplete = true
      return
    }
    delimiter = next
  }
}

/** Reads the part that begins at `from`; tells where the next delimiter stands, -1 if there is none. */
function readPart(reading: Reading, from: number): number {
  const { text, flags } = reading
  const lines: string[] = []
  const body = readHeaders(reading, from, lines)
  const next = nextDelimiter(reading, body)
  let end = next < 0 ? text.length : next
  if (next >= 0 && end > body) end -= end - 1 > body && text.charCodeAt(end - 2) === carriageReturn ? 2 : 1
  else if (next >= 0) {
    // Some readers take the delimiter for the part's data, since no line end stands between the headers and it.
    flags.invalidPart = true
  }
  addPart(reading, lines, text.slice(body, Math.max(body, end)))
  return next
}

/** Reads the header lines of a part, folded ones joined; tells where its data begins. */
function readHeaders(reading: Reading, from: number, lines: string[]): number {
  const { text, marker, flags, limits } = reading
  let at = from
  while (at < text.length) {
    if (text.startsWith(marker, at)) {
      flags.invalidPart = true
      reading.error ??= 'a part whose headers do not end'
      return at
    }
    const feed = text.indexOf('\n', at)
    const next = feed < 0 ? text.length : feed + 1
    let end = feed < 0 ? text.length : feed
    if (feed >= 0) noteLineEnd(reading, feed)
    if (end > at && text.charCodeAt(end - 1) === carriageReturn) end--
    if (end === at) return next
    if (end - at >= limits.partHeaderBytesMax) reading.error ??= 'a header of a part that is too long'
    const folds = skipSpaces(text, at)
    if (folds > at) {
      flags.headerFolding = true
      for (let i = at; i < folds && i < end; i++) {
        const code = text.charCodeAt(i)
        if (code !== 0x20 && code !== 0x09) flags.invalidHeaderFolding = true
      }
      const more = text.slice(Math.min(folds, end), end)
      if (lines.length === 0) {
        reading.error ??= 'a folded line without a header before it'
        lines.push(more)
      } else {
        lines[lines.length - 1] += ` ${more}`
        if (lines.at(-1)!.length > limits.partHeaderBytesMax) reading.error ??= 'a header of a part that is too long'
      }
    } else {
      if (lines.length === limits.partHeadersMax) reading.error ??= 'too many headers of a part'
      lines.push(text.slice(at, end))
    }
    at = next
  }
  return text.length
}

function addPart(reading: Reading, lines: readonly string[], content: string): void {
  const { flags, limits } = reading
  const names: string[] = []
  const filenames: string[] = []
  const seen = new Set<string>()
  let partError: string | undefined
  let charset: string | undefined
  let hasDisposition = false
  let misquoted = false
  for (const line of lines) {
    const colon = line.indexOf(':')
    const header = (colon < 0 ? line : line.slice(0, colon)).toLowerCase()
    if (colon < 0) partError ??= 'a header of a part without a colon'
    else if (colon === 0) partError ??= 'a header of a part without a name'
    else if (!/^[!-~]+$/.test(header)) partError ??= 'a header of a part with a wrong name'
    if (line.includes('\0')) partError ??= 'a zero byte in a header of a part'
    if (seen.has(header)) partError ??= 'a header of a part that stands twice'
    if (seen.size < limits.partHeadersMax) seen.add(header)
    const name = header.trim()
    if (name === 'content-disposition') {
      hasDisposition = true
      const disposition = readDisposition(trimBlanks(line.slice(colon + 1), true, false))
      names.push(...disposition.names)
      filenames.push(...disposition.filenames)
      if (disposition.invalidQuoting) misquoted = true
      if (disposition.error !== undefined) partError ??= `a Content-Disposition with ${disposition.error}`
    } else if (name === 'content-type') charset = charsetOf(line)
  }
  if (!hasDisposition) partError ??= 'a part without Content-Disposition'
  if (names.length === 0) {
    flags.invalidPart = true
    names.push('')
  }
  reading.error ??= partError
  if (misquoted) flags.invalidQuoting = true

  for (const line of lines) reading.partHeaders.push(argument(names[0]!, line))
  const isFile = filenames.length > 0
  if (isFile) {
    reading.filesBytes += content.length
    for (const filename of filenames) {
      if (reading.files.length === limits.filesMax) {
        flags.fileLimitExceeded = true
        reading.error ??= `more than ${limits.filesMax} files`
      }
      reading.files.push({ field: names[0]!, filename, content })
    }
  }
  // A part that is wrong may be a field for the upstream, whatever it looks like here: PHP's quotes may begin anywhere.
  if (!isFile || misquoted || partError !== undefined) {
    const value = charset === undefined ? content : decodePart(content, charset)
    for (const name of new Set(names.slice(0, namesMax))) reading.arguments.push(argument(name, value))
  }
}

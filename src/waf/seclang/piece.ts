import type { Place } from './rule.ts'

/** One rule file. The text is its bytes, a character each (latin1). */
export interface Source {
  /** As errors name it; relative names in it are looked for beside it. */
  readonly name: string
  readonly text: string
}

/** A source that can tell the line of an offset. */
export interface SourceFile extends Source {
  readonly lineStarts: readonly number[]
}

/**
 * A directive, put together from the lines that it is continued on. `joints` says which source offset belongs to the
 * text from an index on.
 */
export interface Line {
  readonly file: SourceFile
  readonly text: string
  readonly joints: readonly { readonly at: number; readonly offset: number }[]
}

/** A part of a directive, with quotes and the backslashes before them removed, that still knows where it stands. */
export interface Piece {
  readonly text: string
  readonly parent: Piece | Line
  /** Index in the parent of the first character. */
  readonly at: number
  /** Indexes of the characters that a dropped backslash stands before. */
  readonly dropped: readonly number[]
}

const none: readonly number[] = []

export function pieceOf(parent: Piece | Line, start: number, end: number): Piece {
  return { text: parent.text.slice(start, end), parent, at: start, dropped: none }
}

/** Without the white space around it. */
export function trimmed(parent: Piece | Line, start: number, end: number): Piece {
  const { text } = parent
  let from = start
  let to = end
  while (from < to && isSpace(text.charCodeAt(from))) from++
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--
  return pieceOf(parent, from, to)
}

/**
 * What stands between quotes. A backslash before the quote mark is dropped and the mark kept, as long as it is not
 * itself preceded by one: in `a\\"` the mark ends the text. All other backslashes stay, as patterns need them.
 */
export function unquoted(parent: Piece | Line, start: number, end: number, quote: string): Piece {
  const raw = parent.text.slice(start, end)
  if (!raw.includes(quote)) return { text: raw, parent, at: start, dropped: none }
  const dropped: number[] = []
  let text = ''
  let from = 0
  for (let mark = raw.indexOf(quote); mark !== -1; mark = raw.indexOf(quote, mark + 1)) {
    if (!isEscaped(raw, mark, 0)) continue
    text += raw.slice(from, mark - 1)
    dropped.push(text.length)
    from = mark
  }
  return { text: text + raw.slice(from), parent, at: start, dropped }
}

/** Whether an odd number of backslashes stands before `index`. */
export function isEscaped(text: string, index: number, start: number): boolean {
  let backslashes = 0
  while (index - backslashes > start && text.charCodeAt(index - backslashes - 1) === 0x5c) backslashes++
  return backslashes % 2 === 1
}

/** The next mark that is not escaped, or -1. Linear: each backslash is looked at once. */
export function closingQuote(text: string, start: number, quote: string): number {
  const code = quote.charCodeAt(0)
  let escaped = false
  for (let i = start; i < text.length; i++) {
    const at = text.charCodeAt(i)
    if (at === code && !escaped) return i
    escaped = at === 0x5c && !escaped
  }
  return -1
}

export function isSpace(code: number): boolean {
  return code === 0x20 || (code >= 0x09 && code <= 0x0d)
}

export function lineOf(piece: Piece): Line {
  let at: Piece | Line = piece
  while ('parent' in at) at = at.parent
  return at
}

/** Where in the file a character of a piece stands. */
export function offsetOf(piece: Piece, index = 0): number {
  let at: Piece | Line = piece
  let i = index
  while ('parent' in at) {
    const here = i
    i += at.at
    for (const drop of at.dropped) {
      if (drop > here) break
      i++
    }
    at = at.parent
  }
  let joint = at.joints[0]!
  for (const next of at.joints) {
    if (next.at > i) break
    joint = next
  }
  return joint.offset + i - joint.at
}

export function placeOf(piece: Piece, index = 0): Place {
  return placeAt(lineOf(piece).file, offsetOf(piece, index))
}

export function placeAt(file: SourceFile, offset: number): Place {
  const { lineStarts, text, name } = file
  let low = 0
  let high = lineStarts.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if (lineStarts[middle]! <= offset) low = middle
    else high = middle - 1
  }
  // An editor counts characters, and a character of UTF-8 has several bytes: those that continue one do not count.
  let column = 1
  for (let i = lineStarts[low]!; i < offset; i++) if ((text.charCodeAt(i) & 0xc0) !== 0x80) column++
  return { file: name, line: low + 1, column }
}

export function lineStartsOf(text: string): readonly number[] {
  const starts = [0]
  for (let end = text.indexOf('\n'); end !== -1; end = text.indexOf('\n', end + 1)) starts.push(end + 1)
  return starts
}

import type { Complaints } from './error.ts'
import { closingQuote, isSpace, type Line, type Piece, pieceOf, type SourceFile, unquoted } from './piece.ts'

/** One directive of a rule file: its name and the words after it, unquoted. */
export interface Directive {
  readonly name: Piece
  readonly words: readonly Word[]
  /** Whether all quotes are closed. If not, the complaint is made already. */
  readonly whole: boolean
}

export interface Word extends Piece {
  readonly quoted: boolean
}

/**
 * Reads a file's directives as Apache does: a line that ends with a backslash is continued on the next, a line that
 * begins with `#` is a comment and continued likewise, words are separated by white space unless quoted.
 */
export function readDirectives(file: SourceFile, complaints: Complaints): Directive[] {
  const { text, lineStarts } = file
  const directives: Directive[] = []
  let joints: { at: number; offset: number }[] = []
  let joined = ''
  let inComment = false
  for (let index = 0; index < lineStarts.length; index++) {
    let start = lineStarts[index]!
    let end = (lineStarts[index + 1] ?? text.length + 1) - 1
    // A byte order mark is no part of the first directive.
    if (index === 0 && text.startsWith('\xef\xbb\xbf')) start += 3
    if (end > start && text.charCodeAt(end - 1) === 0x0d) end--
    while (start < end && isSpace(text.charCodeAt(start))) start++
    const continues = end > start && text.charCodeAt(end - 1) === 0x5c

    const isComment = text.charCodeAt(start) === 0x23 && start < end
    if (inComment) {
      // Whoever comments out the first line of a rule only, has commented out all of it: that is easily overlooked.
      if (!isComment && end > start) {
        const line: Line = { file, text: text.slice(start, end), joints: [{ at: 0, offset: start }] }
        complaints.warn(pieceOf(line, 0, 1), 'this line is part of the comment above, which ends with a backslash')
      }
      inComment = continues
      continue
    }
    if (joints.length === 0 && isComment) {
      inComment = continues
      continue
    }
    if (joints.length > 0 || end > start) {
      joints.push({ at: joined.length, offset: start })
      joined += text.slice(start, continues ? end - 1 : end)
    }
    if (continues && index < lineStarts.length - 1) continue
    if (joints.length > 0) {
      const directive = readDirective({ file, text: joined, joints }, complaints)
      if (directive !== undefined) directives.push(directive)
    }
    joints = []
    joined = ''
  }
  return directives
}

function readDirective(line: Line, complaints: Complaints): Directive | undefined {
  const { text } = line
  let at = 0
  while (at < text.length && isSpace(text.charCodeAt(at))) at++
  if (at === text.length) return undefined
  const start = at
  while (at < text.length && !isSpace(text.charCodeAt(at))) at++
  const name = pieceOf(line, start, at)
  const words: Word[] = []
  let whole = true
  for (;;) {
    while (at < text.length && isSpace(text.charCodeAt(at))) at++
    if (at === text.length) break
    const mark = text[at]!
    if (mark !== '"' && mark !== "'") {
      const from = at
      while (at < text.length && !isSpace(text.charCodeAt(at))) at++
      words.push({ ...pieceOf(line, from, at), quoted: false })
      continue
    }
    const closing = closingQuote(text, at + 1, mark)
    const end = closing === -1 ? text.length : closing
    words.push({ ...unquoted(line, at + 1, end, mark), quoted: true })
    if (closing === -1) {
      whole = false
      complaints.error(pieceOf(line, at, at + 1), 'this quote is not closed', hintOfOpenQuote(text))
      break
    }
    at = closing + 1
    if (at < text.length && !isSpace(text.charCodeAt(at)) && text[at] !== '"') {
      whole = false
      const hint = `write \\${mark} for a quote inside the quotes`
      complaints.error(pieceOf(line, closing, closing + 1), 'expected white space after the closing quote', hint)
      break
    }
  }
  return { name, words, whole }
}

function hintOfOpenQuote(text: string): string | undefined {
  return /\\[ \t]+$/.test(text) ? 'white space follows the backslash: the line is not continued' : undefined
}

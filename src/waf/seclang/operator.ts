import { nearest } from '../../base/suggest.ts'
import type { DataFiles } from './data.ts'
import { type Complaints, quotedShort } from './error.ts'
import { operators } from './known.ts'
import { readPattern } from './pattern.ts'
import { isSpace, type Piece, pieceOf, placeOf, trimmed } from './piece.ts'
import type { OperatorUse } from './rule.ts'

/** Reads `@rx ^a`, `!@eq 0`, `^a` (a pattern) or `!^a`. The argument keeps its trailing white space, as patterns may end so. */
export function readOperator(piece: Piece, data: DataFiles, complaints: Complaints): OperatorUse {
  const { text } = piece
  let at = skipSpace(text, 0)
  const negated = text[at] === '!'
  if (negated) at = skipSpace(text, at + 1)
  const place = placeOf(piece)
  if (text[at] !== '@') {
    checkPattern(pieceOf(piece, at, text.length), complaints)
    return { name: 'rx', negated, argument: text.slice(at), lines: undefined, place }
  }
  const start = at
  while (at < text.length && !isSpace(text.charCodeAt(at))) at++
  const written = text.slice(start + 1, at)
  const name = operators.get(written.toLowerCase())
  if (name === undefined) {
    const near = nearest(written, operators.values())
    const hint = near === undefined ? 'a pattern that begins with @ is written @rx @…' : `did you mean @${near}?`
    complaints.error(pieceOf(piece, start, at), `unknown operator ${quotedShort(`@${written}`)}`, hint)
  }
  if (name === 'geoLookup') {
    complaints.warn(pieceOf(piece, start, at), '@geoLookup never matches: there is no database of places here')
  }
  at = skipSpace(text, at)
  const argument = text.slice(at)
  if (name === 'rx' || name === 'rxGlobal') checkPattern(pieceOf(piece, at, text.length), complaints)
  const lines =
    name === 'pmFromFile' || name === 'ipMatchFromFile'
      ? readLines(trimmed(piece, at, text.length), data, complaints)
      : undefined
  return { name: name ?? 'rx', negated, argument, lines, place }
}

/** What a macro will stand for is known in a transaction only. */
function checkPattern(piece: Piece, complaints: Complaints): void {
  if (!piece.text.includes('%{')) readPattern(piece, complaints)
}

/** `@pmFromFile a.data b.data` looks for the lines of both. */
function readLines(names: Piece, data: DataFiles, complaints: Complaints): readonly string[] | undefined {
  if (names.text === '') {
    complaints.error(names, 'expected the name of a file')
    return undefined
  }
  const files = [...names.text.matchAll(/\S+/g)].map((match) =>
    pieceOf(names, match.index, match.index + match[0].length),
  )
  const lists = files.map((file) => data.lines(file, complaints) ?? [])
  return lists.length === 1 ? lists[0] : lists.flat()
}

function skipSpace(text: string, start: number): number {
  let at = start
  while (at < text.length && isSpace(text.charCodeAt(at))) at++
  return at
}

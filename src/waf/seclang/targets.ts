import { nearest } from '../../base/suggest.ts'
import type { Complaints } from './error.ts'
import { collections, lowerCase, scalars } from './known.ts'
import { readPattern } from './pattern.ts'
import { closingQuote, isEscaped, isSpace, type Piece, pieceOf, unquoted } from './piece.ts'
import type { Selector, Target } from './rule.ts'

export interface TargetList {
  readonly targets: readonly Target[]
  readonly exclusions: readonly Target[]
}

/** Reads `ARGS|!ARGS:id|&TX:score|REQUEST_HEADERS:/^x-/|XML:/*`. */
export function readTargets(piece: Piece, complaints: Complaints): TargetList {
  const { text } = piece
  const targets: Target[] = []
  const exclusions: Target[] = []
  let at = 0
  for (;;) {
    at = skipSpace(text, at)
    const sign = text[at] === '!' || text[at] === '&' ? text[at] : ''
    if (sign !== '') at = skipSpace(text, at + 1)
    const start = at
    while (at < text.length && isNameCode(text.charCodeAt(at))) at++
    const name = text.slice(start, at)
    const variable = variableOf(name)
    if (variable === undefined) {
      const shown = name === '' ? pieceOf(piece, start, start + 1) : pieceOf(piece, start, at)
      complaints.error(shown, name === '' ? 'expected a variable' : `unknown variable ${name}`, hintOf(name))
    }
    let selector: Selector | undefined
    if (text[at] === ':' || text[at] === '.') {
      if (variable !== undefined && !collections.has(variable.toLowerCase()))
        complaints.error(pieceOf(piece, start, at), `${variable} has one value: nothing can be selected in it`)
      const read = readSelector(piece, skipSpace(text, at + 1), variable === 'XML', complaints)
      selector = read.selector
      at = read.end
    }
    if (variable !== undefined) {
      const target: Target = { variable, selector, count: sign === '&' }
      if (sign === '!') exclusions.push(target)
      else targets.push(target)
    }
    at = skipSpace(text, at)
    if (at >= text.length) return { targets, exclusions }
    if (text[at] === '|') {
      at++
      continue
    }
    // A name that is unknown may be followed by anything; one complaint is enough for it.
    if (variable !== undefined) {
      const hint = text[at] === ',' ? 'variables are separated by |' : undefined
      complaints.error(pieceOf(piece, at, at + 1), `expected | or the end, found ${JSON.stringify(text[at])}`, hint)
    }
    const next = text.indexOf('|', at)
    if (next === -1) return { targets, exclusions }
    at = next + 1
  }
}

/** What stands behind the colon: a name, a pattern between slashes, either of them in single quotes. */
function readSelector(
  piece: Piece,
  start: number,
  isXml: boolean,
  complaints: Complaints,
): { selector: Selector | undefined; end: number } {
  const { text } = piece
  if (text[start] === "'") {
    const closing = closingQuote(text, start + 1, "'")
    if (closing === -1) {
      complaints.error(pieceOf(piece, start, start + 1), 'this quote is not closed')
      return { selector: undefined, end: text.length }
    }
    const inner = unquoted(piece, start + 1, closing, "'")
    const selector = selectorOf(inner.text, isXml)
    if (selector.kind === 'pattern') readPattern(pieceOf(inner, 1, inner.text.length - 1), complaints)
    return { selector, end: closing + 1 }
  }
  if (text[start] === '/' && !isXml) {
    const end = closingSlash(text, start + 1)
    if (end === -1) {
      const next = text.indexOf('|', start)
      const shown = pieceOf(piece, start, next === -1 ? text.length : next)
      const hint = "a name that begins with a slash is written in quotes: ARGS:'/name'"
      complaints.error(shown, 'the pattern has no closing slash', hint)
      return { selector: undefined, end: next === -1 ? text.length : next }
    }
    readPattern(pieceOf(piece, start + 1, end), complaints)
    return { selector: { kind: 'pattern', source: text.slice(start + 1, end) }, end: end + 1 }
  }
  let end = text.indexOf('|', start)
  if (end === -1) end = text.length
  let last = end
  while (last > start && isSpace(text.charCodeAt(last - 1))) last--
  if (last === start) complaints.error(pieceOf(piece, start - 1, start), 'expected a name or a pattern after the colon')
  return { selector: selectorOf(text.slice(start, last), isXml), end }
}

function selectorOf(text: string, isXml: boolean): Selector {
  // XPath distinguishes upper and lower case, and begins with a slash.
  if (isXml) return { kind: 'name', name: text }
  if (text.length >= 2 && text.startsWith('/') && text.endsWith('/'))
    return { kind: 'pattern', source: text.slice(1, -1) }
  return { kind: 'name', name: lowerCase(text) }
}

/** The first slash that ends the pattern: not escaped, and with nothing but the next variable behind it. */
export function closingSlash(text: string, start: number): number {
  for (let at = text.indexOf('/', start); at !== -1; at = text.indexOf('/', at + 1)) {
    if (isEscaped(text, at, start)) continue
    const next = skipSpace(text, at + 1)
    if (next === text.length || text[next] === '|') return at
  }
  return -1
}

function variableOf(name: string): string | undefined {
  const lower = name.toLowerCase()
  return collections.get(lower) ?? scalars.get(lower)
}

function hintOf(name: string): string | undefined {
  const near = nearest(name, [...collections.values(), ...scalars.values()])
  return near === undefined ? undefined : `did you mean ${near}?`
}

function isNameCode(code: number): boolean {
  const letter = code | 0x20
  return (letter >= 0x61 && letter <= 0x7a) || code === 0x5f || (code >= 0x30 && code <= 0x39)
}

function skipSpace(text: string, start: number): number {
  let at = start
  while (at < text.length && isSpace(text.charCodeAt(at))) at++
  return at
}

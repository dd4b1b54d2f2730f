import { parseDuration } from '../base/units.ts'
import { RuleError } from './rule-error.ts'

/** A piece of an expression's text; `end` is behind its last character. */
export interface Span {
  readonly start: number
  readonly end: number
}

export type Token = Span &
  (
    | { readonly kind: 'text'; readonly value: string }
    | { readonly kind: 'number'; readonly value: number }
    | { readonly kind: 'duration'; readonly value: number }
    /** `subject`, `claims.address.country`: the segments of a name, or a word of the language. */
    | { readonly kind: 'name'; readonly path: readonly string[] }
    | { readonly kind: 'mark'; readonly value: string }
    | { readonly kind: 'end' }
  )

const sourceMax = 4_096

const space = /[\t\r\n ]+/y
const quantity = /\d+(?:\.\d+)?(?:(ms|[smhdw])(?![\w$-]))?/y
/** The dash belongs to names, as in `header.x-tenant`: the language has no arithmetic. */
const name = /[A-Za-z_$][\w$-]*(?:\.[A-Za-z_$][\w$-]*)*/y
const marks = ['||', '&&', '==', '!=', '<=', '>=', '..', '.', '<', '>', '!', '(', ')', '[', ']', ',', '+'] as const

const instead: Readonly<Record<string, string>> = {
  '=': 'write == to compare',
  '&': 'write && for "and"',
  '|': 'write || for "or"',
}

/** Cuts an expression into tokens. Throws `RuleError` at the first character that belongs to none. */
export function tokensOf(source: string): readonly Token[] {
  if (source.length > sourceMax) {
    throw new RuleError(`an expression has at most ${sourceMax} characters`, source, {
      start: sourceMax,
      end: sourceMax,
    })
  }
  const tokens: Token[] = []
  let at = 0
  while (at < source.length) {
    const gap = take(space, source, at)
    if (gap !== undefined) {
      at += gap[0].length
      continue
    }
    const token = tokenAt(source, at)
    tokens.push(token)
    at = token.end
  }
  tokens.push({ kind: 'end', start: source.length, end: source.length })
  return tokens
}

function tokenAt(source: string, start: number): Token {
  const first = source[start]!
  if (first === "'" || first === '"') return textAt(source, start, first)
  const amount = take(quantity, source, start)
  if (amount !== undefined) {
    const end = start + amount[0].length
    const follows = take(/[\w$]+/y, source, end)
    if (follows !== undefined) {
      const hint = 'times are written 250ms, 30s, 5m, 8h, 7d or 2w; text stands in quotes'
      throw new RuleError(
        `"${amount[0]}${follows[0]}" is no number`,
        source,
        { start, end: end + follows[0].length },
        hint,
      )
    }
    return amount[1] === undefined
      ? { kind: 'number', value: Number(amount[0]), start, end }
      : { kind: 'duration', value: parseDuration(amount[0]), start, end }
  }
  const word = take(name, source, start)
  if (word !== undefined) return { kind: 'name', path: word[0].split('.'), start, end: start + word[0].length }
  const mark = marks.find((one) => source.startsWith(one, start))
  if (mark !== undefined) return { kind: 'mark', value: mark, start, end: start + mark.length }
  throw new RuleError(`cannot read ${JSON.stringify(first)}`, source, { start, end: start + 1 }, instead[first])
}

function textAt(source: string, start: number, quote: string): Token {
  let value = ''
  for (let i = start + 1; i < source.length; i++) {
    const one = source[i]!
    if (one === quote) return { kind: 'text', value, start, end: i + 1 }
    if (one !== '\\') value += one
    else {
      const escaped = source[++i]
      if (escaped !== quote && escaped !== '\\') {
        throw new RuleError('only the quote and the backslash itself are escaped', source, { start: i - 1, end: i + 1 })
      }
      value += escaped
    }
  }
  throw new RuleError('this text has no end', source, { start, end: source.length }, `add ${quote}`)
}

function take(pattern: RegExp, source: string, at: number): RegExpExecArray | undefined {
  pattern.lastIndex = at
  return pattern.exec(source) ?? undefined
}

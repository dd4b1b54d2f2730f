import { pointerTokens, valueAt } from '../../openapi/pointer.ts'
import { RuleError } from '../../rules/rule-error.ts'

/*
 * Whose object is it? `$response.body#/userId == $claims.sub`: comparisons of runtime expressions (OpenAPI 3.1.1, 4.8.20.4)
 * with what is known of the caller, joined by && and ||.
 *
 * There is no "not" and no "other than", on purpose: more knowledge never turns a yes into a no, so that what is missing can
 * always be taken as a no.
 */

/** Who can tell a value, and therefore when: with the head of the request, its body, or the answer. */
export type Side = 'head' | 'requestBody' | 'response'

/** What an expression asks of an exchange. A side that is not there yet is `unknown`. */
export interface OwnerFacts {
  /** A path parameter, percent-decoded. */
  readonly path: (name: string) => unknown
  readonly query: (name: string) => unknown
  readonly header: (name: string) => unknown
  readonly caller: (words: readonly string[]) => unknown
  /** The request's body, or the element of it that is judged; `unknown` before it was read. */
  readonly requestBody: unknown
  /** The answer's body, or the element of it that is judged; `unknown` before it was read. */
  readonly responseBody: unknown
  /** By lower-case name; `unknown` before there is an answer. */
  readonly responseHeaders: Readonly<Record<string, string>> | typeof unknown
}

/** Not there yet. Another thing than missing, which is never equal to anything. */
export const unknown: unique symbol = Symbol('unknown')

/** Why an object is not the caller's. */
export type Because = 'missing' | 'differs'

/** `true`: it is the caller's. `unknown`: nobody can tell yet. Else the comparison that failed, as it is written. */
export type Finding = true | typeof unknown | { readonly failed: string; readonly because: Because }

export interface OwnerExpression {
  readonly judge: (facts: OwnerFacts) => Finding
  /** What it looks at. */
  readonly sides: ReadonlySet<Side>
  /** Pointers into the answer's body that it looks at, as keys; for finding the list they mean. */
  readonly responsePointers: readonly (readonly string[])[]
}

/** A runtime expression that stands alone, such as in `each`. */
export interface Source {
  readonly text: string
  readonly side: Side
  readonly read: (facts: OwnerFacts) => unknown
  /** Where in a body it points, as keys. */
  readonly tokens: readonly string[] | undefined
  /** Which header of the answer, where it is one. */
  readonly header: string | undefined
}

/** Comparisons in one expression at most. */
const comparisonsMax = 32
const sourceMax = 2_048

/** Reads an owner expression. Throws `RuleError` with the place. */
export function parseOwner(source: string): OwnerExpression {
  const tokens = tokenize(source)
  const sides = new Set<Side>()
  const responsePointers: (readonly string[])[] = []
  let at = 0
  let comparisons = 0
  const here = () => tokens[at]!

  const node = either()
  if (here().kind !== 'end') throw wrong(here(), `expected && or || or the end`)
  return { judge: node, sides, responsePointers }

  function wrong(token: Token, message: string, hint?: string): RuleError {
    return new RuleError(message, source, { start: token.start, end: token.start + token.text.length }, hint)
  }

  function either(): Node {
    const nodes = [both()]
    while (here().text === '||') {
      at++
      nodes.push(both())
    }
    return nodes.length === 1 ? nodes[0]! : anyOf(nodes)
  }

  function both(): Node {
    const nodes = [single()]
    while (here().text === '&&') {
      at++
      nodes.push(single())
    }
    return nodes.length === 1 ? nodes[0]! : allOf(nodes)
  }

  function single(): Node {
    if (here().text === '(') {
      at++
      const inner = either()
      if (here().text !== ')') throw wrong(here(), 'expected )')
      at++
      return inner
    }
    const start = here().start
    const left = operand()
    const operator = here()
    if (operator.text !== '==' && operator.text !== '==?' && operator.text !== 'in') {
      const hint = /^(=|===|!=|<|>)/.test(operator.text)
        ? 'an owner is compared with == or in; what must not be is for `when`'
        : undefined
      throw wrong(operator, 'expected ==, ==? or in', hint)
    }
    at++
    const right = operand(operator.text === 'in')
    if (++comparisons > comparisonsMax) throw wrong(operator, `more than ${comparisonsMax} comparisons`)
    if (left.isLiteral && right.isLiteral) throw wrong(operator, 'this is always the same, whoever asks')
    const end = tokens[at - 1]!
    return comparison(source.slice(start, end.start + end.text.length), left, operator.text, right)
  }

  function operand(listAllowed = false): Operand {
    const token = here()
    at++
    switch (token.kind) {
      case 'expression': {
        const found = readSource(token.text, (message, hint) => wrong(token, message, hint))
        sides.add(found.side)
        if (found.side === 'response' && found.tokens !== undefined) responsePointers.push(found.tokens)
        return { read: found.read, isLiteral: false }
      }
      case 'literal': {
        const { value } = token
        return { read: () => value, isLiteral: true }
      }
      case 'sign':
        if (token.text === '[' && listAllowed) return list()
        break
    }
    throw wrong(token, 'expected an expression such as $request.path.id or $claims.sub, or a text or number')
  }

  function list(): Operand {
    const values: unknown[] = []
    for (;;) {
      const token = here()
      if (token.kind !== 'literal') throw wrong(token, 'expected a text or a number')
      values.push(token.value)
      at++
      const next = here()
      at++
      if (next.text === ']') return { read: () => values, isLiteral: true }
      if (next.text !== ',') throw wrong(next, 'expected , or ]')
    }
  }
}

/** Reads one runtime expression by itself. Throws `RuleError`. */
export function parseSource(text: string): Source {
  const space = text.search(/\s/)
  if (space >= 0) throw new RuleError('expected one expression, without spaces', text, { start: space, end: space + 1 })
  return readSource(text, (message, hint) => new RuleError(message, text, { start: 0, end: text.length }, hint))
}

// Evaluation ---------------------------------------------------------------------------------------

type Node = (facts: OwnerFacts) => Finding

interface Operand {
  readonly read: (facts: OwnerFacts) => unknown
  readonly isLiteral: boolean
}

/** No as soon as one says no; not known as long as one is not. */
function allOf(nodes: readonly Node[]): Node {
  return (facts) => {
    let finding: Finding = true
    for (const node of nodes) {
      const found = node(facts)
      if (found === unknown) finding = unknown
      else if (found !== true) return found
    }
    return finding
  }
}

/** Yes as soon as one says yes; of several that say no the first is told. */
function anyOf(nodes: readonly Node[]): Node {
  return (facts) => {
    let no: Finding | undefined
    let open = false
    for (const node of nodes) {
      const found = node(facts)
      if (found === true) return true
      if (found === unknown) open = true
      else no ??= found
    }
    return open ? unknown : no!
  }
}

function comparison(text: string, left: Operand, operator: string, right: Operand): Node {
  const missing = { failed: text, because: 'missing' } as const
  const differs = { failed: text, because: 'differs' } as const
  return (facts) => {
    const a = left.read(facts)
    const b = right.read(facts)
    if (a === unknown || b === unknown) return unknown
    if (a === undefined && operator === '==?') return true
    if (isNothing(a) || isNothing(b)) return missing
    return (operator === 'in' ? isAmong(a, b) : isSame(a, b)) ? true : differs
  }
}

/** Nobody is called nothing: what is missing, null or empty belongs to no one. */
function isNothing(value: unknown): boolean {
  return value === undefined || value === null || value === ''
}

/**
 * Texts are the same character by character, with no folding of case or Unicode forms: where the upstream tells two apart, so
 * must the gate. A number and a text are the same where the text is the one way to write that whole number, because the same
 * identifier is a number in a body and a text in a path or a token. A number that a double cannot hold exactly could be
 * another, so it is the same as none.
 */
export function isSame(a: unknown, b: unknown): boolean {
  if (typeof a === 'string' && typeof b === 'string') return a === b && a !== ''
  if (typeof a === 'number') {
    if (typeof b === 'string') return Number.isSafeInteger(a) && !Object.is(a, -0) && String(a) === b
    return typeof b === 'number' && a === b && (Number.isSafeInteger(a) || (Number.isFinite(a) && !Number.isInteger(a)))
  }
  if (typeof b === 'number') return typeof a === 'string' && isSame(b, a)
  return typeof a === 'boolean' && a === b
}

/** Whether a list holds the value. Anything but a list holds nothing: "12" is not in "123". */
function isAmong(value: unknown, list: unknown): boolean {
  return Array.isArray(list) && list.some((one) => isSame(value, one))
}

// Reading ------------------------------------------------------------------------------------------

const sourceHelp =
  '$request.path.NAME, $request.query.NAME, $request.header.NAME, $request.body#/POINTER, $response.body#/POINTER, $response.header.NAME, $claims.NAME, $subject'

function readSource(text: string, wrong: (message: string, hint?: string) => RuleError): Source {
  const source = (side: Side, read: Source['read'], more: Partial<Source> = {}): Source => ({
    text,
    side,
    read,
    tokens: undefined,
    header: undefined,
    ...more,
  })
  const caller = /^\$(claims|subject|application|via)(?:\.(.+)|#(\/.+))?$/.exec(text)
  if (caller !== null) {
    const [, what, dotted, pointer] = caller
    const words = pointer === undefined ? (dotted?.split('.') ?? []) : keysOf(pointer, wrong)
    if ((what === 'claims') !== words.length > 0 || words.includes('')) {
      throw wrong(what === 'claims' ? 'expected the name of a claim: $claims.sub' : `$${what} has nothing inside`)
    }
    const path = [what!, ...words]
    return source('head', (facts) => facts.caller(path))
  }
  const body = /^\$(request|response)\.body(?:#(.*))?$/.exec(text)
  if (body !== null) {
    const [, whose, pointer = ''] = body
    if (pointer !== '' && !pointer.startsWith('/')) throw wrong('a JSON Pointer begins with /', `${whose}.body#/userId`)
    const tokens = keysOf(pointer, wrong)
    const within = (value: unknown) => (value === unknown ? unknown : valueAt(value, tokens))
    return whose === 'request'
      ? source('requestBody', (facts) => within(facts.requestBody), { tokens })
      : source('response', (facts) => within(facts.responseBody), { tokens })
  }
  const named = /^\$(request|response)\.(path|query|header)\.(.+)$/.exec(text)
  if (named !== null && !(named[1] === 'response' && named[2] !== 'header')) {
    const [, whose, where, name] = named as unknown as [string, string, string, string]
    if (where === 'header' && !/^[!#$%&'*+.^_`|~\w-]+$/.test(name)) throw wrong(`"${name}" is no name of a header`)
    const lower = name.toLowerCase()
    if (whose === 'response') {
      return source(
        'response',
        ({ responseHeaders }) => (responseHeaders === unknown ? unknown : responseHeaders[lower]),
        { header: lower },
      )
    }
    if (where === 'header') return source('head', (facts) => facts.header(lower))
    return source('head', where === 'path' ? (facts) => facts.path(name) : (facts) => facts.query(name))
  }
  throw wrong(`"${text.slice(0, 80)}" is nothing that can be looked at`, sourceHelp)
}

/** The keys of a pointer. It is a fragment, so that `%20` stands for a space, which could not be written here. */
function keysOf(pointer: string, wrong: (message: string, hint?: string) => RuleError): readonly string[] {
  if (/~(?![01])/.test(pointer)) throw wrong('in a JSON Pointer ~ is written ~0, and / within a name ~1 (RFC 6901, 3)')
  try {
    return pointerTokens(decodeURIComponent(pointer))
  } catch {
    throw wrong('in a JSON Pointer % is written %25 (RFC 6901, 6)')
  }
}

type Token =
  | { readonly kind: 'expression' | 'sign' | 'end'; readonly text: string; readonly start: number }
  | { readonly kind: 'literal'; readonly text: string; readonly start: number; readonly value: unknown }

const expressionPattern = /\$[^\s()[\],]*/y
const signPattern = /&&|\|\||==\?|===?|!==?|[<>]=?|[()[\],]|in(?![\w$])/y
const numberPattern = /-?\d+(?:\.\d+)?(?![\w.])/y
const wordPattern = /(?:true|false)(?!\w)/y
const textPattern = /'[^']*'|"[^"]*"/y

function tokenize(source: string): Token[] {
  if (source.length > sourceMax) {
    throw new RuleError(`longer than ${sourceMax} characters`, source, { start: sourceMax, end: source.length })
  }
  const tokens: Token[] = []
  let start = 0
  const take = (pattern: RegExp): string | undefined => {
    pattern.lastIndex = start
    return pattern.exec(source)?.[0]
  }
  for (;;) {
    while (/\s/.test(source[start] ?? '')) start++
    if (start >= source.length) break
    const token = next()
    tokens.push(token)
    start += token.text.length
  }
  tokens.push({ kind: 'end', text: '', start: source.length })
  return tokens

  function next(): Token {
    const expression = take(expressionPattern)
    if (expression !== undefined) return { kind: 'expression', text: expression, start }
    const sign = take(signPattern)
    if (sign !== undefined) return { kind: 'sign', text: sign, start }
    const text = take(textPattern)
    if (text !== undefined) return { kind: 'literal', text, start, value: text.slice(1, -1) }
    const number = take(numberPattern)
    if (number !== undefined) return { kind: 'literal', text: number, start, value: Number(number) }
    const word = take(wordPattern)
    if (word !== undefined) return { kind: 'literal', text: word, start, value: word === 'true' }
    const rest = /^\S+/.exec(source.slice(start))![0]
    const isQuote = rest[0] === "'" || rest[0] === '"'
    throw new RuleError(
      isQuote ? 'a text that does not end' : `cannot read "${rest.slice(0, 40)}"`,
      source,
      { start, end: isQuote ? source.length : start + rest.length },
      /^(claims|request|response|subject)\b/.test(rest) ? `did you mean $${rest}?` : undefined,
    )
  }
}

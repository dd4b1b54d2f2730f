import { type Span, type Token, tokensOf } from './lexer.ts'
import { RuleError } from './rule-error.ts'

export type CompareOp = '==' | '!=' | '<' | '<=' | '>' | '>='

export interface Literal extends Span {
  readonly kind: 'literal'
  readonly value: string | number | boolean
  /** `5m` is a number of milliseconds, and compares with times only. */
  readonly isDuration: boolean
}

export interface NameNode extends Span {
  readonly kind: 'name'
  readonly path: readonly string[]
}

export interface ListNode extends Span {
  readonly kind: 'list'
  readonly items: readonly Literal[]
}

export interface RangeNode extends Span {
  readonly kind: 'range'
  readonly from: Literal
  readonly to: Literal
}

export interface CallNode extends Span {
  readonly kind: 'call'
  readonly name: string
  readonly args: readonly Node[]
}

export interface NotNode extends Span {
  readonly kind: 'not'
  readonly of: Node
}

export interface JoinNode extends Span {
  readonly kind: 'and' | 'or'
  readonly parts: readonly Node[]
}

export interface CompareNode extends Span {
  readonly kind: 'compare'
  readonly op: CompareOp
  readonly left: Node
  readonly right: Node
}

export interface TwoSidedNode extends Span {
  readonly kind: 'in' | 'matches'
  readonly left: Node
  readonly right: Node
}

/** An expression as it was written. */
export type Node =
  | Literal
  | NameNode
  | ListNode
  | RangeNode
  | CallNode
  | NotNode
  | JoinNode
  | CompareNode
  | TwoSidedNode

const depthMax = 32
const itemsMax = 1_000
const compareOps: ReadonlySet<string> = new Set(['==', '!=', '<', '<=', '>', '>='])

/** Reads a condition. Throws `RuleError`. */
export function parseCondition(source: string): Node {
  const parser = new Parser(source)
  const node = parser.condition()
  parser.end()
  return node
}

/** Reads a value, or several joined by `+`. Throws `RuleError`. */
export function parseValues(source: string): readonly Node[] {
  const parser = new Parser(source)
  const values = [parser.value()]
  while (parser.takes('+')) values.push(parser.value())
  parser.end()
  return values
}

class Parser {
  readonly #source: string
  readonly #tokens: readonly Token[]
  #next = 0
  #depth = 0

  constructor(source: string) {
    this.#source = source
    this.#tokens = tokensOf(source)
  }

  condition(): Node {
    return this.#joined('||', 'or', () => this.#joined('&&', 'and', () => this.#negation()))
  }

  value(): Node {
    const token = this.#tokens[this.#next]!
    switch (token.kind) {
      case 'text':
      case 'number':
      case 'duration':
        this.#next++
        return {
          kind: 'literal',
          value: token.value,
          isDuration: token.kind === 'duration',
          start: token.start,
          end: token.end,
        }
      case 'name':
        return this.#named(token)
      case 'mark':
        if (token.value === '(') return this.#grouped()
        if (token.value === '[') return this.#list()
        return this.#fail('expected a value', token)
      case 'end':
        return this.#fail('the expression ends where a value is expected', token)
    }
  }

  takes(mark: string): boolean {
    const token = this.#tokens[this.#next]!
    if (token.kind !== 'mark' || token.value !== mark) return false
    this.#next++
    return true
  }

  end(): void {
    const token = this.#tokens[this.#next]!
    if (token.kind === 'end') return
    const word = token.kind === 'name' ? token.path.join('.') : ''
    const hint = word === 'and' ? 'write &&' : word === 'or' ? 'write ||' : word === 'not' ? 'write !( … )' : undefined
    this.#fail('expected &&, ||, a comparison or the end', token, hint)
  }

  #joined(mark: '&&' | '||', kind: 'and' | 'or', part: () => Node): Node {
    const parts = [part()]
    while (this.takes(mark)) parts.push(part())
    if (parts.length === 1) return parts[0]!
    return { kind, parts, start: parts[0]!.start, end: parts.at(-1)!.end }
  }

  #negation(): Node {
    const { start } = this.#tokens[this.#next]!
    if (!this.takes('!')) return this.#comparison()
    const of = this.#deeper(() => this.#negation())
    return { kind: 'not', of, start, end: of.end }
  }

  #comparison(): Node {
    const left = this.value()
    const token = this.#tokens[this.#next]!
    if (token.kind === 'mark' && compareOps.has(token.value)) {
      this.#next++
      const right = this.value()
      return { kind: 'compare', op: token.value as CompareOp, left, right, start: left.start, end: right.end }
    }
    if (this.#takesWord('matches')) {
      const right = this.value()
      return { kind: 'matches', left, right, start: left.start, end: right.end }
    }
    if (!this.#takesWord('in')) return left
    const from = this.value()
    const right = this.takes('..') ? this.#range(from) : from
    return { kind: 'in', left, right, start: left.start, end: right.end }
  }

  #range(from: Node): Node {
    const to = this.value()
    if (from.kind !== 'literal') return this.#fail('a range goes from one constant to another', from)
    if (to.kind !== 'literal') return this.#fail('a range goes from one constant to another', to)
    return { kind: 'range', from, to, start: from.start, end: to.end }
  }

  #grouped(): Node {
    const { start } = this.#tokens[this.#next]!
    this.#next++
    const inner = this.#deeper(() => this.condition())
    const { end } = this.#tokens[this.#next]!
    this.#expect(')')
    return { ...inner, start, end }
  }

  #list(): Node {
    const { start } = this.#tokens[this.#next]!
    this.#next++
    const items: Literal[] = []
    if (!this.takes(']')) {
      do {
        const item = this.value()
        if (item.kind !== 'literal') return this.#fail('a list holds constants only', item, 'join several with ||')
        items.push(item)
        if (items.length > itemsMax) return this.#fail(`a list has at most ${itemsMax} items`, item)
      } while (this.takes(','))
      this.#expect(']')
    }
    return { kind: 'list', items, start, end: this.#tokens[this.#next - 1]!.end }
  }

  #named(token: Extract<Token, { kind: 'name' }>): Node {
    const [first] = token.path
    if (token.path.length === 1) {
      if (first === 'in' || first === 'matches') return this.#fail('expected a value', token)
      if (first === 'true' || first === 'false') {
        this.#next++
        return { kind: 'literal', value: first === 'true', isDuration: false, start: token.start, end: token.end }
      }
    }
    this.#next++
    if (token.path.length === 1 && this.takes('(')) return this.#call(first!, token.start)
    return this.#longName(token)
  }

  #call(name: string, start: number): Node {
    const args: Node[] = []
    if (!this.takes(')')) {
      do args.push(this.#deeper(() => this.value()))
      while (this.takes(','))
      this.#expect(')')
    }
    return { kind: 'call', name, args, start, end: this.#tokens[this.#next - 1]!.end }
  }

  /** `claims['https://example.com/roles'].name`: segments that are no plain words stand in brackets. */
  #longName(token: Extract<Token, { kind: 'name' }>): Node {
    const path = [...token.path]
    let { end } = token
    for (;;) {
      const next = this.#tokens[this.#next]!
      if (next.start !== end || next.kind !== 'mark' || (next.value !== '[' && next.value !== '.')) break
      this.#next++
      if (next.value === '.') {
        const more = this.#tokens[this.#next]!
        if (more.kind !== 'name') return this.#fail('expected a name', more)
        this.#next++
        path.push(...more.path)
        end = more.end
        continue
      }
      const segment = this.#tokens[this.#next]!
      if (segment.kind !== 'text') return this.#fail('expected a name in quotes', segment)
      this.#next++
      path.push(segment.value)
      end = this.#tokens[this.#next]!.end
      this.#expect(']')
    }
    return { kind: 'name', path, start: token.start, end }
  }

  #takesWord(word: string): boolean {
    const token = this.#tokens[this.#next]!
    if (token.kind !== 'name' || token.path.length !== 1 || token.path[0] !== word) return false
    this.#next++
    return true
  }

  #expect(mark: string): void {
    if (!this.takes(mark)) this.#fail(`expected ${mark}`, this.#tokens[this.#next]!)
  }

  #deeper<T>(read: () => T): T {
    if (++this.#depth > depthMax) this.#fail(`nested deeper than ${depthMax}`, this.#tokens[this.#next]!)
    const result = read()
    this.#depth--
    return result
  }

  #fail(message: string, at: Span, hint?: string): never {
    throw new RuleError(message, this.#source, at, hint)
  }
}

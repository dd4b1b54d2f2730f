/** A regular expression of ECMA-262, read far enough to judge it and to write it down for RE2. */
export interface Expression {
  readonly root: Node
}

export type Node =
  | { readonly kind: 'set'; readonly ranges: readonly number[]; readonly print: string }
  | { readonly kind: 'assert'; readonly what: '^' | '$' | 'b' | 'B' }
  | { readonly kind: 'look'; readonly body: Node }
  | { readonly kind: 'back' }
  | { readonly kind: 'cat'; readonly parts: readonly Node[] }
  | { readonly kind: 'alt'; readonly parts: readonly Node[] }
  | { readonly kind: 'repeat'; readonly body: Node; readonly min: number; readonly max: number; readonly lazy: boolean }

const codePointMax = 0x10ffff
const digits = [0x30, 0x39]
const word = [0x30, 0x39, 0x41, 0x5a, 0x5f, 0x5f, 0x61, 0x7a]
// WhiteSpace and LineTerminator of ECMA-262, 12.2 and 12.3. RE2's own \s knows only five of them.
const space = [
  9, 13, 0x20, 0x20, 0xa0, 0xa0, 0x1680, 0x1680, 0x2000, 0x200a, 0x2028, 0x2029, 0x202f, 0x202f, 0x205f, 0x205f, 0x3000,
  0x3000, 0xfeff, 0xfeff,
]
const lineEnds = [0x0a, 0x0a, 0x0d, 0x0d, 0x2028, 0x2029]

const depthMax = 100

/** Reads a pattern that `RegExp` accepts. `undefined`: it uses something that is not read here, such as modifiers. */
export function parsePattern(source: string, unicode: boolean): Expression | undefined {
  try {
    return { root: new Parser(source, unicode).whole() }
  } catch (error) {
    if (error instanceof Unread) return undefined
    throw error
  }
}

class Unread extends Error {}

class Parser {
  readonly #source: string
  readonly #unicode: boolean
  #at = 0
  #depth = 0

  constructor(source: string, unicode: boolean) {
    this.#source = source
    this.#unicode = unicode
  }

  whole(): Node {
    const node = this.#alternatives()
    if (this.#at < this.#source.length) throw new Unread()
    return node
  }

  #takes(text: string): boolean {
    if (!this.#source.startsWith(text, this.#at)) return false
    this.#at += text.length
    return true
  }

  #alternatives(): Node {
    if (++this.#depth > depthMax) throw new Unread()
    const parts = [this.#sequence()]
    while (this.#takes('|')) parts.push(this.#sequence())
    this.#depth--
    return parts.length === 1 ? parts[0]! : { kind: 'alt', parts }
  }

  #sequence(): Node {
    const parts: Node[] = []
    while (this.#at < this.#source.length && !'|)'.includes(this.#source[this.#at]!)) parts.push(this.#quantified())
    return parts.length === 1 ? parts[0]! : { kind: 'cat', parts }
  }

  #quantified(): Node {
    const body = this.#atom()
    const bounds = this.#quantifier()
    if (bounds === undefined) return body
    return { kind: 'repeat', body, min: bounds[0], max: bounds[1], lazy: this.#takes('?') }
  }

  #quantifier(): [number, number] | undefined {
    if (this.#takes('*')) return [0, Number.POSITIVE_INFINITY]
    if (this.#takes('+')) return [1, Number.POSITIVE_INFINITY]
    if (this.#takes('?')) return [0, 1]
    const counted = /^\{(\d+)(?:(,)(\d*))?\}/.exec(this.#source.slice(this.#at, this.#at + 40))
    if (counted === null) return undefined
    this.#at += counted[0].length
    const min = Number(counted[1])
    if (counted[2] === undefined) return [min, min]
    return [min, counted[3] === '' ? Number.POSITIVE_INFINITY : Number(counted[3])]
  }

  #atom(): Node {
    if (this.#takes('^')) return { kind: 'assert', what: '^' }
    if (this.#takes('$')) return { kind: 'assert', what: '$' }
    if (this.#takes('.')) return setOf(complement(lineEnds))
    if (this.#takes('(')) return this.#group()
    if (this.#takes('[')) return this.#class()
    if (this.#takes('\\')) return this.#escape()
    const code = this.#character()
    return setOf([code, code])
  }

  #character(): number {
    const code = this.#unicode ? this.#source.codePointAt(this.#at)! : this.#source.charCodeAt(this.#at)
    this.#at += code > 0xffff ? 2 : 1
    return code
  }

  #group(): Node {
    let look = false
    if (this.#takes('?')) {
      if (this.#takes('=') || this.#takes('!') || this.#takes('<=') || this.#takes('<!')) look = true
      else if (this.#takes('<')) this.#at = this.#source.indexOf('>', this.#at) + 1
      else if (!this.#takes(':')) throw new Unread()
    }
    const body = this.#alternatives()
    if (!this.#takes(')')) throw new Unread()
    return look ? { kind: 'look', body } : body
  }

  #escape(): Node {
    const next = this.#source[this.#at]
    if (next === 'b' || next === 'B') {
      this.#at++
      return { kind: 'assert', what: next }
    }
    if (next === 'k' || (next !== undefined && next >= '1' && next <= '9')) {
      // In the old grammar `\1` may also be an octal escape; then it is not read.
      if (!this.#unicode) throw new Unread()
      this.#at++
      if (next === 'k') this.#at = this.#source.indexOf('>', this.#at) + 1
      else while (/\d/.test(this.#source[this.#at] ?? '')) this.#at++
      return { kind: 'back' }
    }
    return this.#escapedSet()
  }

  /** After the backslash: what may stand inside a class as well. */
  #escapedSet(): Node & { kind: 'set' } {
    const next = this.#source[this.#at]!
    switch (next) {
      case 'd':
        return this.#shorthand(digits)
      case 'D':
        return this.#shorthand(complement(digits))
      case 'w':
        return this.#shorthand(word)
      case 'W':
        return this.#shorthand(complement(word))
      case 's':
        return this.#shorthand(space)
      case 'S':
        return this.#shorthand(complement(space))
      case 'p':
      case 'P': {
        const property = /^[pP]\{([^}]*)\}/.exec(this.#source.slice(this.#at, this.#at + 80))
        if (!this.#unicode || property === null) throw new Unread()
        this.#at += property[0].length
        // Which characters these are, only the engines know: for the judgement they may be any.
        const name = property[1]!.replace(/^(?:General_Category|gc|Script|sc)=/, '')
        return { kind: 'set', ranges: [0, codePointMax], print: `\\${next}{${name}}` }
      }
      default: {
        const code = this.#escapedCode()
        return setOf([code, code])
      }
    }
  }

  #shorthand(ranges: readonly number[]): Node & { kind: 'set' } {
    this.#at++
    return setOf(ranges)
  }

  #escapedCode(): number {
    const rest = this.#source.slice(this.#at, this.#at + 16)
    const hex = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})(?:\\u([dD][c-fC-F][0-9a-fA-F]{2}))?|u\{([0-9a-fA-F]+)\})/.exec(
      rest,
    )
    if (hex !== null) {
      if (hex[4] !== undefined) {
        if (!this.#unicode) throw new Unread()
        this.#at += hex[0].length
        return Number.parseInt(hex[4], 16)
      }
      const code = Number.parseInt(hex[1] ?? hex[2]!, 16)
      if (this.#unicode && hex[3] !== undefined && code >= 0xd800 && code <= 0xdbff) {
        this.#at += hex[0].length
        return (code - 0xd800) * 0x400 + (Number.parseInt(hex[3], 16) - 0xdc00) + 0x10000
      }
      this.#at += hex[1] === undefined ? 5 : 3
      return code
    }
    const first = rest[0]!
    const control = 'tnvfr'.indexOf(first)
    if (control >= 0) {
      this.#at++
      return 9 + control
    }
    if (first === 'c') {
      if (!/^c[a-zA-Z]/.test(rest)) throw new Unread()
      this.#at += 2
      return rest.charCodeAt(1) % 32
    }
    if (first === '0') {
      if (/^0\d/.test(rest)) throw new Unread()
      this.#at++
      return 0
    }
    if (/[1-9xuk]/.test(first) && !this.#unicode) throw new Unread()
    return this.#character()
  }

  #class(): Node {
    const negated = this.#takes('^')
    const ranges: number[] = []
    let named = ''
    while (!this.#takes(']')) {
      if (this.#at >= this.#source.length) throw new Unread()
      const from = this.#classItem()
      if (this.#source[this.#at] === '-' && this.#source[this.#at + 1] !== ']' && from.single !== undefined) {
        const dash = this.#at++
        const to = this.#classItem()
        if (to.single === undefined) this.#at = dash + 1
        else {
          ranges.push(from.single, to.single)
          continue
        }
        // The old grammar reads `[a-\d]` as three items.
        ranges.push(0x2d, 0x2d, ...from.set.ranges)
        continue
      }
      if (from.set.print.startsWith('\\')) named += from.set.print
      else ranges.push(...from.set.ranges)
    }
    const joined = join(ranges)
    if (named === '') return setOf(negated ? complement(joined) : joined)
    return { kind: 'set', ranges: [0, codePointMax], print: `[${negated ? '^' : ''}${printRanges(joined)}${named}]` }
  }

  #classItem(): { readonly set: Node & { kind: 'set' }; readonly single: number | undefined } {
    if (this.#takes('\\')) {
      const next = this.#source[this.#at]
      if (next === 'b' || (next === '-' && this.#unicode)) {
        this.#at++
        const code = next === 'b' ? 8 : 0x2d
        return { set: setOf([code, code]), single: code }
      }
      const set = this.#escapedSet()
      const single = set.ranges.length === 2 && set.ranges[0] === set.ranges[1] ? set.ranges[0] : undefined
      return { set, single }
    }
    const code = this.#character()
    return { set: setOf([code, code]), single: code }
  }
}

function setOf(ranges: readonly number[]): Node & { kind: 'set' } {
  return {
    kind: 'set',
    ranges,
    print: ranges.length === 0 ? '[^\\x{0}-\\x{10FFFF}]' : `[${printRanges(ranges)}]`,
  }
}

function printRanges(ranges: readonly number[]): string {
  let text = ''
  for (let i = 0; i < ranges.length; i += 2)
    text += `\\x{${ranges[i]!.toString(16)}}-\\x{${ranges[i + 1]!.toString(16)}}`
  return text
}

/** Sorted, without overlaps. */
function join(ranges: readonly number[]): number[] {
  const pairs: [number, number][] = []
  for (let i = 0; i < ranges.length; i += 2) pairs.push([ranges[i]!, ranges[i + 1]!])
  pairs.sort((a, b) => a[0] - b[0])
  const joined: number[] = []
  for (const [from, to] of pairs) {
    const last = joined.length - 1
    if (last > 0 && from <= joined[last]! + 1) joined[last] = Math.max(joined[last]!, to)
    else joined.push(from, to)
  }
  return joined
}

function complement(ranges: readonly number[]): number[] {
  const rest: number[] = []
  let from = 0
  for (let i = 0; i < ranges.length; i += 2) {
    if (ranges[i]! > from) rest.push(from, ranges[i]! - 1)
    from = ranges[i + 1]! + 1
  }
  if (from <= codePointMax) rest.push(from, codePointMax)
  return rest
}

/**
 * The same expression in RE2's syntax, every set written out, because RE2 means less by `\s` and more by `.`.
 * `undefined`: look-around or a back-reference, which RE2 has not.
 */
export function printForRe2(node: Node): string | undefined {
  switch (node.kind) {
    case 'set':
      return node.print
    case 'assert':
      return node.what === '^' ? '\\A' : node.what === '$' ? '\\z' : `\\${node.what}`
    case 'cat':
    case 'alt': {
      const parts: string[] = []
      for (const part of node.parts) {
        const printed = printForRe2(part)
        if (printed === undefined) return undefined
        parts.push(printed)
      }
      return node.kind === 'cat' ? `(?:${parts.join('')})` : `(?:${parts.join('|')})`
    }
    case 'repeat': {
      const body = printForRe2(node.body)
      if (body === undefined) return undefined
      const bounds =
        node.max === Number.POSITIVE_INFINITY
          ? node.min === 0
            ? '*'
            : node.min === 1
              ? '+'
              : `{${node.min},}`
          : `{${node.min},${node.max}}`
      return `(?:${body})${bounds}${node.lazy ? '?' : ''}`
    }
    default:
      return undefined
  }
}

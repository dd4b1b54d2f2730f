import { alternate, anyByte, assertion, byteNode, concat, group, type Node, repeat, setNode } from './ast.ts'
import { findHarm } from './atomic.ts'
import {
  addByte,
  addRange,
  addSet,
  type ByteSet,
  byteRanges,
  byteSet,
  complementOf,
  digitBytes,
  foldSet,
  horizontalSpaceBytes,
  newlineBytes,
  spaceBytes,
  unionOf,
  verticalSpaceBytes,
  wordBytes,
} from './bytes.ts'
import { PatternError } from './error.ts'

/** A pattern as a tree, and what its groups are called. */
export interface ParsedPattern {
  readonly source: string
  readonly node: Node
  /** How many groups capture. */
  readonly captureCount: number
  /** Names of groups to their numbers. */
  readonly names: ReadonlyMap<string, number>
}

export interface ParseOptions {
  readonly ignoreCase?: boolean
}

/** What inline options switch: `i`, `m`, `s`, `x`, `xx`, `n`, `U`. */
interface Flags {
  readonly ignoreCase: boolean
  readonly multiline: boolean
  readonly dotAll: boolean
  readonly extended: boolean
  readonly extendedMore: boolean
  readonly noCapture: boolean
  readonly ungreedy: boolean
}

/** As deep as PCRE nests by default. */
const depthMax = 250
const sourceLengthMax = 65_536
const repeatMax = 65_535

/**
 * Reads a pattern as PCRE 10 does, over bytes, with `.` matching newlines and `$` only the very end, as SecLang engines
 * compile `@rx`. Throws `PatternError` where the pattern is malformed, and where it is no regular expression at all:
 * look-around, back-references, recursion, and atomic parts that change what matches.
 */
export function parsePattern(source: string, options: ParseOptions = {}): ParsedPattern {
  if (source.length > sourceLengthMax) throw new PatternError('a pattern of more than 65,536 bytes', source, 0)
  let position = 0
  let captureCount = 0
  let depth = 0
  /** Between `\Q` and `\E`. */
  let quoting = false
  let flags: Flags = {
    ignoreCase: options.ignoreCase ?? false,
    multiline: false,
    dotAll: true,
    extended: false,
    extendedMore: false,
    noCapture: false,
    ungreedy: false,
  }
  const names = new Map<string, number>()
  /** Parts that PCRE does not re-enter, by the node that wraps them: they stay only where this makes no difference. */
  const atomics = new Map<Node, { readonly what: string; readonly offset: number }>()

  /** Classes by their text, up to its first closing bracket. */
  const brackets = new Map<string, Node>()

  const root = alternatives()
  if (position < source.length) fail('unmatched closing parenthesis')
  let node = root
  if (atomics.size > 0) {
    const harm = findHarm(root, atomics)
    if (harm.found !== undefined)
      fail(`${harm.found.what} that changes what can match: not supported`, harm.found.offset)
    node = harm.node
  }
  return { source, node, captureCount, names }

  function fail(reason: string, offset = position): never {
    throw new PatternError(reason, source, offset)
  }

  function peek(text: string): boolean {
    return source.startsWith(text, position)
  }

  function take(text: string): boolean {
    if (!source.startsWith(text, position)) return false
    position += text.length
    return true
  }

  function alternatives(): Node {
    const choices: Node[] = [sequence()]
    while (position < source.length && source[position] === '|') {
      position++
      choices.push(sequence())
    }
    return alternate(choices)
  }

  function sequence(): Node {
    const parts: Node[] = []
    for (;;) {
      skipTrivia()
      if (position >= source.length) break
      if (!quoting && (source[position] === '|' || source[position] === ')')) break
      const offset = position
      const part = atom()
      if (part === undefined) continue
      skipTrivia()
      parts.push(quoting ? part : quantified(part, offset))
    }
    return concat(parts)
  }

  /** Leaves and enters quotes, skips comments, and in extended mode spaces. */
  function skipTrivia(): void {
    for (;;) {
      if (quoting) {
        if (!take('\\E')) return
        quoting = false
        continue
      }
      const first = source[position]
      if (first !== '\\' && first !== '(' && !flags.extended) return
      if (take('\\Q')) {
        quoting = true
      } else if (take('\\E')) {
        // Ends nothing: ignored, as in Perl.
      } else if (peek('(?#')) {
        const end = source.indexOf(')', position)
        if (end < 0) fail('a comment without an end')
        position = end + 1
      } else if (flags.extended && position < source.length && extendedSpaces.includes(source[position]!)) {
        position++
      } else if (flags.extended && source[position] === '#') {
        const end = source.indexOf('\n', position)
        position = end < 0 ? source.length : end + 1
      } else {
        return
      }
    }
  }

  /** One thing that can be quantified; undefined for a change of options. */
  function atom(): Node | undefined {
    if (quoting) return literal(nextByte())
    switch (source[position]) {
      case '(':
        return parenthesis()
      case '[':
        return bracketNode()
      case '\\':
        return escaped()
      case '.':
        position++
        return flags.dotAll ? anyByte : setNode(complementOf(newlineBytes))
      case '^':
        position++
        return assertion(flags.multiline ? 'line-start' : 'start')
      case '$':
        position++
        return assertion(flags.multiline ? 'line-end' : 'end')
      case '*':
      case '+':
      case '?':
        return fail('a quantifier with nothing to repeat')
      case '{':
        if (readCounts() !== undefined) fail('a quantifier with nothing to repeat')
    }
    return literal(nextByte())
  }

  function literal(byte: number): Node {
    return byteNode(byte, flags.ignoreCase)
  }

  function nextByte(): number {
    const byte = source.charCodeAt(position)
    if (byte > 0xff) fail('a character that is no byte: write it as the bytes of its UTF-8')
    position++
    return byte
  }

  function quantified(part: Node, offset: number): Node {
    const at = position
    let min: number
    let max: number
    if (take('*')) [min, max] = [0, Number.POSITIVE_INFINITY]
    else if (take('+')) [min, max] = [1, Number.POSITIVE_INFINITY]
    else if (take('?')) [min, max] = [0, 1]
    else {
      const counts = source[position] === '{' ? readCounts() : undefined
      if (counts === undefined) return part
      position = counts.end
      ;({ min, max } = counts)
      if (min > repeatMax || max === repeatMax + 1) fail('a repeat above 65,535', at)
      if (min > max) fail('a repeat whose least is above its most', at)
    }
    if (take('+')) return atomic(repeat(part, min, max), 'a possessive quantifier', offset)
    const greedy = take('?') ? flags.ungreedy : !flags.ungreedy
    return repeat(part, min, max, greedy)
  }

  /** `{2}`, `{2,}`, `{2,3}` at the position; anything else in braces stands for itself. */
  function readCounts(): { min: number; max: number; end: number } | undefined {
    let end = position + 1
    let min = 0
    let max = 0
    const first = end
    while (isDigit(source.charCodeAt(end))) min = addDigit(min, source.charCodeAt(end++))
    if (end === first) return undefined
    if (source[end] === ',') {
      const second = ++end
      while (isDigit(source.charCodeAt(end))) max = addDigit(max, source.charCodeAt(end++))
      if (end === second) max = Number.POSITIVE_INFINITY
    } else {
      max = min
    }
    return source[end] === '}' ? { min, max, end: end + 1 } : undefined
  }

  function atomic(body: Node, what: string, offset: number): Node {
    // A group of number 0 holds the part together until it is shown to be harmless.
    const wrapper = group(body, 0)
    atomics.set(wrapper, { what, offset })
    return wrapper
  }

  function parenthesis(): Node | undefined {
    const offset = position++
    if (peek('*')) fail('a verb such as (*UTF): not supported', offset)
    if (!take('?')) return flags.noCapture ? enclosed(offset) : capturing(offset)
    if (take(':')) return enclosed(offset)
    if (take('>')) return atomic(enclosed(offset), 'an atomic group', offset)
    if (take('|')) return branchReset(offset)
    if (take('=') || take('!') || take('*')) fail('look-ahead: not supported', offset)
    if (take('<=') || take('<!') || take('<*')) fail('look-behind: not supported', offset)
    if (take('P<') || take('<')) return capturing(offset, readName('>'))
    if (take("'")) return capturing(offset, readName("'"))
    if (take('P=')) fail('a back-reference: not supported', offset)
    if (take('P>') || take('&') || take('R')) fail('recursion: not supported', offset)
    if (take('(')) fail('a conditional group: not supported', offset)
    if (take('C')) fail('a callout: not supported', offset)
    if (isDigit(source.charCodeAt(position)) || take('+')) fail('recursion: not supported', offset)
    if (peek('-') && isDigit(source.charCodeAt(position + 1))) fail('recursion: not supported', offset)
    return optionsOrScoped(offset)
  }

  function readName(close: string): string {
    const start = position
    while (position < source.length && source[position] !== close) position++
    const name = source.slice(start, position)
    if (!/^[A-Za-z_]\w{0,127}$/.test(name)) fail('expected the name of a group', start)
    position++
    if (names.has(name)) fail('a second group of the same name', start)
    return name
  }

  function capturing(offset: number, name?: string): Node {
    const capture = ++captureCount
    if (name !== undefined) names.set(name, capture)
    return group(enclosed(offset), capture)
  }

  /** What stands up to the closing parenthesis; options set inside end with it. */
  function enclosed(offset: number): Node {
    const before = flags
    if (++depth > depthMax) fail('parentheses nested more than 250 deep', offset)
    const body = alternatives()
    depth--
    flags = before
    if (!take(')')) fail('a parenthesis that is not closed', offset)
    return body
  }

  /** `(?|a(b)|c(d))`: each choice counts its groups from the same number. */
  function branchReset(offset: number): Node {
    const before = flags
    if (++depth > depthMax) fail('parentheses nested more than 250 deep', offset)
    const first = captureCount
    let most = first
    const choices: Node[] = []
    do {
      captureCount = first
      choices.push(sequence())
      most = Math.max(most, captureCount)
    } while (take('|'))
    captureCount = most
    depth--
    flags = before
    if (!take(')')) fail('a parenthesis that is not closed', offset)
    return alternate(choices)
  }

  /** `(?i)` to the end of the group around it, `(?i:…)` for its own. */
  function optionsOrScoped(offset: number): Node | undefined {
    const changed: { -readonly [Flag in keyof Flags]: Flags[Flag] } = { ...flags }
    let on = true
    if (take('^')) {
      Object.assign(changed, { ignoreCase: false, multiline: false, dotAll: false, extended: false })
      Object.assign(changed, { extendedMore: false, noCapture: false })
    }
    for (;;) {
      if (take('xx')) changed.extended = changed.extendedMore = on
      else if (take('x')) {
        changed.extended = on
        changed.extendedMore = false
      } else if (take('i')) changed.ignoreCase = on
      else if (take('m')) changed.multiline = on
      else if (take('s')) changed.dotAll = on
      else if (take('n')) changed.noCapture = on
      else if (take('U')) changed.ungreedy = on
      else if (on && take('-')) on = false
      else break
    }
    if (take(')')) {
      flags = changed
      return undefined
    }
    if (!take(':')) fail('an unknown kind of group', offset)
    const before = flags
    flags = changed
    const body = enclosed(offset)
    flags = before
    return body
  }

  function escaped(): Node {
    const offset = position++
    const letter = source[position]
    if (letter === undefined) fail('a backslash at the end', offset)
    const shorthand = shorthands[letter]
    if (shorthand !== undefined) {
      position++
      return setNode(shorthand)
    }
    switch (letter) {
      case 'A':
        position++
        return assertion('start')
      case 'z':
        position++
        return assertion('end')
      case 'Z':
        position++
        return assertion('end-or-last-newline')
      case 'b':
        position++
        return assertion('boundary')
      case 'B':
        position++
        return assertion('no-boundary')
      case 'C':
        position++
        return anyByte
      case 'N':
        position++
        if (source[position] === '{' && readCounts() === undefined) {
          fail('a named or Unicode character: not supported, patterns match bytes', offset)
        }
        return setNode(complementOf(newlineBytes))
      case 'R':
        position++
        return atomic(newlineSequence, '\\R', offset)
      case 'G':
      case 'K':
      case 'X':
        return fail(`\\${letter}: not supported`, offset)
      case 'g':
      case 'k':
        return fail('a back-reference: not supported', offset)
    }
    if (letter >= '1' && letter <= '9') {
      const digits = /^\d+/.exec(source.slice(position, position + 6))![0]
      const number = Number(digits)
      if (number < 10 || letter >= '8' || number <= captureCount) fail('a back-reference: not supported', offset)
    }
    return literal(escapedByte(offset))
  }

  /** The byte that an escape stands for, in classes and outside; the position is behind the backslash. */
  function escapedByte(offset: number): number {
    const letter = source[position]!
    const control = controls[letter]
    if (control !== undefined) {
      position++
      return control
    }
    if (letter === 'x') {
      position++
      return take('{') ? bracedNumber(16, offset) : hexByte()
    }
    if (letter === 'o') {
      position++
      if (!take('{')) fail('expected { after \\o', offset)
      return bracedNumber(8, offset)
    }
    if (letter === 'c') {
      const next = source.charCodeAt(position + 1)
      if (!(next >= 0x20 && next < 0x7f)) fail('expected a printable ASCII character after \\c', offset)
      position += 2
      return (next >= 0x61 && next <= 0x7a ? next - 0x20 : next) ^ 0x40
    }
    if (letter >= '0' && letter <= '7') {
      let value = 0
      for (let i = 0; i < 3 && /[0-7]/.test(source[position] ?? ''); i++) value = value * 8 + Number(source[position++])
      if (value > 0xff) fail('an octal number above 377: patterns match bytes', offset)
      return value
    }
    if (letter === 'p' || letter === 'P') fail('a Unicode property: not supported, patterns match bytes', offset)
    if (/[A-Za-z0-9]/.test(letter)) fail(`an unknown escape \\${letter}`, offset)
    return nextByte()
  }

  /** Up to two digits after `\x`; none is the byte 0. */
  function hexByte(): number {
    let value = 0
    for (let i = 0; i < 2; i++) {
      const digit = hexDigit(source.charCodeAt(position))
      if (digit < 0) break
      value = value * 16 + digit
      position++
    }
    return value
  }

  function bracedNumber(base: number, offset: number): number {
    let value = 0
    const start = position
    for (; source[position] !== '}'; position++) {
      const digit = hexDigit(source.charCodeAt(position))
      if (digit < 0 || digit >= base) fail('expected digits in braces', offset)
      value = Math.min(value * base + digit, 0x110000)
    }
    if (position === start) fail('expected digits in braces', offset)
    position++
    if (value > 0xff) fail('a code point above FF: patterns match bytes, write its UTF-8', offset)
    return value
  }

  /** Generated patterns repeat the same few classes hundreds of times: those are read once, and share a set. */
  function bracketNode(): Node {
    const start = position
    const text = source.slice(start, source.indexOf(']', start) + 1)
    const known = flags.extendedMore ? undefined : brackets.get(flags.ignoreCase ? `i${text}` : text)
    if (known !== undefined) {
      position += text.length
      return known
    }
    const node = setNode(bracket())
    if (position === start + text.length && !flags.extendedMore)
      brackets.set(flags.ignoreCase ? `i${text}` : text, node)
    return node
  }

  /** A class in brackets. */
  function bracket(): ByteSet {
    const offset = position++
    const negated = take('^')
    const set = new Uint32Array(8)
    let first = true
    let inQuotes = false
    for (;;) {
      if (position >= source.length) fail('a class that is not closed', offset)
      if (inQuotes) {
        if (take('\\E')) {
          inQuotes = false
          continue
        }
      } else if (take('\\Q')) {
        inQuotes = true
        continue
      } else if (take('\\E')) {
        continue
      } else if (source[position] === ']' && !first) {
        position++
        break
      } else if (flags.extendedMore && (source[position] === ' ' || source[position] === '\t')) {
        position++
        continue
      }
      first = false
      const at = position
      const low = inQuotes ? nextByte() : member()
      if (typeof low !== 'number') {
        addSet(set, low)
        // What follows a class of its own, as in [\w-x], is no range.
        continue
      }
      if (!inQuotes && source[position] === '-' && position + 1 < source.length && source[position + 1] !== ']') {
        position++
        const high = member()
        if (typeof high === 'number') {
          if (high < low) fail('a range whose ends are in the wrong order', at)
          addRange(set, low, high)
          continue
        }
        // A class of its own ends no range, as in [a-\d]: the dash stands for itself.
        addByte(set, 0x2d)
        addSet(set, high)
      }
      addByte(set, low)
    }
    const folded = flags.ignoreCase ? foldSet(set) : set
    return negated ? complementOf(folded) : folded
  }

  /** One member of a class: a byte, or a class of its own. */
  function member(): number | ByteSet {
    if (source[position] === '[') {
      const kind = source[position + 1]
      const end = kind === ':' || kind === '.' || kind === '=' ? source.indexOf(`${kind}]`, position + 2) : -1
      if (end >= 0 && !/[\]\\]/.test(source.slice(position + 2, end))) {
        if (kind !== ':') fail('a collating element: not supported')
        const name = source.slice(position + 2, end)
        const posix = posixClasses[name.replace('^', '')]
        if (posix === undefined) fail('an unknown POSIX class')
        position = end + 2
        return name.startsWith('^') ? complementOf(posix) : posix
      }
    }
    if (source[position] !== '\\') return nextByte()
    const offset = position++
    const letter = source[position]
    if (letter === undefined) fail('a backslash at the end', offset)
    const shorthand = shorthands[letter]
    if (shorthand !== undefined) {
      position++
      return shorthand
    }
    if (letter === 'b') {
      position++
      return 0x08
    }
    return escapedByte(offset)
  }
}

const extendedSpaces = ' \t\n\v\f\r'

const controls: Readonly<Record<string, number>> = { a: 0x07, e: 0x1b, f: 0x0c, n: 0x0a, r: 0x0d, t: 0x09 }

const shorthands: Readonly<Record<string, ByteSet>> = {
  d: digitBytes,
  D: complementOf(digitBytes),
  w: wordBytes,
  W: complementOf(wordBytes),
  s: spaceBytes,
  S: complementOf(spaceBytes),
  h: horizontalSpaceBytes,
  H: complementOf(horizontalSpaceBytes),
  v: verticalSpaceBytes,
  V: complementOf(verticalSpaceBytes),
}

const alpha = byteRanges([0x41, 0x5a], [0x61, 0x7a])
const posixClasses: Readonly<Record<string, ByteSet>> = {
  alnum: unionOf(alpha, digitBytes),
  alpha,
  ascii: byteRanges([0, 0x7f]),
  blank: byteSet('\t '),
  cntrl: byteRanges([0, 0x1f], [0x7f, 0x7f]),
  digit: digitBytes,
  graph: byteRanges([0x21, 0x7e]),
  lower: byteRanges([0x61, 0x7a]),
  print: byteRanges([0x20, 0x7e]),
  punct: byteRanges([0x21, 0x2f], [0x3a, 0x40], [0x5b, 0x60], [0x7b, 0x7e]),
  space: spaceBytes,
  upper: byteRanges([0x41, 0x5a]),
  word: wordBytes,
  xdigit: byteRanges([0x30, 0x39], [0x41, 0x46], [0x61, 0x66]),
}

/** CR LF is one newline and is not split again: see `findHarm`. */
const newlineSequence: Node = alternate([concat([byteNode(0x0d), byteNode(0x0a)]), setNode(verticalSpaceBytes)])

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function addDigit(value: number, code: number): number {
  return Math.min(value * 10 + code - 0x30, repeatMax + 1)
}

/** The value of a hexadecimal digit, or -1. */
function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const lower = code | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x57 : -1
}

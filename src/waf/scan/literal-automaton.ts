/** Text in lower case as far as ASCII goes: literals are looked for without regard to case. */
export function foldCase(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]/g, (char) => char.toLowerCase()) : text
}

/**
 * Finds which of many short literals occur in a text, in one pass and one look-up per byte (Aho and Corasick 1975, with
 * failure links resolved into the table). Case is folded. Built at load, read by every request.
 */
export interface LiteralAutomaton {
  /** Row and column to row: `next[(state << shift) | symbols[byte]]`. */
  readonly next: Uint16Array
  readonly symbols: Uint8Array
  readonly shift: number
  /** States from here on end a literal; all before them do not. */
  readonly firstFinal: number
  /** Which literals end in a final state, by `state - firstFinal`, those of its suffixes too. */
  readonly ends: readonly Int32Array[]
  readonly states: number
}

/** What `Uint16Array` can number. */
export const statesMax = 65_535

/** Builds the automaton. Literals must be folded, not empty, and not begin in more than `statesMax` ways: RangeError. */
export function buildLiteralAutomaton(literals: readonly string[]): LiteralAutomaton {
  const symbols = symbolsOf(literals)
  const width = Math.max(...symbols) + 1
  const shift = Math.max(1, Math.ceil(Math.log2(width)))
  const trie = buildTrie(literals, symbols, shift)
  return number(trie, symbols, shift)
}

/** A column for each byte that occurs, letters of both cases in one; column 0 for all others. */
function symbolsOf(literals: readonly string[]): Uint8Array {
  const symbols = new Uint8Array(256)
  let used = 0
  for (const literal of literals) {
    for (let i = 0; i < literal.length; i++) {
      const byte = literal.charCodeAt(i)
      if (symbols[byte] === 0) symbols[byte] = ++used
    }
  }
  for (let letter = 97; letter <= 122; letter++) symbols[letter - 32] = symbols[letter]!
  return symbols
}

interface Trie {
  readonly next: Int32Array
  readonly states: number
  readonly own: readonly (number[] | undefined)[]
}

function buildTrie(literals: readonly string[], symbols: Uint8Array, shift: number): Trie {
  const bound = literals.reduce((sum, { length }) => sum + length, 1)
  const next = new Int32Array(bound << shift)
  const own: (number[] | undefined)[] = [undefined]
  let states = 1
  literals.forEach((literal, index) => {
    let state = 0
    for (let i = 0; i < literal.length; i++) {
      const at = (state << shift) | symbols[literal.charCodeAt(i)]!
      if (next[at] === 0) {
        own.push(undefined)
        next[at] = states++
      }
      state = next[at]!
    }
    own[state] = [...(own[state] ?? []), index]
  })
  if (states > statesMax) throw new RangeError(`${states} states, at most ${statesMax}`)
  return { next, states, own }
}

/** Resolves failure links breadth first and numbers final states last. */
function number({ next, states, own }: Trie, symbols: Uint8Array, shift: number): LiteralAutomaton {
  const width = 1 << shift
  const failure = new Int32Array(states)
  const ends: number[][] = own.map((literals) => [...(literals ?? [])])
  const queue: number[] = []
  for (let symbol = 0; symbol < width; symbol++) if (next[symbol] !== 0) queue.push(next[symbol]!)
  for (let head = 0; head < queue.length; head++) {
    const state = queue[head]!
    const fallback = failure[state]!
    if (ends[fallback]!.length > 0) ends[state]!.push(...ends[fallback]!)
    for (let symbol = 1; symbol < width; symbol++) {
      const at = (state << shift) | symbol
      const child = next[at]!
      if (child === 0) next[at] = next[(fallback << shift) | symbol]!
      else {
        failure[child] = next[(fallback << shift) | symbol]!
        queue.push(child)
      }
    }
  }
  const order = Array.from({ length: states }, (_, state) => state).sort(
    (a, b) => Number(ends[a]!.length > 0) - Number(ends[b]!.length > 0) || a - b,
  )
  const rank = new Int32Array(states)
  order.forEach((state, index) => {
    rank[state] = index
  })
  const table = new Uint16Array(states << shift)
  for (let state = 0; state < states; state++) {
    for (let symbol = 0; symbol < width; symbol++) {
      table[(rank[state]! << shift) | symbol] = rank[next[(state << shift) | symbol]!]!
    }
  }
  const firstFinal = order.findIndex((state) => ends[state]!.length > 0)
  return {
    next: table,
    symbols,
    shift,
    firstFinal: firstFinal < 0 ? states : firstFinal,
    ends: order.slice(firstFinal < 0 ? states : firstFinal).map((state) => Int32Array.from(new Set(ends[state]))),
    states,
  }
}

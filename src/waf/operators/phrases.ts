/**
 * Finds whether one of many phrases occurs in a text, in one pass, whatever they are (Aho and Corasick 1975). The letters A to Z have no case.
 *
 * The phrases of CRS make 82,000 states; full tables would be 11 MB. Most states have one way to go on: those keep a byte, what follows, and where a
 * failure leads; the others have a row of a table in which failures are resolved. It is 1.3 MB, built in 40 ms, and a byte of text costs at most two
 * steps on average.
 *
 * A state below `next.length` is where its row begins, one from there on is the number of a state without a row, a negative one ends a phrase.
 */
export interface PhraseAutomaton {
  /** Column of each byte, letters of both cases in one; column 0 for bytes of no phrase, which lead back to the start. */
  readonly classes: Uint8Array
  /** Rows: `next[state + column]` is the state that follows. The start is state 0. */
  readonly next: Int32Array
  /** Of states without a row: the one column that leads on, … */
  readonly only: Uint8Array
  /** … the state it leads to, … */
  readonly follows: Int32Array
  /** … and the state that tries any other column. */
  readonly failure: Int32Array
  /** The phrases that can be found, in small letters, and their lengths, the longest first. */
  readonly phrases: ReadonlySet<string>
  readonly lengths: readonly number[]
}

/** Builds the automaton; empty phrases are left out. A phrase that begins with another one adds nothing: the shorter is found first. */
export function buildPhraseAutomaton(phrases: readonly string[]): PhraseAutomaton {
  const kept = withoutLonger(phrases)
  const classes = classesOf(kept)
  const trie = buildTrie(kept, classes)
  return {
    classes,
    ...link(trie, Math.max(...classes) + 1),
    phrases: new Set(kept),
    lengths: [...new Set(kept.map(({ length }) => length))].sort((a, b) => b - a),
  }
}

/** Whether one of the phrases occurs. */
export function hasPhrase(automaton: PhraseAutomaton, text: string): boolean {
  return endOfPhrase(automaton, text) !== -1
}

/** The phrase that ends first, as it stands in the text; the longest, if several end there. */
export function findPhrase(automaton: PhraseAutomaton, text: string): string | undefined {
  const end = endOfPhrase(automaton, text)
  if (end === -1) return undefined
  for (const length of automaton.lengths) {
    if (length > end) continue
    const found = text.slice(end - length, end)
    if (automaton.phrases.has(smallLetters(found))) return found
  }
  return undefined
}

function endOfPhrase({ classes, next, only, follows, failure }: PhraseAutomaton, text: string): number {
  const rowsEnd = next.length
  const length = text.length
  let state = 0
  for (let i = 0; i < length; i++) {
    const column = classes[text.charCodeAt(i)]!
    while (state >= rowsEnd && only[state - rowsEnd] !== column) state = failure[state - rowsEnd]!
    // Failures come to an end, since the start has a row; each one undoes a step that was made before.
    state = state < rowsEnd ? next[state + column]! : follows[state - rowsEnd]!
    if (state < 0) return i + 1
  }
  return -1
}

/** Sorted, in small letters, without those that begin with another one. */
function withoutLonger(phrases: readonly string[]): readonly string[] {
  const sorted = phrases.map(smallLetters).sort()
  const kept: string[] = []
  for (const phrase of sorted) {
    const before = kept.at(-1)
    if (phrase !== '' && (before === undefined || !phrase.startsWith(before))) kept.push(phrase)
  }
  return kept
}

function smallLetters(text: string): string {
  return /[A-Z]/.test(text) ? text.replace(/[A-Z]/g, (letter) => letter.toLowerCase()) : text
}

function classesOf(phrases: readonly string[]): Uint8Array {
  const classes = new Uint8Array(256)
  let used = 0
  for (const phrase of phrases) {
    for (let i = 0; i < phrase.length; i++) {
      const byte = phrase.charCodeAt(i)
      if (classes[byte] === 0) classes[byte] = ++used
    }
  }
  // At most 230 columns are used: capital letters are none.
  for (let letter = 0x61; letter <= 0x7a; letter++) classes[letter - 0x20] = classes[letter]!
  return classes
}

/** State 0 is the start, and stands for "none" where a child or a sibling is named. */
interface Trie {
  readonly states: number
  readonly firstChild: Int32Array
  readonly nextSibling: Int32Array
  /** The column that leads to a state. */
  readonly column: Uint8Array
  readonly ends: Uint8Array
}

function buildTrie(phrases: readonly string[], classes: Uint8Array): Trie {
  const bound = phrases.reduce((sum, { length }) => sum + length, 1)
  const firstChild = new Int32Array(bound)
  const nextSibling = new Int32Array(bound)
  const lastChild = new Int32Array(bound)
  const column = new Uint8Array(bound)
  const ends = new Uint8Array(bound)
  const path: number[] = [0]
  let states = 1
  let before = ''
  for (const phrase of phrases) {
    let shared = 0
    while (shared < before.length && before.charCodeAt(shared) === phrase.charCodeAt(shared)) shared++
    for (let i = shared; i < phrase.length; i++) {
      const parent = path[i]!
      const state = states++
      if (firstChild[parent] === 0) firstChild[parent] = state
      else nextSibling[lastChild[parent]!] = state
      lastChild[parent] = state
      column[state] = classes[phrase.charCodeAt(i)]!
      path[i + 1] = state
    }
    ends[path[phrase.length]!] = 1
    before = phrase
  }
  const used = <A extends Int32Array | Uint8Array>(all: A): A => all.slice(0, states) as A
  return {
    states,
    firstChild: used(firstChild),
    nextSibling: used(nextSibling),
    column: used(column),
    ends: used(ends),
  }
}

/** Gives each state its place, and finds failures breadth first. */
function link(trie: Trie, width: number): Pick<PhraseAutomaton, 'next' | 'only' | 'follows' | 'failure'> {
  const { states, firstChild, nextSibling, column, ends } = trie
  // The start has a row, and so has each state with several children.
  const hasRow = (state: number) => state === 0 || nextSibling[firstChild[state]!] !== 0
  let rows = 0
  for (let state = 0; state < states; state++) if (hasRow(state)) rows++
  const rowsEnd = rows * width
  const next = new Int32Array(rowsEnd)
  const only = new Uint8Array(states - rows)
  const follows = new Int32Array(states - rows)
  const failure = new Int32Array(states - rows)

  const placeOf = new Int32Array(states)
  let row = 0
  let single = rowsEnd
  for (let state = 0; state < states; state++) {
    if (hasRow(state)) {
      placeOf[state] = row
      row += width
    } else {
      placeOf[state] = single++
    }
  }

  const failureOf = new Int32Array(states)
  const queue = new Int32Array(states)
  let filled = 1
  for (let head = 0; head < filled; head++) {
    const state = queue[head]!
    for (let child = firstChild[state]!; child !== 0; child = nextSibling[child]!) {
      failureOf[child] = state === 0 ? 0 : follow(failureOf[state]!, column[child]!)
      // A phrase that begins later may end here too. What would follow is never asked for.
      if (ends[failureOf[child]!] === 1) ends[child] = 1
      queue[filled++] = child
    }
    fill(state)
  }
  return { next, only, follows, failure }

  /** Where a column leads from a state above, in numbers of the trie. */
  function follow(from: number, by: number): number {
    for (let state = from; ; state = failureOf[state]!) {
      for (let child = firstChild[state]!; child !== 0; child = nextSibling[child]!)
        if (column[child] === by) return child
      if (state === 0) return 0
    }
  }

  function fill(state: number): void {
    const place = placeOf[state]!
    const failed = placeOf[failureOf[state]!]!
    if (place >= rowsEnd) {
      const child = firstChild[state]!
      only[place - rowsEnd] = child === 0 ? 0 : column[child]!
      follows[place - rowsEnd] = child === 0 ? 0 : placeOrEnd(child)
      failure[place - rowsEnd] = failed
      return
    }
    // A row begins as what a failure would give; its own children are laid over it.
    if (state !== 0) for (let by = 1; by < width; by++) next[place + by] = step(failed, by)
    for (let child = firstChild[state]!; child !== 0; child = nextSibling[child]!) {
      next[place + column[child]!] = placeOrEnd(child)
    }
  }

  /** What matching does for one byte, over what is filled already. */
  function step(from: number, by: number): number {
    let place = from
    while (place >= rowsEnd) {
      if (only[place - rowsEnd] === by) return follows[place - rowsEnd]!
      place = failure[place - rowsEnd]!
    }
    return next[place + by]!
  }

  function placeOrEnd(state: number): number {
    return ends[state] === 1 ? ended : placeOf[state]!
  }
}

const ended = -1

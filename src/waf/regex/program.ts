import { isNullable, type Node, type Place } from './ast.ts'
import { type ByteSet, bytesOf, hasByte, newlineBytes, setKey, wordBytes } from './bytes.ts'

/** What a place of a program does. */
export const opSet = 0
export const opSplit = 1
export const opAssert = 2
export const opSave = 3
export const opMatch = 4

/** The places of the tree's assertions, by number. */
export const places: readonly Place[] = [
  'start',
  'end',
  'end-or-last-newline',
  'line-start',
  'line-end',
  'boundary',
  'no-boundary',
]
export const atStart = 0
export const atEnd = 1
export const atEndOrLastNewline = 2
export const atLineStart = 3
export const atLineEnd = 4
export const atBoundary = 5
export const atNoBoundary = 6

/**
 * Patterns as a graph of places, each with the places that follow: Thompson's construction without its empty steps.
 * Places are shared where what follows is the same, which keeps sets of them small.
 */
export interface Program {
  readonly count: number
  readonly op: Uint8Array
  /** Of a set its number, of an assertion its kind, of a save its slot, of a match the number of its pattern. */
  readonly value: Int32Array
  /** What follows; of a split, where its exits begin in `exits`. */
  readonly next: Int32Array
  /** How many exits a split has, the preferred first. */
  readonly exitCount: Int32Array
  readonly exits: Int32Array
  /** Where each pattern begins. */
  readonly entries: Int32Array
  /** Slots of captures: two for each group and for the whole. */
  readonly slotCount: number
  /** The class of each byte: bytes of one class are told apart by no pattern. */
  readonly classes: Uint8Array
  readonly classCount: number
  /** Whether a class belongs to a set: at set number × class count + class. */
  readonly member: Uint8Array
  /** Of each class: 2 for word bytes, 4 for the newline, as far as assertions ask. */
  readonly contexts: Uint8Array
  /** Whether the last byte has to be told from the others, should it be a newline. */
  readonly lastNewline: boolean
}

/** Counted repeats are unfolded, so that a short pattern can ask for very many places. */
export const placesMax = 100_000

/** How many places a pattern unfolds to, at most, in the larger of its two programs: the one with captures. */
export function countPlaces(node: Node): number {
  return 3 + countParts(node).plain
}

/** The places of `build`, and those of `buildUnmoved`, which builds most things twice. */
function countParts(node: Node): { plain: number; unmoved: number } {
  switch (node.kind) {
    case 'empty':
      return { plain: 0, unmoved: 0 }
    case 'set':
    case 'assertion':
      return { plain: 1, unmoved: 1 }
    case 'group': {
      const body = countParts(node.body)
      return { plain: body.plain + 2, unmoved: body.unmoved + 3 }
    }
    case 'concat':
    case 'alternate': {
      const sum = { plain: 1, unmoved: 1 }
      for (const part of node.kind === 'concat' ? node.parts : node.choices) {
        const { plain, unmoved } = countParts(part)
        sum.plain += plain
        sum.unmoved += unmoved + plain
      }
      return sum
    }
    case 'repeat': {
      const body = countParts(node.body)
      const endless = node.max === Number.POSITIVE_INFINITY
      const loop = 1 + (isNullable(node.body) ? body.unmoved : body.plain)
      const copies = endless ? node.min : node.max
      const plain = copies * (body.plain + 1) + (endless ? loop : 0)
      return { plain, unmoved: plain + (copies + 1) * (body.unmoved + 1) }
    }
  }
}

/** Makes the program of several patterns, of `placesMax` places at most each; with `captures` of one, whose groups are recorded. */
export function compileProgram(patterns: readonly Node[], captures = false): Program {
  let op = new Uint8Array(256)
  let value = new Int32Array(256)
  let next = new Int32Array(256)
  let exitCount = new Int32Array(256)
  let count = 0
  const exits: number[] = []
  const sets: ByteSet[] = []
  const setNumbers = new Map<ByteSet | string, number>()
  const shared = new Map<number | string, number>()
  let asksWord = false
  let asksLine = false
  let lastNewline = false
  let slotCount = 2

  const entries = new Int32Array(patterns.length)
  for (let i = 0; i < patterns.length; i++) {
    const match = place(opMatch, i, 0)
    if (!captures) {
      entries[i] = build(patterns[i]!, match)
      continue
    }
    entries[i] = place(opSave, 0, build(patterns[i]!, place(opSave, 1, match)))
  }

  if (asksWord) numberOf(wordBytes)
  if (asksLine || lastNewline) numberOf(newlineBytes)
  const { classes, classCount, first } = divide(sets)
  const member = new Uint8Array(sets.length * classCount)
  for (let set = 0; set < sets.length; set++) {
    for (let k = 0; k < classCount; k++) member[set * classCount + k] = hasByte(sets[set]!, first[k]!) ? 1 : 0
  }
  const contexts = new Uint8Array(classCount)
  for (let k = 0; k < classCount; k++) {
    if (asksWord && hasByte(wordBytes, first[k]!)) contexts[k]! |= 2
    if (asksLine && first[k] === 0x0a) contexts[k]! |= 4
  }
  return {
    count,
    op: op.slice(0, count),
    value: value.slice(0, count),
    next: next.slice(0, count),
    exitCount: exitCount.slice(0, count),
    exits: Int32Array.from(exits),
    entries,
    slotCount,
    classes,
    classCount,
    member,
    contexts,
    lastNewline,
  }

  function place(kind: number, of: number, follows: number): number {
    if (count === op.length) {
      op = grown(op, new Uint8Array(count * 2))
      value = grown(value, new Int32Array(count * 2))
      next = grown(next, new Int32Array(count * 2))
      exitCount = grown(exitCount, new Int32Array(count * 2))
    }
    op[count] = kind
    value[count] = of
    next[count] = follows
    return count++
  }

  function setPlace(set: ByteSet, follows: number): number {
    const number = numberOf(set)
    const key = follows * 65_536 + number
    let found = shared.get(key)
    if (found === undefined) {
      found = place(opSet, number, follows)
      shared.set(key, found)
    }
    return found
  }

  function numberOf(set: ByteSet): number {
    // Most sets are the nodes' shared ones: by identity first, by content only for the others.
    let number = setNumbers.get(set)
    if (number !== undefined) return number
    const key = setKey(set)
    number = setNumbers.get(key)
    if (number === undefined) {
      number = sets.length
      sets.push(set)
      setNumbers.set(key, number)
    }
    setNumbers.set(set, number)
    return number
  }

  function split(ways: readonly number[]): number {
    if (ways.length === 1) return ways[0]!
    const key = ways.join()
    let found = shared.get(key)
    if (found === undefined) {
      found = place(opSplit, 0, 0)
      leadTo(found, ways)
      shared.set(key, found)
    }
    return found
  }

  function leadTo(from: number, ways: readonly number[]): void {
    next[from] = exits.length
    exitCount[from] = ways.length
    for (const way of ways) exits.push(way)
  }

  /** The place at which a node begins that is followed by the place `follows`. */
  function build(node: Node, follows: number): number {
    switch (node.kind) {
      case 'empty':
        return follows
      case 'set':
        return setPlace(node.set, follows)
      case 'concat': {
        let entry = follows
        for (let i = node.parts.length - 1; i >= 0; i--) entry = build(node.parts[i]!, entry)
        return entry
      }
      case 'alternate': {
        const ways: number[] = []
        for (const choice of node.choices) {
          ways.push(build(choice, follows))
        }
        return split([...new Set(ways)])
      }
      case 'repeat':
        return buildRepeat(node.body, node.min, node.max, node.greedy, follows)
      case 'group': {
        if (!captures) return build(node.body, follows)
        slotCount = Math.max(slotCount, node.capture * 2 + 2)
        return place(opSave, node.capture * 2, build(node.body, place(opSave, node.capture * 2 + 1, follows)))
      }
      case 'assertion': {
        const kind = places.indexOf(node.at)
        if (kind === atBoundary || kind === atNoBoundary) asksWord = true
        if (kind === atLineStart || kind === atLineEnd) asksLine = true
        if (kind === atEndOrLastNewline) lastNewline = true
        return place(opAssert, kind, follows)
      }
    }
  }

  /** A place that leads into the body and out, and the body, which leads back to it. */
  function buildLoop(body: Node, greedy: boolean, follows: number): { loop: number; inside: number } {
    // Loops over bytes are frequent, and often the same in front of the same.
    const key = body.kind === 'set' ? `${numberOf(body.set)}*${greedy ? '' : '?'}${follows}` : undefined
    const known = key === undefined ? undefined : shared.get(key)
    if (known !== undefined) return { loop: known, inside: exits[next[known]! + (greedy ? 0 : 1)]! }
    const loop = place(opSplit, 0, 0)
    // An iteration that consumes nothing is the last. Only captures tell the difference.
    const inside = captures && isNullable(body) ? buildUnmoved(body, follows, loop) : build(body, loop)
    leadTo(loop, greedy ? [inside, follows] : [follows, inside])
    if (key !== undefined) shared.set(key, loop)
    return { loop, inside }
  }

  function buildRepeat(body: Node, min: number, max: number, greedy: boolean, follows: number): number {
    let entry = follows
    let copies = min
    if (max === Number.POSITIVE_INFINITY) {
      const { loop, inside } = buildLoop(body, greedy, follows)
      entry = min > 0 ? inside : loop
      if (min > 0) copies--
    } else {
      for (let i = min; i < max; i++) {
        const inside = build(body, entry)
        entry = split(greedy ? [inside, follows] : [follows, inside])
      }
    }
    for (let i = 0; i < copies; i++) entry = build(body, entry)
    return entry
  }

  /**
   * As `build`, for a way on which nothing was consumed since an iteration began: it goes on at `still` if the node does
   * not consume either, and at `moved` if it does. What comes after a consumed byte is built apart.
   */
  function buildUnmoved(node: Node, still: number, moved: number): number {
    switch (node.kind) {
      case 'empty':
        return still
      case 'set':
        return setPlace(node.set, moved)
      case 'concat': {
        let entry = still
        let behind = moved
        for (let i = node.parts.length - 1; i >= 0; i--) {
          entry = buildUnmoved(node.parts[i]!, entry, behind)
          if (i > 0) behind = build(node.parts[i]!, behind)
        }
        return entry
      }
      case 'alternate':
        return split([...new Set(node.choices.map((choice) => buildUnmoved(choice, still, moved)))])
      case 'group': {
        slotCount = Math.max(slotCount, node.capture * 2 + 2)
        const end = node.capture * 2 + 1
        return place(
          opSave,
          node.capture * 2,
          buildUnmoved(node.body, place(opSave, end, still), place(opSave, end, moved)),
        )
      }
      case 'assertion':
        return build(node, still)
      case 'repeat':
        return buildRepeatUnmoved(node.body, node.min, node.max, node.greedy, still, moved)
    }
  }

  function buildRepeatUnmoved(
    body: Node,
    min: number,
    max: number,
    greedy: boolean,
    still: number,
    moved: number,
  ): number {
    const ordered = (inside: number, out: number): number => split(greedy ? [inside, out] : [out, inside])
    let entry = still
    let behind = moved
    let copies = min
    if (max === Number.POSITIVE_INFINITY) {
      const { loop, inside } = buildLoop(body, greedy, moved)
      const first = buildUnmoved(body, still, loop)
      entry = min > 0 ? first : ordered(first, still)
      behind = min > 0 ? inside : loop
      if (min > 0) copies--
    } else {
      for (let i = min; i < max; i++) {
        entry = ordered(buildUnmoved(body, entry, behind), still)
        behind = ordered(build(body, behind), moved)
      }
    }
    for (let i = 0; i < copies; i++) {
      entry = buildUnmoved(body, entry, behind)
      behind = build(body, behind)
    }
    return entry
  }
}

function grown<T extends Uint8Array | Int32Array>(from: T, to: T): T {
  to.set(from)
  return to
}

/** Divides the bytes into classes by a list of sets; `first` is one byte of each class. */
function divide(sets: readonly ByteSet[]): { classes: Uint8Array; classCount: number; first: number[] } {
  const classes = new Uint8Array(256)
  let classCount = 1
  // Of each class: how many of its bytes are in the set at hand, and the class that these get.
  const inside = new Int32Array(256)
  const apart = new Int32Array(256)
  const size = new Int32Array(256)
  size[0] = 256
  for (const set of sets) {
    const bytes = bytesOf(set)
    for (const byte of bytes) inside[classes[byte]!]!++
    const before = classCount
    for (let k = 0; k < before; k++) apart[k] = inside[k] === 0 || inside[k] === size[k] ? k : classCount++
    for (const byte of bytes) {
      const from = classes[byte]!
      const to = apart[from]!
      if (to === from) continue
      classes[byte] = to
      size[from]!--
      size[to]!++
    }
    inside.fill(0, 0, classCount)
  }
  const first: number[] = []
  for (let byte = 255; byte >= 0; byte--) first[classes[byte]!] = byte
  return { classes, classCount, first }
}

import { type Budget, spendSteps } from './budget.ts'
import { bookMemory, type Cache, type CacheMemory, releaseMemory } from './memory.ts'
import {
  atBoundary,
  atEnd,
  atEndOrLastNewline,
  atLineEnd,
  atLineStart,
  atNoBoundary,
  atStart,
  opAssert,
  opMatch,
  opSave,
  opSet,
  opSplit,
  type Program,
} from './program.ts'
import { copyText } from './text.ts'

/**
 * A deterministic automaton that is built while it is used: one table look-up per byte, where the state is known.
 *
 * A state is a set of places of the program that may come next (its kernel), and what the byte before was as far as an
 * assertion asks. Patterns are searched for anywhere: the places where they begin belong to every state and are not
 * listed; those of patterns that can begin at the start of the text only are listed in the first state.
 */
export interface Automaton extends Cache {
  readonly program: Program
  readonly memory: CacheMemory
  readonly bytesMax: number
  /** Stop at the first match, and keep no states for matches. */
  readonly single: boolean
  /** Class of each byte. */
  readonly classes: Uint8Array
  /** Entries of a row: one for each class, for a newline at the end, for the end. */
  readonly stride: number
  /** Row offset of the state that follows; `unknown`, `dead`, `matched`, or where patterns matched the negated offset. */
  table: Int32Array
  stateCount: number
  /** How often everything was dropped: offsets from before mean nothing. */
  epoch: number
  /** The state before the first byte; 0 where it is not built. */
  first: number
  /** Kernels one after the other; that of state i begins at `starts[i]`. */
  items: Int32Array
  itemCount: number
  starts: Int32Array
  /** What the byte before was: 1 none, 2 a word byte, 4 a newline. */
  contexts: Uint8Array
  hashes: Int32Array
  /** Open hash table of state numbers. */
  buckets: Int32Array
  /** Of a state number: the patterns that have matched when it is entered. */
  accepts: (Int32Array | undefined)[]
  /** Of a place: the places that consume, assert or match, which it leads to without consuming; the preferred first. */
  closures: (Int32Array | undefined)[]
  /** Of a place with many: by class, the places that follow it. */
  moves: ((Int32Array | undefined)[] | undefined)[]
  /** Of a place: those other places of kernels to which it leads without consuming; they add nothing beside it. */
  reaches: (Int32Array | undefined)[]
  /** Of a place: which contexts its assertions ask for, and whether it matches as it is. */
  readonly traits: Uint8Array
  /** Of a place a bit for each class over which anything may follow. */
  readonly hopes: Uint32Array
  readonly hopeWords: number
  /** Of a place: whether it follows a byte, and so may be in a kernel. */
  readonly follows: Uint8Array
  /** By context: offset of the state in which nothing is under way. */
  readonly idle: Int32Array
  /** Tell idle states from those in which a match is under way that has consumed bytes, though both lead to the same. */
  readonly tracksBegin: boolean
  /** Place that leads to all beginnings anywhere, and to those at the start only; -1 where there are none. */
  readonly anywhere: number
  readonly startOnly: number
}

/** The entries of a table that are no states. A row begins at 1 × stride or later. */
export const unknown = 0
export const dead = -1
/** The search is over: `single` only. */
export const matched = -2

const contextStart = 1
const contextWord = 2
const contextNewline = 4
const asksContext = 7
const traitMatches = 8
const traitKnown = 16
const traitHopes = 32

/** Places with more followers get them by class. */
const closureSmall = 6
const statesAtFirst = 4
/** What a typed array costs beside its content, in about. */
const objectBytes = 96

export interface AutomatonOptions {
  readonly memory: CacheMemory
  readonly bytesMax: number
  readonly single: boolean
  readonly tracksBegin?: boolean
}

export function createAutomaton(program: Program, options: AutomatonOptions): Automaton {
  const withRoots = addRoots(program)
  const { count, op, next } = withRoots.program
  const hopeWords = (program.classCount + 33) >> 5
  const follows = new Uint8Array(count)
  for (let place = 0; place < count; place++) if (op[place] === opSet) follows[next[place]!] = 1
  const automaton: Automaton = {
    ...withRoots,
    ...options,
    classes: program.classes,
    stride: program.classCount + 2,
    table: none,
    stateCount: 0,
    epoch: 0,
    first: 0,
    items: none,
    itemCount: 0,
    starts: none,
    contexts: noContexts,
    hashes: none,
    buckets: none,
    accepts: [],
    closures: [],
    moves: [],
    reaches: [],
    traits: new Uint8Array(count),
    hopes: new Uint32Array(count * hopeWords),
    hopeWords,
    follows,
    idle: new Int32Array(8),
    tracksBegin: options.tracksBegin ?? false,
    bytes: 0,
    used: false,
    drop: () => reset(automaton),
  }
  return automaton
}

const none = new Int32Array(0)
const noContexts = new Uint8Array(0)

/** Adds a place that leads to where patterns may begin anywhere, and one to where they begin at the start only. */
function addRoots(program: Program): { program: Program; anywhere: number; startOnly: number } {
  const everywhere: number[] = []
  const anchored: number[] = []
  for (const entry of program.entries) (beginsAtStartOnly(program, entry) ? anchored : everywhere).push(entry)
  if (program.entries.length === 1) {
    const [entry] = program.entries
    return { program, anywhere: everywhere.length > 0 ? entry! : -1, startOnly: anchored.length > 0 ? entry! : -1 }
  }
  const { count, op, value, next, exitCount, exits } = program
  const extended = {
    ...program,
    count: count + 2,
    op: Uint8Array.from([...op, opSplit, opSplit]),
    value: Int32Array.from([...value, 0, 0]),
    next: Int32Array.from([...next, exits.length, exits.length + everywhere.length]),
    exitCount: Int32Array.from([...exitCount, everywhere.length, anchored.length]),
    exits: Int32Array.from([...exits, ...everywhere, ...anchored]),
  }
  return {
    program: extended,
    anywhere: everywhere.length > 0 ? count : -1,
    startOnly: anchored.length > 0 ? count + 1 : -1,
  }
}

function beginsAtStartOnly(program: Program, entry: number): boolean {
  const seen = new Set<number>()
  const pending = [entry]
  for (let place = pending.pop(); place !== undefined; place = pending.pop()) {
    if (seen.has(place)) continue
    seen.add(place)
    switch (program.op[place]) {
      case opSet:
      case opMatch:
        return false
      case opAssert:
        if (program.value[place] !== atStart) pending.push(program.next[place]!)
        break
      case opSave:
        pending.push(program.next[place]!)
        break
      default:
        for (let i = 0; i < program.exitCount[place]!; i++) pending.push(program.exits[program.next[place]! + i]!)
    }
  }
  return true
}

function reset(automaton: Automaton): void {
  automaton.table = none
  automaton.stateCount = 0
  automaton.epoch++
  automaton.first = 0
  automaton.items = none
  automaton.itemCount = 0
  automaton.starts = none
  automaton.contexts = noContexts
  automaton.hashes = none
  automaton.buckets = none
  automaton.accepts = []
  automaton.closures = []
  automaton.moves = []
  automaton.reaches = []
  automaton.idle.fill(0)
  releaseMemory(automaton.memory, automaton)
}

/** Working space of all automata: nothing here outlives a call, and calls do not interleave. */
let marks = new Int32Array(1024)
let generation = 0
let assertMarks = new Int32Array(1024)
let target = new Int32Array(1024)
let targetCount = 0
let targetTraits = 0
let targetMatched = false
let source = new Int32Array(1024)
/** Work done since it was last charged. */
let work = 0

function prepareScratch(count: number): void {
  if (marks.length < count) {
    marks = new Int32Array(count * 2)
    assertMarks = new Int32Array(count * 2)
    target = new Int32Array(count * 2)
    source = new Int32Array(count * 2)
    generation = 0
  }
  if (++generation === 0x7fffffff) {
    marks.fill(0)
    assertMarks.fill(0)
    generation = 1
  }
}

function closureOf(automaton: Automaton, place: number): Int32Array {
  const known = automaton.closures[place]
  if (known !== undefined) return known
  const { op, next, exitCount, exits } = automaton.program
  const seen = new Set<number>()
  const pending = [place]
  const found: number[] = []
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (seen.has(at)) continue
    seen.add(at)
    switch (op[at]) {
      case opSave:
        pending.push(next[at]!)
        break
      case opSplit:
        for (let i = exitCount[at]! - 1; i >= 0; i--) pending.push(exits[next[at]! + i]!)
        break
      default:
        found.push(at)
    }
  }
  const closure = Int32Array.from(found)
  bookMemory(automaton.memory, automaton, closure.byteLength + objectBytes)
  automaton.closures[place] = closure
  return closure
}

/** Which contexts the assertions behind a place ask for, and whether it matches without another byte. */
function traitsOf(automaton: Automaton, place: number): number {
  const known = automaton.traits[place]!
  if ((known & traitKnown) !== 0) return known
  const { op, value, next } = automaton.program
  let traits = traitKnown
  const seen = new Set<number>([place])
  const pending = [place]
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    for (const leaf of closureOf(automaton, at)) {
      if (op[leaf] === opMatch && at === place) traits |= traitMatches
      if (op[leaf] !== opAssert) continue
      const kind = value[leaf]!
      if (kind === atStart) traits |= contextStart
      else if (kind === atLineStart) traits |= contextStart | contextNewline
      else if (kind === atBoundary || kind === atNoBoundary) traits |= contextWord
      const follows = next[leaf]!
      if (!seen.has(follows)) {
        seen.add(follows)
        pending.push(follows)
      }
    }
  }
  automaton.traits[place] = traits | known
  return traits
}

/** Whether anything may follow a place over a class; assertions are taken to hold. */
function hasHope(automaton: Automaton, place: number, byteClass: number): boolean {
  const { traits, hopes, hopeWords } = automaton
  if ((traits[place]! & traitHopes) === 0) findHopes(automaton, place)
  return ((hopes[place * hopeWords + (byteClass >> 5)]! >>> (byteClass & 31)) & 1) === 1
}

function findHopes(automaton: Automaton, place: number): void {
  const { hopes, hopeWords, stride } = automaton
  const { op } = automaton.program
  automaton.traits[place]! |= traitHopes
  const base = place * hopeWords
  for (const leaf of closureOf(automaton, place)) {
    if (op[leaf] === opAssert) hopes.fill(0xffffffff, base, base + hopeWords)
    if (op[leaf] !== opSet) continue
    for (let k = 0; k < stride; k++) if (isMember(automaton, leaf, k)) hopes[base + (k >> 5)]! |= 1 << (k & 31)
  }
}

/** The places that may be in kernels and to which a place leads without consuming, itself left out. */
function reachOf(automaton: Automaton, place: number): Int32Array {
  const known = automaton.reaches[place]
  if (known !== undefined) return known
  const { op, next, exitCount, exits } = automaton.program
  const seen = new Set<number>([place])
  const pending = [place]
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    const split = op[at] === opSplit
    if (!split && op[at] !== opSave) continue
    const ways = split ? exitCount[at]! : 1
    for (let way = 0; way < ways; way++) {
      const to = split ? exits[next[at]! + way]! : next[at]!
      if (seen.has(to)) continue
      seen.add(to)
      pending.push(to)
    }
  }
  seen.delete(place)
  const found = [...seen].filter((to) => automaton.follows[to] === 1)
  const reach = found.length === 0 ? none : Int32Array.from(found)
  if (reach !== none) bookMemory(automaton.memory, automaton, reach.byteLength + objectBytes)
  automaton.reaches[place] = reach
  return reach
}

/** Adds what follows a place over a byte of a class, to the set under construction. */
function step(automaton: Automaton, place: number, context: number, byteClass: number): void {
  const { program } = automaton
  const { op } = program
  work++
  if (op[place] === opSet) {
    if (isMember(automaton, place, byteClass)) addTarget(automaton, program.next[place]!)
    return
  }
  const closure = closureOf(automaton, place)
  if (closure.length > closureSmall) {
    const move = moveOf(automaton, place, closure, byteClass)
    for (let i = 0; i < move.length; i++) {
      const to = move[i]!
      if (to >= 0) addTarget(automaton, to)
      else stepAssertion(automaton, ~to, context, byteClass)
    }
    return
  }
  for (let i = 0; i < closure.length; i++) {
    const leaf = closure[i]!
    const kind = op[leaf]
    if (kind === opSet) {
      if (isMember(automaton, leaf, byteClass)) addTarget(automaton, program.next[leaf]!)
    } else if (kind === opAssert) {
      stepAssertion(automaton, leaf, context, byteClass)
    }
  }
}

function isMember(automaton: Automaton, place: number, byteClass: number): boolean {
  const { program } = automaton
  const { classCount } = program
  // A newline at the end is a newline; the end itself is no byte.
  if (byteClass >= classCount) {
    if (byteClass > classCount) return false
    byteClass = automaton.classes[0x0a]!
  }
  return program.member[program.value[place]! * classCount + byteClass] === 1
}

function stepAssertion(automaton: Automaton, place: number, context: number, byteClass: number): void {
  const { program } = automaton
  if (assertMarks[place] === generation) return
  assertMarks[place] = generation
  if (!holds(automaton, program.value[place]!, context, byteClass)) return
  const follows = program.next[place]!
  step(automaton, follows, context, byteClass)
  if ((traitsOf(automaton, follows) & traitMatches) !== 0) addMatches(automaton, follows)
}

/** A match that waited for the byte behind it: its place becomes part of the state that follows. */
function addMatches(automaton: Automaton, place: number): void {
  targetMatched = true
  if (automaton.single) return
  for (const leaf of closureOf(automaton, place)) {
    if (automaton.program.op[leaf] === opMatch) addTarget(automaton, leaf)
  }
}

function holds(automaton: Automaton, kind: number, context: number, byteClass: number): boolean {
  const { classCount, contexts } = automaton.program
  const end = byteClass > classCount
  const newline = byteClass === classCount
  switch (kind) {
    case atStart:
      return (context & contextStart) !== 0
    case atEnd:
      return end
    case atEndOrLastNewline:
      return end || newline
    case atLineStart:
      return (context & contextStart) !== 0 || ((context & contextNewline) !== 0 && !end)
    case atLineEnd:
      return end || newline || (contexts[byteClass]! & contextNewline) !== 0
    default: {
      const wordNext = !end && !newline && (contexts[byteClass]! & contextWord) !== 0
      return (((context & contextWord) !== 0) !== wordNext) === (kind === atBoundary)
    }
  }
}

/** By class: the places that follow a place; an assertion as the complement of its place. */
function moveOf(automaton: Automaton, place: number, closure: Int32Array, byteClass: number): Int32Array {
  let moves = automaton.moves[place]
  if (moves === undefined) {
    moves = []
    automaton.moves[place] = moves
    bookMemory(automaton.memory, automaton, automaton.stride * 8)
  }
  const known = moves[byteClass]
  if (known !== undefined) return known
  const { op, next } = automaton.program
  const found = new Set<number>()
  for (const leaf of closure) {
    if (op[leaf] === opSet) {
      if (isMember(automaton, leaf, byteClass)) found.add(next[leaf]!)
    } else if (op[leaf] === opAssert) {
      found.add(~leaf)
    }
  }
  work += closure.length
  const move = Int32Array.from(found)
  bookMemory(automaton.memory, automaton, move.byteLength + objectBytes)
  moves[byteClass] = move
  return move
}

function addTarget(automaton: Automaton, place: number): void {
  if (marks[place] === generation) return
  marks[place] = generation
  const traits = traitsOf(automaton, place)
  if ((traits & traitMatches) !== 0) targetMatched = true
  targetTraits |= traits
  target[targetCount++] = place
}

/**
 * Leaves out of the target what the rest of it, or the beginnings that belong to every state, lead to without consuming:
 * fewer and smaller states. What is left stays marked with the generation, what is out is not.
 */
function prune(automaton: Automaton): void {
  const { anywhere } = automaton
  if (anywhere >= 0 && !automaton.tracksBegin) {
    marks[anywhere] = -1
    for (const to of reachOf(automaton, anywhere)) marks[to] = -1
  }
  for (let i = 0; i < targetCount; i++) {
    if (marks[target[i]!] !== generation) continue
    const reach = reachOf(automaton, target[i]!)
    for (let k = 0; k < reach.length; k++) marks[reach[k]!] = -1
  }
  let kept = 0
  for (let i = 0; i < targetCount; i++) if (marks[target[i]!] === generation) target[kept++] = target[i]!
  targetCount = kept
}

/** Collects in `target` what follows a set of places over a class; the places are in `from`. */
function stepAll(
  automaton: Automaton,
  from: Int32Array,
  start: number,
  end: number,
  context: number,
  byteClass: number,
): void {
  const beginning = beginnings(automaton, context, byteClass)
  prepareScratch(automaton.program.count)
  targetCount = 0
  targetTraits = 0
  targetMatched = beginning === matched
  for (let i = start; i < end; i++) {
    if (hasHope(automaton, from[i]!, byteClass)) step(automaton, from[i]!, context, byteClass)
  }
  const { anywhere } = automaton
  if (anywhere >= 0) {
    if (beginning === unknown) {
      if (hasHope(automaton, anywhere, byteClass)) step(automaton, anywhere, context, byteClass)
    } else if (beginning !== matched) {
      const number = Math.abs(beginning) / automaton.stride - 1
      const last = automaton.starts[number + 1]!
      for (let i = automaton.starts[number]!; i < last; i++) addTarget(automaton, automaton.items[i]!)
    }
    targetTraits |= traitsOf(automaton, anywhere)
  }
  if (!(automaton.single && targetMatched)) prune(automaton)
}

/**
 * What begins with a byte of a class: the state that follows idleness, whose kernel is part of every state that follows
 * over this class. `unknown` where it is not built.
 */
function beginnings(automaton: Automaton, context: number, byteClass: number): number {
  if (automaton.anywhere < 0) return unknown
  const idle = automaton.idle[context & traitsOf(automaton, automaton.anywhere)]!
  return idle === 0 ? unknown : automaton.table[idle + byteClass]!
}

function contextAfter(automaton: Automaton, byteClass: number): number {
  const { classCount, contexts } = automaton.program
  if (byteClass > classCount) return 0
  return contexts[byteClass === classCount ? automaton.classes[0x0a]! : byteClass]! & targetTraits & asksContext
}

/** The state before the first byte: built where it is not. */
function firstState(automaton: Automaton): number {
  if (automaton.first !== 0) return automaton.first
  prepareScratch(automaton.program.count)
  targetCount = 0
  targetTraits = 0
  targetMatched = false
  const { anywhere, startOnly } = automaton
  if (startOnly >= 0) addTarget(automaton, startOnly)
  if (anywhere >= 0) {
    const traits = traitsOf(automaton, anywhere)
    targetTraits |= traits
    if ((traits & traitMatches) !== 0) {
      targetMatched = true
      if (!automaton.single)
        for (const leaf of closureOf(automaton, anywhere))
          if (automaton.program.op[leaf] === opMatch) addTarget(automaton, leaf)
    }
  }
  const first = enter(automaton, contextStart & targetTraits)
  automaton.first = first
  return first
}

/** The state that follows a state over a class, built and written down. */
function nextState(automaton: Automaton, state: number, byteClass: number): number {
  const { epoch, anywhere } = automaton
  const number = state / automaton.stride - 1
  const start = automaton.starts[number]!
  const end = automaton.starts[number + 1]!
  const context = automaton.contexts[number]!
  const idle = anywhere < 0 ? 0 : automaton.idle[context & traitsOf(automaton, anywhere)]!
  let next = unknown
  if (idle !== 0 && idle !== state) {
    next = automaton.table[idle + byteClass]!
    if (next === unknown) {
      prepareScratch(automaton.program.count)
      source.set(automaton.items.subarray(start, end))
      next = nextState(automaton, idle, byteClass)
      // Everything was dropped to make room, and the state with it.
      if (automaton.epoch !== epoch) {
        stepAll(automaton, source, 0, end - start, context, byteClass)
        return enter(automaton, contextAfter(automaton, byteClass))
      }
    }
    if (next !== matched) {
      for (let i = start; i < end; i++) {
        if (!hasHope(automaton, automaton.items[i]!, byteClass)) continue
        next = unknown
        break
      }
    }
  }
  if (next === unknown) {
    stepAll(automaton, automaton.items, start, end, context, byteClass)
    next = enter(automaton, contextAfter(automaton, byteClass))
  }
  // What was dropped has no row any more.
  if (automaton.epoch === epoch) automaton.table[state + byteClass] = next
  return next
}

/** The state whose kernel is in `target`, made where there is none. */
function enter(automaton: Automaton, context: number): number {
  if (automaton.single && targetMatched) return matched
  if (targetCount === 0 && automaton.anywhere < 0) return dead
  const hash = hashOfTarget(context)
  const known = find(automaton, hash, context)
  if (known >= 0) return encoded(automaton, known)
  work += 16 + targetCount
  const need = roomFor(automaton)
  if (need > 0 && (!bookMemory(automaton.memory, automaton, need) || automaton.bytes > automaton.bytesMax)) {
    automaton.drop()
    bookMemory(automaton.memory, automaton, roomFor(automaton))
  }
  return encoded(automaton, insert(automaton, hash, context))
}

function encoded(automaton: Automaton, number: number): number {
  const offset = (number + 1) * automaton.stride
  return automaton.accepts[number] === undefined ? offset : -offset
}

function hashOfTarget(context: number): number {
  // Independent of the order, which says nothing.
  let hash = context
  for (let i = 0; i < targetCount; i++) {
    let mixed = Math.imul(target[i]! + 1, 0x9e3779b1)
    mixed ^= mixed >>> 15
    hash = (hash + Math.imul(mixed, 0x85ebca6b)) | 0
  }
  return hash ^ (hash >>> 16)
}

function find(automaton: Automaton, hash: number, context: number): number {
  const { buckets, hashes, starts, items, contexts } = automaton
  const mask = buckets.length - 1
  if (mask < 0) return -1
  for (let at = hash & mask; ; at = (at + 1) & mask) {
    const number = buckets[at]! - 1
    if (number < 0) return -1
    if (hashes[number] !== hash || contexts[number] !== context) continue
    const start = starts[number]!
    const end = starts[number + 1]!
    if (end - start !== targetCount) continue
    let same = true
    // All of the target is marked: as many places, all of them marked, are the same places.
    for (let i = start; same && i < end; i++) same = marks[items[i]!] === generation
    if (same) return number
  }
}

/** How many bytes more are needed for one more state. */
function roomFor(automaton: Automaton): number {
  let need = 0
  const capacity = automaton.hashes.length
  if (automaton.stateCount === capacity) {
    const more = Math.max(statesAtFirst, capacity)
    need += more * (automaton.stride * 4 + 4 + 4 + 1 + 8 + 8)
  }
  const items = automaton.itemCount + targetCount
  if (items > automaton.items.length) need += (Math.max(items, automaton.items.length * 2) - automaton.items.length) * 4
  return need
}

function insert(automaton: Automaton, hash: number, context: number): number {
  const number = automaton.stateCount++
  if (number === automaton.hashes.length) growStates(automaton)
  const end = automaton.itemCount + targetCount
  if (end > automaton.items.length)
    automaton.items = enlarged(automaton.items, Math.max(end, automaton.items.length * 2))
  for (let i = 0; i < targetCount; i++) automaton.items[automaton.itemCount + i] = target[i]!
  automaton.itemCount = end
  automaton.starts[number + 1] = end
  automaton.contexts[number] = context
  automaton.hashes[number] = hash
  automaton.accepts[number] = targetMatched ? acceptsOf(automaton) : undefined
  if (targetCount === 0) automaton.idle[context] = (number + 1) * automaton.stride
  const mask = automaton.buckets.length - 1
  let at = hash & mask
  while (automaton.buckets[at] !== 0) at = (at + 1) & mask
  automaton.buckets[at] = number + 1
  return number
}

function growStates(automaton: Automaton): void {
  const capacity = Math.max(statesAtFirst, automaton.hashes.length * 2)
  // Row 0 is no state: its offset means unknown.
  automaton.table = enlarged(automaton.table, (capacity + 1) * automaton.stride)
  automaton.starts = enlarged(automaton.starts, capacity + 1)
  automaton.hashes = enlarged(automaton.hashes, capacity)
  const contexts = new Uint8Array(capacity)
  contexts.set(automaton.contexts)
  automaton.contexts = contexts
  const mask = capacity * 2 - 1
  automaton.buckets = new Int32Array(capacity * 2)
  for (let number = 0; number < automaton.stateCount - 1; number++) {
    let at = automaton.hashes[number]! & mask
    while (automaton.buckets[at] !== 0) at = (at + 1) & mask
    automaton.buckets[at] = number + 1
  }
}

function enlarged(array: Int32Array, length: number): Int32Array {
  const larger = new Int32Array(length)
  larger.set(array)
  return larger
}

/** The patterns whose match is in the target. */
function acceptsOf(automaton: Automaton): Int32Array | undefined {
  const found = new Set<number>()
  for (let i = 0; i < targetCount; i++) {
    if ((traitsOf(automaton, target[i]!) & traitMatches) === 0) continue
    for (const leaf of closureOf(automaton, target[i]!)) {
      if (automaton.program.op[leaf] === opMatch) found.add(automaton.program.value[leaf]!)
    }
  }
  return found.size === 0 ? undefined : Int32Array.from(found)
}

/**
 * New states in one scan, at most. A text that needs more was made to, or the pattern is of the kind that has very many:
 * what is left of the scan goes on without building any.
 */
const statesPerScanMax = 1_000

/** How often work is charged to the budget, in steps. */
const chargeSteps = 10_000

/** Whether the pattern of a `single` automaton is found anywhere in a text. */
export function search(automaton: Automaton, text: string, budget: Budget | undefined): boolean {
  const { classes } = automaton
  const { length } = text
  const bytes = copyText(text)
  const end = plainEnd(automaton, text)
  let statesLeft = statesAllowed(budget)
  let state = start(automaton)
  if (state < 0) return state === matched
  let { table } = automaton
  let i = 0
  for (;;) {
    if (bytes !== undefined) {
      for (; i < end; i++) {
        const next = table[state + classes[bytes[i]!]!]!
        // Most bytes change nothing. Asked first, the branch is foreseen and the next look-up need not wait for this one.
        if (next === state) continue
        if (next <= 0) break
        state = next
      }
    } else {
      for (; i < end; i++) {
        const next = table[state + classes[text.charCodeAt(i) & 0xff]!]!
        if (next === state) continue
        if (next <= 0) break
        state = next
      }
    }
    const byteClass = classAt(automaton, text, i, end)
    let next = table[state + byteClass]!
    if (next === unknown) {
      if (statesLeft-- > 0) {
        next = buildState(automaton, state, byteClass, budget)
        i++
      } else {
        next = simulate(automaton, state, text, i, end, budget)
        i = simulatedTo
      }
      table = automaton.table
    } else {
      i++
    }
    if (next < 0 || i > length) {
      charge(budget, Math.min(i, length))
      return next === matched
    }
    state = next
  }
}

/** No pattern matches. */
export const notFound = -1

/**
 * A place at which or behind which the first match of a `single` automaton begins, or `notFound`: as late as is cheap to
 * know. Where nothing was under way at some place, no match that ends behind it began before it. Matches begin at `from`
 * or later; assertions see the text before.
 */
export function locate(automaton: Automaton, text: string, from: number, budget: Budget | undefined): number {
  const { stride } = automaton
  const { length } = text
  const end = plainEnd(automaton, text)
  let statesLeft = statesAllowed(budget)
  let state = from === 0 ? start(automaton) : startBehind(automaton, text.charCodeAt(from - 1) & 0xff)
  if (state < 0) return state === matched ? from : notFound
  let begin = from
  for (let i = from; i <= length; i++) {
    const byteClass = classAt(automaton, text, i, end)
    let next = automaton.table[state + byteClass]!
    if (next === unknown) {
      // Whoever asks finds out by matching from here.
      if (statesLeft-- <= 0) {
        charge(budget, i - from)
        return begin
      }
      next = buildState(automaton, state, byteClass, budget)
    }
    if (next < 0) {
      charge(budget, i - from)
      return next === matched ? begin : notFound
    }
    state = next
    const number = state / stride - 1
    if (automaton.starts[number] === automaton.starts[number + 1]) begin = i + 1
  }
  charge(budget, length - from)
  return notFound
}

/** The state in which nothing is under way, behind a byte. */
function startBehind(automaton: Automaton, byte: number): number {
  automaton.used = true
  work = 0
  prepareScratch(automaton.program.count)
  targetCount = 0
  targetMatched = false
  const { anywhere } = automaton
  if (anywhere < 0) return dead
  targetTraits = traitsOf(automaton, anywhere)
  if ((targetTraits & traitMatches) !== 0) return matched
  return enter(automaton, contextAfter(automaton, automaton.classes[byte]!))
}

/**
 * Marks in `into` which patterns are found in a text. False where that would take more states than are allowed: then
 * what is marked is right, and what is not marked is not known.
 */
export function searchAll(automaton: Automaton, text: string, budget: Budget | undefined, into: Uint8Array): boolean {
  const { classes } = automaton
  const { length } = text
  const bytes = copyText(text)
  const end = plainEnd(automaton, text)
  const patternCount = automaton.program.entries.length
  let statesLeft = statesAllowed(budget)
  let left = patternCount
  for (let k = 0; k < patternCount; k++) left -= into[k]!
  let next = start(automaton)
  let { table } = automaton
  let state = 0
  let i = -1
  for (;;) {
    if (next < 0) {
      if (next === dead) break
      next = -next
      for (const pattern of automaton.accepts[next / automaton.stride - 1]!) {
        if (into[pattern] === 1) continue
        into[pattern] = 1
        left--
      }
      if (left === 0) break
    }
    state = next
    if (++i > length) break
    if (bytes !== undefined) {
      for (; i < end; i++) {
        const next = table[state + classes[bytes[i]!]!]!
        if (next === state) continue
        if (next <= 0) break
        state = next
      }
    } else {
      for (; i < end; i++) {
        const next = table[state + classes[text.charCodeAt(i) & 0xff]!]!
        if (next === state) continue
        if (next <= 0) break
        state = next
      }
    }
    const byteClass = classAt(automaton, text, i, end)
    next = table[state + byteClass]!
    if (next === unknown) {
      if (statesLeft-- <= 0) {
        charge(budget, i)
        return false
      }
      next = buildState(automaton, state, byteClass, budget)
      table = automaton.table
    }
  }
  charge(budget, Math.min(Math.max(i, 0), length))
  return true
}

/** The number of the state behind each byte of a text; -1 where no pattern can be found any more. Not for `single`. */
export function traceStates(automaton: Automaton, text: string): Int32Array {
  const trace = new Int32Array(text.length).fill(-1)
  const end = plainEnd(automaton, text)
  let state = start(automaton)
  for (let i = 0; i < text.length && state !== dead; i++) {
    state = Math.abs(state)
    const byteClass = classAt(automaton, text, i, end)
    const next = automaton.table[state + byteClass]!
    state = next === unknown ? nextState(automaton, state, byteClass) : next
    trace[i] = state === dead ? -1 : Math.abs(state) / automaton.stride
  }
  return trace
}

function start(automaton: Automaton): number {
  automaton.used = true
  work = 0
  // First, as this one is more often passed through than entered, and others are made from it.
  if (automaton.stateCount === 0 && automaton.anywhere >= 0) enterIdle(automaton)
  return firstState(automaton)
}

/** Builds the states in which nothing is under way, for each context that the beginnings ask for. */
function enterIdle(automaton: Automaton): void {
  const asked = traitsOf(automaton, automaton.anywhere) & (contextWord | contextNewline)
  for (const context of [0, contextWord, contextNewline]) {
    if ((context & asked) !== context) continue
    prepareScratch(automaton.program.count)
    targetCount = 0
    targetMatched = false
    enter(automaton, context)
  }
}

function statesAllowed(budget: Budget | undefined): number {
  return budget === undefined ? statesPerScanMax : Math.min(statesPerScanMax, budget.statesLeft)
}

/** Up to where bytes are just bytes: a newline at the end is more than that where a pattern asks. */
function plainEnd(automaton: Automaton, text: string): number {
  const { length } = text
  return automaton.program.lastNewline && length > 0 && text.charCodeAt(length - 1) === 0x0a ? length - 1 : length
}

function classAt(automaton: Automaton, text: string, i: number, end: number): number {
  if (i < end) return automaton.classes[text.charCodeAt(i) & 0xff]!
  return i < text.length ? automaton.program.classCount : automaton.program.classCount + 1
}

function buildState(automaton: Automaton, state: number, byteClass: number, budget: Budget | undefined): number {
  if (budget !== undefined) {
    budget.statesLeft--
    if (work > chargeSteps) charge(budget, 0)
  }
  return nextState(automaton, state, byteClass)
}

function charge(budget: Budget | undefined, bytes: number): void {
  if (budget !== undefined) spendSteps(budget, bytes + work)
  work = 0
}

let simulatedTo = 0

/**
 * Goes on from a state without building others, up to where nothing is under way: a state, and `simulatedTo` is what to
 * read next. Or `matched`, or `dead`.
 */
function simulate(
  automaton: Automaton,
  state: number,
  text: string,
  from: number,
  end: number,
  budget: Budget | undefined,
): number {
  const number = state / automaton.stride - 1
  let context = automaton.contexts[number]!
  const first = automaton.starts[number]!
  prepareScratch(automaton.program.count)
  let count = automaton.starts[number + 1]! - first
  source.set(automaton.items.subarray(first, first + count))
  for (let i = from; i <= text.length; i++) {
    const byteClass = classAt(automaton, text, i, end)
    stepAll(automaton, source, 0, count, context, byteClass)
    simulatedTo = i + 1
    if (targetMatched) return matched
    context = contextAfter(automaton, byteClass)
    if (targetCount === 0) return enter(automaton, context)
    if (work > chargeSteps) {
      charge(budget, 0)
      // Places looked at take memory too, if little.
      if (automaton.bytes > automaton.bytesMax) automaton.drop()
    }
    count = targetCount
    const spare = source
    source = target
    target = spare
  }
  return dead
}

import { type Budget, spendSteps } from './budget.ts'
import {
  atBoundary,
  atEnd,
  atEndOrLastNewline,
  atLineEnd,
  atLineStart,
  atStart,
  opAssert,
  opMatch,
  opSave,
  opSet,
  opSplit,
  type Program,
} from './program.ts'

/** How often work is charged to the budget, in steps. */
const chargeSteps = 10_000

/** A program, and what is known of its places before any text is seen. */
export interface CaptureMachine {
  readonly program: Program
  /** Of each place a bit for each class that a byte at hand may have for anything to come of it; the last is the end. */
  readonly hopes: Uint32Array
  readonly hopeWords: number
}

export function createCaptureMachine(program: Program): CaptureMachine {
  const { count, op, value, next, exitCount, exits, classCount, member } = program
  const hopeWords = (classCount >> 5) + 1
  const hopes = new Uint32Array(count * hopeWords)
  for (let place = 0; place < count; place++) {
    if (op[place] === opMatch) hopes.fill(0xffffffff, place * hopeWords, (place + 1) * hopeWords)
    if (op[place] !== opSet) continue
    for (let k = 0; k < classCount; k++) {
      if (member[value[place]! * classCount + k] === 1) hopes[place * hopeWords + (k >> 5)]! |= 1 << (k & 31)
    }
  }
  // What follows mostly has the lower number, so that few rounds settle all; loops take another.
  for (let changed = true; changed; ) {
    changed = false
    for (let place = 0; place < count; place++) {
      if (op[place] === opMatch || op[place] === opSet) continue
      const split = op[place] === opSplit
      const ways = split ? exitCount[place]! : 1
      for (let way = 0; way < ways; way++) {
        const to = split ? exits[next[place]! + way]! : next[place]!
        for (let word = 0; word < hopeWords; word++) {
          const before = hopes[place * hopeWords + word]!
          const after = (before | hopes[to * hopeWords + word]!) >>> 0
          if (after === before) continue
          hopes[place * hopeWords + word] = after
          changed = true
        }
      }
    }
  }
  return { program, hopes, hopeWords }
}

/** Working space, shared by all calls: they do not interleave. */
let marks = new Int32Array(0)
let generation = 0
let current = new Int32Array(0)
let following = new Int32Array(0)
/** Slots of the threads, by place. */
let currentSlots = new Int32Array(0)
let followingSlots = new Int32Array(0)
/** Of pending work: a place; or the complement of a slot, below it the value that the slot is given back. */
let stack = new Int32Array(256)

function prepare(program: Program): void {
  const { count, slotCount } = program
  if (marks.length < count) {
    marks = new Int32Array(count)
    current = new Int32Array(count)
    following = new Int32Array(count)
    generation = 0
  }
  if (currentSlots.length < count * slotCount) {
    currentSlots = new Int32Array(count * slotCount)
    followingSlots = new Int32Array(count * slotCount)
  }
}

/**
 * Where the first match in a text begins and ends, and its groups: two slots each, -1 where a group took no part. The
 * match is the one that backtracking would find first, found by following all ways at once in the order of preference
 * (Pike's machine), so that the time is bounded by text × pattern. `from` is a place before which no match begins.
 */
export function findCaptures(
  machine: CaptureMachine,
  text: string,
  from: number,
  budget: Budget | undefined,
): Int32Array | undefined {
  const { program, hopes, hopeWords } = machine
  prepare(program)
  const { op, value, next, exitCount, exits, slotCount, classes, classCount } = program
  const { length } = text
  const slots = new Int32Array(slotCount)
  const entry = program.entries[0]!
  let found: Int32Array | undefined
  let count = 0
  let work = 0
  for (let at = from; ; at++) {
    const byteClass = at < length ? classes[text.charCodeAt(at) & 0xff]! : classCount
    const hopeWord = byteClass >> 5
    const hopeBit = 1 << (byteClass & 31)
    if (++generation === 0x7fffffff) {
      marks.fill(0)
      generation = 1
    }
    let followingCount = 0
    let decided = false
    // The threads of this place, best first: those that came here over a byte, then one that begins here.
    const threads = found === undefined ? count + 1 : count
    for (let i = 0; i < threads && !decided; i++) {
      let place = entry
      if (i < count) {
        const thread = current[i]!
        place = next[thread]!
        const base = thread * slotCount
        for (let slot = 0; slot < slotCount; slot++) slots[slot] = currentSlots[base + slot]!
      } else {
        slots.fill(-1)
      }
      if ((hopes[place * hopeWords + hopeWord]! & hopeBit) === 0) continue
      let height = 0
      stack[height++] = place
      while (height > 0) {
        place = stack[--height]!
        if (place < 0) {
          slots[~place] = stack[--height]!
          continue
        }
        if (marks[place] === generation) continue
        marks[place] = generation
        work++
        if (height + 3 >= stack.length) reserve(height + 3)
        switch (op[place]) {
          case opSet: {
            const base = place * slotCount
            for (let slot = 0; slot < slotCount; slot++) followingSlots[base + slot] = slots[slot]!
            following[followingCount++] = place
            break
          }
          case opSave: {
            const slot = value[place]!
            stack[height++] = slots[slot]!
            stack[height++] = ~slot
            slots[slot] = at
            stack[height++] = next[place]!
            break
          }
          case opAssert:
            if (holdsAt(value[place]!, text, at)) stack[height++] = next[place]!
            break
          case opMatch:
            // What ranks lower is cut.
            found = slots.slice()
            decided = true
            height = 0
            break
          default: {
            const first = next[place]!
            const ways = exitCount[place]!
            if (height + ways >= stack.length) reserve(height + ways)
            for (let way = ways - 1; way >= 0; way--) {
              const to = exits[first + way]!
              if ((hopes[to * hopeWords + hopeWord]! & hopeBit) !== 0) stack[height++] = to
            }
          }
        }
      }
    }
    work++
    if (work > chargeSteps) {
      if (budget !== undefined) spendSteps(budget, work)
      work = 0
    }
    count = followingCount
    if (at >= length || (count === 0 && found !== undefined)) break
    const spare = current
    current = following
    following = spare
    const spareSlots = currentSlots
    currentSlots = followingSlots
    followingSlots = spareSlots
  }
  if (budget !== undefined) spendSteps(budget, work)
  return found
}

function reserve(height: number): void {
  if (height < stack.length) return
  const larger = new Int32Array(height * 2)
  larger.set(stack)
  stack = larger
}

/** Whether an assertion holds before the byte at a place. */
function holdsAt(kind: number, text: string, at: number): boolean {
  const { length } = text
  switch (kind) {
    case atStart:
      return at === 0
    case atEnd:
      return at === length
    case atEndOrLastNewline:
      return at === length || (at === length - 1 && text.charCodeAt(at) === 0x0a)
    case atLineStart:
      return at === 0 || (at < length && text.charCodeAt(at - 1) === 0x0a)
    case atLineEnd:
      return at === length || text.charCodeAt(at) === 0x0a
    default:
      return (isWordAt(text, at - 1) !== isWordAt(text, at)) === (kind === atBoundary)
  }
}

function isWordAt(text: string, at: number): boolean {
  if (at < 0 || at >= text.length) return false
  const byte = text.charCodeAt(at)
  return (
    (byte >= 0x61 && byte <= 0x7a) || (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x30 && byte <= 0x39) || byte === 0x5f
  )
}

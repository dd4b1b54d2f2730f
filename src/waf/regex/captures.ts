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
  type Program,
} from './program.ts'

/** How often work is charged to the budget, in steps. */
const chargeSteps = 10_000

/** Working space, shared by all calls: they do not interleave. */
let marks = new Int32Array(0)
let generation = 0
let current = new Int32Array(0)
let following = new Int32Array(0)
/** Slots of the threads, by place. */
let currentSlots = new Int32Array(0)
let followingSlots = new Int32Array(0)
/** Of pending work: a place, or below zero a slot whose value is to be put back. */
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
 *
 * Differs from backtracking in one point: a group in a loop whose body matches nothing at last keeps what it held
 * before, as in RE2; `(a*)+` on "aa" holds "aa", not "".
 */
export function findCaptures(
  program: Program,
  text: string,
  from: number,
  budget: Budget | undefined,
): Int32Array | undefined {
  prepare(program)
  const { op, value, next, exitCount, exits, slotCount, classes, classCount, member } = program
  const { length } = text
  const slots = new Int32Array(slotCount).fill(-1)
  const entry = program.entries[0]!
  let found: Int32Array | undefined
  let count = 0
  let work = 0
  for (let at = from; ; at++) {
    const byteClass = at < length ? classes[text.charCodeAt(at) & 0xff]! : -1
    // The threads of this place, best first: those that came here over a byte, then one that begins here.
    generation++
    if (generation === 0x7fffffff) {
      marks.fill(0)
      generation = 1
    }
    let followingCount = 0
    let decided = false
    for (let i = 0; i < count && !decided; i++) {
      const place = current[i]!
      for (let slot = 0; slot < slotCount; slot++) slots[slot] = currentSlots[place * slotCount + slot]!
      decided = follow(next[place]!)
    }
    if (!decided && found === undefined) {
      slots.fill(-1)
      decided = follow(entry)
    }
    if (work > chargeSteps) {
      if (budget !== undefined) spendSteps(budget, work)
      work = 0
    }
    count = followingCount
    if (byteClass < 0 || (count === 0 && found !== undefined)) break
    const spare = current
    current = following
    following = spare
    const spareSlots = currentSlots
    currentSlots = followingSlots
    followingSlots = spareSlots

    /** Adds the threads behind a place that can take the byte at hand. True where the match is reached: what ranks lower is cut. */
    function follow(start: number): boolean {
      let height = 0
      stack[height++] = start
      while (height > 0) {
        const place = stack[--height]!
        if (place < 0) {
          // Two entries: the slot, below it its former value.
          slots[~place] = stack[--height]!
          continue
        }
        if (marks[place] === generation) continue
        marks[place] = generation
        work++
        switch (op[place]) {
          case opSet:
            if (byteClass >= 0 && member[value[place]! * classCount + byteClass] === 1) {
              for (let slot = 0; slot < slotCount; slot++) followingSlots[place * slotCount + slot] = slots[slot]!
              following[followingCount++] = place
            }
            break
          case opSave: {
            reserve(height + 3)
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
            found = slots.slice()
            return true
          default: {
            reserve(height + exitCount[place]!)
            const first = next[place]!
            for (let i = exitCount[place]! - 1; i >= 0; i--) stack[height++] = exits[first + i]!
          }
        }
      }
      return false
    }
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

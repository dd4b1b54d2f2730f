import { RE2JS } from 're2js'
import { type Expression, type Node, parsePattern, printForRe2 } from './pattern-syntax.ts'

/*
 * `pattern` keywords come from whoever wrote the document, values from whoever calls. A backtracking engine can need
 * time quadratic or exponential in the value, so a pattern is judged once, when it is compiled:
 *
 * 1. Anchored at the start and strongly deterministic (at every place the next character decides what happens): the
 *    native engine is linear. This covers most patterns that people write.
 * 2. Else an upper bound on the native engine's steps is known as a function of the value's length. Where that is small,
 *    the native engine runs; where it is not, RE2 does, which is linear but slower.
 * 3. Look-around and back-references are beyond RE2. Past the length where the native bound grows too large, the answer
 *    is `undecided`, which validators report as an error: what cannot be checked is not let in.
 */

/** Work that one message may cause in patterns, in steps of about 3 ns: some 40 ms altogether. */
export interface PatternBudget {
  left: number
}

export const patternStepsMax = 12_000_000

/** A pattern of a document, safe to run on a caller's value. */
export interface Pattern {
  readonly source: string
  /** How values are matched: `linear` natively at every length, `guarded` by bounds. */
  readonly kind: 'linear' | 'guarded'
  /** `undefined`: too long for this pattern, or the budget is spent. */
  readonly test: (value: string, budget: PatternBudget) => boolean | undefined
}

/** A step of RE2, in steps of the native engine (12 ns against 3 ns, measured on hostile automata). */
const re2StepCost = 4
/** Superlinear native runs stay below this, about 6 µs, and only while half of the budget is left. */
const nativeStepsMax = 2_000
/** Up to so many native steps a character, RE2 is not worth its call. */
const nativeStepsPerCharacter = 16

/** Compiles a pattern of ECMA-262 (RFC 8259 strings, not anchored). Throws `SyntaxError` when it is none. */
export function compilePattern(source: string): Pattern {
  const native = compileNative(source)
  const expression = parsePattern(source, native.unicode)
  if (expression !== undefined && isAnchored(expression.root) && isDeterministic(expression.root))
    return { source, kind: 'linear', test: (value) => native.test(value) }
  const steps = expression === undefined ? blindSteps(source) : stepBound(expression)
  // Compiled on first need: most guarded patterns only ever see short values.
  let re2: RE2JS | null | undefined
  const re2Steps = expression === undefined ? 0 : programSize(expression.root) * re2StepCost
  return {
    source,
    kind: 'guarded',
    test(value, budget) {
      const cost = steps(value.length)
      const cheap = value.length * nativeStepsPerCharacter
      if (cost <= cheap || (cost <= nativeStepsMax && budget.left > patternStepsMax / 2)) {
        if (cost > budget.left) return undefined
        budget.left -= cost
        return native.test(value)
      }
      if (re2 === undefined) re2 = compileRe2(expression)
      const guardedCost = re2 === null ? cost : value.length * re2Steps
      if (guardedCost > budget.left) return undefined
      budget.left -= guardedCost
      return re2 === null ? native.test(value) : re2.test(value)
    },
  }
}

function compileNative(source: string): RegExp {
  try {
    return new RegExp(source, 'u')
  } catch {
    // Escapes such as `\-` are no syntax in unicode mode, but common.
    return new RegExp(source)
  }
}

function compileRe2(expression: Expression | undefined): RE2JS | null {
  if (expression === undefined) return null
  const printed = printForRe2(expression.root)
  if (printed === undefined) return null
  try {
    return RE2JS.compile(printed)
  } catch {
    return null // A repetition over 1,000, an unknown script: RE2 has its limits.
  }
}

function isAnchored(node: Node): boolean {
  switch (node.kind) {
    case 'assert':
      return node.what === '^'
    case 'cat':
      return node.parts.length > 0 && isAnchored(node.parts[0]!)
    case 'alt':
      return node.parts.every(isAnchored)
    default:
      return false
  }
}

/** Characters that can stand next, with the ways that lead there; built bottom-up as by Glushkov (1961). */
interface Ends {
  readonly first: readonly number[]
  readonly last: readonly number[]
  /** In how many ways the node matches nothing. */
  readonly empty: number
}

const positionsMax = 400

/**
 * Whether at every place at most one way leads on, for every next character, counting ways and not just places: in
 * `(a*)*` both stars lead from `a` to the same `a`, which is what makes it explode. Counted repetitions count as
 * loops, which only adds ways.
 */
function isDeterministic(root: Node): boolean {
  const sets: (readonly number[])[] = []
  const follow: number[][] = []
  let sound = true
  const connect = (from: readonly number[], to: readonly number[]) => {
    for (const position of from) {
      follow[position]!.push(...to)
      if (follow[position]!.length > positionsMax) sound = false
    }
  }
  const walk = (node: Node): Ends => {
    if (!sound) return nothing
    switch (node.kind) {
      case 'assert':
        return nothing
      case 'set': {
        const position = sets.push(node.ranges) - 1
        follow.push([])
        if (position >= positionsMax) sound = false
        return { first: [position], last: [position], empty: 0 }
      }
      case 'cat': {
        let ends: Ends = nothing
        for (const part of node.parts) {
          const next = walk(part)
          connect(ends.last, next.first)
          ends = {
            first: ends.empty > 0 ? [...ends.first, ...next.first] : ends.first,
            last: next.empty > 0 ? [...ends.last, ...next.last] : next.last,
            empty: ends.empty * next.empty,
          }
        }
        return ends
      }
      case 'alt': {
        const parts = node.parts.map(walk)
        const empty = parts.reduce((sum, part) => sum + part.empty, 0)
        // Two ways to match nothing double the work at each turn of a loop around them.
        if (empty > 1) sound = false
        return { first: parts.flatMap((part) => part.first), last: parts.flatMap((part) => part.last), empty }
      }
      case 'repeat': {
        const body = walk(node.body)
        if (body.empty > 0) sound = false
        if (node.max > 1) connect(body.last, body.first)
        return node.max === 0 ? nothing : { ...body, empty: node.min === 0 ? 1 : 0 }
      }
      default:
        sound = false
        return nothing
    }
  }
  const whole = walk(root)
  return sound && [whole.first, ...follow].every((next) => areDisjoint(next.map((at) => sets[at]!)))
}

const nothing: Ends = { first: [], last: [], empty: 1 }

/** Whether no character is in two of the sets. */
function areDisjoint(sets: readonly (readonly number[])[]): boolean {
  if (sets.length < 2) return true
  const ranges: [number, number][] = []
  for (const set of sets) for (let i = 0; i < set.length; i += 2) ranges.push([set[i]!, set[i + 1]!])
  ranges.sort((a, b) => a[0] - b[0])
  return ranges.every((range, i) => i === 0 || ranges[i - 1]![1] < range[0])
}

/**
 * An upper bound on the native engine's steps for a value of `length` characters: starting places, times the ways
 * through the expression, times what is walked without a choice.
 */
function stepBound(expression: Expression): (length: number) => number {
  const { root } = expression
  const anchored = isAnchored(root)
  const chain = fixedLength(root) + 1
  return (length) => {
    const looks = { steps: 1 }
    const ways = countWays(root, length, looks)
    return (anchored ? 1 : length + 1) * ways * looks.steps * Math.min(chain, length + 1)
  }
}

function countWays(node: Node, length: number, looks: { steps: number }): number {
  switch (node.kind) {
    case 'cat':
      return node.parts.reduce((product, part) => product * countWays(part, length, looks), 1)
    case 'alt':
      return node.parts.reduce((sum, part) => sum + countWays(part, length, looks), 0)
    case 'look': {
      // Look-around is atomic (ECMA-262, 22.2.2.4): its ways are walked, and then forgotten.
      const inner = { steps: 1 }
      looks.steps += countWays(node.body, length, inner) * inner.steps * (fixedLength(node.body) + 1)
      return 1
    }
    case 'repeat': {
      const times = Math.min(node.max, length + 1)
      if (times <= node.min)
        return node.body.kind === 'set' ? 1 : countWays(node.body, length, looks) ** Math.max(times, 1)
      if (node.body.kind === 'set') return times - node.min + 1
      const each = Math.max(countWays(node.body, length, looks), 1)
      return each === 1 ? times - node.min + 1 : each ** times * 2
    }
    default:
      return 1
  }
}

/** Characters (and empty checks) that are walked without a choice. */
function fixedLength(node: Node): number {
  switch (node.kind) {
    case 'cat':
      return node.parts.reduce((sum, part) => sum + fixedLength(part), 0)
    case 'alt':
      return node.parts.reduce((longest, part) => Math.max(longest, fixedLength(part)), 0)
    case 'repeat':
      return fixedLength(node.body) * Math.max(node.min, 1)
    default:
      return 1
  }
}

/** Places in the expression with counted repetitions written out: what RE2 has to keep track of. */
function programSize(node: Node): number {
  switch (node.kind) {
    case 'cat':
    case 'alt':
      return node.parts.reduce((sum, part) => sum + programSize(part), 1)
    case 'repeat':
      return programSize(node.body) * (node.max === Number.POSITIVE_INFINITY ? node.min + 1 : Math.max(node.max, 1)) + 1
    case 'look':
      return programSize(node.body) + 1
    default:
      return 1
  }
}

/** For syntax this file does not read, such as modifiers: as if every character were a choice of everything. */
function blindSteps(source: string): (length: number) => number {
  const choices = 1 + source.replace(/[^|*+?{]/g, '').length
  return (length) => (length + 1) * (choices + 1) ** length
}

import type { Node } from './ast.ts'
import { type Automaton, createAutomaton, locate, notFound, search } from './automaton.ts'
import type { Budget } from './budget.ts'
import { type CaptureMachine, createCaptureMachine, findCaptures } from './captures.ts'
import { PatternError } from './error.ts'
import { type CacheMemory, commonMemory } from './memory.ts'
import { parsePattern } from './parse.ts'
import { compileProgram, countPlaces, placesMax } from './program.ts'
import { trim } from './simplify.ts'

export type { Node } from './ast.ts'
export { type Budget, BudgetExceeded, createBudget } from './budget.ts'
export { PatternError } from './error.ts'
export { type CacheMemory, createCacheMemory } from './memory.ts'

/**
 * A regular expression over bytes: texts are strings in which each character is one byte. Time is linear in the text,
 * whatever the pattern and the text are.
 */
export interface Pattern {
  readonly source: string
  readonly ast: Node
  /** How many groups capture. */
  readonly captureCount: number
  /** Whether the pattern is found anywhere in the text. Throws `BudgetExceeded`. */
  test(text: string, budget?: Budget): boolean
  /**
   * The match that backtracking finds first, as a list: the whole at 0, then the groups; undefined for a group that took
   * no part. Undefined where the pattern is not found. Matches begin at `from` or later; `^` and `\b` see the text before
   * it. Throws `BudgetExceeded`.
   */
  exec(text: string, budget?: Budget, from?: number): readonly (string | undefined)[] | undefined
  /** Where the match of `exec` begins and ends. */
  find(text: string, from: number, budget?: Budget): { readonly start: number; readonly end: number } | undefined
}

export interface PatternOptions {
  readonly ignoreCase?: boolean
  /** Whose bound on memory counts; by default one for all patterns of the process. */
  readonly memory?: CacheMemory
}

/** What the automaton of one pattern may take before it starts again. */
const patternBytesMax = 1024 * 1024

/**
 * Compiles a pattern of PCRE's syntax as SecLang means it: `.` matches newlines, `$` only the end, letters fold in ASCII
 * only. Throws `PatternError` for what is malformed or not regular. Automata are built while they are used.
 */
export function compilePattern(source: string, options: PatternOptions = {}): Pattern {
  const { node, captureCount } = parsePattern(source, options)
  if (countPlaces(node) > placesMax)
    throw new PatternError('counted repeats that unfold to more than 100,000 places', source, 0)
  const memory = options.memory ?? commonMemory
  let automaton: Automaton | undefined
  let machine: CaptureMachine | undefined
  let locator: Automaton | undefined
  return {
    source,
    ast: node,
    captureCount,
    test(text, budget) {
      automaton ??= createAutomaton(compileProgram([trim(node)]), { memory, bytesMax: patternBytesMax, single: true })
      return search(automaton, text, budget)
    },
    exec(text, budget, from = 0) {
      const slots = match(text, from, budget)
      if (slots === undefined) return undefined
      const found: (string | undefined)[] = []
      for (let i = 0; i <= captureCount; i++) {
        const start = slots[i * 2] ?? -1
        const end = slots[i * 2 + 1] ?? -1
        found.push(start < 0 || end < 0 ? undefined : text.slice(start, end))
      }
      return found
    },
    find(text, from, budget) {
      const slots = match(text, from, budget)
      return slots === undefined ? undefined : { start: slots[0]!, end: slots[1]! }
    },
  }

  function match(text: string, from: number, budget: Budget | undefined): Int32Array | undefined {
    machine ??= createCaptureMachine(compileProgram([node], true))
    locator ??= createAutomaton(machine.program, {
      memory,
      bytesMax: patternBytesMax,
      single: true,
      tracksBegin: true,
    })
    const begin = locate(locator, text, from, budget)
    return begin === notFound ? undefined : findCaptures(machine, text, begin, budget)
  }
}

import type { Node } from './ast.ts'
import { type Automaton, createAutomaton, locate, notFound, search } from './automaton.ts'
import type { Budget } from './budget.ts'
import { findCaptures } from './captures.ts'
import { PatternError } from './error.ts'
import { type CacheMemory, commonMemory } from './memory.ts'
import { parsePattern } from './parse.ts'
import { compileProgram, type Program, ProgramTooLarge } from './program.ts'
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
   * no part. Undefined where the pattern is not found. Throws `BudgetExceeded`.
   */
  exec(text: string, budget?: Budget): readonly (string | undefined)[] | undefined
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
  const memory = options.memory ?? commonMemory
  let automaton: Automaton | undefined
  let program: Program | undefined
  let locator: Automaton | undefined
  return {
    source,
    ast: node,
    captureCount,
    test(text, budget) {
      automaton ??= createAutomaton(compile(trim(node), false), { memory, bytesMax: patternBytesMax, single: true })
      return search(automaton, text, budget)
    },
    exec(text, budget) {
      program ??= compile(node, true)
      locator ??= createAutomaton(program, { memory, bytesMax: patternBytesMax, single: true })
      const from = locate(locator, text, budget)
      if (from === notFound) return undefined
      const slots = findCaptures(program, text, from, budget)
      if (slots === undefined) return undefined
      const found: (string | undefined)[] = []
      for (let i = 0; i <= captureCount; i++) {
        const start = slots[i * 2] ?? -1
        const end = slots[i * 2 + 1] ?? -1
        found.push(start < 0 || end < 0 ? undefined : text.slice(start, end))
      }
      return found
    },
  }

  function compile(tree: Node, captures: boolean): Program {
    try {
      return compileProgram([tree], captures)
    } catch (error) {
      if (error instanceof ProgramTooLarge) throw new PatternError('repeats that unfold to too many places', source, 0)
      throw error
    }
  }
}

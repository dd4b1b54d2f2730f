import { createAutomaton, searchAll } from './automaton.ts'
import type { Budget } from './budget.ts'
import type { Pattern } from './index.ts'
import { type CacheMemory, commonMemory } from './memory.ts'
import { compileProgram } from './program.ts'
import { trim } from './simplify.ts'

/** Many patterns searched for in one pass over a text. */
export interface PatternSet {
  readonly patterns: readonly Pattern[]
  /**
   * Sets `into[i]` to 1 where pattern i is found in the text. What is 1 already stays and is not searched for to an end:
   * hand in zeros. Throws `BudgetExceeded`.
   */
  matches(text: string, into: Uint8Array, budget?: Budget): void
  /** How many states are built at present, and what they take. */
  readonly size: { readonly states: number; readonly bytes: number }
}

export interface PatternSetOptions {
  readonly memory?: CacheMemory
  readonly bytesMax?: number
}

/** What the automaton of one set may take before it starts again. */
const setBytesMax = 4 * 1024 * 1024

/**
 * One automaton for several patterns. Its states are combinations of theirs: fine for patterns that rarely begin in the
 * texts at hand, see `groupPatterns`. Where a text asks for too many states, each pattern is searched for on its own.
 */
export function compileSet(patterns: readonly Pattern[], options: PatternSetOptions = {}): PatternSet {
  const program = compileProgram(patterns.map((pattern) => trim(pattern.ast)))
  const automaton = createAutomaton(program, {
    memory: options.memory ?? commonMemory,
    bytesMax: options.bytesMax ?? setBytesMax,
    single: false,
  })
  return {
    patterns,
    matches(text, into, budget) {
      if (searchAll(automaton, text, budget, into)) return
      for (let i = 0; i < patterns.length; i++) if (into[i] === 0 && patterns[i]!.test(text, budget)) into[i] = 1
    },
    get size() {
      return { states: automaton.stateCount, bytes: automaton.bytes }
    },
  }
}

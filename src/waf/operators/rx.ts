import type { Budget } from '../regex/budget.ts'
import { PatternError } from '../regex/error.ts'
import { compilePattern, type Pattern } from '../regex/index.ts'
import type { Place } from '../seclang/rule.ts'
import { capturesMax, type Operator, OperatorError } from './operator.ts'

/** The pattern matches somewhere in the value. Captures the match and its groups. */
export function rx(argument: string, place: Place, budget?: Budget): Operator {
  const pattern = compileAt(argument, place)
  const isWhole = spansWhole(pattern)
  return {
    test: (value) => pattern.test(value, budget),
    captures(value) {
      if (isWhole) return pattern.test(value, budget) ? [value] : undefined
      return pattern.exec(value, budget)?.slice(0, capturesMax)
    },
  }
}

/** Whether a match is always the whole value, and has no groups: then nobody need look for where it begins and ends. */
function spansWhole({ ast, captureCount }: Pattern): boolean {
  if (captureCount > 0 || ast.kind !== 'concat') return false
  const [first] = ast.parts
  const last = ast.parts.at(-1)
  return first?.kind === 'assertion' && first.at === 'start' && last?.kind === 'assertion' && last.at === 'end'
}

/** As `rx`, and captures one match after the other, each with its groups. */
export function rxGlobal(argument: string, place: Place, budget?: Budget): Operator {
  const pattern = compileAt(argument, place)
  return {
    test: (value) => pattern.test(value, budget),
    captures(value) {
      const first = pattern.exec(value, budget)
      if (first === undefined) return undefined
      const all: (string | undefined)[] = []
      for (let from = 0; from <= value.length && all.length < capturesMax; ) {
        const bounds = pattern.find(value, from, budget)
        if (bounds === undefined) break
        // What matches nothing matches everywhere: it counts only if there is nothing else.
        if (bounds.end > bounds.start) all.push(...(pattern.exec(value, budget, from) ?? []))
        from = bounds.end > bounds.start ? bounds.end : bounds.end + 1
      }
      return (all.length === 0 ? first : all).slice(0, capturesMax)
    },
  }
}

/** Compiles an operator's pattern; the error names the rule's place. */
export function compileAt(argument: string, place: Place): Pattern {
  try {
    return compilePattern(argument)
  } catch (error) {
    if (error instanceof PatternError) throw new OperatorError(place, error.message, { cause: error })
    throw error
  }
}

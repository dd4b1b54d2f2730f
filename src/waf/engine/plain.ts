import type { Phase } from '../seclang/rule.ts'
import { evaluateRule, finishRule, type Select } from './evaluate.ts'
import type { State } from './state.ts'
import { selectMembers } from './target.ts'
import { tick } from './time.ts'

/** All members that a target means. */
export const selectAll: Select = (state, _, target, excluded) => selectMembers(state, target, excluded)

/** Runs each rule of a phase on each value, nothing skipped: what every faster evaluator must agree with. */
export function runPlain(state: State, phase: Phase): void {
  const rules = state.program.phases[phase]
  let at = 0
  while (at < rules.length && !state.stopped) {
    const rule = rules[at]!
    tick(state)
    if (state.removed?.[rule.index] !== 1 && evaluateRule(state, rule, selectAll)) at = finishRule(state, rule)
    else at++
  }
}

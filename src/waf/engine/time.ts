import type { State } from './state.ts'

/** The request took more than its budget. Matching has an error of its own, `BudgetExceeded` of regex/. */
export class RequestTooCostly extends Error {
  override readonly name = 'RequestTooCostly'
}

/** Rules between two looks at the clock. */
const rulesPerLook = 64

/** To be called for each rule that is tested: throws when the request's time is over. */
export function tick(state: State): void {
  if (++state.ticks % rulesPerLook === 0) checkTime(state)
}

export function checkTime(state: State): void {
  const { now, budget } = state.program
  if (now === undefined) return
  if (state.spentMs + now() - state.beganAt > budget.millisecondsMax) {
    throw new RequestTooCostly(`rules took more than ${budget.millisecondsMax} ms`)
  }
}

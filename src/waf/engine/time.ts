import type { State } from './state.ts'

/** The request took more than its budget. Matching has an error of its own, `BudgetExceeded` of regex/. */
export class RequestTooCostly extends Error {
  override readonly name = 'RequestTooCostly'
}

/** Rules and values between two looks at the clock. */
const ticksPerLook = 64

/** To be called for each rule, and each value that one looks at: throws when the request's time is over. */
export function tick(state: State): void {
  if (++state.ticks % ticksPerLook === 0) checkTime(state)
}

export function checkTime(state: State): void {
  const { now, budget } = state.program
  if (now === undefined) return
  if (state.spentMs + now() - state.beganAt > budget.millisecondsMax) {
    throw new RequestTooCostly(`rules took more than ${budget.millisecondsMax} ms`)
  }
}

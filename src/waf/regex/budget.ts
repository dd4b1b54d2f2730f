/**
 * What the matching of one request may cost in all. A step is one byte looked up by an automaton, or one place of a
 * pattern looked at for one byte: some nanoseconds either way. A state is a new state of an automaton; without states
 * left matching goes on, without building any, at a higher price in steps.
 */
export interface Budget {
  stepsLeft: number
  statesLeft: number
  readonly stepsMax: number
  readonly statesMax: number
}

export interface BudgetLimits {
  readonly steps: number
  readonly states: number
}

/** No answer was found within the budget. Whoever set the budget says what follows from that. */
export class BudgetExceeded extends Error {
  override readonly name = 'BudgetExceeded'
  readonly stepsMax: number

  constructor(stepsMax: number) {
    super(`matching took more than ${stepsMax} steps`)
    this.stepsMax = stepsMax
  }
}

export function createBudget(limits: BudgetLimits): Budget {
  return { stepsLeft: limits.steps, statesLeft: limits.states, stepsMax: limits.steps, statesMax: limits.states }
}

/** Takes steps from a budget; throws `BudgetExceeded` where there are not so many left. */
export function spendSteps(budget: Budget, steps: number): void {
  budget.stepsLeft -= steps
  if (budget.stepsLeft < 0) throw new BudgetExceeded(budget.stepsMax)
}

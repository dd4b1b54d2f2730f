export type { Exclusion } from './controls.ts'
export { logLine } from './log-line.ts'
export {
  type BudgetOptions,
  type CollectionStore,
  compileProgram,
  defaultBudget,
  type Evaluator,
  type Program,
  type ProgramOptions,
  type Refinement,
  type RequestShape,
  type ValueCheck,
} from './program.ts'
export type {
  BeginOptions,
  Endpoint,
  Interruption,
  Match,
  RequestHead,
  ResponseHead,
  Trace,
  TransactionEvent,
} from './request.ts'
export type { Transaction } from './transaction.ts'

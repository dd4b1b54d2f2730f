import type { RangeSet } from '../base/ip.ts'

/**
 * What kind of value a name stands for. `any` is known only when a request is there, as with claims; `texts` is a set of
 * words, such as scopes; the kinds of time are numbers inside: `hour` 0 to 23, `time` minutes of the day, `weekday` 1
 * (Monday) to 7, `date` days since 1970.
 */
export type Kind =
  | 'text'
  | 'number'
  | 'truth'
  | 'texts'
  | 'any'
  | 'address'
  | 'hour'
  | 'time'
  | 'weekday'
  | 'date'
  | 'duration'

/** One thing that a rule can ask for. */
export interface Name<F> {
  readonly kind: Kind
  /**
   * `undefined`: it is not there. `unreadable`: it is there, but nobody can say what it is. Must not throw, and give the same
   * for the same facts.
   */
  readonly read: (facts: F) => unknown
}

/** In place of a value that different readers would read differently: no condition on it, nor on its presence, can be told. */
export const unreadable: unique symbol = Symbol('unreadable')

/** All that rules can ask for of some kind of facts. */
export interface RuleScope<F> {
  /** By whole name: `subject`, `operation.id`. */
  readonly names: ReadonlyMap<string, Name<F>>
  /** By first word: `claims` for `claims.address.country`. Takes what stands behind it; throws an Error where there is no such thing. */
  readonly families: ReadonlyMap<string, (path: readonly string[]) => Name<F>>
  /** Named address ranges: `office` in `ip in office`. */
  readonly places: Pick<ReadonlyMap<string, RangeSet>, 'get' | 'keys'>
  /** Milliseconds since the epoch; for `age`. */
  readonly now: (facts: F) => number
}

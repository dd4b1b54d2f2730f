import type { Place } from '../seclang/rule.ts'

/** The test that a rule makes of a value, compiled. Negation is the engine's. */
export interface Operator {
  test(value: string): boolean
  /** What `TX.0` to `TX.9` become after a match, where the operator says what it found. A group that took no part is `undefined`. */
  captures?(value: string): readonly (string | undefined)[] | undefined
}

/** How many of `TX.0` to `TX.9` there are. */
export const capturesMax = 10

/** A rule's operator cannot be used as it is written; the message begins with the place. */
export class OperatorError extends Error {
  override readonly name = 'OperatorError'
  readonly place: Place
  /** What is wrong, without the place. */
  readonly reason: string

  constructor(place: Place, reason: string, options?: { readonly cause: unknown }) {
    super(`${place.file}:${place.line}:${place.column}  ${reason}`, options)
    this.place = place
    this.reason = reason
  }
}

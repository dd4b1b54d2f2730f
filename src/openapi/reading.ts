import { at, type ComplaintOptions, type Complaints, type Spot } from './complaints.ts'
import { child } from './pointer.ts'
import type { References, Target } from './references.ts'
import type { Schemas } from './schemas.ts'

/** What everything that reads a document has in hand. */
export interface Reading {
  readonly references: References
  readonly schemas: Schemas
  readonly complaints: Complaints
}

export function under(spot: Spot, key: string | number): Spot {
  return at(spot, child(spot.pointer, key))
}

/** The object itself where a reference to one may stand; `undefined` after a complaint. */
export function follow(reading: Reading, spot: Spot, value: unknown): Target | undefined {
  const target = reading.references.follow(spot, value)
  if ('spot' in target) return target
  const options: ComplaintOptions = { at: 'value', ...(target.hint === undefined ? {} : { hint: target.hint }) }
  reading.complaints.error(target.code, under(spot, '$ref'), target.message, options)
  return undefined
}

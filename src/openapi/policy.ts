import type { Complaints, Spot } from './complaints.ts'
import { isObject, type JsonObject, setMember } from './pointer.ts'
import { under } from './reading.ts'

/** The key under which a document, a path item or an operation refines the configuration. */
export const policyKey = 'x-portcullis'

/** Where one layer of a policy stands, from the document down to the operation. */
export interface PolicyLayer {
  readonly value: JsonObject
  readonly spot: Spot
}

/** The layer that a holder adds, if it has one. */
export function policyLayer(holder: JsonObject, spot: Spot, complaints: Complaints): PolicyLayer | undefined {
  if (!Object.hasOwn(holder, policyKey)) return undefined
  const place = under(spot, policyKey)
  const value = holder[policyKey]
  if (isObject(value)) return { value, spot: place }
  complaints.error('P2006', place, `${policyKey} must be a map from guard names to their options`, { at: 'value' })
  return undefined
}

/** Maps are merged, key by key; everything else of a later layer replaces what an earlier one says. */
export function mergePolicy(layers: readonly PolicyLayer[]): Readonly<Record<string, unknown>> {
  let merged: JsonObject = {}
  for (const { value } of layers) merged = mergeMaps(merged, value)
  return merged
}

/** Lays a particular map over a general one, key by key and all the way down; a key `__proto__` stays a key. */
export function mergeMaps(general: JsonObject, particular: JsonObject): JsonObject {
  const merged = { ...general }
  for (const [key, value] of Object.entries(particular)) {
    const present = Object.hasOwn(merged, key) ? merged[key] : undefined
    setMember(merged, key, isObject(present) && isObject(value) ? mergeMaps(present, value) : value)
  }
  return merged
}

import type { ConfigError, Place } from '../base/errors.ts'
import { complaintsOf } from './complaints.ts'
import { object, z } from './language.ts'
import type { GuardShapes } from './load.ts'
import type { Entry, Tree } from './tree.ts'

/** What `x-portcullis` says of one operation, as it is about to be used. */
export interface Policy {
  readonly value: Readonly<Record<string, unknown>>
  /** The options of a guard with the policy laid over the API's. */
  readonly merged: (guard: string) => unknown
  /** Where a part of the policy was written; `[]` is `x-portcullis` itself. */
  readonly placeOf: (path: readonly string[], at: 'key' | 'value') => Place | undefined
}

/**
 * Checks an operation's `x-portcullis` by the shapes of the guards it refines: unknown keys are refused there as they
 * are in the configuration, with the place in the document or the Overlay.
 */
export function checkPolicy(policy: Policy, guards: readonly GuardShapes[]): ConfigError[] {
  const keys = Object.fromEntries(guards.map(({ name }) => [name, z.unknown().optional()]))
  const names = object({ ...keys, public: z.boolean().describe('Opens the operation to everyone.').optional() })
  const written = placed(policy.value, [], policy)
  const top = names.safeParse(policy.value)
  const errors = top.success
    ? []
    : complaintsOf(top.error.issues, { tree: written, shape: names, redact, name: 'x-portcullis' })
  for (const { name, options } of guards) {
    if (!Object.hasOwn(policy.value, name)) continue
    const merged = policy.merged(name)
    const read = options.safeParse(merged)
    if (read.success) continue
    const shape = object({ [name]: options })
    const tree = placed({ [name]: merged }, [], policy)
    const issues = read.error.issues.map((issue) => ({ ...issue, path: [name, ...issue.path] }))
    errors.push(...complaintsOf(issues, { tree, shape, redact }))
  }
  return errors
}

/** A document holds no placeholders. */
const redact = (text: string) => text

/** A value as the loader of the configuration would have read it from the document. */
function placed(value: unknown, path: readonly string[], policy: Policy): Tree {
  const place = (at: 'key' | 'value') => policy.placeOf(path, at) ?? { file: '', line: 1, column: 1 }
  if (Array.isArray(value)) {
    const items = value.map((item, index) => placed(item, [...path, String(index)], policy))
    return { kind: 'list', place: place('value'), items }
  }
  if (typeof value !== 'object' || value === null) return { kind: 'scalar', place: place('value'), value }
  const entries = new Map<string, Entry>()
  for (const [name, item] of Object.entries(value)) {
    const below = [...path, name]
    const tree = placed(item, below, policy)
    entries.set(name, { keyPlace: policy.placeOf(below, 'key') ?? tree.place, tree })
  }
  return { kind: 'map', place: place('value'), entries }
}

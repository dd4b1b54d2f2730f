import type { Principal } from '../../gate/principal.ts'
import type { PlanOptions } from './options.ts'

/** The plan of a caller, where they have one that some limit speaks of. */
export type PlanOf = (principal: Principal) => string | undefined

/**
 * Reads the plan of callers: what the configuration says of them, else their claim, else the default. A plan that no limit
 * speaks of counts as none: a token must not free its bearer by naming one.
 */
export function planReader({ claim, callers, default: otherwise }: PlanOptions, known: ReadonlySet<string>): PlanOf {
  const path = claim.split('.')
  const named = new Map(Object.entries(callers))
  return ({ via, application, subject, claims }) => {
    if (named.size > 0) {
      const plan = (application !== undefined && named.get(`${via}:${application}`)) || named.get(`${via}:${subject}`)
      if (plan) return plan
    }
    let value: unknown = claims
    for (const name of path) {
      value =
        typeof value === 'object' && value !== null && Object.hasOwn(value, name)
          ? (value as Record<string, unknown>)[name]
          : undefined
    }
    return typeof value === 'string' && known.has(value) ? value : otherwise
  }
}

import type { Step } from '../../gate/guard.ts'
import type { AuthPlan } from './plan.ts'

/**
 * A step whose refusals for want of a credential, or of a better one, show the way to it: browsers to the issuer,
 * programs to the metadata. For steps that are in force: one that only observes refuses nobody.
 */
export function showingTheWay(step: Step, plan: AuthPlan | undefined): Step {
  const { signIn, resource } = plan ?? {}
  if (signIn === undefined && resource === undefined) return step
  return (exchange) => {
    const verdict = step(exchange)
    if (verdict === undefined || verdict instanceof Promise) return verdict
    if (verdict.kind !== 'denial' || verdict.status !== 401) return verdict
    return signIn?.instead(exchange, verdict) ?? resource?.located(verdict, exchange) ?? verdict
  }
}

import { duration, object, z } from '../../config/language.ts'
import type { Principal } from '../../gate/principal.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import type { Operation } from '../../openapi/operation.ts'
import { matchShape } from '../match-shape.ts'
import { bearerChallenge } from './challenge.ts'
import { type AuthPlan, authPlanOf } from './plan.ts'

/** How, and how lately, a caller must have signed in for what is at stake (RFC 9470). */
export interface StepUpNeeds {
  /** Values of `acr` of which one will do. */
  readonly acr?: readonly string[]
  /** How long ago, at most, the caller signed in (`auth_time`). */
  readonly maxAgeSeconds?: number
}

const stepUpEntry = object({
  match: matchShape('Which operations: `op:refund`, `tag:admin`, `POST /payments/**`.'),
  acr: z
    .union([
      z
        .string()
        .min(1)
        .transform((one) => [one]),
      z.array(z.string().min(1)).min(1).max(16),
    ])
    .optional()
    .describe('The claim `acr` must be one of these, such as `mfa`.'),
  maxAge: duration('How long ago the caller may have signed in (`auth_time`), at most.').optional(),
}).refine(({ acr, maxAge }) => acr !== undefined || maxAge !== undefined, 'says neither "acr" nor "maxAge"')

/** The key `stepUp` of `auth`. */
export const stepUpShape = z
  .array(stepUpEntry)
  .max(1_000)
  .default([])
  .describe(
    'Operations for which callers must have signed in in a certain way or lately, all entries that match. Others are answered 401 `insufficient_user_authentication` with what to ask the issuer for (RFC 9470).',
  )

export type StepUpOptions = z.output<typeof stepUpShape>

/** One check for an operation; `undefined` where nothing is asked. */
export type StepUpCheck = (principal: Principal, now: number) => Denial | undefined

/** Whether a caller has signed in as is needed. Without the claims nothing is known, which is no. */
export function meetsStepUp({ claims }: Principal, { acr, maxAgeSeconds }: StepUpNeeds, nowMs: number): boolean {
  if (acr !== undefined && !(typeof claims.acr === 'string' && acr.includes(claims.acr))) return false
  if (maxAgeSeconds === undefined) return true
  const { auth_time: signedInAt } = claims
  if (typeof signedInAt !== 'number') return false
  const seconds = Math.floor(nowMs / 1000) - signedInAt
  return seconds >= -skewSeconds && seconds <= maxAgeSeconds
}

/** How far an issuer's clock may be ahead. A sign-in that is yet to come has not been. */
const skewSeconds = 60

/** The refusal that tells a client what to ask its issuer for (RFC 9470, 3). Made at load. */
export function stepUpDenial(
  operation: Operation,
  needs: StepUpNeeds,
  evidence?: unknown,
  plan: Pick<AuthPlan, 'tokenChallenge'> | undefined = authPlanOf(operation),
): Denial {
  const detail = 'This operation asks for another, or a more recent, sign-in. WWW-Authenticate tells which.'
  const parameters = {
    error: 'insufficient_user_authentication',
    error_description: 'A different authentication level is required',
    ...(needs.acr === undefined ? {} : { acr_values: needs.acr.join(' ') }),
    ...(needs.maxAgeSeconds === undefined ? {} : { max_age: String(needs.maxAgeSeconds) }),
  }
  const refusal = denial(401, 'auth.insufficient_user_authentication', detail, {
    headers: {
      'WWW-Authenticate': plan?.tokenChallenge(parameters) ?? bearerChallenge(operation.api, parameters),
    },
    evidence: evidence ?? needs,
  })
  stepUps.set(refusal, needs)
  return refusal
}

// What a refusal asks for, so that a browser can be sent to the issuer with it.
const stepUps = new WeakMap<Denial, StepUpNeeds>()

/** What a refusal made by `stepUpDenial` asks for. */
export function stepUpOf(refusal: Denial): StepUpNeeds | undefined {
  return stepUps.get(refusal)
}

/** What all entries together ask of the callers of one operation. */
export function compileStepUp(
  entries: StepUpOptions,
  operation: Operation,
  plan: Pick<AuthPlan, 'tokenChallenge'>,
): StepUpCheck | undefined {
  const fitting = entries.filter(({ match }) => match.selects(operation))
  if (fitting.length === 0) return undefined
  const checks = fitting.map(({ match, acr, maxAge }) => {
    const needs: StepUpNeeds = {
      ...(acr === undefined ? {} : { acr }),
      ...(maxAge === undefined ? {} : { maxAgeSeconds: Math.floor(maxAge / 1000) }),
    }
    return { needs, refusal: stepUpDenial(operation, needs, { rule: match.text, ...needs }, plan) }
  })
  return (principal, now) => checks.find(({ needs }) => !meetsStepUp(principal, needs, now))?.refusal
}

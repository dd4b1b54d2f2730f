import { ConfigError } from '../base/errors.ts'
import { object } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard } from '../gate/guard.ts'
import type { Principal } from '../gate/principal.ts'
import { type Denial, denial, type Verdict } from '../gate/verdict.ts'
import type { ApiDocument, Operation, SecurityScheme } from '../openapi/operation.ts'
import { bearerChallenge, unauthorized } from './auth/challenge.ts'
import { type AuthPlan, authPlanOf, holds, placeOf, severalProofsOf } from './auth/plan.ts'
import { showingTheWay } from './auth/way.ts'

/**
 * Lets a caller reach an operation only with the credentials that its document asks for. Nothing is open unless the
 * document says so with `security: []`, or `x-portcullis` with `public: true`.
 */
export const security: Guard<object> = {
  name: 'security',
  stage: 'authorize',
  options: object({}).prefault({}),
  setup: () => (operation) => {
    if (operation.kind !== 'listed') return undefined
    const demand = demandOf(operation)
    if (demand.kind === 'public') return undefined
    const plan = authPlanOf(operation)
    return { requestHead: showingTheWay(withStepUp(compileDemand(operation, demand), plan), plan) }
  },
}

/** What an operation asks of its callers. */
type Demand =
  | { readonly kind: 'public' }
  /** The document is silent: any credential will do. */
  | { readonly kind: 'anyone-known' }
  | { readonly kind: 'alternatives'; readonly alternatives: readonly Alternative[]; readonly optional: boolean }

/** All of these together. */
type Alternative = readonly Need[]

interface Need {
  readonly scheme: SecurityScheme
  readonly scopes: readonly string[]
}

function demandOf(operation: Operation): Demand {
  const said = operation.policy.public
  if (said !== undefined && typeof said !== 'boolean') {
    throw placed(operation, 'P1405', `${operation.id}: x-portcullis "public" must be true or false`)
  }
  if (said === true) return { kind: 'public' }
  const { security: requirements, document } = operation
  if (requirements === undefined) return { kind: 'anyone-known' }
  if (requirements.length === 0) return said === false ? { kind: 'anyone-known' } : { kind: 'public' }
  const alternatives = requirements
    .filter((requirement) => requirement.size > 0)
    .map((requirement) =>
      [...requirement].map(([name, scopes]): Need => {
        const scheme = document.securitySchemes.get(name)
        if (scheme !== undefined) return { scheme, scopes }
        throw placed(
          operation,
          'P1404',
          `${operation.id}: its security names "${name}", which the document does not define`,
        )
      }),
    )
  return { kind: 'alternatives', alternatives, optional: alternatives.length < requirements.length }
}

/** Whether an operation is open to everyone. */
export function isPublic(operation: Operation): boolean {
  return demandOf(operation).kind === 'public'
}

/** Whether an operation also serves callers who show no credential. */
export function isOpen(operation: Operation): boolean {
  const demand = demandOf(operation)
  return demand.kind === 'public' || (demand.kind === 'alternatives' && demand.optional)
}

/** Operations that neither ask for security nor say that they are open; a gate does not start with them unless told what they are. */
export function unsecuredOperations(document: ApiDocument): readonly Operation[] {
  return document.operations.filter(
    (operation) =>
      operation.kind === 'listed' && operation.security === undefined && operation.policy.public === undefined,
  )
}

/** The operations of a document, those that are silent about security opened to everyone: for `unsecured: public`. */
export function openUnsecured(document: ApiDocument): readonly Operation[] {
  const silent = new Set(unsecuredOperations(document))
  return document.operations.map((operation) => (silent.has(operation) ? { ...operation, security: [] } : operation))
}

function placed(operation: Operation, code: `P${number}`, message: string, hint?: string): ConfigError {
  return new ConfigError(code, message, {
    ...(operation.place === undefined ? {} : { place: operation.place }),
    ...(hint === undefined ? {} : { hint }),
  })
}

/** A need with the methods that fulfil it. */
interface Check {
  readonly need: Need
  readonly methods: ReadonlySet<string>
  /** Set where two keys are asked for at once, so that one key does not count for both. */
  readonly place: string | undefined
}

/** After the credential itself, how it came about (RFC 9470): who may come without one may not come here without. */
function withStepUp(step: Judge, plan: AuthPlan | undefined): Judge {
  const check = plan?.stepUp
  if (plan === undefined || check === undefined) return step
  const missing = credentialMissing(plan.challenge(plan.methods))
  return (exchange) => {
    const verdict = step(exchange)
    if (verdict !== undefined) return verdict
    const { principal } = exchange
    return principal === undefined ? missing : check(principal, exchange.receivedAt)
  }
}

type Judge = (exchange: Exchange) => Verdict

function compileDemand(operation: Operation, demand: Exclude<Demand, { kind: 'public' }>): Judge {
  const plan = authPlanOf(operation)
  if (plan === undefined || plan.methods.length === 0) {
    throw placed(operation, 'P1406', `${operation.id}: asks for a credential, but "auth" is off or lists no method`)
  }
  const { challenge, realm } = plan
  if (demand.kind === 'anyone-known') {
    const missing = credentialMissing(challenge(plan.methods))
    return ({ credentialDenial, principal }) => credentialDenial ?? (principal === undefined ? missing : undefined)
  }
  // Who may come without a credential may come with any; only one that is not believed is refused.
  if (demand.optional) return ({ credentialDenial }) => credentialDenial
  const alternatives = demand.alternatives
    .map((alternative) => checksOf(alternative, plan))
    .filter((checks) => checks.every(({ methods }) => methods.size > 0))
  if (alternatives.length === 0) throw unfulfillable(operation, demand.alternatives, plan)
  const invitation = challenge(
    plan.methods.filter((method) => alternatives.some((checks) => checks.some(({ methods }) => methods.has(method)))),
  )
  const missing = credentialMissing(invitation)
  const unfit = credentialUnfit(invitation)
  const scopeDenials = alternatives.map((checks) => scopeMissing(realm, checks))

  function judge(exchange: Exchange): Verdict {
    const { credentialDenial, principal } = exchange
    if (credentialDenial !== undefined) return credentialDenial
    if (principal === undefined) return missing
    let scopeDenial: Denial | undefined
    for (let i = 0; i < alternatives.length; i++) {
      const outcome = fulfils(alternatives[i]!, exchange, principal)
      if (outcome === 'yes') return undefined
      if (outcome === 'scopes-missing') scopeDenial ??= scopeDenials[i]!
    }
    return scopeDenial ?? unfit
  }

  const only = alternatives.length === 1 && alternatives[0]!.length === 1 ? alternatives[0]![0]! : undefined
  if (only === undefined || only.place !== undefined) return judge
  // Nearly all operations ask for one scheme: no lists to walk for a caller who is right.
  const { need } = only
  return (exchange) => {
    const { principal } = exchange
    return principal !== undefined &&
      exchange.credentialDenial === undefined &&
      only.methods.has(principal.via) &&
      hasScopes(principal, need)
      ? undefined
      : judge(exchange)
  }
}

function checksOf(alternative: Alternative, plan: AuthPlan): readonly Check[] {
  const keyPlaces = alternative.map(({ scheme }) => placeOf(scheme))
  const several = new Set(keyPlaces.filter((place) => place !== undefined)).size > 1
  return alternative.map((need, index) => ({
    need,
    methods: new Set(plan.methodsFor(need.scheme)),
    place: several ? keyPlaces[index] : undefined,
  }))
}

function fulfils(checks: readonly Check[], exchange: Exchange, principal: Principal): 'yes' | 'no' | 'scopes-missing' {
  const proofs = severalProofsOf(exchange) ?? [{ principal, place: undefined }]
  let outcome: 'yes' | 'scopes-missing' = 'yes'
  for (const { methods, place, need } of checks) {
    const fitting = proofs.filter(
      (proof) => methods.has(proof.principal.via) && (place === undefined || proof.place === place),
    )
    if (fitting.length === 0) return 'no'
    if (!fitting.some((proof) => hasScopes(proof.principal, need))) outcome = 'scopes-missing'
  }
  return outcome
}

function hasScopes(principal: Principal, { scopes, scheme }: Need): boolean {
  for (let i = 0; i < scopes.length; i++) if (!holds(principal, scopes[i]!, scheme)) return false
  return true
}

function credentialMissing(challenge: string): Denial {
  const detail = 'This operation needs a credential. WWW-Authenticate names what is accepted.'
  return unauthorized('security.credential-missing', detail, challenge)
}

function credentialUnfit(challenge: string): Denial {
  const detail =
    'This operation needs another kind of credential, or a further one. WWW-Authenticate names what is accepted.'
  return unauthorized('security.credential-unfit', detail, challenge)
}

/** RFC 6750, 3.1: `insufficient_scope` tells the client which scopes to ask for. */
function scopeMissing(realm: string, checks: readonly Check[]): Denial {
  const scopes = [...new Set(checks.flatMap(({ need }) => need.scopes))]
  const detail = `The credential lacks a scope that this operation needs: ${scopes.join(' ')}.`
  return denial(403, 'security.insufficient_scope', detail, {
    headers: { 'WWW-Authenticate': bearerChallenge(realm, { error: 'insufficient_scope', scope: scopes.join(' ') }) },
    evidence: { needs: scopes },
  })
}

function unfulfillable(operation: Operation, alternatives: readonly Alternative[], plan: AuthPlan): ConfigError {
  const wanted = alternatives
    .map((alternative) =>
      alternative
        .map(
          ({ scheme }) =>
            `${scheme.name} (${scheme.type}${scheme.httpScheme === undefined ? '' : ` ${scheme.httpScheme}`})`,
        )
        .join(' and '),
    )
    .join(', or ')
  return placed(
    operation,
    'P1407',
    `${operation.id}: asks for ${wanted}, but nothing that "auth" lists can prove it (${plan.methods.join(', ')})`,
    'list a fitting method or issuer under `auth`, or say which one stands for the scheme: `auth: { <scheme>: [apiKey] }`',
  )
}

/** What an operation asks of its callers, for people: `explain` prints it. */
export interface SecurityDescription {
  readonly public: boolean
  /** Whether it also serves callers without a credential. */
  readonly optional: boolean
  /** Any one of these, each with all of its parts. Empty for a public operation. */
  readonly anyOf: readonly (readonly SecurityPart[])[]
}

export interface SecurityPart {
  /** The scheme's name in the document; `undefined` where the document is silent and any credential will do. */
  readonly scheme: string | undefined
  /** Entries of `auth` that prove it; empty when none does. */
  readonly methods: readonly string[]
  readonly scopes: readonly string[]
}

/** Tells what an operation asks for. Only after its program was compiled. */
export function describeSecurity(operation: Operation): SecurityDescription {
  const demand = demandOf(operation)
  const plan = authPlanOf(operation)
  if (demand.kind === 'public') return { public: true, optional: true, anyOf: [] }
  if (demand.kind === 'anyone-known') {
    const methods = plan?.methods ?? []
    return { public: false, optional: false, anyOf: [[{ scheme: undefined, methods, scopes: [] }]] }
  }
  const anyOf = demand.alternatives.map((alternative) =>
    alternative.map(({ scheme, scopes }) => ({ scheme: scheme.name, methods: plan?.methodsFor(scheme) ?? [], scopes })),
  )
  return { public: false, optional: demand.optional, anyOf }
}

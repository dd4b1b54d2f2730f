import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'
import type { ApiDocument, Operation, SecurityScheme } from '../../openapi/operation.ts'
import type { Proof } from './contract.ts'
import type { ProtectedResource } from './resource.ts'
import type { SignIn } from './sign-in.ts'

/** What `auth` can prove for one operation, left for the guards that decide by it. */
export interface AuthPlan {
  /** All that `auth` lists, in its order. */
  readonly methods: readonly string[]
  /** Which of them prove what a scheme of the document asks for. Empty: none can. */
  readonly methodsFor: (scheme: SecurityScheme) => readonly string[]
  /** The value of WWW-Authenticate that invites any of these methods. */
  readonly challenge: (methods: readonly string[]) => string
  /** The value of WWW-Authenticate that asks for another token, in each scheme that the API takes tokens in. */
  readonly tokenChallenge: (parameters: Readonly<Record<string, string>>) => string
  readonly realm: string
  /** The API as clients of its issuers see it; `undefined` where no tokens are taken. */
  readonly resource: ProtectedResource | undefined
  /** How people sign in with a browser, where they may. */
  readonly signIn: SignIn | undefined
  /** How lately or how surely callers of this operation must have signed in, where that is asked. */
  readonly stepUp: ((principal: Principal, now: number) => Denial | undefined) | undefined
}

// Guards share nothing but the operation and the exchange they look at. Weak, so that a reload leaves nothing behind.
const plans = new WeakMap<Operation, AuthPlan>()
const severalProofs = new WeakMap<Exchange, readonly Proof[]>()

/** What `auth` can prove for an operation; `undefined` where it does not run. Known once `auth` is compiled, which comes first by its stage. */
export function authPlanOf(operation: Operation): AuthPlan | undefined {
  return plans.get(operation)
}

export function setAuthPlan(operation: Operation, plan: AuthPlan): void {
  plans.set(operation, plan)
}

/** Every credential of an exchange that was good, where there are several; `undefined` where the principal is all. */
export function severalProofsOf(exchange: Exchange): readonly Proof[] | undefined {
  return severalProofs.get(exchange)
}

export function setSeveralProofs(exchange: Exchange, proofs: readonly Proof[]): void {
  severalProofs.set(exchange, proofs)
}

/** Where a scheme's API key stands: `header x-api-key`, `cookie sid`; the places that readers name. */
export function placeOf(scheme: SecurityScheme): string | undefined {
  if (scheme.type !== 'apiKey' || scheme.parameterName === undefined) return undefined
  if (scheme.in === 'cookie') return `cookie ${scheme.parameterName}`
  if (scheme.in !== 'header') return undefined
  const name = scheme.parameterName.toLowerCase()
  return name === 'authorization' ? 'authorization' : `header ${name}`
}

/** The headers and cookies in which a document's API keys stand. */
export function apiKeyPlaces(
  document: ApiDocument,
): readonly { readonly in: 'header' | 'cookie'; readonly name: string }[] {
  const places: { in: 'header' | 'cookie'; name: string }[] = []
  for (const { type, in: where, parameterName } of document.securitySchemes.values()) {
    if (type !== 'apiKey' || parameterName === undefined || where === 'query' || where === undefined) continue
    const name = where === 'header' ? parameterName.toLowerCase() : parameterName
    if (!places.some((place) => place.in === where && place.name === name)) places.push({ in: where, name })
  }
  return places
}

/** The header that a key is best sent in, as the document writes it: for examples shown to people. */
export function apiKeyHeader(document: ApiDocument): string {
  const schemes = [...document.securitySchemes.values()]
  const named = schemes.find((scheme) => scheme.type === 'apiKey' && scheme.in === 'header')?.parameterName
  return named === undefined || named.toLowerCase() === 'authorization' ? 'X-API-Key' : named
}

/**
 * Which methods prove what a scheme asks for, by its type. Where none of that type is listed, an API key does: so that
 * a key from `portcullis key create` opens any document on the first day.
 */
export function methodsByType(
  scheme: SecurityScheme,
  methods: readonly string[],
  issuers: ReadonlySet<string>,
): readonly string[] {
  const listed = (...names: string[]) => methods.filter((method) => names.includes(method))
  const trusted = methods.filter((method) => issuers.has(method))
  const fitting = () => {
    switch (scheme.type) {
      case 'apiKey':
        if (scheme.in === 'cookie') return listed('session')
        // Many documents describe a bearer token as an API key in the header Authorization.
        return scheme.parameterName?.toLowerCase() === 'authorization'
          ? [...listed('apiKey'), ...trusted]
          : listed('apiKey')
      case 'http':
        return scheme.httpScheme === 'basic' ? listed('basic') : scheme.httpScheme === 'bearer' ? trusted : []
      case 'oauth2':
      case 'openIdConnect':
        return trusted
      case 'mutualTLS':
        return listed('mtls')
    }
  }
  const found = fitting()
  return found.length > 0 ? found : listed('apiKey')
}

/** Whether a principal holds a scope that the document asks of a scheme. */
export function holds(principal: Principal, name: string, scheme: Pick<SecurityScheme, 'type'>): boolean {
  if (principal.scopes.has(name)) return true
  // Only OAuth 2 and OpenID Connect have scopes; for other schemes the names are roles (OpenAPI 3.1, Security
  // Requirement Object), which a key may carry as either.
  return scheme.type !== 'oauth2' && scheme.type !== 'openIdConnect' && principal.roles.has(name)
}

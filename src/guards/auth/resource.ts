import type { Exchange } from '../../gate/exchange.ts'
import type { Answer, Denial } from '../../gate/verdict.ts'
import type { ApiDocument } from '../../openapi/operation.ts'
import { dpopAlgorithms } from './challenge.ts'
import type { IssuerSettings } from './issuer.ts'

/** An API as OAuth sees it: a resource whose metadata tells where tokens for it come from (RFC 9728). */
export interface ProtectedResource {
  /** Where its metadata stands at the gate. */
  readonly path: string
  readonly metadata: (exchange: Exchange) => Answer
  /** A 401 with the way to the metadata in each challenge that asks for a token (RFC 9728, 5.1). */
  readonly located: (refusal: Denial, exchange: Exchange) => Denial
}

export interface ResourceOptions {
  readonly document: ApiDocument
  readonly issuers: readonly IssuerSettings[]
  /** Where the API stands on the gate. */
  readonly prefix: string
  readonly publicUrl: string | undefined
}

export const metadataPrefix = '/.well-known/oauth-protected-resource'

/** Where callers see the gate: as the operator says, else as the request does. */
export function publicBase({ peer, target }: Exchange, publicUrl: string | undefined): string {
  return publicUrl ?? `${peer.encrypted ? 'https' : 'http'}://${target.authority}`
}

export function createResource({ document, issuers, prefix, publicUrl }: ResourceOptions): ProtectedResource {
  const scopes = new Set<string>()
  for (const { security = [] } of document.operations) {
    for (const requirement of security) {
      for (const [name, wanted] of requirement) {
        const type = document.securitySchemes.get(name)?.type
        if (type === 'oauth2' || type === 'openIdConnect') for (const scope of wanted) scopes.add(scope)
      }
    }
  }
  const accepts = (use: 'dpop' | 'certificate') =>
    issuers.every((one) => (use === 'dpop' ? one.dpop.use : one.certificateBound) === 'required')
  const fixed = {
    resource_name: document.title,
    authorization_servers: issuers.map(({ issuer }) => issuer).filter((issuer) => /^https?:/.test(issuer)),
    ...(scopes.size === 0 ? {} : { scopes_supported: [...scopes].sort() }),
    bearer_methods_supported: ['header'],
    ...(issuers.some(({ dpop }) => dpop.use !== 'off') ? { dpop_signing_alg_values_supported: dpopAlgorithms } : {}),
    ...(accepts('dpop') ? { dpop_bound_access_tokens_required: true } : {}),
    ...(accepts('certificate') ? { tls_client_certificate_bound_access_tokens: true } : {}),
  }

  /** RFC 9728, 3: the well-known text stands between host and path. */
  function metadataUrl(exchange: Exchange): string {
    const { origin, pathname } = new URL(publicBase(exchange, publicUrl) + prefix)
    return origin + metadataPrefix + (pathname === '/' ? '' : pathname)
  }

  const locatedBefore = new WeakMap<Denial, { readonly base: string; readonly refusal: Denial }>()
  return {
    path: metadataPrefix + prefix,
    metadata(exchange) {
      const resource = publicBase(exchange, publicUrl) + prefix
      return {
        kind: 'answer',
        status: 200,
        headers: {
          'content-type': 'application/json',
          'cache-control': 'max-age=300',
          // For clients in browsers: there is nothing in it that is not for everybody.
          'access-control-allow-origin': '*',
        },
        body: JSON.stringify({ resource, ...fixed }),
      }
    },
    located(refusal, exchange) {
      const challenge = refusal.headers?.['WWW-Authenticate']
      if (challenge === undefined || !/^(?:Bearer|DPoP) | (?:Bearer|DPoP) realm=/.test(challenge)) return refusal
      const base = publicBase(exchange, publicUrl)
      const before = locatedBefore.get(refusal)
      if (before?.base === base) return before.refusal
      const parameter = `, resource_metadata="${metadataUrl(exchange)}"`
      const value = challenge.replace(/\b(?:Bearer|DPoP) realm="(?:[^"\\]|\\.)*"/g, (found) => found + parameter)
      const located = { ...refusal, headers: { ...refusal.headers, 'WWW-Authenticate': value } }
      locatedBefore.set(refusal, { base, refusal: located })
      return located
    },
  }
}

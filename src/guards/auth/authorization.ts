import type { Exchange } from '../../gate/exchange.ts'
import type { ApiKeyJudge } from './api-key.ts'
import type { BasicJudge } from './basic.ts'
import type { BearerJudge } from './bearer.ts'
import { bearerChallenge, unauthorized } from './challenge.ts'
import type { Judged, Reader } from './contract.ts'

export interface AuthorizationOptions {
  readonly bearer: BearerJudge | undefined
  readonly keys: ApiKeyJudge | undefined
  readonly users: BasicJudge | undefined
  /** The document has an API key in this header: then it may stand there without a scheme word, or behind any. */
  readonly bareKeys: boolean
  /** Whether what was verified goes on to the upstream. */
  readonly forward: boolean
  readonly realm: string
}

// The scheme word, case-insensitive, then one or more spaces (RFC 9110, 11.4).
const schemeAndRest = /^([A-Za-z0-9!#$%&'*+.^_`|~-]+) +(\S.*)$/

/** Reads the header Authorization: bearer tokens, API keys, names with passwords. Schemes nobody here reads pass untouched. */
export function authorizationReader(options: AuthorizationOptions): Reader {
  const { bearer, keys, users, bareKeys, forward, realm } = options
  const malformed = unauthorized(
    'auth.token-malformed',
    'The Authorization header cannot be read.',
    bearerChallenge(realm, { error: 'invalid_token', error_description: 'The Authorization header cannot be read' }),
  )

  function judge(authorization: string, exchange: Exchange): Judged | Promise<Judged> {
    const recalled = bearer?.recall(authorization, exchange)
    if (recalled !== undefined) return recalled
    const match = schemeAndRest.exec(authorization)
    const scheme = match?.[1]?.toLowerCase()
    const rest = match?.[2] ?? authorization.trim()
    if (keys?.recognizes(rest) === true && (bareKeys || scheme === 'bearer')) return keys.judge(rest, exchange)
    if (scheme === 'basic') return users?.judge(rest, exchange)
    if (scheme === 'dpop') return bearer?.judge({ authorization, token: rest, scheme }, exchange)
    if (authorization.slice(0, 6).toLowerCase() !== 'bearer' || (bearer === undefined && !bareKeys)) return undefined
    if (scheme !== 'bearer') return malformed
    return bearer?.judge({ authorization, token: rest, scheme }, exchange)
  }

  return {
    place: 'authorization',
    read(exchange) {
      const { authorization } = exchange.headers
      if (authorization === undefined) return undefined
      const judged = judge(authorization, exchange)
      // Whatever was judged here, good or bad, is not the upstream's business unless the operator says so.
      if (judged !== undefined && (!forward || (judged as Judged & object).kind === 'denial')) {
        exchange.withholdHeader('authorization')
        if (exchange.headers.dpop !== undefined) exchange.withholdHeader('dpop')
      }
      return judged
    },
  }
}

import { Lru } from '../../base/lru.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Denial } from '../../gate/verdict.ts'
import { IssuerUnreachable } from './ask.ts'
import { because } from './challenge.ts'
import type { Judged } from './contract.ts'
import type { Issuer, TokenRefusals, Verified } from './issuer.ts'
import { type Jws, parseJws } from './jws.ts'
import type { Revocations } from './revocations.ts'

const tokenCharsMax = 8_192
/** RFC 6750, 2.1. */
const token68 = /^[A-Za-z0-9._~+/-]+=*$/
/** At a usual 1 KB a token this is 10 MB; only tokens that were good enter. */
const entriesMax = 10_000

export interface BearerOptions {
  /** In the order of `auth`. */
  readonly issuers: readonly Issuer[]
  readonly refusals: TokenRefusals
  readonly revocations: Revocations
}

/** Judges what stands behind `Bearer` in an Authorization header. */
export interface BearerJudge {
  /** A token that was verified before and is still good: the whole cost of most requests. `authorization` is the header's whole value. */
  readonly recall: (authorization: string, exchange: Exchange) => Judged
  /** Any token. What proves good is recalled from then on under `authorization`. */
  readonly judge: (authorization: string, token: string, exchange: Exchange) => Judged | Promise<Judged>
}

export function createBearerJudge({ issuers, refusals, revocations }: BearerOptions): BearerJudge {
  // Keyed by the whole header of one set of issuers, so that no two tokens and no two verifiers share an entry.
  const verified = new Lru<string, Verified>({ entriesMax })
  const signs = issuers.some((issuer) => issuer.judgeSigned !== undefined)
  const asking = issuers.filter((issuer) => issuer.judgeOpaque !== undefined)

  /** What may have changed since the token was verified, or differs from caller to caller. */
  function current(token: Verified, exchange: Exchange): Denial | undefined {
    const now = exchange.receivedAt
    if (now >= token.expiresMs) return refusals.expired
    if (now < token.notBeforeMs) return refusals.early
    if (revocations.has(token.tokenId)) return refusals.revoked
    return token.certificate === undefined || token.certificate === thumbprintOf(exchange)
      ? undefined
      : refusals.unbound
  }

  function conclude(authorization: string, result: Verified | Denial, exchange: Exchange): Judged {
    if (result.kind === 'denial') return result
    const refusal = current(result, exchange)
    if (refusal !== undefined) return because(refusal, { issuer: result.principal.via })
    if (result.keys !== undefined) verified.set(authorization, result)
    return result.principal
  }

  function judgeSigned(authorization: string, token: string, jws: Jws, exchange: Exchange): Judged | Promise<Judged> {
    const { iss } = jws.claims
    // Which issuer's keys to use is the one thing that must be read before it is proved; whatever it says, only that
    // issuer's own keys can confirm it.
    const candidates = issuers.filter((issuer) => issuer.issuer === iss)
    if (candidates.length === 0) {
      // The usual mistake is a slash at the end: the log shows both sides of the comparison.
      const trusted = issuers.map(({ issuer }) => issuer)
      return because(refusals.issuer, { iss: typeof iss === 'string' ? iss.slice(0, 200) : undefined, trusted })
    }
    return firstGood(candidates, exchange, authorization, (issuer) =>
      issuer.judgeSigned === undefined
        ? issuer.judgeOpaque?.(token, exchange.receivedAt)
        : issuer.judgeSigned(jws, exchange.receivedAt),
    )
  }

  /** Asks one after another; the first that says yes counts, else the first refusal. */
  function firstGood(
    candidates: readonly Issuer[],
    exchange: Exchange,
    authorization: string,
    ask: (issuer: Issuer) => ReturnType<NonNullable<Issuer['judgeOpaque']>>,
    from = 0,
    before?: Denial,
  ): Judged | Promise<Judged> {
    let refusal = before
    for (let i = from; i < candidates.length; i++) {
      const issuer = candidates[i]!
      let result: ReturnType<typeof ask>
      try {
        result = ask(issuer)
      } catch (error) {
        result = unreachable(error, issuer)
      }
      if (result instanceof Promise) {
        return result
          .catch((error: unknown) => unreachable(error, issuer))
          .then((settled) => {
            const judged = conclude(authorization, settled ?? refusals.inactive, exchange)
            if (judged?.kind !== 'denial') return judged
            return firstGood(candidates, exchange, authorization, ask, i + 1, worse(refusal, judged))
          })
      }
      const judged = conclude(authorization, result ?? refusals.inactive, exchange)
      if (judged?.kind !== 'denial') return judged
      refusal = worse(refusal, judged)
    }
    return refusal ?? refusals.malformed
  }

  function unreachable(error: unknown, issuer: Issuer): Denial {
    if (!(error instanceof IssuerUnreachable)) throw error
    return because(refusals.unreachable, { issuer: issuer.name, fault: error.message })
  }

  return {
    recall(authorization, exchange) {
      const token = verified.get(authorization)
      if (token === undefined) return undefined
      const { keys } = token
      if (keys !== undefined) {
        keys.refreshIfOld(exchange.receivedAt)
        if (keys.version !== token.keysVersion) {
          verified.delete(authorization)
          return undefined
        }
      }
      const refusal = current(token, exchange)
      if (refusal === undefined) return token.principal
      if (refusal !== refusals.unbound) verified.delete(authorization)
      return because(refusal, { issuer: token.principal.via })
    },
    judge(authorization, token, exchange) {
      if (token.length > tokenCharsMax) return because(refusals.malformed, { chars: token.length })
      const jws = signs ? parseJws(token) : 'foreign'
      if (jws === 'critical-header') return refusals.critical
      if (jws === 'malformed') return refusals.malformed
      if (jws !== 'foreign') return judgeSigned(authorization, token, jws, exchange)
      if (asking.length === 0 || !token68.test(token)) return refusals.malformed
      // Asking hands the token to the issuer, so only those are asked who issue opaque ones.
      return firstGood(asking, exchange, authorization, (issuer) => issuer.judgeOpaque?.(token, exchange.receivedAt))
    },
  }
}

/** That an issuer could not be asked weighs more than that another one does not know the token. */
function worse(first: Denial | undefined, second: Denial): Denial {
  return first === undefined || (second.status === 503 && first.status !== 503) ? second : first
}

/** RFC 8705, 3.1: the SHA-256 of the certificate's DER, in base64url. */
function thumbprintOf(exchange: Exchange): string | undefined {
  const fingerprint = exchange.peer.certificate?.fingerprint256
  return fingerprint === undefined
    ? undefined
    : Buffer.from(fingerprint.replaceAll(':', ''), 'hex').toString('base64url')
}

import { hash } from 'node:crypto'
import { Lru } from '../../base/lru.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Peer } from '../../gate/peer.ts'
import type { Denial } from '../../gate/verdict.ts'
import { IssuerUnreachable } from './ask.ts'
import { because } from './challenge.ts'
import type { Judged } from './contract.ts'
import type { DpopJudge } from './dpop.ts'
import { type FailureBudget, floodRefusal } from './failures.ts'
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
  readonly dpop: DpopJudge
  readonly failures: FailureBudget
}

/** An access token as it was sent. */
export interface ShownToken {
  /** The whole value of the header. */
  readonly authorization: string
  readonly token: string
  /** Behind which word it stood. */
  readonly scheme: 'bearer' | 'dpop'
}

/** Judges what stands behind `Bearer` or `DPoP` in an Authorization header. */
export interface BearerJudge {
  /** A token that was verified before and is still good: the whole cost of most requests. `authorization` is the header's whole value. */
  readonly recall: (authorization: string, exchange: Exchange) => Judged | Promise<Judged>
  /** Any token. What proves good is recalled from then on under `authorization`. */
  readonly judge: (shown: ShownToken, exchange: Exchange) => Judged | Promise<Judged>
}

/** A good token under the header that it came in. */
interface Remembered {
  readonly token: Verified
  /** SHA-256 of a token that is bound to a key, as proofs name it; `undefined` for one that is shown by itself. */
  readonly hash: string | undefined
}

/**
 * What nobody paid for: read, and put away without a look at a key. Everything else that is refused counts against the
 * network that sent it.
 */
const cheap: ReadonlySet<string> = new Set([
  'auth.token-malformed',
  'auth.token-critical',
  'auth.token-issuer',
  'auth.token-algorithm',
  'auth.token-type',
  // A caller who does not know the nonce yet has made no mistake.
  'auth.dpop-nonce',
])

export function createBearerJudge({ issuers, refusals, revocations, dpop, failures }: BearerOptions): BearerJudge {
  // Keyed by the whole header of one set of issuers, so that no two tokens and no two verifiers share an entry.
  const verified = new Lru<string, Remembered>({ entriesMax })
  const signs = issuers.some((issuer) => issuer.judgeSigned !== undefined)
  const asking = issuers.filter((issuer) => issuer.judgeOpaque !== undefined)

  /** What may have changed since the token was verified, or differs from caller to caller. */
  function current(token: Verified, exchange: Exchange): Denial | undefined {
    const now = exchange.receivedAt
    if (now >= token.expiresMs) return refusals.expired
    if (now < token.notBeforeMs) return refusals.early
    if (revocations.has(token)) return refusals.revoked
    return token.certificate === undefined || token.certificate === thumbprintOf(exchange.peer)
      ? undefined
      : refusals.unbound
  }

  function conclude(shown: ShownToken, result: Verified | Denial, exchange: Exchange): Judged | Promise<Judged> {
    if (result.kind === 'denial') return result
    const { proof, keys, principal } = result
    const refusal = current(result, exchange)
    if (refusal !== undefined) return because(refusal, { issuer: principal.via })
    const { authorization, scheme, token } = shown
    if (proof === undefined) {
      // RFC 9449, 7.1: behind this word only what is bound is a token at all.
      if (scheme === 'dpop') return because(refusals.bindable, { issuer: principal.via })
      if (keys !== undefined) verified.set(authorization, { token: result, hash: undefined })
      return principal
    }
    if (scheme !== 'dpop') return because(refusals.downgraded, { issuer: principal.via })
    const tokenHash = hash('sha256', token, 'base64url')
    if (keys !== undefined) verified.set(authorization, { token: result, hash: tokenHash })
    return prove(result, proof, tokenHash, exchange)
  }

  function prove(
    { principal }: Verified,
    { thumbprint, rules }: NonNullable<Verified['proof']>,
    tokenHash: string,
    exchange: Exchange,
  ): Judged | Promise<Judged> {
    const refusal = dpop.refuse(exchange, { thumbprint, hash: tokenHash }, rules)
    if (refusal instanceof Promise) return refusal.then((later) => later ?? principal)
    return refusal ?? principal
  }

  function judgeSigned(shown: ShownToken, jws: Jws, exchange: Exchange): Judged | Promise<Judged> {
    const { iss } = jws.claims
    // Which issuer's keys to use is the one thing that must be read before it is proved; whatever it says, only that
    // issuer's own keys can confirm it.
    const candidates = issuers.filter((issuer) => issuer.issuer === iss)
    if (candidates.length === 0) {
      // The usual mistake is a slash at the end: the log shows both sides of the comparison.
      const trusted = issuers.map(({ issuer }) => issuer)
      return because(refusals.issuer, { iss: typeof iss === 'string' ? iss.slice(0, 200) : undefined, trusted })
    }
    return firstGood(candidates, exchange, shown, (issuer) =>
      issuer.judgeSigned === undefined
        ? issuer.judgeOpaque?.(shown.token, exchange.receivedAt)
        : issuer.judgeSigned(jws, exchange.receivedAt),
    )
  }

  /** Asks one after another; the first that says yes counts, else the first refusal. */
  function firstGood(
    candidates: readonly Issuer[],
    exchange: Exchange,
    shown: ShownToken,
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
          .then((settled) => conclude(shown, settled ?? refusals.inactive, exchange))
          .then((judged) => {
            if (judged?.kind !== 'denial') return judged
            return firstGood(candidates, exchange, shown, ask, i + 1, worse(refusal, judged))
          })
      }
      const judged = conclude(shown, result ?? refusals.inactive, exchange)
      // Whose token it is was known before its proof had to be waited for.
      if (judged instanceof Promise || judged?.kind !== 'denial') return judged
      refusal = worse(refusal, judged)
    }
    return refusal ?? refusals.malformed
  }

  function unreachable(error: unknown, issuer: Issuer): Denial {
    if (!(error instanceof IssuerUnreachable)) throw error
    return because(refusals.unreachable, { issuer: issuer.name, fault: error.message })
  }

  function judgeAny(shown: ShownToken, exchange: Exchange): Judged | Promise<Judged> {
    const { token } = shown
    if (token.length > tokenCharsMax) return because(refusals.malformed, { chars: token.length })
    const jws = signs ? parseJws(token) : 'foreign'
    if (jws === 'critical-header') return refusals.critical
    if (jws === 'malformed') return refusals.malformed
    if (jws !== 'foreign') return judgeSigned(shown, jws, exchange)
    if (asking.length === 0 || !token68.test(token)) return refusals.malformed
    // Asking hands the token to the issuer, so only those are asked who issue opaque ones.
    return firstGood(asking, exchange, shown, (issuer) => issuer.judgeOpaque?.(token, exchange.receivedAt))
  }

  /** Counts what was wrong, so that the next ones of this network cost nothing. */
  function counted(judged: Judged | Promise<Judged>, exchange: Exchange): Judged | Promise<Judged> {
    if (judged instanceof Promise) return judged.then((later) => counted(later, exchange))
    if (judged?.kind === 'denial' && judged.status === 401 && !cheap.has(judged.code)) failures.count(exchange.address)
    return judged
  }

  return {
    recall(authorization, exchange) {
      const found = verified.get(authorization)
      if (found === undefined) return undefined
      const { token, hash: tokenHash } = found
      const { keys } = token
      if (keys !== undefined) {
        keys.refreshIfOld(exchange.receivedAt)
        if (keys.version !== token.keysVersion) {
          verified.delete(authorization)
          return undefined
        }
      }
      const refusal = current(token, exchange)
      if (refusal === undefined) {
        return tokenHash === undefined || token.proof === undefined
          ? token.principal
          : counted(prove(token, token.proof, tokenHash, exchange), exchange)
      }
      if (refusal !== refusals.unbound) verified.delete(authorization)
      return because(refusal, { issuer: token.principal.via })
    },
    judge(shown, exchange) {
      const seconds = failures.spentFor(exchange.address)
      return seconds === undefined ? counted(judgeAny(shown, exchange), exchange) : floodRefusal(seconds)
    },
  }
}

/** That an issuer could not be asked weighs more than that another one does not know the token. */
function worse(first: Denial | undefined, second: Denial): Denial {
  return first === undefined || (second.status === 503 && first.status !== 503) ? second : first
}

const thumbprints = new WeakMap<Peer, string>()

/** RFC 8705, 3.1: the SHA-256 of the certificate's DER, in base64url. Worked out once for each connection. */
function thumbprintOf(peer: Peer): string | undefined {
  const fingerprint = peer.certificate?.fingerprint256
  if (fingerprint === undefined) return undefined
  let thumbprint = thumbprints.get(peer)
  if (thumbprint === undefined) {
    thumbprint = Buffer.from(fingerprint.replaceAll(':', ''), 'hex').toString('base64url')
    thumbprints.set(peer, thumbprint)
  }
  return thumbprint
}

import type { ApiKeys, KeyRefusal, VerifiedKey } from '../../credentials/api-keys.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'
import { type BoundsJudge, boundsJudge, keyBoundsRefusals } from './bounds.ts'
import { apiKeyChallenge, because, unauthorized } from './challenge.ts'
import type { Judged, Reader } from './contract.ts'

/** Judges API keys wherever they stand. */
export interface ApiKeyJudge {
  /** Whether a text is meant to be one of our keys, good or bad. */
  readonly recognizes: (text: string) => boolean
  readonly judge: (key: string, exchange: Exchange) => Judged | Promise<Judged>
}

/** What is worked out once for each key and used until its record changes. */
interface Holder {
  readonly principal: Principal
  readonly bounds: BoundsJudge | undefined
}

export function apiKeyJudge(keys: Pick<ApiKeys, 'verify'>, realm: string): ApiKeyJudge {
  const challenge = apiKeyChallenge(realm, 'header')
  // Only who holds the whole secret gets as far as `expired` and `revoked`, so telling helps nobody else.
  const refusals: Record<KeyRefusal['reason'], Denial> = {
    malformed: unknownKey(challenge, 'malformed'),
    unknown: unknownKey(challenge, 'unknown'),
    mismatch: unknownKey(challenge, 'mismatch'),
    early: unauthorized('auth.api-key-early', 'The API key does not work yet.', challenge),
    expired: unauthorized('auth.api-key-expired', 'The API key has expired.', challenge),
    revoked: unauthorized('auth.api-key-revoked', 'The API key was revoked.', challenge),
  }
  const holders = new WeakMap<VerifiedKey, Holder>()

  function conclude(found: VerifiedKey | KeyRefusal, exchange: Exchange): Judged {
    if (found.kind === 'refused') return refusals[found.reason]
    let holder = holders.get(found)
    if (holder === undefined) {
      holder = holderOf(found)
      holders.set(found, holder)
    }
    return holder.bounds?.(exchange) ?? holder.principal
  }

  return {
    recognizes: (text) => text.startsWith('pck_'),
    judge(key, exchange) {
      const found = keys.verify(key)
      return found instanceof Promise ? found.then((later) => conclude(later, exchange)) : conclude(found, exchange)
    },
  }
}

function unknownKey(challenge: string, reason: string): Denial {
  return because(unauthorized('auth.api-key-unknown', 'The API key is not known here.', challenge), { reason })
}

function holderOf(key: VerifiedKey): Holder {
  const { id, name, owner, plan, scopes, roles, bounds } = key
  return {
    principal: {
      subject: id,
      kind: 'apiKey',
      via: 'apiKey',
      application: name,
      scopes,
      roles,
      claims: { id, name, owner, plan },
    },
    bounds: boundsJudge(bounds, id, keyBoundsRefusals),
  }
}

/** Reads an API key from a header or cookie of its own. */
export function apiKeyReader(
  judge: ApiKeyJudge,
  place: { readonly in: 'header' | 'cookie'; readonly name: string },
  forward: boolean,
): Reader {
  const { name } = place
  if (place.in === 'cookie') {
    return {
      place: `cookie ${name}`,
      read(exchange) {
        if (exchange.headers.cookie === undefined) return undefined
        const key = exchange.cookies().get(name)
        if (key === undefined) return undefined
        if (!forward) exchange.withholdCookie(name)
        return judge.judge(key, exchange)
      },
    }
  }
  return {
    place: `header ${name}`,
    read(exchange) {
      const key = exchange.headers[name]
      if (key === undefined) return undefined
      if (!forward) exchange.withholdHeader(name)
      // Two of one name are joined by a comma, which no key holds.
      return judge.judge(typeof key === 'string' ? key : key.join(), exchange)
    },
  }
}

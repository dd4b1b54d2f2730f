import { parseIpRange, RangeSet } from '../../base/ip.ts'
import { boundsClaim, boundsOfClaim } from '../../credentials/bounds.ts'
import type { ActiveGrants, Grant } from '../../credentials/grants.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'
import { type BoundsJudge, boundsJudge, operationTest, tokenBoundsRefusals } from './bounds.ts'
import { bearerChallenge, unauthorized } from './challenge.ts'

/** What becomes of a caller that a credential has proved: bounded by the token's claim, extended by grants. */
export type Rights = (principal: Principal, exchange: Exchange) => Principal | Denial

/** A grant as requests need it. */
interface Compiled {
  readonly grant: Grant
  readonly addresses: RangeSet | undefined
  readonly isListed: ((exchange: Exchange) => boolean) | undefined
}

/** Callers with the same grants in force share what was made of them. */
const extendedMax = 64

/** The rights of callers. `grants`: those that people were given for a while. */
export function createRights(grants: Pick<ActiveGrants, 'size' | 'of'>, now: () => number, realm: string): Rights {
  const unreadable = unauthorized(
    'auth.token-bounds',
    'The token says of its own bounds what cannot be followed.',
    bearerChallenge(realm, { error: 'invalid_token' }),
  )
  const bounds = new WeakMap<Principal, BoundsJudge | typeof unreadable | 'none'>()
  const compiled = new WeakMap<Grant, Compiled>()
  const extended = new WeakMap<Principal, Map<string, Principal>>()

  function boundsOf(principal: Principal): BoundsJudge | typeof unreadable | 'none' {
    let judge = bounds.get(principal)
    if (judge === undefined) {
      const read = boundsOfClaim(principal.claims[boundsClaim])
      if (read === 'unreadable') judge = unreadable
      else judge = allOf((read ?? []).map((one) => boundsJudge(one, idOf(principal), tokenBoundsRefusals)))
      bounds.set(principal, judge)
    }
    return judge
  }

  function compiledOf(grant: Grant): Compiled {
    const one = compiled.get(grant) ?? compile(grant)
    compiled.set(grant, one)
    return one
  }

  function counts({ grant, addresses, isListed }: Compiled, exchange: Exchange, at: number): boolean {
    if (at < grant.from || at >= grant.until) return false
    if (addresses !== undefined && !addresses.has(exchange.address)) return false
    return isListed === undefined || isListed(exchange)
  }

  function extend(principal: Principal, given: readonly Grant[], exchange: Exchange): Principal {
    const at = now()
    let name = ''
    const counting: Grant[] = []
    for (const grant of given) {
      if (!counts(compiledOf(grant), exchange, at)) continue
      counting.push(grant)
      name += grant.id
    }
    if (counting.length === 0) return principal
    const known = extended.get(principal) ?? new Map<string, Principal>()
    extended.set(principal, known)
    let more = known.get(name)
    if (more === undefined) {
      more = {
        ...principal,
        roles: new Set([...principal.roles, ...counting.flatMap(({ roles }) => roles)]),
        scopes: new Set([...principal.scopes, ...counting.flatMap(({ scopes }) => scopes)]),
      }
      if (known.size >= extendedMax) known.clear()
      known.set(name, more)
    }
    return more
  }

  return (principal, exchange) => {
    if (principal.kind === 'bearer' && principal.claims[boundsClaim] !== undefined) {
      const judge = boundsOf(principal)
      const refusal = typeof judge === 'function' ? judge(exchange) : judge === 'none' ? undefined : judge
      if (refusal !== undefined) return refusal
    }
    if (grants.size() === 0) return principal
    const given = grants.of(principal.subject, principal.via)
    return given === undefined ? principal : extend(principal, given, exchange)
  }
}

function compile(grant: Grant): Compiled {
  const { cidrs, operations } = grant
  const isListed = operations.length === 0 ? undefined : operationTest(operations)
  return {
    grant,
    addresses: cidrs.length === 0 ? undefined : new RangeSet(cidrs.map((cidr) => parseIpRange(cidr))),
    isListed: isListed === undefined ? undefined : ({ operation }) => isListed(operation),
  }
}

/** Every one of several judges must agree. */
function allOf(judges: readonly (BoundsJudge | undefined)[]): BoundsJudge | 'none' {
  const [first, ...others] = judges.filter((one) => one !== undefined)
  if (first === undefined) return 'none'
  if (others.length === 0) return first
  return (exchange) => {
    for (const judge of [first, ...others]) {
      const refusal = judge(exchange)
      if (refusal !== undefined) return refusal
    }
    return undefined
  }
}

function idOf({ claims }: Principal): string | undefined {
  return typeof claims.jti === 'string' ? claims.jti : undefined
}

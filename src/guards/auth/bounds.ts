import { parseIpRange, RangeSet } from '../../base/ip.ts'
import { type Bounds, isBounded, originOf } from '../../credentials/bounds.ts'
import type { Exchange } from '../../gate/exchange.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import type { Operation } from '../../openapi/operation.ts'
import { parseSelector } from '../../openapi/select.ts'
import { because } from './challenge.ts'

/** Says why a credential may not be used for this exchange; `undefined`: it may. */
export type BoundsJudge = (exchange: Exchange) => Denial | undefined

/** The refusals of one kind of credential. */
export interface BoundsRefusals {
  readonly address: Denial
  readonly origin: Denial
  readonly operation: Denial
}

export const keyBoundsRefusals: BoundsRefusals = {
  address: denial(403, 'auth.api-key-address', 'The API key may not be used from this address.'),
  origin: denial(403, 'auth.api-key-origin', 'The API key may not be used from this web site.'),
  operation: denial(403, 'auth.api-key-operation', 'The API key may not be used for this operation.'),
}

export const tokenBoundsRefusals: BoundsRefusals = {
  address: denial(403, 'auth.token-address', 'The token may not be used from this address.'),
  origin: denial(403, 'auth.token-origin', 'The token may not be used from this web site.'),
  operation: denial(403, 'auth.token-operation', 'The token may not be used for this operation.'),
}

/**
 * Holds exchanges to the bounds of one credential, keys and tokens alike; `undefined` where it has none. `id` is what the
 * operator finds in the log. Worked out once for a credential, and once more for each operation it meets.
 */
export function boundsJudge(bounds: Bounds, id: string | undefined, refusals: BoundsRefusals): BoundsJudge | undefined {
  if (!isBounded(bounds)) return undefined
  const { cidrs, origins, operations } = bounds
  const addresses = cidrs.length === 0 ? undefined : new RangeSet(cidrs.map((cidr) => parseIpRange(cidr)))
  const sites = origins.length === 0 ? undefined : new Set(origins)
  const isListed = operations.length === 0 ? undefined : operationTest(operations)
  return (exchange) => {
    if (addresses !== undefined && !addresses.has(exchange.address)) {
      return because(refusals.address, { id, address: exchange.address })
    }
    if (sites !== undefined) {
      const site = siteOf(exchange)
      if (site === undefined || !sites.has(site)) return because(refusals.origin, { id, origin: site })
    }
    if (isListed !== undefined && !isListed(exchange.operation)) {
      return because(refusals.operation, { id, operation: exchange.operation.id })
    }
    return undefined
  }
}

/** Whether an operation is selected by one of the texts, found out once for each operation. */
export function operationTest(selectors: readonly string[]): (operation: Operation) => boolean {
  const selects = parseSelector(selectors)
  const known = new WeakMap<Operation, boolean>()
  return (operation) => {
    let listed = known.get(operation)
    if (listed === undefined) {
      // What the document does not list is nobody's operation.
      listed = operation.kind === 'listed' && selects(operation)
      known.set(operation, listed)
    }
    return listed
  }
}

/**
 * The web site whose page asks, as the browser says: Origin, else Referer (RFC 9110, 10.1.3), which browsers send with a GET of
 * their own site. Other programs can say what they like, so this bounds pages and nothing else.
 */
function siteOf({ headers }: Exchange): string | undefined {
  if (headers.origin !== undefined) return originOf(headers.origin)
  const { referer } = headers
  if (referer === undefined || referer.length > 8_192) return undefined
  try {
    return new URL(referer).origin
  } catch {
    return undefined
  }
}

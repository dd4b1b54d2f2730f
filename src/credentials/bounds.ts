import { ConfigError } from '../base/errors.ts'
import { parseIpRange } from '../base/ip.ts'
import type { Value } from '../store/store.ts'

/** Where and for what a credential works, besides what its scopes and roles allow. An empty list bounds nothing. */
export interface Bounds {
  /** Address ranges it may be used from. */
  readonly cidrs: readonly string[]
  /** Web origins whose pages may use it: `https://shop.example`. */
  readonly origins: readonly string[]
  /** Selectors of operations it may be used for: `op:listOrders`, `tag:orders`, `GET /orders/*`. */
  readonly operations: readonly string[]
}

/**
 * The claim of a token that holds its bounds: `{ "cidr": [], "origin": [], "ops": [] }`, each member optional and a text or
 * a list of texts; or a list of such maps, of which all hold. Beside `nbf` and `exp`, which bound it in time.
 */
export const boundsClaim = 'portcullis_bounds'

const boundsMax = 256
/** A token that was exchanged is bounded by what the first one was, and by whoever exchanged it. */
const claimBoundsMax = 4
/** As `openapi/select.ts` reads them, which a store of credentials does not know. */
const selectorFormat = /^(?:\*|(?:op|tag):\S.*|(?:(?:\*|[A-Za-z]+(?:\|[A-Za-z]+)*)\s+)?\/\S*)$/

/** Bounds as somebody typed them, in their one spelling. Throws `ConfigError` with `code` for what bounds nothing that exists. */
export function checkedBounds(input: Partial<Bounds>, code: 'P1042' | 'P1044' = 'P1042'): Bounds {
  const { cidrs = [], origins = [], operations = [] } = input
  for (const list of [cidrs, origins, operations]) {
    if (list.length > boundsMax) throw new ConfigError(code, `bounds are lists of at most ${boundsMax} entries`)
  }
  for (const [i, cidr] of cidrs.entries()) parseIpRange(cidr, `cidrs[${i}]`)
  return {
    cidrs: unique(cidrs.map((cidr) => cidr.trim())),
    origins: unique(
      origins.map((text, i) => {
        const origin = originOf(text)
        if (origin === undefined) {
          throw new ConfigError(
            code,
            `origins[${i}]: expected a web origin such as https://shop.example, without a path`,
          )
        }
        return origin
      }),
    ),
    operations: unique(
      operations.map((text, i) => {
        const selector = text.trim()
        if (selector.length > 512 || !selectorFormat.test(selector)) {
          throw new ConfigError(
            code,
            `operations[${i}]: expected op:ID, tag:NAME or METHOD /path with * for one segment and ** for the rest`,
          )
        }
        return selector
      }),
    ),
  }
}

/**
 * The bounds in a token's claim, all of which hold: `undefined` where it has none, `unreadable` where what stands there cannot be
 * followed. Nobody writes bounds to have them ignored.
 */
export function boundsOfClaim(claim: unknown): readonly Bounds[] | 'unreadable' | undefined {
  if (claim === undefined) return undefined
  const list = Array.isArray(claim) ? claim : [claim]
  if (list.length === 0 || list.length > claimBoundsMax) return 'unreadable'
  try {
    return list.map(boundsIn)
  } catch {
    return 'unreadable'
  }
}

function boundsIn(claim: unknown): Bounds {
  if (typeof claim !== 'object' || claim === null || Array.isArray(claim)) throw new TypeError('bounds are a map')
  const { cidr, origin, ops, ...unknown } = claim as Record<string, unknown>
  if (Object.keys(unknown).length > 0) throw new TypeError('bounds of which this program does not know')
  return checkedBounds({ cidrs: listOf(cidr), origins: listOf(origin), operations: listOf(ops) })
}

/**
 * The claim of a token with these bounds: those of the token it was made of, as its claim has them, and those of the client it
 * is for. `undefined` where there are none.
 */
export function claimOfBounds([inherited, own]: readonly [unknown, Partial<Bounds> | undefined]): Value | undefined {
  const before = inherited === undefined ? [] : ([inherited].flat() as Value[])
  const { cidrs, origins, operations } = checkedBounds(own ?? {})
  const mine = {
    ...(cidrs.length === 0 ? {} : { cidr: cidrs }),
    ...(origins.length === 0 ? {} : { origin: origins }),
    ...(operations.length === 0 ? {} : { ops: operations }),
  }
  const all = Object.keys(mine).length === 0 ? before : [...before, mine]
  return all.length > 1 ? all : all[0]
}

export function isBounded({ cidrs, origins, operations }: Bounds): boolean {
  return cidrs.length + origins.length + operations.length > 0
}

/** The one spelling of a web origin (RFC 6454, 6.2), or `undefined` for what is none. */
export function originOf(text: string): string | undefined {
  if (text.length > 2_048) return undefined
  try {
    const url = new URL(text.trim())
    const bare =
      url.pathname === '/' && url.search === '' && url.hash === '' && url.username === '' && url.password === ''
    return bare && (url.protocol === 'https:' || url.protocol === 'http:') ? url.origin : undefined
  } catch {
    return undefined
  }
}

function listOf(value: unknown): string[] {
  if (value === undefined) return []
  const list = typeof value === 'string' ? [value] : value
  // An empty list in a token says "from nowhere" as well as "from everywhere"; it is refused rather than guessed.
  if (!Array.isArray(list) || list.length === 0 || !list.every((one) => typeof one === 'string')) {
    throw new TypeError('a bound is a text or a list of texts')
  }
  return list
}

function unique(words: readonly string[]): readonly string[] {
  return [...new Set(words)]
}

import { object, z } from '../../config/language.ts'
import { type Session, type SessionRefusal, type Sessions, sessionCookie } from '../../credentials/sessions.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import { denial } from '../../gate/verdict.ts'
import { because, unauthorized, unencrypted } from './challenge.ts'
import type { Judged, Reader } from './contract.ts'

const token = /^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/

/** The cookie of sessions that this program makes itself. */
export const sessionCookieDefault = sessionCookie().name

export const sessionShape = object({
  cookie: z
    .string()
    .regex(token, 'expected a cookie name')
    .optional()
    .describe(`Name of the session cookie. Default: the one the document describes, else \`${sessionCookieDefault}\`.`),
  header: z
    .string()
    .regex(token, 'expected a header name')
    .toLowerCase()
    .optional()
    .describe('A header that may carry the session in place of the cookie, for callers that are no browsers.'),
  origins: z
    .array(z.string())
    .max(256)
    .default([])
    .describe(
      "Web origins besides the API's own, such as https://app.example.com, from which a browser may use the cookie for more than reading.",
    ),
}).describe('How sessions are read.')

export type SessionOptions = z.output<typeof sessionShape>

const reading = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Judges sessions wherever they stand. */
export interface SessionJudge {
  readonly judge: (id: string) => Judged | Promise<Judged>
}

/**
 * `issuer` is where the people of this API sign in: a session that began at another one is none here, for whoever runs that
 * one chooses its names and roles. A session that names no issuer was made by a program of one's own.
 */
export function sessionJudge(
  sessions: Pick<Sessions, 'verify'>,
  challenge: string,
  issuer: string | undefined,
): SessionJudge {
  const refused = unauthorized(
    'auth.session-refused',
    'There is no such session, or it is over. Log in again.',
    challenge,
  )
  const principals = new WeakMap<Session, Principal>()

  function conclude(found: Session | SessionRefusal): Judged {
    if (found.kind === 'refused') return because(refused, { reason: found.reason })
    let principal = principals.get(found)
    if (principal === undefined) {
      const { subject, claims } = found
      if (issuer !== undefined && claims.iss !== undefined && claims.iss !== issuer) {
        return because(refused, { reason: 'issuer' })
      }
      principal = {
        subject,
        kind: 'session',
        via: 'session',
        application: undefined,
        scopes: wordsIn(claims.scopes),
        roles: wordsIn(claims.roles),
        claims,
      }
      principals.set(found, principal)
    }
    return principal
  }

  return {
    judge(id) {
      const found = sessions.verify(id)
      return found instanceof Promise ? found.then(conclude) : conclude(found)
    },
  }
}

/** Reads a session from a cookie. It must come encrypted, and from the API's own pages where it would change anything. */
export function sessionCookieReader(
  { judge }: SessionJudge,
  cookie: string,
  { origins, forward }: { readonly origins: readonly string[]; readonly forward: boolean },
): Reader {
  const foreign = denial(403, 'auth.session-cross-site', 'This session may not be used from another web site.')
  const known = new Set(origins)

  /**
   * A browser sends cookies along whoever made it ask: what changes something, and a WebSocket, which no CORS rule
   * guards, must come from a page of our own.
   */
  function isForeign({ headers, method, upgrade, target }: Exchange): boolean {
    if (upgrade === undefined && reading.has(method)) return false
    const { origin } = headers
    if (origin === undefined) return headers['sec-fetch-site'] === 'cross-site'
    return !known.has(origin) && origin !== `https://${target.authority}`
  }

  return {
    place: `cookie ${cookie}`,
    read(exchange) {
      if (exchange.headers.cookie === undefined) return undefined
      const id = exchange.cookies().get(cookie)
      if (id === undefined) return undefined
      if (!forward) exchange.withholdCookie(cookie)
      if (!exchange.peer.encrypted) return unencrypted
      if (isForeign(exchange)) return because(foreign, { origin: exchange.headers.origin?.slice(0, 200) })
      return judge(id)
    },
  }
}

/** Reads a session from a header, which no browser adds by itself. */
export function sessionHeaderReader({ judge }: SessionJudge, header: string, forward: boolean): Reader {
  return {
    place: `header ${header}`,
    read(exchange) {
      const id = exchange.headers[header]
      if (id === undefined) return undefined
      if (!forward) exchange.withholdHeader(header)
      return exchange.peer.encrypted ? judge(typeof id === 'string' ? id : id.join()) : unencrypted
    },
  }
}

/** Rights as whoever made the session wrote them among its claims. */
function wordsIn(value: unknown): ReadonlySet<string> {
  return new Set(Array.isArray(value) ? value.filter((word) => typeof word === 'string') : [])
}

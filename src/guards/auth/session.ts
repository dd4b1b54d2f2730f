import { object, z } from '../../config/language.ts'
import type { Session, SessionRefusal, Sessions } from '../../credentials/sessions.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import { denial } from '../../gate/verdict.ts'
import { because, sessionChallenge, unauthorized, unencrypted } from './challenge.ts'
import type { Judged, Reader } from './contract.ts'

export const sessionShape = object({
  cookie: z
    .string()
    .regex(/^[A-Za-z0-9!#$%&'*+.^_`|~-]+$/, 'expected a cookie name')
    .optional()
    .describe('Name of the session cookie. Default: the one the document describes, else `__Host-session`.'),
  origins: z
    .array(z.string())
    .max(256)
    .default([])
    .describe(
      "Web origins besides the API's own, such as https://app.example.com, from which a browser may use the cookie for more than reading.",
    ),
}).describe('How session cookies are read.')

export type SessionOptions = z.output<typeof sessionShape>

const reading = new Set(['GET', 'HEAD', 'OPTIONS'])

/** Reads a session cookie. It must come encrypted, and from the API's own pages where it would change anything. */
export function sessionReader(
  sessions: Pick<Sessions, 'verify'>,
  options: SessionOptions & { readonly cookie: string },
  { realm, forward }: { readonly realm: string; readonly forward: boolean },
): Reader {
  const { cookie } = options
  const challenge = sessionChallenge(realm, cookie)
  const refused = unauthorized(
    'auth.session-refused',
    'There is no such session, or it is over. Log in again.',
    challenge,
  )
  const foreign = denial(403, 'auth.session-cross-site', 'This session may not be used from another web site.')
  const origins = new Set(options.origins)
  const principals = new WeakMap<Session, Principal>()

  function conclude(found: Session | SessionRefusal): Judged {
    if (found.kind === 'refused') return because(refused, { reason: found.reason })
    let principal = principals.get(found)
    if (principal === undefined) {
      const { subject, claims } = found
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

  /**
   * A browser sends cookies along whoever made it ask: what changes something, and a WebSocket, which no CORS rule
   * guards, must come from a page of our own.
   */
  function isForeign({ headers, method, upgrade, target }: Exchange): boolean {
    if (upgrade === undefined && reading.has(method)) return false
    const { origin } = headers
    if (origin === undefined) return headers['sec-fetch-site'] === 'cross-site'
    return !origins.has(origin) && origin !== `https://${target.authority}`
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
      const found = sessions.verify(id)
      return found instanceof Promise ? found.then(conclude) : conclude(found)
    },
  }
}

/** Rights as whoever made the session wrote them among its claims. */
function wordsIn(value: unknown): ReadonlySet<string> {
  return new Set(Array.isArray(value) ? value.filter((word) => typeof word === 'string') : [])
}

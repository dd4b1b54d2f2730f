import { clientNetwork } from '../../base/ip.ts'
import type { UserRefusal, Users, VerifiedUser, VerifyOptions } from '../../credentials/users.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import { denial } from '../../gate/verdict.ts'
import { basicChallenge, because, unauthorized, unencrypted } from './challenge.ts'
import type { Judged } from './contract.ts'

/** Judges what stands behind `Basic` in an Authorization header (RFC 7617). */
export interface BasicJudge {
  readonly judge: (credentials: string, exchange: Exchange) => Judged | Promise<Judged>
}

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const charsMax = 1_024
const base64 = /^[A-Za-z0-9+/]+={0,2}$/
// RFC 7617, 2: neither part may hold control characters.
// biome-ignore lint/suspicious/noControlCharactersInRegex: this is where they are refused.
const control = /[\x00-\x1f\x7f]/

export function basicJudge(users: Pick<Users, 'verify'>, realm: string, options: VerifyOptions): BasicJudge {
  const challenge = basicChallenge(realm)
  // One answer for a wrong name and a wrong password: it must not tell which names exist.
  const refused = unauthorized('auth.basic-refused', 'The name or the password is wrong.', challenge)
  const malformed = unauthorized('auth.basic-malformed', 'The name and password cannot be read.', challenge)
  const busy = denial(503, 'auth.basic-busy', 'Too many passwords are being checked right now. Try again later.', {
    headers: { 'Retry-After': '1' },
  })
  const locked = denial(429, 'auth.basic-locked', 'Too many wrong passwords came from here. Try again later.', {
    headers: { 'Retry-After': '60' },
  })
  const principals = new WeakMap<VerifiedUser, Principal>()

  function conclude(found: VerifiedUser | UserRefusal): Judged {
    if (found.kind === 'refused') {
      if (found.reason === 'locked') return locked
      return found.reason === 'busy' ? busy : because(refused, { reason: found.reason })
    }
    let principal = principals.get(found)
    if (principal === undefined) {
      const { name, scopes, roles } = found
      principal = {
        subject: name,
        kind: 'basic',
        via: 'basic',
        application: undefined,
        scopes,
        roles,
        claims: { name },
      }
      principals.set(found, principal)
    }
    return principal
  }

  return {
    judge(credentials, { peer, address }) {
      // Before anything of it is decoded: the password has already been shown to the network.
      if (!peer.encrypted) return unencrypted
      const pair = read(credentials)
      if (pair === undefined) return malformed
      const found = users.verify(pair.name, pair.password, clientNetwork(address), options)
      return found instanceof Promise ? found.then(conclude) : conclude(found)
    },
  }
}

function read(credentials: string): { readonly name: string; readonly password: string } | undefined {
  if (credentials.length > charsMax || !base64.test(credentials)) return undefined
  let text: string
  try {
    text = utf8.decode(Buffer.from(credentials, 'base64'))
  } catch {
    return undefined
  }
  // A name cannot hold a colon, a password can (RFC 7617, 2).
  const colon = text.indexOf(':')
  if (colon < 1 || control.test(text)) return undefined
  return { name: text.slice(0, colon), password: text.slice(colon + 1) }
}

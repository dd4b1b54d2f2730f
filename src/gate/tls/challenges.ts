import { createHash } from 'node:crypto'
import { join } from 'node:path'

/*
 * Where answers to ACME's challenges lie: in the state directory, so that any process of this machine may give them,
 * whichever the ACME server happens to reach.
 */

/** Where the answer to an http-01 challenge lies (RFC 8555, 8.3). The caller has checked the token. */
export function httpChallengeFile(stateDir: string, token: string): string {
  return join(stateDir, 'acme', 'challenges', token)
}

/** Where the certificate for a tls-alpn-01 challenge lies (RFC 8737). Hashed, since the name comes from outside. */
export function alpnChallengeFile(stateDir: string, domain: string): string {
  return join(stateDir, 'acme', 'challenges', `alpn-${hashOf(domain.toLowerCase())}`)
}

/** Enough of SHA-256 to name a file by. */
export function hashOf(text: string): string {
  return createHash('sha256').update(text).digest('hex').slice(0, 24)
}

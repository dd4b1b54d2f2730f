import { hash } from 'node:crypto'
import type { Store } from '../store/store.ts'

/** Where the ids of revoked tokens stand in a store. */
export const revokedTokensPrefix = 'revoked-token/'

/** The id under which a token can be revoked: its issuer and its `jti` (RFC 7519, 4.1.7). */
export function tokenIdOf(issuer: string, jti: string): string {
  return hash('sha256', `${issuer}\0${jti}`, 'base64url')
}

/** Refuses one token from now on, on every gate that shares the store. `ttlMs`: until it would expire anyway. */
export async function revokeToken(store: Store, issuer: string, jti: string, ttlMs: number): Promise<void> {
  await store.put(revokedTokensPrefix + tokenIdOf(issuer, jti), true, { ttlMs })
}

/** Tokens that end together: of one grant, of one client, of one person. */
export type Family = `${'grant' | 'client' | 'subject'}:${string}`

/** For a family that has no later: its name is not given again, and what is issued while it ends must not outlive it. */
export const forGood = Number.MAX_SAFE_INTEGER

/**
 * Refuses all tokens of a family that were issued until `before` (milliseconds), on every gate that shares the store.
 * `ttlMs`: longer than any of them lives.
 */
export async function endFamily(
  store: Store,
  issuer: string,
  family: Family,
  before: number,
  ttlMs: number,
): Promise<void> {
  await store.put(revokedTokensPrefix + tokenIdOf(issuer, family), { before }, { ttlMs })
}

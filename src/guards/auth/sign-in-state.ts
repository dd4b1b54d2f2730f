import { createCipheriv, createDecipheriv, hash, randomBytes } from 'node:crypto'
import type { StepUpNeeds } from './step-up.ts'

/** A sign-in that is under way at an issuer. */
export interface SignInState {
  /** Told apart by, so that it counts once. */
  readonly id: string
  /** In the ID token (OpenID Connect Core, 3.1.2.1). */
  readonly nonce: string
  /** PKCE (RFC 7636). */
  readonly verifier: string
  /** Path and query at this gate. */
  readonly returnTo: string
  readonly redirectUri: string
  readonly expiresAt: number
  /** Hash of the cookie of the browser that began. */
  readonly browser: string
  readonly needs: StepUpNeeds | undefined
}

/**
 * Carries a sign-in through the browser: sealed, so that nobody reads the verifier and nobody makes one up, and for one
 * browser alone. Nothing is kept at the gate, so nobody fills its memory by beginning.
 */
export interface SignInStates {
  readonly seal: (state: SignInState) => string
  /** `undefined` for what was not sealed here, or was changed. */
  readonly open: (sealed: string) => SignInState | undefined
}

const ivBytes = 12
const tagBytes = 16
const sealedCharsMax = 4_096

/** AES-256-GCM with a key of 32 bytes; `context` keeps the states of one API from another's. */
export function createSignInStates(key: Uint8Array, context: string): SignInStates {
  return {
    seal(state) {
      const iv = randomBytes(ivBytes)
      const cipher = createCipheriv('aes-256-gcm', key, iv).setAAD(Buffer.from(context))
      const sealed = Buffer.concat([cipher.update(JSON.stringify(state), 'utf8'), cipher.final()])
      return Buffer.concat([iv, sealed, cipher.getAuthTag()]).toString('base64url')
    },
    open(sealed) {
      if (sealed.length > sealedCharsMax || !/^[A-Za-z0-9_-]+$/.test(sealed)) return undefined
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length <= ivBytes + tagBytes) return undefined
      try {
        const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, ivBytes), { authTagLength: tagBytes })
        decipher.setAAD(Buffer.from(context)).setAuthTag(bytes.subarray(-tagBytes))
        const plain = Buffer.concat([decipher.update(bytes.subarray(ivBytes, -tagBytes)), decipher.final()])
        return JSON.parse(plain.toString('utf8')) as SignInState
      } catch {
        return undefined
      }
    },
  }
}

/** What stands in the state for a browser's cookie. */
export function browserHash(cookie: string): string {
  return hash('sha256', cookie, 'base64url')
}

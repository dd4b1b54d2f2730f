import { createCipheriv, createDecipheriv, createHmac, hash, randomBytes } from 'node:crypto'
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

const saltBytes = 16
const ivBytes = 12
const tagBytes = 16
const sealedCharsMax = 4_096

/**
 * AES-256-GCM; `context` keeps the states of one API from another's. Seals with the first secret, opens with any. Every
 * state has a key of its own, so that no number of them wears a secret out (NIST SP 800-38D, 8.3).
 */
export function createSignInStates(secrets: () => readonly Uint8Array[], context: string): SignInStates {
  const aad = Buffer.from(context)
  const keyOf = (secret: Uint8Array, salt: Uint8Array) => createHmac('sha256', secret).update(salt).digest()

  function openWith(secret: Uint8Array, bytes: Buffer): SignInState | undefined {
    const [salt, iv] = [bytes.subarray(0, saltBytes), bytes.subarray(saltBytes, saltBytes + ivBytes)]
    try {
      const decipher = createDecipheriv('aes-256-gcm', keyOf(secret, salt), iv, { authTagLength: tagBytes })
      decipher.setAAD(aad).setAuthTag(bytes.subarray(-tagBytes))
      const plain = Buffer.concat([decipher.update(bytes.subarray(saltBytes + ivBytes, -tagBytes)), decipher.final()])
      return JSON.parse(plain.toString('utf8')) as SignInState
    } catch {
      return undefined
    }
  }

  return {
    seal(state) {
      const [salt, iv] = [randomBytes(saltBytes), randomBytes(ivBytes)]
      const cipher = createCipheriv('aes-256-gcm', keyOf(secrets()[0]!, salt), iv).setAAD(aad)
      const sealed = Buffer.concat([cipher.update(JSON.stringify(state), 'utf8'), cipher.final()])
      return Buffer.concat([salt, iv, sealed, cipher.getAuthTag()]).toString('base64url')
    },
    open(sealed) {
      if (sealed.length > sealedCharsMax || !/^[A-Za-z0-9_-]+$/.test(sealed)) return undefined
      const bytes = Buffer.from(sealed, 'base64url')
      if (bytes.length <= saltBytes + ivBytes + tagBytes) return undefined
      for (const secret of secrets()) {
        const state = openWith(secret, bytes)
        if (state !== undefined) return state
      }
      return undefined
    },
  }
}

/** What stands in the state for a browser's cookie. */
export function browserHash(cookie: string): string {
  return hash('sha256', cookie, 'base64url')
}

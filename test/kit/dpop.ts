import { generateKeyPairSync, hash, type KeyObject, randomUUID } from 'node:crypto'
import { calculateJwkThumbprint, type JWK, SignJWT } from 'jose'

/** A caller's key for DPoP (RFC 9449). */
export interface DpopKey {
  readonly alg: string
  readonly privateKey: KeyObject
  readonly jwk: JWK
  /** As `cnf.jkt` of a token names it. */
  readonly thumbprint: string
}

export async function dpopKey(alg: 'ES256' | 'RS256' | 'PS256' | 'EdDSA' | 'ES384' = 'ES256'): Promise<DpopKey> {
  const { privateKey, publicKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg.startsWith('ES')
        ? generateKeyPairSync('ec', { namedCurve: alg === 'ES256' ? 'P-256' : 'P-384' })
        : generateKeyPairSync('rsa', { modulusLength: 2_048 })
  const jwk = publicKey.export({ format: 'jwk' }) as JWK
  return { alg, privateKey, jwk, thumbprint: await calculateJwkThumbprint(jwk) }
}

export interface ProofInput {
  readonly token: string
  readonly url: string
  readonly method?: string
  /** Milliseconds since the epoch. */
  readonly at?: number
  /** Over the claims of a good proof; `undefined` leaves one out. */
  readonly claims?: Readonly<Record<string, unknown>>
  readonly header?: Readonly<Record<string, unknown>>
}

/** A proof as an honest client makes it, or with something changed. */
export async function dpopProof(key: DpopKey, input: ProofInput): Promise<string> {
  const { token, url, method = 'GET', at = Date.now(), claims = {}, header = {} } = input
  const all = {
    htm: method,
    htu: url,
    iat: Math.floor(at / 1000),
    jti: randomUUID(),
    ath: hash('sha256', token, 'base64url'),
    ...claims,
  }
  const kept = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined))
  return new SignJWT(kept)
    .setProtectedHeader({ alg: key.alg, typ: 'dpop+jwt', jwk: key.jwk, ...header })
    .sign(key.privateKey)
}

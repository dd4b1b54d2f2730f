import { createECDH, createPrivateKey, hash, type KeyObject } from 'node:crypto'
import type { Clock } from '../../base/clock.ts'
import type { KeyRing } from '../../vault/index.ts'

/** The purpose in the vault: `portcullis keys rotate payload --grace 7d`. */
export const payloadPurpose = 'payload'
/** Enough bits for a scalar without bias (FIPS 186-5, A.2.1). */
const secretBytes = 48
/** After so long the vault is asked again: a rotation elsewhere is known, and a destroyed key gone, by then. */
const staleMs = 1_000
/** The order of P-256 (SP 800-186, 3.2.1.3). */
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n

export interface PublicJwk {
  readonly kty: 'EC'
  readonly crv: 'P-256'
  readonly x: string
  readonly y: string
  readonly kid: string
  readonly use: 'enc'
  readonly alg: 'ECDH-ES+A256KW'
}

interface GateKey {
  readonly secret: string
  readonly kid: string
  readonly key: KeyObject
  readonly published: PublicJwk
}

/** The keys that callers encrypt to, newest first. They follow from the vault's secrets, so that all gates have the same. */
export interface GateKeys {
  /** The key of that id, or `undefined`. */
  readonly find: (kid: string) => KeyObject | undefined | Promise<KeyObject | undefined>
  /** What callers fetch: a JWK set (RFC 7517). The first one is to be used. */
  readonly published: () => Promise<readonly PublicJwk[]>
}

export async function createGateKeys(vault: () => Promise<KeyRing>, now: Clock): Promise<GateKeys> {
  let keys: readonly GateKey[] = []
  let askedAt = Number.NEGATIVE_INFINITY
  let asking: Promise<void> | undefined

  function ask(): Promise<void> {
    asking ??= read().finally(() => {
      asking = undefined
    })
    return asking
  }

  async function read(): Promise<void> {
    askedAt = now()
    const secrets = await (await vault()).secrets(payloadPurpose, secretBytes)
    keys = secrets.map((bytes) => {
      const secret = Buffer.from(bytes).toString('base64')
      return keys.find((known) => known.secret === secret) ?? keyOf(secret)
    })
  }

  async function find(kid: string): Promise<KeyObject | undefined> {
    await ask()
    return keys.find((known) => known.kid === kid)?.key
  }

  await ask()
  return {
    find(kid) {
      const sinceMs = now() - askedAt
      // A key that was destroyed must not open for longer than this says, whoever asks.
      return sinceMs >= staleMs || sinceMs < 0 ? find(kid) : keys.find((known) => known.kid === kid)?.key
    },
    async published() {
      const sinceMs = now() - askedAt
      if (sinceMs >= staleMs || sinceMs < 0) await ask()
      return keys.map(({ published }) => published)
    },
  }
}

function keyOf(secret: string): GateKey {
  const scalar = (BigInt(`0x${Buffer.from(secret, 'base64').toString('hex')}`) % (order - 1n)) + 1n
  const d = Buffer.from(scalar.toString(16).padStart(64, '0'), 'hex')
  const curve = createECDH('prime256v1')
  curve.setPrivateKey(d)
  const point = curve.getPublicKey()
  const x = point.subarray(1, 33).toString('base64url')
  const y = point.subarray(33).toString('base64url')
  // The thumbprint of RFC 7638: members in this order, no others.
  const kid = hash('sha256', JSON.stringify({ crv: 'P-256', kty: 'EC', x, y }), 'base64url')
  const key = createPrivateKey({ key: { kty: 'EC', crv: 'P-256', x, y, d: d.toString('base64url') }, format: 'jwk' })
  return { secret, kid, key, published: { kty: 'EC', crv: 'P-256', x, y, kid, use: 'enc', alg: 'ECDH-ES+A256KW' } }
}

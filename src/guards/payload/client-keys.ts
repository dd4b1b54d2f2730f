import { createPublicKey, type JsonWebKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ConfigError, messageOf } from '../../base/errors.ts'
import { parseStrictJson } from '../../base/json.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Host, LocalIssuer } from '../../gate/guard.ts'

/** A key that answers are encrypted to. */
export interface EncryptionKey {
  readonly kid: string | undefined
  readonly alg: string
  readonly key: KeyObject
}

/** A key that a caller signs with. */
export interface SignatureKey {
  readonly kid: string
  readonly alg: SignatureAlgorithm
  readonly key: KeyObject
}

/** RFC 9421, 3.3, without those that nobody should begin with. */
export const signatureAlgorithms = ['ed25519', 'ecdsa-p256-sha256', 'ecdsa-p384-sha384', 'rsa-pss-sha512'] as const
export type SignatureAlgorithm = (typeof signatureAlgorithms)[number]

export interface ClientKeys {
  readonly encryption: EncryptionKey | undefined
  readonly signatures: readonly SignatureKey[]
}

/** The keys of whoever calls; a promise where the token service must be asked. */
export type KeysOf = (exchange: Exchange) => ClientKeys | undefined | Promise<ClientKeys | undefined>

/** After so long a client's registration is looked at again. */
const registeredMs = 10_000
const registeredMax = 1_000

/** What answers may be encrypted with (RFC 7518, 4.1): no RSA1_5, nothing with a password or a shared secret. */
const encryptionAlgorithms = ['ECDH-ES', 'ECDH-ES+A128KW', 'ECDH-ES+A256KW', 'RSA-OAEP-256']

/**
 * Reads the keys of all callers once; those of clients of the gate's own token service are asked for. Throws
 * `ConfigError` for a set that holds none that can be used.
 */
export function readClientKeys(
  clients: Readonly<Record<string, string | { readonly keys: readonly Readonly<Record<string, unknown>>[] }>>,
  { api, localIssuer, now }: Pick<Host, 'api' | 'localIssuer' | 'now'>,
): KeysOf {
  const byCaller = new Map<string, ClientKeys>()
  for (const [caller, given] of Object.entries(clients)) {
    const at = `apis.${api}.payload.clients.${caller}`
    const keys = typeof given === 'string' ? readSet(given, at) : given.keys
    byCaller.set(caller, readKeys(keys, at))
  }
  const registered = new Map<string, { readonly keys: ClientKeys | undefined; readonly at: number }>()

  async function ask(id: string, directory: NonNullable<LocalIssuer['clients']>): Promise<ClientKeys | undefined> {
    const client = await directory.find(id)
    let keys: ClientKeys | undefined
    if (client?.jwks !== undefined && client.revokedAt === undefined) {
      try {
        keys = readKeys(client.jwks.keys as readonly Readonly<Record<string, unknown>>[], `the client ${id}`)
      } catch (error) {
        // Nothing that can be used: the same as none.
        if (!(error instanceof ConfigError)) throw error
      }
    }
    if (registered.size >= registeredMax) registered.delete(registered.keys().next().value!)
    registered.delete(id)
    registered.set(id, { keys, at: now() })
    return keys
  }

  return ({ principal }) => {
    if (principal === undefined) return undefined
    const { via, application, subject, claims } = principal
    const found =
      (application === undefined ? undefined : byCaller.get(`${via}:${application}`)) ??
      byCaller.get(`${via}:${subject}`)
    if (found !== undefined || application === undefined) return found
    if (localIssuer?.clients === undefined || claims.iss !== localIssuer.issuer) return undefined
    const known = registered.get(application)
    return known !== undefined && Math.abs(now() - known.at) < registeredMs
      ? known.keys
      : ask(application, localIssuer.clients)
  }
}

function readSet(file: string, at: string): readonly Readonly<Record<string, unknown>>[] {
  try {
    const set = parseStrictJson(readFileSync(file)) as { keys?: unknown } | null
    if (!Array.isArray(set?.keys)) throw new Error('expected a JWK set: an object with a list "keys" (RFC 7517, 5)')
    return set.keys
  } catch (error) {
    throw new ConfigError('P1420', `${at}: ${file}: ${messageOf(error)}`)
  }
}

function readKeys(keys: readonly Readonly<Record<string, unknown>>[], at: string): ClientKeys {
  let encryption: EncryptionKey | undefined
  const signatures: SignatureKey[] = []
  for (const [index, jwk] of keys.entries()) {
    const bad = (what: string) => new ConfigError('P1420', `${at}.keys[${index}]: ${what}`)
    if ('d' in jwk || 'k' in jwk) throw bad('is a private or shared key; give the public one only')
    const { kid, use, alg } = jwk
    let key: KeyObject
    try {
      key = createPublicKey({ key: jwk as JsonWebKey, format: 'jwk' })
    } catch {
      throw bad('expected a public key as a JWK (RFC 7517): kty EC, OKP or RSA')
    }
    if (jwk.kty === 'RSA' && (key.asymmetricKeyDetails?.modulusLength ?? 0) < 2048) {
      throw bad('RSA keys have at least 2048 bits')
    }
    if (use !== 'sig') {
      const chosen = encryptionAlgorithm(jwk)
      if (chosen !== undefined) encryption ??= { kid: typeof kid === 'string' ? kid : undefined, alg: chosen, key }
      else if (use === 'enc')
        throw bad(`expected alg ${encryptionAlgorithms.join(', ')} on P-256, P-384, X25519 or RSA`)
    }
    if (use !== 'enc') {
      const chosen = signatureAlgorithm(jwk)
      if (chosen !== undefined && typeof kid === 'string') signatures.push({ kid, alg: chosen, key })
      else if (use === 'sig') {
        throw bad(
          typeof kid === 'string'
            ? `expected alg ${String(alg)} to be one of ${signatureAlgorithms.join(', ')}`
            : 'needs a kid',
        )
      }
    }
  }
  if (encryption === undefined && signatures.length === 0)
    throw new ConfigError('P1420', `${at}: no key that can be used`)
  return { encryption, signatures }
}

function encryptionAlgorithm({ kty, crv, alg }: Readonly<Record<string, unknown>>): string | undefined {
  const fits = kty === 'RSA' ? ['RSA-OAEP-256'] : encryptionAlgorithms.slice(0, 3)
  if (kty !== 'RSA' && !['P-256', 'P-384', 'P-521', 'X25519'].includes(crv as string)) return undefined
  if (alg === undefined) return kty === 'RSA' ? 'RSA-OAEP-256' : 'ECDH-ES+A256KW'
  return fits.find((name) => name === alg)
}

function signatureAlgorithm({ kty, crv, alg }: Readonly<Record<string, unknown>>): SignatureAlgorithm | undefined {
  const fits = (...names: readonly unknown[]) => alg === undefined || names.includes(alg)
  if (kty === 'OKP' && crv === 'Ed25519' && fits('EdDSA', 'Ed25519')) return 'ed25519'
  if (kty === 'EC' && crv === 'P-256' && fits('ES256')) return 'ecdsa-p256-sha256'
  if (kty === 'EC' && crv === 'P-384' && fits('ES384')) return 'ecdsa-p384-sha384'
  return kty === 'RSA' && fits('PS512') ? 'rsa-pss-sha512' : undefined
}

import { createPublicKey, type KeyObject } from 'node:crypto'
import { messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { IssuerUnreachable } from './ask.ts'
import { keyFits } from './jws.ts'

/** A public key of an issuer with what its JWK says about its use. */
interface IssuerKey {
  readonly id: string | undefined
  readonly algorithm: string | undefined
  readonly key: KeyObject
}

/** The keys of one issuer. A look-up is bare unless the set must be fetched first. */
export interface KeySet {
  /** Goes up when keys come or go: what was proved under an older version must be proved again. */
  readonly version: number
  /** The one key for an algorithm and key id; rejects or throws `IssuerUnreachable` where that cannot be known. */
  find(
    algorithm: string,
    keyId: string | undefined,
    now: number,
  ): KeyObject | undefined | Promise<KeyObject | undefined>
  /** Fetches anew in the background when the set has grown old. Cheap; called on every use. */
  refreshIfOld(now: number): void
}

const keyCountMax = 100
/** NIST SP 800-131A and RFC 7518, 3.3. */
const rsaBitsMin = 2048

/** With the exponent 1 a signature is its own message: anybody can write one. An even one has no private half. */
function isSoundRsa({ asymmetricKeyDetails: details }: KeyObject): boolean {
  const { modulusLength = 0, publicExponent = 0n } = details ?? {}
  return modulusLength >= rsaBitsMin && publicExponent >= 3n && publicExponent % 2n === 1n
}

/** Reads a JWK set; keys that cannot verify signatures are left out, as RFC 7517, 5 asks. */
export function readKeys(jwks: Readonly<Record<string, unknown>>): readonly IssuerKey[] {
  if (!Array.isArray(jwks.keys)) throw new Error('expected a JWK set: an object with a list "keys" (RFC 7517, 5)')
  if (jwks.keys.length > keyCountMax) throw new Error(`expected at most ${keyCountMax} keys, found ${jwks.keys.length}`)
  return jwks.keys.map(readKey).filter((key) => key !== undefined)
}

function readKey(jwk: unknown): IssuerKey | undefined {
  if (typeof jwk !== 'object' || jwk === null) return undefined
  const { kty, n, e, crv, x, y, kid, alg, use, key_ops: operations } = jwk as Record<string, unknown>
  if (use !== undefined && use !== 'sig') return undefined
  if (Array.isArray(operations) && !operations.includes('verify')) return undefined
  // A symmetric key in a public set is public: it proves nothing. Private members are not even looked at.
  if (kty !== 'RSA' && kty !== 'EC' && kty !== 'OKP') return undefined
  try {
    const members = kty === 'RSA' ? { kty, n, e } : kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x }
    const key = createPublicKey({ key: members as Record<string, string>, format: 'jwk' })
    if (kty === 'RSA' && !isSoundRsa(key)) return undefined
    return { id: typeof kid === 'string' ? kid : undefined, algorithm: typeof alg === 'string' ? alg : undefined, key }
  } catch {
    return undefined
  }
}

/**
 * The key a token means, if that is clear: by its id among this issuer's keys; without an id only where a single
 * key fits, so that no token is tried against everything there is.
 */
export function chooseKey(
  keys: readonly IssuerKey[],
  algorithm: string,
  keyId: string | undefined,
): KeyObject | undefined {
  const fitting = keys.filter(
    (candidate) =>
      (keyId === undefined || candidate.id === keyId) &&
      (candidate.algorithm === undefined || candidate.algorithm === algorithm) &&
      keyFits(algorithm, candidate.key),
  )
  return fitting.length === 1 ? fitting[0]!.key : undefined
}

/** A set that is part of the configuration. */
export function fixedKeySet(keys: readonly IssuerKey[]): KeySet {
  return { version: 1, find: (algorithm, keyId) => chooseKey(keys, algorithm, keyId), refreshIfOld() {} }
}

/** A secret shared with the issuer. It has no id of its own, so whatever id a token gives means this one. */
export function secretKeySet(key: KeyObject): KeySet {
  return { version: 1, find: (algorithm) => (keyFits(algorithm, key) ? key : undefined), refreshIfOld() {} }
}

export interface RemoteKeySetOptions {
  /** The entry under `issuers`, for messages. */
  readonly name: string
  readonly fetchKeys: () => Promise<Readonly<Record<string, unknown>>>
  /** The set of an issuer in this process, looked at on every use and a new object when it changed: nothing old is believed. */
  readonly look?: () => { readonly keys: readonly unknown[] } | undefined
  readonly now: () => number
  readonly log: Logger
  /** After this long the set is fetched again in the background. */
  readonly refreshMs: number
  /** After this long without a successful fetch the set is no longer believed. */
  readonly staleMaxMs: number
  /** Between two fetches because of unknown key ids, and between two tries of a provider that is down. */
  readonly cooldownMs: number
}

/** A set that is fetched, kept fresh and fetched again when a token names a key it lacks. One fetch at a time. */
export class RemoteKeySet implements KeySet {
  version = 0
  readonly #options: RemoteKeySetOptions
  #keys: readonly IssuerKey[] | undefined
  #fingerprint = ''
  #looked: { readonly keys: readonly unknown[] } | undefined
  #fetchedAt = Number.NEGATIVE_INFINITY
  #triedAt = Number.NEGATIVE_INFINITY
  #searchedAt = Number.NEGATIVE_INFINITY
  #fault: IssuerUnreachable | undefined
  #pending: Promise<void> | undefined

  constructor(options: RemoteKeySetOptions) {
    this.#options = options
  }

  /** Fetches now, unless a fetch is under way; then waits for that one. Never rejects. */
  refresh(): Promise<void> {
    this.#pending ??= this.#fetch().finally(() => {
      this.#pending = undefined
    })
    return this.#pending
  }

  refreshIfOld(now: number): void {
    if (this.#look(now)) return
    const { refreshMs, cooldownMs } = this.#options
    if (now - this.#fetchedAt >= refreshMs && now - this.#triedAt >= cooldownMs) void this.refresh()
  }

  find(algorithm: string, keyId: string | undefined, now: number) {
    if (this.#look(now)) return chooseKey(this.#keys!, algorithm, keyId)
    this.refreshIfOld(now)
    if (this.#keys === undefined || now - this.#fetchedAt >= this.#options.staleMaxMs) {
      return this.#findAfterFetch(algorithm, keyId)
    }
    const key = chooseKey(this.#keys, algorithm, keyId)
    if (key !== undefined) return key
    if (this.#pending !== undefined) return this.#findAfterFetch(algorithm, keyId)
    // An unknown id may mean that the issuer has rotated its keys. The cooldown keeps invented ids from turning the
    // gate into a load generator against the issuer.
    if (now - this.#searchedAt < this.#options.cooldownMs) {
      if (this.#fault !== undefined) throw this.#fault
      return undefined
    }
    this.#searchedAt = now
    return this.#findAfterFetch(algorithm, keyId, true)
  }

  /** Takes what an issuer in this process has now; whether there is one. */
  #look(now: number): boolean {
    const set = this.#options.look?.()
    if (set === undefined) return false
    if (set !== this.#looked) {
      this.#take(readKeys({ keys: set.keys }))
      this.#looked = set
    }
    this.#fetchedAt = now
    return true
  }

  async #findAfterFetch(algorithm: string, keyId: string | undefined, force = false): Promise<KeyObject | undefined> {
    const { now, cooldownMs, staleMaxMs } = this.#options
    if (force || this.#pending !== undefined || now() - this.#triedAt >= cooldownMs) await this.refresh()
    if (this.#keys === undefined || now() - this.#fetchedAt >= staleMaxMs) {
      throw this.#fault ?? new IssuerUnreachable('its keys have grown too old')
    }
    const key = chooseKey(this.#keys, algorithm, keyId)
    // Whether the key exists cannot be known while the issuer does not answer.
    if (key === undefined && this.#fault !== undefined) throw this.#fault
    return key
  }

  async #fetch(): Promise<void> {
    const { name, fetchKeys, now, log } = this.#options
    this.#triedAt = now()
    try {
      if (this.#look(now())) return
      this.#take(readKeys(await fetchKeys()))
      this.#fetchedAt = now()
    } catch (error) {
      this.#fault = error instanceof IssuerUnreachable ? error : new IssuerUnreachable(messageOf(error))
      const consequence =
        this.#keys === undefined
          ? 'its tokens are answered 503 until its keys can be fetched'
          : 'tokens are still checked with the keys fetched before'
      log.error(`issuer ${name}: its keys cannot be fetched: ${this.#fault.message}; ${consequence}`, { issuer: name })
    }
  }

  #take(keys: readonly IssuerKey[]): void {
    const { name, log } = this.#options
    const fingerprint = JSON.stringify(
      keys.map(({ id, algorithm, key }) => [id, algorithm, key.export({ format: 'jwk' })]),
    )
    if (fingerprint !== this.#fingerprint) {
      this.#fingerprint = fingerprint
      this.version++
      log.info(`issuer ${name}: ${keys.length} key(s) loaded`, { issuer: name, keys: keys.map((key) => key.id) })
    } else if (this.#fault !== undefined) {
      log.info(`issuer ${name}: reachable again`, { issuer: name })
    }
    this.#keys = keys
    this.#fault = undefined
  }
}

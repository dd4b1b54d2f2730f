import { createHmac, hash, randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { isIP } from 'node:net'
import type {
  AuthenticationResponseJSON,
  AuthenticatorTransport,
  PublicKeyCredentialCreationOptionsJSON,
  PublicKeyCredentialRequestOptionsJSON,
  RegistrationResponseJSON,
} from '@simplewebauthn/server'
import type { Clock } from '../base/clock.ts'
import { factorsPrefix } from '../credentials/second-factors.ts'
import type { Store, Value } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'

/** What an account has beside its password. */
export interface FactorList {
  readonly totp: { readonly createdAt: number } | undefined
  readonly passkeys: readonly Passkey[]
  readonly recoveryCodesLeft: number
}

export interface Passkey {
  readonly id: string
  readonly label: string
  readonly createdAt: number
  readonly usedAt: number | undefined
}

/** A secret that waits for its first code. `sealed` may be kept until then; the others are shown once. */
export interface TotpOffer {
  readonly sealed: string
  readonly secret: string
  readonly uri: string
}

/** `replayed`: it was right, and has been used. */
export type CodeVerdict = 'right' | 'wrong' | 'replayed'

export interface PasskeyProof {
  readonly name: string
  readonly id: string
  /** RFC 8176: `hwk` where the key cannot leave its device, else `swk`; `user` where the device checked who holds it. */
  readonly amr: readonly string[]
}

/** Second factors and passkeys at rest, and whether what somebody shows fits them. */
export interface Factors {
  /** Passkeys belong to a domain (WebAuthn 3, 5.1.2): where the service is known by an address there are none. */
  readonly canUsePasskeys: boolean
  list(name: string): Promise<FactorList>
  offerTotp(name: string): Promise<TotpOffer>
  /** What an offer showed, to show it again. */
  reofferTotp(name: string, sealed: string): Promise<TotpOffer>
  /** Takes the offer if the code fits it; the code is used up by that. */
  acceptTotp(name: string, sealed: string, code: string): Promise<boolean>
  /** Sets one up at once, for somebody else: who gets it needs no first code. In place of an earlier one. */
  setTotp(name: string): Promise<TotpOffer>
  /** A code counts once, over all processes of a store (RFC 6238, 5.2). */
  checkTotp(name: string, code: string): Promise<CodeVerdict>
  removeTotp(name: string): Promise<boolean>
  /** New recovery codes in place of all earlier ones: shown this once, stored as hashes. */
  newRecoveryCodes(name: string): Promise<readonly string[]>
  /** Uses a code up; says whether it was one. */
  useRecoveryCode(name: string, code: string): Promise<boolean>
  /** What the browser needs to make a passkey; `binding` names the sign-in that it belongs to. */
  passkeyCreation(name: string, binding: string): Promise<PublicKeyCredentialCreationOptionsJSON>
  addPasskey(name: string, binding: string, response: unknown, label: string): Promise<Passkey | undefined>
  /** What the browser needs to show a passkey: one of `name`'s, or any that it has for this service. */
  passkeyRequest(binding: string, name?: string): Promise<PublicKeyCredentialRequestOptionsJSON>
  /** Without `name` the passkey says whose it is, and must have checked its user. `undefined`: it proves nothing. */
  checkPasskey(binding: string, response: unknown, name?: string): Promise<PasskeyProof | undefined>
  removePasskey(name: string, id: string): Promise<boolean>
  /** Everything an account has: for one that is removed. */
  removeAll(name: string): Promise<void>
}

export interface FactorsOptions {
  readonly store: Store
  readonly vault: () => Promise<KeyRing>
  readonly now: Clock
  /** The URL of the token service: passkeys belong to its host (WebAuthn, relying party id). */
  readonly issuer: string
  /** Whose service it is, as apps and passkey dialogues show it. */
  readonly serviceName: string
}

const ownerPrefix = 'passkey-owner/'
const usedPrefix = 'challenge-used/'
const totpPurpose = 'one-time-codes'
const challengePurpose = 'passkey-challenges'
const challengeMs = 5 * 60_000
export const recoveryCodeCount = 10
export const passkeysMax = 20
const writeTriesMax = 5
/** EdDSA, ES256, RS256 (COSE). Named here, or the library would probe for newer ones, and Node warn of them. */
const algorithms = [-8, -7, -257] as const
const periodSeconds = 30

export function createFactors({ store, vault, now, issuer, serviceName }: FactorsOptions): Factors {
  const { origin, hostname } = new URL(issuer)
  // Loaded with the first use: a gate without sign-in needs neither.
  const webauthn = () => import('@simplewebauthn/server')
  const otpauth = () => import('otpauth')
  const totpKey = (name: string) => `${factorsPrefix(name)}totp`
  const passkeyPrefix = (name: string) => `${factorsPrefix(name)}passkey/`
  const recoveryPrefix = (name: string) => `${factorsPrefix(name)}recovery/`

  async function totpOf(name: string, secret: Uint8Array) {
    const { TOTP, Secret } = await otpauth()
    const { buffer, byteOffset, byteLength } = secret
    const own = buffer.slice(byteOffset, byteOffset + byteLength) as ArrayBuffer
    // What authenticator apps agree on: RFC 6238 with HMAC-SHA-1, six digits, 30 seconds.
    return new TOTP({ issuer: serviceName, label: name, secret: new Secret({ buffer: own }), period: periodSeconds })
  }

  async function offerOf(name: string, secret: Uint8Array, sealed: string): Promise<TotpOffer> {
    const totp = await totpOf(name, secret)
    return { sealed, secret: totp.secret.base32, uri: totp.toString() }
  }

  /** The time step that a code belongs to: the present one, or the one before or after for clocks that differ. */
  async function stepOf(name: string, sealed: string, code: string): Promise<number | undefined> {
    const token = code.replace(/\s/g, '')
    if (!/^\d{6}$/.test(token)) return undefined
    const secret = await (await vault()).open(totpPurpose, sealed, totpKey(name))
    const timestamp = now()
    const delta = (await totpOf(name, secret)).validate({ token, timestamp, window: 1 })
    return delta === null ? undefined : Math.floor(timestamp / 1_000 / periodSeconds) + delta
  }

  async function passkeysOf(name: string): Promise<readonly StoredPasskey[]> {
    const entries = await store.list(passkeyPrefix(name), { limit: passkeysMax + 1 })
    return entries.map(({ value }) => value as StoredPasskey)
  }

  async function newChallenge(binding: string): Promise<Uint8Array<ArrayBuffer>> {
    const head = Buffer.alloc(24)
    head.set(randomBytes(16))
    head.writeBigUInt64BE(BigInt(now() + challengeMs), 16)
    const key = await (await vault()).secret(challengePurpose, 32)
    return new Uint8Array(Buffer.concat([head, challengeMac(key, head, binding)]))
  }

  /** A challenge counts once and for the sign-in that it was made for. */
  async function useChallenge(challenge: string, binding: string): Promise<boolean> {
    const bytes = Buffer.from(challenge, 'base64url')
    if (bytes.length !== 56) return false
    const head = bytes.subarray(0, 24)
    const keys = await (await vault()).secrets(challengePurpose, 32)
    if (!keys.some((key) => timingSafeEqual(challengeMac(key, head, binding), bytes.subarray(24)))) return false
    if (Number(head.readBigUInt64BE(16)) < now()) return false
    return store.put(usedPrefix + digest(challenge), true, { onlyIfAbsent: true, ttlMs: 2 * challengeMs })
  }

  return {
    canUsePasskeys: isIP(hostname.replace(/^\[|\]$/g, '')) === 0,
    async list(name) {
      const [totp, passkeys, codes] = await Promise.all([
        store.get(totpKey(name)),
        passkeysOf(name),
        store.list(recoveryPrefix(name), { limit: recoveryCodeCount }),
      ])
      return {
        totp: totp === undefined ? undefined : { createdAt: (totp as StoredTotp).createdAt },
        passkeys: passkeys.map(shownPasskey),
        recoveryCodesLeft: codes.length,
      }
    },
    async offerTotp(name) {
      const secret = randomBytes(20)
      return offerOf(name, secret, await (await vault()).seal(totpPurpose, secret, totpKey(name)))
    },
    async reofferTotp(name, sealed) {
      return offerOf(name, await (await vault()).open(totpPurpose, sealed, totpKey(name)), sealed)
    },
    async acceptTotp(name, sealed, code) {
      const step = await stepOf(name, sealed, code)
      if (step === undefined) return false
      const stored: StoredTotp = { sealed, createdAt: now(), step }
      await store.put(totpKey(name), stored)
      return true
    },
    async setTotp(name) {
      const secret = randomBytes(20)
      const sealed = await (await vault()).seal(totpPurpose, secret, totpKey(name))
      await store.put(totpKey(name), { sealed, createdAt: now(), step: 0 })
      return offerOf(name, secret, sealed)
    },
    async checkTotp(name, code) {
      for (let tries = 0; tries < writeTriesMax; tries++) {
        const value = await store.get(totpKey(name))
        if (value === undefined) return 'wrong'
        const stored = value as StoredTotp
        const step = await stepOf(name, stored.sealed, code)
        if (step === undefined) return 'wrong'
        if (step <= stored.step) return 'replayed'
        // Of two processes that see the same code at once, one writes; the other reads again and finds it used.
        if (await store.put(totpKey(name), { ...stored, step }, { onlyIfEquals: value })) return 'right'
      }
      return 'wrong'
    },
    removeTotp: async (name) => store.delete(totpKey(name)),
    async newRecoveryCodes(name) {
      for (const { key } of await store.list(recoveryPrefix(name), { limit: 1_000 })) await store.delete(key)
      const codes = Array.from({ length: recoveryCodeCount }, recoveryCode)
      for (const code of codes) await store.put(recoveryPrefix(name) + digestOfCode(name, code), { createdAt: now() })
      return codes
    },
    // Whoever deletes it has used it: the store lets one of two do so.
    useRecoveryCode: async (name, code) => store.delete(recoveryPrefix(name) + digestOfCode(name, code)),
    async passkeyCreation(name, binding) {
      const existing = await passkeysOf(name)
      return (await webauthn()).generateRegistrationOptions({
        rpName: serviceName,
        rpID: hostname,
        userName: name,
        userDisplayName: name,
        // Says nothing of the person (WebAuthn 3, 14.6.1), and is the same for all passkeys of an account.
        userID: new Uint8Array(Buffer.from(digest(name), 'base64url')),
        challenge: await newChallenge(`create ${binding} ${name}`),
        attestationType: 'none',
        supportedAlgorithmIDs: [...algorithms],
        excludeCredentials: existing.map(({ credentialId }) => ({ id: credentialId })),
        // Discoverable, so that it can sign in without a name.
        authenticatorSelection: { residentKey: 'preferred', userVerification: 'preferred' },
        timeout: challengeMs,
      })
    },
    async addPasskey(name, binding, response, label) {
      if ((await passkeysOf(name)).length >= passkeysMax) return undefined
      const verified = await quiet(async () =>
        (await webauthn()).verifyRegistrationResponse({
          response: response as RegistrationResponseJSON,
          expectedChallenge: (challenge) => useChallenge(challenge, `create ${binding} ${name}`),
          expectedOrigin: origin,
          expectedRPID: hostname,
          requireUserVerification: false,
          supportedAlgorithmIDs: [...algorithms],
        }),
      )
      if (verified?.verified !== true) return undefined
      const { credential, credentialDeviceType } = verified.registrationInfo
      const id = digest(credential.id)
      const stored: StoredPasskey = {
        id,
        credentialId: credential.id,
        publicKey: Buffer.from(credential.publicKey).toString('base64url'),
        counter: credential.counter,
        transports: credential.transports ?? [],
        isBound: credentialDeviceType === 'singleDevice',
        label: labelOf(label),
        createdAt: now(),
      }
      // An id that is taken belongs to somebody: it must not change hands (WebAuthn 3, 7.1, step 26).
      if (!(await store.put(ownerPrefix + id, { name }, { onlyIfAbsent: true }))) return undefined
      await store.put(passkeyPrefix(name) + id, stored)
      return shownPasskey(stored)
    },
    async passkeyRequest(binding, name) {
      const existing = name === undefined ? [] : await passkeysOf(name)
      return (await webauthn()).generateAuthenticationOptions({
        rpID: hostname,
        challenge: await newChallenge(`request ${binding} ${name ?? ''}`),
        allowCredentials: existing.map(({ credentialId, transports }) => ({
          id: credentialId,
          transports: transports as AuthenticatorTransport[],
        })),
        userVerification: name === undefined ? 'required' : 'preferred',
        timeout: challengeMs,
      })
    },
    async checkPasskey(binding, response, name) {
      const credentialId = (response as { id?: unknown } | null)?.id
      if (typeof credentialId !== 'string' || credentialId.length > 2_000) return undefined
      const id = digest(credentialId)
      const owner = (await store.get(ownerPrefix + id)) as { readonly name: string } | undefined
      if (owner === undefined || (name !== undefined && owner.name !== name)) return undefined
      const key = passkeyPrefix(owner.name) + id
      const value = await store.get(key)
      if (value === undefined) return undefined
      const stored = value as StoredPasskey
      const verified = await quiet(async () =>
        (await webauthn()).verifyAuthenticationResponse({
          response: response as AuthenticationResponseJSON,
          expectedChallenge: (challenge) => useChallenge(challenge, `request ${binding} ${name ?? ''}`),
          expectedOrigin: origin,
          expectedRPID: hostname,
          credential: {
            id: stored.credentialId,
            publicKey: new Uint8Array(Buffer.from(stored.publicKey, 'base64url')),
            counter: stored.counter,
          },
          requireUserVerification: name === undefined,
        }),
      )
      if (verified?.verified !== true) return undefined
      const { newCounter, userVerified } = verified.authenticationInfo
      const next = { ...stored, counter: newCounter, usedAt: now() }
      if (!(await store.put(key, next, { onlyIfEquals: value }))) return undefined
      return { name: owner.name, id, amr: [stored.isBound ? 'hwk' : 'swk', ...(userVerified ? ['user'] : [])] }
    },
    async removePasskey(name, id) {
      if (!/^[\w-]{43}$/.test(id) || !(await store.delete(passkeyPrefix(name) + id))) return false
      await store.delete(ownerPrefix + id)
      return true
    },
    async removeAll(name) {
      for (const { id } of await passkeysOf(name)) await store.delete(ownerPrefix + id)
      for (const { key } of await store.list(factorsPrefix(name), { limit: 1_000 })) await store.delete(key)
    },
  }
}

type StoredTotp = { readonly sealed: string; readonly createdAt: number; readonly step: number }

type StoredPasskey = {
  readonly id: string
  readonly credentialId: string
  readonly publicKey: string
  readonly counter: number
  readonly transports: readonly string[]
  readonly isBound: boolean
  readonly label: string
  readonly createdAt: number
  readonly usedAt?: number
} & { readonly [name: string]: Value | undefined }

function shownPasskey({ id, label, createdAt, usedAt }: StoredPasskey): Passkey {
  return { id, label, createdAt, usedAt }
}

function challengeMac(key: Uint8Array, head: Uint8Array, binding: string): Buffer {
  return createHmac('sha256', key).update(head).update(binding).digest()
}

/** Without letters and digits that are taken for one another. */
const codeCharacters = 'abcdefghjkmnpqrstvwxyz23456789'

/** 122 random bits, so that a fast hash keeps them (NIST SP 800-63B-4, 3.1.2.2 asks for 112). */
function recoveryCode(): string {
  const group = () => Array.from({ length: 5 }, () => codeCharacters[randomInt(codeCharacters.length)]!).join('')
  return Array.from({ length: 5 }, group).join('-')
}

function digestOfCode(name: string, code: string): string {
  const plain = code
    .slice(0, 200)
    .toLowerCase()
    .replace(/[^a-z0-9]/g, '')
  return hash('sha256', `${digest(name)} ${plain}`, 'base64url')
}

/** Names may hold anything, and be long: they stand in keys as hashes. */
function digest(text: string): string {
  return hash('sha256', text, 'base64url')
}

function labelOf(label: string): string {
  const text = label.replace(/\p{C}/gu, '').trim().slice(0, 60)
  return text === '' ? 'Passkey' : text
}

/** What a browser sends is anybody's: what the library throws at it means that it proves nothing. */
async function quiet<T>(verify: () => Promise<T>): Promise<T | undefined> {
  try {
    return await verify()
  } catch (error) {
    if ((error as Error).name === 'StoreUnavailable') throw error
    return undefined
  }
}

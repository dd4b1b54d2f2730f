import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject, randomBytes } from 'node:crypto'
import type { JWK } from 'oidc-provider'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { TokenServiceSettings } from '../config/token-service.ts'
import type { Store, Value } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'

/*
 * A signing key lives through four times: published (other services fetch it), signing, verifying only (until the last
 * token it signed has ended), gone. All follow from times in one record, so that every process of a store agrees
 * without talking, and a change is one write that holds or does not.
 */

export type SigningAlgorithm = TokenServiceSettings['signing']

/** A key as lists show it. */
export interface SigningKey {
  readonly kid: string
  readonly alg: SigningAlgorithm
  readonly createdAt: number
  /** From when on it signs. */
  readonly signsFrom: number
  /** From when on nobody needs it; known once its successor is. */
  readonly endsAt: number | undefined
}

/** What a provider is made with, and until when that is right. */
export interface KeysNow {
  /** Private keys, the signing one first: that one the provider takes. */
  readonly keys: readonly JWK[]
  readonly publicKeys: readonly PublicJwk[]
  /** When another key signs, or one ends. */
  readonly changesAt: number
  /** Tells apart what differs. */
  readonly fingerprint: string
}

export type PublicJwk = Readonly<Record<string, unknown>> & { readonly kid: string }

interface KeyRecord extends SigningKey {
  /** The private key as a JWK, sealed; its `kid` is the context. */
  readonly sealed: string
}

interface RingRecord {
  readonly version: 1
  /** The one that signs last comes last. */
  readonly keys: readonly KeyRecord[]
}

export const signingKeysRecord = 'oauth/signing-keys'
const purpose = 'identity/signing'
/** Clocks differ, and a token may be checked a little after its end. */
const leewayMs = 300_000
const triesMax = 20

export interface SigningKeysOptions {
  readonly store: Store
  readonly ring: KeyRing
  readonly now: Clock
  readonly log: Logger
  readonly settings: Pick<TokenServiceSettings, 'signing' | 'keyLife' | 'keyLead' | 'accessTtl'>
}

/** The keys of this moment; makes the first one, and the next one when its time has come. */
export async function currentKeys(options: SigningKeysOptions): Promise<KeysNow> {
  const { store, ring, now, settings } = options
  for (let tries = 0; tries < triesMax; tries++) {
    const written = await store.get(signingKeysRecord)
    const record = written as unknown as RingRecord | undefined
    const at = now()
    const next = await renewed(record, at, options)
    if (next !== record) {
      const condition = written === undefined ? { onlyIfAbsent: true } : { onlyIfEquals: written }
      // Another process was first: its key is the one.
      if (!(await store.put(signingKeysRecord, next as unknown as Value, condition))) continue
    }
    return opened(next, at, ring, settings)
  }
  throw new Error('the signing keys are being changed by others; try again')
}

export interface RotateOptions {
  /** Signs from now on, though others may not have seen it yet. */
  readonly now?: boolean
  /** Ends the old keys at once, and with them every token they signed: for a key that leaked. */
  readonly drop?: boolean
}

/** Makes the next key. It signs after `keyLead`; running gates take it over by themselves. */
export async function rotateSigningKeys(
  options: SigningKeysOptions,
  { now: atOnce = false, drop = false }: RotateOptions = {},
): Promise<SigningKey> {
  const { store, ring, now, settings, log } = options
  for (let tries = 0; tries < triesMax; tries++) {
    const written = await store.get(signingKeysRecord)
    const record = (written as unknown as RingRecord | undefined) ?? { version: 1, keys: [] }
    const at = now()
    const made = await makeKey(settings.signing, at, atOnce || drop ? at : at + settings.keyLead, ring)
    // One that does not sign yet never will: the new one takes its place.
    const old = drop ? [] : record.keys.filter(({ signsFrom }) => signsFrom <= at)
    const keys = [...superseded(old, made.signsFrom, settings), made]
    const condition = written === undefined ? { onlyIfAbsent: true } : { onlyIfEquals: written }
    if (!(await store.put(signingKeysRecord, { version: 1, keys } as unknown as Value, condition))) continue
    log.info('A signing key was made.', { kid: made.kid, alg: made.alg, dropped: drop })
    return shown(made)
  }
  throw new Error('the signing keys are being changed by others; try again')
}

/** The keys there are, the newest last, without what must stay secret. */
export async function listSigningKeys(store: Store): Promise<readonly SigningKey[]> {
  const record = (await store.get(signingKeysRecord)) as unknown as RingRecord | undefined
  return (record?.keys ?? []).map(shown)
}

/** The record as it should be now: the same object where nothing is to be done. */
async function renewed(
  record: RingRecord | undefined,
  at: number,
  { ring, settings, log }: SigningKeysOptions,
): Promise<RingRecord> {
  const alive = (record?.keys ?? []).filter(({ endsAt }) => endsAt === undefined || endsAt > at)
  const newest = alive.at(-1)
  let keys = alive
  if (newest === undefined || newest.alg !== settings.signing) {
    // The first key, or another algorithm: there is nothing that could sign meanwhile.
    const made = await makeKey(settings.signing, at, at, ring)
    keys = [
      ...superseded(
        alive.filter(({ signsFrom }) => signsFrom <= at),
        at,
        settings,
      ),
      made,
    ]
    log.info('A signing key was made.', { kid: made.kid, alg: made.alg })
  } else if (at >= newest.signsFrom + settings.keyLife - settings.keyLead) {
    const made = await makeKey(settings.signing, at, Math.max(at, newest.signsFrom + settings.keyLife), ring)
    keys = [...superseded(alive, made.signsFrom, settings), made]
    log.info('The next signing key was made.', { kid: made.kid, alg: made.alg })
  }
  return record !== undefined && keys.length === record.keys.length && keys === alive ? record : { version: 1, keys }
}

/** Keys that stop signing at `until` verify for as long as a token of theirs may live. */
function superseded(keys: readonly KeyRecord[], until: number, settings: SigningKeysOptions['settings']): KeyRecord[] {
  return keys.map((key) => ({ ...key, endsAt: key.endsAt ?? until + lastTokenMs(settings) }))
}

function lastTokenMs({ accessTtl }: SigningKeysOptions['settings']): number {
  return Math.max(accessTtl, idTokenMs) + leewayMs
}

/** How long an ID token lasts. */
export const idTokenMs = 3_600_000

async function opened(
  { keys }: RingRecord,
  at: number,
  ring: KeyRing,
  { keyLife, keyLead }: SigningKeysOptions['settings'],
): Promise<KeysNow> {
  const jwks = await Promise.all(
    keys.map(async ({ kid, sealed }) => {
      const plain = await ring.open(purpose, sealed, kid)
      return JSON.parse(Buffer.from(plain).toString('utf8')) as JWK & { kid: string }
    }),
  )
  const signing = keys.findLast(({ signsFrom }) => signsFrom <= at) ?? keys.at(-1)!
  const ordered = [...jwks.filter(({ kid }) => kid === signing.kid), ...jwks.filter(({ kid }) => kid !== signing.kid)]
  const newest = keys.at(-1)!
  const times = [
    ...keys.flatMap(({ signsFrom, endsAt }) => [signsFrom, endsAt ?? Number.POSITIVE_INFINITY]),
    newest.signsFrom + keyLife - keyLead,
  ]
  return {
    keys: ordered,
    publicKeys: ordered.map((jwk) => publicOf(jwk)),
    changesAt: Math.min(...times.filter((time) => time > at)),
    fingerprint: ordered.map(({ kid }) => kid).join(' '),
  }
}

function publicOf(jwk: JWK & { readonly kid: string }): PublicJwk {
  const { kty, n, e, crv, x, y } = createPublicKey(keyObjectOf(jwk)).export({ format: 'jwk' })
  const rest = Object.entries({ kty, n, e, crv, x, y }).filter(([, value]) => value !== undefined)
  return { ...Object.fromEntries(rest), kid: jwk.kid, alg: jwk.alg, use: 'sig' }
}

function keyObjectOf(jwk: JWK): KeyObject {
  return createPrivateKey({ key: jwk as never, format: 'jwk' })
}

async function makeKey(alg: SigningAlgorithm, createdAt: number, signsFrom: number, ring: KeyRing): Promise<KeyRecord> {
  const kid = randomBytes(9).toString('base64url')
  const jwk = JSON.stringify({ ...pairFor(alg).export({ format: 'jwk' }), kid, alg, use: 'sig' })
  return { kid, alg, createdAt, signsFrom, endsAt: undefined, sealed: await ring.seal(purpose, Buffer.from(jwk), kid) }
}

function pairFor(alg: SigningAlgorithm): KeyObject {
  switch (alg) {
    case 'ES256':
      return generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    case 'EdDSA':
      return generateKeyPairSync('ed25519').privateKey
    default:
      return generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey
  }
}

function shown({ kid, alg, createdAt, signsFrom, endsAt }: KeyRecord): SigningKey {
  return { kid, alg, createdAt, signsFrom, endsAt }
}

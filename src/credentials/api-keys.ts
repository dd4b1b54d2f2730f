import { hash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Clock } from '../base/clock.ts'
import { ConfigError } from '../base/errors.ts'
import type { Store, Value } from '../store/store.ts'
import { type Bounds, checkedBounds } from './bounds.ts'
import { createRecords, listRecords, type Records } from './records.ts'
import { base62, constantTimeEqual, type Refusal, refused, setOf } from './secret.ts'

/*
 * The format of a key: `pck_<id>_<secret><check>`, 66 characters of [0-9A-Za-z_].
 *   pck_    tells people and secret scanners what it is
 *   id      12 characters, public: names the record, stands in lists and logs
 *   secret  43 characters, 256 random bits
 *   check   6 characters, CRC-32 of all that stands before it: a mistyped or made-up key is told without asking the
 *           store, and a scanner reports no false finds
 * A scanner finds it with \bpck_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}\b
 */
const format = /^pck_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/
const idStart = 4
const idEnd = 16
const secretStart = 17
const checkStart = 60
const prefix = 'api-key/'
const triesMax = 8

/** A key as it may be shown: everything but the key. Times in milliseconds since the epoch. */
export interface ApiKey extends Bounds {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  /** Who answers for it, where said. */
  readonly owner: string | undefined
  /** The plan whose limits it has, where the configuration has plans. */
  readonly plan: string | undefined
  /** What people want to remember of it. */
  readonly note: string | undefined
  /** From when on it works. */
  readonly notBefore: number | undefined
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  readonly rotatedAt: number | undefined
  /** Until when the secret before the last rotation still works. */
  readonly previousUntil: number | undefined
}

export interface NewApiKey extends Partial<Bounds> {
  readonly name: string
  readonly scopes?: readonly string[]
  readonly roles?: readonly string[]
  readonly owner?: string
  readonly plan?: string
  readonly note?: string
  readonly notBefore?: number
  readonly expiresAt?: number
}

/** What may be changed of a key; `null` takes away what it had. */
export type ApiKeyChanges = {
  readonly [Name in keyof NewApiKey]?: NewApiKey[Name] | (undefined extends NewApiKey[Name] ? null : never) | undefined
}

/** The only time the key itself is seen. */
export interface IssuedApiKey {
  readonly key: string
  readonly record: ApiKey
}

/** What a good key says. The same object every time until the record changes, so results can hang on it. */
export interface VerifiedKey {
  readonly kind: 'verified'
  readonly id: string
  readonly name: string
  readonly owner: string | undefined
  readonly plan: string | undefined
  readonly scopes: ReadonlySet<string>
  readonly roles: ReadonlySet<string>
  /** For whoever knows the request to hold it to. */
  readonly bounds: Bounds
  readonly expiresAt: number | undefined
}

export type KeyRefusal = Refusal<'malformed' | 'unknown' | 'mismatch' | 'early' | 'expired' | 'revoked'>

export interface ApiKeys {
  /** Makes a key. Throws `ConfigError` for a name, scope or range that cannot be. */
  create(input: NewApiKey): Promise<IssuedApiKey>
  get(id: string): Promise<ApiKey | undefined>
  /** By id, which is in no order of time; `after` the last id of the page before. At most 1,000. */
  list(options?: { readonly limit?: number; readonly after?: string }): Promise<ApiKey[]>
  /**
   * Changes what a key may do; its secret stays. `expected` is asked of the key as it stands, and `false` leaves it so: how
   * two people keep from undoing each other's work. `undefined` when there is none or it is revoked, `unexpected` when it
   * is another than expected. Throws `ConfigError` for what cannot be.
   */
  update(
    id: string,
    changes: ApiKeyChanges,
    expected?: (key: ApiKey) => boolean,
  ): Promise<ApiKey | 'unexpected' | undefined>
  /** Ends a key for good, its former secret too; `undefined` when there is none. Every gate refuses it within 200 ms. */
  revoke(id: string): Promise<ApiKey | undefined>
  /**
   * Gives a key a new secret; everything else stays, its id too, so limits and logs go on. The former secret works
   * for `graceMs` more (default: not at all). A key that expires lasts as long again from now on, or to `expiresAt`.
   * `undefined` when there is none or it is revoked.
   */
  rotate(
    id: string,
    options?: { readonly graceMs?: number; readonly expiresAt?: number },
  ): Promise<IssuedApiKey | undefined>
  /**
   * Judges what a caller presents; bare when it is known here. While the store does not answer, keys used in the
   * last minutes (`staleMs` in `records.ts`) go on; for others it throws or rejects with `StoreUnavailable`.
   */
  verify(key: string): VerifiedKey | KeyRefusal | Promise<VerifiedKey | KeyRefusal>
  close(): void
}

export interface ApiKeysOptions {
  readonly store: Store
  readonly now?: Clock
  readonly random?: (bytes: number) => Uint8Array
  /** Keys kept in memory, about 1 KB each. */
  readonly entriesMax?: number
}

const malformed = refused('malformed')
const unknown = refused('unknown')
const mismatch = refused('mismatch')
const early = refused('early')
const expired = refused('expired')
const revoked = refused('revoked')

/** API keys in a store, which never sees a key itself. */
export function createApiKeys({
  store,
  now = Date.now,
  random = randomBytes,
  entriesMax = 50_000,
}: ApiKeysOptions): ApiKeys {
  // Made with the first look: who only issues keys needs no cache.
  let records: Records<Known> | undefined

  function verify(key: string): VerifiedKey | KeyRefusal | Promise<VerifiedKey | KeyRefusal> {
    if (!format.test(key) || checkOf(key.slice(0, checkStart)) !== key.slice(checkStart)) return malformed
    records ??= createRecords({ store, prefix, read: known, now, entriesMax })
    const found = records.get(key.slice(idStart, idEnd))
    return found instanceof Promise ? found.then((later) => judge(later, key)) : judge(found, key)
  }

  function judge(found: Known | undefined, key: string): VerifiedKey | KeyRefusal {
    if (found === undefined) return unknown
    const at = now()
    const hashed = hashOf(key)
    // Whoever does not hold the secret learns nothing about the key.
    if (!constantTimeEqual(hashed, found.hash)) {
      const { previous } = found
      if (previous === undefined || !constantTimeEqual(hashed, previous.hash)) return mismatch
      if (at >= previous.until) return expired
    }
    if (found.revoked) return revoked
    if (found.notBefore !== undefined && at < found.notBefore) return early
    return found.expiresAt !== undefined && at >= found.expiresAt ? expired : found.verified
  }

  async function create(input: NewApiKey): Promise<IssuedApiKey> {
    const rights = checked(input)
    for (let tries = 0; tries < triesMax; tries++) {
      const id = base62(random(9), idEnd - idStart)
      const key = newKey(id)
      const stored: StoredKey = { id, ...rights, hash: hashOf(key), createdAt: now() }
      if (await store.put(prefix + id, stored, { onlyIfAbsent: true })) return { key, record: shown(stored) }
    }
    throw new Error('no free id was found for a key; is the source of randomness broken?')
  }

  function newKey(id: string): string {
    const body = `pck_${id}_${base62(random(32), checkStart - secretStart)}`
    return body + checkOf(body)
  }

  /** Reads, changes and writes, again while others write in between; `undefined` from `next` leaves it alone. */
  async function change(id: string, next: (old: StoredKey) => StoredKey | undefined): Promise<StoredKey | undefined> {
    for (let tries = 0; tries < triesMax; tries++) {
      const value = await find(id)
      const old = value === undefined ? undefined : parse(value)
      const changed = old === undefined ? undefined : next(old)
      if (value === undefined || changed === undefined || changed === old) return changed
      if (await store.put(prefix + id, changed, { onlyIfEquals: value })) return changed
    }
    throw new Error(`the key ${id} is being changed by others; try again`)
  }

  async function find(id: string): Promise<Value | undefined> {
    return /^[0-9A-Za-z]{12}$/.test(id) ? await store.get(prefix + id) : undefined
  }

  return {
    create,
    verify,
    async get(id) {
      const value = await find(id)
      const stored = value === undefined ? undefined : parse(value)
      return stored === undefined ? undefined : shown(stored)
    },
    async list(page) {
      return (await listRecords(store, prefix, parse, page)).map(shown)
    },
    async update(id, changes, expected = () => true) {
      let met = true
      const stored = await change(id, (old) => {
        if (old.revokedAt !== undefined) return undefined
        met = expected(shown(old))
        return met
          ? { ...stateOf(old), ...checked({ ...rightsOf(old), ...withoutNulls(rightsOf(old), changes) }) }
          : undefined
      })
      return met ? stored && shown(stored) : 'unexpected'
    },
    async revoke(id) {
      const stored = await change(id, (old) => (old.revokedAt === undefined ? { ...old, revokedAt: now() } : old))
      return stored === undefined ? undefined : shown(stored)
    },
    async rotate(id, { graceMs = 0, expiresAt } = {}) {
      let key = ''
      const stored = await change(id, (old) => {
        if (old.revokedAt !== undefined) return undefined
        const at = now()
        key = newKey(id)
        const { previous: _, expiresAt: end, ...rest } = old
        const lasting = end === undefined ? undefined : at + (end - (old.rotatedAt ?? old.createdAt))
        const until = Math.min(at + graceMs, end ?? Number.POSITIVE_INFINITY)
        return {
          ...rest,
          hash: hashOf(key),
          rotatedAt: at,
          ...((expiresAt ?? lasting) === undefined ? {} : { expiresAt: expiresAt ?? lasting }),
          ...(until > at ? { previous: { hash: old.hash, until } } : {}),
        }
      })
      return stored === undefined ? undefined : { key, record: shown(stored) }
    },
    close() {
      records?.close()
      records = undefined
    },
  }
}

/**
 * SHA-256 and no slow hash: 256 random bits cannot be tried out, however fast (NIST SP 800-63B, 5.1.2.2, asks for a
 * plain approved hash from 112 bits on). The whole key goes in, so a secret belongs to its id.
 */
function hashOf(key: string): string {
  return hash('sha256', key, 'base64url')
}

function checkOf(body: string): string {
  return base62(crc32(body), 6)
}

/** A record as the store holds it. */
type StoredKey = {
  readonly id: string
  readonly name: string
  readonly hash: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  readonly cidrs: readonly string[]
  /** Keys made before there were bounds have none. */
  readonly origins?: readonly string[]
  readonly operations?: readonly string[]
  readonly owner?: string | undefined
  readonly plan?: string | undefined
  readonly note?: string | undefined
  readonly notBefore?: number | undefined
  readonly createdAt: number
  readonly expiresAt?: number | undefined
  readonly revokedAt?: number | undefined
  readonly rotatedAt?: number | undefined
  readonly previous?: { readonly hash: string; readonly until: number }
}

/** A record as requests need it. */
interface Known {
  readonly hash: string
  readonly previous: { readonly hash: string; readonly until: number } | undefined
  readonly revoked: boolean
  readonly notBefore: number | undefined
  readonly expiresAt: number | undefined
  readonly verified: VerifiedKey
}

/** What this program wrote has this form; what has not is no key, and opens nothing. */
function parse(value: Value): StoredKey | undefined {
  const stored = value as Partial<StoredKey> | null
  if (typeof stored !== 'object' || stored === null) return undefined
  const { id, name, hash, scopes, roles, cidrs, origins = [], operations = [], createdAt, previous } = stored
  const { notBefore, expiresAt, revokedAt, rotatedAt } = stored
  if (typeof id !== 'string' || typeof name !== 'string' || typeof hash !== 'string') return undefined
  if (![scopes, roles, cidrs, origins, operations].every(isTextList) || typeof createdAt !== 'number') return undefined
  // A time that cannot be compared would never come.
  if (![notBefore, expiresAt, revokedAt, rotatedAt].every((time) => time === undefined || typeof time === 'number'))
    return undefined
  if (previous !== undefined && !(typeof previous?.hash === 'string' && typeof previous.until === 'number'))
    return undefined
  return stored as StoredKey
}

function isTextList(list: unknown): boolean {
  return Array.isArray(list) && list.every((word) => typeof word === 'string')
}

function known(value: Value): Known | undefined {
  const stored = parse(value)
  if (stored === undefined) return undefined
  const { id, name, hash, scopes, roles, cidrs, origins = [], operations = [], previous } = stored
  const { owner, plan, notBefore, expiresAt, revokedAt } = stored
  return {
    hash,
    previous,
    revoked: revokedAt !== undefined,
    notBefore,
    expiresAt,
    verified: {
      kind: 'verified',
      id,
      name,
      owner,
      plan,
      scopes: setOf(scopes),
      roles: setOf(roles),
      bounds: { cidrs, origins, operations },
      expiresAt,
    },
  }
}

function shown({ hash: _, previous, ...rest }: StoredKey): ApiKey {
  return {
    ...rest,
    origins: rest.origins ?? [],
    operations: rest.operations ?? [],
    owner: rest.owner,
    plan: rest.plan,
    note: rest.note,
    notBefore: rest.notBefore,
    expiresAt: rest.expiresAt,
    revokedAt: rest.revokedAt,
    rotatedAt: rest.rotatedAt,
    previousUntil: previous?.until,
  }
}

/** What whoever makes a key says of it. */
function rightsOf(stored: StoredKey): NewApiKey {
  const { id: _, hash: _h, previous: _p, createdAt: _c, rotatedAt: _r, revokedAt: _v, ...rights } = stored
  return rights as NewApiKey
}

/** What time and rotation have made of it. */
function stateOf({ id, hash, createdAt, rotatedAt, previous }: StoredKey) {
  return {
    id,
    hash,
    createdAt,
    ...(rotatedAt === undefined ? {} : { rotatedAt }),
    ...(previous === undefined ? {} : { previous }),
  }
}

/** `null` takes a member away; what is not named stays. */
function withoutNulls(before: NewApiKey, changes: ApiKeyChanges): NewApiKey {
  const merged: Record<string, unknown> = { ...before }
  for (const [name, value] of Object.entries(changes)) if (value !== undefined) merged[name] = value ?? undefined
  return merged as unknown as NewApiKey
}

const nameMax = 200
const noteMax = 1_000
const rightsMax = 256
/** RFC 6749, 3.3: printable ASCII without space, quote and backslash. */
const scopeFormat = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/
const planFormat = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/

function checked(input: NewApiKey) {
  const { name, scopes = [], roles = [], owner, plan, note, notBefore, expiresAt } = input
  if (!isPrintable(name, nameMax)) {
    throw new ConfigError('P1042', `a key's name has 1 to ${nameMax} printable characters`)
  }
  checkWords(scopes, 'scope')
  checkWords(roles, 'role')
  for (const [what, text, max] of [
    ['owner', owner, nameMax],
    ['note', note, noteMax],
  ] as const) {
    if (text !== undefined && !isPrintable(text, max)) {
      throw new ConfigError('P1042', `a key's ${what} has 1 to ${max} printable characters`)
    }
  }
  if (plan !== undefined && !planFormat.test(plan)) {
    throw new ConfigError('P1042', "a key's plan is one of `plans`: letters, digits, dots, hyphens")
  }
  if (![notBefore, expiresAt].every((time) => time === undefined || Number.isFinite(time))) {
    throw new ConfigError('P1042', "a key's start and end are times in milliseconds since the epoch")
  }
  if (notBefore !== undefined && expiresAt !== undefined && notBefore >= expiresAt) {
    throw new ConfigError('P1042', 'a key that ends before it begins would never work')
  }
  return {
    name,
    scopes: [...new Set(scopes)],
    roles: [...new Set(roles)],
    ...checkedBounds(input),
    ...(owner === undefined ? {} : { owner }),
    ...(plan === undefined ? {} : { plan }),
    ...(note === undefined ? {} : { note }),
    ...(notBefore === undefined ? {} : { notBefore }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
}

/** Refuses what is no scope or role. Throws `ConfigError`. */
export function checkWords(words: readonly string[], what: 'scope' | 'role', code: 'P1042' | 'P1044' = 'P1042'): void {
  if (words.length <= rightsMax && words.every((word) => scopeFormat.test(word))) return
  throw new ConfigError(code, `${what}s are at most ${rightsMax} words without spaces, such as orders:read`)
}

/** Printed in lists and logs, so nothing in it may steer a terminal. */
export function isPrintable(text: string, max: number): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: this is where they are refused.
  return text.length >= 1 && text.length <= max && !/[\x00-\x1f\x7f-\x9f]/.test(text) && text.isWellFormed()
}

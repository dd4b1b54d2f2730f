import { hash, randomBytes } from 'node:crypto'
import { crc32 } from 'node:zlib'
import type { Clock } from '../base/clock.ts'
import { ConfigError } from '../base/errors.ts'
import { parseIpRange } from '../base/ip.ts'
import type { Store, Value } from '../store/store.ts'
import { createRecords, type Records } from './records.ts'
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
const listMax = 1_000
const triesMax = 8

/** A key as it may be shown: everything but the key. Times in milliseconds since the epoch. */
export interface ApiKey {
  readonly id: string
  readonly name: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  /** Address ranges the key may be used from; empty: from everywhere. */
  readonly cidrs: readonly string[]
  /** Who answers for it, where said. */
  readonly owner: string | undefined
  readonly createdAt: number
  readonly expiresAt: number | undefined
  readonly revokedAt: number | undefined
  readonly rotatedAt: number | undefined
  /** Until when the secret before the last rotation still works. */
  readonly previousUntil: number | undefined
}

export interface NewApiKey {
  readonly name: string
  readonly scopes?: readonly string[]
  readonly roles?: readonly string[]
  readonly cidrs?: readonly string[]
  readonly owner?: string
  readonly expiresAt?: number
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
  readonly scopes: ReadonlySet<string>
  readonly roles: ReadonlySet<string>
  /** For the caller to compare with the client's address. */
  readonly cidrs: readonly string[]
  readonly expiresAt: number | undefined
}

export type KeyRefusal = Refusal<'malformed' | 'unknown' | 'mismatch' | 'expired' | 'revoked'>

export interface ApiKeys {
  /** Makes a key. Throws `ConfigError` for a name, scope or range that cannot be. */
  create(input: NewApiKey): Promise<IssuedApiKey>
  get(id: string): Promise<ApiKey | undefined>
  /** By id, which is in no order of time; `after` the last id of the page before. At most 1,000. */
  list(options?: { readonly limit?: number; readonly after?: string }): Promise<ApiKey[]>
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

  /** Reads, changes and writes, again while others write in between; `undefined` from `change` leaves it alone. */
  async function update(id: string, change: (old: StoredKey) => StoredKey | undefined): Promise<StoredKey | undefined> {
    for (let tries = 0; tries < triesMax; tries++) {
      const value = await find(id)
      const old = value === undefined ? undefined : parse(value)
      const next = old === undefined ? undefined : change(old)
      if (value === undefined || next === undefined || next === old) return next
      if (await store.put(prefix + id, next, { onlyIfEquals: value })) return next
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
    async list({ limit = listMax, after } = {}) {
      const options = { limit: Math.min(limit, listMax), ...(after === undefined ? {} : { after: prefix + after }) }
      const entries = await store.list(prefix, options)
      return entries
        .map(({ value }) => parse(value))
        .filter((stored) => stored !== undefined)
        .map(shown)
    },
    async revoke(id) {
      const stored = await update(id, (old) => (old.revokedAt === undefined ? { ...old, revokedAt: now() } : old))
      return stored === undefined ? undefined : shown(stored)
    },
    async rotate(id, { graceMs = 0, expiresAt } = {}) {
      let key = ''
      const stored = await update(id, (old) => {
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
  readonly owner?: string | undefined
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
  readonly expiresAt: number | undefined
  readonly verified: VerifiedKey
}

/** What this program wrote has this form; what has not is no key, and opens nothing. */
function parse(value: Value): StoredKey | undefined {
  const stored = value as Partial<StoredKey> | null
  if (typeof stored !== 'object' || stored === null) return undefined
  const { id, name, hash, scopes, roles, cidrs, createdAt, expiresAt, revokedAt, rotatedAt, previous } = stored
  if (typeof id !== 'string' || typeof name !== 'string' || typeof hash !== 'string') return undefined
  if (![scopes, roles, cidrs].every(isTextList) || typeof createdAt !== 'number') return undefined
  // A time that cannot be compared would never come.
  if (![expiresAt, revokedAt, rotatedAt].every((time) => time === undefined || typeof time === 'number'))
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
  const { id, name, hash, scopes, roles, cidrs, owner, expiresAt, revokedAt, previous } = stored
  return {
    hash,
    previous,
    revoked: revokedAt !== undefined,
    expiresAt,
    verified: { kind: 'verified', id, name, owner, scopes: setOf(scopes), roles: setOf(roles), cidrs, expiresAt },
  }
}

function shown({ hash: _, previous, ...rest }: StoredKey): ApiKey {
  return {
    ...rest,
    owner: rest.owner,
    expiresAt: rest.expiresAt,
    revokedAt: rest.revokedAt,
    rotatedAt: rest.rotatedAt,
    previousUntil: previous?.until,
  }
}

const nameMax = 200
const rightsMax = 256
/** RFC 6749, 3.3: printable ASCII without space, quote and backslash. */
const scopeFormat = /^[\x21\x23-\x5b\x5d-\x7e]{1,256}$/

function checked({ name, scopes = [], roles = [], cidrs = [], owner, expiresAt }: NewApiKey) {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: a name is printed in lists and logs.
  if (name.length < 1 || name.length > nameMax || /[\x00-\x1f\x7f]/.test(name) || !name.isWellFormed()) {
    throw new ConfigError('P1042', `a key's name has 1 to ${nameMax} printable characters`)
  }
  for (const [what, words] of [
    ['scope', scopes],
    ['role', roles],
  ] as const) {
    const wrong = words.find((word) => !scopeFormat.test(word))
    if (wrong !== undefined || words.length > rightsMax) {
      throw new ConfigError(
        'P1042',
        `a key's ${what}s are at most ${rightsMax} words without spaces, such as orders:read`,
      )
    }
  }
  for (const [i, cidr] of cidrs.entries()) parseIpRange(cidr, `cidrs[${i}]`)
  if (expiresAt !== undefined && !Number.isFinite(expiresAt)) {
    throw new ConfigError('P1042', "a key's end is a time in milliseconds since the epoch")
  }
  return {
    name,
    scopes: [...new Set(scopes)],
    roles: [...new Set(roles)],
    cidrs: [...cidrs],
    ...(owner === undefined ? {} : { owner }),
    ...(expiresAt === undefined ? {} : { expiresAt }),
  }
}

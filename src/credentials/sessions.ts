import { hash, randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Store, Value } from '../store/store.ts'
import { createRecords, type Records } from './records.ts'
import { base62, type Refusal, refused } from './secret.ts'

const prefix = 'session/'
/** Which sessions carry a tag: `session-tag/<hash of the tag>/<hash of the id>`. */
const tagPrefix = 'session-tag/'
const pageSize = 1_000
/** `pcs_` and 43 characters, 256 random bits. */
const format = /^pcs_[0-9A-Za-z]{43}$/

/** A session of a known caller. The same object until it changes. Times in milliseconds since the epoch. */
export interface Session {
  readonly kind: 'verified'
  readonly subject: string
  readonly claims: Readonly<Record<string, Value>>
  readonly createdAt: number
  /** When it ends, however busy it is. */
  readonly expiresAt: number
}

export type SessionRefusal = Refusal<'malformed' | 'unknown' | 'expired'>

export interface NewSession {
  readonly subject: string
  readonly claims?: Readonly<Record<string, Value>>
  /** How long it lasts at most. */
  readonly ttlMs: number
  /** How long it lasts without a request. Default: as long as `ttlMs`. */
  readonly idleMs?: number
  /** What it can be ended by besides its id, such as a sign-in at an issuer. At most a few. */
  readonly tags?: readonly string[]
}

export interface Sessions {
  /** Makes a session; the returned id goes into the cookie and nowhere else. */
  create(input: NewSession): Promise<string>
  /** Judges what a caller's cookie or header says; bare when it is known here. Fails closed as API keys do. */
  verify(id: string): Session | SessionRefusal | Promise<Session | SessionRefusal>
  /** Ends a session; says whether there was one. Every gate refuses it within 200 ms. */
  revoke(id: string): Promise<boolean>
  /** Ends all sessions that were made with this tag; says how many there were. */
  revokeTagged(tag: string): Promise<number>
  close(): void
}

export interface SessionsOptions {
  readonly store: Store
  readonly log: Logger
  readonly now?: Clock
  readonly random?: (bytes: number) => Uint8Array
  readonly entriesMax?: number
}

const malformed = refused('malformed')
const unknown = refused('unknown')
const expired = refused('expired')
/** A session in use is written again after so much of its idle time: few writes, and it ends at most that early. */
const touchAfter = 0.1

/** Sessions in a store, which sees only a hash of their ids: who reads the store can take over none of them. */
export function createSessions({
  store,
  log,
  now = Date.now,
  random = randomBytes,
  entriesMax = 50_000,
}: SessionsOptions): Sessions {
  let records: Records<Known> | undefined
  const touching = new Set<string>()

  function verify(id: string): Session | SessionRefusal | Promise<Session | SessionRefusal> {
    if (!format.test(id)) return malformed
    records ??= createRecords({ store, prefix, read: known, now, entriesMax })
    // The record is found by the hash, so no secret is compared, and timing tells only of the hash.
    const name = nameOf(id)
    const found = records.get(name)
    return found instanceof Promise ? found.then((later) => judge(later, name)) : judge(found, name)
  }

  function judge(found: Known | undefined, name: string): Session | SessionRefusal {
    if (found === undefined) return unknown
    const at = now()
    const { session, idleMs, seenAt } = found
    if (at >= session.expiresAt || at >= seenAt + idleMs) return expired
    if (at >= seenAt + idleMs * touchAfter && !touching.has(name)) touch(name, at)
    return session
  }

  /** Notes that the session is in use; never brings back one that was ended meanwhile. */
  function touch(name: string, at: number): void {
    touching.add(name)
    refresh(name, at)
      .catch((error: unknown) => log.warn('a session could not be prolonged', { reason: messageOf(error) }))
      .finally(() => touching.delete(name))
  }

  async function refresh(name: string, at: number): Promise<void> {
    const value = await store.get(prefix + name)
    const stored = value === undefined ? undefined : parse(value)
    if (value === undefined || stored === undefined || stored.seenAt >= at) return
    await store.put(prefix + name, { ...stored, seenAt: at }, { onlyIfEquals: value, ttlMs: restOf(stored, at) })
  }

  return {
    verify,
    async create({ subject, claims = {}, ttlMs, idleMs = ttlMs, tags = [] }) {
      if (!(ttlMs > 0 && idleMs > 0)) throw new TypeError('a session needs a positive ttlMs and idleMs')
      const id = `pcs_${base62(random(32), 43)}`
      const at = now()
      const stored: StoredSession = { subject, claims, createdAt: at, seenAt: at, expiresAt: at + ttlMs, idleMs }
      const name = nameOf(id)
      // First, so that no session is there which cannot be ended.
      for (const tag of tags) await store.put(`${tagPrefix}${nameOf(tag)}/${name}`, true, { ttlMs })
      await store.put(prefix + name, stored, { ttlMs: restOf(stored, at) })
      return id
    },
    async revoke(id) {
      return format.test(id) && (await store.delete(prefix + nameOf(id)))
    },
    async revokeTagged(tag) {
      const at = `${tagPrefix}${nameOf(tag)}/`
      let ended = 0
      for (;;) {
        const page = await store.list(at, { limit: pageSize })
        for (const { key } of page) {
          if (await store.delete(prefix + key.slice(at.length))) ended++
          await store.delete(key)
        }
        if (page.length < pageSize) return ended
      }
    },
    close() {
      records?.close()
      records = undefined
    },
  }
}

/** The store forgets a session by itself when nobody can use it any more. */
function restOf({ expiresAt, idleMs }: StoredSession, at: number): number {
  return Math.max(1, Math.min(expiresAt - at, idleMs))
}

function nameOf(id: string): string {
  return hash('sha256', id, 'base64url')
}

type StoredSession = {
  readonly subject: string
  readonly claims: Readonly<Record<string, Value>>
  readonly createdAt: number
  readonly seenAt: number
  readonly expiresAt: number
  readonly idleMs: number
}

interface Known {
  readonly session: Session
  readonly idleMs: number
  readonly seenAt: number
}

function parse(value: Value): StoredSession | undefined {
  const stored = value as Partial<StoredSession> | null
  if (typeof stored !== 'object' || stored === null || typeof stored.subject !== 'string') return undefined
  const { claims, createdAt, seenAt, expiresAt, idleMs } = stored
  const times = [createdAt, seenAt, expiresAt, idleMs].every((time) => typeof time === 'number')
  return times && typeof claims === 'object' && claims !== null ? (stored as StoredSession) : undefined
}

function known(value: Value): Known | undefined {
  const stored = parse(value)
  if (stored === undefined) return undefined
  const { subject, claims, createdAt, expiresAt, idleMs, seenAt } = stored
  return { session: { kind: 'verified', subject, claims, createdAt, expiresAt }, idleMs, seenAt }
}

export interface SessionCookieOptions {
  /** Default `__Host-portcullis`. A name without the `__Host-` prefix is allowed for an upstream that needs it. */
  readonly name?: string
  readonly sameSite?: 'Strict' | 'Lax' | 'None'
}

/** The Set-Cookie values of a session. */
export interface SessionCookie {
  readonly name: string
  readonly set: (id: string, maxAgeSeconds: number) => string
  readonly clear: string
}

/**
 * A cookie that scripts cannot read, that travels only encrypted, and that no other host and no other path can set or
 * shadow: the `__Host-` prefix asks for Secure, Path=/ and no Domain (RFC 6265bis, 4.1.3.2).
 */
export function sessionCookie({
  name = '__Host-portcullis',
  sameSite = 'Lax',
}: SessionCookieOptions = {}): SessionCookie {
  // RFC 6265, 4.1.1: a cookie's name is a token.
  if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}$/.test(name)) throw new TypeError('a cookie is named by a token')
  const flags = `Path=/; Secure; HttpOnly; SameSite=${sameSite}`
  return {
    name,
    set: (id, maxAgeSeconds) => `${name}=${id}; Max-Age=${Math.max(0, Math.floor(maxAgeSeconds))}; ${flags}`,
    clear: `${name}=; Max-Age=0; ${flags}`,
  }
}

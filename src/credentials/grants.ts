import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import type { Store, Value } from '../store/store.ts'
import { checkWords, isPrintable } from './api-keys.ts'
import { checkedBounds } from './bounds.ts'
import { listRecords, staleMs, trustMs } from './records.ts'
import { base62 } from './secret.ts'

const prefix = 'grant/'
const idFormat = /^[0-9A-Za-z]{12}$/
const listMax = 1_000
const triesMax = 8
/** More than anybody keeps in mind; the bound is on memory. */
const grantsMax = 100_000
/** How long one that is over stays in the list, so that people can see who had what. */
const keptMs = 90 * 86_400_000
const longestMs = 366 * 86_400_000
const subjectMax = 512

/** Rights somebody has for a while, besides those of the credential. Times in milliseconds since the epoch. */
export interface Grant {
  readonly id: string
  /** Whom it is given to: the subject of a token, the id of a key, the name of a user. */
  readonly subject: string
  /** The entry of `auth` that vouches for that subject: the same name elsewhere is somebody else. */
  readonly via: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  /** The operations it counts for; empty: all. */
  readonly operations: readonly string[]
  /** The addresses it counts from; empty: everywhere. */
  readonly cidrs: readonly string[]
  readonly reason: string | undefined
  /** Who gave it. */
  readonly grantedBy: string
  readonly createdAt: number
  readonly from: number
  /** It has an end: that is what it is for. */
  readonly until: number
  readonly revokedAt: number | undefined
  readonly revokedBy: string | undefined
}

export interface NewGrant {
  readonly subject: string
  readonly via: string
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
  readonly operations?: readonly string[]
  readonly cidrs?: readonly string[]
  readonly reason?: string
  readonly grantedBy: string
  readonly from?: number
  readonly until: number
}

export interface Grants {
  /** Makes a grant. Throws `ConfigError` for what cannot be. */
  create(input: NewGrant): Promise<Grant>
  get(id: string): Promise<Grant | undefined>
  /** By id, which is in no order of time; `after` the last id of the page before. At most 1,000. */
  list(options?: { readonly limit?: number; readonly after?: string }): Promise<Grant[]>
  /** Ends a grant before its time, on every gate within 200 ms; `undefined` when there is none. */
  revoke(id: string, by: string): Promise<Grant | undefined>
}

export interface GrantsOptions {
  readonly store: Store
  readonly now?: Clock
  readonly random?: (bytes: number) => Uint8Array
}

/** Time-boxed grants in a store. */
export function createGrants({ store, now = Date.now, random = randomBytes }: GrantsOptions): Grants {
  async function find(id: string): Promise<Value | undefined> {
    return idFormat.test(id) ? await store.get(prefix + id) : undefined
  }

  return {
    async create(input) {
      const at = now()
      const given = checked(input, at)
      for (let tries = 0; tries < triesMax; tries++) {
        const id = base62(random(9), 12)
        const stored: StoredGrant = { id, ...given, createdAt: at, told: 'nothing' }
        const ttlMs = given.until - at + keptMs
        if (await store.put(prefix + id, stored, { onlyIfAbsent: true, ttlMs })) return shown(stored)
      }
      throw new Error('no free id was found for a grant; is the source of randomness broken?')
    },
    async get(id) {
      const value = await find(id)
      const stored = value === undefined ? undefined : parse(value)
      return stored === undefined ? undefined : shown(stored)
    },
    async list(page) {
      return (await listRecords(store, prefix, parse, page)).map(shown)
    },
    async revoke(id, by) {
      for (let tries = 0; tries < triesMax; tries++) {
        const value = await find(id)
        const old = value === undefined ? undefined : parse(value)
        if (value === undefined || old === undefined) return undefined
        const at = now()
        // What is over by itself was not revoked.
        if (old.revokedAt !== undefined || at >= old.until) return shown(old)
        const next: StoredGrant = { ...old, revokedAt: at, revokedBy: by }
        if (await store.put(prefix + id, next, { onlyIfEquals: value, ttlMs: keptMs })) return shown(next)
      }
      throw new Error(`the grant ${id} is being changed by others; try again`)
    },
  }
}

/** How a grant stands at a moment. */
export function grantState({ from, until, revokedAt }: Grant, at: number): 'coming' | 'active' | 'ended' | 'revoked' {
  if (revokedAt !== undefined) return 'revoked'
  if (at >= until) return 'ended'
  return at < from ? 'coming' : 'active'
}

/** The grants in force, in memory: asked on every request with a caller. */
export interface ActiveGrants {
  /** How many there are: with none, nobody need be looked up. */
  readonly size: () => number
  /** Grants of a caller that have not ended, perhaps not begun; the same list until one of anybody's changes. */
  readonly of: (subject: string, via: string) => readonly Grant[] | undefined
  /** Reads the store again now, and tells what is to be told; for tests, and on changes by itself. */
  readonly refresh: () => Promise<void>
  readonly close: () => void
}

export interface WatchGrantsOptions {
  readonly store: Store
  readonly now: Clock
  readonly log: Logger
  /** Told once for each grant that is made, revoked or over, whoever noticed first. */
  readonly tell?: Tell
}

/** Loads the grants and follows the store's changes. A grant ends by the clock of each process, without being told. */
export async function watchGrants({ store, now, log, tell }: WatchGrantsOptions): Promise<ActiveGrants> {
  let known: ReadonlyMap<string, readonly Grant[]> = new Map()
  let confirmedAt = now()
  let loading: Promise<void> | undefined
  let again = false
  let closed = false
  let timer: NodeJS.Timeout | undefined

  async function load(): Promise<void> {
    do {
      again = false
      const askedAt = now()
      const bySubject = new Map<string, Grant[]>()
      let nextEnd = askedAt + trustMs / 2
      let count = 0
      let after: string | undefined
      for (;;) {
        const page = await store.list(prefix, after === undefined ? { limit: listMax } : { limit: listMax, after })
        for (const { key, value } of page) {
          const stored = parse(value)
          if (stored === undefined || key !== prefix + stored.id) continue
          const at = now()
          const state = grantState(shown(stored), at)
          if (tell !== undefined) await tellOf(stored, value, state, tell)
          if (state === 'revoked' || state === 'ended' || count >= grantsMax) continue
          count++
          nextEnd = Math.min(nextEnd, stored.until)
          const list = bySubject.get(stored.subject) ?? []
          list.push(shown(stored))
          bySubject.set(stored.subject, list)
        }
        if (page.length < listMax) break
        after = page.at(-1)!.key
      }
      known = bySubject
      confirmedAt = askedAt
      schedule(nextEnd - now())
    } while (again && !closed)
  }

  /** One process wins the right to tell by writing that it was told. */
  async function tellOf(stored: StoredGrant, value: Value, state: ReturnType<typeof grantState>, tell: Tell) {
    const due = state === 'revoked' || state === 'ended' ? state : 'made'
    if (stored.told === due || closed) return
    const rest = (stored.revokedAt ?? stored.until) + keptMs - now()
    if (rest <= 0) return
    const won = await store.put(prefix + stored.id, { ...stored, told: due }, { onlyIfEquals: value, ttlMs: rest })
    if (!won) return
    const { id, subject, via, roles, scopes, until, grantedBy, revokedBy } = stored
    if (due !== 'made' && stored.told === 'nothing') told('made')
    told(due)
    function told(what: 'made' | 'revoked' | 'ended') {
      const by = what === 'made' ? grantedBy : what === 'revoked' ? revokedBy : undefined
      const rights = [...roles.map((role) => `role:${role}`), ...scopes].join(' ').slice(0, 500)
      tell({ event: `grant.${what}`, subject, id, detail: { via, rights, by, until: new Date(until).toISOString() } })
    }
  }

  function schedule(ms: number) {
    clearTimeout(timer)
    if (closed) return
    timer = setTimeout(() => void refresh().catch(failed), Math.max(20, Math.min(ms, trustMs / 2)))
    timer.unref()
  }

  function refresh(): Promise<void> {
    again = true
    loading ??= load().finally(() => {
      loading = undefined
    })
    return loading
  }

  function failed(error: unknown) {
    log.error('grants cannot be read from the store', { error: messageOf(error) })
    schedule(1_000)
  }

  const stop = store.onChange((key) => {
    if (key !== undefined && !key.startsWith(prefix)) return
    refresh().catch(failed)
  })
  try {
    await refresh()
  } catch (error) {
    // Nobody has it to close: it must not go on listening.
    closed = true
    stop()
    throw error
  }
  const none: ReadonlyMap<string, readonly Grant[]> = new Map()
  /** A grant adds rights, so a process that has long heard nothing of the store gives none. */
  const believed = () => (now() - confirmedAt < staleMs ? known : none)

  return {
    size: () => known.size,
    of(subject, via) {
      const all = believed().get(subject)
      if (all === undefined) return undefined
      if (all.every((grant) => grant.via === via)) return all
      const own = all.filter((grant) => grant.via === via)
      return own.length === 0 ? undefined : own
    },
    refresh,
    close() {
      closed = true
      clearTimeout(timer)
      stop()
    },
  }
}

type StoredGrant = {
  readonly id: string
  readonly subject: string
  readonly via: string
  readonly roles: readonly string[]
  readonly scopes: readonly string[]
  readonly operations: readonly string[]
  readonly cidrs: readonly string[]
  readonly reason?: string | undefined
  readonly grantedBy: string
  readonly createdAt: number
  readonly from: number
  readonly until: number
  readonly revokedAt?: number | undefined
  readonly revokedBy?: string | undefined
  /** Which of its events was told last. */
  readonly told: 'nothing' | 'made' | 'revoked' | 'ended'
}

/** What this program wrote has this form; what has not grants nothing. */
function parse(value: Value): StoredGrant | undefined {
  const stored = value as Partial<StoredGrant> | null
  if (typeof stored !== 'object' || stored === null) return undefined
  const { id, subject, via, roles, scopes, operations, cidrs, grantedBy, createdAt, from, until, revokedAt } = stored
  if (![id, subject, via, grantedBy].every((text) => typeof text === 'string')) return undefined
  const lists = [roles, scopes, operations, cidrs]
  if (!lists.every((list) => Array.isArray(list) && list.every((word) => typeof word === 'string'))) return undefined
  if (![createdAt, from, until].every((time) => typeof time === 'number')) return undefined
  return revokedAt === undefined || typeof revokedAt === 'number' ? (stored as StoredGrant) : undefined
}

function shown({ told: _, ...rest }: StoredGrant): Grant {
  return { ...rest, reason: rest.reason, revokedAt: rest.revokedAt, revokedBy: rest.revokedBy }
}

function checked(input: NewGrant, at: number) {
  const {
    subject,
    via,
    roles = [],
    scopes = [],
    operations = [],
    cidrs = [],
    reason,
    grantedBy,
    from = at,
    until,
  } = input
  if (!isPrintable(subject, subjectMax) || !isPrintable(via, 200)) {
    throw new ConfigError('P1044', `a grant names its subject, of 1 to ${subjectMax} printable characters`)
  }
  checkWords(roles, 'role', 'P1044')
  checkWords(scopes, 'scope', 'P1044')
  if (roles.length + scopes.length === 0) throw new ConfigError('P1044', 'a grant gives a role or a scope at least')
  if (reason !== undefined && !isPrintable(reason, 1_000)) {
    throw new ConfigError('P1044', 'a reason has 1 to 1000 printable characters')
  }
  if (!Number.isFinite(from) || !Number.isFinite(until) || until <= Math.max(from, at)) {
    throw new ConfigError('P1044', 'a grant ends after it begins, and in the future')
  }
  if (until - at > longestMs) throw new ConfigError('P1044', 'a grant ends within a year; what lasts longer is a right')
  const bounds = checkedBounds({ cidrs, operations }, 'P1044')
  return {
    subject,
    via,
    roles: [...new Set(roles)],
    scopes: [...new Set(scopes)],
    operations: bounds.operations,
    cidrs: bounds.cidrs,
    ...(reason === undefined ? {} : { reason }),
    grantedBy: grantedBy.slice(0, 200),
    from,
    until,
  }
}

import { hash } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Store, Value } from '../store/store.ts'

const prefix = 'usage/'
const sinceKey = 'usage-since'
/** What was used a moment ago need not be written again: the report speaks of days. */
const resolutionMs = 600_000
const flushMs = 5_000
const keptMs = 400 * 86_400_000
const callersMax = 20_000
const operationsMax = 1_000
const triesMax = 4
const pageSize = 1_000

/** An exchange that was let through, as a `Passage` tells it. */
export interface UsedExchange {
  readonly api: string
  readonly operation: string
  /** Which entry of `auth` vouched. */
  readonly credential: string | undefined
  readonly user: string | undefined
  /** The client that a token was given to, whoever it speaks for. */
  readonly application?: string | undefined
  readonly denial: unknown
  readonly receivedAt: number
}

/** What one caller has used, and when last: operations as `api operation`, times in milliseconds since the epoch. */
export interface Usage {
  readonly via: string
  readonly subject: string
  readonly operations: Readonly<Record<string, number>>
}

/** Remembers who used what, off the path of requests: a few map look-ups for an exchange that is over, a write now and then. */
export interface UsageRecorder {
  readonly note: (exchange: UsedExchange) => void
  /** Writes what is not written yet. */
  readonly flush: () => Promise<void>
  readonly close: () => Promise<void>
}

interface Caller {
  readonly via: string
  readonly subject: string
  /** When each operation was last noted. */
  readonly noted: Map<string, number>
  readonly dirty: Set<string>
}

export interface UsageOptions {
  readonly store: Store
  readonly now?: Clock
  readonly log: Logger
}

/** Under which subject the use of a client is written: the prefix keeps it apart from a person of the same name. */
export const clientSubject = (id: string) => `client:${id}`

export function createUsageRecorder({ store, now = Date.now, log }: UsageOptions): UsageRecorder {
  let callers = new Map<string, Map<string, Caller>>()
  let count = 0
  const dirty = new Set<Caller>()
  let writing: Promise<void> = Promise.resolve()
  let told = false
  // From when on "never used" means something.
  const begun = store.put(sinceKey, now(), { onlyIfAbsent: true }).catch(failed)
  const timer = setInterval(() => void flush(), flushMs)
  timer.unref()

  function failed(error: unknown) {
    if (!told) log.warn('What callers use cannot be written to the store.', { error: messageOf(error) })
    told = true
  }

  function note({ api, operation, credential, user, application, denial, receivedAt }: UsedExchange): void {
    if (user === undefined || credential === undefined || denial !== undefined) return
    const name = `${api} ${operation}`
    noteOf(credential, user, name, receivedAt)
    // What a person does with an application is use of both.
    if (application !== undefined) noteOf(credential, clientSubject(application), name, receivedAt)
  }

  function noteOf(credential: string, user: string, name: string, receivedAt: number): void {
    let bySubject = callers.get(credential)
    if (bySubject === undefined) {
      bySubject = new Map()
      callers.set(credential, bySubject)
    }
    let caller = bySubject.get(user)
    if (caller === undefined) {
      if (count >= callersMax) return
      count++
      caller = { via: credential, subject: user, noted: new Map(), dirty: new Set() }
      bySubject.set(user, caller)
    }
    const last = caller.noted.get(name)
    if (last === undefined ? caller.noted.size >= operationsMax : receivedAt - last < resolutionMs) return
    caller.noted.set(name, receivedAt)
    caller.dirty.add(name)
    dirty.add(caller)
  }

  function flush(): Promise<void> {
    writing = writing.then(async () => {
      await begun
      const due = [...dirty]
      dirty.clear()
      for (const caller of due) {
        const names = [...caller.dirty]
        caller.dirty.clear()
        try {
          await write(caller, names)
          told = false
        } catch (error) {
          failed(error)
          for (const name of names) caller.dirty.add(name)
          dirty.add(caller)
        }
      }
      // Forgotten when many have come: what they use next is written once more.
      if (count >= callersMax && dirty.size === 0) {
        callers = new Map()
        count = 0
      }
    })
    return writing
  }

  /** Several processes write of one caller: the latest time of each operation counts. */
  async function write({ via, subject, noted }: Caller, names: readonly string[]): Promise<void> {
    const key = prefix + hash('sha256', `${via}\0${subject}`, 'base64url')
    for (let tries = 0; tries < triesMax; tries++) {
      const value = await store.get(key)
      const before = value === undefined ? undefined : parse(value)
      const operations: Record<string, number> = { ...before?.operations }
      for (const name of names) operations[name] = Math.max(operations[name] ?? 0, noted.get(name)!)
      const latest = Object.entries(operations)
        .sort(([, a], [, b]) => b - a)
        .slice(0, operationsMax)
      const next = { via, subject, operations: Object.fromEntries(latest) }
      const condition = value === undefined ? { onlyIfAbsent: true } : { onlyIfEquals: value }
      if (await store.put(key, next, { ...condition, ttlMs: keptMs })) return
    }
    throw new Error('the record of what a caller uses is being changed by others')
  }

  return {
    note,
    flush,
    async close() {
      clearInterval(timer)
      await flush()
    },
  }
}

/** What every caller has used, by `via` and subject; and since when that is written down. */
export interface UsageBook {
  readonly since: number | undefined
  readonly of: (via: string, subject: string) => Usage | undefined
}

/** Reads all that was written. */
export async function readUsage(store: Store): Promise<UsageBook> {
  const since = await store.get(sinceKey)
  const found = new Map<string, Usage>()
  let after: string | undefined
  for (;;) {
    const page = await store.list(prefix, after === undefined ? { limit: pageSize } : { limit: pageSize, after })
    for (const { value } of page) {
      const usage = parse(value)
      if (usage !== undefined) found.set(`${usage.via}\0${usage.subject}`, usage)
    }
    if (page.length < pageSize) break
    after = page.at(-1)!.key
  }
  return {
    since: typeof since === 'number' ? since : undefined,
    of: (via, subject) => found.get(`${via}\0${subject}`),
  }
}

function parse(value: Value): Usage | undefined {
  const stored = value as Partial<Usage> | null
  if (typeof stored !== 'object' || stored === null) return undefined
  const { via, subject, operations } = stored
  if (typeof via !== 'string' || typeof subject !== 'string') return undefined
  if (typeof operations !== 'object' || operations === null) return undefined
  return Object.values(operations).every((time) => typeof time === 'number') ? (stored as Usage) : undefined
}

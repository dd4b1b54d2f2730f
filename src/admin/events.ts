import { randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { SecurityEvent, Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import type { Store, Value } from '../store/store.ts'

const prefix = 'event/'
const keptMs = 3 * 86_400_000
/** What a flood may write: the log has all of it. */
const rate = { count: 60, windowMs: 60_000, burst: 200 }
const timeDigits = 15
/** Keys sort by code point, and people read the newest first. */
const timeMax = 10 ** timeDigits - 1
const textMax = 4_000

/** An event with the moment it was told. */
export interface KeptEvent extends SecurityEvent {
  readonly time: number
}

/** The latest security events of all processes that share a store, for people who look; the activity log is the record. */
export interface EventBook {
  readonly add: Tell
  /** Newest first; `after` the `next` of the page before. */
  readonly recent: (options: {
    readonly limit: number
    readonly after?: string
  }) => Promise<{ readonly events: readonly KeptEvent[]; readonly next: string | undefined }>
}

export function createEventBook({ store, now, log }: { store: Store; now: Clock; log: Logger }): EventBook {
  const budget = createMemoryCounters({ now, entriesMax: 2 })
  let told = false
  return {
    add(event) {
      const time = now()
      if (!budget.take('events', rate).allowed) return
      const name = `${String(timeMax - time).padStart(timeDigits, '0')}-${randomBytes(6).toString('hex')}`
      const value = { ...event, time } as unknown as Value
      if (JSON.stringify(value).length > 4 * textMax) return
      store.put(prefix + name, value, { ttlMs: keptMs }).then(
        () => (told = false),
        (error: unknown) => {
          if (!told)
            log.warn('Security events cannot be kept in the store; the log has them.', { error: messageOf(error) })
          told = true
        },
      )
    },
    async recent({ limit, after }) {
      const from = after === undefined ? {} : { after: prefix + after }
      const entries = await store.list(prefix, { limit: limit + 1, ...from })
      const page = entries.slice(0, limit)
      const last = page.at(-1)
      return {
        events: page.map(({ value }) => value as unknown).filter(isEvent),
        next: entries.length > limit && last !== undefined ? last.key.slice(prefix.length) : undefined,
      }
    },
  }
}

function isEvent(value: unknown): value is KeptEvent {
  const stored = value as Partial<KeptEvent> | null
  return (
    typeof stored === 'object' && stored !== null && typeof stored.event === 'string' && typeof stored.time === 'number'
  )
}

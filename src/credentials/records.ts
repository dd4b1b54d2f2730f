import type { Clock } from '../base/clock.ts'
import { Lru } from '../base/lru.ts'
import { type Store, StoreUnavailable, type Value } from '../store/store.ts'

export interface RecordsOptions<T> {
  readonly store: Store
  /** Where the records stand in the store: `api-key/`. */
  readonly prefix: string
  /** Makes of a stored value what is needed per request; `undefined` for what cannot be read. */
  readonly read: (value: Value, id: string) => T | undefined
  readonly now: Clock
  readonly entriesMax: number
}

/** How long a record is used without asking the store again, even if the store never tells of a change. */
export const trustMs = 60_000
/** How long a record goes on being used while the store does not answer. */
export const staleMs = 300_000
/** Ids known to have no record. Apart from the records, so that guessing does not push out what is real. */
const absentMax = 10_000
const lookupsMax = 256
/** While the store is known to be down nobody waits for it again so soon. */
const downMs = 500

/** A page of a store's records in the order of their ids, without what cannot be read: at most `limit` (default and bound 1,000), after the id `after`. */
export async function listRecords<Stored>(
  store: Store,
  prefix: string,
  read: (value: Value) => Stored | undefined,
  { limit = listMax, after }: { readonly limit?: number; readonly after?: string } = {},
): Promise<Stored[]> {
  const options = { limit: Math.min(limit, listMax), ...(after === undefined ? {} : { after: prefix + after }) }
  const entries = await store.list(prefix, options)
  return entries.map(({ value }) => read(value)).filter((stored) => stored !== undefined)
}

const listMax = 1_000

/** Records of a store as requests need them: read once, in memory, and true again soon after any change. */
export interface Records<T> {
  /**
   * The record, bare when it is known here. While the store does not answer, a record that was true less than
   * `staleMs` ago is still given; an unknown one throws or rejects with `StoreUnavailable`.
   */
  get(id: string): T | undefined | Promise<T | undefined>
  close(): void
}

interface Entry<T> {
  readonly record: T | undefined
  /** When the store last said so. */
  confirmedAt: number
  /** Before how many general alarms: an entry from before the last one must be asked for again. */
  readonly alarms: number
}

/** A record that is being asked for. */
interface Question<T> {
  readonly answer: Promise<T | undefined>
  /** Whether the record changed since. */
  isStale: boolean
}

/** A bounded cache in front of a store, kept true by the store's changes. */
export function createRecords<T>({ store, prefix, read, now, entriesMax }: RecordsOptions<T>): Records<T> {
  const present = new Lru<string, Entry<T>>({ entriesMax })
  const absent = new Lru<string, Entry<T>>({ entriesMax: absentMax })
  const asking = new Map<string, Question<T>>()
  let alarms = 0
  let downUntil = 0

  const stopListening = store.onChange((key) => {
    if (key === undefined) alarms++
    else if (key.startsWith(prefix)) {
      const id = key.slice(prefix.length)
      present.delete(id)
      absent.delete(id)
      const question = asking.get(id)
      if (question !== undefined) question.isStale = true
    }
  })

  function get(id: string): T | undefined | Promise<T | undefined> {
    const entry = present.get(id) ?? absent.get(id)
    if (entry !== undefined) {
      const age = now() - entry.confirmedAt
      // A clock that went back makes no entry younger.
      if (entry.alarms === alarms && age >= 0 && age < trustMs) return entry.record
    }
    return ask(id, entry)
  }

  function ask(id: string, entry: Entry<T> | undefined): T | undefined | Promise<T | undefined> {
    const under = asking.get(id)
    if (under !== undefined && !under.isStale) return under.answer
    if (now() < downUntil) return fallBack(entry, new StoreUnavailable('the store does not answer'))
    if (asking.size >= lookupsMax) throw new StoreUnavailable(`${lookupsMax} look-ups wait for the store already`)
    let answer: Value | undefined | Promise<Value | undefined>
    try {
      answer = store.get(prefix + id)
    } catch (error) {
      return fallBack(entry, error)
    }
    if (answer instanceof Promise) return wait(id, entry, answer)
    const record = recordOf(id, answer)
    keep(id, record)
    return record
  }

  function wait(id: string, entry: Entry<T> | undefined, answer: Promise<Value | undefined>) {
    const before = alarms
    const question: Question<T> = {
      isStale: false,
      answer: answer
        .then(
          (value) => {
            const record = recordOf(id, value)
            // It changed while the question was under way: the answer may be the old one. Use it, do not keep it.
            if (!question.isStale && alarms === before) keep(id, record)
            return record
          },
          (error: unknown) => fallBack(entry, error),
        )
        .finally(() => {
          if (asking.get(id) === question) asking.delete(id)
        }),
    }
    asking.set(id, question)
    return question.answer
  }

  function recordOf(id: string, value: Value | undefined): T | undefined {
    return value === undefined ? undefined : read(value, id)
  }

  function keep(id: string, record: T | undefined): void {
    const kept = record === undefined ? absent : present
    kept.set(id, { record, confirmedAt: now(), alarms })
  }

  function fallBack(entry: Entry<T> | undefined, error: unknown): T | undefined {
    if (!(error instanceof StoreUnavailable)) throw error
    const at = now()
    if (at >= downUntil) downUntil = at + downMs
    if (entry?.record !== undefined && at - entry.confirmedAt < staleMs) return entry.record
    throw error
  }

  return {
    get,
    close() {
      stopListening()
      present.clear()
      absent.clear()
    },
  }
}

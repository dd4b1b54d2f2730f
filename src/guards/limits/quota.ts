import { hash } from 'node:crypto'
import type { Period } from '../../base/calendar.ts'
import type { Clock } from '../../base/clock.ts'
import { type Counters, CountersUnavailable, type Drawn, type Taken } from '../../store/counters.ts'
import { createMemoryCounters, type MemoryCounters } from '../../store/counters-memory.ts'
import { type Store, StoreUnavailable } from '../../store/store.ts'

/** How many requests in each period of the calendar. */
export interface Quota {
  readonly count: number
  readonly periodAt: (atMs: number) => Period
}

/**
 * Quotas that outlive the process. The store holds how much of a quota is spent or set aside; what was set aside lies in
 * a pool of the counters, from which requests draw without a write. So whatever ends without warning (a process, the
 * counters) loses at most what was set aside, and nothing is ever spent twice. Near its end a quota is set aside
 * request by request, so that it is exact over processes and machines that share their counters.
 */
export interface Quotas {
  /**
   * Spends `cost` of what `key` has in the current period. Bare where the answer is known here. Rejects with
   * `StoreUnavailable` or `CountersUnavailable` when it cannot be known.
   */
  spend(key: string, quota: Quota, cost: number): Taken | Promise<Taken>
  /** Gives back what was set aside and not spent. */
  close(): Promise<void>
}

export interface QuotasOptions {
  readonly store: Store
  readonly counters: Counters
  readonly now: Clock
}

/** A hundredth of what is left is set aside at once, at most so much: what a crash may cost. */
const setAsidePart = 100
const setAsideMax = 1_000
/** After so long a quota that was used up is looked at again: another process may have given something back. */
const usedUpMs = 10_000
/** Clocks of several machines differ: what was spent is remembered for so long after the end of its period. */
const slackMs = 24 * 3_600_000
/** Pools that are given back at the end; those of more callers are lost with the process. */
const pouredMax = 10_000
const waitingMax = 10_000

/** Somebody's quota in one period. */
interface Account {
  readonly pool: string
  readonly record: string
  readonly count: number
  readonly endsAt: number
}

interface Waiting {
  readonly cost: number
  readonly resolve: (taken: Taken) => void
  readonly reject: (error: unknown) => void
}

export function createQuotas({ store, counters, now }: QuotasOptions): Quotas {
  /** While the counters cannot be reached, what is set aside lies in this process. */
  let local: MemoryCounters | undefined
  /** Requests that wait for the store, by account: what several of them need is set aside by one write. */
  const lines = new Map<string, Waiting[]>()
  const poured = new Map<string, string>()
  let waiting = 0

  function spend(key: string, { count, periodAt }: Quota, cost: number): Taken | Promise<Taken> {
    const { id, endsAt } = periodAt(now())
    // What was set aside belongs to one size of the quota; what is spent counts for all.
    const pool = `${key} ${count} ${id}`
    const next = (drawn: Drawn) => drawnOrSetAside({ pool, key, id, count, endsAt }, drawn, cost)
    let drawn: Drawn | Promise<Drawn>
    try {
      drawn = counters.draw(pool, cost)
    } catch (error) {
      return next(drawHere(pool, cost, error))
    }
    return drawn instanceof Promise ? drawn.catch((error) => drawHere(pool, cost, error)).then(next) : next(drawn)
  }

  function drawnOrSetAside(
    { pool, key, id, count, endsAt }: Omit<Account, 'record'> & { readonly key: string; readonly id: string },
    { taken, left, more }: Drawn,
    cost: number,
  ): Taken | Promise<Taken> {
    if (taken && more !== undefined) return passed(left + more, endsAt)
    if (more === 0) return refused(left, endsAt)
    // Keys of the store are short, and hold nothing that a caller chose.
    const record = `quota/${hash('sha256', key, 'base64url')}/${id}`
    return setAside({ pool, record, count, endsAt }, cost)
  }

  function passed(remaining: number, endsAt: number): Taken {
    return { allowed: true, remaining, retryAfterMs: 0, resetMs: Math.max(0, endsAt - now()) }
  }

  function refused(remaining: number, endsAt: number): Taken {
    const leftMs = Math.max(0, endsAt - now())
    return { allowed: false, remaining, retryAfterMs: leftMs, resetMs: leftMs }
  }

  function setAside(account: Account, cost: number): Promise<Taken> {
    if (waiting >= waitingMax) return Promise.reject(new StoreUnavailable('too many requests wait for their quota'))
    return new Promise((resolve, reject) => {
      const one = { cost, resolve, reject }
      waiting++
      const line = lines.get(account.pool)
      if (line !== undefined) line.push(one)
      else {
        const begun = [one]
        lines.set(account.pool, begun)
        void serve(account, begun)
      }
    })
  }

  /** Sets aside for all who wait at one account, until nobody does. */
  async function serve(account: Account, line: Waiting[]): Promise<void> {
    while (line.length > 0) {
      const batch = line.splice(0)
      waiting -= batch.length
      await serveBatch(account, batch).catch((error: unknown) => {
        for (const { reject } of batch) reject(error)
      })
    }
    lines.delete(account.pool)
  }

  async function serveBatch(account: Account, batch: readonly Waiting[]): Promise<void> {
    const { pool, endsAt } = account
    const wanted = batch.reduce((sum, { cost }) => sum + cost, 0)
    let { granted: left, more } = await reserve(account, wanted)
    const usedUp = more === 0
    const unmet: Waiting[] = []
    for (const one of batch) {
      if (one.cost > left) {
        unmet.push(one)
        continue
      }
      left -= one.cost
      one.resolve(passed(left + more, endsAt))
    }
    if (left > 0 || usedUp) await pour(account, left, more)
    // The store has no more, but somebody may have poured into the pool meanwhile.
    for (const { cost, resolve } of unmet) {
      const drawn = await draw(pool, cost)
      resolve(drawn.taken ? passed(drawn.left + more, endsAt) : refused(drawn.left, endsAt))
    }
  }

  /** Counts as spent, in the store, what `wanted` needs and a little more. */
  async function reserve({ record, count, endsAt }: Account, wanted: number) {
    const used = Number((await store.get(record)) ?? 0)
    if (used >= count) return { granted: 0, more: 0 }
    const left = count - used
    const some = Math.min(setAsideMax, Math.floor(left / setAsidePart))
    const amount = Math.min(left, Math.max(wanted, some))
    const sum = await store.add(record, amount, { ttlMs: Math.max(1, endsAt - now()) + slackMs })
    // Another process may have been quicker. What is beyond the quota was given to nobody, and goes back.
    const granted = Math.min(amount, Math.max(0, count - (sum - amount)))
    if (granted < amount) await store.add(record, granted - amount).catch(() => {})
    return { granted, more: Math.max(0, count - sum) }
  }

  async function draw(pool: string, cost: number): Promise<Drawn> {
    try {
      return await counters.draw(pool, cost)
    } catch (error) {
      return drawHere(pool, cost, error)
    }
  }

  function drawHere(pool: string, cost: number, error: unknown): Drawn {
    if (!(error instanceof CountersUnavailable)) throw error
    local ??= createMemoryCounters({ now })
    return local.draw(pool, cost)
  }

  async function pour({ pool, record, endsAt }: Account, amount: number, more: number): Promise<void> {
    const leftMs = Math.max(1, endsAt - now())
    const ttlMs = amount === 0 ? Math.min(usedUpMs, leftMs) : leftMs
    if (amount > 0) {
      if (poured.size >= pouredMax) poured.delete(poured.keys().next().value!)
      poured.delete(pool)
      poured.set(pool, record)
    }
    try {
      await counters.pour(pool, amount, more, ttlMs)
    } catch (error) {
      if (!(error instanceof CountersUnavailable)) throw error
      local ??= createMemoryCounters({ now })
      local.pour(pool, amount, more, ttlMs)
    }
  }

  return {
    spend,
    async close() {
      const all = [...poured]
      poured.clear()
      await Promise.allSettled(
        all.map(async ([pool, record]) => {
          const left = (local?.drain(pool) ?? 0) + (await counters.drain(pool))
          if (left > 0) await store.add(record, -left)
        }),
      )
    },
  }
}

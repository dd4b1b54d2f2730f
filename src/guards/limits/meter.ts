import { calendar } from '../../base/calendar.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Host } from '../../gate/guard.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import { type Counters, CountersUnavailable, type Rate, type Taken } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'
import { StoreUnavailable } from '../../store/store.ts'
import type { LimitOptions } from './options.ts'
import type { Queue } from './queue.ts'
import { createQuotas } from './quota.ts'

const exceeded = denial(429, 'limits.exceeded', 'Too many requests. Wait as long as Retry-After says.')
const quotaExceeded = denial(
  429,
  'limits.quota-exceeded',
  'The quota of this period is used up. Retry-After tells when the next one begins.',
)
const queueFull = denial(
  429,
  'limits.queue-full',
  'Too many requests wait for their turn already. Wait as long as Retry-After says.',
)
const lockedOut = denial(
  429,
  'limits.locked-out',
  'Too many requests: nothing more is accepted for a while. Wait as long as Retry-After says.',
)
const unavailable = denial(503, 'limits.unavailable', 'Requests cannot be counted at the moment. Try again later.', {
  headers: { 'Retry-After': '1' },
})

/** What counting one request said: how things stand, a refusal of another kind, or nothing where it was not counted. */
export type Reading = Taken | Denial | undefined

/** Counts one request of the budget `key`. Waits only for another process, or for the request's turn. */
export type Meter = (key: string, exchange: Exchange) => Reading | Promise<Reading>

/** One way of counting, ready to use. */
export interface Metered {
  readonly kind: 'rate' | 'quota' | 'pace'
  /** What tells its keys from those of others. With another rate, after a reload, counting begins anew; with another quota it goes on. */
  readonly prefix: string
  readonly meter: Meter
  /** For a reading that says no. */
  readonly refusal: Denial
  /** The parameters of its `RateLimit-Policy`; empty where nothing is told. */
  readonly policy: string
}

/** Makes meters that share what there is to share: the queue, the quotas, the answer to counters that are down. */
export function createMeters(host: Host, queue: Queue) {
  const { counters, store, now, api } = host
  const take = createTake(host)
  const quotas = createQuotas({ store, counters, now })
  host.onClose(() => quotas.close())

  function rateMeter(name: string, rate: Rate, { cost, onFailure = 'local' }: LimitOptions): Meter {
    return (key) => take(key, rate, cost, { name, onFailure })
  }

  function quotaMeter(name: string, count: number, limit: LimitOptions): Meter {
    const { unit } = limit.quota!
    const { cost, onFailure = 'closed' } = limit
    const quota = { count, periodAt: calendar(unit, limit.timeZone) }
    const failed = (key: string, error: unknown) => {
      if (!(error instanceof CountersUnavailable || error instanceof StoreUnavailable)) throw error
      take.warn(name, onFailure, 'the store cannot be reached for a quota')
      if (onFailure === 'closed') return unavailable
      return onFailure === 'open' ? undefined : take.here(`${key} ${count}`, { count, windowMs: nominalMs[unit] }, cost)
    }
    return (key) => {
      if (cost === 0) return undefined
      try {
        const taken = quotas.spend(key, quota, cost)
        return taken instanceof Promise ? taken.catch((error: unknown) => failed(key, error)) : taken
      } catch (error) {
        return failed(key, error)
      }
    }
  }

  /**
   * Lets requests go on one after another. By the leaky bucket each has its own time, the same for every process: the
   * level that a request finds is how many turns it has to wait for (virtual scheduling: ITU-T I.371, Annex A).
   */
  function paceMeter(name: string, pace: Rate, limit: LimitOptions): Meter {
    const { cost, onFailure = 'local' } = limit
    const turnMs = pace.windowMs / pace.count
    const places = Math.min(limit.queue, Math.floor(limit.wait / turnMs))
    const rate = { ...pace, burst: Math.max(1 + places, cost) }
    const full = { ...queueFull, evidence: { limit: name } }
    const refuse = (retryAfterMs: number): Denial => ({ ...full, headers: retryAfter(retryAfterMs) })
    const turn = (taken: Reading, exchange: Exchange): Reading | Promise<Reading> => {
      if (taken === undefined || 'kind' in taken) return taken
      if (!taken.allowed) return refuse(taken.retryAfterMs)
      const waitMs = taken.resetMs - cost * turnMs
      const passed: Taken = { allowed: true, remaining: 0, retryAfterMs: 0, resetMs: taken.resetMs }
      // Less than a timer can tell.
      if (waitMs < 0.5) return passed
      if (limit.mode === 'observe') return full
      if (queue.isFull()) return refuse(waitMs)
      return queue.wait(exchange, waitMs).then(() => passed)
    }
    return (key, exchange) => after(take(key, rate, cost, { name, onFailure }), (taken) => turn(taken, exchange))
  }

  /** What `meter` refuses goes on at a pace. */
  function throttled(meter: Meter, pace: Meter): Meter {
    return (key, exchange) =>
      after(meter(key, exchange), (reading) =>
        reading === undefined || 'kind' in reading || reading.allowed ? reading : pace(`pace ${key}`, exchange),
      )
  }

  /** What `meter` refuses locks its key for a while. */
  function locking(name: string, meter: Meter, lockMs: number, { onFailure = 'local' }: LimitOptions): Meter {
    const lock = { count: 1, windowMs: lockMs, burst: 1 }
    const failure = { name, onFailure }
    const locked = { ...lockedOut, evidence: { limit: name } }
    const say = (retryAfterMs: number): Denial => ({ ...locked, headers: retryAfter(retryAfterMs) })
    const close = (key: string, exchange: Exchange) =>
      after(take(`lock ${key}`, lock, 1, failure), (taken) => {
        if (taken === undefined || 'kind' in taken) return taken
        if (taken.allowed) {
          const { principal, address } = exchange
          const { subject } = principal ?? {}
          const detail = { api, limit: name, seconds: Math.round(lockMs / 1000) }
          host.tell({ event: 'limits.lockout', address, detail, ...(subject === undefined ? {} : { subject }) })
        }
        return say(taken.allowed ? lockMs : taken.resetMs)
      })
    return (key, exchange) =>
      after(take(`lock ${key}`, lock, 0, failure), (seen) => {
        if (seen !== undefined && 'kind' in seen) return seen
        if (seen !== undefined && seen.resetMs > 0) return say(seen.resetMs)
        return after(meter(key, exchange), (reading) =>
          reading === undefined || 'kind' in reading || reading.allowed ? reading : close(key, exchange),
        )
      })
  }

  /** All ways in which a limit counts: its rate, its quota, its pace, those that it has. */
  return (name: string, limit: LimitOptions): readonly Metered[] => {
    const { rate, quota, pace, over, then } = limit
    const beyond = (meter: Meter): Meter => {
      // Who only observes makes nobody wait, and locks nobody out.
      if (limit.mode === 'observe') return meter
      if (over !== undefined) return throttled(meter, paceMeter(name, over, limit))
      return then === undefined ? meter : locking(name, meter, then, limit)
    }
    const all: Metered[] = []
    if (rate !== undefined) {
      const { count, windowMs } = rate
      const burst = limit.burst ?? count
      all.push({
        kind: 'rate',
        prefix: `limit ${api} ${name} ${count}/${windowMs}/${burst}`,
        meter: beyond(rateMeter(name, { count, windowMs, burst }, limit)),
        refusal: { ...exceeded, evidence: { limit: name } },
        policy: `;q=${count};w=${Math.max(1, Math.ceil(windowMs / 1000))}`,
      })
    }
    if (quota !== undefined) {
      const { count, unit } = quota
      all.push({
        kind: 'quota',
        prefix: `quota ${api} ${name} ${unit} ${limit.timeZone}`,
        meter: beyond(quotaMeter(name, count, limit)),
        refusal: { ...quotaExceeded, evidence: { limit: name } },
        // Months differ, and the parameter is optional (draft-ietf-httpapi-ratelimit-headers-11, 3.1.3).
        policy: `;q=${count}${unit === 'month' ? '' : `;w=${nominalMs[unit] / 1000}`}`,
      })
    }
    if (pace !== undefined) {
      all.push({
        kind: 'pace',
        prefix: `pace ${api} ${name} ${pace.count}/${pace.windowMs}/${limit.queue}/${limit.wait}`,
        meter: paceMeter(name, pace, limit),
        refusal: { ...queueFull, evidence: { limit: name } },
        policy: '',
      })
    }
    return all
  }
}

const nominalMs = { hour: 3_600_000, day: 86_400_000, week: 604_800_000, month: 2_592_000_000 }

export function retryAfter(ms: number): Readonly<Record<string, string>> {
  return { 'Retry-After': String(Math.max(1, Math.ceil(Math.min(ms, retryMsMax) / 1000))) }
}

const retryMsMax = 366 * 86_400_000

/** Goes on with a reading, without a promise where there is none. */
function after<T>(reading: T | Promise<T>, next: (reading: T) => Reading | Promise<Reading>) {
  return reading instanceof Promise ? reading.then(next) : next(reading)
}

interface Failure {
  readonly name: string
  readonly onFailure: 'local' | 'open' | 'closed'
}

/** Takes from the counters, and does what the limit states while they cannot be reached. */
function createTake({ counters, now, log, api }: Host) {
  let local: Counters | undefined
  let warnedAt = -Infinity

  function warn(name: string, answer: string, message: string): void {
    if (now() - warnedAt < warningsApartMs) return
    warnedAt = now()
    log.warn(message, { api, limit: name, answer })
  }

  function here(key: string, rate: Rate, cost: number): Taken | Promise<Taken> {
    local ??= createMemoryCounters({ now })
    return local.take(key, rate, cost)
  }

  function withoutCounters(key: string, rate: Rate, cost: number, { name, onFailure }: Failure, error: unknown) {
    if (!(error instanceof CountersUnavailable)) throw error
    warn(name, onFailure, 'the shared counters cannot be reached')
    if (onFailure === 'closed') return unavailable
    return onFailure === 'open' ? undefined : here(key, rate, cost)
  }

  function take(key: string, rate: Rate, cost: number, failure: Failure): Reading | Promise<Reading> {
    try {
      const taken = counters.take(key, rate, cost)
      if (!(taken instanceof Promise)) return taken
      return taken.catch((error: unknown) => withoutCounters(key, rate, cost, failure, error))
    } catch (error) {
      return withoutCounters(key, rate, cost, failure, error)
    }
  }

  return Object.assign(take, { warn, here })
}

const warningsApartMs = 30_000

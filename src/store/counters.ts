import { hash } from 'node:crypto'

/**
 * Fast and shared counting for limits. In memory for one process, over the primary process for `workers: N`, in
 * Redis or Valkey for several machines. Every driver passes `countersContract`.
 *
 * All count by the generic cell rate algorithm in its leaky-bucket form (ITU-T I.371, Annex A): every key has a
 * level, which `cost` raises and time lowers by `count` per `windowMs`; what would lift it over `burst` is refused and
 * changes nothing. So `burst` pass at once after a pause, then one every `windowMs / count`, and no moment exists at
 * which a whole new window opens.
 */
export interface Counters {
  /**
   * Takes `cost` (default 1; 0 only looks) from the budget of `key` under `rate`. A key belongs to one rate: use other
   * keys for other rates. Bare when the answer is known here, a promise when another process must be asked. Rejects
   * with `CountersUnavailable`, within a stated time.
   */
  take(key: string, rate: Rate, cost?: number): Taken | Promise<Taken>
  /**
   * Takes `amount` from what lies in a pool, all of it or nothing. Pools hold what was set aside elsewhere, such as a
   * part of a quota that the store has counted as spent already: a pool may be lost at any time (a restart, too many
   * pools), and never comes back with what was drawn from it. Bare or a promise, and rejects, as `take`.
   */
  draw(pool: string, amount: number): Drawn | Promise<Drawn>
  /**
   * Adds to a pool, which is forgotten `ttlMs` from now, later where something lies in it for longer; `more` is kept with
   * it for whoever draws next.
   */
  pour(pool: string, amount: number, more: number, ttlMs: number): void | Promise<void>
  /** Takes all that lies in a pool and forgets the pool. */
  drain(pool: string): number | Promise<number>
  close(): Promise<void>
}

export interface Drawn {
  readonly taken: boolean
  /** What lies in the pool afterwards. */
  readonly left: number
  /** What the last `pour` said of what is left elsewhere; `undefined`: there is no such pool. */
  readonly more: number | undefined
}

/** `count` per `windowMs` in the long run, at most `burst` at once. */
export interface Rate {
  readonly count: number
  readonly windowMs: number
  /** How many may pass at once after a pause. Default: `count`. */
  readonly burst?: number
}

export interface Taken {
  readonly allowed: boolean
  /** What could be taken right now, after this call; a whole number. */
  readonly remaining: number
  /** Until this `cost` would be allowed; 0 when `allowed`, `Infinity` when `cost` is larger than `burst`. */
  readonly retryAfterMs: number
  /** Until the budget is full again. */
  readonly resetMs: number
}

/** The shared counters cannot be reached. Each limit states what it does then. */
export class CountersUnavailable extends Error {
  override readonly name = 'CountersUnavailable'
}

/**
 * A key of bounded length: callers choose parts of some keys, and a table of long ones would be their choice, too. A
 * longer key is counted under its hash.
 */
export function boundedKey(key: string): string {
  return key.length <= keyCharactersMax ? key : hash('sha256', key, 'base64url')
}

const keyCharactersMax = 200

/** Refuses an amount that no pool can hold: a mistake of the caller. */
export function checkAmounts(...amounts: readonly number[]): void {
  if (amounts.every((amount) => Number.isSafeInteger(amount) && amount >= 0)) return
  throw new TypeError('pools hold whole numbers from 0 on')
}

/** Refuses a rate or cost that means nothing: a mistake of the caller. */
export function checkRate(rate: Rate, cost: number): void {
  const { count, windowMs, burst = count } = rate
  if (!(count > 0 && windowMs > 0 && burst > 0 && cost >= 0) || !Number.isFinite(count + windowMs + burst + cost)) {
    throw new TypeError('take: count, windowMs and burst must be positive numbers, cost a number from 0 on')
  }
}

/**
 * Fast and shared counting for limits. In memory for one process, over the primary process for `workers: N`, in
 * Redis or Valkey for several machines. Every driver passes `countersContract`.
 */
export interface Counters {
  /**
   * Takes `cost` from the budget of `key` under `rate`, by the generic cell rate algorithm (GCRA). Bare when the answer is
   * known here, a promise when another process must be asked. Rejects with `CountersUnavailable`.
   */
  take(key: string, rate: Rate, cost?: number): Taken | Promise<Taken>
  /** Reserves one of `max` concurrent places; `undefined` when none is free. Call the returned function to leave. */
  enter(key: string, max: number): (() => void) | undefined | Promise<(() => void) | undefined>
  close(): Promise<void>
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
  /** What could be taken right now, after this call. */
  readonly remaining: number
  /** Until the next one would be allowed; 0 when `allowed`. */
  readonly retryAfterMs: number
  /** Until the budget is full again. */
  readonly resetMs: number
}

/** The shared counters cannot be reached. Each limit states what it does then. */
export class CountersUnavailable extends Error {
  override readonly name = 'CountersUnavailable'
}

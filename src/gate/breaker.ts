import type { Clock } from '../base/clock.ts'

export interface BreakerSettings {
  /** Share of failed requests that opens it. */
  readonly failures: number
  /** Requests in the window below which it stays closed. */
  readonly minimum: number
  /** In milliseconds. */
  readonly window: number
  /** How long it stays open, in milliseconds. */
  readonly open: number
}

export type BreakerState = 'closed' | 'open' | 'half-open'

/**
 * Keeps requests from a target that fails: closed while all is well, open for a rest, then half-open while one request
 * tries. The window slides in two halves.
 */
export class Breaker {
  readonly #settings: BreakerSettings
  readonly #now: Clock
  #state: BreakerState = 'closed'
  #openUntil = 0
  #halfSince = 0
  #requests = 0
  #failures = 0
  #requestsBefore = 0
  #failuresBefore = 0
  #trialSince: number | undefined

  constructor(settings: BreakerSettings, now: Clock) {
    this.#settings = settings
    this.#now = now
  }

  get state(): BreakerState {
    return this.#state
  }

  /** Whether it would turn a request away right now. */
  isResting(): boolean {
    if (this.#state === 'closed') return false
    if (this.#state === 'open') return this.#now() < this.#openUntil
    return this.#trialIsUnderWay()
  }

  /** Until the next request may try. */
  restMs(): number {
    return this.#state === 'open' ? Math.max(0, this.#openUntil - this.#now()) : this.#settings.open
  }

  /** Whether a request may pass; while half-open, the one that asks first is the trial. */
  admits(): boolean {
    if (this.#state === 'closed') return true
    if (this.isResting()) return false
    this.#state = 'half-open'
    this.#trialSince = this.#now()
    return true
  }

  /** How a request went. */
  record(failed: boolean): void {
    if (this.#state === 'half-open') {
      if (failed) this.#open()
      else this.#close()
      return
    }
    if (this.#state === 'open') return
    this.#slide()
    this.#requests++
    if (!failed) return
    this.#failures++
    const requests = this.#requests + this.#requestsBefore
    const failures = this.#failures + this.#failuresBefore
    if (requests >= this.#settings.minimum && failures >= requests * this.#settings.failures) this.#open()
  }

  /** A trial that never reports, because its caller left, must not hold the door for good. */
  #trialIsUnderWay(): boolean {
    return this.#trialSince !== undefined && this.#now() - this.#trialSince < this.#settings.open
  }

  #open(): void {
    this.#state = 'open'
    this.#openUntil = this.#now() + this.#settings.open
    this.#trialSince = undefined
  }

  #close(): void {
    this.#state = 'closed'
    this.#trialSince = undefined
    this.#requests = this.#failures = this.#requestsBefore = this.#failuresBefore = 0
  }

  #slide(): void {
    const half = this.#settings.window / 2
    const age = this.#now() - this.#halfSince
    if (age < half) return
    const recent = age < 2 * half
    this.#requestsBefore = recent ? this.#requests : 0
    this.#failuresBefore = recent ? this.#failures : 0
    this.#requests = this.#failures = 0
    this.#halfSince = this.#now()
  }
}

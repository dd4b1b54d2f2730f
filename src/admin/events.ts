import type { Clock } from '../base/clock.ts'
import type { SecurityEvent } from '../base/events.ts'

/** An event with the moment it was told, and a number that grows. */
export interface KeptEvent extends SecurityEvent {
  readonly number: number
  readonly time: number
}

/** The latest security events of this process, for people who look; the log has all of them. */
export interface EventRing {
  readonly add: (event: SecurityEvent) => void
  /** Newest first, before the one with the number `before`. */
  readonly recent: (options: { readonly limit: number; readonly before?: number }) => readonly KeptEvent[]
}

export function createEventRing(now: Clock, eventsMax = 1_000): EventRing {
  const kept: KeptEvent[] = []
  let number = 0
  return {
    add(event) {
      const entry = { ...event, number: number++, time: now() }
      kept[entry.number % eventsMax] = entry
    },
    recent({ limit, before = number }) {
      const found: KeptEvent[] = []
      const oldest = Math.max(0, number - eventsMax)
      for (let i = Math.min(before, number) - 1; i >= oldest && found.length < limit; i--)
        found.push(kept[i % eventsMax]!)
      return found
    },
  }
}

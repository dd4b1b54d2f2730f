import type { Clock } from '../../base/clock.ts'
import type { Tell } from '../../base/events.ts'
import { clientNetwork } from '../../base/ip.ts'
import { Lru } from '../../base/lru.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import { type Counters, CountersUnavailable, type Rate } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'

/**
 * How many sign-ins one network may begin at `/start`, which no limit of the API sees. Each costs a key and a seal here,
 * and a page at the issuer. Leaves room for an office whose sessions ended overnight.
 */
export const startRate: Rate = { count: 120, windowMs: 60_000 }

const networksMax = 65_536

export interface SignInStarts {
  /** Counts one; the refusal, where this network began too many. Never rejects for want of counters. */
  readonly take: (address: string) => Promise<Denial | undefined>
}

/** Counts for all processes together; each for itself while the counters do not answer. */
export function createSignInStarts({
  api,
  counters,
  now,
  tell,
}: {
  readonly api: string
  readonly counters: Counters
  readonly now: Clock
  readonly tell: Tell
}): SignInStarts {
  const own = createMemoryCounters({ now, entriesMax: networksMax })
  const told = new Lru<string, number>({ entriesMax: networksMax })

  async function taken(key: string) {
    try {
      return await counters.take(key, startRate)
    } catch (error) {
      if (!(error instanceof CountersUnavailable)) throw error
      return own.take(key, startRate)
    }
  }

  return {
    async take(address) {
      const network = clientNetwork(address)
      const { allowed, retryAfterMs } = await taken(`sign-in start ${network}`)
      if (allowed) return undefined
      const at = now()
      const before = told.get(network)
      // One event for a flood, not one for each request of it.
      if (before === undefined || at - before >= startRate.windowMs) {
        told.set(network, at)
        tell({ event: 'sign-in.flood', address, detail: { api, budget: 'start', network } })
      }
      return denial(429, 'auth.sign-in-flood', 'Too many sign-ins were begun from this network. Try again later.', {
        headers: { 'Retry-After': String(Math.max(1, Math.ceil(retryAfterMs / 1000))) },
      })
    },
  }
}

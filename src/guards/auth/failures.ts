import type { Clock } from '../../base/clock.ts'
import type { Tell } from '../../base/events.ts'
import { clientNetwork } from '../../base/ip.ts'
import { Lru } from '../../base/lru.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import { type Counters, CountersUnavailable, type Rate, type Taken } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'

/**
 * How many wrong tokens one network may show before none of its tokens is looked at any more. Counted for all processes
 * together, judged in each without waiting: what a process knows to be spent it refuses at the cost of one look-up.
 */
export interface FailureBudget {
  /** Until when nothing of this network is checked, in seconds from now; `undefined` as long as there is budget left. */
  readonly spentFor: (address: string) => number | undefined
  /** Counts one token that was wrong. Never waits. */
  readonly count: (address: string) => void
}

export interface FailureOptions {
  readonly counters: Counters
  readonly now: Clock
  readonly tell: Tell
  readonly rate: Rate
}

/** The answer while a network's budget is spent. */
export function floodRefusal(seconds: number): Denial {
  return denial(429, 'auth.token-flood', 'Too many wrong tokens came from this network. Try again later.', {
    headers: { 'Retry-After': String(seconds) },
  })
}

const networksMax = 65_536

export function createFailureBudget({ counters, now, tell, rate }: FailureOptions): FailureBudget {
  const spentUntil = new Lru<string, number>({ entriesMax: networksMax })
  const told = new Lru<string, number>({ entriesMax: networksMax })
  const perFailureMs = rate.windowMs / rate.count
  let local: Counters | undefined

  function judge(network: string, address: string, { allowed, remaining, retryAfterMs }: Taken): void {
    if (remaining >= 1) return
    const at = now()
    spentUntil.set(network, at + (allowed ? perFailureMs : Math.max(retryAfterMs, 1)))
    // One event for a flood, not one for each of its tokens.
    const before = told.get(network)
    if (before !== undefined && at - before < rate.windowMs) return
    told.set(network, at)
    tell({
      event: 'token.flood',
      address,
      detail: { network, failures: rate.burst ?? rate.count, windowSeconds: rate.windowMs / 1000 },
    })
  }

  function withoutCounters(error: unknown, key: string, network: string, address: string): void {
    if (!(error instanceof CountersUnavailable)) throw error
    local ??= createMemoryCounters({ now, entriesMax: networksMax })
    const taken = local.take(key, rate)
    if (!(taken instanceof Promise)) judge(network, address, taken)
  }

  return {
    spentFor(address) {
      if (spentUntil.size === 0) return undefined
      const network = clientNetwork(address)
      const until = spentUntil.get(network)
      if (until === undefined) return undefined
      const leftMs = until - now()
      if (leftMs > 0) return Math.max(1, Math.ceil(leftMs / 1000))
      spentUntil.delete(network)
      return undefined
    },
    count(address) {
      const network = clientNetwork(address)
      const key = `bad-token ${rate.count}/${rate.windowMs} ${network}`
      try {
        const taken = counters.take(key, rate)
        if (!(taken instanceof Promise)) return judge(network, address, taken)
        taken.then(
          (later) => judge(network, address, later),
          (error: unknown) => withoutCounters(error, key, network, address),
        )
      } catch (error) {
        withoutCounters(error, key, network, address)
      }
    },
  }
}

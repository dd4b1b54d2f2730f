import { hash } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import type { Tell } from '../base/events.ts'
import { Lru } from '../base/lru.ts'
import { type Counters, CountersUnavailable, type Rate, type Taken } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'

/** Wrong passwords of one name from one network, and of all names. The latter leaves room for an office that mistypes. */
const wrongForName: Rate = { count: 5, windowMs: 60_000 }
const wrongForNetwork: Rate = { count: 30, windowMs: 60_000 }

const entriesMax = 65_536

/**
 * Wrong passwords of HTTP Basic, counted for all processes together. Gates that look at the same moment may each look at
 * one more. Each counts for itself while the counters do not answer.
 */
export interface WrongPasswords {
  /** Whether this process knows the name's budget to be spent there; never waits. */
  isKnownSpent(from: string, name: string): boolean
  /** Whether the network's budget, or the name's there, is spent by what all processes counted. */
  isSpent(from: string, name: string): Promise<boolean>
  /** Counts one, for the name alone where its network is over its budget already. `isUser`: there is such a user. */
  count(from: string, name: string, which: 'both' | 'name', isUser: boolean): Promise<void>
}

export interface WrongPasswordsOptions {
  readonly counters: Counters | undefined
  readonly now: Clock
  readonly tell: Tell
}

export function createWrongPasswords({ counters, now, tell }: WrongPasswordsOptions): WrongPasswords {
  const own = createMemoryCounters({ now, entriesMax })
  const spentUntil = new Lru<string, number>({ entriesMax })
  const told = new Lru<string, number>({ entriesMax })
  const networkKey = (from: string) => `basic network ${from}`
  // What was typed as a name may be a password: it leaves this process nowhere but hashed.
  const nameKey = (from: string, name: string) => `basic pair ${from} ${hash('sha256', name, 'base64url')}`

  async function take(key: string, rate: Rate, cost: number): Promise<Taken> {
    try {
      return await (counters ?? own).take(key, rate, cost)
    } catch (error) {
      if (!(error instanceof CountersUnavailable)) throw error
      return own.take(key, rate, cost)
    }
  }

  async function takeOfName(from: string, name: string, cost: number): Promise<Taken> {
    const taken = await take(nameKey(from, name), wrongForName, cost)
    if (taken.remaining < 1) {
      const { count, windowMs } = wrongForName
      // The level is `resetMs` from empty; one place is free again a `count`-th of the window before the rest.
      const waitMs = Math.max(1, Math.ceil(taken.resetMs - windowMs + windowMs / count))
      spentUntil.set(`${from} ${name}`, now() + waitMs)
    }
    return taken
  }

  /** Once a window for each budget: one event for a guesser, not one for each guess. */
  function isNews(key: string, { windowMs }: Rate): boolean {
    const at = now()
    const before = told.get(key)
    if (before !== undefined && at - before < windowMs) return false
    told.set(key, at)
    return true
  }

  return {
    isKnownSpent(from, name) {
      if (spentUntil.size === 0) return false
      const key = `${from} ${name}`
      const until = spentUntil.get(key)
      if (until === undefined) return false
      if (now() < until) return true
      spentUntil.delete(key)
      return false
    },
    async isSpent(from, name) {
      if ((await take(networkKey(from), wrongForNetwork, 0)).remaining < 1) return true
      return (await takeOfName(from, name, 0)).remaining < 1
    },
    async count(from, name, which, isUser) {
      if (which === 'both' && (await take(networkKey(from), wrongForNetwork, 1)).remaining < 1) {
        if (isNews(networkKey(from), wrongForNetwork)) {
          tell({ event: 'sign-in.flood', address: from, detail: { by: 'basic', budget: 'network' } })
        }
      }
      if ((await takeOfName(from, name, 1)).remaining >= 1 || !isNews(nameKey(from, name), wrongForName)) return
      tell({
        event: 'account.locked',
        // A name that nobody has may be a password typed in the wrong field.
        ...(isUser ? { subject: name } : {}),
        address: from,
        detail: { by: 'basic', budget: 'pair' },
      })
    },
  }
}

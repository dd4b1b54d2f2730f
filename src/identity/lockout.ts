import { hash } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { clientNetwork } from '../base/ip.ts'
import type { Counters, Rate } from '../store/counters.ts'
import type { Store } from '../store/store.ts'
import type { Whence } from './people.ts'

const minute = 60_000

/**
 * Budgets of wrong tries. A device that the account signed in on before has one of its own and answers to no other: who
 * guesses from elsewhere, from one address or from thousands, cannot lock it out.
 */
export const budgets = {
  password: {
    device: { count: 5, windowMs: 15 * minute },
    /** One name from one network. */
    pair: { count: 5, windowMs: 15 * minute },
    /** All names from one network: leaves room for an office that mistypes. */
    network: { count: 30, windowMs: 15 * minute },
    /** One name from everywhere: when it is spent, all strangers together get one try a minute. */
    name: { count: 60, windowMs: 60 * minute },
    /** All names from everywhere: then strangers get a hundred tries a minute, whoever they are. */
    all: { count: 1_000, windowMs: 10 * minute },
  },
  code: {
    device: { count: 5, windowMs: 15 * minute },
    /** Six digits, three of a million right at a time: 30 guesses a day find one in thirty years. */
    name: { count: 5, windowMs: 15 * minute },
    day: { count: 30, windowMs: 24 * 60 * minute },
  },
  /** User codes of devices (RFC 8628, 5.1). */
  device: { network: { count: 10, windowMs: 15 * minute } },
} as const satisfies Record<string, Record<string, Rate>>

export type Guessed = 'password' | 'code'

/** Which budget a wrong try used up. */
export type Spent = 'device' | 'pair' | 'network' | 'name' | 'day' | 'all'

export interface Lockout {
  /** How long to wait before anything of this name may be tried from there; 0: it may be. Rejects with `CountersUnavailable`. */
  waitMs(what: Guessed, name: string, whence: Whence): Promise<number>
  /** Counts a wrong try; names the budgets that it used up. */
  wrong(what: Guessed, name: string, whence: Whence): Promise<readonly Spent[]>
  /** Gives a name all its budgets back. */
  unlock(name: string): Promise<void>
  /** Guessed user codes of devices. */
  deviceWaitMs(address: string): Promise<number>
  deviceWrong(address: string): Promise<void>
}

const unlockPrefix = 'sign-in/unlocked/'

export interface LockoutOptions {
  readonly counters: Counters
  readonly store: Store
  readonly now: Clock
}

/** Counts wrong tries in shared counters, so that several gates count together. */
export function createLockout({ counters, store, now }: LockoutOptions): Lockout {
  async function budgetsOf(what: Guessed, name: string, whence: Whence): Promise<readonly [Spent, string, Rate][]> {
    // What was typed as a name may be a password: it stands nowhere but hashed.
    const who = digest(name)
    const round = (await store.get(unlockPrefix + who)) ?? 0
    const key = (kind: string, part: string) => `sign-in ${what} ${kind} ${part} ${String(round)}`
    const rates = budgets[what]
    if (whence.device !== undefined) return [['device', key('device', `${whence.device} ${who}`), rates.device]]
    if (what === 'code') {
      return [
        ['name', key('name', who), budgets.code.name],
        ['day', key('day', who), budgets.code.day],
      ]
    }
    const network = clientNetwork(whence.address)
    return [
      ['pair', key('pair', `${network} ${who}`), budgets.password.pair],
      ['network', `sign-in password network ${network}`, budgets.password.network],
      ['name', key('name', who), budgets.password.name],
      ['all', 'sign-in password all', budgets.password.all],
    ]
  }

  return {
    async waitMs(what, name, whence) {
      let wait = 0
      for (const [, key, rate] of await budgetsOf(what, name, whence)) {
        wait = Math.max(wait, await waitOf(counters, key, rate))
      }
      return wait
    },
    async wrong(what, name, whence) {
      const spent: Spent[] = []
      for (const [kind, key, rate] of await budgetsOf(what, name, whence)) {
        if ((await counters.take(key, rate)).remaining < 1) spent.push(kind)
      }
      return spent
    },
    async unlock(name) {
      const longest = budgets.code.day.windowMs
      await store.put(unlockPrefix + digest(name), now(), { ttlMs: 2 * longest })
    },
    deviceWaitMs: (address) => waitOf(counters, deviceKey(address), budgets.device.network),
    async deviceWrong(address) {
      await counters.take(deviceKey(address), budgets.device.network)
    },
  }
}

async function waitOf(counters: Counters, key: string, rate: Rate): Promise<number> {
  const { remaining, resetMs } = await counters.take(key, rate, 0)
  if (remaining >= 1) return 0
  // The level is `resetMs` from empty; one place is free again a `count`-th of the window before the rest.
  return Math.max(1, Math.ceil(resetMs - rate.windowMs + rate.windowMs / rate.count))
}

const deviceKey = (address: string) => `sign-in device-code ${clientNetwork(address)}`

function digest(name: string): string {
  return hash('sha256', name, 'base64url').slice(0, 32)
}

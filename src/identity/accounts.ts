import type { Clock } from '../base/clock.ts'
import { ConfigError } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import { clientNetwork } from '../base/ip.ts'
import { silentLogger } from '../base/log.ts'
import { lonePasswordMin, passwordFault, passwordMin } from '../credentials/password-rules.ts'
import { createSessions } from '../credentials/sessions.ts'
import { createUsers, normalized, type User, type Users, type UsersOptions } from '../credentials/users.ts'
import type { Counters } from '../store/counters.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import { createDevices, type Devices } from './devices.ts'
import { createFactors, type Factors } from './factors.ts'
import { createLockout, type Guessed, type Lockout, type Spent } from './lockout.ts'
import type { PeopleSettings, Whence } from './people.ts'

/**
 * What came of a try. `wrong` and `locked` say the same of names that exist and names that do not. `busy`: too many
 * passwords are being looked at; come again.
 */
export type Tried =
  | { readonly kind: 'right'; readonly name: string }
  | { readonly kind: 'wrong' }
  | { readonly kind: 'locked'; readonly retryAfterMs: number }
  | { readonly kind: 'busy' }

/** People who sign in: the users of HTTP Basic, with what signing in needs beside a password. */
export interface Accounts {
  /** An account as it stands in the store now; its name is the subject of its tokens. */
  find(name: string): Promise<User | undefined>
  list(options?: { readonly limit?: number; readonly after?: string }): Promise<User[]>
  /** Makes an account, or gives one a new password and rights. Throws `ConfigError`. */
  set(name: string, password: string, rights?: { scopes?: readonly string[]; roles?: readonly string[] }): Promise<User>
  /** Removes an account with all its factors; what it had signed in to ends. */
  remove(name: string): Promise<boolean>
  /** Judges a password, within the budgets of wrong ones. */
  tryPassword(name: string, password: string, whence: Whence): Promise<Tried>
  /** Judges a one-time code, within the budgets of wrong ones. */
  tryTotp(name: string, code: string, whence: Whence): Promise<Tried>
  /** Judges a recovery code and uses it up. */
  tryRecoveryCode(name: string, code: string, whence: Whence): Promise<Tried>
  /** A new password chosen by its owner; every session and refresh token from before ends. Says what is wrong with it. */
  changePassword(name: string, password: string, whence?: Whence): Promise<string | undefined>
  /** Gives an account that was guessed at its tries back. */
  unlock(name: string): Promise<void>
  /**
   * Whether what was proved at `authTime` (seconds since the epoch) still counts: the account exists, and its password
   * was not set since.
   */
  stillStands(name: string, authTimeSeconds: number | undefined): Promise<boolean>
  /** Calls `listener` when everything an account signed in to must end (a new password, a removal), and waits for it. */
  onEnd(listener: (name: string) => void | Promise<void>): () => void
  readonly now: Clock
  readonly factors: Factors
  readonly devices: Devices
  readonly lockout: Lockout
  close(): void
}

export interface AccountsOptions {
  readonly store: Store
  readonly counters: Counters
  readonly vault: () => Promise<KeyRing>
  readonly now: Clock
  readonly tell: Tell
  readonly settings: Pick<PeopleSettings, 'issuer' | 'mfa' | 'theme'>
  /** Tests make passwords cheaper. */
  readonly cost?: UsersOptions['cost']
}

/** Accounts in a store; several processes may share it. */
export function createAccounts({ store, counters, vault, now, tell, settings, cost }: AccountsOptions): Accounts {
  const users: Users = createUsers({ store, now, ...(cost === undefined ? {} : { cost }) })
  const serviceName = settings.theme.name ?? new URL(settings.issuer).host
  const factors = createFactors({ store, vault, now, issuer: settings.issuer, serviceName })
  const devices = createDevices({ vault, now })
  const lockout = createLockout({ counters, store, now })
  const listeners = new Set<(name: string) => void | Promise<void>>()
  const inTurn = createTurns()
  const lengthMin = settings.mfa.length > 0 ? passwordMin : lonePasswordMin

  const sessions = createSessions({ store, log: silentLogger, now })

  /** Sessions of the gate and of its administration; tokens are for the listeners. */
  const end = async (name: string) => {
    for (const tag of [`subject:${name}`, `admin:${name}`]) await sessions.revokeTagged(tag)
    for (const listener of listeners) await listener(name)
  }

  async function wrong(what: Guessed, name: string, whence: Whence, isKnown: boolean): Promise<Tried> {
    const spent = await lockout.wrong(what, name, whence)
    const own = spent.filter((budget): budget is Exclude<Spent, 'network' | 'all'> => !isShared(budget))
    if (own.length > 0) {
      tell({
        event: 'account.locked',
        // A name that nobody has may be a password typed in the wrong field.
        ...(isKnown ? { subject: name } : {}),
        address: whence.address,
        detail: { by: what, budget: own.join(' ') },
      })
    }
    const shared = spent.filter(isShared)
    if (shared.length > 0) {
      tell({ event: 'sign-in.flood', address: whence.address, detail: { budget: shared.join(' ') } })
    }
    return { kind: 'wrong' }
  }

  /**
   * One after the other for all who answer to the same budget: of many guesses at once, no more are looked at than there are
   * tries. Codes have one for a name, from wherever.
   */
  function guarded(what: Guessed, name: string, whence: Whence, judge: () => Promise<Tried>): Promise<Tried> {
    const from = whence.device ?? (what === 'code' ? '' : clientNetwork(whence.address))
    return inTurn(`${what} ${from} ${name}`, async () => {
      const retryAfterMs = await lockout.waitMs(what, name, whence)
      return retryAfterMs > 0 ? { kind: 'locked', retryAfterMs } : judge()
    })
  }

  return {
    now,
    factors,
    devices,
    lockout,
    find: (name) => users.get(name),
    list: (options) => users.list(options),
    async set(name, password, rights) {
      const existed = (await users.get(name)) !== undefined
      const user = await users.set(name, password, rights)
      if (existed) await end(user.name)
      return user
    },
    async remove(name) {
      const user = normalized(name)
      const removed = await users.remove(user)
      await factors.removeAll(user)
      if (removed) await end(user)
      return removed
    },
    tryPassword(typed, password, whence) {
      const name = normalized(typed)
      return guarded('password', name, whence, async () => {
        let retryAfterMs = 0
        const judged = await users.check(name, password, {
          first: whence.device !== undefined,
          // Asked again when its turn comes: others may have used up what all share while it waited.
          mayTry: async () => {
            retryAfterMs = await lockout.waitMs('password', name, whence)
            return retryAfterMs === 0
          },
        })
        if (judged.kind === 'verified') return { kind: 'right', name: judged.name }
        if (judged.reason === 'busy') return { kind: 'busy' }
        if (judged.reason === 'locked') return { kind: 'locked', retryAfterMs }
        return wrong('password', name, whence, (await users.get(name)) !== undefined)
      })
    },
    tryTotp: (name, code, whence) =>
      guarded('code', name, whence, async () => {
        const verdict = await factors.checkTotp(name, code)
        if (verdict === 'right') return { kind: 'right', name }
        if (verdict === 'replayed') tell({ event: 'account.code-replayed', subject: name, address: whence.address })
        return wrong('code', name, whence, true)
      }),
    tryRecoveryCode: (name, code, whence) =>
      guarded('code', name, whence, async () => {
        if (!(await factors.useRecoveryCode(name, code))) return wrong('code', name, whence, true)
        tell({ event: 'account.recovery-used', subject: name, address: whence.address })
        return { kind: 'right', name }
      }),
    async changePassword(name, password, whence) {
      const words = [serviceName, new URL(settings.issuer).hostname]
      const fault = passwordFault(password.normalize('NFC'), { name, lengthMin, words })
      if (fault !== undefined) return fault
      try {
        if ((await users.setPassword(name, password)) === undefined) return 'there is no such account'
      } catch (error) {
        if (error instanceof ConfigError) return error.message
        throw error
      }
      tell({
        event: 'account.password-changed',
        subject: name,
        ...(whence === undefined ? {} : { address: whence.address }),
      })
      await end(name)
      return undefined
    },
    async unlock(name) {
      await lockout.unlock(normalized(name))
    },
    async stillStands(name, authTimeSeconds) {
      const user = await users.get(name)
      if (user === undefined) return false
      return authTimeSeconds === undefined || authTimeSeconds >= Math.floor(user.changedAt / 1_000)
    },
    onEnd(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    close() {
      listeners.clear()
      sessions.close()
      users.close()
    },
  }
}

function isShared(budget: Spent): boolean {
  return budget === 'network' || budget === 'all'
}

const turnsMax = 1_000
const waitersMax = 20

/** Runs what has one key one after the other; `busy` where too many wait. */
function createTurns() {
  const lines = new Map<string, { last: Promise<unknown>; length: number }>()
  return async (key: string, work: () => Promise<Tried>): Promise<Tried> => {
    const line = lines.get(key) ?? { last: Promise.resolve(), length: 0 }
    if (line.length >= waitersMax || (line.length === 0 && lines.size >= turnsMax)) return { kind: 'busy' }
    lines.set(key, line)
    line.length++
    const turn = line.last.then(work)
    line.last = turn.catch(() => {})
    try {
      return await turn
    } finally {
      line.length--
      if (line.length === 0) lines.delete(key)
    }
  }
}

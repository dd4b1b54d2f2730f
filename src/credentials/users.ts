import { createHmac, randomBytes } from 'node:crypto'
import type { Options as Argon2Options } from '@node-rs/argon2'
import type { Clock } from '../base/clock.ts'
import { ConfigError } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import { Lru } from '../base/lru.ts'
import type { Counters } from '../store/counters.ts'
import type { Store, Value } from '../store/store.ts'
import { passwordFault, passwordMax } from './password-rules.ts'
import { createRecords, listRecords, type Records } from './records.ts'
import { hasSecondFactor } from './second-factors.ts'
import { type Refusal, refused, setOf } from './secret.ts'
import { createWrongPasswords } from './wrong-passwords.ts'

const prefix = 'user/'
const nameMax = 200
const writeTriesMax = 5

/** What a password costs to try: memory, passes, lanes. */
export interface PasswordCost {
  readonly memoryKiB: number
  readonly passes: number
  readonly lanes: number
}

/** Loaded with the first password: a native library that a gate without Basic should not map. */
const argon2 = () => import('@node-rs/argon2')

/** RFC 9106, 4, second recommended option: Argon2id with 64 MiB, 3 passes, 4 lanes; 50 to 100 ms. */
export const defaultCost: PasswordCost = { memoryKiB: 65_536, passes: 3, lanes: 4 }

/** A user as it may be shown: everything but the password. */
export interface User {
  readonly name: string
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  readonly createdAt: number
  /** When the password was last set: who signed in before is signed in no more. */
  readonly changedAt: number
}

/** What a right password says. The same object until the record changes. */
export interface VerifiedUser {
  readonly kind: 'verified'
  readonly name: string
  readonly scopes: ReadonlySet<string>
  readonly roles: ReadonlySet<string>
}

/**
 * `busy`: too many passwords are being checked already; the caller may come again (503 with Retry-After). `locked`: too
 * many wrong ones came from there; the password was not looked at (429 with Retry-After). `second-factor`: it was right, and
 * is not enough for this user; to be told in the log alone.
 */
export type UserRefusal = Refusal<'mismatch' | 'busy' | 'locked' | 'second-factor'>

export interface Users {
  /** Makes a user, or gives one a new password and rights. Throws `ConfigError` for what cannot be. */
  set(name: string, password: string, rights?: { scopes?: readonly string[]; roles?: readonly string[] }): Promise<User>
  /** Gives a user a new password and leaves the rights; `undefined` when there is no such user. Throws as `set`. */
  setPassword(name: string, password: string): Promise<User | undefined>
  /** A user as it stands in the store now. */
  get(name: string): Promise<User | undefined>
  remove(name: string): Promise<boolean>
  /** By name; `after` the last name of the page before. At most 1,000. */
  list(options?: { readonly limit?: number; readonly after?: string }): Promise<User[]>
  /**
   * Judges a name and a password. An unknown user costs the same path and time as a wrong password. A pair that
   * proved right is remembered for a minute, so that Basic does not cost a slow hash per request; a changed or
   * removed user is forgotten at once. Wrong ones are counted where `from` says whence they come: the user's other
   * callers notice nothing of a guesser. Throws or rejects with
   * `StoreUnavailable` as API keys do.
   */
  verify(
    name: string,
    password: string,
    from?: string,
    options?: VerifyOptions,
  ): VerifiedUser | UserRefusal | Promise<VerifiedUser | UserRefusal>
  /**
   * Judges a name and a password once, for a sign-in: every call costs one slow hash, whether or not there is such a
   * user, and nothing is remembered or counted. `mayTry` is asked when its turn has come; `false` answers `locked`.
   */
  check(name: string, password: string, options?: CheckOptions): Promise<VerifiedUser | UserRefusal>
  close(): void
}

export interface VerifyOptions {
  /** The password will do for users with a second factor, too: the caller of `verify` judges that itself. */
  readonly passwordAlone?: boolean
}

export interface CheckOptions {
  readonly mayTry?: () => boolean | Promise<boolean>
  /** Waits in a line of its own, so that a flood of guesses does not hold up those who are known. */
  readonly first?: boolean
}

export interface UsersOptions {
  readonly store: Store
  /** Where wrong passwords are counted. Default: in this process. */
  readonly counters?: Counters
  /** Is told of locked accounts. */
  readonly tell?: Tell
  readonly now?: Clock
  readonly cost?: PasswordCost
  /** Passwords hashed at once; each takes the memory that `cost` says. */
  readonly concurrency?: number
  /** How many more may wait for their turn. */
  readonly queueMax?: number
}

const rememberMs = 60_000
const rememberedMax = 10_000
const mismatch = refused('mismatch')
const busy = refused('busy')
const locked = refused('locked')
const oneOfTwo = refused('second-factor')

/** Users for HTTP Basic (RFC 7617) in a store, their passwords under Argon2id (RFC 9106). */
export function createUsers({
  store,
  counters,
  tell = () => {},
  now = Date.now,
  cost = defaultCost,
  concurrency = 2,
  queueMax = 64,
}: UsersOptions): Users {
  let records: Records<Known> | undefined
  const queue = createQueue(concurrency, queueMax)
  const firstQueue = createQueue(1, queueMax)
  // Right pairs by a keyed hash whose key never leaves this process: memory shows no password, not even its plain hash.
  const pepper = randomBytes(32)
  const remembered = new Lru<string, { readonly hash: string; readonly until: number }>({ entriesMax: rememberedMax })
  const nobody = hashOfNobody(cost)
  const wrong = createWrongPasswords({ counters, now, tell })
  const checking = new Map<string, Promise<VerifiedUser | UserRefusal>>()

  function verify(
    name: string,
    password: string,
    from?: string,
    { passwordAlone = false }: VerifyOptions = {},
  ): VerifiedUser | UserRefusal | Promise<VerifiedUser | UserRefusal> {
    records ??= createRecords({ store, prefix, read: known, now, entriesMax: rememberedMax })
    const user = normalized(name)
    const found = isName(user) ? records.get(user) : undefined
    const given = normalized(password)
    return found instanceof Promise
      ? found.then((later) => judge(later, user, given, from, passwordAlone))
      : judge(found, user, given, from, passwordAlone)
  }

  function judge(
    found: Known | undefined,
    name: string,
    password: string,
    from: string | undefined,
    passwordAlone: boolean,
  ) {
    // Before anything is compared, the remembered pairs included: else the answer would tell which guess was right.
    if (from !== undefined && wrong.isKnownSpent(from, name)) return locked
    const digest = createHmac('sha256', pepper).update(`${name.length}:${name}${password}`).digest('base64url')
    const pair = passwordAlone ? `alone ${digest}` : digest
    const earlier = remembered.get(pair)
    if (found !== undefined && earlier !== undefined && earlier.hash === found.hash && now() < earlier.until) {
      return found.verified
    }
    // A client that opens many connections at once shows one pair many times: one hash answers all.
    const key = `${pair} ${found?.hash} ${from}`
    const underWay = checking.get(key)
    if (underWay !== undefined) return underWay
    const checked = check(found, name, password, { pair, from, passwordAlone }).finally(() => checking.delete(key))
    checking.set(key, checked)
    return checked
  }

  async function check(
    found: Known | undefined,
    name: string,
    password: string,
    {
      pair,
      from,
      passwordAlone,
    }: { readonly pair: string; readonly from: string | undefined; readonly passwordAlone: boolean },
  ): Promise<VerifiedUser | UserRefusal> {
    // Looked at when its turn comes: what was wrong while it waited counts.
    const right = await queue(async () =>
      from !== undefined && (await wrong.isSpent(from, name))
        ? locked
        : (await argon2()).verify(found?.hash ?? nobody, password.slice(0, passwordMax)),
    )
    if (right === undefined) return busy
    if (typeof right === 'object') {
      if (from !== undefined) await wrong.count(from, name, 'name', found !== undefined)
      return locked
    }
    if (!right || found === undefined || password.length > passwordMax) {
      if (from !== undefined) await wrong.count(from, name, 'both', found !== undefined)
      return mismatch
    }
    // Counted and not remembered, as a wrong one: else the time of the next answer would tell that it was right.
    if (!passwordAlone && (await hasSecondFactor(store, name))) {
      if (from !== undefined) await wrong.count(from, name, 'both', true)
      return oneOfTwo
    }
    remembered.set(pair, { hash: found.hash, until: now() + rememberMs })
    if (await isWeaker(found.hash, cost)) strengthen(name, found, password).catch(() => {})
    return found.verified
  }

  /** A hash made with less than today's cost is made anew while the password is at hand. */
  async function strengthen(name: string, found: Known, password: string): Promise<void> {
    const value = await store.get(prefix + name)
    if (value === undefined || known(value, name)?.hash !== found.hash) return
    const hash = await queue(async () => (await argon2()).hash(password, argon2Options(cost)))
    if (hash !== undefined) await store.put(prefix + name, { ...(value as object), hash }, { onlyIfEquals: value })
  }

  async function hashOf(name: string, password: string): Promise<string> {
    const secret = normalized(password)
    const fault = passwordFault(secret, { name })
    if (fault !== undefined) throw new ConfigError('P1043', fault)
    return (await argon2()).hash(secret, argon2Options(cost))
  }

  return {
    verify,
    async check(name, password, { mayTry, first = false } = {}) {
      const user = normalized(name)
      const value = isName(user) ? await store.get(prefix + user) : undefined
      const found = value === undefined ? undefined : known(value, user)
      const given = normalized(password)
      const right = await (first ? firstQueue : queue)(async () =>
        mayTry !== undefined && !(await mayTry())
          ? locked
          : (await argon2()).verify(found?.hash ?? nobody, given.slice(0, passwordMax)),
      )
      if (right === undefined) return busy
      if (typeof right === 'object') return right
      if (!right || found === undefined || given.length > passwordMax) return mismatch
      if (await isWeaker(found.hash, cost)) strengthen(user, found, given).catch(() => {})
      return found.verified
    },
    async set(name, password, { scopes = [], roles = [] } = {}) {
      const user = normalized(name)
      // RFC 7617, 2: a name with a colon could not be told from the password.
      if (!isName(user) || user.includes(':')) {
        throw new ConfigError('P1043', `a user's name has 1 to ${nameMax} printable characters and no colon`)
      }
      const hash = await hashOf(user, password)
      const at = now()
      const stored = { name: user, hash, scopes: [...scopes], roles: [...roles], createdAt: at, changedAt: at }
      await store.put(prefix + user, stored)
      return shown(stored)
    },
    async setPassword(name, password) {
      const user = normalized(name)
      for (let tries = 0; ; tries++) {
        const value = isName(user) ? await store.get(prefix + user) : undefined
        const stored = value === undefined ? undefined : parse(value)
        if (value === undefined || stored === undefined) return undefined
        const next = { ...stored, hash: await hashOf(user, password), changedAt: now() }
        if (await store.put(prefix + user, { ...next }, { onlyIfEquals: value })) return shown(next)
        if (tries === writeTriesMax)
          throw new ConfigError('P1043', `the user ${user} is being changed by others; try again`)
      }
    },
    async get(name) {
      const user = normalized(name)
      const value = isName(user) ? await store.get(prefix + user) : undefined
      const stored = value === undefined ? undefined : parse(value)
      return stored === undefined ? undefined : shown(stored)
    },
    async remove(name) {
      const user = normalized(name)
      return isName(user) && (await store.delete(prefix + user))
    },
    async list(page) {
      return (await listRecords(store, prefix, parse, page)).map(shown)
    },
    close() {
      records?.close()
      records = undefined
      remembered.clear()
    },
  }
}

/** RFC 8265, 3.3 and 4.2: people type the same name in several Unicode forms. */
export function normalized(text: string): string {
  return text.normalize('NFC')
}

function isName(name: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: RFC 7617, 2: no control characters.
  return name.length >= 1 && name.length <= nameMax && name.isWellFormed() && !/[\x00-\x1f\x7f]/.test(name)
}

function argon2Options({ memoryKiB, passes, lanes }: PasswordCost): Argon2Options {
  // The library's default algorithm is Argon2id, its default version 1.3.
  return { memoryCost: memoryKiB, timeCost: passes, parallelism: lanes }
}

async function isWeaker(hash: string, cost: PasswordCost): Promise<boolean> {
  const { memoryCost, timeCost } = (await argon2()).parseOptions(hash)
  return memoryCost * timeCost < cost.memoryKiB * cost.passes
}

/** A hash of today's cost that belongs to no password: random bytes in the PHC string format. */
function hashOfNobody({ memoryKiB, passes, lanes }: PasswordCost): string {
  const bytes = (count: number) => randomBytes(count).toString('base64').replace(/=+$/, '')
  return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${lanes}$${bytes(16)}$${bytes(32)}`
}

interface StoredUser extends User {
  readonly hash: string
}

interface Known {
  readonly hash: string
  readonly verified: VerifiedUser
}

function shown({ name, scopes, roles, createdAt, changedAt }: StoredUser): User {
  return { name, scopes, roles, createdAt, changedAt }
}

function parse(value: Value): StoredUser | undefined {
  const stored = value as Partial<StoredUser> | null
  if (typeof stored !== 'object' || stored === null) return undefined
  // Users of older versions have no `changedAt`.
  const { name, hash, scopes, roles, createdAt, changedAt = createdAt } = stored
  if (typeof name !== 'string' || typeof hash !== 'string' || !hash.startsWith('$argon2id$')) return undefined
  return Array.isArray(scopes) && Array.isArray(roles) && typeof createdAt === 'number' && typeof changedAt === 'number'
    ? { ...(stored as StoredUser), changedAt }
    : undefined
}

function known(value: Value, name: string): Known | undefined {
  const stored = parse(value)
  if (stored === undefined || stored.name !== name) return undefined
  const verified = { kind: 'verified', name, scopes: setOf(stored.scopes), roles: setOf(stored.roles) } as const
  return { hash: stored.hash, verified }
}

/** Runs at most `concurrency` at once and lets `queueMax` wait; further ones get `undefined` at once. */
function createQueue(concurrency: number, queueMax: number) {
  let running = 0
  const waiting: (() => void)[] = []
  return async <T>(work: () => Promise<T>): Promise<T | undefined> => {
    if (running >= concurrency) {
      if (waiting.length >= queueMax) return undefined
      await new Promise<void>((resolve) => waiting.push(resolve))
    } else running++
    try {
      return await work()
    } finally {
      // Hands its place over, so that nobody slips in between.
      const next = waiting.shift()
      if (next === undefined) running--
      else next()
    }
  }
}

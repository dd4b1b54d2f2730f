import type { Clock } from '../base/clock.ts'
import { boundedKey, type Counters, checkAmounts, checkRate, type Drawn, type Rate, type Taken } from './counters.ts'

export interface MemoryCountersOptions {
  /** Milliseconds that never go back. Default: the process's own monotonic clock. */
  readonly now?: Clock
  /** Budgets that are kept apart, at most; about 150 bytes each. */
  readonly entriesMax?: number
  /** Pools that are kept, at most; the one that was poured into longest ago is given up for another. */
  readonly poolsMax?: number
}

/** Counters that always answer bare. */
export interface MemoryCounters extends Counters {
  take(key: string, rate: Rate, cost?: number): Taken
  draw(pool: string, amount: number): Drawn
  pour(pool: string, amount: number, more: number, ttlMs: number): void
  drain(pool: string): number
}

/**
 * Counters in this process. Exact, bare, about 0.1 µs each, and bounded: a budget that is full again is forgotten,
 * for a new one is the same. While all `entriesMax` budgets are partly spent, further keys share 1,024 budgets per
 * rate among them: none of them passes more than its rate, some pass less, and nobody's spent budget is ever reset by
 * a flood of other keys.
 */
export function createMemoryCounters({
  now = () => performance.now(),
  entriesMax = 262_144,
  poolsMax = 65_536,
}: MemoryCountersOptions = {}): MemoryCounters {
  const budgets = createBudgets(entriesMax)
  const pools = createPools(poolsMax)
  return {
    take(key, rate, cost = 1) {
      checkRate(rate, cost)
      return budgets.take(boundedKey(key), rate, cost, now())
    },
    draw(pool, amount) {
      checkAmounts(amount)
      return pools.draw(boundedKey(pool), amount, now())
    },
    pour(pool, amount, more, ttlMs) {
      checkAmounts(amount, more)
      pools.pour(boundedKey(pool), amount, more, now(), ttlMs)
    },
    drain: (pool) => pools.drain(boundedKey(pool), now()),
    async close() {},
  }
}

const sharedBudgets = 1_024
/** How many budgets a new key looks at for one that is full again: two on the way, more when there is no room. */
const glance = 2
const search = 64

/**
 * The table: levels, the time each was true, and how fast and from where it falls, in flat arrays by slot, so that a
 * request allocates nothing but its answer.
 */
function createBudgets(entriesMax: number) {
  const slots = new Map<string, number>()
  const keys: (string | undefined)[] = []
  const free: number[] = []
  let levels = new Float64Array(1_024)
  let seen = new Float64Array(1_024)
  /** Until when a slot must be kept: the moment its budget is full again. */
  let fullAt = new Float64Array(1_024)
  const shared = new Map<string, { level: number; seen: number }>()
  let hand = 0

  function take(key: string, rate: Rate, cost: number, now: number): Taken {
    let slot = slots.get(key)
    if (slot === undefined) {
      // A look, or a refusal, leaves nothing to remember.
      if (cost === 0 || cost > (rate.burst ?? rate.count)) return judge(0, rate, cost)
      slot = place(key, now)
      if (slot === undefined) return takeShared(key, rate, cost, now)
    }
    const level = fallen(levels[slot]!, now - seen[slot]!, rate)
    const taken = judge(level, rate, cost)
    levels[slot] = taken.allowed ? level + cost : level
    seen[slot] = now
    fullAt[slot] = now + taken.resetMs
    return taken
  }

  /** A slot for a new key; `undefined` when every slot holds a budget that is still partly spent. */
  function place(key: string, now: number): number | undefined {
    let slot: number | undefined
    const crowded = free.length === 0 && keys.length >= entriesMax
    for (let looks = crowded ? search : glance; looks > 0 && keys.length > 0; looks--) {
      hand = hand + 1 < keys.length ? hand + 1 : 0
      const old = keys[hand]
      if (old === undefined || fullAt[hand]! > now) continue
      slots.delete(old)
      keys[hand] = undefined
      free.push(hand)
      if (crowded) break
    }
    if (free.length > 0) slot = free.pop()!
    else if (keys.length < entriesMax) slot = keys.length
    else return undefined
    if (slot >= levels.length) grow()
    keys[slot] = key
    slots.set(key, slot)
    levels[slot] = 0
    seen[slot] = now
    return slot
  }

  function grow(): void {
    const size = Math.min(levels.length * 2, Math.max(entriesMax, 1_024))
    const larger = (old: Float64Array) => {
      const array = new Float64Array(size)
      array.set(old)
      return array
    }
    levels = larger(levels)
    seen = larger(seen)
    fullAt = larger(fullAt)
  }

  function takeShared(key: string, rate: Rate, cost: number, now: number): Taken {
    const { count, windowMs, burst = count } = rate
    const name = `${count}/${windowMs}/${burst}/${hash(key) % sharedBudgets}`
    let budget = shared.get(name)
    if (budget === undefined) {
      // Rates come from the configuration, so there are few; still, nothing grows for ever.
      if (shared.size >= sharedBudgets * 64) shared.delete(shared.keys().next().value!)
      budget = { level: 0, seen: now }
      shared.set(name, budget)
    }
    const level = fallen(budget.level, now - budget.seen, rate)
    const taken = judge(level, rate, cost)
    budget.level = taken.allowed ? level + cost : level
    budget.seen = now
    return taken
  }

  return { take }
}

const noPool: Drawn = { taken: false, left: 0, more: undefined }

/** Pools by name, in the order in which they were last poured into. */
function createPools(poolsMax: number) {
  const pools = new Map<string, { left: number; more: number; until: number }>()
  const live = (name: string, now: number) => {
    const pool = pools.get(name)
    if (pool === undefined || pool.until > now) return pool
    pools.delete(name)
    return undefined
  }
  return {
    draw(name: string, amount: number, now: number): Drawn {
      const pool = live(name, now)
      if (pool === undefined) return noPool
      const taken = pool.left >= amount
      if (taken) pool.left -= amount
      return { taken, left: pool.left, more: pool.more }
    },
    pour(name: string, amount: number, more: number, now: number, ttlMs: number): void {
      const old = live(name, now)
      const left = (old?.left ?? 0) + amount
      pools.delete(name)
      if (pools.size >= poolsMax) pools.delete(pools.keys().next().value!)
      // What lies in it was to stay for as long as was said before.
      const until = left > amount ? Math.max(old!.until, now + ttlMs) : now + ttlMs
      pools.set(name, { left, more, until })
    },
    drain(name: string, now: number): number {
      const left = live(name, now)?.left ?? 0
      pools.delete(name)
      return left
    },
  }
}

/** A level after `elapsedMs`. A clock that went back lets nothing fall, and nothing wait for it to catch up. */
function fallen(level: number, elapsedMs: number, { count, windowMs }: Rate): number {
  if (elapsedMs <= 0) return level
  // Multiplied first: whole windows and whole counts then come out exact.
  const left = level - (elapsedMs * count) / windowMs
  return Math.max(left, 0)
}

/** Sums of fractions miss whole numbers by far less; a real cost is far larger. */
const rounding = 1e-9

/** What `cost` more does to a level. The result says how things stand afterwards. */
export function judge(level: number, { count, windowMs, burst = count }: Rate, cost: number): Taken {
  const raised = level + cost
  if (raised <= burst + rounding) {
    return {
      allowed: true,
      remaining: Math.floor(burst - raised + rounding),
      retryAfterMs: 0,
      resetMs: (raised * windowMs) / count,
    }
  }
  return {
    allowed: false,
    remaining: Math.max(0, Math.floor(burst - level + rounding)),
    retryAfterMs: cost > burst ? Number.POSITIVE_INFINITY : ((raised - burst) * windowMs) / count,
    resetMs: (level * windowMs) / count,
  }
}

/** FNV-1a, 32 bits. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193)
  return value >>> 0
}

import { randomBytes } from 'node:crypto'
import { Redis, type Result } from 'ioredis'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import { boundedKey, type Counters, CountersUnavailable, checkRate, type Taken } from './counters.ts'

export interface RedisCountersOptions {
  /** `redis://user:password@host:6379/0`; `rediss://` speaks TLS. */
  readonly url: string
  readonly log: Logger
  /** How long one question may take before it counts as unanswered. */
  readonly timeoutMs?: number
  /** How long a place outlives the process that held it. */
  readonly placeMs?: number
}

const questionsMax = 20_000
/** As many unanswered questions in a row mean that the connection is dead, though nobody said so. */
const silentMax = 20
const firstConnectionMs = 1_000

/**
 * The same arithmetic as in memory, on the server's clock, so that machines whose clocks differ share one budget. A
 * saved budget is gone when it is full again. Answers in microseconds: Lua's numbers lose their fraction on the way.
 */
const takeScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + time[2] / 1000
local count, window, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local level = 0
local saved = redis.call('GET', KEYS[1])
if saved then
  local before, seen = string.match(saved, '^(%S+) (%S+)$')
  level = tonumber(before)
  local elapsed = now - tonumber(seen)
  if elapsed > 0 then level = math.max(0, level - elapsed * count / window) end
end
local raised = level + cost
local allowed = raised <= burst + 1e-9
if allowed then level = raised end
if allowed and cost > 0 then
  redis.call('SET', KEYS[1], string.format('%.17g %.17g', level, now), 'PX', math.ceil(level * window / count))
end
local retry = 0
if not allowed then retry = cost > burst and -1 or math.ceil((raised - burst) * window / count * 1000) end
return { allowed and 1 or 0, math.max(0, math.floor(burst - level + 1e-9)), retry, math.ceil(level * window / count * 1000) }
`

/** A place is a member whose score is the moment it ends unless its process is heard of before. */
const enterScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[2]) then return 0 end
redis.call('ZADD', KEYS[1], now + ARGV[3], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return 1
`
const stayScript = `
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
for i = 2, #ARGV do redis.call('ZADD', KEYS[1], now + ARGV[1], ARGV[i]) end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
`

declare module 'ioredis' {
  interface RedisCommander<Context> {
    portcullisTake(key: string, count: number, windowMs: number, burst: number, cost: number): Result<number[], Context>
    portcullisEnter(key: string, member: string, max: number, placeMs: number): Result<number, Context>
    portcullisStay(key: string, placeMs: number, ...members: string[]): Result<null, Context>
  }
}

/**
 * Counters in Redis or Valkey, shared by processes and machines, exact: every take is one script on the server. Takes
 * of one turn of the event loop travel together. A question is answered within `timeoutMs`, or rejects.
 */
export async function openRedisCounters({
  url,
  log,
  timeoutMs = 100,
  placeMs = 10_000,
}: RedisCountersOptions): Promise<Counters> {
  const redis = new Redis(url, {
    lazyConnect: true,
    connectionName: 'portcullis',
    enableAutoPipelining: true,
    // Without a connection a question fails at once; a limit has its stated answer, and a queue only delays it.
    enableOfflineQueue: false,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    connectTimeout: 1_000,
    keepAlive: 10_000,
    retryStrategy: (tries) => Math.min(50 * 2 ** Math.min(tries, 6), 1_000) * (0.75 + Math.random() / 2),
    reconnectOnError: (error) => /^(READONLY|LOADING)/.test(error.message),
  })
  redis.defineCommand('portcullisTake', { numberOfKeys: 1, lua: takeScript })
  redis.defineCommand('portcullisEnter', { numberOfKeys: 1, lua: enterScript })
  redis.defineCommand('portcullisStay', { numberOfKeys: 1, lua: stayScript })

  let down = false
  redis.on('error', (error) => {
    if (!down) log.warn('the counters in Redis do not answer', { reason: messageOf(error) })
    down = true
  })
  redis.on('ready', () => {
    if (down) log.info('the counters in Redis answer again')
    down = false
  })
  await firstConnection(redis)

  let questions = 0
  let silent = 0

  /** The answer, or `CountersUnavailable` when it does not come in time. */
  function ask<T>(question: () => Promise<T>): Promise<T> {
    if (redis.status !== 'ready') return Promise.reject(new CountersUnavailable('the counters in Redis do not answer'))
    if (questions >= questionsMax) return Promise.reject(new CountersUnavailable('too many questions wait for Redis'))
    questions++
    return new Promise((resolve, reject) => {
      let open = true
      const settle = () => {
        open = false
        questions--
        clearTimeout(timer)
      }
      // When this process was held up, the answer may lie in the socket already: look there before giving up.
      const timer = setTimeout(() => setImmediate(giveUp), timeoutMs)
      function giveUp(): void {
        if (!open) return
        settle()
        if (++silent === silentMax) {
          silent = 0
          redis.disconnect(true)
        }
        reject(new CountersUnavailable(`the counters in Redis did not answer within ${timeoutMs} ms`))
      }
      question().then(
        (answer) => {
          silent = 0
          if (!open) return
          settle()
          resolve(answer)
        },
        (error: unknown) => {
          if (!open) return
          settle()
          reject(new CountersUnavailable(`the counters in Redis failed: ${messageOf(error)}`, { cause: error }))
        },
      )
    })
  }

  const places = createPlaces(redis, ask, placeMs)
  return {
    async take(key, rate, cost = 1): Promise<Taken> {
      checkRate(rate, cost)
      const { count, windowMs, burst = count } = rate
      const answer = await ask(() =>
        redis.portcullisTake(`portcullis:take:${boundedKey(key)}`, count, windowMs, burst, cost),
      )
      const [allowed, remaining, retryUs, resetUs] = answer as [number, number, number, number]
      return {
        allowed: allowed === 1,
        remaining,
        retryAfterMs: retryUs < 0 ? Number.POSITIVE_INFINITY : retryUs / 1000,
        resetMs: resetUs / 1000,
      }
    },
    enter: places.enter,
    async close() {
      places.close()
      // Lets the questions under way be answered; a server that is gone is not waited for.
      if (redis.status === 'ready') await ask(() => redis.quit()).catch(() => {})
      redis.disconnect()
    },
  }
}

/** Waits a moment for the connection; a server that is down is tried further in the background. */
async function firstConnection(redis: Redis): Promise<void> {
  const tried = redis.connect().catch(() => {})
  let timer: NodeJS.Timeout | undefined
  await Promise.race([tried, new Promise((resolve) => (timer = setTimeout(resolve, firstConnectionMs)))])
  clearTimeout(timer)
}

/** The places that this process holds; kept alive while they are held, so that a dead process frees its own. */
function createPlaces(redis: Redis, ask: <T>(question: () => Promise<T>) => Promise<T>, placeMs: number) {
  const process = randomBytes(8).toString('hex')
  const held = new Map<string, Set<string>>()
  let last = 0
  let timer: NodeJS.Timeout | undefined

  /** Also brings back places that a server lost by a restart: their holders are still inside. */
  function stay(): void {
    for (const [key, members] of held) ask(() => redis.portcullisStay(key, placeMs, ...members)).catch(() => {})
  }

  function leave(key: string, member: string): void {
    const members = held.get(key)
    if (members?.delete(member) !== true) return
    if (members.size === 0) held.delete(key)
    if (held.size === 0) {
      clearInterval(timer)
      timer = undefined
    }
    // If this is not heard the place ends by itself.
    ask(() => redis.zrem(key, member)).catch(() => {})
  }

  return {
    async enter(name: string, max: number): Promise<(() => void) | undefined> {
      const key = `portcullis:enter:${boundedKey(name)}`
      const member = `${process}:${++last}`
      const inside = await ask(() => redis.portcullisEnter(key, member, max, placeMs))
      if (inside !== 1) return undefined
      const members = held.get(key)
      if (members === undefined) held.set(key, new Set([member]))
      else members.add(member)
      timer ??= setInterval(stay, placeMs / 3).unref()
      return () => leave(key, member)
    },
    close() {
      clearInterval(timer)
      for (const [key, members] of [...held]) for (const member of [...members]) leave(key, member)
    },
  }
}

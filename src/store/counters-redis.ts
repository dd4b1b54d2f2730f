import { Redis, type Result } from 'ioredis'
import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import {
  boundedKey,
  type Counters,
  CountersUnavailable,
  checkAmounts,
  checkRate,
  type Drawn,
  type Taken,
} from './counters.ts'

export interface RedisCountersOptions {
  /** `redis://user:password@host:6379/0`; `rediss://` speaks TLS. */
  readonly url: string
  readonly log: Logger
  /** How long one question may take before it counts as unanswered. */
  readonly timeoutMs?: number
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

/** A pool is a hash; what is asked for is taken whole or not at all. */
const drawScript = `
local pool = redis.call('HMGET', KEYS[1], 'left', 'more')
if not pool[1] then return { 0, 0, -1 } end
local left, amount = tonumber(pool[1]), tonumber(ARGV[1])
if left < amount then return { 0, left, tonumber(pool[2]) } end
if amount > 0 then left = redis.call('HINCRBY', KEYS[1], 'left', -amount) end
return { 1, left, tonumber(pool[2]) }
`
const pourScript = `
local left = redis.call('HINCRBY', KEYS[1], 'left', ARGV[1])
redis.call('HSET', KEYS[1], 'more', ARGV[2])
if left == tonumber(ARGV[1]) or redis.call('PTTL', KEYS[1]) < tonumber(ARGV[3]) then
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return 1
`
const drainScript = `
local left = redis.call('HGET', KEYS[1], 'left')
redis.call('DEL', KEYS[1])
return tonumber(left or 0)
`

declare module 'ioredis' {
  interface RedisCommander<Context> {
    portcullisDraw(pool: string, amount: number): Result<number[], Context>
    portcullisPour(pool: string, amount: number, more: number, ttlMs: number): Result<number, Context>
    portcullisDrain(pool: string): Result<number, Context>
    portcullisTake(key: string, count: number, windowMs: number, burst: number, cost: number): Result<number[], Context>
  }
}

/**
 * Counters in Redis or Valkey, shared by processes and machines, exact: every take is one script on the server. Takes
 * of one turn of the event loop travel together. A question is answered within `timeoutMs`, or rejects.
 */
export async function openRedisCounters({ url, log, timeoutMs = 100 }: RedisCountersOptions): Promise<Counters> {
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
  redis.defineCommand('portcullisDraw', { numberOfKeys: 1, lua: drawScript })
  redis.defineCommand('portcullisPour', { numberOfKeys: 1, lua: pourScript })
  redis.defineCommand('portcullisDrain', { numberOfKeys: 1, lua: drainScript })

  /**
   * Pools belong to one run of the server. One that was restarted from a snapshot, or a replica that was promoted, may
   * hold pools from which more was drawn than it knows of: under its own run's name they are lost, not spent twice.
   */
  let run: Promise<string> = Promise.resolve('')
  redis.on('ready', () => {
    run = redis.info('server').then(
      (told) => /^run_id:(\w+)/m.exec(told)?.[1] ?? '',
      (error: unknown) => {
        log.warn('Redis does not tell which run it is: after its restart parts of quotas may be spent twice', {
          reason: messageOf(error),
          hint: 'allow INFO to the user of counters.url',
        })
        return ''
      },
    )
  })
  const poolKey = async (pool: string) => `portcullis:pool:${await run}:${boundedKey(pool)}`

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
    async draw(pool, amount): Promise<Drawn> {
      checkAmounts(amount)
      const [taken, left, more] = (await ask(async () => redis.portcullisDraw(await poolKey(pool), amount))) as [
        number,
        number,
        number,
      ]
      return { taken: taken === 1, left, more: more < 0 ? undefined : more }
    },
    async pour(pool, amount, more, ttlMs) {
      checkAmounts(amount, more)
      await ask(async () => redis.portcullisPour(await poolKey(pool), amount, more, Math.ceil(ttlMs)))
    },
    drain: (pool) => ask(async () => redis.portcullisDrain(await poolKey(pool))),
    async close() {
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

import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { Redis } from 'ioredis'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Service, services } from '../../test/services.ts'
import { until } from '../../test/until.ts'
import { silentLogger } from '../base/log.ts'
import { countersContract, takesArbitrary } from './counters.contract.ts'
import { type Counters, CountersUnavailable } from './counters.ts'
import { createMemoryCounters } from './counters-memory.ts'
import { openRedisCounters } from './counters-redis.ts'

const skip = await services.missing('redis')
const log = silentLogger
/** Long, because the machine that runs the tests may be busy; the stated answer after it is tested with a short one. */
const timeoutMs = 5_000

countersContract(
  'Redis',
  async () => {
    const service = await services.redis()
    return {
      open: () => openRedisCounters({ url: service.url, log, timeoutMs }),
      pass: (ms) => sleep(ms),
      close: () => service.close(),
    }
  },
  { skip, slackMs: 5_000 },
)

describe.skipIf(skip)('counters in Redis', () => {
  let service: Service
  let counters: Counters
  const messages: string[] = []
  const noted = {
    ...log,
    warn: (message: string) => messages.push(message),
    info: (message: string) => messages.push(message),
  }
  const rate = { count: 5, windowMs: 3_600_000 }

  beforeAll(async () => {
    service = await services.redis()
  })
  afterAll(() => service?.close())
  beforeEach(async () => {
    messages.length = 0
    counters = await openRedisCounters({ url: service.url, log: noted, timeoutMs })
  })
  afterEach(() => counters.close())

  const fails = (work: () => unknown) =>
    (async () => work())().then(
      () => false,
      (error: unknown) => error instanceof CountersUnavailable,
    )

  test('L4: pools of a server that was restarted are lost, never spent twice, whatever it saved', async () => {
    const admin = new Redis(service.url)
    await counters.pour('restarted', 50, 0, 3_600_000)
    await counters.take('kept', rate, 3)
    await admin.save()
    await admin.quit()
    await service.stop()
    await service.start()
    await until(async () => (await fails(() => counters.draw('restarted', 0))) === false)
    expect((await counters.take('kept', rate, 0)).remaining).toBe(2)
    expect(await counters.draw('restarted', 1)).toEqual({ taken: false, left: 0, more: undefined })
    await counters.pour('restarted', 1, 0, 3_600_000)
    expect(await counters.draw('restarted', 1)).toMatchObject({ taken: true, left: 0 })
  })

  test('judge as memory does, take for take', async () => {
    let keys = 0
    await fc.assert(
      fc.asyncProperty(takesArbitrary, async ({ rate, takes }) => {
        // In windows of days nothing comes back while the test runs, so both see the same moment.
        const days = { ...rate, windowMs: rate.windowMs * 86_400_000 }
        const memory = createMemoryCounters({ now: () => 0 })
        const key = `same ${++keys}`
        for (const { cost } of takes.slice(0, 20)) {
          const expected = memory.take(key, days, cost)
          const taken = await counters.take(key, days, cost)
          expect(taken.allowed).toBe(expected.allowed)
          expect(taken.remaining).toBe(expected.remaining)
        }
      }),
      { numRuns: 20 },
    )
  })

  test('a budget that is full again leaves nothing in the server', async () => {
    const raw = new Redis(service.url)
    await raw.flushdb()
    await counters.take('short', { count: 10, windowMs: 500 })
    expect(await raw.dbsize()).toBe(1)
    expect(await raw.pttl('portcullis:take:short')).toBeLessThanOrEqual(50)
    await until(async () => (await raw.dbsize()) === 0)
    raw.disconnect()
  })

  test('go on when the server has forgotten the scripts', async () => {
    await counters.take('scripts', rate)
    const raw = new Redis(service.url)
    await raw.script('FLUSH')
    expect(await counters.take('scripts', rate)).toMatchObject({ allowed: true, remaining: 3 })
    raw.disconnect()
  })

  test('reject at once while the server is down, say so once, and answer again by themselves', async () => {
    await counters.take('down', rate)
    await service.stop()
    await until(() => messages.includes('the counters in Redis do not answer'))
    const since = performance.now()
    for (let i = 0; i < 100; i++) expect(await fails(() => counters.take('down', rate))).toBe(true)
    expect(performance.now() - since).toBeLessThan(1_000)
    await service.start()
    await until(async () => !(await fails(() => counters.take('down', rate))))
    expect(messages).toEqual(['the counters in Redis do not answer', 'the counters in Redis answer again'])
  })

  test('reject within the stated time when the server says nothing, and answer again afterwards', async () => {
    const impatient = await openRedisCounters({ url: service.url, log, timeoutMs: 100 })
    await until(async () => !(await fails(() => impatient.take('frozen', rate))))
    service.freeze()
    const since = performance.now()
    expect(await fails(() => impatient.take('frozen', rate))).toBe(true)
    const took = performance.now() - since
    expect(took).toBeGreaterThanOrEqual(99)
    expect(took).toBeLessThan(1_500)
    // Many unanswered questions: the connection is given up, and further ones are refused at once.
    await Promise.all(Array.from({ length: 50 }, () => fails(() => impatient.take('frozen', rate))))
    service.thaw()
    await until(async () => !(await fails(() => impatient.take('frozen', rate))))
    await impatient.close()
  })

  test('start while the server is down, and count once it is there', async () => {
    await service.stop()
    const early = await openRedisCounters({ url: service.url, log, timeoutMs })
    expect(await fails(() => early.take('early', rate))).toBe(true)
    await service.start()
    await until(async () => !(await fails(() => early.take('early', rate))))
    await early.close()
  })
})

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Service, services } from '../../../test/services.ts'
import { calendar } from '../../base/calendar.ts'
import { silentLogger } from '../../base/log.ts'
import { type Counters, CountersUnavailable } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'
import { openRedisCounters } from '../../store/counters-redis.ts'
import { openPostgresStore } from '../../store/postgres.ts'
import { createSqliteStore } from '../../store/sqlite.ts'
import { type Store, StoreUnavailable } from '../../store/store.ts'
import { createQuotas, type Quota, type Quotas } from './quota.ts'

const log = silentLogger
const start = Date.parse('2026-11-22T12:00:00Z')
const dayMs = 86_400_000
const perDay = (count: number): Quota => ({ count, periodAt: calendar('day') })

/** What is shared by all gates of one installation. */
interface Bench {
  /** The state as a new process sees it. */
  open(): Promise<{ readonly store: Store; readonly counters: Counters }>
  close(): Promise<void>
}

/** How many of `count` requests pass. */
async function passing(quotas: Quotas, key: string, quota: Quota, count: number, cost = 1): Promise<number> {
  let passed = 0
  for (let i = 0; i < count; i++) if ((await quotas.spend(key, quota, cost)).allowed) passed++
  return passed
}

function quotasContract(name: string, create: () => Promise<Bench>, skip: string | false = false): void {
  describe.skipIf(skip)(`quotas contract: ${name}`, () => {
    let bench: Bench
    let now = start
    let keys = 0
    const opened: { store: Store; counters: Counters }[] = []
    beforeAll(async () => {
      bench = await create()
    })
    afterAll(async () => {
      for (const { store, counters } of opened) {
        await counters.close()
        await store.close()
      }
      await bench?.close()
    })
    const another = async () => {
      const state = await bench.open()
      opened.push(state)
      return createQuotas({ ...state, now: () => now })
    }
    const key = () => `quota ${name} ${++keys}`

    test('L4: N pass, N+1 is refused until the period ends, and what is left is told', async () => {
      const quotas = await another()
      const mine = key()
      for (let i = 1; i <= 100; i++) {
        expect(await quotas.spend(mine, perDay(100), 1)).toMatchObject({ allowed: true, remaining: 100 - i })
      }
      const leftMs = start + 12 * 3_600_000 - now
      const refused = { allowed: false, remaining: 0, retryAfterMs: leftMs, resetMs: leftMs }
      expect(await quotas.spend(mine, perDay(100), 1)).toEqual(refused)
      expect(await quotas.spend(mine, perDay(100), 1)).toEqual(refused)
      expect(await passing(quotas, key(), perDay(100), 1)).toBe(1)
    })

    test('L4: exact over four gates that spend at the same time', async () => {
      const gates = [await another(), await another(), await another(), await another()]
      for (const count of [7, 100, 1_000]) {
        const mine = key()
        const quota = perDay(count)
        const all = await Promise.all(
          gates.flatMap((gate) => Array.from({ length: count / 2 + 30 }, async () => await gate.spend(mine, quota, 1))),
        )
        expect(all.filter(({ allowed }) => allowed).length).toBe(count)
      }
    })

    test('L4: exact over a stop and a start, and over another gate that goes on', async () => {
      const mine = key()
      const first = await another()
      const second = await another()
      expect(await passing(first, mine, perDay(1_000), 333)).toBe(333)
      await first.close()
      expect(await passing(second, mine, perDay(1_000), 100)).toBe(100)
      await second.close()
      expect(await passing(await another(), mine, perDay(1_000), 700)).toBe(567)
    })

    test('a new period is a new quota, and the old one is no part of it', async () => {
      const quotas = await another()
      const mine = key()
      expect(await passing(quotas, mine, perDay(5), 9)).toBe(5)
      now = start + 12 * 3_600_000 - 1
      expect(await passing(quotas, mine, perDay(5), 9)).toBe(0)
      now++
      expect(await passing(quotas, mine, perDay(5), 9)).toBe(5)
      // A clock that goes back opens nothing that was spent.
      now = start
      expect(await passing(quotas, mine, perDay(5), 9)).toBe(0)
    })

    test('what costs more counts as more, and a small one fits where a large one does not', async () => {
      const quotas = await another()
      const mine = key()
      expect(await passing(quotas, mine, perDay(23), 9, 5)).toBe(4)
      expect(await quotas.spend(mine, perDay(23), 4)).toMatchObject({ allowed: false, remaining: 3 })
      expect(await passing(quotas, mine, perDay(23), 9, 1)).toBe(3)
    })

    test('a quota that is changed goes on with what was spent of it', async () => {
      const quotas = await another()
      const mine = key()
      expect(await passing(quotas, mine, perDay(10), 20)).toBe(10)
      expect(await passing(quotas, mine, perDay(25), 20)).toBe(15)
      expect(await passing(quotas, mine, perDay(20), 20)).toBe(0)
    })
  })
}

quotasContract('SQLite and memory', async () => {
  const store = createSqliteStore({ file: ':memory:', log })
  const counters = createMemoryCounters()
  const shared = { store: { ...store, close: async () => {} }, counters }
  return { open: async () => shared, close: () => store.close() }
})

{
  const skip = (await services.missing('postgres')) || (await services.missing('redis'))
  quotasContract(
    'PostgreSQL and Redis',
    async () => {
      const postgres: Service = await services.postgres()
      const redis: Service = await services.redis()
      return {
        open: async () => ({
          store: await openPostgresStore({ url: postgres.url, log }),
          counters: await openRedisCounters({ url: redis.url, log, timeoutMs: 5_000 }),
        }),
        async close() {
          await postgres.close()
          await redis.close()
        },
      }
    },
    skip,
  )
}

describe('quotas', () => {
  /** A world whose processes share a store, and whose counters may be lost. */
  function world() {
    let now = start
    let writes = 0
    const kept = createSqliteStore({ file: ':memory:', log, now: () => now })
    const store: Store = {
      ...kept,
      add(...given) {
        writes++
        return kept.add(...given)
      },
    }
    return {
      store,
      writes: () => writes,
      advance: (ms: number) => {
        now += ms
      },
      now: () => now,
      /** A process with counters of its own, as after a crash. */
      process: (counters: Counters = createMemoryCounters({ now: () => now })) =>
        createQuotas({ store, counters, now: () => now }),
    }
  }

  type Deed = { readonly do: 'spend' | 'crash' | 'restart' | 'pass'; readonly by: number; readonly amount: number }
  const deeds = fc.array(
    fc.record({
      do: fc.constantFrom<Deed['do']>('spend', 'spend', 'spend', 'crash', 'restart', 'pass'),
      by: fc.integer({ min: 0, max: 2 }),
      amount: fc.integer({ min: 0, max: 400 }),
    }),
    { maxLength: 25 },
  )

  test('whatever crashes, restarts and time does: never more than the quota in a period; less only by what lay aside', async () => {
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(1, 10, 150, 1_000), deeds, async (count, all) => {
        const it = world()
        const quota = perDay(count)
        const gates = [it.process(), it.process(), it.process()]
        const passed = new Map<string, number>()
        const today = () => quota.periodAt(it.now()).id
        for (const { do: deed, by, amount } of all) {
          if (deed === 'crash') gates[by] = it.process()
          else if (deed === 'restart') {
            await gates[by]!.close()
            gates[by] = it.process()
          } else if (deed === 'pass') it.advance((amount / 400) * dayMs)
          else {
            const before = passed.get(today()) ?? 0
            passed.set(today(), before + (await passing(gates[by]!, 'k', quota, amount)))
          }
          expect(passed.get(today()) ?? 0).toBeLessThanOrEqual(count)
        }
        // What is left now goes to whoever asks: all but a hundredth for each crash, and what lies with the others.
        await Promise.all(gates.map((gate) => gate.close()))
        const crashes = all.filter((deed) => deed.do === 'crash').length
        const rest = await passing(it.process(), 'k', quota, count + 1)
        const sum = (passed.get(today()) ?? 0) + rest
        expect(sum).toBeLessThanOrEqual(count)
        expect(sum).toBeGreaterThanOrEqual(count - crashes * Math.floor(count / 100))
        await it.store.close()
      }),
      { numRuns: 60 },
    )
  })

  test('a crash costs a quota of a hundred nothing, and a large one at most a hundredth', async () => {
    for (const [count, lost] of [
      [100, 0],
      [10_000, 100],
    ] as const) {
      const it = world()
      expect(await passing(it.process(), 'k', perDay(count), 50)).toBe(50)
      const left = await passing(it.process(), 'k', perDay(count), count)
      expect(left).toBeLessThanOrEqual(count - 50)
      expect(left).toBeGreaterThanOrEqual(count - 50 - lost)
    }
  })

  test('ten thousand requests of a large quota are a thousandth of the writes', async () => {
    const it = world()
    expect(await passing(it.process(), 'k', perDay(10_000_000), 10_000)).toBe(10_000)
    expect(it.writes()).toBe(10)
  })

  test('answer bare while there is something set aside, and once it is known that there is nothing', async () => {
    const it = world()
    const quotas = it.process()
    const quota = perDay(1_000)
    expect(quotas.spend('k', quota, 1)).toBeInstanceOf(Promise)
    await passing(quotas, 'k', quota, 1)
    expect(quotas.spend('k', quota, 1)).not.toBeInstanceOf(Promise)
    await passing(quotas, 'k', quota, 1_000)
    expect(quotas.spend('k', quota, 1)).toMatchObject({ allowed: false })
  })

  test('requests that wait at the same time share one write', async () => {
    const it = world()
    const quotas = it.process()
    const all = await Promise.all(Array.from({ length: 60 }, async () => await quotas.spend('k', perDay(50), 1)))
    expect(all.filter(({ allowed }) => allowed)).toHaveLength(50)
    expect(it.writes()).toBe(2)
  })

  test('what another process gave back is found after ten seconds', async () => {
    const it = world()
    const [one, other] = [it.process(), it.process()]
    await passing(one, 'k', perDay(1_000), 1)
    expect(await passing(other, 'k', perDay(1_000), 1_000)).toBe(990)
    await one.close()
    expect(await passing(other, 'k', perDay(1_000), 1)).toBe(0)
    it.advance(10_001)
    expect(await passing(other, 'k', perDay(1_000), 20)).toBe(9)
  })

  test('while the counters cannot be reached, what is set aside lies here, and no more passes', async () => {
    const it = world()
    const down: Counters = {
      ...createMemoryCounters(),
      draw: () => Promise.reject(new CountersUnavailable('gone')),
      pour() {
        throw new CountersUnavailable('gone')
      },
    }
    const quotas = it.process(down)
    expect(await passing(quotas, 'k', perDay(500), 600)).toBe(500)
    expect(it.writes()).toBeLessThan(350)
  })

  test('while the store cannot be reached, what is set aside is spent, and then it says so', async () => {
    const it = world()
    let isDown = false
    const gone = () => Promise.reject(new StoreUnavailable('gone'))
    const store: Store = {
      ...it.store,
      get: (key) => (isDown ? gone() : it.store.get(key)),
      add: (...given) => (isDown ? gone() : it.store.add(...given)),
    }
    const quotas = createQuotas({ store, counters: createMemoryCounters(), now: it.now })
    await quotas.spend('k', perDay(1_000), 1)
    isDown = true
    expect(await passing(quotas, 'k', perDay(1_000), 9)).toBe(9)
    await expect((async () => quotas.spend('k', perDay(1_000), 1))()).rejects.toThrow(StoreUnavailable)
    isDown = false
    expect(await passing(quotas, 'k', perDay(1_000), 2_000)).toBe(990)
  })

  test('the store holds no key that a caller chose, and no record after the period', async () => {
    const it = world()
    await it.process().spend('quota api free day UTC main mallory@example.com', perDay(10), 1)
    const [record] = await it.store.list('quota/', { limit: 10 })
    expect(record!.key).toMatch(/^quota\/[\w-]{43}\/2026-11-22$/)
    it.advance(2 * dayMs)
    expect(await it.store.list('quota/', { limit: 10 })).toEqual([])
  })
})

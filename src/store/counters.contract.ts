import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Counters, Rate, Taken } from './counters.ts'

/** How the suite gets at a driver. */
export interface CountersBench {
  /** Another handle on the same budgets, as another process would have it. */
  open(): Promise<Counters>
  /** Moves the driver's time on; a driver on a clock of its own really waits. */
  pass(ms: number): Promise<void>
  close(): Promise<void>
}

export interface CountersContractOptions {
  readonly skip?: string | false
  /** By how much an answer may be off because real time passes while the test runs. 0 for a clock that is handed in. */
  readonly slackMs: number
}

/** What all counters do, whatever they are made of. */
export function countersContract(
  name: string,
  create: () => Promise<CountersBench>,
  { skip = false, slackMs }: CountersContractOptions,
): void {
  describe.skipIf(skip)(`counters contract: ${name}`, () => {
    let bench: CountersBench
    let counters: Counters
    const opened: Counters[] = []
    const open = async () => {
      const one = await bench.open()
      opened.push(one)
      return one
    }
    let keys = 0
    let key: string
    /** Real time passes between two takes, on a busy machine much of it; a clock that is handed in stands still. */
    const pace = slackMs > 0 ? 5 : 1
    /** So slow that nothing comes back while a test runs. */
    const slow: Rate = { count: 10, windowMs: 3_600_000 }

    beforeAll(async () => {
      bench = await create()
    })
    afterAll(() => bench?.close())
    beforeEach(async () => {
      key = `key ${++keys} of ${process.pid}`
      counters = await open()
    })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((one) => one.close()))
    })

    const near = (actual: number, expected: number) => {
      expect(actual).toBeLessThanOrEqual(expected + 0.01)
      expect(actual).toBeGreaterThanOrEqual(expected - slackMs - 0.01)
    }

    test('L1: N pass, N+1 is refused and told when to come again', async () => {
      for (let i = 1; i <= 10; i++) {
        const taken = await counters.take(key, slow)
        expect(taken.allowed).toBe(true)
        expect(taken.remaining).toBe(10 - i)
        expect(taken.retryAfterMs).toBe(0)
        near(taken.resetMs, i * 360_000)
      }
      const refused = await counters.take(key, slow)
      expect(refused.allowed).toBe(false)
      expect(refused.remaining).toBe(0)
      near(refused.retryAfterMs, 360_000)
      near(refused.resetMs, 3_600_000)
    })

    test('budgets of two keys are apart', async () => {
      for (let i = 0; i < 11; i++) await counters.take(key, slow)
      expect((await counters.take(`${key}, the other`, slow)).remaining).toBe(9)
    })

    test('keys of any length are kept apart', async () => {
      const long = `${key} ${'x'.repeat(10_000)}`
      for (let i = 0; i < 10; i++) await counters.take(`${long}a`, slow)
      expect((await counters.take(`${long}a`, slow)).allowed).toBe(false)
      expect((await counters.take(`${long}b`, slow)).remaining).toBe(9)
    })

    test('a refusal spends nothing: however often one tries, it is over at the same time', async () => {
      const rate = { count: 2, windowMs: 400 * pace }
      await counters.take(key, rate, 2)
      let refused = await counters.take(key, rate)
      for (let i = 0; i < 20; i++) refused = await counters.take(key, rate)
      expect(refused.allowed).toBe(false)
      await bench.pass(Math.ceil(refused.retryAfterMs))
      expect((await counters.take(key, rate)).allowed).toBe(true)
    })

    test('L2: a burst passes at once, then one per interval and no more', async () => {
      const rate = { count: 5, windowMs: 1_000 * pace, burst: 3 }
      for (let i = 0; i < 3; i++) expect((await counters.take(key, rate)).allowed, `burst ${i}`).toBe(true)
      for (let i = 0; i < 2; i++) {
        const refused = await counters.take(key, rate)
        expect(refused.allowed).toBe(false)
        expect(refused.retryAfterMs).toBeLessThanOrEqual(200 * pace)
        await bench.pass(Math.ceil(refused.retryAfterMs))
        expect((await counters.take(key, rate)).allowed).toBe(true)
      }
      // After a long pause there is one burst, not more.
      await bench.pass(800 * pace)
      const taken = await counters.take(key, rate, 3)
      expect(taken).toMatchObject({ allowed: true, remaining: 0 })
    })

    test('costs count as so many, and what costs more than the burst never passes', async () => {
      expect(await counters.take(key, slow, 7)).toMatchObject({ allowed: true, remaining: 3 })
      const refused = await counters.take(key, slow, 4)
      expect(refused).toMatchObject({ allowed: false, remaining: 3 })
      near(refused.retryAfterMs, 360_000)
      expect(await counters.take(key, slow, 3)).toMatchObject({ allowed: true, remaining: 0 })
      expect(await counters.take(key, slow, 11)).toMatchObject({
        allowed: false,
        retryAfterMs: Number.POSITIVE_INFINITY,
      })
      expect(await counters.take(`${key}, new`, slow, 11)).toMatchObject({
        allowed: false,
        remaining: 10,
        retryAfterMs: Number.POSITIVE_INFINITY,
      })
    })

    test('cost 0 looks and takes nothing', async () => {
      expect(await counters.take(key, slow, 0)).toEqual({ allowed: true, remaining: 10, retryAfterMs: 0, resetMs: 0 })
      await counters.take(key, slow, 4)
      expect(await counters.take(key, slow, 0)).toMatchObject({ allowed: true, remaining: 6 })
      expect(await counters.take(key, slow, 0)).toMatchObject({ allowed: true, remaining: 6 })
    })

    test.each([
      ['no count', { count: 0, windowMs: 1 }, 1],
      ['no window', { count: 1, windowMs: 0 }, 1],
      ['no burst', { count: 1, windowMs: 1, burst: 0 }, 1],
      ['a negative cost', { count: 1, windowMs: 1 }, -1],
      ['a cost that is no number', { count: 1, windowMs: 1 }, Number.NaN],
      ['an endless count', { count: Number.POSITIVE_INFINITY, windowMs: 1 }, 1],
    ])('refuses %s as the mistake it is', async (_, rate, cost) => {
      await expect((async () => counters.take(key, rate, cost))()).rejects.toThrow(TypeError)
    })

    test('L4: a pool gives what was poured into it, whole amounts only, and no more', async () => {
      const long = 3_600_000
      expect(await counters.draw(key, 1)).toMatchObject({ taken: false, left: 0 })
      expect((await counters.draw(key, 1)).more).toBeUndefined()
      await counters.pour(key, 5, 90, long)
      expect(await counters.draw(key, 3)).toEqual({ taken: true, left: 2, more: 90 })
      expect(await counters.draw(key, 3)).toEqual({ taken: false, left: 2, more: 90 })
      expect(await counters.draw(key, 0)).toEqual({ taken: true, left: 2, more: 90 })
      await counters.pour(key, 4, 80, long)
      expect(await counters.draw(key, 6)).toEqual({ taken: true, left: 0, more: 80 })
      expect(await counters.draw(key, 1)).toEqual({ taken: false, left: 0, more: 80 })
      expect((await counters.draw(`${key}, the other`, 1)).more).toBeUndefined()
    })

    test('L4: a pool that is drained is gone, with all that lay in it', async () => {
      await counters.pour(key, 7, 1, 3_600_000)
      expect(await counters.drain(key)).toBe(7)
      expect(await counters.drain(key)).toBe(0)
      expect((await counters.draw(key, 1)).more).toBeUndefined()
    })

    test('L4: a pool is forgotten at the end of its time', async () => {
      await counters.pour(key, 7, 1, 100 * pace)
      await bench.pass(100 * pace + pace)
      expect(await counters.draw(key, 1)).toMatchObject({ taken: false, left: 0 })
      expect((await counters.draw(key, 0)).more).toBeUndefined()
    })

    test('L4: what lies in a pool is not forgotten sooner because a little was added for less long', async () => {
      await counters.pour(key, 7, 1, 3_600_000)
      await counters.pour(key, 0, 0, 100 * pace)
      await bench.pass(100 * pace + pace)
      expect(await counters.draw(key, 7)).toEqual({ taken: true, left: 0, more: 0 })
      await counters.pour(key, 0, 0, 100 * pace)
      await bench.pass(100 * pace + pace)
      expect((await counters.draw(key, 0)).more).toBeUndefined()
    })

    test.each([
      ['half a request', 0.5],
      ['less than nothing', -1],
      ['more than can be counted', 2 ** 60],
    ])('pools refuse %s as the mistake it is', async (_, amount) => {
      await expect((async () => counters.draw(key, amount))()).rejects.toThrow(TypeError)
      await expect((async () => counters.pour(key, amount, 0, 1000))()).rejects.toThrow(TypeError)
    })

    test('L4: what four clients draw at the same time is what was poured', async () => {
      const all = [counters, await open(), await open(), await open()]
      await Promise.all(all.map(async (one) => one.pour(key, 25, 0, 3_600_000)))
      const drawn = await Promise.all(
        all.flatMap((one) => Array.from({ length: 50 }, async () => await one.draw(key, 1))),
      )
      expect(drawn.filter(({ taken }) => taken)).toHaveLength(100)
      const left = drawn.filter(({ taken }) => taken).map((one) => one.left)
      expect(left.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    })

    test('L1: exact across four clients that take at the same time', async () => {
      const all = [counters, await open(), await open(), await open()]
      const rate = { count: 100, windowMs: 3_600_000 }
      const taken: Taken[] = await Promise.all(
        all.flatMap((one) => Array.from({ length: 50 }, async () => await one.take(key, rate))),
      )
      expect(taken.filter(({ allowed }) => allowed)).toHaveLength(100)
      const left = taken.filter(({ allowed }) => allowed).map(({ remaining }) => remaining)
      expect(left.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i))
    })
  })
}

/**
 * The rule in its plainest form, kept apart from the code it judges: every take that passed is remembered, and one
 * more passes if in no stretch of time up to now more pass than the burst and what the rate adds in that stretch.
 */
export function naiveAllows(
  passed: readonly { at: number; cost: number }[],
  rate: Rate,
  at: number,
  cost: number,
): boolean {
  const { count, windowMs, burst = count } = rate
  let within = cost
  if (within > burst) return false
  for (const earlier of passed.toReversed()) {
    within += earlier.cost
    if (within > burst + ((at - earlier.at) * count) / windowMs + 1e-9) return false
  }
  return true
}

/** Rates, and takes with the pauses between them; pauses of whole intervals are common, where the borders lie. */
export const takesArbitrary = fc
  .record({
    count: fc.integer({ min: 1, max: 20 }),
    windowMs: fc.constantFrom(1, 10, 1000, 60_000),
    burst: fc.option(fc.integer({ min: 1, max: 30 }), { nil: undefined }),
  })
  .chain(({ count, windowMs, burst }) => {
    const rate: Rate = burst === undefined ? { count, windowMs } : { count, windowMs, burst }
    const pause = fc.oneof(
      fc.constant(0),
      fc.integer({ min: 0, max: 3 }).map((intervals) => (intervals * windowMs) / count),
      fc.integer({ min: 0, max: windowMs }),
    )
    const take = fc.record({ pause, cost: fc.integer({ min: 1, max: 4 }) })
    return fc.record({ rate: fc.constant(rate), takes: fc.array(take, { maxLength: 60 }) })
  })

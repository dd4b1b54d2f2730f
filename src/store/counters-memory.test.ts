import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { countersContract, naiveAllows, takesArbitrary } from './counters.contract.ts'
import type { Rate, Taken } from './counters.ts'
import { createMemoryCounters } from './counters-memory.ts'

countersContract(
  'memory',
  async () => {
    let now = 1_000
    const counters = createMemoryCounters({ now: () => now })
    return {
      open: async () => counters,
      async pass(ms) {
        now += ms
      },
      async close() {},
    }
  },
  { slackMs: 0 },
)

/** Counters in memory answer bare. */
function take(counters: ReturnType<typeof createMemoryCounters>, key: string, rate: Rate, cost?: number): Taken {
  return counters.take(key, rate, cost)
}

describe('counters in memory', () => {
  test('answer bare, without a promise', () => {
    const counters = createMemoryCounters()
    expect(counters.take('a', { count: 1, windowMs: 1000 })).not.toBeInstanceOf(Promise)
  })

  test('allow what the plain rule allows, whatever the rate, the costs and the pauses', () => {
    fc.assert(
      fc.property(takesArbitrary, fc.constantFrom(0, 1e6, 1.7e12), ({ rate, takes }, start) => {
        let now = start
        const counters = createMemoryCounters({ now: () => now })
        const passed: { at: number; cost: number }[] = []
        // The plain rule is asked in time since the start, where no digits are lost.
        let since = 0
        for (const { pause, cost } of takes) {
          since += pause
          now = start + since
          const taken = take(counters, 'k', rate, cost)
          const expected = naiveAllows(passed, rate, now - start, cost)
          expect(taken.allowed).toBe(expected)
          if (taken.allowed) passed.push({ at: now - start, cost })
        }
      }),
      { numRuns: 500 },
    )
  })

  test('what they promise is true: not before `retryAfterMs`, and then at once; full again after `resetMs`', () => {
    fc.assert(
      fc.property(takesArbitrary, ({ rate, takes }) => {
        let now = 0
        const counters = createMemoryCounters({ now: () => now })
        for (const { pause, cost } of takes) {
          now += pause
          const taken = take(counters, 'k', rate, cost)
          if (taken.allowed) {
            expect(take(counters, 'k', rate, 0).remaining).toBe(taken.remaining)
            continue
          }
          if (taken.retryAfterMs === Number.POSITIVE_INFINITY) continue
          const intervalMs = rate.windowMs / rate.count
          now += taken.retryAfterMs - intervalMs / 1000
          expect(take(counters, 'k', rate, cost).allowed).toBe(false)
          now += intervalMs / 500
          expect(take(counters, 'k', rate, cost).allowed).toBe(true)
        }
        now += take(counters, 'k', rate, 0).resetMs + 1e-6
        expect(take(counters, 'k', rate, 0).remaining).toBe(Math.floor(rate.burst ?? rate.count))
      }),
      { numRuns: 300 },
    )
  })

  test('a clock that goes back neither forgives nor punishes', () => {
    let now = 1_000_000
    const counters = createMemoryCounters({ now: () => now })
    const rate = { count: 2, windowMs: 1000 }
    take(counters, 'a', rate, 2)
    now -= 500_000
    expect(take(counters, 'a', rate).allowed).toBe(false)
    now += 500
    expect(take(counters, 'a', rate).allowed).toBe(true)
  })

  test('a flood of keys resets nobody: whoever has spent a budget stays refused', () => {
    const now = 0
    const counters = createMemoryCounters({ now: () => now, entriesMax: 1_000 })
    const rate = { count: 5, windowMs: 60_000 }
    for (let i = 0; i < 6; i++) take(counters, 'greedy', rate)
    for (let i = 0; i < 50_000; i++) take(counters, `flood ${i}`, rate)
    expect(take(counters, 'greedy', rate).allowed).toBe(false)
  })

  test('past the cap a key never passes more than its rate, and has its own budget again when there is room', () => {
    let now = 0
    const counters = createMemoryCounters({ now: () => now, entriesMax: 100 })
    const rate = { count: 5, windowMs: 60_000 }
    for (let i = 0; i < 100; i++) take(counters, `early ${i}`, rate)
    const passed = Array.from({ length: 20 }, () => take(counters, 'late', rate)).filter(({ allowed }) => allowed)
    expect(passed).toHaveLength(5)
    for (let i = 0; i < 20_000; i++) take(counters, `flood ${i}`, rate)
    expect(take(counters, 'new', rate).allowed).toBe(false)
    now += 60_000
    expect(take(counters, 'new', rate)).toMatchObject({ allowed: true, remaining: 4 })
  })

  test('keys of another rate do not meet in a shared budget', () => {
    const counters = createMemoryCounters({ now: () => 0, entriesMax: 1 })
    take(counters, 'first', { count: 1, windowMs: 86_400_000 })
    const perDay = { count: 1, windowMs: 86_400_000 }
    for (let i = 0; i < 20_000; i++) take(counters, `flood ${i}`, perDay)
    expect(take(counters, 'a', { count: 100, windowMs: 1_000 }).allowed).toBe(true)
  })
})

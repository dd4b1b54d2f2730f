import { describe, expect, test } from 'vitest'
import { testClock } from '../../../test/kit/calls.ts'
import type { SecurityEvent } from '../../base/events.ts'
import { type Counters, CountersUnavailable } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'
import { createSignInStarts, startRate } from './sign-in-starts.ts'

describe('sign-ins that one network begins', () => {
  function bench(counters?: Counters) {
    const now = testClock()
    const shared = counters ?? createMemoryCounters({ now })
    const events: SecurityEvent[] = []
    const open = () => createSignInStarts({ api: 'shop', counters: shared, now, tell: (event) => events.push(event) })
    return { now, events, open }
  }

  test('so many pass, at two gates together, the next is answered 429 and told once; other networks begin', async () => {
    const { now, events, open } = bench()
    const gates = [open(), open()]
    for (let i = 0; i < startRate.count; i++) expect(await gates[i % 2]!.take('192.0.2.1')).toBeUndefined()
    for (let i = 0; i < 3; i++) {
      expect(await gates[0]!.take('192.0.2.1')).toMatchObject({
        status: 429,
        code: 'auth.sign-in-flood',
        headers: { 'Retry-After': '1' },
      })
    }
    expect(events).toEqual([
      {
        event: 'sign-in.flood',
        address: '192.0.2.1',
        detail: { api: 'shop', budget: 'start', network: expect.stringContaining('192.0.2.1') },
      },
    ])
    expect(await gates[1]!.take('198.51.100.1')).toBeUndefined()
    now.advance(1_000)
    expect(await gates[1]!.take('192.0.2.1')).toBeUndefined()
  })

  test('while the counters do not answer each gate counts by itself', async () => {
    const down = {
      ...createMemoryCounters(),
      take: () => Promise.reject(new CountersUnavailable('down')),
    } satisfies Counters
    const { open } = bench(down)
    const [one, other] = [open(), open()]
    for (let i = 0; i < startRate.count; i++) expect(await one.take('192.0.2.1')).toBeUndefined()
    expect(await one.take('192.0.2.1')).toMatchObject({ code: 'auth.sign-in-flood' })
    expect(await other.take('192.0.2.1')).toBeUndefined()
  })
})

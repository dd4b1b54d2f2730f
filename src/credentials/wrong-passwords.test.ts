import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { services } from '../../test/services.ts'
import type { SecurityEvent } from '../base/events.ts'
import { silentLogger } from '../base/log.ts'
import { type Counters, CountersUnavailable } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { openCounters, openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { createUsers, type Users } from './users.ts'

const cost = { memoryKiB: 64, passes: 1, lanes: 1 }
const locked = { kind: 'refused', reason: 'locked' }
const noRedis = await services.missing('redis')

const flavours = [
  {
    name: 'memory',
    skip: false as string | false,
    async open() {
      const counters = createMemoryCounters()
      return { counters: [counters, counters] as const, close: async () => {} }
    },
  },
  {
    name: 'Redis',
    skip: noRedis,
    async open() {
      const redis = await services.redis()
      const [one, other] = [
        await openCounters(redis.url, { log: silentLogger }),
        await openCounters(redis.url, { log: silentLogger }),
      ]
      return {
        counters: [one, other] as const,
        close: async () => {
          await Promise.all([one.close(), other.close()])
          await redis.close()
        },
      }
    },
  },
]

describe.each(flavours)('N8: wrong passwords of HTTP Basic in $name', ({ open, skip }) => {
  describe.skipIf(skip)('at two gates', () => {
    let store: Store
    let opened: Awaited<ReturnType<typeof open>>
    let gates: readonly Users[]
    let events: SecurityEvent[]
    beforeEach(async () => {
      opened = await open()
      store = await openStore('sqlite::memory:', { log: silentLogger })
      events = []
      const tell = (event: SecurityEvent) => events.push(event)
      gates = opened.counters.map((counters) => createUsers({ store, counters, tell, cost }))
      await gates[0]!.set('jo', 'correct horse')
    })
    afterEach(async () => {
      for (const gate of gates) gate.close()
      await store.close()
      await opened.close()
    })

    test('are counted together, the lock is told once, and others go on', async () => {
      for (let i = 0; i < 5; i++) {
        expect(await gates[i % 2]!.verify('jo', `wrong ${i}`, '198.51.100.1')).toMatchObject({ reason: 'mismatch' })
      }
      for (const gate of gates) {
        for (const password of ['wrong', 'correct horse']) {
          expect(await gate.verify('jo', password, '198.51.100.1')).toEqual(locked)
        }
        expect(await gate.verify('jo', 'correct horse', '192.0.2.7')).toMatchObject({ kind: 'verified' })
      }
      const detail = { by: 'basic', budget: 'pair' }
      const told = events.filter(({ event }) => event === 'account.locked')
      expect(told[0]).toEqual({ event: 'account.locked', subject: 'jo', address: '198.51.100.1', detail })
      expect(told.length).toBeLessThanOrEqual(gates.length)
    })

    test('of a name that nobody has are told without it', async () => {
      for (let i = 0; i < 5; i++) await gates[0]!.verify('my secret', `wrong ${i}`, '198.51.100.1')
      expect(events.map(({ event }) => event)).toEqual(['account.locked'])
      expect(JSON.stringify(events)).not.toContain('my secret')
    })

    test('a pair that was right lately is answered without waiting', async () => {
      await gates[0]!.verify('jo', 'correct horse', '192.0.2.7')
      expect(gates[0]!.verify('jo', 'correct horse', '192.0.2.7')).toMatchObject({ kind: 'verified' })
    })
  })
})

test('N8: while the counters do not answer each process counts wrong passwords by itself', async () => {
  const store = await openStore('sqlite::memory:', { log: silentLogger })
  const down = {
    ...createMemoryCounters(),
    take: () => Promise.reject(new CountersUnavailable('down')),
  } satisfies Counters
  const [one, other] = [createUsers({ store, counters: down, cost }), createUsers({ store, counters: down, cost })]
  await one.set('jo', 'correct horse')
  for (let i = 0; i < 5; i++) await one.verify('jo', `wrong ${i}`, '198.51.100.1')
  expect(await one.verify('jo', 'correct horse', '198.51.100.1')).toEqual(locked)
  expect(await other.verify('jo', 'correct horse', '198.51.100.1')).toMatchObject({ kind: 'verified' })
  one.close()
  other.close()
  await store.close()
})

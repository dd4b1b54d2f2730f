import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger } from '../base/log.ts'
import type { Counters } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { createSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { budgets, createLockout, type Lockout } from './lockout.ts'

const minute = 60_000

describe('budgets of wrong tries', () => {
  let at: number
  let counters: Counters
  let store: Store
  let lockout: Lockout
  beforeEach(() => {
    at = 1_700_000_000_000
    counters = createMemoryCounters({ now: () => at })
    store = createSqliteStore({ file: ':memory:', log: silentLogger, now: () => at })
    lockout = createLockout({ counters, store, now: () => at })
  })
  afterEach(async () => {
    await counters.close()
    await store.close()
  })

  test('one place is free again a fifth of the window later, and then one each', async () => {
    const from = { address: '192.0.2.1' }
    for (let i = 1; i <= 5; i++) {
      expect(await lockout.waitMs('password', 'anna', from)).toBe(0)
      expect(await lockout.wrong('password', 'anna', from)).toEqual(i === 5 ? ['pair'] : [])
    }
    expect(await lockout.waitMs('password', 'anna', from)).toBe(3 * minute)
    at += 3 * minute - 1
    expect(await lockout.waitMs('password', 'anna', from)).toBe(1)
    at += 1
    expect(await lockout.waitMs('password', 'anna', from)).toBe(0)
    expect(await lockout.wrong('password', 'anna', from)).toEqual(['pair'])
    expect(await lockout.waitMs('password', 'anna', from)).toBe(3 * minute)
  })

  test.each([
    ['addresses of one IPv6 network are one place', '2001:db8:1:2::1', '2001:db8:1:2:ffff::9', true],
    ['those of two are two', '2001:db8:1:2::1', '2001:db8:1:3::1', false],
    ['an IPv4 address in IPv6 clothes is the same', '192.0.2.1', '::ffff:192.0.2.1', true],
  ])('%s', async (_what, one, other, isOne) => {
    for (let i = 0; i < 5; i++) await lockout.wrong('password', 'anna', { address: one })
    expect((await lockout.waitMs('password', 'anna', { address: other })) > 0).toBe(isOne)
  })

  test('a flood from everywhere slows strangers down and no known device', async () => {
    const { count, windowMs } = budgets.password.all
    for (let i = 0; i < count; i++) {
      await lockout.wrong('password', `name ${i}`, { address: `10.${i >> 8}.${i & 255}.1` })
    }
    expect(await lockout.waitMs('password', 'anna', { address: '192.0.2.1' })).toBe(windowMs / count)
    expect(await lockout.waitMs('password', 'anna', { address: '192.0.2.1', device: 'd1' })).toBe(0)
    at += windowMs / count
    expect(await lockout.waitMs('password', 'anna', { address: '192.0.2.1' })).toBe(0)
  })

  test('codes have a budget for the day beside the one for the quarter of an hour', async () => {
    const { count } = budgets.code.day
    for (let i = 0; i < count; i++) {
      expect(await lockout.waitMs('code', 'anna', { address: `10.0.0.${i}` })).toBe(0)
      await lockout.wrong('code', 'anna', { address: `10.0.0.${i}` })
      at += 3 * minute
    }
    const wait = await lockout.waitMs('code', 'anna', { address: '10.0.1.1' })
    // Thirty a day give one each 48 minutes back; the last one was three minutes ago, nearly two came back meanwhile.
    expect(wait).toBe(0)
    await lockout.wrong('code', 'anna', { address: '10.0.1.1' })
    await lockout.wrong('code', 'anna', { address: '10.0.1.1' })
    expect(await lockout.waitMs('code', 'anna', { address: '10.0.1.1' })).toBeGreaterThan(3 * minute)
    expect(await lockout.waitMs('code', 'bo', { address: '10.0.1.1' })).toBe(0)
  })

  test('no name stands in a key of the counters: it may be a password in the wrong field', async () => {
    const keys: string[] = []
    const noting = createLockout({
      counters: {
        ...counters,
        take(key, rate, cost) {
          keys.push(key)
          return counters.take(key, rate, cost)
        },
      },
      store,
      now: () => at,
    })
    await noting.wrong('password', 's3cret', { address: '192.0.2.1' })
    await noting.wrong('code', 's3cret', { address: '192.0.2.1', device: 'd' })
    await noting.unlock('s3cret')
    expect(keys.length).toBeGreaterThan(4)
    expect(keys.join()).not.toContain('s3cret')
    expect(JSON.stringify(await store.list('', { limit: 100 }))).not.toContain('s3cret')
  })
})

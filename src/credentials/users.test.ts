import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultyStore } from '../../test/fixtures/faulty-store.ts'
import { until } from '../../test/until.ts'
import { ConfigError } from '../base/errors.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import { type Store, StoreUnavailable, type Value } from '../store/store.ts'
import { createUsers, defaultCost, type Users } from './users.ts'

/** Cheap, so that the tests are about behaviour; what it costs for real has a test of its own. */
const cost = { memoryKiB: 64, passes: 1, lanes: 1 }
const mismatch = { kind: 'refused', reason: 'mismatch' }

describe('users of HTTP Basic (N2)', () => {
  let store: Store
  let users: Users
  let now: number
  beforeEach(async () => {
    now = 1_700_000_000_000
    store = await openStore('sqlite::memory:', { log: silentLogger, now: () => now })
    users = createUsers({ store, now: () => now, cost })
  })
  afterEach(async () => {
    users.close()
    await store.close()
  })

  test('lets in who gives the right password, with the rights given', async () => {
    await users.set('jo', 'correct horse', { scopes: ['orders:read'], roles: ['viewer'] })
    expect(await users.verify('jo', 'correct horse')).toEqual({
      kind: 'verified',
      name: 'jo',
      scopes: new Set(['orders:read']),
      roles: new Set(['viewer']),
    })
    expect(await users.list()).toEqual([
      { name: 'jo', scopes: ['orders:read'], roles: ['viewer'], createdAt: now, changedAt: now },
    ])
  })

  test.each([
    ['a wrong password', 'jo', 'correct horsf'],
    ['an empty password', 'jo', ''],
    ['a password with more behind it', 'jo', 'correct horse '],
    ['a password of 2,000 characters', 'jo', 'x'.repeat(2_000)],
    ['an unknown user', 'joe', 'correct horse'],
    ['a name in other letters', 'JO', 'correct horse'],
    ['an empty name', '', 'correct horse'],
    ['a name of 300 characters', 'x'.repeat(300), 'correct horse'],
    ['a name with a NUL', 'jo\0', 'correct horse'],
    ['a name and password parted elsewhere', 'joc', 'orrect horse'],
  ])('refuses %s, all alike', async (_, name, password) => {
    await users.set('jo', 'correct horse')
    await users.verify('jo', 'correct horse')
    expect(await users.verify(name, password)).toEqual(mismatch)
  })

  test('takes the same name and password in another Unicode form for the same', async () => {
    await users.set('Zoë', 'pass wörd é')
    expect(await users.verify('Zoe\u0308', 'pass wo\u0308rd e\u0301')).toMatchObject({ kind: 'verified' })
  })

  test('the store holds an Argon2id hash of the stated cost, and no password', async () => {
    const strong = createUsers({ store })
    await strong.set('jo', 'correct horse')
    const held = (await store.get('user/jo')) as { hash: string }
    expect(defaultCost).toEqual({ memoryKiB: 65_536, passes: 3, lanes: 4 })
    expect(held.hash).toMatch(/^\$argon2id\$v=19\$m=65536,t=3,p=4\$/)
    expect(JSON.stringify(held)).not.toContain('correct')
  })

  test('a right password is checked slowly once, then remembered for a minute', async () => {
    await users.set('jo', 'correct horse')
    expect(users.verify('jo', 'correct horse')).toBeInstanceOf(Promise)
    await users.verify('jo', 'correct horse')
    expect(users.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified' })
    const wrong = users.verify('jo', 'wrong')
    expect(wrong).toBeInstanceOf(Promise)
    await wrong
    now += 59_999
    expect(users.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified' })
    now += 1
    const anew = users.verify('jo', 'correct horse')
    expect(anew).toBeInstanceOf(Promise)
    expect(await anew).toMatchObject({ kind: 'verified' })
  })

  test('a changed password and a removed user are forgotten at once', async () => {
    await users.set('jo', 'correct horse')
    await users.verify('jo', 'correct horse')
    await users.set('jo', 'battery staple')
    expect(await users.verify('jo', 'correct horse')).toEqual(mismatch)
    expect(await users.verify('jo', 'battery staple')).toMatchObject({ kind: 'verified' })
    expect(await users.remove('jo')).toBe(true)
    expect(await users.verify('jo', 'battery staple')).toEqual(mismatch)
    expect(await users.remove('jo')).toBe(false)
  })

  test('an unknown user costs the same slow hash as a wrong password', async () => {
    const slow = createUsers({ store, cost: { memoryKiB: 16_384, passes: 2, lanes: 1 } })
    await slow.set('jo', 'correct horse')
    const median = async (name: string) => {
      const times: number[] = []
      for (let i = 0; i < 9; i++) {
        const since = performance.now()
        await slow.verify(name, `wrong ${i}`)
        times.push(performance.now() - since)
      }
      return times.sort((a, b) => a - b)[4]!
    }
    const [known, unknown] = [await median('jo'), await median('nobody')]
    expect(unknown / known).toBeGreaterThan(0.4)
    expect(unknown / known).toBeLessThan(2.5)
  })

  test('hashes a bounded number at once, lets a bounded number wait, and refuses the rest at once', async () => {
    const few = createUsers({ store, cost: { memoryKiB: 8_192, passes: 2, lanes: 1 }, concurrency: 1, queueMax: 3 })
    await few.set('jo', 'correct horse')
    const results = await Promise.all(Array.from({ length: 10 }, async (_, i) => await few.verify('jo', `wrong ${i}`)))
    expect(results.filter((result) => result.kind === 'refused' && result.reason === 'busy')).toHaveLength(6)
    expect(results.filter((result) => result.kind === 'refused' && result.reason === 'mismatch')).toHaveLength(4)
    // There is room again, and a remembered pair never queues.
    expect(await few.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified' })
    const flood = Array.from({ length: 10 }, async (_, i) => await few.verify('jo', `wrong ${i}`))
    expect(few.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified' })
    await Promise.all(flood)
  })

  test('N8: looks at no more passwords from where five were wrong, and nobody else notices', async () => {
    await users.set('jo', 'correct horse')
    await users.set('al', 'battery staple')
    expect(await users.verify('jo', 'correct horse', '192.0.2.7')).toMatchObject({ kind: 'verified' })
    for (let i = 0; i < 5; i++) expect(await users.verify('jo', `wrong ${i}`, '198.51.100.1')).toEqual(mismatch)
    const locked = { kind: 'refused', reason: 'locked' }
    // Also the right one: else the answer would tell which it is.
    expect(await users.verify('jo', 'correct horse', '198.51.100.1')).toEqual(locked)
    const fresh = createUsers({ store, now: () => now, cost })
    for (let i = 0; i < 5; i++) await fresh.verify('jo', `wrong ${i}`, '198.51.100.1')
    expect(await fresh.verify('jo', 'correct horse', '198.51.100.1')).toEqual(locked)
    expect(await fresh.verify('jo', 'correct horse', '192.0.2.7')).toMatchObject({ kind: 'verified' })
    expect(await fresh.verify('al', 'battery staple', '198.51.100.1')).toMatchObject({ kind: 'verified' })
    now += 60_000
    expect(await fresh.verify('jo', 'correct horse', '198.51.100.1')).toMatchObject({ kind: 'verified' })
  })

  test('N8: one network may not try one password on name after name', async () => {
    const tries = async (from: string) => {
      const reasons: string[] = []
      for (let i = 0; i < 32; i++) {
        const found = await users.verify(`user${i}`, 'Summer2026', from)
        reasons.push(found.kind === 'refused' ? found.reason : found.kind)
      }
      return reasons
    }
    const reasons = await tries('198.51.100.1')
    expect(reasons.slice(0, 30)).toEqual(Array(30).fill('mismatch'))
    expect(reasons.slice(30)).toEqual(['locked', 'locked'])
  })

  test('one hash answers all who show the same pair at once', async () => {
    const few = createUsers({ store, cost: { memoryKiB: 8_192, passes: 2, lanes: 1 }, concurrency: 1, queueMax: 1 })
    await few.set('jo', 'correct horse')
    const results = await Promise.all(Array.from({ length: 20 }, async () => await few.verify('jo', 'correct horse')))
    expect(results.map(({ kind }) => kind)).toEqual(Array(20).fill('verified'))
  })

  test('a hash of a lower cost than today is made anew at the next right password', async () => {
    await users.set('jo', 'correct horse', { roles: ['viewer'] })
    const today = createUsers({ store, cost: { memoryKiB: 128, passes: 1, lanes: 1 } })
    expect(await today.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified' })
    await until(async () => ((await store.get('user/jo')) as { hash: string }).hash.includes('m=128'))
    expect(await today.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified', roles: new Set(['viewer']) })
  })

  test.each([
    ['a name with a colon', 'a:b', 'long enough'],
    ['an empty name', '', 'long enough'],
    ['a name with a line break', 'a\n', 'long enough'],
    ['a password of 7 characters', 'jo', '1234567'],
    ['a password of 1,025 characters', 'jo', 'x'.repeat(1_025)],
  ])('does not make a user with %s', async (_, name, password) => {
    await expect(users.set(name, password)).rejects.toThrow(ConfigError)
    expect(await users.list()).toEqual([])
  })

  test('a record that was damaged in the store opens nothing', async () => {
    await users.set('jo', 'correct horse')
    const good = (await store.get('user/jo')) as { [name: string]: Value }
    const damaged: Value[] = [
      null,
      {},
      { ...good, hash: 'correct horse' },
      { ...good, hash: '' },
      { ...good, name: 'al' },
    ]
    for (const value of damaged) {
      await store.put('user/jo', value)
      expect(await users.verify('jo', 'correct horse')).toEqual(mismatch)
    }
  })

  test('fails closed while the store does not answer, but for who was seen lately', async () => {
    await users.set('jo', 'correct horse')
    await users.set('al', 'battery staple')
    const faulty = faultyStore(store)
    const gate = createUsers({ store: faulty, now: () => now, cost })
    await gate.verify('jo', 'correct horse')
    faulty.break()
    expect(await gate.verify('jo', 'correct horse')).toMatchObject({ kind: 'verified' })
    await expect((async () => gate.verify('al', 'battery staple'))()).rejects.toThrow(StoreUnavailable)
  })
})

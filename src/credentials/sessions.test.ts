import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultyStore } from '../../test/fixtures/faulty-store.ts'
import { until } from '../../test/until.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import { type Store, StoreUnavailable } from '../store/store.ts'
import { createSessions, type Sessions, sessionCookie } from './sessions.ts'

const log = silentLogger
const unknown = { kind: 'refused', reason: 'unknown' }
const minute = 60_000
/** The use of a session is noted behind its answer; the clock of these tests must not run ahead of that. */
const noted = () => new Promise(setImmediate)

describe('sessions (N9)', () => {
  let store: Store
  let sessions: Sessions
  let now: number
  beforeEach(async () => {
    now = 1_700_000_000_000
    store = await openStore('sqlite::memory:', { log, now: () => now })
    sessions = createSessions({ store, log, now: () => now })
  })
  afterEach(async () => {
    sessions.close()
    await store.close()
  })

  test('a session says who it belongs to', async () => {
    const id = await sessions.create({ subject: 'jo', claims: { email: 'jo@example.com' }, ttlMs: 60 * minute })
    expect(id).toMatch(/^pcs_[0-9A-Za-z]{43}$/)
    expect(await sessions.verify(id)).toEqual({
      kind: 'verified',
      subject: 'jo',
      claims: { email: 'jo@example.com' },
      createdAt: now,
      expiresAt: now + 60 * minute,
    })
  })

  test('sessions end by what they were tagged with, and no others', async () => {
    const make = (tags: readonly string[]) => sessions.create({ subject: 'jo', ttlMs: minute, tags })
    const [one, two, other, plain] = [
      await make(['sub jo', 'sid 1']),
      await make(['sub jo']),
      await make(['sub jo2']),
      await make([]),
    ]
    expect(await sessions.revokeTagged('sid 1')).toBe(1)
    expect(await sessions.verify(one)).toEqual(unknown)
    expect(await sessions.verify(two)).toMatchObject({ kind: 'verified' })
    // One of the two is over already.
    expect(await sessions.revokeTagged('sub jo')).toBe(1)
    expect(await sessions.verify(two)).toEqual(unknown)
    for (const left of [other, plain]) expect(await sessions.verify(left)).toMatchObject({ kind: 'verified' })
    expect(await sessions.revokeTagged('sub')).toBe(0)
  })

  test('the store holds a hash of the id only', async () => {
    const id = await sessions.create({ subject: 'jo', ttlMs: minute })
    expect(JSON.stringify(await store.list('', { limit: 10 }))).not.toContain(id.slice(4))
  })

  test('a missing, forged or altered id is no session', async () => {
    const id = await sessions.create({ subject: 'jo', ttlMs: minute })
    for (const other of [
      '',
      'x',
      `${id}x`,
      id.slice(0, -1),
      ` ${id}`,
      id.toUpperCase().replace('PCS', 'pcs').slice(0, 40),
    ]) {
      expect(await sessions.verify(other)).toEqual({ kind: 'refused', reason: 'malformed' })
    }
    expect(await sessions.verify(`pcs_${'A'.repeat(43)}`)).toEqual(unknown)
    expect(await sessions.verify(id.slice(0, -1) + (id.endsWith('A') ? 'B' : 'A'))).toEqual(unknown)
  })

  test('ends at its end, however busy it is, and not before', async () => {
    const id = await sessions.create({ subject: 'jo', ttlMs: 10 * minute, idleMs: 5 * minute })
    for (let i = 0; i < 9; i++) {
      now += minute
      expect(await sessions.verify(id)).toMatchObject({ kind: 'verified' })
      await noted()
    }
    now += minute - 1
    expect(await sessions.verify(id)).toMatchObject({ kind: 'verified' })
    now += 1
    expect(await sessions.verify(id)).toMatchObject({ kind: 'refused' })
  })

  test('ends when nobody uses it for its idle time', async () => {
    const id = await sessions.create({ subject: 'jo', ttlMs: 60 * minute, idleMs: 10 * minute })
    now += 10 * minute - 1
    expect(await sessions.verify(id)).toMatchObject({ kind: 'verified' })
    await noted()
    // That use counts.
    now += 10 * minute - 1
    expect(await sessions.verify(id)).toMatchObject({ kind: 'verified' })
    now += 10 * minute
    expect(await sessions.verify(id)).toMatchObject({ kind: 'refused' })
    // The store has let go of it as well.
    expect(await store.list('session/', { limit: 10 })).toEqual([])
  })

  test('use is noted at most ten times per idle time', async () => {
    const puts: string[] = []
    const noting = createSessions({
      store: {
        ...store,
        put: (key, value, options) => {
          puts.push(key)
          return store.put(key, value, options)
        },
      },
      log,
      now: () => now,
    })
    const id = await noting.create({ subject: 'jo', ttlMs: 600 * minute, idleMs: 10 * minute })
    puts.length = 0
    for (let i = 0; i < 100; i++) {
      now += 6_000
      await noting.verify(id)
      await noted()
    }
    expect(puts.length).toBeGreaterThanOrEqual(9)
    expect(puts.length).toBeLessThanOrEqual(10)
  })

  test('a revoked session is refused at once', async () => {
    const id = await sessions.create({ subject: 'jo', ttlMs: minute })
    await sessions.verify(id)
    expect(await sessions.revoke(id)).toBe(true)
    expect(await sessions.verify(id)).toEqual(unknown)
    expect(await sessions.revoke(id)).toBe(false)
    expect(await sessions.revoke('nonsense')).toBe(false)
  })

  test('noting its use does not bring back a session that is revoked meanwhile', async () => {
    const slow = createSessions({
      store: {
        ...store,
        // Another process revokes between the read and the write.
        async put(key, value, options) {
          if (options?.onlyIfEquals !== undefined) await store.delete(key)
          return await store.put(key, value, options)
        },
      },
      log,
      now: () => now,
    })
    const id = await slow.create({ subject: 'jo', ttlMs: 60 * minute, idleMs: 10 * minute })
    now += 5 * minute
    await slow.verify(id)
    await until(async () => (await sessions.verify(id)).kind === 'refused')
    expect(await store.list('session/', { limit: 10 })).toEqual([])
  })

  test('known sessions go on while the store does not answer, unknown ones fail closed', async () => {
    const faulty = faultyStore(store)
    const gate = createSessions({ store: faulty, log, now: () => now })
    const id = await sessions.create({ subject: 'jo', ttlMs: 60 * minute })
    await gate.verify(id)
    faulty.break()
    now += minute
    expect(await gate.verify(id)).toMatchObject({ kind: 'verified' })
    const other = await sessions.create({ subject: 'al', ttlMs: minute })
    await expect((async () => gate.verify(other))()).rejects.toThrow(StoreUnavailable)
  })

  test.each([0, -1, Number.NaN])('refuses a life of %s ms', async (ttlMs) => {
    await expect(sessions.create({ subject: 'jo', ttlMs })).rejects.toThrow(TypeError)
  })
})

describe('the cookie of a session (N9)', () => {
  test('carries every protecting flag, and no Domain', () => {
    expect(sessionCookie().set('pcs_x', 3600.9)).toBe(
      '__Host-portcullis=pcs_x; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax',
    )
    expect(sessionCookie({ name: 'sid', sameSite: 'Strict' }).clear).toBe(
      'sid=; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Strict',
    )
  })

  test.each(['', 'a b', 'a;b', 'a=b', 'ä'])('refuses the name %j', (name) => {
    expect(() => sessionCookie({ name })).toThrow(TypeError)
  })
})

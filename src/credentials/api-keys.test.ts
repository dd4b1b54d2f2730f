import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultyStore } from '../../test/fixtures/faulty-store.ts'
import { until } from '../../test/until.ts'
import { ConfigError } from '../base/errors.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import { type Store, StoreUnavailable, type Value } from '../store/store.ts'
import { type ApiKeys, createApiKeys } from './api-keys.ts'
import { staleMs, trustMs } from './records.ts'

const log = silentLogger
const alphabet = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

describe('API keys (N1)', () => {
  let store: Store
  let keys: ApiKeys
  let now: number
  beforeEach(async () => {
    now = 1_700_000_000_000
    store = await openStore('sqlite::memory:', { log, now: () => now })
    keys = createApiKeys({ store, now: () => now })
  })
  afterEach(async () => {
    keys.close()
    await store.close()
  })

  test('a key is shown once, in the documented format, and lets in with all it was given', async () => {
    const { key, record } = await keys.create({
      name: 'partner',
      scopes: ['orders:read', 'orders:write', 'orders:read'],
      roles: ['viewer'],
      cidrs: ['203.0.113.0/24'],
      owner: 'jo@example.com',
      expiresAt: now + 1000,
    })
    expect(key).toMatch(/^pck_[0-9A-Za-z]{12}_[0-9A-Za-z]{49}$/)
    expect(key.startsWith(`pck_${record.id}_`)).toBe(true)
    expect(await keys.verify(key)).toEqual({
      kind: 'verified',
      id: record.id,
      name: 'partner',
      owner: 'jo@example.com',
      plan: undefined,
      scopes: new Set(['orders:read', 'orders:write']),
      roles: new Set(['viewer']),
      bounds: { cidrs: ['203.0.113.0/24'], origins: [], operations: [] },
      expiresAt: now + 1000,
    })
    expect(await keys.get(record.id)).toEqual(record)
    expect(await keys.list()).toEqual([record])
    expect(JSON.stringify(await keys.list())).not.toMatch(/hash/)
  })

  test('the store holds neither the key nor its secret', async () => {
    const { key } = await keys.create({ name: 'a' })
    const held = JSON.stringify(await store.list('', { limit: 100 }))
    expect(held).not.toContain(key)
    expect(held).not.toContain(key.slice(17, 60))
    expect(held).not.toContain(key.slice(17, 30))
  })

  test('a key is expired at its end and not before', async () => {
    const { key } = await keys.create({ name: 'a', expiresAt: now + 1000 })
    now += 999
    expect(await keys.verify(key)).toMatchObject({ kind: 'verified' })
    now += 1
    expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'expired' })
  })

  test('a key works from its start on and not before', async () => {
    const { key } = await keys.create({ name: 'a', notBefore: now + 1000, expiresAt: now + 2000 })
    now += 999
    expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'early' })
    now += 1
    expect(await keys.verify(key)).toMatchObject({ kind: 'verified' })
  })

  test('bounds, plan and note are kept in one spelling', async () => {
    const { key, record } = await keys.create({
      name: 'a',
      origins: ['https://Shop.Example/', 'https://shop.example:443', 'http://localhost:3000'],
      operations: ['op:listOrders', ' GET /orders/* ', 'op:listOrders'],
      plan: 'gold',
      note: 'for the shop',
    })
    expect(record).toMatchObject({ plan: 'gold', note: 'for the shop' })
    expect(await keys.verify(key)).toMatchObject({
      plan: 'gold',
      bounds: {
        cidrs: [],
        origins: ['https://shop.example', 'http://localhost:3000'],
        operations: ['op:listOrders', 'GET /orders/*'],
      },
    })
  })

  test('a key that was made before there were bounds has none', async () => {
    const { key, record } = await keys.create({ name: 'a' })
    const {
      origins: _,
      operations: _o,
      ...old
    } = (await store.get(`api-key/${record.id}`)) as { [name: string]: Value }
    await store.put(`api-key/${record.id}`, old)
    expect(await keys.verify(key)).toMatchObject({ bounds: { cidrs: [], origins: [], operations: [] } })
    expect(await keys.get(record.id)).toMatchObject({ origins: [], operations: [] })
  })

  test('a change keeps the secret and all that it does not name, and takes away what it names null', async () => {
    const { key, record } = await keys.create({ name: 'a', scopes: ['x'], plan: 'gold', note: 'n', expiresAt: now + 9 })
    const changed = await keys.update(record.id, { scopes: ['y'], note: null, expiresAt: null })
    expect(changed).toEqual({ ...record, scopes: ['y'], note: undefined, expiresAt: undefined })
    expect(await keys.verify(key)).toMatchObject({ scopes: new Set(['y']), plan: 'gold', expiresAt: undefined })
    await expect(keys.update(record.id, { name: '' })).rejects.toThrow(ConfigError)
    expect(await keys.get(record.id)).toEqual(changed)
  })

  test('a change of a key that is not as expected any more changes nothing, nor does one of a revoked key', async () => {
    const { record } = await keys.create({ name: 'a' })
    const isFirst = (key: { name: string }) => key.name === 'a'
    expect(await keys.update(record.id, { name: 'b' }, isFirst)).toMatchObject({ name: 'b' })
    expect(await keys.update(record.id, { name: 'c' }, isFirst)).toBe('unexpected')
    await keys.revoke(record.id)
    expect(await keys.update(record.id, { name: 'c' })).toBeUndefined()
    expect(await keys.update('AAAAAAAAAAAA', { name: 'c' })).toBeUndefined()
    expect(await keys.get(record.id)).toMatchObject({ name: 'b', revokedAt: now })
  })

  test('a revoked key is refused at once, stays revoked, and keeps the time of its first revocation', async () => {
    const { key, record } = await keys.create({ name: 'a' })
    expect(await keys.verify(key)).toMatchObject({ kind: 'verified' })
    const first = await keys.revoke(record.id)
    expect(first?.revokedAt).toBe(now)
    expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'revoked' })
    now += 1000
    expect(await keys.revoke(record.id)).toEqual(first)
    expect(await keys.rotate(record.id)).toBeUndefined()
    expect(await keys.revoke('AAAAAAAAAAAA')).toBeUndefined()
    expect(await keys.revoke('../user/jo')).toBeUndefined()
  })

  test('rotation gives a new secret under the same id; the former one works for its grace and no longer', async () => {
    const { key: old, record } = await keys.create({ name: 'a', scopes: ['x'], expiresAt: now + 10_000 })
    now += 4_000
    const rotated = (await keys.rotate(record.id, { graceMs: 500 }))!
    expect(rotated.record).toMatchObject({
      id: record.id,
      scopes: ['x'],
      expiresAt: now + 10_000,
      previousUntil: now + 500,
    })
    expect(await keys.verify(rotated.key)).toMatchObject({ kind: 'verified', id: record.id })
    now += 499
    expect(await keys.verify(old)).toMatchObject({ kind: 'verified', id: record.id })
    now += 1
    expect(await keys.verify(old)).toEqual({ kind: 'refused', reason: 'expired' })
    const again = (await keys.rotate(record.id))!
    expect(await keys.verify(rotated.key)).toEqual({ kind: 'refused', reason: 'mismatch' })
    expect(await keys.verify(again.key)).toMatchObject({ kind: 'verified' })
  })

  test('grace never outlasts the end of the former secret', async () => {
    const { key: old, record } = await keys.create({ name: 'a', expiresAt: now + 1_000 })
    await keys.rotate(record.id, { graceMs: 60_000 })
    now += 1_000
    expect(await keys.verify(old)).toEqual({ kind: 'refused', reason: 'expired' })
  })

  test('a revocation while a rotation is under way is not lost', async () => {
    const { record } = await keys.create({ name: 'a' })
    const slow = createApiKeys({
      store: {
        ...store,
        // Another process revokes between the rotation's read and its write.
        async put(key, value, options) {
          if (options?.onlyIfEquals !== undefined) await keys.revoke(record.id)
          return await store.put(key, value, options)
        },
      },
      now: () => now,
    })
    expect(await slow.rotate(record.id)).toBeUndefined()
    expect((await keys.get(record.id))?.revokedAt).toBe(now)
  })

  test('any change of one character is told from the key itself, without asking the store', async () => {
    const { key } = await keys.create({ name: 'a' })
    await keys.verify(key)
    await store.close()
    fc.assert(
      fc.property(fc.nat(key.length - 1), fc.constantFrom(...alphabet, '_', ' ', '\n', 'é'), (at, character) => {
        fc.pre(key[at] !== character)
        const other = key.slice(0, at) + character + key.slice(at + 1)
        expect(keys.verify(other)).toEqual({ kind: 'refused', reason: 'malformed' })
      }),
      { numRuns: 500 },
    )
  })

  test('any other text is malformed', () => {
    fc.assert(
      fc.property(fc.oneof(fc.string({ maxLength: 100 }), fc.string({ minLength: 66, maxLength: 66 })), (text) => {
        expect(keys.verify(text)).toEqual({ kind: 'refused', reason: 'malformed' })
      }),
    )
  })

  test('who knows the id and not the secret learns nothing, not even that the key is revoked', async () => {
    const { record } = await keys.create({ name: 'a' })
    const guessed = createApiKeys({ store: await openStore('sqlite::memory:', { log }), random: guess(record.id) })
    const { key } = await guessed.create({ name: 'guess' })
    expect(key.startsWith(`pck_${record.id}_`)).toBe(true)
    expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'mismatch' })
    await keys.revoke(record.id)
    expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'mismatch' })
  })

  /** Randomness that hits a given id. */
  function guess(id: string): (bytes: number) => Uint8Array {
    return (bytes) => {
      if (bytes !== 9) return Buffer.alloc(bytes, 7)
      const number = [...id].reduce((sum, digit) => sum * 62n + BigInt(alphabet.indexOf(digit)), 0n)
      return Buffer.from(number.toString(16).padStart(18, '0'), 'hex')
    }
  }

  test('an id that is taken is not given twice', async () => {
    let calls = 0
    const random = (bytes: number) => Buffer.alloc(bytes, bytes === 9 && ++calls <= 2 ? 1 : calls)
    const some = createApiKeys({ store, random })
    const first = await some.create({ name: 'a' })
    const second = await some.create({ name: 'b' })
    expect(second.record.id).not.toBe(first.record.id)
    expect(await some.verify(first.key)).toMatchObject({ name: 'a' })
  })

  test.each([
    ['an empty name', { name: '' }],
    ['a name with a line break', { name: 'a\nb' }],
    ['a name of 201 characters', { name: 'x'.repeat(201) }],
    ['a scope with a space', { name: 'a', scopes: ['a b'] }],
    ['an empty role', { name: 'a', roles: [''] }],
    ['a range that is none', { name: 'a', cidrs: ['10.0.0/8'] }],
    ['an end that is no time', { name: 'a', expiresAt: Number.NaN }],
    ['a start that is no time', { name: 'a', notBefore: Number.POSITIVE_INFINITY }],
    ['an end before the start', { name: 'a', notBefore: 2, expiresAt: 2 }],
    ['an origin with a path', { name: 'a', origins: ['https://shop.example/a'] }],
    ['an origin with a user', { name: 'a', origins: ['https://u@shop.example'] }],
    ['an origin that is none', { name: 'a', origins: ['shop.example'] }],
    ['the origin null', { name: 'a', origins: ['null'] }],
    ['an operation that selects nothing', { name: 'a', operations: ['listOrders'] }],
    ['a plan with a space', { name: 'a', plan: 'gold plated' }],
    ['a note with an escape', { name: 'a', note: 'a\u001b[2J' }],
    ['257 addresses', { name: 'a', cidrs: Array.from({ length: 257 }, () => '10.0.0.0/8') }],
  ])('refuses %s', async (_, input) => {
    await expect(keys.create(input)).rejects.toThrow(ConfigError)
    expect(await keys.list()).toEqual([])
  })

  test('a record that was damaged in the store opens nothing', async () => {
    const { key, record } = await keys.create({ name: 'a' })
    const good = (await store.get(`api-key/${record.id}`)) as { [name: string]: Value }
    const damaged = [
      null,
      'x',
      [],
      {},
      { ...good, hash: 5 },
      { ...good, createdAt: 'today' },
      { ...good, expiresAt: 'never' },
      { ...good, revokedAt: null },
      { ...good, scopes: 'all' },
      { ...good, roles: [1] },
      { ...good, origins: 'https://shop.example' },
      { ...good, operations: [null] },
      { ...good, notBefore: 'soon' },
      { ...good, previous: { hash: 'x' } },
      { id: record.id, hash: good.hash },
    ] as Value[]
    for (const value of damaged) {
      await store.put(`api-key/${record.id}`, value)
      expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'unknown' })
    }
  })

  test('a seen key is answered from memory, and the same answer is the same object', async () => {
    const { key } = await keys.create({ name: 'a' })
    const counting = faultyStore(store)
    const seen = createApiKeys({ store: counting, now: () => now })
    const first = seen.verify(key)
    for (let i = 0; i < 100; i++) expect(seen.verify(key)).toBe(first)
    expect(counting.gets).toBe(1)
  })

  test('unknown keys are remembered as unknown, and push out none that are known', async () => {
    const counting = faultyStore(store)
    const seen = createApiKeys({ store: counting, now: () => now, entriesMax: 10 })
    const { key } = await keys.create({ name: 'a' })
    await seen.verify(key)
    const elsewhere = createApiKeys({ store: await openStore('sqlite::memory:', { log }) })
    const strangers = await Promise.all(Array.from({ length: 500 }, () => elsewhere.create({ name: 'x' })))
    for (const { key } of strangers) expect(seen.verify(key)).toEqual({ kind: 'refused', reason: 'unknown' })
    expect(counting.gets).toBe(501)
    for (const { key } of strangers) await seen.verify(key)
    await seen.verify(key)
    expect(counting.gets).toBe(501)
  })

  test('a key made after it was asked for in vain is accepted at once', async () => {
    const { key, record } = await keys.create({ name: 'a' })
    const value = (await store.get(`api-key/${record.id}`))!
    await store.delete(`api-key/${record.id}`)
    expect(await keys.verify(key)).toEqual({ kind: 'refused', reason: 'unknown' })
    await store.put(`api-key/${record.id}`, value)
    expect(await keys.verify(key)).toMatchObject({ kind: 'verified' })
  })

  test('many askers for one unknown key share one look-up, and a flood of look-ups is bounded', async () => {
    const held = faultyStore(store)
    const seen = createApiKeys({ store: held, now: () => now })
    const { key } = await keys.create({ name: 'a' })
    held.hold()
    const first = Array.from({ length: 50 }, async () => await seen.verify(key))
    expect(held.gets).toBe(1)
    const elsewhere = createApiKeys({ store: await openStore('sqlite::memory:', { log }) })
    const strangers = await Promise.all(Array.from({ length: 300 }, () => elsewhere.create({ name: 'x' })))
    const flood = strangers.map(async ({ key }) => await seen.verify(key))
    expect(held.gets).toBe(256)
    held.release()
    expect(await Promise.all(first)).toEqual(first.map(() => expect.objectContaining({ kind: 'verified' })))
    const results = await Promise.allSettled(flood)
    const refused = results.filter((result) => result.status === 'rejected')
    expect(refused).toHaveLength(300 - 255)
    expect(refused.every(({ reason }) => reason instanceof StoreUnavailable)).toBe(true)
  })

  test('what changed while it was being looked up is not kept', async () => {
    const held = faultyStore(store)
    const seen = createApiKeys({ store: held, now: () => now })
    const { key, record } = await keys.create({ name: 'a' })
    held.hold()
    const early = seen.verify(key)
    await keys.revoke(record.id)
    held.release()
    await early
    expect(await seen.verify(key)).toEqual({ kind: 'refused', reason: 'revoked' })
  })

  test('what changed of others meanwhile does not keep it from being kept', async () => {
    const held = faultyStore(store)
    const seen = createApiKeys({ store: held, now: () => now })
    const { key } = await keys.create({ name: 'a' })
    const { record: other } = await keys.create({ name: 'b' })
    held.hold()
    const early = seen.verify(key)
    await keys.revoke(other.id)
    held.release()
    await early
    const asked = held.gets
    expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
    expect(held.gets).toBe(asked)
  })

  describe('while the store does not answer', () => {
    test('known keys go on for the stated time and no longer, unknown ones fail closed', async () => {
      const faulty = faultyStore(store)
      const seen = createApiKeys({ store: faulty, now: () => now })
      const { key, record } = await keys.create({ name: 'a' })
      const { key: unseen } = await keys.create({ name: 'b' })
      await seen.verify(key)
      faulty.break()
      const closed = async (key: string) =>
        await expect((async () => seen.verify(key))()).rejects.toThrow(StoreUnavailable)
      expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      await closed(unseen)
      now += trustMs
      expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      now += staleMs - trustMs - 1
      expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      now += 1
      await closed(key)
      faulty.mend()
      now += 1_000
      expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      expect(await seen.verify(unseen)).toMatchObject({ kind: 'verified' })
      await keys.revoke(record.id)
      expect(await seen.verify(key)).toEqual({ kind: 'refused', reason: 'revoked' })
    })

    test('an expired key is refused although nothing can be asked', async () => {
      const faulty = faultyStore(store)
      const seen = createApiKeys({ store: faulty, now: () => now })
      const { key } = await keys.create({ name: 'a', expiresAt: now + 100 })
      await seen.verify(key)
      faulty.break()
      now += 100
      expect(await seen.verify(key)).toEqual({ kind: 'refused', reason: 'expired' })
    })

    test('a store that is down is asked twice a second, not by every request', async () => {
      const faulty = faultyStore(store)
      const seen = createApiKeys({ store: faulty, now: () => now })
      const { key } = await keys.create({ name: 'a' })
      await seen.verify(key)
      faulty.break()
      faulty.alarm()
      const before = faulty.gets
      for (let i = 0; i < 100; i++) expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      expect(faulty.gets).toBe(before + 1)
      now += 500
      await seen.verify(key)
      expect(faulty.gets).toBe(before + 2)
    })

    test('after an alarm without a key everything is asked for again', async () => {
      const faulty = faultyStore(store)
      const seen = createApiKeys({ store: faulty, now: () => now })
      const { key, record } = await keys.create({ name: 'a' })
      await seen.verify(key)
      faulty.mute()
      await keys.revoke(record.id)
      expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      faulty.alarm()
      expect(await seen.verify(key)).toEqual({ kind: 'refused', reason: 'revoked' })
    })

    test('even if nobody ever tells of a change, a key is looked up again after a minute', async () => {
      const faulty = faultyStore(store)
      const seen = createApiKeys({ store: faulty, now: () => now })
      const { key, record } = await keys.create({ name: 'a' })
      await seen.verify(key)
      faulty.mute()
      await keys.revoke(record.id)
      now += trustMs - 1
      expect(await seen.verify(key)).toMatchObject({ kind: 'verified' })
      now += 1
      expect(await seen.verify(key)).toEqual({ kind: 'refused', reason: 'revoked' })
    })
  })

  test('a key that another process revokes is refused here within a second (SQLite)', async () => {
    const dir = mkdtempSync(join(tmpdir(), 'portcullis-keys-'))
    const here = await openStore(`sqlite:${join(dir, 's.db')}`, { log })
    const there = await openStore(`sqlite:${join(dir, 's.db')}`, { log })
    const gate = createApiKeys({ store: here })
    const command = createApiKeys({ store: there })
    const { key, record } = await command.create({ name: 'a' })
    // Accepted at once, too.
    expect(gate.verify(key)).toMatchObject({ kind: 'verified' })
    await command.revoke(record.id)
    await until(async () => (await gate.verify(key)).kind === 'refused', 1_000)
    gate.close()
    await Promise.all([here.close(), there.close()])
    rmSync(dir, { recursive: true })
  })
})

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultyStore } from '../../test/fixtures/faulty-store.ts'
import { ConfigError } from '../base/errors.ts'
import type { SecurityEvent } from '../base/events.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import type { Store, Value } from '../store/store.ts'
import { type ActiveGrants, createGrants, type Grants, grantState, type NewGrant, watchGrants } from './grants.ts'
import { staleMs } from './records.ts'

const log = silentLogger
const hour = 3_600_000

describe('grants for a while (Z6)', () => {
  let store: Store
  let grants: Grants
  let now: number
  let told: SecurityEvent[]
  const opened: ActiveGrants[] = []
  const anna = () => ({ subject: 'anna', via: 'basic', roles: ['editor'], grantedBy: 'jo', until: now + hour })
  const watched = async (of: Store = store) => {
    const active = await watchGrants({ store: of, now: () => now, log, tell: (event) => told.push(event) })
    opened.push(active)
    return active
  }
  beforeEach(async () => {
    now = 1_700_000_000_000
    told = []
    store = await openStore('sqlite::memory:', { log, now: () => now })
    grants = createGrants({ store, now: () => now })
  })
  afterEach(async () => {
    for (const active of opened.splice(0)) active.close()
    await store.close()
  })

  test('a grant is in force at once for whom it was given to, by whom vouches for them, and for nobody else', async () => {
    const active = await watched()
    expect(active.size()).toBe(0)
    const grant = await grants.create({ ...anna(), scopes: ['orders:write'], reason: 'ticket 4711' })
    await active.refresh()
    expect(active.of('anna', 'basic')).toEqual([grant])
    expect(active.of('anna', 'main')).toBeUndefined()
    expect(active.of('Anna', 'basic')).toBeUndefined()
    expect(grant).toMatchObject({ roles: ['editor'], scopes: ['orders:write'], from: now, until: now + hour })
  })

  test('it is over at its end to the millisecond, stays in the list, and its events are told once by two processes', async () => {
    const [one, two] = [await watched(), await watched()]
    const grant = await grants.create(anna())
    await Promise.all([one.refresh(), two.refresh()])
    now += hour - 1
    await one.refresh()
    expect(grantState(one.of('anna', 'basic')![0]!, now)).toBe('active')
    now += 1
    expect(grantState(one.of('anna', 'basic')![0]!, now)).toBe('ended')
    await Promise.all([one.refresh(), two.refresh()])
    expect([one.of('anna', 'basic'), two.of('anna', 'basic')]).toEqual([undefined, undefined])
    expect(told.map(({ event, id }) => [event, id])).toEqual([
      ['grant.made', grant.id],
      ['grant.ended', grant.id],
    ])
    expect(await grants.get(grant.id)).toEqual(grant)
    now += 91 * 24 * hour
    expect(await grants.list()).toEqual([])
  })

  test('a revoked one is gone at once and keeps who ended it first; what is over by itself was not revoked', async () => {
    const active = await watched()
    const grant = await grants.create(anna())
    const other = await grants.create({ ...anna(), subject: 'bo' })
    expect(await grants.revoke(grant.id, 'kim')).toMatchObject({ revokedAt: now, revokedBy: 'kim' })
    await active.refresh()
    expect(active.of('anna', 'basic')).toBeUndefined()
    expect(await grants.revoke(grant.id, 'lee')).toMatchObject({ revokedBy: 'kim' })
    now += hour
    expect(await grants.revoke(other.id, 'kim')).toMatchObject({ revokedAt: undefined })
    expect(await grants.revoke('AAAAAAAAAAAA', 'kim')).toBeUndefined()
    expect(await grants.revoke('../api-key/x', 'kim')).toBeUndefined()
    expect(told.map(({ event }) => event)).toContain('grant.revoked')
  })

  test('a process that has long heard nothing of the store gives no rights', async () => {
    const faulty = faultyStore(store)
    await grants.create(anna())
    const active = await watched(faulty)
    faulty.break()
    now += staleMs - 1
    expect(active.of('anna', 'basic')).toHaveLength(1)
    now += 1
    expect(active.of('anna', 'basic')).toBeUndefined()
  })

  test('a watch that could not begin listens no more', async () => {
    let listeners = 0
    const down: Store = {
      ...store,
      list: () => Promise.reject(new Error('down')),
      onChange() {
        listeners++
        return () => listeners--
      },
    }
    await expect(watched(down)).rejects.toThrow('down')
    expect(listeners).toBe(0)
  })

  test('a record that was damaged in the store, or moved to another id, grants nothing', async () => {
    const { id } = await grants.create(anna())
    const good = (await store.get(`grant/${id}`)) as { [name: string]: Value }
    for (const value of [
      null,
      'x',
      [],
      {},
      { ...good, until: 'never' },
      { ...good, roles: 'admin' },
      { ...good, via: 1 },
    ]) {
      await store.put(`grant/${id}`, value as Value)
      expect((await watched()).size()).toBe(0)
    }
    await store.delete(`grant/${id}`)
    await store.put('grant/AAAAAAAAAAAA', good)
    expect((await watched()).size()).toBe(0)
  })

  test.each<[string, Partial<NewGrant>]>([
    ['nobody', { subject: '' }],
    ['no voucher', { via: '' }],
    ['no right', { roles: [] }],
    ['a role with a space', { roles: ['a b'] }],
    ['an end in the past', { until: 1 }],
    ['an end before the start', { from: 1_800_000_000_000 }],
    ['no end', { until: Number.POSITIVE_INFINITY }],
    ['more than a year', { until: 1_700_000_000_000 + 367 * 24 * hour }],
    ['an address range that is none', { cidrs: ['here'] }],
    ['an operation that selects nothing', { operations: ['refund'] }],
    ['a reason that steers a terminal', { reason: '\u001b[2J' }],
  ])('refuses %s', async (_, input) => {
    await expect(grants.create({ ...anna(), ...input })).rejects.toThrow(ConfigError)
    expect(await grants.list()).toEqual([])
  })
})

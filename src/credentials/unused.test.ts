import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { faultyStore } from '../../test/fixtures/faulty-store.ts'
import type { SecurityEvent } from '../base/events.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { createApiKeys } from './api-keys.ts'
import { createGrants } from './grants.ts'
import { type Catalog, findUnused, type Holder, holderOfGrant, holderOfKey, revokeUnused } from './unused.ts'
import { createUsageRecorder, readUsage, type UsageRecorder } from './usage.ts'

const log = silentLogger
const day = 86_400_000

describe('rights that nobody uses (Z6)', () => {
  let store: Store
  let recorder: UsageRecorder
  let now: number
  const clock = () => now
  const exchange = { api: 'shop', operation: 'listOrders', credential: 'apiKey', user: 'k1', denial: undefined }
  const use = (change: Partial<typeof exchange> = {}) => recorder.note({ ...exchange, receivedAt: now, ...change })
  beforeEach(async () => {
    now = 1_700_000_000_000
    store = await openStore('sqlite::memory:', { log, now: clock })
    recorder = createUsageRecorder({ store, now: clock, log })
  })
  afterEach(async () => {
    await recorder.close()
    await store.close()
  })

  const catalog: Catalog = {
    needs: (operation) => ({
      scopes: new Set(operation === 'shop listOrders' ? ['orders:read'] : ['orders:write']),
      roles: new Set(operation === 'shop refund' ? ['editor'] : []),
    }),
    selects: (selector, operation) => operation === `shop ${selector.slice(3)}`,
  }
  const holder: Holder = {
    kind: 'key',
    id: 'k1',
    name: 'partner',
    via: 'apiKey',
    subject: 'k1',
    scopes: ['orders:read', 'orders:write'],
    roles: ['editor'],
    operations: ['op:listOrders', 'op:refund'],
    since: 0,
  }

  test('are those of which no operation was used, per scope, role and operation', async () => {
    use()
    await recorder.flush()
    const [unused] = findUnused([holder], await readUsage(store), catalog, now - 30 * day)
    expect(unused).toMatchObject({
      wholly: false,
      lastUsedAt: now,
      scopes: ['orders:write'],
      roles: ['editor'],
      operations: ['op:refund'],
    })
    use({ operation: 'refund' })
    await recorder.flush()
    expect(findUnused([holder], await readUsage(store), catalog, now - 30 * day)).toEqual([])
  })

  test('what was refused, what nobody proved and what another caller did is no use', async () => {
    use({ denial: {} as never })
    use({ user: undefined as never })
    use({ user: 'k2' })
    use({ credential: 'basic' })
    await recorder.flush()
    const [unused] = findUnused([holder], await readUsage(store), catalog, now - 30 * day)
    expect(unused).toMatchObject({ wholly: true, lastUsedAt: undefined })
  })

  test('use counts until the window has passed over it, and holders younger than the window are left alone', async () => {
    use()
    use({ operation: 'refund' })
    await recorder.flush()
    const book = await readUsage(store)
    const used = now
    expect(findUnused([holder], book, catalog, used)).toEqual([])
    expect(findUnused([holder], book, catalog, used + 1)).toMatchObject([{ wholly: true, lastUsedAt: used }])
    expect(findUnused([{ ...holder, since: used + 2 }], book, catalog, used + 1)).toEqual([])
  })

  test('what the holder of a grant did before it began is no use of the grant', async () => {
    use({ user: 'anna', credential: 'basic', operation: 'refund' })
    await recorder.flush()
    const grant = await createGrants({ store, now: () => now + 1 }).create({
      subject: 'anna',
      via: 'basic',
      roles: ['editor'],
      grantedBy: 'jo',
      until: now + day,
    })
    expect(findUnused([holderOfGrant(grant)], await readUsage(store), catalog, now + 2)).toMatchObject([
      { wholly: true, roles: ['editor'] },
    ])
  })

  test('a busy caller is written once in ten minutes, and two processes keep the later time', async () => {
    const counting = faultyStore(store)
    let puts = 0
    const busy = createUsageRecorder({
      store: {
        ...counting,
        put(...given) {
          puts++
          return store.put(...given)
        },
      },
      now: clock,
      log,
    })
    for (let i = 0; i < 1_000; i++) busy.note({ ...exchange, receivedAt: now + i })
    await busy.flush()
    const first = puts
    for (let i = 0; i < 1_000; i++) busy.note({ ...exchange, receivedAt: now + 1_000 + i })
    await busy.flush()
    expect(puts).toBe(first)
    use({ receivedAt: now + 5_000 } as never)
    await recorder.flush()
    busy.note({ ...exchange, receivedAt: now + 700_000 })
    await busy.flush()
    use({ receivedAt: now + 600_001 + 5_000 } as never)
    await recorder.flush()
    expect((await readUsage(store)).of('apiKey', 'k1')?.operations).toEqual({ 'shop listOrders': now + 700_000 })
    await busy.close()
  })

  test('what cannot be written is written when the store is back', async () => {
    let down = true
    const later = createUsageRecorder({
      store: { ...store, put: async (...given) => (down ? Promise.reject(new Error('down')) : store.put(...given)) },
      now: clock,
      log,
    })
    later.note({ ...exchange, receivedAt: now })
    await later.flush()
    expect((await readUsage(store)).of('apiKey', 'k1')).toBeUndefined()
    down = false
    await later.close()
    expect((await readUsage(store)).of('apiKey', 'k1')?.operations).toEqual({ 'shop listOrders': now })
  })

  test('keys and grants are ended after their time without use, never before it was written down for as long', async () => {
    const keys = createApiKeys({ store, now: clock })
    const told: SecurityEvent[] = []
    const { record: idle } = await keys.create({ name: 'idle' })
    const { record: busy } = await keys.create({ name: 'busy' })
    const run = () => revokeUnused(store, { afterMs: 90 * day, now: clock, tell: (event) => told.push(event) })
    await recorder.flush()
    const start = now
    now = start + 90 * day
    expect(await run()).toBe(0)
    use({ user: busy.id })
    await recorder.flush()
    now = start + 91 * day - 1
    expect(await run()).toBe(0)
    now = start + 91 * day
    expect(await run()).toBe(1)
    expect((await keys.get(idle.id))?.revokedAt).toBe(now)
    expect((await keys.get(busy.id))?.revokedAt).toBeUndefined()
    expect(told).toEqual([{ event: 'key.unused', id: idle.id, detail: { name: 'idle', days: 90 } }])
    expect(holderOfKey(busy)).toMatchObject({ via: 'apiKey', subject: busy.id })
  })

  test('usage that was written by another program, or a store that is new, ends nothing', async () => {
    const bare = await openStore('sqlite::memory:', { log, now: clock })
    await createApiKeys({ store: bare, now: clock }).create({ name: 'a' })
    now += 400 * day
    expect(await revokeUnused(bare, { afterMs: 90 * day, now: clock, tell: () => {} })).toBe(0)
    await bare.close()
  })
})

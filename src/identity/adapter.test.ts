import type { AdapterPayload } from 'oidc-provider'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testVault } from '../../test/kit/vault.ts'
import { silentLogger as log } from '../base/log.ts'
import { createSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import { createGrantStore, type GrantStore, oauthPrefix } from './adapter.ts'

const start = 1_800_000_000_000

describe('what the provider keeps', () => {
  let store: Store
  let ring: KeyRing
  let at: number
  let grants: GrantStore
  let ended: string[]
  let races: string[]
  beforeEach(async () => {
    at = start
    ended = []
    races = []
    store = createSqliteStore({ file: ':memory:', log, now: () => at })
    ring = await testVault(store, () => at)
    grants = createGrantStore({
      store,
      ring,
      log,
      findClient: async () => undefined,
      findShown: () => undefined,
      endShown: async () => {},
      endGrant: async (id) => void ended.push(id),
      onRace: (model) => void races.push(model),
    })
  })
  afterEach(async () => {
    ring.close()
    await store.close()
  })

  const exp = Math.floor(Date.now() / 1_000) + 3_600
  const grant = (id: string, more: object = {}) =>
    grants
      .adapterFor('Grant')
      .upsert(id, { jti: id, accountId: 'anna', clientId: 'app', iat: 1, exp, ...more } as AdapterPayload, 3_600)
  const token = (id: string, more: object = {}) =>
    grants.adapterFor('RefreshToken').upsert(id, { jti: id, grantId: 'g1', exp, ...more } as AdapterPayload, 3_600)

  test('is found by what its bearer shows and by nothing else, until its time is over', async () => {
    await grant('g1')
    await token('secret-1')
    const tokens = grants.adapterFor('RefreshToken')
    expect(await tokens.find('secret-1')).toMatchObject({ jti: 'secret-1', grantId: 'g1' })
    expect(await grants.adapterFor('AuthorizationCode').find('secret-1')).toBeUndefined()
    const all = await store.list(oauthPrefix, { limit: 100 })
    for (const { key, value } of all) {
      expect(`${key} ${JSON.stringify(value)}`).not.toMatch(/secret-1|anna|g1/)
      expect(await tokens.find(key)).toBeUndefined()
      expect(await tokens.find(key.split('/').at(-1)!)).toBeUndefined()
    }
    at += 3_600_000
    expect(await tokens.find('secret-1')).toBeUndefined()
  })

  test('is good only while its grant stands, whoever writes meanwhile', async () => {
    await grant('g1')
    await token('one')
    await grants.adapterFor('RefreshToken').revokeByGrantId('g1')
    expect(ended).toEqual(['g1'])
    // Written by a process that had not heard of the end.
    await token('two')
    for (const id of ['one', 'two']) expect(await grants.adapterFor('RefreshToken').find(id)).toBeUndefined()
    expect(await grants.end('g1')).toBe(false)
  })

  test('is spent once: of many at the same moment one succeeds, and the rest end the grant', async () => {
    await grant('g1')
    await token('one')
    const tokens = grants.adapterFor('RefreshToken')
    const tries = await Promise.allSettled(Array.from({ length: 6 }, () => tokens.consume('one')))
    expect(tries.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(races).toHaveLength(5)
    expect(await grants.adapterFor('Grant').find('g1')).toBeUndefined()
  })

  test('a spent one stays known as spent until it would have ended', async () => {
    await grant('g1')
    await token('one')
    await grants.adapterFor('RefreshToken').consume('one')
    expect(await grants.adapterFor('RefreshToken').find('one')).toMatchObject({ consumed: expect.any(Number) })
    await expect(grants.adapterFor('RefreshToken').consume('nothing')).rejects.toThrow(/invalid_grant/)
  })

  test('sessions are found by their public name, device codes by what people type', async () => {
    await grants.adapterFor('Session').upsert('cookie', { jti: 'cookie', uid: 'public' } as AdapterPayload, 60)
    expect(await grants.adapterFor('Session').findByUid('public')).toMatchObject({ jti: 'cookie' })
    expect(await grants.adapterFor('Session').findByUid('cookie')).toBeUndefined()
    await grants.adapterFor('DeviceCode').upsert('code', { jti: 'code', userCode: 'BCDF' } as AdapterPayload, 60)
    expect(await grants.adapterFor('DeviceCode').findByUserCode('BCDF')).toMatchObject({ jti: 'code' })
    await grants.adapterFor('DeviceCode').destroy('code')
    expect(await grants.adapterFor('DeviceCode').findByUserCode('BCDF')).toBeUndefined()
  })

  test('a thing is seen for the first time once, until its time is over', async () => {
    const firsts = await Promise.all(Array.from({ length: 5 }, () => grants.once('proof', 60)))
    expect(firsts.filter((first) => first)).toHaveLength(1)
    at += 60_000
    expect(await grants.once('proof', 60)).toBe(true)
  })

  test('lists what people agreed to, and ends one by its name', async () => {
    await grant('g1', { openid: { scope: 'openid' }, resources: { 'https://a.example/shop': 'orders:read' } })
    await grant('g2', { accountId: 'tom' })
    const all = await grants.list(10)
    expect(all.find(({ id }) => id === 'g1')).toMatchObject({
      subject: 'anna',
      client: 'app',
      scopes: ['openid', 'orders:read'],
    })
    expect(await grants.end('g2')).toBe(true)
    expect((await grants.list(10)).map(({ id }) => id)).toEqual(['g1'])
    expect(await grants.list(0)).toEqual([])
    // Those that are not asked for take nobody's place.
    await grant('g3', { accountId: 'bob' })
    await grant('g4', { accountId: 'bob' })
    const ofAnna = await grants.list(1, ({ subject }) => subject === 'anna')
    expect(ofAnna.map(({ id }) => id)).toEqual(['g1'])
    expect((await grants.list(10, ({ subject }) => subject === 'bob')).map(({ id }) => id).sort()).toEqual(['g3', 'g4'])
  })

  test('after the secret that names records was exchanged, old ones are found on', async () => {
    await grant('g1')
    await token('one')
    await ring.rotate('identity/oauth/ids', {})
    await ring.rotate('identity/oauth', {})
    expect(await grants.adapterFor('RefreshToken').find('one')).toMatchObject({ jti: 'one' })
    await grants.adapterFor('RefreshToken').destroy('one')
    expect(await grants.adapterFor('RefreshToken').find('one')).toBeUndefined()
  })
})

import { generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { testClock } from '../../../test/kit/calls.ts'
import { jwkOf, makeKey } from '../../../test/kit/issuer.ts'
import { silentLogger } from '../../base/log.ts'
import { IssuerUnreachable } from './ask.ts'
import { chooseKey, RemoteKeySet, readKeys } from './key-set.ts'

const rs = makeKey('RS256', 'rs')
const es = makeKey('ES256', 'es')

describe('a JWK set', () => {
  test('gives the keys that can check signatures and leaves out all others', () => {
    const weak = generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' })
    const keys = readKeys({
      keys: [
        jwkOf(rs),
        jwkOf(es),
        { ...jwkOf(makeKey('RS256')), use: 'enc' },
        { ...jwkOf(makeKey('RS256')), key_ops: ['encrypt'] },
        { kty: 'oct', k: 'c2VjcmV0', kid: 'public-secret' },
        { ...weak, kid: 'weak' },
        // A signature under the exponent 1 is the padded message itself.
        { ...jwkOf(makeKey('RS256')), e: 'AQ', kid: 'no-secret' },
        { ...jwkOf(makeKey('RS256')), e: 'Ag', kid: 'even' },
        { kty: 'RSA', n: 'AQ', kid: 'broken' },
        { kty: 'unknown' },
        null,
        'text',
      ],
    })
    expect(keys.map((key) => key.id)).toEqual(['rs', 'es'])
  })

  test.each([[{}], [{ keys: {} }], [{ keys: Array.from({ length: 101 }, () => ({})) }]])(
    'that is none, or too large, is refused',
    (jwks) => {
      expect(() => readKeys(jwks)).toThrow(/expected/)
    },
  )

  test('a key is chosen by its id; without one only where a single key fits', () => {
    const second = makeKey('RS256', 'rs2')
    const two = readKeys({ keys: [jwkOf(rs), jwkOf(es)] })
    const three = readKeys({ keys: [jwkOf(rs), jwkOf(second), jwkOf(es)] })
    expect(chooseKey(two, 'RS256', 'rs')).toBeDefined()
    expect(chooseKey(two, 'RS256', 'es')).toBeUndefined()
    expect(chooseKey(two, 'RS256', 'other')).toBeUndefined()
    expect(chooseKey(two, 'RS256', undefined)).toBeDefined()
    expect(chooseKey(three, 'RS256', undefined)).toBeUndefined()
    expect(chooseKey(three, 'ES256', undefined)).toBeDefined()
    // The key says RS256, so it does not serve PS256.
    expect(chooseKey(two, 'PS256', 'rs')).toBeUndefined()
  })
})

describe('N3: a key set that is fetched', () => {
  function setUp() {
    const now = testClock()
    const served = { keys: [jwkOf(rs)] as Record<string, unknown>[], down: false, fetches: 0 }
    const set = new RemoteKeySet({
      name: 'main',
      now,
      log: silentLogger,
      refreshMs: 600_000,
      staleMaxMs: 86_400_000,
      cooldownMs: 30_000,
      async fetchKeys() {
        served.fetches++
        if (served.down) throw new IssuerUnreachable('down')
        return { keys: served.keys }
      },
    })
    return { now, served, set }
  }

  test('is asked for once, however many look up at the same time', async () => {
    const { set, served, now } = setUp()
    const found = await Promise.all([1, 2, 3].map(async () => set.find('RS256', 'rs', now())))
    expect(found.every((key) => key !== undefined)).toBe(true)
    expect(served.fetches).toBe(1)
    expect(set.find('RS256', 'rs', now())).not.toBeInstanceOf(Promise)
  })

  test('is fetched again for an unknown id, then not before the cooldown is over', async () => {
    const { set, served, now } = setUp()
    await set.refresh()
    served.keys = [jwkOf(rs), jwkOf(es)]
    expect(await set.find('ES256', 'es', now())).toBeDefined()
    expect(served.fetches).toBe(2)
    for (let i = 0; i < 100; i++) expect(await set.find('ES256', `made-up-${i}`, now())).toBeUndefined()
    expect(served.fetches).toBe(2)
    now.advance(29_999)
    expect(await set.find('ES256', 'made-up', now())).toBeUndefined()
    expect(served.fetches).toBe(2)
    now.advance(1)
    expect(await set.find('ES256', 'made-up', now())).toBeUndefined()
    expect(served.fetches).toBe(3)
  })

  test('is fetched in the background when it is old, and its version tells that keys have changed', async () => {
    const { set, served, now } = setUp()
    await set.refresh()
    const { version } = set
    now.advance(599_999)
    void set.find('RS256', 'rs', now())
    expect(served.fetches).toBe(1)
    now.advance(1)
    expect(set.find('RS256', 'rs', now())).not.toBeInstanceOf(Promise)
    await set.refresh()
    expect(served.fetches).toBe(2)
    expect(set.version).toBe(version)
    served.keys = [jwkOf(es)]
    now.advance(600_000)
    set.refreshIfOld(now())
    await set.refresh()
    expect(set.version).toBe(version + 1)
    expect(await set.find('RS256', 'rs', now())).toBeUndefined()
  })

  test('whose issuer is down fails, and heals without a restart', async () => {
    const { set, served, now } = setUp()
    served.down = true
    await set.refresh()
    await expect(async () => set.find('RS256', 'rs', now())).rejects.toThrow(IssuerUnreachable)
    expect(served.fetches).toBe(1)
    served.down = false
    now.advance(30_000)
    expect(await set.find('RS256', 'rs', now())).toBeDefined()
  })

  test('goes on with the keys it has while the issuer is down, for a day', async () => {
    const { set, served, now } = setUp()
    await set.refresh()
    served.down = true
    now.advance(86_399_999)
    expect(set.find('RS256', 'rs', now())).toBeDefined()
    await set.refresh()
    expect(await set.find('RS256', 'rs', now())).toBeDefined()
    // Whether an unknown key exists cannot be known now.
    await expect(async () => set.find('ES256', 'es', now())).rejects.toThrow(IssuerUnreachable)
    now.advance(1)
    await expect(async () => set.find('RS256', 'rs', now())).rejects.toThrow(IssuerUnreachable)
  })
})

test('a key set in this process forgets a dropped key at the next look, after however long, and knows a new one', () => {
  const now = testClock()
  let served: { keys: Record<string, unknown>[] } | undefined = { keys: [jwkOf(rs)] }
  let fetches = 0
  const set = new RemoteKeySet({
    name: 'tokenService',
    now,
    log: silentLogger,
    refreshMs: 1_000,
    staleMaxMs: 86_400_000,
    cooldownMs: 250,
    look: () => served,
    async fetchKeys() {
      fetches++
      return { keys: [] }
    },
  })
  expect(set.find('RS256', 'rs', now())).toBe(set.find('RS256', 'rs', now()))
  expect(set.find('RS256', 'rs', now())).toBeDefined()
  const { version } = set
  now.advance(40_000)
  served = { keys: [jwkOf(es)] }
  // What was verified before is compared with this.
  set.refreshIfOld(now())
  expect(set.version).toBe(version + 1)
  expect(set.find('RS256', 'rs', now())).toBeUndefined()
  expect(set.find('ES256', 'es', now())).toBeDefined()
  expect(fetches).toBe(0)
})

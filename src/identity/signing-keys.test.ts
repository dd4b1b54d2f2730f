import { decodeProtectedHeader, importJWK, jwtVerify, SignJWT } from 'jose'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testVault } from '../../test/kit/vault.ts'
import { silentLogger as log } from '../base/log.ts'
import { createSqliteStore } from '../store/sqlite.ts'
import type { Store, Value } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import {
  currentKeys,
  listSigningKeys,
  rotateSigningKeys,
  type SigningKeysOptions,
  signingKeysRecord,
} from './signing-keys.ts'

const hour = 3_600_000
const day = 24 * hour
const start = 1_800_000_000_000

describe('signing keys', () => {
  let store: Store
  let ring: KeyRing
  let at: number
  let options: SigningKeysOptions
  beforeEach(async () => {
    at = start
    const now = () => at
    store = createSqliteStore({ file: ':memory:', log, now })
    ring = await testVault(store, now)
    options = {
      store,
      ring,
      now,
      log,
      settings: { signing: 'ES256', keyLife: 90 * day, keyLead: hour, accessTtl: 600_000 },
    }
  })
  afterEach(async () => {
    ring.close()
    await store.close()
  })

  const kids = async () => (await currentKeys(options)).keys.map(({ kid }) => kid)
  const signs = async () => (await kids())[0]

  test('the first one is made when it is needed, and is the same for all that ask at once', async () => {
    const all = await Promise.all(Array.from({ length: 5 }, () => signs()))
    expect(new Set(all).size).toBe(1)
    expect((await listSigningKeys(store)).length).toBe(1)
  })

  test('the next one is published `keyLead` before it signs, the old one stays until its last token has ended', async () => {
    const first = await signs()
    at = start + 90 * day - hour - 1
    expect(await kids()).toEqual([first])
    at += 1
    const [signing, next] = await kids()
    expect([signing, next]).toEqual([first, expect.any(String)])
    at = start + 90 * day - 1
    expect(await signs()).toBe(first)
    at += 1
    expect(await kids()).toEqual([next, first])
    // An ID token of an hour, and clocks that differ by five minutes.
    at = start + 90 * day + hour + 299_999
    expect((await kids()).length).toBe(2)
    at += 1
    expect(await kids()).toEqual([next])
  })

  test('tells when it will be another one', async () => {
    await signs()
    const { changesAt } = await currentKeys(options)
    expect(changesAt).toBe(start + 90 * day - hour)
    at = changesAt
    expect((await currentKeys(options)).changesAt).toBe(start + 90 * day)
  })

  test('by hand: after `keyLead`, at once, or at once and without the old ones', async () => {
    const first = await signs()
    const later = await rotateSigningKeys(options)
    expect(await kids()).toEqual([first, later.kid])
    // One that has not signed yet is replaced, not kept.
    const instead = await rotateSigningKeys(options)
    expect(await kids()).toEqual([first, instead.kid])
    const soon = await rotateSigningKeys(options, { now: true })
    expect(await kids()).toEqual([soon.kid, first])
    const alone = await rotateSigningKeys(options, { drop: true })
    expect(await kids()).toEqual([alone.kid])
  })

  test.each(['ES256', 'PS256', 'RS256', 'EdDSA'] as const)(
    '%s: what it signs, the published half verifies',
    async (signing) => {
      options = { ...options, settings: { ...options.settings, signing } }
      const { keys, publicKeys } = await currentKeys(options)
      const key = await importJWK(keys[0] as never, signing)
      const token = await new SignJWT({ a: 1 }).setProtectedHeader({ alg: signing, kid: publicKeys[0]!.kid }).sign(key)
      await expect(jwtVerify(token, await importJWK(publicKeys[0] as never, signing))).resolves.toBeDefined()
      expect(decodeProtectedHeader(token).kid).toBe(keys[0]!.kid)
      for (const secret of ['d', 'p', 'q', 'dp', 'dq', 'qi']) expect(publicKeys[0]).not.toHaveProperty(secret)
    },
  )

  test('another algorithm takes over at once, and old tokens verify on', async () => {
    const first = await signs()
    options = { ...options, settings: { ...options.settings, signing: 'EdDSA' } }
    const { keys } = await currentKeys(options)
    expect(keys.map(({ alg }) => alg)).toEqual(['EdDSA', 'ES256'])
    expect(keys[1]!.kid).toBe(first)
  })

  test('private keys are sealed, and one that was moved or changed does not open', async () => {
    await signs()
    await rotateSigningKeys(options)
    const record = (await store.get(signingKeysRecord)) as { keys: { kid: string; sealed: string }[] }
    const { d } = (await currentKeys(options)).keys[0] as { d: string }
    expect(JSON.stringify(record)).not.toContain(d)
    const [one, two] = record.keys
    const swapped = { version: 1, keys: [{ ...one, sealed: two!.sealed }, two] }
    await store.put(signingKeysRecord, swapped as unknown as Value)
    await expect(currentKeys(options)).rejects.toThrow(/sealed/)
  })
})

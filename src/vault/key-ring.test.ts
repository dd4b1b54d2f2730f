import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { testVault } from '../../test/kit/vault.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { type KeyRing, SealBroken } from './key-ring.ts'

describe('a key ring', () => {
  let store: Store
  let ring: KeyRing
  beforeEach(async () => {
    store = await openStore('sqlite::memory:', { log: silentLogger })
    ring = await testVault(store)
  })
  afterEach(async () => {
    ring.close()
    await store.close()
  })

  test('opens what it sealed, and nowhere else', async () => {
    const sealed = await ring.seal('totp', Buffer.from('secret'), 'account/1')
    expect(Buffer.from(await ring.open('totp', sealed, 'account/1')).toString()).toBe('secret')
    await expect(ring.open('totp', sealed, 'account/2')).rejects.toThrow(SealBroken)
    await expect(ring.open('other', sealed, 'account/1')).rejects.toThrow(SealBroken)
  })
})

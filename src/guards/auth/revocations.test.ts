import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { silentLogger as log } from '../../base/log.ts'
import { revokeToken, tokenIdOf } from '../../credentials/revoked-tokens.ts'
import { createSqliteStore } from '../../store/sqlite.ts'
import type { Store } from '../../store/store.ts'
import { watchRevocations } from './revocations.ts'

const issuer = 'https://id.example.com'
const tokenOf = (jti: string) => ({ tokenId: tokenIdOf(issuer, jti), families: [], issuedMs: 0 })

let store: Store
beforeEach(() => {
  store = createSqliteStore({ file: ':memory:', log })
})
afterEach(async () => {
  vi.useRealTimers()
  await store.close()
})

test('a token that is revoked while the store cannot be read is refused as soon as it can be', async () => {
  let isDown = false
  const list: Store['list'] = async (...about) => {
    if (isDown) throw new Error('down')
    return store.list(...about)
  }
  const errors: string[] = []
  const watched = await watchRevocations({ ...store, list }, { ...log, error: (message) => errors.push(message) })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  isDown = true
  await revokeToken(store, issuer, 'stolen', 60_000)
  for (let i = 0; i < 3; i++) await vi.advanceTimersByTimeAsync(1_000)
  expect(watched.revocations.has(tokenOf('stolen'))).toBe(false)
  expect(errors).toHaveLength(1)
  isDown = false
  await vi.advanceTimersByTimeAsync(1_000)
  expect(watched.revocations.has(tokenOf('stolen'))).toBe(true)
  expect(watched.revocations.has(tokenOf('other'))).toBe(false)
  watched.close()
  expect(vi.getTimerCount()).toBe(0)
})

test('a watch that could not begin listens no more', async () => {
  let listeners = 0
  const counting: Store = {
    ...store,
    list: () => Promise.reject(new Error('down')),
    onChange(listener) {
      listeners++
      const stop = store.onChange(listener)
      return () => {
        listeners--
        stop()
      }
    },
  }
  await expect(watchRevocations(counting, log)).rejects.toThrow('down')
  expect(listeners).toBe(0)
})

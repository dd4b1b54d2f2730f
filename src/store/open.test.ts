import { describe, expect, test } from 'vitest'
import { ConfigError } from '../base/errors.ts'
import { silentLogger } from '../base/log.ts'
import { openCounters, openStore } from './open.ts'
import { StoreUnavailable } from './store.ts'

const options = { log: silentLogger }

describe('opening the store and the counters by URL', () => {
  test.each(['', 'sqlite:', 'mysql://root:secret-word@db/x', 'state.db', 'redis://secret-word@127.0.0.1'])(
    'refuses %j as a store and does not repeat it, for it may hold a password',
    async (url) => {
      const opening = openStore(url, options)
      await expect(opening).rejects.toThrow(ConfigError)
      await expect(opening).rejects.not.toThrow(/secret-word/)
      await expect(opening).rejects.toMatchObject({ code: 'P1040', hint: expect.stringContaining('sqlite:FILE') })
    },
  )

  test.each(['', 'redis', 'memory:', 'postgres://secret-word@db/x', 'redis://h?timeoutMs=0', 'redis://h?timeoutMs=x'])(
    'refuses %j as counters',
    async (url) => {
      await expect(openCounters(url, options)).rejects.toMatchObject({ code: 'P1041' })
    },
  )

  test('opens a store in memory and counters in memory', async () => {
    const store = await openStore('sqlite::memory:', options)
    await store.put('a', 1)
    expect(await store.get('a')).toBe(1)
    await store.close()
    const counters = await openCounters('memory', options)
    expect(await counters.take('a', { count: 1, windowMs: 1000 })).toMatchObject({ allowed: true })
    await counters.close()
  })

  test('says which server cannot be reached, in words', async () => {
    await expect(openStore('postgres://u:p@127.0.0.1:1/x', options)).rejects.toThrow(StoreUnavailable)
    await expect(openStore('postgres://u:p@127.0.0.1:1/x', options)).rejects.toThrow(/127\.0\.0\.1:1/)
  })
})

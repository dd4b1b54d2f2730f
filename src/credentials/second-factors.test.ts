import { expect, test } from 'vitest'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import { factorsPrefix } from './second-factors.ts'
import { createUsers } from './users.ts'

const cost = { memoryKiB: 64, passes: 1, lanes: 1 }

test.each(['totp', 'passkey/one'])(
  'a password alone is refused where its user has a second factor: %s',
  async (kind) => {
    const store = await openStore('sqlite::memory:', { log: silentLogger })
    const users = createUsers({ store, cost })
    await users.set('jo', 'correct horse')
    await store.put(`${factorsPrefix('jo')}recovery/one`, {})
    expect(await users.verify('jo', 'correct horse', '192.0.2.1', { passwordAlone: true })).toMatchObject({
      name: 'jo',
    })
    await store.put(factorsPrefix('jo') + kind, {})
    const ask = (password: string, options = {}) => users.verify('jo', password, '192.0.2.7', options)
    // Nothing is remembered of it, whoever may ask with the password alone.
    for (let i = 0; i < 4; i++) {
      expect(await ask('correct horse')).toEqual({ kind: 'refused', reason: 'second-factor' })
      expect(await ask('correct horse', { passwordAlone: true })).toMatchObject({ kind: 'verified' })
    }
    // Counted as a wrong one: else the lock would tell which is right.
    expect(await ask('wrong')).toEqual({ kind: 'refused', reason: 'mismatch' })
    expect(await ask('wrong')).toEqual({ kind: 'refused', reason: 'locked' })
    users.close()
    await store.close()
  },
)

test('without a factor, or with recovery codes alone, the password is enough', async () => {
  const store = await openStore('sqlite::memory:', { log: silentLogger })
  const users = createUsers({ store, cost })
  await users.set('jo', 'correct horse')
  await store.put(`${factorsPrefix('jo')}recovery/one`, {})
  await store.put(`${factorsPrefix('joe')}totp`, {})
  expect(await users.verify('jo', 'correct horse', '192.0.2.7')).toMatchObject({ kind: 'verified' })
  users.close()
  await store.close()
})

import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Service, services } from '../../test/services.ts'
import { until } from '../../test/until.ts'
import type { SecurityEvent } from '../base/events.ts'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import { type Store, StoreUnavailable } from '../store/store.ts'
import { type KeyRing, masterKeyOfText, openKeyRing, resealVault, SealBroken } from './index.ts'

const log = silentLogger
const old = Buffer.alloc(32, 1).toString('base64')
const other = Buffer.alloc(32, 2).toString('base64')
const noPostgres = await services.missing('postgres')

interface Bench {
  /** Another handle, as another process would have it. */
  open(): Promise<Store>
  close(): Promise<void>
}

async function sqliteBench(): Promise<Bench> {
  const folder = mkdtempSync(join(tmpdir(), 'vault-'))
  return {
    open: () => openStore(`sqlite:${folder}/state.db`, { log }),
    async close() {
      rmSync(folder, { recursive: true })
    },
  }
}

async function postgresBench(): Promise<Bench> {
  const service: Service = await services.postgres()
  return { open: () => openStore(service.url, { log }), close: () => service.close() }
}

describe.each([
  { name: 'SQLite', create: sqliteBench, skip: false as string | false },
  { name: 'PostgreSQL', create: postgresBench, skip: noPostgres },
])('a key ring in $name', ({ create, skip }) => {
  describe.skipIf(skip)('shared by several processes', () => {
    let bench: Bench
    let store: Store
    let now: number
    let events: SecurityEvent[]
    const closing: (() => Promise<void>)[] = []

    async function ring(text = old, on: Store = store): Promise<KeyRing> {
      const one = await openKeyRing({
        store: on,
        master: masterKeyOfText(text, 'test'),
        now: () => now,
        log,
        tell: (event) => events.push(event),
      })
      closing.push(async () => one.close())
      return one
    }
    async function elsewhere(text = old): Promise<KeyRing> {
      const on = await bench.open()
      closing.push(() => on.close())
      return ring(text, on)
    }
    const text = async (opened: Promise<Uint8Array>) => Buffer.from(await opened).toString()
    const reasonOf = (work: Promise<unknown>) =>
      work.then(
        () => 'opened',
        (error: unknown) => (error instanceof SealBroken ? error.reason : String(error)),
      )
    const plain = Buffer.from('the plaintext')

    beforeAll(async () => {
      bench = await create()
    })
    afterAll(() => bench?.close())
    beforeEach(async () => {
      now = 1_700_000_000_000
      events = []
      store = await bench.open()
    })
    afterEach(async () => {
      for (const close of closing.splice(0).reverse()) await close()
      for (const { key } of await store.list('vault/', { limit: 1_000 })) await store.delete(key)
      await store.close()
    })

    test('opens what it sealed, in every process, and nowhere else', async () => {
      const [here, there] = [await ring(), await elsewhere()]
      const sealed = await here.seal('totp', plain, 'account/1')
      expect(sealed).not.toContain(plain.toString('base64url'))
      expect(await text(there.open('totp', sealed, 'account/1'))).toBe('the plaintext')
      expect(await reasonOf(there.open('totp', sealed, 'account/2'))).toBe('not-authentic')
      // A purpose of another name has other keys.
      expect(await reasonOf(there.open('other', sealed, 'account/1'))).toBe('unknown-key')
    })

    test('agrees on one first key when all processes need it at once', async () => {
      const rings = await Promise.all([ring(), elsewhere(), elsewhere(), elsewhere()])
      const secrets = await Promise.all(rings.map((one) => one.secret('cookies', 32)))
      expect(new Set(secrets.map((secret) => Buffer.from(secret).toString('hex'))).size).toBe(1)
      expect((await rings[0]!.list()).map(({ keys }) => keys.length)).toEqual([1])
    })

    test('agrees on one root key when all processes open an empty store at once', async () => {
      const rings = await Promise.all([ring(), elsewhere(), elsewhere()])
      const sealed = await rings[1]!.seal('a', plain, '')
      for (const one of rings) expect(await text(one.open('a', sealed, ''))).toBe('the plaintext')
    })

    test('seals with a new key after a rotation elsewhere, within a second, and opens what the old one sealed', async () => {
      const [here, there] = [await ring(), await elsewhere()]
      const before = await here.seal('totp', plain, 'x')
      await there.open('totp', before, 'x')
      const id = await there.rotate('totp')
      const started = performance.now()
      await until(async () => (await here.seal('totp', plain, 'x')).includes(`.${id}.`))
      expect(performance.now() - started).toBeLessThan(1_000)
      for (const one of [here, there]) expect(await text(one.open('totp', before, 'x'))).toBe('the plaintext')
      now += 365 * 86_400_000
      await here.sweep()
      expect(await text(here.open('totp', before, 'x'))).toBe('the plaintext')
    })

    test('opens with the old key until its grace is over, not a millisecond longer, and destroys it then', async () => {
      const [here, there] = [await ring(), await elsewhere()]
      const before = await here.seal('token', plain, 'x')
      const id = await here.rotate('token', { graceMs: 60_000 })
      const after = await here.seal('token', plain, 'x')
      await until(async () => (await there.seal('token', plain, 'x')).includes(`.${id}.`))
      now += 59_999
      for (const one of [here, there]) expect(await text(one.open('token', before, 'x'))).toBe('the plaintext')
      now += 1
      for (const one of [here, there]) expect(await reasonOf(one.open('token', before, 'x'))).toBe('unknown-key')
      expect(await text(here.open('token', after, 'x'))).toBe('the plaintext')
      await here.sweep()
      expect((await here.list())[0]!.keys.map((key) => key.id)).toEqual([id])
      expect(events.map(({ event }) => event)).toContain('vault.key-destroyed')
    })

    test('never opens again what a destroyed key sealed, in any process', async () => {
      const [here, there] = [await ring(), await elsewhere()]
      const sealed = await here.seal('field/shop/card', plain, 'x')
      await there.open('field/shop/card', sealed, 'x')
      const gone = await there.destroy('field/shop/card')
      expect(sealed).toContain(`.${gone[0]}.`)
      await until(async () => (await reasonOf(here.open('field/shop/card', sealed, 'x'))) === 'unknown-key')
      expect(await reasonOf((await elsewhere()).open('field/shop/card', sealed, 'x'))).toBe('unknown-key')
      // Whoever seals goes on, with another key.
      const next = await here.seal('field/shop/card', plain, 'x')
      expect(await text(there.open('field/shop/card', next, 'x'))).toBe('the plaintext')
      expect(events).toContainEqual({
        event: 'vault.key-destroyed',
        id: gone[0],
        detail: { purpose: 'field/shop/card' },
      })
    })

    test('gives the newest secret first, and old ones until their grace is over', async () => {
      const here = await ring()
      const first = await here.secret('cookies', 16)
      await here.rotate('cookies', { graceMs: 1_000 })
      const [second, kept, none] = await here.secrets('cookies', 16)
      expect(second).not.toEqual(first)
      expect(kept).toEqual(first)
      expect(none).toBeUndefined()
      now += 1_000
      expect(await here.secrets('cookies', 16)).toEqual([second])
      expect(await here.secret('cookies', 32)).toHaveLength(32)
    })

    test('followed secrets are those of now: after a rotation elsewhere within a second, and none beyond its grace', async () => {
      const [here, there] = [await ring(), await elsewhere()]
      const followed = await here.followed('cookies', 16)
      const [first] = followed.now()
      expect(followed.now()).toEqual(await there.secrets('cookies', 16))
      expect(followed.now()).toBe(followed.now())
      await there.rotate('cookies', { graceMs: 60_000 })
      const started = performance.now()
      await until(async () => followed.now().length === 2)
      expect(performance.now() - started).toBeLessThan(1_000)
      const second = await there.secret('cookies', 16)
      expect(followed.now()).toEqual([second, first])
      now += 59_999
      expect(followed.now()).toEqual([second, first])
      now += 1
      expect(followed.now()).toEqual([second])
    })

    test('opens no vault with another master key, and writes nothing', async () => {
      const here = await ring()
      await here.seal('totp', plain, 'x')
      const before = await store.list('', { limit: 100 })
      await expect(elsewhere(other)).rejects.toMatchObject({ name: 'ConfigError', code: 'P1052' })
      expect(await store.list('', { limit: 100 })).toEqual(before)
    })

    test('holds no key in the open: neither the master key nor what it wraps stands in the store', async () => {
      const here = await ring()
      const secret = Buffer.from(await here.secret('cookies', 32))
      const stored = JSON.stringify(await store.list('', { limit: 100 }))
      for (const form of ['hex', 'base64', 'base64url'] as const) {
        expect(stored).not.toContain(secret.toString(form))
        expect(stored).not.toContain(Buffer.alloc(32, 1).toString(form).slice(0, 40))
      }
    })

    test('is sealed anew with another master key: the old one opens nothing, everything else opens', async () => {
      const here = await ring()
      const sealed = await here.seal('totp', plain, 'x')
      const roots = JSON.stringify(await store.get('vault/root'))
      const keys = () => ({ from: masterKeyOfText(old, 'old'), to: masterKeyOfText(other, 'new') })
      expect(await resealVault({ store, ...keys(), now: () => now })).toEqual({ isNew: true, purposes: 1 })
      expect(JSON.stringify(await store.get('vault/root'))).not.toBe(roots)
      await expect(elsewhere(old)).rejects.toMatchObject({ code: 'P1052' })
      expect(await text((await elsewhere(other)).open('totp', sealed, 'x'))).toBe('the plaintext')
      // One that runs goes on with the keys it has, and makes none that would be lost.
      expect(await text(here.open('totp', sealed, 'x'))).toBe('the plaintext')
      await until(async () => (await reasonOf(here.rotate('totp'))).startsWith('StoreUnavailable'))
      // Begun again, there is nothing left to do; and backwards it does not go by accident.
      expect(await resealVault({ store, ...keys(), now: () => now })).toEqual({ isNew: false, purposes: 0 })
    })

    test('is finished by the next run wherever a new sealing was interrupted', async () => {
      const here = await ring()
      const sealed = new Map<string, string>()
      for (let i = 0; i < 5; i++) sealed.set(`p${i}`, await here.seal(`p${i}`, plain, 'x'))
      let puts = 0
      for (let stopAt = 1; stopAt < 20; stopAt++) {
        const [from, to] = stopAt % 2 === 1 ? [old, other] : [other, old]
        const stopping: Store = {
          ...store,
          async put(...put) {
            if (++puts >= stopAt) throw new Error('killed')
            return store.put(...put)
          },
        }
        puts = 0
        const keys = () => ({ from: masterKeyOfText(from, 'old'), to: masterKeyOfText(to, 'new') })
        const first = await resealVault({ store: stopping, ...keys(), now: () => now }).catch(() => undefined)
        // Before the next run, exactly one of both keys opens everything.
        const opens = await Promise.all(
          [from, to].map(
            async (key) =>
              (await ring(key).then(
                () => true,
                () => false,
              )) && key,
          ),
        )
        const [working, ...more] = opens.filter((key) => key !== false)
        expect(more).toEqual([])
        const now1 = await ring(working)
        for (const [purpose, value] of sealed) expect(await text(now1.open(purpose, value, 'x'))).toBe('the plaintext')
        await resealVault({ store, ...keys(), now: () => now })
        const now2 = await ring(to)
        for (const [purpose, value] of sealed) expect(await text(now2.open(purpose, value, 'x'))).toBe('the plaintext')
        if (first !== undefined) break
      }
      expect(puts).toBeGreaterThan(5)
    })

    test('gives a key a successor before it has sealed too often, and counts over processes', async () => {
      const make = async (on: Store) => {
        const one = await openKeyRing({
          store: on,
          master: masterKeyOfText(old, 'test'),
          now: () => now,
          log,
          usesMax: 2 * 2 ** 20,
        })
        closing.push(async () => one.close())
        return one
      }
      const here = await make(store)
      const first = await here.seal('totp', plain, 'x')
      const id = first.split('.')[1]
      expect((await here.seal('totp', plain, 'x')).split('.')[1]).toBe(id)
      const on = await bench.open()
      closing.push(() => on.close())
      const there = await make(on)
      await there.seal('totp', plain, 'x')
      await until(async () => (await here.seal('totp', plain, 'x')).split('.')[1] !== id)
      expect(await text(there.open('totp', first, 'x'))).toBe('the plaintext')
    })

    test('goes on with the keys it has while the store does not answer, and says so where it has none', async () => {
      let down = false
      const failing = (): never => {
        throw new StoreUnavailable('down')
      }
      const flaky: Store = {
        ...store,
        get: (key) => (down ? failing() : store.get(key)),
        add: async (...given) => (down ? failing() : store.add(...given)),
      }
      const here = await ring(old, flaky)
      const sealed = await here.seal('totp', plain, 'x')
      down = true
      await expect(here.sweep()).resolves.toBeUndefined()
      expect(await text(here.open('totp', sealed, 'x'))).toBe('the plaintext')
      expect(await here.seal('totp', plain, 'x')).toMatch(/^pv1\./)
      await expect(here.seal('other', plain, 'x')).rejects.toBeInstanceOf(StoreUnavailable)
    })
  })
})

describe('what a key ring seals', () => {
  let store: Store
  let ring: KeyRing
  beforeAll(async () => {
    store = await openStore('sqlite::memory:', { log })
    ring = await openKeyRing({ store, master: masterKeyOfText(old, 'test'), now: Date.now, log })
  })
  afterAll(async () => {
    ring.close()
    await store.close()
  })
  const bytes = () => fc.uint8Array({ maxLength: 300 })

  test('is what was put in, for any bytes and any context', async () => {
    const sealer = await ring.sealer('a')
    fc.assert(
      fc.property(bytes(), fc.string(), fc.boolean(), (plain, context, same) => {
        const sealed = same ? sealer.sealSame(plain, context) : sealer.seal(plain, context)
        expect(Buffer.from(sealer.open(sealed, context))).toEqual(Buffer.from(plain))
      }),
    )
  })

  test('does not open with any bit changed', async () => {
    const sealer = await ring.sealer('a')
    fc.assert(
      fc.property(bytes(), fc.boolean(), fc.nat(), fc.nat(), (plain, same, position, bit) => {
        const sealed = Buffer.from(same ? sealer.sealSame(plain, 'c') : sealer.seal(plain, 'c'))
        const at = position % sealed.length
        sealed[at] = sealed[at]! ^ (1 << (bit % 8))
        expect(() => sealer.open(sealed.toString('latin1'), 'c')).toThrow(SealBroken)
      }),
      { numRuns: 2_000 },
    )
  })

  test('does not open cut short, in another context or under another name', async () => {
    const [sealer, other] = [await ring.sealer('a'), await ring.sealer('b')]
    fc.assert(
      fc.property(bytes(), fc.string(), fc.string(), fc.nat(), (plain, context, moved, cut) => {
        fc.pre(context !== moved)
        const sealed = sealer.seal(plain, context)
        expect(() => sealer.open(sealed, moved)).toThrow(SealBroken)
        expect(() => other.open(sealed, context)).toThrow(SealBroken)
        expect(() => sealer.open(sealed.slice(0, cut % sealed.length), context)).toThrow(SealBroken)
      }),
    )
  })

  test('is another text each time, or the same for look-ups, and tells no more than that', async () => {
    const sealer = await ring.sealer('a')
    const plain = Buffer.from('jane@example.com')
    expect(sealer.seal(plain, 'c')).not.toBe(sealer.seal(plain, 'c'))
    expect(sealer.sealSame(plain, 'c')).toBe(sealer.sealSame(plain, 'c'))
    expect(sealer.sealSame(plain, 'c')).not.toBe(sealer.sealSame(plain, 'd'))
    // One byte more changes everything behind the id of the key, the nonce included.
    const [one, two] = [plain, Buffer.from('jane@example.con')].map((text) => sealer.sealSame(text, 'c').split('.')[2]!)
    expect(one!.slice(0, 16)).not.toBe(two!.slice(0, 16))
  })

  test.each(['', 'pv1', 'pv1..', 'pv2.aaaaaaaaaaaa.bbbb', 'plain text', `pv1.${'a'.repeat(12)}.${'b'.repeat(99)}`])(
    'does not open %j',
    async (text) => {
      const sealer = await ring.sealer('a')
      expect(() => sealer.open(text, 'c')).toThrow(SealBroken)
    },
  )

  test.each(['', 'a b', 'a\0b', 'é', 'a'.repeat(201)])('has no purpose of a name such as "%s"', async (name) => {
    await expect(ring.seal(name, Buffer.alloc(1), '')).rejects.toThrow(TypeError)
  })
})

import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { until } from '../../test/until.ts'
import type { Clock } from '../base/clock.ts'
import { compareKeys, type Store, StoreUnavailable, type Value } from './store.ts'

/** How the suite gets at a driver. */
export interface StoreBench {
  /** Another handle on the same data, as another process would have it. */
  open(options?: { readonly now?: Clock }): Promise<Store>
  /** Forgets all data. Every handle is closed. */
  clear(): Promise<void>
  close(): Promise<void>
}

export interface StoreContractOptions {
  /** Why the driver cannot be tried here; `false` when it can. */
  readonly skip?: string | false
  /** Whether two handles see the same data; not so for a store in memory. */
  readonly shared?: boolean
}

/** What every store does, whatever it is made of. */
export function storeContract(
  name: string,
  create: () => Promise<StoreBench>,
  { skip = false, shared = true }: StoreContractOptions = {},
): void {
  describe.skipIf(skip)(`store contract: ${name}`, () => {
    let bench: StoreBench
    let store: Store
    let now: number
    const opened: Store[] = []
    const open = async () => {
      const one = await bench.open({ now: () => now })
      opened.push(one)
      return one
    }

    beforeAll(async () => {
      bench = await create()
    })
    afterAll(() => bench?.close())
    beforeEach(async () => {
      now = 1_700_000_000_000
      store = await open()
    })
    afterEach(async () => {
      await Promise.all(opened.splice(0).map((one) => one.close()))
      await bench.clear()
    })

    test('has nothing under a key that was never written', async () => {
      expect(await store.get('a')).toBeUndefined()
      expect(await store.delete('a')).toBe(false)
      expect(await store.list('', { limit: 10 })).toEqual([])
    })

    test('gives back what was written, and the newer value once it was overwritten', async () => {
      expect(await store.put('a', { n: 1 })).toBe(true)
      expect(await store.get('a')).toEqual({ n: 1 })
      expect(await store.put('a', [2])).toBe(true)
      expect(await store.get('a')).toEqual([2])
      expect(await store.delete('a')).toBe(true)
      expect(await store.get('a')).toBeUndefined()
    })

    test('keeps any JSON value under any key unchanged', async () => {
      const key = fc.string({ unit: 'binary', minLength: 1, maxLength: 40 }).filter((text) => !text.includes('\0'))
      await fc.assert(
        fc.asyncProperty(key, fc.jsonValue({ noUnicodeString: false } as object), async (key, value) => {
          await store.put(key, value as Value)
          expect(JSON.stringify(await store.get(key))).toBe(JSON.stringify(value))
        }),
        { numRuns: 60 },
      )
    })

    test.each([
      ['NUL within text', 'a\0b'],
      ['a lone surrogate', '\ud800'],
      ['a key named __proto__', JSON.parse('{"__proto__":{"admin":true}}')],
      ['a number past 2^53', 2 ** 60],
      ['null', null],
    ])('keeps %s', async (_, value) => {
      await store.put('k', value)
      expect(JSON.stringify(await store.get('k'))).toBe(JSON.stringify(value))
    })

    test.each([
      ['empty', ''],
      ['with NUL', 'a\0b'],
      ['with a lone surrogate', 'a\ud800'],
      ['of 1,025 bytes', `${'é'.repeat(512)}a`],
    ])('refuses a key %s as the mistake it is', async (_, key) => {
      await expect((async () => store.get(key))()).rejects.toThrow(TypeError)
      await expect(store.put(key, 1)).rejects.toThrow(TypeError)
      await expect(store.delete(key)).rejects.toThrow(TypeError)
      await expect(store.add(key, 1)).rejects.toThrow(TypeError)
    })

    test('takes a key of 1,024 bytes', async () => {
      const key = 'é'.repeat(512)
      await store.put(key, 1)
      expect(await store.get(key)).toBe(1)
    })

    test('refuses a value that JSON cannot carry', async () => {
      await expect(store.put('a', undefined as unknown as Value)).rejects.toThrow(TypeError)
      await expect(store.put('a', 'x'.repeat(1_000_001))).rejects.toThrow(TypeError)
    })

    test('holds a value until its time is over, and not at that moment', async () => {
      await store.put('a', 1, { ttlMs: 1000 })
      now += 999
      expect(await store.get('a')).toBe(1)
      expect(await store.list('a', { limit: 1 })).toHaveLength(1)
      now += 1
      expect(await store.get('a')).toBeUndefined()
      expect(await store.list('a', { limit: 1 })).toEqual([])
      expect(await store.delete('a')).toBe(false)
    })

    test('a write without an end replaces one with an end for good', async () => {
      await store.put('a', 1, { ttlMs: 1000 })
      await store.put('a', 2)
      now += 1_000_000_000
      expect(await store.get('a')).toBe(2)
    })

    test('onlyIfAbsent writes where there is nothing, or only what has ended', async () => {
      expect(await store.put('a', 1, { onlyIfAbsent: true, ttlMs: 1000 })).toBe(true)
      expect(await store.put('a', 2, { onlyIfAbsent: true })).toBe(false)
      expect(await store.get('a')).toBe(1)
      now += 1000
      expect(await store.put('a', 3, { onlyIfAbsent: true })).toBe(true)
      expect(await store.get('a')).toBe(3)
    })

    test('onlyIfEquals writes where exactly that stands', async () => {
      const value: Value = { b: 1, a: [null, 'x'], 7: 1.5 }
      expect(await store.put('a', 1, { onlyIfEquals: value })).toBe(false)
      await store.put('a', value)
      expect(await store.put('a', 1, { onlyIfEquals: { ...value, b: 2 } })).toBe(false)
      expect(await store.put('a', { now: 2 }, { onlyIfEquals: (await store.get('a'))! })).toBe(true)
      expect(await store.get('a')).toEqual({ now: 2 })
      await store.put('a', null, { ttlMs: 10 })
      now += 10
      expect(await store.put('a', 1, { onlyIfEquals: null })).toBe(false)
    })

    test('refuses conditions that cannot both hold', async () => {
      await expect(store.put('a', 1, { onlyIfAbsent: true, onlyIfEquals: 1 })).rejects.toThrow(TypeError)
    })

    test('lists by prefix, in the order of code points, page by page', async () => {
      const keys = ['a', 'a/', 'a/1', 'a/10', 'a/2', 'a/\ue000', 'a/😀', 'a/\u{10ffff}x', 'a0', 'b/1']
      for (const key of keys.toReversed()) await store.put(key, key)
      const within = keys.filter((key) => key.startsWith('a/')).sort(compareKeys)
      const first = await store.list('a/', { limit: 3 })
      expect(first.map(({ key }) => key)).toEqual(within.slice(0, 3))
      const rest = await store.list('a/', { limit: 10, after: first.at(-1)!.key })
      expect(rest.map(({ key }) => key)).toEqual(within.slice(3))
      expect(rest.map(({ value }) => value)).toEqual(within.slice(3))
      expect((await store.list('a/', { limit: 1, after: 'a' })).map(({ key }) => key)).toEqual(['a/'])
      expect(await store.list('a/', { limit: 1, after: 'b' })).toEqual([])
    })

    test.each([0, -1, 1.5, 10_001, Number.NaN])('refuses to list %s entries', async (limit) => {
      await expect(store.list('a', { limit })).rejects.toThrow(TypeError)
    })

    test('behaves as a map with ends, whatever is done in whatever order', async () => {
      const key = fc.constantFrom('a', 'a/b', 'a/c', 'b')
      const ttlMs = fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined })
      const step = fc.oneof(
        fc.record({
          do: fc.constant('put' as const),
          key,
          value: fc.integer({ min: 0, max: 2 }),
          ttlMs,
          absent: fc.boolean(),
        }),
        fc.record({
          do: fc.constant('swap' as const),
          key,
          value: fc.integer({ min: 0, max: 2 }),
          old: fc.integer({ min: 0, max: 2 }),
        }),
        fc.record({ do: fc.constant('delete' as const), key }),
        fc.record({ do: fc.constant('add' as const), key, value: fc.integer({ min: -3, max: 3 }), ttlMs }),
        fc.record({ do: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 4 }) }),
        fc.record({
          do: fc.constant('list' as const),
          prefix: fc.constantFrom('', 'a', 'a/', 'c'),
          after: fc.option(key, { nil: undefined }),
        }),
      )
      await fc.assert(
        fc.asyncProperty(fc.array(step, { maxLength: 25 }), async (steps) => {
          for (const each of ['a', 'a/b', 'a/c', 'b']) await store.delete(each)
          const model = new Map<string, { value: number; end: number }>()
          const at = (key: string) => {
            const found = model.get(key)
            return found !== undefined && found.end > now ? found : undefined
          }
          const endOf = (ttlMs: number | undefined) => (ttlMs === undefined ? Number.POSITIVE_INFINITY : now + ttlMs)
          const options = (ttlMs: number | undefined) => (ttlMs === undefined ? {} : { ttlMs })
          for (const step of steps) {
            if (step.do === 'wait') now += step.ms
            else if (step.do === 'put') {
              const writes = !step.absent || at(step.key) === undefined
              expect(await store.put(step.key, step.value, { ...options(step.ttlMs), onlyIfAbsent: step.absent })).toBe(
                writes,
              )
              if (writes) model.set(step.key, { value: step.value, end: endOf(step.ttlMs) })
            } else if (step.do === 'swap') {
              const writes = at(step.key)?.value === step.old
              expect(await store.put(step.key, step.value, { onlyIfEquals: step.old })).toBe(writes)
              if (writes) model.set(step.key, { value: step.value, end: endOf(undefined) })
            } else if (step.do === 'delete') {
              expect(await store.delete(step.key)).toBe(at(step.key) !== undefined)
              model.delete(step.key)
            } else if (step.do === 'add') {
              const before = at(step.key) ?? { value: 0, end: endOf(step.ttlMs) }
              expect(await store.add(step.key, step.value, options(step.ttlMs))).toBe(before.value + step.value)
              model.set(step.key, { value: before.value + step.value, end: before.end })
            } else {
              const { prefix, after } = step
              const expected = [...model.keys()]
                .filter(
                  (key) => at(key) !== undefined && key.startsWith(prefix) && (after === undefined || key > after),
                )
                .sort()
              const listed = await store.list(prefix, { limit: 100, ...(after === undefined ? {} : { after }) })
              expect(listed.map(({ key }) => key)).toEqual(expected)
            }
            for (const key of ['a', 'a/b', 'a/c', 'b']) expect(await store.get(key)).toEqual(at(key)?.value)
          }
        }),
        { numRuns: 25 },
      )
    })

    test('adds from nothing, and counts the time from the first add', async () => {
      expect(await store.add('n', 2, { ttlMs: 1000 })).toBe(2)
      now += 999
      expect(await store.add('n', 0.5, { ttlMs: 1000 })).toBe(2.5)
      now += 1
      expect(await store.add('n', -1, { ttlMs: 1000 })).toBe(-1)
      expect(await store.get('n')).toBe(-1)
    })

    test('refuses to add to what is no number, and leaves it alone', async () => {
      for (const value of ['5', true, null, [1], {}] as Value[]) {
        await store.put('a', value)
        await expect(store.add('a', 1)).rejects.toThrow(TypeError)
        expect(await store.get('a')).toEqual(value)
      }
      await store.put('a', Number.MAX_VALUE)
      await expect(store.add('a', Number.MAX_VALUE)).rejects.toThrow(TypeError)
      await expect(store.add('a', Number.NaN)).rejects.toThrow(TypeError)
    })

    test('tells of a write before its promise settles, and not after the listener left', async () => {
      const told: (string | undefined)[] = []
      const stop = store.onChange((key) => told.push(key))
      await store.put('a', 1)
      expect(told).toContain('a')
      await store.delete('a')
      expect(told.filter((key) => key === 'a').length).toBeGreaterThanOrEqual(2)
      stop()
      const before = told.length
      await store.put('b', 1)
      expect(told).toHaveLength(before)
    })

    test('a listener that fails keeps no other from hearing', async () => {
      const told: (string | undefined)[] = []
      store.onChange(() => {
        throw new Error('broken')
      })
      store.onChange((key) => told.push(key))
      await store.put('a', 1)
      expect(told).toContain('a')
    })

    test('answers a ping; says it is unavailable once it is closed', async () => {
      await store.ping()
      await store.close()
      await expect(store.ping()).rejects.toThrow(StoreUnavailable)
      await expect((async () => store.get('a'))()).rejects.toThrow(StoreUnavailable)
      await expect(store.put('a', 1)).rejects.toThrow(StoreUnavailable)
      await store.close()
    })

    describe.skipIf(!shared)('with several handles on the same data', () => {
      test('one reads at once what another was told is written', async () => {
        const other = await open()
        for (let i = 0; i < 50; i++) {
          await store.put('a', i)
          expect(await other.get('a')).toBe(i)
        }
      })

      test('sums of four that add at the same time are exact', async () => {
        const all = [store, await open(), await open(), await open()]
        const sums = await Promise.all(all.flatMap((one) => Array.from({ length: 25 }, () => one.add('n', 1))))
        expect(sums.sort((a, b) => a - b)).toEqual(Array.from({ length: 100 }, (_, i) => i + 1))
      })

      test('one alone wins a race for an absent key, and one alone a race for a change', async () => {
        const all = [store, await open(), await open(), await open()]
        const wins = async (options: (i: number) => Promise<boolean>) =>
          (await Promise.all(all.map((_, i) => options(i)))).filter(Boolean).length
        expect(await wins((i) => all[i]!.put('a', i, { onlyIfAbsent: true }))).toBe(1)
        const old = (await store.get('a'))!
        expect(await wins((i) => all[i]!.put('a', { by: i }, { onlyIfEquals: old }))).toBe(1)
      })

      test('tells of what another wrote or deleted, by key, within a second', async () => {
        const other = await open()
        const told: (string | undefined)[] = []
        store.onChange((key) => told.push(key))
        // A driver that has just begun to listen may first say that anything may have changed.
        await other.put('first', 1)
        await until(() => told.includes('first') || told.includes(undefined))
        told.length = 0
        const since = performance.now()
        await other.put('a', 1)
        await until(() => told.includes('a'))
        await other.delete('a')
        await until(() => told.filter((key) => key === 'a').length >= 2)
        expect(performance.now() - since).toBeLessThan(1_000)
        await other.add('n', 1)
        await other.put('last', 1)
        await until(() => told.includes('last'))
        expect(told).not.toContain('n')
      })
    })
  })
}

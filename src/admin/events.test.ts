import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../base/log.ts'
import { openStore } from '../store/open.ts'
import type { Store } from '../store/store.ts'
import { createEventBook } from './events.ts'

const log = silentLogger
let store: Store
let now: number

beforeEach(async () => {
  now = 1_700_000_000_000
  store = await openStore('sqlite::memory:', { log, now: () => now })
})
afterEach(() => store.close())

/** What is written without waiting is written before what is asked for after it. */
const settled = () => store.put('test', true)

test('events are read newest first, page by page, by every process of the store, for three days', async () => {
  const [one, two] = [1, 2].map(() => createEventBook({ store, now: () => now, log }))
  for (let i = 0; i < 5; i++) {
    now++
    one!.add({ event: 'account.locked', id: `${i}` })
  }
  await settled()
  const ids: (string | undefined)[] = []
  let after: string | undefined
  do {
    const { events, next } = await two!.recent({ limit: 2, ...(after === undefined ? {} : { after }) })
    ids.push(...events.map(({ id }) => id))
    after = next
  } while (after !== undefined)
  expect(ids).toEqual(['4', '3', '2', '1', '0'])
  now += 3 * 86_400_000 + 1
  expect((await two!.recent({ limit: 10 })).events).toEqual([])
})

test('a flood writes no more than its share, and one event that is too long nothing', async () => {
  const book = createEventBook({ store, now: () => now, log })
  book.add({ event: 'account.locked', detail: { text: 'x'.repeat(20_000) } })
  for (let i = 0; i < 10_000; i++) book.add({ event: 'sign-in.flood' })
  await settled()
  const first = (await book.recent({ limit: 1_000 })).events.length
  expect(first).toBeGreaterThan(100)
  expect(first).toBeLessThanOrEqual(200)
  now += 60_000
  for (let i = 0; i < 10_000; i++) book.add({ event: 'sign-in.flood' })
  await settled()
  expect((await book.recent({ limit: 1_000 })).events.length - first).toBe(60)
})

test('a store that is down costs the list, and nobody waits or fails for it', async () => {
  const warned: string[] = []
  const book = createEventBook({
    store: { ...store, put: () => Promise.reject(new Error('down')) },
    now: () => now,
    log: { ...log, warn: (message) => warned.push(message) },
  })
  for (let i = 0; i < 5; i++) book.add({ event: 'account.locked' })
  await new Promise((resolve) => setImmediate(resolve))
  expect(warned).toHaveLength(1)
  expect((await book.recent({ limit: 10 })).events).toEqual([])
})

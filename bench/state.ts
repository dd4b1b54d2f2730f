/*
 * What state costs a request: a key among a million, a take from the counters. `node bench/state.ts [keys]`.
 * Not part of `npm run bench`, which measures the whole gate.
 */
import { hash, timingSafeEqual } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { silentLogger } from '../src/base/log.ts'
import { createApiKeys } from '../src/credentials/api-keys.ts'
import { constantTimeEqual } from '../src/credentials/secret.ts'
import { createMemoryCounters } from '../src/store/counters-memory.ts'
import { openStore } from '../src/store/open.ts'

const keysMax = Number(process.argv[2] ?? 1_000_000)
/** Whole keys that the measurement asks for; the rest only fills the table. */
const askedMax = 100_000

/** The least of five rounds, in microseconds per call: what the work costs when nobody disturbs it. */
function measure(name: string, calls: number, work: (i: number) => unknown): void {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 5; round++) {
    const since = performance.now()
    for (let i = 0; i < calls; i++) work(i)
    least = Math.min(least, ((performance.now() - since) * 1000) / calls)
  }
  console.log(`${name.padEnd(58)} ${least.toFixed(2).padStart(8)} µs`)
}

const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
const file = join(dir, 'state.db')
const store = await openStore(`sqlite:${file}`, { log: silentLogger })
try {
  const issuer = createApiKeys({ store })
  const asked: string[] = []
  for (let i = 0; i < askedMax; i += 1000) {
    const batch = Array.from({ length: 1000 }, (_, j) =>
      issuer.create({ name: `key ${i + j}`, scopes: ['orders:read'] }),
    )
    for (const { key } of await Promise.all(batch)) asked.push(key)
  }
  const like = JSON.stringify(await store.get(`api-key/${asked[0]!.slice(4, 16)}`))
  const raw = new DatabaseSync(file, { timeout: 10_000 })
  raw.exec('BEGIN')
  const insert = raw.prepare('INSERT OR IGNORE INTO entries (key, value) VALUES (?, ?)')
  for (let i = askedMax; i < keysMax; i++)
    insert.run(`api-key/${hash('sha1', String(i), 'base64url').slice(0, 12)}`, like)
  raw.exec('COMMIT')
  raw.close()
  // Visits the keys in an order in which a cache smaller than them never helps.
  const order = asked.map((_, i) => asked[(i * 7919) % asked.length]!)

  const before = process.memoryUsage.rss()
  const keys = createApiKeys({ store })
  for (const key of order) if ((await keys.verify(key)).kind !== 'verified') throw new Error('a key was refused')
  measure(`key, seen lately, among ${keysMax}`, 20_000, (i) => keys.verify(asked[i % 1000]!))
  measure(
    `key, not in memory, among ${keysMax}`,
    20_000,
    (() => {
      let next = 0
      return () => keys.verify(order[next++ % order.length]!)
    })(),
  )
  console.log(`memory grown by ${((process.memoryUsage.rss() - before) / 1e6).toFixed(0)} MB with the cache full`)

  const [a, b] = [hash('sha256', 'a', 'base64url'), hash('sha256', 'b', 'base64url')]
  measure('compare two hashes: the loop', 1_000_000, () => constantTimeEqual(a, b))
  measure('compare two hashes: timingSafeEqual', 100_000, () => timingSafeEqual(Buffer.from(a), Buffer.from(b)))

  const counters = createMemoryCounters()
  const names = Array.from({ length: 10_000 }, (_, i) => `orders:key ${i}`)
  const rate = { count: 100, windowMs: 60_000 }
  measure('take from counters in memory, 10,000 budgets', 1_000_000, (i) => counters.take(names[i % 10_000]!, rate))
  keys.close()
} finally {
  await store.close()
  rmSync(dir, { recursive: true })
}

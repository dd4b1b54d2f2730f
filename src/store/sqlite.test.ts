import { chmodSync, existsSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { writeUntilKilled } from '../../test/fixtures/kill-while-writing.ts'
import { until } from '../../test/until.ts'
import { silentLogger } from '../base/log.ts'
import { createSqliteStore } from './sqlite.ts'
import { type StoreBench, storeContract } from './store.contract.ts'
import { StoreUnavailable } from './store.ts'

let dir: string
beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-sqlite-'))
})
afterEach(() => rmSync(dir, { recursive: true, force: true }))
const log = silentLogger

async function fileBench(): Promise<StoreBench> {
  const own = mkdtempSync(join(tmpdir(), 'portcullis-sqlite-'))
  const clear = async () => rmSync(own, { recursive: true, force: true })
  return {
    open: async (options) => createSqliteStore({ file: join(own, 'deep', 'state.db'), log, ...options }),
    clear,
    close: clear,
  }
}
storeContract('SQLite file', fileBench)

storeContract(
  'SQLite in memory',
  async () => ({
    open: async (options) => createSqliteStore({ file: ':memory:', log, ...options }),
    clear: async () => {},
    close: async () => {},
  }),
  { shared: false },
)

describe('SQLite store', () => {
  test('answers a read bare, without a promise', async () => {
    const store = createSqliteStore({ file: join(dir, 's.db'), log })
    await store.put('a', 1)
    expect(store.get('a')).toBe(1)
    await store.close()
  })

  test('its files can be read and written by their owner alone', async () => {
    const store = createSqliteStore({ file: join(dir, 'new', 's.db'), log })
    await store.put('a', 1)
    for (const name of ['s.db', 's.db-wal', 's.db-shm']) {
      expect(statSync(join(dir, 'new', name)).mode & 0o777, name).toBe(0o600)
    }
    expect(statSync(join(dir, 'new')).mode & 0o777).toBe(0o700)
    await store.close()
  })

  test('warns of a file that others may read', async () => {
    const file = join(dir, 's.db')
    writeFileSync(file, '')
    chmodSync(file, 0o644)
    const warnings: string[] = []
    const store = createSqliteStore({ file, log: { ...log, warn: (message) => warnings.push(message) } })
    await store.close()
    expect(warnings).toEqual(['the store is open to other users of this machine'])
  })

  test("refuses another program's database and leaves it as it is", () => {
    const file = join(dir, 'other.db')
    const other = new DatabaseSync(file)
    other.exec('CREATE TABLE theirs (x)')
    other.close()
    expect(() => createSqliteStore({ file, log })).toThrow(/another program/)
    const again = new DatabaseSync(file)
    expect(again.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()).toEqual([{ name: 'theirs' }])
    again.close()
  })

  test('refuses a file of a newer version, and one that is no database, and says why', async () => {
    const file = join(dir, 's.db')
    await createSqliteStore({ file, log }).close()
    const raw = new DatabaseSync(file)
    raw.exec('PRAGMA user_version = 99')
    raw.close()
    expect(() => createSqliteStore({ file, log })).toThrow(/newer Portcullis \(store version 99/)
    writeFileSync(join(dir, 'text'), 'x'.repeat(5000))
    expect(() => createSqliteStore({ file: join(dir, 'text'), log })).toThrow(StoreUnavailable)
    expect(() => createSqliteStore({ file: join(dir, 'text', 's.db'), log })).toThrow(/cannot be opened/)
  })

  test('commits hundreds of writes together, so that each does not wait for the disk', async () => {
    const file = join(dir, 's.db')
    const store = createSqliteStore({ file, log })
    await store.put('warm', 1)
    const reader = new DatabaseSync(file)
    const version = () => Number(reader.prepare('PRAGMA data_version').get()!.data_version)
    const seen = new Set([version()])
    await Promise.all(
      Array.from({ length: 400 }, async (_, i) => {
        await store.put(`k/${i}`, i)
        seen.add(version())
      }),
    )
    // All were asked for in one turn: they went to the disk in one transaction.
    expect(seen.size).toBeLessThanOrEqual(3)
    expect(await store.list('k/', { limit: 1000 })).toHaveLength(400)
    reader.close()
    await store.close()
  })

  test('waits for a writer of another process, and goes on reading meanwhile', async () => {
    const file = join(dir, 's.db')
    const store = createSqliteStore({ file, log })
    await store.put('a', 1)
    const other = new DatabaseSync(file)
    other.exec('BEGIN IMMEDIATE')
    let done = false
    const put = store.put('a', 2).then(() => {
      done = true
    })
    for (let i = 0; i < 20; i++) {
      expect(store.get('a')).toBe(1)
      await new Promise(setImmediate)
    }
    expect(done).toBe(false)
    other.exec('COMMIT')
    await put
    expect(store.get('a')).toBe(2)
    other.close()
    await store.close()
  })

  test('is told of everything when it has fallen too far behind to know what changed', async () => {
    const file = join(dir, 's.db')
    const store = createSqliteStore({ file, log })
    const told: (string | undefined)[] = []
    store.onChange((key) => told.push(key))
    const other = new DatabaseSync(file)
    // As if thousands of changes had come and gone between two looks.
    other.exec("INSERT INTO changes (seq, key) VALUES (20000, 'late')")
    other.close()
    await until(() => told.includes(undefined))
    await store.close()
  })

  test('closing waits for the writes under way', async () => {
    const file = join(dir, 's.db')
    const store = createSqliteStore({ file, log })
    const puts = Array.from({ length: 1200 }, (_, i) => store.put(`k/${i}`, i))
    await store.close()
    expect(await Promise.all(puts)).toEqual(puts.map(() => true))
    const again = createSqliteStore({ file, log })
    expect(await again.list('k/', { limit: 2000 })).toHaveLength(1200)
    await again.close()
  })

  test('loses no acknowledged write of a process that is killed (kill -9) while it writes', async () => {
    const file = join(dir, 's.db')
    for (let round = 0; round < 3; round++) {
      const acknowledged = await writeUntilKilled(`sqlite:${file}`, 300)
      const store = createSqliteStore({ file, log })
      for (const key of acknowledged) expect(store.get(key), key).toBeDefined()
      await store.close()
      expect(existsSync(`${file}-wal`)).toBe(false)
    }
  })
})

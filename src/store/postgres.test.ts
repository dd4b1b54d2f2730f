import pg from 'pg'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { writeUntilKilled } from '../../test/fixtures/kill-while-writing.ts'
import { type Service, services } from '../../test/services.ts'
import { until } from '../../test/until.ts'
import { silentLogger } from '../base/log.ts'
import { openPostgresStore } from './postgres.ts'
import { type StoreBench, storeContract } from './store.contract.ts'
import { type Store, StoreUnavailable } from './store.ts'

const skip = await services.missing('postgres')
const log = silentLogger

async function clear(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  await client.query('DROP TABLE IF EXISTS portcullis_entries, portcullis_schema')
  await client.end()
}

async function postgresBench(): Promise<StoreBench> {
  const service = await services.postgres()
  return {
    open: (options) => openPostgresStore({ url: service.url, log, ...options }),
    clear: () => clear(service.url),
    close: () => service.close(),
  }
}
storeContract('PostgreSQL', postgresBench, { skip })

describe.skipIf(skip)('PostgreSQL store', () => {
  let service: Service
  let store: Store
  const told: (string | undefined)[] = []
  const messages: string[] = []
  const noted = {
    ...log,
    warn: (message: string) => messages.push(message),
    info: (message: string) => messages.push(message),
  }

  beforeAll(async () => {
    service = await services.postgres()
  })
  afterAll(() => service?.close())
  beforeEach(async () => {
    told.length = 0
    messages.length = 0
    store = await openPostgresStore({ url: service.url, log: noted })
  })
  afterEach(async () => {
    await store.close()
    await clear(service.url)
  })

  const fails = async (work: () => unknown) => {
    const error = await (async () => work())().then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    return error instanceof StoreUnavailable
  }

  test("goes by the server's clock where none is handed in", async () => {
    await store.put('short', 1, { ttlMs: 150 })
    await store.put('long', 1, { ttlMs: 60_000 })
    expect(await store.get('short')).toBe(1)
    await until(async () => (await store.get('short')) === undefined)
    expect(await store.get('long')).toBe(1)
  })

  test('many gates that start at once make the tables once', async () => {
    await clear(service.url)
    const all = await Promise.all(Array.from({ length: 5 }, () => openPostgresStore({ url: service.url, log })))
    await all[0]!.put('a', 1)
    expect(await all[4]!.get('a')).toBe(1)
    await Promise.all(all.map((one) => one.close()))
  })

  test('refuses a database of a newer version, and a server that is not there, and says why without the password', async () => {
    const client = new pg.Client({ connectionString: service.url })
    await client.connect()
    await client.query('UPDATE portcullis_schema SET version = 99')
    await client.end()
    await expect(openPostgresStore({ url: service.url, log })).rejects.toThrow(/newer Portcullis \(store version 99/)
    const nowhere = openPostgresStore({ url: 'postgres://u:secret-word@127.0.0.1:1/x', log })
    await expect(nowhere).rejects.toThrow(StoreUnavailable)
    await expect(nowhere).rejects.not.toThrow(/secret-word/)
  })

  test('is unavailable while the server is down, tells its listeners, and serves again by itself with all it had', async () => {
    store.onChange((key) => told.push(key))
    await until(() => told.length > 0)
    await store.put('kept', 1)
    await service.stop()
    expect(await fails(() => store.get('kept'))).toBe(true)
    expect(await fails(() => store.put('a', 1))).toBe(true)
    expect(await fails(() => store.ping())).toBe(true)
    await until(() => messages.includes('PostgreSQL cannot tell of changes'))
    told.length = 0
    // Again and again while nothing can be heard.
    await until(() => told.filter((key) => key === undefined).length >= 2)
    await service.start()
    await until(async () => !(await fails(() => store.ping())))
    expect(await store.get('kept')).toBe(1)
    await until(() => messages.includes('PostgreSQL tells of changes again'), 10_000)
    const other = await openPostgresStore({ url: service.url, log })
    told.length = 0
    await other.put('after', 1)
    await until(() => told.includes('after'))
    await other.close()
  })

  test('loses no acknowledged write when the server is killed (kill -9) while many write', async () => {
    const acknowledged: string[] = []
    let failed = 0
    const writer = async (name: number) => {
      for (let i = 0; failed === 0; i++) {
        const key = `k/${name}/${i}`
        await store.put(key, i).then(
          () => acknowledged.push(key),
          () => failed++,
        )
      }
    }
    const writing = Promise.all([1, 2, 3, 4].map(writer))
    await until(() => acknowledged.length > 200)
    await service.kill()
    await writing
    await service.start()
    await until(async () => !(await fails(() => store.ping())))
    for (const key of acknowledged) expect(await store.get(key), key).toBeDefined()
  })

  test('loses no acknowledged write of a process that is killed (kill -9) while it writes', async () => {
    const acknowledged = await writeUntilKilled(service.url, 200)
    for (const key of acknowledged) expect(await store.get(key), key).toBeDefined()
  })

  test('gives up within seconds on a server that says nothing, fails at once after that, and recovers', async () => {
    await store.put('kept', 1)
    store.onChange((key) => told.push(key))
    await until(() => told.length > 0)
    service.freeze()
    const since = performance.now()
    expect(await fails(() => store.get('kept'))).toBe(true)
    expect(performance.now() - since).toBeLessThan(6_000)
    const again = performance.now()
    expect(await fails(() => store.get('kept'))).toBe(true)
    expect(performance.now() - again).toBeLessThan(100)
    // The connection stands, but nobody answers on it: that counts as lost.
    await until(() => messages.includes('PostgreSQL cannot tell of changes'))
    service.thaw()
    await until(async () => !(await fails(() => store.ping())))
    expect(await store.get('kept')).toBe(1)
  })

  test('stops a statement that waits too long, without giving up the store', async () => {
    const other = new pg.Client({ connectionString: service.url })
    await other.connect()
    await store.put('a', 1)
    await other.query('BEGIN')
    await other.query("SELECT * FROM portcullis_entries WHERE key = 'a' FOR UPDATE")
    expect(await fails(() => store.put('a', 2))).toBe(true)
    expect(await store.get('a')).toBe(1)
    await other.query('COMMIT')
    await other.end()
    await store.put('a', 3)
    expect(await store.get('a')).toBe(3)
  })
})

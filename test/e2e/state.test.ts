import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { createApiKeys } from '../../src/credentials/api-keys.ts'
import { type SpawnedGate, spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'

const noPostgres = await services.missing('postgres')
const noRedis = await services.missing('redis')
/** So high that no limit speaks in tests about something else. */
const unlimited = { limits: { default: { rate: '1000000/s' } } }

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream((_, reply) => json(reply, []))
})
afterAll(() => upstream.stop())

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

async function gateOn(root: object, api: object = unlimited): Promise<TestGate> {
  const gate = await startGate({ upstream: upstream.url, api, root })
  ends.push(gate.stop)
  return gate
}

async function statusOf(gate: TestGate, key: string): Promise<number> {
  const reply = await gate.fetch('/orders', { headers: { 'x-api-key': key } })
  await reply.arrayBuffer()
  return reply.status
}

describe('kill -9 under load, then start', () => {
  test.each([1, 2])(
    'no acknowledged key and no revocation is lost (workers: %i)',
    { timeout: 90_000 },
    async (workers) => {
      let gate: SpawnedGate = await spawnGate({ upstream: upstream.url, api: unlimited, root: { workers } })
      ends.push(async () => {
        await gate.stop('SIGKILL')
        await gate.remove()
      })
      const status = async (key: string) => {
        const reply = await fetch(`${gate.url}/orders`, { headers: { 'x-api-key': key } })
        await reply.arrayBuffer()
        return reply.status
      }
      const create = async (name: string): Promise<{ id: string; key: string }> => {
        const { code, stdout, stderr } = await gate.command('key', 'create', name, '--json')
        expect(code, stderr).toBe(0)
        return JSON.parse(stdout)
      }
      const first = await create('first')
      const second = await create('second')
      // A running gate accepts it at once.
      expect(await status(first.key)).toBe(200)
      let stop = false
      const load = Array.from({ length: 2 }, async () => {
        while (!stop) await status(first.key).catch(() => undefined)
      })
      const third = await create('third')
      expect((await gate.command('key', 'revoke', second.id)).code).toBe(0)
      await gate.stop('SIGKILL')
      stop = true
      await Promise.all(load)
      gate = await gate.again()
      expect(await status(first.key)).toBe(200)
      expect(await status(third.key)).toBe(200)
      expect(await status(second.key)).toBe(401)
    },
  )
})

describe.skipIf(noPostgres)('N1: keys in PostgreSQL', () => {
  test('go on while PostgreSQL is away if they were seen before; others get 503, and pass once it is back', async () => {
    const postgres = await services.postgres()
    ends.push(postgres.close)
    const gate = await gateOn({ store: { url: postgres.url } })
    const [seen, unseen, revoked] = [await gate.key(), await gate.key(), await gate.key()]
    expect(await statusOf(gate, seen)).toBe(200)
    await postgres.stop()
    for (let i = 0; i < 20; i++) expect(await statusOf(gate, seen)).toBe(200)
    const reply = await gate.fetch('/orders', { headers: { 'x-api-key': unseen } })
    expect(reply.status).toBe(503)
    expect(await reply.json()).toMatchObject({ status: 503 })
    // What the key itself shows to be wrong needs no store.
    expect(await statusOf(gate, `${seen.slice(0, -1)}${seen.endsWith('A') ? 'B' : 'A'}`)).toBe(401)
    await postgres.start()
    await until(async () => (await statusOf(gate, unseen)) === 200, 'PostgreSQL to serve again')
    await createApiKeys({ store: gate.running.foundation.store }).revoke(revoked.slice(4, 16))
    expect(await statusOf(gate, revoked)).toBe(401)
  })
})

describe.skipIf(noPostgres || noRedis)('two gates on one PostgreSQL and one Redis', () => {
  test('L1: N pass in all; N1: a key revoked at one is refused at the other within a second', async () => {
    const [postgres, redis] = [await services.postgres(), await services.redis()]
    ends.push(postgres.close, redis.close)
    const root = { store: { url: postgres.url }, counters: { url: `${redis.url}?timeoutMs=10000` } }
    const api = { limits: { default: { rate: '10/h' } } }
    const [one, two] = [await gateOn(root, api), await gateOn(root, api)]
    const key = await one.key()
    const statuses = await Promise.all(Array.from({ length: 40 }, (_, i) => statusOf(i % 2 === 0 ? one : two, key)))
    expect(statuses.filter((status) => status === 200)).toHaveLength(10)
    expect(statuses.filter((status) => status === 429)).toHaveLength(30)
    const other = await one.key()
    expect(await statusOf(two, other)).toBe(200)
    await createApiKeys({ store: one.running.foundation.store }).revoke(other.slice(4, 16))
    expect(await statusOf(one, other)).toBe(401)
    await until(async () => (await statusOf(two, other)) === 401, 'the revocation to arrive', 1_000)
  })
})

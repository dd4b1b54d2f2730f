import type { ServerResponse } from 'node:http'
import { get as httpGet } from 'node:http'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { rawClient } from '../kit/raw.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'

let upstream: TestUpstream
/** Answers that wait until the test lets them go. */
const held: ServerResponse[] = []
beforeAll(async () => {
  upstream = await startUpstream((request, reply) => {
    if (request.url === '/orders/1') held.push(reply)
    else json(reply, [])
  })
})
afterAll(() => upstream.stop())
beforeEach(() => {
  upstream.hits.length = 0
  held.length = 0
})

let gate: TestGate | undefined
afterEach(async () => {
  for (const reply of held) reply.end('{}')
  await gate?.stop()
  gate = undefined
})

async function statuses(count: number, path: string, headers: Record<string, string> = {}): Promise<number[]> {
  const found: number[] = []
  for (let i = 0; i < count; i++) {
    const reply = await gate!.fetch(path, { headers })
    await reply.arrayBuffer()
    found.push(reply.status)
  }
  return found
}

const passed = (found: readonly number[]) => found.filter((status) => status === 200).length

function statusFrom(localAddress: string, headers: Record<string, string> = {}): Promise<number> {
  return new Promise((resolve, reject) => {
    const request = httpGet(`${gate!.url}/health`, { localAddress, headers, agent: false }, (reply) => {
      reply.resume()
      reply.once('end', () => resolve(reply.statusCode!))
    })
    request.once('error', reject)
  })
}

describe('L1: requests per window', () => {
  test('N pass, the next gets 429 with Retry-After, and the upstream sees N', async () => {
    gate = await startGate({ upstream: upstream.url, api: { limits: { default: { rate: '5/min' } } } })
    const headers = { 'x-api-key': await gate.key() }
    expect(await statuses(5, '/orders', headers)).toEqual(Array(5).fill(200))
    const reply = await gate.fetch('/orders', { headers })
    expect(reply.status).toBe(429)
    const wait = Number(reply.headers.get('retry-after'))
    expect(wait).toBeGreaterThan(0)
    expect(wait).toBeLessThanOrEqual(12)
    expect(reply.headers.get('ratelimit-policy')).toBe('"default";q=5;w=60')
    expect(reply.headers.get('ratelimit')).toMatch(/^"default";r=0;t=\d+$/)
    expect(await reply.json()).toMatchObject({ code: 'limits.exceeded', status: 429 })
    expect(upstream.hits).toHaveLength(5)
  })

  test('every key has a budget of its own', async () => {
    gate = await startGate({ upstream: upstream.url, api: { limits: { default: { rate: '3/min' } } } })
    for (const name of ['one', 'two']) {
      expect(passed(await statuses(5, '/orders', { 'x-api-key': await gate.key({ name }) }))).toBe(3)
    }
  })

  test('what is left is told on every answer', async () => {
    gate = await startGate({ upstream: upstream.url, api: { limits: { default: { rate: '5/min' } } } })
    const headers = { 'x-api-key': await gate.key() }
    for (const left of [4, 3, 2]) {
      const reply = await gate.fetch('/orders', { headers })
      expect(reply.headers.get('ratelimit')).toMatch(new RegExp(`^"default";r=${left};t=\\d+$`))
    }
  })

  test('is exact across worker processes', async () => {
    const spawned = await spawnGate({
      upstream: upstream.url,
      root: { workers: 2 },
      api: { limits: { anonymous: { rate: '20/h' } } },
    })
    try {
      // The kit's own first look at the gate was one request of this address, to a path that is not listed.
      const before = upstream.hits.length
      const replies = await Promise.all(
        Array.from({ length: 60 }, () => fetch(`${spawned.url}/health`, { headers: { connection: 'close' } })),
      )
      const found = replies.map(({ status }) => status)
      expect(passed(found)).toBeGreaterThanOrEqual(18)
      expect(passed(found)).toBeLessThanOrEqual(20)
      expect(found.filter((status) => status === 429)).toHaveLength(60 - passed(found))
      expect(upstream.hits.length - before).toBe(passed(found))
    } finally {
      await spawned.stop()
      await spawned.remove()
    }
  })

  test('a field of the body may be part of the key, in whatever case it is sent', async () => {
    const perItem = { rate: '2/min', match: 'op:createOrder', key: 'principal+body.item' }
    gate = await startGate({ upstream: upstream.url, api: { limits: { perItem } } })
    const headers = { 'x-api-key': await gate.key(), 'content-type': 'application/json' }
    const order = async (item: string) => {
      const reply = await gate!.fetch('/orders', {
        method: 'POST',
        headers,
        body: JSON.stringify({ item, quantity: 1 }),
      })
      await reply.arrayBuffer()
      return reply.status
    }
    const found: number[] = []
    for (const item of ['tea', 'Tea', ' TEA', 'tea', 'cake', 'cake', 'cake']) found.push(await order(item))
    expect(found).toEqual([200, 200, 429, 429, 200, 200, 429])
  })

  test('an operation may have a limit of its own', async () => {
    gate = await startGate({
      upstream: upstream.url,
      api: { limits: { list: { rate: '2/min', match: 'op:listOrders' } } },
    })
    const headers = { 'x-api-key': await gate.key() }
    expect(passed(await statuses(4, '/orders', headers))).toBe(2)
    expect(passed(await statuses(4, '/health', headers))).toBe(4)
  })

  test('what the document says for all holds where it lists nothing, too', async () => {
    const limits = (rate: string) => ({ 'x-portcullis': { limits: { anonymous: { rate } } } })
    const paths = { '/health': { get: { security: [], responses: { 200: { description: '' } }, ...limits('3/min') } } }
    gate = await startGate({
      upstream: upstream.url,
      document: { openapi: '3.1.0', info: { title: 'x', version: '1' }, paths, ...limits('2/min') },
    })
    expect(await statuses(3, '/nowhere')).toEqual([404, 404, 429])
    expect(await statuses(4, '/health')).toEqual([200, 200, 200, 429])
  })
})

describe('L2: a burst, then the rate', () => {
  test('the burst passes at once, then one at a time', async () => {
    gate = await startGate({ upstream: upstream.url, api: { limits: { default: { rate: '10/s', burst: 4 } } } })
    const headers = { 'x-api-key': await gate.key() }
    const startedAt = performance.now()
    const replies = await Promise.all(Array.from({ length: 12 }, () => gate!.fetch('/orders', { headers })))
    const tookMs = performance.now() - startedAt
    const found = passed(replies.map(({ status }) => status))
    expect(found).toBeGreaterThanOrEqual(4)
    // While they were on their way the rate let one more in each 100 ms.
    expect(found).toBeLessThanOrEqual(4 + Math.ceil(tookMs / 100))
    await until(async () => (await gate!.fetch('/orders', { headers })).status === 200, 'the next place')
  })
})

describe('L3: limits by address', () => {
  test('two addresses have separate budgets, and a forged X-Forwarded-For changes nothing', async () => {
    gate = await startGate({ upstream: upstream.url, api: { limits: { anonymous: { rate: '3/min' } } } })
    const forged = (i: number) => ({ 'x-forwarded-for': `203.0.113.${i}`, forwarded: `for=203.0.113.${i}` })
    const first: number[] = []
    for (let i = 0; i < 5; i++) first.push(await statusFrom('127.0.0.1', forged(i)))
    expect(first).toEqual([200, 200, 200, 429, 429])
    expect(await statusFrom('127.0.0.2')).toBe(200)
  })

  test('without a word 20 a minute pass from an address that nobody knows', async () => {
    gate = await startGate({ upstream: upstream.url })
    expect(passed(await statuses(25, '/health'))).toBe(20)
  })

  test('a wrong credential does not buy another budget', async () => {
    gate = await startGate({ upstream: upstream.url, api: { limits: { anonymous: { rate: '3/min' } } } })
    const found: number[] = []
    for (let i = 0; i < 5; i++) found.push(...(await statuses(1, '/orders', { 'x-api-key': `pk_wrong_${i}` })))
    expect(found).toEqual([401, 401, 401, 429, 429])
  })
})

describe('L6: fair use', () => {
  test('a greedy caller holds its share, and another one passes at once', async () => {
    gate = await startGate({
      upstream: upstream.url,
      api: { concurrency: { total: 8 }, limits: { default: { rate: '10000/s' } } },
    })
    const greedy = { 'x-api-key': await gate.key({ name: 'greedy' }) }
    const modest = { 'x-api-key': await gate.key({ name: 'modest' }) }
    const waiting = Array.from({ length: 20 }, () => gate!.fetch('/orders/1', { headers: greedy }))
    await until(() => held.length === 4, 'four requests at the upstream')
    const refused = await until(async () => {
      const reply = await gate!.fetch('/orders', { headers: greedy })
      await reply.arrayBuffer()
      return reply.status === 429 ? reply : undefined
    }, 'the refusal of a further one')
    expect(refused.headers.get('retry-after')).toBe('1')
    expect(passed(await statuses(5, '/orders', modest))).toBe(5)
    for (const reply of held.splice(0)) json(reply, { item: 'x', quantity: 1 })
    const found = (await Promise.all(waiting)).map(({ status }) => status)
    expect(passed(found)).toBe(4)
    expect(found.filter((status) => status === 429)).toHaveLength(16)
    expect(passed(await statuses(3, '/orders', greedy))).toBe(3)
  })

  test('places come back when connections break', async () => {
    gate = await startGate({
      upstream: upstream.url,
      api: { concurrency: { perCaller: 2 }, limits: { default: { rate: '10000/s' } } },
    })
    const headers = { 'x-api-key': await gate.key() }
    const clients = await Promise.all([rawClient(gate.port), rawClient(gate.port)])
    for (const client of clients) {
      client.send(`GET /orders/1 HTTP/1.1\r\nHost: shop.test\r\nX-API-Key: ${headers['x-api-key']}\r\n\r\n`)
    }
    await until(() => held.length === 2, 'two requests at the upstream')
    expect(await statuses(1, '/orders', headers)).toEqual([429])
    for (const client of clients) client.socket.resetAndDestroy()
    await until(async () => (await statuses(1, '/orders', headers))[0] === 200, 'a free place')
  })
})

const missing = await services.missing('redis')

describe.skipIf(missing)('L1: without the shared counters each limit does what it states', () => {
  test('counts here, refuses or lets pass, and counts together again when Redis is back', async () => {
    const redis = await services.redis()
    try {
      const limits = {
        default: { mode: 'off' },
        anonymous: { mode: 'off' },
        here: { rate: '3/h', match: 'op:listOrders', key: 'everyone', onFailure: 'local' },
        never: { rate: '100/h', match: 'op:getOrder', key: 'everyone', onFailure: 'closed' },
        always: { rate: '3/h', match: 'op:health', key: 'everyone', onFailure: 'open' },
      }
      gate = await startGate({ upstream: upstream.url, api: { limits }, root: { counters: { url: redis.url } } })
      const headers = { 'x-api-key': await gate.key() }
      expect(await statuses(5, '/health')).toEqual([200, 200, 200, 429, 429])
      expect(await statuses(1, '/orders/2', headers)).toEqual([200])
      await redis.stop()
      expect(await statuses(5, '/health')).toEqual([200, 200, 200, 200, 200])
      expect(await statuses(2, '/orders/2', headers)).toEqual([503, 503])
      expect(await statuses(5, '/orders', headers)).toEqual([200, 200, 200, 429, 429])
      expect(gate.messages.some(({ message }) => message.includes('counters cannot be reached'))).toBe(true)
      await redis.start()
      await until(async () => (await statuses(1, '/orders/2', headers))[0] === 200, 'Redis to be heard again')
    } finally {
      await redis.close()
    }
  })
})

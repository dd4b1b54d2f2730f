import { decodeJwt } from 'jose'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { unusedReport } from '../../src/cli/unused-rights.ts'
import { loadConfig } from '../../src/config/load.ts'
import { createApiKeys, type NewApiKey } from '../../src/credentials/api-keys.ts'
import { createGrants, type NewGrant } from '../../src/credentials/grants.ts'
import { createUsageRecorder, readUsage } from '../../src/credentials/usage.ts'
import { createUsers } from '../../src/credentials/users.ts'
import { guards } from '../../src/guards/index.ts'
import type { TokenService } from '../../src/identity/service.ts'
import { type GateInput, type SpawnedGate, spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { audience, startIssuer, type TestIssuer } from '../kit/issuer.ts'
import { basic as basicAuth, clients, secretOf, startTokenGate } from '../kit/token-gate.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'

/*
 * Credentials for third parties with bounds (N11), rights for a while (Z6), and what of them is used: on the listening program,
 * on both pairs of stores, with two gates side by side.
 */

const noPostgres = await services.missing('postgres')
const noRedis = await services.missing('redis')

let upstream: TestUpstream
const ends: (() => Promise<unknown>)[] = []

beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
  vi.useRealTimers()
})
afterAll(() => upstream.stop())

const responses = { 200: { description: 'Done.' } }
const either = [{ key: [] }, { token: [] }, { password: [] }]
const document = {
  openapi: '3.1.0',
  info: { title: 'Shop', version: '1' },
  components: {
    securitySchemes: {
      key: { type: 'apiKey', in: 'header', name: 'X-API-Key' },
      token: {
        type: 'oauth2',
        flows: { clientCredentials: { tokenUrl: 'https://id.example.test/token', scopes: {} } },
      },
      password: { type: 'http', scheme: 'basic' },
    },
  },
  paths: {
    '/orders': {
      get: { operationId: 'listOrders', tags: ['orders'], security: either, responses },
      post: { operationId: 'createOrder', tags: ['orders'], security: either, responses },
    },
    '/orders/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: { operationId: 'showOrder', tags: ['orders'], security: either, responses },
    },
    '/refunds': { post: { operationId: 'refund', security: either, responses } },
  },
}
const api = {
  limits: { default: { mode: 'off' }, anonymous: { mode: 'off' } },
  authorize: {
    roles: { reader: ['read'], editor: ['read', 'write'], cashier: ['read', 'refund'] },
    permissions: [{ match: 'op:refund', needs: 'refund' }],
  },
}

async function open(input: Partial<GateInput> = {}): Promise<TestGate> {
  const gate = await startGate({ upstream: upstream.url, document, api, ...input })
  ends.push(gate.stop)
  return gate
}

async function makeKey(gate: TestGate, input: Partial<NewApiKey> = {}) {
  return createApiKeys({ store: gate.running.foundation.store }).create({
    name: 'partner',
    roles: ['reader'],
    ...input,
  })
}

/** Status and code, as the caller sees them. */
async function ask(gate: TestGate, path: string, headers: Record<string, string>, method = 'GET'): Promise<string> {
  const reply = await gate.fetch(path, { headers, method })
  const text = await reply.text()
  return reply.status < 400 ? `${reply.status}` : `${reply.status} ${JSON.parse(text).code}`
}

describe('N11: keys for third parties', () => {
  // The gate stands behind a proxy that says where callers come from.
  const behindProxy = { root: { trustedProxies: ['127.0.0.1'] } }
  const from = (address: string) => ({ 'x-forwarded-for': address })

  test('work from their addresses, elsewhere 403; an unknown one is 401 from everywhere', async () => {
    const gate = await open(behindProxy)
    const { key } = await makeKey(gate, { cidrs: ['203.0.113.0/24', '2001:db8::/32'] })
    const at = (address: string) => ask(gate, '/orders', { 'x-api-key': key, ...from(address) })
    expect(await at('203.0.113.0')).toBe('200')
    expect(await at('203.0.113.255')).toBe('200')
    expect(await at('2001:db8::1')).toBe('200')
    expect(await at('203.0.112.255')).toBe('403 auth.api-key-address')
    expect(await at('203.0.114.0')).toBe('403 auth.api-key-address')
    expect(await at('2001:db9::1')).toBe('403 auth.api-key-address')
    const unknown = { 'x-api-key': `${key}x`, ...from('203.0.113.7') }
    expect(await ask(gate, '/orders', unknown)).toBe('401 auth.api-key-unknown')
  })

  test.each<[string, Record<string, string>, string]>([
    ['the Origin of a page of the site', { origin: 'https://shop.example' }, '200'],
    ['the Referer of a page of the site', { referer: 'https://shop.example/basket?x=1' }, '200'],
    ['neither', {}, '403 auth.api-key-origin'],
    ['another site', { origin: 'https://evil.example' }, '403 auth.api-key-origin'],
    ['another port', { origin: 'https://shop.example:8443' }, '403 auth.api-key-origin'],
    ['the site without TLS', { origin: 'http://shop.example' }, '403 auth.api-key-origin'],
    ['a site below it', { origin: 'https://a.shop.example' }, '403 auth.api-key-origin'],
    ['a site that begins alike', { origin: 'https://shop.example.evil.example' }, '403 auth.api-key-origin'],
    ['the site as a user name', { origin: 'https://shop.example@evil.example' }, '403 auth.api-key-origin'],
    ['an opaque origin', { origin: 'null' }, '403 auth.api-key-origin'],
    [
      'an opaque origin with a good Referer',
      { origin: 'null', referer: 'https://shop.example/' },
      '403 auth.api-key-origin',
    ],
    [
      'a foreign origin with a good Referer',
      { origin: 'https://evil.example', referer: 'https://shop.example/' },
      '403 auth.api-key-origin',
    ],
    [
      'the site in the path of the Referer',
      { referer: 'https://evil.example/https://shop.example' },
      '403 auth.api-key-origin',
    ],
    ['a Referer that is none', { referer: 'shop.example' }, '403 auth.api-key-origin'],
    ['two origins in one header', { origin: 'https://shop.example, https://evil.example' }, '403 auth.api-key-origin'],
  ])('bound to a web site: %s', async (_, headers, expected) => {
    const gate = await open()
    const { key } = await makeKey(gate, { origins: ['https://shop.example'] })
    expect(await ask(gate, '/orders', { 'x-api-key': key, ...headers })).toBe(expected)
  })

  test.each<[string, readonly string[], readonly string[]]>([
    ['an operation', ['op:listOrders'], ['GET /orders']],
    ['a tag', ['tag:orders'], ['GET /orders', 'POST /orders', 'GET /orders/7']],
    ['a method and path', ['GET /orders/*'], ['GET /orders/7']],
    ['a path and all below it', ['/orders/**'], ['GET /orders', 'POST /orders', 'GET /orders/7']],
    ['two of them', ['op:showOrder', 'op:refund'], ['GET /orders/7', 'POST /refunds']],
    ['nothing that the document has', ['op:gone'], []],
  ])('bound to %s work there and nowhere else', async (_, operations, good) => {
    const gate = await open()
    const { key } = await makeKey(gate, { roles: ['editor', 'cashier'], operations })
    for (const call of ['GET /orders', 'POST /orders', 'GET /orders/7', 'POST /refunds']) {
      const [method, path] = call.split(' ')
      const expected = good.includes(call) ? '200' : '403 auth.api-key-operation'
      expect([call, await ask(gate, path!, { 'x-api-key': key }, method)]).toEqual([call, expected])
    }
  })

  test('begin and end at their times; the log names the key and not its secret', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const gate = await open()
    const start = Date.now()
    const { key, record } = await makeKey(gate, {
      notBefore: start + 60_000,
      expiresAt: start + 120_000,
      cidrs: ['127.0.0.1'],
    })
    const at = async (ms: number) => {
      vi.setSystemTime(start + ms)
      return ask(gate, '/orders', { 'x-api-key': key })
    }
    expect(await at(59_999)).toBe('401 auth.api-key-early')
    expect(await at(60_000)).toBe('200')
    expect(await at(119_999)).toBe('200')
    expect(await at(120_000)).toBe('401 auth.api-key-expired')
    const lines = JSON.stringify(await gate.lines(4))
    expect(lines).toContain(record.id)
    expect(lines).not.toContain(key.slice(17))
  })

  test('a change of bounds holds from the next request on', async () => {
    const gate = await open()
    const keys = createApiKeys({ store: gate.running.foundation.store })
    const { key, record } = await makeKey(gate)
    expect(await ask(gate, '/orders', { 'x-api-key': key })).toBe('200')
    await keys.update(record.id, { cidrs: ['192.0.2.0/24'] })
    expect(await ask(gate, '/orders', { 'x-api-key': key })).toBe('403 auth.api-key-address')
    await keys.update(record.id, { cidrs: [], operations: ['op:refund'] })
    expect(await ask(gate, '/orders', { 'x-api-key': key })).toBe('403 auth.api-key-operation')
    await keys.update(record.id, { operations: [] })
    expect(await ask(gate, '/orders', { 'x-api-key': key })).toBe('200')
  })
})

describe('N11: tokens with bounds', () => {
  let issuer: TestIssuer
  beforeAll(async () => {
    issuer = await startIssuer()
  })
  afterAll(() => issuer.stop())

  const bounded = async (bounds: unknown) => {
    const gate = await open({
      root: { issuers: { main: { issuer: issuer.url, audience } }, trustedProxies: ['127.0.0.1'] },
    })
    const token = await issuer.token({ portcullis_bounds: bounds, roles: ['editor'] })
    return (path: string, headers: Record<string, string> = {}, method = 'GET') =>
      ask(gate, path, { authorization: `Bearer ${token}`, 'x-forwarded-for': '203.0.113.7', ...headers }, method)
  }

  test('are held to address, web site and operation as keys are', async () => {
    const send = await bounded({ cidr: ['203.0.113.0/24'], origin: 'https://shop.example', ops: ['op:listOrders'] })
    const page = { origin: 'https://shop.example' }
    expect(await send('/orders', page)).toBe('200')
    expect(await send('/orders', { ...page, 'x-forwarded-for': '203.0.114.7' })).toBe('403 auth.token-address')
    expect(await send('/orders', { origin: 'https://evil.example' })).toBe('403 auth.token-origin')
    expect(await send('/orders/7', page)).toBe('403 auth.token-operation')
  })

  test.each([
    ['a text', 'GET /orders'],
    ['a list', []],
    ['null', null],
    ['an empty list of addresses', { cidr: [] }],
    ['a number for a bound', { ops: 7 }],
    ['a range that is none', { cidr: ['10.0.0/8'] }],
    ['one of several that cannot be read', [{ cidr: ['0.0.0.0/0'] }, 'x']],
    ['five of them', Array.from({ length: 5 }, () => ({ cidr: ['0.0.0.0/0'] }))],
    ['a bound that this gate does not know', { cidr: ['0.0.0.0/0'], hours: '9-17' }],
  ])('that cannot be read bound everything: %s', async (_, bounds) => {
    const send = await bounded(bounds)
    expect(await send('/orders')).toBe('401 auth.token-bounds')
  })

  test('of the token service carry the bounds of their client, and a token that is exchanged those of both', async () => {
    const gate = await startTokenGate({
      root: { trustedProxies: ['127.0.0.1'] },
      tokenService: {
        clients: {
          ...clients,
          batch: { ...clients.batch, bounds: { cidrs: ['203.0.113.0/24'], operations: ['op:listOrders'] } },
          middle: {
            secret: secretOf('middle'),
            grants: ['token_exchange'],
            scopes: ['orders:read'],
            bounds: { cidrs: ['203.0.113.7'] },
          },
        },
        exchange: [{ client: 'middle', from: ['batch', 'other'], to: ['test'] }],
      },
    })
    ends.push(gate.stop)
    const tokenOf = async (name: string, scope: string) => {
      const { body } = await gate.post('/oauth/token', { grant_type: 'client_credentials', scope }, basicAuth(name))
      return body.access_token as string
    }
    const from = (address: string) => ({ 'x-forwarded-for': address })
    const batch = await tokenOf('batch', 'orders:read orders:write')
    expect(decodeJwt(batch).portcullis_bounds).toEqual({ cidr: ['203.0.113.0/24'], ops: ['op:listOrders'] })
    expect(await gate.call(batch, from('203.0.113.8'))).toBe(200)
    expect(await gate.call(batch, from('203.0.114.8'))).toBe(403)
    const write = { method: 'POST', headers: { authorization: `Bearer ${batch}`, ...from('203.0.113.8') } }
    expect((await gate.fetch('/orders', write)).status).toBe(403)
    const exchanged = async (subject: string) => {
      const { body } = await gate.post(
        '/oauth/token',
        {
          grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
          subject_token: subject,
          subject_token_type: 'urn:ietf:params:oauth:token-type:access_token',
          resource: String(decodeJwt(subject).aud),
        },
        basicAuth('middle'),
      )
      return body.access_token as string
    }
    const both = await exchanged(batch)
    expect(decodeJwt(both).portcullis_bounds).toHaveLength(2)
    expect(await gate.call(both, from('203.0.113.7'))).toBe(200)
    expect(await gate.call(both, from('203.0.113.8'))).toBe(403)
    const own = await exchanged(await tokenOf('other', 'orders:read'))
    expect([await gate.call(own, from('203.0.113.7')), await gate.call(own, from('203.0.113.8'))]).toEqual([200, 403])
  })

  test('of an empty map are bounded by nothing', async () => {
    const send = await bounded({})
    expect(await send('/orders')).toBe('200')
  })
})

interface Pair {
  readonly name: string
  readonly missing: string | false
  readonly root: (gate: TestGate | undefined) => Promise<object>
}

const pairs: readonly Pair[] = [
  {
    name: 'SQLite and memory',
    missing: false,
    root: async (gate) => (gate === undefined ? {} : { store: { url: `sqlite:${gate.dir}/state.db` } }),
  },
  {
    name: 'PostgreSQL and Redis',
    missing: noPostgres || noRedis,
    root: async () => {
      const { postgresUrl, redisUrl } = await servers()
      return {
        store: { url: postgresUrl },
        counters: { url: `${redisUrl}?timeoutMs=10000` },
        secrets: { sealWith: Buffer.alloc(32, 7).toString('base64') },
      }
    },
  },
]

let started: Promise<{ postgresUrl: string; redisUrl: string }> | undefined
const servicesEnds: (() => Promise<void>)[] = []
function servers() {
  started ??= (async () => {
    const [postgres, redis] = [await services.postgres(), await services.redis()]
    servicesEnds.push(postgres.close, redis.close)
    return { postgresUrl: postgres.url, redisUrl: redis.url }
  })()
  return started
}
afterAll(async () => {
  for (const end of servicesEnds) await end()
})

describe.each(pairs)('two gates on $name', ({ missing, root }) => {
  const both = async () => {
    const one = await open({ root: await root(undefined) })
    return [one, await open({ root: await root(one) })] as const
  }
  const make = (gate: TestGate, input: NewGrant) => createGrants({ store: gate.running.foundation.store }).create(input)
  const within = (gate: TestGate, call: () => Promise<string>, expected: string) =>
    until(async () => (await call()) === expected, `${expected} at ${gate.url}`, 1_000)

  test.skipIf(missing)(
    'a key revoked at one is refused at the other within a second, a changed one is bounded there',
    async () => {
      const [one, two] = await both()
      const keys = createApiKeys({ store: one.running.foundation.store })
      const { key, record } = await makeKey(one)
      const send = () => ask(two, '/orders', { 'x-api-key': key })
      await within(two, send, '200')
      await keys.update(record.id, { cidrs: ['192.0.2.1'] })
      await within(two, send, '403 auth.api-key-address')
      await keys.revoke(record.id)
      expect(await ask(one, '/orders', { 'x-api-key': key })).toBe('401 auth.api-key-revoked')
      await within(two, send, '401 auth.api-key-revoked')
    },
  )

  test.skipIf(missing)(
    'a grant made at one counts at the other within a second, and is gone there when it is revoked',
    async () => {
      const [one, two] = await both()
      const { key, record } = await makeKey(one)
      const write = (gate: TestGate) => ask(gate, '/orders', { 'x-api-key': key }, 'POST')
      const refused = '403 authorize.permission-missing'
      await within(two, () => write(two), refused)
      const input = {
        subject: record.id,
        via: 'apiKey',
        roles: ['editor'],
        grantedBy: 'test',
        until: Date.now() + 3_600_000,
      }
      const grant = await make(one, input)
      await within(one, () => write(one), '200')
      await within(two, () => write(two), '200')
      await createGrants({ store: two.running.foundation.store }).revoke(grant.id, 'test')
      await within(two, () => write(two), refused)
      await within(one, () => write(one), refused)
      // The events are told once, whichever gate noticed first.
      await until(async () => {
        const told = [...(await one.lines()), ...(await two.lines())].filter((line) => line.event?.startsWith('grant.'))
        return told.length === 2 && told.every((line) => line.id === grant.id) ? told : undefined
      }, 'two events')
    },
  )

  test.skipIf(missing)('a grant for an hour is gone at one hour on both, to the millisecond', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const [one, two] = await both()
    const { key, record } = await makeKey(one)
    const write = (gate: TestGate) => ask(gate, '/orders', { 'x-api-key': key }, 'POST')
    const start = Date.now()
    const grant = { subject: record.id, via: 'apiKey', roles: ['editor'], grantedBy: 'test' }
    await make(one, { ...grant, from: start + 60_000, until: start + 120_000 })
    const expectAt = async (ms: number, expected: string) => {
      vi.setSystemTime(start + ms)
      expect([await write(one), await write(two)]).toEqual([expected, expected])
    }
    vi.setSystemTime(start + 60_000)
    await within(two, () => write(two), '200')
    await within(one, () => write(one), '200')
    await expectAt(59_999, '403 authorize.permission-missing')
    await expectAt(60_000, '200')
    await expectAt(119_999, '200')
    await expectAt(120_000, '403 authorize.permission-missing')
  })
})

describe('Z6: rights that nobody uses', () => {
  test('what people and clients do with tokens is use of their rights; a client of the configuration has no age of 1970', {
    timeout: 60_000,
  }, async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const begun = Date.now()
    const gate = await startTokenGate({})
    ends.push(gate.stop)
    const { store } = gate.running.foundation
    vi.setSystemTime(begun + 40 * 86_400_000)
    const { body } = await gate.post('/oauth/token', { grant_type: 'client_credentials' }, basicAuth('batch'))
    expect(await gate.call(body.access_token)).toBe(200)
    // A token that the application holds for anna, as the recorder is told of it.
    const recorder = createUsageRecorder({ store, log: silentLogger })
    const used = { api: 'api', operation: 'listOrders', credential: 'tokenService', user: 'anna', application: 'app' }
    recorder.note({ ...used, denial: undefined, receivedAt: Date.now() })
    await recorder.close()
    const config = await loadConfig({ file: `${gate.dir}/portcullis.yaml`, env: {}, guards: guards as never })
    const sources = { store, now: Date.now, clients: (gate.running.foundation.localIssuer as TokenService).clients }
    await vi.waitUntil(async () => (await readUsage(store)).of('tokenService', 'client:batch') !== undefined, 15_000)
    const { items } = await unusedReport({ config, load: gate.running.load() }, sources, 30 * 86_400_000)
    const lastUsed = Object.fromEntries(items.map(({ id, lastUsedAt }) => [id, lastUsedAt !== undefined]))
    // What was used as a whole is not listed at all.
    expect([lastUsed.anna ?? true, lastUsed.app ?? true, lastUsed.batch]).toEqual([true, true, true])
    expect(items.find(({ id }) => id === 'other')).toMatchObject({ wholly: true, lastUsedAt: undefined })
    expect(items.every(({ since }) => since >= begun - 1_000)).toBe(true)
  })

  test('are told per role and operation of a key, of what documents and roles ask for; other callers do not count', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    const gate = await open()
    const { store } = gate.running.foundation
    const operations = ['tag:orders', 'op:refund']
    const { key, record } = await makeKey(gate, { roles: ['reader', 'cashier', 'editor', 'unheard-of'], operations })
    const { record: idle } = await makeKey(gate, { name: 'idle', roles: ['reader'] })
    vi.setSystemTime(Date.now() + 40 * 86_400_000)
    expect(await ask(gate, '/orders/7', { 'x-api-key': key })).toBe('200')
    expect(await ask(gate, '/nowhere', { 'x-api-key': key })).toMatch(/^404 /)
    const { key: young } = await makeKey(gate, { roles: ['cashier'] })
    expect(await ask(gate, '/refunds', { 'x-api-key': young }, 'POST')).toBe('200')
    const config = await loadConfig({ file: `${gate.dir}/portcullis.yaml`, env: {}, guards: guards as never })
    const report = () => unusedReport({ config, load: gate.running.load() }, { store, now: Date.now }, 30 * 86_400_000)
    // Written every five seconds, whatever the clock of the test says.
    const begun = performance.now()
    while ((await readUsage(store)).of('apiKey', record.id) === undefined) {
      if (performance.now() - begun > 15_000) throw new Error('usage was not written')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    const { items } = await report()
    expect(items).toMatchObject([
      { id: idle.id, wholly: true, lastUsedAt: undefined, roles: ['reader'] },
      // Reader, cashier and editor all let in to what was used.
      {
        id: record.id,
        wholly: false,
        lastUsedAt: expect.any(Number),
        roles: ['unheard-of'],
        operations: ['op:refund'],
      },
    ])
    expect(items).toHaveLength(2)
  }, 30_000)
})

describe('Z6: rights for a while', () => {
  const anna = `Basic ${Buffer.from('anna:correct horse battery').toString('base64')}`

  test("are bound to operation and address, belong to one voucher only, and come on top of the credential's own", async () => {
    const gate = await open({
      root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }], trustedProxies: ['127.0.0.1'] },
      api: { ...api, auth: ['apiKey', 'basic'] },
    })
    const { store } = gate.running.foundation
    await createUsers({ store }).set('anna', 'correct horse battery', { roles: ['reader'] })
    const send = (method: string, path: string, address = '203.0.113.7') =>
      ask(gate, path, { authorization: anna, 'x-forwarded-for': address }, method)
    const refused = '403 authorize.permission-missing'
    expect([await send('GET', '/orders'), await send('POST', '/refunds')]).toEqual(['200', refused])
    const grants = createGrants({ store })
    const until1h = { subject: 'anna', grantedBy: 'test', until: Date.now() + 3_600_000 }
    await grants.create({ ...until1h, via: 'apiKey', roles: ['cashier', 'editor'] })
    expect(await send('POST', '/refunds')).toBe(refused)
    await grants.create({
      ...until1h,
      via: 'basic',
      roles: ['cashier'],
      operations: ['op:refund'],
      cidrs: ['203.0.113.0/24'],
    })
    await until(async () => (await send('POST', '/refunds')) === '200', 'the grant')
    expect(await send('POST', '/refunds', '198.51.100.1')).toBe(refused)
    expect(await send('GET', '/orders')).toBe('200')
    await grants.create({ ...until1h, via: 'basic', roles: ['editor'], operations: ['op:listOrders'] })
    // A role that is granted for one operation is none at another.
    expect(await send('POST', '/orders')).toBe(refused)
  })

  test('of a scope open what the document asks it for', async () => {
    const scoped = structuredClone(document)
    scoped.paths['/refunds'].post.security = [{ key: ['refunds'] }] as never
    const gate = await open({ document: scoped, api: { limits: api.limits } })
    const { key, record } = await makeKey(gate, { roles: [] })
    expect(await ask(gate, '/refunds', { 'x-api-key': key }, 'POST')).toMatch(/^403 /)
    await createGrants({ store: gate.running.foundation.store }).create({
      subject: record.id,
      via: 'apiKey',
      scopes: ['refunds'],
      grantedBy: 'test',
      until: Date.now() + 60_000,
    })
    await until(async () => (await ask(gate, '/refunds', { 'x-api-key': key }, 'POST')) === '200', 'the grant')
  })

  test('a revoked or expired key is not brought back by a grant', async () => {
    const gate = await open()
    const { key, record } = await makeKey(gate)
    const { store } = gate.running.foundation
    const grant = {
      subject: record.id,
      via: 'apiKey',
      roles: ['editor'],
      grantedBy: 'test',
      until: Date.now() + 60_000,
    }
    await createGrants({ store }).create(grant)
    await until(async () => (await ask(gate, '/orders', { 'x-api-key': key }, 'POST')) === '200', 'the grant')
    await createApiKeys({ store }).revoke(record.id)
    expect(await ask(gate, '/orders', { 'x-api-key': key }, 'POST')).toBe('401 auth.api-key-revoked')
  })
})

describe('by command', () => {
  let gate: SpawnedGate
  afterEach(async () => {
    await gate.stop('SIGKILL').catch(() => {})
    await gate.remove()
  })
  const json = async (...words: string[]) => {
    const { code, stdout, stderr } = await gate.command(...words, '--json')
    if (code !== 0) throw new Error(`${words.join(' ')}: ${code}\n${stderr}`)
    return JSON.parse(stdout)
  }
  const status = async (path: string, headers: Record<string, string>, method = 'GET') =>
    (await fetch(gate.url + path, { headers, method })).status

  test('keys and grants of a running gate count at once; kill -9 after the answer loses none; `report unused` tells what lay idle', {
    timeout: 60_000,
  }, async () => {
    gate = await spawnGate({ upstream: upstream.url, document, api })
    const words = [
      '--role',
      'reader',
      '--role',
      'editor',
      '--operation',
      'op:listOrders',
      '--operation',
      'op:createOrder',
    ]
    const key = await json(
      'key',
      'create',
      'partner',
      ...words,
      '--plan',
      'gold',
      '--note',
      'a test',
      '--expires',
      '1d',
    )
    const other = await json('key', 'create', 'idle', '--role', 'reader', '--origin', 'https://Shop.Example/')
    expect(await json('key', 'show', key.id)).toMatchObject({
      id: key.id,
      plan: 'gold',
      note: 'a test',
      operations: ['op:listOrders', 'op:createOrder'],
    })
    expect((await gate.command('key', 'show', key.id)).stdout).not.toContain(key.key.slice(17))
    expect(await status('/orders', { 'x-api-key': key.key })).toBe(200)
    expect(await status('/orders/7', { 'x-api-key': key.key })).toBe(403)
    expect(await status('/orders', { 'x-api-key': other.key })).toBe(403)
    expect(await status('/orders', { 'x-api-key': other.key, origin: 'https://shop.example' })).toBe(200)
    const late = await json('key', 'create', 'later', '--role', 'reader', '--not-before', '1h')
    expect(await status('/orders', { 'x-api-key': late.key })).toBe(401)

    const grant = await json('grant', 'add', other.id, '--role', 'editor', '--for', '1h', '--reason', 'ticket 4711')
    expect(grant).toMatchObject({
      via: 'apiKey',
      state: 'active',
      reason: 'ticket 4711',
      grantedBy: expect.stringMatching(/^cli:/),
    })
    const post = () => status('/orders', { 'x-api-key': other.key, origin: 'https://shop.example' }, 'POST')
    await until(async () => (await post()) === 200, 'the grant')
    const revokedGrant = await json('grant', 'add', key.id, '--role', 'cashier', '--for', '1h')
    await json('grant', 'revoke', revokedGrant.id)
    await json('key', 'revoke', late.id)
    expect((await gate.command('grant', 'add', 'nobody', '--role', 'x', '--for', '1h')).code).toBe(2)
    expect((await gate.command('grant', 'add', key.id, '--role', 'x', '--for', '2000d')).code).toBe(2)

    // What callers use is written every few seconds.
    await until(
      async () => {
        const { items } = await json('report', 'unused', '--since', '1ms')
        const own = items.find((one: { id: string }) => one.id === key.id)
        return own?.lastUsedAt !== null ? true : undefined
      },
      'usage to be written',
      15_000,
    )
    await gate.stop('SIGKILL')
    gate = await gate.again()
    expect(await post()).toBe(200)
    expect(await status('/orders', { 'x-api-key': late.key })).toBe(401)
    const list = await json('grant', 'list', '--all')
    const states = Object.fromEntries(list.map((one: { id: string; state: string }) => [one.id, one.state]))
    expect(states).toEqual({ [grant.id]: 'active', [revokedGrant.id]: 'revoked' })
  })
})

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGate, type TestGate } from '../kit/gate.ts'
import { rawClient } from '../kit/raw.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

const names = ['v1', 'v2', 'v3'] as const
type Name = (typeof names)[number]

/** Every version has one operation that the others lack, and one that all share with another parameter. */
const documentOf = (name: Name) => ({
  openapi: '3.1.0',
  info: { title: 'Shop', version: name },
  security: [{ key: [] }],
  components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } },
  paths: {
    '/orders': {
      get: {
        parameters: [{ name: `only-${name}`, in: 'query', schema: { type: 'integer' } }],
        responses: { 200: { description: 'Orders.' } },
      },
      post: {
        security: [{ key: ['orders:write'] }],
        requestBody: { content: { 'application/json': { schema: { type: 'object' } } } },
        responses: { 200: { description: 'Made.' } },
      },
    },
    [`/${name}-things`]: { get: { responses: { 200: { description: 'Things.' } } } },
    '/status': { get: { security: [], responses: { 200: { description: 'Up.' } } } },
  },
})

/** How a caller says which version it means, and how the configuration says it. */
const selectors = {
  path: {
    config: (name: Name) => ({ path: `/${name}` }),
    call: (name: Name, path: string) => ({ path: `/${name}${path}`, headers: {}, host: 'shop.test' }),
  },
  header: {
    config: (name: Name) => ({ header: { name: 'X-Version', value: name } }),
    call: (name: Name, path: string) => ({ path, headers: { 'x-version': name }, host: 'shop.test' }),
  },
  'media type': {
    config: (name: Name) => ({ mediaType: `application/vnd.shop.${name}+json` }),
    call: (name: Name, path: string) => ({
      path,
      headers: { accept: `text/html;q=0.1, application/vnd.shop.${name}+json` },
      host: 'shop.test',
    }),
  },
  host: {
    config: (name: Name) => ({ host: `${name}.shop.test` }),
    call: (name: Name, path: string) => ({ path, headers: {}, host: `${name}.shop.test` }),
  },
} as const

const upstreams: Record<string, TestUpstream> = {}
beforeAll(async () => {
  for (const name of names) upstreams[name] = await startUpstream((_request, reply) => json(reply, { name }))
})
afterAll(async () => {
  for (const upstream of Object.values(upstreams)) await upstream.stop()
})

describe.each(Object.keys(selectors) as (keyof typeof selectors)[])('G1: versions by %s', (kind) => {
  const { config, call } = selectors[kind]
  let gate: TestGate
  beforeAll(async () => {
    gate = await startGate({
      upstream: upstreams.v1!.url,
      api: {
        limits: { mode: 'off' },
        versions: Object.fromEntries(
          names.map((name) => [name, { ...config(name), openapi: `./${name}.json`, upstream: upstreams[name]!.url }]),
        ),
      },
      files: Object.fromEntries(names.map((name) => [`${name}.json`, JSON.stringify(documentOf(name))])),
    })
  })
  afterAll(() => gate.stop())

  async function ask(
    name: Name,
    path: string,
    more: { readonly method?: string; readonly headers?: Record<string, string>; readonly body?: string } = {},
  ): Promise<{ status: number; name: string | undefined; code: string | undefined }> {
    const { path: target, headers, host } = call(name, path)
    const client = await rawClient(gate.port)
    const body = more.body ?? ''
    const fields = {
      host,
      connection: 'close',
      ...(body === '' ? {} : { 'content-type': 'application/json', 'content-length': String(body.length) }),
      ...headers,
      ...more.headers,
    }
    const lines = Object.entries(fields).map(([field, value]) => `${field}: ${value}\r\n`)
    client.send(`${more.method ?? 'GET'} ${target} HTTP/1.1\r\n${lines.join('')}\r\n${body}`)
    const text = await client.whole()
    const answer = JSON.parse(text.slice(text.indexOf('{'), text.lastIndexOf('}') + 1))
    return { status: client.statuses().at(-1)!, name: answer.name, code: answer.code }
  }

  test.each(names)('%s reaches its own upstream, by its own document', async (name) => {
    const headers = { 'x-api-key': await gate.key() }
    const hits = names.map((one) => upstreams[one]!.hits.length)
    expect(await ask(name, '/orders', { headers })).toMatchObject({ status: 200, name })
    expect(await ask(name, `/${name}-things`, { headers })).toMatchObject({ status: 200, name })
    expect(await ask(name, `/orders?only-${name}=1`, { headers })).toMatchObject({ status: 200, name })
    expect(await ask(name, `/orders?only-${name}=x`, { headers })).toMatchObject({ status: 400 })
    for (const other of names.filter((one) => one !== name)) {
      expect(await ask(name, `/${other}-things`, { headers })).toMatchObject({ status: 404 })
      expect(await ask(name, `/orders?only-${other}=1`, { headers })).toMatchObject({ status: 400 })
    }
    expect(names.map((one, i) => upstreams[one]!.hits.length - hits[i]!)).toEqual(
      names.map((one) => (one === name ? 3 : 0)),
    )
    expect(upstreams[name]!.hits.at(-1)!.url).toBe(`/orders?only-${name}=1`)
  })

  test('a request that names none, or one there is not, reaches none', async () => {
    const hits = names.map((one) => upstreams[one]!.hits.length)
    const client = await rawClient(gate.port)
    client.send(`GET /orders HTTP/1.1\r\nHost: other.test\r\nX-Version: v9\r\nX-API-Key: ${await gate.key()}\r\n\r\n`)
    expect(await client.status()).toBe(404)
    client.destroy()
    expect(names.map((one) => upstreams[one]!.hits.length)).toEqual(hits)
  })

  describe('N10: the auth suite holds on every version', () => {
    test.each(names)('%s', async (name) => {
      const hits = upstreams[name]!.hits.length
      const key = await gate.key({ scopes: ['orders:write'] })
      const refused = [
        await ask(name, '/orders'),
        await ask(name, '/orders', { headers: { 'x-api-key': 'pc_wrong' } }),
        await ask(name, '/orders', { headers: { authorization: 'Basic cm9vdDpyb290' } }),
        await ask(name, '/orders', { method: 'POST', body: '{}' }),
        await ask(name, '/orders', { headers: { 'x-api-key': await gate.key({ expiresAt: Date.now() - 1 }) } }),
        await ask(name, '/orders', { headers: { 'x-api-key': await gate.key({ cidrs: ['203.0.113.0/24'] }) } }),
      ]
      expect(refused.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 403])
      const weak = { 'x-api-key': await gate.key() }
      expect(await ask(name, '/orders', { method: 'POST', body: '{}', headers: weak })).toMatchObject({ status: 403 })
      expect(await ask(name, '/orders', { method: 'DELETE', headers: weak })).toMatchObject({ status: 405 })
      expect(upstreams[name]!.hits.length).toBe(hits)
      expect(await ask(name, '/status')).toMatchObject({ status: 200, name })
      expect(await ask(name, '/orders', { method: 'POST', body: '{}', headers: { 'x-api-key': key } })).toMatchObject({
        status: 200,
        name,
      })
    })

    test.each(names)('an upgrade of %s without a credential is refused', async (name) => {
      const upgrade = {
        connection: 'Upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      }
      const hits = upstreams[name]!.hits.length
      expect(await ask(name, '/orders', { headers: upgrade })).toMatchObject({ status: 401 })
      expect(upstreams[name]!.hits.length).toBe(hits)
    })
  })
})

describe('G1: which version serves', () => {
  test('a request that names none goes to the default', async () => {
    const gate = await startGate({
      upstream: upstreams.v1!.url,
      api: {
        limits: { mode: 'off' },
        versions: {
          v1: { openapi: './v1.json', upstream: upstreams.v1!.url, default: true },
          v2: { openapi: './v2.json', upstream: upstreams.v2!.url, header: { name: 'X-Version', value: 'v2' } },
        },
      },
      files: Object.fromEntries(names.map((name) => [`${name}.json`, JSON.stringify(documentOf(name))])),
    })
    try {
      const ask = async (headers: Record<string, string>) =>
        (await (await gate.fetch('/status', { headers })).json()) as { name: string }
      expect(await ask({})).toEqual({ name: 'v1' })
      expect(await ask({ 'x-version': 'v2' })).toEqual({ name: 'v2' })
      expect(await ask({ 'x-version': 'v7' })).toEqual({ name: 'v1' })
      const lines = await gate.lines(3)
      expect(lines.map(({ version }) => version)).toEqual(['v1', 'v2', 'v1'])
    } finally {
      await gate.stop()
    }
  })
})

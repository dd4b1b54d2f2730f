import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { createEngine } from '../../src/middleware/engine.ts'
import { runCommand, startGate, type TestGate, writeGate } from '../kit/gate.ts'
import { audience, startIssuer, type TestIssuer } from '../kit/issuer.ts'
import { rawClient } from '../kit/raw.ts'
import { type Hit, startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * Whose is it? (Z4) On the listening gate, with an upstream that itself asks nobody: whatever it holds, it gives. The
 * checks of requests and answers are off, so that the rules stand alone.
 */

const secret = 'of-bob-alone'
const responses = { 200: { description: 'Done.' } }
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
const operation = (operationId: string, more: object = {}) => ({ operationId, responses, ...more })
const json = { content: { 'application/json': {} } }
const order = (operationId: string, more: object = {}) => operation(operationId, { tags: ['orders'], ...more })

const owned = { userId: { type: 'string' } }
const list = (properties: object) => ({ type: 'array', items: { type: 'object', properties } })
const answerOf = (properties: object) => ({
  responses: { 200: { description: '', content: { 'application/json': { schema: { type: 'object', properties } } } } },
})

const document = {
  openapi: '3.1.0',
  info: { title: 'Orders', version: '1' },
  security: [{ main: [] }],
  components: { securitySchemes: { main: { type: 'http', scheme: 'bearer' } } },
  paths: {
    '/orders': { get: order('listOrders'), post: order('createOrder', { requestBody: json }) },
    '/orders/{id}': {
      parameters: [id],
      get: order('getOrder'),
      put: order('putOrder', { requestBody: json }),
      patch: order('patchOrder', { requestBody: json }),
      delete: order('deleteOrder'),
    },
    '/orders/{id}/invoice': { parameters: [id], get: order('getInvoice') },
    '/orders/{id}/cancel': { parameters: [id], post: order('cancelOrder') },
    '/gifts/{id}': {
      parameters: [id],
      get: operation('getGift'),
      patch: operation('patchGift', { requestBody: json }),
    },
    '/users/{user}/notes': {
      parameters: [{ ...id, name: 'user' }],
      get: operation('readNotes'),
      post: operation('writeNotes', { requestBody: json }),
    },
    '/search': { get: operation('search') },
    '/tagged': { get: operation('tagged') },
    '/batch': { post: operation('batch', { requestBody: json }) },
    '/envelope': { post: operation('envelope', { requestBody: json }) },
    '/move': { post: operation('move', { requestBody: json }) },
    '/page': { get: operation('page') },
    '/all-or-none': { get: operation('allOrNone') },
    '/any': { get: operation('any'), post: operation('anyPost', { requestBody: json }) },
    '/loose': { get: operation('loose') },
    '/forbidden': { get: operation('forbidden') },
    '/owned-header': { get: operation('ownedHeader') },
    '/watched': { get: operation('watched') },
    '/free': { get: operation('free') },
    '/catalogue': { get: operation('catalogue', answerOf({ page: { type: 'integer' }, results: list(owned) })) },
    '/cart': { get: operation('cart', answerOf({ ...owned, lines: list({ sku: { type: 'string' } }) })) },
    '/tenanted/{id}': {
      parameters: [
        id,
        { name: 'X-Tenant', in: 'header', schema: { type: 'string' } },
        { name: 'tenant', in: 'query', schema: { type: 'string' } },
        { name: 'realm', in: 'cookie', schema: { type: 'string' } },
      ],
      get: operation('getTenanted'),
      delete: operation('deleteTenanted', {
        parameters: [{ name: 'hard', in: 'query', schema: { type: 'boolean' } }],
      }),
    },
  },
}

const overrides = ['x-http-method-override', 'x-http-method', 'x-method-override', 'x-original-url', 'x-rewrite-url']

const mine = '$response.body#/userId == $claims.sub'
const rules = [
  { match: 'tag:orders', owner: mine, lookup: 'getOrder', unless: 'role:admin' },
  { match: '/gifts/*', owner: `${mine} && $request.body#/userId ==? $claims.sub`, unless: 'role:admin' },
  { match: '/users/*/notes', owner: '$request.path.user == $claims.sub', unless: ['role:admin'] },
  { match: 'op:search', owner: '$request.query.user == $claims.sub' },
  { match: 'op:tagged', owner: '$request.header.X-User == $claims.sub' },
  { match: 'op:batch', owner: '$request.body#/userId == $claims.sub', unless: 'role:admin' },
  { match: 'op:envelope', owner: '$request.body#/userId == $claims.sub', each: '$request.body#/orders' },
  {
    match: 'op:move',
    owner: mine,
    lookup: { operation: 'getOrder', with: { id: '$request.body#/orderId' }, timeout: '300ms' },
  },
  {
    match: 'op:page',
    owner: mine,
    each: '$response.body#/items',
    recount: ['$response.body#/count'],
    drop: ['$response.body#/total', '$response.header.X-Total-Count'],
    unless: 'role:admin',
  },
  { match: 'op:allOrNone', owner: mine, list: 'refuse' },
  { match: 'op:any', owner: mine, unless: 'role:admin' },
  { match: 'op:anyPost', owner: mine, lookup: 'none' },
  { match: 'op:loose', owner: mine, errors: 'pass' },
  { match: 'op:forbidden', owner: mine, deny: 403 },
  { match: 'op:ownedHeader', owner: '$response.header.X-Owner == $claims.sub' },
  { match: 'op:watched', owner: mine, mode: 'observe' },
  { match: 'op:catalogue', owner: mine },
  { match: 'op:cart', owner: mine, each: '$response.body#/lines' },
  { match: '/tenanted/*', owner: mine },
]

let upstream: TestUpstream
let issuer: TestIssuer
let gate: TestGate
const tokens: Record<string, string> = {}
const orders = new Map<string, Record<string, unknown>>()
/** What the next answers of /any and its like are. */
let answer: (reply: ServerResponse, request: IncomingMessage, hit: Hit) => void

function give(reply: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}): void {
  reply.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value))
}

function orderApi(request: IncomingMessage, reply: ServerResponse, hit: Hit): void {
  const { pathname } = new URL(request.url!, 'http://up')
  const [, kind, key, rest] = pathname.split('/')
  if ((kind !== 'orders' && kind !== 'gifts') || key === undefined) {
    if (kind === 'orders' && request.method === 'GET') return give(reply, [...orders.values()])
    if (kind === 'orders') return give(reply, { id: '9', ...JSON.parse(hit.body.toString()) }, 201)
    return answer(reply, request, hit)
  }
  const found = orders.get(decodeURIComponent(key))
  if (found === undefined)
    return give(reply, { error: `no order ${key} in table orders` }, 404, { 'x-table': 'orders' })
  if (rest === 'invoice') return void reply.writeHead(200, { 'content-type': 'application/pdf' }).end('%PDF-1.7')
  if (rest === 'cancel' || request.method === 'DELETE') return void reply.writeHead(204).end()
  if (request.method === 'GET' || request.method === 'HEAD') {
    if (request.headers['if-none-match'] === '"v1"') return void reply.writeHead(304, { etag: '"v1"' }).end()
    return give(reply, found, 200, { etag: '"v1"', 'cache-control': 'public, max-age=60' })
  }
  give(reply, { ...found, ...JSON.parse(hit.body.toString() || '{}') })
}

beforeAll(async () => {
  issuer = await startIssuer()
  upstream = await startUpstream(orderApi)
  gate = await startGate({
    document,
    upstream: upstream.url,
    root: { issuers: { main: { issuer: issuer.url, audience } } },
    api: {
      authorize: { rules },
      validate: { request: 'off', response: 'off' },
      waf: { mode: 'off' },
      limits: { mode: 'off' },
      errors: { mode: 'off' },
      // Named in so many words they would pass everywhere else.
      headers: { request: { allow: 'all', also: overrides } },
    },
  })
  for (const [name, claims] of Object.entries<Record<string, unknown>>({
    alice: { sub: 'alice' },
    bob: { sub: 'bob' },
    seven: { sub: '7' },
    emil: { sub: 'é' },
    admin: { sub: 'root', roles: ['admin'] },
    nobody: { sub: undefined, client_id: 'robot' },
  })) {
    tokens[name] = await issuer.token(claims)
  }
})
beforeEach(() => {
  upstream.hits.length = 0
  orders.clear()
  orders.set('1', { id: '1', userId: 'alice', item: 'tea' })
  orders.set('2', { id: '2', userId: 'bob', item: secret })
  orders.set('3', { id: '3', userId: 'bob', item: secret })
  answer = (reply) => give(reply, {})
})
afterAll(async () => {
  await gate.stop()
  await upstream.stop()
  await issuer.stop()
})

type Who = 'alice' | 'bob' | 'seven' | 'emil' | 'admin'

interface Init {
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: string | object
}

async function ask(who: Who, path: string, { method = 'GET', headers = {}, body }: Init = {}) {
  const reply = await gate.fetch(path, {
    method,
    headers: {
      authorization: `Bearer ${tokens[who]}`,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await reply.text()
  return { status: reply.status, headers: reply.headers, text, json: () => JSON.parse(text) }
}

const statusOf = async (...all: Parameters<typeof ask>) => (await ask(...all)).status
const seen = () => upstream.hits.map(({ method, url }) => `${method} ${url}`)

describe('Z4: an object', () => {
  test("is its owner's and the administrator's, and to everybody else it is not there", async () => {
    expect((await ask('alice', '/orders/1')).json()).toMatchObject({ item: 'tea' })
    expect((await ask('bob', '/orders/2')).json()).toMatchObject({ item: secret })
    expect((await ask('admin', '/orders/2')).json()).toMatchObject({ item: secret })
    const refused = await ask('alice', '/orders/2')
    expect(refused.status).toBe(404)
    expect(refused.text).not.toContain(secret)
  })

  test("of somebody else is answered like one that is not there, but for the request's own id", async () => {
    const plain = ({ status, headers, text }: Awaited<ReturnType<typeof ask>>) => ({
      status,
      text: text.replaceAll(/req_\w+/g, 'req'),
      headers: [...headers]
        .filter(([name]) => name !== 'date')
        .map((pair) => pair.join(': ').replaceAll(/req_\w+/g, 'req')),
    })
    for (const init of [{}, { method: 'DELETE' }, { method: 'PUT', body: {} }, { method: 'HEAD' }]) {
      const stranger = plain(await ask('alice', '/orders/2', init))
      const missing = plain(await ask('alice', '/orders/404', init))
      expect(stranger).toEqual(missing)
      expect(stranger.status).toBe(404)
    }
  })

  test('is refused with the rule and the attribute that failed in the log, and not a value', async () => {
    const before = (await gate.lines()).length
    await ask('alice', '/orders/2')
    const line = (await gate.lines(before + 1)).at(-1)!
    expect(line).toMatchObject({ status: 404 })
    const text = JSON.stringify(line)
    expect(text).toContain('authorize.rules[0]')
    expect(text).toContain(`"failed":${JSON.stringify(mine)}`)
    expect(text).toContain('"because":"differs"')
    expect(text).not.toContain(secret)
  })

  test.each(['PUT', 'PATCH', 'DELETE'])("is looked up before %s, and a stranger's is not touched", async (method) => {
    const init = { method, ...(method === 'DELETE' ? {} : { body: { item: 'x' } }) }
    expect(await statusOf('alice', '/orders/2', init)).toBe(404)
    expect(seen()).toEqual(['GET /orders/2'])
    upstream.hits.length = 0
    expect(await statusOf('alice', '/orders/1', init)).toBeLessThan(300)
    expect(seen()).toEqual(['GET /orders/1', `${method} /orders/1`])
    upstream.hits.length = 0
    expect(await statusOf('admin', '/orders/2', init)).toBeLessThan(300)
    expect(seen()).toEqual([`${method} /orders/2`])
  })

  test("is looked up with the gate's word for the caller and no header of theirs", async () => {
    await ask('alice', '/orders/1', {
      method: 'DELETE',
      headers: { 'x-custom': 'mine', cookie: 'a=b', 'if-none-match': '"v1"', range: 'bytes=0-1' },
    })
    const [lookup, write] = upstream.hits
    expect(lookup!.headers['portcullis-subject']).toBe('alice')
    expect(lookup!.headers['x-custom']).toBeUndefined()
    expect(lookup!.headers.cookie).toBeUndefined()
    expect(lookup!.headers['if-none-match']).toBeUndefined()
    expect(lookup!.headers.authorization).toBeUndefined()
    expect(write!.headers['x-custom']).toBe('mine')
  })

  test('is looked up where the write would find it: with the parameters that both operations document', async () => {
    answer = (reply, request) => {
      const isNorth = request.headers['x-tenant'] === 'north' && request.url!.includes('tenant=n%20orth')
      give(reply, { userId: isNorth && request.headers.cookie === 'realm=r; other=o' ? 'alice' : 'bob' })
    }
    const init = { method: 'DELETE', headers: { 'x-tenant': 'north', cookie: 'realm=r; other=o', 'x-other': 'o' } }
    expect(await statusOf('alice', '/tenanted/1?hard=true&tenant=n%20orth&q=1', init)).toBe(200)
    expect(seen()).toEqual(['GET /tenanted/1?tenant=n%20orth', 'DELETE /tenanted/1?hard=true&tenant=n%20orth&q=1'])
    expect(upstream.hits[0]!.headers['x-other']).toBeUndefined()
    expect(await statusOf('alice', '/tenanted/1?hard=true', { method: 'DELETE' })).toBe(404)
  })

  test('decides about what stands below it', async () => {
    expect((await ask('alice', '/orders/1/invoice')).text).toBe('%PDF-1.7')
    expect(await statusOf('alice', '/orders/2/invoice')).toBe(404)
    expect(await statusOf('alice', '/orders/2/cancel', { method: 'POST' })).toBe(404)
    expect(seen()).toEqual(['GET /orders/1', 'GET /orders/1/invoice', 'GET /orders/2', 'GET /orders/2'])
    expect(await statusOf('alice', '/orders/1/cancel', { method: 'POST' })).toBe(204)
  })

  test('that is new belongs to whom the answer names', async () => {
    expect(await statusOf('alice', '/orders', { method: 'POST', body: { userId: 'alice' } })).toBe(201)
    const other = await ask('alice', '/orders', { method: 'POST', body: { userId: 'bob', item: secret } })
    expect(other.status).toBe(404)
    expect(other.text).not.toContain(secret)
  })

  test('is not given away where the body is named, with or without the owner in it', async () => {
    expect(await statusOf('alice', '/gifts/1', { method: 'PATCH', body: { item: 'x' } })).toBe(200)
    expect(await statusOf('alice', '/gifts/1', { method: 'PATCH', body: { userId: 'alice' } })).toBe(200)
    upstream.hits.length = 0
    expect(await statusOf('alice', '/gifts/1', { method: 'PATCH', body: { userId: 'bob' } })).toBe(404)
    expect(await statusOf('alice', '/gifts/1', { method: 'PATCH', body: { userId: null } })).toBe(404)
    expect(await statusOf('alice', '/gifts/1', { method: 'PATCH', body: { userId: ['alice'] } })).toBe(404)
    // Refused by the body alone: nobody had to be asked.
    expect(seen()).toEqual([])
    expect(await statusOf('alice', '/gifts/2', { method: 'PATCH', body: { userId: 'alice' } })).toBe(404)
    expect(seen()).toEqual(['GET /gifts/2'])
    expect(await statusOf('alice', '/gifts/1')).toBe(200)
    expect(await statusOf('alice', '/gifts/2')).toBe(404)
  })

  test("is nobody's without a caller", async () => {
    const reply = await gate.fetch('/orders/1')
    expect(reply.status).toBe(401)
    expect(upstream.hits).toHaveLength(0)
  })

  test('answered with 403 where the rule says so', async () => {
    answer = (reply) => give(reply, { userId: 'bob', secret })
    const refused = await ask('alice', '/forbidden')
    expect(refused.status).toBe(403)
    expect(refused.json().code).toBe('authorize.not-owner')
    expect(await statusOf('bob', '/forbidden')).toBe(200)
  })

  test('passes where the rule is only observed, and the log says what would have been', async () => {
    answer = (reply) => give(reply, { userId: 'bob' })
    const before = (await gate.lines()).length
    expect((await ask('alice', '/watched')).json()).toEqual({ userId: 'bob' })
    expect(JSON.stringify((await gate.lines(before + 1)).at(-1))).toContain('authorize.not-found')
    // Not even what nobody could look into is held back.
    answer = (reply) => void reply.writeHead(200, { 'content-type': 'application/json' }).end('{"a":1,"a":2}')
    expect((await ask('alice', '/watched')).text).toBe('{"a":1,"a":2}')
    answer = (reply) => give(reply, [{ userId: 'bob' }])
    expect((await ask('alice', '/watched')).json()).toEqual([{ userId: 'bob' }])
  })
})

describe('what the request says', () => {
  test.each<[Who, string, number]>([
    ['alice', '/users/alice/notes', 200],
    ['alice', '/users/%61lice/notes', 200],
    ['alice', '/users/bob/notes', 404],
    ['alice', '/users/Alice/notes', 404],
    ['alice', '/users/alice;x=1/notes', 404],
    ['alice', '/users/alice%20/notes', 404],
    ['alice', '/users/alice%00/notes', 400],
    ['alice', '/users/alice%2Fnotes%2F..%2F..%2Fbob/notes', 400],
    ['alice', '/users/bob/../alice/notes', 400],
    ['admin', '/users/bob/notes', 200],
    ['seven', '/users/7/notes', 200],
    ['seven', '/users/07/notes', 404],
    ['seven', '/users/7.0/notes', 404],
    ['emil', '/users/%C3%A9/notes', 200],
    ['emil', '/users/e%CC%81/notes', 404],
    ['emil', '/users/%E9/notes', 400],
    ['alice', '/search?user=alice', 200],
    ['alice', '/search?user=%61lice', 200],
    ['alice', '/search', 404],
    ['alice', '/search?user=', 404],
    ['alice', '/search?user=bob', 404],
    ['alice', '/search?user=alice&user=bob', 404],
    ['alice', '/search?user=bob&user=alice', 404],
    ['alice', '/search?user=alice&user=alice', 404],
    ['alice', '/search?user=alice&user[]=bob', 404],
    ['alice', '/search?user=alice&USER=bob', 404],
    ['alice', '/search?user=alice&user%20=bob', 404],
    ['alice', '/search?user=alice&user[0]=bob', 404],
    ['alice', '/search?user=alice&us%65r=bob', 404],
    ['alice', '/search?user=alice&q=bob', 200],
  ])('%s asks for %s: %i', async (who, path, status) => {
    // As the bytes stand: fetch would tidy up the path.
    const client = await rawClient(gate.port)
    client.send(`GET ${path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens[who]}\r\n\r\n`)
    expect(await client.status()).toBe(status)
    client.destroy()
    expect(upstream.hits).toHaveLength(status === 200 ? 1 : 0)
  })

  test.each<[string, number]>([
    ['x-user: alice', 200],
    ['X-User: bob', 404],
    ['x-user: alice\r\nx-user: bob', 404],
    ['x-user: alice\r\nx_user: bob', 404],
    ['x-user: alice, bob', 404],
    ['x-other: alice', 404],
  ])('a header %j: %i', async (headers, status) => {
    const client = await rawClient(gate.port)
    client.send(`GET /tagged HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.alice}\r\n${headers}\r\n\r\n`)
    expect(await client.status()).toBe(status)
    client.destroy()
  })

  test.each<[string, number]>([
    ['{"userId":"alice"}', 200],
    ['{"userId":"bob"}', 404],
    ['{}', 404],
    ['', 404],
    ['null', 404],
    ['{"userId":"alice","userId":"bob"}', 400],
    ['{"userId":"alice","user\\u0049d":"bob"}', 400],
    ['{"userId":{"$ne":1}}', 404],
    ['{"userId":"alice"', 400],
    ['\ufeff{"userId":"alice"}', 400],
    // A batch: each of them counts.
    ['[{"userId":"alice"},{"userId":"alice"}]', 200],
    ['[{"userId":"alice"},{"userId":"bob"}]', 404],
    ['[{"userId":"alice"},{}]', 404],
    ['[]', 404],
    [JSON.stringify(Array(1_000).fill({ userId: 'alice' })), 200],
    [JSON.stringify(Array(1_001).fill({ userId: 'alice' })), 400],
  ])('a body %.80s: %i', async (body, status) => {
    expect(await statusOf('alice', '/batch', { method: 'POST', body })).toBe(status)
    expect(upstream.hits).toHaveLength(status === 200 ? 1 : 0)
  })

  test('a body of another media type is not taken for JSON', async () => {
    for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/json; charset=utf-16']) {
      const init = { method: 'POST', headers: { 'content-type': type }, body: '{"userId":"alice"}' }
      expect(await statusOf('alice', '/batch', init), type).toBe(400)
    }
    expect(upstream.hits).toHaveLength(0)
  })

  test('a batch within the body is found where the rule says', async () => {
    const body = (...users: string[]) => ({ orders: users.map((userId) => ({ userId })) })
    expect(await statusOf('alice', '/envelope', { method: 'POST', body: body('alice', 'alice') })).toBe(200)
    expect(await statusOf('alice', '/envelope', { method: 'POST', body: body('alice', 'bob') })).toBe(404)
    expect(await statusOf('alice', '/envelope', { method: 'POST', body: body() })).toBe(404)
    expect(await statusOf('alice', '/envelope', { method: 'POST', body: {} })).toBe(404)
  })

  test('a look-up by the body asks for each object once', async () => {
    const move = (body: unknown) => statusOf('alice', '/move', { method: 'POST', body: JSON.stringify(body) })
    answer = (reply) => give(reply, { moved: true })
    expect(await move({ orderId: '1' })).toBe(200)
    expect(seen()).toEqual(['GET /orders/1', 'POST /move'])
    upstream.hits.length = 0
    expect(await move({ orderId: '2' })).toBe(404)
    expect(await move([{ orderId: '1' }, { orderId: '2' }])).toBe(404)
    expect(seen()).not.toContain('POST /move')
    expect(await move([{ orderId: '1' }, { orderId: 1 }])).toBe(200)
    for (const orderId of [null, '', '../orders/1', '1/../2', '..', '1?x', '1#', {}, ['1'], 1.5, 2 ** 53]) {
      upstream.hits.length = 0
      expect(await move({ orderId }), String(orderId)).not.toBe(200)
      expect(seen()).not.toContain('POST /move')
    }
    upstream.hits.length = 0
    expect(await move(Array(51).fill({ orderId: '1' }))).toBe(400)
    expect(seen()).toEqual([])
  })
})

describe('an attacker', () => {
  test.each<[string, string, Init]>([
    ['names another order in the body', '/orders/1', { method: 'PATCH', body: { id: '2', item: 'x' } }],
    ['names it in another spelling', '/orders/1', { method: 'PATCH', body: { Id: '2' } }],
    ['names it as a list', '/orders/1', { method: 'PATCH', body: { id: ['1', '2'] } }],
    ['names it in a batch', '/orders/1', { method: 'PUT', body: [{ id: '1' }, { id: '2' }] }],
    ['names it in the query', '/orders/1?id=2', { method: 'PATCH', body: {} }],
    ['names it twice in the query', '/orders/1?id=1&id=2', { method: 'PATCH', body: {} }],
    ['names it in a query of brackets', '/orders/1?id[]=2', { method: 'PATCH', body: {} }],
    [
      'names it in a form',
      '/orders/1',
      { method: 'PATCH', headers: { 'content-type': 'application/x-www-form-urlencoded' }, body: 'id=1&id=2' },
    ],
    [
      'says that JSON is text',
      '/orders/1',
      { method: 'PATCH', headers: { 'content-type': 'text/plain' }, body: '{"id":"2"}' },
    ],
    [
      'says that JSON with a key twice is text',
      '/orders/1',
      { method: 'PATCH', headers: { 'content-type': 'text/plain' }, body: '{"id":"1","id":"2"}' },
    ],
    [
      'says that JSON behind a byte order mark is text',
      '/orders/1',
      { method: 'PATCH', headers: { 'content-type': 'text/plain' }, body: '\ufeff{"id":"2"}' },
    ],
    [
      'names it in a form of parts',
      '/orders/1',
      {
        method: 'PATCH',
        headers: { 'content-type': 'multipart/form-data; boundary=x' },
        body: '--x\r\nContent-Disposition: form-data; name="id"\r\n\r\n2\r\n--x--\r\n',
      },
    ],
    ['names it in the query behind a semicolon', '/orders/1?a=1;id=2', { method: 'PATCH', body: {} }],
    ['has two keys of one name', '/orders/1', { method: 'PATCH', body: '{"id":"1","id":"2"}' }],
    ['overrides the method in the query of a read', '/orders/1?_method=DELETE', {}],
    ['overrides it in other letters', '/orders/1?_METHOD=DELETE', {}],
    ['overrides it when encoded', '/orders/1?%5Fmethod=DELETE', {}],
  ])('who %s is refused before the upstream could act', async (_what, path, init) => {
    const status = await statusOf('alice', path, init)
    expect(status === 404 || status === 400).toBe(true)
    expect(seen().filter((line) => !line.startsWith('GET /orders/'))).toEqual([])
  })

  test.each(overrides)('finds that %s goes no further', async (name) => {
    expect(await statusOf('alice', '/orders/1', { headers: { [name]: 'DELETE' } })).toBe(200)
    expect(upstream.hits[0]!.headers[name]).toBeUndefined()
    await ask('alice', '/free', { headers: { [name]: 'DELETE' } })
    expect(upstream.hits[1]!.headers[name]).toBe('DELETE')
  })

  test('who says the same id again does no harm', async () => {
    expect(await statusOf('alice', '/orders/1?id=1', { method: 'PATCH', body: { id: '1' } })).toBe(200)
    expect(await statusOf('alice', '/orders/1', { method: 'PATCH', body: { id: 1 } })).toBe(200)
  })

  test('who guesses by conditions learns nothing: the upstream is asked for the whole object', async () => {
    for (const headers of [
      { 'if-none-match': '"v1"' },
      { 'if-modified-since': new Date().toUTCString() },
      { 'if-match': '"other"' },
      { range: 'bytes=0-3' },
    ] as Record<string, string>[]) {
      upstream.hits.length = 0
      expect(await statusOf('alice', '/orders/2', { headers })).toBe(404)
      expect(await statusOf('alice', '/orders/1', { headers })).toBe(200)
      for (const name of Object.keys(headers)) expect(upstream.hits[0]!.headers[name]).toBeUndefined()
    }
  })

  test('who asks with HEAD sees what GET would let them see', async () => {
    expect(await statusOf('alice', '/orders/1', { method: 'HEAD' })).toBe(200)
    const refused = await ask('alice', '/orders/2', { method: 'HEAD' })
    expect(refused.status).toBe(404)
    expect(refused.headers.get('etag')).toBeNull()
    expect(seen()).toEqual(['GET /orders/1', 'HEAD /orders/1', 'GET /orders/2'])
  })

  test('who opens a WebSocket on an object gets none', async () => {
    const client = await rawClient(gate.port)
    client.send(
      `GET /orders/1 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.alice}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n`,
    )
    expect(await client.status()).toBe(404)
    client.destroy()
    expect(upstream.hits).toHaveLength(0)
  })

  test('finds no answer in a shared cache', async () => {
    expect((await ask('alice', '/orders/1')).headers.get('cache-control')).toBe('private, max-age=60')
    expect((await ask('admin', '/orders/1')).headers.get('cache-control')).toBe('private, max-age=60')
    answer = (reply) => give(reply, { userId: 'alice' })
    expect((await ask('alice', '/any')).headers.get('cache-control')).toBe('no-store')
  })
})

describe('an answer', () => {
  const body = (text: string | Buffer, headers: Record<string, string> = {}, status = 200) => {
    answer = (reply) => reply.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text)
  }

  test.each<[string, string, number]>([
    ['its owner', '{"userId":"alice"}', 200],
    ['somebody else', `{"userId":"bob","x":"${secret}"}`, 404],
    ['nobody', `{"x":"${secret}"}`, 404],
    ['null', `{"userId":null,"x":"${secret}"}`, 404],
    ['two owners', `{"userId":"bob","x":"${secret}","userId":"alice"}`, 502],
    ['two owners in two spellings', `{"userId":"alice","user\\u0049d":"bob","x":"${secret}"}`, 502],
    ['broken JSON', `{"userId":"alice","x":"${secret}`, 502],
    ['JSON and more', `{"userId":"alice"}{"x":"${secret}"}`, 502],
    ['a byte order mark', `\ufeff{"userId":"alice"}`, 502],
    ['nothing', '', 502],
    ['a large number beside it', '{"userId":"alice","n":12345678901234567890}', 200],
    ['a scalar', `"${secret}"`, 404],
  ])('that shows %s', async (_what, text, status) => {
    body(text)
    const reply = await ask('alice', '/any')
    expect(reply.status).toBe(status)
    expect(reply.text).not.toContain(secret)
    if (status === 200) expect(reply.text).toBe(text)
  })

  test.each<[Who, string, number]>([
    ['seven', '{"userId":7}', 200],
    ['seven', '{"userId":"7"}', 200],
    ['seven', '{"userId":7.0}', 200],
    ['seven', '{"userId":"07"}', 404],
    ['seven', '{"userId":70}', 404],
    ['emil', '{"userId":"\\u00e9"}', 200],
    ['emil', '{"userId":"e\\u0301"}', 404],
  ])('for %s that shows %s: %i', async (who, text, status) => {
    body(text)
    expect(await statusOf(who, '/any')).toBe(status)
  })

  test('in a content coding is decoded first', async () => {
    body(gzipSync('{"userId":"alice"}'), { 'content-encoding': 'gzip' })
    expect((await ask('alice', '/any')).json()).toEqual({ userId: 'alice' })
    body(gzipSync(`{"userId":"bob","x":"${secret}"}`), { 'content-encoding': 'gzip' })
    expect(await statusOf('alice', '/any')).toBe(404)
    body('{"userId":"alice"}', { 'content-encoding': 'gzip' })
    expect(await statusOf('alice', '/any')).toBe(502)
    body('{"userId":"alice"}', { 'content-encoding': 'unheard-of' })
    expect(await statusOf('alice', '/any')).toBe(502)
  })

  test.each<[string, Record<string, string>]>([
    ['HTML', { 'content-type': 'text/html' }],
    ['lines of JSON', { 'content-type': 'application/x-ndjson' }],
    ['events', { 'content-type': 'text/event-stream' }],
    ['another encoding', { 'content-type': 'application/json; charset=utf-16' }],
  ])('that is %s is refused although it names the caller', async (_what, headers) => {
    body('{"userId":"alice"}', headers)
    expect(await statusOf('alice', '/any')).toBe(502)
  })

  test('that is larger than what can be held is refused, and just below passes', async () => {
    const large = (bytes: number) => JSON.stringify({ userId: 'alice', x: 'a'.repeat(bytes - 25) })
    body(large(10 * 1024 * 1024))
    expect(await statusOf('alice', '/any')).toBe(200)
    body(large(10 * 1024 * 1024 + 1))
    expect(await statusOf('alice', '/any')).toBe(502)
  })

  test.each<[number, number]>([
    [301, 502],
    [302, 502],
    [307, 502],
    [400, 400],
    [401, 404],
    [403, 404],
    [404, 404],
    [409, 409],
    [410, 404],
    [500, 500],
    [503, 503],
  ])('of status %i shows no owner and reaches the caller as %i without its body', async (from, to) => {
    body(JSON.stringify({ userId: 'alice', x: secret }), { location: `https://files.example/${secret}` }, from)
    const reply = await ask('alice', '/any')
    expect(reply.status).toBe(to)
    expect(reply.text).not.toContain(secret)
    expect([...reply.headers].join()).not.toContain(secret)
  })

  test('of an error passes where the rule says so, and a redirect never does', async () => {
    body('{"why":"odd id"}', {}, 400)
    expect((await ask('alice', '/loose')).json()).toEqual({ why: 'odd id' })
    body('', { location: 'https://files.example/' }, 302)
    expect(await statusOf('alice', '/loose')).toBe(502)
  })

  test('without content passes after a write, and not after a read', async () => {
    answer = (reply) => void reply.writeHead(204).end()
    expect(await statusOf('alice', '/any')).toBe(502)
    expect(await statusOf('alice', '/any', { method: 'POST', body: {} })).toBe(204)
    body(`{"userId":"bob","x":"${secret}"}`)
    expect(await statusOf('alice', '/any', { method: 'POST', body: {} })).toBe(404)
  })

  test('may name its owner in a header, and then streams', async () => {
    answer = (reply) => reply.writeHead(200, { 'content-type': 'text/csv', 'x-owner': 'alice' }).end('a,b')
    expect((await ask('alice', '/owned-header')).text).toBe('a,b')
    expect(await statusOf('bob', '/owned-header')).toBe(404)
    answer = (reply) => reply.writeHead(200, { 'content-type': 'text/csv' }).end(secret)
    expect(await statusOf('alice', '/owned-header')).toBe(404)
  })
})

describe('a list', () => {
  test("holds what is the caller's, and the administrator sees all of it", async () => {
    expect((await ask('alice', '/orders')).json()).toEqual([orders.get('1')])
    expect((await ask('bob', '/orders')).json()).toHaveLength(2)
    expect((await ask('seven', '/orders')).json()).toEqual([])
    expect((await ask('admin', '/orders')).json()).toHaveLength(3)
  })

  test('is told of by a length of its own and no validator of the whole', async () => {
    answer = (reply) =>
      give(reply, [{ userId: 'alice' }, { userId: 'bob', x: secret }], 200, { etag: '"all"', 'x-total-count': '2' })
    const reply = await ask('alice', '/any')
    expect(reply.json()).toEqual([{ userId: 'alice' }])
    expect(reply.headers.get('content-length')).toBe(String(reply.text.length))
    expect(reply.headers.get('etag')).toBeNull()
  })

  test('within an envelope is filtered, counted anew, and what tells of the rest is dropped', async () => {
    const items = [{ userId: 'alice' }, { userId: 'bob', x: secret }, { x: secret }, secret, null, [secret]]
    answer = (reply) => give(reply, { items, count: 6, total: 4711, next: 'p2' }, 200, { 'x-total-count': '4711' })
    const reply = await ask('alice', '/page')
    expect(reply.json()).toEqual({ items: [{ userId: 'alice' }], count: 1, next: 'p2' })
    expect(reply.headers.get('x-total-count')).toBeNull()
    expect((await ask('admin', '/page')).json()).toMatchObject({ count: 6, total: 4711 })
    // All their own: how many others there are is still told to nobody.
    answer = (reply) => give(reply, { items: [{ userId: 'alice' }], count: 1, total: 4711 })
    expect((await ask('alice', '/page')).json()).toEqual({ items: [{ userId: 'alice' }], count: 1 })
  })

  test('is found where the document shows it, and an object that holds a list is an object', async () => {
    answer = (reply) => give(reply, { page: 1, results: [{ userId: 'bob', x: secret }, { userId: 'alice' }] })
    expect((await ask('alice', '/catalogue')).json()).toEqual({ page: 1, results: [{ userId: 'alice' }] })
    answer = (reply) => give(reply, { userId: 'alice', lines: [{ sku: 'a' }, { sku: 'b' }] })
    expect((await ask('alice', '/cart')).json().lines).toHaveLength(2)
    expect(await statusOf('bob', '/cart')).toBe(404)
  })

  test('whose envelope has no list is judged as one object', async () => {
    answer = (reply) => give(reply, { items: { x: secret } })
    expect(await statusOf('alice', '/page')).toBe(404)
  })

  test('with one object of somebody else is refused where the rule says so', async () => {
    answer = (reply) => give(reply, [{ userId: 'alice' }, { userId: 'bob' }])
    expect(await statusOf('alice', '/all-or-none')).toBe(404)
    answer = (reply) => give(reply, [{ userId: 'alice' }])
    expect(await statusOf('alice', '/all-or-none')).toBe(200)
    answer = (reply) => give(reply, [])
    expect((await ask('alice', '/all-or-none')).json()).toEqual([])
  })

  test('with numbers that would change is sent whole or not at all', async () => {
    const big = '12345678901234567890'
    answer = (reply) =>
      void reply.writeHead(200, { 'content-type': 'application/json' }).end(`[{"userId":"alice","n":${big}}]`)
    expect((await ask('alice', '/any')).text).toContain(big)
    answer = (reply) =>
      void reply
        .writeHead(200, { 'content-type': 'application/json' })
        .end(`[{"userId":"alice","n":${big}},{"userId":"bob"}]`)
    expect(await statusOf('alice', '/any')).toBe(502)
  })

  test('in pieces and in a coding is the same', async () => {
    const text = JSON.stringify([{ userId: 'alice' }, { userId: 'bob', x: secret }])
    answer = (reply) => {
      const bytes = gzipSync(text)
      reply.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'gzip' })
      reply.write(bytes.subarray(0, 10))
      setTimeout(() => reply.end(bytes.subarray(10)), 20)
    }
    const reply = await ask('alice', '/any')
    expect(reply.json()).toEqual([{ userId: 'alice' }])
    expect(reply.headers.get('content-encoding')).toBeNull()
  })
})

describe('a look-up', () => {
  const patch = (path = '/orders/1') => ask('alice', path, { method: 'PATCH', body: {} })
  let broken: ((reply: ServerResponse) => void) | undefined
  let other: TestUpstream
  let second: TestGate

  beforeAll(async () => {
    other = await startUpstream((request, reply, hit) => {
      if (request.method === 'GET' && broken !== undefined) broken(reply)
      else orderApi(request, reply, hit)
    })
    second = await startGate({
      document,
      upstream: other.url,
      root: { issuers: { main: { issuer: issuer.url, audience } } },
      api: {
        authorize: {
          rules: [
            {
              match: '/orders/*',
              owner: mine,
              lookup: { operation: 'getOrder', timeout: '200ms', ifMatch: true },
            },
          ],
        },
        validate: { request: 'off', response: 'off' },
      },
    })
  })
  beforeEach(() => {
    broken = undefined
    other.hits.length = 0
  })
  afterAll(async () => {
    await second.stop()
    await other.stop()
  })

  const write = async () => {
    const reply = await second.fetch('/orders/1', {
      method: 'PATCH',
      headers: { authorization: `Bearer ${tokens.alice}`, 'content-type': 'application/json' },
      body: '{}',
    })
    await reply.text()
    return reply.status
  }

  test.each<[string, (reply: ServerResponse) => void, number]>([
    ['fails', (reply) => give(reply, {}, 500), 502],
    ['leads elsewhere', (reply) => void reply.writeHead(302, { location: '/orders/2' }).end(), 502],
    ['is forbidden', (reply) => give(reply, {}, 403), 404],
    ['finds nothing', (reply) => give(reply, {}, 404), 404],
    ["finds nobody's", (reply) => give(reply, {}), 404],
    ['finds an empty list', (reply) => give(reply, []), 404],
    ['finds two owners', (reply) => give(reply, [{ userId: 'alice' }, { userId: 'bob' }]), 404],
    ['finds no JSON', (reply) => void reply.writeHead(200, { 'content-type': 'text/html' }).end('<p>'), 502],
    [
      'finds two keys of one name',
      (reply) =>
        void reply.writeHead(200, { 'content-type': 'application/json' }).end('{"userId":"bob","userId":"alice"}'),
      502,
    ],
    ['finds too much', (reply) => give(reply, { userId: 'alice', x: 'a'.repeat(1_100_000) }), 502],
    ['hangs', () => {}, 504],
    ['breaks off', (reply) => void reply.destroy(), 502],
  ])('that %s lets no write pass', async (_what, how, status) => {
    broken = how
    expect(await write()).toBe(status)
    expect(other.hits.map(({ method }) => method)).not.toContain('PATCH')
  })

  test('of one caller for one object is asked once for many requests at a time, and again for the next', async () => {
    broken = (reply) => void setTimeout(() => give(reply, orders.get('1')), 50)
    const statuses = await Promise.all(Array.from({ length: 10 }, write))
    expect(new Set(statuses)).toEqual(new Set([200]))
    const gets = () => other.hits.filter(({ method }) => method === 'GET').length
    const asked = gets()
    expect(asked).toBeLessThan(10)
    broken = undefined
    expect(await write()).toBe(200)
    expect(gets()).toBe(asked + 1)
  })

  test('is another one for another caller', async () => {
    await Promise.all([patch('/orders/1'), ask('bob', '/orders/1', { method: 'PATCH', body: {} })])
    expect(seen().filter((line) => line === 'GET /orders/1')).toHaveLength(2)
    expect(seen().filter((line) => line === 'PATCH /orders/1')).toHaveLength(1)
  })

  test('gives its strong ETag to the write as If-Match, so that a change in between is seen', async () => {
    expect(await write()).toBe(200)
    expect(other.hits.at(-1)!.headers['if-match']).toBe('"v1"')
  })

  test("done, an answer that shows somebody else's object is held back all the same", async () => {
    let gone = false
    broken = (reply) => {
      give(reply, { userId: 'alice' })
      gone = true
    }
    orders.set('1', { id: '1', userId: 'bob', item: secret })
    expect(await write()).toBe(404)
    expect(gone).toBe(true)
  })
})

test("whatever the upstream holds, nothing of a stranger's object leaves", async () => {
  const user = fc.constantFrom<unknown>(
    'alice',
    'bob',
    'Alice',
    'alice ',
    '',
    null,
    7,
    ['alice'],
    { sub: 'alice' },
    true,
  )
  const object = fc.record({ userId: user, mark: fc.constant(0), note: fc.string() }, { requiredKeys: ['mark'] })
  const shape = fc.oneof(
    object,
    fc.array(object, { maxLength: 8 }),
    fc.record({ items: fc.array(object, { maxLength: 8 }) }),
  )
  await fc.assert(
    fc.asyncProperty(
      shape,
      fc.constantFrom('/any', '/page', '/all-or-none'),
      fc.boolean(),
      async (held, path, zipped) => {
        let marks = 0
        const strangers: string[] = []
        const own: string[] = []
        const marked = JSON.parse(
          JSON.stringify(held, (key, value: unknown) => {
            if (typeof value !== 'object' || value === null || !('mark' in value)) return value
            const mark = `mark-${marks++}-end`
            ;((value as { userId?: unknown }).userId === 'alice' ? own : strangers).push(mark)
            return key === 'mark' ? value : { ...value, mark }
          }),
        )
        const text = Buffer.from(JSON.stringify(marked))
        answer = (reply) => {
          reply.writeHead(200, {
            'content-type': 'application/json',
            ...(zipped ? { 'content-encoding': 'gzip' } : {}),
          })
          reply.end(zipped ? gzipSync(text) : text)
        }
        const reply = await ask('alice', path)
        for (const mark of strangers) expect(reply.text).not.toContain(mark)
        // And what is theirs arrives, unless a list is refused for the others in it.
        if (reply.status === 200) for (const mark of own) expect(reply.text).toContain(mark)
        else expect(own.length === 0 || path === '/all-or-none' || path === '/any' || strangers.length > 0).toBe(true)
      },
    ),
    { numRuns: 200 },
  )
}, 60_000)

test("whatever is asked, no write reaches a stranger's object", async () => {
  const names = fc.constantFrom<Who>('alice', 'bob', 'seven')
  const ids = fc.constantFrom<unknown>('1', '2', '3', '4', 1, 2, null, ['1', '2'])
  const body = fc.record(
    { id: ids, Id: ids, userId: fc.constantFrom('alice', 'bob'), item: fc.string() },
    { requiredKeys: [] },
  )
  await fc.assert(
    fc.asyncProperty(
      names,
      fc.constantFrom('PUT', 'PATCH', 'DELETE'),
      fc.constantFrom('1', '2', '3', '4', '%31', '1;2', '1.json'),
      fc.constantFrom('', '?id=2', '?ID=1', '?x=1'),
      fc.oneof(body, fc.array(body, { maxLength: 3 })),
      async (who, method, path, query, sent) => {
        upstream.hits.length = 0
        await ask(who, `/orders/${path}${query}`, { method, ...(method === 'DELETE' ? {} : { body: sent }) })
        for (const hit of upstream.hits) {
          if (hit.method === 'GET') continue
          const target = decodeURIComponent(hit.url.split('/')[2]!.split('?')[0]!)
          expect(orders.get(target)?.userId).toBe(who)
          // Whichever of the places the upstream believes, it finds the same object.
          const said = [new URL(hit.url, 'http://up').searchParams.get('id'), ...idsIn(hit.body.toString())]
          for (const one of said) if (one !== null) expect(String(one)).toBe(target)
        }
      },
    ),
    { numRuns: 300 },
  )
}, 60_000)

function idsIn(body: string): unknown[] {
  const found: unknown[] = []
  if (body === '') return found
  JSON.parse(body, (key, value: unknown) => {
    if (key.toLowerCase() === 'id') found.push(value)
    return value
  })
  return found
}

test('in front of a handler in the same process a rule that needs a look-up does not load', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-'))
  const engineWith = async (rule: object) => {
    const api = { authorize: { rules: [rule] }, upstream: undefined }
    const { close } = await createEngine({ config: await writeGate({ document, upstream: 'http://x', api }, dir) })
    await close()
  }
  await expect(engineWith({ match: 'op:patchOrder', owner: mine })).rejects.toThrow(/handler in the same process/)
  await engineWith({ match: 'GET *', owner: mine })
  await rm(dir, { recursive: true })
})

describe('a rule that could not protect is refused at load', () => {
  const start = (rule: object) =>
    startGate({
      document,
      upstream: upstream.url,
      root: { issuers: { main: { issuer: issuer.url, audience } } },
      api: { authorize: { rules: [rule] } },
    }).then(async (started) => {
      await started.stop()
      throw new Error('it started')
    })

  test.each<[object, RegExp]>([
    [{ match: 'op:cancelOrder', owner: mine }, /no GET at this path/],
    [{ match: 'op:move', owner: mine, lookup: 'getOrder' }, /lacks a parameter/],
    [{ match: 'op:patchOrder', owner: mine, lookup: 'getOder' }, /no operation "getOder"/],
    [{ match: 'op:patchOrder', owner: mine, lookup: 'deleteOrder' }, /does not only read/],
    [{ match: 'op:getOrder', owner: '$response.body#/userId = $claims.sub' }, /cannot read|expected ==/],
    [{ match: 'op:getOrder', owner: '$claims.sub' }, /expected ==/],
    [{ match: 'op:getOrder', owner: mine, each: '$request.path.id' }, /expected \$request\.body/],
    [{ match: 'op:getOrder', owner: mine, deny: 500 }, /404|403/],
    [{ match: 'op:getOrder', owner: mine, onwer: 1 }, /onwer/],
    [{ match: 'op:getOrder', lookup: 'getOrder' }, /owner|when/],
  ])('%j', async (rule, message) => {
    await expect(start(rule)).rejects.toThrow(message)
  })
})

test('portcullis check tells of objects whose owner no rule says, in one line', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'portcullis-'))
  const check = async (api: object) => {
    const file = await writeGate({ upstream: upstream.url, api }, dir)
    const { code, stdout } = await runCommand(['check', '--config', file])
    expect(code).toBe(0)
    return stdout.split('\n').filter((line) => line.includes('no rule says whose'))
  }
  expect(await check({})).toEqual([
    '  hint: no rule says whose the objects of GET /orders/{id} are: authorize.rules with "owner"',
  ])
  expect(await check({ authorize: { rules: [{ match: 'tag:orders', owner: mine }] } })).toEqual([])
  await rm(dir, { recursive: true })
})

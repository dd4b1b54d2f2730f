import { request as httpRequest } from 'node:http'
import { connect } from 'node:http2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGate, type TestGate } from '../kit/gate.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

const json = (schema: object) => ({ 'application/json': { schema } })
const ok = { description: 'ok', content: json({ $ref: '#/components/schemas/User' }) }

const document = {
  openapi: '3.1.0',
  info: { title: 'Users', version: '1' },
  security: [],
  components: {
    schemas: {
      User: {
        type: 'object',
        required: ['id', 'name'],
        properties: {
          id: { type: 'integer', readOnly: true },
          name: { type: 'string', minLength: 1, maxLength: 20 },
          email: { type: 'string', format: 'email' },
          address: {
            type: 'object',
            properties: { city: { type: 'string' }, zip: { type: 'string', pattern: '^\\d{5}$' } },
          },
          password: { type: 'string', writeOnly: true },
        },
      },
    },
  },
  paths: {
    '/users': {
      get: {
        operationId: 'listUsers',
        parameters: [
          { name: 'limit', in: 'query', schema: { type: 'integer', minimum: 1, maximum: 100 } },
          { name: 'sort', in: 'query', explode: false, schema: { type: 'array', items: { enum: ['name', 'id'] } } },
        ],
        responses: {
          200: { description: 'ok', content: json({ type: 'array', items: { $ref: '#/components/schemas/User' } }) },
        },
      },
      post: {
        operationId: 'createUser',
        requestBody: { required: true, content: json({ $ref: '#/components/schemas/User' }) },
        responses: { 201: ok },
      },
    },
    '/users/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'integer', minimum: 1 } }],
      get: { operationId: 'getUser', responses: { 200: ok, 404: { description: 'no' } } },
    },
    '/avatars': {
      post: {
        operationId: 'putAvatar',
        requestBody: { required: true, content: { 'image/png': {}, 'application/octet-stream': {} } },
        responses: { 204: { description: 'stored' } },
      },
    },
    '/events': {
      get: {
        operationId: 'events',
        responses: { 200: { description: 'ok', content: { 'application/x-ndjson': {}, ...json({ type: 'object' }) } } },
      },
    },
  },
}

// One address sends all this, and the machine may be busy with other tests.
const unlimited = { limits: { mode: 'off' }, concurrency: { mode: 'off' } }

let upstream: TestUpstream
let gate: TestGate
/** What the upstream answers next. */
let answer: { status?: number; headers?: Record<string, string>; body: string } = { body: '' }

beforeAll(async () => {
  upstream = await startUpstream((_, reply) => {
    reply.writeHead(answer.status ?? 200, { 'content-type': 'application/json', ...answer.headers })
    reply.end(answer.body)
  })
  gate = await startGate({ document, upstream: upstream.url, api: { ...unlimited } })
})

afterAll(async () => {
  await gate.stop()
  await upstream.stop()
})

/** Sends a request and gives the status and the problem, if any; says whether the upstream was reached. */
async function send(
  path: string,
  init: { method?: string; body?: string | Buffer; headers?: Record<string, string> } = {},
  through: TestGate = gate,
) {
  const before = upstream.hits.length
  const reply = await through.fetch(path, init as never)
  const text = await reply.text()
  const isJson = (reply.headers.get('content-type') ?? '').includes('json')
  return {
    status: reply.status,
    headers: reply.headers,
    text,
    body: isJson && text !== '' ? JSON.parse(text) : undefined,
    reached: upstream.hits.length > before,
  }
}

const post = (body: unknown, headers: Record<string, string> = {}) => ({
  method: 'POST',
  body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
  headers: { 'content-type': 'application/json', ...headers },
})

describe('V1: only what the document lists reaches the upstream', () => {
  test.each<[string, string, object, number, string, string[]]>([
    ['an unknown path', '/nothing', {}, 404, 'unlisted.path', []],
    ['an unknown method', '/users', { method: 'DELETE' }, 405, 'unlisted.method', []],
    ['a parameter that does not fit', '/users?limit=0', {}, 400, 'validate.parameter', ['query limit']],
    ['an item that does not fit', '/users?sort=name,age', {}, 400, 'validate.parameter', ['query sort/1']],
    ['an unknown parameter', '/users?debug=1&limit=5', {}, 400, 'validate.parameter', ['query debug']],
    ['a parameter twice', '/users?limit=5&limit=6', {}, 400, 'validate.parameter', ['query limit']],
    ['a path parameter that does not fit', '/users/abc', {}, 400, 'validate.parameter', ['path id']],
    ['a body where none is listed', '/users/1', { method: 'GET', body: 'x' }, 400, 'validate.body-unexpected', []],
  ])('%s is refused', async (_, path, init, status, code, places) => {
    const reply = 'body' in init ? await rawGet(path, init.body as string) : await send(path, init)
    expect(reply).toMatchObject({ status, body: { code, status }, reached: false })
    expect(
      (reply.body.errors ?? []).map((error: { in: string; pointer: string }) => `${error.in} ${error.pointer}`),
    ).toEqual(places)
  })

  test('405 names the methods there are', async () => {
    expect((await send('/users', { method: 'PUT' })).headers.get('allow')).toBe('GET, HEAD, POST')
  })

  test('what is listed passes', async () => {
    answer = { body: '[]' }
    expect(await send('/users?limit=5&sort=name,id')).toMatchObject({ status: 200, reached: true })
    answer = { body: '{"id":1,"name":"a"}' }
    expect(await send('/users/7')).toMatchObject({ status: 200, reached: true })
  })
})

/** fetch sends no body with GET, node:http does. */
function rawGet(path: string, body: string): Promise<{ status: number; body: { errors?: Error[] }; reached: boolean }> {
  const before = upstream.hits.length
  return new Promise((resolve, reject) => {
    const request = httpRequest(
      gate.url + path,
      { method: 'GET', headers: { 'content-length': body.length } },
      (reply) => {
        let text = ''
        reply.on('data', (chunk) => {
          text += chunk
        })
        reply.on('end', () =>
          resolve({ status: reply.statusCode!, body: JSON.parse(text), reached: upstream.hits.length > before }),
        )
      },
    )
    request.on('error', reject)
    request.end(body)
  })
}

describe('V2: the media type is listed, and the body really is of it', () => {
  const png = Buffer.from('89504e470d0a1a0a0000000d49484452', 'hex')

  test.each<[string, string, object, number, string]>([
    ['an unlisted media type', '/users', post('{}', { 'content-type': 'text/plain' }), 415, 'validate.media-type'],
    ['no media type', '/users', { method: 'POST', body: Buffer.from('{}'), headers: {} }, 415, 'validate.media-type'],
    [
      'JSON that is not UTF-8 by its own words',
      '/users',
      post('{}', { 'content-type': 'application/json; charset=utf-16' }),
      415,
      'validate.charset',
    ],
    ['PNG as JSON', '/users', post(png), 400, 'validate.malformed'],
    ['HTML as PNG', '/avatars', post('<html>', { 'content-type': 'image/png' }), 400, 'validate.malformed'],
    [
      'no body',
      '/users',
      { method: 'POST', headers: { 'content-type': 'application/json' } },
      400,
      'validate.body-missing',
    ],
  ])('%s is refused', async (_, path, init, status, code) => {
    expect(await send(path, init)).toMatchObject({ status, body: { code }, reached: false })
  })

  test('415 names what is taken', async () => {
    expect((await send('/users', post('{}', { 'content-type': 'text/plain' }))).headers.get('accept')).toBe(
      'application/json',
    )
  })

  test('a PNG as image/png and any bytes as octets pass', async () => {
    answer = { status: 204, body: '' }
    expect(await send('/avatars', post(png, { 'content-type': 'image/png' }))).toMatchObject({
      status: 204,
      reached: true,
    })
    expect(await send('/avatars', post('<html>', { 'content-type': 'application/octet-stream' }))).toMatchObject({
      status: 204,
      reached: true,
    })
  })
})

test('V1: a body that HTTP/2 does not announce is refused where none is listed', async () => {
  const own = await startGate({
    document,
    upstream: upstream.url,
    api: { ...unlimited },
    root: { listen: [{ port: 0, host: 'localhost', tls: 'development' }] },
  })
  const session = connect(`https://localhost:${own.running.addresses[0]!.port}`, { rejectUnauthorized: false })
  const send = (body: string | undefined) =>
    new Promise<number>((resolve, reject) => {
      const stream = session.request({ ':method': 'GET', ':path': '/users/1' }, { endStream: body === undefined })
      stream.on('response', (headers) => resolve(headers[':status']!))
      stream.on('error', reject)
      stream.resume()
      if (body !== undefined) stream.end(body)
    })
  answer = { body: '{"id":1,"name":"a"}' }
  const before = upstream.hits.length
  expect([400, 413]).toContain(await send('smuggled'))
  expect(upstream.hits).toHaveLength(before)
  expect(await send(undefined)).toBe(200)
  session.close()
  await own.stop()
})

describe('V4, Z7, E2: bodies against the schema, every failing place told', () => {
  test('all failing pointers, with what was expected and got, and no values', async () => {
    const reply = await send(
      '/users',
      post({ id: 5, name: '', email: 'secret', address: { zip: 'secret', x: 1 }, isAdmin: true }),
    )
    expect(reply).toMatchObject({ status: 400, reached: false, body: { code: 'validate.body' } })
    expect(reply.body.errors).toEqual([
      { in: 'body', pointer: '/id', detail: 'expected no such property: it is read-only' },
      {
        in: 'body',
        pointer: '/name',
        detail: 'expected a string of at least 1 character, got a string of 0 characters',
      },
      { in: 'body', pointer: '/email', detail: 'expected an e-mail address, got a string of 6 characters' },
      {
        in: 'body',
        pointer: '/address/zip',
        detail: 'expected a string that matches ^\\d{5}$, got a string of 6 characters',
      },
      { in: 'body', pointer: '/address/x', detail: 'expected no such property: the document does not list it' },
      { in: 'body', pointer: '/isAdmin', detail: 'expected no such property: the document does not list it' },
    ])
    expect(reply.text).not.toContain('secret')
  })

  test.each<[string, string]>([
    ['nested 100,000 deep', `${'['.repeat(100_000)}`],
    ['with a key twice', '{"name":"a","name":"b"}'],
    ['with __proto__', '{"name":"a","__proto__":{"isAdmin":true}}'],
    ['with a number past 2^53', '{"name":"a","n":9007199254740993}'],
    ['that ends early', '{"name":"a"'],
  ])('JSON %s is refused and the next request is served', async (_, body) => {
    expect(await send('/users', post(body))).toMatchObject({
      status: 400,
      body: { code: 'validate.malformed' },
      reached: false,
    })
    answer = { status: 201, body: '{"id":1,"name":"a"}' }
    expect(await send('/users', post({ name: 'a' }))).toMatchObject({ status: 201, reached: true })
  })

  test('a body past the limit is 413', async () => {
    expect(await send('/users', post({ name: 'x'.repeat(1_100_000) }))).toMatchObject({ status: 413, reached: false })
  })
})

describe('V9: answers against the document', () => {
  const leaking = {
    body: JSON.stringify({ id: 1, name: 'a', passwordHash: 'hash', address: { city: 'x', internal: 1 } }),
  }
  const gates: TestGate[] = []
  const withOptions = async (validate: object) => {
    const own = await startGate({ document, upstream: upstream.url, api: { validate, ...unlimited } })
    gates.push(own)
    return own
  }
  afterAll(async () => {
    for (const own of gates) await own.stop()
  })

  test('by default an overshared property is reported, with its place, and passes', async () => {
    const own = await withOptions({})
    answer = leaking
    expect((await send('/users/1', {}, own)).body).toHaveProperty('passwordHash')
    const [line] = await own.lines(1)
    expect(line?.observed).toEqual(['validate.overshared'])
  })

  test('strip takes out what the document does not list, and what is write-only, at every depth', async () => {
    const own = await withOptions({ overshared: 'strip' })
    answer = { ...leaking, headers: { etag: '"1"' } }
    const reply = await send('/users/1', {}, own)
    expect(reply).toMatchObject({ status: 200, body: { id: 1, name: 'a', address: { city: 'x' } } })
    expect(reply.text).not.toMatch(/passwordHash|internal/)
    expect(reply.headers.get('etag')).toBeNull()
    answer = {
      body: JSON.stringify(
        Array.from({ length: 200 }, (_, id) => ({ id, name: 'a', password: 'p', passwordHash: 'h' })),
      ),
    }
    expect((await send('/users', {}, own)).text).not.toMatch(/password/)
  })

  test('strip leaves the rest as it was observed', async () => {
    const own = await withOptions({ overshared: 'strip' })
    answer = { body: JSON.stringify({ id: 'not a number', name: 'a', passwordHash: 'h' }) }
    expect(await send('/users/1', {}, own)).toMatchObject({ status: 200, body: { id: 'not a number', name: 'a' } })
  })

  test('strip does not send what it could not write again exactly', async () => {
    const own = await withOptions({ overshared: 'strip' })
    answer = { body: '{"id":9007199254740993,"name":"a","passwordHash":"h"}' }
    expect(await send('/users/1', {}, own)).toMatchObject({ status: 502 })
    answer = { body: '{"id":9007199254740993,"name":"a"}' }
    expect((await send('/users/1', {}, own)).text).toBe('{"id":9007199254740993,"name":"a"}')
  })

  test('block answers 502 and tells the caller nothing of it', async () => {
    const own = await withOptions({ overshared: 'block' })
    answer = leaking
    const reply = await send('/users/1', {}, own)
    expect(reply).toMatchObject({ status: 502, body: { code: 'validate.overshared' } })
    expect(reply.text).not.toContain('passwordHash')
  })

  test.each<[string, typeof answer, string]>([
    ['an unlisted status', { status: 418, body: '{}' }, 'validate.response-status'],
    [
      'an unlisted media type',
      { headers: { 'content-type': 'text/html' }, body: '<p>' },
      'validate.response-media-type',
    ],
    ['a body that does not fit', { body: '{"id":"x","name":"a"}' }, 'validate.response-body'],
    ['a body that is no JSON', { body: '<html>' }, 'validate.response-body'],
    ['a property that is not listed', leaking, 'validate.overshared'],
  ])('enforced, %s is 502', async (_, bad, code) => {
    const own = await withOptions({ response: 'enforce' })
    answer = bad
    expect(await send('/users/1', {}, own)).toMatchObject({ status: 502, body: { code } })
    answer = { body: '{"id":1,"name":"a"}' }
    expect(await send('/users/1', {}, own)).toMatchObject({ status: 200 })
    answer = { status: 404, headers: { 'content-type': 'text/plain' }, body: 'no' }
    expect(await send('/users/1', {}, own)).toMatchObject({ status: 404 })
  })

  test('observed requests pass, and are noted', async () => {
    const own = await withOptions({ request: 'observe' })
    answer = { status: 201, body: '{"id":1,"name":"a"}' }
    expect(await send('/users?x=1', post({ isAdmin: true }), own)).toMatchObject({ status: 201, reached: true })
    const [line] = await own.lines(1)
    expect(line?.observed).toEqual(expect.arrayContaining(['validate.parameter', 'validate.body']))
  })

  test('what arrives over time is never held, even where answers are enforced', async () => {
    const streaming = await startUpstream(
      (_, reply) => {
        reply.writeHead(200, { 'content-type': 'application/x-ndjson' })
        reply.write('{"n":1}\n')
      },
      { streaming: true },
    )
    const own = await startGate({
      document,
      upstream: streaming.url,
      api: { validate: { response: 'enforce' }, ...unlimited },
    })
    gates.push(own)
    const reply = await own.fetch('/events')
    const reader = reply.body!.getReader()
    // The upstream has not ended: this line can only come through a gate that does not wait for the rest.
    expect(Buffer.from((await reader.read()).value as Uint8Array).toString()).toBe('{"n":1}\n')
    await reader.cancel()
    streaming.server.closeAllConnections()
    await streaming.stop()
  })
})

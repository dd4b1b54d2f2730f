import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { gzipSync } from 'node:zlib'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type GateInput, startGate, type TestGate } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { until } from '../until.ts'

/*
 * Fields that are encrypted at rest (T6), on the real listening program, before an upstream that keeps what it gets in a file
 * and answers with it.
 */

const card = '4111 1111 1111 1111'
const email = 'jane.roe@example.com'

const customer = {
  type: 'object',
  required: ['name'],
  properties: {
    id: { type: 'string', readOnly: true },
    userId: { type: 'string' },
    name: { type: 'string' },
    email: {
      type: 'string',
      format: 'email',
      'x-portcullis': {
        protect: { atRest: 'deterministic', response: { 'role:editor': 'show', 'role:support': 'mask' } },
      },
    },
    card: { $ref: '#/components/schemas/Card' },
    notes: {
      type: 'array',
      items: {
        type: ['string', 'number', 'boolean', 'object', 'null'],
        'x-portcullis': { protect: { name: 'notes', atRest: 'encrypt', response: { '*': 'show' } } },
      },
    },
    children: { type: 'array', items: { $ref: '#/components/schemas/Customer' } },
  },
}
const cardSchema = {
  type: 'string',
  pattern: '^[0-9 ]{12,19}$',
  'x-portcullis': {
    protect: {
      atRest: 'encrypt',
      owner: 'userId',
      response: { owner: 'show', 'role:editor': 'show', support: 'last4', 'role:backup': 'envelope', '*': 'remove' },
    },
  },
}
const ofCustomer = { 'application/json': { schema: { $ref: '#/components/schemas/Customer' } } }
const ofCustomers = {
  'application/json': { schema: { type: 'array', items: { $ref: '#/components/schemas/Customer' } } },
}
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
const answers = { 200: { description: 'It.', content: ofCustomer } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Customers', version: '1' },
  security: [{ key: [] }],
  components: {
    securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } },
    schemas: { Customer: customer, Card: cardSchema },
  },
  paths: {
    '/customers': {
      get: {
        operationId: 'find',
        parameters: [{ name: 'email', in: 'query', schema: { type: 'string' } }],
        responses: { 200: { description: 'Some.', content: ofCustomers } },
      },
      post: {
        operationId: 'create',
        requestBody: {
          content: {
            ...ofCustomer,
            'application/x-ndjson': ofCustomer['application/json'],
            'application/x-www-form-urlencoded': ofCustomer['application/json'],
          },
        },
        responses: answers,
      },
    },
    '/customers/{id}': {
      parameters: [id],
      get: { operationId: 'read', responses: answers },
      put: { operationId: 'replace', requestBody: { content: ofCustomer }, responses: answers },
      patch: {
        operationId: 'change',
        requestBody: {
          content: {
            'application/merge-patch+json': {
              schema: {
                type: 'object',
                properties: { card: { anyOf: [{ $ref: '#/components/schemas/Card' }, { type: 'null' }] } },
              },
            },
          },
        },
        responses: answers,
      },
    },
    '/by-email/{email}': {
      get: {
        operationId: 'byEmail',
        parameters: [{ name: 'email', in: 'path', required: true, schema: { type: 'string' } }],
        responses: answers,
      },
    },
    '/other': {
      post: {
        operationId: 'other',
        requestBody: { content: { 'application/json': { schema: { type: 'object', additionalProperties: true } } } },
        responses: { 200: { description: 'It.', content: { 'application/json': { schema: {} } } } },
      },
    },
  },
}

type Stored = Record<string, unknown>

let upstream: TestUpstream
let dir: string
/** What the upstream keeps, by id. It is written to its file after every change. */
let stored: Map<string, Stored>
/** Sent in place of what is stored, if a test says so. */
let answer: { body: string | Buffer; headers?: Record<string, string> } | undefined
let gate: TestGate

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'customers-'))
  upstream = await startUpstream((request, reply, { body }) => {
    if (answer !== undefined) {
      reply.writeHead(200, { 'content-type': 'application/json', ...answer.headers }).end(answer.body)
      return
    }
    const result = store(request.method!, new URL(request.url!, 'http://upstream'), body.toString())
    writeFileSync(join(dir, 'customers.json'), JSON.stringify([...stored.values()]))
    json(reply, result, 200, { etag: '"v1"', 'content-digest': 'sha-256=:x:' })
  })
})

function store(method: string, url: URL, text: string): unknown {
  const sent = text === '' ? {} : (JSON.parse(text) as Stored)
  if (url.pathname === '/other') return sent
  const [, collection, id = String(stored.size + 1)] = url.pathname.split('/')
  if (method === 'POST') stored.set(id, { ...sent, id })
  else if (method === 'PUT') stored.set(id, { ...sent, id })
  else if (method === 'PATCH') {
    const kept = Object.entries({ ...stored.get(id), ...sent }).filter(([, value]) => value !== null)
    stored.set(id, Object.fromEntries(kept))
  } else if (collection === 'by-email') {
    return [...stored.values()].find((one) => one.email === decodeURIComponent(id)) ?? { name: 'nobody' }
  } else if (url.pathname === '/customers') {
    const wanted = url.searchParams.get('email')
    return [...stored.values()].filter((one) => wanted === null || one.email === wanted)
  }
  return stored.get(id)
}

beforeEach(() => {
  stored = new Map()
  answer = undefined
  upstream.hits.length = 0
})
afterEach(() => gate?.stop())
afterAll(async () => {
  await upstream.stop()
  rmSync(dir, { recursive: true })
})

const begin = async (more: Partial<GateInput> = {}) => {
  gate = await startGate({
    document,
    upstream: upstream.url,
    ...more,
    api: { limits: { default: { rate: '100000/s', burst: 100_000 } }, validate: { response: 'enforce' }, ...more.api },
  })
  return gate
}
const as = (...roles: string[]) => gate.key({ name: `a ${roles.join(' ')}`, roles })

async function call(key: string, method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const reply = await gate.fetch(path, {
    method,
    headers: { 'x-api-key': key, 'content-type': 'application/json', ...headers },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  })
  const text = await reply.text()
  // biome-ignore lint/suspicious/noExplicitAny: assertions look into it.
  return { status: reply.status, headers: reply.headers, body: (text === '' ? undefined : JSON.parse(text)) as any }
}

describe('a field that a schema marks', () => {
  test('reaches the upstream encrypted: its file holds no plaintext; callers see what their roles may', async () => {
    await begin()
    const editor = await as('editor')
    const made = await call(editor, 'POST', '/customers', { name: 'Jane', card, email })
    expect(made).toMatchObject({ status: 200, body: { name: 'Jane', card, email } })

    const file = readFileSync(join(dir, 'customers.json'), 'utf8')
    for (const secret of [card, email, 'jane.roe']) expect(file).not.toContain(secret)
    expect(file).toContain('Jane')
    expect(stored.get('1')).toMatchObject({
      card: expect.stringMatching(/^pe1\./),
      email: expect.stringMatching(/^pe1\./),
    })

    expect((await call(editor, 'GET', '/customers/1')).body).toMatchObject({ card, email })
    expect((await call(await as('support'), 'GET', '/customers/1')).body).toMatchObject({
      card: '****1111',
      email: '***',
    })
    const backup = (await call(await as('backup'), 'GET', '/customers/1')).body as Stored
    expect(backup.card).toBe(stored.get('1')!.card)
    expect(backup).not.toHaveProperty('email')
    const nobody = (await call(await as('viewer'), 'GET', '/customers/1')).body as Stored
    expect(nobody).toEqual({ id: '1', name: 'Jane' })
  })

  test('is shown to its owner, item by item of a list', async () => {
    await begin()
    const editor = await as('editor')
    const key = await as('viewer')
    await call(editor, 'POST', '/customers', { name: 'mine', card, userId: 'placeholder' })
    await call(editor, 'POST', '/customers', { name: 'theirs', card, userId: 'somebody' })
    // Whoever calls is told to the upstream: that is the subject.
    await call(key, 'GET', '/customers')
    const me = upstream.hits.at(-1)!.headers['portcullis-subject'] as string
    expect(me.length).toBeGreaterThan(0)
    stored.get('1')!.userId = decodeURIComponent(me)
    const { body } = await call(key, 'GET', '/customers')
    expect(body.map((one: Stored) => [one.name, one.card])).toEqual([
      ['mine', card],
      ['theirs', undefined],
    ])
  })

  test('may hold values of any JSON type, in lists and within itself', async () => {
    await begin()
    const editor = await as('editor')
    const notes = ['some text', '', 0, 12.5, true, { a: [1, { b: null }] }, null]
    const children = [{ name: 'child', card, children: [{ name: 'grandchild', email }] }]
    const made = await call(editor, 'POST', '/customers', { name: 'Jane', notes, children })
    expect(made.body).toMatchObject({ notes, children })
    expect(JSON.stringify([...stored.values()])).not.toMatch(/some text|12\.5|4111 1111|jane\.roe/)
    expect((stored.get('1')!.notes as unknown[]).at(-1)).toBeNull()
    expect((await call(await as('viewer'), 'GET', '/customers/1')).body.children).toEqual([
      { name: 'child', children: [{ name: 'grandchild' }] },
    ])
  })

  test('is encrypted anew each time, or the same where it must be found', async () => {
    await begin()
    const editor = await as('editor')
    for (let i = 0; i < 2; i++) await call(editor, 'POST', '/customers', { name: 'Jane', card, email })
    const [one, two] = [...stored.values()]
    expect(one!.card).not.toBe(two!.card)
    expect(one!.email).toBe(two!.email)
    await call(editor, 'POST', '/customers', { name: 'Joe', email: 'joe@example.com' })
    const found = await call(editor, 'GET', `/customers?email=${encodeURIComponent(email)}`)
    expect(found.body).toHaveLength(2)
    expect((await call(editor, 'GET', `/by-email/${encodeURIComponent('joe@example.com')}`)).body.name).toBe('Joe')
    // Not in the upstream's own log, which has URLs, and not in ours.
    for (const { url } of upstream.hits) expect(decodeURIComponent(url)).not.toContain('example.com')
    expect(JSON.stringify(await gate.lines(5))).not.toContain('example.com')
  })

  test('is changed and taken out by a merge patch', async () => {
    await begin()
    const editor = await as('editor')
    await call(editor, 'POST', '/customers', { name: 'Jane', card })
    const patch = { 'content-type': 'application/merge-patch+json' }
    const changed = await call(editor, 'PATCH', '/customers/1', { card: '5500 0000 0000 0004' }, patch)
    expect(changed.body).toMatchObject({ name: 'Jane', card: '5500 0000 0000 0004' })
    expect(JSON.stringify([...stored.values()])).not.toContain('5500 0000')
    expect((await call(editor, 'PATCH', '/customers/1', { card: null }, patch)).body).not.toHaveProperty('card')
  })

  test('is judged as plaintext, in both directions', async () => {
    await begin()
    const editor = await as('editor')
    const refused = await call(editor, 'POST', '/customers', { name: 'Jane', card: 'no card' })
    expect(refused).toMatchObject({ status: 400, body: { code: 'validate.body', errors: [{ pointer: '/card' }] } })
    const attack = await call(editor, 'POST', '/customers', {
      name: 'J',
      notes: ["1' OR '1'='1' UNION SELECT password FROM users--"],
    })
    expect(attack).toMatchObject({ status: 403, body: { code: 'waf.blocked' } })
    expect(upstream.hits).toEqual([])
    const lines = JSON.stringify(await gate.lines(2))
    for (const value of ['no card', 'password', 'users', "'1'", '"data"']) expect(lines).not.toContain(value)
  })
})

describe('an encrypted value', () => {
  const envelopeOf = async (field: 'card' | 'email') => {
    await call(await as('editor'), 'POST', '/customers', { name: 'Jane', card, email })
    return stored.get('1')![field] as string
  }

  test('is not taken from a caller: it would be opened for somebody later', async () => {
    await begin({ api: { validate: { request: 'off' } } })
    const envelope = await envelopeOf('card')
    upstream.hits.length = 0
    const editor = await as('editor')
    for (const value of [envelope, 'pe1.', 'pe1.anything']) {
      const refused = await call(editor, 'POST', '/customers', { name: 'Jane', notes: [value] })
      expect(refused).toMatchObject({ status: 400, body: { code: 'protect.value', errors: [{ pointer: '/notes/0' }] } })
      expect((await call(editor, 'GET', `/customers?email=${value}`)).body.code).toBe('protect.parameter')
    }
    expect(upstream.hits).toEqual([])
  })

  test('is not opened in a field of another name, and in none that is not marked', async () => {
    await begin()
    const envelope = await envelopeOf('card')
    const editor = await as('editor')
    stored.set('2', { id: '2', name: envelope, email: envelope, notes: [envelope, 'legacy'] })
    const { body } = await call(editor, 'GET', '/customers/2')
    expect(body).toEqual({ id: '2', name: envelope, notes: [null, null] })
  })

  test.each([
    ['a bit changed', (text: string) => `${text.slice(0, -3)}${text.at(-3) === 'A' ? 'B' : 'A'}${text.slice(-2)}`],
    ['its end cut off', (text: string) => text.slice(0, -5)],
    ['its beginning changed', (text: string) => `x${text}`],
    ['put in the open', () => card],
    ['another key', (text: string) => text.replace(/pv1\.[^.]+/, 'pv1.AAAAAAAAAAAA')],
  ])('that was tampered with (%s) is taken out, and told', async (_what, tamper) => {
    await begin()
    const envelope = await envelopeOf('card')
    stored.get('1')!.card = tamper(envelope)
    for (const role of ['editor', 'support', 'backup', 'viewer']) {
      const { status, body } = await call(await as(role), 'GET', '/customers/1')
      expect([status, body.name, body.card]).toEqual([200, 'Jane', undefined])
    }
    await until(async () => (await gate.lines()).some(({ event }) => event === 'protect.unreadable'))
    const told = (await gate.lines()).find(({ event }) => event === 'protect.unreadable')
    expect(told).toMatchObject({ detail: { api: 'test', operation: 'read', field: 'card', count: 1 } })
    expect(JSON.stringify(told)).not.toMatch(/4111 1111|pe1\.|pv1\./)
  })

  test('of a destroyed key never comes back', async () => {
    await begin()
    await envelopeOf('card')
    const ring = await gate.running.foundation.vault()
    expect((await ring.list()).map(({ purpose }) => purpose)).toEqual([
      'field/test/card',
      'field/test/notes',
      'lookup/test/email',
    ])
    await ring.destroy('field/test/card')
    const editor = await as('editor')
    expect((await call(editor, 'GET', '/customers/1')).body).toEqual({ id: '1', name: 'Jane', email })
  })

  test('of before a rotation opens, and new ones are under the new key', async () => {
    await begin()
    const before = await envelopeOf('card')
    const ring = await gate.running.foundation.vault()
    const key = await ring.rotate('field/test/card')
    const editor = await as('editor')
    expect((await call(editor, 'GET', '/customers/1')).body.card).toBe(card)
    await call(editor, 'PUT', '/customers/1', { name: 'Jane', card })
    expect(stored.get('1')!.card).toContain(`.${key}.`)
    expect(stored.get('1')!.card).not.toBe(before)
    expect((await call(editor, 'GET', '/customers/1')).body.card).toBe(card)
  })
})

describe('what stands in place of a hidden value', () => {
  test('is not taken back as if it were the value', async () => {
    await begin({ api: { validate: { request: 'off' } } })
    const support = await as('support')
    for (const value of ['****1111', '***']) {
      const refused = await call(support, 'POST', '/customers', { name: 'Jane', card: value })
      expect(refused).toMatchObject({ status: 400, body: { code: 'protect.value', errors: [{ pointer: '/card' }] } })
    }
    expect(upstream.hits).toEqual([])
  })
})

describe('bodies of other forms', () => {
  test.each(['application/x-ndjson', 'application/x-www-form-urlencoded'])(
    'of %s are refused where a field is encrypted',
    async (type) => {
      await begin()
      const refused = await call(await as('editor'), 'POST', '/customers', '{"name":"Jane"}', { 'content-type': type })
      expect([refused.status, refused.body.code]).toEqual([415, 'protect.media-type'])
      expect(upstream.hits).toEqual([])
    },
  )

  test('that say nothing of themselves are refused, too', async () => {
    await begin({ api: { validate: { request: 'off' } } })
    const key = await as('editor')
    const body = Buffer.from(JSON.stringify({ name: 'Jane', card }))
    const reply = await gate.fetch('/customers', { method: 'POST', headers: { 'x-api-key': key }, body })
    expect([reply.status, ((await reply.json()) as Stored).code]).toEqual([415, 'protect.media-type'])
    expect(upstream.hits).toEqual([])
  })

  test('that are compressed are opened and searched, in both directions', async () => {
    await begin()
    const editor = await as('editor')
    const body = gzipSync(JSON.stringify({ name: 'Jane', card }))
    const reply = await gate.fetch('/customers', {
      method: 'POST',
      headers: { 'x-api-key': editor, 'content-type': 'application/json', 'content-encoding': 'gzip' },
      body,
    })
    expect(((await reply.json()) as Stored).card).toBe(card)
    expect(stored.get('1')!.card).toMatch(/^pe1\./)
    answer = { body: gzipSync(JSON.stringify(stored.get('1'))), headers: { 'content-encoding': 'gzip' } }
    const read = await call(editor, 'GET', '/customers/1')
    expect(read.body.card).toBe(card)
    expect(read.headers.get('content-encoding')).toBeNull()
  })

  test('that are large are whole, and have their own length and no digest of other bytes', async () => {
    await begin({ api: { validate: { maxBody: '5MB' } } })
    const editor = await as('editor')
    const children = Array.from({ length: 2_000 }, (_, i) => ({ name: `child ${i}`, card }))
    const made = await call(editor, 'POST', '/customers', { name: 'Jane', children })
    expect(made.body.children).toEqual(children)
    expect(made.headers.get('content-digest')).toBeNull()
    expect(made.headers.get('etag')).toBe('"v1"')
    expect(JSON.stringify([...stored.values()])).not.toContain(card)
  })

  test('of JSON that could be read in two ways pass in no direction', async () => {
    await begin({ api: { validate: { request: 'off', response: 'off' }, waf: { mode: 'off' } } })
    const editor = await as('editor')
    const twice = '{"name":"Jane","card":"1","card":"2"}'
    expect((await call(editor, 'POST', '/customers', twice)).body.code).toBe('protect.unreadable-body')
    expect(upstream.hits).toEqual([])
    answer = { body: twice }
    expect((await call(editor, 'GET', '/customers/1')).body.code).toBe('protect.unreadable-answer')
    answer = { body: '{"name":"Jane"}\n', headers: { 'content-type': 'application/x-ndjson' } }
    expect((await call(editor, 'GET', '/customers/1')).body.code).toBe('protect.streamed-answer')
  })

  test('keep numbers that no double can hold', async () => {
    await begin({ api: { validate: { request: 'off', response: 'off' }, waf: { mode: 'off' } } })
    const editor = await as('editor')
    const made = await call(editor, 'POST', '/customers', { name: 'Jane', card })
    expect(made.status).toBe(200)
    const exact = `{"id":"1","big":12345678901234567890,"card":${JSON.stringify(stored.get('1')!.card)}}`
    answer = { body: exact }
    const reply = await gate.fetch('/customers/1', { headers: { 'x-api-key': editor } })
    expect(await reply.text()).toBe(`{"id":"1","big":12345678901234567890,"card":"${card}"}`)
  })

  test('say that no shared cache may keep them', async () => {
    await begin({ api: { headers: { security: { noStore: false } } } })
    await call(await as('editor'), 'POST', '/customers', { name: 'Jane', card })
    answer = { body: JSON.stringify(stored.get('1')), headers: { 'cache-control': 'public, max-age=60, s-maxage=600' } }
    const { headers } = await call(await as('editor'), 'GET', '/customers/1')
    expect(headers.get('cache-control')).toBe('private, max-age=60')
    answer = { body: JSON.stringify(stored.get('1')) }
    const silent = await call(await as('editor'), 'GET', '/customers/1')
    expect(silent.headers.get('cache-control')).toBe('private')
  })
})

describe('fields that the configuration names', () => {
  const protect = [
    { field: '$..secret', atRest: 'encrypt', response: { 'role:editor': 'show', '*': 'envelope' } },
    { field: '/items/*/note', response: { 'role:editor': 'show', '*': 'mask' } },
    { field: '$.bound', atRest: 'encrypt', bind: 'id', response: { '*': 'show' } },
    { field: '$.old', atRest: 'encrypt', unsealed: 'show', response: { 'role:editor': 'show', '*': 'last4' } },
  ]
  const other = (key: string, body: unknown) => call(key, 'POST', '/other', body)

  test('are found by path, at any depth where it says so, and hidden by role', async () => {
    await begin({ api: { protect } })
    const [editor, viewer] = [await as('editor'), await as('viewer')]
    const body = { secret: 1, deep: [{ secret: { a: 1 } }], items: [{ note: 'long note' }], note: 'free' }
    expect((await other(editor, body)).body).toEqual(body)
    const seen = (await other(viewer, body)).body
    expect(seen).toMatchObject({ items: [{ note: '***' }], note: 'free' })
    expect(seen.secret).toMatch(/^pe1\./)
    expect(seen.deep[0].secret).toMatch(/^pe1\./)
  })

  test('that are bound to their object open in no other one', async () => {
    await begin({ api: { protect } })
    const viewer = await as('viewer')
    expect((await other(viewer, { id: 7, bound: 'x' })).body).toEqual({ id: 7, bound: 'x' })
    const kept = JSON.parse(upstream.hits.at(-1)!.body.toString()) as Stored
    answer = { body: JSON.stringify({ ...kept, id: 8 }) }
    expect((await other(viewer, {})).body).toEqual({ id: 8 })
    answer = undefined
    expect((await other(viewer, { bound: 'x' })).body).toMatchObject({
      code: 'protect.value',
      errors: [{ pointer: '/bound' }],
    })
  })

  test('may be shown while the upstream still has old values in the open', async () => {
    await begin({ api: { protect } })
    answer = { body: JSON.stringify({ old: 'from before' }) }
    expect((await other(await as('editor'), {})).body).toEqual({ old: 'from before' })
    expect((await other(await as('viewer'), {})).body).toEqual({ old: '****fore' })
  })

  test.each([
    [{ field: 'card', response: { '*': 'show' } }, /begins with \$/],
    [{ field: '$..a[?@.b]', response: { '*': 'show' } }, /not understood/],
    [{ field: '$', response: { '*': 'show' } }, /whole body/],
    [{ field: '$..*', response: { '*': 'show' } }, /ends in no name/],
    [{ field: '$..a', response: { owner: 'show' } }, /says who that is/],
    [{ field: '$..a', response: { '*': 'envelope' } }, /for fields with `atRest`/],
    [{ field: '$..a', atRest: 'deterministic', bind: 'id', response: { '*': 'show' } }, /cannot be found/],
    [{ field: '$..a', atRest: 'encrypt' }, /response/],
  ])('are refused at the start where they make no sense: %j', async (entry, message) => {
    await expect(begin({ api: { protect: [entry] } })).rejects.toThrow(message)
  })

  test('that a document marks wrongly stop the start, with the place', async () => {
    const schema = { ...cardSchema, 'x-portcullis': { protect: { atRest: 'encryption', response: {} } } }
    const wrong = { ...document, components: { ...document.components, schemas: { Customer: customer, Card: schema } } }
    await expect(begin({ document: wrong })).rejects.toThrow(
      'x-portcullis.protect at openapi.json#/components/schemas/Card',
    )
  })
})

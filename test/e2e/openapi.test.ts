import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { runCommand, startGate, type TestGate } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

const fixture = (name: string) => readFileSync(new URL(`../fixtures/openapi/${name}`, import.meta.url), 'utf8')

/** Puts an API key in the place of whatever the library's documents ask for. */
const keyOverlay = `overlay: 1.1.0
info: {title: Keys, version: "1"}
actions:
  - target: $.components.securitySchemes.*
    remove: true
  - target: $.components.securitySchemes
    update: {key: {type: apiKey, in: header, name: X-Api-Key}}
  - {target: $.security, remove: true}
  - target: $
    update: {security: [{key: []}]}
`

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream((_, reply) => json(reply, []))
})
afterAll(() => upstream.stop())
beforeEach(() => {
  upstream.hits.length = 0
})

let gate: TestGate
afterEach(() => gate?.stop())

interface Call {
  readonly method?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** The gate's status, and whether the upstream saw the request. */
async function call(path: string, { method = 'GET', body, headers = {} }: Call = {}): Promise<string> {
  const before = upstream.hits.length
  const reply = await gate.fetch(path, {
    method,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  })
  await reply.arrayBuffer()
  return `${reply.status}${upstream.hits.length > before ? ' passed' : ''}`
}

describe('issue 6: documents of every version in front of one upstream', () => {
  const book = { isbn: '9780140328721', title: 'Fantastic Mr Fox' }

  test.each(['2.0', '3.0', '3.1', '3.2'])('%s: what the document lists passes, nothing else does', async (version) => {
    const name = `library-${version}.yaml`
    gate = await startGate({
      upstream: upstream.url,
      files: { [name]: fixture(name), 'keys.yaml': keyOverlay },
      api: { openapi: `./${name}`, ...(version === '2.0' ? {} : { overlays: ['./keys.yaml'] }) },
    })
    const base = version === '2.0' ? '/v2' : '/v3'
    const headers = { 'x-api-key': await gate.key() }
    const found: Record<string, string> = {
      'open to everyone': await call(`${base}/books`),
      'a list with pipes': await call(`${base}/books?genre=crime%7Cpoetry`),
      'a genre that is none': await call(`${base}/books?genre=crime%7Cfarce`),
      'below another base path': await call('/books'),
      'without a key': await call(`${base}/books/9780140328721`),
      'with a key': await call(`${base}/books/9780140328721`, { headers }),
      'an ISBN that is none': await call(`${base}/books/42`, { headers }),
      'a book': await call(`${base}/books`, { method: 'POST', headers, body: book }),
      'a book with a sequel': await call(`${base}/books`, { method: 'POST', headers, body: { ...book, sequel: book } }),
      'a book without a subtitle': await call(`${base}/books`, {
        method: 'POST',
        headers,
        body: { ...book, subtitle: null },
      }),
      'a book for nothing': await call(`${base}/books`, { method: 'POST', headers, body: { ...book, price: 0 } }),
      'a sequel without a title': await call(`${base}/books`, {
        method: 'POST',
        headers,
        body: { ...book, sequel: { isbn: book.isbn } },
      }),
      'an unlisted path': await call(`${base}/authors`, { headers }),
      'an unlisted method': await call(`${base}/books`, { method: 'DELETE', headers }),
    }
    expect(found).toEqual({
      'open to everyone': '200 passed',
      'a list with pipes': '200 passed',
      'a genre that is none': '400',
      'below another base path': '404',
      'without a key': '401',
      'with a key': '200 passed',
      'an ISBN that is none': '400',
      'a book': '200 passed',
      'a book with a sequel': '200 passed',
      'a book without a subtitle': '200 passed',
      'a book for nothing': '400',
      'a sequel without a title': '400',
      'an unlisted path': '404',
      'an unlisted method': '405',
    })
  })

  test('a document in several files, with policies from an overlay', async () => {
    gate = await startGate({
      upstream: upstream.url,
      files: {
        'spec/openapi.yaml': `openapi: 3.1.0
info: {title: T, version: "1"}
security: []
paths:
  /nodes: {$ref: ./paths/nodes.yaml}
  /free: {get: {operationId: free, responses: {}}}
`,
        'spec/paths/nodes.yaml':
          'post: {operationId: addNode, requestBody: {required: true, content: {application/json: {schema: {$ref: ../../shared/node.yaml#/Node}}}}, responses: {}}',
        'shared/node.yaml':
          'Node: {type: object, required: [name], properties: {name: {type: string}, next: {$ref: "#/Node"}}}',
        'limits.yaml': `overlay: 1.1.0
info: {title: Limits, version: "1"}
actions:
  - target: $.paths['/free'].get
    update: {x-portcullis: {limits: {anonymous: {rate: 2/min}}}}
`,
      },
      api: { openapi: './spec/openapi.yaml', overlays: ['./limits.yaml'] },
    })
    expect([
      await call('/nodes', { method: 'POST', body: { name: 'a', next: { name: 'b' } } }),
      await call('/nodes', { method: 'POST', body: { name: 'a', next: {} } }),
      await call('/free'),
      await call('/free'),
      await call('/free'),
    ]).toEqual(['200 passed', '400', '200 passed', '200 passed', '429'])
  })

  test('a document that is no longer right is refused with its place, and the old one stays', async () => {
    const document = (type: string) =>
      `openapi: 3.1.0\ninfo: {title: T, version: "1"}\nsecurity: []\npaths:\n  /a:\n    get: {parameters: [{name: q, in: query, schema: {type: ${type}}}], responses: {}}\n`
    gate = await startGate({
      upstream: upstream.url,
      files: { 'api.yaml': document('integer') },
      api: { openapi: './api.yaml' },
    })
    await expect(gate.reload({ files: { 'api.yaml': document('integr') } })).rejects.toMatchObject({
      code: 'P2009',
      place: { line: 6, column: 60 },
    })
    expect([await call('/a?q=1'), await call('/a?q=x')]).toEqual(['200 passed', '400'])
  })
})

describe('issue 6: `check` tells what is odd in a document, and where', () => {
  const odd = `openapi: 3.0.3
info: {title: T, version: "1"}
security: []
paths:
  /a/{x}:
    get:
      sumary: x
      responses: {'200': {description: OK}}
`
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'portcullis-'))
    await writeFile(join(dir, 'odd.yaml'), odd)
    await writeFile(join(dir, 'wrong.yaml'), odd.replace('security: []', 'security: [{key: []}]'))
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))

  test('a warning names file, line and column, and the answer is yes', async () => {
    const { code, stdout, stderr } = await runCommand(['check', 'odd.yaml'], undefined, dir)
    expect([code, stdout]).toEqual([0, expect.stringContaining('odd.yaml holds.')])
    expect(stderr).toContain('odd.yaml:6:5: warning P2011: the path parameter "x" is not declared')
    expect(stderr).toContain(
      'odd.yaml:7:7: warning P2031: does not fit the schema of OpenAPI 3.0: the key "sumary" is unknown',
    )
  })

  test('what decides who gets in is no warning: the answer is no', async () => {
    const { code, stderr } = await runCommand(['check', 'wrong.yaml'], undefined, dir)
    expect(code).toBe(1)
    expect(stderr).toMatch(/wrong\.yaml:3:13\s+unknown security scheme "key"\s+P2013/)
  })

  test('--json carries the same', async () => {
    const { code, stdout } = await runCommand(['check', 'odd.yaml', '--json'], undefined, dir)
    expect(code).toBe(0)
    expect(JSON.parse(stdout)).toMatchObject({
      ok: true,
      warnings: [
        { code: 'P2011', line: 6, column: 5 },
        { code: 'P2031', line: 7, column: 7 },
      ],
    })
  })
})

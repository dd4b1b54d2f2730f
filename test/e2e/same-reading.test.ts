import { Agent, request as httpRequest } from 'node:http'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { drawFrom } from '../kit/arbitrary.ts'
import { startGate, type TestGate, until } from '../kit/gate.ts'
import { rawClient } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * Z1, N10: the gate and the upstream read one target alike. Whatever bytes arrive, what the upstream sees is read
 * anew, as node:http and WHATWG URL read it and by a router of this file, and must mean the operation that the gate
 * matched and the values it checked.
 */

const responses = { 200: { description: 'Fine.' } }
const text = (name: string, more: object = {}) => ({
  name,
  in: 'path',
  required: true,
  schema: { type: 'string', ...more },
})

const document = {
  openapi: '3.1.0',
  info: { title: 'Seeds', version: '1' },
  servers: [{ url: 'https://api.example.com/v1' }],
  security: [],
  paths: {
    '/': { get: { operationId: 'root', responses } },
    '/public/{name}': { get: { operationId: 'public', parameters: [text('name')], responses } },
    '/public/{name}/': { get: { operationId: 'publicSlash', parameters: [text('name')], responses } },
    '/admin': { get: { operationId: 'admin', responses } },
    '/admin/users': { get: { operationId: 'adminUsers', responses } },
    '/files/{name}.json': { get: { operationId: 'file', parameters: [text('name')], responses } },
    '/matrix/{m}': {
      get: {
        operationId: 'matrix',
        parameters: [{ name: 'm', in: 'path', required: true, style: 'matrix', schema: { type: 'integer' } }],
        responses,
      },
    },
    '/search': {
      get: {
        operationId: 'search',
        parameters: [
          { name: 'q', in: 'query', schema: { type: 'string' } },
          { name: 'role', in: 'query', schema: { enum: ['user'] } },
          { name: 'n', in: 'query', schema: { type: 'integer', maximum: 10 } },
        ],
        responses,
      },
    },
    '/%C3%BC/{x}': { get: { operationId: 'encoded', parameters: [text('x')], responses } },
  },
}

/** Templates as expressions over decoded paths, the particular ones first: how a router of an upstream reads them. */
const routes: readonly (readonly [string, RegExp])[] = [
  ['root', /^\/v1\/$/],
  ['admin', /^\/v1\/admin$/],
  ['adminUsers', /^\/v1\/admin\/users$/],
  ['search', /^\/v1\/search$/],
  ['file', /^\/v1\/files\/([^/]+)\.json$/],
  ['matrix', /^\/v1\/matrix\/([^/]+)$/],
  ['public', /^\/v1\/public\/([^/]+)$/],
  ['publicSlash', /^\/v1\/public\/([^/]+)\/$/],
  ['encoded', /^\/v1\/ü\/([^/]+)$/],
]

let upstream: TestUpstream
let gate: TestGate
const agent = new Agent({ keepAlive: true, maxSockets: 1 })

beforeAll(async () => {
  upstream = await startUpstream((_request, reply, hit) => {
    reply.setHeader('x-seen', encodeURIComponent(hit.url))
    reply.end('{}')
  })
  gate = await startGate({ document, upstream: upstream.url, api: { limits: { mode: 'off' } } })
})

afterAll(async () => {
  agent.destroy()
  await gate.stop()
  await upstream.stop()
})

/** The operation that different upstreams would take a target for. */
function readings(url: string): Map<string, string | undefined> {
  const question = url.indexOf('?')
  const path = question < 0 ? url : url.slice(0, question)
  const asUrl = new URL(`http://upstream${url}`).pathname
  return new Map([
    ['decoded', routeOf(decodeURIComponent(path))],
    ['WHATWG URL', routeOf(decodeURIComponent(asUrl))],
    [
      'without path parameters',
      routeOf(decodeURIComponent(path.replace(/;[^/]*/g, (all) => (path.includes('/matrix/') ? all : '')))),
    ],
    ['backslashes as slashes', routeOf(decodeURIComponent(path).replaceAll('\\', '/'))],
    ['repeated slashes as one', routeOf(decodeURIComponent(path).replace(/\/+/g, '/'))],
  ])
}

function routeOf(path: string): string | undefined {
  return routes.find(([, expression]) => expression.test(path))?.[0]
}

interface Outcome {
  readonly status: number
  readonly seen: string | undefined
  readonly operation: string | undefined
}

/** Sends a target byte for byte. */
async function ask(target: string, host = 'api.example.com'): Promise<Outcome> {
  upstream.hits.length = 0
  const lines = (await gate.lines()).length
  const client = await rawClient(gate.port)
  client.send(`GET ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  const status = await client.status()
  client.destroy()
  const [hit] = upstream.hits
  const all = hit === undefined ? [] : await gate.lines(lines + 1)
  return { status, seen: hit?.url, operation: all.at(-1)?.operation }
}

/** What node:http lets a client send, fast: for the many. */
function askFast(target: string): Promise<number> {
  upstream.hits.length = 0
  return new Promise((resolve, reject) => {
    const sent = httpRequest({
      host: '127.0.0.1',
      port: gate.port,
      path: target,
      headers: { host: 'api.example.com' },
      agent,
    })
    sent.on('error', reject)
    sent.on('response', (reply) => {
      reply.resume()
      reply.on('end', () => resolve(reply.statusCode!))
    })
    sent.end()
  })
}

describe('Z1 N10: what one reader takes for another path', () => {
  test.each<[target: string, status: number, seen?: string, operation?: string]>([
    ['/v1/admin', 200, '/v1/admin', 'admin'],
    // The same path in another spelling is the same to both (RFC 3986, 6.2.2).
    ['/v1/%61dmin', 200, '/v1/admin', 'admin'],
    ['/v1/public/%7Ex', 200, '/v1/public/~x', 'public'],
    ['/v1/public/a%2db', 200, '/v1/public/a-b', 'public'],
    ['/v1/%c3%bc/x', 200, '/v1/%C3%BC/x', 'encoded'],
    ['/v1/public/%3B', 200, '/v1/public/%3B', 'public'],
    ['/v1/public/a%2Bb', 200, '/v1/public/a%2Bb', 'public'],
    ['/v1/public/a+b', 200, '/v1/public/a+b', 'public'],
    // Slashes, dots and what some readers make of them.
    ['/v1/public%2Fx', 400],
    ['/v1/public%2fx', 400],
    ['/v1/public/..%2Fadmin', 400],
    ['/v1/public/%2E%2E/admin', 400],
    ['/v1/public/.%2e/admin', 400],
    ['/v1/public/%2e', 400],
    ['/v1/public/../admin', 400],
    ['/v1/./admin', 400],
    ['/v1/public/..;/admin', 400],
    ['/v1/public/..;x=y/admin', 400],
    ['/v1/public/%2e%2e%3b/admin', 400],
    ['/v1/public/..\\admin', 400],
    ['/v1\\admin', 400],
    ['/v1/public/..%5cadmin', 400],
    ['//v1/admin', 400],
    ['/v1//admin', 400],
    ['/v1/admin//', 400],
    ['/v1/admin/', 404],
    ['/v1/admin/.', 400],
    ['/v1/admin.', 404],
    ['/v1/admin%20', 404],
    ['/v1/admin;a=b', 404],
    ['/v1/admin;', 404],
    ['/v1/admin%3f', 404],
    ['/v1/admin%23', 404],
    ['/v1/ADMIN', 404],
    ['/V1/admin', 404],
    ['/v1/admin%00', 400],
    ['/v1/admin%00.json', 400],
    ['/v1/admin%0a', 400],
    ['/v1/admin%0d%0aHost:x', 400],
    ['/v1/admin%7f', 400],
    ['/v1/admin\x00', 400],
    ['/v1/admin\t', 400],
    ['/v1/%ff', 400],
    ['/v1/%c0%ae%c0%ae/admin', 400],
    ['/v1/%e0%80%af', 400],
    ['/v1/%ed%a0%80', 400],
    ['/v1/%u0061dmin', 400],
    ['/v1/%', 400],
    ['/v1/%6', 400],
    ['/v1/%%361dmin', 400],
    ['/v1/%2561dmin', 404],
    ['/v1/public/%252e%252e', 200, '/v1/public/%252e%252e', 'public'],
    ['/v1/public/%252fadmin', 200, '/v1/public/%252fadmin', 'public'],
    ['/v1/\xc3\xbc/x', 400],
    ['/v1/\xfc/x', 400],
    ['/v1/admin#x', 400],
    ['/v1/admin?#x', 400],
    ['/v1/files/a.json', 200, '/v1/files/a.json', 'file'],
    ['/v1/files/..json', 200, '/v1/files/..json', 'file'],
    ['/v1/files/.json', 404],
    ['/v1/public/...', 200, '/v1/public/...', 'public'],
    // What stands behind a semicolon is no part of the path to servlet containers.
    ['/v1/files/admin;.json', 400],
    ['/v1/public/a;b', 400],
    ['/v1/public/a%3Bb', 200, '/v1/public/a%3Bb', 'public'],
    ['/v1/matrix/;m=5', 200, '/v1/matrix/;m=5', 'matrix'],
    ['/v1/matrix/%3Bm=5', 400],
    ['/v1/matrix/;m=5;m=6', 400],
    ['/v1/matrix/;m=x', 400],
    // A query that splits elsewhere for others.
    ['/v1/search?q=a;role=admin', 400],
    ['/v1/search?q=a%3Brole=admin', 200, '/v1/search?q=a%3Brole=admin', 'search'],
    ['/v1/search?role=user;role=admin', 400],
    ['/v1/search?role=user&role=admin', 400],
    ['/v1/search?role=user&Role=admin', 400],
    ['/v1/search?role=user&role[]=admin', 400],
    ['/v1/search?role=user&role%5B%5D=admin', 400],
    ['/v1/search?role=user&%72ole=admin', 400],
    ['/v1/search?role=user&role%00=admin', 400],
    ['/v1/search?role=user&role%20=admin', 400],
    ['/v1/search?role=user&+role=admin', 400],
    ['/v1/search?role=user%26role=admin', 400],
    ['/v1/search?q=a%26role=admin', 200, '/v1/search?q=a%26role=admin', 'search'],
    ['/v1/search?q=a%00', 400],
    ['/v1/search?q=%c0%af', 400],
    ['/v1/search?q=%ff', 400],
    ['/v1/search?q=%', 400],
    ['/v1/search?q=%u0041', 400],
    ['/v1/search?q=\xc3\xa9', 400],
    ['/v1/search?n=11', 400],
    ['/v1/search?n=1%31', 400],
    ['/v1/search?n=%31', 200, '/v1/search?n=%31', 'search'],
    ['/v1/search?n=0x1', 400],
    ['/v1/search?n=+1', 400],
    ['/v1/search?n=1&n=2', 400],
    ['/v1/search?q=?&n=1', 200, '/v1/search?q=?&n=1', 'search'],
    ['/v1/search??q=1', 400],
    ['/v1/search?', 200, '/v1/search', 'search'],
    ['/v1/search?&&q=1', 200, '/v1/search?&&q=1', 'search'],
    ['/v1/search?=x', 400],
    // Forms of the request line (RFC 9112, 3.2).
    ['http://api.example.com/v1/admin', 200, '/v1/admin', 'admin'],
    ['http://other.example.com/v1/admin', 400],
    ['http://api.example.com:81/v1/admin', 400],
    ['http://user@api.example.com/v1/admin', 400],
    ['http://api.example.com', 404],
    ['http://api.example.com/v1/public/../admin', 400],
    ['http:/v1/admin', 400],
    ['ftp://api.example.com/v1/admin', 400],
    ['v1/admin', 400],
    ['*', 400],
    ['?q=1', 400],
  ])('%j: %d', async (target, status, seen, operation) => {
    const outcome = await ask(target)
    expect(outcome.status).toBe(status)
    expect(outcome.seen).toBe(seen)
    if (seen === undefined) return
    expect(outcome.operation).toBe(operation)
  })

  test('targets put together at random are read alike by every reader, or refused', async () => {
    const pieces = [
      ...[
        '/',
        '/',
        '/',
        '/v1',
        '/v1',
        '/v1/',
        'admin',
        'public',
        'users',
        'search',
        'files',
        'matrix',
        'a',
        'x.json',
        '%C3%BC',
      ],
      ...[
        '.',
        '..',
        '%2e',
        '%2E',
        '%2f',
        '%2F',
        '%5c',
        '\\',
        ';',
        '%3b',
        ';a=b',
        ';m=5',
        '%',
        '%00',
        '%0a',
        '%20',
        '+',
        '%2B',
        '%25',
        '%252f',
        '%c0%af',
        '\xfc',
      ],
      ...[
        '?',
        '?',
        '&',
        '=',
        '#',
        'q=1',
        'role=user',
        'role=admin',
        'n=5',
        'n=50',
        '&role=admin',
        ';role=admin',
        '%26',
        '%3D',
        '[]',
        '@',
        ':',
        '//',
        'http://api.example.com',
      ],
    ]
    const passed: { readonly target: string; readonly url: string; readonly route: string | undefined }[] = []
    const before = (await gate.lines()).length
    await fc.assert(
      fc.asyncProperty(fc.gen(), async (gen) => {
        const draw = drawFrom(gen)
        const start = draw.chance(70)
          ? draw.pick([
              '/v1',
              '/v1/public/a',
              '/v1/admin',
              '/v1/search',
              '/v1/search?q=1',
              '/v1/files/a',
              '/v1/matrix/;m=1',
            ])
          : '/'
        const target = start + Array.from({ length: draw.int(0, 5) }, () => draw.pick(pieces)).join('')
        const status = await askFast(target)
        const [hit] = upstream.hits
        if (hit === undefined) {
          expect(status).toBeGreaterThanOrEqual(400)
          expect(status).toBeLessThan(500)
          return
        }
        expect(status).toBe(200)
        const found = readings(hit.url)
        const first = found.get('decoded')
        expect(first, `${target} → ${hit.url}`).toBeDefined()
        for (const [reader, route] of found) expect(route, `${target} → ${hit.url}, read as ${reader}`).toBe(first)
        passed.push({ target, url: hit.url, route: first })
        // The query means to WHATWG URL what the document allows.
        const query = new URL(`http://upstream${hit.url}`).searchParams
        if (first === 'search') {
          for (const role of query.getAll('role')) expect(role).toBe('user')
          for (const n of query.getAll('n')) expect(Number(n)).toBeLessThanOrEqual(10)
        } else expect([...query.keys()]).toEqual([])
      }),
      {
        seed: Number(process.env.PROPERTY_SEED ?? 20_261_122),
        numRuns: Number(process.env.PROPERTY_RUNS ?? 0) * 100 || 1_500,
      },
    )
    // What the gate itself matched, in the same order.
    const matched = await until(async () => {
      const lines = (await gate.lines()).slice(before).filter(({ status }) => status === 200)
      return lines.length >= passed.length && lines
    }, 'the activity lines')
    expect(matched.map(({ operation }) => operation)).toEqual(passed.map(({ route }) => route))
    expect(passed.length).toBeGreaterThan(100)
  }, 120_000)
})

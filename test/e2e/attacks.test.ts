import type { Duplex } from 'node:stream'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startGate, type TestGate } from '../kit/gate.ts'
import { preface, rawClient, until } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

/* What an attacker tried against the running gate and got through with once. Each stays here for good. */

const done = { 200: { description: 'Done.' } }
const id = { name: 'id', in: 'path', required: true, schema: { type: 'string' } }
const tenant = { name: 'X-Tenant', in: 'header', required: true, schema: { enum: ['a', 'b'] } }
const fields = { type: 'object', properties: { name: { type: 'string' } } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Attacked', version: '1' },
  security: [],
  paths: {
    '/users/{id}': {
      get: { parameters: [id], responses: done },
      post: {
        parameters: [id, tenant],
        requestBody: {
          required: true,
          content: { 'application/json': { schema: fields }, 'application/x-www-form-urlencoded': { schema: fields } },
        },
        responses: done,
      },
    },
    '/users/export': { get: { security: [{ key: ['admin'] }], responses: done } },
    '/users/@admin': { get: { security: [{ key: ['admin'] }], responses: done } },
    '/notes': {
      get: { parameters: [{ name: 'note', in: 'query', schema: { type: 'string' } }], responses: done },
    },
  },
  components: { securitySchemes: { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } } },
}

let upstream: TestUpstream
let gate: TestGate

beforeAll(async () => {
  upstream = await startUpstream()
  const limits = { anonymous: { rate: '10000/min' } }
  gate = await startGate({
    document,
    upstream: upstream.url,
    api: { limits },
    apis: {
      open: {
        openapi: './openapi.json',
        basePath: '/open',
        upstream: upstream.url,
        limits,
        headers: { request: { allow: 'all', remove: ['x-internal'] } },
      },
    },
  })
})

afterAll(async () => {
  await gate.stop()
  await upstream.stop()
})

/** Sends a request as written and tells its status and what reached the upstream. */
async function attack(line: string, headers: readonly string[] = [], body = '') {
  const hitsBefore = upstream.hits.length
  const client = await rawClient(gate.port)
  const length = body === '' ? [] : [`Content-Length: ${body.length}`]
  client.send(`${[`${line} HTTP/1.1`, 'Host: shop.test', ...headers, ...length].join('\r\n')}\r\n\r\n${body}`)
  const status = await client.status()
  client.destroy()
  return { status, hits: upstream.hits.slice(hitsBefore) }
}

const json = 'Content-Type: application/json'

describe('what was checked is what the upstream gets', () => {
  test.each([
    ['a required header', 'X-Tenant', 400],
    ['the media type', 'content-type', 415],
  ])('%s cannot be checked and then taken away by Connection', async (_, name, status) => {
    const sent = await attack('POST /users/1', ['X-Tenant: a', json, `Connection: keep-alive, ${name}`], '{}')
    expect(sent).toEqual({ status, hits: [] })
  })

  test('Connection cannot take away what frames the body', async () => {
    const sent = await attack(
      'POST /users/1',
      ['X-Tenant: a', json, 'Connection: content-length, host'],
      '{"name":"x"}',
    )
    expect(sent.status).toBe(200)
    expect(sent.hits.map(({ body }) => body.toString())).toEqual(['{"name":"x"}'])
  })

  test.each(['/users/%40admin', '/users/export;v=1', '/users/EXPORT', '/users/export%20', '/open/users/%65XPORT'])(
    'the rights of a listed path are not got around by another spelling of it: %s',
    async (path) => {
      expect(await attack(`GET ${path}`)).toEqual({ status: 404, hits: [] })
    },
  )

  test.each([
    'X_HTTP_Method_Override: DELETE',
    'X_Original_URL: /users/export',
    'X_Internal: 1',
    'X_Tenant: b',
    'Content_Type: text/plain',
    'Content_Encoding: gzip',
    'Portcullis_Subject: root',
    'X-Forwarded-User: root',
    'X_Forwarded_Prefix: /x',
    'True-Client-IP: 203.0.113.1',
    'CF_Connecting_IP: 203.0.113.1',
  ])('where all headers may pass, "%s" does not', async (header) => {
    const sent = await attack('POST /open/users/1', ['X-Tenant: a', 'X-Plain: 1', json, header], '{}')
    expect(sent.status).toBe(200)
    const [hit] = sent.hits
    expect(hit?.headers['x-plain']).toBe('1')
    expect(hit?.headers['x-tenant']).toBe('a')
    expect(Object.keys(hit!.headers)).not.toContain(header.split(':')[0]!.toLowerCase())
  })

  test('a semicolon hides no further parameter from the check (CVE-2021-23336)', async () => {
    expect(await attack('GET /notes?note=1;_method=DELETE')).toEqual({ status: 400, hits: [] })
    const form = 'Content-Type: application/x-www-form-urlencoded'
    const sent = await attack('POST /users/1', ['X-Tenant: a', form], 'name=a;_method=DELETE')
    expect(sent).toEqual({ status: 400, hits: [] })
    expect((await attack('GET /notes?note=1%3B2')).status).toBe(200)
  })

  test('a key in the query is refused under any name', async () => {
    const key = await gate.key()
    expect(await attack(`GET /notes?note=${key}`)).toEqual({ status: 400, hits: [] })
  })
})

describe('what a caller leaves behind', () => {
  test('an HTTP/2 connection that is closed without GOAWAY gives its place back', async () => {
    const tls = await startGate({
      document,
      upstream: upstream.url,
      root: {
        listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }],
        connection: { connectionsPerAddress: 2 },
      },
    })
    for (let i = 0; i < 8; i++) {
      const client = await rawClient(tls.port, { ALPNProtocols: ['h2'] })
      client.send(preface)
      await until(() => client.bytes().length > 0, 'settings')
      client.end()
      await client.whole()
    }
    await tls.stop()
  })

  test('a tunnel whose caller is gone before it stands is not kept, even if the upstream never ends', async () => {
    const opened: Duplex[] = []
    upstream.server.on('upgrade', (_request, socket: Duplex) => {
      opened.push(socket.on('error', () => {}))
      // Half open for good: it reads nothing, so it sees no end.
      socket.pause()
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n')
    })
    const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x'
    for (let i = 0; i < 5; i++) {
      const client = await rawClient(gate.port)
      client.send(`GET /users/1 HTTP/1.1\r\nHost: shop.test\r\n${upgrade}\r\n\r\n`).end()
    }
    await until(() => gate.running.inFlight() === 0, 'nothing under way', 8_000)
    for (const socket of opened) socket.destroy()
  }, 15_000)
})

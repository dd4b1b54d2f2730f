import { get as httpGet, type IncomingHttpHeaders } from 'node:http'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { smallDocument, startGate, type TestGate } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream((_request, reply) =>
    json(reply, [], 200, { 'access-control-allow-origin': '*', 'access-control-allow-credentials': 'true' }),
  )
})
afterAll(() => upstream.stop())

/** Starts a gate, hands it to the test, and ends it whatever happens. */
async function withGate(
  input: { api?: object; root?: object; document?: object; files?: Record<string, string> },
  run: (gate: TestGate) => Promise<void>,
) {
  const gate = await startGate({ upstream: upstream.url, ...input })
  upstream.hits.length = 0
  try {
    await run(gate)
  } finally {
    await gate.stop()
  }
}

/** A request from one of loopback's many addresses. */
function getFrom(
  localAddress: string,
  url: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; headers: IncomingHttpHeaders }> {
  return new Promise((resolve, reject) => {
    const request = httpGet(url, { localAddress, headers, agent: false }, (reply) => {
      reply.resume()
      reply.once('end', () => resolve({ status: reply.statusCode!, headers: reply.headers }))
    })
    request.once('error', reject)
  })
}

describe('T8: no secrets in query strings', () => {
  const canary = 'canary-5f1c7e'
  const jwt = `eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJ${canary}.c2lnbmF0dXJl`

  test('are refused, reach neither the upstream nor any log', async () => {
    await withGate({}, async (gate) => {
      const key = await gate.key()
      const targets = [
        `/orders?access_token=${canary}`,
        `/orders?api_key=${canary}`,
        `/orders?limit=5&password=${canary}`,
        `/orders?limit=${jwt}`,
        `/health?token=${canary}`,
        `/nowhere?access_token=${canary}`,
      ]
      for (const target of targets) {
        const reply = await gate.fetch(target, { headers: { 'x-api-key': key } })
        const text = await reply.text()
        expect([target, reply.status, JSON.parse(text).code]).toEqual([target, 400, 'query.credential'])
        expect(text).not.toContain(canary)
      }
      expect(upstream.hits).toEqual([])
      const lines = JSON.stringify(await gate.lines(targets.length))
      expect(lines).toContain('query.credential')
      expect(lines).not.toContain(canary)
      expect(JSON.stringify(gate.messages)).not.toContain(canary)
      const passed = await gate.fetch('/orders?limit=5', { headers: { 'x-api-key': key } })
      expect(passed.status).toBe(200)
    })
  })
})

describe('H2: CORS on the wire', () => {
  const app = 'https://app.example.com'
  const cors = { origins: [app], credentials: true }
  const corsHeaders = (headers: { forEach: (each: (value: string, name: string) => void) => void }) => {
    const found: Record<string, string> = {}
    headers.forEach((value, name) => {
      if (name.startsWith('access-control-')) found[name] = value
    })
    return found
  }
  const preflight = (origin: string, method: string) => ({
    method: 'OPTIONS',
    headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': 'x-api-key' },
  })

  test('a preflight is answered before anybody is asked who they are', async () => {
    await withGate({ api: { cors } }, async (gate) => {
      const reply = await gate.fetch('/orders', preflight(app, 'POST'))
      expect(reply.status).toBe(204)
      expect(corsHeaders(reply.headers)).toEqual({
        'access-control-allow-origin': app,
        'access-control-allow-credentials': 'true',
        'access-control-allow-methods': 'GET, HEAD, POST',
        'access-control-allow-headers': 'authorization, content-type, x-api-key',
        'access-control-max-age': '600',
      })
      expect(reply.headers.get('vary')).toContain('Origin')
      expect(upstream.hits).toEqual([])
    })
  })

  test('a foreign origin, or a method that is not listed, gets no CORS headers', async () => {
    await withGate({ api: { cors } }, async (gate) => {
      for (const [origin, method] of [
        ['https://evil.example', 'POST'],
        ['null', 'POST'],
        [app, 'DELETE'],
      ] as const) {
        const reply = await gate.fetch('/orders', preflight(origin, method))
        expect(reply.status).toBe(403)
        expect(corsHeaders(reply.headers)).toEqual({})
      }
      const key = await gate.key()
      const simple = await gate.fetch('/orders', { headers: { origin: 'https://evil.example', 'x-api-key': key } })
      expect(simple.status).toBe(200)
      expect(corsHeaders(simple.headers)).toEqual({})
    })
  })

  test('401, 404, 405 and 200 carry the headers, and tell caches why', async () => {
    await withGate({ api: { cors } }, async (gate) => {
      const key = await gate.key()
      for (const [path, method, headers, status] of [
        ['/orders', 'GET', {}, 401],
        ['/nowhere', 'GET', {}, 404],
        ['/orders', 'DELETE', {}, 405],
        ['/orders', 'GET', { 'x-api-key': key }, 200],
      ] as const) {
        const reply = await gate.fetch(path, { method, headers: { ...headers, origin: app } })
        expect([path, method, reply.status]).toEqual([path, method, status])
        expect(corsHeaders(reply.headers)).toEqual({
          'access-control-allow-origin': app,
          'access-control-allow-credentials': 'true',
        })
        expect(reply.headers.get('vary')).toContain('Origin')
      }
    })
  })

  test('is closed by default, whatever the upstream says', async () => {
    await withGate({}, async (gate) => {
      const reply = await gate.fetch('/health', { headers: { origin: app } })
      expect(reply.status).toBe(200)
      expect(corsHeaders(reply.headers)).toEqual({})
      const refused = await gate.fetch('/orders', preflight(app, 'POST'))
      expect(refused.ok).toBe(false)
      expect(corsHeaders(refused.headers)).toEqual({})
    })
  })

  test('credentials for all origins are refused at load', async () => {
    const open = { cors: { origins: ['*'], credentials: true } }
    await expect(startGate({ upstream: upstream.url, api: open })).rejects.toThrow(
      /cannot go together with credentials/,
    )
  })
})

describe('H3: addresses on the wire', () => {
  test('denied ranges are refused, from a list file too', async () => {
    const input = {
      api: { ip: { deny: ['127.0.0.2/32', 'list:./deny.txt'] } },
      files: { 'deny.txt': '# known bad\n127.0.0.3\n' },
    }
    await withGate(input, async (gate) => {
      const url = `${gate.url}/health`
      expect((await getFrom('127.0.0.1', url)).status).toBe(200)
      expect((await getFrom('127.0.0.2', url)).status).toBe(403)
      expect((await getFrom('127.0.0.3', url)).status).toBe(403)
      expect((await getFrom('127.0.0.4', url)).status).toBe(200)
      expect(upstream.hits).toHaveLength(2)
    })
  })

  test('a spoofed header from an untrusted peer changes nothing', async () => {
    await withGate({ api: { ip: { allow: ['203.0.113.0/24'] } } }, async (gate) => {
      const url = `${gate.url}/health`
      for (const headers of [
        {},
        { 'x-forwarded-for': '203.0.113.7' },
        { forwarded: 'for=203.0.113.7' },
        { 'x-real-ip': '203.0.113.7' },
      ] as Record<string, string>[]) {
        expect((await getFrom('127.0.0.1', url, headers)).status).toBe(403)
      }
      expect(upstream.hits).toEqual([])
      expect((await gate.lines(4)).map(({ client }) => client)).toEqual(Array(4).fill('127.0.0.1'))
    })
  })

  test('a trusted proxy is believed as far as trust reaches', async () => {
    const input = {
      api: { ip: { allow: ['203.0.113.0/24'] } },
      root: { trustedProxies: ['127.0.0.1/32', '10.0.0.0/8'] },
    }
    await withGate(input, async (gate) => {
      const url = `${gate.url}/health`
      const status = async (from: string, headers: Record<string, string>) => (await getFrom(from, url, headers)).status
      expect(await status('127.0.0.1', { 'x-forwarded-for': '203.0.113.7' })).toBe(200)
      expect(await status('127.0.0.1', { 'x-forwarded-for': '203.0.113.7, 10.1.1.1' })).toBe(200)
      expect(await status('127.0.0.1', { forwarded: 'for=203.0.113.7' })).toBe(200)
      expect(await status('127.0.0.1', { 'x-forwarded-for': '203.0.113.7, 198.51.100.1' })).toBe(403)
      expect(await status('127.0.0.2', { 'x-forwarded-for': '203.0.113.7' })).toBe(403)
      expect(await status('127.0.0.1', { 'x-forwarded-for': '198.51.100.1', forwarded: 'for=203.0.113.7' })).toBe(400)
    })
  })

  test('a range that is none is refused at load', async () => {
    const api = { ip: { deny: ['10.0.0.0/33'] } }
    await expect(startGate({ upstream: upstream.url, document: smallDocument, api })).rejects.toThrow(
      /expected an IP range .* found "10\.0\.0\.0\/33"/,
    )
  })
})

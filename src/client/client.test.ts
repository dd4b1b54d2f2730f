import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, type JWK } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { ClientError, type ClientOptions, createClient, type RefreshTokens } from './index.ts'

/*
 * Against a token endpoint and an API on loopback that keep their own time, so that five seconds need not be waited for.
 */

interface Asked {
  readonly grant: string
  readonly form: URLSearchParams
  readonly headers: IncomingMessage['headers']
}

interface Called {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

let now = 0
let lifeSeconds = 5
/** Bearer, or bound to keys. */
let bound = false
let nonce: string | undefined
let tokens = 0
const alive = new Map<string, { readonly until: number; readonly jkt: string | undefined }>()
let refreshToken = ''
const asked: Asked[] = []
const calls: Called[] = []
let unauthorized = 0
/** Takes the place of the token endpoint, or of the API. */
let answer: ((form: URLSearchParams, reply: ServerResponse) => boolean | Promise<boolean>) | undefined
let api: ((request: IncomingMessage, reply: ServerResponse, body: string) => boolean) | undefined
let maxAtOnce = 0
let atOnce = 0

async function text(request: IncomingMessage): Promise<string> {
  let body = ''
  for await (const chunk of request) body += chunk
  return body
}

function json(reply: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}): void {
  reply.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store', ...headers })
  reply.end(JSON.stringify(value))
}

async function jktOf(request: IncomingMessage): Promise<string | undefined> {
  const proof = request.headers.dpop
  return typeof proof === 'string' ? calculateJwkThumbprint(decodeProtectedHeader(proof).jwk as JWK) : undefined
}

async function tokenEndpoint(request: IncomingMessage, reply: ServerResponse): Promise<void> {
  const form = new URLSearchParams(await text(request))
  asked.push({ grant: form.get('grant_type')!, form, headers: request.headers })
  atOnce++
  maxAtOnce = Math.max(maxAtOnce, atOnce)
  await new Promise((resolve) => setTimeout(resolve, 5))
  atOnce--
  if ((await answer?.(form, reply)) === true) return
  if (nonce !== undefined && decodeJwt(String(request.headers.dpop)).nonce !== nonce) {
    return json(reply, { error: 'use_dpop_nonce' }, 400, { 'dpop-nonce': nonce })
  }
  if (form.get('grant_type') === 'refresh_token') {
    if (form.get('refresh_token') !== refreshToken) return json(reply, { error: 'invalid_grant' }, 400)
    refreshToken = `refresh-${tokens}`
  }
  const token = `token-${++tokens}`
  const jkt = await jktOf(request)
  alive.set(token, { until: now + lifeSeconds * 1_000, jkt })
  json(reply, {
    access_token: token,
    token_type: bound && jkt !== undefined ? 'DPoP' : 'Bearer',
    expires_in: lifeSeconds,
    ...(form.get('grant_type') === 'refresh_token' ? { refresh_token: refreshToken } : {}),
  })
}

async function apiEndpoint(request: IncomingMessage, reply: ServerResponse): Promise<void> {
  const body = await text(request)
  calls.push({ method: request.method!, url: request.url!, headers: request.headers, body })
  if (api?.(request, reply, body) === true) return
  const [scheme, token = ''] = (request.headers.authorization ?? '').split(' ')
  const found = alive.get(token)
  if (found === undefined || found.until <= now) {
    unauthorized++
    return json(reply, {}, 401, { 'www-authenticate': `${scheme} realm="api", error="invalid_token"` })
  }
  if (bound) {
    const proof = decodeJwt(String(request.headers.dpop))
    if (scheme !== 'DPoP' || (await jktOf(request)) !== found.jkt) return json(reply, {}, 400)
    if (nonce !== undefined && proof.nonce !== nonce) {
      return json(reply, {}, 401, { 'www-authenticate': 'DPoP error="use_dpop_nonce"', 'dpop-nonce': nonce })
    }
  }
  json(reply, { ok: true, body })
}

const servers = [createServer(route), createServer(route)]
let origin = ''
let elsewhere = ''

function route(request: IncomingMessage, reply: ServerResponse): void {
  const run = request.url === '/token' ? tokenEndpoint : apiEndpoint
  run(request, reply).catch((error) => reply.destroy(error))
}

beforeAll(async () => {
  for (const server of servers) await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  ;[origin, elsewhere] = servers.map((server) => `http://127.0.0.1:${(server.address() as AddressInfo).port}`) as [
    string,
    string,
  ]
})
beforeEach(() => {
  now = Date.now()
  lifeSeconds = 5
  bound = false
  nonce = undefined
  answer = undefined
  api = undefined
  refreshToken = 'refresh-first'
  unauthorized = 0
  maxAtOnce = 0
  asked.length = 0
  calls.length = 0
  alive.clear()
})
afterAll(async () => {
  for (const server of servers) {
    server.closeAllConnections()
    await new Promise((resolve) => server.close(resolve))
  }
})

function clientWith(options: Partial<ClientOptions> = {}) {
  return createClient({
    tokenEndpoint: `${origin}/token`,
    clientId: 'app',
    clientSecret: 'app-secret',
    resource: origin,
    now: () => now,
    ...options,
  })
}

/** A place for the refresh token, as an application has one. */
function keptTokens(first: string): RefreshTokens {
  let kept: string | undefined = first
  return {
    name: 'user',
    get: () => kept,
    set(token) {
      kept = token
    },
  }
}

async function errorOf(promise: Promise<unknown>): Promise<ClientError> {
  const error = await promise.then(
    () => undefined,
    (thrown) => thrown,
  )
  expect(error).toBeInstanceOf(ClientError)
  // It may be logged whole: nothing in it is a secret.
  const all = `${error.stack} ${JSON.stringify(error, Object.getOwnPropertyNames(error))} ${String(error.cause)}`
  expect(all).not.toMatch(/token-\d|refresh-\d|refresh-first|app-secret/)
  return error
}

describe('K4: tokens of five seconds', () => {
  test('last for thirty of calls without one 401, with one renewal at a time', async () => {
    for (const options of [{}, { refreshToken: 'refresh-first' }]) {
      refreshToken = 'refresh-first'
      asked.length = 0
      const client = clientWith(options)
      const end = now + 30_000
      let count = 0
      while (now < end) {
        const replies = await Promise.all(Array.from({ length: 10 }, () => client.fetch(`${origin}/orders`)))
        for (const reply of replies) {
          expect(reply.status).toBe(200)
          await reply.arrayBuffer()
          count++
        }
        now += 250
      }
      expect(count).toBe(1_200)
      expect(unauthorized).toBe(0)
      expect(maxAtOnce).toBe(1)
      // Every two and a half seconds or so: renewed early, not all the time.
      expect(asked.length).toBeGreaterThanOrEqual(7)
      expect(asked.length).toBeLessThanOrEqual(13)
    }
  })

  test('a hundred calls at once make one renewal, first, in time and too late', async () => {
    const client = clientWith({ refreshToken: 'refresh-first' })
    const hundred = async () => {
      const replies = await Promise.all(Array.from({ length: 100 }, () => client.fetch(`${origin}/orders`)))
      expect(new Set(replies.map(({ status }) => status))).toEqual(new Set([200]))
      await Promise.all(replies.map((reply) => reply.arrayBuffer()))
    }
    await hundred()
    expect(asked).toHaveLength(1)
    now += 4_000
    await hundred()
    await hundred()
    expect(asked).toHaveLength(2)
    now += 100_000
    await hundred()
    expect(asked).toHaveLength(3)
    expect(unauthorized).toBe(0)
    // Taken back by the issuer: all are refused once, and one renewal serves them.
    alive.clear()
    await hundred()
    expect(asked).toHaveLength(4)
    expect(unauthorized).toBe(100)
  })

  test('are not renewed before two thirds of their life, a second taken off, and then beside the calls', async () => {
    const client = clientWith()
    await client.fetch(`${origin}/orders`)
    now += 2_600
    await client.fetch(`${origin}/orders`)
    expect(asked).toHaveLength(1)
    now += 100
    // Beside the call, which goes on with the old one.
    await client.fetch(`${origin}/orders`)
    expect(calls.at(-1)!.headers.authorization).toBe(calls[0]!.headers.authorization)
    await expect.poll(() => asked.length).toBe(2)
  })

  test('a renewal that fails does no harm as long as the token is good, and then says why', async () => {
    const client = clientWith()
    await client.fetch(`${origin}/orders`)
    answer = (_form, reply) => {
      json(reply, { error: 'temporarily_unavailable' }, 503)
      return true
    }
    now += 2_800
    expect((await client.fetch(`${origin}/orders`)).status).toBe(200)
    now += 2_200
    expect(await errorOf(client.fetch(`${origin}/orders`))).toMatchObject({ code: 'unavailable' })
    const before = asked.length
    // Callers in a loop do not become a flood.
    await Promise.allSettled(Array.from({ length: 50 }, () => client.fetch(`${origin}/orders`)))
    expect(asked.length).toBe(before)
    answer = undefined
    now += 1_001
    expect((await client.fetch(`${origin}/orders`)).status).toBe(200)
  })
})

describe('a call', () => {
  test('that is refused as invalid is sent once more with a new token, body and all, and no more often', async () => {
    const client = clientWith()
    await client.fetch(`${origin}/orders`)
    alive.clear()
    const reply = await client.fetch(`${origin}/orders`, { method: 'POST', body: 'three', headers: { 'x-a': 'b' } })
    expect(await reply.json()).toEqual({ ok: true, body: 'three' })
    expect(calls.at(-1)).toMatchObject({ method: 'POST', body: 'three', headers: { 'x-a': 'b' } })
    expect(calls).toHaveLength(3)
    api = (_request, answered) => {
      json(answered, {}, 401, { 'www-authenticate': 'Bearer error="invalid_token"' })
      return true
    }
    calls.length = 0
    expect((await client.fetch(`${origin}/orders`)).status).toBe(401)
    expect(calls).toHaveLength(2)
  })

  test.each([
    [401, 'Bearer realm="api"'],
    [401, 'Bearer error="insufficient_user_authentication"'],
    [403, 'Bearer error="insufficient_scope"'],
    [403, 'Bearer error="invalid_token"'],
  ])('answered %i with %s comes back as it is', async (status, challenge) => {
    api = (_request, reply) => {
      json(reply, { why: 1 }, status, { 'www-authenticate': challenge })
      return true
    }
    const reply = await clientWith().fetch(`${origin}/orders`)
    expect(reply.status).toBe(status)
    expect(await reply.json()).toEqual({ why: 1 })
    expect(calls).toHaveLength(1)
  })

  test('with a stream is sent once', async () => {
    const client = clientWith()
    await client.fetch(`${origin}/orders`)
    const body = () => new Blob(['abc']).stream()
    const sent = await client.fetch(`${origin}/orders`, { method: 'POST', body: body() })
    expect(await sent.json()).toMatchObject({ body: 'abc' })
    alive.clear()
    calls.length = 0
    expect((await client.fetch(`${origin}/orders`, { method: 'POST', body: body() })).status).toBe(401)
    expect(calls).toHaveLength(1)
  })

  test('may be a Request, and every other kind of body', async () => {
    const client = clientWith()
    const request = new Request(`${origin}/orders`, { method: 'PUT', body: 'x', headers: { 'x-a': 'b' } })
    expect(await (await client.fetch(request)).json()).toMatchObject({ body: 'x' })
    expect(calls.at(-1)).toMatchObject({ method: 'PUT', headers: { 'x-a': 'b' } })
    for (const body of [new URLSearchParams('a=1'), new TextEncoder().encode('a=1'), new Blob(['a=1'])]) {
      const reply = await client.fetch(new URL(`${origin}/orders`), { method: 'POST', body })
      expect(await reply.json()).toMatchObject({ body: 'a=1' })
    }
    expect(calls.some(({ headers }) => headers['content-type']?.startsWith('application/x-www-form-urlencoded'))).toBe(
      true,
    )
  })

  test('carries no proof that the caller of it put there', async () => {
    await clientWith().fetch(`${origin}/orders`, { headers: { Authorization: 'Bearer other', DPoP: 'x' } })
    expect(calls[0]!.headers.authorization).toMatch(/^Bearer token-/)
    expect(calls[0]!.headers.dpop).toBeUndefined()
  })

  test('can be given up while a token is waited for, and others still get it', async () => {
    let open: () => void = () => {}
    const gate = new Promise<void>((resolve) => (open = resolve))
    answer = async () => {
      await gate
      return false
    }
    const client = clientWith()
    const stop = new AbortController()
    const given = client.fetch(`${origin}/orders`, { signal: stop.signal })
    const other = client.fetch(`${origin}/orders`)
    stop.abort(new Error('enough'))
    await expect(given).rejects.toThrow('enough')
    open()
    expect((await other).status).toBe(200)
    await expect(client.fetch(`${origin}/orders`, { signal: stop.signal })).rejects.toThrow('enough')
  })
})

describe('a token goes nowhere else', () => {
  test('than to the configured origins', async () => {
    const client = clientWith()
    for (const url of [
      `${elsewhere}/orders`,
      'https://evil.example/',
      origin.replace('127.0.0.1', 'localhost'),
      origin.replace('http:', 'https:'),
      'data:text/plain,x',
    ]) {
      expect(await errorOf(client.fetch(url)), url).toMatchObject({ code: 'origin' })
    }
    await expect(client.fetch(origin.replace('//', '//user:pass@'))).rejects.toThrow(TypeError)
    await expect(client.fetch('/orders')).rejects.toThrow(TypeError)
    expect(asked).toHaveLength(0)
    expect(calls).toHaveLength(0)
  })

  test('by a redirect, and within the origin a redirect is followed with a token of its own', async () => {
    let location = `${elsewhere}/steal`
    let status = 307
    api = ({ url }, reply) => {
      if (url !== '/from') return false
      reply.writeHead(status, { location }).end()
      return true
    }
    const client = clientWith()
    for (status of [301, 302, 303, 307, 308]) {
      expect(await errorOf(client.fetch(`${origin}/from`))).toMatchObject({ code: 'redirect' })
    }
    expect(calls.every(({ url }) => url === '/from')).toBe(true)
    expect((await client.fetch(`${origin}/from`, { redirect: 'manual' })).status).toBe(308)
    expect(await errorOf(client.fetch(`${origin}/from`, { redirect: 'error' }))).toMatchObject({ code: 'redirect' })
    location = '/to?x=1'
    const kept = await client.fetch(`${origin}/from`, { method: 'PUT', body: 'b' })
    expect(await kept.json()).toEqual({ ok: true, body: 'b' })
    expect(calls.at(-1)).toMatchObject({ method: 'PUT', url: '/to?x=1' })
    status = 303
    expect(await (await client.fetch(`${origin}/from`, { method: 'POST', body: 'b' })).json()).toEqual({
      ok: true,
      body: '',
    })
    expect(calls.at(-1)).toMatchObject({ method: 'GET', body: '' })
    location = '/from'
    calls.length = 0
    expect(await errorOf(client.fetch(`${origin}/from`))).toMatchObject({ code: 'redirect' })
    expect(calls).toHaveLength(6)
  })

  test('nor into a URL, whichever way it is asked for', async () => {
    const client = clientWith({ dpop: true, refreshToken: 'refresh-first' })
    bound = true
    await client.fetch(`${origin}/orders?a=b`)
    const urls = calls.map(({ url }) => url).join()
    expect(urls).toBe('/orders?a=b')
  })
})

describe('a bound token', () => {
  beforeEach(() => {
    bound = true
  })

  test('is used with a proof for each call, made with a key that cannot be read', async () => {
    const client = clientWith({ dpop: true })
    expect((await client.fetch(`${origin}/orders?x=1`)).status).toBe(200)
    expect((await client.fetch(`${origin}/orders`, { method: 'POST', body: '{}' })).status).toBe(200)
    const [first, second] = calls.map(({ headers }) => decodeJwt(String(headers.dpop)))
    expect(first).toMatchObject({ htm: 'GET', htu: `${origin}/orders` })
    expect(second).toMatchObject({ htm: 'POST' })
    expect(first!.jti).not.toBe(second!.jti)
    expect(first!.ath).toBeDefined()
    const key = decodeProtectedHeader(String(calls[0]!.headers.dpop)).jwk
    expect(key).not.toHaveProperty('d')
  })

  test('keeps to a key that is handed in', async () => {
    const pair = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, ['sign', 'verify'])
    await clientWith({ dpop: pair }).fetch(`${origin}/orders`)
    await clientWith({ dpop: pair }).fetch(`${origin}/orders`)
    const keys = calls.map(({ headers }) => decodeProtectedHeader(String(headers.dpop)).jwk!.x)
    expect(keys[0]).toBe(keys[1])
  })

  test('answers a server that wants its nonce, at both ends, and keeps the nonce', async () => {
    nonce = 'first-nonce'
    const client = clientWith({ dpop: true })
    expect((await client.fetch(`${origin}/orders`, { method: 'POST', body: 'b' })).status).toBe(200)
    expect(calls.at(-1)!.body).toBe('b')
    const before = calls.length
    expect((await client.fetch(`${origin}/orders`)).status).toBe(200)
    expect(calls).toHaveLength(before + 1)
    nonce = 'second-nonce'
    alive.clear()
    // A dead token and a new nonce at once: both are mended, in whatever order they are told.
    expect((await client.fetch(`${origin}/orders`)).status).toBe(200)
    expect(unauthorized).toBe(1)
  })

  test('is not taken where an unbound one comes', async () => {
    bound = false
    expect(await errorOf(clientWith({ dpop: true }).fetch(`${origin}/orders`))).toMatchObject({ code: 'not-bound' })
    expect(calls).toHaveLength(0)
  })
})

describe('a refresh token', () => {
  test('that rotates is kept before its access token is used', async () => {
    const order: string[] = []
    let kept: string | undefined = 'refresh-first'
    const store: RefreshTokens = {
      name: 'user',
      get: () => kept,
      async set(token) {
        await new Promise((resolve) => setTimeout(resolve, 5))
        kept = token
        order.push('kept')
      },
    }
    api = () => {
      order.push('called')
      return false
    }
    const client = clientWith({ refreshToken: store })
    await client.fetch(`${origin}/orders`)
    expect(order).toEqual(['kept', 'called'])
    expect(kept).toBe(refreshToken)
  })

  test('that is no longer good signs the user out, and is not tried again', async () => {
    const store = keptTokens('stolen-and-spent')
    const client = clientWith({ refreshToken: store })
    expect(await errorOf(client.fetch(`${origin}/orders`))).toMatchObject({
      code: 'signed-out',
      error: 'invalid_grant',
    })
    expect(await store.get()).toBeUndefined()
    now += 1_001
    expect(await errorOf(client.fetch(`${origin}/orders`))).toMatchObject({ code: 'signed-out' })
    expect(asked).toHaveLength(1)
  })

  test('shared by tabs is spent by one at a time', async () => {
    let turn: Promise<unknown> = Promise.resolve()
    const names = new Set<string>()
    const locks = {
      request<T>(name: string, run: () => Promise<T>): Promise<T> {
        names.add(name)
        const mine = turn.then(run)
        turn = mine.catch(() => {})
        return mine
      },
    }
    const store = keptTokens('refresh-first')
    const tabs = Array.from({ length: 5 }, () => clientWith({ refreshToken: store, locks }))
    const statuses = await Promise.all(tabs.map(async (tab) => (await tab.fetch(`${origin}/orders`)).status))
    expect(statuses).toEqual([200, 200, 200, 200, 200])
    expect(maxAtOnce).toBe(1)
    expect([...names]).toEqual(['portcullis:user'])
  })
})

describe('the token endpoint', () => {
  test('is asked as the client is, for what is wanted', async () => {
    await clientWith({ scope: ['a', 'b'], resource: [origin, `${origin}/x`] }).fetch(`${origin}/orders`)
    const [{ form, headers }] = asked as [Asked]
    expect(form.get('scope')).toBe('a b')
    expect(form.getAll('resource')).toEqual([origin, `${origin}/x`])
    expect(headers.authorization).toBe(`Basic ${btoa('app:app%2Dsecret')}`)
    await clientWith({ clientAuthentication: 'post' }).fetch(`${origin}/orders`)
    expect(asked.at(-1)!.form.get('client_secret')).toBe('app-secret')
  })

  test('is told who asks by a signed assertion', async () => {
    const { privateKey } = await crypto.subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, false, [
      'sign',
      'verify',
    ])
    const client = createClient({
      tokenEndpoint: `${origin}/token`,
      clientId: 'app',
      privateKey: { key: privateKey, kid: 'k1' },
      resource: origin,
    })
    expect((await client.fetch(`${origin}/orders`)).status).toBe(200)
    expect(decodeJwt(asked[0]!.form.get('client_assertion')!)).toMatchObject({ iss: 'app', sub: 'app' })
  })

  test.each<[string, (form: URLSearchParams, reply: ServerResponse) => void, Partial<ClientError>]>([
    [
      'refuses',
      (_f, reply) => json(reply, { error: 'invalid_client' }, 401),
      { code: 'refused', error: 'invalid_client' },
    ],
    ['answers HTML', (_f, reply) => void reply.end('<p>token-1</p>'), { code: 'unavailable' }],
    ['answers nothing of use', (_f, reply) => json(reply, { token: 'token-1' }), { code: 'unavailable' }],
    ['gives no type', (_f, reply) => json(reply, { access_token: 'token-1' }), { code: 'unavailable' }],
    ['breaks off', (_f, reply) => void reply.destroy(), { code: 'unavailable' }],
  ])('that %s gives an error that may be logged', async (_what, how, expected) => {
    answer = (form, reply) => {
      how(form, reply)
      return true
    }
    expect(await errorOf(clientWith().fetch(`${origin}/orders`))).toMatchObject(expected)
  })

  test('that hangs is given up', async () => {
    answer = () => true
    expect(await errorOf(clientWith({ timeoutMs: 50 }).fetch(`${origin}/orders`))).toMatchObject({
      code: 'unavailable',
    })
  })
})

test.each<[Partial<ClientOptions>, RegExp]>([
  [{ issuer: 'https://id.example' }, /`issuer` or `tokenEndpoint`/],
  [{ tokenEndpoint: 'http://id.example/token' }, /https/],
  [{ tokenEndpoint: 'nonsense' }, /https/],
  [{ resource: 'http://api.example' }, /https/],
  [{ resource: [] }, /where tokens may go/],
  [{ privateKey: {} as never }, /not both/],
])('options that cannot be meant are refused at once: %j', (options, message) => {
  expect(() => clientWith(options)).toThrow(message)
})

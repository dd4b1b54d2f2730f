import { readFile } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { stripTypeScriptTypes } from 'node:module'
import type { AddressInfo } from 'node:net'
import { calculateJwkThumbprint, decodeJwt, decodeProtectedHeader, type JWK } from 'jose'
import type { Browser, Page } from 'playwright-core'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createClient } from '../../src/client/index.ts'
import { basic, callback, secretOf, signIn, startTokenGate, type TokenGate } from '../kit/token-gate.ts'
import { services } from '../services.ts'

/*
 * The client half (K4) with the token service of the gate and the API behind it, and in a browser. What is slow or goes wrong
 * is in src/client/client.test.ts, where time is moved by hand.
 */

describe('with a real token service', () => {
  let gate: TokenGate

  beforeAll(async () => {
    gate = await startTokenGate({ tokenService: { accessTtl: '5s' } })
  }, 60_000)
  afterAll(() => gate.stop())

  /** Statuses of calls, ten at a time, for so long. */
  async function callFor(ms: number, one: () => Promise<Response>): Promise<Set<number>> {
    const statuses = new Set<number>()
    const end = Date.now() + ms
    while (Date.now() < end) {
      const replies = await Promise.all(Array.from({ length: 10 }, one))
      for (const reply of replies) {
        statuses.add(reply.status)
        await reply.arrayBuffer()
      }
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    return statuses
  }

  /** A `fetch` that notes what the token endpoint is asked, and how often somebody is refused. */
  function noting() {
    const noted = { renewals: 0, refused: 0 }
    const noteFetch: typeof fetch = async (input, init) => {
      const reply = await fetch(input, init)
      if (String(input).endsWith('/token')) noted.renewals++
      if (reply.status === 401) noted.refused++
      return reply
    }
    return { noted, fetch: noteFetch }
  }

  test('12 s of calls with tokens of 5 s see no 401, bound and unbound, and few renewals', async () => {
    const origin = new URL(gate.issuer).origin
    const runs = [false, true].map(async (dpop) => {
      const { noted, fetch: send } = noting()
      const client = createClient({
        issuer: gate.issuer,
        clientId: 'batch',
        clientSecret: secretOf('batch'),
        scope: 'orders:read',
        origins: [origin],
        dpop,
        fetch: send,
      })
      const statuses = await callFor(12_000, () => client.fetch(`${origin}/orders`))
      expect([...statuses]).toEqual([200])
      expect(noted.refused).toBe(0)
      expect(noted.renewals).toBeGreaterThanOrEqual(3)
      expect(noted.renewals).toBeLessThanOrEqual(6)
    })
    await Promise.all(runs)
  }, 40_000)

  test('a user who signed in stays so by refresh tokens that rotate, until one is stolen and used', async () => {
    const origin = new URL(gate.issuer).origin
    const verifier = 'a-verifier-of-forty-three-characters-at-the-least-0'
    const challenge = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(verifier))
    const url = new URL(`${gate.issuer}/auth`)
    url.search = new URLSearchParams({
      client_id: 'app',
      response_type: 'code',
      redirect_uri: callback,
      scope: 'openid offline_access orders:read',
      prompt: 'consent',
      state: 'abc',
      nonce: 'def',
      code_challenge: Buffer.from(challenge).toString('base64url'),
      code_challenge_method: 'S256',
    }).toString()
    const page = await signIn(url.href)
    const code = new URL(page.url).searchParams.get('code')!
    const grant = await gate.post(
      '/oauth/token',
      { grant_type: 'authorization_code', code, redirect_uri: callback, code_verifier: verifier },
      basic('app'),
    )
    expect(grant.status).toBe(200)
    let kept: string | undefined = grant.body.refresh_token
    const seen = new Set<string | undefined>([kept])
    const client = createClient({
      issuer: gate.issuer,
      clientId: 'app',
      clientSecret: secretOf('app'),
      origins: [origin],
      refreshToken: {
        name: 'anna',
        get: () => kept,
        set(token) {
          kept = token
          seen.add(token)
        },
      },
    })
    expect([...(await callFor(7_000, () => client.fetch(`${origin}/orders`)))]).toEqual([200])
    expect(seen.size).toBeGreaterThanOrEqual(3)
    // A thief spends one that was spent: the family dies, and so does this client's.
    const [first] = seen
    const thief = { grant_type: 'refresh_token', refresh_token: first! }
    expect((await gate.post('/oauth/token', thief, basic('app'))).status).toBe(400)
    await expect(callFor(7_000, () => client.fetch(`${origin}/orders`))).rejects.toMatchObject({ code: 'signed-out' })
    expect(kept).toBeUndefined()
  }, 40_000)
})

const skip = await services.missing('chromium')

describe.skipIf(skip)('in a browser', () => {
  let browser: Browser
  let server: Server
  let origin: string
  let life = 2
  let refreshToken = 'r0'
  let issued = 0
  let renewals = 0
  let refused = 0
  let atOnce = 0
  let maxAtOnce = 0
  const alive = new Map<string, { readonly until: number; readonly jkt: string }>()

  const files: Record<string, () => Promise<string>> = {
    '/oauth4webapi.js': () => readFile(new URL(import.meta.resolve('oauth4webapi')), 'utf8'),
  }
  for (const name of ['index', 'client', 'tokens', 'error', 'keep']) {
    files[`/client/${name}.ts`] = async () =>
      stripTypeScriptTypes(await readFile(new URL(`../../src/client/${name}.ts`, import.meta.url), 'utf8'))
  }

  beforeAll(async () => {
    browser = await services.chromium()
    server = createServer((request, reply) => {
      serve(request, reply).catch((error) => reply.destroy(error))
    })
    const serve = async (request: IncomingMessage, reply: ServerResponse): Promise<void> => {
      let body = ''
      for await (const chunk of request) body += chunk
      const json = (value: unknown, status = 200, headers: Record<string, string> = {}) =>
        void reply.writeHead(status, { 'content-type': 'application/json', ...headers }).end(JSON.stringify(value))
      const path = request.url!
      if (path in files) {
        return void reply.writeHead(200, { 'content-type': 'text/javascript' }).end(await files[path]!())
      }
      if (path === '/') {
        const map = '{"imports":{"oauth4webapi":"/oauth4webapi.js"}}'
        return void reply
          .writeHead(200, { 'content-type': 'text/html' })
          .end(`<!doctype html><title>app</title><script type="importmap">${map}</script>`)
      }
      if (path === '/away') return void reply.writeHead(302, { location: 'http://127.0.0.1:9/steal' }).end()
      const proof = request.headers.dpop === undefined ? undefined : String(request.headers.dpop)
      const jkt = proof === undefined ? '' : await calculateJwkThumbprint(decodeProtectedHeader(proof).jwk as JWK)
      if (path === '/token') {
        maxAtOnce = Math.max(maxAtOnce, ++atOnce)
        await new Promise((resolve) => setTimeout(resolve, 20))
        atOnce--
        if (new URLSearchParams(body).get('refresh_token') !== refreshToken)
          return json({ error: 'invalid_grant' }, 400)
        renewals++
        refreshToken = `r${renewals}`
        const token = `t${++issued}`
        alive.set(token, { until: Date.now() + life * 1_000, jkt })
        return json({ access_token: token, token_type: 'DPoP', expires_in: life, refresh_token: refreshToken })
      }
      const found = alive.get(request.headers.authorization?.replace('DPoP ', '') ?? '')
      const ok =
        found !== undefined && found.until > Date.now() && found.jkt === jkt && decodeJwt(proof!).ath !== undefined
      if (ok) return json({ ok: true, path })
      // The browser asks for an icon of its own accord.
      if (path === '/orders') refused++
      json({}, 401, { 'www-authenticate': 'DPoP error="invalid_token"' })
    }
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    origin = `http://localhost:${(server.address() as AddressInfo).port}`
  }, 60_000)
  afterAll(async () => {
    await browser?.close()
    server?.closeAllConnections()
    server?.close()
  })

  /** A tab of the application, with the client made in it and kept in `window`. */
  async function tab(page: Page): Promise<Page> {
    await page.goto(origin)
    await page.evaluate(`import('/client/index.ts').then(({ createClient, keepInBrowser }) => {
      window.kept = keepInBrowser('user')
      window.client = createClient({
        tokenEndpoint: location.origin + '/token',
        clientId: 'spa',
        resource: location.origin,
        dpop: kept.keyPair(),
        refreshToken: kept.refreshToken,
      })
    })`)
    return page
  }

  test('two tabs share a refresh token: no 401, one renewal at a time, nobody is signed out', async () => {
    life = 3
    const context = await browser.newContext()
    const tabs = [await tab(await context.newPage()), await tab(await context.newPage())]
    await tabs[0]!.evaluate(`kept.refreshToken.set('r0')`)
    const run = `(async () => {
      const statuses = new Set()
      const end = Date.now() + 6000
      while (Date.now() < end) {
        const replies = await Promise.all(Array.from({ length: 20 }, () => client.fetch('/orders')))
        for (const reply of replies) statuses.add(reply.status)
        await new Promise((resolve) => setTimeout(resolve, 100))
      }
      return [...statuses]
    })()`
    expect(await Promise.all(tabs.map((page) => page.evaluate(run)))).toEqual([[200], [200]])
    expect(refused).toBe(0)
    expect(maxAtOnce).toBe(1)
    expect(renewals).toBeGreaterThanOrEqual(4)
    // Both hold one key, which cannot be read.
    expect(new Set([...alive.values()].map(({ jkt }) => jkt)).size).toBe(1)
    expect(await tabs[0]!.evaluate(`kept.keyPair().then(({ privateKey }) => privateKey.extractable)`)).toBe(false)
    expect(await tabs[1]!.evaluate(`kept.refreshToken.get()`)).toBe(refreshToken)
    await context.close()
  }, 60_000)

  test('a redirect shows no target there, and is refused; a stranger gets nothing', async () => {
    refreshToken = 'again'
    const context = await browser.newContext()
    const page = await tab(await context.newPage())
    await page.evaluate(`kept.refreshToken.set('again')`)
    const codeOf = (url: string) =>
      page.evaluate(`client.fetch(${JSON.stringify(url)}).then(() => 'answered', (error) => error.code)`)
    expect(await codeOf('/away')).toBe('redirect')
    expect(await codeOf('https://evil.example/')).toBe('origin')
    expect(await codeOf('/orders')).toBe('answered')
    // The key is not to be had, not even by scripts of the page.
    expect(await page.evaluate(`JSON.stringify(client)`)).toBe('{}')
    await context.close()
  }, 60_000)
})

import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Agent, request } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { KeyRing } from '../../src/vault/index.ts'
import { freePort, startGate, type TestGate } from '../kit/gate.ts'
import { makeKey } from '../kit/issuer.ts'
import { type SignInProvider, startSignInProvider } from '../kit/sign-in-provider.ts'
import { secretOf, signIn as signInAs, startTokenGate } from '../kit/token-gate.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'
import { until } from '../until.ts'

/*
 * N5 and N9: a person comes with a browser, is sent to the issuer, and comes back with a session. Two gates side by side
 * share one store; a sign-in that begins at one ends at the other.
 */

const noServices = (await services.missing('postgres')) || (await services.missing('redis'))

const responses = { 200: { description: 'Done.' } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Mail', version: '1' },
  components: { securitySchemes: { login: { type: 'openIdConnect', openIdConnectUrl: 'https://id.example.test' } } },
  security: [{ login: [] }],
  paths: {
    '/mail': { get: { operationId: 'readMail', responses }, post: { operationId: 'sendMail', responses } },
    '/folders/{id}': {
      get: {
        operationId: 'readFolder',
        parameters: [
          { name: 'id', in: 'path', required: true, schema: { type: 'string' } },
          { name: 'page', in: 'query', schema: { type: 'integer' } },
        ],
        responses,
      },
    },
    '/safe': { get: { operationId: 'openSafe', responses } },
    '/vault': { get: { operationId: 'openVault', responses } },
  },
}

const page = { accept: 'text/html,application/xhtml+xml', 'sec-fetch-mode': 'navigate', 'sec-fetch-dest': 'document' }

/** A browser: keeps cookies, follows redirects one at a time. */
class Browser {
  readonly cookies = new Map<string, string>()
  readonly #agent = new Agent({ connect: { rejectUnauthorized: false } })

  async open(url: string, headers: Record<string, string> = page, method = 'GET') {
    const cookie = [...this.cookies].map(([name, value]) => `${name}=${value}`).join('; ')
    // Cookies go to the gates alone.
    const sent = url.startsWith('https:') && cookie !== '' ? { ...headers, cookie } : headers
    // `fetch` would say of itself that it is a script.
    const reply = await request(url, { method: method as 'GET', headers: sent, dispatcher: this.#agent })
    const set = [reply.headers['set-cookie'] ?? []].flat()
    for (const one of set) {
      const [, name, value, rest] = /^([^=]+)=([^;]*)(.*)$/.exec(one)!
      if (/Max-Age=0/.test(rest!)) this.cookies.delete(name!)
      else this.cookies.set(name!, value!)
    }
    const text = await reply.body.text()
    return {
      status: reply.statusCode,
      location: String(reply.headers.location ?? ''),
      code: reply.statusCode >= 400 ? (JSON.parse(text) as { code: string }).code : undefined,
      challenge: String(reply.headers['www-authenticate'] ?? ''),
      set,
    }
  }

  /** From a page of the gate to the issuer and back; gives the answer to the callback. */
  async signIn(url: string) {
    const away = await this.open(url)
    expect(away.status).toBe(303)
    const back = await this.open(away.location)
    return { away, back, done: await this.open(back.location) }
  }

  end() {
    return this.#agent.destroy()
  }
}

const flavours = [
  {
    name: 'SQLite and memory',
    skip: false,
    async start() {
      const dir = await mkdtemp(join(tmpdir(), 'portcullis-sign-in-'))
      return {
        root: { store: { url: `sqlite:${join(dir, 'state.db')}` } },
        close: () => rm(dir, { recursive: true, force: true }),
      }
    },
  },
  {
    name: 'PostgreSQL and Redis',
    skip: noServices,
    async start() {
      const [postgres, redis] = await Promise.all([services.postgres(), services.redis()])
      return {
        root: { store: { url: postgres.url }, counters: { url: redis.url } },
        close: async () => {
          await Promise.all([postgres.close(), redis.close()])
        },
      }
    },
  },
]

describe.each(flavours.filter(({ skip }) => !skip))('signing in with $name', ({ start }) => {
  let upstream: TestUpstream
  let provider: SignInProvider
  let state: Awaited<ReturnType<typeof start>>
  let gate: TestGate
  let other: TestGate
  let browser: Browser

  beforeAll(async () => {
    ;[upstream, state, provider] = await Promise.all([startUpstream(), start(), startSignInProvider()])
    gate = await open()
    other = await open()
  })

  function open() {
    return startGate({
      document,
      upstream: upstream.url,
      root: {
        ...state.root,
        secrets: { sealWith: 'ab'.repeat(32) },
        listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }],
        issuers: { main: { issuer: provider.url, audience: 'https://api.example.test', algorithms: ['ES256'] } },
      },
      env: { SIGN_IN_SECRET: provider.client.secret },
      api: apiWith('1000/min'),
    })
  }

  function apiWith(failures: string) {
    return {
      limits: { mode: 'off' },
      auth: {
        methods: ['main'],
        failures,
        signIn: {
          issuer: 'main',
          clientId: provider.client.id,
          clientSecret: '${SIGN_IN_SECRET}',
          scopes: ['mail.read'],
          afterSignOut: '/bye',
        },
        stepUp: [{ match: 'op:openSafe', acr: 'mfa', maxAge: '5m' }],
      },
      authorize: {
        roles: { editor: ['read', 'write'] },
        rules: [{ match: 'op:openVault', stepUp: { acr: ['mfa'] } }],
      },
    }
  }

  beforeEach(() => {
    provider.claims = {}
    provider.answer = {}
    provider.signer = undefined
    upstream.hits.length = 0
    browser = new Browser()
  })
  afterEach(() => browser.end())
  afterAll(async () => {
    await Promise.all([gate.stop(), other.stop()])
    await Promise.all([upstream.stop(), provider.stop(), state.close()])
  })

  const own = '/.well-known/portcullis/sign-in/test'

  test('code, PKCE, state and nonce end in a session, at the page that was asked for', async () => {
    const { away, back, done } = await browser.signIn(`${gate.url}/folders/7?page=2`)
    expect(away.set[0]).toMatch(
      /^__Host-portcullis-sign-in=[\w-]{43}; Max-Age=600; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
    )
    expect(Object.fromEntries(provider.asked())).toMatchObject({
      response_type: 'code',
      client_id: 'gate',
      redirect_uri: `${gate.url}${own}/callback`,
      scope: 'openid mail.read',
      code_challenge_method: 'S256',
    })
    expect(back.location).toContain(`${gate.url}${own}/callback?code=`)
    expect(done).toMatchObject({ status: 303, location: '/folders/7?page=2' })
    expect(done.set[0]).toMatch(
      /^__Host-portcullis=pcs_\w{43}; Max-Age=28800; Path=\/; Secure; HttpOnly; SameSite=Lax$/,
    )
    expect((await browser.open(`${gate.url}/folders/7?page=2`)).status).toBe(200)
    expect(upstream.hits).toHaveLength(1)
    expect(upstream.hits[0]!.headers).toMatchObject({
      'portcullis-subject': 'alice',
      'portcullis-roles': 'editor',
      'portcullis-scopes': 'openid mail.read',
      'portcullis-credential': 'session',
    })
    expect(upstream.hits[0]!.headers.cookie ?? '').not.toMatch(/__Host-portcullis=/)
    // Neither the code nor the state is in the log, nor are tokens anywhere in the store.
    const lines = JSON.stringify(await gate.lines(3))
    expect(lines).not.toContain(new URL(back.location).searchParams.get('code'))
    const { store } = gate.running.foundation
    const stored = JSON.stringify(await store.list('session/', { limit: 100 }))
    expect(stored).toContain('alice')
    expect(stored).not.toMatch(/not-kept|eyJ/)
  })

  test('begins at one gate and ends at another, and the session holds at both', async () => {
    const away = await browser.open(`${gate.url}/mail`)
    const back = await browser.open(away.location)
    const done = await browser.open(back.location.replace(gate.url, other.url))
    expect(done).toMatchObject({ status: 303, location: '/mail' })
    expect((await browser.open(`${gate.url}/mail`)).status).toBe(200)
    expect((await browser.open(`${other.url}/mail`)).status).toBe(200)
  })

  test('a rotated secret counts at both gates at once, without a reload; with the old one destroyed, what it sealed is refused', async () => {
    const rings = [await gate.running.foundation.vault(), await other.running.foundation.vault()] as const
    const back = async () => (await browser.open((await browser.open(`${gate.url}/mail`)).location)).location
    const kept = await back()
    const newest = (ring: KeyRing) => ring.secret('sign-in', 32).then((secret) => Buffer.from(secret).toString('hex'))
    const agreed = () => until(async () => (await newest(rings[0])) === (await newest(rings[1])))
    await rings[1].rotate('sign-in')
    await agreed()
    const fresh = await back()
    for (const one of [kept, fresh]) {
      const done = await browser.open(one.replace(gate.url, other.url))
      expect(done).toMatchObject({ status: 303, location: '/mail' })
    }
    browser.cookies.clear()
    const lost = await back()
    await rings[1].rotate('sign-in', { graceMs: 0 })
    expect(await browser.open(lost.replace(gate.url, other.url))).toMatchObject({ code: 'auth.sign-in-refused' })
    await agreed()
    expect(await browser.open(lost)).toMatchObject({ code: 'auth.sign-in-refused' })
    expect((await browser.signIn(`${gate.url}/mail`)).done).toMatchObject({ status: 303, location: '/mail' })
  })

  test('programs, scripts and sockets get 401, and are not sent anywhere', async () => {
    const others: Record<string, string>[] = [
      { accept: 'application/json' },
      { ...page, 'sec-fetch-mode': 'cors', 'sec-fetch-dest': 'empty' },
      { ...page, 'sec-fetch-dest': 'iframe' },
      { ...page, authorization: 'Bearer abc' },
    ]
    for (const headers of others) {
      const reply = await browser.open(`${gate.url}/mail`, headers)
      expect(reply).toMatchObject({ status: 401, location: '' })
      expect(reply.challenge).toContain(`resource_metadata="${gate.url}/.well-known/oauth-protected-resource"`)
    }
    expect((await browser.open(`${gate.url}/mail`, page, 'POST')).status).toBe(401)
    expect(upstream.hits).toHaveLength(0)
  })

  test('the session changes at every sign-in, and the one before is over', async () => {
    await browser.signIn(`${gate.url}/mail`)
    const before = browser.cookies.get('__Host-portcullis')!
    await browser.signIn(`${gate.url}${own}/start?returnTo=/mail`)
    const after = browser.cookies.get('__Host-portcullis')!
    expect(after).not.toBe(before)
    expect((await browser.open(`${gate.url}/mail`)).status).toBe(200)
    browser.cookies.set('__Host-portcullis', before)
    expect(await browser.open(`${gate.url}/mail`, { accept: 'application/json' })).toMatchObject({
      status: 401,
      code: 'auth.session-refused',
    })
  })

  test('an issuer that says whom the session is for does not make it one of the administration', async () => {
    provider.claims = { audience: 'portcullis:admin-api', department: 'sales' }
    await browser.signIn(`${gate.url}/mail`)
    const { store } = gate.running.foundation
    const stored = JSON.stringify(await store.list('session/', { limit: 100 }))
    expect(stored).toContain('"department":"sales"')
    expect(stored).not.toContain('portcullis:admin-api')
  })

  test('a session of one issuer opens no API whose people sign in at another', async () => {
    const partner = await startSignInProvider()
    const both = await startGate({
      document,
      upstream: upstream.url,
      root: {
        secrets: { sealWith: 'ab'.repeat(32) },
        listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }],
        issuers: {
          main: { issuer: provider.url, audience: 'https://api.example.test', algorithms: ['ES256'] },
          partner: { issuer: partner.url, audience: 'https://api.example.test', algorithms: ['ES256'] },
        },
      },
      env: { SIGN_IN_SECRET: provider.client.secret },
      api: apiWith('1000/min'),
      files: { 'partner.json': JSON.stringify({ ...document, servers: [{ url: '/partner' }] }) },
      apis: {
        partner: {
          openapi: './partner.json',
          upstream: upstream.url,
          limits: { mode: 'off' },
          auth: {
            methods: ['partner'],
            signIn: { issuer: 'partner', clientId: partner.client.id, clientSecret: '${SIGN_IN_SECRET}' },
          },
        },
      },
    })
    try {
      // Whoever runs the partner's issuer says who its people are, and what they may do: there, and nowhere else.
      await browser.signIn(`${both.url}/partner/mail`)
      expect((await browser.open(`${both.url}/partner/mail`)).status).toBe(200)
      expect(await browser.open(`${both.url}/mail`, { accept: 'application/json' })).toMatchObject({
        status: 401,
        code: 'auth.session-refused',
      })
      await browser.signIn(`${both.url}/mail`)
      expect((await browser.open(`${both.url}/mail`)).status).toBe(200)
    } finally {
      await Promise.all([both.stop(), partner.stop()])
    }
  })

  test('a session that somebody else planted is not taken over', async () => {
    browser.cookies.set('__Host-portcullis', `pcs_${'A'.repeat(43)}`)
    await browser.signIn(`${gate.url}/mail`)
    expect(browser.cookies.get('__Host-portcullis')).not.toBe(`pcs_${'A'.repeat(43)}`)
    expect((await browser.open(`${gate.url}/mail`)).status).toBe(200)
  })

  describe('what comes back is refused', () => {
    async function callback(change: (url: URL) => void = () => {}) {
      const away = await browser.open(`${gate.url}/mail`)
      const back = new URL((await browser.open(away.location)).location)
      change(back)
      const done = await browser.open(back.href)
      expect(browser.cookies.has('__Host-portcullis')).toBe(done.status === 303)
      return { back, done }
    }
    const isRefused = (done: object) =>
      expect(done).toMatchObject({ status: 401, code: 'auth.sign-in-refused', location: '' })

    const tampered: [string, (url: URL) => void][] = [
      [
        'with a state that was changed',
        ({ searchParams: all }) => all.set('state', `${all.get('state')!.slice(0, -4)}AAAA`),
      ],
      ['with a state of nobody', ({ searchParams }) => searchParams.set('state', 'abc')],
      ['without a state', ({ searchParams }) => searchParams.delete('state')],
      ['with two states', ({ searchParams: all }) => all.append('state', all.get('state')!)],
      ['with a code that the issuer does not know', ({ searchParams }) => searchParams.set('code', 'guessed')],
      ['without a code', ({ searchParams }) => searchParams.delete('code')],
      [
        'from another issuer (mix-up, RFC 9207)',
        ({ searchParams }) => searchParams.set('iss', 'https://evil.example.test'),
      ],
      ['without an issuer, which this one always names', ({ searchParams }) => searchParams.delete('iss')],
      ['with an error', ({ searchParams }) => searchParams.set('error', 'access_denied')],
    ]
    test.each(tampered)('%s', async (_, change) => {
      isRefused((await callback(change)).done)
    })

    const lies: [string, Record<string, unknown>][] = [
      ['another nonce', { nonce: 'other' }],
      ['no nonce', { nonce: undefined }],
      ['another audience', { aud: 'other' }],
      ['another issuer', { iss: 'https://evil.example.test' }],
      ['an end in the past', { exp: 1_000_000_000 }],
      ['a beginning in the future', { nbf: 4_000_000_000 }],
      ['no subject', { sub: undefined }],
    ]
    test.each(lies)('with an ID token that has %s', async (_, claims) => {
      provider.claims = claims
      isRefused((await callback()).done)
    })

    test('with an ID token that somebody else has signed', async () => {
      provider.signer = { ...makeKey('ES256'), kid: provider.key.kid }
      isRefused((await callback()).done)
    })

    test('with an ID token of another algorithm', async () => {
      provider.signer = { ...makeKey('RS256'), kid: provider.key.kid }
      isRefused((await callback()).done)
    })

    test('a second time, and the issuer is not even asked', async () => {
      const { back, done } = await callback()
      expect(done.status).toBe(303)
      const before = provider.exchanges()
      isRefused(await browser.open(back.href))
      expect(provider.exchanges()).toBe(before)
    })

    test('in a browser that did not begin it: nobody is signed in as somebody else', async () => {
      const away = await browser.open(`${gate.url}/mail`)
      const back = await browser.open(away.location)
      const victim = new Browser()
      isRefused(await victim.open(back.location))
      // Nor one that has begun something of its own.
      await victim.open(`${gate.url}/mail`)
      isRefused(await victim.open(back.location))
      expect(victim.cookies.has('__Host-portcullis')).toBe(false)
      await victim.end()
    })

    test('and the log names what did not fit, without the code', async () => {
      const { back } = await callback(({ searchParams }) => searchParams.set('iss', 'https://evil.example.test'))
      const lines = await gate.lines()
      const line = lines.find(({ denial }) => denial?.code === 'auth.sign-in-refused')!
      expect(line.denial.evidence).toMatchObject({ reason: expect.any(String) })
      expect(JSON.stringify(lines)).not.toContain(back.searchParams.get('code'))
      expect(lines.find(({ event }) => event === 'sign-in.refused')).toBeDefined()
    })
  })

  test.each([
    'https://evil.example.test/',
    '//evil.example.test',
    '/\\evil.example.test',
    '\\/evil',
    'javascript:alert(1)',
    '/a b',
    '',
  ])('"%s" is no place to return to', async (place) => {
    const reply = await browser.open(`${gate.url}${own}/start?returnTo=${encodeURIComponent(place)}`)
    expect(reply).toMatchObject({ status: 401, code: 'auth.sign-in-refused', location: '' })
  })

  test('a path of this gate is', async () => {
    const { done } = await browser.signIn(`${gate.url}${own}/start?returnTo=%2Fmail%3Fa%3Db`)
    expect(done.location).toBe('/mail?a=b')
  })

  test('N6: a page that asks for more sends the browser to sign in again, and opens then; a program is told what to ask for', async () => {
    await browser.signIn(`${gate.url}/mail`)
    const told = await browser.open(`${gate.url}/safe`, { accept: 'application/json' })
    expect(told).toMatchObject({ status: 401, code: 'auth.insufficient_user_authentication' })
    expect(told.challenge).toMatch(/error="insufficient_user_authentication", .*acr_values="mfa", max_age="300"/)
    // An issuer that does not do what was asked: an end, not a circle.
    expect((await browser.signIn(`${gate.url}/safe`)).done).toMatchObject({ status: 401, code: 'auth.sign-in-refused' })
    provider.claims = { acr: 'mfa' }
    const { done } = await browser.signIn(`${gate.url}/safe`)
    expect(Object.fromEntries(provider.asked())).toMatchObject({ acr_values: 'mfa', max_age: '300' })
    expect(done).toMatchObject({ status: 303, location: '/safe' })
    expect((await browser.open(`${gate.url}/safe`)).status).toBe(200)
  })

  test('N6: so does a rule of rights that asks for more', async () => {
    await browser.signIn(`${gate.url}/mail`)
    provider.claims = { acr: 'mfa' }
    expect((await browser.signIn(`${gate.url}/vault`)).done).toMatchObject({ status: 303, location: '/vault' })
    expect(provider.asked().get('acr_values')).toBe('mfa')
    expect((await browser.open(`${gate.url}/vault`)).status).toBe(200)
  })

  test('answers from one network that do not fit are refused without a look at them after so many', async () => {
    await other.reload({ api: apiWith('3/min') })
    const before = provider.exchanges()
    const outcomes: (string | undefined)[] = []
    for (let i = 0; i < 5; i++) {
      const away = await browser.open(`${other.url}/mail`)
      const back = new URL((await browser.open(away.location)).location)
      back.searchParams.set('code', 'guessed')
      outcomes.push((await browser.open(back.href)).code)
    }
    expect(outcomes.slice(0, 3)).toEqual(Array.from({ length: 3 }, () => 'auth.sign-in-refused'))
    expect(outcomes.at(-1)).toBe('auth.token-flood')
    expect(provider.exchanges() - before).toBeLessThan(5)
    await other.reload({ api: apiWith('1000/min') })
  })

  test('one network may begin so many sign-ins, whichever gate it asks; pages lead to the issuer all the same', async () => {
    const begin = () => browser.open(`${gate.url}${own}/start`)
    const replies = await Promise.all(Array.from({ length: 200 }, begin))
    const refused = replies.filter(({ status }) => status !== 303)
    expect(refused.length).toBeGreaterThan(0)
    expect(new Set(refused.map(({ status, code }) => `${status} ${code}`))).toEqual(new Set(['429 auth.sign-in-flood']))
    expect((await browser.signIn(`${gate.url}/mail`)).done.status).toBe(303)
  })

  test('signing out ends the session here and leads to the issuer, and no other site can do it', async () => {
    await browser.signIn(`${gate.url}/mail`)
    const id = browser.cookies.get('__Host-portcullis')!
    expect(await browser.open(`${gate.url}${own}/sign-out`, { 'sec-fetch-site': 'cross-site' })).toMatchObject({
      status: 403,
      code: 'auth.session-cross-site',
    })
    const foreign = { origin: 'https://evil.example.test' }
    expect((await browser.open(`${gate.url}${own}/sign-out`, foreign, 'POST')).status).toBe(403)
    expect((await browser.open(`${gate.url}/mail`)).status).toBe(200)
    const out = await browser.open(`${gate.url}${own}/sign-out`)
    const to = new URL(out.location)
    expect(`${to.origin}${to.pathname}`).toBe(`${provider.url}/logout`)
    expect(Object.fromEntries(to.searchParams)).toEqual({
      client_id: 'gate',
      post_logout_redirect_uri: `${gate.url}/bye`,
    })
    expect(browser.cookies.has('__Host-portcullis')).toBe(false)
    browser.cookies.set('__Host-portcullis', id)
    expect((await browser.open(`${gate.url}/mail`, { accept: '*/*' })).status).toBe(401)
  })

  describe('back-channel logout', () => {
    const post = (token: string) =>
      gate.fetch(`${own}/backchannel-logout`, {
        method: 'POST',
        headers: { 'content-type': 'application/x-www-form-urlencoded' },
        body: new URLSearchParams({ logout_token: token }).toString(),
      })
    const isIn = async (who = browser) => (await who.open(`${other.url}/mail`, { accept: '*/*' })).status === 200

    test('ends the sessions of one sign-in, or of a person, at every gate, and leaves others alone', async () => {
      provider.claims = { sid: 'one' }
      await browser.signIn(`${gate.url}/mail`)
      const second = new Browser()
      provider.claims = { sid: 'two' }
      await second.signIn(`${gate.url}/mail`)
      expect([await isIn(), await isIn(second)]).toEqual([true, true])
      expect((await post(await provider.logoutToken({ sid: 'one' }))).status).toBe(200)
      await expect.poll(() => isIn()).toBe(false)
      expect(await isIn(second)).toBe(true)
      expect((await post(await provider.logoutToken({ sub: 'alice' }))).status).toBe(200)
      await expect.poll(() => isIn(second)).toBe(false)
      await second.end()
    })

    const lies: [string, Record<string, unknown>][] = [
      ['for another client', { sub: 'alice', aud: 'other' }],
      ['of another issuer', { sub: 'alice', iss: 'https://evil.example.test' }],
      ['that is old', { sub: 'alice', iat: Math.floor(Date.now() / 1000) - 600 }],
      ['with a nonce, as an ID token has one', { sub: 'alice', nonce: 'x' }],
      ['without the event', { sub: 'alice', events: {} }],
      ['without an id', { sub: 'alice', jti: undefined }],
      ['about nobody', {}],
    ]
    test.each(lies)('with a token %s is refused', async (_, claims) => {
      await browser.signIn(`${gate.url}/mail`)
      expect((await post(await provider.logoutToken(claims))).status).toBe(400)
      expect(await isIn()).toBe(true)
    })

    test('with a token that somebody else has signed, or none, is refused', async () => {
      await browser.signIn(`${gate.url}/mail`)
      const forged = { ...makeKey('ES256'), kid: provider.key.kid }
      expect((await post(await provider.logoutToken({ sub: 'alice' }, forged))).status).toBe(400)
      expect((await post('abc')).status).toBe(400)
      expect((await post('')).status).toBe(400)
      expect(await isIn()).toBe(true)
    })
  })
})

test('a gate signs people in at the token service of another, with a password and consent', {
  timeout: 30_000,
}, async () => {
  const port = await freePort()
  const url = `https://127.0.0.1:${port}`
  const service = await startTokenGate({
    tokenService: {
      clients: {
        shop: {
          secret: secretOf('shop'),
          grants: ['authorization_code', 'refresh_token'],
          redirects: [`${url}/.well-known/portcullis/sign-in/test/callback`],
          scopes: ['orders:read'],
        },
      },
    },
  })
  const gate = await startGate({
    document,
    upstream: service.upstream.url,
    root: {
      listen: [{ port, host: '127.0.0.1', tls: 'development' }],
      issuers: { main: { issuer: service.issuer, audience: 'https://api.example.test' } },
    },
    api: {
      auth: {
        methods: ['main'],
        signIn: { issuer: 'main', clientId: 'shop', clientSecret: secretOf('shop'), scopes: ['orders:read'] },
      },
    },
  })
  const browser = new Browser()
  const away = await browser.open(`${url}/mail`)
  const back = await signInAs(away.location)
  expect(back.url).toContain('/sign-in/test/callback?code=')
  expect(await browser.open(back.url)).toMatchObject({ status: 303, location: '/mail' })
  expect((await browser.open(`${url}/mail`)).status).toBe(200)
  expect(service.upstream.hits.at(-1)!.headers).toMatchObject({
    'portcullis-subject': 'anna',
    'portcullis-credential': 'session',
  })
  await browser.end()
  await gate.stop()
  await service.stop()
})

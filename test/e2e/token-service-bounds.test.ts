import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { decodeJwt, SignJWT } from 'jose'
import { Agent, fetch as fetchBy } from 'undici'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { createUsers } from '../../src/credentials/users.ts'
import { openStore } from '../../src/store/open.ts'
import { dpopKey, dpopProof } from '../kit/dpop.ts'
import { freePort, spawnGate, until } from '../kit/gate.ts'
import { visitor } from '../kit/people.ts'
import { testAuthority, testCertificate } from '../kit/pki.ts'
import {
  basic,
  callback,
  clients,
  ordersDocument,
  secretOf,
  signIn,
  startTokenGate,
  type TokenGate,
  type TokenGateInput,
  userPassword,
} from '../kit/token-gate.ts'
import { json, startUpstream } from '../kit/upstream.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.restoreAllMocks()
  for (const end of ends.splice(0).reverse()) await end()
})

async function gateWith(input: TokenGateInput = {}): Promise<TokenGate> {
  const gate = await startTokenGate(input)
  ends.push(gate.stop)
  return gate
}

const ask = (gate: TokenGate, name = 'batch', secret?: string, fields: Readonly<Record<string, string>> = {}) =>
  gate.post('/oauth/token', { grant_type: 'client_credentials', ...fields }, basic(name, secret))

/** Moves every clock of this process; begins before the gate does. */
function movableClock(): { advance: (ms: number) => void } {
  let skew = 0
  const real = Date.now.bind(Date)
  vi.spyOn(Date, 'now').mockImplementation(() => real() + skew)
  return { advance: (ms) => (skew += ms) }
}

describe('times', () => {
  test('K1: a token works until `exp` and not a second longer; the shortest of service, API and client counts', async () => {
    const clock = movableClock()
    const gate = await gateWith({
      tokenService: {
        accessTtl: '2m',
        resources: { test: { accessTtl: '90s' } },
        clients: { ...clients, brief: { secret: secretOf('brief'), scopes: ['orders:read'], accessTtl: '30s' } },
      },
    })
    const [usual, brief] = [(await ask(gate)).body, (await ask(gate, 'brief')).body]
    const times = [usual, brief].map(({ access_token: token }) => {
      const { iat, exp } = decodeJwt(token)
      return exp! - iat!
    })
    expect(times).toEqual([90, 30])
    expect([usual.expires_in, brief.expires_in]).toEqual([90, 30])
    clock.advance(28_000)
    expect([await gate.call(usual.access_token), await gate.call(brief.access_token)]).toEqual([200, 200])
    clock.advance(3_000)
    expect([await gate.call(usual.access_token), await gate.call(brief.access_token)]).toEqual([200, 401])
    clock.advance(57_000)
    expect(await gate.call(usual.access_token)).toBe(200)
    clock.advance(3_000)
    expect(await gate.call(usual.access_token)).toBe(401)
  })

  test('a code is over after a minute, a refresh token after `refreshTtl`', async () => {
    const clock = movableClock()
    const gate = await gateWith({ tokenService: { refreshTtl: '1h' } })
    const late = await codeFrom(gate)
    const good = await codeFrom(gate)
    const { body } = await redeem(gate, good)
    clock.advance(61_000 + 5_000)
    expect((await redeem(gate, late)).body.error).toBe('invalid_grant')
    clock.advance(3_540_000)
    expect((await refresh(gate, body.refresh_token)).body.error).toBe('invalid_grant')
  })

  test('signing keys take over by themselves, published ahead, and leave when nobody needs them', async () => {
    const clock = movableClock()
    const gate = await gateWith({ tokenService: { keyLife: '10d', keyLead: '1d' } })
    const kids = async () =>
      ((await (await gate.fetch('/oauth/jwks')).json()) as { keys: { kid: string }[] }).keys.map(({ kid }) => kid)
    const signing = async () =>
      JSON.parse(Buffer.from((await ask(gate)).body.access_token.split('.')[0], 'base64url').toString()).kid as string
    const [first] = await kids()
    clock.advance(9 * 86_400_000 + 1_000)
    // As its own timer would, and any other process that reads the record.
    await gate.reload({
      root: {
        ...gateRoot(gate),
        tokenService: { ...gateService(gate), keyLife: '10d', keyLead: '1d', theme: { name: 'x' } },
      },
    })
    expect((await kids()).length).toBe(2)
    expect(await signing()).toBe(first)
  })
})

function gateRoot(gate: TokenGate): object {
  return { listen: [{ port: gate.port, host: '127.0.0.1', tls: 'off' }] }
}

function gateService(gate: TokenGate): object {
  return { issuer: gate.issuer, clients }
}

function requestOf(gate: TokenGate, change: Readonly<Record<string, string>> = {}) {
  const verifier = randomBytes(32).toString('base64url')
  const url = new URL(`${gate.issuer}/auth`)
  url.search = new URLSearchParams({
    client_id: 'app',
    response_type: 'code',
    redirect_uri: callback,
    scope: 'openid orders:read',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...change,
  }).toString()
  return { url: url.href, verifier }
}

async function codeFrom(gate: TokenGate) {
  const { url, verifier } = requestOf(gate)
  return { code: new URL((await signIn(url)).url).searchParams.get('code')!, verifier }
}

const redeem = (gate: Pick<TokenGate, 'post'>, { code, verifier }: { code: string; verifier: string }) =>
  gate.post(
    '/oauth/token',
    { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callback },
    basic('app'),
  )

const refresh = (gate: Pick<TokenGate, 'post'>, token: string) =>
  gate.post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token }, basic('app'))

describe('brute force', () => {
  test('from one address: locked out, told once, while others of the same client go on', async () => {
    const gate = await gateWith({
      root: { trustedProxies: ['127.0.0.1/32'] },
      tokenService: { limits: { failures: '5/15m' } },
    })
    const from = (address: string, secret?: string) =>
      gate.post(
        '/oauth/token',
        { grant_type: 'client_credentials' },
        { ...basic('batch', secret), 'x-forwarded-for': address },
      )
    expect((await from('192.0.2.7')).status).toBe(200)
    const guesses: number[] = []
    for (let i = 0; i < 8; i++) guesses.push((await from('203.0.113.5', `guess-${i}`)).status)
    expect(guesses).toEqual([401, 401, 401, 401, 401, 429, 429, 429])
    const locked = await from('203.0.113.5')
    expect([locked.status, Number(locked.headers.get('retry-after')) > 0]).toEqual([429, true])
    expect((await from('192.0.2.7')).status).toBe(200)
    const events = (await until(async () => {
      const lines = (await gate.lines()).filter(({ event }) => event === 'client.locked')
      return lines.length > 0 && lines
    }, 'the event')) as object[]
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ client: 'batch', address: '203.0.113.5' })
  })

  test('from many addresses: strangers are shut out, who proved itself is not', async () => {
    const gate = await gateWith({
      root: { trustedProxies: ['127.0.0.1/32'] },
      tokenService: { limits: { failures: '2/15m' } },
    })
    const from = (address: string, secret?: string) =>
      gate.post(
        '/oauth/token',
        { grant_type: 'client_credentials' },
        { ...basic('batch', secret), 'x-forwarded-for': address },
      )
    expect((await from('192.0.2.7')).status).toBe(200)
    const guesses: number[] = []
    for (let i = 0; i < 25; i++) guesses.push((await from(`203.0.113.${i}`, `guess-${i}`)).status)
    expect(guesses.filter((status) => status === 401).length).toBe(20)
    expect(guesses.at(-1)).toBe(429)
    expect((await from('192.0.2.7')).status).toBe(200)
  })

  test('more than a client or an address may ask is 429 with Retry-After', async () => {
    const gate = await gateWith({ tokenService: { limits: { client: '3/h', address: '6/h' } } })
    const replies = [await ask(gate), await ask(gate), await ask(gate), await ask(gate)]
    expect(replies.map(({ status }) => status)).toEqual([200, 200, 200, 429])
    expect(Number(replies[3]!.headers.get('retry-after'))).toBeGreaterThan(0)
    expect((await ask(gate, 'other')).status).toBe(200)
    await gate.fetch('/oauth/jwks')
    expect((await gate.fetch('/oauth/jwks')).status).toBe(429)
  })
})

describe('bounds of a client', () => {
  test('N11: its tokens work for what it was bound to, and are 403 elsewhere', async () => {
    const partner = (bounds: object) => ({
      secret: secretOf('partner'),
      scopes: ['orders:read', 'orders:write'],
      bounds,
    })
    const gate = await gateWith({
      root: { trustedProxies: ['127.0.0.1/32'] },
      tokenService: {
        clients: { partner: partner({ cidrs: ['192.0.2.0/24'], operations: ['op:listOrders'] }) },
      },
    })
    const { body } = await ask(gate, 'partner')
    const status = async (address: string, method = 'GET') => {
      const headers = { authorization: `Bearer ${body.access_token}`, 'x-forwarded-for': address }
      return (await gate.fetch('/orders', { method, headers })).status
    }
    expect([await status('192.0.2.7'), await status('203.0.113.7'), await status('192.0.2.7', 'POST')]).toEqual([
      200, 403, 403,
    ])
    const reload = gate.reload({
      root: { tokenService: { issuer: gate.issuer, clients: { partner: partner({ cidrs: ['nowhere'] }) } } },
    })
    await expect(reload).rejects.toThrow(/partner.*bounds/)
  })
})

describe('in flight', () => {
  test('what was let in is answered; what comes after the revocation is not let in', async () => {
    let release: (() => void) | undefined
    const upstream = await startUpstream((_, reply) => {
      release = () => json(reply, [])
    })
    ends.push(upstream.stop)
    const gate = await gateWith({ upstream })
    const { body } = await ask(gate)
    const pending = gate.call(body.access_token)
    await until(() => release !== undefined, 'the request to be under way')
    await gate.post('/oauth/revoke', { token: body.access_token }, basic('batch'))
    await until(async () => (await gate.call(body.access_token)) === 401, 'the next one to be refused', 1_000)
    release!()
    expect(await pending).toBe(200)
  })
})

describe('at rest', () => {
  test('a reader of the store finds no code, token, session or secret that works, nor whose they are', async () => {
    const gate = await gateWith()
    const one = visitor()
    const { url, verifier } = requestOf(gate)
    const code = new URL((await signIn(url, one)).url).searchParams.get('code')!
    const { body } = await redeem(gate, { code, verifier })
    const pending = await codeFrom(gate)
    const { store } = gate.running.foundation
    const entries = await store.list('oauth', { limit: 10_000 })
    expect(entries.length).toBeGreaterThan(5)
    const all = JSON.stringify(entries)
    const session = [...one.cookies].find(([name]) => name.startsWith('portcullis-session;'))![1].value
    for (const secret of [
      body.refresh_token,
      body.access_token,
      code,
      pending.code,
      verifier,
      session,
      secretOf('app'),
      'anna',
    ]) {
      expect(all).not.toContain(secret)
    }
    // What the keys of the store hold opens nothing either.
    for (const { key } of entries) {
      const name = key.split('/').at(-1)!
      expect((await refresh(gate, name)).status).toBe(400)
      expect((await redeem(gate, { code: name, verifier })).status).toBe(400)
    }
  })

  test('what somebody wrote into the store is nothing', async () => {
    const gate = await gateWith()
    const { body } = await redeem(gate, await codeFrom(gate))
    const { store } = gate.running.foundation
    const tokens = await store.list('oauth/RefreshToken/', { limit: 10 })
    const grants = await store.list('oauth/Grant/', { limit: 10 })
    // Another record in its place, and one without a seal.
    await store.put(tokens[0]!.key, grants[0]!.value)
    expect((await refresh(gate, body.refresh_token)).status).toBe(400)
    await store.put(tokens[0]!.key, JSON.stringify({ kind: 'RefreshToken', accountId: 'root' }))
    expect((await refresh(gate, body.refresh_token)).status).toBe(400)
  })
})

describe('TLS', () => {
  async function tlsGate(tokenService: Readonly<Record<string, unknown>> = {}) {
    const authority = await testAuthority()
    const server = await testCertificate(authority, { names: ['localhost'] })
    const good = await testCertificate(authority, { subject: 'CN=batch, O=Example', names: ['batch.internal'] })
    const other = await testCertificate(authority, { subject: 'CN=other, O=Example', names: ['other.internal'] })
    const port = await freePort()
    const issuer = `https://localhost:${port}/oauth`
    const tls = { certificate: './s.pem', key: './s.key', clientCa: './ca.pem' }
    const gate = await gateWith({
      files: { 's.pem': server.certificate, 's.key': server.key, 'ca.pem': authority.pem },
      root: { listen: [{ port, host: '127.0.0.1', tls }] },
      tokenService: { issuer, ...tokenService },
    })
    const by = (pair: typeof good | undefined, http2 = false) => {
      const connect = {
        ca: authority.pem,
        servername: 'localhost',
        ...(pair === undefined ? {} : { cert: pair.certificate, key: pair.key }),
      }
      const agent = new Agent({ connect, allowH2: http2 })
      ends.push(() => agent.destroy())
      return async (
        path: string,
        init: { method?: string; headers?: Record<string, string>; body?: URLSearchParams } = {},
      ) => {
        const reply = await fetchBy(`https://127.0.0.1:${port}${path}`, {
          dispatcher: agent,
          redirect: 'manual',
          ...init,
        } as never)
        const text = await reply.text()
        const isJson = reply.headers.get('content-type')?.includes('json') === true
        return { status: reply.status, headers: reply.headers, body: isJson ? JSON.parse(text) : text }
      }
    }
    return { gate, issuer, port, by, good, other }
  }
  const form = (fields: Readonly<Record<string, string>>) => ({ method: 'POST', body: new URLSearchParams(fields) })

  test('N7, RFC 8705: a client proves itself by its certificate, and its token works over no other', async () => {
    const { by, good, other } = await tlsGate({
      clients: {
        machine: {
          auth: 'mtls',
          certificate: { subject: 'CN=batch, O=Example' },
          scopes: ['orders:read'],
          bound: 'mtls',
        },
        named: { auth: 'mtls', certificate: { dns: 'batch.internal' }, scopes: ['orders:read'], bound: 'mtls' },
      },
    })
    const asked = { grant_type: 'client_credentials', client_id: 'machine' }
    const { status, body } = await by(good)('/oauth/token', form(asked))
    expect(status, JSON.stringify(body)).toBe(200)
    expect(decodeJwt(body.access_token)).toMatchObject({ cnf: { 'x5t#S256': expect.any(String) } })
    const headers = { authorization: `Bearer ${body.access_token}` }
    expect((await by(good)('/orders', { headers })).status).toBe(200)
    expect((await by(other)('/orders', { headers })).status).toBe(401)
    expect((await by(undefined)('/orders', { headers })).status).toBe(401)
    expect((await by(other)('/oauth/token', form(asked))).status).toBe(401)
    expect((await by(undefined)('/oauth/token', form(asked))).status).toBe(401)
    expect((await by(good)('/oauth/token', form({ ...asked, client_id: 'named' }))).status).toBe(200)
    expect((await by(other)('/oauth/token', form({ ...asked, client_id: 'named' }))).status).toBe(401)
  })

  test('HTTP/2 is the same service', async () => {
    const { gate, issuer, by } = await tlsGate()
    const send = by(undefined, true)
    expect((await send('/oauth/.well-known/openid-configuration')).body.token_endpoint).toBe(`${issuer}/token`)
    const asked = { ...form({ grant_type: 'client_credentials' }), headers: { ...basic('batch') } }
    const { status, body } = await send('/oauth/token', asked)
    expect(status, JSON.stringify(body)).toBe(200)
    expect((await send('/orders', { headers: { authorization: `Bearer ${body.access_token}` } })).status).toBe(200)
    expect(
      (await send('/oauth/introspect', { ...form({ token: body.access_token }), headers: { ...basic('batch') } })).body
        .active,
    ).toBe(true)
    const { url } = requestOf(gate)
    const page = await send(new URL(url).pathname + new URL(url).search)
    expect([page.status, page.headers.get('location')]).toEqual([303, expect.stringContaining('/oauth/interaction/')])
    const lines = await until(
      async () => (await gate.lines()).filter(({ api }) => api === 'tokenService').length >= 4 && gate.lines(),
      'the lines',
    )
    expect(JSON.stringify(lines)).toContain('HTTP/2')
  })

  test('cookies are bound to the host and to TLS, and pages allow nothing from elsewhere', async () => {
    const { gate, by } = await tlsGate()
    const { url } = requestOf(gate)
    const { pathname, search } = new URL(url)
    const reply = await by(undefined)(pathname + search)
    expect(reply.status).toBe(303)
    const set = reply.headers.getSetCookie()
    expect(set.length).toBeGreaterThanOrEqual(2)
    for (const cookie of set) {
      expect(cookie).toMatch(/^(__Host-|__Secure-)/)
      expect(cookie).toMatch(/; secure/i)
      expect(cookie).toMatch(/; httponly/i)
      expect(cookie).toMatch(/; samesite=lax/i)
      expect(cookie).not.toMatch(/; domain=/i)
      if (cookie.startsWith('__Host-')) expect(cookie).toMatch(/; path=\/(;|$)/i)
    }
    expect(reply.headers.get('x-frame-options')).toBe('DENY')
    expect(reply.headers.get('referrer-policy')).toBe('no-referrer')
  })

  test('the profile fapi2: pushed requests, clients with keys, bound tokens, nothing less', async () => {
    const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const jwk = { ...pair.publicKey.export({ format: 'jwk' }), kid: 'k', alg: 'ES256', use: 'sig' }
    const { gate, issuer, by } = await tlsGate({
      profile: 'fapi2',
      clients: {
        bank: {
          auth: 'private_key_jwt',
          jwks: { keys: [jwk] },
          grants: ['client_credentials', 'authorization_code', 'refresh_token'],
          redirects: ['https://bank.example/callback'],
          scopes: ['orders:read'],
        },
      },
    })
    const send = by(undefined)
    const metadata = (await send('/oauth/.well-known/openid-configuration')).body
    expect(metadata).toMatchObject({
      require_pushed_authorization_requests: true,
      token_endpoint_auth_methods_supported: ['private_key_jwt', 'tls_client_auth'],
    })
    expect(metadata.token_endpoint_auth_signing_alg_values_supported).not.toContain('RS256')
    const key = await dpopKey()
    let nonce: string | undefined
    const assertion = (audience = issuer) =>
      new SignJWT({
        iss: 'bank',
        sub: 'bank',
        aud: audience,
        jti: randomUUID(),
        exp: Math.floor(Date.now() / 1000) + 60,
      })
        .setProtectedHeader({ alg: 'ES256', kid: 'k' })
        .sign(pair.privateKey)
    const post = async (
      path: string,
      fields: Readonly<Record<string, string>>,
      { proof = true, audience = issuer } = {},
    ) => {
      const dpop = await dpopProof(key, {
        token: '',
        url: `${issuer}${path}`,
        method: 'POST',
        claims: { ath: undefined, nonce },
      })
      const all = {
        client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
        client_assertion: await assertion(audience),
        ...fields,
      }
      const reply = await send(`/oauth${path}`, { ...form(all), headers: proof ? { dpop } : {} })
      nonce = reply.headers.get('dpop-nonce') ?? nonce
      return reply
    }
    const own = { grant_type: 'client_credentials', scope: 'orders:read' }
    await post('/token', own)
    expect((await post('/token', own)).body.token_type).toBe('DPoP')
    expect((await post('/token', own, { proof: false })).status).toBe(400)
    // FAPI 2.0 Security Profile, 5.3.2.1: the audience is the issuer, and nothing else.
    expect((await post('/token', own, { audience: `${issuer}/token` })).status).toBe(401)
    const authorize = {
      client_id: 'bank',
      redirect_uri: 'https://bank.example/callback',
      response_type: 'code',
      scope: 'openid orders:read',
      code_challenge: createHash('sha256').update('v'.repeat(43)).digest('base64url'),
      code_challenge_method: 'S256',
    }
    const direct = await send(`/oauth/auth?${new URLSearchParams(authorize)}`)
    expect(direct.headers.get('location') ?? direct.body).toMatch(/error=invalid_request|Pushed|This did not work/)
    const pushed = await post('/par', authorize)
    expect(pushed.status, JSON.stringify(pushed.body)).toBe(201)
    expect(
      (await send(`/oauth/auth?client_id=bank&request_uri=${encodeURIComponent(pushed.body.request_uri)}`)).status,
    ).toBe(303)
    await expect(gate.reload({ root: { tokenService: { issuer, profile: 'fapi2', clients } } })).rejects.toThrow(
      /fapi2/,
    )
    await expect(
      gate.reload({ root: { tokenService: { issuer, profile: 'fapi2', signing: 'RS256', clients: {} } } }),
    ).rejects.toThrow(/RS256/)
    // What was refused changed nothing.
    expect((await post('/token', own)).status).toBe(200)
  })
})

describe('the switch', () => {
  test('is off by default: nothing answers, and its word is no method of `auth`', async () => {
    const upstream = await startUpstream((_, reply) => json(reply, []))
    ends.push(upstream.stop)
    const { startGate } = await import('../kit/gate.ts')
    const gate = await startGate({ upstream: upstream.url })
    ends.push(gate.stop)
    expect((await gate.fetch('/oauth/.well-known/openid-configuration')).status).toBe(404)
    await expect(startGate({ upstream: upstream.url, api: { auth: ['tokenService'] } })).rejects.toThrow(/tokenService/)
  })

  test('a reload switches clients on and off, and an entry of `listen` may be for the service alone', async () => {
    const gate = await gateWith()
    const service = { issuer: gate.issuer, clients: { late: { secret: secretOf('late'), scopes: ['orders:read'] } } }
    const alone = await freePort()
    const { body } = await ask(gate)
    const listen = [
      { port: gate.port, host: '127.0.0.1', tls: 'off', serves: 'apis' },
      { port: alone, host: '127.0.0.1', tls: 'off', serves: 'tokenService' },
    ]
    await gate.reload({ root: { listen, tokenService: service } })
    expect((await gate.fetch('/oauth/jwks')).status).toBe(404)
    const token = await fetch(`http://127.0.0.1:${alone}/oauth/token`, {
      method: 'POST',
      headers: basic('late'),
      body: new URLSearchParams({ grant_type: 'client_credentials' }),
    })
    expect(await gate.call(((await token.json()) as { access_token: string }).access_token)).toBe(200)
    expect((await fetch(`http://127.0.0.1:${alone}/orders`)).status).toBe(404)
    // A token that was given stays good until it ends: nobody revoked it.
    expect(await gate.call(body.access_token)).toBe(200)
  })

  test('activity lines tell the endpoint and the address, and neither codes nor queries', async () => {
    const gate = await gateWith()
    const { code, verifier } = await codeFrom(gate)
    await redeem(gate, { code, verifier })
    const lines = await until(async () => {
      const found = (await gate.lines()).filter(({ api }) => api === 'tokenService')
      return found.some(({ route }) => route === '/oauth/token') && found
    }, 'the line')
    const text = JSON.stringify(lines)
    expect(text).not.toContain(code)
    expect(text).not.toContain('state=')
    expect(new Set((lines as { route: string }[]).map(({ route }) => route))).toContain('/oauth/interaction/{uid}')
  })
})

describe('kill -9', () => {
  test('no acknowledged client, grant, refresh or revocation is lost', { timeout: 60_000 }, async () => {
    const upstream = await startUpstream((_, reply) => json(reply, []))
    ends.push(upstream.stop)
    const port = await freePort()
    const issuer = `http://localhost:${port}/oauth`
    const input = {
      upstream: upstream.url,
      document: ordersDocument,
      root: { listen: [{ port, host: '127.0.0.1', tls: 'off' }], tokenService: { issuer, clients } },
    }
    let gate = await spawnGate(input)
    ends.push(async () => {
      await gate.stop('SIGKILL')
      await gate.remove()
    })
    const store = await openStore(`sqlite:${gate.dir}/state.db`, {
      log: { debug() {}, info() {}, warn() {}, error() {} },
    })
    const users = createUsers({ store, cost: { memoryKiB: 1_024, passes: 1, lanes: 1 } })
    await users.set('anna', userPassword)
    users.close()
    await store.close()
    const post: TokenGate['post'] = async (path, fields, headers = {}) => {
      const reply = await fetch(`${gate.url}${path}`, {
        method: 'POST',
        headers,
        body: new URLSearchParams(fields as Record<string, string>),
      })
      const text = await reply.text()
      return { status: reply.status, headers: reply.headers, body: text.startsWith('{') ? JSON.parse(text) : text }
    }
    const statusOf = async (token: string) =>
      (await fetch(`${gate.url}/orders`, { headers: { authorization: `Bearer ${token}` } })).status
    const {
      code: exit,
      stdout,
      stderr,
    } = await gate.command('client', 'create', 'partner', '--scope', 'orders:read', '--json')
    expect(exit, stderr).toBe(0)
    const { secret } = JSON.parse(stdout)
    const own = () => post('/oauth/token', { grant_type: 'client_credentials' }, basic('partner', secret))
    const revoked = (await own()).body.access_token
    const kept = (await own()).body.access_token
    expect(await statusOf(revoked)).toBe(200)
    const { url, verifier } = requestOf({ issuer } as TokenGate)
    const page = await signIn(url)
    const first = (await redeem({ post }, { code: new URL(page.url).searchParams.get('code')!, verifier })).body
    const second = (await refresh({ post }, first.refresh_token)).body
    expect((await post('/oauth/revoke', { token: revoked }, basic('partner', secret))).status).toBe(200)
    await gate.stop('SIGKILL')
    gate = await gate.again()
    expect(await statusOf(revoked)).toBe(401)
    expect(await statusOf(kept)).toBe(200)
    expect((await own()).status).toBe(200)
    const third = await refresh({ post }, second.refresh_token)
    expect(third.status).toBe(200)
    expect((await refresh({ post }, first.refresh_token)).status).toBe(400)
    await gate.stop('SIGKILL')
    gate = await gate.again()
    // The theft was acknowledged, too: the family stays dead.
    expect((await refresh({ post }, third.body.refresh_token)).status).toBe(400)
    expect((await gate.command('client', 'revoke', 'partner')).code).toBe(0)
    await gate.stop('SIGKILL')
    gate = await gate.again()
    expect(await statusOf(kept)).toBe(401)
    expect((await own()).status).toBe(401)
  })
})

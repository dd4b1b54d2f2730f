import { createHash, generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { decodeJwt, decodeProtectedHeader, type JWTPayload, SignJWT } from 'jose'
import * as oauth from 'oauth4webapi'
import * as client from 'openid-client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { endFamily } from '../../src/credentials/revoked-tokens.ts'
import { createClients } from '../../src/identity/clients.ts'
import { rotateSigningKeys } from '../../src/identity/signing-keys.ts'
import { dpopKey, dpopProof } from '../kit/dpop.ts'
import { until } from '../kit/gate.ts'
import { visitor } from '../kit/people.ts'
import { basic, callback, clients, secretOf, signIn, startTokenGate, type TokenGate } from '../kit/token-gate.ts'
import { type Service, services } from '../services.ts'

const noPostgres = await services.missing('postgres')
const noRedis = await services.missing('redis')

const insecure = { execute: [client.allowInsecureRequests] }
const exchangeType = 'urn:ietf:params:oauth:grant-type:token-exchange'
const accessType = 'urn:ietf:params:oauth:token-type:access_token'
const keyPair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const signerJwk = { ...keyPair.publicKey.export({ format: 'jwk' }), kid: 'signer-1', alg: 'ES256', use: 'sig' }

const settings = {
  clients: {
    ...clients,
    signer: { auth: 'private_key_jwt', jwks: { keys: [signerJwk] }, scopes: ['orders:read'] },
    bound: { secret: secretOf('bound'), scopes: ['orders:read'], bound: 'dpop' },
    mobile: {
      auth: 'none',
      native: true,
      grants: ['authorization_code', 'refresh_token', 'device_code'],
      redirects: ['http://127.0.0.1/back'],
      scopes: ['orders:read'],
    },
    // The one user is called so, too.
    anna: { secret: secretOf('anna'), scopes: ['orders:read'] },
    middle: { secret: secretOf('middle'), grants: ['client_credentials', 'token_exchange'], scopes: ['orders:read'] },
  },
  exchange: [{ client: 'middle', from: ['app'], to: ['stock'], scopes: ['stock:read'] }],
  limits: { failures: '1000/m' },
  resources: { stock: { audience: 'https://stock.example', scopes: ['stock:read'] } },
}

interface World {
  readonly root: object
  readonly close: () => Promise<unknown>
}

/** Where state is kept: for each of them every flow and every attack is the same. */
const worlds: readonly (readonly [string, string | false, () => Promise<World>])[] = [
  ['SQLite and memory', false, async () => ({ root: {}, close: async () => {} })],
  [
    'PostgreSQL and Redis',
    noPostgres || noRedis,
    async () => {
      const [postgres, redis]: Service[] = [await services.postgres(), await services.redis()]
      return {
        root: {
          store: { url: postgres!.url },
          counters: { url: redis!.url },
          secrets: { sealWith: randomBytes(32).toString('base64') },
        },
        close: () => Promise.all([postgres!.close(), redis!.close()]),
      }
    },
  ],
]

/** Two gates beside each other, and what a browser and an application do with them. */
async function open(world: World, tokenService: object = settings) {
  const first = await startTokenGate({ root: world.root, tokenService: tokenService as never })
  const store = { store: { url: `sqlite:${first.dir}/state.db` } }
  const stateDir = { stateDir: `${first.dir}/.portcullis` }
  const second = await startTokenGate({
    beside: first,
    root: { ...store, ...stateDir, ...world.root },
    tokenService: tokenService as never,
  })
  return { first, second }
}

/** An authorization request by hand, for what a good library would not send. */
function authorizeUrl(gate: TokenGate, change: Readonly<Record<string, string | undefined>> = {}) {
  const verifier = randomBytes(32).toString('base64url')
  const parameters: Record<string, string | undefined> = {
    client_id: 'app',
    response_type: 'code',
    redirect_uri: callback,
    scope: 'openid orders:read',
    state: randomUUID(),
    nonce: randomUUID(),
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    ...change,
  }
  const url = new URL(`${gate.issuer}/auth`)
  for (const [name, value] of Object.entries(parameters)) if (value !== undefined) url.searchParams.set(name, value)
  return { url: url.href, verifier, state: parameters.state! }
}

async function codeFrom(gate: TokenGate, change: Readonly<Record<string, string | undefined>> = {}) {
  const request = authorizeUrl(gate, change)
  const page = await signIn(request.url)
  const code = new URL(page.url).searchParams.get('code')
  if (code === null) throw new Error(`no code: ${page.status} ${page.url} ${page.title}`)
  return { ...request, code, page }
}

const redeem = (
  gate: TokenGate,
  code: string,
  verifier: string,
  more: Readonly<Record<string, string>> = {},
  who = 'app',
) =>
  gate.post(
    '/oauth/token',
    { grant_type: 'authorization_code', code, code_verifier: verifier, redirect_uri: callback, ...more },
    basic(who),
  )

const refresh = (gate: TokenGate, token: string, who = 'app') =>
  gate.post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token }, basic(who))

const ownToken = async (gate: TokenGate, who = 'batch', fields: Readonly<Record<string, string>> = {}) =>
  gate.post('/oauth/token', { grant_type: 'client_credentials', ...fields }, basic(who))

async function tokensOf(gate: TokenGate) {
  const { code, verifier } = await codeFrom(gate)
  const { status, body } = await redeem(gate, code, verifier)
  expect(status, JSON.stringify(body)).toBe(200)
  return body as { access_token: string; refresh_token: string; id_token: string }
}

/** Within the second that is promised. */
const soonRefused = (gate: TokenGate, token: string) =>
  until(async () => (await gate.call(token)) === 401, 'the token to be refused', 1_000)

describe.each(worlds)('the token service on %s', (_, missing, makeWorld) => {
  describe.skipIf(missing !== false)('two gates', () => {
    let world: World
    let first: TokenGate
    let second: TokenGate
    let config: client.Configuration
    beforeAll(async () => {
      world = await makeWorld()
      ;({ first, second } = await open(world))
      config = await client.discovery(new URL(first.issuer), 'app', secretOf('app'), undefined, insecure)
    }, 60_000)
    afterAll(async () => {
      await second?.stop()
      await first?.stop()
      await world?.close()
    })

    const asClient = (id: string, auth?: client.ClientAuth) =>
      client.discovery(new URL(first.issuer), id, undefined, auth ?? client.ClientSecretPost(secretOf(id)), insecure)

    describe('flows', () => {
      test('a client that is called as a person gets no token in whose name it would be that person', async () => {
        for (const gate of [first, second]) {
          const { status, body } = await ownToken(gate, 'anna')
          expect([status, body.error, body.access_token]).toEqual([400, 'unauthorized_client', undefined])
        }
      })

      test('metadata stands where OpenID Connect and where RFC 8414 look for it, and names one issuer whatever Host says', async () => {
        const places = ['/oauth/.well-known/openid-configuration', '/.well-known/oauth-authorization-server/oauth']
        for (const place of places) {
          const reply = await first.fetch(place, { headers: { 'x-forwarded-host': 'evil.example' } })
          expect(await reply.json()).toMatchObject({
            issuer: first.issuer,
            token_endpoint: `${first.issuer}/token`,
            code_challenge_methods_supported: ['S256'],
            response_types_supported: ['code'],
            authorization_response_iss_parameter_supported: true,
          })
        }
        // Served by the other gate, it is the same service.
        expect(await (await second.fetch(places[0]!)).json()).toMatchObject({ token_endpoint: `${first.issuer}/token` })
      })

      test('K1, client credentials: a JWT of RFC 9068 that both gates take without more, no longer than configured', async () => {
        const batch = await asClient('batch')
        const { access_token: token, expires_in: seconds } = await client.clientCredentialsGrant(batch, {
          scope: 'orders:read',
        })
        expect(decodeProtectedHeader(token)).toMatchObject({ alg: 'ES256', typ: 'at+jwt' })
        const claims = decodeJwt(token)
        expect(claims).toMatchObject({ iss: first.issuer, sub: 'batch', client_id: 'batch', scope: 'orders:read' })
        expect(claims.exp! - claims.iat!).toBe(600)
        expect(seconds).toBe(600)
        expect([await first.call(token), await second.call(token)]).toEqual([200, 200])
        const write = await first.fetch('/orders', { method: 'POST', headers: { authorization: `Bearer ${token}` } })
        expect(write.status).toBe(403)
      })

      test('authorization code with PKCE, then refresh, by openid-client: signed in, agreed, called, renewed', async () => {
        const verifier = client.randomPKCECodeVerifier()
        const [state, nonce] = [client.randomState(), client.randomNonce()]
        const url = client.buildAuthorizationUrl(config, {
          redirect_uri: callback,
          scope: 'openid orders:read',
          code_challenge: await client.calculatePKCECodeChallenge(verifier),
          code_challenge_method: 'S256',
          state,
          nonce,
        })
        const { url: back } = await signIn(url.href)
        const checks = { pkceCodeVerifier: verifier, expectedState: state, expectedNonce: nonce }
        const tokens = await client.authorizationCodeGrant(config, new URL(back), checks)
        expect(tokens.claims()).toMatchObject({ iss: first.issuer, aud: 'app', sub: 'anna' })
        expect(decodeJwt(tokens.access_token)).toMatchObject({
          sub: 'anna',
          roles: ['editor'],
          acr: 'pwd',
          client_id: 'app',
        })
        expect(await second.call(tokens.access_token)).toBe(200)
        const renewed = await client.refreshTokenGrant(config, tokens.refresh_token!)
        expect(renewed.refresh_token).not.toBe(tokens.refresh_token)
        expect(await second.call(renewed.access_token)).toBe(200)
      })

      test('a client without a secret signs people in with PKCE alone', async () => {
        const { code, verifier } = await codeFrom(first, { client_id: 'spa' })
        const fields = { grant_type: 'authorization_code', client_id: 'spa', code, code_verifier: verifier }
        const { status, body } = await first.post('/oauth/token', { ...fields, redirect_uri: callback })
        expect(status).toBe(200)
        expect(await first.call(body.access_token)).toBe(200)
      })

      test('an ID token is no access token, and one for another API is none for this', async () => {
        const { id_token: idToken } = await tokensOf(first)
        expect(await first.call(idToken)).toBe(401)
        const elsewhere = await ownToken(first, 'batch', { resource: 'https://stock.example' })
        expect(decodeJwt(elsewhere.body.access_token).aud).toBe('https://stock.example')
        expect(await first.call(elsewhere.body.access_token)).toBe(401)
      })

      test('userinfo answers who only asked who somebody is', async () => {
        const { code, verifier } = await codeFrom(first, { scope: 'openid' })
        const { body } = await redeem(first, code, verifier)
        const reply = await first.fetch('/oauth/userinfo', {
          headers: { authorization: `Bearer ${body.access_token}` },
        })
        expect(await reply.json()).toEqual({ sub: 'anna' })
        // It is for nothing else.
        expect(await first.call(body.access_token)).toBe(401)
      })

      test('device flow (RFC 8628), started at one gate, agreed to at the other', async () => {
        const started = await client.initiateDeviceAuthorization(config, { scope: 'orders:read' })
        const polling = client.pollDeviceAuthorizationGrant(config, { ...started, interval: 1 })
        const one = visitor()
        let page = await one.open(started.verification_uri_complete!)
        for (let step = 0; step < 6 && !page.title.startsWith('Connected'); step++) {
          const action = /action="([^"]*)"/.exec(page.text)?.[1] ?? page.url
          const hidden = [...page.text.matchAll(/<input[^>]*name="([^"]+)"[^>]*value="([^"]*)"/g)]
          const fields: Record<string, string> = Object.fromEntries(hidden.map(([, name, value]) => [name, value]))
          if (page.title.startsWith('Sign in'))
            page = await one.submit(page, 'password', { name: 'anna', password: 'four green horses walk' })
          else if (page.title.startsWith('Allow')) page = await one.submit(page, 'consent', { decision: 'allow' })
          else {
            delete fields.abort
            const url = new URL(action.replaceAll('&amp;', '&'), page.url).href
            page = await one.send(
              url,
              { ...fields, user_code: started.user_code, confirm: 'yes' },
              { origin: new URL(url).origin },
            )
          }
        }
        const tokens = await polling
        expect(decodeJwt(tokens.access_token)).toMatchObject({ sub: 'anna', scope: 'orders:read' })
        expect(await first.call(tokens.access_token)).toBe(200)
      }, 20_000)

      test('pushed authorization requests (RFC 9126), by oauth4webapi', async () => {
        const as: oauth.AuthorizationServer = {
          issuer: first.issuer,
          pushed_authorization_request_endpoint: `${first.issuer}/par`,
        }
        const verifier = oauth.generateRandomCodeVerifier()
        const parameters = new URLSearchParams({
          response_type: 'code',
          redirect_uri: callback,
          scope: 'openid orders:read',
          code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
          code_challenge_method: 'S256',
        })
        const reply = await oauth.pushedAuthorizationRequest(
          as,
          { client_id: 'app' },
          oauth.ClientSecretPost(secretOf('app')),
          parameters,
          { [oauth.allowInsecureRequests]: true },
        )
        const pushed = await oauth.processPushedAuthorizationResponse(as, { client_id: 'app' }, reply)
        const url = `${first.issuer}/auth?client_id=app&request_uri=${encodeURIComponent(pushed.request_uri)}`
        const code = new URL((await signIn(url)).url).searchParams.get('code')!
        expect((await redeem(second, code, verifier)).status).toBe(200)
        // It counts once.
        expect((await signIn(url)).url).not.toContain('code=')
      })

      test('private_key_jwt (RFC 7523), by oauth4webapi', async () => {
        const key = {
          key: await crypto.subtle.importKey(
            'jwk',
            keyPair.privateKey.export({ format: 'jwk' }),
            { name: 'ECDSA', namedCurve: 'P-256' },
            false,
            ['sign'],
          ),
          kid: 'signer-1',
        }
        const signer = await asClient('signer', client.PrivateKeyJwt(key))
        const { access_token: token } = await client.clientCredentialsGrant(signer, { scope: 'orders:read' })
        expect(await first.call(token)).toBe(200)
      })

      test('DPoP (RFC 9449) with a nonce of the server: the token works with its key and no other', async () => {
        const pair = await client.randomDPoPKeyPair('ES256')
        const bound = await asClient('bound')
        const DPoP = client.getDPoPHandle(bound, pair)
        const { access_token: token, token_type: type } = await client.clientCredentialsGrant(bound, undefined, {
          DPoP,
        })
        expect(type).toBe('dpop')
        expect(decodeJwt(token)).toMatchObject({ cnf: { jkt: await DPoP.calculateThumbprint() } })
        const reply = await client.fetchProtectedResource(
          bound,
          token,
          new URL(`${first.url}/orders`),
          'GET',
          undefined,
          undefined,
          { DPoP },
        )
        expect(reply.status).toBe(200)
        expect(await first.call(token)).toBe(401)
        const proof = await dpopProof(await dpopKey(), { token, url: `${first.url}/orders` })
        const stolen = await first.fetch('/orders', { headers: { authorization: `DPoP ${token}`, dpop: proof } })
        expect(stolen.status).toBe(401)
      })

      test('token exchange (RFC 8693): in the name of the same person, says who acts, ends with the token it came from', async () => {
        const { access_token: subject } = await tokensOf(first)
        const middle = await asClient('middle')
        const parameters = { subject_token: subject, subject_token_type: accessType, resource: 'https://stock.example' }
        const exchanged = await client.genericGrantRequest(middle, exchangeType, parameters)
        const claims = decodeJwt(exchanged.access_token)
        expect(claims).toMatchObject({
          sub: 'anna',
          client_id: 'middle',
          aud: 'https://stock.example',
          scope: 'stock:read',
          act: { sub: 'middle' },
          roles: ['editor'],
        })
        expect(claims.exp).toBeLessThanOrEqual(decodeJwt(subject).exp!)
        expect(claims.grant_id).toBe(decodeJwt(subject).grant_id)
        // Not for an API no rule names, not by a client no rule names, not a token of a client no rule names.
        const foreign = (await ownToken(first, 'other')).body.access_token
        const refusals = [
          await first.post(
            '/oauth/token',
            { grant_type: exchangeType, ...parameters, resource: decodeJwt(subject).aud as string },
            basic('middle'),
          ),
          await first.post('/oauth/token', { grant_type: exchangeType, ...parameters }, basic('batch')),
          await first.post(
            '/oauth/token',
            { grant_type: exchangeType, ...parameters, subject_token: foreign },
            basic('middle'),
          ),
          await first.post(
            '/oauth/token',
            { grant_type: exchangeType, ...parameters, scope: 'stock:write' },
            basic('middle'),
          ),
          await first.post(
            '/oauth/token',
            { grant_type: exchangeType, ...parameters, subject_token: `${subject}x` },
            basic('middle'),
          ),
        ]
        expect(refusals.map(({ body }) => body.error)).toEqual([
          'invalid_target',
          'invalid_request',
          'invalid_target',
          'invalid_scope',
          'invalid_request',
        ])
      })

      test('introspection (RFC 7662) of a JWT, and of a refresh token by its own client only', async () => {
        const tokens = await tokensOf(first)
        const batch = await asClient('batch')
        const seen = await client.tokenIntrospection(batch, tokens.access_token)
        expect(seen).toMatchObject({
          active: true,
          sub: 'anna',
          client_id: 'app',
          scope: 'orders:read',
          iss: first.issuer,
        })
        expect(await client.tokenIntrospection(batch, tokens.refresh_token)).toEqual({ active: false })
        expect(await client.tokenIntrospection(config, tokens.refresh_token)).toMatchObject({ active: true })
        for (const nonsense of ['', 'x', 'a.b.c', `${tokens.access_token}x`]) {
          const { body } = await first.post('/oauth/introspect', { token: nonsense }, basic('batch'))
          expect(body.active ?? false).toBe(false)
        }
      })

      test('keys rotate: the next one is published before it signs, the old one verifies on; a dropped one ends at once', async () => {
        const before = (await ownToken(first)).body.access_token as string
        const { store, now, vault } = first.running.foundation
        const log = { debug() {}, info() {}, warn() {}, error() {} }
        const options = {
          store,
          now,
          log,
          ring: await vault(),
          settings: { signing: 'ES256', keyLife: 1e9, keyLead: 3_600_000, accessTtl: 600_000 },
        } as const
        const published = async (gate: TokenGate) =>
          ((await (await gate.fetch('/oauth/jwks')).json()) as { keys: { kid: string; d?: string }[] }).keys
        const next = await rotateSigningKeys(options)
        await until(async () => (await published(second)).some(({ kid }) => kid === next.kid), 'the next key', 3_000)
        expect(decodeProtectedHeader((await ownToken(second)).body.access_token).kid).toBe(
          decodeProtectedHeader(before).kid,
        )
        const { kid } = await rotateSigningKeys(options, { now: true })
        const signed = async (gate: TokenGate) =>
          decodeProtectedHeader((await ownToken(gate)).body.access_token).kid === kid
        await until(() => signed(first), 'the new key to sign', 3_000)
        await until(() => signed(second), 'the new key to sign at the other gate', 3_000)
        expect((await published(first)).every((key) => key.d === undefined)).toBe(true)
        expect(await first.call((await ownToken(second)).body.access_token)).toBe(200)
        expect([await first.call(before), await second.call(before)]).toEqual([200, 200])
        await rotateSigningKeys(options, { drop: true })
        await until(
          async () => (await first.call(before)) === 401 && (await second.call(before)) === 401,
          'the old key to be gone',
          5_000,
        )
        expect(await first.call((await ownToken(first)).body.access_token)).toBe(200)
      }, 20_000)
    })

    describe('ends', () => {
      test('K2: a refresh token works once; its second use kills the family, at both gates, and is told', async () => {
        const tokens = await tokensOf(first)
        const newer = (await refresh(first, tokens.refresh_token)).body
        expect(await second.call(newer.access_token)).toBe(200)
        const replayed = await refresh(second, tokens.refresh_token)
        expect([replayed.status, replayed.body.error]).toEqual([400, 'invalid_grant'])
        expect((await refresh(first, newer.refresh_token)).status).toBe(400)
        await soonRefused(first, newer.access_token)
        await soonRefused(second, tokens.access_token)
        const line = await until(
          async () => (await second.lines()).find(({ event }) => event === 'token.refresh-reused'),
          'the event',
        )
        expect(line).toMatchObject({ subject: 'anna', client: 'app' })
      })

      test('K2: of two that use one refresh token at the same moment, at two gates, at most one is served', async () => {
        for (let round = 0; round < 5; round++) {
          const { refresh_token: token } = await tokensOf(first)
          const replies = await Promise.all([first, second, first, second].map((gate) => refresh(gate, token)))
          const served = replies.filter(({ status }) => status === 200)
          expect(served.length).toBeLessThanOrEqual(1)
          expect(
            replies.filter(({ status }) => status !== 200).every(({ body }) => body.error === 'invalid_grant'),
          ).toBe(true)
          // Whoever was served has nothing: one of them is a thief.
          for (const { body } of served) {
            expect((await refresh(first, body.refresh_token)).status).toBe(400)
            await soonRefused(second, body.access_token)
          }
        }
      })

      test('K3: revocation (RFC 7009) of an access token reaches both gates within a second; others go on', async () => {
        const batch = await asClient('batch')
        const [{ access_token: token }, { access_token: other }] = [
          await client.clientCredentialsGrant(batch),
          await client.clientCredentialsGrant(batch),
        ]
        expect([await first.call(token), await second.call(token)]).toEqual([200, 200])
        await client.tokenRevocation(batch, token)
        await Promise.all([soonRefused(first, token), soonRefused(second, token)])
        expect([await first.call(other), await second.call(other)]).toEqual([200, 200])
        expect(await client.tokenIntrospection(batch, token)).toEqual({ active: false })
      })

      test('K3: a revoked refresh token takes its access tokens with it', async () => {
        const tokens = await tokensOf(first)
        await client.tokenRevocation(config, tokens.refresh_token)
        await Promise.all([soonRefused(first, tokens.access_token), soonRefused(second, tokens.access_token)])
        expect((await refresh(second, tokens.refresh_token)).status).toBe(400)
      })

      test('K3: everything of a person or a client ends at a moment; who asks anew in that very second is served', async () => {
        const { store } = first.running.foundation
        const [mine, own] = [(await tokensOf(first)).access_token, (await ownToken(first)).body.access_token]
        await endFamily(store, first.issuer, 'subject:anna', Date.now(), 600_000)
        await endFamily(store, first.issuer, 'client:batch', Date.now(), 600_000)
        const [fresh, next] = [(await tokensOf(second)).access_token, (await ownToken(second)).body.access_token]
        await Promise.all([soonRefused(first, mine), soonRefused(second, own)])
        expect([await first.call(fresh), await second.call(fresh)]).toEqual([200, 200])
        expect([await first.call(next), await second.call(next)]).toEqual([200, 200])
        const { iat, exp } = decodeJwt(next)
        expect(exp! - iat!).toBe(600)
      })

      test('nobody revokes the token of another client', async () => {
        const [{ body }, { body: own }] = [await ownToken(first), await ownToken(first, 'other')]
        await first.post('/oauth/revoke', { token: body.access_token }, basic('other'))
        await first.post('/oauth/revoke', { token: own.access_token }, basic('other'))
        // Revocations are read in order: where the later one has arrived, the earlier one would have.
        await Promise.all([soonRefused(first, own.access_token), soonRefused(second, own.access_token)])
        expect([await first.call(body.access_token), await second.call(body.access_token)]).toEqual([200, 200])
      })

      test('K3: everything of a client made by command ends with it; its new secret takes the place of the old', async () => {
        const { store, now } = first.running.foundation
        const made = createClients({
          store,
          configured: {},
          now,
          endTokens: (id) => endFamily(store, first.issuer, `client:${id}`, now(), 600_000),
        })
        const name = `partner-${randomUUID()}`
        const { secret } = await made.create(name, { scopes: ['orders:read'] })
        const ask = (gate: TokenGate, secret: string) =>
          gate.post('/oauth/token', { grant_type: 'client_credentials' }, basic(name, secret))
        const { body } = await ask(first, secret!)
        expect(await second.call(body.access_token)).toBe(200)
        const rotated = await made.rotate(name)
        expect([(await ask(first, secret!)).status, (await ask(second, rotated!.secret!)).status]).toEqual([401, 200])
        await made.revoke(name)
        await Promise.all([soonRefused(first, body.access_token), soonRefused(second, body.access_token)])
        expect((await ask(second, rotated!.secret!)).status).toBe(401)
        await expect(made.create(name, {})).rejects.toThrow(/called .* already/)
      })
    })

    describe('attacks', () => {
      test('a code counts once: its second use ends what the first one got', async () => {
        const { code, verifier } = await codeFrom(first)
        const { body } = await redeem(first, code, verifier)
        const replayed = await redeem(second, code, verifier)
        expect([replayed.status, replayed.body.error]).toEqual([400, 'invalid_grant'])
        await soonRefused(first, body.access_token)
        expect((await refresh(first, body.refresh_token)).status).toBe(400)
      })

      test('a code shown twice at the same moment, at two gates, serves at most once', async () => {
        const { code, verifier } = await codeFrom(first)
        const replies = await Promise.all([first, second].map((gate) => redeem(gate, code, verifier)))
        expect(replies.filter(({ status }) => status === 200).length).toBeLessThanOrEqual(1)
      })

      test('code injection: a code is worth nothing with another verifier, none, another client, or another redirect', async () => {
        const wrong: ((code: string, verifier: string) => Promise<{ status: number; body: { error: string } }>)[] = [
          (code) => redeem(first, code, randomBytes(32).toString('base64url')),
          (code) =>
            first.post(
              '/oauth/token',
              { grant_type: 'authorization_code', code, redirect_uri: callback },
              basic('app'),
            ),
          (code, verifier) =>
            first.post('/oauth/token', {
              grant_type: 'authorization_code',
              client_id: 'spa',
              code,
              code_verifier: verifier,
              redirect_uri: callback,
            }),
          (code, verifier) => redeem(first, code, verifier, { redirect_uri: `${callback}/` }),
        ]
        for (const attempt of wrong) {
          const { code, verifier } = await codeFrom(first)
          const { status, body } = await attempt(code, verifier)
          expect([status, body.error]).toEqual([400, 'invalid_grant'])
        }
      })

      test('PKCE downgrade: no request without a challenge, none with `plain`', async () => {
        for (const change of [
          { code_challenge: undefined, code_challenge_method: undefined },
          { code_challenge_method: 'plain' },
          { code_challenge_method: undefined },
        ]) {
          const page = await visitor().open(authorizeUrl(first, change).url)
          expect(new URL(page.url).searchParams.get('error')).toBe('invalid_request')
        }
      })

      test('mix-up: the answer says whose it is (RFC 9207), errors too', async () => {
        const { page } = await codeFrom(first)
        expect(new URL(page.url).searchParams.get('iss')).toBe(first.issuer)
        const refused = await visitor().open(authorizeUrl(first, { code_challenge: undefined }).url)
        expect(new URL(refused.url).searchParams.get('iss')).toBe(first.issuer)
      })

      test.each([
        ['a longer path', `${callback}/more`],
        ['a prefix', 'http://localhost:9/call'],
        ['another case of the path', 'http://localhost:9/Callback'],
        ['another case of the host', 'http://LOCALHOST:9/callback'],
        ['another port', 'http://localhost:10/callback'],
        ['no port', 'http://localhost/callback'],
        ['a user before the host', 'http://localhost:9@evil.example/callback'],
        ['a user before the right host', 'http://x@localhost:9/callback'],
        ['a fragment', `${callback}#x`],
        ['an empty fragment', `${callback}#`],
        ['a query', `${callback}?next=https://evil.example`],
        ['an encoded letter', 'http://localhost:9/%63allback'],
        ['an encoded slash', 'http://localhost:9%2fcallback'],
        ['dot segments', 'http://localhost:9/x/../callback'],
        ['a backslash', 'http://localhost:9\\@evil.example/callback'],
        ['https in its place', 'https://localhost:9/callback'],
        ['a host that begins alike', 'http://localhost:9.evil.example/callback'],
        ['a script', 'javascript:alert(1)'],
        ['a space', `${callback} `],
        ['a tab', 'http://local\thost:9/callback'],
      ])('redirect tricks: %s is not where answers go', async (_name, redirect) => {
        const reply = await first.fetch(
          new URL(authorizeUrl(first, { redirect_uri: redirect }).url).pathname +
            new URL(authorizeUrl(first, { redirect_uri: redirect }).url).search,
        )
        expect(reply.status).toBe(400)
        expect(reply.headers.get('location')).toBeNull()
        expect(await reply.text()).not.toContain('evil.example')
      })

      test('redirect tricks: twice is not once', async () => {
        const { url } = authorizeUrl(first)
        const { pathname, search } = new URL(url)
        const reply = await first.fetch(`${pathname}${search}&redirect_uri=https://evil.example/`)
        expect(reply.headers.get('location')).toMatch(/^http:\/\/localhost:9\/callback\?error=invalid_request&/)
      })

      test('an app on a device may choose its port on loopback, and nothing else (RFC 8252, 7.3)', async () => {
        const at = (redirect: string) =>
          visitor().open(authorizeUrl(first, { client_id: 'mobile', redirect_uri: redirect }).url)
        expect((await at('http://127.0.0.1:49152/back')).title).toMatch(/^Sign in/)
        for (const redirect of [
          'http://127.0.0.1:49152/other',
          'http://localhost:49152/back',
          'https://127.0.0.1/back',
        ]) {
          expect((await at(redirect)).status, redirect).toBe(400)
        }
      })

      test('neither implicit nor password, nor a hybrid', async () => {
        for (const type of ['token', 'id_token', 'code id_token', 'code token', 'none']) {
          const page = await visitor().open(authorizeUrl(first, { response_type: type }).url)
          expect(`${page.url} ${page.text}`, type).toMatch(/unsupported_response_type|error/)
          expect(page.url).not.toMatch(/[#&?](access_token|id_token|code)=/)
        }
        const { body } = await first.post(
          '/oauth/token',
          { grant_type: 'password', username: 'anna', password: 'x' },
          basic('app'),
        )
        expect(body.error).toBe('unsupported_grant_type')
      })

      test('a stolen refresh token: not for another client, not by a client without its secret', async () => {
        const { refresh_token: token } = await tokensOf(first)
        expect((await refresh(first, token, 'batch')).status).toBe(400)
        expect(
          (await first.post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token, client_id: 'spa' }))
            .status,
        ).toBe(400)
        expect(
          (
            await first.post(
              '/oauth/token',
              { grant_type: 'refresh_token', refresh_token: token },
              basic('app', 'guess'),
            )
          ).status,
        ).toBe(401)
        expect(
          (await first.post('/oauth/token', { grant_type: 'refresh_token', refresh_token: token, client_id: 'app' }))
            .status,
        ).toBe(401)
        expect((await refresh(first, token)).status).toBe(200)
      })

      test('DPoP at the token endpoint: a replayed proof, one without a nonce, one with a wrong nonce, one for another place', async () => {
        const key = await dpopKey()
        const url = `${first.issuer}/token`
        const proof = (claims: object) =>
          dpopProof(key, { token: '', url, method: 'POST', claims: { ath: undefined, ...claims } })
        const ask = async (gate: TokenGate, dpop: string) =>
          gate.post('/oauth/token', { grant_type: 'client_credentials' }, { ...basic('bound'), dpop })
        const bare = await ask(first, await proof({}))
        expect([bare.status, bare.body.error]).toEqual([400, 'use_dpop_nonce'])
        const nonce = bare.headers.get('dpop-nonce')!
        expect((await ask(first, await proof({ nonce: 'made up' }))).body.error).toBe('use_dpop_nonce')
        const good = await proof({ nonce })
        // The nonce of one gate is good at the other.
        expect((await ask(second, good)).status).toBe(200)
        for (const gate of [first, second]) expect((await ask(gate, good)).body.error).toBe('invalid_grant')
        const twins = await proof({ nonce })
        const raced = await Promise.all([first, second, first].map((gate) => ask(gate, twins)))
        expect(raced.filter(({ status }) => status === 200)).toHaveLength(1)
        for (const claims of [
          { nonce, htu: `${first.issuer}/par` },
          { nonce, htm: 'GET' },
          { nonce, htu: 'https://evil.example/oauth/token' },
        ]) {
          expect((await ask(first, await proof(claims))).body.error).toBe('invalid_dpop_proof')
        }
        expect((await ownToken(first, 'bound')).body.error).toBe('invalid_grant')
      })

      test('a refresh token of a public client is bound to the key of its proof', async () => {
        const [key, thief] = [await dpopKey(), await dpopKey()]
        const url = `${first.issuer}/token`
        let nonce: string | undefined
        const ask = async (with_: typeof key, fields: Readonly<Record<string, string>>) => {
          const dpop = await dpopProof(with_, { token: '', url, method: 'POST', claims: { ath: undefined, nonce } })
          const reply = await first.post('/oauth/token', { client_id: 'spa', ...fields }, { dpop })
          nonce = reply.headers.get('dpop-nonce') ?? nonce
          return reply
        }
        await ask(key, { grant_type: 'refresh_token', refresh_token: 'x' })
        const { code, verifier } = await codeFrom(first, { client_id: 'spa' })
        const { body } = await ask(key, {
          grant_type: 'authorization_code',
          code,
          code_verifier: verifier,
          redirect_uri: callback,
        })
        expect(body.token_type).toBe('DPoP')
        expect((await ask(thief, { grant_type: 'refresh_token', refresh_token: body.refresh_token })).status).toBe(400)
        expect((await ask(key, { grant_type: 'refresh_token', refresh_token: body.refresh_token })).status).toBe(200)
      })

      test('client assertions: replayed, expired, for another, unsigned, by a key of their own, by a `kid` that is a path', async () => {
        const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
        const assertion = (claims: JWTPayload = {}, header: object = {}, key = keyPair.privateKey) =>
          new SignJWT({
            iss: 'signer',
            sub: 'signer',
            aud: first.issuer,
            jti: randomUUID(),
            exp: Math.floor(Date.now() / 1000) + 60,
            ...claims,
          })
            .setProtectedHeader({ alg: 'ES256', kid: 'signer-1', ...header })
            .sign(key)
        const ask = async (gate: TokenGate, text: string) =>
          (
            await gate.post('/oauth/token', {
              grant_type: 'client_credentials',
              client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer',
              client_assertion: text,
            })
          ).status
        const good = await assertion()
        expect(await ask(first, good)).toBe(200)
        expect([await ask(first, good), await ask(second, good)]).toEqual([401, 401])
        const ownJwk = other.publicKey.export({ format: 'jwk' })
        const none = `${Buffer.from('{"alg":"none"}').toString('base64url')}.${good.split('.')[1]}.`
        const wrong = [
          await assertion({ exp: Math.floor(Date.now() / 1000) - 60 }),
          await assertion({ aud: 'https://other.example' }),
          await assertion({ iss: 'batch' }),
          await assertion({}, {}, other.privateKey),
          await assertion({}, { jwk: ownJwk }, other.privateKey),
          await assertion({}, { kid: '../../../../etc/passwd' }, other.privateKey),
          await assertion({}, { kid: "x' OR '1'='1" }, other.privateKey),
          await assertion({}, { jku: 'https://evil.example/jwks', kid: 'evil' }, other.privateKey),
          none,
        ]
        for (const text of wrong) expect([400, 401]).toContain(await ask(first, text))
        // Signed with the public key as a shared secret (RFC 8725, 2.1).
        const confused = await new SignJWT({
          iss: 'signer',
          sub: 'signer',
          aud: first.issuer,
          jti: randomUUID(),
          exp: Math.floor(Date.now() / 1000) + 60,
        })
          .setProtectedHeader({ alg: 'HS256', kid: 'signer-1' })
          .sign(Buffer.from(keyPair.publicKey.export({ format: 'pem', type: 'spki' })))
        expect(await ask(first, confused)).toBe(401)
      })

      test('hostile bodies: too large, not a form, a parameter twice; nothing internal in the answer', async () => {
        const large = await first.post(
          '/oauth/token',
          { grant_type: 'client_credentials', x: 'y'.repeat(60_000) },
          basic('batch'),
        )
        expect(large.status).toBe(413)
        const notForm = await first.fetch('/oauth/token', {
          method: 'POST',
          headers: { ...basic('batch'), 'content-type': 'application/json' },
          body: '{"grant_type":"client_credentials"}',
        })
        expect(notForm.status).toBe(400)
        const empty = await first.fetch('/oauth/token', {
          method: 'POST',
          headers: { ...basic('batch'), 'content-type': 'application/x-www-form-urlencoded' },
        })
        expect(empty.status).toBe(400)
        const twice = await first.post(
          '/oauth/token',
          [
            ['grant_type', 'client_credentials'],
            ['grant_type', 'refresh_token'],
          ],
          basic('batch'),
        )
        expect([twice.status, twice.body.error]).toEqual([400, 'invalid_request'])
        for (const target of ['/oauth/token/../auth', '/oauth/%74oken', '/oauth//token', '/oauth/nothing']) {
          const reply = await first.fetch(target, { method: 'POST' })
          expect([400, 404], target).toContain(reply.status)
          expect(await reply.text()).not.toMatch(/node_modules|at .*\.js/)
        }
      })
    })
  })
})

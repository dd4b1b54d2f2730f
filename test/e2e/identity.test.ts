import { Agent, fetch } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { WebSocket, WebSocketServer } from 'ws'
import { silentLogger } from '../../src/base/log.ts'
import { createApiKeys } from '../../src/credentials/api-keys.ts'
import { revokeToken } from '../../src/credentials/revoked-tokens.ts'
import { createSessions, sessionCookie } from '../../src/credentials/sessions.ts'
import { createUsers } from '../../src/credentials/users.ts'
import { freePort, type GateInput, startGate, type TestGate, until } from '../kit/gate.ts'
import { audience, makeKey, signToken, startIssuer, type TestIssuer } from '../kit/issuer.ts'
import { testAuthority, testCertificate, testCrl } from '../kit/pki.ts'
import { rawClient } from '../kit/raw.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * Who calls and what they may do, on the real listening program. The many ways in which one token can be wrong are
 * tables in src/guards/auth.test.ts; here each row is shown once, with what reached the upstream and the log.
 */

let upstream: TestUpstream
let gate: TestGate
let issuer: TestIssuer

beforeAll(async () => {
  upstream = await startUpstream()
})
beforeEach(() => {
  upstream.hits.length = 0
})
afterEach(async () => {
  await gate.stop()
  await issuer?.stop().catch(() => {})
})
afterAll(() => upstream.stop())

/** A document whose GET and POST /mail ask for what a test says. */
function documentWith(scheme: object, scopes: { get?: string[]; post?: string[] } = {}, more: object = {}) {
  const responses = { 200: { description: 'Done.' } }
  return {
    openapi: '3.1.0',
    info: { title: 'Mail', version: '1' },
    components: { securitySchemes: { main: scheme } },
    paths: {
      '/mail': {
        get: { operationId: 'readMail', security: [{ main: scopes.get ?? [] }], responses },
        post: { operationId: 'sendMail', security: [{ main: scopes.post ?? [] }], responses },
      },
      '/health': { get: { operationId: 'health', security: [], responses } },
      ...more,
    },
  }
}

const bearerScheme = { type: 'http', scheme: 'bearer' }
const oauthScheme = {
  type: 'oauth2',
  flows: {
    clientCredentials: { tokenUrl: 'https://id.example.test/token', scopes: { 'mail.read': '', 'mail.send': '' } },
  },
}

async function open(input: Partial<GateInput>): Promise<TestGate> {
  gate = await startGate({ upstream: upstream.url, ...input })
  return gate
}

/** Status and code, as the caller sees them. */
async function ask(path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<string> {
  const reply = await gate.fetch(path, { headers, method })
  const text = await reply.text()
  return reply.ok ? String(reply.status) : `${reply.status} ${(JSON.parse(text) as { code: string }).code}`
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

describe('N1: API keys', () => {
  test('open the door until they expire or are revoked, and the upstream learns who, not how', async () => {
    await open({ document: documentWith({ type: 'apiKey', in: 'header', name: 'X-API-Key' }, { get: ['mail.read'] }) })
    const key = await gate.key({ name: 'partner', scopes: ['mail.read'], roles: ['viewer'] })
    expect(await ask('/mail')).toBe('401 security.credential-missing')
    expect(await ask('/mail', { 'x-api-key': `${key}x` })).toBe('401 auth.api-key-unknown')
    expect(upstream.hits).toHaveLength(0)
    const forged = { 'portcullis-subject': 'root', portcullis_subject: 'root', 'Portcullis-Roles': 'admin' }
    expect(await ask('/mail', { 'x-api-key': key, ...forged })).toBe('200')
    const { headers } = upstream.hits[0]!
    expect(headers).toMatchObject({
      'portcullis-subject': key.slice(4, 16),
      'portcullis-scopes': 'mail.read',
      'portcullis-roles': 'viewer',
      'portcullis-application': 'partner',
      'portcullis-credential': 'apiKey',
      'portcullis-request-id': expect.stringMatching(/^req_/),
    })
    expect(headers).not.toHaveProperty('x-api-key')
    expect(headers).not.toHaveProperty('portcullis_subject')
    expect(JSON.stringify(upstream.hits)).not.toContain(key)

    const keys = createApiKeys({ store: gate.running.foundation.store })
    await keys.revoke(key.slice(4, 16))
    expect(await ask('/mail', { 'x-api-key': key })).toBe('401 auth.api-key-revoked')
    const short = await gate.key({ scopes: ['mail.read'], expiresAt: Date.now() + 300 })
    expect(await ask('/mail', { 'x-api-key': short })).toBe('200')
    await until(
      async () => (await ask('/mail', { 'x-api-key': short })) === '401 auth.api-key-expired',
      'the key to expire',
    )
    const elsewhere = await gate.key({ scopes: ['mail.read'], cidrs: ['203.0.113.0/24'] })
    expect(await ask('/mail', { 'x-api-key': elsewhere })).toBe('403 auth.api-key-address')

    const lines = await gate.lines(8)
    expect(lines.find((line) => line.status === 200)).toMatchObject({
      user: key.slice(4, 16),
      application: 'partner',
      credential: 'apiKey',
    })
    expect(JSON.stringify(lines)).not.toContain(key)
  })
})

describe('N2: HTTP Basic', () => {
  test('is for TLS only: over plain HTTP 403, over TLS the right password 200 and a wrong one 401', async () => {
    await open({
      document: documentWith({ type: 'http', scheme: 'basic' }),
      api: { auth: ['basic'] },
      root: {
        listen: [
          { port: await freePort(), host: '127.0.0.1', tls: 'off' },
          { port: await freePort(), host: '127.0.0.1', tls: 'development' },
        ],
      },
    })
    await createUsers({ store: gate.running.foundation.store, cost: { memoryKiB: 1_024, passes: 1, lanes: 1 } }).set(
      'alice',
      'correct horse',
    )
    const basic = (pair: string) => ({ authorization: `Basic ${Buffer.from(pair).toString('base64')}` })
    expect(await ask('/mail', basic('alice:correct horse'))).toBe('403 auth.unencrypted')
    const agent = new Agent({ connect: { rejectUnauthorized: false } })
    const over = (pair: string) =>
      fetch(`https://localhost:${gate.running.addresses[1]!.port}/mail`, { headers: basic(pair), dispatcher: agent })
    expect((await over('alice:correct horse')).status).toBe(200)
    for (const pair of ['alice:wrong', 'nobody:wrong']) {
      const refused = await over(pair)
      expect(refused.status).toBe(401)
      expect(refused.headers.get('www-authenticate')).toBe('Basic realm="test", charset="UTF-8"')
    }
    expect(upstream.hits).toHaveLength(1)
    expect(upstream.hits[0]!.headers).not.toHaveProperty('authorization')
    expect(upstream.hits[0]!.headers['portcullis-subject']).toBe('alice')
    await agent.destroy()
  })
})

describe('N3: JWT', () => {
  beforeEach(async () => {
    issuer = await startIssuer()
  })
  const openFor = (settings: object = {}, more: Partial<GateInput> = {}) =>
    open({
      document: documentWith(bearerScheme),
      root: { issuers: { main: { issuer: issuer.url, audience, ...settings } } },
      ...more,
    })

  test('of the issuer pass; unsigned, confused, foreign and expired ones get 401 and never reach the upstream', async () => {
    await openFor()
    expect(await ask('/mail', bearer(await issuer.token()))).toBe('200')
    const seconds = Math.floor(Date.now() / 1000)
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const claims = { iss: issuer.url, aud: audience, sub: 'root', exp: seconds + 60 }
    const attacks: [string, string][] = [
      [`${part({ alg: 'none' })}.${part(claims)}.`, '401 auth.token-algorithm'],
      [`${part({ alg: 'HS256', kid: issuer.keys[0]!.kid })}.${part(claims)}.AAAA`, '401 auth.token-algorithm'],
      [await issuer.token({ aud: 'https://other.example.test' }), '401 auth.token-audience'],
      [await issuer.token({ exp: seconds - 60 }), '401 auth.token-expired'],
      [await issuer.token({ nbf: seconds + 600 }), '401 auth.token-not-yet-valid'],
      [await signToken({ ...makeKey(), kid: issuer.keys[0]!.kid }, claims), '401 auth.token-signature'],
    ]
    for (const [token, expected] of attacks) expect(await ask('/mail', bearer(token)), expected).toBe(expected)
    expect(upstream.hits).toHaveLength(1)
    // A bad token on an open operation makes nobody of the caller, and stays here.
    expect(await ask('/health', bearer(attacks[0]![0]))).toBe('200')
    expect(upstream.hits[1]!.headers).not.toHaveProperty('authorization')
    expect(upstream.hits[1]!.headers).not.toHaveProperty('portcullis-subject')
    // Nothing of a token is in the log.
    const log = JSON.stringify(await gate.lines(8))
    for (const [token] of attacks) expect(log).not.toContain(token.slice(-20) || token)
  })

  test('signed with a rotated key pass without a restart; revoked ones stop passing', async () => {
    await openFor()
    const old = await issuer.token({ jti: 'one' })
    expect(await ask('/mail', bearer(old))).toBe('200')
    issuer.rotate()
    expect(await ask('/mail', bearer(await issuer.token()))).toBe('200')
    await revokeToken(gate.running.foundation.store, issuer.url, 'one', 60_000)
    await until(
      async () => (await ask('/mail', bearer(old))) === '401 auth.token-revoked',
      'the revocation to be known',
    )
  })

  test('two in one request are refused, on the wire', async () => {
    await openFor()
    const token = await issuer.token()
    const client = await rawClient(gate.port)
    client.send(
      `GET /mail HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer ${token}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    )
    expect(await client.status()).toBe(400)
    client.destroy()
    expect(upstream.hits).toHaveLength(0)
  })

  test('of an issuer that is down get 503 while API keys go on; a reload then keeps the keys it has', async () => {
    const document = documentWith(
      bearerScheme,
      {},
      {
        '/keyed': { get: { operationId: 'keyed', security: [{ key: [] }], responses: { 200: { description: '' } } } },
      },
    )
    Object.assign(document.components.securitySchemes, { key: { type: 'apiKey', in: 'header', name: 'X-API-Key' } })
    issuer.misbehave = (_, reply) => reply.destroy()
    await openFor({ cooldown: '250ms' }, { document })
    const token = await issuer.token()
    const key = await gate.key()
    expect(await ask('/mail', bearer(token))).toBe('503 auth.issuer-unreachable')
    expect(await ask('/keyed', { 'x-api-key': key })).toBe('200')
    expect(gate.messages.some(({ level, message }) => level === 'error' && message.startsWith('issuer main:'))).toBe(
      true,
    )
    issuer.misbehave = undefined
    await until(async () => (await ask('/mail', bearer(token))) === '200', 'the issuer to be asked again')
    issuer.misbehave = (_, reply) => reply.destroy()
    await gate.reload({ api: { authorize: { acl: [{ match: 'op:sendMail', allow: [] }] } } })
    expect(await ask('/mail', bearer(token))).toBe('200')
    expect(await ask('/mail', bearer(await issuer.token()))).toBe('200')
    expect(await ask('/mail', bearer(token), 'POST')).toBe('403 authorize.acl')
  })
})

describe('N4: opaque tokens', () => {
  test('are asked about once, honour scope and expiry from the cache, and stop when revoked', async () => {
    issuer = await startIssuer()
    const introspection = { clientId: issuer.client.id, clientSecret: '${INTROSPECTION_SECRET}', cacheTtl: '400ms' }
    await open({
      document: documentWith(oauthScheme, { get: ['mail.read'], post: ['mail.send'] }),
      root: { issuers: { main: { issuer: issuer.url, audience, introspection } } },
      env: { INTROSPECTION_SECRET: issuer.client.secret },
    })
    const token = issuer.opaque({ scope: 'mail.read', client_id: 'web' })
    expect(await ask('/mail', bearer(token))).toBe('200')
    expect(await ask('/mail', bearer(token), 'POST')).toBe('403 security.insufficient_scope')
    expect(issuer.asked.get('/introspect')).toBe(1)
    expect(upstream.hits).toHaveLength(1)
    expect(upstream.hits[0]!.headers).toMatchObject({ 'portcullis-subject': 'alice', 'portcullis-application': 'web' })
    issuer.revoke(token)
    const revokedAt = Date.now()
    await until(async () => (await ask('/mail', bearer(token))) === '401 auth.token-inactive', 'the answer to grow old')
    expect(Date.now() - revokedAt).toBeLessThan(2_000)
  })
})

describe('N9: session cookies', () => {
  test('pass when they are valid and come encrypted; missing, forged and ended ones get 401', async () => {
    const cookie = sessionCookie({ name: '__Host-mail', sameSite: 'Strict' })
    await open({
      document: documentWith({ type: 'apiKey', in: 'cookie', name: '__Host-mail' }),
      api: { auth: ['session'] },
      root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }] },
    })
    const sessions = createSessions({ store: gate.running.foundation.store, log: silentLogger })
    const id = await sessions.create({ subject: 'alice', ttlMs: 60_000 })
    expect(cookie.set(id, 60)).toMatch(/^__Host-mail=pcs_\w+; .*Path=\/; Secure; HttpOnly; SameSite=Strict$/)
    const sent = `theme=dark; ${cookie.set(id, 60).split(';')[0]}`
    expect(await ask('/mail', { cookie: sent })).toBe('200')
    expect(upstream.hits[0]!.headers.cookie).toBe('theme=dark')
    expect(upstream.hits[0]!.headers['portcullis-subject']).toBe('alice')
    expect(await ask('/mail')).toBe('401 security.credential-missing')
    expect(await ask('/mail', { cookie: `__Host-mail=pcs_${'A'.repeat(43)}` })).toBe('401 auth.session-refused')
    expect(await ask('/mail', { cookie: sent, origin: 'https://evil.example.test' }, 'POST')).toMatch(/^403 /)
    await sessions.revoke(id)
    expect(await ask('/mail', { cookie: sent })).toBe('401 auth.session-refused')
    expect(upstream.hits).toHaveLength(1)
  })
})

describe('T4: client certificates', () => {
  test('name the caller; none, a foreign one and a revoked one get 401', async () => {
    const [authority, stranger] = await Promise.all([testAuthority(), testAuthority('Stranger')])
    const server = await testCertificate(authority)
    const alice = await testCertificate(authority, { subject: 'CN=alice,O=Acme', names: ['alice.example.test'] })
    const listed = await testCertificate(authority, { subject: 'CN=bob' })
    const crl = await testCertificate(authority, { subject: 'CN=carol' })
    const foreign = await testCertificate(stranger, { subject: 'CN=alice,O=Acme' })
    await open({
      document: documentWith({ type: 'mutualTLS' }),
      api: { auth: { methods: ['mtls'], mtls: { revoked: [listed.serialNumber] } } },
      root: {
        listen: [
          {
            port: 0,
            host: '127.0.0.1',
            tls: { certificate: './server.pem', key: './server.key', clientCa: './ca.pem', clientCrl: './crl.pem' },
          },
        ],
      },
      files: {
        'server.pem': server.certificate,
        'server.key': server.key,
        'ca.pem': authority.pem,
        'crl.pem': await testCrl(authority, [crl.serialNumber]),
      },
    })
    async function as(client: { certificate: string; key: string } | undefined): Promise<string> {
      const shown = client === undefined ? {} : { cert: client.certificate, key: client.key }
      const agent = new Agent({ connect: { ca: authority.pem, servername: 'localhost', ...shown } })
      const reply = await fetch(`${gate.url}/mail`, { dispatcher: agent })
      const text = await reply.text()
      await agent.destroy()
      return reply.ok ? '200' : `${reply.status} ${(JSON.parse(text) as { code: string }).code}`
    }
    expect(await as(alice)).toBe('200')
    expect(upstream.hits[0]!.headers).toMatchObject({
      'portcullis-subject': 'O=Acme,CN=alice',
      'portcullis-credential': 'mtls',
    })
    expect(await as(undefined)).toBe('401 security.credential-missing')
    expect(await as(listed)).toBe('401 auth.certificate-revoked')
    expect(await as(crl)).toBe('401 security.credential-missing')
    expect(await as(foreign)).toBe('401 security.credential-missing')
    expect(upstream.hits).toHaveLength(1)
  })
})

describe('N10: every request is authenticated', () => {
  const keyScheme = { type: 'apiKey', in: 'header', name: 'X-API-Key' }
  const silent = { '/silent': { get: { operationId: 'silent', responses: { 200: { description: '' } } } } }

  test('an operation without security is refused at boot, unless the configuration says what it is', async () => {
    const document = documentWith(keyScheme, {}, silent)
    await expect(startGate({ upstream: upstream.url, document })).rejects.toThrow(/\/silent/)
    await open({ document, api: { unsecured: 'authenticate' } })
    expect(await ask('/silent')).toBe('401 security.credential-missing')
    expect(await ask('/silent', { 'x-api-key': await gate.key() })).toBe('200')
    expect(await ask('/health')).toBe('200')
  })

  test('an operation declared public in the document is open, and only that one', async () => {
    const open200 = {
      get: { operationId: 'open', 'x-portcullis': { public: true }, responses: { 200: { description: '' } } },
    }
    await open({ document: documentWith(keyScheme, {}, { '/open': open200 }) })
    expect(await ask('/open')).toBe('200')
    expect(await ask('/mail')).toBe('401 security.credential-missing')
  })

  test('every served version asks for the credential', async () => {
    const document = documentWith(keyScheme)
    await open({
      document,
      api: { versions: { v2: { path: '/v2' }, v1: { path: '/v1', openapi: './old.json' } } },
      files: { 'old.json': JSON.stringify(document) },
    })
    const key = await gate.key()
    for (const version of ['/v1', '/v2']) {
      expect(await ask(`${version}/mail`)).toBe('401 security.credential-missing')
      expect(await ask(`${version}/mail`, { 'x-api-key': 'bad' })).toBe('401 auth.api-key-unknown')
      expect(await ask(`${version}/mail`, { 'x-api-key': key })).toBe('200')
      expect(await ask(`${version}/health`)).toBe('200')
    }
    expect(upstream.hits).toHaveLength(4)
  })

  test('a WebSocket upgrade without credential gets 401 and never reaches the upstream; with one it talks', async () => {
    const sockets = new WebSocketServer({ noServer: true })
    let upgrades = 0
    upstream.server.on('upgrade', (request, socket, head) => {
      upgrades++
      sockets.handleUpgrade(request, socket, head, (peer) => peer.on('message', (data) => peer.send(`echo ${data}`)))
    })
    const document = documentWith(
      keyScheme,
      {},
      {
        '/live': { get: { operationId: 'live', security: [{ main: [] }], responses: { 101: { description: '' } } } },
      },
    )
    await open({ document })
    const client = await rawClient(gate.port)
    client.send(
      'GET /live HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
    )
    expect(await client.status()).toBe(401)
    client.destroy()
    expect(upgrades).toBe(0)
    const socket = new WebSocket(`ws://127.0.0.1:${gate.port}/live`, { headers: { 'x-api-key': await gate.key() } })
    const answer = await new Promise<string>((resolve, reject) => {
      socket.once('open', () => socket.send('hello'))
      socket.once('message', (data) => resolve(String(data)))
      socket.once('error', reject)
    })
    expect(answer).toBe('echo hello')
    expect(upgrades).toBe(1)
    socket.terminate()
    sockets.close()
    upstream.server.removeAllListeners('upgrade')
  })
})

describe('rights', () => {
  const keyScheme = { type: 'apiKey', in: 'header', name: 'X-API-Key' }

  test('Z1: a listed caller passes, another gets 403, and the log names the rule', async () => {
    await open({
      document: documentWith(keyScheme),
      api: { authorize: { acl: [{ match: 'POST /mail', allow: ['app:postman'] }] } },
    })
    expect(await ask('/mail', { 'x-api-key': await gate.key({ name: 'postman' }) }, 'POST')).toBe('200')
    expect(await ask('/mail', { 'x-api-key': await gate.key({ name: 'other' }) }, 'POST')).toBe('403 authorize.acl')
    expect(upstream.hits).toHaveLength(1)
    const line = (await gate.lines(2)).find(({ status }) => status === 403)!
    expect(line.denial).toEqual({
      code: 'authorize.acl',
      evidence: { rule: 'authorize.acl[0]', match: 'POST /mail', list: 'allow' },
    })
  })

  test('Z2: a viewer reads and does not write, an editor does both', async () => {
    await open({
      document: documentWith(keyScheme),
      api: { authorize: { roles: { viewer: ['read'], editor: ['read', 'write'] } } },
    })
    const [viewer, editor] = [await gate.key({ roles: ['viewer'] }), await gate.key({ roles: ['editor'] })]
    expect(await ask('/mail', { 'x-api-key': viewer })).toBe('200')
    expect(await ask('/mail', { 'x-api-key': viewer }, 'POST')).toBe('403 authorize.permission-missing')
    expect(await ask('/mail', { 'x-api-key': editor })).toBe('200')
    expect(await ask('/mail', { 'x-api-key': editor }, 'POST')).toBe('200')
    expect(await ask('/health')).toBe('200')
  })

  test('Z5: scope mail.read reads mail and does not send it', async () => {
    issuer = await startIssuer()
    await open({
      document: documentWith(oauthScheme, { get: ['mail.read'], post: ['mail.send'] }),
      root: { issuers: { main: { issuer: issuer.url, audience } } },
    })
    const headers = bearer(await issuer.token({ scope: 'mail.read' }))
    expect(await ask('/mail', headers)).toBe('200')
    const refused = await gate.fetch('/mail', { method: 'POST', headers })
    expect(refused.status).toBe(403)
    expect(refused.headers.get('www-authenticate')).toBe(
      'Bearer realm="test", error="insufficient_scope", scope="mail.send"',
    )
    expect(upstream.hits).toHaveLength(1)
  })
})

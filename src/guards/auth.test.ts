import { createHmac } from 'node:crypto'
import type { PeerCertificate } from 'node:tls'
import fc from 'fast-check'
import { CompactSign, UnsecuredJWT } from 'jose'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type CallInput,
  type Guarded,
  type GuardedInput,
  guarded,
  makeDocument,
  type TestClock,
  testClock,
} from '../../test/kit/calls.ts'
import { audience, jwkOf, makeKey, signToken, startIssuer, type TestIssuer } from '../../test/kit/issuer.ts'
import { silentLogger } from '../base/log.ts'
import { createApiKeys } from '../credentials/api-keys.ts'
import { revokeToken } from '../credentials/revoked-tokens.ts'
import { createSessions } from '../credentials/sessions.ts'
import { createUsers } from '../credentials/users.ts'
import type { Denial } from '../gate/verdict.ts'
import { auth } from './auth.ts'
import { security } from './security.ts'

const guards = [auth, security]
const bearerDocument = makeDocument({ token: { type: 'http', httpScheme: 'bearer' } }, [{ security: [{ token: [] }] }])
const keyDocument = makeDocument({ key: { type: 'apiKey', in: 'header', parameterName: 'X-Shop-Key' } }, [
  { security: [{ key: [] }] },
])

/** Status and code of a refusal, or who was let in. */
async function outcome(gate: Guarded, input: CallInput): Promise<string> {
  const { verdict, exchange } = await gate.call(input)
  if (verdict === undefined) return `${exchange.principal?.via} ${exchange.principal?.subject}`
  const { status, code } = verdict as Denial
  return `${status} ${code}`
}

const bearer = (token: string): CallInput => ({ headers: { authorization: `Bearer ${token}` } })

describe('N3: a JWT', () => {
  let issuer: TestIssuer
  let now: TestClock
  let gate: Guarded

  beforeAll(async () => {
    now = testClock()
    issuer = await startIssuer({ now: () => now() })
  })
  beforeEach(async () => {
    issuer.misbehave = undefined
    // A clock of its own for each test: what hangs on a clock is shared by those who have the same.
    const start = now()
    now = testClock(start)
    gate = await open()
  })
  afterAll(() => issuer.stop())

  const open = (settings: object = {}, more: Partial<GuardedInput> = {}) =>
    guarded({
      guards,
      document: bearerDocument,
      root: { issuers: { main: { issuer: issuer.url, audience, ...settings } } },
      host: { now },
      ...more,
    })
  const seconds = () => Math.floor(now() / 1000)

  test('of a trusted issuer lets its subject in, with its scopes, roles and application', async () => {
    const token = await issuer.token({ scope: 'read write', roles: ['admin'], client_id: 'web' })
    for (let i = 0; i < 2; i++) {
      const { verdict, exchange } = await gate.call(bearer(token))
      expect(verdict).toBeUndefined()
      expect(exchange.principal).toMatchObject({ subject: 'alice', kind: 'bearer', via: 'main', application: 'web' })
      expect([...exchange.principal!.scopes]).toEqual(['read', 'write'])
      expect([...exchange.principal!.roles]).toEqual(['admin'])
    }
  })

  test('is the same principal object when it comes again, and the answer then needs no promise', async () => {
    const token = await issuer.token()
    const first = await gate.call(bearer(token))
    const second = await gate.call(bearer(token))
    expect(second.exchange.principal).toBe(first.exchange.principal)
    expect(gate.callNow(second.exchange)).not.toBeInstanceOf(Promise)
  })

  test.each(['bearer', 'BEARER', 'Bearer', 'bEaReR'])('is read behind "%s"', async (scheme) => {
    const token = await issuer.token()
    expect(await outcome(gate, { headers: { authorization: `${scheme}  ${token}` } })).toBe('main alice')
  })

  test.each([
    ['RS256', 'main alice'],
    ['PS256', 'main alice'],
    ['ES256', 'main alice'],
    ['EdDSA', 'main alice'],
    ['RS512', '401 auth.token-algorithm'],
    ['ES384', '401 auth.token-algorithm'],
  ])('signed with %s, by default: %s', async (alg, expected) => {
    const key = makeKey(alg)
    const fixed = await open({ jwks: { keys: [jwkOf(key)] } })
    expect(await outcome(fixed, bearer(await issuer.token({}, { key })))).toBe(expected)
  })

  test('is not found in any other text that an Authorization header may hold', async () => {
    const token = await issuer.token()
    await fc.assert(
      fc.asyncProperty(
        fc.oneof(
          fc.string({ maxLength: 60 }),
          fc.string({ maxLength: 30 }).map((text) => `Bearer ${text}`),
          fc
            .tuple(
              fc.nat(token.length),
              fc.string({ minLength: 1, maxLength: 3 }).filter((text) => text.trim() !== ''),
            )
            .map(([at, text]) => `Bearer ${token.slice(0, at)}${text}${token.slice(at)}`),
        ),
        async (authorization) => {
          const { verdict } = await gate.call({ headers: { authorization } })
          expect(verdict).toMatchObject({ kind: 'denial', status: 401 })
        },
      ),
      { numRuns: 300 },
    )
  })

  describe('is refused with 401', () => {
    const attacks: [string, (token: string) => Promise<string> | string, string][] = [
      [
        'when it is not signed',
        () => new UnsecuredJWT({ iss: issuer.url, aud: audience, sub: 'a', exp: seconds() + 60 }).encode(),
        'auth.token-algorithm',
      ],
      [
        'with alg none in capitals and a signature',
        (token) => withHeader(token, { alg: 'NONE', kid: issuer.keys[0]!.kid }),
        'auth.token-algorithm',
      ],
      ['when HS256 was made with the public key (RS/HS confusion)', () => confused(), 'auth.token-algorithm'],
      [
        'when it is signed by nobody we know',
        () => signToken({ ...makeKey(), kid: issuer.keys[0]!.kid }, claims()),
        'auth.token-signature',
      ],
      ['when its signature is cut off', (token) => token.slice(0, token.lastIndexOf('.') + 1), 'auth.token-signature'],
      ['when its signature is shortened', (token) => token.slice(0, -8), 'auth.token-signature'],
      ['when its claims were changed', (token) => withClaims(token, { sub: 'admin' }), 'auth.token-signature'],
      ['for another audience', () => issuer.token({ aud: 'https://other.example.test' }), 'auth.token-audience'],
      ['for several other audiences', () => issuer.token({ aud: ['a', 'b'] }), 'auth.token-audience'],
      [
        'for an audience that only begins like ours',
        () => issuer.token({ aud: `${audience}/` }),
        'auth.token-audience',
      ],
      ['without an audience', () => issuer.token({ aud: undefined as never }), 'auth.token-audience'],
      ['of another issuer', () => issuer.token({ iss: 'https://evil.example.test' }), 'auth.token-issuer'],
      [
        'of an issuer that only ends in a slash more',
        () => issuer.token({ iss: `${issuer.url}/` }),
        'auth.token-issuer',
      ],
      ['without an issuer', () => issuer.token({ iss: undefined as never }), 'auth.token-issuer'],
      ['that has expired', () => issuer.token({ exp: seconds() - 6 }), 'auth.token-expired'],
      ['without an end', () => issuer.token({ exp: undefined as never }), 'auth.token-claims'],
      ['whose end is a text', () => issuer.token({ exp: '9999999999' as never }), 'auth.token-claims'],
      ['that begins in the future', () => issuer.token({ nbf: seconds() + 60 }), 'auth.token-not-yet-valid'],
      ['whose time of issue is a text', () => issuer.token({ iat: '0' as never }), 'auth.token-claims'],
      ['that was issued in the future', () => issuer.token({ iat: seconds() + 60 }), 'auth.token-not-yet-valid'],
      ['whose beginning is a text', () => issuer.token({ nbf: '0' as never }), 'auth.token-claims'],
      ['without a subject', () => issuer.token({ sub: undefined as never }), 'auth.token-claims'],
      ['with an empty subject', () => issuer.token({ sub: '' }), 'auth.token-claims'],
      [
        'with a critical header that nobody knows',
        () => issuer.token({}, { header: { crit: ['exp'], exp: 1 } }).catch(() => critical()),
        'auth.token-critical',
      ],
      ['that says it is something else', () => issuer.token({}, { header: { typ: 'logout+jwt' } }), 'auth.token-type'],
      [
        'with a key id that does not exist',
        () => signToken({ ...issuer.keys[0]!, kid: 'nobody' }, claims()),
        'auth.token-key',
      ],
      [
        'with a key id that is a path',
        () => signToken({ ...issuer.keys[0]!, kid: '../../../dev/null' }, claims()),
        'auth.token-key',
      ],
      [
        'with a key id that is SQL',
        () => signToken({ ...issuer.keys[0]!, kid: "' UNION SELECT 'key" }, claims()),
        'auth.token-key',
      ],
      [
        'with a key id that every object has',
        () => signToken({ ...issuer.keys[0]!, kid: '__proto__' }, claims()),
        'auth.token-key',
      ],
      ['that brings its own key', () => bringsOwnKey('jwk'), 'auth.token-signature'],
      ['that says where its key is', () => bringsOwnKey('jku'), 'auth.token-signature'],
      ['that says where its certificate is', () => bringsOwnKey('x5u'), 'auth.token-signature'],
      [
        'that is bound to a key nobody has shown',
        () => issuer.token({ cnf: { 'x5t#S256': 'AAAA' } }),
        'auth.token-unbound',
      ],
      ['that is bound in a way not known here', () => issuer.token({ cnf: { osc: 'AAAA' } }), 'auth.token-unbound'],
      [
        'that is bound to something unreadable',
        () => issuer.token({ cnf: { 'x5t#S256': 7 as unknown as string } }),
        'auth.token-unbound',
      ],
      [
        'whose binding is no object',
        () => issuer.token({ cnf: 'x5t#S256' as unknown as object }),
        'auth.token-unbound',
      ],
      ['that is too long', () => issuer.token({ note: 'x'.repeat(8192) }), 'auth.token-malformed'],
      ['that is no token', () => 'abc', 'auth.token-malformed'],
      ['with bytes after it', (token) => `${token}, ${token}`, 'auth.token-malformed'],
      ['encrypted (JWE)', (token) => `${token}.${token.split('.').slice(0, 2).join('.')}`, 'auth.token-malformed'],
    ]

    test.each(attacks)('%s', async (_, make, code) => {
      const token = await make(await issuer.token())
      const { verdict } = await gate.call(bearer(token))
      expect(verdict).toMatchObject({ status: 401, code })
      const challenge = (verdict as Denial).headers!['WWW-Authenticate']!
      expect(challenge).toMatch(
        /^Bearer realm="test", resource_metadata="https:\/\/api\.example\.test\/\.well-known\/oauth-protected-resource", error="invalid_token", error_description="[^"]+"$/,
      )
      // Neither the caller nor the log is shown the token.
      expect(JSON.stringify(verdict)).not.toContain(token.slice(0, 40))
    })

    const claims = () => ({ iss: issuer.url, aud: audience, sub: 'alice', exp: seconds() + 60 })
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
    const withHeader = (token: string, header: object) => [part(header), ...token.split('.').slice(1)].join('.')
    function withClaims(token: string, changes: object) {
      const [header, payload, signature] = token.split('.') as [string, string, string]
      const all = { ...JSON.parse(Buffer.from(payload, 'base64url').toString()), ...changes }
      return [header, part(all), signature].join('.')
    }
    function confused() {
      const { kid, publicKey } = issuer.keys[0]!
      const input = `${part({ alg: 'HS256', kid })}.${part(claims())}`
      const pem = publicKey.export({ type: 'spki', format: 'pem' })
      return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
    }
    function critical() {
      const { kid, alg, privateKey } = issuer.keys[0]!
      return new CompactSign(Buffer.from(JSON.stringify(claims())))
        .setProtectedHeader({ alg, kid, crit: ['urn:example:new'], 'urn:example:new': true })
        .sign(privateKey, { crit: { 'urn:example:new': true } })
    }
    function bringsOwnKey(how: 'jwk' | 'jku' | 'x5u') {
      const own = { ...makeKey(), kid: issuer.keys[0]!.kid }
      const value = how === 'jwk' ? jwkOf(own) : 'http://127.0.0.1:1/keys'
      return signToken(own, claims(), { [how]: value })
    }
  })

  test.each([
    ['exp', -4_999, 'main alice'],
    ['exp', -5_000, '401 auth.token-expired'],
    ['nbf', 5_000, 'main alice'],
    ['nbf', 6_000, '401 auth.token-not-yet-valid'],
    ['iat', 5_000, 'main alice'],
    ['iat', 6_000, '401 auth.token-not-yet-valid'],
  ])('is judged by %s within the clock tolerance of 5 s: %d ms', async (claim, offset, expected) => {
    // Whole seconds in claims, so the clock moves instead.
    const token = await issuer.token({ [claim]: seconds() + (claim === 'exp' ? 0 : offset / 1000) })
    if (claim === 'exp') now.advance(-offset - (now() % 1000))
    expect(await outcome(gate, bearer(token))).toBe(expected)
  })

  test('that was accepted before is refused from the moment it expires', async () => {
    const token = await issuer.token({ exp: seconds() + 60 })
    expect(await outcome(gate, bearer(token))).toBe('main alice')
    now.advance(64_999 - (now() % 1000))
    expect(await outcome(gate, bearer(token))).toBe('main alice')
    now.advance(1)
    expect(await outcome(gate, bearer(token))).toBe('401 auth.token-expired')
  })

  test('that was accepted before is refused as soon as it is revoked', async () => {
    const token = await issuer.token({ jti: 'token-1' })
    const other = await issuer.token({ jti: 'token-2' })
    expect(await outcome(gate, bearer(token))).toBe('main alice')
    await revokeToken(gate.store, issuer.url, 'token-1', 300_000)
    await expect.poll(() => outcome(gate, bearer(token))).toBe('401 auth.token-revoked')
    expect(await outcome(gate, bearer(other))).toBe('main alice')
  })

  test('signed with a key that the issuer has just begun to use is accepted without a restart', async () => {
    expect(await outcome(gate, bearer(await issuer.token()))).toBe('main alice')
    issuer.rotate()
    expect(await outcome(gate, bearer(await issuer.token()))).toBe('main alice')
  })

  test('that was accepted before is refused once its key is withdrawn', async () => {
    const token = await issuer.token({ exp: seconds() + 7200 })
    expect(await outcome(gate, bearer(token))).toBe('main alice')
    issuer.rotate({ dropOld: true })
    expect(await outcome(gate, bearer(token))).toBe('main alice')
    now.advance(600_000)
    // The refresh runs behind this request; soon after it the old key is gone.
    await expect.poll(() => outcome(gate, bearer(token))).toBe('401 auth.token-key')
  })

  test('waits for nobody at start: with its issuer down its tokens get 503, and 200 when it is back', async () => {
    issuer.misbehave = (_, reply) => reply.writeHead(500).end()
    const errors: string[] = []
    now = testClock(now())
    const late = await open(
      { cooldown: '1s' },
      { host: { now, log: { ...silentLogger, error: (text) => errors.push(text) } } },
    )
    const token = await issuer.token()
    expect(await outcome(late, bearer(token))).toBe('503 auth.issuer-unreachable')
    expect(errors.join()).toMatch(
      /issuer main: its keys cannot be fetched: .* answered 500; its tokens are answered 503/,
    )
    issuer.misbehave = undefined
    now.advance(1_000)
    expect(await outcome(late, bearer(token))).toBe('main alice')
  })

  test('is refused while the issuer answers with something that is no key set', async () => {
    for (const body of ['', 'no json', '[]', '{"keys":1}', `{"keys":[],"pad":"${'x'.repeat(300_000)}"}`]) {
      now = testClock(now())
      issuer.misbehave = (_, reply) => reply.writeHead(200).end(body)
      const broken = await open({ jwks: `${issuer.url}/jwks` })
      expect(await outcome(broken, bearer(await issuer.token())), body.slice(0, 20)).toBe('503 auth.issuer-unreachable')
      await broken.close()
    }
  })

  test('is refused when the key set is behind a redirect', async () => {
    now = testClock(now())
    issuer.misbehave = (request, reply) => {
      if (request.url === '/jwks') reply.writeHead(302, { location: `${issuer.url}/jwks2` }).end()
      else reply.writeHead(200).end(JSON.stringify({ keys: issuer.keys.map(jwkOf) }))
    }
    const moved = await open({ jwks: `${issuer.url}/jwks` })
    expect(await outcome(moved, bearer(await issuer.token()))).toBe('503 auth.issuer-unreachable')
    expect(issuer.asked.get('/jwks2')).toBeUndefined()
  })

  test('is refused when the metadata speaks for another issuer', async () => {
    now = testClock(now())
    issuer.metadata = { issuer: 'https://evil.example.test' }
    const other = await open()
    expect(await outcome(other, bearer(await issuer.token()))).toBe('503 auth.issuer-unreachable')
    issuer.metadata = {}
  })

  test.each([
    [{ algorithms: ['ES256'] }, '401 auth.token-algorithm'],
    [{ algorithms: ['RS256'] }, 'main alice'],
    [{ typ: ['at+jwt'] }, '401 auth.token-type'],
    [{ audience: ['https://a.example.test', audience] }, 'main alice'],
    [{ audienceClaim: 'client_id', audience: 'web' }, '401 auth.token-audience'],
    [{ subjectClaim: 'email' }, '401 auth.token-claims'],
  ])('is judged by the settings %j', async (settings, expected) => {
    const strict = await open(settings)
    expect(await outcome(strict, bearer(await issuer.token()))).toBe(expected)
  })

  test('names roles and scopes where the settings say: by a path, or by a claim whose name holds dots', async () => {
    const set = await open({ rolesClaim: 'realm_access.roles', scopesClaim: 'https://example.test/permissions' })
    const token = await issuer.token({
      realm_access: { roles: ['viewer'] },
      'https://example.test/permissions': ['orders:read'],
      roles: ['admin'],
      scope: 'all',
    })
    const { exchange } = await set.call(bearer(token))
    expect([...exchange.principal!.roles]).toEqual(['viewer'])
    expect([...exchange.principal!.scopes]).toEqual(['orders:read'])
  })

  test('signed with a shared secret is accepted only where the issuer has one', async () => {
    const secret = 'a secret of at least thirty-two characters'
    const sign = async (alg: string) =>
      new CompactSign(Buffer.from(JSON.stringify({ iss: 'legacy', aud: audience, sub: 'bob', exp: seconds() + 60 })))
        .setProtectedHeader({ alg })
        .sign(Buffer.from(secret))
    const legacy = await guarded({
      guards,
      document: bearerDocument,
      root: { issuers: { legacy: { issuer: 'legacy', audience, secret } } },
      host: { now },
    })
    expect(await outcome(legacy, bearer(await sign('HS256')))).toBe('legacy bob')
    expect(await outcome(legacy, bearer(await sign('HS384')))).toBe('401 auth.token-algorithm')
  })

  test.each([
    [{ algorithms: ['HS256'] }, /HS256 needs "secret"/],
    [{ secret: 's'.repeat(32), algorithms: ['RS256'] }, /with "secret" only HS256/],
    [{ secret: 's'.repeat(32), jwks: 'https://id.example.test/jwks' }, /both "secret" and "jwks"/],
    [{ jwks: './no-such-file.json' }, /cannot be read/],
    [{ jwks: 'http://id.example.com/jwks' }, /expected an https URL/],
    [{ jwks: { keys: [] } }, /none of the keys/],
    [{ issuer: 'not-a-url' }, /its keys cannot be found/],
  ])('settings that cannot work are refused at load: %j', async (settings, message) => {
    await expect(open(settings)).rejects.toThrow(message)
  })

  test('of two issuers is judged only by the keys of the one it names', async () => {
    const second = await startIssuer({ now })
    const both = await guarded({
      guards,
      document: bearerDocument,
      root: { issuers: { main: { issuer: issuer.url, audience }, second: { issuer: second.url, audience } } },
      host: { now },
    })
    expect(await outcome(both, bearer(await issuer.token()))).toBe('main alice')
    expect(await outcome(both, bearer(await second.token()))).toBe('second alice')
    expect(await outcome(both, bearer(await second.token({ iss: issuer.url })))).toBe('401 auth.token-key')
    await second.stop()
  })

  test('is withheld from the upstream, unless credentials are forwarded', async () => {
    const token = await issuer.token()
    expect((await gate.call(bearer(token))).exchange.withheldHeaders).toEqual(['authorization'])
    const forwarding = await open({}, { options: { auth: { forwardCredentials: true } } })
    expect((await forwarding.call(bearer(token))).exchange.withheldHeaders).toEqual([])
    expect((await forwarding.call(bearer('bad'))).exchange.withheldHeaders).toEqual(['authorization'])
  })
})

describe('N4: an opaque token', () => {
  let issuer: TestIssuer
  let now: TestClock
  let gate: Guarded
  const scoped = makeDocument({ oauth: { type: 'oauth2' } }, [
    { id: 'read', security: [{ oauth: ['read'] }] },
    { id: 'write', method: 'POST', security: [{ oauth: ['write'] }] },
  ])

  beforeEach(async () => {
    now = testClock()
    issuer = await startIssuer({ now })
    const introspection = {
      endpoint: `${issuer.url}/introspect`,
      clientId: issuer.client.id,
      clientSecret: issuer.client.secret,
    }
    gate = await guarded({
      guards,
      document: scoped,
      root: { issuers: { main: { issuer: issuer.url, audience, introspection } } },
      host: { now },
    })
    return () => issuer.stop()
  })
  const asked = () => issuer.asked.get('/introspect') ?? 0
  const at = (operation: string, token: string) => gate.call({ operation, ...bearer(token) })

  test('that is active lets in, and is asked about once within the cache time', async () => {
    const token = issuer.opaque({ scope: 'read', client_id: 'web' })
    const all = await Promise.all([1, 2, 3].map(() => at('read', token)))
    expect(all.map(({ verdict }) => verdict)).toEqual([undefined, undefined, undefined])
    expect(all[0]!.exchange.principal).toMatchObject({ subject: 'alice', via: 'main', application: 'web' })
    now.advance(29_999)
    expect((await at('read', token)).verdict).toBeUndefined()
    expect(asked()).toBe(1)
  })

  test('from the cache that lacks the scope gets 403, on every operation that needs it', async () => {
    const token = issuer.opaque({ scope: 'read' })
    expect((await at('read', token)).verdict).toBeUndefined()
    expect((await at('write', token)).verdict).toMatchObject({ status: 403, code: 'security.insufficient_scope' })
    expect(asked()).toBe(1)
  })

  test('that was revoked is refused within the cache time', async () => {
    const token = issuer.opaque({ scope: 'read' })
    expect((await at('read', token)).verdict).toBeUndefined()
    issuer.revoke(token)
    now.advance(30_000)
    expect((await at('read', token)).verdict).toMatchObject({ status: 401, code: 'auth.token-inactive' })
  })

  test('that expires sooner than the cache is refused then', async () => {
    const token = issuer.opaque({ scope: 'read', exp: Math.floor(now() / 1000) + 10 })
    expect((await at('read', token)).verdict).toBeUndefined()
    now.advance(10_000)
    expect((await at('read', token)).verdict).toMatchObject({ status: 401, code: 'auth.token-inactive' })
  })

  test('that is not active is remembered shortly, so that it is not asked about at each try', async () => {
    for (let i = 0; i < 5; i++) expect((await at('read', 'unknown')).verdict).toMatchObject({ status: 401 })
    expect(asked()).toBe(1)
    now.advance(5_000)
    await at('read', 'unknown')
    expect(asked()).toBe(2)
  })

  test('is asked about where the metadata says, which is looked up once', async () => {
    const introspection = { clientId: issuer.client.id, clientSecret: issuer.client.secret }
    const root = { issuers: { main: { issuer: issuer.url, audience, introspection } } }
    const found = await guarded({ guards, document: scoped, root, host: { now: testClock(now()) } })
    for (let i = 0; i < 3; i++) {
      const token = issuer.opaque({ scope: 'read' })
      expect((await found.call({ operation: 'read', ...bearer(token), at: now() })).verdict).toBeUndefined()
    }
    expect(asked()).toBe(3)
    expect(issuer.asked.get('/.well-known/openid-configuration')).toBe(1)
  })

  test('gets 503, not 401, where the gate itself is refused by the issuer', async () => {
    const introspection = { endpoint: `${issuer.url}/introspect`, clientId: 'gate', clientSecret: 'wrong' }
    const root = { issuers: { main: { issuer: issuer.url, audience, introspection } } }
    const wrong = await guarded({ guards, document: scoped, root, host: { now: testClock(now()) } })
    const { verdict } = await wrong.call({ operation: 'read', ...bearer(issuer.opaque({ scope: 'read' })), at: now() })
    expect(verdict).toMatchObject({ status: 503, evidence: { issuer: 'main' } })
    expect(JSON.stringify(verdict)).not.toContain('wrong')
  })

  test('for another audience, or from another issuer, is refused', async () => {
    for (const claims of [{ aud: 'other' }, { iss: 'https://other.example.test' }]) {
      expect((await at('read', issuer.opaque({ scope: 'read', ...claims }))).verdict).toMatchObject({ status: 401 })
    }
  })

  test('gets 503 while the issuer cannot be asked, and is not let in by an old answer', async () => {
    const token = issuer.opaque({ scope: 'read' })
    expect((await at('read', token)).verdict).toBeUndefined()
    issuer.misbehave = (_, reply) => reply.destroy()
    now.advance(30_000)
    expect((await at('read', token)).verdict).toMatchObject({ status: 503, code: 'auth.issuer-unreachable' })
    issuer.misbehave = undefined
    expect((await at('read', token)).verdict).toBeUndefined()
  })
})

describe('N1: an API key', () => {
  test('is read from the header of the document, from X-API-Key where it names none, and behind Bearer', async () => {
    const gate = await guarded({ guards, document: keyDocument })
    const { key, record } = await createApiKeys({ store: gate.store }).create({ name: 'partner', roles: ['viewer'] })
    expect(await outcome(gate, { headers: { 'x-shop-key': key } })).toBe(`apiKey ${record.id}`)
    expect(await outcome(gate, bearer(key))).toBe(`apiKey ${record.id}`)
    expect(await outcome(gate, { headers: { 'x-api-key': key } })).toBe('401 security.credential-missing')
    const plain = await guarded({ guards, document: bearerDocument, host: { store: gate.store } })
    expect(await outcome(plain, { headers: { 'x-api-key': key } })).toBe(`apiKey ${record.id}`)
    const { exchange } = await plain.call({ headers: { 'x-api-key': key } })
    expect(exchange.principal).toMatchObject({ application: 'partner', kind: 'apiKey' })
    expect(exchange.withheldHeaders).toEqual(['x-api-key'])
  })

  test('is read from Authorization without a word before it where the document says so', async () => {
    const document = makeDocument({ key: { type: 'apiKey', in: 'header', parameterName: 'Authorization' } }, [
      { security: [{ key: [] }] },
    ])
    const gate = await guarded({ guards, document })
    const { key, record } = await createApiKeys({ store: gate.store }).create({ name: 'partner' })
    for (const authorization of [key, `Bearer ${key}`, `ApiKey ${key}`]) {
      expect(await outcome(gate, { headers: { authorization } })).toBe(`apiKey ${record.id}`)
    }
  })

  test('is read from a cookie where the document says so', async () => {
    const document = makeDocument({ key: { type: 'apiKey', in: 'cookie', parameterName: 'sid' } }, [
      { security: [{ key: [] }] },
    ])
    const gate = await guarded({ guards, document })
    const { key, record } = await createApiKeys({ store: gate.store }).create({ name: 'partner' })
    const { exchange } = await gate.call({ headers: { cookie: `a=b; sid=${key}` } })
    expect(exchange.principal?.subject).toBe(record.id)
    expect(exchange.withheldCookies).toEqual(['sid'])
  })

  test('that is unknown, expired, revoked or sent twice gets 401; from a foreign address 403', async () => {
    const now = testClock()
    const gate = await guarded({ guards, document: keyDocument, host: { now } })
    const keys = createApiKeys({ store: gate.store, now })
    const made = await keys.create({ name: 'a', expiresAt: now() + 1_000, cidrs: ['192.0.2.0/24'] })
    const send = (key: string, address = '192.0.2.7') => outcome(gate, { headers: { 'x-shop-key': key }, address })
    expect(await send(made.key)).toBe(`apiKey ${made.record.id}`)
    expect(await send(made.key, '192.0.3.1')).toBe('403 auth.api-key-address')
    expect(await send(`${made.key}, ${made.key}`)).toBe('401 auth.api-key-unknown')
    expect(await send(`${made.key.slice(0, -1)}~`)).toBe('401 auth.api-key-unknown')
    expect(await send('')).toBe('401 auth.api-key-unknown')
    now.advance(999)
    expect(await send(made.key)).toBe(`apiKey ${made.record.id}`)
    now.advance(1)
    expect(await send(made.key)).toBe('401 auth.api-key-expired')
    const second = await keys.create({ name: 'b' })
    expect(await send(second.key)).toBe(`apiKey ${second.record.id}`)
    await keys.revoke(second.record.id)
    expect(await send(second.key)).toBe('401 auth.api-key-revoked')
  })

  test('beside another credential: both must be good, and the first in `auth` is the caller', async () => {
    const now = testClock()
    const issuer = await startIssuer({ now })
    const root = { issuers: { main: { issuer: issuer.url, audience } } }
    const document = makeDocument(
      {
        key: { type: 'apiKey', in: 'header', parameterName: 'X-API-Key' },
        token: { type: 'http', httpScheme: 'bearer' },
      },
      [
        { id: 'both', security: [{ key: [], token: ['read'] }] },
        { id: 'either', security: [{ key: [] }, { token: [] }] },
        { id: 'open', security: [] },
      ],
    )
    const gate = await guarded({ guards, document, root, options: { auth: ['main', 'apiKey'] }, host: { now } })
    const { key } = await createApiKeys({ store: gate.store, now }).create({ name: 'partner' })
    const token = await issuer.token({ scope: 'read' })
    const call = (operation: string, headers: Record<string, string>) => gate.call({ operation, headers })
    const good = { 'x-api-key': key, authorization: `Bearer ${token}` }
    for (const operation of ['both', 'either']) {
      const { verdict, exchange } = await call(operation, good)
      expect(verdict).toBeUndefined()
      expect(exchange.principal?.via).toBe('main')
      expect((await call(operation, { ...good, 'x-api-key': 'bad' })).verdict).toMatchObject({ status: 401 })
      expect((await call(operation, { ...good, authorization: 'Bearer bad' })).verdict).toMatchObject({ status: 401 })
    }
    expect((await call('both', { 'x-api-key': key })).verdict).toMatchObject({ code: 'security.credential-unfit' })
    expect((await call('both', { authorization: good.authorization })).verdict).toMatchObject({ status: 401 })
    const poor = `Bearer ${await issuer.token()}`
    expect((await call('both', { ...good, authorization: poor })).verdict).toMatchObject({ status: 403 })
    // On an open operation a bad credential makes nobody of the caller, and does not reach the upstream.
    const open = await call('open', { ...good, 'x-api-key': 'bad' })
    expect(open.verdict).toBeUndefined()
    expect(open.exchange.principal).toBeUndefined()
    expect(open.exchange.withheldHeaders).toEqual(['authorization', 'x-api-key'])
    await issuer.stop()
  })
})

describe('N2: HTTP Basic', () => {
  const document = makeDocument({ login: { type: 'http', httpScheme: 'basic' } }, [{ security: [{ login: [] }] }])
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` })
  let gate: Guarded
  beforeAll(async () => {
    gate = await guarded({ guards, document, options: { auth: ['basic'] } })
    const users = createUsers({ store: gate.store, cost: { memoryKiB: 1_024, passes: 1, lanes: 1 } })
    await users.set('zoë', 'correct: horse', { roles: ['viewer'] })
  })

  test('lets the right name and password in, colons and letters of any script included', async () => {
    expect(await outcome(gate, { headers: basic('zoë:correct: horse') })).toBe('basic zoë')
  })

  test('answers a wrong password and an unknown name alike', async () => {
    const replies = await Promise.all(
      ['zoë:wrong password', 'nobody:wrong password'].map(
        async (pair) => (await gate.call({ headers: basic(pair) })).verdict as Denial,
      ),
    )
    expect(replies[0]).toEqual(replies[1])
    expect(replies[0]).toMatchObject({ status: 401, code: 'auth.basic-refused' })
    expect(replies[0]!.headers).toEqual({ 'WWW-Authenticate': 'Basic realm="test", charset="UTF-8"' })
  })

  test('N8: the sixth wrong password from one network is answered 429, and the right one there too', async () => {
    const ask = (pair: string, address: string) => outcome(gate, { headers: basic(pair), address })
    for (let i = 0; i < 5; i++) expect(await ask(`zoë:wrong ${i}`, '2001:db8::1')).toBe('401 auth.basic-refused')
    expect(await ask('zoë:wrong 5', '2001:db8::2')).toBe('429 auth.basic-locked')
    expect(await ask('zoë:correct: horse', '2001:db8::1')).toBe('429 auth.basic-locked')
    expect(await ask('zoë:correct: horse', '198.51.100.1')).toBe('basic zoë')
  })

  test('over plain HTTP is refused with 403 before the password is read', async () => {
    let asked = 0
    const { store } = gate
    const counting = {
      ...store,
      get(key: string) {
        asked++
        return store.get(key)
      },
    }
    const plain = await guarded({ guards, document, options: { auth: ['basic'] }, host: { store: counting } })
    const peer = { encrypted: false }
    expect(await outcome(plain, { headers: basic('zoë:correct: horse'), peer })).toBe('403 auth.unencrypted')
    expect(await outcome(plain, { headers: { authorization: 'Basic not-even-base64' }, peer })).toBe(
      '403 auth.unencrypted',
    )
    expect(asked).toBe(0)
  })

  test.each([
    'Basic',
    'Basic ',
    'Basic !!!',
    `Basic ${Buffer.from('nocolon').toString('base64')}`,
    `Basic ${Buffer.from([0x61, 0x3a, 0xff]).toString('base64')}`,
    `Basic ${Buffer.from('a\0:b').toString('base64')}`,
    `Basic ${Buffer.from(`a:${'b'.repeat(2000)}`).toString('base64')}`,
  ])('that cannot be read gets 401: %s', async (authorization) => {
    expect((await gate.call({ headers: { authorization } })).verdict).toMatchObject({ status: 401 })
  })
})

describe('N9: a session cookie', () => {
  const document = makeDocument({ session: { type: 'apiKey', in: 'cookie', parameterName: '__Host-shop' } }, [
    { id: 'read', security: [{ session: [] }] },
    { id: 'write', method: 'POST', security: [{ session: [] }] },
  ])
  let gate: Guarded
  let now: TestClock
  let id: string
  beforeEach(async () => {
    now = testClock()
    gate = await guarded({
      guards,
      document,
      options: { auth: { methods: ['session'], session: { origins: ['https://app.example.test'] } } },
      host: { now },
    })
    const sessions = createSessions({ store: gate.store, log: silentLogger, now })
    id = await sessions.create({ subject: 'alice', claims: { roles: ['editor'] }, ttlMs: 60_000 })
  })
  const cookie = (value: string) => ({ cookie: `theme=dark; __Host-shop=${value}` })

  test('that is valid lets in, with the roles of the session, and is withheld', async () => {
    const { verdict, exchange } = await gate.call({ headers: cookie(id) })
    expect(verdict).toBeUndefined()
    expect(exchange.principal).toMatchObject({ subject: 'alice', via: 'session' })
    expect([...exchange.principal!.roles]).toEqual(['editor'])
    expect(exchange.withheldCookies).toEqual(['__Host-shop'])
  })

  test('that is missing, forged or expired gets 401', async () => {
    expect(await outcome(gate, {})).toBe('401 security.credential-missing')
    expect(await outcome(gate, { headers: { cookie: 'theme=dark' } })).toBe('401 security.credential-missing')
    expect(await outcome(gate, { headers: cookie('pcs_forged') })).toBe('401 auth.session-refused')
    expect(await outcome(gate, { headers: cookie(`${id.slice(0, -1)}${id.endsWith('a') ? 'b' : 'a'}`) })).toBe(
      '401 auth.session-refused',
    )
    now.advance(60_000)
    expect(await outcome(gate, { headers: cookie(id) })).toBe('401 auth.session-refused')
  })

  test('is refused over plain HTTP', async () => {
    expect(await outcome(gate, { headers: cookie(id), peer: { encrypted: false } })).toBe('403 auth.unencrypted')
  })

  test.each([
    ['write', { origin: 'https://evil.example.test' }, '403 auth.session-cross-site'],
    ['write', { origin: 'null' }, '403 auth.session-cross-site'],
    ['write', { origin: 'http://api.example.test' }, '403 auth.session-cross-site'],
    ['write', { 'sec-fetch-site': 'cross-site' }, '403 auth.session-cross-site'],
    ['write', { origin: 'https://api.example.test' }, 'session alice'],
    ['write', { origin: 'https://app.example.test', 'sec-fetch-site': 'same-site' }, 'session alice'],
    ['write', {}, 'session alice'],
    ['read', { origin: 'https://evil.example.test' }, 'session alice'],
  ])('changes nothing from a foreign page: %s with %j', async (operation, headers, expected) => {
    const input = { operation, headers: { ...cookie(id), ...headers } }
    expect(await outcome(gate, input)).toBe(expected)
  })

  test('may stand in a header where the settings say so, for which no browser vouches', async () => {
    const options = { auth: { methods: ['session'], session: { header: 'X-Session' } } }
    const set = await guarded({ guards, document, options, host: { now, store: gate.store } })
    const headers = { 'x-session': id, origin: 'https://evil.example.test' }
    const { verdict, exchange } = await set.call({ operation: 'write', headers })
    expect(verdict).toBeUndefined()
    expect(exchange.withheldHeaders).toEqual(['x-session'])
    expect(await outcome(set, { headers: { 'x-session': 'pcs_forged' } })).toBe('401 auth.session-refused')
    expect(await outcome(set, { headers, peer: { encrypted: false } })).toBe('403 auth.unencrypted')
    expect(await outcome(gate, { headers })).toBe('401 security.credential-missing')
  })

  test('opens no WebSocket from a foreign page', async () => {
    const headers = { ...cookie(id), origin: 'https://evil.example.test' }
    expect(await outcome(gate, { headers, upgrade: 'websocket' })).toBe('403 auth.session-cross-site')
  })
})

describe('T4: a client certificate', () => {
  const document = makeDocument({ cert: { type: 'mutualTLS' } }, [{ security: [{ cert: [] }] }])
  const certificate = {
    subject: { C: 'DE', O: 'Acme, Inc.', CN: 'alice' },
    issuer: { CN: 'Acme CA' },
    subjectaltname: 'URI:spiffe://acme/alice, DNS:alice.example.test, email:"alice, admin@example.test"',
    serialNumber: '0A1B2C',
    fingerprint256: 'AB:CD',
    valid_to: 'Nov 22 13:00:00 2026 GMT',
  } as unknown as PeerCertificate
  const open = (mtls: object = {}) => guarded({ guards, document, options: { auth: { methods: ['mtls'], mtls } } })

  test.each([
    ['subject', 'CN=alice,O=Acme\\, Inc.,C=DE'],
    ['commonName', 'alice'],
    ['uri', 'spiffe://acme/alice'],
    ['dns', 'alice.example.test'],
    ['email', 'alice, admin@example.test'],
    ['fingerprint', 'AB:CD'],
  ])('names the caller by its %s: %s', async (subject, name) => {
    expect(await outcome(await open({ subject }), { peer: { certificate } })).toBe(`mtls ${name}`)
  })

  test('that is missing, revoked, without the needed name, or expired since the connection began gets 401', async () => {
    expect(await outcome(await open(), {})).toBe('401 security.credential-missing')
    expect(await outcome(await open({ revoked: ['0a:1b:2c'] }), { peer: { certificate } })).toBe(
      '401 auth.certificate-revoked',
    )
    expect(await outcome(await open({ revoked: ['0a:1b:2d'] }), { peer: { certificate } })).toMatch(/^mtls/)
    const bare = { ...certificate, subjectaltname: undefined } as unknown as PeerCertificate
    expect(await outcome(await open({ subject: 'uri' }), { peer: { certificate: bare } })).toBe(
      '401 auth.certificate-unnamed',
    )
    const end = Date.parse(certificate.valid_to)
    expect(await outcome(await open(), { peer: { certificate }, at: end - 1 })).toMatch(/^mtls/)
    expect(await outcome(await open(), { peer: { certificate }, at: end })).toBe('401 auth.certificate-expired')
  })

  test('that a token is bound to must be the one of the connection', async () => {
    const now = testClock()
    const issuer = await startIssuer({ now })
    const root = { issuers: { main: { issuer: issuer.url, audience } } }
    const gate = await guarded({ guards, document: bearerDocument, root, host: { now } })
    const thumbprint = Buffer.from('ABCD', 'hex').toString('base64url')
    const token = await issuer.token({ cnf: { 'x5t#S256': thumbprint } })
    const other = { ...certificate, fingerprint256: 'AB:CE' } as PeerCertificate
    for (let i = 0; i < 2; i++) {
      expect(await outcome(gate, { ...bearer(token), peer: { certificate } })).toBe('main alice')
      expect(await outcome(gate, { ...bearer(token), peer: { certificate: other } })).toBe('401 auth.token-unbound')
      expect(await outcome(gate, bearer(token))).toBe('401 auth.token-unbound')
    }
    await issuer.stop()
  })
})

describe('settings of auth', () => {
  test.each([
    [['apiKey', 'unknown'], {}, /"unknown" is neither a method nor one of `issuers`/],
    [{ key: ['main'] }, {}, /"main" is neither/],
    [
      ['apiKey'],
      { issuers: { basic: { issuer: 'https://id.example.test', audience, jwks: { keys: [] } } } },
      /this name is taken/,
    ],
    [{ metods: ['apiKey'] }, {}, /"metods" is no security scheme/],
  ])('that name nobody are refused: %j', async (options, root, message) => {
    await expect(guarded({ guards, document: keyDocument, options: { auth: options }, root })).rejects.toThrow(message)
  })

  test('a credential that no listed method reads is none, and passes to the upstream', async () => {
    const gate = await guarded({ guards, document: keyDocument })
    const { key } = await createApiKeys({ store: gate.store }).create({ name: 'partner' })
    const { verdict, exchange } = await gate.call({
      headers: { 'x-shop-key': key, authorization: 'Bearer for-the-upstream' },
    })
    expect(verdict).toBeUndefined()
    expect(exchange.withheldHeaders).toEqual(['x-shop-key'])
  })
})

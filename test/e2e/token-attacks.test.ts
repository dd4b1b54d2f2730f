import { createHmac, X509Certificate } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { CompactSign } from 'jose'
import { Agent, request } from 'undici'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { revokeToken } from '../../src/credentials/revoked-tokens.ts'
import { type DpopKey, dpopKey, dpopProof } from '../kit/dpop.ts'
import { spawnGate, startGate, type TestGate, until } from '../kit/gate.ts'
import { audience, jwkOf, makeKey, signToken, startIssuer, type TestIssuer } from '../kit/issuer.ts'
import { type TestCertificate, testAuthority, testCertificate } from '../kit/pki.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'

/*
 * Attacks on access tokens, against two listening gates that share their state. None of them may reach the upstream. The
 * many ways in which one proof can be wrong are tables in src/guards/auth/dpop.test.ts.
 */

const noServices = (await services.missing('postgres')) || (await services.missing('redis'))

const responses = { 200: { description: 'Done.' } }
const scheme = {
  type: 'oauth2',
  flows: {
    clientCredentials: { tokenUrl: 'https://id.example.test/token', scopes: { 'mail.read': '', 'mail.send': '' } },
  },
}
const document = {
  openapi: '3.1.0',
  info: { title: 'Mail', version: '1' },
  servers: [{ url: 'https://api.example.test/v1' }],
  components: { securitySchemes: { main: scheme } },
  paths: {
    '/mail': {
      get: { operationId: 'readMail', security: [{ main: [] }], responses },
      post: { operationId: 'sendMail', security: [{ main: ['mail.send'] }], responses },
    },
    '/slow': { get: { operationId: 'slow', security: [{ main: [] }], responses } },
    '/safe': { get: { operationId: 'openSafe', security: [{ main: [] }], responses } },
  },
}

const flavours = [
  {
    name: 'SQLite and memory',
    skip: false,
    shared: false,
    async start() {
      const dir = await mkdtemp(join(tmpdir(), 'portcullis-tokens-'))
      return {
        root: { store: { url: `sqlite:${join(dir, 'state.db')}` } },
        close: () => rm(dir, { recursive: true, force: true }),
      }
    },
  },
  {
    name: 'PostgreSQL and Redis',
    skip: noServices,
    shared: true,
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

describe.each(flavours.filter(({ skip }) => !skip))('attacks on tokens, $name', ({ start, shared }) => {
  let upstream: TestUpstream
  let state: Awaited<ReturnType<typeof start>>
  let issuer: TestIssuer
  let gate: TestGate
  let other: TestGate
  let certificates: Record<'alice' | 'mallory', TestCertificate>
  let agents: Record<'none' | 'alice' | 'mallory', Agent>
  let answerSlow: (() => void) | undefined

  beforeAll(async () => {
    upstream = await startUpstream((hit, reply) => {
      if (hit.url?.endsWith('/slow')) answerSlow = () => reply.end('{}')
      else reply.end('{}')
    })
    issuer = await startIssuer()
    state = await start()
    const authority = await testAuthority()
    const server = await testCertificate(authority, { names: ['localhost', 'api.example.test'] })
    certificates = {
      alice: await testCertificate(authority, { subject: 'CN=alice' }),
      mallory: await testCertificate(authority, { subject: 'CN=mallory' }),
    }
    const agent = (client?: TestCertificate) =>
      new Agent({
        connect: {
          ca: authority.pem,
          servername: 'localhost',
          ...(client === undefined ? {} : { cert: client.certificate, key: client.key }),
        },
      })
    agents = { none: agent(), alice: agent(certificates.alice), mallory: agent(certificates.mallory) }
    const open = () =>
      startGate({
        document,
        upstream: upstream.url,
        files: { 'server.pem': server.certificate, 'server.key': server.key, 'ca.pem': authority.pem },
        api: {
          limits: { mode: 'off' },
          auth: {
            methods: ['main'],
            failures: '1000/min',
            stepUp: [{ match: 'op:openSafe', acr: ['mfa', 'phr'], maxAge: '5m' }],
          },
        },
        root: {
          ...state.root,
          secrets: { sealWith: 'ab'.repeat(32) },
          trustedProxies: ['127.0.0.1/32'],
          listen: [
            {
              port: 0,
              host: '127.0.0.1',
              tls: { certificate: './server.pem', key: './server.key', clientCa: './ca.pem' },
            },
          ],
          issuers: { main: { issuer: issuer.url, audience } },
        },
      })
    gate = await open()
    other = await open()
  })
  beforeEach(() => {
    upstream.hits.length = 0
  })
  afterAll(async () => {
    await Promise.all(Object.values(agents).map((agent) => agent.destroy()))
    await Promise.all([gate.stop(), other.stop()])
    await Promise.all([upstream.stop(), issuer.stop(), state.close()])
  })

  interface Asked {
    readonly at?: TestGate
    readonly path?: string
    readonly method?: string
    readonly as?: 'none' | 'alice' | 'mallory'
  }

  async function reply(
    headers: Record<string, string>,
    { at = gate, path = '/v1/mail', method = 'GET', as = 'none' }: Asked = {},
  ) {
    const answer = await request(`${at.url}${path}`, { method: method as 'GET', headers, dispatcher: agents[as] })
    const text = await answer.body.text()
    return {
      outcome:
        answer.statusCode < 400
          ? String(answer.statusCode)
          : `${answer.statusCode} ${(JSON.parse(text) as { code: string }).code}`,
      headers: answer.headers,
      text,
    }
  }
  const ask = async (headers: Record<string, string>, asked?: Asked) => (await reply(headers, asked)).outcome
  const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
  const seconds = () => Math.floor(Date.now() / 1000)
  const part = (value: unknown) =>
    Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
  const claims = (more: object = {}) => ({
    iss: issuer.url,
    aud: audience,
    sub: 'mallory',
    exp: seconds() + 60,
    ...more,
  })

  /** Signed by the issuer's own key over exactly these bytes. */
  async function signedOver(header: Record<string, unknown>, payload: string): Promise<string> {
    const { alg, kid, privateKey } = issuer.keys[0]!
    return new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, kid, ...header }).sign(privateKey)
  }

  const forger = makeKey()
  const withOwnKey = (header: object) => signToken({ ...forger, kid: issuer.keys[0]!.kid }, claims(), { ...header })
  const foreign: [string, () => Promise<string> | string, string][] = [
    ['unsigned', () => `${part({ alg: 'none' })}.${part(claims())}.`, 'auth.token-algorithm'],
    ['unsigned, in other letters', () => `${part({ alg: 'nOnE' })}.${part(claims())}.`, 'auth.token-algorithm'],
    [
      'signed with the public key as a secret (RS/HS confusion)',
      () => {
        const { kid, publicKey } = issuer.keys[0]!
        const input = `${part({ alg: 'HS256', kid })}.${part(claims())}`
        const pem = publicKey.export({ type: 'spki', format: 'pem' })
        return `${input}.${createHmac('sha256', pem).update(input).digest('base64url')}`
      },
      'auth.token-algorithm',
    ],
    ['whose key id is a path', () => signToken({ ...forger, kid: '../../../../dev/null' }, claims()), 'auth.token-key'],
    ['whose key id is SQL', () => signToken({ ...forger, kid: "x' UNION SELECT 'AA" }, claims()), 'auth.token-key'],
    ['that brings its key along (jwk)', () => withOwnKey({ jwk: jwkOf(forger) }), 'auth.token-signature'],
    ['that says where its key is (jku)', () => withOwnKey({ jku: `${upstream.url}/keys` }), 'auth.token-signature'],
    [
      'that says where its certificate is (x5u)',
      () => withOwnKey({ x5u: `${upstream.url}/c` }),
      'auth.token-signature',
    ],
    ['that brings a certificate along (x5c)', () => withOwnKey({ x5c: ['AAAA'] }), 'auth.token-signature'],
    [
      'with an extension that is critical',
      () => `${part({ alg: 'RS256', crit: ['x'], x: 1 })}.${part(claims())}.AA`,
      'auth.token-critical',
    ],
    [
      'with a payload that is not encoded (b64)',
      () => `${part({ alg: 'RS256', b64: false })}.${part(claims())}.AA`,
      'auth.token-critical',
    ],
    [
      'with a claim that stands twice',
      () => signedOver({}, JSON.stringify(claims()).replace('"sub"', '"sub":"admin","sub"')),
      'auth.token-malformed',
    ],
    ['that has expired', () => issuer.token({ exp: seconds() - 10 }), 'auth.token-expired'],
    ['that begins later', () => issuer.token({ nbf: seconds() + 60 }), 'auth.token-not-yet-valid'],
    ['that was issued later', () => issuer.token({ iat: seconds() + 60 }), 'auth.token-not-yet-valid'],
    ['for another audience', () => issuer.token({ aud: 'https://other.example.test' }), 'auth.token-audience'],
    ['of another issuer', () => issuer.token({ iss: 'https://evil.example.test' }), 'auth.token-issuer'],
    ['that is an ID token', () => issuer.token({ aud: 'web', nonce: 'n' }), 'auth.token-audience'],
    ['that is a logout token', () => issuer.token({}, { header: { typ: 'logout+jwt' } }), 'auth.token-type'],
    [
      'with another token inside (nested)',
      async () => signedOver({ cty: 'JWT' }, await issuer.token()),
      'auth.token-malformed',
    ],
    ['that is huge', () => issuer.token({ note: 'x'.repeat(8_192) }), 'auth.token-malformed'],
    [
      'that is nested deep',
      () => signedOver({}, `${JSON.stringify(claims()).slice(0, -1)},"a":${'['.repeat(500)}${']'.repeat(500)}}`),
      'auth.token-malformed',
    ],
  ]
  test.each(foreign)('a token %s is refused, and the upstream hears nothing', async (_, make, code) => {
    expect(await ask(bearer(await make()))).toBe(`401 ${code}`)
    expect(upstream.hits).toHaveLength(0)
  })

  test('the challenge leads to the metadata of the API, which names the issuer and the scopes (RFC 9728)', async () => {
    const { headers } = await reply(bearer('abc'))
    const [, url] = /resource_metadata="([^"]+)"/.exec(String(headers['www-authenticate']))!
    expect(url).toBe(`${gate.url}/.well-known/oauth-protected-resource/v1`)
    const metadata = await reply({}, { path: url!.slice(gate.url.length) })
    expect(metadata.headers['content-type']).toBe('application/json')
    expect(JSON.parse(metadata.text)).toMatchObject({
      resource: `${gate.url}/v1`,
      authorization_servers: [issuer.url],
      scopes_supported: ['mail.send'],
      bearer_methods_supported: ['header'],
      dpop_signing_alg_values_supported: expect.arrayContaining(['ES256']),
    })
    expect(await ask({}, { path: '/.well-known/oauth-protected-resource/other' })).toBe('404 unlisted.path')
  })

  describe('N7: a stolen token', () => {
    let key: DpopKey
    let token: string
    const url = () => `${gate.url}/v1/mail`
    const shown = async (change: Partial<Parameters<typeof dpopProof>[1]> = {}, by = key) => ({
      authorization: `DPoP ${token}`,
      dpop: await dpopProof(by, { token, url: url(), ...change }),
    })
    beforeAll(async () => {
      key = await dpopKey()
      token = await issuer.token({ cnf: { jkt: key.thumbprint }, scope: 'mail.send' })
    })

    test('that is bound to a key passes with its proof, and is worth nothing without', async () => {
      expect(await ask(await shown())).toBe('200')
      expect(await ask(await shown({ method: 'POST' }), { method: 'POST' })).toBe('200')
      expect(upstream.hits).toHaveLength(2)
      expect(upstream.hits[0]!.headers).not.toHaveProperty('authorization')
      expect(upstream.hits[0]!.headers).not.toHaveProperty('dpop')
      expect(await ask(bearer(token))).toBe('401 auth.token-unbound')
      expect(await ask({ authorization: `DPoP ${token}` })).toBe('401 auth.dpop-proof')
      expect(await ask(await shown({}, await dpopKey()))).toBe('401 auth.dpop-proof')
      expect(await ask(await shown({ url: `${gate.url}/v1/slow` }))).toBe('401 auth.dpop-proof')
      expect(await ask(await shown({ method: 'POST' }))).toBe('401 auth.dpop-proof')
      expect(await ask(await shown({ token: 'another' }))).toBe('401 auth.dpop-proof')
      expect(upstream.hits).toHaveLength(2)
    })

    test('with its proof passes once', async () => {
      const sent = await shown()
      expect(await ask(sent)).toBe('200')
      expect(await ask(sent)).toBe('401 auth.dpop-replayed')
      const raced = await shown()
      const outcomes = await Promise.all(Array.from({ length: 10 }, () => ask(raced)))
      expect(outcomes.filter((one) => one === '200')).toHaveLength(1)
      expect(upstream.hits).toHaveLength(2)
    })

    test.runIf(shared)('with its proof passes once at all gates together', async () => {
      // Behind one name, as a balancer has it.
      const host = { host: 'api.example.test' }
      const sent = { ...host, ...(await shown({ url: 'https://api.example.test/v1/mail' })) }
      const outcomes = await Promise.all([gate, other, gate, other].map((at) => ask(sent, { at })))
      expect(outcomes.sort()).toEqual(['200', ...Array.from({ length: 3 }, () => '401 auth.dpop-replayed')])
      expect(upstream.hits).toHaveLength(1)
    })

    test('that is bound to a certificate passes over that connection alone', async () => {
      const { fingerprint256 } = new X509Certificate(certificates.alice.certificate)
      const thumbprint = Buffer.from(fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')
      const certain = await issuer.token({ cnf: { 'x5t#S256': thumbprint } })
      expect(await ask(bearer(certain), { as: 'alice' })).toBe('200')
      expect(await ask(bearer(certain), { as: 'mallory' })).toBe('401 auth.token-unbound')
      expect(await ask(bearer(certain))).toBe('401 auth.token-unbound')
      expect(upstream.hits).toHaveLength(1)
    })
  })

  test('N6: an operation that asks for more tells so, and passes after the caller has stepped up (RFC 9470)', async () => {
    const path = '/v1/safe'
    const old = bearer(await issuer.token({ acr: 'mfa', auth_time: seconds() - 301 }))
    const weak = bearer(await issuer.token({ acr: 'pwd', auth_time: seconds() }))
    const silent = bearer(await issuer.token())
    for (const headers of [old, weak, silent]) {
      const { outcome, headers: told } = await reply(headers, { path })
      expect(outcome).toBe('401 auth.insufficient_user_authentication')
      expect(told['www-authenticate']).toMatch(
        /^Bearer realm="test", .*error="insufficient_user_authentication", .*acr_values="mfa phr", max_age="300"$/,
      )
      expect(await ask(headers)).toBe('200')
    }
    upstream.hits.length = 0
    expect(await ask(bearer(await issuer.token({ acr: 'phr', auth_time: seconds() - 290 })), { path })).toBe('200')
    expect(upstream.hits).toHaveLength(1)
  })

  test('a token that is revoked while a request is in flight ends with it, at every gate within a second', async () => {
    const token = await issuer.token({ jti: `in-flight-${shared}` })
    expect(await ask(bearer(token), { at: other })).toBe('200')
    const flying = ask(bearer(token), { path: '/v1/slow' })
    await until(() => answerSlow !== undefined, 'the slow request')
    await revokeToken(gate.running.foundation.store, issuer.url, `in-flight-${shared}`, 60_000)
    const revokedAt = Date.now()
    for (const at of [gate, other]) {
      await until(async () => (await ask(bearer(token), { at })) === '401 auth.token-revoked', 'the refusal', 2_000)
    }
    expect(Date.now() - revokedAt).toBeLessThan(1_000)
    answerSlow!()
    answerSlow = undefined
    // What had begun while it was good is answered.
    expect(await flying).toBe('200')
  })

  test('N8: a flood of wrong tokens from one network is answered 429 and told as one event; others are served', async () => {
    const strict = { failures: '5/min', methods: ['main'] }
    await gate.reload({ api: { limits: { mode: 'off' }, auth: strict } })
    await other.reload({ api: { limits: { mode: 'off' }, auth: strict } })
    const from = (address: string, token: string, at = gate) =>
      ask({ ...bearer(token), 'x-forwarded-for': address }, { at })
    const good = await issuer.token({ jti: 'seen' })
    expect(await from('192.0.2.9', good)).toBe('200')
    const { kid } = issuer.keys[0]!
    const forged = (i: number) => signToken({ ...forger, kid }, claims({ jti: String(i) }))
    for (let i = 0; i < 5; i++) expect(await from('192.0.2.9', await forged(i))).toBe('401 auth.token-signature')
    await until(
      async () => (await from('192.0.2.9', await forged(9))) === '429 auth.token-flood',
      'the budget to be spent',
    )
    if (shared) {
      // Another gate finds out with the first wrong one.
      await from('192.0.2.9', await forged(10), other)
      await until(
        async () => (await from('192.0.2.9', await forged(11), other)) === '429 auth.token-flood',
        'it to be told',
      )
    }
    expect(await from('192.0.2.9', good)).toBe('200')
    expect(await from('198.51.100.9', await issuer.token({ jti: 'elsewhere' }))).toBe('200')
    const events = await until(async () => {
      const found = (await gate.lines()).filter(({ event }) => event === 'token.flood')
      return found.length > 0 ? found : undefined
    }, 'the event')
    expect(events).toHaveLength(1)
    expect(JSON.stringify(events)).not.toContain('eyJ')
  })
})

test('N7: a proof passes once over all worker processes, and a flood of wrong tokens is counted over them', {
  timeout: 60_000,
}, async () => {
  const [upstream, issuer, key] = await Promise.all([startUpstream(), startIssuer(), dpopKey()])
  const gate = await spawnGate({
    document,
    upstream: upstream.url,
    api: { limits: { mode: 'off' }, auth: { methods: ['main'], failures: '5/h' } },
    root: { workers: 2, issuers: { main: { issuer: issuer.url, audience } } },
  })
  // Each request over a connection of its own, so that both workers get some.
  const ask = async (headers: Record<string, string>) => {
    const agent = new Agent()
    const { statusCode, body } = await request(`${gate.url}/v1/mail`, { headers, dispatcher: agent })
    await body.dump()
    await agent.destroy()
    return statusCode
  }
  try {
    const token = await issuer.token({ cnf: { jkt: key.thumbprint } })
    for (let round = 0; round < 3; round++) {
      const dpop = await dpopProof(key, { token, url: `${gate.url}/v1/mail` })
      // One after another: what is refused as used before counts against the network, too.
      const outcomes = [
        await ask({ authorization: `DPoP ${token}`, dpop }),
        await ask({ authorization: `DPoP ${token}`, dpop }),
      ]
      expect(outcomes).toEqual([200, 401])
    }
    const wrong = async (i: number) => `${(await issuer.token({ jti: String(i) })).slice(0, -12)}AAAAAAAAAAAA`
    const outcomes: number[] = []
    for (let i = 0; i < 12; i++) outcomes.push(await ask({ authorization: `Bearer ${await wrong(i)}` }))
    expect(outcomes.at(-1)).toBe(429)
    // Three replays and two more spent it; each worker may have looked at one more before it was told.
    expect(outcomes.filter((status) => status === 401).length).toBeLessThanOrEqual(5)
  } finally {
    await gate.stop()
    await gate.remove()
    await Promise.all([upstream.stop(), issuer.stop()])
  }
})

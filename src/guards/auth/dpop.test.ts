import { createHmac } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  type CallInput,
  type Guarded,
  guarded,
  makeDocument,
  memoryStore,
  type TestClock,
  testClock,
} from '../../../test/kit/calls.ts'
import { type DpopKey, dpopKey, dpopProof, type ProofInput } from '../../../test/kit/dpop.ts'
import { audience, startIssuer, type TestIssuer } from '../../../test/kit/issuer.ts'
import { testVault } from '../../../test/kit/vault.ts'
import type { SecurityEvent } from '../../base/events.ts'
import type { Denial } from '../../gate/verdict.ts'
import { CountersUnavailable } from '../../store/counters.ts'
import { auth } from '../auth.ts'
import { security } from '../security.ts'

const guards = [auth, security]
const document = makeDocument({ token: { type: 'http', httpScheme: 'bearer' } }, [{ security: [{ token: [] }] }])
const url = 'https://api.example.test/orders'

let issuer: TestIssuer
let now: TestClock
let gate: Guarded
let key: DpopKey
let token: string

beforeAll(async () => {
  now = testClock()
  issuer = await startIssuer({ now: () => now() })
  key = await dpopKey()
})
beforeEach(async () => {
  now = testClock(Math.floor(now() / 1000) * 1000)
  gate = await open()
  token = await bound(key)
})
afterAll(() => issuer.stop())

function open(settings: object = {}, host: object = {}, options: object = {}): Promise<Guarded> {
  return guarded({
    guards,
    document,
    root: { issuers: { main: { issuer: issuer.url, audience, ...settings } } },
    options: { auth: { methods: ['main'], ...options } },
    host: { now, ...host },
  })
}

const bound = ({ thumbprint }: DpopKey) => issuer.token({ cnf: { jkt: thumbprint } })

async function shown(input: Partial<ProofInput> = {}, by = key): Promise<CallInput> {
  const proof = await dpopProof(by, { token, url, at: now(), ...input })
  return { headers: { authorization: `DPoP ${token}`, dpop: proof } }
}

async function outcome(of: Guarded, input: CallInput): Promise<string> {
  const { verdict, exchange } = await of.call(input)
  if (verdict === undefined) return `${exchange.principal?.via} ${exchange.principal?.subject}`
  const { status, code, evidence } = verdict as Denial
  const { reason } = (evidence ?? {}) as { reason?: string }
  return reason === undefined ? `${status} ${code}` : `${status} ${code} ${reason}`
}

describe('N7: a token bound to a key (RFC 9449)', () => {
  test.each(['ES256', 'ES384', 'EdDSA', 'PS256', 'RS256'] as const)(
    'passes with a proof signed by that key: %s',
    async (alg) => {
      const own = await dpopKey(alg)
      token = await bound(own)
      expect(await outcome(gate, await shown({}, own))).toBe('main alice')
      // Seen before, with a new proof.
      expect(await outcome(gate, await shown({}, own))).toBe('main alice')
    },
  )

  test('needs no promise when it comes again', async () => {
    await gate.call(await shown())
    const { exchange } = await gate.call(await shown())
    Object.assign(exchange.headers, (await shown()).headers)
    expect(gate.callNow(exchange)).not.toBeInstanceOf(Promise)
  })

  test('is refused as a bearer token, and the challenge tells how to send it', async () => {
    const { verdict } = await gate.call({ headers: { authorization: `Bearer ${token}` } })
    expect(verdict).toMatchObject({ status: 401, code: 'auth.token-unbound' })
    expect((verdict as Denial).headers!['WWW-Authenticate']).toMatch(
      /^Bearer realm=.*error="invalid_token".*, DPoP realm=.*algs="ES256 /,
    )
    const withProof = { ...(await shown()).headers, authorization: `Bearer ${token}` }
    expect(await outcome(gate, { headers: withProof })).toBe('401 auth.token-unbound')
  })

  test('and no other: what is not bound is no token behind DPoP', async () => {
    token = await issuer.token()
    expect(await outcome(gate, await shown())).toBe('401 auth.dpop-required')
    expect(await outcome(gate, { headers: { authorization: `Bearer ${token}` } })).toBe('main alice')
  })

  test('is all there is where the issuer says `dpop: required`, and nothing where it says `off`', async () => {
    const plain = await issuer.token()
    const required = await open({ dpop: 'required' })
    expect(await outcome(required, { headers: { authorization: `Bearer ${plain}` } })).toBe('401 auth.dpop-required')
    expect(await outcome(required, await shown())).toBe('main alice')
    const { verdict } = await required.call()
    expect((verdict as Denial).headers!['WWW-Authenticate']).toMatch(/^DPoP realm="test", .*algs=/)
    const off = await open({ dpop: 'off' })
    expect(await outcome(off, { headers: { authorization: `Bearer ${plain}` } })).toBe('main alice')
    expect(await outcome(off, await shown())).toBe('401 auth.token-unbound')
  })

  describe('is refused with a proof', () => {
    const wrong: [string, () => Promise<Partial<ProofInput>> | Partial<ProofInput>, string][] = [
      ['for another method', () => ({ method: 'POST' }), 'htm'],
      ['for a method in small letters', () => ({ method: 'get' }), 'htm'],
      ['for another path', () => ({ url: `${url}/1` }), 'htu'],
      ['for another host', () => ({ url: 'https://evil.example.test/orders' }), 'htu'],
      ['for another port', () => ({ url: 'https://api.example.test:8443/orders' }), 'htu'],
      ['for plain http', () => ({ url: 'http://api.example.test/orders' }), 'htu'],
      ['for a URL with a user in it', () => ({ url: 'https://api.example.test@evil.example.test/orders' }), 'htu'],
      ['for a path that only leads there', () => ({ url: 'https://api.example.test/a/../orders' }), 'htu'],
      ['for no URL', () => ({ url: 'orders' }), 'htu'],
      ['without a URL', () => ({ claims: { htu: undefined } }), 'htu'],
      ['without a method', () => ({ claims: { htm: undefined } }), 'htm'],
      ['for another token', () => ({ token: 'another' }), 'ath'],
      ['without the hash of the token', () => ({ claims: { ath: undefined } }), 'ath'],
      ['without an id', () => ({ claims: { jti: undefined } }), 'jti'],
      ['with an empty id', () => ({ claims: { jti: '' } }), 'jti'],
      ['with an id that is too long', () => ({ claims: { jti: 'x'.repeat(257) } }), 'jti'],
      ['without a time', () => ({ claims: { iat: undefined } }), 'iat'],
      ['whose time is a text', () => ({ claims: { iat: '1' } }), 'iat'],
      ['of another type', () => ({ header: { typ: 'jwt' } }), 'key'],
      ['without a type', () => ({ header: { typ: undefined } }), 'key'],
      ['without a key', () => ({ header: { jwk: undefined } }), 'key'],
      [
        'that holds the private key as well',
        () => ({ header: { jwk: key.privateKey.export({ format: 'jwk' }) } }),
        'key',
      ],
      ['whose key is a symmetric one', () => ({ header: { jwk: { kty: 'oct', k: 'AAAA' } } }), 'key'],
      ['that names the key of somebody else', async () => ({ header: { jwk: (await dpopKey()).jwk } }), 'other-key'],
    ]
    test.each(wrong)('%s', async (_, change, reason) => {
      expect(await outcome(gate, await shown(await change()))).toBe(`401 auth.dpop-proof ${reason}`)
      // What is wrong with one proof is not held against the token.
      expect(await outcome(gate, await shown())).toBe('main alice')
    })

    test('signed by another key, whether it says so or not', async () => {
      const thief = await dpopKey()
      expect(await outcome(gate, await shown({}, thief))).toBe('401 auth.dpop-proof other-key')
      expect(await outcome(gate, await shown({ header: { jwk: key.jwk } }, thief))).toBe(
        '401 auth.dpop-proof signature',
      )
    })

    test('signed with nothing, or with the public key as a secret', async () => {
      const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
      const good = (await shown()).headers!.dpop as string
      const [, claims] = good.split('.')
      for (const alg of ['none', 'HS256']) {
        const input = `${part({ alg, typ: 'dpop+jwt', jwk: key.jwk })}.${claims}`
        const signature = createHmac('sha256', JSON.stringify(key.jwk)).update(input).digest('base64url')
        const headers = { authorization: `DPoP ${token}`, dpop: `${input}.${alg === 'none' ? '' : signature}` }
        expect(await outcome(gate, { headers })).toBe('401 auth.dpop-proof algorithm')
      }
    })

    test('whose RSA key is too weak, or so large that checking it would take long', async () => {
      const rsa = await dpopKey('RS256')
      const modulus = (bytes: number) => Buffer.alloc(bytes, 255).toString('base64url')
      const jwks = [
        { ...rsa.jwk, n: modulus(128) },
        { ...rsa.jwk, n: modulus(1_024) },
        { ...rsa.jwk, e: modulus(9) },
        { ...rsa.jwk, e: 'AQ' },
      ]
      for (const jwk of jwks) {
        expect(await outcome(gate, await shown({ header: { jwk } }, rsa))).toBe('401 auth.dpop-proof key')
      }
    })

    test.each([
      ['no proof', undefined, 'missing'],
      ['no JWT', 'abc', 'malformed'],
      ['two of them', 'a.b.c, a.b.c', 'malformed'],
      ['more than it may be', `${'x'.repeat(4_090)}.a.b`, 'malformed'],
    ])('that is %s', async (_, dpop, reason) => {
      const headers = { authorization: `DPoP ${token}`, ...(dpop === undefined ? {} : { dpop }) }
      expect(await outcome(gate, { headers })).toBe(`401 auth.dpop-proof ${reason}`)
    })
  })

  test.each([
    ['a query', `${url}?a=1`],
    ['a fragment', `${url}#x`],
    ['its scheme and host in capitals', 'HTTPS://API.example.test/orders'],
    ['the default port', 'https://api.example.test:443/orders'],
    ['letters percent-encoded', 'https://api.example.test/%6frders'],
  ])('passes where the URL of the proof differs from the request by %s alone', async (_, htu) => {
    expect(await outcome(gate, await shown({ url: htu }))).toBe('main alice')
  })

  test('is compared with the public URL where a proxy in front makes another one of it', async () => {
    const behind = await open({}, {}, { publicUrl: 'https://public.example.test/api/' })
    expect(await outcome(behind, await shown())).toBe('401 auth.dpop-proof htu')
    expect(await outcome(behind, await shown({ url: 'https://public.example.test/api/orders' }))).toBe('main alice')
  })

  test.each([
    [65_000, 'main alice'],
    [66_000, '401 auth.dpop-proof iat'],
    [-5_000, 'main alice'],
    [-6_000, '401 auth.dpop-proof iat'],
  ])('is judged by the age of its proof, 60 s and a tolerance of 5 s: %d ms', async (age, expected) => {
    expect(await outcome(gate, await shown({ at: now() - age }))).toBe(expected)
  })

  test('counts once with each proof, also at another gate with the same counters, until the proof is too old anyway', async () => {
    const { createMemoryCounters } = await import('../../store/counters-memory.ts')
    const counters = createMemoryCounters({ now })
    const [one, other] = [await open({}, { counters }), await open({}, { counters })]
    const call = await shown()
    expect(await outcome(one, call)).toBe('main alice')
    expect(await outcome(one, call)).toBe('401 auth.dpop-replayed')
    expect(await outcome(other, call)).toBe('401 auth.dpop-replayed')
    for (const ms of [30_000, 35_000]) {
      now.advance(ms)
      expect(await outcome(other, call)).toBe('401 auth.dpop-replayed')
    }
    now.advance(10_000)
    expect(await outcome(other, call)).toBe('401 auth.dpop-proof iat')
    // Another key may use the same id.
    const second = await dpopKey()
    const claims = { jti: 'one' }
    expect(await outcome(one, await shown({ claims }))).toBe('main alice')
    token = await bound(second)
    expect(await outcome(one, await shown({ claims }, second))).toBe('main alice')
  })

  test('of a hundred requests with one proof at once exactly one passes', async () => {
    const call = await shown()
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => outcome(gate, call)))
    expect(outcomes.filter((one) => one === 'main alice')).toHaveLength(1)
  })

  test('is refused with 503 while nobody can count its proofs', async () => {
    const counters = {
      take: () => Promise.reject(new CountersUnavailable('down')),
      close: async () => {},
    }
    const alone = await open({}, { counters })
    expect(await outcome(alone, await shown())).toBe('503 auth.dpop-unavailable')
  })

  test('of one network is checked so often and no more, and others are not affected', async () => {
    const few = await open({ dpop: { proofs: '3/s' } })
    const calls = await Promise.all(Array.from({ length: 4 }, () => shown()))
    const at = (address: string, call: CallInput) => outcome(few, { ...call, address })
    for (const call of calls.slice(0, 3)) expect(await at('192.0.2.1', call)).toBe('main alice')
    expect(await at('192.0.2.1', calls[3]!)).toBe('429 auth.dpop-busy')
    // Not even looked at: it is still new elsewhere.
    expect(await at('198.51.100.1', calls[3]!)).toBe('main alice')
    now.advance(1_000)
    expect(await at('192.0.2.1', await shown())).toBe('main alice')
  })

  describe('with `nonce: true`', () => {
    let strict: Guarded
    beforeEach(async () => {
      const store = memoryStore()
      strict = await open({ dpop: { nonce: true } }, { store, vault: () => testVault(store, now) })
    })

    async function nonce(): Promise<string> {
      const { verdict } = await strict.call(await shown())
      expect(verdict).toMatchObject({ status: 401, code: 'auth.dpop-nonce' })
      const { headers } = verdict as Denial
      expect(headers!['WWW-Authenticate']).toContain('error="use_dpop_nonce"')
      return headers!['DPoP-Nonce']!
    }

    test('is asked for the nonce, and passes with it', async () => {
      const given = await nonce()
      expect(await outcome(strict, await shown({ claims: { nonce: given } }))).toBe('main alice')
      expect(await outcome(strict, await shown({ claims: { nonce: `${given}x` } }))).toBe('401 auth.dpop-nonce')
      expect(await outcome(strict, await shown({ claims: { nonce: 7 } }))).toBe('401 auth.dpop-nonce')
    })

    test('is given a new nonce before the old one ends', async () => {
      const first = await nonce()
      now.advance(300_000)
      const { verdict, exchange } = await strict.call(await shown({ claims: { nonce: first } }))
      expect(verdict).toBeUndefined()
      expect(exchange.replyHeaders[0]).toBe('DPoP-Nonce')
      const second = exchange.replyHeaders[1]
      expect(second).not.toBe(first)
      now.advance(300_000)
      token = await bound(key)
      expect(await outcome(strict, await shown({ claims: { nonce: first } }))).toBe('401 auth.dpop-nonce')
      expect(await outcome(strict, await shown({ claims: { nonce: second } }))).toBe('main alice')
    })
  })
})

describe('N7: a token bound to a certificate (RFC 8705)', () => {
  const fingerprint256 = Array.from({ length: 32 }, (_, i) => i.toString(16).padStart(2, '0').toUpperCase()).join(':')
  const thumbprint = Buffer.from(fingerprint256.replaceAll(':', ''), 'hex').toString('base64url')
  const over = (fingerprint?: string) =>
    fingerprint === undefined ? {} : { peer: { certificate: { fingerprint256: fingerprint } as never } }
  const call = (value: string, fingerprint?: string): CallInput => ({
    headers: { authorization: `Bearer ${value}` },
    ...over(fingerprint),
  })

  test('passes over the connection of that certificate alone', async () => {
    const value = await issuer.token({ cnf: { 'x5t#S256': thumbprint } })
    for (let i = 0; i < 2; i++) {
      expect(await outcome(gate, call(value, fingerprint256))).toBe('main alice')
      expect(await outcome(gate, call(value))).toBe('401 auth.token-unbound')
      expect(await outcome(gate, call(value, fingerprint256.replace('00', 'FF')))).toBe('401 auth.token-unbound')
    }
  })

  test('is all there is where the issuer says `certificateBound: required`', async () => {
    const strict = await open({ certificateBound: 'required' })
    expect(await outcome(strict, call(await issuer.token(), fingerprint256))).toBe('401 auth.token-unbound')
    expect(await outcome(strict, call(await issuer.token({ cnf: { 'x5t#S256': thumbprint } }), fingerprint256))).toBe(
      'main alice',
    )
  })

  test('and to a key as well needs both', async () => {
    token = await issuer.token({ cnf: { 'x5t#S256': thumbprint, jkt: key.thumbprint } })
    expect(await outcome(gate, { ...(await shown()), ...over(fingerprint256) })).toBe('main alice')
    expect(await outcome(gate, await shown())).toBe('401 auth.token-unbound')
    expect(await outcome(gate, call(token, fingerprint256))).toBe('401 auth.token-unbound')
  })
})

describe('N8: wrong tokens', () => {
  const forged = async (i = 0) => `${(await issuer.token({ jti: String(i) })).slice(0, -12)}AAAAAAAAAAAA`
  const from = (address: string, value: string): CallInput => ({
    address,
    headers: { authorization: `Bearer ${value}` },
  })

  test('of one network are looked at so often and no more; good ones of other networks, and those seen before, pass', async () => {
    const events: SecurityEvent[] = []
    const strict = await open({}, { tell: (event: SecurityEvent) => events.push(event) }, { failures: '5/min' })
    const seen = await issuer.token()
    expect(await outcome(strict, from('192.0.2.1', seen))).toBe('main alice')
    for (let i = 0; i < 5; i++) {
      expect(await outcome(strict, from('192.0.2.1', await forged(i)))).toBe('401 auth.token-signature')
    }
    const { verdict } = await strict.call(from('192.0.2.1', await forged(6)))
    expect(verdict).toMatchObject({ status: 429, code: 'auth.token-flood', headers: { 'Retry-After': '12' } })
    // Nothing is checked any more, not even what would be good.
    expect(await outcome(strict, from('192.0.2.1', await issuer.token({ jti: 'new' })))).toBe('429 auth.token-flood')
    expect(await outcome(strict, from('192.0.2.1', seen))).toBe('main alice')
    expect(await outcome(strict, from('198.51.100.1', await issuer.token({ jti: 'new' })))).toBe('main alice')
    expect(events).toEqual([
      {
        event: 'token.flood',
        address: '192.0.2.1',
        detail: { network: '192.0.2.1', failures: 5, windowSeconds: 60 },
      },
    ])
    now.advance(12_000)
    expect(await outcome(strict, from('192.0.2.1', await issuer.token({ jti: 'new' })))).toBe('main alice')
  })

  test('of one IPv6 network count together', async () => {
    const strict = await open({}, {}, { failures: '2/min' })
    expect(await outcome(strict, from('2001:db8::1', await forged()))).toBe('401 auth.token-signature')
    expect(await outcome(strict, from('2001:db8::2', await forged()))).toBe('401 auth.token-signature')
    expect(await outcome(strict, from('2001:db8::3', await forged()))).toBe('429 auth.token-flood')
    expect(await outcome(strict, from('2001:db8:0:1::1', await forged()))).toBe('401 auth.token-signature')
  })

  test('that cost nothing to refuse do not count', async () => {
    const strict = await open({}, {}, { failures: '2/min' })
    for (let i = 0; i < 5; i++)
      expect(await outcome(strict, from('192.0.2.1', 'undefined'))).toBe('401 auth.token-malformed')
    expect(await outcome(strict, from('192.0.2.1', await issuer.token()))).toBe('main alice')
  })

  test('count here alone while the shared counters do not answer', async () => {
    const counters = { take: () => Promise.reject(new CountersUnavailable('down')), close: async () => {} }
    const strict = await open({}, { counters }, { failures: '2/min' })
    for (let i = 0; i < 2; i++) await outcome(strict, from('192.0.2.1', await forged(i)))
    await expect
      .poll(() => forged(9).then((value) => outcome(strict, from('192.0.2.1', value))))
      .toBe('429 auth.token-flood')
  })
})

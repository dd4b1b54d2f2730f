import { createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { CompactSign, compactVerify } from 'jose'
import { describe, expect, test } from 'vitest'
import { type IssuerKey, makeKey } from '../../../test/kit/issuer.ts'
import { type Jws, keyFits, parseJws, verifyJws } from './jws.ts'

const text = (value: unknown) =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')
const unsigned = (header: unknown, claims: unknown) => `${text(header)}.${text(claims)}`
const keys = ['RS256', 'PS256', 'ES256', 'ES384', 'ES512', 'EdDSA'].map((alg) => makeKey(alg))
const secret = createSecretKey(randomBytes(64))

async function sign(alg: string, key: KeyObject, payload = '{"sub":"alice"}', header = {}) {
  return new CompactSign(Buffer.from(payload)).setProtectedHeader({ alg, ...header }).sign(key)
}

function read(token: string): Jws {
  const jws = parseJws(token)
  if (typeof jws === 'string') throw new Error(`${jws}: ${token}`)
  return jws
}

describe('a compact JWS', () => {
  test.each([
    ['', 'foreign'],
    ['a.b', 'foreign'],
    ['a.b.c.d', 'foreign'],
    [`${unsigned({ alg: 'RS256' }, { sub: 'a' })}.sig=`, 'foreign'],
    [`${unsigned({ alg: 'RS256' }, { sub: 'a' })}.s+g/`, 'foreign'],
    [` ${unsigned({ alg: 'RS256' }, { sub: 'a' })}.sig`, 'foreign'],
    [`${unsigned('{"alg":"RS256"', { sub: 'a' })}.sig`, 'malformed'],
    [`${unsigned('["alg"]', { sub: 'a' })}.sig`, 'malformed'],
    [`${unsigned({ alg: 'RS256' }, '"text"')}.sig`, 'malformed'],
    [`${unsigned({ alg: 'RS256' }, 'null')}.sig`, 'malformed'],
    [`${unsigned({ alg: 7 }, {})}.sig`, 'malformed'],
    [`${unsigned({}, {})}.sig`, 'malformed'],
    [`${unsigned({ alg: 'RS256', kid: 7 }, {})}.sig`, 'malformed'],
    [`${unsigned({ alg: 'RS256', kid: ['a'] }, {})}.sig`, 'malformed'],
    [`${unsigned({ alg: 'RS256', typ: {} }, {})}.sig`, 'malformed'],
    [`${text({ alg: 'RS256' })}.${Buffer.from([0x7b, 0xff, 0x7d]).toString('base64url')}.sig`, 'malformed'],
    [`${unsigned({ alg: 'RS256', crit: ['exp'] }, {})}.sig`, 'critical-header'],
    [`${unsigned({ alg: 'RS256', crit: [] }, {})}.sig`, 'critical-header'],
    [`${unsigned({ alg: 'RS256', crit: ['b64'], b64: false }, {})}.sig`, 'critical-header'],
    [`${unsigned({ alg: 'RS256', b64: false }, {})}.sig`, 'critical-header'],
  ])('that is not one is told: %s', (token, fault) => {
    expect(parseJws(token)).toBe(fault)
  })

  test.each([
    ['JWT', 'jwt'],
    ['at+jwt', 'at+jwt'],
    ['application/AT+JWT', 'at+jwt'],
  ])('with typ %s is of type %s', (typ, type) => {
    expect(read(`${unsigned({ alg: 'RS256', typ }, {})}.sig`).type).toBe(type)
  })
})

describe('N3: a signature', () => {
  test.each(keys.map((key) => [key.alg, key] as const))(
    'of %s is accepted with its key, refused with any other',
    async (alg, key) => {
      const jws = read(await sign(alg, key.privateKey))
      expect(verifyJws(jws, key.publicKey)).toBe(true)
      for (const other of [...keys.filter((one) => one !== key), makeKey(alg)]) {
        expect(verifyJws(jws, other.publicKey), other.alg).toBe(false)
      }
    },
  )

  test('of HS256 made with a public key as the secret is never accepted by that key', () => {
    const key = keys[0]!
    const pem = key.publicKey.export({ type: 'spki', format: 'pem' })
    const input = unsigned({ alg: 'HS256', kid: key.kid }, { sub: 'admin' })
    for (const known of [pem, key.publicKey.export({ type: 'spki', format: 'der' })]) {
      const forged = `${input}.${createHmac('sha256', known).update(input).digest('base64url')}`
      expect(keyFits('HS256', key.publicKey)).toBe(false)
      expect(verifyJws(read(forged), key.publicKey)).toBe(false)
    }
  })

  test.each(['none', 'None', 'NONE', '', 'RS1', 'HS257', 'toString', '__proto__', 'constructor'])(
    'under the algorithm "%s" is refused by every key',
    (alg) => {
      for (const signature of ['', 'AAAA']) {
        const jws = read(`${unsigned({ alg }, { sub: 'admin' })}.${signature}`)
        for (const key of [...keys.map((one) => one.publicKey), secret]) expect(verifyJws(jws, key)).toBe(false)
      }
    },
  )

  test('that is empty is refused under every algorithm', () => {
    for (const { alg, publicKey } of keys) expect(verifyJws(read(`${unsigned({ alg }, {})}.`), publicKey)).toBe(false)
    expect(verifyJws(read(`${unsigned({ alg: 'HS256' }, {})}.`), secret)).toBe(false)
  })

  test('of zeros is refused for elliptic curves (CVE-2022-21449)', () => {
    for (const [alg, bytes] of [
      ['ES256', 64],
      ['ES384', 96],
      ['ES512', 132],
    ] as const) {
      const { publicKey } = keys.find((key) => key.alg === alg)!
      const jws = read(`${unsigned({ alg }, {})}.${Buffer.alloc(bytes).toString('base64url')}`)
      expect(verifyJws(jws, publicKey)).toBe(false)
    }
  })

  test("with a curve that is not the algorithm's is refused", async () => {
    const p384 = keys.find((key) => key.alg === 'ES384')!
    const jws = read(await sign('ES384', p384.privateKey))
    expect(verifyJws({ ...jws, algorithm: 'ES256' }, p384.publicKey)).toBe(false)
  })

  test('is judged as jose judges it, whatever is changed in the token', async () => {
    const tokens = await Promise.all(keys.map(async (key) => ({ key, token: await sign(key.alg, key.privateKey) })))
    const hs = { key: { alg: 'HS256', publicKey: secret } as unknown as IssuerKey, token: await sign('HS256', secret) }
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...tokens, hs),
        fc.nat(),
        fc.constantFrom(...'ABCxyz019-_.=+/ '),
        fc.constantFrom('change', 'drop', 'add', 'keep'),
        async ({ key, token }, at, character, how) => {
          const i = at % token.length
          const changed =
            how === 'keep'
              ? token
              : token.slice(0, i) + (how === 'drop' ? '' : character) + token.slice(how === 'add' ? i : i + 1)
          const jws = parseJws(changed)
          const ours = typeof jws !== 'string' && jws.algorithm === key.alg && verifyJws(jws, key.publicKey)
          const theirs = await compactVerify(changed, key.publicKey, { algorithms: [key.alg] }).then(
            () => true,
            () => false,
          )
          // Where we differ we are the stricter one: never accept what jose refuses.
          if (ours) expect(theirs).toBe(true)
          if (changed === token) expect(ours).toBe(true)
        },
      ),
      { numRuns: 400 },
    )
  })
})

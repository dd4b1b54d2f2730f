import { generateKeyPairSync, sign } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  codeOf,
  compileGuard,
  makeExchange,
  makeHost,
  makeOperation,
  makePrincipal,
  type TestHost,
} from '../../test/kit/guard.ts'
import type { Step } from '../gate/guard.ts'
import type { Answer } from '../gate/verdict.ts'
import { type Counters, CountersUnavailable } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { payload } from './payload.ts'

const { publicKey, privateKey } = generateKeyPairSync('ed25519')
const clients = { 'apiKey:alice': { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig' }] } }
const alice = makePrincipal('alice')

function host(given: { counters?: Counters; prefix?: string } = {}): TestHost {
  const secrets = async () => [new Uint8Array(48).fill(7)]
  return {
    ...makeHost(given.counters && { counters: given.counters }),
    prefix: given.prefix ?? '',
    vault: async () => ({ secrets }) as never,
  }
}

/** A request that alice signed at the time of the test's clock. */
function signedExchange(now: number, nonce: string) {
  const input = `("@method");created=${Math.floor(now / 1000)};keyid="k";nonce="${nonce}"`
  const signature = sign(null, Buffer.from(`"@method": GET\n"@signature-params": ${input}`), privateKey)
  const headers = { 'signature-input': `s=${input}`, signature: `s=:${signature.toString('base64')}:` }
  return makeExchange({ principal: alice, headers })
}

describe('what a guard of payloads costs', () => {
  test('nothing where nothing is asked for, and at operations that are not meant', async () => {
    expect(await compileGuard(payload, undefined, undefined, host())).toBeUndefined()
    expect(
      await compileGuard(payload, { jwe: { match: 'op:pay', request: 'required' } }, undefined, host()),
    ).toBeUndefined()
    expect(
      await compileGuard(payload, { mode: 'off', jwe: { request: 'required' } }, undefined, host()),
    ).toBeUndefined()
  })

  test('a rule that is about no operation is told to the operator', async () => {
    const one = host()
    await compileGuard(payload, { jwe: { match: 'op:pay', request: 'required' } }, undefined, one)
    expect(one.warnings).toMatchObject([{ fields: { rule: 'payload.jwe' } }])
  })
})

describe('the key of the gate', () => {
  test.each([
    ['', '/.well-known/payload-jwks.json', 'GET', 200],
    ['/shop', '/shop/.well-known/payload-jwks.json', 'HEAD', 200],
    ['/shop', '/.well-known/payload-jwks.json', 'GET', undefined],
    ['', '/.well-known/payload-jwks.json', 'POST', undefined],
  ])('of an API at "%s" stands at %s (%s): %s', async (prefix, path, method, expected) => {
    const unlisted = makeOperation({ kind: 'unlisted-path' })
    const steps = await compileGuard(payload, { jwe: { request: 'allowed' } }, unlisted, host({ prefix }))
    const verdict = await (steps!.requestHead as Step)(makeExchange({ path, method }))
    expect(codeOf(verdict)).toBe(expected)
    if (expected === undefined) return
    const { keys } = JSON.parse((verdict as Answer).body!)
    expect(Object.keys(keys[0]).sort()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
  })

  test('is the same for all gates of a vault', async () => {
    const read = async () => {
      const unlisted = makeOperation({ kind: 'unlisted-path' })
      const steps = await compileGuard(payload, { jwe: { request: 'allowed' } }, unlisted, host())
      return ((await steps!.requestHead!(makeExchange({ path: '/.well-known/payload-jwks.json' }))) as Answer).body
    }
    expect(await read()).toBe(await read())
  })
})

describe('a tunnel', () => {
  test('does not pass where bodies must be encrypted', async () => {
    const required = await compileGuard(payload, { jwe: { request: 'required' } }, undefined, host())
    expect(codeOf(await required!.requestHead!(makeExchange({ upgrade: 'websocket' })))).toBe(
      'payload.encryption-required',
    )
    const answers = await compileGuard(payload, { jwe: { response: 'client-jwk' }, clients }, undefined, host())
    expect(codeOf(await answers!.requestHead!(makeExchange({ upgrade: 'websocket' })))).toBe(
      'payload.response-not-encrypted',
    )
  })
})

describe('a signature', () => {
  const signatures = { request: 'required', components: ['@method'] }

  test('is taken once in each gate that shares the counters', async () => {
    const counters = createMemoryCounters()
    const gates = await Promise.all(
      [1, 2].map(() => compileGuard(payload, { signatures, clients }, undefined, host({ counters }))),
    )
    const now = host().now()
    const codes: unknown[] = []
    for (const gate of [...gates, gates[0]]) codes.push(codeOf(await gate!.requestHead!(signedExchange(now, 'one'))))
    expect(codes).toEqual([undefined, 'payload.signature-invalid', 'payload.signature-invalid'])
    expect(codeOf(await gates[1]!.requestHead!(signedExchange(now, 'two')))).toBeUndefined()
  })

  test('is not believed while nobody can tell whether it was seen before', async () => {
    const counters: Counters = {
      ...createMemoryCounters(),
      take: () => Promise.reject(new CountersUnavailable('gone')),
    }
    const steps = await compileGuard(payload, { signatures, clients }, undefined, host({ counters }))
    const verdict = await steps!.requestHead!(signedExchange(host().now(), 'one'))
    expect(codeOf(verdict)).toBe('payload.unavailable')
  })

  test('that may be left out is judged all the same when it is there', async () => {
    const allowed = { ...signatures, request: 'allowed' }
    const steps = await compileGuard(payload, { signatures: allowed, clients }, undefined, host())
    expect(await steps!.requestHead!(makeExchange({ principal: alice }))).toBeUndefined()
    const broken = makeExchange({ principal: alice, headers: { signature: 's=:AAAA:' } })
    expect(codeOf(await steps!.requestHead!(broken))).toBe('payload.signature-invalid')
  })
})

describe('options', () => {
  test.each([
    ['an unknown key', { jwe: { requests: 'required' } }],
    ['a selector that is none', { jwe: { match: 'operation:x', request: 'required' } }],
    ['a pointer that is none', { jwe: { request: 'required', fields: ['note'] } }],
    ['no field at all', { jwe: { request: 'required', fields: [] } }],
    ['a component that nobody knows', { signatures: { components: ['@status'] } }],
    ['a header in capitals', { signatures: { components: ['Date'] } }],
    ['an age without end', { signatures: { maxAge: '30d' } }],
    ['a caller without a method', { clients: { alice: { keys: [{}] } } }],
  ])('refuse %s', (_, options) => {
    expect(payload.options.safeParse(options).success).toBe(false)
  })

  test.each([
    ['a private key', { ...privateKey.export({ format: 'jwk' }), kid: 'k' }, /private or shared/],
    ['a shared key', { kty: 'oct', k: 'AAAA', kid: 'k' }, /private or shared/],
    ['a signing key without a kid', { ...publicKey.export({ format: 'jwk' }), use: 'sig' }, /needs a kid/],
    [
      'an RSA key that is too short',
      generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ format: 'jwk' }),
      /2048 bits/,
    ],
  ])('refuse %s of a caller', async (_, jwk, message) => {
    const given = { jwe: { response: 'client-jwk' }, clients: { 'apiKey:alice': { keys: [jwk] } } }
    await expect(compileGuard(payload, given, undefined, host())).rejects.toThrow(message)
  })

  test('refuse answers for keys that nobody has', async () => {
    const given = { jwe: { response: 'client-jwk' } }
    await expect(compileGuard(payload, given, undefined, host())).rejects.toThrow('add `clients`')
  })
})

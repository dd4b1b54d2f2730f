import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { silentLogger as log } from '../base/log.ts'
import { clientShape } from '../config/token-service.ts'
import { createSqliteStore } from '../store/sqlite.ts'
import type { Store } from '../store/store.ts'
import { type ClientDirectory, createClients, secretMatches } from './clients.ts'

const secret = 'a-secret-of-forty-characters-or-so-1234'
const configured = (input: object) => ({ app: clientShape.parse(input) })

describe('clients of the token service', () => {
  let store: Store
  let at: number
  let clients: ClientDirectory
  let ended: string[]
  const open = (
    input: Record<string, ReturnType<typeof clientShape.parse>> = {},
    profile: 'standard' | 'fapi2' = 'standard',
  ) => createClients({ store, configured: input, profile, now: () => at, endTokens: async (id) => void ended.push(id) })
  beforeEach(() => {
    at = 1_800_000_000_000
    ended = []
    store = createSqliteStore({ file: ':memory:', log, now: () => at })
    clients = open()
  })
  afterEach(() => store.close())

  const hashes = async (id: string) => (await clients.metadata(id))?.client_secret

  test('a secret is shown once; the store holds no more than its hash', async () => {
    const { secret: made, client } = await clients.create('batch', { scopes: ['orders:read'] })
    expect(made).toMatch(/^pcs_[0-9A-Za-z]{43}$/)
    expect(client).toMatchObject({ id: 'batch', from: 'store', scopes: ['orders:read'] })
    expect(JSON.stringify(await store.list('', { limit: 100 }))).not.toContain(made)
    expect(secretMatches(made, await hashes('batch'), at)).toBe(true)
    for (const wrong of [`${made}x`, '', undefined, await hashes('batch')]) {
      expect(secretMatches(wrong, await hashes('batch'), at)).toBe(false)
    }
  })

  test('a new secret takes the place of the old one, which works as long as it was given, and not longer', async () => {
    const { secret: first } = await clients.create('batch', {})
    const second = (await clients.rotate('batch', { graceMs: 1_000 }))!.secret
    expect(secretMatches(first, await hashes('batch'), at + 999)).toBe(true)
    expect(secretMatches(first, await hashes('batch'), at + 1_000)).toBe(false)
    expect(secretMatches(second, await hashes('batch'), at + 1_000)).toBe(true)
    const third = (await clients.rotate('batch'))!.secret
    expect(secretMatches(second, await hashes('batch'), at)).toBe(false)
    expect(secretMatches(third, await hashes('batch'), at)).toBe(true)
  })

  test('a revoked one is nobody, keeps its name, and its tokens end', async () => {
    await clients.create('batch', {})
    await clients.revoke('batch')
    expect([await clients.metadata('batch'), await clients.settings('batch'), ended]).toEqual([
      undefined,
      undefined,
      ['batch'],
    ])
    expect((await clients.list())[0]!.revokedAt).toBe(at)
    expect(await clients.rotate('batch')).toBeUndefined()
    await expect(clients.create('batch', {})).rejects.toThrow(/already/)
    expect(await clients.revoke('nobody')).toBeUndefined()
  })

  test('one of the configuration counts more than one of the store, and no command changes it', async () => {
    await clients.create('app', {})
    clients = open(configured({ secret }))
    expect(secretMatches(secret, await hashes('app'), at)).toBe(true)
    await expect(clients.create('app', {})).rejects.toThrow(/already/)
    expect((await clients.find('app'))?.from).toBe('configuration')
    expect(JSON.stringify(await clients.list())).not.toContain(secret)
  })

  test.each([
    ['no secret', {}, /has no secret/],
    [
      'a secret nobody asks for',
      { secret, auth: 'none', grants: ['authorization_code'], redirects: ['https://a.example/'] },
      /does not use/,
    ],
    ['sign-in without a redirect', { secret, grants: ['authorization_code'] }, /redirects/],
    ['a client without proof that acts for itself', { auth: 'none' }, /cannot act/],
    ['keys without keys', { auth: 'private_key_jwt' }, /jwks/],
    ['a certificate without a name', { auth: 'mtls' }, /certificate/],
    ['plain http', { secret, grants: ['authorization_code'], redirects: ['http://app.example/cb'] }, /give codes away/],
    [
      'a scheme of an app that is none',
      { secret, grants: ['authorization_code'], redirects: ['com.app:/cb'] },
      /give codes away/,
    ],
    ['bounds that bound nothing', { secret, bounds: { cidrs: ['nowhere'] } }, /bounds/],
  ])('refuses %s', (_, input, expected) => {
    expect(() => open(configured(input))).toThrow(expected)
  })

  test.each([
    ['https', { redirects: ['https://app.example/cb'] }, true],
    ['loopback', { redirects: ['http://127.0.0.1/cb'] }, true],
    ['an app with a scheme of its own', { redirects: ['com.app:/cb'], native: true }, true],
    ['a script', { redirects: ['javascript:alert(1)'], native: true }, false],
  ])('redirects: %s', (_, input, good) => {
    const make = () => open(configured({ secret, grants: ['authorization_code'], ...input }))
    if (good) expect(make).not.toThrow()
    else expect(make).toThrow()
  })

  test.each(['https://a.example/#x', 'https://a.example/*', 'https://x@a.example/', 'no url', 'https://a.example/ b'])(
    'redirects: %s is refused before anything else',
    (redirect) => expect(clientShape.safeParse({ redirects: [redirect] }).success).toBe(false),
  )

  test.each(['', 'a b', '../x', 'a/b', 'ä', 'a'.repeat(101), '__proto__ '])('"%s" is no name', async (name) => {
    await expect(clients.create(name, {})).rejects.toThrow(/name/)
    expect(await clients.metadata(name)).toBeUndefined()
  })

  test('fapi2: no secrets, and tokens are bound where nobody says how', async () => {
    expect(() => open(configured({ secret }), 'fapi2')).toThrow(/fapi2/)
    clients = open({}, 'fapi2')
    await expect(clients.create('batch', {})).rejects.toThrow(/fapi2/)
    await clients.create('bank', { auth: 'mtls', certificate: { dns: 'bank.example' } })
    expect(await clients.metadata('bank')).toMatchObject({
      dpop_bound_access_tokens: true,
      token_endpoint_auth_method: 'tls_client_auth',
    })
  })
})

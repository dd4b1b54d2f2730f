import { decodeJwt, decodeProtectedHeader } from 'jose'
import { afterEach, expect, test } from 'vitest'
import { createClient } from '../../src/client/index.ts'
import { rotateSigningKeys } from '../../src/identity/signing-keys.ts'
import { until } from '../kit/gate.ts'
import { basic, secretOf, startTokenGate, type TokenGate } from '../kit/token-gate.ts'

/* What the gate says of itself to clients of its own token service, and how soon it believes it. */

let gate: TokenGate | undefined
afterEach(async () => {
  await gate?.stop()
  gate = undefined
})

const ask = (one: TokenGate, fields: Readonly<Record<string, string>> = {}) =>
  one.post('/oauth/token', { grant_type: 'client_credentials', ...fields }, basic('batch'))

const log = { debug() {}, info() {}, warn() {}, error() {} }

/** Drops the signing keys beside the gate, as `portcullis keys rotate signing --drop` does, and waits until it is told. */
async function drop(one: TokenGate, kid: string | undefined) {
  const { store, now, vault } = one.running.foundation
  const settings = { signing: 'ES256', keyLife: 1e9, keyLead: 3_600_000, accessTtl: 600_000 } as const
  await rotateSigningKeys({ store, now, log, ring: await vault(), settings }, { drop: true })
  await until(
    async () => {
      const { keys } = (await (await one.fetch('/oauth/jwks')).json()) as { keys: { kid: string }[] }
      return keys.every((key) => key.kid !== kid)
    },
    'the key to be gone',
    1_000,
  )
}

test('the first call after a dropped signing key is refused already, of a token that was believed before and of one never seen', async () => {
  gate = await startTokenGate()
  const [seen, unseen] = [(await ask(gate)).body.access_token, (await ask(gate)).body.access_token]
  expect(await gate.call(seen)).toBe(200)
  await drop(gate, decodeProtectedHeader(seen).kid)
  expect([await gate.call(seen), await gate.call(unseen)]).toEqual([401, 401])
  expect(await gate.call((await ask(gate)).body.access_token)).toBe(200)
})

test('keys are followed after a reload that made another token service of the same issuer, too', async () => {
  gate = await startTokenGate()
  const { issuer, upstream } = gate
  const before = (await ask(gate)).body.access_token
  expect(await gate.call(before)).toBe(200)
  const tokenService = { issuer, clients: { batch: { secret: 'another-secret-of-the-same-client-now' } } }
  const listen = [{ port: Number(new URL(gate.url).port), host: '127.0.0.1', tls: 'off' }]
  await gate.reload({ upstream: upstream.url, root: { listen, tokenService } })
  expect(await gate.call(before)).toBe(200)
  await drop(gate, decodeProtectedHeader(before).kid)
  expect(await gate.call(before)).toBe(401)
})

test('a client that asks for the resource of the metadata gets a token the API takes; no other name will do', async () => {
  gate = await startTokenGate()
  const { origin } = new URL(gate.issuer)
  const reply = await fetch(`${origin}/.well-known/oauth-protected-resource`)
  const { resource } = (await reply.json()) as { resource: string }
  expect(resource).toBe(origin)
  for (const name of [resource, `${resource}/`]) {
    const { status, body } = await ask(gate, { resource: name })
    expect([status, body.error]).toEqual([200, undefined])
    expect(decodeJwt(body.access_token).aud).toMatch(`${origin}/`)
    expect(await gate.call(body.access_token)).toBe(200)
  }
  for (const name of [`${origin}/elsewhere`, 'https://evil.example', `${origin}?x=1`]) {
    const { status, body } = await ask(gate, { resource: name })
    expect([status, body.error, body.access_token]).toEqual([400, 'invalid_target', undefined])
  }
})

test('the client says what the token service had against it', async () => {
  gate = await startTokenGate()
  const { origin } = new URL(gate.issuer)
  const shop = createClient({
    issuer: gate.issuer,
    clientId: 'batch',
    clientSecret: secretOf('batch'),
    resource: `${origin}/elsewhere`,
  })
  await expect(shop.fetch(`${origin}/orders`)).rejects.toThrow(
    'The authorization server refused: invalid_target (no such resource, or not for this client).',
  )
})

import { constants, generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto'
import { CompactEncrypt, compactDecrypt, decodeProtectedHeader, importJWK } from 'jose'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { startGate, type TestGate, until } from '../kit/gate.ts'
import { basic, secretOf, startTokenGate } from '../kit/token-gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

let upstream: TestUpstream
let answer: { body: string; type: string } = { body: '{}', type: 'application/json' }
beforeAll(async () => {
  upstream = await startUpstream((request, reply, hit) => {
    if (request.url === '/orders/7') {
      reply.writeHead(200, { 'content-type': answer.type })
      reply.end(answer.body)
      return
    }
    const order = hit.body.length === 0 ? {} : JSON.parse(hit.body.toString())
    json(reply, { id: 1, ...order }, request.method === 'POST' ? 201 : 200)
  })
})
afterAll(() => upstream.stop())
beforeEach(() => {
  upstream.hits.length = 0
  answer = { body: '{"id":7,"item":"tea","quantity":1}', type: 'application/json' }
})
const ends: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})

const client = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const clientJwk = { ...client.publicKey.export({ format: 'jwk' }), kid: 'mine', use: 'enc' }
const clients = { 'apiKey:test': { keys: [clientJwk] } }

async function gateWith(payload: object): Promise<TestGate & { headers: Record<string, string> }> {
  const limits = { default: { rate: '10000/s' }, anonymous: { rate: '10000/s' } }
  const gate = await startGate({ upstream: upstream.url, api: { payload, limits } })
  ends.push(gate.stop)
  return { ...gate, headers: { 'x-api-key': await gate.key() } }
}

interface GateJwk {
  readonly kid: string
  readonly [name: string]: unknown
}

async function gateKey(gate: TestGate): Promise<GateJwk> {
  const reply = await gate.fetch('/.well-known/payload-jwks.json')
  expect(reply.status).toBe(200)
  expect(reply.headers.get('content-type')).toBe('application/jwk-set+json')
  const { keys } = (await reply.json()) as { keys: GateJwk[] }
  expect(keys.every((key) => key.d === undefined && key.use === 'enc')).toBe(true)
  return keys[0]!
}

async function encrypt(jwk: GateJwk, plain: string, header: Readonly<Record<string, unknown>> = {}): Promise<string> {
  return await new CompactEncrypt(Buffer.from(plain))
    .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: jwk.kid, ...header } as never)
    .encrypt(await importJWK(jwk as never))
}

const order = { item: 'tea', quantity: 2 }
const jose = { 'content-type': 'application/jose' }

describe('T5: encrypted bodies', () => {
  const jwe = { match: 'op:createOrder', request: 'required' }

  test('reach the upstream as the plaintext that was judged', async () => {
    const gate = await gateWith({ jwe })
    const body = await encrypt(await gateKey(gate), JSON.stringify(order))
    const reply = await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...jose }, body })
    expect(reply.status).toBe(201)
    expect(await reply.json()).toEqual({ id: 1, ...order })
    expect(upstream.hits).toHaveLength(1)
    const [hit] = upstream.hits
    expect(JSON.parse(hit!.body.toString())).toEqual(order)
    expect(hit!.headers['content-type']).toBe('application/json')
    expect(hit!.headers['content-length']).toBe(String(hit!.body.length))
  })

  test('are validated by what is in them', async () => {
    const gate = await gateWith({ jwe })
    const key = await gateKey(gate)
    for (const [plain, header, status] of [
      ['{"item":"tea","quantity":0}', {}, 400],
      ['{"item":"tea"', {}, 400],
      ['{"item":"tea","quantity":1,"extra":1}', {}, 400],
      [JSON.stringify(order), { cty: 'text/plain' }, 415],
      [JSON.stringify(order), { cty: 'json' }, 201],
      [JSON.stringify(order), { cty: 'application/json; charset=utf-8' }, 201],
    ] as const) {
      const body = await encrypt(key, plain, header)
      const reply = await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...jose }, body })
      expect(reply.status, `${plain} ${JSON.stringify(header)}`).toBe(status)
      await reply.arrayBuffer()
    }
    expect(upstream.hits).toHaveLength(2)
  })

  test('one flipped byte anywhere, another key or another algorithm gives 400, always the same', async () => {
    const gate = await gateWith({ jwe })
    const key = await gateKey(gate)
    const good = await encrypt(key, JSON.stringify(order))
    const parts = good.split('.')
    const flip = (part: number) =>
      parts
        .map((text, index) => {
          if (index !== part) return text
          const bytes = Buffer.from(text, 'base64url')
          bytes[Math.floor(bytes.length / 2)]! ^= 1
          return bytes.toString('base64url')
        })
        .join('.')
    const stranger = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey
    const foreign = async (header: object, to: unknown = stranger) =>
      await new CompactEncrypt(Buffer.from(JSON.stringify(order)))
        .setProtectedHeader({ alg: 'ECDH-ES+A256KW', enc: 'A256GCM', kid: key.kid, ...header } as never)
        .encrypt(to as never)
    const gateJwk = await importJWK(key as never)
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
    const secret = Buffer.alloc(32, 7)
    const direct = (await foreign({ alg: 'dir' }, secret)).split('.')
    const headerOf = (text: string) => Buffer.from(text).toString('base64url')
    const bad: Record<string, string> = {
      'header flipped': flip(0),
      'encrypted key flipped': flip(1),
      'nonce flipped': flip(2),
      'ciphertext flipped': flip(3),
      'tag flipped': flip(4),
      'tag cut': good.slice(0, -4),
      'no tag': `${parts.slice(0, 4).join('.')}.`,
      'another key, our kid': await foreign({}),
      'unknown kid': await foreign({ kid: 'nobody' }, gateJwk),
      'no kid': await foreign({ kid: undefined }, gateJwk),
      'a kid that is a path': await foreign({ kid: '../../etc/passwd' }, gateJwk),
      'RSA-OAEP': await foreign({ alg: 'RSA-OAEP-256' }, rsa),
      dir: direct.join('.'),
      'a password': await foreign({ alg: 'PBES2-HS256+A128KW' }, secret),
      CBC: await foreign({ enc: 'A128CBC-HS256' }, gateJwk),
      'zip in the header': [
        headerOf(JSON.stringify({ ...decodeProtectedHeader(good), zip: 'DEF' })),
        ...parts.slice(1),
      ].join('.'),
      'crit in the header': [
        headerOf(JSON.stringify({ ...decodeProtectedHeader(good), crit: ['x'], x: 1 })),
        ...parts.slice(1),
      ].join('.'),
      'a point that is not on the curve': [
        headerOf(
          JSON.stringify({ ...decodeProtectedHeader(good), epk: { kty: 'EC', crv: 'P-256', x: 'AQ', y: 'AQ' } }),
        ),
        ...parts.slice(1),
      ].join('.'),
      'an endless header': `${'A'.repeat(5_000)}.${parts.slice(1).join('.')}`,
      JSON: JSON.stringify(order),
      dots: '....',
      'a cty with a line break': await foreign({ cty: 'a/b\r\nx: y' }, gateJwk),
    }
    const answers = new Set<string>()
    for (const [name, body] of Object.entries(bad)) {
      const reply = await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...jose }, body })
      expect(reply.status, name).toBe(400)
      const { instance: _, ...problem } = (await reply.json()) as { instance: string; code: string }
      expect(problem.code, name).toBe('payload.decryption-failed')
      answers.add(JSON.stringify(problem))
    }
    expect(answers.size).toBe(1)
    expect(upstream.hits).toHaveLength(0)
    expect(
      (await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...jose }, body: good })).status,
    ).toBe(201)
  })

  test('are required where that is said: a plain one is 415, without a credential it is 401 all the same', async () => {
    const gate = await gateWith({ jwe })
    const body = JSON.stringify(order)
    const plain = { 'content-type': 'application/json' }
    const reply = await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...plain }, body })
    expect(reply.status).toBe(415)
    expect(reply.headers.get('accept')).toBe('application/jose')
    expect(await reply.json()).toMatchObject({ code: 'payload.encryption-required' })
    expect((await gate.fetch('/orders', { method: 'POST', headers: plain, body })).status).toBe(401)
    expect((await gate.fetch('/orders', { headers: gate.headers })).status).toBe(200)
    expect(upstream.hits).toHaveLength(1)
  })

  test('may be allowed beside plain ones', async () => {
    const gate = await gateWith({ jwe: { ...jwe, request: 'allowed' } })
    const plain = { 'content-type': 'application/json' }
    const body = JSON.stringify(order)
    expect((await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...plain }, body })).status).toBe(
      201,
    )
    const sealed = await encrypt(await gateKey(gate), body)
    const reply = await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...jose }, body: sealed })
    expect(reply.status).toBe(201)
  })

  test('open with the old key while its grace lasts, and not when it is destroyed', async () => {
    const gate = await gateWith({ jwe })
    const old = await gateKey(gate)
    const sealed = await encrypt(old, JSON.stringify(order))
    const send = async (body: string) => {
      const reply = await gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, ...jose }, body })
      await reply.arrayBuffer()
      return reply.status
    }
    const ring = await gate.running.foundation.vault()
    await ring.rotate('payload', { graceMs: 3_600_000 })
    const renewed = await until(async () => {
      const key = await gateKey(gate)
      return key.kid === old.kid ? undefined : key
    }, 'the new key')
    expect(await send(await encrypt(renewed, JSON.stringify(order)))).toBe(201)
    expect(await send(sealed)).toBe(201)
    const { keys } = (await ring.list()).find(({ purpose }) => purpose === 'payload')!
    await ring.destroy('payload', keys[1]!.id)
    await until(async () => (await send(sealed)) === 400, 'the old key to be gone')
    expect(await send(await encrypt(renewed, JSON.stringify(order)))).toBe(201)
  })

  test('may be single fields, and numbers beside them stay as they were written', async () => {
    const gate = await gateWith({ jwe: { ...jwe, fields: ['/note'] } })
    const key = await gateKey(gate)
    const note = await encrypt(key, '"for \\"Alice\\""')
    const send = (body: string) =>
      gate.fetch('/orders', { method: 'POST', headers: { ...gate.headers, 'content-type': 'application/json' }, body })
    expect((await send(`{"item":"tea","quantity":1.0e1,"note":"${note}"}`)).status).toBe(201)
    expect(upstream.hits[0]!.body.toString()).toContain('"note":"for \\"Alice\\""')
    expect((await send('{"item":"tea","quantity":1,"note":"plain"}')).status).toBe(415)
    expect((await send('{"item":"tea","quantity":1}')).status).toBe(201)
    const last = note.at(-3)!
    const changed = `${note.slice(0, -3)}${last === 'A' ? 'B' : 'A'}${note.slice(-2)}`
    const reply = await send(`{"item":"tea","quantity":1,"note":"${changed}"}`)
    expect(reply.status).toBe(400)
    expect(await reply.json()).toMatchObject({ code: 'payload.decryption-failed' })
    // What is inside is judged, too.
    const long = await encrypt(key, JSON.stringify('x'.repeat(1_001)))
    expect((await send(`{"item":"tea","quantity":1,"note":"${long}"}`)).status).toBe(400)
    expect(upstream.hits).toHaveLength(2)
  })
})

describe('T5: encrypted answers', () => {
  const jwe = { match: 'op:getOrder', response: 'client-jwk' }

  test("open only with the caller's private key", async () => {
    const gate = await gateWith({ jwe, clients })
    const reply = await gate.fetch('/orders/7', { headers: gate.headers })
    expect(reply.status).toBe(200)
    expect(reply.headers.get('content-type')).toBe('application/jose')
    const text = await reply.text()
    expect(decodeProtectedHeader(text)).toMatchObject({
      alg: 'ECDH-ES+A256KW',
      enc: 'A256GCM',
      kid: 'mine',
      cty: 'json',
    })
    const { plaintext } = await compactDecrypt(text, client.privateKey)
    expect(Buffer.from(plaintext).toString()).toBe(answer.body)
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    await expect(compactDecrypt(text, other)).rejects.toThrow('decryption operation failed')
    expect(text).not.toContain('tea')
  })

  test.each([
    ['RSA', () => generateKeyPairSync('rsa', { modulusLength: 2048 }), 'RSA-OAEP-256'],
    ['X25519', () => generateKeyPairSync('x25519'), 'ECDH-ES+A256KW'],
  ] as const)('may be for a key of kind %s', async (_, generate, alg) => {
    const { publicKey, privateKey } = generate() as { publicKey: KeyObject; privateKey: KeyObject }
    const keys = [{ ...publicKey.export({ format: 'jwk' }), use: 'enc' }]
    const gate = await gateWith({ jwe, clients: { 'apiKey:test': { keys } } })
    const text = await (await gate.fetch('/orders/7', { headers: gate.headers })).text()
    expect(decodeProtectedHeader(text).alg).toBe(alg)
    expect(Buffer.from((await compactDecrypt(text, privateKey)).plaintext).toString()).toBe(answer.body)
  })

  test('are refused to a caller without a key, before the upstream is asked', async () => {
    const gate = await gateWith({ jwe, clients })
    const reply = await gate.fetch('/orders/7', { headers: { 'x-api-key': await gate.key({ name: 'stranger' }) } })
    expect(reply.status).toBe(403)
    expect(await reply.json()).toMatchObject({ code: 'payload.no-client-key' })
    expect(upstream.hits).toHaveLength(0)
  })

  test('that never end are kept back', async () => {
    const gate = await gateWith({ jwe, clients })
    answer = { body: 'data: secret\n\n', type: 'text/event-stream' }
    const reply = await gate.fetch('/orders/7', { headers: gate.headers })
    expect(reply.status).toBe(502)
    expect(await reply.text()).not.toContain('secret')
  })

  test('may be single fields', async () => {
    const gate = await gateWith({ jwe: { ...jwe, fields: ['/item'] }, clients })
    const reply = await gate.fetch('/orders/7', { headers: gate.headers })
    expect(reply.headers.get('content-type')).toBe('application/json')
    const { item, ...rest } = (await reply.json()) as { item: string }
    expect(rest).toEqual({ id: 7, quantity: 1 })
    expect(Buffer.from((await compactDecrypt(item, client.privateKey)).plaintext).toString()).toBe('"tea"')
  })

  test('are for the key that a client registered with the token service, and for none that it did not', async () => {
    const clientsThere = {
      app: { secret: secretOf('app'), scopes: ['orders:read'], jwks: { keys: [clientJwk] } },
      bare: { secret: secretOf('bare'), scopes: ['orders:read'] },
    }
    const payload = { jwe: { match: 'op:listOrders', response: 'client-jwk' } }
    const gate = await startTokenGate({ tokenService: { clients: clientsThere }, api: { payload } })
    ends.push(gate.stop)
    const call = async (name: string) => {
      const asked = await gate.post(
        '/oauth/token',
        { grant_type: 'client_credentials', scope: 'orders:read' },
        basic(name),
      )
      expect(asked.status).toBe(200)
      return gate.fetch('/orders', { headers: { authorization: `Bearer ${asked.body.access_token}` } })
    }
    for (let i = 0; i < 2; i++) {
      const reply = await call('app')
      expect(reply.status).toBe(200)
      expect(Buffer.from((await compactDecrypt(await reply.text(), client.privateKey)).plaintext).toString()).toBe('[]')
    }
    const refused = await call('bare')
    expect(refused.status).toBe(403)
    expect(await refused.json()).toMatchObject({ code: 'payload.no-client-key' })
  })

  test('to a key that cannot be used are refused when the gate starts, with the place', async () => {
    for (const [jwk, message] of [
      [client.privateKey.export({ format: 'jwk' }), /is a private or shared key/],
      [{ ...clientJwk, alg: 'RSA1_5' }, /expected alg ECDH-ES/],
      [{ kty: 'EC', crv: 'P-256', x: 'AQ', y: 'AQ', use: 'enc' }, /expected a public key/],
    ] as const) {
      const start = gateWith({ jwe, clients: { 'apiKey:test': { keys: [jwk] } } })
      await expect(start).rejects.toThrow(message)
    }
    await expect(gateWith({ jwe })).rejects.toThrow(/add `clients`/)
  })
})

describe('T5: message signatures', () => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const ours = { 'apiKey:test': { keys: [{ ...publicKey.export({ format: 'jwk' }), kid: 'sig-1', use: 'sig' }] } }
  const signatures = { match: ['op:createOrder', 'op:listOrders'], request: 'required' }

  interface Signing {
    readonly method?: string
    readonly path?: string
    readonly body?: string
    readonly covers?: readonly string[]
    readonly parameters?: string
    readonly created?: number
    readonly kid?: string
    readonly key?: KeyObject
    readonly label?: string
    readonly headers?: Readonly<Record<string, string>>
    /** What is signed in place of the truth. */
    readonly instead?: Readonly<Record<string, string>>
  }

  let nonces = 0
  /** Signs as RFC 9421, 2.5 says, by hand. */
  function signed(gate: TestGate, of: Signing): Record<string, string> {
    const { method = 'POST', path = '/orders', body, label = 'sig', kid = 'sig-1', key = privateKey } = of
    const headers: Record<string, string> = { ...of.headers }
    if (body !== undefined) {
      headers['content-type'] ??= 'application/json'
      headers['content-digest'] ??= `sha-256=:${hash('sha256', body, 'base64')}:`
    }
    const covers = of.covers ?? ['@method', '@target-uri', ...(body === undefined ? [] : ['content-digest'])]
    const { host } = new URL(gate.url)
    const at = path.indexOf('?')
    const values: Record<string, string> = {
      '@method': method,
      '@target-uri': gate.url + path,
      '@authority': host,
      '@scheme': 'http',
      '@request-target': path,
      '@path': at === -1 ? path : path.slice(0, at),
      '@query': at === -1 ? '?' : path.slice(at),
      ...headers,
      ...of.instead,
    }
    const created = of.created ?? Math.floor(Date.now() / 1000)
    const parameters = of.parameters ?? `;created=${created};keyid="${kid}";nonce="n${++nonces}"`
    const input = `(${covers.map((name) => `"${name}"`).join(' ')})${parameters}`
    const base = [...covers.map((name) => `"${name}": ${values[name]}`), `"@signature-params": ${input}`].join('\n')
    const signature = sign(null, Buffer.from(base), key).toString('base64')
    return { ...headers, 'signature-input': `${label}=${input}`, signature: `${label}=:${signature}:` }
  }

  async function codeOf(gate: TestGate & { headers: Record<string, string> }, of: Signing, change: object = {}) {
    const reply = await gate.fetch(of.path ?? '/orders', {
      method: of.method ?? 'POST',
      headers: { ...gate.headers, ...signed(gate, of), ...change },
      ...(of.body === undefined ? {} : { body: of.body }),
    })
    const said = (await reply.json()) as { code?: string }
    return said.code ?? reply.status
  }

  const body = JSON.stringify(order)

  test('let a request pass that the caller signed, and none without', async () => {
    const gate = await gateWith({ signatures, clients: ours })
    expect(await codeOf(gate, { body })).toBe(201)
    expect(await codeOf(gate, { method: 'GET', path: '/orders?limit=5' })).toBe(200)
    const all = [
      '@method',
      '@authority',
      '@scheme',
      '@request-target',
      '@path',
      '@query',
      '@target-uri',
      'content-digest',
      'content-type',
    ]
    expect(await codeOf(gate, { body, covers: all })).toBe(201)
    const reply = await gate.fetch('/orders', { headers: gate.headers })
    expect(reply.status).toBe(400)
    expect(reply.headers.get('accept-signature')).toBe(
      'sig=("@method" "@target-uri" "content-digest");created;keyid;nonce',
    )
    expect(await reply.json()).toMatchObject({ code: 'payload.signature-missing' })
    expect(upstream.hits).toHaveLength(3)
    // Other operations are as they were.
    expect((await gate.fetch('/orders/7', { headers: gate.headers })).status).toBe(200)
  })

  test('refuse what was signed otherwise, always in the same words', async () => {
    const gate = await gateWith({ signatures, clients: ours })
    const stranger = generateKeyPairSync('ed25519').privateKey
    const now = Math.floor(Date.now() / 1000)
    const params = (text: string) => `${text};keyid="sig-1"`
    const bad: Record<string, [Signing, object?]> = {
      'another body': [{ body }, { 'content-digest': `sha-256=:${hash('sha256', '{}', 'base64')}:` }],
      'a digest of another body': [
        { body, headers: { 'content-digest': `sha-256=:${hash('sha256', '{}', 'base64')}:` } },
      ],
      'two digests, one wrong': [
        {
          body,
          headers: {
            'content-digest': `sha-256=:${hash('sha256', body, 'base64')}:, sha-512=:${hash('sha512', '{}', 'base64')}:`,
          },
        },
      ],
      'a digest nobody relies on': [{ body, headers: { 'content-digest': `md5=:${hash('md5', body, 'base64')}:` } }],
      'the body not covered': [{ body, covers: ['@method', '@target-uri'] }],
      'the target not covered': [{ body, covers: ['@method', 'content-digest'] }],
      'another target': [{ body, instead: { '@target-uri': `${gate.url}/orders?limit=1` } }],
      'another method': [{ body, instead: { '@method': 'GET' } }],
      "somebody else's key": [{ body, key: stranger }],
      'an unknown key id': [{ body, kid: 'sig-2' }],
      'a key id that is a path': [{ body, kid: '../../dev/null' }],
      'too old': [{ body, created: now - 301 }],
      'in the future': [{ body, created: now + 60 }],
      'no time': [{ body, parameters: params('') }],
      expired: [{ body, parameters: params(`;created=${now};expires=${now - 1}`) }],
      'another algorithm': [{ body, parameters: params(`;created=${now};alg="hmac-sha256"`) }],
      'a component twice': [{ body, covers: ['@method', '@method', '@target-uri', 'content-digest'] }],
      'a header that is not there': [{ body, covers: ['@method', '@target-uri', 'content-digest', 'x-none'] }],
      'a component that nobody knows': [{ body, covers: ['@method', '@target-uri', 'content-digest', '@status'] }],
      'a signature cut': [{ body }, { signature: 'sig=:AAAA:' }],
      'a label without signature': [{ body }, { signature: 'other=:AAAA:' }],
      'no dictionary': [{ body }, { 'signature-input': '((((' }],
      'an endless one': [{ body }, { 'signature-input': `sig=(${'"a" '.repeat(3_000)})` }],
    }
    const answers = new Set<string>()
    for (const [name, [of, change]] of Object.entries(bad)) {
      const reply = await gate.fetch('/orders', {
        method: 'POST',
        headers: { ...gate.headers, ...signed(gate, of), ...change },
        body,
      })
      expect(reply.status, name).toBe(400)
      const { instance: _, ...problem } = (await reply.json()) as { instance: string; code: string }
      expect(problem.code, name).toBe('payload.signature-invalid')
      answers.add(JSON.stringify(problem))
    }
    expect(answers.size).toBe(1)
    expect(upstream.hits).toHaveLength(0)
  })

  test('are good once: a copy is refused, and told', async () => {
    const gate = await gateWith({ signatures, clients: ours })
    const headers = { ...gate.headers, ...signed(gate, { body }) }
    const send = async () => (await gate.fetch('/orders', { method: 'POST', headers, body })).status
    expect(await send()).toBe(201)
    expect(await send()).toBe(400)
    expect(upstream.hits).toHaveLength(1)
  })

  test("are bound to the caller: one client's signature is none for another", async () => {
    const gate = await gateWith({ signatures, clients: ours })
    const headers = { 'x-api-key': await gate.key({ name: 'other' }), ...signed(gate, { body }) }
    expect((await gate.fetch('/orders', { method: 'POST', headers, body })).status).toBe(400)
  })

  test.each([
    ['P-256', () => generateKeyPairSync('ec', { namedCurve: 'P-256' }), 'sha256', { dsaEncoding: 'ieee-p1363' }],
    ['P-384', () => generateKeyPairSync('ec', { namedCurve: 'P-384' }), 'sha384', { dsaEncoding: 'ieee-p1363' }],
    [
      'RSA-PSS',
      () => generateKeyPairSync('rsa', { modulusLength: 2048 }),
      'sha512',
      { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 64 },
    ],
  ] as const)('may be made with %s', async (_, generate, digest, how) => {
    const pair = generate() as { publicKey: KeyObject; privateKey: KeyObject }
    const keys = [{ ...pair.publicKey.export({ format: 'jwk' }), kid: 'k', use: 'sig' }]
    const gate = await gateWith({ signatures, clients: { 'apiKey:test': { keys } } })
    const input = `("@method" "@target-uri");created=${Math.floor(Date.now() / 1000)};keyid="k";nonce="1"`
    const base = `"@method": GET\n"@target-uri": ${gate.url}/orders\n"@signature-params": ${input}`
    const signature = sign(digest, Buffer.from(base), { key: pair.privateKey, ...how }).toString('base64')
    const headers = { ...gate.headers, 'signature-input': `s=${input}`, signature: `s=:${signature}:` }
    expect((await gate.fetch('/orders', { headers })).status).toBe(200)
  })

  test('hold over encrypted bodies, too: signed is what came, opened is what goes on', async () => {
    const gate = await gateWith({ signatures, jwe: { match: 'op:createOrder', request: 'required' }, clients: ours })
    const sealed = await encrypt(await gateKey(gate), body)
    const reply = { body: sealed, headers: { 'content-type': 'application/jose' } }
    expect(await codeOf(gate, reply)).toBe(201)
    expect(JSON.parse(upstream.hits[0]!.body.toString())).toEqual(order)
    expect(upstream.hits[0]!.headers['content-digest']).toBeUndefined()
  })
})

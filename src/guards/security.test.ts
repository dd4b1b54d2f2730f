import { describe, expect, test } from 'vitest'
import { type CallInput, type GuardedInput, guarded, makeDocument } from '../../test/kit/calls.ts'
import { audience, startIssuer } from '../../test/kit/issuer.ts'
import { createApiKeys, type NewApiKey } from '../credentials/api-keys.ts'
import type { Denial } from '../gate/verdict.ts'
import type { ApiDocument } from '../openapi/operation.ts'
import { auth } from './auth.ts'
import { describeSecurity, openUnsecured, security, unsecuredOperations } from './security.ts'

const guards = [auth, security]
const schemes = {
  key: { type: 'apiKey', in: 'header', parameterName: 'X-API-Key' },
  second: { type: 'apiKey', in: 'header', parameterName: 'X-App-Key' },
  token: { type: 'oauth2' },
  login: { type: 'http', httpScheme: 'basic' },
  digest: { type: 'http', httpScheme: 'digest' },
  cert: { type: 'mutualTLS' },
} as const

async function gateFor(document: ApiDocument, more: Partial<GuardedInput> = {}) {
  const gate = await guarded({ guards, document, ...more })
  const keys = createApiKeys({ store: gate.store })
  return {
    key: async (input: Partial<NewApiKey> = {}) => (await keys.create({ name: 'a', ...input })).key,
    ask: async (input: CallInput & { operation?: string } = {}) =>
      (await gate.call(input)).verdict as Denial | undefined,
  }
}

describe('Z5: an operation', () => {
  const mail = makeDocument(schemes, [
    { id: 'read', security: [{ token: ['mail.read'] }] },
    { id: 'send', method: 'POST', security: [{ token: ['mail.send'] }] },
    { id: 'both', method: 'PUT', security: [{ token: ['mail.read', 'mail.send'] }] },
  ])

  test('asks for the scopes of its own document entry: mail.read reads and does not send', async () => {
    const { key, ask } = await gateFor(mail)
    const headers = { 'x-api-key': await key({ scopes: ['mail.read'] }) }
    expect(await ask({ operation: 'read', headers })).toBeUndefined()
    for (const [operation, scope] of [
      ['send', 'mail.send'],
      ['both', 'mail.read mail.send'],
    ] as const) {
      const refusal = await ask({ operation, headers })
      expect(refusal).toMatchObject({ status: 403, code: 'security.insufficient_scope' })
      expect(refusal!.headers).toEqual({
        'WWW-Authenticate': `Bearer realm="test", error="insufficient_scope", scope="${scope}"`,
      })
    }
    const all = { 'x-api-key': await key({ scopes: ['mail.read', 'mail.send', 'more'] }) }
    for (const operation of ['read', 'send', 'both']) expect(await ask({ operation, headers: all })).toBeUndefined()
  })

  test('takes no role for a scope, and takes it where the scheme knows no scopes', async () => {
    const document = makeDocument(schemes, [
      { id: 'oauth', security: [{ token: ['admin'] }] },
      { id: 'key', security: [{ key: ['admin'] }] },
    ])
    const { key, ask } = await gateFor(document)
    const headers = { 'x-api-key': await key({ roles: ['admin'] }) }
    expect(await ask({ operation: 'oauth', headers })).toMatchObject({ status: 403 })
    expect(await ask({ operation: 'key', headers })).toBeUndefined()
  })
})

describe('N10: an operation', () => {
  test('is closed unless the document says that it is open', async () => {
    const document = makeDocument(schemes, [
      { id: 'silent' },
      { id: 'open', security: [] },
      { id: 'optional', security: [{}, { key: [] }] },
      { id: 'declared', policy: { public: true } },
      { id: 'opened', security: [{ key: [] }], policy: { public: true } },
      { id: 'closed', security: [], policy: { public: false } },
    ])
    const { ask, key } = await gateFor(document)
    const headers = { 'x-api-key': await key() }
    for (const operation of ['silent', 'closed']) {
      expect(await ask({ operation }), operation).toMatchObject({ status: 401, code: 'security.credential-missing' })
      expect(await ask({ operation, headers }), operation).toBeUndefined()
      expect(await ask({ operation, headers: { 'x-api-key': 'bad' } })).toMatchObject({ status: 401 })
    }
    for (const operation of ['open', 'optional', 'declared', 'opened']) {
      expect(await ask({ operation }), operation).toBeUndefined()
    }
    // A caller who need not say who he is must not lie about it.
    expect(await ask({ operation: 'optional', headers: { 'x-api-key': 'bad' } })).toMatchObject({ status: 401 })
    expect(await ask({ operation: 'open', headers: { 'x-api-key': 'bad' } })).toBeUndefined()
  })

  test('that says nothing is found, so that a gate need not start with it', () => {
    const document = makeDocument(schemes, [
      { id: 'silent' },
      { id: 'open', security: [] },
      { id: 'declared', policy: { public: true } },
    ])
    expect(unsecuredOperations(document).map(({ id }) => id)).toEqual(['silent'])
    expect(openUnsecured(document).map((operation) => operation.security)).toEqual([[], [], undefined])
  })

  test('names every way in when the credential is missing', async () => {
    const issuer = await startIssuer()
    const document = makeDocument(schemes, [{ security: [{ key: [] }, { token: [] }, { login: [] }, { cert: [] }] }])
    const { ask } = await gateFor(document, {
      options: { auth: ['main', 'apiKey', 'basic', 'mtls'] },
      root: { issuers: { main: { issuer: issuer.url, audience } } },
    })
    const { headers } = (await ask())!
    expect(headers!['WWW-Authenticate']).toBe(
      'Bearer realm="test", resource_metadata="https://api.example.test/.well-known/oauth-protected-resource", ApiKey realm="test", in="X-API-Key", Basic realm="test", charset="UTF-8", ClientCertificate realm="test"',
    )
    await issuer.stop()
  })

  test('with a public flag that is neither true nor false is refused at load', async () => {
    const document = makeDocument(schemes, [{ security: [{ key: [] }], policy: { public: 'yes' } }])
    await expect(gateFor(document)).rejects.toThrow(/"public" must be true or false/)
  })
})

describe('alternatives of a document', () => {
  test('that ask for two keys at once are not satisfied by one', async () => {
    const document = makeDocument(schemes, [{ security: [{ key: [], second: [] }] }])
    const { ask, key } = await gateFor(document)
    const [one, two] = [await key(), await key()]
    expect(await ask({ headers: { 'x-api-key': one, 'x-app-key': two } })).toBeUndefined()
    expect(await ask({ headers: { 'x-api-key': one } })).toMatchObject({
      status: 401,
      code: 'security.credential-unfit',
    })
    expect(await ask({ headers: { 'x-app-key': two, authorization: `Bearer ${one}` } })).toMatchObject({ status: 401 })
    expect(await ask({ headers: { 'x-api-key': one, 'x-app-key': 'bad' } })).toMatchObject({ status: 401 })
  })

  test('count by the one that is fulfilled, whichever it is', async () => {
    const document = makeDocument(schemes, [{ security: [{ token: ['a', 'b'] }, { token: ['c'] }] }])
    const { ask, key } = await gateFor(document)
    for (const [scopes, status] of [
      [['a', 'b'], undefined],
      [['c'], undefined],
      [['a'], 403],
      [['b', 'd'], 403],
    ] as const) {
      expect((await ask({ headers: { 'x-api-key': await key({ scopes }) } }))?.status, scopes.join()).toBe(status)
    }
  })

  test('that nothing can prove are refused at load, with the place in the document', async () => {
    const document = makeDocument(schemes, [{ security: [{ cert: [] }, { digest: [] }] }])
    const refused = gateFor(document, { options: { auth: ['basic'] } })
    await expect(refused).rejects.toThrow(
      /asks for cert \(mutualTLS\), or digest \(http digest\), but nothing that "auth" lists/,
    )
    await expect(refused).rejects.toMatchObject({ code: 'P1407', place: { file: 'openapi.yaml' } })
    // One that can be proved is enough.
    const half = makeDocument(schemes, [{ security: [{ cert: [] }, { login: [] }] }])
    await expect(gateFor(half, { options: { auth: ['basic'] } })).resolves.toBeDefined()
  })

  test('are refused at load when no method is left to prove anything', async () => {
    const document = makeDocument(schemes, [{ security: [{ key: [] }] }])
    await expect(gateFor(document, { options: { auth: [] } })).rejects.toMatchObject({ code: 'P1406' })
    await expect(gateFor(document, { guards: [security] })).rejects.toMatchObject({ code: 'P1406' })
  })

  test('are proved by an API key where no method of their type is listed, and only then', async () => {
    const issuer = await startIssuer()
    const document = makeDocument(schemes, [
      { id: 'token', security: [{ token: [] }] },
      { id: 'login', security: [{ login: [] }] },
    ])
    const first = await gateFor(document)
    const headers = { 'x-api-key': await first.key() }
    expect(await first.ask({ operation: 'token', headers })).toBeUndefined()
    expect(await first.ask({ operation: 'login', headers })).toBeUndefined()
    const later = await gateFor(document, { root: { issuers: { main: { issuer: issuer.url, audience } } } })
    const other = { 'x-api-key': await later.key() }
    expect(await later.ask({ operation: 'token', headers: other })).toMatchObject({ code: 'security.credential-unfit' })
    expect(await later.ask({ operation: 'login', headers: other })).toBeUndefined()
    await issuer.stop()
  })

  test('are proved by what the configuration says for their scheme', async () => {
    const document = makeDocument(schemes, [{ security: [{ cert: [] }] }])
    for (const options of [
      { cert: ['apiKey'] },
      { cert: 'apiKey' },
      { methods: ['apiKey'], schemes: { cert: 'apiKey' } },
    ]) {
      const { ask, key } = await gateFor(document, { options: { auth: options } })
      expect(await ask({ headers: { 'x-api-key': await key() } })).toBeUndefined()
    }
  })
})

test('what an operation asks for can be told to people', async () => {
  const document = makeDocument(schemes, [
    { id: 'open', security: [] },
    { id: 'silent' },
    { id: 'mail', security: [{ token: ['mail.read'] }, {}] },
  ])
  await gateFor(document)
  const [open, silent, mail] = document.operations.map(describeSecurity)
  expect(open).toEqual({ public: true, optional: true, anyOf: [] })
  expect(silent).toEqual({
    public: false,
    optional: false,
    anyOf: [[{ scheme: undefined, methods: ['apiKey'], scopes: [] }]],
  })
  expect(mail).toEqual({
    public: false,
    optional: true,
    anyOf: [[{ scheme: 'token', methods: ['apiKey'], scopes: ['mail.read'] }]],
  })
})

import { Ajv2020 } from 'ajv/dist/2020.js'
import { TOTP } from 'otpauth'
import { Agent, fetch } from 'undici'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../../src/base/log.ts'
import { createApiKeys, type NewApiKey } from '../../src/credentials/api-keys.ts'
import { revokedTokensPrefix, tokenIdOf } from '../../src/credentials/revoked-tokens.ts'
import { createSessions } from '../../src/credentials/sessions.ts'
import { createUsers } from '../../src/credentials/users.ts'
import { createFactors } from '../../src/identity/factors.ts'
import {
  freePort,
  type GateInput,
  runCommand,
  type SpawnedGate,
  spawnGate,
  startGate,
  type TestGate,
  until,
} from '../kit/gate.ts'
import { audience, startIssuer } from '../kit/issuer.ts'
import { rawClient } from '../kit/raw.ts'
import { basic as clientBasic, secretOf, startTokenGate } from '../kit/token-gate.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'
import { services } from '../services.ts'

/*
 * The administration over HTTP, on its listener. Whatever a test asks, the answer is held against the API's own document by a
 * judge that is not ours.
 */

const noPostgres = await services.missing('postgres')
const noRedis = await services.missing('redis')
const password = 'correct horse battery'

let upstream: TestUpstream
const ends: (() => Promise<unknown>)[] = []
const agent = new Agent({ connect: { rejectUnauthorized: false } })

beforeAll(async () => {
  upstream = await startUpstream()
})
afterEach(async () => {
  for (const end of ends.splice(0).reverse()) await end()
})
afterAll(async () => {
  await agent.close()
  await upstream.stop()
})

// biome-ignore lint/suspicious/noExplicitAny: assertions look into it, and fail where it is another.
type Json = any

interface Reply {
  readonly status: number
  readonly body: Json
  readonly headers: Headers
  /** Status, and the code of a problem. */
  readonly said: string
}

interface Call {
  readonly as?: Record<string, string>
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** Asks an administration, and holds what it answers to its document. */
function client(base: string, document: () => Json) {
  const answers = new Map<string, ReturnType<Ajv2020['compile']>>()
  return async (method: string, path: string, { as = {}, body, headers = {} }: Call = {}): Promise<Reply> => {
    const reply = await fetch(`${base}/v1${path}`, {
      method,
      dispatcher: agent,
      redirect: 'manual',
      headers: { ...as, ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
      ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    })
    const text = await reply.text()
    const parsed = text === '' ? undefined : JSON.parse(text)
    judge(document(), method, path.split('?')[0]!, reply.status, reply.headers.get('content-type'), parsed)
    return {
      status: reply.status,
      body: parsed,
      headers: reply.headers as unknown as Headers,
      said: reply.status < 400 ? `${reply.status}` : `${reply.status} ${parsed.code}`,
    }
  }

  function judge(api: Json, method: string, path: string, status: number, type: string | null, body: unknown) {
    const template = Object.keys(api.paths).find((one) =>
      new RegExp(`^${one.replaceAll('.', '\\.').replaceAll(/\{\w+\}/g, '[^/]+')}$`).test(path),
    )
    const operation = template === undefined ? undefined : api.paths[template][method.toLowerCase()]
    const spec = operation?.responses[status] ?? operation?.responses.default ?? problemOf(api)
    if (spec.content === undefined) {
      expect(body).toBeUndefined()
      return
    }
    const [media] = Object.keys(spec.content)
    expect(type?.split(';')[0]).toBe(media)
    const { $ref } = spec.content[media!].schema
    let check = answers.get($ref)
    if (check === undefined) {
      const ajv = new Ajv2020({
        strict: false,
        formats: { 'date-time': (text: string) => !Number.isNaN(Date.parse(text)) },
      })
      check = ajv.compile({ $ref, components: api.components })
      answers.set($ref, check)
    }
    expect([check(body), check.errors, body]).toEqual([true, null, body])
  }

  function problemOf(api: Json) {
    return api.paths['/keys'].get.responses.default
  }
}

type Ask = ReturnType<typeof client>

const basic = (name: string, secret = password) => ({
  authorization: `Basic ${Buffer.from(`${name}:${secret}`).toString('base64')}`,
})

interface World {
  readonly gate: TestGate
  readonly base: string
  readonly ask: Ask
  readonly admin: Record<string, string>
  readonly operator: Record<string, string>
  readonly viewer: Record<string, string>
}

/** A gate with an administration, an administrator anna, and keys of the two lower levels. */
async function world(input: Partial<GateInput> = {}, admin: object = {}): Promise<World> {
  const gate = await startGate({
    upstream: upstream.url,
    ...input,
    root: { admin: { listen: '127.0.0.1:0', ...admin }, ...input.root },
  })
  ends.push(gate.stop)
  const { store } = gate.running.foundation
  if ((await createUsers({ store }).get('anna')) === undefined) {
    await createUsers({ store }).set('anna', password, { roles: ['portcullis:admin'] })
  }
  const base = `https://127.0.0.1:${gate.running.admin!.port}`
  const reply = await fetch(`${base}/v1/openapi.json`, { dispatcher: agent, headers: basic('anna') })
  const document = (await reply.json()) as Json
  expect(reply.status).toBe(200)
  const key = async (level: string) => ({
    'x-api-key': await keyOf(gate, { name: level, roles: [`portcullis:${level}`] }),
  })
  return {
    gate,
    base,
    ask: client(base, () => document),
    admin: basic('anna'),
    operator: await key('operator'),
    viewer: await key('viewer'),
  }
}

async function keyOf(gate: TestGate, input: NewApiKey): Promise<string> {
  return (await createApiKeys({ store: gate.running.foundation.store }).create(input)).key
}

/** Every operation of the document, with its parameters filled in. */
async function operations({
  ask,
  admin,
}: World): Promise<{ method: string; path: string; id: string; level: string }[]> {
  const { body } = await ask('GET', '/openapi.json', { as: admin })
  return Object.entries<Json>(body.paths).flatMap(([path, item]) =>
    ['get', 'post', 'patch', 'delete']
      .filter((method) => item[method] !== undefined)
      .map((method) => ({
        method: method.toUpperCase(),
        path: path.replace('{id}', 'AAAAAAAAAAAA').replace('{name}', 'nobody'),
        id: item[method].operationId,
        level: /portcullis:(\w+)/.exec(item[method].description ?? '')?.[1] ?? 'everyone',
      })),
  )
}

describe('keys', () => {
  test('are made, listed, shown, changed, rotated and revoked; a running gate follows each at once', async () => {
    const { gate, ask, operator, viewer } = await world()
    const made = await ask('POST', '/keys', {
      as: operator,
      body: {
        name: 'partner',
        scopes: ['orders:read'],
        plan: 'gold',
        expiresAt: new Date(Date.now() + 60_000).toISOString(),
      },
    })
    expect(made.said).toBe('201')
    const { key, id } = made.body
    expect(made.headers.get('location')).toBe(`/v1/keys/${id}`)
    const status = async (with_: string) => (await gate.fetch('/orders', { headers: { 'x-api-key': with_ } })).status
    expect(await status(key)).not.toBe(401)
    const shown = await ask('GET', `/keys/${id}`, { as: viewer })
    expect(shown.body).toMatchObject({ id, name: 'partner', plan: 'gold' })
    expect(shown.headers.get('etag')).toBe(made.headers.get('etag'))
    const changed = await ask('PATCH', `/keys/${id}`, {
      as: operator,
      headers: { 'if-match': shown.headers.get('etag')! },
      body: { note: 'changed', plan: null, cidrs: ['192.0.2.0/24'] },
    })
    expect(changed.body).toMatchObject({
      note: 'changed',
      plan: null,
      cidrs: ['192.0.2.0/24'],
      scopes: ['orders:read'],
    })
    expect(await status(key)).toBe(403)
    const rotated = await ask('POST', `/keys/${id}/rotate`, { as: operator, body: { graceSeconds: 0 } })
    expect(await status(key)).toBe(401)
    expect(await status(rotated.body.key)).toBe(403)
    const revoked = await ask('DELETE', `/keys/${id}`, { as: operator })
    expect(revoked.body.revokedAt).not.toBeNull()
    expect(await status(rotated.body.key)).toBe(401)
    expect((await ask('POST', `/keys/${id}/rotate`, { as: operator })).said).toBe('409 admin.revoked')
    const etag = { 'if-match': '*' }
    expect((await ask('PATCH', `/keys/${id}`, { as: operator, headers: etag, body: { note: 'x' } })).said).toBe(
      '409 admin.revoked',
    )
    expect((await ask('GET', '/keys/AAAAAAAAAAAA', { as: viewer })).said).toBe('404 admin.not-found')
  })

  test('are paged without a gap and without a double', async () => {
    const { gate, ask, viewer } = await world()
    for (let i = 0; i < 7; i++) await keyOf(gate, { name: `k${i}` })
    const ids: string[] = []
    let after = ''
    for (let pages = 0; pages < 10; pages++) {
      const { body } = await ask('GET', `/keys?limit=2${after}`, { as: viewer })
      expect(body.items.length).toBeLessThanOrEqual(2)
      ids.push(...body.items.map(({ id }: { id: string }) => id))
      if (body.next === undefined) break
      after = `&after=${body.next}`
    }
    expect(ids).toHaveLength(9)
    expect(new Set(ids).size).toBe(9)
    expect((await ask('GET', '/keys?limit=0', { as: viewer })).status).toBe(400)
    expect((await ask('GET', '/keys?limit=501', { as: viewer })).status).toBe(400)
    expect((await ask('GET', '/keys?offset=1', { as: viewer })).status).toBe(400)
  })

  test('a change that is based on what is no more is refused, one that says nothing, too; of two at once one wins', async () => {
    const { ask, operator } = await world()
    const { body, headers } = await ask('POST', '/keys', { as: operator, body: { name: 'a' } })
    const path = `/keys/${body.id}`
    const etag = { 'if-match': headers.get('etag')! }
    expect((await ask('PATCH', path, { as: operator, body: { note: 'x' } })).said).toBe(
      '428 admin.precondition-missing',
    )
    const race = await Promise.all(
      ['one', 'two', 'three'].map((note) => ask('PATCH', path, { as: operator, headers: etag, body: { note } })),
    )
    expect(race.map(({ said }) => said).sort()).toEqual([
      '200',
      '412 admin.changed-meanwhile',
      '412 admin.changed-meanwhile',
    ])
    const winner = race.find(({ status }) => status === 200)!
    expect((await ask('GET', path, { as: operator })).body.note).toBe(winner.body.note)
    expect((await ask('DELETE', path, { as: operator, headers: etag })).said).toBe('412 admin.changed-meanwhile')
    expect(
      (await ask('DELETE', path, { as: operator, headers: { 'if-match': winner.headers.get('etag')! } })).said,
    ).toBe('200')
  })

  test('a request that is sent again with its Idempotency-Key is done once and answered alike, secret and all', async () => {
    const { gate, ask, operator, admin } = await world()
    const send = (body: object, as = operator, key = 'once-1') =>
      ask('POST', '/keys', { as, body, headers: { 'idempotency-key': key } })
    const first = await send({ name: 'a' })
    const again = await send({ name: 'a' })
    expect([again.said, again.body, again.headers.get('etag')]).toEqual(['201', first.body, first.headers.get('etag')])
    expect((await send({ name: 'b' })).said).toBe('422 admin.idempotency-reused')
    expect((await send({ name: 'a' }, admin)).body.id).not.toBe(first.body.id)
    const many = await Promise.all(Array.from({ length: 8 }, () => send({ name: 'many' }, operator, 'once-2')))
    expect(new Set(many.filter(({ status }) => status === 201).map(({ body }) => body.id)).size).toBe(1)
    expect(many.every(({ said }) => said === '201' || said === '409 admin.idempotency-busy')).toBe(true)
    // What was refused was not done, and may be asked again.
    expect((await send({ name: 'x', cidrs: ['nowhere'] }, operator, 'once-3')).said).toBe('422 admin.refused')
    expect((await send({ name: 'x' }, operator, 'once-3')).said).toBe('201')
    const held = JSON.stringify(await gate.running.foundation.store.list('', { limit: 1_000 }))
    for (const { body } of [first, ...many]) if (body.key !== undefined) expect(held).not.toContain(body.key.slice(17))
  })
})

describe('grants', () => {
  test('are given, listed and ended; what cannot be is told with its code', async () => {
    const { gate, ask, operator, viewer } = await world()
    const body = { subject: 'anna', via: 'basic', roles: ['editor'], reason: 'ticket 4711' }
    const made = await ask('POST', '/grants', { as: operator, body: { ...body, forSeconds: 3_600 } })
    expect(made.body).toMatchObject({
      state: 'active',
      roles: ['editor'],
      grantedBy: expect.stringMatching(/^apiKey:/),
    })
    expect(Date.parse(made.body.until) - Date.parse(made.body.from)).toBe(3_600_000)
    expect((await ask('GET', '/grants', { as: viewer })).body.items).toHaveLength(1)
    const ended = await ask('DELETE', `/grants/${made.body.id}`, { as: operator })
    expect(ended.body).toMatchObject({ state: 'revoked', revokedBy: made.body.grantedBy })
    const refused = await ask('POST', '/grants', { as: operator, body: { ...body, until: '2020-01-01T00:00:00Z' } })
    expect([refused.said, refused.body.detail]).toEqual(['422 admin.refused', expect.stringContaining('P1044')])
    expect((await ask('POST', '/grants', { as: operator, body })).status).toBe(400)
    const both = { ...body, until: '2030-01-01T00:00:00Z', forSeconds: 1 }
    expect((await ask('POST', '/grants', { as: operator, body: both })).status).toBe(400)
    await until(async () => {
      const told = (await gate.lines()).filter(({ event }) => event === 'grant.made' || event === 'grant.revoked')
      return told.length === 2
    }, 'the events of the grant')
  })

  test('are for the method by which people come in; several, or a subject that nobody knows, must be said', async () => {
    const body = { subject: 'anna', roles: ['editor'], forSeconds: 3_600 }
    const tokenService = { issuer: 'https://127.0.0.1:9999/oauth' }
    const { gate, ask, operator } = await world({ root: { tokenService } })
    expect((await ask('POST', '/grants', { as: operator, body })).body.via).toBe('tokenService')
    const unknown = await ask('POST', '/grants', { as: operator, body: { ...body, subject: 'nobody' } })
    expect([unknown.said, unknown.body.detail]).toEqual(['422 admin.refused', expect.stringContaining('neither a key')])
    const words = ['--role', 'editor', '--for', '1h', '--config', `${gate.dir}/portcullis.yaml`]
    const add = (...more: string[]) => runCommand(['grant', 'add', 'anna', ...words, ...more], process.env, gate.dir)
    const given = await add()
    expect([given.stderr + given.stdout, given.code]).toEqual([expect.stringContaining('anna (tokenService) has'), 0])
    expect(given.stderr).not.toContain('warning')
    expect((await add('--via', 'basic')).stderr).toContain('warning: no API lists basic under `auth`')

    const both = await world({ api: { auth: ['apiKey', 'basic', 'tokenService'] }, root: { tokenService } })
    const asked = await both.ask('POST', '/grants', { as: both.operator, body })
    expect([asked.said, asked.body.detail]).toEqual([
      '422 admin.refused',
      expect.stringContaining('basic or tokenService'),
    ])
    expect((await both.ask('POST', '/grants', { as: both.operator, body: { ...body, via: 'basic' } })).said).toBe('201')
  })

  test('of an own role make an operator of a viewer for a while', async () => {
    const { ask, admin, operator, viewer } = await world()
    const { body: me } = await ask('GET', '/session', { as: viewer })
    const body = { subject: me.subject, via: 'apiKey', roles: ['portcullis:operator'], forSeconds: 60 }
    expect((await ask('POST', '/grants', { as: operator, body })).said).toBe('403 admin.own-role')
    const { body: grant } = await ask('POST', '/grants', { as: admin, body })
    const level = async () => (await ask('GET', '/session', { as: viewer })).body.level
    await until(async () => (await level()) === 'operator', 'the grant')
    expect((await ask('POST', '/keys', { as: viewer, body: { name: 'x' } })).said).toBe('201')
    expect((await ask('DELETE', `/grants/${grant.id}`, { as: operator })).said).toBe('403 admin.own-role')
    await ask('DELETE', `/grants/${grant.id}`, { as: admin })
    await until(async () => (await level()) === 'viewer', 'its end')
  })
})

describe('people', () => {
  test('sign in with their password, and with their second factor where they have one; Basic alone does not do then', async () => {
    const { gate, ask, admin, base } = await world()
    const { store, vault } = gate.running.foundation
    const signIn = (body: object) => ask('POST', '/session', { body: { name: 'anna', password, ...body } })
    const first = await signIn({})
    const cookie = first.headers.get('set-cookie')!
    expect(cookie).toMatch(
      /^__Host-portcullis-admin=pcs_\w{43}; Max-Age=\d+; Path=\/; Secure; HttpOnly; SameSite=Strict$/,
    )
    const session = { cookie: cookie.split(';')[0]! }
    expect((await ask('GET', '/session', { as: session })).body).toMatchObject({
      subject: 'anna',
      via: 'session',
      level: 'admin',
    })

    const factors = createFactors({ store, vault, now: Date.now, issuer: base, serviceName: 'test' })
    const offer = await factors.offerTotp('anna')
    const totp = new TOTP({ secret: offer.secret })
    const at = Date.now()
    expect(await factors.acceptTotp('anna', offer.sealed, totp.generate({ timestamp: at - 30_000 }))).toBe(true)
    expect((await ask('GET', '/keys', { as: admin })).said).toBe('403 admin.second-factor')
    expect((await signIn({})).said).toBe('401 admin.code-missing')
    expect((await signIn({ password: 'wrong horse battery' })).said).toBe('401 admin.sign-in')
    expect((await signIn({ code: '000000' })).said).toBe('401 admin.sign-in')
    const code = totp.generate({ timestamp: at })
    expect((await signIn({ code })).said).toBe('200')
    expect((await signIn({ code })).said).toBe('401 admin.sign-in')
    expect((await ask('DELETE', '/users/anna/factors', { as: session })).said).toBe('204')
    expect((await ask('GET', '/keys', { as: admin })).said).toBe('200')

    expect((await ask('DELETE', '/session', { as: session, headers: { origin: base } })).said).toBe('204')
    expect((await ask('GET', '/session', { as: session })).said).toBe('401 auth.session-refused')
  })

  test('who lost the role or the account, or got a new password, has lost every session', async () => {
    const { gate, ask, admin } = await world()
    const users = createUsers({ store: gate.running.foundation.store })
    await users.set('bo', password, { roles: ['portcullis:operator'] })
    const sessionOf = async () => {
      const { headers } = await ask('POST', '/session', { body: { name: 'bo', password } })
      return { cookie: headers.get('set-cookie')!.split(';')[0]! }
    }
    const session = await sessionOf()
    expect((await ask('GET', '/keys', { as: session })).said).toBe('200')
    expect((await ask('POST', '/ends', { as: admin, body: { subject: 'bo' } })).body).toMatchObject({ sessions: 1 })
    expect((await ask('GET', '/keys', { as: session })).said).toBe('401 auth.session-refused')
    const second = await sessionOf()
    expect((await ask('DELETE', '/users/bo', { as: admin })).said).toBe('204')
    expect((await ask('GET', '/keys', { as: second })).said).toBe('401 auth.session-refused')
    await users.set('bo', password, { roles: ['portcullis:operator'] })
    const next = await sessionOf()
    // By another program, which knows nothing of sessions.
    await users.remove('bo')
    expect((await ask('GET', '/keys', { as: next })).said).toBe('403 admin.level')
    // The same name again is somebody else.
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await users.set('bo', password, { roles: ['portcullis:operator'] })
    expect((await ask('GET', '/keys', { as: next })).said).toBe('403 admin.level')
    const third = await sessionOf()
    await new Promise((resolve) => setTimeout(resolve, 1_100))
    await users.set('bo', 'another horse battery', { roles: ['portcullis:operator'] })
    expect((await ask('GET', '/keys', { as: third })).said).toBe('403 admin.level')
  })

  test('are made once, listed without passwords, and removed', async () => {
    const { ask, admin, operator } = await world()
    const body = { name: 'cy', password: 'another horse battery', roles: ['portcullis:viewer'] }
    expect((await ask('POST', '/users', { as: operator, body })).said).toMatch(/^403 /)
    const made = await ask('POST', '/users', { as: admin, body })
    expect(made.body).toMatchObject({ name: 'cy', totp: false, passkeys: 0 })
    expect((await ask('POST', '/users', { as: admin, body: { ...body, password: 'yet another battery' } })).said).toBe(
      '409 admin.exists',
    )
    expect(
      (await ask('GET', '/users', { as: basic('cy', body.password) })).body.items.map(({ name }: Json) => name),
    ).toEqual(['anna', 'cy'])
    expect((await ask('POST', '/users/cy/unlock', { as: operator })).said).toBe('204')
    expect((await ask('DELETE', '/users/cy', { as: admin, headers: { 'if-match': '"other"' } })).said).toBe(
      '412 admin.changed-meanwhile',
    )
    expect(
      (await ask('DELETE', '/users/cy', { as: admin, headers: { 'if-match': made.headers.get('etag')! } })).said,
    ).toBe('204')
    expect((await ask('GET', '/users', { as: basic('cy', body.password) })).status).toBe(401)
  })

  test('of an issuer administer by the roles that the configuration names, and by no others', async () => {
    const issuer = await startIssuer()
    ends.push(issuer.stop)
    const { ask } = await world(
      {
        root: {
          issuers: { main: { issuer: issuer.url, audience }, other: { issuer: `${issuer.url}/other`, audience } },
        },
      },
      { auth: { oidc: 'main', roles: { 'sec-team': 'admin', devs: 'viewer' } } },
    )
    const as = async (roles: string[]) => ({ authorization: `Bearer ${await issuer.token({ roles })}` })
    const level = async (roles: string[]) => {
      const { said, body } = await ask('GET', '/session', { as: await as(roles) })
      return said === '200' ? body.level : said
    }
    expect(await level(['sec-team'])).toBe('admin')
    expect(await level(['devs'])).toBe('viewer')
    expect(await level(['devs', 'sec-team'])).toBe('admin')
    // Whoever fills in roles at the issuer does not know of ours.
    expect(await level(['portcullis:admin'])).toBe('403 admin.level')
    expect(await level(['admin', '__proto__', 'constructor'])).toMatch(/^403 /)
    expect(await level([])).toMatch(/^403 /)
    expect((await ask('POST', '/keys', { as: await as(['devs']), body: { name: 'x' } })).status).toBe(403)
  })
})

describe('tokens of the own token service', () => {
  test('administer where the configuration says what their roles mean, and only those that are for the administration, of clients that name it', async () => {
    const of = (name: string, roles: string[]) => ({ secret: secretOf(name), roles, scopes: ['orders:read'] })
    const gate = await startTokenGate({
      root: { admin: { listen: '127.0.0.1:0', auth: { oidc: 'tokenService', roles: { ops: 'operator' } } } },
      tokenService: {
        clients: {
          deploy: { ...of('deploy', ['ops']), resources: ['orders', 'portcullis-admin'] },
          other: { ...of('other', ['portcullis:admin']), resources: ['portcullis-admin'] },
          shop: of('shop', ['ops']),
        },
      },
    })
    ends.push(gate.stop)
    await createUsers({ store: gate.running.foundation.store }).set('boss', password, { roles: ['portcullis:admin'] })
    const admin = `${new URL(gate.issuer).origin}/portcullis-admin`
    const send = async (name: string, more: Record<string, string>) => {
      const { body } = await gate.post('/oauth/token', { grant_type: 'client_credentials', ...more }, clientBasic(name))
      const reply = await fetch(`https://127.0.0.1:${gate.running.admin!.port}/v1/session`, {
        dispatcher: agent,
        headers: { authorization: `Bearer ${body.access_token}` },
      })
      const answer = (await reply.json()) as Json
      return reply.status === 200 ? answer.level : `${reply.status} ${answer.code}`
    }
    expect(await send('deploy', { resource: admin })).toBe('operator')
    expect(await send('deploy', { scope: 'orders:read' })).toMatch(/^401 /)
    expect(await send('other', { resource: admin })).toBe('403 admin.level')
    const refused = await gate.post(
      '/oauth/token',
      { grant_type: 'client_credentials', resource: admin },
      clientBasic('shop'),
    )
    expect(refused.body).toMatchObject({ error: 'invalid_target' })
  })
})

describe('whoever may not', () => {
  test('without a credential learns nothing of any operation', async () => {
    const given = await world()
    for (const { method, path, id } of await operations(given)) {
      if (id === 'signIn') continue
      const { said } = await given.ask(method, path, method === 'GET' ? {} : { body: {} })
      expect([id, said]).toEqual([id, '401 security.credential-missing'])
    }
  })

  test('a viewer may write nothing, an operator nothing of administrators, whatever they send', async () => {
    const given = await world()
    const { ask, viewer, operator } = given
    const all = await operations(given)
    expect(all.length).toBeGreaterThan(30)
    for (const { method, path, id, level } of all) {
      if (level === 'viewer' || level === 'everyone') continue
      expect([id, (await ask(method, path, { as: viewer, body: {} })).status]).toEqual([id, 403])
      if (level === 'admin')
        expect([id, (await ask(method, path, { as: operator, body: {} })).status]).toEqual([id, 403])
    }
    expect(all.filter(({ method, level }) => method !== 'GET' && level === 'viewer').map(({ id }) => id)).toEqual([
      'signOut',
    ])
  })

  test('an operator does not become an administrator, by none of the ways there are', async () => {
    const { gate, ask, operator, admin } = await world()
    const bossKey = await keyOf(gate, { name: 'boss', roles: ['portcullis:admin'] })
    const boss = `/keys/${bossKey.slice(4, 16)}`
    const { body: me } = await ask('GET', '/session', { as: operator })
    const any = { 'if-match': '*' }
    const tries: [string, string, Call][] = [
      ['POST', '/keys', { body: { name: 'x', roles: ['portcullis:admin'] } }],
      ['POST', '/keys', { body: { name: 'x', roles: ['portcullis:viewer'] } }],
      ['PATCH', `/keys/${me.subject}`, { headers: any, body: { roles: ['portcullis:admin'] } }],
      ['PATCH', `/keys/${me.subject}`, { headers: any, body: { note: 'mine' } }],
      ['PATCH', boss, { headers: any, body: { roles: [] } }],
      ['POST', `${boss}/rotate`, {}],
      ['DELETE', boss, {}],
      ['POST', '/grants', { body: { subject: me.subject, via: 'apiKey', roles: ['portcullis:admin'], forSeconds: 9 } }],
    ]
    for (const [method, path, call] of tries) {
      expect([method, path, (await ask(method, path, { as: operator, ...call })).said]).toEqual([
        method,
        path,
        '403 admin.own-role',
      ])
    }
    expect((await ask('GET', boss, { as: admin })).body).toMatchObject({
      roles: ['portcullis:admin'],
      rotatedAt: null,
      revokedAt: null,
    })
    expect((await ask('GET', '/grants', { as: admin })).body.items).toEqual([])
  })

  test('an operator does not become one by roles of tokens that the configuration lets administer', async () => {
    const gate = await startTokenGate({
      root: {
        admin: { listen: '127.0.0.1:0', auth: { oidc: 'tokenService', roles: { chiefs: 'admin', ops: 'operator' } } },
      },
      tokenService: {
        clients: { deploy: { secret: secretOf('deploy'), roles: ['ops'], resources: ['portcullis-admin'] } },
      },
    })
    ends.push(gate.stop)
    const base = `https://127.0.0.1:${gate.running.admin!.port}`
    const chief = { 'x-api-key': await keyOf(gate, { name: 'chief', roles: ['portcullis:admin'] }) }
    const { body: token } = await gate.post(
      '/oauth/token',
      { grant_type: 'client_credentials', resource: `${new URL(gate.issuer).origin}/portcullis-admin` },
      clientBasic('deploy'),
    )
    const operator = { authorization: `Bearer ${token.access_token}` }
    const reply = await fetch(`${base}/v1/openapi.json`, { dispatcher: agent, headers: chief })
    const document = (await reply.json()) as Json
    const ask = client(base, () => document)
    const { body: me } = await ask('GET', '/session', { as: operator })
    expect(me.level).toBe('operator')
    const grant = { subject: me.subject, via: me.via, forSeconds: 60 }
    const clientOf = (id: string, roles: string[]) => ({ id, roles, auth: 'secret', grants: ['client_credentials'] })
    for (const [path, body] of [
      ['/grants', { ...grant, roles: ['chiefs'] }],
      ['/grants', { ...grant, roles: ['editor', 'ops'] }],
      ['/clients', clientOf('mine', ['chiefs'])],
    ] as const) {
      expect([path, (await ask('POST', path, { as: operator, body })).said]).toEqual([path, '403 admin.own-role'])
    }
    // Nor by a new secret of a client that has such a role; all other roles are theirs to give.
    expect((await ask('POST', '/clients', { as: chief, body: clientOf('theirs', ['chiefs']) })).said).toBe('201')
    expect((await ask('POST', '/clients/theirs/rotate', { as: operator, body: {} })).said).toBe('403 admin.own-role')
    expect((await ask('POST', '/grants', { as: operator, body: { ...grant, roles: ['editor'] } })).said).toBe('201')
    expect((await ask('GET', '/session', { as: operator })).body.level).toBe('operator')
  })

  test('roles of customers, sessions of their APIs and plain keys open nothing', async () => {
    const { gate, ask } = await world()
    const { store } = gate.running.foundation
    const sessions = createSessions({ store, log: silentLogger })
    const sessionWith = async (claims: object) => ({
      cookie: `__Host-portcullis-admin=${await sessions.create({ subject: 'anna', claims: claims as never, ttlMs: 60_000 })}`,
    })
    await createUsers({ store }).set('customer', password, {
      roles: ['admin', 'Portcullis:admin', 'portcullis:adminx'],
    })
    const callers = [
      {
        'x-api-key': await keyOf(gate, {
          name: 'x',
          roles: ['admin', 'portcullis:root', 'PORTCULLIS:ADMIN'],
        }),
      },
      { 'x-api-key': await keyOf(gate, { name: 'x', scopes: ['portcullis:admin'] }) },
      basic('customer'),
      await sessionWith({ roles: ['portcullis:admin'] }),
      await sessionWith({ roles: ['portcullis:admin'], audience: 'https://api.example' }),
      await sessionWith({ roles: ['portcullis:admin'], audience: 'portcullis:admin-api' }),
    ]
    for (const as of callers) expect((await ask('GET', '/keys', { as })).status).toBe(403)
  })

  test('another web site cannot use the session of an administrator, whatever it sends along', async () => {
    const { ask, base } = await world()
    const { headers } = await ask('POST', '/session', { body: { name: 'anna', password } })
    const cookie = headers.get('set-cookie')!.split(';')[0]!
    const send = (more: Record<string, string>, method = 'POST') =>
      ask(method, '/keys', { as: { cookie, ...more }, ...(method === 'POST' ? { body: { name: 'csrf' } } : {}) })
    for (const origin of [
      'https://evil.example',
      'null',
      base.replace('https', 'http'),
      `${base}.evil.example`,
      'https://localhost',
    ]) {
      expect([origin, (await send({ origin })).said]).toEqual([origin, '403 auth.session-cross-site'])
    }
    expect((await send({ 'sec-fetch-site': 'cross-site' })).said).toBe('403 auth.session-cross-site')
    expect((await send({ origin: base })).said).toBe('201')
    const form = {
      as: { cookie, origin: base, 'content-type': 'text/plain' },
      body: '{"name":"csrf"}',
      headers: { 'content-type': 'text/plain' },
    }
    expect((await ask('POST', '/keys', form)).status).toBe(415)
    // Nor may it read: no answer names an origin that may.
    const reply = await send({ origin: 'https://evil.example' }, 'GET')
    expect(reply.headers.get('access-control-allow-origin')).toBeNull()
  })

  test('members that the document does not list are refused, wherever they would lead', async () => {
    const { gate, ask, operator, admin } = await world()
    const { body: key, headers } = await ask('POST', '/keys', { as: operator, body: { name: 'a' } })
    const etag = { 'if-match': headers.get('etag')! }
    for (const extra of [
      { id: 'AAAAAAAAAAAA' },
      { hash: 'x' },
      { key: 'pck_x' },
      { revokedAt: null },
      { createdAt: '2020-01-01T00:00:00Z' },
      { previous: { hash: 'x', until: 9e15 } },
      { constructor: { prototype: {} } },
    ]) {
      expect((await ask('POST', '/keys', { as: operator, body: { name: 'x', ...extra } })).status).toBe(400)
      expect(
        (await ask('PATCH', `/keys/${key.id}`, { as: operator, headers: etag, body: { note: 'x', ...extra } })).status,
      ).toBe(400)
    }
    expect(
      (await ask('POST', '/keys', { as: operator, body: '{"name":"x","__proto__":{"roles":["portcullis:admin"]}}' }))
        .status,
    ).toBe(400)
    expect((await ask('POST', '/keys', { as: operator, body: '{"name":"x","name":"y"}' })).status).toBe(400)
    const user = { name: 'dy', password }
    for (const extra of [{ hash: '$argon2id$' }, { totp: false }, { changedAt: 0 }]) {
      expect((await ask('POST', '/users', { as: admin, body: { ...user, ...extra } })).status).toBe(400)
    }
    expect(
      (
        await ask('POST', '/grants', {
          as: operator,
          body: { subject: 'a', via: 'basic', roles: ['x'], forSeconds: 1, grantedBy: 'root' },
        })
      ).status,
    ).toBe(400)
    expect((await createApiKeys({ store: gate.running.foundation.store }).get(key.id))!.note).toBeUndefined()
  })

  test.each([
    '/v1/keys/../users',
    '/v1/keys/%2e%2e/users',
    '/v1/keys/..%2fusers',
    '/v1/keys/%2e%2e%2fusers%2fanna',
    '/v1/keys\\..\\users',
    '//v1/keys',
    '/v1//keys',
    '/v1/keys/',
    '/V1/keys',
    '/v1/keys;x=y',
    '/v1/keys/%00',
    '/v1/users/anna%00',
    '/v1/keys/..;/users',
    '/v2/keys',
    '/v1/../v1/keys',
    '/v1/keys/%252e%252e',
    '/',
    '/v1',
    '/admin',
    '/v1/keys/user%2Fanna',
  ])('odd paths lead nowhere: %s', async (path) => {
    const { gate, admin } = await world()
    const raw = await rawClient(gate.running.admin!.port, {})
    raw.send(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: ${admin.authorization}\r\nConnection: close\r\n\r\n`,
    )
    const status = await raw.status()
    expect([400, 404]).toContain(status)
    expect(await raw.whole()).not.toContain('"roles"')
  })

  test('huge, deep and broken bodies are refused before anything is done', async () => {
    const { ask, operator, admin } = await world()
    const send = async (body: string) => (await ask('POST', '/keys', { as: operator, body })).status
    expect(await send(JSON.stringify({ name: 'x', note: 'x'.repeat(70_000) }))).toBe(413)
    expect(await send(`{"name":${'['.repeat(5_000)}${']'.repeat(5_000)}}`)).toBe(400)
    expect(await send('{"name":"x"')).toBe(400)
    expect(await send('')).toBe(400)
    expect(await send(JSON.stringify({ name: 'x', scopes: Array.from({ length: 257 }, (_, i) => `s${i}`) }))).toBe(400)
    expect((await ask('GET', '/keys', { as: admin })).body.items.map(({ name }: Json) => name).sort()).toEqual([
      'operator',
      'viewer',
    ])
  })

  test('guesses of passwords end at 429, by Basic and by sign-in, and say the same of names that there are not', async () => {
    const { ask } = await world()
    const answers = new Map<string, Set<string>>()
    for (const name of ['anna', 'nobody']) {
      const said = new Set<string>()
      for (let i = 0; i < 7; i++) {
        const { body, said: code } = await ask('POST', '/session', { body: { name, password: `wrong horse ${i}xx` } })
        said.add(`${code} ${body.detail}`)
      }
      answers.set(name, said)
    }
    const wrong = '401 admin.sign-in The name, the password or the code is wrong.'
    expect([...answers.get('anna')!][0]).toBe(wrong)
    expect([...answers.get('nobody')!][0]).toBe(wrong)
    expect([...answers.get('anna')!, ...answers.get('nobody')!].some((one) => one.startsWith('429 '))).toBe(true)
    const statuses: number[] = []
    for (let i = 0; i < 40; i++) {
      statuses.push((await ask('GET', '/keys', { as: basic('anna', `wrong horse ${i}yy`) })).status)
      if (statuses.at(-1) === 429) break
    }
    expect(statuses.at(-1)).toBe(429)
  })
})

describe('secrets', () => {
  test('stand in no list, no log, no event, no message and not in the store, but in the one answer that made them', async () => {
    const given = await world()
    const { gate, ask, admin, operator } = given
    const made = await ask('POST', '/keys', { as: operator, body: { name: 'a' }, headers: { 'idempotency-key': 'k' } })
    const rotated = await ask('POST', `/keys/${made.body.id}/rotate`, { as: operator })
    await ask('POST', '/users', { as: admin, body: { name: 'eve', password: 'stable staple battery' } })
    const signedIn = await ask('POST', '/session', { body: { name: 'anna', password } })
    const cookie = signedIn.headers.get('set-cookie')!.split(';')[0]!.split('=')[1]!
    const secrets = [made.body.key.slice(17), rotated.body.key.slice(17), password, 'stable staple', cookie]
    const texts: string[] = []
    for (const { method, path, id } of await operations(given)) {
      if (method !== 'GET' || id === 'showDocument') continue
      texts.push(JSON.stringify((await ask(method, path, { as: admin })).body))
    }
    texts.push(JSON.stringify((await ask('GET', `/keys/${made.body.id}`, { as: admin })).body))
    texts.push(JSON.stringify((await ask('GET', '/users/eve', { as: admin })).body))
    texts.push(JSON.stringify(await gate.lines(10)), JSON.stringify(gate.messages))
    texts.push(JSON.stringify(await gate.running.foundation.store.list('', { limit: 10_000 })))
    for (const text of texts) for (const secret of secrets) expect(text).not.toContain(secret)
    for (const text of texts.slice(0, -1)) expect(text).not.toMatch(/\$argon2id|"hash"/)
  })

  test('every change leaves a line that says who did what to what, with what it was and became', async () => {
    const { gate, ask, admin } = await world()
    const { body, headers } = await ask('POST', '/keys', { as: admin, body: { name: 'a' } })
    await ask('PATCH', `/keys/${body.id}`, {
      as: admin,
      headers: { 'if-match': headers.get('etag')! },
      body: { name: 'b' },
    })
    const lines = await until(async () => {
      const found = (await gate.lines()).filter(({ event, id }) => event === 'admin.changed' && id === body.id)
      return found.length === 2 ? found : undefined
    }, 'two lines')
    const [made, changed] = lines
    expect(made).toMatchObject({ subject: 'anna', address: '127.0.0.1', detail: { action: 'createKey', via: 'basic' } })
    expect([JSON.parse(changed!.detail.before).name, JSON.parse(changed!.detail.after).name]).toEqual(['a', 'b'])
    const { body: events } = await ask('GET', '/events?limit=1', { as: admin })
    expect(events.items).toMatchObject([{ event: 'admin.changed', id: body.id, detail: { action: 'changeKey' } }])
    const { body: earlier } = await ask('GET', `/events?limit=1&after=${events.next}`, { as: admin })
    expect(earlier.items).toMatchObject([{ detail: { action: 'createKey' } }])
  })
})

describe('the listener', () => {
  test('answers 503 with what to do as long as there is no administrator, and serves as soon as there is one', async () => {
    const gate = await startGate({ upstream: upstream.url, root: { admin: { listen: '127.0.0.1:0' } } })
    ends.push(gate.stop)
    const get = async (headers = {}) => {
      const reply = await fetch(`https://127.0.0.1:${gate.running.admin!.port}/v1/version`, {
        dispatcher: agent,
        headers,
      })
      return { status: reply.status, body: (await reply.json()) as Json }
    }
    expect(await get()).toMatchObject({
      status: 503,
      body: { code: 'admin.no-administrator', detail: expect.stringContaining('portcullis admin create') },
    })
    expect((await get(basic('admin', 'admin'))).status).toBe(503)
    await createUsers({ store: gate.running.foundation.store }).set('anna', password, { roles: ['portcullis:admin'] })
    await until(async () => (await get(basic('anna'))).status === 200, 'the administrator to be seen')
  })

  test('is off unless asked for, stands apart from the APIs, and goes on over a reload', async () => {
    const plain = await startGate({ upstream: upstream.url })
    ends.push(plain.stop)
    expect(plain.running.admin).toBeUndefined()
    const { gate, ask, admin } = await world()
    const onApi = await gate.fetch('/v1/keys', { headers: admin })
    expect(onApi.status).toBe(404)
    await gate.reload({ api: { limits: { default: { rate: '10/min' } } } })
    expect((await ask('GET', '/keys', { as: admin })).said).toBe('200')
    expect((await ask('GET', '/health', { as: admin })).body).toMatchObject({ healthy: true, store: 'answers' })
  })

  test.each([
    ['an address that others reach', { listen: '0.0.0.0:0' }],
    ['one without TLS', { listen: '0.0.0.0:0', anywhere: true, tls: 'off' }],
    ['an issuer that there is not', { auth: { oidc: 'main', roles: {} } }],
    ['roles without an issuer', { auth: { roles: { x: 'admin' } } }],
    ['a level that there is not', { auth: { oidc: 'main', roles: { x: 'root' } } }],
  ])('refuses to start on %s', async (_, admin) => {
    await expect(startGate({ upstream: upstream.url, root: { admin } })).rejects.toThrow(/admin/)
  })
})

describe('clients and tokens', () => {
  const withService = {
    root: {
      tokenService: { issuer: 'https://127.0.0.1:9999/oauth' },
      listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }],
    },
  }

  test('who is removed has lost the tokens that were given out in their name', async () => {
    const { gate, ask, admin } = await world(withService)
    const { store, localIssuer } = gate.running.foundation
    await createUsers({ store }).set('bo', password, {})
    const ended = () => store.get(revokedTokensPrefix + tokenIdOf(localIssuer!.issuer, 'subject:bo'))
    expect(await ended()).toBeUndefined()
    expect((await ask('DELETE', '/users/bo', { as: admin })).said).toBe('204')
    expect(await ended()).toMatchObject({ before: expect.any(Number) })
  })

  test('clients are made, listed, rotated and revoked; what they were given is ended', async () => {
    const { ask, admin, operator, viewer } = await world(withService)
    const made = await ask('POST', '/clients', { as: operator, body: { id: 'batch', scopes: ['orders:read'] } })
    expect(made.body).toMatchObject({ id: 'batch', from: 'store', grants: ['client_credentials'] })
    expect(made.body.secret.length).toBeGreaterThan(31)
    expect((await ask('GET', '/clients', { as: viewer })).body.items).toMatchObject([{ id: 'batch' }])
    expect(JSON.stringify((await ask('GET', '/clients/batch', { as: viewer })).body)).not.toContain(made.body.secret)
    const rotated = await ask('POST', '/clients/batch/rotate', { as: operator, body: { graceSeconds: 60 } })
    expect(rotated.body.secret).not.toBe(made.body.secret)
    expect(
      (await ask('POST', '/clients', { as: operator, body: { id: 'boss', roles: ['portcullis:admin'] } })).said,
    ).toBe('403 admin.own-role')
    expect(
      (await ask('POST', '/clients', { as: operator, body: { id: 'boss', resources: ['portcullis-admin'] } })).said,
    ).toBe('403 admin.own-role')
    // Nobody would be asked before it had tokens in the name of whoever follows a link.
    const trusted = { id: 'own', trusted: true, grants: ['authorization_code'], redirects: ['https://own.example/'] }
    expect((await ask('POST', '/clients', { as: operator, body: trusted })).said).toBe('403 admin.own-role')
    expect((await ask('POST', '/clients', { as: admin, body: trusted })).status).toBe(201)
    expect((await ask('POST', '/clients/own/rotate', { as: operator })).said).toBe('403 admin.own-role')
    expect((await ask('GET', '/consents', { as: viewer })).body.items).toEqual([])
    expect((await ask('POST', '/ends', { as: operator, body: { client: 'batch' } })).body).toEqual({
      sessions: 0,
      tokens: true,
    })
    expect((await ask('DELETE', '/clients/batch', { as: operator })).body.revokedAt).not.toBeNull()
    const { body: keys } = await ask('GET', '/signing-keys', { as: viewer })
    expect(keys.items).toHaveLength(1)
    expect((await ask('POST', '/signing-keys/rotate', { as: operator })).status).toBe(403)
    expect((await ask('POST', '/signing-keys/rotate', { as: admin })).said).toBe('204')
  })

  test('N11: a client has the bounds it was made with; what bounds nothing that exists is refused', async () => {
    const { ask, operator, viewer } = await world(withService)
    const bounds = { cidrs: ['203.0.113.0/24'], origins: ['https://shop.example'], operations: ['op:listOrders'] }
    const make = (body: object) => ask('POST', '/clients', { as: operator, body })
    expect((await make({ id: 'partner', bounds })).said).toBe('201')
    expect((await ask('GET', '/clients/partner', { as: viewer })).body.bounds).toEqual(bounds)
    expect((await make({ id: 'everywhere' })).body.bounds).toBeNull()
    const { status, said, body } = await make({ id: 'typo', bounds: { cidrs: ['nowhere'] } })
    expect([status, said, body.detail]).toEqual([422, '422 admin.refused', expect.stringContaining('nowhere')])
    expect((await make({ id: 'typo', bounds: { cidr: ['203.0.113.0/24'] } })).status).toBe(400)
    expect((await ask('GET', '/clients/typo', { as: viewer })).status).toBe(404)
  })

  test('where no tokens are issued that is said', async () => {
    const { ask, admin } = await world()
    for (const path of ['/clients', '/consents', '/signing-keys']) {
      expect((await ask('GET', path, { as: admin })).said).toBe('409 admin.no-token-service')
    }
  })

  test('the vault is shown and rotated, and never a key of it', async () => {
    const { ask, admin, operator, viewer } = await world()
    await ask('POST', '/keys', { as: operator, body: { name: 'a' }, headers: { 'idempotency-key': 'x' } })
    const before = (await ask('GET', '/vault', { as: viewer })).body.items
    expect(before).toMatchObject([{ purpose: 'admin/idempotency', keys: [{ state: 'seals' }] }])
    const rotated = await ask('POST', '/vault/rotate', {
      as: admin,
      body: { purpose: 'admin/idempotency', graceSeconds: 3_600 },
    })
    const after = (await ask('GET', '/vault', { as: viewer })).body.items
    expect(after[0].keys.map(({ id, state }: Json) => [id, state])).toEqual([
      [rotated.body.key, 'seals'],
      [before[0].keys[0].id, 'opens'],
    ])
    expect((await ask('POST', '/vault/rotate', { as: admin, body: { purpose: 'nothing' } })).said).toBe(
      '404 admin.not-found',
    )
  })
})

const pairs = [
  { name: 'SQLite and memory', missing: false as string | false },
  { name: 'PostgreSQL and Redis', missing: noPostgres || noRedis },
]

describe.each(pairs)('two gates on $name', ({ name, missing }) => {
  test.skipIf(missing)('what one administers holds at the other within a second, sessions among it', async () => {
    const root: Json = {}
    if (name.startsWith('Postgre')) {
      const [postgres, redis] = [await services.postgres(), await services.redis()]
      ends.push(postgres.close, redis.close)
      root.store = { url: postgres.url }
      root.counters = { url: `${redis.url}?timeoutMs=10000` }
      root.secrets = { sealWith: Buffer.alloc(32, 7).toString('base64') }
    }
    const one = await world({ root })
    const sealWith = root.secrets ?? { sealWith: { file: `${one.gate.dir}/.portcullis/master.key` } }
    // The embedded store's own key is made with the first seal.
    await one.ask('POST', '/keys', {
      as: one.operator,
      body: { name: 'first' },
      headers: { 'idempotency-key': 'first' },
    })
    const two = await world({ root: { store: { url: `sqlite:${one.gate.dir}/state.db` }, ...root, secrets: sealWith } })
    const { body: key, headers } = await one.ask('POST', '/keys', {
      as: one.operator,
      body: { name: 'shared' },
      headers: { 'idempotency-key': 'a' },
    })
    // The same request at the other gate is the same request.
    const again = await two.ask('POST', '/keys', {
      as: one.operator,
      body: { name: 'shared' },
      headers: { 'idempotency-key': 'a' },
    })
    expect([again.body, again.headers.get('etag')]).toEqual([key, headers.get('etag')])
    const status = async () => (await two.gate.fetch('/orders', { headers: { 'x-api-key': key.key } })).status
    await until(async () => (await status()) !== 401, 'the key at the other gate', 1_000)
    await until(async () => {
      const { body } = await two.ask('GET', '/events', { as: two.viewer })
      return body.items.some(({ id }: Json) => id === key.id)
    }, 'the event at the other gate')
    await one.ask('DELETE', `/keys/${key.id}`, { as: one.operator })
    await until(async () => (await status()) === 401, 'the revocation at the other gate', 1_000)
    const signedIn = await one.ask('POST', '/session', { body: { name: 'anna', password } })
    const session = { cookie: signedIn.headers.get('set-cookie')!.split(';')[0]! }
    expect((await two.ask('GET', '/session', { as: session })).said).toBe('200')
    expect((await one.ask('DELETE', '/session', { as: { ...session, origin: one.base } })).said).toBe('204')
    await until(
      async () => (await two.ask('GET', '/session', { as: session })).status === 401,
      'the end of the session',
      1_000,
    )
    expect((await two.ask('GET', '/keys', { as: one.viewer })).said).toBe('200')
  })
})

describe('by command and kill -9', () => {
  let gate: SpawnedGate
  afterEach(async () => {
    await gate.stop('SIGKILL').catch(() => {})
    await gate.remove()
  })

  test('the first administrator is made once, without a default; what was acknowledged outlives kill -9', {
    timeout: 60_000,
  }, async () => {
    const port = await freePort()
    gate = await spawnGate({ upstream: upstream.url, root: { admin: { listen: `127.0.0.1:${port}` } } })
    const withPassword = async (text: string, ...words: string[]) => {
      const { spawn } = await import('node:child_process')
      const root = new URL('../..', import.meta.url).pathname
      const args = [`${root}bin/portcullis.js`, ...words, '--password-stdin', '--config', `${gate.dir}/portcullis.yaml`]
      const child = spawn(process.execPath, args, { env: { ...process.env, NO_COLOR: '1' } })
      let output = ''
      for (const stream of [child.stdout, child.stderr]) stream.on('data', (piece) => (output += piece))
      child.stdin.end(text)
      const code = await new Promise<number | null>((resolve) => child.once('exit', resolve))
      return { code, output }
    }
    const made = await withPassword(`${password}\n`, 'admin', 'create', 'anna')
    expect(made).toMatchObject({ code: 0, output: expect.not.stringContaining(password) })
    expect(await withPassword('another horse battery', 'admin', 'create', 'eve')).toMatchObject({
      code: 1,
      output: expect.stringContaining('There is an administrator already: anna'),
    })
    expect(
      await withPassword('another horse battery', 'admin', 'create', 'bo', '--level', 'viewer', '--force'),
    ).toMatchObject({ code: 0 })
    expect((await gate.command('admin', 'list')).stdout).toMatch(/anna +portcullis:admin\n.*bo +portcullis:viewer/s)

    const call = async (method: string, path: string, body?: object) => {
      const reply = await fetch(`https://127.0.0.1:${port}/v1${path}`, {
        method,
        dispatcher: agent,
        headers: { ...basic('anna'), ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      })
      return { status: reply.status, body: (await reply.json().catch(() => undefined)) as Json }
    }
    await until(async () => (await call('GET', '/keys')).status === 200, 'the administrator to be seen')
    const revoked = (await call('POST', '/keys', { name: 'revoked' })).body
    expect((await call('DELETE', `/keys/${revoked.id}`)).status).toBe(200)
    const made1 = await call('POST', '/keys', { name: 'kept' })
    await gate.stop('SIGKILL')
    gate = await gate.again()
    const list = (
      await until(async () => {
        const reply = await call('GET', '/keys').catch(() => undefined)
        return reply?.status === 200 ? reply : undefined
      }, 'the administration to be back')
    ).body.items
    const states = Object.fromEntries(list.map((key: Json) => [key.name, key.revokedAt === null]))
    expect(states).toEqual({ revoked: false, kept: true })
    expect(list.find((key: Json) => key.name === 'kept').id).toBe(made1.body.id)
  })
})

import { Agent, fetch } from 'undici'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest'
import { type ConfigError, ConfigErrors } from '../../src/base/errors.ts'
import { explainRequest } from '../../src/watch/index.ts'
import { type GateInput, startGate, type TestGate } from '../kit/gate.ts'
import { audience, startIssuer, type TestIssuer } from '../kit/issuer.ts'
import { testAuthority, testCertificate } from '../kit/pki.ts'
import { startUpstream, type TestUpstream } from '../kit/upstream.ts'

/*
 * Lists, roles, scopes, rules and policies together on the real listening program: what each of them lets through, and what
 * the decision log says. What the language of rules means is shown in src/rules/rules.test.ts.
 */

/** A Wednesday, 10:30 in UTC. */
const wednesday = Date.parse('2026-11-25T10:30:00Z')

let upstream: TestUpstream
let issuer: TestIssuer
let gate: TestGate

beforeAll(async () => {
  upstream = await startUpstream()
})
beforeEach(async () => {
  upstream.hits.length = 0
  issuer = await startIssuer()
})
afterEach(async () => {
  await gate?.stop()
  await issuer.stop()
  vi.useRealTimers()
})
afterAll(() => upstream.stop())

const responses = { 200: { description: 'Done.' } }
const json = { content: { 'application/json': { schema: { type: 'object', additionalProperties: true } } } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Shop', version: '1' },
  components: {
    securitySchemes: {
      main: {
        type: 'oauth2',
        flows: {
          clientCredentials: {
            tokenUrl: 'https://id.example.test/token',
            scopes: { 'mail.read': '', 'mail.send': '' },
          },
        },
      },
    },
  },
  paths: {
    '/mail': {
      get: { operationId: 'readMail', security: [{ main: ['mail.read'] }], responses },
      post: { operationId: 'sendMail', security: [{ main: ['mail.send'] }], responses },
    },
    '/orders/{id}': {
      parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }],
      get: { operationId: 'getOrder', tags: ['orders'], security: [{ main: [] }], responses },
      put: { operationId: 'putOrder', tags: ['orders'], security: [{ main: [] }], requestBody: json, responses },
    },
    '/refunds': {
      post: { operationId: 'refund', tags: ['money'], security: [{ main: [] }], requestBody: json, responses },
    },
    '/health': { get: { operationId: 'health', security: [], responses } },
  },
}

interface Input extends Partial<GateInput> {
  readonly authorize: object
}

async function open({ authorize, api, root, ...input }: Input): Promise<TestGate> {
  gate = await startGate({
    document,
    upstream: upstream.url,
    ...input,
    root: {
      issuers: { main: { issuer: issuer.url, audience } },
      places: { office: ['203.0.113.0/24'], home: ['127.0.0.0/8'] },
      trustedProxies: ['127.0.0.1/32'],
      ...root,
    },
    api: { auth: ['main'], authorize, limits: { mode: 'off' }, ...api },
  })
  return gate
}

interface Call {
  readonly method?: string
  readonly from?: string
  readonly body?: unknown
  readonly headers?: Record<string, string>
}

/** The answer in short: its status, and where it is a refusal, its code. */
async function ask(path: string, claims: object | undefined, call: Call = {}) {
  const iat = Math.floor(Date.now() / 1000)
  const token = claims === undefined ? undefined : await issuer.token({ iat, exp: iat + 600, ...claims })
  const reply = await gate.fetch(path, {
    method: call.method ?? (call.body === undefined ? 'GET' : 'POST'),
    headers: {
      ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      ...(call.from === undefined ? {} : { 'x-forwarded-for': call.from }),
      ...(call.body === undefined ? {} : { 'content-type': 'application/json' }),
      ...call.headers,
    },
    ...(call.body === undefined ? {} : { body: JSON.stringify(call.body) }),
  })
  const text = await reply.text()
  const problem = reply.ok ? undefined : (JSON.parse(text) as { code: string; instance: string; detail: string })
  return {
    said: problem === undefined ? String(reply.status) : `${reply.status} ${problem.code}`,
    id: problem?.instance,
    text,
    challenge: reply.headers.get('www-authenticate'),
  }
}

const said = async (path: string, claims: object | undefined, call?: Call) => (await ask(path, claims, call)).said

/** What the decision log has on the latest exchange. */
async function logged(count: number) {
  const lines = await gate.lines(count)
  return lines[count - 1]!
}

describe('Z3: the same caller', () => {
  const rule = {
    name: 'office hours',
    match: 'tag:orders',
    when: "'clerk' in roles && ip in office && hour in 8..17 && weekday in 'mon'..'fri'",
  }
  const clerk = { sub: 'carla', roles: ['clerk'] }

  test('passes in role, place and hours, and is refused outside with the attribute that failed in the log', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: wednesday })
    await open({ authorize: { rules: [rule] } })
    const from = '203.0.113.7'
    expect(await said('/orders/7', clerk, { from })).toBe('200')
    expect(upstream.hits).toHaveLength(1)

    const outside: [string, string][] = []
    outside.push([await said('/orders/7', { ...clerk, roles: ['guest'] }, { from }), 'roles'])
    outside.push([await said('/orders/7', clerk, { from: '198.51.100.7' }), 'ip'])
    vi.setSystemTime(Date.parse('2026-11-25T18:00:00Z'))
    outside.push([await said('/orders/7', clerk, { from }), 'hour'])
    vi.setSystemTime(Date.parse('2026-11-28T10:30:00Z'))
    outside.push([await said('/orders/7', clerk, { from }), 'weekday'])
    // The last minute of the last hour still belongs to it.
    vi.setSystemTime(Date.parse('2026-11-25T17:59:59Z'))
    expect(await said('/orders/7', clerk, { from })).toBe('200')

    expect(upstream.hits).toHaveLength(2)
    const lines = await gate.lines(6)
    for (const [index, [answer, failed]] of outside.entries()) {
      expect(answer).toBe('403 authorize.rule')
      expect(lines[index + 1]).toMatchObject({
        user: 'carla',
        operation: 'getOrder',
        denial: { code: 'authorize.rule', evidence: { rule: 'authorize.rules[0]', name: 'office hours', failed } },
      })
    }
  })

  test('is told nothing of what failed; explain tells the operator', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: wednesday })
    await open({ authorize: { rules: [rule] } })
    const { id, text } = await ask('/orders/7', clerk, { from: '198.51.100.7' })
    expect(text).not.toMatch(/office|hour|\bip\b|rules/)
    const found = await explainRequest(id!, { stateDir: `${gate.dir}/.portcullis` })
    expect(found?.record).toMatchObject({
      user: 'carla',
      operation: 'getOrder',
      denial: { evidence: { rule: 'authorize.rules[0]', failed: 'ip', test: 'ip in office' } },
    })
  })

  test('is judged by the clock of the place that the configuration names', async () => {
    // 17:30 in UTC is 18:30 in Madrid.
    vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2026-11-25T17:30:00Z') })
    const hours = { rules: [{ match: '*', when: 'hour in 8..17' }] }
    await open({ authorize: hours })
    expect(await said('/orders/7', clerk)).toBe('200')
    await gate.reload({ api: { auth: ['main'], authorize: { ...hours, timeZone: 'Europe/Madrid' } } })
    expect(await said('/orders/7', clerk)).toBe('403 authorize.rule')
  })

  test('must use a device that shows its certificate', async () => {
    const authority = await testAuthority()
    const server = await testCertificate(authority)
    const laptop = await testCertificate(authority, { subject: 'CN=laptop 7' })
    await open({
      authorize: { rules: [{ match: 'tag:orders', when: 'device.certificate' }] },
      root: {
        listen: [
          {
            port: 0,
            host: '127.0.0.1',
            tls: { certificate: './server.pem', key: './server.key', clientCa: './ca.pem' },
          },
        ],
      },
      files: { 'server.pem': server.certificate, 'server.key': server.key, 'ca.pem': authority.pem },
    })
    const token = await issuer.token({ sub: 'carla' })
    const from = async (identity: object) => {
      const agent = new Agent({ connect: { ca: authority.pem, servername: 'localhost', ...identity } })
      const headers = { authorization: `Bearer ${token}` }
      const reply = await fetch(`${gate.url}/orders/7`, { dispatcher: agent, headers })
      await reply.text()
      await agent.destroy()
      return reply.status
    }
    expect(await from({ cert: laptop.certificate, key: laptop.key })).toBe(200)
    expect(await from({})).toBe(403)
    expect((await logged(2)).denial.evidence).toMatchObject({ failed: 'device.certificate' })
  })

  test('says where he is only through a proxy that is trusted', async () => {
    const authorize = { countryHeader: 'CF-IPCountry', rules: [{ match: '*', when: "country in ['ES', 'PT']" }] }
    await open({ authorize })
    const headers = { 'cf-ipcountry': 'ES' }
    expect(await said('/orders/7', clerk, { headers })).toBe('200')
    expect(await said('/orders/7', clerk, { headers: { 'cf-ipcountry': 'US' } })).toBe('403 authorize.rule')
    await gate.reload({ root: { trustedProxies: [] }, api: { auth: ['main'], authorize } })
    expect(await said('/orders/7', clerk, { headers })).toBe('403 authorize.rule')
    expect((await logged(3)).denial.evidence).toMatchObject({ failed: 'country', because: 'missing' })
  })
})

describe('rules on parameters', () => {
  test('see the path, the query and the body as the upstream will', async () => {
    const rules = [
      { match: 'op:getOrder', when: 'path.id in claims.orders' },
      { match: 'op:refund', when: 'body.amount <= 100 && body.to.iban != claims.blocked' },
    ]
    await open({ authorize: { rules } })
    const caller = { sub: 'anna', orders: ['a/b', '7'], blocked: 'ES00' }
    expect(await said('/orders/7', caller)).toBe('200')
    expect(await said('/orders/8', caller)).toBe('403 authorize.rule')
    expect(await said('/orders/%37', caller)).toBe('200')
    expect(await said('/orders/7', { ...caller, orders: '7' })).toBe('403 authorize.rule')
    expect(await said('/refunds', caller, { body: { amount: 100, to: { iban: 'ES01' } } })).toBe('200')
    expect(await said('/refunds', caller, { body: { amount: 101, to: { iban: 'ES01' } } })).toBe('403 authorize.rule')
    // What is not there, or of another kind, is no yes.
    for (const body of [
      { amount: '1', to: { iban: 'ES01' } },
      { amount: 1, to: {} },
      { to: { iban: 'ES01' } },
      { amount: 1, to: { iban: 'ES00' } },
    ]) {
      expect(await said('/refunds', caller, { body })).toBe('403 authorize.rule')
    }
    expect(await said('/refunds', { sub: 'anna' }, { body: { amount: 1, to: { iban: 'ES01' } } })).toBe(
      '403 authorize.rule',
    )
    expect(upstream.hits).toHaveLength(3)
  })

  test('Z7: a role decides who may write a property', async () => {
    await open({
      authorize: { rules: [{ match: 'op:putOrder', when: '!has(body.discount)', unless: 'role:manager' }] },
    })
    const put = (roles: string[], body: object) => said('/orders/7', { sub: 'anna', roles }, { method: 'PUT', body })
    expect(await put([], { item: 'tea' })).toBe('200')
    expect(await put([], { item: 'tea', discount: 50 })).toBe('403 authorize.rule')
    expect(await put(['manager'], { item: 'tea', discount: 50 })).toBe('200')
    expect((await logged(2)).denial.evidence).toMatchObject({ failed: 'body.discount' })
    expect(JSON.stringify(await gate.lines(3))).not.toContain('tea')
  })
})

describe('what a rule does', () => {
  const admin = { sub: 'root', roles: ['admin'] }
  const banned = { sub: 'anna', status: 'banned' }

  test('deny refuses where its condition holds or cannot be told, and excuses whom it says', async () => {
    await open({
      authorize: {
        rules: [{ match: 'tag:orders', effect: 'deny', when: "claims.status == 'banned'", unless: ['role:admin'] }],
      },
    })
    expect(await said('/orders/7', { sub: 'bob', status: 'active' })).toBe('200')
    expect(await said('/orders/7', banned)).toBe('403 authorize.rule')
    expect(await said('/orders/7', { sub: 'bob' })).toBe('403 authorize.rule')
    expect(await said('/orders/7', admin)).toBe('200')
    const [, first, second] = await gate.lines(4)
    expect(first!.denial.evidence).toEqual({
      rule: 'authorize.rules[0]',
      match: 'tag:orders',
      effect: 'deny',
      failed: 'claims.status',
      test: "claims.status == 'banned'",
    })
    expect(second!.denial.evidence).toMatchObject({ failed: 'claims.status', because: 'missing' })
  })

  test('of rules that allow, one must hold', async () => {
    const allow = (when: string) => ({ match: 'tag:orders', effect: 'allow', when })
    await open({ authorize: { rules: [allow("'admin' in roles"), allow('path.id in claims.orders')] } })
    expect(await said('/orders/7', admin)).toBe('200')
    expect(await said('/orders/7', { sub: 'anna', orders: ['7'] })).toBe('200')
    expect(await said('/orders/8', { sub: 'anna', orders: ['7'] })).toBe('403 authorize.rule')
    expect(await said('/refunds', { sub: 'anna' }, { body: {} })).toBe('200')
    expect((await logged(3)).denial.evidence).toMatchObject({ failed: 'roles or path.id, claims.orders' })
  })

  test('observe notes what it would have refused, and blocks nobody', async () => {
    const rules = [{ match: '*', when: "'admin' in roles", mode: 'observe' }]
    await open({ authorize: { rules } })
    expect(await said('/orders/7', { sub: 'anna' })).toBe('200')
    expect(await said('/orders/7', admin)).toBe('200')
    const [line, passed] = await gate.lines(2)
    expect(line).toMatchObject({ status: 200, observed: ['authorize.rule'] })
    expect(passed).not.toHaveProperty('observed')
    const found = await explainRequest(line!.id, { stateDir: `${gate.dir}/.portcullis` })
    expect(found?.observed).toMatchObject([{ code: 'authorize.rule', evidence: { failed: 'roles' } }])
    await gate.reload({
      api: { auth: ['main'], authorize: { mode: 'observe', rules: [{ ...rules[0], mode: 'enforce' }] } },
    })
    expect(await said('/orders/7', { sub: 'anna' })).toBe('200')
    await gate.reload({ api: { auth: ['main'], authorize: { rules: [{ ...rules[0], mode: 'off' }] } } })
    expect(await said('/orders/7', { sub: 'anna' })).toBe('200')
    expect((await logged(4)).observed).toBeUndefined()
  })

  test('on an open operation asks strangers who they are where it takes a caller to tell', async () => {
    await open({ authorize: { rules: [{ match: 'op:health', when: "'monitor' in roles || ip in office" }] } })
    expect(await said('/health', undefined, { from: '203.0.113.1' })).toBe('200')
    expect(await said('/health', undefined)).toBe('401 authorize.caller-unknown')
    expect(await said('/health', { sub: 'm', roles: ['monitor'] })).toBe('200')
    expect(await said('/health', { sub: 'm', roles: [] })).toBe('403 authorize.rule')
  })

  test('decisions: all notes which rights let a request pass, and explain finds it', async () => {
    await open({
      authorize: {
        decisions: 'all',
        acl: [{ match: 'tag:orders', allow: ['role:clerk'] }],
        roles: { clerk: ['read'] },
        rules: [{ name: 'at home', match: 'tag:orders', when: 'ip in home' }],
      },
    })
    expect(await said('/orders/7', { sub: 'carla', roles: ['clerk'] })).toBe('200')
    const line = await logged(1)
    expect(line).toMatchObject({
      user: 'carla',
      operation: 'getOrder',
      decision: { effect: 'allow', rules: ['authorize.acl[0]', 'authorize.roles', 'authorize.rules[0] at home'] },
    })
    const found = await explainRequest(line.id, { stateDir: `${gate.dir}/.portcullis` })
    expect(found?.record.decision?.rules).toContain('authorize.rules[0] at home')
    await gate.reload({ api: { auth: ['main'], authorize: { roles: { clerk: ['read'] } } } })
    expect(await said('/orders/7', { sub: 'carla', roles: ['clerk'] })).toBe('200')
    expect(await logged(2)).not.toHaveProperty('decision')
  })
})

describe('N6: step-up', () => {
  const rule = { match: 'op:refund', when: "claims.acr in ['mfa', 'hwk'] && age(claims.auth_time) < 5m && ip in home" }
  const now = () => Math.floor(Date.now() / 1000)
  const refund = (claims: object, call: Call = {}) => ask('/refunds', { sub: 'anna', ...claims }, { body: {}, ...call })

  test('who signed in too weakly or too long ago gets 401 with what to ask for, and passes after it', async () => {
    await open({ authorize: { rules: [rule] } })
    const weak = await refund({ acr: 'pwd', auth_time: now() - 10 })
    expect(weak.said).toBe('401 auth.insufficient_user_authentication')
    expect(weak.challenge).toContain('error="insufficient_user_authentication"')
    expect(weak.challenge).toContain('acr_values="mfa hwk"')
    expect(weak.challenge).not.toContain('max_age')
    const old = await refund({ acr: 'mfa', auth_time: now() - 400 })
    expect(old.challenge).toContain('max_age="300"')
    expect(old.challenge).not.toContain('acr_values')
    expect((await refund({})).challenge).toMatch(/acr_values="mfa hwk".*max_age="300"/)
    expect((await refund({ acr: 'mfa', auth_time: now() - 10 })).said).toBe('200')
    expect((await logged(1)).denial.evidence).toMatchObject({ rule: 'authorize.rules[0]', failed: 'claims.acr' })
  })

  test('nobody is sent to sign in where that would not help', async () => {
    await open({ authorize: { rules: [rule] } })
    expect((await refund({ acr: 'pwd' }, { from: '198.51.100.1' })).said).toBe('403 authorize.rule')
    expect((await logged(1)).denial.evidence).toMatchObject({ failed: 'ip' })
  })

  test('stepUp says the same in a word', async () => {
    await open({
      authorize: { rules: [{ match: 'op:refund', stepUp: { acr: 'mfa', maxAge: '5m' }, unless: 'app:robot' }] },
    })
    expect((await refund({ acr: 'pwd', auth_time: now() })).challenge).toContain('acr_values="mfa"')
    expect((await refund({ acr: 'mfa', auth_time: now() })).said).toBe('200')
    expect((await refund({ client_id: 'robot' })).said).toBe('200')
  })
})

describe('all rights together', () => {
  test('Z1, Z2, Z5 and rules must each let a caller through', async () => {
    await open({
      authorize: {
        acl: [{ match: '/mail', deny: ['mallory'] }],
        roles: { reader: ['read'], writer: ['read', 'write'] },
        rules: [{ match: '/mail', when: 'ip in home' }],
      },
    })
    const all = { sub: 'anna', scope: 'mail.read mail.send', roles: ['writer'] }
    const post = (claims: object, call: Call = {}) => said('/mail', claims, { method: 'POST', ...call })
    expect(await said('/mail', all)).toBe('200')
    expect(await post(all)).toBe('200')
    expect(await post({ ...all, scope: 'mail.read' })).toBe('403 security.insufficient_scope')
    expect(await said('/mail', { ...all, scope: 'mail.read' })).toBe('200')
    expect(await post({ ...all, sub: 'mallory' })).toBe('403 authorize.acl')
    expect(await post({ ...all, roles: ['reader'] })).toBe('403 authorize.permission-missing')
    expect(await post(all, { from: '198.51.100.1' })).toBe('403 authorize.rule')
    expect(upstream.hits).toHaveLength(3)
  })
})

describe('Cedar policies', () => {
  const policies = `// What callers may do in the shop.
@id("clerks read orders")
permit (principal in Role::"clerk", action in Action::"tag:orders", resource)
when { context.ip.isInRange(ip("127.0.0.0/8")) };

@id("own orders")
permit (principal, action in [Action::"getOrder", Action::"putOrder"], resource)
when { context.claims has orders && context.claims.orders.contains(resource.id) };

@id("nobody touches the archive")
forbid (principal, action, resource) when { resource has id && resource.id like "archive-*" };

@id("refunds in the day")
permit (principal, action == Action::"refund", resource)
when { context.hour >= 8 && context.hour < 18 && context.body.amount <= 100 };
`
  const files = { 'rights/shop.cedar': policies }
  const cedar = { policies: './rights' }
  const clerk = { sub: 'carla', roles: ['clerk'] }

  test('permit, and forbid over every permit; the log names the policies', async () => {
    await open({ authorize: { cedar, decisions: 'all' }, files })
    expect(await said('/orders/7', clerk)).toBe('200')
    expect(await said('/orders/7', clerk)).toBe('200')
    expect(await said('/orders/archive-1', clerk)).toBe('403 authorize.policy')
    expect(await said('/orders/7', clerk, { from: '198.51.100.1' })).toBe('403 authorize.policy')
    expect(await said('/orders/7', { sub: 'anna', orders: ['7'] }, { from: '198.51.100.1' })).toBe('200')
    expect(await said('/orders/8', { sub: 'anna', orders: ['7'] })).toBe('403 authorize.policy')
    expect(await said('/health', undefined)).toBe('200')
    const lines = await gate.lines(7)
    expect(lines[1]).toMatchObject({ decision: { rules: ['authorize.cedar clerks read orders'] } })
    expect(lines[2]!.denial.evidence).toEqual({
      rule: 'authorize.cedar',
      failed: 'forbidden',
      policies: ['nobody touches the archive'],
    })
    expect(lines[3]!.denial.evidence).toMatchObject({ failed: 'no policy permits', policies: [] })
    expect(lines[4]).toMatchObject({ decision: { rules: ['authorize.cedar own orders'] } })
  })

  test('see the time and the body of every request anew', async () => {
    vi.useFakeTimers({ toFake: ['Date'], now: wednesday })
    await open({ authorize: { cedar }, files })
    const refund = (amount: unknown) => said('/refunds', { sub: 'anna' }, { body: { amount } })
    expect(await refund(100)).toBe('200')
    expect(await refund(101)).toBe('403 authorize.policy')
    vi.setSystemTime(Date.parse('2026-11-25T18:00:00Z'))
    expect(await refund(100)).toBe('403 authorize.policy')
    // An error in an evaluation is no yes, and no excuse.
    vi.setSystemTime(wednesday)
    expect(await refund('100')).toBe('403 authorize.policy')
    expect((await logged(4)).denial.evidence).toMatchObject({ failed: 'evaluation', policies: ['refunds in the day'] })
  })

  test('cannot be told by a caller that his text is an entity', async () => {
    const trap = `permit (principal, action, resource) when { context.claims.boss == User::"root" };`
    await open({ authorize: { cedar }, files: { 'rights/trap.cedar': trap } })
    const boss = { __entity: { type: 'User', id: 'root' } }
    expect(await said('/orders/7', { sub: 'anna', boss })).toBe('403 authorize.policy')
  })

  test('are read again when they change; broken ones are refused with their place and change nothing', async () => {
    await open({ authorize: { cedar }, files })
    expect(await said('/orders/7', clerk)).toBe('200')
    const api = { auth: ['main'], authorize: { cedar } }
    await expect(
      gate.reload({ api, files: { 'rights/shop.cedar': '\n\npermit (principal, action, resource) when { 1 == };' } }),
    ).rejects.toMatchObject({
      errors: [{ code: 'P1412', place: { file: expect.stringContaining('shop.cedar'), line: 3, column: 50 } }],
    })
    expect(await said('/orders/7', clerk)).toBe('200')
    await gate.reload({ api, files: { 'rights/shop.cedar': 'forbid (principal, action, resource);' } })
    expect(await said('/orders/7', clerk)).toBe('403 authorize.policy')
    expect((await logged(3)).denial.evidence).toMatchObject({ policies: ['shop.cedar:1'] })
  })
})

describe('rights that cannot be meant', () => {
  test.each([
    // What is wrong in itself is told when the file is read, what only the rest of it shows, when the gate is made of it.
    ["known && hour == '8'", "'8'", 'expected a whole number from 0 to 23'],
    ['known && ip in ofice', 'ofice', 'did you mean "office"?'],
  ])('are told with the place in the file: %s', async (when, wrong, hint) => {
    const error = await open({ authorize: { rules: [{ match: '*', when }] } }).catch((thrown: unknown) => thrown)
    const { place, ...found } = error instanceof ConfigErrors ? error.errors[0]! : (error as ConfigError)
    expect(found.hint).toBe(hint)
    const line = `            "when": ${JSON.stringify(when)}`
    expect(place).toMatchObject({ column: line.indexOf(wrong) + 1, length: wrong.length })
    gate = undefined as never
  })

  test.each([
    [{ rules: [{ match: '*', when: "hour == '8'" }] }, /an hour is compared with text/],
    [{ rules: [{ match: '*', when: 'ip in ofice' }] }, /authorize\.rules\[0\]\.when: there is no place "ofice"/],
    [{ rules: [{ match: 'tag:orders', when: "path.order == '1'" }] }, /has a path parameter "order"/],
    [{ rules: [{ match: '*' }] }, /says nothing that must hold/],
    [{ rules: [{ match: '*', effect: 'allow', when: 'known', unless: 'role:a' }] }, /no clear meaning/],
    [{ rules: [{ match: '*', effect: 'deny' }] }, /would refuse everybody/],
    [{ rules: [{ match: '*', when: 'known', lookup: 'getOrder' }] }, /means nothing without "owner"/],
    [{ rules: [{ match: '*', when: "country == 'ES'" }] }, /nothing called "country"/],
    [{ timeZone: 'Europe/Atlantis' }, /expected a time zone/],
    [{ cedar: { policies: './nowhere' } }, /there is no/],
  ])('are refused at load: %j', async (authorize, message) => {
    await expect(open({ authorize })).rejects.toThrow(message)
    gate = undefined as never
  })
})

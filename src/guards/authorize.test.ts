import { describe, expect, test } from 'vitest'
import { type GuardedInput, guarded, makeDocument } from '../../test/kit/calls.ts'
import { silentLogger } from '../base/log.ts'
import { createApiKeys, type NewApiKey } from '../credentials/api-keys.ts'
import type { Denial } from '../gate/verdict.ts'
import { auth } from './auth.ts'
import { authorize } from './authorize.ts'
import { security } from './security.ts'

const guards = [auth, security, authorize]
const document = makeDocument({ key: { type: 'apiKey', in: 'header', parameterName: 'X-API-Key' } }, [
  { id: 'list', security: [{ key: [] }], tags: ['orders'] },
  { id: 'create', method: 'POST', security: [{ key: [] }], tags: ['orders'] },
  { id: 'head', method: 'HEAD', security: [{ key: [] }] },
  { id: 'remove', method: 'DELETE', path: '/orders/{id}', security: [{ key: [] }], tags: ['admin'] },
  { id: 'optional', method: 'POST', path: '/feedback', security: [{ key: [] }, {}] },
  { id: 'health', path: '/health', security: [] },
])

async function gateWith(options: unknown, more: Partial<GuardedInput> = {}) {
  const gate = await guarded({ guards, document, options: { authorize: options }, ...more })
  const keys = createApiKeys({ store: gate.store })
  return {
    async caller(input: Partial<NewApiKey> = {}) {
      const { key, record } = await keys.create({ name: 'app', ...input })
      const ask = async (operation: string) =>
        (await gate.call({ operation, headers: { 'x-api-key': key } })).verdict as Denial | undefined
      return { ask, id: record.id }
    },
    anonymous: async (operation: string) => (await gate.call({ operation })).verdict as Denial | undefined,
    call: gate.call,
    gate,
    keys,
  }
}

describe('Z1: a list of callers', () => {
  test('lets who is on it pass and refuses everybody else, and the log names the rule', async () => {
    const { caller } = await gateWith({ acl: [{ match: 'tag:admin', allow: ['app:ops', 'role:boss'] }] })
    const ops = await caller({ name: 'ops' })
    const boss = await caller({ roles: ['boss'] })
    const other = await caller({ name: 'opsx', roles: ['bos'] })
    expect(await ops.ask('remove')).toBeUndefined()
    expect(await boss.ask('remove')).toBeUndefined()
    const refusal = await other.ask('remove')
    expect(refusal).toMatchObject({ status: 403, code: 'authorize.acl' })
    expect(refusal!.evidence).toEqual({ rule: 'authorize.acl[0]', match: 'tag:admin', list: 'allow' })
    expect(refusal!.detail).not.toContain('tag:admin')
    // Operations that no entry matches are as open as before.
    expect(await other.ask('list')).toBeUndefined()
  })

  test('knows subjects, scopes and methods, and a word with an unknown beginning is a subject', async () => {
    const { gate, keys } = await gateWith({})
    const { key, record } = await keys.create({ name: 'a', scopes: ['orders:read'] })
    for (const [entry, passes] of [
      [record.id, true],
      [`sub:${record.id}`, true],
      ['scope:orders:read', true],
      ['via:apiKey', true],
      ['*', true],
      ['scope:orders', false],
      ['via:main', false],
      [`urn:${record.id}`, false],
      [record.id.toLowerCase().concat('x'), false],
    ] as const) {
      const { call } = await gateWith({ acl: [{ match: '*', allow: [entry] }] }, { host: { store: gate.store } })
      const { verdict } = await call({ operation: 'list', headers: { 'x-api-key': key } })
      expect(verdict === undefined, entry).toBe(passes)
    }
  })

  test('refuses who is denied even if allowed, and an entry without `allow` refuses nobody else', async () => {
    const { caller } = await gateWith({
      acl: [
        { match: 'GET *', allow: ['*'], deny: ['app:banned'] },
        { match: 'POST *', deny: ['app:banned'] },
      ],
    })
    const banned = await caller({ name: 'banned' })
    const good = await caller({ name: 'good' })
    expect(await banned.ask('list')).toMatchObject({
      status: 403,
      evidence: { rule: 'authorize.acl[0]', list: 'deny' },
    })
    expect(await banned.ask('create')).toMatchObject({ status: 403, evidence: { rule: 'authorize.acl[1]' } })
    expect(await good.ask('list')).toBeUndefined()
    expect(await good.ask('create')).toBeUndefined()
  })

  test('must be passed in every entry that matches', async () => {
    const { caller } = await gateWith({
      acl: [
        { match: '*', allow: ['role:staff'] },
        { match: 'op:remove', allow: ['role:boss'] },
      ],
    })
    expect(await (await caller({ roles: ['boss'] })).ask('remove')).toMatchObject({
      evidence: { rule: 'authorize.acl[0]' },
    })
    expect(await (await caller({ roles: ['staff'] })).ask('remove')).toMatchObject({
      evidence: { rule: 'authorize.acl[1]' },
    })
    expect(await (await caller({ roles: ['staff', 'boss'] })).ask('remove')).toBeUndefined()
  })

  test('on an open operation asks unknown callers who they are', async () => {
    const { anonymous, caller } = await gateWith({ acl: [{ match: '/health', allow: ['app:monitor'] }] })
    const refusal = await anonymous('health')
    expect(refusal).toMatchObject({ status: 401, code: 'authorize.caller-unknown' })
    expect(refusal!.headers!['WWW-Authenticate']).toBe('ApiKey realm="test", in="X-API-Key"')
    expect(await (await caller({ name: 'monitor' })).ask('health')).toBeUndefined()
  })

  test('that is empty refuses everybody', async () => {
    const { caller } = await gateWith({ acl: [{ match: 'op:list', allow: [] }] })
    expect(await (await caller()).ask('list')).toMatchObject({ status: 403 })
  })
})

describe('Z2: roles and what they permit', () => {
  const roles = { viewer: ['read'], editor: ['read', 'write'], root: ['*'] }

  test.each([
    ['viewer', 'list', undefined],
    ['viewer', 'head', undefined],
    ['viewer', 'create', 403],
    ['editor', 'list', undefined],
    ['editor', 'create', undefined],
    ['root', 'remove', undefined],
    ['unknown', 'list', 403],
    ['toString', 'list', 403],
    ['__proto__', 'list', 403],
  ])('a caller with the role %s asks for %s: %s', async (role, operation, status) => {
    const { caller } = await gateWith({ roles })
    expect((await (await caller({ roles: [role] })).ask(operation))?.status).toBe(status)
  })

  test('a caller without a role is refused, and the log names rule and permission', async () => {
    const { caller } = await gateWith({ roles })
    expect(await (await caller()).ask('create')).toMatchObject({
      status: 403,
      code: 'authorize.permission-missing',
      evidence: { rule: 'authorize.roles', needs: 'write' },
    })
  })

  test('a rule that is about no operation is told to the operator', async () => {
    const warnings: unknown[] = []
    const log = { ...silentLogger, warn: (_message: string, fields?: unknown) => void warnings.push(fields) }
    const options = {
      acl: [{ match: 'GET *' }, { match: '/oders/**' }],
      roles,
      permissions: [{ match: 'op:remvoe', needs: 'refund' }],
    }
    await gateWith(options, { host: { log } })
    expect(warnings).toEqual([
      { api: 'test', rule: 'authorize.acl[1]' },
      { api: 'test', rule: 'authorize.permissions[0]' },
    ])
  })

  test('operations may need other permissions; all that match are needed', async () => {
    const { caller } = await gateWith({
      roles: { ...roles, refunder: ['refund'], both: ['refund', 'delete'] },
      permissions: [
        { match: 'tag:admin', needs: 'refund' },
        { match: 'DELETE *', needs: ['delete'] },
      ],
    })
    expect(await (await caller({ roles: ['editor'] })).ask('remove')).toMatchObject({ status: 403 })
    expect(await (await caller({ roles: ['refunder'] })).ask('remove')).toMatchObject({ evidence: { needs: 'delete' } })
    expect(await (await caller({ roles: ['both'] })).ask('remove')).toBeUndefined()
    expect(await (await caller({ roles: ['viewer'] })).ask('list')).toBeUndefined()
  })

  test('close nothing that the document opens to unknown callers', async () => {
    const { anonymous, caller } = await gateWith({ roles })
    expect(await anonymous('health')).toBeUndefined()
    expect(await anonymous('optional')).toBeUndefined()
    expect(await anonymous('list')).toMatchObject({ status: 401 })
    expect(await (await caller({ roles: ['viewer'] })).ask('optional')).toMatchObject({ status: 403 })
  })

  test('x-portcullis gives an operation rules of its own', async () => {
    const special = makeDocument({ key: { type: 'apiKey', in: 'header', parameterName: 'X-API-Key' } }, [
      { id: 'list', security: [{ key: [] }], policy: { authorize: { roles: { auditor: ['read'] } } } },
    ])
    const { caller } = await gateWith({ roles }, { document: special })
    expect(await (await caller({ roles: ['auditor'] })).ask('list')).toBeUndefined()
  })
})

describe('rules', () => {
  test('x-portcullis gives an operation rules of its own', async () => {
    const policy = { authorize: { rules: [{ match: '*', when: "'auditor' in roles" }] } }
    const special = makeDocument({ key: { type: 'apiKey', in: 'header', parameterName: 'X-API-Key' } }, [
      { id: 'list', security: [{ key: [] }], policy },
      { id: 'create', method: 'POST', security: [{ key: [] }] },
    ])
    const { caller } = await gateWith({}, { document: special })
    expect(await (await caller({ roles: ['auditor'] })).ask('list')).toBeUndefined()
    expect(await (await caller()).ask('list')).toMatchObject({ status: 403, code: 'authorize.rule' })
    expect(await (await caller()).ask('create')).toBeUndefined()
  })

  test('about the body hold back what becomes another protocol, which has none', async () => {
    const { gate, keys } = await gateWith({ rules: [{ match: 'op:list', when: 'body.amount < 5' }] })
    const { key } = await keys.create({ name: 'app' })
    const headers = { 'x-api-key': key }
    expect((await gate.call({ operation: 'list', headers, upgrade: 'websocket' })).verdict).toMatchObject({
      code: 'authorize.rule',
      evidence: { failed: 'body.amount', because: 'missing' },
    })
    // Otherwise the head alone decides nothing.
    expect((await gate.call({ operation: 'list', headers })).verdict).toBeUndefined()
  })

  test('refuse with the same object every time', async () => {
    const { caller } = await gateWith({ rules: [{ match: '*', when: "'x' in roles" }] })
    const { ask } = await caller()
    expect(await ask('list')).toBe(await ask('list'))
  })

  test('that are observed let pass', async () => {
    const { caller } = await gateWith({
      rules: [
        { match: '*', when: "'x' in roles", mode: 'observe' },
        { match: '*', effect: 'deny', unless: '*', mode: 'observe' },
      ],
    })
    expect(await (await caller()).ask('list')).toBeUndefined()
  })
})

describe('rights that cannot be meant', () => {
  test.each([
    [{ permissions: [{ match: '*', needs: 'read' }] }, /nobody has a permission without "roles"/],
    [{ acl: [{ match: 'nonsense here', allow: [] }] }, /cannot read the selector/],
    [{ acl: [{ match: '*', allow: ['role:'] }] }, /"role:" names nobody/],
    [{ acls: [] }, /[Uu]nrecognized key/],
  ])('are refused at load: %j', async (options, message) => {
    await expect(gateWith(options)).rejects.toThrow(message)
  })
})

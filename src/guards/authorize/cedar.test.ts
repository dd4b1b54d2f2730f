import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as cedar from '@cedar-policy/cedar-wasm/nodejs'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { guarded, makeDocument, makeExchange } from '../../../test/kit/calls.ts'
import { ConfigErrors } from '../../base/errors.ts'
import { silentLogger } from '../../base/log.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'
import { authorize } from '../authorize.ts'

let dir: string
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), 'portcullis-cedar-'))
})
afterAll(() => rmSync(dir, { recursive: true }))

const security = [{ main: [] }]
const document = makeDocument({ main: { type: 'http', httpScheme: 'bearer' } }, [
  { id: 'read', path: '/notes/{id}', tags: ['notes'], security },
  { id: 'write', method: 'PUT', path: '/notes/{id}', tags: ['notes', 'writing'], security },
  { id: 'list', path: '/notes', security },
])

let files = 0
function written(text: string, name = 'policies.cedar'): string {
  const folder = join(dir, String(files++))
  mkdirSync(folder)
  const file = join(folder, name)
  writeFileSync(file, text)
  return file
}

const gates: (() => Promise<void>)[] = []
async function gateWith(options: object, more: object = {}) {
  const gate = await guarded({ guards: [authorize], document, options: { authorize: { cedar: options, ...more } } })
  gates.push(gate.close)
  return (exchange: Exchange) => gate.callNow(exchange) as Denial | undefined
}

function principalOf(
  subject: string,
  roles: readonly string[] = [],
  claims: Readonly<Record<string, unknown>> = {},
): Principal {
  return {
    subject,
    kind: 'bearer',
    via: 'main',
    application: undefined,
    scopes: new Set(),
    roles: new Set(roles),
    claims,
  }
}

interface Asked {
  readonly operation: string
  readonly id?: string
  readonly address?: string
  readonly at?: number
}

function exchangeOf(principal: Principal, { operation, id = '1', ...input }: Asked): Exchange {
  const exchange = makeExchange(document.operations.find((one) => one.id === operation)!, input)
  if (operation !== 'list') Object.assign(exchange, { pathValues: [id] })
  exchange.principal = principal
  return exchange
}

describe('policies', () => {
  test('know roles as groups, groups that the entities put them into, and groups of actions from the schema', async () => {
    const schema = written(
      `entity Role in [Role]; entity User in [Role] { sub: String }; entity Api; entity Resource in [Api] { id?: String };
       action reading; action read, list in [reading] appliesTo { principal: User, resource: Resource };
       action write appliesTo { principal: User, resource: Resource };`,
      'shop.cedarschema',
    )
    const entities = written(
      JSON.stringify([{ uid: { type: 'Role', id: 'clerk' }, attrs: {}, parents: [{ type: 'Role', id: 'staff' }] }]),
      'entities.json',
    )
    const policies = written('@id("staff") permit (principal in Role::"staff", action in Action::"reading", resource);')
    const call = await gateWith({ policies, schema, entities })
    expect(call(exchangeOf(principalOf('a', ['clerk']), { operation: 'read' }))).toBeUndefined()
    expect(call(exchangeOf(principalOf('a', ['clerk']), { operation: 'list' }))).toBeUndefined()
    expect(call(exchangeOf(principalOf('a', ['staff']), { operation: 'read' }))).toBeUndefined()
    expect(call(exchangeOf(principalOf('a', ['guest']), { operation: 'read' }))?.code).toBe('authorize.policy')
    expect(call(exchangeOf(principalOf('a', ['clerk']), { operation: 'write' }))?.code).toBe('authorize.policy')
  })

  test('see what is stated of an entity beside what the request says of it, which wins', async () => {
    const entities = written(
      JSON.stringify([{ uid: { type: 'User', id: 'a' }, attrs: { level: 3, sub: 'forged' }, parents: [] }]),
      'entities.json',
    )
    const policies = written(
      'permit (principal, action, resource) when { principal.level > 2 && principal.sub == "a" };',
    )
    const call = await gateWith({ policies, entities })
    expect(call(exchangeOf(principalOf('a'), { operation: 'read' }))).toBeUndefined()
    expect(call(exchangeOf(principalOf('b'), { operation: 'read' }))?.evidence).toMatchObject({ failed: 'evaluation' })
  })

  test('have a namespace where one is named', async () => {
    const policies = written(
      'permit (principal == Shop::User::"a", action == Shop::Action::"read", resource is Shop::Resource);',
    )
    const call = await gateWith({ policies, namespace: 'Shop' })
    expect(call(exchangeOf(principalOf('a'), { operation: 'read' }))).toBeUndefined()
    expect(call(exchangeOf(principalOf('b'), { operation: 'read' }))?.status).toBe(403)
  })

  test('that fail to be evaluated refuse, also where another one permits', async () => {
    const policies = written(
      'permit (principal, action, resource);\n@id("broken") forbid (principal, action, resource) when { context.claims.level > 3 };',
    )
    const call = await gateWith({ policies })
    expect(call(exchangeOf(principalOf('a', [], { level: 1 }), { operation: 'read' }))).toBeUndefined()
    for (const claims of [{}, { level: '1' }, { level: 1.5 }, { level: null }]) {
      const refusal = call(exchangeOf(principalOf('a', [], claims), { operation: 'read' }))
      expect(refusal?.evidence).toEqual({ rule: 'authorize.cedar', failed: 'evaluation', policies: ['broken'] })
    }
  })

  test('observed are noted and refuse nobody', async () => {
    const call = await gateWith({ policies: written('forbid (principal, action, resource);'), mode: 'observe' })
    const exchange = exchangeOf(principalOf('a'), { operation: 'read' })
    expect(call(exchange)).toBeUndefined()
    expect(exchange.observed).toMatchObject([
      { code: 'authorize.policy', evidence: { policies: ['policies.cedar:1'] } },
    ])
  })

  test('in a folder are read file by file, in the order of their names, "policy10" too', async () => {
    const many = Array.from({ length: 12 }, (_, i) => `// ${i}\nforbid (principal == User::"${i}", action, resource);`)
    const policies = written(['permit (principal, action, resource);', ...many].join('\n'), 'a.cedar')
    // One that is commented out, and the same once more, have places of their own.
    writeFileSync(
      join(policies, '../b.cedar'),
      '// forbid (principal == User::"10", action, resource);\n\nforbid (principal == User::"10", action, resource);',
    )
    const call = await gateWith({ policies: policies.slice(0, -'/a.cedar'.length) })
    const refusal = call(exchangeOf(principalOf('10'), { operation: 'read' }))
    expect(refusal?.evidence).toMatchObject({ policies: ['a.cedar:23', 'b.cedar:3'] })
  })
})

describe('policies that cannot be used', () => {
  test.each([
    ['permit (principal, action, resource);\n\npermit (principal, action resource);', 3, 27, /unexpected token/],
    ['permit (principal, action, resource) when { "é" == };', 1, 52, /unexpected token/],
    ['permit (principal == ?principal, action, resource);', 1, 1, /template/],
    [
      '@id("a") permit (principal, action, resource);\n@id("a") forbid (principal, action, resource);',
      2,
      1,
      /"a" stands in line 1/,
    ],
  ])('are refused with their place: %s', async (text, line, column, message) => {
    const policies = written(text)
    const error = await gateWith({ policies }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigErrors)
    const [first] = (error as ConfigErrors).errors
    expect(first!.message).toMatch(message)
    expect(first).toMatchObject({ code: 'P1412', place: { file: policies, line, column } })
  })

  test('by their schema are refused with the place in the policy', async () => {
    const schema = written(
      'entity User { sub: String }; entity Resource; action read appliesTo { principal: User, resource: Resource };',
      'shop.cedarschema',
    )
    const policies = written(
      '// ünlike\npermit (principal, action == Action::"read", resource);\npermit (principal, action == Action::"read", resource)\n  when { principal.subb == "x" };',
    )
    const error = await gateWith({ policies, schema }).catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(ConfigErrors)
    expect((error as ConfigErrors).errors).toMatchObject([
      {
        code: 'P1412',
        message: expect.stringContaining('subb'),
        place: { file: policies, line: 4 },
        hint: 'did you mean `sub`?',
      },
    ])
  })
})

describe('random policies', () => {
  const text = fc.constantFrom('a', 'b', 'c')
  const atom = fc.oneof(
    text.map((one) => `principal.sub == "${one}"`),
    text.map((one) => `principal == User::"${one}"`),
    text.map((one) => `principal in Role::"${one}"`),
    text.map((one) => `principal in [Role::"${one}", Role::"c"]`),
    text.map((one) => `principal.roles.contains("${one}")`),
    text.map((one) => `(principal has nothing && principal.nothing == "${one}")`),
    text.map((one) => `action in Action::"tag:${one === 'a' ? 'notes' : 'writing'}"`),
    text.map((one) => `(resource has id && resource.id == "${one}")`),
    text.map((one) => `resource.id == "${one}"`),
    fc.constant('resource in Api::"test"'),
    text.map((one) => `context.claims has x && context.claims.x == "${one}"`),
    text.map((one) => `context.claims.x == "${one}"`),
    text.map((one) => `context has claims.y && context.claims.y.contains("${one}")`),
    text.map((one) => `context.claims == {"x": "${one}"}`),
    fc.constant('context.ip.isInRange(ip("192.0.2.0/24"))'),
    fc.integer({ min: 0, max: 23 }).map((hour) => `context.hour < ${hour}`),
    text.map((one) => `context.path has id && context.path.id == "${one}"`),
    fc.constant('(if principal in Role::"a" then principal else User::"b").sub == "b"'),
    fc.constant('principal in principal'),
    fc.constant('(resource has owner && resource.owner == principal)'),
    fc.constant('(principal has note && principal.note has id && principal.note.owner == principal)'),
    text.map((one) => `(resource has owner && resource.owner has sub && resource.owner.sub == "${one}")`),
    text.map((one) => `(resource has owner && resource.owner in Role::"${one}")`),
    text.map((one) => `resource in Folder::"${one}"`),
  )
  const condition = fc.oneof(
    atom,
    fc.tuple(atom, atom).map(([a, b]) => `(${a}) && (${b})`),
    fc.tuple(atom, atom).map(([a, b]) => `(${a}) || (${b})`),
    atom.map((one) => `!(${one})`),
  )
  const policy = fc
    .record({
      effect: fc.constantFrom('permit', 'permit', 'forbid'),
      principal: fc.constantFrom(
        'principal',
        'principal',
        'principal == User::"a"',
        'principal in Role::"b"',
        'principal is User in Role::"a"',
      ),
      action: fc.constantFrom(
        'action',
        'action == Action::"read"',
        'action == Action::"list"',
        'action in Action::"tag:notes"',
        'action in [Action::"write", Action::"tag:nothing"]',
      ),
      resource: fc.constantFrom('resource', 'resource', 'resource == Resource::"/notes/a"', 'resource in Api::"test"'),
      when: fc.array(condition, { maxLength: 2 }),
      unless: fc.array(condition, { maxLength: 1 }),
    })
    .map(
      ({ effect, principal, action, resource, when, unless }) =>
        `${effect} (${principal}, ${action}, ${resource})${when.map((one) => ` when { ${one} }`).join('')}${unless.map((one) => ` unless { ${one} }`).join('')};`,
    )
  const caller = fc
    .record({
      subject: text,
      roles: fc.uniqueArray(text),
      claims: fc.constantFrom({}, { x: 'a' }, { x: 'b', y: ['a', 'b'] }, { x: 1 }, { y: 'a' }),
    })
    .map(({ subject, roles, claims }) => principalOf(subject, roles, claims))
  const asked = fc.record({
    operation: fc.constantFrom('read', 'write', 'list'),
    id: text,
    address: fc.constantFrom('192.0.2.1', '198.51.100.1', '2001:db8::1'),
    at: fc.integer({ min: 0, max: 23 }).map((hour) => Date.parse('2026-11-25T00:30:00Z') + hour * 3_600_000),
  })

  /** What a file of entities says beside requests: who owns what, and groups in groups. */
  const stated: cedar.Entities = [
    {
      uid: { type: 'Resource', id: '/notes/b' },
      attrs: { owner: { __entity: { type: 'User', id: 'a' } } },
      parents: [{ type: 'Folder', id: 'a' }],
    },
    { uid: { type: 'Folder', id: 'a' }, attrs: {}, parents: [{ type: 'Folder', id: 'b' }] },
    { uid: { type: 'Role', id: 'a' }, attrs: {}, parents: [{ type: 'Role', id: 'c' }] },
    {
      uid: { type: 'User', id: 'a' },
      attrs: { nothing: 'b', note: { __entity: { type: 'Resource', id: '/notes/b' } } },
      parents: [{ type: 'Role', id: 'b' }],
    },
  ]
  const same = (a: cedar.EntityJson, b: cedar.EntityJson) => JSON.stringify(a.uid) === JSON.stringify(b.uid)

  /** All policies at once, with everything there is to know of a request. */
  function plainly(policies: readonly string[], more: cedar.Entities, { principal, ...exchange }: Exchange): boolean {
    const { subject, roles, claims } = principal!
    const { operation, pathValues, address, receivedAt } = exchange
    const path = operation.id === 'list' ? {} : { id: pathValues[0]! }
    const resource = { type: 'Resource', id: operation.path.replace('{id}', pathValues[0] ?? '') }
    const action = { type: 'Action', id: operation.id }
    const known: cedar.Entities = [
      {
        uid: { type: 'User', id: subject },
        attrs: { sub: subject, via: 'main', kind: 'bearer', roles: [...roles], scopes: [] },
        parents: [...roles].map((id) => ({ type: 'Role', id })),
      },
      { uid: action, attrs: {}, parents: operation.tags.map((tag) => ({ type: 'Action', id: `tag:${tag}` })) },
      { uid: resource, attrs: path, parents: [{ type: 'Api', id: 'test' }] },
    ]
    const entities = known.map((one) => {
      const other = more.find((two) => same(one, two))
      if (other === undefined) return one
      return { uid: one.uid, attrs: { ...other.attrs, ...one.attrs }, parents: [...one.parents, ...other.parents] }
    })
    const answer = cedar.isAuthorized({
      principal: { type: 'User', id: subject },
      action,
      resource,
      context: {
        claims: claims as cedar.Context,
        path,
        ip: { __extn: { fn: 'ip', arg: address } },
        method: exchange.method,
        hour: new Date(receivedAt).getUTCHours(),
      },
      policies: { staticPolicies: Object.fromEntries(policies.map((one, index) => [`p${index}`, one])) },
      entities: [...entities, ...more.filter((one) => !known.some((two) => same(one, two)))],
    })
    if (answer.type === 'failure') throw new Error(answer.errors.map(({ message }) => message).join())
    const { decision, diagnostics } = answer.response
    // Policies that are about other operations are not asked, and so cannot fail.
    return decision === 'allow' && diagnostics.errors.length === 0
  }

  test('decide the same chosen by operation and all at once, on all facts and on those looked at, kept and asked anew', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(policy, { minLength: 1, maxLength: 5 }),
        fc.array(caller, { minLength: 1, maxLength: 3 }),
        fc.array(asked, { minLength: 1, maxLength: 8 }),
        fc.constantFrom(undefined, stated),
        async (texts, callers, requests, more) => {
          const policies = written(texts.join('\n'))
          const files = more === undefined ? {} : { entities: written(JSON.stringify(more), 'entities.json') }
          const kept = await gateWith({ policies, ...files })
          const anew = await gateWith({ policies, ...files, cache: false })
          for (const principal of callers) {
            for (const request of [...requests, ...requests]) {
              const exchange = exchangeOf(principal, request)
              const expected = plainly(texts, more ?? [], exchange)
              expect(anew(exchange) === undefined).toBe(expected)
              expect(kept(exchange) === undefined).toBe(expected)
            }
          }
          for (const close of gates.splice(0)) await close()
        },
      ),
      { numRuns: 120 },
    )
  }, 60_000)
})

test('policies that are about no operation are told to the operator', async () => {
  const warnings: unknown[] = []
  const log = { ...silentLogger, warn: (_message: string, fields?: unknown) => void warnings.push(fields) }
  const policies = written(
    'permit (principal, action, resource);\n@id("gone") permit (principal, action == Action::"raed", resource);',
  )
  await guarded({ guards: [authorize], document, options: { authorize: { cedar: { policies } } }, host: { log } })
  expect(warnings).toEqual([{ api: 'test', policy: 'gone' }])
})

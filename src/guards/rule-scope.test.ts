import { describe, expect, test } from 'vitest'
import { type CallInput, makeDocument, makeExchange } from '../../test/kit/calls.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Principal } from '../gate/principal.ts'
import { compileRule, compileValue } from '../rules/index.ts'
import { readsBody, readsCaller, ruleScope } from './rule-scope.ts'

const document = makeDocument({}, [{ id: 'getOrder', path: '/shops/{shop}/orders/{id}', tags: ['orders'] }])
const scope = ruleScope({ places: { office: ['192.0.2.0/24'] }, countryHeader: 'cf-ipcountry' })

interface Input extends CallInput {
  readonly principal?: Partial<Principal>
  readonly path?: readonly string[]
  readonly query?: string
  readonly body?: string
  readonly rawHeaders?: readonly string[]
}

function exchangeOf({ principal, path = ['a', '7'], query = '', body, rawHeaders, ...input }: Input = {}): Exchange {
  const exchange = makeExchange(document.operations[0]!, { at: Date.parse('2026-11-25T10:30:00Z'), ...input })
  Object.assign(exchange, { pathValues: path, target: { ...exchange.target, query } })
  if (principal !== undefined) {
    const nobody = { subject: 'anna', kind: 'bearer', via: 'main', application: undefined, claims: {} } as const
    exchange.principal = { ...nobody, scopes: new Set(), roles: new Set(), ...principal }
  }
  if (rawHeaders !== undefined) Object.assign(exchange, { rawHeaders })
  if (body !== undefined) exchange.requestBody = Buffer.from(body)
  return exchange
}

const judge = (source: string, input?: Input) => compileRule(source, scope).judge(exchangeOf(input))
const json = (body: unknown): Input => ({ body: JSON.stringify(body), headers: { 'content-type': 'application/json' } })
const form = (body: string): Input => ({ body, headers: { 'content-type': 'application/x-www-form-urlencoded' } })

describe('a rule can ask', () => {
  test.each<[string, Input, boolean | undefined]>([
    ['known', { principal: {} }, true],
    ['known', {}, false],
    ["subject == 'anna'", { principal: {} }, true],
    ["subject == 'anna'", {}, undefined],
    ["'orders:read' in scopes", { principal: { scopes: new Set(['orders:read']) } }, true],
    ["'admin' in roles", {}, undefined],
    ["application == 'shop' && via == 'main'", { principal: { application: 'shop' } }, true],
    ["plan == 'gold'", { principal: { claims: { plan: 'gold' } } }, true],
    ["operation.id == 'getOrder' && operation.method == 'GET' && 'orders' in operation.tags", {}, true],
    ["operation.path matches '/shops/*' && operation.api == 'test'", {}, true],
    ["path.id == '7' && path.shop == 'a'", {}, true],
    ["path.id == 'a/b'", { path: ['x', 'a%2Fb'] }, true],
    ["query.q == 'a b'", { query: 'q=a+b' }, true],
    ["query.q == ''", { query: 'q=' }, true],
    ["query['filter.name'] == 'x'", { query: 'filter.name=x' }, true],
    ["header.x-tenant == 'a'", { headers: { 'x-tenant': 'a' } }, true],
    ["header.X-Tenant == 'a'", { headers: { 'x-tenant': 'a' } }, true],
    ['ip in office', {}, true],
    ['ip in office', { address: '198.51.100.1' }, false],
    ['encrypted', {}, true],
    ["country == 'ES'", { headers: { 'cf-ipcountry': 'ES' }, peer: { trusted: true } }, true],
    ["country == 'ES'", { headers: { 'cf-ipcountry': 'ES' } }, undefined],
    ['device.certificate || device.known || device.bound || device.session', {}, false],
    ['device.bound && device.known', { principal: { claims: { cnf: { jkt: 'x' } } } }, true],
    ['device.bound', { principal: { claims: { cnf: null } } }, false],
    ['device.session', { principal: { kind: 'session' } }, true],
    ["device.agent matches 'curl/*'", { headers: { 'user-agent': 'curl/8' } }, true],
    ["hour == 10 && time == '10:30' && weekday == 'wed' && date == '2026-11-25'", {}, true],
    ["claims.sub == 'anna'", { principal: {} }, true],
    ["claims.sub == 'x'", { principal: { claims: { sub: 'x' } } }, true],
    ["claims.address.country == 'ES'", { principal: { claims: { address: { country: 'ES' } } } }, true],
    ['has(claims.constructor) || has(claims.a.constructor)', { principal: { claims: { a: {} } } }, false],
    ['body.amount <= 100', json({ amount: 100 }), true],
    ["body.to.iban == 'x'", json({ to: { iban: 'x' } }), true],
    ["body.name == 'x'", form('name=x'), true],
    ['has(body.name)', {}, false],
  ])('%s', (source, input, expected) => {
    expect(judge(source, input)).toBe(expected)
  })

  // Readers differ on these: neither a condition nor its contrary holds.
  test.each<[string, Input]>([
    ['query.q', { query: 'q=1&q=2' }],
    ['path.id', { path: ['x', '%ff'] }],
    ['header.x-tenant', { headers: { 'x-tenant': 'x, y' }, rawHeaders: ['X-Tenant', 'x', 'x-tenant', 'y'] }],
    ['body.name', form('name=x&name=y')],
    ['body.name', { body: '<name/>', headers: { 'content-type': 'application/xml' } }],
    ['body.name', { body: '{"name":1}', headers: { 'content-type': 'text/plain' } }],
    ['body.name', { body: '{"name":1}' }],
    ['body.name', { ...json({}), body: '{"name":1,"name":2}' }],
    ['body.name', { ...json({}), body: '{"name":' }],
    ['body.name', json([{ name: 'x' }])],
    ['body.items.name', json({ items: [{ name: 'x' }] })],
    ['body.name', json({ name: null })],
    ['claims.teams.name', { principal: { claims: { teams: [{ name: 'x' }] } } }],
  ])('nothing can be told of %s', (name, input) => {
    for (const condition of [
      `has(${name})`,
      `!has(${name})`,
      `${name} == 'x'`,
      `${name} != 'x'`,
      `!(${name} in ['x'])`,
    ]) {
      expect(judge(condition, input), condition).toBeUndefined()
    }
    expect(compileValue(name, scope)(exchangeOf(input))).toBeUndefined()
  })
})

test('it is known of a rule whether it reads the body, and whether it takes a caller', () => {
  const uses = (source: string) => compileRule(source, scope).uses
  expect(readsBody(uses('body.a == 1 || known'))).toBe(true)
  expect(readsBody(uses('claims.body == 1'))).toBe(false)
  expect(readsCaller(uses('ip in office && hour < 9'))).toBe(false)
  for (const source of ['known', 'claims.a == 1', "'a' in roles", 'device.known', "plan == 'x'"]) {
    expect(readsCaller(uses(source)), source).toBe(true)
  }
})

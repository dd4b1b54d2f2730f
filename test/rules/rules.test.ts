import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { compileProgram, createInjectionDetector, type Program, parseRules } from '../../src/waf/index.ts'
import type { Cases, Shown } from './cases.ts'
import { code } from './code.cases.ts'
import { command } from './command.cases.ts'
import { headers } from './headers.cases.ts'
import { ldap } from './ldap.cases.ts'
import { level2, level3 } from './level-2.cases.ts'
import { nosql } from './nosql.cases.ts'
import { path } from './path.cases.ts'
import { protocol } from './protocol.cases.ts'
import { response, response2 } from './response.cases.ts'
import { sql } from './sql.cases.ts'
import { ssrf } from './ssrf.cases.ts'
import { template } from './template.cases.ts'
import { xml } from './xml.cases.ts'
import { xss } from './xss.cases.ts'

const folder = join(import.meta.dirname, '../../rules')
const files = [
  'base.conf',
  ...readdirSync(folder)
    .filter((name) => name.endsWith('.conf') && name !== 'base.conf')
    .sort(),
]
const ruleSet = parseRules(
  files.map((name) => ({ name: join(folder, name), text: readFileSync(join(folder, name), 'latin1') })),
  { readData: (file) => readFileSync(file, 'latin1') },
)
const injection = createInjectionDetector()
const programAt = (paranoia: number) =>
  compileProgram(ruleSet, { injection, variables: { portcullis_paranoia: String(paranoia) } })

const bytes = (text: string) => Buffer.from(text, 'utf8').toString('latin1')
const encode = (text: string) =>
  // Text of chars up to 0xFF that is no UTF-8 by intention stays as it is.
  [...(/[\x80-\xff]/.test(text) ? text : bytes(text))]
    .map((c) => `%${c.charCodeAt(0).toString(16).padStart(2, '0')}`)
    .join('')

interface Sent {
  readonly uri?: string
  readonly headers?: readonly string[]
  readonly body?: string
  readonly response?: string
}

/** The requests that show a rule a case. */
function requestsOf(shown: Shown): readonly Sent[] {
  if (typeof shown === 'string') return [...requestsOf({ query: shown }), ...requestsOf({ json: shown })]
  const typed = (type: string, body: string) => [{ headers: ['Content-Type', type], body }]
  if (shown.query !== undefined) return [{ uri: `/v1/items?q=${encode(shown.query)}` }]
  if (shown.json !== undefined)
    return typed('application/json', bytes(JSON.stringify({ id: 5, note: shown.json, tags: ['a'] })))
  if (shown.body !== undefined) return typed('application/json', bytes(shown.body))
  if (shown.form !== undefined) return typed('application/x-www-form-urlencoded', shown.form)
  if (shown.xml !== undefined) return typed('application/xml', bytes(shown.xml))
  if (shown.part !== undefined)
    return typed(
      'multipart/form-data; boundary=b',
      `--b\r\nContent-Disposition: form-data; name="note"\r\n${shown.part}\r\n\r\nx\r\n--b--\r\n`,
    )
  if (shown.uri !== undefined) return [{ uri: shown.uri }]
  if (shown.headers !== undefined) return [{ headers: Object.entries(shown.headers).flat() }]
  return [{ response: bytes(shown.response ?? '') }]
}

function send(program: Program, sent: Sent) {
  const { uri = '/v1/items', body } = sent
  const extra = sent.headers ?? []
  const agent = extra.findIndex((name, index) => index % 2 === 0 && /^user-agent$/i.test(name))
  const kept = agent >= 0 && extra[agent + 1] === '' ? extra.toSpliced(agent, 2) : extra
  const all = [
    'Host',
    'api.example.com',
    'Accept',
    'application/json',
    ...(agent < 0 ? ['User-Agent', 'test/1'] : []),
    ...kept,
  ]
  if (body !== undefined) all.push('Content-Length', String(body.length))
  const transaction = program.begin({
    method: body === undefined ? 'GET' : 'POST',
    uri,
    protocol: 'HTTP/1.1',
    headers: all,
    client: { address: '192.0.2.7', port: 4711 },
    server: { address: '192.0.2.1', port: 443 },
    id: 'case',
    receivedAt: 0,
  })
  const stopped =
    transaction.requestHead() ??
    transaction.requestBody(body === undefined ? undefined : Buffer.from(body, 'latin1')) ??
    (sent.response === undefined
      ? undefined
      : (transaction.responseHead({
          status: 200,
          protocol: 'HTTP/1.1',
          headers: ['Content-Type', sent.response.startsWith('{') ? 'application/json' : 'text/html'],
        }) ?? transaction.responseBody(Buffer.from(sent.response, 'latin1'))))
  transaction.end()
  return { stopped, ids: new Set(transaction.matches.filter(({ rule }) => rule.log).map(({ rule }) => rule.id)) }
}

const levels: readonly [paranoia: number, cases: Cases][] = [
  [
    1,
    {
      ...protocol,
      ...sql,
      ...nosql,
      ...command,
      ...ldap,
      ...template,
      ...path,
      ...ssrf,
      ...xml,
      ...xss,
      ...code,
      ...headers,
      ...response,
    },
  ],
  [2, { ...level2, ...response2 }],
  [3, level3],
]

/** Rules that score, by id; not those that set up, gate or judge. */
const scoring = new Set(
  Object.values(ruleSet.phases)
    .flat()
    .flatMap((rule) => (rule.kind === 'rule' && rule.log && !rule.tags.includes('verdict') ? [rule.id] : [])),
)

describe.each(levels)('at paranoia level %i', (paranoia, cases) => {
  const program = programAt(paranoia)

  describe.each(Object.entries(cases).map(([id, each]) => ({ id: Number(id), ...each })))(
    'rule $id',
    ({ id, finds, passes }) => {
      test.each(finds.map((shown) => [shown]))('finds %j', (shown) => {
        for (const sent of requestsOf(shown)) expect([...send(program, sent).ids], JSON.stringify(sent)).toContain(id)
      })

      test.each(passes.map((shown) => [shown]))('lets %j pass', (shown) => {
        for (const sent of requestsOf(shown)) {
          const { stopped, ids } = send(program, sent)
          expect([...ids], JSON.stringify(sent)).not.toContain(id)
          if (paranoia === 1) expect(stopped, `${JSON.stringify(sent)}: ${[...ids].join()}`).toBeUndefined()
        }
      })

      test('is shown three attacks and three harmless values at least', () => {
        expect(Math.min(finds.length, passes.length)).toBeGreaterThanOrEqual(3)
      })
    },
  )
})

describe('the rule set', () => {
  test('has cases for each of its rules', () => {
    const tried = new Set(levels.flatMap(([, cases]) => Object.keys(cases).map(Number)))
    expect([...scoring].filter((id) => !tried.has(id) && !untried.has(id))).toEqual([])
  })

  test('has ids of its own range only, each once', () => {
    const ids = Object.entries(ruleSet.phases).flatMap(([phase, rules]) =>
      rules.flatMap((rule) => (rule.kind === 'rule' && String(rule.phase) === phase ? [rule.id] : [])),
    )
    expect(ids.filter((id) => id < 4_730_000 || id > 4_739_999)).toEqual([])
    expect(new Set(ids).size).toBe(ids.length)
  })

  test('uses no operator, transformation or action that ModSecurity 3 and Coraza do not both have', () => {
    const conditions = Object.values(ruleSet.phases)
      .flat()
      .flatMap((rule) => (rule.kind === 'rule' ? rule.conditions : []))
    expect([...new Set(conditions.map(({ operator }) => operator.name))].sort()).toEqual(
      ['detectSQLi', 'detectXSS', 'eq', 'ge', 'gt', 'lt', 'pm', 'rx', 'streq', 'unconditionalMatch'].sort(),
    )
    expect(new Set(conditions.flatMap(({ transformations }) => transformations))).toEqual(
      new Set([
        'urldecodeuni',
        'replacecomments',
        'removenulls',
        'htmlentitydecode',
        'jsdecode',
        'lowercase',
        'normalizepath',
      ]),
    )
  })

  test('says of each rule what it found, how grave it is and where to read on', () => {
    const bare = Object.values(ruleSet.phases)
      .flat()
      .filter((rule) => rule.kind === 'rule' && scoring.has(rule.id))
      .flatMap((rule) =>
        rule.kind === 'rule' &&
        rule.message !== undefined &&
        rule.severity !== undefined &&
        rule.tags.includes('portcullis') &&
        (rule.id < 4_730_100 || rule.tags.some((tag) => /^CWE-\d+$/.test(tag)))
          ? []
          : [rule.kind === 'rule' ? rule.id : 0],
      )
    expect(bare).toEqual([])
  })
})

/** What only other engines or broken multipart bodies set: tested where bodies are read. */
const untried = new Set([4_730_004, 4_730_005])

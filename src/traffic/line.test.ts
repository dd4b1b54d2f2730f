import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { aPassage, aRefusal } from '../../test/kit/passage.ts'
import { recordPolicy, safeJson, toLine, toRecord } from './line.ts'
import type { Passage } from './passage.ts'

const settings = {
  requestHeaders: ['user-agent', 'content-type', 'Accept', 'referer'],
  responseHeaders: ['content-type', 'location'],
  query: ['page', 'sort'],
}
const policy = recordPolicy(settings)

describe('O1: an activity line', () => {
  test('says who, what, when and from where', () => {
    const record = toRecord(
      aPassage({
        version: 'v2',
        query: 'page=2',
        requestHeaders: { 'user-agent': 'curl/8.11.1', accept: 'application/json' },
        responseHeaders: ['Content-Type', 'application/json'],
        traceId: '0af7651916cd43dd8448eb211c80319c',
      }),
      policy,
    )
    expect(record).toEqual({
      v: 1,
      time: '2026-11-22T13:00:00.007Z',
      id: 'req_01KBSMALL0000000000000001',
      api: 'shop',
      version: 'v2',
      operation: 'getOrder',
      method: 'GET',
      route: '/v1/orders/{id}',
      path: '/v1/orders/42',
      query: 'page=2',
      protocol: 'HTTP/1.1',
      status: 200,
      durationMs: 1.235,
      upstreamMs: 0.9,
      requestBytes: 0,
      responseBytes: 200,
      client: '203.0.113.9',
      user: 'alice',
      application: 'partner',
      credential: 'apiKey',
      requestHeaders: { 'user-agent': 'curl/8.11.1', accept: 'application/json' },
      responseHeaders: { 'content-type': 'application/json' },
      traceId: '0af7651916cd43dd8448eb211c80319c',
    })
  })

  test('leaves out what there was not, and names the refusal with its evidence', () => {
    const record = toRecord(
      aRefusal('validate.body', {
        user: undefined,
        application: undefined,
        credential: undefined,
        denial: { code: 'validate.body', detail: 'Wrong.', evidence: { pointer: '/quantity' } },
        observed: [{ code: 'waf.score' }, { code: 'cors.origin' }],
        fault: 'client.gone',
      }),
      policy,
    )
    expect(record).not.toHaveProperty('user')
    expect(record).not.toHaveProperty('upstreamMs')
    expect(record).not.toHaveProperty('query')
    expect(record.denial).toEqual({ code: 'validate.body', evidence: { pointer: '/quantity' } })
    expect(record.observed).toEqual(['waf.score', 'cors.origin'])
    expect(record.fault).toBe('client.gone')
  })

  test('O1: names the rules that fitted, at most twenty, and shows no secret of them', () => {
    const match = { rule: 942100, message: 'SQL injection', severity: 'CRITICAL', score: 5, tags: ['attack-sqli'] }
    const { matches } = toRecord(
      aPassage({
        matches: [
          { ...match, variable: 'ARGS:q', data: "' or 1=1" },
          { ...match, variable: 'ARGS:password', data: 'hunter2' },
          ...Array.from({ length: 50 }, () => ({ ...match, variable: 'ARGS:x', data: undefined })),
        ],
      }),
      policy,
    )
    expect(matches).toHaveLength(20)
    expect(matches![0]).toEqual({ ...match, variable: 'ARGS:q', data: "' or 1=1" })
    expect(matches![1]).toEqual({ ...match, variable: 'ARGS:password' })
    expect(toRecord(aPassage(), policy)).not.toHaveProperty('matches')
  })

  test.each([
    [0, '1970-01-01T00:00:00.000Z'],
    [Date.UTC(2026, 0, 1) - 1, '2025-12-31T23:59:59.999Z'],
    [Date.UTC(2026, 0, 1), '2026-01-01T00:00:00.000Z'],
    [Date.UTC(2026, 0, 1) + 10, '2026-01-01T00:00:00.010Z'],
  ])('writes the time %d as %s', (receivedAt, time) => {
    expect(toRecord(aPassage({ receivedAt }), policy).time).toBe(time)
  })

  test('stands alone: two lines of one policy do not depend on each other', () => {
    const a = aPassage({ requestHeaders: { 'user-agent': 'A', host: 'x' } })
    const b = aPassage({ requestHeaders: { host: 'x', 'user-agent': 'B', cookie: 'c' } })
    const alone = [a, b, a].map((passage) => toLine(passage, recordPolicy(settings)))
    expect([a, b, a].map((passage) => toLine(passage, policy))).toEqual(alone)
  })

  const anything = fc.string({ unit: 'binary', maxLength: 40 })
  const maybe = fc.option(anything, { nil: undefined })
  const anyPassage: fc.Arbitrary<Passage> = fc.record({
    id: anything,
    api: anything,
    version: maybe,
    operation: anything,
    route: anything,
    method: anything,
    path: anything,
    query: anything,
    protocol: anything,
    receivedAt: fc.integer({ min: 0, max: 4e12 }),
    durationMs: fc.double({ min: 0, max: 1e6 }),
    upstreamMs: fc.option(fc.double(), { nil: undefined }),
    status: fc.integer(),
    requestBytes: fc.double(),
    responseBytes: fc.nat(),
    address: anything,
    user: maybe,
    application: maybe,
    credential: maybe,
    requestHeaders: fc.dictionary(anything, fc.oneof(anything, fc.array(anything))) as fc.Arbitrary<never>,
    responseHeaders: fc
      .array(fc.tuple(fc.oneof(anything, fc.constantFrom('location', 'Location', 'x')), anything))
      .map((pairs) => pairs.flat()),
    denial: fc.option(fc.record({ code: anything, detail: anything, evidence: fc.anything() }), { nil: undefined }),
    observed: fc.array(fc.record({ code: anything, evidence: fc.anything() }), { maxLength: 3 }),
    matches: fc.array(
      fc.record({
        rule: fc.nat(),
        message: anything,
        severity: maybe,
        score: fc.nat(),
        tags: fc.array(anything),
        variable: anything,
        data: maybe,
      }),
      { maxLength: 3 },
    ),
    fault: maybe,
    traceId: maybe,
  })

  test('is one line of valid JSON, whatever was sent', () => {
    fc.assert(
      fc.property(anyPassage, (passage) => {
        const line = toLine(passage, policy)
        expect(line).not.toMatch(/[\n\r]/)
        const record = JSON.parse(line)
        expect(record.id).toBe(JSON.parse(JSON.stringify(passage.id)))
        expect(record.status).toBe(passage.status)
      }),
    )
  })

  test('stays within bounds with thousands of headers and a huge query', () => {
    const requestHeaders = Object.fromEntries(Array.from({ length: 10_000 }, (_, i) => [`x-${i}`, 'v'.repeat(100)]))
    const query = Array.from({ length: 10_000 }, (_, i) => `q${i}=${i}`).join('&')
    const responseHeaders = Array.from({ length: 20_000 }, (_, i) => `x${i}`)
    const line = toLine(aPassage({ requestHeaders, query, responseHeaders }), policy)
    expect(line.length).toBeLessThan(20_000)
    JSON.parse(line)
  })
})

describe('O2: the allow-list', () => {
  test('shows listed headers and masks all others, whatever the case of their names', () => {
    const record = toRecord(
      aPassage({
        requestHeaders: { accept: 'a/b', authorization: 'Bearer abc', cookie: 's=1', 'x-api-key': 'k', 'x-new': 'v' },
        responseHeaders: ['Content-Type', 'text/plain', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-Internal', 'i'],
      }),
      policy,
    )
    expect(record.requestHeaders).toEqual({
      accept: 'a/b',
      authorization: '***',
      cookie: '***',
      'x-api-key': '***',
      'x-new': '***',
    })
    expect(record.responseHeaders).toEqual({ 'content-type': 'text/plain', 'set-cookie': '***', 'x-internal': '***' })
  })

  test('shows listed query values and masks all others, and keeps the names', () => {
    const query = (text: string) => toRecord(aPassage({ query: text }), policy).query
    expect(query('page=2&sort=asc&q=blue')).toBe('page=2&sort=asc&q=***')
    expect(query('p%61ge=2')).toBe('p%61ge=2')
    expect(query('page=eyJhbGciOiJSUzI1NiJ9.e30.x')).toBe('page=***')
    expect(query('token')).toBe('***')
    expect(query('page')).toBe('page')
    expect(query('7f3a9c1e5b2d7f3a=1')).toBe('***=***')
    expect(query('api_key=1')).toBe('api_key=***')
    expect(query('a=1&&b=')).toBe('a=***&&b=***')
  })

  test('drops the query of the Referer', () => {
    const record = toRecord(aPassage({ requestHeaders: { referer: 'https://a.example/x?session=abc' } }), policy)
    expect(record.requestHeaders.referer).toBe('https://a.example/x?***')
  })

  test('shows the user, but never a token in the place of one', () => {
    expect(toRecord(aPassage({ user: 'alice@example.com' }), policy).user).toBe('alice@example.com')
    expect(toRecord(aPassage({ user: 'eyJhbGciOiJSUzI1NiJ9.e30.x' }), policy).user).toBe('***')
  })

  test('lets no canary through, wherever it was put', () => {
    const canary = 'pk_live_Canary7Secret9Value'
    const line = toLine(
      aRefusal('validate.body', {
        path: `/v1/orders/${canary}`,
        query: `page=${canary}&${canary}=1&${canary}&q=${canary}`,
        requestHeaders: {
          authorization: `Bearer ${canary}`,
          cookie: `session=${canary}`,
          'user-agent': `Tool (${canary})`,
          referer: `https://a.example/${canary}/x?y=${canary}#${canary}`,
          accept: canary,
          [`x-${canary.toLowerCase()}`]: canary,
          'x-forwarded-for': [canary, canary] as never,
        },
        responseHeaders: ['Location', `/cb/${canary}?code=${canary}`, 'Set-Cookie', canary],
        user: canary,
        denial: {
          code: 'validate.body',
          detail: '',
          evidence: { at: canary, deep: [{ text: `found ${canary}` }], bytes: Buffer.from(canary), password: 'x' },
        },
      }),
      policy,
    )
    expect(line.toLowerCase()).not.toContain('canary7secret9value')
  })
})

describe('evidence as JSON', () => {
  test.each([
    [
      'a circle',
      () => {
        const a: Record<string, unknown> = {}
        a.self = a
        return a
      },
    ],
    [
      'a getter that throws',
      () =>
        Object.defineProperty({}, 'x', {
          enumerable: true,
          get() {
            throw new Error('no')
          },
        }),
    ],
    ['a million items', () => Array.from({ length: 1e5 }, (_, i) => `item ${i}`)],
    ['a big integer', () => ({ n: 10n })],
    ['an error', () => new Error('password=hunter2')],
  ])('survives %s', (_, make) => {
    const text = safeJson(make())!
    JSON.parse(text)
    expect(text.length).toBeLessThan(10_000)
    expect(text).not.toContain('hunter2')
  })

  test('is nothing for nothing', () => {
    expect(safeJson(undefined)).toBeUndefined()
  })
})

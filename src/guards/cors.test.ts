import type { IncomingHttpHeaders } from 'node:http'
import { describe, expect, test } from 'vitest'
import {
  codeOf,
  compileGuard,
  type ExchangeInput,
  makeExchange,
  makeOperation,
  makeParameter,
  replyHeadersOf,
} from '../../test/kit/guard.ts'
import type { Answer } from '../gate/verdict.ts'
import { cors } from './cors.ts'

const app = 'https://app.example.com'
const operation = makeOperation({
  kind: 'unlisted-method',
  method: '*',
  allow: ['GET', 'HEAD', 'POST'],
  parameters: [makeParameter('X-Tenant', 'header')],
  securitySchemes: [{ name: 'key', type: 'apiKey', in: 'header', parameterName: 'X-API-Key', httpScheme: undefined }],
})

async function run(options: unknown, input: ExchangeInput) {
  const steps = await compileGuard(cors, options, input.operation ?? operation)
  const exchange = makeExchange({ operation, ...input })
  const verdict = steps?.requestHead?.(exchange) as Answer | undefined
  return { verdict, headers: replyHeadersOf(exchange), exchange }
}

const preflight = (origin: string, method = 'POST', more: Partial<IncomingHttpHeaders> = {}): ExchangeInput => ({
  method: 'OPTIONS',
  headers: { origin, 'access-control-request-method': method, ...more },
})

describe('H2: a preflight', () => {
  test('of a listed origin and method is answered', async () => {
    const { verdict } = await run({ origins: [app] }, preflight(app))
    expect(verdict).toEqual({
      kind: 'answer',
      status: 204,
      headers: {
        'Access-Control-Allow-Origin': app,
        'Access-Control-Allow-Methods': 'GET, HEAD, POST',
        'Access-Control-Allow-Headers': 'authorization, content-type, x-api-key, x-tenant',
        'Access-Control-Max-Age': '600',
        Vary: 'Origin, Access-Control-Request-Method',
      },
    })
  })

  test.each([
    ['a foreign origin', preflight('https://evil.example'), 'cors.origin'],
    ['an origin of another scheme', preflight('http://app.example.com'), 'cors.origin'],
    ['an origin with another port', preflight(`${app}:8443`), 'cors.origin'],
    ['an origin that begins like a listed one', preflight(`${app}.evil.example`), 'cors.origin'],
    ['the null origin', preflight('null'), 'cors.origin'],
    ['a method that the path does not list', preflight(app, 'DELETE'), 'cors.method'],
    ['a method in another case', preflight(app, 'post'), 'cors.method'],
  ])('of %s is refused without CORS headers', async (_, input, code) => {
    const { verdict, headers } = await run({ origins: [app] }, input)
    expect(codeOf(verdict)).toBe(code)
    expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([])
  })

  test('of a method that the configuration leaves out is refused', async () => {
    const options = { origins: [app], methods: ['GET'] }
    expect(codeOf((await run(options, preflight(app, 'POST'))).verdict)).toBe('cors.method')
    expect((await run(options, preflight(app, 'GET'))).verdict?.headers['Access-Control-Allow-Methods']).toBe('GET')
  })

  test('of a path that is not listed is left to the refusal of such paths', async () => {
    const unlisted = makeOperation({ kind: 'unlisted-path', method: '*', allow: [] })
    const { verdict } = await run({ origins: [app] }, { ...preflight(app), operation: unlisted })
    expect(verdict).toBeUndefined()
  })

  test('carries credentials, headers and age as configured', async () => {
    const options = { origins: [app], credentials: true, headers: ['x-one', 'x-two'], maxAge: '90s' }
    expect((await run(options, preflight(app))).verdict?.headers).toMatchObject({
      'Access-Control-Allow-Credentials': 'true',
      'Access-Control-Allow-Headers': 'x-one, x-two',
      'Access-Control-Max-Age': '90',
    })
  })

  test('an OPTIONS request without the asked method is none', async () => {
    const { verdict, headers } = await run({ origins: [app] }, { method: 'OPTIONS', headers: { origin: app } })
    expect(verdict).toBeUndefined()
    expect(headers['access-control-allow-origin']).toBe(app)
  })
})

describe('H2: a request across origins', () => {
  test('of a listed origin gets the headers on whatever reply is written', async () => {
    const options = { origins: [app], credentials: true, exposeHeaders: ['X-Total', 'Link'] }
    expect((await run(options, { headers: { origin: app } })).headers).toEqual({
      vary: 'Origin',
      'access-control-allow-origin': app,
      'access-control-allow-credentials': 'true',
      'access-control-expose-headers': 'X-Total, Link',
    })
  })

  test('of a foreign origin gets none, and goes on', async () => {
    const { verdict, headers } = await run({ origins: [app] }, { headers: { origin: 'https://evil.example' } })
    expect(verdict).toBeUndefined()
    expect(headers).toEqual({ vary: 'Origin' })
  })

  test('without an origin still tells caches that the answer depends on it', async () => {
    expect((await run({ origins: [app] }, {})).headers).toEqual({ vary: 'Origin' })
  })

  test('of any origin, where all may, does not depend on it', async () => {
    expect((await run({ origins: ['*'] }, { headers: { origin: 'https://x.example' } })).headers).toEqual({
      'access-control-allow-origin': '*',
    })
    expect((await run({ origins: ['*'] }, {})).headers).toEqual({})
  })

  test.each([
    ['https://a.example.com', true],
    ['https://a.b.example.com', true],
    ['https://example.com', false],
    ['https://.example.com', false],
    ['https://aexample.com', false],
    ['http://a.example.com', false],
    ['https://evil.test/.example.com', false],
    ['https://evil.test#.example.com', false],
    ['https://evil.test:1@x.example.com', false],
    ['https://a.example.com.evil.test', false],
  ])('https://*.example.com takes %s: %s', async (origin, expected) => {
    const { headers } = await run({ origins: ['https://*.example.com'] }, { headers: { origin } })
    expect(headers['access-control-allow-origin']).toBe(expected ? origin : undefined)
  })
})

describe('H2: closed by default', () => {
  test.each([undefined, { origins: [app] }])('the upstream has no say (%j)', async (options) => {
    const steps = await compileGuard(cors, options, operation)
    expect(steps?.keepResponseHeader?.('access-control-allow-origin')).toBe(false)
    expect(steps?.keepResponseHeader?.('access-control-allow-credentials')).toBe(false)
    expect(steps?.keepResponseHeader?.('content-type')).toBe(true)
  })

  test('nothing runs per request', async () => {
    expect((await compileGuard(cors, undefined, operation))?.requestHead).toBeUndefined()
  })
})

describe('WebSockets across origins', () => {
  const socket = (origin?: string): ExchangeInput => ({
    operation: makeOperation(),
    upgrade: 'websocket',
    authority: 'api.example.com:8443',
    headers: origin === undefined ? {} : { origin },
  })
  test.each([
    ['a foreign origin', 'https://evil.example', 'cors.origin'],
    ['its own origin', 'https://api.example.com:8443', undefined],
    ['its own host with another port', 'https://api.example.com', 'cors.origin'],
    ['the null origin', 'null', 'cors.origin'],
    ['no browser', undefined, undefined],
  ])('from %s: %s', async (_, origin, expected) => {
    expect(codeOf((await run(undefined, socket(origin))).verdict)).toBe(expected)
    expect(codeOf((await run({ origins: [app] }, socket(origin))).verdict)).toBe(expected)
  })

  test('from a listed origin pass', async () => {
    expect(codeOf((await run({ origins: [app] }, socket(app))).verdict)).toBeUndefined()
  })

  test('are only noted where foreign origins are observed', async () => {
    const { verdict, exchange } = await run({ mode: 'observe' }, socket('https://evil.example'))
    expect(verdict).toBeUndefined()
    expect(exchange.observed.map(({ code }) => code)).toEqual(['cors.origin'])
  })
})

describe('options', () => {
  test.each([
    ['credentials with all origins', { origins: ['*'], credentials: true }],
    ['credentials with the null origin', { origins: ['null'], credentials: true }],
    ['a path in an origin', { origins: ['https://app.example.com/'] }],
    ['a star in the middle', { origins: ['https://a.*.example.com'] }],
    ['a star beside a label', { origins: ['https://app*.example.com'] }],
    ['upper case, which no browser sends', { origins: ['https://App.example.com'] }],
    ['a line break in a header', { origins: [app], headers: ['x\r\ny'] }],
  ])('refuse %s', (_, options) => {
    expect(cors.options.safeParse(options).success).toBe(false)
  })
})

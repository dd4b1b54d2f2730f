import { describe, expect, test } from 'vitest'
import {
  compileGuard,
  makeExchange,
  makeOperation,
  makeParameter,
  makePrincipal,
  replyHeadersOf,
} from '../../test/kit/guard.ts'
import { checkSecurityHeaders } from '../http/security-headers.ts'
import { headers } from './headers.ts'

const operation = makeOperation({
  parameters: [makeParameter('X-Tenant', 'header')],
  securitySchemes: [{ name: 'key', type: 'apiKey', in: 'header', parameterName: 'X-API-Key', httpScheme: undefined }],
})
const steps = (options?: unknown, of = operation) => compileGuard(headers, options, of)

describe('H1: request headers', () => {
  test.each([
    ['accept', true],
    ['content-type', true],
    ['authorization', true],
    ['traceparent', true],
    ['sec-websocket-key', true],
    ['x-tenant', true],
    ['x-api-key', true],
    ['x-undocumented', false],
    ['x-http-method-override', false],
    ['x-original-url', false],
    ['x-forwarded-for', false],
    ['proxy', false],
    ['portcullis-subject', false],
  ])('by default %s reaches the upstream: %s', async (name, expected) => {
    expect((await steps())?.keepRequestHeader?.(name)).toBe(expected)
  })

  test.each([
    ['accept', true],
    ['x-mine', true],
    ['x-my-1', true],
    ['host', true],
    ['content-length', true],
    ['sec-websocket-version', true],
    ['content-type', false],
    ['x-tenant', false],
    ['cookie', false],
    ['portcullis-scopes', false],
  ])('with a list of its own only what is listed, and what HTTP needs: %s %s', async (name, expected) => {
    const options = { request: { allow: ['Accept', 'x-mine', 'X-My-*', 'portcullis-scopes'] } }
    expect((await steps(options))?.keepRequestHeader?.(name)).toBe(expected)
  })

  test.each([
    ['x-anything', true],
    ['x-rewrite-url', false],
    ['x-http-method-override', true],
    ['cookie', false],
    ['portcullis-roles', false],
  ])('with all allowed, disguises still fall unless they are named: %s %s', async (name, expected) => {
    const options = { request: { allow: 'all', also: ['x-http-method-override'], remove: ['cookie'] } }
    expect((await steps(options))?.keepRequestHeader?.(name)).toBe(expected)
  })

  test('observing takes nothing away', async () => {
    expect((await steps({ mode: 'observe' }))?.keepRequestHeader).toBeUndefined()
    expect((await steps({ mode: 'observe' }))?.keepResponseHeader).toBeUndefined()
  })
})

describe('H1: response headers', () => {
  test.each([
    ['server', false],
    ['x-powered-by', false],
    ['x-aspnet-version', false],
    ['via', false],
    ['x-debug-token', false],
    ['x-varnish', false],
    ['portcullis-subject', false],
    ['content-type', true],
    ['set-cookie', true],
    ['etag', true],
    ['x-total-count', true],
    ['server-timing', true],
  ])('%s reaches the caller: %s', async (name, expected) => {
    expect((await steps())?.keepResponseHeader?.(name)).toBe(expected)
  })

  test('removal by name adds to the list, keeping takes from it, removal wins', async () => {
    const options = { response: { remove: ['X-Total-Count', 'x-internal-*'], keep: ['via', 'x-internal-a'] } }
    const keep = (await steps(options))?.keepResponseHeader
    for (const [name, expected] of [
      ['x-total-count', false],
      ['x-internal-a', false],
      ['via', true],
      ['server', false],
      ['etag', true],
    ] as const) {
      expect([name, keep?.(name)]).toEqual([name, expected])
    }
  })
})

describe('S1: security headers', () => {
  test('stand on every reply and satisfy our own check', async () => {
    const { replyHeaders, replyHeadersEncrypted } = (await steps())!
    const plain = checkSecurityHeaders(replyHeaders!, { encrypted: false })
    const encrypted = checkSecurityHeaders({ ...replyHeaders, ...replyHeadersEncrypted }, { encrypted: true })
    expect(plain.filter(({ ok }) => !ok)).toEqual([])
    expect(encrypted.filter(({ ok }) => !ok)).toEqual([])
  })

  test('Strict-Transport-Security stands on encrypted connections only (RFC 6797, 7.2)', async () => {
    const { replyHeaders, replyHeadersEncrypted } = (await steps())!
    expect(Object.keys(replyHeaders!)).not.toContain('Strict-Transport-Security')
    expect(replyHeadersEncrypted).toEqual({ 'Strict-Transport-Security': 'max-age=31536000; includeSubDomains' })
  })

  test('are as configured', async () => {
    const options = {
      security: {
        hsts: { maxAge: '730d', includeSubDomains: false, preload: true },
        frameOptions: 'SAMEORIGIN',
        referrerPolicy: false,
      },
      response: { set: { 'x-content-type-options': 'nosniff', 'X-Region': 'eu' } },
    }
    const { replyHeaders, replyHeadersEncrypted } = (await steps(options))!
    expect(replyHeadersEncrypted).toEqual({ 'Strict-Transport-Security': 'max-age=63072000; preload' })
    expect(replyHeaders).toMatchObject({ 'X-Frame-Options': 'SAMEORIGIN', 'x-region': 'eu' })
    expect(Object.keys(replyHeaders!)).not.toContain('Referrer-Policy')
    const names = Object.keys(replyHeaders!).map((name) => name.toLowerCase())
    expect(new Set(names).size).toBe(names.length)
    expect((await steps({ security: { hsts: false } }))!.replyHeadersEncrypted).toEqual({})
  })

  test('leave the policy of a documented page to the upstream', async () => {
    const page = makeOperation({
      responses: {
        '200': {
          description: '',
          headers: {},
          content: [{ type: 'text/html', schema: undefined, itemSchema: undefined, encoding: {} }],
        },
      },
    })
    const { replyHeaders } = (await steps(undefined, page))!
    expect(Object.keys(replyHeaders!)).not.toContain('Content-Security-Policy')
    expect(replyHeaders).toHaveProperty('X-Frame-Options')
  })

  test.each([
    ['a line break in a value', { response: { set: { 'X-A': 'a\r\nSet-Cookie: b' } } }],
    ['a name that is none', { response: { set: { 'X A': 'a' } } }],
    ['an unknown header group', { security: { csp: 'x' } }],
  ])('refuse %s', (_, options) => {
    expect(headers.options.safeParse(options).success).toBe(false)
  })

  const alice = makePrincipal('alice')
  test.each([
    ['an answer to a known caller is kept from caches', { principal: alice }, [], 'no-store'],
    ['what the upstream says stands', { principal: alice }, ['cache-control', 'private, max-age=60'], undefined],
    ['in any case', { principal: alice }, ['Cache-Control', ''], undefined],
    ['an answer to anybody may be kept', {}, [], undefined],
  ])('%s', async (_, input, upstream, expected) => {
    const exchange = makeExchange({ ...input, response: { status: 200, headers: upstream } })
    expect((await steps())?.responseHead?.(exchange)).toBeUndefined()
    expect(replyHeadersOf(exchange)['cache-control']).toBe(expected)
  })
})

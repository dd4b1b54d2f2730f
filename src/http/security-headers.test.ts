import { describe, expect, test } from 'vitest'
import { checkSecurityHeaders, defaultSecurityHeaders } from './security-headers.ts'

const good: Readonly<Record<string, string>> = {
  'strict-transport-security': 'max-age=31536000; includeSubDomains',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  'x-xss-protection': '0',
  'referrer-policy': 'no-referrer',
  'cross-origin-resource-policy': 'same-origin',
}
const wrong = (change: Readonly<Record<string, string | undefined>>, encrypted = true) =>
  checkSecurityHeaders({ ...good, ...change }, { encrypted })
    .filter(({ ok }) => !ok)
    .map(({ name }) => name)

describe('S1: the check of security headers', () => {
  test('passes a reply that has all of them, and the defaults', () => {
    expect(wrong({})).toEqual([])
    for (const encrypted of [true, false]) {
      const flat = defaultSecurityHeaders(encrypted)
      const reply = Object.fromEntries(flat.flatMap((name, i) => (i % 2 === 0 ? [[name, flat[i + 1]!]] : [])))
      expect(checkSecurityHeaders(reply, { encrypted }).filter(({ ok }) => !ok)).toEqual([])
    }
  })

  test.each([
    'max-age=31535999',
    'max-age=0',
    'max-age=-31536000',
    'includeSubDomains',
    'max-age',
    'max-age=1y',
    'max-age=31536000, max-age=0',
    'max-age=31536000; max-age=31536000',
    'max-age=31536000; includeSubDomains=yes',
    '',
    undefined,
  ])('fails Strict-Transport-Security: %s', (value) => {
    expect(wrong({ 'strict-transport-security': value })).toEqual(['Strict-Transport-Security'])
  })

  test.each(['max-age=31536000', 'MAX-AGE="63072000" ; INCLUDESUBDOMAINS;preload', 'max-age=31536000; ext=1'])(
    'passes Strict-Transport-Security: %s',
    (value) => {
      expect(wrong({ 'strict-transport-security': value })).toEqual([])
    },
  )

  test('fails Strict-Transport-Security over plain http', () => {
    expect(wrong({}, false)).toEqual(['Strict-Transport-Security'])
    expect(wrong({ 'strict-transport-security': undefined }, false)).toEqual([])
  })

  test.each([
    ['Content-Security-Policy', undefined],
    ['Content-Security-Policy', "default-src 'none'"],
    ['Content-Security-Policy', "default-src *; frame-ancestors 'none'"],
    ['Content-Security-Policy', "default-src 'self'; script-src 'unsafe-inline'; frame-ancestors 'none'"],
    ['Content-Security-Policy', "default-src https:; default-src 'none'; frame-ancestors 'none'"],
    ['X-Content-Type-Options', 'sniff'],
    ['X-Frame-Options', 'ALLOW-FROM https://x.example'],
    ['X-XSS-Protection', '1; mode=block'],
    ['X-XSS-Protection', undefined],
    ['Referrer-Policy', 'unsafe-url'],
    ['Referrer-Policy', 'no-referrer, unsafe-url'],
    ['Cross-Origin-Resource-Policy', 'any'],
  ])('fails %s: %s', (name, value) => {
    expect(wrong({ [name.toLowerCase()]: value })).toEqual([name])
  })

  test('fails headers that tell what the upstream is made of', () => {
    expect(wrong({ Server: 'nginx' })).toEqual(['Server, X-Powered-By and their like'])
    expect(wrong({ 'x-powered-by': 'Express' })).toEqual(['Server, X-Powered-By and their like'])
    expect(wrong({ 'portcullis-request-id': 'req_1' })).toEqual([])
  })

  test('says for each header what was found, what is expected and why', () => {
    const finding = checkSecurityHeaders({ 'x-frame-options': 'ALLOWALL' }, { encrypted: true }).find(
      ({ name }) => name === 'X-Frame-Options',
    )
    expect(finding).toMatchObject({ ok: false, found: 'ALLOWALL', expected: 'DENY or SAMEORIGIN' })
    expect(finding?.advice).not.toBe('')
  })
})

import { describe, expect, test } from 'vitest'
import type { ListenSettings } from '../config/settings.ts'
import { tokenServiceShape } from '../config/token-service.ts'
import { withIssuer } from './issuer.ts'

const listen = (input: object) =>
  [
    { port: 8443, host: '127.0.0.1', tls: 'development', http2: true, behindTlsTerminator: false, ...input },
  ] as ListenSettings[]
const service = (input: unknown = true) => tokenServiceShape.parse(input)!

describe('the name of the token service', () => {
  test.each([
    ['a development gate', {}, 'https://localhost:8443/oauth'],
    ['plain loopback', { tls: 'off', port: 8080 }, 'http://localhost:8080/oauth'],
    ['the port of the scheme is not written', { port: 443 }, 'https://localhost/oauth'],
    [
      'a name of ACME',
      { host: '0.0.0.0', port: 443, tls: { acme: { domains: ['api.example.com'] } } },
      'https://api.example.com/oauth',
    ],
  ])('is made of the first listener: %s', (_, entry, expected) => {
    expect(withIssuer(service(), listen(entry)).issuer).toBe(expected)
  })

  test.each([
    ['a listener without a name', true, { host: '0.0.0.0' }, /needs a name/],
    ['a port the system chooses', true, { port: 0 }, /needs a name/],
    ['plain http', { issuer: 'http://api.example.com/oauth' }, {}, /not https/],
    ['no path beside the APIs', { issuer: 'https://api.example.com' }, {}, /no path/],
    ['RS256 with fapi2', { profile: 'fapi2', signing: 'RS256' }, {}, /RS256/],
  ])('refuses %s', (_, input, entry, expected) => {
    expect(() => withIssuer(service(input), listen(entry))).toThrow(expected)
  })

  test('needs no path on a listener of its own', () => {
    const { issuer } = withIssuer(service({ issuer: 'https://id.example.com' }), listen({ serves: 'tokenService' }))
    expect(issuer).toBe('https://id.example.com')
  })

  test.each([
    'https://a.example/x?y',
    'https://a.example/x#y',
    'https://a.example/x/',
    'https://u:p@a.example/x',
    'ftp://a.example/x',
  ])('%s is no issuer (RFC 8414, 2)', (issuer) => expect(tokenServiceShape.safeParse({ issuer }).success).toBe(false))

  test('`false` and silence switch it off', () => {
    expect([tokenServiceShape.parse(false), tokenServiceShape.optional().parse(undefined)]).toEqual([
      undefined,
      undefined,
    ])
  })
})

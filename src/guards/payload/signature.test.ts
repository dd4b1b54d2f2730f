import { createPublicKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { makeExchange } from '../../../test/kit/guard.ts'
import type { SignatureKey } from './client-keys.ts'
import { digestHolds, SignatureBroken, verifySignature } from './signature.ts'

/** RFC 9421, B.1.4 and B.2.6. */
const key: SignatureKey = {
  kid: 'test-key-ed25519',
  alg: 'ed25519',
  key: createPublicKey(
    '-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=\n-----END PUBLIC KEY-----\n',
  ),
}
const created = 1_618_884_473_000
const digest = 'sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:'
const headers = [
  'Host',
  'example.com',
  'Date',
  'Tue, 20 Apr 2021 02:07:55 GMT',
  'Content-Type',
  'application/json',
  'Content-Digest',
  digest,
  'Content-Length',
  '18',
  'Signature-Input',
  'sig-b26=("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
  'Signature',
  'sig-b26=:wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==:',
]

function exchange(change: Readonly<Record<string, string>> = {}, method = 'POST') {
  const rawHeaders = headers.map((text, index) => (index % 2 === 1 ? (change[headers[index - 1]!] ?? text) : text))
  return makeExchange({
    method,
    rawTarget: '/foo?param=Value&Pet=dog',
    authority: 'example.com',
    encrypted: true,
    rawHeaders,
    headers: Object.fromEntries(
      rawHeaders.flatMap((name, index) => (index % 2 === 0 ? [[name.toLowerCase(), rawHeaders[index + 1]!]] : [])),
    ),
  })
}

describe('a message signature', () => {
  const rules = { components: ['@method', '@path'], maxAgeMs: 300_000 }

  test('that the RFC shows holds, for as long as it may', () => {
    expect(verifySignature(exchange(), [key], rules, created)).toMatchObject({
      kid: 'test-key-ed25519',
      coversDigest: false,
    })
    expect(verifySignature(exchange(), [key], rules, created + 300_000)).toBeDefined()
    expect(() => verifySignature(exchange(), [key], rules, created + 300_001)).toThrow(SignatureBroken)
    expect(() => verifySignature(exchange(), [key], rules, created - 30_001)).toThrow(SignatureBroken)
  })

  test.each([
    ['another method', {}, 'PUT'],
    ['another date', { Date: 'Tue, 20 Apr 2021 02:07:56 GMT' }, 'POST'],
    ['another length', { 'Content-Length': '19' }, 'POST'],
  ])('does not hold for %s', (_, change, method) => {
    expect(() => verifySignature(exchange(change as Record<string, string>, method), [key], rules, created)).toThrow(
      SignatureBroken,
    )
  })

  test('does not do where more is to be covered', () => {
    expect(() => verifySignature(exchange(), [key], { ...rules, components: ['content-digest'] }, created)).toThrow(
      'does not cover content-digest',
    )
  })
})

describe('a digest of content', () => {
  const body = Buffer.from('{"hello": "world"}')
  test.each([
    [digest, true],
    ['sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:', true],
    [`md5=:AAAA:, ${digest}`, true],
    ['sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPA=:', false],
    [`sha-256=:AAAA:, ${digest}`, false],
    ['md5=:AAAA:', false],
    ['sha-256="X48E9q"', false],
    ['sha-256', false],
    ['', false],
    [`${digest}, `, false],
  ])('%s: %s', (header, expected) => {
    expect(digestHolds(header, body)).toBe(expected)
  })
})

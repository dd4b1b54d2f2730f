import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readAuthority, readOriginForm, splitAbsoluteForm } from './target.ts'

function read(text: string): string {
  const target = readOriginForm(text)
  if ('kind' in target) return target.code.replace('protocol.', '!')
  return target.query === '' ? target.path : `${target.path} ? ${target.query}`
}

describe('the request target (N10, V1: what is matched is what is forwarded)', () => {
  test.each([
    ['/', '/'],
    ['/a', '/a'],
    ['/a/', '/a/'],
    ['/a/b.json', '/a/b.json'],
    ['/.well-known/x', '!dot-segment-not'],
    ['/a?b=c', '/a ? b=c'],
    ['/a?', '/a'],
    ['/a??b', '/a ? ?b'],
    ['/a;v=1/b', '/a;v=1/b'],
    ["/~a_b-c!$&'()*+,=:@", "/~a_b-c!$&'()*+,=:@"],
    ['/...', '/...'],
    ['/..a/.b', '/..a/.b'],
    ['/%41%7e', '/A~'],
    ['/%7B%7d', '/%7B%7D'],
    ['/a%20b', '/a%20b'],
    ['/a%2eb', '/a.b'],
    ['/%252f', '/%252f'],
    ['/caf%c3%a9', '/caf%C3%A9'],
    ['/%F0%9F%98%80', '/%F0%9F%98%80'],
    ['/a|b[c]', '/a%7Cb%5Bc%5D'],
    ['/a?filter[x]=1|2&y={"z"}', '/a ? filter[x]=1|2&y={"z"}'],
    ['/a?u=../..//%2f', '/a ? u=../..//%2f'],
    ['/a?x=%0a', '/a ? x=%0a'],
  ])('reads %s', (text, expected) => {
    expect(read(text)).toBe(expected === '!dot-segment-not' ? text : expected)
  })

  test.each([
    ['', '!target'],
    ['a', '!target'],
    ['*', '!target'],
    ['http://a/b', '!target'],
    ['//', '!empty-segment'],
    ['//a', '!empty-segment'],
    ['/a//b', '!empty-segment'],
    ['/a/%2e/../b', '!dot-segment'],
    ['/.', '!dot-segment'],
    ['/..', '!dot-segment'],
    ['/./a', '!dot-segment'],
    ['/a/../b', '!dot-segment'],
    ['/a/..', '!dot-segment'],
    ['/a/..?x', '!dot-segment'],
    ['/a/%2e%2e/b', '!dot-segment'],
    ['/a/.%2E/b', '!dot-segment'],
    ['/a/..;/b', '!dot-segment'],
    ['/a/..;x=1/b', '!dot-segment'],
    ['/a/..%3b/b', '!dot-segment'],
    ['/a/.;/b', '!dot-segment'],
    ['/a%2fb', '!encoded-slash'],
    ['/a%2Fb', '!encoded-slash'],
    ['/a%5cb', '!encoded-slash'],
    ['/a\\b', '!encoded-slash'],
    ['/..\\..\\etc', '!encoded-slash'],
    ['/a%', '!target-encoding'],
    ['/a%4', '!target-encoding'],
    ['/a%zz', '!target-encoding'],
    ['/a%u0041', '!target-encoding'],
    ['/%c0%af', '!target-encoding'],
    ['/%c0%ae%c0%ae/', '!target-encoding'],
    ['/%e0%80%af', '!target-encoding'],
    ['/%f0%80%80%af', '!target-encoding'],
    ['/%ed%a0%80', '!target-encoding'],
    ['/%f5%80%80%80', '!target-encoding'],
    ['/%e9', '!target-encoding'],
    ['/%c3/%a9', '!target-encoding'],
    ['/%c3x%a9', '!target-encoding'],
    ['/a%00', '!target-character'],
    ['/a%0d%0aX', '!target-character'],
    ['/a%7f', '!target-character'],
    ['/a\x00', '!target-character'],
    ['/a b', '!target-character'],
    ['/a\tb', '!target-character'],
    ['/caf\u00e9', '!target-character'],
    ['/a#b', '!target-character'],
    ['/a<b>', '!target-character'],
    ['/{id}', '!target-character'],
    ['/a?b#c', '!target-character'],
    ['/a?\u00e9', '!target-character'],
    ['/a?b c', '!target-character'],
    ['/a?b=%00', '!target-character'],
    ['/a?b=%', '!target-encoding'],
    ['/a?b=%g0', '!target-encoding'],
    ['/a?b=%c0%af', '!target-encoding'],
    ['/a?b=%c3&%a9', '!target-encoding'],
    [`/${'a'.repeat(8_192)}`, '!target-too-long'],
  ])('refuses %s', (text, expected) => {
    expect(read(text)).toBe(expected)
  })

  test('accepts a target of exactly the greatest length', () => {
    expect(read(`/${'a'.repeat(8_191)}`)).toHaveLength(8_192)
  })

  test('reading what was read changes nothing', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom('/', '.', '%2e', '%41', '%c3%a9', 'a', ';', '?', '|', '%2', 'B', '%7E')),
        (parts) => {
          const once = readOriginForm(`/${parts.join('')}`)
          if ('kind' in once) return
          const again = readOriginForm(once.query === '' ? once.path : `${once.path}?${once.query}`)
          expect(again).toEqual(once)
        },
      ),
    )
  })

  test('no accepted path has a segment that anybody resolves, decoded once or as it is', () => {
    const piece = fc.constantFrom('/', '.', '%2e', '%2E', '%2f', '%5c', '\\', 'a', ';', '%3b', '%25', '2e')
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), (parts) => {
        const target = readOriginForm(`/${parts.join('')}`)
        if ('kind' in target) return
        for (const path of [target.path, decodeURIComponent(target.path)]) {
          expect(path.split('/').some((segment) => /^\.\.?(;|$)/.test(segment))).toBe(false)
          expect(path.slice(1)).not.toMatch(/\/\//)
        }
      }),
    )
  })
})

describe('the authority', () => {
  test.each([
    ['api.example.com', 'api.example.com'],
    ['API.Example.COM:8443', 'api.example.com:8443'],
    ['example.com.', 'example.com'],
    ['example.com.:80', 'example.com:80'],
    ['localhost', 'localhost'],
    ['my_service:3000', 'my_service:3000'],
    ['127.0.0.1:8080', '127.0.0.1:8080'],
    ['[::1]', '[::1]'],
    ['[2001:DB8::1]:443', '[2001:db8::1]:443'],
  ])('reads %s', (text, expected) => expect(readAuthority(text)).toBe(expected))

  test.each([
    '',
    ' ',
    'a b',
    'a,b',
    'a/b',
    'a@b',
    'a:',
    'a:b',
    'a:0',
    'a:65536',
    'a:1:2',
    'a..b',
    '.a',
    '.',
    '-a',
    'a%41',
    'caf\u00e9',
    '[::1',
    '[:::1]',
    '[1]',
    '::1',
    `${'a'.repeat(64)}.com`,
    `${'a.'.repeat(127)}com`,
    'a\x00',
  ])('refuses %j', (text) => expect(readAuthority(text)).toBeUndefined())

  test('cuts a target in absolute-form', () => {
    expect(splitAbsoluteForm('HTTP://a.b:80?x')).toEqual({ scheme: 'http', authority: 'a.b:80', rest: '/?x' })
    expect(splitAbsoluteForm('https://a/b?c')).toEqual({ scheme: 'https', authority: 'a', rest: '/b?c' })
    expect(splitAbsoluteForm('https://a')?.rest).toBe('/')
    expect(splitAbsoluteForm('ftp://a/')).toBeUndefined()
    expect(splitAbsoluteForm('http:///a')).toBeUndefined()
  })
})

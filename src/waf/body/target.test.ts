import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { requestLine, splitUri } from './target.ts'

describe('a request target', () => {
  test.each([
    // raw, uri, query, filename, basename
    ['/', '/', '', '/', ''],
    ['/a/b.php?x=1&y', '/a/b.php?x=1&y', 'x=1&y', '/a/b.php', 'b.php'],
    ['/a/', '/a/', '', '/a/', ''],
    ['/a%2fb%00+c', '/a%2fb%00+c', '', '/a/b\0+c', 'b\0+c'],
    ['/a%2', '/a%2', '', '/a%2', 'a%2'],
    ['/a%252e', '/a%252e', '', '/a%2e', 'a%2e'],
    ['/a?b?c', '/a?b?c', 'b?c', '/a', 'a'],
    ['/a?', '/a?', '', '/a', 'a'],
    ['/a?x=%41#y', '/a?x=%41', 'x=%41', '/a', 'a'],
    ['/a#?x=1', '/a', '', '/a', 'a'],
    ['/a\\b.exe', '/a\\b.exe', '', '/a\\b.exe', 'b.exe'],
    ['/a%5cb.exe', '/a%5cb.exe', '', '/a\\b.exe', 'b.exe'],
    ['http://h:1/a?b', '/a?b', 'b', '/a', 'a'],
    ['HTTP://u:p@h', '/', '', '/', ''],
    ['http://h?x=1', '/?x=1', 'x=1', '/', ''],
    ['http://h/http://i/a', '/http://i/a', '', '/http://i/a', 'a'],
    ['//h/a', '//h/a', '', '//h/a', 'a'],
    ['*', '*', '', '*', '*'],
    ['host:443', 'host:443', '', 'host:443', 'host:443'],
    ['', '', '', '', ''],
    ['/?url=http://h/a', '/?url=http://h/a', 'url=http://h/a', '/', ''],
  ])('%j', (raw, uri, queryString, filename, basename) => {
    expect(splitUri(raw)).toEqual({ uriRaw: raw, uri, queryString, filename, basename })
  })

  test('never throws, and loses nothing but origin and fragment', () => {
    const character = fc.oneof(
      fc.integer({ min: 0, max: 255 }),
      fc.constantFrom(...[...'/?#:%\\.ht'].map((c) => c.charCodeAt(0))),
    )
    fc.assert(
      fc.property(fc.array(character), (codes) => {
        const raw = String.fromCharCode(...codes)
        const parts = splitUri(raw)
        const body = raw.split('#')[0]!
        expect(body.endsWith(parts.uri.replace(/^\//, ''))).toBe(true)
        expect(parts.filename.endsWith(parts.basename)).toBe(true)
        expect(parts.uri.endsWith(parts.queryString)).toBe(true)
      }),
    )
  })

  test('a request line of HTTP/0.9 ends with the target', () => {
    expect(requestLine('GET', '/a', '')).toBe('GET /a')
    expect(requestLine('GET', '/a', 'HTTP/1.1')).toBe('GET /a HTTP/1.1')
  })
})

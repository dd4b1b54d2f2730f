import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { prefersXml, quality } from './negotiate.ts'
import { escapeXml, type Problem, renderProblem } from './problem.ts'

const docsBase = 'https://docs.example/denials#'
const denied: Problem = { status: 403, code: 'ip.denied', detail: 'This address may not call this API.' }
const json = (problem: Problem, id = 'req_1') =>
  JSON.parse(renderProblem(problem, { id, accept: undefined, docsBase }).body) as Record<string, unknown>
const xml = (problem: Problem, id = 'req_1') => renderProblem(problem, { id, accept: 'application/xml', docsBase }).body

describe('E1: a problem document', () => {
  test('has the fields of RFC 9457, and the code', () => {
    expect(renderProblem(denied, { id: 'req_1', accept: undefined, docsBase }).contentType).toBe(
      'application/problem+json',
    )
    expect(json(denied)).toEqual({
      type: 'https://docs.example/denials#ip.denied',
      title: 'Forbidden',
      status: 403,
      detail: 'This address may not call this API.',
      instance: 'req_1',
      code: 'ip.denied',
    })
  })

  test('has its own instance each time, whatever was rendered before', () => {
    expect(json(denied, 'req_a').instance).toBe('req_a')
    expect(json(denied, 'req_b').instance).toBe('req_b')
  })

  test('is not mistaken for another with the same words', () => {
    expect(json(denied).code).toBe('ip.denied')
    expect(json({ ...denied, code: 'other.denied' })).toMatchObject({
      code: 'other.denied',
      type: `${docsBase}other.denied`,
    })
    expect(json({ ...denied, status: 404 })).toMatchObject({ status: 404, title: 'Not Found' })
    expect(
      JSON.parse(renderProblem(denied, { id: 'x', accept: undefined, docsBase: 'https://other/' }).body),
    ).toHaveProperty('type', 'https://other/ip.denied')
  })

  test('has a title for a status that nobody knows', () => {
    expect(json({ ...denied, status: 599 }).title).toBe('Error')
  })

  test('in XML has the namespace and the elements of appendix B', () => {
    expect(renderProblem(denied, { id: 'req_1', accept: 'text/xml', docsBase }).contentType).toBe(
      'application/problem+xml',
    )
    expect(xml(denied)).toBe(
      '<?xml version="1.0" encoding="UTF-8"?>\n<problem xmlns="urn:ietf:rfc:7807">' +
        '<type>https://docs.example/denials#ip.denied</type><title>Forbidden</title><status>403</status>' +
        '<detail>This address may not call this API.</detail><instance>req_1</instance><code>ip.denied</code></problem>\n',
    )
  })
})

describe('E2: errors, place by place', () => {
  const errors = [
    { pointer: '/items/0/<sku>', in: 'body', detail: 'expected a string, found a number' },
    { pointer: 'page', in: 'query', detail: 'expected an integer & nothing else' },
  ]
  const problem: Problem = { status: 400, code: 'validate.request', detail: 'The request does not fit.', errors }

  test('stand in JSON as given', () => {
    expect(json(problem).errors).toEqual(errors)
  })

  test('stand in XML as items, escaped', () => {
    expect(xml(problem)).toContain(
      '<errors><i><pointer>/items/0/&lt;sku&gt;</pointer><in>body</in><detail>expected a string, found a number</detail></i>' +
        '<i><pointer>page</pointer><in>query</in><detail>expected an integer &amp; nothing else</detail></i></errors>',
    )
  })

  test('do not stick to a later problem of the same kind', () => {
    expect(json(problem).errors).toHaveLength(2)
    expect(json({ ...problem, errors: [] }).errors).toEqual([])
    expect(json({ ...problem, errors: undefined })).not.toHaveProperty('errors')
  })
})

describe('hostile text', () => {
  test('leaves JSON whole', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }), (detail, id) => {
        expect(json({ ...denied, detail }, id)).toMatchObject({ detail, instance: id })
      }),
    )
  })

  test('cannot end an element or smuggle a character that XML 1.0 forbids', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        const escaped = escapeXml(text)
        expect(escaped).not.toMatch(/[<>"']/)
        expect(escaped).not.toMatch(/&(?!amp;|lt;|gt;|quot;|apos;|#13;)/)
        expect(escaped.isWellFormed()).toBe(true)
        // biome-ignore lint/suspicious/noControlCharactersInRegex: their absence is the point
        expect(escaped).not.toMatch(/[\0-\x08\x0b-\x1f\ufffe\uffff]/)
      }),
    )
  })

  test.each([
    ['a lone high surrogate', 'a\ud800b', 'a\ufffdb'],
    ['a lone low surrogate', 'a\udc00b', 'a\ufffdb'],
    ['a pair', 'a😀b', 'a😀b'],
    ['NUL', 'a\0b', 'a\ufffdb'],
    ['tab and line feed', 'a\t\nb', 'a\t\nb'],
    ['markup', '</detail><x a="1">', '&lt;/detail&gt;&lt;x a=&quot;1&quot;&gt;'],
  ])('%s', (_, text, escaped) => {
    expect(escapeXml(text)).toBe(escaped)
  })
})

describe('negotiation', () => {
  test.each([
    [undefined, false],
    ['', false],
    ['*/*', false],
    ['application/json', false],
    ['application/xml', true],
    ['text/xml', true],
    ['application/problem+xml', true],
    ['Application/XML', true],
    ['application/xml, application/json', false],
    ['application/xml, application/json;q=0.9', true],
    ['application/xml;q=0.5, application/json', false],
    ['application/xml;q=0', false],
    ['application/xml, */*', false],
    ['application/xml, */*;q=0.1', true],
    ['application/*, application/xml;q=0.2', false],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', false],
    ['application/xhtml+xml', false],
    [`application/xml${' '.repeat(2_000)}`, false],
  ])('%j prefers XML: %j', (accept, expected) => {
    expect(prefersXml(accept)).toBe(expected)
  })

  test.each([
    ['text/*;q=0.3, text/html;q=0.7, */*;q=0.5', 'text/html', 0.7],
    ['text/*;q=0.3, text/html;q=0.7, */*;q=0.5', 'text/plain', 0.3],
    ['text/*;q=0.3, text/html;q=0.7, */*;q=0.5', 'image/jpeg', 0.5],
    ['text/plain; format=flowed; Q=0.25', 'text/plain', 0.25],
    ['text/plain', 'image/png', 0],
    ['text/plain;q=nonsense', 'text/plain', 1],
  ])('quality of %j for %s is %d', (accept, type, expected) => {
    expect(quality(accept, type)).toBe(expected)
  })
})

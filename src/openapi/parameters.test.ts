import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeOperation, makeParameter } from '../../test/kit/guard.ts'
import type { ApiDocument, Parameter, Schema } from './operation.ts'
import { compileParameters, type ParameterOptions, type ParameterResult } from './parameters.ts'
import { createValidators } from './validators.ts'

const uri = 'file:///api/openapi.json'
const schemas = {
  Color: { type: 'object', properties: { R: { type: 'integer' }, G: { type: 'integer' } }, required: ['R'] },
}

interface Sent {
  readonly path?: string
  readonly query?: string
  readonly headers?: Record<string, string>
}

type Written = Partial<Omit<Parameter, 'schema'>> & { readonly schema?: unknown }

function checker(
  parameters: readonly Written[],
  options: Partial<ParameterOptions> = {},
  more: Partial<ApiDocument> = {},
) {
  const written = parameters.map((parameter, i): Parameter => {
    const place = parameter.in ?? 'query'
    const style = parameter.style ?? (place === 'path' || place === 'header' ? 'simple' : 'form')
    const { schema } = parameter
    return {
      ...makeParameter('p', place),
      ...parameter,
      style,
      explode: parameter.explode ?? style === 'form',
      schema: schema === undefined ? undefined : { uri: `${uri}#/parameters/${i}/schema`, schema: schema as Schema },
    }
  })
  const root = { components: { schemas }, parameters }
  const operation = makeOperation({ path: '/{p}', parameters: written })
  Object.assign(operation.document, { validator: createValidators(new Map([[uri, root]]), { openapi: '3.1.0' }) }, more)
  const check = compileParameters(operation, { unknownQuery: 'refuse', ...options })
  return ({ path = '', query = '', headers = {} }: Sent): ParameterResult =>
    check === undefined ? { values: {}, errors: [] } : check({ pathValues: [path], query, headers })
}

/** The value of parameter `p`, or what is wrong with it. */
function read(parameter: Written, sent: Sent): unknown {
  const { values, errors } = checker([parameter])(sent)
  if (errors.length > 0) return errors.map(({ pointer, detail }) => `${pointer}: ${detail}`).join('; ')
  return JSON.parse(JSON.stringify(values[`${parameter.in ?? 'query'}.p`] ?? 'absent'))
}

const list = { type: 'array', items: { type: 'string' } }
const numbers = { type: 'array', items: { type: 'integer' } }
const color = { $ref: '#/components/schemas/Color' }

describe('V1: every style of OpenAPI', () => {
  // The table of OpenAPI 3.1, 4.8.12.4, and what is beside it.
  test.each<[string, Written, Sent, unknown]>([
    ['simple', { in: 'path', schema: { type: 'string' } }, { path: 'blue' }, 'blue'],
    ['simple, encoded', { in: 'path', schema: { type: 'string' } }, { path: 'a%20b%C3%BC' }, 'a bü'],
    ['simple list', { in: 'path', schema: list }, { path: 'blue,black' }, ['blue', 'black']],
    ['simple list of one', { in: 'path', schema: numbers }, { path: '7' }, [7]],
    ['simple object', { in: 'path', schema: color }, { path: 'R,100,G,200' }, { R: 100, G: 200 }],
    [
      'simple object, exploded',
      { in: 'path', explode: true, schema: color },
      { path: 'R=100,G=200' },
      { R: 100, G: 200 },
    ],
    ['label', { in: 'path', style: 'label', schema: { type: 'integer' } }, { path: '.5' }, 5],
    ['label list', { in: 'path', style: 'label', schema: list }, { path: '.blue,black' }, ['blue', 'black']],
    [
      'label list, exploded',
      { in: 'path', style: 'label', explode: true, schema: list },
      { path: '.blue.black' },
      ['blue', 'black'],
    ],
    ['label object', { in: 'path', style: 'label', schema: color }, { path: '.R,100,G,200' }, { R: 100, G: 200 }],
    [
      'label object, exploded',
      { in: 'path', style: 'label', explode: true, schema: color },
      { path: '.R=100.G=200' },
      { R: 100, G: 200 },
    ],
    ['matrix', { in: 'path', style: 'matrix', schema: { type: 'string' } }, { path: ';p=blue' }, 'blue'],
    ['matrix, empty', { in: 'path', style: 'matrix', schema: { type: 'string' } }, { path: ';p' }, ''],
    ['matrix list', { in: 'path', style: 'matrix', schema: list }, { path: ';p=blue,black' }, ['blue', 'black']],
    [
      'matrix list, exploded',
      { in: 'path', style: 'matrix', explode: true, schema: list },
      { path: ';p=blue;p=black' },
      ['blue', 'black'],
    ],
    ['matrix object', { in: 'path', style: 'matrix', schema: color }, { path: ';p=R,100,G,200' }, { R: 100, G: 200 }],
    [
      'matrix object, exploded',
      { in: 'path', style: 'matrix', explode: true, schema: color },
      { path: ';R=100;G=200' },
      { R: 100, G: 200 },
    ],
    ['form', { schema: { type: 'string' } }, { query: 'p=a+b%2Bc' }, 'a b+c'],
    ['form, empty', { schema: { type: 'string' } }, { query: 'p=' }, ''],
    ['form list', { schema: list }, { query: 'p=blue&p=black' }, ['blue', 'black']],
    ['form list of one', { schema: numbers }, { query: 'p=1' }, [1]],
    ['form list, in one', { explode: false, schema: numbers }, { query: 'p=1,2,3' }, [1, 2, 3]],
    [
      'form list, in one, encoded by a library',
      { explode: false, schema: numbers },
      { query: 'p=1%2C2%2c3' },
      [1, 2, 3],
    ],
    ['form object', { explode: false, schema: color }, { query: 'p=R,100,G,200' }, { R: 100, G: 200 }],
    ['form object, exploded', { schema: color }, { query: 'R=100&G=200' }, { R: 100, G: 200 }],
    ['space', { style: 'spaceDelimited', explode: false, schema: list }, { query: 'p=a%20b+c' }, ['a', 'b', 'c']],
    ['pipe', { style: 'pipeDelimited', explode: false, schema: list }, { query: 'p=a|b%7Cc' }, ['a', 'b', 'c']],
    [
      'deepObject',
      { style: 'deepObject', explode: true, schema: color },
      { query: 'p[R]=100&p%5BG%5D=200' },
      { R: 100, G: 200 },
    ],
    [
      'deepObject, deeper',
      {
        style: 'deepObject',
        explode: true,
        schema: { type: 'object', properties: { a: { type: 'object', properties: { b: numbers } } } },
      },
      { query: 'p[a][b]=1&p[a][b]=2' },
      { a: { b: [1, 2] } },
    ],
    ['header', { in: 'header', schema: { type: 'integer' } }, { headers: { p: '5' } }, 5],
    ['header list', { in: 'header', schema: numbers }, { headers: { p: '1, 2,3' } }, [1, 2, 3]],
    [
      'header object',
      { in: 'header', explode: true, schema: color },
      { headers: { p: 'R=100,G=200' } },
      { R: 100, G: 200 },
    ],
    ['header, never decoded', { in: 'header', schema: { type: 'string' } }, { headers: { p: 'a%20b+c' } }, 'a%20b+c'],
    ['cookie', { in: 'cookie', schema: { type: 'integer' } }, { headers: { cookie: 'a=b; p=5' } }, 5],
    ['cookie, with a plus', { in: 'cookie', schema: { type: 'string' } }, { headers: { cookie: 'p=a+b' } }, 'a+b'],
    ['cookie list', { in: 'cookie', explode: false, schema: numbers }, { headers: { cookie: 'p=1,2' } }, [1, 2]],
    ['JSON in a query', { content: media('application/json', color) }, { query: 'p=%7B%22R%22%3A1%7D' }, { R: 1 }],
    [
      'JSON in a header',
      { in: 'header', content: media('application/json', color) },
      { headers: { p: '{"R":1}' } },
      { R: 1 },
    ],
    ['empty where that is allowed', { allowEmptyValue: true, schema: { type: 'integer' } }, { query: 'p=' }, 'absent'],
    ['absent', { schema: { type: 'integer' } }, {}, 'absent'],
    [
      'either a number or a text',
      { schema: { oneOf: [{ type: 'integer' }, { const: 'all' }] } },
      { query: 'p=all' },
      'all',
    ],
    ['a text that looks like a number', { schema: { type: 'string' } }, { query: 'p=007' }, '007'],
    ['a null', { schema: { type: ['integer', 'null'] } }, { query: 'p=' }, null],
  ])('%s', (_, parameter, sent, expected) => {
    expect(read(parameter, sent)).toEqual(expected ?? 'absent')
  })

  test('a whole query is one value (3.2)', () => {
    const schema = { type: 'object', properties: { a: { type: 'integer' }, b: numbers } }
    const check = checker([
      { in: 'querystring', name: 'q', content: media('application/x-www-form-urlencoded', schema) },
    ])
    expect(check({ query: 'a=1&b=2&b=3' }).values['query.q']).toEqual({ a: 1, b: [2, 3] })
    expect(check({ query: 'a=x&z=1' }).errors.map(({ pointer }) => pointer)).toEqual(['q/a', 'q/z'])
    const json = checker([{ in: 'querystring', name: 'q', content: media('application/json', schema) }])
    expect(json({ query: '%7B%22a%22%3A1%7D' }).values['query.q']).toEqual({ a: 1 })
  })
})

function media(type: string, schema: unknown) {
  return { type, schema: { uri: `${uri}#/nowhere`, schema: schema as Schema }, itemSchema: undefined, encoding: {} }
}

describe('V1: what does not fit is refused, in words', () => {
  test.each<[string, Written, Sent, string]>([
    [
      'a text for a number',
      { schema: { type: 'integer' } },
      { query: 'p=abc' },
      'p: expected an integer, got a string of 3 characters',
    ],
    [
      'hexadecimal',
      { schema: { type: 'number' } },
      { query: 'p=0x10' },
      'p: expected a number, got a string of 4 characters',
    ],
    [
      'a space',
      { schema: { type: 'number' } },
      { query: 'p=%201' },
      'p: expected a number, got a string of 2 characters',
    ],
    [
      'a plus sign',
      { schema: { type: 'number' } },
      { query: 'p=%2B1' },
      'p: expected a number, got a string of 2 characters',
    ],
    [
      'infinity',
      { schema: { type: 'number' } },
      { query: 'p=1e999' },
      'p: expected a number, got a string of 5 characters',
    ],
    [
      'a boolean in capitals',
      { schema: { type: 'boolean' } },
      { query: 'p=True' },
      'p: expected a boolean, got a string of 4 characters',
    ],
    ['twice', { schema: { type: 'string' } }, { query: 'p=a&p=b' }, 'p: expected it once'],
    ['twice, one encoded', { schema: { type: 'string' } }, { query: 'p=a&%70=b' }, 'p: expected it once'],
    [
      'an item',
      { explode: false, schema: numbers },
      { query: 'p=1,x' },
      'p/1: expected an integer, got a string of 1 character',
    ],
    [
      'broken UTF-8 in a path',
      { in: 'path', schema: { type: 'string' } },
      { path: '%ff' },
      'p: expected percent-encoded UTF-8',
    ],
    ['overlong UTF-8', { schema: { type: 'string' } }, { query: 'p=%c0%af' }, 'p: expected percent-encoded UTF-8'],
    ['a broken name', { schema: { type: 'string' } }, { query: '%zz=1' }, ': expected percent-encoded UTF-8'],
    ['an odd object', { in: 'path', schema: color }, { path: 'R,1,G' }, 'p: expected keys and values in turn'],
    ['a property twice', { in: 'path', schema: color }, { path: 'R,1,R,2' }, 'p: expected each property once'],
    [
      'an unknown property',
      { style: 'deepObject', schema: color },
      { query: 'p[R]=1&p[x]=1' },
      'p/x: expected no such property: the document does not list it',
    ],
    [
      'a trap',
      { style: 'deepObject', schema: { type: 'object' } },
      { query: 'p[__proto__][x]=1' },
      'p: expected names such as filter[key]',
    ],
    [
      'a label without its dot',
      { in: 'path', style: 'label', schema: list },
      { path: 'a' },
      'p: expected a dot before the value',
    ],
    ['another matrix name', { in: 'path', style: 'matrix', schema: list }, { path: ';q=a' }, 'p: expected name=value'],
    [
      'no JSON',
      { content: media('application/json', color) },
      { query: 'p=%7B' },
      'p: expected JSON: expected JSON (at byte 1)',
    ],
    ['absent', { required: true, schema: {} }, {}, 'p: expected this parameter, got nothing'],
    ['an absent header', { in: 'header', required: true, schema: {} }, {}, 'p: expected this parameter, got nothing'],
    [
      'an absent cookie',
      { in: 'cookie', required: true, schema: {} },
      { headers: { cookie: 'q=1' } },
      'p: expected this parameter, got nothing',
    ],
  ])('%s', (_, parameter, sent, expected) => {
    expect(read(parameter, sent)).toBe(expected)
  })

  test('query parameters that the document does not list are refused, by name, and allowed on request', () => {
    const parameters = [{ name: 'a', schema: { type: 'string' } }]
    expect(checker(parameters)({ query: 'a=1&debug=true&debug=1&x=' }).errors).toEqual([
      { pointer: 'debug', in: 'query', detail: 'expected no such parameter: the document does not list it' },
      { pointer: 'x', in: 'query', detail: 'expected no such parameter: the document does not list it' },
    ])
    expect(checker(parameters, { unknownQuery: 'allow' })({ query: 'a=1&debug=true' }).errors).toEqual([])
    expect(checker(parameters, { ignoredQuery: ['utm'] })({ query: 'utm=1' }).errors).toEqual([])
    expect(checker([])({ query: 'x' }).errors).toHaveLength(1)
    expect(checker([])({ query: '' }).errors).toEqual([])
    expect(checker([{ name: 'f', schema: { type: 'object' } }, ...parameters])({ query: 'any=1&a=2' }).errors).toEqual(
      [],
    )
  })

  test('an API key in the query is not unknown', () => {
    const scheme = { name: 'k', type: 'apiKey', in: 'query', parameterName: 'api_key', httpScheme: undefined } as const
    expect(checker([], {}, { securitySchemes: new Map([['k', scheme]]) })({ query: 'api_key=1' }).errors).toEqual([])
  })

  test('all errors are told, never a value, and not more than 50', () => {
    const check = checker([
      { in: 'path', schema: { type: 'integer' } },
      { name: 'q', schema: { type: 'integer' } },
      { in: 'header', name: 'H', schema: { type: 'integer' } },
      { in: 'cookie', name: 'c', schema: { type: 'integer' } },
    ])
    const { errors } = check({ path: 'secret', query: 'q=secret', headers: { h: 'secret', cookie: 'c=secret' } })
    expect(errors.map((error) => `${error.in} ${error.pointer}`)).toEqual(['path p', 'query q', 'header H', 'cookie c'])
    expect(JSON.stringify(errors)).not.toContain('secret')
    const many = Array.from({ length: 900 }, (_, i) => `x${i}=1`).join('&')
    expect(check({ path: '1', query: many }).errors).toHaveLength(50)
    expect(check({ path: '1', query: `${many}&${many}` }).errors).toHaveLength(1)
  })

  test('nothing to check is nothing to pay', () => {
    expect(compileParameters(makeOperation(), { unknownQuery: 'allow' })).toBeUndefined()
  })
})

test('whatever is written in a style is read again', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 8 }).filter((part) => part.isWellFormed())
  const record = fc.record({ s: text, n: fc.integer(), b: fc.boolean() })
  const schema = {
    type: 'object',
    properties: { s: { type: 'string' }, n: { type: 'integer' }, b: { type: 'boolean' } },
  }
  const encode = (value: unknown) => encodeURIComponent(String(value)).replaceAll('.', '%2E')
  const check = checker([
    { name: 'd', style: 'deepObject', schema },
    { name: 'f', schema },
    { name: 'l', schema: list },
  ])
  fc.assert(
    fc.property(record, record, fc.array(text, { minLength: 1, maxLength: 4 }), (deep, flat, items) => {
      const pairs = [
        ...Object.entries(deep).map(([key, value]) => `d[${key}]=${encode(value)}`),
        ...Object.entries(flat).map(([key, value]) => `${key}=${encode(value)}`),
        ...items.map((item) => `l=${encode(item)}`),
      ]
      const { values, errors } = check({ query: pairs.join('&') })
      expect(errors).toEqual([])
      expect({ ...(values['query.d'] as object) }).toEqual(deep)
      expect({ ...(values['query.f'] as object) }).toEqual(flat)
      expect(values['query.l']).toEqual(items)
    }),
  )
})

test('no query makes the check throw', () => {
  const check = checker([
    { name: 'a', style: 'deepObject', schema: color },
    { name: 'b', explode: false, schema: numbers },
    { name: 'c', content: media('application/json', {}) },
  ])
  const part = fc.constantFrom('a', 'b', 'c', '[', ']', '[R]', '=', '&', '%', '%5B', '%ff', ',', '__proto__', '{', '1')
  fc.assert(
    fc.property(fc.array(part, { maxLength: 20 }), (parts) => {
      expect(check({ query: parts.join('') }).errors.length).toBeLessThanOrEqual(50)
    }),
    { numRuns: 1000 },
  )
})

describe('Z1: a semicolon in a path value', () => {
  const text = { in: 'path', required: true, schema: { type: 'string' } } as const

  test.each<[string, Written | undefined, string, string | undefined]>([
    // A servlet container routes `/admin;.json` as `/admin`.
    ['as such', text, 'admin;.json', 'p: expected the semicolon percent-encoded'],
    ['percent-encoded', text, 'admin%3B.json', undefined],
    ['in a label', { ...text, style: 'label' }, '.a;b', 'p: expected the semicolon percent-encoded'],
    ['of the matrix style', { ...text, style: 'matrix' }, ';p=a', undefined],
    [
      'in a value that the document does not describe',
      undefined,
      'admin;.json',
      'p: expected the semicolon percent-encoded',
    ],
  ])('%s', (_, parameter, path, expected) => {
    const { errors } = checker(parameter === undefined ? [] : [{ ...parameter, name: 'p' }])({ path })
    expect(errors.map(({ pointer, detail }) => `${pointer}: ${detail}`)[0]).toBe(expected)
  })
})

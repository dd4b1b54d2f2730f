import { describe, expect, test } from 'vitest'
import { loadDocument } from '../../openapi/index.ts'
import type { Operation } from '../../openapi/operation.ts'
import { flattenJson } from '../../waf/body/index.ts'
import { requestShape } from './shape.ts'

async function operationOf(operation: object, components: object = {}): Promise<Operation> {
  const { operations } = await loadDocument({
    file: '/openapi.json',
    api: 'test',
    read: async () =>
      JSON.stringify({
        openapi: '3.1.0',
        info: { title: 'Test', version: '1' },
        security: [],
        components: { schemas: components },
        paths: { '/a': { post: { responses: { 200: { description: '' } }, ...operation } } },
      }),
  })
  return operations[0]!
}

const parameter = (name: string, schema: object, more: object = {}) => ({ name, in: 'query', schema, ...more })
const uuid = '3f2504e0-4f89-41d3-9a0c-0305e82c3301'

async function queryCheck(schema: object, more: object = {}) {
  const shape = requestShape(await operationOf({ parameters: [parameter('p', schema, more)] }))
  return shape?.query?.get('p')
}

describe('what a document proves of parameters', () => {
  test.each<[string, object, object, string[], string[]]>([
    ['an integer', { type: 'integer' }, {}, ['1', '-5'], ["1'", 'a']],
    ['a boolean', { type: 'boolean' }, {}, ['true'], ['true or 1']],
    ['an enumeration', { enum: ['asc', 'desc'] }, {}, ['asc'], ['ascx']],
    ['a list, each item a value', { type: 'array', items: { type: 'integer' } }, {}, ['1'], ['1,2', "1'"]],
    [
      'a list in one value',
      { type: 'array', items: { type: 'integer' } },
      { explode: false },
      ['1', '1,2'],
      ['1,x', '1|2'],
    ],
    [
      'a list between pipes',
      { type: 'array', items: { format: 'uuid', type: 'string' } },
      { style: 'pipeDelimited', explode: false },
      [`${uuid}|${uuid}`],
      [`${uuid}|' or 1`],
    ],
    ['a number or a word', { anyOf: [{ type: 'integer' }, { const: 'all' }] }, {}, ['7', 'all'], ['some']],
  ])('%s', async (_, schema, more, harmless, suspect) => {
    const check = (await queryCheck(schema, more))!
    for (const value of harmless) expect(check(value), value).toBe(true)
    for (const value of suspect) expect(check(value), value).toBe(false)
  })

  test.each<[string, object, object?]>([
    ['free text', { type: 'string' }],
    ['anything', {}],
    ['long text', { type: 'string', maxLength: 500 }],
    ['a number or free text', { anyOf: [{ type: 'integer' }, { type: 'string' }] }],
    ['a list of free text', { type: 'array', items: { type: 'string' } }],
    ['an object spread over the query', { type: 'object', properties: { a: { type: 'integer' } } }],
  ])('nothing of %s but its name', async (_, schema, more) => {
    const check = (await queryCheck(schema, more))!
    for (const value of ['1', 'a', '', '2026-11-22', uuid]) expect(check(value), value).toBe(false)
  })

  test('members of a deep object, by the names they are sent under', async () => {
    const schema = {
      type: 'object',
      properties: { from: { type: 'string', format: 'date' }, text: { type: 'string' } },
    }
    const shape = requestShape(
      await operationOf({ parameters: [parameter('filter', schema, { style: 'deepObject', explode: true })] }),
    )
    expect([...shape!.query!.keys()]).toEqual(['filter[from]', 'filter[text]'])
    expect(shape!.query!.get('filter[text]')!('2026-11-22')).toBe(false)
  })

  test('headers by lower-case name, cookies by name', async () => {
    const shape = requestShape(
      await operationOf({
        parameters: [
          parameter('X-Tenant', { type: 'string', format: 'uuid' }, { in: 'header' }),
          parameter('theme', { enum: ['dark', 'light'] }, { in: 'cookie' }),
        ],
      }),
    )
    expect([...shape!.headers!.keys()]).toEqual(['x-tenant'])
    expect([...shape!.cookies!.keys()]).toEqual(['theme'])
  })

  test('and nothing at all where there is nothing to prove', async () => {
    expect(requestShape(await operationOf({}))).toBeUndefined()
  })
})

describe('what a document proves of a JSON body', () => {
  const body = (schema: object, type = 'application/json') => ({ requestBody: { content: { [type]: { schema } } } })
  const schema = {
    type: 'object',
    properties: {
      id: { type: 'string', format: 'uuid' },
      kind: { enum: ['a', 'b'] },
      count: { type: 'integer' },
      note: { type: 'string' },
      day: { type: ['string', 'null'], format: 'date' },
      lines: { type: 'array', items: { $ref: '#/components/schemas/Line' } },
      parent: { $ref: '#/components/schemas/Node' },
    },
  }
  const components = {
    Line: {
      type: 'object',
      properties: { sku: { type: 'string', pattern: '^[A-Z0-9-]{1,20}$' }, text: { type: 'string' } },
    },
    Node: {
      type: 'object',
      properties: { n: { type: 'number' }, next: { $ref: '#/components/schemas/Node' }, t: { type: 'string' } },
    },
  }

  async function split(value: unknown) {
    const shape = requestShape(await operationOf(body(schema), components))
    const flat = flattenJson(JSON.stringify(value), undefined, shape!.json)
    const names = (list: readonly { readonly name: string }[]) => list.map(({ name }) => name).sort()
    const all = [...flat.arguments, ...flat.proved]
    return {
      full: names(flat.arguments),
      proved: names(flat.proved),
      unknown: names(all.filter(({ known }) => !known)),
    }
  }

  test('values that are what it says, at any depth', async () => {
    const { full, proved, unknown } = await split({
      id: uuid,
      kind: 'a',
      count: 3,
      note: 'hello',
      day: null,
      lines: [{ sku: 'AB-1', text: 'x' }],
      parent: { n: 1, next: { n: 2, next: { n: 3, t: 'y' } } },
    })
    expect(unknown).toEqual([])
    expect(full).toEqual(['json.lines.0.text', 'json.note', 'json.parent.next.next.t'])
    expect(proved).toEqual([
      'json.count',
      'json.day',
      'json.id',
      'json.kind',
      'json.lines',
      'json.lines.0.sku',
      'json.parent.n',
      'json.parent.next.n',
      'json.parent.next.next.n',
    ])
  })

  test('nothing of values that are something else, nor of properties it does not know', async () => {
    const { full, proved, unknown } = await split({
      id: "x' or 1=1",
      kind: 'c',
      count: '3; drop',
      extra: 1,
      lines: [{ sku: '<script>', extra: { id: uuid } }],
      parent: { other: { n: 1 } },
    })
    expect(proved).toEqual(['json.lines'])
    expect(unknown).toEqual(['json.extra', 'json.lines.0.extra.id', 'json.parent.other.n'])
    expect(full).toEqual([
      'json.count',
      'json.extra',
      'json.id',
      'json.kind',
      'json.lines.0.extra.id',
      'json.lines.0.sku',
      'json.parent.other.n',
    ])
  })

  test('nothing where several JSON types have schemas of their own', async () => {
    const shape = requestShape(
      await operationOf({
        requestBody: {
          content: {
            'application/json': { schema: { type: 'object', properties: { a: { type: 'integer' } } } },
            'application/merge-patch+json': { schema: { type: 'object', properties: { a: { type: 'string' } } } },
          },
        },
      }),
    )
    expect(shape).toBeUndefined()
  })

  test('names as the bytes they are sent as', async () => {
    const shape = requestShape(await operationOf(body({ type: 'object', properties: { größe: { type: 'integer' } } })))
    const flat = flattenJson(Buffer.from('{"größe":1}').toString('latin1'), undefined, shape!.json)
    expect(flat.proved).toHaveLength(1)
  })
})

describe('what a document proves of a form', () => {
  test('fields, but of those that are written as another media type only their names', async () => {
    const schema = {
      type: 'object',
      properties: {
        n: { type: 'integer' },
        meta: { type: 'integer' },
        text: { type: 'string' },
        tags: { type: 'array', items: { enum: ['a'] } },
      },
    }
    const shape = requestShape(
      await operationOf({
        requestBody: {
          content: {
            'application/x-www-form-urlencoded': { schema },
            'multipart/form-data': { schema, encoding: { meta: { contentType: 'application/json' } } },
          },
        },
      }),
    )
    expect([...shape!.form!.keys()].sort()).toEqual(['meta', 'n', 'tags', 'text'])
    expect(shape!.form!.get('meta')!('1')).toBe(false)
    expect(shape!.form!.get('tags')!('a')).toBe(true)
    expect(shape!.form!.get('tags')!('b')).toBe(false)
  })
})

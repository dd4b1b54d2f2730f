import { describe, expect, test } from 'vitest'
import { complaintsOf, loadFiles, operationOf } from '../../test/fixtures/openapi-files.ts'
import type { Operation, Parameter } from './operation.ts'

/** A 2.0 document with one operation. */
function swagger(operation: object, rest: object = {}, pathItem: object = {}): string {
  return JSON.stringify({
    swagger: '2.0',
    info: { title: 'T', version: '1' },
    paths: { '/a/{id}': { ...pathItem, post: { operationId: 'a', responses: {}, ...operation } } },
    ...rest,
  })
}

async function operation(written: object, rest: object = {}, pathItem: object = {}): Promise<Operation> {
  return operationOf(await loadFiles({ 'api.json': swagger(written, rest, pathItem) }), 'a')
}

async function parameter(written: object): Promise<Parameter> {
  return (await operation({ parameters: [written] })).parameters.find(({ name }) => name === 'p')!
}

/** How many complaints each value of the operation's first media type gets. */
function judge({ requestBody, document }: Operation, ...values: unknown[]): boolean[] {
  const validate = document.validator(requestBody!.content[0]!.schema!, 'request')
  return values.map((value) => validate(value).length === 0)
}

describe('parameters of 2.0 in the terms of 3.1', () => {
  const list = { type: 'array', items: { type: 'integer' } }

  test.each<[string, object, Partial<Parameter>, object]>([
    [
      'a plain query',
      { in: 'query', type: 'string', maxLength: 3 },
      { style: 'form', explode: true },
      { type: 'string', maxLength: 3 },
    ],
    ['a list in the query', { in: 'query', ...list }, { style: 'form', explode: false }, list],
    ['csv', { in: 'query', ...list, collectionFormat: 'csv' }, { style: 'form', explode: false }, list],
    ['multi', { in: 'query', ...list, collectionFormat: 'multi' }, { style: 'form', explode: true }, list],
    ['ssv', { in: 'query', ...list, collectionFormat: 'ssv' }, { style: 'spaceDelimited', explode: false }, list],
    ['pipes', { in: 'query', ...list, collectionFormat: 'pipes' }, { style: 'pipeDelimited', explode: false }, list],
    [
      'tsv, as one text',
      { in: 'query', ...list, collectionFormat: 'tsv' },
      { style: 'form', explode: false },
      { type: 'string' },
    ],
    ['a header', { in: 'header', type: 'boolean' }, { style: 'simple', explode: false }, { type: 'boolean' }],
    ['a list in a header', { in: 'header', ...list }, { style: 'simple', explode: false }, list],
    [
      'pipes in a header, as one text',
      { in: 'header', ...list, collectionFormat: 'pipes' },
      { style: 'simple' },
      { type: 'string' },
    ],
    [
      'bounds',
      { in: 'query', type: 'number', minimum: 0, exclusiveMinimum: true, default: 1 },
      { required: false },
      { type: 'number', exclusiveMinimum: 0, default: 1 },
    ],
    ['x-nullable', { in: 'query', type: 'string', 'x-nullable': true }, {}, { type: ['string', 'null'] }],
    [
      'required',
      { in: 'query', type: 'string', required: true, allowEmptyValue: true },
      { required: true, allowEmptyValue: true },
      { type: 'string' },
    ],
  ])('%s', async (_, written, expected, schema) => {
    const read = await parameter({ name: 'p', ...written })
    expect(read).toMatchObject(expected)
    expect(read.schema!.schema).toEqual(schema)
  })

  test('the schema of a parameter stands beside it, so its URI can be followed', async () => {
    const { schema } = await parameter({ name: 'p', in: 'query', type: 'string' })
    expect(schema!.uri).toBe('file:///virtual/api/api.json#/paths/~1a~1%7Bid%7D/post/parameters/0/schema')
  })

  test('a path parameter is required even where the document forgets to say so', async () => {
    const { parameters } = await operation({ parameters: [{ name: 'id', in: 'path', type: 'string' }] })
    expect(parameters).toMatchObject([{ name: 'id', required: true }])
  })

  test('parameters of the path are joined, and the operation wins', async () => {
    const { parameters } = await operation(
      { parameters: [{ name: 'q', in: 'query', type: 'integer' }, { $ref: '#/parameters/Page' }] },
      { parameters: { Page: { name: 'page', in: 'query', type: 'integer' } } },
      {
        parameters: [
          { name: 'q', in: 'query', type: 'string' },
          { name: 'id', in: 'path', required: true, type: 'string' },
        ],
      },
    )
    expect(parameters.map(({ name, schema }) => [name, schema!.schema])).toEqual([
      ['q', { type: 'integer' }],
      ['id', { type: 'string' }],
      ['page', { type: 'integer' }],
    ])
  })
})

describe('bodies of 2.0 in the terms of 3.1', () => {
  const pet = { type: 'object', required: ['name'], properties: { name: { type: 'string' } } }

  test.each<[string, object, object, string[]]>([
    ['neither says: JSON', {}, {}, ['application/json']],
    [
      'the document says',
      {},
      { consumes: ['application/xml', 'Application/JSON'] },
      ['application/xml', 'application/json'],
    ],
    ['the operation says', { consumes: ['text/csv'] }, { consumes: ['application/xml'] }, ['text/csv']],
  ])('media types: %s', async (_, own, rest, types) => {
    const { requestBody } = await operation({ ...own, parameters: [{ in: 'body', name: 'b', schema: pet }] }, rest)
    expect(requestBody!.content.map(({ type }) => type)).toEqual(types)
  })

  test('a body parameter by reference', async () => {
    const read = await operation(
      { parameters: [{ $ref: '#/parameters/Body' }] },
      {
        parameters: { Body: { in: 'body', name: 'b', required: true, schema: { $ref: '#/definitions/Pet' } } },
        definitions: { Pet: pet },
      },
    )
    expect(read.requestBody).toMatchObject({
      required: true,
      content: [{ schema: { schema: { $ref: '#/definitions/Pet' } } }],
    })
    expect(judge(read, { name: 'x' }, {}, { name: 1 })).toEqual([true, false, false])
  })

  test('form fields become the properties of one schema', async () => {
    const read = await operation({
      consumes: ['application/x-www-form-urlencoded'],
      parameters: [
        { name: 'name', in: 'formData', type: 'string', required: true, maxLength: 3 },
        { name: 'ages', in: 'formData', type: 'array', items: { type: 'integer' }, collectionFormat: 'multi' },
        { name: 'tags', in: 'formData', type: 'array', items: { type: 'string' } },
        { name: '__proto__', in: 'formData', type: 'integer' },
      ],
    })
    expect(read.parameters.filter((one) => one.in !== 'path')).toEqual([])
    expect(read.requestBody).toMatchObject({
      required: true,
      content: [
        {
          type: 'application/x-www-form-urlencoded',
          encoding: { ages: { style: 'form', explode: true }, tags: { style: 'form', explode: false } },
        },
      ],
    })
    expect(judge(read, { name: 'x', ages: [1] }, { name: 'long' }, { ages: [1] }, { name: 'x', ages: ['y'] })).toEqual([
      true,
      false,
      false,
      false,
    ])
  })

  test.each<[string, object, object[], string[]]>([
    ['a file', {}, [{ type: 'file' }], ['multipart/form-data']],
    ['no file', {}, [{ type: 'string' }], ['application/x-www-form-urlencoded', 'multipart/form-data']],
    ['stated', { consumes: ['multipart/form-data'] }, [{ type: 'string' }], ['multipart/form-data']],
    [
      'stated as JSON, which a form cannot be',
      { consumes: ['application/json'] },
      [{ type: 'file' }],
      ['multipart/form-data'],
    ],
  ])('media types of a form: %s', async (_, own, fields, types) => {
    const parameters = fields.map((field) => ({ name: 'f', in: 'formData', ...field }))
    const { requestBody } = await operation({ ...own, parameters })
    expect(requestBody!.content.map(({ type }) => type)).toEqual(types)
  })

  test('a file is binary', async () => {
    const read = await operation({ parameters: [{ name: 'f', in: 'formData', type: 'file', required: true }] })
    const { schema } = read.requestBody!.content[0]!
    expect(schema!.schema).toMatchObject({ type: 'object', required: ['f'] })
    const property = (schema!.schema as { properties: { f: { $ref: string } } }).properties.f.$ref
    expect(property).toBe('#/paths/~1a~1%7Bid%7D/post/parameters/0/schema')
  })

  test('a discriminator knows the definitions that inherit', async () => {
    const document = await loadFiles({
      'api.json': swagger(
        { parameters: [{ in: 'body', name: 'b', schema: { $ref: '#/definitions/Pet' } }] },
        {
          definitions: {
            Pet: {
              type: 'object',
              discriminator: 'kind',
              required: ['kind'],
              properties: { kind: { type: 'string' } },
            },
            Cat: { allOf: [{ $ref: '#/definitions/Pet' }, { properties: { lives: { type: 'integer' } } }] },
            Lion: { 'x-ms-discriminator-value': 'LION', allOf: [{ $ref: '#/definitions/Cat' }] },
            Stone: { type: 'object' },
          },
        },
      ),
    })
    const schema = operationOf(document, 'a').requestBody!.content[0]!.schema!
    const pet = document.validator(schema, 'request')
    expect(pet({ kind: 'Cat', lives: 7 })).toEqual([])
    expect(pet({ kind: 'LION', lives: 7 })).toEqual([])
    expect(pet({ kind: 'Cat', lives: 'many' })).not.toEqual([])
  })
})

describe('answers, security and servers of 2.0', () => {
  test('answers get a schema for each media type that the operation produces', async () => {
    const { responses } = await operation(
      {
        produces: ['application/json', 'application/xml'],
        responses: {
          200: {
            description: 'OK',
            schema: { type: 'string' },
            headers: { 'X-Rate': { type: 'integer', minimum: 0 } },
          },
          404: { $ref: '#/responses/Gone' },
          default: { description: 'Else' },
        },
      },
      { responses: { Gone: { description: 'Gone', schema: { type: 'file' } } } },
    )
    expect(responses).toMatchObject({
      200: {
        description: 'OK',
        content: [{ type: 'application/json', schema: { schema: { type: 'string' } } }, { type: 'application/xml' }],
      },
      404: { description: 'Gone', content: [{ schema: { schema: { type: 'string', format: 'binary' } } }, {}] },
      default: { description: 'Else', content: [] },
    })
    expect(responses['200']!.headers['x-rate']).toMatchObject({
      in: 'header',
      schema: { schema: { type: 'integer', minimum: 0 } },
    })
  })

  test('security schemes', async () => {
    const document = await loadFiles({
      'api.json': swagger(
        { security: [{ basic: [], key: [] }, { flow: ['read'] }] },
        {
          securityDefinitions: {
            basic: { type: 'basic' },
            key: { type: 'apiKey', in: 'query', name: 'k' },
            flow: {
              type: 'oauth2',
              flow: 'implicit',
              authorizationUrl: 'https://example.com',
              scopes: { read: 'Read' },
            },
          },
        },
      ),
    })
    expect([...document.securitySchemes.values()]).toEqual([
      { name: 'basic', type: 'http', in: undefined, parameterName: undefined, httpScheme: 'basic' },
      { name: 'key', type: 'apiKey', in: 'query', parameterName: 'k', httpScheme: undefined },
      { name: 'flow', type: 'oauth2', in: undefined, parameterName: undefined, httpScheme: undefined },
    ])
    expect(operationOf(document, 'a').security!.map((one) => [...one])).toEqual([
      [
        ['basic', []],
        ['key', []],
      ],
      [['flow', ['read']]],
    ])
  })

  test.each([
    [undefined, ''],
    ['/', ''],
    ['/v1', '/v1'],
    ['/v1/', '/v1'],
    ['v1', '/v1'],
  ])('basePath %j mounts at %j', async (basePath, mounted) => {
    const document = await loadFiles({ 'api.json': swagger({}, basePath === undefined ? {} : { basePath }) })
    expect([document.basePath, document.operations[0]!.path]).toEqual([mounted, `${mounted}/a/{id}`])
  })

  test('a basePath that is no text is an error: where the API lies would be chance', async () => {
    expect(await complaintsOf({ 'api.json': swagger({}, { basePath: 1 }) })).toEqual([
      expect.stringMatching(/^P2017 api\.json:1:\d+ basePath must be a text/),
    ])
  })
})

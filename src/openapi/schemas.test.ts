import { describe, expect, test } from 'vitest'
import { complaintsOf, loadFiles, operationOf, warningsOf } from '../../test/fixtures/openapi-files.ts'
import type { Schema } from './operation.ts'

interface Loaded {
  readonly schema: Schema
  readonly valid: (value: unknown) => boolean
  readonly warnings: readonly string[]
}

function documentWith(schema: unknown, openapi: string, components: object = {}): string {
  return JSON.stringify({
    openapi,
    info: { title: 'T', version: '1' },
    paths: {
      '/a': {
        post: { operationId: 'a', requestBody: { content: { 'application/json': { schema } } }, responses: {} },
      },
    },
    components: { schemas: components },
  })
}

/** The schema as it is read from a request body of a document of this version. */
async function read(schema: unknown, openapi = '3.0.3', components: object = {}): Promise<Loaded> {
  const document = await loadFiles({ 'openapi.json': documentWith(schema, openapi, components) })
  const ref = operationOf(document, 'a').requestBody!.content[0]!.schema!
  const validate = document.validator(ref, 'request')
  return { schema: ref.schema, valid: (value) => validate(value).length === 0, warnings: warningsOf(document) }
}

async function refusal(schema: unknown, openapi = '3.0.3'): Promise<string[]> {
  return complaintsOf({ 'openapi.json': documentWith(schema, openapi) })
}

describe('schemas of 3.0 in the terms of 3.1', () => {
  test.each<[string, object, object]>([
    ['exclusiveMinimum: true', { minimum: 1, exclusiveMinimum: true }, { exclusiveMinimum: 1 }],
    ['exclusiveMaximum: true', { maximum: 9, exclusiveMaximum: true }, { exclusiveMaximum: 9 }],
    ['exclusiveMinimum: false', { minimum: 1, exclusiveMinimum: false }, { minimum: 1 }],
    ['exclusiveMinimum without a minimum', { exclusiveMinimum: true }, {}],
    ['nullable with a type', { type: 'string', nullable: true }, { type: ['string', 'null'] }],
    ['nullable: false', { type: 'string', nullable: false }, { type: 'string' }],
    ['nullable alone', { nullable: true }, {}],
    [
      'nullable with an enum',
      { type: 'string', nullable: true, enum: ['a'] },
      { type: ['string', 'null'], enum: ['a'] },
    ],
    [
      'nullable with allOf',
      { nullable: true, description: 'x', allOf: [{ type: 'object' }] },
      { description: 'x', anyOf: [{ allOf: [{ type: 'object' }] }, { type: 'null' }] },
    ],
    ['an example', { type: 'string', example: 'x' }, { type: 'string', examples: ['x'] }],
    ['format byte', { type: 'string', format: 'byte' }, { type: 'string', format: 'byte', contentEncoding: 'base64' }],
    [
      'format binary',
      { type: 'string', format: 'binary' },
      { type: 'string', format: 'binary', contentMediaType: 'application/octet-stream' },
    ],
    [
      'properties named like keywords',
      {
        type: 'object',
        properties: { nullable: { type: 'boolean' }, example: { type: 'string' }, type: { type: 'file' } },
      },
      {
        type: 'object',
        properties: {
          nullable: { type: 'boolean' },
          example: { type: 'string' },
          type: { type: 'string', format: 'binary', contentMediaType: 'application/octet-stream' },
        },
      },
    ],
    [
      'values that look like schemas',
      { default: { nullable: true, type: 'file' }, enum: [{ exclusiveMinimum: true }] },
      { default: { nullable: true, type: 'file' }, enum: [{ exclusiveMinimum: true }] },
    ],
    [
      'keywords that would change what references mean',
      { type: 'string', $id: 'x', id: 'y', $schema: 'z' },
      { type: 'string' },
    ],
    [
      'a list under items',
      { type: 'array', items: [{ type: 'string' }] },
      { type: 'array', prefixItems: [{ type: 'string' }] },
    ],
    ['required: true at a property', { type: 'string', required: true }, { type: 'string' }],
    ['a number as text', { type: 'string', maxLength: '10' }, { type: 'string', maxLength: 10 }],
    ['a flag as text', { type: 'array', uniqueItems: 'true' }, { type: 'array', uniqueItems: true }],
    ['an empty allOf', { type: 'string', allOf: [] }, { type: 'string' }],
    ['an empty keyword', { type: 'string', pattern: null, enum: null }, { type: 'string' }],
    ['type int', { type: 'int' }, { type: 'integer' }],
    ['type String', { type: 'String' }, { type: 'string' }],
    ['type date', { type: 'date' }, { type: 'string', format: 'date' }],
    ['type any', { type: 'any', maxLength: 3 }, { maxLength: 3 }],
    ['no type', { type: null }, {}],
  ])('%s', async (_, written, upgraded) => {
    expect((await read(written)).schema).toEqual(upgraded)
  })

  test.each<[string, object, unknown[], unknown[]]>([
    ['exclusive bounds', { type: 'number', minimum: 1, exclusiveMinimum: true }, [1.1, 2], [1, 0]],
    ['inclusive bounds', { type: 'number', minimum: 1, exclusiveMinimum: false }, [1, 2], [0.9]],
    ['nullable', { type: 'string', nullable: true }, ['x', null], [1]],
    ['not nullable', { type: 'string' }, ['x'], [null]],
    [
      'nullable and enum: null only where the enum lists it',
      { type: 'string', nullable: true, enum: ['a'] },
      ['a'],
      [null, 'b'],
    ],
    ['nullable composition', { nullable: true, allOf: [{ type: 'object' }] }, [null, {}], ['x']],
  ])('%s: values pass and fail on both sides of the border', async (_, schema, pass, fail) => {
    const { valid } = await read(schema)
    expect(pass.map(valid)).toEqual(pass.map(() => true))
    expect(fail.map(valid)).toEqual(fail.map(() => false))
  })

  test('beside a reference nothing counts, and it is said', async () => {
    const { schema, warnings, valid } = await read(
      { $ref: '#/components/schemas/A', maxLength: 1, description: 'x' },
      '3.0.3',
      {
        A: { type: 'string' },
      },
    )
    expect(schema).toEqual({ $ref: '#/components/schemas/A' })
    expect(valid('long')).toBe(true)
    expect(warnings).toEqual([expect.stringMatching(/^P2016 .* beside \$ref, maxLength says nothing in this version/)])
  })

  test('readOnly beside a reference is kept, because it only takes rights away', async () => {
    const { schema } = await read(
      { type: 'object', properties: { owner: { $ref: '#/components/schemas/A', readOnly: true } } },
      '3.0.3',
      { A: { type: 'string' } },
    )
    expect(schema).toEqual({
      type: 'object',
      properties: { owner: { allOf: [{ $ref: '#/components/schemas/A' }], readOnly: true } },
    })
  })

  test('in 3.1 what stands beside a reference counts', async () => {
    const { valid } = await read({ $ref: '#/components/schemas/A', maxLength: 1 }, '3.1.0', { A: { type: 'string' } })
    expect([valid('a'), valid('ab'), valid(1)]).toEqual([true, false, false])
  })

  test('words of 3.0 in a document of 3.1 are read as in 3.0, and it is said', async () => {
    const nullable = await read({ type: 'string', nullable: true }, '3.1.0')
    expect([nullable.valid(null), nullable.valid(1)]).toEqual([true, false])
    expect(nullable.warnings).toEqual([expect.stringMatching(/^P2016 .* nullable is no keyword since OpenAPI 3\.1/)])
    const bounds = await read({ minimum: 1, exclusiveMinimum: true }, '3.1.0')
    expect(bounds.schema).toEqual({ exclusiveMinimum: 1 })
    expect(bounds.warnings).toEqual([
      expect.stringMatching(/^P2016 .* exclusiveMinimum is a number since OpenAPI 3\.1/),
    ])
  })

  test('the mapping of a discriminator is written as references', async () => {
    const { schema, warnings } = await read(
      {
        oneOf: [{ $ref: '#/components/schemas/Cat' }],
        discriminator: { propertyName: 'kind', mapping: { cat: 'Cat', Katze: '#/components/schemas/Cat', dog: 'Dog' } },
      },
      '3.0.3',
      { Cat: { type: 'object', properties: { kind: { type: 'string' } } } },
    )
    expect(schema).toMatchObject({
      discriminator: { mapping: { cat: '#/components/schemas/Cat', Katze: '#/components/schemas/Cat', dog: 'Dog' } },
    })
    expect(warnings).toEqual([expect.stringMatching(/^P2007 .* the mapping leads nowhere: Dog/)])
  })
})

describe('schemas that cannot be used', () => {
  test.each<[string, unknown, string, RegExp]>([
    ['an unknown type', { type: 'strng' }, '3.1.0', /^P2009 openapi.json:1:\d+ unknown type "strng"/],
    ['an unknown type among several', { type: ['string', 'nul'] }, '3.1.0', /^P2009 .* unknown type "nul"/],
    ['a map as type', { type: { name: 'string' } }, '3.0.0', /^P2009 .* unknown type \{"name":"string"\}/],
    ['a text as schema', { type: 'object', properties: { a: 'string' } }, '3.0.0', /^P2006 .* expected a schema/],
    ['a list as schema', { type: 'array', items: { not: [1] } }, '3.0.0', /^P2006 .* expected a schema/],
    ['a bound that is no number', { minimum: 'low' }, '3.0.0', /^P2006 .* minimum must be a number/],
    ['a negative length', { minLength: -1 }, '3.0.0', /^P2006 .* minLength must be a whole number, 0 or more/],
    ['an enum that is no list', { enum: 'a' }, '3.0.0', /^P2006 .* enum must be a list/],
    ['required names that are none', { required: [1] }, '3.0.0', /^P2006 .* required must be a list of property names/],
    ['properties that are no map', { properties: ['a'] }, '3.0.0', /^P2006 .* properties must be a map/],
    ['a pattern that is no text', { pattern: {} }, '3.0.0', /^P2006 .* pattern must be a text/],
    ['a reference that is no text', { $ref: 1 }, '3.0.0', /^P2006 .* a reference must be a text/],
  ])('%s', async (_, schema, openapi, message) => {
    const found = await refusal(schema, openapi)
    expect(found).toHaveLength(1)
    expect(found[0]).toMatch(message)
  })

  test('everything that is wrong is told at once, each at its place', async () => {
    const text = `openapi: 3.1.0
info: {title: T, version: "1"}
paths:
  /a:
    get:
      parameters:
        - {name: q, in: query, schema: {type: strin}}
        - name: r
          in: query
          schema:
            minLength: many
      responses:
        '200': {$ref: '#/components/responses/Gone'}
`
    expect(await complaintsOf({ 'openapi.yaml': text })).toEqual([
      'P2009 openapi.yaml:7:47 unknown type "strin"',
      'P2006 openapi.yaml:11:24 minLength must be a whole number, 0 or more',
      'P2007 openapi.yaml:13:23 the reference leads nowhere: #/components/responses/Gone',
    ])
  })

  test('a long list of errors is cut, and says so', async () => {
    const properties = Object.fromEntries(Array.from({ length: 150 }, (_, i) => [`p${i}`, { type: 'what' }]))
    const found = await refusal({ type: 'object', properties })
    expect(found).toHaveLength(101)
    expect(found.at(-1)).toContain('and 50 more errors')
  })
})

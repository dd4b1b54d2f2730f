// biome-ignore-all lint/suspicious/noThenProperty: `then` is a keyword of JSON Schema.
import { validate as hyperjump, registerSchema, unregisterSchema } from '@hyperjump/json-schema/draft-2020-12'
import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cpuMs } from '../../test/kit/cpu.ts'
import type { Schema, SchemaError, ValidateOptions } from './operation.ts'
import { createValidators } from './validators.ts'

const uri = 'file:///api/openapi.json'

interface Setting extends ValidateOptions {
  readonly openapi?: string
  readonly direction?: 'request' | 'response'
  /** `components.schemas` of the document. */
  readonly schemas?: Record<string, unknown>
  readonly files?: Record<string, unknown>
}

/** A validator of a schema that stands in a document. */
function validator(schema: unknown, setting: Setting = {}) {
  const root = { openapi: '3.1.0', components: { schemas: { ...setting.schemas, Body: schema } } }
  const resources = new Map<string, unknown>([[uri, root], ...Object.entries(setting.files ?? {})])
  const validators = createValidators(resources, { openapi: setting.openapi ?? '3.1.0' })
  const ref = { uri: `${uri}#/components/schemas/Body`, schema: schema as Schema }
  return validators(ref, setting.direction ?? 'request', setting)
}

/** `pointer keyword` of every error, in order. */
function faults(schema: unknown, value: unknown, setting: Setting = {}): string[] {
  return validator(schema, setting)(value).map(({ pointer, keyword }) => `${pointer} ${keyword}`)
}

describe('V4, E2: every failing keyword is told, with its place', () => {
  const order = {
    type: 'object',
    required: ['id', 'items'],
    properties: {
      id: { type: 'string', minLength: 4 },
      items: {
        type: 'array',
        items: { type: 'object', required: ['sku'], properties: { sku: { type: 'string' }, amount: { minimum: 1 } } },
      },
      'a/b~c': { type: 'integer' },
    },
  }

  test('all of them, not only the first', () => {
    expect(faults(order, { id: 'x', items: [{ amount: 0 }, 7, { sku: 1 }], 'a/b~c': 'x', extra: 1 })).toEqual([
      '/id minLength',
      '/items/0/sku required',
      '/items/0/amount minimum',
      '/items/1 type',
      '/items/2/sku type',
      '/a~1b~0c type',
      '/extra unknownProperty',
    ])
  })

  test.each<[unknown, unknown, string]>([
    [{ type: 'integer' }, 'x'.repeat(12), 'expected an integer, got a string of 12 characters'],
    [{ type: ['string', 'null'] }, 1, 'expected a string or null, got an integer'],
    [
      { type: 'string', maxLength: 3 },
      'abcd',
      'expected a string of at most 3 characters, got a string of 4 characters',
    ],
    [{ enum: ['cat', 'dog'] }, 'cow', 'expected one of "cat", "dog", got a string of 3 characters'],
    [{ const: 1 }, 2.5, 'expected 1, got a number'],
    [{ minItems: 1 }, [], 'expected an array of at least 1 item, got an array of 0 items'],
    [{ format: 'date' }, '2026-02-30', 'expected a date (YYYY-MM-DD), got a string of 10 characters'],
    [{ type: 'object' }, null, 'expected an object, got null'],
    [{ pattern: '^a+$' }, 'b', 'expected a string that matches ^a+$, got a string of 1 character'],
  ])('%j says what was expected and what kind of thing came', (schema, value, detail) => {
    expect(validator(schema)(value).map((error) => error.detail)).toEqual([detail])
  })

  test('never repeats a value', () => {
    const secret = 'hunter2-hunter2'
    const schema = {
      properties: {
        a: { type: 'integer' },
        b: { enum: ['x'] },
        c: { pattern: '^x$' },
        d: { oneOf: [{ const: 1 }, { const: 2 }] },
      },
    }
    const errors = validator(schema)({ a: secret, b: secret, c: secret, d: secret })
    expect(errors).toHaveLength(5)
    expect(JSON.stringify(errors)).not.toContain('hunter2')
  })

  test('tells 50 errors of a hostile body, fast', () => {
    const body = JSON.parse(`[${'1,'.repeat(300_000)}1]`)
    const check = validator({ type: 'array', items: { type: 'object', required: ['a'], properties: { a: {} } } })
    expect(cpuMs(() => expect(check(body)).toHaveLength(50))).toBeLessThan(50)
  })
})

describe('Z7: properties that the document does not list', () => {
  const user = {
    type: 'object',
    properties: { name: { type: 'string' }, address: { type: 'object', properties: { city: {} } } },
  }

  test.each<[string, unknown, unknown, string[]]>([
    ['at the top', user, { name: 'a', isAdmin: true }, ['/isAdmin unknownProperty']],
    ['further down', user, { address: { city: 'x', owner: 1 } }, ['/address/owner unknownProperty']],
    [
      'even called like a method of objects',
      user,
      { constructor: 1, toString: 2 },
      ['/constructor unknownProperty', '/toString unknownProperty'],
    ],
    ['beside patterns', { patternProperties: { '^x-': {} } }, { 'x-a': 1, y: 2 }, ['/y unknownProperty']],
    [
      'across allOf',
      { allOf: [user, { properties: { age: {} } }] },
      { name: 'a', age: 1, role: 1 },
      ['/role unknownProperty'],
    ],
    ['across a reference', { $ref: '#/components/schemas/User' }, { name: 'a', role: 1 }, ['/role unknownProperty']],
    ['in one that may be null', { oneOf: [{ type: 'null' }, user] }, { name: 'a', role: 1 }, ['/role unknownProperty']],
    [
      'of the alternative that does not apply',
      {
        oneOf: [
          { required: ['a'], properties: { a: {} } },
          { required: ['b'], properties: { b: {}, c: {} } },
        ],
      },
      { a: 1, c: 2 },
      ['/c unknownProperty'],
    ],
    [
      'of a condition that does not hold',
      { properties: { k: {} }, if: { properties: { k: { const: 1 } } }, then: { properties: { extra: {} } } },
      { k: 2, extra: 1 },
      ['/extra unknownProperty'],
    ],
    ['in a list', { type: 'array', items: user }, [{ name: 'a' }, { x: 1 }], ['/1/x unknownProperty']],
  ])('are refused %s', (_, schema, value, expected) => {
    expect(faults(schema, value, { schemas: { User: user } })).toEqual(expected)
    expect(faults(schema, value, { schemas: { User: user }, unknown: 'allow' })).toEqual([])
  })

  test.each<[string, unknown, unknown]>([
    ['a map without listed properties', { type: 'object' }, { anything: 1 }],
    ['any value', {}, { anything: { deep: 1 } }],
    ['additionalProperties: true', { properties: { a: {} }, additionalProperties: true }, { b: 1 }],
    [
      'additionalProperties with a schema',
      { properties: { a: {} }, additionalProperties: { type: 'integer' } },
      { b: 1 },
    ],
    ['an open part of allOf', { allOf: [{ properties: { a: {} } }, { additionalProperties: true }] }, { b: 1 }],
    [
      'the alternative that applies',
      {
        oneOf: [
          { required: ['a'], properties: { a: {} } },
          { required: ['b'], properties: { b: {}, c: {} } },
        ],
      },
      { b: 1, c: 2 },
    ],
    ['all alternatives that apply', { anyOf: [{ properties: { a: {} } }, { properties: { b: {} } }] }, { a: 1, b: 2 }],
    [
      'the condition that holds',
      { properties: { k: {} }, if: { properties: { k: { const: 1 } } }, then: { properties: { extra: {} } } },
      { k: 1, extra: 1 },
    ],
    ['a property that is only demanded', { properties: { a: {} }, required: ['b'] }, { a: 1, b: 2 }],
    [
      'a property that is demanded by an alternative',
      { properties: { a: {} }, anyOf: [{ required: ['b'] }, { required: ['c'] }] },
      { a: 1, b: 2 },
    ],
    [
      'a dependent schema that applies',
      { properties: { a: {} }, dependentSchemas: { a: { properties: { b: {} } } } },
      { a: 1, b: 2 },
    ],
  ])('are let through by %s', (_, schema, value) => {
    expect(faults(schema, value)).toEqual([])
  })

  test('are named even where no alternative fits, when they are in none of them', () => {
    const schema = {
      oneOf: [
        { type: 'object', required: ['a'], properties: { a: { type: 'integer' } } },
        { type: 'object', required: ['b'], properties: { b: { type: 'integer' } } },
      ],
    }
    expect(faults(schema, { a: 'x', passwordHash: 1 })).toContain('/passwordHash unknownProperty')
    expect(faults(schema, { a: 'x', b: 'x' })).not.toContain('/b unknownProperty')
  })

  test('do not make an exclusion pass', () => {
    const schema = {
      properties: { a: {}, b: {} },
      not: { properties: { a: { properties: { x: { const: 1 } } } }, required: ['a'] },
    }
    expect(faults(schema, { a: { x: 1, y: 2 } })).toEqual([' not'])
  })

  test('are named in the nearest alternative, without noise, when nothing else is wrong', () => {
    const schema = {
      properties: {
        pet: {
          oneOf: [
            { type: 'string' },
            { type: 'object', required: ['a'], properties: { a: { properties: { b: {} } } } },
          ],
        },
      },
    }
    expect(faults(schema, { pet: { a: { b: 1, z: 1 } } })).toEqual(['/pet/a/z unknownProperty'])
  })
})

describe('Z7: readOnly and writeOnly', () => {
  const account = {
    type: 'object',
    required: ['id', 'name', 'password'],
    properties: { id: { type: 'string', readOnly: true }, name: {}, password: { type: 'string', writeOnly: true } },
  }
  test.each<['request' | 'response', unknown, string[]]>([
    ['request', { name: 'a', password: 'x' }, []],
    ['request', { id: '1', name: 'a', password: 'x' }, ['/id readOnly']],
    ['request', { name: 'a' }, ['/password required']],
    ['response', { id: '1', name: 'a' }, []],
    ['response', { id: '1', name: 'a', password: 'x' }, ['/password writeOnly']],
    ['response', { name: 'a' }, ['/id required']],
  ])('in a %s, %j', (direction, value, expected) => {
    expect(faults(account, value, { direction })).toEqual(expected)
  })

  test('count when said behind a reference, in allOf, or in another part of the whole', () => {
    const schemas = {
      Id: { type: 'string', readOnly: true },
      Base: { type: 'object', properties: { id: { $ref: '#/components/schemas/Id' } } },
    }
    const schema = { allOf: [{ $ref: '#/components/schemas/Base' }, { required: ['id', 'n'], properties: { n: {} } }] }
    expect(faults(schema, { n: 1 }, { schemas })).toEqual([])
    expect(faults(schema, { n: 1, id: 'x' }, { schemas })).toEqual(['/id readOnly'])
    expect(faults(schema, { n: 1 }, { schemas, direction: 'response' })).toEqual(['/id required'])
    expect(faults({ properties: { a: { allOf: [{ type: 'string' }, { readOnly: true }] } } }, { a: 'x' })).toEqual([
      '/a readOnly',
    ])
  })
})

describe('discriminators', () => {
  const schemas = {
    Cat: { type: 'object', required: ['type', 'lives'], properties: { type: {}, lives: { type: 'integer' } } },
    Dog: { type: 'object', required: ['type', 'barks'], properties: { type: {}, barks: { type: 'boolean' } } },
  }
  const oneOf = [{ $ref: '#/components/schemas/Cat' }, { $ref: '#/components/schemas/Dog' }]

  test.each<[string, unknown, unknown, string[]]>([
    ['implicit names', { propertyName: 'type' }, { type: 'Cat', lives: 9 }, []],
    [
      'only the errors of the kind that is claimed',
      { propertyName: 'type' },
      { type: 'Dog', barks: 1 },
      ['/barks type'],
    ],
    ['a mapping', { propertyName: 'type', mapping: { c: '#/components/schemas/Cat' } }, { type: 'c', lives: 9 }, []],
    ['a mapping to a name', { propertyName: 'type', mapping: { d: 'Dog' } }, { type: 'd', barks: true }, []],
    ['a claim that nobody knows', { propertyName: 'type' }, { type: 'Cow' }, ['/type discriminator']],
    ['no claim', { propertyName: 'type' }, { lives: 9 }, ['/type required']],
    ['3.2: a default', { propertyName: 'type', defaultMapping: 'Dog' }, { type: 'x', barks: true }, []],
    [
      'properties of the other kind',
      { propertyName: 'type' },
      { type: 'Cat', lives: 9, barks: true },
      ['/barks unknownProperty'],
    ],
  ])('%s', (_, discriminator, value, expected) => {
    expect(faults({ oneOf, discriminator }, value, { schemas })).toEqual(expected)
  })

  test('constants of the alternatives tell the kind as well', () => {
    const alternatives = ['a', 'b'].map((kind) => ({
      required: ['kind', kind],
      properties: { kind: { const: kind }, [kind]: { type: 'integer' } },
    }))
    expect(faults({ oneOf: alternatives, discriminator: { propertyName: 'kind' } }, { kind: 'b', b: 'x' })).toEqual([
      '/b type',
    ])
  })

  test('a parent that names its kinds asks for the kind that is claimed', () => {
    const inheritance = {
      Pet: {
        type: 'object',
        required: ['kind'],
        properties: { kind: { type: 'string' } },
        discriminator: { propertyName: 'kind', mapping: { h: 'Hamster' } },
      },
      Fish: {
        allOf: [
          { $ref: '#/components/schemas/Pet' },
          { required: ['fins'], properties: { fins: { type: 'integer' } } },
        ],
      },
      Hamster: { allOf: [{ $ref: '#/components/schemas/Pet' }, { properties: { wheel: { type: 'boolean' } } }] },
      Stone: { properties: { kind: {}, weight: {} } },
    }
    const schema = { type: 'array', items: { $ref: '#/components/schemas/Pet' } }
    const value = [
      { kind: 'Fish', fins: 2 },
      { kind: 'Fish' },
      { kind: 'h', wheel: true },
      { kind: 'Fish', fins: 1, wheel: true },
      { kind: 'Stone', weight: 1 },
    ]
    expect(faults(schema, value, { schemas: inheritance })).toEqual([
      '/1/fins required',
      '/3/wheel unknownProperty',
      '/4/weight unknownProperty',
    ])
  })
})

describe('references', () => {
  test('lead across files and around in circles', () => {
    const files = {
      'file:///api/shared/tree.json': {
        Node: {
          type: 'object',
          required: ['v'],
          properties: { v: { $ref: '../values.json#/Value' }, next: { $ref: '#/Node' } },
        },
      },
      'file:///api/values.json': { Value: { type: 'integer' } },
    }
    const schema = { $ref: './shared/tree.json#/Node' }
    expect(faults(schema, { v: 1, next: { v: 2, next: { v: 'x' } } }, { files })).toEqual(['/next/next/v type'])
  })

  test('to nowhere are an error at their place', () => {
    expect(() => validator({ $ref: '#/components/schemas/Nothing' })).toThrow(
      /Body: there is nothing at "#\/components\/schemas\/Nothing"/,
    )
  })

  test('that only lead to themselves refuse instead of running for ever', () => {
    expect(faults({ $ref: '#/components/schemas/Body' }, {})).toEqual([' complexity'])
  })

  test('stand alone before 3.1', () => {
    const schema = { $ref: '#/components/schemas/Name', maxLength: 1 }
    const schemas = { Name: { type: 'string' } }
    expect(faults(schema, 'abc', { schemas, openapi: '3.0.3' })).toEqual([])
    expect(faults(schema, 'abc', { schemas, openapi: '3.1.0' })).toEqual([' maxLength'])
  })

  test('are compiled as far as values lead, not further', () => {
    const schemas: Record<string, unknown> = {}
    for (let i = 0; i < 3_000; i++)
      schemas[`S${i}`] = {
        type: 'object',
        properties: Object.fromEntries(
          Array.from({ length: 20 }, (_, j) => [`p${j}`, { $ref: `#/components/schemas/S${(i * 7 + j) % 3_000}` }]),
        ),
      }
    const resources = new Map([[uri, { components: { schemas } }]])
    const validators = createValidators(resources, { openapi: '3.1.0' })
    const first = () => {
      const check = validators({ uri: `${uri}#/components/schemas/S1`, schema: schemas.S1 as Schema }, 'request')
      expect(check({ p1: { p2: {} } })).toEqual([])
    }
    expect(cpuMs(first, 1)).toBeLessThan(30)
  })
})

describe('no value holds the event loop', () => {
  const operators = ['and', 'or', 'not']
  const filter = {
    oneOf: [
      ...operators.map((op) => ({
        type: 'object',
        required: ['op', 'args'],
        properties: { args: { type: 'array', items: { $ref: '#/components/schemas/Body' } }, op: { const: op } },
      })),
      { type: 'object', required: ['field'], properties: { field: { type: 'string' } } },
    ],
  }

  test('alternatives that lead to one another: 30 operators deep, where Ajv takes 120 ms for 12', () => {
    const check = validator(filter)
    let good: unknown = { field: 'a' }
    let bad: unknown = { field: 1 }
    for (let i = 0; i < 30; i++) {
      good = { op: 'and', args: [good] }
      bad = { op: 'and', args: [bad] }
    }
    check(good)
    for (const [value, ok] of [
      [good, true],
      [bad, false],
    ] as const) {
      expect(check(value).length === 0).toBe(ok)
      expect(cpuMs(() => check(value))).toBeLessThan(50)
    }
  })

  test('parts that double one another', () => {
    const schema = {
      allOf: [
        { properties: { c: { $ref: '#/components/schemas/Body' } } },
        { properties: { c: { $ref: '#/components/schemas/Body' }, v: { type: 'integer' } } },
      ],
    }
    const check = validator(schema)
    let value: unknown = { v: 'x' }
    for (let i = 0; i < 60; i++) value = { c: value }
    expect(check(value).length).toBeGreaterThan(0)
    expect(cpuMs(() => check(value))).toBeLessThan(50)
  })

  test.each<[string, unknown, () => unknown]>([
    [
      '4,000 distinct objects',
      { uniqueItems: true },
      () => Array.from({ length: 4_000 }, (_, i) => ({ a: i, b: { c: [i] } })),
    ],
    ['80,000 small objects', { uniqueItems: true }, () => Array.from({ length: 80_000 }, (_, i) => ({ a: i }))],
    ['150,000 numbers', { uniqueItems: true }, () => Array.from({ length: 150_000 }, (_, i) => i)],
    [
      '100,000 properties',
      { type: 'object', properties: { a: {} }, additionalProperties: { type: 'integer' } },
      () => Object.fromEntries(Array.from({ length: 60_000 }, (_, i) => [`k${i}`, i])),
    ],
    [
      '200,000 items that are referred to',
      { type: 'array', items: { $ref: '#/components/schemas/Item' } },
      () => Array.from({ length: 200_000 }, () => ({})),
    ],
  ])('%s', (_, schema, make) => {
    const check = validator(schema, { schemas: { Item: { type: 'object', properties: { a: {} } } } })
    const value = make()
    expect(check(value)).toEqual([])
    expect(cpuMs(() => check(value))).toBeLessThan(50)
  })

  test('uniqueItems sees equal objects whatever the order of their properties, and 1 apart from "1"', () => {
    expect(
      faults({ uniqueItems: true }, [
        { a: 1, b: [2] },
        { b: [2], a: 1 },
      ]),
    ).toEqual(['/1 uniqueItems'].map(() => '/1 uniqueItems'))
    expect(faults({ uniqueItems: true }, [1, '1', true, 'true', null, 'null', [1], ['1']])).toEqual([])
  })
})

describe('the terms of older documents', () => {
  test.each<[unknown, unknown, string[]]>([
    [{ type: 'string', nullable: true }, null, []],
    [{ type: 'string' }, null, [' type']],
    [{ minimum: 1, exclusiveMinimum: true }, 1, [' exclusiveMinimum']],
    [{ maximum: 1, exclusiveMaximum: false }, 1, []],
    [{ items: [{ type: 'integer' }], additionalItems: false }, [1, 2], ['/1 false']],
  ])('%j on %j', (schema, value, expected) => {
    expect(faults(schema, value, { openapi: '3.0.3' })).toEqual(expected)
  })
})

test.each<[number, number, boolean]>([
  [0.3, 0.1, true],
  [0.35, 0.1, false],
  [19.99, 0.01, true],
  [1e308, 0.123456789, false],
  [1e20, 3, false],
  [9, 3, true],
  [0, 0.7, true],
])('%d is a multiple of %d: %s', (value, multipleOf, expected) => {
  expect(faults({ multipleOf }, value).length === 0).toBe(expected)
})

test('length counts characters, a surrogate pair once', () => {
  expect(faults({ maxLength: 2 }, '😀😀')).toEqual([])
  expect(faults({ maxLength: 1 }, '😀😀')).toEqual([' maxLength'])
  expect(faults({ minLength: 3 }, '😀😀')).toEqual([' minLength'])
})

// Differential: two independent validators of the same language judge the same schemas and values.

const names = fc.constantFrom('a', 'b', 'c', 'toString')
const value = fc.letrec<{ value: unknown }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 3, withCrossShrink: true },
    fc.constantFrom<unknown>(null, true, false, 0, 1, 2, -1, 1.5, '', 'a', 'ab', 'abc'),
    fc.array(tie('value'), { maxLength: 3 }),
    fc.dictionary(names, tie('value'), { maxKeys: 3, noNullPrototype: true }),
  ),
})).value

function schemas(withUnevaluated: boolean): fc.Arbitrary<unknown> {
  return fc.letrec<{ schema: unknown }>((tie) => {
    const schema = tie('schema')
    const list = fc.array(schema, { minLength: 1, maxLength: 3 })
    const keyword = fc.oneof(
      fc.record({
        type: fc.constantFrom(
          'object',
          'array',
          'string',
          'integer',
          'number',
          'null',
          ['object', 'null'],
          ['array', 'string'],
        ),
      }),
      fc.record({ const: value }),
      fc.record({
        enum: fc.uniqueArray(value, {
          minLength: 1,
          maxLength: 3,
          comparator: (a, b) => JSON.stringify(a) === JSON.stringify(b),
        }),
      }),
      fc.record({ properties: fc.dictionary(names, schema, { maxKeys: 3 }) }),
      fc.record({ required: fc.uniqueArray(names, { maxLength: 2 }) }),
      fc.record({ additionalProperties: schema }),
      fc.record({ patternProperties: fc.dictionary(fc.constantFrom('^a', 'b', 'S'), schema, { maxKeys: 2 }) }),
      fc.record({ propertyNames: schema }),
      fc.record({ minProperties: fc.nat(2) }, { requiredKeys: [] }),
      fc.record({ items: schema }),
      fc.record({ prefixItems: list }),
      fc.record({ contains: schema, minContains: fc.nat(2) }, { requiredKeys: ['contains'] }),
      fc.record({ uniqueItems: fc.boolean() }),
      fc.record({ minLength: fc.nat(2), maxLength: fc.nat(3) }, { requiredKeys: [] }),
      fc.record({ pattern: fc.constantFrom('^a', 'b$', '^ab?$') }),
      fc.record({ minimum: fc.constantFrom(0, 1), multipleOf: fc.constantFrom(1, 0.5) }, { requiredKeys: [] }),
      fc.record({ allOf: list }),
      fc.record({ anyOf: list }),
      fc.record({ oneOf: list }),
      fc.record({ not: schema }),
      fc.record({ if: schema, then: schema, else: schema }, { requiredKeys: ['if'] }),
      fc.record({ dependentSchemas: fc.dictionary(names, schema, { maxKeys: 1 }) }),
      fc.record({ dependentRequired: fc.dictionary(names, fc.uniqueArray(names, { maxLength: 1 }), { maxKeys: 1 }) }),
      fc.constant({ $ref: '#/$defs/other' }),
      ...(withUnevaluated
        ? [fc.record({ unevaluatedProperties: schema }), fc.record({ unevaluatedItems: schema })]
        : []),
    )
    return {
      schema: fc.oneof(
        { maxDepth: 3, withCrossShrink: true, depthIdentifier: 'schema' },
        fc.boolean(),
        fc.array(keyword, { minLength: 1, maxLength: 3 }).map((parts) => Object.assign({}, ...parts)),
      ),
    }
  }).schema
}

const whole = (withUnevaluated: boolean) =>
  fc.tuple(schemas(withUnevaluated), schemas(withUnevaluated)).map(([schema, other]) => ({
    allOf: [schema],
    // The other must not lead back to itself, or none of the three would ever end.
    $defs: {
      other: JSON.parse(
        JSON.stringify(other)
          .replaceAll('{"$ref":"#/$defs/other"}', 'true')
          .replaceAll('"$ref":"#/$defs/other"', '"title":""'),
      ),
    },
  }))

function own(root: unknown, instance: unknown): readonly SchemaError[] {
  const validators = createValidators(new Map([[uri, root]]), { openapi: '3.1.0' })
  return validators({ uri: `${uri}#`, schema: root as Schema }, 'request', { unknown: 'allow' })(instance)
}

test('agrees with Ajv on every schema without unevaluated keywords', () => {
  const ajv = new Ajv2020({
    strict: false,
    ownProperties: true,
    validateSchema: false,
    addUsedSchema: false,
    logger: false,
  })
  fc.assert(
    fc.property(whole(false), fc.array(value, { minLength: 3, maxLength: 6 }), (root, instances) => {
      // Ajv's own comparison of objects throws on a property of this name, and it takes an empty list under
      // `contains: true` or `false` beside `prefixItems`, where nothing is contained (JSON Schema 2020-12 Core, 10.3.1.3).
      fc.pre(!/toString|"contains":(?:true|false)/.test(JSON.stringify([root, instances])))
      const judge = ajv.compile(root)
      for (const instance of instances) expect(own(root, instance).length === 0).toBe(judge(instance))
      ajv.removeSchema(root)
    }),
    { numRuns: 400 },
  )
}, 60_000)

test('agrees with hyperjump on every schema, unevaluated keywords among them', async () => {
  let serial = 0
  await fc.assert(
    fc.asyncProperty(whole(true), fc.array(value, { minLength: 3, maxLength: 6 }), async (root, instances) => {
      const id = `https://example.com/${serial++}`
      registerSchema({ $schema: 'https://json-schema.org/draft/2020-12/schema', ...root } as never, id)
      try {
        const judge = await hyperjump(id)
        for (const instance of instances) expect(own(root, instance).length === 0).toBe(judge(instance as never).valid)
      } finally {
        unregisterSchema(id)
      }
    }),
    { numRuns: 400 },
  )
}, 60_000)

test('refusing unknown properties only ever refuses more', () => {
  fc.assert(
    fc.property(whole(false), fc.array(value, { minLength: 3, maxLength: 6 }), (root, instances) => {
      // Under `not` and in conditions that is not so by nature: oneOf may then have one alternative less that fits.
      if (/"(?:oneOf|not|if|contains|propertyNames)"/.test(JSON.stringify(root))) return
      const validators = createValidators(new Map([[uri, root]]), { openapi: '3.1.0' })
      const ref = { uri: `${uri}#`, schema: root as Schema }
      const closed = validators(ref, 'request')
      const open = validators(ref, 'request', { unknown: 'allow' })
      for (const instance of instances) if (closed(instance).length === 0) expect(open(instance)).toEqual([])
    }),
    { numRuns: 400 },
  )
})

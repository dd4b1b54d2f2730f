import { describe, expect, test } from 'vitest'
import type { ValueForm } from './operation.ts'
import { createValidators } from './validators.ts'

const components = {
  Color: { type: 'string', enum: ['red', 'blue'] },
  Node: {
    type: 'object',
    properties: {
      id: { type: 'string', format: 'uuid' },
      next: { $ref: '#/components/schemas/Node' },
      text: { type: 'string' },
    },
  },
}

function formOf(schema: unknown): ValueForm {
  const document = { components: { schemas: { ...components, It: schema } } }
  const validator = createValidators(new Map([['file:///d.json', document]]), { openapi: '3.1.0' })
  return validator({ uri: 'file:///d.json#/components/schemas/It', schema: schema as never }, 'request').form!
}

describe('what a schema lets a text be', () => {
  test.each<[string, unknown, unknown]>([
    ['anything, where it says nothing', {}, [[]]],
    ['nothing, where it wants a number', { type: 'integer' }, []],
    ['one of its values', { enum: ['a', 1, 'b'] }, [[{ kind: 'values', values: new Set(['a', 'b']) }]]],
    ['its constant', { const: 'a' }, [[{ kind: 'values', values: new Set(['a']) }]]],
    [
      'all that stands side by side',
      { type: 'string', format: 'uuid', maxLength: 36, pattern: '^x$' },
      [
        [
          { kind: 'format', format: 'uuid' },
          { kind: 'pattern', source: '^x$' },
          { kind: 'length', max: 36 },
        ],
      ],
    ],
    [
      'what a reference says',
      { $ref: '#/components/schemas/Color' },
      [[{ kind: 'values', values: new Set(['red', 'blue']) }]],
    ],
    ['what all parts say', { allOf: [{ type: 'string' }, { format: 'date' }] }, [[{ kind: 'format', format: 'date' }]]],
    [
      'any alternative, each told apart',
      { oneOf: [{ type: 'string', format: 'date' }, { type: 'string' }] },
      [[{ kind: 'format', format: 'date' }], []],
    ],
    [
      'alternatives that are no texts left out',
      { anyOf: [{ type: 'integer' }, { type: 'string', format: 'date' }, { type: 'null' }] },
      [[{ kind: 'format', format: 'date' }]],
    ],
    ['nothing, where no value fits', false, []],
    [
      'anything, where alternatives are too many to tell',
      { allOf: Array.from({ length: 6 }, () => ({ anyOf: [{ format: 'date' }, { format: 'time' }] })) },
      [[]],
    ],
  ])('%s', (_, schema, texts) => {
    expect(formOf(schema).texts).toEqual(texts)
  })
})

describe('what a schema lets a property be', () => {
  const date = { type: 'string', format: 'date' }
  const names = (schema: unknown) => [...formOf(schema).properties.keys()]

  test('is told for those that every alternative lists', () => {
    const one = { type: 'object', properties: { a: date, b: date } }
    const other = { type: 'object', properties: { a: { type: 'string' } } }
    const form = formOf({ oneOf: [one, other] })
    expect([...form.properties.keys()]).toEqual(['a'])
    expect(form.properties.get('a')!.texts).toEqual([[{ kind: 'format', format: 'date' }], []])
  })

  test('is told for those that any part lists', () => {
    expect(names({ allOf: [{ properties: { a: date } }, { properties: { b: date } }] })).toEqual(['a', 'b'])
  })

  test('is not told where a value of another kind is no object at all', () => {
    expect(names({ anyOf: [{ type: 'string' }, { type: 'object', properties: { a: date } }] })).toEqual(['a'])
    expect(names({ type: 'string', properties: { a: date } })).toEqual([])
  })

  test('is told however deep a schema contains itself', () => {
    const form = formOf({ $ref: '#/components/schemas/Node' })
    const deep = form.properties.get('next')!.properties.get('next')!.properties.get('next')!
    expect(deep.properties.get('id')!.texts).toEqual([[{ kind: 'format', format: 'uuid' }]])
    expect(deep.properties.get('text')!.texts).toEqual([[]])
    expect(deep).toBe(deep.properties.get('next'))
  })

  test('is told of items where all alternatives that are lists have some', () => {
    expect(formOf({ type: 'array', items: date }).items!.texts).toEqual([[{ kind: 'format', format: 'date' }]])
    expect(formOf({ anyOf: [{ type: 'array' }, { type: 'array', items: date }] }).items).toBeUndefined()
    expect(formOf({ type: 'array', prefixItems: [{}], items: date }).items).toBeUndefined()
  })

  test.each([
    [{ type: 'integer' }, true, false],
    [{ type: ['string', 'null'] }, true, false],
    [{ type: 'array' }, false, true],
    [{ type: 'object' }, false, false],
    [{}, true, true],
  ])('%j: literals %s, lists %s', (schema, hasLiterals, hasLists) => {
    expect(formOf(schema)).toMatchObject({ hasLiterals, hasLists })
  })
})

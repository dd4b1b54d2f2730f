import { describe, expect, test } from 'vitest'
import type { SchemaMarks } from './operation.ts'
import { createMarks } from './schema-marks.ts'

const mark = (name: string) => ({ 'x-portcullis': { protect: { name } } })

function marksOf(schema: object, schemas: object = {}) {
  const root = { components: { schemas: { Root: schema, ...schemas } } }
  const marks = createMarks(new Map([['file:///openapi.json', root]]))
  return {
    any: marks.any,
    root: marks.of({ uri: 'file:///openapi.json#/components/schemas/Root', schema: schema as never }),
  }
}

/** The names of the marks at a place. */
function at(root: SchemaMarks, ...path: (string | number)[]): unknown[] {
  let place: SchemaMarks | undefined = root
  for (const step of path) place = typeof step === 'number' ? place?.items : place?.property(step)
  return (place?.marks ?? []).map(({ value }) => (value.protect as { name: string }).name).sort()
}

describe('the marks of a schema', () => {
  test('are found through references, lists and schemas that refer to themselves', () => {
    const { root } = marksOf(
      {
        properties: {
          card: { $ref: '#/components/schemas/Card' },
          sub: { items: { $ref: '#/components/schemas/Root' } },
        },
      },
      { Card: mark('card') },
    )
    expect(at(root, 'card')).toEqual(['card'])
    expect(at(root, 'sub', 0, 'sub', 7, 'card')).toEqual(['card'])
    expect(at(root, 'other')).toEqual([])
    expect(root.reach.marked.map(({ name }) => name)).toEqual(['card'])
    expect([...root.reach.names].sort()).toEqual(['card', 'sub'])
  })

  test.each(['allOf', 'oneOf', 'anyOf'])('count in whatever branch of %s they stand', (keyword) => {
    const { root } = marksOf({
      [keyword]: [
        { properties: { a: { type: 'string' } } },
        { properties: { a: mark('second') } },
        { [keyword]: [{ properties: { a: mark('deep') } }] },
      ],
    })
    expect(at(root, 'a')).toEqual(['deep', 'second'])
  })

  test('count for names that no schema lists, and not for listed ones', () => {
    const { root } = marksOf({ properties: { open: {} }, additionalProperties: mark('any') })
    expect([at(root, 'x'), at(root, 'open')]).toEqual([['any'], []])
    const patterned = marksOf({ patternProperties: { '^s_': mark('s') } }).root
    expect(at(patterned, 's_1')).toEqual(['s'])
  })

  test('count under conditions and at every place of a tuple', () => {
    const { root } = marksOf({
      if: {},
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema.
      then: { properties: { a: mark('then') } },
      dependentSchemas: { b: { properties: { a: mark('dependent') } } },
      properties: { list: { prefixItems: [{}, mark('tuple')] } },
    })
    expect(at(root, 'a')).toEqual(['dependent', 'then'])
    expect(at(root, 'list', 0)).toEqual(['tuple'])
  })

  test('are looked for only where a document has any', () => {
    expect(marksOf({ properties: { a: {} } }).any).toBe(false)
    expect(marksOf({ properties: { a: mark('a') } }).any).toBe(true)
    // At operations the same word is a list.
    expect(marksOf({ 'x-portcullis': { protect: [] } }).any).toBe(false)
  })
})

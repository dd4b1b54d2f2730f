import type { Schema, SchemaOutline, SchemaRef } from './operation.ts'
import { escapePointer, isObject } from './pointer.ts'
import { baseOf, type Located, type References } from './schema-references.ts'

/** What can be told of a schema's values without having one: to read text as numbers, lists or objects. */
export function outlineOf(references: References, located: Located): SchemaOutline {
  const types = new Set<string>()
  const properties = new Map<string, SchemaRef>()
  const found: { items: SchemaRef | undefined; open: boolean; formats: Set<string> } = {
    items: undefined,
    open: false,
    formats: new Set(),
  }
  const visited = new Set<unknown>()
  const walk = (at: Located): void => {
    const { schema } = at
    if (!isObject(schema) || visited.has(schema)) return
    visited.add(schema)
    const base = baseOf(schema, at.base)
    const child = (path: string, value: unknown): Located => ({
      schema: value as Schema,
      base,
      at: `${at.at}/${path}`,
    })
    for (const type of Array.isArray(schema.type) ? schema.type : [schema.type])
      if (typeof type === 'string') types.add(type)
    if (schema.nullable === true) types.add('null')
    if (schema.type === undefined) {
      // Without a type, the values that are allowed tell.
      const values = Array.isArray(schema.enum) ? schema.enum : Object.hasOwn(schema, 'const') ? [schema.const] : []
      for (const value of values) types.add(typeOf(value))
      if (isObject(schema.properties)) types.add('object')
      if (schema.items !== undefined || schema.prefixItems !== undefined) types.add('array')
    }
    if (typeof schema.format === 'string') found.formats.add(schema.format)
    if (schema.items !== undefined && !Array.isArray(schema.items)) found.items ??= toRef(child('items', schema.items))
    if (isObject(schema.properties))
      for (const [name, value] of Object.entries(schema.properties))
        if (!properties.has(name)) properties.set(name, toRef(child(`properties/${escapePointer(name)}`, value)))
    const { additionalProperties } = schema
    if ((additionalProperties !== undefined && additionalProperties !== false) || isObject(schema.patternProperties))
      found.open = true
    if (typeof schema.$ref === 'string') {
      const target = references.resolve(schema.$ref, base)
      if (target !== undefined) walk(target)
    }
    for (const keyword of ['allOf', 'oneOf', 'anyOf'])
      if (Array.isArray(schema[keyword]))
        for (const [i, part] of schema[keyword].entries()) walk(child(`${keyword}/${i}`, part))
  }
  walk(located)
  return {
    types,
    properties,
    items: found.items,
    open: found.open || (properties.size === 0 && types.has('object')),
    formats: found.formats,
  }
}

function toRef(located: Located): SchemaRef {
  return { uri: located.at, schema: located.schema }
}

function typeOf(value: unknown): string {
  if (value === null) return 'null'
  if (Array.isArray(value)) return 'array'
  return typeof value === 'number' && Number.isInteger(value) ? 'integer' : typeof value
}

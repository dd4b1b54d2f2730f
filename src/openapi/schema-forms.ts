import type { Schema, TextFact, ValueForm } from './operation.ts'
import { escapePointer, isObject } from './pointer.ts'
import { baseOf, type Located, type References } from './schema-references.ts'

/** Schemas that must all hold, in each of the ways in which a value may fit. */
type Alternatives = readonly (readonly Located[])[]

const alternativesMax = 32
const depthMax = 32

/** Tells forms of schemas, each once: schemas may contain themselves. */
export function createForms(references: References): (located: Located) => ValueForm {
  const known = new Map<string, ValueForm>()

  const formOf = (given: Alternatives): ValueForm => {
    const key = given.map((together) => together.map(({ at }) => at).join('&')).join('|')
    const before = known.get(key)
    if (before !== undefined) return before
    const expanded = expand(given, references)
    const form = expanded === undefined ? anything : new Form(expanded, formOf)
    known.set(key, form)
    return form
  }
  return (located) => formOf([[located]])
}

class Form implements ValueForm {
  readonly texts: readonly (readonly TextFact[])[]
  readonly hasLiterals: boolean
  readonly hasLists: boolean
  readonly #alternatives: Alternatives
  readonly #formOf: (given: Alternatives) => ValueForm
  #properties: ReadonlyMap<string, ValueForm> | undefined
  #items: { readonly form: ValueForm | undefined } | undefined

  constructor(alternatives: Alternatives, formOf: (given: Alternatives) => ValueForm) {
    this.#alternatives = alternatives
    this.#formOf = formOf
    this.texts = alternatives.filter((together) => takes(together, 'string')).map(factsOf)
    this.hasLiterals = alternatives.some((together) =>
      ['number', 'integer', 'boolean', 'null'].some((type) => takes(together, type)),
    )
    this.hasLists = alternatives.some((together) => takes(together, 'array'))
  }

  // Not before somebody asks: a schema may contain itself.

  get properties(): ReadonlyMap<string, ValueForm> {
    this.#properties ??= this.#findProperties()
    return this.#properties
  }

  get items(): ValueForm | undefined {
    this.#items ??= { form: this.#findItems() }
    return this.#items.form
  }

  #findProperties(): ReadonlyMap<string, ValueForm> {
    const found = new Map<string, ValueForm>()
    const objects = this.#alternatives.filter((together) => takes(together, 'object'))
    if (objects.length === 0) return found
    const names = new Set(objects[0]!.flatMap(({ schema }) => Object.keys(propertiesOf(schema))))
    for (const name of names) {
      const each = objects.map((together) => childrenOf(together, 'properties', name))
      if (each.every((children) => children.length > 0)) found.set(name, this.#formOf(each))
    }
    return found
  }

  #findItems(): ValueForm | undefined {
    const lists = this.#alternatives.filter((together) => takes(together, 'array'))
    const each = lists.map((together) =>
      together.some(({ schema }) => isObject(schema) && schema.prefixItems !== undefined)
        ? []
        : childrenOf(together, 'items'),
    )
    return each.length > 0 && each.every((children) => children.length > 0) ? this.#formOf(each) : undefined
  }
}

const noProperties: ReadonlyMap<string, ValueForm> = new Map()
const anything: ValueForm = {
  texts: [[]],
  hasLiterals: true,
  hasLists: true,
  properties: noProperties,
  items: undefined,
}

function propertiesOf(schema: Schema): Readonly<Record<string, unknown>> {
  return isObject(schema) && isObject(schema.properties) ? schema.properties : {}
}

function childrenOf(together: readonly Located[], keyword: 'properties' | 'items', name?: string): Located[] {
  return together.flatMap(({ schema, base, at }): Located[] => {
    if (!isObject(schema)) return []
    const inner = baseOf(schema, base)
    if (keyword === 'items') {
      if (schema.items === undefined || Array.isArray(schema.items)) return []
      return [{ schema: schema.items as Schema, base: inner, at: `${at}/items` }]
    }
    const properties = propertiesOf(schema)
    if (!Object.hasOwn(properties, name!)) return []
    return [{ schema: properties[name!] as Schema, base: inner, at: `${at}/properties/${escapePointer(name!)}` }]
  })
}

/** The alternatives with references followed, `allOf` joined and `anyOf` and `oneOf` opened; `undefined`: too many. */
function expand(given: Alternatives, references: References): Alternatives | undefined {
  const all: (readonly Located[])[] = []
  for (const together of given) {
    let ways: readonly (readonly Located[])[] | undefined = [[]]
    for (const one of together) ways = product(ways, waysOf(one, references, 0))
    if (ways === undefined) return undefined
    all.push(...ways)
    if (all.length > alternativesMax) return undefined
  }
  return all
}

function waysOf(located: Located, references: References, depth: number): Alternatives | undefined {
  const { schema, at } = located
  if (depth > depthMax) return undefined
  if (!isObject(schema)) return schema === false ? [] : [[]]
  const base = baseOf(schema, located.base)
  let ways: Alternatives | undefined = [[located]]
  if (typeof schema.$ref === 'string') {
    const target = references.resolve(schema.$ref, base)
    ways = target === undefined ? undefined : product(ways, waysOf(target, references, depth + 1))
  }
  // Which schema is meant depends on the way here.
  if (schema.$dynamicRef !== undefined) return undefined
  for (const [i, part] of listOf(schema.allOf).entries()) {
    ways = product(ways, waysOf({ schema: part, base, at: `${at}/allOf/${i}` }, references, depth + 1))
  }
  for (const keyword of ['anyOf', 'oneOf'] as const) {
    const parts = listOf(schema[keyword])
    if (parts.length === 0) continue
    const opened = parts.map((part, i) =>
      waysOf({ schema: part, base, at: `${at}/${keyword}/${i}` }, references, depth + 1),
    )
    ways = opened.includes(undefined)
      ? undefined
      : product(
          ways,
          opened.flatMap((one) => one!),
        )
  }
  return ways
}

function listOf(value: unknown): readonly Schema[] {
  return Array.isArray(value) ? (value as readonly Schema[]) : []
}

function product(left: Alternatives | undefined, right: Alternatives | undefined): Alternatives | undefined {
  if (left === undefined || right === undefined || left.length * right.length > alternativesMax) return undefined
  return left.flatMap((one) => right.map((other) => [...one, ...other]))
}

/** Whether a value of this type can fit all of these schemas, as far as they say. */
function takes(together: readonly Located[], type: string): boolean {
  return together.every(({ schema }) => {
    if (!isObject(schema)) return true
    const types = schema.type === undefined ? undefined : [schema.type].flat()
    if (types === undefined || types.includes(type)) return true
    return type === 'null' && schema.nullable === true
  })
}

function factsOf(together: readonly Located[]): readonly TextFact[] {
  const facts: TextFact[] = []
  for (const { schema } of together) {
    if (!isObject(schema)) continue
    const values = Array.isArray(schema.enum)
      ? (schema.enum as readonly unknown[])
      : Object.hasOwn(schema, 'const')
        ? [schema.const]
        : undefined
    if (values !== undefined) {
      facts.push({ kind: 'values', values: new Set(values.filter((value) => typeof value === 'string')) })
    }
    if (typeof schema.format === 'string') facts.push({ kind: 'format', format: schema.format })
    if (typeof schema.pattern === 'string') facts.push({ kind: 'pattern', source: schema.pattern })
    if (typeof schema.maxLength === 'number') facts.push({ kind: 'length', max: schema.maxLength })
  }
  return facts
}

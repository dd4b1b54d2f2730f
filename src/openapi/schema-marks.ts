import type { DocumentMarks, Schema, SchemaMarks, SchemaRef } from './operation.ts'
import { isObject } from './pointer.ts'
import { policyKey } from './policy.ts'
import { baseOf, type Located, References } from './schema-references.ts'
import { locate } from './validators.ts'

/** Keywords that hold schemas for the same value. */
const sameValue = ['allOf', 'oneOf', 'anyOf'] as const
const sameValueSingle = ['if', 'then', 'else', 'not'] as const
/** Places remembered for one schema; further ones are worked out anew. */
const nodesMax = 10_000

/** The marks of one document; `resources` are its files by absolute URI. */
export function createMarks(resources: ReadonlyMap<string, unknown>): DocumentMarks {
  const references = new References(resources)
  const known = new WeakMap<object, SchemaMarks>()
  return {
    any: [...resources.values()].some(mayBeMarked),
    of(ref: SchemaRef) {
      const key = typeof ref.schema === 'object' ? ref.schema : ref
      let marks = known.get(key)
      if (marks === undefined) {
        marks = marksOf(references, locate(references, ref))
        known.set(key, marks)
      }
      return marks
    },
  }
}

/** Whether a map of policies stands anywhere that holds a map: operations have lists of fields, schemas have one. */
function mayBeMarked(root: unknown): boolean {
  const seen = new Set<unknown>()
  const pending = [root]
  for (let at = pending.pop(); pending.length > 0 || at !== undefined; at = pending.pop()) {
    if (typeof at !== 'object' || at === null || seen.has(at)) continue
    seen.add(at)
    const policy = (at as Readonly<Record<string, unknown>>)[policyKey]
    if (isObject(policy) && isObject(policy.protect)) return true
    pending.push(...Object.values(at))
  }
  return false
}

/**
 * What `x-portcullis` says at schemas, by the places of a value: all alternatives taken together, so that a mark counts
 * wherever any of them has it. Worked out as a value is walked, so that schemas may refer to themselves.
 */
function marksOf(references: References, located: Located): SchemaMarks {
  const ids = new Map<object, number>()
  const nodes = new Map<string, Node>()

  /** All schemas that speak of the same value: through references and alternatives. */
  function closure(starts: readonly Located[]): readonly Located[] {
    const seen = new Set<object>()
    const found: Located[] = []
    const pending = [...starts]
    for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
      const { schema } = at
      if (!isObject(schema) || seen.has(schema)) continue
      seen.add(schema)
      const base = baseOf(schema, at.base)
      const own = { ...at, base }
      found.push(own)
      for (const keyword of ['$ref', '$dynamicRef']) {
        const reference = schema[keyword]
        const target = typeof reference === 'string' ? references.resolve(reference, base) : undefined
        if (target !== undefined) pending.push(target)
      }
      for (const keyword of sameValue) {
        if (!Array.isArray(schema[keyword])) continue
        for (const [i, part] of schema[keyword].entries()) pending.push(child(own, `${keyword}/${i}`, part))
      }
      for (const keyword of sameValueSingle) {
        if (isObject(schema[keyword])) pending.push(child(own, keyword, schema[keyword]))
      }
      if (isObject(schema.dependentSchemas)) {
        for (const part of Object.values(schema.dependentSchemas)) pending.push(child(own, 'dependentSchemas', part))
      }
    }
    return found
  }

  function nodeOf(starts: readonly Located[]): Node | undefined {
    if (starts.length === 0) return undefined
    const key = [...new Set(starts.map(({ schema }) => idOf(schema)))].sort().join(' ')
    let node = nodes.get(key)
    if (node === undefined) {
      node = new Node(closure(starts), nodeOf)
      if (nodes.size < nodesMax) nodes.set(key, node)
    }
    return node
  }

  function idOf(schema: Schema): number {
    if (!isObject(schema)) return 0
    let id = ids.get(schema)
    if (id === undefined) {
      id = ids.size + 1
      ids.set(schema, id)
    }
    return id
  }

  return nodeOf([located])!
}

function child(at: Located, path: string, value: unknown): Located {
  return { schema: value as Schema, base: at.base, at: `${at.at}/${path}` }
}

class Node implements SchemaMarks {
  readonly #schemas: readonly Located[]
  readonly #nodeOf: (starts: readonly Located[]) => Node | undefined
  readonly #properties = new Map<string, Node | undefined>()
  #items: { readonly node: Node | undefined } | undefined
  #marks: SchemaMarks['marks'] | undefined
  #reach: SchemaMarks['reach'] | undefined

  constructor(schemas: readonly Located[], nodeOf: (starts: readonly Located[]) => Node | undefined) {
    this.#schemas = schemas
    this.#nodeOf = nodeOf
  }

  get marks(): SchemaMarks['marks'] {
    this.#marks ??= this.#schemas.flatMap(({ schema, at }) =>
      isObject(schema) && isObject(schema[policyKey]) ? [{ value: schema[policyKey], at }] : [],
    )
    return this.#marks
  }

  property(name: string): Node | undefined {
    if (this.#properties.has(name)) return this.#properties.get(name)
    const found: Located[] = []
    for (const at of this.#schemas) {
      const { schema } = at
      if (!isObject(schema)) continue
      const own = isObject(schema.properties) && Object.hasOwn(schema.properties, name)
      if (own) found.push(child(at, `properties/${name}`, (schema.properties as Record<string, unknown>)[name]))
      let isPattern = false
      for (const [pattern, value] of Object.entries(
        isObject(schema.patternProperties) ? schema.patternProperties : {},
      )) {
        // Whether the pattern fits is the validator's business: it may, and then the mark counts.
        isPattern = true
        found.push(child(at, `patternProperties/${pattern}`, value))
      }
      if (own) continue
      for (const keyword of ['additionalProperties', 'unevaluatedProperties']) {
        if (isObject(schema[keyword]) && !(isPattern && keyword === 'unevaluatedProperties')) {
          found.push(child(at, keyword, schema[keyword]))
        }
      }
    }
    const node = this.#nodeOf(found)
    if (this.#properties.size < nodesMax) this.#properties.set(name, node)
    return node
  }

  get items(): Node | undefined {
    if (this.#items === undefined) {
      const found: Located[] = []
      for (const at of this.#schemas) {
        const { schema } = at
        if (!isObject(schema)) continue
        for (const keyword of ['items', 'contains', 'additionalItems', 'unevaluatedItems', 'prefixItems']) {
          const value = schema[keyword]
          if (isObject(value)) found.push(child(at, keyword, value))
          else if (Array.isArray(value)) {
            for (const [i, part] of value.entries()) found.push(child(at, `${keyword}/${i}`, part))
          }
        }
      }
      this.#items = { node: this.#nodeOf(found) }
    }
    return this.#items.node
  }

  get reach(): SchemaMarks['reach'] {
    this.#reach ??= this.#look()
    return this.#reach
  }

  /** Every schema once, whatever it refers to. */
  #look(): SchemaMarks['reach'] {
    const names = new Set<string>()
    const marked = new Map<string, SchemaMarks['reach']['marked'][number]>()
    const seen = new Set<Node>()
    const pending: { node: Node; name: string }[] = [{ node: this, name: '' }]
    for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
      const { node, name } = next
      for (const mark of node.marks) marked.set(`${mark.at} ${name}`, { name, ...mark, node })
      if (seen.has(node)) continue
      seen.add(node)
      for (const { schema } of node.#schemas) {
        if (!isObject(schema)) continue
        const own = isObject(schema.properties) ? Object.keys(schema.properties) : []
        for (const property of own) {
          names.add(property)
          const below = node.property(property)
          if (below !== undefined) pending.push({ node: below, name: property })
        }
        // A name that no schema lists stands for all that are open.
        const below = node.property('\0')
        if (below !== undefined) pending.push({ node: below, name: '*' })
      }
      if (node.items !== undefined) pending.push({ node: node.items, name })
    }
    return { names, marked: [...marked.values()] }
  }
}

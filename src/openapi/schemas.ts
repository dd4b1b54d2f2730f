import { at, type Complaints, type Spot } from './complaints.ts'
import type { Schema, SchemaRef } from './operation.ts'
import { child, isObject, type JsonObject, pointerToFragment, setMember } from './pointer.ts'
import type { Dialect, References } from './references.ts'
import type { Source } from './source.ts'

/*
 * Brings every schema that is reached into OpenAPI 3.1 terms (JSON Schema 2020-12), where it stands: nothing moves, so
 * references keep their meaning and places stay those of the written file. Only schemas are touched, never examples,
 * defaults or properties that happen to carry a keyword's name.
 */

type Kind = 'number' | 'count' | 'text' | 'flag' | 'names' | 'list' | 'map'

/** What the value of a keyword must be; a validator would fail on another. */
const keywordKinds: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['minimum', 'number'],
  ['maximum', 'number'],
  ['exclusiveMinimum', 'number'],
  ['exclusiveMaximum', 'number'],
  ['multipleOf', 'number'],
  ['minLength', 'count'],
  ['maxLength', 'count'],
  ['minItems', 'count'],
  ['maxItems', 'count'],
  ['minProperties', 'count'],
  ['maxProperties', 'count'],
  ['minContains', 'count'],
  ['maxContains', 'count'],
  ['pattern', 'text'],
  ['format', 'text'],
  ['contentEncoding', 'text'],
  ['contentMediaType', 'text'],
  ['uniqueItems', 'flag'],
  ['readOnly', 'flag'],
  ['writeOnly', 'flag'],
  ['deprecated', 'flag'],
  ['required', 'names'],
  ['enum', 'list'],
  ['allOf', 'list'],
  ['anyOf', 'list'],
  ['oneOf', 'list'],
  ['prefixItems', 'list'],
  ['properties', 'map'],
  ['patternProperties', 'map'],
  ['dependentSchemas', 'map'],
  ['dependentRequired', 'map'],
  ['$defs', 'map'],
])

const kindNames: Readonly<Record<Kind, string>> = {
  number: 'a number',
  count: 'a whole number, 0 or more',
  text: 'a text',
  flag: 'true or false',
  names: 'a list of property names',
  list: 'a list with at least one entry',
  map: 'a map',
}

/** Keywords whose value is one schema, a list of schemas, or schemas by name. */
const single = [
  'items',
  'additionalProperties',
  'additionalItems',
  'not',
  'if',
  'then',
  'else',
  'contains',
  'propertyNames',
  'unevaluatedItems',
  'unevaluatedProperties',
  'contentSchema',
]
const lists = ['allOf', 'anyOf', 'oneOf', 'prefixItems']
const maps = ['properties', 'patternProperties', '$defs', 'definitions', 'dependentSchemas']

const types = new Set(['string', 'number', 'integer', 'boolean', 'array', 'object', 'null'])

/** Type names that are none, yet leave no doubt: read as the type, with the format where the name is one. */
type Reading = readonly [type: string | undefined, format?: string]
const clearTypes: ReadonlyMap<string, Reading> = new Map<string, Reading>([
  ...['str', 'text', 'char', 'enum'].map((name) => [name, ['string']] as [string, Reading]),
  ...['date', 'date-time', 'uuid', 'uri', 'email', 'byte', 'binary', 'password'].map(
    (name) => [name, ['string', name]] as [string, Reading],
  ),
  ['datetime', ['string', 'date-time']],
  ['timestamp', ['string']],
  ['time', ['string']],
  ['url', ['string', 'uri']],
  ...['int', 'int32', 'int64', 'long', 'short'].map((name) => [name, ['integer']] as [string, Reading]),
  ...['float', 'double', 'decimal', 'numeric'].map((name) => [name, ['number']] as [string, Reading]),
  ['bool', ['boolean']],
  ['list', ['array']],
  ...['map', 'dict', 'hash', 'json'].map((name) => [name, ['object']] as [string, Reading]),
  ...['any', 'mixed', 'unknown', 'object|array'].map((name) => [name, [undefined]] as [string, Reading]),
])

/** Keywords of JSON Schema that 2.0 and 3.0 do not have; there they would change what references mean. */
const notBefore31 = ['$id', '$schema', '$anchor', '$dynamicRef', '$dynamicAnchor', '$recursiveRef', '$vocabulary']

/** Siblings of a reference that say nothing about a value. Others are ignored with a warning in 2.0 and 3.0. */
const annotations = /^(description|title|summary|example|examples|default|externalDocs|deprecated|xml|x-.*|\$comment)$/

interface Work {
  readonly schema: JsonObject
  readonly spot: Spot
  /** The URI that an `$id` above set. */
  readonly base: string | undefined
}

/** The schemas of a document and of the files it refers to. */
export class Schemas {
  readonly #references: References
  readonly #complaints: Complaints
  readonly #seen = new Set<object>()
  readonly #work: Work[] = []
  readonly #heirs = new Map<Source, ReadonlyMap<string, readonly string[]>>()

  constructor(references: References, complaints: Complaints) {
    this.#references = references
    this.#complaints = complaints
  }

  /** Takes in the schema that `key` of `holder` holds, and everything it reaches; `undefined` when there is none. */
  take(holder: JsonObject, key: string, spot: Spot): SchemaRef | undefined {
    if (!Object.hasOwn(holder, key)) return undefined
    const schema = this.#enter(holder, key, spot, undefined)
    if (schema === undefined) return undefined
    this.#drain()
    // Taken in: the upgrade of the schema may have put another in its place.
    return { uri: `${spot.source.uri}#${pointerToFragment(spot.pointer)}`, schema: holder[key] as Schema }
  }

  #drain(): void {
    for (let work = this.#work.pop(); work !== undefined; work = this.#work.pop()) this.#read(work)
  }

  /** Queues a schema and gives it back, or what stands in for something that is none. */
  #enter(holder: JsonObject | unknown[], key: string | number, spot: Spot, base: string | undefined) {
    const container = holder as Record<string | number, unknown>
    const value = container[key]
    if (typeof value === 'boolean') return value
    if (value === null || (Array.isArray(value) && value.length === 0)) {
      this.#complaints.warn('P2016', spot, 'an empty schema: read as {}, which allows every value')
      container[key] = {}
      return container[key] as Schema
    }
    if (!isObject(value)) {
      const hint = typeof value === 'string' ? `a reference is written { $ref: "${value.slice(0, 60)}" }` : undefined
      this.#complaints.error('P2006', spot, 'expected a schema: a map or true or false', {
        at: 'value',
        ...(hint === undefined ? {} : { hint }),
      })
      return undefined
    }
    if (!this.#seen.has(value)) {
      this.#seen.add(value)
      this.#work.push({ schema: value, spot, base })
    }
    return value
  }

  #read({ schema, spot, base: inherited }: Work): void {
    const dialect = this.#references.dialect(spot.source)
    const isOld = dialect === '2.0' || dialect === '3.0'
    if (isOld) this.#dropForeign(schema)
    let base = inherited
    if (!isOld && typeof schema.$id === 'string') base = resolveId(schema.$id, inherited ?? spot.source.uri)
    if (typeof schema.$ref === 'string') {
      this.#readReference(schema, spot, base)
      if (isOld) {
        this.#dropSiblings(schema, spot)
        return
      }
    } else if (schema.$ref !== undefined) {
      this.#complaints.error('P2006', at(spot, child(spot.pointer, '$ref')), 'a reference must be a text')
    }
    if (typeof schema.$dynamicRef === 'string') this.#follow(schema.$dynamicRef, spot, '$dynamicRef', base)
    this.#upgradeBounds(schema, spot, isOld)
    if (isOld) this.#upgradeOld(schema, spot, dialect)
    this.#checkType(schema, spot)
    this.#checkKinds(schema, spot)
    this.#readDiscriminator(schema, spot)
    for (const key of single) {
      if (schema[key] !== undefined && typeof schema[key] !== 'boolean') {
        this.#enter(schema, key, at(spot, child(spot.pointer, key)), base)
      }
    }
    for (const key of lists) {
      const list = schema[key]
      if (!Array.isArray(list)) continue
      const pointer = child(spot.pointer, key)
      for (let i = 0; i < list.length; i++) this.#enter(list, i, at(spot, child(pointer, i)), base)
    }
    for (const key of maps) {
      const map = schema[key]
      if (!isObject(map)) continue
      const pointer = child(spot.pointer, key)
      for (const name of Object.keys(map)) this.#enter(map, name, at(spot, child(pointer, name)), base)
    }
    // Last: it moves the schema's keywords one level down.
    this.#upgradeNullable(schema, spot, dialect)
  }

  #dropForeign(schema: JsonObject): void {
    for (const key of notBefore31) if (schema[key] !== undefined) delete schema[key]
    // Draft 4's own, which 2.0 and 3.0 left out.
    if (typeof schema.id === 'string') delete schema.id
  }

  #readReference(schema: JsonObject, spot: Spot, base: string | undefined): void {
    const target = this.#follow(schema.$ref as string, spot, '$ref', base)
    // Within an `$id` the fragment counts from there, and the validator follows it on its own.
    if (target !== undefined && base === undefined) {
      schema.$ref = this.#references.canonical(spot.source, target)
    }
  }

  #follow(reference: string, spot: Spot, key: string, base: string | undefined): Spot | undefined {
    const target = this.#references.resolve(spot, reference, base)
    if (!('spot' in target)) {
      const { code, message, hint } = target
      const place = at(spot, child(spot.pointer, key))
      this.#complaints.error(code, place, message, { at: 'value', ...(hint === undefined ? {} : { hint }) })
      return undefined
    }
    if (typeof target.value === 'boolean') return target.spot
    if (!isObject(target.value)) {
      const place = at(spot, child(spot.pointer, key))
      this.#complaints.error('P2006', place, `the reference leads to something that is no schema: ${reference}`, {
        at: 'value',
      })
      return undefined
    }
    if (!this.#seen.has(target.value)) {
      this.#seen.add(target.value)
      this.#work.push({ schema: target.value, spot: target.spot, base: undefined })
    }
    return target.spot
  }

  /** Beside a reference everything else is ignored in 2.0 and 3.0 ("any properties added SHALL be ignored"). */
  #dropSiblings(schema: JsonObject, spot: Spot): void {
    const ignored: string[] = []
    // These two only take rights away, so they count: mass assignment is worse than a refused request.
    const narrows = schema.readOnly === true || schema.writeOnly === true
    for (const key of Object.keys(schema)) {
      const value = schema[key]
      if (key === '$ref' || ((key === 'readOnly' || key === 'writeOnly') && value === true)) continue
      if (!annotations.test(key) && value !== false) ignored.push(key)
      // Maps and lists stay where nothing reads them: other references may lead through them.
      if (narrows || typeof value !== 'object' || value === null) delete schema[key]
    }
    if (narrows) {
      schema.allOf = [{ $ref: schema.$ref }]
      delete schema.$ref
    }
    if (ignored.length > 0) {
      this.#complaints.warn('P2016', spot, `beside $ref, ${ignored.join(', ')} says nothing in this version`, {
        hint: 'wrap it: { allOf: [{ $ref: … }], … }, or write the document in OpenAPI 3.1',
      })
    }
  }

  /** `exclusiveMinimum: true` (draft 4) is a number since draft 6. */
  #upgradeBounds(schema: JsonObject, spot: Spot, isOld: boolean): void {
    for (const [exclusive, inclusive] of [
      ['exclusiveMinimum', 'minimum'],
      ['exclusiveMaximum', 'maximum'],
    ] as const) {
      const value = schema[exclusive]
      if (typeof value !== 'boolean') continue
      const place = at(spot, child(spot.pointer, exclusive))
      if (!isOld) this.#complaints.warn('P2016', place, `${exclusive} is a number since OpenAPI 3.1; read as in 3.0`)
      delete schema[exclusive]
      if (!value) continue
      if (schema[inclusive] === undefined) {
        this.#complaints.warn('P2016', place, `${exclusive} says nothing without ${inclusive}`)
        continue
      }
      schema[exclusive] = schema[inclusive]
      delete schema[inclusive]
    }
  }

  #upgradeOld(schema: JsonObject, spot: Spot, dialect: Dialect): void {
    if (schema.type === 'file') {
      schema.type = 'string'
      schema.format = 'binary'
    }
    if (schema.type === 'string' && schema.format === 'byte') schema.contentEncoding ??= 'base64'
    if (schema.type === 'string' && schema.format === 'binary') schema.contentMediaType ??= 'application/octet-stream'
    if (Object.hasOwn(schema, 'example')) {
      schema.examples ??= [schema.example]
      delete schema.example
    }
    if (Array.isArray(schema.items)) {
      const place = at(spot, child(spot.pointer, 'items'))
      this.#complaints.warn('P2016', place, 'a list of schemas under items: read as a tuple (prefixItems)')
      if (schema.items.length > 0) schema.prefixItems = schema.items
      delete schema.items
    }
    if (dialect === '2.0' && typeof schema.discriminator === 'string') {
      const propertyName = schema.discriminator
      schema.discriminator = { propertyName, mapping: this.#inheritedMapping(spot) }
    }
  }

  /**
   * `nullable` of 3.0 and `x-nullable`, by which 2.0 documents say the same. Since 3.1 it is no keyword, but what its
   * writer means is plain, and refusing null would only break callers.
   */
  #upgradeNullable(schema: JsonObject, spot: Spot, dialect: Dialect): void {
    const key = dialect === '2.0' ? 'x-nullable' : 'nullable'
    const value = schema[key]
    if (value === undefined) return
    delete schema[key]
    if (value !== true && value !== 'true') return
    if (dialect === '3.1' || dialect === '3.2') {
      const message = 'nullable is no keyword since OpenAPI 3.1: read as in 3.0'
      this.#complaints.warn('P2016', at(spot, child(spot.pointer, key)), message, { hint: 'add "null" to the types' })
    }
    if (typeof schema.type === 'string') {
      // An enum without null still refuses null, as OpenAPI 3.0.3 makes clear.
      if (schema.type !== 'null') schema.type = [schema.type, 'null']
    } else if (Array.isArray(schema.type)) {
      if (!schema.type.includes('null')) schema.type = [...schema.type, 'null']
    } else if (['allOf', 'anyOf', 'oneOf'].some((keyword) => schema[keyword] !== undefined)) {
      // 3.0.3 lets nullable act only beside a type, but whoever writes it here means: that, or null.
      this.#complaints.warn('P2016', at(spot, child(spot.pointer, key)), `${key} without a type: read as "or null"`)
      const rest: JsonObject = {}
      for (const [name, part] of Object.entries(schema)) {
        if (annotations.test(name) || name === 'readOnly' || name === 'writeOnly') continue
        rest[name] = part
        delete schema[name]
      }
      this.#seen.add(rest)
      schema.anyOf = [rest, { type: 'null' }]
    }
  }

  #checkType(schema: JsonObject, spot: Spot): void {
    const { type } = schema
    if (type === undefined || (typeof type === 'string' && types.has(type))) return
    const place = at(spot, child(spot.pointer, 'type'))
    if (type === null) {
      this.#complaints.warn('P2009', place, 'an empty type: ignored; write "null" in quotes for the type of null')
      delete schema.type
      return
    }
    const read: string[] = []
    for (const name of Array.isArray(type) ? type : [type]) {
      if (typeof name === 'string' && types.has(name)) {
        read.push(name)
        continue
      }
      const lower = typeof name === 'string' ? name.trim().toLowerCase() : undefined
      const clear = lower === undefined ? undefined : types.has(lower) ? ([lower] as const) : clearTypes.get(lower)
      if (clear === undefined) {
        const near = typeof name === 'string' ? nearestType(name) : undefined
        this.#complaints.error('P2009', place, `unknown type ${JSON.stringify(name)?.slice(0, 60)}`, {
          at: 'value',
          hint: near === undefined ? `one of ${[...types].join(', ')}` : `did you mean "${near}"?`,
        })
        return
      }
      const [known, format] = clear
      this.#complaints.warn('P2009', place, `unknown type ${JSON.stringify(name)}: read as ${known ?? 'any type'}`, {
        at: 'value',
      })
      if (known === undefined) {
        delete schema.type
        return
      }
      if (format !== undefined) schema.format ??= format
      read.push(known)
    }
    if (read.length === 0) delete schema.type
    else schema.type = Array.isArray(type) ? [...new Set(read)] : read[0]
  }

  #checkKinds(schema: JsonObject, spot: Spot): void {
    for (const key of Object.keys(schema)) {
      const kind = keywordKinds.get(key)
      if (kind === undefined) continue
      const value = schema[key]
      if (isOfKind(value, kind)) continue
      const place = at(spot, child(spot.pointer, key))
      const mended = mend(value, kind)
      if (mended !== undefined) {
        schema[key] = mended
        this.#complaints.warn('P2016', place, `${key} must be ${kindNames[kind]}: read as ${JSON.stringify(mended)}`, {
          at: 'value',
        })
      } else if (isVoid(value, key)) {
        delete schema[key]
        this.#complaints.warn('P2016', place, `${key} must be ${kindNames[kind]}: ignored`, { at: 'value' })
      } else {
        this.#complaints.error('P2006', place, `${key} must be ${kindNames[kind]}`, { at: 'value' })
        delete schema[key]
      }
    }
  }

  #readDiscriminator(schema: JsonObject, spot: Spot): void {
    const { discriminator } = schema
    if (discriminator === undefined) return
    const place = at(spot, child(spot.pointer, 'discriminator'))
    if (!isObject(discriminator) || typeof discriminator.propertyName !== 'string') {
      this.#complaints.warn('P2016', place, 'a discriminator without propertyName: ignored')
      delete schema.discriminator
      return
    }
    const pointer = child(spot.pointer, 'discriminator')
    this.#followMapping(discriminator, 'defaultMapping', at(spot, child(pointer, 'defaultMapping')))
    const { mapping } = discriminator
    if (mapping === undefined) return
    if (!isObject(mapping)) {
      this.#complaints.warn('P2016', place, 'mapping of a discriminator must be a map: ignored')
      delete discriminator.mapping
      return
    }
    for (const value of Object.keys(mapping)) {
      this.#followMapping(mapping, value, at(spot, child(child(pointer, 'mapping'), value)))
    }
  }

  /** Writes what one value of a discriminator means as a reference. */
  #followMapping(holder: JsonObject, key: string, spot: Spot): void {
    const written = Object.hasOwn(holder, key) ? holder[key] : undefined
    if (typeof written !== 'string') return
    // A bare word is the name of a schema in components (OpenAPI 3.1, 4.8.25).
    const named = /^[\w.-]+$/.test(written)
      ? this.#references.resolve(spot, `#/components/schemas/${written}`)
      : undefined
    const resolved = named !== undefined && 'spot' in named ? named : this.#references.resolve(spot, written)
    if (!('spot' in resolved) || !isObject(resolved.value)) {
      this.#complaints.warn('P2007', spot, `the mapping leads nowhere: ${written}`, { at: 'value' })
      return
    }
    setMember(holder, key, this.#references.canonical(spot.source, resolved.spot))
    if (!this.#seen.has(resolved.value)) {
      this.#seen.add(resolved.value)
      this.#work.push({ schema: resolved.value, spot: resolved.spot, base: undefined })
    }
  }

  /** In 2.0 the value of a discriminator is the name of a definition that inherits from the schema by allOf. */
  #inheritedMapping(spot: Spot): JsonObject {
    let heirs = this.#heirs.get(spot.source)
    if (heirs === undefined) {
      heirs = findHeirs(spot.source.root)
      this.#heirs.set(spot.source, heirs)
    }
    const mapping: JsonObject = {}
    const seen = new Set<string>()
    const waiting = [spot.pointer]
    for (let pointer = waiting.pop(); pointer !== undefined; pointer = waiting.pop()) {
      if (seen.has(pointer)) continue
      seen.add(pointer)
      const value = discriminatorValue(spot.source.root, pointer)
      if (value !== undefined) mapping[value] = `#${pointerToFragment(pointer)}`
      waiting.push(...(heirs.get(pointer) ?? []))
    }
    return mapping
  }
}

/** For each definition, those that name it under allOf. */
function findHeirs(root: unknown): ReadonlyMap<string, readonly string[]> {
  const heirs = new Map<string, string[]>()
  const definitions = isObject(root) && isObject(root.definitions) ? root.definitions : {}
  for (const [name, schema] of Object.entries(definitions)) {
    if (!isObject(schema) || !Array.isArray(schema.allOf)) continue
    for (const part of schema.allOf) {
      if (!isObject(part) || typeof part.$ref !== 'string' || !part.$ref.startsWith('#/definitions/')) continue
      let parent = part.$ref.slice(1)
      try {
        parent = decodeURIComponent(parent)
      } catch {
        // Not percent-encoded: as it stands.
      }
      const list = heirs.get(parent)
      if (list === undefined) heirs.set(parent, [child('/definitions', name)])
      else list.push(child('/definitions', name))
    }
  }
  return heirs
}

function discriminatorValue(root: unknown, pointer: string): string | undefined {
  const match = /^\/definitions\/([^/]+)$/.exec(pointer)
  if (match === null || !isObject(root) || !isObject(root.definitions)) return undefined
  const name = match[1]!.replaceAll('~1', '/').replaceAll('~0', '~')
  const schema = root.definitions[name]
  const own = isObject(schema) ? schema['x-ms-discriminator-value'] : undefined
  return typeof own === 'string' ? own : name
}

function isOfKind(value: unknown, kind: Kind): boolean {
  switch (kind) {
    case 'number':
      return typeof value === 'number'
    case 'count':
      return Number.isInteger(value) && (value as number) >= 0
    case 'text':
      return typeof value === 'string'
    case 'flag':
      return typeof value === 'boolean'
    case 'names':
      return Array.isArray(value) && value.every((name) => typeof name === 'string')
    case 'list':
      return Array.isArray(value) && value.length > 0
    case 'map':
      return isObject(value)
  }
}

/** The value that was clearly meant, such as 10 by "10". */
function mend(value: unknown, kind: Kind): unknown {
  if (kind === 'number' || kind === 'count') {
    if (typeof value !== 'string' || !/^\s*-?\d+(\.\d+)?\s*$/.test(value)) return undefined
    return isOfKind(Number(value), kind) ? Number(value) : undefined
  }
  if (kind === 'flag') return value === 'true' ? true : value === 'false' ? false : undefined
  if (kind === 'text') return typeof value === 'number' ? String(value) : undefined
  return undefined
}

/** Whether a misplaced value asks for nothing, so that ignoring it lets nothing more through than its writer meant. */
function isVoid(value: unknown, key: string): boolean {
  if (value === null || value === '') return true
  if (Array.isArray(value) && value.length === 0) return true
  // `required: true` at a property is draft 3; the list at the object is what counts.
  return key === 'required' && typeof value === 'boolean'
}

function resolveId(id: string, base: string): string {
  try {
    const url = new URL(id, base)
    url.hash = ''
    return url.href
  } catch {
    return id
  }
}

function nearestType(name: string): string | undefined {
  const letters = [...name.toLowerCase()].sort().join('')
  for (const type of types) {
    const other = [...type].sort().join('')
    if (letters === other || name.toLowerCase().startsWith(type.slice(0, 3))) return type
  }
  return undefined
}

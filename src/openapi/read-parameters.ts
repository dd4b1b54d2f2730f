import type { Spot } from './complaints.ts'
import type { Encoding, MediaType, Parameter, RequestBody } from './operation.ts'
import { isObject, type JsonObject, setMember } from './pointer.ts'
import { oldContent, readContent } from './read-content.ts'
import { follow, type Reading, under } from './reading.ts'

/** The styles that a place allows; the first is its default (OpenAPI 3.2, 4.12.2). */
const stylesOf: Readonly<Record<Parameter['in'], readonly Parameter['style'][]>> = {
  path: ['simple', 'label', 'matrix'],
  query: ['form', 'spaceDelimited', 'pipeDelimited', 'deepObject'],
  querystring: ['form'],
  header: ['simple'],
  cookie: ['form', 'cookie'],
}

/** Header parameters of these names say nothing: the document has other words for them (OpenAPI 3.1, 4.8.12). */
const notParameters = new Set(['accept', 'content-type', 'authorization'])

/** The parameters of an operation, and in 2.0 what they say of its body. */
export interface Parameters {
  readonly parameters: readonly Parameter[]
  readonly body: RequestBody | undefined
}

interface Written {
  readonly value: JsonObject
  readonly spot: Spot
}

/** Media types that 2.0 states for a whole operation. */
export interface OldMediaTypes {
  readonly consumes: readonly string[] | undefined
}

/**
 * Parameters of the path and of the operation, which wins where both name one (by name and place). `holders` are in
 * order from general to particular; the last is the operation.
 */
export function readParameters(
  reading: Reading,
  holders: readonly Written[],
  old: OldMediaTypes | undefined,
): Parameters {
  const written = new Map<string, Written>()
  for (const holder of holders)
    for (const [key, parameter] of ownParameters(reading, holder)) written.set(key, parameter)
  const parameters: Parameter[] = []
  const formFields: Written[] = []
  let body: RequestBody | undefined
  for (const { value, spot } of written.values()) {
    const place = value.in
    if (old !== undefined && place === 'body') {
      const schema = reading.schemas.take(value, 'schema', under(spot, 'schema'))
      body = { required: value.required === true, content: oldContent(schema, old.consumes ?? ['application/json']) }
    } else if (old !== undefined && place === 'formData') formFields.push({ value, spot })
    else {
      const parameter = old === undefined ? readParameter(reading, value, spot) : readOldParameter(reading, value, spot)
      if (parameter !== undefined) parameters.push(parameter)
    }
  }
  if (formFields.length > 0) {
    const operation = holders.at(-1)!
    body = readForm(reading, formFields, operation, old?.consumes)
  }
  return { parameters, body }
}

function ownParameters(reading: Reading, { value: holder, spot }: Written): Map<string, Written> {
  const own = new Map<string, Written>()
  const place = under(spot, 'parameters')
  if (holder.parameters == null) return own
  if (!Array.isArray(holder.parameters)) {
    reading.complaints.error('P2006', place, 'parameters must be a list', { at: 'value' })
    return own
  }
  for (const [index, parameter] of holder.parameters.entries()) {
    const target = follow(reading, under(place, index), parameter)
    if (target === undefined) continue
    const { value } = target
    if (!isObject(value) || typeof value.name !== 'string' || typeof value.in !== 'string') {
      reading.complaints.error('P2018', under(place, index), 'a parameter is a map with a name and a place (in)')
      continue
    }
    // Header names are the same in any case (RFC 9110, 5.1). 2.0 has one body and calls it what it likes.
    const name = value.in === 'header' ? value.name.toLowerCase() : value.in === 'body' ? '' : value.name
    const key = `${value.in} ${name}`
    if (own.has(key)) {
      reading.complaints.warn('P2018', under(place, index), `the parameter "${value.name}" stands twice in this list`)
      continue
    }
    own.set(key, { value, spot: target.spot })
  }
  return own
}

function readParameter(reading: Reading, value: JsonObject, spot: Spot): Parameter | undefined {
  const name = value.name as string
  const place = value.in as string
  if (!Object.hasOwn(stylesOf, place)) {
    const message = `"${place}" is no place for a parameter: path, query, header or cookie`
    reading.complaints.warn('P2018', under(spot, 'in'), `${message}; the parameter "${name}" is ignored`, {
      at: 'value',
    })
    return undefined
  }
  const where = place as Parameter['in']
  if (where === 'header' && notParameters.has(name.toLowerCase())) return undefined
  const allowed = stylesOf[where]
  let style = allowed[0]!
  if (value.style !== undefined) {
    if (allowed.includes(value.style as Parameter['style'])) style = value.style as Parameter['style']
    else {
      const message = `style ${JSON.stringify(value.style)} is not for ${where} parameters: read as ${style}`
      reading.complaints.warn('P2018', under(spot, 'style'), message, { at: 'value' })
    }
  }
  const schema = reading.schemas.take(value, 'schema', under(spot, 'schema'))
  const content = schema === undefined ? readContent(reading, value, spot)[0] : undefined
  return {
    name,
    in: where,
    // A path without the value is another path.
    required: where === 'path' || isTrue(value.required),
    deprecated: isTrue(value.deprecated),
    style,
    explode: typeof value.explode === 'boolean' ? value.explode : style === 'form' || style === 'cookie',
    allowReserved: isTrue(value.allowReserved),
    allowEmptyValue: isTrue(value.allowEmptyValue),
    schema,
    content,
  }
}

/** Some documents say "true" where true is meant; requiring too much is the safer reading. */
function isTrue(value: unknown): boolean {
  return value === true || value === 'true'
}

/** A header of a response or of a multipart's part. */
export function readHeader(reading: Reading, name: string, value: JsonObject, spot: Spot): Parameter {
  const schema = reading.schemas.take(value, 'schema', under(spot, 'schema'))
  return headerOf(name, value, schema, schema === undefined ? readContent(reading, value, spot)[0] : undefined)
}

/** The same in 2.0. */
export function readOldHeader(reading: Reading, name: string, value: JsonObject, spot: Spot): Parameter {
  const { schema } = oldSchema(reading, value, spot)
  return headerOf(name, value, schema, undefined)
}

function headerOf(
  name: string,
  value: JsonObject,
  schema: Parameter['schema'],
  content: MediaType | undefined,
): Parameter {
  return {
    name: name.toLowerCase(),
    in: 'header',
    required: isTrue(value.required),
    deprecated: isTrue(value.deprecated),
    style: 'simple',
    explode: value.explode === true,
    allowReserved: false,
    allowEmptyValue: false,
    schema,
    content,
  }
}

// ── 2.0 ─────────────────────────────────────────────────────────────────────────────────────────────────────────

/** What a parameter or header of 2.0 says of its value, without a schema object of its own. */
const schemaKeywords = [
  'type',
  'format',
  'items',
  'default',
  'maximum',
  'exclusiveMaximum',
  'minimum',
  'exclusiveMinimum',
  'maxLength',
  'minLength',
  'pattern',
  'maxItems',
  'minItems',
  'uniqueItems',
  'enum',
  'multipleOf',
  'x-nullable',
]

interface Serialisation {
  readonly style: Parameter['style']
  readonly explode: boolean
}

/** By collectionFormat; `undefined` where 3.x has no words for it. */
function serialisation(where: string, format: unknown): Serialisation | undefined {
  const isQuery = where === 'query' || where === 'formData'
  switch (format ?? 'csv') {
    case 'csv':
      return { style: isQuery ? 'form' : 'simple', explode: false }
    case 'multi':
      return isQuery ? { style: 'form', explode: true } : undefined
    case 'ssv':
      return isQuery ? { style: 'spaceDelimited', explode: false } : undefined
    case 'pipes':
      return isQuery ? { style: 'pipeDelimited', explode: false } : undefined
    default:
      return undefined
  }
}

/** Gives a parameter of 2.0 the schema that 3.x would have, beside what it says itself. */
function oldSchema(reading: Reading, value: JsonObject, spot: Spot) {
  const isQuery = value.in === 'query' || value.in === 'formData'
  let how: Serialisation | undefined = { style: isQuery ? 'form' : 'simple', explode: isQuery }
  if (value.type === 'array') {
    how = serialisation(typeof value.in === 'string' ? value.in : 'header', value.collectionFormat)
    if (how === undefined) {
      const message = `collectionFormat ${value.collectionFormat} has no equal here: its value is read as one text`
      reading.complaints.warn('P2018', under(spot, 'collectionFormat'), message, { at: 'value' })
    }
  }
  if (!isObject(value.schema)) {
    const schema: JsonObject = {}
    if (how === undefined) schema.type = 'string'
    else for (const keyword of schemaKeywords) if (Object.hasOwn(value, keyword)) schema[keyword] = value[keyword]
    if (isObject(schema.items) && schema.items.type === 'array') {
      reading.complaints.warn('P2018', under(spot, 'items'), 'a list within a list: its items are read as texts')
      schema.items = { type: 'string' }
    }
    value.schema = schema
  }
  return { schema: reading.schemas.take(value, 'schema', under(spot, 'schema')), how }
}

function readOldParameter(reading: Reading, value: JsonObject, spot: Spot): Parameter | undefined {
  const name = value.name as string
  const where = value.in as string
  if (where !== 'path' && where !== 'query' && where !== 'header') {
    const message = `"${where}" is no place for a parameter in 2.0; the parameter "${name}" is ignored`
    reading.complaints.warn('P2018', under(spot, 'in'), message, { at: 'value' })
    return undefined
  }
  if (where === 'header' && notParameters.has(name.toLowerCase())) return undefined
  const { schema, how } = oldSchema(reading, value, spot)
  return {
    name,
    in: where,
    required: where === 'path' || isTrue(value.required),
    deprecated: false,
    style: how?.style ?? stylesOf[where][0]!,
    explode: how?.explode ?? false,
    allowReserved: false,
    allowEmptyValue: isTrue(value.allowEmptyValue),
    schema,
    content: undefined,
  }
}

const formTypes = ['application/x-www-form-urlencoded', 'multipart/form-data']

/** The fields of a form in 2.0 as the body that 3.x would describe. */
function readForm(
  reading: Reading,
  fields: readonly Written[],
  operation: Written,
  consumes: readonly string[] | undefined,
): RequestBody {
  const properties: JsonObject = {}
  const required: string[] = []
  const encoding: [string, Encoding][] = []
  for (const { value, spot } of fields) {
    const name = value.name as string
    const { how } = oldSchema(reading, value, spot)
    // Its own object, as a reference: the property is validated where the parameter stands.
    setMember(properties, name, {
      $ref: reading.references.canonical(operation.spot.source, under(spot, 'schema')),
    })
    if (isTrue(value.required)) required.push(name)
    if (value.type === 'array' && how !== undefined) {
      encoding.push([name, { contentType: undefined, ...how, allowReserved: false, headers: {} }])
    }
  }
  const hasFile = fields.some(({ value }) => value.type === 'file')
  const stated = (consumes ?? []).filter((type) => formTypes.includes(type.split(';', 1)[0]!.trim()))
  const types = stated.length > 0 ? stated : hasFile ? ['multipart/form-data'] : formTypes
  const schema: JsonObject = { type: 'object', properties }
  if (required.length > 0) schema.required = required
  // 2.0 knows no requestBody, so the name is free; the schema must stand somewhere to have a URI.
  operation.value.requestBody = { schema }
  const spot = under(under(operation.spot, 'requestBody'), 'schema')
  const ref = reading.schemas.take(operation.value.requestBody as JsonObject, 'schema', spot)
  return {
    required: required.length > 0,
    content: types.map((type) => ({
      type,
      schema: ref,
      itemSchema: undefined,
      encoding: Object.fromEntries(encoding),
    })),
  }
}

import type { ApiDocument, Encoding, Parameter, SchemaOutline, SchemaRef, Validate } from './operation.ts'

/*
 * Text as values: how OpenAPI's styles write lists and objects into paths, queries, headers, cookies and forms
 * (3.1, 4.8.12), and how a text becomes the number or boolean that a schema asks for.
 */

/** Text that is not of the form its style demands. The message says what was expected. */
export class SerializationError extends Error {}

/** A schema with its validator and with what it says of its values' form. */
export interface Typed {
  readonly validate: Validate
  readonly outline: SchemaOutline
  /** For lists and objects: of the items, of the properties. */
  readonly item: Typed | undefined
  readonly property: (name: string) => Typed | undefined
}

const untypedOutline: SchemaOutline = {
  types: new Set(),
  properties: new Map(),
  items: undefined,
  open: true,
  formats: new Set(),
}

/** Prepares a schema for reading texts. Items and properties follow on first use. */
export function typedSchema(
  document: ApiDocument,
  schema: SchemaRef,
  direction: 'request' | 'response',
  unknown: 'refuse' | 'allow',
): Typed {
  const validate = document.validator(schema, direction, { unknown })
  const outline = validate.outline ?? untypedOutline
  let item: Typed | undefined
  const properties = new Map<string, Typed | undefined>()
  return {
    validate,
    outline,
    get item() {
      if (outline.items !== undefined) item ??= typedSchema(document, outline.items, direction, unknown)
      return item
    },
    property(name) {
      if (properties.has(name)) return properties.get(name)
      const schemaOf = outline.properties.get(name)
      if (schemaOf === undefined) return undefined
      const typed = typedSchema(document, schemaOf, direction, unknown)
      properties.set(name, typed)
      return typed
    },
  }
}

export function isListed(typed: Typed, type: 'array' | 'object'): boolean {
  return typed.outline.types.has(type)
}

const jsonNumber = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/

/**
 * The value that a text stands for under a schema. Numbers follow JSON's grammar: `1e3` is one, ` 1`, `0x1` and `+1`
 * are not. A text that fits no other type of the schema stays a text, for the validator to judge.
 */
export function readScalar(text: string, typed: Typed | undefined): unknown {
  const types = typed?.outline.types
  if (types === undefined || types.size === 0) return text
  if ((types.has('integer') || types.has('number')) && jsonNumber.test(text)) {
    const value = Number(text)
    if (Number.isFinite(value) && fitsBetter(typed!, value, text)) return value
  }
  if (types.has('boolean') && (text === 'true' || text === 'false') && fitsBetter(typed!, text === 'true', text))
    return text === 'true'
  if (types.has('null') && (text === 'null' || text === '') && fitsBetter(typed!, null, text)) return null
  return text
}

/** Where a schema takes texts as well, the other reading must hold before it is preferred. */
function fitsBetter(typed: Typed, value: unknown, text: string): boolean {
  if (!typed.outline.types.has('string')) return true
  return typed.validate(value).length === 0 || typed.validate(text).length > 0
}

/** Percent-decoding that refuses what is no UTF-8 (RFC 3986, 2.1). */
export function decodePercent(text: string): string {
  if (!text.includes('%')) return text
  try {
    return decodeURIComponent(text)
  } catch {
    throw new SerializationError('expected percent-encoded UTF-8')
  }
}

/** One `name=value` of a query or form, the value still encoded. */
export interface Pair {
  readonly name: string
  readonly raw: string
}

/** Pairs of a query or form in order. `+` is a space in names and values. */
export function splitPairs(text: string, pairsMax: number): Pair[] {
  const pairs: Pair[] = []
  if (text === '') return pairs
  // Rack and older readers of CGI take it for `&`: they would find parameters that nobody has checked (CVE-2021-23336).
  if (text.includes(';')) throw new SerializationError('expected ";" only percent-encoded, as %3B')
  for (let at = 0; at <= text.length; ) {
    let end = text.indexOf('&', at)
    if (end < 0) end = text.length
    if (end > at) {
      if (pairs.length >= pairsMax) throw new SerializationError(`expected at most ${pairsMax} parameters`)
      const equals = text.indexOf('=', at)
      const nameEnd = equals < 0 || equals > end ? end : equals
      pairs.push({
        name: decodeForm(text.slice(at, nameEnd)),
        raw: nameEnd === end ? '' : text.slice(nameEnd + 1, end),
      })
    }
    at = end + 1
  }
  return pairs
}

/** Decodes a name or value of a query or form (WHATWG URL, 5.1). */
export function decodeForm(text: string): string {
  return decodePercent(text.includes('+') ? text.replaceAll('+', ' ') : text)
}

/** A separator as such or percent-encoded: clients' libraries encode commas and pipes, servers split either way. */
const separators: Readonly<Record<string, RegExp>> = {
  form: /,|%2c/i,
  spaceDelimited: /\+|%20| /,
  pipeDelimited: /\||%7c/i,
}

/** How one parameter or form field is written. */
export interface Writing {
  readonly name: string
  readonly style: Parameter['style']
  readonly explode: boolean
}

/** How a form writes a property, unless its encoding says otherwise: like a query parameter (OpenAPI 3.1, 4.8.15). */
export function fieldWriting(name: string, encoding: Encoding | undefined): Writing {
  const style = encoding?.style ?? 'form'
  return { name, style, explode: encoding?.explode ?? style === 'form' }
}

/**
 * The value of a parameter among the pairs of a query, a form or a Cookie header, or `undefined` when it is not there.
 * Names it has read are added to `taken`.
 */
export function readFromPairs(pairs: readonly Pair[], writing: Writing, typed: Typed, taken: Set<string>): unknown {
  const { name, style, explode } = writing
  const isArray = isListed(typed, 'array')
  const isObject = isListed(typed, 'object')
  if (style === 'deepObject' && isObject) return readDeepObject(pairs, name, typed, taken)
  if (isObject && !isArray && explode && style === 'form') return readExploded(pairs, typed, taken)
  taken.add(name)
  let first: string | undefined
  let all: string[] | undefined
  for (const pair of pairs) {
    if (pair.name !== name) continue
    if (first === undefined) first = pair.raw
    else {
      all ??= [first]
      all.push(pair.raw)
    }
  }
  if (first === undefined) return undefined
  if (isArray && (explode || all !== undefined)) {
    const list = (all ?? [first]).map((raw) => readScalar(decodeForm(raw), typed.item))
    if (all !== undefined || typed.outline.types.size === 1) return list
    // The schema takes single values as well; one alone may be meant as such.
    const alone = readScalar(decodeForm(first), typed)
    return typed.validate(list).length > 0 && typed.validate(alone).length === 0 ? alone : list
  }
  if (all !== undefined) throw new SerializationError('expected it once')
  if (isArray) {
    if (first === '') return []
    return first.split(separators[style] ?? separators.form!).map((raw) => readScalar(decodeForm(raw), typed.item))
  }
  if (isObject) {
    const parts = first.split(separators[style] ?? separators.form!)
    return objectOfAlternating(parts.map(decodeForm), typed)
  }
  return readScalar(decodeForm(first), typed)
}

function readExploded(pairs: readonly Pair[], typed: Typed, taken: Set<string>): unknown {
  const { properties, open } = typed.outline
  const found = new Map<string, string[]>()
  for (const pair of pairs) {
    if (!properties.has(pair.name) && !(open && !taken.has(pair.name))) continue
    const texts = found.get(pair.name)
    if (texts === undefined) found.set(pair.name, [pair.raw])
    else texts.push(pair.raw)
  }
  if (found.size === 0) return undefined
  const object: Record<string, unknown> = Object.create(null)
  for (const [key, texts] of found) {
    taken.add(key)
    const property = typed.property(key)
    if (property !== undefined && isListed(property, 'array'))
      object[key] = texts.map((raw) => readScalar(decodeForm(raw), property.item))
    else if (texts.length > 1) throw new SerializationError('expected each property once')
    else object[key] = readScalar(decodeForm(texts[0]!), property)
  }
  return object
}

const deepLevelsMax = 8

/** `name[key]=value`, and deeper where the schema has objects in objects. */
function readDeepObject(pairs: readonly Pair[], name: string, typed: Typed, taken: Set<string>): unknown {
  let root: Record<string, unknown> | undefined
  for (const pair of pairs) {
    if (!pair.name.startsWith(`${name}[`) || !pair.name.endsWith(']')) continue
    taken.add(pair.name)
    const path = pair.name.slice(name.length + 1, -1).split('][')
    if (path.length > deepLevelsMax || path.some((key) => key === '__proto__' || /[[\]]/.test(key)))
      throw new SerializationError('expected names such as filter[key]')
    root ??= Object.create(null) as Record<string, unknown>
    let holder = root
    let schema: Typed | undefined = typed
    for (const [level, key] of path.entries()) {
      schema = schema?.property(key)
      const isList = path[level + 1] === '' && level === path.length - 2
      if (level < path.length - 1 && !isList) {
        holder[key] ??= Object.create(null)
        if (typeof holder[key] !== 'object' || Array.isArray(holder[key]))
          throw new SerializationError('expected each property once')
        holder = holder[key] as Record<string, unknown>
        continue
      }
      const value = decodeForm(pair.raw)
      if (isList || (schema !== undefined && isListed(schema, 'array'))) {
        holder[key] ??= []
        if (!Array.isArray(holder[key])) throw new SerializationError('expected each property once')
        holder[key].push(readScalar(value, schema?.item))
      } else if (Object.hasOwn(holder, key)) throw new SerializationError('expected each property once')
      else holder[key] = readScalar(value, schema)
      break
    }
  }
  return root
}

/** The value of a path segment or header, as its style has it. `decode` undoes percent-encoding where there is any. */
export function readFromText(text: string, writing: Writing, typed: Typed, decode: (text: string) => string): unknown {
  const { name, style, explode } = writing
  const isArray = isListed(typed, 'array')
  const isObject = isListed(typed, 'object') && !isArray
  let rest = text
  let separator = ','
  if (style === 'label') {
    if (!rest.startsWith('.')) throw new SerializationError('expected a dot before the value')
    rest = rest.slice(1)
    if (explode || !rest.includes(',')) separator = '.'
  } else if (style === 'matrix') {
    if (!rest.startsWith(';')) throw new SerializationError('expected a semicolon before the value')
    rest = rest.slice(1)
    if (!(explode && isObject)) {
      if (explode && isArray) {
        const items = rest.split(';').map((part) => {
          if (!part.startsWith(`${name}=`)) throw new SerializationError('expected name=value for each item')
          return part.slice(name.length + 1)
        })
        return items.map((item) => readScalar(decode(item), typed.item))
      }
      if (rest !== name && !rest.startsWith(`${name}=`)) throw new SerializationError('expected name=value')
      rest = rest.slice(name.length + 1)
    } else separator = ';'
  }
  if (isArray) {
    if (rest === '') return []
    return rest.split(separator).map((part) => readScalar(decode(part.trim()), typed.item))
  }
  if (!isObject) return readScalar(decode(rest), typed)
  const parts = rest === '' ? [] : rest.split(separator)
  if (!explode)
    return objectOfAlternating(
      parts.map((part) => decode(part.trim())),
      typed,
    )
  const object: Record<string, unknown> = Object.create(null)
  for (const part of parts) {
    const equals = part.indexOf('=')
    if (equals < 1) throw new SerializationError('expected key=value for each property')
    setOnce(object, decode(part.slice(0, equals).trim()), decode(part.slice(equals + 1).trim()), typed)
  }
  return object
}

function objectOfAlternating(parts: readonly string[], typed: Typed): unknown {
  if (parts.length === 1 && parts[0] === '') return {}
  if (parts.length % 2 !== 0) throw new SerializationError('expected keys and values in turn')
  const object: Record<string, unknown> = Object.create(null)
  for (let i = 0; i < parts.length; i += 2) setOnce(object, parts[i]!, parts[i + 1]!, typed)
  return object
}

function setOnce(object: Record<string, unknown>, key: string, text: string, typed: Typed): void {
  if (key === '__proto__' || Object.hasOwn(object, key)) throw new SerializationError('expected each property once')
  object[key] = readScalar(text, typed.property(key))
}

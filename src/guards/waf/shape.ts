import { parseMediaType, readingOf } from '../../openapi/media-types.ts'
import type { Encoding, MediaType, Operation, Parameter, SchemaRef, ValueForm } from '../../openapi/operation.ts'
import type { ShapeNode } from '../../waf/body/index.ts'
import type { RequestShape } from '../../waf/index.ts'
import { bytesOf, type Check, isLiteral, textCheck } from './value-checks.ts'

/*
 * What an operation's document proves of its requests: that an enumeration, an identifier, a number or a date, where it is one,
 * carries no attack, and neither does a name that it lists. Names that the document does not know, and values that are not what it says, are looked at in full.
 */

/** Places of one body at most; what lies beyond is looked at in full. */
const nodesMax = 2_000

/** Tests for the values of an operation's requests, by place; `undefined` where the document binds none. */
export function requestShape(operation: Operation): RequestShape | undefined {
  const query = parameterChecks(operation, 'query')
  const headers = parameterChecks(operation, 'header')
  const cookies = parameterChecks(operation, 'cookie')
  const content = operation.requestBody?.content ?? []
  const form = formChecks(operation, content)
  const json = jsonShape(operation, content)
  const shape: RequestShape = {
    ...(query.size > 0 && { query }),
    ...(headers.size > 0 && { headers }),
    ...(cookies.size > 0 && { cookies }),
    ...(form.size > 0 && { form }),
    ...(json !== undefined && { json }),
  }
  return Object.keys(shape).length === 0 ? undefined : shape
}

function formAt(operation: Operation, schema: SchemaRef | undefined): ValueForm | undefined {
  return schema === undefined ? undefined : operation.document.validator(schema, 'request').form
}

function parameterChecks(operation: Operation, where: Parameter['in']): Map<string, Check> {
  const checks = new Map<string, Check>()
  for (const parameter of operation.parameters) {
    if (parameter.in !== where) continue
    const { name, schema, style, explode } = parameter
    const form = formAt(operation, schema)
    if (form === undefined) {
      add(checks, where === 'header' ? name.toLowerCase() : name)
      continue
    }
    if (style === 'deepObject') {
      for (const [property, inner] of form.properties) add(checks, `${name}[${property}]`, writtenCheck(inner))
      continue
    }
    const key = where === 'header' ? name.toLowerCase() : name
    add(checks, key, writtenCheck(form, separatorOf(style, explode)))
  }
  return checks
}

/** What stands in the map is known by name, whatever its values are. */
function add(checks: Map<string, Check>, name: string, check: Check = suspect): void {
  const key = bytesOf(name)
  const before = checks.get(key)
  checks.set(key, before === undefined ? check : (value) => before(value) && check(value))
}

const suspect: Check = () => false

/** What stands between the items of a list that is one value; `undefined` where each item is a value of its own. */
function separatorOf(style: Parameter['style'] | undefined, explode: boolean): string | undefined {
  if (style === 'pipeDelimited') return explode ? undefined : '|'
  if (style === 'spaceDelimited') return explode ? undefined : ' '
  if (style === 'simple') return ','
  return explode ? undefined : ','
}

/** The test for a value that is written as text, as in a query or a form. */
function writtenCheck(form: ValueForm, separator?: string): Check | undefined {
  const single = scalarCheck(form)
  const item = form.hasLists && form.items !== undefined ? scalarCheck(form.items) : undefined
  if (item === undefined) return form.hasLists && !isBound(form) ? undefined : single
  if (form.texts.length > 0 && single === undefined) return undefined
  const one: Check = single === undefined ? item : (value) => single(value) || item(value)
  return separator === undefined ? one : (value) => one(value) || value.split(separator).every(item)
}

/** Whether a form says at all what its values are. */
function isBound({ texts, items }: ValueForm): boolean {
  return items !== undefined || texts.every((facts) => facts.length > 0)
}

/** The test for one text or literal; `undefined` where any text may stand, or neither. */
function scalarCheck(form: ValueForm): Check | undefined {
  const text = form.texts.length === 0 ? undefined : textCheck(form)
  if (form.texts.length > 0 && text === undefined) return undefined
  if (!form.hasLiterals) return text
  return text === undefined ? isLiteral : (value) => isLiteral(value) || text(value)
}

function formChecks(operation: Operation, content: readonly MediaType[]): Map<string, Check> {
  const checks = new Map<string, Check>()
  for (const { type, schema, encoding } of content) {
    const reading = readingAs(type)
    if (reading !== 'form' && reading !== 'multipart') continue
    for (const [name, form] of formAt(operation, schema)?.properties ?? []) {
      const how = encoding[name]
      // Written as a media type of its own: JSON in a field, say.
      add(checks, name, how?.contentType === undefined ? writtenCheck(form, separatorIn(how)) : undefined)
    }
  }
  return checks
}

function separatorIn(how: Encoding | undefined): string | undefined {
  return how === undefined
    ? undefined
    : separatorOf(how.style ?? 'form', how.explode ?? (how.style ?? 'form') === 'form')
}

function jsonShape(operation: Operation, content: readonly MediaType[]): ShapeNode | undefined {
  const schemas = content.filter(({ type }) => readingAs(type) === 'json').map(({ schema }) => schema)
  const [first] = schemas
  // Which of several schemas a body follows is told by its type, which the shape does not know.
  if (first === undefined || schemas.some((schema) => schema?.schema !== first.schema)) return undefined
  const form = formAt(operation, first)
  if (form === undefined) return undefined
  const known = new Map<ValueForm, ShapeNode | undefined>()

  const nodeOf = (at: ValueForm): ShapeNode | undefined => {
    if (known.has(at)) return known.get(at)
    if (known.size >= nodesMax) return undefined
    // Filled below: a schema may contain itself.
    const node: { -readonly [Key in keyof ShapeNode]: ShapeNode[Key] } = {}
    known.set(at, node)
    const text = at.texts.length === 0 ? undefined : textCheck(at)
    const { hasLiterals } = at
    if (text !== undefined || hasLiterals) {
      node.check = (value, kind) => (kind === 'string' ? text?.(value) === true : hasLiterals && isLiteral(value))
    }
    const properties = new Map<string, ShapeNode>()
    for (const [name, property] of at.properties) {
      const inner = nodeOf(property)
      if (inner !== undefined) properties.set(bytesOf(name), inner)
    }
    if (properties.size > 0) node.properties = properties
    const items = at.items === undefined ? undefined : nodeOf(at.items)
    if (items !== undefined) node.items = items
    return node
  }
  return nodeOf(form)
}

function readingAs(type: string): string | undefined {
  const parsed = parseMediaType(type)
  return parsed === undefined ? undefined : readingOf(parsed)
}

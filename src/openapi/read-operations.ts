import { at, type Spot } from './complaints.ts'
import type { ApiDocument, Operation, Parameter, RequestBody, SecurityRequirement } from './operation.ts'
import { canonicalTemplate, templateNames, templateShape } from './paths.ts'
import { child, isObject, type JsonObject, setMember } from './pointer.ts'
import { mergePolicy, type PolicyLayer, policyLayer } from './policy.ts'
import { readContent, readResponses } from './read-content.ts'
import { readParameters } from './read-parameters.ts'
import type { SecuritySchemes } from './read-security.ts'
import { follow, type Reading, under } from './reading.ts'
import { serverPath } from './servers.ts'

const methods = new Set(['get', 'put', 'post', 'delete', 'options', 'head', 'patch', 'trace'])
/** What may stand in a path item beside operations. */
const pathItemKeys = new Set(['summary', 'description', 'servers', 'parameters', '$ref', 'additionalOperations'])

/** An operation as it is read, before it knows its neighbours. */
export interface Draft {
  /** As written, for messages and ids. */
  readonly written: string
  /** Base path of a server of its own, where it has one. */
  basePath: string | undefined
  /** Below the base path, in canonical form. */
  readonly path: string
  readonly method: string
  readonly spot: Spot
  readonly layers: readonly PolicyLayer[]
  readonly fields: Omit<
    Operation,
    'kind' | 'api' | 'version' | 'id' | 'method' | 'path' | 'allow' | 'policy' | 'place' | 'document'
  >
  readonly operationId: string | undefined
}

export interface DocumentDefaults {
  readonly security: readonly SecurityRequirement[] | undefined
  readonly schemes: SecuritySchemes
  readonly layers: readonly PolicyLayer[]
  readonly consumes: readonly string[] | undefined
  readonly produces: readonly string[] | undefined
  /** Whether servers of paths and operations decide where they lie. */
  readonly ownServers: boolean
}

/** Every operation of the document's paths, in its order. */
export function readOperations(reading: Reading, root: JsonObject, top: Spot, defaults: DocumentDefaults): Draft[] {
  const { complaints } = reading
  const place = under(top, 'paths')
  const { paths } = root
  if (paths == null) {
    complaints.warn('P2005', top, 'the document has no paths: every request is refused')
    return []
  }
  if (!isObject(paths)) {
    complaints.error('P2006', place, 'paths must be a map from path templates to their operations', { at: 'value' })
    return []
  }
  const drafts: Draft[] = []
  for (const [path, item] of Object.entries(paths)) {
    if (path.startsWith('x-') || path === '$ref') continue
    if (!path.startsWith('/')) {
      complaints.warn('P2015', under(place, path), `the path "${path}" does not begin with a slash: read as if it did`)
    }
    if (item !== null) drafts.push(...readPathItem(reading, path, item, under(place, path), defaults))
  }
  return refuseDoubtful(reading, drafts)
}

interface Layer {
  readonly value: JsonObject
  readonly spot: Spot
}

function readPathItem(reading: Reading, path: string, item: unknown, spot: Spot, defaults: DocumentDefaults): Draft[] {
  const { complaints } = reading
  if (!isObject(item)) {
    complaints.error('P2006', spot, 'a path must be a map from methods to operations', { at: 'value' })
    return []
  }
  // A reference brings the operations of another path item; what stands beside it is added, and wins.
  const layers: Layer[] = []
  if (typeof item.$ref === 'string') {
    const target = follow(reading, spot, item)
    if (target === undefined) return []
    if (!isObject(target.value)) {
      complaints.error('P2006', under(spot, '$ref'), 'the reference leads to something that is no path item', {
        at: 'value',
      })
      return []
    }
    layers.push({ value: target.value, spot: target.spot })
  }
  layers.push({ value: item, spot })
  const policies = layers.flatMap(({ value, spot: place }) => policyLayer(value, place, complaints) ?? [])
  const drafts = new Map<string, Draft>()
  for (const layer of layers) {
    for (const [method, operation, place] of operationsOf(reading, layer)) {
      const draft = readOperation(
        reading,
        path,
        method,
        operation,
        place,
        layers,
        [...defaults.layers, ...policies],
        defaults,
      )
      if (draft !== undefined) drafts.set(method, draft)
    }
  }
  return [...drafts.values()]
}

function* operationsOf(reading: Reading, { value, spot }: Layer): Generator<[string, unknown, Spot]> {
  const { complaints } = reading
  const dialect = reading.references.dialect(spot.source)
  for (const [key, operation] of Object.entries(value)) {
    if (operation === null || pathItemKeys.has(key) || key.startsWith('x-')) continue
    if (methods.has(key) || (key === 'query' && dialect === '3.2')) {
      yield [key.toUpperCase(), operation, under(spot, key)]
    } else {
      const isMethod = methods.has(key.toLowerCase())
      complaints.warn('P2006', under(spot, key), `"${key}" is no method: ignored`, {
        hint: isMethod ? `did you mean "${key.toLowerCase()}"?` : 'extensions begin with x-',
      })
    }
  }
  const place = under(spot, 'additionalOperations')
  if (value.additionalOperations == null) return
  if (dialect !== '3.2') {
    complaints.warn('P2006', place, 'additionalOperations is new in OpenAPI 3.2: ignored')
    return
  }
  if (!isObject(value.additionalOperations)) {
    complaints.error('P2006', place, 'additionalOperations must be a map from methods to operations', { at: 'value' })
    return
  }
  for (const [method, operation] of Object.entries(value.additionalOperations)) {
    // Methods are tokens and keep their case (RFC 9110, 9.1); fixed ones have their own key (OpenAPI 3.2, 4.9.1).
    if (!/^[!#$%&'*+.^_`|~\w-]+$/.test(method) || methods.has(method.toLowerCase())) {
      complaints.error('P2006', under(place, method), `"${method}" cannot stand among additionalOperations`)
      continue
    }
    yield [method, operation, under(place, method)]
  }
}

function readOperation(
  reading: Reading,
  path: string,
  method: string,
  operation: unknown,
  spot: Spot,
  pathItem: readonly Layer[],
  policies: readonly PolicyLayer[],
  defaults: DocumentDefaults,
): Draft | undefined {
  const { complaints } = reading
  if (!isObject(operation)) {
    complaints.error('P2006', spot, 'an operation must be a map', { at: 'value' })
    return undefined
  }
  const isOld = reading.references.dialect(spot.source) === '2.0'
  const old = isOld
    ? {
        consumes: mediaTypes(operation.consumes) ?? defaults.consumes,
        produces: mediaTypes(operation.produces) ?? defaults.produces ?? ['application/json'],
      }
    : undefined
  const holders = [...pathItem, { value: operation, spot }]
  const { parameters, body } = readParameters(reading, holders, old)
  const requestBody = old === undefined ? readRequestBody(reading, operation, spot) : body
  const own = policyLayer(operation, spot, complaints)
  const [template, query] = splitPath(path)
  const fixed = fixedParameters(reading, query, operation, spot, parameters)
  const kept = fitParameters(reading, template, [...withoutNames(parameters, fixed), ...fixed], spot)
  const ownServer =
    isOld || !defaults.ownServers
      ? undefined
      : (serverPath(operation, spot, complaints) ??
        pathItem
          .map(({ value, spot: place }) => serverPath(value, place, complaints))
          .findLast((found) => found !== undefined))
  return {
    written: path,
    basePath: ownServer,
    path: canonicalTemplate(template.startsWith('/') ? template : `/${template}`),
    method,
    spot,
    layers: own === undefined ? policies : [...policies, own],
    operationId:
      typeof operation.operationId === 'string' && operation.operationId !== '' ? operation.operationId : undefined,
    fields: {
      tags: Array.isArray(operation.tags) ? operation.tags.filter((tag) => typeof tag === 'string') : [],
      summary: typeof operation.summary === 'string' ? operation.summary : undefined,
      deprecated: operation.deprecated === true,
      parameters: kept,
      requestBody,
      responses: readResponses(reading, operation, spot, old?.produces),
      security: Object.hasOwn(operation, 'security') ? defaults.schemes.read(operation, spot) : defaults.security,
    },
  }
}

function readRequestBody(reading: Reading, operation: JsonObject, spot: Spot): RequestBody | undefined {
  if (operation.requestBody == null) return undefined
  const target = follow(reading, under(spot, 'requestBody'), operation.requestBody)
  if (target === undefined) return undefined
  if (!isObject(target.value)) {
    reading.complaints.error('P2006', under(spot, 'requestBody'), 'a request body must be a map', { at: 'value' })
    return undefined
  }
  return {
    required: target.value.required === true || target.value.required === 'true',
    content: readContent(reading, target.value, target.spot),
  }
}

export function mediaTypes(value: unknown): readonly string[] | undefined {
  if (!Array.isArray(value)) return undefined
  const types = value.filter((type) => typeof type === 'string').map((type) => type.trim().toLowerCase())
  return types.length === 0 ? undefined : types
}

/** The path itself, and the query that some documents write behind it. A fragment never leaves the client. */
function splitPath(path: string): [template: string, query: string] {
  const [beforeFragment] = path.split('#', 1) as [string]
  const mark = beforeFragment.indexOf('?')
  return mark === -1 ? [beforeFragment, ''] : [beforeFragment.slice(0, mark), beforeFragment.slice(mark + 1)]
}

/** Parameters for a query within a path: `/search?kind=new&q={q}` asks for `kind` to be "new" and for some `q`. */
function fixedParameters(
  reading: Reading,
  query: string,
  operation: JsonObject,
  spot: Spot,
  declared: Operation['parameters'],
): Parameter[] {
  if (query === '') return []
  const key = 'x-fixed-query'
  const schemas: JsonObject = {}
  operation[key] = schemas
  const parameters: Parameter[] = []
  for (const [name, value] of new URLSearchParams(query)) {
    const variable = /^\{(.+)\}$/.exec(value)?.[1]
    const own = declared.find((parameter) => parameter.name === (variable ?? name))
    if (variable === undefined && value !== '') setMember(schemas, name, { const: value })
    const fixed = reading.schemas.take(schemas, name, under(under(spot, key), name))
    parameters.push({
      ...undeclared(name),
      in: 'query',
      style: 'form',
      explode: true,
      allowEmptyValue: value === '',
      schema: fixed ?? own?.schema,
    })
  }
  return parameters
}

function withoutNames(parameters: Operation['parameters'], fixed: readonly Parameter[]): Operation['parameters'] {
  if (fixed.length === 0) return parameters
  return parameters.filter(
    (parameter) => parameter.in !== 'query' || !fixed.some(({ name }) => name === parameter.name),
  )
}

/** A path parameter of which only the template tells. */
function undeclared(name: string): Parameter {
  return {
    name,
    in: 'path',
    required: true,
    deprecated: false,
    style: 'simple',
    explode: false,
    allowReserved: false,
    allowEmptyValue: false,
    schema: undefined,
    content: undefined,
  }
}

/** Makes the template and the declared path parameters agree. */
function fitParameters(reading: Reading, path: string, parameters: Operation['parameters'], spot: Spot) {
  const { complaints } = reading
  const names = templateNames(path)
  const declared = new Set(parameters.filter((parameter) => parameter.in === 'path').map(({ name }) => name))
  const kept = parameters.filter(({ name, in: where }) => {
    if (where !== 'path' || names.includes(name)) return true
    complaints.warn('P2011', spot, `the path parameter "${name}" does not stand in ${path}: ignored`)
    return false
  })
  for (const name of names) {
    if (declared.has(name)) continue
    complaints.warn(
      'P2011',
      spot,
      `the path parameter "${name}" is not declared: every value of one segment is accepted`,
      {
        hint: `add { name: ${name}, in: path, required: true, schema: … }`,
      },
    )
    declared.add(name)
    kept.push(undeclared(name))
  }
  return kept
}

/**
 * Finds paths that no request can have, or that two operations claim. What is left has one operation for each method
 * and path.
 */
function refuseDoubtful(reading: Reading, drafts: readonly Draft[]): Draft[] {
  const { complaints } = reading
  const byRequest = new Map<string, Draft[]>()
  for (const draft of drafts) {
    const parts = splitPath(draft.written)[0].split(/\{[^{}]*\}/)
    const why = parts.some((part) => /[{}]/.test(part))
      ? 'a brace of its template has no partner'
      : parts.slice(1, -1).includes('')
        ? 'nothing stands between two of its parameters'
        : undefined
    if (why !== undefined) {
      complaints.warn('P2015', draft.spot, `the path "${draft.written}" cannot be matched, ${why}: it is not served`)
      continue
    }
    const key = `${draft.method} ${draft.basePath ?? ''} ${templateShape(draft.path)}`
    const claims = byRequest.get(key)
    if (claims === undefined) byRequest.set(key, [draft])
    else claims.push(draft)
  }
  const kept: Draft[] = []
  for (const claims of byRequest.values()) {
    // Fragments never reach a server and a query is no part of a path, so these stand for the same path.
    const plain = claims.filter(({ written }) => !/[?#]/.test(written))
    const chosen = plain[0] ?? (claims.length === 1 ? claims[0] : undefined)
    for (const draft of claims) {
      if (/[?#]/.test(draft.written)) {
        const message = `the path "${draft.written}" holds a query or a fragment, which are no part of a path`
        const outcome = draft === chosen ? `read as ${draft.path}` : 'it is not served'
        complaints.warn('P2015', draft.spot, `${message}: ${outcome}`, { hint: 'describe a query as parameters' })
      } else if (draft !== chosen) claimTwice(reading, chosen!, draft)
    }
    if (chosen !== undefined) kept.push(chosen)
  }
  return kept
}

/** Which of two operations answers must not decide who gets in or what is checked of them. */
function claimTwice({ complaints }: Reading, first: Draft, second: Draft): void {
  const { file, line, column } = complaints.place(first.spot)
  const message = `${second.method} ${second.written} cannot be told from ${first.written} (${file}:${line}:${column})`
  const isSame =
    sameSecurity(first.fields.security, second.fields.security) &&
    JSON.stringify(mergePolicy(first.layers)) === JSON.stringify(mergePolicy(second.layers))
  if (!isSame) {
    complaints.error('P2010', second.spot, `${message}, and they ask for different rights`, {
      hint: 'names of path parameters do not make two paths different; remove one, with an overlay if need be',
    })
    return
  }
  complaints.warn('P2010', second.spot, `${message}: every such request is taken for the former`, {
    hint: 'names of path parameters do not make two paths different; rules for this operation never apply',
  })
}

function sameSecurity(a: Operation['security'], b: Operation['security']): boolean {
  const text = (security: Operation['security']) =>
    JSON.stringify(security?.map((requirement) => [...requirement].sort(([x], [y]) => (x < y ? -1 : 1))))
  return text(a) === text(b)
}

/** Gives every operation an id of its own and the list of its path's methods. */
export function finishOperations(
  reading: Reading,
  drafts: readonly Draft[],
  basePath: string,
  owner: { readonly api: string; readonly version: string | undefined; readonly document: ApiDocument },
): Operation[] {
  const { complaints } = reading
  const allow = new Map<string, string[]>()
  for (const draft of drafts) {
    const shape = templateShape(fullPath(draft, basePath))
    const list = allow.get(shape)
    if (list === undefined) allow.set(shape, [draft.method])
    else list.push(draft.method)
  }
  for (const list of allow.values()) list.sort()
  const ids = new Set<string>()
  return drafts.map((draft) => {
    const path = fullPath(draft, basePath)
    const fallback = `${draft.method} ${path}`
    let id = draft.operationId ?? fallback
    if (ids.has(id)) {
      complaints.warn(
        'P2012',
        at(draft.spot, child(draft.spot.pointer, 'operationId')),
        `the operationId "${id}" stands twice`,
        {
          hint: `this operation is called "${fallback}" here; rules for op:${id} do not reach it`,
        },
      )
      id = fallback
      for (let n = 2; ids.has(id); n++) id = `${fallback} ${n}`
    }
    ids.add(id)
    return {
      kind: 'listed',
      ...owner,
      id,
      method: draft.method,
      path,
      ...draft.fields,
      allow: allow.get(templateShape(path))!,
      policy: mergePolicy(draft.layers),
      // Finding a line may mean to parse the file again, so only who asks pays.
      get place() {
        return complaints.place(draft.spot)
      },
    }
  })
}

function fullPath(draft: Draft, basePath: string): string {
  return `${draft.basePath ?? basePath}${draft.path}`
}

import {
  type ArrayNode,
  anyJson,
  type Components,
  changed,
  componentsOf,
  type Dialect,
  type Draw,
  fittingValue,
  jsonNode,
  type Node,
  type ObjectNode,
  type PropertyNode,
  scalarNode,
  strict,
  strictComponents,
  written,
} from './arbitrary.ts'

/*
 * Random OpenAPI documents, requests that they describe, and requests that differ from such a one in one thing.
 */

type Place = 'path' | 'query' | 'header' | 'cookie'
type Style = 'simple' | 'label' | 'matrix' | 'form' | 'spaceDelimited' | 'pipeDelimited' | 'deepObject'

export interface ParameterModel {
  readonly name: string
  readonly in: Place
  readonly required: boolean
  readonly node: Node
  readonly style: Style
  readonly explode: boolean
  /** Written as JSON (`content`) instead of in a style. */
  readonly json: boolean
}

/** A segment of a path template: literals around and between parameters. */
export interface SegmentModel {
  /** One more than there are parameters. */
  readonly literals: readonly string[]
  readonly names: readonly string[]
}

export interface BodyModel {
  readonly type: 'application/json' | 'application/x-www-form-urlencoded' | 'multipart/form-data'
  readonly required: boolean
  readonly node: Node
  /** Names of properties that are files. */
  readonly files: readonly string[]
  /** How lists are written in a form of 2.0. */
  readonly lists: 'multi' | 'csv'
}

export interface OperationModel {
  readonly id: string
  readonly method: string
  readonly path: readonly SegmentModel[]
  readonly parameters: readonly ParameterModel[]
  readonly body: BodyModel | undefined
  readonly secured: boolean
}

export interface ApiModel {
  readonly dialect: Dialect
  readonly base: string
  readonly components: Components
  readonly operations: readonly OperationModel[]
  /** As people would write it. */
  readonly document: object
  /** For the judge: a schema for each body and each parameter, under `#/$defs/<operation>:<what>`. */
  readonly judge: object
}

export interface RequestModel {
  readonly operation: OperationModel
  readonly method: string
  /** Percent-encoded. */
  readonly path: string
  /** Without the question mark. */
  readonly query: readonly string[]
  readonly headers: readonly (readonly [string, string])[]
  readonly cookies: readonly string[]
  readonly body: Buffer | undefined
  /** The values behind the texts, for those who change one. */
  readonly values: ReadonlyMap<ParameterModel, unknown>
  readonly bodyValue: unknown
  /** What was changed. */
  readonly note: string
}

// Documents ----------------------------------------------------------------------------------------

const statics = [
  'users',
  'orders',
  'me',
  'a b',
  'größe',
  'v1.2',
  'x+y',
  'it:go',
  "o'clock",
  'A',
  '%2B',
  'a;b',
  '~tilde',
  '..x',
  '$all',
  '@me',
  'x=y',
]

export function apiOf(draw: Draw): ApiModel {
  const dialect = draw.pick(['2.0', '3.0', '3.1', '3.1'] as const)
  const base = draw.pick(['', '/v1', '/api/v 2', '/api/größe'])
  const components = componentsOf(draw, dialect)
  const templates = new Map<string, readonly SegmentModel[]>()
  for (let i = draw.int(1, 6); i > 0; i--) {
    const path = pathOf(draw)
    const shape = shapeOf(path)
    if (!templates.has(shape)) templates.set(shape, path)
  }
  const operations: OperationModel[] = []
  for (const path of templates.values()) {
    const methods = draw.shuffle(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']).slice(0, draw.int(1, 3))
    for (const method of methods)
      operations.push(operationOf(draw, dialect, components, path, method, operations.length))
  }
  return {
    dialect,
    base,
    components,
    operations,
    document: documentOf(dialect, base, components, operations),
    judge: judgeOf(components, operations),
  }
}

function pathOf(draw: Draw): readonly SegmentModel[] {
  let count = 0
  const name = () => `p${count++}`
  return Array.from({ length: draw.int(1, 4) }, (): SegmentModel => {
    switch (draw.int(0, 9)) {
      case 0:
      case 1:
      case 2:
        return { literals: ['', ''], names: [name()] }
      case 3:
        return draw.pick<() => SegmentModel>([
          () => ({ literals: ['', '.json'], names: [name()] }),
          () => ({ literals: ['report-', '..', '.csv'], names: [name(), name()] }),
          () => ({ literals: ['@', ''], names: [name()] }),
          () => ({ literals: ['', ':cancel'], names: [name()] }),
          () => ({ literals: ['', ',', ''], names: [name(), name()] }),
          () => ({ literals: ['ö', ''], names: [name()] }),
        ])()
      default:
        return { literals: [draw.pick(statics)], names: [] }
    }
  })
}

function shapeOf(path: readonly SegmentModel[]): string {
  return path.map(({ literals }) => literals.join('{}')).join('/')
}

function templateOf(path: readonly SegmentModel[]): string {
  return path
    .map(
      ({ literals, names }) =>
        `/${literals.map((literal, i) => literal + (i < names.length ? `{${names[i]}}` : '')).join('')}`,
    )
    .join('')
}

/** Letters and digits only, at least one: a text in a list, or between two literals of a path. */
function wordNode(draw: Draw): Node {
  switch (draw.int(0, 3)) {
    case 0:
      return { kind: 'integer', min: draw.int(0, 10), max: draw.int(100, 10_000) }
    case 1:
      return { kind: 'string', values: ['red', 'green', 'blue'].slice(0, draw.int(1, 3)) }
    case 2:
      return { kind: 'boolean' }
    default:
      return { kind: 'string', min: 1, max: draw.int(3, 20) }
  }
}

function parameterNode(draw: Draw, dialect: Dialect, scalarOnly = false): Node {
  const choice = scalarOnly ? 0 : draw.int(0, 9)
  if (choice <= 5) {
    const node = scalarNode(draw, { dialect, nullable: false })
    return node.kind === 'string' &&
      node.pattern === undefined &&
      node.format === undefined &&
      node.values === undefined
      ? { ...node, min: Math.max(1, node.min ?? 0), ...(node.max === undefined ? {} : { max: Math.max(1, node.max) }) }
      : node
  }
  if (choice <= 7 || dialect === '2.0')
    return {
      kind: 'array',
      items: wordNode(draw),
      min: 1,
      ...(draw.chance(50) ? { max: draw.int(2, 4) } : {}),
      ...(draw.chance(20) ? { unique: true } : {}),
    }
  return {
    kind: 'object',
    rest: 'silent',
    properties: ['R', 'G', 'B'].slice(0, draw.int(1, 3)).map(
      (name): PropertyNode => ({
        name: `${name}${draw.int(0, 99_999)}`,
        node: wordNode(draw),
        required: draw.chance(50),
        readOnly: false,
      }),
    ),
  }
}

function operationOf(
  draw: Draw,
  dialect: Dialect,
  components: Components,
  path: readonly SegmentModel[],
  method: string,
  index: number,
): OperationModel {
  const old = dialect === '2.0'
  const parameters: ParameterModel[] = []
  for (const { names, literals } of path) {
    for (const name of names) {
      const alone = names.length === 1 && literals.every((literal) => literal === '')
      const node = alone ? parameterNode(draw, dialect) : wordNode(draw)
      const style = alone && !old ? draw.pick(['simple', 'simple', 'label', 'matrix'] as const) : 'simple'
      parameters.push({
        name,
        in: 'path',
        required: true,
        node,
        style,
        explode: alone && !old && draw.chance(40),
        json: false,
      })
    }
  }
  for (let i = draw.int(0, 4); i > 0; i--) {
    const place = draw.pick(
      old ? (['query', 'query', 'header'] as const) : (['query', 'query', 'header', 'cookie'] as const),
    )
    const name =
      place === 'header'
        ? `X-Param-${i}`
        : draw.pick([`q${i}`, `filter${i}`, `größe${i}`, `a.b${i}`, `x[${i}]`, `constructor`])
    if (place === 'cookie' && !/^[a-z]\w*$/.test(name)) continue
    if (parameters.some((other) => other.name === name)) continue
    let node = parameterNode(draw, dialect)
    let style: Style = place === 'header' ? 'simple' : 'form'
    let explode = place !== 'header' && !old
    let json = false
    if (place === 'query' && node.kind === 'array') {
      style = draw.pick(['form', 'form', 'spaceDelimited', 'pipeDelimited'] as const)
      explode = style === 'form' && draw.chance(50)
    } else if (place === 'query' && node.kind === 'object') {
      style = draw.pick(['form', 'deepObject'] as const)
      explode = style === 'deepObject' || draw.chance(50)
    } else if (place === 'header' && !old) explode = draw.chance(30)
    else if (place === 'cookie') {
      // A list that is exploded cannot be written in one Cookie header without doubt.
      if (node.kind === 'object') node = parameterNode(draw, dialect, true)
      explode = false
    }
    if (!old && place === 'query' && draw.chance(10)) {
      json = true
      node = jsonNode(draw, { dialect, components }, 1)
      style = 'form'
    }
    parameters.push({ name, in: place, required: draw.chance(40), node, style, explode, json })
  }
  const takesBody = method !== 'GET' && method !== 'DELETE' && draw.chance(85)
  return {
    id: `op${index}`,
    method,
    path,
    parameters,
    body: takesBody ? bodyOf(draw, dialect, components) : undefined,
    secured: draw.chance(30),
  }
}

function bodyOf(draw: Draw, dialect: Dialect, components: Components): BodyModel {
  const old = dialect === '2.0'
  const type = draw.pick([
    'application/json',
    'application/json',
    'application/json',
    'application/x-www-form-urlencoded',
    'multipart/form-data',
  ] as const)
  const required = draw.chance(70)
  if (type === 'application/json')
    return { type, required, node: jsonNode(draw, { dialect, components }, 3), files: [], lists: 'multi' }
  const files = type === 'multipart/form-data' ? ['file', 'photo'].slice(0, draw.int(1, 2)) : []
  const lists = old ? draw.pick(['multi', 'csv'] as const) : 'multi'
  const properties = ['title', 'count', 'tags', 'constructor', 'größe']
    .slice(0, draw.int(1, 5))
    .map((name): PropertyNode => {
      const node: Node =
        name === 'tags' ? { kind: 'array', items: wordNode(draw), min: 1, max: 4 } : parameterNode(draw, dialect, true)
      return { name, node, required: draw.chance(50), readOnly: false }
    })
  for (const name of files)
    properties.push({ name, node: { kind: 'string' }, required: draw.chance(50), readOnly: false })
  // A form of nothing but optional fields may be empty, which is no body at all.
  properties[0] = { ...properties[0]!, required: true }
  return { type, required: old || required, node: { kind: 'object', rest: 'silent', properties }, files, lists }
}

function documentOf(
  dialect: Dialect,
  base: string,
  components: Components,
  operations: readonly OperationModel[],
): object {
  const schemas = Object.fromEntries(Object.entries(components).map(([name, node]) => [name, written(node, dialect)]))
  const paths: Record<string, Record<string, unknown>> = {}
  for (const operation of operations) {
    const path = templateOf(operation.path)
    paths[path] ??= {}
    paths[path][operation.method.toLowerCase()] =
      dialect === '2.0' ? oldOperation(operation) : newOperation(operation, dialect)
  }
  const key = { type: 'apiKey', in: 'header', name: 'X-API-Key' }
  return {
    info: { title: 'Random', version: '1' },
    paths,
    ...(dialect === '2.0'
      ? {
          swagger: '2.0',
          ...(base === '' ? {} : { basePath: base }),
          definitions: schemas,
          securityDefinitions: { key },
        }
      : {
          openapi: dialect === '3.0' ? '3.0.3' : '3.1.0',
          ...(base === '' ? {} : { servers: [{ url: `https://api.example.com${base}` }] }),
          components: { schemas, securitySchemes: { key } },
        }),
  }
}

const responses = { 200: { description: 'Fine.' } }

function newOperation({ id, parameters, body, secured }: OperationModel, dialect: Dialect): object {
  return {
    operationId: id,
    security: secured ? [{ key: [] }] : [],
    parameters: parameters.map(({ name, in: place, required, node, style, explode, json }) => ({
      name,
      in: place,
      required,
      ...(json
        ? { content: { 'application/json': { schema: written(node, dialect) } } }
        : { schema: written(node, dialect), style, explode }),
    })),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: body.required,
            content: { [body.type]: { schema: withFiles(written(body.node, dialect), body.files) } },
          },
        }),
    responses,
  }
}

function withFiles(schema: Record<string, unknown>, files: readonly string[]): object {
  if (files.length === 0) return schema
  const properties = schema.properties as Record<string, unknown>
  return {
    ...schema,
    properties: {
      ...properties,
      ...Object.fromEntries(
        files.filter((name) => name in properties).map((name) => [name, { type: 'string', format: 'binary' }]),
      ),
    },
  }
}

const collection = { form: 'csv', spaceDelimited: 'ssv', pipeDelimited: 'pipes', simple: 'csv' } as const

function oldOperation({ id, parameters, body, secured }: OperationModel): object {
  const list: object[] = parameters.map(({ name, in: place, required, node, style, explode }) => ({
    name,
    in: place,
    required,
    ...written(node, '2.0'),
    ...(node.kind === 'array'
      ? { collectionFormat: explode ? 'multi' : collection[style as keyof typeof collection] }
      : {}),
  }))
  if (body?.type === 'application/json')
    list.push({ name: 'body', in: 'body', required: body.required, schema: written(body.node, '2.0') })
  else if (body !== undefined)
    for (const { name, node, required } of (body.node as ObjectNode).properties)
      list.push({
        name,
        in: 'formData',
        required,
        ...(body.files.includes(name) ? { type: 'file' } : written(node, '2.0')),
        ...(node.kind === 'array' ? { collectionFormat: body.lists } : {}),
      })
  return {
    operationId: id,
    security: secured ? [{ key: [] }] : [],
    ...(body === undefined ? {} : { consumes: [body.type] }),
    parameters: list,
    responses,
  }
}

function judgeOf(components: Components, operations: readonly OperationModel[]): object {
  const defs: Record<string, unknown> = strictComponents(components)
  for (const operation of operations) {
    if (operation.body !== undefined) defs[`${operation.id}:body`] = strict(operation.body.node)
    for (const [i, { node }] of operation.parameters.entries()) defs[`${operation.id}:${i}`] = strict(node)
  }
  return { $schema: 'https://json-schema.org/draft/2020-12/schema', $defs: defs }
}

// Requests that fit --------------------------------------------------------------------------------

/** Percent-encodes what RFC 3986 does not leave alone, in upper case: the one form that no gate changes. */
const encode = (value: string) => encodeURIComponent(value)

/** A literal of a path as it arrives: what a path may hold as it is stays so. */
export function encodeLiteral(literal: string): string {
  return literal.replace(/%[0-9A-F]{2}|[^\w.~!$&'()*+,;=:@-]/gu, (piece) =>
    piece.length === 3 && piece[0] === '%' ? piece : encode(piece),
  )
}

export function requestOf(draw: Draw, api: ApiModel, operation: OperationModel): RequestModel {
  const values = new Map<ParameterModel, unknown>()
  for (const parameter of operation.parameters)
    if (parameter.required || draw.chance(60)) values.set(parameter, parameterValue(draw, api, operation, parameter))
  const { body } = operation
  const bodyValue = body !== undefined && (body.required || draw.chance(75)) ? bodyValueOf(draw, api, body) : undefined
  const request = compose(draw, api, operation, values, bodyValue, 'nothing')
  // `.` before a value that begins with `;` is a dot segment to servlet containers, and no gate lets it pass.
  return /\/\.\.?(?:\/|$|;|%3B)/.test(request.path) ? requestOf(draw, api, operation) : request
}

function parameterValue(draw: Draw, api: ApiModel, operation: OperationModel, parameter: ParameterModel): unknown {
  const { node } = parameter
  // Beside a literal, a value must not look like one.
  const isAlone = !operation.path.some(
    ({ literals, names }) => names.includes(parameter.name) && literals.join('') !== '',
  )
  const odd =
    !parameter.json && node.kind === 'string' && (parameter.in === 'query' || parameter.in === 'path') && isAlone
  for (;;) {
    const value = fittingValue(draw, node, api.components, 3, odd)
    // A list or an object of nothing cannot be told from one that is not there.
    if (node.kind === 'object' && !parameter.json && Object.keys(value as object).length === 0) {
      const { properties } = node
      return { [properties[0]!.name]: fittingValue(draw, properties[0]!.node, api.components, 1, false) }
    }
    if (parameter.in !== 'path' || typeof value !== 'string' || fitsPath(value)) return value
  }
}

/** What the gate refuses in every path, whatever the document says. */
function fitsPath(value: string): boolean {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is meant.
  return !/[/\\\u0000-\u001f\u007f]/.test(value) && value !== '' && !/^\.\.?($|;)/.test(value)
}

function bodyValueOf(draw: Draw, api: ApiModel, body: BodyModel): unknown {
  if (body.type === 'application/json') return fittingValue(draw, body.node, api.components)
  return fittingValue(draw, body.node, api.components, 3, body.type === 'multipart/form-data')
}

function compose(
  draw: Draw,
  api: ApiModel,
  operation: OperationModel,
  values: ReadonlyMap<ParameterModel, unknown>,
  bodyValue: unknown,
  note: string,
): RequestModel {
  const texts = new Map<string, string>()
  const query: string[] = []
  const headers: [string, string][] = []
  const cookies: string[] = []
  for (const [parameter, value] of values) {
    const { name } = parameter
    if (parameter.in === 'path') texts.set(name, pathText(parameter, value))
    else if (parameter.in === 'query') query.push(...queryTexts(parameter, value))
    else if (parameter.in === 'header') headers.push([name, headerText(parameter, value)])
    else cookies.push(...queryTexts(parameter, value))
  }
  const path =
    encodeBase(api.base) +
    operation.path
      .map(
        ({ literals, names }) =>
          `/${literals.map((literal, i) => encodeLiteral(literal) + (i < names.length ? texts.get(names[i]!) : '')).join('')}`,
      )
      .join('')
  let body: Buffer | undefined
  if (bodyValue !== undefined && operation.body !== undefined) {
    const made = bodyBytes(draw, operation.body, bodyValue)
    body = made.bytes
    headers.push(['Content-Type', made.type])
  }
  return {
    operation,
    method: operation.method,
    path,
    query: draw.shuffle(query),
    headers,
    cookies,
    body,
    values,
    bodyValue,
    note,
  }
}

function encodeBase(base: string): string {
  return base.split('/').map(encodeLiteral).join('/')
}

function scalarText(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function pathText({ name, node, style, explode }: ParameterModel, value: unknown): string {
  const item = (one: unknown) => encode(scalarText(one))
  const prefix = style === 'label' ? '.' : style === 'matrix' ? ';' : ''
  const named = style === 'matrix' ? `${name}=` : ''
  if (node.kind === 'array') {
    const items = (value as unknown[]).map(item)
    if (!explode) return prefix + named + items.join(',')
    return prefix + items.map((one) => named + one).join(style === 'simple' ? ',' : prefix)
  }
  if (node.kind === 'object') {
    const entries = Object.entries(value as object).map(([key, one]) => [encode(key), item(one)])
    if (!explode) return prefix + named + entries.flat().join(',')
    return prefix + entries.map((entry) => entry.join('=')).join(style === 'simple' ? ',' : prefix)
  }
  return prefix + named + item(value)
}

function queryTexts({ name, node, style, explode, json }: ParameterModel, value: unknown): string[] {
  if (json) return [`${encode(name)}=${encode(JSON.stringify(value))}`]
  const item = (one: unknown) => encode(scalarText(one))
  const separator = style === 'spaceDelimited' ? '%20' : style === 'pipeDelimited' ? '|' : ','
  if (node.kind === 'array') {
    const items = (value as unknown[]).map(item)
    return explode ? items.map((one) => `${encode(name)}=${one}`) : [`${encode(name)}=${items.join(separator)}`]
  }
  if (node.kind === 'object') {
    const entries = Object.entries(value as object).map(([key, one]) => [encode(key), item(one)] as const)
    if (style === 'deepObject') return entries.map(([key, one]) => `${encode(name)}[${key}]=${one}`)
    return explode ? entries.map((entry) => entry.join('=')) : [`${encode(name)}=${entries.flat().join(separator)}`]
  }
  return [`${encode(name)}=${item(value)}`]
}

function headerText({ node, explode }: ParameterModel, value: unknown): string {
  if (node.kind === 'array') return (value as unknown[]).map(scalarText).join(',')
  if (node.kind === 'object') {
    const entries = Object.entries(value as object).map(([key, one]) => [key, scalarText(one)])
    return explode ? entries.map((entry) => entry.join('=')).join(',') : entries.flat().join(',')
  }
  return scalarText(value)
}

function bodyBytes(draw: Draw, body: BodyModel, value: unknown): { bytes: Buffer; type: string } {
  if (body.type === 'application/json') {
    const type = draw.pick(['application/json', 'application/json; charset=utf-8', 'Application/JSON'])
    return { bytes: Buffer.from(JSON.stringify(value, undefined, draw.chance(20) ? 2 : 0)), type }
  }
  const fields = Object.entries(value as object).flatMap(([name, one]): [string, string][] => {
    if (!Array.isArray(one)) return [[name, scalarText(one)]]
    return body.lists === 'csv' && body.type !== 'multipart/form-data'
      ? [[name, one.map(scalarText).join(',')]]
      : one.map((item) => [name, scalarText(item)])
  })
  if (body.type === 'application/x-www-form-urlencoded')
    return {
      bytes: Buffer.from(fields.map(([name, one]) => `${encode(name)}=${encode(one)}`).join('&')),
      type: body.type,
    }
  const boundary = `----b${draw.int(1000, 9999)}`
  const parts = fields.map(([name, one]) => {
    const file = body.files.includes(name)
    return `--${boundary}\r\nContent-Disposition: form-data; name="${name}"${file ? '; filename="f.bin"\r\nContent-Type: application/octet-stream' : ''}\r\n\r\n${one}\r\n`
  })
  return {
    bytes: Buffer.from(`${parts.join('')}--${boundary}--\r\n`),
    type: `multipart/form-data; boundary=${boundary}`,
  }
}

/** What the judge must find fitting in a request that is meant to fit. */
export function claims({ operation, values, bodyValue }: RequestModel): readonly Claim[] {
  const parameters = [...values].map(([parameter, value]) => ({ judge: judgeKey(operation, parameter), value }))
  return bodyValue === undefined ? parameters : [...parameters, { judge: `${operation.id}:body`, value: bodyValue }]
}

// Requests with one thing changed ------------------------------------------------------------------

/** What must become of a changed request: the judge decides where a value was changed. */
export type Expected = 'refused' | Claim

/** A value, and the name of the judge's schema that it is held against. */
export interface Claim {
  readonly judge: string
  readonly value: unknown
}

export interface Change {
  readonly request: RequestModel
  readonly expected: Expected
}

type Mutation = (draw: Draw, api: ApiModel, request: RequestModel) => Change | undefined

const refused = (request: RequestModel, note: string, change: Partial<RequestModel>): Change => ({
  request: { ...request, ...change, note },
  expected: 'refused',
})

/** Paths that no template of the document matches. */
const otherPath: Mutation = (draw, api, request) => {
  const path = draw.pick([
    `${request.path}/more`,
    `${request.path}/`,
    request.path.slice(0, request.path.lastIndexOf('/')) || '/',
    `/other${request.path}`,
    request.path.toUpperCase(),
    `${request.path}x`,
    request.path.replace(/\/[^/]*$/, '/nowhere'),
  ])
  if (path === request.path || matches(api, path).length > 0) return undefined
  return refused(request, 'a path that no template matches', { path })
}

const brokenPath: Mutation = (draw, _api, request) => {
  const path = draw.pick([
    `${request.path}%`,
    `${request.path}%2`,
    `${request.path}%zz`,
    `${request.path}%00`,
    `${request.path}%ff`,
    `${request.path}%c0%af`,
    `${request.path}%ed%a0%80`,
    `${request.path}%2f`,
    `${request.path}%2Fx`,
    `${request.path}%5c`,
    `${request.path}\\`,
    `${request.path}/..`,
    `${request.path}/%2e%2e/x`,
    `${request.path}/./x`,
    `/.${request.path}`,
    `/${request.path}`,
    request.path.replace(/\/([^/]*)$/, '//$1'),
    `/x/..${request.path}`,
    `/x/..;${request.path}`,
    `${request.path}#x`,
    `${request.path}\u00fc`,
    `${request.path}%0d%0aX:y`,
    `${request.path}%7f`,
  ])
  return refused(request, `the path ${path}`, { path })
}

const otherMethod: Mutation = (draw, api, request) => {
  const listed = new Set(matches(api, request.path).map(({ method }) => method))
  const method = draw.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'HEAD'])
  if (listed.has(method) || (method === 'HEAD' && listed.has('GET'))) return undefined
  return refused(request, `the method ${method}`, {
    method,
    body: undefined,
    headers: request.headers.filter(([name]) => name !== 'Content-Type'),
  })
}

const missing: Mutation = (draw, api, request) => {
  const candidates = request.operation.parameters.filter((parameter) => parameter.required && parameter.in !== 'path')
  if (candidates.length === 0) return undefined
  const gone = draw.pick(candidates)
  const values = new Map([...request.values].filter(([parameter]) => parameter !== gone))
  return {
    request: compose(draw, api, request.operation, values, request.bodyValue, `no ${gone.in} ${gone.name}`),
    expected: 'refused',
  }
}

/** A scalar as a text that may be anything, and what it means under its schema. */
const otherScalar: Mutation = (draw, api, request) => {
  const candidates = [...request.values].filter(
    ([{ node, json }]) => !json && ['integer', 'number', 'boolean', 'string'].includes(node.kind),
  )
  if (candidates.length === 0) return undefined
  const [parameter, value] = draw.pick(candidates)
  const texts = [
    'abc',
    '1.5',
    '01',
    '+1',
    '0x10',
    '1e3',
    '1e400',
    '-0',
    'NaN',
    'true',
    'false',
    'TRUE',
    '1',
    '0',
    '99999',
    '-99999',
    '1_000',
    '١',
    'x'.repeat(300),
    scalarText(value).repeat(2),
  ]
  const ascii = parameter.in === 'header' || parameter.in === 'cookie'
  const text = draw.pick(ascii ? texts.filter((one) => one !== '١') : texts)
  const meant = meaning(parameter.node, text)
  const values = new Map(request.values).set(parameter, text)
  const changedRequest = compose(
    draw,
    api,
    request.operation,
    values,
    request.bodyValue,
    `${parameter.in} ${parameter.name} is ${text}`,
  )
  if (parameter.in === 'path' && matches(api, changedRequest.path)[0]?.path !== request.operation.path) return undefined
  return { request: changedRequest, expected: { judge: judgeKey(request.operation, parameter), value: meant } }
}

function judgeKey(operation: OperationModel, parameter: ParameterModel): string {
  return `${operation.id}:${operation.parameters.indexOf(parameter)}`
}

/** What a text stands for: a number in JSON's grammar, `true` or `false`, else itself. */
function meaning(node: Node, text: string): unknown {
  if (node.kind === 'integer' || node.kind === 'number') {
    const value = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/.test(text) ? Number(text) : text
    return value === Number.POSITIVE_INFINITY ? text : value
  }
  if (node.kind === 'boolean' && /^(?:true|false)$/.test(text)) return text === 'true'
  return text
}

const otherList: Mutation = (draw, api, request) => {
  const candidates = [...request.values].filter(([{ node, json }]) => !json && node.kind === 'array')
  if (candidates.length === 0) return undefined
  const [parameter, before] = draw.pick(candidates)
  const node = parameter.node as ArrayNode
  const list = before as unknown[]
  const value = draw.pick([
    [...list, ...list],
    [...list, ...list, ...list, ...list, ...list],
    [...list, 'zz'],
    list.map((item, i) => (i === 0 ? 'wrong' : item)),
    list.map(() => -5),
  ])
  const meant = value.map((item) => meaning(node.items, scalarText(item)))
  const values = new Map(request.values).set(parameter, value)
  return {
    request: compose(
      draw,
      api,
      request.operation,
      values,
      request.bodyValue,
      `${parameter.in} ${parameter.name} is ${value}`,
    ),
    expected: { judge: judgeKey(request.operation, parameter), value: meant },
  }
}

const otherJsonParameter: Mutation = (draw, api, request) => {
  const candidates = [...request.values].filter(([{ json }]) => json)
  if (candidates.length === 0) return undefined
  const [parameter, before] = draw.pick(candidates)
  const value = changed(draw, before)
  if (!survives(value)) return undefined
  const values = new Map(request.values).set(parameter, value)
  return {
    request: compose(
      draw,
      api,
      request.operation,
      values,
      request.bodyValue,
      `query ${parameter.name} is ${JSON.stringify(value)}`,
    ),
    expected: { judge: judgeKey(request.operation, parameter), value },
  }
}

const otherQuery: Mutation = (draw, _api, request) => {
  const scalar = [...request.values.keys()].find(
    ({ in: place, node, json }) => place === 'query' && (json || (node.kind !== 'array' && node.kind !== 'object')),
  )
  const extra = draw.pick([
    'unknown=1',
    'unknown',
    '=1',
    '__proto__=1',
    'toString=1',
    'q0[]=1',
    'Q1=1',
    'q%00=1',
    'a=%',
    'a=%ff',
    'a=%c0%80',
    'unknown=1;unknown=2',
    ...(scalar === undefined ? [] : [...queryTexts(scalar, 'x')]),
    ...(scalar === undefined
      ? []
      : [`${encode(scalar.name)}%5B%5D=1`, `${encode(scalar.name)}%20=1`, `+${encode(scalar.name)}=1`]),
  ])
  return refused(request, `also ?${extra}`, { query: [...request.query, extra] })
}

const otherBody: Mutation = (draw, _api, request) => {
  const { body } = request.operation
  if (body === undefined) {
    // A body where none is listed.
    return refused(request, 'a body that is not listed', {
      body: Buffer.from('{}'),
      headers: [...request.headers, ['Content-Type', 'application/json']],
    })
  }
  if (request.body === undefined || request.bodyValue === undefined) return undefined
  const headers = request.headers.filter(([name]) => name !== 'Content-Type')
  const type = request.headers.find(([name]) => name === 'Content-Type')![1]
  switch (draw.int(0, 9)) {
    case 0:
      return refused(request, 'another media type', {
        headers: [
          ...headers,
          ['Content-Type', draw.pick(['text/csv', 'application/xml', 'application/jsonx', 'x', 'text/json', ''])],
        ],
      })
    case 1:
      return refused(request, 'no media type', { headers })
    case 2:
      return body.required ? refused(request, 'no body', { headers, body: undefined }) : undefined
    case 3:
      return refused(request, 'an unknown coding', {
        headers: [...request.headers, ['Content-Encoding', draw.pick(['x-foo', 'gzip', 'br', 'gzip, gzip'])]],
      })
    case 4:
      return refused(request, 'another charset', {
        headers: [...headers, ['Content-Type', `${type}; charset=${draw.pick(['utf-16', 'latin1', 'utf-7'])}`]],
      })
    default:
  }
  if (body.type !== 'application/json') return otherForm(draw, body, request)
  if (draw.chance(25)) {
    const json = request.body.toString()
    const invalid = draw.pick([
      `${json},`,
      json.slice(0, -1),
      `\ufeff${json}`,
      `${json}${json}`,
      `[${json},]`,
      `{"a":1,"a":1}`,
      `{"a":1,"\\u0061":1}`,
      `{"__proto__":{}}`,
      `{'a':1}`,
      'NaN',
      '// c\n1',
      '1e400',
      '9007199254740993',
      '"\\ud800"',
      '"\\x41"',
      '\u0000',
      '01',
      '',
    ])
    // Half of a text may be a whole one: `12` of `123`, an array of one item in one.
    if (invalid === json.slice(0, -1) && parses(invalid)) return undefined
    if (invalid === `${json}${json}` && parses(invalid)) return undefined
    if (invalid === '' && !body.required) return undefined
    return refused(request, `the body ${JSON.stringify(invalid)}`, { body: Buffer.from(invalid) })
  }
  if (draw.chance(8))
    return refused(request, 'a body that is no UTF-8', {
      body: Buffer.concat([Buffer.from('"'), Buffer.from([0xc0, 0xaf]), Buffer.from('"')]),
    })
  const value = draw.chance(90) ? changed(draw, request.bodyValue) : anyJson(draw, 2)
  if (!survives(value)) return undefined
  return {
    request: { ...request, body: Buffer.from(JSON.stringify(value)), note: `the body ${JSON.stringify(value)}` },
    expected: { judge: `${request.operation.id}:body`, value },
  }
}

function parses(json: string): boolean {
  try {
    JSON.parse(json)
    return true
  } catch {
    return false
  }
}

/** Whether a value is one JSON can carry, and strict JSON does. */
function survives(value: unknown): boolean {
  if (typeof value === 'number')
    return Number.isFinite(value) && (Math.abs(value) <= Number.MAX_SAFE_INTEGER || /e/.test(String(value)))
  if (typeof value === 'string') return value.isWellFormed()
  if (Array.isArray(value)) return value.every(survives)
  if (typeof value === 'object' && value !== null)
    return Object.entries(value).every(([key, one]) => key !== '__proto__' && one !== undefined && survives(one))
  return value !== undefined
}

const otherForm = (draw: Draw, body: BodyModel, request: RequestModel): Change | undefined => {
  const fields = request.bodyValue as Record<string, unknown>
  const node = body.node as ObjectNode
  const choices: (() => Change | undefined)[] = [
    () => remade('an unknown field', { ...fields, unknown: 'x' }),
    () =>
      remade('a field named __proto__', JSON.parse(`{"__proto__":"x","title":${JSON.stringify(fields.title ?? 'x')}}`)),
    () => {
      const { [node.properties.find(({ required }) => required)!.name]: _, ...rest } = fields
      return Object.keys(rest).length === 0 ? undefined : remade('a required field less', rest)
    },
    () => {
      const single = node.properties.find(({ name, node: child }) => child.kind !== 'array' && name in fields)
      return single === undefined
        ? undefined
        : remade('a field twice', { ...fields, [single.name]: [fields[single.name], fields[single.name]] }, 'multi')
    },
    () => {
      const wrong = node.properties.find(
        ({ name, node: child }) => (child.kind === 'integer' || child.kind === 'boolean') && name in fields,
      )
      return wrong === undefined ? undefined : remade('a field of another type', { ...fields, [wrong.name]: 'neither' })
    },
  ]
  const remade = (note: string, value: Record<string, unknown>, lists = body.lists): Change => {
    const made = bodyBytes(draw, { ...body, lists }, value)
    return refused(request, note, {
      body: made.bytes,
      headers: [...request.headers.filter(([name]) => name !== 'Content-Type'), ['Content-Type', made.type]],
    })
  }
  if (body.type === 'multipart/form-data') {
    const bytes = request.body!
    const broken = draw.pick([
      bytes.subarray(0, bytes.length - 6),
      Buffer.concat([Buffer.from('preamble\r\n'), bytes]),
      Buffer.concat([bytes, Buffer.from('epilogue')]),
      Buffer.from(bytes.toString('latin1').replaceAll('\r\n', '\n'), 'latin1'),
      Buffer.from(bytes.toString('latin1').replace('form-data; name', 'form-data; filename="x"; nam'), 'latin1'),
    ])
    choices.push(() => refused(request, 'a broken multipart', { body: broken }))
  } else {
    choices.push(() =>
      refused(request, 'a broken form', {
        body: Buffer.concat([
          request.body!,
          Buffer.from(draw.pick(['&title=%', '&%ff=1', '&title=%c0%af', '&count=\xff']), 'latin1'),
        ]),
      }),
    )
  }
  return draw.pick(choices)()
}

const mutations: readonly Mutation[] = [
  otherPath,
  brokenPath,
  otherMethod,
  missing,
  otherScalar,
  otherScalar,
  otherList,
  otherJsonParameter,
  otherQuery,
  otherQuery,
  otherBody,
  otherBody,
  otherBody,
  otherBody,
]

/** The request with one thing changed; `undefined` where the chosen change has nothing to bite on. */
export function changedRequest(draw: Draw, api: ApiModel, request: RequestModel): Change | undefined {
  return draw.pick(mutations)(draw, api, request)
}

// Which operations a path means --------------------------------------------------------------------

/**
 * The operations of the template that a path means: of all that match, the one with the most particular segment where
 * they first differ (OpenAPI 3.1, 4.8.8.2).
 */
export function matches(api: ApiModel, path: string): readonly OperationModel[] {
  const base = encodeBase(api.base)
  if (!path.startsWith(`${base}/`)) return []
  const segments = path.slice(base.length + 1).split('/')
  let best: readonly number[] | undefined
  let found: OperationModel[] = []
  for (const operation of api.operations) {
    if (operation.path.length !== segments.length) continue
    const ranks = operation.path.map((segment, i) => rank(segment, segments[i]!))
    if (ranks.some((one) => one < 0)) continue
    const order = best === undefined ? 1 : compare(ranks, best)
    if (order < 0) continue
    if (order > 0) found = []
    best = ranks
    found.push(operation)
  }
  return found
}

/** How particular a template's segment is that matches; -1 when it does not. */
function rank({ literals, names }: SegmentModel, segment: string): number {
  if (names.length === 0) return encodeLiteral(literals[0]!) === segment ? 1_000 : -1
  const source = literals.map((literal) => encodeLiteral(literal).replace(/[^\w]/g, '\\$&')).join('.+')
  return new RegExp(`^${source}$`).test(segment) ? literals.map(encodeLiteral).join('').length : -1
}

function compare(a: readonly number[], b: readonly number[]): number {
  for (const [i, one] of a.entries()) if (one !== b[i]) return one - b[i]!
  return 0
}

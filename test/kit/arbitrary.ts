import fc from 'fast-check'

/*
 * Random schemas with values that fit them by construction, for tests that must not ask the code under test what is
 * valid. A schema is made as a `Node`, and from there written in each dialect of OpenAPI, and once more, strictly, in
 * JSON Schema 2020-12 for an independent judge.
 */

/** Where random choices come from. Every choice goes through fast-check, so that a seed repeats them. */
export interface Draw {
  int(min: number, max: number): number
  pick<T>(from: readonly T[]): T
  /** True in so many of a hundred cases. */
  chance(percent: number): boolean
  shuffle<T>(list: readonly T[]): T[]
}

// Without fast-check's bias towards borders: "so many of a hundred" is meant.
const whole = (min: number, max: number) => fc.noBias(fc.integer({ min, max }))

export function drawFrom(gen: fc.GeneratorValue): Draw {
  const int = (min: number, max: number) => (min === max ? min : gen(whole, min, max))
  return {
    int,
    pick: (from) => from[int(0, from.length - 1)]!,
    chance: (percent) => int(0, 99) < percent,
    shuffle(list) {
      const left = [...list]
      const out: (typeof left)[number][] = []
      while (left.length > 0) out.push(...left.splice(int(0, left.length - 1), 1))
      return out
    },
  }
}

export type Dialect = '2.0' | '3.0' | '3.1'

interface Common {
  readonly nullable?: boolean
}
export interface Shape {
  readonly source: string
  readonly make: (draw: Draw) => string
}
export interface StringNode extends Common {
  readonly kind: 'string'
  readonly min?: number
  readonly max?: number
  readonly pattern?: Shape
  readonly format?: Shape & { readonly name: string }
  readonly values?: readonly string[]
}
export interface NumberNode extends Common {
  readonly kind: 'integer' | 'number'
  readonly min?: number
  readonly max?: number
  readonly above?: boolean
  readonly below?: boolean
  readonly multipleOf?: number
  readonly values?: readonly number[]
}
export interface BooleanNode extends Common {
  readonly kind: 'boolean'
}
export interface ArrayNode extends Common {
  readonly kind: 'array'
  readonly items: Node
  readonly min?: number
  readonly max?: number
  readonly unique?: boolean
}
export interface PropertyNode {
  readonly name: string
  readonly node: Node
  readonly required: boolean
  readonly readOnly: boolean
}
export interface ObjectNode extends Common {
  readonly kind: 'object'
  readonly properties: readonly PropertyNode[]
  /** What is said of other properties. */
  readonly rest: 'silent' | 'refuse' | 'allow' | Node
  readonly min?: number
}
export type Node =
  | StringNode
  | NumberNode
  | BooleanNode
  | ArrayNode
  | ObjectNode
  | { readonly kind: 'any' }
  | { readonly kind: 'ref'; readonly name: string }
  | {
      readonly kind: 'oneOf' | 'anyOf'
      readonly options: readonly Node[]
      readonly discriminator?: { readonly name: string; readonly mapping: boolean }
    }
  | { readonly kind: 'allOf'; readonly parts: readonly Node[] }

/** Named schemas of a document. */
export type Components = Record<string, Node>

// Strings ------------------------------------------------------------------------------------------

const plainLetters = [...'abcdefghijklmnopqrstuvwxyzABCDXYZ0123456789']
const oddCharacters = [
  ...' !#$%&()*+,-./:;<=>?@[]^_`{|}~"\'\\',
  ...'äßéЖ中あ',
  '\u{1f600}',
  '\u{10ffff}',
  '\u200d',
  'e\u0301',
  '\ufeff',
  '\u2028',
]

/** A text; `odd` lets in punctuation and what lies beyond ASCII. */
export function text(draw: Draw, min: number, max: number, odd = true): string {
  const length = draw.int(min, Math.max(min, Math.min(max, min + 12)))
  let out = ''
  // A character beyond the first plane or with a combining mark counts as JSON Schema counts: by code point.
  for (let left = length; left > 0; ) {
    const next = odd && draw.chance(25) ? draw.pick(oddCharacters) : draw.pick(plainLetters)
    const points = [...next].length
    if (points > left) continue
    out += next
    left -= points
  }
  return out
}

const digits = (draw: Draw, count: number) => Array.from({ length: count }, () => draw.int(0, 9)).join('')
const two = (value: number) => String(value).padStart(2, '0')

const patterns: readonly Shape[] = [
  { source: '^[a-z]{2,5}$', make: (draw) => text(draw, 2, 5, false).toLowerCase().replace(/\d/g, 'q') },
  { source: '^\\d{3}-\\d{4}$', make: (draw) => `${digits(draw, 3)}-${digits(draw, 4)}` },
  {
    source: '^(?:foo|bar)+$',
    make: (draw) => Array.from({ length: draw.int(1, 4) }, () => draw.pick(['foo', 'bar'])).join(''),
  },
  {
    source: '^(\\w+\\.)*\\w+$',
    make: (draw) => Array.from({ length: draw.int(1, 4) }, () => text(draw, 1, 4, false)).join('.'),
  },
  { source: '[0-9]', make: (draw) => text(draw, 0, 4, false) + digits(draw, 1) },
]

const formats: readonly (Shape & { readonly name: string })[] = [
  {
    name: 'date',
    source: '^\\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])$',
    make: (draw) => `${draw.int(1000, 9999)}-${two(draw.int(1, 12))}-${two(draw.int(1, 28))}`,
  },
  {
    name: 'date-time',
    source: '^\\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\\d|2[0-8])T(?:[01]\\d|2[0-3]):[0-5]\\d:[0-5]\\dZ$',
    make: (draw) =>
      `${draw.int(1000, 9999)}-${two(draw.int(1, 12))}-${two(draw.int(1, 28))}T${two(draw.int(0, 23))}:${two(draw.int(0, 59))}:${two(draw.int(0, 59))}Z`,
  },
  {
    name: 'uuid',
    source: '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$',
    make: (draw) => `${digits(draw, 8)}-${digits(draw, 4)}-4${digits(draw, 3)}-a${digits(draw, 3)}-${digits(draw, 12)}`,
  },
  {
    name: 'ipv4',
    source: '^(?:(?:25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)(?:\\.(?!$)|$)){4}$',
    make: (draw) => Array.from({ length: 4 }, () => draw.int(0, 255)).join('.'),
  },
]

// Nodes --------------------------------------------------------------------------------------------

/** Names as people give them, and those that JavaScript's own objects have. */
const names = [
  'id',
  'name',
  'itemCount',
  'x-y',
  'constructor',
  'toString',
  'valueOf',
  'größe',
  'a b',
  'length',
  '0',
  '$ref$',
  'type',
  'a/b',
  'a~b',
]

export interface NodeSettings {
  readonly dialect: Dialect
  readonly components: Components
}

export function scalarNode(draw: Draw, settings: { readonly dialect: Dialect; readonly nullable?: boolean }): Node {
  const nullable = settings.nullable !== false && draw.chance(12) ? { nullable: true } : {}
  switch (draw.int(0, 6)) {
    case 0:
    case 1: {
      const min = draw.int(0, 3)
      const bounds = { ...(draw.chance(50) ? { min } : {}), ...(draw.chance(50) ? { max: min + draw.int(0, 12) } : {}) }
      return { kind: 'string', ...bounds, ...nullable }
    }
    case 2:
      return draw.chance(50)
        ? { kind: 'string', pattern: draw.pick(patterns), ...nullable }
        : { kind: 'string', format: draw.pick(formats), ...nullable }
    case 3:
      return {
        kind: 'string',
        values: [...new Set(Array.from({ length: draw.int(1, 4) }, () => text(draw, 1, 6, false)))],
        ...nullable,
      }
    case 4:
      return { kind: 'boolean', ...nullable }
    default: {
      const kind = draw.pick(['integer', 'integer', 'number'] as const)
      if (draw.chance(10)) return { kind, values: [...new Set([draw.int(-5, 5), draw.int(-5, 5)])], ...nullable }
      const min = draw.int(-1000, 1000)
      const step = kind === 'integer' && draw.chance(15) ? { multipleOf: draw.int(2, 9) } : {}
      return {
        kind,
        ...(draw.chance(60) ? { min, above: draw.chance(30) } : {}),
        ...(draw.chance(60) ? { max: min + draw.int(20, 5000), below: draw.chance(30) } : {}),
        ...step,
        ...nullable,
      }
    }
  }
}

/** A schema for a JSON value. */
export function jsonNode(draw: Draw, settings: NodeSettings, depth = 3): Node {
  const old = settings.dialect === '2.0'
  const choice = depth === 0 ? draw.int(0, 2) : draw.int(0, 11)
  if (choice <= 2) return scalarNode(draw, { dialect: settings.dialect, nullable: !old })
  switch (choice) {
    case 3:
    case 4: {
      const min = draw.int(0, 2)
      const unique = draw.chance(30)
      return {
        kind: 'array',
        items: jsonNode(draw, settings, depth - 1),
        ...(draw.chance(40) && !unique ? { min } : {}),
        ...(draw.chance(40) ? { max: min + draw.int(1, 4) } : {}),
        ...(unique ? { unique } : {}),
        ...(!old && draw.chance(10) ? { nullable: true } : {}),
      }
    }
    case 5:
    case 6:
    case 7:
      return objectNode(draw, settings, depth)
    case 8: {
      const known = Object.keys(settings.components)
      return known.length === 0 ? objectNode(draw, settings, depth) : { kind: 'ref', name: draw.pick(known) }
    }
    case 9:
      return old ? objectNode(draw, settings, depth) : alternatives(draw, settings, depth)
    case 10: {
      const parts: Node[] = Array.from({ length: draw.int(1, 3) }, (_, i) =>
        objectNode(draw, settings, depth - 1, {
          prefix: `p${i}`,
          rest: draw.chance(8) ? 'allow' : 'silent',
          plain: true,
        }),
      )
      if (!old && draw.chance(25)) parts.push(tagged(draw, settings, depth - 1, 'q', 'silent'))
      return { kind: 'allOf', parts }
    }
    default:
      return draw.chance(50) ? { kind: 'any' } : objectNode(draw, settings, depth)
  }
}

function alternatives(draw: Draw, settings: NodeSettings, depth: number): Node {
  if (draw.chance(50)) return tagged(draw, settings, depth - 1, '')
  const kind = draw.pick(['oneOf', 'anyOf'] as const)
  const options: Node[] = [
    { kind: 'string', min: 1 },
    { kind: 'integer', min: -100 },
    { kind: 'boolean' },
    { kind: 'array', items: scalarNode(draw, { dialect: settings.dialect }), max: 4 },
    objectNode(draw, settings, depth - 1, { plain: true }),
  ]
  return { kind, options: draw.shuffle(options).slice(0, draw.int(2, 4)) }
}

/** Objects told apart by the value of one property. */
function tagged(draw: Draw, settings: NodeSettings, depth: number, prefix: string, rest?: ObjectNode['rest']): Node {
  const tags = ['Cat', 'Dog', 'Emu'].slice(0, draw.int(2, 3)).map((tag) => `${prefix}${tag}`)
  const options = tags.map((tag, i): ObjectNode => {
    const object = objectNode(draw, settings, Math.max(depth, 1), {
      prefix: `${prefix}v${i}`,
      plain: true,
      ...(rest === undefined ? {} : { rest }),
    })
    const kind: PropertyNode = {
      name: `${prefix}kind`,
      node: { kind: 'string', values: [tag] },
      required: true,
      readOnly: false,
    }
    return { ...object, properties: [kind, ...object.properties] }
  })
  const kind = draw.pick(['oneOf', 'anyOf'] as const)
  return { kind, options }
}

export function objectNode(
  draw: Draw,
  settings: NodeSettings,
  depth: number,
  fixed: { readonly prefix?: string; readonly rest?: ObjectNode['rest']; readonly plain?: boolean } = {},
): ObjectNode {
  const { prefix = '' } = fixed
  const own = draw.shuffle(names).slice(0, draw.int(1, 5))
  const properties = own.map((name): PropertyNode => {
    const readOnly = draw.chance(8)
    return {
      name: prefix + name,
      node: readOnly ? { kind: 'string' } : jsonNode(draw, settings, Math.max(0, depth - 1)),
      required: draw.chance(45),
      readOnly,
    }
  })
  const rests: readonly ObjectNode['rest'][] = [
    'silent',
    'silent',
    'silent',
    'refuse',
    'allow',
    scalarNode(draw, settings),
  ]
  const rest = fixed.rest ?? (fixed.plain === true ? draw.pick(['silent', 'refuse'] as const) : draw.pick(rests))
  const nullable = fixed.plain !== true && settings.dialect !== '2.0' && draw.chance(8) ? { nullable: true } : {}
  return { kind: 'object', properties, rest, ...nullable }
}

/** Some named schemas, one of which leads back to itself. */
export function componentsOf(draw: Draw, dialect: Dialect): Components {
  const components: Components = {}
  const settings = { dialect, components }
  components.Tree = {
    kind: 'object',
    rest: 'silent',
    properties: [
      { name: 'value', node: scalarNode(draw, { dialect, nullable: false }), required: true, readOnly: false },
      {
        name: 'children',
        node: { kind: 'array', items: { kind: 'ref', name: 'Tree' }, max: 3 },
        required: false,
        readOnly: false,
      },
    ],
  }
  components.Item = objectNode(draw, settings, 2, { plain: true })
  if (dialect !== '2.0') {
    for (const tag of ['Circle', 'Square']) {
      const object = objectNode(draw, settings, 1, { prefix: tag, plain: true })
      const shape: PropertyNode = {
        name: 'shape',
        node: { kind: 'string', values: [tag] },
        required: true,
        readOnly: false,
      }
      components[tag] = { ...object, properties: [shape, ...object.properties] }
    }
    components.Figure = {
      kind: 'oneOf',
      options: [
        { kind: 'ref', name: 'Circle' },
        { kind: 'ref', name: 'Square' },
      ],
      discriminator: { name: 'shape', mapping: draw.chance(50) },
    }
  }
  return components
}

// Writing ------------------------------------------------------------------------------------------

/** The schema as a document of this version has it. */
export function written(node: Node, dialect: Dialect): Record<string, unknown> {
  const inner = (child: Node) => written(child, dialect)
  const at = dialect === '2.0' ? '#/definitions/' : '#/components/schemas/'
  switch (node.kind) {
    case 'any':
      return {}
    case 'ref':
      return { $ref: at + node.name }
    case 'oneOf':
    case 'anyOf': {
      const { discriminator } = node
      const mapping = Object.fromEntries(
        node.options.flatMap((option) => (option.kind === 'ref' ? [[option.name, at + option.name]] : [])),
      )
      return {
        [node.kind]: node.options.map(inner),
        ...(discriminator === undefined
          ? {}
          : { discriminator: { propertyName: discriminator.name, ...(discriminator.mapping ? { mapping } : {}) } }),
      }
    }
    case 'allOf':
      return { allOf: node.parts.map(inner) }
    default:
  }
  const nullable = node.nullable === true
  const type =
    dialect === '3.1' && nullable
      ? { type: [node.kind, 'null'] }
      : { type: node.kind, ...(nullable ? { nullable } : {}) }
  const values = (list: readonly unknown[] | undefined) =>
    list === undefined ? {} : { enum: nullable ? [...list, null] : list }
  switch (node.kind) {
    case 'string':
      return {
        ...type,
        ...values(node.values),
        ...defined({
          minLength: node.min,
          maxLength: node.max,
          pattern: node.pattern?.source,
          format: node.format?.name,
        }),
      }
    case 'boolean':
      return type
    case 'integer':
    case 'number': {
      const { min, max, above = false, below = false } = node
      const bounds =
        dialect === '3.1'
          ? {
              [above ? 'exclusiveMinimum' : 'minimum']: min,
              [below ? 'exclusiveMaximum' : 'maximum']: max,
            }
          : {
              minimum: min,
              maximum: max,
              exclusiveMinimum: above && min !== undefined ? true : undefined,
              exclusiveMaximum: below && max !== undefined ? true : undefined,
            }
      return { ...type, ...values(node.values), ...defined({ ...bounds, multipleOf: node.multipleOf }) }
    }
    case 'array':
      return {
        ...type,
        items: inner(node.items),
        ...defined({ minItems: node.min, maxItems: node.max, uniqueItems: node.unique }),
      }
    case 'object': {
      const required = node.properties.filter((property) => property.required).map(({ name }) => name)
      return {
        ...type,
        properties: Object.fromEntries(
          node.properties.map(({ name, node: child, readOnly }) => [
            name,
            readOnly ? { ...inner(child), readOnly } : inner(child),
          ]),
        ),
        ...(required.length > 0 ? { required } : {}),
        ...(node.rest === 'silent'
          ? {}
          : {
              additionalProperties: typeof node.rest === 'object' ? inner(node.rest) : node.rest === 'allow',
            }),
      }
    }
  }
}

function defined(map: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).filter(([, value]) => value !== undefined))
}

/**
 * The schema for the judge: JSON Schema 2020-12 that says in full what a request must be. Properties that nobody
 * lists are refused where the document does not speak of others, read-only ones always.
 */
export function strict(node: Node, isPart = false): Record<string, unknown> {
  switch (node.kind) {
    case 'any':
      return {}
    case 'ref':
      return { $ref: `#/$defs/${isPart ? 'part' : 'whole'}${node.name}` }
    case 'oneOf':
    case 'anyOf':
      return { [node.kind]: node.options.map((option) => strict(option, true)), ...closing(isPart) }
    case 'allOf':
      return { allOf: node.parts.map((part) => strict(part, true)), ...closing(isPart) }
    case 'array':
      return { ...written({ ...node, items: { kind: 'any' } }, '3.1'), items: strict(node.items) }
    case 'string': {
      const { format, ...rest } = node
      return { ...written(rest, '3.1'), ...(format === undefined ? {} : { pattern: format.source }) }
    }
    case 'object':
      return {
        type: node.nullable === true ? ['object', 'null'] : 'object',
        properties: Object.fromEntries(
          node.properties.map(({ name, node: child, readOnly }) => [name, readOnly ? false : strict(child)]),
        ),
        required: node.properties.filter(({ required, readOnly }) => required && !readOnly).map(({ name }) => name),
        ...(node.rest === 'silent'
          ? closing(isPart)
          : { additionalProperties: typeof node.rest === 'object' ? strict(node.rest) : node.rest === 'allow' }),
      }
    default:
      return written(node, '3.1')
  }
}

function closing(isPart: boolean): Record<string, unknown> {
  return isPart ? {} : { unevaluatedProperties: false }
}

/** All named schemas for the judge, as a whole and as a part of another. */
export function strictComponents(components: Components): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(components).flatMap(([name, node]) => [
      [`whole${name}`, strict(node)],
      [`part${name}`, strict(node, true)],
    ]),
  )
}

// Values -------------------------------------------------------------------------------------------

/** A value that fits; `odd` as for texts. */
export function fittingValue(draw: Draw, node: Node, components: Components, depth = 5, odd = true): unknown {
  if ('nullable' in node && node.nullable === true && draw.chance(25)) return null
  switch (node.kind) {
    case 'any':
      return anyJson(draw, 2)
    case 'ref':
      return fittingValue(draw, components[node.name]!, components, depth - 1, odd)
    case 'boolean':
      return draw.chance(50)
    case 'string': {
      if (node.values !== undefined) return draw.pick(node.values)
      const shape = node.pattern ?? node.format
      if (shape !== undefined) return shape.make(draw)
      return text(draw, node.min ?? 0, node.max ?? (node.min ?? 0) + 12, odd)
    }
    case 'integer':
    case 'number': {
      if (node.values !== undefined) return draw.pick(node.values)
      const low = node.min ?? (node.max === undefined ? -2000 : node.max - 2000)
      const high = node.max ?? low + 4000
      const step = node.multipleOf
      if (step !== undefined) return draw.int(Math.ceil((low + 1) / step), Math.floor((high - 1) / step)) * step || 0
      const whole = draw.int(low + 1, high - 1)
      return node.kind === 'integer' || draw.chance(50) ? whole : whole + draw.pick([0.5, -0.25, 0.125])
    }
    case 'array': {
      const min = node.min ?? 0
      const length = depth <= 0 ? min : draw.int(min, Math.min(node.max ?? min + 3, min + 3))
      const items: unknown[] = []
      for (let i = 0; i < length; i++) {
        const item = fittingValue(draw, node.items, components, depth - 1, odd)
        if (node.unique === true && items.some((other) => equalJson(other, item))) continue
        items.push(item)
      }
      return items
    }
    case 'object': {
      const object: Record<string, unknown> = {}
      for (const { name, node: child, required, readOnly } of draw.shuffle(node.properties)) {
        if (readOnly || (!required && (depth <= 0 || draw.chance(50)))) continue
        object[name] = fittingValue(draw, child, components, depth - 1, odd)
      }
      if (node.rest === 'allow' && draw.chance(40)) object[`free${draw.int(0, 9)}`] = anyJson(draw, 1)
      if (typeof node.rest === 'object' && draw.chance(40))
        object[`more${draw.int(0, 9)}`] = fittingValue(draw, node.rest, components, depth - 1, odd)
      return object
    }
    case 'oneOf':
    case 'anyOf':
      return fittingValue(draw, draw.pick(node.options), components, depth, odd)
    case 'allOf':
      return Object.assign({}, ...node.parts.map((part) => fittingValue(draw, part, components, depth, odd)))
  }
}

/** Any JSON value. */
export function anyJson(draw: Draw, depth: number): unknown {
  switch (draw.int(0, depth > 0 ? 8 : 6)) {
    case 0:
      return null
    case 1:
      return draw.chance(50)
    case 2:
      return draw.int(-10_000, 10_000)
    case 3:
      return draw.pick([0.1, -0.5, 1e21, 5e-324, 2 ** 53 - 1, -(2 ** 53) + 1, 0])
    case 4:
    case 5:
    case 6:
      return draw.chance(20) ? draw.pick(['', '\u0000', 'null', '0', 'true', '__proto__']) : text(draw, 0, 8)
    case 7:
      return Array.from({ length: draw.int(0, 3) }, () => anyJson(draw, depth - 1))
    default:
      return Object.fromEntries(
        Array.from({ length: draw.int(0, 3) }, () => [draw.pick(names), anyJson(draw, depth - 1)]),
      )
  }
}

function equalJson(a: unknown, b: unknown): boolean {
  return sorted(a) === sorted(b)
}

function sorted(value: unknown): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  if (Array.isArray(value)) return `[${value.map(sorted).join()}]`
  return `{${Object.keys(value)
    .sort()
    .map((key) => `${JSON.stringify(key)}:${sorted((value as Record<string, unknown>)[key])}`)
    .join()}}`
}

/** The value with one thing changed somewhere. Whether it still fits is for the judge to say. */
export function changed(draw: Draw, value: unknown): unknown {
  if (typeof value === 'object' && value !== null) {
    const inside = Array.isArray(value) ? value.length : Object.keys(value).length
    if (inside > 0 && draw.chance(65)) {
      if (Array.isArray(value)) {
        const at = draw.int(0, inside - 1)
        return value.map((item, i) => (i === at ? changed(draw, item) : item))
      }
      const key = draw.pick(Object.keys(value))
      return { ...value, [key]: changed(draw, (value as Record<string, unknown>)[key]) }
    }
    if (Array.isArray(value)) {
      switch (draw.int(0, 4)) {
        case 0:
          return [...value, ...value]
        case 1:
          return value.slice(1)
        case 2:
          return [...value, anyJson(draw, 1)]
        case 3:
          return Object.fromEntries(value.entries())
        default:
          return anyJson(draw, 1)
      }
    }
    const keys = Object.keys(value)
    switch (draw.int(0, 5)) {
      case 0:
      case 1: {
        const gone = keys.length > 0 ? draw.pick(keys) : ''
        return Object.fromEntries(Object.entries(value).filter(([key]) => key !== gone))
      }
      case 2:
        return { ...value, [draw.pick(['unknown', ...names])]: anyJson(draw, 1) }
      case 3: {
        const from = keys.length > 0 ? draw.pick(keys) : ''
        return Object.fromEntries(
          Object.entries(value).map(([key, child]) => [key === from ? key.toUpperCase() : key, child]),
        )
      }
      case 4:
        return [value]
      default:
        return anyJson(draw, 1)
    }
  }
  if (draw.chance(30)) return anyJson(draw, 1)
  if (typeof value === 'number')
    return draw.pick([
      value + 1,
      value - 1,
      value + 0.5,
      value * 1000,
      -value || 0,
      String(value),
      value + 5000,
      value - 5000,
    ])
  if (typeof value === 'string')
    return draw.pick([
      `${value}x`,
      value.slice(1),
      '',
      value.repeat(9),
      value.toUpperCase(),
      ` ${value}`,
      `${value}\n`,
      '中'.repeat(40),
    ])
  return draw.pick([String(value), 0, 1, null, !value])
}

import { isUtf8 } from 'node:buffer'
import { JsonError, parseStrictJson } from '../base/json.ts'
import { coverage, type MediaTypeName, parseMediaType, type Reading, readingOf } from './media-types.ts'
import { type FormPart, MultipartError, parseMultipart } from './multipart.ts'
import type { ApiDocument, Encoding, MediaType, SchemaError, Validate, ValidateOptions } from './operation.ts'
import {
  decodeForm,
  fieldWriting,
  isListed,
  readFromPairs,
  readScalar,
  SerializationError,
  splitPairs,
  type Typed,
  typedSchema,
} from './serialization.ts'
import { beginsLike, claimOf, hasSignature, xmlFault } from './signatures.ts'

/** What a body is checked against, once its media type is known. */
export interface BodyCheck {
  /** As the document writes it. */
  readonly type: string
  /** `undefined`: nothing inside is checked, so the body need not be read. */
  readonly check: ((body: Buffer, json?: () => unknown) => BodyFindings) | undefined
  /** How the bytes are read. */
  readonly reading: Reading
}

/** What is wrong with a body; nothing when both are empty. */
export interface BodyFindings {
  /** The bytes are not of their media type. */
  readonly malformed: string | undefined
  /** They are, and do not fit the schema. */
  readonly errors: readonly SchemaError[]
}

/** The media types of a request or of a response. */
export interface BodyContract {
  /** Why a Content-Type is refused, or what its bodies are checked against. */
  readonly select: (contentType: string | undefined) => BodyCheck | 'unlisted' | 'charset'
  /** For the Accept header of a 415 (RFC 9110, 15.5.16). */
  readonly accept: string
  /** Whether any of them is looked into. */
  readonly looksInside: boolean
}

const fine: BodyFindings = { malformed: undefined, errors: [] }
const formPairsMax = 1_000
/** Each line costs about 1 µs, whatever is in it. */
const linesMax = 25_000
const errorsMax = 50
/** Different Content-Type texts remembered for an operation. */
const selectedMax = 64

/** Prepares the check of bodies. Schemas are compiled when the first body of their media type comes. */
export function compileBodies(
  content: readonly MediaType[],
  document: ApiDocument,
  direction: 'request' | 'response',
  options: ValidateOptions = {},
): BodyContract {
  const listed = content.flatMap((media) => {
    const range = parseMediaType(media.type)
    return range === undefined ? [] : [{ media, range, checks: new Map<string, BodyCheck>() }]
  })
  const selected = new Map<string, BodyCheck | 'unlisted' | 'charset'>()
  const select = (contentType: string): BodyCheck | 'unlisted' | 'charset' => {
    const type = parseMediaType(contentType)
    if (type === undefined) return 'unlisted'
    let best: (typeof listed)[number] | undefined
    let bestCoverage = 0
    for (const candidate of listed) {
      const covered = coverage(candidate.range, type)
      if (covered <= bestCoverage) continue
      best = candidate
      bestCoverage = covered
    }
    if (best === undefined) return 'unlisted'
    const reading = readingOf(type)
    const charset = type.parameters.get('charset')?.toLowerCase()
    // JSON is UTF-8 (RFC 8259, 8.1); of the others, too, only UTF-8 and its subset can be read alike by everyone.
    if (
      charset !== undefined &&
      reading !== 'opaque' &&
      charset !== 'utf-8' &&
      charset !== 'utf8' &&
      charset !== 'us-ascii'
    )
      return 'charset'
    return {
      type: best.media.type,
      reading,
      check: compileCheck(best.media, type, reading, document, direction, options),
    }
  }
  return {
    select(contentType) {
      if (contentType === undefined) return 'unlisted'
      const known = selected.get(contentType)
      if (known !== undefined) return known
      const found = select(contentType)
      if (selected.size < selectedMax) selected.set(contentType, found)
      return found
    },
    accept: listed.map(({ media }) => media.type).join(', '),
    looksInside: listed.some(({ range }) => looksInside(range)),
  }
}

/** Whether bodies of a type, or of any type within a range, can be told from others by looking. */
function looksInside(range: MediaTypeName): boolean {
  if (range.subtype.includes('*')) return range.type !== 'application' && range.type !== 'video' && range.type !== '*'
  return readingOf(range) !== 'opaque' || hasSignature(range.essence)
}

function compileCheck(
  media: MediaType,
  type: MediaTypeName,
  reading: Reading,
  document: ApiDocument,
  direction: 'request' | 'response',
  options: ValidateOptions,
): BodyCheck['check'] {
  let validate: Validate | undefined
  const { schema } = media
  const check = (value: unknown): BodyFindings => {
    if (schema === undefined) return fine
    validate ??= document.validator(schema, direction, options)
    const errors = validate(value)
    return errors.length === 0 ? fine : { malformed: undefined, errors }
  }
  let typed: Typed | undefined
  const typedBody = (): Typed | undefined => {
    if (schema !== undefined) typed ??= typedSchema(document, schema, direction, options.unknown ?? 'refuse')
    return typed
  }
  switch (reading) {
    case 'json':
      return (body, json) => {
        try {
          return check(json === undefined ? parseStrictJson(body) : json())
        } catch (error) {
          if (error instanceof JsonError) return malformed(error.message)
          throw error
        }
      }
    case 'json-lines':
      return (body) => checkLines(splitLines(body, 0x0a), media, document, direction, options, typedBody)
    case 'json-seq':
      // RFC 7464, 2.2: every text begins with a record separator.
      return (body) => checkLines(splitLines(body, 0x1e), media, document, direction, options, typedBody)
    case 'form':
      return (body) => {
        const text = utf8(body)
        if (text === undefined) return malformed('expected a form in UTF-8')
        return reporting(() => check(readForm(text, typedBody(), media.encoding)))
      }
    case 'multipart': {
      const boundary = type.parameters.get('boundary')
      return (body) =>
        reporting(() => {
          const parts = parseMultipart(body, boundary)
          const errors: SchemaError[] = []
          const value = readParts(parts, typedBody(), media.encoding, errors)
          const found = check(value)
          return errors.length === 0
            ? found
            : { malformed: undefined, errors: [...errors, ...found.errors].slice(0, errorsMax) }
        })
    }
    case 'xml':
      return (body) => {
        const text = utf8(body)
        const fault =
          text === undefined ? 'expected XML in UTF-8' : xmlFault(text.startsWith('\ufeff') ? text.slice(1) : text)
        return fault === undefined ? fine : malformed(fault)
      }
    case 'text':
      return (body) => {
        const text = utf8(body)
        if (text === undefined || text.includes('\0')) return malformed('expected text in UTF-8')
        if (type.subtype !== 'html' && !type.subtype.includes('script') && body.length > 0 && isBinaryClaim(body))
          return malformed(`expected ${type.essence}`)
        return schema === undefined ? fine : check(readScalar(text, typedBody()))
      }
    default: {
      const { essence } = type
      if (!hasSignature(essence)) return undefined
      return (body) => (body.length === 0 || beginsLike(essence, body) ? fine : malformed(`expected ${essence}`))
    }
  }
}

function isBinaryClaim(body: Buffer): boolean {
  const claim = claimOf(body)
  return claim !== undefined && claim !== 'text/html'
}

function malformed(message: string): BodyFindings {
  return { malformed: message, errors: [] }
}

function reporting(read: () => BodyFindings): BodyFindings {
  try {
    return read()
  } catch (error) {
    if (error instanceof SerializationError || error instanceof MultipartError || error instanceof JsonError)
      return malformed(error.message)
    throw error
  }
}

function utf8(body: Buffer): string | undefined {
  return isUtf8(body) ? body.toString('utf8') : undefined
}

function splitLines(body: Buffer, separator: number): Buffer[] {
  const lines: Buffer[] = []
  for (let at = 0; at < body.length; ) {
    // Empty lines are skipped where they stand: a body may be nothing else.
    const byte = body[at]!
    if (byte === separator || byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09) {
      at++
      continue
    }
    let end = body.indexOf(separator, at)
    if (end < 0) end = body.length
    lines.push(body.subarray(at, end))
    if (lines.length > linesMax) break
    at = end + 1
  }
  return lines
}

function checkLines(
  lines: readonly Buffer[],
  media: MediaType,
  document: ApiDocument,
  direction: 'request' | 'response',
  options: ValidateOptions,
  typedBody: () => Typed | undefined,
): BodyFindings {
  if (lines.length > linesMax) return malformed(`expected at most ${linesMax} lines`)
  const values: unknown[] = []
  for (const [i, line] of lines.entries()) {
    try {
      values.push(parseStrictJson(line))
    } catch (error) {
      if (error instanceof JsonError) return malformed(`line ${i + 1}: ${error.message}`)
      throw error
    }
  }
  // 3.2 has a schema for each item; before it, a schema of a list is meant for the whole, any other for each line.
  const whole = media.itemSchema === undefined ? typedBody() : undefined
  if (whole !== undefined && isListed(whole, 'array')) return { malformed: undefined, errors: whole.validate(values) }
  const itemSchema = media.itemSchema ?? media.schema
  if (itemSchema === undefined) return fine
  const validate = document.validator(itemSchema, direction, options)
  const errors: SchemaError[] = []
  for (const [i, value] of values.entries()) {
    for (const error of validate(value)) errors.push({ ...error, pointer: `/${i}${error.pointer}` })
    if (errors.length >= errorsMax) break
  }
  return { malformed: undefined, errors: errors.slice(0, errorsMax) }
}

function readForm(text: string, typed: Typed | undefined, encodings: Readonly<Record<string, Encoding>>): unknown {
  const pairs = splitPairs(text, formPairsMax)
  const object: Record<string, unknown> = {}
  const taken = new Set<string>()
  if (typed !== undefined)
    for (const name of typed.outline.properties.keys()) {
      const property = typed.property(name)!
      const encoding = encodings[name]
      const isJson = encoding?.contentType !== undefined && /\bjson\b/.test(encoding.contentType)
      const raw = pairs.find((pair) => pair.name === name)?.raw
      // Without an encoding, an object is written as JSON (OpenAPI 3.1, 4.8.15.1) or as a query would write it.
      const value =
        raw !== undefined &&
        (isJson || (encoding === undefined && isListed(property, 'object') && /^\s*\{/.test(decodeForm(raw))))
          ? parseStrictJson(Buffer.from(decodeForm(raw)))
          : readFromPairs(pairs, fieldWriting(name, encoding), property, taken)
      if (value === undefined) continue
      taken.add(name)
      set(object, name, value)
    }
  for (const { name, raw } of pairs) {
    if (taken.has(name)) continue
    if (Object.hasOwn(object, name)) {
      const before = object[name]
      set(object, name, Array.isArray(before) ? [...before, decodeForm(raw)] : [before, decodeForm(raw)])
    } else set(object, name, decodeForm(raw))
  }
  return object
}

function set(object: Record<string, unknown>, name: string, value: unknown): void {
  if (name === '__proto__') throw new SerializationError('expected no field of the name "__proto__"')
  object[name] = value
}

function readParts(
  parts: readonly FormPart[],
  typed: Typed | undefined,
  encodings: Readonly<Record<string, Encoding>>,
  errors: SchemaError[],
): unknown {
  const lists = new Map<string, unknown[]>()
  for (const part of parts) {
    const list = lists.get(part.name)
    const property = typed?.property(part.name)
    const type = property !== undefined && isListed(property, 'array') ? property.item : property
    const value = readPart(part, type, Object.hasOwn(encodings, part.name) ? encodings[part.name] : undefined, errors)
    if (list === undefined) lists.set(part.name, [value])
    else list.push(value)
  }
  const object: Record<string, unknown> = {}
  for (const [name, values] of lists) {
    const property = typed?.property(name)
    const isArray = property !== undefined && isListed(property, 'array')
    // A part that is JSON itself may be the whole list.
    const whole = isArray && values.length === 1 && Array.isArray(values[0]) ? values[0] : values
    if (!isArray && values.length > 1 && property !== undefined) {
      errors.push({ pointer: `/${name}`, keyword: 'multipart', detail: 'expected this part once' })
    }
    set(object, name, isArray ? whole : values.length === 1 ? values[0] : values)
  }
  return object
}

function readPart(
  part: FormPart,
  typed: Typed | undefined,
  encoding: Encoding | undefined,
  errors: SchemaError[],
): unknown {
  const fail = (detail: string) => {
    errors.push({ pointer: `/${part.name}`, keyword: 'contentType', detail })
  }
  const type = parseMediaType(part.contentType ?? 'text/plain')
  if (type === undefined) {
    fail('expected a media type in the Content-Type of this part')
    return ''
  }
  if (encoding?.contentType !== undefined) {
    const allowed = encoding.contentType.split(',').flatMap((range) => parseMediaType(range.trim()) ?? [])
    if (allowed.length > 0 && !allowed.some((range) => coverage(range, type) > 0))
      fail(`expected a part of type ${encoding.contentType}, got another type`)
  }
  if (part.body.length > 0 && !beginsLike(type.essence, part.body))
    fail(`expected the bytes of ${type.essence}, got others`)
  const wantsObject =
    typed !== undefined && (isListed(typed, 'object') || isListed(typed, 'array')) && !typed.outline.types.has('string')
  if (readingOf(type) === 'json' || (wantsObject && part.contentType === undefined && part.fileName === undefined))
    return parseStrictJson(part.body)
  const isFile = part.fileName !== undefined || readingOf(type) === 'opaque'
  // A file's length is in bytes; its characters are nobody's business.
  if (isFile) return part.body.toString('latin1')
  const text = utf8(part.body)
  if (text === undefined) {
    fail('expected text in UTF-8')
    return ''
  }
  return readScalar(text, typed)
}

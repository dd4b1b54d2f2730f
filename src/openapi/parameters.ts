import type { IncomingHttpHeaders } from 'node:http'
import { JsonError, parseStrictJson } from '../base/json.ts'
import { isJson, parseMediaType } from './media-types.ts'
import type { Operation, Parameter } from './operation.ts'
import {
  decodeForm,
  decodePercent,
  fieldWriting,
  isListed,
  type Pair,
  readFromPairs,
  readFromText,
  readScalar,
  SerializationError,
  splitPairs,
  type Typed,
  typedSchema,
} from './serialization.ts'

/** One place outside the body that does not fit. The value is never repeated. */
export interface ParameterError {
  /** The parameter's name, followed by a JSON Pointer where a part of it is meant. */
  readonly pointer: string
  readonly in: 'path' | 'query' | 'header' | 'cookie'
  readonly detail: string
}

/** What a request brings outside its body. */
export interface ParameterInput {
  /** Values of the path template in order, still percent-encoded. */
  readonly pathValues: readonly string[]
  /** Without the `?`. */
  readonly query: string
  readonly headers: IncomingHttpHeaders
}

export interface ParameterOptions {
  /** Query parameters that the document does not list. */
  readonly unknownQuery: 'refuse' | 'allow'
  /** Query parameters that are always let through, such as those of a tracing tool. */
  readonly ignoredQuery?: readonly string[]
  /** Properties that no schema lists, in parameters that are objects. */
  readonly unknownProperties?: 'refuse' | 'allow'
}

export interface ParameterResult {
  /** By `<in>.<name>`, as the schema reads them; those that could be read. */
  readonly values: Readonly<Record<string, unknown>>
  readonly errors: readonly ParameterError[]
}

const queryPairsMax = 1_000
const errorsMax = 50
const nothing: ParameterResult = { values: {}, errors: [] }

/**
 * Prepares the check of an operation's path, query, header and cookie parameters. `undefined`: there is nothing to
 * check. Schemas are compiled with the first request.
 */
export function compileParameters(
  operation: Operation,
  options: ParameterOptions,
): ((input: ParameterInput) => ParameterResult) | undefined {
  const refuses = options.unknownQuery === 'refuse'
  if (operation.parameters.length === 0 && !refuses) return undefined
  let compiled: Compiled | undefined
  const idle =
    // Values of the template are looked at even where the document forgets to list them.
    !operation.path.includes('{') &&
    operation.parameters.every((parameter) => parameter.in === 'query' && !parameter.required) &&
    // A body of its own decides what an absent query string means.
    !operation.parameters.some((parameter) => parameter.in === 'querystring')
  return (input) => {
    if (idle && input.query === '') return nothing
    compiled ??= compile(operation, options)
    return check(compiled, input, refuses)
  }
}

interface Compiled {
  /** Path parameters in the order of the template. */
  readonly path: readonly (Reader | undefined)[]
  readonly names: readonly string[]
  readonly query: readonly Reader[]
  readonly querystring: Reader | undefined
  readonly headers: readonly Reader[]
  readonly cookies: readonly Reader[]
  /** Names that are allowed without being parameters, such as an API key's. */
  readonly known: ReadonlySet<string>
  readonly takesAnything: boolean
}

interface Reader {
  readonly parameter: Parameter
  readonly typed: Typed | undefined
  readonly isJson: boolean
  readonly header: string
}

function compile(operation: Operation, options: ParameterOptions): Compiled {
  const { document } = operation
  const unknown = options.unknownProperties ?? 'refuse'
  const readers = operation.parameters.map((parameter): Reader => {
    const schema = parameter.schema ?? parameter.content?.schema
    return {
      parameter,
      typed: schema === undefined ? undefined : typedSchema(document, schema, 'request', unknown),
      isJson: parameter.content !== undefined && isJson(parseMediaType(parameter.content.type)),
      header: parameter.name.toLowerCase(),
    }
  })
  const of = (place: Parameter['in']) => readers.filter(({ parameter }) => parameter.in === place)
  const names = [...operation.path.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1]!)
  const path = of('path')
  const credentials = [...document.securitySchemes.values()].flatMap((scheme) =>
    scheme.in === 'query' && scheme.parameterName !== undefined ? [scheme.parameterName] : [],
  )
  const query = of('query')
  return {
    path: names.map((name) => path.find(({ parameter }) => parameter.name === name)),
    names,
    // An object without a list of properties takes what the others leave, so it comes last.
    query: [...query.filter((reader) => !takesRest(reader)), ...query.filter(takesRest)],
    querystring: of('querystring')[0],
    headers: of('header'),
    cookies: of('cookie'),
    known: new Set([...credentials, ...(options.ignoredQuery ?? [])]),
    takesAnything: options.unknownQuery === 'allow',
  }
}

function takesRest({ parameter, typed }: Reader): boolean {
  return (
    parameter.style === 'form' &&
    parameter.explode &&
    typed !== undefined &&
    isListed(typed, 'object') &&
    typed.outline.open
  )
}

function check(compiled: Compiled, input: ParameterInput, refusesUnknown: boolean): ParameterResult {
  const values: Record<string, unknown> = Object.create(null)
  const errors: ParameterError[] = []
  for (const [i, reader] of compiled.path.entries()) {
    const text = input.pathValues[i]
    if (text === undefined) continue
    // Servlet containers cut `;…` off a segment before they route, so `/admin;.json` is `/admin` to them. `%3B` is not.
    if (text.includes(';') && reader?.parameter.style !== 'matrix') {
      errors.push({ pointer: compiled.names[i]!, in: 'path', detail: 'expected the semicolon percent-encoded' })
      continue
    }
    if (reader !== undefined) judge(reader, 'path', values, errors, () => readText(reader, text, decodePercent))
  }
  if (compiled.querystring !== undefined) {
    const reader = compiled.querystring
    judge(reader, 'query', values, errors, () => readQueryString(reader, input.query))
  } else checkQuery(compiled, input.query, refusesUnknown, values, errors)
  for (const reader of compiled.headers) {
    const sent = input.headers[reader.header]
    judge(reader, 'header', values, errors, () => {
      if (sent === undefined) return undefined
      return readText(reader, Array.isArray(sent) ? sent.join(',') : sent, same)
    })
  }
  if (compiled.cookies.length > 0) checkCookies(compiled, input.headers.cookie, values, errors)
  return { values, errors }
}

function same(text: string): string {
  return text
}

function checkQuery(
  compiled: Compiled,
  query: string,
  refusesUnknown: boolean,
  values: Record<string, unknown>,
  errors: ParameterError[],
): void {
  let pairs: readonly Pair[]
  try {
    pairs = splitPairs(query, queryPairsMax)
  } catch (error) {
    if (!(error instanceof SerializationError)) throw error
    errors.push({ pointer: '', in: 'query', detail: error.message })
    return
  }
  const taken = new Set<string>()
  for (const reader of compiled.query) {
    const { parameter, typed } = reader
    if (typed === undefined || parameter.content !== undefined) taken.add(parameter.name)
    judge(reader, 'query', values, errors, () => {
      if (typed !== undefined && parameter.content === undefined) {
        const isEmpty =
          parameter.allowEmptyValue && pairs.some(({ name, raw }) => name === parameter.name && raw === '')
        if (isEmpty) {
          taken.add(parameter.name)
          return empty
        }
        return readFromPairs(pairs, parameter, typed, taken)
      }
      const sent = pairs.filter(({ name }) => name === parameter.name)
      if (sent.length > 1) throw new SerializationError('expected it once')
      return sent.length === 0 ? undefined : readText(reader, decodeForm(sent[0]!.raw), same)
    })
  }
  if (!refusesUnknown) return
  for (const { name } of pairs) {
    if (taken.has(name) || compiled.known.has(name)) continue
    taken.add(name) // Told once, however often it stands there.
    if (errors.length < errorsMax)
      errors.push({
        pointer: clip(name),
        in: 'query',
        detail: 'expected no such parameter: the document does not list it',
      })
  }
}

/** Names come from the caller, so what is repeated of them is bounded. */
function clip(name: string): string {
  return name.length > 100 ? `${name.slice(0, 100)}…` : name
}

/** A parameter that is there, without a value, where the document allows that. */
const empty = Symbol('empty')

function checkCookies(
  compiled: Compiled,
  header: string | undefined,
  values: Record<string, unknown>,
  errors: ParameterError[],
): void {
  const pairs: Pair[] = []
  for (const part of (header ?? '').split(';')) {
    const equals = part.indexOf('=')
    if (equals > 0) pairs.push({ name: part.slice(0, equals).trim(), raw: part.slice(equals + 1).trim() })
  }
  for (const reader of compiled.cookies) {
    const { parameter, typed } = reader
    judge(reader, 'cookie', values, errors, () => {
      const sent = pairs.find(({ name }) => name === parameter.name)
      if (parameter.content !== undefined || typed === undefined)
        return sent === undefined ? undefined : readText(reader, decodePercent(sent.raw), same)
      // Cookies are not encoded like forms: a plus is a plus (RFC 6265, 4.1.1).
      const decoded = pairs.map(({ name, raw }) => ({ name, raw: raw.replaceAll('+', '%2B') }))
      return readFromPairs(decoded, parameter, typed, new Set())
    })
  }
}

function readText(reader: Reader, text: string, decode: (text: string) => string): unknown {
  const { parameter, typed } = reader
  if (parameter.content !== undefined) {
    const decoded = decode(text)
    if (!reader.isJson) return typed === undefined ? decoded : readScalar(decoded, typed)
    return readJson(decoded)
  }
  return typed === undefined ? decode(text) : readFromText(text, parameter, typed, decode)
}

function readJson(text: string): unknown {
  try {
    return parseStrictJson(Buffer.from(text))
  } catch (error) {
    if (error instanceof JsonError) throw new SerializationError(`expected JSON: ${error.message}`)
    throw error
  }
}

/** OpenAPI 3.2: the whole query is one value of a media type. */
function readQueryString(reader: Reader, query: string): unknown {
  const { typed } = reader
  if (query === '' || typed === undefined) return query === '' ? undefined : query
  if (reader.isJson) return readJson(decodePercent(query))
  const pairs = splitPairs(query, queryPairsMax)
  const encoding = reader.parameter.content?.encoding ?? {}
  const object: Record<string, unknown> = Object.create(null)
  for (const { name, raw } of pairs) {
    const property = typed.property(name)
    if (name === '__proto__' || Object.hasOwn(object, name)) continue
    object[name] =
      property === undefined
        ? decodeForm(raw)
        : readFromPairs(pairs, fieldWriting(name, encoding[name]), property, new Set())
  }
  return object
}

function judge(
  reader: Reader,
  place: ParameterError['in'],
  values: Record<string, unknown>,
  errors: ParameterError[],
  read: () => unknown,
): void {
  if (errors.length >= errorsMax) return
  const { name, required } = reader.parameter
  let value: unknown
  try {
    value = read()
  } catch (error) {
    if (!(error instanceof SerializationError)) throw error
    errors.push({ pointer: name, in: place, detail: error.message })
    return
  }
  if (value === empty) return
  if (value === undefined) {
    if (required) errors.push({ pointer: name, in: place, detail: 'expected this parameter, got nothing' })
    return
  }
  values[`${place}.${name}`] = value
  if (reader.typed === undefined) return
  for (const { pointer, detail } of reader.typed.validate(value)) {
    if (errors.length >= errorsMax) return
    errors.push({ pointer: name + pointer, in: place, detail })
  }
}

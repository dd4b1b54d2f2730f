import { readFile, stat } from 'node:fs/promises'
import { resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError, messageOf, type Place } from '../base/errors.ts'
import { Complaints, type Spot } from './complaints.ts'
import type { ApiDocument, Operation } from './operation.ts'
import { canonicalBasePath } from './paths.ts'
import { isObject, type JsonObject, toPointer, valueAt } from './pointer.ts'
import { mergePolicy, type PolicyLayer, policyLayer } from './policy.ts'
import { finishOperations, mediaTypes, readOperations } from './read-operations.ts'
import { SecuritySchemes } from './read-security.ts'
import { type Reading, under } from './reading.ts'
import { type Dialect, dialectOf, References } from './references.ts'
import { createMarks } from './schema-marks.ts'
import { Schemas } from './schemas.ts'
import { serverPath } from './servers.ts'
import { parseSource, type Source, textCharactersMax } from './source.ts'
import { createValidators } from './validators.ts'

export interface LoadOptions {
  /** The document: a path, 2.0 to 3.2, YAML or JSON. */
  readonly file: string
  /** OpenAPI Overlay files, applied in order. */
  readonly overlays?: readonly string[]
  /** The API's name in the configuration. */
  readonly api: string
  readonly version?: string
  /** Where the paths are mounted, in place of what the document's servers say. */
  readonly basePath?: string
  /** Gives the text of a file by its absolute path. Default: the file system. */
  readonly read?: (file: string) => Promise<string>
}

/** What the reader knows of a document beyond its public face. */
interface Behind {
  readonly api: string
  readonly version: string | undefined
  readonly layers: readonly PolicyLayer[]
  readonly complaints: Complaints
}

const behindDocuments = new WeakMap<ApiDocument, Behind>()
const layersOf = new WeakMap<Operation, readonly PolicyLayer[]>()

/**
 * Reads an OpenAPI document with its overlays and the files it refers to. Throws `ConfigError` or `ConfigErrors`, each
 * with its place, when it cannot be served; what is odd but clear becomes a warning.
 */
export async function loadDocument(options: LoadOptions): Promise<ApiDocument> {
  const read = options.read ?? readText
  const { root, files, complaints } = await readWithOverlays(options)
  const references = new References(root, requireDialect(root, complaints))
  await references.load(read)
  for (const uri of references.sources.keys()) files.add(fileURLToPath(uri))
  const reading: Reading = { references, schemas: new Schemas(references, complaints), complaints }
  const document = buildDocument(reading, options, [...files])
  complaints.throwErrors()
  // From here on places are asked for rarely: the parsed forms need not stay.
  for (const source of references.sources.values()) source.release()
  return document
}

/** The root document as its overlays leave it, in the version it is written in. */
export async function readWithOverlays(
  options: Pick<LoadOptions, 'file' | 'overlays' | 'read'>,
): Promise<{ readonly root: Source; readonly files: Set<string>; readonly complaints: Complaints }> {
  const read = options.read ?? readText
  const complaints = new Complaints()
  const root = await readSource(options.file, read, 'The OpenAPI document')
  const files = new Set([fileURLToPath(root.uri)])
  const overlays = options.overlays ?? []
  if (overlays.length === 0) return { root, files, complaints }
  const { applyOverlay } = await import('./overlay.ts')
  for (const file of overlays) {
    const overlay = await readSource(file, read, 'The overlay')
    files.add(fileURLToPath(overlay.uri))
    applyOverlay(root, overlay, complaints)
  }
  return { root, files, complaints }
}

async function readSource(file: string, read: (file: string) => Promise<string>, what: string): Promise<Source> {
  const path = resolve(file)
  let text: string
  try {
    text = await read(path)
  } catch (cause) {
    throw new ConfigError('P2001', `${what} cannot be read: ${messageOf(cause)}`, { cause })
  }
  return parseSource(pathToFileURL(path).href, file, text)
}

async function readText(file: string): Promise<string> {
  // A device or a pipe would never end, and a reference may name one.
  const info = await stat(file)
  if (!info.isFile()) throw new Error('it is not a file')
  if (info.size > 2 * textCharactersMax) throw new Error(`it has ${info.size} bytes, too many for a document`)
  return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file))
}

function requireDialect(root: Source, complaints: Complaints): Dialect {
  const dialect = dialectOf(root.root)
  if (dialect !== undefined) return dialect
  const top: Spot = { source: root, pointer: '' }
  if (!isObject(root.root)) {
    throw new ConfigError('P2005', 'not an OpenAPI document: it should be a map', { place: complaints.place(top) })
  }
  for (const key of ['openapi', 'swagger']) {
    if (!Object.hasOwn(root.root, key)) continue
    const place = complaints.place({ source: root, pointer: `/${key}` }, 'value')
    const message = `${key} ${JSON.stringify(root.root[key])} is not supported; 2.0, 3.0, 3.1 and 3.2 are`
    throw new ConfigError('P2005', message, { place })
  }
  throw new ConfigError('P2005', 'not an OpenAPI document: it says neither openapi nor swagger', {
    place: complaints.place(top),
    hint: 'the first line of a document is its version, such as openapi: 3.1.0',
  })
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] }

function buildDocument(reading: Reading, options: LoadOptions, files: readonly string[]): ApiDocument {
  const { references, complaints } = reading
  const root = references.root.root as JsonObject
  const top: Spot = { source: references.root, pointer: '' }
  const schemes = new SecuritySchemes(reading, root, top)
  const layer = policyLayer(root, top, complaints)
  const layers = layer === undefined ? [] : [layer]
  const drafts = readOperations(reading, root, top, {
    security: schemes.read(root, top),
    schemes,
    layers,
    consumes: mediaTypes(root.consumes),
    produces: mediaTypes(root.produces),
    ownServers: options.basePath === undefined,
  })
  takeUnused(reading, root, top)
  let basePath = options.basePath === undefined ? documentPath(reading, root, top) : canonicalBasePath(options.basePath)
  // Operations with servers of their own lie elsewhere; then nothing is common to all.
  if (drafts.some((draft) => draft.basePath !== undefined && draft.basePath !== basePath)) {
    for (const draft of drafts) draft.basePath ??= basePath
    basePath = ''
  }
  const info = isObject(root.info) ? root.info : {}
  const written = String(root.openapi ?? root.swagger)
  const resources = new Map([...references.sources].map(([uri, source]) => [uri, source.root]))
  const document: Mutable<ApiDocument> = {
    title: typeof info.title === 'string' ? info.title : options.api,
    version: typeof info.version === 'string' || typeof info.version === 'number' ? String(info.version) : '',
    openapi: written,
    basePath,
    operations: [],
    securitySchemes: schemes.usable,
    files,
    warnings: [],
    validator: placedValidator(references, complaints, { openapi: written, resources }),
    marks: createMarks(resources),
  }
  const owner = { api: options.api, version: options.version, document }
  const operations = finishOperations(reading, drafts, basePath, owner)
  for (const [index, operation] of operations.entries()) layersOf.set(operation, drafts[index]!.layers)
  document.operations = operations
  document.warnings = complaints.allWarnings()
  behindDocuments.set(document, { ...owner, layers, complaints })
  return document
}

/** What no operation reaches is read too, so that its mistakes are told; they stop nothing. */
function takeUnused({ schemas, complaints }: Reading, root: JsonObject, top: Spot): void {
  complaints.lenient = true
  const components = isObject(root.components) ? root.components : {}
  for (const [holder, place] of [
    [root.definitions, under(top, 'definitions')],
    [components.schemas, under(under(top, 'components'), 'schemas')],
  ] as const) {
    if (!isObject(holder)) continue
    for (const name of Object.keys(holder)) schemas.take(holder, name, under(place, name))
  }
  complaints.lenient = false
}

function documentPath({ references, complaints }: Reading, root: JsonObject, top: Spot): string {
  if (references.dialect(references.root) !== '2.0') return serverPath(root, top, complaints) ?? ''
  if (root.basePath === undefined || root.basePath === null) return ''
  if (typeof root.basePath === 'string') return canonicalBasePath(root.basePath)
  complaints.error('P2017', under(top, 'basePath'), 'basePath must be a text such as /v1', { at: 'value' })
  return ''
}

/** Validators know values; this adds the line a schema stands on to what they complain about. */
function placedValidator(
  references: References,
  complaints: Complaints,
  { openapi, resources }: { readonly openapi: string; readonly resources: ReadonlyMap<string, unknown> },
): ApiDocument['validator'] {
  const compile = createValidators(resources, { openapi })
  return (schema, direction, options) => {
    try {
      return compile(schema, direction, options)
    } catch (error) {
      if (!(error instanceof ConfigError) || error.place !== undefined) throw error
      // The validators name a schema within by its URI, in front of what they say of it.
      const [, uri, message] = /^(file:\S+): (.*)$/s.exec(error.message) ?? [undefined, schema.uri, error.message]
      const place = placeOfUri(references, complaints, uri!) ?? placeOfUri(references, complaints, schema.uri)
      throw new ConfigError(error.code, message!, {
        ...(place === undefined ? {} : { place }),
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      })
    }
  }
}

function placeOfUri(references: References, complaints: Complaints, uri: string): Place | undefined {
  const [file, fragment = ''] = uri.split('#', 2)
  const source = references.sources.get(file!)
  return source === undefined ? undefined : complaints.place({ source, pointer: decodeURIComponent(fragment) })
}

/** The two operations that stand for what the document does not list: a path, and a method of a path it lists. */
export function unlistedOperations(document: ApiDocument): {
  readonly path: Operation
  readonly method: (allow: readonly string[], path: string) => Operation
} {
  const behind = behindDocuments.get(document)
  const unlisted = {
    api: behind?.api ?? document.operations[0]?.api ?? '',
    version: behind?.version,
    method: '*',
    tags: [],
    summary: undefined,
    deprecated: false,
    parameters: [],
    requestBody: undefined,
    responses: {},
    security: undefined,
    policy: mergePolicy(behind?.layers ?? []),
    place: undefined,
    document,
  } as const
  return {
    path: { ...unlisted, kind: 'unlisted-path', id: 'unlisted-path', path: '*', allow: [] },
    method: (allow, path) => ({ ...unlisted, kind: 'unlisted-method', id: `unlisted-method ${path}`, path, allow }),
  }
}

/**
 * Where a key of an operation's policy was written: the operation, its path or the document, whichever said it last.
 * `keys` lead from `x-portcullis` to the value, as in `['limits', 'rate']`.
 */
export function policyPlace(
  operation: Operation,
  keys: readonly string[],
  at: 'key' | 'value' = 'key',
): Place | undefined {
  const { document } = operation
  const behind = behindDocuments.get(document)
  const layers = layersOf.get(operation) ?? behind?.layers ?? []
  const layer = layers.findLast(({ value }) => keys.length === 0 || valueAt(value, keys) !== undefined) ?? layers.at(-1)
  if (behind === undefined || layer === undefined) return operation.place
  return behind.complaints.place({ source: layer.spot.source, pointer: layer.spot.pointer + toPointer(keys) }, at)
}

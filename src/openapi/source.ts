import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Node,
  type Pair,
  parseDocument,
  type Scalar,
  type YAMLMap,
} from 'yaml'
import { ConfigError, type ErrorCode, type Place } from '../base/errors.ts'
import { isObject, type JsonObject, setMember } from './pointer.ts'

/** Bounds on what is read as a document. The largest public ones (Microsoft Graph) have 47 MB and are 60 deep. */
export const textCharactersMax = 64 * 1024 * 1024
export const depthMax = 256
/** How many values YAML aliases may stand for in all: far more than a hand writes, far less than a bomb. */
export const aliasedValuesMax = 250_000

/** One file: its value, and the way back from a value to the line it stands on. */
export interface Source {
  /** Absolute `file:` URI. */
  readonly uri: string
  /** The path that messages show. */
  readonly file: string
  root: unknown
  /** Where the value that the keys lead to stands, or its key; the nearest one above it when it is not in the file. */
  readonly locate: (tokens: readonly string[], what: 'key' | 'value') => Place
  /** Lets the parsed form go. A later `locate` parses the text again. */
  readonly release: () => void
}

/** Reads YAML or JSON. Throws `ConfigError` with the exact place of what is wrong. */
export function parseSource(uri: string, file: string, written: string): Source {
  const text = written.charCodeAt(0) === 0xfeff ? written.slice(1) : written
  if (text.length > textCharactersMax) {
    throw new ConfigError('P2004', `the file has ${text.length} characters; at most ${textCharactersMax} are read`, {
      place: { file, line: 1, column: 1 },
    })
  }
  const lines = new Lines(file, text)
  if (file.toLowerCase().endsWith('.json')) return parseJsonSource(uri, lines)
  // JSON under another name is common, and every JSON text is YAML too, only slower to read.
  return /^\s*\{\s*["}]/.test(text) && isJson(text) ? parseJsonSource(uri, lines) : parseYamlSource(uri, lines)
}

// ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────

/*
 * JSON.parse reads a megabyte in some milliseconds where a parser that keeps positions needs half a second, and
 * positions are needed only by those who err. So values come from JSON.parse and positions on demand from the index.
 */
function parseJsonSource(uri: string, lines: Lines): Source {
  const { file, text } = lines
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch (cause) {
    throw jsonSyntaxError(lines, cause)
  }
  refuseDoubtfulJson(lines)
  let index: JsonIndex | undefined
  return {
    uri,
    file,
    root,
    locate(tokens, what) {
      index ??= indexJson(text)
      let node = index
      let key: JsonMember | undefined
      for (const token of tokens) {
        const next = node.members?.get(token)
        const item = next?.value ?? node.items?.[Number(token)]
        if (item === undefined) break
        key = next
        node = item
      }
      const [start, end] = what === 'key' && key !== undefined ? [key.start, key.end] : [node.start, node.end]
      return lines.place(start, end)
    },
    release() {
      index = undefined
      lines.release()
    },
  }
}

/** Refuses JSON that nests too deep, or where a key stands twice: which of the two counts depends on the reader. */
function refuseDoubtfulJson(lines: Lines): void {
  const { text } = lines
  const open: (Set<string> | undefined)[] = []
  let keys: Set<string> | undefined
  let expectsKey = false
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case 0x22: {
        const start = i
        i = endOfJsonString(text, start)
        if (expectsKey && keys !== undefined) {
          expectsKey = false
          const raw = text.slice(start + 1, i)
          const key = raw.includes('\\') ? (JSON.parse(`"${raw}"`) as string) : raw
          if (keys.has(key)) throw duplicateKey(lines.place(start, i + 1), key)
          keys.add(key)
        }
        break
      }
      case 0x7b:
      case 0x5b:
        keys = text.charCodeAt(i) === 0x7b ? new Set() : undefined
        expectsKey = keys !== undefined
        open.push(keys)
        if (open.length > depthMax) throw tooDeep(lines.place(i, i + 1))
        break
      case 0x7d:
      case 0x5d:
        open.pop()
        keys = open.at(-1)
        expectsKey = false
        break
      case 0x2c:
        expectsKey = keys !== undefined
    }
  }
}

/** The index of the closing quote of the string that opens at `start`. The text is known to be valid. */
function endOfJsonString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1)
  while (end !== -1) {
    let slashes = 0
    while (text.charCodeAt(end - 1 - slashes) === 0x5c) slashes++
    if (slashes % 2 === 0) return end
    end = text.indexOf('"', end + 1)
  }
  return text.length
}

interface JsonMember {
  readonly start: number
  readonly end: number
  readonly value: JsonIndex
}

interface JsonIndex {
  readonly start: number
  readonly end: number
  readonly members?: ReadonlyMap<string, JsonMember>
  readonly items?: readonly JsonIndex[]
}

class JsonSyntaxError extends Error {
  readonly offset: number
  constructor(offset: number, message: string) {
    super(message)
    this.offset = offset
  }
}

const jsonWord = /(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)(?![\w.+-])/y

/** Where every value and key of a JSON text stands. Throws `JsonSyntaxError` at the first thing that is no JSON. */
function indexJson(text: string): JsonIndex {
  let at = 0
  const skip = () => {
    while (at < text.length && ' \t\n\r'.includes(text[at]!)) at++
  }
  const fail = (expected: string): never => {
    const found = at >= text.length ? 'the end of the file' : JSON.stringify(text[at])
    throw new JsonSyntaxError(Math.min(at, text.length), `expected ${expected}, found ${found}`)
  }
  const string = (): string => {
    const start = at
    at = Math.min(text.length, endOfJsonString(text, start) + 1)
    try {
      return JSON.parse(text.slice(start, at)) as string
    } catch {
      at = start
      return fail('a text that ends on its line, with valid escapes')
    }
  }
  const value = (depth: number): JsonIndex => {
    if (depth > depthMax) throw new JsonSyntaxError(at, `nested more than ${depthMax} levels deep`)
    skip()
    const start = at
    const first = text[at]
    if (first === '{') {
      const members = new Map<string, JsonMember>()
      at++
      skip()
      if (text[at] === '}') at++
      else {
        for (;;) {
          skip()
          if (text[at] !== '"') fail('a key in double quotes')
          const keyStart = at
          const key = string()
          const keyEnd = at
          skip()
          if (text[at] !== ':') fail('":" after the key')
          at++
          members.set(key, { start: keyStart, end: keyEnd, value: value(depth + 1) })
          skip()
          if (text[at] === '}') break
          if (text[at] !== ',') fail('"," or "}"')
          at++
        }
        at++
      }
      return { start, end: at, members }
    }
    if (first === '[') {
      const items: JsonIndex[] = []
      at++
      skip()
      if (text[at] === ']') at++
      else {
        for (;;) {
          items.push(value(depth + 1))
          skip()
          if (text[at] === ']') break
          if (text[at] !== ',') fail('"," or "]"')
          at++
        }
        at++
      }
      return { start, end: at, items }
    }
    if (first === '"') {
      string()
      return { start, end: at }
    }
    jsonWord.lastIndex = at
    if (!jsonWord.test(text)) return fail('a value')
    at = jsonWord.lastIndex
    return { start, end: at }
  }
  const root = value(0)
  skip()
  if (at < text.length) fail('the end of the file')
  return root
}

function jsonSyntaxError(lines: Lines, cause: unknown): ConfigError {
  try {
    indexJson(lines.text)
  } catch (error) {
    if (error instanceof JsonSyntaxError) {
      const place = lines.place(error.offset, error.offset + 1)
      return new ConfigError('P2002', `not valid JSON: ${error.message}`, { place })
    }
  }
  return new ConfigError('P2002', 'not valid JSON', { place: lines.place(0, 1), cause })
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false
  }
}

// ── YAML ────────────────────────────────────────────────────────────────────────────────────────────────────────

function parseYamlSource(uri: string, lines: Lines): Source {
  const { file } = lines
  let document: Document.Parsed | undefined = parseYaml(lines)
  const root = yamlToValue(document, lines)
  return {
    uri,
    file,
    root,
    locate(tokens, what) {
      document ??= parseYaml(lines)
      let node: Node | null = document.contents
      let key: Node | undefined
      for (const token of tokens) {
        const next = yamlMember(document, node, token)
        if (next === undefined) break
        key = next.key
        // An empty value has no text of its own; its key stands for it.
        node = next.value ?? next.key ?? node
      }
      const range = (what === 'key' ? (key ?? node) : node)?.range
      return range == null ? { file, line: 1, column: 1 } : lines.place(range[0], range[1])
    },
    release() {
      document = undefined
      lines.release()
    },
  }
}

function parseYaml(lines: Lines): Document.Parsed {
  const { file, text } = lines
  let document: Document.Parsed
  try {
    // Keys are compared below, in linear time; the library's own check is quadratic.
    document = parseDocument(text, { uniqueKeys: false, prettyErrors: false, strict: true, logLevel: 'silent' })
  } catch (cause) {
    // The composer is recursive: only nesting can exhaust it.
    if (cause instanceof RangeError) throw tooDeep({ file, line: 1, column: 1 })
    throw new ConfigError('P2002', 'not valid YAML', { place: { file, line: 1, column: 1 }, cause })
  }
  const [error] = document.errors
  if (error !== undefined) {
    if (error.message.includes('call stack')) throw tooDeep(lines.place(error.pos[0], error.pos[1]))
    const place = lines.place(error.pos[0], error.pos[1])
    throw new ConfigError('P2002', `not valid YAML: ${error.message}`, { place })
  }
  return document
}

/** The key and value nodes of a member, through aliases and merge keys. */
function yamlMember(
  document: Document,
  container: Node | null,
  token: string,
  depth = 0,
): { readonly key: Node | undefined; readonly value: Node | null } | undefined {
  const node = isAlias(container) ? (container.resolve(document) as Node | undefined) : container
  if (isSeq(node)) {
    const item = node.items[Number(token)] as Node | undefined
    return item === undefined ? undefined : { key: undefined, value: item }
  }
  if (!isMap(node) || depth > depthMax) return undefined
  let merged: { readonly key: Node | undefined; readonly value: Node | null } | undefined
  for (const pair of node.items as Pair<Node, Node | null>[]) {
    if (isScalar(pair.key) && yamlKey(pair.key) === token) return { key: pair.key, value: pair.value }
    if (isScalar(pair.key) && isMergeKey(pair.key)) {
      const sources = isSeq(pair.value) ? (pair.value.items as Node[]) : [pair.value]
      for (const source of sources) merged ??= yamlMember(document, source, token, depth + 1)
    }
  }
  return merged
}

function isMergeKey(key: Scalar): boolean {
  return key.type === 'PLAIN' && key.source === '<<'
}

/** Keys are text: `200:` is the key "200" and `1.0:` the key "1.0", as written. */
function yamlKey(key: Scalar): string {
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value))
}

/** Versions that YAML would read as numbers: `swagger: 2.0` means "2.0", not 2, and so does `version: 1.0` of `info`. */
function isVersionText(key: string, depth: number): boolean {
  return depth === 0 ? key === 'swagger' || key === 'openapi' || key === 'overlay' : depth === 1 && key === 'version'
}

function yamlToValue(document: Document.Parsed, lines: Lines): unknown {
  const { file } = lines
  const anchors = new Map<string, { readonly value: unknown; readonly size: number } | undefined>()
  let size = 0
  let aliased = 0
  const fail = (code: ErrorCode, node: Node | null, message: string, hint?: string): never => {
    const range = node?.range
    const place = range == null ? { file, line: 1, column: 1 } : lines.place(range[0], range[1])
    throw new ConfigError(code, message, hint === undefined ? { place } : { place, hint })
  }

  const convert = (node: Node | null, depth: number): unknown => {
    if (node === null) return null
    if (depth > depthMax) throw tooDeep(lines.place(node.range?.[0] ?? 0, (node.range?.[0] ?? 0) + 1))
    if (isAlias(node)) {
      if (!anchors.has(node.source)) fail('P2002', node, `nothing is anchored as "&${node.source}" above`)
      const anchored = anchors.get(node.source)
      if (anchored === undefined) return fail('P2004', node, 'an alias stands within what it refers to')
      size += anchored.size
      aliased += anchored.size
      if (aliased > aliasedValuesMax) {
        fail('P2004', node, `the aliases stand for more than ${aliasedValuesMax} values`, 'use $ref instead of aliases')
      }
      // A copy: what an overlay changes in one place must not change in all.
      return structuredClone(anchored.value)
    }
    const { anchor } = node as { anchor?: string }
    const sizeBefore = size
    if (anchor !== undefined) anchors.set(anchor, undefined)
    const value = convertOwn(node, depth)
    size++
    if (anchor !== undefined) anchors.set(anchor, { value, size: size - sizeBefore })
    return value
  }

  const convertOwn = (node: Node, depth: number): unknown => {
    if (isScalar(node)) return scalarValue(node)
    if (isSeq(node)) return (node.items as (Node | null)[]).map((item) => convert(item, depth + 1))
    if (isMap(node)) return convertMap(node as YAMLMap<Node, Node | null>, depth)
    return fail('P2002', node, 'neither map, list nor plain value')
  }

  const convertMap = (map: YAMLMap<Node, Node | null>, depth: number): JsonObject => {
    const object: JsonObject = {}
    const merged: JsonObject[] = []
    for (const { key, value } of map.items) {
      if (!isScalar(key)) return fail('P2002', (key as Node | null) ?? map, 'a key must be plain text')
      if (isMergeKey(key)) {
        const inherited = convert(value, depth + 1)
        for (const source of Array.isArray(inherited) ? inherited : [inherited]) {
          if (!isObject(source)) fail('P2002', value, 'a merge key "<<" takes a map or a list of maps')
          merged.push(source as JsonObject)
        }
        continue
      }
      const name = yamlKey(key)
      if (Object.hasOwn(object, name)) {
        throw duplicateKey(lines.place(key.range?.[0] ?? 0, key.range?.[1] ?? 1), name)
      }
      const converted = convert(value, depth + 1)
      setMember(object, name, isVersionText(name, depth) ? sourceText(value, converted) : converted)
    }
    // Keys that the map has itself win over merged ones, and earlier maps over later ones.
    for (const source of merged) {
      for (const [name, value] of Object.entries(source)) {
        if (!Object.hasOwn(object, name)) setMember(object, name, value)
      }
    }
    return object
  }

  return convert(document.contents, 0)
}

/** What JSON could say; dates and other values that a tag makes are read as they are written. */
function scalarValue(node: Scalar): unknown {
  const { value } = node
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'object' && value !== null) return node.source ?? null
  // `.inf` and `.nan` have no place in JSON.
  if (typeof value === 'number' && !Number.isFinite(value)) return node.source ?? null
  return value
}

function sourceText(node: Node | null, fallback: unknown): unknown {
  return isScalar(node) && typeof fallback === 'number' ? (node.source ?? String(fallback)) : fallback
}

// ── Places ──────────────────────────────────────────────────────────────────────────────────────────────────────

/** Offsets of a text as lines and columns. The line starts are found once, on first need. */
class Lines {
  readonly file: string
  readonly text: string
  #starts: number[] | undefined

  constructor(file: string, text: string) {
    this.file = file
    this.text = text
    this.#starts = undefined
  }

  place(start: number, end: number): Place {
    this.#starts ??= lineStarts(this.text)
    const starts = this.#starts
    let low = 0
    let high = starts.length
    while (high - low > 1) {
      const middle = (low + high) >>> 1
      if (starts[middle]! <= start) low = middle
      else high = middle
    }
    const lineEnd = (starts[low + 1] ?? this.text.length + 1) - 1
    const length = Math.max(1, Math.min(end, lineEnd) - start)
    return { file: this.file, line: low + 1, column: start - starts[low]! + 1, length }
  }

  release(): void {
    this.#starts = undefined
  }
}

function lineStarts(text: string): number[] {
  const starts = [0]
  for (let next = text.indexOf('\n'); next !== -1; next = text.indexOf('\n', next + 1)) starts.push(next + 1)
  return starts
}

function duplicateKey(place: Place, key: string): ConfigError {
  return new ConfigError('P2003', `the key ${JSON.stringify(key)} stands twice in one map`, {
    place,
    hint: 'which of the two counts would depend on the reader; remove one',
  })
}

function tooDeep(place: Place): ConfigError {
  return new ConfigError('P2004', `nested more than ${depthMax} levels deep`, { place })
}

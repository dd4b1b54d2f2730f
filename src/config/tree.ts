import { readFileSync, statSync } from 'node:fs'
import { extname } from 'node:path'
import { type Alias, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, type Node as YamlNode } from 'yaml'
import { ConfigError, type ErrorCode, messageOf, type Place } from '../base/errors.ts'

/**
 * A configuration as it was written, before anybody asks what it means: values with the places they stand at. Layers
 * are merged in this form, so that every value keeps the file that wrote it.
 */
export type Tree = MapTree | ListTree | ScalarTree

export interface MapTree {
  readonly kind: 'map'
  readonly place: Place
  readonly entries: ReadonlyMap<string, Entry>
}

export interface Entry {
  readonly keyPlace: Place
  readonly tree: Tree
}

export interface ListTree {
  readonly kind: 'list'
  readonly place: Place
  readonly items: readonly Tree[]
}

export interface ScalarTree {
  readonly kind: 'scalar'
  readonly place: Place
  /** Text, number, boolean or null; from a module, also whatever else it holds, such as a function. */
  readonly value: unknown
  /** The text before placeholders were filled in; only where there were any. Errors show this, never the value. */
  readonly asWritten?: string
}

const bytesMax = 8 * 1024 * 1024
const depthMax = 64
const nodesMax = 200_000

/** Reads a YAML or JSON file, keeping positions. Throws `ConfigError`s with place. */
export function readTree(file: string): Tree {
  return parseTree(readText(file, 'P1001', bytesMax), file)
}

/** Reads a text file within a limit. Throws `ConfigError` with `code`, without the file's content. */
export function readText(file: string, code: ErrorCode, limit: number, place?: Place): string {
  const options = place === undefined ? {} : { place }
  try {
    const stat = statSync(file)
    if (stat.isDirectory()) throw new ConfigError(code, `${file} is a folder, not a file`, options)
    if (stat.size > limit) throw new ConfigError(code, `${file} is larger than ${limit} bytes`, options)
    return readFileSync(file, 'utf8')
  } catch (error) {
    if (error instanceof ConfigError) throw error
    const reason = (error as NodeJS.ErrnoException).code === 'ENOENT' ? 'there is no such file' : messageOf(error)
    throw new ConfigError(code, `cannot read ${file}: ${reason}`, options)
  }
}

/** Parses YAML 1.2 or JSON. JSON is read by the same parser, which knows where each value stands. */
export function parseTree(text: string, file: string): Tree {
  const lines = new LineCounter()
  const document = parseDocument(text, {
    lineCounter: lines,
    version: '1.2',
    schema: extname(file) === '.json' ? 'json' : 'core',
    strict: true,
    uniqueKeys: true,
    merge: false,
    prettyErrors: false,
    logLevel: 'silent',
  })
  const placeAt = (start: number, end: number = start): Place => {
    const { line, col } = lines.linePos(start)
    const lineEnd = text.indexOf('\n', start)
    const length = Math.max(1, Math.min(end, lineEnd === -1 ? text.length : lineEnd) - start)
    return { file, line: Math.max(1, line), column: Math.max(1, col), length }
  }
  const problem = document.errors[0] ?? document.warnings[0]
  if (problem !== undefined) {
    const duplicate = problem.code === 'DUPLICATE_KEY'
    throw new ConfigError(duplicate ? 'P1005' : 'P1002', duplicate ? 'this key stands twice' : tidy(problem.message), {
      place: placeAt(problem.pos[0], duplicate ? wordEnd(text, problem.pos[0]) : problem.pos[1]),
      ...hintOf(text, problem.pos[0]),
    })
  }

  let nodes = 0
  const convert = (node: YamlNode | null, at: Place, depth: number): Tree => {
    nodes++
    if (nodes > nodesMax) throw new ConfigError('P1003', `more than ${nodesMax} values`, { place: at })
    if (depth > depthMax) throw new ConfigError('P1003', `nested deeper than ${depthMax} levels`, { place: at })
    if (node === null) return { kind: 'scalar', place: at, value: null }
    const [start, end] = node.range ?? [0, 0]
    const place = placeAt(start, end)
    // An alias within its own anchor ends at the depth limit, a bomb of aliases at the node limit.
    if (isAlias(node)) return convert((node as Alias).resolve(document) ?? null, place, depth + 1)
    if (isScalar(node)) return { kind: 'scalar', place, value: node.value }
    if (isSeq(node)) {
      return { kind: 'list', place, items: node.items.map((item) => convert(item as YamlNode, place, depth + 1)) }
    }
    if (!isMap(node)) throw new ConfigError('P1002', 'this kind of YAML is not used here', { place })
    const entries = new Map<string, Entry>()
    for (const { key, value } of node.items) {
      const keyRange = (key as YamlNode).range ?? [start, start]
      const keyPlace = placeAt(keyRange[0], keyRange[1])
      if (!isScalar(key)) throw new ConfigError('P1002', 'a key must be plain text', { place: keyPlace })
      const name = String(key.value)
      // Never a name anybody needs, and the one that would change what an object inherits.
      if (name === '__proto__') throw new ConfigError('P1007', 'unknown key "__proto__"', { place: keyPlace })
      if (entries.has(name)) throw new ConfigError('P1005', 'this key stands twice', { place: keyPlace })
      entries.set(name, { keyPlace, tree: convert(value as YamlNode | null, keyPlace, depth + 1) })
    }
    return { kind: 'map', place, entries }
  }
  return convert(document.contents as YamlNode | null, placeAt(0), 0)
}

function wordEnd(text: string, start: number): number {
  return start + (/^[\w$.-]+/.exec(text.slice(start, start + 256))?.[0].length ?? 1)
}

function tidy(message: string): string {
  const first = message.split('\n', 1)[0]!.replace(/[.:]$/, '')
  return first.charAt(0).toLowerCase() + first.slice(1)
}

/** The two slips that YAML's own words do not explain. */
function hintOf(text: string, offset: number): { hint?: string } {
  const lineStart = text.lastIndexOf('\n', Math.max(0, offset - 1)) + 1
  const line = text.slice(lineStart, text.indexOf('\n', offset) === -1 ? undefined : text.indexOf('\n', offset))
  if (/[{,[:]\s*\$\{/.test(line) && /[{[]/.test(line.replace('${', ''))) return { hint: 'put quotes around "${…}"' }
  if (/^\s*\t/.test(line)) return { hint: 'YAML is indented with spaces, not tabs' }
  return {}
}

/** The tree of a value that a module exports: its place is the file. */
export function treeOf(value: unknown, file: string, depth = 0): Tree {
  const place: Place = { file, line: 1, column: 1 }
  if (depth > depthMax) throw new ConfigError('P1003', `nested deeper than ${depthMax} levels`, { place })
  if (Array.isArray(value)) {
    return { kind: 'list', place, items: value.map((item) => treeOf(item, file, depth + 1)) }
  }
  if (typeof value === 'object' && value !== null && isPlain(value)) {
    const entries = new Map<string, Entry>()
    for (const [name, item] of Object.entries(value)) {
      // `key: undefined` in a module means the same as no key.
      if (item !== undefined) entries.set(name, { keyPlace: place, tree: treeOf(item, file, depth + 1) })
    }
    return { kind: 'map', place, entries }
  }
  return { kind: 'scalar', place, value }
}

function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

/** Lays `over` upon `under`: maps are merged key by key, everything else is replaced. */
export function layer(under: Tree, over: Tree): Tree {
  if (under.kind !== 'map' || over.kind !== 'map') return over
  const entries = new Map(under.entries)
  for (const [name, entry] of over.entries) {
    const below = under.entries.get(name)
    entries.set(name, below === undefined ? entry : { ...entry, tree: layer(below.tree, entry.tree) })
  }
  return { kind: 'map', place: over.place, entries }
}

/** What stands at a path, with the place of the key (or list item) that leads there; nothing if nothing does. */
export function find(tree: Tree, path: readonly PropertyKey[]): Entry | undefined {
  let found: Entry = { keyPlace: tree.place, tree }
  for (const step of path) {
    const { tree: at } = found
    if (at.kind === 'map') {
      const entry = at.entries.get(String(step))
      if (entry === undefined) return undefined
      found = entry
    } else if (at.kind === 'list') {
      const item = at.items[Number(step)]
      if (item === undefined) return undefined
      found = { keyPlace: item.place, tree: item }
    } else return undefined
  }
  return found
}

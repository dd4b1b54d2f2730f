import { dirname, isAbsolute, resolve } from 'node:path'
import { fileMarkOf, type z } from './language.ts'
import type { Tree } from './tree.ts'

type Schema = z.core.$ZodType

/**
 * What a value may be at one point of a schema, with every wrapper (optional, default, lazy, transform) taken off and
 * every union opened.
 */
export function alternatives(schemas: readonly Schema[], depth = 0): readonly Schema[] {
  if (depth > 32) return []
  return schemas.flatMap((schema): readonly Schema[] => {
    // Marked as a file: whatever wraps the text, the mark must not be lost.
    if (fileMarkOf(schema) !== undefined) return [schema]
    const def = schema._zod.def as z.core.$ZodTypes['_zod']['def']
    switch (def.type) {
      case 'optional':
      case 'nullable':
      case 'default':
      case 'prefault':
      case 'nonoptional':
      case 'readonly':
      case 'catch':
        return alternatives([def.innerType], depth + 1)
      case 'lazy':
        return alternatives([def.getter()], depth + 1)
      case 'union':
        return alternatives(def.options, depth + 1)
      case 'intersection':
        return alternatives([def.left, def.right], depth + 1)
      case 'pipe':
        // What is written goes in at the front; a preprocessing step says nothing about it.
        return alternatives([def.in._zod.def.type === 'transform' ? def.out : def.in], depth + 1)
      default:
        return [schema]
    }
  })
}

/** What a value may be under a key, or at an index, of values that fit `schemas`. */
export function child(schemas: readonly Schema[], key: PropertyKey): readonly Schema[] {
  return alternatives(schemas).flatMap((schema): readonly Schema[] => {
    const def = schema._zod.def as z.core.$ZodTypes['_zod']['def']
    switch (def.type) {
      case 'object': {
        const inner = Object.hasOwn(def.shape, key) ? def.shape[key as string] : def.catchall
        return inner === undefined ? [] : [inner]
      }
      case 'record':
        return [def.valueType]
      case 'array':
        return [def.element]
      case 'tuple':
        return [def.items[Number(key)] ?? def.rest].filter((item): item is Schema => item != null)
      default:
        return []
    }
  })
}

/** The keys that a map may have at this point. */
export function keysOf(schemas: readonly Schema[]): readonly string[] {
  return alternatives(schemas).flatMap((schema) => {
    const def = schema._zod.def as z.core.$ZodTypes['_zod']['def']
    return def.type === 'object' ? Object.keys(def.shape) : []
  })
}

/**
 * The plain value of a tree, read with the schema in hand: paths become absolute, seen from the file that wrote them,
 * and the text of a variable becomes a number or a boolean where only that fits (`port: ${PORT}`). Files that are
 * read, and so worth watching, go to `files`.
 */
export function plainValue(tree: Tree, schemas: readonly Schema[], files: Set<string>): unknown {
  if (tree.kind === 'list') return tree.items.map((item, index) => plainValue(item, child(schemas, index), files))
  if (tree.kind === 'map') {
    const entries = [...tree.entries].map(([name, { tree: at }]) => [name, plainValue(at, child(schemas, name), files)])
    return Object.fromEntries(entries)
  }
  const { value } = tree
  if (typeof value !== 'string') return value
  const fitting = alternatives(schemas)
  const directory = dirname(tree.place.file)
  for (const schema of fitting) {
    const mark = fileMarkOf(schema)
    if (mark === undefined || !value.startsWith(mark.prefix)) continue
    const path = absolute(value.slice(mark.prefix.length), directory)
    if (mark.watched && isAbsolute(path)) files.add(path)
    return mark.prefix + path
  }
  if (tree.asWritten !== undefined) return plainOf(value, fitting)
  // `./deny.txt` and `list:./deny.txt` are paths wherever they stand.
  const path = /^(list:)?(\.\.?\/.*)$/s.exec(value)
  if (path === null) return value
  files.add(resolve(directory, path[2]!))
  return (path[1] ?? '') + resolve(directory, path[2]!)
}

/** A path as seen from `directory`; what is no path (PEM text, a URL, SQLite's `:memory:`) as it stands. */
function absolute(path: string, directory: string): string {
  if (path === '' || isAbsolute(path) || /[\n\r]|-----BEGIN |^[a-z][a-z0-9+.-]+:|^:/i.test(path)) return path
  return resolve(directory, path)
}

function plainOf(text: string, schemas: readonly Schema[]): unknown {
  const kinds = new Set(schemas.map((schema) => schema._zod.def.type))
  const onlyPlain = kinds.size > 0 && [...kinds].every((kind) => ['number', 'int', 'boolean', 'literal'].includes(kind))
  if (!onlyPlain) return text
  if (kinds.has('boolean') && (text === 'true' || text === 'false')) return text === 'true'
  return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text
}

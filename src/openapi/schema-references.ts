import type { Schema } from './operation.ts'
import { escapePointer, isObject, pointerTokens } from './pointer.ts'

/** A schema with what its references are relative to. */
export interface Located {
  readonly schema: Schema
  /** Absolute URI without fragment: the file's, or the nearest `$id` above. A `$id` of its own is relative to it. */
  readonly base: string
  /** Where it stands, for messages. */
  readonly at: string
}

/** Keywords whose values are maps from free names to schemas. */
const nameMaps = new Set([
  'properties',
  'patternProperties',
  '$defs',
  'definitions',
  'dependentSchemas',
  'dependencies',
  'schemas',
])
/** Keywords whose values are data: a `$id` in there names nothing. */
const dataKeywords = new Set(['enum', 'const', 'default', 'example', 'examples', 'x-example', 'x-examples'])

/** Finds schemas by URI in a set of files that are all in memory. Never reads a file, never asks the network. */
export class References {
  readonly #resources: ReadonlyMap<string, unknown>
  readonly #identified = new Map<string, Located>()
  readonly #anchors = new Map<string, Located>()
  readonly #dynamicAnchors = new Map<string, Located>()
  #isIndexed = false
  #usesDynamic: boolean | undefined

  constructor(resources: ReadonlyMap<string, unknown>) {
    this.#resources = resources
  }

  /** The schema a reference means, or `undefined` when there is none. */
  resolve(reference: string, base: string): Located | undefined {
    const uri = absolute(reference, base)
    if (uri === undefined) return undefined
    const hash = uri.indexOf('#')
    const resource = hash < 0 ? uri : uri.slice(0, hash)
    const fragment = hash < 0 ? '' : decodeFragment(uri.slice(hash + 1))
    if (fragment !== '' && !fragment.startsWith('/')) {
      this.#index()
      return this.#anchors.get(`${resource}#${fragment}`)
    }
    const root = this.#root(resource)
    return root === undefined ? undefined : walk(root, fragment)
  }

  /** Where `$dynamicAnchor` of that name stands in the resource. */
  dynamicAnchor(resource: string, name: string): Located | undefined {
    this.#index()
    return this.#dynamicAnchors.get(`${resource}#${name}`)
  }

  /** Whether any schema's meaning depends on the way by which it is reached. */
  get usesDynamic(): boolean {
    this.#usesDynamic ??= [...this.#resources.values()].some(mentionsDynamicRef)
    return this.#usesDynamic
  }

  /** The named schemas of the document that `base` belongs to, for discriminators. */
  namedSchemas(base: string): Readonly<Record<string, unknown>> {
    const root = this.#resources.get(base)
    if (!isObject(root)) return {}
    const named = isObject(root.components) ? root.components.schemas : root.definitions
    return isObject(named) ? named : {}
  }

  /** One of the named schemas. */
  namedSchema(base: string, name: string): Located | undefined {
    const named = this.namedSchemas(base)
    if (!Object.hasOwn(named, name)) return undefined
    const path = this.#resources.get(base) as Record<string, unknown>
    const container = isObject(path.components) ? '/components/schemas/' : '/definitions/'
    return { schema: named[name] as Schema, base, at: `${base}#${container}${escapePointer(name)}` }
  }

  #root(resource: string): Located | undefined {
    const root = this.#resources.get(resource)
    if (root !== undefined) return { schema: root as Schema, base: resource, at: `${resource}#` }
    this.#index()
    return this.#identified.get(resource)
  }

  /** Looks for identifiers and anchors, once, and only for documents that ask for one. */
  #index(): void {
    if (this.#isIndexed) return
    this.#isIndexed = true
    for (const [uri, root] of this.#resources) {
      // A list instead of recursion, and every object once: files may be deep, and YAML aliases share objects.
      const visited = new Set<object>()
      const pending: { value: unknown; base: string; at: string; names: boolean }[] = [
        { value: root, base: uri, at: `${uri}#`, names: false },
      ]
      for (let next = pending.pop(); next !== undefined; next = pending.pop()) {
        const { value, at, names } = next
        const outer = next.base
        let base = outer
        if (typeof value !== 'object' || value === null || visited.has(value)) continue
        visited.add(value)
        if (isObject(value) && !names) {
          if (typeof value.$id === 'string') {
            const own = absolute(value.$id, base)
            if (own !== undefined) {
              base = withoutFragment(own)
              this.#identified.set(base, { schema: value as Schema, base: outer, at })
            }
          }
          const located: Located = { schema: value as Schema, base: outer, at }
          if (typeof value.$anchor === 'string') this.#anchors.set(`${base}#${value.$anchor}`, located)
          if (typeof value.$dynamicAnchor === 'string') {
            this.#anchors.set(`${base}#${value.$dynamicAnchor}`, located)
            this.#dynamicAnchors.set(`${base}#${value.$dynamicAnchor}`, located)
          }
        }
        for (const [key, child] of Object.entries(value)) {
          if (!names && dataKeywords.has(key)) continue
          pending.push({
            value: child,
            base,
            at: `${at}/${escapePointer(key)}`,
            names: !names && nameMaps.has(key) && isObject(child),
          })
        }
      }
    }
  }
}

function mentionsDynamicRef(root: unknown): boolean {
  const visited = new Set<object>()
  const pending: unknown[] = typeof root === 'object' && root !== null ? [root] : []
  while (pending.length > 0) {
    const value = pending.pop() as Record<string, unknown>
    if (visited.has(value)) continue
    visited.add(value)
    for (const key in value) {
      if (key === '$dynamicRef') return true
      const child = value[key]
      if (typeof child === 'object' && child !== null) pending.push(child)
    }
  }
  return false
}

/** Follows a JSON Pointer (RFC 6901), minding every `$id` on the way. */
function walk(root: Located, pointer: string): Located | undefined {
  if (pointer === '') return root
  let value: unknown = root.schema
  let { base } = root
  for (const key of pointerTokens(pointer)) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key)) return undefined
    base = baseOf(value as Schema, base)
    value = (value as Record<string, unknown>)[key]
  }
  return { schema: value as Schema, base, at: `${root.at}${pointer}` }
}

/** The base of a schema that may have a `$id` of its own. */
export function baseOf(schema: Schema, base: string): string {
  return typeof schema === 'object' && typeof schema.$id === 'string'
    ? withoutFragment(absolute(schema.$id, base) ?? base)
    : base
}

function absolute(reference: string, base: string): string | undefined {
  if (reference.startsWith('#')) return base + reference
  return URL.parse(reference, base)?.href
}

function withoutFragment(uri: string): string {
  const hash = uri.indexOf('#')
  return hash < 0 ? uri : uri.slice(0, hash)
}

function decodeFragment(fragment: string): string {
  try {
    return fragment.includes('%') ? decodeURIComponent(fragment) : fragment
  } catch {
    return fragment
  }
}

import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { ConfigError, type ErrorCode, messageOf } from '../base/errors.ts'
import type { Spot } from './complaints.ts'
import { child, isObject, member, pointerToFragment, pointerTokens, valueAt } from './pointer.ts'
import { parseSource, type Source } from './source.ts'

/** A document in more files than this is a mistake, such as a reference into a package folder. */
export const filesMax = 2_000
const chainMax = 64

export type Dialect = '2.0' | '3.0' | '3.1' | '3.2'

export interface Target {
  readonly spot: Spot
  readonly value: unknown
}

export interface Unresolved {
  readonly code: ErrorCode
  readonly message: string
  readonly hint: string | undefined
}

/**
 * Finds what references point at: within a file, across files, through `$self`, `$id` and `$anchor`. It reads every
 * file once, before anything is resolved, and opens no URL.
 */
export class References {
  readonly root: Source
  readonly sources = new Map<string, Source>()
  readonly dialects = new Map<Source, Dialect>()
  readonly #failed = new Map<string, ConfigError>()
  /** Absolute URIs that documents (`$self`) and schemas (`$id`, `$anchor`) give themselves. */
  readonly #named = new Map<string, Spot>()
  readonly #folder: string

  constructor(root: Source, dialect: Dialect) {
    this.root = root
    this.#folder = dirname(fileURLToPath(root.uri))
    this.#add(root, dialect)
  }

  #add(source: Source, inherited: Dialect): void {
    this.sources.set(source.uri, source)
    this.dialects.set(source, dialectOf(source.root) ?? inherited)
  }

  dialect(source: Source): Dialect {
    return this.dialects.get(source)!
  }

  /** Reads the files that are referred to, from the root file on. What cannot be read fails where it is used. */
  async load(read: (file: string) => Promise<string>): Promise<void> {
    const waiting = [this.root]
    for (let source = waiting.pop(); source !== undefined; source = waiting.pop()) {
      const dialect = this.dialect(source)
      this.#nameSelf(source)
      for (const fileName of this.#referencedFiles(source, dialect)) {
        const uri = this.#fileUri(source, fileName)
        if (typeof uri !== 'string' || this.sources.has(uri) || this.#failed.has(uri)) continue
        if (this.sources.size >= filesMax) {
          this.#failed.set(uri, new ConfigError('P2004', `the document refers to more than ${filesMax} files`))
          continue
        }
        try {
          const path = fileURLToPath(uri)
          const shown = join(dirname(this.root.file), relative(this.#folder, path))
          const loaded = parseSource(uri, shown, await read(path))
          this.#add(loaded, dialect)
          waiting.push(loaded)
        } catch (cause) {
          const error = cause instanceof ConfigError ? cause : new ConfigError('P2001', messageOf(cause), { cause })
          this.#failed.set(uri, error)
        }
      }
    }
  }

  #nameSelf(source: Source): void {
    const self = isObject(source.root) ? source.root.$self : undefined
    if (typeof self === 'string') this.#named.set(withoutFragment(absolute(self, source.uri)), { source, pointer: '' })
  }

  /**
   * File names of references anywhere in a file. Some may stand in examples and mean nothing, so nothing is wrong
   * yet when one does not exist. Collects the names that schemas give themselves on the way.
   */
  #referencedFiles(source: Source, dialect: Dialect): Set<string> {
    const files = new Set<string>()
    const naming = dialect === '3.1' || dialect === '3.2'
    const seen = new Set<object>()
    const stack: { value: object; pointer: string; base: string }[] = []
    const push = (value: unknown, pointer: string, base: string) => {
      if (typeof value !== 'object' || value === null || seen.has(value)) return
      seen.add(value)
      stack.push({ value, pointer, base })
    }
    push(source.root, '', source.uri)
    for (let item = stack.pop(); item !== undefined; item = stack.pop()) {
      const { value, pointer } = item
      let { base } = item
      if (Array.isArray(value)) {
        for (let i = 0; i < value.length; i++) push(value[i], child(pointer, i), base)
        continue
      }
      const object = value as Record<string, unknown>
      if (naming) {
        if (typeof object.$id === 'string') {
          base = withoutFragment(absolute(object.$id, base))
          this.#named.set(base, { source, pointer })
        }
        for (const key of ['$anchor', '$dynamicAnchor']) {
          if (typeof object[key] === 'string') this.#named.set(`${base}#${object[key]}`, { source, pointer })
        }
      }
      if (typeof object.$ref === 'string') {
        const file = object.$ref.split('#', 1)[0]!
        if (file !== '') files.add(file)
      }
      for (const key of Object.keys(object)) push(object[key], naming ? child(pointer, key) : pointer, base)
      if (isObject(object.mapping) && typeof object.propertyName === 'string') {
        for (const target of Object.values(object.mapping)) {
          if (typeof target === 'string' && /[./]/.test(target.split('#', 1)[0]!)) files.add(target.split('#', 1)[0]!)
        }
      }
    }
    return files
  }

  /** The `file:` URI that a file name in a reference means, or why it is not opened. */
  #fileUri(from: Source, fileName: string): string | Unresolved {
    const refused = (message: string): Unresolved => ({
      code: 'P2008',
      message,
      hint: 'keep a copy beside the document and refer to it by a relative path',
    })
    if (/^[a-z][a-z\d+.-]*:/i.test(fileName) && !/^file:/i.test(fileName)) {
      return refused(`the reference is a URL, and no URL is opened: ${fileName}`)
    }
    let path: string
    try {
      path = fileURLToPath(new URL(fileName, from.uri))
    } catch {
      return refused(`the reference names no file on this machine: ${fileName}`)
    }
    // A relative path may lead out of the folder, as `../common/errors.yaml` does in many repositories. An absolute
    // one tells of another machine, or of an attempt to have any file read.
    const isAbsolute = /^(file:|[/\\])/i.test(fileName)
    if (isAbsolute && relative(this.#folder, path).startsWith('..')) {
      return refused(`the reference is an absolute path outside the document's folder: ${fileName}`)
    }
    return pathToFileURL(path).href
  }

  /** What a reference means. `base` is given within a schema that has an `$id`. */
  resolve(from: Spot, reference: string, base?: string): Target | Unresolved {
    const hash = reference.indexOf('#')
    const fileName = hash === -1 ? reference : reference.slice(0, hash)
    const fragment = hash === -1 ? '' : decodeFragment(reference.slice(hash + 1))
    const named = this.#resolveNamed(from, fileName, fragment, base)
    if (named !== undefined) return named
    let source = from.source
    if (fileName !== '') {
      const uri = this.#fileUri(from.source, fileName)
      if (typeof uri !== 'string') return uri
      const found = this.sources.get(uri)
      if (found === undefined) {
        const failure = this.#failed.get(uri)
        const why = failure === undefined ? '' : `: ${failure.message}`
        return { code: failure?.code ?? 'P2001', message: `cannot read ${fileName}${why}`, hint: failure?.hint }
      }
      source = found
    }
    return this.#within(source, '', fragment, reference)
  }

  #resolveNamed(from: Spot, fileName: string, fragment: string, base: string | undefined): Target | undefined {
    if (this.#named.size === 0) return undefined
    const self = isObject(from.source.root) ? from.source.root.$self : undefined
    const start = base ?? (typeof self === 'string' ? absolute(self, from.source.uri) : from.source.uri)
    const uri = fileName === '' ? withoutFragment(start) : withoutFragment(absolute(fileName, start))
    if (fragment !== '' && !fragment.startsWith('/')) {
      const anchor = this.#named.get(`${uri}#${fragment}`) ?? this.#named.get(`${from.source.uri}#${fragment}`)
      return anchor === undefined ? undefined : this.#target(anchor)
    }
    const spot = this.#named.get(uri)
    if (spot === undefined) return undefined
    const target = this.#within(spot.source, spot.pointer, fragment, fragment)
    return 'spot' in target ? target : undefined
  }

  #target(spot: Spot): Target {
    return { spot, value: valueAt(spot.source.root, pointerTokens(spot.pointer)) }
  }

  #within(source: Source, prefix: string, fragment: string, reference: string): Target | Unresolved {
    const pointer = fragment === '' || fragment.startsWith('/') ? prefix + fragment : undefined
    if (pointer !== undefined) {
      const value = valueAt(source.root, pointerTokens(pointer))
      if (value !== undefined) return { spot: { source, pointer }, value }
    }
    const nearest = pointer === undefined ? undefined : deepestExisting(source.root, pointerTokens(pointer))
    const hint =
      nearest === undefined || nearest.missing === undefined
        ? undefined
        : `"${nearest.missing}" is not among ${nearest.known.length === 0 ? 'the members there' : nearest.known.join(', ')}`
    return { code: 'P2007', message: `the reference leads nowhere: ${reference}`, hint }
  }

  /** Follows references of parameters, responses and other objects that are not schemas, to the object itself. */
  follow(spot: Spot, value: unknown): Target | Unresolved {
    let target: Target = { spot, value }
    for (let i = 0; i < chainMax; i++) {
      if (!isObject(target.value) || typeof target.value.$ref !== 'string') return target
      const next = this.resolve(target.spot, target.value.$ref)
      if (!('spot' in next)) return next
      target = next
    }
    return { code: 'P2007', message: 'the reference leads back to itself', hint: undefined }
  }

  /** The reference as every reader understands it: a fragment in the same file, else an absolute `file:` URI. */
  canonical(from: Source, target: Spot): string {
    const fragment = pointerToFragment(target.pointer)
    if (target.source === from) return `#${fragment}`
    return fragment === '' ? target.source.uri : `${target.source.uri}#${fragment}`
  }
}

/** The version a file says of itself, as far as it decides how it is read. */
export function dialectOf(root: unknown): Dialect | undefined {
  if (!isObject(root)) return undefined
  if (typeof root.swagger === 'string' && /^2\.0(\.|$)/.test(root.swagger)) return '2.0'
  const version = typeof root.openapi === 'string' ? /^(3\.[0-2])(\.|-|$)/.exec(root.openapi)?.[1] : undefined
  return version as Dialect | undefined
}

function decodeFragment(fragment: string): string {
  if (!fragment.includes('%')) return fragment
  try {
    return decodeURIComponent(fragment)
  } catch {
    return fragment
  }
}

function absolute(reference: string, base: string): string {
  try {
    return new URL(reference, base).href
  } catch {
    return reference
  }
}

function withoutFragment(uri: string): string {
  const hash = uri.indexOf('#')
  return hash === -1 ? uri : uri.slice(0, hash)
}

/** How far a pointer leads, and what it might have meant there. */
function deepestExisting(root: unknown, tokens: readonly string[]) {
  let value = root
  for (const token of tokens) {
    const next = member(value, token)
    if (next === undefined) {
      const keys = isObject(value) ? Object.keys(value) : []
      return { missing: token, known: keys.length <= 12 ? keys : [] }
    }
    value = next
  }
  return { missing: undefined, known: [] }
}

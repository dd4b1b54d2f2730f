import { canonicalTemplate } from '../openapi/paths.ts'
import type { Arrival } from './exchange.ts'
import type { Program } from './program.ts'
import type { Upstream } from './upstream.ts'

/** One served document: an API, or one version of it, behind its programs. */
export interface Mount {
  readonly api: string
  readonly version: string | undefined
  /** Host names in lower case without port; `undefined` answers to every name. */
  readonly hosts: readonly string[] | undefined
  /** Path prefix at the gate, without a trailing slash; empty for the root. */
  readonly prefix: string
  /** What stands in place of `prefix` on the way to the upstream: the document's own base path. */
  readonly upstreamPrefix: string
  /** Further conditions that choose between versions at one prefix; all that are given must fit. */
  readonly header: { readonly name: string; readonly value: string } | undefined
  readonly mediaType: string | undefined
  /** Takes requests that choose no version. */
  readonly fallback: boolean
  readonly upstream: Upstream
  readonly operations: readonly MountedOperation[]
  readonly unlistedPath: Program
  /** The program for a path that is listed with other methods than the one asked for. */
  readonly unlistedMethod: (allow: readonly string[], path: string) => Program
}

export interface MountedOperation {
  readonly method: string
  /** The path template below the document's base path. */
  readonly path: string
  readonly program: Program
}

/** Where a request belongs. Always exactly one program, once a mount is found. */
export interface Route {
  readonly mount: Mount
  readonly program: Program
  /** Values of the template's parameters in order, percent-encoded. */
  readonly pathValues: readonly string[]
}

export type Router = (arrival: Arrival) => Route | undefined

/** A path template that cannot be matched without doubt. */
export class RouteError extends Error {
  override readonly name = 'RouteError'
}

/** Compiles mounts into one look-up: host, then longest prefix, then version, then the path's trie. */
export function createRouter(mounts: readonly Mount[]): Router {
  const everyHost = new PrefixTable()
  const byHost = new Map<string, PrefixTable>()
  for (const mount of mounts) {
    const entry: Entry = { mount, root: buildTrie(mount) }
    if (mount.hosts === undefined) everyHost.add(entry)
    for (const host of mount.hosts ?? []) {
      const table = byHost.get(host) ?? new PrefixTable()
      byHost.set(host, table)
      table.add(entry)
    }
  }
  return (arrival) => {
    if (byHost.size > 0) {
      const table = byHost.get(hostName(arrival.target.authority))
      const route = table?.find(arrival)
      if (route !== undefined) return route
    }
    return everyHost.find(arrival)
  }
}

interface Entry {
  readonly mount: Mount
  readonly root: Node
}

/** Prefixes by their first segment, longest first, so that a hundred APIs cost what one costs. */
class PrefixTable {
  readonly #byFirstSegment = new Map<string, { readonly prefix: string; readonly entries: Entry[] }[]>()
  readonly #atRoot: Entry[] = []

  add(entry: Entry): void {
    const { prefix } = entry.mount
    if (prefix === '') {
      this.#atRoot.push(entry)
      return
    }
    const first = segmentAt(prefix, 1)
    const groups = this.#byFirstSegment.get(first) ?? []
    this.#byFirstSegment.set(first, groups)
    const group = groups.find((candidate) => candidate.prefix === prefix)
    if (group === undefined) groups.push({ prefix, entries: [entry] })
    else group.entries.push(entry)
    groups.sort((a, b) => b.prefix.length - a.prefix.length)
  }

  find(arrival: Arrival): Route | undefined {
    const { path } = arrival.target
    if (this.#byFirstSegment.size > 0) {
      const groups = this.#byFirstSegment.get(segmentAt(path, 1))
      if (groups !== undefined) {
        for (const { prefix, entries } of groups) {
          if (path.startsWith(prefix) && (path.length === prefix.length || path.charCodeAt(prefix.length) === slash)) {
            const route = pick(entries, arrival, prefix.length)
            if (route !== undefined) return route
          }
        }
      }
    }
    return this.#atRoot.length === 0 ? undefined : pick(this.#atRoot, arrival, 0)
  }
}

/** Chooses among the versions (or neighbours) that share a prefix. */
function pick(entries: readonly Entry[], arrival: Arrival, from: number): Route | undefined {
  if (entries.length === 1 && isUnconditional(entries[0]!.mount)) return routeIn(entries[0]!, arrival, from)
  const chosen = entries.filter(({ mount }) => !isUnconditional(mount) && selects(mount, arrival))
  const candidates =
    chosen.length > 0 ? chosen : entries.filter(({ mount }) => mount.fallback || isUnconditional(mount))
  // Neighbours at one prefix: the one that lists the path answers, else the first refuses.
  for (const entry of candidates) {
    const route = routeIn(entry, arrival, from)
    if (route.program.operation.kind !== 'unlisted-path') return route
  }
  return candidates.length === 0 ? undefined : routeIn(candidates[0]!, arrival, from)
}

function isUnconditional(mount: Mount): boolean {
  return mount.header === undefined && mount.mediaType === undefined
}

function selects(mount: Mount, { headers }: Arrival): boolean {
  if (mount.header !== undefined && headers[mount.header.name] !== mount.header.value) return false
  if (mount.mediaType === undefined) return true
  return namesMediaType(headers.accept, mount.mediaType) || namesMediaType(headers['content-type'], mount.mediaType)
}

function namesMediaType(header: string | undefined, mediaType: string): boolean {
  if (header === undefined || !header.toLowerCase().includes(mediaType)) return false
  return header
    .toLowerCase()
    .split(',')
    .some((part) => part.split(';', 1)[0]!.trim() === mediaType)
}

const noValues: readonly string[] = []

function routeIn({ mount, root }: Entry, arrival: Arrival, from: number): Route {
  const { path } = arrival.target
  const values: string[] = []
  const leaf = walk(root, path, from, values)
  if (leaf === undefined) return { mount, program: mount.unlistedPath, pathValues: noValues }
  const program = leaf.methods.get(arrival.method) ?? (arrival.method === 'HEAD' ? leaf.methods.get('GET') : undefined)
  if (program === undefined) {
    leaf.unlistedMethod ??= mount.unlistedMethod(leaf.allow, leaf.template)
    return { mount, program: leaf.unlistedMethod, pathValues: noValues }
  }
  return { mount, program, pathValues: values.length === 0 ? noValues : values }
}

const slash = 47

/** One segment's worth of choices. Static names win over mixed ones (`{id}.json`), those over plain parameters. */
interface Node {
  readonly statics: Map<string, Node>
  /** The static names as a generous upstream would read them. */
  readonly loose: Set<string>
  readonly mixed: { readonly literals: readonly string[]; readonly node: Node }[]
  parameter: Node | undefined
  leaf: Leaf | undefined
}

interface Leaf {
  readonly template: string
  readonly methods: Map<string, Program>
  readonly allow: string[]
  unlistedMethod: Program | undefined
}

function newNode(): Node {
  return { statics: new Map(), loose: new Set(), mixed: [], parameter: undefined, leaf: undefined }
}

/** Walks one segment a level, taking back a choice that leads nowhere, so `/a/{x}/c` is found beside `/a/b`. */
function walk(node: Node, path: string, from: number, values: string[]): Leaf | undefined {
  if (from >= path.length) return node.leaf
  const start = from + 1
  let end = path.indexOf('/', start)
  if (end < 0) end = path.length
  const segment = path.slice(start, end)
  const next = node.statics.get(segment)
  if (next !== undefined) {
    const leaf = walk(next, path, end, values)
    if (leaf !== undefined) return leaf
  } else if (node.loose.size > 0 && isTakenForStatic(node, segment, path, end)) return undefined
  if (segment === '') return undefined
  const before = values.length
  for (const { literals, node: below } of node.mixed) {
    if (!matchMixed(segment, literals, values)) continue
    const leaf = walk(below, path, end, values)
    if (leaf !== undefined) return leaf
    values.length = before
  }
  if (node.parameter !== undefined) {
    values.push(segment)
    const leaf = walk(node.parameter, path, end, values)
    if (leaf !== undefined) return leaf
    values.length = before
  }
  return undefined
}

/**
 * Whether a segment that is no static name would be one to an upstream that decodes before it routes (WSGI), cuts off
 * `;…` (servlets), or does not mind case (Express, ASP.NET), and a listed path lies there. `/users/{id}` must not be a
 * way around what `/users/export` asks for: which of the two is meant is in doubt, so it is neither.
 */
function isTakenForStatic(node: Node, segment: string, path: string, end: number): boolean {
  const name = loosely(segment)
  if (!node.loose.has(name)) return false
  for (const [known, below] of node.statics)
    if (loosely(known) === name && leadsSomewhere(below, path, end)) return true
  return false
}

/** Whether any listed path lies ahead, read generously. */
function leadsSomewhere(node: Node, path: string, from: number): boolean {
  if (from >= path.length) return node.leaf !== undefined
  const start = from + 1
  let end = path.indexOf('/', start)
  if (end < 0) end = path.length
  const segment = path.slice(start, end)
  if (isTakenForStatic(node, segment, path, end)) return true
  if (segment === '') return false
  for (const { literals, node: below } of node.mixed) {
    if (matchMixed(segment, literals, []) && leadsSomewhere(below, path, end)) return true
  }
  return node.parameter !== undefined && leadsSomewhere(node.parameter, path, end)
}

/** A segment as the most generous reader has it. */
function loosely(segment: string): string {
  let decoded = segment
  try {
    if (segment.includes('%')) decoded = decodeURIComponent(segment)
  } catch {
    // A document may hold what no request can: targets are known to be UTF-8.
  }
  const cut = decoded.indexOf(';')
  return (cut < 0 ? decoded : decoded.slice(0, cut)).replace(/[\s.]+$/, '').toLowerCase()
}

/** `report-{from}-{to}.csv` has the literals `report-`, `-`, `.csv`; each parameter takes at least one character, the first as few as it can. */
function matchMixed(segment: string, literals: readonly string[], values: string[]): boolean {
  const last = literals.length - 1
  const tail = literals[last]!
  if (!segment.startsWith(literals[0]!) || !segment.endsWith(tail)) return false
  const before = values.length
  const stop = segment.length - tail.length
  let at = literals[0]!.length
  for (let i = 1; i < last; i++) {
    const found = segment.indexOf(literals[i]!, at + 1)
    if (found < 0 || found + literals[i]!.length > stop) {
      values.length = before
      return false
    }
    values.push(segment.slice(at, found))
    at = found + literals[i]!.length
  }
  if (stop <= at) {
    values.length = before
    return false
  }
  values.push(segment.slice(at, stop))
  return true
}

function buildTrie(mount: Mount): Node {
  const root = newNode()
  for (const { method, path, program } of mount.operations) {
    let node = root
    if (path !== '' && path !== '/') {
      for (const segment of path.slice(1).split('/')) node = descend(node, segment, path)
    } else if (path === '/') {
      node = descend(node, '', path)
    }
    node.leaf ??= { template: program.operation.path, methods: new Map(), allow: [], unlistedMethod: undefined }
    if (node.leaf.methods.has(method)) {
      throw new RouteError(`${method} ${path} and ${method} ${node.leaf.template} match the same requests`)
    }
    node.leaf.methods.set(method, program)
    node.leaf.allow.push(method)
    if (method === 'GET' && !node.leaf.allow.includes('HEAD')) node.leaf.allow.push('HEAD')
  }
  return root
}

function descend(node: Node, segment: string, path: string): Node {
  if (!segment.includes('{')) {
    const name = canonicalTemplate(segment)
    const next = node.statics.get(name) ?? newNode()
    node.statics.set(name, next)
    node.loose.add(loosely(name))
    return next
  }
  const literals = segment.split(/\{[^{}]*\}/)
  if (literals.some((literal) => literal.includes('{') || literal.includes('}'))) {
    throw new RouteError(`the path ${path} has an unclosed parameter`)
  }
  if (literals.length === 2 && literals[0] === '' && literals[1] === '') {
    node.parameter ??= newNode()
    return node.parameter
  }
  if (literals.slice(1, -1).includes('')) {
    throw new RouteError(`the path ${path} has two parameters with nothing between them`)
  }
  const canonical = literals.map(canonicalTemplate)
  const existing = node.mixed.find((mixed) => mixed.literals.join('\0') === canonical.join('\0'))
  if (existing !== undefined) return existing.node
  const below = newNode()
  node.mixed.push({ literals: canonical, node: below })
  // The more literal text, the more particular the template.
  node.mixed.sort((a, b) => b.literals.join('').length - a.literals.join('').length)
  return below
}

function segmentAt(path: string, start: number): string {
  const end = path.indexOf('/', start)
  return end < 0 ? path.slice(start) : path.slice(start, end)
}

function hostName(authority: string): string {
  const colon = authority.lastIndexOf(':')
  return colon > 0 && !authority.endsWith(']') ? authority.slice(0, colon) : authority
}

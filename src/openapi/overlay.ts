import { compile, JSONPathError, type JSONPathQuery, type JSONValue } from 'json-p3'
import { ConfigError, messageOf } from '../base/errors.ts'
import { at, type Complaints, type Origin, originOf, type Spot } from './complaints.ts'
import { child, isObject, type JsonObject, member, setMember, toPointer } from './pointer.ts'
import type { Source } from './source.ts'

/** More nodes than this in one action is a target that was not meant, such as `$..*` on a large document. */
export const nodesMax = 100_000

const actionKeys = new Set(['target', 'description', 'update', 'remove', 'copy'])

/**
 * Changes the document of `root` as an OpenAPI Overlay (1.0 or 1.1) says. What it brings keeps its place in the
 * overlay's file. Throws `ConfigError` for a text that is no overlay; complains about actions that cannot be done.
 */
export function applyOverlay(root: Source, overlay: Source, complaints: Complaints): void {
  const top: Spot = { source: overlay, pointer: '' }
  const document = overlay.root
  if (!isObject(document) || typeof document.overlay !== 'string') {
    throw new ConfigError('P2020', 'not an overlay: its first line should be "overlay: 1.1.0"', {
      place: overlay.locate([], 'value'),
    })
  }
  if (!/^1\.[01]\.\d+$/.test(document.overlay)) {
    complaints.error('P2020', at(top, '/overlay'), `Overlay ${document.overlay} is not supported; 1.0 and 1.1 are`, {
      at: 'value',
    })
    return
  }
  for (const key of Object.keys(document)) {
    if (!['overlay', 'info', 'extends', 'actions'].includes(key) && !key.startsWith('x-')) {
      complaints.error('P2020', at(top, child('', key)), `unknown key "${key}" in an overlay`)
    }
  }
  if (!Array.isArray(document.actions) || document.actions.length === 0) {
    complaints.error('P2020', at(top, '/actions'), 'an overlay needs a list of actions')
    return
  }
  for (const [index, action] of document.actions.entries()) {
    apply(root, at(top, `/actions/${index}`), action, complaints)
  }
}

function apply(root: Source, spot: Spot, action: unknown, complaints: Complaints): void {
  const spotOf = (key: string) => at(spot, child(spot.pointer, key))
  if (!isObject(action)) {
    complaints.error('P2020', spot, 'an action is a map with a target and one of update, copy or remove')
    return
  }
  // An unknown key is an action that would silently not happen.
  for (const key of Object.keys(action)) {
    if (!actionKeys.has(key) && !key.startsWith('x-')) {
      complaints.error('P2020', spotOf(key), `unknown key "${key}" in an action`)
    }
  }
  if (typeof action.target !== 'string') {
    complaints.error('P2020', spot, 'an action needs a target: a JSONPath such as $.paths["/orders"].get')
    return
  }
  const { remove } = action
  if (remove !== undefined && typeof remove !== 'boolean') {
    complaints.error('P2020', spotOf('remove'), 'remove must be true or false', { at: 'value' })
    return
  }
  const hasUpdate = Object.hasOwn(action, 'update')
  const hasCopy = Object.hasOwn(action, 'copy')
  if (remove !== true && !hasUpdate && !hasCopy) {
    complaints.error('P2020', spot, 'the action changes nothing: it needs update, copy or remove: true')
    return
  }
  // Overlay 1.1 says of each of the two that it has no impact beside the other: so neither can be meant.
  if (remove !== true && hasUpdate && hasCopy) {
    complaints.error('P2020', spotOf('copy'), 'an action has either update or copy, not both')
    return
  }
  const targets = select(root, action.target, spotOf('target'), complaints)
  if (targets === undefined) return
  if (targets.length === 0) {
    complaints.warn('P2023', spotOf('target'), `the target selects nothing: ${action.target}`, {
      at: 'value',
      hint: 'was the path renamed? What this action says protects nothing now',
    })
    return
  }
  if (remove === true) {
    removeAll(root, targets, spotOf('target'), complaints)
    return
  }
  let change: { readonly value: unknown; readonly origin: Origin }
  if (hasCopy) {
    const source = copySource(root, action.copy, spotOf('copy'), complaints)
    if (source === undefined) return
    change = source
  } else {
    change = { value: action.update, origin: { source: spot.source, tokens: tokensOf(spotOf('update')) } }
  }
  if (new Set(targets.map((node) => kindOf(node.value))).size > 1) {
    const message = 'the target selects values of different kinds: all must be maps, all lists or all plain values'
    complaints.error('P2022', spotOf('target'), message, { at: 'value' })
    return
  }
  const changeSpot = spotOf(hasCopy ? 'copy' : 'update')
  for (const node of targets) put(root, node, change, changeSpot, complaints)
}

interface SelectedNode {
  readonly value: unknown
  readonly location: readonly (string | number)[]
}

function select(root: Source, path: string, spot: Spot, complaints: Complaints): SelectedNode[] | undefined {
  let query: JSONPathQuery
  try {
    query = compile(path)
    const nodes: SelectedNode[] = []
    for (const node of query.lazyQuery(root.root as JSONValue)) {
      if (nodes.length >= nodesMax) {
        complaints.error('P2021', spot, `the path selects more than ${nodesMax} values`, { at: 'value' })
        return undefined
      }
      nodes.push(node)
    }
    return nodes
  } catch (error) {
    if (!(error instanceof JSONPathError)) throw error
    // The library's message ends with the index in the path, which the place already tells.
    complaints.error('P2021', spot, `not a JSONPath (RFC 9535): ${messageOf(error)}`, {
      at: 'value',
      hint: 'paths of an API need brackets and quotes: $.paths["/orders/{id}"].get',
    })
    return undefined
  }
}

function copySource(root: Source, path: unknown, spot: Spot, complaints: Complaints) {
  if (typeof path !== 'string') {
    complaints.error('P2020', spot, 'copy must be a JSONPath', { at: 'value' })
    return undefined
  }
  const nodes = select(root, path, spot, complaints)
  if (nodes === undefined) return undefined
  if (nodes.length !== 1) {
    complaints.error('P2024', spot, `copy must select exactly one value; this selects ${nodes.length}`, { at: 'value' })
    return undefined
  }
  const [node] = nodes
  return { value: node!.value, origin: originOf(complaints.origins, root, node!.location.map(String)) }
}

function removeAll(root: Source, nodes: readonly SelectedNode[], spot: Spot, complaints: Complaints): void {
  // By container, highest index first, so that a removal does not shift what is still to be removed.
  const doomed = new Map<object, { location: readonly (string | number)[]; keys: Set<string | number> }>()
  for (const { location } of nodes) {
    if (location.length === 0) {
      complaints.error('P2022', spot, 'the whole document cannot be removed', { at: 'value' })
      return
    }
    const parents = location.slice(0, -1)
    const container = parents.reduce((value, key) => member(value, String(key)), root.root)
    if (typeof container !== 'object' || container === null) continue
    const entry = doomed.get(container) ?? { location: parents, keys: new Set() }
    doomed.set(container, entry)
    entry.keys.add(location.at(-1)!)
  }
  for (const [container, { location, keys }] of doomed) {
    if (Array.isArray(container)) {
      const origins = itemOrigins(root, container, location, complaints)
      const kept = container.map((_, index) => index).filter((index) => !keys.has(index))
      const items = kept.map((index) => container[index])
      container.splice(0, container.length, ...items)
      setItemOrigins(
        container,
        kept.map((index) => origins[index]!),
        complaints,
      )
    } else {
      for (const key of keys) {
        delete (container as JsonObject)[key]
        complaints.origins.get(container)?.delete(String(key))
      }
    }
  }
}

interface Change {
  readonly value: unknown
  readonly origin: Origin
}

function put(root: Source, node: SelectedNode, change: Change, spot: Spot, complaints: Complaints): void {
  const kind = kindOf(node.value)
  if (kind === 'list') {
    append(root, node.value as unknown[], node.location, change, complaints)
  } else if (kind === 'map') {
    if (!isObject(change.value)) {
      complaints.error('P2022', spot, 'the target selects maps, so what is merged into them must be a map', {
        at: 'value',
      })
      return
    }
    merge(root, node.value as JsonObject, node.location, change, spot, complaints)
  } else {
    if (kindOf(change.value) !== 'plain' || node.location.length === 0) {
      complaints.error('P2022', spot, 'the target selects plain values, so what replaces them must be one', {
        at: 'value',
      })
      return
    }
    const container = node.location.slice(0, -1).reduce<unknown>((value, key) => member(value, String(key)), root.root)
    setFrom(container as JsonObject, String(node.location.at(-1)), change, complaints)
  }
}

function merge(
  root: Source,
  target: JsonObject,
  location: readonly (string | number)[],
  change: Change,
  spot: Spot,
  complaints: Complaints,
): void {
  for (const [key, value] of Object.entries(change.value as JsonObject)) {
    const part: Change = { value, origin: { source: change.origin.source, tokens: [...change.origin.tokens, key] } }
    const partLocation = [...location, key]
    if (!Object.hasOwn(target, key)) {
      setFrom(target, key, part, complaints)
      continue
    }
    const present = target[key]
    const [from, to] = [kindOf(value), kindOf(present)]
    if (from !== to) {
      const place: Spot = { source: part.origin.source, pointer: toPointer(part.origin.tokens) }
      const message = `${toPointer(partLocation)} is ${kindPhrase[to]} and cannot be merged with ${kindPhrase[from]}`
      complaints.error('P2022', part.origin.source === root ? spot : place, message, {
        hint: 'remove it in an action before this one',
      })
    } else if (from === 'map') merge(root, present as JsonObject, partLocation, part, spot, complaints)
    else if (from === 'list') append(root, present as unknown[], partLocation, part, complaints)
    else setFrom(target, key, part, complaints)
  }
}

/** A list is concatenated; anything else becomes one more item. */
function append(
  root: Source,
  target: unknown[],
  location: readonly (string | number)[],
  change: Change,
  complaints: Complaints,
): void {
  const origins = itemOrigins(root, target, location, complaints)
  const items = Array.isArray(change.value) ? change.value : [change.value]
  for (const [index, item] of items.entries()) {
    target.push(structuredClone(item))
    origins.push(
      Array.isArray(change.value)
        ? { source: change.origin.source, tokens: [...change.origin.tokens, String(index)] }
        : change.origin,
    )
  }
  setItemOrigins(target, origins, complaints)
}

function setFrom(container: JsonObject, key: string, change: Change, complaints: Complaints): void {
  // A copy each: two places that share one object would be changed together by the next action.
  setMember(container, key, structuredClone(change.value))
  const origins = complaints.origins.get(container) ?? new Map<string, Origin>()
  complaints.origins.set(container, origins)
  origins.set(key, change.origin)
}

function itemOrigins(
  root: Source,
  list: readonly unknown[],
  location: readonly (string | number)[],
  complaints: Complaints,
): Origin[] {
  const base = originOf(complaints.origins, root, location.map(String))
  const moved = complaints.origins.get(list)
  return list.map(
    (_, index) => moved?.get(String(index)) ?? { source: base.source, tokens: [...base.tokens, String(index)] },
  )
}

function setItemOrigins(list: readonly unknown[], origins: readonly Origin[], complaints: Complaints): void {
  complaints.origins.set(list, new Map(origins.map((origin, index) => [String(index), origin])))
}

function tokensOf(spot: Spot): readonly string[] {
  return spot.pointer.slice(1).split('/')
}

type ValueKind = 'map' | 'list' | 'plain'

const kindPhrase: Readonly<Record<ValueKind, string>> = { map: 'a map', list: 'a list', plain: 'a plain value' }

function kindOf(value: unknown): ValueKind {
  return Array.isArray(value) ? 'list' : isObject(value) ? 'map' : 'plain'
}

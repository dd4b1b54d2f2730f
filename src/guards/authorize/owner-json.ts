import { JsonError, parseStrictJson } from '../../base/json.ts'
import type { UpstreamReply } from '../../gate/upstream-reply.ts'
import { parseMediaType } from '../../openapi/media-types.ts'
import { isObject, member, valueAt } from '../../openapi/pointer.ts'
import type { Source } from './owner-expression.ts'

/** A body as it is judged. */
export interface JsonBody {
  readonly value: unknown
  /** Whether it can be written again without changing a number. */
  readonly isExact: boolean
}

/** Whether a media type is JSON in the one encoding it may have between systems (RFC 8259, 8.1). */
export function isJson(contentType: string | undefined): boolean {
  const type = contentType === undefined ? undefined : parseMediaType(contentType)
  if (type === undefined) return false
  if (type.subtype !== 'json' && !type.subtype.endsWith('+json')) return false
  const charset = type.parameters.get('charset')
  return charset === undefined || /^utf-?8$/i.test(charset)
}

/**
 * Reads an answer. What two readers could read differently (a key that stands twice, half a surrogate pair, another
 * encoding) is not read at all: `undefined`. Numbers that a double cannot hold are the upstream's own affair; they are equal to
 * nothing (`isSame`), and what holds one is never written anew.
 */
export function readJson(body: Buffer): JsonBody | undefined {
  try {
    return { value: parseStrictJson(body), isExact: true }
  } catch (error) {
    if (!(error instanceof JsonError) || error.reason !== 'number') return undefined
  }
  return readInexact(body)
}

/** The same text with every number cut out that would lose its value, so that all other rules hold for the rest. */
function readInexact(body: Buffer): JsonBody | undefined {
  try {
    const text = body.toString('utf8')
    // Texts first, so that digits within them stay.
    const without = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/gs, (token) =>
      token[0] === '"' || isExactNumber(token) ? token : 'null',
    )
    return { value: parseStrictJson(Buffer.from(without)), isExact: false }
  } catch {
    return undefined
  }
}

function isExactNumber(token: string): boolean {
  const value = Number(token)
  return Math.abs(value) < 2 ** 53
}

/** The list that a body is, or holds at one of these places; `undefined` where it holds none. */
export function listIn(value: unknown, places: readonly (readonly string[])[]): List | undefined {
  if (Array.isArray(value)) return { tokens: [], elements: value }
  for (const tokens of places) {
    const found = valueAt(value, tokens)
    if (Array.isArray(found)) return { tokens, elements: found }
  }
  return undefined
}

export interface List {
  readonly tokens: readonly string[]
  readonly elements: readonly unknown[]
}

/** The same body with other elements in its list. */
export function withElements(value: unknown, tokens: readonly string[], elements: readonly unknown[]): unknown {
  if (tokens.length === 0) return elements
  const [key, ...rest] = tokens
  return withMember(value, key!, withElements(member(value, key!), rest, elements))
}

/** The same body with another value at a place, or without it where `replacement` is `undefined`; as it was where nothing is. */
export function withValueAt(value: unknown, tokens: readonly string[], replacement: unknown): unknown {
  const [key, ...rest] = tokens
  if (key === undefined) return replacement
  const inner = member(value, key)
  if (inner === undefined) return value
  return withMember(value, key, withValueAt(inner, rest, replacement))
}

function withMember(value: unknown, key: string, replacement: unknown): unknown {
  if (Array.isArray(value)) {
    const index = Number(key)
    return replacement === undefined ? value.toSpliced(index, 1) : value.with(index, replacement)
  }
  if (!isObject(value)) return value
  if (replacement !== undefined) return { ...value, [key]: replacement }
  const { [key]: _, ...rest } = value
  return rest
}

/** Counts and other places of an answer that tell of what was taken out. Returns the body; headers are changed in place. */
export function retold(value: unknown, response: UpstreamReply, places: readonly Source[], count: number | undefined) {
  let told = value
  for (const { tokens, header } of places) {
    if (header !== undefined) retellHeader(response, header, count)
    else told = withValueAt(told, tokens ?? [], count)
  }
  return told
}

function retellHeader(response: UpstreamReply, name: string, count: number | undefined): void {
  const kept: string[] = []
  for (let i = 0; i < response.rawHeaders.length; i += 2) {
    const is = response.rawHeaders[i]!.toLowerCase() === name
    if (!is) kept.push(response.rawHeaders[i]!, response.rawHeaders[i + 1]!)
    else if (count !== undefined) kept.push(response.rawHeaders[i]!, String(count))
  }
  response.rawHeaders = kept
}

/** What vouches for the body as it was, or tells of it (RFC 9110, 8.8; RFC 9530). */
const stale = new Set(['etag', 'content-md5', 'digest', 'content-digest', 'repr-digest', 'accept-ranges'])

export function forgetValidators(response: UpstreamReply): void {
  const kept: string[] = []
  for (let i = 0; i < response.rawHeaders.length; i += 2) {
    if (!stale.has(response.rawHeaders[i]!.toLowerCase()))
      kept.push(response.rawHeaders[i]!, response.rawHeaders[i + 1]!)
  }
  response.rawHeaders = kept
}

/** Keeps caches that serve several callers from keeping an answer that was for one (RFC 9111, 5.2.2.7). */
export function keepPrivate(response: UpstreamReply): void {
  const said: string[] = []
  const kept: string[] = []
  for (let i = 0; i < response.rawHeaders.length; i += 2) {
    if (response.rawHeaders[i]!.toLowerCase() === 'cache-control') said.push(...response.rawHeaders[i + 1]!.split(','))
    else if (!sharedOnly.has(response.rawHeaders[i]!.toLowerCase())) {
      kept.push(response.rawHeaders[i]!, response.rawHeaders[i + 1]!)
    }
  }
  const directives = said
    .map((one) => one.trim())
    .filter((one) => one !== '' && !/^(public|s-maxage|proxy-revalidate|private)\b/i.test(one))
  if (directives.length === 0 && said.length === 0) directives.push('no-store')
  else directives.unshift('private')
  kept.push('Cache-Control', directives.join(', '))
  response.rawHeaders = kept
}

/** Orders for caches in front that go before Cache-Control (RFC 9213). */
const sharedOnly = new Set(['cdn-cache-control', 'surrogate-control', 'expires'])

import type { Ask, Told } from '../../gate/ask.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import type { Operation } from '../../openapi/operation.ts'
import type { OwnerFacts, Source } from './owner-expression.ts'
import { isSame } from './owner-expression.ts'
import { isJson, type JsonBody, readJson } from './owner-json.ts'
import type { LookupOptions } from './owner-options.ts'

/** How the object of a request is read before the request goes on. Worked out at load. */
export interface Lookup {
  readonly operation: Operation
  /** For each path parameter of the operation in order: the caller's own path value, or an expression. */
  readonly values: readonly ({ readonly index: number } | { readonly source: Source })[]
  /** Query parameters and headers that both operations document: they may choose whose data is read. */
  readonly query: ReadonlySet<string>
  readonly headers: ReadonlySet<string>
  readonly cookies: boolean
  readonly timeoutMs: number
  readonly ifMatch: boolean
}

/** What a look-up came to: an object, none, or a refusal. */
export type Looked = { readonly json: JsonBody; readonly headers: Readonly<Record<string, string>> } | 'none' | Denial

/** Objects that are looked up are judged, not sent: more than this is no object. */
const lookupBytesMax = 1_048_576

export const lookupFailed = denial(502, 'authorize.lookup-failed', 'The object could not be checked. Try again later.')

/** Plans how one operation's object is read through another. `undefined` where the path parameters cannot be filled. */
export function planLookup(
  by: Operation,
  from: Operation,
  names: readonly string[],
  said: LookupOptions,
): Lookup | undefined {
  const values: Lookup['values'][number][] = []
  for (const [, name] of by.path.matchAll(/\{([^{}]*)\}/g)) {
    const source = said.with[name!]
    const index = names.indexOf(name!)
    if (source !== undefined) values.push({ source })
    else if (index >= 0) values.push({ index })
    else return undefined
  }
  const shared = (place: string) =>
    by.parameters
      .filter(
        (one) => one.in === place && from.parameters.some((other) => other.in === place && other.name === one.name),
      )
      .map(({ name }) => name)
  return {
    operation: by,
    values,
    query: new Set(shared('query')),
    headers: new Set([...shared('header').map((name) => name.toLowerCase()), ...said.headers]),
    cookies: shared('cookie').length > 0,
    timeoutMs: said.timeout,
    ifMatch: said.ifMatch,
  }
}

/** Reads objects, each once for all requests of one caller that want it at the same time. Nothing is kept for later. */
export function createLooker(ask: Ask) {
  const underWay = new WeakMap<Principal, Map<string, Promise<Looked>>>()
  return (exchange: Exchange, lookup: Lookup, facts: OwnerFacts): Promise<Looked> | 'none' => {
    const pathValues = valuesOf(exchange, lookup, facts)
    if (pathValues === undefined) return 'none'
    const { operation, timeoutMs } = lookup
    const query = queryOf(exchange, lookup)
    const headers = headersOf(exchange, lookup)
    const principal = exchange.principal!
    const mine = underWay.get(principal) ?? new Map<string, Promise<Looked>>()
    underWay.set(principal, mine)
    const key = JSON.stringify([operation.id, pathValues, query, headers])
    let looked = mine.get(key)
    if (looked === undefined) {
      looked = ask(exchange, { operation, pathValues, query, headers, timeoutMs, bytesMax: lookupBytesMax })
        .then((told) => outcome(told, operation.id))
        .finally(() => mine.delete(key))
      mine.set(key, looked)
    }
    return looked
  }
}

function outcome(told: Told | Denial, lookup: string): Looked {
  if ('kind' in told) return { ...told, evidence: { lookup, error: told.code } }
  const { status, headers, body } = told
  // The upstream itself says that there is none, or none for this caller.
  if (status === 404 || status === 410 || status === 403 || status === 401) return 'none'
  const refuse = (because: string): Denial => ({ ...lookupFailed, evidence: { lookup, status, because } })
  if (status < 200 || status > 299) return refuse('status')
  if (!isJson(headers['content-type'])) return refuse('media type')
  const json = readJson(body)
  return json === undefined ? refuse('unreadable') : { json, headers }
}

/** The path values of the look-up, percent-encoded; the caller's own go on as they came. */
function valuesOf(exchange: Exchange, { values }: Lookup, facts: OwnerFacts): readonly string[] | undefined {
  const found: string[] = []
  for (const value of values) {
    const text = 'index' in value ? exchange.pathValues[value.index] : encoded(value.source.read(facts))
    if (text === undefined || text === '') return undefined
    found.push(text)
  }
  return found
}

/** An identifier as a path segment; nothing that could be read as another path. */
function encoded(value: unknown): string | undefined {
  if (typeof value === 'number') return isSame(value, String(value)) ? String(value) : undefined
  if (typeof value !== 'string' || !value.isWellFormed() || value === '.' || value === '..') return undefined
  return /[/\\\0]/.test(value) ? undefined : encodeURIComponent(value)
}

function queryOf({ target }: Exchange, { query }: Lookup): string {
  if (query.size === 0 || target.query === '') return ''
  const name = (part: string) => {
    const raw = part.split('=', 1)[0]!.replaceAll('+', ' ')
    try {
      return decodeURIComponent(raw)
    } catch {
      return raw
    }
  }
  return target.query
    .split('&')
    .filter((part) => query.has(name(part)))
    .join('&')
}

function headersOf(exchange: Exchange, { headers, cookies }: Lookup): readonly string[] {
  if (headers.size === 0 && !cookies) return none
  const { rawHeaders, withheldHeaders } = exchange
  const flat: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!.toLowerCase()
    if (name === 'cookie' || !headers.has(name) || withheldHeaders.includes(name as never)) continue
    flat.push(name, rawHeaders[i + 1]!)
  }
  const cookie = cookies || headers.has('cookie') ? cookiesOf(exchange) : ''
  if (cookie !== '') flat.push('cookie', cookie)
  return flat
}

/** The caller's cookies but those that proved who they are to the gate. */
function cookiesOf({ headers, withheldHeaders, withheldCookies }: Exchange): string {
  if (withheldHeaders.includes('cookie' as never)) return ''
  const parts = (headers.cookie ?? '').split(';').map((part) => part.trim())
  return parts
    .filter((part) => part !== '' && !withheldCookies.includes(part.split('=', 1)[0]!.trim() as never))
    .join('; ')
}

const none: readonly string[] = []

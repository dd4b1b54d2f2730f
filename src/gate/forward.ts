import type { Exchange } from './exchange.ts'
import { connectionOptions } from './headers.ts'
import type { Program } from './program.ts'
import type { Route } from './router.ts'
import type { UpstreamTarget } from './upstream.ts'

/** The path and query that the upstream is asked for: what was matched, with the mount's prefix exchanged. */
export function upstreamPath(exchange: Exchange, { mount }: Route, target: UpstreamTarget): string {
  const { path, query } = exchange.forwarded ?? exchange.target
  const inside =
    mount.prefix === mount.upstreamPrefix ? path : mount.upstreamPrefix + path.slice(mount.prefix.length) || '/'
  const whole = target.pathPrefix + inside
  return query === '' ? whole : `${whole}?${query}`
}

/** The headers that the upstream gets: the caller's that may pass, then the gate's and the guards' own. */
export function upstreamHeaders(exchange: Exchange, program: Program): string[] {
  const { rawHeaders, headers, withheldHeaders, withheldCookies } = exchange
  const rules = program.requestHeaders
  const options = connectionOptions(headers.connection)
  const set = exchange.upstreamHeaders
  const flat: string[] = []
  let cookieSeen = false
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const rule = rules.get(rawHeaders[i]!)
    if (!rule.keep) continue
    const { name } = rule
    if (withheldHeaders.length > 0 && withheldHeaders.includes(name as never)) continue
    if (options.length > 0 && options.includes(name)) continue
    if (set.length > 0 && isSet(set, name)) continue
    if (name === 'cookie') {
      // HTTP/2 may send a crumb a field; towards the upstream they are one (RFC 9113, 8.2.3).
      if (cookieSeen) continue
      cookieSeen = true
      const cookie = withheldCookies.length === 0 ? headers.cookie : withoutCookies(headers.cookie, withheldCookies)
      if (cookie !== undefined && cookie !== '') flat.push(rawHeaders[i]!, cookie)
      continue
    }
    flat.push(rawHeaders[i]!, rawHeaders[i + 1]!)
  }
  pushOrigin(flat, exchange)
  for (let i = 0; i < program.upstreamHeaders.length; i++) flat.push(program.upstreamHeaders[i]!)
  for (let i = 0; i < set.length; i++) flat.push(set[i]!)
  return flat
}

/** Tells the upstream whence a request came, and that it came through the gate (RFC 9110, 7.6.3). */
export function pushOrigin(flat: string[], exchange: Exchange): void {
  flat.push(
    'x-forwarded-for',
    exchange.address,
    'x-forwarded-proto',
    exchange.peer.encrypted ? 'https' : 'http',
    'x-forwarded-host',
    exchange.target.authority,
    'via',
    '1.1 portcullis',
  )
}

function isSet(flat: readonly string[], name: string): boolean {
  for (let i = 0; i < flat.length; i += 2) if (flat[i] === name) return true
  return false
}

function withoutCookies(header: string | undefined, withheld: readonly string[]): string | undefined {
  return header
    ?.split(';')
    .map((part) => part.trim())
    .filter((part) => !withheld.includes(part.slice(0, Math.max(0, part.indexOf('='))).trim()))
    .join('; ')
}

/** Methods that may be tried again when the connection broke (RFC 9110, 9.2.2). */
export function isIdempotent(method: string): boolean {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' || method === 'PUT' || method === 'DELETE'
}

import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { clientAddress } from '../base/ip.ts'
import type { Arrival, Protocol } from './exchange.ts'
import { dropConnectionHeaders } from './headers.ts'
import type { Peer } from './peer.ts'
import { refusals } from './refusal.ts'
import { requestId } from './request-id.ts'
import { readAuthority, readOriginForm, splitAbsoluteForm, targetDenials } from './target.ts'
import { type Denial, denial } from './verdict.ts'

/** A request as the protocol layer hands it over: HTTP/1.1, or HTTP/2 through node's compatibility API. */
export type IncomingRequest = IncomingMessage | Http2ServerRequest

export const arrivalDenials = {
  duplicateHeader: denial(400, 'protocol.duplicate-header', 'A header that may stand only once stands twice.'),
  contentLength: denial(400, 'protocol.content-length', 'The Content-Length header is not a plain number.'),
  framing: denial(400, 'protocol.framing', 'The length of the request body is stated in two ways.'),
  transferCoding: denial(
    501,
    'protocol.transfer-coding',
    'The only transfer coding accepted is "chunked", in HTTP/1.1.',
  ),
  version: denial(505, 'protocol.version', 'This version of HTTP is not supported.'),
  method: denial(501, 'protocol.method', 'This method is not supported.'),
  scheme: denial(400, 'protocol.scheme', 'The scheme of the request target is not the one of the connection.'),
  upgradeBody: denial(400, 'protocol.upgrade-body', 'A request that upgrades the connection must not have a body.'),
  forwarded: denial(400, 'protocol.forwarded', 'The headers that name the client contradict each other.'),
} as const satisfies Record<string, Denial>

/**
 * Headers of which two would let two readers choose differently: node:http keeps the first and drops the rest, an
 * upstream may do otherwise. By length, so that most names are passed over with one array look-up.
 */
const singletons: (Singleton[] | undefined)[] = []
interface Singleton {
  readonly name: string
  readonly bit: number
}
let singletonCount = 0
for (const name of [
  'host',
  'content-length',
  'content-type',
  'transfer-encoding',
  'authorization',
  'proxy-authorization',
  'expect',
  'origin',
  'range',
  'from',
  'age',
  'etag',
  'server',
  'expires',
  'location',
  'retry-after',
  'last-modified',
  'if-modified-since',
  'if-unmodified-since',
  'if-range',
  'max-forwards',
  'referer',
  'user-agent',
  'dpop',
  'traceparent',
  'idempotency-key',
  'x-http-method-override',
  'sec-websocket-key',
  'sec-websocket-version',
  // One Cookie header in HTTP/1.1 (RFC 6265, 5.4); HTTP/2 may split it (RFC 9113, 8.2.3).
  'cookie',
]) {
  const ofLength = singletons[name.length] ?? []
  singletons[name.length] = ofLength
  ofLength.push({ name, bit: 2 ** singletonCount++ })
}
// CGI and its heirs read `_` as `-`, so that to them these frame the body. Nothing good is called so.
const aliases = ['transfer_encoding', 'content_length']
for (const name of aliases) singletons[name.length]!.push({ name, bit: 0 })
const cookieBit = singletons[6]!.find(({ name }) => name === 'cookie')!.bit

/**
 * Reads a request's head into an unambiguous arrival, or says why there is none: one target, one host, one of each
 * header that may stand only once.
 */
export function readArrival(request: IncomingRequest, peer: Peer, now: number): Arrival | Denial {
  return 'stream' in request ? readHttp2(request, peer, now) : readHttp1(request, peer, now)
}

function readHttp1(request: IncomingMessage, peer: Peer, now: number): Arrival | Denial {
  const rawHeaders = request.rawHeaders
  if (hasDuplicate(rawHeaders, 0, 0)) return arrivalDenials.duplicateHeader
  // HTTP/0.9 has no version in its request line, so that one that says so is nothing at all (RFC 9112, appendix C.2.1).
  if (request.httpVersionMajor === 0) return refusals.malformed
  // The parser lets `HTTP/2.0` pass in a request line, which is neither 1.x nor HTTP/2.
  if (request.httpVersionMajor !== 1) return arrivalDenials.version
  const headers = request.headers
  const method = request.method!
  if (method === 'CONNECT' || method === 'TRACE') return arrivalDenials.method
  const length = headers['content-length']
  const coding = headers['transfer-encoding']
  if (coding !== undefined) {
    // RFC 9112, 6.1: both at once is how requests are smuggled, and HTTP/1.0 knows no transfer coding.
    if (length !== undefined) return arrivalDenials.framing
    if (request.httpVersionMinor !== 1 || coding.toLowerCase() !== 'chunked') return arrivalDenials.transferCoding
  }
  if (length !== undefined && !isDecimal(length)) return arrivalDenials.contentLength
  const host = headers.host
  const authority = host === undefined ? undefined : readAuthority(host)
  if (authority === undefined) return targetDenials.host
  let text = request.url!
  if (text.charCodeAt(0) !== 0x2f) {
    const absolute = splitAbsoluteForm(text)
    if (absolute === undefined) return targetDenials.form
    if ((absolute.scheme === 'https') !== peer.encrypted) return arrivalDenials.scheme
    if (readAuthority(absolute.authority) !== authority) return targetDenials.hostMismatch
    text = absolute.rest
  }
  let upgrade: string | undefined
  // Set by node:http although its types leave it out: this request came with the event `upgrade`.
  if ((request as { upgrade?: boolean }).upgrade === true) {
    if (coding !== undefined || (length !== undefined && length !== '0')) return arrivalDenials.upgradeBody
    upgrade = headers.upgrade?.toLowerCase()
  }
  dropConnectionHeaders(headers)
  const protocol = request.httpVersionMinor === 1 ? 'HTTP/1.1' : 'HTTP/1.0'
  return arrivalOf(request.url!, text, protocol, authority, method, headers, rawHeaders, peer, now, upgrade)
}

function readHttp2(request: Http2ServerRequest, peer: Peer, now: number): Arrival | Denial {
  const all = request.rawHeaders
  // Pseudo-headers come first (RFC 9113, 8.3); nghttp2 has seen to it.
  let start = 0
  while (start < all.length && all[start]!.charCodeAt(0) === 0x3a) start += 2
  if (hasDuplicate(all, start, cookieBit)) return arrivalDenials.duplicateHeader
  const method = request.method
  if (method === 'CONNECT' || method === 'TRACE') return arrivalDenials.method
  const headers: IncomingHttpHeaders = {}
  for (const name in request.headers) {
    if (name.charCodeAt(0) !== 0x3a) headers[name] = request.headers[name]
  }
  const length = headers['content-length']
  if (length !== undefined && !isDecimal(length)) return arrivalDenials.contentLength
  const named = request.headers[':authority'] ?? headers.host
  const authority = named === undefined ? undefined : readAuthority(named)
  if (authority === undefined) return targetDenials.host
  // RFC 9113, 8.3.1: a Host that differs makes the request malformed.
  if (headers.host === undefined) headers.host = authority
  else if (readAuthority(headers.host) !== authority) return targetDenials.hostMismatch
  const scheme = request.headers[':scheme']
  if (scheme !== 'https' && (scheme !== 'http' || peer.encrypted)) return arrivalDenials.scheme
  const { url } = request
  return arrivalOf(url, url, 'HTTP/2', authority, method, headers, all.slice(start), peer, now, undefined)
}

function arrivalOf(
  rawTarget: string,
  text: string,
  protocol: Protocol,
  authority: string,
  method: string,
  headers: IncomingHttpHeaders,
  rawHeaders: readonly string[],
  peer: Peer,
  now: number,
  upgrade: string | undefined,
): Arrival | Denial {
  const target = readOriginForm(text)
  if ('kind' in target) return target
  const address = peer.proxies === undefined ? peer.address : clientAddress(peer.address, headers, peer.proxies)
  if (address === undefined) return arrivalDenials.forwarded
  return {
    id: requestId(now),
    method,
    target: { path: target.path, query: target.query, authority },
    rawTarget,
    protocol,
    headers,
    rawHeaders,
    peer,
    address,
    receivedAt: now,
    upgrade,
  }
}

/** Whether a singleton stands twice from `start` on; those in `ignored` may. */
function hasDuplicate(rawHeaders: readonly string[], start: number, ignored: number): boolean {
  let seen = 0
  for (let i = start; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!
    const ofLength = singletons[name.length]
    if (ofLength === undefined) continue
    const first = name.charCodeAt(0) | 0x20
    for (const { name: singleton, bit } of ofLength) {
      if (singleton.charCodeAt(0) !== first || name.toLowerCase() !== singleton) continue
      if ((seen & bit & ~ignored) !== 0 || bit === 0) return true
      seen |= bit
      break
    }
  }
  return false
}

/** Digits only, and few enough to be exact: no sign, no space, no list (RFC 9110, 8.6). */
function isDecimal(text: string): boolean {
  if (text.length === 0 || text.length > 15) return false
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x30 || code > 0x39) return false
  }
  return true
}

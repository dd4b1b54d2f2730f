import type { ServerHttp2Stream } from 'node:http2'
import type { Socket } from 'node:net'
import { renderProblem } from '../http/problem.ts'
import type { IncomingRequest } from './arrival.ts'
import type { Exchange } from './exchange.ts'
import { type Program, replyHeadersFor } from './program.ts'
import type { Answer, Denial } from './verdict.ts'

/**
 * A reply as the protocol layer takes it: HTTP/1.1, HTTP/2 through node's compatibility API, or a stand-in for either
 * when the gate runs in front of a handler in the same process.
 */
export interface OutgoingReply {
  readonly headersSent: boolean
  /** Only HTTP/2 replies have one. */
  readonly stream?: unknown
  writeHead(status: number, headers: string[] | Record<string, string | string[]>): unknown
  write(chunk: Buffer): boolean
  end(body?: string | Buffer): unknown
  destroy(): unknown
  addTrailers(trailers: Record<string, string>): void
  writeContinue(): void
  on(event: 'close', listener: () => void): unknown
  once(event: 'drain', listener: () => void): unknown
}

/** Sends the head in one go. Flat lists keep duplicates and order; HTTP/2 wants them folded. */
export function writeHead(reply: OutgoingReply, status: number, flat: string[]): void {
  if (reply.stream !== undefined) reply.writeHead(status, foldHeaders(flat))
  else reply.writeHead(status, flat)
}

const singleValued = new Set([
  'access-control-allow-credentials',
  'access-control-max-age',
  'age',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'date',
  'etag',
  'expires',
  'last-modified',
  'location',
  'retry-after',
  'tk',
  'x-content-type-options',
])

function foldHeaders(flat: readonly string[]): Record<string, string | string[]> {
  const folded: Record<string, string | string[]> = Object.create(null)
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i]!.toLowerCase()
    if (name === 'connection' || name === 'keep-alive') continue
    const before = folded[name]
    const value = flat[i + 1]!
    if (before === undefined) folded[name] = value
    // HTTP/2 through node refuses two of these; the first counts, as it does for node's own client.
    else if (singleValued.has(name)) continue
    else if (typeof before === 'string') folded[name] = [before, value]
    else before.push(value)
  }
  return folded
}

/**
 * Ends a reply whose head is out so that nobody can take the part for the whole: a missing last chunk or byte in
 * HTTP/1.1, an error on the stream in HTTP/2, a reset where the end of the connection is the end of the body (HTTP/1.0).
 */
export function breakOff(reply: OutgoingReply, request: IncomingRequest): void {
  const stream = reply.stream as Partial<ServerHttp2Stream> | undefined
  // Not `close`: it would send what ends a whole body first. Nor without an error: that says NO_ERROR.
  if (stream?.destroy !== undefined) stream.destroy(new Error('broken off'))
  else if (request.httpVersionMajor === 1 && request.httpVersionMinor === 0) resetConnection(request)
  reply.destroy()
}

function resetConnection(request: IncomingRequest): void {
  const socket = request.socket as (Partial<Socket> & { readonly encrypted?: boolean }) | undefined
  // Over TLS the missing close_notify tells the same (RFC 8446, 6.1).
  if (socket?.encrypted !== true) socket?.resetAndDestroy?.()
}

/** Puts later headers over earlier ones of the same name. */
export function overlayHeaders(flat: string[], over: readonly string[]): void {
  for (let i = 0; i < over.length; i += 2) {
    const name = over[i]!
    const lower = name.toLowerCase()
    if (lower !== 'vary' && lower !== 'set-cookie') {
      for (let j = flat.length - 2; j >= 0; j -= 2) {
        if (flat[j]!.length === name.length && flat[j]!.toLowerCase() === lower) flat.splice(j, 2)
      }
    }
    flat.push(name, over[i + 1]!)
  }
}

/** The headers of a reply that the gate writes itself, beside those of its kind. */
export function commonHeaders(exchange: Exchange, program: Program): string[] {
  const common = [...replyHeadersFor(program, exchange.peer), 'portcullis-request-id', exchange.id]
  if (exchange.replyHeaders.length > 0) overlayHeaders(common, exchange.replyHeaders)
  return common
}

/** Where the page about a denial's code stands: on the gate itself, so that it can be read wherever the gate can be reached. */
export const docsBase = '/.well-known/portcullis/denials/'

/** A refusal as the caller sees it: RFC 9457 in JSON or XML. */
export function denialReply(
  refusal: Denial,
  id: string,
  accept: string | undefined,
  common: readonly string[],
): { readonly headers: string[]; readonly body: string } {
  const { contentType, body } = renderProblem(refusal, { id, accept, docsBase })
  const headers = [...common, 'content-type', contentType, 'content-length', String(Buffer.byteLength(body))]
  // A cache may keep a 404, 405 or 410 of its own accord (RFC 9110, 15.1): a refusal is for one caller at one time.
  headers.push('cache-control', 'no-store')
  if (refusal.headers !== undefined) {
    for (const name in refusal.headers) headers.push(name, refusal.headers[name]!)
  }
  return { headers, body }
}

/** The gate's own answer, such as a preflight's. */
export function answerReply(
  answer: Answer,
  common: readonly string[],
): { readonly headers: string[]; readonly body: string | undefined } {
  const headers = [...common]
  for (const name in answer.headers) headers.push(name, answer.headers[name]!)
  if (answer.body !== undefined) headers.push('content-length', String(Buffer.byteLength(answer.body)))
  else if (answer.status !== 204 && answer.status !== 304) headers.push('content-length', '0')
  return { headers, body: answer.body }
}

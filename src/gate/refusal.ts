import { type ServerResponse, STATUS_CODES } from 'node:http'
import type { Http2ServerResponse } from 'node:http2'
import { docsBase } from './reply.ts'
import type { Stray } from './stray.ts'
import { type Denial, denial } from './verdict.ts'

/** What is refused before there is an exchange: by the connection's limits or the protocol's parser. */
export const refusals = {
  malformed: denial(400, 'protocol.malformed', 'The request is not well-formed HTTP.'),
  incomplete: denial(400, 'protocol.incomplete', 'The connection was closed before the request was complete.'),
  method: denial(501, 'protocol.method', 'This method is not supported.'),
  headTimeout: denial(408, 'protocol.head-timeout', 'The head of the request took too long.'),
  requestTimeout: denial(408, 'protocol.request-timeout', 'The request took too long.'),
  slowBody: denial(408, 'protocol.slow-body', 'The body of the request came too slowly.'),
  headerBytes: denial(431, 'protocol.header-bytes', 'The head of the request is too large.'),
  headerCount: denial(431, 'protocol.header-count', 'The request has too many headers.'),
  chunkExtensions: denial(413, 'protocol.chunk-extensions', 'The chunk extensions of the body are too long.'),
  expectation: denial(417, 'protocol.expectation', 'The only expectation supported is 100-continue.'),
  pipelining: denial(429, 'protocol.pipelining', 'Too many requests wait on this connection.'),
  upgrade: denial(400, 'protocol.upgrade', 'This upgrade is not supported.'),
  plainCredential: denial(
    403,
    'protocol.tls-required',
    'This request carried a credential over plain HTTP. Use https, and replace the credential: it was readable on the way.',
  ),
  plain: denial(403, 'protocol.tls-required', 'Use https.'),
} as const satisfies Record<string, Denial>

/** A refusal without an exchange, for logs and counts. Status 0: the connection was cut without an answer. */
export interface Refused {
  readonly id: string
  readonly status: number
  readonly code: string
  readonly address: string
  /** The request itself, as far as it can be told; for guards that look at what was refused. */
  readonly stray?: Stray | undefined
}

/** Codes of connections that are cut without an answer. */
export type CutCode =
  | 'protocol.connections'
  | 'protocol.http-0.9'
  | 'protocol.connections-per-address'
  | 'protocol.tls-handshake'
  | 'protocol.h2-flood'
  | 'protocol.slow-reader'

function problemOf(refusal: Denial, id: string): string {
  return JSON.stringify({
    type: `${docsBase}${refusal.code}`,
    title: STATUS_CODES[refusal.status],
    status: refusal.status,
    detail: refusal.detail,
    instance: id,
    code: refusal.code,
  })
}

/** A refusal as bytes, for a connection whose parser has given up (RFC 9457 body, RFC 9112 framing). */
export function rawRefusal(refusal: Denial, id: string): string {
  const body = problemOf(refusal, id)
  return (
    `HTTP/1.1 ${refusal.status} ${STATUS_CODES[refusal.status]}\r\n` +
    `Date: ${new Date().toUTCString()}\r\n` +
    'Content-Type: application/problem+json\r\n' +
    `Content-Length: ${Buffer.byteLength(body)}\r\n` +
    'Cache-Control: no-store\r\n' +
    `Portcullis-Request-Id: ${id}\r\n` +
    'Connection: close\r\n\r\n' +
    body
  )
}

/** Refuses a request that was parsed but goes no further than the listener. */
export function refuseReply(reply: ServerResponse | Http2ServerResponse, refusal: Denial, id: string): void {
  const body = problemOf(refusal, id)
  const headers: Record<string, string | number> = {
    'content-type': 'application/problem+json',
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'portcullis-request-id': id,
  }
  if ('stream' in reply) {
    if (reply.stream.destroyed) return
    reply.writeHead(refusal.status, headers)
  } else {
    reply.writeHead(refusal.status, { ...headers, connection: 'close' })
  }
  reply.end(body)
}

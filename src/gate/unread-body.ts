import type { IncomingRequest } from './arrival.ts'
import { bringsBody } from './body.ts'
import { hasHeader } from './headers.ts'
import { type OutgoingReply, writeHead } from './reply.ts'

/**
 * A body announced as no larger than this is read whole before it goes on, also where no guard asks for it: one write
 * costs a fifth of what a stream does (`POST 1 KB` in bench/run.ts), and a slow sender holds no upstream connection.
 */
export const smallBodyBytes = 65_536

/** What is read of a refused body before the connection is cut; nginx lingers as long (`lingering_timeout`). */
const unreadBytesMax = 16_777_216
const unreadMsMax = 5_000

/** The client sends its body only when told to (RFC 9110, 10.1.1); HTTP/1.0 does not know the word. */
export function awaitsContinue(request: IncomingRequest): boolean {
  return request.headers.expect !== undefined && !(request.httpVersionMajor === 1 && request.httpVersionMinor === 0)
}

/**
 * Sends a reply of the gate's own, of which the length is announced. A body of the request that was not read may neither
 * cost much, nor may a reset keep the reply from the caller.
 */
export function sendWhole(
  reply: OutgoingReply,
  request: IncomingRequest,
  status: number,
  headers: string[],
  body: string | undefined,
): void {
  if (request.readableEnded || !bringsBody(request)) {
    writeHead(reply, status, headers)
    reply.end(body)
    return
  }
  const http2 = reply.stream !== undefined
  const waits = awaitsContinue(request)
  // A small one is on its way already: node:http drops it, and the connection stays.
  const small = Number(request.headers['content-length']) <= smallBodyBytes
  if (!http2 && (waits || !small) && !hasHeader(headers, 'connection')) headers.push('connection', 'close')
  writeHead(reply, status, headers)
  if (http2 || waits || small || body === undefined) {
    reply.end(body)
    if (!waits) dropBody(request, () => {})
    return
  }
  // The reply is complete to the caller by its length. It ends here only after the body did: closing over unread bytes
  // would reset the connection and take the reply with it (RFC 9112, 9.6).
  reply.write(Buffer.from(body))
  dropBody(request, () => reply.end())
}

/** Takes the rest of a refused body for a moment, so that the caller can read the refusal before the connection ends. */
export function dropBody(request: IncomingRequest, done: () => void): void {
  let bytes = 0
  let over = false
  const finish = (whole: boolean) => {
    if (over) return
    over = true
    clearTimeout(stop)
    done()
    if (!whole) request.destroy()
  }
  const stop = setTimeout(() => finish(false), unreadMsMax)
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > unreadBytesMax) finish(false)
  })
  request.once('end', () => finish(true))
  request.once('close', () => finish(true))
  request.once('error', () => finish(true))
  request.resume()
}

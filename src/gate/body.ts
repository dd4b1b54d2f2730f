import { Readable, type Transform } from 'node:stream'
import {
  brotliDecompress,
  createBrotliDecompress,
  createGunzip,
  createInflate,
  createZstdDecompress,
  gunzip,
  inflate,
  constants as zlib,
  zstdDecompress,
} from 'node:zlib'
import type { IncomingRequest } from './arrival.ts'
import { type Denial, denial } from './verdict.ts'

export const bodyTooLarge = denial(
  413,
  'gate.body-too-large',
  'The request body is larger than this operation accepts.',
)
export const bodyBroken = denial(400, 'gate.body-incomplete', 'The request body ended before it was complete.')
const codingUnknown = denial(415, 'gate.content-coding', 'The content coding of the request body is not supported.', {
  headers: { 'accept-encoding': 'gzip, deflate, br, zstd' },
})
const codingBroken = denial(
  400,
  'gate.content-coding-broken',
  'The request body is not of the content coding it claims.',
)

/** How much larger than its coded form a body may become: a bomb is refused long before memory runs short. */
const expansionMax = 100

/** Whether a request brings a body (RFC 9112, 6.3; in HTTP/2, whether its stream is still open). */
export function bringsBody(request: IncomingRequest): boolean {
  const { headers } = request
  if ('stream' in request) return !request.stream.endAfterHeaders
  const length = headers['content-length']
  return length === undefined ? headers['transfer-encoding'] !== undefined : length !== '0'
}

/** Collects a whole body, at most `bytesMax`, and calls back once with it or with the refusal. */
export function readBody(
  request: IncomingRequest,
  bytesMax: number,
  done: (body: Buffer | undefined, refusal: Denial | undefined) => void,
): void {
  const announced = Number(request.headers['content-length'])
  if (announced > bytesMax) {
    done(undefined, bodyTooLarge)
    return
  }
  let chunks: Buffer[] | Buffer | undefined
  let bytes = 0
  let over = false
  const finish = (body: Buffer | undefined, refusal: Denial | undefined) => {
    if (over) return
    over = true
    request.off('data', onData)
    done(body, refusal)
  }
  const onData = (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > bytesMax) finish(undefined, bodyTooLarge)
    else if (chunks === undefined) chunks = chunk
    else if (Array.isArray(chunks)) chunks.push(chunk)
    else chunks = [chunks, chunk]
  }
  request.on('data', onData)
  request.once('end', () =>
    finish(Array.isArray(chunks) ? Buffer.concat(chunks, bytes) : (chunks ?? Buffer.alloc(0)), undefined),
  )
  request.once('error', () => finish(undefined, bodyBroken))
  request.once('close', () => finish(undefined, bodyBroken))
}

type Decode = (
  coded: Buffer,
  options: { maxOutputLength: number },
  done: (error: Error | null, body: Buffer) => void,
) => void

const decoders: Readonly<Record<string, Decode>> = {
  gzip: gunzip,
  'x-gzip': gunzip,
  deflate: inflate,
  br: brotliDecompress,
  zstd: zstdDecompress,
}

/** Decodes one content coding within `bytesMax` and the expansion ratio; rejects with a RangeError beyond them. */
export function decodeBody(coded: Buffer, coding: string, bytesMax: number): Promise<Buffer> {
  const decode = decoders[coding]
  if (decode === undefined) return Promise.reject(new TypeError(`unknown content coding`))
  const maxOutputLength = Math.max(1, Math.min(bytesMax, coded.length * expansionMax + 1024))
  return new Promise((resolve, reject) => {
    decode(coded, { maxOutputLength }, (error, body) => {
      if (error === null) resolve(body)
      else
        reject((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE' ? new RangeError('too large') : error)
    })
  })
}

/**
 * Decodes the beginning of a body as far as it goes, at most `bytesMax`: where the coded bytes end early, so does the result.
 * Rejects when nothing can be decoded.
 */
export function decodePart(coded: Buffer, coding: string, bytesMax: number): Promise<Buffer> {
  const open = streams[coding]
  if (open === undefined) return Promise.reject(new TypeError('unknown content coding'))
  return new Promise((resolve, reject) => {
    const decoder = open()
    const chunks: Buffer[] = []
    let bytes = 0
    const finish = () => {
      decoder.removeAllListeners('data')
      resolve(Buffer.concat(chunks, Math.min(bytes, bytesMax)))
      decoder.destroy()
    }
    decoder.on('data', (chunk: Buffer) => {
      chunks.push(chunk)
      bytes += chunk.length
      if (bytes >= bytesMax) finish()
    })
    decoder.once('end', finish)
    // Cut in the middle, or broken there: what came before it is what there is.
    decoder.on('error', (error) => (bytes === 0 ? reject(error) : finish()))
    decoder.end(coded)
  })
}

const streams: Readonly<Record<string, () => Transform>> = {
  // Without these words a body that is cut short is an error, and what was decoded of it is lost.
  gzip: () => createGunzip({ finishFlush: zlib.Z_SYNC_FLUSH }),
  'x-gzip': () => createGunzip({ finishFlush: zlib.Z_SYNC_FLUSH }),
  deflate: () => createInflate({ finishFlush: zlib.Z_SYNC_FLUSH }),
  br: () => createBrotliDecompress({ finishFlush: zlib.BROTLI_OPERATION_FLUSH }),
  zstd: () => createZstdDecompress({ finishFlush: zlib.ZSTD_e_flush }),
}

/** The request body that guards see and the upstream gets: decoded, so that both read the same bytes. */
export async function decodeRequestBody(
  coded: Buffer,
  contentEncoding: string,
  bytesMax: number,
): Promise<Buffer | Denial> {
  const coding = contentEncoding.trim().toLowerCase()
  if (coding === 'identity') return coded
  if (decoders[coding] === undefined) return codingUnknown
  try {
    return await decodeBody(coded, coding, bytesMax)
  } catch (error) {
    return error instanceof RangeError ? bodyTooLarge : codingBroken
  }
}

/**
 * A request body on its way to the upstream, never held: counts as it passes, and ends the exchange when it grows too
 * large. It stands between the two sockets, so that an upstream that breaks does not tear down the caller's.
 */
export class PassingBody extends Readable {
  readonly #request: IncomingRequest
  readonly #bytesMax: number
  bytes = 0
  /** Why the body ended early. */
  refusal: Denial | undefined
  readonly #go: (() => void) | undefined
  #begun = false

  /** `go` is called when the upstream first wants the body: the moment to send 100 (Continue). */
  constructor(request: IncomingRequest, bytesMax: number, go?: () => void) {
    super({ highWaterMark: 65_536 })
    this.#request = request
    this.#bytesMax = bytesMax
    this.#go = go
    // The upstream's client listens for errors only as long as it sends; without a listener one would end the process.
    this.on('error', () => {})
  }

  override _read(): void {
    if (this.#begun) {
      this.#request.resume()
      return
    }
    this.#begun = true
    this.#go?.()
    this.#request.on('data', (chunk: Buffer) => {
      if (!this.destroyed && this.count(chunk.length) && !this.push(chunk)) this.#request.pause()
    })
    this.#request.once('end', () => {
      if (!this.destroyed) this.push(null)
    })
    this.#request.once('error', () => this.#fail(bodyBroken))
    this.#request.once('close', () => {
      if (!this.#request.readableEnded) this.#fail(bodyBroken)
    })
  }

  /**
   * Counts bytes that came; false when they are too many. For src/middleware, where a handler in this process reads them
   * from the request itself.
   */
  count(bytes: number): boolean {
    this.bytes += bytes
    if (this.bytes <= this.#bytesMax) return true
    this.#fail(bodyTooLarge)
    return false
  }

  #fail(refusal: Denial): void {
    if (this.destroyed) return
    this.refusal = refusal
    this.destroy(new Error(refusal.code))
  }
}

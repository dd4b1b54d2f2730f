import type { IncomingHttpHeaders, IncomingMessage } from 'node:http'
import { Readable } from 'node:stream'
import type { PassingBody } from '../gate/body.ts'
import { foldRequestHeaders, type Passed } from './engine.ts'

/**
 * A request as the gate reads it, over the one that the framework and its handlers hold. A body that the gate reads is
 * put back into the request before the request ends; one that it only counts goes its own way. Why so:
 * docs/decisions/middleware.md.
 */
export class GateRequest extends Readable {
  readonly method: string | undefined
  readonly url: string
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: string[]
  readonly httpVersionMajor: number
  readonly httpVersionMinor: number
  /** Only requests of HTTP/2 have one, and the gate tells them apart by it. */
  declare readonly stream?: unknown
  readonly #request: IncomingMessage
  readonly #announced: number
  /** Who takes what comes. */
  #reader: 'nobody' | 'gate' | 'handler' = 'nobody'
  #bytes = 0

  /** `url` is what stood in the request line: frameworks that mount a handler below a path shorten the request's. */
  constructor(request: IncomingMessage, url: string) {
    super()
    this.#request = request
    this.#announced = Number(request.headers['content-length'])
    this.method = request.method
    this.url = url
    this.headers = request.headers
    this.rawHeaders = request.rawHeaders
    this.httpVersionMajor = request.httpVersionMajor
    this.httpVersionMinor = request.httpVersionMinor
    if ('stream' in request) this.stream = request.stream
    else if (request.headers.expect !== undefined) {
      // Node has answered `Expect: 100-continue` before anybody saw the request: the body is on its way.
      const { expect: _, ...rest } = request.headers
      this.headers = rest
    }
  }

  get socket(): IncomingMessage['socket'] {
    return this.#request.socket
  }

  override _read(): void {
    if (this.#reader !== 'nobody') return
    this.#reader = 'gate'
    this.#take()
    if (this.#reader !== 'gate') return
    this.#request.on('readable', this.#take)
    this.#request.once('close', () => this.destroy())
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    if (this.#reader === 'gate') this.#request.destroy()
    done(error)
  }

  /** Takes what has come of the body; where that is all, leaves the request to the handler. */
  readonly #take = (): void => {
    const request = this.#request
    let last: Buffer | null = null
    while (request.readableLength > 0) {
      last = request.read() as Buffer
      this.#bytes += last.length
      this.push(last)
    }
    if (!this.#isWhole()) return
    this.#reader = 'handler'
    request.off('readable', this.#take)
    // Whoever reads to the end makes a stream end; something left in it keeps the end for the handler.
    if (last !== null) request.unshift(last)
    this.push(null)
  }

  #isWhole(): boolean {
    const { stream, complete } = this.#request as IncomingMessage & { readonly stream?: Readable }
    // In HTTP/2 `complete` says that the request was read, not that it came.
    return (stream?.readableEnded ?? complete) || this.#bytes === this.#announced
  }

  /**
   * Makes the request what may pass: one spelling of the path, headers filtered and set, the body unread.
   */
  handOver({ url, headers, body }: Passed): void {
    const request = this.#request
    // A getter in HTTP/2, and made of what came in HTTP/1.1.
    Object.defineProperty(request, 'headers', {
      value: foldRequestHeaders(headers),
      configurable: true,
      writable: true,
    })
    Object.defineProperty(request, 'rawHeaders', { value: headers, configurable: true, writable: true })
    if (url !== this.url) rename(request, this.url, url)
    if (Buffer.isBuffer(body)) {
      if (request.readableLength > 0) request.read()
      request.unshift(body)
    } else if (body !== null) this.#countOn(body)
  }

  /** The handler reads from the request itself, with its backpressure; what comes is counted where it comes in. */
  #countOn(body: PassingBody): void {
    const request = this.#request
    const push = request.push
    this.#reader = 'handler'
    body.count(request.readableLength)
    request.push = (chunk: Buffer | null, encoding?: BufferEncoding) => {
      if (chunk === null) {
        this.push(null)
        this.resume()
      } else if (!body.count(chunk.length)) {
        // The gate lets the rest of what it refuses run dry for a while, and then cuts the connection.
        this.#reader = 'gate'
        return this.push(chunk)
      }
      return push.call(request, chunk, encoding)
    }
  }
}

/** Frameworks keep two: `originalUrl` is the whole one, `url` what is left below the mount. */
function rename(request: IncomingMessage, before: string, now: string): void {
  const known = request as { originalUrl?: string; url?: string }
  if (known.originalUrl === undefined || known.url === before) {
    known.url = now
    if (known.originalUrl !== undefined) known.originalUrl = now
    return
  }
  const mount = before.slice(0, before.length - known.url!.length)
  // Where the mount's own part is spelt in another way, the framework has matched it and is left to it.
  if (!before.endsWith(known.url!) || !now.startsWith(`${mount}/`)) return
  known.originalUrl = now
  known.url = now.slice(mount.length)
}

import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { PeerCertificate } from 'node:tls'
import type { Dispatcher } from 'undici'
import type { IncomingRequest } from '../gate/arrival.ts'
import type { OutgoingReply } from '../gate/reply.ts'
import {
  answerFailure,
  createEngine,
  type Engine,
  foldRequestHeaders,
  HandlerController,
  type Passed,
  type ProtectOptions,
} from './engine.ts'

export type { ProtectOptions } from './engine.ts'

/** A handler in the terms of the Fetch standard. */
export type FetchHandler = (request: Request) => Response | Promise<Response>

/** What a `Request` does not say of who sent it. */
export interface FetchCaller {
  /** The address of the socket's other end. Without it all callers count as one. */
  readonly address?: string | undefined
  /** The client certificate, verified by the server. */
  readonly certificate?: PeerCertificate | undefined
}

/** A gate in front of fetch handlers. */
export interface FetchGate {
  /** Answers for the gate, or with what `handler` says to what may pass. Never rejects. */
  (request: Request, handler: FetchHandler, caller?: FetchCaller): Promise<Response>
  /** Ends what the gate holds, after the requests under way; for an orderly stop. */
  close(): Promise<void>
}

/**
 * The gate in front of a fetch handler in the same process: `const gate = await portcullis({ openapi: './openapi.yaml' })`,
 * then `export default { fetch: (request) => gate(request, handler) }`.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<FetchGate> {
  const engine = await createEngine(options)
  const gate = (request: Request, handler: FetchHandler, caller: FetchCaller = {}) =>
    run(engine, request, handler, caller)
  return Object.assign(gate, { close: engine.close })
}

function run(engine: Engine, request: Request, handler: FetchHandler, given: FetchCaller): Promise<Response> {
  const { promise, resolve } = Promise.withResolvers<Response>()
  const url = new URL(request.url)
  const reply = new FetchReply(resolve)
  const caller = { address: given.address, encrypted: url.protocol === 'https:', certificate: given.certificate }
  request.signal.addEventListener('abort', () => reply.gone(), { once: true })
  engine.request(new FetchRequest(request, url) as unknown as IncomingRequest, reply, caller, (passed, answer) => {
    void answerWith(engine, handler, url.origin, request.method, passed, answer)
  })
  return promise
}

/** Calls the handler with what may pass, and hands its answer to the gate piece by piece. */
async function answerWith(
  { log }: Engine,
  handler: FetchHandler,
  origin: string,
  method: string,
  passed: Passed,
  answer: Dispatcher.DispatchHandler,
): Promise<void> {
  let resumed = () => {}
  const stop = new AbortController()
  const controller = new HandlerController(
    answer,
    () => resumed(),
    (reason) => {
      stop.abort(reason)
      resumed()
    },
  )
  let begun = false
  answer.onRequestStart?.(controller, undefined)
  try {
    const response = await handler(requestOf(passed, origin, method, stop.signal))
    if (response.type === 'error') throw new TypeError('the handler answered with Response.error()')
    if (controller.aborted) return void response.body?.cancel(controller.reason).catch(() => {})
    begun = true
    answer.onResponseStart?.(controller, response.status, headersOf(response))
    const reader = response.body?.getReader()
    // Whoever waits for the next piece must hear that nobody wants it.
    stop.signal.addEventListener('abort', () => void reader?.cancel(controller.reason).catch(() => {}))
    while (reader !== undefined) {
      if (controller.paused && !controller.aborted) await new Promise<void>((resolve) => (resumed = resolve))
      const { done, value } = await reader.read()
      if (done || controller.aborted) break
      answer.onResponseData?.(controller, Buffer.from(value.buffer, value.byteOffset, value.byteLength))
    }
    if (!controller.aborted) answer.onResponseEnd?.(controller, {})
  } catch (error) {
    if (controller.aborted) return
    log.error('The handler behind the gate failed.', { error: error instanceof Error ? error.stack : error })
    if (begun) answer.onResponseError?.(controller, Object.assign(new Error('failed'), { code: 'ECONNRESET' }))
    else answerFailure(answer, controller)
  }
}

type RequestInit = NonNullable<ConstructorParameters<typeof Request>[1]>
type ResponseBody = ConstructorParameters<typeof Response>[0]

function requestOf({ url, headers: flat, body }: Passed, origin: string, method: string, signal: AbortSignal): Request {
  const headers = new Headers()
  for (let i = 0; i < flat.length; i += 2) headers.append(flat[i]!, flat[i + 1]!)
  const init: RequestInit = { method, headers, signal }
  if (Buffer.isBuffer(body)) init.body = body as Uint8Array<ArrayBuffer>
  else if (body !== null) Object.assign(init, { body: Readable.toWeb(body), duplex: 'half' })
  return new Request(origin + url, init)
}

function headersOf(response: Response): IncomingHttpHeaders {
  const headers: Record<string, string | string[]> = Object.fromEntries(response.headers)
  const cookies = response.headers.getSetCookie()
  if (cookies.length > 0) headers['set-cookie'] = cookies
  return headers
}

/** A `Request` in the shape in which the gate reads requests. */
class FetchRequest extends Readable {
  readonly method: string
  readonly url: string
  readonly rawHeaders: string[]
  readonly headers: IncomingHttpHeaders
  readonly httpVersionMajor = 1
  readonly httpVersionMinor = 1
  readonly #body: Request['body']
  #source: Readable | undefined

  constructor(request: Request, { pathname, search, host }: URL) {
    super()
    this.method = request.method
    this.url = pathname + search
    this.#body = request.body
    // Its framing and expectations have been dealt with by whoever made the Request.
    const settled = new Set(['expect', 'transfer-encoding'])
    this.rawHeaders = [...request.headers].filter(([name]) => !settled.has(name)).flat()
    if (!request.headers.has('host')) this.rawHeaders.push('host', host)
    if (this.#body !== null && !request.headers.has('content-length')) {
      this.rawHeaders.push('transfer-encoding', 'chunked')
    }
    this.headers = foldRequestHeaders(this.rawHeaders)
  }

  override _read(): void {
    if (this.#body === null) return void this.push(null)
    if (this.#source !== undefined) return void this.#source.resume()
    this.#source = Readable.fromWeb(this.#body as NodeReadableStream)
    this.#source.on('data', (chunk: Uint8Array) => {
      if (!this.push(chunk)) this.#source!.pause()
    })
    this.#source.once('end', () => this.push(null))
    this.#source.once('error', (error) => this.destroy(error))
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#source?.destroy()
    done(error)
  }
}

/** Held for a reader that is slower than the handler. */
const aheadBytesMax = 65_536

/** Statuses that have no body, so that a Response must not be made with one (Fetch, "null body status"). */
const bodiless = new Set([204, 205, 304])

/** The gate's reply as a `Response`, made when the head is known; its body streams with backpressure. */
class FetchReply implements OutgoingReply {
  headersSent = false
  readonly #resolve: (response: Response) => void
  readonly #closed: (() => void)[] = []
  #drained: (() => void)[] = []
  #body: ReadableStreamDefaultController<Uint8Array> | undefined
  #status = 0
  readonly #headers = new Headers()
  #over = false

  constructor(resolve: (response: Response) => void) {
    this.#resolve = resolve
  }

  writeHead(status: number, flat: string[]): void {
    this.headersSent = true
    this.#status = status
    for (let i = 0; i < flat.length; i += 2) {
      // The connection is not the gate's (RFC 9110, 7.6.1).
      if (flat[i] !== 'connection') this.#headers.append(flat[i]!, flat[i + 1]!)
    }
  }

  write(chunk: Buffer): boolean {
    if (this.#over) return false
    this.#body ??= this.#stream()
    this.#body.enqueue(chunk)
    return (this.#body.desiredSize ?? 0) > 0
  }

  end(body?: string | Buffer): void {
    if (this.#over) return
    if (this.#body === undefined) this.#respond(body === undefined || body.length === 0 ? null : (body as ResponseBody))
    else {
      if (body !== undefined && body.length > 0) this.#body.enqueue(Buffer.from(body))
      this.#body.close()
    }
    this.#close()
  }

  /** So that the caller does not take a part for the whole. */
  destroy(): void {
    if (this.#over) return
    if (this.headersSent) {
      this.#body ??= this.#stream()
      this.#body.error(new Error('the answer broke off'))
    } else this.#resolve(new Response(null, { status: 500 }))
    this.#close()
  }

  /** The caller has lost interest: not an error, although frameworks report it as one where they are told. */
  gone(): void {
    if (this.#over) return
    // nginx's status for a caller that is gone.
    if (this.#body === undefined) this.#resolve(new Response(null, { status: 499 }))
    else this.#body.close()
    this.#close()
  }

  addTrailers(): void {
    // A Response has no place for them.
  }

  writeContinue(): void {
    // Whoever made the Request has.
  }

  on(_event: 'close', listener: () => void): void {
    this.#closed.push(listener)
  }

  once(_event: 'drain', listener: () => void): void {
    this.#drained.push(listener)
  }

  #stream(): ReadableStreamDefaultController<Uint8Array> {
    let body: ReadableStreamDefaultController<Uint8Array>
    const stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => {
          body = controller
        },
        pull: () => {
          const drained = this.#drained
          this.#drained = []
          for (const listener of drained) listener()
        },
        cancel: () => this.#close(),
      },
      { highWaterMark: aheadBytesMax, size: ({ byteLength }) => byteLength },
    )
    this.#respond(stream)
    return body!
  }

  #respond(body: ResponseBody): void {
    const given = bodiless.has(this.#status) ? null : body
    this.#resolve(new Response(given, { status: this.#status, headers: this.#headers }))
  }

  #close(): void {
    if (this.#over) return
    this.#over = true
    for (const listener of this.#closed) listener()
  }
}

import type { IncomingHttpHeaders } from 'node:http'
import { Readable } from 'node:stream'
import type { ReadableStream as NodeReadableStream } from 'node:stream/web'
import type { Dispatcher } from 'undici'
import { canonicalAddress } from '../base/ip.ts'
import type { IncomingRequest } from '../gate/arrival.ts'
import type { OutgoingReply } from '../gate/reply.ts'
import { createEngine, type Engine, foldRequestHeaders, HandlerController, type ProtectOptions } from './engine.ts'

export type { ProtectOptions } from './engine.ts'

/** A handler in the terms of the Fetch standard. */
export type FetchHandler = (request: Request) => Response | Promise<Response>

/** A request as the gate must know it, beyond what a `Request` says. */
export interface Caller {
  /** The address of the socket's other end. Without it every caller counts as one. */
  readonly address?: string | undefined
}

/** A gate in front of fetch handlers. */
export interface FetchGate {
  /** Answers for the gate, or with what `handler` says to what may pass. */
  (request: Request, handler: FetchHandler, caller?: Caller): Promise<Response>
  /** Ends what the gate holds; for an orderly stop. */
  close(): Promise<void>
}

/**
 * The gate in front of a fetch handler in the same process: `const gate = await portcullis({ openapi: './openapi.yaml' })`, then
 * `export default { fetch: (request) => gate(request, handler) }`.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<FetchGate> {
  const engine = await createEngine(options)
  const gate = (request: Request, handler: FetchHandler, caller: Caller = {}) => run(engine, request, handler, caller)
  return Object.assign(gate, { close: engine.close })
}

function run(engine: Engine, request: Request, handler: FetchHandler, caller: Caller): Promise<Response> {
  const incoming = new FetchRequest(request)
  const address = canonicalAddress(caller.address ?? '') ?? '0.0.0.0'
  const trusted = engine.trusted.has(address)
  engine.bind(incoming.rawHeaders, (options, reply) => {
    void answer(request, handler, options, reply)
  })
  return new Promise((resolve, reject) => {
    const reply = new FetchReply(resolve, reject)
    request.signal.addEventListener('abort', () => reply.gone(), { once: true })
    engine.gate.request(incoming as unknown as IncomingRequest, reply, {
      address,
      encrypted: request.url.startsWith('https:'),
      certificate: undefined,
      trusted,
      proxies: trusted ? engine.trusted : undefined,
    })
  })
}

/** Calls the handler with what may pass and feeds its answer to the gate, piece by piece. */
async function answer(
  original: Request,
  handler: FetchHandler,
  options: Dispatcher.DispatchOptions,
  reply: Dispatcher.DispatchHandler,
): Promise<void> {
  let resumed = () => {}
  const stop = new AbortController()
  const controller = new HandlerController(
    () => resumed(),
    (reason) => stop.abort(reason),
  )
  reply.onRequestStart?.(controller, undefined)
  try {
    const flat = options.headers as string[]
    const headers = new Headers()
    for (let i = 0; i < flat.length; i += 2) headers.append(flat[i]!, flat[i + 1]!)
    const url = new URL(options.path, original.url)
    const body = bodyOf(options.body)
    const passed = new Request(url, {
      method: options.method,
      headers,
      signal: stop.signal,
      ...(body === undefined ? {} : { body, duplex: 'half' }),
    } as RequestInit)
    const response = await handler(passed)
    if (controller.aborted) return void response.body?.cancel()
    reply.onResponseStart?.(controller, response.status, headersOf(response))
    const reader = response.body?.getReader()
    while (reader !== undefined) {
      if (controller.paused) await new Promise<void>((resolve) => (resumed = resolve))
      const { done, value } = await reader.read()
      if (done) break
      if (controller.aborted) return void reader.cancel()
      reply.onResponseData?.(controller, Buffer.from(value.buffer, value.byteOffset, value.byteLength))
    }
    reply.onResponseEnd?.(controller, {})
  } catch (error) {
    if (!controller.aborted) reply.onResponseError?.(controller, error as Error)
  }
}

function bodyOf(body: Dispatcher.DispatchOptions['body']): BodyInit | undefined {
  if (body === null || body === undefined) return undefined
  if (body instanceof Readable) return Readable.toWeb(body) as unknown as BodyInit
  return body as BodyInit
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
  readonly httpVersion = '1.1'
  readonly httpVersionMajor = 1
  readonly httpVersionMinor = 1
  readonly #source: Readable | undefined

  constructor(request: Request) {
    super()
    const { pathname, search, host } = new URL(request.url)
    this.method = request.method
    this.url = pathname + search
    this.rawHeaders = [...request.headers].flat()
    if (!request.headers.has('host')) this.rawHeaders.push('host', host)
    const { body } = request
    // A Request that is made, not received, has no framing; the gate wants to know that there is a body.
    if (body !== null && !request.headers.has('content-length')) this.rawHeaders.push('transfer-encoding', 'chunked')
    this.headers = foldRequestHeaders(this.rawHeaders)
    this.#source = body === null ? undefined : Readable.fromWeb(body as NodeReadableStream)
    this.#source?.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) this.#source?.pause()
    })
    this.#source?.on('end', () => this.push(null))
    this.#source?.on('error', (error) => this.destroy(error))
    this.#source?.pause()
  }

  override _read(): void {
    if (this.#source === undefined) this.push(null)
    else this.#source.resume()
  }
}

/** The gate's reply as a `Response` whose body streams with backpressure. */
class FetchReply implements OutgoingReply {
  headersSent = false
  readonly #resolve: (response: Response) => void
  readonly #reject: (reason: Error) => void
  readonly #closed: (() => void)[] = []
  #drained: (() => void)[] = []
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined
  #head: { readonly status: number; readonly headers: [string, string][] } | undefined
  #over = false

  constructor(resolve: (response: Response) => void, reject: (reason: Error) => void) {
    this.#resolve = resolve
    this.#reject = reject
  }

  writeHead(status: number, flat: string[]): void {
    this.headersSent = true
    const headers: [string, string][] = []
    for (let i = 0; i < flat.length; i += 2) {
      if (flat[i]!.toLowerCase() !== 'connection') headers.push([flat[i]!, flat[i + 1]!])
    }
    this.#head = { status, headers }
  }

  write(chunk: Buffer): boolean {
    this.#begin()
    this.#controller!.enqueue(chunk)
    return (this.#controller!.desiredSize ?? 1) > 0
  }

  end(body?: string | Buffer): void {
    if (this.#over) return
    if (this.#controller === undefined) {
      const { status, headers } = this.#head!
      const empty = body === undefined || body.length === 0 || status === 204 || status === 304
      this.#resolve(new Response(empty ? null : (body as BodyInit), { status, headers }))
    } else {
      if (body !== undefined && body.length > 0) this.#controller.enqueue(Buffer.from(body))
      this.#controller.close()
    }
    this.#close()
  }

  destroy(): void {
    const reason = new Error('the answer broke off')
    if (this.#controller === undefined) this.#reject(reason)
    else if (!this.#over) this.#controller.error(reason)
    this.#close()
  }

  /** The caller has lost interest. */
  gone(): void {
    if (!this.#over) this.destroy()
  }

  addTrailers(): void {
    // A Response has no place for trailers.
  }

  writeContinue(): void {
    // Whoever made the Request has settled that.
  }

  on(_event: 'close', listener: () => void): void {
    this.#closed.push(listener)
  }

  once(_event: 'drain', listener: () => void): void {
    this.#drained.push(listener)
  }

  #begin(): void {
    if (this.#controller !== undefined) return
    const { status, headers } = this.#head!
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        this.#controller = controller
      },
      pull: () => {
        const drained = this.#drained
        this.#drained = []
        for (const listener of drained) listener()
      },
      cancel: () => this.#close(),
    })
    this.#resolve(new Response(stream, { status, headers }))
  }

  #close(): void {
    if (this.#over) return
    this.#over = true
    for (const listener of this.#closed) listener()
  }
}

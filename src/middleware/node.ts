import type { IncomingMessage, OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Dispatcher } from 'undici'
import { canonicalAddress } from '../base/ip.ts'
import type { Peer } from '../gate/peer.ts'
import type { OutgoingReply } from '../gate/reply.ts'
import { createEngine, type Engine, foldRequestHeaders, HandlerController, type ProtectOptions } from './engine.ts'

export type { ProtectOptions } from './engine.ts'

/** What stands behind the gate: a `node:http` listener, or the rest of a framework's chain. */
export type Next = (error?: unknown) => void

/** A gate to be called before a handler. `next` runs only for what may pass; its answer goes through the gate too. */
export interface Middleware {
  (request: IncomingMessage, response: ServerResponse, next: Next): void
  /** Ends what the gate holds; for an orderly stop. */
  close(): Promise<void>
}

/**
 * The gate in front of a handler in the same process: `const gate = await portcullis({ openapi: './openapi.yaml' })`, then
 * `createServer((request, response) => gate(request, response, () => app(request, response)))`.
 * A body that a guard has read is there again for the handler.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<Middleware> {
  const engine = await createEngine(options)
  const middleware = (request: IncomingMessage, response: ServerResponse, next: Next) =>
    run(engine, request, response, next)
  return Object.assign(middleware, { close: engine.close })
}

function run(engine: Engine, request: IncomingMessage, response: ServerResponse, next: Next): void {
  const outer = new OuterReply(response)
  engine.bind(request.rawHeaders, (options, handler) => {
    handOver(request, options)
    new InnerReply(response, outer, handler).install()
    next()
  })
  engine.gate.request(seenByGate(request), outer, peerOf(request, engine))
}

/** Frameworks that mount a handler below a path shorten `url`; the document knows the whole one. */
function seenByGate(request: IncomingMessage): IncomingMessage {
  const { originalUrl } = request as { originalUrl?: string }
  return originalUrl === undefined || originalUrl === request.url
    ? request
    : Object.create(request, { url: { value: originalUrl } })
}

function peerOf({ socket }: IncomingMessage, { trusted }: Engine): Peer {
  const tls = socket as Partial<TLSSocket>
  const address = canonicalAddress(socket.remoteAddress ?? '') ?? '0.0.0.0'
  const isTrusted = trusted.has(address)
  return {
    address,
    encrypted: tls.encrypted === true,
    certificate: tls.authorized === true ? tls.getPeerCertificate?.(true) : undefined,
    trusted: isTrusted,
    proxies: isTrusted ? trusted : undefined,
  }
}

/** Gives the request to the handler as an upstream would get it: headers filtered and set, body unread. */
function handOver(request: IncomingMessage, { headers, body }: Dispatcher.DispatchOptions): void {
  const flat = headers as string[]
  Object.defineProperty(request, 'headers', { value: foldRequestHeaders(flat), configurable: true, writable: true })
  request.rawHeaders = flat
  if (Buffer.isBuffer(body)) {
    request.headers['content-length'] = String(body.length)
    refill(request, body)
  }
}

/**
 * Makes a request readable from the start again. Frameworks hold on to this very object, so what it reads from is
 * exchanged: the state of a fresh stream that holds the whole body.
 */
function refill(request: IncomingMessage, body: Buffer): void {
  const fresh = new Readable({ read() {} })
  fresh.push(body)
  fresh.push(null)
  const exchanged = request as unknown as { _readableState: unknown; _consumed: boolean }
  exchanged._readableState = (fresh as unknown as { _readableState: unknown })._readableState
  exchanged._consumed = true
}

/** The caller's side of a response: what the gate writes. */
class OuterReply implements OutgoingReply {
  readonly #response: ServerResponse
  readonly #writeHead: ServerResponse['writeHead']
  readonly #write: ServerResponse['write']
  readonly #end: ServerResponse['end']
  #headersSent = false

  constructor(response: ServerResponse) {
    this.#response = response
    this.#writeHead = response.writeHead.bind(response) as ServerResponse['writeHead']
    this.#write = response.write.bind(response) as ServerResponse['write']
    this.#end = response.end.bind(response) as ServerResponse['end']
  }

  get headersSent(): boolean {
    return this.#headersSent
  }

  writeHead(status: number, headers: string[]): void {
    this.#headersSent = true
    // What the handler set has been through the gate and is in `headers`, as far as it may leave.
    for (const name of this.#response.getHeaderNames()) this.#response.removeHeader(name)
    this.#writeHead(status, headers)
  }

  write(chunk: Buffer): boolean {
    return this.#write(chunk)
  }

  end(body?: string | Buffer): void {
    this.#end(body)
  }

  destroy(): void {
    this.#response.destroy()
  }

  addTrailers(trailers: Record<string, string>): void {
    this.#response.addTrailers(trailers)
  }

  writeContinue(): void {
    // Node has answered `Expect: 100-continue` by itself before the handler was called.
  }

  on(event: 'close', listener: () => void): void {
    this.#response.on(event, listener)
  }

  once(event: 'drain', listener: () => void): void {
    this.#response.once(event, listener)
  }
}

/** The handler's side of a response: what it writes goes to the gate as an upstream's answer. */
class InnerReply {
  readonly #response: ServerResponse
  readonly #outer: OuterReply
  readonly #handler: Dispatcher.DispatchHandler
  readonly #controller: HandlerController
  #begun = false
  #ended = false

  constructor(response: ServerResponse, outer: OuterReply, handler: Dispatcher.DispatchHandler) {
    this.#response = response
    this.#outer = outer
    this.#handler = handler
    this.#controller = new HandlerController(
      () => response.emit('drain'),
      () => {
        this.#ended = true
      },
    )
  }

  install(): void {
    const response = this.#response
    response.writeHead = ((status: number, ...rest: unknown[]) => {
      this.#begin(status, rest.find((part) => typeof part === 'object') as HeadersInput | undefined)
      return response
    }) as ServerResponse['writeHead']
    response.flushHeaders = () => this.#begin(response.statusCode)
    response.write = ((chunk: unknown, encoding?: unknown, done?: unknown) => {
      this.#begin(response.statusCode)
      return this.#pass(chunk, encoding, done)
    }) as ServerResponse['write']
    response.end = ((chunk?: unknown, encoding?: unknown, done?: unknown) => {
      this.#end(chunk, encoding, done)
      return response
    }) as ServerResponse['end']
    Object.defineProperty(response, 'headersSent', {
      get: () => this.#begun || this.#outer.headersSent,
      configurable: true,
    })
    this.#handler.onRequestStart?.(this.#controller, undefined)
  }

  #begin(status: number, given?: HeadersInput): void {
    if (this.#begun) return
    this.#begun = true
    const headers: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(this.#response.getHeaders())) put(headers, name, value)
    for (const [name, value] of pairsOf(given)) put(headers, name, value)
    this.#handler.onResponseStart?.(this.#controller, status, headers)
  }

  #pass(chunk: unknown, encoding: unknown, done: unknown): boolean {
    const callback = typeof encoding === 'function' ? encoding : done
    if (!this.#ended && chunk !== undefined && chunk !== null) {
      const bytes =
        typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : Buffer.from(chunk as Uint8Array)
      if (bytes.length > 0) this.#handler.onResponseData?.(this.#controller, bytes)
    }
    if (typeof callback === 'function') process.nextTick(callback as () => void)
    return !this.#controller.paused
  }

  #end(chunk: unknown, encoding: unknown, done: unknown): void {
    if (typeof chunk === 'function') return this.#end(undefined, undefined, chunk)
    if (this.#ended) return
    const whole = typeof chunk === 'string' ? Buffer.from(chunk, encodingOf(encoding)) : (chunk as Buffer | undefined)
    if (!this.#begun && !this.#response.hasHeader('content-length') && hasBody(this.#response.statusCode)) {
      this.#response.setHeader('content-length', whole?.length ?? 0)
    }
    this.#begin(this.#response.statusCode)
    this.#pass(whole, undefined, typeof encoding === 'function' ? encoding : done)
    this.#ended = true
    this.#handler.onResponseEnd?.(this.#controller, {})
  }
}

function hasBody(status: number): boolean {
  return status >= 200 && status !== 204 && status !== 304
}

type HeadersInput = OutgoingHttpHeaders | readonly OutgoingHttpHeader[] | readonly (readonly [string, string])[]

function pairsOf(given: HeadersInput | undefined): Iterable<readonly [string, OutgoingHttpHeader | undefined]> {
  if (given === undefined) return []
  if (!Array.isArray(given)) return Object.entries(given)
  if (Array.isArray(given[0])) return given as readonly (readonly [string, string])[]
  const flat = given as readonly string[]
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!, flat[2 * i + 1]!] as const)
}

function put(headers: Record<string, string | string[]>, name: string, value: OutgoingHttpHeader | undefined): void {
  if (value !== undefined) headers[name.toLowerCase()] = Array.isArray(value) ? value.map(String) : String(value)
}

function encodingOf(encoding: unknown): BufferEncoding {
  return typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8'
}

import type { OutgoingHttpHeader, OutgoingHttpHeaders, ServerResponse } from 'node:http'
import type { Dispatcher } from 'undici'
import type { OutgoingReply } from '../gate/reply.ts'
import { answerFailure, HandlerController } from './engine.ts'

type Own = 'writeHead' | 'write' | 'end' | 'destroy' | 'addTrailers'

/** The caller's side of a response: what the gate writes reaches the connection. */
export class CallerReply implements OutgoingReply {
  headersSent = false
  ended = false
  /** While one of the methods runs that the handler's replace: what it calls in turn is not the handler's. */
  inside = false
  /** While the connection tells that it takes more: then whoever listens for `drain` on the response hears it himself. */
  draining = false
  readonly #response: ServerResponse
  readonly #own: Pick<ServerResponse, Own>
  readonly #before: OutgoingHttpHeaders

  constructor(response: ServerResponse) {
    this.#response = response
    this.#before = response.getHeaders()
    // As they are now, with whatever stands in front of the gate and has put itself in their place.
    const { writeHead, write, end, destroy, addTrailers } = response
    this.#own = { writeHead, write, end, destroy, addTrailers }
  }

  /** Only responses of HTTP/2 have one. */
  get stream(): unknown {
    return (this.#response as { readonly stream?: unknown }).stream
  }

  /** Whether a header was set in front of the gate, and is not the handler's. */
  isEarlier(name: string): boolean {
    return name in this.#before && String(this.#response.getHeader(name)) === String(this.#before[name])
  }

  writeHead(status: number, headers: string[] | Record<string, string | string[]>): void {
    const response = this.#response
    // What the handler has set went through the gate, and is in `headers` as far as it may leave.
    for (const name of response.getHeaderNames()) if (!this.isEarlier(name)) response.removeHeader(name)
    // The words were for the handler's status; HTTP/2 has none, and warns whoever asks.
    if (this.stream === undefined) response.statusMessage = ''
    const pairs = Array.isArray(headers) ? pairsOf(headers) : Object.entries(headers)
    for (const [name] of pairs) response.removeHeader(name)
    for (const [name, value] of pairs) response.appendHeader(name, value as string | string[])
    this.call('writeHead', [status])
    // Not before: a head that cannot be sent is refused, and the refusal needs one.
    this.headersSent = true
  }

  /** Calls a method as it was before the handler's took its place. */
  call<Name extends Own>(name: Name, given: unknown[]): ReturnType<ServerResponse[Name]> {
    const outside = !this.inside
    this.inside = true
    try {
      return Reflect.apply(this.#own[name], this.#response, given)
    } finally {
      if (outside) this.inside = false
    }
  }

  write(chunk: Buffer): boolean {
    return this.call('write', [chunk])
  }

  end(body?: string | Buffer): void {
    this.ended = true
    this.call('end', [body])
  }

  destroy(): void {
    this.call('destroy', [])
  }

  addTrailers(trailers: Record<string, string>): void {
    this.call('addTrailers', [trailers])
  }

  writeContinue(): void {
    // Node has, before anybody saw the request.
  }

  on(event: 'close', listener: () => void): void {
    this.#response.on(event, listener)
  }

  once(event: 'drain', listener: () => void): void {
    this.#response.once(event, () => {
      this.draining = true
      listener()
      this.draining = false
    })
  }
}

type Callback = (error?: Error | null) => void

/**
 * The handler's side of a response: from now on what is written to it goes to the gate, as an upstream's answer would.
 * Frameworks, their plugins and the handlers hold this one object, so its methods are put in the place of node's.
 */
export class HandlerReply {
  readonly #response: ServerResponse
  readonly #caller: CallerReply
  readonly #answer: Dispatcher.DispatchHandler
  readonly #controller: HandlerController
  readonly #trailers: Record<string, string> = {}
  #waiting: Callback[] = []
  #begun = false
  #ended = false

  constructor(response: ServerResponse, caller: CallerReply, answer: Dispatcher.DispatchHandler) {
    this.#response = response
    this.#caller = caller
    this.#answer = answer
    this.#controller = new HandlerController(
      answer,
      () => this.#resumed(),
      () => this.#releaseWriters(),
    )
    this.#takeOver()
    answer.onRequestStart?.(this.#controller, undefined)
  }

  /** The handler has thrown. */
  fail(): void {
    if (this.#ended) return
    this.#ended = true
    if (!this.#begun) answerFailure(this.#answer, this.#controller)
    else this.breakOff(new Error('the handler failed'))
  }

  /** There will be no (more) answer. */
  breakOff(error: Error): void {
    this.#ended = true
    this.#answer.onResponseError?.(this.#controller, Object.assign(error, { code: 'ECONNRESET' }))
  }

  #takeOver(): void {
    const response = this.#response
    const caller = this.#caller
    const methods: Record<Own, (...given: never[]) => unknown> = {
      writeHead: (status: number, ...rest: unknown[]) => {
        this.#begin(status, rest.find((part) => typeof part === 'object' && part !== null) as HeadersInput | undefined)
        return response
      },
      write: (chunk: unknown, encoding?: unknown, done?: unknown) => this.#write(chunk, encoding, done),
      end: (chunk?: unknown, encoding?: unknown, done?: unknown) => {
        this.#end(chunk, encoding, done)
        return response
      },
      addTrailers: (trailers: HeadersInput) => {
        for (const [name, value] of pairsOf(trailers)) this.#trailers[name.toLowerCase()] = String(value)
      },
      destroy: (error?: Error) => {
        if (!this.#ended) this.breakOff(error ?? new Error('the handler has broken off'))
        return response
      },
    }
    const places = response as unknown as typeof methods
    for (const name of Object.keys(methods) as Own[]) {
      places[name] = (...given) => (caller.inside ? caller.call(name, given) : methods[name](...given))
    }
    response.flushHeaders = () => this.#implyHead()
    Object.defineProperties(response, {
      headersSent: { get: () => this.#begun || caller.headersSent, configurable: true },
      writableEnded: { get: () => this.#ended || caller.ended, configurable: true },
    })
  }

  /** Through the method, because others put theirs in its place to set headers at the last moment. */
  #implyHead(): void {
    if (!this.#begun) this.#response.writeHead(this.#response.statusCode)
  }

  #begin(status: number, given: HeadersInput | undefined): void {
    if (this.#begun) return
    this.#begun = true
    this.#response.statusCode = status
    if (this.#controller.aborted) return
    const headers: Record<string, string | string[]> = {}
    for (const [name, value] of Object.entries(this.#response.getHeaders())) {
      if (!this.#caller.isEarlier(name)) put(headers, name, value)
    }
    if (given !== undefined) for (const [name, value] of pairsOf(given)) put(headers, name, value)
    this.#answer.onResponseStart?.(this.#controller, status, headers)
  }

  #write(chunk: unknown, encoding: unknown, done: unknown): boolean {
    if (typeof encoding === 'function') return this.#write(chunk, undefined, encoding)
    if (this.#ended || this.#controller.aborted) {
      if (typeof done === 'function') process.nextTick(done)
      return false
    }
    this.#implyHead()
    this.#pass(bytesOf(chunk, encoding))
    if (typeof done === 'function') {
      if (this.#controller.paused) this.#waiting.push(done as Callback)
      else process.nextTick(done)
    }
    return !this.#controller.paused && !this.#controller.aborted
  }

  #end(chunk: unknown, encoding: unknown, done: unknown): void {
    if (typeof chunk === 'function') return this.#end(undefined, undefined, chunk)
    if (typeof encoding === 'function') return this.#end(chunk, undefined, encoding)
    const response = this.#response
    if (typeof done === 'function') {
      if (response.writableFinished) process.nextTick(done)
      else response.once('finish', done as Callback)
    }
    if (this.#ended) return
    const last = chunk === undefined || chunk === null ? undefined : bytesOf(chunk, encoding)
    if (!this.#begun) {
      if (this.#knowsLength(last)) response.setHeader('content-length', last?.length ?? 0)
      this.#implyHead()
    }
    if (last !== undefined) this.#pass(last)
    this.#ended = true
    if (!this.#controller.aborted) this.#answer.onResponseEnd?.(this.#controller, this.#trailers)
  }

  /** Whether the answer is in one piece whose length nobody has told, as node:http would tell it. */
  #knowsLength(last: Buffer | undefined): boolean {
    const { statusCode, req } = this.#response
    if (statusCode < 200 || statusCode === 204 || statusCode === 304) return false
    if (last === undefined && req.method === 'HEAD') return false
    return !this.#response.hasHeader('content-length') && !this.#response.hasHeader('transfer-encoding')
  }

  #pass(bytes: Buffer): void {
    if (bytes.length > 0 && !this.#controller.aborted) this.#answer.onResponseData?.(this.#controller, bytes)
  }

  #releaseWriters(): void {
    const waiting = this.#waiting
    this.#waiting = []
    for (const done of waiting) done()
  }

  #resumed(): void {
    this.#releaseWriters()
    if (!this.#caller.draining && !this.#ended) this.#response.emit('drain')
  }
}

type HeadersInput = OutgoingHttpHeaders | readonly OutgoingHttpHeader[] | readonly (readonly [string, string])[]

/** What `writeHead` takes: an object, a flat list or a list of pairs. */
function pairsOf(given: HeadersInput): readonly (readonly [string, OutgoingHttpHeader | undefined])[] {
  if (!Array.isArray(given)) return Object.entries(given)
  if (Array.isArray(given[0])) return given as readonly (readonly [string, string])[]
  return Array.from({ length: given.length / 2 }, (_, i) => [given[2 * i] as string, given[2 * i + 1]] as const)
}

function put(headers: Record<string, string | string[]>, name: string, value: OutgoingHttpHeader | undefined): void {
  if (value === undefined) return
  const key = name.toLowerCase()
  headers[key] = Array.isArray(value) ? value.map(String) : String(value)
}

/** A copy: the gate may hold it for longer than the handler leaves its buffer alone. */
function bytesOf(chunk: unknown, encoding: unknown): Buffer {
  if (typeof chunk !== 'string') return Buffer.from(chunk as Uint8Array)
  return Buffer.from(chunk, typeof encoding === 'string' ? (encoding as BufferEncoding) : 'utf8')
}

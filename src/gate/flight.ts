import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import type { IncomingRequest } from './arrival.ts'
import { bodyTooLarge, bringsBody, decodeBody, decodeRequestBody, PassingBody, readBody } from './body.ts'
import type { Exchange } from './exchange.ts'
import { isIdempotent, upstreamHeaders, upstreamPath } from './forward.ts'
import { type Program, replyHeadersFor, runPhase } from './program.ts'
import { answerReply, denialReply, type OutgoingReply, overlayHeaders, writeHead } from './reply.ts'
import type { Route } from './router.ts'
import { isFailure, type UpstreamTarget, upstreamDenial, upstreamDenials } from './upstream.ts'
import { UpstreamReply } from './upstream-reply.ts'
import type { Answer, Denial, Verdict } from './verdict.ts'

/** What the gate keeps of an exchange that is over. */
export interface Ending {
  readonly status: number
  readonly requestBytes: number
  readonly responseBytes: number
  readonly upstreamMs: number | undefined
  readonly responseHeaders: readonly string[]
  readonly fault: string | undefined
}

type Landing = (flight: Flight, ending: Ending) => void

/** What becomes of the upstream's answer. */
type Reception = 'none' | 'deciding' | 'held' | 'streamed' | 'dropped'

/** The answer goes on beyond the total timeout. */
class UpstreamTooSlow extends Error {
  readonly code = 'UND_ERR_BODY_TIMEOUT'
}

/**
 * A body announced as no larger than this is read whole before it goes on, also where no guard asks for it: one write
 * costs a fifth of what a stream does (`POST 1 KB` in bench/run.ts), and a slow sender holds no upstream connection.
 */
const smallBodyBytes = 65_536

const unreadBytesMax = 262_144
const unreadMsMax = 2_000

/**
 * One request between its two sockets, from the first step to the last byte. It is also the handler that the upstream's
 * client calls, so that a request costs one object here.
 */
export class Flight implements Dispatcher.DispatchHandler {
  readonly exchange: Exchange
  readonly route: Route
  readonly startedAt: number
  readonly #program: Program
  readonly #request: IncomingRequest
  readonly #reply: OutgoingReply
  readonly #land: Landing
  #body: Buffer | PassingBody | null
  #target: UpstreamTarget | undefined
  #controller: Dispatcher.DispatchController | undefined
  #forwardedAt: number
  #deadline: number
  #headMs: number | undefined
  #tries: number
  #reception: Reception
  #chunks: Buffer[]
  #bytesHeld: number
  #announcedBytes: number
  #replyEnded: boolean
  #responseBytes: number
  #requestBytes: number
  #status: number
  #responseHeaders: string[]
  #upstreamEnded: boolean
  #fault: string | undefined
  #over: boolean

  constructor(exchange: Exchange, route: Route, request: IncomingRequest, reply: OutgoingReply, land: Landing) {
    this.exchange = exchange
    this.route = route
    this.startedAt = performance.now()
    this.#program = route.program
    this.#request = request
    this.#reply = reply
    this.#land = land
    this.#body = null
    this.#target = undefined
    this.#controller = undefined
    this.#forwardedAt = 0
    this.#deadline = Infinity
    this.#headMs = undefined
    this.#tries = 0
    this.#reception = 'none'
    this.#chunks = []
    this.#bytesHeld = 0
    this.#announcedBytes = -1
    this.#replyEnded = false
    this.#responseBytes = 0
    this.#requestBytes = 0
    this.#status = 0
    this.#responseHeaders = []
    this.#upstreamEnded = false
    this.#fault = undefined
    this.#over = false
  }

  /** Runs the request through its program. */
  start(): void {
    this.#reply.on('close', () => this.#callerGone())
    this.#afterwards(runPhase(this.#program.requestHead, this.exchange), this.#readBody)
  }

  /** Goes on with `next` when a phase let pass; refuses or answers otherwise. Waits only for a phase that waits. */
  #afterwards(verdict: Verdict | Promise<Verdict>, next: () => void): void {
    if (verdict === undefined) next.call(this)
    else if (verdict instanceof Promise) {
      void verdict.then((late) => {
        if (this.#over) return
        if (late === undefined) next.call(this)
        else this.#settle(late)
      })
    } else this.#settle(verdict)
  }

  #settle(verdict: Denial | Answer): void {
    if (verdict.kind === 'denial') this.#refuse(verdict)
    else this.#answer(verdict)
  }

  #readBody(): void {
    const { requestBody, requestBytesMax } = this.#program
    const request = this.#request
    if (!bringsBody(request)) {
      if (requestBody.length === 0) return this.#forward()
      this.exchange.requestBody = Buffer.alloc(0)
      return this.#afterwards(runPhase(requestBody, this.exchange), this.#forward)
    }
    const announced = Number(request.headers['content-length'])
    if (announced > requestBytesMax) return this.#refuse(bodyTooLarge)
    if (request.headers.expect !== undefined) this.#reply.writeContinue()
    if (requestBody.length === 0 && !(announced <= smallBodyBytes)) {
      this.#body = new PassingBody(request, requestBytesMax)
      return this.#forward()
    }
    readBody(request, requestBytesMax, (body, refusal) => {
      if (this.#over) return
      if (body === undefined) return this.#refuse(refusal!)
      this.#requestBytes = body.length
      const coding = request.headers['content-encoding']
      if (coding === undefined || requestBody.length === 0) return this.#checkBody(body)
      void decodeRequestBody(body, coding, requestBytesMax).then((decoded) => {
        if (this.#over) return
        if (!Buffer.isBuffer(decoded)) return this.#refuse(decoded)
        this.exchange.withholdHeader('content-encoding')
        this.#checkBody(decoded)
      })
    })
  }

  #checkBody(body: Buffer): void {
    this.exchange.requestBody = body
    this.#body = body
    this.#afterwards(runPhase(this.#program.requestBody, this.exchange), this.#forward)
  }

  #forward(): void {
    if (this.#over) return
    const { exchange } = this
    const target = this.route.mount.upstream.pick(exchange)
    if ('kind' in target) return this.#refuse(target)
    this.#giveBack()
    this.#target = target
    this.#tries++
    this.#forwardedAt = performance.now()
    const { timeouts } = this.route.mount.upstream.settings
    const events = this.#program.streams || exchange.headers.accept === 'text/event-stream'
    this.#deadline = events ? Infinity : this.#forwardedAt + timeouts.total
    const headers = upstreamHeaders(exchange, this.#program)
    const announced = this.#request.headers['content-length']
    // A streamed body keeps its announced length; a held one has its own.
    if (this.#body instanceof PassingBody && announced !== undefined) headers.push('content-length', announced)
    try {
      target.dispatcher.dispatch(
        {
          origin: target.origin,
          path: upstreamPath(exchange, this.route, target),
          method: exchange.method as Dispatcher.HttpMethod,
          headers,
          body: this.#body,
          headersTimeout: timeouts.head,
          bodyTimeout: events ? 0 : timeouts.idle,
        },
        this,
      )
    } catch (error) {
      this.onResponseError(undefined, error as Error)
    }
  }

  // What undici calls, in this order.

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#over) controller.abort(new Error('the caller is gone'))
  }

  onResponseStart(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    if (status < 200 || this.#over) return
    this.#headMs = performance.now() - this.#forwardedAt
    this.route.mount.upstream.report(this.#target!, isFailure(status) ? 'badly' : 'well', this.#headMs)
    this.#status = status
    if (headers['content-length'] !== undefined) this.#announcedBytes = Number(headers['content-length'])
    const flat = flatten(headers)
    const { responseHead, responseBody } = this.#program
    if (responseHead.length === 0 && responseBody.length === 0) {
      this.#responseHeaders = flat
      this.#beginStream()
      return
    }
    this.exchange.response = new UpstreamReply(status, flat)
    this.#reception = 'deciding'
    const verdict = runPhase(responseHead, this.exchange)
    if (verdict instanceof Promise) controller.pause()
    this.#afterwards(verdict, this.#receive)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // Looked at when a piece comes: between pieces the idle timeout watches.
    if (performance.now() > this.#deadline) return controller.abort(new UpstreamTooSlow())
    if (this.#reception === 'streamed') {
      this.#responseBytes += chunk.length
      if (chunk.length === this.#announcedBytes) {
        // The whole answer in one piece: head and body leave in one write.
        this.#replyEnded = true
        this.#reply.end(chunk)
      } else if (!this.#reply.write(chunk)) {
        controller.pause()
        this.#reply.once('drain', () => controller.resume())
      }
    } else if (this.#reception === 'held' || this.#reception === 'deciding') this.#hold(chunk)
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#upstreamEnded = true
    if (this.#reception === 'streamed') {
      if (!this.#replyEnded) {
        this.#passTrailers(trailers)
        this.#reply.end()
      }
      this.#finish()
    } else if (this.#reception === 'held') this.#checkResponse()
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#over || this.#reception === 'dropped') return
    if (this.#body instanceof PassingBody && this.#body.refusal !== undefined) return this.#refuse(this.#body.refusal)
    const { upstream } = this.route.mount
    const refusal = upstreamDenial(error)
    if (this.#target !== undefined) upstream.report(this.#target, 'badly', performance.now() - this.#forwardedAt)
    if (this.#replyEnded) return this.#finish()
    if (this.#reception === 'streamed') {
      // The head is out: all that is left is to break off, so that the caller does not take a part for the whole.
      this.#fault = refusal.code
      this.#reply.destroy()
      this.#finish()
      return
    }
    const again =
      this.#reception === 'none' &&
      refusal.status !== 504 &&
      !(this.#body instanceof PassingBody) &&
      isIdempotent(this.exchange.method) &&
      this.#tries <= upstream.settings.retries.count &&
      upstream.mayRetry()
    if (again) this.#forward()
    else this.#refuse(refusal)
  }

  // The upstream's answer, held or streamed.

  #receive(): void {
    if (this.#over) return
    const response = this.exchange.response!
    this.#responseHeaders = response.rawHeaders
    this.#status = response.status
    const holds = this.#program.responseBody.length > 0 && mayBeHeld(response, this.exchange.method)
    if (holds) {
      this.#reception = 'held'
      if (Number(response.headers['content-length']) > this.#program.responseBytesMax) return this.#tooLargeToHold()
      if (this.#upstreamEnded) this.#checkResponse()
      else this.#controller?.resume()
      return
    }
    const early = this.#chunks
    this.#chunks = []
    this.#beginStream()
    for (const chunk of early) {
      this.#responseBytes += chunk.length
      this.#reply.write(chunk)
    }
    if (this.#upstreamEnded) {
      this.#reply.end()
      this.#finish()
    } else this.#controller?.resume()
  }

  #hold(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytesHeld += chunk.length
    if (this.#reception === 'held' && this.#bytesHeld > this.#program.responseBytesMax) this.#tooLargeToHold()
  }

  #tooLargeToHold(): void {
    if (this.#program.responseMustBeHeld) return this.#refuse(upstreamDenials.tooLarge)
    this.exchange.observe(upstreamDenials.tooLarge)
    const early = this.#chunks
    this.#chunks = []
    this.#beginStream()
    for (const chunk of early) {
      this.#responseBytes += chunk.length
      this.#reply.write(chunk)
    }
    this.#controller?.resume()
  }

  #checkResponse(): void {
    const response = this.exchange.response!
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytesHeld)
    this.#chunks = []
    const coding = response.headers['content-encoding']?.trim().toLowerCase()
    if (coding === undefined || coding === 'identity' || body.length === 0) {
      response.body = body
      this.#afterwards(runPhase(this.#program.responseBody, this.exchange), this.#sendHeld)
      return
    }
    void decodeBody(body, coding, this.#program.responseBytesMax).then(
      (decoded) => {
        if (this.#over) return
        response.body = decoded
        dropHeader(response.rawHeaders, 'content-encoding')
        this.#afterwards(runPhase(this.#program.responseBody, this.exchange), this.#sendHeld)
      },
      () => {
        if (!this.#over) this.#refuse(upstreamDenials.coding)
      },
    )
  }

  #sendHeld(): void {
    if (this.#over) return
    const response = this.exchange.response!
    const body = response.body!
    this.#responseHeaders = response.rawHeaders
    this.#status = response.status
    dropHeader(this.#responseHeaders, 'content-length')
    dropHeader(this.#responseHeaders, 'transfer-encoding')
    this.#responseHeaders.push('content-length', String(body.length))
    this.#writeHead()
    this.#responseBytes = body.length
    this.#reply.end(body)
    this.#finish()
  }

  #beginStream(): void {
    this.#reception = 'streamed'
    this.#writeHead()
  }

  #writeHead(): void {
    const rules = this.#program.responseHeaders
    const all = this.#responseHeaders
    const flat: string[] = []
    for (let i = 0; i < all.length; i += 2) {
      if (rules.get(all[i]!).keep) flat.push(all[i]!, all[i + 1]!)
    }
    const common = replyHeadersFor(this.#program, this.exchange.peer)
    for (let i = 0; i < common.length; i++) flat.push(common[i]!)
    flat.push('portcullis-request-id', this.exchange.id)
    if (this.exchange.replyHeaders.length > 0) overlayHeaders(flat, this.exchange.replyHeaders)
    this.#responseHeaders = flat
    writeHead(this.#reply, this.#status, flat)
  }

  #passTrailers(trailers: IncomingHttpHeaders): void {
    // Trailers may be sent only in a body without a fixed length (RFC 9110, 6.5); node:http checks that.
    for (const name in trailers) {
      const value = trailers[name]
      if (value !== undefined && this.#program.responseHeaders.get(name).keep) {
        this.#reply.addTrailers({ [name]: Array.isArray(value) ? value.join(', ') : value })
      }
    }
  }

  // The gate's own replies.

  #refuse(refusal: Denial): void {
    if (this.#over) return
    this.exchange.denial = refusal
    if (this.#reply.headersSent) {
      this.#fault = refusal.code
      this.#reply.destroy()
      this.#dropUpstream(refusal.code)
      this.#finish()
      return
    }
    const { headers, body } = denialReply(
      refusal,
      this.exchange.id,
      this.exchange.headers.accept,
      this.#commonHeaders(),
    )
    this.#send(refusal.status, headers, body)
    this.#dropUpstream(refusal.code)
  }

  #answer(answer: Answer): void {
    const { headers, body } = answerReply(answer, this.#commonHeaders())
    this.#send(answer.status, headers, body)
  }

  #commonHeaders(): string[] {
    const common = [...replyHeadersFor(this.#program, this.exchange.peer), 'portcullis-request-id', this.exchange.id]
    if (this.exchange.replyHeaders.length > 0) overlayHeaders(common, this.exchange.replyHeaders)
    return common
  }

  #send(status: number, headers: string[], body: string | undefined): void {
    this.#status = status
    this.#responseHeaders = headers
    this.#responseBytes = body?.length ?? 0
    const unread = !this.#request.readableEnded && bringsBody(this.#request)
    if (unread && this.#reply.stream === undefined) headers.push('connection', 'close')
    writeHead(this.#reply, status, headers)
    this.#reply.end(body)
    if (unread) dropBody(this.#request)
    this.#finish()
  }

  #dropUpstream(reason: string): void {
    if (this.#reception !== 'none' && this.#upstreamEnded) return
    this.#reception = 'dropped'
    this.#controller?.abort(new Error(reason))
  }

  #callerGone(): void {
    if (this.#over) return
    this.#fault = 'client.gone'
    this.#status ||= 499
    this.#dropUpstream('client.gone')
    if (this.#body instanceof PassingBody) this.#body.destroy()
    this.#finish()
  }

  /** The target has one request less under way. */
  #giveBack(): void {
    if (this.#target !== undefined) this.route.mount.upstream.release(this.#target)
    this.#target = undefined
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#giveBack()
    this.#land(this, {
      status: this.#status,
      requestBytes: this.#body instanceof PassingBody ? this.#body.bytes : this.#requestBytes,
      responseBytes: this.#responseBytes,
      upstreamMs: this.#headMs,
      responseHeaders: this.#responseHeaders,
      fault: this.#fault,
    })
  }
}

/** Header object of the upstream's client to a flat list; several values of one name stay several. */
function flatten(headers: IncomingHttpHeaders): string[] {
  const flat: string[] = []
  for (const name in headers) {
    const value = headers[name]
    if (typeof value === 'string') flat.push(name, value)
    else if (value !== undefined) for (const one of value) flat.push(name, one)
  }
  return flat
}

function dropHeader(flat: string[], name: string): void {
  for (let i = flat.length - 2; i >= 0; i -= 2) if (flat[i] === name) flat.splice(i, 2)
}

/** A whole body that ends is held; events, and answers without a body, are not. */
function mayBeHeld(response: UpstreamReply, method: string): boolean {
  const { status } = response
  if (method === 'HEAD' || status === 204 || status === 304 || status === 205) return false
  return !(response.headers['content-type'] ?? '').startsWith('text/event-stream')
}

/** Takes the rest of a refused body for a moment, so that the caller can read the refusal before the connection ends. */
function dropBody(request: IncomingRequest): void {
  let bytes = 0
  const stop = setTimeout(() => request.destroy(), unreadMsMax)
  request.on('data', (chunk: Buffer) => {
    bytes += chunk.length
    if (bytes > unreadBytesMax) request.destroy()
  })
  request.once('close', () => clearTimeout(stop))
  request.once('error', () => clearTimeout(stop))
  request.resume()
}

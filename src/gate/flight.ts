import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher } from 'undici'
import { isStreamed } from '../openapi/media-types.ts'
import type { IncomingRequest } from './arrival.ts'
import {
  bodyBroken,
  bodyTooLarge,
  bringsBody,
  decodeBody,
  decodePart,
  decodeRequestBody,
  PassingBody,
  readBody,
} from './body.ts'
import type { Exchange } from './exchange.ts'
import { isIdempotent, upstreamHeaders, upstreamPath } from './forward.ts'
import type { Step } from './guard.ts'
import { connectionOptions } from './headers.ts'
import { type PartStep, type Program, replyHeadersFor, runPhase } from './program.ts'
import {
  answerReply,
  breakOff,
  commonHeaders,
  denialReply,
  type OutgoingReply,
  overlayHeaders,
  writeHead,
} from './reply.ts'
import type { Route } from './router.ts'
import { awaitsContinue, dropBody, sendWhole, smallBodyBytes } from './unread-body.ts'
import { isFailure, type UpstreamTarget, upstreamDenial, upstreamDenials } from './upstream.ts'
import { UpstreamReply } from './upstream-reply.ts'
import { type Answer, type Denial, denial, type Verdict } from './verdict.ts'

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
type Reception = 'none' | 'deciding' | 'held' | 'part' | 'streamed' | 'looking' | 'dropped'

/** The answer goes on beyond the total timeout. */
class UpstreamTooSlow extends Error {
  readonly code = 'UND_ERR_BODY_TIMEOUT'
}

const internal = denial(500, 'gate.internal', 'The gate failed at this request.')

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
  /** The steps that see this request's body. */
  #bodySteps: readonly Step[]
  #target: UpstreamTarget | undefined
  #controller: Dispatcher.DispatchController | undefined
  #forwardedAt: number
  #deadline: number
  #headMs: number | undefined
  #tries: number
  #reception: Reception
  #chunks: Buffer[]
  #bytesHeld: number
  /** The looks at the beginning of this answer, the most that one wants to see, and what was kept for them. */
  #parts: readonly PartStep[]
  #partBytesMax: number
  #tapped: Buffer[] | undefined
  #bytesTapped: number
  #coded: { readonly body: Buffer; readonly decoded: Buffer } | undefined
  #announcedBytes: number
  #replyEnded: boolean
  #responseBytes: number
  #requestBytes: number
  #status: number
  #responseHeaders: string[]
  #upstreamEnded: boolean
  #waitsForDrain: boolean
  #timer: NodeJS.Timeout | undefined
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
    this.#bodySteps = noSteps
    this.#target = undefined
    this.#controller = undefined
    this.#forwardedAt = 0
    this.#deadline = Infinity
    this.#headMs = undefined
    this.#tries = 0
    this.#reception = 'none'
    this.#chunks = []
    this.#bytesHeld = 0
    this.#parts = noParts
    this.#partBytesMax = 0
    this.#tapped = undefined
    this.#bytesTapped = 0
    this.#coded = undefined
    this.#announcedBytes = -1
    this.#replyEnded = false
    this.#responseBytes = 0
    this.#requestBytes = 0
    this.#status = 0
    this.#responseHeaders = []
    this.#upstreamEnded = false
    this.#waitsForDrain = false
    this.#timer = undefined
    this.#fault = undefined
    this.#over = false
  }

  /** Runs the request through its program. */
  start(): void {
    this.#reply.on('close', () => this.#callerGone())
    this.#afterwards(runPhase(this.#program.requestHead, this.exchange), this.#readBody)
  }

  /**
   * Ends the exchange because the gate itself failed. Whatever calls into a flight catches, and comes here: a mistake in
   * one exchange must not end the process and with it all others.
   */
  fail(error: unknown): void {
    if (this.#over) return
    const evidence = error instanceof Error ? { name: error.name, message: error.message } : undefined
    try {
      this.#refuse({ ...internal, evidence })
    } catch {
      this.#fault = internal.code
      this.#reply.destroy()
      this.#dropUpstream(internal.code)
      this.#finish()
    }
  }

  /** Goes on with `next` when a phase let pass; refuses or answers otherwise. Waits only for a phase that waits. */
  #afterwards(verdict: Verdict | Promise<Verdict>, next: () => void): void {
    if (verdict === undefined) next.call(this)
    else if (verdict instanceof Promise) {
      this.#later(verdict, (late) => {
        if (late === undefined) next.call(this)
        else this.#settle(late)
      })
    } else this.#settle(verdict)
  }

  /** Goes on with what a promise gave, unless the exchange is over by then. */
  #later<T>(promise: Promise<T>, next: (value: T) => void): void {
    promise
      .then((value) => {
        if (!this.#over) next(value)
      })
      .catch((error: unknown) => this.fail(error))
  }

  #settle(verdict: Denial | Answer): void {
    if (verdict.kind === 'denial') this.#refuse(verdict)
    else this.#answer(verdict)
  }

  #readBody(): void {
    const { requestBody, readsRequestBody, requestBytesMax } = this.#program
    const request = this.#request
    if (!bringsBody(request)) {
      if (requestBody.length === 0) return this.#forward()
      this.exchange.requestBody = Buffer.alloc(0)
      return this.#afterwards(runPhase(requestBody, this.exchange), this.#forward)
    }
    if (readsRequestBody === undefined || readsRequestBody(this.exchange)) this.#bodySteps = requestBody
    const announced = Number(request.headers['content-length'])
    if (announced > requestBytesMax) return this.#refuse(bodyTooLarge)
    if (this.#bodySteps.length === 0 && !(announced <= smallBodyBytes)) {
      const go = awaitsContinue(request) ? () => this.#reply.writeContinue() : undefined
      this.#body = new PassingBody(request, requestBytesMax, go)
      return this.#forward()
    }
    if (awaitsContinue(request)) this.#reply.writeContinue()
    readBody(request, requestBytesMax, (body, refusal) => {
      if (this.#over) return
      try {
        if (body === undefined) {
          // Nobody is left who could read why.
          if (refusal === bodyBroken && request.destroyed) this.#callerGone()
          else this.#refuse(refusal!)
        } else this.#bodyRead(body)
      } catch (error) {
        this.fail(error)
      }
    })
  }

  #bodyRead(body: Buffer): void {
    this.#requestBytes = body.length
    const coding = this.#request.headers['content-encoding']
    if (coding === undefined || this.#bodySteps.length === 0) return this.#checkBody(body)
    this.#later(decodeRequestBody(body, coding, this.#program.requestBytesMax), (decoded) => {
      if (!Buffer.isBuffer(decoded)) return this.#refuse(decoded)
      this.exchange.withholdHeader('content-encoding')
      this.#checkBody(decoded)
    })
  }

  #checkBody(body: Buffer): void {
    this.exchange.requestBody = body
    this.#afterwards(runPhase(this.#bodySteps, this.exchange), this.#forwardBody)
  }

  /** The upstream gets what the last step left: the bytes that were checked, unless one put others in their place. */
  #forwardBody(): void {
    this.#body = this.exchange.requestBody!
    this.#forward()
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
    const events = this.#program.streams || exchange.headers.accept?.includes('text/event-stream') === true
    this.#deadline = this.#forwardedAt + timeouts.total
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
    // Interim answers, such as early hints, are for the connection they came on.
    if (status < 200 || this.#over) return
    try {
      this.#headCame(controller, status, headers)
    } catch (error) {
      this.fail(error)
    }
  }

  #headCame(controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    this.#headMs = performance.now() - this.#forwardedAt
    // A status that is none (RFC 9110, 15): no program can say what it means, and HTTP/2 cannot even carry it.
    if (status > 599) {
      this.route.mount.upstream.report(this.#target!, 'badly', this.#headMs)
      return this.#refuse({ ...upstreamDenials.malformed, evidence: { status } })
    }
    this.route.mount.upstream.report(this.#target!, isFailure(status) ? 'badly' : 'well', this.#headMs)
    this.#status = status
    if (headers['content-length'] !== undefined) this.#announcedBytes = Number(headers['content-length'])
    const type = headers['content-type']
    if (typeof type === 'string' && isEventStream(type)) this.#deadline = Infinity
    else if (this.#program.streams || this.exchange.headers.accept?.includes('text/event-stream') === true) {
      this.#limitTotal(controller)
    }
    const flat = flatten(headers)
    const { responseHead, responseBody, responsePart } = this.#program
    if (responseHead.length === 0 && responseBody.length === 0 && responsePart.length === 0) {
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

  /** Events were expected and so no idle timeout was set, but this is another answer: the total still holds. */
  #limitTotal(controller: Dispatcher.DispatchController): void {
    const leftMs = Math.max(1, this.#deadline - performance.now())
    this.#timer = setTimeout(() => controller.abort(new UpstreamTooSlow()), leftMs)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    // Looked at when a piece comes: between pieces the idle timeout watches.
    if (performance.now() > this.#deadline) return controller.abort(new UpstreamTooSlow())
    if (this.#reception === 'streamed') {
      if (this.#replyEnded) return
      if (this.#tapped !== undefined) this.#tap(chunk)
      this.#responseBytes += chunk.length
      if (chunk.length === this.#announcedBytes) {
        // The whole answer in one piece: head and body leave in one write.
        this.#replyEnded = true
        this.#reply.end(chunk)
      } else if (!this.#reply.write(chunk)) {
        controller.pause()
        this.#resumeWhenDrained()
      }
    } else if (this.#reception === 'held' || this.#reception === 'part' || this.#reception === 'deciding') {
      try {
        this.#hold(chunk)
      } catch (error) {
        this.fail(error)
      }
    }
  }

  onResponseEnd(_controller: Dispatcher.DispatchController, trailers: IncomingHttpHeaders): void {
    this.#upstreamEnded = true
    if (this.#over) return
    try {
      if (this.#reception === 'streamed') {
        if (!this.#replyEnded) {
          this.#passTrailers(trailers)
          this.#endReply()
        }
        this.#finishStream()
      } else if (this.#reception === 'held') this.#checkResponse()
      else if (this.#reception === 'part') this.#checkPart()
    } catch (error) {
      this.fail(error)
    }
  }

  onResponseError(_controller: Dispatcher.DispatchController | undefined, error: Error): void {
    if (this.#over || this.#reception === 'dropped') return
    try {
      this.#upstreamFailed(error)
    } catch (mistake) {
      this.fail(mistake)
    }
  }

  #upstreamFailed(error: Error): void {
    if (this.#body instanceof PassingBody && this.#body.refusal !== undefined) {
      // Nobody is left who could read why.
      if (this.#body.refusal === bodyBroken && this.#request.destroyed) this.#callerGone()
      else this.#refuse(this.#body.refusal)
      return
    }
    const { upstream } = this.route.mount
    const refusal = upstreamDenial(error)
    if (this.#target !== undefined) upstream.report(this.#target, 'badly', performance.now() - this.#forwardedAt)
    if (this.#replyEnded) return this.#finish()
    if (this.#reception === 'streamed') {
      // The head is out: all that is left is to break off, so that the caller does not take a part for the whole.
      this.#fault = refusal.code
      breakOff(this.#reply, this.#request)
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
    const response = this.exchange.response!
    const { responseBody, responseBytesMax, responseMustBeHeld } = this.#program
    this.#responseHeaders = response.rawHeaders
    this.#status = response.status
    this.#chooseParts(response)
    if (responseBody.length === 0 || !mayBeHeld(response, this.exchange.method, responseMustBeHeld)) {
      return this.#receivePart()
    }
    this.#reception = 'held'
    if (this.#announcedBytes > responseBytesMax || this.#bytesHeld > responseBytesMax) this.#tooLargeToHold()
    else if (this.#upstreamEnded) this.#checkResponse()
    else this.#controller?.resume()
  }

  #hold(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#bytesHeld += chunk.length
    if (this.#reception === 'held' && this.#bytesHeld > this.#program.responseBytesMax) this.#tooLargeToHold()
    else if (this.#reception === 'part' && this.#bytesHeld >= this.#partBytesMax) this.#checkPart()
  }

  #tooLargeToHold(): void {
    if (this.#program.responseMustBeHeld) return this.#refuse(upstreamDenials.tooLarge)
    this.exchange.observe(upstreamDenials.tooLarge)
    this.#receivePart()
  }

  // Looks at the beginning of an answer.

  #chooseParts(response: UpstreamReply): void {
    const { responsePart } = this.#program
    if (responsePart.length === 0 || !mayBeHeld(response, this.exchange.method, false)) return
    const wanted = responsePart.filter(({ wants }) => wants(this.exchange))
    if (wanted.length === 0) return
    this.#parts = wanted
    this.#partBytesMax = Math.max(...wanted.map(({ bytesMax }) => bytesMax))
  }

  /** Waits for the beginning where a look may refuse; else streams, and keeps the beginning as it passes. */
  #receivePart(): void {
    if (this.#parts.length === 0) return this.#streamHeld()
    if (!this.#parts.some(({ enforced }) => enforced)) {
      this.#tapped = []
      return this.#streamHeld()
    }
    this.#reception = 'part'
    if (this.#upstreamEnded || this.#bytesHeld >= this.#partBytesMax) this.#checkPart()
    else this.#controller?.resume()
  }

  #checkPart(): void {
    // What comes meanwhile is kept behind what is here.
    this.#reception = 'deciding'
    const look = this.#lookAt(this.#chunks)
    if (!(look instanceof Promise)) return this.#afterwards(look, this.#streamHeld)
    this.#controller?.pause()
    this.#later(look, (verdict) => (verdict === undefined ? this.#streamHeld() : this.#settle(verdict)))
  }

  #tap(chunk: Buffer): void {
    if (this.#bytesTapped >= this.#partBytesMax) return
    this.#tapped!.push(chunk)
    this.#bytesTapped += chunk.length
  }

  /** Has those look who only observe, after the answer went out, and ends the exchange. */
  #finishStream(): void {
    const tapped = this.#tapped
    if (tapped === undefined) return this.#finish()
    this.#tapped = undefined
    const look = this.#lookAt(tapped)
    if (!(look instanceof Promise)) return this.#finish()
    this.#reception = 'looking'
    this.#later(look, () => this.#finish())
  }

  #lookAt(chunks: readonly Buffer[]): Verdict | Promise<Verdict> {
    const response = this.exchange.response!
    const seen = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)
    const coding = response.headers['content-encoding']?.trim().toLowerCase()
    const look = (body: Buffer) => {
      response.body = body
      return runPhase(
        this.#parts.map(({ step }) => step),
        this.exchange,
      )
    }
    if (coding === undefined || coding === 'identity' || seen.length === 0) return look(seen)
    return decodePart(seen, coding, this.#partBytesMax).then(look, () => {
      if (this.#parts.some(({ enforced }) => enforced)) return upstreamDenials.coding
      this.exchange.observe(upstreamDenials.coding)
      return undefined
    })
  }

  /** What was kept back goes out, and what follows streams. */
  #streamHeld(): void {
    const early = this.#chunks
    this.#chunks = []
    if (!this.#beginStream()) return
    if (this.#upstreamEnded && early.length === 1 && early[0]!.length === this.#announcedBytes) {
      // The whole answer is here: head and body leave in one write.
      this.#responseBytes = early[0]!.length
      if (this.#tapped !== undefined) this.#tap(early[0]!)
      this.#replyEnded = true
      this.#reply.end(early[0]!)
      return this.#finishStream()
    }
    let drained = true
    for (const chunk of early) {
      if (this.#tapped !== undefined) this.#tap(chunk)
      this.#responseBytes += chunk.length
      drained = this.#reply.write(chunk)
    }
    if (this.#upstreamEnded) {
      this.#endReply()
      this.#finishStream()
    } else if (drained) this.#controller?.resume()
    else {
      this.#controller?.pause()
      this.#resumeWhenDrained()
    }
  }

  /** At most one listener waits at a time, whatever the upstream's client does after a pause. */
  #resumeWhenDrained(): void {
    if (this.#waitsForDrain) return
    this.#waitsForDrain = true
    this.#reply.once('drain', () => {
      this.#waitsForDrain = false
      if (!this.#over) this.#controller?.resume()
    })
  }

  #endReply(): void {
    this.#replyEnded = true
    this.#reply.end()
  }

  #checkResponse(): void {
    const response = this.exchange.response!
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#bytesHeld)
    this.#chunks = []
    const coding = response.headers['content-encoding']?.trim().toLowerCase()
    if (coding === undefined || coding === 'identity' || body.length === 0) {
      response.body = body
      this.#afterwards(this.#checkWhole(), this.#sendHeld)
      return
    }
    const decoding = decodeBody(body, coding, this.#program.responseBytesMax).catch(() => upstreamDenials.coding)
    this.#later(decoding, (decoded) => {
      const observed = !this.#program.responseMustBeHeld
      if (Buffer.isBuffer(decoded)) {
        response.body = decoded
        if (observed) this.#coded = { body, decoded }
        else dropHeader(response.rawHeaders, 'content-encoding')
        return this.#afterwards(this.#checkWhole(), this.#sendHeld)
      }
      if (!observed) return this.#refuse(decoded)
      // Who only observes never blocks, not even when there is nothing to see.
      this.exchange.observe(decoded)
      response.body = body
      this.#sendHeld()
    })
  }

  /** Those who must see the whole, behind those for whom its beginning would do, who want it as the upstream sent it. */
  #checkWhole(): Verdict | Promise<Verdict> {
    const { responseBody } = this.#program
    const steps = this.#parts.length === 0 ? responseBody : [...this.#parts.map(({ step }) => step), ...responseBody]
    return runPhase(steps, this.exchange)
  }

  #sendHeld(): void {
    if (this.#over) return
    const response = this.exchange.response!
    let body = response.body!
    // What was only looked at goes on as it came.
    if (this.#coded !== undefined) {
      if (body === this.#coded.decoded) body = this.#coded.body
      else dropHeader(response.rawHeaders, 'content-encoding')
    }
    this.#responseHeaders = response.rawHeaders
    this.#status = response.status
    dropHeader(this.#responseHeaders, 'content-length')
    dropHeader(this.#responseHeaders, 'transfer-encoding')
    this.#responseHeaders.push('content-length', String(body.length))
    if (!this.#writeHead()) return
    this.#responseBytes = body.length
    this.#replyEnded = true
    this.#reply.end(body)
    this.#finish()
  }

  #beginStream(): boolean {
    if (!this.#writeHead()) return false
    this.#reception = 'streamed'
    return true
  }

  /** Sends the upstream's head; refuses one that cannot be sent and tells `false`. */
  #writeHead(): boolean {
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
    try {
      writeHead(this.#reply, this.#status, flat)
    } catch (error) {
      // A value that may not stand in a header.
      this.#refuse({ ...upstreamDenials.malformed, evidence: { error: (error as NodeJS.ErrnoException).code } })
      return false
    }
    this.#responseHeaders = flat
    return true
  }

  #passTrailers(trailers: IncomingHttpHeaders): void {
    // Trailers may be sent only in a body without a fixed length (RFC 9110, 6.5); node:http checks that.
    for (const name in trailers) {
      const value = trailers[name]
      if (value !== undefined && !neverTrailers.has(name) && this.#program.responseHeaders.get(name).keep) {
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
      breakOff(this.#reply, this.#request)
      this.#dropUpstream(refusal.code)
      this.#finish()
      return
    }
    const { headers, body } = denialReply(
      refusal,
      this.exchange.id,
      this.exchange.headers.accept,
      commonHeaders(this.exchange, this.#program),
    )
    this.#send(refusal.status, headers, body)
    this.#dropUpstream(refusal.code)
  }

  #answer(answer: Answer): void {
    const { headers, body } = answerReply(answer, commonHeaders(this.exchange, this.#program))
    this.#send(answer.status, headers, body)
  }

  #send(status: number, headers: string[], body: string | undefined): void {
    this.#status = status
    this.#responseHeaders = headers
    this.#responseBytes = body === undefined ? 0 : Buffer.byteLength(body)
    sendWhole(this.#reply, this.#request, status, headers, body)
    this.#finish()
  }

  #dropUpstream(reason: string): void {
    if (this.#reception !== 'none' && this.#upstreamEnded) return
    this.#reception = 'dropped'
    this.#controller?.abort(new Error(reason))
  }

  #callerGone(): void {
    if (this.#over) return
    // All was said, and the upstream has only not ended yet.
    if (this.#replyEnded) return this.#reception === 'looking' ? undefined : this.#finishStream()
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

  /** A streamed body whose rest nobody wants any more. */
  #leaveBody(body: PassingBody): void {
    body.destroy()
    if (!this.#request.destroyed) dropBody(this.#request, () => {})
  }

  #finish(): void {
    if (this.#over) return
    this.#over = true
    this.#giveBack()
    clearTimeout(this.#timer)
    if (this.#body instanceof PassingBody && !this.#request.readableEnded) this.#leaveBody(this.#body)
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

function isEventStream(contentType: string): boolean {
  return contentType.toLowerCase().startsWith('text/event-stream')
}

/** Fields that frame, route or protect a message, and so come too late in a trailer (RFC 9110, 6.5.1). */
const neverTrailers = new Set([
  'authorization',
  'cache-control',
  'content-encoding',
  'content-length',
  'content-range',
  'content-type',
  'host',
  'location',
  'set-cookie',
  'www-authenticate',
])

/** Header object of the upstream's client to a flat list; several values of one name stay several. */
function flatten(headers: IncomingHttpHeaders): string[] {
  const flat: string[] = []
  const { connection } = headers
  const options = connection === undefined ? none : connectionOptions([connection].flat().join(','))
  for (const name in headers) {
    if (options.length > 0 && options.includes(name)) continue
    const value = headers[name]
    if (typeof value === 'string') flat.push(name, value)
    else if (value !== undefined) for (const one of value) flat.push(name, one)
  }
  return flat
}

const none: readonly string[] = []
const noSteps: readonly Step[] = []
const noParts: readonly PartStep[] = []

function dropHeader(flat: string[], name: string): void {
  for (let i = flat.length - 2; i >= 0; i -= 2) if (flat[i] === name) flat.splice(i, 2)
}

/** A whole body that ends is held; events, answers without a body and parts that nobody insists on seeing are not. */
function mayBeHeld(response: UpstreamReply, method: string, must: boolean): boolean {
  const { status } = response
  if (method === 'HEAD' || status === 204 || status === 304 || status === 205) return false
  if (status === 206 && !must) return false
  return !isStreamed(response.headers['content-type'] ?? '')
}

import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2Stream, ServerHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import type { ConnectionLimits } from '../config/settings.ts'
import type { Peer } from './peer.ts'

/** What takes too long or is too much, as `inspect` finds it. */
export type Finding = 'lingering' | 'head-timeout' | 'request-timeout' | 'slow-body' | 'slow-reader' | 'flood'

/** Frames and resets that one HTTP/2 connection may spend at once, and the rate at which it earns them back. */
const nuisanceBurst = 200
const nuisancePerSecond = 20
const pipelinedMax = 100
/** For how long a client may keep a connection open that is over for us. */
const lingerMs = 5_000
/** What an HTTP/2 connection may send between two looks without a single request: pings, settings, padding. */
const idleBytesMax = 16_384

/** One HTTP/2 stream whose request or reply is under way. */
interface StreamInUse {
  readonly stream: Http2Stream
  readonly request: Http2ServerRequest
  readonly since: number
  readonly stall: Stall
}

/** What the listener knows of one connection: one object, from accept to close. */
export class Connection {
  /** The TCP socket. */
  readonly socket: Socket
  /** What HTTP is spoken on: the TCP socket, or the TLS socket over it. */
  stream: Socket
  /** By what connections are counted: an address, or the network of an IPv6 address. */
  readonly network: string
  readonly openedAt: number
  peer: Peer | undefined
  phase: 'opening' | 'http1' | 'h2' | 'upgraded' | 'refused'
  session: ServerHttp2Session | undefined
  requests: number
  /** The newest HTTP/1.1 request and its reply. */
  request: IncomingMessage | undefined
  reply: ServerResponse | undefined
  /** Replies of requests that were sent ahead, oldest first; only for a client that pipelines. */
  #ahead: ServerResponse[] | undefined
  readonly #streams: Map<Http2Stream, StreamInUse>
  #nuisance: number
  #nuisanceAt: number
  #requestsMark: number
  #idleBytesMark: number
  // The body under the eye, and where the connection stood when its window began.
  #bodyOf: IncomingMessage | undefined
  #bodyBytesMark: number
  #bodySince: number
  #overSince: number | undefined
  readonly #stall: Stall

  constructor(socket: Socket, network: string, nowMs: number) {
    this.socket = socket
    this.stream = socket
    this.network = network
    this.openedAt = nowMs
    this.peer = undefined
    this.phase = 'opening'
    this.session = undefined
    this.requests = 0
    this.request = undefined
    this.reply = undefined
    this.#ahead = undefined
    this.#streams = new Map()
    this.#nuisance = 0
    this.#nuisanceAt = nowMs
    this.#requestsMark = -1
    this.#idleBytesMark = 0
    this.#bodyOf = undefined
    this.#bodyBytesMark = 0
    this.#bodySince = nowMs
    this.#overSince = undefined
    this.#stall = new Stall()
  }

  /** Notes a request of HTTP/1.1; false when too many wait already. */
  begin(request: IncomingMessage, reply: ServerResponse): boolean {
    const before = this.reply
    this.requests++
    this.request = request
    this.reply = reply
    if (before === undefined || before.writableFinished) {
      if (this.#ahead !== undefined) this.#ahead = undefined
      return true
    }
    this.#ahead ??= []
    this.#ahead.push(before)
    while (this.#ahead[0]?.writableFinished === true) this.#ahead.shift()
    return this.#ahead.length < pipelinedMax
  }

  /** Notes a request of HTTP/2 until its stream closes. */
  beginStream(request: Http2ServerRequest, nowMs: number): void {
    this.requests++
    const { stream } = request
    this.#streams.set(stream, { stream, request, since: nowMs, stall: new Stall() })
  }

  endStream(stream: Http2Stream): void {
    this.#streams.delete(stream)
  }

  /** Counts a frame or reset that gets no work done; false when there were too many of them (CVE-2023-44487). */
  tolerate(nowMs: number): boolean {
    const earned = ((nowMs - this.#nuisanceAt) / 1000) * nuisancePerSecond
    this.#nuisance = Math.max(0, this.#nuisance - earned) + 1
    this.#nuisanceAt = nowMs
    return this.#nuisance <= nuisanceBurst
  }

  /** Whether nothing is under way, so that closing loses nothing. */
  get idle(): boolean {
    if (this.phase === 'h2') return this.#streams.size === 0
    if (this.phase !== 'http1') return this.phase === 'opening'
    return this.reply === undefined || this.reply.writableFinished
  }

  /** Looks for what takes too long; to be called about once a second. */
  inspect(nowMs: number, limits: ConnectionLimits, bodyWindowMs: number): Finding | undefined {
    if (this.session !== undefined && this.#isOver(this.session)) {
      this.#overSince ??= nowMs
      return nowMs - this.#overSince > lingerMs ? 'lingering' : undefined
    }
    if (this.phase === 'h2') return this.#inspectHttp2(nowMs, limits, bodyWindowMs)
    if (this.phase === 'http1') return this.#inspectHttp1(nowMs, limits, bodyWindowMs)
    return this.phase === 'opening' && nowMs - this.openedAt > limits.headTimeout ? 'head-timeout' : undefined
  }

  #isOver({ closed, destroyed }: ServerHttp2Session): boolean {
    return destroyed || (closed && this.#streams.size === 0)
  }

  #inspectHttp1(nowMs: number, limits: ConnectionLimits, bodyWindowMs: number): Finding | undefined {
    if (this.#stall.lasts(this.stream, nowMs) > limits.idleTimeout) return 'slow-reader'
    const { request } = this
    if (request === undefined || request.complete) return undefined
    // While the gate holds the body back, the client cannot be slow.
    const held = request.readableLength >= request.readableHighWaterMark || awaitsContinue(request, this.reply)
    return this.#isSlow(request, held ? 0 : 1, nowMs, limits.bodyRate, bodyWindowMs) ? 'slow-body' : undefined
  }

  #inspectHttp2(nowMs: number, limits: ConnectionLimits, bodyWindowMs: number): Finding | undefined {
    const bytes = this.stream.bytesRead
    const noisy =
      this.#streams.size === 0 && this.requests === this.#requestsMark && bytes - this.#idleBytesMark > idleBytesMax
    this.#requestsMark = this.#streams.size === 0 ? this.requests : -1
    this.#idleBytesMark = bytes
    if (noisy) return 'flood'
    let waiting = 0
    for (const { stream, request, since, stall } of this.#streams.values()) {
      // Reset by the client after the answer was written: nothing of it can be sent any more.
      if (stream.closed) {
        stream.destroy()
        continue
      }
      if (stall.lasts(stream, nowMs) > limits.idleTimeout) return 'slow-reader'
      if (request.complete) continue
      if (nowMs - since > limits.requestTimeout) return 'request-timeout'
      if (stream.readableLength < stream.readableHighWaterMark) waiting++
    }
    return this.#isSlow(undefined, waiting, nowMs, limits.bodyRate, bodyWindowMs) ? 'slow-body' : undefined
  }

  /** Whether `bodies` bodies together came slower than the rate, over a window. Framing counts as body: close enough. */
  #isSlow(
    of: IncomingMessage | undefined,
    bodies: number,
    nowMs: number,
    bytesPerSecond: number,
    windowMs: number,
  ): boolean {
    const bytes = this.stream.bytesRead
    const elapsed = nowMs - this.#bodySince
    const sameBody = bodies > 0 && of === this.#bodyOf
    if (sameBody && elapsed < windowMs) return false
    const slow = sameBody && (bytes - this.#bodyBytesMark) * 1000 < bytesPerSecond * bodies * elapsed
    this.#bodyOf = bodies > 0 ? of : undefined
    this.#bodyBytesMark = bytes
    this.#bodySince = nowMs
    return slow
  }
}

/** Since when a client has taken nothing of what waits for it. */
class Stall {
  #mark = -1
  #since = 0

  /** Milliseconds without progress; 0 when nothing waits. */
  lasts(stream: { readonly writableLength: number; readonly bytesWritten?: number }, nowMs: number): number {
    const waiting = stream.writableLength
    const mark = waiting === 0 ? -1 : waiting + (stream.bytesWritten ?? 0)
    if (mark === -1 || mark !== this.#mark) {
      this.#mark = mark
      this.#since = nowMs
      return 0
    }
    return nowMs - this.#since
  }
}

function awaitsContinue(request: IncomingMessage, reply: ServerResponse | undefined): boolean {
  return request.headers.expect !== undefined && (reply as { _sent100?: boolean } | undefined)?._sent100 !== true
}

import {
  createServer as createHttpServer,
  type Server as HttpServer,
  type IncomingMessage,
  type ServerResponse,
} from 'node:http'
import {
  createServer as createHttp2Server,
  type Http2Server,
  type Http2ServerRequest,
  type Http2ServerResponse,
  constants as h2,
  type ServerHttp2Session,
} from 'node:http2'
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import type { TLSSocket } from 'node:tls'
import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import { canonicalAddress, clientNetwork, type RangeSet } from '../base/ip.ts'
import type { Logger } from '../base/log.ts'
import { isLoopback } from '../config/checks.ts'
import type { ConnectionLimits, ListenSettings } from '../config/settings.ts'
import type { IncomingRequest } from './arrival.ts'
import { Connection, type Finding } from './connection.ts'
import type { Peer } from './peer.ts'
import { acmeAnswer, isAcmeChallenge, redirectToHttps } from './redirect.ts'
import { type CutCode, type Refused, rawRefusal, refusals, refuseReply } from './refusal.ts'
import type { OutgoingReply } from './reply.ts'
import { requestId } from './request-id.ts'
import { isSimpleRequest, readStray, type StrayMessage, strayOf } from './stray.ts'
import { type CertificateInUse, openTlsFront, type TlsFront } from './tls/front.ts'
import type { Denial } from './verdict.ts'

/** What a listener hands on: a request or upgrade that kept to the protocol and its limits. */
export interface ListenerHandlers {
  request(request: IncomingRequest, reply: OutgoingReply, peer: Peer): void
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, peer: Peer): void
}

export interface ListenerOptions {
  readonly handlers: ListenerHandlers
  readonly limits: ConnectionLimits
  readonly trusted: RangeSet
  readonly log: Logger
  /** Where certificates of our own making and ACME's state are kept. */
  readonly stateDir: string
  readonly now: Clock
  /** Told of every request or connection that was refused before there was an exchange. */
  readonly onRefused?: (refused: Refused) => void
  /** Where `redirect: https` points to. Default: 443. */
  readonly httpsPort?: number
  /** Over which the rate of a body is averaged. Default: ten seconds. */
  readonly bodyWindowMs?: number
}

/** What a reload may change beside the entry of `listen`. */
export type ListenerChange = Partial<Pick<ListenerOptions, 'limits' | 'trusted' | 'httpsPort'>>

export interface Listener {
  readonly host: string
  /** The port really listened on. */
  readonly port: number
  readonly scheme: 'http' | 'https'
  /** The file of the authority behind a development certificate, for the caller's `--cacert`. */
  readonly authorityFile: string | undefined
  /** The certificates shown to clients now; none over plain HTTP. */
  readonly certificates: readonly CertificateInUse[]
  /**
   * Takes over new certificates for new handshakes, and limits and trusted proxies where they are given. Throws and
   * keeps everything as it was when something is bad.
   */
  update(entry: ListenSettings, change?: ListenerChange): Promise<void>
  /** Stops accepting, closes what is idle, lets what is under way finish until the deadline. */
  drain(deadlineMs: number): Promise<void>
  /** Closes everything at once. */
  close(): Promise<void>
}

/** Opens one entry of `listen`. Throws `ConfigError` when it cannot be served safely or the port is taken. */
export async function openListener(entry: ListenSettings, options: ListenerOptions): Promise<Listener> {
  const scheme = schemeOf(entry)
  const front = scheme === 'https' ? await openTlsFront(entry, options) : undefined
  const wire = new Wire(entry, options, front)
  try {
    await wire.listen()
    await front?.begin()
  } catch (error) {
    front?.close()
    throw error
  }
  return wire
}

function schemeOf(entry: ListenSettings): 'http' | 'https' {
  if (entry.redirect === 'https') return 'http'
  if (entry.tls !== 'off') return 'https'
  if (!isLoopback(entry.host) && !entry.behindTlsTerminator) {
    throw new ConfigError(
      'P1085',
      `tls: off is not accepted on ${entry.host}: what is sent there can be read on the way`,
      {
        hint: 'listen on 127.0.0.1, or say behindTlsTerminator: true',
      },
    )
  }
  return 'http'
}

/** Where a TCP, TLS or HTTP/2 connection's record lies. */
const connectionOf = Symbol('portcullis.connection')
type Known = { [connectionOf]?: Connection }

const lingerMs = 2_000
const drainLookMs = 25

class Wire implements Listener {
  readonly scheme: 'http' | 'https'
  #entry: ListenSettings
  #options: ListenerOptions
  readonly #front: TlsFront | undefined
  readonly #tcp = createTcpServer({ noDelay: true, allowHalfOpen: true })
  readonly #http1: HttpServer
  #http2: Http2Server | undefined
  /** Plain HTTP where TLS is spoken: for an answer that can be read. */
  readonly #plain: HttpServer | undefined
  readonly #connections = new Set<Connection>()
  readonly #perNetwork = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined
  #draining = false

  constructor(entry: ListenSettings, options: ListenerOptions, front: TlsFront | undefined) {
    this.scheme = front === undefined ? 'http' : 'https'
    this.#entry = entry
    this.#options = options
    this.#front = front
    this.#http1 = this.#createHttp1(
      entry.redirect === 'https'
        ? (request, reply, connection) => this.#redirect(request, reply, connection, this.#options.httpsPort ?? 443)
        : (request, reply, connection) => this.#serve(request, reply, connection),
    )
    if (front !== undefined) {
      this.#http2 = this.#createHttp2()
      this.#plain = this.#createHttp1((request, reply, connection) =>
        this.#redirect(request, reply, connection, this.port),
      )
    }
  }

  get #limits(): ConnectionLimits {
    return this.#options.limits
  }

  get host(): string {
    return this.#entry.host
  }

  get port(): number {
    return (this.#tcp.address() as AddressInfo | null)?.port ?? this.#entry.port
  }

  get authorityFile(): string | undefined {
    return this.#front?.authorityFile
  }

  get certificates(): readonly CertificateInUse[] {
    return this.#front?.certificates ?? []
  }

  async listen(): Promise<void> {
    const { host, port } = this.#entry
    this.#tcp.maxConnections = this.#limits.connections
    this.#tcp.on('connection', (socket: Socket) => this.#admit(socket))
    this.#tcp.on('drop', (dropped) => this.#cut('protocol.connections', { address: dropped?.remoteAddress ?? '' }))
    await new Promise<void>((resolve, reject) => {
      this.#tcp.once('error', (error: NodeJS.ErrnoException) => reject(cannotListen(error, host, port)))
      // `[::1]` is how URLs write it, and so do people.
      this.#tcp.listen({ host: host.replace(/^\[(.*)\]$/, '$1'), port, backlog: 4_096 }, resolve)
    })
    // After the start: running out of file descriptors is an error of one accept, not of the listener.
    this.#tcp.on('error', (error) => this.#options.log.error('listener failed', { port, reason: messageOf(error) }))
    this.#timer = setInterval(() => this.#look(), lookMs(this.#limits)).unref()
    // These servers have no port of their own; the event starts their watch over slow heads and bodies.
    for (const server of [this.#http1, this.#plain]) server?.emit('listening')
  }

  async update(entry: ListenSettings, change: ListenerChange = {}): Promise<void> {
    if (schemeOf(entry) !== this.scheme) {
      throw new ConfigError('P1086', 'a listener cannot change between http and https')
    }
    await this.#front?.update(entry, change.limits)
    this.#entry = entry
    this.#options = { ...this.#options, ...change }
    if (change.limits !== undefined) this.#takeLimits()
    if (change.trusted !== undefined) {
      for (const connection of this.#connections) connection.peer = this.#trust(connection.peer!)
    }
  }

  /** node:http reads these anew for each connection or round; HTTP/2 connections keep those they began with. */
  #takeLimits(): void {
    const limits = this.#limits
    this.#tcp.maxConnections = limits.connections
    for (const server of [this.#http1, this.#plain]) {
      if (server === undefined) continue
      server.headersTimeout = Math.min(limits.headTimeout, limits.requestTimeout)
      server.requestTimeout = limits.requestTimeout
      server.keepAliveTimeout = limits.idleTimeout
      ;(server as HttpServer & { maxHeaderSize: number }).maxHeaderSize = limits.headerBytes
    }
    if (this.#http2 !== undefined) this.#http2 = this.#createHttp2()
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.#look(), lookMs(limits)).unref()
  }

  /** Says of a peer whether its word on others counts. */
  #trust(peer: Peer): Peer {
    const { trusted } = this.#options
    const isTrusted = trusted.has(peer.address)
    return { ...peer, trusted: isTrusted, proxies: isTrusted ? trusted : undefined }
  }

  async drain(deadlineMs: number): Promise<void> {
    const until = performance.now() + deadlineMs
    this.#draining = true
    const closed = new Promise<void>((resolve) => this.#tcp.close(() => resolve()))
    for (const connection of this.#connections) {
      // GOAWAY tells the client which requests will still be answered (RFC 9113, 6.8).
      connection.session?.close()
      const { reply } = connection
      if (reply !== undefined && !reply.headersSent) reply.shouldKeepAlive = false
    }
    while (this.#connections.size > 0 && performance.now() < until) {
      for (const connection of this.#connections) if (connection.idle) connection.stream.destroySoon()
      await new Promise((resolve) => setTimeout(resolve, drainLookMs))
    }
    await this.close()
    await closed
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#draining = true
    this.#front?.close()
    if (this.#tcp.listening) this.#tcp.close()
    for (const connection of this.#connections) connection.socket.destroy()
    for (const server of [this.#http1, this.#plain]) server?.close(() => {})
  }

  // The connection: from accept to the protocol that is spoken on it.

  #admit(socket: Socket): void {
    socket.on('error', ignore)
    const address = canonicalAddress(socket.remoteAddress ?? '')
    if (address === undefined || this.#draining) {
      socket.destroy()
      return
    }
    const trusted = this.#options.trusted.has(address)
    const network = clientNetwork(address)
    const open = this.#perNetwork.get(network) ?? 0
    // A trusted proxy speaks for many clients.
    if (open >= this.#limits.connectionsPerAddress && !trusted) {
      this.#cut('protocol.connections-per-address', { address })
      socket.destroy()
      return
    }
    this.#perNetwork.set(network, open + 1)
    const connection = new Connection(socket, network, performance.now())
    connection.peer = this.#trust({
      address,
      encrypted: this.#entry.behindTlsTerminator,
      certificate: undefined,
      trusted,
    })
    this.#connections.add(connection)
    socket.once('close', () => {
      this.#connections.delete(connection)
      const left = this.#perNetwork.get(network)! - 1
      if (left === 0) this.#perNetwork.delete(network)
      else this.#perNetwork.set(network, left)
    })
    if (this.#front === undefined) this.#speakHttp1(this.#http1, socket, connection)
    else this.#readFirstBytes(socket, connection, this.#front)
  }

  /** TLS begins with a record of type handshake (RFC 8446, 5.1); a letter is plain HTTP. */
  #readFirstBytes(socket: Socket, connection: Connection, front: TlsFront): void {
    socket.once('readable', () => {
      const first: Buffer | null = socket.read()
      if (first === null) {
        socket.destroy()
        return
      }
      socket.unshift(first)
      if (first[0] === 0x16) {
        front.accept(
          socket,
          first,
          (stream) => this.#secured(stream, connection),
          () => this.#cut('protocol.tls-handshake', connection.peer!),
        )
      } else if (first[0]! >= 0x41 && first[0]! <= 0x7a) {
        this.#speakHttp1(this.#plain!, socket, connection)
      } else {
        this.#cut('protocol.tls-handshake', connection.peer!)
        socket.destroy()
      }
    })
  }

  #secured(stream: TLSSocket, connection: Connection): void {
    connection.stream = stream
    connection.peer = {
      ...connection.peer!,
      encrypted: true,
      // Only what was checked against the listener's authorities and revocation lists counts.
      certificate: stream.authorized ? stream.getPeerCertificate() : undefined,
    }
    stream.on('error', ignore)
    if (stream.alpnProtocol === 'h2' && this.#http2 !== undefined) {
      connection.phase = 'h2'
      // The accepted sockets are left half open for HTTP/1.1 to decide; node:http2 decides nothing, and the socket of a
      // client that went without GOAWAY would stay for good.
      stream.once('end', () => stream.destroy())
      ;(stream as Known)[connectionOf] = connection
      this.#http2.emit('connection', stream)
    } else this.#speakHttp1(this.#http1, stream, connection)
  }

  #speakHttp1(server: HttpServer, stream: Socket, connection: Connection): void {
    connection.phase = 'http1'
    ;(stream as Known)[connectionOf] = connection
    server.emit('connection', stream)
  }

  // HTTP/1.1

  #createHttp1(serve: (request: IncomingMessage, reply: ServerResponse, connection: Connection) => void): HttpServer {
    const limits = this.#limits
    const server = createHttpServer({
      insecureHTTPParser: false,
      maxHeaderSize: limits.headerBytes,
      headersTimeout: Math.min(limits.headTimeout, limits.requestTimeout),
      requestTimeout: limits.requestTimeout,
      keepAliveTimeout: limits.idleTimeout,
      connectionsCheckingInterval: lookMs(limits),
      // A request without a body gets no stream events, which nobody listens for: about a tenth of node:http's cost.
      optimizeEmptyRequests: true,
      // Said by the arrival, with a reason the client can read.
      requireHostHeader: false,
      // Anything else that asks for an upgrade, such as h2c, is served as if it had not asked (RFC 9110, 7.8).
      shouldUpgradeCallback: (request) => request.headers.upgrade?.toLowerCase() === 'websocket',
    })
    // No limit here: node:http would drop what is beyond it without a word. `#begin` counts and refuses.
    server.maxHeadersCount = 0
    // A client that closes its half while it waits is gone, as for nginx and Go: what is sent to it after that would most
    // often meet a closed door, and meanwhile an upstream would work and a place be taken for nobody.
    ;(server as HttpServer & { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = false
    const onRequest = (request: IncomingMessage, reply: ServerResponse) => {
      const connection = (request.socket as Known)[connectionOf]!
      if (!connection.begin(request, reply)) return this.#refuse(reply, refusals.pipelining, connection, request)
      if (request.rawHeaders.length > this.#limits.headerCount * 2) {
        return this.#refuse(reply, refusals.headerCount, connection, request)
      }
      if (this.#draining || connection.requests >= this.#limits.requestsPerConnection) reply.shouldKeepAlive = false
      serve(request, reply, connection)
    }
    server.on('request', onRequest)
    // node:http closes the connection when the answer comes before `writeContinue`: the body may or may not follow.
    server.on('checkContinue', (request: IncomingMessage, reply: ServerResponse) => {
      if (request.headers.expect?.toLowerCase() === '100-continue') onRequest(request, reply)
      else this.#refuseExpectation(request, reply)
    })
    server.on('checkExpectation', (request: IncomingMessage, reply: ServerResponse) =>
      this.#refuseExpectation(request, reply),
    )
    server.on('upgrade', (request: IncomingMessage, stream: Socket, head: Buffer) => {
      const connection = (stream as Known)[connectionOf]!
      connection.requests++
      if (server === this.#plain || this.#entry.redirect === 'https') {
        return this.#refuseRaw(refusals.plain, connection)
      }
      if (request.rawHeaders.length > this.#limits.headerCount * 2)
        return this.#refuseRaw(refusals.headerCount, connection, strayOf(request))
      if (connection.reply !== undefined && !connection.reply.writableFinished) {
        return this.#refuseRaw(refusals.upgrade, connection, strayOf(request))
      }
      connection.phase = 'upgraded'
      this.#options.handlers.upgrade(request, stream, head, connection.peer!)
    })
    server.on('connect', (request: IncomingMessage, stream: Socket) =>
      // The authority must have a port (RFC 9112, 3.2.3).
      this.#refuseRaw(
        /:\d{1,5}$/.test(request.url ?? '') ? refusals.method : refusals.malformed,
        (stream as Known)[connectionOf]!,
        strayOf(request),
      ),
    )
    server.on('clientError', (error: ParserError, stream: Socket) => {
      const connection = (stream as Known)[connectionOf]
      if (connection === undefined) stream.destroy()
      else this.#parserGaveUp(error, connection)
    })
    return server
  }

  #refuseExpectation(request: IncomingMessage, reply: ServerResponse): void {
    const connection = (request.socket as Known)[connectionOf]!
    connection.begin(request, reply)
    this.#refuse(reply, refusals.expectation, connection, request)
  }

  #serve(request: IncomingMessage, reply: ServerResponse, connection: Connection): void {
    if (!isAcmeChallenge(request.url!)) {
      this.#options.handlers.request(request, reply, connection.peer!)
      return
    }
    void this.#answerAcme(request, reply).then((answered) => {
      if (!answered) this.#options.handlers.request(request, reply, connection.peer!)
    })
  }

  #redirect(request: IncomingMessage, reply: ServerResponse, connection: Connection, httpsPort: number): void {
    const redirect = () => {
      const now = this.#options.now()
      const refusal = redirectToHttps(request, reply, connection.peer!, now, httpsPort)
      if (refusal !== undefined) this.#tell(refusal, requestId(now), connection.peer!)
    }
    if (!isAcmeChallenge(request.url!)) redirect()
    else void this.#answerAcme(request, reply).then((answered) => answered || redirect())
  }

  async #answerAcme(request: IncomingMessage, reply: ServerResponse): Promise<boolean> {
    if (request.method !== 'GET') return false
    const answer = await acmeAnswer(request.url!, this.#options.stateDir)
    if (answer === undefined) return false
    reply.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': answer.length })
    reply.end(answer)
    return true
  }

  #parserGaveUp(error: ParserError, connection: Connection): void {
    if (connection.phase === 'refused') return
    if (error.code === 'ECONNRESET' || error.code === 'EPIPE' || connection.stream.destroyed) {
      connection.stream.destroy()
      return
    }
    // A connection that was opened ahead of need and never used: no answer is owed.
    const silent = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && connection.stream.bytesRead === 0
    if (silent) {
      connection.stream.destroy()
      return
    }
    const message = strayFrom(error, connection)
    if (message !== undefined && isSimpleRequest(error.rawPacket!)) {
      connection.phase = 'refused'
      this.#cut('protocol.http-0.9', connection.peer!, message)
      connection.stream.destroy()
    } else this.#refuseRaw(refusalFor(error, connection), connection, message)
  }

  /** Answers over the bare connection, where there is no reply to answer by. */
  #refuseRaw(refusal: Denial, connection: Connection, message?: StrayMessage): void {
    const { reply, request, stream } = connection
    connection.phase = 'refused'
    const id = requestId(this.#options.now())
    this.#tell(refusal, id, connection.peer!, message)
    const finish = () => {
      if (stream.destroyed || !stream.writable) {
        stream.destroy()
        return
      }
      stream.end(rawRefusal(refusal, id))
      // What is still on its way is read and dropped for a while: closing over unread bytes would reset the connection
      // and take the answer with it (RFC 9112, 9.6).
      stream.resume()
      const timer = setTimeout(() => stream.destroy(), lingerMs).unref()
      stream.once('end', () => stream.destroy())
      stream.once('close', () => clearTimeout(timer))
    }
    if (reply === undefined || reply.writableFinished) finish()
    // The broken request is the one being served: its answer is this one, if none has begun.
    else if (request?.complete === false) {
      if (reply.headersSent) stream.destroy()
      else finish()
    } else {
      // A whole request came before the broken one: its answer goes first.
      reply.once('finish', finish)
      reply.once('close', finish)
    }
  }

  #refuse(
    reply: ServerResponse | Http2ServerResponse,
    refusal: Denial,
    connection: Connection,
    request: IncomingRequest,
  ): void {
    const id = requestId(this.#options.now())
    refuseReply(reply, refusal, id)
    this.#tell(refusal, id, connection.peer!, strayOf(request))
  }

  // HTTP/2

  #createHttp2(): Http2Server {
    const limits = this.#limits
    const server = createHttp2Server({
      maxSessionInvalidFrames: 10,
      maxSessionRejectedStreams: 100,
      maxOutstandingPings: 4,
      maxSettings: 32,
      // Some room above the limit, so that `headerCount` is what refuses, and says so.
      maxHeaderListPairs: limits.headerCount + 64,
      settings: {
        maxConcurrentStreams: limits.streams,
        // Counted with 32 bytes for each field (RFC 9113, 10.5.1).
        maxHeaderListSize: limits.headerBytes + 32 * limits.headerCount,
        enablePush: false,
        enableConnectProtocol: false,
      },
    })
    server.on('session', (session) => this.#watchSession(session))
    const onRequest = (request: Http2ServerRequest, reply: Http2ServerResponse) => {
      const connection = this.#beginStream(request)
      if (connection === undefined) return
      const refusal = checkFields(request.rawHeaders, limits)
      if (refusal !== undefined) return this.#refuse(reply, refusal, connection, request)
      // The overloads of `end` keep the types apart, not the values.
      this.#options.handlers.request(request, reply as unknown as OutgoingReply, connection.peer!)
    }
    server.on('request', onRequest)
    server.on('checkContinue', onRequest)
    server.on('checkExpectation', (request: Http2ServerRequest, reply: Http2ServerResponse) => {
      const connection = this.#beginStream(request)
      if (connection !== undefined) this.#refuse(reply, refusals.expectation, connection, request)
    })
    server.on('connect', (request: Http2ServerRequest, reply: Http2ServerResponse) => {
      const connection = this.#beginStream(request)
      if (connection !== undefined) this.#refuse(reply, refusals.method, connection, request)
    })
    server.on('sessionError', ignore)
    return server
  }

  #watchSession(session: ServerHttp2Session): void {
    const connection = (session.socket as Known)[connectionOf]!
    ;(session as Known)[connectionOf] = connection
    connection.session = session
    const count = () => {
      if (!connection.tolerate(performance.now())) this.#flooded(connection)
    }
    session.on('ping', count)
    session.on('remoteSettings', count)
    session.setTimeout(this.#limits.idleTimeout, () => {
      if (connection.idle) session.close()
    })
    if (this.#draining) session.close()
  }

  #beginStream(request: Http2ServerRequest): Connection | undefined {
    const { stream } = request
    const connection = (stream.session as Known | undefined)?.[connectionOf]
    // The stream may be over before we hear of it.
    if (connection === undefined || stream.destroyed) return undefined
    connection.beginStream(request, performance.now())
    if (connection.requests >= this.#limits.requestsPerConnection) connection.session!.close()
    // Without this a body cut short by RST_STREAM would still come to its `end`, as if it were whole.
    request.once('aborted', () => request.destroy())
    // A stream reset with NO_ERROR would wait for ever to send what it still has, and its upstream with it: node:http2
    // destroys only those reset with another code. One that has ended already is found by `inspect`.
    stream.once('aborted', () => stream.destroy())
    stream.once('close', () => {
      connection.endStream(stream)
      // A stream given up early cost us a request and the client nothing (CVE-2023-44487, CVE-2025-8671).
      if ((stream.aborted || stream.rstCode !== h2.NGHTTP2_NO_ERROR) && !connection.tolerate(performance.now()))
        this.#flooded(connection)
    })
    return connection
  }

  #flooded(connection: Connection): void {
    if (connection.phase === 'refused') return
    connection.phase = 'refused'
    this.#cut('protocol.h2-flood', connection.peer!)
    connection.session!.destroy(new Error('protocol.h2-flood'), h2.NGHTTP2_ENHANCE_YOUR_CALM)
  }

  // Limits that are looked after from time to time.

  #look(): void {
    const nowMs = performance.now()
    const bodyWindowMs = this.#options.bodyWindowMs ?? 10_000
    for (const connection of this.#connections) {
      const finding = connection.inspect(nowMs, this.#limits, bodyWindowMs)
      if (finding !== undefined) this.#act(finding, connection)
    }
  }

  #act(finding: Finding, connection: Connection): void {
    if (finding === 'flood') this.#flooded(connection)
    else if (finding === 'lingering') connection.socket.destroy()
    else if (finding === 'slow-reader' || (finding === 'head-timeout' && connection.session === undefined)) {
      connection.phase = 'refused'
      this.#cut(finding === 'slow-reader' ? 'protocol.slow-reader' : 'protocol.tls-handshake', connection.peer!)
      connection.socket.destroy()
    } else if (connection.session !== undefined) {
      const refusal = finding === 'slow-body' ? refusals.slowBody : refusals.requestTimeout
      connection.phase = 'refused'
      this.#tell(refusal, requestId(this.#options.now()), connection.peer!)
      connection.session.destroy(new Error(refusal.code), h2.NGHTTP2_ENHANCE_YOUR_CALM)
    } else this.#refuseRaw(refusals.slowBody, connection)
  }

  #tell(refusal: Denial, id: string, peer: Peer, message?: StrayMessage): void {
    const stray = message === undefined ? undefined : { ...message, id, peer, receivedAt: this.#options.now() }
    this.#options.onRefused?.({ id, status: refusal.status, code: refusal.code, address: peer.address, stray })
  }

  #cut(code: CutCode, peer: Pick<Peer, 'address'>, message?: StrayMessage): void {
    const now = this.#options.now()
    const id = requestId(now)
    const stray = message === undefined ? undefined : { ...message, id, peer: peer as Peer, receivedAt: now }
    this.#options.onRefused?.({ id, status: 0, code, address: peer.address, stray })
  }
}

/** How often limits of time are looked after: once a second, or more often where they are short. */
function lookMs({ headTimeout, requestTimeout, idleTimeout }: ConnectionLimits): number {
  return Math.min(1_000, Math.max(25, Math.floor(Math.min(headTimeout, requestTimeout, idleTimeout) / 4)))
}

/** The limits of an HTTP/2 head, which its own parser does not keep: it counts after compression. */
function checkFields(rawHeaders: readonly string[], limits: ConnectionLimits): Denial | undefined {
  let pseudo = 0
  let bytes = 0
  for (let i = 0; i < rawHeaders.length; i++) {
    const part = rawHeaders[i]!
    bytes += part.length
    if (i % 2 === 0 && part.charCodeAt(0) === 0x3a) pseudo += 2
  }
  if (bytes > limits.headerBytes) return refusals.headerBytes
  return rawHeaders.length - pseudo > limits.headerCount * 2 ? refusals.headerCount : undefined
}

type ParserError = Error & { code?: string; bytesParsed?: number; rawPacket?: Buffer }

/** The request that the parser gave up at; `undefined` where that was within a body, whose request is on its way already. */
function strayFrom({ rawPacket, bytesParsed = 0 }: ParserError, connection: Connection): StrayMessage | undefined {
  if (rawPacket === undefined || rawPacket.length === 0 || connection.request?.complete === false) return undefined
  if (connection.requests === 0) return readStray(rawPacket)
  // Requests that were served may stand before it in the packet.
  const served = rawPacket.lastIndexOf('\r\n\r\n', bytesParsed)
  return readStray(served === -1 ? rawPacket : rawPacket.subarray(served + 4))
}

const unknownMethod = /^[A-Z][A-Z-]{0,31} \S/

function refusalFor(error: ParserError, connection: Connection): Denial {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return refusals.headerBytes
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return refusals.chunkExtensions
    case 'HPE_INVALID_EOF_STATE':
      return refusals.incomplete
    case 'HPE_INVALID_METHOD':
      // A well-formed method that the parser does not know, and not just noise (RFC 9110, 15.6.2).
      return (error.bytesParsed ?? 0) < 32 && unknownMethod.test(error.rawPacket?.toString('latin1', 0, 40) ?? '')
        ? refusals.method
        : refusals.malformed
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return connection.request === undefined || connection.request.complete
        ? refusals.headTimeout
        : refusals.requestTimeout
    default:
      return refusals.malformed
  }
}

function cannotListen(error: NodeJS.ErrnoException, host: string, port: number): ConfigError {
  const hints: Readonly<Record<string, string>> = {
    EADDRINUSE: 'another program listens there; stop it or choose another port',
    EACCES: 'this user may not listen there; choose a port above 1023',
    EADDRNOTAVAIL: 'this machine has no such address',
  }
  const hint = hints[error.code ?? '']
  return new ConfigError('P1087', `cannot listen on ${host}:${port}: ${error.code ?? error.message}`, {
    cause: error,
    ...(hint === undefined ? {} : { hint }),
  })
}

function ignore(): void {
  // What goes wrong on one connection is that connection's end, and its close is seen elsewhere.
}

import type { IncomingHttpHeaders } from 'node:http'
import { parseStrictJson } from '../base/json.ts'
import { parseCookies } from '../http/cookies.ts'
import { parseQuery } from '../http/query.ts'
import type { Operation } from '../openapi/operation.ts'
import type { RightsDecision, RuleMatch } from '../traffic/passage.ts'
import type { Peer } from './peer.ts'
import type { Principal } from './principal.ts'
import type { PathAndQuery, Target } from './target.ts'
import type { UpstreamReply } from './upstream-reply.ts'
import type { Denial } from './verdict.ts'

/** A private, typed place on every exchange: an index that only its owner holds. */
export interface Slot<T> {
  readonly index: number
  /** Carries the type; never set. */
  readonly type?: T
}

/** What the listener knows of a request before it has an operation. */
export interface Arrival {
  /** `req_…`, in time order; also the `instance` of a denial and the `Portcullis-Request-Id` header. */
  readonly id: string
  readonly method: string
  readonly target: Target
  /** The target as it stood on the wire, before `target` was made of it. */
  readonly rawTarget: string
  readonly protocol: Protocol
  /** By lower-case name, as node:http folds them. */
  readonly headers: IncomingHttpHeaders
  /** Name, value, name, value … as they stood on the wire. */
  readonly rawHeaders: readonly string[]
  /** The connection. */
  readonly peer: Peer
  /** The honest address of the client: the peer's, or what a trusted proxy says. */
  readonly address: string
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  /** A WebSocket (or other) upgrade: `websocket`. */
  readonly upgrade: string | undefined
}

export type Protocol = 'HTTP/1.0' | 'HTTP/1.1' | 'HTTP/2'

const nothing: readonly never[] = []

/** What vouches for the bytes of a body. */
export const digestHeaders: readonly string[] = ['content-md5', 'digest', 'content-digest', 'repr-digest']

/** More rules than this fit only what was made to fit them; the log has the first. */
export const matchesMax = 100

/** One request and its reply, on their way through the gate. Every field is set in the constructor: one fixed shape. */
export class Exchange {
  readonly id: string
  readonly operation: Operation
  readonly method: string
  readonly target: Target
  readonly rawTarget: string
  readonly protocol: Protocol
  readonly headers: IncomingHttpHeaders
  readonly rawHeaders: readonly string[]
  readonly peer: Peer
  readonly address: string
  readonly receivedAt: number
  readonly upgrade: string | undefined
  /** Came over HTTP/2, where nothing in the head need tell that a body follows. */
  readonly http2: boolean
  /** Values of the path template's parameters in order, still percent-encoded. */
  readonly pathValues: readonly string[]
  /** Who calls; set by a guard of stage `identify`. */
  principal: Principal | undefined
  /** Why a credential that was sent was not believed. Stage `authorize` turns it into the reply, after limits. */
  credentialDenial: Denial | undefined
  /** The trace this exchange belongs to (W3C Trace Context), where one is kept. */
  traceId: string | undefined
  /** The whole body, decoded from its content coding, once a phase `requestBody` runs. */
  requestBody: Buffer | undefined
  /** What the upstream is asked for in place of `target`, where a guard has rewritten it. */
  forwarded: PathAndQuery | undefined
  /** The upstream's answer, from phase `responseHead` on. */
  response: UpstreamReply | undefined
  /** Header name, value, name, value …: set on whatever reply is written, a denial too. */
  replyHeaders: string[] | readonly never[]
  /** Header name, value, name, value …: set on the way to the upstream, in place of the caller's. */
  upstreamHeaders: string[] | readonly never[]
  /** Lower-case names of request headers that must not reach the upstream, such as a verified credential's. */
  withheldHeaders: string[] | readonly never[]
  /** Cookie names that must not reach the upstream. */
  withheldCookies: string[] | readonly never[]
  /** The refusal that ended this exchange. */
  denial: Denial | undefined
  /** Refusals and failures that `observe` let pass. */
  observed: Denial[] | readonly never[]
  /** Rules that fitted, whether or not that led to a refusal. */
  matches: RuleMatch[] | readonly never[]
  /** Which rights let it pass; kept where the operator asks for it. */
  decision: RightsDecision | undefined
  #query: readonly (readonly [string, string])[] | undefined
  #cookies: ReadonlyMap<string, string> | undefined
  #json: { readonly value: unknown } | undefined
  #slots: unknown[] | undefined
  #abort: AbortController | undefined

  constructor(arrival: Arrival, operation: Operation, pathValues: readonly string[]) {
    this.id = arrival.id
    this.operation = operation
    this.method = arrival.method
    this.target = arrival.target
    this.rawTarget = arrival.rawTarget
    this.protocol = arrival.protocol
    this.headers = arrival.headers
    this.rawHeaders = arrival.rawHeaders
    this.peer = arrival.peer
    this.address = arrival.address
    this.receivedAt = arrival.receivedAt
    this.upgrade = arrival.upgrade
    this.http2 = arrival.protocol === 'HTTP/2'
    this.pathValues = pathValues
    this.principal = undefined
    this.credentialDenial = undefined
    this.traceId = undefined
    this.requestBody = undefined
    this.forwarded = undefined
    this.response = undefined
    this.replyHeaders = nothing
    this.upstreamHeaders = nothing
    this.withheldHeaders = nothing
    this.withheldCookies = nothing
    this.denial = undefined
    this.observed = nothing
    this.matches = nothing
    this.decision = undefined
    this.#query = undefined
    this.#cookies = undefined
    this.#json = undefined
    this.#slots = undefined
    this.#abort = undefined
  }

  /** Name and value pairs of the query, percent-decoded, `+` as space, in order. */
  query(): readonly (readonly [string, string])[] {
    this.#query ??= parseQuery(this.target.query)
    return this.#query
  }

  /** Cookies by name; the first of a name counts. */
  cookies(): ReadonlyMap<string, string> {
    this.#cookies ??= parseCookies(this.headers.cookie)
    return this.#cookies
  }

  /** The request body as strict JSON, parsed once. Throws `JsonError`. Only from phase `requestBody` on. */
  json(): unknown {
    this.#json ??= { value: parseStrictJson(this.requestBody ?? Buffer.alloc(0)) }
    return this.#json.value
  }

  /**
   * Puts another body in the place of the one that came: for later steps, if it was opened before them, and for the upstream.
   * What vouches for the bytes as they came goes (RFC 9530).
   */
  replaceRequestBody(body: Buffer): void {
    this.requestBody = body
    this.#json = undefined
    for (const name of digestHeaders) if (this.headers[name] !== undefined) this.withholdHeader(name)
  }

  /** Header for whatever reply is written; replaces one of the same name from the upstream. */
  setReplyHeader(name: string, value: string): void {
    if (this.replyHeaders === nothing) this.replyHeaders = [name, value]
    else (this.replyHeaders as string[]).push(name, value)
  }

  /** Header towards the upstream; replaces the caller's of the same name. */
  setUpstreamHeader(name: string, value: string): void {
    if (this.upstreamHeaders === nothing) this.upstreamHeaders = [name, value]
    else (this.upstreamHeaders as string[]).push(name, value)
  }

  /** Keeps a request header (lower-case name) from the upstream. */
  withholdHeader(name: string): void {
    if (this.withheldHeaders === nothing) this.withheldHeaders = [name]
    else (this.withheldHeaders as string[]).push(name)
  }

  /** Keeps a cookie from the upstream. */
  withholdCookie(name: string): void {
    if (this.withheldCookies === nothing) this.withheldCookies = [name]
    else (this.withheldCookies as string[]).push(name)
  }

  /** Notes what a rule in `observe` would have refused. */
  observe(denial: Denial): void {
    if (this.observed === nothing) this.observed = [denial]
    else (this.observed as Denial[]).push(denial)
  }

  /** Notes a rule that fitted, for whoever reads the log. At most `matchesMax` are kept. */
  noteMatch(match: RuleMatch): void {
    if (this.matches === nothing) this.matches = [match]
    else if (this.matches.length < matchesMax) (this.matches as RuleMatch[]).push(match)
  }

  get<T>(slot: Slot<T>): T | undefined {
    return this.#slots?.[slot.index] as T | undefined
  }

  set<T>(slot: Slot<T>, value: T): void {
    this.#slots ??= []
    this.#slots[slot.index] = value
  }

  /** Aborts when the caller goes away or the exchange ends: for guards that ask somebody else. Made on first use. */
  get signal(): AbortSignal {
    this.#abort ??= new AbortController()
    return this.#abort.signal
  }

  /** Ends the exchange for those who listen to `signal`. */
  abort(): void {
    this.#abort?.abort()
  }
}

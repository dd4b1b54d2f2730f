import type { Clock } from '../base/clock.ts'
import type { Place } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import type { Shape } from '../config/language.ts'
import type { Operation } from '../openapi/operation.ts'
import type { Counters } from '../store/counters.ts'
import type { Store } from '../store/store.ts'
import type { RuleMatch } from '../traffic/passage.ts'
import type { KeyRing } from '../vault/index.ts'
import type { Ask } from './ask.ts'
import type { Exchange, Slot } from './exchange.ts'
import type { Stray } from './stray.ts'
import type { Verdict } from './verdict.ts'

/** The order in which guards speak. Closed on purpose: nothing can authorize before it identifies. */
export const stages = ['admit', 'identify', 'limit', 'authorize', 'validate', 'inspect', 'shape'] as const
export type Stage = (typeof stages)[number]

/** `observe` never blocks, not even when the rule itself fails. */
export type Mode = 'off' | 'observe' | 'enforce'

/**
 * One kind of protection. `Options` is what an API (or an operation, by `x-portcullis`) says under the guard's
 * name; `Root` is what the guard reads from the top of the configuration, such as `issuers`.
 */
export interface Guard<Options = unknown, Root = unknown> {
  /** The key under `apis.<api>` and under `x-portcullis` in the document. */
  readonly name: string
  readonly stage: Stage
  /** Reads, documents and defaults the options. `undefined` as input must give the secure defaults. */
  readonly options: Shape<Options>
  /** The keys at the top of the configuration that this guard reads. */
  readonly root?: Shape<Root>
  /** How the guard stands: in general, or for requests and responses apart. Default: the options' `mode`, or enforce. */
  readonly mode?: (options: Options) => Mode | { readonly request: Mode; readonly response: Mode }
  /** Once per load and per distinct options. The place for I/O: rule files, keys, stores. */
  readonly setup: (options: Options, host: Host, root: Root) => Compile | Promise<Compile>
}

/** Once per operation and load. `undefined`: nothing to guard here, and nothing to pay. */
export type Compile = (operation: Operation) => Steps | undefined

/** Per request. A step that does not wait returns its verdict bare, so no promise is made. */
export type Step = (exchange: Exchange) => Verdict | Promise<Verdict>

/** What a guard does to one operation. Properties that are known at load cost nothing per request. */
export interface Steps {
  /** Method, target, headers and peer are known; the body is still on the wire. */
  readonly requestHead?: Step
  /** Asking for it makes the gate read the body first. */
  readonly requestBody?: Step
  /**
   * Whether this request's body must be read, its head being known. Default: always. A body that no guard must see goes on as
   * it comes, and no step of phase `requestBody` runs.
   */
  readonly readsRequestBody?: (exchange: Exchange) => boolean
  /** Status and headers of the upstream's answer are known. */
  readonly responseHead?: Step
  /** Asking for it makes the gate hold the upstream's answer, decoded, up to its limit. */
  readonly responseBody?: Step
  /** `responseBody` only notes: an answer that cannot be held passes without it. */
  readonly responseBodyOptional?: boolean
  /** As `responseBody`, for whom the beginning of some answers will do: nothing large or endless is held for it. */
  readonly responsePart?: ResponsePart
  /** Looks at a request that was refused before it had an operation. Asked of the program for unlisted paths. */
  readonly stray?: (stray: Stray) => readonly RuleMatch[]
  /**
   * Turns a body that the caller wrapped into what guards judge, before every step of phase `requestBody`
   * (`exchange.replaceRequestBody`).
   */
  readonly openRequest?: Step
  /** Turns what was judged into what the upstream gets, after every step of phase `requestBody`, also where there is no body. */
  readonly sealRequest?: Step
  /** Turns the upstream's answer into what guards judge, before every step of phase `responseBody` (`response.replaceBody`). */
  readonly openResponse?: Step
  /** Turns the answer that was judged into what the caller gets, after every step of phase `responseBody`. */
  readonly sealResponse?: Step
  /** Runs once when the exchange is over, however it ended. Sees, changes nothing. */
  readonly end?: (exchange: Exchange) => void
  /** Whether a request header (lower-case name) may reach the upstream. All guards must agree. */
  readonly keepRequestHeader?: (name: string) => boolean
  /** Whether an upstream's response header (lower-case name) may reach the caller. All guards must agree. */
  readonly keepResponseHeader?: (name: string) => boolean
  /** Headers set on every reply, the gate's own included. They replace the upstream's of the same name. */
  readonly replyHeaders?: Readonly<Record<string, string>>
  /** As `replyHeaders`, only where the caller's connection is encrypted (see `Peer`). */
  readonly replyHeadersEncrypted?: Readonly<Record<string, string>>
  /** Headers set on the way to the upstream. They replace the caller's of the same name. */
  readonly upstreamHeaders?: Readonly<Record<string, string>>
  /** The largest request body in bytes, read or streamed. The smallest of all guards counts. */
  readonly requestBytesMax?: number
  /** The largest response body in bytes that may be held for `responseBody`. The smallest of all guards counts. */
  readonly responseBytesMax?: number
}

/**
 * A look at the beginning of an answer. Where it may refuse, the answer is held until so much is there, and streams on after
 * it; where it observes, the answer streams at once and the look comes at the end.
 */
export interface ResponsePart {
  /** How much of the body, decoded from its content coding, the step sees at most. */
  readonly bytesMax: number
  /** Whether it wants to see this answer, of which status and headers are known. */
  readonly wants: (exchange: Exchange) => boolean
  /** Finds in `exchange.response.body` what there is of it. Changes nothing. */
  readonly step: Step
}

/** An issuer of tokens in the same process. */
export interface LocalIssuer {
  readonly issuer: string
  /** Its public keys now, as a JWK set: the same object until they change. Asked on every request. */
  readonly jwks: () => JwkSet
  /** What stands in `aud` of its tokens for an API. */
  readonly audienceFor: (api: string) => string
  /** How it signs. */
  readonly algorithms: readonly string[]
  /** Its clients, for the public keys that they registered. */
  readonly clients?: { readonly find: (id: string) => Promise<RegisteredClient | undefined> }
}

interface RegisteredClient {
  readonly jwks?: JwkSet | undefined
  readonly revokedAt: number | undefined
}

interface JwkSet {
  readonly keys: readonly unknown[]
}

/** Everything a guard may touch outside its arguments. */
export interface Host {
  readonly now: Clock
  readonly store: Store
  readonly counters: Counters
  /** The keys of this gate, opened on first use. */
  readonly vault: () => Promise<KeyRing>
  readonly log: Logger
  /** Takes what whoever answers for security wants to know of, and that is no request. */
  readonly tell: Tell
  /** The name of the API whose options are being set up, for keys in shared stores. */
  readonly api: string
  /** Where the API stands on the gate: `/v2`, or nothing at the root. */
  readonly prefix: string
  /** The names that the API answers to, in lower case; `undefined`: every name. */
  readonly hosts: readonly string[] | undefined
  /** The token service of this process, whose keys need no question over the network. */
  readonly localIssuer: LocalIssuer | undefined
  /** Asks the API's upstream by itself; `undefined` in front of a handler in the same process, which answers only callers. */
  readonly ask: Ask | undefined
  /** Where the gate keeps what it makes itself, and what was installed for it. */
  readonly stateDir: string
  /** Where text stands in the configuration that the API's options have at a path; `undefined` where they have another there. */
  readonly placeOf?: (path: readonly (string | number)[], text: string) => Place | undefined
  /** Files that were read for the options: a change in one of them calls for a reload. */
  readonly watch: (files: readonly string[]) => void
  /** A private, typed place on every exchange. */
  readonly slot: <T>() => Slot<T>
  /** Runs when the last exchange of this load is over. */
  readonly onClose: (release: () => void | Promise<void>) => void
}

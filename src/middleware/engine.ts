import type { IncomingHttpHeaders } from 'node:http'
import { resolve } from 'node:path'
import type { PeerCertificate } from 'node:tls'
import type { Dispatcher } from 'undici'
import { ConfigError } from '../base/errors.ts'
import { canonicalAddress, parseIpRange, RangeSet } from '../base/ip.ts'
import type { Logger } from '../base/log.ts'
import { buildLoad, stateDirOf } from '../cli/load.ts'
import { createLogger } from '../cli/logger.ts'
import { vaultOf } from '../cli/vault.ts'
import type { ConfigInput } from '../config/input.ts'
import { type Config, loadConfig } from '../config/load.ts'
import { upstreamShape } from '../config/settings.ts'
import type { IncomingRequest } from '../gate/arrival.ts'
import { PassingBody } from '../gate/body.ts'
import type { Exchange } from '../gate/exchange.ts'
import { createGate, type Gate } from '../gate/gate.ts'
import { hasHeader } from '../gate/headers.ts'
import type { Peer } from '../gate/peer.ts'
import type { OutgoingReply } from '../gate/reply.ts'
import type { Upstream, UpstreamTarget } from '../gate/upstream.ts'
import { guards } from '../guards/index.ts'
import { openCounters, openStore } from '../store/open.ts'
import { createWatch } from '../watch/index.ts'

/** What to protect, and how: a configuration, or just a document with everything else by default. */
export interface ProtectOptions {
  /** A configuration file (default: `portcullis.yaml`), or the configuration itself. No API in it needs an `upstream`. */
  readonly config?: string | ConfigInput
  /** In place of a configuration: the OpenAPI document of the one API. Then nothing is written to standard output. */
  readonly openapi?: string
  /** With `openapi`: what would stand under the API's name, such as `limits` or `auth`. */
  readonly api?: Readonly<Record<string, unknown>>
  /** Takes messages for the operator. Default: warnings and errors, on standard error. */
  readonly log?: Logger
}

/** The other end of the connection, as far as the framework knows it. */
export interface Caller {
  readonly address: string | undefined
  readonly encrypted: boolean
  /** The client certificate, verified by the server. */
  readonly certificate: PeerCertificate | undefined
}

/** What the handler behind the gate gets. */
export interface Passed {
  /** Path and query in the one spelling that the gate has judged. */
  readonly url: string
  /** Name, value, name, value …: the caller's that may pass, then what the gate tells of the caller. */
  readonly headers: string[]
  /** Whole when a guard has read it, decoded from its content coding; on its way when none did. */
  readonly body: Buffer | PassingBody | null
}

/** Answers for what has passed; whatever it answers, it tells `answer`. */
export type Handler = (passed: Passed, answer: Dispatcher.DispatchHandler) => void

/** The gate without listeners and upstreams: between a framework and its handlers in the same process. */
export interface Engine {
  /** Judges a request: writes the refusal to `reply`, or calls `handler` once and writes its answer, as far as it may leave. */
  readonly request: (request: IncomingRequest, reply: OutgoingReply, caller: Caller, handler: Handler) => void
  readonly log: Logger
  /** Waits for requests under way, at most `drain` of the configuration, and ends all that the gate holds. */
  readonly close: () => Promise<void>
}

/** Builds the engine from the same configuration, by the same code, as `portcullis start`. */
export async function createEngine(options: ProtectOptions): Promise<Engine> {
  const log = options.log ?? (await createLogger({ level: 'warn' }))
  const now = Date.now
  const config = await loadConfig({
    ...sourceOf(options),
    env: process.env,
    guards: guards as never,
    dev: true,
    withoutUpstreams: true,
  })
  const { settings } = config
  const opened: { close(): Promise<void> }[] = []
  const keep = <T extends { close(): Promise<void> }>(one: T): T => {
    opened.unshift(one)
    return one
  }
  const release = async () => {
    for (const one of opened) await one.close()
  }
  try {
    const store = keep(await openStore(settings.store.url, { log }))
    const counters = keep(await openCounters(settings.counters.url, { log }))
    const watch = keep(await createWatch(settings.telemetry, { log, now, stateDir: stateDirOf(config) }))
    const vault = vaultOf(config, { store, stateDir: stateDirOf(config), log, now })
    keep({ close: async () => vault.close() })
    await vault.refuseWrongKey()
    if (settings.tokenService !== undefined) {
      throw new ConfigError('P1062', 'the token service has no listener in front of handlers in this process', {
        hint: 'run it with `portcullis start`, and name it here under `issuers`',
      })
    }
    const foundation = { store, counters, log, now, tell: watch.tell, vault: vault.open }
    const load = await buildLoad(config, foundation, { upstream: inProcess() })
    const gate = createGate(load, { sink: watch.sink, now, log })
    return engineOf(gate, config, log, release)
  } catch (error) {
    await release()
    throw error
  }
}

function engineOf(gate: Gate, { settings }: Config, log: Logger, release: () => Promise<void>): Engine {
  const trusted = new RangeSet(settings.trustedProxies.map((range) => parseIpRange(range)))
  let closing: Promise<void> | undefined
  return {
    request(request, reply, caller, handler) {
      gate.request(request, reply, peerOf(caller, trusted, handler))
    },
    log,
    close() {
      closing ??= Promise.race([gate.close(), elapsed(settings.drain)]).then(release)
      return closing
    },
  }
}

function sourceOf({ config, openapi, api }: ProtectOptions): { readonly file: string; readonly value?: unknown } {
  const file = resolve('portcullis.yaml')
  if (typeof config === 'string') return { file: config }
  if (config !== undefined) return { file, value: config }
  if (openapi === undefined) return { file }
  // Standard output is the application's: whoever wants the activity log there says so in a configuration.
  return { file, value: { version: 1, telemetry: { logs: { level: 'none' } }, apis: { api: { ...api, openapi } } } }
}

function elapsed(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

/** The caller of one request, with the handler it is meant for: what the gate is told of the one leads to the other. */
interface MeantPeer extends Peer {
  readonly handler: Handler
}

function peerOf(caller: Caller, trusted: RangeSet, handler: Handler): MeantPeer {
  // A socket that has no address is a local one (`server.listen('/run/app.sock')`), or nobody knows.
  const address = canonicalAddress(caller.address ?? '') ?? '0.0.0.0'
  const isTrusted = trusted.has(address)
  return {
    address,
    encrypted: caller.encrypted,
    certificate: caller.certificate,
    trusted: isTrusted,
    proxies: isTrusted ? trusted : undefined,
    handler,
  }
}

/** An upstream that is a function call away: no health, no breaker, no retries, and as much time as the handler takes. */
export function inProcess(handlerOf: (exchange: Exchange) => Handler = meantHandler): Upstream {
  const settings = upstreamShape.parse('http://in-process.invalid')
  return {
    settings: { ...settings, timeouts: { ...settings.timeouts, total: Infinity } },
    pick: (exchange): UpstreamTarget => ({
      origin: 'http://in-process.invalid',
      pathPrefix: '',
      dispatcher: {
        dispatch(options: Dispatcher.DispatchOptions, answer: Dispatcher.DispatchHandler) {
          const handler = handlerOf(exchange)
          const passed = passedBy(exchange, options)
          // Too large, or broken: the gate knows why, and says it before the handler can.
          if (passed.body instanceof PassingBody) {
            passed.body.once('error', (error) => answer.onResponseError?.(new HandlerController(answer), error))
          }
          handler(passed, answer)
          return true
        },
      } as Dispatcher,
    }),
    report() {},
    release() {},
    mayRetry: () => false,
    status: () => [],
    close: async () => {},
  }
}

function meantHandler({ peer }: Exchange): Handler {
  return (peer as MeantPeer).handler
}

/** What an upstream gets, but for what a connection would add: host and framing, which handlers read too. */
function passedBy({ target, headers: received }: Exchange, options: Dispatcher.DispatchOptions): Passed {
  const { path, query, authority } = target
  const headers = ['host', authority, ...(options.headers as string[])]
  const body = options.body as Passed['body']
  const length = Buffer.isBuffer(body) ? String(body.length) : body === null ? received['content-length'] : undefined
  if (length !== undefined) headers.push('content-length', length)
  else if (body !== null && !hasHeader(headers, 'content-length')) headers.push('transfer-encoding', 'chunked')
  return { url: query === '' ? path : `${path}?${query}`, headers, body }
}

/** Steers a handler's answer for the gate: when to pause, when to stop. */
export class HandlerController implements Dispatcher.DispatchController {
  readonly #answer: Dispatcher.DispatchHandler
  readonly #resumed: () => void
  readonly #stopped: (reason: Error) => void
  #paused = false
  #reason: Error | null = null
  readonly rawHeaders = null
  readonly rawTrailers = null

  constructor(answer: Dispatcher.DispatchHandler, resumed = () => {}, stopped: (reason: Error) => void = () => {}) {
    this.#answer = answer
    this.#resumed = resumed
    this.#stopped = stopped
  }

  get aborted(): boolean {
    return this.#reason !== null
  }

  get paused(): boolean {
    return this.#paused
  }

  get reason(): Error | null {
    return this.#reason
  }

  abort(reason: Error): void {
    if (this.#reason !== null) return
    this.#reason = reason
    this.#stopped(reason)
    this.#answer.onResponseError?.(this, reason)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#resumed()
  }
}

/** A handler that throws has answered 500: what the caller reads of it is the gate's `errors` to say. */
export function answerFailure(answer: Dispatcher.DispatchHandler, controller: HandlerController): void {
  answer.onResponseStart?.(controller, 500, { 'content-length': '0' })
  answer.onResponseEnd?.(controller, {})
}

/** A flat list of names and values as node:http would fold it. */
export function foldRequestHeaders(flat: readonly string[]): IncomingHttpHeaders {
  const folded: Record<string, string | string[]> = {}
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i]!.toLowerCase()
    const value = flat[i + 1]!
    const before = folded[name]
    if (before === undefined) folded[name] = name === 'set-cookie' ? [value] : value
    else if (Array.isArray(before)) before.push(value)
    else folded[name] = `${before}${name === 'cookie' ? '; ' : ', '}${value}`
  }
  return folded
}

import type { IncomingHttpHeaders } from 'node:http'
import { dirname, join, resolve } from 'node:path'
import type { Dispatcher } from 'undici'
import { parseIpRange, RangeSet } from '../base/ip.ts'
import { type Logger, silentLogger } from '../base/log.ts'
import { buildLoad } from '../cli/load.ts'
import type { ConfigInput } from '../config/input.ts'
import { loadConfig } from '../config/load.ts'
import { upstreamShape } from '../config/settings.ts'
import type { Exchange } from '../gate/exchange.ts'
import { createGate, type Gate } from '../gate/gate.ts'
import type { Upstream, UpstreamTarget } from '../gate/upstream.ts'
import { guards } from '../guards/index.ts'
import { openCounters, openStore } from '../store/open.ts'
import { createWatch } from '../watch/index.ts'

/** What to protect, and how: a configuration, or just a document with everything else by default. */
export interface ProtectOptions {
  /** A configuration file (default: `portcullis.yaml`), or the configuration itself. No API in it needs an `upstream`. */
  readonly config?: string | ConfigInput
  /** Instead of a configuration: the OpenAPI document of the one API. */
  readonly openapi?: string
  /** With `openapi`: what would stand under the API's name, such as `limits` or `auth`. */
  readonly api?: Readonly<Record<string, unknown>>
  /** Takes messages for the operator. Default: none. */
  readonly log?: Logger
}

/** The handler behind the gate, as the gate calls it: with what may pass. */
export type Handler = (options: Dispatcher.DispatchOptions, reply: Dispatcher.DispatchHandler) => void

/** The gate's engine without listeners: in front of handlers in the same process. */
export interface Engine {
  readonly gate: Gate
  /** Addresses whose `Forwarded` and `X-Forwarded-For` are believed. */
  readonly trusted: RangeSet
  /** Says which handler answers the exchange that has these raw headers. */
  readonly bind: (rawHeaders: readonly string[], handler: Handler) => void
  /** Ends what the guards hold; requests under way finish first. */
  readonly close: () => Promise<void>
}

/** Builds the engine from the same configuration, by the same code, as `portcullis start`. */
export async function createEngine(options: ProtectOptions): Promise<Engine> {
  const log = options.log ?? silentLogger
  const now = Date.now
  const config = await loadConfig({
    ...sourceOf(options),
    env: process.env,
    guards: guards as never,
    dev: true,
  })
  const store = await openStore(config.settings.store.url, { log })
  const counters = await openCounters(config.settings.counters.url, { log })
  const watch = await createWatch(config.settings.telemetry, {
    log,
    now,
    stateDir: join(dirname(config.file), '.portcullis'),
  })
  const handlers = new WeakMap<readonly string[], Handler>()
  const load = await buildLoad(config, { store, counters, log, now }, { upstream: inProcess(handlers) })
  const gate = createGate(load, { sink: watch.sink, now })
  return {
    gate,
    trusted: new RangeSet(config.settings.trustedProxies.map((range) => parseIpRange(range))),
    bind: (rawHeaders, handler) => handlers.set(rawHeaders, handler),
    async close() {
      await gate.close()
      await watch.close()
      await counters.close()
      await store.close()
    },
  }
}

function sourceOf({ config, openapi, api }: ProtectOptions): { readonly file: string; readonly value?: unknown } {
  const file = resolve('portcullis.yaml')
  if (typeof config === 'string') return { file: config }
  if (config !== undefined) return { file, value: config }
  if (openapi === undefined) return { file }
  return { file, value: { version: 1, apis: { api: { ...api, openapi } } } }
}

/** An upstream that is a function call away. It has no health, no breaker and no retries: it fails with this process. */
function inProcess(handlers: WeakMap<readonly string[], Handler>): Upstream {
  const settings = upstreamShape.parse('http://in-process.invalid')
  return {
    settings,
    pick: (exchange: Exchange): UpstreamTarget => ({
      origin: 'http://in-process.invalid',
      pathPrefix: '',
      dispatcher: {
        dispatch(options: Dispatcher.DispatchOptions, reply: Dispatcher.DispatchHandler) {
          handlers.get(exchange.rawHeaders)!(options, reply)
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

/** The controller that the gate steers a handler's answer with. */
export class HandlerController implements Dispatcher.DispatchController {
  #aborted = false
  #paused = false
  #reason: Error | null = null
  readonly #onResume: () => void
  readonly #onAbort: (reason: Error) => void
  rawHeaders = null
  rawTrailers = null

  constructor(onResume: () => void, onAbort: (reason: Error) => void) {
    this.#onResume = onResume
    this.#onAbort = onAbort
  }

  get aborted(): boolean {
    return this.#aborted
  }

  get paused(): boolean {
    return this.#paused
  }

  get reason(): Error | null {
    return this.#reason
  }

  abort(reason: Error): void {
    if (this.#aborted) return
    this.#aborted = true
    this.#reason = reason
    this.#onAbort(reason)
  }

  pause(): void {
    this.#paused = true
  }

  resume(): void {
    if (!this.#paused) return
    this.#paused = false
    this.#onResume()
  }
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

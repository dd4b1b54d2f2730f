import { subscribe } from 'node:diagnostics_channel'
import { readFileSync } from 'node:fs'
import { type ClientHttp2Stream, constants as http2 } from 'node:http2'
import { buildConnector, type Dispatcher, Pool } from 'undici'
import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { UpstreamSettings } from '../config/settings.ts'
import { Breaker } from './breaker.ts'
import type { Exchange } from './exchange.ts'
import { type Denial, denial } from './verdict.ts'

export const upstreamDenials = {
  unreachable: denial(502, 'upstream.unreachable', 'The service behind the gate cannot be reached.'),
  tls: denial(502, 'upstream.tls', 'The service behind the gate could not prove its identity.'),
  reset: denial(502, 'upstream.reset', 'The service behind the gate broke off.'),
  malformed: denial(502, 'upstream.malformed', 'The service behind the gate gave an answer that is not HTTP.'),
  timeout: denial(504, 'upstream.timeout', 'The service behind the gate did not answer in time.'),
  busy: denial(503, 'upstream.busy', 'Too many requests wait for the service behind the gate.', {
    headers: { 'retry-after': '1' },
  }),
  breakerOpen: denial(503, 'upstream.breaker-open', 'The service behind the gate is failing and is given a rest.'),
  unhealthy: denial(503, 'upstream.unhealthy', 'The service behind the gate reports that it is not well.'),
  tooLarge: denial(502, 'upstream.response-too-large', 'The answer is larger than the gate may hold to check it.'),
  coding: denial(502, 'upstream.content-coding', 'The answer could not be decoded to be checked.'),
} as const

/** One target of an upstream, with its connections and how it fares. */
export interface UpstreamTarget {
  readonly origin: string
  /** Put before every path; empty for the origin's root. */
  readonly pathPrefix: string
  readonly dispatcher: Dispatcher
}

/** Where an API's requests go: targets, their health, what happens when they fail. */
export interface Upstream {
  readonly settings: UpstreamSettings
  /** The next target, or why there is none. Whoever gets one gives it back with `release`. */
  readonly pick: (exchange: Exchange) => UpstreamTarget | Denial
  /** Tells how a request to a target went, when its head came or it failed. */
  readonly report: (target: UpstreamTarget, went: 'well' | 'badly', headMs: number) => void
  readonly release: (target: UpstreamTarget) => void
  /** Whether the budget allows one more try; counts it if so. */
  readonly mayRetry: () => boolean
  /** For `doctor`, metrics and readiness. */
  readonly status: () => readonly { readonly origin: string; readonly healthy: boolean; readonly breaker: string }[]
  readonly close: () => Promise<void>
}

interface TargetState extends UpstreamTarget {
  readonly weight: number
  readonly breaker: Breaker
  /** Smooth weighted round robin: grows by `weight` a turn, the largest is chosen and pays the sum. */
  turn: number
  inFlight: number
  healthy: boolean
  /** Probes in a row that said otherwise than `healthy`. */
  contrary: number
}

/** Retries that may be saved up while all is well: enough for a restart of one target, too few to bury it. */
const retryTokensMax = 20

/** Opens the pools and starts the probes. Connections are made on first use. */
export function createUpstream(
  settings: UpstreamSettings,
  { log, now }: { readonly log: Logger; readonly now: Clock },
): Upstream {
  const targets = settings.targets.map(({ url, weight }): TargetState => {
    const { origin, pathname } = new URL(url)
    return {
      origin,
      pathPrefix: pathname === '/' ? '' : pathname.replace(/\/$/, ''),
      dispatcher: openPool(origin, settings),
      weight,
      breaker: new Breaker(settings.breaker, now),
      turn: 0,
      inFlight: 0,
      healthy: true,
      contrary: 0,
    }
  })
  const inFlightMax = settings.connections + settings.queue
  let retryTokens = settings.retries.budget === 0 ? 0 : retryTokensMax
  const stopProbes = startProbes(targets, settings, log)

  function pickOnly(target: TargetState): UpstreamTarget | Denial {
    if (!target.healthy) return upstreamDenials.unhealthy
    if (target.inFlight >= inFlightMax) return upstreamDenials.busy
    if (!target.breaker.admits()) return restOf(target)
    target.inFlight++
    return target
  }

  function pickAmong(): UpstreamTarget | Denial {
    let best: TargetState | undefined
    let weights = 0
    for (const target of targets) {
      // One that is away saves up no turns: it would get every request when it is back.
      if (!target.healthy || target.inFlight >= inFlightMax || target.breaker.isResting()) continue
      target.turn += target.weight
      weights += target.weight
      if (best === undefined || target.turn > best.turn) best = target
    }
    if (best?.breaker.admits() !== true) return whyNone()
    best.turn -= weights
    best.inFlight++
    return best
  }

  function whyNone(): Denial {
    const resting = targets.filter(({ breaker }) => breaker.isResting())
    if (resting.length > 0) return restOf(resting.reduce((a, b) => (a.breaker.restMs() < b.breaker.restMs() ? a : b)))
    return targets.some(({ healthy }) => healthy) ? upstreamDenials.busy : upstreamDenials.unhealthy
  }

  const only = targets.length === 1 ? targets[0] : undefined
  return {
    settings,
    pick: only === undefined ? pickAmong : () => pickOnly(only),
    report(target, went, headMs) {
      const { breaker, origin } = target as TargetState
      if (retryTokens < retryTokensMax) retryTokens += settings.retries.budget
      const before = breaker.state
      breaker.record(went === 'badly' || headMs > settings.breaker.slow)
      if (breaker.state === before) return
      if (breaker.state === 'open') log.warn('An upstream is failing; the breaker is open.', { origin })
      if (breaker.state === 'closed') log.info('An upstream has recovered; the breaker is closed.', { origin })
    },
    release(target) {
      ;(target as TargetState).inFlight--
    },
    mayRetry() {
      if (retryTokens < 1) return false
      retryTokens--
      return true
    },
    status: () => targets.map(({ origin, healthy, breaker }) => ({ origin, healthy, breaker: breaker.state })),
    async close() {
      stopProbes()
      await Promise.all(targets.map(({ dispatcher }) => dispatcher.close()))
    },
  }
}

function restOf(target: TargetState): Denial {
  const seconds = Math.max(1, Math.ceil(target.breaker.restMs() / 1000))
  return { ...upstreamDenials.breakerOpen, headers: { 'retry-after': String(seconds) } }
}

function openPool(origin: string, settings: UpstreamSettings): Pool {
  const { tls, timeouts } = settings
  const h2 = settings.protocol === 'h2'
  const plain = h2 && origin.startsWith('http:')
  return new Pool(origin, {
    connections: settings.connections,
    // Never more than one request of HTTP/1.1 on a connection: no head-of-line blocking, no doubt about what may be tried again.
    pipelining: 1,
    allowH2: h2,
    // Over http:// with prior knowledge (RFC 9113, 3.3): there is no handshake to choose the protocol in.
    ...(plain ? { useH2c: true } : {}),
    headersTimeout: timeouts.head,
    bodyTimeout: timeouts.idle,
    connect: connectorFor(h2, plain, {
      timeout: timeouts.connect,
      rejectUnauthorized: true,
      ...(tls?.ca === undefined ? {} : { ca: [tls.ca].flat().map(readPem) }),
      ...(tls?.certificate === undefined ? {} : { cert: readPem(tls.certificate) }),
      ...(tls?.key === undefined ? {} : { key: readPem(tls.key) }),
      ...(tls?.serverName === undefined ? {} : { servername: tls.serverName }),
    }),
  })
}

function connectorFor(h2: boolean, overPlain: boolean, options: buildConnector.BuildOptions) {
  if (!h2) return options
  watchHttp2Streams()
  const connect = buildConnector({ ...options, allowH2: true, ...(overPlain ? { useH2c: true } : {}) })
  const marked: buildConnector.connector = (target, done) =>
    connect(target, (...result) => {
      const [, socket] = result
      if (socket !== null) (socket as Ours)[ours] = true
      done(...result)
    })
  return marked
}

/** Marks the sockets to our upstreams, so that nobody else's streams are touched. */
const ours = Symbol('portcullis.upstream')
type Ours = { [ours]?: true }
let watching = false

/**
 * Mends two faults of node:http2 as undici (8.12) uses it:
 *
 * - A stream that was reset with CANCEL, or whose connection broke, comes to its `end` as if it were whole, and undici
 *   believes it. A caller must not: here such an end is an error first.
 * - undici gives a stream up with NO_ERROR, by which an upload cut short can look whole (RFC 9113, 8.1), and destroys it
 *   in the same breath; with body still to be sent, node (24.21) then sends the same frame for ever, in native code. Here
 *   it is CANCEL, and a turn later.
 */
function watchHttp2Streams(): void {
  if (watching) return
  watching = true
  subscribe('http2.client.stream.created', (message) => {
    const { stream } = message as { readonly stream: ClientHttp2Stream }
    const socket = stream.session?.socket as Ours | undefined
    if (socket?.[ours] !== true) return
    const { close, destroy } = stream
    let givenUp = false
    stream.close = (code = http2.NGHTTP2_CANCEL, done) => {
      givenUp = true
      setImmediate(() => close.call(stream, code, done))
    }
    stream.destroy = (error) => {
      if (!givenUp) return destroy.call(stream, error)
      setImmediate(() => destroy.call(stream, error))
      return stream
    }
    stream.prependListener('end', () => {
      if ((stream.rstCode ?? 0) === http2.NGHTTP2_NO_ERROR || stream.listenerCount('error') === 0) return
      const error = new Error(`the stream ended with code ${stream.rstCode}`)
      stream.emit('error', Object.assign(error, { code: 'ERR_HTTP2_STREAM_ERROR' }))
    })
  })
}

/** A PEM text as it stands, or the content of the file it names. */
function readPem(textOrFile: string): string {
  return textOrFile.includes('-----BEGIN ') ? textOrFile : readFileSync(textOrFile, 'utf8')
}

/** Asks every target how it is, where a path for that is given. */
function startProbes(targets: readonly TargetState[], { health }: UpstreamSettings, log: Logger): () => void {
  const { path } = health
  if (path === undefined) return () => {}
  const asking = new Set<TargetState>()
  const probe = async (target: TargetState) => {
    if (asking.has(target)) return
    asking.add(target)
    const well = await isWell(target, path, health.timeout)
    asking.delete(target)
    if (well === target.healthy) {
      target.contrary = 0
      return
    }
    target.contrary++
    if (target.contrary < (well ? health.healthyAfter : health.unhealthyAfter)) return
    target.healthy = well
    target.contrary = 0
    if (well) log.info('An upstream is well again.', { origin: target.origin })
    else log.warn('An upstream is not well; requests go elsewhere or are refused.', { origin: target.origin })
  }
  const timer = setInterval(() => {
    for (const target of targets) void probe(target)
  }, health.interval)
  timer.unref()
  return () => clearInterval(timer)
}

async function isWell(target: TargetState, path: string, timeoutMs: number): Promise<boolean> {
  try {
    const { statusCode, body } = await target.dispatcher.request({
      origin: target.origin,
      path: target.pathPrefix + path,
      method: 'GET',
      signal: AbortSignal.timeout(timeoutMs),
    })
    await body.dump()
    return statusCode < 400
  } catch {
    return false
  }
}

/**
 * Statuses that speak of the target's health. A plain 500 is left out on purpose: a caller who knows how to provoke one
 * could otherwise shut the API for everybody.
 */
export function isFailure(status: number): boolean {
  return status === 502 || status === 503 || status === 504
}

/** What the caller is told about an error on the way to or from the upstream. */
export function upstreamDenial(error: unknown): Denial {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? ''
  const evidence = { error: code || (error instanceof Error ? error.name : 'unknown') }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT' || code === 'UND_ERR_CONNECT_TIMEOUT') {
    return { ...upstreamDenials.timeout, evidence }
  }
  if (
    code.startsWith('HPE_') ||
    // undici leaves the code out where its parser has no name for what is wrong.
    (error instanceof Error && error.name === 'HTTPParserError') ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return { ...upstreamDenials.malformed, evidence }
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|EPROTO/.test(code)) return { ...upstreamDenials.tls, evidence }
  if (
    code === 'UND_ERR_SOCKET' ||
    code === 'ECONNRESET' ||
    code === 'EPIPE' ||
    /^ERR_HTTP2_|^UND_ERR_INFO$/.test(code)
  ) {
    return { ...upstreamDenials.reset, evidence }
  }
  return { ...upstreamDenials.unreachable, evidence }
}

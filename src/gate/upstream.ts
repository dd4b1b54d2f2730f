import { type Dispatcher, Pool } from 'undici'
import type { UpstreamSettings } from '../config/settings.ts'
import { type Denial, denial } from './verdict.ts'

export const upstreamErrors = {
  unreachable: denial(502, 'upstream.unreachable', 'The service behind the gate cannot be reached.'),
  tls: denial(502, 'upstream.tls', 'The service behind the gate could not prove its identity.'),
  reset: denial(502, 'upstream.reset', 'The service behind the gate broke off.'),
  malformed: denial(502, 'upstream.malformed', 'The service behind the gate gave an answer that is not HTTP.'),
  timeout: denial(504, 'upstream.timeout', 'The service behind the gate did not answer in time.'),
  busy: denial(503, 'upstream.busy', 'Too many requests wait for the service behind the gate.', {
    headers: { 'retry-after': '1' },
  }),
  breaker: denial(503, 'upstream.breaker-open', 'The service behind the gate is failing and is given a rest.'),
  tooLarge: denial(502, 'upstream.response-too-large', 'The answer is larger than the gate may hold to check it.'),
  coding: denial(502, 'upstream.content-coding', 'The answer could not be decoded to be checked.'),
} as const

/** One target of an upstream, with its connections. */
export interface UpstreamTarget {
  readonly origin: string
  /** Put before every path; empty for the origin's root. */
  readonly pathPrefix: string
  readonly dispatcher: Dispatcher
}

/** Where an API's requests go: targets, their health, what happens when they fail. */
export interface Upstream {
  readonly settings: UpstreamSettings
  /** The next target, or why there is none. */
  readonly pick: () => UpstreamTarget | Denial
  /** Tells how a request to a target went, for breaker and health. */
  readonly report: (target: UpstreamTarget, outcome: 'ok' | 'failed', headMs: number) => void
  readonly close: () => Promise<void>
}

/** Opens the pools. Connections are made on first use. */
export function createUpstream(settings: UpstreamSettings): Upstream {
  const targets = settings.targets.map(({ url }): UpstreamTarget => {
    const { origin, pathname } = new URL(url)
    return {
      origin,
      pathPrefix: pathname === '/' ? '' : pathname.replace(/\/$/, ''),
      dispatcher: new Pool(origin, {
        connections: settings.connections,
        pipelining: 1,
        allowH2: settings.protocol === 'h2',
        connectTimeout: settings.timeouts.connect,
        headersTimeout: settings.timeouts.head,
        bodyTimeout: settings.timeouts.idle,
      }),
    }
  })
  let next = 0
  return {
    settings,
    pick: () => targets[next++ % targets.length]!,
    report: () => {},
    close: async () => {
      await Promise.all(targets.map(({ dispatcher }) => dispatcher.close()))
    },
  }
}

/** What the caller is told about an error on the way to or from the upstream. */
export function upstreamDenial(error: unknown): Denial {
  const code = (error as NodeJS.ErrnoException | undefined)?.code ?? ''
  const evidence = { error: code || (error instanceof Error ? error.name : 'unknown') }
  if (code === 'UND_ERR_HEADERS_TIMEOUT' || code === 'UND_ERR_BODY_TIMEOUT' || code === 'UND_ERR_CONNECT_TIMEOUT') {
    return { ...upstreamErrors.timeout, evidence }
  }
  if (
    code.startsWith('HPE_') ||
    code === 'UND_ERR_HEADERS_OVERFLOW' ||
    code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH'
  ) {
    return { ...upstreamErrors.malformed, evidence }
  }
  if (/CERT|SELF_SIGNED|UNABLE_TO_|ERR_TLS|ERR_SSL|EPROTO/.test(code)) return { ...upstreamErrors.tls, evidence }
  if (code === 'UND_ERR_SOCKET' || code === 'ECONNRESET' || code === 'EPIPE')
    return { ...upstreamErrors.reset, evidence }
  return { ...upstreamErrors.unreachable, evidence }
}

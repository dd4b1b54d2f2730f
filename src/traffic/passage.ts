import type { IncomingHttpHeaders } from 'node:http'

/** A rule of a rule set that fitted a request or its answer, whether or not that led to a refusal. */
export interface RuleMatch {
  readonly rule: number
  readonly message: string
  /** `CRITICAL`, `WARNING` …; what it adds to a score. */
  readonly severity: string | undefined
  readonly score: number
  readonly tags: readonly string[]
  /** Where it fitted: `ARGS:q`, `REQUEST_HEADERS:User-Agent`. */
  readonly variable: string
  /** What fitted, cut but not masked: that is for whoever writes it down. */
  readonly data: string | undefined
  /** The whole of it as rule engines log it, secrets and all: for tests of rules, never to be written. */
  readonly line?: () => string
}

/** Which rights let a request pass, where the operator wants to know that too. */
export interface RightsDecision {
  readonly effect: 'allow'
  /** As the configuration has them: `authorize.rules[0] office hours`. */
  readonly rules: readonly string[]
}

/**
 * What the gate tells of an exchange that is over. References only, nothing masked yet: what may leave the process
 * is decided where it is written down (see `record.ts`).
 */
export interface Passage {
  readonly id: string
  readonly api: string
  readonly version: string | undefined
  /** The operation's id, or `unlisted-path`, `unlisted-method`, `unroutable`. */
  readonly operation: string
  /** The path template: bounded, fit for labels. */
  readonly route: string
  readonly method: string
  readonly path: string
  readonly query: string
  /** `HTTP/1.1`, `HTTP/2`, `websocket`. */
  readonly protocol: string
  /** Milliseconds since the epoch. */
  readonly receivedAt: number
  readonly durationMs: number
  /** From forwarding to the head of the answer. */
  readonly upstreamMs: number | undefined
  readonly status: number
  readonly requestBytes: number
  readonly responseBytes: number
  /** The honest client address. */
  readonly address: string
  readonly user: string | undefined
  readonly application: string | undefined
  /** Which entry of `auth` vouched. */
  readonly credential: string | undefined
  readonly requestHeaders: IncomingHttpHeaders
  /** Name, value, name, value … as sent to the caller. */
  readonly responseHeaders: readonly string[]
  readonly denial: { readonly code: string; readonly detail: string; readonly evidence?: unknown } | undefined
  readonly observed: readonly { readonly code: string; readonly evidence?: unknown }[]
  readonly matches: readonly RuleMatch[]
  readonly decision?: RightsDecision | undefined
  /** What went wrong without anybody refusing: `upstream.reset`, `client.gone`. */
  readonly fault: string | undefined
  readonly traceId: string | undefined
}

/** The passage of a request that never came to an operation: what is not known of it is left empty. */
export function unroutedPassage(
  known: Pick<Passage, 'id' | 'receivedAt' | 'status' | 'address' | 'protocol' | 'denial'> & Partial<Passage>,
): Passage {
  return {
    api: '-',
    version: undefined,
    operation: 'unroutable',
    route: '-',
    method: '-',
    path: '-',
    query: '',
    durationMs: 0,
    upstreamMs: undefined,
    requestBytes: 0,
    responseBytes: 0,
    user: undefined,
    application: undefined,
    credential: undefined,
    requestHeaders: {},
    responseHeaders: [],
    observed: [],
    matches: [],
    fault: undefined,
    traceId: undefined,
    ...known,
  }
}

/** Takes every exchange once, at its end. Never waits, never throws. */
export type Sink = (passage: Passage) => void

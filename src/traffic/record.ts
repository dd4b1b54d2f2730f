/** A rule that fitted: what it is, and where it fitted. */
export interface RecordedMatch {
  readonly rule: number
  readonly message: string
  readonly severity?: string
  readonly score: number
  /** `ARGS:q`; a name that looks like a secret is masked. */
  readonly variable: string
  /** What fitted, cut and masked; left out where credentials are kept. */
  readonly data?: string
  readonly tags: readonly string[]
}

/** The record an exchange leaves: one line of NDJSON, version 1. What is secret is not in it. */
export interface TrafficRecord {
  readonly v: 1
  /** RFC 3339, when the request's head was read. */
  readonly time: string
  readonly id: string
  readonly api: string
  readonly version: string | undefined
  /** The operation's id, or `unlisted-path`, `unlisted-method`, `unroutable`. */
  readonly operation: string
  readonly method: string
  /** The path template; the place for labels. */
  readonly route: string
  /** The path as sent, values of sensitive parameters masked. */
  readonly path: string
  /** The query as sent, every value that is not known to be harmless masked. */
  readonly query: string | undefined
  readonly protocol: string
  readonly status: number
  readonly durationMs: number
  /** From forwarding to the upstream's head; absent when the gate answered. */
  readonly upstreamMs: number | undefined
  readonly requestBytes: number
  readonly responseBytes: number
  readonly client: string
  readonly user: string | undefined
  readonly application: string | undefined
  readonly credential: string | undefined
  readonly requestHeaders: Readonly<Record<string, string>>
  readonly responseHeaders: Readonly<Record<string, string>>
  /** Why the gate refused. */
  readonly denial: { readonly code: string; readonly evidence?: unknown } | undefined
  /** What `observe` would have refused. */
  readonly observed: readonly string[] | undefined
  /** Rules that fitted, whether or not that led to a refusal. */
  readonly matches: readonly RecordedMatch[] | undefined
  /** Which rights let it pass, where `authorize.decisions` asks for that. */
  readonly decision?: { readonly effect: 'allow'; readonly rules: readonly string[] } | undefined
  /** What went wrong without anybody refusing: `upstream.reset`, `client.gone`. */
  readonly fault: string | undefined
  readonly traceId: string | undefined
}

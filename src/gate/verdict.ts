/** What a step says about an exchange. `undefined`, the usual case, means: go on. */
export type Verdict = Denial | Answer | undefined

/** A refusal, in words for three readers: `code` for machines, `detail` for the caller, `evidence` for the operator. */
export interface Denial {
  readonly kind: 'denial'
  readonly status: number
  /** `<guard>.<reason>`; stable: problem type, metric label, log field. */
  readonly code: DenialCode
  /** For the caller; never echoes input. */
  readonly detail: string
  /** For the operator's log only. Never a secret. */
  readonly evidence?: unknown
  readonly headers?: Readonly<Record<string, string>>
  /** What failed, place by place, for a request that the document refuses. */
  readonly errors?: readonly FieldError[]
}

export type DenialCode = `${string}.${string}`

/** One place in a request that does not fit. The value itself is never repeated. */
export interface FieldError {
  /** JSON Pointer (RFC 6901) into the body, or the parameter's name. */
  readonly pointer: string
  readonly in: 'body' | 'path' | 'query' | 'header' | 'cookie'
  /** What was expected, and what kind of thing was found. */
  readonly detail: string
}

/** The gate answers in the upstream's place, as for a CORS preflight. */
export interface Answer {
  readonly kind: 'answer'
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** A refusal as a constant: made once at load, so that refusing allocates nothing. */
export function denial(
  status: number,
  code: DenialCode,
  detail: string,
  more: Pick<Denial, 'headers' | 'evidence' | 'errors'> = {},
): Denial {
  return { kind: 'denial', status, code, detail, ...more }
}

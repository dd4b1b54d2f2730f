/** Why a call could not be made. Answers of the API are no errors: they come back as they are. */
export type ClientErrorCode =
  /** The URL is not at one of the configured resources: a token would go to a stranger. */
  | 'origin'
  /** The API answered with a redirect to where no token may go, or with too many. */
  | 'redirect'
  /** The refresh token is spent, revoked or expired: the user must sign in again. */
  | 'signed-out'
  /** The token endpoint refused; `error` is its reason (RFC 6749, 5.2). */
  | 'refused'
  /** The authorization server cannot be reached, or its answer cannot be used. */
  | 'unavailable'
  /** A token bound to a key was asked for, and an unbound one came. */
  | 'not-bound'

/** Holds no token, no secret and no answer of a server: it may be logged. */
export class ClientError extends Error {
  override readonly name = 'ClientError'
  readonly code: ClientErrorCode
  /** The authorization server's word for it, where it gave one: `invalid_client`. */
  readonly error: string | undefined
  readonly status: number | undefined

  constructor(
    code: ClientErrorCode,
    message: string,
    more: { readonly error?: string | undefined; readonly status?: number | undefined } = {},
  ) {
    super(message)
    this.code = code
    this.error = more.error
    this.status = more.status
  }
}

/**
 * Something that whoever answers for security wants to know of, and that is no request: a stolen refresh token was used,
 * an account was locked, a grant ended. Never holds a secret, nor what a caller typed where a name was expected.
 */
export interface SecurityEvent {
  /** `<part>.<what happened>`, stable: `token.refresh-reused`, `account.locked`, `vault.key-destroyed`. */
  readonly event: `${string}.${string}`
  /** Whom it concerns: an account, the subject of a token. */
  readonly subject?: string
  /** The application that acted, or that the token was for. */
  readonly client?: string
  /** Where it came from. */
  readonly address?: string
  /** The record it is about, by its public id: a key, a grant, a family of tokens. */
  readonly id?: string
  /** More for the operator: counts, limits, names of rules. */
  readonly detail?: Readonly<Record<string, string | number | boolean | undefined>>
}

/** Takes an event, and never waits. */
export type Tell = (event: SecurityEvent) => void

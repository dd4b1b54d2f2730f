/** Ways to prove who one is. They match OpenAPI's security scheme types: see `guards/security.ts`. */
export type CredentialKind = 'apiKey' | 'basic' | 'bearer' | 'session' | 'mtls'

/** Who calls, as far as a credential has proved it. */
export interface Principal {
  /** Unique within `issuer`: `sub` of a token, the id of a key, the user's name, a certificate's subject. */
  readonly subject: string
  readonly kind: CredentialKind
  /** The entry of `auth` that vouched for it: `main`, `apiKey`, `basic`, `session`, `mtls`. */
  readonly via: string
  /** The application that acts, where it is known apart from the subject: `client_id` or `azp` of a token, a key's name. */
  readonly application: string | undefined
  readonly scopes: ReadonlySet<string>
  readonly roles: ReadonlySet<string>
  /** Everything else the credential says; `claims.sub` in rules. */
  readonly claims: Readonly<Record<string, unknown>>
}

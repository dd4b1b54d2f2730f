import { type Denial, type DenialCode, denial } from '../../gate/verdict.ts'

/** A quoted-string (RFC 9110, 5.6.4); what cannot stand in one is left out. */
export function quoted(text: string): string {
  return `"${text.replace(/[^\t\x20-\x7e]/g, '').replace(/["\\]/g, '\\$&')}"`
}

/** `Bearer` challenge (RFC 6750, 3). */
export function bearerChallenge(realm: string, parameters: Readonly<Record<string, string>> = {}): string {
  const rest = Object.entries(parameters).map(([name, value]) => `, ${name}=${quoted(value)}`)
  return `Bearer realm=${quoted(realm)}${rest.join('')}`
}

/** Algorithms that DPoP proofs may be signed with; asymmetric ones only (RFC 9449, 4.3). */
export const dpopAlgorithms = ['ES256', 'ES384', 'EdDSA', 'Ed25519', 'PS256', 'RS256'] as const

/** `DPoP` challenge (RFC 9449, 7.1). */
export function dpopChallenge(realm: string, parameters: Readonly<Record<string, string>> = {}): string {
  const all = { ...parameters, algs: dpopAlgorithms.join(' ') }
  const rest = Object.entries(all).map(([name, value]) => `, ${name}=${quoted(value)}`)
  return `DPoP realm=${quoted(realm)}${rest.join('')}`
}

/** `Basic` challenge; the charset says that names and passwords are read as UTF-8 (RFC 7617, 2.1). */
export const basicChallenge = (realm: string) => `Basic realm=${quoted(realm)}, charset="UTF-8"`

/**
 * No scheme is registered for API keys, cookies and certificates, yet a 401 must carry a challenge (RFC 9110, 15.5.2):
 * these tell a person where the credential goes.
 */
export const apiKeyChallenge = (realm: string, place: string) => `ApiKey realm=${quoted(realm)}, in=${quoted(place)}`
export const sessionChallenge = (realm: string, cookie: string) =>
  `Cookie realm=${quoted(realm)}, name=${quoted(cookie)}`
export const certificateChallenge = (realm: string) => `ClientCertificate realm=${quoted(realm)}`

/** A 401 with the challenge it must carry. */
export function unauthorized(code: DenialCode, detail: string, challenge: string): Denial {
  return denial(401, code, detail, { headers: { 'WWW-Authenticate': challenge } })
}

/** The same refusal with what the operator should know of this case. */
export function because(base: Denial, evidence: unknown): Denial {
  return { ...base, evidence }
}

/** Refused at once, before the secret is looked at: who sent it must treat it as read by others. */
export const unencrypted: Denial = denial(
  403,
  'auth.unencrypted',
  'This credential may only be sent over an encrypted connection. Use https, and replace the credential: it went over the network in the clear.',
)

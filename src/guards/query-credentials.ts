import { mode, object, z } from '../config/language.ts'
import type { Guard, Mode } from '../gate/guard.ts'
import { type Denial, denial } from '../gate/verdict.ts'
import { credentialNames, plainName } from '../http/credential-names.ts'

const credentialInQuery = denial(
  400,
  'query.credential',
  'Credentials do not belong into the URL, which is written to logs and histories. Send them in a header; take this one for exposed and replace it.',
)

interface Options {
  readonly mode: Mode
  readonly names: readonly string[]
  readonly allow: readonly string[]
}

const names = (description: string) => z.array(z.string().min(1).max(256)).max(1_000).default([]).describe(description)

/**
 * Refuses credentials in the query string: by name, unless the document declares a query parameter of that name for
 * another use, and by form under any name (T8).
 */
export const queryCredentials: Guard<Options> = {
  name: 'queryCredentials',
  stage: 'admit',
  options: object({
    mode: mode('How the rule stands.').default('enforce'),
    names: names('Further parameter names that stand for credentials, in any spelling.'),
    allow: names('Parameters that may hold what looks like a credential, such as `request` (RFC 9101). Exact names.'),
  }).prefault({}),
  setup(options) {
    const known = new Map<string, Denial>()
    for (const name of [...credentialNames, ...options.names.map(plainName)]) {
      // The evidence is the list's word, not the caller's.
      known.set(name, { ...credentialInQuery, evidence: { parameter: name } })
    }
    const byForm: Denial = { ...credentialInQuery, evidence: { parameter: 'a value in the form of a credential' } }
    const asScheme: Denial = { ...credentialInQuery, evidence: { parameter: "a security scheme's" } }
    const allowed = new Set(options.allow)

    // Most queries use the same few names: each is judged once. Strange ones are judged anew, so nothing grows.
    const judged = new Map<string, Denial | null>()
    function judge(name: string): Denial | null {
      const before = judged.get(name)
      if (before !== undefined) return before
      const refusal = known.get(plainName(name)) ?? known.get(plainName(lastPart(name))) ?? null
      if (judged.size < 1_024 && name.length <= 64) judged.set(name, refusal)
      return refusal
    }

    return (operation) => {
      const schemes = new Set<string>()
      for (const scheme of operation.document.securitySchemes.values()) {
        if (scheme.in === 'query' && scheme.parameterName !== undefined) schemes.add(scheme.parameterName)
      }
      const declared = new Set<string>()
      for (const parameter of operation.parameters) {
        if (parameter.in === 'query' && !schemes.has(parameter.name)) declared.add(parameter.name)
      }
      return {
        requestHead(exchange) {
          if (exchange.target.query === '') return undefined
          for (const [name, value] of exchange.query()) {
            if (allowed.has(name)) continue
            if (schemes.has(name)) return asScheme
            if (!declared.has(name)) {
              const refusal = judge(name)
              if (refusal !== null) return refusal
            }
            if (looksLikeCredential(value)) return byForm
          }
          return undefined
        },
      }
    }
  },
}

/** `token` of `user[token]` and of `filter.token`. */
function lastPart(name: string): string {
  const open = name.lastIndexOf('[')
  if (open !== -1) return name.slice(open + 1, name.endsWith(']') ? -1 : undefined)
  return name.slice(name.lastIndexOf('.') + 1)
}

/** A key or session of ours, a signed or encrypted token in compact form (RFC 7515, 7.1; RFC 7516, 7.1), an Authorization value. */
function looksLikeCredential(value: string): boolean {
  switch (value.charCodeAt(0) | 0x20) {
    case 0x70: // p
      return /^p(?:k|c[ks])_[\w-]{16,}/.test(value)
    case 0x65: // eyJ, base64url of {"
      return /^eyJ[\w-]{8,}(?:\.[\w-]*){2,4}$/.test(value)
    case 0x62: // b
      return /^(?:bearer|basic)\s+[\w+/=.~-]{8,}$/i.test(value)
    default:
      return false
  }
}

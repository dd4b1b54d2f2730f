import type { Exchange } from '../../gate/exchange.ts'
import { valueAt } from '../../openapi/pointer.ts'
import { type OwnerFacts, unknown } from './owner-expression.ts'

/** Stands for what is there twice, or in two spellings: two readers could see two things, so it equals nothing. */
const ambiguous = Object.freeze({})

/** What can be told of a request before its body was read. Made once for each exchange that is judged. */
export function factsOf(exchange: Exchange, names: readonly string[]): OwnerFacts {
  return {
    path: (name) => pathValue(exchange, names, name),
    query: (name) => queryValue(exchange, name),
    header: (name) => headerValue(exchange, name),
    caller: (words) => callerValue(exchange, words),
    requestBody: unknown,
    responseBody: unknown,
    responseHeaders: unknown,
  }
}

function pathValue({ pathValues }: Exchange, names: readonly string[], name: string): unknown {
  const index = names.indexOf(name)
  const value = index < 0 ? undefined : pathValues[index]
  return value === undefined ? undefined : decoded(value)
}

/** The text behind percent-encoding; ambiguous where it is no UTF-8. */
function decoded(value: string): unknown {
  if (!value.includes('%')) return value
  try {
    return decodeURIComponent(value)
  } catch {
    return ambiguous
  }
}

/** `User[]`, `user ` and `user` are one name to some readers of queries. */
export function plainName(name: string): string {
  return name
    .replace(/\[.*$/s, '')
    .replaceAll(/[\s._\0-]/g, '')
    .toLowerCase()
}

function queryValue(exchange: Exchange, name: string): unknown {
  let found: string | undefined
  let count = 0
  const plain = plainName(name)
  for (const [key, value] of exchange.query()) {
    if (key === name) found = value
    else if (plainName(key) !== plain) continue
    count++
  }
  if (count === 0) return undefined
  return count === 1 && found !== undefined ? found : ambiguous
}

function headerValue({ rawHeaders, headers }: Exchange, name: string): unknown {
  let count = 0
  // CGI and its heirs read `X_User` as the same variable.
  const plain = name.replaceAll('_', '-')
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === name.length && rawHeaders[i]!.toLowerCase().replaceAll('_', '-') === plain) count++
  }
  if (count === 0) return undefined
  const value = headers[name]
  return count === 1 && typeof value === 'string' ? value : ambiguous
}

/** `sub` is the subject also where the credential has no such claim, as with an API key or a password. */
function callerValue({ principal }: Exchange, [what, ...words]: readonly string[]): unknown {
  if (principal === undefined) return undefined
  if (what === 'subject') return principal.subject
  if (what === 'application') return principal.application
  if (what === 'via') return principal.via
  const value = valueAt(principal.claims, words)
  return value === undefined && words.length === 1 && words[0] === 'sub' ? principal.subject : value
}

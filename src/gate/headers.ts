import type { IncomingHttpHeaders } from 'node:http'

/** What becomes of one header on its way through the gate. */
export interface HeaderRule {
  /** In lower case. */
  readonly name: string
  readonly keep: boolean
}

/** Belongs to one connection and never travels on (RFC 9110, 7.6.1). */
const hopByHop = new Set([
  'connection',
  'keep-alive',
  'proxy-authenticate',
  'proxy-authorization',
  'proxy-connection',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'http2-settings',
])

/** Set by the gate from what it knows; what a caller says under these names is dropped. */
const gateOwn = new Set([
  'host',
  'content-length',
  'expect',
  'forwarded',
  'via',
  'x-forwarded-for',
  'x-forwarded-host',
  'x-forwarded-port',
  'x-forwarded-proto',
  'x-real-ip',
])

const namesMax = 512

/**
 * Decides about header names once each: a name is looked up as it stood on the wire, so that the usual request
 * costs one map look-up a header and no lower-casing. Names beyond the bound are decided anew each time.
 */
export class HeaderRules {
  readonly #rules = new Map<string, HeaderRule>()
  readonly #keeps: (name: string) => boolean

  constructor(keeps: (name: string) => boolean) {
    this.#keeps = keeps
  }

  get(nameOnTheWire: string): HeaderRule {
    const known = this.#rules.get(nameOnTheWire)
    if (known !== undefined) return known
    const name = nameOnTheWire.toLowerCase()
    const rule: HeaderRule = { name, keep: this.#keeps(name) }
    if (this.#rules.size < namesMax) this.#rules.set(nameOnTheWire, rule)
    return rule
  }
}

/** Rules for the caller's headers: neither hop-by-hop nor the gate's own, and kept by every guard. */
export function requestHeaderRules(keepers: readonly ((name: string) => boolean)[]): HeaderRules {
  return new HeaderRules((name) => {
    // CGI, WSGI and PHP read both as HTTP_PORTCULLIS_SUBJECT: a caller must not speak for the gate by the other spelling.
    const spelled = name.replaceAll('_', '-')
    return (
      !hopByHop.has(spelled) &&
      !gateOwn.has(spelled) &&
      !name.startsWith(':') &&
      !spelled.startsWith('portcullis-') &&
      keepers.every((keeps) => keeps(name))
    )
  })
}

/** Rules for the upstream's headers: not hop-by-hop, not replaced by one of `replaced`, and kept by every guard. */
export function responseHeaderRules(
  keepers: readonly ((name: string) => boolean)[],
  replaced: ReadonlySet<string>,
): HeaderRules {
  return new HeaderRules((name) => !hopByHop.has(name) && !replaced.has(name) && keepers.every((keeps) => keeps(name)))
}

/** The headers that a Connection header names belong to this connection too (RFC 9110, 7.6.1). */
export function connectionOptions(connection: string | undefined): readonly string[] {
  if (connection === undefined || connection === 'keep-alive' || connection === 'close') return noOptions
  return connection
    .toLowerCase()
    .split(',')
    .map((option) => option.trim())
    .filter((option) => option !== '' && option !== 'keep-alive' && option !== 'close')
}

const noOptions: readonly string[] = []

/**
 * Takes the headers that Connection names out of a request's head (RFC 9110, 7.6.1): they end here, so no guard may
 * decide by what the upstream will not see. Those that the gate reads for itself or replaces stay.
 */
export function dropConnectionHeaders(headers: IncomingHttpHeaders): void {
  for (const option of connectionOptions(headers.connection)) {
    if (!hopByHop.has(option) && !gateOwn.has(option)) delete headers[option]
  }
}

/** Whether a flat list of names and values has the name (lower case). */
export function hasHeader(flat: readonly string[], name: string): boolean {
  for (let i = 0; i < flat.length; i += 2) {
    const candidate = flat[i]!
    if (candidate === name || (candidate.length === name.length && candidate.toLowerCase() === name)) return true
  }
  return false
}

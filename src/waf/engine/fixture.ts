import type { InjectionDetector } from '../injection/index.ts'
import { parseRules } from '../seclang/index.ts'
import { compileProgram, type Program, type ProgramOptions } from './program.ts'
import type { RequestHead } from './request.ts'
import type { Transaction } from './transaction.ts'

/** Finds injections by one word each: rules that ask are tested here, not the carrier. */
export const injection: InjectionDetector = {
  sqli: (values) => values.map((value) => (value.includes('SQLI') ? 'fingerprint' : undefined)),
  xss: (values) => values.map((value) => value.includes('XSS')),
  both: (sqli, xss) => ({ sqli: injection.sqli(sqli), xss: injection.xss(xss) }),
}

export function programOf(text: string, options: Partial<ProgramOptions> = {}): Program {
  const rules = parseRules([{ name: 'test.conf', text: `SecRuleEngine On\nSecRequestBodyAccess On\n${text}` }])
  return compileProgram(rules, { injection, ...options })
}

export function headOf(uri: string, { headers = [], ...head }: Partial<RequestHead> = {}): RequestHead {
  return {
    method: 'GET',
    uri,
    protocol: 'HTTP/1.1',
    headers: ['Host', 'shop.example', ...headers],
    client: { address: '192.0.2.7', port: 40_000 },
    server: { address: '198.51.100.1', port: 443 },
    id: 'request-1',
    receivedAt: 1_700_000_000_000,
    ...head,
  }
}

export interface Sent extends Partial<RequestHead> {
  readonly body?: string
  /** What the server answers. */
  readonly reply?: { readonly status?: number; readonly headers?: readonly string[]; readonly body?: string }
}

/** A whole exchange, as far as rules let it go. */
export function send(program: Program, uri: string, { body, reply = {}, ...head }: Sent = {}): Transaction {
  const transaction = program.begin(headOf(uri, { ...(body !== undefined && { method: 'POST' }), ...head }))
  const stopped =
    transaction.requestHead() ?? transaction.requestBody(body === undefined ? undefined : Buffer.from(body, 'latin1'))
  if (stopped === undefined) {
    const { status = 200, headers = ['Content-Type', 'text/html'], body = '' } = reply
    const late = transaction.responseHead({ status, protocol: 'HTTP/1.1', headers })
    if (late === undefined) transaction.responseBody(Buffer.from(body, 'latin1'))
  }
  transaction.end()
  return transaction
}

/** Ids of the rules that matched, in order. */
export function idsOf({ matches }: Transaction): number[] {
  return matches.map(({ rule }) => rule.id)
}

import { mode, object, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Mode } from '../gate/guard.ts'
import { type Denial, denial } from '../gate/verdict.ts'
import type { Operation } from '../openapi/operation.ts'

const upstreamFailed = denial(500, 'errors.upstream', 'The service behind this API failed to answer the request.')
const upstreamRefused = denial(400, 'errors.upstream', 'The service behind this API refused the request.')

const rule = (description: string) => z.enum(['replace', 'pages', 'pass']).describe(description)

type Rule = 'replace' | 'pages' | 'pass'

interface Options {
  readonly mode: Mode
  readonly upstream5xx: Rule
  readonly upstream4xx: Rule
}

/**
 * Keeps an upstream's internals from the caller (E1): an error page or a stack trace becomes a problem document of the same
 * status. Problem documents that the API's document promises pass.
 */
export const errors: Guard<Options> = {
  name: 'errors',
  stage: 'shape',
  options: object({
    mode: mode('How the rule stands.').default('enforce'),
    upstream5xx: rule(
      'Answers of 500 and above: `replace` all but documented problem documents (RFC 9457), replace `pages` only (HTML or plain text that the document does not list for the status), or `pass`.',
    ).default('replace'),
    upstream4xx: rule(
      'Answers of 400 to 499, in the same words. Some frameworks print a stack trace with these, too.',
    ).default('pages'),
  }).prefault({}),
  setup: (options) => (operation) => {
    const { upstream4xx, upstream5xx } = options
    if (upstream4xx === 'pass' && upstream5xx === 'pass') return undefined
    return {
      responseHead(exchange) {
        const status = exchange.response!.status
        if (status < 400) return undefined
        const rule = status >= 500 ? upstream5xx : upstream4xx
        if (rule === 'pass') return undefined
        const type = mediaTypeOf(exchange)
        const isKept =
          rule === 'pages'
            ? !isPage(type) || isDocumented(operation, status, type)
            : isProblem(type) && isDocumented(operation, status, type)
        return isKept ? undefined : replacement(exchange, status)
      },
    }
  },
}

function replacement(exchange: Exchange, status: number): Denial {
  const refusal = status >= 500 ? upstreamFailed : upstreamRefused
  const headers: Record<string, string> = {}
  for (const name of keptHeaders) {
    const value = exchange.response!.headers[name]
    if (value !== undefined) headers[name] = value
  }
  return { ...refusal, status, headers, evidence: { upstreamStatus: status } }
}

/** What the status itself asks for (RFC 9110, 11.6.1, 10.2.3, 10.2.1), and tells nothing of the inside. */
const keptHeaders = ['www-authenticate', 'retry-after', 'allow']

/** In lower case and without parameters; empty when the upstream names none. */
function mediaTypeOf(exchange: Exchange): string {
  const raw = exchange.response!.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]!.length === 12 && raw[i]!.toLowerCase() === 'content-type') {
      return raw[i + 1]!.split(';', 1)[0]!.trim().toLowerCase()
    }
  }
  return ''
}

function isProblem(type: string): boolean {
  return type === 'application/problem+json' || type === 'application/problem+xml'
}

/** What a server writes when nobody has told it how to speak of errors. */
function isPage(type: string): boolean {
  return type === 'text/html' || type === 'text/plain' || type === 'application/xhtml+xml'
}

function isDocumented(operation: Operation, status: number, type: string): boolean {
  const { responses } = operation
  const response = responses[String(status)] ?? responses[`${Math.floor(status / 100)}XX`] ?? responses.default
  if (response === undefined) return false
  return response.content.some((media) => media.type.split(';', 1)[0]!.trim() === type)
}

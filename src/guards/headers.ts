import { duration, mode, object, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Mode, Steps } from '../gate/guard.ts'
import {
  type Matches,
  matcher,
  securityDefaults,
  strictTransportSecurity,
  tellingResponseHeaders,
} from '../http/security-headers.ts'
import type { Operation } from '../openapi/operation.ts'

const token = /^[!#$%&'*+.^_`|~\w-]+$/
const name = z.string().regex(token, 'expected a header name').toLowerCase()
/** A name, or the beginning of names: `x-debug-*`. */
const names = (description: string) =>
  z
    .array(z.string().regex(token, 'expected a header name, or its beginning and "*"').toLowerCase())
    .max(1_000)
    .describe(description)

// Visible ASCII, spaces and tabs: a line break would begin a header of somebody's choice (RFC 9110, 5.5).
const value = z
  .string()
  .max(8_192)
  .regex(/^[\t\x20-\x7e]*$/, 'expected visible ASCII without line breaks')

const policy = (header: keyof typeof securityDefaults) =>
  z
    .union([z.literal(false), value])
    .default(securityDefaults[header])
    .describe(`${header} on every reply; false leaves the header to the upstream.`)

const hsts = object({
  maxAge: duration('How long browsers insist on https; a year or more counts as right.').default(31_536_000_000),
  includeSubDomains: z.boolean().default(true),
  preload: z.boolean().default(false).describe('Asks for a place in the lists that browsers ship with.'),
})

const security = object({
  hsts: z
    .union([z.literal(false), hsts])
    .prefault({})
    .describe('Strict-Transport-Security (RFC 6797), on encrypted connections; false leaves it out.'),
  contentSecurityPolicy: policy('Content-Security-Policy').describe(
    'Content-Security-Policy on every reply but those documented as HTML, whose own one passes; false leaves it to the upstream.',
  ),
  contentTypeOptions: policy('X-Content-Type-Options'),
  frameOptions: policy('X-Frame-Options'),
  // The filter that this header once steered could be turned against a page; 0 is what is left of it.
  xssProtection: policy('X-XSS-Protection'),
  referrerPolicy: policy('Referrer-Policy'),
  crossOriginResourcePolicy: policy('Cross-Origin-Resource-Policy'),
  noStore: z
    .boolean()
    .default(true)
    .describe(
      'Cache-Control: no-store on answers to callers who proved who they are, where the upstream says nothing.',
    ),
}).prefault({})

type Security = z.output<typeof security>

interface Options {
  readonly mode: Mode
  readonly request: {
    readonly allow: 'documented' | 'all' | readonly string[]
    readonly also: readonly string[]
    readonly remove: readonly string[]
  }
  readonly response: {
    readonly remove: readonly string[]
    readonly keep: readonly string[]
    readonly set: Readonly<Record<string, string>>
  }
  readonly security: Security
}

/** Decides which headers get through in either direction, and adds the ones that protect browsers (H1, S1). */
export const headers: Guard<Options> = {
  name: 'headers',
  stage: 'shape',
  options: object({
    mode: mode('How the rule stands.').default('enforce'),
    request: object({
      allow: z
        .union([z.enum(['documented', 'all']), names('Exactly these.')])
        .default('documented')
        .describe(
          'Request headers that reach the upstream: those of the document and the usual ones of HTTP (`documented`), `all`, or exactly the ones listed.',
        ),
      also: names('Names beside those of `allow`.').default([]),
      remove: names('Names that never reach the upstream.').default([]),
    }).prefault({}),
    response: object({
      remove: names('Names that never reach the caller, beside those that tell what the upstream is made of.').default(
        [],
      ),
      keep: names('Names that reach the caller although they tell what the upstream is made of.').default([]),
      set: z.record(name, value).default({}).describe('Headers set on every reply.'),
    }).prefault({}),
    security,
  }).prefault({}),
  // There is no refusal to note here: observing means to take nothing away.
  mode: (options) => (options.mode === 'off' ? 'off' : 'enforce'),
  setup(options) {
    const observing = options.mode === 'observe'
    const keepResponseHeader = responseRule(options.response)
    return (operation) => {
      const { replyHeaders, replyHeadersEncrypted } = securityHeaders(options, documentsHtml(operation))
      const steps: Steps = {
        replyHeaders,
        replyHeadersEncrypted,
        ...(options.security.noStore ? { responseHead: keepFromCaches } : {}),
      }
      if (observing) return steps
      return { ...steps, keepRequestHeader: requestRule(options.request, operation), keepResponseHeader }
    }
  },
}

/** Headers of HTTP and its companions that an API's document need not mention. */
const usualRequestHeaders = [
  'accept',
  'accept-charset',
  'accept-encoding',
  'accept-language',
  'authorization',
  'baggage',
  'cache-control',
  'content-digest',
  'content-disposition',
  'content-encoding',
  'content-language',
  'content-length',
  'content-location',
  'content-md5',
  'content-range',
  'content-type',
  'cookie',
  'date',
  'dpop',
  'expect',
  'host',
  'idempotency-key',
  'if-match',
  'if-modified-since',
  'if-none-match',
  'if-range',
  'if-unmodified-since',
  'last-event-id',
  'max-forwards',
  'origin',
  'pragma',
  'prefer',
  'priority',
  'range',
  'referer',
  'repr-digest',
  'sec-fetch-*',
  'signature',
  'signature-input',
  'te',
  'traceparent',
  'tracestate',
  'user-agent',
  'want-content-digest',
  'want-repr-digest',
  'x-correlation-id',
  'x-request-id',
  'x-requested-with',
]

/** What the gate's own work needs, whatever is listed: the host, the length of the body, the steps of an upgrade. */
const neededRequestHeaders = ['host', 'content-length', 'content-encoding', 'sec-websocket-*']

/**
 * Headers by which a request says to some frameworks that it is another one: another method or path than the one that
 * was checked, a proxy to use (CVE-2016-5385), a middleware to skip (CVE-2025-29927), another client or user than the
 * gate has found.
 */
const disguises = [
  'x-http-method',
  'x-http-method-override',
  'x-method-override',
  'x-original-method',
  'x-original-uri',
  'x-original-url',
  'x-rewrite-url',
  'x-override-url',
  'x-middleware-subrequest',
  'proxy',
  'proxy-*',
  'x-forwarded-*',
  'x-client-ip',
  'x-cluster-client-ip',
  'true-client-ip',
  'cf-connecting-ip',
  'fastly-client-ip',
  'x-envoy-*',
  'x-remote-user',
  'remote-user',
]

function requestRule({ allow, also, remove }: Options['request'], operation: Operation): Matches {
  // What is named in so many words is meant, even where it is usually a disguise.
  const named = matcher([...also, ...(typeof allow === 'string' ? documentedHeaders(operation) : allow)])
  const known = matcher([...usualRequestHeaders, ...neededRequestHeaders])
  const usual = allow === 'documented' ? known : matcher(neededRequestHeaders)
  const disguised = matcher(disguises)
  const removed = matcher(remove)
  return (name) => {
    // What the gate says of the caller nobody else may say.
    if (name.startsWith('portcullis-') || removed(name)) return false
    if (named(name) || usual(name)) return true
    if (allow !== 'all') return false
    // CGI, WSGI, Rack and PHP read `X_Tenant` as the `X-Tenant` that was checked, and `X_Debug` as what was removed.
    const spelled = name.replaceAll('_', '-')
    return !disguised(spelled) && (spelled === name || !(removed(spelled) || named(spelled) || known(spelled)))
  }
}

function documentedHeaders(operation: Operation): readonly string[] {
  const names: string[] = []
  for (const parameter of operation.parameters) if (parameter.in === 'header') names.push(parameter.name.toLowerCase())
  for (const scheme of operation.document.securitySchemes.values()) {
    if (scheme.in === 'header' && scheme.parameterName !== undefined) names.push(scheme.parameterName.toLowerCase())
  }
  return names
}

function responseRule({ remove, keep }: Options['response']): Matches {
  const kept = matcher(keep)
  const removed = matcher(remove)
  const telling = matcher(tellingResponseHeaders)
  return (name) => !removed(name) && (kept(name) || !telling(name))
}

/** A page has scripts and pictures of its own: a policy for data would break it, and its own one must get through. */
function documentsHtml(operation: Operation): boolean {
  return Object.values(operation.responses).some(({ content }) =>
    content.some(({ type }) => type.startsWith('text/html') || type.startsWith('application/xhtml+xml')),
  )
}

interface SecurityHeaders {
  readonly replyHeaders: Record<string, string>
  readonly replyHeadersEncrypted: Record<string, string>
}

function securityHeaders({ security: options, response }: Options, html: boolean): SecurityHeaders {
  const replyHeaders: Record<string, string> = {}
  const set = (name: string, value: string | false) => {
    // What is set by hand stands, in whatever case it was written.
    if (value !== false && !(name.toLowerCase() in response.set)) replyHeaders[name] = value
  }
  Object.assign(replyHeaders, response.set)
  if (!html) set('Content-Security-Policy', options.contentSecurityPolicy)
  set('X-Content-Type-Options', options.contentTypeOptions)
  set('X-Frame-Options', options.frameOptions)
  set('X-XSS-Protection', options.xssProtection)
  set('Referrer-Policy', options.referrerPolicy)
  set('Cross-Origin-Resource-Policy', options.crossOriginResourcePolicy)
  if (options.hsts === false) return { replyHeaders, replyHeadersEncrypted: {} }
  return { replyHeaders, replyHeadersEncrypted: { 'Strict-Transport-Security': strictTransportSecurity(options.hsts) } }
}

/**
 * Caches know of `Authorization` (RFC 9111, 3.5) and nothing of API keys, cookies or certificates. What the upstream says
 * itself stands.
 */
function keepFromCaches(exchange: Exchange): undefined {
  if (exchange.principal === undefined) return undefined
  const raw = exchange.response!.rawHeaders
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]!.length === 13 && raw[i]!.toLowerCase() === 'cache-control') return undefined
  }
  exchange.setReplyHeader('Cache-Control', 'no-store')
  return undefined
}

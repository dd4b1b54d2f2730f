import { duration, mode, object, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Mode, Steps } from '../gate/guard.ts'
import { type Answer, type Denial, denial } from '../gate/verdict.ts'
import type { ApiDocument } from '../openapi/operation.ts'

const foreignOrigin = denial(403, 'cors.origin', 'This origin may not use this API from a browser.')
const foreignMethod = denial(403, 'cors.method', 'This method may not be used here from another origin.')

const token = /^[!#$%&'*+.^_`|~\w-]+$/
const tokens = (description: string) => z.array(z.string().regex(token)).max(200).describe(description)

const originPattern = /^(?:\*|null|[a-z][a-z0-9+.-]*:\/\/(?:\*\.)?(?:[a-z0-9.-]+|\[[0-9a-f:]+\])(?::\d{1,5})?)$/

interface Options {
  readonly mode: Mode
  readonly origins: readonly string[]
  readonly credentials: boolean
  readonly methods?: readonly string[] | undefined
  readonly headers?: readonly string[] | undefined
  readonly exposeHeaders: readonly string[]
  readonly maxAge: number
}

/**
 * Says which web origins may use an API from a browser (Fetch, 3.2). Closed until origins are named; preflights are answered
 * before anybody is asked who they are, since browsers send no credentials with them.
 */
export const cors: Guard<Options> = {
  name: 'cors',
  stage: 'admit',
  options: object({
    mode: mode('How the rule stands. `off` leaves CORS to the upstream.').default('enforce'),
    origins: z
      .array(
        z
          .string()
          .regex(
            originPattern,
            'expected an origin such as https://app.example.com or https://*.example.com, lower case, no path, or "*"',
          ),
      )
      .max(1_000)
      .default([])
      .describe('Origins that may read answers: https://app.example.com, https://*.example.com, or "*" for all.'),
    credentials: z
      .boolean()
      .default(false)
      .describe('Whether browsers may send cookies and stored credentials. Not together with "*".'),
    methods: tokens('Methods allowed across origins; default: all that the document lists for the path.').optional(),
    headers: tokens(
      'Request headers allowed across origins; default: those the document knows, authorization and content-type.',
    ).optional(),
    exposeHeaders: tokens('Response headers that scripts may read, beyond the few that they always may.').default([]),
    maxAge: duration('How long a browser may remember the answer to a preflight.').default(600_000),
  })
    .prefault({})
    .superRefine(({ origins, credentials }, context) => {
      const open = origins.find((origin) => origin === '*' || origin === 'null')
      if (open === undefined || !credentials) return
      // Any page can have the origin `null`, from a sandboxed frame.
      const message = `"${open}" stands for any web site and cannot go together with credentials: name the origins`
      context.addIssue({ code: 'custom', path: ['origins'], message })
    }),
  // A preflight must be answered also where foreign origins are only noted.
  mode: (options) => (options.mode === 'off' ? 'off' : 'enforce'),
  setup(options) {
    const { origins, credentials } = options
    const observing = options.mode === 'observe'
    const isAllowed = originMatcher(origins)
    const anyOrigin = origins.includes('*')
    const exposed = options.exposeHeaders.join(', ')
    const methods = options.methods === undefined ? undefined : new Set(options.methods)
    const maxAge = String(Math.floor(options.maxAge / 1000))
    const allowedHeaders = new WeakMap<ApiDocument, string>()

    function refuse(exchange: Exchange, refusal: Denial): Denial | undefined {
      if (!observing) return refusal
      exchange.observe(refusal)
      return undefined
    }

    function preflight(exchange: Exchange, origin: string): Denial | Answer | undefined {
      const { headers, operation } = exchange
      // Nothing listed here: the refusal of unlisted paths is the better answer.
      if (operation.kind === 'unlisted-path') return undefined
      if (!isAllowed(origin)) return refuse(exchange, foreignOrigin)
      const method = headers['access-control-request-method']!
      const listed = operation.allow.filter((name) => methods === undefined || methods.has(name))
      if (!listed.includes(method)) return refuse(exchange, foreignMethod)
      let names = allowedHeaders.get(operation.document)
      if (names === undefined) {
        names = (options.headers ?? documentedHeaders(operation.document)).join(', ')
        allowedHeaders.set(operation.document, names)
      }
      const reply: Record<string, string> = {
        'Access-Control-Allow-Origin': anyOrigin ? '*' : origin,
        'Access-Control-Allow-Methods': listed.join(', '),
        'Access-Control-Allow-Headers': names,
        'Access-Control-Max-Age': maxAge,
        Vary: 'Origin, Access-Control-Request-Method',
      }
      if (credentials) reply['Access-Control-Allow-Credentials'] = 'true'
      return { kind: 'answer', status: 204, headers: reply }
    }

    function admit(exchange: Exchange): Denial | Answer | undefined {
      const origin = exchange.headers.origin
      if (origin === undefined) {
        // A shared cache must not hand this answer to a caller from another origin.
        if (!anyOrigin) exchange.setReplyHeader('Vary', 'Origin')
        return undefined
      }
      if (exchange.method === 'OPTIONS' && exchange.headers['access-control-request-method'] !== undefined) {
        return preflight(exchange, origin)
      }
      if (!anyOrigin) exchange.setReplyHeader('Vary', 'Origin')
      if (!isAllowed(origin)) {
        return exchange.upgrade === undefined ? undefined : foreignSocket(exchange, origin)
      }
      exchange.setReplyHeader('Access-Control-Allow-Origin', anyOrigin ? '*' : origin)
      if (credentials) exchange.setReplyHeader('Access-Control-Allow-Credentials', 'true')
      if (exposed !== '') exchange.setReplyHeader('Access-Control-Expose-Headers', exposed)
      return undefined
    }

    /**
     * Browsers open WebSockets across origins without asking, cookies included (RFC 6455, 10.2): the server has to look
     * at the origin.
     */
    function foreignSocket(exchange: Exchange, origin: string): Denial | undefined {
      return isOwnOrigin(exchange, origin) ? undefined : refuse(exchange, foreignOrigin)
    }

    // The gate speaks for the API: an upstream that allows more than is configured must not be heard.
    const dropped: Steps = observing ? {} : { keepResponseHeader: (name) => !name.startsWith('access-control-') }
    const open: Steps = { ...dropped, requestHead: admit }
    const closedToSockets: Steps = {
      ...dropped,
      requestHead(exchange) {
        const { origin } = exchange.headers
        return exchange.upgrade === undefined || origin === undefined ? undefined : foreignSocket(exchange, origin)
      },
    }
    return ({ method }) => {
      if (origins.length > 0) return open
      return method === 'GET' ? closedToSockets : dropped
    }
  },
}

function isOwnOrigin({ target }: Exchange, origin: string): boolean {
  const scheme = origin.indexOf('://')
  return scheme !== -1 && origin.slice(scheme + 3) === target.authority
}

function originMatcher(origins: readonly string[]): (origin: string) => boolean {
  if (origins.includes('*')) return () => true
  const exact = new Set<string>()
  const wild: { readonly before: string; readonly after: string }[] = []
  for (const origin of origins) {
    const star = origin.indexOf('*')
    if (star === -1) exact.add(origin)
    else wild.push({ before: origin.slice(0, star), after: origin.slice(star + 1) })
  }
  if (wild.length === 0) return (origin) => exact.has(origin)
  return (origin) => {
    if (exact.has(origin)) return true
    for (const { before, after } of wild) {
      const end = origin.length - after.length
      if (end <= before.length || !origin.startsWith(before) || !origin.endsWith(after)) continue
      // What stands for the star must be host labels: `https://evil.test/.example.com` is no origin, and no match.
      if (/^[a-z0-9_-]+(?:\.[a-z0-9_-]+)*$/.test(origin.slice(before.length, end))) return true
    }
    return false
  }
}

/** Header parameters and the headers of security schemes; what browsers allow anyhow need not be named, content-type must. */
function documentedHeaders(document: ApiDocument): readonly string[] {
  const names = new Set(['authorization', 'content-type'])
  for (const scheme of document.securitySchemes.values()) {
    if (scheme.in === 'header' && scheme.parameterName !== undefined) names.add(scheme.parameterName.toLowerCase())
  }
  for (const operation of document.operations) {
    for (const parameter of operation.parameters) {
      if (parameter.in === 'header') names.add(parameter.name.toLowerCase())
    }
  }
  return [...names].filter((name) => token.test(name))
}

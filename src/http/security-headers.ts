/** What the gate says to browsers on every reply, unless an API says otherwise. An API serves data, no pages. */
export const securityDefaults = {
  'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  // The filter that this header once steered could be turned against a page; 0 is what is left of it.
  'X-XSS-Protection': '0',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const

const yearSeconds = 31_536_000

/** The value of Strict-Transport-Security (RFC 6797, 6.1). */
export function strictTransportSecurity(options: {
  readonly maxAge: number
  readonly includeSubDomains: boolean
  readonly preload: boolean
}): string {
  const maxAge = `max-age=${Math.floor(options.maxAge / 1000)}`
  return `${maxAge}${options.includeSubDomains ? '; includeSubDomains' : ''}${options.preload ? '; preload' : ''}`
}

const plainHeaders: readonly string[] = Object.entries(securityDefaults).flat()
const encryptedHeaders: readonly string[] = [
  ...plainHeaders,
  'Strict-Transport-Security',
  strictTransportSecurity({ maxAge: yearSeconds * 1000, includeSubDomains: true, preload: false }),
]

/**
 * Name, value, name, value …: for replies that belong to no operation, such as the refusal of a path that no API serves
 * or of a request that cannot be read.
 */
export function defaultSecurityHeaders(encrypted: boolean): readonly string[] {
  return encrypted ? encryptedHeaders : plainHeaders
}

/** Response headers that tell what an upstream is made of, after the OWASP Secure Headers Project's list. */
export const tellingResponseHeaders: readonly string[] = [
  'host-header',
  'k-proxy-request',
  'liferay-portal',
  'oraclecommercecloud-version',
  'pega-host',
  'portcullis-*',
  'powered-by',
  'product',
  'server',
  'servlet-engine',
  'sourcemap',
  'via',
  'x-amzn-remapped-*',
  'x-amz-cf-*',
  'x-application-context',
  'x-aspnet-version',
  'x-aspnetmvc-version',
  'x-atmosphere-*',
  'x-b3-*',
  'x-backend*',
  'x-backside-transport',
  'x-beserver',
  'x-cf-powered-by',
  'x-cms',
  'x-content-encoded-by',
  'x-debug*',
  'x-drupal-*',
  'x-envoy-*',
  'x-feserver',
  'x-framework',
  'x-generated-by',
  'x-generator',
  'x-jitsi-release',
  'x-joomla-version',
  'x-kong-*',
  'x-litespeed-*',
  'x-mod-pagespeed',
  'x-nextjs-*',
  'x-oneagent-js-injection',
  'x-owa-version',
  'x-page-speed',
  'x-php-*',
  'x-powered-*',
  'x-redirect-by',
  'x-runtime',
  'x-runtime-*',
  'x-served-by',
  'x-server',
  'x-server-*',
  'x-sourcefiles',
  'x-sourcemap',
  'x-turbo-charged-by',
  'x-umbraco-version',
  'x-upstream*',
  'x-varnish*',
]

/** Says yes or no to a header's lower-case name. */
export type Matches = (name: string) => boolean

/** Matches names by a list of exact ones and of beginnings with `*` behind. */
export function matcher(patterns: readonly string[]): Matches {
  const exact = new Set(patterns.filter((pattern) => !pattern.endsWith('*')))
  const beginnings = patterns.filter((pattern) => pattern.endsWith('*')).map((pattern) => pattern.slice(0, -1))
  if (beginnings.length === 0) return (name) => exact.has(name)
  return (name) => exact.has(name) || beginnings.some((beginning) => name.startsWith(beginning))
}

/** How one security header of a reply stands. */
export interface HeaderFinding {
  readonly name: string
  readonly ok: boolean
  readonly found: string | undefined
  readonly expected: string
  readonly advice: string
}

interface HeaderRule {
  readonly name: string
  readonly expected: string
  readonly advice: string
  readonly isRight: (found: string | undefined) => boolean
}

const headerRules: readonly HeaderRule[] = [
  {
    name: 'Content-Security-Policy',
    expected: "default-src and frame-ancestors set, nothing from anywhere, no 'unsafe-inline' or 'unsafe-eval'",
    advice: "For an API that serves no pages: default-src 'none'; frame-ancestors 'none'",
    isRight: isStrictPolicy,
  },
  {
    name: 'X-Content-Type-Options',
    expected: 'nosniff',
    advice: 'Without it a browser may run data as a script.',
    isRight: (found) => found?.trim().toLowerCase() === 'nosniff',
  },
  {
    name: 'X-Frame-Options',
    expected: 'DENY or SAMEORIGIN',
    advice: 'Older browsers know this one only, and not frame-ancestors.',
    isRight: (found) => /^(?:deny|sameorigin)$/i.test(found?.trim() ?? ''),
  },
  {
    name: 'X-XSS-Protection',
    expected: '0',
    advice: 'The filter that it switches on opens holes of its own; say 0.',
    isRight: (found) => found?.trim() === '0',
  },
  {
    name: 'Referrer-Policy',
    expected: 'no-referrer, same-origin, strict-origin or strict-origin-when-cross-origin',
    advice: 'Otherwise URLs of the API may be told to other sites.',
    isRight: (found) => {
      // The last word that a browser knows counts (Referrer Policy, 8.1).
      const last = found?.split(',').at(-1)?.trim().toLowerCase() ?? ''
      return ['no-referrer', 'same-origin', 'strict-origin', 'strict-origin-when-cross-origin'].includes(last)
    },
  },
  {
    name: 'Cross-Origin-Resource-Policy',
    expected: 'same-origin, same-site, or cross-origin where that is meant',
    advice: 'Without it other sites can pull answers into their own process, where speculation reads them.',
    isRight: (found) => /^(?:same-origin|same-site|cross-origin)$/.test(found?.trim() ?? ''),
  },
]

/**
 * Judges the security headers of a reply (S1), for `portcullis check headers`. Names may be in any case; `encrypted` says
 * whether the reply came over TLS.
 */
export function checkSecurityHeaders(
  reply: Readonly<Record<string, string | readonly string[] | undefined>>,
  { encrypted }: { readonly encrypted: boolean },
): readonly HeaderFinding[] {
  const byName = new Map<string, string>()
  for (const [name, value] of Object.entries(reply)) {
    if (value !== undefined) byName.set(name.toLowerCase(), typeof value === 'string' ? value : value.join(', '))
  }
  const telling = matcher(tellingResponseHeaders.filter((pattern) => pattern !== 'portcullis-*'))
  const told = [...byName.keys()].filter(telling)
  const rules = [encrypted ? strictTransport : noStrictTransport, ...headerRules]
  return [
    ...rules.map(({ name, expected, advice, isRight }) => {
      const found = byName.get(name.toLowerCase())
      return { name, ok: isRight(found), found, expected, advice }
    }),
    {
      name: 'Server, X-Powered-By and their like',
      ok: told.length === 0,
      found: told.length === 0 ? undefined : told.join(', '),
      expected: 'absent',
      advice: 'They tell an attacker which holes to try.',
    },
  ]
}

const strictTransport: HeaderRule = {
  name: 'Strict-Transport-Security',
  expected: `max-age of at least ${yearSeconds}, once, over https`,
  advice: 'Shorter, and a browser that comes back later may be led to plain http: max-age=31536000; includeSubDomains',
  isRight: isStrictTransport,
}

const noStrictTransport: HeaderRule = {
  name: 'Strict-Transport-Security',
  expected: 'absent over plain http',
  advice: 'It must not be sent over plain http (RFC 6797, 7.2): anybody on the way could have written it.',
  isRight: (found) => found === undefined,
}

/** RFC 6797, 6.1: directives by name, each once; unknown ones are passed over. */
function isStrictTransport(found: string | undefined): boolean {
  if (found === undefined) return false
  const seen = new Set<string>()
  let maxAge = -1
  for (const directive of found.split(';')) {
    const [rawName, ...rest] = directive.split('=')
    const name = rawName!.trim().toLowerCase()
    if (name === '') continue
    if (seen.has(name)) return false
    seen.add(name)
    if (name === 'max-age') {
      const text = rest
        .join('=')
        .trim()
        .replace(/^"(.*)"$/, '$1')
      if (!/^\d{1,12}$/.test(text)) return false
      maxAge = Number(text)
    } else if ((name === 'includesubdomains' || name === 'preload') && rest.length > 0) return false
  }
  return maxAge >= yearSeconds
}

function isStrictPolicy(found: string | undefined): boolean {
  if (found === undefined) return false
  const directives = new Map<string, readonly string[]>()
  for (const directive of found.toLowerCase().split(';')) {
    const [name, ...sources] = directive.trim().split(/\s+/)
    // The first of a name counts (CSP 3, 2.2.1).
    if (name !== undefined && name !== '' && !directives.has(name)) directives.set(name, sources)
  }
  if (!directives.has('default-src') || !directives.has('frame-ancestors')) return false
  const loose = ["'unsafe-inline'", "'unsafe-eval'", '*', 'http:', 'https:', 'data:']
  const scripted = ['default-src', 'script-src', 'frame-ancestors']
  return scripted.every((name) => !directives.get(name)?.some((source) => loose.includes(source)))
}

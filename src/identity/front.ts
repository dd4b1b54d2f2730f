import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import type { JWTPayload } from 'jose'
import type { AdapterPayload, Provider } from 'oidc-provider'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import { clientNetwork } from '../base/ip.ts'
import type { Logger } from '../base/log.ts'
import { Lru } from '../base/lru.ts'
import { boundedKey, type Counters, CountersUnavailable, type Rate, type Taken } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import type { ServiceSettings } from './issuer.ts'
import { type From, routes } from './provider.ts'

/*
 * What stands before the provider: which requests are its own, what is known of the caller, how much one caller may ask,
 * and how large a body may be. The provider sees one host, one scheme and one address, whatever was sent.
 */

export interface FrontOptions {
  readonly settings: ServiceSettings
  readonly counters: Counters
  readonly now: Clock
  readonly log: Logger
  readonly tell: Tell
  readonly provider: () => Provider
  readonly readAccessToken: (token: string) => Promise<JWTPayload | undefined>
  /** Access tokens that are being introspected or revoked, by their stand-ins. */
  readonly shown: Map<string, AdapterPayload>
  readonly callers: WeakMap<object, From>
  /** The pages of people: `true` where they answered. */
  readonly pages?: (request: IncomingMessage, response: ServerResponse) => Promise<boolean>
}

export interface Front {
  readonly takes: (target: string) => boolean
  readonly handle: (request: IncomingMessage, response: ServerResponse, from: From) => void
  /** The path template of a request: bounded, fit for labels. */
  readonly routeOf: (target: string) => string
}

/** More than any request to these endpoints needs; the provider's own limit. */
const bodyBytesMax = 56 * 1_024
const knownMax = 10_000
const knownMs = 86_400_000
const formType = /^application\/x-www-form-urlencoded\s*(;|$)/i

/** Endpoints that clients prove themselves at, by their paths below the issuer. */
const proving: ReadonlySet<string> = new Set([
  ...[routes.token, routes.introspection, routes.revocation],
  ...[routes.pushed_authorization_request, routes.device_authorization],
])
/** Endpoints to which an access token is sent as a parameter. */
const showing: ReadonlySet<string> = new Set([routes.introspection, routes.revocation])
const templates: readonly (readonly [RegExp, string])[] = [
  [/^\/interaction\//, '/interaction/{uid}'],
  [/^\/auth\/[\w-]{10,64}$/, '/auth/{uid}'],
  [/^\/device\/[\w-]{10,64}$/, '/device/{uid}'],
]
const plain: ReadonlySet<string> = new Set([
  ...Object.values(routes),
  ...['/session/end/confirm', '/session/end/success'],
  ...['/.well-known/openid-configuration', '/.well-known/oauth-authorization-server'],
])

function templateOf(path: string): string | undefined {
  return plain.has(path) ? path : templates.find(([pattern]) => pattern.test(path))?.[1]
}

type Callback = (request: IncomingMessage, response: ServerResponse) => Promise<void>

export function createFront(options: FrontOptions): Front {
  const { settings, counters, now, log, tell, provider, readAccessToken, shown, callers } = options
  const { host, protocol, pathname } = new URL(settings.issuer)
  const mount = pathname === '/' ? '' : pathname
  // RFC 8414, 3.1: between the host and the path; OpenID Connect Discovery, 4: behind the path.
  const insertedMetadata = `/.well-known/oauth-authorization-server${mount}`
  const prefix = `${mount}/`
  /** Where clients proved themselves of late: what others guess does not shut them out. */
  const known = new Lru<string, number>({ entriesMax: knownMax })
  /** What each provider is made into once. */
  const callbacks = new WeakMap<Provider, Callback>()
  const alone = createMemoryCounters({ now })
  const { failures } = settings.limits
  const failuresOfAll: Rate = {
    ...failures,
    count: failures.count * 10,
  }

  function pathOf(target: string): string | undefined {
    const path = target.split('?', 1)[0]!
    if (path === insertedMetadata) return '/.well-known/oauth-authorization-server'
    return path.startsWith(prefix) ? path.slice(mount.length) : undefined
  }

  function handle(request: IncomingMessage, response: ServerResponse, from: From): void {
    answer(request, response, from).catch((error: unknown) => {
      log.error('The token service failed.', { error: messageOf(error) })
      if (response.headersSent) response.destroy()
      else fail(response, 503, 'temporarily_unavailable', 'try again later', 5)
    })
  }

  async function answer(request: IncomingMessage, response: ServerResponse, from: From): Promise<void> {
    const path = pathOf(request.url ?? '')
    // The provider takes `/TOKEN` and `/token/` for `/token`: in another spelling its budgets here would not be asked.
    if (path === undefined || templateOf(path) === undefined)
      return fail(response, 404, 'invalid_request', 'there is no such page')
    callers.set(request, from)
    protect(response)
    const rest = await spent(`address/${clientNetwork(from.address)}`, settings.limits.address)
    if (rest !== undefined) return fail(response, 429, 'temporarily_unavailable', 'too many requests', rest)
    normalize(request, path, from)
    const form = request.method === 'POST' && formType.test(request.headers['content-type'] ?? '')
    if (options.pages !== undefined && !proving.has(path) && (await pagesAnswer(request, response, path))) return
    if (request.method !== 'POST' || !proving.has(path)) return callback(request, response)
    if (!form) return fail(response, 400, 'invalid_request', 'expected application/x-www-form-urlencoded')
    const body = await readBody(request)
    if (body === undefined) return fail(response, 413, 'invalid_request', 'the body is too large')
    const params = new URLSearchParams(body.toString('utf8'))
    const client = clientOf(request, params)
    if (client !== undefined && (await refusedClient(client, from, response))) return
    if (client !== undefined) watchProof(client, from, response)
    const standIn = showing.has(path) ? await standInFor(params) : undefined
    give(request, standIn === undefined ? body : Buffer.from(params.toString()))
    try {
      await callback(request, response)
    } finally {
      if (standIn !== undefined) shown.delete(standIn)
    }
  }

  function callback(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const serving = provider()
    let answerOne = callbacks.get(serving)
    if (answerOne === undefined) {
      answerOne = serving.callback() as Callback
      callbacks.set(serving, answerOne)
    }
    return answerOne(request, response)
  }

  async function pagesAnswer(request: IncomingMessage, response: ServerResponse, path: string): Promise<boolean> {
    const inner = request.url
    request.url = mount + path + (inner!.includes('?') ? inner!.slice(inner!.indexOf('?')) : '')
    const answered = await options.pages!(request, response)
    if (!answered) request.url = inner!
    return answered
  }

  /** One host, one scheme, one address: what a caller says of itself makes no difference. */
  function normalize(request: IncomingMessage, path: string, { address }: From): void {
    const { headers } = request
    const target = request.url!
    const at = target.indexOf('?')
    request.url = at === -1 ? path : path + target.slice(at)
    ;(request as { baseUrl?: string }).baseUrl = mount
    for (const name of ['x-forwarded-host', 'x-forwarded-port', 'forwarded']) delete headers[name]
    headers.host = host
    if (headers[':authority'] !== undefined) headers[':authority'] = host
    headers['x-forwarded-proto'] = protocol.slice(0, -1)
    headers['x-forwarded-for'] = address
  }

  /** While the shared counters are away, each process counts by itself: neither locked doors nor open ones. */
  async function take(key: string, rate: Rate, cost: number): Promise<Taken> {
    try {
      return await counters.take(key, rate, cost)
    } catch (error) {
      if (!(error instanceof CountersUnavailable)) throw error
      return alone.take(key, rate, cost)
    }
  }

  /** How long until it may be asked again, in seconds; `undefined`: now. */
  async function spent(key: string, rate: Rate, cost = 1): Promise<number | undefined> {
    const { allowed, remaining, retryAfterMs, resetMs } = await take(boundedKey(`oauth/${key}`), rate, cost)
    if (cost === 0) return remaining >= 1 ? undefined : Math.ceil(Math.max(1_000, resetMs / rate.count) / 1_000)
    return allowed ? undefined : Math.max(1, Math.ceil(retryAfterMs / 1_000))
  }

  /** Whether a client may not even try: it asked too often, or guesses too often. */
  async function refusedClient(client: string, { address }: From, response: ServerResponse): Promise<boolean> {
    const here = `${client}\0${address}`
    const provedAt = known.get(here)
    const isKnown = provedAt !== undefined && now() - provedAt < knownMs
    const waits = await Promise.all([
      spent(`failed/${here}`, failures, 0),
      // Many addresses that guess together shut out only those that never proved themselves.
      isKnown ? undefined : spent(`failed-anywhere/${client}`, failuresOfAll, 0),
      spent(`client/${here}`, settings.limits.client),
    ])
    const wait = Math.max(0, ...waits.map((seconds) => seconds ?? 0))
    if (wait === 0) return false
    fail(response, 429, 'temporarily_unavailable', 'too many requests of this client', wait)
    return true
  }

  /** Counts what came of the proof, when the answer is out. */
  function watchProof(client: string, { address }: From, response: ServerResponse): void {
    response.once('close', () => {
      const here = `${client}\0${address}`
      const failed = response.statusCode === 401
      if (!failed) {
        if (response.statusCode < 300) known.set(here, now())
        return
      }
      const count = async () => {
        const [wait] = await Promise.all([
          spent(`failed/${here}`, failures),
          spent(`failed-anywhere/${client}`, failuresOfAll),
        ])
        const left = await spent(`failed/${here}`, failures, 0)
        if (wait === undefined && left !== undefined)
          tell({ event: 'client.locked', client: client.slice(0, 100), address })
      }
      count().catch((error: unknown) =>
        log.warn('A failed proof of a client was not counted.', { error: messageOf(error) }),
      )
    })
  }

  /**
   * An access token is a JWT that the provider keeps no record of. It is read here, and the provider finds what it says
   * under a name that nobody outside can know.
   */
  async function standInFor(params: URLSearchParams): Promise<string | undefined> {
    const token = params.get('token') ?? ''
    if (params.getAll('token').length !== 1 || token.split('.').length !== 3) return undefined
    const payload = await readAccessToken(token)
    const standIn = `shown-${randomUUID()}`
    params.set('token', standIn)
    if (payload !== undefined) shown.set(standIn, payloadOf(payload))
    return standIn
  }

  return {
    // Asked of every request to the gate: most differ from ours in their first letters.
    takes: (target) =>
      target.startsWith(prefix) || (target.startsWith(insertedMetadata) && pathOf(target) !== undefined),
    handle,
    routeOf(target) {
      const path = pathOf(target)
      if (path === undefined) return '-'
      const template = templateOf(path)
      return template === undefined ? '-' : mount + template
    },
  }
}

/** RFC 6749, 2.3: by name only; whether it is that client is for the provider to find out. */
function clientOf(request: IncomingMessage, params: URLSearchParams): string | undefined {
  const [scheme, value] = (request.headers.authorization ?? '').split(' ')
  if (scheme?.toLowerCase() === 'basic' && value !== undefined) {
    const [name] = Buffer.from(value, 'base64').toString('utf8').split(':', 1)
    try {
      return decodeURIComponent(name!.replaceAll('+', ' ')).slice(0, 200)
    } catch {
      return name!.slice(0, 200)
    }
  }
  const named = params.get('client_id')
  if (named !== null) return named.slice(0, 200)
  const [, claims] = (params.get('client_assertion') ?? '').split('.')
  if (claims === undefined) return undefined
  try {
    const { sub } = JSON.parse(Buffer.from(claims, 'base64url').toString('utf8')) as { readonly sub?: unknown }
    return typeof sub === 'string' ? sub.slice(0, 200) : undefined
  } catch {
    return undefined
  }
}

/** The record the provider would have kept. Its grant stays out: whether that stands has been asked. */
function payloadOf(claims: JWTPayload): AdapterPayload {
  const { jti, sub, iat, exp, aud, scope, client_id: clientId, iss: _, cnf, nbf: _nbf, ...extra } = claims
  const { jkt, 'x5t#S256': x5t } = (cnf ?? {}) as { readonly jkt?: string; readonly 'x5t#S256'?: string }
  return {
    kind: 'AccessToken',
    jti: jti!,
    iat: iat!,
    exp: exp!,
    aud: aud!,
    clientId: clientId as string,
    ...(sub === undefined ? {} : { accountId: sub }),
    ...(typeof scope === 'string' ? { scope } : {}),
    ...(jkt === undefined ? {} : { jkt }),
    ...(x5t === undefined ? {} : { 'x5t#S256': x5t }),
    extra,
  } as AdapterPayload
}

/** Reads a body whole; `undefined`: it is too large. The listener sees to it that it comes in time. */
async function readBody(request: IncomingMessage): Promise<Buffer | undefined> {
  const { 'content-length': length, 'transfer-encoding': coding } = request.headers
  if (request.httpVersionMajor < 2 && coding === undefined && Number(length ?? 0) === 0) return Buffer.alloc(0)
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    size += (chunk as Buffer).length
    if (size > bodyBytesMax) {
      request.resume()
      return undefined
    }
    chunks.push(chunk as Buffer)
  }
  return Buffer.concat(chunks)
}

/** Lets the provider read a body that was read already. */
function give(request: IncomingMessage, body: Buffer): void {
  const stream = Readable.from([body], { objectMode: false })
  Object.defineProperties(request, {
    readable: { value: true },
    readableEncoding: { value: null },
    iterator: { value: (options?: { destroyOnReturn?: boolean }) => stream.iterator(options) },
  })
  delete request.headers['transfer-encoding']
  request.headers['content-length'] = String(body.length)
}

/** Headers that hold for all it answers; pages set stricter ones of their own. */
function protect(response: ServerResponse): void {
  response.setHeader('x-content-type-options', 'nosniff')
  response.setHeader('referrer-policy', 'no-referrer')
  response.setHeader('x-frame-options', 'DENY')
  response.setHeader('content-security-policy', "default-src 'none'; frame-ancestors 'none'; base-uri 'none'")
}

/** RFC 6749, 5.2. */
function fail(response: ServerResponse, status: number, error: string, description: string, retryAfter?: number): void {
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    ...(retryAfter === undefined ? {} : { 'retry-after': String(retryAfter) }),
  })
  response.end(JSON.stringify({ error, error_description: description }))
}

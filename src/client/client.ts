import * as oauth from 'oauth4webapi'
import { ClientError } from './error.ts'
import { type AccessToken, asSafeError, createTokenSource, type Locks, type RefreshTokens } from './tokens.ts'

/** Who the client is, where tokens come from, and where they may go. */
export interface ClientOptions {
  /** The authorization server, whose metadata say where tokens are (RFC 8414). */
  readonly issuer?: string
  /** In place of `issuer`: the token endpoint itself. */
  readonly tokenEndpoint?: string
  readonly clientId: string
  /** For a client that can keep one. Never in a browser. */
  readonly clientSecret?: string
  /** In place of a secret: signs an assertion (RFC 7523). Make it with `extractable: false`. */
  readonly privateKey?: oauth.CryptoKey | { readonly key: oauth.CryptoKey; readonly kid?: string }
  /** How `clientSecret` is sent. Default: `basic`. */
  readonly clientAuthentication?: 'basic' | 'post'
  /**
   * For a user who has signed in: the refresh token, or where it is kept. Without it the client asks for itself (client
   * credentials). With a bare text a rotated token is known to this client only, and lost with it.
   */
  readonly refreshToken?: string | RefreshTokens
  readonly scope?: string | readonly string[]
  /** The APIs that the token is for (RFC 8707). Tokens go to their origins and nowhere else. */
  readonly resource?: string | readonly string[]
  /** Where tokens may go, when that is elsewhere than `resource` says: `https://api.example.com`. */
  readonly origins?: readonly string[]
  /** Binds tokens to a key that cannot be read (RFC 9449): one made now, or yours where it must outlive the page. */
  readonly dpop?: boolean | oauth.CryptoKeyPair | Promise<oauth.CryptoKeyPair>
  /** For tests and proxies. Default: the global one. */
  readonly fetch?: typeof fetch
  /** Milliseconds since the epoch. Default: `Date.now`. */
  readonly now?: () => number
  /** How long the authorization server may take. Default: 10 s. */
  readonly timeoutMs?: number
  /** Web Locks, by which tabs take turns. Default: those of the browser, where there are any. */
  readonly locks?: Locks
}

export interface Client {
  /**
   * As the global `fetch`, with a token that is good. Rejects with `ClientError` when there is none to be had, or when the URL is at
   * no configured resource. A call whose body is a stream, or that is a `Request` with a body, is sent once: the others may be
   * sent again with a new token or proof.
   */
  readonly fetch: (input: string | URL | Request, init?: RequestInit) => Promise<Response>
}

const redirectsMax = 5
const redirectStatuses = new Set([301, 302, 303, 307, 308])

/** A `fetch` that has a token: it gets, binds and renews it, and sends it to nobody else. Throws `TypeError` for options that cannot be meant. */
export function createClient(options: ClientOptions): Client {
  const send = options.fetch ?? globalThis.fetch.bind(globalThis)
  const origins = originsOf(options)
  let prepared: Promise<Prepared> | undefined
  const prepare = () => {
    prepared ??= prepareClient(options, send).catch((error: unknown) => {
      prepared = undefined
      throw error
    })
    return prepared
  }

  return {
    async fetch(input, init) {
      const call = callOf(input, init)
      refuseStrangers(call.url, origins)
      const { signal } = call
      signal?.throwIfAborted()
      const { tokens, key } = await abortable(prepare(), signal)
      for (let hops = 0; ; hops++) {
        const reply = await sendWithToken(call, { send, key, token: (not) => abortable(tokens.get(not), signal) })
        if (!isRedirect(reply) || call.redirect === 'manual') return reply
        followOrRefuse(call, reply, hops, origins)
        await reply.body?.cancel()
      }
    },
  }
}

interface Prepared {
  readonly tokens: ReturnType<typeof createTokenSource>
  readonly key: oauth.DPoPHandle | undefined
}

async function prepareClient(options: ClientOptions, send: typeof fetch): Promise<Prepared> {
  const { clientId, dpop, timeoutMs = 10_000, now = Date.now } = options
  const client: oauth.Client = { client_id: clientId }
  const pair = typeof dpop === 'object' ? await dpop : dpop === true ? await oauth.generateKeyPair('ES256') : undefined
  const key = pair === undefined ? undefined : oauth.DPoP(client, pair)
  const isLoopback = isLoopbackUrl(options.tokenEndpoint ?? options.issuer!)
  const locks = options.locks ?? (globalThis.navigator as { readonly locks?: Locks } | undefined)?.locks
  const tokens = createTokenSource({
    server: serverOf(options, { send, isLoopback, timeoutMs }),
    client,
    authentication: authenticationOf(options),
    refreshTokens: refreshTokensOf(options),
    parameters: [
      ...(options.scope === undefined ? [] : [['scope', [options.scope].flat().join(' ')] as const]),
      ...[options.resource ?? []].flat().map((resource) => ['resource', resource] as const),
    ],
    key,
    fetch: send,
    now,
    // Only those who share a refresh token need to take turns.
    locks: typeof options.refreshToken === 'object' ? locks : undefined,
    isLoopback,
    timeoutMs,
  })
  return { tokens, key }
}

// Options -------------------------------------------------------------------------------------------

function originsOf({
  issuer,
  tokenEndpoint,
  resource,
  origins,
  clientSecret,
  privateKey,
}: ClientOptions): ReadonlySet<string> {
  if ((issuer === undefined) === (tokenEndpoint === undefined)) throw new TypeError('give `issuer` or `tokenEndpoint`')
  if (clientSecret !== undefined && privateKey !== undefined) {
    throw new TypeError('give `clientSecret` or `privateKey`, not both')
  }
  requireSecure(issuer ?? tokenEndpoint!)
  const places = origins ?? [resource ?? []].flat()
  if (places.length === 0) throw new TypeError('say where tokens may go: `resource`, or `origins`')
  return new Set(places.map((place) => requireSecure(place).origin))
}

/** Tokens over plain http are anybody's; on this machine alone they are not (RFC 8252, 8.3). */
function requireSecure(text: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined
  if (url?.protocol === 'https:' || (url !== undefined && isLoopbackUrl(text))) return url
  throw new TypeError('expected an https URL; plain http is for localhost only')
}

function isLoopbackUrl(text: string): boolean {
  const { protocol, hostname } = new URL(text)
  return protocol === 'http:' && ['localhost', '127.0.0.1', '[::1]'].includes(hostname)
}

function authenticationOf({ clientSecret, privateKey, clientAuthentication }: ClientOptions): oauth.ClientAuth {
  if (privateKey !== undefined) return oauth.PrivateKeyJwt(privateKey)
  if (clientSecret === undefined) return oauth.None()
  return clientAuthentication === 'post' ? oauth.ClientSecretPost(clientSecret) : oauth.ClientSecretBasic(clientSecret)
}

function refreshTokensOf({ refreshToken }: ClientOptions): RefreshTokens | undefined {
  if (typeof refreshToken !== 'string') return refreshToken
  let kept: string | undefined = refreshToken
  return {
    name: '',
    get: () => kept,
    set(token) {
      kept = token
    },
  }
}

/** The server's metadata, asked for once; after a failure again. */
function serverOf(
  { issuer, tokenEndpoint }: ClientOptions,
  {
    send,
    isLoopback,
    timeoutMs,
  }: { readonly send: typeof fetch; readonly isLoopback: boolean; readonly timeoutMs: number },
): () => Promise<oauth.AuthorizationServer> {
  if (issuer === undefined) {
    const known = { issuer: new URL(tokenEndpoint!).origin, token_endpoint: tokenEndpoint! }
    return async () => known
  }
  const url = new URL(issuer)
  const discover = (algorithm: 'oauth2' | 'oidc') =>
    asSafeError(async () => {
      const reply = await oauth.discoveryRequest(url, {
        algorithm,
        [oauth.customFetch]: (to, init: object) => send(to, init as RequestInit),
        [oauth.allowInsecureRequests]: isLoopback,
        signal: AbortSignal.timeout(timeoutMs),
      })
      return oauth.processDiscoveryResponse(url, reply)
    })
  let found: Promise<oauth.AuthorizationServer> | undefined
  return () => {
    found ??= discover('oauth2')
      .catch(() => discover('oidc'))
      .catch((error: unknown) => {
        found = undefined
        throw error
      })
    return found
  }
}

// Calls ---------------------------------------------------------------------------------------------

/** A call as it is sent, perhaps more than once. */
interface Call {
  url: URL
  method: string
  headers: Headers
  body: RequestInit['body'] | null
  readonly mayRepeat: boolean
  readonly init: RequestInit
  readonly redirect: RequestInit['redirect'] | undefined
  readonly signal: AbortSignal | undefined
}

function callOf(input: string | URL | Request, init: RequestInit = {}): Call {
  const request = typeof input === 'object' && 'url' in input ? input : undefined
  const base = (globalThis as { readonly location?: { readonly href: string } }).location?.href
  const text = request?.url ?? String(input)
  if (!URL.canParse(text, base)) throw new TypeError('expected an absolute URL')
  const url = new URL(text, base)
  const body = init.body ?? request?.body ?? null
  const isStream = typeof body === 'object' && body !== null && ('getReader' in body || Symbol.asyncIterator in body)
  return {
    url,
    method: (init.method ?? request?.method ?? 'GET').toUpperCase(),
    headers: ownHeaders(init.headers ?? request?.headers),
    body,
    mayRepeat: !isStream,
    init: { ...(request === undefined ? {} : settingsOf(request)), ...init },
    redirect: init.redirect ?? request?.redirect,
    signal: init.signal ?? request?.signal ?? undefined,
  }
}

/** What proves the caller is this client's to say. */
function ownHeaders(given: RequestInit['headers']): Headers {
  const headers = new Headers(given)
  headers.delete('authorization')
  headers.delete('dpop')
  return headers
}

/** What a `Request` says beside URL, method, headers and body; `fetch` would take it from there. */
function settingsOf({ cache, credentials, integrity, keepalive, mode, referrerPolicy, signal }: Request): RequestInit {
  return {
    ...(cache === undefined ? {} : { cache }),
    credentials,
    integrity,
    keepalive,
    ...(mode === 'navigate' ? {} : { mode }),
    referrerPolicy,
    signal,
  }
}

function refuseStrangers(url: URL, origins: ReadonlySet<string>): void {
  if (url.username !== '' || url.password !== '') throw new TypeError('credentials do not belong into a URL')
  if (!origins.has(url.origin)) throw new ClientError('origin', `${url.origin} is none of the configured resources.`)
}

interface Sender {
  readonly send: typeof fetch
  readonly key: oauth.DPoPHandle | undefined
  readonly token: (not?: AccessToken) => Promise<AccessToken>
}

/** Sends a call; once more with the server's nonce, and once more with a new token, where the answer asks for that. */
async function sendWithToken(call: Call, { send, key, token }: Sender): Promise<Response> {
  let current = await token()
  let triedNonce = false
  let triedToken = false
  for (;;) {
    const reply = await sendOnce(call, current.value, send, key)
    if (reply instanceof Response) return reply
    const { challenge } = reply
    const wantsNonce = oauth.isDPoPNonceError(challenge) && !triedNonce
    const wantsToken = !wantsNonce && saysInvalidToken(challenge) && !triedToken
    if (!call.mayRepeat || !(wantsNonce || wantsToken)) return challenge.response
    await challenge.response.body?.cancel()
    if (wantsNonce) triedNonce = true
    else {
      triedToken = true
      current = await token(current)
    }
  }
}

async function sendOnce(
  { url, method, headers, body, init }: Call,
  accessToken: string,
  send: typeof fetch,
  key: oauth.DPoPHandle | undefined,
): Promise<Response | { readonly challenge: oauth.WWWAuthenticateChallengeError }> {
  try {
    return await oauth.protectedResourceRequest(accessToken, method, url, new Headers(headers), null, {
      ...(key === undefined ? {} : { DPoP: key }),
      [oauth.allowInsecureRequests]: true,
      // Where each redirect leads is looked at here: a token must not follow by itself.
      [oauth.customFetch]: (_url, { headers: signed }) =>
        send(url.href, {
          ...init,
          method,
          headers: signed,
          redirect: 'manual',
          ...(body === null ? { body: null } : { body }),
          ...(body !== null && typeof body === 'object' && ('getReader' in body || Symbol.asyncIterator in body)
            ? { duplex: 'half' }
            : {}),
        } as RequestInit),
    })
  } catch (error) {
    if (error instanceof oauth.WWWAuthenticateChallengeError) return { challenge: error }
    throw error
  }
}

function saysInvalidToken({ cause, status }: oauth.WWWAuthenticateChallengeError): boolean {
  return status === 401 && cause.some(({ parameters }) => parameters.error === 'invalid_token')
}

// Redirects -----------------------------------------------------------------------------------------

/** In browsers a redirect that is not followed shows neither status nor target. */
function isRedirect(reply: Response): boolean {
  return reply.type === 'opaqueredirect' || (redirectStatuses.has(reply.status) && reply.headers.has('location'))
}

/** Turns the call to where a redirect leads, as `fetch` would, if a token may go there. */
function followOrRefuse(call: Call, reply: Response, hops: number, origins: ReadonlySet<string>): void {
  const location = reply.headers.get('location')
  if (
    call.redirect === 'error' ||
    location === null ||
    hops >= redirectsMax ||
    !URL.canParse(location, call.url.href)
  ) {
    throw new ClientError('redirect', 'The answer is a redirect that is not followed.', { status: reply.status })
  }
  const url = new URL(location, call.url)
  if (!origins.has(url.origin) || url.username !== '' || url.password !== '') {
    throw new ClientError('redirect', `The answer leads to ${url.origin}, where no token goes.`, {
      status: reply.status,
    })
  }
  const becomesGet =
    (reply.status === 303 && call.method !== 'HEAD') ||
    ((reply.status === 301 || reply.status === 302) && call.method === 'POST')
  if (becomesGet) {
    call.method = 'GET'
    call.body = null
    for (const name of ['content-type', 'content-length', 'content-encoding', 'content-language'])
      call.headers.delete(name)
  } else if (!call.mayRepeat) {
    throw new ClientError('redirect', 'The answer is a redirect, and the body cannot be sent twice.', {
      status: reply.status,
    })
  }
  call.url = url
}

/** Gives up waiting when the caller does; what was waited for goes on for others. */
function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise
  return new Promise((resolve, reject) => {
    const stop = () => reject(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

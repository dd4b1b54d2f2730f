import { randomBytes } from 'node:crypto'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { Tell } from '../../base/events.ts'
import type { Logger } from '../../base/log.ts'
import { duration, object, z } from '../../config/language.ts'
import { type SessionCookie, type Sessions, sessionCookie } from '../../credentials/sessions.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Steps } from '../../gate/guard.ts'
import { type Answer, type Denial, denial, type Verdict } from '../../gate/verdict.ts'
import { defaultSecurityHeaders } from '../../http/security-headers.ts'
import { parseMatch } from '../../openapi/select.ts'
import { type Counters, CountersUnavailable } from '../../store/counters.ts'
import type { Value } from '../../store/store.ts'
import type { FollowedSecrets } from '../../vault/index.ts'
import { IssuerUnreachable } from './ask.ts'
import { because, unencrypted } from './challenge.ts'
import { type FailureBudget, floodRefusal } from './failures.ts'
import { type IssuerSettings, rolesIn } from './issuer.ts'
import { parseJws, verifyJws } from './jws.ts'
import type { KeySet } from './key-set.ts'
import { publicBase } from './resource.ts'
import { createSignInClient } from './sign-in-client.ts'
import { createSignInStarts } from './sign-in-starts.ts'
import { browserHash, createSignInStates, type SignInState } from './sign-in-state.ts'
import { type StepUpNeeds, stepUpOf } from './step-up.ts'

/** The key `signIn` of `auth`. */
export const signInShape = object({
  issuer: z.string().min(1).describe('The entry of `issuers` where people sign in (OpenID Connect).'),
  clientId: z.string().min(1).describe('How the gate is registered there.'),
  clientSecret: z.string().min(1).describe('The secret of that client: `${SIGN_IN_SECRET}`.'),
  clientAuth: z.enum(['basic', 'post']).default('basic').describe('How the client shows its secret (RFC 6749, 2.3.1).'),
  scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'expected a scope (RFC 6749, 3.3)'))
    .max(64)
    .default(['openid'])
    .describe('What is asked for; `openid` always is. The session holds what was granted.'),
  match: z
    .string()
    .max(1_024)
    .default('*')
    .transform((text, context) => {
      try {
        return parseMatch(text)
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) })
        return z.NEVER
      }
    })
    .describe('Operations whose visitors are sent to the issuer; at others they get 401.'),
  sessionTtl: duration('How long a session lasts, however busy it is.').default(8 * 3_600_000),
  idle: duration('How long a session lasts without a request.').default(30 * 60_000),
  afterSignOut: z
    .string()
    .regex(/^\/(?![/\\])[^\s\\]*$/, 'expected a path of this gate')
    .default('/')
    .describe('Where the browser goes after it has signed out; registered at the issuer with the host before it.'),
}).describe(
  'Lets people sign in with a browser: who asks for a page without a session is sent to the issuer and comes back with one. The redirect URI to register is `https://<host>/.well-known/portcullis/sign-in/<api>/callback`.',
)

export type SignInOptions = z.output<typeof signInShape>

export const signInPrefix = '/.well-known/portcullis/sign-in'

/** The gate as a client of an issuer, for the browsers of one API. */
export interface SignIn {
  /** Sends a browser to the issuer in place of a refusal; `undefined` where the refusal should stand. */
  readonly instead: (exchange: Exchange, refusal: Denial) => Promise<Verdict> | undefined
  /** Its own pages, below `signInPrefix`. */
  readonly pages: readonly { readonly method: 'GET' | 'POST'; readonly path: string; readonly steps: Steps }[]
  readonly close: () => Promise<void>
}

export interface SignInWorld {
  readonly api: string
  readonly options: SignInOptions
  readonly issuer: IssuerSettings
  readonly keys: KeySet | undefined
  readonly sessions: Sessions
  /** Name of the cookie that the session is read from. */
  readonly cookie: string
  readonly publicUrl: string | undefined
  /** 32 bytes that all gates of a store share, the newest first, then those still in grace. */
  readonly secrets: FollowedSecrets
  readonly counters: Counters
  /** What one network may get wrong: each try asks the issuer. */
  readonly failures: FailureBudget
  readonly now: () => number
  readonly tell: Tell
  readonly log: Logger
}

const browserCookie = '__Host-portcullis-sign-in'
const browserFormat = /^[A-Za-z0-9_-]{43}$/
/** How long somebody may take at the issuer. */
const underWayMs = 600_000
const returnToMax = 1_024
const claimsCharsMax = 8_192
/** About one token alone, or of no use afterwards. */
const tokenOnly = ['iss', 'aud', 'exp', 'nbf', 'iat', 'nonce', 'at_hash', 'c_hash', 's_hash', 'jti', 'azp']
/** And what a session says to whom it is good: an issuer must not say that it opens the administration. */
const notKept = new Set([...tokenOnly, 'audience'])
/** OpenID Connect Back-Channel Logout 1.0, 2.4. */
const logoutEvent = 'http://schemas.openid.net/event/backchannel-logout'
const logoutAlgorithms = new Set(['RS256', 'PS256', 'ES256', 'EdDSA'])

export function createSignIn(world: SignInWorld): SignIn {
  const { api, options, issuer, sessions, publicUrl, counters, failures, now, tell, log } = world
  const states = createSignInStates(world.secrets.now, `sign-in ${api}`)
  const starts = createSignInStarts({ api, counters, now, tell })
  const client = createSignInClient({
    issuer: issuer.issuer,
    clientId: options.clientId,
    clientSecret: options.clientSecret,
    clientAuth: options.clientAuth,
    toleranceMs: issuer.clockTolerance,
    timeoutMs: issuer.timeout,
    ca: issuer.ca,
    now,
    refreshMs: issuer.refresh,
  })
  const cookie: SessionCookie = sessionCookie({ name: world.cookie })
  const scope = [...new Set(['openid', ...options.scopes])].join(' ')
  const base = `${signInPrefix}/${encodeURIComponent(api)}`
  const refused = denial(
    401,
    'auth.sign-in-refused',
    'Signing in did not work. Go back to where you came from and try again.',
  )
  const unreachable = denial(503, 'auth.issuer-unreachable', 'Nobody can sign in right now. Try again later.', {
    headers: { 'Retry-After': '5' },
  })
  const foreign = denial(403, 'auth.session-cross-site', 'This page may not be used from another web site.')

  function refuse(exchange: Exchange, reason: string, more: Readonly<Record<string, string | undefined>> = {}): Denial {
    failures.count(exchange.address)
    tell({ event: 'sign-in.refused', address: exchange.address, detail: { api, reason, ...more } })
    return because(refused, { reason, ...more })
  }

  function failed(exchange: Exchange, error: unknown): Denial {
    if (error instanceof IssuerUnreachable) return because(unreachable, { fault: error.message })
    if (error instanceof CountersUnavailable) return because(unreachable, { fault: 'counters' })
    const { code, error: named, cause } = error as { code?: unknown; error?: unknown; cause?: unknown }
    if (cause instanceof IssuerUnreachable) return because(unreachable, { fault: cause.message })
    const reason = typeof named === 'string' ? named : typeof code === 'string' ? code : messageOf(error)
    return refuse(exchange, 'issuer', { fault: reason.slice(0, 200) })
  }

  const redirectUriOf = (exchange: Exchange) => `${publicBase(exchange, publicUrl)}${base}/callback`

  /** To the issuer, with what proves later that the answer is to this question of this browser. */
  async function begin(exchange: Exchange, returnTo: string, needs: StepUpNeeds | undefined): Promise<Verdict> {
    if (!exchange.peer.encrypted) return unencrypted
    try {
      const { oidc, config } = await client.ready()
      const sent = exchange.cookies().get(browserCookie)
      const browser = sent !== undefined && browserFormat.test(sent) ? sent : randomBytes(32).toString('base64url')
      const verifier = oidc.randomPKCECodeVerifier()
      const state: SignInState = {
        id: randomBytes(16).toString('base64url'),
        nonce: randomBytes(32).toString('base64url'),
        verifier,
        returnTo: returnTo.length > returnToMax ? '/' : returnTo,
        redirectUri: redirectUriOf(exchange),
        expiresAt: now() + underWayMs,
        browser: browserHash(browser),
        needs,
      }
      const url = oidc.buildAuthorizationUrl(config, {
        redirect_uri: state.redirectUri,
        scope,
        state: states.seal(state),
        nonce: state.nonce,
        code_challenge: await oidc.calculatePKCECodeChallenge(verifier),
        code_challenge_method: 'S256',
        ...(needs?.acr === undefined ? {} : { acr_values: needs.acr.join(' ') }),
        ...(needs?.maxAgeSeconds === undefined ? {} : { max_age: String(needs.maxAgeSeconds) }),
      })
      exchange.setReplyHeader(
        'Set-Cookie',
        `${browserCookie}=${browser}; Max-Age=${underWayMs / 1000}; Path=/; Secure; HttpOnly; SameSite=Lax`,
      )
      return redirect(url.href)
    } catch (error) {
      const refusal = failed(exchange, error)
      log.warn('nobody can sign in', { api, issuer: options.issuer, reason: messageOf(error) })
      return refusal
    }
  }

  /** Another gate may have sealed it with a secret that is a moment old, and not known here yet. */
  async function openedLater(sealed: string): Promise<SignInState | undefined> {
    const before = world.secrets.now()
    await world.secrets.refresh()
    return world.secrets.now() === before ? undefined : states.open(sealed)
  }

  /** Back from the issuer: the answer is believed only where everything fits what was asked. */
  async function callback(exchange: Exchange): Promise<Verdict> {
    if (!exchange.peer.encrypted) return unencrypted
    const seconds = failures.spentFor(exchange.address)
    if (seconds !== undefined) return floodRefusal(seconds)
    const query = exchange.query()
    if (new Set(query.map(([name]) => name)).size !== query.length) return refuse(exchange, 'parameters')
    const sealed = query.find(([name]) => name === 'state')?.[1]
    const state = sealed === undefined ? undefined : (states.open(sealed) ?? (await openedLater(sealed)))
    if (state === undefined) return refuse(exchange, 'state')
    if (now() >= state.expiresAt) return refuse(exchange, 'expired')
    // A code that somebody else began, sent to this browser: its cookie does not know of it (RFC 9700, 4.7).
    const browser = exchange.cookies().get(browserCookie)
    if (browser === undefined || browserHash(browser) !== state.browser) return refuse(exchange, 'browser')
    try {
      const once = { count: 1, windowMs: underWayMs + 60_000, burst: 1 }
      const { allowed } = await counters.take(`sign-in ${state.id}`, once)
      if (!allowed) return refuse(exchange, 'replayed')
      const { oidc, config } = await client.ready()
      const url = new URL(state.redirectUri)
      url.search = exchange.target.query
      const tokens = await oidc.authorizationCodeGrant(config, url, {
        pkceCodeVerifier: state.verifier,
        expectedState: sealed!,
        expectedNonce: state.nonce,
        idTokenExpected: true,
        ...(state.needs?.maxAgeSeconds === undefined ? {} : { maxAge: state.needs.maxAgeSeconds }),
      })
      return await welcome(exchange, state, tokens.claims()!, tokens.scope)
    } catch (error) {
      return failed(exchange, error)
    }
  }

  async function welcome(
    exchange: Exchange,
    { needs, returnTo }: SignInState,
    claims: Readonly<Record<string, unknown>>,
    granted: string | undefined,
  ): Promise<Verdict> {
    // Else the browser would be sent back and forth for ever.
    if (needs?.acr !== undefined && !(typeof claims.acr === 'string' && needs.acr.includes(claims.acr))) {
      return refuse(exchange, 'acr')
    }
    const subject = claims[issuer.subjectClaim] ?? claims.sub
    if (typeof subject !== 'string' || subject === '') return refuse(exchange, 'subject')
    const kept: Record<string, unknown> = {}
    for (const [name, value] of Object.entries(claims)) if (!notKept.has(name)) kept[name] = value
    // What other issuers say of their people counts for nothing here, nor the other way round (see `sessionJudge`).
    kept.iss = issuer.issuer
    kept.scopes = (granted ?? scope).split(' ').filter((word) => word !== '')
    kept.roles = rolesIn(claims, issuer.rolesClaim)
    if (JSON.stringify(kept).length > claimsCharsMax) return refuse(exchange, 'claims-too-large')
    // A new id for the new rights, and an end to the old one: whoever knew that one knows nothing now.
    const before = exchange.cookies().get(cookie.name)
    if (before !== undefined) await sessions.revoke(before)
    const { sid } = claims
    const id = await sessions.create({
      subject,
      claims: kept as Readonly<Record<string, Value>>,
      ttlMs: options.sessionTtl,
      idleMs: Math.min(options.idle, options.sessionTtl),
      tags: [tagOf('sub', String(claims.sub)), ...(typeof sid === 'string' ? [tagOf('sid', sid)] : [])],
    })
    exchange.setReplyHeader('Set-Cookie', cookie.set(id, options.sessionTtl / 1000))
    return redirect(returnTo)
  }

  const tagOf = (kind: 'sub' | 'sid', value: string) => `${kind}\0${issuer.issuer}\0${value}`

  async function signOut(exchange: Exchange): Promise<Verdict> {
    if (!exchange.peer.encrypted) return unencrypted
    const { origin, 'sec-fetch-site': site } = exchange.headers
    const own = publicBase(exchange, publicUrl)
    if (site === 'cross-site' || (origin !== undefined && origin !== new URL(own).origin)) return foreign
    const id = exchange.cookies().get(cookie.name)
    if (id !== undefined) await sessions.revoke(id)
    exchange.setReplyHeader('Set-Cookie', cookie.clear)
    const home = `${own}${options.afterSignOut}`
    try {
      const { oidc, config } = await client.ready()
      if (config.serverMetadata().end_session_endpoint !== undefined) {
        return redirect(oidc.buildEndSessionUrl(config, { post_logout_redirect_uri: home }).href)
      }
    } catch (error) {
      if (!(error instanceof IssuerUnreachable)) throw error
    }
    return redirect(options.afterSignOut)
  }

  /** The issuer itself says that somebody has signed out (OpenID Connect Back-Channel Logout 1.0, 2.6). */
  async function backChannel(exchange: Exchange): Promise<Verdict> {
    const form = new URLSearchParams(exchange.requestBody?.toString('utf8') ?? '')
    const seconds = failures.spentFor(exchange.address)
    if (seconds !== undefined) return floodRefusal(seconds)
    const reason = await endSessionsOf(form.get('logout_token') ?? '')
    if (reason === undefined) return { kind: 'answer', status: 200, headers: { 'cache-control': 'no-store' } }
    failures.count(exchange.address)
    tell({ event: 'sign-in.logout-refused', address: exchange.address, detail: { api, reason } })
    return denial(400, 'auth.logout-refused', 'The logout token is not accepted.', { evidence: { reason } })
  }

  async function endSessionsOf(token: string): Promise<string | undefined> {
    const jws = token.length > 8_192 ? 'malformed' : parseJws(token)
    if (typeof jws === 'string') return jws
    const { iss, aud, iat, exp, jti, sub, sid, nonce, events } = jws.claims
    if (!logoutAlgorithms.has(jws.algorithm)) return 'algorithm'
    if (jws.type !== undefined && jws.type !== 'logout+jwt' && jws.type !== 'jwt') return 'type'
    if (iss !== issuer.issuer) return 'iss'
    if (!(Array.isArray(aud) ? aud : [aud]).includes(options.clientId)) return 'aud'
    const at = now()
    const isNow = (time: unknown) =>
      typeof time === 'number' && Math.abs(at - time * 1000) <= 120_000 + issuer.clockTolerance
    if (!isNow(iat)) return 'iat'
    if (exp !== undefined && !(typeof exp === 'number' && at < exp * 1000 + issuer.clockTolerance)) return 'exp'
    // An ID token, which the browser has, must not pass for one.
    if (nonce !== undefined) return 'nonce'
    if (typeof events !== 'object' || events === null || !Object.hasOwn(events, logoutEvent)) return 'events'
    if (typeof jti !== 'string' || (typeof sub !== 'string' && typeof sid !== 'string')) return 'claims'
    const key = await world.keys?.find(jws.algorithm, jws.keyId, at)
    if (key === undefined) return 'key'
    if (!verifyJws(jws, key)) return 'signature'
    if (typeof sid === 'string') await sessions.revokeTagged(tagOf('sid', sid))
    else await sessions.revokeTagged(tagOf('sub', sub as string))
    return undefined
  }

  return {
    instead(exchange, refusal) {
      // Over plain HTTP no session could be used: the refusal says more.
      if (!exchange.peer.encrypted || !isNavigation(exchange) || !options.match(exchange.operation)) return undefined
      const needs = stepUpOf(refusal)
      if (needs === undefined && !signInHelps.has(refusal.code)) return undefined
      const { path, query } = exchange.target
      return begin(exchange, query === '' ? path : `${path}?${query}`, needs)
    },
    pages: [
      {
        method: 'GET',
        path: `${base}/start`,
        steps: {
          async requestHead(exchange) {
            const flood = await starts.take(exchange.address)
            if (flood !== undefined) return flood
            const wanted = exchange.query().find(([name]) => name === 'returnTo')?.[1] ?? '/'
            return isOwnPath(wanted) ? begin(exchange, wanted, undefined) : refuse(exchange, 'return-to')
          },
        },
      },
      { method: 'GET', path: `${base}/callback`, steps: { requestHead: callback } },
      { method: 'GET', path: `${base}/sign-out`, steps: { requestHead: signOut } },
      { method: 'POST', path: `${base}/sign-out`, steps: { requestHead: signOut } },
      {
        method: 'POST',
        path: `${base}/backchannel-logout`,
        steps: { requestBody: backChannel, requestBytesMax: 16_384 },
      },
    ],
    close: () => client.close(),
  }
}

const signInHelps: ReadonlySet<string> = new Set([
  'security.credential-missing',
  'authorize.caller-unknown',
  'auth.session-refused',
])

/** A person opens a page; scripts, images, frames and sockets are told 401 instead. */
function isNavigation({ method, upgrade, headers }: Exchange): boolean {
  if ((method !== 'GET' && method !== 'HEAD') || upgrade !== undefined || headers.authorization !== undefined)
    return false
  if (headers.accept === undefined || !/\btext\/html\b/i.test(headers.accept)) return false
  const { 'sec-fetch-mode': mode, 'sec-fetch-dest': dest } = headers
  return (mode === undefined || mode === 'navigate') && (dest === undefined || dest === 'document')
}

/** A path of this gate, whatever a browser makes of it: `//evil.example` and `/\evil.example` are other hosts to it. */
function isOwnPath(text: string): boolean {
  return text.length <= returnToMax && /^\/(?![/\\])[\x21-\x5b\x5d-\x7e]*$/.test(text)
}

function redirect(location: string): Answer {
  return { kind: 'answer', status: 303, headers: { ...pageHeaders, location } }
}

const pageHeaders: Readonly<Record<string, string>> = {
  ...Object.fromEntries(pairs(defaultSecurityHeaders(true))),
  'cache-control': 'no-store',
  'referrer-policy': 'no-referrer',
}

function pairs(flat: readonly string[]): (readonly [string, string])[] {
  return Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i]!.toLowerCase(), flat[2 * i + 1]!] as const)
}

/** What cannot work is refused at load. */
export function checkSignIn(
  options: SignInOptions,
  issuers: Readonly<Record<string, IssuerSettings>>,
  api: string,
): void {
  if (issuers[options.issuer] !== undefined) return
  throw new ConfigError('P1408', `apis.${api}.auth.signIn: "${options.issuer}" is none of \`issuers\``)
}

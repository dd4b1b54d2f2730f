import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { exportJWK, generateKeyPair } from 'jose'
import Provider, { type Configuration } from 'oidc-provider'
import { TOTP } from 'otpauth'
import type { SecurityEvent } from '../../src/base/events.ts'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { type Accounts, createAccounts } from '../../src/identity/accounts.ts'
import {
  authenticationClaims,
  createPages,
  interactionRoutes,
  peopleConfiguration,
} from '../../src/identity/pages/index.ts'
import type { PeopleSettings } from '../../src/identity/people.ts'
import type { Counters } from '../../src/store/counters.ts'
import { createMemoryCounters } from '../../src/store/counters-memory.ts'
import { createSqliteStore } from '../../src/store/sqlite.ts'
import type { Store } from '../../src/store/store.ts'
import type { KeyRing } from '../../src/vault/index.ts'
import { testVault } from './vault.ts'

/** Sign-in in front of a plain provider, on a port of its own. */
export interface PeopleBench {
  readonly issuer: string
  readonly accounts: Accounts
  readonly events: readonly SecurityEvent[]
  readonly store: Store
  /** Where a client sends somebody: with PKCE, `state` and what else is given. */
  authorizeUrl(parameters?: Readonly<Record<string, string>>): string
  /** Exchanges the code that came to `redirect`. */
  redeem(redirect: string): Promise<Tokens>
  refresh(token: string): Promise<Response>
  /** The code that an authenticator app shows for a secret, `steps` of 30 seconds from now. */
  codeFor(secret: string, steps?: number): string
  /** Moves the clock of accounts and pages. */
  advance(ms: number): void
  /** How the one client proves who it is: an Authorization header. */
  readonly clientAuthorization: string
  /** Where the requests seem to come from. */
  address: string
  close(): Promise<void>
}

export interface Tokens {
  readonly access_token: string
  readonly id_token?: string
  readonly refresh_token?: string
  readonly error?: string
}

export interface PeopleBenchOptions {
  readonly settings?: Partial<PeopleSettings>
  readonly client?: Readonly<Record<string, unknown>>
  readonly describeScope?: (scope: string) => string | undefined
  readonly store?: Store
  readonly counters?: Counters
  readonly vault?: KeyRing
  readonly now?: () => number
  readonly log?: Logger
}

export const cheap = { memoryKiB: 1_024, passes: 1, lanes: 1 } as const
const clientSecret = 'a-secret-of-a-test-that-nobody-else-knows'
/** For a code of which only its S256 is sent ahead (RFC 7636). */
const verifier = randomBytes(32).toString('base64url')

/** Starts it. `settings.issuer` is set to the port the system chose. */
export async function startPeople(options: PeopleBenchOptions = {}): Promise<PeopleBench> {
  let skew = 0
  const now = () => (options.now ?? Date.now)() + skew
  const store = options.store ?? createSqliteStore({ file: ':memory:', log: silentLogger, now })
  const counters = options.counters ?? createMemoryCounters({ now })
  const ring = options.vault ?? (await testVault(store, now))
  const vault = async () => ring
  const events: SecurityEvent[] = []
  const tell = (event: SecurityEvent) => void events.push(event)

  let handle: (request: IncomingMessage, response: ServerResponse) => void = () => {}
  const server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const issuer = `http://localhost:${port}/oauth`
  const settings: PeopleSettings = {
    mfa: [],
    theme: { name: 'Example shop' },
    accessTtl: 600_000,
    refreshTtl: 30 * 86_400_000,
    ...options.settings,
    issuer,
  }
  const accounts = createAccounts({ store, counters, vault, now, tell, settings, cost: cheap })
  const pages = createPages(settings)
  const callback = `http://localhost:${port}/callback`
  const bench = { address: '192.0.2.1' }
  const addressOf = () => bench.address
  const people = peopleConfiguration({ accounts, pages, settings, addressOf })
  const { privateKey } = await generateKeyPair('ES256', { extractable: true })
  const configuration: Configuration = {
    ...people,
    clients: [
      {
        client_id: 'app',
        client_name: 'Photo printer',
        client_secret: clientSecret,
        redirect_uris: [callback],
        post_logout_redirect_uris: [`http://localhost:${port}/bye`],
        grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
        ...options.client,
      },
    ],
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'ES256', kid: 'test' }] },
    cookies: { keys: [randomBytes(32).toString('hex')], long: { signed: true }, short: { signed: true } },
    enabledJWA: { idTokenSigningAlgValues: ['ES256'] },
    scopes: ['openid', 'offline_access', 'orders:read'],
    claims: { acr: null, amr: null, auth_time: null, openid: ['sub'] },
    features: {
      ...people.features,
      deviceFlow: { ...people.features.deviceFlow, enabled: true, charset: 'base-20' },
      rpInitiatedLogout: { ...people.features.rpInitiatedLogout, enabled: true },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'https://api.example.com',
        useGrantedResource: () => true,
        getResourceServerInfo: () => ({
          scope: 'orders:read orders:write',
          accessTokenFormat: 'jwt',
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    issueRefreshToken: (_ctx, client) => client.grantTypeAllowed('refresh_token'),
    extraTokenClaims: (ctx) => ({ ...authenticationClaims(ctx) }),
    ttl: { Session: 3_600, Interaction: 600, Grant: 3_600, AccessToken: 600, IdToken: 600, DeviceCode: 600 },
  }
  const provider = new Provider(issuer, configuration)
  provider.on('server_error', (_ctx, error) => console.error(error))
  const routes = interactionRoutes({
    provider: () => provider,
    accounts,
    pages,
    settings,
    store,
    vault,
    tell,
    log: options.log ?? silentLogger,
    addressOf,
    describeScope: options.describeScope ?? (() => undefined),
  })
  const callbackHandler = provider.callback()
  handle = (request, response) => {
    if (!request.url!.startsWith('/oauth')) {
      // The application, or whoever else lives here.
      response.setHeader('content-type', 'text/html')
      response.end(`<title>application</title><p id="here">${request.url!.split('?')[0]}</p>`)
      return
    }
    void routes(request, response).then((answered) => {
      if (answered) return
      Object.assign(request, { originalUrl: request.url, url: request.url!.slice('/oauth'.length) })
      void callbackHandler(request, response)
    })
  }

  const clientAuthorization = `Basic ${Buffer.from(`app:${clientSecret}`).toString('base64')}`
  const token = (fields: Readonly<Record<string, string>>) =>
    fetch(`${issuer}/token`, {
      method: 'POST',
      headers: { authorization: clientAuthorization },
      body: new URLSearchParams(fields),
    })

  return Object.assign(bench, {
    issuer,
    accounts,
    events,
    store,
    clientAuthorization,
    authorizeUrl(parameters: Readonly<Record<string, string>> = {}) {
      const url = new URL(`${issuer}/auth`)
      url.search = new URLSearchParams({
        client_id: 'app',
        response_type: 'code',
        scope: 'openid orders:read',
        redirect_uri: callback,
        state: randomBytes(8).toString('hex'),
        code_challenge: createHash('sha256').update(verifier).digest('base64url'),
        code_challenge_method: 'S256',
        ...parameters,
      }).toString()
      return url.href
    },
    async redeem(redirect: string) {
      const code = new URL(redirect).searchParams.get('code') ?? ''
      const reply = await token({
        grant_type: 'authorization_code',
        code,
        redirect_uri: callback,
        code_verifier: verifier,
      })
      return (await reply.json()) as Tokens
    },
    refresh: (refreshToken: string) => token({ grant_type: 'refresh_token', refresh_token: refreshToken }),
    codeFor: (secret: string, steps = 0) => new TOTP({ secret }).generate({ timestamp: now() + steps * 30_000 }),
    advance(ms: number) {
      skew += ms
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
      accounts.close()
      if (options.vault === undefined) ring.close()
      if (options.counters === undefined) await counters.close()
      if (options.store === undefined) await store.close()
    },
  })
}

/** A browser without a screen: keeps cookies by path, follows what it is told to, and fills in forms. */
export interface Visitor {
  /** Loads a page and follows redirects within `localhost`; also the `refresh` of our own pages. */
  open(url: string): Promise<Page>
  /** Fills in the form of a step and sends it. */
  submit(page: Page, step: string, fields?: Readonly<Record<string, string>>): Promise<Page>
  send(url: string, fields: Readonly<Record<string, string>>, headers?: Readonly<Record<string, string>>): Promise<Page>
  readonly cookies: Map<string, { readonly value: string; readonly path: string }>
}

export interface Page {
  readonly url: string
  readonly status: number
  readonly headers: Headers
  readonly text: string
  readonly title: string
}

/** A new visitor, without any cookie. */
export function visitor(): Visitor {
  const cookies = new Map<string, { value: string; path: string }>()

  async function load(url: string, init: RequestInit = {}, hops = 0): Promise<Page> {
    if (hops > 10) throw new Error(`too many redirects at ${url}`)
    const { pathname } = new URL(url)
    const fitting = [...cookies].filter(
      ([, { path }]) => pathname === path || pathname.startsWith(path.endsWith('/') ? path : `${path}/`),
    )
    const cookie = fitting.map(([name, { value }]) => `${name.split(';')[0]}=${value}`).join('; ')
    const headers = { ...(init.headers as Record<string, string>), ...(cookie === '' ? {} : { cookie }) }
    const reply = await fetch(url, { ...init, headers, redirect: 'manual' })
    for (const line of reply.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split(';')
      const [name, ...rest] = pair!.split('=')
      const path =
        attributes.map((text) => /^\s*path=(.*)$/i.exec(text)?.[1]).find((found) => found !== undefined) ?? '/'
      const isOver = /expires=Thu, 01 Jan 1970|max-age=0/i.test(line)
      if (isOver) cookies.delete(`${name!};${path}`)
      else cookies.set(`${name!};${path}`, { value: rest.join('='), path })
    }
    const text = await reply.text()
    const location = reply.headers.get('location') ?? /http-equiv="refresh" content="0;url=([^"]*)"/.exec(text)?.[1]
    if (location !== undefined && location !== null) {
      const next = new URL(location.replaceAll('&amp;', '&'), url)
      if (next.hostname !== 'localhost' || next.pathname === '/callback') {
        return { url: next.href, status: reply.status, headers: reply.headers, text, title: '' }
      }
      return load(next.href, {}, hops + 1)
    }
    const title = /<title>([^<]*)<\/title>/.exec(text)?.[1] ?? ''
    return { url, status: reply.status, headers: reply.headers, text, title }
  }

  const send: Visitor['send'] = (url, fields, headers = {}) =>
    load(url, { method: 'POST', body: new URLSearchParams(fields), headers })

  return {
    cookies,
    open: (url) => load(url),
    send,
    async submit(page, step, fields = {}) {
      const csrf = /name="csrf" value="([^"]*)"/.exec(page.text)?.[1]
      if (csrf === undefined) throw new Error(`no form on ${page.url}: ${page.status} ${page.title}`)
      const url = new URL(page.url)
      url.search = ''
      return send(url.href, { csrf, step, ...fields }, { origin: url.origin })
    },
  }
}

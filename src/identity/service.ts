import type { IncomingMessage, ServerResponse } from 'node:http'
import { createLocalJWKSet, type JWTPayload, jwtVerify } from 'jose'
import type { AdapterPayload, KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import {
  endFamily,
  type Family,
  forGood,
  revokedTokensPrefix,
  revokeToken,
  tokenIdOf,
} from '../credentials/revoked-tokens.ts'
import type { Counters } from '../store/counters.ts'
import type { Store } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import { type Accounts, createAccounts } from './accounts.ts'
import { createGrantStore, type StoredGrant } from './adapter.ts'
import { type Clients, createClients } from './clients.ts'
import { createFront, type Front } from './front.ts'
import type { ServiceSettings } from './issuer.ts'
import { authenticationClaims, createPages, interactionRoutes, peopleConfiguration } from './pages/index.ts'
import { createProvider, type From, ownProperty, type ProviderOptions, type Resource, type Rights } from './provider.ts'
import { currentKeys, type KeysNow, type PublicJwk, signingKeysRecord } from './signing-keys.ts'

export interface TokenServiceOptions {
  readonly settings: ServiceSettings
  /** Names of the APIs that tokens can be for. */
  readonly apis: readonly string[]
  /** Those of them that a client must name in its `resources` to get tokens for. */
  readonly onlyNamed?: readonly string[]
  /** The API that stands at a URL: clients may name it so, too. */
  readonly apiAt?: (resource: string) => string | undefined
  readonly store: Store
  readonly counters: Counters
  readonly vault: () => Promise<KeyRing>
  readonly now: Clock
  readonly log: Logger
  readonly tell: Tell
}

/** An authorization server beside the APIs: OAuth 2.1 and OpenID Connect. */
export interface TokenService {
  readonly issuer: string
  /** Its public keys now. */
  readonly jwks: () => { readonly keys: readonly PublicJwk[] }
  /** What stands in `aud` of tokens for an API. */
  readonly audienceFor: (api: string) => string
  /** How its tokens are signed. */
  readonly algorithms: readonly string[]
  readonly clients: Clients
  readonly accounts: Accounts
  readonly grants: Grants
  /** Answers a request that was found to be for this service (see `Front.takes`). Never throws. */
  readonly handle: (request: IncomingMessage, response: ServerResponse, from: From) => void
  /** Whether a request, by the target on its request line, is for this service. */
  readonly takes: (target: string) => boolean
  /** The path template of a request, for logs and metrics. */
  readonly routeOf: Front['routeOf']
  readonly close: () => Promise<void>
}

/** What applications were given. */
export interface Grants {
  list(filter?: { readonly subject?: string; readonly client?: string }): Promise<readonly StoredGrant[]>
  /** Ends one grant with all its tokens, in every process within a second; whether there was one. */
  revoke(id: string): Promise<boolean>
  /** Ends everything that was given in the name of somebody. */
  revokeSubject(subject: string): Promise<void>
  /** Ends everything that a client was given; it may ask anew. */
  revokeClient(client: string): Promise<void>
}

const grantsMax = 10_000
const keysRetryMs = 30_000

/** Starts the token service: opens its keys, and makes the first one. Throws where that cannot be. */
export async function createTokenService(options: TokenServiceOptions): Promise<TokenService> {
  const { settings, store, counters, now, log, tell } = options
  const { issuer } = settings
  const ring = await options.vault()
  const accounts = createAccounts({ store, counters, vault: options.vault, now, tell, settings })
  const pages = createPages(settings)
  /** Asked only of requests that came through `handle`. */
  const addressOf = (request: IncomingMessage) => callers.get(request)?.address ?? ''
  const resources = resourcesOf(settings, options.apis, options.onlyNamed ?? [])
  /** Longer than any access token lives. */
  const tokenMs = settings.accessTtl + 60_000
  const shown = new Map<string, AdapterPayload>()
  const callers = new WeakMap<object, From>()

  const clients = createClients({
    store,
    configured: settings.clients,
    profile: settings.profile,
    now,
    endTokens: (client) => endFamily(store, issuer, `client:${client}`, forGood, tokenMs),
  })
  const grantStore = createGrantStore({
    store,
    ring,
    log,
    async findClient(id) {
      const [metadata, own] = await Promise.all([clients.metadata(id), clients.settings(id)])
      if (metadata === undefined || own === undefined) return undefined
      const { scopes, resources: apis, roles, plan, bounds, trusted, accessTtl } = own
      return {
        ...metadata,
        [ownProperty]: { id, scopes, resources: apis, roles, plan, bounds, trusted, accessTtl },
      } as AdapterPayload
    },
    findShown: (standIn) => shown.get(standIn),
    endShown: (jti) => endToken(jti),
    endGrant: (id) => endFamily(store, issuer, `grant:${id}`, forGood, tokenMs),
    onRace: (model) => log.warn('A code or token was shown twice at the same moment.', { model }),
  })

  /** Ends one token and what was exchanged for it: a token without a grant is the head of its own family. */
  async function endToken(jti: string): Promise<void> {
    await revokeToken(store, issuer, jti, tokenMs)
    await endFamily(store, issuer, `grant:${jti}`, forGood, tokenMs)
  }

  const cookieSecrets = await ring.secrets('identity/cookies', 32)
  const nonceSecret = await ring.secret('identity/dpop-nonce', 32)

  async function rightsOf(subject: string): Promise<Rights | undefined> {
    return accounts.find(subject)
  }

  let keys: KeysNow
  let published: { readonly keys: readonly PublicJwk[] }
  /** Keeps imported keys, so it is made once for each set. */
  let keySet: ReturnType<typeof createLocalJWKSet>
  let provider: Provider
  let renewing: Promise<void> | undefined
  /** Told while the record was being read: what was read may be the one before. */
  let again = false
  let timer: NodeJS.Timeout | undefined
  let closed = false

  async function renew(): Promise<void> {
    const next = await currentKeys({ store, ring, now, log, settings })
    if (closed) return
    if (provider === undefined || next.fingerprint !== keys.fingerprint) {
      keys = next
      published = { keys: next.publicKeys }
      keySet = createLocalJWKSet({ keys: next.publicKeys as never })
      provider = createProvider(providerOptions())
    }
    keys = next
    clearTimeout(timer)
    // At most a day: a longer timer would hold through a change of the clock.
    timer = setTimeout(renewLater, Math.min(86_400_000, Math.max(1_000, next.changesAt - now()))).unref()
  }

  function renewLater(): void {
    again = renewing !== undefined
    renewing ??= renew()
      .catch((error: unknown) => {
        log.error('The signing keys cannot be read; the known ones stay in use.', { error: messageOf(error) })
        clearTimeout(timer)
        if (!closed) timer = setTimeout(renewLater, keysRetryMs).unref()
      })
      .finally(() => {
        renewing = undefined
        if (again && !closed) renewLater()
      })
  }

  function providerOptions(): ProviderOptions {
    return {
      settings,
      resources,
      apiAt: options.apiAt,
      keys,
      adapterFor: grantStore.adapterFor,
      once: (id, seconds) => grantStore.once(id, seconds),
      cookieSecrets,
      nonceSecret,
      people: peopleConfiguration({ accounts, pages, settings, addressOf }),
      authentication: authenticationClaims,
      rightsOf,
      endedAt,
      fromOf: (context: KoaContextWithOIDC) => callers.get(context.req),
      readAccessToken,
      now,
      log,
      tell,
    }
  }

  /** Reads an access token of this service; `undefined` when it is not good: by form, signature, time, or revoked. */
  async function readAccessToken(token: string): Promise<JWTPayload | undefined> {
    let payload: JWTPayload
    try {
      const verified = await jwtVerify(token, keySet, {
        issuer,
        typ: 'at+jwt',
        algorithms: ['ES256', 'PS256', 'RS256', 'EdDSA'],
        currentDate: new Date(now()),
        requiredClaims: ['exp', 'iat', 'sub', 'aud', 'jti', 'client_id'],
      })
      payload = verified.payload
    } catch {
      return undefined
    }
    return (await isOver(payload)) ? undefined : payload
  }

  /** When a family ended, as far as tokens of it may live still. */
  async function endedAt(family: Family): Promise<number | undefined> {
    const ended = (await store.get(revokedTokensPrefix + tokenIdOf(issuer, family))) as { before?: number } | undefined
    return ended?.before
  }

  async function isOver({ jti, iat, sub, client_id: client, grant_id: grant }: JWTPayload): Promise<boolean> {
    if ((await store.get(revokedTokensPrefix + tokenIdOf(issuer, jti!))) !== undefined) return true
    for (const family of [`grant:${grant}`, `client:${client}`, `subject:${sub}`] as const) {
      const ended = (await store.get(revokedTokensPrefix + tokenIdOf(issuer, family))) as
        | { before?: number }
        | undefined
      if (ended?.before !== undefined && iat! * 1_000 <= ended.before) return true
    }
    // A client that is no more has no tokens, whoever took it away and however.
    return (await clients.metadata(String(client))) === undefined
  }

  /** All of them, however many others there are. */
  async function endGrants(filter: { readonly subject?: string; readonly client?: string }): Promise<void> {
    let found: readonly StoredGrant[]
    do {
      found = await grants.list(filter)
      for (const { id } of found) await grantStore.end(id)
    } while (found.length === grantsMax)
  }

  const grants: Grants = {
    async list({ subject, client } = {}) {
      return grantStore.list(
        grantsMax,
        (grant) =>
          (subject === undefined || grant.subject === subject) && (client === undefined || grant.client === client),
      )
    },
    revoke: (id) => grantStore.end(id),
    async revokeSubject(subject) {
      // Grants first: what is issued after the end of a family is new, if its grant stands.
      await endGrants({ subject })
      await endFamily(store, issuer, `subject:${subject}`, now(), tokenMs)
    },
    async revokeClient(client) {
      // Grants first: what is issued after the end of a family is new, if its grant stands.
      await endGrants({ client })
      await endFamily(store, issuer, `client:${client}`, now(), tokenMs)
    },
  }

  await renew()
  const leave = accounts.onEnd((name) =>
    grants
      .revokeSubject(name)
      .catch((error: unknown) =>
        log.error('Tokens of somebody whose password changed were not ended.', { error: messageOf(error) }),
      ),
  )
  const stop = store.onChange((key) => {
    if (key === undefined || key === signingKeysRecord) renewLater()
  })

  const front = createFront({
    settings,
    counters,
    now,
    log,
    tell,
    provider: () => provider,
    readAccessToken,
    shown,
    callers,
    pages: interactionRoutes({
      provider: () => provider,
      accounts,
      pages,
      settings,
      store,
      vault: options.vault,
      tell,
      log,
      addressOf,
      describeScope: (scope) => settings.scopes[scope],
    }),
  })

  return {
    issuer,
    jwks: () => published,
    audienceFor: (api) => resources[api]?.audience ?? audienceOf(issuer, api),
    algorithms: ['ES256', 'PS256', 'RS256', 'EdDSA'],
    clients,
    accounts,
    grants,
    handle: front.handle,
    takes: front.takes,
    routeOf: front.routeOf,
    async close() {
      closed = true
      stop()
      clearTimeout(timer)
      leave()
      await renewing
      accounts.close()
    },
  }
}

/** Every API is a resource of its own; the configuration may name more. */
function resourcesOf(
  settings: ServiceSettings,
  apis: readonly string[],
  onlyNamed: readonly string[],
): Readonly<Record<string, Resource>> {
  const names = [...new Set([...apis, ...Object.keys(settings.resources)])]
  return Object.fromEntries(
    names.map((name) => {
      const { audience, scopes, accessTtl } = settings.resources[name] ?? {}
      return [
        name,
        {
          audience: audience ?? audienceOf(settings.issuer, name),
          scopes,
          accessTtl,
          onlyNamed: onlyNamed.includes(name),
        },
      ]
    }),
  )
}

/** What stands in `aud` where the configuration does not say (RFC 8707, 2: an absolute URI). */
function audienceOf(issuer: string, api: string): string {
  return `${new URL(issuer).origin}/${api}`
}

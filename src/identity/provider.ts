import 'reflect-metadata'
import { Name, X509Certificate as NamedCertificate, SubjectAlternativeNameExtension } from '@peculiar/x509'
import { type Configuration, errors, type KoaContextWithOIDC, Provider } from 'oidc-provider'
import type { Clock } from '../base/clock.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import { boundsClaim, claimOfBounds } from '../credentials/bounds.ts'
import type { Family } from '../credentials/revoked-tokens.ts'
import type { AdapterFactory } from './adapter.ts'
import { type Client, secretMatches } from './clients.ts'
import { registerExchange } from './exchange.ts'
import type { ServiceSettings } from './issuer.ts'
import { idTokenMs, type KeysNow } from './signing-keys.ts'

/** An API that tokens can be for. */
export interface Resource {
  readonly audience: string
  readonly scopes: readonly string[] | undefined
  readonly accessTtl: number | undefined
  /** Whether only clients that name it get tokens for it: "all APIs" does not mean this one. */
  readonly onlyNamed: boolean
}

/** What is known of a caller beside what it sent. */
export interface From {
  /** The honest client address. */
  readonly address: string
  /** The client certificate that TLS verified, as DER. */
  readonly certificate: Buffer | undefined
}

/** The rights of a person, for tokens. */
export interface Rights {
  readonly roles: readonly string[]
  /** What applications may do at most for this person; empty: whatever they are let. */
  readonly scopes: readonly string[]
}

export interface ProviderOptions {
  readonly settings: ServiceSettings
  readonly resources: Readonly<Record<string, Resource>>
  /** The API that is meant by where it stands, as its metadata says (RFC 9728, 2), where that is not its audience. */
  readonly apiAt?: ((resource: string) => string | undefined) | undefined
  readonly keys: KeysNow
  readonly adapterFor: AdapterFactory
  /** Whether this is the first time that somebody shows this, within so many seconds, in all processes together. */
  readonly once: (id: string, seconds: number) => Promise<boolean>
  /** Cookies are signed with the first, and known by all. */
  readonly cookieSecrets: readonly Uint8Array[]
  readonly nonceSecret: Uint8Array
  /** Sign-in, consent and the other pages. */
  readonly people: Partial<Configuration>
  /** How somebody proved who they are, for tokens (RFC 9068, 2.2.1). */
  readonly authentication: (context: KoaContextWithOIDC, token: object) => Record<string, unknown>
  readonly rightsOf: (subject: string) => Promise<Rights | undefined>
  /** When a family of tokens ended, in milliseconds. */
  readonly endedAt: (family: Family) => Promise<number | undefined>
  /** What is known of the request a context belongs to. */
  readonly fromOf: (context: KoaContextWithOIDC) => From | undefined
  /** Reads an access token of this service; `undefined` when it is not good, whatever the reason. */
  readonly readAccessToken: (token: string) => Promise<Readonly<Record<string, unknown>> | undefined>
  readonly now: Clock
  readonly log: Logger
  readonly tell: Tell
}

/** The part of a client that is ours, on the provider's client. */
export type OwnSettings = Pick<
  Client,
  'id' | 'scopes' | 'resources' | 'roles' | 'plan' | 'bounds' | 'trusted' | 'accessTtl'
>

/** Under which name it stands there. */
export const ownProperty = 'portcullis'

export function ownSettings(client: object | undefined): OwnSettings | undefined {
  return (client as { readonly [ownProperty]?: OwnSettings } | undefined)?.[ownProperty]
}

const openIdScopes = ['openid', 'offline_access', 'profile']
const minute = 60
/** How far the clocks of two machines may differ, in seconds. */
const lateMax = 5
const standardAlgorithms = ['ES256', 'PS256', 'EdDSA', 'Ed25519', 'RS256'] as const
/** FAPI 2.0 Security Profile, 5.4.1. */
const strictAlgorithms = ['ES256', 'PS256', 'EdDSA', 'Ed25519'] as const

/** Paths of the endpoints below the issuer. */
export const routes = {
  authorization: '/auth',
  code_verification: '/device',
  device_authorization: '/device/auth',
  end_session: '/session/end',
  introspection: '/introspect',
  jwks: '/jwks',
  pushed_authorization_request: '/par',
  revocation: '/revoke',
  token: '/token',
  userinfo: '/userinfo',
} as const

/** The authorization server for one set of keys. All it knows is in its storage, so another one can take over at any time. */
export function createProvider(options: ProviderOptions): Provider {
  const { settings, resources, keys, people, now, log, tell } = options
  const fapi = settings.profile === 'fapi2'
  const secure = settings.issuer.startsWith('https:')
  const algorithms = [...(fapi ? strictAlgorithms : standardAlgorithms)]
  const byAudience = new Map(Object.entries(resources).map(([api, resource]) => [resource.audience, { api, resource }]))
  const cookie = { httpOnly: true, sameSite: 'lax', signed: true, secure } as const

  function resourceFor(name: string): { readonly api: string; readonly resource: Resource } | undefined {
    const known = byAudience.get(name)
    if (known !== undefined) return known
    const api = options.apiAt?.(name)
    const resource = api === undefined || !Object.hasOwn(resources, api) ? undefined : resources[api]
    return resource === undefined ? undefined : { api: api!, resource }
  }

  /** The API a client means when it does not say. */
  function defaultAudience(own: OwnSettings | undefined): string | undefined {
    const [name] = own?.resources ?? Object.keys(resources).filter((api) => resources[api]?.onlyNamed !== true)
    return name === undefined ? undefined : resources[name]?.audience
  }

  const config: Configuration = {
    acrValues: [],
    adapter: options.adapterFor,
    claims: {
      acr: null,
      amr: null,
      auth_time: null,
      iss: null,
      sid: null,
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
    },
    clientAuthMethods: fapi
      ? ['private_key_jwt', 'tls_client_auth']
      : ['client_secret_basic', 'client_secret_post', 'private_key_jwt', 'tls_client_auth', 'none'],
    clientBasedCORS: (_, origin, client) =>
      client.redirectUris?.some((uri) => URL.parse(uri)?.origin === origin) === true &&
      client.clientAuthMethod === 'none',
    clientDefaults: {
      grant_types: ['authorization_code'],
      id_token_signed_response_alg: settings.signing,
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    },
    clockTolerance: 5,
    cookies: {
      keys: options.cookieSecrets.map((secret) => Buffer.from(secret).toString('base64url')),
      // `__Host-` needs the path `/` (RFC 6265bis, 4.1.3.2); the two short ones are kept to the page they are for.
      names: secure
        ? {
            session: '__Host-portcullis-session',
            interaction: '__Secure-portcullis-step',
            resume: '__Secure-portcullis-resume',
          }
        : { session: 'portcullis-session', interaction: 'portcullis-step', resume: 'portcullis-resume' },
      long: { ...cookie, path: '/' },
      short: cookie,
    },
    enabledJWA: {
      clientAuthSigningAlgValues: algorithms,
      dPoPSigningAlgValues: ['ES256', 'PS256', 'EdDSA', 'Ed25519'],
      idTokenSigningAlgValues: algorithms,
      userinfoSigningAlgValues: algorithms,
      introspectionSigningAlgValues: algorithms,
      authorizationSigningAlgValues: algorithms,
      requestObjectSigningAlgValues: algorithms,
    },
    expiresWithSession: async () => false,
    extraClientMetadata: { properties: [ownProperty] },
    extraTokenClaims: (context, token) => claimsOf(context, token),
    features: {
      claimsParameter: { enabled: false },
      clientCredentials: { enabled: true },
      deviceFlow: { enabled: true },
      devInteractions: { enabled: false },
      dPoP: {
        enabled: true,
        nonceSecret: Buffer.from(options.nonceSecret),
        requireNonce: () => settings.dpopNonce === 'required',
      },
      ...(fapi ? { fapi: { enabled: true, profile: '2.0' } } : {}),
      introspection: {
        enabled: true,
        // A refresh token is nobody's business but its own client's; an access token is for whoever can be asked to take it.
        allowedPolicy: async (_, client, token) =>
          token.clientId === client.clientId || (token.kind !== 'RefreshToken' && client.clientAuthMethod !== 'none'),
      },
      mTLS: {
        enabled: true,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: false,
        tlsClientAuth: true,
        getCertificate: (context) => options.fromOf(context)?.certificate?.toString('base64') as never,
        // The listener hands on none that it has not verified.
        certificateAuthorized: (context) => options.fromOf(context)?.certificate !== undefined,
        certificateSubjectMatches: (context, property, expected) =>
          subjectMatches(options.fromOf(context)?.certificate, property, expected),
      },
      pushedAuthorizationRequests: { enabled: true, requirePushedAuthorizationRequests: fapi },
      resourceIndicators: {
        enabled: true,
        async defaultResource(context, client, oneOf) {
          if (oneOf !== undefined) return oneOf[0]!
          const { scope, grant_type } = context.oidc.params ?? {}
          const asked = typeof scope === 'string' ? scope.split(' ') : []
          // Who only wants to know who somebody is needs no token for an API.
          if (grant_type !== 'client_credentials' && asked.every((word) => openIdScopes.includes(word))) return []
          return defaultAudience(ownSettings(client)) ?? []
        },
        useGrantedResource: async () => true,
        async getResourceServerInfo(context, audience, client) {
          const found = resourceFor(audience)
          const own = ownSettings(client)
          if (found === undefined || own === undefined || !mayHave(own, found)) {
            throw new errors.InvalidTarget('no such resource, or not for this client')
          }
          const { resource } = found
          const scopes = own.scopes.filter((scope) => resource.scopes?.includes(scope) !== false)
          const { params } = context.oidc
          // RFC 6749, 3.3: who does not say gets a default: all that this client may have.
          if (params?.grant_type === 'client_credentials' && params.scope === undefined) params.scope = scopes.join(' ')
          return {
            audience: resource.audience,
            scope: scopes.join(' '),
            accessTokenTTL: Math.floor(accessTtlOf(resource, own) / 1_000),
            accessTokenFormat: 'jwt',
            jwt: { sign: { alg: settings.signing } },
          }
        },
      },
      revocation: {
        enabled: true,
        // A client that holds a token of another one has no business with it; it learns nothing of it either (RFC 7009, 2.1).
        allowedPolicy: async (_, client, token) => token.clientId === client.clientId,
      },
      rpInitiatedLogout: { enabled: true },
      userinfo: { enabled: true },
    },
    findAccount: async (_, subject) => ({ accountId: subject, claims: async () => ({ sub: subject }) }),
    formats: {
      customizers: {
        async jwt(_, token, parts) {
          const subject = 'accountId' in token && typeof token.accountId === 'string' ? token.accountId : undefined
          const rights = await options.rightsOf(subject ?? String(token.clientId))
          // `sub` would say that it is this person who asks (RFC 9700, 4.15).
          if (subject === undefined && rights !== undefined) {
            log.warn('A client has the name of a user, and gets no tokens of its own.', { client: token.clientId })
            throw new errors.UnauthorizedClient('this client has the name of a user')
          }
          const scopes = subject === undefined ? [] : (rights?.scopes ?? [])
          const { payload } = parts as { payload: Record<string, unknown> & { iat: number; exp: number } }
          await dateAfterEnd(payload, subject, 'grantId' in token ? (token.grantId as string | undefined) : undefined)
          // What somebody may not do, no application may do for them.
          if (scopes.length > 0 && typeof payload.scope === 'string') {
            payload.scope = payload.scope
              .split(' ')
              .filter((scope) => scopes.includes(scope))
              .join(' ')
          }
        },
      },
    },
    async loadExistingGrant(context) {
      const { client, session, result, provider: own, resourceServers } = context.oidc
      const id = result?.consent?.grantId ?? session?.grantIdFor(client!.clientId)
      const existing = id === undefined ? undefined : await own.Grant.find(id)
      if (ownSettings(client)?.trusted !== true || session?.accountId === undefined) return existing
      const stands = existing !== undefined && existing.accountId === session.accountId
      const grant = stands ? existing : new own.Grant({ clientId: client!.clientId, accountId: session.accountId })
      // Whoever runs the service runs this application, too: there is nobody to agree with.
      grant.addOIDCScope([...context.oidc.requestParamOIDCScopes].join(' '))
      for (const [audience, { scopes }] of Object.entries(resourceServers ?? {})) {
        grant.addResourceScope(
          audience,
          [...context.oidc.requestParamScopes].filter((one) => scopes.has(one)).join(' '),
        )
      }
      await grant.save()
      return grant
    },
    issueRefreshToken: async (_, client) => client.grantTypeAllowed('refresh_token'),
    jwks: { keys: [...keys.keys] },
    pkce: { required: () => true },
    renderError: (context, out) => {
      context.type = 'text/plain'
      context.body = `${out.error}: ${out.error_description ?? ''}`
    },
    responseTypes: ['code'],
    // Refreshing must not change what a profile of bound tokens asks for (FAPI 2.0 Security Profile, 5.3.2.1).
    rotateRefreshToken: (context) => {
      const { RefreshToken: token } = context.oidc.entities
      return token?.isSenderConstrained() === true ? settings.rotate && !fapi : true
    },
    routes,
    scopes: openIdScopes,
    ttl: {
      AccessToken: (_, token, client) => token.resourceServer?.accessTokenTTL ?? accessSeconds(client),
      AuthorizationCode: minute,
      ClientCredentials: (_, token, client) => token.resourceServer?.accessTokenTTL ?? accessSeconds(client),
      DeviceCode: 10 * minute,
      Grant: 366 * 24 * 60 * minute,
      IdToken: idTokenMs / 1_000,
      Interaction: 30 * minute,
      RefreshToken: Math.floor(settings.refreshTtl / 1_000),
      // One that nobody is signed in with is only a place for the next step.
      Session: (_, session) =>
        session.accountId === undefined ? 60 * minute : Math.floor(settings.sessionTtl / 1_000),
    },
  }

  /**
   * `iat` counts seconds, and the end of a family takes every token of its second. Whoever signs in again in that second
   * gets a token of the next one; a token whose grant ended meanwhile stays where it is, and is over.
   */
  async function dateAfterEnd(
    payload: Record<string, unknown> & { iat: number; exp: number },
    subject: string | undefined,
    grantId: string | undefined,
  ): Promise<void> {
    const family: Family = subject === undefined ? `client:${payload.client_id}` : `subject:${subject}`
    const ended = await options.endedAt(family)
    if (ended === undefined) return
    const late = Math.floor(ended / 1_000) + 1 - payload.iat
    if (late < 1 || late > lateMax) return
    if (grantId !== undefined && (await provider.Grant.find(grantId)) === undefined) return
    payload.iat += late
    payload.exp += late
  }

  function mayHave({ resources: named }: OwnSettings, { api, resource }: { api: string; resource: Resource }): boolean {
    return named === undefined ? !resource.onlyNamed : named.includes(api)
  }

  function accessTtlOf(resource: Resource | undefined, own: OwnSettings | undefined): number {
    return Math.min(settings.accessTtl, resource?.accessTtl ?? settings.accessTtl, own?.accessTtl ?? settings.accessTtl)
  }

  function accessSeconds(client: object | undefined): number {
    return Math.floor(accessTtlOf(undefined, ownSettings(client)) / 1_000)
  }

  async function claimsOf(context: KoaContextWithOIDC, token: object): Promise<Record<string, unknown>> {
    const { accountId, grantId, jti, client } = token as {
      readonly accountId?: string
      readonly grantId?: string
      readonly jti?: string
      readonly client?: object
    }
    const own = ownSettings(client)
    const given = exchange.claimsOf(token)
    const bounds = claimOfBounds([given?.[boundsClaim], own?.bounds])
    const rights = accountId === undefined ? { roles: own?.roles ?? [] } : await options.rightsOf(accountId)
    return {
      ...options.authentication(context, token),
      ...(rights === undefined || rights.roles.length === 0 ? {} : { roles: rights.roles }),
      ...(own?.plan === undefined ? {} : { plan: own.plan }),
      // The name of the family: what ends the grant ends all tokens with its name. A token without one is its own family.
      grant_id: grantId ?? jti,
      ...given,
      ...(bounds === undefined ? {} : { [boundsClaim]: bounds }),
    }
  }

  const provider = new Provider(settings.issuer, merged(config, people))
  // The front says what the scheme, host and address of a request are; nothing else is in these headers.
  provider.proxy = true
  provider.Client.prototype.compareClientSecret = function compareClientSecret(shown: string) {
    return secretMatches(shown, this.clientSecret, now())
  }
  // The provider looks first and writes then, so that of two that show one proof at the same moment both would be first.
  provider.ReplayDetection.unique = (issuer: string, jti: string, exp: number) =>
    options.once(`${issuer}\0${jti}`, exp - Math.floor(Date.now() / 1_000))
  const exchange = registerExchange(provider, { ...options, resourceFor })
  provider.on('server_error', (context, error) =>
    log.error('The token service failed.', { route: context.oidc?.route, error: error.stack ?? error.message }),
  )
  const told = (event: 'token.refresh-reused' | 'token.code-replayed', context: KoaContextWithOIDC) => {
    const { Client: client, RefreshToken: refresh, AuthorizationCode: code } = context.oidc.entities
    const token = event === 'token.refresh-reused' ? refresh : code
    const address = options.fromOf(context)?.address
    tell({
      event,
      ...(token?.accountId === undefined ? {} : { subject: token.accountId }),
      ...(client === undefined ? {} : { client: client.clientId }),
      ...(address === undefined ? {} : { address }),
      ...(token?.grantId === undefined ? {} : { id: token.grantId }),
    })
  }
  provider.on('grant.error', (context, error) => {
    const detail = error.error_detail
    if (detail === 'refresh token already used') told('token.refresh-reused', context)
    else if (detail === 'authorization code already consumed') told('token.code-replayed', context)
    else if (detail === 'already used') {
      const isRefresh = context.oidc.params?.grant_type === 'refresh_token'
      told(isRefresh ? 'token.refresh-reused' : 'token.code-replayed', context)
    }
  })
  return provider
}

/** The settings of people over ours, down to single features. */
function merged(config: Configuration, people: Partial<Configuration>): Configuration {
  const features: Record<string, unknown> = { ...config.features }
  for (const [name, feature] of Object.entries(people.features ?? {})) {
    features[name] = { ...(features[name] as object | undefined), ...(feature as object) }
  }
  return { ...config, ...people, features: features as Configuration['features'] }
}

/** RFC 8705, 2.1.2. Names are compared as a whole; nothing is a pattern. */
function subjectMatches(certificate: Buffer | undefined, property: string, expected: string): boolean {
  if (certificate === undefined) return false
  const named = new NamedCertificate(new Uint8Array(certificate))
  if (property === 'tls_client_auth_subject_dn') return named.subjectName.toString() === new Name(expected).toString()
  const kinds: Readonly<Record<string, string>> = {
    tls_client_auth_san_dns: 'dns',
    tls_client_auth_san_uri: 'url',
    tls_client_auth_san_ip: 'ip',
    tls_client_auth_san_email: 'email',
  }
  const names = named.getExtension(SubjectAlternativeNameExtension)?.names.items ?? []
  return names.some(({ type, value }) => type === kinds[property] && value === expected)
}

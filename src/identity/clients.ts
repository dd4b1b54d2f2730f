import { hash, randomBytes } from 'node:crypto'
import type { AdapterPayload } from 'oidc-provider'
import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import {
  type ClientSettings,
  clientName,
  clientShape,
  type GrantName,
  type TokenServiceSettings,
} from '../config/token-service.ts'
import { checkedBounds } from '../credentials/bounds.ts'
import { base62, constantTimeEqual } from '../credentials/secret.ts'
import type { Store, Value } from '../store/store.ts'

/** An application that may ask for tokens, as lists show it: never with its secret. */
export interface Client extends Omit<ClientSettings, 'secret'> {
  readonly id: string
  /** Where it was made: in the configuration, or by a command. */
  readonly from: 'configuration' | 'store'
  readonly createdAt: number | undefined
  readonly rotatedAt: number | undefined
  readonly revokedAt: number | undefined
}

/** A new client or a new secret. The secret is shown this once; only its hash is kept. */
export interface IssuedClient {
  readonly client: Client
  readonly secret: string | undefined
}

export type NewClient = Partial<Omit<ClientSettings, 'secret'>>

export interface Clients {
  create(id: string, input: NewClient): Promise<IssuedClient>
  find(id: string): Promise<Client | undefined>
  /** Those of the configuration first, then those of the store by id; revoked ones among them. */
  list(): Promise<readonly Client[]>
  /** A new secret; the old one works `graceMs` more. `undefined`: there is no such client with a secret in the store. */
  rotate(id: string, options?: { readonly graceMs?: number }): Promise<IssuedClient | undefined>
  /** Ends a client for good, and with it what it was given. `undefined`: there is none in the store. */
  revoke(id: string): Promise<Client | undefined>
}

/** The door of the provider to clients. */
export interface ClientDirectory extends Clients {
  /** The client as the provider reads it; `undefined` for unknown and revoked ones. */
  metadata(id: string): Promise<AdapterPayload | undefined>
  /** What was said of a client that may act now. */
  settings(id: string): Promise<Client | undefined>
}

type StoredSettings = Omit<ClientSettings, 'secret'>

interface StoredClient {
  readonly id: string
  readonly settings: StoredSettings
  readonly hash?: string | undefined
  readonly previous?: { readonly hash: string; readonly until: number } | undefined
  readonly createdAt: number
  readonly rotatedAt?: number | undefined
  readonly revokedAt?: number | undefined
}

export interface ClientsOptions {
  readonly store: Store
  readonly configured: Readonly<Record<string, ClientSettings>>
  /** `fapi2`: no secrets, and no token that is not bound to a key (FAPI 2.0 Security Profile, 5.3.2.1). */
  readonly profile?: TokenServiceSettings['profile']
  readonly now: Clock
  /** Ends all tokens of a client, in every process. */
  readonly endTokens: (client: string) => Promise<void>
}

const prefix = 'oauth-client/'
const triesMax = 100
const listMax = 10_000

const grantTypes: Readonly<Record<GrantName, string>> = {
  client_credentials: 'client_credentials',
  authorization_code: 'authorization_code',
  refresh_token: 'refresh_token',
  device_code: 'urn:ietf:params:oauth:grant-type:device_code',
  token_exchange: 'urn:ietf:params:oauth:grant-type:token-exchange',
}

export function createClients({ store, configured, profile, now, endTokens }: ClientsOptions): ClientDirectory {
  const strict = profile === 'fapi2'
  for (const [id, settings] of Object.entries(configured)) {
    checkClient(settings, `tokenService.clients.${id}`, true)
    if (strict) checkStrict(settings, `tokenService.clients.${id}`)
  }

  async function stored(id: string): Promise<StoredClient | undefined> {
    if (!clientName.safeParse(id).success) return undefined
    return ((await store.get(prefix + id)) as unknown as StoredClient | undefined) ?? undefined
  }

  /** Reads, changes and writes, again while others write in between. */
  async function update(id: string, change: (old: StoredClient) => StoredClient | undefined) {
    for (let tries = 0; tries < triesMax; tries++) {
      const old = await stored(id)
      const next = old === undefined ? undefined : change(old)
      if (old === undefined || next === undefined || next === old) return next
      if (await store.put(prefix + id, next as unknown as Value, { onlyIfEquals: old as unknown as Value })) return next
    }
    throw new Error(`the client ${id} is being changed by others; try again`)
  }

  const ofConfiguration = (id: string) => (Object.hasOwn(configured, id) ? configured[id] : undefined)

  async function find(id: string): Promise<Client | undefined> {
    const own = ofConfiguration(id)
    if (own !== undefined) return shownConfigured(id, own)
    const record = await stored(id)
    return record === undefined ? undefined : shown(record)
  }

  return {
    find,
    async settings(id) {
      const client = await find(id)
      return client?.revokedAt === undefined ? client : undefined
    },
    async metadata(id) {
      const own = ofConfiguration(id)
      if (own !== undefined) {
        return metadataOf(id, bounded(own, strict), own.secret === undefined ? [] : [{ hash: hashOf(own.secret) }])
      }
      const record = await stored(id)
      if (record === undefined || record.revokedAt !== undefined) return undefined
      const hashes = record.hash === undefined ? [] : [{ hash: record.hash }]
      const all = record.previous === undefined ? hashes : [...hashes, record.previous]
      return metadataOf(id, bounded(record.settings, strict), all)
    },
    async create(id, input) {
      if (!clientName.safeParse(id).success) {
        throw new ConfigError('P1061', `"${id}" is no name for a client`, {
          hint: 'up to 100 letters, digits, dots, dashes or underscores',
        })
      }
      const parsed = clientShape.safeParse(input)
      if (!parsed.success) {
        const [issue] = parsed.error.issues
        throw new ConfigError('P1061', `client ${id}: ${issue!.path.join('.')}: ${issue!.message}`)
      }
      const { secret: _, ...settings } = parsed.data
      checkClient(settings, `client ${id}`, false)
      if (strict) checkStrict(settings, `client ${id}`)
      const secret = settings.auth === 'secret' ? newSecret() : undefined
      const record: StoredClient = {
        id,
        settings,
        ...(secret === undefined ? {} : { hash: hashOf(secret) }),
        createdAt: now(),
      }
      const free = ofConfiguration(id) === undefined
      // A revoked client keeps its name: another one must not inherit its tokens.
      if (!free || !(await store.put(prefix + id, record as unknown as Value, { onlyIfAbsent: true }))) {
        throw new ConfigError('P1061', `there is a client called ${id} already, or there was`, {
          hint: 'choose another name; `portcullis client list` shows them',
        })
      }
      return { client: shown(record), secret }
    },
    async list() {
      const entries = await store.list(prefix, { limit: listMax })
      return [
        ...Object.entries(configured).map(([id, settings]) => shownConfigured(id, settings)),
        ...entries.map(({ value }) => shown(value as unknown as StoredClient)),
      ]
    },
    async rotate(id, { graceMs = 0 } = {}) {
      const secret = newSecret()
      const record = await update(id, (old) => {
        if (old.revokedAt !== undefined || old.hash === undefined) return undefined
        const { previous: _, ...rest } = old
        const at = now()
        return {
          ...rest,
          hash: hashOf(secret),
          rotatedAt: at,
          ...(graceMs > 0 ? { previous: { hash: old.hash, until: at + graceMs } } : {}),
        }
      })
      return record === undefined ? undefined : { client: shown(record), secret }
    },
    async revoke(id) {
      const record = await update(id, (old) => (old.revokedAt === undefined ? { ...old, revokedAt: now() } : old))
      if (record === undefined) return undefined
      await endTokens(id)
      return shown(record)
    },
  }
}

/** Whether a secret is one of those whose hashes the provider holds in the place of the secret. */
export function secretMatches(secret: unknown, hashes: string | undefined, now: number): boolean {
  if (typeof secret !== 'string' || hashes === undefined) return false
  const shown = hashOf(secret)
  let matches = false
  for (const entry of JSON.parse(hashes) as readonly { readonly hash: string; readonly until?: number }[]) {
    const equal = constantTimeEqual(entry.hash, shown)
    if (equal && (entry.until === undefined || now < entry.until)) matches = true
  }
  return matches
}

/** SHA-256 and no slow hash: a secret of 256 random bits cannot be tried out (NIST SP 800-63B, 5.1.2.2). */
function hashOf(secret: string): string {
  return hash('sha256', `portcullis client\0${secret}`, 'base64url')
}

function newSecret(): string {
  return `pcs_${base62(randomBytes(32), 43)}`
}

type Hashes = readonly { readonly hash: string; readonly until?: number }[]

/** OpenID Connect Dynamic Client Registration, 2: the words that the provider reads. */
function metadataOf(id: string, settings: StoredSettings, hashes: Hashes): AdapterPayload {
  const { grants, auth, certificate, redirects, native, bound } = settings
  return {
    client_id: id,
    client_name: settings.name ?? id,
    application_type: native ? 'native' : 'web',
    grant_types: grants.map((grant) => grantTypes[grant]),
    response_types: grants.includes('authorization_code') ? ['code'] : [],
    redirect_uris: [...redirects],
    post_logout_redirect_uris: [...settings.signedOut],
    token_endpoint_auth_method: authMethods[auth],
    ...(auth === 'secret' ? { client_secret: JSON.stringify(hashes) } : {}),
    ...(settings.jwks === undefined ? {} : { jwks: settings.jwks as never }),
    ...(certificate?.subject === undefined ? {} : { tls_client_auth_subject_dn: certificate.subject }),
    ...(certificate?.dns === undefined ? {} : { tls_client_auth_san_dns: certificate.dns }),
    ...(certificate?.uri === undefined ? {} : { tls_client_auth_san_uri: certificate.uri }),
    ...(certificate?.ip === undefined ? {} : { tls_client_auth_san_ip: certificate.ip }),
    ...(certificate?.email === undefined ? {} : { tls_client_auth_san_email: certificate.email }),
    ...(bound === 'dpop' ? { dpop_bound_access_tokens: true } : {}),
    ...(bound === 'mtls' ? { tls_client_certificate_bound_access_tokens: true } : {}),
  } as AdapterPayload
}

const authMethods = {
  secret: 'client_secret_basic',
  private_key_jwt: 'private_key_jwt',
  mtls: 'tls_client_auth',
  none: 'none',
} as const satisfies Record<ClientSettings['auth'], string>

/** How the parts of a client go together. Throws `ConfigError`. */
function checkClient(
  settings: Partial<Pick<ClientSettings, 'secret'>> & StoredSettings,
  at: string,
  ownSecret: boolean,
) {
  const { auth, grants, redirects, native } = settings
  const complain = (message: string, hint?: string) => {
    throw new ConfigError('P1061', `${at}: ${message}`, hint === undefined ? {} : { hint })
  }
  if (ownSecret && auth === 'secret' && settings.secret === undefined) {
    complain('has no secret', 'secret: ${MY_CLIENT_SECRET}, or make it with `portcullis client create`')
  }
  if (auth !== 'secret' && settings.secret !== undefined) complain(`has a secret that \`auth: ${auth}\` does not use`)
  if (settings.bounds !== undefined) {
    try {
      checkedBounds(settings.bounds)
    } catch (error) {
      complain(`bounds: ${messageOf(error)}`)
    }
  }
  if (auth === 'private_key_jwt' && settings.jwks === undefined) complain('`auth: private_key_jwt` needs `jwks`')
  if (auth === 'mtls' && settings.certificate === undefined) complain('`auth: mtls` needs `certificate`')
  if (grants.includes('authorization_code') && redirects.length === 0) {
    complain('`authorization_code` needs `redirects`', 'redirects: [https://app.example.com/callback]')
  }
  if (auth === 'none' && (grants.includes('client_credentials') || grants.includes('token_exchange'))) {
    complain('a client that proves nothing cannot act for itself', 'choose another `auth`, or other `grants`')
  }
  for (const [index, redirect] of redirects.entries()) {
    const { protocol, hostname } = new URL(redirect)
    const loopback = protocol === 'http:' && /^(127\.0\.0\.1|\[::1\]|localhost)$/.test(hostname)
    if (protocol === 'https:' || loopback) continue
    if (native && !/^(https?|javascript|vbscript|data|blob|file|about):$/.test(protocol)) continue
    complain(`redirects[${index}]: ${protocol}//… would give codes away`, 'use https; http on loopback only')
  }
}

function checkStrict({ auth }: StoredSettings, at: string): void {
  if (auth === 'private_key_jwt' || auth === 'mtls') return
  throw new ConfigError('P1062', `${at}: \`auth: ${auth}\` is not for the profile fapi2`, {
    hint: 'auth: private_key_jwt with `jwks`, or auth: mtls with `certificate`',
  })
}

/** Where every token must be bound, one that does not say how is bound by DPoP. */
function bounded(settings: StoredSettings, strict: boolean): StoredSettings {
  return strict && settings.bound === undefined ? { ...settings, bound: 'dpop' } : settings
}

function shownConfigured(id: string, { secret: _, ...settings }: ClientSettings): Client {
  return { ...settings, id, from: 'configuration', createdAt: undefined, rotatedAt: undefined, revokedAt: undefined }
}

function shown({ id, settings, createdAt, rotatedAt, revokedAt }: StoredClient): Client {
  return { ...settings, id, from: 'store', createdAt, rotatedAt, revokedAt }
}

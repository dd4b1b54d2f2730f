import { createSecretKey, type KeyObject } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { ConfigError, messageOf } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { duration, file, object, rate, z } from '../../config/language.ts'
import { type Family, tokenIdOf } from '../../credentials/revoked-tokens.ts'
import type { LocalIssuer } from '../../gate/guard.ts'
import type { Principal } from '../../gate/principal.ts'
import type { Denial } from '../../gate/verdict.ts'
import { type Asker, createAsker, IssuerUnreachable, isSafeUrl } from './ask.ts'
import { bearerChallenge, because, dpopChallenge, unauthorized } from './challenge.ts'
import type { DpopRules } from './dpop.ts'
import { createIntrospection, type Introspection } from './introspection.ts'
import { algorithmNames, type Jws, verifyJws } from './jws.ts'
import { fixedKeySet, type KeySet, RemoteKeySet, readKeys, secretKeySet } from './key-set.ts'
import type { ProofNonces } from './proof-nonces.ts'

const endpoint = (description: string) =>
  z.string().refine(isSafeUrl, 'expected an https URL (http only on loopback)').describe(description)

const dpopShape = object({
  use: z
    .enum(['off', 'allowed', 'required'])
    .default('allowed')
    .describe('Whether tokens bound to a key are accepted, or nothing else is.'),
  nonce: z
    .boolean()
    .default(false)
    .describe(
      'Asks for a nonce of this gate in every proof (RFC 9449, 9), so that none can be made in advance. It changes every five minutes and is the same for all gates that share a store.',
    ),
  maxAge: duration('How old a proof may be.')
    .default(60_000)
    .refine((ms) => ms >= 1_000 && ms <= 3_600_000, 'expected 1s to 1h'),
  proofs: rate('Proofs of one network that one process checks: checking a signature costs it time.').prefault('200/s'),
})

const issuerShape = object({
  issuer: z.string().min(1).describe('Who issues the tokens: exactly the `iss` of the tokens (RFC 8414, 2).'),
  audience: z
    .union([
      z
        .string()
        .min(1)
        .transform((audience) => [audience]),
      z.array(z.string().min(1)).min(1).max(64),
    ])
    .describe('What tokens must be meant for: one of these must stand in `aud` (RFC 8725, 3.9).'),
  audienceClaim: z
    .string()
    .default('aud')
    .describe('The claim that holds the audience, for issuers that use another one, such as `client_id`.'),
  algorithms: z
    .array(z.enum(algorithmNames))
    .min(1)
    .optional()
    .describe(
      'Signature algorithms that are accepted; nothing else is, whatever a token says of itself. Default: RS256, PS256, ES256 and EdDSA; with `secret` HS256.',
    ),
  jwks: z
    .union([
      file('URL or file.'),
      z.looseObject({ keys: z.array(z.unknown()).max(100) }).describe('The JWK set itself.'),
    ])
    .optional()
    .describe(
      "The issuer's public keys: an https URL, a file, or the JWK set itself. Default: found through the issuer's metadata (RFC 8414, OpenID Connect Discovery).",
    ),
  secret: z
    .string()
    .min(32)
    .optional()
    .describe(
      'Shared secret of an issuer that signs with HS256, HS384 or HS512, of at least 32 characters. Whoever has it can issue tokens: prefer public keys.',
    ),
  introspection: object({
    endpoint: endpoint(
      'Where opaque tokens are asked about (RFC 7662). Default: found through the metadata.',
    ).optional(),
    clientId: z.string().min(1).describe('How the gate names itself to the issuer.'),
    clientSecret: z.string().min(1).describe('The secret of that client: `${INTROSPECTION_SECRET}`.'),
    clientAuth: z
      .enum(['basic', 'post'])
      .default('basic')
      .describe('How the client shows its secret (RFC 6749, 2.3.1).'),
    cacheTtl: duration(
      "How long an answer is believed: at most so long a revoked token still works. A token's own expiry ends it sooner.",
    ).default(30_000),
  })
    .optional()
    .describe('Accepts opaque tokens by asking the issuer about them.'),
  clockTolerance: duration('How far clocks may differ when `exp` and `nbf` are read.')
    .default(5_000)
    .refine((ms) => ms <= 300_000, 'expected at most 5m'),
  rolesClaim: z
    .string()
    .default('roles')
    .describe("The claim with the caller's roles, a list or a text; dots lead into objects: `realm_access.roles`."),
  scopesClaim: z
    .string()
    .optional()
    .describe('The claim with the scopes, a list or a text separated by spaces. Default: `scope`, else `scp`.'),
  subjectClaim: z.string().default('sub').describe('The claim that names the caller; unique within the issuer.'),
  typ: z
    .array(z.string().min(1).toLowerCase())
    .min(1)
    .optional()
    .describe(
      'Values of the `typ` header that are accepted, such as `at+jwt` (RFC 9068). Default: `at+jwt`, `jwt`, or none at all.',
    ),
  dpop: z
    .union([
      z.enum(['off', 'allowed', 'required']).transform((use) => dpopShape.parse({ use })),
      z.lazy(() => dpopShape),
    ])
    .prefault({})
    .describe(
      'Tokens bound to a key of the caller (DPoP, RFC 9449): `required` refuses all others, `off` refuses these. A bound token never passes without its proof. The long form says more.',
    ),
  certificateBound: z
    .enum(['allowed', 'required'])
    .default('allowed')
    .describe(
      "Tokens bound to the caller's TLS certificate (RFC 8705, 3): `required` refuses all others. A bound token never passes over another connection.",
    ),
  refresh: duration('After how long the keys are fetched again in the background.').default(600_000),
  cooldown: duration('Shortest time between two fetches because of unknown key ids.').default(30_000),
  timeout: duration('For one question to the issuer.').default(5_000),
  ca: file("PEM file or text of the authorities that vouch for the issuer, in place of the system's.").optional(),
})

export type IssuerSettings = z.output<typeof issuerShape>

/** The key `issuers` at the top of the configuration. */
export const issuersShape = z
  .record(z.string(), issuerShape)
  .default({})
  .describe('Who may issue access tokens, by a name of your choice that `auth` lists.')

/** A token that was good when it was checked, with all that must be checked again when it comes back. */
export interface Verified {
  readonly kind: 'verified'
  readonly principal: Principal
  /** Milliseconds since the epoch, tolerance included. */
  readonly notBeforeMs: number
  readonly expiresMs: number
  /** By which it can be revoked. */
  readonly tokenId: string | undefined
  /** What it ends with, beside itself: its grant, its client, its person, where the token service of this gate issued it. */
  readonly families: readonly string[]
  readonly issuedMs: number
  /** SHA-256 thumbprint of the client certificate it is bound to (RFC 8705, 3.1). */
  readonly certificate: string | undefined
  /** The key it is bound to (RFC 9449, 6.1), with what proofs must show. */
  readonly proof: { readonly thumbprint: string; readonly rules: DpopRules } | undefined
  readonly keys: KeySet | undefined
  readonly keysVersion: number
}

/** One entry of `issuers`, ready to judge tokens. */
export interface Issuer {
  readonly name: string
  readonly issuer: string
  /** Judges a signed token whose `iss` is this issuer. `undefined` where this issuer's tokens are not judged by signature. */
  readonly judgeSigned: ((jws: Jws, now: number) => Verified | Denial | Promise<Verified | Denial>) | undefined
  /** Judges any other token by asking; `undefined` says that it is not active. */
  readonly judgeOpaque:
    | ((token: string, now: number) => Verified | Denial | undefined | Promise<Verified | Denial | undefined>)
    | undefined
}

const defaultAlgorithms = ['RS256', 'PS256', 'ES256', 'EdDSA']
const metadataBytesMax = 131_072
const jwksBytesMax = 262_144
const staleMaxMs = 24 * 3_600_000

/** The refusals of tokens, made once for each realm. */
export function tokenRefusals(realm: string) {
  const invalid = (reason: string, detail: string) =>
    unauthorized(
      `auth.token-${reason}`,
      detail,
      bearerChallenge(realm, { error: 'invalid_token', error_description: detail.replace(/\.$/, '') }),
    )
  return {
    malformed: invalid('malformed', 'The access token cannot be read.'),
    critical: invalid('critical', 'The access token asks for an extension that is not supported here.'),
    issuer: invalid('issuer', 'The access token comes from an issuer that is not trusted here.'),
    algorithm: invalid('algorithm', 'The access token is signed with an algorithm that is not accepted here.'),
    type: invalid('type', 'This kind of token is not an access token.'),
    key: invalid('key', 'The access token is signed with a key that its issuer does not publish.'),
    signature: invalid('signature', "The access token's signature is wrong."),
    audience: invalid('audience', 'The access token is meant for another audience.'),
    expired: invalid('expired', 'The access token has expired.'),
    early: invalid('not-yet-valid', 'The access token is not valid yet.'),
    claims: invalid('claims', 'The access token lacks a claim that is needed here.'),
    revoked: invalid('revoked', 'The access token was revoked.'),
    inactive: invalid('inactive', 'The access token is not active: unknown, expired or revoked.'),
    unbound: invalid('unbound', 'The access token is bound to a key that the caller has not shown to hold.'),
    // RFC 9449, 7.2: a bound token that comes as a bearer token was most likely stolen.
    downgraded: unauthorized(
      'auth.token-unbound',
      'The access token is bound to a key: send it behind `DPoP`, with a proof.',
      `${bearerChallenge(realm, {
        error: 'invalid_token',
        error_description: 'The access token is bound to a key that the caller has not shown to hold',
      })}, ${dpopChallenge(realm)}`,
    ),
    /** It came behind `DPoP`, or must come so, and is bound to nothing. */
    bindable: unauthorized(
      'auth.dpop-required',
      'The access token is not bound to a key, as it must be here. Ask the issuer for one that is (RFC 9449).',
      dpopChallenge(realm, { error: 'invalid_token', error_description: 'The access token is not bound to a key' }),
    ),
    unreachable: {
      kind: 'denial',
      status: 503,
      code: 'auth.issuer-unreachable',
      detail: 'The access token cannot be checked right now, because its issuer does not answer. Try again later.',
      headers: { 'Retry-After': '5' },
    } satisfies Denial as Denial,
  } as const
}

export type TokenRefusals = ReturnType<typeof tokenRefusals>

/** The token service of this gate as an entry of `issuers`: one whose clock and keys are ours, and that asks for nothing more. */
export function ownIssuerSettings({ issuer, algorithms, audienceFor }: LocalIssuer, api: string): IssuerSettings {
  return issuerShape.parse({
    issuer,
    audience: audienceFor(api),
    algorithms: [...algorithms],
    typ: ['at+jwt'],
    // A token ends when it says: it is the same clock.
    clockTolerance: '0s',
    // Keys are a look into this process: a new one is known, and a dropped one forgotten, at once.
    refresh: '1s',
    cooldown: '250ms',
  })
}

/** What an issuer needs from outside; the same for all of a gate. */
export interface IssuerWorld {
  readonly now: () => number
  readonly log: Logger
  /** The issuer in this process, where there is one: its keys are asked for without a network. */
  readonly local?: () => LocalIssuer | undefined
}

/** The part of an issuer that outlives a reload: its keys, its cached answers, its connections. */
export interface IssuerSource {
  readonly keys: KeySet | undefined
  readonly asker: Asker
  readonly endpoint: () => Promise<string>
}

/** The settings with the content of the files they name: settings that are equal then mean the same. */
export function readIssuerFiles(name: string, settings: IssuerSettings): IssuerSettings {
  const { jwks, ca } = settings
  return {
    ...settings,
    jwks: typeof jwks === 'string' && !/^https?:/i.test(jwks) ? readJwks(jwks, `issuers.${name}.jwks`) : jwks,
    ca: ca === undefined || ca.includes('-----BEGIN') ? ca : readText(ca, `issuers.${name}.ca`),
  }
}

/** Prepares an issuer's keys. Fetching begins now and is not waited for: an issuer that is down must not keep the rest from starting. */
export function openIssuer(name: string, settings: IssuerSettings, world: IssuerWorld): IssuerSource {
  const { now } = world
  const asker = createAsker({ timeoutMs: settings.timeout, ca: settings.ca })
  const metadata = discover(settings.issuer, asker)
  const configured = settings.introspection?.endpoint
  let discovered: { readonly url: string; readonly untilMs: number } | undefined
  return {
    asker,
    async endpoint() {
      if (configured !== undefined) return configured
      if (discovered !== undefined && now() < discovered.untilMs) return discovered.url
      discovered = { url: urlOf(await metadata(), 'introspection_endpoint'), untilMs: now() + settings.refresh }
      return discovered.url
    },
    keys: openKeys(name, settings, asker, metadata, world),
  }
}

function openKeys(
  name: string,
  settings: IssuerSettings,
  asker: Asker,
  metadata: () => Promise<Readonly<Record<string, unknown>>>,
  { now, log, local = () => undefined }: IssuerWorld,
): KeySet | undefined {
  const at = `issuers.${name}`
  const { jwks, secret } = settings
  const symmetric = (settings.algorithms ?? []).filter((algorithm) => algorithm.startsWith('HS'))
  if (secret !== undefined) {
    if (jwks !== undefined)
      throw new ConfigError('P1401', `${at}: has both "secret" and "jwks"; an issuer signs in one way`)
    if (symmetric.length !== (settings.algorithms?.length ?? 0)) {
      throw new ConfigError('P1401', `${at}.algorithms: with "secret" only HS256, HS384 and HS512 can be accepted`)
    }
    return secretKeySet(createSecretKey(Buffer.from(secret, 'utf8')))
  }
  if (symmetric.length > 0) {
    throw new ConfigError('P1401', `${at}.algorithms: ${symmetric[0]} needs "secret"; public keys cannot check it`)
  }
  if (typeof jwks === 'object') return readFixed(jwks, `${at}.jwks`)
  if (jwks !== undefined && !isSafeUrl(jwks)) {
    throw new ConfigError('P1402', `${at}.jwks: expected an https URL (http only on loopback)`)
  }
  // An issuer of opaque tokens alone says so by giving `introspection` and no keys.
  if (jwks === undefined && settings.introspection !== undefined) return undefined
  if (jwks === undefined && !isSafeUrl(settings.issuer)) {
    throw new ConfigError('P1402', `${at}: its keys cannot be found, because "issuer" is not an https URL; give "jwks"`)
  }
  const set = new RemoteKeySet({
    name,
    now,
    log,
    refreshMs: settings.refresh,
    cooldownMs: settings.cooldown,
    staleMaxMs,
    look() {
      const own = local()
      return jwks === undefined && own?.issuer === settings.issuer ? own.jwks() : undefined
    },
    async fetchKeys() {
      return asker.get(jwks ?? urlOf(await metadata(), 'jwks_uri'), jwksBytesMax)
    },
  })
  void set.refresh()
  return set
}

/**
 * The issuer's metadata: the well-known text stands between host and path in RFC 8414, 3.1, and behind the path in
 * OpenID Connect Discovery, 4. Asked anew on each call: it is only called when keys or an endpoint are needed.
 */
function discover(issuer: string, asker: Asker): () => Promise<Readonly<Record<string, unknown>>> {
  return async () => {
    if (!isSafeUrl(issuer))
      throw new IssuerUnreachable('its metadata cannot be found, because "issuer" is not an https URL')
    const { origin, pathname } = new URL(issuer)
    const path = pathname.replace(/\/$/, '')
    const places = [
      `${origin}${path}/.well-known/openid-configuration`,
      `${origin}/.well-known/oauth-authorization-server${path}`,
    ]
    let fault: unknown
    for (const place of places) {
      try {
        const members = await asker.get(place, metadataBytesMax)
        // Otherwise one issuer could speak for another (RFC 8414, 3.3).
        if (members.issuer !== issuer) throw new IssuerUnreachable('its metadata names another issuer')
        return members
      } catch (error) {
        fault ??= error
      }
    }
    throw fault
  }
}

function urlOf(metadata: Readonly<Record<string, unknown>>, member: string): string {
  const url = metadata[member]
  if (typeof url !== 'string' || !isSafeUrl(url)) throw new IssuerUnreachable(`its metadata has no usable "${member}"`)
  return url
}

function readFixed(jwks: Readonly<Record<string, unknown>>, at: string): KeySet {
  try {
    const keys = readKeys(jwks)
    if (keys.length === 0) throw new Error('none of the keys can check signatures')
    return fixedKeySet(keys)
  } catch (error) {
    throw new ConfigError('P1402', `${at}: ${messageOf(error)}`)
  }
}

function readJwks(path: string, at: string): { keys: unknown[] } {
  try {
    return JSON.parse(readText(path, at)) as { keys: unknown[] }
  } catch (error) {
    throw error instanceof ConfigError ? error : new ConfigError('P1402', `${at}: is not JSON: ${messageOf(error)}`)
  }
}

function readText(path: string, at: string): string {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError('P1402', `${at}: cannot be read: ${messageOf(error)}`)
  }
}

/** Joins an issuer's settings, keys and refusals into one that judges. */
export function createIssuer(
  name: string,
  settings: IssuerSettings,
  source: IssuerSource,
  refusals: TokenRefusals,
  {
    now,
    nonces,
    own = false,
  }: {
    readonly now: () => number
    readonly nonces: ProofNonces | undefined
    /** Whether it is the token service of this gate, which ends tokens by families, too. */
    readonly own?: boolean
  },
): Issuer {
  const { keys } = source
  const allowed = new Set<string>(
    settings.algorithms ?? (settings.secret === undefined ? defaultAlgorithms : ['HS256']),
  )
  const types =
    settings.typ === undefined ? undefined : new Set(settings.typ.map((typ) => typ.replace(/^application\//, '')))
  const audiences = new Set(settings.audience)
  const toleranceMs = settings.clockTolerance
  const earlyMs = own ? Math.max(toleranceMs, ownEarlyMs) : toleranceMs
  const { dpop, certificateBound } = settings
  const rules: DpopRules = {
    maxAgeMs: dpop.maxAge,
    toleranceMs,
    nonces: dpop.nonce ? nonces : undefined,
    proofs: dpop.proofs,
  }

  /** Everything a claim set must show, wherever it comes from. */
  function readClaims(claims: Readonly<Record<string, unknown>>, at: number, signed: boolean): Verified | Denial {
    const { exp, nbf, iat, iss, jti, cnf } = claims
    // A signed token must say who issued it; an answer to our own question may leave it out (RFC 7662, 2.2).
    if (iss !== settings.issuer && (signed || iss !== undefined)) return because(refusals.issuer, { issuer: name })
    const audience = claims[settings.audienceClaim]
    if ((signed || audience !== undefined) && !meantFor(audience, audiences)) {
      return because(refusals.audience, { issuer: name, audience: textsOf(audience) })
    }
    if (exp === undefined ? signed : typeof exp !== 'number')
      return because(refusals.claims, { issuer: name, claim: 'exp' })
    if (nbf !== undefined && typeof nbf !== 'number') return because(refusals.claims, { issuer: name, claim: 'nbf' })
    if (iat !== undefined && typeof iat !== 'number') return because(refusals.claims, { issuer: name, claim: 'iat' })
    const expiresMs = exp === undefined ? Number.POSITIVE_INFINITY : (exp as number) * 1000 + toleranceMs
    // Issued in the future means: with a clock that is wrong, or made up in advance.
    const notBeforeMs = Math.max(nbf ?? 0, iat ?? 0) * 1000 - earlyMs
    if (at >= expiresMs) return because(refusals.expired, { issuer: name, exp })
    if (at < notBeforeMs) return because(refusals.early, { issuer: name, nbf, iat })
    const application = firstText(claims.client_id, claims.azp)
    // A client that acts for itself may have no `sub`; the prefix keeps it apart from a person of the same name.
    const subject =
      firstText(claimAt(claims, settings.subjectClaim)) ??
      (application === undefined ? undefined : `client:${application}`)
    if (subject === undefined) return because(refusals.claims, { issuer: name, claim: settings.subjectClaim })
    const confirmation = typeof cnf === 'object' && cnf !== null ? (cnf as Record<string, unknown>) : {}
    const { jkt, 'x5t#S256': certificate } = confirmation
    // A token bound to a key is worth nothing without that key; one that is bound in a way not known here is refused
    // rather than taken for a bearer token (RFC 9449, 7.2).
    const isUnknown = Object.entries(confirmation).some(
      ([method, value]) => (method !== 'x5t#S256' && method !== 'jkt') || typeof value !== 'string',
    )
    if (isUnknown || (cnf !== undefined && (typeof cnf !== 'object' || cnf === null)))
      return because(refusals.unbound, { issuer: name })
    if (jkt !== undefined && dpop.use === 'off') return because(refusals.unbound, { issuer: name, dpop: 'off' })
    if (jkt === undefined && dpop.use === 'required') return because(refusals.bindable, { issuer: name })
    if (certificate === undefined && certificateBound === 'required') {
      return because(refusals.unbound, { issuer: name, certificateBound })
    }
    const scopes =
      settings.scopesClaim === undefined ? (claims.scope ?? claims.scp) : claimAt(claims, settings.scopesClaim)
    return {
      kind: 'verified',
      principal: {
        subject,
        kind: 'bearer',
        via: name,
        application,
        scopes: new Set(wordsOf(scopes)),
        roles: new Set(wordsOf(claimAt(claims, settings.rolesClaim))),
        claims,
      },
      notBeforeMs,
      expiresMs,
      tokenId: typeof jti === 'string' ? tokenIdOf(settings.issuer, jti) : undefined,
      families: own ? familiesOf(settings.issuer, claims) : none,
      issuedMs: iat === undefined ? Number.NEGATIVE_INFINITY : iat * 1000,
      certificate: typeof certificate === 'string' ? certificate : undefined,
      proof: typeof jkt === 'string' ? { thumbprint: jkt, rules } : undefined,
      keys: signed ? keys : undefined,
      keysVersion: keys?.version ?? 0,
    }
  }

  function conclude(jws: Jws, key: KeyObject | undefined, at: number): Verified | Denial {
    const seen = { issuer: name, keyId: jws.keyId?.slice(0, 100), algorithm: jws.algorithm }
    if (key === undefined) return because(refusals.key, seen)
    if (!verifyJws(jws, key)) return because(refusals.signature, seen)
    return readClaims(jws.claims, at, true)
  }

  const judgeSigned =
    keys === undefined
      ? undefined
      : (jws: Jws, at: number) => {
          if (!allowed.has(jws.algorithm)) {
            return because(refusals.algorithm, { issuer: name, algorithm: jws.algorithm.slice(0, 20) })
          }
          const typeIsRight =
            types === undefined
              ? jws.type === undefined || jws.type === 'jwt' || jws.type === 'at+jwt'
              : jws.type !== undefined && types.has(jws.type)
          if (!typeIsRight) return because(refusals.type, { issuer: name, typ: jws.type?.slice(0, 50) })
          const key = keys.find(jws.algorithm, jws.keyId, at)
          return key instanceof Promise ? key.then((found) => conclude(jws, found, at)) : conclude(jws, key, at)
        }

  const introspection: Introspection<Verified | Denial> | undefined =
    settings.introspection === undefined
      ? undefined
      : createIntrospection({
          endpoint: source.endpoint,
          clientId: settings.introspection.clientId,
          clientSecret: settings.introspection.clientSecret,
          clientAuth: settings.introspection.clientAuth,
          cacheTtlMs: settings.introspection.cacheTtl,
          asker: source.asker,
          now,
          read: (answer) => readClaims(answer, now(), false),
        })

  return {
    name,
    issuer: settings.issuer,
    judgeSigned,
    judgeOpaque: introspection === undefined ? undefined : (token, at) => introspection.ask(token, at),
  }
}

const none: readonly never[] = []
/**
 * A fresh token of our own may be shown to a gate whose clock is behind the one that issued it, and one that follows the end
 * of its family in the same second is dated to the next.
 */
const ownEarlyMs = 5_000

/** A token that does not say when it was issued ends with any family that ever ended. */
function familiesOf(issuer: string, claims: Readonly<Record<string, unknown>>): readonly string[] {
  const { grant_id: grant, client_id: client, sub } = claims
  const names: Family[] = []
  if (typeof grant === 'string') names.push(`grant:${grant}`)
  if (typeof client === 'string') names.push(`client:${client}`)
  if (typeof sub === 'string') names.push(`subject:${sub}`)
  return names.map((name) => tokenIdOf(issuer, name))
}

/** The roles that a claim set names, where the settings say. */
export function rolesIn(claims: Readonly<Record<string, unknown>>, path: string): readonly string[] {
  return wordsOf(claimAt(claims, path))
}

function meantFor(audience: unknown, audiences: ReadonlySet<string>): boolean {
  return textsOf(audience).some((one) => audiences.has(one))
}

function textsOf(value: unknown): readonly string[] {
  if (typeof value === 'string') return [value]
  return Array.isArray(value) ? value.filter((one) => typeof one === 'string') : []
}

/** `read write` or `[read, write]` alike. */
function wordsOf(value: unknown): readonly string[] {
  return typeof value === 'string' ? value.split(' ').filter((word) => word !== '') : textsOf(value)
}

function firstText(...values: readonly unknown[]): string | undefined {
  return values.find((value) => typeof value === 'string' && value !== '') as string | undefined
}

/** A claim by its own name, which may hold dots and slashes as in `https://example.com/roles`, else by a path of names. */
function claimAt(claims: Readonly<Record<string, unknown>>, path: string): unknown {
  if (Object.hasOwn(claims, path)) return claims[path]
  let value: unknown = claims
  for (const name of path.split('.')) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    value = (value as Record<string, unknown>)[name]
  }
  return value
}

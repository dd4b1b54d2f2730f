import { errors, type KoaContextWithOIDC, type Provider } from 'oidc-provider'
// What the provider's own grants are made of; it is pinned, and the tests hold this one to the same proofs.
import { checkDpopReplay, checkDpopRequired, checkMtlsCert, validateDpop } from 'oidc-provider/lib/helpers/grants.js'
import { boundsClaim } from '../credentials/bounds.ts'
import { ownSettings, type ProviderOptions, type Resource } from './provider.ts'

/** RFC 8693, 2.1. */
export const exchangeGrant = 'urn:ietf:params:oauth:grant-type:token-exchange'
const accessTokenType = 'urn:ietf:params:oauth:token-type:access_token'
const jwtType = 'urn:ietf:params:oauth:token-type:jwt'
/** Each hop nests the actor before it; a longer chain is a loop. */
const actorsMax = 5

type Claims = Readonly<Record<string, unknown>>

export interface ExchangeOptions extends Pick<ProviderOptions, 'settings' | 'readAccessToken' | 'now'> {
  readonly resourceFor: (name: string) => { readonly api: string; readonly resource: Resource } | undefined
}

/**
 * Token exchange (RFC 8693): a client hands in a token it was called with, and gets one for another API in the name of the
 * same person, which says who acts for whom. Only what a rule of `tokenService.exchange` allows.
 */
export function registerExchange(
  provider: Provider,
  options: ExchangeOptions,
): { readonly claimsOf: (token: object) => Claims | undefined } {
  const { settings, readAccessToken, now, resourceFor } = options
  const claims = new WeakMap<object, Claims>()

  async function handle(context: KoaContextWithOIDC): Promise<void> {
    const { client, params } = context.oidc
    const own = ownSettings(client)
    if (client === undefined || own === undefined) throw new errors.InvalidClient('no client')
    const text = (name: string): string | undefined => {
      const value = params?.[name]
      return typeof value === 'string' && value !== '' ? value : undefined
    }
    const type = text('subject_token_type')
    const wanted = text('requested_token_type') ?? accessTokenType
    if (type !== accessTokenType && type !== jwtType)
      throw new errors.InvalidRequest('subject_token_type must be an access token')
    if (wanted !== accessTokenType && wanted !== jwtType)
      throw new errors.InvalidRequest('only access tokens are issued here')
    const subject = await good(text('subject_token'), 'subject_token')
    const actor = text('actor_token') === undefined ? undefined : await good(text('actor_token'), 'actor_token')
    if (actor !== undefined && text('actor_token_type') === undefined)
      throw new errors.InvalidRequest('actor_token_type is missing')
    // Who is to act must be whoever asks: a token of somebody else must not make them the actor.
    if (actor !== undefined && actor.client_id !== client.clientId)
      throw new errors.InvalidRequest('actor_token is of another client')
    const audience = text('resource') ?? text('audience')
    const target = audience === undefined ? undefined : resourceFor(audience)
    if (audience === undefined || target === undefined) throw new errors.InvalidTarget('name one resource')
    const rule = settings.exchange.find(
      ({ client: who, from, to }) =>
        who === client.clientId &&
        to.includes(target.api) &&
        (from === undefined || from.includes(String(subject.client_id))),
    )
    // RFC 8693, 2.2.2: a request that policy forbids.
    if (rule === undefined || !mayAct(subject.may_act, client.clientId)) {
      throw new errors.InvalidTarget('this exchange is not allowed')
    }
    const had = wordsOf(subject.scope)
    const may = rule.scopes ?? had
    const asked = text('scope')?.split(' ') ?? may.filter((scope) => had.includes(scope) || rule.scopes !== undefined)
    const granted = asked.filter((scope) => may.includes(scope) && target.resource.scopes?.includes(scope) !== false)
    if (granted.length < asked.length) throw new errors.InvalidScope('not all of it may be exchanged', asked.join(' '))
    const proof = await validateDpop(provider, context)
    const lifetime = Math.min(
      settings.accessTtl,
      target.resource.accessTtl ?? settings.accessTtl,
      own.accessTtl ?? settings.accessTtl,
    )
    const seconds = Math.min(Math.floor(lifetime / 1_000), Number(subject.exp) - Math.floor(now() / 1_000))
    if (seconds < 1) throw new errors.InvalidGrant('subject_token is over')
    const token = new provider.AccessToken({
      accountId: String(subject.sub),
      client,
      gty: 'token_exchange',
      expiresIn: seconds,
    } as never)
    token.resourceServer = new provider.ResourceServer(target.resource.audience, {
      audience: target.resource.audience,
      scope: granted.join(' '),
      accessTokenTTL: seconds,
      accessTokenFormat: 'jwt',
      jwt: { sign: { alg: settings.signing } },
    })
    token.scope = granted.join(' ')
    const certificate = checkMtlsCert(provider, context)
    if (certificate !== undefined) token.setThumbprint('x5t', certificate)
    checkDpopRequired(provider, context, proof)
    if (proof !== undefined) {
      await checkDpopReplay(provider, context, proof, client.clientId)
      token.setThumbprint('jkt', proof.thumbprint)
    }
    claims.set(token, {
      act: {
        sub: actor === undefined ? client.clientId : String(actor.sub),
        client_id: client.clientId,
        ...nested(subject.act),
      },
      // In the family of the token it came from: what ends that one ends this one.
      ...(subject.grant_id === undefined ? {} : { grant_id: subject.grant_id }),
      ...(subject.acr === undefined ? {} : { acr: subject.acr }),
      ...(subject.amr === undefined ? {} : { amr: subject.amr }),
      ...(subject.auth_time === undefined ? {} : { auth_time: subject.auth_time }),
      ...(subject.roles === undefined ? {} : { roles: subject.roles }),
      ...(subject.plan === undefined ? {} : { plan: subject.plan }),
      // What a token was not good for, no token that is made of it is good for.
      ...(subject[boundsClaim] === undefined ? {} : { [boundsClaim]: subject[boundsClaim] }),
    })
    context.oidc.entity('AccessToken', token)
    const value = await token.save()
    context.body = {
      access_token: value,
      issued_token_type: accessTokenType,
      token_type: token.tokenType,
      expires_in: seconds,
      scope: granted.join(' '),
    }
  }

  async function good(token: string | undefined, name: string): Promise<Claims> {
    const read = token === undefined ? undefined : await readAccessToken(token)
    // RFC 8693, 2.2.2: the same error whatever is wrong with it.
    if (read === undefined) throw new errors.InvalidRequest(`${name} is not a good access token of this service`)
    return read
  }

  provider.registerGrantType(
    exchangeGrant,
    (context) => handle(context),
    [
      ...['subject_token', 'subject_token_type', 'actor_token', 'actor_token_type'],
      ...['resource', 'audience', 'scope', 'requested_token_type'],
    ],
    [],
  )
  return { claimsOf: (token) => claims.get(token) }
}

function wordsOf(scope: unknown): readonly string[] {
  return typeof scope === 'string' ? scope.split(' ').filter((word) => word !== '') : []
}

/** RFC 8693, 4.4: where a token names who may act, nobody else may. */
function mayAct(may: unknown, client: string): boolean {
  if (may === undefined) return true
  return typeof may === 'object' && may !== null && (may as Claims).sub === client
}

/** RFC 8693, 4.1: the actor before stands within the one after. */
function nested(act: unknown): { readonly act?: unknown } {
  if (act === undefined) return {}
  let depth = 0
  for (let at: unknown = act; typeof at === 'object' && at !== null; at = (at as Claims).act) depth++
  if (depth >= actorsMax) throw new errors.InvalidTarget('too many have acted already')
  return { act }
}

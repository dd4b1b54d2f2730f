import type { IncomingMessage, ServerResponse } from 'node:http'
import { adminApiName } from '../admin/contract.ts'
import type { Clock } from '../base/clock.ts'
import type { Config } from '../config/load.ts'
import type { ListenSettings } from '../config/settings.ts'
import { readArrival } from '../gate/arrival.ts'
import type { Gate } from '../gate/gate.ts'
import type { TokenService } from '../identity/service.ts'
import { type Sink, unroutedPassage } from '../traffic/passage.ts'
import type { BuiltLoad, Foundation } from './load.ts'

/** The token service of a configuration, or none. The provider is loaded only where it is used. */
export async function openTokenService(
  config: Config,
  foundation: Foundation,
  served?: () => Served,
): Promise<TokenService | undefined> {
  const { tokenService, listen, apis, admin } = config.settings
  if (tokenService === undefined) return undefined
  const [{ createTokenService }, { withIssuer }] = await Promise.all([
    import('../identity/service.ts'),
    import('../identity/issuer.ts'),
  ])
  const { tell = () => {}, ...rest } = foundation
  const settings = withIssuer(tokenService, listen)
  return createTokenService({
    ...rest,
    tell,
    settings,
    ...(served === undefined ? {} : { apiAt: (resource) => apiAt(resource, settings.issuer, served()) }),
    apis: [...Object.keys(apis), ...(admin?.auth.oidc === 'tokenService' ? [adminApiName] : [])],
    // An application that somebody lets read orders must not administer in their name.
    onlyNamed: [adminApiName],
  })
}

interface Served {
  readonly config: Config
  readonly load: Pick<BuiltLoad, 'mounts'>
}

/**
 * The API that says of itself to be this resource (RFC 9728). Only names of this gate count, not whatever Host a request had:
 * a stranger must not be able to have tokens asked for in its own name.
 */
function apiAt(resource: string, issuer: string, { config, load }: Served): string | undefined {
  const wanted = placeOf(resource)
  if (wanted === undefined) return undefined
  const { protocol, port, origin } = new URL(issuer)
  const found = new Set<string>()
  for (const { api, hosts, prefix } of load.mounts) {
    if (!Object.hasOwn(config.settings.apis, api)) continue
    const { publicUrl } = (config.raw(['apis', api, 'auth']) ?? {}) as { readonly publicUrl?: unknown }
    const named = hosts?.map((host) => `${protocol}//${host}${port === '' ? '' : `:${port}`}`) ?? [origin]
    const bases = typeof publicUrl === 'string' ? [publicUrl.replace(/\/$/, '')] : named
    if (bases.some((base) => placeOf(base + prefix) === wanted)) found.add(api)
  }
  return found.size === 1 ? [...found][0] : undefined
}

/** A URL without what tells nothing apart: a slash at its end. */
function placeOf(url: string): string | undefined {
  const read = URL.parse(url)
  return read === null || read.search !== '' ? undefined : read.origin + read.pathname.replace(/\/$/, '')
}

export interface MountOptions {
  /** The service in force now. */
  readonly service: () => TokenService | undefined
  readonly now: Clock
  readonly sink: Sink
}

/** The token service before the gate's router, on one listener. What is not for it goes on as ever. */
export function mountTokenService(
  servesNow: () => ListenSettings['serves'],
  gate: Pick<Gate, 'request'>,
  { service: current, now, sink }: MountOptions,
): Gate['request'] {
  return (request, reply, peer) => {
    const service = current()
    // Off by default: then this is the whole cost.
    if (service === undefined) return gate.request(request, reply, peer)
    const serves = servesNow()
    const target = request.url ?? ''
    if (serves === 'apis' || !(serves === 'tokenService' || service.takes(target))) {
      gate.request(request, reply, peer)
      return
    }
    const receivedAt = now()
    const arrival = readArrival(request, peer, receivedAt)
    if ('kind' in arrival) {
      // The gate says no to what cannot be read without doubt, and notes it.
      gate.request(request, reply, peer)
      return
    }
    const startedAt = performance.now()
    const { id, address, protocol, method, headers } = arrival
    const route = service.routeOf(target)
    const userAgent = headers['user-agent']
    const requestBytes = Number(headers['content-length'] ?? 0)
    reply.on('close', () => {
      const { statusCode } = reply as unknown as ServerResponse
      // Paths, queries and headers of sign-ins hold codes and names of sessions: the template says enough.
      sink({
        ...unroutedPassage({ id, protocol, receivedAt, address, status: statusCode, denial: undefined }),
        api: 'tokenService',
        operation: route,
        route,
        path: route,
        method,
        durationMs: performance.now() - startedAt,
        requestBytes,
        requestHeaders: userAgent === undefined ? {} : { 'user-agent': userAgent },
      })
    })
    const certificate = peer.certificate?.raw
    service.handle(request as IncomingMessage, reply as unknown as ServerResponse, { address, certificate })
  }
}

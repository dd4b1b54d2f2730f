import type { IncomingMessage, ServerResponse } from 'node:http'
import { adminApiName } from '../admin/contract.ts'
import type { Clock } from '../base/clock.ts'
import type { Config } from '../config/load.ts'
import type { ListenSettings } from '../config/settings.ts'
import { readArrival } from '../gate/arrival.ts'
import type { Gate } from '../gate/gate.ts'
import type { TokenService } from '../identity/service.ts'
import { type Sink, unroutedPassage } from '../traffic/passage.ts'
import type { Foundation } from './load.ts'

/** The token service of a configuration, or none. The provider is loaded only where it is used. */
export async function openTokenService(config: Config, foundation: Foundation): Promise<TokenService | undefined> {
  const { tokenService, listen, apis, admin } = config.settings
  if (tokenService === undefined) return undefined
  const [{ createTokenService }, { withIssuer }] = await Promise.all([
    import('../identity/service.ts'),
    import('../identity/issuer.ts'),
  ])
  const { tell = () => {}, ...rest } = foundation
  return createTokenService({
    ...rest,
    tell,
    settings: withIssuer(tokenService, listen),
    apis: [...Object.keys(apis), ...(admin?.auth.oidc === 'tokenService' ? [adminApiName] : [])],
    // An application that somebody lets read orders must not administer in their name.
    onlyNamed: [adminApiName],
  })
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

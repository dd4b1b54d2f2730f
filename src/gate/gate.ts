import type { IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import { type Logger, silentLogger } from '../base/log.ts'
import { defaultSecurityHeaders } from '../http/security-headers.ts'
import { type Passage, type RuleMatch, type Sink, unroutedPassage } from '../traffic/passage.ts'
import { type IncomingRequest, readArrival } from './arrival.ts'
import { type Arrival, Exchange } from './exchange.ts'
import { type Ending, Flight } from './flight.ts'
import type { Peer } from './peer.ts'
import { denialReply, type OutgoingReply, writeHead } from './reply.ts'
import { requestId } from './request-id.ts'
import type { Route, Router } from './router.ts'
import { createStrayBudget, type Stray, type StrayLook, strayOf } from './stray.ts'
import { openTunnel, refuseUpgrade } from './tunnel.ts'
import { sendWhole } from './unread-body.ts'
import { type Denial, denial } from './verdict.ts'

/** Everything that one configuration brought to life. A reload makes a new one and swaps the reference. */
export interface Load {
  readonly router: Router
  /** How guards look at requests that belong to no operation; `undefined` where none asks. */
  readonly stray: StrayLook | undefined
  /** Closes what guards and upstreams hold; called when the last exchange of this load is over. */
  readonly close: () => Promise<void>
}

/** The gate between the listeners and the upstreams. */
export interface Gate {
  readonly request: (request: IncomingRequest, reply: OutgoingReply, peer: Peer) => void
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer, peer: Peer) => void
  /** Serves by a new load from the next request on; requests in flight finish on the old one, which is then closed. */
  readonly swap: (load: Load) => void
  /** What guards find in a request that a listener refused. Bounded in time: under a flood most go unlooked. */
  readonly stray: StrayLook
  /** Exchanges under way. */
  readonly inFlight: () => number
  /** Resolves when the present load is idle, then closes it. For the end of the process. */
  readonly close: () => Promise<void>
}

const unroutable = denial(404, 'gate.unroutable', 'Nothing is served under this host and path.')

/** Counts the exchanges of a load, so that it is closed after the last one. */
class LoadInUse {
  readonly load: Load
  #flights = 0
  #retired: (() => void) | undefined

  constructor(load: Load) {
    this.load = load
  }

  get flights(): number {
    return this.#flights
  }

  enter(): void {
    this.#flights++
  }

  leave(): void {
    this.#flights--
    if (this.#flights === 0) this.#retired?.()
  }

  /** Resolves when the last exchange is over and the load is closed. */
  async retire(): Promise<void> {
    if (this.#flights > 0) await new Promise<void>((resolve) => (this.#retired = resolve))
    await this.load.close()
  }
}

const strayShareDefault = 0.05

export interface GateOptions {
  readonly sink: Sink
  readonly now: Clock
  /** Share of one core that may be spent on looking at requests that were refused anyway. Default: a twentieth. */
  readonly strayShare?: number
  /** Told of the gate's own failures. */
  readonly log?: Logger
}

/** A gate that serves by `load` and tells `sink` of every exchange. */
export function createGate(first: Load, options: GateOptions): Gate {
  const { sink, now, log = silentLogger } = options
  const strayBudget = createStrayBudget(options.strayShare ?? strayShareDefault)
  let current = new LoadInUse(first)
  const retiring = new Map<LoadInUse, Promise<void>>()

  return {
    request(request, reply, peer) {
      const arrival = readArrival(request, peer, now())
      if ('kind' in arrival) return refuseUnrouted(arrival, request, reply, peer)
      const used = current
      const route = used.load.router(arrival)
      if (route === undefined) return refuseUnrouted(unroutable, request, reply, peer, arrival)
      const exchange = new Exchange(arrival, route.program.operation, route.pathValues)
      used.enter()
      const flight = new Flight(exchange, route, request, reply, ({ startedAt }, ending) => {
        land(exchange, route, ending, arrival.protocol, performance.now() - startedAt)
        used.leave()
      })
      try {
        flight.start()
      } catch (error) {
        flight.fail(error)
      }
    },
    upgrade(request, socket, head, peer) {
      const arrival = readArrival(request, peer, now())
      if ('kind' in arrival) {
        const id = requestId(now())
        refuseUpgrade(socket, arrival, id, defaultSecurityHeaders(peer.encrypted))
        return tellUnrouted(arrival, id, 'websocket', request, peer)
      }
      const used = current
      const route = used.load.router(arrival)
      if (route === undefined) {
        refuseUpgrade(socket, unroutable, arrival.id, defaultSecurityHeaders(peer.encrypted))
        return tellUnrouted(unroutable, arrival.id, 'websocket', request, peer, arrival)
      }
      const exchange = new Exchange(arrival, route.program.operation, route.pathValues)
      const startedAt = performance.now()
      used.enter()
      openTunnel(exchange, route, socket, head, (ending) => {
        land(exchange, route, ending, 'websocket', performance.now() - startedAt)
        used.leave()
      })
    },
    stray: lookAt,
    swap(load) {
      const old = current
      current = new LoadInUse(load)
      retiring.set(old, retire(old))
    },
    inFlight: () => [...retiring.keys()].reduce((sum, { flights }) => sum + flights, current.flights),
    async close() {
      await Promise.all([...retiring.values(), retire(current)])
    },
  }

  async function retire(used: LoadInUse): Promise<void> {
    try {
      await used.retire()
    } catch (error) {
      log.error('What a configuration held could not be closed.', { error: messageOf(error) })
    }
    retiring.delete(used)
  }

  function land(exchange: Exchange, route: Route, ending: Ending, protocol: string, durationMs: number): void {
    exchange.abort()
    for (const end of route.program.end) {
      try {
        end(exchange)
      } catch (error) {
        // The next one must run all the same: it may give a place back.
        log.error('A guard failed at the end of an exchange.', { id: exchange.id, error: messageOf(error) })
      }
    }
    const { operation, principal } = exchange
    tell({
      id: exchange.id,
      api: operation.api,
      version: operation.version,
      operation: operation.id,
      route: operation.path,
      method: exchange.method,
      // What was rewritten was rewritten because it must not be seen.
      path: (exchange.forwarded ?? exchange.target).path,
      query: (exchange.forwarded ?? exchange.target).query,
      protocol,
      receivedAt: exchange.receivedAt,
      durationMs,
      upstreamMs: ending.upstreamMs,
      status: ending.status,
      requestBytes: ending.requestBytes,
      responseBytes: ending.responseBytes,
      address: exchange.address,
      user: principal?.subject,
      application: principal?.application,
      credential: principal?.via,
      requestHeaders: exchange.headers,
      responseHeaders: ending.responseHeaders,
      denial: exchange.denial,
      observed: exchange.observed,
      matches: exchange.matches,
      decision: exchange.decision,
      fault: ending.fault,
      traceId: exchange.traceId,
    })
  }

  function refuseUnrouted(
    refusal: Denial,
    request: IncomingRequest,
    reply: OutgoingReply,
    peer: Peer,
    arrival?: Arrival,
  ): void {
    const id = arrival?.id ?? requestId(now())
    const { headers, body } = denialReply(refusal, id, request.headers.accept, defaultSecurityHeaders(peer.encrypted))
    // What could not be read without doubt must not be followed by more on this connection.
    if (reply.stream === undefined) headers.push('connection', 'close')
    if (arrival === undefined) {
      // Where the body of such a request ends is not to be known, so nobody waits for it.
      writeHead(reply, refusal.status, headers)
      reply.end(body)
    } else sendWhole(reply, request, refusal.status, headers, body)
    tellUnrouted(refusal, id, request.httpVersionMajor === 2 ? 'HTTP/2' : 'HTTP/1.1', request, peer, arrival)
  }

  /** Guards only look at it; one that fails has found nothing. */
  function lookAt(stray: Stray): readonly RuleMatch[] {
    const look = current.load.stray
    if (look === undefined) return []
    try {
      return strayBudget.spend(() => look(stray))
    } catch (error) {
      log.error('A guard failed at a request that was refused.', { id: stray.id, error: messageOf(error) })
      return []
    }
  }

  function tellUnrouted(
    refusal: Denial,
    id: string,
    protocol: string,
    request: IncomingRequest,
    peer: Peer,
    arrival?: Arrival,
  ): void {
    const receivedAt = now()
    const looking = current.load.stray !== undefined
    tell(
      unroutedPassage({
        id,
        protocol,
        receivedAt,
        matches: looking ? lookAt({ ...strayOf(request), id, peer, receivedAt }) : [],
        status: refusal.status,
        address: arrival?.address ?? peer.address,
        denial: refusal,
        ...(arrival === undefined ? {} : { method: arrival.method, path: arrival.target.path }),
      }),
    )
  }

  function tell(passage: Passage): void {
    try {
      sink(passage)
    } catch (error) {
      log.error('An exchange could not be told.', { id: passage.id, error: messageOf(error) })
    }
  }
}

import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import type { Arrival } from './exchange.ts'
import type { Peer } from './peer.ts'
import type { Denial } from './verdict.ts'

/** A request as the protocol layer hands it over: HTTP/1.1, or HTTP/2 through node's compatibility API. */
export type IncomingRequest = IncomingMessage | Http2ServerRequest

/**
 * Reads a request's head into an unambiguous arrival, or says why there is none: one target, one host, one of each
 * header that may stand only once.
 */
export declare function readArrival(request: IncomingRequest, peer: Peer, now: number): Arrival | Denial

import type { PeerCertificate } from 'node:tls'
import type { RangeSet } from '../base/ip.ts'

/** The other end of a connection: one object per connection, shared by its requests. */
export interface Peer {
  /** The socket's own remote address; an IPv4 address in its plain form also when it came mapped into IPv6. */
  readonly address: string
  /** Whether the caller's bytes came encrypted: TLS here, or at a terminator that the listener was told of. */
  readonly encrypted: boolean
  /** The client certificate that TLS has verified against the listener's authorities, if the client sent one. */
  readonly certificate: PeerCertificate | undefined
  /** Whether the peer lies in `trustedProxies`, so that its `Forwarded` and `X-Forwarded-For` are believed. */
  readonly trusted: boolean
  /** All trusted proxies, when the peer is one of them: the hops it speaks of may be others. */
  readonly proxies?: RangeSet | undefined
}

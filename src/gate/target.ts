/** One canonical request target: what is matched is what is forwarded. */
export interface Target {
  /** Begins with `/`; percent-encoding normalised (RFC 3986, 6.2.2), no dot segments, no encoded slashes. */
  readonly path: string
  /** Without the `?`; empty when there is none. */
  readonly query: string
  /** Host and optional port in lower case, from the authority or the Host header. */
  readonly authority: string
}

import { percentDecode } from './urlencoded.ts'

/** A request target, cut up for the variables that rules know it by. */
export interface TargetParts {
  /** REQUEST_URI_RAW: as it stood in the request line, scheme, host and fragment included. */
  readonly uriRaw: string
  /** REQUEST_URI: without scheme, host and fragment; nothing is decoded. */
  readonly uri: string
  /** QUERY_STRING: what follows the first question mark, up to a fragment; nothing is decoded. */
  readonly queryString: string
  /** REQUEST_FILENAME: the path, percent-decoded once. A plus stays a plus. */
  readonly filename: string
  /** REQUEST_BASENAME: what follows the last slash or backslash of the file name. */
  readonly basename: string
}

/** An absolute form (RFC 9112, section 3.2.2). */
const absolute = /^[a-z][a-z0-9+.-]{0,30}:\/\/[^/?]*/i

export function splitUri(uriRaw: string): TargetParts {
  const fragmentAt = uriRaw.indexOf('#')
  let uri = fragmentAt < 0 ? uriRaw : uriRaw.slice(0, fragmentAt)
  // The common case begins with a slash and never meets the pattern.
  if (uri.charCodeAt(0) !== 0x2f) {
    const origin = absolute.exec(uri)
    if (origin !== null) {
      uri = uri.slice(origin[0].length)
      if (!uri.startsWith('/')) uri = `/${uri}`
    }
  }
  const queryAt = uri.indexOf('?')
  const filename = percentDecode(queryAt < 0 ? uri : uri.slice(0, queryAt), false)
  const basenameAt = Math.max(filename.lastIndexOf('/'), filename.lastIndexOf('\\')) + 1
  return {
    uriRaw,
    uri,
    queryString: queryAt < 0 ? '' : uri.slice(queryAt + 1),
    filename,
    basename: filename.slice(basenameAt),
  }
}

/** REQUEST_LINE. A simple request of HTTP/0.9 has no protocol. */
export function requestLine(method: string, uriRaw: string, protocol: string): string {
  return protocol === '' ? `${method} ${uriRaw}` : `${method} ${uriRaw} ${protocol}`
}

/** A request as a client would send it; every string is bytes (one char, one byte). */
export interface SentRequest {
  readonly method: string
  readonly uri: string
  /** Raw pairs: name, value, name, value. */
  readonly headers: readonly string[]
  readonly body: string | undefined
}

export type Place = 'json' | 'query' | 'form' | 'path' | 'header' | 'cookie' | 'array' | 'xml' | 'raw' | 'names'

const agent = 'Mozilla/5.0 (X11; Linux x64; rv:128.0) Gecko/20100101 Firefox/128.0'
const common = ['Host', 'api.example.com', 'Accept', 'application/json', 'Accept-Encoding', 'gzip, br']

/** A request around a body, or without one, with nothing in it that a rule may dislike. */
export function requestOf(
  method: string,
  uri: string,
  extra: readonly string[] = [],
  body?: string,
  contentType = 'application/json',
): SentRequest {
  const headers = [...common, ...(extra.includes('User-Agent') ? [] : ['User-Agent', agent]), ...extra]
  if (body !== undefined) headers.push('Content-Type', contentType, 'Content-Length', String(body.length))
  return { method, uri, headers, body }
}

/** A payload as a string of JSON: decoded, where that gives text; JSON has no place for bytes that are no UTF-8 (RFC 8259, section 8.1). */
const quoteJson = (payload: string) => {
  const decoded = textOf(percentDecode(payload))
  return Buffer.from(JSON.stringify(decoded ?? textOf(payload) ?? payload), 'utf8').toString('latin1')
}

const textOf = (bytes: string) => {
  const text = Buffer.from(bytes, 'latin1').toString('utf8')
  return text.includes('\ufffd') ? undefined : text
}

/** Bytes as they stand in a query, a form or a path segment. */
export function percentEncode(bytes: string): string {
  return bytes.replace(
    /[^A-Za-z0-9._~!$()*,:@'-]/g,
    (byte) => `%${byte.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`,
  )
}

/** Undoes percent-encoding where all of it is well-formed; else the text as it is. */
export function percentDecode(bytes: string): string {
  if (!bytes.includes('%') || /%(?![0-9A-Fa-f]{2})/.test(bytes)) return bytes
  return bytes.replace(/%([0-9A-Fa-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
}

/** A list written for URLs holds lines that are percent-encoded already: these go into a URL as they are. */
const forUrl = (payload: string) =>
  percentDecode(payload) !== payload && !/[\s"<>{}|\\^`]/.test(payload)
    ? payload.replace(/[#&]/g, percentEncode)
    : percentEncode(payload)

/** Puts a payload where an application would take it for data, amid data that is harmless. */
export function place(payload: string, at: Place): SentRequest {
  const decoded = percentDecode(payload)
  switch (at) {
    case 'json':
      return requestOf(
        'POST',
        '/v1/profiles',
        [],
        `{"id":1042,"active":true,"profile":{"name":"Ann Lee","note":${quoteJson(payload)}},"created":"2025-11-03T10:15:30Z"}`,
      )
    case 'array':
      return requestOf('PATCH', '/v1/profiles/1042', [], `{"tags":["blue",${quoteJson(payload)}],"score":4.5}`)
    case 'query':
      return requestOf('GET', `/v1/profiles?limit=20&q=${forUrl(payload)}`)
    case 'form':
      return requestOf('POST', '/v1/search', [], `page=2&term=${forUrl(payload)}`, 'application/x-www-form-urlencoded')
    case 'path':
      return requestOf('GET', `/v1/profiles/${percentEncode(decoded)}`)
    case 'header':
      // A line break would end the header.
      return requestOf('GET', '/v1/profiles', ['X-Client-Note', decoded.replace(/[\r\n\0]+/g, ' ').trim()])
    case 'cookie':
      return requestOf('GET', '/v1/profiles', [
        'Cookie',
        `theme=dark; note=${percentEncode(decoded).replace(/,/g, '%2C')}`,
      ])
    case 'xml':
      return requestOf('POST', '/v1/import', [], decoded, 'application/xml')
    case 'names': {
      // `[$ne]=1` is what follows a parameter's name.
      const whole = payload.startsWith('[') ? `user${payload}${payload.includes('=') ? '' : '=1'}` : payload
      return requestOf('GET', `/v1/profiles?limit=20&${whole.replace(/[^\x21-\x7e]|[#"<>]/g, percentEncode)}`)
    }
    case 'raw':
      // A payload that is JSON is the body, as a client would send it.
      return requestOf('POST', '/v1/login', [], decoded)
  }
}

/** A small, stable number from a text: which place a payload takes, which half a document falls into. */
export function hashOf(text: string): number {
  let hash = 2166136261
  for (let index = 0; index < text.length; index++) hash = Math.imul(hash ^ text.charCodeAt(index), 16777619)
  return hash >>> 0
}

/** A request recorded as bytes. The body is what follows the head, whatever its length says; without a head none. */
export function rawRequest(bytes: string): SentRequest | undefined {
  const end = /\r?\n\r?\n/.exec(bytes)
  const [line = '', ...fields] = (end === null ? bytes : bytes.slice(0, end.index)).split(/\r?\n/)
  const parts = /^(\S+) (\S.*) HTTP\/\d\.\d$/.exec(line)
  if (parts === null) return undefined
  const headers: string[] = []
  for (const field of fields) {
    const colon = field.indexOf(':')
    if (colon < 1) continue
    const name = field.slice(0, colon)
    if (!/^(?:content-length|transfer-encoding)$/i.test(name)) headers.push(name, field.slice(colon + 1).trim())
  }
  const body = end === null ? '' : bytes.slice(end.index + end[0].length)
  if (body !== '') headers.push('Content-Length', String(body.length))
  return { method: parts[1]!, uri: parts[2]!, headers, body: body === '' ? undefined : body }
}

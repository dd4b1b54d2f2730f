/** A request as a test describes it. */
export interface FtwInput {
  readonly method: string
  readonly uri: string
  /** As in the request line: `HTTP/1.1`, or whatever the test wants to send in its place. */
  readonly version: string
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly data: string | undefined
  /** Base64; sent as it is. */
  readonly encodedData: string | undefined
  /** Base64 of the whole request; everything else is ignored. */
  readonly encodedRequest: string | undefined
  /** Content-Type, Content-Length and Connection are added, a form without any escapes is escaped. */
  readonly autocompleteHeaders: boolean
}

/** The bytes that go-ftw sends for a test: broken HTTP stays broken. */
export function requestBytes(input: FtwInput, where: string): Buffer {
  if (input.encodedRequest !== undefined) return Buffer.from(input.encodedRequest, 'base64')
  const headers = [...input.headers]
  let body: Buffer =
    input.data === undefined
      ? Buffer.from(input.encodedData ?? '', 'base64')
      : Buffer.from(expandTemplate(input.data, where), 'utf8')
  if (body.length > 0 && input.autocompleteHeaders) {
    if (!has(headers, 'content-type')) headers.push(['Content-Type', urlencoded])
    const isForm = headers.some(([name, value]) => same(name, 'content-type') && same(value, urlencoded))
    if (isForm) body = escapeForm(body)
  }
  if (headers.some(([name, value]) => same(name, 'content-type') && /multipart\/form-data;/i.test(value))) {
    // The files hold LF where multipart has CRLF; every LF is replaced, whatever stands before it.
    body = Buffer.from(body.toString('latin1').replaceAll('\n', '\r\n'), 'latin1')
  }
  if (input.autocompleteHeaders) {
    if (!has(headers, 'connection')) headers.push(['Connection', 'close'])
    const mayHaveBody = /^POST|PUT|PATCH|DELETE$/.test(input.method)
    if (!has(headers, 'content-length') && (body.length > 0 || mayHaveBody)) {
      headers.push(['Content-Length', String(body.length)])
    }
  }
  const head = [`${input.method} ${input.uri} ${input.version}`, ...headers.map(([name, value]) => `${name}: ${value}`)]
  return Buffer.concat([Buffer.from(`${head.join('\r\n')}\r\n\r\n`, 'utf8'), body])
}

const urlencoded = 'application/x-www-form-urlencoded'

function same(name: string, lowerCase: string): boolean {
  return name.toLowerCase() === lowerCase
}

function has(headers: readonly (readonly [string, string])[], lowerCase: string): boolean {
  return headers.some(([name]) => same(name, lowerCase))
}

/** go-ftw runs bodies through Go's text/template with sprig; the tests use one function of it. */
function expandTemplate(data: string, where: string): string {
  return data.replace(/\{\{(.*?)\}\}/gs, (whole, code: string) => {
    const repeat = /^\s*"([^"\\]*)"\s*\|\s*repeat\s+(\d{1,7})\s*$/.exec(code)
    if (repeat === null) throw new Error(`${where}: only {{ "text" | repeat N }} is known, found ${whole}`)
    return repeat[1]!.repeat(Number(repeat[2]))
  })
}

/** A form is escaped if that changes nothing that was escaped already: unescaping it gives the same bytes. */
function escapeForm(body: Buffer): Buffer {
  const text = body.toString('latin1')
  if (/[%+]/.test(text)) return body
  const escaped = text.split('&').map((pair) => pair.split(/=(.*)/s, 2).map(escapeQuery).join('='))
  // A last, empty pair leaves no trace in what go-ftw sends, as the `&` behind each pair is cut off once.
  if (escaped.length > 1 && escaped.at(-1) === '') escaped.pop()
  return Buffer.from(escaped.join('&'), 'latin1')
}

/** Go's url.QueryEscape over bytes. */
function escapeQuery(text: string): string {
  return text.replace(/[^A-Za-z0-9\-_.~]/g, (char) => {
    return char === ' ' ? '+' : `%${char.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`
  })
}

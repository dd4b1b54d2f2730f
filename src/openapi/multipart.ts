/** One part of a form (RFC 7578). */
export interface FormPart {
  readonly name: string
  readonly fileName: string | undefined
  /** As written. `undefined`: the part does not say, which means text/plain (RFC 7578, 4.4). */
  readonly contentType: string | undefined
  readonly body: Buffer
}

/** A multipart body that cannot be read, or that two readers could read differently. Never tells the content. */
export class MultipartError extends Error {
  override readonly name = 'MultipartError'
}

export interface MultipartBounds {
  readonly partsMax: number
  readonly headerBytesMax: number
}

export const multipartBounds: MultipartBounds = { partsMax: 1_000, headerBytesMax: 8_192 }

const headersMax = 16
const dashes = Buffer.from('--')
const lineEnd = Buffer.from('\r\n')

/**
 * Splits a multipart/form-data body. Strict on purpose: no preamble, no bare line feed, every part named, an end that
 * is there. What one reader would skip and another would read is how files pass a gate unseen.
 */
export function parseMultipart(body: Buffer, boundary: string | undefined, bounds = multipartBounds): FormPart[] {
  // RFC 2046, 5.1.1: 1 to 70 characters of a narrow set, not ending in a space.
  if (boundary === undefined || !/^[\w'()+,./:=? -]{0,69}[\w'()+,./:=?-]$/.test(boundary))
    throw new MultipartError('expected a boundary of 1 to 70 characters in Content-Type')
  const opening = Buffer.from(`--${boundary}`, 'latin1')
  const delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  if (!startsWith(body, opening, 0)) throw new MultipartError('expected the body to begin with its boundary')
  const parts: FormPart[] = []
  let at = opening.length
  for (;;) {
    if (startsWith(body, dashes, at)) {
      at += 2
      if (at < body.length && !(body.length === at + 2 && startsWith(body, lineEnd, at)))
        throw new MultipartError('expected nothing after the last boundary')
      return parts
    }
    if (!startsWith(body, lineEnd, at)) throw new MultipartError('expected a line end after a boundary')
    at += 2
    if (parts.length >= bounds.partsMax) throw new MultipartError(`expected at most ${bounds.partsMax} parts`)
    const headEnd = startsWith(body, lineEnd, at) ? at : body.indexOf('\r\n\r\n', at)
    if (headEnd < 0 || headEnd - at > bounds.headerBytesMax)
      throw new MultipartError(`expected the headers of a part within ${bounds.headerBytesMax} bytes`)
    const head = readHead(body.toString('utf8', at, headEnd))
    const bodyAt = headEnd === at ? at + 2 : headEnd + 4
    // The line end before a boundary belongs to it, so the search starts on the one that ended the headers.
    const end = body.indexOf(delimiter, bodyAt - 2)
    if (end < 0) throw new MultipartError('expected a boundary after the last part')
    parts.push({ ...head, body: body.subarray(bodyAt, Math.max(end, bodyAt)) })
    at = end + delimiter.length
  }
}

function startsWith(bytes: Buffer, prefix: Buffer, at: number): boolean {
  return bytes.length >= at + prefix.length && bytes.compare(prefix, 0, prefix.length, at, at + prefix.length) === 0
}

function readHead(text: string): Omit<FormPart, 'body'> {
  const headers = new Map<string, string>()
  const lines = text === '' ? [] : text.split('\r\n')
  if (lines.length > headersMax) throw new MultipartError(`expected at most ${headersMax} headers in a part`)
  for (const line of lines) {
    const header = /^([!#$%&'*+.^_`|~\w-]+):[ \t]*([^\r\n\0]*)$/.exec(line)
    if (header === null) throw new MultipartError('expected headers of the form name: value in a part')
    const name = header[1]!.toLowerCase()
    if (headers.has(name)) throw new MultipartError('expected each header of a part once')
    headers.set(name, header[2]!.trimEnd())
  }
  const encoding = headers.get('content-transfer-encoding')?.toLowerCase()
  if (encoding !== undefined && !['7bit', '8bit', 'binary'].includes(encoding))
    throw new MultipartError('expected no content transfer encoding in a part (RFC 7578, 4.7)')
  const disposition = readDisposition(headers.get('content-disposition'))
  return { ...disposition, contentType: headers.get('content-type') }
}

function readDisposition(text: string | undefined): Pick<FormPart, 'name' | 'fileName'> {
  const head = text === undefined ? null : /^form-data(?=;)/i.exec(text)
  if (head === null) throw new MultipartError('expected Content-Disposition: form-data with a name in every part')
  const parameters = new Map<string, string>()
  let rest = text!.slice(head[0].length)
  while (rest !== '') {
    // Browsers write quotes within values as %22 (WHATWG HTML, 4.10.21.8), other clients with a backslash.
    const parameter = /^[ \t]*;[ \t]*([\w*-]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s";]+))[ \t]*/.exec(rest)
    if (parameter === null) throw new MultipartError('expected Content-Disposition parameters of the form name="value"')
    const name = parameter[1]!.toLowerCase()
    if (parameters.has(name)) throw new MultipartError('expected each Content-Disposition parameter once')
    parameters.set(name, parameter[2]?.replace(/\\(["\\])/g, '$1') ?? parameter[3]!)
    rest = rest.slice(parameter[0].length)
  }
  const name = parameters.get('name')
  if (name === undefined) throw new MultipartError('expected a name in every part')
  return { name, fileName: parameters.get('filename') ?? parameters.get('filename*') }
}

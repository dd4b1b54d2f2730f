import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What the server behind the WAF answers in the CRS project's tests. */
export interface AlbedoReply {
  readonly status: number
  /** Names and values in turn; bytes. */
  readonly headers: readonly string[]
  readonly body: Buffer
}

const nothing = Buffer.alloc(0)

/** As albedo replies: 200 and nothing to everything, but `POST /reflect` answers what the body asks for. */
export function albedoReply(method: string, uri: string, body: Buffer | undefined): AlbedoReply {
  if (method !== 'POST' || !/^\/reflect(?:\/|\?|$)/.test(uri)) return { status: 200, headers: [], body: nothing }
  let spec: unknown
  try {
    spec = JSON.parse(body?.toString('utf8') ?? '')
  } catch {
    spec = undefined
  }
  if (typeof spec !== 'object' || spec === null) {
    return {
      status: 400,
      headers: ['Content-Type', 'text/plain; charset=utf-8'],
      body: Buffer.from('Invalid JSON in request body'),
    }
  }
  const { status, headers, body: text, encodedBody } = spec as Readonly<Record<string, unknown>>
  const reply =
    typeof text === 'string' && text !== '' ? Buffer.from(text) : Buffer.from(String(encodedBody ?? ''), 'base64')
  const pairs = Object.entries((headers ?? {}) as Record<string, string>).flatMap(([name, value]) => {
    return [name, Buffer.from(value).toString('latin1')]
  })
  const typed = reply.length === 0 || pairs.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'content-type')
  return {
    status: typeof status === 'number' && status > 0 ? status : 200,
    headers: typed ? pairs : [...pairs, 'Content-Type', sniffed(reply)],
    body: reply,
  }
}

/** What Go's server says of a body whose type nobody named, as far as texts go. */
function sniffed(body: Buffer): string {
  const start = body.toString('latin1', 0, 512)
  if (
    /^\s*<(?:!doctype html|html|head|script|iframe|h1|div|font|table|a|style|title|b|body|br|p|!--)[\s>]/i.test(start)
  ) {
    return 'text/html; charset=utf-8'
  }
  if (/^\s*<\?xml/.test(start)) return 'text/xml; charset=utf-8'
  if (start.startsWith('%PDF-')) return 'application/pdf'
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what tells text from bytes.
  return /[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]/.test(start) ? 'application/octet-stream' : 'text/plain; charset=utf-8'
}

/** The server behind the gate under test: albedo's answers, on a port of loopback. */
export async function startAlbedo(): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const server = createServer({ insecureHTTPParser: false, maxHeaderSize: 256 * 1024 }, (request, reply) => {
    const parts: Buffer[] = []
    request.on('data', (part: Buffer) => parts.push(part))
    request.on('end', () => {
      const answer = albedoReply(request.method!, request.url!, Buffer.concat(parts))
      try {
        reply.writeHead(answer.status, [...answer.headers, 'content-length', String(answer.body.length)])
      } catch {
        // Headers or a status that HTTP does not know: albedo drops them, this one the whole answer's head.
        reply.writeHead(200, { 'content-length': answer.body.length })
      }
      reply.end(answer.body)
    })
    request.on('error', () => reply.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, stop: () => stop(server) }
}

async function stop(server: Server): Promise<void> {
  server.closeAllConnections()
  await new Promise((resolve) => server.close(resolve))
}

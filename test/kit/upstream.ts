import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** A request as the upstream saw it. */
export interface Hit {
  readonly method: string
  readonly url: string
  readonly headers: IncomingMessage['headers']
  readonly rawHeaders: readonly string[]
  /** The whole body, once it came. */
  body: Buffer
}

/** A real HTTP server on loopback that stands behind the gate and notes what reaches it. */
export interface TestUpstream {
  readonly url: string
  readonly port: number
  readonly server: Server
  readonly hits: Hit[]
  readonly stop: () => Promise<void>
}

/** Starts an upstream. `handler` answers after the body was read, unless it is given with `streaming`. */
export async function startUpstream(
  handler: (request: IncomingMessage, reply: ServerResponse, hit: Hit) => void = (_request, reply) => json(reply, {}),
  options: {
    readonly streaming?: boolean
    readonly port?: number
    readonly server?: (listener: RequestListener) => Server
  } = {},
): Promise<TestUpstream> {
  const hits: Hit[] = []
  const server = (options.server ?? createServer)((request, reply) => {
    const hit: Hit = {
      method: request.method!,
      url: request.url!,
      headers: request.headers,
      rawHeaders: request.rawHeaders,
      body: Buffer.alloc(0),
    }
    hits.push(hit)
    if (options.streaming === true) return handler(request, reply, hit)
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      hit.body = Buffer.concat(chunks)
      handler(request, reply, hit)
    })
    request.on('error', () => {})
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(options.port ?? 0, '127.0.0.1', resolve)
  })
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    server,
    hits,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

/** Answers with JSON. */
export function json(reply: ServerResponse, value: unknown, status = 200, headers: Record<string, string> = {}): void {
  const body = JSON.stringify(value)
  reply.writeHead(status, {
    'content-type': 'application/json',
    'content-length': String(Buffer.byteLength(body)),
    ...headers,
  })
  reply.end(body)
}

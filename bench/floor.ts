// R, the floor of this runtime: what any HTTP proxy on node:http and undici costs before it does anything useful.
// The gate is measured as a share of it, in the same run. Keep it plain: no routing, no log, no header rules.
import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http'
import { type Dispatcher, Pool } from 'undici'

const hopByHop = new Set(['connection', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'host'])
const upstream = new Pool(process.argv[3]!, { pipelining: 1, connections: 256 })

class Handler implements Dispatcher.DispatchHandler {
  readonly reply: ServerResponse

  constructor(reply: ServerResponse) {
    this.reply = reply
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.reply.on('close', () => {
      if (!this.reply.writableEnded) controller.abort(new Error('gone'))
    })
  }

  onResponseStart(_controller: Dispatcher.DispatchController, status: number, headers: IncomingHttpHeaders): void {
    const flat: string[] = []
    for (const name in headers) {
      const value = headers[name]
      if (!hopByHop.has(name) && typeof value === 'string') flat.push(name, value)
    }
    this.reply.writeHead(status, flat)
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (!this.reply.write(chunk)) {
      controller.pause()
      this.reply.once('drain', () => controller.resume())
    }
  }

  onResponseEnd(): void {
    this.reply.end()
  }

  onResponseError(): void {
    if (!this.reply.headersSent) this.reply.writeHead(502)
    this.reply.end()
  }
}

createServer((request, reply) => {
  const headers: string[] = []
  for (let i = 0; i < request.rawHeaders.length; i += 2) {
    if (!hopByHop.has(request.rawHeaders[i]!.toLowerCase()))
      headers.push(request.rawHeaders[i]!, request.rawHeaders[i + 1]!)
  }
  headers.push('x-forwarded-for', request.socket.remoteAddress ?? '')
  const { method, url: path } = request as { method: Dispatcher.HttpMethod; url: string }
  const forward = (body: Buffer | null) => {
    upstream.dispatch({ path, method, headers, body }, new Handler(reply))
  }
  if (request.headers['content-length'] === undefined) return forward(null)
  const chunks: Buffer[] = []
  request.on('data', (chunk: Buffer) => chunks.push(chunk))
  request.on('end', () => forward(chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)))
}).listen(Number(process.argv[2]), '127.0.0.1')

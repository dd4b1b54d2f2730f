import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setImmediate as immediately } from 'node:timers/promises'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { ProcessReport } from './fleet.ts'
import { contentTypes, expositionFor, renderPieces } from './registry.ts'

export interface EndpointSources {
  readonly collect: () => ProcessReport | Promise<ProcessReport>
  /** Why this gate should get no traffic now, or `undefined` when it may. */
  readonly notReady?: (() => string | undefined | Promise<string | undefined>) | undefined
}

export interface Endpoint {
  /** host:port as bound: with the port that was chosen for `:0`. */
  readonly address: string
  readonly close: () => Promise<void>
}

/**
 * Serves `/metrics`, `/errors`, `/healthz` and `/readyz` on `host:port` (default host: loopback). Throws
 * `ConfigError` when the address cannot be used.
 */
export async function serveMetrics(address: string, sources: EndpointSources): Promise<Endpoint> {
  const { host, port } = parseAddress(address)
  let collecting: Promise<ProcessReport> | undefined
  /** Scrapers that ask at the same time get the same answer: collecting twice would tell nothing new. */
  const collect = () => {
    collecting ??= Promise.resolve(sources.collect()).finally(() => {
      collecting = undefined
    })
    return collecting
  }
  const answer = async (path: string, accept: string | undefined) => {
    switch (path) {
      case '/metrics': {
        const form = expositionFor(accept)
        const pieces: string[] = []
        for (const piece of renderPieces((await collect()).metrics, form)) {
          pieces.push(piece)
          // Thousands of series take tens of milliseconds to print; requests go first.
          await immediately()
        }
        return { status: 200, type: contentTypes[form], body: pieces.join('') }
      }
      case '/errors':
        return { status: 200, type: 'application/json', body: JSON.stringify((await collect()).errors) }
      case '/healthz':
        return { status: 200, type: 'text/plain', body: 'ok\n' }
      case '/readyz': {
        const reason = await sources.notReady?.()
        return { status: reason === undefined ? 200 : 503, type: 'text/plain', body: `${reason ?? 'ready'}\n` }
      }
      default:
        return { status: 404, type: 'text/plain', body: 'Here are /metrics, /errors, /healthz and /readyz.\n' }
    }
  }
  const server = createServer((request, reply) => {
    request.resume()
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      reply.writeHead(405, { allow: 'GET, HEAD' }).end()
      return
    }
    answer((request.url ?? '/').split('?', 1)[0]!, request.headers.accept).then(
      ({ status, type, body }) =>
        reply
          .writeHead(status, { 'content-type': type, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff' })
          .end(request.method === 'HEAD' ? undefined : body),
      (error) => reply.writeHead(500, { 'content-type': 'text/plain' }).end(`${messageOf(error)}\n`),
    )
  })
  server.maxConnections = 64
  server.headersTimeout = 5_000
  server.requestTimeout = 10_000
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(
        new ConfigError('P1090', `telemetry.metrics: cannot listen on ${address}: ${error.code ?? error.message}`, {
          hint: endpointHints[error.code ?? ''] ?? 'choose another address, such as 127.0.0.1:9464',
        }),
      ),
    )
    // Exclusive: every process that asks for an endpoint has its own.
    server.listen({ host, port, exclusive: true }, resolve)
  })
  const bound = server.address() as AddressInfo
  return {
    address: `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

const endpointHints: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program has this port; choose another',
  EACCES: 'this user may not listen there; choose a port above 1023',
  EADDRNOTAVAIL: 'this machine has no such address',
}

function parseAddress(address: string): { readonly host: string; readonly port: number } {
  const match = /^(?:(?:\[([0-9a-f:.]+)\]|([^:[\]]*)):)?(\d{1,5})$/i.exec(address)
  const port = Number(match?.[3])
  if (match === null || port > 65_535) {
    throw new ConfigError('P1091', `telemetry.metrics: expected host:port, found ${JSON.stringify(address)}`, {
      hint: 'such as 127.0.0.1:9464',
    })
  }
  return { host: match[1] || match[2] || '127.0.0.1', port }
}

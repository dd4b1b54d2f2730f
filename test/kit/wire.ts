import { mkdtemp, rm } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { RangeSet } from '../../src/base/ip.ts'
import { type Logger, silentLogger } from '../../src/base/log.ts'
import { type ConnectionLimits, type ListenSettings, rootShape } from '../../src/config/settings.ts'
import { readArrival } from '../../src/gate/arrival.ts'
import type { Arrival } from '../../src/gate/exchange.ts'
import { type Listener, openListener } from '../../src/gate/listener.ts'
import type { Refused } from '../../src/gate/refusal.ts'

/** A listener with a handler of its own in the gate's place, for tests of what arrives on the wire. */
export interface TestWire {
  readonly port: number
  readonly listener: Listener
  readonly stateDir: string
  /** Requests that reached the handler whole. */
  readonly arrivals: Arrival[]
  readonly refused: Refused[]
  readonly messages: string[]
  stop(): Promise<void>
}

export interface TestWireInput {
  readonly entry?: Partial<ListenSettings>
  readonly limits?: Partial<ConnectionLimits>
  readonly bodyWindowMs?: number
  readonly httpsPort?: number
  readonly trusted?: RangeSet
  readonly stateDir?: string
  readonly now?: () => number
  /** Answers a request whose body was read. Default: 200 with the path. */
  readonly answer?: (arrival: Arrival, reply: ServerResponse) => void
}

/** Opens a listener on loopback. The handler reads the whole body, notes the arrival and answers. */
export async function startWire(input: TestWireInput = {}): Promise<TestWire> {
  const stateDir = input.stateDir ?? (await mkdtemp(join(tmpdir(), 'portcullis-wire-')))
  const arrivals: Arrival[] = []
  const refused: Refused[] = []
  const messages: string[] = []
  const say = (message: string) => void messages.push(message)
  const log: Logger = { ...silentLogger, info: say, warn: say, error: say }
  const answer = input.answer ?? ((arrival, reply) => reply.end(arrival.target.path))
  const now = input.now ?? Date.now
  const listener = await openListener(
    { port: 0, host: '127.0.0.1', tls: 'off', behindTlsTerminator: false, http2: true, ...input.entry },
    {
      limits: { ...rootShape.connection.parse(undefined), ...input.limits },
      trusted: input.trusted ?? new RangeSet([]),
      log,
      stateDir,
      now,
      onRefused: (one) => refused.push(one),
      ...(input.bodyWindowMs === undefined ? {} : { bodyWindowMs: input.bodyWindowMs }),
      ...(input.httpsPort === undefined ? {} : { httpsPort: input.httpsPort }),
      handlers: {
        request(incoming, outgoing, peer) {
          const request = incoming as IncomingMessage
          const reply = outgoing as unknown as ServerResponse
          const arrival = readArrival(request, peer, now())
          if ('kind' in arrival) {
            const body = JSON.stringify({ code: arrival.code })
            reply.writeHead(arrival.status, { 'content-length': body.length })
            reply.end(body)
            return
          }
          if (request.headers.expect !== undefined) reply.writeContinue()
          request.on('error', () => {})
          const arrived = () => {
            arrivals.push(arrival)
            answer(arrival, reply)
          }
          // A request without a body ended before it began.
          if (request.readableEnded) return arrived()
          request.resume()
          request.once('end', arrived)
        },
        upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, peer) {
          const arrival = readArrival(request, peer, now())
          if ('kind' in arrival) {
            socket.end(`HTTP/1.1 ${arrival.status} No\r\n\r\n{"code":"${arrival.code}"}`)
            return
          }
          arrivals.push(arrival)
          socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: ${arrival.upgrade}\r\nConnection: Upgrade\r\n\r\n`)
          socket.write(head)
          socket.pipe(socket)
        },
      },
    },
  )
  return {
    port: listener.port,
    listener,
    stateDir,
    arrivals,
    refused,
    messages,
    async stop() {
      await listener.close()
      if (input.stateDir === undefined) await rm(stateDir, { recursive: true, force: true })
    },
  }
}

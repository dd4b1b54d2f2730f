import type { IncomingMessage, ServerResponse } from 'node:http'
import type { PeerCertificate, TLSSocket } from 'node:tls'
import type { IncomingRequest } from '../gate/arrival.ts'
import { bringsBody, PassingBody } from '../gate/body.ts'
import { type Caller, createEngine, type Engine, type ProtectOptions } from './engine.ts'
import { GateRequest } from './node-request.ts'
import { CallerReply, HandlerReply } from './node-response.ts'

export type { ProtectOptions } from './engine.ts'

/** What stands behind the gate: a `node:http` listener, or the rest of a framework's chain. A promise is watched for failure. */
export type Next = () => unknown

/** A gate to be called before a handler. `next` runs only for what may pass; its answer goes through the gate too. */
export interface Middleware {
  (request: IncomingMessage, response: ServerResponse, next: Next): void
  /** Ends what the gate holds, after the requests under way; for an orderly stop, when the server is closed. */
  close(): Promise<void>
}

/**
 * The gate in front of a handler in the same process: `const gate = await portcullis({ openapi: './openapi.yaml' })`, then
 * `createServer((request, response) => gate(request, response, () => handler(request, response)))`.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<Middleware> {
  const engine = await createEngine(options)
  const middleware = (request: IncomingMessage, response: ServerResponse, next: Next) =>
    run(engine, request, response, next)
  return Object.assign(middleware, { close: engine.close })
}

function run(engine: Engine, request: IncomingMessage, response: ServerResponse, next: Next): void {
  if ((request.readableEnded || request.readableEncoding !== null) && bringsBody(request)) {
    throw new Error('the body was read before the gate could judge it: portcullis must stand before what reads bodies')
  }
  const seen = new GateRequest(request, (request as { originalUrl?: string }).originalUrl ?? request.url!)
  const caller = new CallerReply(response)
  engine.request(seen as unknown as IncomingRequest, caller, callerOf(request), (passed, answer) => {
    const reply = new HandlerReply(response, caller, answer)
    seen.handOver(passed)
    if (passed.body instanceof PassingBody) {
      // The handler waits for more, which will not come.
      passed.body.once('error', () => response.once('close', () => request.destroy()))
    }
    const failed = (error: unknown) => {
      engine.log.error('The handler behind the gate failed.', { error: error instanceof Error ? error.stack : error })
      reply.fail()
    }
    try {
      const result = next()
      if (result instanceof Promise) result.catch(failed)
    } catch (error) {
      failed(error)
    }
  })
}

/** Read from the certificate once a connection: node makes a new object each time it is asked. */
const certificates = new WeakMap<TLSSocket, PeerCertificate>()

/** The other end of a request's socket. */
export function callerOf({ socket }: IncomingMessage): Caller {
  const tls = socket as Partial<TLSSocket>
  return {
    address: socket.remoteAddress,
    encrypted: tls.encrypted === true,
    certificate: tls.authorized === true ? certificateOf(socket as TLSSocket) : undefined,
  }
}

function certificateOf(socket: TLSSocket): PeerCertificate {
  const certificate = certificates.get(socket) ?? socket.getPeerCertificate(true)
  certificates.set(socket, certificate)
  return certificate
}

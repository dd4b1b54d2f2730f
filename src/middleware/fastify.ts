import type { IncomingMessage, ServerResponse } from 'node:http'
import { portcullis as node, type ProtectOptions } from './node.ts'

export type { ProtectOptions } from './node.ts'

/** The part of a Fastify instance that the plugin uses. */
interface Instance {
  addHook(name: 'onRequest', hook: (request: RawRequest, reply: RawReply, done: () => void) => void): unknown
  addHook(name: 'onClose', hook: () => Promise<void>): unknown
}

interface RawRequest {
  readonly raw: IncomingMessage
}

interface RawReply {
  readonly raw: ServerResponse
  hijack(): unknown
}

/**
 * The gate as a Fastify plugin: `await app.register(portcullis, { openapi: './openapi.yaml' })`, before the routes. It runs
 * in `onRequest` for every route of the instance.
 */
export const portcullis = Object.assign(
  async (instance: Instance, options: ProtectOptions): Promise<void> => {
    const gate = await node(options)
    instance.addHook('onRequest', (request, reply, done) => {
      let passed = false
      gate(request.raw, reply.raw, () => {
        passed = true
        done()
      })
      // A refusal is written by the gate itself; Fastify must not answer again. One that comes later finds this done too.
      request.raw.once('close', () => {
        if (!passed) reply.hijack()
      })
    })
    instance.addHook('onClose', () => gate.close())
  },
  // Fastify would otherwise keep the hook to the plugin's own routes (its plugin guide calls this `skip-override`).
  { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'portcullis' },
)

import type { IncomingMessage, ServerResponse } from 'node:http'
import { portcullis as node, type ProtectOptions } from './node.ts'

export type { ProtectOptions } from './node.ts'

/** The part of a Fastify instance that the plugin uses. */
interface Instance {
  addHook(
    name: 'onRequest',
    hook: (
      request: { readonly raw: IncomingMessage },
      reply: { readonly raw: ServerResponse },
      done: () => void,
    ) => void,
  ): unknown
  addHook(name: 'onClose', hook: () => Promise<void>): unknown
}

/**
 * The gate as a Fastify plugin: `await app.register(portcullis, { openapi: './openapi.yaml' })`, before the routes. It
 * judges every request to the instance it is registered with, before Fastify reads its body.
 */
export const portcullis = Object.assign(
  async (instance: Instance, options: ProtectOptions): Promise<void> => {
    const gate = await node(options)
    // What is refused is answered, and Fastify is never told to go on.
    instance.addHook('onRequest', (request, reply, done) => gate(request.raw, reply.raw, () => done()))
    instance.addHook('onClose', () => gate.close())
  },
  // Fastify would otherwise keep the hook to the plugin's own routes (`skip-override` in its guide to plugins).
  { [Symbol.for('skip-override')]: true, [Symbol.for('fastify.display-name')]: 'portcullis' },
)

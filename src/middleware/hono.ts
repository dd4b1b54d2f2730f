import type { IncomingMessage } from 'node:http'
import { portcullis as fetchGate, type ProtectOptions } from './fetch.ts'
import { callerOf } from './node.ts'

export type { ProtectOptions } from './engine.ts'

/** The part of a Hono context that the middleware uses. */
interface Context {
  readonly req: { raw: Request }
  get res(): Response
  set res(response: Response | undefined)
  readonly env: unknown
}

/** A gate as Hono middleware. */
export interface HonoMiddleware {
  (context: Context, next: () => Promise<void>): Promise<void>
  /** Ends what the gate holds, after the requests under way; for an orderly stop. */
  close(): Promise<void>
}

/**
 * The gate as Hono middleware: `app.use(await portcullis({ openapi: './openapi.yaml' }))`, before the routes. On
 * `@hono/node-server` callers are told apart by address and client certificate.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<HonoMiddleware> {
  const gate = await fetchGate(options)
  const middleware = async (context: Context, next: () => Promise<void>) => {
    let running: Promise<void> | undefined
    const handler = async (passed: Request) => {
      context.req.raw = passed
      running = next()
      await running
      return context.res
    }
    // What @hono/node-server knows of the connection.
    const { incoming } = (context.env ?? {}) as { readonly incoming?: IncomingMessage }
    const response = await gate(context.req.raw, handler, incoming === undefined ? {} : callerOf(incoming))
    // A refusal in the middle of a body leaves a handler behind, whose failure would be the answer if it came later.
    await running?.catch(() => {})
    // Hono adds the headers of a response that is there to the one that replaces it.
    context.res = undefined
    context.res = response
  }
  return Object.assign(middleware, { close: gate.close })
}

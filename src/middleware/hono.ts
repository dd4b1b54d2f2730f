import type { IncomingMessage } from 'node:http'
import { portcullis as fetchGate, type ProtectOptions } from './fetch.ts'

export type { ProtectOptions } from './fetch.ts'

/** The part of a Hono context that the middleware uses. */
interface Context {
  readonly req: { raw: Request }
  res: Response
  /** With @hono/node-server: the socket's side of the request. */
  readonly env: unknown
}

/** A gate as Hono middleware. */
export interface HonoMiddleware {
  (context: Context, next: () => Promise<void>): Promise<Response>
  /** Ends what the gate holds; for an orderly stop. */
  close(): Promise<void>
}

/**
 * The gate as Hono middleware: `app.use(await portcullis({ openapi: './openapi.yaml' }))`, before the routes. Callers are told
 * apart by address where the app runs on `@hono/node-server`.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<HonoMiddleware> {
  const gate = await fetchGate(options)
  const middleware = (context: Context, next: () => Promise<void>) =>
    gate(
      context.req.raw,
      async (passed) => {
        context.req.raw = passed
        await next()
        return context.res
      },
      { address: addressOf(context.env) },
    )
  return Object.assign(middleware, { close: gate.close })
}

function addressOf(env: unknown): string | undefined {
  return (env as { readonly incoming?: IncomingMessage } | undefined)?.incoming?.socket.remoteAddress
}

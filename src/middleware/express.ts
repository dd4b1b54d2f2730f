import { type Middleware, portcullis as node, type ProtectOptions } from './node.ts'

export type { Middleware, ProtectOptions } from './node.ts'

/**
 * The gate as Express middleware: `app.use(await portcullis({ openapi: './openapi.yaml' }))`, before anything that reads
 * bodies. `request.headers['portcullis-subject']` tells the routes who calls.
 */
export function portcullis(options: ProtectOptions = {}): Promise<Middleware> {
  return node(options)
}

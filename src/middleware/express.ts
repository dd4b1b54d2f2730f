import { type Middleware, portcullis as node, type ProtectOptions } from './node.ts'

export type { Middleware, ProtectOptions } from './node.ts'

/**
 * The gate as Express (or Connect) middleware: `app.use(await portcullis({ openapi: './openapi.yaml' }))`, before anything
 * that reads bodies. `request.headers['portcullis-subject']` tells the routes who calls.
 */
export async function portcullis(options: ProtectOptions = {}): Promise<Middleware> {
  const gate = await node(options)
  const middleware: (...given: Parameters<Middleware>) => void = (request, response, next) => {
    // Express names itself before any middleware is asked, so that the gate would take it for the application's wish.
    response.removeHeader('x-powered-by')
    // Called without arguments: to Express, an argument is an error.
    gate(request, response, () => next())
  }
  return Object.assign(middleware, { close: gate.close })
}

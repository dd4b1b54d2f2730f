// node examples/middleware/fetch.ts: the gate in front of a handler in the terms of the Fetch standard.
import { serve } from '@hono/node-server'
import { portcullis } from '../../src/middleware/fetch.ts' // in your project: 'portcullis/fetch'

const gate = await portcullis({ config: new URL('./portcullis.yaml', import.meta.url).pathname })

async function handler(request: Request): Promise<Response> {
  if (new URL(request.url).pathname === '/health') return Response.json({})
  const note = (await request.json()) as { text: string }
  const by = request.headers.get('portcullis-subject')
  return Response.json({ ...note, by, internal: 'not for callers' }, { status: 201 })
}

// Any server that speaks Request and Response will do. A Request does not say who sent it: tell the gate the address.
const server = serve(
  {
    fetch: (request, { incoming }) => gate(request, handler, { address: incoming.socket.remoteAddress }),
    port: Number(process.env.PORT ?? 3000),
    hostname: '127.0.0.1',
  },
  ({ port }) => console.log(`http://127.0.0.1:${port}`),
)

// An orderly stop: first the server, then the gate.
process.once('SIGTERM', () => server.close(() => void gate.close()))

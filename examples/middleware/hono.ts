// node examples/middleware/hono.ts: the gate as Hono middleware, on @hono/node-server.
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { portcullis } from '../../src/middleware/hono.ts' // in your project: 'portcullis/hono'

const gate = await portcullis({ config: new URL('./portcullis.yaml', import.meta.url).pathname })

const app = new Hono()
app.use(gate) // before the routes
app.get('/health', (context) => context.json({}))
app.post('/notes', async (context) => {
  const note = await context.req.json()
  return context.json({ ...note, by: context.req.header('portcullis-subject'), internal: 'not for callers' }, 201)
})

const server = serve(
  { fetch: app.fetch, port: Number(process.env.PORT ?? 3000), hostname: '127.0.0.1' },
  ({ port }) => {
    console.log(`http://127.0.0.1:${port}`)
  },
)

// An orderly stop: first the server, then the gate.
process.once('SIGTERM', () => server.close(() => void gate.close()))

// node examples/middleware/fastify.ts: the gate as a Fastify plugin.
import fastify from 'fastify'
import { portcullis } from '../../src/middleware/fastify.ts' // in your project: 'portcullis/fastify'

const app = fastify()
await app.register(portcullis, { config: new URL('./portcullis.yaml', import.meta.url).pathname })
app.get('/health', () => ({}))
app.post<{ Body: { text: string } }>('/notes', (request, reply) => {
  reply.status(201)
  return { ...request.body, by: request.headers['portcullis-subject'], internal: 'not for callers' }
})

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000), host: '127.0.0.1' }))

// An orderly stop: Fastify closes the gate with everything else.
process.once('SIGTERM', () => void app.close())

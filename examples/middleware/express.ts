// node examples/middleware/express.ts: the gate as Express middleware.
import type { AddressInfo } from 'node:net'
import express from 'express'
import { portcullis } from '../../src/middleware/express.ts' // in your project: 'portcullis/express'

const gate = await portcullis({ config: new URL('./portcullis.yaml', import.meta.url).pathname })

const app = express()
app.use(gate) // before anything that reads bodies
app.use(express.json())
app.get('/health', (_request, response) => {
  response.json({})
})
app.post('/notes', (request, response) => {
  response.status(201).json({ ...request.body, by: request.get('portcullis-subject'), internal: 'not for callers' })
})

const server = app.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})

// An orderly stop: first the server, then the gate.
process.once('SIGTERM', () => server.close(() => void gate.close()))

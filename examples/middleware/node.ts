// node examples/middleware/node.ts: the gate in front of a plain node:http handler.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { json } from 'node:stream/consumers'
import { portcullis } from '../../src/middleware/node.ts' // in your project: 'portcullis/node'

const gate = await portcullis({ config: new URL('./portcullis.yaml', import.meta.url).pathname })

async function handler(request: IncomingMessage, response: ServerResponse) {
  response.setHeader('content-type', 'application/json')
  if (request.url === '/health') {
    response.end('{}')
    return
  }
  const note = (await json(request)) as { text: string }
  response.statusCode = 201
  response.end(JSON.stringify({ ...note, by: request.headers['portcullis-subject'], internal: 'not for callers' }))
}

const server = createServer((request, response) => gate(request, response, () => handler(request, response)))
server.listen(Number(process.env.PORT ?? 3000), '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})

// An orderly stop: first the server, then the gate.
process.once('SIGTERM', () => server.close(() => void gate.close()))

import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { DownloadError, download } from './download.ts'

const limits = { bytesMax: 1_000, timeoutMs: 5_000, hosts: [] }
const open: (() => void)[] = []
afterEach(() => open.splice(0).forEach((close) => void close()))

async function serve(answer: (request: IncomingMessage, reply: ServerResponse) => void): Promise<string> {
  const server = createServer(answer)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => {
    server.closeAllConnections()
    server.close()
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/x`
}

test('fetches what is there, as it is', async () => {
  const url = await serve((request, reply) => reply.end(request.headers['accept-encoding']))
  expect((await download(url, limits)).toString()).toBe('identity')
})

test.each<[string, (request: IncomingMessage, reply: ServerResponse) => void, RegExp]>([
  [
    'announces too much',
    (_request, reply) => reply.setHeader('content-length', 1_001).flushHeaders(),
    /larger than 1000/,
  ],
  ['sends too much', (_request, reply) => void reply.end(Buffer.alloc(1_001)), /larger than 1000/],
  ['never ends', (_request, reply) => void reply.write('x'), /took longer than 0\.3 s/],
  ['never begins', () => {}, /took longer than 0\.3 s/],
  ['breaks off', (_request, reply) => void reply.write('x', () => reply.destroy()), /cannot be fetched/],
  ['fails', (_request, reply) => void reply.writeHead(503).end('x'), /answers 503/],
  [
    'sends to a file',
    (_request, reply) => void reply.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    /https is asked for/,
  ],
  [
    'sends to plain HTTP elsewhere',
    (_request, reply) => void reply.writeHead(302, { location: 'http://example.org/' }).end(),
    /https is asked for/,
  ],
  [
    'sends to a host that is not listed',
    (_request, reply) => void reply.writeHead(302, { location: 'https://example.org/' }).end(),
    /sends to example\.org/,
  ],
])('gives up on a site that %s', async (_name, answer, reason) => {
  const act = download(await serve(answer), { ...limits, timeoutMs: 300 })
  await expect(act).rejects.toThrow(DownloadError)
  await expect(act).rejects.toThrow(reason)
})

test('says that a thing is not there, as told from a site that fails', async () => {
  const url = await serve((_request, reply) => void reply.writeHead(404).end())
  await expect(download(url, limits)).rejects.toMatchObject({ missing: true })
})

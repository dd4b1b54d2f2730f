import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'
import { afterEach, describe, expect, test } from 'vitest'
import { albedoReply, startAlbedo } from './albedo.ts'
import { sendBytes } from './wire.ts'

const open: (() => void)[] = []
afterEach(() => {
  for (const close of open.splice(0)) close()
})

/** A server that answers with exactly these bytes, and closes or not. */
async function serve(answer: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    socket.once('data', () => answer(socket))
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  open.push(() => server.close())
  return (server.address() as AddressInfo).port
}

describe('a reply on the wire', () => {
  test.each<[string, string, number | undefined]>([
    ['with a length', 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', 200],
    ['in chunks', 'HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n', 403],
    ['without a body', 'HTTP/1.1 204 No Content\r\n\r\n', 204],
    ['after an interim one', 'HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n', 200],
  ])('%s is whole without waiting for the end of the connection', async (_name, bytes, status) => {
    const port = await serve((socket) => socket.write(bytes))
    const began = performance.now()
    const reply = await sendBytes(port, Buffer.from('x'), 10_000)
    expect(reply).toEqual({ status, text: bytes })
    expect(performance.now() - began).toBeLessThan(5_000)
  })

  test.each<[string, (socket: Socket) => void, number | undefined, string]>([
    [
      'that ends with the connection',
      (socket) => socket.end('HTTP/1.0 200 OK\r\n\r\nok'),
      200,
      'HTTP/1.0 200 OK\r\n\r\nok',
    ],
    ['that is none, but an end', (socket) => socket.end(), undefined, ''],
    ['that is none, but a reset', (socket) => socket.resetAndDestroy(), undefined, ''],
    ['without a status line, as of HTTP/0.9', (socket) => socket.end('<html>'), undefined, '<html>'],
  ])('%s is told as it came', async (_name, answer, status, text) => {
    expect(await sendBytes(await serve(answer), Buffer.from('x'), 10_000)).toEqual({ status, text })
  })

  test('that never ends is given up after the time that was set', async () => {
    const port = await serve((socket) => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok'))
    expect((await sendBytes(port, Buffer.from('x'), 100)).status).toBe(200)
  })

  test('comes from a port where nobody listens as none', async () => {
    const port = await serve(() => {})
    for (const close of open.splice(0)) close()
    expect((await sendBytes(port, Buffer.from('x'), 1_000)).status).toBe(undefined)
  })
})

describe('the server behind the gate', () => {
  const reflect = (spec: object | string) =>
    albedoReply('POST', '/reflect', Buffer.from(typeof spec === 'string' ? spec : JSON.stringify(spec)))

  test('answers 200 and nothing to everything but what it is to reflect', () => {
    for (const [method, uri] of [
      ['GET', '/'],
      ['POST', '/reflected'],
      ['GET', '/reflect'],
      ['PUT', '/reflect'],
    ] as const) {
      expect(albedoReply(method, uri, Buffer.from('{"status":500}'))).toEqual({
        status: 200,
        headers: [],
        body: Buffer.alloc(0),
      })
    }
  })

  test('reflects status, headers and body, plain or in base64', () => {
    expect(reflect({ status: 500, headers: { 'Content-Type': 'text/html', 'X-A': 'b' }, body: 'hello' })).toEqual({
      status: 500,
      headers: ['Content-Type', 'text/html', 'X-A', 'b'],
      body: Buffer.from('hello'),
    })
    expect(reflect({ encodedBody: 'aGVsbG8=' })).toEqual({
      status: 200,
      headers: ['Content-Type', 'text/plain; charset=utf-8'],
      body: Buffer.from('hello'),
    })
    expect(reflect({ body: '<html>' }).headers).toEqual(['Content-Type', 'text/html; charset=utf-8'])
    expect(reflect('no JSON').status).toBe(400)
    expect(reflect('null').status).toBe(400)
  })

  test('does so over a socket', async () => {
    const { url, stop } = await startAlbedo()
    const reply = await fetch(`${url}/reflect`, {
      method: 'POST',
      body: JSON.stringify({ status: 418, headers: { 'x-a': 'b' }, body: 'hi' }),
    })
    expect([reply.status, reply.headers.get('x-a'), await reply.text()]).toEqual([418, 'b', 'hi'])
    expect((await fetch(`${url}/reflect`, { method: 'POST', body: '{"headers":{"bad name":"x"}}' })).status).toBe(200)
    await stop()
  })
})

import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, request as httpRequest, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server, type Http2Server } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, pipeline, Readable } from 'node:stream'
import { json, text } from 'node:stream/consumers'
import { gzipSync } from 'node:zlib'
import express from 'express'
import fastify from 'fastify'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { rawClient } from '../../test/kit/raw.ts'
import { silentLogger } from '../base/log.ts'
import { portcullis as forExpress } from './express.ts'
import { portcullis as forFastify } from './fastify.ts'
import { type Middleware, portcullis } from './node.ts'

const note = {
  type: 'object',
  required: ['text'],
  properties: { text: { type: 'string', maxLength: 1_000_000 } },
}
const body = { required: true, content: { 'application/json': { schema: note } } }
const octets = { required: true, content: { 'application/octet-stream': {} } }
const good = { responses: { 200: { description: 'Good.' } } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Notes', version: '1.0.0' },
  security: [],
  paths: {
    '/notes': { get: good, post: { requestBody: body, ...good }, put: { requestBody: octets, ...good } },
    '/notes/{id}': {
      get: { parameters: [{ name: 'id', in: 'path', required: true, schema: { type: 'string' } }], ...good },
    },
    '/optional': {
      post: { requestBody: { content: { 'text/plain': { schema: { type: 'string' } }, ...octets.content } }, ...good },
    },
  },
}

type Handler = (request: IncomingMessage, response: ServerResponse) => unknown

let dir: string
const closers: (() => unknown)[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'portcullis-node-'))
  await writeFile(join(dir, 'openapi.json'), JSON.stringify(document))
})

afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

afterAll(() => rm(dir, { recursive: true, force: true }))

const options = (api: object = {}, root: object = {}) => ({
  config: {
    version: 1 as const,
    store: { url: 'sqlite::memory:' },
    telemetry: { logs: { level: 'none' as const } },
    apis: { notes: { openapi: join(dir, 'openapi.json'), limits: { mode: 'off' as const }, ...api } },
    ...root,
  },
  log: silentLogger,
})

async function listen<T extends Server | Http2Server>(server: T): Promise<string> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  closers.push(() => {
    if ('closeAllConnections' in server) server.closeAllConnections()
    return new Promise((resolve) => server.close(resolve))
  })
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

const serverOf = (handler: Handler) => createServer((request, response) => void handler(request, response))

/** A server with the gate in front of a handler; `before` runs in front of the gate. */
async function serve(handler: Handler, before?: Handler, api?: object): Promise<string> {
  const gate = await portcullis(options(api))
  closers.push(() => gate.close())
  return listen(
    createServer((request, response) => {
      before?.(request, response)
      gate(request, response, () => handler(request, response))
    }),
  )
}

const post = (url: string, value: unknown, headers: Record<string, string> = {}) =>
  fetch(`${url}/notes`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof value === 'string' || Buffer.isBuffer(value) ? value : JSON.stringify(value),
  })

describe('a request behind the gate', () => {
  test.each([
    [
      'for await',
      async (request: IncomingMessage) => {
        let all = ''
        for await (const chunk of request) all += chunk
        return all
      },
    ],
    [
      "on('data')",
      (request: IncomingMessage) =>
        new Promise<string>((resolve) => {
          let all = ''
          request
            .setEncoding('utf8')
            .on('data', (chunk) => (all += chunk))
            .on('end', () => resolve(all))
        }),
    ],
    [
      "on('readable')",
      (request: IncomingMessage) =>
        new Promise<string>((resolve) => {
          const chunks: Buffer[] = []
          request.on('readable', () => {
            for (let chunk = request.read(); chunk !== null; chunk = request.read()) chunks.push(chunk)
          })
          request.on('end', () => resolve(Buffer.concat(chunks).toString()))
        }),
    ],
    ['pipe', (request: IncomingMessage) => text(request.pipe(new PassThrough()))],
    [
      'later',
      async (request: IncomingMessage) => {
        await new Promise((resolve) => setTimeout(resolve, 20))
        return text(request)
      },
    ],
    ['Readable.toWeb', (request: IncomingMessage) => new Response(Readable.toWeb(request) as ReadableStream).text()],
  ])('has its body for a handler that reads by %s', async (_, read) => {
    const url = await serve(async (request, response) => response.end(await read(request)))
    for (const size of [1, 70_000, 300_000]) {
      const sent = JSON.stringify({ text: 'x'.repeat(size) })
      expect(await (await post(url, sent)).text()).toBe(sent)
    }
  })

  test('whose body came before the gate was asked is judged, and whole for the handler', async () => {
    const gate = await portcullis(options())
    closers.push(() => gate.close())
    const url = await listen(
      serverOf(async (request, response) => {
        await new Promise((resolve) => setTimeout(resolve, 30))
        expect(request.complete).toBe(true)
        gate(request, response, async () => response.end(JSON.stringify(await json(request))))
      }),
    )
    expect(await (await post(url, { text: 'late' })).json()).toEqual({ text: 'late' })
    expect((await post(url, { text: 1 })).status).toBe(400)
  })

  test('comes decoded from its content coding, since that is what was judged', async () => {
    const url = await serve(async (request, response) => {
      const { 'content-length': length, 'content-encoding': coding } = request.headers
      response.end(JSON.stringify({ length, coding: coding ?? 'none', body: await text(request) }))
    })
    const sent = JSON.stringify({ text: 'y'.repeat(5_000) })
    const reply = await post(url, gzipSync(sent), { 'content-encoding': 'gzip' })
    expect(await reply.json()).toEqual({ length: String(sent.length), coding: 'none', body: sent })
  })

  test.each(['text/plain', 'application/octet-stream'])(
    'with an empty body of unknown length and type %s ends for the handler too',
    async (type) => {
      const url = await serve(async (request, response) => response.end(`[${await text(request)}]`))
      const client = await rawClient(Number(new URL(url).port))
      const head = `POST /optional HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: ${type}\r\n`
      client.send(`${head}transfer-encoding: chunked\r\n\r\n0\r\n\r\n`)
      expect(await client.whole()).toMatch(/^HTTP\/1.1 200 OK\r\n(?:.|\s)*\r\n\[\]/)
    },
  )

  test('whose body was read in front of the gate is a mistake that is told, not a hole', async () => {
    const gate = await portcullis(options())
    closers.push(() => gate.close())
    let passed = false
    const url = await listen(
      serverOf(async (request, response) => {
        await text(request)
        try {
          gate(request, response, () => {
            passed = true
          })
        } catch (error) {
          response.statusCode = 500
          response.end((error as Error).message)
        }
      }),
    )
    const reply = await post(url, { text: 'read' })
    expect([reply.status, await reply.text()]).toEqual([500, expect.stringContaining('before what reads bodies')])
    expect(passed).toBe(false)
  })

  test('without a body may have been read in front of the gate', async () => {
    const url = await serve(
      (_, response) => response.end('ok'),
      (request) => request.setEncoding('utf8').resume(),
    )
    expect((await fetch(`${url}/notes`)).status).toBe(200)
  })

  test('that waits for 100 (Continue) gets it from node', async () => {
    const url = await serve(async (request, response) => response.end(await text(request)))
    const client = await rawClient(Number(new URL(url).port))
    const sent = '{"text":"go on"}'
    const head = `POST /notes HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-type: application/json\r\n`
    client.send(`${head}connection: close\r\ncontent-length: ${sent.length}\r\n\r\n`)
    await new Promise((resolve) => client.socket.once('data', resolve))
    client.send(sent)
    const whole = await client.whole()
    expect(whole).toMatch(/^HTTP\/1.1 100 Continue\r\n\r\nHTTP\/1.1 200 OK\r\n/)
    expect(whole).toContain(sent)
  })

  test('of the absolute form is for the handler what it was for the gate', async () => {
    const url = await serve((request, response) => response.end(request.url))
    const client = await rawClient(Number(new URL(url).port))
    client.send('GET http://x/notes/%41 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    expect(await client.whole()).toMatch(/\r\n\/notes\/A$/)
  })
})

describe('a response behind the gate', () => {
  test.each<[string, Handler]>([
    [
      'an object',
      (_, response) => response.writeHead(200, { 'X-Two': ['1', '2'], 'Content-Type': 'text/plain' }).end('hi'),
    ],
    [
      'words and an object',
      (_, response) => response.writeHead(200, 'Fine', { 'x-two': ['1', '2'], 'content-type': 'text/plain' }).end('hi'),
    ],
    [
      'a flat list',
      (_, response) => response.writeHead(200, ['x-two', ['1', '2'], 'content-type', 'text/plain'] as never).end('hi'),
    ],
    [
      'setHeader and end',
      (_, response) => response.setHeader('x-two', ['1', '2']).setHeader('content-type', 'text/plain').end('hi'),
    ],
    [
      'setHeader, write and end',
      (_, response) => {
        response.setHeader('x-two', ['1', '2']).setHeader('content-type', 'text/plain').setHeader('content-length', 2)
        response.write('h')
        response.end('i')
      },
    ],
    [
      'writeHead over setHeader',
      (_, response) =>
        response
          .setHeader('content-type', 'image/png')
          .writeHead(200, { 'x-two': ['1', '2'], 'content-type': 'text/plain' })
          .end(Buffer.from('hi')),
    ],
  ])('keeps the head that was given as %s', async (_, handler) => {
    const url = await serve(handler)
    const reply = await fetch(`${url}/notes`)
    expect(reply.headers.get('x-two')).toBe('1, 2')
    expect(reply.headers.get('content-type')).toBe('text/plain')
    expect(await reply.text()).toBe('hi')
  })

  test('tells the length of an answer in one piece, as node does', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/notes/none') response.statusCode = 204
      response.end(request.url === '/notes/some' ? 'some' : undefined)
    })
    const lengthOf = async (path: string) => (await fetch(url + path)).headers.get('content-length')
    expect(await lengthOf('/notes/some')).toBe('4')
    expect(await lengthOf('/notes/empty')).toBe('0')
    expect(await lengthOf('/notes/none')).toBeNull()
  })

  test('says of itself what node would: sent, ended, finished', async () => {
    const said: unknown[] = []
    const url = await serve((_, response) => {
      said.push(response.headersSent, response.writableEnded)
      response.write('a')
      said.push(response.headersSent, response.writableEnded)
      response.end('b', () => said.push('finish', response.writableFinished))
      said.push(response.writableEnded)
    })
    expect(await (await fetch(`${url}/notes`)).text()).toBe('ab')
    await expect.poll(() => said).toEqual([false, false, true, false, true, 'finish', true])
  })

  test('lets plugins set headers at the last moment, as they do behind node', async () => {
    const url = await serve((_, response) => {
      // What `on-headers` does, and with it compression, sessions and response-time.
      const { writeHead } = response
      response.writeHead = ((...given: Parameters<typeof writeHead>) => {
        response.setHeader('x-late', 'yes')
        return writeHead.apply(response, given)
      }) as typeof writeHead
      response.write('a')
      response.end()
    })
    expect((await fetch(`${url}/notes`)).headers.get('x-late')).toBe('yes')
  })

  test('carries what stands in front of the gate on every answer, and what the handler set only on its own', async () => {
    const url = await serve(
      (request, response) => {
        response.setHeader('vary', 'accept').setHeader('x-secret', '1').removeHeader('x-removed')
        response.statusCode = request.url === '/notes' ? 200 : 500
        response.statusMessage = 'Telling'
        response.end('a stack trace')
      },
      (_, response) => response.setHeader('x-front', 'yes').setHeader('vary', 'origin').setHeader('x-removed', 'yes'),
    )
    const passed = await fetch(`${url}/notes`)
    expect(Object.fromEntries(passed.headers)).toMatchObject({ 'x-front': 'yes', 'x-secret': '1', vary: 'accept' })
    expect(passed.headers.get('x-removed')).toBeNull()
    const refused = await fetch(`${url}/unknown`)
    expect(refused.status).toBe(404)
    expect(Object.fromEntries(refused.headers)).toMatchObject({ 'x-front': 'yes', 'x-removed': 'yes' })
    const replaced = await fetch(`${url}/notes/1`)
    expect([replaced.status, replaced.statusText]).toEqual([500, 'Internal Server Error'])
    expect(replaced.headers.get('x-front')).toBe('yes')
    expect(replaced.headers.get('x-secret')).toBeNull()
    expect(await replaced.text()).not.toContain('stack')
  })

  test('that the handler breaks off is a 502 before its head, and a broken answer after it', async () => {
    const url = await serve((request, response) => {
      if (request.url === '/notes/early') return void response.destroy()
      response.write('some')
      setTimeout(() => pipeline(Readable.from(failing()), response, () => {}), 10)
    })
    async function* failing() {
      yield 'more'
      throw new Error('no')
    }
    const early = await fetch(`${url}/notes/early`)
    expect([early.status, ((await early.json()) as { code: string }).code]).toEqual([502, 'upstream.reset'])
    const late = await fetch(`${url}/notes/late`)
    await expect(late.text()).rejects.toThrow()
  })

  test('whose head cannot be sent is refused', async () => {
    const url = await serve((_, response) => response.writeHead(200, { 'x-bad': 'a\nb' }).end('x'))
    const reply = await fetch(`${url}/notes`)
    expect([reply.status, ((await reply.json()) as { code: string }).code]).toEqual([502, 'upstream.malformed'])
  })

  test('ends with the trailers that the handler gave', async () => {
    const url = await serve((_, response) => {
      response.writeHead(200, { trailer: 'x-sum' })
      response.write('a')
      response.addTrailers({ 'X-Sum': '1' })
      response.end()
    })
    const reply = await new Promise<IncomingMessage>((resolve) => httpRequest(`${url}/notes`, resolve).end())
    await text(reply)
    expect(reply.trailers).toEqual({ 'x-sum': '1' })
  })

  test('keeps bytes that the handler overwrites after the write', async () => {
    const url = await serve((_, response) => {
      const buffer = Buffer.from('one')
      response.write(buffer)
      buffer.write('two')
      response.end(buffer)
    })
    expect(await (await fetch(`${url}/notes`)).text()).toBe('onetwo')
  })
})

describe('where the gate stands', () => {
  const mounted = async (at: string, api: object) => {
    const gate = await forExpress(options(api))
    closers.push(() => gate.close())
    const app = express()
    app.use(at, gate)
    app.get(
      `${at}/notes/:id`,
      ({ url, originalUrl, params: { id } }, response) => void response.json({ url, originalUrl, id }),
    )
    app.get('/open', (_request, response) => void response.json({}))
    return listen(createServer(app))
  }

  test('below a path of Express the document says the whole path, by its server or by basePath', async () => {
    const url = await mounted('/api', { basePath: '/api' })
    expect(await (await fetch(`${url}/api/notes/%41%20b`)).json()).toEqual({
      url: '/api/notes/A%20b',
      originalUrl: '/api/notes/A%20b',
      id: 'A b',
    })
    expect((await fetch(`${url}/api/unknown`)).status).toBe(404)
    // What is not below the path is none of the gate's business.
    expect((await fetch(`${url}/open`)).status).toBe(200)
    const other = await mounted('/api', {})
    expect((await fetch(`${other}/api/notes/1`)).status).toBe(404)
  })

  test("Express's name is not told", async () => {
    const url = await mounted('/', {})
    expect((await fetch(`${url}/notes/1`)).headers.get('x-powered-by')).toBeNull()
    expect((await fetch(`${url}/unknown`)).headers.get('x-powered-by')).toBeNull()
  })

  test('in a scope of Fastify it judges what is in the scope', async () => {
    const app = fastify()
    await app.register(
      async (scope) => {
        await scope.register(forFastify, options({ basePath: '/api' }))
        scope.get('/notes', () => ({ in: true }))
        scope.get('/unlisted', () => ({ in: true }))
      },
      { prefix: '/api' },
    )
    app.get('/open', () => ({ in: false }))
    closers.push(() => app.close())
    const url = await app.listen({ port: 0, host: '127.0.0.1' })
    expect((await fetch(`${url}/api/notes`)).status).toBe(200)
    expect((await fetch(`${url}/api/unlisted`)).status).toBe(404)
    expect((await fetch(`${url}/open`)).status).toBe(200)
  })

  test("Fastify's own inject goes through it, bodies too", async () => {
    const app = fastify()
    await app.register(forFastify, options())
    app.post('/notes', (request) => request.body)
    closers.push(() => app.close())
    const bad = await app.inject({ method: 'POST', url: '/notes', payload: { text: 1 } })
    expect([bad.statusCode, bad.json().code]).toEqual([400, expect.stringMatching(/^validate\./)])
    const fine = await app.inject({ method: 'POST', url: '/notes', payload: { text: 'injected' } })
    expect([fine.statusCode, fine.json()]).toEqual([200, { text: 'injected' }])
  })

  test('in front of HTTP/2 it judges and gives the body all the same', async () => {
    const gate = await portcullis(options())
    closers.push(() => gate.close())
    const server = createHttp2Server((request, response) => {
      const [one, two] = [request, response] as unknown as Parameters<Middleware>
      gate(one, two, async () => {
        response.setHeader('x-host', String(request.headers.host))
        response.end(await text(request))
      })
    })
    const session = connectHttp2(await listen(server))
    closers.push(() => session.destroy())
    const ask = async (headers: Record<string, string>, sent?: string) => {
      const stream = session.request(headers, { endStream: sent === undefined })
      if (sent !== undefined) stream.end(sent)
      const [head] = (await once(stream, 'response')) as [Record<string, unknown>]
      return { head, body: await text(stream) }
    }
    const type = { ':path': '/notes', ':method': 'POST', 'content-type': 'application/json' }
    const passed = await ask(type, '{"text":"two"}')
    expect([passed.head[':status'], passed.body]).toEqual([200, '{"text":"two"}'])
    expect(passed.head['x-host']).toMatch(/^127\.0\.0\.1:/)
    const refused = await ask(type, '{"text":2}')
    expect([refused.head[':status'], JSON.parse(refused.body).status]).toEqual([400, 400])
    expect((await ask({ ':path': '/unknown' })).head[':status']).toBe(404)
  })
})

describe('options', () => {
  test('a document alone is enough', async () => {
    const here = process.cwd()
    process.chdir(dir)
    closers.push(() => process.chdir(here))
    const gate = await portcullis({ openapi: './openapi.json', api: { limits: { anonymous: { rate: '1/min' } } } })
    closers.push(() => gate.close())
    const url = await listen(createServer((one, two) => gate(one, two, () => two.end('ok'))))
    expect((await fetch(`${url}/notes`)).status).toBe(200)
    expect((await fetch(`${url}/notes`)).status).toBe(429)
  })

  test('a mistake in them is told at the start', async () => {
    await expect(portcullis(options({ limitz: {} }))).rejects.toThrow(/limitz/)
    await expect(portcullis({ config: join(dir, 'none.yaml') })).rejects.toThrow(/none\.yaml/)
  })

  test('a trusted proxy is believed about the caller, anybody else is not', async () => {
    const told = async (root: object) => {
      const gate = await portcullis(options({}, root))
      closers.push(() => gate.close())
      const url = await listen(
        createServer((one, two) => gate(one, two, () => two.end(one.headers['x-forwarded-for']))),
      )
      return (await fetch(`${url}/notes`, { headers: { 'x-forwarded-for': '203.0.113.7' } })).text()
    }
    expect(await told({ trustedProxies: ['127.0.0.1'] })).toBe('203.0.113.7')
    expect(await told({})).toBe('127.0.0.1')
  })

  test('close waits for what is under way, at most as long as `drain` says, and can be called twice', async () => {
    const gate = await portcullis(options({}, { drain: '200ms' }))
    let answer: (() => void) | undefined
    const url = await listen(
      createServer((one, two) =>
        gate(one, two, () => {
          if (one.url === '/notes/soon') answer = () => void two.end('done')
        }),
      ),
    )
    const soon = fetch(`${url}/notes/soon`)
    void fetch(`${url}/notes/never`).catch(() => {})
    await expect.poll(() => answer).toBeDefined()
    let closed = false
    const closing = gate.close().then(() => (closed = true))
    expect(closed).toBe(false)
    answer!()
    expect(await (await soon).text()).toBe('done')
    await closing
    await gate.close()
  })
})

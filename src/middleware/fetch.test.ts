import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { silentLogger } from '../base/log.ts'
import { type FetchGate, type FetchHandler, portcullis } from './fetch.ts'

const note = { type: 'object', required: ['text'], properties: { text: { type: 'string' } } }
const document = {
  openapi: '3.1.0',
  info: { title: 'Notes', version: '1.0.0' },
  security: [],
  paths: {
    '/notes': {
      get: { responses: { 200: { description: 'Notes.' } } },
      post: {
        requestBody: { required: true, content: { 'application/json': { schema: note } } },
        responses: { 201: { description: 'Made.' } },
      },
    },
  },
}

describe('a fetch handler behind the gate', () => {
  let dir: string
  let gate: FetchGate
  const errors: unknown[] = []

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'portcullis-fetch-'))
    await writeFile(join(dir, 'openapi.json'), JSON.stringify(document))
    const config = {
      version: 1 as const,
      store: { url: 'sqlite::memory:' },
      telemetry: { logs: { level: 'none' as const } },
      apis: { notes: { openapi: join(dir, 'openapi.json'), limits: { anonymous: { rate: '1000/min' } } } },
    }
    gate = await portcullis({ config, log: { ...silentLogger, error: (message) => errors.push(message) } })
  })

  afterAll(async () => {
    await gate.close()
    await rm(dir, { recursive: true, force: true })
  })

  const get = (handler: FetchHandler, init?: RequestInit) => gate(new Request('http://here/notes', init), handler)

  test('needs no server: a Request goes in, a Response comes out', async () => {
    const post = (text: unknown) =>
      gate(
        new Request('https://here/notes', {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: JSON.stringify({ text }),
        }),
        async (request) => Response.json({ url: request.url, ...((await request.json()) as object) }, { status: 201 }),
      )
    const passed = await post('hello')
    expect([passed.status, await passed.json()]).toEqual([201, { url: 'https://here/notes', text: 'hello' }])
    // As over TLS, since the URL says https.
    expect(passed.headers.get('strict-transport-security')).toMatch(/max-age/)
    const refused = await post(1)
    expect([refused.status, refused.headers.get('content-type')]).toEqual([400, 'application/problem+json'])
  })

  test('keeps cookies apart, and statuses without a body without one', async () => {
    const cookies: [string, string][] = [
      ['set-cookie', 'a=1'],
      ['set-cookie', 'b=2'],
    ]
    const reply = await get(() => new Response('x', { headers: cookies }))
    expect(reply.headers.getSetCookie()).toEqual(['a=1', 'b=2'])
    expect((await get(() => new Response(null, { status: 204 }))).body).toBeNull()
  })

  test.each<[string, FetchHandler]>([
    ['throws', () => Promise.reject(new Error('the secret is 42'))],
    [
      'throws at once',
      () => {
        throw new Error('the secret is 42')
      },
    ],
    ['answers with Response.error()', () => Response.error()],
  ])('that %s has answered 500', async (_, handler) => {
    const reply = await get(handler)
    expect(reply.status).toBe(500)
    expect(await reply.text()).not.toContain('the secret')
    expect(errors.pop()).toBe('The handler behind the gate failed.')
  })

  test('whose body fails in the middle gives no whole answer', async () => {
    const failing = new ReadableStream({
      async pull(controller) {
        controller.enqueue(Buffer.from('some'))
        await new Promise((resolve) => setImmediate(resolve))
        controller.error(new Error('no more'))
      },
    })
    const reply = await get(() => new Response(failing, { headers: { 'content-length': '100' } }))
    await expect(reply.text()).rejects.toThrow('broke off')
  })

  test('hears of a caller that is gone, before its answer and in the middle of it', async () => {
    const caller = new AbortController()
    let heard = 0
    const waiting: FetchHandler = ({ signal }) =>
      new Promise(() => {
        signal.addEventListener('abort', () => heard++)
        caller.abort()
      })
    expect((await get(waiting, { signal: caller.signal })).status).toBe(499)
    expect(heard).toBe(1)
    const endless = () =>
      new Response(new ReadableStream({ pull: (to) => to.enqueue(Buffer.alloc(1000)), cancel: () => void heard++ }))
    await (await get(endless)).body!.cancel()
    await expect.poll(() => heard).toBe(2)
  })
})

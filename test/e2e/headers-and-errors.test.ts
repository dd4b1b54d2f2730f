import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { checkSecurityHeaders } from '../../src/http/security-headers.ts'
import { startGate, type TestGate } from '../kit/gate.ts'
import { json, startUpstream, type TestUpstream } from '../kit/upstream.ts'

const stack = 'TypeError: Cannot read properties of undefined\n    at Shop.find (/srv/shop/src/orders.js:42:17)'

let upstream: TestUpstream
beforeAll(async () => {
  upstream = await startUpstream((request, reply) => {
    const url = request.url!
    if (url === '/orders/500') {
      reply.writeHead(500, { 'content-type': 'text/html', 'x-powered-by': 'Express' })
      reply.end(`<pre>${stack}</pre>`)
    } else if (url === '/orders/503') {
      json(reply, { message: stack }, 503, { 'retry-after': '7' })
    } else if (url === '/orders/400') {
      reply.writeHead(400, { 'content-type': 'text/html; charset=utf-8' })
      reply.end(`<pre>${stack}</pre>`)
    } else if (url === '/orders/404') {
      json(reply, { message: 'no such order' }, 404)
    } else {
      json(reply, [], 200, {
        server: 'Apache/2.4.1',
        'x-powered-by': 'PHP/5.3',
        'x-aspnet-version': '4.0',
        'x-frame-options': 'ALLOWALL',
        'strict-transport-security': 'max-age=0',
        'x-total-count': '7',
      })
    }
  })
})
afterAll(() => upstream.stop())

let gate: TestGate | undefined
afterEach(async () => {
  await gate?.stop()
  gate = undefined
  upstream.hits.length = 0
})

describe('H1: headers both ways', () => {
  test('only listed request headers reach the upstream', async () => {
    gate = await startGate({
      upstream: upstream.url,
      api: { headers: { request: { allow: ['accept', 'content-type', 'traceparent'] } } },
    })
    await gate.fetch('/health', {
      headers: {
        accept: 'application/json',
        'x-mine': '1',
        cookie: 'a=b',
        'user-agent': 'x',
        'portcullis-subject': 'root',
      },
    })
    const names = Object.keys(upstream.hits[0]!.headers)
    expect(names).toContain('accept')
    for (const name of ['x-mine', 'cookie', 'user-agent', 'portcullis-subject']) expect(names).not.toContain(name)
  })

  test('without a word the usual ones pass, strange ones and disguises do not', async () => {
    gate = await startGate({ upstream: upstream.url })
    const sent = {
      'user-agent': 'test',
      'x-http-method-override': 'DELETE',
      'x-original-url': '/admin',
      'x-strange': '1',
    }
    await gate.fetch('/health', { headers: { ...sent, 'portcullis-subject': 'root', 'portcullis-roles': 'admin' } })
    const { headers } = upstream.hits[0]!
    expect(headers['user-agent']).toBe('test')
    for (const name of ['x-http-method-override', 'x-original-url', 'x-strange', 'portcullis-roles']) {
      expect([name, headers[name]]).toEqual([name, undefined])
    }
    expect(headers['portcullis-subject']).not.toBe('root')
  })

  test('what tells the upstream apart never leaves', async () => {
    gate = await startGate({ upstream: upstream.url })
    const { headers } = await gate.fetch('/health')
    for (const name of ['server', 'x-powered-by', 'x-aspnet-version'])
      expect([name, headers.get(name)]).toEqual([name, null])
    expect(headers.get('x-total-count')).toBe('7')
  })
})

describe('E1: errors', () => {
  test.each([
    ['/orders/500', 500],
    ['/orders/503', 503],
    ['/orders/400', 400],
  ])('%s: the stack trace of the upstream never reaches the caller', async (path, status) => {
    gate = await startGate({ upstream: upstream.url })
    const reply = await gate.fetch(path, { headers: { 'x-api-key': await gate.key() } })
    const text = await reply.text()
    expect(reply.status).toBe(status)
    expect(reply.headers.get('content-type')).toBe('application/problem+json')
    expect(text).not.toMatch(/TypeError|orders\.js|Shop\.find/)
    expect(JSON.parse(text)).toMatchObject({ status, code: 'errors.upstream' })
    expect(reply.headers.get('retry-after')).toBe(status === 503 ? '7' : null)
  })

  test('an answer of the API that is no error page passes', async () => {
    gate = await startGate({ upstream: upstream.url })
    const reply = await gate.fetch('/orders/404', { headers: { 'x-api-key': await gate.key() } })
    expect(reply.status).toBe(404)
    expect(await reply.json()).toEqual({ message: 'no such order' })
  })

  test.each([
    [undefined, 'application/problem+json'],
    ['application/json', 'application/problem+json'],
    ['*/*', 'application/problem+json'],
    ['application/xml', 'application/problem+xml'],
    ['text/xml;q=0.5, application/json;q=0.1', 'application/problem+xml'],
  ])('Accept: %s gets %s', async (accept, type) => {
    gate = await startGate({ upstream: upstream.url })
    const reply = await gate.fetch('/nowhere', { headers: accept === undefined ? {} : { accept } })
    const text = await reply.text()
    expect(reply.status).toBe(404)
    expect(reply.headers.get('content-type')).toBe(type)
    if (type.endsWith('xml'))
      expect(text).toMatch(/^<\?xml .*<problem xmlns="urn:ietf:rfc:7807">.*<status>404<\/status>/s)
    else expect(JSON.parse(text)).toMatchObject({ status: 404 })
  })

  test('the instance is the id of the request, in the log too', async () => {
    gate = await startGate({ upstream: upstream.url })
    const reply = await gate.fetch('/nowhere')
    const { instance } = (await reply.json()) as { instance: string }
    expect(instance).toMatch(/^req_/)
    expect(reply.headers.get('portcullis-request-id')).toBe(instance)
    expect((await gate.lines(1))[0]).toMatchObject({ id: instance, status: 404 })
  })
})

describe('E2: errors help', () => {
  test('a 400 lists every place that does not fit, with what was expected', async () => {
    gate = await startGate({ upstream: upstream.url })
    const reply = await gate.fetch('/orders', {
      method: 'POST',
      headers: { 'x-api-key': await gate.key(), 'content-type': 'application/json' },
      body: JSON.stringify({ item: 7, quantity: 'hunter2', note: true }),
    })
    const problem = (await reply.json()) as { type: string; errors: { pointer: string; in: string; detail: string }[] }
    expect(reply.status).toBe(400)
    expect(problem.errors.map(({ pointer }) => pointer).sort()).toEqual(['/item', '/note', '/quantity'])
    for (const { in: where, detail } of problem.errors) {
      expect(where).toBe('body')
      expect(detail).toMatch(/string|integer|number|boolean/)
    }
    expect(JSON.stringify(problem)).not.toContain('hunter2')
    expect(problem.type).toMatch(/^\/\.well-known\/portcullis\/denials\/validate\./)
  })
})

describe('S1: security headers', () => {
  const check = async (path: string, init?: object) => {
    const reply = await gate!.fetch(path, init)
    await reply.arrayBuffer()
    return checkSecurityHeaders(Object.fromEntries(reply.headers), { encrypted: gate!.url.startsWith('https') })
      .filter(({ ok }) => !ok)
      .map(({ name, found }) => `${reply.status} ${name}: ${found}`)
  }

  test.each([
    ['over TLS', [{ port: 0, host: '127.0.0.1', tls: 'development' }], 'max-age=31536000; includeSubDomains'],
    ['over plain HTTP without Strict-Transport-Security', [{ port: 0, host: '127.0.0.1', tls: 'off' }], null],
  ])('stand on every reply %s', async (_, listen, strict) => {
    gate = await startGate({ upstream: upstream.url, root: { listen } })
    const headers = { 'x-api-key': await gate.key() }
    expect(await check('/health')).toEqual([])
    expect(await check('/orders')).toEqual([])
    expect(await check('/orders', { method: 'DELETE' })).toEqual([])
    expect(await check('/nowhere')).toEqual([])
    expect(await check('/orders/500', { headers })).toEqual([])
    expect(await check('/orders?access_token=x')).toEqual([])
    expect((await gate.fetch('/health')).headers.get('strict-transport-security')).toBe(strict)
    expect((await gate.fetch('/health')).headers.get('x-frame-options')).toBe('DENY')
  })

  test('a wrong header fails the check', async () => {
    gate = await startGate({
      upstream: upstream.url,
      root: { listen: [{ port: 0, host: '127.0.0.1', tls: 'development' }] },
      api: { headers: { security: { hsts: { maxAge: '1d' } } } },
    })
    expect(await check('/health')).toEqual(['200 Strict-Transport-Security: max-age=86400; includeSubDomains'])
  })

  test('answers to known callers are kept from caches, refusals too', async () => {
    gate = await startGate({ upstream: upstream.url })
    const known = await gate.fetch('/orders', { headers: { 'x-api-key': await gate.key() } })
    expect(known.headers.get('cache-control')).toBe('no-store')
    expect((await gate.fetch('/nowhere')).headers.get('cache-control')).toBe('no-store')
    expect((await gate.fetch('/health')).headers.get('cache-control')).toBeNull()
  })
})

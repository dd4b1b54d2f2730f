import fc from 'fast-check'
import findMyWay from 'find-my-way'
import { expect, test } from 'vitest'
import type { Arrival } from './exchange.ts'
import type { Program } from './program.ts'
import { createRouter, type Mount, RouteError } from './router.ts'

function programFor(kind: string, path: string, method: string): Program {
  return { operation: { kind, path, id: `${method} ${path}` } } as unknown as Program
}

function mount(operations: readonly string[], change: Partial<Mount> = {}): Mount {
  return {
    api: 'test',
    version: undefined,
    hosts: undefined,
    prefix: '',
    upstreamPrefix: '',
    header: undefined,
    mediaType: undefined,
    fallback: false,
    upstream: undefined as never,
    operations: operations.map((text) => {
      const [method, path] = text.split(' ') as [string, string]
      return { method, path, program: programFor('listed', path, method) }
    }),
    unlistedPath: programFor('unlisted-path', '*', '*'),
    unlistedMethod: (allow) => programFor('unlisted-method', [...allow].sort().join(','), '*'),
    ...change,
  }
}

function arrival(method: string, path: string, headers: Record<string, string> = {}, authority = 'localhost'): Arrival {
  return { method, target: { path, query: '', authority }, headers } as unknown as Arrival
}

function ask(mounts: readonly Mount[], method: string, path: string, headers?: Record<string, string>, host?: string) {
  const route = createRouter(mounts)(arrival(method, path, headers, host))
  if (route === undefined) return undefined
  const { kind, id, path: template } = route.program.operation
  return kind === 'listed' ? [id, ...route.pathValues] : [kind, ...(kind === 'unlisted-method' ? [template] : [])]
}

const shop = [
  'GET /',
  'GET /orders',
  'POST /orders',
  'GET /orders/{id}',
  'GET /orders/mine',
  'GET /orders/{id}/items/{item}',
  'GET /orders/mine/notes',
  'GET /reports/{name}.csv',
  'GET /reports/{from}-{to}.json',
  'GET /reports/{name}',
  'GET /files/',
  'GET /caf%C3%A9/{x}',
]

test.each([
  ['GET', '/', ['GET /']],
  ['GET', '/orders', ['GET /orders']],
  ['GET', '/orders/', ['unlisted-path']],
  ['GET', '/orders/7', ['GET /orders/{id}', '7']],
  ['GET', '/orders/mine', ['GET /orders/mine']],
  ['GET', '/orders/mine/items/3', ['GET /orders/{id}/items/{item}', 'mine', '3']],
  ['GET', '/orders/mine/notes', ['GET /orders/mine/notes']],
  ['GET', '/orders/7/notes', ['unlisted-path']],
  ['GET', '/orders//items/3', ['unlisted-path']],
  ['GET', '/Orders', ['unlisted-path']],
  ['GET', '/reports/2026.csv', ['GET /reports/{name}.csv', '2026']],
  ['GET', '/reports/.csv', ['GET /reports/{name}', '.csv']],
  ['GET', '/reports/1-2.json', ['GET /reports/{from}-{to}.json', '1', '2']],
  ['GET', '/reports/1-2-3.json', ['GET /reports/{from}-{to}.json', '1', '2-3']],
  ['GET', '/reports/-2.json', ['GET /reports/{name}', '-2.json']],
  ['GET', '/files/', ['GET /files/']],
  ['GET', '/files', ['unlisted-path']],
  ['GET', '/caf%C3%A9/1', ['GET /caf%C3%A9/{x}', '1']],
  ['HEAD', '/orders', ['GET /orders']],
  ['DELETE', '/orders', ['unlisted-method', 'GET,HEAD,POST']],
  ['get', '/orders', ['unlisted-method', 'GET,HEAD,POST']],
])('%s %s', (method, path, expected) => {
  expect(ask([mount(shop)], method, path)).toEqual(expected)
})

test.each([
  ['/users/export', ['GET /users/export']],
  ['/users/@me', ['GET /users/@me']],
  ['/users/exports', ['GET /users/{id}', 'exports']],
  ['/users/7;v=1', ['GET /users/{id}', '7;v=1']],
  // Servlets cut off path parameters, Express and ASP.NET do not mind case, WSGI decodes before it routes.
  ['/users/export;v=1', ['unlisted-path']],
  ['/users/export%3Bv', ['unlisted-path']],
  ['/users/EXPORT', ['unlisted-path']],
  ['/users/%40me', ['unlisted-path']],
  ['/users/export%20', ['unlisted-path']],
  ['/users/export.', ['unlisted-path']],
  ['/users/7/KEYS', ['unlisted-path']],
  ['/users/EXPORT/Keys', ['unlisted-path']],
  ['/users/EXPORT/other', ['GET /users/{id}/{part}', 'EXPORT', 'other']],
  ['/users/;v=1', ['unlisted-path']],
])('a parameter takes no value that the upstream may read as a listed name: %s', (path, expected) => {
  const templates = ['/users/', '/users/export', '/users/@me', '/users/{id}', '/users/{id}/{part}']
  const mounts = [mount([...templates, '/users/{id}/keys', '/users/export/keys'].map((template) => `GET ${template}`))]
  expect(ask(mounts, 'GET', path)).toEqual(expected)
})

test('an encoded reserved character in a template is another path than the character (RFC 3986, 2.2)', () => {
  const mounts = [mount(['GET /a%2Bb', 'GET /a+b/c', 'GET /%3a{x}'])]
  expect(ask(mounts, 'GET', '/a%2Bb')).toEqual(['GET /a%2Bb'])
  expect(ask(mounts, 'GET', '/a+b')).toEqual(['unlisted-path'])
  expect(ask(mounts, 'GET', '/a+b/c')).toEqual(['GET /a+b/c'])
  expect(ask(mounts, 'GET', '/a%2Bb/c')).toEqual(['unlisted-path'])
  expect(ask(mounts, 'GET', '/%3A1')).toEqual(['GET /%3a{x}', '1'])
  expect(ask(mounts, 'GET', '/:1')).toEqual(['unlisted-path'])
})

test('a longer prefix wins, and a prefix ends at a segment', () => {
  const mounts = [mount(['GET /b'], { prefix: '/a' }), mount(['GET /c'], { prefix: '/a/b' }), mount(['GET /a/x'])]
  expect(ask(mounts, 'GET', '/a/b')).toEqual(['unlisted-path'])
  expect(ask(mounts, 'GET', '/a/b/c')).toEqual(['GET /c'])
  expect(ask(mounts, 'GET', '/ab/c')).toEqual(['unlisted-path'])
})

test('hosts keep their APIs apart, and an unknown host finds only what answers to every name', () => {
  const mounts = [mount(['GET /a'], { hosts: ['a.test'] }), mount(['GET /b'], { hosts: ['b.test'] })]
  expect(ask(mounts, 'GET', '/a', {}, 'a.test:8443')).toEqual(['GET /a'])
  expect(ask(mounts, 'GET', '/a', {}, 'b.test')).toEqual(['unlisted-path'])
  expect(ask(mounts, 'GET', '/a', {}, 'c.test')).toBeUndefined()
})

test('a version is chosen by header or media type, and the default takes the rest', () => {
  const mounts = [
    mount(['GET /v1'], { fallback: true, header: { name: 'api-version', value: '1' } }),
    mount(['GET /v2'], { header: { name: 'api-version', value: '2' } }),
    mount(['GET /v3'], { mediaType: 'application/vnd.shop.v3+json' }),
  ]
  expect(ask(mounts, 'GET', '/v1')).toEqual(['GET /v1'])
  expect(ask(mounts, 'GET', '/v2', { 'api-version': '2' })).toEqual(['GET /v2'])
  expect(ask(mounts, 'GET', '/v2')).toEqual(['unlisted-path'])
  expect(ask(mounts, 'GET', '/v3', { accept: 'text/html, Application/vnd.shop.v3+json;q=0.9' })).toEqual(['GET /v3'])
  expect(ask(mounts, 'GET', '/v3', { accept: 'application/vnd.shop.v3+json2' })).toEqual(['unlisted-path'])
})

test('neighbours at one prefix: the one that lists the path answers', () => {
  const mounts = [mount(['GET /a']), mount(['GET /b'])]
  expect(ask(mounts, 'GET', '/b')).toEqual(['GET /b'])
  expect(ask(mounts, 'GET', '/c')).toEqual(['unlisted-path'])
})

test('refuses at load what could be matched two ways', () => {
  expect(() => createRouter([mount(['GET /a/{x}', 'GET /a/{y}'])])).toThrow(RouteError)
  expect(() => createRouter([mount(['GET /a/{x}{y}'])])).toThrow(RouteError)
})

test('agrees with find-my-way on what is matched and what is not', () => {
  const segment = fc.constantFrom('a', 'b', 'c', '{p}')
  const template = fc.array(segment, { minLength: 1, maxLength: 4 })
  const path = fc.array(fc.constantFrom('a', 'b', 'c', 'd'), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(
      fc.array(template, { minLength: 1, maxLength: 8 }),
      fc.array(path, { maxLength: 20 }),
      (templates, paths) => {
        const named = [...new Set(templates.map((parts) => `/${parts.join('/')}`))]
        const oracle = findMyWay()
        for (const one of named) {
          let count = 0
          oracle.on(
            'GET',
            one.replaceAll('{p}', () => `:p${count++}`),
            () => {},
            { template: one },
          )
        }
        const router = createRouter([mount(named.map((one) => `GET ${one}`))])
        for (const parts of paths) {
          const url = `/${parts.join('/')}`
          const expected = (oracle.find('GET', url)?.store as { template: string } | undefined)?.template
          const found = router(arrival('GET', url))!.program.operation
          expect(found.kind === 'listed' ? found.path : undefined).toBe(expected)
        }
      },
    ),
    { numRuns: 300 },
  )
})

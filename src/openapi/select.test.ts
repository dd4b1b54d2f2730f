import { describe, expect, test } from 'vitest'
import type { Operation } from './operation.ts'
import { parseSelector } from './select.ts'

function operation(method: string, path: string, more: Partial<Operation> = {}): Operation {
  return { id: `${method} ${path}`, method, path, tags: [], document: { basePath: '/v1' }, ...more } as Operation
}

describe('selectors', () => {
  const login = operation('POST', '/v1/login', { id: 'login', tags: ['public'] })
  const orders = operation('GET', '/v1/orders', { tags: ['orders'] })
  const order = operation('GET', '/v1/orders/{id}', { id: 'getOrder', tags: ['orders', 'read'] })
  const item = operation('DELETE', '/v1/orders/{id}/items/{item}')
  const all = [login, orders, order, item]

  test.each<[string | string[], Operation[]]>([
    ['*', all],
    ['op:login', [login]],
    ['op:Login', []],
    ['tag:orders', [orders, order]],
    ['tag: read', [order]],
    ['GET /orders', [orders]],
    ['get /orders', [orders]],
    ['GET /v1/orders', [orders]],
    ['GET /orders/{id}', [order]],
    ['GET /orders/{number}', [order]],
    ['GET /orders/*', [order]],
    ['/orders/*', [order]],
    ['* /orders/*', [order]],
    ['/orders/**', [orders, order, item]],
    ['/orders/*/items/*', [item]],
    ['GET|DELETE /orders/**', [orders, order, item]],
    ['POST /orders/**', []],
    ['/order', []],
    ['/orders.', []],
    [
      ['op:login', 'DELETE /**'],
      [login, item],
    ],
    ['/**', all],
  ])('%j', (text, selected) => {
    const selects = parseSelector(text)
    expect(all.filter(selects)).toEqual(selected)
  })

  test.each(['', 'login', 'op:', 'tag:', 'role:admin', 'GET', 'GET orders', '/a b', 'GET  ', '**'])(
    'refuses %j and says what was expected',
    (text) => {
      expect(() => parseSelector(text)).toThrow(/expected op:ID, tag:NAME, METHOD \/path/)
    },
  )

  test('an empty list is refused, because a rule for nothing is a mistake', () => {
    expect(() => parseSelector([])).toThrow(/an empty list selects nothing/)
  })
})

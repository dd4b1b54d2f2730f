import { expect, test } from 'vitest'
import { makeDocument } from '../../../test/kit/calls.ts'
import { unownedOperations } from './owner-advice.ts'

const key = [{ key: [] }]
const document = makeDocument({ key: { type: 'apiKey', in: 'header', parameterName: 'X-API-Key' } }, [
  { id: 'list', path: '/orders', security: key },
  { id: 'get', path: '/orders/{id}', security: key, tags: ['orders'] },
  { id: 'put', method: 'PUT', path: '/orders/{id}', security: key, tags: ['orders'] },
  { id: 'page', path: '/pages/{id}', security: [] },
  { id: 'notes', path: '/users/{user}/notes', security: key },
])
const owner = '$request.path.id == $claims.sub'

test.each<[object | undefined, string[]]>([
  [undefined, ['get', 'put', 'notes']],
  [{ rules: [{ match: 'tag:orders', owner }] }, ['notes']],
  [{ rules: [{ match: 'GET *', owner }] }, ['put']],
  [{ rules: [{ match: '*', owner, mode: 'observe' }] }, []],
  [{ rules: [{ match: '*', owner, mode: 'off' }] }, ['get', 'put', 'notes']],
  [{ mode: 'off', rules: [{ match: '*', owner }] }, ['get', 'put', 'notes']],
  [{ rules: [{ match: 'op:notes', when: 'path.user == subject' }] }, ['get', 'put']],
  [{ rules: [{ match: '*', when: 'hour in 8..17' }] }, ['get', 'put', 'notes']],
])('with %j nobody says whose the objects of %j are', (options, expected) => {
  expect(unownedOperations(document, () => options).map(({ id }) => id)).toEqual(expected)
})

test('an operation may have options of its own', () => {
  const found = unownedOperations(document, ({ id }) => (id === 'get' ? { rules: [{ match: '*', owner }] } : undefined))
  expect(found.map(({ id }) => id)).toEqual(['put', 'notes'])
})

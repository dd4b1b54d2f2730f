import { describe, expect, test } from 'vitest'
import { makeExchange, makeHost, makeOperation } from '../../test/kit/guard.ts'
import type { Operation } from '../openapi/operation.ts'
import { unlisted } from './unlisted.ts'

async function refusal(operation: Partial<Operation>) {
  const compile = await unlisted.setup({ mode: 'enforce' }, makeHost(), undefined as never)
  return compile(makeOperation(operation))?.requestHead?.(makeExchange())
}

describe('V1: what the document does not list', () => {
  test('a listed operation costs nothing', async () => {
    expect(await refusal({})).toBeUndefined()
  })

  test('an unknown path is 404', async () => {
    expect(await refusal({ kind: 'unlisted-path' })).toMatchObject({ status: 404, code: 'unlisted.path' })
  })

  test.each([
    [['GET', 'POST'], 'GET, POST, HEAD'],
    [['GET', 'HEAD'], 'GET, HEAD'],
    [['POST'], 'POST'],
  ])('an unknown method of a path with %j is 405 with Allow: %s', async (allow, header) => {
    expect(await refusal({ kind: 'unlisted-method', allow })).toMatchObject({
      status: 405,
      code: 'unlisted.method',
      headers: { allow: header },
    })
  })
})

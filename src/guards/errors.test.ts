import { describe, expect, test } from 'vitest'
import { compileGuard, makeExchange, makeOperation } from '../../test/kit/guard.ts'
import type { MediaType } from '../openapi/operation.ts'
import { errors } from './errors.ts'

const media = (type: string): MediaType => ({ type, schema: undefined, itemSchema: undefined, encoding: {} })
const operation = makeOperation({
  responses: {
    '404': { description: '', headers: {}, content: [media('text/plain')] },
    '5XX': { description: '', headers: {}, content: [media('application/problem+json')] },
    '500': { description: '', headers: {}, content: [media('application/json'), media('text/html')] },
  },
})

async function replaced(status: number, type: string | undefined, options?: unknown) {
  const steps = await compileGuard(errors, options, operation)
  const headers = type === undefined ? [] : ['Content-Type', type]
  return steps?.responseHead?.(makeExchange({ operation, response: { status, headers } }))
}

describe('E1: errors of the upstream', () => {
  test.each([
    [500, 'text/html; charset=utf-8', true],
    [500, 'application/json', true],
    [500, undefined, true],
    [500, 'application/problem+json', true],
    [502, 'application/problem+json', false],
    [503, 'Application/Problem+JSON; charset=utf-8', false],
    [502, 'application/json', true],
    [599, 'text/plain', true],
    [400, 'text/html', true],
    [403, 'text/plain', true],
    [404, 'text/plain', false],
    [404, 'text/html', true],
    [400, 'application/json', false],
    [422, undefined, false],
    [200, 'text/html', false],
    [302, 'text/html', false],
    [399, 'text/html', false],
  ])('%d with %s: replaced %s', async (status, type, expected) => {
    expect((await replaced(status, type)) !== undefined).toBe(expected)
  })

  test('a replacement keeps the status and says nothing of the inside', async () => {
    expect(await replaced(502, 'text/html')).toMatchObject({ kind: 'denial', status: 502, code: 'errors.upstream' })
    expect(await replaced(418, 'text/html')).toMatchObject({ kind: 'denial', status: 418, code: 'errors.upstream' })
  })

  test('a replacement keeps what the status asks for', async () => {
    const steps = await compileGuard(errors, undefined, operation)
    const headers = ['Retry-After', '7', 'X-Powered-By', 'Express', 'WWW-Authenticate', 'Negotiate']
    const verdict = steps?.responseHead?.(makeExchange({ operation, response: { status: 503, headers } }))
    expect(verdict).toMatchObject({ headers: { 'retry-after': '7', 'www-authenticate': 'Negotiate' } })
    expect(JSON.stringify(verdict)).not.toContain('Express')
  })

  test.each([
    ['pass', 500, 'text/html', false],
    ['pages', 500, 'text/html', false],
    ['pages', 500, 'text/plain', true],
    ['pages', 500, 'application/json', false],
    ['replace', 500, 'text/html', true],
  ])('upstream5xx: %s, %d with %s: replaced %s', async (upstream5xx, status, type, expected) => {
    expect((await replaced(status, type, { upstream5xx })) !== undefined).toBe(expected)
  })

  test('costs nothing when all may pass', async () => {
    expect(await compileGuard(errors, { upstream5xx: 'pass', upstream4xx: 'pass' }, operation)).toBeUndefined()
  })
})

import { expect, test } from 'vitest'
import { requestId } from './request-id.ts'

test('a request id is req_ and 26 digits of Crockford base 32, of which the first ten are the time', () => {
  expect(requestId(0)).toMatch(/^req_0000000000[0-9A-HJKMNP-TV-Z]{16}$/)
  // The example of the ULID specification.
  expect(requestId(1_469_918_176_385).slice(0, 14)).toBe('req_01ARYZ6S41')
  expect(requestId(2 ** 48 - 1).slice(0, 14)).toBe('req_7ZZZZZZZZZ')
})

test('ids of later milliseconds sort after earlier ones', () => {
  const times = [0, 1, 31, 32, 1_023, 1_024, 1_048_576, 1_700_000_000_000, 1_700_000_000_001]
  const ids = times.map(requestId)
  expect([...ids].sort()).toEqual(ids)
})

test('ids of one millisecond differ', () => {
  const ids = new Set(Array.from({ length: 20_000 }, () => requestId(5)))
  expect(ids.size).toBe(20_000)
})

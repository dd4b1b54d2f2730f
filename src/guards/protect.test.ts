import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseExact, readJson, writeJson } from './protect/json.ts'
import { descend, isAt, parsePath, start } from './protect/paths.ts'

/*
 * The guard as a whole is shown on the wire, in test/e2e/protect.test.ts. Here are its parts that are functions of values.
 */

function fits(path: string, place: readonly string[]): boolean {
  const steps = parsePath(path)
  return isAt(
    steps,
    place.reduce((standing, name) => descend(steps, standing, name), start),
  )
}

describe('the path of a field', () => {
  test.each([
    ['$.a', ['a'], true],
    ['$.a', ['b'], false],
    ['$.a', ['a', 'a'], false],
    ['$.a', ['b', 'a'], false],
    ['$..a', ['a'], true],
    ['$..a', ['x', '0', 'y', 'a'], true],
    ['$..a', ['a', 'b'], false],
    ['$.a..b', ['a', 'b'], true],
    ['$.a..b', ['a', 'x', 'b'], true],
    ['$.a..b', ['b'], false],
    ['$..a.b', ['x', 'a', 'b'], true],
    ['$..a.b', ['a', 'x', 'b'], false],
    ['$..a..a', ['a'], false],
    ['$..a..a', ['a', 'a'], true],
    ['$.items[*].note', ['items', '7', 'note'], true],
    ['$.items[*].note', ['items', 'note'], false],
    ['$.items[0].note', ['items', '0', 'note'], true],
    ['$.items[0].note', ['items', '1', 'note'], false],
    ['$.*', ['anything'], true],
    ["$['a.b']", ['a.b'], true],
    ['$["it\'s"]', ["it's"], true],
    ['$.straße', ['straße'], true],
    ['/a/*/c', ['a', 'b', 'c'], true],
    ['/a/*/c', ['a', 'c'], false],
    ['/a~1b/~0', ['a/b', '~'], true],
    ['/', [''], true],
  ] as const)('%s at %j: %s', (path, place, fit) => {
    expect(fits(path, place)).toBe(fit)
  })

  test.each([
    '',
    'a',
    '$',
    '$a',
    '$.',
    '$..',
    '$[',
    '$[a]',
    '$[?@.a]',
    '$[0:2]',
    '$[-1]',
    '$.a b',
    '/~',
    '/~2',
    `$${'.a'.repeat(31)}`,
  ])('%s is not understood', (path) => {
    expect(() => parsePath(path)).toThrow(/./)
  })
})

describe('a JSON body', () => {
  test('is written again as it was read, whatever its numbers are', () => {
    const number = fc.oneof(
      fc.integer().map(String),
      fc.bigInt({ min: -(10n ** 40n), max: 10n ** 40n }).map(String),
      fc
        .double({ noNaN: true, noDefaultInfinity: true })
        .filter((n) => !Object.is(n, -0))
        .map((n) => JSON.stringify(n)),
    )
    fc.assert(
      fc.property(fc.array(number, { minLength: 1 }), fc.string(), (numbers, text) => {
        const body = `{"a":[${numbers.join(',')}],"b":${JSON.stringify(text)}}`
        const read = readJson(Buffer.from(body))
        if (read === undefined) expect(text.isWellFormed()).toBe(false)
        else expect(writeJson(read.value).toString()).toBe(body)
      }),
    )
  })

  test.each([
    '',
    '{',
    '{"a":1,"a":2}',
    '{"a":1,"a":12345678901234567890}',
    '[01]',
    '[12345678901234567890,]',
    '\ufeff{}',
    '{"__proto__":1}',
  ])('that is %j is not read', (text) => {
    expect(readJson(Buffer.from(text))).toBeUndefined()
  })

  test('keeps a number that stands alone', () => {
    expect(JSON.stringify(parseExact('12345678901234567890'))).toBe('12345678901234567890')
    expect(parseExact('12')).toBe(12)
  })
})

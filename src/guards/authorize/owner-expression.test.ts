import { describe, expect, test } from 'vitest'
import { RuleError } from '../../rules/rule-error.ts'
import { isSame, type OwnerFacts, parseOwner, parseSource, unknown } from './owner-expression.ts'

const caller: Readonly<Record<string, unknown>> = {
  'claims.sub': 'alice',
  'claims.tenants': ['north', 'south'],
  'claims.number': 7,
  'claims.null': null,
  subject: 'alice',
}

function facts(known: Partial<OwnerFacts> = {}): OwnerFacts {
  return {
    path: (name) => ({ id: '5', user: 'alice' })[name],
    query: (name) => ({ user: 'alice' })[name],
    header: (name) => ({ 'x-user': 'alice' })[name],
    caller: (words) => caller[words.join('.')],
    requestBody: unknown,
    responseBody: unknown,
    responseHeaders: unknown,
    ...known,
  }
}

const judge = (source: string, known?: Partial<OwnerFacts>) => parseOwner(source).judge(facts(known))

describe('whose an object is', () => {
  test.each<[string, Partial<OwnerFacts>, true | 'differs' | 'missing' | 'unknown']>([
    ['$request.path.user == $claims.sub', {}, true],
    ['$claims.sub == $request.path.user', {}, true],
    ['$request.path.id == $claims.sub', {}, 'differs'],
    ['$request.path.nobody == $claims.sub', {}, 'missing'],
    ['$request.path.user == $claims.nothing', {}, 'missing'],
    ['$claims.null == $request.path.nobody', {}, 'missing'],
    ['$request.query.user == $subject', {}, true],
    ['$request.header.X-User == $claims.sub', {}, true],
    ["$request.path.user == 'alice'", {}, true],
    ["$request.path.user == 'Alice'", {}, 'differs'],
    ['$request.path.user in [\'bob\', "alice"]', {}, true],
    ["$request.path.user in ['bob']", {}, 'differs'],
    ['$request.path.id in [5]', {}, true],
    // Sides that are not there yet.
    ['$request.body#/userId == $claims.sub', {}, 'unknown'],
    ['$response.body#/userId == $claims.sub', {}, 'unknown'],
    ['$response.header.X-Owner == $claims.sub', {}, 'unknown'],
    ['$response.header.X-Owner == $claims.sub', { responseHeaders: { 'x-owner': 'alice' } }, true],
    ['$response.header.X-Owner == $claims.sub', { responseHeaders: {} }, 'missing'],
    // Values of bodies.
    ['$response.body#/userId == $claims.sub', { responseBody: { userId: 'alice' } }, true],
    ['$response.body#/userId == $claims.sub', { responseBody: { userId: 'bob' } }, 'differs'],
    ['$response.body#/userId == $claims.sub', { responseBody: {} }, 'missing'],
    ['$response.body#/userId == $claims.sub', { responseBody: null }, 'missing'],
    ['$response.body#/userId == $claims.sub', { responseBody: { userId: null } }, 'missing'],
    ['$response.body#/userId == $claims.sub', { responseBody: { userId: '' } }, 'missing'],
    ['$response.body#/userId == $claims.sub', { responseBody: { userId: ['alice'] } }, 'differs'],
    ['$response.body#/userId == $claims.sub', { responseBody: { userId: { $eq: 'alice' } } }, 'differs'],
    ['$response.body#/owner/id == $claims.number', { responseBody: { owner: { id: '7' } } }, true],
    ['$response.body#/owner/id == $claims.number', { responseBody: { owner: { id: '07' } } }, 'differs'],
    ['$response.body#/a~1b/0 == $claims.sub', { responseBody: { 'a/b': ['alice'] } }, true],
    ['$response.body#/user%20id == $claims.sub', { responseBody: { 'user id': 'alice' } }, true],
    ['$response.body#/constructor/name == $claims.sub', { responseBody: {} }, 'missing'],
    ['$response.body#/__proto__/x == $claims.sub', { responseBody: {} }, 'missing'],
    ['$response.body == $claims.sub', { responseBody: 'alice' }, true],
    // Lists on either side; a text holds nothing.
    ['$response.body#/tenant in $claims.tenants', { responseBody: { tenant: 'south' } }, true],
    ['$response.body#/tenant in $claims.tenants', { responseBody: { tenant: 'west' } }, 'differs'],
    ['$claims.sub in $response.body#/members', { responseBody: { members: ['bob', 'alice'] } }, true],
    ['$claims.sub in $response.body#/members', { responseBody: { members: 'malice' } }, 'differs'],
    ['$claims.sub in $response.body#/members', { responseBody: { members: [] } }, 'differs'],
    // Equal, or not there.
    ['$request.body#/userId ==? $claims.sub', { requestBody: {} }, true],
    ['$request.body#/userId ==? $claims.sub', { requestBody: { userId: 'alice' } }, true],
    ['$request.body#/userId ==? $claims.sub', { requestBody: { userId: 'bob' } }, 'differs'],
    ['$request.body#/userId ==? $claims.sub', { requestBody: { userId: null } }, 'missing'],
    ['$request.body#/userId ==? $claims.nothing', { requestBody: { userId: 'x' } }, 'missing'],
    // Joined.
    ['$request.path.user == $claims.sub && $response.body#/a == $claims.sub', {}, 'unknown'],
    ['$request.path.id == $claims.sub && $response.body#/a == $claims.sub', {}, 'differs'],
    ['$response.body#/a == $claims.sub && $request.path.id == $claims.sub', {}, 'differs'],
    ['$request.path.user == $claims.sub || $response.body#/a == $claims.sub', {}, true],
    ['$request.path.id == $claims.sub || $response.body#/a == $claims.sub', {}, 'unknown'],
    ['$request.path.id == $claims.sub || $request.query.x == $claims.sub', {}, 'differs'],
    // && binds tighter than ||.
    ["$request.path.id == '5' || $request.path.id == '6' && $request.path.id == '7'", {}, true],
    ["($request.path.id == '5' || $request.path.id == '6') && $request.path.id == '7'", {}, 'differs'],
  ])('%s with %j: %s', (source, known, expected) => {
    const finding = judge(source, known)
    if (expected === true) expect(finding).toBe(true)
    else if (expected === 'unknown') expect(finding).toBe(unknown)
    else expect(finding).toMatchObject({ because: expected })
  })

  test('what failed is told as it is written, without a value', () => {
    const source = '$request.path.user == $claims.sub &&  $response.body#/userId == $claims.sub'
    expect(judge(source, { responseBody: { userId: 'secret-bob' } })).toEqual({
      failed: '$response.body#/userId == $claims.sub',
      because: 'differs',
    })
  })
})

test.each<[unknown, unknown, boolean]>([
  ['5', 5, true],
  [5, '5', true],
  ['05', 5, false],
  ['5.0', 5, false],
  ['+5', 5, false],
  [' 5', 5, false],
  ['5e0', 5, false],
  ['-0', -0, false],
  ['0', -0, false],
  [0, -0, true],
  ['9007199254740991', 9007199254740991, true],
  ['9007199254740992', 9007199254740992, false],
  [2 ** 53, 2 ** 53, false],
  ['1.5', 1.5, false],
  [1.5, 1.5, true],
  [Number.NaN, Number.NaN, false],
  ['NaN', Number.NaN, false],
  [true, true, true],
  [true, 'true', false],
  [1, true, false],
  ['', '', false],
  [null, null, false],
  [undefined, undefined, false],
  // One letter in two Unicode forms (U+00E9; e and U+0301) names two users to a database.
  ['\u00e9', 'e\u0301', false],
  ['é', 'é', true],
  ['Alice', 'alice', false],
])('%j and %j are the same: %s, either way round', (a, b, expected) => {
  expect(isSame(a, b)).toBe(expected)
  expect(isSame(b, a)).toBe(expected)
})

test.each<[string, number, RegExp]>([
  ['', 0, /expected an expression/],
  ['$request.path.id', 16, /expected ==/],
  ['$request.path.id = $claims.sub', 17, /cannot read|expected ==/],
  ['$request.path.id != $claims.sub', 17, /expected ==/],
  ['$request.path.id === $claims.sub', 17, /expected ==/],
  ['$request.path.id == $claim.sub', 20, /nothing that can be looked at/],
  ['$request.path.id == claims.sub', 20, /cannot read/],
  ['$response.path.id == $claims.sub', 0, /nothing that can be looked at/],
  ['$response.body#userId == $claims.sub', 0, /begins with \//],
  ['$response.body#/a~2 == $claims.sub', 0, /~0/],
  ['$response.body#/a%zz == $claims.sub', 0, /%25/],
  ['$request.header.a(b) == $claims.sub', 18, /cannot read/],
  ['$claims == $request.path.id', 0, /name of a claim/],
  ['$subject.x == $request.path.id', 0, /nothing inside/],
  ["'a' == 'a'", 4, /always the same/],
  ["$request.path.id in ['a', $claims.sub]", 26, /expected a text/],
  ["$request.path.id == ['a']", 20, /expected an expression/],
  ["($request.path.id == 'a'", 24, /expected \)/],
  ["$request.path.id == 'a' && ", 27, /expected an expression/],
  ["$request.path.id == 'a", 20, /does not end/],
  ["$request.path.id == 'a' $claims.sub", 24, /expected &&/],
  [`$request.path.id in [${'1,'.repeat(2_000)}1]`, 2_048, /longer than/],
  [Array(33).fill("$request.path.id == 'a'").join(' || '), 881, /more than 32/],
])('%s is refused, with the place', (source, offset, message) => {
  let error: unknown
  try {
    parseOwner(source)
  } catch (thrown) {
    error = thrown
  }
  expect(error).toBeInstanceOf(RuleError)
  expect((error as RuleError).message).toMatch(message)
  expect((error as RuleError).offset).toBe(offset)
})

test('a source stands alone and tells its side', () => {
  expect(parseSource('$response.body#/items/0')).toMatchObject({ side: 'response', tokens: ['items', '0'] })
  expect(parseSource('$response.header.X-Total')).toMatchObject({ side: 'response', header: 'x-total' })
  expect(parseSource('$request.path.id')).toMatchObject({ side: 'head', tokens: undefined })
  expect(() => parseSource('$response.body#/a == 1')).toThrow(RuleError)
})

test('an expression says what it looks at', () => {
  const { sides, responsePointers } = parseOwner(
    '$request.body#/a == $subject && ($response.body#/b/c == $claims.x || $request.path.id == $subject)',
  )
  expect([...sides].sort()).toEqual(['head', 'requestBody', 'response'])
  expect(responsePointers).toEqual([['b', 'c']])
})

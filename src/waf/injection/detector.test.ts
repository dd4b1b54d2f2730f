import { expect, test } from 'vitest'
import { seclangCases } from '../../../test/kit/seclang-tests.ts'
import { openCarrier } from './carrier.ts'
import { createInjectionDetector, InjectionUnavailable } from './index.ts'
import { learnWords } from './sql-words.ts'

test('both kinds are answered at once, by index', () => {
  const detector = createInjectionDetector()
  expect(detector.both(['a', "1' or 1=1--"], ['<script>', 'b'])).toEqual({
    sqli: [undefined, 's&1c'],
    xss: [true, false],
  })
  expect(detector.both([], [])).toEqual({ sqli: [], xss: [] })
})

test('the SecRules language tests for both hold, where they are', () => {
  const detector = createInjectionDetector()
  for (const { name, input, matches } of seclangCases('operators')) {
    if (name === 'detectSQLi') expect(detector.sqli([input])[0] !== undefined, input).toBe(matches)
    if (name === 'detectXSS') expect(detector.xss([input])[0], input).toBe(matches)
  }
})

test('a carrier that is missing is an error that tells what for and why', () => {
  const error = new InjectionUnavailable(new Error('No native build was found\nfor this system'))
  expect(error.message).toMatch(/^@detectSQLi needs @datadog\/native-appsec, .*: No native build was found\. It has/)
  expect(error.code).toBe('injection.unavailable')
})

test('the carrier knows the words of SQL for what they are', () => {
  const { kindOf } = learnWords(openCarrier())
  const letter = (text: string) => String.fromCharCode(kindOf(text))
  expect(
    ['select', 'UNION', 'from', 'group by', 'sleep', 'varchar', 'exec', 'and', 'is not', 'null', 'collate', 'true'].map(
      letter,
    ),
  ).toEqual(['E', 'U', 'k', 'B', 'f', 't', 'T', '&', 'o', 'v', 'A', '1'])
  // What longer phrases begin with.
  expect(['in boolean', 'lock in share', 'create or', 'at time'].map(letter)).toEqual(['n', 'n', 'n', 'n'])
  // Names to most, functions before a parenthesis.
  expect(['user', 'password', 'hello', 'pa\xdfword'].map(kindOf)).toEqual([0, 0, 0, 0])
})

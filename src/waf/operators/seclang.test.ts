import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { type SecLangCase, seclangCases } from '../../../test/kit/seclang-tests.ts'
import { sharedPath } from '../../../test/kit/shared.ts'
import { createInjectionDetector } from '../injection/index.ts'
import { compileOperator, type Operator, OperatorError } from './index.ts'

/** Cases that cannot be read as they are written, and why. One that is listed and passes fails the run, so that the list stays true. */
const inconsistent: Readonly<Record<string, string>> = {
  'rxGlobal 10': 'only the groups of the first match are listed; of others, as rxGlobal 17, those of all matches',
  'rxGlobal 14': 'the same',
  'validateByteRange 3':
    'the NUL of the input is a JSON escape, at which the runner of ModSecurity ends the string: what it tests is the empty one',
}

const lookAhead = 'patterns with a look-ahead are refused: they are not matched in linear time'

/** Cases with an argument that is refused at load, and why. */
const refused: Readonly<Record<string, string>> = {
  'ipMatch 16': 'a prefix of 100 bits is no range of IPv4; ModSecurity refuses it too, its runner goes on nevertheless',
  'rx 11': lookAhead,
  'rx 12': lookAhead,
  'rxGlobal 11': lookAhead,
  'rxGlobal 12': lookAhead,
}

const place = { file: 'test.conf', line: 1, column: 1 }
const cases = seclangCases('operators')

describe.skipIf(cases.length === 0)('the SecRules language tests for operators', () => {
  const injection = createInjectionDetector()
  const compile = ({ name, parameter }: SecLangCase): Operator =>
    compileOperator(name, parameter, linesOf(name, parameter), place, injection)

  test('are all there', () => {
    expect(new Set(cases.map(({ name }) => name)).size).toBe(29)
  })

  for (const one of cases) {
    const number = one.title.split(':')[0]!
    if (number in refused) {
      test(`${one.title} is refused`, () => expect(() => compile(one)).toThrow(OperatorError))
      continue
    }
    const run = number in inconsistent ? test.fails : test
    run(one.title, () => {
      const operator = compile(one)
      expect(operator.test(one.input)).toBe(one.matches)
      if (one.groups !== undefined) {
        expect(operator.captures?.(one.input)).toEqual(one.groups)
      }
    })
  }
})

test.skipIf(cases.length > 0)('the SecRules language tests are not here', (context) => {
  context.skip('put SpiderLabs/secrules-language-tests beside the checkout as shared/seclang-tests')
})

/** The data file lies beside the tests, under the path it has in ModSecurity's checkout. */
function linesOf(name: string, parameter: string): readonly string[] | undefined {
  if (name !== 'pmFromFile') return undefined
  const file = `${sharedPath('seclang-tests')}/${parameter.replace('test-cases/secrules-language-tests/', '')}`
  return readFileSync(file, 'latin1')
    .split('\n')
    .filter((line) => line !== '')
}

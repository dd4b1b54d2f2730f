import { describe, expect, test } from 'vitest'
import { errorOf, parse, ruleOf } from '../../../test/kit/rules.ts'

function operatorOf(rest: string, files: Readonly<Record<string, string>> = {}) {
  const readData = (file: string) => {
    const text = files[file]
    if (text === undefined) throw new Error('there is no such file')
    return text
  }
  const { name, negated, argument, lines } = ruleOf(`SecRule ARGS ${rest}`, { readData }).conditions[0].operator
  return { name, negated, argument, lines }
}

describe('an operator', () => {
  test.each([
    ['"@rx ^a b$" id:1', 'rx', false, '^a b$'],
    ['"@rx   a " id:1', 'rx', false, 'a '],
    ['"^a@b$" id:1', 'rx', false, '^a@b$'],
    ['"!^a$" id:1', 'rx', true, '^a$'],
    ['"!@rx a" id:1', 'rx', true, 'a'],
    ['"! @rx a" id:1', 'rx', true, 'a'],
    ['"@rx \\"a\\\\x\\"" id:1', 'rx', false, '"a\\\\x"'],
    ['"@eq 0" id:1', 'eq', false, '0'],
    ['"!@within %{tx.methods}" id:1', 'within', true, '%{tx.methods}'],
    ['"@DetectSqlI" id:1', 'detectSQLi', false, ''],
    ['"@pm a b  c" id:1', 'pm', false, 'a b  c'],
    ['"" id:1', 'rx', false, ''],
    // As ModSecurity 3 reads it: without quotes, with the argument up to the next space.
    ['@contains attack "id:1"', 'contains', false, 'attack'],
    ['!@streq x id:1', 'streq', true, 'x'],
    ['@detectXSS id:1', 'detectXSS', false, ''],
    ['attack id:1', 'rx', false, 'attack'],
    ["'@rx a\"b' 'id:1'", 'rx', false, 'a"b'],
  ])('%s', (rest, name, negated, argument) => {
    expect(operatorOf(rest)).toEqual({ name, negated, argument, lines: undefined })
  })

  test('that can never match is told of', () => {
    const { warnings } = parse('SecRule REMOTE_ADDR "@geoLookup" "id:1"')
    expect(warnings.map(({ message }) => message)).toEqual([
      '@geoLookup never matches: there is no database of places here',
    ])
  })

  test('reads the files that it names beside the file of the rule, without comments and empty lines', () => {
    const files = { 'rules/a.data': '# words\r\n\r\n one two \r\n#x\nthree\n', '/etc/b.data': 'four' }
    expect(operatorOf('"@pmFromFile a.data" id:1', files).lines).toEqual(['one two', 'three'])
    expect(operatorOf('"@pmf a.data /etc/b.data" id:1', files)).toEqual({
      name: 'pmFromFile',
      negated: false,
      argument: 'a.data /etc/b.data',
      lines: ['one two', 'three', 'four'],
    })
    expect(operatorOf('"!@ipMatchF /etc/b.data" id:1', files)).toMatchObject({
      name: 'ipMatchFromFile',
      lines: ['four'],
    })
  })

  test('reads a file once, however many rules name it', () => {
    let count = 0
    const readData = () => {
      count++
      return 'a'
    }
    ruleOf('SecRule ARGS "@pmFromFile a" "id:1,chain"\nSecRule ARGS "@pmFromFile a"', { readData })
    expect(count).toBe(1)
  })

  test.each([
    ['"@rxx a" "id:1"', 15, 'unknown operator "@rxx"', 'did you mean @rx?'],
    ['"@" "id:1"', 15, 'unknown operator "@"', 'a pattern that begins with @ is written @rx @…'],
    ['"@rx a(b" "id:1"', 20, 'not a pattern: a parenthesis that is not closed', undefined],
    ['"@rx \\"a(b" "id:1"', 22, 'not a pattern: a parenthesis that is not closed', undefined],
    ['"a(b" "id:1"', 16, 'not a pattern: a parenthesis that is not closed', undefined],
    ['"@pmFromFile b.data" "id:1"', 27, 'cannot read rules/b.data: no such thing', undefined],
    ['"@pmFromFile" "id:1"', 26, 'expected the name of a file', undefined],
    [
      '"@ipMatchFromFile https://example.org/x" "id:1"',
      32,
      'data is not fetched from the network',
      'download the file and name it',
    ],
  ])('%s is refused at column %d: %s', (rest, column, message, hint) => {
    const readData = () => {
      throw new Error('no such thing')
    }
    expect(errorOf(`SecRule ARGS ${rest}`, { readData }).problems[0]).toMatchObject({
      place: { column },
      message,
      hint,
    })
  })

  test('cannot read data where no folder is known, or where the data was decoded', () => {
    const text = 'SecRule ARGS "@pmFromFile a.data" "id:1"'
    expect(errorOf(text).message).toContain('rules given without a folder have no files beside them')
    expect(errorOf(text, { readData: () => '…' }).message).toContain('must be given as bytes')
  })
})

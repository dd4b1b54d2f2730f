import { describe, expect, test } from 'vitest'
import { errorOf } from '../../../test/kit/rules.ts'
import { RuleError } from './error.ts'
import { parseRules } from './index.ts'

describe('a RuleError', () => {
  test('shows each line that is wrong, with a mark under the word', () => {
    const error = errorOf('SecRule ARGS "@rx a" \\\n\t"id:1,chian,\\\n\tphase:9"\n\nSecRul x')
    expect(error).toBeInstanceOf(RuleError)
    expect(error.message).toBe(
      [
        'rules/own.conf:2:8  unknown action "chian"',
        '    1 | SecRule ARGS "@rx a" \\',
        '    2 | \t"id:1,chian,\\',
        '      | \t      ^^^^^ did you mean "chain"?',
        '',
        'rules/own.conf:3:8  unknown phase "9"',
        '    2 | \t"id:1,chian,\\',
        '    3 | \tphase:9"',
        '      | \t      ^ expected 1 to 5, request, response or logging',
        '',
        'rules/own.conf:5:1  unknown directive "SecRul"',
        '    4 | ',
        '    5 | SecRul x',
        '      | ^^^^^^ did you mean SecRule?',
      ].join('\n'),
    )
    expect(error.place).toEqual({ file: 'rules/own.conf', line: 2, column: 8 })
    expect(error.problems.map(({ place, length, hint }) => [place.line, length, hint])).toEqual([
      [2, 5, 'did you mean "chain"?'],
      [3, 1, 'expected 1 to 5, request, response or logging'],
      [5, 6, 'did you mean SecRule?'],
    ])
    expect(error.frame).toBe(error.problems[0]!.frame)
  })

  test('shows of a long line the part that it is about', () => {
    const { frame } = errorOf(`SecRule ARGS "@rx ${'a'.repeat(5_000)}(" "id:1"`)
    const lines = frame.split('\n')
    expect(lines[0]).toBe('rules/own.conf:1:5019  not a pattern: a parenthesis that is not closed')
    expect(lines[1]).toMatch(/^ {4}1 \| …a+\(" "id:1"$/)
    expect(lines[2]!.indexOf('^')).toBe(lines[1]!.indexOf('('))
  })

  test('shows UTF-8 as text and control characters as none', () => {
    const { frame } = errorOf(Buffer.from('SecRule ARGS "@contains é\x1b[31m" "id:1,dény"').toString('latin1'))
    expect(frame).toContain('1 | SecRule ARGS "@contains é?[31m" "id:1,dény"')
    const [title, line, mark] = frame.split('\n')
    expect(title).toContain('unknown action "dény"')
    expect(mark!.indexOf('^')).toBe(line!.indexOf('dény'))
  })

  test('shows bytes that are no UTF-8 too', () => {
    expect(errorOf('SecRule ARGS "@rx \xff" "id:1,x"').frame).toContain('@rx \xff')
  })

  test('ends after so many problems that nobody reads more', () => {
    const error = errorOf('what is this\n'.repeat(1_000))
    expect(error.problems).toHaveLength(50)
    expect(error.message.endsWith('There is more; mend these first.')).toBe(true)
  })

  test('names the file that is wrong', () => {
    const sources = [
      { name: 'a.conf', text: 'SecRule ARGS a id:1' },
      { name: 'b.conf', text: '\nSecRule ARGS a id:x' },
    ]
    expect(() => parseRules(sources)).toThrow('b.conf:2:19  expected a rule id, found "x"')
  })

  test('is thrown for a text that was decoded, since its bytes are lost', () => {
    const error = errorOf('# comment\nSecMarker „a“')
    expect(error.problems).toMatchObject([
      { message: 'the text was decoded; it must be given as bytes', place: { line: 2, column: 11 } },
    ])
  })
})

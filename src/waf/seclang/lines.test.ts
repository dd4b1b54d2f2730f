import { describe, expect, test } from 'vitest'
import { createComplaints, RuleError } from './error.ts'
import { readDirectives } from './lines.ts'
import { lineStartsOf, placeOf } from './piece.ts'

function read(text: string) {
  const complaints = createComplaints()
  const directives = readDirectives({ name: 'x.conf', text, lineStarts: lineStartsOf(text) }, complaints)
  return { directives, complaints }
}

function wordsOf(text: string): string[][] {
  const { directives, complaints } = read(text)
  complaints.settle()
  return directives.map(({ name, words }) => [name.text, ...words.map((word) => word.text)])
}

describe('a file of directives', () => {
  test.each([
    ['', []],
    ['\n \n\t\n', []],
    ['# nothing\n  # at all', []],
    ['SecMarker END', [['SecMarker', 'END']]],
    ['  SecMarker\tEND  ', [['SecMarker', 'END']]],
    [
      'SecMarker A\r\nSecMarker B\r\n',
      [
        ['SecMarker', 'A'],
        ['SecMarker', 'B'],
      ],
    ],
    ['\xef\xbb\xbfSecMarker A', [['SecMarker', 'A']]],
    ['A "b c" d', [['A', 'b c', 'd']]],
    ["A 'b c' d", [['A', 'b c', 'd']]],
    ['A ""', [['A', '']]],
    ['A "b""c"', [['A', 'b', 'c']]],
    ['A b"c d"e', [['A', 'b"c', 'd"e']]],
    // Only the backslash of an escaped quote goes.
    ['A "b\\"c"', [['A', 'b"c']]],
    ['A "b\\\\" c', [['A', 'b\\\\', 'c']]],
    ['A "b\\\\\\"c"', [['A', 'b\\\\"c']]],
    ['A "\\d\\\'\\x5c"', [['A', "\\d\\'\\x5c"]]],
    ["A 'b\\'c\"d'", [['A', 'b\'c"d']]],
    // Continued lines: white space at their beginning is dropped, that at the end of the line before is not.
    ['A \\\n  b', [['A', 'b']]],
    ['A \\\r\n  b \\\r\n c', [['A', 'b', 'c']]],
    ['A "b \\\n   c"', [['A', 'b c']]],
    ['A "b,\\\n   c"', [['A', 'b,c']]],
    ['A b\\\nc', [['A', 'bc']]],
    ['A b \\', [['A', 'b']]],
    ['\\\nA b', [['A', 'b']]],
    ['A \\\n\nB', [['A'], ['B']]],
    // A comment is continued too.
    ['# a \\\n# b\nC', [['C']]],
    ['# a \\\n#   b \\\n\nC', [['C']]],
  ])('%j has the words %j', (text, words) => {
    expect(wordsOf(text)).toEqual(words)
  })

  test('says so when a comment takes in a line that does not look like one', () => {
    const { directives, complaints } = read('# SecRule A "b" \\\nSecRule C "d" "id:1"\nSecMarker E')
    expect(directives.map(({ name }) => name.text)).toEqual(['SecMarker'])
    expect(complaints.warnings).toEqual([
      {
        place: { file: 'x.conf', line: 2, column: 1 },
        message: 'this line is part of the comment above, which ends with a backslash',
      },
    ])
  })

  test.each([
    ['SecRule ARGS "@rx a', 1, 14, 'this quote is not closed'],
    ['SecRule ARGS "@rx a\nSecMarker B', 1, 14, 'this quote is not closed'],
    ['SecRule ARGS "@rx "a" "id:1"', 1, 19, 'expected white space after the closing quote'],
    ["A 'b'c", 1, 5, 'expected white space after the closing quote'],
  ])('%j is refused in line %d, column %d: %s', (text, line, column, message) => {
    const { complaints } = read(text)
    const settle = () => complaints.settle()
    expect(settle).toThrow(RuleError)
    expect(settle).toThrow(message)
    try {
      settle()
    } catch (error) {
      expect((error as RuleError).place).toEqual({ file: 'x.conf', line, column })
    }
  })

  test('tells of white space behind a backslash, since no editor shows it', () => {
    const { complaints } = read('SecRule ARGS "@rx a" "id:1,\\ \n  deny"')
    expect(() => complaints.settle()).toThrow('white space follows the backslash')
  })
})

describe('the place of a character', () => {
  test('is known through continued lines and escaped quotes', () => {
    const { directives } = read('\n  A "b\\"c,\\\n\td\\"e" \\\n f')
    const [, f] = directives[0]!.words
    const word = directives[0]!.words[0]!
    expect(word.text).toBe('b"c,d"e')
    const places = [...word.text].map((_, index) => placeOf(word, index)).map(({ line, column }) => [line, column])
    expect(places).toEqual([
      [2, 6],
      [2, 8],
      [2, 9],
      [2, 10],
      [3, 2],
      [3, 4],
      [3, 5],
    ])
    expect(placeOf(f!)).toEqual({ file: 'x.conf', line: 4, column: 2 })
  })

  test('counts characters, not the bytes of UTF-8', () => {
    const { directives } = read(Buffer.from('A "äöü" b').toString('latin1'))
    expect(placeOf(directives[0]!.words[1]!).column).toBe(9)
  })
})

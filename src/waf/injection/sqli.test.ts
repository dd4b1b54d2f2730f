import { describe, expect, test } from 'vitest'
import { openCarrier } from './carrier.ts'
import { compose, createNativeJudge, valuesCount } from './native.fixture.ts'
import { isLeftOut } from './sql-fingerprints.ts'
import { createSqliDetector } from './sqli.ts'

const detect = createSqliDetector(openCarrier())
const judgeNatively = createNativeJudge()

/** Fingerprints as the reference implementation (libinjection 4) gives them. */
const attacks: readonly (readonly [value: string, fingerprint: string])[] = [
  ["1' or 1=1--", 's&1c'],
  ["' OR ''='", 's&sos'],
  ["x' union select 1,2--", 'sUE1c'],
  ['1 union all select null,null', '1UEv'],
  ['-1 UnIoN/**/SeLeCt 1', '1UE1'],
  ['1; drop table users', '1;Tnn'],
  ["admin'--", 'sc'],
  ["1' and sleep(5)#", 's&f(1'],
  ["1' waitfor delay '0:0:5'--", 'sEsc'],
  ['1 or 1=1', '1&1'],
  ['" or ""="', 's&sos'],
  ['ascii(substring(version() from 1 for 1))', 'f(f(f'],
  ["'; exec xp_cmdshell('dir')--", 's;Tn('],
  ['1 /*!union*/ select', 'X'],
  ['1 procedure analyse(1)', '1f(1)'],
  // Not on the list of libddwaf's build.
  ["EmptyValue' and 526=527", 's&1'],
  ['sleep(20)', 'f(1)'],
  ['" | type %SystemDrive%\\\\config.ini | "', 'sos'],
  ['1--', '1c'],
  // A word right behind a number, at which that build gives up.
  ["2010-01-01' sleep(20.to_i) '", 'sf(1n'],
  ['1union select 1,2 from x', '1UE1k'],
  ['1.union select 1', '1UE1'],
  // Bytes that are no UTF-8, and NUL: white space to SQL.
  ["1'\xa0or\xa01=1--", 's&1c'],
  ["1'\0or\x001=1--", 's&1c'],
  ["\xff' or 1=1--", 's&1c'],
]

const benign: readonly string[] = [
  ...['', 'a', '42', 'hello world', "O'Brien", "it's and it's", 'john.doe@example.com', '2024-01-01T00:00:00Z'],
  ...['https://example.com/a?b=c&d=e', '3f2504e0-4f89-11d3-9a0c-0305e82c3301', 'this is not isqli', 'nice and 17'],
  ...['Select a plan from the list', 'union of workers', '1 union', 'rock & roll', 'C# and C++', '50% off; today only'],
  ...['{"a":[1,2,3]}', 'a-b-c', '--', '#1', "''", '/api/v1/users/42', '(555) 010-0199'],
]

test.each(attacks)('%j is injected SQL: %s', (value, fingerprint) => {
  expect(detect([value])).toEqual([fingerprint])
})

test.each(benign)('%j is none', (value) => {
  expect(detect([value])).toEqual([undefined])
})

test('a list is judged value by value, whatever was asked before', () => {
  const fresh = createSqliDetector(openCarrier())
  const values = attacks.flatMap(([value]) => [value, 'hello'])
  const expected = attacks.flatMap(([, fingerprint]) => [fingerprint, undefined])
  expect(fresh(values)).toEqual(expected)
  expect(fresh(values)).toEqual(expected)
})

describe('padding hides nothing, however long it is', () => {
  test.each([
    ['white space', (length: number) => `1' ${' '.repeat(length)} or 1=1--`],
    ['a comment', (length: number) => `1'/*${'it is so '.repeat(length / 9)}*/or 1=1--`],
    ['a string before the quote', (length: number) => `${'lorem ipsum '.repeat(length / 12)}' or 1=1--`],
    ['arithmetic', (length: number) => `1'${'+1'.repeat(length / 2)} or 1=1--`],
    ['opening parentheses', (length: number) => `${'('.repeat(length)}1' or 1=1--`],
  ])('%s', (_, pad) => {
    for (const length of [10, 4_000, 5_000, 100_000]) expect(detect([pad(length)])[0]).toMatch(/^s/)
  })
})

const pieces = [
  ...[
    'foo',
    '1',
    '@a',
    "'a'",
    '"a"',
    '$$a$$',
    '=',
    '-',
    '!',
    'not',
    'in',
    'not in',
    'like',
    '*',
    '::',
    'and',
    'or',
    '&&',
    'from',
  ],
  ...[
    'into outfile',
    'union',
    'union all',
    'having',
    'group by',
    'select',
    'case',
    'int',
    'varchar',
    'declare',
    'exec',
    'abs',
  ],
  ...[
    'sleep',
    'user',
    'database',
    'password',
    'current_user',
    'if',
    'collate',
    'latin1_bin',
    '(',
    '(',
    ')',
    ')',
    ',',
    ',',
    ';',
  ],
  ...[
    '{',
    '}',
    '.',
    ':',
    '?',
    '\\',
    '/**/',
    '-- x\n',
    '#',
    'is',
    'between',
    'for update',
    'null',
    'as',
    'x_y',
    '[a]',
    '%',
    "'",
    '"',
  ],
]

test('of tokens with spaces between them the carrier thinks the same, but for what it leaves out', () => {
  let found = 0
  for (const values of compose(pieces, ' ', valuesCount)) {
    const natively = judgeNatively(values)
    detect(values).forEach((fingerprint, i) => {
      if (fingerprint !== undefined) found++
      if (fingerprint !== undefined && isLeftOut(fingerprint)) return
      if (fingerprint !== natively[i]!.sqli) throw new Error(`${values[i]}: ${fingerprint}, not ${natively[i]!.sqli}`)
    })
  }
  expect(found).toBeGreaterThan(valuesCount / 200)
}, 3_600_000)

/** A word right behind something that the carrier takes for no boundary: it forgets what it has read, and goes on as if that were all. */
const givesUp = /[^\s(),;{}\-!&*:<=>|'"A-Za-z_][A-Za-z_]/

test('what the carrier finds in any value is found', () => {
  const rough = [
    ...pieces,
    ...[
      '1.5',
      '.5',
      '1.',
      '1e5',
      '1e',
      '0x',
      '0x1f',
      '0b',
      '1f',
      '1union',
      "n'a'",
      "e'a'",
      "q'(a)'",
      "u&'a'",
      "b'01'",
      "x'ff'",
    ],
    ...[
      '$1,000',
      '$a',
      '@',
      '@@version',
      "''",
      "\\'",
      '\n',
      '\t',
      '\0',
      '--',
      '/*',
      '*/',
      '/*!',
      '<=>',
      '||',
      '|',
      '&',
      'sp_password',
    ],
  ]
  let found = 0
  for (const values of compose(rough, '', valuesCount, 2)) {
    const ours = detect(values)
    judgeNatively(values).forEach(({ sqli }, i) => {
      if (sqli === undefined || givesUp.test(values[i]!)) return
      found++
      if (ours[i] === undefined) throw new Error(`${JSON.stringify(values[i])} is ${sqli}`)
    })
  }
  expect(found).toBeGreaterThan(valuesCount / 200)
}, 3_600_000)

test('time grows with the value, whatever it is', () => {
  // A reading that went back would take a thousand times as long for the second as for the first, not ten times.
  const hard = [
    "'",
    '"',
    "\\'",
    '(',
    '/*',
    '/**/',
    '--\n',
    '$a$',
    '$$',
    "q'(",
    '[',
    '1+',
    ', 1',
    '@',
    '`',
    "x'",
    'e.',
    '1e',
  ]
  for (const piece of hard) {
    const timeOf = (count: number) => {
      const value = piece.repeat(count)
      const start = process.cpuUsage()
      detect([value])
      const { user, system } = process.cpuUsage(start)
      return user + system
    }
    timeOf(1_000)
    expect(timeOf(100_000), piece).toBeLessThan(timeOf(10_000) * 40 + 100_000)
  }
})

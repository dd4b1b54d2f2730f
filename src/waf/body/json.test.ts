import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { flattenJson, type ShapeNode } from './json.ts'
import { judgeJson } from './json-judge.fixture.ts'
import { countSteps, growth } from './steps.fixture.ts'
import { type Argument, bodyLimits } from './values.ts'

function entries(found: readonly Argument[]): [string, string][] {
  return found.map(({ name, value }) => [name, value])
}

function flat(text: string): [string, string][] {
  return entries(flattenJson(text).arguments)
}

describe('flattening', () => {
  test.each<[string, [string, string][]]>([
    ['{"a":1}', [['json.a', '1']]],
    ['{"a":{"b":"c"}}', [['json.a.b', 'c']]],
    [
      '{"a":[1,"x"]}',
      [
        ['json.a.0', '1'],
        ['json.a.1', 'x'],
        ['json.a', '2'],
      ],
    ],
    [
      '[[1],[]]',
      [
        ['json.0.0', '1'],
        ['json.0', '1'],
        ['json.1', '0'],
        ['json', '2'],
      ],
    ],
    [
      '{"a":{},"b":[]}',
      [
        ['json.a', ''],
        ['json.b', '0'],
      ],
    ],
    ['{}', [['json', '']]],
    ['"x"', [['json', 'x']]],
    ['1', [['json', '1']]],
    ['true', [['json', 'true']]],
    [' null ', [['json', '']]],
    [
      '{"a":true,"b":false,"c":null}',
      [
        ['json.a', 'true'],
        ['json.b', 'false'],
        ['json.c', ''],
      ],
    ],
    [
      '[0,-0,1.50,1e9,-1.2E-3,123456789012345678901234567890]',
      [
        ['json.0', '0'],
        ['json.1', '-0'],
        ['json.2', '1.50'],
        ['json.3', '1e9'],
        ['json.4', '-1.2E-3'],
        ['json.5', '123456789012345678901234567890'],
        ['json', '6'],
      ],
    ],
    ['{"":{"":1}}', [['json..', '1']]],
    ['{"a.b":1}', [['json.a.b', '1']]],
    ['{"__proto__":{"x":1}}', [['json.__proto__.x', '1']]],
    [
      ' \n\t\r{ "a" \n: [ 1 , 2 ] } ',
      [
        ['json.a.0', '1'],
        ['json.a.1', '2'],
        ['json.a', '2'],
      ],
    ],
  ])('%j', (text, expected) => {
    const read = flattenJson(text)
    expect(entries(read.arguments)).toEqual(expected)
    expect(read.error).toBeUndefined()
  })

  test('a key that stands twice gives both values: Coraza keeps one, upstreams the other', () => {
    expect(flat('{"q":"safe","q":"\' or 1=1"}')).toEqual([
      ['json.q', 'safe'],
      ['json.q', "' or 1=1"],
    ])
    expect(flat('{"q":{"a":1},"q":{"a":2}}')).toEqual([
      ['json.q.a', '1'],
      ['json.q.a', '2'],
    ])
  })

  test.each([
    ['\\u003cscript\\u003E', '<script>'],
    ['\\"\\\\\\/\\b\\f\\n\\r\\t', '"\\/\b\f\n\r\t'],
    ['\\u00e9', '\xc3\xa9'],
    ['\\u20ac', '\xe2\x82\xac'],
    ['\\ud83d\\ude00', '\xf0\x9f\x98\x80'],
    ['\\ud83d', '\xef\xbf\xbd'],
    ['\\ude00x', '\xef\xbf\xbdx'],
    ['\\ude00\\ude00', '\xef\xbf\xbd\xef\xbf\xbd'],
    ['\\ud83d\\u0041', '\xef\xbf\xbdA'],
    ['\\ud83d\\ud83d\\ude00', '\xef\xbf\xbd\xf0\x9f\x98\x80'],
    ['\\u0000', '\0'],
    ['\xc3\xa9', '\xc3\xa9'],
  ])('the escape %j becomes UTF-8', (escaped, expected) => {
    const read = flattenJson(`{"${escaped}":"a${escaped}b"}`)
    expect(entries(read.arguments)).toEqual([[`json.${expected}`, `a${expected}b`]])
    expect(read.error).toBeUndefined()
  })

  test('long strings full of escaped quotes are read whole', () => {
    const value = 'x"'.repeat(60_000)
    expect(flat(JSON.stringify([value]))[0]).toEqual(['json.0', value])
    expect(flat(JSON.stringify([`\\${value}`, 'y']))[1]).toEqual(['json.1', 'y'])
  })

  test('agrees with JSON.parse on whatever that can write', () => {
    fc.assert(
      fc.property(
        fc.json({ maxDepth: 6, stringUnit: 'binary' }),
        fc.constantFrom(undefined, 1, '\t'),
        (text, space) => {
          const value: unknown = JSON.parse(text)
          const bytes = toBytes(JSON.stringify(value, undefined, space))
          const read = flattenJson(bytes, { ...bodyLimits, argumentsMax: 1_000_000 })
          expect(entries(read.arguments)).toEqual(judgeJson(bytes))
          expect(read.error).toBeUndefined()
        },
      ),
      { numRuns: 500 },
    )
  })

  test('every name is the prefix that its container shares, and its own key', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 5 }), (text) => {
        for (const { name, prefix, key } of flattenJson(toBytes(text)).arguments) {
          expect(name).toBe(prefix === undefined ? 'json' : prefix.text + key)
        }
      }),
    )
  })
})

describe('texts that are not JSON', () => {
  test.each<[string, [string, string][], RegExp]>([
    ['', [], /expected a value/],
    ['  ', [], /expected a value/],
    ['{"a":1', [['json.a', '1']], /found the end/],
    ['{"a":"<script>', [['json.a', '"<script>']], /end of a string/],
    [
      '{"a":1,}',
      [
        ['json.a', '1'],
        ['json.', '}'],
      ],
      /expected a key/,
    ],
    [
      '{"a":1 "b":2}',
      [
        ['json.a', '1'],
        ['json.', '"b":2}'],
      ],
      /expected ","/,
    ],
    ["{'a':1}", [['json.', "'a':1}"]], /expected a key/],
    ['{a:1}', [['json.', 'a:1}']], /expected a key/],
    ['{"a"}', [['json.', '"a"}']], /expected ":"/],
    ['{"a', [['json.', '"a']], /end of a key/],
    ['{"a":}', [['json.a', '}']], /expected a value/],
    [
      '[1,2',
      [
        ['json.0', '1'],
        ['json.1', '2'],
      ],
      /found the end/,
    ],
    [
      '[1}',
      [
        ['json.0', '1'],
        ['json.', '}'],
      ],
      /expected ","/,
    ],
    ['[,1]', [['json.0', ',1]']], /expected a value/],
    [
      '[1,]',
      [
        ['json.0', '1'],
        ['json.1', ']'],
      ],
      /expected a value/,
    ],
    [
      '[01]',
      [
        ['json.0', '0'],
        ['json.', '1]'],
      ],
      /expected ","/,
    ],
    ['[+1]', [['json.0', '+1]']], /expected a value/],
    ['[1.]', [['json.0', '1.]']], /expected a value/],
    ['[.5]', [['json.0', '.5]']], /expected a value/],
    ['[1e]', [['json.0', '1e]']], /expected a value/],
    ['[-]', [['json.0', '-]']], /expected a value/],
    ['[NaN]', [['json.0', 'NaN]']], /expected a value/],
    ['[nul]', [['json.0', 'nul]']], /expected a value/],
    [
      '[truex]',
      [
        ['json.0', 'true'],
        ['json.', 'x]'],
      ],
      /expected ","/,
    ],
    [
      '{}{"q":"1 or 1"}',
      [
        ['json', ''],
        ['json', '{"q":"1 or 1"}'],
      ],
      /end of the text/,
    ],
    [
      '1 2',
      [
        ['json', '1'],
        ['json', '2'],
      ],
      /end of the text/,
    ],
    ['/* c */{"a":1}', [['json', '/* c */{"a":1}']], /expected a value/],
    [']', [['json', ']']], /expected a value/],
    ['{"a":[{"b":1,', [['json.a.0.b', '1']], /expected a key/],
  ])('%j keeps what was read, and the rest as it stands', (text, expected, error) => {
    const read = flattenJson(text)
    expect(entries(read.arguments)).toEqual(expected)
    expect(read.error).toMatch(error)
  })

  test.each([
    ['"\\x41"', '\\x41', /unknown escape/],
    ['"\\u00g0"', '\\u00g0', /hexadecimal/],
    ['"\\u00"', '\\u00', /hexadecimal/],
    ['"a\nb"', 'a\nb', /control character/],
    ['"a\\\n"', 'a\\\n', /unknown escape/],
  ])('%j: a mistake inside a string is told and read on', (text, value, error) => {
    const read = flattenJson(`[${text},"attack"]`)
    expect(entries(read.arguments)).toEqual([
      ['json.0', value],
      ['json.1', 'attack'],
      ['json', '2'],
    ])
    expect(read.error).toMatch(error)
  })

  test.each(['\xff', '\xc0\xae', '\xed\xa0\x80', '\xe2\x82'])('bytes that are not UTF-8 are an error: %j', (bytes) => {
    const read = flattenJson(`{"a":"${bytes}"}`)
    expect(entries(read.arguments)).toEqual([['json.a', bytes]])
    expect(read.error).toBe('the JSON text is not UTF-8')
    expect(flattenJson(`{"${bytes}":1}`).error).toBe('the JSON text is not UTF-8')
  })
})

describe('limits', () => {
  test('at the depth limit all is read, one deeper the rest is one argument', () => {
    const limits = { ...bodyLimits, jsonDepthMax: 3 }
    expect(flattenJson('[[[1]]]', limits).error).toBeUndefined()
    const read = flattenJson('[[[[1,"<script>"]]]]', limits)
    expect(entries(read.arguments)).toEqual([['json.0.0.0', '[1,"<script>"]]]]']])
    expect(read.error).toBe('nested deeper than 3')
  })

  test('beyond the limit of arguments the rest is one argument', () => {
    const limits = { ...bodyLimits, argumentsMax: 2 }
    expect(flattenJson('{"a":1,"b":2}', limits).error).toBeUndefined()
    const read = flattenJson('{"a":1,"b":2,"c":"<script>"}', limits)
    expect(entries(read.arguments)).toEqual([
      ['json.a', '1'],
      ['json.b', '2'],
      ['json.c', '"<script>"}'],
    ])
    expect(read.error).toBe('more than 2 arguments')
  })

  test('names may not grow with the square of the text: they leave the containers out, and each key stands in one', () => {
    const key = 'k'.repeat(50_000)
    const text = `{"${key}":{"a":[${'1,'.repeat(50)}1],"<script>":{"x":[{"deep":1}]}}}`
    const read = flattenJson(text)
    expect(read.error).toMatch(/names/)
    const bytes = read.arguments.reduce((sum, { name }) => sum + name.length, 0)
    expect(bytes).toBeLessThan(10 * text.length + 400_000)
    const last = entries(read.arguments).slice(-4)
    expect(last).toEqual([
      ['json.<script>', ''],
      ['json.x', ''],
      ['json.0', ''],
      ['json.deep', '1'],
    ])
  })

  const unbounded = { argumentsMax: 1_000_000, jsonDepthMax: 1_000_000 }
  test.each<[string, (count: number) => string]>([
    ['arrays in arrays', (count) => '['.repeat(count)],
    ['closed arrays in arrays', (count) => '['.repeat(count) + ']'.repeat(count)],
    ['objects in objects', (count) => '{"a":'.repeat(count)],
    ['objects in objects with a member each', (count) => '{"a":1,"b":'.repeat(count)],
    ['a long key around many members', (count) => `{"${'k'.repeat(count)}":[${'1,'.repeat(count)}`],
    ['escaped quotes', (count) => `"${'\\"'.repeat(count)}`],
    ['escapes', (count) => `["${'\\u0041'.repeat(count)}"]`],
    ['escapes in many strings', (count) => `[${'"\\n",'.repeat(count)}`],
    ['half pairs', (count) => `"${'\\ud800'.repeat(count)}"`],
    ['a string without an end', (count) => `["${'a'.repeat(count)}`],
    ['digits', (count) => '1'.repeat(count)],
    ['blanks', (count) => `[${' '.repeat(count)}`],
    ['commas', (count) => `[${'0,'.repeat(count)}`],
    ['empty objects', (count) => `[${'{},'.repeat(count)}`],
  ])('the work for %s grows with the length', (_, make) => {
    expect(growth((text) => void flattenJson(text, unbounded), make, 4_000)).toBeLessThan(2.2)
    // The names, too, are work for whoever reads them.
    const size = (count: number) =>
      flattenJson(make(count), unbounded).arguments.reduce(
        (sum, { name, value }) => sum + name.length + value.length,
        0,
      )
    expect(size(8_000)).toBeLessThan(20 * make(8_000).length + 600_000)
  })

  test('a byte of benign JSON is looked at less than twice', () => {
    const text = JSON.stringify(Array.from({ length: 100 }, (_, id) => ({ id, name: `name ${id}`, tags: ['a', 'b'] })))
    expect(countSteps(() => flattenJson(text))).toBeLessThan(2 * text.length)
  })
})

describe('encodings', () => {
  const text = '{"q":"<sc\u20acript>\u{1f600}"}'
  const expected = [['json.q', toBytes('<sc\u20acript>\u{1f600}')]]
  const utf16le = Buffer.from(text, 'utf16le')
  const utf16be = Buffer.from(utf16le).swap16()
  const utf32 = (little: boolean) => {
    const buffer = Buffer.alloc([...text].length * 4)
    for (const [i, character] of [...text].entries()) {
      if (little) buffer.writeUInt32LE(character.codePointAt(0)!, i * 4)
      else buffer.writeUInt32BE(character.codePointAt(0)!, i * 4)
    }
    return buffer
  }
  const rows: [string, string, string | undefined][] = [
    ['UTF-8 with a mark', `\xef\xbb\xbf${toBytes(text)}`, undefined],
    ['UTF-16LE', utf16le.toString('latin1'), undefined],
    ['UTF-16LE with a mark', `\xff\xfe${utf16le.toString('latin1')}`, 'utf-16'],
    ['UTF-16BE', utf16be.toString('latin1'), 'UTF-16BE'],
    ['UTF-16BE with a mark', `\xfe\xff${utf16be.toString('latin1')}`, undefined],
    ['UTF-32LE', utf32(true).toString('latin1'), undefined],
    ['UTF-32LE with a mark', `\xff\xfe\0\0${utf32(true).toString('latin1')}`, 'utf-32'],
    ['UTF-32BE', utf32(false).toString('latin1'), undefined],
    ['UTF-32BE with a mark', `\0\0\xfe\xff${utf32(false).toString('latin1')}`, undefined],
  ]
  test.each(rows)('%s is read', (_, bytes, charset) => {
    const read = flattenJson(bytes, bodyLimits, undefined, charset)
    expect(entries(read.arguments)).toEqual(expected)
    expect(read.error).toBeUndefined()
  })

  test('a label that says otherwise than the bytes is an error: the upstream may believe it', () => {
    const labelled = flattenJson(utf16le.toString('latin1'), bodyLimits, undefined, 'utf-8')
    expect(entries(labelled.arguments)).toEqual(expected)
    expect(labelled.error).toBe('the body is utf-16le, not utf-8')
    const plain = flattenJson('{"q":"<script>"}', bodyLimits, undefined, 'utf-16')
    expect(entries(plain.arguments)).toEqual([['json.q', '<script>']])
    expect(plain.error).toBe('the charset utf-16 cannot be read')
  })

  test.each(['utf-7', 'ibm037', 'iso-2022-jp', 'cp500', 'x'])('%s hides ASCII, and is an error', (charset) => {
    expect(flattenJson('{"q":"+ADw-script+AD4-"}', bodyLimits, undefined, charset).error).toBe(
      `the charset ${charset} cannot be read`,
    )
  })

  test.each(['iso-8859-1', 'iso8859-1', 'Windows-1252', 'us-ascii', 'utf-8', 'UTF8'])(
    '%s is read as it is',
    (charset) => {
      const read = flattenJson('{"q":"caf\xc3\xa9"}', bodyLimits, undefined, charset)
      expect(read.error).toBeUndefined()
      expect(entries(read.arguments)).toEqual([['json.q', 'caf\xc3\xa9']])
    },
  )

  test('a body that is not whole in its encoding is an error', () => {
    expect(flattenJson(`${utf16le.toString('latin1')}x`).error).toMatch(/last character/)
    expect(flattenJson('[\0"\0\0\xd8"\0]\0').error).toMatch(/no character/)
  })
})

describe('a shape', () => {
  const digits = (value: string) => /^\d+$/.test(value)
  const shape: ShapeNode = {
    properties: new Map<string, ShapeNode>([
      ['id', { check: (value, kind) => kind === 'number' && digits(value) }],
      ['name', {}],
      ['tags', { items: { check: (value, kind) => kind === 'string' && /^[a-z]+$/.test(value) } }],
      ['rows', { items: { properties: new Map([['n', { check: digits }]]) } }],
    ]),
  }

  test.each<[string, [string, string][], [string, string][]]>([
    ['{"id":1,"name":"x"}', [['json.name', 'x']], [['json.id', '1']]],
    ['{"id":"1"}', [['json.id', '1']], []],
    [
      '{"tags":["a","B"]}',
      [['json.tags.1', 'B']],
      [
        ['json.tags.0', 'a'],
        ['json.tags', '2'],
      ],
    ],
    [
      '{"rows":[{"n":1,"m":2},{"n":"x"}]}',
      [
        ['json.rows.0.m', '2'],
        ['json.rows.1.n', 'x'],
      ],
      [
        ['json.rows.0.n', '1'],
        ['json.rows', '2'],
      ],
    ],
    ['{"other":{"id":1}}', [['json.other.id', '1']], []],
    ['{"name":{"id":1}}', [['json.name.id', '1']], []],
    ['{"id":[1]}', [['json.id.0', '1']], [['json.id', '1']]],
    ['{"id":1,"id":"\' or 1"}', [['json.id', "' or 1"]], [['json.id', '1']]],
    ['{"\\u0069d":1}', [], [['json.id', '1']]],
    ['[1]', [['json.0', '1']], [['json', '1']]],
    [
      '{"__proto__":1,"constructor":2}',
      [
        ['json.__proto__', '1'],
        ['json.constructor', '2'],
      ],
      [],
    ],
    ['{"tags":[]}', [], [['json.tags', '0']]],
    [
      '{"tags":[["a"],"b",{"id":1}]}',
      [
        ['json.tags.0.0', 'a'],
        ['json.tags.2.id', '1'],
      ],
      [
        ['json.tags.0', '1'],
        ['json.tags.1', 'b'],
        ['json.tags', '3'],
      ],
    ],
    [
      '{"tags":["B","a"],"id":1}',
      [['json.tags.0', 'B']],
      [
        ['json.tags.1', 'a'],
        ['json.tags', '2'],
        ['json.id', '1'],
      ],
    ],
  ])('%j: what it does not prove keeps full force', (text, found, proved) => {
    const read = flattenJson(text, bodyLimits, shape)
    expect(entries(read.arguments)).toEqual(found)
    expect(entries(read.proved)).toEqual(proved)
    expect(read.error).toBeUndefined()
  })

  test('with or without one, the same arguments come out in all', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom('id', 'tags', 'rows'), (inner, key) => {
        const text = toBytes(`{"${key}":${inner},"x":[${inner}]}`)
        const read = flattenJson(text, bodyLimits, shape)
        const all = [...entries(read.arguments), ...entries(read.proved)].sort()
        expect(all).toEqual(flat(text).sort())
      }),
    )
  })

  test('proved values count for the limit', () => {
    expect(flattenJson('{"id":1,"tags":["a","b"]}', { ...bodyLimits, argumentsMax: 2 }, shape).error).toMatch(
      /more than 2/,
    )
  })
})

test('no bytes make it throw, and what JSON.parse refuses is an error', () => {
  const piece = fc.constantFrom(
    ...'{}[]:,"\\u0aEe+-.1tfn \n\x00\xff\xef\xbb\xbf',
    'true',
    'null',
    '\\ud83d',
    '{"a":',
    '[1,',
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 40 }), (pieces) => {
      const text = pieces.join('')
      const read = flattenJson(text, { argumentsMax: 20, jsonDepthMax: 5 })
      let parses = true
      try {
        JSON.parse(Buffer.from(text, 'latin1').toString('utf8'))
      } catch {
        parses = false
      }
      // What JSON.parse refuses is an error here. (It takes bytes that are no UTF-8, no byte order mark, and has no limits.)
      const marked = text.startsWith('\xef\xbb\xbf') || text.includes('\0')
      if (!parses && !marked) expect(read.error).toBeDefined()
    }),
    { numRuns: 3_000 },
  )
})

function toBytes(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

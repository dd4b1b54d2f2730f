import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cpuMs } from '../../test/kit/cpu.ts'
import { JsonError, parseStrictJson } from './json.ts'

function outcome(text: string | Uint8Array): unknown {
  try {
    return parseStrictJson(typeof text === 'string' ? Buffer.from(text) : text)
  } catch (error) {
    if (error instanceof JsonError) return `${error.reason}@${error.position}`
    throw error
  }
}

describe('strict JSON', () => {
  test.each([
    ['', 'empty@0'],
    ['[1,]', 'syntax@3'],
    ['{"a":1}x', 'syntax@7'],
    ['[01]', 'syntax@2'],
    ['{"a" 1}', 'syntax@5'],
    ['"abc', 'syntax@4'],
    ['"\\u12G4"', 'syntax@2'],
    ['\ufeff1', 'byte-order-mark@0'],
    ['{"a":1,"a":2}', 'duplicate-key@7'],
    ['{"a":1,"\\u0061":2}', 'duplicate-key@7'],
    ['[{"b":{"a":1,"a":1}}]', 'duplicate-key@13'],
    ['{"__proto__":1}', 'forbidden-key@1'],
    ['{"\\u005f_proto__" :1}', 'forbidden-key@1'],
    ['{"_\\u005fproto_\\u005F":{}}', 'forbidden-key@1'],
    ['9007199254740992', 'number@0'],
    ['[-9007199254740993]', 'number@2'],
    ['123456789012345678901234567890.5', 'number@0'],
    ['1e400', 'number@0'],
    ['1e-400', 'number@0'],
    ['"\\ud800"', 'surrogate@1'],
    ['"\\ude00\\ud83d"', 'surrogate@1'],
    ['"\\ud83d\\u0041"', 'surrogate@1'],
  ])('refuses %s as %s', (text, expected) => {
    expect(outcome(text)).toBe(expected)
  })

  test.each([
    ['9007199254740991', 9007199254740991],
    ['1e20', 1e20],
    ['0.00', 0],
    ['0e5', 0],
    ['"__proto__"', '__proto__'],
    ['{"_proto_":1}', { _proto_: 1 }],
    ['"\\ud83d\\ude00"', '😀'],
    ['{"a":{"b":1},"c":[{"b":1},{"b":2}]}', { a: { b: 1 }, c: [{ b: 1 }, { b: 2 }] }],
    ['{"a:b":"{\\"a\\":1}"}', { 'a:b': '{"a":1}' }],
    [' [ true , null ] ', [true, null]],
  ])('accepts %s', (text, expected) => {
    expect(parseStrictJson(Buffer.from(text))).toEqual(expected)
  })

  test.each([
    [[0x22, 0xff, 0x22], 'encoding@1'],
    [[0x22, 0xc3, 0xa9, 0xc0, 0xaf, 0x22], 'encoding@3'],
    [[0x22, 0xed, 0xa0, 0x80, 0x22], 'encoding@1'],
  ])('refuses bytes that are no UTF-8', (bytes, expected) => {
    expect(String(outcome(Uint8Array.from(bytes))).split('@')[0]).toBe(expected.split('@')[0])
  })

  test('takes 64 levels and refuses the 65th', () => {
    expect(outcome('['.repeat(64) + ']'.repeat(64))).toBeInstanceOf(Array)
    expect(outcome('['.repeat(65) + ']'.repeat(65))).toBe('depth@64')
    expect(parseStrictJson(Buffer.from('['.repeat(65) + ']'.repeat(65)), 65)).toBeInstanceOf(Array)
  })

  test('refuses a text of nothing but brackets, and takes as many as real data has', () => {
    expect(outcome(`[${'{},'.repeat(199_998)}{}]`)).toHaveLength(199_999)
    expect(outcome(`[${'{},'.repeat(200_000)}{}]`)).toMatch(/^size@/)
    const row = '{"a":1,"b":2,"c":3}'
    expect(outcome(`[${`${row},`.repeat(66_000)}${row}]`)).toHaveLength(66_001)
    expect(outcome(`[${`${row},`.repeat(70_000)}${row}]`)).toMatch(/^size@/)
  })

  test('refuses a text of nothing but different keys, in one object or in many, and takes as many of the same', () => {
    const row = (count: number, from = 0) =>
      `{${Array.from({ length: count }, (_, i) => `"key${from + i}":1`).join(',')}}`
    expect(outcome(row(24_000))).toBeTypeOf('object')
    expect(outcome(row(26_000))).toMatch(/^size@/)
    expect(outcome(`[${Array.from({ length: 26_000 }, (_, i) => row(1, i)).join(',')}]`)).toMatch(/^size@/)
    expect(outcome(`[${Array.from({ length: 100_000 }, () => row(1)).join(',')}]`)).toBeTypeOf('object')
    // A larger text may have more: one in 64 bytes.
    expect(outcome(`{"pad":"${'x'.repeat(2_000_000)}",${row(30_000).slice(1)}`)).toBeTypeOf('object')
  })

  test('takes many numbers of an ordinary size, and some that are extreme', () => {
    const list = (item: string, count: number) => `[${Array.from({ length: count }, () => item).join(',')}]`
    expect(outcome(list('1.2345678901234567', 50_000))).toBeTypeOf('object')
    expect(outcome(list('-1.5e-30', 50_000))).toBeTypeOf('object')
    expect(outcome(list('9007199254740991', 20_000))).toBeTypeOf('object')
    expect(outcome(list('9007199254740991', 20_001))).toMatch(/^size@/)
    expect(outcome(list('1e300', 20_001))).toMatch(/^size@/)
    expect(outcome(`[0.${'0'.repeat(400)}1]`)).toBe('number@1')
    expect(outcome('[1e+400]')).toBe('number@1')
    expect(outcome('[1e-400]')).toBe('number@1')
  })

  test('finds a key that stands twice at the end of a long text', () => {
    const rows = Array.from({ length: 50_000 }, (_, i) => `{"a":${i},"\\u00e9":null}`).join(',')
    expect(outcome(`[${rows},{"b":1,"é":2,"\\u00e9":3}]`)).toBe('duplicate-key@undefined')
    expect(outcome(`[${rows.slice(0, 100_000).replace(/,[^,]*,[^,]*$/, '')},{"b":1,"é":2,"\\u00e9":3}]`)).toMatch(
      /^duplicate-key@\d+$/,
    )
    expect(outcome(`[${rows},{"b":1,"é":2,"e":3}]`)).toBeTypeOf('object')
  })

  test('refuses 100,000 levels in less than 5 ms', () => {
    const hostile = Buffer.from('{"a":'.repeat(100_000))
    expect(cpuMs(() => expect(outcome(hostile)).toBe('depth@320'))).toBeLessThan(5)
  })

  test('reads every value that JSON.stringify writes, as JSON.parse does', () => {
    // fast-check makes keys such as "__proto__" and doubles such as 1e21 on purpose; those have their own rows above.
    const lossless = fc
      .jsonValue({ maxDepth: 8 })
      .filter((value) => !/__proto__|\\ud[89a-f]/i.test(JSON.stringify(value)))
    fc.assert(
      fc.property(lossless, (value) => {
        const text = JSON.stringify(value)
        if (/(?<![\d.])\d{16,}(?![\d.]*[eE])/.test(text.replace(/"(?:[^"\\]|\\.)*"/g, ''))) return
        expect(parseStrictJson(Buffer.from(text))).toEqual(JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  test('agrees with JSON.parse on what is no JSON, whatever the bytes', () => {
    const noise = fc.array(fc.constantFrom(...'{}[]",:0123456789.eE+-\\u tfn_'.split(''), 'true', 'null', '"a":'), {
      maxLength: 30,
    })
    fc.assert(
      fc.property(noise, (parts) => {
        const text = parts.join('')
        let parses = true
        try {
          JSON.parse(text)
        } catch {
          parses = false
        }
        const said = outcome(text)
        if (!parses) expect(said).toMatch(/^[a-z-]+@\d+$/)
      }),
      { numRuns: 2000 },
    )
  })

  test('never repeats the content', () => {
    expect(() => parseStrictJson(Buffer.from('{"secret-token":tru}'))).toThrow(/^expected JSON \(at byte 16\)$/)
  })
})

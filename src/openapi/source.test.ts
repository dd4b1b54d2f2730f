import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { ConfigError } from '../base/errors.ts'
import { toPointer } from './pointer.ts'
import { aliasedValuesMax, depthMax, parseSource } from './source.ts'

const parse = (text: string, file = 'api.yaml') => parseSource(`file:///${file}`, file, text)

function failure(text: string, file = 'api.yaml'): string {
  try {
    parse(text, file)
  } catch (error) {
    if (error instanceof ConfigError)
      return `${error.code} ${error.place?.line}:${error.place?.column} ${error.message}`
    throw error
  }
  return 'read'
}

describe('reading a document', () => {
  test('YAML and JSON of the same document give the same value', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const plain = JSON.parse(JSON.stringify(value))
        expect(parse(JSON.stringify(value), 'a.json').root).toEqual(plain)
        expect(parse(stringify(plain)).root).toEqual(plain)
      }),
    )
  })

  test('JSON is read as JSON whatever the file is called', () => {
    expect(parse('{"openapi": "3.1.0", "a": 1}', 'api.txt').root).toEqual({ openapi: '3.1.0', a: 1 })
    // A flow map with a quoted key is YAML, not JSON.
    expect(parse('{"a": b}', 'api.yaml').root).toEqual({ a: 'b' })
  })

  test.each([
    ['swagger: 2.0', { swagger: '2.0' }],
    ['openapi: 3.1', { openapi: '3.1' }],
    ['info:\n  version: 1.0', { info: { version: '1.0' } }],
    ['responses:\n  200: ok\n  1.0: x', { responses: { 200: 'ok', '1.0': 'x' } }],
    ['on: yes\nno: 12', { on: 'yes', no: 12 }],
    ['a: 2001-01-01', { a: '2001-01-01' }],
    ['%YAML 1.1\n---\na: 2001-01-01', { a: '2001-01-01' }],
    ['a: .inf', { a: '.inf' }],
    ['\ufeffa: 1', { a: 1 }],
    ['base: &b {x: 1, y: 2}\nuse: {<<: *b, y: 3}', { base: { x: 1, y: 2 }, use: { y: 3, x: 1 } }],
    ['a: &a {x: 1}\nb: &b {x: 2, y: 2}\nc: {<<: [*a, *b]}', { a: { x: 1 }, b: { x: 2, y: 2 }, c: { x: 1, y: 2 } }],
    ['"<<": plain text', { '<<': 'plain text' }],
  ])('reads %j as its writer means it', (text, value) => {
    expect(parse(text).root).toEqual(value)
  })

  test('keeps a key named __proto__ a key', () => {
    for (const text of ['__proto__: {admin: true}', '{"__proto__": {"admin": true}}']) {
      const root = parse(text).root as object
      expect(Object.keys(root)).toEqual(['__proto__'])
      expect((root as { admin?: boolean }).admin).toBeUndefined()
    }
  })

  test('an alias is a copy, so that changing one place leaves the other', () => {
    const root = parse('a: &a {x: [1]}\nb: *a').root as { a: { x: number[] }; b: { x: number[] } }
    root.a.x.push(2)
    expect(root.b).toEqual({ x: [1] })
  })
})

describe('what is wrong is told with line and column', () => {
  test.each([
    ['a: 1\nb:\n  - x\n c: 2', 'api.yaml', /^P2002 4:1 not valid YAML/],
    ['a: [1, 2', 'api.yaml', /^P2002 1:\d+ not valid YAML/],
    ['a: *nowhere', 'api.yaml', /^P2002 1:4 /],
    ['a: 1\nb: 2\na: 3', 'api.yaml', /^P2003 3:1 the key "a" stands twice/],
    ['paths:\n  /a: 1\n  "/a": 2', 'api.yaml', /^P2003 3:3 the key "\/a" stands twice/],
    ['? [a, b]\n: c', 'api.yaml', /^P2002 1:3 a key must be plain text/],
    ['{"a": 1,\n "\\u0061": 2}', 'api.json', /^P2003 2:2 the key "a" stands twice/],
    ['{"a": {"b": 1, "c": {"b": 1}, "b": 2}}', 'api.json', /^P2003 1:31 the key "b" stands twice/],
    ['{\n  "a": tru\n}', 'api.json', /^P2002 2:8 not valid JSON: expected a value, found "t"/],
    ['{"a": 1,}', 'api.json', /^P2002 1:9 not valid JSON: expected a key in double quotes, found "}"/],
    ['{"a" 1}', 'api.json', /^P2002 1:6 not valid JSON: expected ":" after the key/],
    ['[1 2]', 'api.json', /^P2002 1:4 not valid JSON: expected "," or "]"/],
    ['{"a": "x\ny"}', 'api.json', /^P2002 1:7 not valid JSON/],
    ['{"a": 01}', 'api.json', /^P2002 1:7 not valid JSON/],
    ['{"a": 1} x', 'api.json', /^P2002 1:10 not valid JSON: expected the end of the file/],
    ['', 'api.json', /^P2002 1:1 not valid JSON: expected a value, found the end of the file/],
  ])('%j', (text, file, message) => {
    expect(failure(text, file)).toMatch(message)
  })

  test('every value of a document is found again, in YAML and in JSON', () => {
    const text = fc.stringMatching(/^[a-z/{}~]{1,8}$/)
    const value = fc.letrec((tie) => ({
      value: fc.oneof(
        { depthSize: 'small', withCrossShrink: true },
        fc.integer(),
        text,
        fc.array(tie('value'), { maxLength: 3 }),
        fc.dictionary(text, tie('value'), { maxKeys: 4 }),
      ),
    })).value
    fc.assert(
      fc.property(fc.dictionary(text, value, { minKeys: 1 }), (root) => {
        for (const [source, written] of [
          [parse(JSON.stringify(root, null, 2), 'a.json'), JSON.stringify(root, null, 2)],
          [parse(stringify(root)), stringify(root)],
        ] as const) {
          const lines = written.split('\n')
          const visit = (found: unknown, tokens: string[]): void => {
            const key = tokens.at(-1)
            if (key !== undefined && !/^\d+$/.test(key)) {
              const { line, column, length } = source.locate(tokens, 'key')
              const underlined = lines[line - 1]!.slice(column - 1, column - 1 + (length ?? 0))
              expect(underlined.replaceAll('"', ''), toPointer(tokens)).toBe(key)
            }
            if (typeof found === 'number') {
              const { line, column, length } = source.locate(tokens, 'value')
              expect(lines[line - 1]!.slice(column - 1, column - 1 + (length ?? 0))).toBe(String(found))
            }
            if (typeof found === 'object' && found !== null) {
              for (const [name, member] of Object.entries(found)) visit(member, [...tokens, name])
            }
          }
          visit(root, [])
          // The same after the parsed form was let go.
          source.release()
          visit(root, [])
        }
      }),
      { numRuns: 60 },
    )
  })

  test('what is not in the file is told at the nearest thing that is', () => {
    const source = parse('paths:\n  /a:\n    get: {}')
    expect(source.locate(['paths', '/a', 'get', 'responses', '200'], 'key')).toMatchObject({ line: 3, column: 5 })
    expect(source.locate(['nothing'], 'value')).toMatchObject({ line: 1, column: 1 })
  })
})

describe('documents that try to exhaust the reader', () => {
  const bomb = (width: number, levels: number) => {
    const lines = [`l0: &l0 [${'x,'.repeat(width)}]`]
    for (let i = 1; i < levels; i++) lines.push(`l${i}: &l${i} [${`*l${i - 1},`.repeat(width)}]`)
    return lines.join('\n')
  }

  test('an alias bomb is refused at the alias that goes too far', () => {
    expect(failure(bomb(10, 9))).toMatch(/^P2004 6:\d+ the aliases stand for more than 250000 values/)
    expect(failure(bomb(10, 3))).toBe('read')
  })

  test('a thousand uses of one anchor are no bomb', () => {
    const text = `a: &a {x: 1, y: [1, 2]}\nb:\n${'  - *a\n'.repeat(1_000)}`
    expect(failure(text)).toBe('read')
    expect(aliasedValuesMax).toBeGreaterThan(6_000)
  })

  test('an alias within what it refers to is refused', () => {
    expect(failure('a: &a\n  b: *a')).toMatch(/^P2004 2:6 an alias stands within what it refers to/)
  })

  test.each([
    ['JSON', 'api.json', (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`],
    ['YAML', 'api.yaml', (depth: number) => `${'['.repeat(depth)}${']'.repeat(depth)}`],
    [
      'YAML by indentation',
      'api.yaml',
      (depth: number) => Array.from({ length: depth }, (_, i) => `${' '.repeat(i)}a:`).join('\n'),
    ],
  ])('%s is read to a bounded depth', (_, file, nested) => {
    expect(failure(nested(depthMax - 2), file)).toBe('read')
    expect(failure(nested(depthMax + 2), file)).toMatch(/^P2004 .*nested more than 256 levels/)
  })

  test('nesting of a hundred thousand levels ends in a refusal, not in a crash', () => {
    expect(failure('['.repeat(100_000))).toMatch(/^P200[24] /)
    expect(failure(`${'['.repeat(100_000)}${']'.repeat(100_000)}`, 'a.json')).toMatch(/^P2004 /)
    expect(failure('{"a":'.repeat(100_000), 'a.json')).toMatch(/^P200[24] /)
  })
})

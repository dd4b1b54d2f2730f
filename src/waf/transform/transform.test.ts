import { posix } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { byteStrings, isByteString } from '../../../test/kit/byte-strings.ts'
import { builtInUnicodeMap, createTransformations, transformations } from './index.ts'

function apply(name: string, value: string): string {
  return transformations.get(name.toLowerCase())!.apply(value)
}

/** What means something to one of them. */
const tokens = [
  ...[
    '%',
    '+',
    '%41',
    '%u',
    '%u0041',
    '%uff1c',
    '%u00e9',
    '&',
    '&lt;',
    '&#60',
    '&#x3c;',
    '&colon;',
    '&#x1F600;',
    '&#0',
  ],
  ...['\\', '\\u', '\\x4', '\\x41', '\\u0041', '\\101', '\\400', '\\n', '\\0', '\\41 ', '\\ff1c', '\\00ff1c', '\\\n'],
  ...['/*', '*/', '/', '*', '<!--', '-->', '--', '#', '<', '-', '!', '>', '.', '..', '/../', '/./', '//', '\\..\\'],
  ...[
    ' ',
    '\t',
    '\r\n',
    '\xa0',
    '\xc2\xa0',
    '\xc2\x85',
    '\xc3\xa0',
    '\xe3\x80\xa0',
    '\xc0\xbc',
    '\xed\xa0\x80',
    '\xf0\x9f\x98\x80',
  ],
  ...['\xf5', '\xf8', '\0', '0x41', '0X4g', 'a', 'Z', '"', "'", '^', ';', ',', '(', '[', ']', 'YQ==', 'YWI', '=', '_'],
]
const values = byteStrings(tokens)
const all = [...new Set(transformations.values())]

describe.each(all.map((one) => [one.name, one] as const))('%s', (name, one) => {
  test('leaves a value alone that has none of the bytes it alters', () => {
    const harmless = Array.from({ length: 256 }, (_, byte) => byte).filter((byte) => one.alters[byte] === 0)
    if (harmless.length > 0) {
      const bytes = fc.array(fc.constantFrom(...harmless), { minLength: 1, maxLength: 60 })
      fc.assert(fc.property(bytes, (codes) => isUnchanged(String.fromCharCode(...codes))))
    }
    expect(one.altersEmpty).toBe(one.apply('') !== '')

    function isUnchanged(value: string): boolean {
      return one.apply(value) === value
    }
  })

  test('gives bytes, and of a bounded length', () => {
    fc.assert(
      fc.property(values, (value) => {
        const result = one.apply(value)
        return isByteString(result) && result.length <= Math.max(20, value.length * 4)
      }),
      { numRuns: 500 },
    )
  })

  test('says the same however long the value before was', () => {
    fc.assert(
      fc.property(values, (value) => {
        const before = one.apply(value)
        one.apply('%41\\x41&lt;/**/'.repeat(3_000))
        return one.apply(value) === before
      }),
      { numRuns: 20 },
    )
  })

  test('is found under its name in small letters', () => {
    expect(transformations.get(name.toLowerCase())).toBe(one)
  })
})

test.each([
  ...['lowercase', 'uppercase', 'trim', 'trimLeft', 'trimRight', 'removeNulls', 'replaceNulls', 'removeWhitespace'],
  ...['compressWhitespace', 'normalizePath', 'normalizePathWin', 'cmdLine', 'replaceComments', 'parityZero7bit'],
])('%s changes nothing the second time', (name) => {
  fc.assert(
    fc.property(values, (value) => {
      const once = apply(name, value)
      expect(apply(name, once)).toBe(once)
    }),
    { numRuns: 1_000 },
  )
})

/* Each decoder against its definition as one replacement, which is slow and plain. */

const chars = (code: number): string => String.fromCharCode(code)
const low = (hex: string): string => {
  const code = Number.parseInt(hex, 16)
  const byte = code & 0xff
  return chars(code >= 0xff01 && code <= 0xff5e ? byte + 0x20 : byte)
}
const letters: Readonly<Record<string, string>> = { a: '\x07', b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v' }

const definitions: Readonly<Record<string, (value: string) => string>> = {
  urlDecode: (value) => value.replace(/%([0-9a-f]{2})|\+/gi, (_, hex?: string) => (hex ? low(`00${hex}`) : ' ')),
  urlDecodeUni: (value) =>
    value.replace(/%u([0-9a-f]{4})|%([0-9a-f]{2})|\+/gi, (_, wide?: string, hex?: string) => {
      if (wide === undefined) return hex ? low(`00${hex}`) : ' '
      const mapped = builtInUnicodeMap.get(Number.parseInt(wide, 16))
      return mapped === undefined ? low(wide) : chars(mapped)
    }),
  jsDecode: (value) =>
    value.replace(
      /\\(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|([0-3][0-7]{0,2}|[4-7][0-7]?)|([\s\S]))/g,
      (_, wide?: string, hex?: string, octal?: string, other?: string) => {
        if (wide !== undefined) return low(wide)
        if (hex !== undefined) return low(`00${hex}`)
        return octal === undefined ? (letters[other!] ?? other!) : chars(Number.parseInt(octal, 8))
      },
    ),
  escapeSeqDecode: (value) =>
    value.replace(
      /\\(?:[xX]([0-9a-fA-F]{2})|([0-7]{1,3})|([\s\S]))/g,
      (_, hex?: string, octal?: string, other?: string) => {
        if (hex !== undefined) return low(`00${hex}`)
        return octal === undefined ? (letters[other!] ?? other!) : chars(Number.parseInt(octal, 8) & 0xff)
      },
    ),
  cssDecode: (value) =>
    value.replace(/\\(?:([0-9a-f]{1,6})[ \t\n\v\f\r]?|\n|([\s\S])|$)/gi, (_, hex?: string, other?: string) =>
      hex === undefined ? (other ?? '') : low(hex),
    ),
  cmdLine: (value) =>
    value
      .replace(/["'\\^]/g, '')
      .replace(/[ ,;\t\r\n]+/g, ' ')
      .replace(/ (?=[/(])/g, '')
      .replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
  lowercase: (value) => value.replace(/[A-Z]/g, (letter) => letter.toLowerCase()),
  uppercase: (value) => value.replace(/[a-z]/g, (letter) => letter.toUpperCase()),
  trim: (value) => value.replace(/^[ \t\n\v\f\r]+|[ \t\n\v\f\r]+$/g, ''),
  removeNulls: (value) => value.replace(/\0/g, ''),
  replaceNulls: (value) => value.replace(/\0/g, ' '),
  removeWhitespace: (value) => value.replace(/[ \t\n\v\f\r\xa0\xc2]/g, ''),
  replaceComments: (value) => value.replace(/\/\*[\s\S]*?(?:\*\/|$)/g, ' '),
  removeCommentsChar: (value) => value.replace(/\/\*|\*\/|<!--|-->|--|#/g, ''),
  sqlHexDecode: (value) =>
    value.replace(/0x((?:[0-9a-f]{2})+)/gi, (_, hex: string) => Buffer.from(hex, 'hex').toString('latin1')),
  hexEncode: (value) => Buffer.from(value, 'latin1').toString('hex'),
  base64Encode: (value) => Buffer.from(value, 'latin1').toString('base64'),
  base64DecodeExt: (value) => Buffer.from(value.replaceAll('=', ''), 'base64').toString('latin1'),
  urlEncode: (value) =>
    value.replace(/[^*0-9A-Za-z]/g, (char) =>
      char === ' ' ? '+' : `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
    ),
  length: (value) => String(value.length),
}

test.each(Object.entries(definitions))('%s does what it says', (name, definition) => {
  fc.assert(
    fc.property(values, (value) => {
      expect(apply(name, value)).toBe(definition(value))
    }),
    { numRuns: 3_000 },
  )
})

test.each([
  ['normalizePath', (value: string) => value],
  ['normalizePathWin', (value: string) => value.replaceAll('\\', '/')],
])('%s agrees with Node on what a path is', (name, slashes) => {
  const paths = fc.array(fc.constantFrom('/', '\\', '..', '.', 'a', 'b.', '.c', '..d', ' '), { maxLength: 15 })
  fc.assert(
    fc.property(paths, (parts) => {
      const value = parts.join('')
      const normal = posix.normalize(slashes(value))
      expect(apply(name, value)).toBe(normal === '.' || normal === './' ? '' : normal)
    }),
    { numRuns: 3_000 },
  )
})

test.each([
  // Attacks that a reading by the letter would lose.
  ['htmlEntityDecode', '&ltscript&gtalert', '<script>alert'],
  ['htmlEntityDecode', 'javascript&colon;alert&lpar;1&rpar;', 'javascript:alert(1)'],
  ['htmlEntityDecode', '&colon &Colon; &COLON;', '&colon &Colon; &COLON;'],
  ['htmlEntityDecode', '&#x000000000003c;&#0000000000060', '<<'],
  ['htmlEntityDecode', '&#x20ac;&#8364', '\xe2\x82\xac\xe2\x82\xac'],
  ['htmlEntityDecode', '&#xd800;&#x110000;&#99999999999999999999;', '\xef\xbf\xbd'.repeat(3)],
  ['htmlEntityDecode', '&#x1f600;', '\xf0\x9f\x98\x80'],
  ['htmlEntityDecode', '&amp;lt;', '&lt;'],
  ['htmlEntityDecode', 'a&', 'a&'],
  ['htmlEntityDecode', '&#', '&#'],
  ['htmlEntityDecode', '&#x', '&#x'],
  ['htmlEntityDecode', '&nbsp;&fjlig;', '\xa0fj'],
  ['urlDecodeUni', '%u2039script%u203a %U0041', '<script> A'],
  ['urlDecodeUni', '%uff1cscript%uff1e', '<script>'],
  ['urlDecodeUni', '%u1234', '4'],
  ['urlDecode', '%u0041%4', '%u0041%4'],
  ['utf8toUnicode', '\xc0\xbcscript', '%u003c\xc0script'],
  ['utf8toUnicode', 'sel\xc3ect', 'select'],
  ['utf8toUnicode', '\xed\xa0\x80', '%ud800\xed'],
  ['utf8toUnicode', '\xf0\x9f\x98\x80', '%u1f600'],
  ['utf8toUnicode', '\xf5\x80\xff', '\xf5\x80\xff'],
  ['utf8toUnicode', '\xe2\x82', '\x82'],
  ['cssDecode', '\\', ''],
  ['cssDecode', '\\73\\63\\72ipt', 'script'],
  ['cssDecode', '\\00ff1c\\1ff1c', '<\x1c'],
  ['jsDecode', '\\u003cscript\\x3e\\', '<script>\\'],
  ['removeComments', 'a/**//**/b', 'ab'],
  ['removeComments', 'a/*b*/', 'a\0'],
  ['removeComments', "1' -- x", "1' "],
  ['removeComments', 'a<!--b-->c#d', 'ac'],
  ['compressWhitespace', 'a\xa0\xc2\xa0 \xc2\x85b', 'a b'],
  ['compressWhitespace', '\xc3\xa0 \xe3\x80\xa0 \xf0\x9f\x98\xa0', '\xc3\xa0 \xe3\x80\xa0 \xf0\x9f\x98\xa0'],
  ['base64Decode', 'YWJj$YWJj', 'abc'],
  ['base64Decode', 'YW\r\nJj', 'abc'],
  ['base64Decode', 'YQ', 'a'],
  ['base64Decode', 'Y', ''],
  ['base64DecodeExt', 'P.HNj_-8=', '<sc\xff\xef'],
  ['hexDecode', '616', 'a'],
  ['sqlHexDecode', '0x4142430 0X4g', 'ABC0 0X4g'],
  ['normalizePath', '/foo/a../bar', '/foo/a../bar'],
  ['md5', '', '\xd4\x1d\x8c\xd9\x8f\x00\xb2\x04\xe9\x80\x09\x98\xec\xf8B~'],
  ['phpArgsNames', ' a b.c[d', 'a_b_c_d'],
] as const)('%s makes of %j %j', (name, value, expected) => {
  expect(apply(name, value)).toBe(expected)
})

test('the map of a configuration stands in place of the built-in one', () => {
  const own = createTransformations({ unicodeMap: new Map([[0x1234, 0x3c]]) }).get('urldecodeuni')!
  expect(own.apply('%u1234%u00e9%uff1e')).toBe('<\xe9>')
})

test('names may be written in other ways', () => {
  expect(transformations.get('normalisepathwin')).toBe(transformations.get('normalizepathwin'))
  expect(transformations.get('cmd_line')).toBe(transformations.get('cmdline'))
  expect(builtInUnicodeMap.size).toBe(370)
})

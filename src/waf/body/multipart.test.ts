import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readDisposition } from './disposition.ts'
import { type Multipart, parseMultipart, readBoundary } from './multipart.ts'
import { growth } from './steps.fixture.ts'
import { bodyLimits, type MultipartFlags } from './values.ts'

const contentType = 'multipart/form-data; boundary=XX'

/** Lines to a body, each with CRLF. */
function lines(...all: string[]): string {
  return all.map((line) => `${line}\r\n`).join('')
}

function field(name: string, value: string): string {
  return lines('--XX', `Content-Disposition: form-data; name="${name}"`, '', value)
}

/** A body of one part with these headers and the value `v`. */
function part(...headers: string[]): string {
  return lines('--XX', ...headers, '', 'v', '--XX--')
}

function pairs(read: Multipart): [string, string][] {
  return read.arguments.map(({ name, value }) => [name, value])
}

function flagsOf(read: Multipart): Partial<MultipartFlags> {
  return Object.fromEntries(Object.entries(read.flags).filter(([, value]) => value !== false && value !== 0))
}

describe('a body as RFC 7578 has it', () => {
  const body =
    field('a', '1') +
    field('a', '') +
    lines(
      '--XX',
      'Content-Disposition: form-data; name="f"; filename="x.txt"',
      'Content-Type: text/plain',
      '',
      'one',
      'two',
    ) +
    lines('--XX--')
  const read = parseMultipart(body, contentType)

  test('gives arguments, files and headers by the part’s name', () => {
    expect(pairs(read)).toEqual([
      ['a', '1'],
      ['a', ''],
    ])
    expect(read.files).toEqual([{ field: 'f', filename: 'x.txt', content: 'one\r\ntwo' }])
    expect(read.partHeaders.map(({ name, value }) => [name, value])).toEqual([
      ['a', 'Content-Disposition: form-data; name="a"'],
      ['a', 'Content-Disposition: form-data; name="a"'],
      ['f', 'Content-Disposition: form-data; name="f"; filename="x.txt"'],
      ['f', 'Content-Type: text/plain'],
    ])
  })

  test('raises no flag, and counts the bytes that are no file’s', () => {
    expect(read.error).toBeUndefined()
    expect(flagsOf(read)).toEqual({})
    expect(read.noFilesBytes).toBe(body.length - 8)
  })

  test('may end without a line end', () => {
    const shorter = parseMultipart(body.slice(0, -2), contentType)
    expect(shorter.error).toBeUndefined()
    expect(flagsOf(shorter)).toEqual({})
  })

  test('an empty file name is none: the part is a field', () => {
    const empty = parseMultipart(part('Content-Disposition: form-data; name="a"; filename=""'), contentType)
    expect(pairs(empty)).toEqual([['a', 'v']])
    expect(empty.files).toEqual([])
    expect(flagsOf(empty)).toEqual({})
  })
})

describe('flags', () => {
  const disposition = 'Content-Disposition: form-data; name="a"'
  type Row = [string, string, string, Partial<MultipartFlags>, [string, string][], RegExp?]
  const rows: Row[] = [
    [
      'a quoted boundary',
      'multipart/form-data; boundary="XX"',
      part(disposition),
      { boundaryQuoted: true },
      [['a', 'v']],
    ],
    [
      'a blank after the name',
      'multipart/form-data; boundary =XX',
      part(disposition),
      { boundaryWhitespace: true },
      [['a', 'v']],
    ],
    [
      'a blank before the boundary',
      'multipart/form-data; boundary= XX',
      part(disposition),
      { boundaryWhitespace: true },
      [['a', 'v']],
    ],
    [
      'a missing semicolon',
      'multipart/form-data boundary=XX',
      part(disposition),
      { missingSemicolon: true },
      [['a', 'v']],
    ],
    ['data before', contentType, `x\r\n${part(disposition)}`, { dataBefore: true }, [['a', 'v']]],
    ['data after', contentType, `${part(disposition)}x`, { dataAfter: true }, [['a', 'v']]],
    [
      'a folded header',
      contentType,
      part('Content-Disposition: form-data;', ' name="a"'),
      { headerFolding: true },
      [['a', 'v']],
    ],
    [
      'a header folded wrong',
      contentType,
      part('Content-Disposition: form-data;', '\v name="a"'),
      { headerFolding: true, invalidHeaderFolding: true },
      [['a', 'v']],
    ],
    ['line feeds', contentType, part(disposition).replaceAll('\r\n', '\n'), { lfLine: true }, [['a', 'v']]],
    [
      'mixed line ends',
      contentType,
      part(disposition).replace('\r\n', '\n'),
      { lfLine: true, crlfLfLines: true },
      [['a', 'v']],
    ],
    [
      'a name in single quotes',
      contentType,
      part("Content-Disposition: form-data; name='a'"),
      { invalidQuoting: true },
      [['a', 'v']],
    ],
    [
      'a part whose data begins with the boundary',
      contentType,
      lines('--XX', disposition, '', '--XX', disposition, '', 'v', '--XX--'),
      { invalidPart: true },
      [
        ['a', ''],
        ['a', 'v'],
      ],
    ],
    [
      'the boundary inside a line',
      contentType,
      field('a', 'x--XX') + lines('--XX--'),
      { unmatchedBoundary: 1 },
      [['a', 'x--XX']],
    ],
    [
      'lines with dashes of their own',
      contentType,
      field('a', '-----BEGIN CERTIFICATE-----') + lines('--XX--'),
      { unmatchedBoundary: 2 },
      [['a', '-----BEGIN CERTIFICATE-----']],
    ],
    [
      'a boundary with blanks before it',
      contentType,
      field('a', '-- XX') + lines('--XX--'),
      { unmatchedBoundary: 1 },
      [['a', '-- XX']],
      /blanks before/,
    ],
    [
      'a boundary with text behind it',
      contentType,
      field('a', '--XXY') + lines('--XX--'),
      { unmatchedBoundary: 1 },
      [['a', '--XXY']],
      /text behind/,
    ],
    [
      'a boundary with blanks behind it',
      contentType,
      part(disposition).replace('--XX', '--XX '),
      {},
      [['a', 'v']],
      /blanks behind/,
    ],
    ['no final boundary', contentType, field('a', '1'), {}, [['a', '1\r\n']], /final boundary is missing/],
    ['no boundary at all', contentType, 'q=<script>', {}, [['', 'q=<script>']], /no boundary in the body/],
    [
      'no boundary parameter',
      'multipart/form-data',
      part(disposition),
      {},
      [['', part(disposition)]],
      /no boundary in the Content-Type/,
    ],
    ['another case', 'multipart/form-data; BOUNDARY=XX', part(disposition), {}, [['a', 'v']], /capitals/],
    [
      'two boundaries',
      'multipart/form-data; boundary=XX; boundary=YY',
      part(disposition),
      {},
      [['a', 'v']],
      /more than one/,
    ],
    ['a colon missing', contentType, part(disposition, 'x'), {}, [['a', 'v']], /without a colon/],
    ['a header without a name', contentType, part(disposition, ': x'), {}, [['a', 'v']], /without a name/],
    ['a header with a wrong name', contentType, part(disposition, 'x y: z'), {}, [['a', 'v']], /wrong name/],
    ['a zero byte', contentType, part(disposition, 'x: \0'), {}, [['a', 'v']], /zero byte/],
    ['a header twice', contentType, part(disposition, 'x: 1', 'X: 2'), {}, [['a', 'v']], /twice/],
    ['no disposition', contentType, part('x: 1'), { invalidPart: true }, [['', 'v']], /without Content-Disposition/],
    [
      'a fold of nothing',
      contentType,
      part(' x: 1', disposition),
      { headerFolding: true },
      [['a', 'v']],
      /folded line/,
    ],
    [
      'headers without an end',
      contentType,
      lines('--XX', disposition, '--XX--'),
      { invalidPart: true },
      [['a', '']],
      /headers do not end/,
    ],
  ]

  test.each(rows)('%s', (_, type, body, flags, found, error) => {
    const read = parseMultipart(body, type)
    const strict = error !== undefined || Object.keys(flags).some((flag) => flag !== 'unmatchedBoundary')
    expect(flagsOf(read)).toEqual({ ...flags, ...(strict && { strictError: true }) })
    expect(pairs(read)).toEqual(found)
    if (error === undefined) expect(read.error).toBeUndefined()
    else expect(read.error).toMatch(error)
  })

  test('dashes in a body whose frame is not whole may be part of the frame', () => {
    expect(parseMultipart(lines('--YY', 'x', '--YY--'), contentType).flags.unmatchedBoundary).toBe(1)
  })
})

describe('a Content-Type', () => {
  test.each([
    ['multipart/form-data; boundary=a', 'a', false],
    ['Multipart/Form-Data;boundary=a', 'a', false],
    ['multipart/form-data; boundary=a; charset=UTF-8', 'a', false],
    ['multipart/form-data; charset=utf-8; boundary=a', 'a', false],
    ['multipart/form-data;boundary=----geckoformboundary4a7a;charset=UTF-8', '----geckoformboundary4a7a', false],
    ['multipart/form-data; boundary=--------0xKhTmLbOuNdArY', '--------0xKhTmLbOuNdArY', false],
    ['multipart/form-data; boundary="a b"', 'a b', false],
    ['multipart/form-data, boundary=a', 'a', true],
    ['multipart/form-data; boundary123=a', 'a', true],
    ['multipart/form-data; boundary="a', 'a', true],
    ['multipart/form-data; boundary=a"', 'a"', true],
    ['multipart/form-data; boundary="a"b', 'a', true],
    ['multipart/form-data; boundary=a!b', 'a!b', true],
    ['multipart/form-data; boundary="a "', 'a ', true],
    ['multipart/form-data; boundary=', undefined, true],
    ['multipart/form-data; x="; boundary=b"; boundary=a', 'b"', true],
    ['multipart/form-data; x=y; boundary=a', 'a', true],
    ['multipart/mixed; boundary=a', 'a', true],
    [`multipart/form-data; boundary=${'a'.repeat(201)}`, 'a'.repeat(201), true],
    [`multipart/form-data; boundary=a${' '.repeat(2_000)}`, 'a', true],
  ])('%j names the boundary %j', (type, boundary, wrong) => {
    const read = readBoundary(type)
    expect(read.boundary).toBe(boundary)
    expect(read.error !== undefined).toBe(wrong)
  })
})

describe('a Content-Disposition', () => {
  test.each<[string, string[], string[], RegExp | undefined]>([
    ['form-data; name="a"', ['a'], [], undefined],
    ['form-data;name=a', ['a'], [], undefined],
    ['Form-Data; Name="a"', ['a'], [], undefined],
    ['form-data; name="a";', ['a'], [], undefined],
    ['form-data; name="a;b=\\"c\\\\"', ['a;b="c\\'], [], undefined],
    ['form-data; name="a"; filename="C:\\dir\\x"', ['a'], ['C:\\dir\\x'], undefined],
    ['form-data; name="a\'b"', ["a'b"], [], undefined],
    ['form-data; name="a"; filename="x"; filename*=UTF-8\'\'%e2%82%ac', ['a'], ['x', '\xe2\x82\xac'], undefined],
    ['form-data; name="a"; filename*=UTF-8\'en\'x%2Ephp', ['a'], ['x.php'], /without a plain one/],
    ['form-data; name="a"; filename="x"; filename*=x.php', ['a'], ['x', 'x.php'], /cannot be read/],
    [
      'form-data; name="a"; filename="x"; filename*="UTF-8\'\'x.php"',
      ['a'],
      ['x', '"UTF-8\'\'x.php"'],
      /cannot be read/,
    ],
    ['form-data', [], [], /no name/],
    ['form-data; name=""', [''], [], /no name/],
    ['attachment; name="a"', ['a'], [], /not form-data/],
    ['form-data name="a"', [], [], /text after form-data/],
    ['form-data; name="a"; name="b"', ['a', 'b'], [], /two names/],
    ['form-data; name="a"; filename="x"; filename="y"', ['a'], ['x', 'y'], /two file names/],
    ['form-data; name="a', ['a'], [], /without an end/],
    ['form-data; name="a"b', ['ab'], [], /text after a quoted value/],
    ['form-data; name="a"; filename="x" Content-Type: text/plain', ['a'], ['xContent-Type: text/plain'], /text after/],
    ['form-data; name="a"; filename ="x"', ['a'], ['x'], /blanks/],
    ['form-data; name="a"; filename', ['a'], [], /without a value/],
    ['form-data; name="a"; size=3', ['a'], [], /unknown parameter/],
    ['form-data; name=a b', ['a b'], [], /needs quotes/],
    ["form-data; name*=utf-8''%61", ['a'], [], /unknown parameter/],
    ['form-data; name*0=a; name*1=b', ['a', 'b'], [], /unknown parameter/],
  ])('%j', (header, names, filenames, error) => {
    const read = readDisposition(header)
    expect(read.names).toEqual(names)
    expect(read.filenames).toEqual(filenames)
    if (error === undefined) expect(read.error).toBeUndefined()
    else expect(read.error).toMatch(error)
  })
})

describe('evasions', () => {
  test('PHP reads on behind a final boundary that comes first (coreruleset 76)', () => {
    const read = parseMultipart(lines('--XX--') + field('q', '<script>') + lines('--XX--'), contentType)
    expect(pairs(read)).toEqual([['q', '<script>']])
    expect(read.flags.dataAfter).toBe(true)
  })

  test.each([
    // What looks like a file here is a field for PHP, whose single quotes may begin anywhere (ModSecurity 460).
    [`Content-Disposition: form-data; name=x';filename="';name=q;"`, true],
    [`Content-Disposition: form-data; name="q"; filename='x'`, true],
    ['Content-Disposition: form-data; name="q"; filename="x"; name="r"', false],
    ['Content-Disposition: form-data; name="q"; filename = "x"', false],
    ['Content-Disposition: form-data; name="q"; filename*=UTF-8\'\'x', false],
  ])('a part that may be a field is inspected as one: %s', (header, misquoted) => {
    const read = parseMultipart(part(header), contentType)
    expect(read.arguments.length).toBeGreaterThan(0)
    expect(read.arguments.every(({ value }) => value === 'v')).toBe(true)
    expect(read.flags.invalidQuoting).toBe(misquoted)
    expect(read.flags.strictError).toBe(true)
  })

  test('two dispositions give both names', () => {
    const read = parseMultipart(
      part('Content-Disposition: form-data; name="a"', 'Content-Disposition: form-data; name="b"; filename="x"'),
      contentType,
    )
    expect(pairs(read)).toEqual([
      ['a', 'v'],
      ['b', 'v'],
    ])
    expect(read.files).toHaveLength(1)
    expect(read.error).toMatch(/twice/)
  })

  test('a value in UTF-16 is read as text', () => {
    const value = Buffer.from('<script>', 'utf16le').toString('latin1')
    const header = 'Content-Disposition: form-data; name="a"'
    const body = part(header, 'Content-Type: text/plain; charset=utf-16le').replace('\r\nv\r\n', `\r\n${value}\r\n`)
    expect(pairs(parseMultipart(body, contentType))).toEqual([['a', '<script>']])
  })

  test('many names do not multiply the work on the value', () => {
    const read = parseMultipart(
      part(`Content-Disposition: form-data; ${'name=a;name=b;name=c;name=d;name=e;'.repeat(99)}`),
      contentType,
    )
    expect(read.arguments.length).toBeLessThanOrEqual(4)
    expect(read.error).toMatch(/two names/)
  })
})

describe('limits', () => {
  test('beyond the limit of parts the rest is one argument', () => {
    const read = parseMultipart(field('a', '1') + field('b', '2') + lines('--XX--'), contentType, {
      ...bodyLimits,
      partsMax: 1,
    })
    expect(pairs(read)[0]).toEqual(['a', '1'])
    expect(pairs(read)[1]![1]).toContain('name="b"')
    expect(read.error).toBe('more than 1 parts')
    const fits = parseMultipart(field('a', '1') + lines('--XX--'), contentType, { ...bodyLimits, partsMax: 1 })
    expect(fits.error).toBeUndefined()
  })

  test('beyond the limit of arguments the rest is one argument', () => {
    const read = parseMultipart(field('a', '1') + field('b', '2') + lines('--XX--'), contentType, {
      ...bodyLimits,
      argumentsMax: 1,
    })
    expect(read.arguments).toHaveLength(2)
    expect(read.error).toBe('more than 1 arguments')
  })

  test('too many files are told', () => {
    const file = lines('--XX', 'Content-Disposition: form-data; name="f"; filename="x"', '', 'v')
    const read = parseMultipart(file + file + lines('--XX--'), contentType, { ...bodyLimits, filesMax: 1 })
    expect(flagsOf(read)).toEqual({ fileLimitExceeded: true, strictError: true })
  })

  test('headers are bounded', () => {
    const header = 'Content-Disposition: form-data; name="a"'
    expect(parseMultipart(part(header, `x: ${'y'.repeat(5_000)}`), contentType).error).toMatch(/too long/)
    expect(parseMultipart(part(header, 'x: y', ...Array<string>(2_000).fill(' yyyy')), contentType).error).toMatch(
      /too long/,
    )
    const many = Array.from({ length: 70 }, (_, i) => `x${i}: y`)
    expect(parseMultipart(part(header, ...many), contentType).error).toMatch(/too many/)
  })

  const dashes = `multipart/form-data; boundary=${'-'.repeat(60)}`
  test.each<[string, string, (count: number) => string]>([
    ['dashes', contentType, (count) => '-'.repeat(count)],
    ['dashes, boundary of dashes', dashes, (count) => '-'.repeat(count)],
    ['lines of dashes', contentType, (count) => '\n--'.repeat(count)],
    ['lines of dashes in a part', contentType, (count) => field('a', '\n--'.repeat(count))],
    ['near boundaries', contentType, (count) => field('a', '\n--X'.repeat(count))],
    ['boundaries with text', contentType, (count) => field('a', '\n--XXY'.repeat(count))],
    ['boundaries in lines', contentType, (count) => field('a', ' --XX'.repeat(count))],
    ['spaced boundaries', contentType, (count) => field('a', `\n--${' '.repeat(count)}`.repeat(3))],
    ['boundaries', contentType, (count) => '--XX\r\n'.repeat(count)],
    ['final boundaries', contentType, (count) => '--XX--\r\n'.repeat(count)],
    ['fields', contentType, (count) => field('a', '1').repeat(count)],
    ['empty parts', contentType, (count) => '--XX\r\n\r\n\r\n'.repeat(count)],
    ['headers', contentType, (count) => `--XX\r\n${'a: b\r\n'.repeat(count)}`],
    ['folded headers', contentType, (count) => `--XX\r\na: b\r\n${' c\r\n'.repeat(count)}`],
    ['blanks in a header', contentType, (count) => part(`Content-Disposition: form-data; name=a${' '.repeat(count)}b`)],
    ['parameters', contentType, (count) => part(`Content-Disposition: form-data; ${'name=a;'.repeat(count)}`)],
    ['quotes', contentType, (count) => part(`Content-Disposition: form-data; name="${'\\"'.repeat(count)}`)],
    ['semicolons', contentType, (count) => part(`Content-Disposition: form-data${';'.repeat(count)}`)],
    ['charsets', contentType, (count) => part(`Content-Type: a${'; charset'.repeat(count)}`)],
  ])('the work for %s grows with the length', (_, type, make) => {
    const limits = { ...bodyLimits, partsMax: 1_000_000, argumentsMax: 1_000_000, partHeadersMax: 1_000_000 }
    expect(growth((text) => void parseMultipart(text, type, limits), make, 1_000)).toBeLessThan(2.2)
  })
})

test('what a client writes comes back, whatever the bytes', async () => {
  const bytes = fc
    .array(fc.integer({ min: 0, max: 255 }), { maxLength: 60 })
    .map((codes) => String.fromCharCode(...codes))
  const name = fc.stringMatching(/^[a-zA-Z0-9 ;=:'\][.<>-]{1,20}$/)
  const form = fc.array(fc.record({ name, value: bytes, filename: fc.option(name, { nil: undefined }) }), {
    minLength: 1,
    maxLength: 8,
  })
  await fc.assert(
    fc.asyncProperty(form, async (parts) => {
      const data = new FormData()
      for (const { name: field, value, filename } of parts) {
        const blob = new Blob([Buffer.from(value, 'latin1')])
        if (filename === undefined)
          data.append(
            field,
            Buffer.from(value, 'latin1')
              .toString('latin1')
              .replace(/[^ -~]/g, '.'),
          )
        else data.append(field, blob, filename)
      }
      const response = new Response(data)
      const type = response.headers.get('content-type')!
      const read = parseMultipart(Buffer.from(await response.arrayBuffer()).toString('latin1'), type)
      expect(read.error).toBeUndefined()
      expect(read.flags.strictError).toBe(false)
      expect(pairs(read)).toEqual(
        parts.filter((p) => p.filename === undefined).map((p) => [p.name, p.value.replace(/[^ -~]/g, '.')]),
      )
      expect(read.files).toEqual(
        parts
          .filter((p) => p.filename !== undefined)
          .map((p) => ({ field: p.name, filename: p.filename, content: p.value })),
      )
    }),
    { numRuns: 200 },
  )
})

test('no bytes make it throw, and every flag that is up makes a strict error', () => {
  const piece = fc.constantFrom(
    ...[
      '--XX',
      '--XX--',
      '\r\n',
      '\n',
      '\r',
      ' ',
      '\t',
      '--',
      '"',
      "'",
      ';',
      '=',
      ':',
      '\\',
      '\0',
      '\xff',
      'name',
      'filename',
      'filename*',
    ],
    ...['Content-Disposition: form-data; name="a"', 'Content-Type: text/plain; charset=utf-16', '%41', "utf-8''", 'x'],
  )
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 60 }), (pieces) => {
      const read = parseMultipart(pieces.join(''), contentType)
      const { strictError, unmatchedBoundary, crlfLfLines, ...others } = read.flags
      expect(strictError).toBe(read.error !== undefined || Object.values(others).some(Boolean))
      expect([0, 1, 2]).toContain(unmatchedBoundary)
      expect(crlfLfLines && !others.lfLine).toBe(false)
    }),
    { numRuns: 3_000 },
  )
})

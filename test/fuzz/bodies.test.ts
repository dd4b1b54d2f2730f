import { describe, expect, test } from 'vitest'
import {
  type Argument,
  bodyLimits,
  flattenJson,
  parseCookies,
  parseMultipart,
  parseUrlEncoded,
  parseXml,
  splitUri,
} from '../../src/waf/body/index.ts'
import { judgeJson } from '../../src/waf/body/json-judge.fixture.ts'
import { countSteps } from '../../src/waf/body/steps.fixture.ts'
import { fuzz, readCorpus } from './fuzz.ts'

/** Every string of a result is made of bytes, and all together do not outgrow the input. */
function expectBytes(strings: readonly string[], input: string, times = 2): void {
  let size = 0
  for (const text of strings) {
    size += text.length
    for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) throw new Error(`two bytes in ${text}`)
  }
  expect(size).toBeLessThanOrEqual(times * input.length + 64)
}

/** The work on an input grows with it, whatever it is. */
function expectLinear(read: () => void, input: string): void {
  expect(countSteps(read)).toBeLessThanOrEqual(40 * input.length + 2_000)
}

function stringsOf(found: readonly Argument[]): string[] {
  return found.flatMap(({ name, value }) => [name, value])
}

describe('no mutation misleads the reader of', () => {
  test('JSON: what JSON.parse reads is read alike, what it refuses is an error', () => {
    const words = [
      '{"a":',
      '[',
      ']',
      '}',
      ',',
      ':',
      '"',
      '\\',
      '\\u0041',
      '\\ud83d',
      'null',
      'true',
      '1',
      '-',
      'e',
      '\0',
      '\xff',
      '\n',
    ]
    fuzz(readCorpus('json'), words, (input) => {
      const limits = { argumentsMax: 5_000, jsonDepthMax: 64 }
      const read = flattenJson(input, limits)
      expectLinear(() => void flattenJson(input, limits), input)
      // Names repeat those of the containers around them: as many times as these are deep.
      expectBytes(
        read.arguments.map(({ value }) => value),
        input,
      )
      expectBytes(
        read.arguments.map(({ key }) => key),
        input,
        8,
      )
      if (input.startsWith('\xef\xbb\xbf') || input.includes('\0')) return
      if (!isJson(input)) expect(read.error).toBeDefined()
      else if (read.error === undefined)
        expect(read.arguments.map((one) => [one.name, one.value])).toEqual(judgeJson(input))
      else expect(read.error).toMatch(/UTF-8|nested|arguments/)
    })
  })

  test('XML', () => {
    const words = [
      '<a>',
      '</a>',
      '<a b="',
      '/>',
      '<!--',
      '-->',
      '<![CDATA[',
      ']]>',
      '<?',
      '?>',
      '<!DOCTYPE a [',
      ']>',
      '&lt;',
      '&#x41;',
      '&',
      ';',
      "'",
      '"',
      '<',
      '>',
      '=',
      '\0',
    ]
    fuzz(readCorpus('xml'), words, (input) => {
      const { texts, attributes, whole = '', doctype = '' } = parseXml(input)
      expectLinear(() => void parseXml(input), input)
      expectBytes([...texts, ...attributes, whole, doctype], input, 4)
    })
  })

  test('multipart', () => {
    const words = [
      '--XX',
      '--XX--',
      '\r\n',
      '\n',
      '\r',
      ';',
      ':',
      '"',
      "'",
      '\\',
      '=',
      ' name="a"',
      ' filename="b"',
      'filename*=',
      'Content-Disposition: form-data',
      '\0',
      ' ',
      '\t',
    ]
    fuzz(readCorpus('multipart'), words, (input) => {
      const read = () => parseMultipart(input, 'multipart/form-data; boundary=XX')
      const { arguments: found, files, partHeaders, flags, error } = read()
      expectLinear(read, input)
      // One value may stand for four names, and be a file as well.
      expectBytes(stringsOf(found), input, 5)
      expectBytes(
        files.flatMap(({ field, filename }) => [field, filename]),
        input,
        8,
      )
      expectBytes(
        partHeaders.map(({ value }) => value),
        input,
      )
      if (error !== undefined) expect(flags.strictError).toBe(true)
    })
  })

  test('form-urlencoded bodies', () => {
    fuzz(readCorpus('urlencoded'), ['%', '%41', '&', '=', '+', ';', '\0', '\xff'], (input) => {
      const read = parseUrlEncoded(input, { ...bodyLimits, argumentsMax: 50 })
      expectLinear(() => void parseUrlEncoded(input), input)
      expectBytes(stringsOf(read.arguments), input, 1)
    })
  })

  test('targets and cookies', () => {
    fuzz(readCorpus('head'), ['/', '//', '?', '#', '%', '%2f', 'http://', ':', ';', '=', ' ', '\\', '\0'], (input) => {
      expectLinear(() => void splitUri(input), input)
      expectLinear(() => void parseCookies([input]), input)
      const { uri, queryString, filename, basename } = splitUri(input)
      expectBytes([uri, queryString, filename, basename], input, 4)
      expectBytes(stringsOf(parseCookies([input])), input, 1)
    })
  })
})

function isJson(input: string): boolean {
  try {
    JSON.parse(Buffer.from(input, 'latin1').toString('utf8'))
    return true
  } catch {
    return false
  }
}

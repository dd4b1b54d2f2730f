import { describe, expect, test } from 'vitest'
import { ConfigError, ConfigErrors } from '../base/errors.ts'
import { type FrameOptions, framed, wantsColour } from './frame.ts'

const file = '/gate/portcullis.yaml'
const frame = (text: string, line: number, column: number, length = 1, more: FrameOptions = {}) =>
  framed(new ConfigError('P1009', 'wrong', { place: { file, line, column, length } }), {
    directory: '/gate',
    read: () => text,
    ...more,
  })
const docs = 'docs: portcullis explain P1009'

describe('a frame', () => {
  test('shows the line, the one before it, and what is meant', () => {
    expect(frame('a: 1\nb: 2\nc: 3\n', 2, 4)).toBe(`portcullis.yaml:2:4  wrong${' '.repeat(44)}P1009
    1 | a: 1
    2 | b: 2
      |    ^ ${docs}`)
  })

  test('names a file outside the folder in full', () => {
    expect(frame('a: 1', 1, 1, 1, { directory: '/elsewhere' })).toMatch(/^\/gate\/portcullis\.yaml:1:1 {2}wrong/)
  })

  test('is left out where the file cannot be read or is shorter than the place says', () => {
    expect(frame('a: 1', 9, 1)).toBe(`portcullis.yaml:9:1  wrong${' '.repeat(44)}P1009\n   ${docs}`)
    expect(frame('', 1, 1, 1, { read: () => undefined })).toContain(`\n   ${docs}`)
  })

  test('stands under the word after tabs, and never reaches past the line', () => {
    expect(frame('\tkey: v', 1, 2, 3).split('\n')[2]).toBe(`      | \t^^^ ${docs}`)
    expect(frame('abc', 1, 2, 99).split('\n')[2]).toBe(`      |  ^^ ${docs}`)
  })

  test('of a line without end is cut', () => {
    const lines = frame(`x: ${'y'.repeat(10_000)}`, 1, 5_000, 10).split('\n')
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThan(200)
  })

  test('has colours only where asked to', () => {
    expect(frame('a: 1', 1, 1)).not.toContain('\x1b')
    expect(frame('a: 1', 1, 1, 1, { colour: true })).toContain('\x1b[31m^\x1b[0m')
  })

  test('of several errors come one after the other', () => {
    const errors = new ConfigErrors([new ConfigError('P1001', 'one'), new ConfigError('P1002', 'two', { hint: 'so' })])
    expect(
      framed(errors)
        .split('\n\n')
        .map((one) => one.replace(/ {2,}/g, ' ')),
    ).toEqual(['one P1001\n docs: portcullis explain P1001', 'two P1002\n so docs: portcullis explain P1002'])
  })
})

describe('a secret that somebody wrote into the file', () => {
  test.each([
    ['clientSecret: hunter22', 'clientSecret: ********'],
    ['password: "a b: c"', 'password: ********'],
    ["{ user: me, password: 'hunter', x: 1 }", '{ user: me, password: ********, x: 1 }'],
    ['sealWith: abc', 'sealWith: ***'],
    ['secret: "${SECRET}"', 'secret: "${SECRET}"'],
    ['secret: ./secret.txt', 'secret: ./secret.txt'],
    ['key: principal', 'key: principal'],
    ['credentials: true', 'credentials: true'],
    [`    ${'MIIEvQIBADANBgkqhkiG9w0BAQEFAASC'.repeat(2)}`, `    ${'*'.repeat(64)}`],
  ])('%s is shown as %s', (written, shown) => {
    expect(frame(`${written}\nwrong`, 2, 1).split('\n')[1]).toBe(`    1 | ${shown}`)
    expect(frame(written, 1, 1).split('\n')[1]).toBe(`    1 | ${shown}`)
  })
})

describe('wantsColour', () => {
  test.each([
    [{ isTTY: true }, {}, true],
    [{ isTTY: true }, { NO_COLOR: '' }, true],
    [{ isTTY: true }, { NO_COLOR: '1' }, false],
    [{ isTTY: true }, { TERM: 'dumb' }, false],
    [{ isTTY: false }, {}, false],
    [{}, {}, false],
  ])('on %j with %j: %s', (stream, env, wanted) => {
    expect(wantsColour(stream, env)).toBe(wanted)
  })
})

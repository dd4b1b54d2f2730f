import { readdirSync, readFileSync } from 'node:fs'
import { basename } from 'node:path'
import { sharedPath } from './shared.ts'

/** One case of the SecRules language tests. Values are byte strings. */
export interface SecLangCase {
  /** `cssDecode 3: …`: file, place in it counted from 0. */
  readonly title: string
  readonly name: string
  readonly parameter: string
  readonly input: string
  /** Of a transformation. */
  readonly output: string
  /** Of an operator. */
  readonly matches: boolean
  /** What the groups of a match are, of `rx` and `rxGlobal`. */
  readonly groups: readonly string[] | undefined
}

interface Written {
  readonly name: string
  readonly input?: string
  readonly output?: string
  readonly param?: string
  readonly ret: number
  readonly re_groups?: readonly string[]
}

/**
 * The cases of one folder, or none where the data is not there.
 *
 * Some bytes are written as JSON escapes, others escaped once more. They are read as ModSecurity's own runner does (test/unit/unit_test.cc,
 * `json2bin`): the JSON string as UTF-8, then `\xHH` and `\u00HH` in `input` and `output` as bytes. Two things it does are left out: it ends a
 * string at a NUL that is written as a JSON escape, and takes any two letters for hexadecimal digits.
 */
export function seclangCases(folder: 'transformations' | 'operators'): readonly SecLangCase[] {
  const path = sharedPath('seclang-tests')
  if (path === undefined) return []
  return readdirSync(`${path}/${folder}`)
    .filter((file) => file.endsWith('.json'))
    .sort()
    .flatMap((file) => {
      const cases = JSON.parse(readFileSync(`${path}/${folder}/${file}`, 'utf8')) as Written[]
      return cases.map((one, index) => readCase(`${basename(file, '.json')} ${index}`, one))
    })
}

function readCase(place: string, written: Written): SecLangCase {
  return {
    title: `${place}: ${JSON.stringify(written.input ?? '').slice(0, 60)}`,
    name: written.name,
    parameter: utf8(written.param ?? ''),
    input: readBytes(written.input ?? ''),
    output: readBytes(written.output ?? ''),
    matches: written.ret === 1,
    groups: written.re_groups,
  }
}

function readBytes(text: string): string {
  return utf8(text)
    .replace(/\\x([0-9a-fA-F]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
    .replace(/\\u([0-9a-fA-F]{4})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16) & 0xff))
}

function utf8(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1')
}

import { expect, test } from 'vitest'
import { transformations } from '../../src/waf/transform/index.ts'
import { isByteString } from '../kit/byte-strings.ts'
import { fuzz, readCorpus } from './fuzz.ts'

const words = [
  '%',
  '%u',
  '&',
  '&#',
  '&#x',
  ';',
  '\\',
  '\\u',
  '\\x',
  '/*',
  '*/',
  '--',
  '#',
  '/',
  '..',
  '\xc2',
  '\xa0',
  '\xf0',
  '\0',
  '=',
  '0x',
  ' ',
]

/** As rules put them in a row. */
const pipelines = [
  ['utf8tounicode', 'urldecodeuni', 'htmlentitydecode', 'jsdecode', 'cssdecode', 'removenulls'],
  ['urldecodeuni', 'normalizepathwin', 'cmdline'],
  ['escapeseqdecode', 'lowercase', 'removewhitespace'],
  ['replacecomments', 'compresswhitespace', 'trim'],
  ['removecommentschar', 'sqlhexdecode', 'base64decode'],
].map((names) => names.map((name) => transformations.get(name)!))

test('no mutation leads a transformation astray, alone or behind others', () => {
  const all = [...new Set(transformations.values())]
  fuzz(readCorpus('encodings'), words, (input) => {
    for (const one of all) {
      const result = one.apply(input)
      if (!isByteString(result)) throw new Error(`${one.name} makes more than bytes`)
      expect(result.length, one.name).toBeLessThanOrEqual(4 * input.length + 40)
      const isHarmless = input !== '' && ![...input].some((char) => one.alters[char.charCodeAt(0)] === 1)
      if (isHarmless) expect(result, one.name).toBe(input)
    }
    for (const pipeline of pipelines) {
      const result = pipeline.reduce((value, one) => one.apply(value), input)
      if (!isByteString(result)) throw new Error('more than bytes')
    }
  })
})

import { sqliBytes, xssBytes } from '../injection/index.ts'
import { type Operator, phrasesOf } from '../operators/index.ts'
import { parsePattern } from '../regex/parse.ts'
import type { OperatorUse } from '../seclang/rule.ts'
import { flagsOf, flagsWhere } from '../transform/transformation.ts'
import { byteLanguage, type Language, patternLanguage, phraseLanguage } from './language.ts'

/**
 * What is known of the values that an operator matches; `undefined`: nothing, as of numbers, addresses and everything
 * negated. `operator` is the compiled use, whose argument holds no macros.
 */
export function operatorLanguage(use: OperatorUse, operator: Operator): Language | undefined {
  if (use.negated) return undefined
  const { argument } = use
  switch (use.name.toLowerCase()) {
    case 'rx':
    case 'rxglobal':
      return patternLanguage(parsePattern(argument).node)
    case 'pm':
      return phrases(phrasesOf(argument))
    case 'pmf':
    case 'pmfromfile':
      return phrases(use.lines ?? [])
    case 'contains':
    case 'containsword':
    case 'strmatch':
    case 'beginswith':
    case 'endswith':
    case 'streq':
      return phrases([argument])
    case 'detectsqli':
      return byteLanguage(sqliBytes)
    case 'detectxss':
      return byteLanguage(xssBytes)
    case 'validatebyterange':
      return byteLanguage(flagsWhere((byte) => operator.test(String.fromCharCode(byte))))
    case 'validateurlencoding':
      return byteLanguage(flagsOf('%'))
    case 'validateutf8encoding':
      return byteLanguage(flagsWhere((byte) => byte > 127))
    default:
      return undefined
  }
}

/** The empty phrase is in every value. */
function phrases(texts: readonly string[]): Language | undefined {
  return texts.length === 0 || texts.includes('')
    ? undefined
    : phraseLanguage(texts.map((text) => text.replace(/\r$/, '')))
}

import { createDataFiles, type ReadData } from './data.ts'
import { defaultSettings } from './directives.ts'
import { createComplaints } from './error.ts'
import { type Include, link } from './link.ts'
import type { Source } from './piece.ts'
import type { RuleSet, Settings } from './rule.ts'

export type { ReadData } from './data.ts'
export { defaultSettings } from './directives.ts'
export { type Problem, RuleError } from './error.ts'
export { severities } from './known.ts'
export type { Include } from './link.ts'
export type { Source } from './piece.ts'
export { printRule } from './print.ts'
export type * from './rule.ts'

export interface ParseOptions {
  /** Reads the files that `@pmFromFile`, `@ipMatchFromFile` and `SecUnicodeMapFile` name, as bytes (latin1). */
  readonly readData?: ReadData
  /** Finds the files that `Include` names. Without it, the caller gives all sources, in order. */
  readonly include?: Include
  /** What holds where no directive says otherwise; default: `defaultSettings`. */
  readonly settings?: Partial<Settings>
}

/**
 * Reads rule files written in SecLang, the language of ModSecurity and Coraza, and links them: defaults applied,
 * chains joined, updates made. Throws `RuleError`, which tells everything that is wrong, each with its line.
 *
 * Texts are bytes, a character each: read files as `latin1`.
 */
export function parseRules(sources: readonly Source[], options: ParseOptions = {}): RuleSet {
  const complaints = createComplaints()
  const set = link(sources, {
    complaints,
    data: createDataFiles(options.readData),
    include: options.include,
    settings: { ...defaultSettings, ...options.settings, mimeTypesStated: false },
  })
  complaints.settle()
  return set
}

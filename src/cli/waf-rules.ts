import { join, relative } from 'node:path'
import { readLock } from '../crs/lock.ts'
import { type LoadedRules, ownRulesDirectory, type RuleChoice } from '../crs/rules.ts'
import type { CommonOptions } from './command.ts'
import { rulesDirectoryOf } from './waf-install.ts'

/** The rules that a command line means: a folder, `own`, or what is installed, or else the gate's own. */
export async function ruleChoice(options: CommonOptions & { readonly rules?: string }): Promise<RuleChoice> {
  if (options.rules === 'own') return { rules: 'own' }
  if (options.rules !== undefined) return { rules: 'crs', crs: { path: options.rules } }
  const directory = await rulesDirectoryOf(options)
  const installed = await readLock(directory)
  return installed === undefined ? { rules: 'own' } : { rules: 'crs', stateDir: join(directory, '..') }
}

/** What was loaded, in words. */
export function shownRules({ directory, version }: LoadedRules): string {
  return directory === ownRulesDirectory
    ? `own ${version}`
    : `OWASP CRS ${version} in ${relative('', directory) || '.'}`
}

/** The paranoia level as rules read it: those of the CRS, and our own. */
export function paranoiaVariables(level: string): Readonly<Record<string, string>> {
  return { blocking_paranoia_level: level, detection_paranoia_level: level, portcullis_paranoia: level }
}

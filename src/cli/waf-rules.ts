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

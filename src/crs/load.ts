import { ConfigError, ConfigErrors } from '../base/errors.ts'
import { compileProgram, type Program, type ProgramOptions } from '../waf/engine/index.ts'
import { createInjectionDetector, type InjectionDetector, InjectionUnavailable } from '../waf/injection/index.ts'
import { parseRules, RuleError, type RuleSet } from '../waf/seclang/index.ts'
import { type LoadedRules, loadRuleSources, type RuleChoice } from './rules.ts'

/** Rules read, linked and compiled, as a gate would. */
export interface CompiledRules {
  readonly loaded: LoadedRules
  readonly ruleSet: RuleSet
  readonly program: Program
  /** Why `@detectSQLi` and `@detectXSS` find nothing here; `undefined` where they work. */
  readonly blind: string | undefined
}

/** Loads rules from disk and makes them ready to run. Throws `ConfigErrors`. */
export async function compileRules(
  choice: RuleChoice,
  options: Omit<ProgramOptions, 'injection'> = {},
): Promise<CompiledRules> {
  const loaded = await loadRuleSources(choice)
  const { injection, blind } = detector()
  try {
    const ruleSet = parseRules(loaded.sources, { readData: loaded.readData })
    return { loaded, ruleSet, program: compileProgram(ruleSet, { ...options, injection }), blind }
  } catch (error) {
    throw error instanceof RuleError ? new ConfigErrors(error.problems.map(toConfigError)) : error
  }
}

/** Where libinjection's binary does not run, rules can still be looked at. */
function detector(): { injection: InjectionDetector; blind: string | undefined } {
  try {
    return { injection: createInjectionDetector(), blind: undefined }
  } catch (error) {
    if (!(error instanceof InjectionUnavailable)) throw error
    const injection: InjectionDetector = {
      sqli: (values) => values.map(() => undefined),
      xss: (values) => values.map(() => false),
      both: (sqli, xss) => ({ sqli: sqli.map(() => undefined), xss: xss.map(() => false) }),
    }
    return { injection, blind: error.message }
  }
}

/** What is wrong with a rule file, in the words of the configuration's errors. */
function toConfigError({ place, length, message, hint }: RuleError['problems'][number]): ConfigError {
  return new ConfigError('P1520', message, { place: { ...place, length }, ...(hint === undefined ? {} : { hint }) })
}

/** How many rules there are, chains counted once. */
export function ruleCount({ phases }: RuleSet): number {
  return Object.values(phases).reduce((sum, phase) => sum + phase.filter(({ kind }) => kind === 'rule').length, 0)
}

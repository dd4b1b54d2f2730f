import { statSync } from 'node:fs'
import { ConfigError, ConfigErrors } from '../../base/errors.ts'
import type { Logger } from '../../base/log.ts'
import { type LoadedRules, loadRuleSources, type RuleChoice } from '../../crs/rules.ts'
import {
  compileProgram,
  createInjectionDetector,
  type InjectionDetector,
  InjectionUnavailable,
  type Program,
  parseRules,
  RuleError,
  type RuleSet,
} from '../../waf/index.ts'
import type { RootOptions, WafOptions } from './options.ts'

/** Rules ready to run, shared by all operations whose options come to the same. */
export interface Firewall {
  readonly program: Program
  /** `own 1`, `OWASP CRS 4.28.0`. */
  readonly rules: string
  /** Every file it was made from. */
  readonly files: readonly string[]
}

/** What of the options makes another program. The rest is refined for each operation. */
export interface FirewallChoice extends RuleChoice {
  readonly variables: Readonly<Record<string, string>>
  readonly maxValues: number
  readonly onBudget: 'block' | 'pass'
  readonly evaluator: 'fast' | 'plain'
}

export function firewallChoice(options: WafOptions, root: RootOptions['waf'], stateDir: string): FirewallChoice {
  const rules = options.rules ?? (root.crs === undefined ? 'own' : 'crs')
  const path = typeof rules === 'object' ? rules.path : typeof root.crs === 'object' ? root.crs.path : undefined
  const { paranoia, detectionParanoia = paranoia } = options
  return {
    rules: rules === 'own' ? 'own' : 'crs',
    ...(path !== undefined && { crs: { path } }),
    // Only what is installed lies there: gates with our own rules share one program.
    ...(rules !== 'own' && path === undefined && { stateDir }),
    before: [...root.include.before, ...options.include.before],
    after: [...root.include.after, ...options.include.after],
    variables: {
      // The words of the OWASP CRS, then those of our own rules.
      blocking_paranoia_level: `${paranoia}`,
      detection_paranoia_level: `${Math.max(paranoia, detectionParanoia)}`,
      portcullis_paranoia: `${paranoia}`,
    },
    maxValues: options.maxValues,
    onBudget: options.onBudget,
    evaluator: options.evaluator,
  }
}

interface Kept {
  readonly firewall: Firewall
  readonly signatures: string
}

/** Compiled programs over reloads: a change of another part of the configuration must not cost a second of standstill. */
const kept = new Map<string, Kept>()
const keptMax = 8
/** What is being made now: 1,000 operations that say the same wait for one. */
const making = new Map<string, Promise<Firewall>>()

/** The program for a choice, made once while its files stay as they are. Throws `ConfigError` for rules that cannot be used. */
export async function firewallFor(choice: FirewallChoice, log: Logger): Promise<Firewall> {
  const key = JSON.stringify(choice)
  const before = kept.get(key)
  if (before !== undefined) {
    kept.delete(key)
    if (signaturesOf(before.firewall.files) === before.signatures) {
      kept.set(key, before)
      return before.firewall
    }
  }
  let made = making.get(key)
  if (made === undefined) {
    made = make(choice, log).finally(() => making.delete(key))
    making.set(key, made)
    const firewall = await made
    kept.set(key, { firewall, signatures: signaturesOf(firewall.files) })
    for (const oldest of kept.keys()) {
      if (kept.size <= keptMax) break
      kept.delete(oldest)
    }
  }
  return made
}

/** Whether files are what they were, without reading them. */
function signaturesOf(files: readonly string[]): string {
  return files
    .map((file) => {
      const stat = statSync(file, { throwIfNoEntry: false })
      return `${file} ${stat?.mtimeMs} ${stat?.size} ${stat?.ino}`
    })
    .join('\n')
}

/** More than the gate ever reads of a body. */
const bodyBytesMax = 1024 ** 3

async function make(choice: FirewallChoice, log: Logger): Promise<Firewall> {
  const { variables, maxValues, onBudget, evaluator, ...rules } = choice
  const loaded = await loadRuleSources(rules)
  const parsed = parse(loaded)
  const { settings, warnings } = parsed
  for (const { place, message } of warnings.slice(0, 10)) {
    log.warn(`A firewall rule has no effect: ${message}.`, { file: place.file, line: place.line })
  }
  const ruleSet: RuleSet = {
    ...parsed,
    settings: {
      ...settings,
      argumentsMax: maxValues,
      // How much is read is the guard's to say, for each operation.
      requestBodyBytesMax: bodyBytesMax,
      requestBodyLimitAction: 'Reject',
      responseBodyBytesMax: bodyBytesMax,
      responseBodyLimitAction: 'ProcessPartial',
    },
  }
  const program = compile(ruleSet, {
    injection: injectionDetector(log),
    evaluator,
    variables,
    // Headers and cookies count as well, and are bounded by the listener.
    budget: { valuesMax: maxValues + 5_000 },
    onBudget,
    now: Date.now,
  })
  return { program, rules: `${rules.rules === 'own' ? 'own' : 'OWASP CRS'} ${loaded.version}`, files: loaded.files }
}

function parse(loaded: LoadedRules): RuleSet {
  try {
    return parseRules(loaded.sources, { readData: loaded.readData })
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    throw new ConfigErrors(
      error.problems.map(({ place, length, message, hint }) => {
        return new ConfigError('P1520', message, {
          place: { ...place, length },
          ...(hint !== undefined && { hint }),
          cause: error,
        })
      }),
    )
  }
}

function compile(ruleSet: RuleSet, options: Parameters<typeof compileProgram>[1]): Program {
  try {
    return compileProgram(ruleSet, options)
  } catch (error) {
    if (!(error instanceof Error)) throw error
    throw new ConfigError('P1520', `the firewall rules cannot be compiled: ${error.message}`, { cause: error })
  }
}

let detector: InjectionDetector | undefined

/** libinjection; where its binary does not run, the rules that ask for it find nothing, which is said at every load. */
function injectionDetector(log: Logger): InjectionDetector {
  try {
    detector ??= createInjectionDetector()
    return detector
  } catch (error) {
    if (!(error instanceof InjectionUnavailable)) throw error
    log.warn('Rules with @detectSQLi and @detectXSS find nothing: libinjection does not run here.', {
      reason: error.message,
    })
    return blind
  }
}

const blind: InjectionDetector = {
  sqli: (values) => values.map(() => undefined),
  xss: (values) => values.map(() => false),
  both: (sqli, xss) => ({ sqli: sqli.map(() => undefined), xss: xss.map(() => false) }),
}

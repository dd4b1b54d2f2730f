import { readdirSync, readFileSync } from 'node:fs'
import {
  type Marker,
  type ParseOptions,
  type Phase,
  parseRules,
  type Rule,
  RuleError,
  type RuleSet,
  type Source,
} from '../../src/waf/seclang/index.ts'
import { sharedPath } from './shared.ts'

export const phases: readonly Phase[] = [1, 2, 3, 4, 5]

export function parse(text: string, options: ParseOptions = {}): RuleSet {
  return parseRules([{ name: 'rules/own.conf', text }], options)
}

/** All rules, phase after phase. */
export function rulesOf(set: RuleSet): Rule[] {
  return phases.flatMap((phase) => set.phases[phase].filter((item): item is Rule => item.kind === 'rule'))
}

export function ruleOf(text: string, options: ParseOptions = {}): Rule {
  const rules = rulesOf(parse(text, options))
  if (rules.length !== 1) throw new Error(`expected one rule, found ${rules.length}`)
  return rules[0]!
}

export function errorOf(text: string, options: ParseOptions = {}): RuleError {
  try {
    parse(text, options)
  } catch (error) {
    if (error instanceof RuleError) return error
    throw error
  }
  throw new Error('expected a RuleError, but the rules were read')
}

/** In words: `id 1` or `marker END`, as they run. */
export function orderOf(set: RuleSet, phase: Phase): string[] {
  return set.phases[phase].map((item: Rule | Marker) =>
    item.kind === 'rule' ? `id ${item.id}` : `marker ${item.name}`,
  )
}

/** The Core Rule Set as its users load it: setup first, then its files by name. `undefined` where it is not there. */
export function crsSources(): Source[] | undefined {
  const path = sharedPath('crs')
  if (path === undefined) return undefined
  const files = readdirSync(`${path}/rules`)
    .filter((name) => name.endsWith('.conf'))
    .sort()
    .map((name) => `${path}/rules/${name}`)
  return [`${path}/crs-setup.conf.example`, ...files].map((name) => ({ name, text: readData(name) }))
}

export function readData(file: string): string {
  return readFileSync(file, 'latin1')
}

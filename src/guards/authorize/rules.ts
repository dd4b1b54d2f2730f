import { ConfigError } from '../../base/errors.ts'
import { labelOf, placeWithin } from '../../config/complaints.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Host } from '../../gate/guard.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import type { ApiDocument, Operation } from '../../openapi/operation.ts'
import { compileRule, type Failure, type Rule, RuleError, type RuleScope } from '../../rules/index.ts'
import { meetsStepUp, type StepUpNeeds, stepUpDenial } from '../auth/step-up.ts'
import { pathNamesOf, readsBody, readsCaller } from '../rule-scope.ts'
import { callers } from './callers.ts'
import type { Right } from './contract.ts'
import type { RuleEntry } from './options.ts'

/** A rule of `authorize.rules`, read and compiled. It serves all operations that it matches. */
export interface PreparedRule {
  readonly entry: RuleEntry
  /** `authorize.rules[2]`. */
  readonly at: string
  readonly when: Rule<Exchange> | undefined
  /** Whether a request is excused. Never throws. */
  readonly exempt: ((exchange: Exchange) => boolean) | undefined
  readonly needs: StepUpNeeds | undefined
  readonly readsBody: boolean
  readonly readsCaller: boolean
  /** Parameters of paths that it asks for. */
  readonly pathNames: readonly string[]
}

/** Reads a rule. Throws `ConfigError` where it cannot be meant. */
export function prepareRule(entry: RuleEntry, index: number, scope: RuleScope<Exchange>, host: Host): PreparedRule {
  const at = `authorize.rules[${index}]`
  const compile = (source: string, key: string) => condition(source, ['authorize', 'rules', index, key], scope, host)
  const when = entry.when === undefined ? undefined : compile(entry.when, 'when')
  const { exempt, uses: exemptUses } = exemption(entry, `${at}.unless`, compile)
  const uses = [...(when?.uses ?? []), ...exemptUses]
  const { stepUp } = entry
  return {
    entry,
    at,
    when,
    exempt,
    needs:
      stepUp === undefined
        ? undefined
        : {
            ...(stepUp.acr === undefined ? {} : { acr: stepUp.acr }),
            ...(stepUp.maxAge === undefined ? {} : { maxAgeSeconds: Math.floor(stepUp.maxAge / 1000) }),
          },
    readsBody: readsBody(uses),
    readsCaller: readsCaller(uses) || entry.stepUp !== undefined || exempt !== undefined,
    pathNames: uses.filter((name) => name.startsWith('path.')).map((name) => name.slice('path.'.length)),
  }
}

function condition(
  source: string,
  path: readonly (string | number)[],
  scope: RuleScope<Exchange>,
  { api, placeOf }: Host,
): Rule<Exchange> {
  try {
    return compileRule(source, scope)
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    const { message, hint, offset, length } = error
    const whole = placeOf?.(path, source)
    const place = whole === undefined ? undefined : (placeWithin(whole, source, offset, length) ?? whole)
    throw new ConfigError('P1409', `apis.${api}.${labelOf(path)}: ${message}`, {
      ...(hint === undefined ? {} : { hint }),
      ...(place === undefined ? {} : { place }),
    })
  }
}

function exemption(
  { unless }: RuleEntry,
  at: string,
  compile: (source: string, key: string) => Rule<Exchange>,
): { readonly exempt: PreparedRule['exempt']; readonly uses: Iterable<string> } {
  if (unless === undefined) return { exempt: undefined, uses: [] }
  if ('condition' in unless) {
    const { judge, uses } = compile(unless.condition, 'unless')
    return { exempt: (exchange) => judge(exchange) === true, uses }
  }
  const listed = callers(unless.callers, at)
  return { exempt: ({ principal }) => principal !== undefined && listed(principal), uses: [] }
}

/** A rule that asks for a parameter which none of its operations has would refuse everybody: that is a slip of the pen. */
export function checkPathNames(rules: readonly PreparedRule[], { operations }: ApiDocument): void {
  for (const { entry, at, pathNames } of rules) {
    const selected = operations.filter((operation) => entry.match.selects(operation))
    if (selected.length === 0) continue
    const known = new Set(selected.flatMap(pathNamesOf))
    const missing = pathNames.find((name) => !known.has(name))
    if (missing === undefined) continue
    const hint = known.size === 0 ? 'their paths have none' : `known: ${[...known].join(', ')}`
    throw new ConfigError(
      'P1409',
      `${at}: no operation that matches "${entry.match.text}" has a path parameter "${missing}"`,
      { hint },
    )
  }
}

/** What the rules that match an operation make of a request, in the order in which they speak: who must not, then who may. */
export function ruleRights(rules: readonly PreparedRule[], operation: Operation): readonly Right[] {
  const ofEffect = (effect: RuleEntry['effect']) => rules.filter(({ entry }) => entry.effect === effect)
  const isObserved = ({ entry }: PreparedRule) => entry.mode === 'observe'
  const allow = ofEffect('allow')
  const enforced = allow.filter((rule) => !isObserved(rule))
  return [
    ...ofEffect('deny').map(denyRight),
    ...ofEffect('require')
      .filter(({ when, needs }) => when !== undefined || needs !== undefined)
      .map((rule) => requireRight(rule, operation)),
    ...(enforced.length > 0 ? [allowRight(enforced, false)] : []),
    ...(enforced.length === 0 && allow.length > 0 ? [allowRight(allow, true)] : []),
  ]
}

const detail = 'A condition for this operation does not hold.'

/** Makes the refusal for a failure once; most are constants of their rule. */
function refusals({ entry, at }: PreparedRule): (failure: Failure) => Denial {
  const made = new WeakMap<Failure, Denial>()
  return (failure) => {
    const known = made.get(failure)
    if (known !== undefined) return known
    const refusal = denial(403, 'authorize.rule', detail, { evidence: evidenceOf(entry, at, failure) })
    made.set(failure, refusal)
    return refusal
  }
}

function evidenceOf({ name, match, effect }: RuleEntry, rule: string, failure: Failure | undefined) {
  return {
    rule,
    ...(name === undefined ? {} : { name }),
    match: match.text,
    ...(effect === 'require' ? {} : { effect }),
    ...(failure === undefined ? {} : { failed: failure.failed, test: failure.test }),
    ...(failure?.missing === true ? { because: 'missing' } : {}),
  }
}

function rightOf(rule: PreparedRule, judge: Right['judge']): Right {
  return { names: [nameOf(rule)], judge, readsBody: rule.readsBody, observed: rule.entry.mode === 'observe' }
}

/** How the decision log calls a rule: `authorize.rules[2] office hours`. */
export function nameOf({ entry, at }: PreparedRule): string {
  return entry.name === undefined ? at : `${at} ${entry.name}`
}

/** Refuses unless its condition is known not to hold. */
function denyRight(rule: PreparedRule): Right {
  const { when, exempt, entry, at } = rule
  const refused = denial(403, 'authorize.rule', detail, {
    evidence: {
      ...evidenceOf(entry, at, undefined),
      ...(when === undefined ? {} : { failed: [...when.uses].join(', '), test: when.source }),
    },
  })
  const refuse = refusals(rule)
  return rightOf(rule, (exchange, unknown) => {
    const said = when === undefined ? true : when.judge(exchange)
    if (said === false || exempt?.(exchange) === true) return undefined
    if (exchange.principal === undefined && rule.readsCaller) return unknown
    const [failure] = said === undefined ? when!.failures(exchange) : []
    return failure === undefined ? refused : refuse(failure)
  })
}

/** Lets pass only what its condition holds for. */
function requireRight(rule: PreparedRule, operation: Operation): Right {
  const { when, exempt, needs, at, entry } = rule
  const refuse = refusals(rule)
  const stepUps = new Map<string, Denial>()
  return rightOf(rule, (exchange, unknown) => {
    const { principal, receivedAt } = exchange
    const holds = when === undefined || when.judge(exchange) === true
    const isSignedIn = needs === undefined || (principal !== undefined && meetsStepUp(principal, needs, receivedAt))
    if ((holds && isSignedIn) || exempt?.(exchange) === true) return undefined
    if (principal === undefined && rule.readsCaller) return unknown
    const failures = holds ? [] : when.failures(exchange)
    // A new sign-in is asked for only where nothing else is in the way.
    const hard = failures.find((failure) => needsOf(failure) === undefined)
    if (hard !== undefined) return refuse(hard)
    return stepUp(failures, isSignedIn ? undefined : needs)
  })

  function stepUp(failures: readonly Failure[], more: StepUpNeeds | undefined): Denial {
    const all = [...failures.map((failure) => needsOf(failure)!), ...(more === undefined ? [] : [more])]
    const acrs = all.flatMap(({ acr }) => (acr === undefined ? [] : [acr]))
    const ages = all.flatMap(({ maxAgeSeconds }) => (maxAgeSeconds === undefined ? [] : [maxAgeSeconds]))
    const wanted: StepUpNeeds = {
      ...(acrs.length === 0 ? {} : { acr: acrs.reduce((a, b) => a.filter((one) => b.includes(one))) }),
      ...(ages.length === 0 ? {} : { maxAgeSeconds: Math.min(...ages) }),
    }
    const key = JSON.stringify(wanted)
    const known = stepUps.get(key)
    if (known !== undefined) return known
    const failed = [
      ...new Set([...(acrs.length > 0 ? ['claims.acr'] : []), ...(ages.length > 0 ? ['claims.auth_time'] : [])]),
    ]
    const evidence = { ...evidenceOf(entry, at, undefined), failed: failed.join(', '), ...wanted }
    const refusal = stepUpDenial(operation, wanted, evidence)
    stepUps.set(key, refusal)
    return refusal
  }
}

/** What of a sign-in would mend a failure; `undefined` where none would. */
function needsOf({ wants }: Failure): StepUpNeeds | undefined {
  if (wants?.kind === 'one-of' && wants.name === 'claims.acr') return { acr: wants.values }
  if (wants?.kind === 'younger-than' && wants.name === 'claims.auth_time') {
    return { maxAgeSeconds: Math.max(0, Math.floor(wants.ms / 1000)) }
  }
  return undefined
}

/** Lets pass what one of several conditions holds for. */
function allowRight(rules: readonly PreparedRule[], observed: boolean): Right {
  const refuse = refusals(rules[0]!)
  const asksCaller = rules.some((rule) => rule.readsCaller)
  const several = new Map<string, Denial>()
  return {
    names: rules.map(nameOf),
    readsBody: rules.some((rule) => rule.readsBody),
    observed,
    judge: (exchange, unknown) => {
      for (let i = 0; i < rules.length; i++) if (rules[i]!.when!.judge(exchange) === true) return undefined
      if (exchange.principal === undefined && asksCaller) return unknown
      const failures = rules.map(({ when }) => when!.failures(exchange)[0])
      if (failures.length === 1 && failures[0] !== undefined) return refuse(failures[0])
      const failed = failures.map((failure) => failure?.failed ?? '?').join(' or ')
      const known = several.get(failed)
      if (known !== undefined) return known
      const evidence = { rule: rules.map(nameOf).join(' or '), effect: 'allow', failed }
      const refusal = denial(403, 'authorize.rule', detail, { evidence })
      if (several.size < 1_000) several.set(failed, refusal)
      return refusal
    },
  }
}

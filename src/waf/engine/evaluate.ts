import { lowerCase } from '../seclang/known.ts'
import { type Member, member, noMembers } from './member.ts'
import type { CompiledCondition, CompiledRule, CompiledSet } from './program.ts'
import type { Interruption, Match } from './request.ts'
import type { State } from './state.ts'
import type { CompiledTarget, Selection } from './target.ts'
import { tick } from './time.ts'
import { captureSlots } from './tx.ts'
import { labelOf } from './variables.ts'

/** Begins a rule: MATCHED_VARS are those of its own members. */
export function beginRule(state: State, rule: CompiledRule): void {
  state.rule = rule
  state.matchedBefore = noMembers
  state.matchedNow = undefined
  state.captured = undefined
  state.keptOfRule = 0
}

/**
 * Gives the members that a condition must look at. All that the target means, or fewer: without those that are proved not to
 * match, in the same order.
 */
export type Select = (
  state: State,
  condition: CompiledCondition,
  target: CompiledTarget,
  excluded: readonly Selection[] | undefined,
) => readonly Member[]

/** Tests a rule. What its members do when they match is done; what the rule does is up to `finishRule`. */
export function evaluateRule(state: State, rule: CompiledRule, select: Select): boolean {
  beginRule(state, rule)
  state.asked.evaluated?.(rule.rule)
  for (const condition of rule.conditions) {
    if (!evaluateCondition(state, rule, condition, select)) return false
    endCondition(state)
  }
  return true
}

/**
 * What the members of a chain have matched so far is MATCHED_VARS to the next one: those of the first, too, and a value that
 * two of them matched twice. So do ModSecurity 2 and 3 and Coraza; the scores of rule 932200 tell.
 */
export function endCondition(state: State): void {
  const { matchedBefore, matchedNow } = state
  if (matchedNow === undefined) return
  state.matchedBefore = matchedBefore.length === 0 ? matchedNow : [...matchedBefore, ...matchedNow]
  state.matchedNow = undefined
}

/** Tests a condition on each value that it looks at. */
export function evaluateCondition(
  state: State,
  rule: CompiledRule,
  condition: CompiledCondition,
  select: Select,
): boolean {
  if (condition.targets.length === 0) {
    // A SecAction looks at nothing and always matches.
    act(state, condition)
    if (rule.conditions.length === 1) keep(state, rule, '', '')
    return true
  }
  const excluded = state.exclusions?.[rule.index]
  let matched = false
  for (const target of condition.targets) {
    let matchedTarget = false
    for (const one of select(state, condition, target, excluded)) {
      if (one.whole && matchedTarget) continue
      if (testMember(state, rule, condition, target, one)) matchedTarget = true
    }
    if (matchedTarget) matched = true
  }
  return matched
}

/** Tests one value; where it matches, captures, setvar and ctl run and the match is kept. */
export function testMember(
  state: State,
  rule: CompiledRule,
  condition: CompiledCondition,
  target: CompiledTarget,
  one: Member,
): boolean {
  tick(state)
  const { transformations } = condition
  let { value } = one
  if (!condition.multiMatch) {
    for (const transformation of transformations) value = transformation.apply(value)
    return testValue(state, rule, condition, target, one, value)
  }
  // A stage that changes nothing is the stage before: testing it again would count a match twice.
  let matched = testValue(state, rule, condition, target, one, value)
  for (const transformation of transformations) {
    const changed = transformation.apply(value)
    if (changed === value) continue
    value = changed
    if (testValue(state, rule, condition, target, one, value)) matched = true
  }
  return matched
}

/** Tests a value that has been transformed already. */
export function testValue(
  state: State,
  rule: CompiledRule,
  condition: CompiledCondition,
  target: CompiledTarget,
  one: Member,
  value: string,
): boolean {
  const operator = condition.operator ?? condition.operatorFor(state)
  const matched = operator.test(value) !== condition.negated
  if (state.asked.trace !== undefined) {
    state.asked.trace(rule.rule, condition.condition, targetLabel(target, one), value, matched)
  }
  if (!matched) return false
  const captures = condition.capture && !condition.negated ? operator.captures?.(value) : undefined
  onMatch(state, rule, condition, target, one, value, captures)
  return true
}

/** All that a match of one value sets off. `captures` are TX.0 to TX.9, for a condition that captures. */
export function onMatch(
  state: State,
  rule: CompiledRule,
  condition: CompiledCondition,
  target: CompiledTarget,
  one: Member,
  value: string,
  captures: readonly (string | undefined)[] | undefined,
): void {
  const label = targetLabel(target, one)
  if (captures !== undefined) {
    // Those of an earlier rule must not be taken for this one's.
    for (let i = 0; i < captureSlots; i++) state.tx.values[i] = captures[i]
    state.captured = captures[0]
  }
  state.matchedValue = value
  state.matchedName = label
  const matched = member(label, value)
  if (state.matchedNow === undefined) state.matchedNow = [matched]
  else state.matchedNow.push(matched)
  act(state, condition)
  if (rule.conditions.length === 1) keep(state, rule, label, value)
}

function targetLabel(target: CompiledTarget, one: Member): string {
  return target.count ? target.countLabel : labelOf(target.variable, one)
}

/** What a condition does each time it matches, in a chain even if a later member does not match. */
function act(state: State, { setVariables, controls }: CompiledCondition): void {
  for (const set of setVariables) setVariable(state, set)
  for (const control of controls) control(state)
}

/** Longer values grow no further: `setvar:tx.a=%{tx.a}%{tx.a}` doubles with each match. */
const valueBytesMax = 65_536

function setVariable(state: State, { set, slot, name, value }: CompiledSet): void {
  const { collection, operation } = set
  if (slot >= 0) {
    const { values } = state.tx
    values[slot] = changed(values[slot], operation, operation === 'unset' ? '' : value.expand(state))
    return
  }
  const key = lowerCase(name.expand(state))
  if (key === '') return
  const text = operation === 'unset' ? '' : value.expand(state)
  if (collection === 'TX') {
    state.tx.set(key, changed(state.tx.get(key), operation, text))
    return
  }
  let store = state.stores.get(collection)
  if (store === undefined) {
    store = new Map()
    state.stores.set(collection, store)
  }
  const next = changed(store.get(key), operation, text)
  if (next === undefined) store.delete(key)
  else store.set(key, next)
}

function changed(
  before: string | undefined,
  operation: CompiledSet['set']['operation'],
  text: string,
): string | undefined {
  switch (operation) {
    case 'unset':
      return undefined
    case 'set':
      return text.length > valueBytesMax ? text.slice(0, valueBytesMax) : text
    case 'add':
      return String(numberOf(before) + numberOf(text))
    case 'subtract':
      return String(numberOf(before) - numberOf(text))
  }
}

/** As C's `atoi`: what is missing or no number counts as 0. */
function numberOf(text: string | undefined): number {
  const number = Number.parseInt(text ?? '', 10)
  return Number.isSafeInteger(number) ? number : 0
}

/** Matches kept of one rule, and of one transaction: who sends a thousand values that match needs no thousand lines. */
const matchesOfRuleMax = 10
const matchesMax = 1_000

function keep(state: State, rule: CompiledRule, variable: string, value: string): void {
  if (!rule.rule.log || state.keptOfRule >= matchesOfRuleMax || state.matches.length >= matchesMax) return
  state.keptOfRule++
  const { tags, severity } = rule.rule
  const match: Match = {
    rule: rule.rule,
    message: rule.message.expand(state),
    data: rule.logData.expand(state),
    variable,
    value,
    captured: state.captured,
    tags,
    severity,
  }
  state.matches.push(match)
}

/** What a rule does once all of it has matched. Tells where in its phase to go on. */
export function finishRule(state: State, compiled: CompiledRule): number {
  const { rule, conditions, initCollections } = compiled
  if (conditions.length > 1) keep(state, compiled, state.matchedName, state.matchedValue)
  for (const { collection, key } of initCollections) initCollection(state, collection, key.expand(state))
  if (rule.severity !== undefined && rule.severity < state.highestSeverity) state.highestSeverity = rule.severity
  if (rule.disruption !== 'pass') disrupt(state, compiled)
  // `ctl:ruleEngine=Off` of this very rule.
  if (state.engine === 'Off') state.stopped = true
  return compiled.next
}

function disrupt(state: State, { rule, redirect }: CompiledRule): void {
  const { disruption } = rule
  if (disruption === 'allow' || disruption === 'allow:phase' || disruption === 'allow:request') {
    // Where nothing is blocked, nothing is let through early: all of it is to be seen.
    if (state.engine !== 'On') return
    state.stopped = true
    if (disruption === 'allow') state.allowed = 'all'
    else if (disruption === 'allow:request') state.allowed = 'request'
    return
  }
  if (disruption === 'pass') return
  const interruption: Interruption = {
    ruleId: rule.id,
    action: disruption,
    status: rule.status,
    ...(redirect && { redirect: redirect.expand(state) }),
  }
  interrupt(state, interruption)
}

/** Ends the request, or notes that it would have been ended. The logging phase cannot end what is over. */
export function interrupt(state: State, interruption: Interruption): void {
  if (state.engine === 'On' && state.phase !== 5) {
    state.interruption ??= interruption
    state.stopped = true
  } else if (state.phase !== 5) state.detected ??= interruption
}

function initCollection(state: State, collection: string, key: string): void {
  if (key === '' || state.storeKeys.has(collection)) return
  state.storeKeys.set(collection, key)
  const kept = state.program.store?.load(collection, key)
  const before = state.stores.get(collection)
  state.stores.set(collection, new Map([...(kept ?? []), ...(before ?? [])]))
}

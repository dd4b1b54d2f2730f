import { compilePattern, type Pattern } from '../regex/index.ts'
import type { Target } from '../seclang/rule.ts'
import { keyOf, type Member, member, noMembers } from './member.ts'
import type { State } from './state.ts'
import { slotOf, type TxLayout } from './tx.ts'
import { membersOf, txId, type VariableId, variableId } from './variables.ts'

/** Which members of a variable: all where both are undefined. */
export interface Selection {
  readonly variable: VariableId
  /** Lower-case name of the one that is meant. */
  readonly key: string | undefined
  readonly pattern: Pattern | undefined
}

/** A target as it is looked up: no names are compared that need not be. */
export interface CompiledTarget extends Selection {
  /** Upper-case name of the variable. */
  readonly name: string
  /** Place in TX, for a target that names one member of it; else -1. */
  readonly slot: number
  /** For a pattern over TX: which of the places it finds, among the first `upTo`. */
  readonly slotsFound: { upTo: number; slots: readonly number[] }
  /** How many there are, in place of their values. */
  readonly count: boolean
  /** How a count is called in events: `&ARGS`. */
  readonly countLabel: string
  /** Members of this variable that the rule leaves out. */
  readonly exclusions: readonly Selection[]
  /** Whether it looks at values, too, that a document proves harmless. */
  readonly seesProved: boolean
}

/** An unknown variable is `undefined`: the linker knows the same ones, so this is for rules put together by hand. */
export function compileSelection({ variable, selector }: Target): Selection | undefined {
  const id = variableId(variable)
  if (id === undefined) return undefined
  if (selector === undefined) return { variable: id, key: undefined, pattern: undefined }
  if (selector.kind === 'pattern') {
    return { variable: id, key: undefined, pattern: compilePattern(selector.source, { ignoreCase: true }) }
  }
  return { variable: id, key: variable === 'XML' ? xmlKey(selector.name) : selector.name, pattern: undefined }
}

export function compileTarget(
  target: Target,
  exclusions: readonly Target[],
  negated: boolean,
  layout: TxLayout,
): CompiledTarget | undefined {
  const selection = compileSelection(target)
  if (selection === undefined) return undefined
  const { selector, count } = target
  const named = selector === undefined ? '' : `:${selector.kind === 'name' ? selector.name : `/${selector.source}/`}`
  return {
    ...selection,
    name: target.variable,
    slot: selection.variable === txId && selection.key !== undefined ? slotOf(layout, selection.key) : -1,
    slotsFound: { upTo: 0, slots: [] },
    count,
    countLabel: `&${target.variable}${named}`,
    exclusions: exclusions.flatMap((exclusion) => {
      const compiled = exclusion.variable === target.variable ? compileSelection(exclusion) : undefined
      return compiled === undefined ? [] : [compiled]
    }),
    // A value that can carry no attack can still be missing, too many or unlike what a rule asks for.
    seesProved: negated || count || selector !== undefined,
  }
}

/** XPath is looked at in two forms; whatever else is asked for means all text, or all attributes: never less. */
function xmlKey(expression: string): string {
  if (expression === '/doctype') return expression
  return /@[^/]*$/.test(expression) ? '//@*' : '/*'
}

/** The members that a target of a rule means in this transaction, without those left out by the rule or by `excluded`. */
export function selectMembers(
  state: State,
  target: CompiledTarget,
  excluded: readonly Selection[] | undefined,
): readonly Member[] {
  const selected = withoutExcluded(chosen(state, target), target, excluded)
  return target.count ? [member('', String(selected.length))] : selected
}

/** Members of TX whose names a pattern finds. Names that rules write out are looked through once, not for each request. */
function patternMembers({ tx }: State, target: CompiledTarget): readonly Member[] {
  const { names } = tx.layout
  if (target.slotsFound.upTo !== names.length) {
    target.slotsFound.upTo = names.length
    target.slotsFound.slots = names.flatMap((name, slot) => (target.pattern!.test(name) ? slot : []))
  }
  const members: Member[] = []
  for (const slot of target.slotsFound.slots) {
    const value = tx.values[slot]
    if (value !== undefined) members.push(member(names[slot]!, value))
  }
  for (const one of tx.otherMembers()) if (target.pattern!.test(one.name)) members.push(one)
  return members
}

function slotMembers(state: State, { slot, key }: CompiledTarget): readonly Member[] {
  const value = state.tx.values[slot]
  return value === undefined ? noMembers : [member(key!, value)]
}

function chosen(state: State, target: CompiledTarget): readonly Member[] {
  if (target.slot >= 0) return slotMembers(state, target)
  if (target.variable === txId && target.pattern !== undefined) return patternMembers(state, target)
  const members = membersOf(state, target.variable)
  if (target.key !== undefined || target.pattern !== undefined) return members.filter((one) => isSelected(one, target))
  return target.seesProved || !members.some(({ proved }) => proved) ? members : members.filter(({ proved }) => !proved)
}

function withoutExcluded(
  members: readonly Member[],
  target: CompiledTarget,
  excluded: readonly Selection[] | undefined,
): readonly Member[] {
  if (members.length === 0 || (target.exclusions.length === 0 && excluded === undefined)) return members
  return members.filter((one) => {
    if (target.exclusions.some((exclusion) => isSelected(one, exclusion))) return false
    return excluded === undefined || !isExcluded(one, target.variable, excluded)
  })
}

/** Whether a member of a variable is among those that were taken out for this transaction or program. */
export function isExcluded(one: Member, variable: VariableId, excluded: readonly Selection[]): boolean {
  for (const exclusion of excluded) if (exclusion.variable === variable && isSelected(one, exclusion)) return true
  return false
}

/** Whether a member is one that a selection means. Both must be of the same variable. */
export function isSelected(one: Member, { key, pattern }: Selection): boolean {
  if (key !== undefined) return keyOf(one) === key
  return pattern === undefined || pattern.test(one.name)
}

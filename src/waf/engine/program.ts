import type { ShapeNode } from '../body/index.ts'
import { type BodyLimits, bodyLimits } from '../body/values.ts'
import type { InjectionDetector } from '../injection/index.ts'
import { compileOperator, type Operator } from '../operators/index.ts'
import { type Budget, createBudget } from '../regex/index.ts'
import type {
  Condition,
  Marker,
  OperatorUse,
  Phase,
  Rule,
  RuleSet,
  Settings,
  SetVariable,
  Target,
} from '../seclang/rule.ts'
import { createTransformations, type Transformation } from '../transform/index.ts'
import { addSelections, type CompiledControl, compileControl, type Exclusion, rulesMeant } from './controls.ts'
import { createFastEvaluator } from './fast.ts'
import { compileMacro, type Macro } from './macros.ts'
import { runPlain } from './plain.ts'
import type { BeginOptions, RequestHead } from './request.ts'
import type { State } from './state.ts'
import { type CompiledTarget, compileSelection, compileTarget, type Selection } from './target.ts'
import { createTransaction, type Transaction } from './transaction.ts'
import { createBase, createLayout, slotOf, type TxBase, type TxLayout } from './tx.ts'

/** Runs the rules of one phase over a transaction. All evaluators give the same matches in the same order. */
export type Evaluator = (state: State, phase: Phase) => void

/** What the rules of one request may cost. Exceeding any of them is an event, with the answer that `onBudget` states. */
export interface BudgetOptions {
  /** Bytes and places of patterns that matching looks at. */
  readonly stepsMax: number
  /** New states of automata. Without any left matching goes on, more slowly. */
  readonly statesMax: number
  /** Arguments, headers and cookies. */
  readonly valuesMax: number
  /** Of the request's target, headers and body. */
  readonly bytesMax: number
  /** In all phases together; needs `now`. */
  readonly millisecondsMax: number
}

export const defaultBudget: BudgetOptions = {
  stepsMax: 500_000_000,
  statesMax: 20_000,
  valuesMax: 20_000,
  bytesMax: 16 * 1024 * 1024,
  millisecondsMax: 2_000,
}

export interface ProgramOptions {
  readonly injection: InjectionDetector
  /** `plain` runs each rule on each value. */
  readonly evaluator?: 'fast' | 'plain'
  /** What TX holds before the first rule, lower-case names: `blocking_paranoia_level`. Rules that ask first keep it. */
  readonly variables?: Readonly<Record<string, string>>
  readonly budget?: Partial<BudgetOptions>
  /** What becomes of a request that the budget does not suffice for: refused (default), or passed on unlooked at. */
  readonly onBudget?: 'block' | 'pass'
  /** Milliseconds since 1970. Without it no time is measured. */
  readonly now?: () => number
  /** Keeps IP, GLOBAL, SESSION, USER and RESOURCE beyond a transaction. Without it they live as long as one. */
  readonly store?: CollectionStore
}

/** Where persistent collections live. Called while a request waits: it must answer at once. */
export interface CollectionStore {
  readonly load: (collection: string, key: string) => ReadonlyMap<string, string> | undefined
  readonly save: (collection: string, key: string, values: ReadonlyMap<string, string>) => void
}

/** What makes a program of another: the same compiled rules with other beginnings. */
export interface Refinement {
  /** Laid over the initial TX. */
  readonly variables?: Readonly<Record<string, string>>
  /** Rules taken out, or with `targets` only what they look at. */
  readonly exclusions?: readonly (Exclusion & { readonly targets?: readonly Target[] })[]
  /** Which values a document proves harmless. */
  readonly shape?: RequestShape
  /** In place of what SecRuleEngine says. */
  readonly engine?: Settings['engine']
  /** In place of what SecRequestBodyNoFilesLimit says. */
  readonly requestBodyNoFilesBytesMax?: number
}

/** Whether a value, as bytes, cannot carry an attack. */
export type ValueCheck = (value: string) => boolean

/** Values of a request that rules which look at a whole collection need not see, and names: what stands here is no sender's invention. */
export interface RequestShape {
  /** By exact name, decoded. */
  readonly query?: ReadonlyMap<string, ValueCheck>
  readonly form?: ReadonlyMap<string, ValueCheck>
  /** By lower-case name. */
  readonly headers?: ReadonlyMap<string, ValueCheck>
  readonly cookies?: ReadonlyMap<string, ValueCheck>
  readonly json?: ShapeNode
}

/** Rules ready to run. Immutable; any number of transactions may use it at once. */
export interface Program {
  readonly settings: Settings
  /** All rules, by index. */
  readonly rules: readonly CompiledRule[]
  /** In running order; markers are gone. */
  readonly phases: Readonly<Record<Phase, readonly CompiledRule[]>>
  readonly layout: TxLayout
  readonly base: TxBase
  readonly removed: Uint8Array | undefined
  readonly exclusions: (readonly Selection[] | undefined)[] | undefined
  readonly shape: RequestShape | undefined
  readonly bodyLimits: BodyLimits
  readonly injection: InjectionDetector
  readonly budget: BudgetOptions
  /** What operators of all rules draw on; filled anew for each transaction. */
  readonly matching: Budget
  readonly onBudget: 'block' | 'pass'
  readonly now: (() => number) | undefined
  readonly store: CollectionStore | undefined
  readonly evaluator: Evaluator
  /** Cheap: what is compiled is shared. */
  readonly refine: (refinement: Refinement) => Program
  readonly begin: (head: RequestHead, options?: BeginOptions) => Transaction
}

export interface CompiledRule {
  /** Unlike ids, these are without gaps. */
  readonly index: number
  readonly rule: Rule
  readonly phase: Phase
  readonly conditions: readonly CompiledCondition[]
  readonly message: Macro
  readonly logData: Macro
  readonly redirect: Macro | undefined
  readonly initCollections: readonly { readonly collection: string; readonly key: Macro }[]
  /** Index in its phase where it goes on after a match. */
  readonly next: number
}

export interface CompiledCondition {
  readonly condition: Condition
  readonly targets: readonly CompiledTarget[]
  /** `undefined`: its argument holds macros, and `operatorFor` gives it for a transaction. */
  readonly operator: Operator | undefined
  readonly operatorFor: (state: State) => Operator
  /** What stands between the operator's name and its end, macros as written. */
  readonly argument: Macro
  readonly negated: boolean
  readonly transformations: readonly Transformation[]
  readonly multiMatch: boolean
  readonly capture: boolean
  readonly setVariables: readonly CompiledSet[]
  readonly controls: readonly CompiledControl[]
}

export interface CompiledSet {
  readonly set: SetVariable
  /** Place in TX, where the name holds no macro; else -1. */
  readonly slot: number
  readonly name: Macro
  readonly value: Macro
}

/** Compiles linked rules. Throws what the compilers of patterns and operators throw: a mistake is told at load. */
export function compileProgram(rules: RuleSet, options: ProgramOptions): Program {
  const layout = createLayout()
  const matching = createBudget({ steps: Number.POSITIVE_INFINITY, states: Number.POSITIVE_INFINITY })
  const phases = { 1: rules.phases[1], 2: rules.phases[2], 3: rules.phases[3], 4: rules.phases[4], 5: rules.phases[5] }
  const all = Object.values(phases).flatMap((phase) => phase.filter((one) => one.kind === 'rule'))
  const context: Context = {
    layout,
    all,
    transformations: createTransformations({ unicodeMap: rules.settings.unicodeMap }),
    injection: options.injection,
    matching,
  }
  const compiled: CompiledRule[] = []
  const compilePhase = (items: readonly (Rule | Marker)[]): CompiledRule[] => {
    const own = items.flatMap((item, at) => {
      if (item.kind === 'marker') return []
      const one = compileRule(item, compiled.length, nextOf(items, at, item), context)
      compiled.push(one)
      return [one]
    })
    return own
  }
  const { settings } = rules
  const core: Omit<ProgramCore, 'base'> = {
    settings,
    phases: {
      1: compilePhase(phases[1]),
      2: compilePhase(phases[2]),
      3: compilePhase(phases[3]),
      4: compilePhase(phases[4]),
      5: compilePhase(phases[5]),
    },
    rules: compiled,
    layout,
    removed: undefined,
    exclusions: undefined,
    shape: undefined,
    bodyLimits: {
      ...bodyLimits,
      argumentsMax: settings.argumentsMax,
      argumentSeparator: settings.argumentSeparator,
      jsonDepthMax: settings.jsonDepthMax,
    },
    injection: options.injection,
    budget: { ...defaultBudget, ...options.budget },
    matching,
    onBudget: options.onBudget ?? 'block',
    now: options.now,
    store: options.store,
  }
  const evaluators = options.evaluator === 'plain' ? () => runPlain : createFastEvaluator()
  return toProgram({ ...core, base: createBase(layout, options.variables ?? {}) }, all, evaluators)
}

/** A program but for what is made of it. */
export type ProgramCore = Omit<Program, 'refine' | 'begin' | 'evaluator'>

function toProgram(core: ProgramCore, all: readonly Rule[], evaluatorOf: (core: ProgramCore) => Evaluator): Program {
  const program: Program = {
    ...core,
    evaluator: evaluatorOf(core),
    refine({ variables, exclusions = [], shape, engine, requestBodyNoFilesBytesMax }) {
      const removed = core.removed?.slice() ?? new Uint8Array(all.length)
      const without = core.exclusions?.slice() ?? []
      for (const { targets, ...exclusion } of exclusions) {
        const meant = rulesMeant(exclusion, all)
        if (targets === undefined) for (const index of meant) removed[index] = 1
        else
          addSelections(
            without,
            meant,
            targets.flatMap((target) => compileSelection(target) ?? []),
          )
      }
      return toProgram(
        {
          ...core,
          settings: {
            ...core.settings,
            ...(engine !== undefined && { engine }),
            ...(requestBodyNoFilesBytesMax !== undefined && { requestBodyNoFilesBytesMax }),
          },
          base: variables === undefined ? core.base : createBase(core.layout, variables, core.base),
          removed: removed.includes(1) ? removed : undefined,
          exclusions: without.length === 0 ? undefined : without,
          shape: shape ?? core.shape,
        },
        all,
        evaluatorOf,
      )
    },
    begin: (head, options = {}) => createTransaction(program, head, options),
  }
  return program
}

interface Context {
  readonly layout: TxLayout
  readonly all: readonly Rule[]
  readonly transformations: ReadonlyMap<string, Transformation>
  readonly injection: InjectionDetector
  readonly matching: Budget
}

/** Where a phase goes on behind a rule that matched, counted without markers. */
function nextOf(items: readonly (Rule | Marker)[], at: number, { skip, skipAfter }: Rule): number {
  const rulesBefore = (end: number) => items.slice(0, end).reduce((sum, { kind }) => sum + Number(kind === 'rule'), 0)
  if (skipAfter === undefined) return rulesBefore(at) + 1 + skip
  const marker = items.findIndex((item, index) => index > at && item.kind === 'marker' && item.name === skipAfter)
  return rulesBefore(marker < 0 ? items.length : marker)
}

function compileRule(rule: Rule, index: number, next: number, context: Context): CompiledRule {
  const { layout } = context
  const { conditions } = rule
  return {
    index,
    rule,
    phase: rule.phase,
    conditions: conditions.map((condition) => compileCondition(condition, context)),
    message: compileMacro(
      rule.message ?? conditions.find(({ message }) => message !== undefined)?.message ?? '',
      layout,
    ),
    logData: compileMacro(
      rule.logData ?? conditions.find(({ logData }) => logData !== undefined)?.logData ?? '',
      layout,
    ),
    redirect: rule.redirect === undefined ? undefined : compileMacro(rule.redirect, layout),
    initCollections: rule.initCollections.map(({ collection, key }) => {
      return { collection: collection.toUpperCase(), key: compileMacro(key, layout) }
    }),
    next,
  }
}

function compileCondition(condition: Condition, context: Context): CompiledCondition {
  const { layout, transformations } = context
  const { operator: use } = condition
  const argument = compileMacro(use.argument, layout)
  const operator = argument.constant === undefined ? undefined : operatorOf(use, argument.constant, context)
  return {
    condition,
    targets: condition.targets.flatMap((target) => {
      return compileTarget(target, condition.exclusions, use.negated, layout) ?? []
    }),
    operator,
    operatorFor: operator === undefined ? dynamicOperator(use, argument, context) : () => operator,
    argument,
    negated: use.negated,
    transformations: condition.transformations.map((name) => {
      const transformation = transformations.get(name)
      if (transformation === undefined) throw new Error(`unknown transformation ${name}`)
      return transformation
    }),
    multiMatch: condition.multiMatch,
    capture: condition.capture,
    setVariables: condition.setVariables.map((set) => compileSet(set, layout)),
    controls: condition.controls.flatMap((control) => compileControl(control, context.all) ?? []),
  }
}

function operatorOf(use: OperatorUse, argument: string, { injection, matching }: Context): Operator {
  return compileOperator(use.name, argument, use.lines, use.place, injection, matching)
}

function compileSet(set: SetVariable, layout: TxLayout): CompiledSet {
  const name = compileMacro(set.name, layout)
  const isSlot = set.collection === 'TX' && name.constant !== undefined
  return {
    set,
    name,
    slot: isSlot ? slotOf(layout, name.constant!.toLowerCase()) : -1,
    value: compileMacro(set.value, layout),
  }
}

/** Operators made of one rule for different values of its macros. What a caller sends can be among those: hence the bound. */
const operatorsMax = 64

/** A longer argument is nobody's host name or list of methods, but somebody's try to make compiling expensive. */
const argumentLengthMax = 4_096

/** An operator of an expanded argument, or what is wrong with that. */
interface Made {
  readonly operator: Operator
  readonly problem?: string
}

const never: Operator = { test: () => false }

function dynamicOperator(use: OperatorUse, argument: Macro, context: Context): (state: State) => Operator {
  const known = new Map<string, Made>()
  const told = new WeakSet<State>()
  let lastText: string | undefined
  let last: Made = { operator: never }
  const make = (text: string): Made => {
    try {
      if (text.length <= argumentLengthMax) return { operator: operatorOf(use, text, context) }
      return { operator: never, problem: `the argument of @${use.name} is too long` }
    } catch {
      return { operator: never, problem: `the argument of @${use.name} makes no sense once its macros are expanded` }
    }
  }
  return (state) => {
    const text = argument.expand(state)
    if (text !== lastText) {
      lastText = text
      last = known.get(text) ?? make(text)
      if (known.size >= operatorsMax) known.clear()
      known.set(text, last)
    }
    // What was wrong for one request is for the next, too; each is told so, but not for each of its values.
    if (last.problem !== undefined && !told.has(state)) {
      told.add(state)
      state.events.push({ kind: 'rule', detail: last.problem })
    }
    return last.operator
  }
}

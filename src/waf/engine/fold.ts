import type { Phase } from '../seclang/rule.ts'
import { exclusionOf, rulesMeant } from './controls.ts'
import { evaluateRule } from './evaluate.ts'
import type { Macro } from './macros.ts'
import { selectAll } from './plain.ts'
import type { CompiledCondition, CompiledRule, Program, ProgramCore } from './program.ts'
import { State } from './state.ts'
import { captureSlots } from './tx.ts'
import { txId } from './variables.ts'

/**
 * Much of a rule set never looks at a request: it sets defaults, asks which paranoia level is on, adds up scores that are
 * still zero. As long as no other rule has said anything, the outcome is the same for all requests and known at load.
 * A course is what is left: the rules that must be evaluated, and what TX holds between them.
 */
export interface Course {
  readonly phases: Readonly<Record<Phase, readonly Step[]>>
}

export type Step =
  | {
      readonly kind: 'set'
      readonly slots: Int32Array
      readonly values: readonly (string | undefined)[]
      /** MATCHED_VAR and MATCHED_VAR_NAME from here on; `undefined`: as before. */
      readonly matched: { readonly value: string; readonly name: string } | undefined
    }
  | {
      readonly kind: 'rule'
      readonly rule: CompiledRule
      /** Index in its phase. */
      readonly at: number
      /** Places in TX that this rule may write and that something known at load hung on: a change ends the course. */
      readonly watched: Int32Array
      /** What they hold as long as the request is on course. */
      readonly expected: readonly (string | undefined)[]
      /** Whether it may take out rules, or change what known ones look at. */
      readonly takesOut: boolean
      /**
       * Index of the step to go on with where it matches and skips rules; -1: what it skips was known at load, and is known
       * no more. Rules that look for an error page in a response skip whatever would tell whose it is on nearly each one.
       */
      readonly rejoins: number
    }

export const phases: readonly Phase[] = [1, 2, 3, 4, 5]

/**
 * What becomes of a request on which no rule says anything, worked out by running those rules that look at nothing but
 * TX on a transaction without a request.
 */
export function foldProgram(program: ProgramCore): Course {
  program.matching.stepsLeft = Number.POSITIVE_INFINITY
  // No request's time runs while there is none.
  const state = new State({ ...program, now: undefined } as Program, nobody, undefined)
  const read = new Set<number>()
  const known = new Set<number>()
  const found = phases.map((phase) => walk(state, phase, read, known))
  const finish = ({ steps, stepAt }: Walk) =>
    steps.map((step, index) => {
      if (step.kind === 'set') return step
      return { ...watch(step, read, known, program), rejoins: rejoinsAt(steps, index, stepAt.get(step.rule.next)) }
    })
  return {
    phases: {
      1: finish(found[0]!),
      2: finish(found[1]!),
      3: finish(found[2]!),
      4: finish(found[3]!),
      5: finish(found[4]!),
    },
  }
}

type Draft =
  | (Step & { kind: 'set' })
  | {
      readonly kind: 'rule'
      readonly rule: CompiledRule
      readonly at: number
      /** All that TX holds there. */
      readonly values: readonly (string | undefined)[]
    }

const nobody = {
  method: '',
  uri: '',
  protocol: '',
  headers: [],
  client: { address: '', port: 0 },
  server: { address: '', port: 0 },
  id: '',
  receivedAt: 0,
}

interface Walk {
  readonly steps: readonly Draft[]
  /** The step that comes next at a place that rules skip to, by its index in the phase, if the walk came by. */
  readonly stepAt: ReadonlyMap<number, number>
}

/** A skip stays on course if it leaves out nothing but rules that on course match nothing. */
function rejoinsAt(steps: readonly Draft[], from: number, to: number | undefined): number {
  if (to === undefined || to <= from) return -1
  return steps.slice(from + 1, to).every(({ kind }) => kind === 'rule') ? to : -1
}

/** Runs one phase; `read` takes what known outcomes hang on and set, `folded` the indexes of the rules whose outcomes are known. */
function walk(state: State, phase: Phase, read: Set<number>, folded: Set<number>): Walk {
  const rules = state.program.phases[phase]
  const steps: Draft[] = []
  const stepAt = new Map<number, number>()
  const skippedTo = new Set(rules.map(({ next }) => next))
  let known = state.tx.values.slice()
  let matched: (Step & { kind: 'set' })['matched']
  state.phase = phase
  let at = 0
  while (at < rules.length) {
    if (skippedTo.has(at)) {
      settle()
      stepAt.set(at, steps.length)
    }
    const rule = rules[at]!
    if (state.removed?.[rule.index] === 1) {
      at++
      continue
    }
    state.matchedName = ''
    const outcome = outcomeAtLoad(state, rule)
    if (outcome === undefined) {
      settle()
      steps.push({ kind: 'rule', rule, at, values: known })
      at++
      continue
    }
    folded.add(rule.index)
    for (const slot of slotsTouched(rule)) read.add(slot)
    if (state.matchedName !== '') matched = { value: state.matchedValue, name: state.matchedName }
    at = outcome ? rule.next : at + 1
  }
  settle()
  return { steps, stepAt }

  /** What the rules behind the last step have set is one step of its own. */
  function settle(): void {
    const { values } = state.tx
    const slots = values.flatMap((value, slot) => (value === known[slot] ? [] : [slot]))
    if (slots.length === 0 && matched === undefined) return
    steps.push({ kind: 'set', slots: Int32Array.from(slots), values: slots.map((slot) => values[slot]), matched })
    known = values.slice()
    matched = undefined
  }
}

function watch(
  { rule, at, values }: Draft & { kind: 'rule' },
  read: ReadonlySet<number>,
  folded: ReadonlySet<number>,
  { layout: { names }, rules }: ProgramCore,
): Omit<Step & { kind: 'rule' }, 'rejoins'> {
  const watched = [...read].filter((slot) => mayWrite(rule, slot, names[slot]!))
  return {
    kind: 'rule',
    rule,
    at,
    watched: Int32Array.from(watched),
    expected: watched.map((slot) => values[slot]),
    takesOut: takesOut(rule, folded, rules),
  }
}

/** Whether a rule matches, where that is known at load, its effects made; `undefined`, where it is not, or does more than TX can show. */
function outcomeAtLoad(state: State, rule: CompiledRule): boolean | undefined {
  const [head] = rule.conditions
  if (head === undefined || !looksAtTxOnly(head)) return undefined
  const before = state.tx.values.slice()
  const matches = state.matches.length
  const events = state.events.length
  const restore = () => {
    before.forEach((value, slot) => {
      state.tx.values[slot] = value
    })
    state.matches.length = matches
    return undefined
  }
  // A chain ends at a head that does not match, whatever its members look at.
  const sure = rule.conditions.every(looksAtTxOnly)
  // What `ctl` takes out is for requests to find out: the rule that says so may itself be taken out by then.
  const conditions = (sure ? rule.conditions : [head]).map((condition) => ({ ...condition, controls: [] }))
  const isMatch = evaluateRule(state, { ...rule, conditions }, selectAll)
  if (state.events.length > events) {
    // An operator makes no sense. Requests are to be told.
    state.events.length = events
    return restore()
  }
  if (!isMatch) return sure && !rule.conditions.every(doesTxOnly) ? restore() : false
  return sure && rule.conditions.every(doesTxOnly) && isQuiet(rule) ? true : restore()
}

function looksAtTxOnly({ targets, argument }: CompiledCondition): boolean {
  return targets.every(({ variable, slot }) => variable === txId && slot >= 0) && isOfTx(argument)
}

function doesTxOnly({ controls, setVariables }: CompiledCondition): boolean {
  return controls.length === 0 && setVariables.every(({ slot, value }) => slot >= 0 && isOfTx(value))
}

/** Whether a match of a rule is to be seen in TX and nowhere else. */
function isQuiet({ rule, initCollections }: CompiledRule): boolean {
  return rule.disruption === 'pass' && !rule.log && rule.severity === undefined && initCollections.length === 0
}

/** Whether a text holds no macro but of TX. */
function isOfTx({ constant, source, slots }: Macro): boolean {
  return constant !== undefined || source.split('%{').length - 1 === slots.length
}

const captures = Array.from({ length: captureSlots }, (_, slot) => slot)

/** Places in TX that a rule reads, and those that it sets: each of them must be as it was at load for all to come out the same. */
function slotsTouched({ conditions }: CompiledRule): readonly number[] {
  return conditions.flatMap(({ targets, argument, setVariables, capture }) => [
    ...targets.flatMap(({ slot }) => (slot >= 0 ? slot : [])),
    ...argument.slots,
    ...setVariables.flatMap(({ slot, value }) => (slot >= 0 ? [slot, ...value.slots] : value.slots)),
    ...(capture ? captures : []),
  ])
}

/** `ctl` that leaves out arguments and headers, or rules whose outcome was open, touches nothing that was known. */
function takesOut({ conditions }: CompiledRule, folded: ReadonlySet<number>, rules: readonly CompiledRule[]): boolean {
  const all = rules.map(({ rule }) => rule)
  return conditions.some(({ condition }) =>
    condition.controls.some(({ name, value, targets }) => {
      if (name === 'ruleEngine') return true
      if (!name.startsWith('ruleRemove')) return false
      if (name.startsWith('ruleRemoveTarget') && targets.every(({ variable }) => variable !== 'TX')) return false
      return rulesMeant(exclusionOf(name, value), all).some((index) => folded.has(index))
    }),
  )
}

/** Whether a rule may write a place of TX; a name made up at request time may be any with the same beginning. */
function mayWrite({ conditions }: CompiledRule, slot: number, called: string): boolean {
  return conditions.some(
    ({ capture, setVariables }) =>
      (capture && slot < captureSlots) ||
      setVariables.some((one) => {
        if (one.slot >= 0) return one.slot === slot
        return one.set.collection === 'TX' && called.startsWith(one.name.source.split('%{', 1)[0]!.toLowerCase())
      }),
  )
}

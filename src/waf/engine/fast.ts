import type { Language } from '../scan/language.ts'
import { operatorLanguage } from '../scan/operator-language.ts'
import { type Beginning, type Profile, Scanner, type ScanTest } from '../scan/scanner.ts'
import type { Phase } from '../seclang/rule.ts'
import { evaluateRule, finishRule, type Select } from './evaluate.ts'
import { type Course, foldProgram, phases, type Step } from './fold.ts'
import { keyOf, type Member, noMembers } from './member.ts'
import { runPlain } from './plain.ts'
import type { CompiledCondition, CompiledRule, Evaluator, ProgramCore } from './program.ts'
import type { State } from './state.ts'
import { type CompiledTarget, isExcluded, isSelected, type Selection, selectMembers } from './target.ts'
import { checkTime, tick } from './time.ts'
import { membersOf, txId, type VariableId, variableId, variableOf } from './variables.ts'

/**
 * The evaluator for every day: reads each value once and proves which conditions cannot match it (scan/), follows the
 * course that was worked out at load (fold.ts), and evaluates only what is left. Its matches are those of the plain
 * evaluator, in the same order: the same functions test, count and keep them.
 */
export function createFastEvaluator(): (core: ProgramCore) => Evaluator {
  const languageOf = rememberLanguages()
  // What the refinements of a program have in common is worked out once. Reloads come with other numbers, for ever.
  const courses = new Map<string, Plan>()
  const scans: Scan[] = []
  return (core) => {
    const key = keyOfCourse(core)
    let plan = courses.get(key)
    if (plan === undefined) {
      if (courses.size >= coursesMax) {
        courses.clear()
        scans.length = 0
      }
      const course = foldProgram(core)
      plan = { course, ...scanFor(course, core, languageOf, scans) }
      courses.set(key, plan)
    }
    const found = plan
    return (state, phase) => run(state, phase, found)
  }
}

/** Courses that are remembered; those in use live on with their programs. */
const coursesMax = 1_024

/** All that a course hangs on, of what refinements may change. */
function keyOfCourse({ base, removed, exclusions }: ProgramCore): string {
  const ofTx = exclusions?.flatMap((selections, index) =>
    (selections ?? []).flatMap(({ variable, key, pattern }) =>
      variable === txId ? [[index, key, pattern?.source] as const] : [],
    ),
  )
  return JSON.stringify([base.values, [...(base.others ?? [])], [...(removed ?? [])], ofTx ?? []])
}

/** What scanning has told of one transaction so far. */
export interface Findings {
  /** A bit for each test that must be made on some value. */
  readonly flagged: Int32Array
  /** Values by test and variable. */
  readonly members: Map<number, Member[]>
  /** Whether a rule has spoken, so that what was known at load is not known any more. */
  offCourse: boolean
  /** The last phase that was run; 0 before the first. */
  phase: number
  /** Scanning is under way; it stays so where the budget ended it, and nobody knows what has not been seen. */
  torn: boolean
}

/** What is scanned for: rules off every course, such as those of higher paranoia levels, cost nothing. */
interface Scan {
  readonly rules: ReadonlySet<CompiledRule>
  readonly scanner: Scanner
  readonly words: number
  /** By index of the rule: the test of its first condition, or -1. */
  readonly heads: Int32Array
  readonly select: Select
  readonly phases: Readonly<Record<Phase, readonly VariablePlan[]>>
}

interface Plan extends Scan {
  readonly course: Course
}

/** What to look for in the members of one variable. */
interface VariablePlan {
  readonly variable: VariableId
  /** For members that no target names. */
  readonly others: Profile | undefined
  /** For those of them that a document proves harmless: only targets that see these all the same. */
  readonly proved: Profile | undefined
  /** By lower-case name. */
  readonly named: ReadonlyMap<string, Profile>
  /** Whether the variable holds names, which members of one JSON container begin alike. */
  readonly holdsNames: boolean
  /** Whether it is scanned in this phase for the rules of later ones too. */
  readonly forAll: boolean
}

/** Class sets never met before that one phase of one request may have worked out exactly. */
const novelMax = 16

function run(state: State, phase: Phase, plan: Plan): void {
  state.findings ??= {
    flagged: new Int32Array(plan.words),
    members: new Map(),
    offCourse: false,
    phase: 0,
    torn: false,
  }
  const { findings } = state
  if (findings.torn) return runPlain(state, phase)
  findings.torn = true
  for (const missed of phases) if (missed > findings.phase && missed < phase) miss(state, findings, plan, missed)
  findings.phase = phase
  scanVariables(state, findings, plan, plan.phases[phase])
  findings.torn = false
  if (findings.offCourse) runRules(state, findings, plan, phase, 0)
  else runCourse(state, findings, plan, phase, plan.course.phases[phase])
}

/** A phase did not run: the request was refused or let through before, too costly to look at, or there was no response. */
function miss(state: State, findings: Findings, plan: Plan, phase: Phase): void {
  if (plan.course.phases[phase].some(({ kind }) => kind === 'set')) findings.offCourse = true
  scanVariables(
    state,
    findings,
    plan,
    plan.phases[phase].filter(({ forAll }) => forAll),
  )
}

function runCourse(state: State, findings: Findings, plan: Plan, phase: Phase, steps: readonly Step[]): void {
  const { values } = state.tx
  // Whatever ends the phase early, an exception too, leaves undone what later phases take for granted.
  findings.offCourse = true
  for (let i = 0; i < steps.length; i++) {
    if (state.stopped) return
    const step = steps[i]!
    if (step.kind === 'set') {
      for (let j = 0; j < step.slots.length; j++) values[step.slots[j]!] = step.values[j]
      if (step.matched !== undefined) {
        state.matchedValue = step.matched.value
        state.matchedName = step.matched.name
      }
      continue
    }
    const { rule } = step
    if (isProvedIdle(rule, findings, plan) || state.removed?.[rule.index] === 1) continue
    const next = follow(state, plan, step)
    if (next < 0) return runRules(state, findings, plan, phase, ~next)
    if (next !== step.at + 1) i = step.rejoins - 1
  }
  findings.offCourse = false
}

/** Evaluates a rule, and tells which one is next; bitwise inverted (`~`) where what was known at load is known no more. */
function follow(state: State, plan: Plan, step: Step & { kind: 'rule' }): number {
  const { rule, at, watched, expected, takesOut, rejoins } = step
  const { removed, exclusions, engine } = state
  tick(state)
  const next = evaluateRule(state, rule, plan.select) ? finishRule(state, rule) : at + 1
  if (next !== at + 1 && rejoins < 0) return ~next
  if (takesOut && (state.removed !== removed || state.exclusions !== exclusions || state.engine !== engine))
    return ~next
  const { values } = state.tx
  for (let i = 0; i < watched.length; i++) if (values[watched[i]!] !== expected[i]) return ~next
  return next
}

function runRules(state: State, findings: Findings, plan: Plan, phase: Phase, from: number): void {
  const rules = state.program.phases[phase]
  let at = from
  while (at < rules.length && !state.stopped) {
    const rule = rules[at]!
    if (state.removed?.[rule.index] === 1 || isProvedIdle(rule, findings, plan)) {
      at++
      continue
    }
    tick(state)
    at = evaluateRule(state, rule, plan.select) ? finishRule(state, rule) : at + 1
  }
}

/** Whether the head of a rule matches no value: then nothing of it does anything. */
function isProvedIdle({ index }: CompiledRule, { flagged }: Findings, { heads }: Plan): boolean {
  const test = heads[index]!
  return test >= 0 && ((flagged[test >> 5]! >> (test & 31)) & 1) === 0
}

/** Members that scanning has left for a condition; all that its targets mean, where it was not scanned for. */
function selectFlagged(testOf: ReadonlyMap<CompiledCondition, number>): Select {
  return (state, condition, target, excluded) => {
    const test = testOf.get(condition)
    if (test === undefined) return selectMembers(state, target, excluded)
    const { flagged, members } = state.findings!
    if (((flagged[test >> 5]! >> (test & 31)) & 1) === 0) return noMembers
    const found = members.get(keyFor(test, target.variable))
    if (found === undefined) return noMembers
    for (const one of found)
      if (!isMeant(one, target, excluded)) return found.filter((any) => isMeant(any, target, excluded))
    return found
  }
}

function isMeant(one: Member, target: CompiledTarget, excluded: readonly Selection[] | undefined): boolean {
  if (one.proved && !target.seesProved) return false
  if (!isSelected(one, target)) return false
  for (const exclusion of target.exclusions) if (isSelected(one, exclusion)) return false
  return excluded === undefined || !isExcluded(one, target.variable, excluded)
}

/** Variables are far fewer. */
function keyFor(test: number, variable: VariableId): number {
  return test * 1_024 + variable
}

function scanVariables(state: State, findings: Findings, plan: Plan, variables: readonly VariablePlan[]): void {
  const { scanner } = plan
  scanner.novelLeft = novelMax
  scanner.pause = () => checkTime(state)
  for (const { variable, others, proved, named, holdsNames } of variables) {
    for (const one of membersOf(state, variable)) {
      const unnamed = one.proved ? proved : others
      const profile = named.size === 0 ? unnamed : (named.get(keyOf(one)) ?? unnamed)
      if (profile === undefined) continue
      tick(state)
      if (holdsNames && one.prefix !== undefined) scanner.scanOn(profile, beginningOf(scanner, one), one.rest, one)
      else scanner.scan(profile, one.value)
      for (let i = 0; i < scanner.count; i++) note(findings, scanner.found[i]!, variable, one)
    }
  }
}

function note({ flagged, members }: Findings, test: number, variable: VariableId, one: Member): void {
  flagged[test >> 5]! |= 1 << (test & 31)
  const key = keyFor(test, variable)
  const known = members.get(key)
  if (known === undefined) members.set(key, [one])
  else known.push(one)
}

/** What the names of all members of one JSON container begin with is read once. */
function beginningOf(scanner: Scanner, { prefix }: Member): Beginning {
  const { memo } = prefix!
  if (memo instanceof ScannedPrefix && memo.scanner === scanner) return memo.beginning
  const beginning = scanner.begin(prefix!.text)
  prefix!.memo = new ScannedPrefix(scanner, beginning)
  return beginning
}

class ScannedPrefix {
  readonly scanner: Scanner
  readonly beginning: Beginning
  constructor(scanner: Scanner, beginning: Beginning) {
    this.scanner = scanner
    this.beginning = beginning
  }
}

/** Values of these are there when their phase begins, though later phases see others. */
const ofResponse = new Set(
  ['RESPONSE_BODY', 'RESPONSE_HEADERS', 'RESPONSE_HEADERS_NAMES', 'RESPONSE_STATUS'].map(variableId),
)
const namesOfArguments = new Set(['ARGS_NAMES', 'ARGS_POST_NAMES'].map(variableId))

/** Rules that a scan may look for although they are not on the course: less work than making another. */
const strayRulesMax = 32

/** The scan for a course; one that was made for another serves as well, if it looks for all rules of this one and few more. */
function scanFor(course: Course, core: ProgramCore, languageOf: LanguageOf, made: Scan[]): Scan {
  const rules = rulesOf(course)
  const known = made.find(
    (scan) => scan.rules.size <= rules.length + strayRulesMax && rules.every((rule) => scan.rules.has(rule)),
  )
  if (known !== undefined) return known
  const scan = planScan(rules, core, languageOf)
  made.push(scan)
  return scan
}

function planScan(rules: readonly CompiledRule[], core: ProgramCore, languageOf: LanguageOf): Scan {
  const tests: ScanTest[] = []
  const asked: Asked[] = []
  const testOf = new Map<CompiledCondition, number>()
  const heads = new Int32Array(core.rules.length).fill(-1)
  for (const rule of rules) {
    rule.conditions.forEach((condition, place) => {
      const language = languageOf(condition)
      if (language === undefined) return
      const { operator, transformations, multiMatch } = condition
      const test = tests.push({ language, operator: operator!, transformations, multiMatch }) - 1
      asked.push({ condition, phase: rule.phase, test })
      testOf.set(condition, test)
      if (place === 0) heads[rule.index] = test
    })
  }
  const scanner = new Scanner(tests)
  const planned = phases.map((phase) => planPhase(phase, asked, scanner))
  return {
    rules: new Set(rules),
    scanner,
    words: (tests.length + 31) >> 5,
    heads,
    select: selectFlagged(testOf),
    phases: { 1: planned[0]!, 2: planned[1]!, 3: planned[2]!, 4: planned[3]!, 5: planned[4]! },
  }
}

function rulesOf(course: Course): readonly CompiledRule[] {
  return phases.flatMap((phase) => course.phases[phase].flatMap((step) => (step.kind === 'rule' ? step.rule : [])))
}

type LanguageOf = (condition: CompiledCondition) => Language | undefined

/** What is worked out for a condition serves every course. */
function rememberLanguages(): LanguageOf {
  const known = new Map<CompiledCondition, Language | undefined>()
  return (condition) => {
    if (!known.has(condition)) known.set(condition, languageOfCondition(condition))
    return known.get(condition)
  }
}

function languageOfCondition({ condition, operator, targets }: CompiledCondition): Language | undefined {
  if (operator === undefined || targets.length === 0) return undefined
  const all = targets.every(
    ({ variable, count }) => !count && (variableOf(variable).lasting || ofResponse.has(variable)),
  )
  return all ? operatorLanguage(condition.operator, operator) : undefined
}

/** Whether rules of all phases see the same values. */
function lastsThroughout(variable: VariableId): boolean {
  return !variableOf(variable).ofBody && !ofResponse.has(variable)
}

interface Asked {
  readonly condition: CompiledCondition
  readonly phase: Phase
  readonly test: number
}

/** A variable that lasts is scanned once, when the first phase asks for it, for the tests of all. */
function planPhase(phase: Phase, asked: readonly Asked[], scanner: Scanner): readonly VariablePlan[] {
  const asking = new Map<VariableId, { test: number; key: string | undefined; seesProved: boolean }[]>()
  for (const { condition, phase: own, test } of asked) {
    for (const { variable, key, seesProved } of condition.targets) {
      if ((lastsThroughout(variable) ? firstPhase(variable) : own) === phase)
        asking.set(variable, [...(asking.get(variable) ?? []), { test, key, seesProved }])
    }
  }
  return [...asking].map(([variable, uses]) => {
    const unnamed = uses.filter(({ key }) => key === undefined)
    const profileOf = (some: typeof uses) =>
      some.length === 0 ? undefined : scanner.profile([...new Set(some.map(({ test }) => test))])
    const keys = new Set(uses.flatMap(({ key }) => key ?? []))
    return {
      variable,
      others: profileOf(unnamed),
      proved: profileOf(unnamed.filter(({ seesProved }) => seesProved)),
      named: new Map(
        [...keys].map((key) => {
          const own = uses.filter((use) => use.key === undefined || use.key === key).map(({ test }) => test)
          return [key, scanner.profile([...new Set(own)])]
        }),
      ),
      holdsNames: namesOfArguments.has(variable),
      forAll: lastsThroughout(variable),
    }
  })

  function firstPhase(variable: VariableId): Phase {
    return Math.min(
      ...asked
        .filter(({ condition }) => condition.targets.some((target) => target.variable === variable))
        .map((one) => one.phase),
    ) as Phase
  }
}

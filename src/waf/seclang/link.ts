import { messageOf } from '../../base/errors.ts'
import { nearest } from '../../base/suggest.ts'
import { type ActionUse, type DraftCondition, type DraftRule, phaseOf, readActions } from './actions.ts'
import { type DataFiles, isBytes, resolveBeside } from './data.ts'
import { type DraftSettings, settingDirectives } from './directives.ts'
import { type Complaints, quotedShort } from './error.ts'
import { bareOperators, lowerCase } from './known.ts'
import { type Directive, readDirectives, type Word } from './lines.ts'
import { readOperator } from './operator.ts'
import { readPattern } from './pattern.ts'
import { type Line, lineOf, lineStartsOf, type Piece, pieceOf, placeOf, type Source, type SourceFile } from './piece.ts'
import type { Condition, Marker, OperatorUse, Phase, Place, Rule, RuleSet, Target } from './rule.ts'
import { readTargets, type TargetList } from './targets.ts'

/** Gives the sources that an `Include` names: a file, or a pattern with `*`. The name is resolved already. */
export type Include = (pattern: string, from: Place) => readonly Source[]

export interface LinkOptions {
  readonly complaints: Complaints
  readonly data: DataFiles
  readonly include: Include | undefined
  readonly settings: DraftSettings
}

/** What is known while the files are read, one directive after the other. */
interface Linker extends LinkOptions {
  readonly items: (DraftRule | Marker)[]
  /** Those with an id that are not removed. */
  readonly rules: Map<number, DraftRule>
  readonly removed: Set<DraftRule>
  readonly defaults: Map<Phase, readonly ActionUse[]>
  /** The rule whose chain is not complete, and the action that says so. */
  open: { readonly rule: DraftRule; readonly at: Piece } | undefined
  /** The rule before could not be read: whether this one belongs to its chain is not known. */
  unsure: boolean
  /** Directives that found no rule to change, looked at again when all rules are there. */
  readonly idle: Idle[]
  /** Files that are being read, the outermost first. */
  readonly reading: string[]
  filesRead: number
}

interface Idle {
  readonly at: Piece
  readonly what: string
  readonly finds: (rule: DraftRule) => boolean
}

const filesMax = 1_000
const includeDepthMax = 16

/** Reads all sources in order and makes of them the rules as they run. What is wrong is left with the complaints. */
export function link(sources: readonly Source[], options: LinkOptions): RuleSet {
  const linker: Linker = {
    ...options,
    items: [],
    rules: new Map(),
    removed: new Set(),
    defaults: new Map(),
    open: undefined,
    unsure: false,
    idle: [],
    reading: [],
    filesRead: 0,
  }
  for (const source of sources) readSource(source, linker)
  tellIdle(linker)
  const items = withJumpTargets(linker)
  const { mimeTypesStated: _, ...settings } = linker.settings
  return { phases: byPhase(items), settings, warnings: linker.complaints.warnings }
}

function readSource(source: Source, linker: Linker): void {
  const { complaints } = linker
  const file: SourceFile = { ...source, lineStarts: lineStartsOf(source.text) }
  if (!isBytes(source.text)) {
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the border of what a byte can be.
    const at = source.text.search(/[^\x00-\xff]/)
    const hint = "read files as latin1; Buffer.from(text).toString('latin1') makes bytes of a text"
    return complaints.error(wholeOf(file, at, at + 1), 'the text was decoded; it must be given as bytes', hint)
  }
  linker.reading.push(source.name)
  for (const directive of readDirectives(file, complaints)) apply(directive, linker)
  linker.reading.pop()
  if (linker.open !== undefined) {
    complaints.error(linker.open.at, 'the chain is not complete: the file ends before its next rule')
    linker.open = undefined
  }
  linker.unsure = false
}

function wholeOf(file: SourceFile, start: number, end: number): Piece {
  const line: Line = { file, text: file.text, joints: [{ at: 0, offset: 0 }] }
  return pieceOf(line, start, end)
}

type Apply = (directive: Directive, linker: Linker) => void

const ruleDirectives: ReadonlyMap<string, { readonly name: string; readonly apply: Apply }> = new Map(
  Object.entries<Apply>({
    SecRule: readRule,
    SecAction: readRule,
    SecMarker: readMarker,
    SecDefaultAction: readDefault,
    SecRuleRemoveById: removeById,
    SecRuleRemoveByTag: removeBy,
    SecRuleRemoveByMsg: removeBy,
    SecRuleUpdateTargetById: updateTarget,
    SecRuleUpdateTargetByTag: updateTarget,
    SecRuleUpdateTargetByMsg: updateTarget,
    SecRuleUpdateActionById: updateAction,
    Include: includeFiles,
    IncludeOptional: includeFiles,
  }).map(([name, apply]) => [lowerCase(name), { name, apply }]),
)

function apply(directive: Directive, linker: Linker): void {
  const { complaints, open } = linker
  const name = lowerCase(directive.name.text)
  const isRule = name === 'secrule' || name === 'secaction'
  if (open !== undefined && !isRule) {
    const { line } = open.rule.place
    complaints.error(directive.name, `expected the next rule of the chain that begins in line ${line}`)
    linker.open = undefined
  }
  if (!directive.whole) {
    if (isRule) linker.open = undefined
    linker.unsure = isRule
    return
  }
  const rule = ruleDirectives.get(name)
  if (rule !== undefined) return rule.apply(directive, linker)
  const setting = settingDirectives.get(name)
  if (setting === undefined) return complainOfDirective(directive.name, complaints)
  if (countsWords(directive, setting.words, complaints))
    setting.apply(directive, linker.settings, linker.data, complaints)
}

function complainOfDirective(name: Piece, complaints: Complaints): void {
  const known = [...ruleDirectives.values(), ...settingDirectives.values()].map((directive) => directive.name)
  const near = nearest(name.text, known)
  const hint = near !== undefined ? `did you mean ${near}?` : hintOfStray(name.text)
  complaints.error(name, `unknown directive ${quotedShort(name.text)}`, hint)
}

function hintOfStray(text: string): string | undefined {
  if (text.startsWith('<')) return 'sections of Apache have no meaning here'
  return /^["']|^\w+:/.test(text) ? 'does the line above lack a backslash at its end?' : undefined
}

function countsWords(
  { name, words }: Directive,
  [min, max]: readonly [number, number],
  complaints: Complaints,
): boolean {
  if (words.length < min) complaints.error(name, `${name.text} needs ${min === 1 ? 'a value' : `${min} values`}`)
  else if (words.length > max) {
    const hint = max === 0 ? undefined : 'a value with white space is written in double quotes'
    complaints.error(words[max]!, max === 0 ? `${name.text} takes no value` : 'a value too many', hint)
  }
  return words.length >= min && words.length <= max
}

// Rules

function readRule(directive: Directive, linker: Linker): void {
  const { complaints } = linker
  const parts =
    lowerCase(directive.name.text) === 'secaction' ? partsOfAction(directive, linker) : partsOfRule(directive, linker)
  if (parts === undefined) {
    linker.open = undefined
    linker.unsure = true
    return
  }
  const uses = parts.actions === undefined ? [] : readActions(parts.actions, complaints)
  tellOverruled(uses, complaints)
  const chain = uses.find((use) => use.spec.name === 'chain')
  const rule = linker.open === undefined ? startRule(directive, parts, uses, linker) : linker.open.rule
  if (linker.open !== undefined) addMember(rule, directive, parts, uses, linker)
  linker.open = chain === undefined ? undefined : { rule, at: chain.name }
  linker.unsure = false
}

interface Parts extends TargetList {
  readonly operator: OperatorUse
  readonly actions: Piece | undefined
}

function partsOfAction(directive: Directive, { complaints }: Linker): Parts | undefined {
  if (!countsWords(directive, [1, 1], complaints)) return undefined
  const place = placeOf(directive.name)
  const operator: OperatorUse = { name: 'unconditionalMatch', negated: false, argument: '', lines: undefined, place }
  return { targets: [], exclusions: [], operator, actions: directive.words[0] }
}

function partsOfRule(directive: Directive, { complaints, data }: Linker): Parts | undefined {
  const { name, words } = directive
  const [variables, written, third] = words
  if (variables === undefined || written === undefined) {
    complaints.error(name, 'SecRule needs variables and an operator', 'as in SecRule ARGS "@rx attack" "id:1,deny"')
    return undefined
  }
  // ModSecurity 3 reads `SecRule ARGS @contains attack id:1,deny` without quotes.
  const isSpread = third !== undefined && !third.quoted && !written.quoted && /^!?@/.test(written.text)
  const spread = isSpread && !bareOperators.has(lowerCase(written.text).replace(/^!?@/, ''))
  const operator: Piece = spread ? pieceOf(lineOf(written), written.at, third.at + third.text.length) : written
  const actionsAt = spread ? 3 : 2
  if (words.length > actionsAt + 1) {
    const hint = 'the operator with its argument, and the list of actions, are written in double quotes'
    complaints.error(words[actionsAt + 1]!, 'expected the end of the rule', hint)
    return undefined
  }
  const list = readTargets(variables, complaints)
  if (list.targets.length === 0 && list.exclusions.length > 0)
    complaints.error(variables, 'the rule looks at nothing: all its variables are exclusions')
  return { ...list, operator: readOperator(operator, data, complaints), actions: words[actionsAt] }
}

function tellOverruled(uses: readonly ActionUse[], complaints: Complaints): void {
  const disruptive = uses.filter((use) => use.spec.disrupts)
  const last = disruptive.at(-1)
  for (const use of disruptive)
    if (use.spec !== last!.spec)
      complaints.warn(use.name, `${use.spec.name} is overruled by ${last!.spec.name}, which follows`)
}

function startRule(directive: Directive, parts: Parts, uses: readonly ActionUse[], linker: Linker): DraftRule {
  const { complaints, rules, items, unsure, defaults } = linker
  const phaseUse = uses.findLast((use) => use.spec.name === 'phase')
  const phase = (phaseUse === undefined ? undefined : phaseOf(phaseUse, complaints)) ?? 2
  const rule: DraftRule = {
    place: placeOf(directive.name),
    conditions: [conditionOf(directive, parts)],
    id: 0,
    phase,
    disruption: 'pass',
    redirect: undefined,
    blocks: false,
    inherited: { disruption: 'pass', redirect: undefined },
    status: 403,
    log: true,
    auditLog: true,
    tags: [],
    severity: undefined,
    version: undefined,
    revision: undefined,
    maturity: undefined,
    accuracy: undefined,
    skip: 0,
    skipAfter: undefined,
    skipAfterAt: undefined,
    initCollections: [],
  }
  const condition = rule.conditions[0]!
  for (const use of defaults.get(phase) ?? []) use.spec.apply(use, rule, condition, complaints)
  rule.inherited = { disruption: rule.disruption, redirect: rule.redirect }
  for (const use of uses) use.spec.apply(use, rule, condition, complaints)
  items.push(rule)

  const idUse = uses.findLast((use) => use.spec.name === 'id')
  if (rule.id === 0) {
    const isAction = parts.targets.length === 0
    if (idUse === undefined && !unsure && !isAction)
      complaints.error(directive.name, 'a rule needs an id', 'write id:… into its actions')
    return rule
  }
  const first = rules.get(rule.id)
  if (first === undefined) rules.set(rule.id, rule)
  else {
    const { file, line } = first.place
    complaints.error(idUse!.value, `the id ${rule.id} stands twice`, `first in ${file}:${line}`)
  }
  return rule
}

function addMember(
  rule: DraftRule,
  directive: Directive,
  parts: Parts,
  uses: readonly ActionUse[],
  linker: Linker,
): void {
  const condition = conditionOf(directive, parts)
  for (const use of linker.defaults.get(rule.phase) ?? [])
    if (use.spec.name === 't') use.spec.apply(use, rule, condition, linker.complaints)
  rule.conditions.push(condition)
  applyToMember(uses, rule, condition, linker.complaints)
}

function applyToMember(
  uses: readonly ActionUse[],
  rule: DraftRule,
  condition: DraftCondition,
  complaints: Complaints,
): void {
  for (const use of uses) {
    const { name, belongs, apply: applyUse } = use.spec
    if (belongs === 'anywhere') applyUse(use, rule, condition, complaints)
    else if (belongs === 'description')
      complaints.warn(use.name, `${name} has no effect here: it belongs to the first rule of a chain`)
    else if (name !== 'phase') {
      // Otherwise a `chain` too much would silently take the next rule's force.
      const hint = `this rule continues the one in line ${rule.place.line}, which says chain`
      complaints.error(use.name, `${name} belongs to the first rule of a chain`, hint)
    } else if (phaseOf(use, complaints) !== rule.phase)
      complaints.error(use.value, `a chain has one phase: its first rule says ${rule.phase}`)
  }
}

function conditionOf(directive: Directive, { targets, exclusions, operator }: Parts): DraftCondition {
  return {
    place: placeOf(directive.name),
    targets,
    exclusions,
    operator,
    transformations: [],
    multiMatch: false,
    capture: false,
    setVariables: [],
    controls: [],
    message: undefined,
    logData: undefined,
  }
}

function readMarker(directive: Directive, { complaints, items }: Linker): void {
  if (!countsWords(directive, [1, 1], complaints)) return
  const word = directive.words[0]!
  if (word.text === '') complaints.error(directive.name, 'SecMarker needs a name')
  else items.push({ kind: 'marker', name: word.text, place: placeOf(directive.name) })
}

const notByDefault = new Set('id rev ver msg severity maturity accuracy logdata chain skip skipAfter'.split(' '))

function readDefault(directive: Directive, { complaints, defaults }: Linker): void {
  if (!countsWords(directive, [1, 1], complaints)) return
  const list = directive.words[0]!
  const uses = readActions(list, complaints)
  for (const use of uses)
    if (notByDefault.has(use.spec.name))
      complaints.error(use.name, `${use.spec.name} cannot be the default of all rules: it belongs to one`)
  const phaseUse = uses.findLast((use) => use.spec.name === 'phase')
  if (phaseUse === undefined) return complaints.error(list, 'SecDefaultAction needs a phase')
  const phase = phaseOf(phaseUse, complaints)
  const disruptive = uses.findLast((use) => use.spec.disrupts && use.spec.name !== 'block')
  if (disruptive === undefined)
    return complaints.error(
      list,
      'SecDefaultAction needs pass, deny, drop, allow or redirect',
      'it is what block stands for',
    )
  if (phase === undefined) return
  if (defaults.has(phase))
    complaints.warn(
      directive.name,
      `SecDefaultAction stands twice for phase ${phase}: rules from here on follow this one`,
    )
  defaults.set(
    phase,
    uses.filter(({ spec }) => !notByDefault.has(spec.name) && spec.name !== 'phase' && spec.name !== 'block'),
  )
}

// Changes to rules that stand above

interface IdRange {
  readonly at: Piece
  readonly from: number
  readonly to: number
  /** Which member of the chain, the head being 0: `1000:2`. */
  readonly member: number
}

/** Reads `942100`, `942100-942199`, `"942100 942200"`, `942100:1`. */
function readRanges(words: readonly Piece[], complaints: Complaints): IdRange[] {
  const ranges: IdRange[] = []
  for (const word of words) {
    for (const match of word.text.matchAll(/[^\s,]+/g)) {
      const at = pieceOf(word, match.index, match.index + match[0].length)
      const read = /^(\d{1,15})(?:-(\d{1,15})|:(\d{1,4}))?$/.exec(at.text)
      const from = Number(read?.[1])
      const to = Number(read?.[2] ?? read?.[1])
      if (read === null || to < from)
        complaints.error(at, 'expected a rule id or a range', 'such as 942100 or 942000-942999')
      else ranges.push({ at, from, to, member: Number(read[3] ?? 0) })
    }
  }
  return ranges
}

function findRange({ at, from, to }: IdRange, { rules, idle }: Linker): DraftRule[] {
  const single = from === to ? rules.get(from) : undefined
  if (single !== undefined) return [single]
  const finds = (rule: DraftRule) => rule.id >= from && rule.id <= to
  const found = from === to ? [] : [...rules.values()].filter(finds)
  if (found.length === 0) idle.push({ at, what: from === to ? `rule ${from}` : `rule from ${from} to ${to}`, finds })
  return found
}

/** Rules that a tag or a message selects: by a pattern that is found anywhere in it, as the manual has it. */
function findBy(kind: 'tag' | 'msg', at: Piece, { items, removed, idle, complaints }: Linker): DraftRule[] {
  const pattern = readPattern(at, complaints)
  if (pattern === undefined) return []
  const finds = ({ tags, conditions }: DraftRule) => {
    const message = conditions[0]!.message
    return kind === 'tag' ? tags.some((tag) => pattern.test(tag)) : message !== undefined && pattern.test(message)
  }
  const found = items.filter((item): item is DraftRule => !('kind' in item) && !removed.has(item) && finds(item))
  const what = `rule with a ${kind === 'tag' ? 'tag' : 'message'} that ${quotedShort(at.text)} matches`
  if (found.length === 0) idle.push({ at, what, finds })
  return found
}

function kindOf(directive: Directive): 'id' | 'tag' | 'msg' {
  const name = lowerCase(directive.name.text)
  return name.endsWith('byid') ? 'id' : name.endsWith('bytag') ? 'tag' : 'msg'
}

function removeById(directive: Directive, linker: Linker): void {
  if (!countsWords(directive, [1, 10_000], linker.complaints)) return
  for (const range of readRanges(directive.words, linker.complaints)) remove(findRange(range, linker), linker)
}

function removeBy(directive: Directive, linker: Linker): void {
  if (!countsWords(directive, [1, 1], linker.complaints)) return
  remove(findBy(kindOf(directive) as 'tag' | 'msg', directive.words[0]!, linker), linker)
}

function remove(found: readonly DraftRule[], { rules, removed }: Linker): void {
  for (const rule of found) {
    removed.add(rule)
    // The id is free again: whoever removes a rule may write another in its place.
    if (rules.get(rule.id) === rule) rules.delete(rule.id)
  }
}

/** `SecRuleUpdateTargetById 942100 "!ARGS:password"`; a third word is the variable that the second takes the place of. */
function updateTarget(directive: Directive, linker: Linker): void {
  const { complaints } = linker
  const kind = kindOf(directive)
  const split = splitUpdate(directive, kind === 'id', 2, complaints)
  if (split === undefined) return
  const [change, replaced] = split.changes as [Word, Word?]
  const list = readTargets(change, complaints)
  const old = replaced === undefined ? [] : readTargets(replaced, complaints).targets
  const found: (readonly [DraftRule, number])[] =
    kind === 'id'
      ? readRanges(split.which, complaints).flatMap((range) =>
          findRange(range, linker).map((rule) => [rule, range.member] as const),
        )
      : findBy(kind, split.which[0]!, linker).map((rule) => [rule, 0] as const)
  for (const [rule, member] of found) {
    const condition = memberOf(rule, member, split.which[0]!, complaints)
    if (condition === undefined) continue
    if (condition.targets.length === 0) {
      if (kind === 'id') complaints.error(split.which[0]!, `rule ${rule.id} is a SecAction: it looks at no variable`)
      continue
    }
    const kept = condition.targets.filter((target) => !old.some((one) => isSame(one, target)))
    const targets = [...kept, ...list.targets.filter((target) => !kept.some((one) => isSame(one, target)))]
    if (targets.length === 0) complaints.error(change, `rule ${rule.id} would look at nothing`)
    condition.targets = targets
    condition.exclusions = [...condition.exclusions, ...list.exclusions]
  }
}

/** Words of an update: which rules, by ids as many as one likes, then the change. */
function splitUpdate(
  { name, words }: Directive,
  byId: boolean,
  changesMax: number,
  complaints: Complaints,
): { readonly which: readonly Word[]; readonly changes: readonly Word[] } | undefined {
  const second = words.findIndex((word, index) => index > 0 && !(byId && /^[\d\s,:-]+$/.test(word.text)))
  if (second === -1) {
    complaints.error(name, `${name.text} needs 2 values`)
    return undefined
  }
  const changes = words.slice(second)
  if (changes.length > changesMax) {
    complaints.error(changes[changesMax]!, 'a value too many', 'a value with white space is written in double quotes')
    return undefined
  }
  return { which: words.slice(0, second), changes }
}

function memberOf(rule: DraftRule, member: number, at: Piece, complaints: Complaints): DraftCondition | undefined {
  const condition = rule.conditions[member]
  if (condition === undefined)
    complaints.error(at, `the chain of rule ${rule.id} has ${rule.conditions.length} members, counted from 0`)
  return condition
}

function isSame(a: Target, b: Target): boolean {
  if (a.variable !== b.variable || a.count !== b.count || a.selector?.kind !== b.selector?.kind) return false
  if (a.selector === undefined || b.selector === undefined) return true
  const textOf = (target: NonNullable<Target['selector']>) => (target.kind === 'name' ? target.name : target.source)
  return textOf(a.selector) === textOf(b.selector)
}

/** `SecRuleUpdateActionById 942100 "pass,nolog"`: as if these actions stood at the end of the rule's own. */
function updateAction(directive: Directive, linker: Linker): void {
  const { complaints } = linker
  const split = splitUpdate(directive, true, 1, complaints)
  if (split === undefined) return
  const uses = readActions(split.changes[0]!, complaints).filter((use) => {
    const fixed = ['id', 'phase', 'chain'].includes(use.spec.name)
    if (fixed) complaints.error(use.name, `the ${use.spec.name} of a rule cannot be changed`)
    return !fixed
  })
  for (const range of readRanges(split.which, complaints)) {
    for (const rule of findRange(range, linker)) {
      const condition = memberOf(rule, range.member, range.at, complaints)
      if (condition === undefined) continue
      if (range.member > 0) applyToMember(uses, rule, condition, complaints)
      else for (const use of uses) use.spec.apply(use, rule, condition, complaints)
    }
  }
}

/** A change that found nothing is nearly always a mistake: a rule's id misspelled, or the lines in the wrong order. */
function tellIdle({ idle, items, removed, complaints }: Linker): void {
  for (const { at, what, finds } of idle) {
    const below = items.find((item): item is DraftRule => !('kind' in item) && !removed.has(item) && finds(item))
    if (below === undefined) complaints.warn(at, `there is no ${what}: nothing is changed`)
    else
      complaints.warn(
        at,
        `there is no ${what} above this line: nothing is changed. It stands in ${below.place.file}:${below.place.line}; move this line behind it`,
      )
  }
}

// Files

function includeFiles(directive: Directive, linker: Linker): void {
  const { complaints, include, reading } = linker
  if (!countsWords(directive, [1, 1], complaints)) return
  const word = directive.words[0]!
  const isOptional = lowerCase(directive.name.text) === 'includeoptional'
  if (include === undefined) return complaints.error(word, 'rules given without a folder cannot include files')
  if (reading.length > includeDepthMax)
    return complaints.error(word, `more than ${includeDepthMax} files inside each other`)
  let sources: readonly Source[]
  try {
    sources = include(resolveBeside(lineOf(word).file.name, word.text), placeOf(word))
  } catch (error) {
    return complaints.error(word, `cannot include ${word.text}: ${messageOf(error)}`)
  }
  if (sources.length === 0 && !isOptional) complaints.error(word, 'there is no such file')
  for (const source of sources) {
    linker.filesRead++
    if (linker.filesRead > filesMax) return complaints.error(word, `more than ${filesMax} files`)
    if (reading.includes(source.name)) complaints.error(word, `${source.name} includes itself`)
    else readSource(source, linker)
  }
}

// What is handed on

/** The rules that are left, and behind a rule that `skipAfter` names by its id the marker to land on. */
function withJumpTargets({ items, removed, rules, complaints }: Linker): (DraftRule | Marker)[] {
  const lastAt = new Map<string | DraftRule, number>()
  items.forEach((item, index) => {
    lastAt.set('kind' in item ? item.name : item, index)
  })
  const landings = new Map<DraftRule, Marker>()
  items.forEach((item, index) => {
    if ('kind' in item || removed.has(item) || item.skipAfter === undefined) return
    if ((lastAt.get(item.skipAfter) ?? -1) > index) return
    const landing = /^\d{1,15}$/.test(item.skipAfter) ? rules.get(Number(item.skipAfter)) : undefined
    if (landing !== undefined && lastAt.get(landing)! > index)
      landings.set(landing, { kind: 'marker', name: item.skipAfter, place: landing.place })
    else
      complaints.warn(
        item.skipAfterAt!,
        `no SecMarker ${quotedShort(item.skipAfter)} follows: the rest of the phase is skipped`,
      )
  })
  return items.flatMap((item): (DraftRule | Marker)[] => {
    if ('kind' in item) return [item]
    const landing = landings.get(item)
    return [...(removed.has(item) ? [] : [item]), ...(landing === undefined ? [] : [landing])]
  })
}

function byPhase(items: readonly (DraftRule | Marker)[]): RuleSet['phases'] {
  const phases: Record<Phase, (Rule | Marker)[]> = { 1: [], 2: [], 3: [], 4: [], 5: [] }
  for (const item of items) {
    if ('kind' in item) for (const phase of [1, 2, 3, 4, 5] as const) phases[phase].push(item)
    else phases[item.phase].push(ruleOf(item))
  }
  return phases
}

/** Statuses that send the caller elsewhere; another one would leave the address unread. */
const redirects = new Set([301, 302, 303, 307, 308])

function ruleOf(draft: DraftRule): Rule {
  const { inherited: _inherited, skipAfterAt: _skipAfterAt, ...rule } = draft
  const conditions = draft.conditions as Condition[] as [Condition, ...Condition[]]
  const [{ message, logData }] = conditions
  const status = draft.disruption === 'redirect' && !redirects.has(draft.status) ? 302 : draft.status
  return { kind: 'rule', ...rule, conditions, status, message, logData }
}

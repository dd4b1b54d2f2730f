import { nearest } from '../../base/suggest.ts'
import { readControl } from './controls.ts'
import { type Complaints, quotedShort } from './error.ts'
import { lowerCase, severities, transformations } from './known.ts'
import { closingQuote, isSpace, type Piece, pieceOf, trimmed, unquoted } from './piece.ts'
import type { Control, Disruption, OperatorUse, Phase, Place, SetVariable, Target } from './rule.ts'

/** A rule while its actions are being applied. */
export interface DraftRule {
  readonly place: Place
  readonly conditions: DraftCondition[]
  id: number
  phase: Phase
  disruption: Disruption
  redirect: string | undefined
  blocks: boolean
  /** What `block` stands for: the disruption that SecDefaultAction names. */
  inherited: { readonly disruption: Disruption; readonly redirect: string | undefined }
  status: number
  log: boolean
  auditLog: boolean
  tags: string[]
  severity: number | undefined
  version: string | undefined
  revision: string | undefined
  maturity: number | undefined
  accuracy: number | undefined
  skip: number
  skipAfter: string | undefined
  /** Where the jump is said, to complain of a marker that is not there. */
  skipAfterAt: Piece | undefined
  initCollections: { readonly collection: string; readonly key: string }[]
}

export interface DraftCondition {
  readonly place: Place
  targets: readonly Target[]
  exclusions: readonly Target[]
  readonly operator: OperatorUse
  transformations: string[]
  multiMatch: boolean
  capture: boolean
  setVariables: SetVariable[]
  controls: Control[]
  message: string | undefined
  logData: string | undefined
}

/** One action as it is written: `msg:'…'`. */
export interface ActionUse {
  readonly spec: ActionSpec
  readonly name: Piece
  readonly value: Piece
}

interface ActionSpec {
  readonly name: string
  readonly value: 'none' | 'needed' | 'optional'
  /**
   * Where it may stand. `head`: only at the first rule of a chain. `description`: there too, but at a later member
   * it does no harm. `anywhere`: each member has its own.
   */
  readonly belongs: 'head' | 'description' | 'anywhere'
  readonly disrupts: boolean
  readonly apply: (use: ActionUse, rule: DraftRule, condition: DraftCondition, complaints: Complaints) => void
}

/** Reads a list such as `id:1,phase:2,deny,msg:'a, b',t:none`. Unknown actions are complained of and left out. */
export function readActions(list: Piece, complaints: Complaints): ActionUse[] {
  const { text } = list
  const uses: ActionUse[] = []
  let at = 0
  for (;;) {
    while (at < text.length && isSpace(text.charCodeAt(at))) at++
    if (at >= text.length) return uses
    const start = at
    while (at < text.length && text[at] !== ':' && text[at] !== ',') at++
    const name = trimmed(list, start, at)
    let value = pieceOf(list, at, at)
    const hasValue = text[at] === ':'
    if (hasValue) {
      const read = readValue(list, at + 1, lowerCase(name.text) === 'ctl', complaints)
      value = read.value
      at = read.end
    }
    const spec = actions.get(lowerCase(name.text))
    if (spec === undefined) complainOfName(name, pieceOf(list, start, start + 1), complaints)
    else if (hasValue && spec.value === 'none') complaints.error(value, `${spec.name} takes no value`)
    else if (spec.value === 'needed' && value.text === '') complaints.error(name, `${spec.name} needs a value`)
    else uses.push({ spec, name, value })
    if (at >= text.length) return uses
    at++
  }
}

/** What stands after the colon, up to the comma; `end` is the index of that comma, or of the end. */
function readValue(
  list: Piece,
  from: number,
  isControl: boolean,
  complaints: Complaints,
): { value: Piece; end: number } {
  const { text } = list
  let start = from
  while (start < text.length && isSpace(text.charCodeAt(start))) start++
  if (text[start] === "'") {
    const closing = closingQuote(text, start + 1, "'")
    if (closing === -1) {
      complaints.error(
        pieceOf(list, start, start + 1),
        'this quote is not closed',
        "write \\' for a quote inside the quotes",
      )
      return { value: unquoted(list, start + 1, text.length, "'"), end: text.length }
    }
    let end = closing + 1
    while (end < text.length && isSpace(text.charCodeAt(end))) end++
    if (end < text.length && text[end] !== ',') {
      const hint = "write \\' for a quote inside the quotes"
      complaints.error(pieceOf(list, end, end + 1), 'expected a comma after the closing quote', hint)
      const comma = text.indexOf(',', end)
      end = comma === -1 ? text.length : comma
    }
    return { value: unquoted(list, start + 1, closing, "'"), end }
  }
  let end = isControl ? endOfControl(text, start) : text.indexOf(',', start)
  if (end === 'open') {
    const quote = text.indexOf(":'", start) + 1
    complaints.error(pieceOf(list, quote, quote + 1), 'this quote is not closed')
    end = text.indexOf(',', start)
  }
  if (end === -1) end = text.length
  return { value: trimmed(list, start, end), end }
}

/** The comma behind `ruleRemoveTargetById=1;ARGS:'/a{1,2}/'`: one inside the quotes belongs to the pattern. */
export function endOfControl(text: string, start: number): number | 'open' {
  for (let at = start; at < text.length; at++) {
    if (text[at] === ',') return at
    if (text[at] !== ':' || text[at + 1] !== "'") continue
    at = closingQuote(text, at + 2, "'")
    if (at === -1) return 'open'
  }
  return -1
}

function complainOfName(name: Piece, at: Piece, complaints: Complaints): void {
  if (name.text === '') return complaints.error(at, 'expected an action', 'a comma too many?')
  if (name.text.startsWith('#'))
    return complaints.error(
      name,
      `unknown action ${quotedShort(name.text)}`,
      'a comment cannot stand inside a directive',
    )
  const near = nearest(
    name.text,
    [...actions.values()].map((spec) => spec.name),
  )
  const hint = near === undefined ? undefined : `did you mean "${near}"?`
  complaints.error(name, `unknown action ${quotedShort(name.text)}`, hint)
}

type Apply = ActionSpec['apply']

const actions: ReadonlyMap<string, ActionSpec> = new Map(
  [
    // What a rule is, for whom reads of it.
    head('id', 'needed', (use, rule, _condition, complaints) => {
      const id = readNumber(use.value, 1, Number.MAX_SAFE_INTEGER, 'a rule id', complaints)
      if (id !== undefined) rule.id = id
    }),
    head('phase', 'needed', (use, rule, _condition, complaints) => {
      const phase = phaseOf(use, complaints)
      if (phase !== undefined) rule.phase = phase
    }),
    anywhere('msg', 'needed', (use, _rule, condition) => {
      condition.message = use.value.text
    }),
    anywhere('logdata', 'needed', (use, _rule, condition) => {
      condition.logData = use.value.text
    }),
    description('tag', (use, rule) => {
      if (!rule.tags.includes(use.value.text)) rule.tags.push(use.value.text)
    }),
    description('severity', (use, rule, _condition, complaints) => {
      rule.severity = severityOf(use.value, complaints) ?? rule.severity
    }),
    description('ver', (use, rule) => {
      rule.version = use.value.text
    }),
    description('rev', (use, rule) => {
      rule.revision = use.value.text
    }),
    description('maturity', (use, rule, _condition, complaints) => {
      rule.maturity = readNumber(use.value, 0, 10, 'a number from 0 to 10', complaints)
    }),
    description('accuracy', (use, rule, _condition, complaints) => {
      rule.accuracy = readNumber(use.value, 0, 10, 'a number from 0 to 10', complaints)
    }),

    // What becomes of the request.
    disruptive('pass', 'none', (_use, rule) => disrupt(rule, 'pass')),
    disruptive('deny', 'none', (_use, rule) => disrupt(rule, 'deny')),
    disruptive('drop', 'none', (_use, rule) => disrupt(rule, 'drop')),
    disruptive('allow', 'optional', (use, rule, _condition, complaints) => {
      const scope = lowerCase(use.value.text)
      if (scope === '') disrupt(rule, 'allow')
      else if (scope === 'phase' || scope === 'request') disrupt(rule, `allow:${scope}`)
      else complaints.error(use.value, 'expected allow, allow:phase or allow:request')
    }),
    disruptive('redirect', 'needed', (use, rule) => {
      disrupt(rule, 'redirect')
      rule.redirect = use.value.text
    }),
    disruptive('block', 'none', (_use, rule) => {
      rule.disruption = rule.inherited.disruption
      rule.redirect = rule.inherited.redirect
      rule.blocks = true
    }),
    disruptive('proxy', 'needed', (use, _rule, _condition, complaints) =>
      complaints.error(use.name, 'proxy is not supported', 'use deny or redirect'),
    ),
    description('status', (use, rule, _condition, complaints) => {
      rule.status = readNumber(use.value, 100, 599, 'a status from 100 to 599', complaints) ?? rule.status
    }),

    // What is written down. `log` and `nolog` speak for the audit log too, as in ModSecurity 2 and Coraza.
    description('log', (_use, rule) => setLog(rule, true, true), 'none'),
    description('nolog', (_use, rule) => setLog(rule, false, false), 'none'),
    description('auditlog', (_use, rule) => setLog(rule, rule.log, true), 'none'),
    description('noauditlog', (_use, rule) => setLog(rule, rule.log, false), 'none'),

    // Which rules come next.
    anywhere('chain', 'none', () => {}),
    head('skip', 'needed', (use, rule, _condition, complaints) => {
      rule.skip = readNumber(use.value, 1, 1_000_000, 'how many rules to skip', complaints) ?? 0
    }),
    head('skipAfter', 'needed', (use, rule) => {
      rule.skipAfter = use.value.text
      rule.skipAfterAt = use.value
    }),

    // How values are looked at, and what a match leaves behind.
    anywhere('t', 'needed', (use, _rule, condition, complaints) => {
      const known = transformations.get(lowerCase(use.value.text))
      if (known === 'none') condition.transformations = []
      else if (known !== undefined) condition.transformations.push(lowerCase(known))
      else {
        const near = nearest(use.value.text, transformations.values())
        const hint = near === undefined ? undefined : `did you mean "${near}"?`
        complaints.error(use.value, `unknown transformation ${quotedShort(use.value.text)}`, hint)
      }
    }),
    anywhere('multiMatch', 'none', (_use, _rule, condition) => {
      condition.multiMatch = true
    }),
    anywhere('capture', 'none', (_use, _rule, condition) => {
      condition.capture = true
    }),
    anywhere('setvar', 'needed', (use, _rule, condition, complaints) => {
      const set = readSetVariable(use.value, complaints)
      if (set !== undefined) condition.setVariables.push(set)
    }),
    anywhere('setenv', 'needed', (use, _rule, condition) => {
      const { text } = use.value
      const unset = text.startsWith('!')
      const equals = text.indexOf('=')
      const name = text.slice(unset ? 1 : 0, equals === -1 ? undefined : equals)
      const value = unset ? '' : equals === -1 ? '1' : text.slice(equals + 1)
      condition.setVariables.push({ collection: 'ENV', name, operation: unset ? 'unset' : 'set', value })
    }),
    anywhere('ctl', 'needed', (use, _rule, condition, complaints) => {
      const control = readControl(use.value, complaints)
      if (control !== undefined) condition.controls.push(control)
    }),
    anywhere('initcol', 'needed', (use, rule, _condition, complaints) => {
      const match = /^(\w+)=(.+)$/s.exec(use.value.text)
      if (match === null) complaints.error(use.value, 'expected a collection and its key, as ip=%{REMOTE_ADDR}')
      else rule.initCollections.push({ collection: lowerCase(match[1]!), key: match[2]! })
    }),
    ...(['session', 'user', 'resource'] as const).map((collection) =>
      anywhere({ session: 'setsid', user: 'setuid', resource: 'setrsc' }[collection], 'needed', (use, rule) => {
        rule.initCollections.push({ collection, key: use.value.text })
      }),
    ),

    // Known, and without effect here.
    ...[
      ['append', 'needed', 'responses are not changed'],
      ['prepend', 'needed', 'responses are not changed'],
      ['pause', 'needed', 'requests are not delayed'],
      ['exec', 'needed', 'no script is run'],
      ['expirevar', 'needed', 'variables live as long as their transaction, or as the collection does'],
      ['deprecatevar', 'needed', 'variables live as long as their transaction, or as the collection does'],
      ['sanitiseArg', 'needed', 'there is no audit log; events are masked in any case'],
      ['sanitiseMatched', 'none', 'there is no audit log; events are masked in any case'],
      ['sanitiseMatchedBytes', 'optional', 'there is no audit log; events are masked in any case'],
      ['sanitiseRequestHeader', 'needed', 'there is no audit log; events are masked in any case'],
      ['sanitiseResponseHeader', 'needed', 'there is no audit log; events are masked in any case'],
      ['xmlns', 'needed', 'elements are compared without their namespaces'],
    ].map(([name, value, why]) =>
      anywhere(name!, value as ActionSpec['value'], (use, _rule, _condition, complaints) =>
        complaints.warn(use.name, `${name} has no effect: ${why}`),
      ),
    ),
  ].map((spec) => [lowerCase(spec.name), spec]),
)

function head(name: string, value: ActionSpec['value'], apply: Apply): ActionSpec {
  return { name, value, belongs: 'head', disrupts: false, apply }
}

function disruptive(name: string, value: ActionSpec['value'], apply: Apply): ActionSpec {
  return { name, value, belongs: 'head', disrupts: true, apply }
}

function description(name: string, apply: Apply, value: ActionSpec['value'] = 'needed'): ActionSpec {
  return { name, value, belongs: 'description', disrupts: false, apply }
}

function anywhere(name: string, value: ActionSpec['value'], apply: Apply): ActionSpec {
  return { name, value, belongs: 'anywhere', disrupts: false, apply }
}

function disrupt(rule: DraftRule, disruption: Disruption): void {
  rule.disruption = disruption
  rule.redirect = undefined
  rule.blocks = false
}

function setLog(rule: DraftRule, log: boolean, auditLog: boolean): void {
  rule.log = log
  rule.auditLog = auditLog
}

const phases: ReadonlyMap<string, Phase> = new Map([
  ['1', 1],
  ['2', 2],
  ['3', 3],
  ['4', 4],
  ['5', 5],
  ['request', 2],
  ['response', 4],
  ['logging', 5],
])

/** The phase that an action names; `undefined` after a complaint. */
export function phaseOf(use: ActionUse, complaints: Complaints): Phase | undefined {
  const phase = phases.get(lowerCase(use.value.text))
  if (phase === undefined)
    complaints.error(
      use.value,
      `unknown phase ${quotedShort(use.value.text)}`,
      'expected 1 to 5, request, response or logging',
    )
  return phase
}

function severityOf(value: Piece, complaints: Complaints): number | undefined {
  const { text } = value
  if (/^[0-7]$/.test(text)) return Number(text)
  const index = severities.findIndex((name) => lowerCase(name) === lowerCase(text))
  if (index !== -1) return index
  const near = nearest(text, severities)
  const hint = near === undefined ? `expected 0 to 7 or ${severities.join(', ')}` : `did you mean ${near}?`
  complaints.error(value, `unknown severity ${quotedShort(text)}`, hint)
  return undefined
}

const setCollections: ReadonlyMap<string, SetVariable['collection']> = new Map(
  (['TX', 'IP', 'GLOBAL', 'SESSION', 'USER', 'RESOURCE', 'ENV'] as const).map((name) => [lowerCase(name), name]),
)

/** Reads `tx.score=+%{tx.critical}`, `!tx.score`, or `tx.flag`, which sets it to 1. */
function readSetVariable(piece: Piece, complaints: Complaints): SetVariable | undefined {
  const { text } = piece
  const unset = text.startsWith('!')
  const match = /^!?(\w*)([.:]?)/.exec(text)!
  const from = match[0].length
  const collection = setCollections.get(lowerCase(match[1]!))
  if (collection === undefined || match[2] === '') {
    const shown = pieceOf(piece, unset ? 1 : 0, Math.max(from - match[2]!.length, unset ? 2 : 1))
    const near = collection === undefined ? nearest(match[1]!, setCollections.values()) : undefined
    const hint = near === undefined ? 'expected a name such as tx.score' : `did you mean ${near}?`
    complaints.error(
      shown,
      collection === undefined ? 'variables of this collection cannot be set' : 'expected the name of a variable',
      hint,
    )
    return undefined
  }
  const equals = text.indexOf('=', from)
  const name = lowerCase(text.slice(from, equals === -1 ? undefined : equals).trim())
  if (name === '') {
    complaints.error(piece, 'expected the name of a variable', 'expected a name such as tx.score')
    return undefined
  }
  if (unset) {
    if (equals !== -1) complaints.error(piece, 'a variable is either unset or given a value')
    return { collection, name, operation: 'unset', value: '' }
  }
  if (equals === -1) return { collection, name, operation: 'set', value: '1' }
  const value = text.slice(equals + 1)
  if (value.startsWith('+')) return { collection, name, operation: 'add', value: value.slice(1) }
  if (value.startsWith('-')) return { collection, name, operation: 'subtract', value: value.slice(1) }
  return { collection, name, operation: 'set', value }
}

/** A whole number from `min` to `max`; `undefined` after a complaint. */
export function readNumber(
  piece: Piece,
  min: number,
  max: number,
  expected: string,
  complaints: Complaints,
): number | undefined {
  const number = /^\d{1,16}$/.test(piece.text) ? Number(piece.text) : Number.NaN
  if (number >= min && number <= max) return number
  complaints.error(piece, `expected ${expected}, found ${quotedShort(piece.text)}`)
  return undefined
}

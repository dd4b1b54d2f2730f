import { endOfControl } from './actions.ts'
import { severities, transformations } from './known.ts'
import { isEscaped } from './piece.ts'
import type { Condition, Control, OperatorUse, Rule, SetVariable, Target } from './rule.ts'
import { closingSlash } from './targets.ts'

/**
 * A linked rule as SecLang again: what it came to after defaults and updates, in a fixed order. Read back, it is the
 * same rule; only `block` needs the SecDefaultAction that says what it stands for.
 */
export function printRule(rule: Rule): string {
  return rule.conditions
    .map((condition, index) => {
      const isLast = index === rule.conditions.length - 1
      const actions = [
        ...(index === 0 ? headActions(rule) : []),
        ...conditionActions(condition, index === 0 ? rule : undefined),
        ...(isLast ? [] : [['chain', undefined] as const]),
      ]
      const indent = '    '.repeat(index)
      const list = `\\\n${indent}    ${printActions(actions, `,\\\n${indent}    `)}`
      if (isAction(condition)) return `${indent}SecAction ${list}`
      const targets = printTargets(condition)
      // White space keeps a last backslash from escaping the quote mark, and counts nothing.
      const variables = isEscaped(targets, targets.length, 0) ? `${targets} ` : targets
      return `${indent}SecRule ${printWord(variables)} ${printOperator(condition.operator)} ${list}`
    })
    .join('\n')
}

/** `ARGS|!ARGS:id`: what a condition looks at. */
export function printTargets({ targets, exclusions }: Pick<Condition, 'targets' | 'exclusions'>): string {
  return [
    ...targets.map((target) => printTarget(target)),
    ...exclusions.map((target) => `!${printTarget(target)}`),
  ].join('|')
}

function printTarget({ variable, selector, count }: Target, inControl = false): string {
  const name = `${count ? '&' : ''}${variable}`
  if (selector === undefined) return name
  if (selector.kind === 'pattern') {
    const plain = `/${selector.source}/`
    return `${name}:${closingSlash(plain, 1) === plain.length - 1 && !(inControl && canBeQuoted(plain)) ? plain : quoted(plain, "'")}`
  }
  const text = selector.name
  const isPlain = text !== '' && !/^['\s]|\||\s$/.test(text) && (variable === 'XML' || text[0] !== '/')
  return `${name}:${isPlain && !(inControl && canBeQuoted(text)) ? text : quoted(text, "'")}`
}

/** Inside `ctl:…` a quote mark behind a colon opens a quote: what holds one is better quoted itself. */
function canBeQuoted(text: string): boolean {
  return text.includes("'") && holds(text, "'", false)
}

function isAction({ targets, operator }: Condition): boolean {
  return targets.length === 0 && operator.name === 'unconditionalMatch'
}

function printOperator({ name, negated, argument }: OperatorUse): string {
  const sign = negated ? '!' : ''
  const text = `${sign}@${name}${argument === '' ? '' : ` ${argument}`}`
  for (const quote of ['"', "'"]) if (holds(text, quote, false)) return quoted(text, quote)
  return name === 'rx' && !/^[!@]/.test(argument) ? sign + argument : text
}

/** A value may have two spellings, since not all can be quoted once more. */
type Action = readonly [name: string, value: string | undefined, other?: string]

function headActions(rule: Rule): Action[] {
  const disruption: Action = rule.blocks
    ? ['block', undefined]
    : rule.disruption === 'redirect'
      ? ['redirect', rule.redirect]
      : disruptionOf(rule)
  const optional: readonly (readonly [string, string | number | undefined])[] = [
    ['ver', rule.version],
    ['rev', rule.revision],
    ['severity', rule.severity === undefined ? undefined : severities[rule.severity]],
    ['maturity', rule.maturity],
    ['accuracy', rule.accuracy],
    ['skip', rule.skip === 0 ? undefined : rule.skip],
    ['skipAfter', rule.skipAfter],
  ]
  return [
    ...(rule.id === 0 ? [] : [['id', String(rule.id)] as const]),
    ['phase', String(rule.phase)],
    [disruption[0], disruption[1]],
    ...(rule.status === 403 ? [] : [['status', String(rule.status)] as const]),
    [rule.log ? 'log' : 'nolog', undefined],
    ...(rule.log === rule.auditLog ? [] : [[rule.auditLog ? 'auditlog' : 'noauditlog', undefined] as const]),
    ...rule.tags.map((tag) => ['tag', tag] as const),
    ...optional.flatMap(([name, value]) => (value === undefined ? [] : [[name, String(value)] as const])),
    ...rule.initCollections.map(({ collection, key }) => ['initcol', `${collection}=${key}`] as const),
  ]
}

function disruptionOf({ disruption }: Rule): Action {
  const [name, scope] = disruption.split(':')
  return [name!, scope]
}

function conditionActions(condition: Condition, rule: Rule | undefined): Action[] {
  const message = rule?.message ?? condition.message
  const logData = rule?.logData ?? condition.logData
  // A SecAction has nothing to transform.
  const clears = !isAction(condition) || condition.transformations.length > 0
  return [
    ...(clears ? [['t', 'none'] as const] : []),
    ...condition.transformations.map((name) => ['t', transformations.get(name) ?? name] as const),
    ...(condition.multiMatch ? [['multiMatch', undefined] as const] : []),
    ...(condition.capture ? [['capture', undefined] as const] : []),
    ...(message === undefined ? [] : [['msg', message] as const]),
    ...(logData === undefined ? [] : [['logdata', logData] as const]),
    ...condition.controls.map((control) => ['ctl', printControl(control, false), printControl(control, true)] as const),
    ...condition.setVariables.map(printSetVariable),
  ]
}

function printControl({ name, value, targets }: Control, isQuoted: boolean): string {
  const list = targets.length === 0 ? '' : `;${targets.map((target) => printTarget(target, isQuoted)).join('|')}`
  return `${name}=${value}${list}`
}

function printSetVariable({ collection, name, operation, value }: SetVariable): Action {
  const isEnv = collection === 'ENV' && (operation === 'set' || operation === 'unset')
  const variable = isEnv ? name : `${collection.toLowerCase()}.${name}`
  const sign = { set: '=', add: '=+', subtract: '=-', unset: '' }[operation]
  return [isEnv ? 'setenv' : 'setvar', operation === 'unset' ? `!${variable}` : `${variable}${sign}${value}`]
}

/**
 * The list as one word. There are texts that one way of quoting cannot hold, such as a backslash before a quote mark;
 * what was read can always be written in one of the ways.
 */
function printActions(actions: readonly Action[], separator: string): string {
  const quotedList = actions.map((action) => printAction(action, true))
  const bareList = actions.map((action) => printAction(action, false))
  const join = (list: readonly string[], quote: string) => {
    const texts = quote === '' ? list : list.map((text) => escaped(text, quote))
    // A comma at the end keeps a last backslash from escaping the quote mark.
    const end = isEscaped(list.at(-1) ?? '', list.at(-1)?.length ?? 0, 0) ? ',' : ''
    return `${quote}${texts.join(separator)}${end}${quote}`
  }
  for (const quote of ['"', "'"])
    for (const list of [quotedList, bareList])
      if (list.every((text) => holds(text, quote, true))) return join(list, quote)
  const spaceless = [quotedList, bareList].find((list) => list.length > 0 && list.every((text) => !/\s/.test(text)))
  return spaceless === undefined ? join(quotedList, '"') : join(spaceless, '')
}

function printAction([name, ...values]: Action, prefersQuotes: boolean): string {
  const written = values.filter((value) => value !== undefined)
  if (written.length === 0) return name
  const isSimple = name === 'ctl' ? /^[\w./:;=-]+$/ : /^[\w./%{}-]+$/
  if (isSimple.test(written[0]!)) return `${name}:${written[0]}`
  const quotedForm = written.find((value) => holds(value, "'", false))
  const bareForm = written.find((value) => {
    const isWhole = name === 'ctl' ? endOfControl(value, 0) === -1 : !value.includes(',')
    return isWhole && !/^$|^['\s]|\s$/.test(value)
  })
  const isQuoted = quotedForm !== undefined && (prefersQuotes || bareForm === undefined)
  return `${name}:${isQuoted ? quoted(quotedForm, "'") : (bareForm ?? written[0])}`
}

function printWord(text: string): string {
  if (/^[^"'\s]+$/.test(text)) return text
  for (const quote of ['"', "'"]) if (holds(text, quote, false)) return quoted(text, quote)
  return text
}

/** Whether a text can stand between these quote marks: no mark in it follows a lone backslash, nor does the end. */
function holds(text: string, quote: string, isFollowed: boolean): boolean {
  if (!isFollowed && isEscaped(text, text.length, 0)) return false
  for (let at = text.indexOf(quote); at !== -1; at = text.indexOf(quote, at + 1))
    if (isEscaped(text, at, 0)) return false
  return true
}

function quoted(text: string, quote: string): string {
  return `${quote}${escaped(text, quote)}${quote}`
}

function escaped(text: string, quote: string): string {
  return text.replaceAll(quote, `\\${quote}`)
}

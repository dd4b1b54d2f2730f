import { severities, transformations } from './known.ts'
import { isEscaped } from './piece.ts'
import type { Condition, Control, OperatorUse, Rule, SetVariable, Target } from './rule.ts'

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
      return `${indent}SecRule ${printWord(printTargets(condition))} ${printOperator(condition.operator)} ${list}`
    })
    .join('\n')
}

/** `ARGS|!ARGS:id`: what a condition looks at. */
export function printTargets({ targets, exclusions }: Pick<Condition, 'targets' | 'exclusions'>): string {
  return [...targets.map(printTarget), ...exclusions.map((target) => `!${printTarget(target)}`)].join('|')
}

export function printTarget({ variable, selector, count }: Target): string {
  const name = `${count ? '&' : ''}${variable}`
  if (selector === undefined) return name
  if (selector.kind === 'pattern') {
    const plain = `/${selector.source}/`
    return `${name}:${endsAtLastSlash(selector.source) ? plain : quoted(plain, "'")}`
  }
  const isPlain =
    selector.name !== '' && !/^['\s]|\||\s$/.test(selector.name) && (variable === 'XML' || selector.name[0] !== '/')
  return `${name}:${isPlain ? selector.name : quoted(selector.name, "'")}`
}

/** Whether the parser finds the end of the pattern where it is. */
function endsAtLastSlash(source: string): boolean {
  return !isEscaped(source, source.length, 0) && !/\/\s*\|/.test(source)
}

function isAction({ targets, operator }: Condition): boolean {
  return targets.length === 0 && operator.name === 'unconditionalMatch'
}

function printOperator({ name, negated, argument }: OperatorUse): string {
  return printWord(`${negated ? '!' : ''}@${name}${argument === '' ? '' : ` ${argument}`}`)
}

type Action = readonly [name: string, value: string | undefined]

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
    ...condition.controls.map((control) => ['ctl', printControl(control)] as const),
    ...condition.setVariables.map(printSetVariable),
  ]
}

function printControl({ name, value, targets }: Control): string {
  const list = targets.length === 0 ? '' : `;${targets.map(printTarget).join('|')}`
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

function printAction([name, value]: Action, quotes: boolean): string {
  if (value === undefined) return name
  if (/^[\w./%{}-]+$/.test(value) || (name === 'ctl' && /^[\w./:;=-]+$/.test(value))) return `${name}:${value}`
  const canBeBare = value !== '' && !/^['\s]|,|\s$/.test(value) && !(name === 'ctl' && value.includes(":'"))
  const canBeQuoted = holds(value, "'", false)
  return `${name}:${canBeQuoted && (quotes || !canBeBare) ? quoted(value, "'") : value}`
}

function printWord(text: string): string {
  if (/^[^@"'\s][^"'\s]*$/.test(text)) return text
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

import type { RecordedMatch, TrafficRecord } from '../traffic/record.ts'

/** The rules that fitted a request, and how to take them out where they were wrong. Empty when none did. */
export function matchesText(record: TrafficRecord): string {
  const { matches = [] } = record
  if (matches.length === 0) return ''
  const rules = matches.map(({ rule, severity, score, message, variable, data, tags }) => {
    const points = score > 0 ? ` +${score}` : ''
    const where = variable === '' ? [] : [`at ${variable}${data === undefined ? '' : `: ${JSON.stringify(data)}`}`]
    const lines = [`${rule} ${severity ?? ''}${points}  ${message}`, ...where, tags.slice(0, 6).join(', ')]
    return lines.filter((line) => line !== '').join('\n                ')
  })
  const shown = `\n  rules       ${rules.join('\n              ')}`
  const exclusions = exclusionsFor(record)
  if (exclusions.length === 0) return shown
  return `${shown}\n\nWhere this was no attack, add what is true of it to apis.${record.api}.waf, and say why:\n\n    exclusions:\n${exclusions
    .map((one) => `      - ${one}`)
    .join('\n')}`
}

/** One line of YAML for each rule and place, as narrow as the record tells. */
export function exclusionsFor({ matches = [], operation, method, route, api }: TrafficRecord): string[] {
  if (api === '-') return []
  const match = selectorOf(operation, method, route)
  const lines = matches
    // What only adds up has no points of its own, and nothing to exclude.
    .filter(({ score }) => score > 0)
    .map((one) => {
      const target = targetOf(one)
      const parts = [
        `rule: ${one.rule}`,
        ...(target === undefined ? [] : [`target: ${JSON.stringify(target)}`]),
        ...(match === undefined ? [] : [`match: ${JSON.stringify(match)}`]),
        'reason: "…"',
      ]
      return `{ ${parts.join(', ')} }`
    })
  return [...new Set(lines)]
}

function selectorOf(operation: string, method: string, route: string): string | undefined {
  if (operation.startsWith('unlisted-') || operation === 'unroutable') return undefined
  return /\s/.test(operation) ? `${method} ${route}` : `op:${operation}`
}

/** As an exclusion names it; a place in a JSON body as a pointer, with `*` for any item. `undefined`: it cannot be named. */
function targetOf({ variable }: RecordedMatch): string | undefined {
  if (variable === '' || variable.startsWith('TX:') || variable.includes('***') || /[\s"'|,!&\\]/.test(variable)) {
    return undefined
  }
  const json = /^ARGS(?:_POST)?:json\.(.+)$/.exec(variable)?.[1]
  if (json === undefined || json.includes('/')) return variable
  const tokens = json.split('.').map((token) => (/^\d+$/.test(token) ? '*' : token))
  return `/${tokens.join('/')}`
}

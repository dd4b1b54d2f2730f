import type { Match } from './request.ts'
import type { Transaction } from './transaction.ts'

const severities = ['EMERGENCY', 'ALERT', 'CRITICAL', 'ERROR', 'WARNING', 'NOTICE', 'INFO', 'DEBUG']

/** A match as ModSecurity writes it to an error log: what tools around the CRS read. Values stand in it as they came. */
export function logLine(match: Match, { head, interruption }: Transaction): string {
  const { rule, message, data, variable, severity, tags } = match
  const done = interruption?.ruleId === rule.id ? `Access denied with code ${interruption.status}` : 'Warning'
  const fields = [
    ['file', rule.place.file],
    ['line', String(rule.place.line)],
    ['id', String(rule.id)],
    ['rev', rule.revision],
    ['msg', message],
    ['data', data],
    ['severity', severity === undefined ? undefined : severities[severity]],
    ['ver', rule.version],
    ['maturity', rule.maturity?.toString()],
    ['accuracy', rule.accuracy?.toString()],
    ...tags.map((tag) => ['tag', tag]),
    ['hostname', head.server.name ?? head.server.address],
    ['uri', head.uri],
    ['unique_id', head.id],
  ].flatMap(([name, value]) => (value === undefined || value === '' ? [] : [`[${name} "${escaped(value)}"]`]))
  const what = variable === '' ? 'Unconditional match.' : `Matched at ${escaped(variable)}.`
  return `[client ${head.client.address}] ModSecurity: ${done} (phase ${rule.phase}). ${what} ${fields.join(' ')}`
}

/** One line stays one line, and a quote in a value ends no field. */
function escaped(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is escaped.
  return text.replace(/["\\\x00-\x1f\x7f-\xff]/g, (char) => {
    if (char === '"') return '\\"'
    return char === '\\' ? char : `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`
  })
}

import type { RuleMatch } from '../../traffic/passage.ts'
import { logLine, type Match, severities, type Transaction } from '../../waf/index.ts'

/** What a rule of a severity adds to the score, where the rule set goes by the CRS's table. */
const pointsOf: Readonly<Record<string, number>> = { CRITICAL: 5, ERROR: 4, WARNING: 3, NOTICE: 2 }
/** Enough for whoever writes it down to find secrets in it before it is cut further. */
const dataCharsMax = 512

/** Variables that hold all there is, and with it what is nobody's business. */
const wholes = new Set(['', 'REQUEST_BODY', 'RESPONSE_BODY', 'FULL_REQUEST', 'REQUEST_LINE', 'QUERY_STRING'])

/** A match as the gate tells of it: as text, cut, still to be masked. */
export function ruleMatch(match: Match, transaction: Transaction): RuleMatch {
  const { rule, message, captured, value, variable, tags, severity } = match
  const name = severity === undefined ? undefined : severities[severity]
  // What the pattern matched, not what stands around it.
  const data = captured !== undefined && captured !== '' ? captured : wholes.has(variable) ? undefined : value
  return {
    rule: rule.id,
    message: textOf(message, 256),
    severity: name,
    // Rules of the phase's verdict carry a severity, and no points.
    score: rule.blocks || rule.disruption === 'pass' ? (pointsOf[name ?? ''] ?? 0) : 0,
    tags,
    variable: textOf(variable, 256),
    // A verdict's own value is a sum.
    data: data === undefined || variable.startsWith('TX:') ? undefined : textOf(data, dataCharsMax),
    line: () => logLine(match, transaction),
  }
}

/** Bytes as text; what is no UTF-8 shows as U+FFFD. */
function textOf(value: string, charsMax: number): string {
  return Buffer.from(value.length > charsMax ? value.slice(0, charsMax) : value, 'latin1').toString('utf8')
}

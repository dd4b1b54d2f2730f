import type { Expected } from './read.ts'

/** What came of sending a stage's request. */
export interface Seen {
  /** `undefined`: no reply. */
  readonly status: number | undefined
  /** Ids of the rules that were logged (rules with `nolog` are not). */
  readonly ids: readonly number[]
  /** What a log in ModSecurity's form would hold, one line per match. */
  readonly log: readonly string[]
  /** The whole reply; only looked at where a test asks for it. */
  readonly response?: string
}

/** What is wrong with what was seen, in words; empty when the stage passed. As go-ftw judges it. */
export function judge(expected: Expected, seen: Seen): string[] {
  if (expected.error) return seen.status === undefined ? [] : [`expected no reply, seen status ${seen.status}`]
  if (seen.status === undefined) return ['expected a reply, seen none']
  const wrong: string[] = []
  const ids = new Set(seen.ids)
  if (expected.status !== undefined && expected.status !== seen.status) {
    wrong.push(`expected status ${expected.status}, seen ${seen.status}`)
  }
  if (expected.response !== undefined && !expected.response.test(seen.response ?? '')) {
    wrong.push(`expected a reply that matches ${expected.response}`)
  }
  const missing = expected.ids.filter((id) => !ids.has(id))
  if (missing.length > 0) wrong.push(`expected rule ${missing.join(', ')}, seen ${list(ids)}`)
  const unwanted = expected.forbiddenIds.filter((id) => ids.has(id))
  if (unwanted.length > 0) wrong.push(`expected no rule ${unwanted.join(', ')}, seen ${list(ids)}`)
  const { log, forbiddenLog } = expected
  if (log !== undefined && !seen.log.some((line) => log.test(line))) {
    wrong.push(`expected a log line that matches ${log}, seen rules ${list(ids)}`)
  }
  const line = forbiddenLog === undefined ? undefined : seen.log.find((line) => forbiddenLog.test(line))
  if (line !== undefined) wrong.push(`expected no log line that matches ${forbiddenLog}, seen ${line}`)
  if (expected.isolated && ids.size !== 1) wrong.push(`expected one rule alone, seen ${list(ids)}`)
  return wrong
}

function list(ids: ReadonlySet<number>): string {
  return ids.size === 0 ? 'none' : [...ids].sort((a, b) => a - b).join(', ')
}

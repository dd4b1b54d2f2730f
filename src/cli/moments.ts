import { parseDuration } from '../base/units.ts'
import { UsageError } from './command.ts'

/** A duration of the command line in milliseconds. Throws a `UsageError` that names the option. */
export function durationOf(text: string, flag: string): number {
  try {
    return parseDuration(text)
  } catch (error) {
    throw new UsageError(`${flag}: ${(error as Error).message}`)
  }
}

/** A moment of the command line: so long from now, or a time in RFC 3339. Throws a `UsageError` that names the option. */
export function timeOf(text: string, flag: string, now = Date.now()): number {
  if (/^\d+(?:\.\d+)?[a-z]+$/.test(text)) return now + durationOf(text, flag)
  // Without a zone it would mean another moment on another machine.
  const time = /^\d{4}-\d\d-\d\d(?:T\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:\d\d))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN
  if (Number.isNaN(time)) {
    throw new UsageError(`${flag}: expected a duration such as 2h, or a time such as 2026-12-01T08:00:00Z`)
  }
  return time
}

/** A time as `--json` and tables show it (RFC 3339). */
export function isoOf(time: number | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString()
}

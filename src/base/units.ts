import { type CalendarUnit, calendarUnits } from './calendar.ts'

const durationUnits: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  sec: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  hour: 3_600_000,
  d: 86_400_000,
  day: 86_400_000,
  w: 604_800_000,
  month: 2_592_000_000,
}
const byteUnits: Readonly<Record<string, number>> = { '': 1, B: 1, KB: 1024, MB: 1024 ** 2, GB: 1024 ** 3 }

/** `90s`, `15m`, `2h`, `30d`, `250ms` as milliseconds. Throws an Error that says what was expected. */
export function parseDuration(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)$/.exec(text)
  if (match === null) throw new Error('expected a duration such as 250ms, 30s, 15m, 2h or 30d')
  return Number(match[1]) * durationUnits[match[2]!]!
}

/** `512`, `16KB`, `1MB`, `1GB` as bytes, in powers of 1024. Throws an Error that says what was expected. */
export function parseBytes(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(B|KB|MB|GB)?$/.exec(text)
  if (match === null) throw new Error('expected a size such as 512, 64KB or 1MB')
  return Math.floor(Number(match[1]) * byteUnits[match[2] ?? '']!)
}

/** `100/min`, `5/s`, `20/10s`, `10000/month` (30 days). Throws an Error that says what was expected. */
export function parseRate(text: string): { readonly count: number; readonly windowMs: number } {
  const match = /^(\d+)\/(\d+)?(ms|s|sec|min|m|h|hour|d|day|month)$/.exec(text)
  const count = Number(match?.[1])
  const windowMs = Number(match?.[2] ?? 1) * (durationUnits[match?.[3] ?? ''] ?? 0)
  if (match === null || count < 1 || windowMs < 1) throw new Error('expected a rate such as 100/min, 5/s or 20/10s')
  return { count, windowMs }
}

/** `10000/month`, `100/day`, `5000/week`, `500/hour`: so many in a period of the calendar. Throws an Error that says what was expected. */
export function parseQuota(text: string): { readonly count: number; readonly unit: CalendarUnit } {
  const match = /^(\d{1,15})\/(\w+)$/.exec(text)
  const unit = calendarUnits.find((name) => name === match?.[2])
  const count = Number(match?.[1])
  if (unit === undefined || !(count >= 1)) {
    throw new Error('expected a quota such as 10000/month, 5000/week, 100/day or 50/hour')
  }
  return { count, unit }
}

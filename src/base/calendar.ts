export const calendarUnits = ['hour', 'day', 'week', 'month'] as const
export type CalendarUnit = (typeof calendarUnits)[number]

/** One hour, day, week or month of the calendar, as it is told in one time zone. */
export interface Period {
  /** `2026-11-22T14`, `2026-11-22`, `2026-11-16` (the Monday of a week) or `2026-11`: sorts by time. */
  readonly id: string
  /** The first millisecond that belongs to the next one. */
  readonly endsAt: number
}

const hourMs = 3_600_000
/** Longer than any period of its unit, an hour for summer time included. */
const longestMs: Readonly<Record<CalendarUnit, number>> = {
  hour: 3 * hourMs,
  day: 26 * hourMs,
  week: 170 * hourMs,
  month: (31 * 24 + 2) * hourMs,
}

/**
 * Tells in which period of the calendar a moment lies. Hours begin at :00, days at midnight, weeks on Monday (ISO 8601),
 * months on the first, all as clocks in `timeZone` show it: `UTC`, `Europe/Vienna`. Works out a period once.
 */
export function calendar(unit: CalendarUnit, timeZone = 'UTC'): (atMs: number) => Period {
  const idAt = periodNames(unit, timeZone)
  let from = Number.POSITIVE_INFINITY
  let current: Period = { id: '', endsAt: Number.NEGATIVE_INFINITY }
  return (atMs) => {
    // A clock that went back makes a period of the past the current one again.
    if (atMs >= from && atMs < current.endsAt) return current
    from = atMs
    current = { id: idAt(atMs), endsAt: firstAfter(atMs, longestMs[unit], idAt) }
    return current
  }
}

/** Whether this program knows a time zone. */
export function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name })
    return true
  } catch {
    return false
  }
}

/** The first moment after `atMs` whose period has another name. */
function firstAfter(atMs: number, withinMs: number, idAt: (ms: number) => string): number {
  const id = idAt(atMs)
  let same = atMs
  let other = atMs + withinMs
  while (other - same > 1) {
    const middle = Math.floor((same + other) / 2)
    if (idAt(middle) === id) same = middle
    else other = middle
  }
  return other
}

function periodNames(unit: CalendarUnit, timeZone: string): (ms: number) => string {
  const format = new Intl.DateTimeFormat('en', {
    timeZone,
    calendar: 'gregory',
    numberingSystem: 'latn',
    hourCycle: 'h23',
    year: 'numeric',
    month: '2-digit',
    day: '2-digit',
    hour: '2-digit',
  })
  return (ms) => {
    const parts: Partial<Record<Intl.DateTimeFormatPartTypes, string>> = {}
    for (const { type, value } of format.formatToParts(ms)) parts[type] = value
    const { year, month, day, hour } = parts
    if (unit === 'month') return `${year}-${month}`
    const date = `${year}-${month}-${day}`
    if (unit === 'day') return date
    if (unit === 'hour') return `${date}T${hour}`
    const midnight = new Date(`${date}T00:00:00Z`)
    // Sunday is 0, and the last day of its week.
    midnight.setUTCDate(midnight.getUTCDate() - ((midnight.getUTCDay() + 6) % 7))
    return midnight.toISOString().slice(0, 10)
  }
}

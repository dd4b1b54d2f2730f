const quarterMs = 900_000
const dayMs = 86_400_000

/** What a clock on the wall shows; all of it read without making an object. */
export interface LocalTime {
  /** 0 to 23. */
  readonly hour: (atMs: number) => number
  /** Minutes since midnight. */
  readonly minute: (atMs: number) => number
  /** 1, Monday, to 7 (ISO 8601). */
  readonly weekday: (atMs: number) => number
  /** Days since 1970-01-01. */
  readonly day: (atMs: number) => number
}

/** The time of day in a time zone: `UTC`, `Europe/Madrid`. Throws a RangeError where there is no such zone. */
export function localTime(timeZone = 'UTC'): LocalTime {
  const offset = timeZone === 'UTC' ? () => 0 : offsetsOf(timeZone)
  const shown = (atMs: number) => atMs + offset(atMs)
  const day = (atMs: number) => Math.floor(shown(atMs) / dayMs)
  return {
    hour: (atMs) => Math.floor(modulo(shown(atMs), dayMs) / 3_600_000),
    minute: (atMs) => Math.floor(modulo(shown(atMs), dayMs) / 60_000),
    // The first day of 1970 was a Thursday.
    weekday: (atMs) => modulo(day(atMs) + 3, 7) + 1,
    day,
  }
}

/** Clocks are changed on the quarter of an hour, everywhere and always since 1972: one question to the time zone is enough for it. */
function offsetsOf(timeZone: string): (atMs: number) => number {
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  })
  let quarter = Number.NaN
  let known = 0
  return (atMs) => {
    const now = Math.floor(atMs / quarterMs)
    if (now === quarter) return known
    const start = now * quarterMs
    const parts = Object.fromEntries(format.formatToParts(start).map(({ type, value }) => [type, Number(value)]))
    const { year, month, day, hour, minute, second } = parts
    known = Date.UTC(year!, month! - 1, day, hour, minute, second) - start
    quarter = now
    return known
  }
}

function modulo(value: number, by: number): number {
  return ((value % by) + by) % by
}

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { localTime } from './local-time.ts'

describe('the time of day in a place', () => {
  test.each([
    ['UTC', '2026-11-25T10:30:00Z', 10, 630, 3, '2026-11-25'],
    ['UTC', '1969-12-31T23:59:59.999Z', 23, 1439, 3, '1969-12-31'],
    ['Europe/Madrid', '2026-11-25T23:30:00Z', 0, 30, 4, '2026-11-26'],
    // The hour before and the hour after clocks are put back.
    ['Europe/Madrid', '2026-10-25T00:59:59Z', 2, 179, 7, '2026-10-25'],
    ['Europe/Madrid', '2026-10-25T01:00:00Z', 2, 120, 7, '2026-10-25'],
    ['Europe/Madrid', '2026-03-29T00:59:59Z', 1, 119, 7, '2026-03-29'],
    ['Europe/Madrid', '2026-03-29T01:00:00Z', 3, 180, 7, '2026-03-29'],
    ['Asia/Kathmandu', '2026-11-25T18:14:59Z', 23, 1439, 3, '2026-11-25'],
    ['Asia/Kathmandu', '2026-11-25T18:15:00Z', 0, 0, 4, '2026-11-26'],
    ['Pacific/Kiritimati', '2026-11-25T10:00:00Z', 0, 0, 4, '2026-11-26'],
    ['America/St_Johns', '2026-11-25T03:29:00Z', 23, 1439, 2, '2026-11-24'],
  ])('%s, %s', (zone, at, hour, minute, weekday, day) => {
    const time = localTime(zone)
    const ms = Date.parse(at)
    expect([time.hour(ms), time.minute(ms), time.weekday(ms)]).toEqual([hour, minute, weekday])
    expect(new Date(time.day(ms) * 86_400_000).toISOString().slice(0, 10)).toBe(day)
  })

  test('is what the calendar of this program says, in whatever order moments are asked about', () => {
    const zones = fc.constantFrom('Europe/Madrid', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kolkata', 'UTC')
    const moment = fc.integer({ min: Date.parse('1975-01-01'), max: Date.parse('2060-01-01') })
    fc.assert(
      fc.property(zones, fc.array(moment, { minLength: 2, maxLength: 10 }), (zone, moments) => {
        const time = localTime(zone)
        const format = new Intl.DateTimeFormat('en-GB', {
          timeZone: zone,
          hour: '2-digit',
          minute: '2-digit',
          hourCycle: 'h23',
        })
        for (const ms of moments) {
          const [hour, minute] = format.format(ms).split(':').map(Number) as [number, number]
          expect([time.hour(ms), time.minute(ms)]).toEqual([hour, hour * 60 + minute])
        }
      }),
    )
  })

  test('a place that there is not is refused', () => {
    expect(() => localTime('Europe/Atlantis')).toThrow(RangeError)
  })
})

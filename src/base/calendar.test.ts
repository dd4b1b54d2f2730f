import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { calendar, calendarUnits, isTimeZone } from './calendar.ts'

const iso = (text: string) => Date.parse(text)

describe('a period of the calendar', () => {
  test.each([
    ['hour', 'UTC', '2026-11-22T14:59:59.999Z', '2026-11-22T14', '2026-11-22T15:00:00Z'],
    ['day', 'UTC', '2026-11-22T00:00:00Z', '2026-11-22', '2026-11-23T00:00:00Z'],
    ['day', 'Europe/Vienna', '2026-11-22T23:00:00Z', '2026-11-23', '2026-11-23T23:00:00Z'],
    ['day', 'Europe/Vienna', '2026-03-29T00:00:00Z', '2026-03-29', '2026-03-29T22:00:00Z'],
    ['day', 'Europe/Vienna', '2026-10-25T00:00:00Z', '2026-10-25', '2026-10-25T23:00:00Z'],
    ['day', 'Asia/Kathmandu', '2026-11-22T18:14:59Z', '2026-11-22', '2026-11-22T18:15:00Z'],
    ['week', 'UTC', '2026-11-22T12:00:00Z', '2026-11-16', '2026-11-23T00:00:00Z'],
    ['week', 'UTC', '2026-11-23T00:00:00Z', '2026-11-23', '2026-11-30T00:00:00Z'],
    ['month', 'UTC', '2026-11-30T23:59:59.999Z', '2026-11', '2026-12-01T00:00:00Z'],
    ['month', 'UTC', '2028-02-29T12:00:00Z', '2028-02', '2028-03-01T00:00:00Z'],
    ['month', 'America/New_York', '2026-12-01T04:59:59Z', '2026-11', '2026-12-01T05:00:00Z'],
    ['month', 'Pacific/Kiritimati', '2026-11-30T10:00:00Z', '2026-12', '2026-12-31T10:00:00Z'],
  ] as const)('a %s in %s at %s is %s and ends at %s', (unit, zone, at, id, end) => {
    expect(calendar(unit, zone)(iso(at))).toEqual({ id, endsAt: iso(end) })
  })

  test('holds the moment it is asked for, ends where the next begins, and has one name throughout', () => {
    const moment = fc.integer({ min: iso('1990-01-01'), max: iso('2090-01-01') })
    const zone = fc.constantFrom('UTC', 'Europe/Vienna', 'America/New_York', 'Asia/Kathmandu', 'Pacific/Apia')
    fc.assert(
      fc.property(
        moment,
        fc.constantFrom(...calendarUnits),
        zone,
        fc.double({ min: 0, max: 1, noNaN: true }),
        (at, unit, name, part) => {
          const periodAt = (ms: number) => calendar(unit, name)(ms)
          const { id, endsAt } = periodAt(at)
          expect(endsAt).toBeGreaterThan(at)
          expect(periodAt(endsAt - 1)).toEqual({ id, endsAt })
          expect(periodAt(endsAt).id > id).toBe(true)
          expect(periodAt(Math.floor(at + part * (endsAt - 1 - at)))).toEqual({ id, endsAt })
        },
      ),
      { numRuns: 200 },
    )
  })

  test('is told rightly by one calendar, however its clock jumps', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 4e12 }), { maxLength: 10 }), (moments) => {
        const kept = calendar('week')
        for (const at of moments) expect(kept(at)).toEqual(calendar('week')(at))
      }),
      { numRuns: 50 },
    )
  })

  test('knows which time zones there are', () => {
    expect(isTimeZone('Europe/Vienna')).toBe(true)
    expect(isTimeZone('Europe/Atlantis')).toBe(false)
  })
})

import type { Kind } from './scope.ts'

const weekdays = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
const dayMs = 86_400_000

/** How a constant of some kind is written: for messages. */
const forms: Readonly<Record<string, string>> = {
  hour: 'a whole number from 0 to 23',
  time: "a time of day such as '17:30'",
  weekday: `one of ${weekdays.map((day) => `'${day}'`).join(', ')}`,
  date: "a date such as '2026-12-31'",
  duration: 'a time such as 30s, 5m or 8h',
  number: 'a number',
  truth: 'true or false',
  text: 'text in quotes',
  address: 'an address in quotes',
}

export function formOf(kind: Kind): string {
  return forms[kind] ?? 'a constant'
}

/** A constant as values of a kind are held; `undefined` where it is none of that kind. */
export function constantOf(
  kind: Kind,
  value: string | number | boolean,
  isDuration: boolean,
): string | number | boolean | undefined {
  if (kind === 'any') return value
  if (isDuration) return kind === 'duration' ? value : undefined
  switch (kind) {
    case 'text':
    case 'texts':
    case 'address':
      return typeof value === 'string' ? value : undefined
    case 'truth':
      return typeof value === 'boolean' ? value : undefined
    case 'number':
      return typeof value === 'number' ? value : undefined
    case 'hour':
      return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= 23 ? value : undefined
    case 'time':
      return typeof value === 'string' ? minutesOf(value) : undefined
    case 'weekday': {
      const index = weekdays.indexOf(value as (typeof weekdays)[number])
      return index === -1 ? undefined : index + 1
    }
    case 'date':
      return typeof value === 'string' ? dayOf(value) : undefined
    case 'duration':
      return undefined
  }
}

/** Kinds that begin again after their end, so that a range may go over it: `hour in 22..5`. */
export function isCyclic(kind: Kind): boolean {
  return kind === 'hour' || kind === 'time' || kind === 'weekday'
}

/** Kinds of which one can be more than another. */
export function isOrdered(kind: Kind): boolean {
  return isCyclic(kind) || kind === 'number' || kind === 'date' || kind === 'duration'
}

function minutesOf(text: string): number | undefined {
  const read = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text)
  return read === null ? undefined : Number(read[1]) * 60 + Number(read[2])
}

function dayOf(text: string): number | undefined {
  if (!/^\d{4}-\d{2}-\d{2}$/.test(text)) return undefined
  const ms = Date.parse(`${text}T00:00:00Z`)
  // 2026-02-30 would be taken for the second of March.
  return Number.isNaN(ms) || new Date(ms).toISOString().slice(0, 10) !== text ? undefined : ms / dayMs
}

import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Passage } from '../traffic/passage.ts'

/** The same failure of the same operation, however often it came. */
export interface ErrorGroup {
  readonly api: string
  readonly version: string | undefined
  readonly operation: string
  readonly route: string
  /** A denial's code, a fault, or `upstream.status-503` for an answer that says so itself. */
  readonly cause: string
  readonly status: number
  readonly count: number
  /** RFC 3339. */
  readonly firstSeen: string
  readonly lastSeen: string
  /** The latest exchange of the group: ask `portcullis explain` about it. */
  readonly example: string
}

/** Recurring errors, as groups. */
export interface Recurring {
  /** Counts an exchange when it failed: refused, faulted, or answered with 5xx. */
  readonly note: (passage: Passage) => void
  /** The groups, those with most first. */
  readonly groups: () => readonly ErrorGroup[]
}

interface Group {
  readonly api: string
  readonly version: string | undefined
  readonly operation: string
  readonly route: string
  readonly cause: string
  status: number
  count: number
  firstSeen: number
  lastSeen: number
  example: string
}

/** Why an exchange failed, in one stable word; `undefined` when it did not. */
export function causeOf(passage: Passage): string | undefined {
  if (passage.denial !== undefined) return passage.denial.code
  if (passage.fault !== undefined) return passage.fault
  return passage.status >= 500 ? `upstream.status-${passage.status}` : undefined
}

/** Groups failures by operation and cause. Keeps the `groupsMax` groups that were seen last. */
export function createRecurring(options: {
  readonly log: Logger
  readonly now?: Clock
  readonly groupsMax?: number
}): Recurring {
  const { log, now = Date.now, groupsMax = 500 } = options
  const groups = new Map<string, Group>()

  const dropOldest = () => {
    let oldest: string | undefined
    let oldestSeen = Number.POSITIVE_INFINITY
    for (const [key, { lastSeen }] of groups) {
      if (lastSeen < oldestSeen) {
        oldestSeen = lastSeen
        oldest = key
      }
    }
    if (oldest !== undefined) groups.delete(oldest)
  }
  const say = (group: Group) => {
    const fields = {
      api: group.api,
      operation: group.operation,
      cause: group.cause,
      status: group.status,
      count: group.count,
      firstSeen: new Date(group.firstSeen).toISOString(),
      example: group.example,
    }
    // What the caller did wrong is news for few; what went wrong here or behind is for whoever is on duty.
    if (group.status >= 500) log.warn('recurring error', fields)
    else log.info('recurring refusal', fields)
  }

  return {
    note(passage) {
      const cause = causeOf(passage)
      if (cause === undefined) return
      const key = `${passage.api} ${passage.version ?? ''} ${passage.operation} ${cause}`
      let group = groups.get(key)
      if (group === undefined) {
        if (groups.size >= groupsMax) dropOldest()
        const { api, version, operation, route } = passage
        group = {
          api,
          version,
          operation,
          route,
          cause,
          status: 0,
          count: 0,
          firstSeen: now(),
          lastSeen: 0,
          example: '',
        }
        groups.set(key, group)
      }
      group.count++
      group.status = passage.status
      group.lastSeen = now()
      group.example = passage.id
      if (isMilestone(group.count)) say(group)
    },
    groups: () =>
      Array.from(groups.values(), (group) => ({
        ...group,
        firstSeen: new Date(group.firstSeen).toISOString(),
        lastSeen: new Date(group.lastSeen).toISOString(),
      })).sort(byCount),
  }
}

/** What several processes saw, as if one had. */
export function mergeGroups(lists: readonly (readonly ErrorGroup[])[]): readonly ErrorGroup[] {
  const merged = new Map<string, ErrorGroup>()
  for (const group of lists.flat()) {
    const key = `${group.api} ${group.version ?? ''} ${group.operation} ${group.cause}`
    const known = merged.get(key)
    if (known === undefined) {
      merged.set(key, group)
      continue
    }
    const [older, newer] = group.lastSeen > known.lastSeen ? [known, group] : [group, known]
    const began = [older.firstSeen, newer.firstSeen].sort()
    merged.set(key, { ...newer, count: older.count + newer.count, firstSeen: began[0]! })
  }
  return [...merged.values()].sort(byCount)
}

function byCount(a: ErrorGroup, b: ErrorGroup): number {
  return b.count - a.count || (a.lastSeen < b.lastSeen ? 1 : -1)
}

/** 10, 100, 1,000, 10,000 …: a message for each power of ten, so that a flood makes a handful of messages. */
function isMilestone(count: number): boolean {
  if (count % 10 !== 0) return false
  while (count % 10 === 0) count /= 10
  return count === 1
}

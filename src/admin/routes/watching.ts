import type { Unused } from '../../credentials/unused.ts'
import type { AdminRoute } from '../contract.ts'
import type { EventBook } from '../events.ts'
import { isoOf } from '../reply.ts'

export interface WatchRoutesOptions {
  readonly events: EventBook
  readonly version: string
  readonly document: () => object
  /** Whether store and gate answer; what is wrong, in words. */
  readonly health: () => Promise<{ readonly healthy: boolean; readonly store: string; readonly inFlight: number }>
  readonly unused: (
    sinceMs: number,
  ) => Promise<{ readonly recordedSince: number | undefined; readonly items: readonly Unused[] }>
}

const day = 86_400_000

/** What there is to see: health, version, events, rights that nobody uses, this document. */
export function adminRoutes({ events, version, document, health, unused }: WatchRoutesOptions): AdminRoute[] {
  return [
    { operation: 'showVersion', level: 'viewer', handle: () => ({ status: 200, body: { version } }) },
    {
      operation: 'showHealth',
      level: 'viewer',
      async handle() {
        const state = await health()
        return { status: state.healthy ? 200 : 503, body: state }
      },
    },
    { operation: 'showDocument', level: 'viewer', handle: () => ({ status: 200, body: document() }) },
    {
      operation: 'listEvents',
      level: 'viewer',
      async handle({ query }) {
        const limit = query.limit === undefined ? 100 : Number(query.limit)
        const found = await events.recent({ limit, ...(query.after === undefined ? {} : { after: query.after }) })
        const items = found.events.map(({ time, ...event }) => ({ ...event, time: isoOf(time) }))
        return { status: 200, body: { items, ...(found.next === undefined ? {} : { next: found.next }) } }
      },
    },
    {
      operation: 'reportUnused',
      level: 'viewer',
      async handle({ query }) {
        const days = query.days === undefined ? 30 : Number(query.days)
        const { recordedSince, items } = await unused(days * day)
        return {
          status: 200,
          body: {
            days,
            recordedSince: isoOf(recordedSince),
            items: items
              .slice(0, 10_000)
              .map((one) => ({ ...one, since: isoOf(one.since), lastUsedAt: isoOf(one.lastUsedAt) })),
          },
        }
      },
    },
  ]
}

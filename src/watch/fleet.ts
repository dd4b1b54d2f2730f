import type { ErrorGroup } from './recurring.ts'
import { mergeGroups } from './recurring.ts'
import { type FamilySnapshot, mergeSnapshots } from './registry.ts'

/** What one process has counted. */
export interface ProcessReport {
  readonly metrics: readonly FamilySnapshot[]
  readonly errors: readonly ErrorGroup[]
}

/** The end of an IPC channel: `process` in a worker, a `ChildProcess` or `cluster.Worker` in the primary. */
export interface Channel {
  send?(message: unknown): unknown
  on(event: 'message', listener: (message: unknown) => void): unknown
  off(event: 'message', listener: (message: unknown) => void): unknown
}

/** One channel per worker; `id` is the same for as long as the worker lives. */
export interface WorkerChannel extends Channel {
  readonly id?: number | undefined
  readonly pid?: number | undefined
}

const asks = 'portcullis.report?'
const tells = 'portcullis.report'

interface Ask {
  readonly type: typeof asks
  readonly ask: number
}
interface Tell {
  readonly type: typeof tells
  /** 0: unasked, the last word of a worker that stops in order. */
  readonly ask: number
  readonly report: ProcessReport
}

/** In a worker: answers the primary's questions. Returns how to stop, which sends a last report. */
export function answerPrimary(channel: Channel, report: () => ProcessReport): () => void {
  const send = (ask: number) => {
    try {
      channel.send?.({ type: tells, ask, report: forTheWire(report()) } satisfies Tell)
    } catch {
      // The primary is gone; so is whoever would read this.
    }
  }
  const onMessage = (message: unknown) => {
    if (isAsk(message)) send(message.ask)
  }
  channel.on('message', onMessage)
  return () => {
    channel.off('message', onMessage)
    send(0)
  }
}

/** In the primary: asks all workers, and keeps what those that ended had counted, so that no counter falls. */
export interface Fleet {
  /** What all of them have counted, `own` included. A worker that does not answer within a second counts as before. */
  readonly collect: (own: ProcessReport) => Promise<ProcessReport>
}

/** Watches over the workers that `workers` lists at each call. */
export function createFleet(workers: () => Iterable<WorkerChannel>, timeoutMs = 1_000): Fleet {
  const latest = new Map<WorkerChannel, ProcessReport>()
  const waiting = new Map<number, { readonly from: Set<WorkerChannel>; readonly done: () => void }>()
  const listening = new Set<WorkerChannel>()
  let ended: ProcessReport = { metrics: [], errors: [] }
  let lastAsk = 0

  const listen = (worker: WorkerChannel) => {
    if (listening.has(worker)) return
    listening.add(worker)
    worker.on('message', (message) => {
      if (!isTell(message)) return
      latest.set(worker, message.report)
      const asked = waiting.get(message.ask)
      if (asked?.from.delete(worker) === true && asked.from.size === 0) asked.done()
    })
  }
  const bury = (living: ReadonlySet<WorkerChannel>) => {
    for (const [worker, report] of latest) {
      if (living.has(worker)) continue
      // Memory and open files ended with the process; what it counted did not.
      const lasting = report.metrics.filter(({ kind }) => kind !== 'gauge')
      ended = {
        metrics: mergeSnapshots([ended.metrics, lasting]),
        errors: mergeGroups([ended.errors, report.errors]).slice(0, 500),
      }
      latest.delete(worker)
      listening.delete(worker)
    }
  }

  return {
    async collect(own) {
      const living = new Set(workers())
      const ask = ++lastAsk
      for (const worker of living) listen(worker)
      bury(living)
      await new Promise<void>((resolve) => {
        const limit = setTimeout(resolve, timeoutMs)
        const done = () => {
          clearTimeout(limit)
          resolve()
        }
        const from = new Set(living)
        waiting.set(ask, { from, done })
        for (const worker of living) {
          try {
            worker.send?.({ type: asks, ask } satisfies Ask)
          } catch {
            from.delete(worker)
          }
        }
        if (from.size === 0) done()
      })
      waiting.delete(ask)
      const reports = [own, ended, ...latest.values()]
      return {
        metrics: mergeSnapshots(reports.map(({ metrics }) => metrics)),
        errors: mergeGroups(reports.map(({ errors }) => errors)),
      }
    },
  }
}

/** JSON has no typed arrays. */
function forTheWire({ metrics, errors }: ProcessReport): ProcessReport {
  return {
    errors,
    metrics: metrics.map((family) => ({
      ...family,
      series: family.series.map(([labels, values]) => [labels, Array.from(values)] as const),
    })),
  }
}

function isAsk(message: unknown): message is Ask {
  return (message as Ask | null)?.type === asks
}

function isTell(message: unknown): message is Tell {
  return (message as Tell | null)?.type === tells
}

import type { Clock } from '../base/clock.ts'
import { messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import { type Passage, type RuleMatch, type Sink, unroutedPassage } from '../traffic/passage.ts'
import { type ActivityLogSettings, createActivityLog } from './activity-log.ts'
import { openControl } from './control.ts'
import { type Endpoint, serveMetrics } from './endpoint.ts'
import { answerPrimary, type Channel, createFleet, type ProcessReport, type WorkerChannel } from './fleet.ts'
import type { Outlet } from './line-writer.ts'
import { createMetrics, type Metrics } from './metrics.ts'
import { createRecent, type Explained } from './recent.ts'
import { createRecurring, type ErrorGroup } from './recurring.ts'

export { explainRequest, type FoundExplanation } from './explain.ts'
export type { Channel, WorkerChannel } from './fleet.ts'
export type { Metrics } from './metrics.ts'
export type { Explained } from './recent.ts'
export type { ErrorGroup } from './recurring.ts'

/** The part of `telemetry` that is read here. */
export interface WatchSettings {
  /** host:port of `/metrics`, `/errors`, `/healthz`, `/readyz`. */
  readonly metrics?: string | undefined
  readonly logs: ActivityLogSettings
}

export interface WatchOptions {
  readonly log: Logger
  /** For the control socket, and for what `explain` needs after a restart. */
  readonly stateDir: string
  /** Of Portcullis; shown in metrics and status. */
  readonly version?: string
  readonly now?: Clock
  readonly random?: () => number
  /** In the primary of `workers: N`: the workers that live now. Their counts are in what the primary shows. */
  readonly workers?: () => Iterable<WorkerChannel>
  /** In a worker: the way to the primary (`process`). A worker serves no metrics of its own. */
  readonly primary?: Channel
  readonly notReady?: () => string | undefined | Promise<string | undefined>
  /** More for `portcullis status`: merged into what the control socket answers. */
  readonly status?: () => Readonly<Record<string, unknown>>
  /** Told of every exchange as it is, before anything is masked. */
  readonly onPassage?: Sink
  /** For tests: where activity lines go. */
  readonly outlet?: (file: string | undefined) => Outlet
}

/** A refusal that happened before the request had an operation, such as malformed HTTP. */
export interface EarlyRefusal {
  readonly status: number
  readonly code: string
  readonly address: string
  readonly id?: string | undefined
  readonly protocol?: string | undefined
  readonly detail?: string | undefined
  readonly evidence?: unknown
  /** Rules that fitted the request, as far as it could be told. */
  readonly matches?: readonly RuleMatch[] | undefined
}

/** Turns exchanges into lines, numbers and explanations. */
export interface Watch {
  /** For the gate: takes every exchange at its end. Never waits, never throws. */
  readonly sink: Sink
  readonly refusedEarly: (refusal: EarlyRefusal) => void
  /** Writes a security event as one line, and counts it. */
  readonly tell: Tell
  readonly metrics: Metrics
  /** Recurring errors of this process. */
  readonly errors: () => readonly ErrorGroup[]
  /** What is known of a request that was refused, observed or faulted of late. */
  readonly explain: (id: string) => Explained | undefined
  /** This process's numbers, and in the primary those of its workers too. */
  readonly collect: () => Promise<ProcessReport>
  /** Where the metrics endpoint is, with the port that was chosen for `:0`. */
  readonly metricsAddress: () => string | undefined
  /** After a reload: takes new settings at once, be it level, sample, lists, file or the endpoint's address. */
  readonly configure: (settings: WatchSettings) => Promise<void>
  /** Opens the log file anew: for SIGHUP. */
  readonly reopen: () => void
  /** Writes what is left and closes everything. */
  readonly close: () => Promise<void>
}

/**
 * Starts to watch: opens the log, the metrics endpoint and the control socket. Throws `ConfigError` when the log file
 * or the endpoint's address cannot be used.
 */
export async function createWatch(first: WatchSettings, options: WatchOptions): Promise<Watch> {
  const { log, stateDir, version = '0.0.0', now = Date.now } = options
  let settings = first
  const activity = createActivityLog(first.logs, { ...options, shared: options.primary !== undefined })
  const metrics = createMetrics({ version, now })
  const recurring = createRecurring({ log, now })
  const recent = createRecent()
  const fleet = options.workers === undefined ? undefined : createFleet(options.workers)
  const report = (): ProcessReport => ({ metrics: metrics.snapshot(), errors: recurring.groups() })
  const collect = async () => (fleet === undefined ? report() : fleet.collect(report()))
  const leavePrimary = options.primary === undefined ? undefined : answerPrimary(options.primary, report)
  countLog(metrics, activity.counts)

  const securityEvents = metrics.registry.counter(
    'portcullis_security_events_total',
    'What whoever answers for security wants to know of: locked accounts, stolen tokens, ended grants.',
    { labels: ['event'], seriesMax: 200 },
  )
  let sinkFailures = 0

  const openEndpoint = async (address: string | undefined) =>
    address === undefined || options.primary !== undefined
      ? undefined
      : await serveMetrics(address, { collect, notReady: options.notReady })
  let endpoint: Endpoint | undefined
  try {
    endpoint = await openEndpoint(first.metrics)
  } catch (error) {
    metrics.close()
    await activity.close()
    throw error
  }
  const control = await openControl(stateDir, {
    '/explain/': recent.find,
    '/recent/': (limit) => recent.list(Math.min(1_000, Number(limit) || 100)),
    '/errors': recurring.groups,
    '/status': () => ({
      pid: process.pid,
      role: options.primary !== undefined ? 'worker' : fleet !== undefined ? 'primary' : 'single',
      version,
      uptimeSeconds: Math.round(process.uptime()),
      metrics: endpoint?.address,
      activityLog: { level: settings.logs.level, file: settings.logs.file, ...activity.counts() },
      ...options.status?.(),
    }),
  }).catch((error) => {
    // A read-only file system must not keep a gate from starting; `explain` then lives by the log.
    log.warn('no control socket: `portcullis explain` can only read the activity log', { error: messageOf(error) })
    return undefined
  })
  metrics.reloaded(true)

  const sink: Sink = (passage) => {
    try {
      options.onPassage?.(passage)
      metrics.observe(passage)
      const line = activity.take(passage)
      // The usual exchange: nobody refused, nothing failed.
      if (
        passage.denial === undefined &&
        passage.fault === undefined &&
        passage.status < 500 &&
        passage.observed.length === 0 &&
        passage.decision === undefined &&
        passage.matches.length === 0
      ) {
        return
      }
      recurring.note(passage)
      recent.add(passage, line ?? activity.lineOf(passage))
    } catch (error) {
      if (sinkFailures++ === 0) log.error('an exchange could not be recorded', { error: messageOf(error) })
    }
  }

  return {
    sink,
    refusedEarly(refusal) {
      metrics.refusedEarly(refusal.code, refusal.status, refusal.matches)
      const passage = earlyPassage(refusal, now())
      options.onPassage?.(passage)
      const line = activity.take(passage)
      recurring.note(passage)
      if (passage.id !== '') recent.add(passage, line ?? activity.lineOf(passage))
    },
    tell(event) {
      securityEvents.with(event.event).add(1)
      activity.note(event)
    },
    metrics,
    errors: recurring.groups,
    explain: recent.find,
    collect,
    metricsAddress: () => endpoint?.address,
    async configure(next) {
      const before = settings
      settings = next
      activity.configure(next.logs)
      metrics.reloaded(true)
      if (next.metrics === before.metrics) return
      try {
        const replacement = await openEndpoint(next.metrics)
        await endpoint?.close()
        endpoint = replacement
      } catch (error) {
        settings = { ...next, metrics: before.metrics }
        log.error('the metrics endpoint stays where it was', { error: messageOf(error) })
      }
    },
    reopen: activity.reopen,
    async close() {
      leavePrimary?.()
      metrics.close()
      await Promise.all([endpoint?.close(), control?.close(), activity.close()])
      try {
        recent.save(stateDir)
      } catch (error) {
        log.warn('explanations of late requests could not be saved', { error: messageOf(error) })
      }
    },
  }
}

function countLog({ registry }: Metrics, counts: ReturnType<typeof createActivityLog>['counts']) {
  const lines = registry.counter('portcullis_log_lines_total', 'Activity lines taken.').with()
  const dropped = registry
    .counter('portcullis_log_lines_dropped_total', 'Activity lines dropped because the output was slow or full.')
    .with()
  const errors = registry.counter('portcullis_log_write_errors_total', 'Failed writes of the activity log.', {
    labels: ['code'],
    seriesMax: 30,
  })
  const queued = registry.gauge('portcullis_log_queued_bytes', 'Activity lines that wait to be written.').with()
  let before: ReturnType<typeof counts> = { lines: 0, dropped: 0, queuedBytes: 0, errors: {} }
  registry.beforeSnapshot(() => {
    const current = counts()
    lines.add(current.lines - before.lines)
    dropped.add(current.dropped - before.dropped)
    for (const [code, count] of Object.entries(current.errors)) {
      errors.with(code).add(count - (before.errors[code] ?? 0))
    }
    queued.set(current.queuedBytes)
    before = current
  })
}

function earlyPassage(refusal: EarlyRefusal, now: number): Passage {
  const { status, code, address, id, protocol, detail, evidence, matches = [] } = refusal
  return unroutedPassage({
    id: id ?? '',
    protocol: protocol ?? '-',
    receivedAt: now,
    status,
    address,
    denial: { code, detail: detail ?? '', evidence },
    matches,
  })
}

import { readdir, readFileSync } from 'node:fs'
import { monitorEventLoopDelay, PerformanceObserver, performance } from 'node:perf_hooks'
import type { Clock } from '../base/clock.ts'
import type { Passage, RuleMatch } from '../traffic/passage.ts'
import {
  type Counter,
  createRegistry,
  type Family,
  type FamilySnapshot,
  type Gauge,
  type Histogram,
  type Registry,
} from './registry.ts'

/** What the gate counts. Other parts add their own families to `registry`. */
export interface Metrics {
  readonly registry: Registry
  /** Counts an exchange that is over. */
  readonly observe: (passage: Passage) => void
  /** Counts a refusal that never became an exchange. */
  readonly refusedEarly: (code: string, status: number, matches?: readonly RuleMatch[]) => void
  /** Says how a (re)load of the configuration went. */
  readonly reloaded: (succeeded: boolean) => void
  /** Lets a reader be asked, at every scrape, which certificates clients see and when they end (ms since the epoch). */
  readonly certificates: (read: () => Iterable<{ readonly name: string; readonly expiresAt: number }>) => void
  /** Lets a reader be asked, at every scrape, how many exchanges are under way. */
  readonly inFlight: (read: () => number) => void
  readonly snapshot: () => readonly FamilySnapshot[]
  readonly close: () => void
}

export interface MetricsOptions {
  readonly version: string
  readonly now?: Clock
  /** Series of one family at most; what comes later is counted under `_other`. */
  readonly seriesMax?: number
}

/** From a millisecond, which a gate adds, to ten seconds, when people have gone. */
const durationBounds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const pauseBounds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5]

/** Methods with a name of their own in labels; others share one, as in OpenTelemetry's conventions. */
const knownMethods = new Set([
  ...['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE', 'CONNECT', 'QUERY', '*'],
])
const statusClasses = ['unknown', '1xx', '2xx', '3xx', '4xx', '5xx']

/** The series of one operation and method, found once. */
interface OperationSeries {
  readonly api: string
  readonly version: string | undefined
  readonly method: string
  readonly route: string
  readonly labels: readonly string[]
  /** By status class, made when first seen. */
  readonly duration: (Histogram | undefined)[]
  readonly requestBytes: Counter
  readonly responseBytes: Counter
  upstream: Histogram | undefined
}

/** Counts requests, errors, durations, and what the process uses. */
export function createMetrics({ version, now = Date.now, seriesMax = 3_000 }: MetricsOptions): Metrics {
  const registry = createRegistry()
  const labels = ['api', 'version', 'operation', 'route', 'method']
  const duration = registry.histogram(
    'portcullis_http_request_duration_seconds',
    'From the head of the request to the end of the reply.',
    durationBounds,
    { labels: [...labels, 'status'], seriesMax },
  )
  const upstream = registry.histogram(
    'portcullis_upstream_duration_seconds',
    'From forwarding to the head of the answer.',
    durationBounds,
    { labels, seriesMax },
  )
  const requestBytes = registry.counter('portcullis_http_request_bytes_total', 'Bytes of request bodies.', {
    labels,
    seriesMax,
  })
  const responseBytes = registry.counter('portcullis_http_response_bytes_total', 'Bytes of response bodies.', {
    labels,
    seriesMax,
  })
  const denied = countBy(
    registry.counter('portcullis_denials_total', 'Requests refused, by code.', {
      labels: ['api', 'code'],
      seriesMax: 1_000,
    }),
  )
  const observed = countBy(
    registry.counter('portcullis_observed_denials_total', 'Refusals that `observe` let pass, by code.', {
      labels: ['api', 'code'],
      seriesMax: 1_000,
    }),
  )
  const faulted = countBy(
    registry.counter('portcullis_faults_total', 'Exchanges that went wrong without anybody refusing.', {
      labels: ['api', 'fault'],
      seriesMax: 1_000,
    }),
  )
  const early = countBy(
    registry.counter(
      'portcullis_protocol_refusals_total',
      'Requests refused before they had an operation, such as malformed HTTP.',
      { labels: ['code', 'status'], seriesMax: 200 },
    ),
  )
  const matched = countBy(
    registry.counter('portcullis_rule_matches_total', 'Rules that fitted a request or its answer, refused or not.', {
      labels: ['api', 'rule'],
      seriesMax: 1_000,
    }),
  )
  const inFlight = registry.gauge('portcullis_http_requests_in_flight', 'Exchanges under way.').with()
  const reloads = registry.counter('portcullis_config_reloads_total', 'Loads of the configuration, by result.', {
    labels: ['result'],
  })
  const reloadSucceeded = registry
    .gauge('portcullis_config_last_reload_successful', 'Whether the last load of the configuration succeeded.', {
      merge: 'min',
    })
    .with()
  const reloadTime = registry
    .gauge('portcullis_config_last_reload_success_timestamp_seconds', 'When the running configuration was loaded.', {
      merge: 'min',
    })
    .with()
  const certificates = registry.gauge(
    'portcullis_tls_certificate_expiry_timestamp_seconds',
    'When the certificate ends.',
    { labels: ['name'], merge: 'min', seriesMax: 1_000 },
  )
  registry
    .gauge('portcullis_build_info', 'Always 1; the labels say what runs.', {
      labels: ['version', 'node'],
      merge: 'max',
    })
    .with(version, process.version)
    .set(1)
  const closeProcess = watchProcess(registry, now)

  // By operation, then by comparing a few strings that are the same objects each time: no key is put together.
  const byOperation = new Map<string, OperationSeries[]>()
  let operations = 0
  const seriesOf = (passage: Passage): OperationSeries => {
    const known = byOperation.get(passage.operation)
    if (known !== undefined) {
      for (const series of known) {
        if (
          series.method === passage.method &&
          series.api === passage.api &&
          series.version === passage.version &&
          series.route === passage.route
        ) {
          return series
        }
      }
    }
    const { api, operation, method, route } = passage
    const values = [api, passage.version ?? '', operation, route, knownMethods.has(method) ? method : '_OTHER']
    const made: OperationSeries = {
      api,
      version: passage.version,
      method,
      route,
      labels: values,
      duration: [],
      requestBytes: requestBytes.with(...values),
      responseBytes: responseBytes.with(...values),
      upstream: undefined,
    }
    if (operations < seriesMax) {
      operations++
      if (known === undefined) byOperation.set(operation, [made])
      else known.push(made)
    }
    return made
  }
  return {
    registry,
    observe(passage) {
      const series = seriesOf(passage)
      const { status } = passage
      const statusClass = status >= 100 && status < 600 ? (status / 100) | 0 : 0
      let histogram = series.duration[statusClass]
      if (histogram === undefined) {
        histogram = duration.with(...series.labels, statusClasses[statusClass]!)
        series.duration[statusClass] = histogram
      }
      histogram.observe(passage.durationMs / 1_000)
      if (passage.requestBytes > 0) series.requestBytes.add(passage.requestBytes)
      if (passage.responseBytes > 0) series.responseBytes.add(passage.responseBytes)
      if (passage.upstreamMs !== undefined) {
        series.upstream ??= upstream.with(...series.labels)
        series.upstream.observe(passage.upstreamMs / 1_000)
      }
      if (passage.denial !== undefined) denied(passage.api, passage.denial.code)
      if (passage.fault !== undefined) faulted(passage.api, passage.fault)
      if (passage.observed.length > 0) for (const denial of passage.observed) observed(passage.api, denial.code)
      if (passage.matches.length > 0) for (const { rule } of passage.matches) matched(passage.api, `${rule}`)
    },
    refusedEarly(code, status, matches = []) {
      early(code, `${status}`)
      for (const { rule } of matches) matched('-', `${rule}`)
    },
    reloaded(succeeded) {
      reloads.with(succeeded ? 'succeeded' : 'failed').add(1)
      reloadSucceeded.set(succeeded ? 1 : 0)
      if (succeeded) reloadTime.set(now() / 1_000)
    },
    certificates: (read) =>
      registry.beforeSnapshot(() => {
        // One that is shown no longer must not warn of its end.
        certificates.clear()
        const soonest = new Map<string, number>()
        for (const { name, expiresAt } of read()) {
          soonest.set(name, Math.min(expiresAt, soonest.get(name) ?? Number.POSITIVE_INFINITY))
        }
        for (const [name, expiresAt] of soonest) certificates.with(name).set(expiresAt / 1_000)
      }),
    inFlight: (read) => registry.beforeSnapshot(() => inFlight.set(read())),
    snapshot: registry.snapshot,
    close: closeProcess,
  }
}

/** Adds one to the series of two labels; finds it without putting a key together. */
function countBy(family: Family<Counter>): (first: string, second: string) => void {
  const byFirst = new Map<string, Map<string, Counter>>()
  return (first, second) => {
    let counter = byFirst.get(first)?.get(second)
    if (counter === undefined) {
      counter = family.with(first, second)
      const bySecond = byFirst.get(first) ?? new Map<string, Counter>()
      // The family caps its series; these two keep the look-up as small.
      if (bySecond.size < 1_000 && byFirst.size < 1_000) byFirst.set(first, bySecond.set(second, counter))
    }
    counter.add(1)
  }
}

/** How long the worst delay of the event loop stays visible, so that no scrape misses it. */
const delayWindowMs = 60_000

function watchProcess(registry: Registry, now: Clock): () => void {
  const gauge = (name: string, help: string, merge: 'sum' | 'max' | 'min' = 'sum'): Gauge =>
    registry.gauge(name, help, { merge }).with()
  const cpu = registry.counter('process_cpu_seconds_total', 'CPU time, user and system.').with()
  const resident = gauge('process_resident_memory_bytes', 'Resident memory.')
  const heapUsed = gauge('nodejs_heap_size_used_bytes', 'JavaScript heap in use.')
  const heapTotal = gauge('nodejs_heap_size_total_bytes', 'JavaScript heap taken from the system.')
  const external = gauge('nodejs_external_memory_bytes', 'Memory of buffers outside the heap.')
  const openFiles = gauge('process_open_fds', 'Open file descriptors.')
  const startTime = gauge('process_start_time_seconds', 'When the process started.', 'min')
  const uptime = gauge('process_uptime_seconds', 'How long the process has run.', 'max')
  const maxFiles = gauge('process_max_fds', 'How many file descriptors may be open.', 'min')
  const delay = registry.gauge('nodejs_eventloop_delay_seconds', 'How late timers fired, over the last minute.', {
    labels: ['quantile'],
    merge: 'max',
  })
  const utilization = gauge('nodejs_eventloop_utilization_ratio', 'Share of time the event loop was busy.', 'max')
  const pauses = registry.histogram('nodejs_gc_duration_seconds', 'Garbage collections.', pauseBounds, {
    labels: ['kind'],
  })
  const gcKinds: Readonly<Record<number, Histogram>> = {
    1: pauses.with('minor'),
    2: pauses.with('minor'),
    4: pauses.with('major'),
    8: pauses.with('incremental'),
    16: pauses.with('weakcb'),
  }

  const observer = new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const kind = (entry as { detail?: { kind?: number } }).detail?.kind ?? 0
      ;(gcKinds[kind] ?? gcKinds[1])!.observe(entry.duration / 1_000)
    }
  })
  observer.observe({ entryTypes: ['gc'] })
  const histogram = monitorEventLoopDelay({ resolution: 20 })
  histogram.enable()
  let windowFrom = now()
  let cpuBefore = 0
  let loopBefore = performance.eventLoopUtilization()

  // Listing a directory of thousands of descriptors takes milliseconds, so it is done aside, one scrape ahead.
  let counting = false
  const countFiles = () => {
    if (counting) return
    counting = true
    readdir('/proc/self/fd', (error, names) => {
      counting = false
      if (error === null) openFiles.set(names.length)
    })
  }
  countFiles()
  startTime.set(Math.round((performance.timeOrigin / 1_000) * 1_000) / 1_000)
  maxFiles.set(fileLimit())

  registry.beforeSnapshot(() => {
    const used = process.cpuUsage()
    const seconds = (used.user + used.system) / 1e6
    cpu.add(seconds - cpuBefore)
    cpuBefore = seconds
    const memory = process.memoryUsage()
    resident.set(memory.rss)
    heapUsed.set(memory.heapUsed)
    heapTotal.set(memory.heapTotal)
    external.set(memory.external)
    uptime.set(process.uptime())
    countFiles()
    // The monitor measures whole intervals of its timer; what is above one is delay.
    for (const [label, value] of [
      ['0.5', histogram.percentile(50)],
      ['0.99', histogram.percentile(99)],
      ['1', histogram.max],
    ] as const) {
      delay.with(label).set(Math.max(0, (histogram.count === 0 ? 0 : value) / 1e9 - 0.02))
    }
    if (now() - windowFrom >= delayWindowMs) {
      histogram.reset()
      windowFrom = now()
    }
    const loop = performance.eventLoopUtilization()
    utilization.set(performance.eventLoopUtilization(loop, loopBefore).utilization || 0)
    loopBefore = loop
  })
  return () => {
    observer.disconnect()
    histogram.disable()
  }
}

function fileLimit(): number {
  try {
    return Number(/^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1] ?? 0)
  } catch {
    return 0
  }
}

/**
 * A small metrics registry: fixed label names, a cap on series, typed arrays. Why not prom-client:
 * docs/decisions/metrics-registry.md.
 */

export type FamilyKind = 'counter' | 'gauge' | 'histogram'
/** How the values of several processes become one. Counters and histograms always add up. */
export type Merge = 'sum' | 'max' | 'min'

export interface FamilyOptions {
  readonly labels?: readonly string[]
  /** Series beyond this many are counted together under `_other`. Default 2,000. */
  readonly seriesMax?: number
}

export interface GaugeOptions extends FamilyOptions {
  readonly merge?: Merge
}

/** One family's series, as data that can cross a process border. */
export interface FamilySnapshot {
  readonly name: string
  readonly help: string
  readonly kind: FamilyKind
  readonly merge: Merge
  readonly labels: readonly string[]
  readonly bounds: readonly number[]
  /** Label values, then the numbers: one for counters and gauges; buckets, +Inf and sum for histograms. */
  readonly series: readonly (readonly [readonly string[], ArrayLike<number>])[]
}

/** A number that only grows. */
export interface Counter {
  add(amount: number): void
}

/** A number that goes up and down. */
export interface Gauge {
  set(value: number): void
}

/** A distribution of values over fixed buckets. */
export interface Histogram {
  observe(value: number): void
}

/** A family of which a series is picked by its label values. Keep what `with` returns: it is a look-up. */
export interface Family<T> {
  with(...labelValues: readonly string[]): T
  /** Forgets all series, for what is read anew at every snapshot. What `with` gave before no longer shows. */
  clear(): void
  /** How many series there are. */
  readonly size: number
}

export interface Registry {
  readonly counter: (name: string, help: string, options?: FamilyOptions) => Family<Counter>
  readonly gauge: (name: string, help: string, options?: GaugeOptions) => Family<Gauge>
  readonly histogram: (
    name: string,
    help: string,
    bounds: readonly number[],
    options?: FamilyOptions,
  ) => Family<Histogram>
  /** Calls `update` before every snapshot: for values that are read when asked, such as memory. */
  readonly beforeSnapshot: (update: () => void) => void
  /** The numbers of now; they go on counting, so read or merge them at once. */
  readonly snapshot: () => readonly FamilySnapshot[]
}

const overflow = '_other'

/** One value of a counter or gauge. */
class Scalar implements Counter, Gauge {
  readonly values = new Float64Array(1)

  add(amount: number): void {
    this.values[0]! += amount
  }

  set(value: number): void {
    this.values[0] = value
  }
}

/** Buckets, then +Inf, then the sum. Not cumulative until rendered. */
class Buckets implements Histogram {
  readonly values: Float64Array
  readonly #bounds: Float64Array

  constructor(bounds: Float64Array) {
    this.#bounds = bounds
    this.values = new Float64Array(bounds.length + 2)
  }

  observe(value: number): void {
    const bounds = this.#bounds
    let i = 0
    while (i < bounds.length && value > bounds[i]!) i++
    this.values[i]! += 1
    this.values[bounds.length + 1]! += value
  }
}

interface Series {
  readonly values: Float64Array
}

class SeriesFamily<T extends Series> implements Family<T> {
  readonly series = new Map<string, { readonly labels: readonly string[]; readonly series: T }>()
  readonly #labels: readonly string[]
  readonly #seriesMax: number
  readonly #make: () => T

  constructor(labels: readonly string[], seriesMax: number, make: () => T) {
    this.#labels = labels
    this.#seriesMax = seriesMax
    this.#make = make
  }

  get size(): number {
    return this.series.size
  }

  clear(): void {
    this.series.clear()
  }

  with(...labelValues: readonly string[]): T {
    if (labelValues.length !== this.#labels.length) {
      throw new Error(`expected ${this.#labels.length} label values, found ${labelValues.length}`)
    }
    const key = labelValues.join('\u0000')
    const known = this.series.get(key)
    if (known !== undefined) return known.series
    if (this.series.size >= this.#seriesMax && labelValues.some((value) => value !== overflow)) {
      return this.with(...this.#labels.map(() => overflow))
    }
    const series = this.#make()
    this.series.set(key, { labels: labelValues.map((value) => value.slice(0, 256)), series })
    return series
  }
}

/** Makes an empty registry. Names are checked, and each may be used once. */
export function createRegistry(): Registry {
  const families = new Map<string, { snapshot: () => FamilySnapshot }>()
  const updates: (() => void)[] = []

  const family = <T extends Series>(
    about: Omit<FamilySnapshot, 'series' | 'labels'>,
    { labels = [], seriesMax = 2_000 }: FamilyOptions,
    make: () => T,
  ): Family<T> => {
    if (!/^[a-z_:][a-z0-9_:]*$/.test(about.name) || families.has(about.name)) {
      throw new Error(`metric name is malformed or taken: ${about.name}`)
    }
    const made = new SeriesFamily<T>(labels, seriesMax, make)
    // Without labels there is one series, and it shows from the start: absence would read as "unknown".
    if (labels.length === 0) made.with()
    families.set(about.name, {
      snapshot: () => ({
        ...about,
        labels,
        series: Array.from(made.series.values(), (entry) => [entry.labels, entry.series.values] as const),
      }),
    })
    return made
  }

  return {
    counter: (name, help, options = {}) =>
      family({ name, help, kind: 'counter', merge: 'sum', bounds: [] }, options, () => new Scalar()),
    gauge: (name, help, options = {}) =>
      family({ name, help, kind: 'gauge', merge: options.merge ?? 'sum', bounds: [] }, options, () => new Scalar()),
    histogram(name, help, bounds, options = {}) {
      const sorted = Float64Array.from(bounds).sort()
      return family(
        { name, help, kind: 'histogram', merge: 'sum', bounds: [...sorted] },
        options,
        () => new Buckets(sorted),
      )
    },
    beforeSnapshot(update) {
      updates.push(update)
    },
    snapshot() {
      for (const update of updates) update()
      return Array.from(families.values(), (entry) => entry.snapshot())
    },
  }
}

/** What several processes counted, as if one had: by family and label values. */
export function mergeSnapshots(snapshots: readonly (readonly FamilySnapshot[])[]): readonly FamilySnapshot[] {
  if (snapshots.length === 1) return snapshots[0]!
  const families = new Map<
    string,
    { about: FamilySnapshot; series: Map<string, readonly [readonly string[], number[]]> }
  >()
  for (const snapshot of snapshots) {
    for (const about of snapshot) {
      let merged = families.get(about.name)
      if (merged === undefined) {
        merged = { about, series: new Map() }
        families.set(about.name, merged)
      }
      for (const [labels, values] of about.series) {
        const key = labels.join('\u0000')
        const into = merged.series.get(key)?.[1]
        if (into === undefined) merged.series.set(key, [labels, Array.from(values)])
        else for (let i = 0; i < into.length; i++) into[i] = combine[about.merge](into[i]!, values[i] ?? 0)
      }
    }
  }
  return Array.from(families.values(), ({ about, series }) => ({ ...about, series: [...series.values()] }))
}

const combine: Readonly<Record<Merge, (a: number, b: number) => number>> = {
  sum: (a, b) => a + b,
  max: Math.max,
  min: Math.min,
}

export type Exposition = 'prometheus' | 'openmetrics'

export const contentTypes: Readonly<Record<Exposition, string>> = {
  prometheus: 'text/plain; version=0.0.4; charset=utf-8',
  openmetrics: 'application/openmetrics-text; version=1.0.0; charset=utf-8',
}

/** Picks the form a scraper asks for; Prometheus text unless OpenMetrics is named. */
export function expositionFor(accept: string | undefined): Exposition {
  return accept?.includes('application/openmetrics-text') === true ? 'openmetrics' : 'prometheus'
}

/** A snapshot as text for Prometheus, or in OpenMetrics 1.0. */
export function render(snapshot: readonly FamilySnapshot[], form: Exposition): string {
  return [...renderPieces(snapshot, form)].join('')
}

/** The same in pieces of at most a few hundred lines, so that a big scrape can let requests through in between. */
export function* renderPieces(snapshot: readonly FamilySnapshot[], form: Exposition): Generator<string> {
  for (const { name, help, kind, labels, bounds, series } of snapshot) {
    // In OpenMetrics a counter's family is named without `_total`; its samples carry it.
    const familyName = form === 'openmetrics' && kind === 'counter' ? name.replace(/_total$/, '') : name
    let text = `# HELP ${familyName} ${help.replaceAll('\\', '\\\\').replaceAll('\n', '\\n')}\n# TYPE ${familyName} ${kind}\n`
    const buckets = bounds.map((edge) => `${bound(edge, form)}"} `)
    let count = 0
    for (const [labelValues, values] of series) {
      text +=
        kind === 'histogram'
          ? histogram(name, pairsOf(labels, labelValues), buckets, values)
          : scalar(name, pairsOf(labels, labelValues), values)
      if (++count % seriesPerPiece === 0) {
        yield text
        text = ''
      }
    }
    yield text
  }
  if (form === 'openmetrics') yield '# EOF\n'
}

const seriesPerPiece = 100

/** A label with an empty value is the same as none, and shorter. */
function pairsOf(labels: readonly string[], values: readonly string[]): string {
  let pairs = ''
  for (let i = 0; i < labels.length; i++) {
    if (values[i] !== '') pairs += `${pairs === '' ? '' : ','}${labels[i]}="${escapeLabel(values[i]!)}"`
  }
  return pairs
}

function scalar(name: string, pairs: string, values: ArrayLike<number>): string {
  return `${name}${pairs === '' ? '' : `{${pairs}}`} ${decimal(values[0]!)}\n`
}

function histogram(name: string, pairs: string, buckets: readonly string[], values: ArrayLike<number>): string {
  const open = `${name}_bucket{${pairs}${pairs === '' ? '' : ','}le="`
  const braces = pairs === '' ? '' : `{${pairs}}`
  let text = ''
  let count = 0
  for (let i = 0; i < buckets.length; i++) {
    count += values[i]!
    text += `${open}${buckets[i]}${count}\n`
  }
  count += values[buckets.length]!
  return `${text}${open}+Inf"} ${count}\n${name}_sum${braces} ${decimal(values[buckets.length + 1]!)}\n${name}_count${braces} ${count}\n`
}

function escapeLabel(value: string): string {
  return /["\\\n]/.test(value) ? value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n') : value
}

function decimal(value: number): string {
  return value === Number.POSITIVE_INFINITY ? '+Inf' : value === Number.NEGATIVE_INFINITY ? '-Inf' : `${value}`
}

/** OpenMetrics wants `1.0` where Prometheus takes `1`. */
function bound(value: number, form: Exposition): string {
  return form === 'openmetrics' && Number.isInteger(value) ? `${value}.0` : `${value}`
}

import { describe, expect, test } from 'vitest'
import { aPassage, aRefusal } from '../../test/kit/passage.ts'
import { createMetrics } from './metrics.ts'
import { createRegistry, expositionFor, mergeSnapshots, render } from './registry.ts'

/** Samples of a Prometheus text by their name and labels. */
function samples(text: string): Map<string, number> {
  const found = new Map<string, number>()
  for (const line of text.split('\n')) {
    if (line === '' || line.startsWith('#')) continue
    const match = /^([a-z_:][\w:]*(?:\{(?:[a-z_]+="(?:[^"\\]|\\.)*",?)+\})?) (\S+)$/i.exec(line)
    expect(match, line).not.toBeNull()
    found.set(match![1]!, Number(match![2]))
  }
  return found
}

describe('O3: the registry', () => {
  test('prints histograms cumulatively, each value in the first bucket that is not below it', () => {
    const registry = createRegistry()
    const histogram = registry.histogram('h_seconds', 'H.', [0.1, 1]).with()
    for (const value of [0.05, 0.1, 0.125, 1, 7]) histogram.observe(value)
    expect(samples(render(registry.snapshot(), 'prometheus'))).toEqual(
      new Map([
        ['h_seconds_bucket{le="0.1"}', 2],
        ['h_seconds_bucket{le="1"}', 4],
        ['h_seconds_bucket{le="+Inf"}', 5],
        ['h_seconds_sum', 8.275],
        ['h_seconds_count', 5],
      ]),
    )
  })

  test('escapes label values, and leaves out empty ones', () => {
    const registry = createRegistry()
    registry
      .counter('c_total', 'C.', { labels: ['a', 'b'] })
      .with('x"\\\ny', '')
      .add(2)
    expect(render(registry.snapshot(), 'prometheus')).toContain('c_total{a="x\\"\\\\\\ny"} 2\n')
  })

  test('speaks OpenMetrics to those who ask for it', () => {
    const registry = createRegistry()
    registry.counter('c_total', 'C.').with().add(1)
    registry.histogram('h', 'H.', [1]).with()
    const text = render(
      registry.snapshot(),
      expositionFor('application/openmetrics-text;version=1.0.0,text/plain;q=0.5'),
    )
    expect(text).toContain('# TYPE c counter\nc_total 1\n')
    expect(text).toContain('h_bucket{le="1.0"} 0\n')
    expect(text.endsWith('# EOF\n')).toBe(true)
    expect(expositionFor('*/*')).toBe('prometheus')
    expect(expositionFor(undefined)).toBe('prometheus')
  })

  test('counts what is beyond its cap under one name', () => {
    const registry = createRegistry()
    const family = registry.counter('c_total', 'C.', { labels: ['path'], seriesMax: 10 })
    for (let i = 0; i < 1_000; i++) family.with(`/${i}`).add(1)
    expect(family.size).toBe(11)
    expect(samples(render(registry.snapshot(), 'prometheus')).get('c_total{path="_other"}')).toBe(990)
  })

  test('refuses a malformed or repeated name and a wrong number of labels', () => {
    const registry = createRegistry()
    const family = registry.counter('c_total', 'C.', { labels: ['a'] })
    expect(() => registry.gauge('c_total', 'again')).toThrow()
    expect(() => registry.gauge('c-total', 'dash')).toThrow()
    expect(() => family.with('1', '2')).toThrow()
  })

  test('merges processes: sums counters and buckets, takes the largest or smallest where that is the sense', () => {
    const one = (count: number, delay: number, start: number) => {
      const registry = createRegistry()
      registry
        .counter('c_total', 'C.', { labels: ['a'] })
        .with('x')
        .add(count)
      registry.gauge('delay', 'D.', { merge: 'max' }).with().set(delay)
      registry.gauge('start', 'S.', { merge: 'min' }).with().set(start)
      registry.histogram('h', 'H.', [1]).with().observe(count)
      // As it arrives over IPC.
      return registry.snapshot()
    }
    const merged = samples(render(mergeSnapshots([one(1, 5, 100), one(2, 3, 90)]), 'prometheus'))
    expect(merged.get('c_total{a="x"}')).toBe(3)
    expect(merged.get('delay')).toBe(5)
    expect(merged.get('start')).toBe(90)
    expect(merged.get('h_bucket{le="1"}')).toBe(1)
    expect(merged.get('h_count')).toBe(2)
  })
})

describe('O3: what is counted', () => {
  const measured = (feed: (metrics: ReturnType<typeof createMetrics>) => void) => {
    const metrics = createMetrics({ version: '1.2.3' })
    feed(metrics)
    const text = render(metrics.snapshot(), 'prometheus')
    metrics.close()
    return { text, found: samples(text) }
  }
  const labels = 'api="shop",operation="getOrder",route="/v1/orders/{id}",method="GET"'

  test('rate, errors and duration by operation, method and class of status', () => {
    const { found } = measured((metrics) => {
      metrics.observe(aPassage({ durationMs: 30, responseBytes: 100, requestBytes: 7 }))
      metrics.observe(aPassage({ durationMs: 3 }))
      metrics.observe(aPassage({ status: 503 }))
      metrics.observe(aRefusal('scope.missing'))
      metrics.observe(aPassage({ observed: [{ code: 'waf.score' }, { code: 'waf.score' }] }))
      metrics.observe(aPassage({ fault: 'upstream.reset' }))
      metrics.refusedEarly('http.malformed', 400)
    })
    const name = 'portcullis_http_request_duration_seconds'
    expect(found.get(`${name}_count{${labels},status="2xx"}`)).toBe(4)
    expect(found.get(`${name}_bucket{${labels},status="2xx",le="0.005"}`)).toBe(3)
    expect(found.get(`${name}_count{${labels},status="5xx"}`)).toBe(1)
    expect(found.get(`${name}_count{${labels},status="4xx"}`)).toBe(1)
    expect(found.get(`portcullis_http_request_bytes_total{${labels}}`)).toBe(7)
    expect(found.get(`portcullis_upstream_duration_seconds_count{${labels}}`)).toBe(5)
    expect(found.get('portcullis_denials_total{api="shop",code="scope.missing"}')).toBe(1)
    expect(found.get('portcullis_observed_denials_total{api="shop",code="waf.score"}')).toBe(2)
    expect(found.get('portcullis_faults_total{api="shop",fault="upstream.reset"}')).toBe(1)
    expect(found.get('portcullis_protocol_refusals_total{code="http.malformed",status="400"}')).toBe(1)
  })

  test('what the process uses, what runs, and how the configuration stands', () => {
    const { found } = measured((metrics) => {
      metrics.reloaded(true)
      metrics.reloaded(false)
      metrics.certificates(() => [
        { name: 'api.example.com', expiresAt: 1_900_000_000_000 },
        { name: 'api.example.com', expiresAt: 1_800_000_000_000 },
      ])
      metrics.inFlight(() => 3)
    })
    for (const name of [
      'process_cpu_seconds_total',
      'process_resident_memory_bytes',
      'process_start_time_seconds',
      'process_uptime_seconds',
      'nodejs_heap_size_used_bytes',
      'process_max_fds',
    ]) {
      expect(found.get(name), name).toBeGreaterThan(0)
    }
    expect(found.has('nodejs_eventloop_delay_seconds{quantile="0.99"}')).toBe(true)
    expect(found.has('nodejs_gc_duration_seconds_count{kind="major"}')).toBe(true)
    expect(found.get(`portcullis_build_info{version="1.2.3",node="${process.version}"}`)).toBe(1)
    expect(found.get('portcullis_config_last_reload_successful')).toBe(0)
    expect(found.get('portcullis_config_reloads_total{result="failed"}')).toBe(1)
    expect(found.get('portcullis_tls_certificate_expiry_timestamp_seconds{name="api.example.com"}')).toBe(1_800_000_000)
    expect(found.get('portcullis_http_requests_in_flight')).toBe(3)
  })

  test('stays bounded when everything that a caller can choose is random', () => {
    const { found } = measured((metrics) => {
      for (let i = 0; i < 20_000; i++) {
        // Routes should be bounded already; a mistake elsewhere must not take the memory.
        metrics.observe(
          aRefusal(`code.${i}`, {
            path: `/${i}`,
            route: `/${i}`,
            operation: `op${i}`,
            method: `M${i}`,
            status: i,
            fault: `f${i}`,
          }),
        )
      }
    })
    const counts = [...found].filter(([key]) => key.startsWith('portcullis_http_request_duration_seconds_count'))
    expect(counts.length).toBeLessThan(3_100)
    expect(found.size).toBeLessThan(80_000)
    expect(counts.reduce((sum, [, value]) => sum + value, 0)).toBe(20_000)
  })

  test('a path that nobody listed has one series for each method and class, however many paths there are', () => {
    const { found } = measured((metrics) => {
      for (let i = 0; i < 10_000; i++) {
        metrics.observe(
          aRefusal('unlisted.path', { operation: 'unlisted-path', route: '*', path: `/x${i}`, status: 404 }),
        )
      }
    })
    const series = [...found.keys()].filter((key) => key.startsWith('portcullis_http_request_duration_seconds_count'))
    expect(series).toEqual([
      'portcullis_http_request_duration_seconds_count{api="shop",operation="unlisted-path",route="*",method="GET",status="4xx"}',
    ])
  })
})

import { silentLogger } from '../src/base/log.ts'
import type { Exchange } from '../src/gate/exchange.ts'
import { trace } from '../src/guards/trace.ts'
import { recordPolicy, toLine } from '../src/traffic/line.ts'
import type { Passage } from '../src/traffic/passage.ts'
import { createLineWriter, type Outlet } from '../src/watch/line-writer.ts'
import { createMetrics } from '../src/watch/metrics.ts'
import { createRecent } from '../src/watch/recent.ts'
import { createRecurring } from '../src/watch/recurring.ts'

/*
 * What it costs to tell what happened: CPU µs for each activity line, metrics observation, refusal remembered and
 * trace context. Run with `node bench/watch.ts`. JSON.stringify of the same exchange stands beside for comparison.
 */

const settings = {
  requestHeaders: ['user-agent', 'content-type', 'content-length', 'accept', 'origin', 'referer'],
  responseHeaders: ['content-type', 'content-length', 'location', 'retry-after'],
  query: ['page'],
}

/** Strings as they come from a socket: flat, and not the same object each time. */
const fresh = (text: string) => Buffer.from(text, 'latin1').toString('latin1')

const passages: Passage[] = Array.from({ length: 2_000 }, (_, i) => ({
  id: fresh(`req_01KB${String(i).padStart(22, '0')}`),
  api: 'shop',
  version: undefined,
  operation: 'getOrder',
  route: '/v1/orders/{id}',
  method: 'GET',
  path: fresh(`/v1/orders/${i}`),
  query: i % 2 === 0 ? '' : fresh('page=2&sort=asc'),
  protocol: 'HTTP/1.1',
  receivedAt: 1_795_356_600_000 + i,
  durationMs: 1.2345678 + i / 1_000,
  upstreamMs: 0.9,
  status: 200,
  requestBytes: 0,
  responseBytes: 200,
  address: '203.0.113.9',
  user: 'alice',
  application: 'partner',
  credential: 'apiKey',
  requestHeaders: {
    host: 'localhost:8443',
    'user-agent': fresh('Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36'),
    accept: fresh('application/json'),
    'accept-encoding': 'gzip',
    authorization: 'Bearer abcdef',
    connection: 'keep-alive',
  },
  responseHeaders: [
    ...['Content-Type', 'application/json', 'Content-Length', '200', 'X-Content-Type-Options', 'nosniff'],
    ...['Strict-Transport-Security', 'max-age=31536000', 'Date', 'Sat, 22 Nov 2026', 'Cache-Control', 'no-store'],
  ],
  denial: undefined,
  observed: [],
  matches: [],
  fault: undefined,
  traceId: '0af7651916cd43dd8448eb211c80319c',
}))
const refusals = passages.map(
  (passage): Passage => ({ ...passage, status: 403, denial: { code: 'scope.missing', detail: 'No.' } }),
)

const nowhere: Outlet = {
  write: (bytes, done) => setImmediate(() => done(null, bytes.length)),
  writeNow: () => 0,
  reopen() {},
  close() {},
}
const policy = recordPolicy(settings)
const writer = createLineWriter(nowhere, { log: silentLogger, droppedLine: String, queueBytesMax: 64 * 1024 * 1024 })
const metrics = createMetrics({ version: '0.0.0' })
const recurring = createRecurring({ log: silentLogger })
const recent = createRecent()
const lines = passages.map((passage) => toLine(passage, policy))
const compile = await trace.setup({ mode: 'enforce', accept: 'always', sample: 1 }, {} as never, undefined as never)
const step = compile({} as never)!.requestHead!
const exchange = (headers: object) =>
  ({ headers, peer: { trusted: true }, setUpstreamHeader() {}, withholdHeader() {} }) as unknown as Exchange
const untraced = exchange({})
const traced = exchange({ traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01' })

let sum = 0
const cases: Readonly<Record<string, (i: number) => void>> = {
  'activity line: build, mask, escape, into the batch': (i) => writer.write(toLine(passages[i]!, policy)),
  'JSON.stringify of the same, unmasked, not written': (i) => {
    sum += JSON.stringify(passages[i]).length
  },
  'metrics observation': (i) => metrics.observe(passages[i]!),
  'refusal: into its group': (i) => recurring.note(refusals[i]!),
  'refusal: into the ring of explanations': (i) => recent.add(refusals[i]!, lines[i]!),
  'trace context: new': () => void step(untraced),
  'trace context: continued': () => void step(traced),
}

const rounds = 7
const count = 50_000
const slice = 200
const best = new Map<string, number>()
for (let round = 0; round < rounds; round++) {
  for (const [name, run] of Object.entries(cases)) {
    let micros = 0
    for (let done = 0; done < count; done += slice) {
      const before = process.cpuUsage()
      for (let i = 0; i < slice; i++) run((done + i) % passages.length)
      const { user, system } = process.cpuUsage(before)
      micros += user + system
      // As in life the writer gets its turn, so that batches are used again.
      while (writer.counts.queuedBytes > 65_536) await new Promise((resolve) => setImmediate(resolve))
    }
    best.set(name, Math.min(best.get(name) ?? Number.POSITIVE_INFINITY, micros / count))
  }
}
for (const [name, micros] of best) console.log(`${micros.toFixed(3).padStart(8)} µs  ${name}`)
metrics.close()
await writer.close()
if (sum < 0) throw new Error('unreachable: keeps the loop above from being optimised away')

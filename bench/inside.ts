/*
 * What parts of the gate cost by themselves, in ns or µs per call: `node bench/inside.ts tokens|bound|ranges|router`. Prints
 * one JSON object. `npm run bench:growth` runs each in a process of its own, several times.
 */
import { performance } from 'node:perf_hooks'
import { parseIpRange, RangeSet } from '../src/base/ip.ts'
import type { Arrival } from '../src/gate/exchange.ts'
import type { Program } from '../src/gate/program.ts'
import { createRouter, type Mount } from '../src/gate/router.ts'
import type { Upstream } from '../src/gate/upstream.ts'
import { auth } from '../src/guards/auth.ts'
import { security } from '../src/guards/security.ts'
import { guarded, makeDocument, makeExchange } from '../test/kit/calls.ts'
import { dpopKey, dpopProof } from '../test/kit/dpop.ts'
import { audience, startIssuer } from '../test/kit/issuer.ts'
import { pathAt } from './documents.ts'

const figures: Record<string, number> = {}
let sink = 0

/** The least of nine rounds in ns per call: what the work costs when nobody disturbs it. */
function measure(name: string, calls: number, work: (i: number) => unknown): void {
  let least = Number.POSITIVE_INFINITY
  for (let round = 0; round < 9; round++) {
    const since = performance.now()
    for (let i = 0; i < calls; i++) if (work(i) !== undefined) sink++
    least = Math.min(least, ((performance.now() - since) * 1e6) / calls)
  }
  figures[name] = least
}

async function tokens(): Promise<void> {
  const issuer = await startIssuer()
  const document = makeDocument({ token: { type: 'http', httpScheme: 'bearer' } }, [{ security: [{ token: [] }] }])
  const gate = await guarded({
    guards: [auth, security],
    document,
    root: { issuers: { main: { issuer: issuer.url, audience } } },
    host: { now: Date.now },
  })
  const operation = document.operations[0]!
  const made = await Promise.all(Array.from({ length: 2_000 }, (_, n) => issuer.token({ sub: `user-${n}` })))
  // As from a socket: each a new flat string that no cache has hashed.
  const bytes = made.map((token) => Buffer.from(`Bearer ${token}`, 'latin1'))
  const exchange = (i: number) =>
    makeExchange(operation, { headers: { authorization: bytes[i % bytes.length]!.toString('latin1') }, at: Date.now() })
  const unseen: number[] = []
  for (let i = 0; i < bytes.length; i++) {
    const one = exchange(i)
    const since = process.cpuUsage()
    if ((await gate.callNow(one)) !== undefined) throw new Error('a token was refused')
    const { user, system } = process.cpuUsage(since)
    if (i >= bytes.length / 2) unseen.push((user + system) * 1000)
  }
  figures.unseen = unseen.reduce((sum, one) => sum + one, 0) / unseen.length
  const slice = 500
  let seen = Number.POSITIVE_INFINITY
  for (let round = 0; round < 200; round++) {
    const exchanges = Array.from({ length: slice }, (_, i) => exchange(round * slice + i))
    const since = performance.now()
    for (const one of exchanges) if (gate.callNow(one) !== undefined) throw new Error('a token was refused')
    seen = Math.min(seen, ((performance.now() - since) * 1e6) / slice)
  }
  figures.seen = seen
  await gate.close()
  await issuer.stop()
}

/** Tokens bound to a key, seen before, with a new proof for each request; and wrong ones of a network that has spent its budget. */
async function bound(): Promise<void> {
  const issuer = await startIssuer()
  const document = makeDocument({ token: { type: 'http', httpScheme: 'bearer' } }, [{ security: [{ token: [] }] }])
  const gate = await guarded({
    guards: [auth, security],
    document,
    root: { issuers: { main: { issuer: issuer.url, audience, dpop: { proofs: '100000000/s' } } } },
    options: { auth: { methods: ['main'], failures: '5/min' } },
    host: { now: Date.now },
  })
  const operation = document.operations[0]!
  const url = 'https://api.example.test/orders'
  for (const alg of ['ES256', 'EdDSA'] as const) {
    const key = await dpopKey(alg)
    const token = await issuer.token({ cnf: { jkt: key.thumbprint } })
    const authorization = Buffer.from(`DPoP ${token}`, 'latin1')
    const proofs = await Promise.all(Array.from({ length: 4_000 }, () => dpopProof(key, { token, url })))
    let least = Number.POSITIVE_INFINITY
    for (let from = 0; from < proofs.length; from += 500) {
      const exchanges = proofs.slice(from, from + 500).map((dpop) =>
        makeExchange(operation, {
          headers: { authorization: authorization.toString('latin1'), dpop: Buffer.from(dpop).toString('latin1') },
          at: Date.now(),
        }),
      )
      const since = performance.now()
      for (const [i, one] of exchanges.entries()) {
        const verdict = gate.callNow(one)
        if (from + i === 0) await verdict
        else if (verdict !== undefined) throw new Error('a proof was refused, or waited for')
      }
      if (from > 0) least = Math.min(least, ((performance.now() - since) * 1e6) / exchanges.length)
    }
    figures[`DPoP ${alg}`] = least
  }
  const token = await issuer.token()
  const forged = Array.from({ length: 1_024 }, (_, i) => `Bearer ${token.slice(0, -8)}${String(i).padStart(8, 'A')}`)
  const flood = (i: number) =>
    makeExchange(operation, { headers: { authorization: forged[i & 1023]! }, at: Date.now() })
  for (let i = 0; i < 20; i++) await gate.callNow(flood(i))
  measure('making a request of the flood', 20_000, flood)
  measure('flood, refused', 20_000, (i) => {
    const verdict = gate.callNow(flood(i))
    if (verdict === undefined || verdict instanceof Promise) throw new Error('a wrong token was looked at')
    return verdict
  })
  await gate.close()
  await issuer.stop()
}

async function ranges(): Promise<void> {
  const rangesMax = 100_000
  const texts = Array.from({ length: rangesMax }, (_, i) => {
    const at = i >> 1
    // Every second network, so that neighbours do not merge.
    return i % 2 === 0 ? `10.${at >> 8}.${at & 255}.0/25` : `2001:db8:${(at >> 8).toString(16)}:${at & 255}::/65`
  })
  const since = performance.now()
  const set = new RangeSet(texts.map((text) => parseIpRange(text)))
  figures.loadMs = performance.now() - since
  figures.separate = set.size
  const flat = (text: string) => Buffer.from(text, 'latin1').toString('latin1')
  const some = (make: (at: number) => string) =>
    Array.from({ length: 4096 }, (_, i) => flat(make((i * 7919) % (rangesMax / 2))))
  const four = (at: number, last: number) => `10.${at >> 8}.${at & 255}.${last}`
  const six = (at: number, last: string) => `2001:db8:${(at >> 8).toString(16)}:${at & 255}:${last}`
  for (const [name, addresses, answer] of [
    ['v4 inside', some((at) => four(at, 7)), true],
    ['v4 outside', some((at) => four(at, 200)), false],
    ['v6 inside', some((at) => six(at, ':1')), true],
    ['v6 outside', some((at) => six(at, 'f000::1')), false],
  ] as const) {
    if (addresses.some((address) => set.has(address) !== answer)) throw new Error(`${name} is not ${answer}`)
    measure(name, 200_000, (i) => set.has(addresses[i & 4095]!) || undefined)
  }
}

function router(): void {
  const upstream = undefined as unknown as Upstream
  const program = { operation: { path: '' } } as Program
  const mount = (prefix: string, paths: number): Mount => ({
    api: prefix,
    version: undefined,
    hosts: undefined,
    prefix,
    upstreamPrefix: '',
    header: undefined,
    mediaType: undefined,
    fallback: false,
    upstream,
    operations: Array.from({ length: paths }, (_, n) =>
      ['GET', 'POST'].map((method) => ({ method, path: pathAt(n).replace('7', '{id}'), program })),
    ).flat(),
    unlistedPath: program,
    unlistedMethod: () => program,
  })
  const arrival = (path: string, n: number): Arrival => ({
    id: '',
    method: n % 2 === 0 ? 'GET' : 'POST',
    target: { path: Buffer.from(path, 'latin1').toString('latin1'), query: '', authority: 'api.example' },
    headers: {},
    rawTarget: '/',
    protocol: 'HTTP/1.1',
    rawHeaders: [],
    peer: { address: '192.0.2.1', encrypted: false, certificate: undefined, trusted: false },
    address: '192.0.2.1',
    receivedAt: 0,
    upgrade: undefined,
  })
  for (const [name, mounts, prefix, paths] of [
    ['10 operations', [mount('', 5)], () => '', 5],
    ['1,000 operations', [mount('', 500)], () => '', 500],
    [
      '100 APIs of 10',
      Array.from({ length: 100 }, (_, n) => mount(`/api-${n}`, 5)),
      (n: number) => `/api-${n % 100}`,
      5,
    ],
  ] as const) {
    const find = createRouter(mounts)
    const arrivals = Array.from({ length: 1024 }, (_, n) => arrival(`${prefix(n)}${pathAt((n >> 1) % paths)}`, n))
    if (arrivals.some((one) => find(one)?.program !== program)) throw new Error('a path was not found')
    measure(name, 200_000, (i) => find(arrivals[i & 1023]!))
  }
}

const rows: Readonly<Record<string, () => void | Promise<void>>> = { tokens, bound, ranges, router }
await rows[process.argv[2] ?? '']!()
if (sink < 0) throw new Error('unreachable: keeps the loops from being optimised away')
process.stdout.write(JSON.stringify(figures))

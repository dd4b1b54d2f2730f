/*
 * What a limit costs a request: a rate, a quota, a pace, with counters and store on this machine. `node bench/limits.ts`.
 * Not part of `npm run bench`, which measures the whole gate.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../src/base/log.ts'
import { limits } from '../src/guards/limits.ts'
import { openStore } from '../src/store/open.ts'
import { compileGuard, makeExchange, makeHost, makePrincipal } from '../test/kit/guard.ts'

const off = { default: { mode: 'off' }, anonymous: { mode: 'off' } }
const calls = 200_000
const dir = mkdtempSync(join(tmpdir(), 'portcullis-bench-'))
const store = await openStore(`sqlite:${join(dir, 'state.db')}`, { log: silentLogger })
try {
  for (const [name, options] of [
    ['a rate', { ...off, it: { rate: '1000000000/s' } }],
    ['a quota of 100 million a month', { ...off, it: { quota: '100000000/month' } }],
    ['a rate and a quota', { ...off, it: { rate: '1000000000/s', quota: '100000000/month' } }],
    ['a rate and a quota, one of 100 plans', { plans: plansOf(100) }],
    ['a pace', { ...off, it: { pace: '1000000000/s' } }],
    ['a quota that is used up', { ...off, it: { quota: '1/month' } }],
  ] as const) {
    const steps = await compileGuard(limits, options, undefined, makeHost({ store }))
    const principal = makePrincipal('alice', { claims: { plan: 'p7' } })
    let least = Number.POSITIVE_INFINITY
    for (let round = 0; round < 5; round++) {
      const since = performance.now()
      for (let i = 0; i < calls; i++) {
        const verdict = steps?.requestHead?.(makeExchange({ principal }))
        if (verdict instanceof Promise) await verdict
      }
      least = Math.min(least, ((performance.now() - since) * 1000) / calls)
    }
    console.log(
      `${name.padEnd(58)} ${least.toFixed(2).padStart(8)} µs, making the exchange and waiting for the store included`,
    )
  }
  // Near its end every request is a write; those that come together share one.
  const steps = await compileGuard(
    limits,
    { ...off, it: { quota: '100/day', key: 'ip' } },
    undefined,
    makeHost({ store }),
  )
  for (const together of [1, 64]) {
    const since = performance.now()
    for (let sent = 0; sent < 640; sent += together) {
      const address = `198.51.${together}.${sent % 250}`
      await Promise.all(
        Array.from({ length: together }, async () => await steps!.requestHead!(makeExchange({ address }))),
      )
    }
    const each = (performance.now() - since) / 640
    console.log(
      `${`a quota near its end, ${together} at a time`.padEnd(58)} ${each.toFixed(3).padStart(8)} ms, SQLite on disk`,
    )
  }
} finally {
  await store.close()
  rmSync(dir, { recursive: true, force: true })
}

function plansOf(count: number) {
  const limit = { rate: '1000000000/s', quota: '100000000/month' }
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`p${i}`, limit]))
}

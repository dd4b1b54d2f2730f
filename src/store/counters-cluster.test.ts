import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Asked, Command, Order } from '../../test/fixtures/count-worker.ts'
import { countersContract } from './counters.contract.ts'
import { type Counters, CountersUnavailable, type Taken } from './counters.ts'

type WithoutId<T> = T extends unknown ? Omit<T, 'id'> : never

/** A real primary process with four real workers. */
function startCluster() {
  const program = fileURLToPath(new URL('../../test/fixtures/count-worker.ts', import.meta.url))
  const primary = spawn(process.execPath, [program], { stdio: ['pipe', 'pipe', 'inherit'] })
  const asked = new Map<number, { resolve: (answer: unknown) => void; reject: (error: Error) => void }>()
  let last = 0
  createInterface(primary.stdout).on('line', (line) => {
    const { id, answer, error, message } = JSON.parse(line)
    if (error === 'TypeError') asked.get(id)!.reject(new TypeError(message))
    else if (error !== undefined) asked.get(id)!.reject(new CountersUnavailable(message))
    else asked.get(id)!.resolve(answer)
  })
  function order<T>(what: WithoutId<Asked | Order>): Promise<T> {
    const id = ++last
    return new Promise((resolve, reject) => {
      asked.set(id, { resolve: resolve as (answer: unknown) => void, reject })
      primary.stdin.write(`${JSON.stringify({ id, ...what })}\n`)
    })
  }
  return {
    order,
    ask: (worker: number, command: Command) => order<unknown>({ worker, command }),
    /** The counters of one worker, as if they were here. */
    countersOf(worker: number): Counters {
      const ask = <T>(command: Command) => order<T>({ worker, command })
      return {
        async take(key, rate, cost = 1): Promise<Taken> {
          // JSON carries neither NaN nor Infinity, and what is refused never leaves the worker.
          if (!Number.isFinite(cost + rate.count)) throw new TypeError('not a number')
          const taken = await ask<Omit<Taken, 'retryAfterMs'> & { retryAfterMs: number | 'never' }>({
            do: 'take',
            key,
            rate,
            cost,
          })
          const { retryAfterMs } = taken
          return { ...taken, retryAfterMs: retryAfterMs === 'never' ? Number.POSITIVE_INFINITY : retryAfterMs }
        },
        draw: (key, amount) => ask({ do: 'draw', key, amount }),
        pour: (key, amount, more, ttlMs) => ask({ do: 'pour', key, amount, more, ttlMs }),
        drain: (key) => ask({ do: 'drain', key }),
        async close() {},
      }
    },
    async close() {
      primary.stdin.end()
      if (primary.exitCode === null) await once(primary, 'exit')
    },
  }
}

countersContract(
  "the cluster's primary",
  async () => {
    const cluster = startCluster()
    let next = 0
    return {
      open: async () => cluster.countersOf(next++ % 4),
      pass: (ms) => cluster.order({ pass: ms }),
      close: cluster.close,
    }
  },
  { slackMs: 0 },
)

describe("counters in the cluster's primary", () => {
  let cluster: ReturnType<typeof startCluster>
  beforeAll(() => {
    cluster = startCluster()
  })
  afterAll(() => cluster.close())

  test('an answer that came while the worker was held up counts as come', async () => {
    expect(await cluster.ask(0, { do: 'block', ms: 1_500 })).toMatchObject({ allowed: true })
  })

  test('a worker whose primary does not count says so within its time, and counts again later', async () => {
    const counters = cluster.countersOf(1)
    await cluster.order({ deaf: true })
    const since = performance.now()
    await expect(counters.take('deaf', { count: 1, windowMs: 1000 })).rejects.toThrow(CountersUnavailable)
    expect(performance.now() - since).toBeGreaterThanOrEqual(999)
    await cluster.order({ deaf: false })
    expect(await counters.take('deaf', { count: 1, windowMs: 1000 })).toMatchObject({ allowed: true })
  })
})

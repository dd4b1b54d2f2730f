import type { Cluster, Worker } from 'node:cluster'
import {
  boundedKey,
  type Counters,
  CountersUnavailable,
  checkAmounts,
  checkRate,
  type Drawn,
  type Rate,
  type Taken,
} from './counters.ts'
import { createMemoryCounters } from './counters-memory.ts'

/*
 * For `workers: N` on one machine: the primary process holds the one table, the workers ask it over the channel that
 * node:cluster gives them. Exact, because there is one table; questions of one turn of the event loop travel as one
 * message.
 */

/** To the primary: what to do, with which numbers. */
type Question = readonly [id: number, verb: 'take' | 'draw' | 'pour' | 'drain', key: string, ...numbers: number[]]
/** What came of it, in the verb's own order; `null`: never, or nothing. */
type Reply = readonly [id: number, ...results: (number | null)[]]

const envelope = 'portcullis:counters'
const questionsMax = 20_000

/** Answers the workers' questions from one table in the primary process. The returned function stops that. */
export function serveCounters(cluster: Cluster, counters: Counters = createMemoryCounters()): () => void {
  async function answer([id, verb, key, ...numbers]: Question): Promise<Reply> {
    const [first = 0, second = 0, third = 0, fourth = 0] = numbers
    switch (verb) {
      case 'take': {
        const rate = { count: first, windowMs: second, burst: third }
        const { allowed, remaining, retryAfterMs, resetMs } = await counters.take(key, rate, fourth)
        return [id, allowed ? 1 : 0, remaining, Number.isFinite(retryAfterMs) ? retryAfterMs : null, resetMs]
      }
      case 'draw': {
        const { taken, left, more } = await counters.draw(key, first)
        return [id, taken ? 1 : 0, left, more ?? null]
      }
      case 'pour':
        await counters.pour(key, first, second, third)
        return [id]
      case 'drain':
        return [id, await counters.drain(key)]
    }
  }

  async function onMessage(worker: Worker, message: unknown): Promise<void> {
    if (!isEnvelope(message)) return
    const replies = await Promise.all((message[1] as Question[]).map(answer))
    if (worker.isConnected()) worker.send([envelope, replies])
  }

  const onMessageSafely = (worker: Worker, message: unknown) => void onMessage(worker, message).catch(() => {})
  cluster.on('message', onMessageSafely)
  return () => void cluster.off('message', onMessageSafely)
}

export interface ClusterCountersOptions {
  /** How long one question may take before it counts as unanswered. */
  readonly timeoutMs?: number
}

/** The counters of a worker of node:cluster whose primary process runs `serveCounters`. */
export function clusterCounters(process: NodeJS.Process, { timeoutMs = 1_000 }: ClusterCountersOptions = {}): Counters {
  interface Asked {
    readonly resolve: (reply: Reply) => void
    readonly reject: (error: Error) => void
    readonly since: number
  }
  const asked = new Map<number, Asked>()
  let last = 0
  let batch: Question[] = []
  let closed = false

  function onMessage(message: unknown): void {
    if (!isEnvelope(message)) return
    for (const reply of message[1] as Reply[]) {
      asked.get(reply[0])?.resolve(reply)
      asked.delete(reply[0])
    }
  }
  process.on('message', onMessage)
  // One timer for all questions, which are in the order of their age. Answers that came while this process was held
  // up are read before anything is given up: `setImmediate` runs after the channel has been read.
  const timer = setInterval(() => setImmediate(giveUp), timeoutMs / 4).unref()

  function giveUp(): void {
    const oldest = performance.now() - timeoutMs
    for (const [id, { since, reject }] of asked) {
      if (since > oldest) break
      asked.delete(id)
      reject(new CountersUnavailable(`the primary process did not count within ${timeoutMs} ms`))
    }
  }

  function post(question: Question): void {
    batch.push(question)
    if (batch.length > 1) return
    setImmediate(() => {
      const questions = batch
      batch = []
      // A channel that is closed is found out by the timer.
      if (process.connected) process.send!([envelope, questions], () => {})
    })
  }

  function ask(make: (id: number) => Question): Promise<Reply> {
    if (closed || !process.connected) return Promise.reject(new CountersUnavailable('the primary process is gone'))
    if (asked.size >= questionsMax)
      return Promise.reject(new CountersUnavailable('too many questions wait for the primary process'))
    const id = ++last
    return new Promise((resolve, reject) => {
      asked.set(id, { resolve, reject, since: performance.now() })
      post(make(id))
    })
  }

  return {
    async take(key: string, rate: Rate, cost = 1): Promise<Taken> {
      checkRate(rate, cost)
      const { count, windowMs, burst = count } = rate
      const reply = await ask((id) => [id, 'take', boundedKey(key), count, windowMs, burst, cost])
      const [, allowed, remaining, retryAfterMs, resetMs] = reply
      return {
        allowed: allowed === 1,
        remaining: remaining!,
        retryAfterMs: retryAfterMs ?? Number.POSITIVE_INFINITY,
        resetMs: resetMs!,
      }
    },
    async draw(pool, amount): Promise<Drawn> {
      checkAmounts(amount)
      const [, taken, left, more] = await ask((id) => [id, 'draw', boundedKey(pool), amount])
      return { taken: taken === 1, left: left!, more: more ?? undefined }
    },
    async pour(pool, amount, more, ttlMs) {
      checkAmounts(amount, more)
      await ask((id) => [id, 'pour', boundedKey(pool), amount, more, ttlMs])
    },
    async drain(pool) {
      const [, left] = await ask((id) => [id, 'drain', boundedKey(pool)])
      return left!
    },
    async close() {
      closed = true
      clearInterval(timer)
      process.off('message', onMessage)
      for (const { reject } of asked.values()) reject(new CountersUnavailable('the counters are closed'))
      asked.clear()
    },
  }
}

function isEnvelope(message: unknown): message is [string, unknown[]] {
  return Array.isArray(message) && message[0] === envelope
}

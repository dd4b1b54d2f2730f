import type { Cluster, Worker } from 'node:cluster'
import { boundedKey, type Counters, CountersUnavailable, checkRate, type Rate, type Taken } from './counters.ts'
import { createMemoryCounters } from './counters-memory.ts'

/*
 * For `workers: N` on one machine: the primary process holds the one table, the workers ask it over the channel that
 * node:cluster gives them. Exact, because there is one table; questions of one turn of the event loop travel as one
 * message.
 */

/** To the primary: what to take. */
type Question = readonly [id: number, key: string, count: number, windowMs: number, burst: number, cost: number]
/** What came of it; `null`: never. */
type Reply = readonly [id: number, allowed: 0 | 1, remaining: number, retryAfterMs: number | null, resetMs: number]

const envelope = 'portcullis:counters'
const questionsMax = 20_000

/** Answers the workers' questions from one table in the primary process. The returned function stops that. */
export function serveCounters(cluster: Cluster, counters: Counters = createMemoryCounters()): () => void {
  async function answer([id, key, count, windowMs, burst, cost]: Question): Promise<Reply> {
    const taken = counters.take(key, { count, windowMs, burst }, cost)
    const { allowed, remaining, retryAfterMs, resetMs } = taken instanceof Promise ? await taken : taken
    return [id, allowed ? 1 : 0, remaining, Number.isFinite(retryAfterMs) ? retryAfterMs : null, resetMs]
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
      const reply = await ask((id) => [id, boundedKey(key), count, windowMs, burst, cost])
      const [, allowed, remaining, retryAfterMs, resetMs] = reply
      return { allowed: allowed === 1, remaining, retryAfterMs: retryAfterMs ?? Number.POSITIVE_INFINITY, resetMs }
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

import type { Cluster, Worker } from 'node:cluster'
import { boundedKey, type Counters, CountersUnavailable, checkRate, type Rate, type Taken } from './counters.ts'
import { createMemoryCounters } from './counters-memory.ts'

/*
 * For `workers: N` on one machine: the primary process holds the one table, the workers ask it over the channel that
 * node:cluster gives them. Exact, because there is one table; questions of one turn of the event loop travel as one
 * message.
 */

/** `[number, 'take', key, count, windowMs, burst, cost]`, `[number, 'enter', key, max]`, `[0, 'leave', place]`. */
type Question =
  | readonly [id: number, 'take', key: string, count: number, windowMs: number, burst: number, cost: number]
  | readonly [id: number, 'enter', key: string, max: number]
  | readonly [id: 0, 'leave', place: number]
/** To a take: allowed, remaining, retryAfterMs (`null`: never), resetMs. To an enter: whether there is a place. */
type Reply =
  | readonly [id: number, allowed: 0 | 1, remaining: number, retryAfterMs: number | null, resetMs: number]
  | readonly [id: number, inside: 0 | 1]

const envelope = 'portcullis:counters'
const questionsMax = 20_000

/** Answers the workers' questions from one table in the primary process. The returned function stops that. */
export function serveCounters(cluster: Cluster, counters: Counters = createMemoryCounters()): () => void {
  const places = new Map<number, Map<number, () => void>>()

  async function answer(worker: Worker, question: Question): Promise<Reply | undefined> {
    switch (question[1]) {
      case 'take': {
        const [id, , key, count, windowMs, burst, cost] = question
        const taken = counters.take(key, { count, windowMs, burst }, cost)
        const { allowed, remaining, retryAfterMs, resetMs } = taken instanceof Promise ? await taken : taken
        return [id, allowed ? 1 : 0, remaining, Number.isFinite(retryAfterMs) ? retryAfterMs : null, resetMs]
      }
      case 'enter': {
        const [id, , key, max] = question
        const leave = await counters.enter(key, max)
        if (leave === undefined) return [id, 0]
        // A worker that died meanwhile will not leave by itself.
        if (worker.isDead()) leave()
        else ofWorker(worker).set(id, leave)
        return [id, 1]
      }
      case 'leave': {
        const leave = places.get(worker.id)?.get(question[2])
        places.get(worker.id)?.delete(question[2])
        leave?.()
        return undefined
      }
    }
  }

  function ofWorker(worker: Worker): Map<number, () => void> {
    let own = places.get(worker.id)
    if (own === undefined) {
      own = new Map()
      places.set(worker.id, own)
    }
    return own
  }

  async function onMessage(worker: Worker, message: unknown): Promise<void> {
    if (!isEnvelope(message)) return
    const answers = await Promise.all((message[1] as Question[]).map((question) => answer(worker, question)))
    const replies = answers.filter((reply) => reply !== undefined)
    if (replies.length > 0 && worker.isConnected()) worker.send([envelope, replies])
  }

  function onExit(worker: Worker): void {
    for (const leave of places.get(worker.id)?.values() ?? []) leave()
    places.delete(worker.id)
  }

  const onMessageSafely = (worker: Worker, message: unknown) => void onMessage(worker, message).catch(() => {})
  cluster.on('message', onMessageSafely)
  cluster.on('exit', onExit)
  return () => {
    cluster.off('message', onMessageSafely)
    cluster.off('exit', onExit)
  }
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
      const [, allowed, remaining, retryAfterMs, resetMs] = reply as [number, 0 | 1, number, number | null, number]
      return { allowed: allowed === 1, remaining, retryAfterMs: retryAfterMs ?? Number.POSITIVE_INFINITY, resetMs }
    },
    async enter(key, max) {
      let place = 0
      const leave = () => {
        if (place === 0) return
        post([0, 'leave', place])
        place = 0
      }
      const [id, inside] = await ask((id) => {
        place = id
        return [id, 'enter', boundedKey(key), max]
      }).catch((error: unknown) => {
        // The answer may still come; nobody would use the place.
        leave()
        throw error
      })
      place = id
      return inside === 1 ? leave : undefined
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

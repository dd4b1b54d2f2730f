import type { Exchange } from '../../gate/exchange.ts'
import type { Counters } from '../../store/counters.ts'

/** Requests that wait for their turn in this process, a bounded number. */
export interface Queue {
  readonly isFull: () => boolean
  /** Resolves after `ms`, or at once when the caller goes away: nobody's timer outlives their request. */
  readonly wait: (exchange: Exchange, ms: number) => Promise<void>
}

/** Who waits in this process, whatever the number of APIs and of loads; the counters are what it has one of. */
const waitingIn = new WeakMap<Counters, { count: number }>()

export function createQueue(waitingMax: number, counters: Counters): Queue {
  const waiting = waitingIn.get(counters) ?? { count: 0 }
  waitingIn.set(counters, waiting)
  return {
    isFull: () => waiting.count >= waitingMax,
    wait(exchange, ms) {
      const { signal } = exchange
      const until = performance.now() + ms
      waiting.count++
      return new Promise((resolve) => {
        let timer = setTimeout(wake, Math.ceil(ms))
        signal.addEventListener('abort', leave)
        function wake(): void {
          // Timers may fire a little early, and a turn must not come before its time.
          const leftMs = until - performance.now()
          if (leftMs > 0) timer = setTimeout(wake, Math.ceil(leftMs))
          else leave()
        }
        function leave(): void {
          clearTimeout(timer)
          signal.removeEventListener('abort', leave)
          waiting.count--
          resolve()
        }
      })
    },
  }
}

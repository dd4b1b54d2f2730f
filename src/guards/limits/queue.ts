import type { Exchange } from '../../gate/exchange.ts'

/** Requests that wait for their turn in this process, a bounded number. */
export interface Queue {
  readonly isFull: () => boolean
  /** Resolves after `ms`, or at once when the caller goes away: nobody's timer outlives their request. */
  readonly wait: (exchange: Exchange, ms: number) => Promise<void>
}

export function createQueue(waitingMax: number): Queue {
  let waiting = 0
  return {
    isFull: () => waiting >= waitingMax,
    wait(exchange, ms) {
      const { signal } = exchange
      const until = performance.now() + ms
      waiting++
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
          waiting--
          resolve()
        }
      })
    },
  }
}

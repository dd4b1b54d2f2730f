import { messageOf } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'

export interface Changes {
  /** Adds a listener; the first one starts the watching. The returned function takes it away again. */
  readonly listen: (listener: (key: string | undefined) => void) => () => void
  /** Tells every listener; one that throws does not keep the others from hearing. */
  readonly tell: (key: string | undefined) => void
  readonly close: () => void
}

/** The listeners of a store: `watch.start` runs while there is at least one, what it returns when there is none. */
export function createChanges(log: Logger, watch: { readonly start: () => () => void }): Changes {
  const listeners = new Set<{ readonly hear: (key: string | undefined) => void }>()
  let stop: (() => void) | undefined
  function close(): void {
    listeners.clear()
    stop?.()
    stop = undefined
  }
  return {
    listen(hear) {
      const listener = { hear }
      listeners.add(listener)
      stop ??= watch.start()
      return () => {
        if (listeners.delete(listener) && listeners.size === 0) close()
      }
    },
    tell(key) {
      for (const { hear } of listeners) {
        try {
          hear(key)
        } catch (error) {
          log.error('a listener to the store failed', { reason: messageOf(error) })
        }
      }
    },
    close,
  }
}

import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import { type BuiltLoad, buildLoad } from './load.ts'
import { redactError } from './redact.ts'

/**
 * Builds everything that would serve a configuration, without serving and without touching its store: what `start`
 * would refuse is thrown here.
 */
export async function rehearse<T>(config: Config, log: Logger, use: (load: BuiltLoad) => T | Promise<T>): Promise<T> {
  const { openCounters, openStore } = await import('../store/open.ts')
  const store = await openStore('sqlite::memory:', { log })
  const counters = await openCounters('memory', { log })
  try {
    const load = await buildLoad(config, { store, counters, log, now: Date.now }).catch((error) => {
      throw redactError(error, config.redact)
    })
    try {
      return await use(load)
    } finally {
      await load.close()
    }
  } finally {
    await counters.close()
    await store.close()
  }
}

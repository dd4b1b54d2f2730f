import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import type { TokenService } from '../identity/service.ts'
import { type KeyRing, openKeyRing, passingKey } from '../vault/index.ts'
import { type BuiltLoad, buildLoad, type Foundation, stateDirOf } from './load.ts'
import { redactError } from './redact.ts'
import { openTokenService } from './token-service.ts'
import { masterKeyOf } from './vault.ts'

/**
 * Builds everything that would serve a configuration, without serving and without touching its store: what `start`
 * would refuse is thrown here.
 */
export async function rehearse<T>(config: Config, log: Logger, use: (load: BuiltLoad) => T | Promise<T>): Promise<T> {
  const { openCounters, openStore } = await import('../store/open.ts')
  const store = await openStore('sqlite::memory:', { log })
  const counters = await openCounters('memory', { log })
  try {
    // A key that could not be read would stop the start. A command is not asked for a rehearsal.
    const master = await masterKeyOf(config, stateDirOf(config))
    master.close()
    const now = Date.now
    let opening: Promise<KeyRing> | undefined
    const vault = () => (opening ??= openKeyRing({ store, master: passingKey(), now, log }))
    let service: TokenService | undefined
    const foundation: Foundation = {
      ...{ store, counters, log, now, vault },
      get localIssuer() {
        return service
      },
    }
    const redacted = (error: unknown) => {
      throw redactError(error, config.redact)
    }
    service = await openTokenService(config, foundation).catch(redacted)
    try {
      const load = await buildLoad(config, foundation).catch(redacted)
      try {
        return await use(load)
      } finally {
        await load.close()
      }
    } finally {
      await service?.close()
    }
  } finally {
    await counters.close()
    await store.close()
  }
}

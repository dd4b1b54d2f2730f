import type { Clock } from '../base/clock.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import type { Store } from '../store/store.ts'
import { hasVault, type KeyRing, type MasterKey, masterKeyFrom, openKeyRing, refuseReadable } from '../vault/index.ts'

/** The vault of a configuration: opened once, by whoever needs it first. */
export interface LazyVault {
  readonly open: () => Promise<KeyRing>
  /** Opens a vault that is there already, so that a wrong master key is told at the start and not by some later request. */
  readonly refuseWrongKey: () => Promise<void>
  readonly close: () => void
}

interface VaultOptions {
  readonly store: Store
  readonly stateDir: string
  readonly log: Logger
  readonly now: Clock
  readonly tell?: Tell
}

/** The vault of a configuration, opened by whoever needs it first. */
export function vaultOf(config: Config, options: VaultOptions): LazyVault {
  const { settings } = config
  const { store, log, now, tell } = options
  let opening: Promise<KeyRing> | undefined
  const open = () => {
    opening ??= openNow().catch((error) => {
      // Asked again by the next one who needs it: a KMS that was down is up again.
      opening = undefined
      throw error
    })
    return opening
  }
  async function openNow(): Promise<KeyRing> {
    const master = await masterKeyOf(config, options.stateDir)
    return openKeyRing({ store, master, now, log, ...(tell === undefined ? {} : { tell }) })
  }
  return {
    open,
    async refuseWrongKey() {
      if (settings.secrets.sealWith !== undefined || (await hasVault(store))) await open()
    },
    close() {
      void opening?.then((ring) => ring.close()).catch(() => {})
    },
  }
}

/** The master key that the configuration names, from a place that is fit for one. */
export async function masterKeyOf(config: Config, stateDir: string): Promise<MasterKey> {
  const { store, secrets } = config.settings
  const behind = config.fileBehind(['secrets', 'sealWith'])
  if (behind !== undefined) refuseReadable(behind)
  return masterKeyFrom(secrets, stateDir, { embeddedStore: store.url.startsWith('sqlite:') })
}

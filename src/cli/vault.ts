import type { Clock } from '../base/clock.ts'
import type { Logger } from '../base/log.ts'
import type { Config } from '../config/load.ts'
import type { Store } from '../store/store.ts'
import { hasVault, type KeyRing, masterKeyFrom, openKeyRing } from '../vault/index.ts'

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
}

export function vaultOf({ settings }: Config, { store, stateDir, log, now }: VaultOptions): LazyVault {
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
    const embeddedStore = settings.store.url.startsWith('sqlite:')
    const master = await masterKeyFrom(settings.secrets, stateDir, { embeddedStore })
    return openKeyRing({ store, master, now, log })
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

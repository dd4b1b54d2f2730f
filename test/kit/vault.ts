import type { Clock } from '../../src/base/clock.ts'
import { silentLogger } from '../../src/base/log.ts'
import type { Store } from '../../src/store/store.ts'
import { type KeyRing, openKeyRing, passingKey } from '../../src/vault/index.ts'

/** A vault in this store, under a master key that ends with the process. */
export function testVault(store: Store, now: Clock = Date.now): Promise<KeyRing> {
  return openKeyRing({ store, master: passingKey(), now, log: silentLogger })
}

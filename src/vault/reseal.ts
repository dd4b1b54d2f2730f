import type { Clock } from '../base/clock.ts'
import type { Store } from '../store/store.ts'
import { rewrapKeys, rootsInUse } from './key-ring.ts'
import type { MasterKey } from './master-key.ts'
import { openRoots, replaceMaster } from './roots.ts'

/** What a new sealing did. */
export interface Resealed {
  /** False when an earlier run had put the new master key in force already, and this one finished its work. */
  readonly isNew: boolean
  /** How many purposes have their keys under the new root key now that had not before. */
  readonly purposes: number
}

/**
 * Seals the whole vault with another master key. Its first step is one write: before it only `from` opens the vault, after it
 * only `to` does. The rest (a new root key for every data key) may be stopped at any point and is finished by the next run.
 */
export async function resealVault({
  store,
  from,
  to,
  now,
}: {
  readonly store: Store
  readonly from: MasterKey
  readonly to: MasterKey
  readonly now: Clock
}): Promise<Resealed> {
  const used = await rootsInUse(store)
  const isNew = await replaceMaster(store, { from, to, now: now(), isUsed: (root) => used.has(root) })
  const roots = await openRoots(store, to, now())
  return { isNew, purposes: await rewrapKeys(store, roots) }
}

import { type KeyObject, randomBytes } from 'node:crypto'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { Store, Value } from '../store/store.ts'
import type { MasterKey } from './master-key.ts'
import { contextOf, keyBytes, keyOf, openBytes, sealBytes } from './sealing.ts'

/*
 * Root keys stand between the master key and the data keys, so that a new master key costs one write, which is done or
 * not done, and a KMS is asked once per process. The newest comes first; older ones stay until nothing needs them.
 */

export const rootsName = 'vault/root'

interface RootRecord {
  readonly id: string
  /** By the master key. */
  readonly wrapped: string
  /** Nothing, sealed with the root key: tells a master key, or a KMS, that gives back other bytes than it was given. */
  readonly check: string
  readonly createdAt: number
}

interface RootsRecord {
  readonly version: 1
  readonly roots: readonly RootRecord[]
}

/** A root key, ready. */
export interface Root {
  readonly id: string
  readonly key: KeyObject
}

const idBytes = 9

export function newId(): string {
  return randomBytes(idBytes).toString('base64url')
}

/** Whether somebody made a vault in this store. */
export async function hasVault(store: Store): Promise<boolean> {
  return (await store.get(rootsName)) !== undefined
}

/** The root keys of a vault, newest first; makes the first one of an empty store. Throws `ConfigError` P1052. */
export async function openRoots(store: Store, master: MasterKey, now: number): Promise<readonly Root[]> {
  let record = (await store.get(rootsName)) as unknown as RootsRecord | undefined
  if (record === undefined) {
    const made: RootsRecord = { version: 1, roots: [await newRoot(master, now)] }
    // Opened before it is written: a key that wraps and does not unwrap would make a vault that nobody can open.
    await unwrapRoots(made, master)
    await store.put(rootsName, made as unknown as Value, { onlyIfAbsent: true })
    // Read back in every case: another process may have been first, and what stands there must open with our key.
    record = (await store.get(rootsName)) as unknown as RootsRecord
  }
  return unwrapRoots(record, master)
}

async function unwrapRoots(record: RootsRecord, master: MasterKey): Promise<readonly Root[]> {
  if (record.version !== 1) {
    throw new ConfigError('P1053', 'the vault in this store was made by a newer version', {
      hint: 'start the version that made it; nothing was changed',
    })
  }
  if (master.missing) {
    throw new ConfigError(
      'P1052',
      `the vault in this store was sealed with a master key that is gone: ${master.source}`,
      {
        hint: 'restore the file from its backup; without it nothing that was sealed opens again',
      },
    )
  }
  try {
    return await Promise.all(
      record.roots.map(async ({ id, wrapped, check }) => {
        const bytes = await master.unwrap(Buffer.from(wrapped, 'base64'))
        if (bytes.length !== keyBytes) throw new Error('it gave back something else')
        const key = keyOf(bytes)
        openBytes(key, Buffer.from(check, 'base64'), contextOf('root', id))
        return { id, key }
      }),
    )
  } catch (error) {
    throw new ConfigError(
      'P1052',
      `the master key (${master.source}) does not open the vault in this store: ${messageOf(error)}`,
      { hint: 'start with the key it was sealed with; nothing was changed', cause: error },
    )
  }
}

async function newRoot(master: MasterKey, createdAt: number): Promise<RootRecord> {
  const id = newId()
  const bytes = randomBytes(keyBytes)
  const wrapped = Buffer.from(await master.wrap(bytes)).toString('base64')
  const check = sealBytes(keyOf(bytes), Buffer.alloc(0), contextOf('root', id)).toString('base64')
  return { id, wrapped, check, createdAt }
}

/** Older roots that nothing needs are kept so long: a process that has not heard yet may still wrap with them. */
const idleRootMs = 3_600_000

/**
 * Wraps every root key with another master key and puts a new root key in front, in one write. True when it did, false when
 * `to` opens the vault already: it was done before. Throws `ConfigError` when neither does.
 */
export async function replaceMaster(
  store: Store,
  { from, to, now, isUsed }: { from: MasterKey; to: MasterKey; now: number; isUsed: (root: string) => boolean },
): Promise<boolean> {
  for (;;) {
    const stored = await store.get(rootsName)
    if (stored === undefined) {
      throw new ConfigError('P1054', 'there is no vault in this store yet: nothing to seal anew', {
        hint: 'start with the new master key',
      })
    }
    const record = stored as unknown as RootsRecord
    const opened = await openWith(record, from, to)
    if (opened === undefined) return false
    const kept = record.roots.filter(({ id, createdAt }, i) => i === 0 || isUsed(id) || now - createdAt < idleRootMs)
    const roots = [await newRoot(to, now)]
    for (const { id, check, createdAt, wrapped } of kept) {
      const bytes = await from.unwrap(Buffer.from(wrapped, 'base64'))
      roots.push({ id, wrapped: Buffer.from(await to.wrap(bytes)).toString('base64'), check, createdAt })
      bytes.fill(0)
    }
    const next: RootsRecord = { version: 1, roots }
    // Opened before it is written: a key that wraps and does not unwrap would lose everything.
    await unwrapRoots(next, to)
    if (await store.put(rootsName, next as unknown as Value, { onlyIfEquals: stored })) return true
  }
}

async function openWith(record: RootsRecord, from: MasterKey, to: MasterKey): Promise<readonly Root[] | undefined> {
  try {
    return await unwrapRoots(record, from)
  } catch (error) {
    const done = await unwrapRoots(record, to).then(
      () => true,
      () => false,
    )
    if (done) return undefined
    throw error
  }
}

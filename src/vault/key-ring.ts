import { hkdfSync, type KeyObject } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import { type Store, StoreUnavailable, type Value } from '../store/store.ts'
import type { MasterKey } from './master-key.ts'
import { newId, openRoots, type Root, rootsName } from './roots.ts'
import {
  contextOf,
  keyOf,
  newKey,
  openBytes,
  type SameKeys,
  SealBroken,
  sameKeysOf,
  sealBytes,
  sealSame,
} from './sealing.ts'

/*
 * Three layers: the master key wraps root keys, the newest root key wraps the data keys of each purpose, the newest data key
 * of a purpose seals. Everything but the master key is in the store: whoever shares the store shares the vault.
 */

export interface KeyRingOptions {
  readonly store: Store
  readonly master: MasterKey
  readonly now: Clock
  readonly log: Logger
  readonly tell?: Tell
  /** How often a key may seal before another takes its place. For tests. */
  readonly usesMax?: number
}

/** Seals what must not lie about in the open, with keys that are apart for each purpose and can be rotated and destroyed. */
export interface KeyRing {
  /**
   * Seals with the newest key of the purpose. `context` says where the value belongs (`account/9fJk2/totp`): in another
   * place it does not open.
   */
  seal(purpose: string, plain: Uint8Array, context: string): Promise<string>
  /** What was sealed. Throws `SealBroken` when it was changed or moved, or when its key is gone. */
  open(purpose: string, sealed: string, context: string): Promise<Uint8Array>
  /** A stable random secret of the purpose, the same in all processes of a store: the newest, if it was rotated. */
  secret(purpose: string, bytes: number): Promise<Uint8Array>
  /** The newest secret first, then those of keys that are not destroyed yet: to sign with the first and accept all. */
  secrets(purpose: string, bytes: number): Promise<readonly Uint8Array[]>
  /** As `secrets`, at hand for the request path: follows rotations by itself. */
  followed(purpose: string, bytes: number): Promise<FollowedSecrets>
  /** For many values on the request path: seals and opens without waiting. */
  sealer(purpose: string): Promise<Sealer>
  /** What there is, never a key. */
  list(): Promise<readonly PurposeInfo[]>
  /**
   * A new key seals from now on. The old ones go on opening what they sealed: for `graceMs`, after which they are destroyed,
   * or without it for good. The new key's id; `undefined` where the purpose has no key yet.
   */
  rotate(purpose: string, options?: { readonly graceMs?: number | undefined }): Promise<string | undefined>
  /** Ends one key of a purpose, or all: what they sealed never opens again. The ids of those that are gone. */
  destroy(purpose: string, id?: string): Promise<readonly string[]>
  /** Destroys keys whose grace is over. Runs by itself every minute. */
  sweep(): Promise<void>
  close(): void
}

/** One purpose's keys, at hand. Follows rotations by itself. */
export interface Sealer {
  seal(plain: Uint8Array, context: string): string
  /** The same plaintext in the same context gives the same value, until the key is rotated: for look-ups. */
  sealSame(plain: Uint8Array, context: string): string
  /** Throws `SealBroken`; with the reason `unknown-key` another try after `refresh` may do better. */
  open(sealed: string, context: string): Uint8Array
  /** Asks the store, at most once in a while: another process may have made a key a moment ago. */
  refresh(): Promise<void>
}

/** The secrets of a purpose, now. */
export interface FollowedSecrets {
  /** The newest first; the same list until they change. */
  now(): readonly Uint8Array[]
  /** Asks the store, at most once in a while: another process may have rotated them a moment ago. */
  refresh(): Promise<void>
}

export interface PurposeInfo {
  readonly purpose: string
  /** Newest first. */
  readonly keys: readonly KeyInfo[]
}

export interface KeyInfo {
  readonly id: string
  readonly createdAt: number
  /** `seals`: the newest. `opens`: only what it sealed before; until `openUntil`, where that is set. */
  readonly state: 'seals' | 'opens'
  readonly openUntil: number | undefined
}

const purposePrefix = 'vault/purpose/'
const usesPrefix = 'vault/uses/'
const randomVersion = 'pv1'
const sameVersion = 'ps1'
/** What a sealed value looks like: version, id of the key, nonce with ciphertext and tag. */
const sealedPattern = /^(pv1|ps1)\.([\w-]{12})\.([\w-]{38,})$/

/**
 * With random nonces a key of AES-GCM may seal 2^32 values (NIST SP 800-38D, 8.3); another takes its place long before.
 * Uses are taken from the store in lots, before they are needed: a crash loses some, and none is counted too little.
 */
const usesMaxDefault = 2 ** 31
const lotUses = 2 ** 20
const refillBelow = lotUses / 2
/** Purposes at hand; more would be somebody who makes them from input. */
const purposesMax = 10_000
const keysOfPurposeMax = 1_000
const sweepMs = 60_000
const refreshMs = 1_000
const triesMax = 20

/** A purpose as the store has it. The first key is the newest. */
interface PurposeRecord {
  readonly version: 1
  readonly keys: readonly KeyRecord[]
}

interface KeyRecord {
  readonly id: string
  /** The root key that wraps it. */
  readonly root: string
  readonly wrapped: string
  readonly createdAt: number
  readonly openUntil?: number
}

/** A data key, ready. */
interface DataKey {
  readonly id: string
  readonly key: KeyObject
  readonly openUntil: number | undefined
  same: SameKeys | undefined
  usesLeft: number
  taking: Promise<void> | undefined
}

/** A purpose at hand. */
interface Purpose {
  keys: readonly DataKey[]
  isStale: boolean
  loading: Promise<void> | undefined
  refreshedAt: number
}

/** Opens the vault of a store, or makes it. Throws `ConfigError` when the master key is not the one it was made with. */
export async function openKeyRing(options: KeyRingOptions): Promise<KeyRing> {
  const { store, master, now, log, tell, usesMax = usesMaxDefault } = options
  let roots = await openRoots(store, master, now())
  /** Somebody sealed the vault with another master key while this process ran. */
  let isOutdated = false
  let closed = false
  const purposes = new Map<string, Purpose>()

  const stopListening = store.onChange((key) => {
    if (key === undefined || key === rootsName) background(refreshRoots())
    for (const [name, purpose] of purposes) {
      if (key !== undefined && key !== purposePrefix + name) continue
      purpose.isStale = true
      if (purpose.keys.length > 0) background(ready(name))
    }
  })
  const timer = setInterval(() => background(sweep()), sweepMs).unref()

  function background(work: Promise<unknown>): void {
    work.catch((error: unknown) => {
      if (!closed) log.warn('keys of the vault could not be read anew', { reason: messageOf(error) })
    })
  }

  async function refreshRoots(): Promise<void> {
    try {
      roots = await openRoots(store, master, now())
      isOutdated = false
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      if (!isOutdated) log.error('The vault was sealed with another master key: start this process anew with it.')
      isOutdated = true
    }
  }

  // Loading ------------------------------------------------------------------------------------------

  /** The purpose with its keys as the store has them; as they were last known while the store does not answer. */
  async function ready(name: string): Promise<Purpose> {
    if (closed) throw new StoreUnavailable('the vault is closed')
    let purpose = purposes.get(name)
    if (purpose === undefined) {
      checkPurpose(name)
      if (purposes.size >= purposesMax) throw new RangeError(`more than ${purposesMax} purposes of keys`)
      purpose = { keys: [], isStale: true, loading: undefined, refreshedAt: -Infinity }
      purposes.set(name, purpose)
    }
    while (purpose.isStale || purpose.loading !== undefined) {
      purpose.loading ??= load(name, purpose)
      try {
        await purpose.loading
      } catch (error) {
        if (purpose.keys.length > 0 && error instanceof StoreUnavailable) return purpose
        throw error
      }
    }
    return purpose
  }

  async function load(name: string, purpose: Purpose): Promise<void> {
    // What changes from here on makes it stale again.
    purpose.isStale = false
    try {
      const before = purpose.keys
      const record = (await recordOf(name)) ?? (await firstRecord(name))
      const known = new Map(before.map((key) => [key.id, key]))
      const keys: DataKey[] = []
      for (const one of record.keys) {
        const { id, openUntil } = one
        const old = known.get(id)
        keys.push({
          id,
          key: old?.key ?? (await unwrap(name, one)),
          openUntil,
          same: old?.same,
          usesLeft: old?.usesLeft ?? 0,
          taking: undefined,
        })
      }
      // A key that takes the place of another in use must be able to seal at once.
      if (before.length > 0 && keys[0]!.usesLeft <= 0) await addUses(keys[0]!).catch(() => 0)
      purpose.keys = keys
      tellChanges(name, before, keys)
    } catch (error) {
      purpose.isStale = true
      throw error
    } finally {
      purpose.loading = undefined
    }
  }

  function tellChanges(purpose: string, before: readonly DataKey[], after: readonly DataKey[]): void {
    if (before.length === 0) return
    for (const { id } of before) {
      if (after.some((key) => key.id === id)) continue
      log.info('A key was destroyed.', { purpose, key: id })
      tell?.({ event: 'vault.key-destroyed', id, detail: { purpose } })
    }
    const { id } = after[0]!
    if (before[0]!.id === id) return
    log.info('A new key seals.', { purpose, key: id })
    tell?.({ event: 'vault.key-rotated', id, detail: { purpose } })
  }

  async function recordOf(purpose: string): Promise<PurposeRecord | undefined> {
    const record = (await store.get(purposePrefix + purpose)) as unknown as PurposeRecord | undefined
    if (record !== undefined && record.version !== 1) throw new Error(`keys of ${purpose} are of a newer version`)
    return record
  }

  async function firstRecord(purpose: string): Promise<PurposeRecord> {
    const made: PurposeRecord = { version: 1, keys: [await freshKey(purpose)] }
    await store.put(purposePrefix + purpose, made as unknown as Value, { onlyIfAbsent: true })
    // Of several processes one was first: its key is the one.
    const record = await recordOf(purpose)
    if (record === undefined) throw new StoreUnavailable(`the first key of ${purpose} went away at once`)
    return record
  }

  async function freshKey(purpose: string): Promise<KeyRecord> {
    if (isOutdated) await refreshRoots()
    if (isOutdated) throw new StoreUnavailable('the vault was sealed with another master key: start this process anew')
    const id = newId()
    const root = roots[0]!
    return newKey((bytes) => ({
      id,
      root: root.id,
      wrapped: sealBytes(root.key, bytes, contextOf('data key', purpose, id)).toString('base64'),
      createdAt: now(),
    }))
  }

  async function unwrap(purpose: string, record: KeyRecord): Promise<KeyObject> {
    let root = roots.find(({ id }) => id === record.root)
    if (root === undefined) {
      await refreshRoots()
      root = roots.find(({ id }) => id === record.root)
    }
    if (root === undefined) throw new StoreUnavailable(`keys of ${purpose} were sealed by a root key that is not here`)
    return unwrapKey(root, purpose, record)
  }

  // Sealing ------------------------------------------------------------------------------------------

  function sealNow(name: string, purpose: Purpose, plain: Uint8Array, context: string): string {
    const key = purpose.keys[0]!
    if (key.usesLeft <= 0) throw new StoreUnavailable('uses of a key could not be counted')
    key.usesLeft--
    if (key.usesLeft < refillBelow && key.taking === undefined) background(takeUses(name, key))
    const sealed = sealBytes(key.key, plain, contextOf(name, key.id, context))
    return `${randomVersion}.${key.id}.${sealed.toString('base64url')}`
  }

  function sealSameNow(name: string, { keys }: Purpose, plain: Uint8Array, context: string): string {
    const key = keys[0]!
    key.same ??= sameKeysOf(key.key)
    const sealed = sealSame(key.same, plain, contextOf(name, key.id, context))
    return `${sameVersion}.${key.id}.${sealed.toString('base64url')}`
  }

  function openNow(name: string, { keys }: Purpose, text: string, context: string): Uint8Array {
    const match = sealedPattern.exec(text)
    if (match === null) throw new SealBroken('malformed')
    const [, version, id, body] = match as unknown as [string, string, string, string]
    const key = keys.find((one) => one.id === id)
    if (key === undefined || (key.openUntil !== undefined && key.openUntil <= now()))
      throw new SealBroken('unknown-key')
    const sealed = Buffer.from(body, 'base64url')
    // The last character may carry bits that say nothing: only one spelling counts.
    if (sealed.toString('base64url') !== body) throw new SealBroken('malformed')
    if (version === sameVersion) key.same ??= sameKeysOf(key.key)
    return openBytes(version === sameVersion ? key.same!.seal : key.key, sealed, contextOf(name, id, context))
  }

  /** Takes a lot of uses for this process; one at a time. */
  function takeUses(name: string, key: DataKey): Promise<void> {
    key.taking ??= (async () => {
      try {
        if ((await addUses(key)) >= usesMax) {
          log.info('A key has sealed as much as it should: another takes its place.', { purpose: name, key: key.id })
          await rotate(name, { unlessNewerThan: key.id })
        }
      } finally {
        key.taking = undefined
      }
    })()
    return key.taking
  }

  async function addUses(key: DataKey): Promise<number> {
    const sum = await store.add(usesPrefix + key.id, lotUses)
    key.usesLeft += lotUses
    return sum
  }

  async function readyToSeal(name: string): Promise<Purpose> {
    const purpose = await ready(name)
    if (purpose.keys[0]!.usesLeft <= 0) await takeUses(name, purpose.keys[0]!)
    return purpose
  }

  /** Asks the store again, in case that another process has made a key; not for each value that nobody can open. */
  async function refresh(name: string, purpose: Purpose): Promise<void> {
    const at = now()
    if (Math.abs(at - purpose.refreshedAt) < refreshMs) return purpose.loading
    purpose.refreshedAt = at
    purpose.isStale = true
    await ready(name)
  }

  // Keeping ------------------------------------------------------------------------------------------

  /** Changes a purpose's record; another process' change meanwhile is changed again, not undone. */
  async function change(
    purpose: string,
    next: (record: PurposeRecord) => Promise<PurposeRecord | undefined>,
  ): Promise<PurposeRecord | undefined> {
    checkPurpose(purpose)
    for (let i = 0; i < triesMax; i++) {
      const before = await recordOf(purpose)
      if (before === undefined) return undefined
      const after = await next(before)
      if (after === undefined) return before
      const options = { onlyIfEquals: before as unknown as Value }
      if (await store.put(purposePrefix + purpose, after as unknown as Value, options)) {
        if (purposes.has(purpose)) await ready(purpose)
        return after
      }
    }
    throw new StoreUnavailable(`keys of ${purpose} are changed by too many at once`)
  }

  async function rotate(
    purpose: string,
    { graceMs, unlessNewerThan }: { graceMs?: number | undefined; unlessNewerThan?: string } = {},
  ): Promise<string | undefined> {
    const fresh = await freshKey(purpose)
    const after = await change(purpose, async ({ keys }) => {
      if (unlessNewerThan !== undefined && keys[0]!.id !== unlessNewerThan) return undefined
      if (keys.length >= keysOfPurposeMax) throw new RangeError(`${purpose} has ${keys.length} keys: destroy old ones`)
      const until = graceMs === undefined ? Infinity : now() + graceMs
      const old = keys.map((key) => ending(key, until))
      return {
        version: 1,
        keys: [fresh, ...old.filter(({ openUntil }) => openUntil === undefined || openUntil > now())],
      }
    })
    return after === undefined ? undefined : after.keys[0]!.id
  }

  async function destroy(purpose: string, id?: string): Promise<readonly string[]> {
    checkPurpose(purpose)
    // At hand, so that its going is told.
    if ((await recordOf(purpose)) !== undefined) await ready(purpose)
    let gone: readonly string[] = []
    await change(purpose, async ({ keys }) => {
      const kept = id === undefined ? [] : keys.filter((key) => key.id !== id)
      gone = keys.filter((key) => !kept.includes(key)).map((key) => key.id)
      if (gone.length === 0) return undefined
      // Another key seals from the same moment on: nobody goes on sealing with one that is gone.
      const isSealing = kept[0]?.id === keys[0]!.id
      return { version: 1, keys: isSealing ? kept : [await freshKey(purpose), ...kept] }
    })
    for (const one of gone) await store.delete(usesPrefix + one)
    return gone
  }

  async function sweep(): Promise<void> {
    for await (const { purpose, record } of everyRecord(store)) {
      const at = now()
      if (!record.keys.some(({ openUntil }) => openUntil !== undefined && openUntil <= at)) continue
      await change(purpose, async ({ keys }) => {
        const kept = keys.filter(({ openUntil }) => openUntil === undefined || openUntil > at)
        return kept.length === keys.length || kept.length === 0 ? undefined : { version: 1, keys: kept }
      })
    }
    // Seen again once a minute, should the store have failed to tell of a change.
    for (const [name, purpose] of purposes) {
      purpose.isStale = true
      if (purpose.keys.length > 0) await ready(name)
    }
  }

  async function secrets(name: string, bytes: number): Promise<readonly Uint8Array[]> {
    return secretsNow(name, await ready(name), bytes)()
  }

  function secretsNow(name: string, purpose: Purpose, bytes: number): () => readonly Uint8Array[] {
    const context = contextOf('secret', name, String(bytes))
    let from: readonly DataKey[] = []
    let derived: readonly { readonly secret: Uint8Array; readonly until: number }[] = []
    let alive: readonly Uint8Array[] = []
    let aliveUntil = -Infinity
    return () => {
      // A ring that was closed has none: the last ones count for who is still busy.
      if (purpose.keys !== from && purpose.keys.length > 0) {
        from = purpose.keys
        derived = from.map(({ key, openUntil = Infinity }) => ({
          secret: new Uint8Array(hkdfSync('sha256', key, '', context, bytes)),
          until: openUntil,
        }))
        aliveUntil = -Infinity
      }
      const at = now()
      if (at < aliveUntil) return alive
      const open = derived.filter(({ until }) => at < until)
      alive = open.map(({ secret }) => secret)
      aliveUntil = Math.min(...open.map(({ until }) => until))
      return alive
    }
  }

  return {
    async seal(name, plain, context) {
      return sealNow(name, await readyToSeal(name), plain, context)
    },
    async open(name, sealed, context) {
      const purpose = await ready(name)
      try {
        return openNow(name, purpose, sealed, context)
      } catch (error) {
        if (!(error instanceof SealBroken) || error.reason !== 'unknown-key') throw error
        await refresh(name, purpose)
        return openNow(name, purpose, sealed, context)
      }
    },
    async secret(name, bytes) {
      return (await secrets(name, bytes))[0]!
    },
    secrets,
    async followed(name, bytes) {
      const purpose = await ready(name)
      const current = secretsNow(name, purpose, bytes)
      // Derived now, so that there are some whatever comes.
      current()
      return { now: current, refresh: () => refresh(name, purpose) }
    },
    async sealer(name) {
      const purpose = await readyToSeal(name)
      return {
        seal(plain, context) {
          return sealNow(name, purpose, plain, context)
        },
        sealSame: (plain, context) => sealSameNow(name, purpose, plain, context),
        open: (sealed, context) => openNow(name, purpose, sealed, context),
        async refresh() {
          await refresh(name, purpose)
          await readyToSeal(name)
        },
      }
    },
    async list() {
      const found: PurposeInfo[] = []
      for await (const { purpose, record } of everyRecord(store)) {
        found.push({
          purpose,
          keys: record.keys.map(({ id, createdAt, openUntil }, i) => ({
            id,
            createdAt,
            state: i === 0 ? 'seals' : 'opens',
            openUntil,
          })),
        })
      }
      return found
    },
    rotate: (purpose, { graceMs } = {}) => rotate(purpose, { graceMs }),
    destroy,
    sweep,
    close() {
      closed = true
      stopListening()
      clearInterval(timer)
      for (const purpose of purposes.values()) purpose.keys = []
      purposes.clear()
      roots = []
      master.close()
    },
  }
}

/** Wraps every data key that an older root key wraps with the newest one. May be stopped and begun again at any point. */
export async function rewrapKeys(store: Store, roots: readonly Root[]): Promise<number> {
  const newest = roots[0]!
  let done = 0
  for await (const { purpose } of everyRecord(store)) {
    for (;;) {
      const stored = await store.get(purposePrefix + purpose)
      const record = stored as unknown as PurposeRecord | undefined
      if (record === undefined || record.keys.every(({ root }) => root === newest.id)) break
      const keys = record.keys.map((key) => rewrapped(purpose, key, roots))
      const next = { version: 1, keys } as unknown as Value
      if (!(await store.put(purposePrefix + purpose, next, { onlyIfEquals: stored! }))) continue
      done++
      break
    }
  }
  return done
}

/** The root keys that data keys are wrapped with. */
export async function rootsInUse(store: Store): Promise<ReadonlySet<string>> {
  const used = new Set<string>()
  for await (const { record } of everyRecord(store)) for (const { root } of record.keys) used.add(root)
  return used
}

function rewrapped(purpose: string, record: KeyRecord, roots: readonly Root[]): KeyRecord {
  const newest = roots[0]!
  if (record.root === newest.id) return record
  const root = roots.find(({ id }) => id === record.root)
  if (root === undefined) throw new Error(`the key ${record.id} of ${purpose} has no root key`)
  const context = contextOf('data key', purpose, record.id)
  const bytes = openBytes(root.key, Buffer.from(record.wrapped, 'base64'), context)
  const wrapped = sealBytes(newest.key, bytes, context).toString('base64')
  bytes.fill(0)
  return { ...record, root: newest.id, wrapped }
}

function unwrapKey(root: Root, purpose: string, { id, wrapped }: KeyRecord): KeyObject {
  return keyOf(openBytes(root.key, Buffer.from(wrapped, 'base64'), contextOf('data key', purpose, id)))
}

/** A key that ends at `until` at the latest. */
function ending(key: KeyRecord, until: number): KeyRecord {
  const openUntil = Math.min(key.openUntil ?? Infinity, until)
  return openUntil === Infinity ? key : { ...key, openUntil }
}

const pageSize = 500

async function* everyRecord(store: Store): AsyncGenerator<{ purpose: string; record: PurposeRecord }> {
  for (let after: string | undefined; ; ) {
    const page = await store.list(purposePrefix, { limit: pageSize, ...(after === undefined ? {} : { after }) })
    for (const { key, value } of page) {
      yield { purpose: key.slice(purposePrefix.length), record: value as unknown as PurposeRecord }
    }
    if (page.length < pageSize) return
    after = page.at(-1)!.key
  }
}

/** Names of purposes go into keys of the store and into contexts: no character that parts either. */
function checkPurpose(purpose: string): void {
  if (!/^[\w.:%/-]{1,200}$/.test(purpose)) throw new TypeError(`"${purpose}" is no name for a purpose of keys`)
}

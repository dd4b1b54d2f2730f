import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import type { Store, Value } from '../store/store.ts'
import type { MasterKey } from './master-key.ts'

/*
 * Three layers: the master key wraps a root key, the root key wraps one data key after the other for each purpose, and
 * data keys seal. Everything but the master key is in the store, so what has one store has one vault.
 */

export interface KeyRingOptions {
  readonly store: Store
  readonly master: MasterKey
  readonly now: Clock
  readonly log: Logger
  readonly tell?: Tell
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
  /** One stable random secret per purpose, the same in all processes of a store: the newest, if it was rotated. */
  secret(purpose: string, bytes: number): Promise<Uint8Array>
  /** The newest secret first, then those that are still in their grace: to sign with the first and accept all. */
  secrets(purpose: string, bytes: number): Promise<readonly Uint8Array[]>
  close(): void
}

/** A sealed value does not open: changed, moved, of another purpose, or its key was destroyed. Says no more on purpose. */
export class SealBroken extends Error {
  override readonly name = 'SealBroken'
  /** For the operator. */
  readonly reason: 'malformed' | 'unknown-key' | 'not-authentic'

  constructor(reason: SealBroken['reason']) {
    super('the sealed value cannot be opened')
    this.reason = reason
  }
}

const rootKeyName = 'vault/root'
const purposePrefix = 'vault/purpose/'
const keyBytes = 32
const nonceBytes = 12
const tagBytes = 16
const version = 'pv1'

/** A data key, ready. */
interface DataKey {
  readonly id: string
  readonly key: KeyObject
  readonly openUntil: number | undefined
}

/** A purpose as the store has it. The first key is the newest: it seals. */
interface PurposeRecord {
  readonly version: 1
  readonly keys: readonly KeyRecord[]
}

interface KeyRecord {
  readonly id: string
  readonly root: string
  readonly wrapped: string
  readonly createdAt: number
  readonly openUntil?: number
}

interface RootRecord {
  readonly version: 1
  readonly id: string
  readonly wrapped: string
}

/** Whether somebody made a vault in this store. */
export async function hasVault(store: Store): Promise<boolean> {
  return (await store.get(rootKeyName)) !== undefined
}

/** Opens the vault of a store, or makes it. Throws `ConfigError` when the master key is not the one it was made with. */
export async function openKeyRing({ store, master, now, log }: KeyRingOptions): Promise<KeyRing> {
  const root = await openRoot(store, master)
  const purposes = new Map<string, Promise<readonly DataKey[]>>()
  const stop = store.onChange((key) => {
    if (key === undefined) purposes.clear()
    else if (key.startsWith(purposePrefix)) purposes.delete(key.slice(purposePrefix.length))
  })

  function keysOf(purpose: string): Promise<readonly DataKey[]> {
    let keys = purposes.get(purpose)
    if (keys === undefined) {
      keys = load(purpose)
      purposes.set(purpose, keys)
      const forget = () => {
        if (purposes.get(purpose) === keys) purposes.delete(purpose)
      }
      keys.catch(forget)
    }
    return keys
  }

  async function load(purpose: string): Promise<readonly DataKey[]> {
    checkPurpose(purpose)
    const at = purposePrefix + purpose
    let record = (await store.get(at)) as PurposeRecord | undefined
    if (record === undefined) {
      const made: PurposeRecord = { version: 1, keys: [newKey(purpose)] }
      const written = await store.put(at, made as unknown as Value, { onlyIfAbsent: true })
      // Another process was first: its key is the one.
      record = written ? made : ((await store.get(at)) as unknown as PurposeRecord)
      if (written) log.debug('a key was made', { purpose, key: made.keys[0]!.id })
    }
    return record.keys.map(({ id, wrapped, openUntil }) => ({
      id,
      key: unwrapKey(root.key, purpose, id, wrapped),
      openUntil,
    }))
  }

  function newKey(purpose: string): KeyRecord {
    const id = randomBytes(9).toString('base64url')
    const bytes = randomBytes(keyBytes)
    const wrapped = sealWith(root.key, bytes, contextOf('data key', purpose, id)).toString('base64')
    bytes.fill(0)
    return { id, root: root.id, wrapped, createdAt: now() }
  }

  async function secrets(purpose: string, bytes: number): Promise<readonly Uint8Array[]> {
    const { hkdfSync } = await import('node:crypto')
    const at = now()
    return (await keysOf(purpose))
      .filter(({ openUntil }) => openUntil === undefined || openUntil > at)
      .map(({ key }) => new Uint8Array(hkdfSync('sha256', key, '', contextOf('secret', purpose, String(bytes)), bytes)))
  }

  return {
    async seal(purpose, plain, context) {
      const { id, key } = (await keysOf(purpose))[0]!
      return `${version}.${id}.${sealWith(key, plain, contextOf(purpose, id, context)).toString('base64url')}`
    },
    async open(purpose, sealed, context) {
      const match = /^pv1\.([\w-]{12})\.([\w-]+)$/.exec(sealed)
      if (match === null) throw new SealBroken('malformed')
      const id = match[1]!
      const at = now()
      const found = (await keysOf(purpose)).find((key) => key.id === id)
      if (found === undefined || (found.openUntil !== undefined && found.openUntil <= at)) {
        throw new SealBroken('unknown-key')
      }
      return openWith(found.key, Buffer.from(match[2]!, 'base64url'), contextOf(purpose, id, context))
    },
    async secret(purpose, bytes) {
      return (await secrets(purpose, bytes))[0]!
    },
    secrets,
    close() {
      stop()
      purposes.clear()
      master.close()
    },
  }
}

interface Root {
  readonly id: string
  readonly key: KeyObject
}

async function openRoot(store: Store, master: MasterKey): Promise<Root> {
  for (;;) {
    const record = (await store.get(rootKeyName)) as RootRecord | undefined
    if (record !== undefined) return { id: record.id, key: await unwrapRoot(record, master) }
    const bytes = randomBytes(keyBytes)
    const made: RootRecord = {
      version: 1,
      id: randomBytes(9).toString('base64url'),
      wrapped: Buffer.from(await master.wrap(bytes)).toString('base64'),
    }
    bytes.fill(0)
    // Read back in every case: what was written must open with this master key.
    await store.put(rootKeyName, made as unknown as Value, { onlyIfAbsent: true })
  }
}

async function unwrapRoot(record: RootRecord, master: MasterKey): Promise<KeyObject> {
  if (master.missing) {
    throw new ConfigError(
      'P1052',
      `the vault in this store was sealed with a master key that is gone: ${master.source}`,
      {
        hint: 'restore the file from its backup; without it nothing sealed can be opened again',
      },
    )
  }
  let bytes: Uint8Array
  try {
    bytes = await master.unwrap(Buffer.from(record.wrapped, 'base64'))
  } catch (error) {
    throw new ConfigError(
      'P1052',
      `the master key (${master.source}) does not open the vault in this store: ${messageOf(error)}`,
      { hint: 'use the key it was sealed with; nothing was changed', cause: error },
    )
  }
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

function unwrapKey(root: KeyObject, purpose: string, id: string, wrapped: string): KeyObject {
  const bytes = openWith(root, Buffer.from(wrapped, 'base64'), contextOf('data key', purpose, id))
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

/** Names of purposes go into keys of the store and into contexts: no character that parts either. */
function checkPurpose(purpose: string): void {
  if (!/^[\w.:/-]{1,128}$/.test(purpose)) throw new TypeError(`"${purpose}" is no name for a purpose of keys`)
}

/** Parts cannot run into each other: only the last may hold a NUL. */
function contextOf(...parts: readonly string[]): Buffer {
  return Buffer.from(`portcullis vault 1\0${parts.join('\0')}`)
}

function sealWith(key: KeyObject, plain: Uint8Array, context: Uint8Array): Buffer {
  const nonce = randomBytes(nonceBytes)
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context)
  return Buffer.concat([nonce, cipher.update(plain), cipher.final(), cipher.getAuthTag()])
}

function openWith(key: KeyObject, sealed: Buffer, context: Uint8Array): Buffer {
  if (sealed.length < nonceBytes + tagBytes) throw new SealBroken('malformed')
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, nonceBytes), { authTagLength: tagBytes })
  decipher.setAAD(context).setAuthTag(sealed.subarray(-tagBytes))
  const plain = decipher.update(sealed.subarray(nonceBytes, -tagBytes))
  try {
    decipher.final()
  } catch {
    plain.fill(0)
    throw new SealBroken('not-authentic')
  }
  return plain
}

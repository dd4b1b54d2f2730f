/**
 * Durable state: API keys, users, sessions, certificates, audit. Values are JSON. An acknowledged write survives
 * `kill -9`. Every driver passes `storeContract`.
 */
export interface Store {
  /** The value, or `undefined` when there is none or its time is over. */
  get(key: string): Value | undefined | Promise<Value | undefined>
  /** Writes; with `onlyIfAbsent` says whether it did. */
  put(key: string, value: Value, options?: PutOptions): Promise<boolean>
  /** Says whether there was anything to delete. */
  delete(key: string): Promise<boolean>
  /** Entries whose key starts with `prefix`, in key order, after the key `after` where given. */
  list(prefix: string, options: { readonly limit: number; readonly after?: string }): Promise<Entry[]>
  /** Adds to a number atomically and returns the sum; starts from 0, with `ttlMs` counted from the first add. */
  add(key: string, amount: number, options?: { readonly ttlMs?: number }): Promise<number>
  /**
   * Calls `listener` soon (well under a second) after another process or this one changed something: with the key
   * where the driver knows it, without when anything may have changed. Caches in front of a store live by it.
   */
  onChange(listener: (key: string | undefined) => void): () => void
  /** Whether the store answers now; for readiness and `doctor`. */
  ping(): Promise<void>
  close(): Promise<void>
}

/** Anything JSON can carry. */
export type Value = null | boolean | number | string | readonly Value[] | { readonly [name: string]: Value | undefined }

export interface PutOptions {
  readonly ttlMs?: number
  readonly onlyIfAbsent?: boolean
}

export interface Entry {
  readonly key: string
  readonly value: Value
}

/** The store cannot be reached. What happens then is each caller's stated choice; by default it fails closed. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}

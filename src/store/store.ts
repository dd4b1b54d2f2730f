/**
 * Durable state: API keys, users, sessions, certificates, audit. Values are JSON. An acknowledged write survives
 * `kill -9`, and a power cut as far as the disk keeps its promises. Several processes may share one store. Every
 * driver passes `storeContract`.
 *
 * Keys are 1 to 1024 bytes of well-formed text without NUL; part them with `/`, the owner's name first:
 * `api-key/9fJk2…`. They sort by code point. What does not fit throws a `TypeError`: that is a mistake of the caller.
 */
export interface Store {
  /**
   * The value, or `undefined` when there is none or its time is over. A driver that can answer at once answers bare,
   * and then throws `StoreUnavailable` bare, too.
   */
  get(key: string): Value | undefined | Promise<Value | undefined>
  /** Writes; says whether it did, which is always so without `onlyIfAbsent` and `onlyIfEquals`. */
  put(key: string, value: Value, options?: PutOptions): Promise<boolean>
  /** Says whether there was anything to delete. */
  delete(key: string): Promise<boolean>
  /** At most `limit` (1 to 10,000) entries whose key starts with `prefix`, in key order, after the key `after`. */
  list(prefix: string, options: { readonly limit: number; readonly after?: string }): Promise<Entry[]>
  /**
   * Adds to a number atomically and returns the sum; starts from 0, with `ttlMs` counted from the first add. Sums
   * change too often for caches, so `onChange` does not tell of them.
   */
  add(key: string, amount: number, options?: { readonly ttlMs?: number }): Promise<number>
  /**
   * Calls `listener` soon (well under a second) after another process or this one put or deleted something: with the
   * key where the driver knows it, without when anything may have changed, as after a lost connection. A write of
   * this process is told before its promise settles. The end of an entry's time is not told.
   */
  onChange(listener: (key: string | undefined) => void): () => void
  /** Whether the store answers now; for readiness and `doctor`. Rejects with `StoreUnavailable`. */
  ping(): Promise<void>
  /** Waits for the writes under way, then lets go of everything. */
  close(): Promise<void>
}

/** Anything JSON can carry. */
export type Value = null | boolean | number | string | readonly Value[] | { readonly [name: string]: Value | undefined }

export interface PutOptions {
  /** How long the value lasts, in milliseconds, from now on. Default: for ever, also where it replaces one that ended. */
  readonly ttlMs?: number
  /** Writes only where there is nothing. */
  readonly onlyIfAbsent?: boolean
  /** Writes only where exactly this stands, as `get` gave it: how two writers keep from undoing each other's work. */
  readonly onlyIfEquals?: Value
}

export interface Entry {
  readonly key: string
  readonly value: Value
}

/** The store cannot be reached. What happens then is each caller's stated choice; by default it fails closed. */
export class StoreUnavailable extends Error {
  override readonly name = 'StoreUnavailable'
}

/** Refuses a key that some driver could not keep, or that two drivers would sort differently. */
export function checkKey(key: string): void {
  if (key.length === 0 || key.length > keyBytesMax || !key.isWellFormed() || key.includes('\0')) throw badKey()
  // A string has at most three bytes a UTF-16 unit, so short ones need no count.
  if (key.length > keyBytesMax / 3 && Buffer.byteLength(key) > keyBytesMax) throw badKey()
}

/** The end of the range of keys that start with `prefix`, by code point; `undefined` when nothing sorts after them. */
export function endOfPrefix(prefix: string): string | undefined {
  const points = Array.from(prefix, (character) => character.codePointAt(0)!)
  while (points.length > 0) {
    const last = points.pop()!
    if (last === 0x10ffff) continue
    // Surrogates are no code points of their own (Unicode 3.8, D71), so the one after U+D7FF is U+E000.
    return String.fromCodePoint(...points, last === 0xd7ff ? 0xe000 : last + 1)
  }
  return undefined
}

/** Less than, equal to or greater than 0, by code point, which is also the order of UTF-8 bytes. */
export function compareKeys(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

/** When something that lasts `ttlMs` from `now` on ends, in whole milliseconds; `null`: never. */
export function endOf(now: number, ttlMs: number | undefined): number | null {
  return ttlMs === undefined ? null : Math.ceil(now + ttlMs)
}

/** The JSON text of a value; throws a `TypeError` for what JSON cannot carry. */
export function textOf(value: Value): string {
  const text: string | undefined = JSON.stringify(value)
  if (text === undefined) throw new TypeError('a store keeps only what JSON can carry')
  if (text.length > valueCharactersMax)
    throw new TypeError(`a value in the store has more than ${valueCharactersMax} characters`)
  return text
}

/** Refuses a list without a sensible bound. */
export function checkList(prefix: string, options: { readonly limit: number; readonly after?: string }): void {
  if (prefix !== '') checkKey(prefix)
  if (options.after !== undefined) checkKey(options.after)
  const { limit } = options
  if (!Number.isInteger(limit) || limit < 1 || limit > listMax)
    throw new TypeError(`list: limit must be 1 to ${listMax}`)
}

/** Refuses a time to live that is no positive number of milliseconds, and conditions that cannot both hold. */
export function checkPut({ ttlMs, onlyIfAbsent, onlyIfEquals }: PutOptions): void {
  if (ttlMs !== undefined && !(ttlMs > 0 && ttlMs <= Number.MAX_SAFE_INTEGER / 2)) {
    throw new TypeError('ttlMs must be a positive number of milliseconds')
  }
  if (onlyIfAbsent === true && onlyIfEquals !== undefined) {
    throw new TypeError('put: onlyIfAbsent and onlyIfEquals cannot both hold')
  }
}

/** Told when a sum would leave the numbers that every driver adds alike. */
export function badSum(key: string): TypeError {
  return new TypeError(`add: ${key} does not hold a number, or the sum is not finite`)
}

const keyBytesMax = 1024
const valueCharactersMax = 1_000_000
const listMax = 10_000

function badKey(): TypeError {
  return new TypeError(`a key in the store must be 1 to ${keyBytesMax} bytes of well-formed text without NUL`)
}

import { type CryptoKeyPair, generateKeyPair } from 'oauth4webapi'
import type { RefreshTokens } from './tokens.ts'

/** What outlives a page: the refresh token, and the key that it is bound to. */
export interface Kept {
  readonly refreshToken: RefreshTokens
  /** The same pair in every tab, made on first use; its private key cannot be read, here neither. */
  readonly keyPair: () => Promise<CryptoKeyPair>
}

/**
 * Keeps them in the browser's IndexedDB, under a name for each user or application. Not in `localStorage`: its writes reach other
 * tabs a while later, so that one of them could spend a token twice, and it holds no keys that cannot be read.
 */
export function keepInBrowser(name: string): Kept {
  const { indexedDB } = globalThis as unknown as { readonly indexedDB: Factory }
  let opened: Promise<Database> | undefined
  const open = () => {
    opened ??= result(indexedDB.open('portcullis', 1), (request) => {
      ;(request.result as Database).createObjectStore('kept')
    }) as Promise<Database>
    return opened
  }
  const within = async (mode: string, ask: (kept: ObjectStore) => Request): Promise<unknown> => {
    const transaction = (await open()).transaction('kept', mode)
    const request = ask(transaction.objectStore('kept'))
    return new Promise((resolve, reject) => {
      // Not before it is written for all to see.
      transaction.oncomplete = () => resolve(request.result)
      transaction.onabort = () => reject(transaction.error ?? new Error('nothing was kept'))
    })
  }
  const tokenKey = `${name}/refresh-token`
  const pairKey = `${name}/key-pair`
  return {
    refreshToken: {
      name,
      get: () => within('readonly', (kept) => kept.get(tokenKey)) as Promise<string | undefined>,
      async set(token) {
        await within('readwrite', (kept) => (token === undefined ? kept.delete(tokenKey) : kept.put(token, tokenKey)))
      },
    },
    async keyPair() {
      const made = await generateKeyPair('ES256')
      // Of several tabs that come here at once the first one's stays: `add` fails where there is one.
      await within('readwrite', (kept) => kept.add(made, pairKey)).catch(() => {})
      return (await within('readonly', (kept) => kept.get(pairKey))) as CryptoKeyPair
    },
  }
}

function result(request: Request, upgrade: (request: Request) => void): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request.onupgradeneeded = () => upgrade(request)
    request.onsuccess = () => resolve(request.result)
    request.onerror = () => reject(request.error ?? new Error('the database cannot be opened'))
  })
}

// What of IndexedDB is used here; the types of browsers are not among those of this program.

interface Factory {
  open(name: string, version: number): Request
}

interface Request {
  readonly result: unknown
  readonly error: Error | null
  onsuccess: (() => void) | null
  onerror: (() => void) | null
  onupgradeneeded: (() => void) | null
}

interface Database {
  createObjectStore(name: string): ObjectStore
  transaction(store: string, mode: string): Transaction
}

interface Transaction {
  readonly error: Error | null
  objectStore(name: string): ObjectStore
  oncomplete: (() => void) | null
  onabort: (() => void) | null
}

interface ObjectStore {
  get(key: string): Request
  put(value: unknown, key: string): Request
  add(value: unknown, key: string): Request
  delete(key: string): Request
}

import { hash } from 'node:crypto'
import type { Store } from '../store/store.ts'

/** Where the second factors of a user stand in the store; `totp`, `passkey/…` and `recovery/…` below it. */
export function factorsPrefix(name: string): string {
  return `factor/${hash('sha256', name, 'base64url')}/`
}

/** Whether a password alone is less than a user has to show. Recovery codes stand in for a factor and are none. */
export async function hasSecondFactor(store: Store, name: string): Promise<boolean> {
  const prefix = factorsPrefix(name)
  const [totp, passkeys] = await Promise.all([
    store.get(`${prefix}totp`),
    store.list(`${prefix}passkey/`, { limit: 1 }),
  ])
  return totp !== undefined || passkeys.length > 0
}

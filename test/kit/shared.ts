import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

/**
 * Where data of others lies that tests run against and that is never part of this repository: `crs` (the Core Rule Set with its regression tests),
 * `seclang-tests` (the SecRules language tests). `undefined` where it is not there; a test then skips and says so.
 * `PORTCULLIS_SHARED` names another folder than `../shared` beside the checkout.
 */
export function sharedPath(name: 'crs' | 'seclang-tests'): string | undefined {
  const base = process.env.PORTCULLIS_SHARED ?? fileURLToPath(new URL('../../../shared', import.meta.url))
  const path = `${base}/${name}`
  return existsSync(path) ? path : undefined
}

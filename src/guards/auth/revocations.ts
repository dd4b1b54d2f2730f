import type { Logger } from '../../base/log.ts'
import { revokedTokensPrefix as prefix } from '../../credentials/revoked-tokens.ts'
import type { Store } from '../../store/store.ts'

const pageSize = 1_000
const entriesMax = 1_000_000

/** The revoked tokens, in memory: asked on every request. */
export interface Revocations {
  /** Also `false` when nothing was ever revoked, without a look-up. */
  has(tokenId: string | undefined): boolean
}

/** Loads the revoked tokens and follows the store's changes. */
export async function watchRevocations(
  store: Store,
  log: Logger,
): Promise<{ readonly revocations: Revocations; readonly close: () => void }> {
  let revoked: ReadonlySet<string> = new Set()
  let loading: Promise<void> | undefined
  let again = false
  let closed = false

  async function load(): Promise<void> {
    do {
      again = false
      const found = new Set<string>()
      let after: string | undefined
      for (;;) {
        const page = await store.list(prefix, after === undefined ? { limit: pageSize } : { limit: pageSize, after })
        for (const { key } of page) found.add(key.slice(prefix.length))
        if (page.length < pageSize || found.size >= entriesMax) break
        after = page.at(-1)!.key
      }
      revoked = found
    } while (again && !closed)
  }

  function reload(): Promise<void> {
    again = true
    loading ??= load().finally(() => {
      loading = undefined
    })
    return loading
  }

  const stop = store.onChange((key) => {
    if (key !== undefined && !key.startsWith(prefix)) return
    // The list known so far stays in force; the next change or reload tries again.
    reload().catch((error: unknown) =>
      log.error('revoked tokens cannot be read from the store', { error: String(error) }),
    )
  })
  await reload()
  return {
    revocations: { has: (tokenId) => revoked.size > 0 && tokenId !== undefined && revoked.has(tokenId) },
    close() {
      closed = true
      stop()
    },
  }
}

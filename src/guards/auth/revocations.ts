import type { Logger } from '../../base/log.ts'
import { revokedTokensPrefix as prefix } from '../../credentials/revoked-tokens.ts'
import type { Store, Value } from '../../store/store.ts'

const pageSize = 1_000
const entriesMax = 1_000_000
const retryMs = 1_000

/** The revoked tokens, in memory: asked on every request. */
export interface Revocations {
  /** Also `false` when nothing was ever revoked, without a look-up. */
  has(token: RevocableToken): boolean
}

/** What a token can be revoked by. */
export interface RevocableToken {
  readonly tokenId: string | undefined
  /** Families of the token service it belongs to (see `endFamily`), by their ids. */
  readonly families: readonly string[]
  readonly issuedMs: number
}

/** Loads the revoked tokens and follows the store's changes. */
export async function watchRevocations(
  store: Store,
  log: Logger,
): Promise<{ readonly revocations: Revocations; readonly close: () => void }> {
  /** Until when tokens under an id are over; those of a single token end whenever they were issued. */
  let revoked: ReadonlyMap<string, number> = new Map()
  let loading: Promise<void> | undefined
  let again = false
  let closed = false
  let failing = false
  let retry: NodeJS.Timeout | undefined

  async function load(): Promise<void> {
    do {
      again = false
      const found = new Map<string, number>()
      let after: string | undefined
      for (;;) {
        const page = await store.list(prefix, after === undefined ? { limit: pageSize } : { limit: pageSize, after })
        for (const { key, value } of page) found.set(key.slice(prefix.length), endOf(value))
        if (page.length < pageSize) break
        if (found.size >= entriesMax) {
          log.error('More tokens are revoked than can be kept in mind; the rest work until they end.', { entriesMax })
          break
        }
        after = page.at(-1)!.key
      }
      revoked = found
    } while (again && !closed)
  }

  function reload(): Promise<void> {
    again = true
    loading ??= load().finally(() => {
      loading = undefined
      // A change that was told after the last look at `again`.
      if (again) follow()
    })
    return loading
  }

  /** Reads until it succeeds: what was revoked must not go on because the store did not answer in that one moment. */
  function follow(): void {
    clearTimeout(retry)
    if (closed) return
    reload().then(
      () => (failing = false),
      (error: unknown) => {
        if (!failing) log.error('revoked tokens cannot be read from the store', { error: String(error) })
        failing = true
        clearTimeout(retry)
        if (!closed) retry = setTimeout(follow, retryMs).unref()
      },
    )
  }

  const stop = store.onChange((key) => {
    if (key === undefined || key.startsWith(prefix)) follow()
  })
  try {
    await reload()
  } catch (error) {
    // Nobody has it to close: it must not go on listening.
    closed = true
    stop()
    throw error
  }
  return {
    revocations: {
      has({ tokenId, families, issuedMs }) {
        if (revoked.size === 0) return false
        if (tokenId !== undefined && revoked.has(tokenId)) return true
        for (const family of families) {
          const before = revoked.get(family)
          if (before !== undefined && issuedMs <= before) return true
        }
        return false
      },
    },
    close() {
      closed = true
      clearTimeout(retry)
      stop()
    },
  }
}

function endOf(value: Value): number {
  const { before } = (typeof value === 'object' && value !== null ? value : {}) as { readonly before?: unknown }
  return typeof before === 'number' ? before : Number.POSITIVE_INFINITY
}

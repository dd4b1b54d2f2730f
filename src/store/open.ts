import type { Clock } from '../base/clock.ts'
import { ConfigError } from '../base/errors.ts'
import type { Logger } from '../base/log.ts'
import type { Counters } from './counters.ts'
import { createMemoryCounters } from './counters-memory.ts'
import { createSqliteStore } from './sqlite.ts'
import type { Store } from './store.ts'

export interface OpenOptions {
  readonly log: Logger
  readonly now?: Clock
}

/**
 * The store that `store.url` names: `sqlite:FILE`, `sqlite::memory:` or `postgres://…`. Throws `ConfigError` for any
 * other URL, `StoreUnavailable` when it cannot be opened.
 */
export async function openStore(url: string, options: OpenOptions): Promise<Store> {
  if (url.startsWith('sqlite:') && url.length > 'sqlite:'.length) {
    return createSqliteStore({ ...options, file: url.slice('sqlite:'.length) })
  }
  if (/^postgres(ql)?:\/\//.test(url)) {
    // Loaded only where it is used: a gate on SQLite starts without the driver.
    const { openPostgresStore } = await import('./postgres.ts')
    return await openPostgresStore({ ...options, url })
  }
  throw new ConfigError('P1040', 'store.url names no store that is known', {
    hint: 'sqlite:FILE, sqlite::memory: or postgres://user:password@host/database',
  })
}

/**
 * The counters that `counters.url` names: `memory`, or `redis://…` (`rediss://…` with TLS), where `?timeoutMs=250` says
 * how long one question may take. Does not wait for a server
 * that is down: it says so in the log, and each limit's stated answer holds until the server is there.
 */
export async function openCounters(url: string, options: OpenOptions): Promise<Counters> {
  if (url === 'memory') return createMemoryCounters(options.now === undefined ? {} : { now: options.now })
  if (/^rediss?:\/\//.test(url)) {
    const { openRedisCounters } = await import('./counters-redis.ts')
    return await openRedisCounters({ ...splitTimeout(url), log: options.log })
  }
  throw new ConfigError('P1041', 'counters.url names no counters that are known', {
    hint: 'memory, or redis://user:password@host:6379/0',
  })
}

function splitTimeout(text: string): { readonly url: string; readonly timeoutMs?: number } {
  const url = URL.parse(text)
  const timeout = url?.searchParams.get('timeoutMs')
  if (url === null || timeout == null) return { url: text }
  const timeoutMs = Number(timeout)
  if (!(timeoutMs >= 1 && timeoutMs <= 60_000)) {
    throw new ConfigError('P1041', 'counters.url: timeoutMs must be 1 to 60000', { hint: '?timeoutMs=250' })
  }
  url.searchParams.delete('timeoutMs')
  return { url: url.href, timeoutMs }
}

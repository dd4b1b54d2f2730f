import type { Clock } from '../base/clock.ts'
import type { Tell } from '../base/events.ts'
import type { Store } from '../store/store.ts'
import { type ApiKey, createApiKeys } from './api-keys.ts'
import { createGrants, type Grant, grantState } from './grants.ts'
import { readUsage, type UsageBook } from './usage.ts'
import type { User } from './users.ts'

const day = 86_400_000
const pageSize = 1_000

/** What has rights: a key, a user, a grant. */
export interface Holder {
  readonly kind: 'key' | 'user' | 'grant' | 'client'
  readonly id: string
  readonly name: string
  readonly via: string
  readonly subject: string
  /** As who else it comes in: a person by a password and by tokens. */
  readonly also?: readonly { readonly via: string; readonly subject: string }[]
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  /** Selectors of operations it is bound to. */
  readonly operations: readonly string[]
  readonly since: number
}

/** What a used operation makes use of, as documents and configuration say. */
export interface Catalog {
  /** Scopes and roles that an operation (`api operation`) asks for or lets in. */
  readonly needs: (operation: string) => { readonly scopes: ReadonlySet<string>; readonly roles: ReadonlySet<string> }
  readonly selects: (selector: string, operation: string) => boolean
}

/** Rights of one holder that nobody made use of. */
export interface Unused {
  readonly kind: Holder['kind']
  readonly id: string
  readonly name: string
  readonly via: string
  readonly subject: string
  /** When anything of it was used last. */
  readonly lastUsedAt: number | undefined
  readonly since: number
  /** Nothing of it was used. */
  readonly wholly: boolean
  readonly scopes: readonly string[]
  readonly roles: readonly string[]
  readonly operations: readonly string[]
}

/** Every right that was not used since a moment, holders without any first; those younger than that are left alone (Z6). */
export function findUnused(holders: readonly Holder[], book: UsageBook, catalog: Catalog, since: number): Unused[] {
  const found: Unused[] = []
  for (const holder of holders) {
    if (holder.since > since) continue
    const used = [holder, ...(holder.also ?? [])]
      .flatMap((as) => Object.entries(book.of(as.via, as.subject)?.operations ?? {}))
      // Before a grant began, its holder used what it had by itself.
      .filter(([, at]) => at >= (holder.kind === 'grant' ? holder.since : 0))
    const recent = used.filter(([, at]) => at >= since).map(([operation]) => operation)
    const scopes = holder.scopes.filter((scope) => !recent.some((one) => catalog.needs(one).scopes.has(scope)))
    const roles = holder.roles.filter((role) => !recent.some((one) => catalog.needs(one).roles.has(role)))
    const operations = holder.operations.filter((text) => !recent.some((one) => catalog.selects(text, one)))
    if (recent.length > 0 && scopes.length + roles.length + operations.length === 0) continue
    const { kind, id, name, via, subject } = holder
    const lastUsedAt = used.length === 0 ? undefined : Math.max(...used.map(([, at]) => at))
    found.push({
      kind,
      id,
      name,
      via,
      subject,
      lastUsedAt,
      since: holder.since,
      wholly: recent.length === 0,
      scopes,
      roles,
      operations,
    })
  }
  return found.sort((a, b) => Number(b.wholly) - Number(a.wholly) || (a.lastUsedAt ?? 0) - (b.lastUsedAt ?? 0))
}

export function holderOfKey(key: ApiKey): Holder {
  const { id, name, scopes, roles, operations, createdAt, notBefore } = key
  return { kind: 'key', id, name, via: 'apiKey', subject: id, scopes, roles, operations, since: notBefore ?? createdAt }
}

export function holderOfGrant({ id, subject, via, scopes, roles, operations, from }: Grant): Holder {
  return { kind: 'grant', id, name: subject, via, subject, scopes, roles, operations, since: from }
}

/** `ways`: under which `via` people come in, the first named in reports. */
export function holderOfUser({ name, scopes, roles, createdAt }: User, ways: readonly [string, ...string[]]): Holder {
  const [via, ...more] = ways
  const also = more.map((other) => ({ via: other, subject: name }))
  return { kind: 'user', id: name, name, via, subject: name, also, scopes, roles, operations: [], since: createdAt }
}

/** Keys and grants that work now. */
export async function liveHolders(store: Store, now: Clock): Promise<{ keys: ApiKey[]; grants: Grant[] }> {
  const at = now()
  const keys = await everything(createApiKeys({ store, now }).list, ({ id }) => id)
  const grants = await everything(createGrants({ store, now }).list, ({ id }) => id)
  return {
    keys: keys.filter(
      ({ revokedAt, expiresAt }) => revokedAt === undefined && (expiresAt === undefined || expiresAt > at),
    ),
    grants: grants.filter((grant) => ['active', 'coming'].includes(grantState(grant, at))),
  }
}

export async function everything<T>(
  list: (options: { limit: number; after?: string }) => Promise<readonly T[]>,
  idOf: (item: T) => string,
): Promise<T[]> {
  const all: T[] = []
  for (;;) {
    const last = all.at(-1)
    const page = await list(last === undefined ? { limit: pageSize } : { limit: pageSize, after: idOf(last) })
    all.push(...page)
    if (page.length < pageSize) return all
  }
}

/**
 * Ends keys and grants that nobody has used for `afterMs`: not before usage has been written down for as long, so that a
 * gate that was just updated ends nothing by mistake. Says how many.
 */
export async function revokeUnused(
  store: Store,
  { afterMs, now, tell }: { readonly afterMs: number; readonly now: Clock; readonly tell: Tell },
): Promise<number> {
  const book = await readUsage(store)
  const at = now()
  if (book.since === undefined || at - book.since < afterMs) return 0
  const { keys, grants } = await liveHolders(store, now)
  const isIdle = (via: string, subject: string, since: number) => {
    const times = Object.values(book.of(via, subject)?.operations ?? {})
    // What is written lags behind what is used by minutes; a day is left for that, and for clocks.
    return at - Math.max(since, ...times) >= afterMs + day
  }
  let count = 0
  for (const key of keys) {
    if (!isIdle('apiKey', key.id, Math.max(key.createdAt, key.notBefore ?? 0, key.rotatedAt ?? 0))) continue
    await createApiKeys({ store, now }).revoke(key.id)
    tell({ event: 'key.unused', id: key.id, detail: { name: key.name, days: Math.floor(afterMs / day) } })
    count++
  }
  for (const grant of grants) {
    if (!isIdle(grant.via, grant.subject, grant.from)) continue
    await createGrants({ store, now }).revoke(grant.id, 'portcullis: unused')
    count++
  }
  return count
}

import type { Clock } from '../base/clock.ts'
import type { Config } from '../config/load.ts'
import {
  type Catalog,
  everything,
  findUnused,
  type Holder,
  holderOfGrant,
  holderOfKey,
  holderOfUser,
  liveHolders,
  type Unused,
} from '../credentials/unused.ts'
import { clientSubject, readUsage } from '../credentials/usage.ts'
import { createUsers } from '../credentials/users.ts'
import type { Clients } from '../identity/clients.ts'
import type { Operation } from '../openapi/operation.ts'
import { parseMatch, parseSelector } from '../openapi/select.ts'
import type { Store } from '../store/store.ts'
import type { ServedApi } from './load.ts'
import { ownIssuer, vouchersOf } from './vouchers.ts'

export interface UnusedSources {
  readonly store: Store
  readonly now: Clock
  /** Of the token service, where this process has one. */
  readonly clients?: Pick<Clients, 'list'> | undefined
}

/** Rights of keys, users, grants and clients that nobody has used for so long (Z6). */
export async function unusedReport(
  { config, load }: { readonly config: Config; readonly load: { readonly served: readonly ServedApi[] } },
  { store, now, clients }: UnusedSources,
  sinceMs: number,
): Promise<{ readonly recordedSince: number | undefined; readonly items: readonly Unused[] }> {
  const book = await readUsage(store)
  const { keys, grants } = await liveHolders(store, now)
  const users = createUsers({ store, now })
  const people = await everything(users.list, ({ name }) => name)
  users.close()
  const [usual = 'basic', ...others] = vouchersOf(config).people
  const own = ownIssuer(config) ?? 'tokenService'
  // What was used under another method before the configuration changed was used.
  const ways = [usual, ...new Set([...others, 'basic', own, 'session'].filter((via) => via !== usual))] as const
  // Of clients of the configuration nobody knows since when there are any.
  const known = book.since ?? now()
  const holders = [
    ...keys.map(holderOfKey),
    ...grants.map(holderOfGrant),
    ...people.map((user) => holderOfUser(user, ways)),
    ...(clients === undefined
      ? []
      : (await clients.list())
          .filter(({ revokedAt }) => revokedAt === undefined)
          .map((client) => holderOfClient(client, own, client.createdAt ?? known))),
  ]
  return {
    recordedSince: book.since,
    items: findUnused(holders, book, catalogOf(config, load.served), now() - sinceMs),
  }
}

function holderOfClient(
  { id, name, scopes, roles }: Awaited<ReturnType<Clients['list']>>[number],
  via: string,
  since: number,
): Holder {
  const also = [{ via, subject: clientSubject(id) }]
  return { kind: 'client', id, name: name ?? id, via, subject: id, also, scopes, roles, operations: [], since }
}

/** What operations ask of callers, read from documents and from `authorize`. */
export function catalogOf(config: Config, served: readonly ServedApi[]): Catalog {
  const operations = new Map<string, Operation>()
  for (const { api, document } of served) {
    for (const operation of document.operations) operations.set(`${api} ${operation.id}`, operation)
  }
  const nothing = { scopes: new Set<string>(), roles: new Set<string>() }
  const known = new Map<string, { scopes: ReadonlySet<string>; roles: ReadonlySet<string> }>()
  return {
    needs(name) {
      const operation = operations.get(name)
      if (operation === undefined) return nothing
      let needs = known.get(name)
      if (needs === undefined) {
        const words = wordsOf(operation)
        needs = {
          scopes: words,
          roles: new Set([...words, ...rolesAt(operation, config.raw(['apis', operation.api, 'authorize']))]),
        }
        known.set(name, needs)
      }
      return needs
    },
    selects(selector, name) {
      const operation = operations.get(name)
      return operation !== undefined && parseSelector(selector)(operation)
    },
  }
}

/** The scopes or roles that the document asks for, in any of its alternatives. */
function wordsOf({ security = [] }: Operation): Set<string> {
  return new Set(security.flatMap((alternative) => [...alternative.values()].flat()))
}

interface AuthorizeInput {
  readonly acl?: readonly { readonly match: string; readonly allow?: readonly string[] }[]
  readonly roles?: Readonly<Record<string, readonly string[]>>
  readonly permissions?: readonly { readonly match: string; readonly needs: string | readonly string[] }[]
  readonly rules?: readonly { readonly match?: string; readonly when?: string; readonly unless?: unknown }[]
}

/** The roles that `authorize` speaks of at an operation: those of lists, of permissions, and those that a rule names. */
function rolesAt(operation: Operation, options: unknown): string[] {
  const { acl = [], roles = {}, permissions = [], rules = [] } = (options ?? {}) as AuthorizeInput
  const isAt = (match = '*') => parseMatch(match)(operation)
  const listed = acl.filter(({ match }) => isAt(match)).flatMap(({ allow = [] }) => allow)
  const said = permissions.filter(({ match }) => isAt(match)).flatMap(({ needs }) => needs)
  const reads = ['GET', 'HEAD', 'OPTIONS'].includes(operation.method)
  const needs = said.length > 0 ? said : [reads ? 'read' : 'write']
  const permitting = Object.entries(roles).filter(
    ([, has]) => has.includes('*') || needs.some((one) => has.includes(one)),
  )
  const text = rules
    .filter(({ match }) => isAt(match))
    .map(({ when = '', unless = '' }) => `${when} ${JSON.stringify(unless)}`)
    .join(' ')
  const named = [...text.matchAll(/[\w:.-]+/g)].map(([word]) => word.replace(/^role:/, ''))
  return [
    ...listed.flatMap((entry) => (entry.startsWith('role:') ? [entry.slice(5)] : [])),
    ...permitting.map(([role]) => role),
    ...named,
  ]
}

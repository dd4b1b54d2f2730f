import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Admin, createAdmin } from '../admin/admin.ts'
import { type AdminRoute, adminApiName, isOwnRole, type Level, roleOf } from '../admin/contract.ts'
import type { EventBook } from '../admin/events.ts'
import { adminDocument } from '../admin/openapi.ts'
import { adminRoutes as clientRoutes } from '../admin/routes/clients.ts'
import { adminRoutes as endRoutes } from '../admin/routes/ends.ts'
import { adminRoutes as grantRoutes } from '../admin/routes/grants.ts'
import { adminRoutes as keyRoutes } from '../admin/routes/keys.ts'
import { adminRoutes as peopleRoutes } from '../admin/routes/people.ts'
import { adminCookie, adminRoutes as sessionRoutes } from '../admin/routes/session.ts'
import { adminRoutes as vaultRoutes } from '../admin/routes/vault.ts'
import { adminRoutes as watchRoutes } from '../admin/routes/watching.ts'
import { messageOf } from '../base/errors.ts'
import { object } from '../config/language.ts'
import { type Config, type LoadOptions, loadConfig } from '../config/load.ts'
import type { AdminSettings } from '../config/settings.ts'
import { createApiKeys } from '../credentials/api-keys.ts'
import { createGrants } from '../credentials/grants.ts'
import { revokeToken } from '../credentials/revoked-tokens.ts'
import { createSessions } from '../credentials/sessions.ts'
import type { Exchange } from '../gate/exchange.ts'
import { createGate, type Gate } from '../gate/gate.ts'
import type { Guard } from '../gate/guard.ts'
import { docsBase } from '../gate/reply.ts'
import { type Denial, denial } from '../gate/verdict.ts'
import { guards as everyGuard } from '../guards/index.ts'
import { type Accounts, createAccounts } from '../identity/accounts.ts'
import type { TokenService } from '../identity/service.ts'
import { rotateSigningKeys } from '../identity/signing-keys.ts'
import { type Handler, HandlerController, inProcess } from '../middleware/engine.ts'
import type { Sink } from '../traffic/passage.ts'
import { type BuiltLoad, buildLoad, type Foundation } from './load.ts'
import { unusedReport } from './unused-rights.ts'
import { packageVersion } from './version.ts'
import { unacceptedVoucher, vouchersFor, vouchersOf } from './vouchers.ts'

export interface AdminApiOptions {
  readonly settings: AdminSettings
  readonly foundation: Foundation
  readonly stateDir: string
  readonly sink: Sink
  readonly events: EventBook
  readonly service: () => TokenService | undefined
  /** What the gate serves now. */
  readonly served: () => { readonly config: Config; readonly load: BuiltLoad }
  readonly inFlight: () => number
}

/** The administration behind a gate of its own, which is made as every other is. */
export interface AdminApi {
  readonly gate: Gate
  /** Builds it anew for another configuration; nothing of it is in force until it is swapped in. */
  readonly prepare: (config: Config) => Promise<PreparedAdmin>
  readonly close: () => Promise<void>
}

export interface PreparedAdmin {
  readonly swap: () => void
  readonly discard: () => Promise<void>
}

/** Builds the administration and the gate in front of it. */
export async function openAdminApi(config: Config, options: AdminApiOptions): Promise<AdminApi> {
  const { settings, foundation, stateDir, sink, service } = options
  const { store, counters, vault, log, now } = foundation
  const tell = foundation.tell ?? (() => {})
  const issuer = `https://${settings.listen.host}:${settings.listen.port}`
  const accounts = createAccounts({ store, counters, vault, now, tell, settings: { issuer, mfa: [], theme: {} } })
  // Who is removed here has lost what the token service gave out in their name, too.
  accounts.onEnd((name) => service()?.grants.revokeSubject(name))
  const sessions = createSessions({ store, log, now })
  const keys = createApiKeys({ store, now })
  let document: object = {}
  const reports = createShared((sinceMs: number) =>
    unusedReport(options.served(), { store, now, clients: service()?.clients }, sinceMs),
  )
  const routes: AdminRoute[] = [
    ...sessionRoutes({ accounts, sessions, now, ttlMs: settings.sessionTtl, idleMs: settings.sessionIdle }),
    ...keyRoutes(keys),
    ...grantRoutes(createGrants({ store, now }), now, {
      vouchersFor: (subject) => vouchersFor(subject, store, vouchersOf(options.served().config).people),
      checkVoucher(via) {
        if (!vouchersOf(options.served().config).isAccepted(via))
          log.warn(`A grant was made, but ${unacceptedVoucher(via)}.`)
      },
    }),
    ...peopleRoutes(accounts),
    ...clientRoutes(service),
    ...endRoutes({
      sessions,
      service,
      issuers: () => issuerUrls(options.served().config, service()),
      revokeToken: (from, jti, ttlMs) => revokeToken(store, from, jti, ttlMs),
    }),
    ...vaultRoutes({
      vault,
      service,
      async rotateSigning() {
        const said = options.served().config.settings.tokenService
        if (said !== undefined) await rotateSigningKeys({ store, ring: await vault(), now, log, settings: said })
      },
    }),
    ...watchRoutes({
      events: options.events,
      version: packageVersion(),
      document: () => document,
      unused: reports,
      async health() {
        const down = await store.ping().then(
          () => undefined,
          (error) => messageOf(error),
        )
        return { healthy: down === undefined, store: down ?? 'answers', inFlight: options.inFlight() }
      },
    }),
  ]
  document = adminDocument(routes, packageVersion())
  const file = join(stateDir, 'admin-openapi.json')
  mkdirSync(stateDir, { recursive: true, mode: 0o700 })
  // Several workers write the same; none may read half of it.
  writeFileSync(`${file}.${process.pid}`, JSON.stringify(document))
  renameSync(`${file}.${process.pid}`, file)
  const { oidc, roles } = settings.auth
  const admin = createAdmin({
    routes,
    store,
    vault,
    accounts,
    now,
    log,
    tell,
    oidc: oidc === undefined ? undefined : { issuer: oidc, roles },
    docsBase,
  })
  const administered = administeredGuard(store, accounts, keys.list, now, settings)

  async function build(from: Config): Promise<BuiltLoad> {
    const own = await loadConfig({
      file: join(stateDir, 'admin.yaml'),
      value: configurationOf(from, settings, { file, stateDir, routes }),
      env: {},
      guards: everyGuard as unknown as LoadOptions['guards'],
      dev: true,
      withoutUpstreams: true,
    })
    return buildLoad(own, foundation, {
      guards: [administered.guard, ...(everyGuard as unknown as readonly Guard[])],
      upstream: inProcess((exchange) => handlerOf(admin, exchange)),
    })
  }

  const gate = createGate(await build(config), { sink, now, log })
  return {
    gate,
    async prepare(next) {
      const built = await build(next)
      return { swap: () => gate.swap(built), discard: async () => built.close() }
    },
    async close() {
      await gate.close()
      administered.close()
      accounts.close()
      sessions.close()
      keys.close()
    },
  }
}

function issuerUrls(config: Config, service: TokenService | undefined): string[] {
  const issuers = Object.values((config.raw(['issuers']) ?? {}) as Record<string, { issuer?: unknown }>)
  const urls = issuers.flatMap(({ issuer }) => (typeof issuer === 'string' ? [issuer] : []))
  return [...new Set([...urls, ...(service === undefined ? [] : [service.issuer])])]
}

/** What stands before the administration: the same guards as before any API, with options of its own. */
function configurationOf(
  from: Config,
  { auth: { oidc, roles } }: AdminSettings,
  {
    file,
    stateDir,
    routes,
  }: { readonly file: string; readonly stateDir: string; readonly routes: readonly AdminRoute[] },
): object {
  const issuers = from.raw(['issuers']) as Record<string, object> | undefined
  const trusted = oidc === undefined ? undefined : issuers?.[oidc]
  const permissions: Record<Level, string[]> = { viewer: ['viewer'], operator: ['viewer', 'operator'], admin: ['*'] }
  const levels = routes.filter(({ level }) => level !== 'everyone')
  return {
    version: 1,
    stateDir,
    listen: [{ port: 0, host: '127.0.0.1', tls: 'off' }],
    ...(trusted === undefined ? {} : { issuers: { [oidc!]: trusted } }),
    apis: {
      [adminApiName]: {
        openapi: file,
        auth: {
          methods: ['session', 'apiKey', 'basic', ...(oidc === undefined ? [] : [oidc])],
          session: { cookie: adminCookie.name },
          // Judged by the administration itself, which says how to sign in.
          secondFactor: 'ignore',
        },
        limits: {
          default: { rate: '600/min' },
          anonymous: { rate: '60/min' },
          signIn: { match: 'op:signIn', rate: '10/min', key: 'ip' },
        },
        authorize: {
          roles: {
            ...Object.fromEntries(
              (['viewer', 'operator', 'admin'] as const).map((level) => [roleOf(level), permissions[level]]),
            ),
            ...Object.fromEntries(Object.entries(roles).map(([role, level]) => [role, permissions[level]])),
          },
          permissions: levels.map(({ operation, level }) => ({ match: `op:${operation}`, needs: level })),
        },
        // Whoever wants to end what overloads the gate must get through.
        concurrency: { overload: { mode: 'off' } },
        validate: { response: 'enforce', maxBody: '64KB' },
        errors: { mode: 'off' },
      },
    },
  }
}

/** Gives a request that the gate let through to the administration. */
function handlerOf(admin: Admin, exchange: Exchange): Handler {
  return ({ body, url }, answer) => {
    const controller = new HandlerController(answer)
    void admin
      .handle(requestOf(exchange, url, body))
      .then(({ status, headers, body: text }) => {
        if (controller.aborted) return
        const bytes = Buffer.from(text)
        answer.onResponseStart?.(controller, status, {
          ...headers,
          ...(status === 204 ? {} : { 'content-length': String(bytes.length) }),
        })
        if (bytes.length > 0) answer.onResponseData?.(controller, bytes)
        answer.onResponseEnd?.(controller, {})
      })
      .catch((error: unknown) => controller.abort(error instanceof Error ? error : new Error(String(error))))
  }
}

function requestOf(exchange: Exchange, url: string, body: unknown) {
  const { id, operation, pathValues, headers, address, principal } = exchange
  const names = [...operation.path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name!)
  return {
    id,
    operation: operation.id,
    path: url,
    params: Object.fromEntries(names.map((name, i) => [name, decodeURIComponent(pathValues[i] ?? '')])),
    query: Object.fromEntries(exchange.query()),
    headers,
    address,
    // Read from what the guards have judged; a body that none had to see is none.
    body: Buffer.isBuffer(body) && body.length > 0 ? exchange.json() : undefined,
    caller:
      principal === undefined
        ? undefined
        : { subject: principal.subject, via: principal.via, roles: principal.roles, claims: principal.claims },
  }
}

/** Who asks the same while it is being worked out gets the same answer: it means reading all keys and users. */
function createShared<K, T>(work: (key: K) => Promise<T>): (key: K) => Promise<T> {
  const under = new Map<K, Promise<T>>()
  return (key) => {
    const one = under.get(key) ?? work(key).finally(() => under.delete(key))
    under.set(key, one)
    return one
  }
}

const knownMs = 60_000
const unknownMs = 1_000

/**
 * Answers 503 as long as there is nobody who could administer: there is no password to begin with that somebody could forget to
 * change.
 */
function administeredGuard(
  store: Foundation['store'],
  accounts: Accounts,
  listKeys: ReturnType<typeof createApiKeys>['list'],
  now: () => number,
  { auth }: AdminSettings,
) {
  const nobody: Denial = denial(
    503,
    'admin.no-administrator',
    'Nobody may administer this gate yet. Make the first administrator on its machine: portcullis admin create NAME',
  )
  let known: boolean | undefined
  let askedAt = 0
  let asking: Promise<boolean> | undefined
  const stop = store.onChange((key) => {
    // Somebody may have been made; that somebody is gone need not be known at once.
    if (known === false && (key === undefined || key.startsWith('user/') || key.startsWith('api-key/')))
      known = undefined
  })

  async function ask(): Promise<boolean> {
    if (auth.oidc !== undefined && Object.values(auth.roles).includes('admin')) return true
    let after: string | undefined
    for (;;) {
      const page = await accounts.list(after === undefined ? {} : { after })
      if (page.some(({ roles }) => roles.some(isOwnRole))) return true
      if (page.length < 1_000) break
      after = page.at(-1)!.name
    }
    after = undefined
    for (;;) {
      const page = await listKeys(after === undefined ? {} : { after })
      if (page.some(({ roles, revokedAt }) => revokedAt === undefined && roles.some(isOwnRole))) return true
      if (page.length < 1_000) return false
      after = page.at(-1)!.id
    }
  }

  const guard: Guard = {
    name: 'administered',
    stage: 'admit',
    options: object({}).prefault({}) as never,
    setup: () => () => ({
      requestHead() {
        if (known !== undefined && now() - askedAt < (known ? knownMs : unknownMs)) return known ? undefined : nobody
        // All who ask at the same time wait for one look.
        asking ??= ask().finally(() => {
          asking = undefined
        })
        return asking.then((found) => {
          known = found
          askedAt = now()
          return found ? undefined : nobody
        })
      },
    }),
  }
  return { guard, close: stop }
}

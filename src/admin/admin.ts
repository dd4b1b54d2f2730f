import { hash } from 'node:crypto'
import type { Clock } from '../base/clock.ts'
import { ConfigError, messageOf } from '../base/errors.ts'
import type { Tell } from '../base/events.ts'
import type { Logger } from '../base/log.ts'
import { renderProblem } from '../http/problem.ts'
import type { Accounts } from '../identity/accounts.ts'
import { type Store, StoreUnavailable } from '../store/store.ts'
import type { KeyRing } from '../vault/index.ts'
import {
  type AdminCaller,
  AdminProblem,
  type AdminReply,
  type AdminRequest,
  type AdminRoute,
  type Change,
  includes,
  type Level,
  refusedInput,
  roleOf,
} from './contract.ts'
import { nameOf, refuseOwnRoles } from './reply.ts'

/** What sessions of this API carry, so that no session of a customer's API opens it. */
export const sessionAudience = 'portcullis:admin-api'

export interface AdminOptions {
  readonly routes: readonly AdminRoute[]
  readonly store: Store
  readonly vault: () => Promise<KeyRing>
  readonly accounts: Accounts
  readonly now: Clock
  readonly log: Logger
  readonly tell: Tell
  /** The issuer whose tokens may administer, and which of their roles mean what. */
  readonly oidc: { readonly issuer: string; readonly roles: Readonly<Record<string, Level>> } | undefined
  readonly docsBase: string
}

/** Answers what the gate in front of it let through. */
export interface Admin {
  handle(request: AdminRequest): Promise<RenderedReply>
}

export interface RenderedReply {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const idempotencyPrefix = 'admin-idempotency/'
const idempotencyPurpose = 'admin/idempotency'
/** As long as a script tries again after a network failure. */
const idempotencyMs = 3_600_000
/** How long a request may be under way before another with its key may take its place. */
const underWayMs = 60_000
const auditCharactersMax = 4_000

/** The administration over HTTP: dispatch, levels, repeated requests, audit. What the gate guards is not guarded anew. */
export function createAdmin(options: AdminOptions): Admin {
  const { store, accounts, now, log, tell, oidc } = options
  const routes = new Map(options.routes.map((route) => [route.operation, route]))

  /** What a caller is, by the rule of how it proved itself: nobody is an administrator by a word that somebody else chose. */
  async function levelOf(caller: AdminCaller): Promise<Level | undefined> {
    const { via, roles, claims, subject } = caller
    if (via === 'apiKey') return highest((level) => roles.has(roleOf(level)))
    if (via === 'basic') {
      const level = highest((one) => roles.has(roleOf(one)))
      if (level !== undefined && (await hasSecondFactor(accounts, subject))) {
        throw new AdminProblem(
          403,
          'admin.second-factor',
          'This account has a second factor: sign in with POST /v1/session.',
        )
      }
      return level
    }
    if (via === 'session') {
      if (claims.audience !== sessionAudience) return undefined
      // Who lost a role, or the account, has lost it in every session, too. Roles beyond the session's own are grants.
      const user = await accounts.find(subject)
      const authTime = typeof claims.auth_time === 'number' ? claims.auth_time : 0
      if (user === undefined || !(await accounts.stillStands(subject, authTime))) return undefined
      const own = new Set(Array.isArray(claims.roles) ? claims.roles : [])
      return highest(
        (level) => user.roles.includes(roleOf(level)) || (roles.has(roleOf(level)) && !own.has(roleOf(level))),
      )
    }
    if (oidc === undefined || via !== oidc.issuer) return undefined
    return highest((level) => [...roles].some((role) => Object.hasOwn(oidc.roles, role) && oidc.roles[role] === level))
  }

  const refuserOf = (level: Level) => (roles: Iterable<string>) => refuseOwnRoles(roles, level, oidc?.roles ?? {})

  async function answer(request: AdminRequest): Promise<AdminReply> {
    const route = routes.get(request.operation)
    if (route === undefined) throw new AdminProblem(501, 'admin.not-here', 'This gate does not have this part.')
    const audit = (change: Change) => record(request, change)
    if (route.level === 'everyone') {
      const nobody: AdminCaller = { subject: '', via: 'nobody', roles: new Set(), claims: {} }
      return route.handle({
        ...request,
        caller: request.caller ?? nobody,
        level: 'viewer',
        refuseRoles: refuserOf('viewer'),
        audit,
      })
    }
    const { caller } = request
    const level = caller === undefined ? undefined : await levelOf(caller)
    if (caller === undefined || !includes(level, route.level)) {
      throw new AdminProblem(403, 'admin.level', `This needs the role ${roleOf(route.level)}.`)
    }
    const known = { ...request, caller, level: level!, refuseRoles: refuserOf(level!), audit }
    const key = request.headers['idempotency-key']
    if (route.idempotent !== true || typeof key !== 'string') return route.handle(known)
    return once(known, key, () => route.handle(known))
  }

  /**
   * Does a thing once for one key of one caller (draft-ietf-httpapi-idempotency-key-header). The first answer is kept sealed,
   * for it may hold the only copy of a secret.
   */
  async function once(
    request: AdminRequest & { caller: AdminCaller },
    key: string,
    act: () => AdminReply | Promise<AdminReply>,
  ) {
    const name =
      idempotencyPrefix + hash('sha256', JSON.stringify([nameOf(request.caller), request.operation, key]), 'base64url')
    const asked = hash('sha256', JSON.stringify([request.path, request.body ?? null]), 'base64url')
    const marker = { asked, at: now(), by: request.id }
    if (!(await store.put(name, marker, { onlyIfAbsent: true, ttlMs: underWayMs }))) {
      const found = (await store.get(name)) as { asked?: string; sealed?: string } | undefined
      if (found?.asked !== undefined && found.asked !== asked) {
        throw new AdminProblem(422, 'admin.idempotency-reused', 'This Idempotency-Key belongs to another request.')
      }
      if (typeof found?.sealed !== 'string') {
        throw new AdminProblem(
          409,
          'admin.idempotency-busy',
          'The first request with this Idempotency-Key is under way.',
          {
            'retry-after': '1',
          },
        )
      }
      const opened = await (await options.vault()).open(idempotencyPurpose, found.sealed, name)
      return JSON.parse(Buffer.from(opened).toString('utf8')) as AdminReply
    }
    try {
      // Opened first: what could not be kept would be done twice.
      const vault = await options.vault()
      const reply = await act()
      const sealed = await vault.seal(idempotencyPurpose, Buffer.from(JSON.stringify(reply)), name)
      await store.put(name, { asked, at: marker.at, sealed }, { ttlMs: idempotencyMs })
      return reply
    } catch (error) {
      // What was refused may be asked again; what failed half-way may not, until its time is over.
      if (error instanceof AdminProblem || error instanceof ConfigError) await store.delete(name)
      throw error
    }
  }

  function record(request: AdminRequest, { id, before, after }: Change): void {
    const { caller, operation, address } = request
    const text = (one: object | undefined) =>
      one === undefined ? undefined : JSON.stringify(one).slice(0, auditCharactersMax)
    tell({
      event: 'admin.changed',
      ...(caller === undefined ? {} : { subject: caller.subject }),
      address,
      ...(id === undefined ? {} : { id }),
      detail: {
        action: operation,
        request: request.id,
        via: caller?.via,
        before: text(before),
        after: text(after),
      },
    })
  }

  function problem(error: unknown, request: AdminRequest): RenderedReply {
    const known = problemOf(error)
    if (known === undefined) {
      log.error('The administration failed.', { operation: request.operation, error: messageOf(error) })
    }
    const { status, code, message, headers } =
      known ?? new AdminProblem(500, 'admin.failed', 'This failed here. The log of the gate says why.')
    const accept = request.headers.accept
    const { contentType, body } = renderProblem(
      { status, code, detail: message },
      { id: request.id, accept: typeof accept === 'string' ? accept : undefined, docsBase: options.docsBase },
    )
    return { status, headers: { ...headers, 'content-type': contentType, 'cache-control': 'no-store' }, body }
  }

  return {
    async handle(request) {
      try {
        const { status, body, headers = {} } = await answer(request)
        const text = body === undefined ? '' : JSON.stringify(body)
        const type = body === undefined ? {} : { 'content-type': 'application/json' }
        return { status, headers: { ...type, 'cache-control': 'no-store', ...headers }, body: text }
      } catch (error) {
        return problem(error, request)
      }
    },
  }
}

function problemOf(error: unknown): AdminProblem | undefined {
  if (error instanceof AdminProblem) return error
  if (error instanceof ConfigError) return refusedInput(error.code, error.message)
  if (error instanceof StoreUnavailable) {
    return new AdminProblem(503, 'admin.store', 'The store does not answer. Nothing is known to be changed.', {
      'retry-after': '1',
    })
  }
  return undefined
}

/** Whether a password alone is less than an account has to show. */
export async function hasSecondFactor({ factors }: Accounts, name: string): Promise<boolean> {
  const { totp, passkeys } = await factors.list(name)
  return totp !== undefined || passkeys.length > 0
}

function highest(has: (level: Level) => boolean): Level | undefined {
  return (['admin', 'operator', 'viewer'] as const).find(has)
}

import type { ErrorCode } from '../base/errors.ts'

/** The name of the administration beside the APIs of the configuration: in logs, counters and the audience of tokens. */
export const adminApiName = 'portcullis-admin'

/** What somebody may do here: look, change what others use, change who administers. Each includes the ones before it. */
export type Level = 'viewer' | 'operator' | 'admin'

const ranks: Readonly<Record<Level, number>> = { viewer: 1, operator: 2, admin: 3 }

/** The role of users, keys and grants that gives a level. A customer's own role `admin` is another word on purpose. */
export const roleOf = (level: Level) => `portcullis:${level}`

/** Whether a role administers the gate itself, so that only an administrator may give, take or touch it. */
export const isOwnRole = (role: string) => role.startsWith('portcullis:')

export function includes(level: Level | undefined, needed: Level): boolean {
  return level !== undefined && ranks[level] >= ranks[needed]
}

/** Who asks, as the gate has found out. */
export interface AdminCaller {
  readonly subject: string
  /** Which method of `auth` vouched: `basic`, `apiKey`, `session`, or the issuer's name. */
  readonly via: string
  readonly roles: ReadonlySet<string>
  readonly claims: Readonly<Record<string, unknown>>
}

/** A request that the gate let through: the document has been kept to. */
export interface AdminRequest {
  /** The id of the exchange: in the activity log, and in audit lines. */
  readonly id: string
  /** `operationId` of the document. */
  readonly operation: string
  readonly path: string
  readonly params: Readonly<Record<string, string>>
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: unknown
  readonly address: string
  /** Nobody for operations that are open to everyone. */
  readonly caller: AdminCaller | undefined
}

/** What a route gets: the caller's level has been checked. */
export interface RouteRequest extends AdminRequest {
  readonly caller: AdminCaller
  readonly level: Level
  /** Who may touch the gate's own administrators: throws where one of the roles administers and the caller is none. */
  readonly refuseRoles: (roles: Iterable<string>) => void
  /** Writes down what was changed; secrets have no place in it. */
  readonly audit: (change: Change) => void
}

/** A change that somebody made, for the audit line. */
export interface Change {
  /** The record it is about, by its public id or name. */
  readonly id?: string
  readonly before?: object | undefined
  readonly after?: object | undefined
}

export interface AdminReply {
  readonly status: number
  readonly body?: object
  readonly headers?: Readonly<Record<string, string>>
}

/** One operation of the document and what answers it. Each part of the product brings its own. */
export interface AdminRoute {
  readonly operation: string
  /** What the caller must be at least; `everyone` for what has no caller yet. */
  readonly level: Level | 'everyone'
  /** A repeated request with the same `Idempotency-Key` gets the first one's answer. */
  readonly idempotent?: boolean
  readonly handle: (request: RouteRequest) => AdminReply | Promise<AdminReply>
}

/** A refusal of a route, answered as a problem document (RFC 9457). */
export class AdminProblem extends Error {
  override readonly name = 'AdminProblem'
  readonly status: number
  readonly code: `admin.${string}`
  readonly headers: Readonly<Record<string, string>>

  constructor(
    status: number,
    code: AdminProblem['code'],
    detail: string,
    headers: Readonly<Record<string, string>> = {},
  ) {
    super(detail)
    this.status = status
    this.code = code
    this.headers = headers
  }
}

export const notFound = (what: string) => new AdminProblem(404, 'admin.not-found', `There is no such ${what}.`)

/** What somebody typed and this program refused, with its code, for which `docs/reference/errors.md` has a page. */
export const refusedInput = (code: ErrorCode, message: string) =>
  new AdminProblem(422, 'admin.refused', `${message} (${code}).`)

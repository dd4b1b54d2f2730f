import { hash } from 'node:crypto'
import { type AdminCaller, AdminProblem, type AdminReply, includes, isOwnRole, type Level } from './contract.ts'

/** A strong entity tag of a representation (RFC 9110, 8.8.3). */
export function etagOf(body: object): string {
  return `"${hash('sha256', JSON.stringify(body), 'base64url').slice(0, 22)}"`
}

/** A representation with its tag, for a change that says what it is based on. `once` is shown beside it, this once. */
export function tagged(
  status: number,
  body: object,
  { once = {}, location }: { readonly once?: object; readonly location?: string } = {},
): AdminReply {
  return {
    status,
    body: { ...body, ...once },
    headers: { etag: etagOf(body), ...(location === undefined ? {} : { location }) },
  }
}

/**
 * The tag that a change is based on. A change without one could undo what somebody else has just done and never know
 * (RFC 6585, 3: 428).
 */
export function requiredTag(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): (body: object) => boolean {
  const given = headers['if-match']
  if (typeof given !== 'string') {
    throw new AdminProblem(
      428,
      'admin.precondition-missing',
      'Send If-Match with the ETag of what you have read, so that no change of somebody else is lost.',
    )
  }
  return matches(given)
}

/** As `requiredTag`, where a change that says nothing is welcome too. */
export function optionalTag(
  headers: Readonly<Record<string, string | string[] | undefined>>,
): (body: object) => boolean {
  const given = headers['if-match']
  return typeof given === 'string' ? matches(given) : () => true
}

export const changedMeanwhile = () =>
  new AdminProblem(412, 'admin.changed-meanwhile', 'It was changed since you read it. Read it again.')

function matches(given: string): (body: object) => boolean {
  const tags = new Set(given.split(',').map((tag) => tag.trim()))
  return (body) => tags.has('*') || tags.has(etagOf(body))
}

/** One page of a list: `next` is what `after` of the following question says. */
export async function page<T, Shown extends object>(
  query: Readonly<Record<string, string>>,
  list: (options: { limit: number; after?: string }) => Promise<readonly T[]>,
  idOf: (item: T) => string,
  show: (item: T) => Shown,
): Promise<AdminReply> {
  const limit = query.limit === undefined ? 100 : Number(query.limit)
  // One more than asked for tells whether there is more.
  const found = await list({ limit: limit + 1, ...(query.after === undefined ? {} : { after: query.after }) })
  const items = found.slice(0, limit)
  const last = items.at(-1)
  const more = found.length > limit && last !== undefined
  return { status: 200, body: { items: items.map(show), ...(more ? { next: idOf(last) } : {}) } }
}

/**
 * Who may touch the gate's own administrators: an operator who could would soon be one. `meant` are roles of tokens that the
 * configuration lets administer: a grant or a client of the token service gives them as well as the issuer does.
 */
export function refuseOwnRoles(roles: Iterable<string>, level: Level, meant: Readonly<Record<string, Level>>): void {
  for (const role of roles) {
    if (!(isOwnRole(role) || Object.hasOwn(meant, role)) || includes(level, 'admin')) continue
    throw new AdminProblem(
      403,
      'admin.own-role',
      'Only an administrator may give, take or touch roles of the gate itself.',
    )
  }
}

export const nameOf = ({ via, subject }: AdminCaller) => `${via}:${subject}`

/** A time as the API shows it (RFC 3339); `null` where there is none. */
export function isoOf(time: number | undefined): string | null {
  return time === undefined ? null : new Date(time).toISOString()
}

/** A time of a request, which the document has held to RFC 3339. */
export function timeIn(text: unknown): number | undefined {
  return typeof text === 'string' ? Date.parse(text) : undefined
}

import { type Grant, type Grants, grantState } from '../../credentials/grants.ts'
import { AdminProblem, type AdminRoute, notFound } from '../contract.ts'
import { isoOf, nameOf, page, tagged, timeIn } from '../reply.ts'

/** Who vouches for a subject of which the request does not say so. */
export interface GrantVouchers {
  /** One choice, several, or none where nobody here knows the subject. */
  readonly vouchersFor: (subject: string) => Promise<readonly string[]>
  /** Told of each grant that was made: no API may ask that method. */
  readonly checkVoucher: (via: string) => void
}

/** Grants for a while over HTTP. */
export function adminRoutes(
  grants: Grants,
  now: () => number,
  { vouchersFor, checkVoucher }: GrantVouchers,
): AdminRoute[] {
  const show = (grant: Grant) => ({
    id: grant.id,
    subject: grant.subject,
    via: grant.via,
    state: grantState(grant, now()),
    roles: grant.roles,
    scopes: grant.scopes,
    operations: grant.operations,
    cidrs: grant.cidrs,
    reason: grant.reason ?? null,
    grantedBy: grant.grantedBy,
    createdAt: isoOf(grant.createdAt),
    from: isoOf(grant.from),
    until: isoOf(grant.until),
    revokedAt: isoOf(grant.revokedAt),
    revokedBy: grant.revokedBy ?? null,
  })

  async function existing(id: string): Promise<Grant> {
    const grant = await grants.get(id)
    if (grant === undefined) throw notFound('grant')
    return grant
  }

  async function voucherOf(subject: string): Promise<string> {
    const [one, ...more] = await vouchersFor(subject)
    if (one !== undefined && more.length === 0) return one
    const why =
      one === undefined
        ? 'The subject is neither a key nor a user of this gate: say in `via` who vouches for it.'
        : `The subject may come in by ${[one, ...more].join(' or ')}: say in \`via\` which of them the grant is for.`
    throw new AdminProblem(422, 'admin.refused', why)
  }

  return [
    { operation: 'listGrants', level: 'viewer', handle: ({ query }) => page(query, grants.list, ({ id }) => id, show) },
    {
      operation: 'showGrant',
      level: 'viewer',
      handle: async ({ params }) => tagged(200, show(await existing(params.id!))),
    },
    {
      operation: 'createGrant',
      level: 'operator',
      idempotent: true,
      async handle({ body, caller, refuseRoles, audit }) {
        const { subject, roles, scopes, operations, cidrs, reason, from, until, forSeconds, ...said } =
          body as GrantBody
        refuseRoles(roles ?? [])
        const via = said.via ?? (await voucherOf(subject))
        const begin = timeIn(from) ?? now()
        const grant = await grants.create({
          subject,
          via,
          ...(roles === undefined ? {} : { roles }),
          ...(scopes === undefined ? {} : { scopes }),
          ...(operations === undefined ? {} : { operations }),
          ...(cidrs === undefined ? {} : { cidrs }),
          ...(reason === undefined ? {} : { reason }),
          from: begin,
          grantedBy: nameOf(caller),
          until: timeIn(until) ?? begin + forSeconds! * 1_000,
        })
        checkVoucher(via)
        const shown = show(grant)
        audit({ id: grant.id, after: shown })
        return tagged(201, shown, { location: `/v1/grants/${grant.id}` })
      },
    },
    {
      operation: 'revokeGrant',
      level: 'operator',
      async handle({ params, caller, refuseRoles, audit }) {
        const old = await existing(params.id!)
        refuseRoles(old.roles)
        const grant = await grants.revoke(old.id, nameOf(caller))
        if (grant === undefined) throw notFound('grant')
        audit({ id: old.id, before: show(old), after: show(grant) })
        return tagged(200, show(grant))
      },
    },
  ]
}

interface GrantBody {
  readonly subject: string
  readonly via?: string
  readonly roles?: readonly string[]
  readonly scopes?: readonly string[]
  readonly operations?: readonly string[]
  readonly cidrs?: readonly string[]
  readonly reason?: string
  readonly from?: string
  /** The document asks for one of the two. */
  readonly until?: string
  readonly forSeconds?: number
}

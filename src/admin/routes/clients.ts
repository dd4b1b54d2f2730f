import type { Client, IssuedClient, NewClient } from '../../identity/clients.ts'
import type { TokenService } from '../../identity/service.ts'
import { AdminProblem, type AdminRoute, adminApiName, notFound, roleOf } from '../contract.ts'
import { changedMeanwhile, isoOf, optionalTag, tagged } from '../reply.ts'
import { withoutService } from './ends.ts'

/** Clients of the token service over HTTP. */
export function adminRoutes(service: () => TokenService | undefined): AdminRoute[] {
  function clients() {
    const tokens = service()
    if (tokens === undefined) throw withoutService()
    return tokens.clients
  }
  async function existing(id: string): Promise<Client> {
    const client = await clients().find(id)
    if (client === undefined) throw notFound('client')
    return client
  }
  const notHere = () =>
    new AdminProblem(
      409,
      'admin.configured',
      'This client stands in the configuration, is revoked, or has no secret: it is not changed here.',
    )
  const once = ({ secret }: IssuedClient) => (secret === undefined ? {} : { secret })

  return [
    {
      operation: 'listClients',
      level: 'viewer',
      async handle({ query }) {
        const all = [...(await clients().list())].sort((a, b) => (a.id < b.id ? -1 : 1))
        const limit = query.limit === undefined ? 100 : Number(query.limit)
        const rest = all.filter(({ id }) => query.after === undefined || id > query.after)
        const items = rest.slice(0, limit)
        return {
          status: 200,
          body: { items: items.map(show), ...(rest.length > limit ? { next: items.at(-1)!.id } : {}) },
        }
      },
    },
    {
      operation: 'showClient',
      level: 'viewer',
      handle: async ({ params }) => tagged(200, show(await existing(params.id!))),
    },
    {
      operation: 'createClient',
      level: 'operator',
      idempotent: true,
      async handle({ body, refuseRoles, audit }) {
        const { id, ...rest } = body as NewClient & { readonly id: string }
        refuseRoles(rolesBehind(rest))
        const made = await clients().create(id, rest)
        audit({ id, after: show(made.client) })
        return tagged(201, show(made.client), { once: once(made), location: `/v1/clients/${id}` })
      },
    },
    {
      operation: 'rotateClient',
      level: 'operator',
      idempotent: true,
      async handle({ params, headers, body, refuseRoles, audit }) {
        const old = await existing(params.id!)
        refuseRoles(rolesBehind(old))
        if (!optionalTag(headers)(show(old))) throw changedMeanwhile()
        const { graceSeconds = 0 } = (body ?? {}) as { graceSeconds?: number }
        const made = await clients().rotate(old.id, { graceMs: graceSeconds * 1_000 })
        if (made === undefined) throw notHere()
        audit({ id: old.id, before: show(old), after: show(made.client) })
        return tagged(200, show(made.client), { once: once(made) })
      },
    },
    {
      operation: 'revokeClient',
      level: 'operator',
      async handle({ params, headers, refuseRoles, audit }) {
        const old = await existing(params.id!)
        refuseRoles(old.roles)
        if (!optionalTag(headers)(show(old))) throw changedMeanwhile()
        const client = await clients().revoke(old.id)
        if (client === undefined) throw notHere()
        audit({ id: old.id, before: show(old), after: show(client) })
        return tagged(200, show(client))
      },
    },
  ]
}

/**
 * The roles that whoever holds a client's secret may come to act with. The tokens of some administer in the name of whoever
 * signs in; and nobody is asked before a trusted one gets tokens in their name, an administrator's among them.
 */
function rolesBehind({ roles = [], resources, trusted }: Partial<Client>): readonly string[] {
  return trusted === true || resources?.includes(adminApiName) === true ? [...roles, roleOf('admin')] : roles
}

function show(client: Client) {
  const { id, from, name, grants, auth, redirects, scopes, resources, roles, plan, bound, bounds } = client
  const { trusted, native } = client
  return {
    id,
    name: name ?? null,
    from,
    grants,
    auth,
    redirects,
    scopes,
    resources: resources ?? null,
    roles,
    plan: plan ?? null,
    bound: bound ?? null,
    bounds: bounds ?? null,
    trusted,
    native,
    createdAt: isoOf(client.createdAt),
    rotatedAt: isoOf(client.rotatedAt),
    revokedAt: isoOf(client.revokedAt),
  }
}

import type { ApiKey, ApiKeyChanges, ApiKeys, NewApiKey } from '../../credentials/api-keys.ts'
import { AdminProblem, type AdminRoute, notFound } from '../contract.ts'
import { changedMeanwhile, isoOf, optionalTag, page, requiredTag, tagged, timeIn } from '../reply.ts'

/** API keys over HTTP. */
export function adminRoutes(keys: ApiKeys): AdminRoute[] {
  async function existing(id: string): Promise<ApiKey> {
    const key = await keys.get(id)
    if (key === undefined) throw notFound('key')
    return key
  }

  return [
    {
      operation: 'listKeys',
      level: 'viewer',
      handle: ({ query }) => page(query, keys.list, ({ id }) => id, show),
    },
    {
      operation: 'showKey',
      level: 'viewer',
      handle: async ({ params }) => tagged(200, show(await existing(params.id!))),
    },
    {
      operation: 'createKey',
      level: 'operator',
      idempotent: true,
      async handle({ body, refuseRoles, audit }) {
        const input = inputOf(body as Record<string, unknown>) as unknown as NewApiKey
        refuseRoles(input.roles ?? [])
        const { key, record } = await keys.create(input)
        const shown = show(record)
        audit({ id: record.id, after: shown })
        return tagged(201, shown, { once: { key }, location: `/v1/keys/${record.id}` })
      },
    },
    {
      operation: 'changeKey',
      level: 'operator',
      async handle({ params, headers, body, refuseRoles, audit }) {
        const isExpected = requiredTag(headers)
        const changes = inputOf(body as Record<string, unknown>) as ApiKeyChanges
        refuseRoles(changes.roles ?? [])
        let before: object | undefined
        const after = await keys.update(params.id!, changes, (key) => {
          // Asked of the very record that is written over.
          refuseRoles(key.roles)
          before = show(key)
          return isExpected(before)
        })
        if (after === 'unexpected') throw changedMeanwhile()
        if (after === undefined) throw await gone(params.id!)
        const shown = show(after)
        audit({ id: after.id, before, after: shown })
        return tagged(200, shown)
      },
    },
    {
      operation: 'rotateKey',
      level: 'operator',
      idempotent: true,
      async handle({ params, headers, body, refuseRoles, audit }) {
        const isExpected = optionalTag(headers)
        const old = await existing(params.id!)
        // A new secret is a way in: who may not be an administrator may not have one of theirs.
        refuseRoles(old.roles)
        if (!isExpected(show(old))) throw changedMeanwhile()
        const { graceSeconds = 0 } = (body ?? {}) as { graceSeconds?: number }
        const issued = await keys.rotate(old.id, { graceMs: graceSeconds * 1_000 })
        if (issued === undefined) throw await gone(old.id)
        const shown = show(issued.record)
        audit({ id: old.id, before: show(old), after: shown })
        return tagged(200, shown, { once: { key: issued.key } })
      },
    },
    {
      operation: 'revokeKey',
      level: 'operator',
      async handle({ params, headers, refuseRoles, audit }) {
        const isExpected = optionalTag(headers)
        const old = await existing(params.id!)
        refuseRoles(old.roles)
        if (!isExpected(show(old))) throw changedMeanwhile()
        const record = await keys.revoke(old.id)
        if (record === undefined) throw notFound('key')
        const shown = show(record)
        audit({ id: old.id, before: show(old), after: shown })
        return tagged(200, shown)
      },
    },
  ]

  async function gone(id: string): Promise<AdminProblem> {
    return (await keys.get(id)) === undefined
      ? notFound('key')
      : new AdminProblem(409, 'admin.revoked', 'The key is revoked; what is revoked stays so.')
  }
}

/** The members of a request that are a key's own; times become numbers. The document has refused all others. */
function inputOf(body: Record<string, unknown>): Record<string, unknown> {
  const { name, scopes, roles, cidrs, origins, operations, owner, plan, note, notBefore, expiresAt } = body
  const time = (value: unknown) => (value === null ? null : timeIn(value))
  const given = {
    name,
    scopes,
    roles,
    cidrs,
    origins,
    operations,
    owner,
    plan,
    note,
    notBefore: time(notBefore),
    expiresAt: time(expiresAt),
  }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

function show(key: ApiKey) {
  return {
    id: key.id,
    name: key.name,
    scopes: key.scopes,
    roles: key.roles,
    cidrs: key.cidrs,
    origins: key.origins,
    operations: key.operations,
    owner: key.owner ?? null,
    plan: key.plan ?? null,
    note: key.note ?? null,
    createdAt: isoOf(key.createdAt),
    notBefore: isoOf(key.notBefore),
    expiresAt: isoOf(key.expiresAt),
    rotatedAt: isoOf(key.rotatedAt),
    previousUntil: isoOf(key.previousUntil),
    revokedAt: isoOf(key.revokedAt),
  }
}

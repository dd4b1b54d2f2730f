import { denial } from '../../gate/verdict.ts'
import type { Operation } from '../../openapi/operation.ts'
import type { Right } from './contract.ts'
import type { AuthorizeOptions } from './options.ts'

export type Grants = ReadonlyMap<string, ReadonlySet<string>>

export function grantsOf(roles: Readonly<Record<string, readonly string[]>>): Grants {
  return new Map(Object.entries(roles).map(([role, permissions]) => [role, new Set(permissions)]))
}

/** What an operation needs of the roles of its callers (Z2). `open`: it also serves who shows no credential. */
export function rolesRight(
  operation: Operation,
  { permissions }: Pick<AuthorizeOptions, 'permissions'>,
  grants: Grants,
  open: boolean,
): Right {
  const said = permissions.filter((entry) => entry.match.selects(operation)).flatMap(({ needs }) => needs)
  const needs = said.length > 0 ? [...new Set(said)] : [defaultPermission(operation)]
  const refusals = needs.map((permission) =>
    denial(403, 'authorize.permission-missing', 'None of your roles permits this operation.', {
      evidence: { rule: 'authorize.roles', needs: permission },
    }),
  )
  return {
    names: ['authorize.roles'],
    judge: ({ principal }, unknown) => {
      // Rights by role do not close what the document opens to unknown callers.
      if (principal === undefined) return open ? undefined : unknown
      for (let i = 0; i < needs.length; i++) if (!permits(principal.roles, needs[i]!, grants)) return refusals[i]
      return undefined
    },
  }
}

function defaultPermission({ method }: Operation): string {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write'
}

function permits(roles: ReadonlySet<string>, permission: string, grants: Grants): boolean {
  for (const role of roles) {
    const granted = grants.get(role)
    if (granted !== undefined && (granted.has(permission) || granted.has('*'))) return true
  }
  return false
}

import { ConfigError, messageOf } from '../base/errors.ts'
import { object, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Steps } from '../gate/guard.ts'
import type { Principal } from '../gate/principal.ts'
import { type Denial, denial, type Verdict } from '../gate/verdict.ts'
import type { Operation } from '../openapi/operation.ts'
import { parseSelector } from '../openapi/select.ts'
import { bearerChallenge, unauthorized } from './auth/challenge.ts'
import { authPlanOf } from './auth/plan.ts'
import { warnOfIdleRules } from './idle-rules.ts'
import { isOpen, isPublic } from './security.ts'

const words = (description: string) => z.array(z.string().min(1).max(512)).max(10_000).describe(description)
const match = z
  .string()
  .min(1)
  .max(1_024)
  .transform((text, context) => {
    try {
      // `GET *` means every path, as `*` alone means every operation.
      return { text, selects: parseSelector(text.replace(/^(\S+)\s+\*$/, '$1 /**')) }
    } catch (error) {
      context.addIssue({ code: 'custom', message: messageOf(error) })
      return z.NEVER
    }
  })
  .describe('Which operations: `GET *`, `/orders/**`, `tag:admin`, `op:refund`, `*`.')

const callerList =
  'A bare word is a subject; `role:admin`, `app:partner`, `scope:orders:read`, `via:main` look at the rest; `*` is every known caller.'

const authorizeShape = object({
  mode: z.enum(['off', 'observe', 'enforce']).default('enforce'),
  acl: z
    .array(
      object({
        match,
        allow: words(`Who may; nobody else. ${callerList}`).optional(),
        deny: words(`Who may not, even if allowed. ${callerList}`).default([]),
      }),
    )
    .max(10_000)
    .default([])
    .describe('Lists of callers for operations. Every entry that matches an operation must let the caller through.'),
  roles: z
    .record(z.string().min(1), z.array(z.string().min(1)).max(1_000))
    .optional()
    .describe(
      'What each role permits; `*` permits everything. With it, every operation that is not public needs a permission: `read` for GET, HEAD and OPTIONS, `write` for the rest, unless `permissions` says otherwise.',
    ),
  permissions: z
    .array(
      object({
        match,
        needs: z
          .union([
            z
              .string()
              .min(1)
              .transform((one) => [one]),
            z.array(z.string().min(1)).min(1).max(64),
          ])
          .describe('The permission, or all of several.'),
      }),
    )
    .max(10_000)
    .default([])
    .describe('Which permissions operations need, in place of `read` and `write`. All entries that match count.'),
}).prefault({})

type AuthorizeOptions = z.output<typeof authorizeShape>

/** Lets callers do only what lists and roles allow them (access control lists, role-based access control). */
export const authorize: Guard<AuthorizeOptions> = {
  name: 'authorize',
  stage: 'authorize',
  options: authorizeShape,
  setup(options, host) {
    const acl = options.acl.map((entry, index) => ({ selects: entry.match.selects, rule: aclRule(entry, index) }))
    const warnOfIdle = warnOfIdleRules(
      (['acl', 'permissions'] as const).flatMap((list) =>
        options[list].map(({ match }, index) => ({ name: `authorize.${list}[${index}]`, selects: match.selects })),
      ),
      host,
    )
    const { roles } = options
    if (roles === undefined && options.permissions.length > 0) {
      throw new ConfigError('P1409', `apis.${host.api}.authorize.permissions: nobody has a permission without "roles"`)
    }
    const grants = roles === undefined ? undefined : grantsOf(roles)

    return (operation) => {
      if (operation.kind !== 'listed') return undefined
      warnOfIdle(operation.document)
      const lists = acl.filter(({ selects }) => selects(operation)).map(({ rule }) => rule)
      const rights = grants === undefined || isPublic(operation) ? [] : [rightsOf(operation, grants)]
      const rules = [...lists, ...rights]
      if (rules.length === 0) return undefined
      // Rights by role do not close what the document opens to unknown callers; a list that names callers does.
      return compile(operation, rules, lists.length === 0 && isOpen(operation))
    }

    function rightsOf(operation: Operation, granted: Grants): Rule {
      const said = options.permissions.filter((entry) => entry.match.selects(operation)).flatMap(({ needs }) => needs)
      return permissionRule(said.length > 0 ? [...new Set(said)] : [defaultPermission(operation)], granted)
    }
  },
}

/** `undefined`: the caller may. */
type Rule = (principal: Principal) => Denial | undefined

function compile(operation: Operation, rules: readonly Rule[], unknownMay: boolean): Steps {
  const plan = authPlanOf(operation)
  const unknown = unauthorized(
    'authorize.caller-unknown',
    'This operation needs a credential. WWW-Authenticate names what is accepted.',
    plan?.challenge(plan.methods) || bearerChallenge(operation.api),
  )
  return {
    requestHead({ principal, credentialDenial }: Exchange): Verdict {
      if (principal === undefined) return unknownMay ? undefined : (credentialDenial ?? unknown)
      for (let i = 0; i < rules.length; i++) {
        const refusal = rules[i]!(principal)
        if (refusal !== undefined) return refusal
      }
      return undefined
    },
  }
}

function aclRule(entry: AuthorizeOptions['acl'][number], index: number): Rule {
  const denied = callers(entry.deny, `authorize.acl[${index}].deny`)
  const allowed = entry.allow === undefined ? undefined : callers(entry.allow, `authorize.acl[${index}].allow`)
  const refuse = (list: 'allow' | 'deny') =>
    denial(403, 'authorize.acl', 'You are not on the list of those who may use this operation.', {
      evidence: { rule: `authorize.acl[${index}]`, match: entry.match.text, list },
    })
  const isDenied = refuse('deny')
  const notAllowed = refuse('allow')
  return (principal) => {
    if (denied(principal)) return isDenied
    return allowed === undefined || allowed(principal) ? undefined : notAllowed
  }
}

/** A test for membership in a list of callers: one set look-up for each kind of entry that the list holds. */
function callers(entries: readonly string[], at: string): (principal: Principal) => boolean {
  const subjects = new Set<string>()
  const roles = new Set<string>()
  const applications = new Set<string>()
  const scopes = new Set<string>()
  const methods = new Set<string>()
  const kinds: Readonly<Record<string, Set<string>>> = {
    sub: subjects,
    role: roles,
    app: applications,
    scope: scopes,
    via: methods,
  }
  let everyone = false
  for (const entry of entries) {
    if (entry === '*') {
      everyone = true
      continue
    }
    const colon = entry.indexOf(':')
    const set = colon > 0 ? kinds[entry.slice(0, colon)] : undefined
    if (set === undefined) subjects.add(entry)
    else if (colon === entry.length - 1) throw new ConfigError('P1409', `${at}: "${entry}" names nobody`)
    else set.add(entry.slice(colon + 1))
  }
  if (everyone) return () => true
  const tests: ((principal: Principal) => boolean)[] = []
  if (subjects.size > 0) tests.push(({ subject }) => subjects.has(subject))
  if (applications.size > 0) {
    tests.push(({ application }) => application !== undefined && applications.has(application))
  }
  if (methods.size > 0) tests.push(({ via }) => methods.has(via))
  if (roles.size > 0) tests.push((principal) => meets(principal.roles, roles))
  if (scopes.size > 0) tests.push((principal) => meets(principal.scopes, scopes))
  return (principal) => tests.some((test) => test(principal))
}

function meets(held: ReadonlySet<string>, listed: ReadonlySet<string>): boolean {
  for (const one of held) if (listed.has(one)) return true
  return false
}

function defaultPermission({ method }: Operation): string {
  return method === 'GET' || method === 'HEAD' || method === 'OPTIONS' ? 'read' : 'write'
}

type Grants = ReadonlyMap<string, ReadonlySet<string>>

function grantsOf(roles: Readonly<Record<string, readonly string[]>>): Grants {
  return new Map(Object.entries(roles).map(([role, permissions]) => [role, new Set(permissions)]))
}

function permissionRule(needs: readonly string[], grants: Grants): Rule {
  const refusals = needs.map((permission) =>
    denial(403, 'authorize.permission-missing', 'None of your roles permits this operation.', {
      evidence: { rule: 'authorize.roles', needs: permission },
    }),
  )
  return ({ roles }) => {
    for (let i = 0; i < needs.length; i++) if (!permits(roles, needs[i]!, grants)) return refusals[i]
    return undefined
  }
}

function permits(roles: ReadonlySet<string>, permission: string, grants: Grants): boolean {
  for (const role of roles) {
    const granted = grants.get(role)
    if (granted !== undefined && (granted.has(permission) || granted.has('*'))) return true
  }
  return false
}

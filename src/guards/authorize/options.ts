import { isTimeZone } from '../../base/calendar.ts'
import { duration, file, mode, object, z } from '../../config/language.ts'
import { matchShape } from '../match-shape.ts'
import { conditionText } from '../rule-scope.ts'
import { ownerOptions } from './owner-options.ts'

/*
 * What can be said under `authorize`: lists, roles, rules, policies.
 */

const words = (description: string) => z.array(z.string().min(1).max(512)).max(10_000).describe(description)

const match = matchShape('Which operations: `GET *`, `/orders/**`, `tag:admin`, `op:refund`, `*`.')

const callerList =
  'A bare word is a subject; `role:admin`, `app:partner`, `scope:orders:read`, `via:main` look at the rest; `*` is every known caller.'

const oneOrMany = (description: string, many: number) =>
  z
    .union([
      z
        .string()
        .min(1)
        .transform((one) => [one]),
      z.array(z.string().min(1)).min(1).max(many),
    ])
    .describe(description)

const aclEntry = object({
  match,
  allow: words(`Who may; nobody else. ${callerList}`).optional(),
  deny: words(`Who may not, even if allowed. ${callerList}`).default([]),
})

const permissionEntry = object({ match, needs: oneOrMany('The permission, or all of several.', 64) })

/** `role:admin` is a caller; `ip in office` is a condition. */
const callerWord = /^(?:(?:sub|role|app|scope|via):\S+|\*)$/

const ruleEntry = object({
  name: z.string().min(1).max(128).describe('What the log calls it, beside its number.').optional(),
  match,
  when: conditionText(
    "The condition: `claims.acr in ['mfa'] && ip in office && hour in 8..17`. See the guide on rights for what it can ask.",
  ).optional(),
  unless: z
    .union([
      z
        .string()
        .regex(callerWord)
        .transform((one) => ({ callers: [one] })),
      z
        .array(z.string().min(1).max(512))
        .min(1)
        .max(1_000)
        .transform((many) => ({ callers: many })),
      conditionText('A condition.').transform((condition) => ({ condition })),
    ])
    .describe(`Who is excused: \`role:admin\`, a list of such words, or a condition. ${callerList}`)
    .optional(),
  effect: z
    .enum(['require', 'deny', 'allow'])
    .default('require')
    .describe(
      '`require`: must hold. `deny`: refuses where the condition holds, or cannot be told. `allow`: of all such rules for an operation one must hold.',
    ),
  mode: mode('How this rule stands.').default('enforce'),
  stepUp: object({
    acr: oneOrMany('Values of the claim `acr` of which one will do.', 16).optional(),
    maxAge: duration('How long ago the caller may have signed in (`auth_time`), at most.').optional(),
  })
    .refine(({ acr, maxAge }) => acr !== undefined || maxAge !== undefined, 'says neither "acr" nor "maxAge"')
    .describe(
      'How, and how lately, a caller must have signed in. Who has not is answered 401 `insufficient_user_authentication` with what to ask the issuer for (RFC 9470).',
    )
    .optional(),
  ...ownerOptions,
}).superRefine(({ effect, when, unless, stepUp, owner, lookup, each }, context) => {
  const complain = (message: string) => context.addIssue({ code: 'custom', message })
  const says = [when, stepUp, owner].some((one) => one !== undefined)
  if (effect === 'require' && !says) complain('says nothing that must hold: add "when" or "owner"')
  if (effect === 'deny' && when === undefined && unless === undefined) {
    complain('would refuse everybody: add "when" or "unless"')
  }
  if (effect === 'allow' && when === undefined) complain('says nobody who may: add "when"')
  // "allow … unless …" could be read in two ways, of which one opens the door.
  if (effect === 'allow' && unless !== undefined) {
    complain('"unless" has no clear meaning with `effect: allow`: write && !( … ) into "when"')
  }
  if (effect !== 'require' && stepUp !== undefined) complain('"stepUp" belongs to a rule that must hold')
  if (effect !== 'require' && owner !== undefined) complain('"owner" belongs to a rule that must hold')
  if (owner === undefined && (lookup !== undefined || each !== undefined)) {
    complain(`"${lookup === undefined ? 'each' : 'lookup'}" means nothing without "owner"`)
  }
})

const cedarShape = object({
  mode: mode('How the policies stand.').default('enforce'),
  policies: file('A file of Cedar policies, or a folder of them (`*.cedar`).'),
  schema: file(
    'The Cedar schema that policies are checked with when the gate starts. Default: they are parsed only.',
  ).optional(),
  entities: file('A JSON file of entities that policies speak of besides principal and resource.').optional(),
  namespace: z
    .string()
    .regex(/^[A-Za-z_]\w*(?:::[A-Za-z_]\w*)*$/)
    .describe('Put before the types User, Role, Scope, Application, Action, Tag and the types of resources.')
    .optional(),
  cache: z.boolean().default(true).describe('Whether decisions are kept where the policies make that sound.'),
}).describe('Policies in the language Cedar: one `permit` must apply and no `forbid` may.')

export const authorizeShape = object({
  mode: z.enum(['off', 'observe', 'enforce']).default('enforce'),
  acl: z
    .array(aclEntry)
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
    .array(permissionEntry)
    .max(10_000)
    .default([])
    .describe('Which permissions operations need, in place of `read` and `write`. All entries that match count.'),
  rules: z
    .array(ruleEntry)
    .max(1_000)
    .default([])
    .describe('Conditions on who, what, where, on what device and when. All rules that match an operation count.'),
  cedar: cedarShape.optional(),
  timeZone: z
    .string()
    .refine(isTimeZone, 'expected a time zone such as Europe/Madrid')
    .default('UTC')
    .describe('Whose clock `hour`, `time`, `weekday` and `date` in rules are read from.'),
  countryHeader: z
    .string()
    .regex(/^[\w-]+$/)
    .transform((name) => name.toLowerCase())
    .describe(
      'The header in which a trusted proxy says where the caller is, such as CF-IPCountry; for `country` in rules.',
    )
    .optional(),
  decisions: z
    .enum(['denied', 'all'])
    .default('denied')
    .describe('Which decisions leave a note in the activity log: refusals, or also which rules let a request pass.'),
}).prefault({})

export type AuthorizeOptions = z.output<typeof authorizeShape>
export type AclEntry = AuthorizeOptions['acl'][number]
export type RuleEntry = AuthorizeOptions['rules'][number]
export type CedarOptions = z.output<typeof cedarShape>

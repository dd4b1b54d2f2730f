import { isTimeZone } from '../../base/calendar.ts'
import { messageOf } from '../../base/errors.ts'
import { parseDuration, parseRate } from '../../base/units.ts'
import { duration, object, quota, rate, text, z } from '../../config/language.ts'
import type { Mode } from '../../gate/guard.ts'
import { parseSelector, type Selector } from '../../openapi/select.ts'
import { valueText } from '../rule-scope.ts'
import { isInWords, keyWords } from './key.ts'

const limitsMax = 100
const plansMax = 1_000
/** Beside these, every key under `limits` names a limit. */
const reserved = ['mode', 'headers', 'plans', 'plan', 'waiting']

const expression = valueText('')
const keyShape = z
  .string()
  .max(500)
  .superRefine((written, context) => {
    if (isInWords(written)) return
    for (const issue of expression.safeParse(written).error?.issues ?? []) context.addIssue({ ...issue })
  })

const matchShape = z.union([z.string(), z.array(z.string()).max(1_000)]).superRefine((written, context) => {
  try {
    parseMatch(written)
  } catch (error) {
    context.addIssue({ code: 'custom', message: messageOf(error) })
  }
})

const limitShape = object({
  rate: rate('How many requests in which time, in the long run.').optional(),
  burst: z
    .number()
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe(
      'How many may come at once after a pause; afterwards only `rate` counts. Default: as many as `rate` has.',
    ),
  quota: quota(
    'How many requests in each hour, day, week or month of the calendar. Kept in the store: a restart changes nothing.',
  ).optional(),
  timeZone: z
    .string()
    .refine(isTimeZone, { message: 'expected a time zone such as UTC or Europe/Vienna' })
    .default('UTC')
    .describe('Whose clocks tell when the hour, day, week (from Monday) or month of a `quota` begins.'),
  pace: rate(
    'How fast requests go on to the upstream: those that come sooner wait for their turn in place of being refused.',
  ).optional(),
  over: text(
    readThrottle,
    'throttle',
    String.raw`^throttle \d+/(\d+)?(ms|s|sec|min|m|h|hour|d|day)$`,
    'What becomes of requests beyond `rate` and `quota`: they go on at this pace, as with `pace`. Default: they are refused.',
    ['throttle 2/s'],
  ).optional(),
  queue: z
    .number()
    .int()
    .min(1)
    .max(10_000)
    .default(20)
    .describe('How many requests of one budget may wait for their turn at once; one more is answered 429.'),
  wait: duration('How long a request may wait for its turn; one that would wait longer is answered 429 at once.')
    .refine((ms) => ms >= 1 && ms <= 60_000, { message: 'expected at most 1m' })
    .default(10_000),
  // biome-ignore lint/suspicious/noThenProperty: the word of the configuration; its value is a number, which nothing awaits.
  then: text(
    readLockout,
    'lockout',
    String.raw`^lockout \d+(\.\d+)?(s|m|h|d)$`,
    'Refuses everything of the same budget for so long once it went beyond `rate` or `quota`, and tells that as the event `limits.lockout`.',
    ['lockout 15m'],
  ).optional(),
  cost: z
    .number()
    .int()
    .min(0)
    .max(1_000_000)
    .default(1)
    .describe(
      'As how many requests one counts: say more for what is dear, by `x-portcullis` at the operation. 0: free.',
    ),
  key: keyShape
    .optional()
    .describe(
      `What has a budget of its own: ${keyWords}, several of them joined by "+", or any expression of the rules language. Default: principal; IPv6 counts by /64. A budget by header, query or body alone is only as good as the caller is honest.`,
    ),
  callers: z
    .enum(['all', 'known', 'anonymous'])
    .optional()
    .describe('Whom it counts: those with a believed credential, those without, or all (default).'),
  match: matchShape
    .optional()
    .describe(
      'Which operations it counts: op:login, tag:orders, GET /orders/*, or a list; and with plan:free whose, too. Default: all, and what the document does not list.',
    ),
  mode: z.enum(['off', 'observe', 'enforce']).default('enforce').describe('How this limit stands.'),
  onFailure: z
    .enum(['local', 'open', 'closed'])
    .optional()
    .describe(
      'While counters or store cannot be reached: count in this process alone (default for `rate` and `pace`), let everything pass, or refuse with 503 (default for `quota`, once what was set aside for it here is used up).',
    ),
})

const { shape } = limitShape

/** What holds where nothing is said: 100 a minute for whoever is known, 20 a minute for an address that is not. */
const defaultShape = limitShape.extend({ rate: shape.rate.unwrap().prefault('100/min') }).prefault({})
const anonymousShape = limitShape
  .extend({
    rate: shape.rate.unwrap().prefault('20/min'),
    key: shape.key.default('ip'),
    callers: shape.callers.default('anonymous'),
  })
  .prefault({})

const planShape = object({
  claim: z
    .string()
    .regex(/^[\w$-]+(\.[\w$-]+)*$/)
    .default('plan')
    .describe("Where a caller's plan stands: a claim of the token, or `plan` of an API key (`key create --plan`)."),
  default: z
    .string()
    .optional()
    .describe('The plan of known callers who have none, or one that is not known here. Default: none.'),
  callers: z
    .record(z.string().regex(/^[^:]+:.+$/, { message: 'expected METHOD:NAME, such as main:partner-app' }), z.string())
    .default({})
    .describe(
      "Plans by caller, before any claim: the entry of `auth` that vouched for them, and their application's or their own name, as in `main:partner-app: gold`.",
    ),
}).prefault({})

export const optionsShape = object({
  mode: z.enum(['off', 'observe', 'enforce']).default('enforce').describe('How all limits stand.'),
  headers: z
    .boolean()
    .default(true)
    .describe('Whether every reply tells what is left, as RateLimit and RateLimit-Policy (IETF draft).'),
  plans: z
    .record(z.string(), limitShape)
    .default({})
    .describe(
      'Limits by plan, by name of the plan. Where a `rate` of a plan is enforced, it takes the place of `default` for its callers.',
    ),
  plan: planShape.describe("How a caller's plan is found."),
  waiting: z
    .number()
    .int()
    .min(1)
    .max(100_000)
    .default(1_000)
    .describe('How many requests may wait for their turn at once in each process, of all callers.'),
  default: defaultShape.describe('Requests of one caller. Implied: 100/min.'),
  anonymous: anonymousShape.describe('Requests of one address without a believed credential. Implied: 20/min.'),
})
  .catchall(limitShape)
  .prefault({})
  .superRefine((options, context) => {
    const complain = (path: readonly string[], message: string) =>
      context.addIssue({ code: 'custom', path: [...path], message })
    const limits = Object.entries(options).filter(([name]) => !reserved.includes(name)) as [string, LimitOptions][]
    const plans = Object.entries(options.plans)
    if (limits.length > limitsMax) complain([], `at most ${limitsMax} limits`)
    if (plans.length > plansMax) complain(['plans'], `at most ${plansMax} plans`)
    for (const [name, limit] of limits) {
      if (limit.rate === undefined && limit.quota === undefined && limit.pace === undefined) {
        complain([name], 'a limit needs a `rate`, a `quota` or a `pace`')
      }
      checkLimit([name], limit, complain)
    }
    for (const [name, limit] of plans) {
      if (Object.hasOwn(options, name)) complain(['plans', name], 'there is a limit of that name, too')
      if (limit.match !== undefined && parseMatch(limit.match).plans.length > 0) {
        complain(['plans', name, 'match'], 'a limit of a plan selects operations only')
      }
      if (limit.callers !== undefined) complain(['plans', name, 'callers'], 'a plan is about known callers')
      checkLimit(['plans', name], limit, complain)
    }
    const known = new Set([...plans.map(([name]) => name), ...limits.flatMap(([, limit]) => plansOf(limit))])
    const unknown = (path: readonly string[], plan: string | undefined) => {
      if (plan !== undefined && !known.has(plan)) complain(path, 'no limit speaks of that plan')
    }
    unknown(['plan', 'default'], options.plan.default)
    for (const [caller, plan] of Object.entries(options.plan.callers)) unknown(['plan', 'callers', caller], plan)
  })
  .transform(({ mode, headers, plans, plan, waiting, ...limits }) => ({
    mode,
    headers,
    plans: plans as Record<string, LimitOptions>,
    plan,
    waiting,
    limits: limits as Record<string, LimitOptions>,
  }))

export type LimitOptions = z.output<typeof limitShape>
export type PlanOptions = z.output<typeof planShape>

export interface Options {
  readonly mode: Mode
  readonly headers: boolean
  readonly plans: Readonly<Record<string, LimitOptions>>
  readonly plan: PlanOptions
  readonly waiting: number
  readonly limits: Readonly<Record<string, LimitOptions>>
}

type Complain = (path: readonly string[], message: string) => void

function checkLimit(path: readonly string[], limit: LimitOptions, complain: Complain): void {
  if (!/^[a-z][\w-]{0,63}$/i.test(path.at(-1)!)) {
    complain(path, "a limit's name begins with a letter and has at most 64 letters, digits, - and _")
  }
  const { rate, burst, quota, pace, over, cost } = limit
  const counts = rate !== undefined || quota !== undefined
  if (burst !== undefined && rate === undefined) complain([...path, 'burst'], '`burst` belongs to a `rate`')
  if (over !== undefined && !counts) complain([...path, 'over'], '`over` belongs to a `rate` or a `quota`')
  if (limit.then !== undefined && !counts) complain([...path, 'then'], '`then` belongs to a `rate` or a `quota`')
  if (limit.then !== undefined && over !== undefined) {
    complain([...path, 'then'], 'what is beyond the limit is throttled (`over`) or locked out (`then`), not both')
  }
  const most = Math.min(
    rate === undefined ? Infinity : (burst ?? rate.count),
    quota?.count ?? Infinity,
    pace === undefined ? Infinity : 1 + limit.queue,
  )
  if (cost > most) complain([...path, 'cost'], `nothing would ever pass: at most ${most} at once`)
}

/** What `match` says: which operations, and the callers of which plans. */
export interface Match {
  readonly selects: Selector
  readonly plans: readonly string[]
}

/** Reads `match`. Of the operations one selector must fit; of the plans, where any is named, one. */
export function parseMatch(written: string | readonly string[] | undefined): Match {
  if (written === undefined) return { selects: () => true, plans: [] }
  const all = (typeof written === 'string' ? [written] : written).map((one) => one.trim())
  const plans = all.filter((one) => one.startsWith('plan:')).map((one) => one.slice('plan:'.length).trim())
  if (plans.includes('')) throw new Error('a plan needs a name: plan:free')
  const selectors = all.filter((one) => !one.startsWith('plan:'))
  return { selects: plans.length > 0 && selectors.length === 0 ? () => true : parseSelector(selectors), plans }
}

function plansOf({ match }: LimitOptions): readonly string[] {
  try {
    return parseMatch(match).plans
  } catch {
    // Complained about where it is read.
    return []
  }
}

function readThrottle(written: string) {
  const match = /^throttle\s+(\S+)$/.exec(written)
  if (match === null) throw new Error('expected throttle and a pace: throttle 2/s')
  return parseRate(match[1]!)
}

function readLockout(written: string): number {
  const match = /^lockout\s+(\S+)$/.exec(written)
  if (match === null) throw new Error('expected lockout and how long: lockout 15m')
  const ms = parseDuration(match[1]!)
  if (ms < 1_000 || ms > 31 * 86_400_000) throw new Error('a lockout lasts from a second to 31 days')
  return ms
}

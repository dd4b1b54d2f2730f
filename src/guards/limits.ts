import { hash } from 'node:crypto'
import type { z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Step, Steps } from '../gate/guard.ts'
import type { Denial, Verdict } from '../gate/verdict.ts'
import type { Operation } from '../openapi/operation.ts'
import type { Selector } from '../openapi/select.ts'
import type { RuleScope } from '../rules/index.ts'
import type { Taken } from '../store/counters.ts'
import { warnOfIdleRules } from './idle-rules.ts'
import { type Key, keyReader, readKey } from './limits/key.ts'
import { createMeters, type Metered, type Reading, retryAfter } from './limits/meter.ts'
import { type LimitOptions, type Options, optionsShape, parseMatch } from './limits/options.ts'
import { type PlanOf, planReader } from './limits/plan.ts'
import { createQueue } from './limits/queue.ts'
import { ruleScope, rulesRoot } from './rule-scope.ts'

/**
 * Counts requests by whatever tells callers apart, and refuses or slows those beyond a rate (L1, L2, L3, L5) or a quota
 * (L4), by the plan of the caller.
 */
export const limits: Guard<Options, z.output<typeof rulesRoot>> = {
  name: 'limits',
  stage: 'limit',
  options: optionsShape,
  root: rulesRoot,
  setup(options, host, root) {
    const all = [...Object.entries(options.limits), ...Object.entries(options.plans)]
    if (all.every(([, { mode }]) => mode === 'off')) return () => undefined
    const scope = ruleScope({ places: root?.places })
    const metersOf = createMeters(host, createQueue(options.waiting, host.counters))
    const inForce = all
      .filter(([, { mode }]) => mode !== 'off')
      .flatMap(([name, limit]) =>
        metersOf(name, limit).map((metered) =>
          createLimit(name, limit, metered, { scope, isPlan: Object.hasOwn(options.plans, name) }),
        ),
      )
      // What is refused by a rate spends nothing of a quota, and who waits has been counted.
      .sort((a, b) => kinds.indexOf(a.kind) - kinds.indexOf(b.kind))
    const plans = new Set([...Object.keys(options.plans), ...inForce.flatMap((limit) => limit.plans ?? [])])
    const planOf = plans.size === 0 ? undefined : planReader(options.plan, plans)
    const warnOfIdle = warnOfIdleRules(
      inForce.map(({ name, selects }) => ({ name: `limits.${name}`, selects })),
      host,
    )
    return (operation) => {
      warnOfIdle(operation.document)
      return stepsOf(operation, { all: inForce, plans, planOf, headers: options.headers })
    }
  },
}

const kinds = ['rate', 'quota', 'pace'] as const

/** A limit, ready to count in one way. */
interface Limit extends Metered {
  readonly name: string
  /** As replies tell it: a limit with a rate and a quota has two policies. */
  readonly policyName: string
  readonly key: Key
  readonly callers: 'all' | 'known' | 'anonymous'
  /** The plans whose callers it counts; all where none is named. */
  readonly plans: readonly string[] | undefined
  /** It takes the place of `default` for callers of its plan, where it holds. */
  readonly replacesDefault: boolean
  readonly selects: Selector
  readonly observing: boolean
}

interface Context {
  readonly scope: RuleScope<Exchange>
  readonly isPlan: boolean
}

function createLimit(name: string, options: LimitOptions, metered: Metered, { scope, isPlan }: Context): Limit {
  const key = readKey(options.key ?? 'principal', scope)
  const { selects, plans } = parseMatch(options.match)
  const ofPlan = isPlan ? [name] : plans.length > 0 ? plans : undefined
  const policyName = metered.kind === 'quota' && options.rate !== undefined ? `${name}-quota` : name
  return {
    ...metered,
    name,
    policyName,
    policy: metered.policy === '' ? '' : `"${policyName}"${metered.policy}`,
    key,
    callers: key.needsPrincipal || ofPlan !== undefined ? 'known' : (options.callers ?? 'all'),
    plans: ofPlan,
    replacesDefault: isPlan && metered.kind === 'rate' && options.mode === 'enforce',
    selects,
    observing: options.mode === 'observe',
  }
}

/** One limit at one operation. */
interface Counted {
  readonly limit: Limit
  readonly keyOf: (exchange: Exchange) => string
}

/** The limits that one kind of caller meets at one operation in one phase. */
interface Met {
  readonly counted: readonly Counted[]
  /** `RateLimit-Policy`; empty when it is not told. */
  readonly policy: string
}

interface Limits {
  readonly all: readonly Limit[]
  readonly plans: ReadonlySet<string>
  readonly planOf: PlanOf | undefined
  readonly headers: boolean
}

function stepsOf(operation: Operation, { all, plans, planOf, headers }: Limits): Steps | undefined {
  const own = all.filter(({ selects, key }) => {
    if (key.readsBody && operation.requestBody === undefined) return false
    return selects(operation)
  })
  const counted = new Map(own.map((limit) => [limit, { limit, keyOf: keyReader(limit.key, limit.prefix, operation) }]))
  const step = (readsBody: boolean): Step | undefined => {
    const metBy = (meets: (limit: Limit) => boolean): Met => {
      const met = own.filter(meets)
      const policies = met.map(({ policy }) => policy).filter((policy) => policy !== '')
      return {
        counted: met.filter(({ key }) => key.readsBody === readsBody).map((limit) => counted.get(limit)!),
        policy: headers ? policies.join(', ') : '',
      }
    }
    const anonymous = metBy(({ callers }) => callers !== 'known')
    const ofPlan = (plan: string | undefined) => {
      const isOf = ({ plans: named }: Limit) => plan !== undefined && named?.includes(plan) === true
      const hasRate = own.some((limit) => limit.replacesDefault && isOf(limit))
      return metBy((limit) => {
        if (limit.callers === 'anonymous') return false
        if (limit.plans !== undefined) return isOf(limit)
        return !(hasRate && limit.name === 'default' && limit.kind === 'rate')
      })
    }
    const known = ofPlan(undefined)
    const byPlan = new Map([...plans].map((plan) => [plan, ofPlan(plan)]))
    if ([known, anonymous, ...byPlan.values()].every((met) => met.counted.length === 0)) return undefined
    if (planOf === undefined) {
      return (exchange) => count(exchange.principal === undefined ? anonymous : known, exchange)
    }
    return (exchange) => {
      const { principal } = exchange
      if (principal === undefined) return count(anonymous, exchange)
      const plan = planOf(principal)
      return count((plan === undefined ? undefined : byPlan.get(plan)) ?? known, exchange)
    }
  }
  const requestHead = step(false)
  const requestBody = step(true)
  if (requestHead === undefined && requestBody === undefined) return undefined
  return { ...(requestHead && { requestHead }), ...(requestBody && { requestBody }) }
}

/** How a limit stands after a request was counted. */
interface Standing {
  readonly limit: Limit
  readonly key: string
  readonly taken: Taken
}

/** What was taken before a limit that had to be waited for, and what came of that one. */
interface Resumed {
  readonly at: number
  readonly key: string
  readonly reading: Reading
  readonly rate: Standing | undefined
  readonly quota: Standing | undefined
}

/** Counts with every limit in order; the first that is used up refuses, the tightest rate and quota are told of. */
function count(met: Met, exchange: Exchange, resumed?: Resumed): Verdict | Promise<Verdict> {
  const { counted, policy } = met
  let rate = resumed?.rate
  let quota = resumed?.quota
  for (let i = resumed?.at ?? 0; i < counted.length; i++) {
    const { limit, keyOf } = counted[i]!
    const here = i === resumed?.at ? resumed : undefined
    const key = here?.key ?? keyOf(exchange)
    const reading = here === undefined ? limit.meter(key, exchange) : here.reading
    if (reading instanceof Promise) {
      return reading.then((late) => count(met, exchange, { at: i, key, reading: late, rate, quota }))
    }
    if (reading === undefined) continue
    if ('kind' in reading) {
      if (!limit.observing) return reading
      exchange.observe(reading)
    } else if (!reading.allowed) {
      const refusal = refuse({ limit, key, taken: reading }, exchange, policy)
      if (refusal !== undefined) return refusal
    } else if (limit.kind === 'rate') {
      if (rate === undefined || reading.remaining < rate.taken.remaining) rate = { limit, key, taken: reading }
    } else if (limit.kind === 'quota') {
      if (quota === undefined || reading.remaining < quota.taken.remaining) quota = { limit, key, taken: reading }
    }
  }
  if (policy !== '') tell(exchange, policy, rate, quota)
  return undefined
}

function refuse(standing: Standing, exchange: Exchange, policy: string): Denial | undefined {
  const { limit, taken } = standing
  if (limit.observing) {
    exchange.observe(limit.refusal)
    return undefined
  }
  const { retryAfterMs } = taken
  if (policy !== '' && limit.policy !== '') {
    tell(exchange, policy, { ...standing, taken: { ...taken, remaining: 0, resetMs: retryAfterMs } }, undefined)
  }
  return { ...limit.refusal, headers: retryAfter(retryAfterMs) }
}

/**
 * draft-ietf-httpapi-ratelimit-headers-11, 3 and 4: what is left of the tightest rate and the tightest quota, and all
 * limits there are.
 */
function tell(exchange: Exchange, policy: string, rate: Standing | undefined, quota: Standing | undefined): void {
  if (rate === undefined && quota === undefined) return
  exchange.setReplyHeader('RateLimit-Policy', policy)
  if (quota === undefined) exchange.setReplyHeader('RateLimit', serviceLimit(rate!))
  else {
    const left = serviceLimit(quota)
    exchange.setReplyHeader('RateLimit', rate === undefined ? left : `${serviceLimit(rate)}, ${left}`)
  }
}

function serviceLimit({ limit, key, taken }: Standing): string {
  const seconds = Math.ceil(taken.resetMs / 1000)
  const left = `"${limit.policyName}";r=${taken.remaining};t=${seconds}`
  // One client may have several budgets: a hash tells it which one, and nobody else anything.
  return limit.key.isPartitioned ? `${left};pk=:${hash('sha256', key, 'base64').slice(0, 12)}:` : left
}

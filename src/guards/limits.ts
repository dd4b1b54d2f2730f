import { hash } from 'node:crypto'
import { messageOf } from '../base/errors.ts'
import { clientNetwork } from '../base/ip.ts'
import { JsonError } from '../base/json.ts'
import { object, rate, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Guard, Host, Mode, Step, Steps } from '../gate/guard.ts'
import type { Principal } from '../gate/principal.ts'
import { type Denial, denial, type Verdict } from '../gate/verdict.ts'
import type { Operation } from '../openapi/operation.ts'
import { parseSelector, type Selector } from '../openapi/select.ts'
import { type Counters, CountersUnavailable, type Rate, type Taken } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { warnOfIdleRules } from './idle-rules.ts'

const exceeded = denial(429, 'limits.exceeded', 'Too many requests. Wait as long as Retry-After says.')
const unavailable = denial(503, 'limits.unavailable', 'Requests cannot be counted at the moment. Try again later.', {
  headers: { 'Retry-After': '1' },
})

const limitsMax = 100
const fixedParts = ['principal', 'application', 'ip', 'operation', 'everyone'] as const
const namedPart = /^(claim|header|query|path|body)\.[\w$-]+(?:\.[\w$-]+)*$/

const keyShape = z
  .string()
  .max(500)
  .refine((text) => text.split('+').every((part) => isFixed(part) || namedPart.test(part)), {
    message: `expected ${fixedParts.join(', ')}, claim.NAME, header.NAME, query.NAME, path.NAME or body.NAME, or several joined by "+"`,
  })

const limitShape = object({
  rate: rate('How many requests in which time, in the long run.'),
  burst: z
    .number()
    .int()
    .min(1)
    .max(1_000_000_000)
    .optional()
    .describe(
      'How many may come at once after a pause; afterwards only `rate` counts. Default: as many as `rate` has.',
    ),
  key: keyShape
    .optional()
    .describe(
      'What has a budget of its own: principal (default), application, ip (IPv6 by /64), operation, everyone, claim.NAME, header.NAME, query.NAME, path.NAME, body.NAME, or several joined by "+". A budget by header, query or body alone is only as good as the caller is honest.',
    ),
  callers: z
    .enum(['all', 'known', 'anonymous'])
    .optional()
    .describe('Whom it counts: those with a believed credential, those without, or all (default).'),
  match: z
    .union([z.string(), z.array(z.string()).max(1_000)])
    .superRefine((text, context) => {
      try {
        parseSelector(text)
      } catch (error) {
        context.addIssue({ code: 'custom', message: messageOf(error) })
      }
    })
    .optional()
    .describe(
      'Which operations it counts: op:login, tag:orders, GET /orders/*, or a list. Default: all, and what the document does not list.',
    ),
  mode: z.enum(['off', 'observe', 'enforce']).default('enforce').describe('How this limit stands.'),
  onFailure: z
    .enum(['local', 'open', 'closed'])
    .default('local')
    .describe(
      'While the shared counters cannot be reached: count in this process alone, let everything pass, or refuse with 503.',
    ),
})

const rateShape = limitShape.shape.rate

/** What holds where nothing is said: 100 a minute for whoever is known, 20 a minute for an address that is not. */
const defaultShape = limitShape.extend({ rate: rateShape.prefault('100/min') }).prefault({})
const anonymousShape = limitShape
  .extend({
    rate: rateShape.prefault('20/min'),
    key: limitShape.shape.key.default('ip'),
    callers: limitShape.shape.callers.default('anonymous'),
  })
  .prefault({})

const optionsShape = object({
  mode: z.enum(['off', 'observe', 'enforce']).default('enforce').describe('How all limits stand.'),
  headers: z
    .boolean()
    .default(true)
    .describe('Whether every reply tells what is left, as RateLimit and RateLimit-Policy (IETF draft).'),
  default: defaultShape.describe('Requests of one caller. Implied: 100/min.'),
  anonymous: anonymousShape.describe('Requests of one address without a believed credential. Implied: 20/min.'),
})
  .catchall(limitShape)
  .prefault({})
  .superRefine((options, context) => {
    const names = Object.keys(options).filter((name) => name !== 'mode' && name !== 'headers')
    if (names.length > limitsMax) context.addIssue({ code: 'custom', message: `at most ${limitsMax} limits` })
    for (const name of names) {
      if (/^[a-z][\w-]{0,63}$/i.test(name)) continue
      const message = "a limit's name begins with a letter and has at most 64 letters, digits, - and _"
      context.addIssue({ code: 'custom', path: [name], message })
    }
  })
  .transform(({ mode, headers, ...limits }) => ({ mode, headers, limits: limits as Record<string, LimitOptions> }))

type LimitOptions = z.output<typeof limitShape>

interface Options {
  readonly mode: Mode
  readonly headers: boolean
  readonly limits: Readonly<Record<string, LimitOptions>>
}

/** Counts requests and refuses those beyond a rate, by whatever tells callers apart (L1, L2, L3). */
export const limits: Guard<Options> = {
  name: 'limits',
  stage: 'limit',
  options: optionsShape,
  setup(options, host) {
    const inForce = Object.entries(options.limits)
      .filter(([, limit]) => limit.mode !== 'off')
      .map(([name, limit]) => createLimit(name, limit, host))
    if (inForce.length === 0) return () => undefined
    const take = createTake(host)
    const warnOfIdle = warnOfIdleRules(
      inForce.map(({ name, matches }) => ({ name: `limits.${name}`, selects: matches })),
      host,
    )
    return (operation) => {
      warnOfIdle(operation.document)
      return stepsOf(operation, inForce, options.headers, take)
    }
  },
}

/** A limit, ready to count. */
interface Limit {
  readonly name: string
  readonly rate: Rate
  readonly parts: readonly string[]
  readonly callers: 'all' | 'known' | 'anonymous'
  readonly matches: Selector
  readonly readsBody: boolean
  readonly observing: boolean
  readonly onFailure: 'local' | 'open' | 'closed'
  readonly refusal: Denial
  /** Begins every key. A key belongs to one rate: with another one, after a reload, counting begins anew. */
  readonly prefix: string
  readonly policy: string
}

function createLimit(name: string, options: LimitOptions, host: Host): Limit {
  const { count, windowMs } = options.rate
  const burst = options.burst ?? count
  const parts = (options.key ?? 'principal').split('+')
  const needsPrincipal = parts.some((part) => /^(?:principal|application|claim\.)/.test(part))
  return {
    name,
    rate: { count, windowMs, burst },
    parts,
    callers: needsPrincipal ? 'known' : (options.callers ?? 'all'),
    matches: options.match === undefined ? () => true : parseSelector(options.match),
    readsBody: parts.some((part) => part.startsWith('body.')),
    observing: options.mode === 'observe',
    onFailure: options.onFailure,
    refusal: { ...exceeded, evidence: { limit: name } },
    prefix: `limit ${host.api} ${name} ${count}/${windowMs}/${burst}`,
    policy: `"${name}";q=${count};w=${Math.max(1, Math.ceil(windowMs / 1000))}`,
  }
}

/** One limit at one operation. */
interface Counted {
  readonly limit: Limit
  readonly keyOf: (exchange: Exchange) => string
}

/** The limits that one kind of caller meets at one operation in one phase. */
interface Plan {
  readonly counted: readonly Counted[]
  /** `RateLimit-Policy`; empty when it is not told. */
  readonly policy: string
}

function stepsOf(operation: Operation, all: readonly Limit[], headers: boolean, take: Take): Steps | undefined {
  const own = all.filter(({ matches, readsBody }) => {
    if (readsBody && operation.requestBody === undefined) return false
    return matches(operation)
  })
  const step = (readsBody: boolean): Step | undefined => {
    const plan = (callers: 'known' | 'anonymous'): Plan => {
      const met = own.filter((limit) => limit.callers === 'all' || limit.callers === callers)
      return {
        counted: met
          .filter((limit) => limit.readsBody === readsBody)
          .map((limit) => ({ limit, keyOf: keyReader(limit, operation) })),
        policy: headers ? met.map(({ policy }) => policy).join(', ') : '',
      }
    }
    const known = plan('known')
    const anonymous = plan('anonymous')
    if (known.counted.length === 0 && anonymous.counted.length === 0) return undefined
    return (exchange) => count(exchange.principal === undefined ? anonymous : known, exchange, take)
  }
  const requestHead = step(false)
  const requestBody = step(true)
  if (requestHead === undefined && requestBody === undefined) return undefined
  return { ...(requestHead && { requestHead }), ...(requestBody && { requestBody }) }
}

/** What was taken before a limit whose counter is in another process, and what came back from there. */
interface Resumed {
  readonly at: number
  readonly taken: Outcome
  readonly tightest: Limit | undefined
  readonly least: Taken | undefined
}

/** Takes from every limit in order; the first that is used up refuses, the tightest one is told of. */
function count(plan: Plan, exchange: Exchange, take: Take, resumed?: Resumed): Verdict | Promise<Verdict> {
  const { counted, policy } = plan
  let tightest = resumed?.tightest
  let least = resumed?.least
  for (let i = resumed?.at ?? 0; i < counted.length; i++) {
    const { limit, keyOf } = counted[i]!
    const taken = i === resumed?.at ? resumed.taken : take(keyOf(exchange), limit)
    if (taken instanceof Promise) {
      return taken.then((late) => count(plan, exchange, take, { at: i, taken: late, tightest, least }))
    }
    if (taken === undefined) continue
    if (taken === 'unavailable') return unavailable
    if (!taken.allowed) {
      const refusal = refuse(limit, taken, exchange, policy)
      if (refusal !== undefined) return refusal
    } else if (least === undefined || taken.remaining < least.remaining) {
      tightest = limit
      least = taken
    }
  }
  if (policy !== '' && tightest !== undefined) tell(exchange, tightest, policy, least!.remaining, least!.resetMs)
  return undefined
}

function refuse(limit: Limit, taken: Taken, exchange: Exchange, policy: string): Denial | undefined {
  if (limit.observing) {
    exchange.observe(limit.refusal)
    return undefined
  }
  if (policy !== '') tell(exchange, limit, policy, 0, taken.retryAfterMs)
  return { ...limit.refusal, headers: { 'Retry-After': String(Math.max(1, Math.ceil(taken.retryAfterMs / 1000))) } }
}

/** draft-ietf-httpapi-ratelimit-headers, 3 and 4: what is left of the tightest limit, and all limits there are. */
function tell(exchange: Exchange, limit: Limit, policy: string, remaining: number, resetMs: number): void {
  exchange.setReplyHeader('RateLimit-Policy', policy)
  exchange.setReplyHeader('RateLimit', `"${limit.name}";r=${remaining};t=${Math.ceil(resetMs / 1000)}`)
}

/** What came of counting: `undefined` when a limit that fails open could not be counted. */
type Outcome = Taken | 'unavailable' | undefined
type Take = (key: string, limit: Limit) => Outcome | Promise<Outcome>

/** Takes from the counters, and does what the limit states while they cannot be reached. */
function createTake({ counters, now, log, api }: Host): Take {
  let local: Counters | undefined
  let warnedAt = -Infinity

  function withoutCounters(key: string, limit: Limit, error: unknown): Outcome | Promise<Outcome> {
    if (!(error instanceof CountersUnavailable)) throw error
    if (now() - warnedAt >= warningsApartMs) {
      warnedAt = now()
      log.warn('the shared counters cannot be reached', { api, limit: limit.name, answer: limit.onFailure })
    }
    if (limit.onFailure === 'open') return undefined
    if (limit.onFailure === 'closed') return 'unavailable'
    local ??= createMemoryCounters({ now })
    return local.take(key, limit.rate)
  }

  return (key, limit) => {
    try {
      const taken = counters.take(key, limit.rate)
      return taken instanceof Promise ? taken.catch((error) => withoutCounters(key, limit, error)) : taken
    } catch (error) {
      return withoutCounters(key, limit, error)
    }
  }
}

const warningsApartMs = 30_000

/** A longer key is kept as its hash: a caller must not fill memory with one header. */
const keyLengthMax = 200

function keyReader({ prefix, parts }: Limit, operation: Operation): (exchange: Exchange) => string {
  if (parts.length === 1) {
    if (parts[0] === 'principal') {
      // The one on every request's way: a key that is made once needs no joining and no hashing (0.4 µs saved).
      const keys = new WeakMap<Principal, string>()
      return ({ principal }) => {
        let key = keys.get(principal!)
        if (key === undefined) {
          key = bounded(prefix, ` ${principal!.via} ${principal!.subject}`)
          keys.set(principal!, key)
        }
        return key
      }
    }
    if (parts[0] === 'ip') return ({ address }) => `${prefix} ${clientNetwork(address)}`
    if (parts[0] === 'everyone') return () => prefix
  }
  const readers = parts.map((part) => partReader(part, operation))
  return (exchange) => {
    let key = ''
    for (const read of readers) {
      const value = read(exchange)
      // The length keeps `a` + `bc` apart from `ab` + `c`.
      key += ` ${value.length} ${value}`
    }
    return bounded(prefix, key)
  }
}

function bounded(prefix: string, key: string): string {
  return key.length <= keyLengthMax ? prefix + key : `${prefix} #${hash('sha256', key, 'base64url')}`
}

/** What is missing counts as empty: leaving a header out must not buy a budget without end. */
function partReader(part: string, operation: Operation): (exchange: Exchange) => string {
  if (isFixed(part)) return fixedReaders[part](operation)
  const [kind, ...path] = part.split('.')
  const name = path.join('.')
  switch (kind) {
    case 'claim':
      return ({ principal }) => textOf(at(principal?.claims, path))
    case 'header':
      return ({ headers }) => String(headers[name.toLowerCase()] ?? '')
    case 'query':
      return (exchange) => foldCase(exchange.query().find(([key]) => key === name)?.[1] ?? '')
    case 'path': {
      const index = [...operation.path.matchAll(/\{([^{}]*)\}/g)].findIndex((match) => match[1] === name)
      // `a@b` and `a%40b` are one name to whoever decodes; the target is known to decode.
      return ({ pathValues }) => foldCase(decodeURIComponent(pathValues[index] ?? ''))
    }
    default:
      return (exchange) => foldCase(bodyValue(exchange, path))
  }
}

const fixedReaders: Readonly<Record<FixedPart, (operation: Operation) => (exchange: Exchange) => string>> = {
  principal: () => (exchange) => `${exchange.principal!.via} ${exchange.principal!.subject}`,
  application: () => (exchange) => exchange.principal!.application ?? exchange.principal!.subject,
  ip: () => (exchange) => clientNetwork(exchange.address),
  operation: (operation) => {
    const id = `${operation.version ?? ''} ${operation.id}`
    return () => id
  },
  everyone: () => () => '',
}

type FixedPart = (typeof fixedParts)[number]

function isFixed(part: string): part is FixedPart {
  return (fixedParts as readonly string[]).includes(part)
}

/** A field of a JSON or form body; a body that cannot be read has none, and is refused by others. */
function bodyValue(exchange: Exchange, path: readonly string[]): string {
  const type = exchange.headers['content-type'] ?? ''
  if (/^application\/x-www-form-urlencoded\b/i.test(type)) {
    const form = new URLSearchParams(exchange.requestBody?.toString('utf8') ?? '')
    return form.get(path.join('.')) ?? ''
  }
  try {
    return textOf(at(exchange.json(), path))
  } catch (error) {
    if (error instanceof JsonError) return ''
    throw error
  }
}

/** `Alice`, `alice ` and `ＡＬＩＣＥ` are one user to most upstreams: they share a budget. */
function foldCase(text: string): string {
  return text.slice(0, 4_096).normalize('NFKC').trim().toLowerCase()
}

function at(value: unknown, path: readonly string[]): unknown {
  let found = value
  for (const name of path) {
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, name)) return undefined
    found = (found as Record<string, unknown>)[name]
  }
  return found
}

function textOf(value: unknown): string {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : ''
}

import { ConfigError } from '../../base/errors.ts'
import { JsonError } from '../../base/json.ts'
import type { Exchange, Slot } from '../../gate/exchange.ts'
import type { Host, Steps } from '../../gate/guard.ts'
import { type Denial, denial, type Verdict } from '../../gate/verdict.ts'
import { parseQuery } from '../../http/query.ts'
import { isStreamed } from '../../openapi/media-types.ts'
import type { Operation } from '../../openapi/operation.ts'
import { isObject, valueAt } from '../../openapi/pointer.ts'
import { parseMultipart } from '../../waf/body/multipart.ts'
import { bearerChallenge, unauthorized } from '../auth/challenge.ts'
import { authPlanOf } from '../auth/plan.ts'
import { type Finding, isSame, type OwnerFacts, unknown } from './owner-expression.ts'
import { factsOf, plainName } from './owner-facts.ts'
import { forgetValidators, isJson, keepPrivate, listIn, readJson, retold, withElements } from './owner-json.ts'
import { createLooker, type Lookup } from './owner-lookup.ts'
import { type OwnerRule, type Plan, planOf } from './owner-plan.ts'

/*
 * Object-level access (Z4): whose is what is asked for?
 *
 * A rule is judged as soon as it can be: by the head of the request, by its body, by the object as it is looked up before a
 * write, by the answer before its first byte leaves. What nobody could judge is refused.
 */

const bodyUnreadable = denial(
  400,
  'authorize.body-unreadable',
  'The request body must be JSON that every reader reads alike, for whose object it names is looked at.',
)
const batchTooLarge = denial(400, 'authorize.batch-too-large', 'The request names too many objects at once.')
const answerUnreadable = denial(
  502,
  'authorize.answer-unreadable',
  'The service behind the gate gave an answer that does not show whose it is.',
)

const errorHidden = denial(
  400,
  'authorize.error-hidden',
  'The service behind the gate refused the request, or failed at it.',
)

/** Elements of one request body at most, and objects that are looked up for one request. */
const batchMax = 1_000
const lookupsMax = 50
/** Elements of an answer, times objects of the request. */
const judgementsMax = 100_000
/** Rules for one operation: their state is kept in the bits of one number. */
const plansMax = 30

/** Headers by which frameworks take another method or path than the one that was judged; here not even where they are documented. */
const overrides = new Set([
  'x-http-method-override',
  'x-http-method',
  'x-method-override',
  'x-original-url',
  'x-rewrite-url',
  'x-original-method',
])
/** A conditional request is answered without the object, and so tells of it unseen (RFC 9110, 13). */
const conditionals = ['if-none-match', 'if-modified-since', 'if-match', 'if-unmodified-since', 'range', 'if-range']

/** What has been found out about an exchange so far. */
interface State {
  readonly facts: OwnerFacts
  /** Bits of the plans that are satisfied. */
  settled: number
  /** Bits of those whose object was looked up. */
  looked: number
  /** The objects that the request is about, for plans that also look at the answer. */
  objects: Map<Plan, readonly OwnerFacts[]> | undefined
}

/** Lets callers reach only objects that rules call theirs. */
export function ownerRules(rules: readonly OwnerRule[], host: Host): (operation: Operation) => Steps | undefined {
  const slot = host.slot<State>()
  const look = host.ask === undefined ? undefined : createLooker(host.ask)
  return (operation) => {
    const chosen = rules.filter(({ match }) => match.selects(operation))
    if (operation.kind !== 'listed' || chosen.length === 0) return undefined
    if (chosen.length > plansMax) {
      throw new ConfigError('P1410', `more than ${plansMax} rules with "owner" are about ${operation.id}`)
    }
    const plans = chosen.map((rule, bit) => planOf(rule, operation, bit))
    const needsLook = plans.find(({ lookup }) => lookup !== undefined)
    if (look === undefined && needsLook !== undefined) {
      throw new ConfigError(
        'P1410',
        `${needsLook.rule.at}: an object cannot be looked up in front of a handler in the same process`,
        { hint: 'match reading operations only, or write `lookup: none`' },
      )
    }
    return stepsOf(operation, plans, { slot, look })
  }
}

interface Context {
  readonly slot: Slot<State>
  readonly look: ReturnType<typeof createLooker> | undefined
}

function stepsOf(operation: Operation, plans: readonly Plan[], context: Context): Steps {
  const { slot } = context
  const auth = authPlanOf(operation)
  const callerUnknown = unauthorized(
    'authorize.caller-unknown',
    'This operation needs a credential. WWW-Authenticate names what is accepted.',
    auth?.challenge(auth.methods) || bearerChallenge(operation.api),
  )
  const all = 2 ** plans.length - 1
  const judging = plans.filter(({ answer }) => answer !== 'none')
  const before = plans.some(({ readsBody, lookup, headLookup }) => readsBody || lookup !== undefined || headLookup)
  const seesBody = judging.filter(({ owner }) => owner.responsePointers.length > 0)
  const isEnforced = plans.some(({ enforced }) => enforced)
  const takesMethod = operation.parameters.some(({ name }) => name === '_method')
  return {
    ...(isEnforced ? { keepRequestHeader: (name: string) => !overrides.has(name.replaceAll('_', '-')) } : {}),
    requestHead(exchange): Verdict {
      const state: State = { facts: factsOf(exchange, plans[0]!.names), settled: 0, looked: 0, objects: undefined }
      exchange.set(slot, state)
      const isOverridden = !takesMethod && exchange.target.query !== '' && overridesMethod(exchange)
      for (const plan of plans) {
        const refusal = judgeHead(plan, exchange, state, callerUnknown, isOverridden)
        if (refusal !== undefined && !isNoted(plan, exchange, state, refusal)) return refusal
      }
      if (judging.some(({ bit, answer, enforced }) => enforced && answer === 'whole' && !isSettled(state, bit))) {
        for (const name of conditionals) if (exchange.headers[name] !== undefined) exchange.withholdHeader(name)
      }
      return undefined
    },
    ...(before
      ? {
          readsRequestBody: (exchange: Exchange) => exchange.get(slot)?.settled !== all,
          requestBody: (exchange: Exchange) => judgeRequest(plans, exchange, context),
        }
      : {}),
    responseHead(exchange): Verdict {
      const state = exchange.get(slot)
      if (isEnforced) keepPrivate(exchange.response!)
      // Nobody has judged the request: then nobody may see the answer.
      if (state === undefined) return refusedBy(plans[0]!, 'owner', 'unknown')
      for (const plan of judging) {
        if (isSettled(state, plan.bit)) continue
        const refusal = judgeAnswerHead(plan, exchange, state)
        if (refusal !== undefined && !isNoted(plan, exchange, state, refusal)) return refusal
      }
      return undefined
    },
    ...(seesBody.length > 0 ? { responseBody: (exchange: Exchange) => judgeAnswer(judging, exchange, context) } : {}),
    ...(seesBody.length > 0 && seesBody.every(({ enforced }) => !enforced) ? { responseBodyOptional: true } : {}),
  }
}

/** A rule that is only observed has said what it had to say. */
function isNoted({ enforced, bit }: Plan, exchange: Exchange, state: State, refusal: Denial): boolean {
  if (enforced) return false
  exchange.observe(refusal)
  state.settled |= 1 << bit
  return true
}

function isSettled(state: State, bit: number): boolean {
  return (state.settled & (1 << bit)) !== 0
}

function overridesMethod(exchange: Exchange): boolean {
  return exchange.query().some(([name]) => name.toLowerCase() === '_method')
}

function refusedBy({ denied, rule }: Plan, failed: string, because: string, more: object = {}): Denial {
  return { ...denied, evidence: { rule: rule.at, match: rule.match.text, failed, because, ...more } }
}

function refusedFor(plan: Plan, finding: Finding): Denial {
  if (finding === true || finding === unknown) return refusedBy(plan, 'owner', 'unknown')
  return refusedBy(plan, finding.failed, finding.because)
}

// The request --------------------------------------------------------------------------------------

function judgeHead(
  plan: Plan,
  exchange: Exchange,
  state: State,
  callerUnknown: Denial,
  isOverridden: boolean,
): Denial | undefined {
  const { rule, owner, bit } = plan
  if (exchange.principal === undefined) return exchange.credentialDenial ?? callerUnknown
  if (rule.unless?.(exchange) === true) {
    state.settled |= 1 << bit
    return undefined
  }
  const finding = owner.judge(state.facts)
  if (finding === true) {
    state.settled |= 1 << bit
    return undefined
  }
  if (finding !== unknown) return refusedFor(plan, finding)
  // The upstream could take it for another method than the one that was judged.
  if (isOverridden) return refusedBy(plan, '_method in the query', 'ambiguous')
  // The messages of another protocol are nobody's to judge.
  return exchange.upgrade === undefined ? undefined : refusedBy(plan, 'upgrade', 'unreadable')
}

function judgeRequest(plans: readonly Plan[], exchange: Exchange, context: Context): Verdict | Promise<Verdict> {
  const state = exchange.get(context.slot)
  // Nobody has judged the head: then nobody may pass.
  if (state === undefined) return refusedBy(plans[0]!, 'owner', 'unknown')
  const isHead = exchange.method === 'HEAD'
  const open = plans.filter(
    ({ bit, readsBody, lookup }) => !isSettled(state, bit) && (readsBody || lookup !== undefined || isHead),
  )
  return inTurn(open, (plan) => {
    const verdict = judgeObjects(plan, exchange, state, context)
    const settle = (late: Verdict): Verdict =>
      late?.kind === 'denial' && isNoted(plan, exchange, state, late) ? undefined : late
    return verdict instanceof Promise ? verdict.then(settle) : settle(verdict)
  })
}

/** One after the other, and no promise unless one waits. */
function inTurn<T>(
  items: readonly T[],
  step: (item: T) => Verdict | Promise<Verdict>,
  from = 0,
): Verdict | Promise<Verdict> {
  for (let i = from; i < items.length; i++) {
    const verdict = step(items[i]!)
    if (verdict instanceof Promise) return verdict.then((late) => late ?? inTurn(items, step, i + 1))
    if (verdict !== undefined) return verdict
  }
  return undefined
}

const noBody = { value: undefined }

/** The request's body as it is judged. A body of another kind has none of what is looked for. */
function requestJson({ readsBody, sameObject, rule }: Plan, exchange: Exchange): { readonly value: unknown } | Denial {
  const { requestBody, headers } = exchange
  if (requestBody === undefined || requestBody.length === 0 || !(readsBody || sameObject)) return noBody
  const refused = { ...bodyUnreadable, evidence: { rule: rule.at, match: rule.match.text } }
  if (isJson(headers['content-type'])) {
    try {
      return { value: exchange.json() }
    } catch (error) {
      if (error instanceof JsonError) return refused
      throw error
    }
  }
  if (readsBody) return refused
  // Nobody names the body, so it may be anything; but one that names another object than the path must not pass as text.
  if (/^application\/x-www-form-urlencoded\b/i.test(headers['content-type'] ?? '')) {
    return { value: parseQuery(requestBody.toString('latin1')).map(([name, value]) => ({ [name]: value })) }
  }
  const type = headers['content-type'] ?? ''
  if (/^\s*multipart\/form-data\b/i.test(type)) {
    const { arguments: fields, files, error } = parseMultipart(requestBody.toString('latin1'), type)
    if (error !== undefined) return refused
    // A file is no identifier: where it is called as one it names something else.
    return {
      value: [...fields.map(({ name, value }) => ({ [name]: value })), ...files.map(({ field }) => ({ [field]: {} }))],
    }
  }
  return readJson(requestBody) ?? (isLooseJson(requestBody) ? refused : noBody)
}

/** What a lenient reader takes for JSON although it is not ours to read: with a key twice, or after a byte order mark. */
function isLooseJson(body: Buffer): boolean {
  try {
    return typeof JSON.parse(body.toString('utf8').replace(/^\ufeff/, '')) === 'object'
  } catch {
    return false
  }
}

function judgeObjects(plan: Plan, exchange: Exchange, state: State, { look }: Context): Verdict | Promise<Verdict> {
  const { owner, requestLists } = plan
  const json = requestJson(plan, exchange)
  if ('kind' in json) return json
  const body = json.value
  const list = plan.readsBody ? listIn(body, requestLists) : undefined
  const objects = list === undefined ? [body] : list.elements
  // A batch of nothing names nothing; to some services that means everything.
  if (objects.length === 0) return refusedBy(plan, 'owner', 'missing')
  if (objects.length > batchMax) return { ...batchTooLarge, evidence: { rule: plan.rule.at, most: batchMax } }
  if (plan.sameObject) {
    const other = otherObject(plan, exchange, body)
    if (other !== undefined) return refusedBy(plan, other, 'differs')
  }
  const open: OwnerFacts[] = []
  for (const requestBody of objects) {
    const facts = { ...state.facts, requestBody }
    const finding = owner.judge(facts)
    if (finding === unknown) open.push(facts)
    else if (finding !== true) return refusedFor(plan, finding)
  }
  if (open.length === 0) {
    state.settled |= 1 << plan.bit
    return undefined
  }
  if (plan.readsBody) {
    state.objects ??= new Map()
    state.objects.set(plan, open)
  }
  const lookup = plan.lookup ?? (exchange.method === 'HEAD' ? plan.headLookup : undefined)
  if (lookup === undefined) return undefined
  if (look === undefined) return refusedBy(plan, 'lookup', 'unreadable')
  if (open.length > lookupsMax) return { ...batchTooLarge, evidence: { rule: plan.rule.at, most: lookupsMax } }
  const verdict = inTurn(open, (facts) => judgeLooked(plan, exchange, lookup, facts, look))
  const settle = (late: Verdict): Verdict => {
    if (late === undefined) {
      state.looked |= 1 << plan.bit
      if (plan.answer !== 'shown') state.settled |= 1 << plan.bit
    }
    return late
  }
  return verdict instanceof Promise ? verdict.then(settle) : settle(verdict)
}

/**
 * A request about one object that names another one in its query or body (`PATCH /orders/5` with `{"id":6}`): which of the two
 * the upstream takes is not to be known, so it is neither. Tells which place it was.
 */
function otherObject(plan: Plan, exchange: Exchange, body: unknown): string | undefined {
  for (const name of plan.names) {
    const value = plan.lookup!.values.length === 0 ? undefined : exchange.pathValues[plan.names.indexOf(name)]
    if (value === undefined) continue
    const own = decodeURIComponent(value)
    const plain = plainName(name)
    const names = new Set(plain.length > 2 && plain.endsWith('id') ? [plain, 'id'] : [plain])
    const { query } = exchange.target
    // Older readers part pairs at semicolons, too (HTML 4.01, B.2.2).
    const pairs = query.includes(';')
      ? [...exchange.query(), ...parseQuery(query.replaceAll(';', '&'))]
      : exchange.query()
    for (const [key, said] of pairs) {
      if (names.has(plainName(key)) && said !== own) return `$request.query.${name}`
    }
    for (const object of Array.isArray(body) ? body : [body]) {
      if (!isObject(object)) continue
      for (const key of Object.keys(object)) {
        if (names.has(plainName(key)) && !isSame(object[key], own)) return `$request.body#/${name}`
      }
    }
  }
  return undefined
}

function judgeLooked(
  plan: Plan,
  exchange: Exchange,
  lookup: Lookup,
  facts: OwnerFacts,
  look: ReturnType<typeof createLooker>,
): Verdict | Promise<Verdict> {
  const looked = look(exchange, lookup, facts)
  if (looked === 'none') return refusedBy(plan, 'lookup', 'missing')
  return looked.then((found): Verdict => {
    if (found === 'none') return refusedBy(plan, 'lookup', 'not there', { lookup: lookup.operation.id })
    if ('kind' in found) {
      return { ...found, evidence: { rule: plan.rule.at, match: plan.rule.match.text, ...(found.evidence as object) } }
    }
    const list = listIn(found.json.value, [])
    const objects = list === undefined ? [found.json.value] : list.elements
    if (objects.length === 0) return refusedBy(plan, 'lookup', 'missing')
    for (const responseBody of objects) {
      const finding = plan.owner.judge({ ...facts, responseBody, responseHeaders: found.headers })
      if (finding !== true) return refusedFor(plan, finding)
    }
    const { etag } = found.headers
    // A weak tag never fits If-Match (RFC 9110, 13.1.1).
    if (lookup.ifMatch && etag?.startsWith('"') && exchange.headers['if-match'] === undefined) {
      exchange.setUpstreamHeader('If-Match', etag)
    }
    return undefined
  })
}

// The answer ---------------------------------------------------------------------------------------

/** What can be said before the body is there: by headers, and of answers that show no object or that nobody could look into. */
function judgeAnswerHead(plan: Plan, exchange: Exchange, state: State): Denial | undefined {
  if (plan.answer === 'shown') {
    return (state.looked & (1 << plan.bit)) === 0 ? refusedBy(plan, 'lookup', 'missing') : undefined
  }
  const { status, headers } = exchange.response!
  if (status < 200 || status > 299) return judgeFailure(plan, exchange)
  const isRead = exchange.method === 'GET' || exchange.method === 'HEAD'
  const isEmpty = status === 204 || status === 205 || headers['content-length'] === '0'
  // Nothing of an object leaves with an empty answer to a write; a read that shows nothing shows no owner.
  if (isEmpty && !isRead) return undefined
  const finding = findingOf(plan, exchange, state, unknown)
  if (finding === true) {
    state.settled |= 1 << plan.bit
    return undefined
  }
  if (finding !== unknown) return refusedFor(plan, finding)
  const type = headers['content-type']
  if (exchange.method === 'HEAD' || isEmpty || status === 206 || !isJson(type) || isStreamed(type!)) {
    return unreadable(plan, exchange)
  }
  return undefined
}

function unreadable({ rule }: Plan, { response }: Exchange): Denial {
  return { ...answerUnreadable, evidence: { rule: rule.at, match: rule.match.text, status: response!.status } }
}

/** An error shows no owner, and a redirect may lead to the object itself. */
function judgeFailure(plan: Plan, exchange: Exchange): Denial | undefined {
  const { status, headers } = exchange.response!
  const { rule, denied } = plan
  const evidence = { rule: rule.at, match: rule.match.text, status, because: 'not there' }
  if (status === 401 || (denied.status === 404 && (status === 403 || status === 404 || status === 410))) {
    return { ...denied, evidence }
  }
  if (status < 400) return unreadable(plan, exchange)
  if (rule.options.errors === 'pass') return undefined
  const retry = headers['retry-after']
  return {
    ...errorHidden,
    status,
    evidence: { ...evidence, because: 'status' },
    ...(retry === undefined ? {} : { headers: { 'retry-after': retry } }),
  }
}

/** Whether an answer, or an element of it, belongs to the caller of each object that the request was about. */
function findingOf(plan: Plan, exchange: Exchange, state: State, responseBody: unknown): Finding {
  const responseHeaders = exchange.response!.headers
  let finding: Finding = true
  for (const facts of state.objects?.get(plan) ?? [{ ...state.facts, requestBody: undefined }]) {
    const found = plan.owner.judge({ ...facts, responseBody, responseHeaders })
    if (found === unknown) finding = unknown
    else if (found !== true) return found
  }
  return finding
}

function judgeAnswer(plans: readonly Plan[], exchange: Exchange, { slot }: Context): Verdict {
  const state = exchange.get(slot)
  const response = exchange.response!
  // What is no success was judged by its head.
  if (response.status < 200 || response.status > 299) return undefined
  if (state === undefined) return refusedBy(plans[0]!, 'owner', 'unknown')
  const open = plans.filter(({ bit }) => !isSettled(state, bit))
  const body = response.body ?? noBytes
  const isRead = exchange.method === 'GET' || exchange.method === 'HEAD'
  if (open.length === 0 || (body.length === 0 && !isRead)) return undefined
  const type = response.headers['content-type']
  const json = isJson(type) ? readJson(body) : undefined
  let value = json?.value
  for (const plan of open) {
    // What was looked up may be answered in any form, but not in one that only looks like JSON.
    if (json === undefined && plan.answer === 'shown' && !isJson(type)) continue
    const judged = json === undefined ? unreadable(plan, exchange) : judgeBody(plan, exchange, state, value)
    if ('kind' in judged) {
      if (!isNoted(plan, exchange, state, judged)) return judged
    } else if (plan.enforced) value = judged.value
  }
  if (value === json?.value) return undefined
  // Written again it would hold other numbers than the upstream's.
  if (!json!.isExact) return unreadable(open[0]!, exchange)
  response.replaceBody(Buffer.from(JSON.stringify(value)))
  forgetValidators(response)
  return undefined
}

const noBytes = Buffer.alloc(0)

/** The body with nothing in it that is not the caller's, or the refusal. */
function judgeBody(plan: Plan, exchange: Exchange, state: State, value: unknown): Denial | { readonly value: unknown } {
  const { list: rule, recount, drop } = plan.rule.options
  // What was looked up before needs to show no owner; where it shows one, it must be the caller.
  const isTheirs = (object: unknown): Finding =>
    plan.answer === 'shown' && !showsOwner(plan, object) ? true : findingOf(plan, exchange, state, object)
  const list = listIn(value, plan.answerLists)
  if (list === undefined) {
    const finding = isTheirs(value)
    return finding === true ? { value } : refusedFor(plan, finding)
  }
  if (list.elements.length * (state.objects?.get(plan)?.length ?? 1) > judgementsMax) return unreadable(plan, exchange)
  const kept = list.elements.filter((element) => isTheirs(element) === true)
  const removed = list.elements.length - kept.length
  if (removed > 0) {
    const refusal = refusedBy(plan, 'list', 'differs', { removed, of: list.elements.length })
    if (rule === 'refuse') return refusal
    exchange.observe(refusal)
  }
  if (!plan.enforced) return { value }
  let told = removed > 0 ? withElements(value, list.tokens, kept) : value
  told = retold(told, exchange.response!, recount, kept.length)
  return { value: retold(told, exchange.response!, drop, undefined) }
}

function showsOwner({ owner }: Plan, object: unknown): boolean {
  return owner.responsePointers.some((tokens) => valueAt(object, tokens) !== undefined)
}

import { ConfigError } from '../base/errors.ts'
import { z } from '../config/language.ts'
import type { Exchange, Slot } from '../gate/exchange.ts'
import type { Guard, Host, Steps } from '../gate/guard.ts'
import type { UpstreamReply } from '../gate/upstream-reply.ts'
import { type Denial, denial, type FieldError, type Verdict } from '../gate/verdict.ts'
import { parseMediaType, type Reading, readingOf } from '../openapi/media-types.ts'
import type { MediaType, Operation, SchemaMarks } from '../openapi/operation.ts'
import type { RuleMatch } from '../traffic/passage.ts'
import { SealBroken, type Sealer } from '../vault/index.ts'
import {
  type Field,
  type FieldKeys,
  fieldKeys,
  fieldOf,
  isEnvelope,
  isMasked,
  masked,
  openField,
  sealField,
} from './protect/fields.ts'
import { readJson, writeJson } from './protect/json.ts'
import { type Lookups, lookupsOf } from './protect/lookups.ts'
import { fieldShape, markShape } from './protect/options.ts'
import { PathError, parsePath, type Step } from './protect/paths.ts'
import { boundOf, type Met, type Places, placesOf, removed, rewrite } from './protect/walk.ts'

const options = z
  .array(fieldShape)
  .max(200)
  .default([])
  .describe('Fields of JSON bodies that the upstream gets encrypted, or that not everyone gets to see.')

type Options = z.output<typeof options>

/**
 * Encrypts marked fields on the way to the upstream and opens them on the way back for those who may see them (T6). What the
 * other guards judge, in both directions, is the plaintext; it stays within the gate.
 */
export const protect: Guard<Options> = {
  name: 'protect',
  stage: 'shape',
  options,
  async setup(chosen, host) {
    // Whoever lists a field wants to hear at the start that there is no key for it.
    if (chosen.some(({ atRest }) => atRest !== undefined)) await host.vault()
    const keysOf = fieldKeys(host.api, host.vault)
    const named = chosen.map(({ field, ...rule }, index) => {
      const where = `apis.${host.api}.protect[${index}]`
      const steps = stepsOf(field, where)
      const name = rule.name ?? steps.findLast((step) => step.name !== undefined)?.name
      if (name === undefined) {
        throw new ConfigError('P1411', `${where}: ${field} ends in no name`, { hint: 'add `name:`' })
      }
      return { steps, field: fieldOf(rule, name, where, keysOf) }
    })
    const marked = markedFields(keysOf)
    const opened = host.slot<Opened>()
    return (operation) => {
      const plan = planOf(operation, named, marked)
      if (plan === undefined) return undefined
      for (const { sealer } of plan.keys) {
        // Asked for now so that it is there when the first request comes; that one asks again if it could not be had.
        const opening = sealer()
        if (opening instanceof Promise) opening.catch(() => {})
      }
      return stepsFor(operation, plan, host, opened)
    }
  },
}

function stepsOf(path: string, where: string): readonly Step[] {
  try {
    return parsePath(path)
  } catch (error) {
    if (!(error instanceof PathError)) throw error
    throw new ConfigError('P1411', `${where}: ${error.message}`, { hint: 'such as $..cardNumber or /items/*/note' })
  }
}

// What an operation has to do -----------------------------------------------------------------------

type NamedFields = Places['paths']
type MarkedField = (marks: SchemaMarks, name: string) => Field | undefined

/** The fields that schemas mark, each read once. */
function markedFields(keysOf: ReturnType<typeof fieldKeys>): MarkedField {
  const known = new WeakMap<SchemaMarks, Map<string, Field | undefined>>()
  return (marks, name) => {
    if (marks.marks.length === 0) return undefined
    let byName = known.get(marks)
    if (byName === undefined) {
      byName = new Map()
      known.set(marks, byName)
    }
    let field = byName.get(name)
    if (field === undefined && !byName.has(name)) {
      field = markedField(marks.marks, name, keysOf)
      byName.set(name, field)
    }
    return field
  }
}

function markedField(
  marks: SchemaMarks['marks'],
  name: string,
  keysOf: ReturnType<typeof fieldKeys>,
): Field | undefined {
  for (const { value, at } of marks) {
    if (value.protect === undefined) continue
    const where = `x-portcullis.protect at ${decodeURI(at.replace(/^file:[^#]*\//, ''))}`
    const read = markShape.safeParse(value.protect)
    if (!read.success) {
      const [issue] = read.error.issues
      throw new ConfigError('P1411', `${where}: ${[...issue!.path, issue!.message].join(': ')}`)
    }
    const called = read.data.name ?? name
    if (called === '' || called === '*') {
      throw new ConfigError('P1411', `${where}: the field has no name of its own here`, { hint: 'add `name:`' })
    }
    return fieldOf(read.data, called, where, keysOf)
  }
  return undefined
}

interface Plan {
  readonly request: Places
  readonly response: Places
  readonly lookups: Lookups | undefined
  readonly keys: readonly FieldKeys[]
  /** Whether request bodies of other forms than JSON may hold a field that is to be encrypted. */
  readonly refusesOtherBodies: boolean
  /** The names of properties and parameters whose values are nobody's business; `*`: all of them. */
  readonly names: ReadonlySet<string>
}

function planOf(operation: Operation, named: NamedFields, marked: MarkedField): Plan | undefined {
  const { marks } = operation.document
  const request = operation.requestBody?.content ?? []
  const response = Object.values(operation.responses).flatMap(({ content }) => content)
  const any = marks?.any === true
  const fields = new Set(named.map(({ field }) => field))
  const names = new Set(named.map(({ steps }) => steps.at(-1)!.name ?? '*'))
  const marksIn = (content: readonly MediaType[]) =>
    !any
      ? []
      : content.flatMap(({ schema, itemSchema }) =>
          [schema, itemSchema].flatMap((ref) => {
            if (ref === undefined) return []
            const root = marks!.of(ref)
            const found = root.reach.marked.filter(({ value }) => value.protect !== undefined)
            // Read now, so that a mistake stops the start and no request.
            for (const mark of found) {
              fields.add(marked(mark.node, mark.name)!)
              names.add(mark.name)
            }
            return found.length === 0 ? [] : [root]
          }),
        )
  const placed = placesOf(named)
  const requestPlaces: Places = { ...placed, marks: marksIn(request), fieldOf: marked }
  const responsePlaces: Places = { ...placed, marks: marksIn(response), fieldOf: marked }
  const lookups = lookupsOf(operation, [...fields], (schema) => (any ? marked(marks!.of(schema), '') : undefined))
  for (const { field, name } of lookups?.found ?? []) {
    fields.add(field)
    names.add(name)
  }
  if (fields.size === 0) return undefined
  const sealed = [...fields].filter(({ atRest }) => atRest !== undefined)
  return {
    request: requestPlaces,
    response: responsePlaces,
    lookups,
    names,
    keys: [...new Set(sealed.flatMap(({ keys }) => keys ?? []))],
    refusesOtherBodies: requestPlaces.marks.length > 0 || mayHold(operation, request, named),
  }
}

/** Whether a body of some other form than JSON may hold a field of the configuration. */
function mayHold({ document }: Operation, content: readonly MediaType[], named: NamedFields): boolean {
  const sealed = named.filter(({ field }) => field.atRest !== undefined)
  if (sealed.length === 0) return false
  return content.some(({ schema, itemSchema }) => {
    const ref = schema ?? itemSchema
    if (ref === undefined || document.marks === undefined) return true
    const { names } = document.marks.of(ref).reach
    return sealed.some(({ steps }) => {
      const last = steps.at(-1)!.name
      return last === undefined || names.has(last)
    })
  })
}

// Requests ------------------------------------------------------------------------------------------

const wrongForm = denial(
  415,
  'protect.media-type',
  'A field of this operation is encrypted, which is possible in JSON only: send application/json, or application/merge-patch+json.',
)
const unreadable = denial(
  400,
  'protect.unreadable-body',
  'The request body is not JSON that can be read in one way only.',
)
const badValue = denial(400, 'protect.value', 'The request holds a value that cannot stand in a protected field.')

interface Opened {
  readonly body: Buffer
  readonly value: unknown
  readonly envelopes: ReadonlyMap<string, string>
}

function stepsFor(operation: Operation, plan: Plan, host: Host, slot: Slot<Opened>): Steps {
  const seals = plan.keys.length > 0
  return {
    ...(seals ? { requestHead: headStep(operation, plan), sealRequest: sealStep(operation, plan) } : {}),
    ...(seals ? { readsRequestBody } : {}),
    responseHead: ({ response }) => {
      const reading = readingIn(response!.headers['content-type'])
      return reading === 'json-lines' || reading === 'json-seq' ? streamedAnswer : undefined
    },
    ...(seals ? { openResponse: openStep(operation, plan, host, slot) } : {}),
    sealResponse: concealStep(plan, slot),
    end: (exchange) => concealMatches(exchange, plan),
  }
}

function readsRequestBody({ headers }: Exchange): boolean {
  const type = headers['content-type']
  return type === undefined || readingIn(type) === 'json'
}

function headStep(operation: Operation, plan: Plan): NonNullable<Steps['requestHead']> {
  const other = new Set<Reading | undefined>(['json-lines', 'json-seq', 'form', 'multipart', 'xml'])
  return (exchange) => {
    if (plan.refusesOtherBodies) {
      const type = exchange.headers['content-type']
      // A JSON Patch names fields in values (RFC 6902): what it writes where cannot be told by its own form.
      if (other.has(readingIn(type)) || /^\s*application\/json-patch\+json/i.test(type ?? '')) return wrongForm
    }
    const { lookups } = plan
    if (lookups === undefined || !lookups.concern(exchange)) return undefined
    return withKeys(plan.keys, () => lookups.rewrite(exchange, operation))
  }
}

function sealStep(operation: Operation, plan: Plan): NonNullable<Steps['sealRequest']> {
  return (exchange) => {
    const body = exchange.requestBody!
    if (body.length === 0) return undefined
    const type = exchange.headers['content-type']
    // An upstream may well take what says nothing of itself for JSON.
    if (type === undefined) return plan.refusesOtherBodies ? wrongForm : undefined
    if (readingIn(type) !== 'json') return undefined
    const read = readJson(body)
    if (read === undefined) return unreadable
    return withKeys(plan.keys, () => {
      const errors: FieldError[] = []
      const refuse = (met: Met, detail: string) => {
        if (errors.length < errorsMax) errors.push({ pointer: met.pointer, in: 'body', detail })
        return met.value
      }
      const next = rewrite(read.value, plan.request, (met) => {
        const { field, value } = met
        // Null says "nothing", and takes the field out in a merge patch (RFC 7396): there is nothing to hide.
        if (value === null) return value
        if (isEnvelope(value)) return refuse(met, 'expected a value, got the encrypted form of one')
        if (field.masks && isMasked(value))
          return refuse(met, 'expected a value, got what stands in place of a hidden one')
        if (field.keys === undefined) return value
        const bound = boundOf(met, exchange, operation)
        if (bound === undefined) return refuse(met, `expected "${field.bind}" beside it or in the path`)
        return sealField(field, field.keys.sealer() as Sealer, value, bound)
      })
      if (errors.length > 0) return { ...badValue, errors, evidence: { errors: errors.slice(0, 10) } }
      if (next !== read.value) exchange.replaceRequestBody(writeJson(next))
      return undefined
    })
  }
}

const errorsMax = 50

/** Runs with all keys at hand: at once, but for the first moments of a load and a store that was down. */
function withKeys(keys: readonly FieldKeys[], run: () => Verdict | Promise<Verdict>): Verdict | Promise<Verdict> {
  let waiting: Promise<Sealer>[] | undefined
  for (const { sealer } of keys) {
    const one = sealer()
    if (!(one instanceof Promise)) continue
    waiting ??= []
    waiting.push(one)
  }
  return waiting === undefined ? run() : Promise.all(waiting).then(run)
}

function readingIn(contentType: string | undefined): Reading | undefined {
  if (contentType === undefined) return undefined
  if (contentType === 'application/json') return 'json'
  const type = parseMediaType(contentType)
  return type === undefined ? undefined : readingOf(type)
}

// Responses -----------------------------------------------------------------------------------------

const badAnswer = 'The upstream sent an answer whose protected fields cannot be told apart from the rest.'
const streamedAnswer = denial(502, 'protect.streamed-answer', badAnswer)
const unreadableAnswer = denial(502, 'protect.unreadable-answer', badAnswer)

/** What an answer holds that may hold fields; `undefined` for all other answers. */
function answerOf(response: UpstreamReply): { readonly value: unknown } | Denial | undefined {
  const body = response.body!
  if (body.length === 0) return undefined
  const type = response.headers['content-type']
  if (type === undefined) return readJson(body)
  if (readingIn(type) !== 'json') return undefined
  return readJson(body) ?? unreadableAnswer
}

function openStep(
  operation: Operation,
  plan: Plan,
  host: Host,
  slot: Slot<Opened>,
): NonNullable<Steps['openResponse']> {
  return (exchange) => {
    const response = exchange.response!
    const read = answerOf(response)
    if (read === undefined || 'kind' in read) return read
    return withKeys(plan.keys, () => open(read.value))

    function open(value: unknown): Verdict | Promise<Verdict> {
      const first = attempt(value)
      if (first.unknown.size === 0) return finish(first)
      // Another process may have made the key a moment ago: asked for once, and at most once a second.
      const refreshed = Promise.all([...first.unknown].map(async ({ sealer }) => (await sealer()).refresh()))
      return refreshed.then(() => finish(attempt(value)))
    }

    function attempt(value: unknown) {
      const unknown = new Set<FieldKeys>()
      const broken = new Map<string, { count: number; reason: string }>()
      const envelopes = new Map<string, string>()
      const take = ({ name }: Field, reason: string) => {
        const before = broken.get(name)
        broken.set(name, { count: (before?.count ?? 0) + 1, reason })
        return removed
      }
      const next = rewrite(value, plan.response, (met) => {
        const { field } = met
        if (met.value === null || field.keys === undefined) return met.value
        if (!isEnvelope(met.value)) return field.unsealed === 'show' ? met.value : take(field, 'unsealed')
        const bound = boundOf(met, exchange, operation)
        if (bound === undefined) return take(field, 'unbound')
        try {
          const plain = openField(field.keys.sealer() as Sealer, met.value, bound)
          if (field.showsEnvelope) envelopes.set(met.pointer, met.value)
          return plain
        } catch (error) {
          if (!(error instanceof SealBroken)) throw error
          if (error.reason === 'unknown-key') unknown.add(field.keys)
          return take(field, error.reason)
        }
      })
      return { value, next, unknown, broken, envelopes }
    }

    function finish({ value, next, broken, envelopes }: ReturnType<typeof attempt>): undefined {
      if (broken.size > 0) tellBroken(exchange, broken)
      if (next !== value) response.replaceBody(writeJson(next))
      exchange.set(slot, { body: response.body!, value: next, envelopes })
    }
  }

  function tellBroken(exchange: Exchange, broken: ReadonlyMap<string, { count: number; reason: string }>): void {
    for (const [field, { count, reason }] of broken) {
      host.tell({
        event: 'protect.unreadable',
        id: exchange.id,
        detail: { api: operation.api, operation: operation.id, field, reason, count },
      })
    }
  }
}

function concealStep({ response: places }: Plan, slot: Slot<Opened>): NonNullable<Steps['sealResponse']> {
  return (exchange) => {
    const response = exchange.response!
    const before = exchange.get(slot)
    const kept = before !== undefined && before.body === response.body ? before : undefined
    const read = kept ?? answerOf(response)
    if (read === undefined || 'kind' in read) return read
    const { principal } = exchange
    let met = false
    const next = rewrite(read.value, places, ({ field, value, pointer, around }) => {
      met = true
      const sight = field.sightOf(principal, () => isOwner(field, around, principal!.subject))
      if (sight === 'show') return value
      if (sight === 'remove') return removed
      if (sight === 'envelope') return before?.envelopes.get(pointer) ?? removed
      return value === null ? null : masked(value, sight)
    })
    if (next !== read.value) response.replaceBody(writeJson(next))
    if (met) keepFromSharedCaches(response)
    return undefined
  }
}

function isOwner({ owner }: Field, around: Met['around'], subject: string): boolean {
  for (let i = around.length - 1; i >= 0; i--) {
    if (!Object.hasOwn(around[i]!, owner!)) continue
    const value = around[i]![owner!]
    return (typeof value === 'string' || typeof value === 'number') && String(value) === subject
  }
  return false
}

/** An answer that depends on who asks is nobody else's (RFC 9111, 5.2.2.7). */
function keepFromSharedCaches(response: UpstreamReply): void {
  const said = response.headers['cache-control']
  if (said !== undefined && /\b(?:no-store|private)\b(?!=)/i.test(said)) return
  const flat = response.rawHeaders
  for (let i = flat.length - 2; i >= 0; i -= 2) if (flat[i]!.toLowerCase() === 'cache-control') flat.splice(i, 2)
  // Without a word of it a cache may keep an answer, too (RFC 9111, 4.2.2).
  const rest = (said ?? '').split(',').filter((word) => !/^\s*(?:public\b|private\b|s-maxage\b|$)/i.test(word))
  flat.push('cache-control', ['private', ...rest.map((word) => word.trim())].join(', '))
}

/** Rules that fitted tell what fitted them: not of a protected field, nor of a body that holds one. */
function concealMatches(exchange: Exchange, { names }: Plan): void {
  for (const [i, match] of exchange.matches.entries()) {
    if (match.data === undefined || !mayQuote(match.variable, names)) continue
    ;(exchange.matches as RuleMatch[])[i] = { ...match, data: undefined }
  }
}

/** `ARGS:json.notes.0` is of the field `notes`; `REQUEST_BODY` and `RESPONSE_BODY` are of everything. */
function mayQuote(variable: string, names: ReadonlySet<string>): boolean {
  const [collection, ...places] = variable.split(/[^\w-]+/)
  if (/BODY|ARGS_COMBINED|FULL_REQUEST|REQUEST_LINE|REQUEST_URI|QUERY_STRING|REQUEST_FILENAME/.test(collection!))
    return true
  if (!/^(?:ARGS|XML|JSON|RESPONSE)/.test(collection!)) return false
  return (
    names.has('*') || places.some((place) => names.has(place)) || [...names].some((name) => variable.includes(name))
  )
}

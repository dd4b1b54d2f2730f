import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import type * as Cedar from '@cedar-policy/cedar-wasm/nodejs'
import { ConfigError, ConfigErrors, messageOf, type Place } from '../../base/errors.ts'
import { Lru } from '../../base/lru.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Host } from '../../gate/guard.ts'
import type { Principal } from '../../gate/principal.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import type { Operation } from '../../openapi/operation.ts'
import type { RuleScope } from '../../rules/index.ts'
import { isOpen } from '../security.ts'
import {
  type CedarEntity,
  type CedarUid,
  contextParts,
  contextReader,
  type EntityTypes,
  keyReader,
  principalEntity,
  resourceEntity,
  Unreadable,
} from './cedar-request.ts'
import { type Uses, usesOf } from './cedar-uses.ts'
import type { Right } from './contract.ts'
import type { CedarOptions } from './options.ts'

/** One policy, with where it stands. */
export interface PlacedPolicy {
  /** Its `@id`, else `file.cedar:12`. */
  readonly id: string
  readonly text: string
  readonly json: Cedar.PolicyJson
  readonly place: Place
}

export interface CedarRights {
  /** What policies say of an operation; `undefined` where it is open to everyone. */
  readonly rightFor: (operation: Operation) => Right
}

/** Decisions kept for one API at most. */
const decisionsMax = 20_000
const policiesMax = 10_000
const policyBytesMax = 4 * 1024 * 1024

/** Names of parsed policy sets, which live in the engine until they are overwritten: used again once their load is over. */
const freeNames: string[] = []
let namesMade = 0

/** Reads, checks and compiles policies. Throws `ConfigErrors` with every place that is wrong. */
export async function openCedar(
  options: CedarOptions,
  host: Host,
  scope: RuleScope<Exchange>,
  timeZone: string,
): Promise<CedarRights> {
  // 12 MB of WebAssembly: for those who use it.
  const cedar = await import('@cedar-policy/cedar-wasm/nodejs')
  const policies = readPolicies(cedar, options.policies, host)
  const actionParents = options.schema === undefined ? new Map() : checkSchema(cedar, options.schema, policies, host)
  const entities = options.entities === undefined ? [] : readEntities(cedar, options.entities, host)
  const prefix = options.namespace === undefined ? '' : `${options.namespace}::`
  const types: EntityTypes = { of: (name) => prefix + name }
  const parts = contextParts(scope, timeZone)
  const decisions = new Lru<string, Decision>({ entriesMax: decisionsMax })
  const idOf = principalIds()
  let operationsSeen = 0
  let isChecked = false

  /** Mostly a slip of the pen, and nothing is permitted or forbidden by it. */
  function warnOfIdle(operations: readonly Operation[]): void {
    const actions = operations.map((operation) => actionEntity(operation, types, entities, actionParents))
    for (const { id, json } of policies) {
      if (actions.some((action) => fitsAction(json.action, action))) continue
      host.log.warn('A policy is about no operation of the document.', { api: host.api, policy: id })
    }
  }

  return {
    rightFor(operation) {
      if (!isChecked) warnOfIdle(operation.document.operations)
      isChecked = true
      const action = actionEntity(operation, types, entities, actionParents)
      const chosen = policies.filter(({ json }) => fitsAction(json.action, action))
      const uses = usesOf(
        chosen.map(({ json }) => json),
        entities.length === 0,
      )
      const contextOf = contextReader(uses, parts)
      const keyOf = options.cache ? keyReader(uses, parts) : undefined
      const number = operationsSeen++
      const set = parsePolicies(cedar, chosen, uses, host)
      const others = entities.filter(({ uid }) => !sameUid(uid, action.uid))
      const open = isOpen(operation)
      let last: Decision | undefined

      const ask = (exchange: Exchange, caller: Principal): Decision => {
        const context = contextOf(exchange)
        if (context instanceof Unreadable)
          return refusedBy({ rule: 'authorize.cedar', failed: `context.${context.word}`, because: 'unreadable' })
        const principal = merged(principalEntity(caller, types, uses), others)
        const resource = merged(resourceEntity(exchange, types, uses), others)
        const known = others.filter(({ uid }) => !sameUid(uid, principal.uid) && !sameUid(uid, resource.uid))
        // Every entity is read anew for every question: what says nothing stays out.
        const stated = [principal, ...(uses.resource ? [resource] : []), ...(uses.action ? [action] : []), ...known]
        const answer = cedar.statefulIsAuthorized({
          principal: principal.uid,
          action: action.uid,
          resource: resource.uid,
          context: context as Cedar.Context,
          preparsedPolicySetId: set,
          entities: stated.filter(saysSomething) as unknown as Cedar.Entities,
        })
        return decisionOf(answer)
      }
      const decide = (exchange: Exchange, caller: Principal): Decision => {
        if (keyOf === undefined) return ask(exchange, caller)
        const key = `${number} ${idOf(caller)} ${keyOf(exchange)}`
        let decision = decisions.get(key)
        if (decision === undefined) {
          decision = ask(exchange, caller)
          decisions.set(key, decision)
        }
        return decision
      }
      return {
        names: ['authorize.cedar'],
        readsBody: uses.context === undefined || uses.context.has('body'),
        observed: options.mode === 'observe',
        judge: (exchange, unknown) => {
          last = undefined
          // As with roles: what the document opens to unknown callers stays open.
          const { principal } = exchange
          if (principal === undefined) return open ? undefined : unknown
          last = decide(exchange, principal)
          return last.refusal
        },
        because: () => last?.names ?? [],
      }
    },
  }
}

interface Decision {
  /** The policies that decided. */
  readonly names: readonly string[]
  readonly refusal: Denial | undefined
}

function decisionOf(answer: Cedar.AuthorizationAnswer): Decision {
  if (answer.type === 'failure') {
    return refusedBy({ rule: 'authorize.cedar', failed: 'evaluation', errors: answer.errors.length })
  }
  const { decision, diagnostics } = answer.response
  const reasons = [...diagnostics.reason].sort()
  // Cedar leaves out a policy that it cannot evaluate; were it a `forbid`, that would open the door.
  if (diagnostics.errors.length > 0) {
    const broken = diagnostics.errors.map(({ policyId }) => policyId).sort()
    return refusedBy({ rule: 'authorize.cedar', failed: 'evaluation', policies: broken })
  }
  if (decision === 'allow') return { names: reasons.map((id) => `authorize.cedar ${id}`), refusal: undefined }
  return refusedBy({
    rule: 'authorize.cedar',
    failed: reasons.length === 0 ? 'no policy permits' : 'forbidden',
    policies: reasons,
  })
}

function refusedBy(evidence: Readonly<Record<string, unknown>>): Decision {
  const refusal = denial(403, 'authorize.policy', 'The policies for this operation do not permit this.', { evidence })
  return { names: [], refusal }
}

/** A principal is the same object as long as its credential says the same; its number stands for all that it says. */
function principalIds(): (principal: Principal) => number {
  const ids = new WeakMap<Principal, number>()
  let next = 1
  return (principal) => {
    let id = ids.get(principal)
    if (id === undefined) {
      id = next++
      ids.set(principal, id)
    }
    return id
  }
}

// Which policies are about an operation

/** `Action::"<operation id>"` in `Action::"tag:<tag>"`, and in what the schema or the entities put it into. */
function actionEntity(
  { id, tags }: Pick<Operation, 'id' | 'tags'>,
  types: EntityTypes,
  entities: readonly CedarEntity[],
  fromSchema: ReadonlyMap<string, readonly string[]>,
): CedarEntity {
  const type = types.of('Action')
  const found = new Map<string, CedarUid>()
  const open: CedarUid[] = [{ type, id }, ...tags.map((tag) => ({ type, id: `tag:${tag}` }))]
  for (let next = open.pop(); next !== undefined; next = open.pop()) {
    const { uid } = { uid: next }
    const key = `${uid.type}\0${uid.id}`
    if (found.has(key)) continue
    found.set(key, uid)
    const stated = entities.find((entity) => sameUid(entity.uid, uid))
    open.push(...(stated?.parents ?? []), ...(fromSchema.get(key) ?? []).map((parent) => uidOf(parent)))
  }
  const own = { type, id }
  const attrs = entities.find(({ uid }) => sameUid(uid, own))?.attrs ?? {}
  return { uid: own, attrs, parents: [...found.values()].filter((uid) => !sameUid(uid, own)) }
}

function uidOf(key: string): CedarUid {
  const at = key.indexOf('\0')
  return { type: key.slice(0, at), id: key.slice(at + 1) }
}

/** Whether a policy's action clause can fit an action. */
export function fitsAction(clause: Cedar.ActionConstraint, { uid, parents }: CedarEntity): boolean {
  if (clause.op === 'All') return true
  const named = (one: Cedar.EntityUidJson): CedarUid => ('__entity' in one ? one.__entity : one)
  // A slot belongs to a template, and templates are refused.
  if (clause.op === '==') return !('entity' in clause) || sameUid(named(clause.entity), uid)
  const listed = 'entities' in clause ? clause.entities : [clause.entity]
  return listed.some((one) => sameUid(named(one), uid) || parents.some((parent) => sameUid(parent, named(one))))
}

function sameUid(a: CedarUid, b: CedarUid): boolean {
  return a.id === b.id && a.type === b.type
}

/** What is stated of an entity beside what the request says of it. What the request says wins. */
function merged(entity: CedarEntity, stated: readonly CedarEntity[]): CedarEntity {
  const more = stated.find(({ uid }) => sameUid(uid, entity.uid))
  if (more === undefined) return entity
  return { uid: entity.uid, attrs: { ...more.attrs, ...entity.attrs }, parents: [...entity.parents, ...more.parents] }
}

function saysSomething({ attrs, parents }: CedarEntity): boolean {
  if (parents.length > 0) return true
  for (const _ in attrs) return true
  return false
}

/** Hands policies to the engine, without the action clauses that were answered when they were chosen. Gives their name there. */
function parsePolicies(cedar: typeof Cedar, policies: readonly PlacedPolicy[], { action }: Uses, host: Host): string {
  const name = freeNames.pop() ?? `portcullis-${namesMade++}`
  const short = (json: Cedar.PolicyJson): Cedar.PolicyJson => (action ? json : { ...json, action: { op: 'All' } })
  const staticPolicies = Object.fromEntries(policies.map(({ id, json }) => [id, short(json)]))
  const answer = cedar.preparsePolicySet(name, { staticPolicies })
  // Each of them was parsed before.
  if (answer.type === 'failure') throw new ConfigError('P1412', answer.errors.map(({ message }) => message).join('; '))
  host.onClose(() => {
    cedar.preparsePolicySet(name, { staticPolicies: {} })
    freeNames.push(name)
  })
  return name
}

// Reading

function readPolicies(cedar: typeof Cedar, path: string, host: Host): readonly PlacedPolicy[] {
  const wrong: ConfigError[] = []
  const found = new Map<string, PlacedPolicy>()
  for (const file of policyFiles(path)) {
    host.watch([file])
    const text = textOf(file)
    const parts = cedar.policySetTextToParts(text)
    if (parts.type === 'failure') {
      wrong.push(...parts.errors.map((error) => complaint(error, file, text, 0)))
      continue
    }
    for (const { policy, start } of placedIn(text, parts.policies)) {
      const place = placeIn(file, text, start, start + 1)
      const read = cedar.policyToJson(policy)
      if (read.type === 'failure') {
        wrong.push(...read.errors.map((error) => complaint(error, file, text, start)))
        continue
      }
      const id = read.json.annotations?.id ?? `${file.slice(file.lastIndexOf('/') + 1)}:${place.line}`
      const other = found.get(id)
      if (other !== undefined) {
        const message = `a policy with the id "${id}" stands in line ${other.place.line} of ${other.place.file} too`
        wrong.push(new ConfigError('P1412', message, { place }))
      }
      found.set(id, { id, text: policy, json: read.json, place })
    }
    if (parts.policy_templates.length > 0) {
      const start = Math.max(0, text.indexOf(parts.policy_templates[0]!))
      wrong.push(
        new ConfigError('P1412', 'a template has nobody who fills it in', {
          place: placeIn(file, text, start, start + 1),
          hint: 'write a policy without ?principal and ?resource',
        }),
      )
    }
  }
  if (found.size > policiesMax) wrong.push(new ConfigError('P1412', `${path}: more than ${policiesMax} policies`))
  if (wrong.length > 0) throw new ConfigErrors(wrong)
  return [...found.values()]
}

function policyFiles(path: string): readonly string[] {
  try {
    if (!statSync(path).isDirectory()) return [path]
    const files = readdirSync(path).filter((name) => name.endsWith('.cedar'))
    if (files.length > 0) return files.sort().map((name) => join(path, name))
  } catch (error) {
    throw new ConfigError('P1412', `authorize.cedar.policies: ${messageOf(error)}`, { cause: error })
  }
  throw new ConfigError('P1412', `authorize.cedar.policies: no file in ${path} ends with .cedar`)
}

function textOf(file: string): string {
  try {
    const text = readFileSync(file, 'utf8')
    if (text.length <= policyBytesMax) return text
  } catch (error) {
    throw new ConfigError('P1412', `authorize.cedar: ${messageOf(error)}`, { cause: error })
  }
  throw new ConfigError('P1412', `authorize.cedar: ${file} is larger than 4 MB`)
}

/**
 * Where policies stand in their file, in its order. The engine gives their texts as they are written, but sorted by names of
 * its own, "policy10" before "policy2".
 */
function placedIn(
  text: string,
  policies: readonly string[],
): readonly { readonly policy: string; readonly start: number }[] {
  const bare = withoutComments(text)
  // The same policy may stand there twice.
  const from = new Map<string, number>()
  const placed = policies.map((policy) => {
    const start = Math.max(0, bare.indexOf(withoutComments(policy), from.get(policy) ?? 0))
    from.set(policy, start + 1)
    return { policy, start }
  })
  return placed.sort((a, b) => a.start - b.start)
}

/** The same text with blanks in place of comments; a policy that is commented out is none. */
function withoutComments(text: string): string {
  return text.replace(/"(?:[^"\\]|\\.)*"|\/\/[^\n]*/g, (found) =>
    found.startsWith('"') ? found : ' '.repeat(found.length),
  )
}

/** Checks policies by their schema. Gives the groups that it puts actions into. */
function checkSchema(
  cedar: typeof Cedar,
  file: string,
  policies: readonly PlacedPolicy[],
  host: Host,
): ReadonlyMap<string, readonly string[]> {
  host.watch([file])
  const text = textOf(file)
  const isJson = file.endsWith('.json')
  const schema = isJson ? (jsonOf(file, text) as Cedar.SchemaJson<string>) : text
  const parsed = cedar.checkParseSchema(schema)
  if (parsed.type === 'failure') throw new ConfigErrors(parsed.errors.map((error) => complaint(error, file, text, 0)))
  const answer = cedar.validate({
    schema,
    policies: { staticPolicies: Object.fromEntries(policies.map(({ id, text: policy }) => [id, policy])) },
  })
  const wrong =
    answer.type === 'failure'
      ? answer.errors.map((error) => complaint(error, file, text, 0))
      : answer.validationErrors.map(({ policyId, error }) => {
          const { place } = policies.find(({ id }) => id === policyId)!
          const whole = textOf(place.file)
          return complaint(error, place.file, whole, offsetOf(whole, place))
        })
  if (wrong.length > 0) throw new ConfigErrors(wrong)
  if (answer.type === 'success') {
    for (const { policyId, error } of answer.validationWarnings) {
      host.log.warn('A policy is odd.', { api: host.api, policy: policyId, message: error.message })
    }
  }
  const json = isJson
    ? { type: 'success' as const, json: schema as Cedar.SchemaJson<string> }
    : cedar.schemaToJson(schema)
  return json.type === 'success' ? groupsOf(json.json) : new Map()
}

function groupsOf(schema: Cedar.SchemaJson<string>): ReadonlyMap<string, readonly string[]> {
  const groups = new Map<string, readonly string[]>()
  for (const [namespace, { actions }] of Object.entries(schema)) {
    const type = namespace === '' ? 'Action' : `${namespace}::Action`
    for (const [id, { memberOf }] of Object.entries(actions)) {
      groups.set(
        `${type}\0${id}`,
        (memberOf ?? []).map((parent) => `${parent.type ?? type}\0${parent.id}`),
      )
    }
  }
  return groups
}

function readEntities(cedar: typeof Cedar, file: string, host: Host): readonly CedarEntity[] {
  host.watch([file])
  const entities = jsonOf(file, textOf(file)) as Cedar.Entities
  const parsed = cedar.checkParseEntities({ entities })
  if (parsed.type === 'failure') {
    throw new ConfigError('P1412', `${file}: ${parsed.errors.map(({ message }) => message).join('; ')}`)
  }
  const plain = (uid: Cedar.EntityUidJson): CedarUid => ('__entity' in uid ? uid.__entity : uid)
  return entities.map(({ uid, attrs, parents }) => ({
    uid: plain(uid),
    attrs: attrs as CedarEntity['attrs'],
    parents: parents.map(plain),
  }))
}

function jsonOf(file: string, text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ConfigError('P1412', `${file}: ${messageOf(error)}`, { cause: error })
  }
}

/** What the engine says is wrong, at the place in the file. Its offsets count bytes. */
function complaint(error: Cedar.DetailedError, file: string, text: string, from: number): ConfigError {
  const label = error.sourceLocations?.[0]
  const deepest = label ?? error.related?.[0]?.sourceLocations?.[0]
  const rest = text.slice(from)
  const at = (bytes: number) => from + Buffer.from(rest).subarray(0, bytes).toString('utf8').length
  const place =
    deepest === undefined
      ? placeIn(file, text, from, from + 1)
      : placeIn(file, text, at(deepest.start), at(deepest.end))
  const hint = error.help ?? undefined
  const expected = label?.label === null || label?.label === undefined ? '' : `: ${label.label}`
  return new ConfigError('P1412', `${error.message}${expected}`, { place, ...(hint === undefined ? {} : { hint }) })
}

function placeIn(file: string, text: string, start: number, end: number): Place {
  const before = text.slice(0, start)
  const line = before.split('\n').length
  return { file, line, column: start - before.lastIndexOf('\n'), length: Math.max(1, end - start) }
}

function offsetOf(text: string, { line, column }: Place): number {
  let start = 0
  for (let i = 1; i < line; i++) start = text.indexOf('\n', start) + 1
  return start + column - 1
}

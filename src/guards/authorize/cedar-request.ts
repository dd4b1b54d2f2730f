import { localTime } from '../../base/local-time.ts'
import type { Exchange } from '../../gate/exchange.ts'
import type { Principal } from '../../gate/principal.ts'
import { type RuleScope, unreadable } from '../../rules/index.ts'
import { decoded, pathNamesOf } from '../rule-scope.ts'
import type { Uses } from './cedar-uses.ts'

/*
 * A request in the words of Cedar: principal, resource and context, made of what the policies of an operation look at and no
 * more. What is looked at also says whether, and under which key, a decision may be kept.
 */

/** A value as Cedar reads it from JSON. */
export type CedarValue = string | number | boolean | readonly CedarValue[] | { readonly [key: string]: CedarValue }

export interface CedarEntity {
  readonly uid: CedarUid
  readonly attrs: Readonly<Record<string, CedarValue>>
  readonly parents: readonly CedarUid[]
}

export interface CedarUid {
  readonly type: string
  readonly id: string
}

/** One word below `context`. */
interface ContextPart {
  /** `unreadable`: readers would differ on what it is, so that nothing can be decided by it. */
  readonly read: (exchange: Exchange) => CedarValue | undefined | typeof unreadable
  /** What a decision depends on besides the principal; `undefined`: it cannot be kept. */
  readonly key: ((exchange: Exchange) => string) | undefined
}

const depthMax = 8

/** Everything that policies can find under `context`. */
export function contextParts(scope: RuleScope<Exchange>, timeZone: string): ReadonlyMap<string, ContextPart> {
  const time = localTime(timeZone)
  const days = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun']
  const name = (text: string, exchange: Exchange) => scope.names.get(text)?.read(exchange)
  const flag = (text: string, exchange: Exchange) => name(text, exchange) === true
  const agentOf = ({ headers }: Exchange) => headers['user-agent'] ?? ''
  const bodyOf = scope.families.get('body')!
  return new Map<string, ContextPart>([
    ['ip', { read: ({ address }) => ({ __extn: { fn: 'ip', arg: address } }), key: ({ address }) => address }],
    ['method', { read: ({ method }) => method, key: ({ method }) => method }],
    // What a principal claims is the principal's, which is in every key.
    ['claims', { read: ({ principal }) => claimsOf(principal), key: () => '' }],
    ['path', { read: pathRecord, key: ({ pathValues }) => pathValues.join('/') }],
    ['query', { read: queryRecord, key: ({ target }) => target.query }],
    [
      'country',
      {
        read: (exchange) => cedarValue(name('country', exchange)),
        key: (exchange) => String(name('country', exchange) ?? ''),
      },
    ],
    [
      'device',
      {
        read: (exchange) => ({
          certificate: flag('device.certificate', exchange),
          bound: flag('device.bound', exchange),
          known: flag('device.known', exchange),
          session: flag('device.session', exchange),
          agent: agentOf(exchange),
        }),
        // The rest is the principal's.
        key: (exchange) => `${flag('device.certificate', exchange)} ${agentOf(exchange)}`,
      },
    ],
    // The next request comes at another time, with another body.
    ['now', { read: ({ receivedAt }) => Math.floor(receivedAt / 1000), key: undefined }],
    ['hour', { read: ({ receivedAt }) => time.hour(receivedAt), key: undefined }],
    ['weekday', { read: ({ receivedAt }) => days[time.weekday(receivedAt) - 1]!, key: undefined }],
    [
      'date',
      {
        read: ({ receivedAt }) => new Date(time.day(receivedAt) * 86_400_000).toISOString().slice(0, 10),
        key: undefined,
      },
    ],
    [
      'body',
      {
        read: (exchange) => {
          const body = bodyOf([]).read(exchange)
          return body === unreadable ? unreadable : cedarValue(body, {})
        },
        key: undefined,
      },
    ],
  ])
}

/** A word of the context that readers would differ on. */
export class Unreadable {
  readonly word: string
  constructor(word: string) {
    this.word = word
  }
}

/** The context of a request, as far as it is looked at. */
export function contextReader(
  { context, claims }: Uses,
  parts: ReadonlyMap<string, ContextPart>,
): (exchange: Exchange) => Readonly<Record<string, CedarValue>> | Unreadable {
  const some: ContextPart = { read: ({ principal }) => claimsOf(principal, claims), key: undefined }
  const chosen = [...parts]
    .filter(([name]) => context === undefined || context.has(name))
    .map(([name, part]) => [name, name === 'claims' ? some : part] as const)
  return (exchange) => {
    const record: Record<string, CedarValue> = {}
    for (const [name, { read }] of chosen) {
      const value = read(exchange)
      if (value === unreadable) return new Unreadable(name)
      if (value !== undefined) record[name] = value
    }
    return record
  }
}

/** What a decision is kept under, beside the principal and the operation; `undefined` where it must not be kept. */
export function keyReader(
  { context, resource }: Uses,
  parts: ReadonlyMap<string, ContextPart>,
): ((exchange: Exchange) => string) | undefined {
  if (context === undefined) return undefined
  const keys: ((exchange: Exchange) => string)[] = resource ? [({ pathValues }) => pathValues.join('/')] : []
  for (const name of context) {
    const part = parts.get(name)
    // A word that is never there says the same every time.
    if (part === undefined) continue
    if (part.key === undefined) return undefined
    keys.push(part.key)
  }
  const [only] = keys
  if (only === undefined) return () => ''
  if (keys.length === 1) return only
  return (exchange) => {
    let text = ''
    // No line of HTTP holds a zero byte, so that no two combinations of parts are the same.
    for (let i = 0; i < keys.length; i++) text += `${keys[i]!(exchange)}\0`
    return text
  }
}

export interface EntityTypes {
  /** `Shop::User` in a namespace. */
  readonly of: (name: string) => string
}

/** The caller: `User::"<subject>"` in its roles, scopes and application. */
export function principalEntity(
  { subject, via, kind, application, roles, scopes }: Principal,
  types: EntityTypes,
  uses: Uses,
): CedarEntity {
  const parents: CedarUid[] = []
  const join = (type: string, id: string) => {
    const uid = { type: types.of(type), id }
    if (uses.group(uid)) parents.push(uid)
  }
  for (const role of roles) join('Role', role)
  for (const scope of scopes) join('Scope', scope)
  if (application !== undefined) join('Application', application)
  const attrs: Record<string, CedarValue> = {}
  const say = (name: string, value: () => CedarValue | undefined) => {
    if (uses.principal !== undefined && !uses.principal.has(name)) return
    const said = value()
    if (said !== undefined) attrs[name] = said
  }
  say('sub', () => subject)
  say('via', () => via)
  say('kind', () => kind)
  say('roles', () => [...roles])
  say('scopes', () => [...scopes])
  say('application', () => application)
  return { uid: { type: types.of('User'), id: subject }, attrs, parents }
}

/** What is asked for: `Resource::"/orders/7"` with the parameters of its path as attributes, in `Api::"<name>"`. */
export function resourceEntity(exchange: Exchange, types: EntityTypes, uses: Uses): CedarEntity {
  const { operation } = exchange
  const attrs = pathRecord(exchange)
  const id = operation.path.replace(/\{([^{}]*)\}/g, (_, name: string) => String(attrs[name] ?? ''))
  const api = { type: types.of('Api'), id: operation.api }
  return { uid: { type: types.of('Resource'), id }, attrs, parents: uses.group(api) ? [api] : [] }
}

function claimsOf(principal: Principal | undefined, chosen?: ReadonlySet<string>): CedarValue {
  const claims = principal?.claims ?? {}
  if (chosen === undefined) return cedarValue(claims) ?? {}
  const record: Record<string, CedarValue> = {}
  for (const name of chosen) {
    const value = isPlain(name) && Object.hasOwn(claims, name) ? cedarValue(claims[name], undefined, 1) : undefined
    if (value !== undefined) record[name] = value
  }
  return record
}

function pathRecord({ operation, pathValues }: Exchange): Readonly<Record<string, string>> {
  const record: Record<string, string> = {}
  for (const [index, name] of pathNamesOf(operation).entries()) {
    const written = pathValues[index]
    // What is no UTF-8 stands there as it was written: it is not the same as anything that is.
    if (written !== undefined && isPlain(name)) record[name] = decoded(written) ?? written
  }
  return record
}

function queryRecord(exchange: Exchange): CedarValue | typeof unreadable {
  const record: Record<string, string> = {}
  for (const [name, value] of exchange.query()) {
    if (Object.hasOwn(record, name) || !isPlain(name)) return unreadable
    record[name] = value
  }
  return record
}

/** In Cedar's JSON `__entity` and `__extn` make a record something else: nobody from outside may write that. */
function isPlain(name: string): boolean {
  return !name.startsWith('__')
}

/** Beyond it Cedar has no decimal numbers. */
const decimalMax = 922_337_203_685_476

/**
 * Any data as Cedar has it: text, whole and decimal numbers, truth values, lists and records. A null is what `none` says,
 * as long as it says anything: a body that writes a null writes something.
 */
export function cedarValue(value: unknown, none?: CedarValue, depth = 0): CedarValue | undefined {
  if (typeof value === 'string' || typeof value === 'boolean') return value
  if (typeof value === 'number') {
    if (Number.isSafeInteger(value)) return value
    return Math.abs(value) < decimalMax ? { __extn: { fn: 'decimal', arg: value.toFixed(4) } } : String(value)
  }
  if (value === null) return none
  // Too deep or of a kind that JSON does not have: there, and no more can be said of it.
  if (typeof value !== 'object' || depth > depthMax) return value === undefined ? undefined : {}
  if (Array.isArray(value)) {
    return value.map((item) => cedarValue(item, none, depth + 1)).filter((item) => item !== undefined)
  }
  const record: Record<string, CedarValue> = {}
  for (const [name, item] of Object.entries(value)) {
    const read = isPlain(name) ? cedarValue(item, none, depth + 1) : undefined
    if (read !== undefined) record[name] = read
  }
  return record
}

import { messageOf } from '../base/errors.ts'
import { noRanges, parseIpRange, RangeSet } from '../base/ip.ts'
import { localTime } from '../base/local-time.ts'
import { object, z } from '../config/language.ts'
import type { Exchange } from '../gate/exchange.ts'
import { parseQuery } from '../http/query.ts'
import type { Operation } from '../openapi/operation.ts'
import { templateNames } from '../openapi/paths.ts'
import { compileRule, compileValue, type Name, RuleError, type RuleScope, unreadable } from '../rules/index.ts'

/*
 * What rules can ask of a request. The facts are the exchange itself, so that no object is made to ask.
 */

export interface RuleScopeOptions {
  /** Named address ranges: see `placesShape`. */
  readonly places?: Places | undefined
  /** For hour, time, weekday and date. Default: UTC. */
  readonly timeZone?: string | undefined
  /** Lower-case name of the header in which a trusted proxy says where the caller is. */
  readonly countryHeader?: string | undefined
}

export type Places = Readonly<Record<string, readonly string[]>>

/** The key `places` at the top of the configuration. */
export const placesShape = z
  .record(
    z.string().regex(/^[A-Za-z][\w-]{0,63}$/, 'begins with a letter and has letters, digits, - and _'),
    z
      .array(
        z.string().superRefine((text, context) => {
          try {
            parseIpRange(text)
          } catch (error) {
            context.addIssue({ code: 'custom', message: messageOf(error) })
          }
        }),
      )
      .min(1)
      .max(10_000),
  )
  .default({})
  .describe('Named address ranges for rules: `office: [203.0.113.0/24]` makes `ip in office` mean something.')

/** The part of the root that guards with rules read. */
export const rulesRoot = object({ places: placesShape })

/** All that a rule can ask of a request. One scope serves all operations. */
export function ruleScope(options: RuleScopeOptions = {}): RuleScope<Exchange> {
  const places = new Map(
    Object.entries(options.places ?? {}).map(([name, ranges]) => [
      name,
      new RangeSet(ranges.map((range) => parseIpRange(range))),
    ]),
  )
  return { names: namesOf(options), families, places, now: ({ receivedAt }) => receivedAt }
}

/** For reading rules where places and headers are not known yet: takes any name for a place. */
function anyPlace(): RuleScope<Exchange> {
  const places = { get: () => noRanges, keys: () => new Map<string, RangeSet>().keys() }
  return { ...ruleScope({ countryHeader: 'country' }), places }
}

/** A condition as an option: what is wrong with it is told when the configuration is read, with its place in the file. */
export const conditionText = (description: string) =>
  z
    .string()
    .min(1)
    .superRefine((text, context) => complain(context, () => compileRule(text, anyPlace())))
    .describe(description)

/** A value, or several joined by `+`, as an option. */
export const valueText = (description: string) =>
  z
    .string()
    .min(1)
    .superRefine((text, context) => complain(context, () => compileValue(text, anyPlace())))
    .describe(description)

function complain(
  context: { addIssue(issue: z.core.$ZodRawIssue<z.core.$ZodIssueCustom>): void },
  compile: () => unknown,
): void {
  try {
    compile()
  } catch (error) {
    if (!(error instanceof RuleError)) throw error
    const { message, offset, length, hint } = error
    context.addIssue({ code: 'custom', message, params: { offset, length, hint }, input: error.source })
  }
}

/** Whether an expression can only be asked once the request's body was read. */
export function readsBody(uses: Iterable<string>): boolean {
  for (const name of uses) if (name.startsWith('body.')) return true
  return false
}

/** Whether an expression asks about the caller, so that a credential may change what it says. */
export function readsCaller(uses: Iterable<string>): boolean {
  for (const name of uses) if (name.startsWith('claims.') || callerNames.has(name)) return true
  return false
}

const callerNames: ReadonlySet<string> = new Set([
  'subject',
  'scopes',
  'roles',
  'application',
  'via',
  'plan',
  'known',
  'device.bound',
  'device.known',
  'device.session',
])

function namesOf({ timeZone, countryHeader }: RuleScopeOptions): ReadonlyMap<string, Name<Exchange>> {
  const time = localTime(timeZone)
  const names: Record<string, Name<Exchange>> = {
    // Who
    known: { kind: 'truth', read: ({ principal }) => principal !== undefined },
    subject: { kind: 'text', read: ({ principal }) => principal?.subject },
    scopes: { kind: 'texts', read: ({ principal }) => principal?.scopes },
    roles: { kind: 'texts', read: ({ principal }) => principal?.roles },
    application: { kind: 'text', read: ({ principal }) => principal?.application },
    via: { kind: 'text', read: ({ principal }) => principal?.via },
    plan: { kind: 'text', read: (exchange) => textOf(claimOf(exchange, 'plan')) },
    // What
    'operation.id': { kind: 'text', read: ({ operation }) => operation.id },
    'operation.method': { kind: 'text', read: ({ method }) => method },
    'operation.path': { kind: 'text', read: ({ operation }) => operation.path },
    'operation.tags': { kind: 'texts', read: ({ operation }) => operation.tags },
    'operation.api': { kind: 'text', read: ({ operation }) => operation.api },
    'operation.version': { kind: 'text', read: ({ operation }) => operation.version },
    // Where
    ip: { kind: 'address', read: ({ address }) => address },
    encrypted: { kind: 'truth', read: ({ peer }) => peer.encrypted },
    // On what
    'device.certificate': { kind: 'truth', read: ({ peer }) => peer.certificate !== undefined },
    'device.fingerprint': { kind: 'text', read: ({ peer }) => peer.certificate?.fingerprint256 },
    'device.bound': { kind: 'truth', read: isBound },
    'device.known': { kind: 'truth', read: (exchange) => exchange.peer.certificate !== undefined || isBound(exchange) },
    'device.session': { kind: 'truth', read: ({ principal }) => principal?.kind === 'session' },
    'device.agent': { kind: 'text', read: ({ headers }) => headers['user-agent'] },
    // When
    hour: { kind: 'hour', read: ({ receivedAt }) => time.hour(receivedAt) },
    time: { kind: 'time', read: ({ receivedAt }) => time.minute(receivedAt) },
    weekday: { kind: 'weekday', read: ({ receivedAt }) => time.weekday(receivedAt) },
    date: { kind: 'date', read: ({ receivedAt }) => time.day(receivedAt) },
  }
  if (countryHeader !== undefined) {
    // Anybody can write a header: only what a trusted proxy passes on says where a caller is.
    const read = ({ peer, headers }: Exchange) => (peer.trusted ? textOf(headers[countryHeader]) : undefined)
    names.country = { kind: 'text', read }
  }
  return new Map(Object.entries(names))
}

/** A token that only serves whoever has a key besides (RFC 7800, RFC 8705, RFC 9449): the gate has seen the proof. */
function isBound(exchange: Exchange): boolean {
  const bound = claimOf(exchange, 'cnf')
  return typeof bound === 'object' && bound !== null
}

function textOf(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function claimOf({ principal }: Exchange, name: string): unknown {
  const claims = principal?.claims
  return claims !== undefined && Object.hasOwn(claims, name) ? claims[name] : undefined
}

const families: RuleScope<Exchange>['families'] = new Map<string, (path: readonly string[]) => Name<Exchange>>([
  ['claims', (path) => ({ kind: 'any', read: claimReader(path) })],
  ['path', (path) => ({ kind: 'text', read: pathReader(oneWord('path', path)) })],
  ['query', (path) => ({ kind: 'text', read: queryReader(oneWord('query', path)) })],
  ['header', (path) => ({ kind: 'text', read: headerReader(oneWord('header', path)) })],
  ['body', (path) => ({ kind: 'any', read: (exchange) => walk(bodyOf(exchange), path, 0) })],
])

function oneWord(family: string, path: readonly string[]): string {
  if (path.length === 1) return path[0]!
  throw new Error(`a name with a dot stands in brackets: ${family}['${path.join('.')}']`)
}

function claimReader(path: readonly string[]): (exchange: Exchange) => unknown {
  const [first, second] = path as [string, string | undefined]
  if (second !== undefined) return (exchange) => walk(claimOf(exchange, first), path, 1)
  // A key and a certificate have a subject too, though nothing that is called a claim.
  if (first === 'sub') return (exchange) => claimOf(exchange, first) ?? exchange.principal?.subject
  return (exchange) => claimOf(exchange, first)
}

function walk(value: unknown, path: readonly string[], from: number): unknown {
  let at = value
  for (let i = from; i < path.length; i++) {
    // Of which of its items would be the question.
    if (Array.isArray(at)) return unreadable
    if (typeof at !== 'object' || at === null || !Object.hasOwn(at, path[i]!)) return at === unreadable ? at : undefined
    at = (at as Readonly<Record<string, unknown>>)[path[i]!]
  }
  return at
}

const pathNames = new WeakMap<Operation, readonly string[]>()

/** The parameters of an operation's path, in order. */
export function pathNamesOf(operation: Operation): readonly string[] {
  let names = pathNames.get(operation)
  if (names === undefined) {
    names = templateNames(operation.path)
    pathNames.set(operation, names)
  }
  return names
}

function pathReader(name: string): (exchange: Exchange) => unknown {
  return ({ operation, pathValues }) => {
    const index = pathNamesOf(operation).indexOf(name)
    return index === -1 ? undefined : (decoded(pathValues[index]!) ?? unreadable)
  }
}

/** A path value as the upstream will read it; `undefined` where it is no UTF-8. */
export function decoded(value: string): string | undefined {
  if (!value.includes('%')) return value
  try {
    return decodeURIComponent(value)
  } catch {
    return undefined
  }
}

/** A parameter that stands there twice has no value that everybody would agree on. */
function queryReader(name: string): (exchange: Exchange) => unknown {
  return (exchange) => {
    const pairs = exchange.query()
    let found: string | undefined
    for (let i = 0; i < pairs.length; i++) {
      if (pairs[i]![0] !== name) continue
      if (found !== undefined) return unreadable
      found = pairs[i]![1]
    }
    return found
  }
}

/** A header that stands there twice: some upstreams take the first, others the last, others both with a comma between. */
function headerReader(written: string): (exchange: Exchange) => unknown {
  const name = written.toLowerCase()
  return ({ headers, rawHeaders }) => {
    const value = textOf(headers[name])
    if (value === undefined) return undefined
    let count = 0
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const other = rawHeaders[i]!
      if (other.length === name.length && other.toLowerCase() === name && ++count > 1) return unreadable
    }
    return value
  }
}

/** The body as data: JSON or a form. Of any other nobody can say what is not in it. */
function bodyOf(exchange: Exchange): unknown {
  const { requestBody, headers } = exchange
  if (requestBody === undefined || requestBody.length === 0) return undefined
  const type = headers['content-type'] ?? ''
  try {
    if (/^application\/(?:json|[\w.+-]+\+json)\s*(?:;|$)/i.test(type)) return exchange.json()
    if (/^application\/x-www-form-urlencoded\s*(?:;|$)/i.test(type)) return formOf(requestBody)
  } catch {
    return unreadable
  }
  return unreadable
}

function formOf(body: Buffer): Readonly<Record<string, unknown>> {
  const fields: Record<string, unknown> = Object.create(null)
  for (const [name, value] of parseQuery(body.toString('utf8'))) fields[name] = name in fields ? unreadable : value
  return fields
}

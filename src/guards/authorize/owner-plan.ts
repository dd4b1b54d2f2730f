import { ConfigError } from '../../base/errors.ts'
import type { Exchange } from '../../gate/exchange.ts'
import { type Denial, denial } from '../../gate/verdict.ts'
import type { Operation } from '../../openapi/operation.ts'
import { templateNames, templateShape } from '../../openapi/paths.ts'
import type { OwnerExpression } from './owner-expression.ts'
import { type Lookup, planLookup } from './owner-lookup.ts'
import type { LookupOptions, OwnerOptions } from './owner-options.ts'

/** A rule that says whose an object is. */
export interface OwnerRule {
  /** `authorize.rules[2]`: how the log and messages call it. */
  readonly at: string
  readonly match: { readonly text: string; readonly selects: (operation: Operation) => boolean }
  /** Who need not own what they ask for. Never throws. */
  readonly unless: ((exchange: Exchange) => boolean) | undefined
  readonly mode: 'enforce' | 'observe'
  readonly options: OwnerOptions
}

/** What one rule does at one operation. */
export interface Plan {
  readonly rule: OwnerRule
  readonly owner: OwnerExpression
  /** Its place among the operation's plans. */
  readonly bit: number
  readonly enforced: boolean
  readonly names: readonly string[]
  readonly readsBody: boolean
  /** Reads the object before the request goes on; for HEAD only, where `headOnly`. */
  readonly lookup: Lookup | undefined
  readonly headLookup: Lookup | undefined
  /** The request is about the very object that is looked up, so that a body may not name another one. */
  readonly sameObject: boolean
  /**
   * How the answer is judged: `whole`, it must show that it is the caller's; `shown`, it was looked up, and only what shows
   * an owner is looked at; `none`, something else has decided.
   */
  readonly answer: 'whole' | 'shown' | 'none'
  readonly requestLists: readonly (readonly string[])[]
  readonly answerLists: readonly (readonly string[])[]
  readonly denied: Denial
}

/** Methods that change nothing (RFC 9110, 9.2.1). */
const reading = new Set(['GET', 'HEAD', 'OPTIONS', 'QUERY', 'TRACE'])

const notFound = denial(404, 'authorize.not-found', 'There is no such object, or it is not yours.')
const notOwner = denial(403, 'authorize.not-owner', 'This object is not yours.')

/** Works out at load what a rule does at an operation. Throws `ConfigError` where it could not protect it. */
export function planOf(rule: OwnerRule, operation: Operation, bit: number): Plan {
  const { options } = rule
  const { owner } = options
  const names = templateNames(operation.path)
  const seesAnswer = owner.sides.has('response')
  const found = seesAnswer ? lookupOf(rule, operation, names) : { lookup: undefined, answer: 'none' as const }
  const { lookup, answer } = found
  const lists = (side: string) =>
    (options.each ?? []).filter((one) => one.side === side).map(({ tokens }) => tokens ?? [])
  const sameObject = lookup !== undefined && isSamePlace(lookup.operation, operation)
  return {
    rule,
    owner,
    bit,
    enforced: rule.mode === 'enforce',
    names,
    lookup,
    answer,
    sameObject,
    readsBody:
      owner.sides.has('requestBody') ||
      (lookup?.values.some((value) => 'source' in value && value.source.side === 'requestBody') ?? false),
    headLookup: answer === 'whole' ? headLookupOf(operation, names, lookup) : undefined,
    requestLists: lists('requestBody'),
    answerLists: answer === 'none' ? [] : answerListsOf(operation, owner, lists('response')),
    denied: options.deny === 404 ? notFound : notOwner,
  }
}

const noWords: LookupOptions = { operation: '', with: {}, headers: [], timeout: 2_000, ifMatch: false }

type Found = Pick<Plan, 'lookup' | 'answer'>

function lookupOf(rule: OwnerRule, operation: Operation, names: readonly string[]): Found {
  const said = rule.options.lookup
  const isRead = reading.has(operation.method)
  const label = `${operation.method} ${operation.path}`
  if (said?.operation === 'none') return { lookup: undefined, answer: 'whole' }
  if (said === undefined) {
    if (isRead || isCreation(operation, undefined)) return { lookup: undefined, answer: 'whole' }
    const by = readerAt(operation)
    if (by === undefined) {
      throw new ConfigError(
        'P1410',
        `${rule.at}: whose object ${label} changes is known from an answer only, and there is no GET at this path to ask before`,
        { hint: 'add `lookup: <operationId>`; or `lookup: none` where the answer to the write itself tells in time' },
      )
    }
    return { lookup: planLookup(by, operation, names, noWords), answer: 'shown' }
  }
  const by = operation.document.operations.find(({ id }) => id === said.operation)
  if (by === undefined) {
    throw new ConfigError('P1410', `${rule.at}.lookup: the document has no operation "${said.operation}"`)
  }
  if (by.method !== 'GET') {
    throw new ConfigError('P1410', `${rule.at}.lookup: ${by.method} ${by.path} does not only read; a look-up is a GET`)
  }
  if (by.id === operation.id) return { lookup: undefined, answer: 'whole' }
  const lookup = planLookup(by, operation, names, said)
  if (lookup !== undefined) {
    return { lookup, answer: !isRead && isSamePlace(by, operation) ? 'shown' : 'none' }
  }
  if (isRead || isCreation(operation, by)) return { lookup: undefined, answer: 'whole' }
  throw new ConfigError(
    'P1410',
    `${rule.at}.lookup: ${label} does not say which object is meant: its path lacks a parameter of ${by.path}`,
    {
      hint: 'say where it comes from, `lookup: { operation: …, with: { id: "$request.body#/id" } }`, or match fewer operations',
    },
  )
}

/** POST to where the objects are listed: there is none yet that could be somebody else's. */
function isCreation({ method, path }: Operation, by: Operation | undefined): boolean {
  if (method !== 'POST') return false
  if (by === undefined) return templateNames(path).length === 0
  return templateShape(by.path).startsWith(`${templateShape(path)}/`)
}

function readerAt(operation: Operation): Operation | undefined {
  return operation.document.operations.find((one) => one.method === 'GET' && isSamePlace(one, operation))
}

function isSamePlace(a: Operation, b: Operation): boolean {
  return templateShape(a.path) === templateShape(b.path)
}

/** The answer to HEAD has no body, but its headers tell of the object: the gate asks for it with GET first. */
function headLookupOf(operation: Operation, names: readonly string[], lookup: Lookup | undefined): Lookup | undefined {
  if (lookup !== undefined) return lookup
  const by = operation.method === 'GET' ? operation : operation.method === 'HEAD' ? readerAt(operation) : undefined
  return by === undefined ? undefined : planLookup(by, operation, names, noWords)
}

/**
 * Where the list stands in an answer: as the rule says, unless the document says that the object itself is what is
 * answered; else the one list of the answer whose elements have what the rule looks at.
 */
function answerListsOf(
  operation: Operation,
  { responsePointers }: OwnerExpression,
  said: readonly (readonly string[])[],
): readonly (readonly string[])[] {
  const keys = new Set(responsePointers.map(([key]) => key).filter((key) => key !== undefined))
  const tops = Object.entries(operation.responses)
    .filter(([status]) => status.startsWith('2'))
    .flatMap(([, { content }]) => content)
    .filter(({ type, schema }) => schema !== undefined && /json/.test(type))
    .map(({ schema }) => operation.document.validator(schema!, 'response').outline)
  const found: (readonly string[])[] = []
  for (const outline of tops) {
    if (outline === undefined) continue
    const hasKey = (properties: ReadonlyMap<string, unknown>) => [...keys].some((key) => properties.has(key))
    // An order with lines is an order, although it holds a list.
    if (hasKey(outline.properties)) return []
    const lists = [...outline.properties].filter(([, schema]) => {
      const items = operation.document.validator(schema, 'response').outline?.items
      const inner = items === undefined ? undefined : operation.document.validator(items, 'response').outline
      return inner !== undefined && hasKey(inner.properties)
    })
    if (lists.length === 1) found.push([lists[0]![0]])
  }
  return said.length > 0 ? said : found
}

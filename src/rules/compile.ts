import { messageOf } from '../base/errors.ts'
import { parseIpRange, RangeSet } from '../base/ip.ts'
import { nearest } from '../base/suggest.ts'
import { constantOf, formOf, isCyclic, isOrdered } from './constants.ts'
import { globTest } from './glob.ts'
import {
  type CallNode,
  type CompareNode,
  type CompareOp,
  type JoinNode,
  type ListNode,
  type Literal,
  type Node,
  parseCondition,
  parseValues,
  type RangeNode,
  type TwoSidedNode,
} from './parser.ts'
import { type Kind, type RuleScope, unreadable } from './scope.ts'
import { type Compiled, type Context, compileRead, namesIn, type Read, wrong } from './values.ts'

/** `undefined`: it cannot be told, because a value is not there or is of another kind than it is compared with. */
type Test<F> = (facts: F) => boolean | undefined

/** Why a rule does not hold. Names only, no value of the request. */
export interface Failure {
  /** The attribute that failed: `hour`; several where the condition is about several. */
  readonly failed: string
  /** The condition as the rule has it: `hour in 8..17`. */
  readonly test: string
  /** Whether it failed for want of a value rather than by the value. */
  readonly missing: boolean
  /** What would mend it, where that can be said of one claim: for step-up. */
  readonly wants: Wants | undefined
}

/** What a condition asks of one claim, as far as a new sign-in could give it. */
export type Wants =
  | { readonly kind: 'one-of'; readonly name: string; readonly values: readonly string[] }
  | { readonly kind: 'younger-than'; readonly name: string; readonly ms: number }

/** A condition, ready to be asked. */
export interface Rule<F> {
  /** `true`, or what kept it from being true. Never true for want of a value. */
  (facts: F): true | Failure
  readonly source: string
  /** The names that it reads: `claims.acr`, `hour`. */
  readonly uses: ReadonlySet<string>
  /** Three answers: `undefined` means that it cannot be told. */
  readonly judge: (facts: F) => boolean | undefined
  /** Of the parts that are joined by && at the top, all that are not true. */
  readonly failures: (facts: F) => readonly Failure[]
}

/** A value of a request, ready to be read. */
export interface Value<F> {
  /** `undefined` where it, or a part of it, is not there or is neither text nor number. */
  (facts: F): string | number | undefined
  readonly source: string
  readonly uses: ReadonlySet<string>
}

/**
 * Compiles a condition over facts that a scope can read. Throws `RuleError` where it cannot be meant. Asking it makes no
 * object as long as it holds.
 */
export function compileRule<F>(source: string, scope: RuleScope<F>): Rule<F> {
  const context: Context<F> = { source, scope, uses: new Set() }
  const node = parseCondition(source)
  const { test, explain } = compileTest(node, context)
  const failures = (facts: F) => {
    const found: Failure[] = []
    explain(facts, found)
    return found
  }
  // For the case that facts change between two looks at them.
  const unsteady = constantFailure(node, context).differs
  const rule = (facts: F) => (test(facts) === true ? true : (failures(facts)[0] ?? unsteady))
  return Object.assign(rule, { source, uses: context.uses, judge: test, failures })
}

/** Compiles a value, or several joined by `+` so that no two combinations of parts give the same. Throws `RuleError`. */
export function compileValue<F>(source: string, scope: RuleScope<F>): Value<F> {
  const context: Context<F> = { source, scope, uses: new Set() }
  const reads = parseValues(source).map((node) => {
    const { kind, read } = compileRead(node, context)
    if (kind === 'texts') throw wrong(context, 'a set of words is no single value', node)
    return read
  })
  const [only] = reads
  const value = reads.length === 1 ? (facts: F) => single(only!(facts)) : (facts: F) => joined(reads, facts)
  return Object.assign(value, { source, uses: context.uses })
}

function single(value: unknown): string | number | undefined {
  if (typeof value === 'string' || typeof value === 'number') return value
  return typeof value === 'boolean' ? String(value) : undefined
}

function joined<F>(reads: readonly Read<F>[], facts: F): string | undefined {
  let text = ''
  for (let i = 0; i < reads.length; i++) {
    const part = single(reads[i]!(facts))
    if (part === undefined) return undefined
    // With its length before it, so that "a" and "bc" is not "ab" and "c".
    const word = String(part)
    text += `${word.length}:${word}`
  }
  return text
}

interface CompiledTest<F> {
  readonly test: Test<F>
  /** Adds what is not true; nothing where all is. */
  readonly explain: (facts: F, found: Failure[]) => void
}

function compileTest<F>(node: Node, context: Context<F>): CompiledTest<F> {
  switch (node.kind) {
    case 'and':
      return allOf(node.parts.map((part) => compileTest(part, context)))
    case 'or':
      return anyOf(node, context)
    case 'not': {
      const { test } = compileTest(node.of, context)
      return leaf(node, context, (facts) => {
        const said = test(facts)
        return said === undefined ? undefined : !said
      })
    }
    case 'compare':
      return comparison(node, context)
    case 'in':
      return leaf(node, context, membership(node, context), wantsOf(node))
    case 'matches':
      return leaf(node, context, matching(node, context))
    case 'call':
      if (node.name === 'has' || node.name === 'overlaps') {
        return leaf(node, context, (node.name === 'has' ? presence : overlap)(node, context))
      }
      break
    default:
  }
  return leaf(node, context, truth(node, context))
}

/** Kleene's logic: what cannot be told stays so unless the other side decides. */
function allOf<F>(parts: readonly CompiledTest<F>[]): CompiledTest<F> {
  const tests = parts.map(({ test }) => test)
  const explain = (facts: F, found: Failure[]) => {
    for (const part of parts) part.explain(facts, found)
  }
  if (tests.length === 2) {
    const [a, b] = tests as [Test<F>, Test<F>]
    return {
      explain,
      test: (facts) => {
        const first = a(facts)
        if (first === false) return false
        const second = b(facts)
        return second === false ? false : first === undefined || second === undefined ? undefined : true
      },
    }
  }
  return {
    explain,
    test: (facts) => {
      let said: boolean | undefined = true
      for (let i = 0; i < tests.length; i++) {
        const one = tests[i]!(facts)
        if (one === false) return false
        if (one === undefined) said = undefined
      }
      return said
    },
  }
}

function anyOf<F>(node: JoinNode, context: Context<F>): CompiledTest<F> {
  const parts = node.parts.map((part) => compileTest(part, context))
  const tests = parts.map(({ test }) => test)
  const source = textOf(node, context)
  const test = (facts: F) => {
    let said: boolean | undefined = false
    for (let i = 0; i < tests.length; i++) {
      const one = tests[i]!(facts)
      if (one === true) return true
      if (one === undefined) said = undefined
    }
    return said
  }
  return {
    test,
    explain: (facts, found) => {
      if (test(facts) === true) return
      const firsts = parts.flatMap((part) => {
        const below: Failure[] = []
        part.explain(facts, below)
        return below.slice(0, 1)
      })
      const failed = [...new Set(firsts.map((one) => one.failed))].join(' or ')
      found.push({ failed, test: source, missing: firsts.every(({ missing }) => missing), wants: undefined })
    },
  }
}

function leaf<F>(node: Node, context: Context<F>, test: Test<F>, wants?: Wants): CompiledTest<F> {
  const { differs, missing } = constantFailure(node, context, wants)
  return {
    test,
    explain: (facts, found) => {
      const said = test(facts)
      if (said !== true) found.push(said === undefined ? missing : differs)
    },
  }
}

function constantFailure(
  node: Node,
  context: { readonly source: string; readonly uses: ReadonlySet<string> },
  wants?: Wants,
): { differs: Failure; missing: Failure } {
  const failed = [...new Set(namesIn(node))].filter((name) => context.uses.has(name)).join(', ')
  const differs: Failure = { failed, test: textOf(node, context), missing: false, wants }
  return { differs, missing: { ...differs, missing: true } }
}

function textOf(node: Node, { source }: { readonly source: string }): string {
  return source.slice(node.start, node.end)
}

function truth<F>(node: Node, context: Context<F>): Test<F> {
  const { kind, read, constant } = compileRead(node, context)
  if (kind !== 'truth' && kind !== 'any') {
    const name = textOf(node, context)
    const hint = `${name} == …, ${name} in [ … ] or has(${name})`
    throw wrong(context, `${kindText(kind)} is no condition by itself`, node, constant === undefined ? hint : undefined)
  }
  return (facts) => {
    const value = read(facts)
    return typeof value === 'boolean' ? value : undefined
  }
}

function presence<F>({ name, args, ...node }: CallNode, context: Context<F>): Test<F> {
  const [of] = args
  if (args.length !== 1 || of!.kind !== 'name') throw wrong(context, `${name}() takes one name`, { ...node })
  const { read } = compileRead(of!, context)
  return (facts) => {
    const value = read(facts)
    // Whether a null is something or nothing depends on who reads it.
    return value === undefined ? false : value === null || value === unreadable ? undefined : true
  }
}

// Comparisons

function comparison<F>(node: CompareNode, context: Context<F>): CompiledTest<F> {
  const left = compileRead(node.left, context)
  const right = compileRead(node.right, context)
  if (left.constant !== undefined && right.constant !== undefined) {
    throw wrong(context, 'two constants are compared: this is always the same', node)
  }
  if (left.kind === 'texts' || right.kind === 'texts') {
    throw wrong(context, 'a set of words is not compared as a whole', node, "ask for one of them: 'word' in NAME")
  }
  const kind = commonKind(left, right)
  if (kind === undefined) {
    const [known, other] = right.constant === undefined ? [right, left] : [left, right]
    const at = right.constant === undefined ? node.left : node.right
    throw wrong(
      context,
      `${kindText(left.kind)} is compared with ${kindText(right.kind)}`,
      at,
      other.constant === undefined ? undefined : `expected ${formOf(known.kind)}`,
    )
  }
  const isOrdering = node.op !== '==' && node.op !== '!='
  if (isOrdering && !(isOrdered(kind) || kind === 'any')) {
    throw wrong(context, `${kindText(kind)} has no order: ${node.op} cannot be asked of it`, node)
  }
  const test =
    left.constant !== undefined
      ? withConstant(mirrored[node.op], right.read, left.constant, kind)
      : right.constant !== undefined
        ? withConstant(node.op, left.read, right.constant, kind)
        : ofTwo(node.op, left.read, right.read)
  if (test === undefined) {
    const at = right.constant === undefined ? node.left : node.right
    throw wrong(context, `${context.source.slice(at.start, at.end)} does not fit`, at, `expected ${formOf(kind)}`)
  }
  return leaf(node, context, test, ageWants(node, left, right) ?? wantsOf(node))
}

const mirrored: Readonly<Record<CompareOp, CompareOp>> = {
  '==': '==',
  '!=': '!=',
  '<': '>',
  '<=': '>=',
  '>': '<',
  '>=': '<=',
}

/** The kind both sides can have; `undefined`: none. */
function commonKind<F>(left: Compiled<F>, right: Compiled<F>): Kind | undefined {
  if (left.kind === right.kind) return left.kind
  if (left.kind === 'any') return right.kind
  if (right.kind === 'any') return left.kind
  // A constant takes the form of what it is compared with, if it can: checked where it is read.
  if (left.constant !== undefined)
    return constantOf(right.kind, left.constant.value, left.constant.isDuration) === undefined ? undefined : right.kind
  if (right.constant !== undefined)
    return constantOf(left.kind, right.constant.value, right.constant.isDuration) === undefined ? undefined : left.kind
  const both = new Set<Kind>([left.kind, right.kind])
  return both.has('text') && both.has('address') ? 'text' : undefined
}

function withConstant<F>(
  op: CompareOp,
  read: Read<F>,
  { value: written, isDuration }: { readonly value: string | number | boolean; readonly isDuration: boolean },
  kind: Kind,
): Test<F> | undefined {
  const constant = constantOf(kind, written, isDuration)
  if (constant === undefined) return undefined
  const type = typeof constant
  switch (op) {
    case '==':
      return (facts) => {
        const value = read(facts)
        return typeof value === type ? value === constant : undefined
      }
    case '!=':
      return (facts) => {
        const value = read(facts)
        return typeof value === type ? value !== constant : undefined
      }
    default:
      break
  }
  if (type !== 'number') return undefined
  const limit = constant as number
  switch (op) {
    case '<':
      return (facts) => {
        const value = read(facts)
        return typeof value === 'number' ? value < limit : undefined
      }
    case '<=':
      return (facts) => {
        const value = read(facts)
        return typeof value === 'number' ? value <= limit : undefined
      }
    case '>':
      return (facts) => {
        const value = read(facts)
        return typeof value === 'number' ? value > limit : undefined
      }
    case '>=':
      return (facts) => {
        const value = read(facts)
        return typeof value === 'number' ? value >= limit : undefined
      }
  }
}

function ofTwo<F>(op: CompareOp, left: Read<F>, right: Read<F>): Test<F> {
  if (op === '==' || op === '!=') {
    const wanted = op === '=='
    return (facts) => {
      const a = left(facts)
      const b = right(facts)
      // Objects and lists are not compared; two absent values are not the same one.
      if (typeof a !== typeof b || !isPlain(a)) return undefined
      return (a === b) === wanted
    }
  }
  return (facts) => {
    const a = left(facts)
    const b = right(facts)
    if (typeof a !== 'number' || typeof b !== 'number') return undefined
    return op === '<' ? a < b : op === '<=' ? a <= b : op === '>' ? a > b : a >= b
  }
}

function matching<F>(node: TwoSidedNode, context: Context<F>): Test<F> {
  const { kind, read } = compileRead(node.left, context)
  if (kind !== 'text' && kind !== 'any') throw wrong(context, `${kindText(kind)} is no text to match`, node.left)
  const { right } = node
  if (right.kind !== 'literal' || typeof right.value !== 'string') {
    throw wrong(context, "expected a pattern in quotes, such as 'invoices/*'", right)
  }
  const fits = globTest(right.value)
  return (facts) => {
    const value = read(facts)
    return typeof value === 'string' ? fits(value) : undefined
  }
}

// Membership

function membership<F>(node: TwoSidedNode, context: Context<F>): Test<F> {
  const { right } = node
  if (right.kind === 'list') return inList(node, right, context)
  if (right.kind === 'range') return inRange(node, right, context)
  const left = compileRead(node.left, context)
  if (left.kind === 'address') return inPlace(left.read, right, context)
  const { kind, read } = compileRead(right, context)
  if (kind !== 'texts' && kind !== 'any') {
    throw wrong(
      context,
      `${kindText(kind)} holds nothing`,
      right,
      'to the right of "in" stands a list, a range, a place or a set of words',
    )
  }
  if (left.kind === 'texts')
    throw wrong(context, 'a set of words is in nothing as a whole', node.left, 'use overlaps(a, b)')
  if (kind === 'texts' && left.kind !== 'text' && left.kind !== 'any') {
    throw wrong(context, `${kindText(left.kind)} is looked for in a set of words`, node.left)
  }
  if (left.constant !== undefined) {
    const { value } = left.constant
    return (facts) => holds(read(facts), value)
  }
  const item = left.read
  return (facts) => {
    const value = item(facts)
    // An object is equal to no other, which is no reason to say that it is not in the list.
    return isPlain(value) ? holds(read(facts), value) : undefined
  }
}

function isPlain(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean'
}

/** Whether a set or a list holds a value; `undefined` where it is neither. */
function holds(held: unknown, value: unknown): boolean | undefined {
  if (held instanceof Set) return typeof value === 'string' ? held.has(value) : undefined
  if (!Array.isArray(held)) return undefined
  for (let i = 0; i < held.length; i++) if (held[i] === value) return true
  return false
}

function inList<F>(node: TwoSidedNode, list: ListNode, context: Context<F>): Test<F> {
  const left = compileRead(node.left, context)
  if (left.constant !== undefined) throw wrong(context, 'a constant in a list of constants is always the same', node)
  if (left.kind === 'texts')
    throw wrong(context, 'a set of words is in no list as a whole', node.left, 'use overlaps(a, [ … ])')
  if (list.items.length === 0) throw wrong(context, 'nothing is in an empty list', list)
  const { read } = left
  if (left.kind === 'address') {
    const ranges = new RangeSet(list.items.map((item) => rangeOf(item, context)))
    return (facts) => {
      const value = read(facts)
      return typeof value === 'string' ? ranges.has(value) : undefined
    }
  }
  const values = list.items.map((item) => constantAs(left.kind, item, context))
  const type = typeof values[0]
  const odd = values.findIndex((value) => typeof value !== type)
  if (odd !== -1) throw wrong(context, 'a list holds values of one kind', list.items[odd]!)
  if (values.length <= 4) {
    const [a, b = a, c = a, d = a] = values
    return (facts) => {
      const value = read(facts)
      return typeof value === type ? value === a || value === b || value === c || value === d : undefined
    }
  }
  const set = new Set<unknown>(values)
  return (facts) => {
    const value = read(facts)
    return typeof value === type ? set.has(value) : undefined
  }
}

function inRange<F>(node: TwoSidedNode, range: RangeNode, context: Context<F>): Test<F> {
  const { kind, read, constant } = compileRead(node.left, context)
  if (constant !== undefined) throw wrong(context, 'a constant in a range is always the same', node)
  if (!isOrdered(kind) && kind !== 'any')
    throw wrong(context, `${kindText(kind)} has no order: it is in no range`, node.left)
  const from = constantAs(kind, range.from, context)
  const to = constantAs(kind, range.to, context)
  if (typeof from !== 'number' || typeof to !== 'number')
    throw wrong(context, 'a range goes from number to number', range)
  if (from > to) {
    if (!isCyclic(kind)) throw wrong(context, 'this range ends before it begins', range)
    return (facts) => {
      const value = read(facts)
      return typeof value === 'number' ? value >= from || value <= to : undefined
    }
  }
  return (facts) => {
    const value = read(facts)
    return typeof value === 'number' ? value >= from && value <= to : undefined
  }
}

function inPlace<F>(read: Read<F>, right: Node, context: Context<F>): Test<F> {
  const name = right.kind === 'name' ? right.path.join('.') : undefined
  const ranges = name === undefined ? undefined : context.scope.places.get(name)
  if (ranges === undefined) {
    const places = [...context.scope.places.keys()]
    const meant = name === undefined ? undefined : nearest(name, places)
    const known =
      places.length === 0
        ? 'name ranges at the top: `places: { office: [203.0.113.0/24] }`'
        : `known: ${places.join(', ')}`
    const message = name === undefined ? 'expected a place or a list of address ranges' : `there is no place "${name}"`
    throw wrong(context, message, right, meant === undefined ? known : `did you mean "${meant}"?`)
  }
  return (facts) => {
    const value = read(facts)
    return typeof value === 'string' ? ranges.has(value) : undefined
  }
}

function overlap<F>({ args, ...node }: CallNode, context: Context<F>): Test<F> {
  const [a, b] = args
  if (args.length !== 2) throw wrong(context, 'overlaps() takes two: a set of words and another or a list', { ...node })
  const left = compileRead(a!, context)
  if (left.kind !== 'texts' && left.kind !== 'any')
    throw wrong(context, `${kindText(left.kind)} is no set of words`, a!)
  if (b!.kind === 'list') {
    const words = b!.items.map((item) => constantAs('text', item, context))
    return (facts) => anyHeld(left.read(facts), words)
  }
  const right = compileRead(b!, context)
  if (right.kind !== 'texts' && right.kind !== 'any')
    throw wrong(context, `${kindText(right.kind)} is no set of words`, b!)
  return (facts) => {
    const words = right.read(facts)
    return words instanceof Set || Array.isArray(words) ? anyHeld(left.read(facts), words) : undefined
  }
}

function anyHeld(held: unknown, words: Iterable<unknown>): boolean | undefined {
  if (!(held instanceof Set) && !Array.isArray(held)) return undefined
  for (const word of words) if (typeof word === 'string' && holds(held, word) === true) return true
  return false
}

function rangeOf<F>(item: Literal, context: Context<F>) {
  try {
    if (typeof item.value !== 'string') throw new Error('an address range stands in quotes')
    return parseIpRange(item.value)
  } catch (error) {
    throw wrong(context, messageOf(error), item)
  }
}

function constantAs<F>(kind: Kind, item: Literal, context: Context<F>): string | number | boolean {
  const value = constantOf(kind, item.value, item.isDuration)
  if (value !== undefined) return value
  throw wrong(context, `${context.source.slice(item.start, item.end)} does not fit`, item, `expected ${formOf(kind)}`)
}

// What a new sign-in could give

function wantsOf(node: Node): Wants | undefined {
  if (node.kind === 'in' && node.left.kind === 'name' && node.right.kind === 'list') {
    const values = node.right.items.map(({ value }) => value).filter((value) => typeof value === 'string')
    return { kind: 'one-of', name: node.left.path.join('.'), values }
  }
  if (node.kind !== 'compare' || node.op !== '==') return undefined
  const [name, value] = node.left.kind === 'name' ? [node.left, node.right] : [node.right, node.left]
  if (name.kind !== 'name' || value.kind !== 'literal' || typeof value.value !== 'string') return undefined
  return { kind: 'one-of', name: name.path.join('.'), values: [value.value] }
}

function ageWants<F>({ op }: CompareNode, left: Compiled<F>, right: Compiled<F>): Wants | undefined {
  const isBound = op === '<' || op === '<='
  if (!isBound || left.ageOf === undefined || typeof right.constant?.value !== 'number') return undefined
  return { kind: 'younger-than', name: left.ageOf, ms: right.constant.value }
}

const kindTexts: Readonly<Record<Kind, string>> = {
  text: 'text',
  number: 'a number',
  truth: 'true or false',
  texts: 'a set of words',
  any: 'a value',
  address: 'an address',
  hour: 'an hour',
  time: 'a time of day',
  weekday: 'a day of the week',
  date: 'a date',
  duration: 'a length of time',
}

function kindText(kind: Kind): string {
  return kindTexts[kind]
}

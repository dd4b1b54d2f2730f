import { nearest } from '../base/suggest.ts'
import type { Span } from './lexer.ts'
import type { CallNode, NameNode, Node } from './parser.ts'
import { RuleError } from './rule-error.ts'
import type { Kind, RuleScope } from './scope.ts'

export type Read<F> = (facts: F) => unknown

/** A value of an expression, ready to be read. */
export interface Compiled<F> {
  readonly kind: Kind
  readonly read: Read<F>
  /** Set for constants. */
  readonly constant?: { readonly value: string | number | boolean; readonly isDuration: boolean }
  /** The times function: for those who want to know what a comparison asks for. */
  readonly ageOf?: string
}

/** What compiling an expression knows of it. */
export interface Context<F> {
  readonly source: string
  readonly scope: RuleScope<F>
  /** Names that were used, to be filled. */
  readonly uses: Set<string>
}

/** A clock that is ahead of ours by less is no sign of anything wrong. */
const skewMs = 60_000

export function compileRead<F>(node: Node, context: Context<F>): Compiled<F> {
  switch (node.kind) {
    case 'literal': {
      const { value, isDuration } = node
      const kind = isDuration
        ? 'duration'
        : typeof value === 'string'
          ? 'text'
          : typeof value === 'number'
            ? 'number'
            : 'truth'
      return { kind, read: () => value, constant: { value, isDuration } }
    }
    case 'name':
      return nameValue(node, context)
    case 'call':
      return callValue(node, context)
    case 'list':
      throw wrong(context, 'a list stands to the right of "in" only', node)
    case 'range':
      throw wrong(context, 'a range stands to the right of "in" only', node)
    default:
      throw wrong(context, 'expected a value, found a condition', node)
  }
}

function nameValue<F>(node: NameNode, context: Context<F>): Compiled<F> {
  const { scope, uses } = context
  const [first, ...rest] = node.path as [string, ...string[]]
  const whole = node.path.join('.')
  const name = scope.names.get(whole)
  if (name !== undefined) {
    uses.add(whole)
    return name
  }
  const family = scope.families.get(first)
  if (family !== undefined) {
    if (rest.length === 0) throw wrong(context, `"${first}" needs a name behind it: ${first}.NAME`, node)
    try {
      const found = family(rest)
      uses.add(whole)
      return found
    } catch (error) {
      throw wrong(context, (error as Error).message, node)
    }
  }
  const known = [...scope.names.keys(), ...scope.families.keys()]
  const meant = nearest(whole, known) ?? nearest(first, known)
  const text = node.path.length === 1 ? `; text stands in quotes: '${first}'` : ''
  throw wrong(
    context,
    `there is nothing called "${whole}"`,
    node,
    meant === undefined ? `known: ${known.join(', ')}${text}` : `did you mean "${meant}"?`,
  )
}

/** The functions of the language that give values: what they take, and what they make of it. */
const functions: Readonly<Record<string, <F>(arg: Compiled<F>, context: Context<F>, at: CallNode) => Compiled<F>>> = {
  age: ageFunction,
  lower: (arg, context, at) => {
    if (arg.kind !== 'text' && arg.kind !== 'any') throw wrong(context, 'lower() takes a text', at.args[0]!)
    const { read } = arg
    return {
      kind: 'text',
      read: (facts) => {
        const value = read(facts)
        return typeof value === 'string' ? value.toLowerCase() : undefined
      },
    }
  },
  number: (arg, context, at) => {
    if (arg.kind !== 'text' && arg.kind !== 'any') throw wrong(context, 'number() takes a text', at.args[0]!)
    const { read } = arg
    return { kind: 'number', read: (facts) => numberOf(read(facts)) }
  },
}

function callValue<F>(node: CallNode, context: Context<F>): Compiled<F> {
  const make = Object.hasOwn(functions, node.name) ? functions[node.name] : undefined
  if (make === undefined) {
    if (node.name === 'has' || node.name === 'overlaps')
      throw wrong(context, `${node.name}() is a condition, not a value`, node)
    const meant = nearest(node.name, functionNames)
    const hint = meant === undefined ? `known: ${functionNames.join(', ')}` : `did you mean "${meant}"?`
    throw wrong(context, `there is no function "${node.name}"`, node, hint)
  }
  if (node.args.length !== 1) throw wrong(context, `${node.name}() takes one value`, node)
  return make(compileRead(node.args[0]!, context), context, node)
}

export const functionNames: readonly string[] = [...Object.keys(functions), 'has', 'overlaps']

/** How long ago a moment was that is written in seconds since 1970, as in tokens (RFC 7519, 2: NumericDate). */
function ageFunction<F>(arg: Compiled<F>, context: Context<F>, at: CallNode): Compiled<F> {
  if (arg.kind !== 'any' && arg.kind !== 'number') {
    throw wrong(context, 'age() takes a moment in seconds since 1970, such as claims.auth_time', at.args[0]!)
  }
  const { read } = arg
  const { now } = context.scope
  const of = at.args[0]!
  return {
    kind: 'duration',
    ...(of.kind === 'name' ? { ageOf: of.path.join('.') } : {}),
    read: (facts) => {
      const seconds = read(facts)
      if (typeof seconds !== 'number') return undefined
      const ms = now(facts) - seconds * 1000
      // A moment that is yet to come tells nothing of the past.
      return ms >= 0 ? ms : ms >= -skewMs ? 0 : undefined
    },
  }
}

function numberOf(value: unknown): number | undefined {
  if (typeof value === 'number') return value
  return typeof value === 'string' && /^-?\d{1,15}(?:\.\d{1,15})?$/.test(value) ? Number(value) : undefined
}

export function wrong(context: { readonly source: string }, message: string, at: Span, hint?: string): RuleError {
  return new RuleError(message, context.source, at, hint)
}

/** The names below a node, in the order in which they stand. */
export function namesIn(node: Node): readonly string[] {
  switch (node.kind) {
    case 'name':
      return [node.path.join('.')]
    case 'call':
      return node.args.flatMap(namesIn)
    case 'not':
      return namesIn(node.of)
    case 'and':
    case 'or':
      return node.parts.flatMap(namesIn)
    case 'compare':
    case 'in':
    case 'matches':
      return [...namesIn(node.left), ...namesIn(node.right)]
    default:
      return []
  }
}

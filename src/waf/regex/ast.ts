import { allBytes, type ByteSet, byteSet, foldSet, isEmptySet } from './bytes.ts'

/**
 * A pattern as a tree over bytes. Case, dot, classes and escapes are resolved: what consumes a byte is a set of bytes.
 * Trees are never changed; parts may be shared.
 */
export type Node = Empty | SetNode | Concat | Alternate | Repeat | Group | Assertion

/** Matches the empty string. */
export interface Empty {
  readonly kind: 'empty'
}

/** Matches one byte out of a set; never, where the set is empty. */
export interface SetNode {
  readonly kind: 'set'
  readonly set: ByteSet
}

/** One part after the other; two at least. */
export interface Concat {
  readonly kind: 'concat'
  readonly parts: readonly Node[]
}

/** The first choice that leads to a match; two at least. */
export interface Alternate {
  readonly kind: 'alternate'
  readonly choices: readonly Node[]
}

export interface Repeat {
  readonly kind: 'repeat'
  readonly body: Node
  readonly min: number
  /** `Infinity` where there is no end. */
  readonly max: number
  /** Whether more is tried before less. */
  readonly greedy: boolean
}

/** Parentheses; what they matched is told where they have a number. Groups that do not capture leave no node. */
export interface Group {
  readonly kind: 'group'
  readonly body: Node
  /** From 1. Two groups have the same number only in `(?|…)`. */
  readonly capture: number
}

/** A condition on the place, consuming nothing. */
export interface Assertion {
  readonly kind: 'assertion'
  readonly at: Place
}

/**
 * Where an assertion holds: at the start (`\A`, `^`), at the end (`\z`, `$`), at the end or before a last newline
 * (`\Z`), at the start or behind a newline that is not the last byte (`^` after `(?m)`), at the end or before a newline
 * (`$` after `(?m)`), between a word byte and another or an end of the text (`\b`), or anywhere else (`\B`).
 */
export type Place = 'start' | 'end' | 'end-or-last-newline' | 'line-start' | 'line-end' | 'boundary' | 'no-boundary'

export const empty: Empty = { kind: 'empty' }
/** Matches nothing at all. */
export const never: SetNode = { kind: 'set', set: new Uint32Array(8) }
export const anyByte: SetNode = { kind: 'set', set: allBytes }

/** One node for each byte, and for each pair of letters: most of a pattern is made of these. */
const byteNodes: SetNode[] = Array.from({ length: 256 }, (_, byte) => ({
  kind: 'set',
  set: byteSet(String.fromCharCode(byte)),
}))
const foldedNodes: SetNode[] = byteNodes.map((node) => {
  const set = foldSet(node.set)
  return set === node.set ? node : { kind: 'set', set }
})

export function byteNode(byte: number, ignoreCase = false): SetNode {
  return (ignoreCase ? foldedNodes : byteNodes)[byte]!
}

export function setNode(set: ByteSet): SetNode {
  return { kind: 'set', set }
}

export function isNever(node: Node): boolean {
  return node.kind === 'set' && isEmptySet(node.set)
}

/** A sequence, flat; just the part where there is only one. */
export function concat(parts: readonly Node[]): Node {
  if (parts.length === 1) return parts[0]!
  const flat: Node[] = []
  for (const part of parts) {
    if (part.kind === 'concat') for (const inner of part.parts) flat.push(inner)
    else if (part.kind !== 'empty') flat.push(part)
  }
  return flat.length === 0 ? empty : flat.length === 1 ? flat[0]! : { kind: 'concat', parts: flat }
}

/** Choices in order, flat; just the choice where there is only one. */
export function alternate(choices: readonly Node[]): Node {
  if (choices.length === 0) return never
  if (choices.length === 1) return choices[0]!
  const flat: Node[] = []
  for (const choice of choices) {
    if (choice.kind === 'alternate') for (const inner of choice.choices) flat.push(inner)
    else flat.push(choice)
  }
  return { kind: 'alternate', choices: flat }
}

export function repeat(body: Node, min: number, max: number, greedy = true): Node {
  if (max === 0 || body.kind === 'empty') return empty
  if (min === 1 && max === 1) return body
  return { kind: 'repeat', body, min, max, greedy }
}

export function group(body: Node, capture: number): Node {
  return { kind: 'group', body, capture }
}

export function assertion(at: Place): Assertion {
  return { kind: 'assertion', at }
}

/** Whether a node can match without consuming a byte, its assertions holding. */
export function isNullable(node: Node): boolean {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return true
    case 'set':
      return false
    case 'concat':
      return node.parts.every(isNullable)
    case 'alternate':
      return node.choices.some(isNullable)
    case 'repeat':
      return node.min === 0 || isNullable(node.body)
    case 'group':
      return isNullable(node.body)
  }
}

import { alternate, concat, empty, isNever, isNullable, type Node, never, type Place, repeat, setNode } from './ast.ts'
import { allBytes, type ByteSet, intersectionOf, isEmptySet, isSubset, sameSet, unionOf } from './bytes.ts'

/**
 * A smaller tree for the same language: groups gone, choices of single bytes joined to one set, what can never match
 * dropped. Which of several matches is preferred is lost, so it serves yes or no only.
 */
export function simplify(node: Node): Node {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return node
    case 'set':
      return isEmptySet(node.set) ? never : node
    case 'group':
      return simplify(node.body)
    case 'concat': {
      const parts = node.parts.map(simplify)
      return parts.some(isNever) ? never : concat(parts)
    }
    case 'alternate':
      return choice(node.choices.map(simplify))
    case 'repeat': {
      const body = simplify(node.body)
      if (isNever(body)) return node.min === 0 ? empty : never
      return repeated(body, node.min, node.max)
    }
  }
}

/** Any of several simple nodes. */
function choice(choices: readonly Node[]): Node {
  let set: ByteSet | undefined
  const others: Node[] = []
  const add = (node: Node): void => {
    if (node.kind === 'alternate') node.choices.forEach(add)
    else if (node.kind === 'set') set = set === undefined ? node.set : unionOf(set, node.set)
    else if (!others.includes(node)) others.push(node)
  }
  choices.forEach(add)
  if (set !== undefined && !isEmptySet(set)) others.push(setNode(set))
  if (others.length === 2 && others.includes(empty)) {
    const other = others.find((node) => node !== empty)!
    return isNullable(other) && !hasAssertion(other) ? other : repeat(other, 0, 1)
  }
  return alternate(others)
}

/** `(x*)*` and its like are one repeat. */
function repeated(body: Node, min: number, max: number): Node {
  if (body.kind === 'repeat') {
    const inner = body
    // {a,b}{c,d} is {ac,bd} where no count between is left out: any number of an inner repeat that may be once or none.
    if (inner.min <= 1 && inner.max === Number.POSITIVE_INFINITY) return repeat(inner.body, min * inner.min, inner.max)
    if (inner.min <= 1 && max === Number.POSITIVE_INFINITY && min <= 1) return repeat(inner.body, min * inner.min, max)
  }
  return repeat(body, min, max)
}

export function hasAssertion(node: Node): boolean {
  switch (node.kind) {
    case 'assertion':
      return true
    case 'concat':
      return node.parts.some(hasAssertion)
    case 'alternate':
      return node.choices.some(hasAssertion)
    case 'repeat':
    case 'group':
      return hasAssertion(node.body)
    default:
      return false
  }
}

/**
 * A smaller tree that is found in the same texts, not at the same places: optional parts at either end are left out,
 * and repeats there are as short as they may be. `\s*fo+` is found where `fo` is.
 */
export function trim(node: Node): Node {
  return trimEnd(trimStart(simplify(node)))
}

function trimStart(node: Node): Node {
  return trimSide(node, trimStart, (parts) => {
    let first = 0
    while (first < parts.length) {
      // Any bytes from the start on: anywhere.
      if (isPlace(parts[first]!, 'start') && isAnything(parts[first + 1])) first++
      const part = trimStart(parts[first]!)
      if (part.kind !== 'empty') return [part, ...parts.slice(first + 1)]
      first++
    }
    return []
  })
}

function trimEnd(node: Node): Node {
  return trimSide(node, trimEnd, (parts) => {
    let last = parts.length - 1
    while (last >= 0) {
      if (isPlace(parts[last]!, 'end') && isAnything(parts[last - 1])) last--
      const part = trimEnd(parts[last]!)
      if (part.kind !== 'empty') return [...parts.slice(0, last), part]
      last--
    }
    return []
  })
}

function isPlace(node: Node, at: Place): boolean {
  return node.kind === 'assertion' && node.at === at
}

function isAnything(node: Node | undefined): boolean {
  if (node?.kind !== 'repeat' || node.min !== 0 || node.max !== Number.POSITIVE_INFINITY) return false
  return node.body.kind === 'set' && sameSet(node.body.set, allBytes)
}

function trimSide(node: Node, trimNode: (node: Node) => Node, trimParts: (parts: readonly Node[]) => Node[]): Node {
  switch (node.kind) {
    case 'concat':
      return concat(trimParts(node.parts))
    case 'alternate': {
      const choices = node.choices.map(trimNode)
      return choices.some((part) => part.kind === 'empty') ? empty : choice(choices)
    }
    case 'repeat':
      if (node.min === 0) return empty
      return node.min === 1 ? trimNode(node.body) : repeat(node.body, node.min, node.min)
    default:
      return node
  }
}

/**
 * The pattern as it is on texts of certain bytes only: what needs another byte is cut off. Matches the same of those
 * texts. `'impossible'` where nothing is left: no text of these bytes can match.
 */
export function intersect(node: Node, alphabet: ByteSet): Node | 'impossible' {
  const restricted = restrict(node, alphabet)
  return isNever(restricted) ? 'impossible' : restricted
}

function restrict(node: Node, alphabet: ByteSet): Node {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return node
    case 'group':
      return restrict(node.body, alphabet)
    case 'set': {
      if (alphabet === allBytes || isSubset(node.set, alphabet)) return isEmptySet(node.set) ? never : node
      const set = intersectionOf(node.set, alphabet)
      return isEmptySet(set) ? never : setNode(set)
    }
    case 'concat': {
      const parts: Node[] = []
      for (const part of node.parts) {
        const left = restrict(part, alphabet)
        if (isNever(left)) return never
        parts.push(left)
      }
      return concat(parts)
    }
    case 'alternate':
      return choice(node.choices.map((part) => restrict(part, alphabet)))
    case 'repeat': {
      const body = restrict(node.body, alphabet)
      if (isNever(body)) return node.min === 0 ? empty : never
      return repeated(body, node.min, node.max)
    }
  }
}

import { alternate, concat, group, type Node, repeat } from './ast.ts'
import { addSet, type ByteSet, isDisjoint, isSubset, noBytes } from './bytes.ts'

/** What may come next in a text, seen from a place in a pattern. */
interface Next {
  readonly bytes: ByteSet
  /** Whether an assertion other than `\z` may decide before a byte is consumed. */
  readonly asserted: boolean
}

const nothing: Next = { bytes: noBytes, asserted: false }

/**
 * Atomic parts (groups of number 0, listed in `atomics`) forbid going back into them. Where going back could never lead
 * to another match they are as good as plain ones: the same tree without the wrappers is returned. Otherwise the first
 * part that makes a difference is.
 *
 * Harmless are: parts without a choice; one byte; a greedy repeat of bytes that cannot be what follows, as `[a-z]++=`;
 * and `\R` where what follows does not begin with a line feed. The proof for the repeat: giving back an iteration leaves a byte of it to be
 * matched by what follows, which cannot begin with it, and the empty string follows the longest run as well.
 */
export function findHarm<Atomic>(
  root: Node,
  atomics: ReadonlyMap<Node, Atomic>,
): { readonly node: Node; readonly found: Atomic | undefined } {
  let found: Atomic | undefined
  const node = visit(root, nothing)
  return { node, found }

  /** The node without wrappers, having judged them; `next` is what may follow the node. */
  function visit(node: Node, next: Next): Node {
    switch (node.kind) {
      case 'concat': {
        const parts: Node[] = []
        let after = next
        for (let i = node.parts.length - 1; i >= 0; i--) {
          parts.push(visit(node.parts[i]!, after))
          after = nextBefore(node.parts[i]!, after)
        }
        return concat(parts.reverse())
      }
      case 'alternate':
        return alternate(node.choices.map((choice) => visit(choice, next)))
      case 'repeat': {
        // A repeat of \R that may stop anywhere covers CR LF as one newline or as two: only what follows it decides.
        const pair = pairOrByte(node.body)
        const alike =
          pair !== undefined &&
          isSubset(pair.second, pair.single) &&
          node.min <= 1 &&
          node.max === Number.POSITIVE_INFINITY
        const after = node.max > 1 && !alike ? either(nextBefore(node.body, next), next) : next
        return repeat(visit(node.body, after), node.min, node.max, node.greedy)
      }
      case 'group':
        if (node.capture > 0) return group(visit(node.body, next), node.capture)
        if (!isHarmless(node.body, next)) found ??= atomics.get(node)
        return visit(node.body, next)
      default:
        return node
    }
  }
}

function isHarmless(node: Node, next: Next): boolean {
  if (isFixed(node)) return true
  if (node.kind === 'group') return isHarmless(node.body, next)
  if (next.asserted) return false
  const pair = pairOrByte(node)
  if (pair !== undefined) return isDisjoint(pair.second, next.bytes)
  if (node.kind === 'repeat') {
    return node.greedy && isFixed(node.body) && isDisjoint(nextBefore(node.body, nothing).bytes, next.bytes)
  }
  if (node.kind === 'concat') {
    return node.parts.slice(0, -1).every(isFixed) && isHarmless(node.parts.at(-1)!, next)
  }
  return false
}

/** Whether a node consumes a set number of bytes, one at least, in one way only. */
function isFixed(node: Node): boolean {
  switch (node.kind) {
    case 'set':
      return true
    case 'concat':
      return node.parts.every(isFixed)
    case 'alternate':
      return node.choices.every((choice) => choice.kind === 'set')
    case 'group':
      return isFixed(node.body)
    case 'repeat':
      return node.min === node.max && isFixed(node.body)
    default:
      return false
  }
}

/** The second byte of `AB|S`, which is how `\R` reads: a pair first, one byte otherwise. */
function pairOrByte(node: Node): { readonly second: ByteSet; readonly single: ByteSet } | undefined {
  if (node.kind === 'group') return pairOrByte(node.body)
  if (node.kind !== 'alternate' || node.choices.length !== 2) return undefined
  const [pair, single] = node.choices as [Node, Node]
  if (pair.kind !== 'concat' || pair.parts.length !== 2 || single.kind !== 'set') return undefined
  const [first, second] = pair.parts as [Node, Node]
  return first.kind === 'set' && second.kind === 'set' ? { second: second.set, single: single.set } : undefined
}

/** What may come next before a node, given what may come after it. */
function nextBefore(node: Node, after: Next): Next {
  switch (node.kind) {
    case 'empty':
      return after
    case 'set':
      return { bytes: node.set, asserted: false }
    case 'assertion':
      return node.at === 'end' ? after : { bytes: after.bytes, asserted: true }
    case 'concat':
      return node.parts.reduceRight((next, part) => nextBefore(part, next), after)
    case 'alternate':
      return node.choices.map((choice) => nextBefore(choice, after)).reduce(either)
    case 'repeat': {
      const once = nextBefore(node.body, node.max > 1 ? either(nextBefore(node.body, after), after) : after)
      return node.min === 0 ? either(once, after) : once
    }
    case 'group':
      return nextBefore(node.body, after)
  }
}

function either(a: Next, b: Next): Next {
  const bytes = a.bytes.slice()
  addSet(bytes, b.bytes)
  return { bytes, asserted: a.asserted || b.asserted }
}

import fc from 'fast-check'
import {
  alternate,
  assertion,
  concat,
  empty,
  group,
  isNullable,
  type Node,
  type Place,
  repeat,
  setNode,
} from '../../src/waf/regex/ast.ts'
import {
  allBytes,
  type ByteSet,
  byteRanges,
  byteSet,
  bytesOf,
  complementOf,
  hasByte,
} from '../../src/waf/regex/bytes.ts'
import { parseRules } from '../../src/waf/seclang/index.ts'
import { crsSources, readData, rulesOf } from './rules.ts'

/*
 * Random patterns as trees, so that what is expected need not come out of the parser under test; the same trees in the
 * syntax of PCRE and of JavaScript; texts that nearly match a tree; and a matcher that backtracks, slow and plain, which
 * says what PCRE would do.
 */

const sets = [
  byteSet('a'),
  byteSet('b'),
  byteSet('c'),
  byteSet('ab'),
  byteSet('Aa'),
  byteSet('\n'),
  byteSet('_'),
  byteSet(' '),
  byteSet('\xe9'),
  byteRanges([0x61, 0x7a]),
  complementOf(byteSet('a')),
  complementOf(byteSet('\n')),
  allBytes,
]

const simplePlaces: readonly Place[] = ['start', 'end', 'boundary', 'no-boundary']
const allPlaces: readonly Place[] = [...simplePlaces, 'end-or-last-newline', 'line-start', 'line-end']

/** Trees of a few levels; groups are numbered as they open. */
export function patternTrees(options: { places?: 'simple' | 'all' | 'none' } = {}): fc.Arbitrary<Node> {
  const places = options.places === 'none' ? [] : options.places === 'simple' ? simplePlaces : allPlaces
  const leaf: fc.Arbitrary<Node> = fc.oneof(
    { weight: 8, arbitrary: fc.constantFrom(...sets).map(setNode) },
    { weight: 1, arbitrary: fc.constant<Node>(empty) },
    ...(places.length === 0 ? [] : [{ weight: 2, arbitrary: fc.constantFrom(...places).map(assertion) }]),
  )
  const counts = fc.constantFrom<[number, number]>(
    [0, 1],
    [0, Infinity],
    [1, Infinity],
    [2, 2],
    [0, 2],
    [1, 3],
    [2, Infinity],
  )
  const { tree } = fc.letrec<{ tree: Node }>((tie) => {
    const list = fc.array(tie('tree'), { minLength: 1, maxLength: 4 })
    return {
      tree: fc.oneof(
        { depthSize: 'small', maxDepth: 5 },
        { weight: 3, arbitrary: leaf },
        { weight: 4, arbitrary: list.map(concat) },
        { weight: 2, arbitrary: list.map(alternate) },
        { weight: 1, arbitrary: tie('tree').map((body) => group(body, 1)) },
        {
          weight: 2,
          // Engines disagree on whether an assertion can be repeated.
          arbitrary: fc
            .tuple(tie('tree'), counts, fc.boolean())
            .map(([body, [min, max], greedy]) => (body.kind === 'assertion' ? body : repeat(body, min, max, greedy))),
        },
      ),
    }
  })
  return tree.map(numbered)
}

function numbered(tree: Node): Node {
  let count = 0
  const visit = (node: Node): Node => {
    switch (node.kind) {
      case 'group': {
        const capture = ++count
        return group(visit(node.body), capture)
      }
      case 'concat':
        return { kind: 'concat', parts: node.parts.map(visit) }
      case 'alternate':
        return { kind: 'alternate', choices: node.choices.map(visit) }
      case 'repeat':
        return { ...node, body: visit(node.body) }
      default:
        return node
    }
  }
  return visit(tree)
}

/** The tree in the syntax of PCRE; or of JavaScript with the flag `s`, which knows the simple places only. */
export function printPattern(node: Node, syntax: 'pcre' | 'javascript' = 'pcre'): string {
  switch (node.kind) {
    case 'empty':
      return '(?:)'
    case 'set': {
      const bytes = bytesOf(node.set)
      if (bytes.length === 0) return '[^\\x00-\\xff]'
      let text = ''
      for (let i = 0; i < bytes.length; ) {
        let end = i
        while (bytes[end + 1] === bytes[end]! + 1) end++
        text += end === i ? hex(bytes[i]!) : `${hex(bytes[i]!)}-${hex(bytes[end]!)}`
        i = end + 1
      }
      return bytes.length === 1 ? text : `[${text}]`
    }
    case 'concat':
      return node.parts
        .map((part) => (part.kind === 'alternate' ? `(?:${printPattern(part, syntax)})` : printPattern(part, syntax)))
        .join('')
    case 'alternate':
      return node.choices.map((choice) => printPattern(choice, syntax)).join('|')
    case 'repeat': {
      const { min, max } = node
      const count = max === Infinity ? (min === 0 ? '*' : min === 1 ? '+' : `{${min},}`) : `{${min},${max}}`
      return `(?:${printPattern(node.body, syntax)})${count}${node.greedy ? '' : '?'}`
    }
    case 'group':
      return `(${printPattern(node.body, syntax)})`
    case 'assertion': {
      const words = syntax === 'javascript' ? placesInJavaScript : placesInPcre
      return words[node.at]!
    }
  }
}

const placesInJavaScript: Readonly<Partial<Record<Place, string>>> = {
  start: '^',
  end: '$',
  boundary: '\\b',
  'no-boundary': '\\B',
}
const placesInPcre: Readonly<Record<Place, string>> = {
  start: '\\A',
  end: '\\z',
  'end-or-last-newline': '\\Z',
  'line-start': '(?m:^)',
  'line-end': '(?m:$)',
  boundary: '\\b',
  'no-boundary': '\\B',
}

function hex(byte: number): string {
  return `\\x${byte.toString(16).padStart(2, '0')}`
}

/** Texts of the bytes that the random trees ask for. */
export const shortTexts: fc.Arbitrary<string> = fc
  .array(fc.constantFrom('a', 'b', 'c', 'A', '_', ' ', '\n', '\xe9', 'z'), { maxLength: 9 })
  .map((bytes) => bytes.join(''))

/** Texts that match a tree but for a byte or two, mostly; between other bytes, sometimes. */
export function textsNear(tree: Node, lengthMax = 40): fc.Arbitrary<string> {
  const seeds = fc.array(fc.nat({ max: 0x7fffffff }), { minLength: 4, maxLength: 4 })
  return fc.tuple(seeds, shortTexts, shortTexts).map(([seeds, before, after]) => {
    const random = generator(seeds[0]!)
    let text = writeMatch(tree, random)
    if (random(3) > 0 && text.length > 0) {
      const at = random(text.length)
      text = text.slice(0, at) + (random(2) === 0 ? '' : after.slice(0, 1)) + text.slice(at + 1)
    }
    return (random(2) === 0 ? before + text + after : text).slice(0, lengthMax)
  })
}

/** Numbers below a bound, the same for the same seed. */
export function generator(seed: number): (bound: number) => number {
  let state = seed >>> 0
  return (bound) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * bound)
  }
}

/** A text that a tree matches, if its assertions hold. Prefers what can be printed. */
export function writeMatch(node: Node, random: (bound: number) => number): string {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return ''
    case 'set': {
      const { all, printable } = choicesOf(node.set)
      const from = printable.length > 0 && random(8) > 0 ? printable : all
      return from.length === 0 ? '' : String.fromCharCode(from[random(from.length)]!)
    }
    case 'concat':
      return node.parts.map((part) => writeMatch(part, random)).join('')
    case 'alternate':
      return writeMatch(node.choices[random(node.choices.length)]!, random)
    case 'group':
      return writeMatch(node.body, random)
    case 'repeat': {
      const most = Math.min(node.max, node.min + (random(8) === 0 ? 20 : 3))
      let text = ''
      for (let left = node.min + random(most - node.min + 1); left > 0; left--) text += writeMatch(node.body, random)
      return text
    }
  }
}

const choices = new WeakMap<ByteSet, { all: readonly number[]; printable: readonly number[] }>()

function choicesOf(set: ByteSet): { all: readonly number[]; printable: readonly number[] } {
  let known = choices.get(set)
  if (known === undefined) {
    const all = bytesOf(set)
    known = { all, printable: all.filter((byte) => byte >= 0x20 && byte < 0x7f) }
    choices.set(set, known)
  }
  return known
}

/**
 * What PCRE finds first: bounds of the match and its groups, as slots; undefined where nothing matches. Backtracks; gives
 * up with `'too long'` after so many steps. Begins at `start`.
 */
export function backtrack(tree: Node, text: string, stepsMax = 20_000, start = 0): number[] | undefined | 'too long' {
  let steps = 0
  const slots: number[] = []
  const isWord = (at: number) => at >= 0 && at < text.length && /\w/.test(text[at]!)

  function holds(place: Place, at: number): boolean {
    switch (place) {
      case 'start':
        return at === 0
      case 'end':
        return at === text.length
      case 'end-or-last-newline':
        return at === text.length || (at === text.length - 1 && text[at] === '\n')
      case 'line-start':
        return at === 0 || (text[at - 1] === '\n' && at < text.length)
      case 'line-end':
        return at === text.length || text[at] === '\n'
      case 'boundary':
        return isWord(at - 1) !== isWord(at)
      case 'no-boundary':
        return isWord(at - 1) === isWord(at)
    }
  }

  function run(node: Node, at: number, then: (at: number) => boolean): boolean {
    if (++steps > stepsMax) throw tooLong
    switch (node.kind) {
      case 'empty':
        return then(at)
      case 'set':
        return at < text.length && hasByte(node.set, text.charCodeAt(at)) && then(at + 1)
      case 'assertion':
        return holds(node.at, at) && then(at)
      case 'concat': {
        const next = (i: number, at: number): boolean =>
          i === node.parts.length ? then(at) : run(node.parts[i]!, at, (end) => next(i + 1, end))
        return next(0, at)
      }
      case 'alternate':
        return node.choices.some((choice) => run(choice, at, then))
      case 'group': {
        const start = node.capture * 2
        return run(node.body, at, (end) => {
          const before = [slots[start], slots[start + 1]]
          slots[start] = at
          slots[start + 1] = end
          if (then(end)) return true
          slots[start] = before[0]!
          slots[start + 1] = before[1]!
          return false
        })
      }
      case 'repeat': {
        const { body, min, max, greedy } = node
        const round = (count: number, at: number): boolean => {
          const again = (): boolean =>
            run(body, at, (end) => {
              // An iteration of nothing ends a loop without end, once there were enough.
              if (end === at && max === Infinity && count + 1 >= min) return then(end)
              return round(count + 1, end)
            })
          if (count < min) return again()
          if (count >= max) return then(at)
          return greedy ? again() || then(at) : then(at) || again()
        }
        return round(0, at)
      }
    }
  }

  try {
    for (let from = start; from <= text.length; from++) {
      slots.length = 0
      slots[0] = from
      const matched = run(tree, from, (at) => {
        slots[1] = at
        return true
      })
      if (matched) return slots
    }
    return undefined
  } catch (error) {
    if (error === tooLong) return 'too long'
    throw error
  }
}

const tooLong = new Error('too many steps')

/** Whether a loop without end has a body that can match nothing: engines differ in what they make of it. */
export function loopsOverNothing(node: Node): boolean {
  switch (node.kind) {
    case 'concat':
      return node.parts.some(loopsOverNothing)
    case 'alternate':
      return node.choices.some(loopsOverNothing)
    case 'group':
      return loopsOverNothing(node.body)
    case 'repeat':
      return isNullable(node.body) || loopsOverNothing(node.body)
    default:
      return false
  }
}

/** The different patterns of the Core Rule Set, with the id of a rule that has it. `undefined` where it is not there. */
export function crsPatterns(): { readonly id: number; readonly source: string }[] | undefined {
  const sources = crsSources()
  if (sources === undefined) return undefined
  const found = new Map<string, number>()
  for (const rule of rulesOf(parseRules(sources, { readData }))) {
    for (const { operator } of rule.conditions) {
      if (operator.name === 'rx' && !operator.argument.includes('%{')) found.set(operator.argument, rule.id)
    }
  }
  return [...found].map(([source, id]) => ({ id, source }))
}

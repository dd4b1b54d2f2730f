import type { Node } from '../regex/ast.ts'
import { type ByteSet, bytesOf } from '../regex/bytes.ts'
import { allClasses, type ClassMask, classesOf, classesTouched, classOf } from './classes.ts'
import { foldCase } from './literal-automaton.ts'

/**
 * What is known of the texts that a test can match, as far as a proof of the contrary needs it. Both answers may err
 * to one side only: `possible` says yes where it does not know, `literals` names none.
 */
export interface Language {
  /** Whether a text made of bytes of these classes only can match. */
  readonly possible: (classes: ClassMask) => boolean
  /** Folded literals of which each matching text over these classes holds at least one; `undefined`: none are known. */
  readonly literals: (classes: ClassMask) => readonly string[] | undefined
  /** No shorter text matches. */
  readonly bytesMin: number
}

/** Texts in which a pattern finds something. */
export function patternLanguage(ast: Node): Language {
  const need = needOf(ast)
  return {
    possible: (classes) => isPossible(need, classes),
    literals: (classes) => {
      const facts = factsOf(ast, classes)
      const found = facts === undefined ? undefined : better(usable(facts.exact), facts.best)
      return found && parts(found)
    },
    bytesMin: shortestOf(ast),
  }
}

/** Texts that hold one of some phrases. */
export function phraseLanguage(phrases: readonly string[]): Language {
  const folded = phrases.map((phrase) => ({ text: foldCase(phrase), classes: classesOf(phrase) }))
  return {
    possible: (classes) => folded.some((phrase) => (phrase.classes & ~classes) === 0),
    literals: (classes) => {
      const left = folded.filter((phrase) => (phrase.classes & ~classes) === 0)
      return left.every(({ text }) => text.length > 1) ? parts(left.map(({ text }) => text)) : undefined
    },
    bytesMin: Math.min(...phrases.map(({ length }) => length)),
  }
}

/** Texts that hold a byte for which the flag is set. */
export function byteLanguage(flags: Uint8Array): Language {
  const touched = classesTouched(flags)
  return {
    possible: (classes) => (touched & classes) !== 0,
    literals: () => undefined,
    bytesMin: 1,
  }
}

/** What a pattern needs of an alphabet: one class of a set, all of some parts, or one of some. */
type Need =
  | { readonly kind: 'one'; readonly classes: ClassMask }
  | { readonly kind: 'all'; readonly of: readonly Need[] }
  | { readonly kind: 'any'; readonly of: readonly Need[] }

const nothingNeeded: Need = { kind: 'all', of: [] }

function needOf(node: Node): Need {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return nothingNeeded
    case 'set':
      return { kind: 'one', classes: classesIn(node.set) }
    case 'group':
      return needOf(node.body)
    case 'repeat':
      return node.min === 0 ? nothingNeeded : needOf(node.body)
    case 'concat':
      return all(node.parts.map(needOf))
    case 'alternate': {
      const of = node.choices.map(needOf)
      return of.some((need) => need === nothingNeeded) ? nothingNeeded : { kind: 'any', of }
    }
  }
}

/** How many bytes a match has at least. */
function shortestOf(node: Node): number {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return 0
    case 'set':
      return 1
    case 'group':
      return shortestOf(node.body)
    case 'repeat':
      return node.min * shortestOf(node.body)
    case 'concat':
      return node.parts.reduce((sum, part) => sum + shortestOf(part), 0)
    case 'alternate':
      return Math.min(...node.choices.map(shortestOf))
  }
}

/** Conjunction, each needed set of classes once. */
function all(needs: readonly Need[]): Need {
  const seen = new Set<ClassMask>()
  const of: Need[] = []
  for (const need of needs) {
    if (need.kind === 'all') {
      for (const inner of need.of) add(inner)
    } else add(need)
  }
  return of.length === 0 ? nothingNeeded : of.length === 1 ? of[0]! : { kind: 'all', of }

  function add(need: Need): void {
    if (need.kind === 'one') {
      if (seen.has(need.classes) || need.classes === allClasses) return
      seen.add(need.classes)
    }
    of.push(need)
  }
}

function isPossible(need: Need, classes: ClassMask): boolean {
  switch (need.kind) {
    case 'one':
      return (need.classes & classes) !== 0
    case 'all':
      for (const inner of need.of) if (!isPossible(inner, classes)) return false
      return true
    case 'any':
      for (const inner of need.of) if (isPossible(inner, classes)) return true
      return false
  }
}

function classesIn(set: ByteSet): ClassMask {
  let mask = 0
  for (const byte of bytesOf(set)) mask |= classOf[byte]!
  return mask
}

/** What a match of a node, or a part of it, looks like. */
interface Facts {
  /** All texts that it can be, folded, where they are few and short. */
  readonly exact: readonly string[] | undefined
  /** Literals of which it holds at least one. */
  readonly best: readonly string[] | undefined
}

const exactCountMax = 96
const exactLengthMax = 24
const setBytesMax = 12
/** What one literal set may hold: pm lists are longer, but they are phrases to begin with. */
const literalsMax = 512

const emptyFacts: Facts = { exact: [''], best: undefined }
const anything: Facts = { exact: undefined, best: undefined }

/** `undefined`: it cannot match over these classes. */
function factsOf(node: Node, classes: ClassMask): Facts | undefined {
  switch (node.kind) {
    case 'empty':
    case 'assertion':
      return emptyFacts
    case 'set':
      return setFacts(node.set, classes)
    case 'group':
      return factsOf(node.body, classes)
    case 'repeat':
      return repeatFacts(node, classes)
    case 'concat':
      return concatFacts(node.parts, classes)
    case 'alternate':
      return alternateFacts(node.choices, classes)
  }
}

function setFacts(set: ByteSet, classes: ClassMask): Facts | undefined {
  const exact = new Set<string>()
  for (const byte of bytesOf(set)) {
    if ((classOf[byte]! & classes) !== 0) exact.add(foldCase(String.fromCharCode(byte)))
  }
  if (exact.size === 0) return undefined
  return exact.size > setBytesMax ? anything : { exact: [...exact], best: undefined }
}

function repeatFacts({ body, min, max }: Node & { kind: 'repeat' }, classes: ClassMask): Facts | undefined {
  const once = factsOf(body, classes)
  if (once === undefined) return min === 0 ? emptyFacts : undefined
  if (min === 0) {
    if (max !== 1 || once.exact === undefined) return anything
    return { exact: distinct([...once.exact, '']), best: undefined }
  }
  if (once.exact === undefined) return once
  let exact: readonly string[] | undefined = ['']
  for (let count = 0; count < min && exact !== undefined; count++) exact = cross(exact, once.exact)
  if (exact === undefined) return { exact: undefined, best: usable(once.exact) }
  return max === min ? { exact, best: undefined } : { exact: undefined, best: usable(exact) }
}

function concatFacts(parts: readonly Node[], classes: ClassMask): Facts | undefined {
  let best: readonly string[] | undefined
  let running: readonly string[] | undefined = ['']
  let whole = true
  for (const part of parts) {
    const facts = factsOf(part, classes)
    if (facts === undefined) return undefined
    best = better(best, facts.best)
    const joined: readonly string[] | undefined = facts.exact && cross(running ?? [''], facts.exact)
    if (joined !== undefined) running = joined
    else {
      best = better(best, usable(running))
      running = facts.exact ?? ['']
      whole = false
    }
  }
  if (whole) return { exact: running, best: undefined }
  return { exact: undefined, best: better(best, usable(running)) }
}

function alternateFacts(choices: readonly Node[], classes: ClassMask): Facts | undefined {
  const possible = choices.map((choice) => factsOf(choice, classes)).filter((facts) => facts !== undefined)
  if (possible.length === 0) return undefined
  const exact = possible.flatMap((facts) => facts.exact ?? [])
  if (possible.every((facts) => facts.exact !== undefined)) {
    const all = distinct(exact)
    if (all.length <= exactCountMax) return { exact: all, best: undefined }
  }
  const best: string[] = []
  for (const facts of possible) {
    const own = better(usable(facts.exact), facts.best)
    if (own === undefined) return anything
    best.push(...own)
  }
  const all = distinct(best)
  return { exact: undefined, best: all.length <= literalsMax ? all : undefined }
}

/** Every text of the one followed by every text of the other; `undefined`, where they are too many or too long. */
function cross(left: readonly string[], right: readonly string[]): readonly string[] | undefined {
  if (left.length * right.length > exactCountMax) return undefined
  const texts = distinct(left.flatMap((head) => right.map((tail) => head + tail)))
  return texts.some(({ length }) => length > exactLengthMax) ? undefined : texts
}

function distinct(texts: readonly string[]): readonly string[] {
  return texts.length < 2 ? texts : [...new Set(texts)]
}

/** As required literals, where each is long enough to be worth looking for. */
function usable(texts: readonly string[] | undefined): readonly string[] | undefined {
  return texts?.every(({ length }) => length > 1) && texts.length > 0 ? texts : undefined
}

/** The one of two sets of literals that ordinary text is less likely to hold. */
function better(a: readonly string[] | undefined, b: readonly string[] | undefined): readonly string[] | undefined {
  if (a === undefined || b === undefined) return a ?? b
  return likelihood(a) <= likelihood(b) ? a : b
}

/** How often one of the literals is to be expected, roughly, at a given place of ordinary text. */
function likelihood(literals: readonly string[]): number {
  return parts(literals).reduce((sum, part) => sum + chance(part), 0)
}

function chance(literal: string): number {
  let product = 1
  for (let i = 0; i < literal.length; i++) product *= frequency(literal.charCodeAt(i))
  return product
}

/** How often a byte occurs in the values of API requests, by rough estimate: only the order counts. */
function frequency(byte: number): number {
  if (byte >= 97 && byte <= 122) return 'etaoinsrlc'.includes(String.fromCharCode(byte)) ? 0.07 : 0.02
  if (byte >= 48 && byte <= 57) return 0.03
  if (byte === 32 || byte === 45 || byte === 46 || byte === 47 || byte === 95) return 0.03
  return 0.004
}

/** In longer lists each is looked for: comparing all with all takes its time. */
const comparedMax = 64

/** What is looked for of some literals. One that holds another is found with it. */
function parts(literals: readonly string[]): readonly string[] {
  if (literals.length > comparedMax) return distinct(literals.map(rarestPart))
  const shortest = literals.filter((literal) => !literals.some((other) => other !== literal && literal.includes(other)))
  return distinct(shortest.map(rarestPart))
}

/** Bytes of a literal that are looked for; the test itself looks at the rest. */
const partBytes = 5

/** The part of a literal that is least likely to occur by chance: a shorter dictionary makes a smaller table. */
function rarestPart(literal: string): string {
  if (literal.length <= partBytes) return literal
  let best = literal.slice(0, partBytes)
  for (let i = 1; i + partBytes <= literal.length; i++) {
    const part = literal.slice(i, i + partBytes)
    if (chance(part) < chance(best)) best = part
  }
  return best
}

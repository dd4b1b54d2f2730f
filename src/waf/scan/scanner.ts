import type { Operator } from '../operators/index.ts'
import { ends, skipped, strictDigits } from '../transform/base64.ts'
import type { Transformation } from '../transform/index.ts'
import { alphabetOf, alphabets, type ClassMask, classesTouched, classOf } from './classes.ts'
import { type ClassesAfter, changesCase, classesAfter, growthOf, isCaseBlind } from './classes-after.ts'
import type { Language } from './language.ts'
import { buildLiteralAutomaton, type LiteralAutomaton, statesMax } from './literal-automaton.ts'

/** One operator behind its transformations, as the scanner sees it. */
export interface ScanTest {
  readonly language: Language
  readonly operator: Operator
  readonly transformations: readonly Transformation[]
  /** Whether the operator sees every stage of the transformations, not only the last. */
  readonly multiMatch: boolean
}

/** The tests that concern one kind of value, such as every argument, or one header. */
export interface Profile {
  /** By the transformations that stand before them. */
  readonly groups: readonly Group[]
  readonly entries: Map<ClassMask, Entry>
}

/** The tests of a profile that share a pipeline of transformations. */
interface Group {
  readonly pipeline: Stage
  readonly tests: readonly number[]
  /** A value that may not have so many bytes behind the pipeline matches none of the tests. */
  readonly bytesMin: number
  /** What to do with a value that the pipeline has changed. */
  readonly entries: Map<ClassMask, Entry>
}

/** A pipeline as a path in a tree: stages that pipelines share are computed once for a value. */
interface Stage {
  readonly index: number
  readonly parent: Stage | undefined
  readonly transformation: Transformation | undefined
  /** A value without these classes leaves this stage as it came. */
  readonly altersHere: ClassMask
  /** A value without these classes leaves the whole pipeline as it came. */
  readonly alters: ClassMask
  /** Makes something even of the empty value, as `length` and the digests do. */
  readonly altersEmpty: boolean
  /** What a value of some classes may be made of behind the pipeline. */
  readonly classesAfter: ClassesAfter
  /** The most bytes that this stage makes of one. */
  readonly growth: number
}

/** What is left to do for values made of the same classes. */
interface Entry {
  /** Tests that must be made. */
  readonly always: Int32Array
  /** Tests that must be made where one of their literals occurs, a bit for each. */
  readonly awake: Int32Array
  readonly anyAwake: boolean
  /** Which literals count: those of the smallest alphabet that holds the value. */
  readonly alphabet: number
  /** Pipelines that may change such a value, from the first stage that does. */
  readonly altering: readonly Branch[]
}

/** A stage of one or several pipelines, with all that comes after it. */
interface Branch {
  readonly stage: Stage
  /** Those whose tests see what this stage makes. */
  readonly groups: Group[]
  readonly after: Branch[]
  /** No test of the branch matches a shorter text, if nothing in it makes texts longer; else 0. */
  bytesMin: number
  /**
   * For base64, where each test of the branch needs a literal: the bytes that later stages change. What is decoded, and has
   * neither those nor a literal, matches nothing.
   */
  peek: Uint8Array | undefined
}

/** What reading the first part of a value has told. */
export interface Beginning {
  readonly classes: ClassMask
  readonly state: number
  readonly hits: Int32Array
}

/** Entries that one profile keeps; beyond them it begins anew. An attacker can make up class sets. */
const entriesMax = 4_096
/** Texts up to this length take microseconds each. */
const shortBytesMax = 4_096
const marksMax = 0xffffffff

/**
 * Tells for a value which tests match it. Tests that are not made are proved not to match: by its classes (the pattern's
 * language over these classes is empty), by its literals (each match holds one of them), or by its length.
 */
export class Scanner {
  readonly tests: readonly ScanTest[]
  /** Tests that match the value last scanned, in one of the forms that they look at; in no order: the first `count`. */
  readonly found: Int32Array
  count = 0
  /** Called before each long look at a long text; may throw to end the scan. */
  pause: () => void = () => undefined
  /** How many class sets unknown so far may still be worked out for this request; then coarser ones serve. */
  novelLeft = 0

  readonly #automaton: LiteralAutomaton
  /** For each literal: the test, shifted by six, and a bit for each alphabet where it counts. */
  readonly #uses: readonly Int32Array[]
  /** A bit for each alphabet in which a test has literals. */
  readonly #literalAlphabets: Uint8Array
  readonly #stages: Stage[] = [
    {
      index: 0,
      parent: undefined,
      transformation: undefined,
      altersHere: 0,
      alters: 0,
      altersEmpty: false,
      classesAfter: (classes) => classes,
      growth: 1,
    },
  ]
  readonly #stageOf = new Map<string, Stage>()
  readonly #possible = new Map<ClassMask, Int32Array>()
  readonly #words: number
  /** Literals that the text last read holds. */
  readonly #hits: Int32Array
  #hitCount = 0
  /** Where the automaton stood at the end of the text last read. */
  #state = 0
  readonly #seenState: Uint32Array
  readonly #seenTest: Uint32Array
  readonly #tried: Uint32Array
  /** A flag for each test whose pipeline changes case in a stage that the scanner leaves out. */
  readonly #minds: Uint8Array
  /** The value that is being judged, as it came. */
  #whole = ''
  /** The text last read, to which the hits belong, and its classes. */
  #readText = ''
  #readClasses: ClassMask = 0
  #text = 0
  #value = 0

  constructor(tests: readonly ScanTest[]) {
    this.tests = tests
    this.#words = (tests.length + 31) >> 5
    this.found = new Int32Array(tests.length)
    this.#seenTest = new Uint32Array(tests.length)
    this.#tried = new Uint32Array(tests.length)
    this.#minds = Uint8Array.from(tests, ({ transformations }) =>
      Number(transformations.some(({ name }) => changesCase(name))),
    )
    this.#literalAlphabets = new Uint8Array(tests.length)
    const { literals, uses } = this.#collectLiterals()
    this.#automaton = buildLiteralAutomaton(literals)
    this.#uses = uses
    this.#hits = new Int32Array(this.#automaton.ends.length)
    this.#seenState = new Uint32Array(this.#automaton.ends.length)
  }

  #collectLiterals(): { literals: string[]; uses: Int32Array[] } {
    const wanted = this.tests.flatMap(({ language }, test) =>
      alphabets.flatMap((classes, alphabet) => {
        const literals = language.possible(classes) ? language.literals(classes) : undefined
        return literals === undefined ? [] : [{ test, alphabet, literals }]
      }),
    )
    const byLiteral = new Map<string, Map<number, number>>()
    let states = 1
    for (const { test, alphabet, literals } of wanted.sort((a, b) => a.literals.length - b.literals.length)) {
      // What the automaton has no room for must be tested without: the longest lists, since they come last.
      const added = literals.reduce((sum, literal) => (byLiteral.has(literal) ? sum : sum + literal.length), 0)
      if (states + added > statesMax) continue
      states += added
      this.#literalAlphabets[test]! |= 1 << alphabet
      for (const literal of literals) {
        const tests = byLiteral.get(literal) ?? new Map<number, number>()
        byLiteral.set(literal, tests.set(test, (tests.get(test) ?? 0) | (1 << alphabet)))
      }
    }
    const uses = [...byLiteral.values()].map((tests) =>
      Int32Array.from([...tests].map(([test, bits]) => (test << 6) | bits)),
    )
    return { literals: [...byLiteral.keys()], uses }
  }

  /** Prepares for values that these tests concern. */
  profile(tests: readonly number[]): Profile {
    const groups = new Map<Stage, number[]>()
    for (const test of tests) {
      for (const stage of this.#stagesOf(this.tests[test]!)) groups.set(stage, [...(groups.get(stage) ?? []), test])
    }
    return {
      groups: [...groups].map(([pipeline, own]) => ({
        pipeline,
        tests: own,
        bytesMin: Math.min(...own.map((test) => this.tests[test]!.language.bytesMin)),
        entries: new Map(),
      })),
      entries: new Map(),
    }
  }

  #stagesOf({ transformations, multiMatch }: ScanTest): readonly Stage[] {
    const path: Stage[] = [this.#stages[0]!]
    let key = ''
    transformations.forEach((transformation, place) => {
      // To the scanner letters of both cases are the same, and so they are to what follows, if all of it is blind to case.
      const isBlind = transformations.slice(place).every(({ name }) => isCaseBlind(name))
      key += ` ${transformation.name}${isBlind ? '~' : ''}`
      let stage = this.#stageOf.get(key)
      if (stage === undefined) {
        stage = this.#addStage(path[path.length - 1]!, transformation, isBlind)
        this.#stageOf.set(key, stage)
      }
      path.push(stage)
    })
    return multiMatch ? path : path.slice(-1)
  }

  #addStage(parent: Stage, transformation: Transformation, isBlind: boolean): Stage {
    const altersHere = classesTouched(isBlind ? transformation.alters.map(withoutLetters) : transformation.alters)
    const after = classesAfter(transformation.name)
    const stage: Stage = {
      index: this.#stages.length,
      parent,
      transformation,
      altersHere,
      alters: parent.alters | altersHere,
      altersEmpty: parent.altersEmpty || transformation.altersEmpty,
      classesAfter: (classes) => after(parent.classesAfter(classes)),
      growth: growthOf(transformation.name),
    }
    this.#stages.push(stage)
    return stage
  }

  /** Scans one value: `found` and `count` then tell which tests match. */
  scan(profile: Profile, value: string): void {
    this.#judge(profile, this.#read(value, 0, 0), value)
  }

  /** Scans a value that consists of a beginning that was read before, and `rest`. Joined is only what must be. */
  scanOn(profile: Profile, begin: Beginning, rest: string, whole: { readonly value: string }): void {
    const classes = this.#read(rest, begin.state, begin.classes)
    for (let i = 0; i < begin.hits.length; i++) this.#hit(begin.hits[i]!)
    this.#judge(profile, classes, whole.value)
  }

  #judge(profile: Profile, classes: ClassMask, value: string): void {
    this.#whole = value
    this.count = 0
    this.#nextValue()
    const entry = this.#entryOf(profile, classes)
    if (entry.always.length > 0 || (entry.anyAwake && this.#hitCount > 0)) this.#resolve(entry, value)
    if (entry.altering.length === 0) return
    this.#readText = value
    this.#readClasses = classes
    for (const branch of entry.altering) this.#walk(branch, value, classes)
  }

  /** Reads what many values begin with, such as the names of the members of one JSON object. */
  begin(text: string): Beginning {
    const classes = this.#read(text, 0, 0)
    return { classes, state: this.#state, hits: this.#hits.slice(0, this.#hitCount) }
  }

  /** Looks at the value as each pipeline that may change it hands it on: a stage at a time, what is common once. */
  #walk({ stage, groups, bytesMin, peek, after }: Branch, before: string, classesBefore: ClassMask): void {
    const { transformation, altersHere, altersEmpty, growth } = stage
    if (before.length * growth < bytesMin) return
    if (peek !== undefined && (altersHere & classesBefore) !== 0 && this.#decodesToNothing(before, peek)) return
    if (before.length > shortBytesMax) this.pause()
    let text = before
    let classes = classesBefore
    if (altersEmpty || (altersHere & classesBefore) !== 0) text = transformation!.apply(before)
    if (groups.length > 0 || after.length > 0) {
      // Another branch may have read something else since.
      if (text !== this.#readText) classes = this.#read(text, 0, 0)
      else if (text !== before) classes = this.#readClasses
    }
    for (const group of groups) {
      const entry = this.#entryOf(group, classes)
      if (entry.always.length > 0 || (entry.anyAwake && this.#hitCount > 0)) this.#resolve(entry, text)
    }
    for (const branch of after) this.#walk(branch, text, classes)
  }

  /**
   * Decodes base64 as `base64Decode` does and looks for literals on the way, without making a string: most identifiers are
   * base64 of something, and of nothing that matters. True: no test of the branch matches.
   */
  #decodesToNothing(text: string, changed: Uint8Array): boolean {
    const { next, symbols, shift, firstFinal } = this.#automaton
    let state = 0
    let bits = 0
    let count = 0
    for (let i = 0; i < text.length; i++) {
      const digit = strictDigits[text.charCodeAt(i)]!
      if (digit === skipped) continue
      if (digit === ends) break
      bits = ((bits << 6) | digit) & 0xffff
      count += 6
      if (count < 8) continue
      count -= 8
      const byte = (bits >> count) & 0xff
      if (changed[byte] === 1) return false
      state = next[(state << shift) | symbols[byte]!]!
      if (state >= firstFinal) return false
    }
    return true
  }

  /** One pass: the classes that occur, and the literals, one table look-up for each byte. */
  #read(text: string, fromState: number, fromClasses: ClassMask): ClassMask {
    const { next, symbols, shift, firstFinal } = this.#automaton
    const length = text.length
    this.#hitCount = 0
    this.#nextText()
    let classes = fromClasses
    let state = fromState
    for (let i = 0; i < length; i++) {
      const byte = text.charCodeAt(i)
      classes |= classOf[byte]!
      state = next[(state << shift) | symbols[byte]!]!
      if (state >= firstFinal) this.#hit(state - firstFinal)
    }
    this.#state = state
    this.#readText = text
    this.#readClasses = classes
    return classes
  }

  #hit(final: number): void {
    if (this.#seenState[final] === this.#text) return
    this.#seenState[final] = this.#text
    this.#hits[this.#hitCount++] = final
  }

  /** Marks of values and texts long gone must not be taken for this one's when the counter begins anew. */
  #nextValue(): void {
    if (this.#value === marksMax) {
      this.#value = 0
      this.#seenTest.fill(0)
    }
    this.#value += 1
  }

  #nextText(): void {
    if (this.#text === marksMax) {
      this.#text = 0
      this.#seenState.fill(0)
      this.#tried.fill(0)
    }
    this.#text += 1
  }

  #resolve(entry: Entry, value: string): void {
    const { always, awake, alphabet } = entry
    for (let i = 0; i < always.length; i++) this.#find(always[i]!, value)
    if (!entry.anyAwake) return
    const { ends } = this.#automaton
    for (let hit = 0; hit < this.#hitCount; hit++) {
      const literals = ends[this.#hits[hit]!]!
      for (let i = 0; i < literals.length; i++) {
        const uses = this.#uses[literals[i]!]!
        for (let use = 0; use < uses.length; use++) {
          const packed = uses[use]!
          const test = packed >> 6
          if (((packed >> alphabet) & 1) === 1 && ((awake[test >> 5]! >> (test & 31)) & 1) === 1)
            this.#find(test, value)
        }
      }
    }
  }

  /** Makes a test that nothing has proved idle, once for each form of the value. */
  #find(test: number, text: string): void {
    if (this.#seenTest[test] === this.#value || this.#tried[test] === this.#text) return
    this.#tried[test] = this.#text
    if (text.length > shortBytesMax) this.pause()
    const { operator } = this.tests[test]!
    if (!(this.#minds[test] === 1 ? this.#matchesExactly(this.tests[test]!) : operator.test(text))) return
    this.#seenTest[test] = this.#value
    this.found[this.count++] = test
  }

  /** For operators that mind case: the forms as they are, not as the scanner, to which both cases are one, has read them. */
  #matchesExactly({ operator, transformations, multiMatch }: ScanTest): boolean {
    let text = this.#whole
    if (multiMatch && operator.test(text)) return true
    for (const transformation of transformations) {
      const changed = transformation.apply(text)
      if (multiMatch && changed !== text && operator.test(changed)) return true
      text = changed
    }
    return !multiMatch && operator.test(text)
  }

  #entryOf(of: Profile | Group, classes: ClassMask): Entry {
    return of.entries.get(classes) ?? this.#newEntry(of, classes)
  }

  #newEntry(of: Profile | Group, classes: ClassMask): Entry {
    const coarse = alphabets[alphabetOf(classes)]!
    if (classes !== coarse) {
      // What a pipeline has made of a value, such as bytes out of base64, is seldom seen again.
      if (this.novelLeft <= 0 || !('groups' in of)) return this.#entryOf(of, coarse)
      this.novelLeft -= 1
      if (of.entries.size >= entriesMax) of.entries.clear()
    }
    const entry = this.#workOut(of, classes)
    of.entries.set(classes, entry)
    return entry
  }

  #workOut(of: Profile | Group, classes: ClassMask): Entry {
    const possible = this.#possibleOver(classes)
    const alphabet = alphabetOf(classes)
    const always: number[] = []
    const awake = new Int32Array(this.#words)
    let anyAwake = false
    const altering: Group[] = []
    // A group's own entries are for values that its pipeline is done with.
    for (const group of 'groups' in of ? of.groups : [of]) {
      const { alters, altersEmpty } = group.pipeline
      if (group !== of && (altersEmpty || (alters & classes) !== 0)) {
        // What no form of the pipeline's results can match needs no result.
        const later = this.#possibleOver(group.pipeline.classesAfter(classes))
        if (group.tests.some((test) => ((later[test >> 5]! >> (test & 31)) & 1) === 1)) altering.push(group)
        continue
      }
      for (const test of group.tests) {
        if (((possible[test >> 5]! >> (test & 31)) & 1) === 0) continue
        if (((this.#literalAlphabets[test]! >> alphabet) & 1) === 0) always.push(test)
        else {
          awake[test >> 5]! |= 1 << (test & 31)
          anyAwake = true
        }
      }
    }
    return {
      always: Int32Array.from(always),
      awake,
      anyAwake,
      alphabet,
      altering: branchesOf(
        altering,
        classes,
        (test) => ((this.#literalAlphabets[test]! >> (alphabets.length - 1)) & 1) === 1,
      ),
    }
  }

  #possibleOver(classes: ClassMask): Int32Array {
    const known = this.#possible.get(classes)
    if (known !== undefined) return known
    const bits = new Int32Array(this.#words)
    this.tests.forEach(({ language }, test) => {
      if (language.possible(classes)) bits[test >> 5]! |= 1 << (test & 31)
    })
    if (this.#possible.size >= entriesMax) this.#possible.clear()
    this.#possible.set(classes, bits)
    return bits
  }
}

/** Joins pipelines that begin alike. Stages that leave a value of these classes alone, before any has changed it, are left out. */
function branchesOf(groups: readonly Group[], classes: ClassMask, needsLiteral: (test: number) => boolean): Branch[] {
  const roots: Branch[] = []
  for (const group of groups) {
    let level = roots
    for (const stage of pathTo(group.pipeline)) {
      if (level === roots && !stage.altersEmpty && (stage.altersHere & classes) === 0) continue
      let branch = level.find((one) => one.stage === stage)
      if (branch === undefined) {
        branch = { stage, groups: [], after: [], bytesMin: Number.POSITIVE_INFINITY, peek: undefined }
        level.push(branch)
      }
      if (stage === group.pipeline) branch.groups.push(group)
      level = branch.after
    }
  }
  for (const branch of roots) settle(branch, needsLiteral)
  return roots
}

function pathTo(stage: Stage): readonly Stage[] {
  return stage.parent === undefined ? [] : [...pathTo(stage.parent), stage]
}

/** Works out from the end how short a text may be, and what a look ahead would have to find. */
function settle(branch: Branch, needsLiteral: (test: number) => boolean): number {
  const own = branch.groups.map(({ bytesMin }) => bytesMin)
  const later = branch.after.map((one) => {
    const bytesMin = settle(one, needsLiteral)
    return Number.isFinite(one.stage.growth) ? bytesMin / one.stage.growth : 0
  })
  branch.bytesMin = Math.min(...own, ...later)
  const all = withLater(branch)
  const isPeekable =
    branch.stage.transformation?.name === 'base64Decode' &&
    all.every(({ groups }) => groups.every(({ tests }) => tests.every(needsLiteral))) &&
    all.slice(1).every(({ stage }) => !stage.altersEmpty)
  if (isPeekable) branch.peek = changedBy(all.slice(1).map(({ stage }) => stage))
  return branch.bytesMin
}

function withLater(branch: Branch): readonly Branch[] {
  return [branch, ...branch.after.flatMap(withLater)]
}

/** 256 flags: the bytes that one of some stages may change. */
function changedBy(stages: readonly Stage[]): Uint8Array {
  const changed = new Uint8Array(256)
  for (const { transformation, altersHere } of stages) {
    if (altersHere === 0) continue
    transformation!.alters.forEach((flag, byte) => {
      if (flag !== 0) changed[byte] = 1
    })
  }
  return changed
}

/** A flag, but for letters. */
function withoutLetters(flag: number, byte: number): number {
  return (byte | 32) >= 97 && (byte | 32) <= 122 ? 0 : flag
}

import type { SchemaError } from './operation.ts'
import { type PatternBudget, patternStepsMax } from './patterns.ts'
import { escapePointer } from './pointer.ts'

/** Whether a value fits. In an explaining run, errors are noted as well. */
export type Check = (value: unknown, run: Run, seen: Seen | undefined) => boolean

/** The properties and items of one value that some schema has spoken for; JSON Schema calls them evaluated. */
export class Seen {
  /** Every property is spoken for. */
  all = false
  names: Set<string> | undefined
  /** Names that are demanded but not listed. JSON Schema does not count them as evaluated; nor are they unknown. */
  mentioned: Set<string> | undefined
  /** Some schema lists properties, so that a property in no list is an unknown one. */
  declares = false
  /** So many items from the start. */
  items = 0
  indexes: Set<number> | undefined

  name(name: string): void {
    this.names ??= new Set()
    this.names.add(name)
  }

  mention(name: string): void {
    this.mentioned ??= new Set()
    this.mentioned.add(name)
  }

  index(index: number): void {
    this.indexes ??= new Set()
    this.indexes.add(index)
  }

  /** Takes over what a part has spoken for. */
  merge(part: Seen): void {
    if (part.all) this.all = true
    if (part.declares) this.declares = true
    if (part.items > this.items) this.items = part.items
    if (part.names !== undefined) for (const name of part.names) this.name(name)
    if (part.mentioned !== undefined) for (const name of part.mentioned) this.mention(name)
    if (part.indexes !== undefined) for (const index of part.indexes) this.index(index)
  }
}

/**
 * References followed before results are remembered: so many, and so many for each object of the message. Below that
 * remembering costs more than it saves; above it, alternatives lead to one schema over and over, and remembering keeps
 * the time from growing exponentially with depth. An explaining run does more at each step.
 */
const memoFrom = 20_000
const memoFromExplaining = 500
const referencesPerObject = 3
/** References followed in one run at most, about 40 ms. A body of 1 MB has at most some 330,000 objects. */
const referencesMax = 1_000_000

/** The message cannot be checked within its bounds. Not valid, then. */
export class TooMuch extends Error {}

/** One validation of one value. */
export class Run {
  explain: boolean
  errors: SchemaError[] = []
  readonly errorsMax: number
  readonly path: (string | number)[] = []
  readonly patterns: PatternBudget = { left: patternStepsMax }
  /** Resources entered, outermost first; for `$dynamicRef`. */
  readonly scope: string[] = []
  readonly #root: unknown
  #references = 0
  #memoFrom: number
  #isMeasured = false
  #memo: Map<Check, Map<object, Result>> | undefined

  constructor(root: unknown, explain: boolean, errorsMax: number) {
    this.#root = root
    this.#memoFrom = explain ? memoFromExplaining : memoFrom
    this.explain = explain
    this.errorsMax = errorsMax
  }

  /** Whether there is no use in looking on. */
  get isFull(): boolean {
    return this.errors.length >= this.errorsMax
  }

  /** Notes that a value is not what was expected. Always false, so that a check can return it. */
  fail(keyword: string, expected: string, value: unknown): false {
    if (this.explain && !this.isFull)
      this.errors.push({ pointer: this.#pointer(), keyword, detail: `expected ${expected}, got ${kindOf(value)}` })
    return false
  }

  /** As `fail`, in other words, and perhaps about a property of the value. */
  say(keyword: string, detail: string, property?: string | number): false {
    if (this.explain && !this.isFull) this.errors.push({ pointer: this.#pointer(property), keyword, detail })
    return false
  }

  /** Checks a property or an item. */
  at(key: string | number, check: Check, value: unknown): boolean {
    if (!this.explain) return check(value, this, undefined)
    this.path.push(key)
    const ok = check(value, this, undefined)
    this.path.pop()
    return ok
  }

  /** Checks without noting errors. */
  quietly(check: Check, value: unknown, seen: Seen | undefined): boolean {
    const { explain } = this
    this.explain = false
    const ok = check(value, this, seen)
    this.explain = explain
    return ok
  }

  /** Checks, and hands back the errors instead of noting them. */
  capture(check: Check, value: unknown, seen: Seen | undefined): readonly SchemaError[] | undefined {
    const { errors } = this
    this.errors = []
    const ok = check(value, this, seen)
    const captured = this.errors
    this.errors = errors
    return ok ? undefined : captured
  }

  note(errors: readonly SchemaError[]): void {
    for (const error of errors) if (!this.isFull) this.errors.push(error)
  }

  /** Follows a reference. */
  follow(check: Check, value: unknown, seen: Seen | undefined, mayRemember: boolean): boolean {
    if (++this.#references <= this.#memoFrom) return check(value, this, seen)
    if (!this.#isMeasured) {
      this.#isMeasured = true
      this.#memoFrom = Math.max(this.#memoFrom, countObjects(this.#root) * referencesPerObject)
      if (this.#references <= this.#memoFrom) return check(value, this, seen)
    }
    if (this.#references > referencesMax) throw new TooMuch()
    if (!mayRemember || typeof value !== 'object' || value === null) return check(value, this, seen)
    this.#memo ??= new Map()
    let known = this.#memo.get(check)
    if (known === undefined) {
      known = new Map()
      this.#memo.set(check, known)
    }
    let result = known.get(value)
    if (result === undefined || (seen !== undefined && result.seen === undefined)) {
      const own = seen === undefined ? undefined : new Seen()
      const ok = check(value, this, own)
      result = own === undefined ? (ok ? fits : fails) : { ok, seen: own }
      known.set(value, result)
    }
    if (seen !== undefined) seen.merge(result.seen!)
    return result.ok
  }

  #pointer(property?: string | number): string {
    let pointer = ''
    for (const key of this.path) pointer += `/${typeof key === 'string' ? escapePointer(key) : key}`
    if (property !== undefined) pointer += `/${typeof property === 'string' ? escapePointer(property) : property}`
    return pointer
  }
}

interface Result {
  readonly ok: boolean
  readonly seen: Seen | undefined
}

const fits: Result = { ok: true, seen: undefined }
const fails: Result = { ok: false, seen: undefined }

/** Objects and lists in a value. */
function countObjects(root: unknown): number {
  let amount = 0
  const pending: unknown[] = [root]
  while (pending.length > 0) {
    const value = pending.pop()
    if (typeof value !== 'object' || value === null) continue
    amount++
    if (Array.isArray(value)) {
      for (const item of value) if (typeof item === 'object') pending.push(item)
    } else
      for (const key in value) {
        const member = (value as Record<string, unknown>)[key]
        if (typeof member === 'object') pending.push(member)
      }
  }
  return amount
}

/** What kind of thing a value is, without telling the value. */
export function kindOf(value: unknown): string {
  switch (typeof value) {
    case 'string':
      return `a string of ${count(value.length, 'character')}`
    case 'number':
      return Number.isInteger(value) ? 'an integer' : 'a number'
    case 'boolean':
      return 'a boolean'
    default:
      if (value === null) return 'null'
      if (Array.isArray(value)) return `an array of ${count(value.length, 'item')}`
      return value === undefined ? 'nothing' : 'an object'
  }
}

/** `1 item`, `3 items`. */
export function count(amount: number, noun: string): string {
  return `${amount} ${noun}${amount === 1 ? '' : noun.endsWith('y') ? '' : 's'}`
}

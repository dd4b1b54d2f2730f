/** Whether two JSON values are equal: numbers by value, objects without regard to order (JSON Schema 2020-12, 4.2.2). */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, i) => sameJson(item, b[i]))
  if (Array.isArray(b)) return false
  const keys = Object.keys(a)
  if (keys.length !== Object.keys(b).length) return false
  return keys.every(
    (key) =>
      Object.hasOwn(b, key) && sameJson((a as Record<string, unknown>)[key], (b as Record<string, unknown>)[key]),
  )
}

/** One text for all JSON values that are equal. */
export function canonical(value: unknown): string {
  if (typeof value !== 'object' || value === null) return Object.is(value, -0) ? '0' : JSON.stringify(value)
  let text = ''
  if (Array.isArray(value)) {
    for (const item of value) text += `${canonical(item)},`
    return `[${text}]`
  }
  const keys = Object.keys(value)
  if (keys.length > 1) keys.sort()
  for (const key of keys) text += `${JSON.stringify(key)}:${canonical((value as Record<string, unknown>)[key])},`
  return `{${text}}`
}

/** Makes hashes of callers' values differ from process to process, so that nobody can prepare values that collide. */
const seed = (Math.random() * 2 ** 32) | 0

/** A quick hash: the same for values that are equal, most likely another for those that are not. */
export function hashJson(value: unknown): number {
  switch (typeof value) {
    case 'string': {
      let hash = seed
      for (let i = 0; i < value.length; i++) hash = Math.imul(hash ^ value.charCodeAt(i), 0x01000193)
      return hash
    }
    case 'number':
      // Zero and minus zero are equal, and the only two that their bits would tell apart.
      if ((value | 0) === value) return mix(value, 2)
      double[0] = value
      return mix(halves[0]!, mix(halves[1]!, 2))
    case 'boolean':
      return value ? 3 : 5
    default:
  }
  if (value === null) return 7
  let sum = 11
  if (Array.isArray(value)) for (let i = 0; i < value.length; i++) sum = mix(sum, hashJson(value[i]))
  // A sum does not depend on the order of the keys.
  else for (const key in value) sum = (sum + mix(hashJson(key), hashJson((value as Record<string, unknown>)[key]))) | 0
  return sum
}

const double = new Float64Array(1)
/** Its bits. */
const halves = new Int32Array(double.buffer)

function mix(a: number, b: number): number {
  const hash = Math.imul(a ^ seed, 0x9e3779b1) ^ b
  return Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
}

/** So many items of one hash are compared one by one; real hashes do not meet that often. */
const alikeMax = 64

/** The index of the first item that an earlier one equals, or -1. Work in proportion to the size of the list. */
export function firstDuplicate(items: readonly unknown[]): number {
  const plain = new Set<unknown>()
  const composite = new Composites(items)
  for (let i = 0; i < items.length; i++) {
    const item = items[i]
    if (typeof item !== 'object' || item === null) {
      if (plain.has(item)) return i
      plain.add(item)
    } else if (composite.has(i)) return i
  }
  return -1
}

/**
 * The lists and objects of a list by hash, in a table of numbers: a Map of 130,000 `[1]` alone would hold the event
 * loop for 20 ms.
 */
class Composites {
  readonly #items: readonly unknown[]
  #slots: Int32Array | undefined
  #hashes: Int32Array | undefined
  /** What is left when hashes meet too often: the items written out. */
  #texts: Set<string> | undefined

  constructor(items: readonly unknown[]) {
    this.#items = items
  }

  /** Whether an earlier item equals the one at an index; notes it. */
  has(index: number): boolean {
    const item = this.#items[index]
    if (this.#texts !== undefined) return this.#hasText(item)
    if (this.#slots === undefined) {
      this.#slots = new Int32Array(2 ** Math.ceil(Math.log2(this.#items.length * 2 + 2)))
      this.#hashes = new Int32Array(this.#items.length)
    }
    const slots = this.#slots
    const hashes = this.#hashes!
    const mask = slots.length - 1
    const hash = hashJson(item)
    hashes[index] = hash
    let slot = (hash ^ (hash >>> 16)) & mask
    let steps = 0
    for (let other = slots[slot]!; other !== 0; other = slots[slot]!) {
      if (hashes[other - 1] === hash && sameJson(this.#items[other - 1], item)) return true
      if (++steps > alikeMax) return this.#writeOut(index)
      slot = (slot + 1) & mask
    }
    slots[slot] = index + 1
    return false
  }

  #writeOut(index: number): boolean {
    this.#texts = new Set()
    for (let i = 0; i < index; i++) {
      const item = this.#items[i]
      if (typeof item === 'object' && item !== null) this.#texts.add(canonical(item))
    }
    return this.#hasText(this.#items[index])
  }

  #hasText(item: unknown): boolean {
    const text = canonical(item)
    if (this.#texts!.has(text)) return true
    this.#texts!.add(text)
    return false
  }
}

/** Whether a value equals one of a list, at the price of one hash however long the list is. */
export function oneOf(values: readonly unknown[]): (value: unknown) => boolean {
  const plain = new Set(values.filter((value) => typeof value !== 'object' || value === null))
  const composite = new Map<number, unknown[]>()
  for (const value of values) {
    if (typeof value !== 'object' || value === null) continue
    const hash = hashJson(value)
    const alike = composite.get(hash)
    if (alike === undefined) composite.set(hash, [value])
    else alike.push(value)
  }
  return (value) => {
    if (typeof value !== 'object' || value === null) return plain.has(value)
    if (composite.size === 0) return false
    return composite.get(hashJson(value))?.some((allowed) => sameJson(allowed, value)) ?? false
  }
}

/** Work that one message may still cause, in steps of about 3 ns. */
export interface Budget {
  left: number
}

/** Steps of a division in decimal. */
const decimalCost = 1_200

/**
 * Whether a number is a whole multiple of another, in decimal, as people mean it: 0.3 is one of 0.1. `undefined`: it
 * would take a division of many digits, and the budget is spent.
 */
export function isMultipleOf(value: number, divisor: number, budget: Budget): boolean | undefined {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0
  if (!Number.isFinite(value) || !Number.isFinite(divisor)) return false
  let known = divisors.get(divisor)
  if (known === undefined) {
    known = readDivisor(divisor)
    // Divisors come from documents and are few; the bound is for whoever feeds it others.
    if (divisors.size >= 1_000) divisors.clear()
    divisors.set(divisor, known)
  }
  const { power, small } = known
  if (power !== undefined) {
    // Fifteen digits mean one double and are meant by one; so both numbers can be taken times the power of ten.
    const scaled = Math.round(value * power)
    if (Math.abs(scaled) < 1e15 && scaled / power === value) return scaled % small === 0
  }
  if (budget.left < decimalCost) return undefined
  budget.left -= decimalCost
  return isDecimalMultiple(value, known)
}

interface Divisor {
  /** Its digits as an integer, and how many of them are decimals. */
  readonly digits: bigint
  readonly scale: number
  /** The power of ten that makes it the integer `small`, where doubles hold both exactly. */
  readonly power: number | undefined
  readonly small: number
  /** Powers of ten modulo its digits, as they were needed. A double has some 600 at most. */
  readonly remainders: Map<number, bigint>
}

const divisors = new Map<number, Divisor>()

function readDivisor(divisor: number): Divisor {
  const [digits, scale] = decimal(divisor)
  const isSmall = scale >= 0 && scale <= 15 && digits < 1_000_000_000_000_000n
  return { digits, scale, power: isSmall ? 10 ** scale : undefined, small: Number(digits), remainders: new Map() }
}

function isDecimalMultiple(value: number, { digits, scale, remainders }: Divisor): boolean {
  const [own, ownScale] = decimal(value)
  const shift = scale - ownScale
  // Decimals below the divisor's: only zero, or digits that end in enough zeros, are multiples.
  if (shift < 0) return -shift > 40 ? own === 0n : own % (digits * 10n ** BigInt(-shift)) === 0n
  let remainder = remainders.get(shift)
  if (remainder === undefined) {
    remainder = 10n ** BigInt(shift) % digits
    remainders.set(shift, remainder)
  }
  return (own * remainder) % digits === 0n
}

/** The shortest decimal that means this double: its digits as an integer, and by how many places to shift them down. */
function decimal(value: number): [bigint, number] {
  const text = String(value)
  const e = text.indexOf('e')
  const mantissa = e < 0 ? text : text.slice(0, e)
  const dot = mantissa.indexOf('.')
  const exponent = e < 0 ? 0 : Number(text.slice(e + 1))
  if (dot < 0) return [BigInt(mantissa), -exponent]
  return [BigInt(mantissa.slice(0, dot) + mantissa.slice(dot + 1)), mantissa.length - dot - 1 - exponent]
}

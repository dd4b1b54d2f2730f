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
      return mix(Number.isInteger(value) ? value | 0 : (value * 1e9) | 0, 2)
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

function mix(a: number, b: number): number {
  const hash = Math.imul(a ^ seed, 0x9e3779b1) ^ b
  return Math.imul(hash ^ (hash >>> 15), 0x85ebca6b)
}

/** The index of the first item that an earlier one equals, or -1. Work in proportion to the size of the list. */
export function firstDuplicate(items: readonly unknown[]): number {
  const plain = new Set<unknown>()
  // Composite items by hash; only those whose hashes meet are written out to be compared.
  const composite = new Map<number, number | Set<string>>()
  for (let i = 0; i < items.length; i++) {
    const item = items[i]
    if (typeof item !== 'object' || item === null) {
      if (plain.has(item)) return i
      plain.add(item)
      continue
    }
    const hash = hashJson(item)
    const before = composite.get(hash)
    if (before === undefined) {
      composite.set(hash, i)
      continue
    }
    const texts = typeof before === 'number' ? new Set([canonical(items[before])]) : before
    const text = canonical(item)
    if (texts.has(text)) return i
    texts.add(text)
    composite.set(hash, texts)
  }
  return -1
}

/** Whether a number is a whole multiple of another, in decimal, as people mean it: 0.3 is one of 0.1. */
export function isMultipleOf(value: number, divisor: number): boolean {
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0
  if (!Number.isFinite(value) || !Number.isFinite(divisor)) return false
  const [a, aScale] = decimal(value)
  const [b, bScale] = decimal(divisor)
  const scale = Math.max(aScale, bScale)
  return (a * 10n ** BigInt(scale - aScale)) % (b * 10n ** BigInt(scale - bScale)) === 0n
}

/** The shortest decimal that means this double, as an integer and how many of its digits are decimals. */
function decimal(value: number): [bigint, number] {
  const [, digits, , fraction = '', exponent = '0'] = /^(-?\d+)(\.(\d+))?(?:e([+-]?\d+))?$/.exec(String(value))!
  const scale = fraction.length - Number(exponent)
  const integer = BigInt(digits! + fraction)
  return scale >= 0 ? [integer, scale] : [integer * 10n ** BigInt(-scale), 0]
}

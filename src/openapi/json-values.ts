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

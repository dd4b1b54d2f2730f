import type { Operator } from './operator.ts'

type Comparison = (value: number, limit: number) => boolean

const comparisons: Readonly<Record<'eq' | 'ge' | 'gt' | 'le' | 'lt', Comparison>> = {
  eq: (value, limit) => value === limit,
  ge: (value, limit) => value >= limit,
  gt: (value, limit) => value > limit,
  le: (value, limit) => value <= limit,
  lt: (value, limit) => value < limit,
}

/** `eq`, `ge`, `gt`, `le`, `lt`: compares whole numbers. What is none counts as 0, what follows one does not count. */
export function compareNumbers(name: keyof typeof comparisons, argument: string): Operator {
  const limit = integerOf(argument)
  const holds = comparisons[name]
  return { test: (value) => holds(integerOf(value), limit) }
}

/** The whole number a value begins with, as `atoi` of C reads it; beyond 2⁵³ the nearest one that a double has. */
export function integerOf(value: string): number {
  let i = 0
  while (i < value.length && isWhite(value.charCodeAt(i))) i++
  const sign = value.charCodeAt(i)
  const negative = sign === 0x2d
  if (negative || sign === 0x2b) i++
  let number = 0
  for (; i < value.length; i++) {
    const digit = value.charCodeAt(i) - 0x30
    if (digit < 0 || digit > 9) break
    number = number * 10 + digit
  }
  // Never -0: Object.is would tell it from 0.
  return negative && number !== 0 ? -number : number
}

function isWhite(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d)
}

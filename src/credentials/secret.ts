import { Lru } from '../base/lru.ts'

/** A credential that was not accepted. `reason` is for the operator; callers get one and the same answer. */
export interface Refusal<Reason extends string> {
  readonly kind: 'refused'
  readonly reason: Reason
}

/** A refusal as a constant. */
export function refused<Reason extends string>(reason: Reason): Refusal<Reason> {
  return { kind: 'refused', reason }
}

const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** A number, or bytes read as one, in base 62 with exactly `length` digits; what does not fit is cut off on the left. */
export function base62(value: Uint8Array | number, length: number): string {
  let text = ''
  if (typeof value === 'number') {
    for (let rest = value; text.length < length; rest = Math.floor(rest / 62)) text = digits[rest % 62]! + text
    return text
  }
  let rest = BigInt(`0x${Buffer.from(value).toString('hex')}`)
  for (; text.length < length; rest /= 62n) text = digits[Number(rest % 62n)]! + text
  return text
}

/**
 * Compares two hashes as texts; how long it takes tells nothing about where they differ. A loop, because
 * `timingSafeEqual` needs both as bytes, which costs ten times as much as comparing them (bench/state.ts).
 */
export function constantTimeEqual(a: string, b: string): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}

const sets = new Lru<string, ReadonlySet<string>>({ entriesMax: 10_000 })

/** The words as a set; equal lists share one, so that a million keys with the same rights cost little. */
export function setOf(words: readonly string[]): ReadonlySet<string> {
  const name = JSON.stringify(words)
  let set = sets.get(name)
  if (set === undefined) {
    set = new Set(words)
    sets.set(name, set)
  }
  return set
}

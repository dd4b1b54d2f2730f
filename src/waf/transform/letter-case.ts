import { bytesOf, stringOf } from './scratch.ts'
import { firstOf, flagsWhere, type Transformation, transformation } from './transformation.ts'

const isUpper = flagsWhere((byte) => byte >= 0x41 && byte <= 0x5a)
const isLower = flagsWhere((byte) => byte >= 0x61 && byte <= 0x7a)

/** `A` to `Z` small. Other bytes stay: they belong to no alphabet here. */
export const lowercase: Transformation = transformation('lowercase', isUpper, (value) => turn(value, isUpper))

/** `a` to `z` large. */
export const uppercase: Transformation = transformation('uppercase', isLower, (value) => turn(value, isLower))

function turn(value: string, flags: Uint8Array): string {
  const first = firstOf(value, flags)
  if (first === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  for (let i = first; i < length; i++) if (flags[bytes[i]!] === 1) bytes[i]! ^= 0x20
  return stringOf(bytes, length)
}

import { bytesOf, stringOf } from './scratch.ts'
import { firstOf, type Transformation, transformation } from './transformation.ts'

/** Sets the eighth bit so that the number of bits is even. */
export const parityEven7bit: Transformation = byByte('parityEven7bit', (byte) => withParity(byte, 0))

/** Sets the eighth bit so that the number of bits is odd. */
export const parityOdd7bit: Transformation = byByte('parityOdd7bit', (byte) => withParity(byte, 1))

/** Clears the eighth bit. */
export const parityZero7bit: Transformation = byByte('parityZero7bit', (byte) => byte & 0x7f)

/** As ModSecurity has it, the parity is that of all eight bits: a byte above 127 counts its eighth. */
function withParity(byte: number, wanted: 0 | 1): number {
  let odd = 0
  for (let rest = byte; rest !== 0; rest >>= 1) odd ^= rest & 1
  return odd === wanted ? byte & 0x7f : byte | 0x80
}

function byByte(name: string, turn: (byte: number) => number): Transformation {
  const turned = Uint8Array.from({ length: 256 }, (_, byte) => turn(byte))
  const alters = turned.map((to, byte) => (to === byte ? 0 : 1))
  return transformation(name, alters, (value) => {
    const first = firstOf(value, alters)
    if (first === -1) return value
    const bytes = bytesOf(value)
    for (let i = first; i < value.length; i++) bytes[i] = turned[bytes[i]!]!
    return stringOf(bytes, value.length)
  })
}

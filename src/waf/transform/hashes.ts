import { hash } from 'node:crypto'
import { bytesOf } from './scratch.ts'
import { anyByte, type Transformation, transformation } from './transformation.ts'

/** The 16 bytes of the MD5 hash. */
export const md5: Transformation = transformation('md5', anyByte, (value) => digest('md5', value))

/** The 20 bytes of the SHA-1 hash. */
export const sha1: Transformation = transformation('sha1', anyByte, (value) => digest('sha1', value))

function digest(algorithm: string, value: string): string {
  return hash(algorithm, bytesOf(value).subarray(0, value.length), 'buffer').toString('latin1')
}

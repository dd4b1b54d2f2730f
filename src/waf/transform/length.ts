import { anyByte, type Transformation, transformation } from './transformation.ts'

/** How many bytes, in decimal digits. */
export const length: Transformation = transformation('length', anyByte, (value) => String(value.length))

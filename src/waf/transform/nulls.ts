import { type Transformation, transformation } from './transformation.ts'

/** Takes out NUL bytes. */
export const removeNulls: Transformation = transformation('removeNulls', '\0', (value) =>
  value.includes('\0') ? value.replaceAll('\0', '') : value,
)

/** A space in place of each NUL byte. */
export const replaceNulls: Transformation = transformation('replaceNulls', '\0', (value) =>
  value.includes('\0') ? value.replaceAll('\0', ' ') : value,
)

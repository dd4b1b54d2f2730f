import { type Transformation, transformation } from './transformation.ts'

/**
 * What PHP makes of a parameter's name: leading spaces go, `.`, space and an unclosed `[` become `_`, and behind the last index of an array there
 * is nothing. A name that begins with `[` is none.
 */
export const phpArgsNames: Transformation = transformation('phpArgsNames', ' .[', (value) => {
  let start = 0
  while (value.charCodeAt(start) === 0x20) start++
  const bracket = value.indexOf('[', start)
  const name = value.slice(start, bracket === -1 ? undefined : bracket).replace(/[ .]/g, '_')
  if (bracket === -1) return name === value ? value : name
  if (name === '') return ''
  const indices = readIndices(value, bracket)
  if (indices !== '') return name + indices
  return `${name}_${value.slice(bracket + 1)}`
})

/** `[a][b]`, as far as they are closed and follow each other. Spaces before a closing bracket do not count. */
function readIndices(value: string, bracket: number): string {
  let indices = ''
  for (let at = bracket; value.charCodeAt(at) === 0x5b; ) {
    const close = value.indexOf(']', at + 1)
    if (close === -1) break
    const index = value.slice(at + 1, close)
    indices += `[${index.trim() === '' ? '' : index}]`
    at = close + 1
  }
  return indices
}

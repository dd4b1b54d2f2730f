import { type Transformation, transformation } from './transformation.ts'

/**
 * Takes out empty segments, `.`, and `..` with the segment before it; never above the root, and a relative path keeps the `..` it begins with.
 * A slash at the end stays.
 */
export const normalizePath: Transformation = transformation('normalizePath', '/.', normalize)

/** The same with backslashes for slashes. */
export const normalizePathWin: Transformation = transformation('normalizePathWin', '/.\\', (value) =>
  normalize(value.includes('\\') ? value.replaceAll('\\', '/') : value),
)

function normalize(value: string): string {
  if (!needsWork(value)) return value
  const isAbsolute = value.startsWith('/')
  const kept: string[] = []
  for (const segment of value.split('/')) {
    if (segment === '' || segment === '.') continue
    if (segment !== '..') kept.push(segment)
    else if (kept.length > 0 && kept.at(-1) !== '..') kept.pop()
    else if (!isAbsolute) kept.push('..')
  }
  const path = kept.join('/')
  if (isAbsolute) return value.endsWith('/') && path !== '' ? `/${path}/` : `/${path}`
  return value.endsWith('/') && path !== '' ? `${path}/` : path
}

/** Whether there is an empty segment, or one that begins with a dot: most values have neither. */
function needsWork(value: string): boolean {
  if (value.startsWith('.')) return true
  for (let at = value.indexOf('/'); at !== -1; at = value.indexOf('/', at + 1)) {
    const next = value.charCodeAt(at + 1)
    if (next === 0x2f || next === 0x2e) return true
  }
  return false
}

import type { Operation } from './operation.ts'
import { templateShape } from './paths.ts'

/** Whether a rule is about an operation. */
export type Selector = (operation: Operation) => boolean

const help = 'expected op:ID, tag:NAME, METHOD /path with * for one segment and ** for the rest, or *'

/**
 * Reads what a rule says it is about: `op:login`, `tag:orders`, `GET /orders/*`, `* /admin/**`, `/orders/{id}`, `*`, or
 * a list of them, of which one must fit. Throws an Error that says what was expected.
 */
export function parseSelector(text: string | readonly string[]): Selector {
  if (typeof text !== 'string') {
    if (text.length === 0) throw new Error(`an empty list selects nothing; ${help}`)
    const selectors = text.map((one) => parseSelector(one))
    return (operation) => selectors.some((selects) => selects(operation))
  }
  const trimmed = text.trim()
  if (trimmed === '*') return () => true
  const named = /^(op|tag):(.+)$/.exec(trimmed)
  if (named !== null) {
    const name = named[2]!.trim()
    return named[1] === 'op' ? (operation) => operation.id === name : (operation) => operation.tags.includes(name)
  }
  const located = /^(?:(\*|[A-Za-z]+(?:\|[A-Za-z]+)*)\s+)?(\/\S*)$/.exec(trimmed)
  if (located === null) throw new Error(`cannot read the selector "${trimmed.slice(0, 80)}"; ${help}`)
  const [, methods = '*', path] = located
  const fitsMethod = methodMatcher(methods)
  const fitsPath = pathMatcher(path!)
  return (operation) => fitsMethod(operation.method) && fitsPath(operation)
}

/** As `parseSelector`, for rules that also take `GET *` for every path, as `*` alone is every operation. */
export function parseMatch(text: string): Selector {
  return parseSelector(text.replace(/^(\S+)\s+\*$/, '$1 /**'))
}

function methodMatcher(written: string): (method: string) => boolean {
  if (written === '*') return () => true
  const methods = new Set(written.split('|').map((method) => method.toUpperCase()))
  return (method) => methods.has(method.toUpperCase())
}

/** A path of the document, with or without its base path. Parameters may have any name; `*` fits them too. */
function pathMatcher(written: string): (operation: Operation) => boolean {
  const source = templateShape(written)
    .split(/(\*\*|\*|\{\})/)
    .map((part) => (part === '**' ? '.*' : part === '*' ? '[^/]+' : part.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')))
    .join('')
  // "/orders/**" is about /orders too.
  const pattern = new RegExp(`^${source.replace(/\/\.\*$/, '(?:/.*)?')}$`)
  return ({ path, document }) => {
    const shape = templateShape(path)
    if (pattern.test(shape)) return true
    const { basePath } = document
    return basePath !== '' && shape.startsWith(basePath) && pattern.test(shape.slice(basePath.length) || '/')
  }
}

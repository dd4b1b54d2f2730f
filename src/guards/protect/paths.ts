/*
 * Paths of fields: the part of JSONPath (RFC 9535) that names places without looking at values, and JSON Pointers (RFC 6901)
 * with `*` for any name or index. A path is a list of steps; while a value is walked, the places reached in it are kept as a
 * set of numbers of steps.
 */

export interface Step {
  /** `undefined`: any name, any index. */
  readonly name: string | undefined
  /** Any number of levels may lie before it. */
  readonly deep: boolean
}

export class PathError extends Error {
  override readonly name = 'PathError'
}

const stepsMax = 30

/** Reads a path. Throws `PathError` with what is not understood. */
export function parsePath(text: string): readonly Step[] {
  const steps = text.startsWith('/') ? pointerSteps(text) : pathSteps(text)
  if (steps.length === 0) throw new PathError('the whole body is no field: name one, such as $..cardNumber')
  if (steps.length > stepsMax) throw new PathError(`a path has at most ${stepsMax} steps`)
  return steps
}

function pointerSteps(text: string): Step[] {
  return text
    .slice(1)
    .split('/')
    .map((token) => {
      if (/~(?![01])/.test(token)) throw new PathError(`"~" stands alone in "${token}": write ~0 (RFC 6901)`)
      return { name: token === '*' ? undefined : token.replaceAll('~1', '/').replaceAll('~0', '~'), deep: false }
    })
}

const segment =
  /(\.\.|\.)?(?:\[\s*(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|(\*)|(\d+))\s*\]|([\p{L}_][\p{L}\p{N}_-]*)|(\*))/uy

function pathSteps(text: string): Step[] {
  if (!text.startsWith('$')) throw new PathError('a path begins with $ (JSONPath) or with / (JSON Pointer)')
  const steps: Step[] = []
  segment.lastIndex = 1
  while (segment.lastIndex < text.length) {
    const at = segment.lastIndex
    const match = segment.exec(text)
    if (match === null) throw new PathError(`"${text.slice(at)}" is not understood: names, [*], [0] and .. are`)
    const [, dots, single, double, anyBracket, index, word, anyWord] = match
    const isBracket = single !== undefined || double !== undefined || anyBracket !== undefined || index !== undefined
    if (isBracket ? dots === '.' : dots === undefined) throw new PathError(`"${match[0]}" is not understood`)
    const any = anyBracket !== undefined || anyWord !== undefined
    const quoted = single ?? double
    const name = any ? undefined : (quoted?.replace(/\\(.)/g, '$1') ?? index ?? word)
    steps.push({ name, deep: dots === '..' })
  }
  return steps
}

/** Where a walk stands in one path: the steps that may come next. Bit by bit, as a path has few. */
export type Standing = number

export const start: Standing = 1

/** Where a walk stands one level deeper. */
export function descend(steps: readonly Step[], standing: Standing, name: string): Standing {
  let next = 0
  for (let i = 0; i < steps.length; i++) {
    if ((standing & (1 << i)) === 0) continue
    const step = steps[i]!
    if (step.deep) next |= 1 << i
    if (step.name === undefined || step.name === name) next |= 1 << (i + 1)
  }
  return next
}

/** Whether a walk stands at the field. */
export function isAt(steps: readonly Step[], standing: Standing): boolean {
  return (standing & (1 << steps.length)) !== 0
}

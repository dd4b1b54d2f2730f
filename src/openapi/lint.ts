import type { ConfigError } from '../base/errors.ts'
import { type LoadOptions, readWithOverlays } from './document.ts'
import { child } from './pointer.ts'
import { dialectOf } from './references.ts'

/** How many deviations are told: the first few usually explain the others. */
export const findingsMax = 20

interface SchemaFailure {
  readonly instancePath: string
  readonly keyword: string
  readonly message?: string
  readonly params?: Readonly<Record<string, unknown>>
}

/**
 * Compares a document, as its overlays leave it, with the schema that the OpenAPI Initiative publishes for its
 * version. Apart from loading, because it costs a start some hundred milliseconds and tells mostly of matters of form;
 * what decides how a document is served is found by `loadDocument`.
 */
export async function lintDocument(
  options: Pick<LoadOptions, 'file' | 'overlays' | 'read'>,
): Promise<readonly ConfigError[]> {
  const { root, complaints } = await readWithOverlays(options)
  const dialect = dialectOf(root.root)
  if (dialect === undefined) return []
  // Here, so that nobody who only loads documents pays for it.
  const { Validator } = await import('@seriousme/openapi-schema-validator')
  const { valid, errors } = await new Validator({ allErrors: true }).validate(root.root as Record<string, unknown>)
  // Errors as a text are about references, which are followed when the document is loaded.
  if (valid || !Array.isArray(errors)) return []
  for (const { pointer, message } of mostTelling(errors as readonly SchemaFailure[])) {
    complaints.warn('P2031', { source: root, pointer }, `does not fit the schema of OpenAPI ${dialect}: ${message}`)
  }
  root.release()
  return complaints.allWarnings()
}

/** Keywords that only say that one of several forms should fit; what is wrong is said by the forms. */
const umbrellas = new Set(['oneOf', 'anyOf', 'allOf', 'if', 'not', 'dependentSchemas'])

/**
 * Where several forms are allowed, the schema complains for each that does not fit. The complaints that lie deepest
 * come from the form that was meant.
 */
function mostTelling(failures: readonly SchemaFailure[]): { readonly pointer: string; readonly message: string }[] {
  const told = failures
    .filter(({ keyword, params }) => !umbrellas.has(keyword) && params?.missingProperty !== '$ref')
    .map(({ instancePath, message = 'it is not allowed here', params }) => {
      const extra = params?.additionalProperty ?? params?.unevaluatedProperty
      return typeof extra === 'string'
        ? { pointer: child(instancePath, extra), message: `the key "${extra}" is unknown here` }
        : { pointer: instancePath, message: describe(message, params) }
    })
  const paths = new Set(told.map(({ pointer }) => pointer))
  // A path that leads on to another complaint is an umbrella too.
  const inner = new Set<string>()
  for (const path of paths) {
    for (let cut = path.lastIndexOf('/'); cut > 0; cut = path.lastIndexOf('/', cut - 1)) inner.add(path.slice(0, cut))
  }
  const seen = new Set<string>()
  const best = told.filter(({ pointer }) => {
    if (inner.has(pointer) || seen.has(pointer)) return false
    seen.add(pointer)
    return true
  })
  const chosen =
    best.length > 0
      ? best
      : failures.slice(0, 1).map(({ instancePath, message = '' }) => ({ pointer: instancePath, message }))
  return chosen.slice(0, findingsMax)
}

function describe(message: string, params: Readonly<Record<string, unknown>> | undefined): string {
  const values = params?.allowedValues ?? params?.allowedValue
  return values === undefined ? message : `${message}: ${JSON.stringify(values).slice(0, 200)}`
}

import type {
  ApiDocument,
  SchemaError,
  SchemaOutline,
  SchemaRef,
  Validate,
  ValidateOptions,
  ValueForm,
} from './operation.ts'
import { SchemaCompiler } from './schema-compiler.ts'
import { createForms } from './schema-forms.ts'
import { outlineOf } from './schema-outline.ts'
import { type Located, References } from './schema-references.ts'
import { type Check, kindOf, Run, TooMuch } from './validation-run.ts'

/** Errors told of one value; the next ones are left out. */
export const schemaErrorsMax = 50

const noErrors: readonly SchemaError[] = []

/**
 * Makes the validators of one document. `resources` are its files by absolute URI, in OpenAPI 3.1 terms; a reference
 * may lead from any of them to any other, and nowhere else.
 *
 * Every validator runs twice at most: first only for yes or no, and for a no once more to say why.
 */
export function createValidators(
  resources: ReadonlyMap<string, unknown>,
  options: {
    /** The version the document was written in: `3.0.3`. Before 3.1, what stands beside `$ref` does not count. */
    readonly openapi: string
    /** `ignore` makes `format` an annotation; for JSON Schema's own test suite. */
    readonly formats?: 'assert' | 'ignore'
  },
): ApiDocument['validator'] {
  const references = new References(resources)
  const formOf = createForms(references)
  const refAlone = /^(?:1|2|3\.0)(?:\.|$)/.test(options.openapi)
  const formats = options.formats !== 'ignore'
  // Asked here, at load, because it looks through the whole document.
  const isDynamic = !refAlone && references.usesDynamic
  const compilers = new Map<string, SchemaCompiler>()
  const validators = new Map<SchemaCompiler, Map<object, Map<number, Validate>>>()

  return (ref: SchemaRef, direction, { unknown = 'refuse', errorsMax = schemaErrorsMax }: ValidateOptions = {}) => {
    const dialect = `${direction} ${unknown}`
    let compiler = compilers.get(dialect)
    if (compiler === undefined) {
      compiler = new SchemaCompiler(references, {
        direction,
        refuseUnknown: unknown === 'refuse',
        refAlone,
        isDynamic,
        formats,
      })
      compilers.set(dialect, compiler)
      validators.set(compiler, new Map())
    }
    const bySchema = validators.get(compiler)!
    const key = typeof ref.schema === 'object' ? ref.schema : ref
    const known = bySchema.get(key)?.get(errorsMax)
    if (known !== undefined) return known
    const located = locate(references, ref)
    const validate = toValidate(
      compiler.outermost(located),
      errorsMax,
      () => outlineOf(references, located),
      () => formOf(located),
    )
    const byMax = bySchema.get(key)
    if (byMax === undefined) bySchema.set(key, new Map([[errorsMax, validate]]))
    else byMax.set(errorsMax, validate)
    return validate
  }
}

/** A schema that stands at its place in the files has its bases from there; any other has its file's. */
export function locate(references: References, ref: SchemaRef): Located {
  const found = references.resolve(ref.uri, 'file:///')
  if (found !== undefined && found.schema === ref.schema) return found
  const hash = ref.uri.indexOf('#')
  return { schema: ref.schema, base: hash < 0 ? ref.uri : ref.uri.slice(0, hash), at: ref.uri }
}

function toValidate(check: Check, errorsMax: number, outline: () => SchemaOutline, form: () => ValueForm): Validate {
  let known: SchemaOutline | undefined
  const validate = (value: unknown): readonly SchemaError[] => {
    try {
      if (check(value, new Run(value, false, 0), undefined)) return noErrors
      const run = new Run(value, true, errorsMax)
      check(value, run, undefined)
      return run.errors.length > 0 ? run.errors : [refused(value)]
    } catch (error) {
      // A value too deep for the stack, or too much work: it has not been checked, so it is not valid.
      if (error instanceof TooMuch || error instanceof RangeError)
        return [
          { pointer: '', keyword: 'complexity', detail: 'expected a value that can be checked with bounded work' },
        ]
      throw error
    }
  }
  Object.defineProperty(validate, 'outline', {
    get: () => {
      known ??= outline()
      return known
    },
  })
  Object.defineProperty(validate, 'form', { get: form })
  return validate
}

function refused(value: unknown): SchemaError {
  return { pointer: '', keyword: 'schema', detail: `expected a value that fits its schema, got ${kindOf(value)}` }
}

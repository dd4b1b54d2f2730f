import type { SchemaError } from './operation.ts'
import { isObject } from './pointer.ts'
import type { SchemaCompiler } from './schema-compiler.ts'
import type { Located } from './schema-references.ts'
import { type Check, Seen } from './validation-run.ts'

/** How a property of the value tells which alternative it claims to be. */
export interface Selector {
  readonly property: string
  /** Index of the alternative by the property's value. */
  readonly byValue: ReadonlyMap<string, number>
  /** OpenAPI 3.2: the alternative for values without the property, or with one that is not known. */
  readonly fallback: number | undefined
}

/** Reads a `discriminator`: its mapping, the names of the schemas referred to, and constants in the alternatives. */
export function discriminated(
  compiler: SchemaCompiler,
  located: Located,
  children: readonly Located[],
  discriminator: Record<string, unknown> | undefined,
): Selector | undefined {
  const property = discriminator?.propertyName
  if (discriminator === undefined || typeof property !== 'string') return undefined
  const targets = children.map((child) => {
    const reference = isObject(child.schema) ? child.schema.$ref : undefined
    return typeof reference === 'string'
      ? {
          name: reference.slice(reference.lastIndexOf('/') + 1),
          located: compiler.references.resolve(reference, child.base),
        }
      : { name: undefined, located: child }
  })
  const byValue = new Map<string, number>()
  // Names first, then constants, then the mapping: the later ones say it more exactly.
  for (const [i, target] of targets.entries()) if (target.name !== undefined) byValue.set(target.name, i)
  for (const [i, target] of targets.entries())
    for (const constant of constants(compiler, target.located, property, new Set())) byValue.set(constant, i)
  const indexOf = (reference: unknown): number => {
    if (typeof reference !== 'string') return -1
    const meant =
      compiler.references.namedSchema(located.base, reference) ?? compiler.references.resolve(reference, located.base)
    return meant === undefined ? -1 : targets.findIndex((target) => target.located?.schema === meant.schema)
  }
  for (const [value, reference] of Object.entries(isObject(discriminator.mapping) ? discriminator.mapping : {})) {
    const index = indexOf(reference)
    if (index >= 0) byValue.set(value, index)
  }
  const fallback = indexOf(discriminator.defaultMapping)
  return byValue.size === 0 ? undefined : { property, byValue, fallback: fallback < 0 ? undefined : fallback }
}

/** The strings that a schema allows for one of its properties, where it lists them. */
function constants(
  compiler: SchemaCompiler,
  located: Located | undefined,
  property: string,
  visited: Set<unknown>,
): readonly string[] {
  const schema = located?.schema
  if (located === undefined || !isObject(schema) || visited.has(schema)) return []
  visited.add(schema)
  const own = isObject(schema.properties) ? schema.properties[property] : undefined
  if (isObject(own)) {
    const listed = Object.hasOwn(own, 'const') ? [own.const] : Array.isArray(own.enum) ? own.enum : []
    const strings = listed.filter((value) => typeof value === 'string')
    if (strings.length > 0) return strings
  }
  if (typeof schema.$ref === 'string')
    return constants(compiler, compiler.references.resolve(schema.$ref, located.base), property, visited)
  // The last part that narrows it counts: a parent often lists the constants of all its kinds.
  if (Array.isArray(schema.allOf))
    for (const part of schema.allOf.toReversed()) {
      const found = constants(compiler, { ...located, schema: part }, property, visited)
      if (found.length === 1) return found
    }
  return []
}

/** `oneOf` and `anyOf`. */
export function branches(keyword: 'oneOf' | 'anyOf', checks: readonly Check[], selector: Selector | undefined): Check {
  const every = keyword === 'oneOf' ? exactlyOne(checks) : atLeastOne(checks)
  if (selector === undefined) return every
  const { property, byValue, fallback } = selector
  const known = [...byValue.keys()].slice(0, 12).map((value) => JSON.stringify(value))
  const expected = `one of ${known.join(', ')}${byValue.size > 12 ? ', …' : ''}`
  return (value, run, seen) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return every(value, run, seen)
    const claim = Object.hasOwn(value, property) ? (value as Record<string, unknown>)[property] : undefined
    const index = (typeof claim === 'string' ? byValue.get(claim) : undefined) ?? fallback
    // A claim that is known settles which alternative counts, for the verdict and for the errors.
    if (index !== undefined) return checks[index]!(value, run, seen)
    // One that is not is judged by the alternatives themselves: a discriminator never makes the invalid valid.
    if (run.quietly(every, value, seen)) return true
    if (claim === undefined) return run.say('required', 'expected this property, got nothing', property)
    return run.at(property, (found) => run.fail('discriminator', expected, found), claim)
  }
}

function exactlyOne(checks: readonly Check[]): Check {
  return (value, run, seen) => {
    const failures: (readonly SchemaError[])[] = []
    let fits: Seen | undefined
    let amount = 0
    for (let i = 0; i < checks.length; i++) {
      const own = seen === undefined ? undefined : new Seen()
      if (run.explain) {
        const errors = run.capture(checks[i]!, value, own)
        if (errors !== undefined) {
          failures.push(errors)
          continue
        }
      } else if (!checks[i]!(value, run, own)) continue
      if (++amount > 1)
        return run.say('oneOf', `expected exactly one of ${checks.length} alternatives to fit, but several do`)
      fits = own
    }
    if (amount === 0) return noneFits(run, value, 'oneOf', checks.length, failures)
    if (seen !== undefined) seen.merge(fits!)
    return true
  }
}

function atLeastOne(checks: readonly Check[]): Check {
  return (value, run, seen) => {
    const failures: (readonly SchemaError[])[] = []
    let ok = false
    for (let i = 0; i < checks.length; i++) {
      const own = seen === undefined ? undefined : new Seen()
      if (run.explain) {
        const errors = run.capture(checks[i]!, value, own)
        if (errors !== undefined) {
          failures.push(errors)
          continue
        }
      } else if (!checks[i]!(value, run, own)) continue
      ok = true
      if (seen === undefined) return true
      seen.merge(own!)
    }
    return ok || noneFits(run, value, 'anyOf', checks.length, failures)
  }
}

const unknownKeywords = new Set([
  'unknownProperty',
  'additionalProperties',
  'unevaluatedProperties',
  'readOnly',
  'writeOnly',
])

/** Says that no alternative fits, and why the nearest does not. */
function noneFits(
  run: Parameters<Check>[1],
  value: unknown,
  keyword: string,
  amount: number,
  failures: readonly (readonly SchemaError[])[],
): false {
  if (!run.explain) return false
  let nearest = failures[0] ?? []
  for (const errors of failures)
    if (distance(errors, run.path.length) < distance(nearest, run.path.length)) nearest = errors
  // Only what is too much is wrong: then it is enough to name that.
  if (nearest.length === 0 || !nearest.every((error) => unknownKeywords.has(error.keyword)))
    run.fail(keyword, `a value that fits one of ${amount} alternatives`, value)
  run.note(nearest)
  return false
}

function distance(errors: readonly SchemaError[], depth: number): number {
  let sum = 0
  for (const { keyword, pointer } of errors) {
    const below = pointer.split('/').length - 1 - depth
    if (keyword === 'type' && below <= 0) sum += 1000
    else if ((keyword === 'const' || keyword === 'enum') && below <= 1) sum += 100
    else sum += unknownKeywords.has(keyword) ? 1 : 10
  }
  return sum
}

import { ConfigError } from '../base/errors.ts'
import { formatOf, numberFormatOf } from './formats.ts'
import { firstDuplicate, isMultipleOf, oneOf } from './json-values.ts'
import type { Schema } from './operation.ts'
import { compilePattern, type Pattern } from './patterns.ts'
import { isObject } from './pointer.ts'
import { branches, discriminated } from './schema-alternatives.ts'
import { baseOf, type Located, type References } from './schema-references.ts'
import { type Check, count, type Run, Seen } from './validation-run.ts'

/** What a compiler takes for granted. */
export interface Dialect {
  readonly direction: 'request' | 'response'
  /** Whether properties that no schema lists are refused where the document says nothing of others. */
  readonly refuseUnknown: boolean
  /** Schemas of OpenAPI 2.0 and 3.0: what stands beside `$ref` is ignored (3.0.4, 4.23). */
  readonly refAlone: boolean
  /** Whether the way by which a schema is reached matters (`$dynamicRef`). */
  readonly isDynamic: boolean
  /** Whether `format` asserts. */
  readonly formats: boolean
}

/** How the schema at hand is reached within the value it speaks of. */
export interface Context {
  /** Properties that must not be sent in this direction somewhere in the whole, so that nobody may demand them. */
  readonly exempt: ReadonlySet<string>
  /** As a part of a `allOf`, where a discriminator has already been followed. */
  readonly isPart: boolean
  /** The properties of this schema are all there are: refuse others right where they are read. */
  readonly isWhole: boolean
}

/** What a schema and all that applies at the same place say of an object's properties. */
interface Outline {
  /** Which properties are known depends on the value. */
  branching: boolean
  open: boolean
  declares: boolean
  readonly names: Set<string>
  readonly patterns: Set<string>
  /** Read-only in requests, write-only in responses. */
  readonly hidden: Set<string>
  /** The same, whatever the value: a property that is not in here is in no part of the schema. */
  readonly anyhow: { open: boolean; readonly names: Set<string>; readonly patterns: Set<string> }
}

const none: ReadonlySet<string> = new Set()
const plain: Context = { exempt: none, isPart: false, isWhole: false }

export const pass: Check = () => true

/**
 * Turns schemas into closures, each on first use. One compiler serves one document in one dialect, and knows every
 * schema once, so it is bounded by the document.
 */
export class SchemaCompiler {
  readonly references: References
  readonly dialect: Dialect
  readonly #entries = new Map<object, Check>()
  /** Nearly every schema is compiled in the plain context only; a map of contexts for each costs more than its check. */
  readonly #plainParts = new Map<object, Check>()
  readonly #parts = new Map<object, Map<string, Check>>()
  readonly #patterns = new Map<string, Pattern>()
  #silent: SchemaCompiler | undefined

  constructor(references: References, dialect: Dialect) {
    this.references = references
    this.dialect = dialect
  }

  /** The same without the refusal of unknown properties: for conditions, where refusing would let more pass. */
  get #lenient(): SchemaCompiler {
    if (!this.dialect.refuseUnknown) return this
    this.#silent ??= new SchemaCompiler(this.references, { ...this.dialect, refuseUnknown: false })
    return this.#silent
  }

  /** The check of a whole message. */
  outermost(located: Located): Check {
    const check = this.entry(located)
    return this.dialect.isDynamic ? inResource(check, baseOf(located.schema, located.base)) : check
  }

  /** The check of a value of its own: a body, a parameter, a property, an item. */
  entry(located: Located): Check {
    const { schema } = located
    if (typeof schema === 'boolean') return schema ? pass : refuseAll
    if (!isObject(schema)) throw broken(located, 'expected a schema: an object or a boolean')
    const known = this.#entries.get(schema)
    if (known !== undefined) return known
    // A schema that leads back to itself meets this one, and compiles to it when it is first used.
    let compiled: Check | undefined
    this.#entries.set(schema, (value, run, seen) => {
      compiled ??= this.#entries.get(schema)!
      return compiled(value, run, seen)
    })
    try {
      compiled = this.#entry(located)
    } catch (error) {
      this.#entries.delete(schema)
      throw error
    }
    this.#entries.set(schema, compiled)
    return compiled
  }

  #entry(located: Located): Check {
    const outline = this.#outline(located)
    const context: Context =
      outline.hidden.size === 0 ? plain : { exempt: outline.hidden, isPart: false, isWhole: false }
    if (!this.dialect.refuseUnknown || outline.open || (!outline.branching && !outline.declares))
      return this.part(located, context)
    if (outline.branching) {
      const { names, patterns, open } = outline.anyhow
      const known = { names, patterns: [...patterns].map((source) => this.pattern(source, located)) }
      return refuseUnseen(this.part(located, context), open ? undefined : known)
    }
    const { schema } = located
    const own = isObject(schema) && isObject(schema.properties) ? schema.properties : {}
    const isWhole =
      isObject(schema) &&
      schema.$ref === undefined &&
      schema.allOf === undefined &&
      schema.oneOf === undefined &&
      schema.anyOf === undefined &&
      schema.patternProperties === undefined &&
      [...outline.names].every((name) => Object.hasOwn(own, name))
    if (isWhole) return this.part(located, { ...context, isWhole })
    const patterns = [...outline.patterns].map((source) => this.pattern(source, located))
    return refuseUnlisted(this.part(located, context), outline.names, patterns)
  }

  /** The check of a schema that speaks of the same value as another: a reference's target, a part of `allOf`. */
  part(located: Located, context: Context): Check {
    const { schema } = located
    if (typeof schema === 'boolean') return schema ? pass : refuseAll
    if (!isObject(schema)) throw broken(located, 'expected a schema: an object or a boolean')
    const isPlain = !context.isPart && !context.isWhole && context.exempt.size === 0
    const key = `${context.isPart ? 1 : 0}${context.isWhole ? 1 : 0}${[...context.exempt].sort().join('\n')}`
    const known = isPlain ? this.#plainParts.get(schema) : this.#parts.get(schema)?.get(key)
    if (known !== undefined) return known
    const own: Located = { schema, base: baseOf(schema, located.base), at: located.at }
    let compiled = this.#compile(own, context)
    if (own.base !== located.base && this.dialect.isDynamic) compiled = inResource(compiled, own.base)
    if (isPlain) this.#plainParts.set(schema, compiled)
    else if (this.#parts.get(schema)?.set(key, compiled) === undefined)
      this.#parts.set(schema, new Map([[key, compiled]]))
    return compiled
  }

  /** A pattern of the document, compiled once. */
  pattern(source: string, located: Located): Pattern {
    let pattern = this.#patterns.get(source)
    if (pattern === undefined) {
      try {
        pattern = compilePattern(source)
      } catch {
        throw broken(located, 'expected a regular expression (ECMA-262) as pattern')
      }
      this.#patterns.set(source, pattern)
    }
    return pattern
  }

  /** The schema that a reference means. Throws `ConfigError` when there is none. */
  target(reference: unknown, from: Located): Located {
    const target = typeof reference === 'string' ? this.references.resolve(reference, from.base) : undefined
    if (target === undefined) throw broken(from, `there is nothing at ${JSON.stringify(reference)}`)
    return target
  }

  /** A reference, compiled when it is first followed: a document is never compiled whole. */
  follow(target: Located, context: Context): Check {
    const inner: Context = context.isWhole ? { ...context, isWhole: false } : context
    let check: Check | undefined
    const resolved: Check = (value, run, seen) => {
      check ??= this.part(target, inner)
      return check(value, run, seen)
    }
    const { isDynamic } = this.dialect
    const through = isDynamic ? inResource(resolved, baseOf(target.schema, target.base)) : resolved
    const mayRemember = !isDynamic
    return (value, run, seen) => run.follow(through, value, seen, mayRemember)
  }

  #child(located: Located, keyword: string, schema: unknown): Located {
    return { schema: schema as Schema, base: located.base, at: `${located.at}/${keyword}` }
  }

  #compile(located: Located, context: Context): Check {
    const schema = located.schema as Record<string, unknown>
    if (this.dialect.refAlone && schema.$ref !== undefined)
      return this.follow(this.target(schema.$ref, located), context)
    const inner = all([...this.#typed(schema, located, context), ...this.#applicators(schema, located, context)])
    return this.#unevaluated(schema, located, inner)
  }

  // Types and what holds for values of one type -------------------------------------------------

  #typed(schema: Record<string, unknown>, located: Located, context: Context): Check[] {
    const checks: Check[] = []
    const strings = this.#strings(schema, located)
    const numbers = this.#numbers(schema)
    const arrays = this.#arrays(schema, located)
    const objects = this.#objects(schema, located, context)
    const types = typesOf(schema)
    if (types !== undefined) {
      const only = types.length === 1 ? types[0] : undefined
      const words = typeWords(types)
      if (only === 'string') checks.push(typed((value) => typeof value === 'string', words, all(strings)))
      else if (only === 'integer') checks.push(typed(Number.isInteger, words, all(numbers)))
      else if (only === 'number') checks.push(typed((value) => typeof value === 'number', words, all(numbers)))
      else if (only === 'boolean') checks.push(typed((value) => typeof value === 'boolean', words, pass))
      else if (only === 'null') checks.push(typed((value) => value === null, words, pass))
      else if (only === 'array') checks.push(typed(Array.isArray, words, all(arrays)))
      else if (only === 'object') checks.push(typed(isObject, words, all(objects)))
      else checks.push(typed(typeTest(types), words, byType(all(strings), all(numbers), all(arrays), all(objects))))
    } else if (strings.length + numbers.length + arrays.length + objects.length > 0)
      checks.push(byType(all(strings), all(numbers), all(arrays), all(objects)))
    if (Array.isArray(schema.enum)) checks.push(oneOfValues('enum', schema.enum))
    if (Object.hasOwn(schema, 'const')) checks.push(oneOfValues('const', [schema.const]))
    return checks
  }

  #strings(schema: Record<string, unknown>, located: Located): Check[] {
    const checks: Check[] = []
    const { minLength, maxLength } = schema
    if (typeof maxLength === 'number') {
      const expected = `a string of at most ${count(maxLength, 'character')}`
      checks.push((value, run) => {
        const text = value as string
        // Length counts characters (RFC 8259), of which a surrogate pair is one.
        return (
          text.length <= maxLength ||
          (text.length <= maxLength * 2 && points(text) <= maxLength) ||
          run.fail('maxLength', expected, value)
        )
      })
    }
    if (typeof minLength === 'number' && minLength > 0) {
      const expected = `a string of at least ${count(minLength, 'character')}`
      checks.push((value, run) => {
        const text = value as string
        if (text.length >= minLength && (text.length >= minLength * 2 || points(text) >= minLength)) return true
        return run.fail('minLength', expected, value)
      })
    }
    if (typeof schema.pattern === 'string') {
      const pattern = this.pattern(schema.pattern, located)
      const expected = `a string that matches ${clip(schema.pattern, 120)}`
      checks.push((value, run) => {
        const text = value as string
        if (typeof maxLength === 'number' && text.length > maxLength * 2) return false
        const fits = pattern.test(text, run.patterns)
        if (fits === undefined)
          return run.fail('pattern', 'a string short enough to be checked against its pattern', value)
        return fits || run.fail('pattern', expected, value)
      })
    }
    const format = this.dialect.formats ? formatOf(schema.format) : undefined
    if (format?.of === 'string') {
      const { is, name } = format
      checks.push((value, run) => is(value as string) || run.fail('format', name, value))
    }
    return checks
  }

  #numbers(schema: Record<string, unknown>): Check[] {
    const checks: Check[] = []
    const compare = (keyword: string, expected: string, fits: (value: number) => boolean) =>
      checks.push((value, run) => fits(value as number) || run.fail(keyword, expected, value))
    const { minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf } = schema
    // Booleans are how OpenAPI 3.0 (JSON Schema draft 4) writes exclusive bounds.
    if (typeof minimum === 'number') {
      if (exclusiveMinimum === true)
        compare('exclusiveMinimum', `a number above ${minimum}`, (value) => value > minimum)
      else compare('minimum', `a number of at least ${minimum}`, (value) => value >= minimum)
    }
    if (typeof maximum === 'number') {
      if (exclusiveMaximum === true)
        compare('exclusiveMaximum', `a number below ${maximum}`, (value) => value < maximum)
      else compare('maximum', `a number of at most ${maximum}`, (value) => value <= maximum)
    }
    if (typeof exclusiveMinimum === 'number')
      compare('exclusiveMinimum', `a number above ${exclusiveMinimum}`, (value) => value > exclusiveMinimum)
    if (typeof exclusiveMaximum === 'number')
      compare('exclusiveMaximum', `a number below ${exclusiveMaximum}`, (value) => value < exclusiveMaximum)
    if (typeof multipleOf === 'number' && multipleOf > 0) {
      const expected = `a multiple of ${multipleOf}`
      checks.push((value, run) => {
        const fits = isMultipleOf(value as number, multipleOf, run.patterns)
        if (fits === undefined) return run.fail('multipleOf', 'fewer numbers of many digits', value)
        return fits || run.fail('multipleOf', expected, value)
      })
    }
    const format = this.dialect.formats ? numberFormatOf(schema.format) : undefined
    if (format?.of === 'number') compare('format', format.name, format.is)
    return checks
  }

  #arrays(schema: Record<string, unknown>, located: Located): Check[] {
    const checks: Check[] = []
    const { minItems, maxItems } = schema
    if (typeof minItems === 'number' && minItems > 0) {
      const expected = `an array of at least ${count(minItems, 'item')}`
      checks.push((value, run) => (value as unknown[]).length >= minItems || run.fail('minItems', expected, value))
    }
    if (typeof maxItems === 'number') {
      const expected = `an array of at most ${count(maxItems, 'item')}`
      checks.push((value, run) => (value as unknown[]).length <= maxItems || run.fail('maxItems', expected, value))
    }
    // A list of schemas under `items` is how drafts before 2020-12 write `prefixItems`.
    const tuple = Array.isArray(schema.items) ? schema.items : undefined
    const prefix = (Array.isArray(schema.prefixItems) ? schema.prefixItems : (tuple ?? [])).map((item, i) =>
      this.entry(this.#child(located, `prefixItems/${i}`, item)),
    )
    const rest = tuple === undefined ? schema.items : schema.additionalItems
    const items = rest === undefined ? undefined : this.entry(this.#child(located, 'items', rest))
    if (prefix.length > 0 || items !== undefined) checks.push(checkItems(prefix, items))
    if (schema.uniqueItems === true) checks.push(checkUnique)
    if (schema.contains !== undefined) {
      const check = this.#lenient.entry(this.#child(located, 'contains', schema.contains))
      checks.push(
        checkContains(
          check,
          typeof schema.minContains === 'number' ? schema.minContains : 1,
          typeof schema.maxContains === 'number' ? schema.maxContains : Number.POSITIVE_INFINITY,
        ),
      )
    }
    return checks
  }

  #objects(schema: Record<string, unknown>, located: Located, context: Context): Check[] {
    const checks: Check[] = []
    const { minProperties, maxProperties } = schema
    if (typeof minProperties === 'number' && minProperties > 0) {
      const expected = `an object with at least ${count(minProperties, 'property')}`
      checks.push((value, run) => size(value) >= minProperties || run.fail('minProperties', expected, value))
    }
    if (typeof maxProperties === 'number') {
      const expected = `an object with at most ${count(maxProperties, 'property')}`
      checks.push((value, run) => size(value) <= maxProperties || run.fail('maxProperties', expected, value))
    }
    const properties = this.#properties(schema, located, context)
    if (properties !== undefined) checks.push(properties)
    if (schema.propertyNames !== undefined) {
      const names = this.entry(this.#child(located, 'propertyNames', schema.propertyNames))
      checks.push((value, run) => {
        let ok = true
        for (const key in value as object) {
          if (names(key, run, undefined)) continue
          ok = false
          if (!run.explain || run.isFull) return false
        }
        return ok
      })
    }
    for (const [keyword, needs] of dependencies(schema)) {
      if (Array.isArray(needs)) checks.push(checkDependent(keyword, needs as string[], context.exempt))
      else {
        const check = this.part(this.#child(located, `dependentSchemas/${keyword}`, needs), {
          ...context,
          isWhole: false,
        })
        checks.push((value, run, seen) => !Object.hasOwn(value as object, keyword) || check(value, run, seen))
      }
    }
    return checks
  }

  #properties(schema: Record<string, unknown>, located: Located, context: Context): Check | undefined {
    const listed = isObject(schema.properties) ? schema.properties : {}
    const required = new Set(Array.isArray(schema.required) ? (schema.required as string[]) : [])
    const properties: Property[] = []
    for (const [name, child] of Object.entries(listed)) {
      const at = this.#child(located, `properties/${name}`, child)
      const isHidden = this.#isHidden(at)
      properties.push({
        name,
        check: this.#property(at),
        isListed: true,
        isInherited: name in Object.prototype,
        isRequired: required.has(name) && !isHidden && !context.exempt.has(name),
        isHidden,
      })
      required.delete(name)
    }
    for (const name of required) {
      if (typeof name !== 'string' || context.exempt.has(name)) continue
      properties.push({
        name,
        check: pass,
        isListed: false,
        isInherited: name in Object.prototype,
        isRequired: true,
        isHidden: false,
      })
    }
    const patterns = Object.entries(isObject(schema.patternProperties) ? schema.patternProperties : {}).map(
      ([source, child]): [Pattern, Check] => [
        this.pattern(source, located),
        this.entry(this.#child(located, 'patternProperties', child)),
      ],
    )
    const { additionalProperties } = schema
    const additional =
      additionalProperties === undefined
        ? undefined
        : this.entry(this.#child(located, 'additionalProperties', additionalProperties))
    if (properties.length === 0 && patterns.length === 0 && additional === undefined) return undefined
    return checkProperties({
      properties,
      patterns,
      additional: additionalProperties === false ? 'refuse' : additional,
      isWhole: context.isWhole && additional === undefined,
      direction: this.dialect.direction,
      declares: Object.keys(listed).length > 0 || patterns.length > 0,
    })
  }

  /** A property's schema, compiled at once when that is little work, on first use when it is a whole object. */
  #property(located: Located): Check {
    const { schema } = located
    if (
      isObject(schema) &&
      (schema.$ref !== undefined ||
        schema.properties !== undefined ||
        schema.allOf !== undefined ||
        schema.oneOf !== undefined ||
        schema.anyOf !== undefined)
    ) {
      let check: Check | undefined
      return (value, run, seen) => {
        check ??= this.entry(located)
        return check(value, run, seen)
      }
    }
    return this.entry(located)
  }

  // Schemas within schemas ----------------------------------------------------------------------

  #applicators(schema: Record<string, unknown>, located: Located, context: Context): Check[] {
    const checks: Check[] = []
    const inner: Context = context.isWhole ? { ...context, isWhole: false } : context
    if (schema.$ref !== undefined) checks.push(this.follow(this.target(schema.$ref, located), inner))
    if (schema.$dynamicRef !== undefined) checks.push(this.#dynamic(schema.$dynamicRef, located, inner))
    if (Array.isArray(schema.allOf)) {
      const part: Context = { ...inner, isPart: true }
      for (const [i, child] of schema.allOf.entries())
        checks.push(this.part(this.#child(located, `allOf/${i}`, child), part))
    }
    const discriminator = isObject(schema.discriminator) ? schema.discriminator : undefined
    for (const keyword of ['oneOf', 'anyOf'] as const) {
      const list = schema[keyword]
      if (!Array.isArray(list) || list.length === 0) continue
      const children = list.map((child, i) => this.#child(located, `${keyword}/${i}`, child))
      const compiled = children.map((child) => this.part(child, inner))
      checks.push(branches(keyword, compiled, discriminated(this, located, children, discriminator)))
    }
    if (discriminator !== undefined && !context.isPart && schema.oneOf === undefined && schema.anyOf === undefined) {
      const check = this.#subtype(discriminator, located, inner)
      if (check !== undefined) checks.push(check)
    }
    if (schema.not !== undefined) {
      const check = this.#lenient.entry(this.#child(located, 'not', schema.not))
      checks.push(
        (value, run) =>
          !run.quietly(check, value, undefined) ||
          run.say('not', 'expected something else: a value of this form is excluded'),
      )
    }
    if (schema.if !== undefined) checks.push(this.#conditional(schema, located, inner))
    return checks
  }

  #conditional(schema: Record<string, unknown>, located: Located, context: Context): Check {
    const condition = this.#lenient.part(this.#child(located, 'if', schema.if), context)
    const yes = schema.then === undefined ? pass : this.part(this.#child(located, 'then', schema.then), context)
    const no = schema.else === undefined ? pass : this.part(this.#child(located, 'else', schema.else), context)
    return (value, run, seen) => {
      const own = seen === undefined ? undefined : new Seen()
      if (!run.quietly(condition, value, own)) return no(value, run, seen)
      if (own !== undefined) seen!.merge(own)
      return yes(value, run, seen)
    }
  }

  /** A parent that names its kinds by discriminator: the value must also fit the kind it says it is of. */
  #subtype(discriminator: Record<string, unknown>, located: Located, context: Context): Check | undefined {
    const name = discriminator.propertyName
    if (typeof name !== 'string') return undefined
    const mapping = isObject(discriminator.mapping) ? discriminator.mapping : {}
    const kinds = new Map<string, Check | undefined>()
    const kindOfValue = (value: string): Check | undefined => {
      if (kinds.has(value)) return kinds.get(value)
      const mapped = Object.hasOwn(mapping, value) ? mapping[value] : undefined
      const child =
        typeof mapped === 'string'
          ? (this.references.namedSchema(located.base, mapped) ?? this.references.resolve(mapped, located.base))
          : this.references.namedSchema(located.base, value)
      if (child === undefined) return undefined // Not kept: a caller must not fill the map.
      const isKind =
        child.schema !== located.schema && (mapped !== undefined || this.#extends(child, located.schema, new Set()))
      const check = isKind ? this.follow(child, { ...context, isPart: true }) : undefined
      kinds.set(value, check)
      return check
    }
    return (value, run, seen) => {
      if (!isObject(value) || !Object.hasOwn(value, name)) return true
      const kind = (value as Record<string, unknown>)[name]
      const check = typeof kind === 'string' ? kindOfValue(kind) : undefined
      return check === undefined || check(value, run, seen)
    }
  }

  #extends(child: Located, parent: Schema, visited: Set<unknown>): boolean {
    const { schema } = child
    if (schema === parent) return true
    if (!isObject(schema) || visited.has(schema)) return false
    visited.add(schema)
    const targets = [schema, ...(Array.isArray(schema.allOf) ? schema.allOf : [])]
    return targets.some((part) => {
      if (!isObject(part) || typeof part.$ref !== 'string') return false
      const target = this.references.resolve(part.$ref, child.base)
      return target !== undefined && this.#extends(target, parent, visited)
    })
  }

  #dynamic(reference: unknown, located: Located, context: Context): Check {
    const first = this.target(reference, located)
    const name = String(reference).slice(String(reference).indexOf('#') + 1)
    const initial = this.follow(first, context)
    // Only what is itself a dynamic anchor may be replaced by an outer one (JSON Schema 2020-12, 8.2.3.2).
    if (!isObject(first.schema) || first.schema.$dynamicAnchor !== name) return initial
    const known = new Map<unknown, Check>([[first.schema, initial]])
    return (value, run, seen) => {
      for (const resource of run.scope) {
        const outer = this.references.dynamicAnchor(resource, name)
        if (outer === undefined) continue
        let check = known.get(outer.schema)
        if (check === undefined) {
          check = this.follow(outer, context)
          known.set(outer.schema, check)
        }
        return check(value, run, seen)
      }
      return initial(value, run, seen)
    }
  }

  #unevaluated(schema: Record<string, unknown>, located: Located, inner: Check): Check {
    const { unevaluatedProperties, unevaluatedItems } = schema
    if (unevaluatedProperties === undefined && unevaluatedItems === undefined) return inner
    const properties =
      unevaluatedProperties === undefined
        ? undefined
        : this.entry(this.#child(located, 'unevaluatedProperties', unevaluatedProperties))
    const items =
      unevaluatedItems === undefined
        ? undefined
        : this.entry(this.#child(located, 'unevaluatedItems', unevaluatedItems))
    return (value, run, seen) => {
      const own = new Seen()
      let ok = inner(value, run, own)
      if (!ok && !run.explain) return false
      if (properties !== undefined && isObject(value)) {
        if (ok && !own.all)
          for (const key in value) {
            if (own.names?.has(key)) continue
            if (
              unevaluatedProperties === false
                ? run.say('unevaluatedProperties', unknownProperty, key)
                : run.at(key, properties, (value as Record<string, unknown>)[key])
            )
              continue
            ok = false
            if (!run.explain || run.isFull) return false
          }
        own.all = true
      }
      if (items !== undefined && Array.isArray(value)) {
        if (ok)
          for (let i = own.items; i < value.length; i++) {
            if (own.indexes?.has(i)) continue
            if (
              unevaluatedItems === false
                ? run.say('unevaluatedItems', 'expected no further item', i)
                : run.at(i, items, value[i])
            )
              continue
            ok = false
            if (!run.explain || run.isFull) return false
          }
        own.items = Number.POSITIVE_INFINITY
      }
      seen?.merge(own)
      return ok
    }
  }

  // What is known without a value ---------------------------------------------------------------

  /** Whether a property must not be sent in this direction: said at the property, or at what it refers to. */
  #isHidden(located: Located, visited: Set<unknown> = new Set()): boolean {
    const { schema } = located
    if (!isObject(schema) || visited.has(schema)) return false
    visited.add(schema)
    if (schema[this.dialect.direction === 'request' ? 'readOnly' : 'writeOnly'] === true) return true
    if (typeof schema.$ref === 'string') {
      const target = this.references.resolve(schema.$ref, baseOf(schema, located.base))
      if (target !== undefined && this.#isHidden(target, visited)) return true
    }
    if (!Array.isArray(schema.allOf)) return false
    return schema.allOf.some((part, i) => this.#isHidden(this.#child(located, `allOf/${i}`, part), visited))
  }

  /** Asked once for each schema and not kept: its sets would weigh more than the checks that come of them. */
  #outline(located: Located): Outline {
    const outline: Outline = {
      branching: false,
      open: false,
      declares: false,
      names: new Set(),
      patterns: new Set(),
      hidden: new Set(),
      anyhow: { open: false, names: new Set(), patterns: new Set() },
    }
    this.#trace(located, outline, new Set(), false, false)
    return outline
  }

  #trace(located: Located, outline: Outline, visited: Set<unknown>, isPart: boolean, isAside: boolean): void {
    const { schema } = located
    if (!isObject(schema) || visited.has(schema)) return
    visited.add(schema)
    const own = { schema, base: baseOf(schema, located.base), at: located.at }
    if (typeof schema.$ref === 'string') {
      const target = this.references.resolve(schema.$ref, own.base)
      if (target !== undefined) this.#trace(target, outline, visited, isPart, isAside)
      if (this.dialect.refAlone) return
    }
    // What only holds for some values must not open or widen the whole; its hidden properties still count.
    const into = isAside ? { ...outline, names: new Set<string>(), patterns: new Set<string>() } : outline
    const { anyhow } = outline
    const know = (name: unknown) => {
      into.names.add(name as string)
      anyhow.names.add(name as string)
    }
    const listed = Object.entries(isObject(schema.properties) ? schema.properties : {})
    for (const [name, child] of listed) {
      know(name)
      if (this.#isHidden(this.#child(own, `properties/${name}`, child))) outline.hidden.add(name)
    }
    if (Array.isArray(schema.required)) schema.required.forEach(know)
    for (const [, needs] of dependencies(schema)) if (Array.isArray(needs)) needs.forEach(know)
    if (listed.length > 0) into.declares = true
    if (isObject(schema.patternProperties))
      for (const source of Object.keys(schema.patternProperties)) {
        into.patterns.add(source)
        anyhow.patterns.add(source)
        into.declares = true
      }
    if (schema.additionalProperties !== undefined || schema.unevaluatedProperties !== undefined) {
      into.open = true
      if (schema.additionalProperties !== false && schema.unevaluatedProperties !== false) anyhow.open = true
    }
    if (Array.isArray(schema.allOf))
      for (const [i, part] of schema.allOf.entries())
        this.#trace(this.#child(own, `allOf/${i}`, part), outline, visited, true, isAside)
    const alternatives = [
      ...(Array.isArray(schema.oneOf) ? schema.oneOf : []),
      ...(Array.isArray(schema.anyOf) ? schema.anyOf : []),
    ]
    // Alternatives that no object fits, such as null, decide nothing about properties.
    const forObjects = alternatives.filter((part) =>
      this.#maySpeakOfObjects({ ...own, schema: part as Schema }, new Set()),
    )
    const isOneWay = forObjects.length === 1 && !(Array.isArray(schema.oneOf) && Array.isArray(schema.anyOf))
    for (const part of forObjects)
      this.#trace({ ...own, schema: part as Schema }, outline, visited, isPart, isAside || !isOneWay)
    if (forObjects.length > 1 || (forObjects.length === 1 && !isOneWay)) outline.branching = true
    for (const keyword of ['if', 'then', 'else'] as const)
      if (schema[keyword] !== undefined) {
        outline.branching = true
        this.#trace(this.#child(own, keyword, schema[keyword]), outline, visited, isPart, true)
      }
    for (const [name, needs] of dependencies(schema))
      if (!Array.isArray(needs)) {
        outline.branching = true
        this.#trace(this.#child(own, `dependentSchemas/${name}`, needs), outline, visited, isPart, true)
      }
    const leadsElsewhere =
      schema.$dynamicRef !== undefined || (isObject(schema.discriminator) && !isPart && alternatives.length === 0)
    if (leadsElsewhere) {
      outline.branching = true
      anyhow.open = true
    }
  }

  #maySpeakOfObjects(located: Located, visited: Set<unknown>): boolean {
    const { schema } = located
    if (typeof schema === 'boolean') return schema
    if (!isObject(schema) || visited.has(schema)) return true
    visited.add(schema)
    const types = typesOf(schema)
    if (types !== undefined && !types.includes('object')) return false
    if (Array.isArray(schema.enum) && !schema.enum.some(isObject)) return false
    if (typeof schema.$ref !== 'string') return true
    const target = this.references.resolve(schema.$ref, baseOf(schema, located.base))
    return target === undefined || this.#maySpeakOfObjects(target, visited)
  }
}

const unknownProperty = 'expected no such property: the document does not list it'

function broken(located: Located, message: string): ConfigError {
  return new ConfigError('P2090', `${located.at}: ${message}`)
}

const refuseAll: Check = (value, run) => run.fail('false', 'nothing here', value)

function inResource(check: Check, base: string): Check {
  return (value, run, seen) => {
    run.scope.push(base)
    const ok = check(value, run, seen)
    run.scope.pop()
    return ok
  }
}

/** All of them; without explanation only up to the first that fails. */
function all(checks: readonly Check[]): Check {
  const [first, second] = checks
  if (first === undefined) return pass
  if (second === undefined) return first
  if (checks.length === 2)
    return (value, run, seen) => {
      if (first(value, run, seen)) return second(value, run, seen)
      if (run.explain) second(value, run, seen)
      return false
    }
  return (value, run, seen) => {
    let ok = true
    for (let i = 0; i < checks.length; i++) {
      if (checks[i]!(value, run, seen)) continue
      if (!run.explain) return false
      ok = false
    }
    return ok
  }
}

function typed(is: (value: unknown) => boolean, expected: string, rest: Check): Check {
  if (rest === pass) return (value, run) => is(value) || run.fail('type', expected, value)
  return (value, run, seen) => (is(value) ? rest(value, run, seen) : run.fail('type', expected, value))
}

function byType(strings: Check, numbers: Check, arrays: Check, objects: Check): Check {
  return (value, run, seen) => {
    switch (typeof value) {
      case 'string':
        return strings(value, run, seen)
      case 'number':
        return numbers(value, run, seen)
      case 'object':
        if (value === null) return true
        return Array.isArray(value) ? arrays(value, run, seen) : objects(value, run, seen)
      default:
        return true
    }
  }
}

/** The types a schema allows; `nullable` of OpenAPI 3.0 only widens a type that is given (3.0.3, 4.7.24). */
function typesOf(schema: Record<string, unknown>): readonly string[] | undefined {
  const types =
    typeof schema.type === 'string' ? [schema.type] : Array.isArray(schema.type) ? (schema.type as string[]) : undefined
  if (types === undefined || types.includes('any') || types.includes('file')) return undefined
  return schema.nullable === true && !types.includes('null') ? [...types, 'null'] : types
}

function typeTest(types: readonly string[]): (value: unknown) => boolean {
  const has = (type: string) => types.includes(type)
  const [string, number, integer, boolean, array, object, nil] = [
    has('string'),
    has('number'),
    has('integer'),
    has('boolean'),
    has('array'),
    has('object'),
    has('null'),
  ]
  return (value) => {
    switch (typeof value) {
      case 'string':
        return string
      case 'number':
        return number || (integer && Number.isInteger(value))
      case 'boolean':
        return boolean
      case 'object':
        if (value === null) return nil
        return Array.isArray(value) ? array : object
      default:
        return false
    }
  }
}

function typeWords(types: readonly string[]): string {
  const words = types.map((type) => (type === 'null' ? 'null' : /^[aio]/.test(type) ? `an ${type}` : `a ${type}`))
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1)}`
}

function oneOfValues(keyword: 'enum' | 'const', values: readonly unknown[]): Check {
  const isAllowed = oneOf(values)
  const shown = values.slice(0, 12).map((value) => clip(JSON.stringify(value) ?? 'nothing', 60))
  const expected = `${values.length === 1 ? '' : 'one of '}${shown.join(', ')}${values.length > 12 ? ', …' : ''}`
  return (value, run) => isAllowed(value) || run.fail(keyword, expected, value)
}

function clip(text: string, lengthMax: number): string {
  return text.length > lengthMax ? `${text.slice(0, lengthMax)}…` : text
}

/** Characters, a surrogate pair counted once. */
function points(text: string): number {
  let amount = text.length
  for (let i = 0; i < text.length - 1; i++)
    if ((text.charCodeAt(i) & 0xfc00) === 0xd800 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) {
      amount--
      i++
    }
  return amount
}

function size(value: unknown): number {
  let amount = 0
  for (const _ in value as object) amount++
  return amount
}

function dependencies(schema: Record<string, unknown>): [string, unknown][] {
  return [schema.dependentRequired, schema.dependentSchemas, schema.dependencies].flatMap((map) =>
    isObject(map) ? Object.entries(map) : [],
  )
}

function checkDependent(keyword: string, needs: readonly string[], exempt: ReadonlySet<string>): Check {
  const demanded = needs.filter((name) => !exempt.has(name))
  return (value, run, seen) => {
    if (!Object.hasOwn(value as object, keyword)) return true
    let ok = true
    for (const name of demanded) {
      if (Object.hasOwn(value as object, name)) continue
      ok = run.say(
        'dependentRequired',
        `expected this property, because ${clip(JSON.stringify(keyword), 60)} is there`,
        name,
      )
      if (!run.explain) return false
    }
    if (seen !== undefined) for (const name of needs) seen.mention(name)
    return ok
  }
}

interface Property {
  readonly name: string
  readonly check: Check
  readonly isListed: boolean
  readonly isInherited: boolean
  readonly isRequired: boolean
  readonly isHidden: boolean
}

function checkProperties(options: {
  readonly properties: readonly Property[]
  readonly patterns: readonly (readonly [Pattern, Check])[]
  readonly additional: Check | 'refuse' | undefined
  readonly isWhole: boolean
  readonly direction: 'request' | 'response'
  readonly declares: boolean
}): Check {
  const { properties, patterns, additional, isWhole, declares } = options
  const hidden =
    options.direction === 'request'
      ? { keyword: 'readOnly', detail: 'expected no such property: it is read-only' }
      : { keyword: 'writeOnly', detail: 'expected no such property: it is write-only' }
  // `additionalProperties` speaks of what is not listed (JSON Schema 2020-12, 10.3.2.3); demanded names do not count.
  const listed = new Set(properties.filter((property) => property.isListed || isWhole).map(({ name }) => name))
  const looksAtRest = patterns.length > 0 || additional !== undefined || isWhole
  const leaveName = isWhole ? 'unknownProperty' : 'additionalProperties'
  const refusesRest = isWhole || additional === 'refuse'
  const rest = typeof additional === 'function' ? additional : undefined
  const amount = properties.length

  return (value, run, seen) => {
    const object = value as Record<string, unknown>
    let ok = true
    let found = 0
    for (let i = 0; i < amount; i++) {
      const property = properties[i]!
      const { name } = property
      const child = property.isInherited && !Object.hasOwn(object, name) ? undefined : object[name]
      if (child === undefined) {
        if (!property.isRequired) continue
        ok = run.say('required', 'expected this property, got nothing', name)
      } else {
        if (property.isListed || isWhole) found++
        if (property.isHidden) ok = run.say(hidden.keyword, hidden.detail, name)
        else if (!run.at(name, property.check, child)) ok = false
        if (seen !== undefined && property.isListed) seen.name(name)
      }
      if (!ok && (!run.explain || run.isFull)) return false
    }
    if (seen !== undefined) {
      if (declares) seen.declares = true
      for (const property of properties) if (!property.isListed) seen.mention(property.name)
    }
    // When every key of the value has been found above, there is no other to look at.
    if (!looksAtRest || (patterns.length === 0 && size(object) === found)) {
      if (seen !== undefined && additional !== undefined) seen.all = true
      return ok
    }
    for (const key in object) {
      let isKnown = listed.has(key)
      for (const [pattern, check] of patterns) {
        const matches = pattern.test(key, run.patterns)
        if (matches === false) continue
        isKnown = true
        if (seen !== undefined) seen.name(key)
        if (matches === undefined) ok = run.say('patternProperties', 'expected a name short enough to be checked', key)
        else if (!run.at(key, check, object[key])) ok = false
      }
      if (!isKnown) {
        if (refusesRest) ok = run.say(leaveName, unknownProperty, key)
        else if (rest !== undefined && !run.at(key, rest, object[key])) ok = false
      }
      if (!ok && (!run.explain || run.isFull)) return false
    }
    if (seen !== undefined && additional !== undefined) seen.all = true
    return ok
  }
}

/** Refuses properties outside a list that is known beforehand. */
function refuseUnlisted(check: Check, names: ReadonlySet<string>, patterns: readonly Pattern[]): Check {
  return (value, run, seen) => {
    const ok = check(value, run, seen)
    if ((!ok && !run.explain) || !isObject(value)) return ok
    return refuseOthers(value, run, names, patterns) && ok
  }
}

function refuseOthers(
  value: Record<string, unknown>,
  run: Run,
  names: ReadonlySet<string>,
  patterns: readonly Pattern[],
): boolean {
  let ok = true
  for (const key in value) {
    if (names.has(key) || patterns.some((pattern) => pattern.test(key, run.patterns) === true)) continue
    ok = run.say('unknownProperty', unknownProperty, key)
    if (!run.explain || run.isFull) return false
  }
  return ok
}

/**
 * Refuses properties that no schema which applies to this very value has spoken for. Where it is not known which ones
 * apply, because the value does not fit, those that are in no part of the schema are still named: `listed` has the rest.
 */
function refuseUnseen(
  check: Check,
  listed: { readonly names: ReadonlySet<string>; readonly patterns: readonly Pattern[] } | undefined,
): Check {
  return (value, run, seen) => {
    if (!isObject(value)) return check(value, run, seen)
    const own = new Seen()
    let ok = check(value, run, own)
    seen?.merge(own)
    if (!ok) {
      if (!run.explain || listed === undefined || listed.names.size + listed.patterns.length === 0) return false
      refuseOthers(value, run, listed.names, listed.patterns)
      return false
    }
    if (own.all || !own.declares) return true
    for (const key in value) {
      if (own.names?.has(key) || own.mentioned?.has(key)) continue
      ok = run.say('unknownProperty', unknownProperty, key)
      if (!run.explain || run.isFull) return false
    }
    return ok
  }
}

function checkItems(prefix: readonly Check[], items: Check | undefined): Check {
  return (value, run, seen) => {
    const array = value as readonly unknown[]
    let ok = true
    for (let i = 0; i < array.length; i++) {
      const check = i < prefix.length ? prefix[i]! : items
      if (check === undefined) break
      if (run.at(i, check, array[i])) continue
      ok = false
      if (!run.explain || run.isFull) return false
    }
    if (seen !== undefined)
      seen.items = Math.max(seen.items, items === undefined ? prefix.length : Number.POSITIVE_INFINITY)
    return ok
  }
}

function checkContains(check: Check, min: number, max: number): Check {
  return (value, run, seen) => {
    const array = value as readonly unknown[]
    let amount = 0
    for (let i = 0; i < array.length; i++) {
      if (!run.quietly(check, array[i], undefined)) continue
      amount++
      seen?.index(i)
    }
    if (amount < min)
      return run.say('contains', `expected at least ${count(min, 'item')} of a certain form, got ${amount}`)
    if (amount > max)
      return run.say('maxContains', `expected at most ${count(max, 'item')} of a certain form, got ${amount}`)
    return true
  }
}

const checkUnique: Check = (value, run) => {
  const twice = firstDuplicate(value as readonly unknown[])
  return twice < 0 || run.say('uniqueItems', 'expected items that differ, got one twice', twice)
}

import { ConfigError } from '../../base/errors.ts'
import type { Exchange } from '../../gate/exchange.ts'
import { denial, type FieldError, type Verdict } from '../../gate/verdict.ts'
import type { Operation, Parameter, SchemaRef } from '../../openapi/operation.ts'
import type { Sealer } from '../../vault/index.ts'
import { type Field, isEnvelope, sealField } from './fields.ts'

/** Parameters that look for a field: their values are encrypted as the field is, so that the upstream finds it. */
export interface Lookups {
  readonly found: readonly { readonly field: Field; readonly name: string }[]
  /** Whether this request has any of them. */
  readonly concern: (exchange: Exchange) => boolean
  /** Puts encrypted values in their places, for the upstream only. The keys are at hand. */
  readonly rewrite: (exchange: Exchange, operation: Operation) => Verdict
}

interface Lookup {
  readonly field: Field
  readonly parameter: Parameter
  /** Whether numbers and truth values are meant where the text is one. */
  readonly typed: boolean
  /** Whether commas part several values. */
  readonly isList: boolean
}

const badLookup = denial(400, 'protect.parameter', 'A parameter that looks for a protected field cannot be used so.')
const oddPath = denial(400, 'protect.path', 'The path cannot be rewritten for the upstream.')

/** The parameters of an operation that are called as a field is that can be found, or that their schema marks. */
export function lookupsOf(
  { parameters, document, path, id }: Operation,
  fields: readonly Field[],
  markedBy: (schema: SchemaRef) => Field | undefined,
): Lookups | undefined {
  const query = new Map<string, Lookup>()
  const inPath = new Map<string, Lookup>()
  for (const parameter of parameters) {
    if ((parameter.in !== 'query' && parameter.in !== 'path') || parameter.schema === undefined) continue
    const own = markedBy(parameter.schema)
    if (own?.atRest === 'encrypt') {
      throw new ConfigError('P1411', `the parameter "${parameter.name}" of ${id} cannot find ${own.name}`, {
        hint: 'what is encrypted anew each time is never equal: use `atRest: deterministic`',
      })
    }
    const field = own ?? fields.find(({ name, atRest }) => name === parameter.name && atRest === 'deterministic')
    if (field?.atRest !== 'deterministic') continue
    const outline = document.validator(parameter.schema, 'request').outline
    const types = outline?.types ?? new Set<string>()
    const items = outline?.items === undefined ? types : document.validator(outline.items, 'request').outline?.types
    const lookup = {
      field,
      parameter,
      typed: items !== undefined && items.size > 0 && !items.has('string'),
      isList: types.has('array') && !(parameter.in === 'query' && parameter.explode),
    }
    ;(parameter.in === 'query' ? query : inPath).set(parameter.name, lookup)
  }
  if (query.size === 0 && inPath.size === 0) return undefined
  const names = [...path.matchAll(/\{([^{}]+)\}/g)].map((match) => match[1]!)
  const basePath = document.basePath

  function sealed({ field, typed, isList }: Lookup, text: string, refuse: (detail: string) => void): string {
    const parts = isList ? text.split(',') : [text]
    return parts
      .map((part) => {
        if (isEnvelope(part)) refuse('expected a value, got the encrypted form of one')
        return sealField(field, field.keys!.sealer() as Sealer, typed ? scalarOf(part) : part, '')
      })
      .join(',')
  }

  return {
    found: [...query.values(), ...inPath.values()].map(({ field, parameter }) => ({ field, name: parameter.name })),
    concern: ({ target }) => inPath.size > 0 || target.query !== '',
    rewrite(exchange) {
      const errors: FieldError[] = []
      const { target } = exchange
      const nextQuery =
        query.size === 0
          ? target.query
          : target.query
              .split('&')
              .map((pair) => {
                const equals = pair.indexOf('=')
                const lookup = equals < 0 ? undefined : query.get(decoded(pair.slice(0, equals)))
                if (lookup === undefined) return pair
                const refuse = (detail: string) =>
                  void errors.push({ pointer: lookup.parameter.name, in: 'query', detail })
                const value = sealed(lookup, decoded(pair.slice(equals + 1)), refuse)
                return `${pair.slice(0, equals)}=${encodeURIComponent(value)}`
              })
              .join('&')
      let nextPath: string = target.path
      if (inPath.size > 0) {
        const template = path.slice(basePath.length)
        const fill = (values: readonly string[]) => {
          let i = 0
          return template.replace(/\{[^{}]+\}/g, () => values[i++]!)
        }
        const came = fill(exchange.pathValues)
        // What was matched must be what is written anew.
        if (!target.path.endsWith(came)) return oddPath
        const values = exchange.pathValues.map((value, i) => {
          const lookup = inPath.get(names[i]!)
          if (lookup === undefined) return value
          const refuse = (detail: string) => void errors.push({ pointer: lookup.parameter.name, in: 'path', detail })
          return encodeURIComponent(sealed(lookup, decodeURIComponent(value), refuse))
        })
        nextPath = target.path.slice(0, target.path.length - came.length) + fill(values)
      }
      if (errors.length > 0) return { ...badLookup, errors }
      exchange.forwarded = { path: nextPath, query: nextQuery }
      return undefined
    },
  }
}

function decoded(text: string): string {
  return decodeURIComponent(text.replaceAll('+', ' '))
}

function scalarOf(text: string): unknown {
  return /^(?:true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)$/.test(text) ? JSON.parse(text) : text
}

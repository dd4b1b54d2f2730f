import type { Exchange } from '../../gate/exchange.ts'
import type { Operation, SchemaMarks } from '../../openapi/operation.ts'
import type { Field } from './fields.ts'
import { isContainer } from './json.ts'
import { descend, isAt, type Standing, type Step, start } from './paths.ts'

/** Which fields there are: by path, and by the marks of schemas. */
export interface Places {
  readonly paths: readonly { readonly steps: readonly Step[]; readonly field: Field }[]
  readonly marks: readonly SchemaMarks[]
  /** The field that the marks of a schema make. */
  readonly fieldOf: (marks: SchemaMarks, name: string) => Field | undefined
}

/** One field that was met. */
export interface Met {
  readonly field: Field
  readonly value: unknown
  /** JSON Pointer (RFC 6901). */
  readonly pointer: string
  /** The objects around the field, from the body down. */
  readonly around: readonly Readonly<Record<string, unknown>>[]
}

/** Takes a field out of its object, or puts null into its place in a list. */
export const removed: unique symbol = Symbol('removed')

/**
 * The same value with every field replaced by what `visit` says of it; the very same, where nothing was. Fields are not looked
 * into. `visit` returns the value itself to leave it.
 */
export function rewrite(value: unknown, places: Places, visit: (met: Met) => unknown): unknown {
  const around: Readonly<Record<string, unknown>>[] = []
  const { paths, fieldOf } = places

  /** `called` is the nearest name above: items of a list go by the name of their list. */
  function walk(
    at: unknown,
    standings: readonly Standing[],
    marks: readonly SchemaMarks[],
    pointer: string,
    called: string,
  ): unknown {
    if (!isContainer(at)) return at
    if (Array.isArray(at)) {
      let copy: unknown[] | undefined
      for (let i = 0; i < at.length; i++) {
        const next = one(at[i], String(i), standings, marks, pointer, called)
        if (next === at[i]) continue
        copy ??= [...at]
        copy[i] = next === removed ? null : next
      }
      return copy ?? at
    }
    const object = at as Readonly<Record<string, unknown>>
    around.push(object)
    let copy: Record<string, unknown> | undefined
    for (const name in object) {
      const next = one(object[name], name, standings, marks, pointer, undefined)
      if (next === object[name]) continue
      copy ??= { ...object }
      if (next === removed) delete copy[name]
      else copy[name] = next
    }
    around.pop()
    return copy ?? at
  }

  function one(
    value: unknown,
    name: string,
    standings: readonly Standing[],
    marks: readonly SchemaMarks[],
    pointer: string,
    called: string | undefined,
  ): unknown {
    let field: Field | undefined
    let goesOn = false
    let below: Standing[] | undefined
    if (standings.length > 0) {
      below = []
      for (let i = 0; i < standings.length; i++) {
        const next = standings[i] === 0 ? 0 : descend(paths[i]!.steps, standings[i]!, name)
        below.push(next)
        if (next === 0) continue
        goesOn = true
        if (field === undefined && isAt(paths[i]!.steps, next)) field = paths[i]!.field
      }
    }
    let marksBelow: SchemaMarks[] | undefined
    for (const mark of marks) {
      const next = called === undefined ? mark.property(name) : mark.items
      if (next === undefined) continue
      marksBelow ??= []
      marksBelow.push(next)
      field ??= fieldOf(next, called ?? name)
    }
    const here = () => `${pointer}/${name.replaceAll('~', '~0').replaceAll('/', '~1')}`
    if (field !== undefined) return visit({ field, value, pointer: here(), around })
    if (!isContainer(value) || (!goesOn && marksBelow === undefined)) return value
    return walk(value, goesOn ? below! : none, marksBelow ?? noMarks, here(), called ?? name)
  }

  return walk(
    value,
    paths.map(() => start),
    places.marks,
    '',
    '',
  )
}

const none: readonly Standing[] = []
const noMarks: readonly SchemaMarks[] = []

/**
 * What the value of a field is bound to: a property of the nearest object around it that has it, or a parameter of the path;
 * the empty text where nothing is asked for. `undefined`: it is asked for and nowhere to be found.
 */
export function boundOf({ field, around }: Met, { pathValues }: Exchange, { path }: Operation): string | undefined {
  const { bind } = field
  if (bind === undefined) return ''
  for (let i = around.length - 1; i >= 0; i--) {
    if (!Object.hasOwn(around[i]!, bind)) continue
    const value = around[i]![bind]
    return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
  }
  const index = [...path.matchAll(/\{([^{}]+)\}/g)].findIndex((match) => match[1] === bind)
  return index < 0 ? undefined : decodeURIComponent(pathValues[index]!)
}

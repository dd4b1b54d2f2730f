import type { Exchange } from '../../gate/exchange.ts'
import type { Operation, SchemaMarks } from '../../openapi/operation.ts'
import { toPointer } from '../../openapi/pointer.ts'
import type { Field } from './fields.ts'
import { isContainer } from './json.ts'
import { descend, isAt, type Standing, type Step, start } from './paths.ts'

/** Which fields there are: by path, and by the marks of schemas. */
export interface Places {
  /** Fields that are wherever their name is (`$..card`), which is how most are named: one look-up finds them. */
  readonly anywhere: ReadonlyMap<string, Field>
  readonly paths: readonly { readonly steps: readonly Step[]; readonly field: Field }[]
  readonly marks: readonly SchemaMarks[]
  /** The field that the marks of a schema make. */
  readonly fieldOf: (marks: SchemaMarks, name: string) => Field | undefined
}

/** Fields that are named by path, as a walk wants them. Of several that name one place the first counts. */
export function placesOf(
  named: readonly { readonly steps: readonly Step[]; readonly field: Field }[],
): Pick<Places, 'anywhere' | 'paths'> {
  const anywhere = new Map<string, Field>()
  const paths: Places['paths'][number][] = []
  for (const one of named) {
    const [step, ...more] = one.steps
    const isAnywhere = more.length === 0 && step!.deep && step!.name !== undefined && paths.length === 0
    if (!isAnywhere) paths.push(one)
    else if (!anywhere.has(step!.name!)) anywhere.set(step!.name!, one.field)
  }
  return { anywhere, paths }
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
  /** The names down to where the walk stands. */
  const tokens: string[] = []
  const { anywhere, paths, fieldOf } = places

  /** `called` is the nearest name above: items of a list go by the name of their list. */
  function walk(at: object, standings: readonly Standing[], marks: readonly SchemaMarks[], called: string): unknown {
    if (Array.isArray(at)) {
      let copy: unknown[] | undefined
      for (let i = 0; i < at.length; i++) {
        const next = one(at[i], String(i), standings, marks, called)
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
      const next = one(object[name], name, standings, marks, undefined)
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
    called: string | undefined,
  ): unknown {
    let field = anywhere.get(name)
    let below = none
    if (field === undefined && standings.length > 0) {
      const next = standings.map((standing, i) => (standing === 0 ? 0 : descend(paths[i]!.steps, standing, name)))
      if (next.some((standing) => standing !== 0)) below = next
      field = paths.find(({ steps }, i) => isAt(steps, next[i]!))?.field
    }
    let marksBelow = noMarks
    if (field === undefined && marks.length > 0) {
      const next: SchemaMarks[] = []
      for (const mark of marks) {
        const inner = called === undefined ? mark.property(name) : mark.items
        if (inner === undefined) continue
        next.push(inner)
        field ??= fieldOf(inner, called ?? name)
      }
      marksBelow = next
    }
    const goesOn = isContainer(value) && (anywhere.size > 0 || below.length > 0 || marksBelow.length > 0)
    if (field === undefined && !goesOn) return value
    tokens.push(name)
    const next =
      field === undefined
        ? walk(value as object, below, marksBelow, called ?? name)
        : visit({ field, value, pointer: toPointer(tokens), around })
    tokens.pop()
    return next
  }

  if (!isContainer(value)) return value
  return walk(
    value,
    paths.map(() => start),
    places.marks,
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

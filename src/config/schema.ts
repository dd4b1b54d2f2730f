import { fileMark, object, type Shape, z } from './language.ts'
import type { GuardShapes } from './load.ts'
import { apiShape, rootShape } from './settings.ts'
import { alternatives } from './shapes.ts'

const shapes = new WeakMap<readonly GuardShapes[], z.ZodObject>()

/** The whole configuration with the keys of every guard in it. Made once for each list of guards. */
export function configShape(guards: readonly GuardShapes[]): z.ZodObject {
  const made = shapes.get(guards)
  if (made !== undefined) return made

  const apiKeys: Record<string, z.ZodType> = {}
  const topKeys: Record<string, z.ZodType> = {}
  for (const guard of guards) {
    if (!Object.hasOwn(apiShape.shape, guard.name)) apiKeys[guard.name] ??= guard.options
    for (const [key, shape] of Object.entries(guard.root === undefined ? {} : keysAndShapes(guard.root))) {
      if (!Object.hasOwn(rootShape, key)) topKeys[key] ??= shape
    }
  }
  const apis = z
    .record(z.string().regex(/^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$/), apiShape.extend(apiKeys))
    .describe('The APIs behind this gate, by name.')
  const shape = object({ ...rootShape, ...topKeys, apis })
  shapes.set(guards, shape)
  return shape
}

/** The keys at the top of the configuration that a guard's root shape reads. */
export function rootKeysOf(root: Shape<unknown>): readonly string[] {
  return Object.keys(keysAndShapes(root))
}

function keysAndShapes(root: Shape<unknown>): Readonly<Record<string, z.ZodType>> {
  const [map] = alternatives([root])
  if (!(map instanceof z.ZodObject)) throw new Error("a guard's root shape must be an object")
  return map.shape as Readonly<Record<string, z.ZodType>>
}

/** The JSON Schema of the whole configuration, as editors use it: schema/v1.json. */
export function configSchema(guards: readonly GuardShapes[]): Readonly<Record<string, unknown>> {
  const schema = z.toJSONSchema(configShape(guards), {
    io: 'input',
    unrepresentable: 'any',
    reused: 'inline',
    override({ jsonSchema }) {
      delete jsonSchema[fileMark]
      // No such number is an upper limit that anybody chose.
      if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum
      if (jsonSchema.minimum === Number.MIN_SAFE_INTEGER) delete jsonSchema.minimum
      if (jsonSchema.default !== undefined) jsonSchema.default = asWritten(jsonSchema.default, jsonSchema.title)
    },
  })
  const { $schema, ...rest } = schema
  return { $schema, title: 'Portcullis configuration', ...rest }
}

/** A default in the words of the file: `30s` where the program holds 30000. */
function asWritten(value: unknown, title: string | undefined): unknown {
  if (title === 'duration' && typeof value === 'number') return withUnit(value, durationUnits)
  if (title === 'size' && typeof value === 'number') return withUnit(value, byteUnits)
  if (title !== 'rate' || typeof value !== 'object' || value === null) return value
  const { count, windowMs } = value as { count: number; windowMs: number }
  const unit = Object.entries({ s: 1_000, min: 60_000, h: 3_600_000, day: 86_400_000 }).find(
    ([, ms]) => ms === windowMs,
  )
  return `${count}/${unit?.[0] ?? withUnit(windowMs, durationUnits)}`
}

const durationUnits = { d: 86_400_000, h: 3_600_000, m: 60_000, s: 1_000, ms: 1 }
const byteUnits = { GB: 1024 ** 3, MB: 1024 ** 2, KB: 1024, B: 1 }

/** In the largest unit that divides it. */
function withUnit(value: number, units: Readonly<Record<string, number>>): string {
  const [name, size] = Object.entries(units).find(([, one]) => value !== 0 && value % one === 0) ?? ['', 1]
  return `${value / size}${name === 'B' ? '' : name}`
}

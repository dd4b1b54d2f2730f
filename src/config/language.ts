import { z } from 'zod'
import { parseBytes, parseDuration, parseQuota, parseRate } from '../base/units.ts'

/** Reads, documents and defaults one part of the configuration. The published JSON Schema comes from it. */
export type Shape<T> = z.ZodType<T>

/**
 * The words that options are written in. Each takes the sentence that the manual prints: what it means, in which
 * unit, from where. Defaults are added with `.default(…)`, limits with zod's own words.
 */
export { z }

/** An object that refuses keys it does not know. */
export const object = z.strictObject

/** `90s`, `15m`, `2h`, `30d`, `250ms`; read as milliseconds. */
export const duration = (description: string) =>
  text(parseDuration, 'duration', String.raw`^\d+(\.\d+)?(ms|s|m|h|d|w)$`, description, ['30s', '15m'])

/** `512`, `16KB`, `1MB`, `1GB` (powers of 1024); read as bytes. */
export const bytes = (description: string) =>
  text(parseBytes, 'size', String.raw`^\d+(\.\d+)?(B|KB|MB|GB)?$`, description, ['64KB', '1MB'])

/** `100/min`, `5/s`, `1000/h`, `10000/day`, `20/10s`; read as count and window. */
export const rate = (description: string) =>
  text(parseRate, 'rate', String.raw`^\d+/(\d+)?(ms|s|sec|min|m|h|hour|d|day|month)$`, description, ['100/min', '5/s'])

/** `10000/month`, `100/day`, `5000/week`, `50/hour`; read as count and unit of the calendar. */
export const quota = (description: string) =>
  text(parseQuota, 'quota', String.raw`^\d+/(hour|day|week|month)$`, description, ['10000/month', '100/day'])

/** `off`, `observe` (note, never block) or `enforce`. */
export const mode = (description: string) => z.enum(['off', 'observe', 'enforce']).describe(description)

/**
 * A file that is read. A relative path counts from the folder of the configuration file that wrote it, whichever
 * layer that is; text that is no path (a PEM block, a URL) stays as it stands. The file is watched.
 */
export const file = (description: string) => z.string().meta({ description, [fileMark]: { prefix: '', watched: true } })

/** A file that the program writes itself; resolved like `file`, not watched. With `prefix`, as in `sqlite:FILE`. */
export const outputFile = (description: string, prefix = '') =>
  z.string().meta({ description, [fileMark]: { prefix, watched: false } })

/** What a schema made by `file` or `outputFile` says of its path; `undefined` for every other schema. */
export function fileMarkOf(schema: z.core.$ZodType): FileMark | undefined {
  return z.globalRegistry.get(schema)?.[fileMark] as FileMark | undefined
}

export interface FileMark {
  readonly prefix: string
  readonly watched: boolean
}

export const fileMark = 'x-file'

/** A text that is read by `parse`, whose error is the complaint; `pattern` tells editors what it looks like. */
export function text<T>(
  parse: (text: string) => T,
  what: string,
  pattern: string,
  description: string,
  examples: string[],
) {
  return z
    .string()
    .transform((value, context) => {
      try {
        return parse(value)
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as Error).message })
        return z.NEVER
      }
    })
    .meta({ description, title: what, pattern, examples })
}

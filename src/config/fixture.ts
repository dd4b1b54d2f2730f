import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { ConfigErrors } from '../base/errors.ts'
import { framed } from './frame.ts'
import { bytes, duration, file, mode, object, rate, z } from './language.ts'
import { type Config, type GuardShapes, type LoadOptions, loadConfig } from './load.ts'

/** Guards as the loader sees them: one with every kind of option, one that reads the top of the configuration. */
export const guards: readonly GuardShapes[] = [
  {
    name: 'limits',
    options: z
      .record(
        z.string(),
        object({
          rate: rate('How many requests in which time.').optional(),
          burst: z.number().int().min(1).max(1_000).optional().describe('How many at once.'),
          key: z.string().default('principal'),
          match: z.string().optional(),
        }),
      )
      .default({}),
  },
  {
    name: 'validate',
    options: object({
      mode: mode('How it stands.').default('enforce'),
      maxBody: bytes('The largest body.').default(1_048_576),
      wait: duration('How long.').optional(),
      schema: file('A schema of its own.').optional(),
      deny: z.array(z.string()).max(4).default([]),
      secretKey: z
        .string()
        .refine((text) => text.length >= 8, 'at least 8 characters')
        .optional(),
      shout: z
        .string()
        .optional()
        .superRefine((text, context) => {
          if (text === 'loud') context.addIssue({ code: 'custom', message: `${text} is too loud` })
        }),
    }).prefault({}),
  },
  {
    name: 'auth',
    options: z.union([z.array(z.string()), object({ methods: z.array(z.string()) })]).default([]),
    root: object({
      issuers: z.record(z.string(), object({ issuer: z.url(), audience: z.string() })).default({}),
    }),
  },
]

/** A folder of its own with these files, gone after the tests. */
export async function folder(files: Readonly<Record<string, string>> = {}): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'portcullis-config-'))
  folders.push(directory)
  for (const [name, text] of Object.entries(files)) await writeFile(join(directory, name), text)
  return directory
}

const folders: string[] = []
afterAll(async () => {
  for (const directory of folders) await rm(directory, { recursive: true, force: true })
})

/** Loads `portcullis.yaml` from a folder made of these files. */
export async function load(
  files: Readonly<Record<string, string>>,
  more: Partial<LoadOptions> = {},
): Promise<Config & { readonly directory: string }> {
  const directory = await folder(files)
  return loadConfig({ file: join(directory, Object.keys(files)[0]!), env: {}, guards, ...more })
}

/** What the terminal would show of a configuration that is refused. */
export async function refusal(
  files: Readonly<Record<string, string>>,
  more: Partial<LoadOptions> = {},
): Promise<string> {
  const directory = await folder(files)
  try {
    await loadConfig({ file: join(directory, Object.keys(files)[0]!), env: {}, guards, ...more })
  } catch (error) {
    if (!(error instanceof ConfigErrors)) throw error
    return framed(error, { directory }).replaceAll(directory, '.')
  }
  throw new Error('the configuration was accepted')
}

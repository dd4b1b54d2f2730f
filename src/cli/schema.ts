import type { Command } from 'commander'
import { type ExitCode, newCommand, run } from './command.ts'

/** `portcullis schema`. */
export function command(): Command {
  return newCommand('schema', 'print the JSON Schema of the configuration, for editors', [
    ['portcullis schema > portcullis.schema.json', ''],
    ['# yaml-language-server: $schema=./node_modules/portcullis/schema/v1.json', 'as first line of portcullis.yaml'],
  ]).action(run(schema))
}

async function schema(): Promise<ExitCode> {
  const [{ configSchema }, { guards }, { printJson }] = await Promise.all([
    import('../config/schema.ts'),
    import('../guards/index.ts'),
    import('./output.ts'),
  ])
  printJson(configSchema(guards as unknown as Parameters<typeof configSchema>[0]))
  return 0
}

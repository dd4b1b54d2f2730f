import { Command, Option } from 'commander'

/** What every command is told: see the small print of docs/reference/commands.md. */
export interface CommonOptions {
  readonly config: string
  readonly json?: boolean
}

/** 0: done. 1: the answer is no. 2: the command line or the configuration is wrong. */
export type ExitCode = 0 | 1 | 2

export const defaultConfigFile = './portcullis.yaml'

/** A command with the two options that all have, and examples under its help. */
export function newCommand(
  name: string,
  summary: string,
  examples: readonly (readonly [string, string])[] = [],
): Command {
  const command = new Command(name).summary(summary).description(summary)
  command.addOption(new Option('-c, --config <file>', 'the configuration').default(defaultConfigFile))
  command.addOption(new Option('--json', 'one JSON document on standard output'))
  if (examples.length > 0) command.addHelpText('after', examplesText(examples))
  return command
}

/** Examples, aligned, under a help text. */
export function examplesText(examples: readonly (readonly [string, string])[]): string {
  const width = Math.max(...examples.map(([line]) => line.length))
  const lines = examples.map(([line, meaning]) => `  ${line.padEnd(width)}  ${meaning}`.trimEnd())
  return `\nExamples:\n${lines.join('\n')}`
}

/** An option that may be given several times, or with commas: `--scope a --scope b,c`. */
export function collect(value: string, before: readonly string[] = []): string[] {
  const values = value.split(',').map((one) => one.trim())
  return [...before, ...values.filter((one) => one !== '')]
}

/** Runs an action whose answer is the exit code. */
export function run<Arguments extends unknown[]>(action: (...given: Arguments) => Promise<ExitCode>) {
  return async (...given: Arguments): Promise<void> => {
    process.exitCode = await action(...given)
  }
}

/** The command line cannot be followed as it stands. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

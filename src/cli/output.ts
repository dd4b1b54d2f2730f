import { ConfigError, ConfigErrors } from '../base/errors.ts'
import { framed, wantsColour } from '../config/frame.ts'

let guarded = false

/** A reader that has seen enough (`| head`) closes the pipe; that is no error of ours. */
function guardPipe(): void {
  if (guarded) return
  guarded = true
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code !== 'EPIPE') throw error
  })
}

/** Prints a result on standard output. */
export function print(text: string): void {
  guardPipe()
  process.stdout.write(text.endsWith('\n') ? text : `${text}\n`)
}

/** Prints the one JSON document that `--json` promises. */
export function printJson(value: unknown): void {
  guardPipe()
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`)
}

/** Says something to the person at the terminal, on standard error. */
export function say(text: string): void {
  process.stderr.write(text.endsWith('\n') ? text : `${text}\n`)
}

/** Shows what went wrong: code frames for people on standard error, and with `json` a document on standard output. */
export function printError(error: unknown, json: boolean): void {
  if (json) printJson({ errors: problemsOf(error) })
  say(framed(error, { colour: wantsColour(process.stderr) }))
  if (error instanceof ConfigErrors && error.errors.length > 1) say(`\n${error.errors.length} errors.`)
}

/** An error as data, for `--json`. */
export function problemsOf(error: unknown): object[] {
  if (error instanceof ConfigErrors) return error.errors.map(problemOf)
  if (error instanceof ConfigError) return [problemOf(error)]
  return [{ message: error instanceof Error ? error.message : String(error) }]
}

export function problemOf({ code, message, place, hint }: ConfigError): object {
  const { file, line, column } = place ?? {}
  return { code, message, file, line, column, hint }
}

/** Rows in columns as wide as their widest cell. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((title, index) => Math.max(title.length, ...rows.map((row) => (row[index] ?? '').length)))
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, index) => cell.padEnd(widths[index]!))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)].join('\n')
}

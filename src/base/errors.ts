/** Where in a file the reader should look. Lines and columns count from 1. */
export interface Place {
  readonly file: string
  readonly line: number
  readonly column: number
  /** How many columns to underline. */
  readonly length?: number
}

/** The stable form of an error code that a user can look up: `P1007`. */
export type ErrorCode = `P${number}`

/**
 * Something the user wrote cannot be used: configuration, an OpenAPI document, an overlay, a command line.
 * It carries a stable code, and where known the place, so that the command line can print a code frame.
 */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly code: ErrorCode
  readonly place: Place | undefined
  /** What to do next, shown under the underlined text: `did you mean "burst"?`. */
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, options: { place?: Place; hint?: string; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.place = options.place
    this.hint = options.hint
  }
}

/** Several complaints about one input, so that a reader can mend all of them at once. */
export class ConfigErrors extends AggregateError {
  override readonly name = 'ConfigErrors'
  declare readonly errors: ConfigError[]

  constructor(errors: readonly ConfigError[]) {
    super(errors, errors.map((error) => error.message).join('\n'))
  }
}

/** The text of anything that was thrown. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { code, path } = error as NodeJS.ErrnoException
  const words = code === undefined || path === undefined ? undefined : fileWords[code]
  return words === undefined ? error.message : `${words} ${path}`
}

/** What the system's refusals of a file mean: `ENOENT: no such file or directory, stat 'x'` is for programmers. */
const fileWords: Readonly<Record<string, string>> = {
  ENOENT: 'there is no',
  EACCES: 'this user may not open, or not write,',
  EPERM: 'this user may not change',
  EISDIR: 'it is a folder:',
  ENOTDIR: 'a part of the path is no folder:',
  EROFS: 'the file system is read-only:',
  ENOSPC: 'no space is left for',
}

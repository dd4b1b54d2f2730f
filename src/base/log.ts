/** Messages for the operator, on standard error. Never the place for a secret or for a caller's input. */
export interface Logger {
  debug(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  warn(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
}

export type LogFields = Readonly<Record<string, unknown>>

/** Says nothing: for tests and for engines used as a library. */
export const silentLogger: Logger = { debug() {}, info() {}, warn() {}, error() {} }

import { ConfigError, ConfigErrors } from '../base/errors.ts'

/**
 * The same error without the values of variables in it: what fails after the configuration was read may quote a URL or
 * a header that came from one.
 */
export function redactError(error: unknown, redact: (text: string) => string): unknown {
  if (error instanceof ConfigErrors) return new ConfigErrors(error.errors.map((one) => redactOne(one, redact)))
  if (error instanceof ConfigError) return redactOne(error, redact)
  if (!(error instanceof Error) || redact(error.message) === error.message) return error
  const told = new Error(redact(error.message))
  told.name = error.name
  return told
}

function redactOne({ code, message, place, hint }: ConfigError, redact: (text: string) => string): ConfigError {
  return new ConfigError(code, redact(message), {
    ...(place === undefined ? {} : { place }),
    ...(hint === undefined ? {} : { hint: redact(hint) }),
  })
}

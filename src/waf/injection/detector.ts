/** Finds SQL and script that were injected into values, as libinjection does, which every rule engine asks behind `@detectSQLi` and `@detectXSS`. */
export interface InjectionDetector {
  /** By index: the fingerprint of what was found, such as `s&1c`, or `undefined`. */
  sqli(values: readonly string[]): readonly (string | undefined)[]
  /** By index: whether script was found. */
  xss(values: readonly string[]): readonly boolean[]
  /** Both at once. */
  both(sqli: readonly string[], xss: readonly string[]): InjectionFindings
}

export interface InjectionFindings {
  readonly sqli: readonly (string | undefined)[]
  readonly xss: readonly boolean[]
}

/** The library behind `@detectSQLi` cannot be loaded: there is no binary for this system, or it was not installed. */
export class InjectionUnavailable extends Error {
  override readonly name = 'InjectionUnavailable'
  readonly code = 'injection.unavailable'

  constructor(cause: unknown) {
    const reason = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    super(
      `@detectSQLi needs @datadog/native-appsec, which cannot be loaded: ${reason}. ` +
        'It has binaries for Linux (glibc and musl) and macOS on x64 and arm64, and for Windows on x64.',
      { cause },
    )
  }
}

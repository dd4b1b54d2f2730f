import { ConfigError, ConfigErrors, type ErrorCode, type Place } from '../base/errors.ts'
import { pointerTokens } from './pointer.ts'
import type { Source } from './source.ts'

/** A value's position: in which file, and under which JSON Pointer there. */
export interface Spot {
  readonly source: Source
  readonly pointer: string
}

export interface ComplaintOptions {
  readonly hint?: string
  /** Whether the key or the value is to be underlined. Default: the key. */
  readonly at?: 'key' | 'value'
}

/** Beyond these, further ones are only counted: nobody mends a thousand at once. */
export const errorsMax = 100
export const warningsMax = 200
/** Of warnings that read alike, the first few show what is meant. */
export const alikeMax = 3

/** Where a container's members come from when an overlay put them there: by key, the file and the keys within it. */
export type Origins = WeakMap<object, Map<string, Origin>>

export interface Origin {
  readonly source: Source
  readonly tokens: readonly string[]
}

/** Gathers what is wrong with a document, so that its writer sees all of it at once. */
export class Complaints {
  readonly errors: ConfigError[] = []
  readonly warnings: ConfigError[] = []
  readonly origins: Origins = new WeakMap()
  /** While true, what would be an error is a warning: nothing that is served depends on it. */
  lenient = false
  #errorsOmitted = 0
  #warningsOmitted = 0
  readonly #alike = new Map<string, number>()

  error(code: ErrorCode, spot: Spot, message: string, options: ComplaintOptions = {}): void {
    if (this.lenient) this.warn(code, spot, message, options)
    else if (this.errors.length < errorsMax) this.errors.push(this.#make(code, spot, message, options))
    else this.#errorsOmitted++
  }

  warn(code: ErrorCode, spot: Spot, message: string, options: ComplaintOptions = {}): void {
    const alike = (this.#alike.get(message) ?? 0) + 1
    this.#alike.set(message, alike)
    if (alike <= alikeMax && this.warnings.length < warningsMax)
      this.warnings.push(this.#make(code, spot, message, options))
    else this.#warningsOmitted++
  }

  /** Throws what was found: one error bare, several together. */
  throwErrors(): void {
    if (this.errors.length === 0) return
    if (this.errors.length === 1) throw this.errors[0]!
    if (this.#errorsOmitted > 0) {
      this.errors.push(new ConfigError('P2006', `and ${this.#errorsOmitted} more errors`))
    }
    throw new ConfigErrors(this.errors)
  }

  allWarnings(): readonly ConfigError[] {
    if (this.#warningsOmitted === 0) return this.warnings
    return [...this.warnings, new ConfigError('P2016', `and ${this.#warningsOmitted} more warnings`)]
  }

  place(spot: Spot, at: 'key' | 'value' = 'key'): Place {
    const origin = originOf(this.origins, spot.source, pointerTokens(spot.pointer))
    return origin.source.locate(origin.tokens, at)
  }

  #make(code: ErrorCode, spot: Spot, message: string, options: ComplaintOptions): ConfigError {
    const place = this.place(spot, options.at)
    return new ConfigError(code, message, options.hint === undefined ? { place } : { place, hint: options.hint })
  }
}

/** The file that a value was written in, and the keys that lead to it there. */
export function originOf(origins: Origins, source: Source, tokens: readonly string[]): Origin {
  let origin: { source: Source; tokens: string[] } = { source, tokens: [] }
  let value: unknown = source.root
  for (const token of tokens) {
    const moved = typeof value === 'object' && value !== null ? origins.get(value)?.get(token) : undefined
    if (moved === undefined) origin.tokens.push(token)
    else origin = { source: moved.source, tokens: [...moved.tokens] }
    value = typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[token] : undefined
  }
  return origin
}

export function at(spot: Spot, pointer: string): Spot {
  return { source: spot.source, pointer }
}

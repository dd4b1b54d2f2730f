/** An expression that cannot be meant: what is wrong with it, and where in its text. */
export class RuleError extends Error {
  override readonly name = 'RuleError'
  readonly source: string
  /** Of the first character that is wrong; counts from 0. */
  readonly offset: number
  readonly length: number
  /** What to write instead. */
  readonly hint: string | undefined

  constructor(message: string, source: string, at: { readonly start: number; readonly end: number }, hint?: string) {
    super(message)
    this.source = source
    this.offset = at.start
    this.length = Math.max(1, at.end - at.start)
    this.hint = hint
  }
}

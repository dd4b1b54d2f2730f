/** A pattern that is malformed, or that no engine of linear time can match. */
export class PatternError extends Error {
  override readonly name = 'PatternError'
  /** What is wrong, without the place. */
  readonly reason: string
  /** Where in the pattern, in characters from 0. */
  readonly offset: number
  readonly pattern: string

  constructor(reason: string, pattern: string, offset: number) {
    super(`${reason} at offset ${offset} of ${excerpt(pattern, offset)}`)
    this.reason = reason
    this.offset = offset
    this.pattern = pattern
  }
}

/** Patterns of 12 KB exist: show the place, not the whole. */
function excerpt(pattern: string, offset: number): string {
  if (pattern.length <= 80) return pattern
  const start = Math.max(0, Math.min(offset - 30, pattern.length - 60))
  const end = Math.min(pattern.length, start + 60)
  return `${start > 0 ? '…' : ''}${pattern.slice(start, end)}${end < pattern.length ? '…' : ''}`
}

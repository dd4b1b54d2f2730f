import { hexValues, scratch } from './bytes.ts'
import { type Argument, argument, type BodyLimits, bodyLimits } from './values.ts'

/** The arguments of a query string or of an application/x-www-form-urlencoded body. */
export interface UrlEncoded {
  readonly arguments: readonly Argument[]
  /** A percent sign without two hexadecimal digits stood somewhere; it was kept as it is. */
  readonly invalidEncoding: boolean
  readonly error: string | undefined
}

const percent = 0x25
const plus = 0x2b
const equals = 0x3d

/**
 * Reads `a=1&b=2` in order. As in ModSecurity, invalid percent signs stay, a plus is a space, an argument may have no name
 * and no value; unlike there, one that has neither (`&&`) is dropped, since there is nothing to look at. What lies beyond the
 * limit comes as one more argument, decoded but not split.
 */
export function parseUrlEncoded(
  text: string,
  limits: Pick<BodyLimits, 'argumentsMax' | 'argumentSeparator'> = bodyLimits,
): UrlEncoded {
  const found: Argument[] = []
  const separator = limits.argumentSeparator.charCodeAt(0)
  const { argumentsMax } = limits
  const { length } = text
  let invalidEncoding = false
  let start = 0
  let equalsAt = -1
  let encoded = false
  for (let i = 0; i <= length; i++) {
    const code = i < length ? text.charCodeAt(i) : separator
    if (code === separator) {
      if (i > start) {
        if (found.length >= argumentsMax) {
          const rest = text.slice(start)
          const error = `more than ${argumentsMax} arguments`
          found.push(argument('', percentDecode(rest, true)))
          return { arguments: found, invalidEncoding: invalidEncoding || hasInvalidPercent(rest), error }
        }
        const nameEnd = equalsAt < 0 ? i : equalsAt
        const name = text.slice(start, nameEnd)
        const value = equalsAt < 0 ? '' : text.slice(equalsAt + 1, i)
        if (encoded) {
          if (!invalidEncoding) invalidEncoding = hasInvalidPercent(name) || hasInvalidPercent(value)
          found.push(argument(percentDecode(name, true), percentDecode(value, true)))
        } else found.push(argument(name, value))
      }
      start = i + 1
      equalsAt = -1
      encoded = false
    } else if (code === equals) {
      if (equalsAt < 0) equalsAt = i
    } else if (code === percent || code === plus) encoded = true
  }
  return { arguments: found, invalidEncoding, error: undefined }
}

/** Decodes `%41`, keeps percent signs that are not followed by two hexadecimal digits, and takes a plus for a space if told so. */
export function percentDecode(text: string, plusIsSpace: boolean): string {
  const { length } = text
  let first = 0
  for (; first < length; first++) {
    const code = text.charCodeAt(first)
    if (code === percent || (code === plus && plusIsSpace)) break
  }
  if (first === length) return text
  const into = scratch(length)
  let end = 0
  for (; end < first; end++) into[end] = text.charCodeAt(end)
  for (let i = first; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code === percent && i + 2 < length) {
      const high = hexValues[text.charCodeAt(i + 1)]!
      const low = hexValues[text.charCodeAt(i + 2)]!
      if (high >= 0 && low >= 0) {
        into[end++] = (high << 4) | low
        i += 2
        continue
      }
    }
    into[end++] = code === plus && plusIsSpace ? 0x20 : code
  }
  return into.toString('latin1', 0, end)
}

/** Whether a percent sign lacks its two hexadecimal digits. */
export function hasInvalidPercent(text: string): boolean {
  for (let at = text.indexOf('%'); at >= 0; at = text.indexOf('%', at + 1)) {
    if (at + 2 >= text.length) return true
    if (hexValues[text.charCodeAt(at + 1)]! < 0 || hexValues[text.charCodeAt(at + 2)]! < 0) return true
  }
  return false
}

import { isBlank } from './bytes.ts'
import { type Argument, argument } from './values.ts'

const semicolon = 0x3b
const equals = 0x3d

/**
 * The cookies of all Cookie headers, in order and as they came: nothing is decoded or unquoted, names may repeat, a cookie
 * without `=` is a name without a value (SecCookieFormat 0). Blanks around a cookie and around its name are dropped. Unlike
 * in ModSecurity a value without a name counts: some frameworks read it.
 */
export function parseCookies(headers: readonly string[]): readonly Argument[] {
  const found: Argument[] = []
  for (const header of headers) {
    const { length } = header
    let start = 0
    let equalsAt = -1
    for (let i = 0; i <= length; i++) {
      const code = i < length ? header.charCodeAt(i) : semicolon
      if (code === semicolon) {
        addCookie(header, start, equalsAt, i, found)
        start = i + 1
        equalsAt = -1
      } else if (code === equals && equalsAt < 0) equalsAt = i
    }
  }
  return found
}

function addCookie(header: string, start: number, equalsAt: number, end: number, into: Argument[]): void {
  let to = end
  while (to > start && isBlank(header.charCodeAt(to - 1))) to--
  let from = start
  while (from < to && isBlank(header.charCodeAt(from))) from++
  if (from === to) return
  // The equals sign may be the last byte that is no blank.
  let nameEnd = equalsAt < 0 ? to : equalsAt
  while (nameEnd > from && isBlank(header.charCodeAt(nameEnd - 1))) nameEnd--
  const name = header.slice(from, nameEnd)
  const value = equalsAt < 0 ? '' : header.slice(equalsAt + 1, to)
  if (name !== '' || value !== '') into.push(argument(name, value))
}

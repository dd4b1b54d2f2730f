/** The names of a path template's parameters, in order. */
export function templateNames(path: string): string[] {
  return [...path.matchAll(/\{([^{}]*)\}/g)].map((match) => match[1]!)
}

/** What two templates have in common that cannot be told apart: `/a/{x}` and `/a/{y}` are both `/a/{}`. */
export function templateShape(path: string): string {
  return path.replaceAll(/\{[^{}]*\}/g, '{}')
}

/** Characters that a path segment may hold as they are (RFC 3986, 3.3: pchar), and the slash. */
const pathCharacter = /[\w.~!$&'()*+,;=:@/-]/

/**
 * A path template with its fixed parts in the one form that the gate compares: percent-encoding as in RFC 3986,
 * 6.2.2. Braces stay.
 */
export function canonicalTemplate(path: string): string {
  return path
    .split(/(\{[^{}]*\})/)
    .map((part, index) => (index % 2 === 1 ? part : canonicalPart(part)))
    .join('')
}

function canonicalPart(part: string): string {
  let result = ''
  for (const piece of part.match(/%[\dA-Fa-f]{2}|./gsu) ?? []) {
    if (piece.length === 3 && piece[0] === '%') {
      const character = String.fromCharCode(Number.parseInt(piece.slice(1), 16))
      // Unreserved characters mean the same encoded or not (RFC 3986, 2.3).
      result += /[\w.~-]/.test(character) ? character : piece.toUpperCase()
    } else result += pathCharacter.test(piece) ? piece : encodeURIComponent(piece.toWellFormed())
  }
  return result
}

/** A base path begins with a slash and does not end with one; the root is empty. */
export function canonicalBasePath(path: string): string {
  const trimmed = canonicalTemplate(path).replace(/\/+$/, '')
  return trimmed === '' || trimmed.startsWith('/') ? trimmed : `/${trimmed}`
}

import { trimBlanks } from './bytes.ts'
import { hasInvalidPercent, percentDecode } from './urlencoded.ts'

/** What a part says of itself in Content-Disposition. */
export interface Disposition {
  /** All that some reader may take for the name: more than one, and none, are errors. */
  readonly names: readonly string[]
  /** All that some reader may take for a file name, `filename*` decoded. */
  readonly filenames: readonly string[]
  readonly invalidQuoting: boolean
  readonly error: string | undefined
}

const extended = /^([\w!#$%&+^{}~-]+)'[^']*'((?:%[0-9a-f]{2}|[\w!#$&+.^`~-])*)$/i
const token = /^[!#$%&'*+.^_`{|}~0-9A-Za-z-]*$/

/**
 * Reads `form-data; name="a"; filename="b"` as strictly as ModSecurity does, but reads on after a mistake, since the upstream may
 * do so too. Types and parameter names are compared without regard to case (RFC 2183, section 2).
 */
export function readDisposition(header: string): Disposition {
  const names: string[] = []
  const filenames: string[] = []
  let invalidQuoting = false
  let error: string | undefined
  let hasFilename = false
  let hasExtended = false

  const { length } = header
  if (header.slice(0, 9).toLowerCase() !== 'form-data') error = 'a disposition that is not form-data'
  let at = error === undefined ? skipBlanks(header, 9) : 0
  if (error === undefined && at < length && header[at] !== ';') error = 'text after form-data'
  // The first parameter follows the first semicolon, whatever stands before it.
  at = header.indexOf(';', at)
  while (at >= 0 && at < length) {
    at = skipBlanks(header, at + 1)
    if (at === length) break
    const nameAt = at
    while (at < length && header[at] !== '=' && header[at] !== ';' && header[at] !== ' ' && header[at] !== '\t') at++
    const parameter = header.slice(nameAt, at).toLowerCase()
    const equalsAt = skipBlanks(header, at)
    if (header[equalsAt] !== '=') {
      error ??= 'a parameter without a value'
      at = header.indexOf(';', at)
      continue
    }
    // Crude readers look for `filename=` as it stands here.
    if (equalsAt !== at && parameter === 'filename') error ??= 'blanks before "="'
    at = skipBlanks(header, equalsAt + 1)
    const quoted = header[at] === '"' || header[at] === "'"
    let value: string
    if (quoted && parameter !== 'filename*') {
      const mark = header[at]!
      if (mark === "'") invalidQuoting = true
      const read = readQuoted(header, at, mark)
      value = read.value
      at = read.end
      if (at > length) {
        error ??= 'a quoted value without an end'
        at = length
      }
      at = skipBlanks(header, at)
      if (at < length && header[at] !== ';') {
        const before = header[at - 1]
        if (before === '"' || before === "'") invalidQuoting = true
        error ??= 'text after a quoted value'
        const next = header.indexOf(';', at)
        // What stands behind may be part of the value for other readers.
        value += header.slice(at, next < 0 ? length : next)
        at = next
      }
    } else {
      const next = header.indexOf(';', at)
      value = trimBlanks(header.slice(at, next < 0 ? length : next), false, true)
      at = next
      if (parameter !== 'filename*') {
        if (value.includes("'")) invalidQuoting = true
        if (!token.test(value)) error ??= 'a value that needs quotes'
      }
    }
    switch (parameter) {
      case 'name':
        if (names.length > 0) error ??= 'two names'
        names.push(value)
        break
      case 'filename':
        if (hasFilename) error ??= 'two file names'
        hasFilename = true
        if (value !== '') filenames.push(value)
        break
      case 'filename*': {
        if (hasExtended) error ??= 'two extended file names'
        hasExtended = true
        const parts = extended.exec(value)
        if (parts === null || hasInvalidPercent(parts[2]!)) error ??= 'an extended file name that cannot be read'
        const filename = percentDecode(parts === null ? value : parts[2]!, false)
        if (filename !== '') filenames.push(filename)
        break
      }
      default:
        error ??= 'an unknown parameter'
        // Continuations and encodings of RFC 2231, which some readers know: `name*`, `name*0`, `filename*0*`.
        if (/^name\*/.test(parameter)) names.push(percentDecode(value.replace(/^[^']*'[^']*'/, ''), false))
        else if (/^filename\*/.test(parameter)) filenames.push(percentDecode(value.replace(/^[^']*'[^']*'/, ''), false))
    }
  }
  if (hasExtended && !hasFilename) error ??= 'an extended file name without a plain one'
  if (names.length === 0 || names[0] === '') error ??= 'no name'
  return { names, filenames, invalidQuoting, error }
}

/** The text between quotes. Only the quote and the backslash can be escaped: browsers send paths with bare backslashes. */
function readQuoted(header: string, quoteAt: number, mark: string): { readonly value: string; readonly end: number } {
  const pieces: string[] = []
  let from = quoteAt + 1
  for (let at = from; at < header.length; at++) {
    const character = header[at]
    if (character === mark) {
      pieces.push(header.slice(from, at))
      return { value: pieces.join(''), end: at + 1 }
    }
    if (character === '\\' && (header[at + 1] === mark || header[at + 1] === '\\')) {
      pieces.push(header.slice(from, at))
      from = at + 1
      at++
    }
  }
  pieces.push(header.slice(from))
  return { value: pieces.join(''), end: header.length + 1 }
}

function skipBlanks(text: string, from: number): number {
  let at = from
  while (text[at] === ' ' || text[at] === '\t') at++
  return at
}

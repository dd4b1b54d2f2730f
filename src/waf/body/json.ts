import { hexValues, isValidUtf8, scratch, writeUtf8 } from './bytes.ts'
import { decodeCharset } from './charset.ts'
import { type Argument, argument, type BodyLimits, bodyLimits, type NamePrefix } from './values.ts'

export type JsonKind = 'string' | 'number' | 'boolean' | 'null'

/**
 * What is known beforehand about the members of a JSON text, as a schema tells it. Only properties that stand in the map
 * are known; below any other one nothing is.
 */
export interface ShapeNode {
  readonly properties?: ReadonlyMap<string, ShapeNode>
  readonly items?: ShapeNode
  /** True: this value cannot carry an attack. The value is as it would stand in ARGS. */
  readonly check?: (value: string, kind: JsonKind) => boolean
}

/** A JSON text as arguments. */
export interface FlatJson {
  readonly arguments: readonly Argument[]
  /** Members that the shape proves harmless, array lengths and empty containers it knows among them. */
  readonly proved: readonly Argument[]
  readonly error: string | undefined
}

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/**
 * A name repeats the names of all containers around it, so that names of a deep text may grow with the square of its length.
 * Beyond this many bytes, and eight for each of the text, names leave the containers out, which is an error.
 */
const namesBytesFree = 262_144

const flatPrefix = 'json.'

/**
 * Turns JSON into arguments in one pass over its bytes: `{"a":[{"b":1}]}` gives `json.a.0.b` = `1` and the length of each
 * array as `json.a` = `1`. A text that is one value is the argument `json`. Numbers and literals stay as they are written,
 * null is empty, escapes become UTF-8, half a surrogate pair U+FFFD. Keys that repeat give one argument each; an empty
 * container gives one, for its name.
 *
 * Nothing of a wrong text is lost: where reading ends, at a mistake, the depth limit or the argument limit, the rest is one
 * more argument as it stands. Mistakes inside strings are told and read on.
 */
export function flattenJson(
  bytes: string,
  limits: Pick<BodyLimits, 'argumentsMax' | 'jsonDepthMax'> = bodyLimits,
  shape?: ShapeNode,
  charset?: string,
): FlatJson {
  const decoded = decodeCharset(bytes, charset)
  const { text } = decoded
  const { length } = text
  const { argumentsMax, jsonDepthMax } = limits
  const found: Argument[] = []
  const proved: Argument[] = []
  let error = decoded.error
  let namesBytesLeft = namesBytesFree + 8 * length
  // Whether names leave the containers out.
  let flat = false

  // The innermost container: what its members' names begin with, the index of the present one (-1 in an object), and what
  // the shape knows of it. The lists hold the same for those around it, and each one's own name.
  let prefix: NamePrefix | undefined
  let index = -1
  let inside: ShapeNode | undefined
  const prefixes: (NamePrefix | undefined)[] = []
  const indices: number[] = []
  const insides: (ShapeNode | undefined)[] = []
  const names: string[] = []
  const keys: string[] = []
  const nodes: (ShapeNode | undefined)[] = []
  let depth = 0

  // The value to read: its name, what the shape knows of it, and where it begins.
  let name = 'json'
  let key = name
  let node = shape
  let at = skipBlanks(text, 0)
  let fault: string | undefined
  /** What is not understood begins here. */
  let from = at
  stringFault = undefined
  stringBits = 0

  reading: for (;;) {
    from = at
    if (found.length + proved.length >= argumentsMax) {
      fault = `more than ${argumentsMax} arguments`
      break
    }
    const first = text.charCodeAt(at)
    if (first === openBrace || first === openBracket) {
      if (depth === jsonDepthMax) {
        fault = `nested deeper than ${jsonDepthMax}`
        break
      }
      const isArray = first === openBracket
      at = skipBlanks(text, at + 1)
      if (text.charCodeAt(at) === (isArray ? closeBracket : closeBrace)) {
        namesBytesLeft -= name.length
        const entry = argument(name, isArray ? '0' : '', prefix, key, node !== undefined)
        if (node === undefined) found.push(entry)
        else proved.push(entry)
        at++
      } else {
        // Without this its name would be in no name.
        if (flat) found.push(argument(name, '', prefix, key))
        prefixes.push(prefix)
        indices.push(index)
        insides.push(inside)
        names.push(name)
        keys.push(key)
        nodes.push(node)
        depth++
        if (!flat) prefix = { text: `${name}.`, memo: undefined }
        inside = node
        if (isArray) {
          index = 0
          node = inside?.items
          key = '0'
          name = prefix!.text + key
          continue
        }
        index = -1
        from = at
        at = readKey(text, at)
        if (at < 0) {
          fault = keyFault
          name = prefix!.text
          break
        }
        node = inside === undefined ? undefined : inside.properties?.get(stringValue)
        key = stringValue
        name = prefix!.text + key
        continue
      }
    } else {
      let value: string
      let kind: JsonKind
      if (first === quote) {
        at = readString(text, at)
        if (at > length) {
          fault = 'expected the end of a string, found the end of the text'
          break
        }
        value = stringValue
        kind = 'string'
      } else {
        const end = endOfScalar(text, at, first)
        if (end < 0) {
          fault = at < length ? `expected a value at byte ${at}` : 'expected a value, found the end of the text'
          break
        }
        value = first === 0x6e ? '' : text.slice(at, end)
        kind = first === 0x6e ? 'null' : first === 0x74 || first === 0x66 ? 'boolean' : 'number'
        at = end
      }
      namesBytesLeft -= name.length
      const entry = argument(name, value, prefix, key, node !== undefined)
      if (node?.check?.(value, kind)) proved.push(entry)
      else found.push(entry)
    }

    // A value has ended: close what ends with it, and find the next one.
    for (;;) {
      if (namesBytesLeft < 0 && !flat && depth > 0) {
        // The name just given holds those of all containers that are open.
        flat = true
        error ??= 'the names in the JSON text are too long in all'
        prefix = { text: flatPrefix, memo: undefined }
        prefixes.fill(prefix, 1)
      }
      at = skipBlanks(text, at)
      if (depth === 0) break reading
      const code = text.charCodeAt(at)
      if (code === comma) {
        at = skipBlanks(text, at + 1)
        if (index >= 0) {
          node = inside?.items
          key = String(++index)
          name = prefix!.text + key
          break
        }
        from = at
        at = readKey(text, at)
        if (at < 0) {
          fault = keyFault
          name = prefix!.text
          break reading
        }
        node = inside === undefined ? undefined : inside.properties?.get(stringValue)
        key = stringValue
        name = prefix!.text + key
        break
      }
      if (code !== (index >= 0 ? closeBracket : closeBrace)) {
        fault =
          at < length ? `expected "," or an end at byte ${at}` : 'expected "," or an end, found the end of the text'
        from = at
        name = prefix!.text
        break reading
      }
      at++
      const lengthOfArray = index + 1
      depth--
      prefix = prefixes.pop()
      index = indices.pop()!
      inside = insides.pop()
      name = names.pop()!
      key = keys.pop()!
      node = nodes.pop()
      if (lengthOfArray > 0 && !flat) {
        namesBytesLeft -= name.length
        const entry = argument(name, String(lengthOfArray), prefix, key, node !== undefined)
        if (node === undefined) found.push(entry)
        else proved.push(entry)
      }
    }
  }

  if (fault === undefined && at < length) {
    fault = `expected the end of the text at byte ${at}`
    from = at
  }
  error ??= stringFault
  if (fault !== undefined) {
    error ??= fault
    if (from < length) found.push(argument(name, text.slice(from)))
  }
  if (error === undefined && decoded.utf8 && stringBits >= 0x80 && !isValidUtf8(text))
    error = 'the JSON text is not UTF-8'
  return { arguments: found, proved, error }
}

let keyFault = ''

/** Reads `"key":` and the blanks after it; tells where the value begins. -1: `keyFault` says why not. */
function readKey(text: string, from: number): number {
  if (text.charCodeAt(from) !== quote) {
    keyFault = from < text.length ? `expected a key at byte ${from}` : 'expected a key, found the end of the text'
    return -1
  }
  const end = readString(text, from)
  if (end > text.length) {
    keyFault = 'expected the end of a key, found the end of the text'
    return -1
  }
  const at = skipBlanks(text, end)
  if (text.charCodeAt(at) !== colon) {
    keyFault = at < text.length ? `expected ":" at byte ${at}` : 'expected ":", found the end of the text'
    return -1
  }
  return skipBlanks(text, at + 1)
}

function skipBlanks(text: string, from: number): number {
  let at = from
  for (;;) {
    const code = text.charCodeAt(at)
    if (code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09) at++
    else return at
  }
}

/** What `readString` read. There is one reader at a time: it never waits. */
let stringValue = ''
/** The first mistake in any string of the text. */
let stringFault: string | undefined
/** All bytes of the strings that were read, by OR. */
let stringBits = 0

/** Reads the string whose opening quote stands at `from`; tells where it ends, or a place beyond the text if it does not. */
function readString(text: string, from: number): number {
  const { length } = text
  let bits = 0
  for (let at = from + 1; at < length; at++) {
    const code = text.charCodeAt(at)
    if (code === quote) {
      stringValue = text.slice(from + 1, at)
      stringBits |= bits
      return at + 1
    }
    if (code === backslash || code < 0x20) {
      stringBits |= bits
      return readEscapedString(text, from, at)
    }
    bits |= code
  }
  stringBits |= bits
  return length + 1
}

function readEscapedString(text: string, from: number, escapeAt: number): number {
  const { length } = text
  // No escape is shorter than what it stands for, so that the way to the next quote is room enough.
  let into = scratch(endOfRoom(text, escapeAt) - from)
  let filled = 0
  for (let i = from + 1; i < escapeAt; i++) into[filled++] = text.charCodeAt(i)
  let at = escapeAt
  while (at < length) {
    let code = text.charCodeAt(at)
    if (code === quote) {
      stringValue = into.toString('latin1', 0, filled)
      return at + 1
    }
    if (code !== backslash) {
      if (code < 0x20) stringFault ??= `a control character stands in a string at byte ${at}`
      stringBits |= code
      into[filled++] = code
      at++
      continue
    }
    code = text.charCodeAt(at + 1)
    if (code === 0x75) {
      let unit = hexUnit(text, at + 2)
      if (unit < 0) {
        stringFault ??= `expected four hexadecimal digits at byte ${at + 2}`
        into[filled++] = backslash
        at++
        continue
      }
      at += 6
      if (unit >= 0xd800 && unit < 0xdc00 && text.charCodeAt(at) === backslash && text.charCodeAt(at + 1) === 0x75) {
        const low = hexUnit(text, at + 2)
        if (low >= 0xdc00 && low < 0xe000) {
          unit = 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00)
          at += 6
        }
      }
      filled = writeUtf8(into, filled, unit)
      continue
    }
    const meant = code < 0x80 ? escapes[code]! : -1
    if (meant < 0) {
      stringFault ??= `an unknown escape stands at byte ${at}`
      into[filled++] = backslash
      at++
      continue
    }
    into[filled++] = meant
    at += 2
    if (code === quote) {
      const room = endOfRoom(text, at) - from
      if (room > into.length) {
        const larger = scratch(Math.max(room, into.length * 2))
        larger.set(into.subarray(0, filled))
        into = larger
      }
    }
  }
  return length + 1
}

function endOfRoom(text: string, at: number): number {
  const end = text.indexOf('"', at)
  return end < 0 ? text.length : end
}

/** What the character after a backslash stands for; -1 where it stands for nothing. `\u` is not among them. */
const escapes: Int8Array = new Int8Array(128).fill(-1)
for (const [code, meant] of ['""', '\\\\', '//', 'b\b', 'f\f', 'n\n', 'r\r', 't\t'])
  escapes[code!.charCodeAt(0)] = meant!.charCodeAt(0)

function hexUnit(text: string, at: number): number {
  if (at + 4 > text.length) return -1
  const a = hexValues[text.charCodeAt(at)]!
  const b = hexValues[text.charCodeAt(at + 1)]!
  const c = hexValues[text.charCodeAt(at + 2)]!
  const d = hexValues[text.charCodeAt(at + 3)]!
  return (a | b | c | d) < 0 ? -1 : (a << 12) | (b << 8) | (c << 4) | d
}

/** Where a number or a literal that begins at `at` ends; -1 if it is none. */
function endOfScalar(text: string, at: number, first: number): number {
  if (first === 0x74) return text.startsWith('true', at) ? at + 4 : -1
  if (first === 0x66) return text.startsWith('false', at) ? at + 5 : -1
  if (first === 0x6e) return text.startsWith('null', at) ? at + 4 : -1
  let i = at
  let code = first
  if (code === 0x2d) code = text.charCodeAt(++i)
  if (code === 0x30) code = text.charCodeAt(++i)
  else {
    if (!isDigit(code)) return -1
    do code = text.charCodeAt(++i)
    while (isDigit(code))
  }
  if (code === 0x2e) {
    code = text.charCodeAt(++i)
    if (!isDigit(code)) return -1
    do code = text.charCodeAt(++i)
    while (isDigit(code))
  }
  if (code === 0x65 || code === 0x45) {
    code = text.charCodeAt(++i)
    if (code === 0x2b || code === 0x2d) code = text.charCodeAt(++i)
    if (!isDigit(code)) return -1
    do code = text.charCodeAt(++i)
    while (isDigit(code))
  }
  return i
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** A media type or range, read (RFC 9110, 8.3.1 and 12.5.1). */
export interface MediaTypeName {
  /** `application/json`, `image/*`, any; lower case, without parameters. */
  readonly essence: string
  readonly type: string
  readonly subtype: string
  /** By lower-case name. */
  readonly parameters: ReadonlyMap<string, string>
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y

/** Reads a media type. `undefined` when the text is none. */
export function parseMediaType(text: string): MediaTypeName | undefined {
  let at = 0
  const space = () => {
    while (text[at] === ' ' || text[at] === '\t') at++
  }
  const word = (): string | undefined => {
    token.lastIndex = at
    const found = token.exec(text)?.[0]
    if (found !== undefined) at += found.length
    return found
  }
  space()
  const type = word()?.toLowerCase()
  if (type === undefined || text[at++] !== '/') return undefined
  const subtype = word()?.toLowerCase()
  if (subtype === undefined) return undefined
  const parameters = new Map<string, string>()
  for (;;) {
    space()
    if (at === text.length) break
    if (text[at++] !== ';') return undefined
    space()
    if (at === text.length || text[at] === ';') continue
    const name = word()?.toLowerCase()
    if (name === undefined || text[at++] !== '=') return undefined
    let value = text[at] === '"' ? '' : word()
    if (value === undefined) return undefined
    if (text[at] === '"') {
      at++
      while (text[at] !== '"') {
        if (at >= text.length) return undefined
        if (text[at] === '\\') at++
        value += text[at++] ?? ''
      }
      at++
    }
    // Two values for one name: two readers would choose differently.
    if (parameters.has(name)) return undefined
    parameters.set(name, value)
  }
  return { essence: `${type}/${subtype}`, type, subtype, parameters }
}

/** How exactly a range of the document covers a type: 0 not at all, more is more exact. */
export function coverage(range: MediaTypeName, type: MediaTypeName): number {
  for (const [name, value] of range.parameters) {
    // The charset of the document is a wish, not a different type.
    if (name === 'charset' || name === 'boundary') continue
    if (type.parameters.get(name)?.toLowerCase() !== value.toLowerCase()) return 0
  }
  const asked = range.parameters.size
  if (range.essence === type.essence) return 1000 + asked
  if (range.essence === '*/*') return 1 + asked
  if (range.type !== type.type) return 0
  if (range.subtype === '*') return 100 + asked
  // `application/*+json`: a family by its suffix (RFC 6839).
  if (range.subtype.startsWith('*') && type.subtype.endsWith(range.subtype.slice(1))) return 500 + asked
  return 0
}

/** How the bytes of a type are to be read. */
export type Reading = 'json' | 'json-lines' | 'json-seq' | 'form' | 'multipart' | 'xml' | 'text' | 'opaque'

export function isJson(type: MediaTypeName | undefined): boolean {
  return type !== undefined && readingOf(type) === 'json'
}

const lineTypes = new Set([
  'application/x-ndjson',
  'application/ndjson',
  'application/jsonl',
  'application/x-jsonlines',
  'application/json-lines',
])

export function readingOf({ essence, type, subtype }: MediaTypeName): Reading {
  if (subtype === 'json' || subtype.endsWith('+json')) return 'json'
  if (lineTypes.has(essence)) return 'json-lines'
  if (subtype === 'json-seq' || subtype.endsWith('+json-seq')) return 'json-seq'
  if (essence === 'application/x-www-form-urlencoded') return 'form'
  if (essence === 'multipart/form-data') return 'multipart'
  if (subtype === 'xml' || subtype.endsWith('+xml')) return 'xml'
  return type === 'text' ? 'text' : 'opaque'
}

/** Media types whose messages arrive over time, so that they must never be held: only their head can be checked. */
export function isStreamed(contentType: string): boolean {
  const essence = contentType.split(';', 1)[0]!.trim().toLowerCase()
  return essence === 'text/event-stream' || essence.endsWith('json-seq') || lineTypes.has(essence)
}

import { JsonError, parseStrictJson } from '../../base/json.ts'

/** A number as it was written, where a double would not keep it. */
interface RawJson {
  readonly rawJSON: string
}

/** What the language has and its typings do not know yet (Node 22 and later). */
const exact = JSON as unknown as {
  readonly rawJSON: (text: string) => RawJson
  readonly isRawJSON: (value: unknown) => value is RawJson
  readonly parse: (
    text: string,
    revive: (key: string, value: unknown, context: { source?: string }) => unknown,
  ) => unknown
}

/** Whether a value holds others. */
export function isContainer(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !exact.isRawJSON(value)
}

/**
 * Reads a body so that it can be written again with every number as it was. `undefined` for what is no JSON or could be read
 * in two ways: a key that stands twice, another encoding.
 */
export function readJson(body: Buffer): { readonly value: unknown } | undefined {
  try {
    return { value: parseStrictJson(body) }
  } catch (error) {
    if (!(error instanceof JsonError) || error.reason !== 'number') return undefined
  }
  try {
    const text = body.toString('utf8')
    // Without its numbers the text must pass every other rule. Texts come first, so that digits within them stay.
    const without = text.replace(/"[^"\\]*(?:\\.[^"\\]*)*"|-?\d[\d.eE+-]*/gs, (token) =>
      token[0] === '"' ? token : '0',
    )
    parseStrictJson(Buffer.from(without))
    return { value: parseExact(text) }
  } catch {
    return undefined
  }
}

/** The value of a JSON text that was checked before. */
export function parseExact(text: string): unknown {
  return exact.parse(text, (_key, value, { source }) =>
    typeof value === 'number' && source !== undefined && !Number.isSafeInteger(value) && String(value) !== source
      ? exact.rawJSON(source)
      : value,
  )
}

export function writeJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value))
}

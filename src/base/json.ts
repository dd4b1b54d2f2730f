/** A JSON text that cannot be read, or that two readers could read differently. */
export class JsonError extends Error {
  override readonly name = 'JsonError'
}

/** Parses JSON that every reader reads alike (I-JSON, RFC 7493). Throws `JsonError`. */
export declare function parseStrictJson(bytes: Uint8Array): unknown

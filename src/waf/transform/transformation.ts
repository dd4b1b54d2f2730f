/** One `t:` of a rule: a function over bytes. */
export interface Transformation {
  /** As the manual spells it: `urlDecodeUni`. */
  readonly name: string
  /** The value changed; the very same string when nothing changes. Never throws, never gives a char code above 255. */
  apply(value: string): string
  /** 256 flags, one for each byte: a value that has none of the flagged ones is returned unchanged, guaranteed. Of the empty value see `altersEmpty`. */
  readonly alters: Uint8Array
  /** Whether it makes something of the empty value: its length, its hash. */
  readonly altersEmpty: boolean
}

/** A transformation that leaves values alone which have none of `bytes`. */
export function transformation(
  name: string,
  bytes: string | Uint8Array,
  apply: (value: string) => string,
): Transformation {
  const alters = typeof bytes === 'string' ? flagsOf(bytes) : bytes
  return { name, apply, alters, altersEmpty: apply('') !== '' }
}

/** 256 flags, set for each byte of `bytes`. */
export function flagsOf(bytes: string): Uint8Array {
  const flags = new Uint8Array(256)
  for (let i = 0; i < bytes.length; i++) flags[bytes.charCodeAt(i)] = 1
  return flags
}

/** 256 flags, set where `test` says so. */
export function flagsWhere(test: (byte: number) => boolean): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, byte) => (test(byte) ? 1 : 0))
}

export const anyByte: Uint8Array = new Uint8Array(256).fill(1)

/** What `isspace` of C means: tab, line feed, vertical tab, form feed, carriage return, space. */
export const whiteBytes = '\t\n\v\f\r '

/** Where the first byte stands that is flagged, or -1. */
export function firstOf(value: string, flags: Uint8Array): number {
  const length = value.length
  for (let i = 0; i < length; i++) if (flags[value.charCodeAt(i)] === 1) return i
  return -1
}

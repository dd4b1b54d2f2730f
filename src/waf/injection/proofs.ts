import { firstOf, flagsOf, flagsWhere } from '../transform/transformation.ts'

/**
 * Bytes of which injected SQL has at least one: all but letters, digits, the underscore and what lies above ASCII, A0 excepted, which is white space.
 * Without them a value is some numbers and one word behind them, and of no list of such the fingerprint is on libinjection's: `1U` (a number and UNION)
 * counts only where something was folded, which takes an operator.
 */
export const sqliBytes: Uint8Array = flagsWhere(
  (byte) => byte === 0xa0 || (byte < 0x80 && !/[0-9A-Za-z_]/.test(String.fromCharCode(byte))),
)

/** Bytes of which injected script has at least one: a tag, a comment and a doctype begin with `<`, and an attribute without `=` has no value. */
export const xssBytes: Uint8Array = flagsOf('<=')

/** A value certainly is no SQL: it has none of `sqliBytes`. */
export function cannotBeSqli(value: string): boolean {
  return firstOf(value, sqliBytes) === -1
}

/** A value certainly is no script: it has none of `xssBytes`. */
export function cannotBeXss(value: string): boolean {
  return !value.includes('<') && !value.includes('=')
}

import fc from 'fast-check'

/** Strings in which each char code is one byte, put together of any bytes and of what a test is after: its `tokens`. */
export function byteStrings(tokens: readonly string[] = [], maxLength = 40): fc.Arbitrary<string> {
  const byte = fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code))
  const piece = tokens.length === 0 ? byte : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...tokens) }, byte)
  return fc.array(piece, { maxLength }).map((pieces) => pieces.join(''))
}

/** Whether every char code is one byte. */
export function isByteString(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 255) return false
  return true
}

/** What a byte is worth as a hexadecimal digit, or 255: most bytes are none. */
export const hexDigit: Uint8Array = Uint8Array.from({ length: 256 }, (_, byte) => {
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const lower = byte | 0x20
  return lower >= 0x61 && lower <= 0x66 ? lower - 0x61 + 10 : 255
})

export const noDigit = 255

export const lowerHex: Uint8Array = Uint8Array.from('0123456789abcdef', (digit) => digit.charCodeAt(0))

/** Whether two hexadecimal digits stand there. Behind the end of a value they must have been looked for before. */
export function isHexPair(bytes: Uint8Array, at: number): boolean {
  return hexDigit[bytes[at]!] !== noDigit && hexDigit[bytes[at + 1]!] !== noDigit
}

/** The byte that two hexadecimal digits say. */
export function hexPair(bytes: Uint8Array, at: number): number {
  return (hexDigit[bytes[at]!]! << 4) | hexDigit[bytes[at + 1]!]!
}

/** Whether it is one of `0` to `7`. */
export function isOctal(byte: number | undefined): boolean {
  return byte !== undefined && byte >= 0x30 && byte <= 0x37
}

/*
 * The "best fit" of Windows code page 20127 (US-ASCII), which is what IIS made of `%uXXXX` and what ModSecurity's `unicode.mapping` lists for
 * it: a first code point and the bytes for it and those that follow.
 */
const runs: readonly (readonly [first: number, bytes: string])[] = [
  [0xa0, ' !c'],
  [0xa4, '$Y|'],
  [0xa9, 'Ca<'],
  [0xad, '-R'],
  [0xb2, '23'],
  [0xb7, '.,1o>'],
  [0xc0, 'AAAAAAACEEEEIIIIDNOOOOO'],
  [0xd8, 'OUUUUY'],
  [0xe0, 'aaaaaaaceeeeiiii'],
  [0xf1, 'nooooo'],
  [0xf8, 'ouuuuy'],
  [0xff, 'yAaAaAaCcCcCcCcDdDdEeEeEeEeEeGgGgGgGgHhHhIiIiIiIiIi'],
  [0x134, 'JjKk'],
  [0x139, 'LlLlLl'],
  [0x141, 'LlNnNnNn'],
  [0x14c, 'OoOoOoOoRrRrRrSsSsSsSsTtTtTtUuUuUuUuUuUuWwYyYZ'],
  [0x17b, 'ZzZz'],
  [0x180, 'b'],
  [0x189, 'D'],
  [0x191, 'Ff'],
  [0x197, 'I'],
  [0x19a, 'l'],
  [0x19f, 'OOo'],
  [0x1ab, 't'],
  [0x1ae, 'TUu'],
  [0x1b6, 'z'],
  [0x1cd, 'AaIiOoUuUuUuUuUu'],
  [0x1de, 'Aa'],
  [0x1e4, 'GgGgKkOoOo'],
  [0x1f0, 'j'],
  [0x261, 'g'],
  [0x2b9, '\'"'],
  [0x2bc, "'"],
  [0x2c4, '^'],
  [0x2c6, '^'],
  [0x2c8, "'"],
  [0x2cb, '`'],
  [0x2cd, '_'],
  [0x2dc, '~'],
  [0x300, '`'],
  [0x302, '^~'],
  [0x30e, '"'],
  [0x331, '__'],
  [0x2000, '       '],
  [0x2010, '--'],
  [0x2013, '--'],
  [0x2018, "'',"],
  [0x201c, '"""'],
  [0x2022, '.'],
  [0x2026, '.'],
  [0x2032, "'"],
  [0x2035, '`'],
  [0x2039, '<>'],
  [0x2122, 'T'],
  [0xff01, '!"#$%&\'()*+,-./0123456789:;<=>'],
  [0xff20, '@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~'],
]

/** What `SecUnicodeMapFile unicode.mapping 20127` says; taken where a configuration has no such line. */
export const builtInUnicodeMap: ReadonlyMap<number, number> = new Map(
  runs.flatMap(([first, bytes]) => Array.from(bytes, (byte, i): [number, number] => [first + i, byte.charCodeAt(0)])),
)

/** One byte for each code point up to 0xFFFF: what the map says, otherwise the low byte, full-width forms as the ASCII they look like. */
export function unicodeBytes(map: ReadonlyMap<number, number>): Uint8Array {
  const bytes = new Uint8Array(0x1_0000)
  for (let code = 0; code < bytes.length; code++) bytes[code] = lowByte(code)
  for (const [code, byte] of map) if (code >= 0 && code < bytes.length) bytes[code] = byte
  return bytes
}

/** The low byte of a code point; U+FF01 to U+FF5E are the full-width forms of `!` to `~`. */
export function lowByte(code: number): number {
  const low = code & 0xff
  return code >> 8 === 0xff && low > 0 && low < 0x5f ? low + 0x20 : low
}

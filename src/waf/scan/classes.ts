/**
 * The alphabet in 32 classes, one bit each. What a value is made of fits into one number, and so does what a pattern
 * needs: a proof that one cannot match the other is a few bit operations. Punctuation that attacks are made of has
 * classes of its own; letters of both cases are one, since most patterns do not tell them apart.
 */
const groups: readonly (readonly number[])[] = [
  [...range('a', 'z'), ...range('A', 'Z')],
  range('0', '9'),
  ...[
    '_',
    '-',
    '.',
    '/',
    ':',
    ' ',
    ',',
    '@',
    '+',
    '=',
    '&',
    '?',
    '%',
    '(',
    ')',
    "'",
    '"',
    '!',
    ';',
    '<',
    '>',
    '\\',
  ].map(bytesOf),
  ...['*', '$', '#~', '`^', '|', '{}[]', '\t\n\r'].map(bytesOf),
]
/** Control bytes, DEL and everything above ASCII: what no other class holds. */
const rest = groups.length

function bytesOf(text: string): number[] {
  return [...text].map((char) => char.charCodeAt(0))
}

function range(from: string, to: string): number[] {
  const first = from.charCodeAt(0)
  return Array.from({ length: to.charCodeAt(0) - first + 1 }, (_, i) => first + i)
}

/** Classes as bits of a signed 32-bit number. */
export type ClassMask = number

/** The bit of each byte's class. */
export const classOf: Int32Array = classTable()

function classTable(): Int32Array {
  if (rest !== 31) throw new Error(`${rest + 1} classes do not fit into 32 bits`)
  const table = new Int32Array(256).fill(1 << rest)
  groups.forEach((group, bit) => {
    for (const byte of group) table[byte] = 1 << bit
  })
  return table
}

/** Every byte. */
export const allClasses: ClassMask = -1

/** The classes that a text is made of. */
export function classesOf(text: string): ClassMask {
  let mask = 0
  for (let i = 0; i < text.length; i++) mask |= classOf[text.charCodeAt(i)]!
  return mask
}

/** The classes that hold at least one byte of a set of 256 flags. */
export function classesTouched(flags: { readonly [byte: number]: number }): ClassMask {
  let mask = 0
  for (let byte = 0; byte < 256; byte++) if (flags[byte] !== 0) mask |= classOf[byte]!
  return mask
}

/**
 * Alphabets, each within the next, from identifiers to everything. Literals that a match must contain are worked out
 * for each of them at load: the smaller the alphabet, the fewer ways there are to write an attack, the better the literals.
 */
export const alphabets: readonly ClassMask[] = [
  classesOf('a0_'),
  classesOf('a0_-.'),
  classesOf('a0_-. ,/:'),
  classesOf('a0_-. ,/:+@=&?%'),
  classesOf("a0_-. ,/:+@=&?%()'!;\t"),
  allClasses,
]

/** The first alphabet that holds all these classes. */
export function alphabetOf(mask: ClassMask): number {
  let level = 0
  while ((mask & ~alphabets[level]!) !== 0) level++
  return level
}

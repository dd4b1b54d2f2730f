/** A set of bytes: bit b of word b / 32. Sets are shared between nodes; none is changed once it is handed out. */
export type ByteSet = Uint32Array

export const noBytes: ByteSet = new Uint32Array(8)
export const allBytes: ByteSet = new Uint32Array(8).fill(0xffffffff)

export function hasByte(set: ByteSet, byte: number): boolean {
  return ((set[byte >> 5]! >>> (byte & 31)) & 1) === 1
}

/** The bytes that the text consists of: `byteSet('abc')`. */
export function byteSet(text: string): ByteSet {
  const set = new Uint32Array(8)
  for (let i = 0; i < text.length; i++) addByte(set, text.charCodeAt(i))
  return set
}

/** The bytes of all ranges, both ends included: `byteRanges([0x30, 0x39], [0x61, 0x66])`. */
export function byteRanges(...ranges: readonly (readonly [number, number])[]): ByteSet {
  const set = new Uint32Array(8)
  for (const [low, high] of ranges) addRange(set, low, high)
  return set
}

/** Changes a set under construction. */
export function addByte(set: ByteSet, byte: number): void {
  set[byte >> 5]! |= 1 << (byte & 31)
}

/** Changes a set under construction. */
export function addRange(set: ByteSet, low: number, high: number): void {
  for (let byte = low; byte <= high; byte++) addByte(set, byte)
}

/** Changes a set under construction. */
export function addSet(set: ByteSet, other: ByteSet): void {
  for (let word = 0; word < 8; word++) set[word]! |= other[word]!
}

export function unionOf(a: ByteSet, b: ByteSet): ByteSet {
  const set = new Uint32Array(8)
  for (let word = 0; word < 8; word++) set[word] = a[word]! | b[word]!
  return set
}

export function intersectionOf(a: ByteSet, b: ByteSet): ByteSet {
  const set = new Uint32Array(8)
  for (let word = 0; word < 8; word++) set[word] = a[word]! & b[word]!
  return set
}

export function complementOf(a: ByteSet): ByteSet {
  const set = new Uint32Array(8)
  for (let word = 0; word < 8; word++) set[word] = ~a[word]!
  return set
}

export function isEmptySet(a: ByteSet): boolean {
  return (a[0]! | a[1]! | a[2]! | a[3]! | a[4]! | a[5]! | a[6]! | a[7]!) === 0
}

export function sameSet(a: ByteSet, b: ByteSet): boolean {
  if (a === b) return true
  for (let word = 0; word < 8; word++) if (a[word] !== b[word]) return false
  return true
}

/** Whether every byte of `a` is in `b`. */
export function isSubset(a: ByteSet, b: ByteSet): boolean {
  for (let word = 0; word < 8; word++) if ((a[word]! & ~b[word]!) !== 0) return false
  return true
}

export function isDisjoint(a: ByteSet, b: ByteSet): boolean {
  for (let word = 0; word < 8; word++) if ((a[word]! & b[word]!) !== 0) return false
  return true
}

export function countBytes(set: ByteSet): number {
  let count = 0
  for (let word = 0; word < 8; word++) for (let bits = set[word]!; bits !== 0; bits &= bits - 1) count++
  return count
}

/** The bytes of a set in ascending order. */
export function bytesOf(set: ByteSet): number[] {
  const bytes: number[] = []
  for (let byte = 0; byte < 256; byte++) if (hasByte(set, byte)) bytes.push(byte)
  return bytes
}

/** The set with the other case of each ASCII letter added. Bytes above 127 have no case: they are no characters here. */
export function foldSet(a: ByteSet): ByteSet {
  const upper = a[2]! & letters
  const lower = a[3]! & letters
  if (upper >>> 0 === lower >>> 0) return a
  const set = a.slice()
  set[2]! |= lower
  set[3]! |= upper
  return set
}

/** The bits of A–Z in word 2, which are those of a–z in word 3. */
const letters = 0x07fffffe

/** A key that is equal for equal sets. */
export function setKey(set: ByteSet): string {
  return set.join(',')
}

export const digitBytes = byteRanges([0x30, 0x39])
export const wordBytes = byteRanges([0x30, 0x39], [0x41, 0x5a], [0x5f, 0x5f], [0x61, 0x7a])
/** What `\s` means in PCRE 8.34 and later: with the vertical tab, without 0x85 and 0xA0. */
export const spaceBytes = byteRanges([0x09, 0x0d], [0x20, 0x20])
export const horizontalSpaceBytes = byteSet('\t \xa0')
export const verticalSpaceBytes = byteRanges([0x0a, 0x0d], [0x85, 0x85])
export const newlineBytes = byteSet('\n')

import { allClasses, type ClassMask, classesOf } from './classes.ts'

/** The classes that a value may be made of once a transformation is done with it, by those that it was made of. */
export type ClassesAfter = (classes: ClassMask) => ClassMask

const space = classesOf(' ')
const slash = classesOf('/')
/** `removeComments` leaves a NUL in place of a comment that ends the value. */
const spaceOrNull = classesOf(' \0')

/** Whatever the bytes of an escape spell, it can be anything; without its first byte there is none. */
const decoding = (escapes: string): ClassesAfter => {
  const first = classesOf(escapes)
  return (classes) => ((classes & first) === 0 ? classes : allClasses)
}
const adding =
  (added: ClassMask): ClassesAfter =>
  (classes) =>
    classes | added

const percent = classesOf('%')
const plus = classesOf('+')
const urlDecoding: ClassesAfter = (classes) => {
  if ((classes & percent) !== 0) return allClasses
  return (classes & plus) === 0 ? classes : classes | space
}
const above = classesOf('\xff')
const codePoints = classesOf('%u0a')

/** By name as the manual spells it. What is not listed may make anything of anything. */
const known: ReadonlyMap<string, ClassesAfter> = new Map<string, ClassesAfter>([
  ['cmdLine', adding(space)],
  ['compressWhitespace', adding(space)],
  ['cssDecode', decoding('\\')],
  ['escapeSeqDecode', decoding('\\')],
  ['htmlEntityDecode', decoding('&')],
  ['jsDecode', decoding('\\')],
  ['lowercase', adding(0)],
  ['normalizePath', adding(0)],
  ['normalizePathWin', adding(slash)],
  ['removeComments', adding(spaceOrNull)],
  ['removeCommentsChar', adding(0)],
  ['removeNulls', adding(0)],
  ['removeWhitespace', adding(0)],
  ['replaceComments', adding(space)],
  ['replaceNulls', adding(space)],
  ['trim', adding(0)],
  ['trimLeft', adding(0)],
  ['trimRight', adding(0)],
  ['uppercase', adding(0)],
  ['urlDecode', urlDecoding],
  ['urlDecodeUni', urlDecoding],
  ['utf8toUnicode', (classes) => ((classes & above) === 0 ? classes : classes | codePoints)],
])

const anything: ClassesAfter = () => allClasses

export function classesAfter(name: string): ClassesAfter {
  return known.get(name) ?? anything
}

/** Transformations whose result is never longer than what they were given; of four bytes in base64 three are left. */
const shrinking = new Map([
  ...['cmdLine', 'compressWhitespace', 'lowercase', 'normalizePath', 'normalizePathWin', 'removeCommentsChar'].map(
    asLong,
  ),
  ...['removeNulls', 'removeWhitespace', 'replaceNulls', 'trim', 'trimLeft', 'trimRight', 'uppercase'].map(asLong),
  ...['urlDecode', 'urlDecodeUni', 'jsDecode', 'cssDecode', 'escapeSeqDecode'].map(asLong),
  ['base64Decode', 3 / 4] as const,
])

function asLong(name: string): readonly [string, number] {
  return [name, 1]
}

/** The most bytes that a transformation may make of one, as a factor; infinite where that is not known. */
export function growthOf(name: string): number {
  return shrinking.get(name) ?? Number.POSITIVE_INFINITY
}

/** Transformations to which letters of both cases are the same, whose result differs in case only where the value does. */
const caseBlind = new Set([
  ...['cmdLine', 'compressWhitespace', 'lowercase', 'normalizePath', 'normalizePathWin', 'removeComments'],
  ...['removeCommentsChar', 'removeNulls', 'removeWhitespace', 'replaceComments', 'replaceNulls'],
  ...['trim', 'trimLeft', 'trimRight', 'uppercase'],
])

export function isCaseBlind(name: string): boolean {
  return caseBlind.has(name)
}

/** Whether letters may come out of a transformation in the other case. */
export function changesCase(name: string): boolean {
  return name === 'cmdLine' || name === 'lowercase' || name === 'uppercase'
}

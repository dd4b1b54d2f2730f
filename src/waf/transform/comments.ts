import { bytesOf, stringOf } from './scratch.ts'
import { firstOf, flagsOf, type Transformation, transformation } from './transformation.ts'

const slash = 0x2f
const star = 0x2a
const dash = 0x2d
const less = 0x3c
const hash = 0x23

/** A space in place of each comment between slash-star and star-slash, also of one that never ends. */
export const replaceComments: Transformation = transformation('replaceComments', '/', (value) => {
  let i = value.indexOf('/*')
  if (i === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = i
  while (i < length) {
    if (bytes[i] === slash && i + 1 < length && bytes[i + 1] === star) {
      const close = value.indexOf('*/', i + 2)
      bytes[end++] = 0x20
      i = close === -1 ? length : close + 2
    } else {
      bytes[end++] = bytes[i++]!
    }
  }
  return stringOf(bytes, end)
})

const beginsComment = flagsOf('/<-#')

/**
 * Takes out comments of C and of HTML, and all that follows `--` or `#`. As in ModSecurity either end closes either comment, one that never ends
 * leaves a space, and one that ends the value a NUL.
 */
export const removeComments: Transformation = transformation('removeComments', beginsComment, (value) => {
  const first = firstOf(value, beginsComment)
  if (first === -1) return value
  const length = value.length
  const bytes = bytesOf(value)
  let end = first
  let i = first
  while (i < length) {
    const open = opening(bytes, i, length)
    if (open > 0) {
      i = closing(value, i + open)
      if (i === -1) {
        bytes[end++] = 0x20
        break
      }
      if (i === length) bytes[end++] = 0
    } else if (bytes[i] === hash || (bytes[i] === dash && i + 1 < length && bytes[i + 1] === dash)) {
      break
    } else {
      bytes[end++] = bytes[i++]!
    }
  }
  return end === length && i === length ? value : stringOf(bytes, end)
})

/** How many bytes open a comment there. */
function opening(bytes: Uint8Array, at: number, length: number): number {
  if (bytes[at] === slash && at + 1 < length && bytes[at + 1] === star) return 2
  return isHtmlOpening(bytes, at, length) ? 4 : 0
}

function isHtmlOpening(bytes: Uint8Array, at: number, length: number): boolean {
  return (
    bytes[at] === less && at + 3 < length && bytes[at + 1] === 0x21 && bytes[at + 2] === dash && bytes[at + 3] === dash
  )
}

/** Where a comment's end ends, or -1. */
function closing(value: string, from: number): number {
  const ofC = value.indexOf('*/', from)
  const ofHtml = value.indexOf('-->', from)
  if (ofC === -1 && ofHtml === -1) return -1
  return ofHtml === -1 || (ofC !== -1 && ofC < ofHtml) ? ofC + 2 : ofHtml + 3
}

const isCommentByte = flagsOf('/*<-#')

/** Takes out what opens and closes comments, and leaves what they say. */
export const removeCommentsChar: Transformation = transformation('removeCommentsChar', isCommentByte, (value) => {
  const first = firstOf(value, isCommentByte)
  if (first === -1) return value
  const bytes = bytesOf(value)
  const length = value.length
  let end = first
  for (let i = first; i < length; ) {
    const size = isCommentByte[bytes[i]!] === 1 ? markSize(bytes, i, length) : 0
    if (size === 0) bytes[end++] = bytes[i++]!
    else i += size
  }
  return end === length ? value : stringOf(bytes, end)
})

function markSize(bytes: Uint8Array, at: number, length: number): number {
  const byte = bytes[at]!
  if (byte === hash) return 1
  if (isHtmlOpening(bytes, at, length)) return 4
  if (at + 1 >= length) return 0
  const next = bytes[at + 1]!
  if (byte === dash && next === dash) return at + 2 < length && bytes[at + 2] === 0x3e ? 3 : 2
  return (byte === slash && next === star) || (byte === star && next === slash) ? 2 : 0
}

/** Below this a text is read as it is: copying costs as much as a hundred bytes do. */
const copiedMin = 64
const copiedMax = 256 * 1024

let copied = ''
let copy = Buffer.allocUnsafeSlow(16 * 1024)

/**
 * The bytes of a text, for loops over all of it: twice as fast as asking a string for each. Several automata that look
 * at one text one after the other share one copy, valid until the next call. Undefined where no copy is worth it.
 */
export function copyText(text: string): Uint8Array | undefined {
  const { length } = text
  if (length < copiedMin || length > copiedMax) return undefined
  if (text === copied) return copy
  if (length > copy.length) copy = Buffer.allocUnsafeSlow(Math.max(length, copy.length * 2))
  copy.write(text, 'latin1')
  copied = text
  return copy
}

import { Buffer } from 'node:buffer'

/*
 * Where results are put together. Copying a string into bytes and making one of bytes costs some 30 and 60 ns whatever its length (up to a
 * kilobyte), a loop over `charCodeAt` and `+=` costs 5 ns for each byte. Transformations run one at a time, so one place for each is enough.
 */
const keptBytesMax = 1 << 20
let input: Buffer<ArrayBufferLike> = Buffer.allocUnsafeSlow(1 << 14)
let output: Buffer<ArrayBufferLike> = Buffer.allocUnsafeSlow(1 << 14)

/** The bytes of a value, to be read and written over. What stands behind `value.length` means nothing. Good until the next call. */
export function bytesOf(value: string): Buffer {
  input = roomFor(input, value.length)
  input.write(value, 'latin1')
  return input
}

/** Room for a result that can be longer than its value. Good until the next call. */
export function roomOf(length: number): Buffer {
  output = roomFor(output, length)
  return output
}

/** The first `length` bytes as a value. */
export function stringOf(bytes: Buffer, length: number): string {
  return bytes.toString('latin1', 0, length)
}

/** One large value must not be paid for by memory for ever: what is larger than usual is given back at the next call. */
function roomFor(buffer: Buffer, length: number): Buffer {
  if (length <= buffer.length && buffer.length <= keptBytesMax) return buffer
  let size = 1 << 14
  while (size < length) size *= 2
  return size === buffer.length ? buffer : Buffer.allocUnsafeSlow(size)
}

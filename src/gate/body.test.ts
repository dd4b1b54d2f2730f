import { brotliCompressSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib'
import { describe, expect, test } from 'vitest'
import { decodePart } from './body.ts'

const text = Array.from({ length: 30_000 }, (_, n) => `line ${n * 7_919} of a long answer\n`).join('')
const codings: [string, (body: string) => Buffer][] = [
  ['gzip', gzipSync],
  ['deflate', deflateSync],
  ['br', brotliCompressSync],
  ['zstd', zstdCompressSync],
]

describe.each(codings)('the beginning of a body in %s', (coding, encode) => {
  const coded = encode(text)

  test('is all of a short one', async () => {
    expect((await decodePart(encode('short'), coding, 100)).toString()).toBe('short')
  })

  test('is cut at the most that is wanted', async () => {
    expect((await decodePart(coded, coding, 1_000)).toString()).toBe(text.slice(0, 1_000))
  })

  test('is as much as the bytes that are there tell', async () => {
    const part = await decodePart(coded.subarray(0, coded.length / 2), coding, 10_000_000)
    expect(part.length).toBeGreaterThan(1_000)
    expect(text.startsWith(part.toString())).toBe(true)
  })

  test('is refused where the bytes are of another coding', async () => {
    await expect(decodePart(Buffer.from('<html>not coded at all</html>'), coding, 100)).rejects.toThrow()
  })
})

test('an unknown coding is refused', async () => {
  await expect(decodePart(Buffer.from('x'), 'compress', 100)).rejects.toThrow('unknown content coding')
})

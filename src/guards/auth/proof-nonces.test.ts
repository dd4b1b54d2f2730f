import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createProofNonces } from './proof-nonces.ts'

test('hands out a nonce of the newest secret from its rotation on, and takes the old one as long as its secret is kept', () => {
  const [first, second] = [randomBytes(32), randomBytes(32)]
  let secrets: readonly Uint8Array[] = [first]
  const nonces = createProofNonces(
    () => secrets,
    () => 1_700_000_000_000,
  )
  const before = nonces.current()
  expect(nonces.judge(before)).toBe('current')
  secrets = [second, first]
  expect(nonces.current()).not.toBe(before)
  expect(nonces.judge(nonces.current())).toBe('current')
  expect(nonces.judge(before)).toBe('old')
  secrets = [second]
  expect(nonces.judge(before)).toBe('unknown')
  expect(nonces.judge(nonces.current())).toBe('current')
})

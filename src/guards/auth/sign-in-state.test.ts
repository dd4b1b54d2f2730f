import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { createSignInStates, type SignInState } from './sign-in-state.ts'

const secret = randomBytes(32)
const state: SignInState = {
  id: 'one',
  nonce: 'nonce',
  verifier: 'the-verifier',
  returnTo: '/orders',
  redirectUri: 'https://api.example.test/callback',
  expiresAt: 1,
  browser: 'hash',
  needs: { acr: ['mfa'] },
}

test('opens what it has sealed, and shows nothing of it', () => {
  const states = createSignInStates(() => [secret], 'shop')
  const sealed = states.seal(state)
  expect(states.open(sealed)).toEqual(state)
  expect(Buffer.from(sealed, 'base64url').toString('latin1')).not.toContain('verifier')
  expect(states.seal(state)).not.toBe(sealed)
})

test('opens nothing that was changed anywhere, cut, or sealed elsewhere', () => {
  const states = createSignInStates(() => [secret], 'shop')
  const bytes = Buffer.from(states.seal(state), 'base64url')
  for (let i = 0; i < bytes.length; i++) {
    const changed = Buffer.from(bytes)
    changed[i]! ^= 1
    expect(states.open(changed.toString('base64url')), `byte ${i}`).toBeUndefined()
    expect(states.open(bytes.subarray(0, i).toString('base64url')), `cut at ${i}`).toBeUndefined()
  }
  expect(createSignInStates(() => [secret], 'other').open(bytes.toString('base64url'))).toBeUndefined()
  expect(createSignInStates(() => [randomBytes(32)], 'shop').open(bytes.toString('base64url'))).toBeUndefined()
  for (const text of ['', '!', 'a.b', 'A'.repeat(5_000)]) expect(states.open(text)).toBeUndefined()
})

test('opens after a rotation what was sealed before, and no longer than the secret is kept', () => {
  const sealed = createSignInStates(() => [secret], 'shop').seal(state)
  const next = randomBytes(32)
  expect(createSignInStates(() => [next, secret], 'shop').open(sealed)).toEqual(state)
  expect(createSignInStates(() => [next], 'shop').open(sealed)).toBeUndefined()
})

import { expect, expectTypeOf, test } from 'vitest'
import { defineConfig } from './define.ts'
import type { ConfigInput } from './input.ts'

test('defineConfig gives back what it was given, typed as the file is written', () => {
  const config = {
    version: 1,
    apis: { shop: { openapi: './openapi.yaml', upstream: 'http://localhost:3000' } },
  } as const
  expect(defineConfig(config)).toBe(config)
  expectTypeOf<NonNullable<ConfigInput['workers']>>().toEqualTypeOf<number>()
  expectTypeOf<NonNullable<ConfigInput['drain']>>().toEqualTypeOf<string>()
  // @ts-expect-error: a key that nobody reads is an error for the compiler too.
  defineConfig({ version: 1, wrokers: 2 })
  // @ts-expect-error: and so is a word that is not allowed.
  defineConfig({ version: 1, apis: { shop: { unsecured: 'maybe' } } })
})

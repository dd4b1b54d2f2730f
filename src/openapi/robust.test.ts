import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parse } from 'yaml'
import { loadFiles } from '../../test/fixtures/openapi-files.ts'
import { ConfigError, ConfigErrors } from '../base/errors.ts'
import type { ApiDocument } from './operation.ts'
import { type JsonObject, setMember } from './pointer.ts'
import { schemaProblems } from './schema-problems.ts'

/** As it would stand in JSON: YAML reads the 2.0 of its first line as a number. */
function library(version: string): JsonObject {
  const text = readFileSync(new URL(`../../test/fixtures/openapi/library-${version}.yaml`, import.meta.url), 'utf8')
  return parse(text.replace('swagger: 2.0', 'swagger: "2.0"')) as JsonObject
}

/** Every place of a document, as the container and the key. */
function places(value: unknown, found: [JsonObject, string][] = []): [JsonObject, string][] {
  if (typeof value !== 'object' || value === null) return found
  for (const key of Object.keys(value)) {
    found.push([value as JsonObject, key])
    places((value as JsonObject)[key], found)
  }
  return found
}

const oddValue = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    '',
    [],
    {},
    true,
    -1,
    Number.MAX_VALUE,
    { $ref: '#' },
    { $ref: '#/paths' },
    { $ref: '#/components/schemas/Book' },
    { $ref: '' },
    { $ref: {} },
    [null],
    ['__proto__'],
    { constructor: 1, __proto__: 2 },
    JSON.parse('{"__proto__": {"type": "file"}}'),
  ),
  fc.jsonValue({ maxDepth: 2 }),
)

/** Loads, or says with its place what is wrong. Anything else that is thrown fails the test. */
async function loadOrComplain(document: unknown): Promise<ApiDocument | undefined> {
  try {
    const loaded = await loadFiles({ 'api.json': JSON.stringify(document) })
    for (const problem of schemaProblems(loaded)) expect(problem.place, problem.message).toBeDefined()
    for (const { place, message } of loaded.warnings) {
      if (!/^and \d+ more/.test(message)) expect(place, message).toBeDefined()
    }
    return loaded
  } catch (error) {
    if (error instanceof ConfigErrors) for (const one of error.errors) expect(one.place, one.message).toBeDefined()
    else if (error instanceof ConfigError) expect(error.place, error.message).toBeDefined()
    else throw error
    return undefined
  }
}

describe('documents that somebody broke', () => {
  test.each(['2.0', '3.0', '3.1', '3.2'])(
    '%s: whatever stands wherever, the document loads or is refused with a place',
    async (version) => {
      await fc.assert(
        fc.asyncProperty(fc.array(fc.tuple(fc.nat(), oddValue), { minLength: 1, maxLength: 3 }), async (changes) => {
          const document = library(version)
          for (const [at, value] of changes) {
            const all = places(document)
            const [container, key] = all[at % all.length]!
            // A copy: the same object put into itself would be no document.
            setMember(container, key, structuredClone(value))
          }
          await loadOrComplain(document)
        }),
        { numRuns: 200 },
      )
    },
  )

  test('whatever part goes missing, an operation that is served asks for the same rights as before', async () => {
    let served = 0
    for (const version of ['2.0', '3.0', '3.1', '3.2']) {
      const rights = (document: ApiDocument | undefined) =>
        document?.operations
          .find(({ id }) => id === 'getBook')
          ?.security?.map((requirement) => Object.fromEntries(requirement))
      const stated = rights(await loadOrComplain(library(version)))
      expect(stated).toBeDefined()
      const count = places(library(version)).length
      for (let i = 0; i < count; i++) {
        const document = library(version)
        const [container, key] = places(document)[i]!
        // What a document says of rights may change them.
        if (key === 'security' || places(document.security).some(([within]) => within === container)) continue
        if (container === document.security) continue
        if (Array.isArray(container)) container.splice(Number(key), 1)
        else delete container[key]
        const loaded = await loadOrComplain(document)
        if (loaded?.operations.some(({ id }) => id === 'getBook') !== true) continue
        served++
        expect(rights(loaded), `${version} without ${key}`).toEqual(stated)
      }
    }
    expect(served).toBeGreaterThan(300)
  })
})

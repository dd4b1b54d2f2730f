import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join, relative } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { Schema } from '../../src/openapi/operation.ts'
import { createValidators } from '../../src/openapi/validators.ts'

/*
 * The official JSON Schema test suite, drafts 4 (OpenAPI 2.0 and 3.0) and 2020-12 (3.1 and 3.2), formats included.
 *
 *     git clone https://github.com/json-schema-org/JSON-Schema-Test-Suite
 *     JSON_SCHEMA_TEST_SUITE=$PWD/JSON-Schema-Test-Suite npm run conformance
 *
 * It is on no registry in a current version, so it is not installed; without the directory this test says that it was
 * skipped.
 */
const suite = process.env.JSON_SCHEMA_TEST_SUITE ?? ''
const isThere = suite !== '' && existsSync(join(suite, 'tests/draft2020-12'))

/** What differs, and why. A test that is listed here and passes fails the run, so that the list stays true. */
const deviations: Readonly<Record<string, string>> = {
  'draft2020-12/vocabulary.json: schema that uses custom metaschema with with no validation vocabulary: no validation: invalid number, but it still validates':
    'a custom meta-schema that switches validation off is not followed: a gate always validates',
  'draft2020-12/optional/format/hostname.json: validation of A-label (punycode) host names: ZERO WIDTH NON-JOINER not preceded by Virama but matches regexp':
    'the joining types of RFC 5892, A.1 are not in the runtime; such a name is refused',
  'draft2020-12/optional/format/idn-hostname.json: validation of internationalized host names: ZERO WIDTH NON-JOINER not preceded by Virama but matches regexp':
    'the same',
  'draft2020-12/optional/format/idn-email.json: validation of an internationalized e-mail addresses: a domain label that is not in Unicode NFC is valid':
    'a host name must be in NFC (RFC 5891, 5.3), also behind an @',
  'draft2020-12/optional/format/idn-hostname.json: validation of internationalized host names: Bidi domain name with a digit-first label is invalid':
    'the Bidi rule (RFC 5893) is not checked',
  'draft2020-12/optional/format/idn-hostname.json: validation of internationalized host names: non-canonical Punycode that does not re-encode to itself is invalid':
    'Punycode is decoded by the runtime, which is more generous',
  'draft4/optional/format/hostname.json: validation of host names: hostname with consecutive hyphens (RFC1123)':
    'only A-labels have hyphens in third and fourth place (RFC 5890, 2.3.1), as from draft 7 on',
  'draft4/ref.json: $ref prevents a sibling id from changing the base uri: $ref resolves to /definitions/base_foo, data does not validate':
    'OpenAPI 2.0 and 3.0 have no `id`; after the upgrade it is `$id`, which counts beside $ref',
  'draft4/ref.json: $ref prevents a sibling id from changing the base uri: $ref resolves to /definitions/base_foo, data validates':
    'the same',
}

interface Group {
  readonly description: string
  readonly schema: Schema
  readonly tests: readonly { readonly description: string; readonly data: unknown; readonly valid: boolean }[]
}

describe.skipIf(!isThere)('the JSON Schema test suite', () => {
  if (!isThere) return
  const remotes = new Map<string, unknown>([
    ...jsonFiles(join(suite, 'remotes')).map((file): [string, unknown] => [
      `http://localhost:1234/${relative(join(suite, 'remotes'), file)}`,
      readJson(file),
    ]),
    ...metaSchemas(),
  ])
  for (const [draft, openapi] of [
    ['draft4', '3.0.3'],
    ['draft2020-12', '3.1.0'],
  ] as const) {
    const upgraded = draft === 'draft4' ? new Map([...remotes].map(([uri, root]) => [uri, upgrade(root)])) : remotes
    const folder = join(suite, 'tests', draft)
    const files = jsonFiles(folder).filter((file) => !file.includes('/optional/') || file.includes('/optional/format/'))
    describe.each(files.map((file) => relative(join(suite, 'tests'), file)))('%s', (name) => {
      for (const group of readJson(join(suite, 'tests', name)) as Group[]) {
        const schema = (draft === 'draft4' ? upgrade(group.schema) : group.schema) as Schema
        const check = () => {
          const uri = 'file:///suite/schema.json'
          const formats = name.includes('/optional/format/') ? 'assert' : 'ignore'
          const validators = createValidators(new Map([[uri, schema], ...upgraded]), { openapi, formats })
          return validators({ uri: `${uri}#`, schema }, 'request', { unknown: 'allow' })
        }
        for (const { description, data, valid } of group.tests) {
          const title = `${group.description}: ${description}`
          const run = Object.hasOwn(deviations, `${name}: ${title}`) ? test.fails : test
          run(title, () => expect(check()(data).length === 0).toBe(valid))
        }
      }
    })
  }
})

test.skipIf(isThere)(
  'the JSON Schema test suite is not here: set JSON_SCHEMA_TEST_SUITE to its directory',
  (context) => {
    context.skip('JSON_SCHEMA_TEST_SUITE is not set to a clone of json-schema-org/JSON-Schema-Test-Suite')
  },
)

function jsonFiles(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.json'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
}

function readJson(file: string): unknown {
  return JSON.parse(readFileSync(file, 'utf8'))
}

/** What references to the meta-schemas lead to; taken from where Ajv has them. */
function metaSchemas(): [string, unknown][] {
  const require = createRequire(import.meta.url)
  const parts = ['core', 'applicator', 'unevaluated', 'validation', 'meta-data', 'format-annotation', 'content']
  const at = 'https://json-schema.org/draft/2020-12'
  return [
    [`${at}/schema`, require('ajv/dist/refs/json-schema-2020-12/schema.json')],
    ...parts.map((part): [string, unknown] => [
      `${at}/meta/${part}`,
      require(`ajv/dist/refs/json-schema-2020-12/meta/${part}.json`),
    ]),
    // The suite only asks this one whether numbers are; the same in draft 7, which Ajv has.
    ['http://json-schema.org/draft-04/schema', require('ajv/dist/refs/json-schema-draft-07.json')],
  ]
}

/** Draft 4 in the terms that validators read: `id` is `$id` today, or `$anchor`. The rest of draft 4 they know by themselves. */
function upgrade(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(upgrade)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, child]) => {
      if (key === 'enum') return [key, child]
      if (key !== 'id' || typeof child !== 'string') return [key, upgrade(child)]
      return child.startsWith('#') ? ['$anchor', child.slice(1)] : ['$id', child]
    }),
  )
}

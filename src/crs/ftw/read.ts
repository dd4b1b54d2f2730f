import { readdirSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { parse } from 'yaml'
import { z } from 'zod'
import { requestBytes } from './request.ts'

/** One regression test, as the CRS project and go-ftw write them. */
export interface FtwTest {
  /** What it is called by: `942100-3`. */
  readonly name: string
  readonly ruleId: number
  readonly testId: number
  readonly description: string
  readonly file: string
  readonly tags: readonly string[]
  /** In order; all must hold. */
  readonly stages: readonly FtwStage[]
}

/** One request and what must come of it. */
export interface FtwStage {
  /** Byte for byte what go-ftw puts on the wire, its own headers included. */
  readonly request: Buffer
  /** Where the test was written to be sent; runners send it to the gate under test instead. */
  readonly destination: { readonly address: string; readonly port: number; readonly protocol: 'http' | 'https' }
  /** The target is where the reply of the previous stage redirects to. */
  readonly followsRedirect: boolean
  readonly expected: Expected
}

/** What a stage asks for. Whatever is left out is not looked at. */
export interface Expected {
  readonly status: number | undefined
  /** No reply at all: the connection is closed or refused. */
  readonly error: boolean
  readonly response: RegExp | undefined
  /** Rules that must be logged. */
  readonly ids: readonly number[]
  /** Rules that must not be logged. */
  readonly forbiddenIds: readonly number[]
  readonly log: RegExp | undefined
  readonly forbiddenLog: RegExp | undefined
  /** Nothing but the one expected rule is logged. */
  readonly isolated: boolean
  /** One more try is allowed: the log may have come late. */
  readonly retryOnce: boolean
}

/** Other expectations for some tests on one platform, each with its reason. */
export interface FtwOverride {
  readonly ruleId: number
  /** Empty: all tests of the rule. */
  readonly testIds: readonly number[]
  readonly reason: string
  readonly expected: Expected
}

/** Every test below a folder, in the order of rule and test ids. Throws with the file's name where one cannot be read. */
export function readTests(folder: string): FtwTest[] {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => /\.ya?ml$/.test(name) && !/overrides?\.ya?ml$/.test(name))
    .flatMap((name) => parseTests(readFileSync(join(folder, name), 'utf8'), relative('.', join(folder, name))))
    .sort((a, b) => a.ruleId - b.ruleId || a.testId - b.testId)
}

/** The tests of one file; none where it holds nothing but comments. */
export function parseTests(text: string, file: string): FtwTest[] {
  const content = read(text, file, testFile.nullable())
  if (content === null) return []
  const ruleId = content.rule_id ?? Number(/\d+/.exec(file.slice(file.lastIndexOf('/') + 1))?.[0])
  if (!(ruleId > 0)) throw new Error(`${file}: rule_id is missing`)
  return content.tests.map((test, index) => {
    const testId = test.test_id ?? index + 1
    const name = `${ruleId}-${testId}`
    return {
      name,
      ruleId,
      testId,
      description: test.desc ?? '',
      file,
      tags: test.tags ?? [],
      stages: test.stages.map((stage) => toStage(stage, `${file}: ${name}`)),
    }
  })
}

/** An overrides file (`nginx-overrides.yaml`): where a platform is known to answer otherwise. */
export function parseOverrides(text: string, file: string): FtwOverride[] {
  const content = read(text, file, overridesFile)
  return content.test_overrides.map(({ rule_id, test_ids, reason, output }) => {
    return { ruleId: rule_id, testIds: test_ids ?? [], reason: reason.trim(), expected: toExpected(output ?? {}) }
  })
}

/** The tests with what the overrides say in place of their own expectations. */
export function applyOverrides(tests: readonly FtwTest[], overrides: readonly FtwOverride[]): FtwTest[] {
  return tests.map((test) => {
    const override = overrides.find(({ ruleId, testIds }) => {
      return ruleId === test.ruleId && (testIds.length === 0 || testIds.includes(test.testId))
    })
    if (override === undefined) return test
    return { ...test, stages: test.stages.map((stage) => ({ ...stage, expected: override.expected })) }
  })
}

/** Scalars stay text (YAML's failsafe schema): a header `Content-Length: 007` is sent as it is written. */
function read<T>(text: string, file: string, shape: z.ZodType<T>): T {
  try {
    return shape.parse(parse(text, { schema: 'failsafe' }))
  } catch (error) {
    throw new Error(`${file}: ${error instanceof z.ZodError ? z.prettifyError(error) : String(error)}`, {
      cause: error,
    })
  }
}

const text = z.string()
const number = z.string().regex(/^\d+$/).transform(Number)
const flag = z.enum(['true', 'false']).transform((word) => word === 'true')

const output = z.object({
  status: number.optional(),
  response_contains: text.optional(),
  log_contains: text.optional(),
  no_log_contains: text.optional(),
  log: z
    .object({
      expect_ids: z.array(number),
      no_expect_ids: z.array(number),
      match_regex: text,
      no_match_regex: text,
    })
    .partial()
    .optional(),
  expect_error: flag.optional(),
  isolated: flag.optional(),
  retry_once: flag.optional(),
})

const input = z.object({
  dest_addr: text.optional(),
  port: number.optional(),
  protocol: z.enum(['http', 'https']).optional(),
  uri: text.optional(),
  follow_redirect: flag.optional(),
  version: text.optional(),
  method: text.optional(),
  headers: z.record(text, text).optional(),
  ordered_headers: z.array(z.object({ name: text, value: text })).optional(),
  data: text.optional(),
  encoded_data: text.optional(),
  encoded_request: text.optional(),
  autocomplete_headers: flag.optional(),
  stop_magic: flag.optional(),
})

const testFile = z.object({
  rule_id: number.optional(),
  tests: z.array(
    z.object({
      test_id: number.optional(),
      desc: text.optional(),
      tags: z.array(text).optional(),
      stages: z.array(z.object({ input, output: output.optional() })),
    }),
  ),
})

const overridesFile = z.object({
  test_overrides: z.array(
    z.object({ rule_id: number, test_ids: z.array(number).optional(), reason: text, output: output.optional() }),
  ),
})

function toStage(stage: z.output<typeof testFile>['tests'][number]['stages'][number], where: string): FtwStage {
  const { input } = stage
  if (input.data !== undefined && input.encoded_request !== undefined) {
    throw new Error(`${where}: data and encoded_request exclude each other`)
  }
  return {
    request: requestBytes(
      {
        method: input.method ?? 'GET',
        uri: input.uri ?? '/',
        version: input.version ?? 'HTTP/1.1',
        headers: input.ordered_headers?.map(({ name, value }) => [name, value]) ?? sortedHeaders(input.headers ?? {}),
        data: input.data,
        encodedData: input.encoded_data,
        encodedRequest: input.encoded_request,
        autocompleteHeaders: input.autocomplete_headers ?? !(input.stop_magic ?? false),
      },
      where,
    ),
    destination: {
      address: input.dest_addr ?? 'localhost',
      port: input.port ?? 80,
      protocol: input.protocol ?? 'http',
    },
    followsRedirect: input.follow_redirect ?? false,
    expected: toExpected(stage.output ?? {}),
  }
}

/** go-ftw sends headers in the byte order of their names. */
function sortedHeaders(headers: Readonly<Record<string, string>>): [string, string][] {
  return Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1))
}

function toExpected(output: z.output<typeof testFile>['tests'][number]['stages'][number]['output'] & object): Expected {
  const { log = {} } = output
  const contains = log.match_regex ?? (log.expect_ids === undefined ? output.log_contains : undefined)
  const containsNot = log.no_match_regex ?? (log.no_expect_ids === undefined ? output.no_log_contains : undefined)
  return {
    status: output.status === 0 ? undefined : output.status,
    error: output.expect_error ?? false,
    response: pattern(output.response_contains),
    ids: log.expect_ids ?? [],
    forbiddenIds: log.no_expect_ids ?? [],
    log: pattern(contains),
    forbiddenLog: pattern(containsNot),
    isolated: output.isolated ?? false,
    retryOnce: output.retry_once ?? false,
  }
}

/** What go-ftw matches with is Go's RE2; the tests keep to what both it and JavaScript read alike. */
function pattern(source: string | undefined): RegExp | undefined {
  return source === undefined || source === '' ? undefined : new RegExp(source)
}

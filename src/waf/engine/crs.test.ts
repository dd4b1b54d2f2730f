import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { crsRules } from '../../../test/kit/crs-rules.ts'
import { sharedPath } from '../../../test/kit/shared.ts'
import { runInProcess } from '../../crs/ftw/in-process.ts'
import { judge } from '../../crs/ftw/judge.ts'
import { applyOverrides, parseOverrides, readTests } from '../../crs/ftw/read.ts'
import { createInjectionDetector } from '../injection/index.ts'
import { compileProgram } from './program.ts'

const crs = sharedPath('crs')

/** Expectations of the server in front that the gate does not meet on purpose, each with its reason. */
const overridesFile = new URL('../../../test/conformance/crs-overrides.yaml', import.meta.url).pathname
const overrides = parseOverrides(readFileSync(overridesFile, 'utf8'), overridesFile)

describe.skipIf(crs === undefined)('the regression tests of the Core Rule Set', () => {
  const tests = crs === undefined ? [] : applyOverrides(readTests(join(crs, 'regression')), overrides)
  const stages = tests.flatMap(({ name, stages }) => stages.map((stage) => ({ name, stage })))
  const outcomes = new Map<string, readonly { readonly name: string; readonly log: readonly string[] }[]>()

  test('are all there', () => {
    expect(tests.length).toBeGreaterThanOrEqual(5_000)
  })

  test.each(['plain', 'fast'] as const)('pass with the %s evaluator', { timeout: 180_000 }, (evaluator) => {
    const program = compileProgram(crsRules(crs!), { injection: createInjectionDetector(), evaluator })
    const seen = stages.map(({ name, stage }) => {
      const { seen, transaction } = runInProcess(program, stage)
      const events = transaction?.events.map(({ detail }) => detail) ?? []
      return { name, log: seen.log, wrong: [...judge(stage.expected, seen), ...events] }
    })
    outcomes.set(
      evaluator,
      seen.map(({ name, log }) => ({ name, log })),
    )
    expect(seen.filter(({ wrong }) => wrong.length > 0).map(({ name, wrong }) => ({ name, wrong }))).toEqual([])
  })

  test('match the very same values in the same order with both evaluators', () => {
    const plain = outcomes.get('plain')!
    expect(plain.length).toBe(stages.length)
    const fast = outcomes.get('fast')!
    const different = plain.flatMap(({ name, log }, index) => {
      return log.join('\n') === fast[index]!.log.join('\n') ? [] : [{ name, plain: log, fast: fast[index]!.log }]
    })
    expect(different).toEqual([])
  })
})

test.skipIf(crs !== undefined)('the Core Rule Set is not here', (context) => {
  context.skip('put the CRS and its regression tests beside the checkout as shared/crs')
})

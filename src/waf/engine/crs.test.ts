import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { crsRules } from '../../../test/kit/crs-rules.ts'
import { sharedPath } from '../../../test/kit/shared.ts'
import { runInProcess } from '../../crs/ftw/in-process.ts'
import { judge } from '../../crs/ftw/judge.ts'
import { applyOverrides, parseOverrides, readTests } from '../../crs/ftw/read.ts'
import { createInjectionDetector } from '../injection/index.ts'
import { compileProgram, type Program } from './program.ts'

const crs = sharedPath('crs')

/** Expectations of the server in front that the gate does not meet on purpose, each with its reason. */
const overridesFile = new URL('../../../test/conformance/crs-overrides.yaml', import.meta.url).pathname
const overrides = parseOverrides(readFileSync(overridesFile, 'utf8'), overridesFile)

describe.skipIf(crs === undefined)('the regression tests of the Core Rule Set', () => {
  const rules = crs === undefined ? undefined : crsRules(crs)
  const tests = crs === undefined ? [] : applyOverrides(readTests(join(crs, 'regression')), overrides)
  const programOf = (evaluator: 'fast' | 'plain'): Program => {
    return compileProgram(rules!, { injection: createInjectionDetector(), evaluator })
  }

  test('are all there', () => {
    expect(tests.length).toBeGreaterThanOrEqual(5_000)
  })

  test.each(['plain', 'fast'] as const)('pass with the %s evaluator', (evaluator) => {
    const program = programOf(evaluator)
    const failed = tests.flatMap(({ name, stages }) => {
      const wrong = stages.flatMap((stage) => {
        const { seen, transaction } = runInProcess(program, stage)
        return [...judge(stage.expected, seen), ...(transaction?.events ?? []).map(({ detail }) => detail)]
      })
      return wrong.length === 0 ? [] : [{ name, wrong }]
    })
    expect(failed).toEqual([])
  })

  test('have the very same matches with both evaluators', () => {
    const plain = programOf('plain')
    const fast = programOf('fast')
    const different = tests.flatMap(({ name, stages }) => {
      return stages.flatMap((stage) => {
        const [expected, seen] = [plain, fast].map((program) => runInProcess(program, stage).seen)
        return JSON.stringify(expected) === JSON.stringify(seen) ? [] : [{ name, expected, seen }]
      })
    })
    expect(different).toEqual([])
  })
})

test.skipIf(crs !== undefined)('the Core Rule Set is not here', (context) => {
  context.skip('put the CRS and its regression tests beside the checkout as shared/crs')
})

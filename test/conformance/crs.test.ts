import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseOverrides } from '../../src/crs/ftw/read.ts'
import { runCommand } from '../kit/gate.ts'
import { sharedPath } from '../kit/shared.ts'

const crs = sharedPath('crs')
const overrides = new URL('./crs-overrides.yaml', import.meta.url).pathname
const testsMin = 5_000
/** What the issue allows. */
const overridesMax = 3
/** `/i%FFndex.html` is to be let through: this gate decodes paths, and refuses those that are no UTF-8. The rule itself speaks up. */
const refused = ['920272-5']

describe.skipIf(crs === undefined)(
  'the regression tests of CRS 4.28.0 (skipped where there is no ../shared/crs)',
  () => {
    let cwd: string
    beforeAll(() => {
      cwd = mkdtempSync(join(tmpdir(), 'portcullis-crs-'))
    })
    afterAll(() => rmSync(cwd, { recursive: true, force: true }))

    const suite = (...more: string[]) => {
      const words = ['waf', 'test', join(crs!, 'regression'), '--rules', crs!, '--json', ...more]
      return runCommand(words, { ...process.env, NO_COLOR: '1' }, cwd)
    }

    test.each([
      ['through a listening gate over sockets', ['--http', '--overrides', overrides]],
      ['in process', ['--overrides', overrides]],
      ['in process, with the evaluator that skips nothing', ['--overrides', overrides, '--plain']],
    ])(
      'pass %s',
      async (_name, more) => {
        const { stdout, stderr, code } = await suite(...more)
        const told = JSON.parse(stdout) as { passed: number; failed: number; failures: readonly object[] }
        expect(told.failures).toEqual([])
        expect(stderr).toBe('')
        expect(told.passed).toBeGreaterThanOrEqual(testsMin)
        expect(code).toBe(0)
      },
      600_000,
    )

    test('need no more than three overrides, each with its reason', () => {
      const all = parseOverrides(readFileSync(overrides, 'utf8'), overrides)
      expect(all.flatMap(({ testIds }) => testIds).length).toBeLessThanOrEqual(overridesMax)
      for (const { reason, testIds } of all) expect([reason.length > 20, testIds.length]).toEqual([true, 1])
    })
  },
)

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

    test.each<[string, readonly string[], readonly string[]]>([
      ['through a listening gate over sockets, but for one that is refused on purpose', ['--http'], refused],
      ['in process', [], []],
      ['in process, with the evaluator that skips nothing', ['--plain'], []],
    ])(
      'pass %s',
      async (_name, more, missed) => {
        const { stdout, stderr, code } = await suite('--overrides', overrides, ...more)
        const told = JSON.parse(stdout) as { passed: number; failures: readonly { test: string }[] }
        expect(told.failures.map(({ test }) => test)).toEqual(missed)
        expect(stderr).toBe('')
        expect(told.passed).toBeGreaterThanOrEqual(testsMin)
        expect(code).toBe(missed.length === 0 ? 0 : 1)
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

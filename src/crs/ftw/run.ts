import { judge, type Seen } from './judge.ts'
import type { FtwOverride, FtwStage, FtwTest } from './read.ts'

/** How one test ended. */
export interface TestResult {
  readonly test: FtwTest
  /** What was wrong, by stage; empty: passed. */
  readonly failures: readonly StageFailure[]
}

export interface StageFailure {
  /** Counted from 1. */
  readonly stage: number
  /** What was expected and what was seen, in words. */
  readonly problems: readonly string[]
  readonly seen: Seen
}

/** Sends one stage's request and tells what came of it. `location`: where the reply before it leads. */
export type Send = (stage: FtwStage) => Seen | Promise<Seen>

/** Runs tests one after the other, as go-ftw does: all stages of a test must hold. */
export async function runTests(
  tests: readonly FtwTest[],
  send: Send,
  onResult: (result: TestResult) => void = () => {},
): Promise<TestResult[]> {
  const results: TestResult[] = []
  for (const test of tests) {
    const failures: StageFailure[] = []
    let before: Seen | undefined
    for (const [index, stage] of test.stages.entries()) {
      const { seen, problems } = await runStage(stage.followsRedirect ? redirected(stage, before) : stage, send)
      before = seen
      if (problems.length > 0) failures.push({ stage: index + 1, problems, seen })
    }
    const result = { test, failures }
    results.push(result)
    onResult(result)
  }
  return results
}

async function runStage(stage: FtwStage, send: Send): Promise<{ seen: Seen; problems: string[] }> {
  for (let tries = 1; ; tries++) {
    const seen = await send(stage)
    const problems = judge(stage.expected, seen)
    if (problems.length === 0 || !stage.expected.retryOnce || tries === 2) return { seen, problems }
  }
}

/** The stage with the target that the reply before it names; as it is where there is none, which fails soon enough. */
function redirected(stage: FtwStage, before: Seen | undefined): FtwStage {
  const location = /^location:[ \t]*(\S+)/im.exec(before?.response ?? '')?.[1]
  const url = location === undefined ? null : URL.parse(location, 'http://localhost/')
  if (url === null) return stage
  const text = stage.request.toString('latin1').replace(/^(\S+) \S+/, (_all, method: string) => {
    return `${method} ${url.pathname}${url.search}`
  })
  return { ...stage, request: Buffer.from(text, 'latin1') }
}

/** The tests that somebody asked for: by rule (`942100`) or by name (`942100-3`). Throws for one that there is not. */
export function selectTests(tests: readonly FtwTest[], only: readonly string[]): FtwTest[] {
  if (only.length === 0) return [...tests]
  const isMeant = (test: FtwTest, word: string) => test.name === word || String(test.ruleId) === word
  const unknown = only.find((word) => !tests.some((test) => isMeant(test, word)))
  if (unknown !== undefined) throw new Error(`there is no test ${unknown}`)
  return tests.filter((test) => only.some((word) => isMeant(test, word)))
}

/** Overrides that name no test there is: a sign that the suite has moved on. */
export function idleOverrides(tests: readonly FtwTest[], overrides: readonly FtwOverride[]): FtwOverride[] {
  return overrides.filter(({ ruleId, testIds }) => {
    const ids = new Set(tests.filter((test) => test.ruleId === ruleId).map(({ testId }) => testId))
    return testIds.length === 0 ? ids.size === 0 : testIds.some((id) => !ids.has(id))
  })
}

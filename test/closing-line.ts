import type { Reporter, TestModule } from 'vitest/node'

/** Ends a run with one plain line that any tool can read, and names the tests that needed a second try. */
export default class ClosingLine implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const counts = { passed: 0, failed: 0, skipped: 0 }
    const shaky: string[] = []
    for (const module of modules) {
      // A module that broke before its tests ran failed as a whole.
      if (module.errors().length > 0) counts.failed++
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state !== 'pending') counts[state]++
        if (test.diagnostic()?.flaky === true) shaky.push(test.fullName)
      }
    }
    for (const name of shaky) process.stdout.write(`needed a second try: ${name}\n`)
    process.stdout.write(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped\n`)
  }
}

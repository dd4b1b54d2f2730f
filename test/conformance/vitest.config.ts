import { defineConfig } from 'vitest/config'

/** What takes minutes: whole corpora and suites of others. Run by `npm run conformance`, not by `npm test`. */
export default defineConfig({
  test: {
    include: ['test/conformance/**/*.test.ts'],
    testTimeout: 30 * 60_000,
    pool: 'forks',
    fileParallelism: false,
  },
})

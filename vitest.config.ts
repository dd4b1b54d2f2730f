import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts', 'examples/**/*.test.ts'],
    exclude: ['**/node_modules/**', 'test/conformance/**'],
    globalSetup: ['test/global-setup.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    pool: 'forks',
    // CI runs beside whatever else its machine does. A second try is told by name at the end of the run; none is allowed at home.
    retry: process.env.CI === undefined ? 0 : 1,
    reporters: ['default', './test/closing-line.ts'],
  },
})

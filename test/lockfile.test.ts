import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'

type Locked = { optionalDependencies?: Record<string, string> }

// `npm ci` refuses a lock that leaves out what a package offers for another platform, and npm leaves it out when the
// registry that it asked does not have it. `npm run demo` in a fresh clone is then dead on arrival.
test('the lock names every optional package for every platform, as npm ci demands', () => {
  const lock = JSON.parse(readFileSync(new URL('../package-lock.json', import.meta.url), 'utf8')) as {
    packages: Record<string, Locked>
  }
  const offered = Object.entries(lock.packages).flatMap(([path, locked]) =>
    Object.keys(locked.optionalDependencies ?? {}).map((name) => ({ path, name })),
  )
  const absent = offered.filter(
    ({ path, name }) => !lock.packages[`node_modules/${name}`] && !lock.packages[`${path}/node_modules/${name}`],
  )
  expect(offered.length).toBeGreaterThan(50)
  expect(absent.map(({ name }) => name)).toEqual([])
})

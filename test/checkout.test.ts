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

// dash and bash look `node` up once per shell. The first run in a clone would otherwise end in a syntax error of the old one.
test('no script installs and runs in the same shell, which would keep the Node it found first', () => {
  const manifest = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')) as {
    scripts: Record<string, string>
  }
  const installing = Object.entries(manifest.scripts).filter(([, command]) => command.includes('install.mjs'))
  expect(installing.map(([name]) => name)).toContain('predemo')
  for (const [name, command] of installing) expect(command, name).toBe('node scripts/install.mjs')
  for (const [name] of installing) expect(Object.keys(manifest.scripts)).toContain(name.replace(/^pre/, ''))
})

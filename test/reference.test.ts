import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { everyRefusal, generated } from '../scripts/reference.ts'
import { errorPages } from '../src/config/error-codes.ts'

const root = new URL('..', import.meta.url).pathname

import { denialPages } from '../src/guards/denials.ts'

describe('what is generated from the code', () => {
  test('is up to date; `node scripts/write-reference.ts` makes it so', async () => {
    for (const [file, content] of Object.entries(await generated())) {
      const committed = await readFile(join(root, file), 'utf8').catch(() => '')
      // Not `toBe`: a difference of two thousand lines helps nobody.
      expect(committed === content, `${file} is stale: node scripts/write-reference.ts`).toBe(true)
    }
  })
})

describe('refusals', () => {
  test('each have words for the caller in the reference, and an anchor that their `type` leads to', async () => {
    const page = (await generated())['docs/reference/denials.md']!
    const rows = [...page.matchAll(/^\| <a id="([^"]+)"><\/a>`\1` \| (\d{3}) \| (.*) \|$/gm)]
    expect(rows.length).toBeGreaterThan(50)
    for (const [, code, status, detail] of rows) {
      expect(Number(status), code).toBeGreaterThanOrEqual(400)
      expect(detail, code).toMatch(/\S{2}.*\./)
    }
  })
})

describe('error codes', () => {
  const isSource = (name: string) => name.endsWith('.ts') && !/\.(test|contract)\.ts$/.test(name)

  test('that the program can show have a page, and no page is of a code that nobody shows', async () => {
    const shown = new Set<string>()
    for (const name of (await readdir(join(root, 'src'), { recursive: true })).filter(isSource)) {
      if (name.endsWith('error-codes.ts')) continue
      const text = await readFile(join(root, 'src', name), 'utf8')
      for (const [, code] of text.matchAll(/['"`](P\d{4})['"`]/g)) shown.add(code!)
    }
    expect([...shown].filter((code) => !Object.hasOwn(errorPages, code)).sort()).toEqual([])
    expect(
      Object.keys(errorPages)
        .filter((code) => !shown.has(code))
        .sort(),
    ).toEqual([])
  })
})

test('every refusal has a page that its `type` leads to, and no page is left of one that is gone (E2)', async () => {
  const made = (await everyRefusal()).map(({ code }) => code)
  // Closed without an answer: counted and logged, so explained too.
  const cuts = Object.keys(denialPages).filter((code) => denialPages[code]!.status.includes(0))
  expect(Object.keys(denialPages).sort()).toEqual([...new Set([...made, ...cuts])].sort())
})

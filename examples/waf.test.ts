import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

const example = fileURLToPath(new URL('waf.ts', import.meta.url))

test('the WAF inspects a request without a gate', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [example])
  expect(stdout.trim().split('\n')).toEqual([
    '2 Scanner: REQUEST_HEADERS:User-Agent',
    '1 SQL injection: ARGS:json.user',
    'score 5, deny 403',
  ])
})

test('is what its README shows', () => {
  const shown = readFileSync(new URL('../src/waf/README.md', import.meta.url), 'utf8')
  const code = readFileSync(example, 'utf8').split('\n').slice(1).join('\n')
  expect(shown).toContain(code.replace(/'\.\.\/src\/waf\/index\.ts' \/\/ in your project: /, ''))
})

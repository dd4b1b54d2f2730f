import { execFileSync, spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { ftwSetup, readRequest, replyTo, runInProcess } from '../../src/crs/ftw/in-process.ts'
import { readTests } from '../../src/crs/ftw/read.ts'
import { compileProgram } from '../../src/waf/engine/index.ts'
import { createInjectionDetector } from '../../src/waf/injection/index.ts'
import { crsRules } from '../kit/crs-rules.ts'
import { sharedPath } from '../kit/shared.ts'

/*
 * Every request of CRS's regression tests through Coraza and through ours: the same rules must be logged and the same scores
 * reached, not only those that a test asks for. Needs Go 1.25 or later (which fetches Coraza from the Go module proxy) and
 * shared/crs. Coraza is built without multi-line patterns: the CRS is written for `^` and `$` that mean the whole value.
 */
const crs = sharedPath('crs')
const hasGo = spawnSync('go', ['version']).status === 0
const folder = mkdtempSync(join(tmpdir(), 'coraza-'))

afterAll(() => rmSync(folder, { recursive: true }))

interface Verdict {
  readonly name: string
  readonly ids: readonly number[]
  readonly scores: Readonly<Record<string, string>>
}

/** What Coraza leaves to rules of ModSecurity's recommended configuration and ours does by itself. */
const processors = `
SecRule REQUEST_HEADERS:Content-Type "^(?:application(?:/soap\\+|/)|text/)xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "^application/json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "^application/[a-z0-9.-]+[+]json" "id:200006,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
`

/** Where the two differ, and why. A test that is listed and does not differ fails the run, so that the list stays true. */
const reasons: readonly { readonly reason: string; readonly tests: readonly string[] }[] = [
  {
    reason: 'a letter beyond ASCII is some bytes that are no word characters; Go reads UTF-8 and takes it for one',
    tests: [
      '932125-5',
      '932125-6',
      '941110-7',
      '942151-13',
      '942432-2',
      '942432-3',
      '942432-6',
      '942432-7',
      '942440-11',
    ],
  },
  {
    reason: 'a part in UTF-16 is read as what its charset says',
    tests: ['922110-8', '922110-9', '922110-20'],
  },
  {
    reason: 'what cannot be read of a multipart body is looked at as it came, beside REQBODY_ERROR',
    tests: ['922130-1', '922130-2', '922130-7'],
  },
  {
    reason: 'attributes of XML that is not well-formed are looked at',
    tests: ['920240-4'],
  },
  {
    reason: 'libinjection-go finds SQL in `1.e(`; libinjection itself, as in ModSecurity, does not',
    tests: ['942560-1', '942560-4'],
  },
  {
    reason: 'libinjection, as in ModSecurity, finds script in `xmlns:…` attributes; libinjection-go does not',
    tests: ['933100-79', '941130-5', '941130-15'],
  },
  {
    reason: 'a request line without a protocol has no blank at its end',
    tests: ['920430-5'],
  },
  {
    reason: 'white space of PCRE includes the vertical tab, that of Go does not',
    tests: ['941190-2'],
  },
]

describe.skipIf(crs === undefined || !hasGo)('Coraza', () => {
  test('logs the same rules and reaches the same scores', { timeout: 15 * 60_000 }, () => {
    const source = new URL('coraza', import.meta.url).pathname
    const judge = join(folder, 'coraza')
    const tags = 'coraza.no_memoize,coraza.rule.no_regex_multiline'
    execFileSync('go', ['build', '-tags', tags, '-o', judge, '.'], { cwd: source })
    const setup = join(folder, 'setup.conf')
    writeFileSync(setup, `${ftwSetup}\n${processors}`)

    const stages = readTests(join(crs!, 'regression')).flatMap(({ name, stages }) => {
      return stages.map((stage, index) => ({ name: index === 0 ? name : `${name}/${index + 1}`, stage }))
    })
    const base64 = (text: string) => Buffer.from(text, 'latin1').toString('base64')
    const lines = stages.flatMap(({ name, stage }) => {
      const request = readRequest(stage.request, 'ftw')
      if (request === undefined) return []
      const { head, body } = request
      const reply = replyTo(request)
      return JSON.stringify({
        name,
        method: base64(head.method),
        uri: base64(head.uri),
        protocol: base64(head.protocol),
        headers: head.headers.map(base64),
        body: body?.toString('base64'),
        status: reply.status,
        responseHeaders: reply.headers.map(base64),
        responseBody: reply.body.toString('base64'),
      })
    })
    const verdicts = execFileSync(judge, [setup, crs!], {
      input: lines.join('\n'),
      maxBuffer: 1 << 28,
      encoding: 'utf8',
    })
    const theirs = new Map(
      verdicts
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Verdict)
        .map((verdict) => [verdict.name, verdict]),
    )

    const program = compileProgram(crsRules(crs!), { injection: createInjectionDetector() })
    const different = stages.flatMap(({ name, stage }) => {
      const their = theirs.get(name)
      const { seen, transaction } = runInProcess(program, stage)
      if (their === undefined || transaction === undefined) return []
      const ours = [...new Set(seen.ids)].sort((a, b) => a - b)
      const ids = ours.join() === their.ids.join() ? undefined : { ours, theirs: their.ids }
      const scores = Object.entries(their.scores).flatMap(([key, score]) => {
        const our = transaction.variable(key) ?? ''
        return our === score ? [] : [`${key}: ours ${our}, theirs ${score}`]
      })
      return ids === undefined && scores.length === 0 ? [] : [{ name, ids, scores }]
    })
    const known = new Set(reasons.flatMap(({ tests }) => tests))
    expect(theirs.size).toBeGreaterThan(5_000)
    expect(different.filter(({ name }) => !known.has(name))).toEqual([])
    expect([...known].filter((name) => !different.some((one) => one.name === name))).toEqual([])
  })
})

test.skipIf(crs !== undefined && hasGo)('Coraza is not asked', (context) => {
  context.skip('needs Go and shared/crs')
})

import { describe, expect, test } from 'vitest'
import type { Seen } from './judge.ts'
import { parseOverrides, parseTests } from './read.ts'
import { idleOverrides, runTests, selectTests } from './run.ts'

const tests = parseTests(
  `rule_id: 100
tests:
  - test_id: 1
    stages:
      - input: { uri: /a }
        output: { log: { expect_ids: [100] } }
      - input: { uri: /, follow_redirect: true }
        output: { status: 200 }
  - test_id: 2
    stages:
      - input: { uri: /late }
        output: { log: { expect_ids: [100] }, retry_once: true }
  - test_id: 3
    stages:
      - input: { uri: /gone }
        output: { expect_error: true }
`,
  'x/100.yaml',
)

const seen = (more: Partial<Seen> = {}): Seen => ({ status: 200, ids: [100], log: [], response: '', ...more })
const lineOf = (request: Buffer) => request.toString('latin1').split('\r\n')[0]

describe('a run', () => {
  test('sends every stage in order, a redirected one to where the reply before it leads', async () => {
    const sent: (string | undefined)[] = []
    const results = await runTests(tests.slice(0, 1), ({ request }) => {
      sent.push(lineOf(request))
      return seen({ response: 'HTTP/1.1 302 Found\r\nLocation: /b?c=d#e\r\n\r\n' })
    })
    expect(sent).toEqual(['GET /a HTTP/1.1', 'GET /b?c=d HTTP/1.1'])
    expect(results).toMatchObject([{ failures: [] }])
  })

  test('tries a stage once more where the test allows it, and no more than once', async () => {
    let tries = 0
    const late = await runTests([tests[1]!], () => seen({ ids: ++tries === 2 ? [100] : [] }))
    expect([tries, late[0]!.failures]).toEqual([2, []])
    tries = 0
    const never = await runTests([tests[1]!], () => seen({ ids: tries++ > 5 ? [100] : [] }))
    expect(tries).toBe(2)
    expect(never[0]!.failures).toMatchObject([{ stage: 1, problems: ['expected rule 100, seen none'] }])
  })

  test('tells which stage failed and what was seen there', async () => {
    const [result] = await runTests(tests.slice(0, 1), ({ request }) =>
      seen({ status: lineOf(request)!.includes('/a') ? 200 : 404 }),
    )
    expect(result!.failures).toMatchObject([
      { stage: 2, problems: ['expected status 200, seen 404'], seen: { status: 404 } },
    ])
  })

  test('takes silence for what was expected where the test expects no reply', async () => {
    expect((await runTests([tests[2]!], () => seen({ status: undefined })))[0]!.failures).toEqual([])
    expect((await runTests([tests[2]!], () => seen()))[0]!.failures).toHaveLength(1)
  })
})

describe('of all tests', () => {
  test('those of a rule, or one by its name, are taken', () => {
    expect(selectTests(tests, []).map(({ name }) => name)).toEqual(['100-1', '100-2', '100-3'])
    expect(selectTests(tests, ['100']).map(({ name }) => name)).toEqual(['100-1', '100-2', '100-3'])
    expect(selectTests(tests, ['100-3', '100-1']).map(({ name }) => name)).toEqual(['100-1', '100-3'])
    expect(() => selectTests(tests, ['10'])).toThrow('there is no test 10')
  })

  test('an override that fits none is found', () => {
    const overrides = parseOverrides(
      'test_overrides:\n' +
        '  - { rule_id: 100, test_ids: [1], reason: a }\n  - { rule_id: 100, test_ids: [1, 4], reason: b }\n' +
        '  - { rule_id: 100, reason: c }\n  - { rule_id: 101, reason: d }\n',
      'o.yaml',
    )
    expect(idleOverrides(tests, overrides).map(({ reason }) => reason)).toEqual(['b', 'd'])
  })
})

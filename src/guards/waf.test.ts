import { describe, expect, test } from 'vitest'
import { makeExchange, makeHost, makeOperation } from '../../test/kit/guard.ts'
import type { Operation } from '../openapi/operation.ts'
import { waf } from './waf.ts'

const parse = (options: object) => waf.options.parse(options)

async function stepsFor(options: object, operation: Operation = makeOperation()) {
  const compile = await waf.setup(parse(options), makeHost(), waf.root!.parse({}))
  return compile(operation)!
}

/** Runs a request without a body through the head's step. */
async function verdict(options: object, query: string, headers: Record<string, string> = {}) {
  const steps = await stepsFor(options)
  const exchange = makeExchange({
    query,
    headers: { host: 'api.example', 'user-agent': 'test', accept: '*/*', ...headers },
  })
  const refusal = await steps.requestHead!(exchange)
  steps.end!(exchange)
  return { exchange, refusal }
}

const attack = `q=${encodeURIComponent("1' or '1'='1' -- ")}`

describe('W3: how the firewall stands', () => {
  test.each<[object, unknown]>([
    [{}, { request: 'enforce', response: 'observe' }],
    [{ mode: 'observe' }, { request: 'observe', response: 'observe' }],
    [{ mode: 'off' }, { request: 'off', response: 'off' }],
    [{ response: 'enforce' }, { request: 'enforce', response: 'enforce' }],
    [{ response: 'off' }, { request: 'enforce', response: 'off' }],
    // Never stricter with answers than with requests.
    [
      { mode: 'observe', response: 'enforce' },
      { request: 'observe', response: 'observe' },
    ],
    [
      { mode: 'off', response: 'enforce' },
      { request: 'off', response: 'off' },
    ],
  ])('%j is %j', (options, modes) => {
    expect(waf.mode!(parse(options))).toEqual(modes)
  })

  test('an attack is refused with a constant, and told with what it added up to', async () => {
    const { refusal, exchange } = await verdict({}, attack)
    expect(refusal).toMatchObject({ kind: 'denial', status: 403, code: 'waf.blocked' })
    expect(JSON.stringify({ ...refusal, evidence: undefined })).not.toMatch(/or '1'/)
    const { evidence } = refusal as { evidence: { score: number; threshold: number; rules: number[] } }
    expect(evidence.score).toBeGreaterThanOrEqual(evidence.threshold)
    expect(exchange.matches.map(({ rule }) => rule)).toEqual(expect.arrayContaining([...evidence.rules]))
  })

  test('an exclusion for no operation of the document is told in the log, once', async () => {
    const host = makeHost()
    const exclusions = [
      { rule: '4731000-4731999', match: '*', reason: 'a' },
      { rule: '4731000-4731999', match: 'op:nosuch', reason: 'b' },
    ]
    const compile = await waf.setup(parse({ exclusions }), host, waf.root!.parse({}))
    compile(makeOperation())
    compile(makeOperation())
    expect(host.warnings).toMatchObject([{ fields: { rule: 'waf.exclusions[1]' } }])
  })

  test('observed, all rules speak and nothing is refused', async () => {
    const { refusal, exchange } = await verdict({ mode: 'observe' }, attack)
    expect(refusal).toBeUndefined()
    expect(exchange.observed.map(({ code }) => code)).toEqual(['waf.blocked'])
    expect(exchange.matches.length).toBeGreaterThan(0)
  })

  test('a request of no harm leaves nothing behind', async () => {
    const { refusal, exchange } = await verdict({}, 'q=hello&page=2')
    expect(refusal).toBeUndefined()
    expect(exchange.observed).toEqual([])
    expect(exchange.matches).toEqual([])
  })

  test('a threshold decides what a score means', async () => {
    expect((await verdict({ thresholds: { inbound: 1_000 } }, attack)).refusal).toBeUndefined()
  })
})

describe('W3: what is read', () => {
  const withBody = (type: string) => ({
    requestBody: { required: false, content: [{ type, schema: undefined, itemSchema: undefined, encoding: {} }] },
  })

  async function reads(type: string, headers: Record<string, string>, http2 = false) {
    const operation = makeOperation({ method: 'POST', ...withBody(type) })
    const steps = await stepsFor({}, operation)
    const exchange = makeExchange({ operation, method: 'POST', headers, ...(http2 && { protocol: 'HTTP/2' as const }) })
    await steps.requestHead!(exchange)
    return steps.readsRequestBody!(exchange)
  }

  test.each<[string, string, Record<string, string>, boolean]>([
    ['JSON', 'application/json', { 'content-type': 'application/json', 'content-length': '5' }, true],
    ['chunks', 'application/json', { 'content-type': 'application/json', 'transfer-encoding': 'chunked' }, true],
    ['nothing', 'application/json', {}, false],
    ['an empty body', 'application/json', { 'content-length': '0' }, false],
    [
      'bytes that the document lists',
      'application/octet-stream',
      { 'content-type': 'application/octet-stream', 'content-length': '5' },
      false,
    ],
    ['an image that the document lists', 'image/*', { 'content-type': 'image/png', 'content-length': '5' }, false],
    ['an image that is XML', 'image/*', { 'content-type': 'image/svg+xml', 'content-length': '5' }, true],
    [
      'bytes that it does not list',
      'application/json',
      { 'content-type': 'application/octet-stream', 'content-length': '5' },
      true,
    ],
    [
      'bytes where anything is listed',
      '*/*',
      { 'content-type': 'application/octet-stream', 'content-length': '5' },
      true,
    ],
    ['a body of no type', 'application/octet-stream', { 'content-length': '5' }, true],
  ])('%s', async (_, type, headers, expected) => {
    expect(await reads(type, headers)).toBe(expected)
  })

  test('a body that HTTP/2 kept silent about', async () => {
    expect(await reads('application/json', { 'content-type': 'application/json' }, true)).toBe(true)
  })

  test('a body beyond the limit is refused by its announced length, files excepted', async () => {
    const steps = await stepsFor({ maxBody: '1KB' }, makeOperation({ method: 'POST', ...withBody('application/json') }))
    const ask = (type: string) =>
      steps.requestHead!(
        makeExchange({
          method: 'POST',
          headers: { 'content-type': type, 'content-length': '2000', host: 'a', accept: '*/*', 'user-agent': 'x' },
        }),
      )
    expect(ask('application/json')).toMatchObject({ code: 'gate.body-too-large' })
    expect(ask('multipart/form-data; boundary=b')).toBeUndefined()
  })

  test.each<[string, string, number, string | undefined]>([
    ['a field up to the limit', '', 1_024, undefined],
    ['a field beyond it', '', 1_025, 'gate.body-too-large'],
    ['a file beyond it', '; filename="a.txt"', 1_025, undefined],
  ])('of a multipart body all but files counts: %s', async (_, filename, bytes, code) => {
    const operation = makeOperation({ method: 'POST', ...withBody('multipart/form-data') })
    const steps = await stepsFor({ maxBody: '1KB' }, operation)
    const head = `--b\r\nContent-Disposition: form-data; name="note"${filename}\r\n\r\n`
    const end = '\r\n--b--\r\n'
    const exchange = makeExchange({
      operation,
      method: 'POST',
      headers: {
        host: 'api.example',
        accept: '*/*',
        'user-agent': 'x',
        'content-type': 'multipart/form-data; boundary=b',
        'content-length': `${bytes}`,
      },
    })
    expect(steps.requestHead!(exchange)).toBeUndefined()
    exchange.requestBody = Buffer.from(head + 'x'.repeat(bytes - head.length - end.length) + end)
    const refusal = steps.requestBody!(exchange) as { code: string } | undefined
    expect(refusal?.code).toBe(code)
  })
})

describe('W3: what a thousand operations cost', () => {
  test('they share what is compiled, and what they refine is small and quick', async () => {
    const compile = await waf.setup(parse({}), makeHost(), waf.root!.parse({}))
    compile(makeOperation())
    const before = performance.now()
    for (let i = 0; i < 1_000; i++) {
      compile(makeOperation({ id: `op${i}`, path: `/p${i}`, allow: i % 2 === 0 ? ['GET'] : ['GET', 'POST'] }))
    }
    expect(performance.now() - before).toBeLessThan(10_000)
  })
})

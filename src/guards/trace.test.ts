import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Exchange } from '../gate/exchange.ts'
import { readTraceParent, trace } from './trace.ts'

const traceId = '0af7651916cd43dd8448eb211c80319c'
const sent = `00-${traceId}-b7ad6b7169203331-01`

describe('reading traceparent (W3C Trace Context, 3.2)', () => {
  test.each([
    [sent, '-01'],
    [`00-${traceId}-b7ad6b7169203331-00`, '-00'],
    // Flags that are not defined are not passed on.
    [`00-${traceId}-b7ad6b7169203331-ff`, '-03'],
    [`00-${traceId}-b7ad6b7169203331-09`, '-01'],
    // A version of the future, with and without more fields.
    [`cc-${traceId}-b7ad6b7169203331-01`, '-01'],
    [`cc-${traceId}-b7ad6b7169203331-01-what-the-future-brings`, '-01'],
  ])('continues %s', (value, flags) => {
    expect(readTraceParent(value)).toEqual({ traceId, flags })
  })

  test.each([
    '',
    `ff-${traceId}-b7ad6b7169203331-01`,
    `00-${traceId}-b7ad6b7169203331-01-extra`,
    `00-${traceId}-b7ad6b7169203331-01-`,
    `cc-${traceId}-b7ad6b7169203331-01.x`,
    `00-${traceId}-b7ad6b7169203331-0`,
    `00-${'0'.repeat(32)}-b7ad6b7169203331-01`,
    `00-${traceId}-0000000000000000-01`,
    `00-${traceId.toUpperCase()}-b7ad6b7169203331-01`,
    `00-${traceId.slice(1)}-b7ad6b7169203331-01`,
    ` ${sent}`,
    `${sent}, ${sent}`,
    `00_${traceId}_b7ad6b7169203331_01`,
    `0g-${traceId}-b7ad6b7169203331-01`,
  ])('ignores %j', (value) => {
    expect(readTraceParent(value)).toBeUndefined()
  })

  test('takes no longer for a value made to be slow', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('0', 'a', '-', 'c'), maxLength: 200 }), (value) => {
        const read = readTraceParent(value)
        if (read !== undefined) expect(read.traceId).toMatch(/^[0-9a-f]{32}$/)
      }),
    )
  })
})

describe('trace context towards the upstream', () => {
  type Options = Parameters<typeof trace.setup>[0]
  const run = async (
    headers: Record<string, string>,
    given: Partial<Options> = {},
    trusted = false,
  ): Promise<{ traceId: string; sentOn: string; withheld: string[] }> => {
    const compile = await trace.setup(trace.options.parse(given) as Options, {} as never, undefined as never)
    const withheld: string[] = []
    const upstream: Record<string, string> = {}
    const exchange = {
      headers,
      peer: { trusted },
      setUpstreamHeader: (name: string, value: string) => (upstream[name] = value),
      withholdHeader: (name: string) => withheld.push(name),
    } as unknown as Exchange
    expect(compile({} as never)!.requestHead!(exchange)).toBeUndefined()
    return { traceId: exchange.traceId!, sentOn: upstream.traceparent!, withheld }
  }

  test('a trusted peer’s trace goes on, with a new parent and its tracestate', async () => {
    const { traceId: used, sentOn, withheld } = await run({ traceparent: sent, tracestate: 'a=1' }, {}, true)
    expect(used).toBe(traceId)
    expect(sentOn).toMatch(new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`))
    expect(sentOn).not.toContain('b7ad6b7169203331')
    expect(withheld).toEqual([])
  })

  test.each([
    ['an untrusted peer’s trace, by default', {}, false, sent],
    ['anybody’s trace under `never`', { accept: 'never' as const }, true, sent],
    ['a malformed one, even from a trusted peer', {}, true, 'nonsense'],
  ])('%s is replaced, and its tracestate dropped', async (_, options, trusted, traceparent) => {
    const { traceId: used, sentOn, withheld } = await run({ traceparent, tracestate: 'a=1' }, options, trusted)
    expect(used).toMatch(/^[0-9a-f]{32}$/)
    expect(used).not.toBe(traceId)
    expect(sentOn).toMatch(new RegExp(`^00-${used}-[0-9a-f]{16}-01$`))
    expect(withheld).toEqual(['tracestate'])
  })

  test('anybody’s trace goes on under `always`', async () => {
    expect((await run({ traceparent: sent }, { accept: 'always' })).traceId).toBe(traceId)
  })

  test('marks new traces by share, and keeps what a continued one says', async () => {
    expect((await run({}, { sample: 0 })).sentOn).toMatch(/-00$/)
    expect((await run({}, { sample: 1 })).sentOn).toMatch(/-01$/)
    expect((await run({ traceparent: sent }, { sample: 0, accept: 'always' })).sentOn).toMatch(/-01$/)
  })

  test('ids do not repeat, over many fillings of the pool', async () => {
    const seen = new Set<string>()
    for (let i = 0; i < 2_000; i++) {
      const { traceId: used, sentOn } = await run({})
      seen.add(used)
      seen.add(sentOn.split('-')[2]!)
    }
    expect(seen.size).toBe(4_000)
  })

  test('can be switched off', async () => {
    const compile = await trace.setup(trace.options.parse({ mode: 'off' }), {} as never, undefined as never)
    expect(compile({} as never)).toBeUndefined()
  })
})

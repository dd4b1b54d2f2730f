import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  codeOf,
  compileGuard,
  type ExchangeInput,
  makeExchange,
  makeHost,
  makeOperation,
  makePrincipal,
  replyHeadersOf,
  type TestHost,
} from '../../test/kit/guard.ts'
import type { Steps } from '../gate/guard.ts'
import type { Denial } from '../gate/verdict.ts'
import { type Counters, CountersUnavailable } from '../store/counters.ts'
import { createMemoryCounters } from '../store/counters-memory.ts'
import { limits } from './limits.ts'

const alice = makePrincipal('alice')
const bob = makePrincipal('bob')

async function limiter(options: unknown, host: TestHost = makeHost(), operation = makeOperation()) {
  const steps = (await compileGuard(limits, options, operation, host)) as Steps
  const send = async (input: ExchangeInput = {}) => {
    const exchange = makeExchange({ operation, ...input })
    const verdict =
      (await steps.requestHead?.(exchange)) ??
      (input.body === undefined ? undefined : await steps.requestBody?.(exchange))
    return { code: codeOf(verdict), denial: verdict as Denial | undefined, headers: replyHeadersOf(exchange), exchange }
  }
  /** How many of `count` requests pass. */
  const passing = async (count: number, input: ExchangeInput = {}) => {
    let passed = 0
    for (let i = 0; i < count; i++) if ((await send(input)).code === undefined) passed++
    return passed
  }
  return { steps, send, passing, host }
}

/** A limit that locks out; a property called `then` is nothing a linter lets stand in a literal. */
const locking = (lockout: string, more: object = {}) => ({
  rate: '1/s',
  ...more,
  ...Object.fromEntries([['then', lockout]]),
})

const off = { default: { mode: 'off' }, anonymous: { mode: 'off' } }

describe('L1: a limit by count', () => {
  test('N pass, the next is refused with 429 and told when to come back', async () => {
    const { send, passing } = await limiter({ default: { rate: '3/min' } })
    expect(await passing(3, { principal: alice })).toBe(3)
    const { denial, headers } = await send({ principal: alice })
    expect(denial).toMatchObject({ status: 429, code: 'limits.exceeded', headers: { 'Retry-After': '20' } })
    expect(headers.ratelimit).toBe('"default";r=0;t=20')
  })

  test('waiting as long as Retry-After says is enough, a moment less is not', async () => {
    const { send, passing, host } = await limiter({ default: { rate: '3/min' } })
    await passing(4, { principal: alice })
    host.advance(19_999)
    expect((await send({ principal: alice })).code).toBe('limits.exceeded')
    host.advance(1)
    expect((await send({ principal: alice })).code).toBeUndefined()
    expect((await send({ principal: alice })).code).toBe('limits.exceeded')
  })

  test('every caller has a budget of their own', async () => {
    const { passing } = await limiter({ default: { rate: '3/min' } })
    expect(await passing(5, { principal: alice })).toBe(3)
    expect(await passing(5, { principal: bob })).toBe(3)
    expect(await passing(5, { principal: makePrincipal('alice', { via: 'main' }) })).toBe(3)
  })

  test('what is implied is 100 a minute for a principal and 20 for an address without one', async () => {
    const { passing } = await limiter(undefined)
    expect(await passing(101, { principal: alice })).toBe(100)
    expect(await passing(21)).toBe(20)
  })

  test('one implied limit stays when another is said', async () => {
    const { passing } = await limiter({ default: { rate: '5/min' }, login: { rate: '1/s', match: 'op:login' } })
    expect(await passing(25)).toBe(20)
    expect(await passing(25, { principal: alice })).toBe(5)
  })
})

describe('L2: a burst, then the rate', () => {
  test('the burst passes at once, afterwards only the rate counts', async () => {
    const { passing, host } = await limiter({ default: { rate: '60/min', burst: 10 } })
    expect(await passing(15, { principal: alice })).toBe(10)
    host.advance(1_000)
    expect(await passing(5, { principal: alice })).toBe(1)
    host.advance(3_000)
    expect(await passing(5, { principal: alice })).toBe(3)
    host.advance(3_600_000)
    expect(await passing(15, { principal: alice })).toBe(10)
  })
})

describe('L3: limits by address', () => {
  test('two addresses have separate budgets, and headers change nothing', async () => {
    const { passing } = await limiter({ ...off, perIp: { rate: '2/min', key: 'ip' } })
    expect(await passing(3, { address: '198.51.100.1', headers: { 'x-forwarded-for': '1.1.1.1' } })).toBe(2)
    expect(await passing(3, { address: '198.51.100.1', headers: { 'x-forwarded-for': '2.2.2.2' } })).toBe(0)
    expect(await passing(3, { address: '198.51.100.2' })).toBe(2)
  })

  test('one IPv6 network is one client', async () => {
    const { passing } = await limiter({ ...off, perIp: { rate: '2/min', key: 'ip' } })
    expect(await passing(2, { address: '2001:db8:1:2::1' })).toBe(2)
    expect(await passing(2, { address: '2001:db8:1:2:ffff::9' })).toBe(0)
    expect(await passing(2, { address: '2001:db8:1:3::1' })).toBe(2)
  })
})

describe('keys', () => {
  const operation = makeOperation({
    method: 'POST',
    path: '/shops/{shop}/orders/{id}',
    requestBody: { required: true, content: [] },
  })
  const json = { 'content-type': 'application/json' }
  const form = { 'content-type': 'application/x-www-form-urlencoded' }
  const one = (key: string) => limiter({ ...off, it: { rate: '1/min', key } }, makeHost(), operation)

  test.each<[string, ExchangeInput, ExchangeInput]>([
    ['principal', { principal: alice }, { principal: bob }],
    [
      'application',
      { principal: makePrincipal('a', { application: 'x' }) },
      { principal: makePrincipal('a', { application: 'y' }) },
    ],
    [
      'claim.org.id',
      { principal: makePrincipal('a', { claims: { org: { id: 1 } } }) },
      { principal: makePrincipal('a', { claims: { org: { id: 2 } } }) },
    ],
    ['header.x-tenant', { headers: { 'x-tenant': 'a' } }, { headers: { 'x-tenant': 'b' } }],
    ['query.shop', { query: 'shop=a' }, { query: 'shop=b' }],
    ['path.id', { pathValues: ['s', '1'] }, { pathValues: ['s', '2'] }],
    [
      'body.user.name',
      { headers: json, body: '{"user":{"name":"a"}}' },
      { headers: json, body: '{"user":{"name":"b"}}' },
    ],
    ['body.username', { headers: form, body: 'username=a' }, { headers: form, body: 'username=b' }],
    ['ip+header.x', { headers: { x: 'a' } }, { headers: { x: 'b' } }],
    ['header.x+header.y', { headers: { x: 'ab', y: 'c' } }, { headers: { x: 'a', y: 'bc' } }],
    ['header.x', { headers: { x: `${'a'.repeat(5_000)}1` } }, { headers: { x: `${'a'.repeat(5_000)}2` } }],
  ])('%s tells callers apart', async (key, first, second) => {
    const { passing } = await one(key)
    expect(await passing(3, first)).toBe(1)
    expect(await passing(3, second)).toBe(1)
    expect(await passing(3, first)).toBe(0)
  })

  test.each<[string, ExchangeInput, ExchangeInput]>([
    ['path.id', { pathValues: ['s', 'a@b'] }, { pathValues: ['s', 'A%40b'] }],
    ['query.shop', { query: 'shop=a' }, { query: 'shop=%41%20' }],
  ])('%s is one budget however it is written', async (key, first, second) => {
    const { passing } = await one(key)
    expect(await passing(3, first)).toBe(1)
    expect(await passing(3, second)).toBe(0)
  })

  test.each<[string, ExchangeInput, ExchangeInput]>([
    ['everyone', { principal: alice, address: '192.0.2.1' }, { principal: bob, address: '192.0.2.2' }],
    ['operation', { principal: alice }, { principal: bob }],
    ['header.x-tenant', {}, { headers: { 'x-tenant': '' } }],
    [
      'body.username',
      { headers: json, body: '{"username":"Alice"}' },
      { headers: json, body: '{"username":" ALICE "}' },
    ],
    ['body.username', { headers: json, body: '{}' }, { headers: json, body: '{"username":' }],
    ['body.username', { headers: json, body: '{"username":["a"]}' }, { headers: json, body: '{"username":{"b":1}}' }],
    ['body.__proto__.x', { headers: json, body: '{"a":1}' }, { headers: json, body: '{"b":1}' }],
  ])('%s counts these two as one', async (key, first, second) => {
    const { passing } = await one(key)
    expect(await passing(1, first)).toBe(1)
    expect(await passing(1, second)).toBe(0)
  })

  test('a limit by principal leaves those without one to the anonymous limit', async () => {
    const { passing } = await limiter({ ...off, it: { rate: '1/min', key: 'principal' } })
    expect(await passing(50)).toBe(50)
  })

  test('the body is read only where a key needs it', async () => {
    expect((await one('ip')).steps.requestBody).toBeUndefined()
    expect((await one('ip+body.x')).steps.requestBody).toBeDefined()
    const bodyless = await limiter({ ...off, it: { rate: '1/min', key: 'body.x' } })
    expect(bodyless.steps).toBeUndefined()
  })

  test('a key has a bounded length and no two callers share one by accident', async () => {
    const keys: string[] = []
    const counting: Counters = {
      ...createMemoryCounters(),
      take(key) {
        keys.push(key)
        return { allowed: true, remaining: 1, retryAfterMs: 0, resetMs: 0 }
      },
    }
    const { send } = await limiter(
      { ...off, it: { rate: '1/s', key: 'header.a+header.b' } },
      makeHost({ counters: counting }),
    )
    await fc.assert(
      fc.asyncProperty(fc.string({ maxLength: 300 }), fc.string({ maxLength: 300 }), async (a, b) => {
        keys.length = 0
        await send({ headers: { a, b } })
        await send({ headers: { a: a + b, b: '' } })
        expect(keys[0]!.length).toBeLessThan(400)
        if (b !== '') expect(keys[0]).not.toBe(keys[1])
      }),
    )
  })
})

describe('several limits', () => {
  const options = { ...off, long: { rate: '10/h' }, short: { rate: '3/min' } }

  test('all must pass, and the tightest is told of', async () => {
    const { send, passing, host } = await limiter(options)
    const first = await send({ principal: alice })
    expect(first.headers['ratelimit-policy']).toBe('"long";q=10;w=3600, "short";q=3;w=60')
    expect(first.headers.ratelimit).toBe('"short";r=2;t=20')
    expect(await passing(5, { principal: alice })).toBe(2)
    for (let minute = 0; minute < 2; minute++) {
      host.advance(60_000)
      await passing(3, { principal: alice })
    }
    host.advance(60_000)
    expect((await send({ principal: alice })).denial?.evidence).toEqual({ limit: 'long' })
  })

  test('only those that a caller meets are told', async () => {
    const { send } = await limiter(undefined)
    expect((await send({ principal: alice })).headers['ratelimit-policy']).toBe('"default";q=100;w=60')
    expect((await send()).headers['ratelimit-policy']).toBe('"anonymous";q=20;w=60')
  })

  test('nothing is told when that is switched off', async () => {
    const { send, passing } = await limiter({ headers: false, default: { rate: '1/min' } })
    expect((await send({ principal: alice })).headers).toEqual({})
    expect(await passing(1, { principal: alice })).toBe(0)
  })

  test('an observed limit notes and lets pass', async () => {
    const { send } = await limiter({ ...off, it: { rate: '1/min', mode: 'observe' } })
    await send({ principal: alice })
    const { code, exchange } = await send({ principal: alice })
    expect(code).toBeUndefined()
    expect(exchange.observed).toMatchObject([{ code: 'limits.exceeded', evidence: { limit: 'it' } }])
  })

  test('callers: a limit for those who are known, one for those who are not', async () => {
    const { passing } = await limiter({
      ...off,
      known: { rate: '2/min', key: 'ip', callers: 'known' },
      unknown: { rate: '1/min', key: 'ip', callers: 'anonymous' },
    })
    expect(await passing(5)).toBe(1)
    expect(await passing(5, { principal: alice })).toBe(2)
  })
})

describe('match', () => {
  test.each([
    ['op:login', true],
    ['op:logout', false],
    ['tag:auth', true],
    ['tag:orders', false],
    ['POST /auth/login', true],
    ['GET /auth/login', false],
    ['* /auth/*', true],
    ['/orders/**', false],
    [['tag:orders', 'op:login'], true],
  ])('%j meets the operation: %s', async (match, expected) => {
    const operation = makeOperation({ id: 'login', method: 'POST', path: '/auth/login', tags: ['auth'] })
    const steps = await compileGuard(limits, { ...off, it: { rate: '1/min', match } }, operation)
    expect(steps !== undefined).toBe(expected)
  })

  test('one that meets nothing is told to the operator', async () => {
    const { host } = await limiter({ it: { rate: '1/min', match: 'op:lgoin' } })
    expect(host.warnings).toMatchObject([{ fields: { rule: 'limits.it' } }])
  })

  test('an operation that no limit meets costs nothing', async () => {
    expect(await compileGuard(limits, { ...off, it: { rate: '1/s', match: 'op:other' } })).toBeUndefined()
    expect(await compileGuard(limits, off)).toBeUndefined()
  })
})

describe('when the counters cannot be reached', () => {
  const down = (later: boolean): Counters => ({
    ...createMemoryCounters(),
    take() {
      if (!later) throw new CountersUnavailable('gone')
      return Promise.reject(new CountersUnavailable('gone'))
    },
  })

  test.each([
    ['local', true, 2, undefined],
    ['local', false, 2, undefined],
    ['open', true, 5, undefined],
    ['open', false, 5, undefined],
    ['closed', true, 0, 503],
    ['closed', false, 0, 503],
  ])('%s (later: %s): %d of 5 pass', async (onFailure, later, expected, status) => {
    const host = makeHost({ counters: down(later) })
    const { passing, send } = await limiter({ ...off, it: { rate: '2/min', onFailure } }, host)
    expect(await passing(5, { principal: alice })).toBe(expected)
    if (status !== undefined) expect((await send({ principal: alice })).denial).toMatchObject({ status })
  })

  test('the operator is told once, and again half a minute later', async () => {
    const host = makeHost({ counters: down(true) })
    const { passing } = await limiter(undefined, host)
    await passing(50, { principal: alice })
    expect(host.warnings).toHaveLength(1)
    host.advance(30_000)
    await passing(1, { principal: alice })
    expect(host.warnings).toHaveLength(2)
  })

  test('another error is not taken for it', async () => {
    const broken: Counters = {
      ...createMemoryCounters(),
      take() {
        throw new TypeError('a mistake')
      },
    }
    const { steps } = await limiter({ default: { rate: '1/s' } }, makeHost({ counters: broken }))
    expect(() => steps.requestHead?.(makeExchange({ principal: alice }))).toThrow('a mistake')
  })
})

describe('counters in another process', () => {
  test('are asked in order and give the same answers', async () => {
    const host = makeHost()
    const memory = createMemoryCounters({ now: host.now })
    const remote: Counters = { ...memory, take: async (...ask) => memory.take(...ask) }
    const { send, passing } = await limiter(
      { ...off, a: { rate: '5/min' }, b: { rate: '2/min' } },
      { ...host, counters: remote },
    )
    expect((await send({ principal: alice })).headers.ratelimit).toBe('"b";r=1;t=30')
    expect(await passing(3, { principal: alice })).toBe(1)
    expect((await send({ principal: alice })).denial?.evidence).toEqual({ limit: 'b' })
  })

  test('make no promise when the answer is known here', async () => {
    const { steps } = await limiter(undefined)
    expect(steps.requestHead?.(makeExchange({ principal: alice }))).toBeUndefined()
  })
})

describe('options', () => {
  test.each([
    ['an unknown key', { default: { rate: '1/s', bursts: 3 } }],
    ['a rate that is none', { default: { rate: 'often' } }],
    ['no rate', { mine: { key: 'ip' } }],
    ['an unknown part of a key', { mine: { rate: '1/s', key: 'ip+moon' } }],
    ['an empty part of a key', { mine: { rate: '1/s', key: 'ip+' } }],
    ['a selector that is none', { mine: { rate: '1/s', match: 'operation:x' } }],
    ['a plan without a name', { mine: { rate: '1/s', match: 'plan:' } }],
    ['a quota that is none', { mine: { quota: '10000/fortnight' } }],
    ['a throttle that is none', { mine: { rate: '1/s', over: 'throttle' } }],
    ['a throttle over nothing', { mine: { pace: '1/s', over: 'throttle 2/s' } }],
    ['a lockout and a throttle', { mine: locking('lockout 15m', { over: 'throttle 2/s' }) }],
    ['a lockout for ever', { mine: locking('lockout 365d') }],
    ['a wait without end', { mine: { pace: '1/s', wait: '1h' } }],
    ['a cost that nothing pays', { mine: { quota: '10/day', cost: 11 } }],
    ['a place that is no time zone', { mine: { quota: '10/day', timeZone: 'Europe/Atlantis' } }],
    ['a default plan that no limit speaks of', { plan: { default: 'gold' } }],
    ["a plan's limit by plan", { plans: { gold: { rate: '1/s', match: 'plan:gold' } } }],
    ['a plan that is called as a limit', { plans: { mine: {} }, mine: { rate: '1/s' } }],
    ['a caller without a method', { plans: { gold: {} }, plan: { callers: { alice: 'gold' } } }],
    ['a name that does not fit into a header', { 'a"b': { rate: '1/s' } }],
    ['a burst of nothing', { default: { burst: 0 } }],
  ])('refuse %s', (_, options) => {
    expect(limits.options.safeParse(options).success).toBe(false)
  })

  test('say each part of an implied limit by itself', async () => {
    const { passing } = await limiter({ default: { burst: 5 } })
    expect(await passing(10, { principal: alice })).toBe(5)
  })
})

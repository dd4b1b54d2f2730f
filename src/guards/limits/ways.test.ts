import { afterEach, describe, expect, test, vi } from 'vitest'
import {
  codeOf,
  compileGuard,
  type ExchangeInput,
  makeExchange,
  makeHost,
  makeOperation,
  makePrincipal,
  replyHeadersOf,
} from '../../../test/kit/guard.ts'
import type { SecurityEvent } from '../../base/events.ts'
import { silentLogger } from '../../base/log.ts'
import type { Step } from '../../gate/guard.ts'
import type { Denial, Verdict } from '../../gate/verdict.ts'
import { type Counters, CountersUnavailable } from '../../store/counters.ts'
import { createMemoryCounters } from '../../store/counters-memory.ts'
import { createSqliteStore } from '../../store/sqlite.ts'
import { type Store, StoreUnavailable } from '../../store/store.ts'
import { limits } from '../limits.ts'

const alice = makePrincipal('alice')
const bob = makePrincipal('bob')
const off = { default: { mode: 'off' }, anonymous: { mode: 'off' } }
const lockout = (text: string) => Object.fromEntries([['then', text]])

async function limiter(options: unknown, given: { store?: Store; counters?: Counters } = {}) {
  const store = given.store ?? createSqliteStore({ file: ':memory:', log: silentLogger })
  const host = makeHost({ store, ...(given.counters && { counters: given.counters }) })
  const events: SecurityEvent[] = []
  const operation = makeOperation()
  const steps = await compileGuard(limits, options, operation, { ...host, tell: (event) => events.push(event) })
  const step = steps!.requestHead as Step
  const send = async (input: ExchangeInput = {}) => {
    const exchange = makeExchange({ operation, ...input })
    const verdict = await step(exchange)
    return { code: codeOf(verdict), denial: verdict as Denial, headers: replyHeadersOf(exchange), exchange }
  }
  const passing = async (count: number, input: ExchangeInput = {}) => {
    let passed = 0
    for (let i = 0; i < count; i++) if ((await send(input)).code === undefined) passed++
    return passed
  }
  return { host, events, step, send, passing, operation }
}

afterEach(() => {
  vi.useRealTimers()
})

describe('L4: a quota', () => {
  test('the 101st of a day is refused and told when the next day begins', async () => {
    const { send, passing } = await limiter({ ...off, daily: { quota: '100/day' } })
    const first = await send({ principal: alice })
    expect(first.headers['ratelimit-policy']).toBe('"daily";q=100;w=86400')
    // 2023-11-14T22:13:20Z by the clock of the test.
    expect(first.headers.ratelimit).toBe('"daily";r=99;t=6400')
    expect(await passing(100, { principal: alice })).toBe(99)
    const { denial, headers } = await send({ principal: alice })
    expect(denial).toMatchObject({
      status: 429,
      code: 'limits.quota-exceeded',
      headers: { 'Retry-After': '6400' },
      evidence: { limit: 'daily' },
    })
    expect(headers.ratelimit).toBe('"daily";r=0;t=6400')
    expect(await passing(1, { principal: bob })).toBe(1)
  })

  test('begins anew with the day, and where it is said so by the clocks of another place', async () => {
    for (const [timeZone, secondsLeft] of [
      ['UTC', 6_400],
      ['Europe/Vienna', 2_800],
    ] as const) {
      const { passing, host } = await limiter({ ...off, daily: { quota: '2/day', timeZone } })
      expect(await passing(3, { principal: alice })).toBe(2)
      host.advance(secondsLeft * 1_000 - 1)
      expect(await passing(1, { principal: alice })).toBe(0)
      host.advance(1)
      expect(await passing(3, { principal: alice })).toBe(2)
    }
  })

  test('beside a rate both are told, and what the rate refuses spends nothing of the quota', async () => {
    const { send, passing, host } = await limiter({ ...off, both: { quota: '5/month', rate: '2/min' } })
    const { headers } = await send({ principal: alice })
    expect(headers['ratelimit-policy']).toBe('"both";q=2;w=60, "both-quota";q=5')
    expect(headers.ratelimit).toMatch(/^"both";r=1;t=30, "both-quota";r=4;t=\d+$/)
    expect(await passing(10, { principal: alice })).toBe(1)
    host.advance(120_000)
    expect(await passing(2, { principal: alice })).toBe(2)
    host.advance(120_000)
    expect(await passing(1, { principal: alice })).toBe(1)
    expect((await send({ principal: alice })).code).toBe('limits.quota-exceeded')
  })

  test('counts what is dear as more, and what is free not at all', async () => {
    expect(await (await limiter({ ...off, it: { quota: '10/day', cost: 4 } })).passing(9, { principal: alice })).toBe(2)
    expect(await (await limiter({ ...off, it: { quota: '1/day', cost: 0 } })).passing(9, { principal: alice })).toBe(9)
    expect(await (await limiter({ ...off, it: { rate: '10/day', cost: 3 } })).passing(9, { principal: alice })).toBe(3)
  })

  test('observed, it notes and lets pass', async () => {
    const { send } = await limiter({ ...off, it: { quota: '1/day', mode: 'observe', over: 'throttle 1/min' } })
    await send({ principal: alice })
    const { code, exchange } = await send({ principal: alice })
    expect(code).toBeUndefined()
    expect(exchange.observed).toMatchObject([{ code: 'limits.quota-exceeded', evidence: { limit: 'it' } }])
  })

  test.each([
    [undefined, 0, 503],
    ['closed', 0, 503],
    ['open', 5, undefined],
    ['local', 2, 429],
  ])('while the store cannot be reached (onFailure: %s) %d of 5 pass', async (onFailure, expected, status) => {
    const real = createSqliteStore({ file: ':memory:', log: silentLogger })
    const gone = () => Promise.reject(new StoreUnavailable('gone'))
    const store: Store = { ...real, get: gone, add: gone }
    const { passing, send } = await limiter({ ...off, it: { quota: '2/day', onFailure } }, { store })
    expect(await passing(5, { principal: alice })).toBe(expected)
    expect((await send({ principal: alice })).denial?.status).toBe(status)
  })
})

describe('plans', () => {
  const plans = {
    plans: { free: { rate: '2/min', quota: '3/day' }, gold: { rate: '200/min' } },
    plan: { default: 'free', callers: { 'main:partner-app': 'gold' } },
  }
  const withPlan = (subject: string, plan: unknown) => ({ principal: makePrincipal(subject, { claims: { plan } }) })

  test('a plan has limits of its own, which take the place of the implied one', async () => {
    const { passing } = await limiter(plans)
    expect(await passing(150, withPlan('rich', 'gold'))).toBe(150)
    expect(await passing(5, withPlan('poor', 'free'))).toBe(2)
  })

  test('who has no plan, or one that nobody knows, has the default one', async () => {
    const { passing } = await limiter(plans)
    expect(await passing(5, { principal: alice })).toBe(2)
    expect(await passing(5, withPlan('sly', 'platinum'))).toBe(2)
    expect(await passing(5, withPlan('odd', ['gold']))).toBe(2)
    expect(await passing(5, withPlan('odder', '__proto__'))).toBe(2)
  })

  test('without a default one, such callers have the implied limit', async () => {
    const { passing } = await limiter({ plans: { gold: { rate: '200/min' } } })
    expect(await passing(150, withPlan('sly', 'platinum'))).toBe(100)
    expect(await passing(25)).toBe(20)
  })

  test('the configuration gives a plan to an application, and no token takes it away or claims it', async () => {
    const { passing } = await limiter(plans)
    const partner = { via: 'main', application: 'partner-app', claims: { plan: 'free' } }
    expect(await passing(10, { principal: makePrincipal('x', partner) })).toBe(10)
    expect(await passing(10, { principal: makePrincipal('x', { ...partner, via: 'other' }) })).toBe(2)
  })

  test.each([
    ['is off', { rate: '200/min', mode: 'off' }],
    ['is only observed', { rate: '200/min', mode: 'observe' }],
    ['is about other operations', { rate: '200/min', match: 'op:other' }],
    ['is none: a quota', { quota: '1000/day' }],
    ['is none at all', {}],
  ])('the implied limit stays where the rate of the plan %s', async (_, gold) => {
    const { passing } = await limiter({ plans: { gold } })
    expect(await passing(150, withPlan('rich', 'gold'))).toBe(100)
  })

  test('the claim may stand elsewhere', async () => {
    const { passing } = await limiter({ ...plans, plan: { claim: 'org.tier', default: 'free' } })
    expect(await passing(9, { principal: makePrincipal('a', { claims: { org: { tier: 'gold' } } }) })).toBe(9)
    expect(await passing(9, { principal: makePrincipal('b', { claims: { plan: 'gold' } }) })).toBe(2)
  })

  test('match: plan:free counts those callers only, beside what else holds, and at the operations it names', async () => {
    const { passing } = await limiter({ ...off, free: { match: 'plan:free', quota: '2/month' } })
    expect(await passing(5, withPlan('a', 'free'))).toBe(2)
    expect(await passing(5, withPlan('b', 'gold'))).toBe(5)
    expect(await passing(5)).toBe(5)
    const here = await limiter({ ...off, it: { match: ['plan:free', 'plan:trial', 'GET /orders'], rate: '1/min' } })
    expect(await here.passing(5, withPlan('a', 'trial'))).toBe(1)
    const elsewhere = { ...off, it: { match: ['plan:free', 'op:other'], rate: '1/min' } }
    expect(await compileGuard(limits, elsewhere)).toBeUndefined()
  })

  test('a thousand plans cost a request one look', async () => {
    const many = Object.fromEntries(Array.from({ length: 1_000 }, (_, i) => [`p${i}`, { rate: `${i + 1}/min` }]))
    const { passing } = await limiter({ plans: many })
    expect(await passing(9, withPlan('a', 'p4'))).toBe(5)
  })
})

describe('L5: a throttle', () => {
  /** Starts a request and says when it was let through, by the clock of the test. */
  function racing(step: Step, now: () => number) {
    const done: { at: number; verdict: Verdict }[] = []
    return {
      done,
      start(exchange = makeExchange({ principal: alice })) {
        void Promise.resolve(step(exchange)).then((verdict) => done.push({ at: now(), verdict }))
        return exchange
      },
    }
  }

  /** One clock for the counters and for the timers. */
  async function paced(options: object) {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const it = await limiter({ ...off, ...options })
    const begun = it.host.now()
    const race = racing(it.step, () => it.host.now() - begun)
    const pass = async (ms: number) => {
      for (let i = 0; i < ms; i += 10) {
        it.host.advance(10)
        await vi.advanceTimersByTimeAsync(10)
      }
    }
    return { ...it, ...race, pass }
  }

  test('requests go on one after another at the pace; the one too many is refused at once', async () => {
    const { start, done, pass } = await paced({ slow: { pace: '2/s', queue: 4 } })
    for (let i = 0; i < 6; i++) start()
    await pass(10)
    expect(done.map(({ verdict }) => verdict)).toMatchObject([undefined, { code: 'limits.queue-full', status: 429 }])
    await pass(3_000)
    expect(done.slice(2).map(({ at }) => at)).toEqual([500, 1000, 1500, 2000])
    expect(done.slice(2).every(({ verdict }) => verdict === undefined)).toBe(true)
  })

  test('one that would wait too long is refused at once, and told when to come', async () => {
    const { send, start, pass } = await paced({ slow: { pace: '2/s', queue: 1000, wait: '1s' } })
    for (let i = 0; i < 3; i++) start()
    const { denial } = await send({ principal: alice })
    expect(denial).toMatchObject({ code: 'limits.queue-full', headers: { 'Retry-After': '1' } })
    await pass(2_000)
  })

  test('over a quota requests are slowed, and refused when the queue is full', async () => {
    const { start, done, pass } = await paced({ free: { quota: '3/month', over: 'throttle 1/s', queue: 2 } })
    for (let i = 0; i < 8; i++) start()
    await pass(4_000)
    const passed = done.filter(({ verdict }) => verdict === undefined).map(({ at }) => at)
    // Three of the quota, one at once at the new pace, two that waited.
    expect(passed).toEqual([10, 10, 10, 10, 1000, 2000])
    expect(done).toHaveLength(8)
  })

  test('callers have turns of their own: nobody waits behind another one’s queue', async () => {
    const { start, done, pass } = await paced({ slow: { pace: '1/s', queue: 5 } })
    for (let i = 0; i < 5; i++) start()
    start(makeExchange({ principal: bob }))
    await pass(10)
    expect(done).toHaveLength(2)
    await pass(5_000)
  })

  test('who goes away frees their place in the process at once, and no timer stays behind', async () => {
    const { start, done, pass, send } = await paced({ slow: { pace: '1/s', queue: 5 }, waiting: 1 })
    start()
    const second = start()
    expect((await send({ principal: alice })).code).toBe('limits.queue-full')
    expect(vi.getTimerCount()).toBe(1)
    second.abort()
    await pass(10)
    expect(vi.getTimerCount()).toBe(0)
    expect(done).toHaveLength(2)
    start(makeExchange({ principal: bob }))
    start(makeExchange({ principal: bob }))
    expect(vi.getTimerCount()).toBe(1)
    await pass(3_000)
    expect(vi.getTimerCount()).toBe(0)
  })

  test('`waiting` bounds all who wait in the process, whatever the number of APIs', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    const counters = createMemoryCounters({ now: () => 0 })
    const options = { ...off, slow: { pace: '1/s' }, waiting: 2 }
    const [one, other] = [await limiter(options, { counters }), await limiter(options, { counters })]
    const waiting = ['a', 'b'].map((name) => makeExchange({ principal: makePrincipal(name) }))
    for (const exchange of waiting) {
      void one.step(makeExchange({ principal: exchange.principal! }))
      void one.step(exchange)
    }
    await other.send({ principal: bob })
    expect((await other.send({ principal: bob })).code).toBe('limits.queue-full')
    for (const exchange of waiting) exchange.abort()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('a request that need not wait makes no promise', async () => {
    const { step } = await limiter({ ...off, slow: { pace: '1/s' } })
    expect(step(makeExchange({ principal: alice }))).toBeUndefined()
  })

  test('observed, it makes nobody wait', async () => {
    const { send } = await limiter({ ...off, slow: { pace: '1/min', queue: 1, mode: 'observe' } })
    await send({ principal: alice })
    const { code, exchange } = await send({ principal: alice })
    expect(code).toBeUndefined()
    expect(exchange.observed).toMatchObject([{ code: 'limits.queue-full' }])
  })

  test('while the counters cannot be reached, this process keeps the pace alone', async () => {
    const down: Counters = {
      ...createMemoryCounters(),
      take: () => Promise.reject(new CountersUnavailable('gone')),
    }
    const { passing } = await limiter({ ...off, slow: { pace: '1/min', queue: 1, wait: '1ms' } }, { counters: down })
    expect(await passing(3, { principal: alice })).toBe(1)
  })
})

describe('N8: a lockout', () => {
  const login = { ...off, login: { rate: '5/min', key: 'ip', ...lockout('lockout 15m') } }

  test('the sixth is locked out for fifteen minutes, which is told once; others are not', async () => {
    const { passing, send, host, events } = await limiter(login)
    expect(await passing(5)).toBe(5)
    const { denial } = await send()
    expect(denial).toMatchObject({ status: 429, code: 'limits.locked-out', headers: { 'Retry-After': '900' } })
    expect(await passing(20)).toBe(0)
    expect(events).toEqual([
      {
        event: 'limits.lockout',
        address: '198.51.100.7',
        detail: { api: 'test', limit: 'login', seconds: 900 },
      },
    ])
    expect(await passing(1, { address: '198.51.100.8' })).toBe(1)
    host.advance(14 * 60_000)
    expect((await send()).denial.headers).toEqual({ 'Retry-After': '60' })
    host.advance(60_000)
    expect(await passing(9)).toBe(5)
    expect(events).toHaveLength(2)
  })

  test('observed, it locks nobody out', async () => {
    const { passing, events } = await limiter({ ...off, login: { ...login.login, mode: 'observe' } })
    expect(await passing(9)).toBe(9)
    expect(events).toEqual([])
  })
})

describe('an expression as key', () => {
  test.each<[string, ExchangeInput, ExchangeInput]>([
    [
      'claims.tenant',
      { principal: makePrincipal('a', { claims: { tenant: 1 } }) },
      { principal: makePrincipal('a', { claims: { tenant: 2 } }) },
    ],
    ['ip + query.shop', { query: 'shop=a' }, { query: 'shop=b' }],
    ['device.agent', { headers: { 'user-agent': 'a' } }, { headers: { 'user-agent': 'b' } }],
  ])('%s tells callers apart', async (key, first, second) => {
    const { passing } = await limiter({ ...off, it: { rate: '1/min', key } })
    expect(await passing(3, first)).toBe(1)
    expect(await passing(3, second)).toBe(1)
    expect(await passing(3, first)).toBe(0)
  })

  test('that says nothing leaves each address a budget, not an endless one', async () => {
    const { passing } = await limiter({ ...off, it: { rate: '1/min', key: 'ip + query.shop' } })
    expect(await passing(3, { query: 'x=1' })).toBe(1)
    expect(await passing(3, { query: 'x=2' })).toBe(0)
    expect(await passing(3, { query: 'x=2', address: '198.51.100.9' })).toBe(1)
  })

  test('is told by a hash which budget it was', async () => {
    const { send } = await limiter({ ...off, it: { rate: '9/min', key: 'ip+query.shop' } })
    const pk = async (query: string) => /;pk=:([\w+/]{12}):$/.exec((await send({ query })).headers.ratelimit!)![1]
    expect(await pk('shop=a')).toBe(await pk('shop=A'))
    expect(await pk('shop=a')).not.toBe(await pk('shop=b'))
  })
})

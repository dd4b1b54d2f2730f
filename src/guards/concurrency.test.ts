import { afterEach, describe, expect, test } from 'vitest'
import {
  codeOf,
  compileGuard,
  type ExchangeInput,
  makeExchange,
  makeHost,
  makeOperation,
  makePrincipal,
} from '../../test/kit/guard.ts'
import type { Exchange } from '../gate/exchange.ts'
import type { Steps } from '../gate/guard.ts'
import { concurrency, Shedder } from './concurrency.ts'

const alice = makePrincipal('alice')
const bob = makePrincipal('bob')
const host = makeHost()
afterEach(() => host.close())

async function gate(options: unknown) {
  const steps = (await compileGuard(
    concurrency,
    { overload: { mode: 'off' }, ...(options as object) },
    makeOperation(),
    host,
  )) as Steps
  /** Lets a request in, or tells why not; `leave` ends it. */
  const enter = (input: ExchangeInput = {}) => {
    const exchange = makeExchange(input)
    const code = codeOf(steps.requestHead?.(exchange) as undefined)
    return { code, leave: () => steps.end?.(exchange) }
  }
  const entering = (count: number, input: ExchangeInput = {}) =>
    Array.from({ length: count }, () => enter(input)).filter(({ code }) => code === undefined)
  return { enter, entering, steps }
}

describe('L6: requests under way', () => {
  test('of one caller are bounded, and others are not touched', async () => {
    const { enter, entering } = await gate({ perCaller: 3 })
    expect(entering(5, { principal: alice })).toHaveLength(3)
    expect(enter({ principal: alice }).code).toBe('concurrency.caller')
    expect(entering(5, { principal: bob })).toHaveLength(3)
    expect(entering(5, { address: '198.51.100.1' })).toHaveLength(3)
    expect(entering(5, { address: '198.51.100.2' })).toHaveLength(3)
    expect(entering(5, { address: '2001:db8::1' })).toHaveLength(3)
    expect(entering(5, { address: '2001:db8::2' })).toHaveLength(0)
  })

  test('leave their place to the next', async () => {
    const { enter, entering } = await gate({ perCaller: 2 })
    const [first] = entering(2, { principal: alice })
    expect(enter({ principal: alice }).code).toBe('concurrency.caller')
    first!.leave()
    expect(enter({ principal: alice }).code).toBeUndefined()
    expect(enter({ principal: alice }).code).toBe('concurrency.caller')
  })

  test('that were refused give back no place they never had', async () => {
    const { enter, entering } = await gate({ perCaller: 2, total: 10, perOperation: 5 })
    entering(2, { principal: alice })
    for (let i = 0; i < 10; i++) enter({ principal: alice }).leave()
    expect(enter({ principal: alice }).code).toBe('concurrency.caller')
  })

  test('that ended before this guard spoke change nothing', async () => {
    const { steps, entering } = await gate({ perCaller: 2 })
    for (let i = 0; i < 5; i++) steps.end?.(makeExchange({ principal: alice }) as Exchange)
    expect(entering(5, { principal: alice })).toHaveLength(2)
  })

  test('of all callers are bounded, and one caller gets its share at most', async () => {
    const { enter, entering } = await gate({ total: 10 })
    expect(entering(10, { principal: alice })).toHaveLength(5)
    expect(entering(10, { principal: bob })).toHaveLength(5)
    expect(enter({ address: '198.51.100.9' }).code).toBe('concurrency.total')
  })

  test('a share leaves at least one place', async () => {
    const { entering } = await gate({ total: 3, share: 0.01 })
    expect(entering(3, { principal: alice })).toHaveLength(1)
  })

  test('of one operation are bounded', async () => {
    const { enter, entering } = await gate({ perOperation: 2 })
    expect(entering(2, { principal: alice })).toHaveLength(2)
    expect(enter({ principal: bob }).code).toBe('concurrency.operation')
  })

  test('by default 128 of one caller', async () => {
    const { entering } = await gate({})
    expect(entering(129, { principal: alice })).toHaveLength(128)
  })

  test('refusals say when to come back', async () => {
    const { steps } = await gate({ perCaller: 1 })
    void steps.requestHead?.(makeExchange({ principal: alice }))
    expect(steps.requestHead?.(makeExchange({ principal: alice }))).toMatchObject({
      status: 429,
      headers: { 'Retry-After': '1' },
    })
  })
})

describe('L8: shedding', () => {
  const shed = (shedder: Shedder, count = 1_000) =>
    Array.from({ length: count }, () => shedder.sheds()).filter((shed) => shed).length

  test('turns nobody away while the loop keeps up', () => {
    const shedder = new Shedder(100)
    for (let i = 0; i < 50; i++) shedder.sample(100)
    expect(shed(shedder)).toBe(0)
  })

  test('turns away more the longer it lasts, and never everybody', () => {
    const shedder = new Shedder(100)
    let before = 0
    for (let i = 0; i < 6; i++) {
      shedder.sample(101)
      const now = shed(shedder)
      expect(now).toBeGreaterThan(before)
      before = now
    }
    for (let i = 0; i < 50; i++) shedder.sample(10_000)
    expect(shed(shedder)).toBeGreaterThan(850)
    expect(shed(shedder)).toBeLessThanOrEqual(900)
  })

  test('lets everybody in again by and by', () => {
    const shedder = new Shedder(100)
    for (let i = 0; i < 50; i++) shedder.sample(500)
    shedder.sample(0)
    expect(shed(shedder)).toBeGreaterThan(500)
    for (let i = 0; i < 9; i++) shedder.sample(0)
    expect(shed(shedder)).toBe(0)
  })

  test('a guard without an overloaded process refuses nothing, and stops watching when its load ends', async () => {
    const own = makeHost()
    const steps = await compileGuard(concurrency, undefined, makeOperation(), own)
    expect(codeOf(steps?.requestHead?.(makeExchange()) as undefined)).toBeUndefined()
    await expect(own.close()).resolves.toBeUndefined()
  })
})

import { expect, test } from 'vitest'
import { Breaker } from './breaker.ts'

const settings = { failures: 0.5, minimum: 4, window: 10_000, open: 5_000 }

function breakerAt(start = 1_000_000) {
  const clock = { now: start }
  return { clock, breaker: new Breaker(settings, () => clock.now) }
}

function fail(breaker: Breaker, times: number) {
  for (let i = 0; i < times; i++) breaker.record(true)
}

test('stays closed below the minimum of requests, opens at it', () => {
  const { breaker } = breakerAt()
  fail(breaker, 3)
  expect(breaker.admits()).toBe(true)
  fail(breaker, 1)
  expect(breaker.admits()).toBe(false)
  expect(breaker.restMs()).toBe(5_000)
})

test('stays closed while fewer than the stated share fail', () => {
  const { breaker } = breakerAt()
  for (let i = 0; i < 100; i++) {
    breaker.record(false)
    breaker.record(false)
    breaker.record(true)
  }
  expect(breaker.state).toBe('closed')
})

test('lets one request try after the rest, and closes when it goes well', () => {
  const { breaker, clock } = breakerAt()
  fail(breaker, 4)
  clock.now += 4_999
  expect(breaker.admits()).toBe(false)
  clock.now += 1
  expect(breaker.admits()).toBe(true)
  expect(breaker.admits()).toBe(false)
  breaker.record(false)
  expect(breaker.state).toBe('closed')
  expect(breaker.admits()).toBe(true)
})

test('opens again when the trial fails', () => {
  const { breaker, clock } = breakerAt()
  fail(breaker, 4)
  clock.now += 5_000
  breaker.admits()
  breaker.record(true)
  expect(breaker.state).toBe('open')
  expect(breaker.admits()).toBe(false)
})

test('lets another request try when the trial never reports', () => {
  const { breaker, clock } = breakerAt()
  fail(breaker, 4)
  clock.now += 5_000
  expect(breaker.admits()).toBe(true)
  clock.now += 5_000
  expect(breaker.admits()).toBe(true)
})

test('forgets failures that are older than the window', () => {
  const { breaker, clock } = breakerAt()
  fail(breaker, 3)
  clock.now += 20_001
  fail(breaker, 3)
  expect(breaker.state).toBe('closed')
})

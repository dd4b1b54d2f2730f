import { describe, expect, test } from 'vitest'
import { aPassage, aRefusal } from '../../test/kit/passage.ts'
import { silentLogger } from '../base/log.ts'
import { createRecurring, mergeGroups } from './recurring.ts'

describe('O3: recurring errors', () => {
  const setUp = (groupsMax = 500) => {
    let now = Date.UTC(2026, 10, 22)
    const said: string[] = []
    const log = {
      ...silentLogger,
      warn: (_: string, fields?: object) => void said.push(`warn ${(fields as { count: number }).count}`),
      info: (_: string, fields?: object) => void said.push(`info ${(fields as { count: number }).count}`),
    }
    const recurring = createRecurring({ log, now: () => now, groupsMax })
    return { recurring, said, advance: (ms: number) => (now += ms) }
  }

  test('the same failure 50 times is one group with count, first and last seen, and an example', () => {
    const { recurring, advance } = setUp()
    for (let i = 1; i <= 50; i++) {
      recurring.note(aPassage({ id: `req_${i}`, status: 502, fault: 'upstream.reset' }))
      if (i < 50) advance(1_000)
    }
    expect(recurring.groups()).toEqual([
      {
        api: 'shop',
        version: undefined,
        operation: 'getOrder',
        route: '/v1/orders/{id}',
        cause: 'upstream.reset',
        status: 502,
        count: 50,
        firstSeen: '2026-11-22T00:00:00.000Z',
        lastSeen: '2026-11-22T00:00:49.000Z',
        example: 'req_50',
      },
    ])
  })

  test('operations, causes and versions are told apart; what went well is not counted', () => {
    const { recurring } = setUp()
    recurring.note(aPassage())
    recurring.note(aPassage({ status: 404 }))
    recurring.note(aPassage({ status: 500 }))
    recurring.note(aPassage({ status: 503 }))
    recurring.note(aRefusal('scope.missing'))
    recurring.note(aRefusal('scope.missing', { operation: 'listOrders' }))
    recurring.note(aRefusal('scope.missing', { version: 'v2' }))
    expect(
      recurring
        .groups()
        .map(({ cause }) => cause)
        .sort(),
    ).toEqual(['scope.missing', 'scope.missing', 'scope.missing', 'upstream.status-500', 'upstream.status-503'])
  })

  test('says so at 10, 100 and 1,000, louder when the fault is on this side', () => {
    const { recurring, said } = setUp()
    for (let i = 0; i < 1_000; i++) recurring.note(aPassage({ status: 500 }))
    for (let i = 0; i < 99; i++) recurring.note(aRefusal())
    expect(said).toEqual(['warn 10', 'warn 100', 'warn 1000', 'info 10'])
  })

  test('is bounded: the group that was seen longest ago goes', () => {
    const { recurring, advance } = setUp(3)
    for (const code of ['a.a', 'b.b', 'c.c', 'a.a', 'd.d']) {
      recurring.note(aRefusal(code))
      advance(1)
    }
    expect(
      recurring
        .groups()
        .map(({ cause }) => cause)
        .sort(),
    ).toEqual(['a.a', 'c.c', 'd.d'])
  })

  test('several processes make one list', () => {
    const one = setUp()
    const two = setUp()
    two.advance(5_000)
    one.recurring.note(aRefusal('a.a', { id: 'req_1' }))
    two.recurring.note(aRefusal('a.a', { id: 'req_2' }))
    two.recurring.note(aRefusal('a.a', { id: 'req_3' }))
    two.recurring.note(aRefusal('b.b'))
    const merged = mergeGroups([two.recurring.groups(), one.recurring.groups()])
    expect(merged.map(({ cause, count }) => [cause, count])).toEqual([
      ['a.a', 3],
      ['b.b', 1],
    ])
    expect(merged[0]).toMatchObject({
      firstSeen: '2026-11-22T00:00:00.000Z',
      lastSeen: '2026-11-22T00:00:05.000Z',
      example: 'req_3',
    })
  })
})

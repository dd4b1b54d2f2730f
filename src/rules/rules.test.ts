import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseIpRange, RangeSet } from '../base/ip.ts'
import {
  compileRule,
  compileValue,
  type Failure,
  type Kind,
  type Name,
  RuleError,
  type RuleScope,
  unreadable,
} from './index.ts'

type Facts = Readonly<Record<string, unknown>>

const kinds: Readonly<Record<string, Kind>> = {
  subject: 'text',
  'operation.id': 'text',
  amount: 'number',
  encrypted: 'truth',
  roles: 'texts',
  ip: 'address',
  hour: 'hour',
  time: 'time',
  weekday: 'weekday',
  date: 'date',
}

function nameOf(kind: Kind, key: string): Name<Facts> {
  return { kind, read: (facts) => facts[key] }
}

const scope: RuleScope<Facts> = {
  names: new Map(Object.entries(kinds).map(([name, kind]) => [name, nameOf(kind, name)])),
  families: new Map([
    ['claims', (path) => nameOf('any', `claims.${path.join('.')}`)],
    [
      'query',
      (path) => {
        if (path.length > 1) throw new Error('one word')
        return nameOf('text', `query.${path[0]}`)
      },
    ],
  ]),
  places: new Map([['office', new RangeSet([parseIpRange('203.0.113.0/24'), parseIpRange('2001:db8::/32')])]]),
  now: (facts) => facts.now as number,
}

const judge = (source: string, facts: Facts) => compileRule(source, scope).judge(facts)

describe('a condition', () => {
  const facts: Facts = {
    subject: 'anna',
    'operation.id': 'refund',
    amount: 7,
    encrypted: true,
    roles: new Set(['editor']),
    ip: '203.0.113.9',
    hour: 9,
    time: 9 * 60 + 30,
    weekday: 5,
    date: 20_779,
    now: 1_000_000_000_000,
    'claims.acr': 'mfa',
    'claims.amr': ['pwd', 'otp'],
    'claims.level': 3,
    'claims.paid': false,
    'claims.auth_time': 1_000_000_000 - 240,
    'claims.soon': 1_000_000_030,
    'claims.later': 1_000_000_600,
    'claims.https://example.com/team.name': 'ops',
    'query.limit': '50',
    'query.odd': '0x10',
    'claims.nothing': null,
    'claims.object': { a: 1 },
    'claims.objects': [{ a: 1 }],
    'query.twice': unreadable,
  }

  test.each([
    ["subject == 'anna'", true],
    ['subject == "anna"', true],
    ["'anna' == subject", true],
    ["subject != 'anna'", false],
    ["subject == 'an\\'na'", false],
    ['amount > 6 && amount <= 7', true],
    ['7 < amount', false],
    ['amount in 7..7', true],
    ['amount in 8..9', false],
    ['amount in [1, 7, 9]', true],
    ['amount in [1, 2, 3, 4, 5, 6, 7]', true],
    ['encrypted', true],
    ['!encrypted', false],
    ['!!encrypted', true],
    ['encrypted == true', true],
    ['claims.paid', false],
    ['!claims.paid', true],
    ["'editor' in roles", true],
    ["'admin' in roles", false],
    ['subject in roles', false],
    ["overlaps(roles, ['admin', 'editor'])", true],
    ["overlaps(roles, ['admin'])", false],
    ["overlaps(claims.amr, ['otp'])", true],
    ['overlaps(roles, claims.amr)', false],
    ["'otp' in claims.amr", true],
    ["'sms' in claims.amr", false],
    ['subject in claims.amr', false],
    ['ip in office', true],
    ["ip in ['10.0.0.0/8', '203.0.113.9']", true],
    ["ip in ['10.0.0.0/8']", false],
    ["ip == '203.0.113.9'", true],
    ['hour in 8..17', true],
    ['hour in 9..9', true],
    ['hour in 10..17', false],
    ['hour in 22..9', true],
    ['hour in 22..8', false],
    ['hour < 9', false],
    ["time in '09:30'..'09:45'", true],
    ["time >= '09:31'", false],
    ["weekday in 'mon'..'fri'", true],
    ["weekday in 'sat'..'sun'", false],
    ["weekday in ['fri']", true],
    ["date == '2026-11-22'", true],
    ["date in '2026-12-24'..'2026-12-26'", false],
    ["claims.acr in ['mfa', 'hwk']", true],
    ['claims.level >= 3', true],
    ["claims['https://example.com/team'].name == 'ops'", true],
    ['age(claims.auth_time) < 5m', true],
    ['age(claims.auth_time) < 3m', false],
    ['age(claims.auth_time) >= 240s', true],
    ['number(query.limit) <= 50', true],
    ["subject matches 'a*a'", true],
    ["subject matches 'a*b*a'", false],
    ["operation.id matches 'refund'", true],
    ["operation.id matches '*'", true],
    ["lower(claims.acr) == 'mfa'", true],
    ['has(claims.acr)', true],
    ['has(claims.none)', false],
    ["(subject == 'bob' || amount == 7) && !(hour == 3)", true],
    ['true', true],
    ['false || true', true],
  ])('%s: %s', (source, expected) => {
    expect(judge(source, facts)).toBe(expected)
    expect(compileRule(source, scope)(facts) === true).toBe(expected)
  })

  // What is not there, or of another kind, tells neither yes nor no, whichever way round it is asked.
  test.each([
    "claims.none == 'x'",
    "claims.none != 'x'",
    "!(claims.none == 'x')",
    "!(claims.none in ['x'])",
    'claims.none == claims.none',
    'claims.none != claims.other',
    'claims.none',
    '!claims.none',
    "claims.level == 'x'",
    "claims.level != 'x'",
    'claims.acr < 3',
    'claims.acr',
    "claims.acr in ['x'] && claims.none == 1 || claims.none == 2",
    "'x' in claims.none",
    "'x' in claims.acr",
    'claims.none in roles',
    'claims.level in roles',
    "overlaps(claims.none, ['x'])",
    'overlaps(roles, claims.none)',
    "claims.none matches '*'",
    "claims.level matches '*'",
    'age(claims.none) < 5m',
    'age(claims.acr) < 5m',
    // Yet to come, by more than clocks differ.
    'age(claims.later) < 5m',
    'number(query.none) < 5',
    'number(query.odd) < 50',
    "lower(claims.level) == '3'",
    "claims.amr == 'pwd'",
    'claims.amr == claims.amr',
    "claims.acr == 'mfa' && claims.none == 1",
    "claims.acr == 'x' || claims.none == 1",
    'has(claims.nothing)',
    '!has(claims.nothing)',
    "claims.nothing == 'x'",
    'has(query.twice)',
    '!has(query.twice)',
    "query.twice == '1'",
    "!(query.twice in ['1'])",
    '!(query.twice in claims.amr)',
    '!(claims.object in claims.objects)',
    'number(query.twice) < 1',
  ])('%s cannot be told, and so does not hold', (source) => {
    expect(judge(source, facts)).toBeUndefined()
    expect(compileRule(source, scope)(facts)).toMatchObject({ failed: expect.any(String) })
  })

  test.each([
    ["claims.none == 1 || claims.acr == 'mfa'", true],
    ["claims.acr == 'x' && claims.none == 1", false],
    ["claims.none == 1 && claims.acr == 'x'", false],
    ["has(claims.none) && claims.none == 'x'", false],
    ["!(has(claims.none) && claims.none == 'x')", true],
    // A clock that is half a minute ahead.
    ['age(claims.soon) < 5m', true],
  ])('%s is decided by its other side', (source, expected) => {
    expect(judge(source, facts)).toBe(expected)
  })
})

describe('what failed', () => {
  const facts: Facts = { hour: 20, ip: '198.51.100.1', 'claims.acr': 'pwd', now: 0 }
  const why = (source: string) => compileRule(source, scope)(facts) as Failure

  test('is the first attribute in the way, with its condition and without its value', () => {
    const found = why("claims.acr in ['pwd'] && ip in office && hour in 8..17")
    expect(found).toEqual({ failed: 'ip', test: 'ip in office', missing: false, wants: undefined })
    expect(JSON.stringify(found)).not.toContain('198.51.100.1')
  })

  test.each([
    ['hour in 8..17', 'hour', false],
    ['!(hour in 18..23)', 'hour', false],
    ["claims.none == 'x'", 'claims.none', true],
    ["hour < 9 || claims.none == 'x'", 'hour or claims.none', false],
    ['claims.acr == claims.other', 'claims.acr, claims.other', true],
    ["(hour > 9 && ip in office) || subject == 'x'", 'ip or subject', false],
    ['false', '', false],
  ])('%s: %s', (source, failed, missing) => {
    expect(why(source)).toMatchObject({ failed, missing })
  })

  test('says all that is in the way, and what a new sign-in could mend', () => {
    const rule = compileRule("claims.acr in ['mfa', 'hwk'] && age(claims.auth_time) < 5m && hour in 8..17", scope)
    expect(rule.failures(facts).map(({ failed, wants }) => [failed, wants])).toEqual([
      ['claims.acr', { kind: 'one-of', name: 'claims.acr', values: ['mfa', 'hwk'] }],
      ['claims.auth_time', { kind: 'younger-than', name: 'claims.auth_time', ms: 300_000 }],
      ['hour', undefined],
    ])
  })

  test('is the same object every time, so that refusing makes none', () => {
    const rule = compileRule('ip in office', scope)
    expect(rule(facts)).toBe(rule(facts))
  })
})

describe('a condition that cannot be meant', () => {
  test.each([
    ['', 0, /ends where a value is expected/],
    ['subject', 0, /text is no condition by itself/],
    ['subject ==', 10, /ends where a value is expected/],
    ["subject = 'x'", 8, /cannot read "="/],
    ["subject == 'x' and hour == 1", 15, /expected &&/],
    ["subject == 'x' & hour == 1", 15, /cannot read "&"/],
    ["subject == 'x", 11, /has no end/],
    ["subject == 'a\\nb'", 13, /only the quote and the backslash/],
    ["subjekt == 'x'", 0, /nothing called "subjekt"/],
    ['subject == anna', 11, /nothing called "anna"/],
    ['claims == 1', 0, /needs a name behind it/],
    ['query.a.b == 1', 0, /one word/],
    ["hour == '8'", 8, /an hour is compared with text/],
    ['hour == 24', 8, /an hour is compared with a number/],
    ['hour in 8..24', 11, /24 does not fit/],
    ['amount in 9..8', 10, /ends before it begins/],
    ["time == '24:00'", 8, /a time of day is compared with text/],
    ["date == '2026-02-30'", 8, /a date is compared with text/],
    ["weekday in ['Monday']", 12, /'Monday' does not fit/],
    ["subject < 'b'", 0, /has no order/],
    ['subject in 1..2', 0, /has no order/],
    ['subject == roles', 0, /a set of words is not compared/],
    ["roles in ['a']", 0, /in no list as a whole/],
    ['ip in ofice', 6, /no place "ofice"/],
    ["ip in ['10.0.0.0/99']", 7, /10.0.0.0\/99/],
    ['1 == 1', 0, /always the same/],
    ["'a' in ['a']", 0, /always the same/],
    ['subject in []', 11, /nothing is in an empty list/],
    ["claims.a in ['x', 1]", 18, /values of one kind/],
    ['claims.a in [subject]', 13, /holds constants only/],
    ['claims.a in subject', 12, /text holds nothing/],
    ['age(subject) < 5m', 4, /age\(\) takes a moment/],
    ['age(claims.a) < 5', 16, /a length of time is compared with a number/],
    ['agee(claims.a) < 5m', 0, /no function "agee"/],
    ['has(claims.a) == true', 0, /a condition, not a value/],
    ["has('x')", 0, /takes one name/],
    ['subject matches hour', 16, /a pattern in quotes/],
    ["hour matches '1'", 0, /no text to match/],
    ["(subject == 'a'", 15, /expected \)/],
    ['5min < amount', 0, /is no number/],
    ['(hour == 1) == true', 0, /found a condition/],
    ['#', 0, /cannot read "#"/],
    [`${'('.repeat(40)}true${')'.repeat(40)}`, 33, /nested deeper than 32/],
    [`subject == '${'x'.repeat(5_000)}'`, 4_096, /at most 4096 characters/],
  ])('is refused with its place: %s', (source, offset, message) => {
    try {
      compileRule(source, scope)
    } catch (error) {
      expect(error).toBeInstanceOf(RuleError)
      expect((error as RuleError).message).toMatch(message)
      expect((error as RuleError).offset).toBe(offset)
      return
    }
    expect.fail('was taken')
  })

  test.each([
    ["subjekt == 'x'", 'did you mean "subject"?'],
    ['ip in ofice', 'did you mean "office"?'],
    ["subject = 'x'", 'write == to compare'],
    ["subject == 'x' and hour == 1", 'write &&'],
    ["hour == '8'", 'expected a whole number from 0 to 23'],
    ['agee(claims.a) < 5m', 'did you mean "age"?'],
  ])('is refused with what to write: %s', (source, hint) => {
    try {
      compileRule(source, scope)
      expect.fail('was taken')
    } catch (error) {
      expect((error as RuleError).hint).toBe(hint)
    }
  })
})

describe('a value', () => {
  test.each([
    ['subject', 'anna'],
    ['amount', 7],
    ['encrypted', 'true'],
    ['claims.none', undefined],
    ['claims.list', undefined],
    ["'fixed'", 'fixed'],
    ['subject + claims.none', undefined],
    ['subject + amount', '4:anna1:7'],
  ])('%s: %s', (source, expected) => {
    const facts = { subject: 'anna', amount: 7, encrypted: true, 'claims.list': ['x'] }
    expect(compileValue(source, scope)(facts)).toBe(expected)
  })

  test('of several parts is another one for every other combination of them', () => {
    const value = compileValue('subject + claims.b', scope)
    expect(value.uses).toEqual(new Set(['subject', 'claims.b']))
    const pair = fc.tuple(fc.string(), fc.string())
    fc.assert(
      fc.property(pair, pair, ([a, b], [c, d]) => {
        const same = a === c && b === d
        expect(value({ subject: a, 'claims.b': b }) === value({ subject: c, 'claims.b': d })).toBe(same)
      }),
    )
  })

  test.each(['roles', 'subject ==', 'subject && true', 'subjekt'])('%s is refused', (source) => {
    expect(() => compileValue(source, scope)).toThrow(RuleError)
  })
})

describe('random conditions', () => {
  /** A condition with what it means, worked out the slow way. */
  interface Meant {
    readonly source: string
    readonly value: (facts: Facts) => boolean | undefined
  }
  const names = ['claims.a', 'claims.b', 'claims.c'] as const
  const texts = ['x', 'y', "it's"] as const
  const quoted = (text: string) => `'${text.replace(/['\\]/g, '\\$&')}'`
  const anyName = fc.constantFrom(...names)

  const atom: fc.Arbitrary<Meant> = fc.oneof(
    fc
      .record({ name: anyName, text: fc.constantFrom(...texts), op: fc.constantFrom('==', '!='), turned: fc.boolean() })
      .map(
        ({ name, text, op, turned }): Meant => ({
          source: turned ? `${quoted(text)} ${op} ${name}` : `${name} ${op} ${quoted(text)}`,
          value: (facts) => (typeof facts[name] === 'string' ? (facts[name] === text) === (op === '==') : undefined),
        }),
      ),
    fc.record({ name: anyName, limit: fc.integer({ min: 0, max: 4 }), op: fc.constantFrom('<', '<=', '>', '>=') }).map(
      ({ name, limit, op }): Meant => ({
        source: `${name} ${op} ${limit}`,
        value: (facts) => {
          const value = facts[name]
          if (typeof value !== 'number') return undefined
          return { '<': value < limit, '<=': value <= limit, '>': value > limit, '>=': value >= limit }[op]
        },
      }),
    ),
    fc
      .record({ name: anyName, items: fc.uniqueArray(fc.integer({ min: 0, max: 9 }), { minLength: 1, maxLength: 7 }) })
      .map(
        ({ name, items }): Meant => ({
          source: `${name} in [${items.join(', ')}]`,
          value: (facts) => (typeof facts[name] === 'number' ? items.includes(facts[name] as number) : undefined),
        }),
      ),
    fc.record({ from: fc.integer({ min: 0, max: 23 }), to: fc.integer({ min: 0, max: 23 }) }).map(
      ({ from, to }): Meant => ({
        source: `hour in ${from}..${to}`,
        value: ({ hour }) => {
          if (typeof hour !== 'number') return undefined
          for (let at = from; ; at = (at + 1) % 24) {
            if (at === hour) return true
            if (at === to) return false
          }
        },
      }),
    ),
    fc.record({ left: anyName, right: anyName }).map(
      ({ left, right }): Meant => ({
        source: `${left} == ${right}`,
        value: (facts) => {
          const plain = ['string', 'number', 'boolean'].includes(typeof facts[left])
          return plain && typeof facts[left] === typeof facts[right] ? facts[left] === facts[right] : undefined
        },
      }),
    ),
    anyName.map((name): Meant => ({ source: `has(${name})`, value: (facts) => facts[name] !== undefined })),
    anyName.map(
      (name): Meant => ({
        source: name,
        value: (facts) => (typeof facts[name] === 'boolean' ? (facts[name] as boolean) : undefined),
      }),
    ),
  )
  const { meant } = fc.letrec<{ meant: Meant }>((tie) => ({
    meant: fc.oneof(
      { depthSize: 'medium', withCrossShrink: true },
      atom,
      fc.tuple(tie('meant'), tie('meant'), tie('meant')).map(
        (parts): Meant => ({
          source: parts.map(({ source }) => `(${source})`).join(' && '),
          value: (facts) => {
            const all = parts.map(({ value }) => value(facts))
            return all.includes(false) ? false : all.includes(undefined) ? undefined : true
          },
        }),
      ),
      fc.tuple(tie('meant'), tie('meant')).map(
        (parts): Meant => ({
          source: parts.map(({ source }) => `(${source})`).join(' || '),
          value: (facts) => {
            const all = parts.map(({ value }) => value(facts))
            return all.includes(true) ? true : all.includes(undefined) ? undefined : false
          },
        }),
      ),
      tie('meant').map(
        (of): Meant => ({
          source: `!(${of.source})`,
          value: (facts) => {
            const value = of.value(facts)
            return value === undefined ? undefined : !value
          },
        }),
      ),
    ),
  }))
  const anyValue = fc.oneof(
    fc.constant(undefined),
    fc.constantFrom(...texts),
    fc.integer({ min: 0, max: 9 }),
    fc.boolean(),
    fc.constant(['x']),
  )
  const anyFacts = fc.record({
    'claims.a': anyValue,
    'claims.b': anyValue,
    'claims.c': anyValue,
    hour: fc.option(fc.integer({ min: 0, max: 23 }), { nil: undefined }),
  })

  test('mean what a plain reading of them means, and failures are told exactly where they do not hold', () => {
    fc.assert(
      fc.property(
        meant.filter(({ source }) => source.length < 4_000 && depthOf(source) <= 30),
        fc.array(anyFacts, { minLength: 5, maxLength: 20 }),
        ({ source, value }, all) => {
          const rule = compileRule(source, scope)
          for (const facts of all) {
            expect(rule.judge(facts)).toBe(value(facts))
            const holds = value(facts) === true
            expect(rule(facts) === true).toBe(holds)
            expect(rule.failures(facts).length > 0).toBe(!holds)
          }
        },
      ),
      { numRuns: 500 },
    )
  })

  test('whatever text there is, it is read or refused with a place within it', () => {
    const word = fc.constantFrom(
      ...[
        'subject',
        'claims.a',
        'hour',
        "'x'",
        '5m',
        '8..9',
        '(',
        ')',
        '[',
        ']',
        '==',
        '&&',
        '||',
        '!',
        'in',
        'matches',
        ',',
        'has',
        'age',
        '..',
        '+',
        'roles',
        'ip',
        'office',
        '"',
        '\\',
        '1',
        'é',
      ],
    )
    fc.assert(
      fc.property(fc.array(word, { maxLength: 12 }), (words) => {
        const source = words.join(' ')
        try {
          compileRule(source, scope)
        } catch (error) {
          expect(error).toBeInstanceOf(RuleError)
          const { offset, length } = error as RuleError
          expect(offset).toBeGreaterThanOrEqual(0)
          expect(offset).toBeLessThanOrEqual(source.length)
          expect(length).toBeGreaterThan(0)
        }
      }),
      { numRuns: 2_000 },
    )
  })

  function depthOf(source: string): number {
    let depth = 0
    let most = 0
    for (const one of source) {
      if (one === '(' || one === '!') most = Math.max(most, ++depth)
      else if (one === ')') depth--
    }
    return most
  }
})
